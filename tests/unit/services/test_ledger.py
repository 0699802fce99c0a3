"""The book answers only what is in the journal, stops when it cannot write, and recovers what it answered."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import msgspec
import pytest
from books import START, TEXT, USDC, begun, fund, policy, recovered
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.decision import Accepted, Decision, Reason, Refused
from ringfence.kernel.errors import BadInput, JournalBroken, StoreFailed, UsageError, ViolationError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.journal import (
    Answered,
    Genesis,
    JournalRecord,
    batch_record,
    genesis_record,
    head_of,
    read_batch,
    read_genesis,
)
from ringfence.planes.ledger.laws import Violation
from ringfence.planes.ledger.operations import Operation, Remark
from ringfence.planes.ledger.trail import Links
from ringfence.services.ledger import OPERATIONS_PER_BATCH_MAX, STEP_BACK_NS_MAX, Book
from ringfence.services.margin_view import NoMargin

LATER = Instant(START + SECOND_NS)
BETS = "client/alice/bet"


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def book(shelf: Shelf) -> Book:
    return begun(MemoryStore(shelf))


def reopen(shelf: Shelf) -> Book:
    return recovered(MemoryStore(shelf))


def remark(number: int) -> Remark:
    return Remark("call", "client/alice/bet", f"words {number}")


# --- asking and answering ----------------------------------------------------------------------


def test_what_was_answered_is_in_the_journal(book: Book, shelf: Shelf) -> None:
    operations = [fund(10, "alice", 5), fund(11, "bob", 5), fund(10, "alice", 5)]
    outcomes = book.submit(operations, LATER)
    lines = read_batch(shelf.records[-1])
    assert [line.operation for line in lines] == operations
    assert [line.decision for line in lines] == [outcome.decision for outcome in outcomes]
    assert [line.entries for line in lines] == [outcome.entries for outcome in outcomes]
    accepted, refused, repeated = outcomes
    assert accepted.decision == Accepted()
    assert isinstance(refused.decision, Refused)
    assert refused.decision.reason is Reason.FREE_BALANCE_TOO_LOW
    assert refused.decision.rule == "pier.yaml:25"
    assert repeated.decision == Accepted(repeated=True)


def test_a_recovered_book_is_the_same_book(book: Book, shelf: Shelf) -> None:
    book.submit([fund(10, "alice", 5), fund(11, "bob", 5)], LATER)
    digest, head = book.state.digest(), book.head
    book.close()
    again = reopen(shelf)
    assert (again.state.digest(), again.head, again.genesis) == (digest, head, book.genesis)
    outcomes = again.submit([fund(10, "alice", 5), fund(11, "bob", 5)], LATER)
    assert outcomes[0].decision == Accepted(repeated=True)
    assert isinstance(outcomes[1].decision, Refused)
    assert outcomes[1].decision.reason is Reason.ID_ALREADY_REFUSED
    assert again.state.balance(BETS, "USDC") == 5


def test_refusals_keep_naming_the_lines_of_the_file(book: Book, shelf: Shelf) -> None:
    book.close()
    (outcome,) = reopen(shelf).submit([fund(10, "alice", 1_001 * USDC)], LATER)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason is Reason.GATE_LIMIT_EXCEEDED
    assert outcome.decision.rule == "pier.yaml:25"


@settings(max_examples=30)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.integers(2, 12), st.sampled_from(["alice", "bob"]), st.integers(0, 700))),
        max_size=6,
    ),
    reopened=st.integers(0, 6),
)
def test_recovery_gives_back_every_state(batches: list[list[tuple[int, str, int]]], reopened: int) -> None:
    shelf = Shelf()
    book = begun(MemoryStore(shelf))
    for place, batch in enumerate(batches):
        book.submit([fund(number, member, units * USDC) for number, member, units in batch], START)
        if place == reopened:
            book.close()
            book = reopen(shelf)
    digest = book.state.digest()
    book.close()
    assert reopen(shelf).state.digest() == digest


def test_an_empty_batch_writes_nothing(book: Book, shelf: Shelf) -> None:
    assert book.submit([], LATER) == ()
    assert len(shelf.records) == 2


@pytest.mark.parametrize(
    ("count", "fits"), [(OPERATIONS_PER_BATCH_MAX, True), (OPERATIONS_PER_BATCH_MAX + 1, False)]
)
def test_a_batch_has_a_limit(book: Book, shelf: Shelf, count: int, fits: bool) -> None:
    if fits:
        assert len(book.submit([remark(1)] * count, LATER)) == count
    else:
        with pytest.raises(UsageError, match="10001 operations is too long; submit 10000 at most"):
            book.submit([remark(1)] * count, LATER)
        assert len(shelf.records) == 2
        assert book.submit([remark(1)], LATER)


def test_the_history_of_a_compartment_is_what_was_booked_there(book: Book) -> None:
    book.submit([fund(10, "alice", 5), remark(1), fund(11, "bob", 5), fund(12, "alice", 6)], LATER)
    dated = list(book.lines(BETS))
    assert [(one.sequence, one.place, one.at) for one in dated] == [(2, 0, LATER), (2, 3, LATER)]
    assert [one.line.entries[0].units for one in dated] == [5, 6]
    assert len(list(book.lines())) == 4 + 6


# --- time --------------------------------------------------------------------------------------


def test_time_never_stands_still_or_goes_back(book: Book, shelf: Shelf) -> None:
    last = book.head.at
    for given_at, taken in [
        (last + 5, last + 5),
        (last + 5, last + 6),
        (last + 1, last + 7),
        (last + 7 - STEP_BACK_NS_MAX, last + 8),
        (last + 9, last + 9),
    ]:
        book.submit([remark(1)], Instant(given_at))
        assert shelf.records[-1].at == taken
        assert book.state.at in (taken, START + 1)


def test_a_clock_further_back_is_refused_and_nothing_happens(book: Book, shelf: Shelf) -> None:
    with pytest.raises(UsageError, match=r"the clock says 2025-10-09T08:53:10Z.* set the clock right"):
        book.submit([fund(10, "alice", 5)], Instant(START - STEP_BACK_NS_MAX))
    assert len(shelf.records) == 2
    assert book.state.balance(BETS, "USDC") == 0
    book.submit([fund(10, "alice", 5)], LATER)
    assert book.state.balance(BETS, "USDC") == 5


@pytest.mark.parametrize("at", [-1, 2**63])
def test_a_time_no_book_can_have_is_refused(book: Book, at: int) -> None:
    with pytest.raises(UsageError, match="no time a book can have"):
        book.submit([remark(1)], Instant(at))


# --- when writing fails ------------------------------------------------------------------------


class FailingStore(MemoryStore):
    """A store whose append fails from `failing_from` on; `keeps` what it failed to confirm, or not."""

    def __init__(self, shelf: Shelf, failing_from: int, *, keeps: bool) -> None:
        super().__init__(shelf)
        self._failing_from = failing_from
        self._keeps = keeps

    def extend(self, records: Sequence[JournalRecord], links: Sequence[Links] = ()) -> None:
        if records[0].sequence >= self._failing_from:
            if self._keeps:
                super().extend(records, links)
            raise StoreFailed("the disk is full")
        super().extend(records, links)


@pytest.mark.parametrize("keeps", [False, True], ids=["lost", "kept_unconfirmed"])
def test_a_failed_write_stops_the_book_and_nothing_is_half_applied(shelf: Shelf, keeps: bool) -> None:
    store = FailingStore(shelf, failing_from=3, keeps=keeps)
    book = begun(store)
    book.submit([fund(10, "alice", 5)], LATER)
    with pytest.raises(StoreFailed, match="the disk is full"):
        book.submit([fund(11, "alice", 7)], LATER)
    for attempt in (lambda: book.submit([remark(1)], LATER), lambda: book.state):
        with pytest.raises(StoreFailed, match=r"stopped.*open the book again"):
            attempt()
    book.close()

    again = reopen(shelf)
    assert again.state.balance(BETS, "USDC") == (12 if keeps else 5)
    (outcome,) = again.submit([fund(11, "alice", 7)], LATER)
    assert outcome.decision == Accepted(repeated=keeps)
    assert again.state.balance(BETS, "USDC") == 12


def test_a_broken_law_stops_the_book(book: Book, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ViolationError("USDC: debits 1 and credits 2 must be equal")

    monkeypatch.setattr(BookState, "_fault_of_laws", breaks)
    with pytest.raises(ViolationError):
        book.submit([fund(10, "alice", 5)], LATER)
    monkeypatch.undo()
    with pytest.raises(StoreFailed, match="stopped"):
        book.submit([remark(1)], LATER)
    book.close()
    assert reopen(shelf).state.balance(BETS, "USDC") == 0


def test_a_request_that_broke_a_law_stays_refused_when_the_program_is_mended(
    book: Book, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal says what was answered and stopped then; a mended program would answer otherwise."""
    broken = (Violation("conservation", "asset/USDC", "a unit was lost"),)
    answers = iter((broken, ()))
    monkeypatch.setattr("ringfence.planes.ledger.book.violations", lambda *_: next(answers))
    (outcome,) = book.submit([fund(10, "alice", 5)], LATER)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason == Reason.LAW_BROKEN
    monkeypatch.undo()
    book.close()
    again = reopen(shelf)
    assert set(again.state.frozen()) == {"stop asset/USDC", "withdrawals book"}
    assert again.state.balance(BETS, "USDC") == 0
    (retried,) = again.submit([fund(10, "alice", 5)], Instant(LATER + 1))
    assert isinstance(retried.decision, Refused)
    assert retried.decision.reason == Reason.ID_ALREADY_REFUSED


