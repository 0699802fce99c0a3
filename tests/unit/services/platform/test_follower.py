"""Whoever follows the book has its state, and notices an answer that the rules do not give."""

import msgspec
import pytest

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Reason
from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.journal import Answered, batch_record, head_of
from ringfence.planes.ledger.laws import Violation
from ringfence.planes.ledger.operations import (
    CarryOut,
    Move,
    OpenMember,
    Receipt,
    RegisterKey,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.services.platform.follower import Follower
from ringfence.wiring import embedded
from ringfence.wiring_files import load_policy, shipped_policy

POLICY = load_policy(shipped_policy("venue"))
NOON = Instant(4_000_000_000 * 10**9)
USDC = 10**6


def seed(key):
    return key.encode().ljust(32, b".")


def signed(record, *keys):
    content = signing_bytes(record)
    return msgspec.structs.replace(
        record, signatures=tuple(Signature(key, sign(seed(key), content)) for key in keys)
    )


def move(book, number, gate, source, target, units, *keys):
    link = Move(gate, source, target, "USDC", units)
    return signed(Request(number, (link,), book.rules.digest, NOON + DAY_NS), *keys)


@pytest.fixture
def book():
    book = embedded(None, POLICY)
    keys = ("risk_key", "ledger_key", "wallet_key", "watcher_key", "officer_a", "officer_b")
    book.submit(
        [
            *(RegisterKey(key, public_key(seed(key))) for key in keys),
            OpenMember("client", "alice", {"client_key": public_key(seed("client_key/alice"))}),
        ],
        NOON,
    )
    receipt = signed(Receipt("tx", "outside", "client/alice/cash", "USDC", 10 * USDC), "watcher_key")
    arrival = move(book, 1, "deposit", "outside", "client/alice/cash", 10 * USDC, "watcher_key", "ledger_key")
    book.submit([receipt, arrival], Instant(NOON + 1))
    return book


def follower(book):
    made = Follower(book.rules, verify)
    made.follow(tuple(book.records(0)))
    return made


def fund(book, number, units):
    ends = "client/alice/cash", "client/alice/hedge"
    return move(book, number, "fund", *ends, units, "client_key/alice")


def withdrawal(book, number, units):
    ends = "client/alice/cash", "outside/alice"
    return move(book, number, "withdraw", *ends, units, "client_key/alice", "officer_a", "wallet_key")


def test_it_has_the_state_of_the_book_and_takes_nothing_twice(book):
    made = follower(book)
    book.submit([fund(book, 2, USDC)], Instant(NOON + 2))
    records = tuple(book.records(0))
    assert [request.id for _, request in made.follow(records)] == [2]
    assert made.follow(records) == ()
    assert made.state.digest() == book.state.digest()


def test_a_request_that_waited_is_judged_as_what_it_asks_for(book):
    made = follower(book)
    book.submit([withdrawal(book, 3, USDC)], Instant(NOON + 2))
    book.submit([CarryOut(3)], Instant(NOON + 2 + HOUR_NS))
    made.follow(tuple(book.records(0)))
    assert made.state.balance("client/alice/cash", "USDC") == 9 * USDC
    assert made.state.digest() == book.state.digest()


def test_a_request_that_broke_a_law_stays_refused_where_the_program_was_mended(book, monkeypatch):
    made = follower(book)
    broken = (Violation("conservation", "asset/USDC", "a unit was lost"),)
    answers = iter((broken, ()))
    monkeypatch.setattr("ringfence.planes.ledger.book.violations", lambda *_: next(answers))
    (outcome,) = book.submit([fund(book, 4, USDC)], Instant(NOON + 2))
    assert outcome.decision.reason == Reason.LAW_BROKEN
    monkeypatch.undo()
    made.follow(tuple(book.records(0)))
    assert made.state.digest() == book.state.digest()
    assert made.state.frozen() == book.state.frozen()


def test_an_answer_that_the_rules_do_not_give_is_noticed(book):
    made = follower(book)
    unsigned = msgspec.structs.replace(fund(book, 5, USDC), signatures=())
    book.submit([unsigned], Instant(NOON + 2))
    *before, _ = book.records(0)
    false = batch_record(head_of(before[-1]), Instant(NOON + 2), book.rules.digest, [Answered(unsigned)])
    with pytest.raises(JournalBroken, match="NEEDS_NOT_MET"):
        made.follow((false,))
    assert made.sequence == before[-1].sequence


def test_a_record_that_is_missing_is_noticed(book):
    made = Follower(book.rules, verify)
    with pytest.raises(JournalBroken):
        made.follow(tuple(book.records(1)))
