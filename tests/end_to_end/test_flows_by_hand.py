"""Every flow of a book that a person carries out, typed with `ringfence book` and nothing else.

What the flows do is tested in tests/unit/planes/ledger; here is what people type and read.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import CommandLine

from ringfence.kernel.money import PRICE_SCALE, show_decimal

CASH, HEDGE, BET = "client/alice/cash", "client/alice/hedge", "client/alice/directional"
LATE = "2100-01-01T00:00:00Z"
FULL_ID = "000000000000000000000000000000"


def prepare(folder: Path, policy: str, members: tuple[str, ...], deposits: tuple[str, ...]) -> Path:
    """Make a book with every key, members and deposits (`TARGET AMOUNT ASSET`) in a folder; it is copied."""
    at = ["--at", str(folder / "harbour.book")]
    steps = [["open", policy], ["key", "new", "all"], *(["client", "add", name] for name in members)]
    for number, deposit in enumerate(deposits):
        steps.append(["deposit", *deposit.split(), "--reference", f"tx{number}"])
    for words in steps:
        subprocess.run([sys.executable, "-m", "ringfence", "book", *words, *at], check=True)
    return folder


@pytest.fixture(scope="module")
def venue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deposits = ("client/alice/cash 1000 USDC", "client/bob/cash 1000 USDC", "client/bob/cash 0.01 BTC")
    return prepare(tmp_path_factory.mktemp("venue"), "venue", ("alice", "bob"), deposits)


@pytest.fixture(scope="module")
def custodian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    deposits = ("client/zoe/vault 1000 USDC", "institution/acme 1 BTC")
    return prepare(tmp_path_factory.mktemp("custodian"), "custodian", ("acme", "zoe"), deposits)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "harbour.book"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RINGFENCE_BOOK", str(file))
    monkeypatch.delenv("RINGFENCE_KEYS", raising=False)
    return file


class Person:
    """Types `ringfence book ...` and expects how it ends."""

    def __init__(self, ringfence: CommandLine) -> None:
        self._ringfence = ringfence

    def does(self, *words: str) -> str:
        """Type a command that is to succeed, and read what it prints."""
        said = self._ringfence(*words)
        assert said.code == 0, said.out + said.err
        return " ".join(said.out.split())

    def reads(self, *words: str) -> list[dict[str, object]]:
        """Type a command that is to succeed, and read its JSON."""
        said = self._ringfence(*words, "--json")
        assert said.code == 0, said.out + said.err
        return said.json

    def is_refused(self, *words: str) -> str:
        """Type a command that the book is to refuse, and read why."""
        said = self._ringfence(*words, "--json")
        assert said.code == 1, said.out + said.err
        return said.json[-1]["reason"]

    def errs(self, *words: str) -> str:
        """Type a command that cannot be meant, and read what would be right."""
        said = self._ringfence(*words)
        assert said.code == 2, said.out + said.err
        return " ".join(said.err.split())

    def is_told(self, *words: str) -> str:
        """Type a command that the book is to refuse, and read what people are told."""
        said = self._ringfence(*words)
        assert said.code == 1, said.out + said.err
        return " ".join(said.out.split())

    def balance(self, compartment: str, asset: str = "USDC") -> str:
        lines = self.reads("book", "balance", compartment)
        return next((str(line["amount"]) for line in lines if line["asset"] == asset), "0")

    def price(self, dollars: int, name: str = "index/BTC") -> None:
        self.does("book", "price", name, f"v1={dollars}", f"v2={dollars}", f"v3={dollars}")


@pytest.fixture
def at_venue(
    venue: Path, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    shutil.copytree(venue, path.parent, dirs_exist_ok=True)
    return Person(CommandLine(monkeypatch, capsys))


@pytest.fixture
def at_custodian(
    custodian: Path, path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    shutil.copytree(custodian, path.parent, dirs_exist_ok=True)
    return Person(CommandLine(monkeypatch, capsys))


# --- keys --------------------------------------------------------------------------------------


def test_a_revoked_key_at_hand_does_not_spoil_a_stop(at_custodian: Person) -> None:
    at_custodian.does("book", "key", "revoke", "operator_a", "a laptop was lost")
    at_custodian.does("book", "freeze", "book", "who knows what it signed")
    at_custodian.does("book", "resume", "book", "nothing was lost")
    assert at_custodian.reads("book", "stops") == []


# --- chains, holds, exchanges ------------------------------------------------------------------


def test_a_deposit_typed_again_brings_in_nothing_twice(at_venue: Person) -> None:
    deposit = ("book", "deposit", CASH, "1000", "USDC", "--reference", "tx0")
    assert at_venue.does(*deposit) == "repeated receipt tx0: 1000 USDC for client/alice/cash"
    assert at_venue.balance(CASH) == "1000"
    other = ("book", "deposit", CASH, "999", "USDC", "--reference", "tx0")
    assert at_venue.is_refused(*other) == "ID_USED_WITH_OTHER_CONTENT"


def test_a_chain_happens_as_a_whole_or_not_at_all(at_venue: Person) -> None:
    said = at_venue.does("book", "chain", f"{CASH} {HEDGE} 100 USDC", f"{CASH} {BET} 50 USDC fund")
    assert said.startswith(
        "accepted 2 links, all or none 100 USDC from client/alice/cash to client/alice/hedge"
    )
    refused = ("book", "chain", f"{CASH} {HEDGE} 100 USDC", f"{CASH} {BET} 5000 USDC")
    assert at_venue.is_refused(*refused) == "FREE_BALANCE_TOO_LOW"
    assert (at_venue.balance(CASH), at_venue.balance(HEDGE)) == ("850", "100")
    assert "'a b c' is no move; write four words" in at_venue.errs("book", "chain", "a b c")


def test_a_refused_chain_names_its_link(at_venue: Person) -> None:
    said = at_venue.is_told("book", "chain", f"{CASH} {HEDGE} 1 USDC", f"{CASH} {BET} 5000 USDC")
    assert "link 2: FREE_BALANCE_TOO_LOW" in said


def test_a_chain_is_held_and_posted_in_parts(at_venue: Person) -> None:
    at_venue.does(
        "book",
        "hold",
        "chain",
        f"{CASH} {HEDGE} 10 USDC",
        f"{CASH} {BET} 20 USDC",
        "--until",
        LATE,
        "--id",
        "a1",
    )
    at_venue.does("book", "hold", "new", CASH, HEDGE, "5", "USDC", "--until", LATE, "--id", "a2")
    assert "holds 2 moves, and 1 amounts were given" in at_venue.errs(
        "book", "hold", "post", "a1", "--amount", "5"
    )
    assert "is of one hold, and 2 were named" in at_venue.errs(
        "book", "hold", "post", "a1", "a2", "--amount", "5"
    )
    said = at_venue.does("book", "hold", "post", "a1", "--amount", "5", "--amount", "0")
    assert f"accepted post hold {FULL_ID}a1, in part" in said
    assert (at_venue.balance(HEDGE), at_venue.balance(BET)) == ("5", "0")


def test_holds_end_together_or_not_at_all(at_venue: Person) -> None:
    for name in ("a1", "a2"):
        at_venue.does("book", "hold", "new", CASH, HEDGE, "5", "USDC", "--until", LATE, "--id", name)
    assert at_venue.is_refused("book", "hold", "post", "a1", "a3") == "HOLD_UNKNOWN"
    assert len(at_venue.reads("book", "hold", "list")) == 2
    at_venue.does("book", "hold", "post", "a1", "a2")
    assert at_venue.is_refused("book", "hold", "void", "a1", "a2") == "HOLD_HAS_ENDED"
    assert at_venue.balance(HEDGE) == "10"


def test_two_clients_exchange_a_block_each_signing_at_home(at_venue: Person, path: Path) -> None:
    at_venue.price(60_000)
    legs = (f"{CASH} client/bob/cash 600 USDC", f"client/bob/cash {CASH} 0.01 BTC")
    away = path.parent / "bobs"
    (path.parent / "harbour.book.keys/client_key/bob.key").rename(away)
    at_venue.does("book", "exchange", *legs, "--announce", "--id", "b1")
    assert "client_key/bob" in str(at_venue.reads("book", "pending")[0]["waits"])
    away.rename(path.parent / "harbour.book.keys/client_key/bob.key")
    at_venue.does("book", "approve", "b1")
    done = at_venue.does("book", "carry-out", "b1")
    assert "600 USDC from client/alice/cash to client/bob/cash" in done
    assert at_venue.does("book", "carry-out", "b1").startswith("repeated carry out")
    assert (at_venue.balance(CASH), at_venue.balance(CASH, "BTC")) == ("400", "0.01")


def test_an_exchange_keeps_to_its_price_and_its_legs(at_venue: Person) -> None:
    at_venue.price(60_000)
    legs = (f"{CASH} client/bob/cash 700 USDC", f"client/bob/cash {CASH} 0.01 BTC")
    assert at_venue.is_refused("book", "exchange", *legs) == "PRICE_OUTSIDE_BAND"
    words = at_venue.errs("book", "exchange", f"{CASH} house/fees 1 USDC")
    assert (
        "no exchange of this policy has these legs; it declares block (client/{a}/cash -> client/{b}/cash"
        in words
    )


def test_what_was_never_pending_is_not_carried_out(at_venue: Person) -> None:
    at_venue.does("book", "transfer", CASH, HEDGE, "1", "USDC", "--id", "77")
    for name in ("77", "99"):
        assert f"{name} was never pending; `book pending` lists what is" in at_venue.errs(
            "book", "carry-out", name
        )


# --- trading and what becomes owed -------------------------------------------------------------


@pytest.fixture
def traded(at_venue: Person) -> Person:
    """Alice is long 10 contracts against bob at 60,000, from two orders in files."""
    at_venue.does("book", "transfer", CASH, HEDGE, "300", "USDC")
    at_venue.does("book", "transfer", "client/bob/cash", "client/bob/hedge", "300", "USDC")
    at_venue.price(60_000)
    buys = ("book", "order", "sign", HEDGE, "buy", "10", "BTC-PERP", "60000", "--to", "buy.json")
    assert "buy.json: buy 10 BTC-PERP for client/alice/hedge, signed by client_key/alice" in at_venue.does(
        *buys
    )
    sells = (
        "book",
        "order",
        "sign",
        "client/bob/hedge",
        "sell",
        "10",
        "BTC-PERP",
        "60000",
        "--to",
        "sell.json",
    )
    assert at_venue.reads(*sells)["signed"] == ["client_key/bob"]  # type: ignore[call-overload]
    at_venue.does("book", "fill", "BTC-PERP", "10", "60000", "--buyer", "buy.json", "--seller", "sell.json")
    return at_venue


def test_orders_are_signed_apart_and_filled_by_somebody_else(traded: Person) -> None:
    assert traded.balance(HEDGE, "BTC-PERP") == "10"
    wrong = traded.errs(
        "book", "fill", "BTC-PERP", "1", "60000", "--buyer", "sell.json", "--seller", "buy.json"
    )
    assert "sell.json is an order to sell, and one to buy is asked here" in wrong
    Path("torn.json").write_text('{"id": 1}')
    torn = traded.errs(
        "book", "fill", "BTC-PERP", "1", "60000", "--buyer", "torn.json", "--seller", "sell.json"
    )
    assert "torn.json is no order" in torn
    assert "`ringfence book order sign` writes one" in torn


def test_what_is_owed_is_shown_collected_and_settled(traded: Person) -> None:
    owed = {(line["accrual"], line["source"], line["amount"]) for line in traded.reads("book", "owed")}
    assert ("fees", HEDGE, "0.33") in owed
    assert "0.33 USDC from client/alice/hedge to house/fees through fee" in traded.does("book", "collect")
    assert traded.does("book", "collect") == "nothing is owed that can be collected now"
    assert "luck is not collected by itself; fees" in traded.errs("book", "collect", "--accrual", "luck")
    traded.price(61_000)
    assert "10 USDC from clearing to client/alice/hedge through settle" in traded.does(
        "book", "settle", "BTC-PERP=61000"
    )
    assert traded.does("book", "owed") == "nothing is owed"


def test_funding_is_paid_once_an_interval_either_way(traded: Person) -> None:
    traded.does("book", "collect")
    said = traded.does("book", "funding", "BTC-PERP", "0.01 %", "60000", "--shorts-pay")
    assert "0.06 USDC from client/bob/hedge to clearing through settle" in said
    assert traded.is_refused("book", "funding", "BTC-PERP", "0.01 %", "60000") == "FUNDING_NOT_DUE"


@pytest.mark.parametrize(
    ("words", "right"),
    [
        (
            ("book", "settle", "BTC-PERP"),
            "'BTC-PERP' is no price of an instrument; write e.g. BTC-PERP=65000.5",
        ),
        (("book", "settle", "DOGE=1"), "DOGE is no instrument of this policy; BTC-PERP"),
        (("book", "funding", "BTC-PERP", "0.01", "60000"), "'0.01' is no rate; write percent"),
        (("book", "funding", "BTC-PERP", "x %", "60000"), "'x' is not a plain decimal number"),
        (
            ("book", "order", "sign", HEDGE, "buy", "1", "BTC-PERP", "0", "--to", "o.json"),
            "a price is above zero",
        ),
        (
            ("book", "statement", "make", "guessed", "r"),
            "guessed is no statement; attested and reconciled are",
        ),
        (
            ("book", "session", "open", "risk", CASH, "--until", LATE),
            f"{CASH} is no bucket that trades; these do:",
        ),
        (("book", "session", "close", "a1", "done"), "no session a1 was ever opened; `book session list`"),
        (("book", "mandate", "end", "a1", "done"), "no mandate a1 is in force; `book mandate list`"),
        (("book", "mandate", "give", CASH, BET, "1", "USDC", "--until", LATE), "top_up asks for a mandate"),
        (("book", "mandate", "give", CASH, HEDGE, "1", "USDC", "--until", "soon"), "'soon' is not a time"),
        (("book", "position", "move", HEDGE, BET, "1", "BTC-PERP"), "no exchange of this policy has these"),
        (("book", "top-up", HEDGE), "client/alice/hedge is not topped up: it lacks nothing"),
        (("book", "deleverage", HEDGE), "nobody is deleveraged for client/alice/hedge: it is not bankrupt"),
    ],
)
def test_what_cannot_be_meant_is_explained(at_venue: Person, words: tuple[str, ...], right: str) -> None:
    before = at_venue.reads("book", "verify")["head"]  # type: ignore[call-overload]
    assert right in at_venue.errs(*words)
    assert at_venue.reads("book", "verify")["head"] == before  # type: ignore[call-overload]


# --- what is given beforehand ------------------------------------------------------------------


def test_a_bucket_is_topped_up_under_a_mandate_and_no_further(traded: Person) -> None:
    traded.does("book", "mandate", "give", CASH, HEDGE, "50", "USDC", "--until", LATE, "--id", "a1")
    (given,) = traded.reads("book", "mandate", "list")
    assert (given["gate"], given["moved"], given["amount"], given["state"]) == (
        "top_up",
        "0",
        "50",
        "in force",
    )
    assert "lacks nothing" in traded.errs("book", "top-up", HEDGE)
    for dollars in (45_000, 31_000, 30_100):
        traded.price(dollars)
    said = traded.does("book", "top-up", HEDGE)
    assert "from client/alice/cash to client/alice/hedge through top_up" in said
    moved = str(traded.reads("book", "mandate", "list")[0]["moved"])
    assert 0 < float(moved) <= 50
    assert traded.balance(HEDGE) == show_decimal(int((300 + float(moved)) * PRICE_SCALE), 10)
    assert "accepted end mandate" in traded.does("book", "mandate", "end", "a1", "enough")
    assert traded.does("book", "mandate", "list") == "no mandate is in force"


def test_a_session_is_opened_listed_and_closed(at_venue: Person) -> None:
    said = at_venue.does("book", "session", "open", "risk", HEDGE, "--until", LATE, "--id", "b1")
    assert f"accepted session of client_key/alice at risk for {HEDGE} its id is {FULL_ID}b1" in said
    (one,) = at_venue.reads("book", "session", "list")
    assert (one["key"], one["service"], one["state"]) == ("client_key/alice", "risk", "open")
    at_venue.does("book", "session", "close", "b1", "done for today")
    assert at_venue.reads("book", "session", "list")[0]["state"] == "closed"
    assert (
        at_venue.is_refused("book", "session", "open", "gateway", HEDGE, "--until", LATE) == "SERVICE_UNKNOWN"
    )
    several = ("book", "session", "open", "risk", HEDGE, "client/bob/hedge", "--until", LATE)
    assert "ask for client_key/alice, client_key/bob; name one with --key" in at_venue.errs(*several)


def test_an_address_cools_before_it_is_paid_to(at_venue: Person) -> None:
    at_venue.does("book", "address", "pin", "outside/alice", "bc1qalice")
    (one,) = at_venue.reads("book", "address", "list")
    assert (one["compartment"], one["address"], one["state"]) == ("outside/alice", "bc1qalice", "cooling")
    withdraw = ("book", "transfer", CASH, "outside/alice", "1", "USDC")
    assert at_venue.is_refused(*withdraw) == "ADDRESS_NOT_IN_FORCE"
    assert at_venue.is_refused("book", "address", "pin", CASH, "x") == "COMPARTMENT_UNKNOWN"
    assert "bc1qalice" in at_venue.does("book", "address", "list")


def test_a_gate_opens_on_a_word_and_shuts_on_a_bad_one(at_custodian: Person) -> None:
    charge = (
        "book",
        "transfer",
        "client/zoe/vault",
        "house/fees",
        "1",
        "USDC",
        "--reason",
        "custody in October",
    )
    assert at_custodian.is_refused(*charge) == "CONDITION_NOT_MET"
    at_custodian.does("book", "statement", "make", "reconciled", "report-1")
    at_custodian.does(*charge)
    said = at_custodian.does("book", "statement", "make", "reconciled", "report-2", "--bad")
    assert said.startswith("accepted not reconciled as of")
    assert at_custodian.is_refused(*charge) == "CONDITION_NOT_MET"
    (one,) = at_custodian.reads("book", "statement", "list")
    assert (one["word"], one["holds"], one["reference"]) == ("reconciled", False, "report-2")
    early = ("book", "statement", "make", "attested", "r", "--as-of", LATE)
    assert at_custodian.is_refused(*early) == "CLOCK_WENT_BACK"


def test_a_remark_is_kept_and_moves_nothing(at_venue: Person) -> None:
    assert "accepted remark note on client/alice/hedge: seen" in at_venue.does(
        "book", "remark", HEDGE, "seen"
    )
    at_venue.does("book", "remark", HEDGE, "", "--kind", "look")
    assert (
        at_venue.reads("book", "history", "--last", "2")[0]["asked"]
        == "remark note on client/alice/hedge: seen"
    )


# --- keys --------------------------------------------------------------------------------------


def test_a_holder_makes_a_key_at_home_and_only_its_public_half_travels(at_venue: Person) -> None:
    made = at_venue.reads("book", "key", "make", "client_key/carol", "--keys", "carols")
    public = str(made["public"])  # type: ignore[call-overload]
    at_venue.does("book", "client", "add", "carol", "--public", f"client_key={public}")
    listed = {str(one["key"]): one for one in at_venue.reads("book", "key", "list")}
    assert (listed["client_key/carol"]["public"], listed["client_key/carol"]["at_hand"]) == (public, False)
    assert listed["client_key/alice"]["at_hand"] is True
    wrong = ("book", "client", "add", "dave", "--public", "client_key=00")
    assert "'00' is no public key; it is 64 hexadecimal digits" in at_venue.errs(*wrong)
    assert at_venue.is_refused("book", "key", "register", "officer_a", public) == "KEY_ALREADY_KNOWN"


def test_a_lost_key_is_replaced_by_the_spare_that_was_signed_beforehand(at_venue: Person, path: Path) -> None:
    spare = ("book", "key", "spare", "client_key/alice", "--to", "spare.json", "--until", LATE)
    at_venue.does(*spare)
    keys = path.parent / "harbour.book.keys" / "client_key"
    (keys / "alice.key").unlink()
    assert at_venue.is_refused("book", "transfer", CASH, HEDGE, "1", "USDC") == "NEEDS_NOT_MET"
    assert "client_key/alice is not at hand" in at_venue.errs(*spare)
    at_venue.does("book", "key", "bring-in", "spare.json")
    (keys / "alice.next.key").rename(keys / "alice.key")
    at_venue.does("book", "transfer", CASH, HEDGE, "1", "USDC")
    Path("torn.json").write_text("{}")
    assert "torn.json is no rotation" in at_venue.errs("book", "key", "bring-in", "torn.json")


# --- a custodian's flows -----------------------------------------------------------------------


def test_credit_is_issued_on_what_is_locked_and_goes_back_with_it(at_custodian: Person) -> None:
    at_custodian.does("book", "transfer", "client/zoe/vault", "client/zoe/locked", "500", "USDC")
    issue = ("book", "transfer", "venue/issue", "venue/zoe/credit")
    assert at_custodian.is_refused(*issue, "600", "USDC-credit") == "ENTITLEMENT_EXCEEDED"
    at_custodian.does(*issue, "500", "USDC-credit")
    unlock = "client/zoe/locked client/zoe/vault 100 USDC"
    alone = at_custodian.is_told("book", "transfer", *unlock.split())
    assert "OWED_NOT_PAID: 500 USDC-credit would stand on 400 USDC in escrow" in alone
    at_custodian.does("book", "chain", unlock, "venue/zoe/credit venue/issue 100 USDC-credit")
    assert at_custodian.balance("venue/zoe/credit", "USDC-credit") == "400"


def test_a_silent_operators_gate_is_no_gate_of_the_operators_book(at_custodian: Person) -> None:
    escape = ("book", "transfer", "institution/acme", "outside/acme", "1", "BTC", "--gate", "escape_acme")
    assert at_custodian.is_refused(*escape) == "NO_GATE_BETWEEN_COMPARTMENTS"
    assert "pending" in at_custodian.does("book", "transfer", "institution/acme", "outside/acme", "1", "BTC")