def test_a_closed_book_takes_nothing(book: Book) -> None:
    book.close()
    with pytest.raises(StoreFailed, match="closed"):
        book.submit([remark(1)], LATER)


def test_an_empty_store_is_no_book() -> None:
    with pytest.raises(BadInput, match="nothing was ever written"):
        recovered(MemoryStore())


def test_a_book_is_begun_once(book: Book, shelf: Shelf) -> None:
    book.close()
    with pytest.raises(StoreFailed):
        begun(MemoryStore(shelf))
    shelf.is_taken = False
    assert reopen(shelf).head == book.head


# --- a journal that was rewritten with matching hashes -----------------------------------------

Change = Callable[[Answered], Answered]


def rewritten(records: list[JournalRecord], sequence: int, change: Change) -> Iterator[JournalRecord]:
    """Change the first line of one batch and seal everything from there on again, as a forger would."""
    head = None
    for record in records:
        if head is None:
            yield record
            head = head_of(record)
            continue
        lines = list(read_batch(record))
        if record.sequence == sequence:
            lines[0] = change(lines[0])
        forged = batch_record(head, record.at, record.policy, lines)
        yield forged
        head = head_of(forged)


def more_units(line: Answered) -> Answered:
    (entry,) = line.entries
    (move,) = line.operation.links
    operation = msgspec.structs.replace(line.operation, links=(msgspec.structs.replace(move, units=9),))
    return Answered(operation, (msgspec.structs.replace(entry, units=9),))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (more_units, "accepted, and the rules answer refused .SIGNATURE_INVALID"),
        (lambda line: msgspec.structs.replace(line, entries=()), "with other entries than the rules give"),
        (
            lambda line: msgspec.structs.replace(line, repeated=True),
            "repeated, and the rules answer accepted",
        ),
        (
            lambda line: Answered(msgspec.structs.replace(line.operation, signatures=()), line.entries),
            "accepted, and the rules answer refused .NEEDS_NOT_MET",
        ),
    ],
    ids=["amount", "entries", "repeated", "signatures"],
)
def test_a_rewritten_answer_is_found_by_replay(book: Book, shelf: Shelf, change: Change, words: str) -> None:
    for number in range(10, 15):
        book.submit([fund(number, "alice", 5)], LATER)
    book.close()
    shelf.records = list(rewritten(shelf.records, 4, change))
    with pytest.raises(
        JournalBroken, match=f"journal record 4: operation 0 was answered .*{words}"
    ) as broken:
        reopen(shelf)
    assert broken.value.sequence == 4


