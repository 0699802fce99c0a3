"""What every store of a book's journal must do, whatever keeps it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from journals import journal

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.book_sqlite import open_file
from ringfence.kernel.errors import StoreBusy, StoreFailed
from ringfence.planes.ledger.journal import head_of, verify_chain
from ringfence.services.ports import BookStore

OpenStore = Callable[[], BookStore]


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    """Return a function that opens the one book of the test for writing."""
    if request.param == "memory":
        shelf = Shelf()
        return lambda: MemoryStore(shelf)
    return lambda: open_file(tmp_path / "harbour.book", may_create=True)


def test_a_new_book_has_no_records_and_no_head(open_store: OpenStore) -> None:
    store = open_store()
    assert store.head() is None
    assert list(store.records()) == []


def test_records_come_back_as_they_were_written(open_store: OpenStore) -> None:
    store, records = open_store(), journal(5)
    for record in records:
        store.append(record)
        assert store.head() == head_of(record)
    assert list(store.records()) == records
    assert list(store.records(3)) == records[3:]
    assert list(store.records(5)) == []


def test_records_are_there_when_the_book_is_opened_again(open_store: OpenStore) -> None:
    records = journal(4)
    for part in (records[:2], records[2:]):
        store = open_store()
        for record in part:
            store.append(record)
        store.close()
    store = open_store()
    assert list(verify_chain(store.records(), store.head())) == records


def test_a_second_writer_is_refused_at_once(open_store: OpenStore) -> None:
    first = open_store()
    with pytest.raises(StoreBusy, match="writ"):
        open_store()
    first.append(journal(1)[0])
    first.close()
    open_store().close()


def test_a_refused_second_writer_does_not_let_a_third_in(open_store: OpenStore) -> None:
    first = open_store()
    for _ in range(2):
        with pytest.raises(StoreBusy):
            open_store()
    first.close()


@pytest.mark.parametrize("sequence", [0, 1, 3], ids=["again", "again_the_newest", "with_a_gap"])
def test_a_record_that_does_not_follow_the_head_is_refused(open_store: OpenStore, sequence: int) -> None:
    store, records = open_store(), journal(4)
    for record in records[:2]:
        store.append(record)
    with pytest.raises(StoreFailed):
        store.append(records[sequence])
    store.close()
    assert list(open_store().records()) == records[:2]


def test_a_closed_store_takes_nothing_and_closes_twice(open_store: OpenStore) -> None:
    store = open_store()
    store.close()
    store.close()
    with pytest.raises(StoreFailed):
        store.append(journal(1)[0])


def test_reading_goes_on_while_the_writer_appends(open_store: OpenStore) -> None:
    store, records = open_store(), journal(6)
    for record in records[:3]:
        store.append(record)
    reading = store.records()
    read = [next(reading)]
    store.append(records[3])
    read.extend(reading)
    assert read in (records[:3], records[:4])


def test_the_widest_numbers_and_an_empty_payload_are_kept(open_store: OpenStore) -> None:
    store = open_store()
    record = replace(journal(1)[0], at=2**63 - 1, payload=b"")
    store.append(record)
    assert list(store.records()) == [record]
