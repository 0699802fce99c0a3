"""A book that adopts another policy: journalled, replayed under the policy in force at each record."""

import pytest
from books import START, TEXT, USDC, deposit, fund, opening, policy, seed, sign_request

from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import sign, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import JournalBroken, UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.journal import Kind, read_batch
from ringfence.planes.ledger.operations import CompleteAdoption, Move, Remark, Request, Signature
from ringfence.planes.ledger.rows import Draft, Route, blank_transfers, write_ids
from ringfence.services import instructions
from ringfence.services.ledger import Book

WORDS = "adoption: {needs: ledger_key, delay: 1 h}\nzones:"
OLD = TEXT.replace("zones:", WORDS)
LESS = OLD.replace("USDC: 1000 per 1 d", "USDC: 100 per 1 d")
MORE = OLD.replace("USDC: 1000 per 1 d", "USDC: 5000 per 1 d")
FUNDING = Move("fund", "client/alice/cash", "client/alice/bet", "USDC", 60 * USDC)


def sign_as(key, message):
    return Signature(key, sign(seed(key), message))


def begun(shelf: Shelf) -> Book:
    book = Book.found(MemoryStore(shelf), policy(OLD), START, verify)
    asked = [*opening("alice", "bob"), *deposit(1, "alice", 1_000 * USDC)]
    request = asked[-1]  # signed for another policy, so sign it again
    bare = Request(request.id, request.links, book.rules.digest, request.expires)
    asked[-1] = sign_request(bare, "watcher_key", "ledger_key")
    outcomes = book.submit(asked, Instant(START + 1))
    assert all(outcome.decision == Accepted() for outcome in outcomes), outcomes
    return book


def propose(book: Book, text: str, number: int):
    return instructions.adoption(
        book.rules, policy(text), sign_as, identifier=RequestId(number), expires=Instant(START + DAY_NS)
    )


def move(book: Book, number: int, digest: bytes | None = None):
    bare = Request(RequestId(number), (FUNDING,), digest or book.rules.digest, START + DAY_NS)
    (outcome,) = book.submit([sign_request(bare, "client_key/alice")], Instant(book.head.at + 1))
    return outcome.decision


def adopted(shelf: Shelf) -> Book:
    """A book that moved, narrowed, moved, and then waited for what widens."""
    book = begun(shelf)
    assert move(book, 10) == Accepted()
    assert book.adopt(propose(book, LESS, 11), Instant(START + 11)).decision == Accepted()
    refused = move(book, 12)
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.GATE_LIMIT_EXCEEDED
    assert book.adopt(propose(book, MORE, 13), Instant(START + 13)).decision == Accepted()
    done = book.adopt(CompleteAdoption(13), Instant(START + 13 + HOUR_NS))
    assert done.decision == Accepted()
    assert move(book, 14) == Accepted()
    return book


def test_replay_follows_the_policy_in_force_at_each_record():
    shelf = Shelf()
    book = adopted(shelf)
    digests = [record.policy for record in shelf.records]
    assert len(set(digests)) == 3
    assert [record.kind for record in shelf.records].count(Kind.ADOPTION) == 3
    state = book.state.digest()
    book.close()
    again = Book.recover(MemoryStore(shelf), verify)
    assert again.state.digest() == state
    assert again.rules.digest == book.rules.digest
    lines = list(again.lines())
    assert sum(line.line.refused is None for line in lines) == len(lines) - 1


def test_a_request_for_the_policy_before_is_refused_by_name():
    book = begun(Shelf())
    before = book.rules.digest
    book.adopt(propose(book, LESS, 11), Instant(START + 11))
    refused = move(book, 12, before)
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.POLICY_DIGEST_DIFFERS
    assert "(pier), which was replaced" in refused.words


def test_an_adoption_is_no_part_of_a_batch():
    book = begun(Shelf())
    with pytest.raises(UsageError, match="in a record of its own"):
        book.submit([propose(book, LESS, 11)], Instant(START + 11))


def test_a_refused_adoption_is_journalled_and_changes_nothing():
    shelf = Shelf()
    book = begun(shelf)
    before = book.rules.digest
    unsigned = instructions.adoption(
        book.rules, policy(LESS), lambda *_: None, identifier=RequestId(11), expires=Instant(START + DAY_NS)
    )
    outcome = book.adopt(unsigned, Instant(START + 11))
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason == Reason.NEEDS_NOT_MET
    assert book.rules.digest == before
    assert read_batch(shelf.records[-1])[0].refused.reason == Reason.NEEDS_NOT_MET
    book.close()
    assert Book.recover(MemoryStore(shelf), verify).rules.digest == before


