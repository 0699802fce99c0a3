"""The history of a compartment is read by its trail, and is what reading everything finds."""

import sqlite3
from pathlib import Path

import pytest
from books import BET, LATER, begun, deposit, fund, recovered, rows

from ringfence.adapters.book_sqlite import SqliteStore, open_file, read_file
from ringfence.planes.ledger.journal import JournalRecord
from ringfence.services.history import Dated
from ringfence.services.ledger import Book

BOB = "client/bob/bet"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A book where alice moved three times, in two lanes, and bob once."""
    path = tmp_path / "pier.book"
    book = begun(open_file(path, may_create=True))
    book.submit([fund(40, "alice", 1)], LATER)
    book.submit(deposit(41, "bob", 3), LATER)
    with book.ahead() as pipeline:
        for number in (50, 51):
            pipeline.submit_rows(rows(book, (number, 2)), LATER)
    book.submit([fund(42, "bob", 1)], LATER)
    book.submit_rows(rows(book, (52, 10**15)), LATER)
    book.close()
    return path


def scanned(book: Book, compartment: str) -> list[Dated]:
    return [
        dated
        for dated in book.lines()
        if any(compartment in (entry.debit, entry.credit) for entry in dated.line.entries)
    ]


def read_records(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note from where the store is read."""
    firsts: list[int] = []
    records = SqliteStore.records

    def noting(store: SqliteStore, first: int = 0):  # type: ignore[no-untyped-def]
        firsts.append(first)
        return records(store, first)

    monkeypatch.setattr(SqliteStore, "records", noting)
    return firsts


def test_a_history_reads_its_own_records_only(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = recovered(read_file(path))
    for compartment in (BET, BOB, "client/alice/cash", "outside", "nowhere"):
        expected = scanned(book, compartment)
        with monkeypatch.context() as patch:
            firsts = read_records(patch)
            assert list(book.lines(compartment)) == expected
        assert firsts == sorted({dated.sequence for dated in expected})


def test_a_trail_goes_on_where_it_ended(path: Path) -> None:
    book = recovered(open_file(path))
    book.submit([fund(60, "alice", 1)], LATER)
    book.close()
    again = recovered(read_file(path))
    assert [line.sequence for line in again.lines(BET)] == [line.sequence for line in scanned(again, BET)]
    assert len(list(again.lines(BET))) == 4


@pytest.mark.parametrize("loss", ["DELETE FROM trail WHERE sequence = 3", "DROP TABLE trail"])
def test_a_trail_with_a_gap_is_not_believed_and_made_again(path: Path, loss: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(loss)
    connection.commit()
    connection.close()
    reader = recovered(read_file(path))
    assert list(reader.lines(BET)) == scanned(reader, BET)
    reader.close()
    writer = recovered(open_file(path))
    writer.submit([fund(60, "alice", 1)], LATER)
    touching = writer._store.touching(BET)
    assert touching == sorted({line.sequence for line in scanned(writer, BET)}, reverse=True)


def test_a_trail_follows_from_the_journal(path: Path) -> None:
    """Made again, it is byte for byte what was written record by record."""
    store = open_file(path)
    book = recovered(store)
    written = list(store._run("SELECT sequence, links FROM trail ORDER BY sequence"))
    book._history.renewed_trail()
    assert list(store._run("SELECT sequence, links FROM trail ORDER BY sequence")) == written
    assert isinstance(next(store.records(1)), JournalRecord)
