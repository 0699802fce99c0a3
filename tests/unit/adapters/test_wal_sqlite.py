"""What is committed is written back beside the writer, and a book does not notice."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from books import BET, LATER, begun, recovered, rows

from ringfence.adapters import wal_sqlite
from ringfence.adapters.book_sqlite import open_file, read_file
from ringfence.adapters.wal_sqlite import PAGES_MAX, WritingBack


class Counted(WritingBack):
    """Counts how often it began."""

    def __init__(self, path: Path, bytes_due: int) -> None:
        self.count = 0
        super().__init__(lambda: sqlite3.connect(path, timeout=1.0, check_same_thread=False), bytes_due)

    def _write_back(self) -> None:
        self.count += 1
        super()._write_back()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "some.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE kept (number INTEGER)")
    return tmp_path / "some.sqlite"


def test_it_begins_when_enough_was_committed(path: Path) -> None:
    behind = Counted(path, 10)
    for count in (4, 5):
        behind.note(count)
    assert behind.count == 0
    behind.note(1)
    behind.close()
    assert behind.count == 1


def test_what_was_committed_is_in_the_file_without_the_log(path: Path) -> None:
    behind, writer = Counted(path, 1), sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA wal_autocheckpoint = 0").fetchall()
    for number in range(50):
        writer.execute("INSERT INTO kept VALUES (?)", (number,))
        behind.note(1)
    behind.close()
    behind.note(1)
    behind.close()
    copy = path.with_name("copy.sqlite")
    copy.write_bytes(path.read_bytes())
    writer.close()
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (50,)


def test_a_file_that_cannot_be_written_back_stays_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "no.sqlite").write_bytes(b"this is no file of SQLite's" * 100)
    behind = Counted(tmp_path / "no.sqlite", 1)
    behind.note(1)
    behind.close()
    assert behind.count == 1


def test_a_book_that_is_written_back_all_the_time_is_the_same_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_sqlite.WritingBack.__init__, "__defaults__", (1,))
    path = tmp_path / "pier.book"
    book = begun(open_file(path, may_create=True))
    with book.ahead() as pipeline:
        for number in range(100):
            pipeline.submit_rows(rows(book, (200 + number, 1)), LATER)
    with closing(read_file(path)) as reader:
        assert len(list(reader.records())) == book.head.sequence + 1
    digest = book.state.digest()
    book.close()
    again = recovered(open_file(path))
    assert again.state.digest() == digest
    assert again.state.balance(BET, "USDC") == 100
    again.close()


def test_a_book_is_written_back_beside_its_writer_and_its_log_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal_sqlite.WritingBack.__init__, "__defaults__", (1,))
    begun_by: list[str] = []
    monkeypatch.setattr(
        WritingBack, "_write_back", lambda _: begun_by.append(threading.current_thread().name)
    )
    store = open_file(tmp_path / "pier.book", may_create=True)
    assert store._run("PRAGMA wal_autocheckpoint") == [(PAGES_MAX,)]
    book = begun(store)
    book.close()
    assert begun_by
    assert all(name.startswith("ringfence-write-back") for name in begun_by)