def test_a_rewritten_policy_is_found(book: Book, shelf: Shelf) -> None:
    book.close()
    first = shelf.records[0]
    genesis = read_genesis(first)
    wider = msgspec.structs.replace(genesis, policy=genesis.policy.replace("1000 per", "9000 per"))
    assert wider != genesis
    shelf.records[0] = genesis_record(wider, first.at, first.policy)
    with pytest.raises(JournalBroken, match="journal record 0: its policy is not the one that its digest"):
        reopen(shelf)


def test_a_policy_nobody_can_read_is_found(book: Book, shelf: Shelf) -> None:
    book.close()
    genesis = msgspec.structs.replace(read_genesis(shelf.records[0]), policy="]")
    shelf.records[0] = genesis_record(genesis, START, shelf.records[0].policy)
    with pytest.raises(JournalBroken, match="journal record 0: its policy cannot be read"):
        reopen(shelf)


def test_a_book_of_another_enforcement_is_refused_in_words(book: Book, shelf: Shelf) -> None:
    book.close()
    genesis: Genesis = read_genesis(shelf.records[0])
    assert genesis.not_enforced == ()
    other = msgspec.structs.replace(genesis, not_enforced=("pier.yaml:25: fund uses `delay`",))
    shelf.records[0] = genesis_record(other, START, shelf.records[0].policy)
    with pytest.raises(BadInput, match=r"enforces another part of the policy .* fund uses `delay`"):
        reopen(shelf)


