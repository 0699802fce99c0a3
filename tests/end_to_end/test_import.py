"""`ringfence book import`: a cut-over with its report; one wrong line and nothing is taken over."""

import json
from pathlib import Path

import pytest
from command_line import CommandLine

from ringfence.wiring_files import shipped_policy

GOOD = """\
compartment,asset,amount
client/alice/cash,USDC,1000.50
client/alice/bet,USDC,200
client/alice/bet,BTC-PERP,5
client/bob/bet,USDC,300
client/bob/bet,BTC-PERP,-5
client/bob/bet,USDC-debt,20
insurance,USDC,50
"""


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
    for name in ("alice", "bob"):
        command("book", "client", "add", name)
    Path("good.csv").write_text(GOOD)
    return command


def take(ringfence: CommandLine, file: str, *words: str):
    return ringfence("book", "import", file, "--price", "BTC-PERP=60000.5", *words, "--json")


def test_a_book_is_taken_over_as_a_whole(ringfence: CommandLine) -> None:
    assert take(ringfence, "good.csv", "--check").json["taken_over"] is False
    done = take(ringfence, "good.csv", "--total", "USDC=1550.5")
    assert done.code == 0
    report = done.json
    assert (report["lines"], report["balances"], report["positions"]) == (7, 5, 2)
    assert report["totals"] == {"BTC-PERP": "0", "USDC": "1550.5", "USDC-debt": "20"}
    held = {
        (one["compartment"], one["asset"]): one["amount"]
        for one in ringfence("book", "balance", "--json").json
    }
    assert held["outside", "USDC"] == "-1550.5"
    assert held["client/bob/bet", "BTC-PERP"] == "-5"
    assert held["client/bob/bet", "USDC-debt"] == "20"
    assert held["treasury", "USDC-debt"] == "-20"
    assert held["clearing", "BTC-PERP"] == "0"
    assert ringfence("book", "verify", "--json").json["verified"] is True
    again = take(ringfence, "good.csv")
    assert (again.code, again.json["answer"]["reason"]) == (1, "BOOK_NOT_EMPTY")


def test_the_same_lines_may_be_json(ringfence: CommandLine) -> None:
    rows = [
        dict(zip(("compartment", "asset", "amount"), line.split(","), strict=True))
        for line in GOOD.split()[1:]
    ]
    Path("good.json").write_text(json.dumps(rows))
    assert take(ringfence, "good.json").json["taken_over"] is True


WRONG = [
    ("client/alice/cash,USDC,1000.50", "client/alice/cash,USDC,1000.1234567", "wrong.csv:2", "at most 6"),
    (
        "client/alice/cash,USDC,1000.50",
        "client/zoe/cash,USDC,1",
        "wrong.csv:2",
        "client zoe was never opened",
    ),
    ("client/alice/cash,USDC,1000.50", "nowhere,USDC,1", "wrong.csv:2", "no compartment nowhere"),
    ("client/alice/cash,USDC,1000.50", "outside,USDC,1", "wrong.csv:2", "no compartment outside"),
    ("client/alice/cash,USDC,1000.50", "client/alice/cash,DOGE,1", "wrong.csv:2", "no asset DOGE"),
    ("client/alice/cash,USDC,1000.50", "client/alice/cash,USDC,0", "wrong.csv:2", "1 at least"),
    ("client/alice/cash,USDC,1000.50", "client/alice/cash,USDC-debt,1", "wrong.csv:2", "does not accept"),
    ("client/alice/cash,USDC,1000.50", "clearing,USDC,1", "wrong.csv:2", "net to zero"),
    ("client/alice/cash,USDC,1000.50", "client/alice/bet,USDC,1", "wrong.csv:3", "a line for USDC already"),
    ("client/alice/bet,BTC-PERP,5", "client/alice/cash,BTC-PERP,5", "wrong.csv:4", "may not hold BTC-PERP"),
    ("client/alice/bet,BTC-PERP,5", "client/alice/bet,BTC-PERP,5.5", "wrong.csv:4", "no whole number"),
    ("client/alice/bet,BTC-PERP,5", "client/alice/bet,BTC-PERP,0", "wrong.csv:4", "0 contracts"),
    ("client/alice/bet,BTC-PERP,5", "client/alice/bet,BTC-PERP,6", "", "add up to 1 contracts"),
]


@pytest.mark.parametrize(("old", "new", "where", "words"), WRONG)
def test_a_wrong_line_is_named_and_nothing_is_taken_over(ringfence, old, new, where, words) -> None:
    assert old in GOOD
    Path("wrong.csv").write_text(GOOD.replace(old, new, 1))
    said = take(ringfence, "wrong.csv")
    assert said.code == 1
    assert any(one["where"] == where and words in one["words"] for one in said.json["refused"]), said.json[
        "refused"
    ]
    assert ringfence("book", "balance", "--json").json == []


def test_prices_and_totals_are_checked(ringfence: CommandLine) -> None:
    said = ringfence(
        "book", "import", "good.csv", "--price", "BTC-PERP=60000.05", "--total", "USDC=9", "--json"
    )
    assert said.code == 1
    assert {one["where"] for one in said.json["refused"]} == {"good.csv:4", "good.csv:6"}
    assert said.json["differences"] == [{"asset": "USDC", "expected": "9", "found": "1550.5"}]
    shown = ringfence("book", "import", "good.csv", "--total", "USDC=9")
    assert "USDC adds up to 1550.5, and 9 was expected" in shown.out
    assert "say what BTC-PERP was settled at last: --price BTC-PERP=PRICE" in shown.out
    assert ringfence("book", "import", "good.csv", "--price", "BTC-PERP").code == 2


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "a,b\n", "a.csv:1: the columns were"),
        ("a.csv", "compartment,asset,amount\nx,y\n", "a.csv:2: there were 2 values"),
        ("a.csv", "compartment,asset,amount\n", "has no lines"),
        ("a.json", "{", "is no JSON"),
        ("a.json", "{}", "is no list"),
        ("a.json", '[{"compartment": "x"}]', "entry 1"),
    ],
)
def test_a_file_that_is_no_table_is_refused(ringfence, name: str, text: str, words: str) -> None:
    Path(name).write_text(text)
    said = ringfence("book", "import", name)
    assert said.code == 2
    assert words in said.err


def test_where_the_policy_names_a_quorum_it_signs(ringfence: CommandLine) -> None:
    words = 'adoption: {needs: "2 of [officer_a, officer_b]"}\ngates:'
    Path("mine.yaml").write_text(shipped_policy("two-buckets").read_text().replace("gates:", words, 1))
    at = ("--at", "other.book")
    ringfence("book", "open", "mine.yaml", *at)
    ringfence("book", "key", "new", "all", *at)
    for name in ("alice", "bob"):
        ringfence("book", "client", "add", name, *at)
    Path("empty").mkdir(mode=0o700)
    unsigned = take(ringfence, "good.csv", "--keys", "empty", *at)
    assert (unsigned.code, unsigned.json["answer"]["reason"]) == (1, "NEEDS_NOT_MET")
    assert take(ringfence, "good.csv", *at).json["taken_over"] is True
