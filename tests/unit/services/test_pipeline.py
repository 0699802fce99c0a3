"""Rows ahead of the disk: the same book as batch by batch, answered only when durable, stopped when cut."""

from collections.abc import Sequence
from pathlib import Path
from threading import Event

import pytest
from books import BET, LATER, START, USDC, begun, fund, recovered, rows

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.book_sqlite import open_file
from ringfence.kernel.decision import Reason
from ringfence.kernel.errors import StoreFailed, UsageError, ViolationError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.journal import JournalRecord
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.trail import Links
from ringfence.services.ledger import Book
from ringfence.services.pipeline import Pipeline


class GatedStore(MemoryStore):
    """Writes only once the gate is open, and notes how much went into each commit."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf)
        self.gate = Event()
        self.commits: list[int] = []
        self.fails = False

    def extend(self, records: Sequence[JournalRecord], links: Sequence[Links] = ()) -> None:
        if not self.gate.wait(10):
            raise StoreFailed("nobody opened the gate")
        if self.fails:
            raise StoreFailed("the disk is full")
        super().extend(records, links)
        self.commits.append(len(records))


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def store(shelf: Shelf) -> GatedStore:
    store = GatedStore(shelf)
    store.gate.set()
    return store


@pytest.fixture
def book(store: GatedStore) -> Book:
    book = begun(store)
    store.commits.clear()
    return book


def batches(book: Book, count: int):  # type: ignore[no-untyped-def]
    return [rows(book, (200 + number, 1)) for number in range(count)]


def test_ahead_of_the_disk_is_the_same_book(book: Book, shelf: Shelf) -> None:
    other = begun(MemoryStore())
    made = [rows(book, (300, 5), (301, 2_000 * USDC)), rows(book, (300, 5)), rows(book, (302, 7))]
    expected = [other.submit_rows(batch, LATER).codes.tolist() for batch in made]
    with book.ahead() as pipeline:
        tickets = [pipeline.submit_rows(batch, LATER) for batch in made]
    assert [ticket.result().codes.tolist() for ticket in tickets] == expected
    assert book.state.digest() == other.state.digest()
    assert book.head == other.head
    book.submit([fund(40, "alice", 1)], LATER)
    book.close()
    assert recovered(MemoryStore(shelf)).head == book.head


def test_nothing_is_answered_before_it_is_durable_and_what_waits_goes_together(
    book: Book, store: GatedStore, shelf: Shelf
) -> None:
    written = len(shelf.records)
    with book.ahead(depth=8) as pipeline:
        store.gate.clear()
        tickets = [pipeline.submit_rows(batch, LATER) for batch in batches(book, 5)]
        assert len(shelf.records) == written
        assert not any(ticket._written.done() for ticket in tickets)
        store.gate.set()
        assert [ticket.result().codes.tolist() for ticket in tickets] == [[0]] * 5
    assert sum(store.commits) == 5
    assert len(store.commits) <= 2
    assert len(shelf.records) == written + 5


def test_times_go_forward_before_anything_is_written(book: Book, store: GatedStore, shelf: Shelf) -> None:
    with book.ahead() as pipeline:
        store.gate.clear()
        for batch in batches(book, 3):
            pipeline.submit_rows(batch, LATER)
        with pytest.raises(UsageError, match="clock"):
            pipeline.submit_rows(rows(book, (210, 1)), Instant(START - 60 * SECOND_NS))
        store.gate.set()
    assert [record.at - LATER for record in shelf.records[-3:]] == [0, 1, 2]


def test_only_rows_go_in_while_a_pipeline_is_open(book: Book) -> None:
    with book.ahead() as pipeline:
        for ask in (
            lambda: book.submit([fund(1, "alice", 1)], LATER),
            lambda: book.submit_rows(batches(book, 1)[0], LATER),
            lambda: book.state,
            lambda: book.ahead().__enter__(),
        ):
            with pytest.raises(StoreFailed, match="pipeline"):
                ask()
        pipeline.wait()
    assert book.state.balance(BET, "USDC") == 0


def test_a_commit_that_fails_stops_the_book_and_answers_nothing_after_it(
    book: Book, store: GatedStore, shelf: Shelf
) -> None:
    written, made = len(shelf.records), batches(book, 4)

    def use(pipeline: Pipeline) -> None:
        assert pipeline.submit_rows(made[0], LATER).result().codes.tolist() == [0]
        store.gate.clear()
        store.fails = True
        tickets = [pipeline.submit_rows(batch, LATER) for batch in made[1:]]
        store.gate.set()
        for ticket in tickets:
            with pytest.raises(StoreFailed):
                ticket.result()
        with pytest.raises(StoreFailed, match="stopped"):
            pipeline.submit_rows(rows(book, (299, 1)), LATER)

    with pytest.raises(StoreFailed), book.ahead() as pipeline:
        use(pipeline)
    assert len(shelf.records) == written + 1
    with pytest.raises(StoreFailed, match="stopped"):
        book.submit([fund(41, "alice", 1)], LATER)
    shelf.is_taken = False
    again = recovered(MemoryStore(shelf))
    assert again.state.balance(BET, "USDC") == 1
    assert again.submit_rows(made[0], LATER).codes.tolist() != [Reason.ID_ALREADY_REFUSED]


def test_judging_that_breaks_off_stops_the_book(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise ViolationError("a law was broken")

    made = batches(book, 1)
    monkeypatch.setattr(RowLane, "judge_batch", breaks)
    with pytest.raises(ViolationError), book.ahead() as pipeline:
        pipeline.submit_rows(made[0], LATER)
    with pytest.raises(StoreFailed, match="cut short"):
        book.submit([fund(42, "alice", 1)], LATER)


def test_a_batch_that_cannot_be_meant_stops_nothing(book: Book) -> None:
    late = rows(book, (220, 1))
    with book.ahead() as pipeline:
        pipeline.submit_rows(rows(book, (221, 1), member="alice"), LATER)
        with pytest.raises(UsageError):
            pipeline.submit_rows(late.signed(()).__class__(7, bytes(32), (), b"", 0, late.transfers), LATER)
        assert pipeline.submit_rows(rows(book, (222, 1)), LATER).result().codes.tolist() == [0]
    assert book.state.balance(BET, "USDC") == 2


def test_a_thread_of_its_own_commits_to_the_file(tmp_path: Path) -> None:
    book = begun(open_file(tmp_path / "pier.book", may_create=True))
    with book.ahead() as pipeline:
        for batch in batches(book, 10):
            pipeline.submit_rows(batch, LATER)
    head = book.head
    book.close()
    assert recovered(open_file(tmp_path / "pier.book")).head == head
