"""`ringfence book` from the first key to the last check, as a newcomer types it."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from command_line import CommandLine, Said

from ringfence.services import checkpoints
from ringfence.wiring import read_book
from ringfence.wiring_files import shipped_policy

CASH, HEDGE = "client/alice/cash", "client/alice/hedge"
POLICY = str(shipped_policy("two-buckets"))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the book, which every command takes from the environment."""
    file = tmp_path / "harbour.book"
    monkeypatch.setenv("RINGFENCE_BOOK", str(file))
    monkeypatch.delenv("RINGFENCE_KEYS", raising=False)
    return file


@pytest.fixture
def ringfence(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    return CommandLine(monkeypatch, capsys)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a book: every key, alice, and 1,000 USDC in her cash. It is copied, never used."""
    folder = tmp_path_factory.mktemp("prepared")
    at = ["--at", str(folder / "harbour.book")]
    for words in (
        ["open", POLICY],
        ["key", "new", "all"],
        ["client", "add", "alice"],
        ["deposit", CASH, "1000", "USDC", "--reference", "tx1"],
    ):
        subprocess.run([sys.executable, "-m", "ringfence", "book", *words, *at], check=True)
    return folder


@pytest.fixture
def opened(ringfence: CommandLine, prepared: Path, path: Path) -> CommandLine:
    """The command line beside a copy of the prepared book."""
    shutil.copytree(prepared, path.parent, dirs_exist_ok=True)
    return ringfence


def balances(ringfence: CommandLine) -> dict[str, str]:
    said = ringfence("book", "balance", "--json")
    return {line["compartment"]: line["amount"] for line in said.json if line["asset"] == "USDC"}


# --- the story ---------------------------------------------------------------------------------


def test_a_new_book_says_what_it_does_not_enforce(ringfence: CommandLine, path: Path) -> None:
    said = ringfence("book", "open", POLICY)
    assert said.code == 0
    assert "begun under policy two-buckets" in said.out
    assert "enforced: ledger" in said.out
    assert "not enforced:" in said.out
    assert "outside/{client} is pinned or cooling" in said.out
    again = ringfence("book", "open", POLICY, "--json").json
    assert again["begun"] is False
    assert again["planes"] == ["ledger"]
    assert len(again["digest"]) == 64
    assert again["not_enforced"]


def test_an_example_is_opened_by_its_name(ringfence: CommandLine) -> None:
    assert "begun under policy harbour" in ringfence("book", "open", "venue").out
    assert ringfence("book", "open", POLICY).code == 2
    assert ringfence("book", "open", "venue", "--json").json["begun"] is False


def test_money_moves_through_gates_and_nowhere_else(opened: CommandLine) -> None:
    moved = opened("book", "transfer", CASH, HEDGE, "100.25", "USDC")
    assert moved.code == 0
    assert "accepted 100.25 USDC from client/alice/cash to client/alice/hedge through fund" in moved.out
    wall = opened("book", "transfer", CASH, "treasury", "1", "USDC")
    assert wall.code == 1
    assert "NO_GATE_BETWEEN_COMPARTMENTS: the policy opens no gate from client/alice/cash" in wall.out
    poor = opened("book", "transfer", CASH, HEDGE, "5000", "USDC", "--json")
    assert poor.code == 1
    assert poor.json[0]["reason"] == "FREE_BALANCE_TOO_LOW"
    assert poor.json[0]["rule"].startswith(POLICY)
    assert balances(opened) == {CASH: "899.75", HEDGE: "100.25", "outside": "-1000"}


def test_the_same_request_again_moves_nothing(opened: CommandLine) -> None:
    words = (
        "book",
        "transfer",
        CASH,
        HEDGE,
        "1",
        "USDC",
        "--id",
        "77",
        "--expires",
        "2100-01-01T00:00:00Z",
        "--json",
    )
    first, again = opened(*words), opened(*words)
    assert first.json[0]["accepted"]
    assert (again.code, again.json[0]["repeated"]) == (0, True)
    other = opened(*words[:4], "2", *words[5:])
    assert (other.code, other.json[0]["reason"]) == (1, "ID_USED_WITH_OTHER_CONTENT")
    assert balances(opened)[HEDGE] == "1"


def test_history_and_export_tell_everything_that_was_asked(opened: CommandLine) -> None:
    opened("book", "transfer", CASH, HEDGE, "1", "USDC")
    opened("book", "transfer", CASH, "treasury", "1", "USDC")
    everything = opened("book", "history", "--json").json
    assert [line["accepted"] for line in everything[-2:]] == [True, False]
    here = opened("book", "history", HEDGE, "--json").json
    assert [line["entries"][0]["amount"] for line in here] == ["1"]
    assert "refused" in opened("book", "history", "--last", "1").out
    exported = [json.loads(line) for line in opened("book", "export").out.splitlines()]
    assert len(exported) == len(everything)
    assert exported[-1]["refused"]["reason"] == 23
    assert exported[-2]["operation"]["signatures"][0]["key"] == "client_key/alice"
    assert opened("book", "export", "--json").json == exported


def test_a_hold_keeps_units_until_it_is_posted_or_voided(opened: CommandLine) -> None:
    until = ("--until", "2100-01-01T00:00:00Z")
    held = opened("book", "hold", "new", CASH, HEDGE, "700", "USDC", *until, "--id", "7", "--json")
    assert held.json[0]["accepted"]
    assert held.json[0]["entries"] == []
    (listed,) = opened("book", "hold", "list", "--json").json
    assert listed["held"] == [{"compartment": CASH, "asset": "USDC", "units": 700_000_000, "amount": "700"}]
    assert "2100-01-01" in opened("book", "hold", "list").out
    assert "held" not in opened("book", "balance", "outside").out
    shown = opened("book", "balance", CASH, "--json").json
    assert [(one["amount"], one["held"]) for one in shown if one["asset"] == "USDC"] == [("1000", "700")]
    assert "held" in opened("book", "balance").out
    poor = opened("book", "transfer", CASH, HEDGE, "301", "USDC", "--json")
    assert poor.json[0]["reason"] == "FREE_BALANCE_TOO_LOW"
    posted = opened("book", "hold", "post", listed["id"], "--amount", "200")
    assert "accepted post hold" in posted.out
    assert balances(opened)[HEDGE] == "200"
    again = opened("book", "hold", "post", listed["id"], "--json")
    assert (again.code, again.json[0]["reason"]) == (1, "HOLD_HAS_ENDED")
    second = opened("book", "hold", "new", CASH, HEDGE, "800", "USDC", *until, "--id", "8")
    assert f"its id is {8:032x}" in second.out
    assert "its id is" not in opened("book", "explain", CASH, HEDGE, "1", "USDC").out
    assert opened("book", "hold", "void", "8").code == 0
    assert opened("book", "hold", "list", "--json").json == []


def test_a_halt_has_a_kind_and_is_lifted_by_it(opened: CommandLine) -> None:
    assert opened("book", "halt", "withdrawals", "book", "a drill").code == 0
    assert opened("book", "transfer", CASH, HEDGE, "1", "USDC").code == 0
    assert opened("book", "halt", "stop", "member/client/alice", "a drill").code == 0
    stopped = opened("book", "transfer", CASH, HEDGE, "1", "USDC", "--json")
    assert (stopped.code, stopped.json[0]["reason"]) == (1, "COMPARTMENT_FROZEN")
    lifted = opened("book", "resume", "member/client/alice", "over", "--kind", "stop")
    assert "accepted resume member/client/alice from stop: over" in lifted.out
    assert opened("book", "transfer", CASH, HEDGE, "1", "USDC").code == 0
    assert opened("book", "halt", "sleep", "book", "no such kind").code == 2


def test_what_is_stopped_is_listed_and_nothing_else_is_resumed(opened: CommandLine) -> None:
    assert opened("book", "stops", "--json").json == []
    assert "nothing is stopped" in opened("book", "stops").out
    nothing = opened("book", "resume", "book", "by mistake")
    assert (nothing.code, "no freeze of book is in force; in force: nothing" in nothing.err) == (2, True)
    opened("book", "halt", "withdrawals", "book", "a drill")
    opened("book", "freeze", "member/client/alice", "court order")
    first = opened("book", "stops", "--json").json
    opened("book", "halt", "withdrawals", "book", "a longer drill")
    listed = opened("book", "stops", "--json").json
    assert [(one["scope"], one["kind"], one["reason"]) for one in listed] == [
        ("member/client/alice", "freeze", "court order"),
        ("book", "withdrawals", "a longer drill"),
    ]
    assert [one["since"] for one in listed] == [one["since"] for one in first]
    assert "court order" in opened("book", "stops").out
    for wrong in (["book"], ["member/client/alice", "--kind", "stop"], ["gate/fund"]):
        said = opened("book", "resume", wrong[0], "by mistake", *wrong[1:])
        assert said.code == 2
        assert "in force: member/client/alice (freeze), book (withdrawals)" in said.err
    assert opened("book", "stops", "--json").json == listed
    assert opened("book", "resume", "book", "over", "--kind", "withdrawals").code == 0
    assert opened("book", "resume", "gate/nowhere", "over").code == 1
    (left,) = opened("book", "stops", "--json").json
    assert left["scope"] == "member/client/alice"


def test_a_client_is_frozen_and_closed_when_nothing_is_left(opened: CommandLine) -> None:
    assert opened("book", "client", "freeze", "alice", "court order").code == 0
    stopped = opened("book", "transfer", CASH, HEDGE, "1", "USDC", "--json")
    assert stopped.json[0]["reason"] == "COMPARTMENT_FROZEN"
    left = opened("book", "client", "close", "alice", "wants to leave", "--json")
    assert (left.code, left.json[0]["reason"]) == (1, "MEMBER_NOT_EMPTY")
    assert f"1000 USDC in {CASH}" in left.json[0]["words"]
    assert opened("book", "client", "add", "bob").code == 0
    assert opened("book", "client", "close", "bob", "never came").code == 0


def test_a_mistake_is_corrected_by_a_gate_linked_to_the_original(
    ringfence: CommandLine, tmp_path: Path
) -> None:
    assert ringfence("book", "open", "venue").code == 0
    ringfence("book", "key", "new", "all")
    ringfence("book", "client", "add", "alice")
    ringfence("book", "deposit", CASH, "100", "USDC", "--reference", "tx1")
    wrong = ("--gate", "adjust", "--reason", "goodwill", "--id", "a1")
    assert ringfence("book", "transfer", CASH, "house/treasury", "30", "USDC", *wrong).code == 0
    part = ringfence("book", "correct", "a1", "too much", "--amount", "10", "--json")
    assert part.json[0]["entries"][0]["amount"] == "10"
    whole = ringfence("book", "correct", "a1", "all of it", "--json")
    assert (whole.code, whole.json[0]["reason"]) == (1, "REVERSAL_EXCEEDS_ORIGINAL")
    assert ringfence("book", "correct", "a1", "the rest", "--amount", "20").code == 0
    assert balances(ringfence)[CASH] == "100"
    assert ringfence("book", "correct", "a2", "nothing").code == 2


BOB = "client/bob/hedge"
AGREED = ("--buyer", HEDGE, "--seller", BOB)


@pytest.fixture
def traders(opened: CommandLine) -> CommandLine:
    """Alice and bob with 500 USDC each in their hedges, and an index."""
    opened("book", "client", "add", "bob")
    opened("book", "deposit", "client/bob/cash", "500", "USDC", "--reference", "tx2")
    for cash, hedge in ((CASH, HEDGE), ("client/bob/cash", BOB)):
        assert opened("book", "transfer", cash, hedge, "500", "USDC").code == 0
    assert opened("book", "price", "index/BTC", "v1=60000", "v2=60000", "v3=60000").code == 0
    return opened


def test_two_signed_orders_are_a_trade_in_the_book(traders: CommandLine) -> None:
    said = traders("book", "fill", "BTC-PERP", "10", "60000.5", *AGREED, "--taker", "sell")
    assert said.code == 0, said.out
    held = {
        (line["compartment"], line["amount"])
        for line in traders("book", "balance", "--json").json
        if line["asset"] == "BTC-PERP" and line["compartment"] != "clearing"
    }
    assert held == {(HEDGE, "10"), (BOB, "-10")}


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("BTC-PERP", "10", "70000", *AGREED), 1, "PRICE_OUTSIDE_BAND"),
        (("BTC-PERP", "10000", "60000", *AGREED), 1, "INITIAL_MARGIN_TOO_LOW"),
        (("DOGE-PERP", "10", "60000", *AGREED), 1, "INSTRUMENT"),
        (("BTC-PERP", "10", "60000", "--buyer", HEDGE, "--seller", CASH), 1, "TRADE_NOT_ALLOWED"),
        (("BTC-PERP", "0", "60000", *AGREED), 2, "contracts"),
        (("BTC-PERP", "10", "0", *AGREED), 2, "a price is above zero"),
        (("BTC-PERP", "10", "6e4", *AGREED), 2, "write e.g. 65000.5"),
    ],
)
def test_a_trade_that_cannot_be_is_refused(
    traders: CommandLine, words: tuple[str, ...], code: int, says: str
) -> None:
    said = traders("book", "fill", *words, *(["--json"] if code == 1 else []))
    assert said.code == code
    assert says in (said.json[0]["reason"] if code == 1 else said.out + said.err)


def test_a_position_that_nobody_holds_does_not_move(ringfence: CommandLine) -> None:
    ringfence("book", "open", "trading-desk")
    ringfence("book", "key", "new", "all")
    ends = ("fund_one/momentum/probe", "fund_one/momentum/trend")
    said = ringfence("book", "position", "move", *ends, "5", "BTC-PERP", "--json")
    assert (said.code, said.json[0]["reason"]) == (1, "CONDITION_NOT_MET")
    assert "5 BTC-PERP from fund_one/momentum/probe" in said.json[0]["asked"]


def test_a_stop_stops_and_is_lifted(opened: CommandLine) -> None:
    assert opened("book", "freeze", "gate/fund", "a drill").code == 0
    stopped = opened("book", "transfer", CASH, HEDGE, "1", "USDC", "--json")
    assert (stopped.code, stopped.json[0]["reason"]) == (1, "GATE_FROZEN")
    assert opened("book", "resume", "gate/fund", "the drill is over").code == 0
    assert opened("book", "transfer", CASH, HEDGE, "1", "USDC").code == 0
    unknown = opened("book", "freeze", "gate/nothing", "a drill", "--json")
    assert (unknown.code, unknown.json[0]["reason"]) == (1, "SCOPE_UNKNOWN")


def test_prices_are_believed_where_enough_sources_agree(opened: CommandLine) -> None:
    agreed = opened("book", "price", "index/BTC", "v1=65000", "v2=65010.5", "v3=70000")
    assert agreed.code == 0
    assert "accepted price index/BTC: v1=65000 v2=65010.5 v3=70000" in agreed.out
    apart = opened("book", "price", "index/BTC", "v1=65000", "v2=75000", "--json")
    assert (apart.code, apart.json[0]["reason"]) == (1, "PRICE_SOURCES_DISAGREE")


def test_without_the_key_nothing_moves(opened: CommandLine, path: Path) -> None:
    (path.with_name("harbour.book.keys") / "client_key/alice.key").rename(path.with_name("stolen.key"))
    said = opened("book", "transfer", CASH, HEDGE, "1", "USDC", "--json")
    assert (said.code, said.json[0]["reason"]) == (1, "NEEDS_NOT_MET")
    assert "client_key/alice" in said.json[0]["words"]


def test_keys_and_clients_are_made_once(opened: CommandLine) -> None:
    assert opened("book", "key", "new", "all", "--json").json == []
    again = opened("book", "key", "new", "officer_a", "--json")
    assert (again.code, again.json[0]["reason"]) == (1, "KEY_ALREADY_KNOWN")
    again = opened("book", "client", "add", "alice", "--json")
    assert (again.code, again.json[0]["reason"]) == (1, "MEMBER_ALREADY_OPEN")
    family = opened("book", "key", "new", "client_key")
    assert family.code == 2
    assert "client_key is no single key of this policy; officer_a" in family.err


def test_explain_says_what_would_pass_and_asks_nothing(opened: CommandLine) -> None:
    before = head_of(opened("book", "verify", "--json"))
    yes = opened("book", "explain", CASH, HEDGE, "1", "USDC")
    assert yes.code == 0
    assert "accepted 1 USDC" in yes.out
    poor = opened("book", "explain", CASH, HEDGE, "5000", "USDC")
    assert poor.code == 0
    assert "FREE_BALANCE_TOO_LOW" in poor.out
    assert "at most 1000 USDC passes there now" in poor.out
    wall = opened("book", "explain", HEDGE, "client/alice/bet", "1", "USDC", "--json").json
    assert wall["reason"] == "NO_GATE_BETWEEN_COMPARTMENTS"
    assert wall["advice"] == "go release to client/alice/cash, then fund to client/alice/bet"
    assert len(wall["path"]) == 2
    assert head_of(opened("book", "verify", "--json")) == before


def test_drift_names_keys_that_nobody_registered(ringfence: CommandLine) -> None:
    ringfence("book", "open", POLICY)
    said = ringfence("book", "drift", POLICY, "--json")
    assert said.code == 1
    assert "officer_a is declared and not registered" in said.json["drift"]
    ringfence("book", "key", "new", "all")
    assert "the book is as the policy says" in ringfence("book", "drift", POLICY).out
    other = ringfence("book", "drift", str(shipped_policy("venue")))
    assert other.code == 1
    assert "drift: the book obeys policy" in other.out


# --- verifying ---------------------------------------------------------------------------------


def head_of(said: Said) -> str:
    return str(said.json["head"])


def test_verify_replays_everything_and_prints_the_head(opened: CommandLine) -> None:
    said = opened("book", "verify", "--json")
    assert said.code == 0
    assert said.json["verified"] is True
    assert said.json["conservation"] is True
    assert said.json["records"] == 4
    assert head_of(said).startswith("3:")
    assert f"head {head_of(said)}" in opened("book", "verify").out


def test_a_noted_head_is_still_part_of_a_longer_journal(opened: CommandLine) -> None:
    noted = head_of(opened("book", "verify", "--json"))
    opened("book", "transfer", CASH, HEDGE, "1", "USDC")
    assert opened("book", "verify", "--head", noted).code == 0


def test_a_head_of_another_journal_is_found(opened: CommandLine) -> None:
    said = opened("book", "verify", "--head", f"2:{'0' * 64}")
    assert said.code == 1
    assert "journal record 2: is not the record that was noted as the head" in said.err
    beyond = opened("book", "verify", "--head", f"9:{'0' * 64}")
    assert beyond.code == 1
    assert "journal record 4: is missing; the journal went on to record 9" in beyond.err


@pytest.mark.parametrize("head", ["3", "x:00", f"3:{'0' * 63}", f"-1:{'0' * 64}"])
def test_a_head_that_is_none_is_explained(opened: CommandLine, head: str) -> None:
    said = opened("book", "verify", "--head", head)
    assert said.code == 2
    assert "is no head such as 41:9f2c" in said.err


def test_the_first_bad_record_is_named(opened: CommandLine, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER no_record_changes")
        changed = "CAST(replace(CAST(payload AS TEXT), '1000000000', '9000000000') AS BLOB)"
        connection.execute(f"UPDATE journal SET payload = {changed} WHERE sequence = 3")
    for command in ("verify", "balance", "history", "export"):
        said = opened("book", command)
        assert said.code == 1, command
        assert "journal record 3: was changed after it was written" in said.err


# --- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("transfer", CASH, HEDGE, "1e5", "USDC"), 2, "'1e5' is not a plain decimal number"),
        (("transfer", CASH, HEDGE, "1", "DOGE"), 2, "DOGE is no asset of this policy; USDC"),
        (("transfer", CASH, HEDGE, "1", "USDC", "--id", "xyz"), 2, "'xyz' is not an id"),
        (
            ("transfer", CASH, HEDGE, "1", "USDC", "--expires", "soon"),
            2,
            "'soon' is not a time with its zone",
        ),
        (("price", "index/BTC", "65000"), 2, "is no quote such as v1=65000.5"),
        (
            ("balance", "client/alice"),
            2,
            "client/alice is no compartment of this policy; these are: clearing",
        ),
        (("history", "nowhere"), 2, "nowhere is no compartment of this policy"),
        (("open", POLICY, "--planes", "ledger,vault"), 2, "a book enforces the plane ledger so far"),
    ],
)
def test_a_mistake_is_explained_and_nothing_is_written(
    opened: CommandLine, words: tuple[str, ...], code: int, error: str
) -> None:
    before = head_of(opened("book", "verify", "--json"))
    said = opened("book", *words)
    assert (said.code, said.out) == (code, "")
    assert error in " ".join(said.err.split())
    assert head_of(opened("book", "verify", "--json")) == before


def test_a_book_that_is_not_there_is_not_made_by_accident(ringfence: CommandLine, path: Path) -> None:
    for words in (("transfer", CASH, HEDGE, "1", "USDC"), ("balance",), ("verify",), ("key", "new", "all")):
        said = ringfence("book", *words)
        assert said.code == 2
        assert "there is no book here" in said.err
    assert list(path.parent.iterdir()) == []


def test_another_policy_is_refused_with_what_differs(opened: CommandLine, tmp_path: Path) -> None:
    wider = tmp_path / "wider.yaml"
    text = (
        Path(POLICY)
        .read_text()
        .replace('limit: {each: {USDC: "1000000 per 1 d"}}', 'limit: {each: {USDC: "2000000 per 1 d"}}', 1)
    )
    wider.write_text(text)
    said = opened("book", "open", str(wider))
    assert said.code == 2
    words = " ".join(said.err.split())
    assert "the book obeys another policy; to become this one it" in words
    assert "widens: gate fund" in words


def test_a_wrong_policy_makes_no_book(ringfence: CommandLine, path: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("ringfence: 1\nname: bad\ncolour: red\n")
    said = ringfence("book", "open", str(tmp_path / "bad.yaml"))
    assert said.code == 2
    assert "bad.yaml:3" in said.err
    assert not path.exists()


def test_a_file_that_is_no_book_is_refused(ringfence: CommandLine, path: Path) -> None:
    path.write_text("account;amount\n")
    for words in (("open", POLICY), ("balance",), ("verify",)):
        said = ringfence("book", *words)
        assert said.code == 2
        assert "is not a book" in said.err
    assert path.read_text() == "account;amount\n"


def test_a_second_writer_is_refused_and_readers_are_not(opened: CommandLine, path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from ringfence.adapters.book_sqlite import open_file\n"
        "store = open_file(Path(sys.argv[1])); print('open', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        said = opened("book", "transfer", CASH, HEDGE, "1", "USDC")
        assert said.code == 3
        assert f"is being written by process {writer.pid}; one writer at a time" in " ".join(said.err.split())
        assert opened("book", "verify").code == 0
        assert balances(opened)[CASH] == "1000"
        writer.communicate("\n")
    assert opened("book", "transfer", CASH, HEDGE, "1", "USDC").code == 0


def test_a_clock_that_went_back_is_refused(opened: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    from ringfence.adapters.system_clock import SystemClock

    monkeypatch.setattr(SystemClock, "now", lambda clock: 1_000_000_000 * 10**9)
    said = opened("book", "transfer", CASH, HEDGE, "1", "USDC")
    assert said.code == 2
    assert "the clock says 2001-09-09T01:46:40Z, and the book was written at" in " ".join(said.err.split())


def test_a_shortened_file_is_found(opened: CommandLine, path: Path) -> None:
    for name in ("-wal", "-shm"):
        path.with_name(path.name + name).unlink(missing_ok=True)
    os.truncate(path, path.stat().st_size - 65_536)
    said = opened("book", "verify")
    assert said.code == 1
    assert said.err.startswith("error: journal record")


def test_a_checkpoint_that_is_due_is_taken_and_a_wrong_key_does_not_hinder_it(
    opened: CommandLine, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "CHECKPOINT_RECORDS", 4)
    key = path.with_name("harbour.book.keys") / "ledger_key.key"
    key.write_text("11" * 32 + "\n")
    for member in ("bob", "carol"):
        said = opened("book", "client", "add", member)
        assert "accepted" in said.out
    with closing(read_book(path)) as book:
        assert book.last_checkpoint is not None
        assert book.last_checkpoint.signatures == ()
        assert book.opened_from == book.last_checkpoint.sequence + 1