def test_a_head_noted_elsewhere_finds_a_shortened_journal(book: Book, shelf: Shelf) -> None:
    book.submit([fund(10, "alice", 5)], LATER)
    noted = book.head
    book.close()
    del shelf.records[2:]
    shelf.is_taken = False
    reopen(shelf).close()  # nothing else can see it: every sum is right
    with pytest.raises(JournalBroken, match="journal record 2: is missing; the journal went on to record 2"):
        Book.recover(MemoryStore(shelf), verify, noted=noted)


# --- policies and conditions -------------------------------------------------------------------


def test_another_policy_is_told_apart_in_sentences(book: Book) -> None:
    assert book.differences(policy()) == ()
    assert book.differences(policy("# a remark changes nothing\n" + TEXT)) == ()
    (change,) = book.differences(policy(TEXT.replace("1000 per 1 d", "2000 per 1 d")))
    assert "fund" in change
    assert "1000" in change
    assert "2000" in change


class Listening(NoMargin):
    """A margin view that says nothing and writes down what it is asked and told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Operation | Decision, Instant | None]] = []

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:
        self.heard.append((operation, at))
        return NO_CONDITIONS

    def after(self, outcome: Outcome) -> None:
        self.heard.append((outcome.decision, None))


def test_margin_is_asked_and_told_of_each_operation_and_again_on_replay(shelf: Shelf) -> None:
    live, again = Listening(), Listening()
    book = Book.found(MemoryStore(shelf), policy(), START, verify, margin_of=lambda rules: live)
    book.submit([remark(1), fund(10, "carol", 5)], LATER)
    book.close()
    (first, at), told, (second, _), (refused, _) = live.heard
    assert (first, at, told) == (remark(1), LATER, (Accepted(), None))
    assert second == fund(10, "carol", 5)
    assert isinstance(refused, Refused)
    Book.recover(MemoryStore(shelf), verify, margin_of=lambda rules: again)
    assert again.heard == live.heard


def test_a_rehearsal_answers_explains_and_writes_nothing(book: Book, shelf: Shelf) -> None:
    outcome, explanation = book.rehearse(fund(10, "alice", 2_000 * USDC), LATER)
    assert isinstance(outcome.decision, Refused)
    assert explanation is not None
    assert explanation.largest_units == 1_000 * USDC
    with pytest.raises(StoreFailed, match="only rehearsing"):
        book.submit([remark(1)], LATER)
    book.close()
    assert len(shelf.records) == 2
    outcome, explanation = reopen(shelf).rehearse(fund(10, "alice", 5), LATER)
    assert (outcome.decision, explanation) == (Accepted(), None)


def test_records_are_reported_one_by_one(book: Book, shelf: Shelf) -> None:
    book.submit([remark(1)], LATER)
    book.close()
    seen: list[int] = []
    Book.recover(MemoryStore(shelf), verify, on_record=lambda record: seen.append(record.sequence))
    assert seen == [0, 1, 2]


def test_the_first_bit_that_is_flipped_is_found_on_opening(book: Book, shelf: Shelf) -> None:
    book.close()
    record = shelf.records[1]
    shelf.records[1] = replace(record, payload=record.payload.replace(b"alice", b"blice", 1))
    with pytest.raises(JournalBroken, match="journal record 1: was changed after it was written"):
        reopen(shelf)
