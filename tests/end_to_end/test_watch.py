"""`ringfence book watch`, as somebody types it who has every key."""

from pathlib import Path

import pytest
from command_line import CommandLine

from ringfence.wiring_files import shipped_policy


@pytest.fixture
def ringfence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> CommandLine:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGFENCE_BOOK", "harbour.book")
    monkeypatch.delenv("RINGFENCE_KEYS", raising=False)
    command = CommandLine(monkeypatch, capsys)
    command("book", "open", str(shipped_policy("two-buckets")))
    command("book", "key", "new", "all")
    command("book", "client", "add", "alice")
    command("book", "deposit", "client/alice/cash", "1000", "USDC", "--reference", "tx-1")
    command("book", "transfer", "client/alice/cash", "client/alice/bet", "100", "USDC")
    return command


def test_prices_are_fed_and_everybody_is_valued(ringfence: CommandLine) -> None:
    Path("ticks.txt").write_text(
        "# three sources\nindex/BTC v1=60000 v2=60000 v3=60000\n\nindex/BTC v1=59000 v2=59000 v3=59001\n"
    )
    said = ringfence("book", "watch", "--from", "ticks.txt", "--json")
    assert said.code == 0
    assert [(one["valued"], one["called"], one["closed"], one["waiting"]) for one in said.json] == [
        (1, [], [], 0)
    ] * 2
    assert "1 buckets: 0 called, 0 cured, 0 closed" in ringfence("book", "watch", "--from", "ticks.txt").out
    assert ringfence("book", "verify", "--json").json["verified"] is True


def test_a_line_that_is_no_price_is_named_and_the_next_one_counts(ringfence: CommandLine) -> None:
    good = "index/BTC v1=60000 v2=60000 v3=60000\n"
    Path("ticks.txt").write_text(f"index/BTC v1=sixty\nindex/NOTHING v1=1\n{good}")
    said = ringfence("book", "watch", "--from", "ticks.txt", "--json")
    assert said.code == 1
    assert "ticks.txt:1: 'v1=sixty' is no quote" in said.err
    assert "ticks.txt:2: PRICE_NAME_UNKNOWN: " in said.err
    assert "ticks.txt:3" not in said.err
    assert said.json[-1]["valued"] == 1
    prices = [one for one in ringfence("book", "history", "--json").json if "price index/BTC" in one["asked"]]
    assert [one["accepted"] for one in prices] == [True]


def test_a_watch_that_cannot_begin_says_why(ringfence: CommandLine) -> None:
    assert ringfence("book", "watch", "--from", "nothing.txt").code == 2
    assert ringfence("book", "watch", "--maker", "treasury").code == 2