@pytest.mark.parametrize("at", [2, 3, 5])
def test_a_record_under_another_policy_than_the_one_in_force_is_found(at):
    from ringfence.planes.ledger.journal import _sealed

    shelf = Shelf()
    adopted(shelf).close()
    previous = shelf.records[at - 1].hash
    for place in range(at, len(shelf.records)):
        record = shelf.records[place]
        digest = b"\7" * 32 if place == at else record.policy
        fields = (record.sequence, Kind(record.kind), record.at, digest, previous, record.payload)
        shelf.records[place] = _sealed(*fields)
        previous = shelf.records[place].hash
    with pytest.raises(JournalBroken, match=f"record {at}: names another policy"):
        Book.recover(MemoryStore(shelf), verify)


def test_rows_go_on_under_another_policy():
    shelf = Shelf()
    book = begun(shelf)
    assert rows(book, 20, 5) == [0]
    assert move(book, 10) == Accepted()
    book.adopt(propose(book, LESS, 30), Instant(START + 30))
    assert rows(book, 20, 5) == [int(Reason.ID_USED_WITH_OTHER_CONTENT)]
    assert rows(book, 31, 20) == [0]
    assert rows(book, 32, 20) == [int(Reason.GATE_LIMIT_EXCEEDED)]
    assert book.state.balance("client/alice/bet", "USDC") == 85 * USDC
    state, lines = book.state.digest(), list(book.lines())
    book.close()
    again = Book.recover(MemoryStore(shelf), verify)
    assert again.state.digest() == state
    assert list(again.lines()) == lines


def rows(book: Book, number: int, amount: int) -> list[int]:
    draft, transfers = Draft(book.routes), blank_transfers(1)
    write_ids(transfers, [number])
    transfers["units_low"] = amount * USDC
    transfers["route"] = draft.number(Route("fund", FUNDING.source, FUNDING.target, "USDC"))
    batch = draft.batch(transfers, book.rules.digest, START + DAY_NS)
    signed = batch.signed([sign_as("client_key/alice", batch.signing_digest())])
    return book.submit_rows(signed, Instant(book.head.at + 1)).codes.tolist()


def test_a_remark_is_taken_under_any_policy():
    book = adopted(Shelf())
    (outcome,) = book.submit([Remark("note", "book", "adopted")], Instant(START + DAY_NS))
    assert outcome.decision == Accepted()
    assert fund(99, "alice", 1).policy != book.rules.digest


@pytest.mark.parametrize("with_rows", [False, True])
def test_a_book_that_adopted_opens_from_a_snapshot(with_rows: bool) -> None:
    shelf, snapshots = Shelf(), MemorySnapshots()

    def opened(**options: bool) -> Book:
        return Book.recover(MemoryStore(shelf), verify, snapshots=snapshots, **options)

    begun(shelf).close()
    book = opened()
    if with_rows:
        assert rows(book, 500, 1) == [0]
    book.adopt(propose(book, LESS, 11), Instant(START + 11))
    for number, text in ((700, MORE), (900, LESS)):
        book.checkpoint(book.head.at)
        book.close()
        book = opened()
        assert book.opened_from == book.head.sequence
        move(book, number)
        if with_rows:
            assert rows(book, number + 10, 1) == [0]
            assert rows(book, 500, 1) == [int(Reason.ID_USED_WITH_OTHER_CONTENT)]
        book.adopt(propose(book, text, number + 1), Instant(book.head.at + 1))
        book.adopt(CompleteAdoption(number + 1), Instant(book.head.at + HOUR_NS))
    book.checkpoint(book.head.at)
    found = book.state.digest(), book.rules.digest, book.head
    history = [dated.line for dated in book.lines()]
    book.close()
    for options in ({}, {"thorough": True}):
        again = opened(**options)
        assert (again.state.digest(), again.rules.digest, again.head) == found
        assert [dated.line for dated in again.lines()] == history
        assert again.prove_entry(500 if with_rows else 700).entries
        again.close()
