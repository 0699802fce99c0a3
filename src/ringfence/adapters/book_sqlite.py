"""A book's journal in one SQLite file: one row per batch, durable when `append` returns.

WAL with synchronous=FULL: each commit is on the disk before it is acknowledged, and readers never wait for
the writer. Pages of 64 KiB keep a batch in few pieces. A note of where the journal ends is written in the
same commit, so that rows missing at the end are found. Triggers refuse a row out of turn, and to change or
delete one: no wall against somebody who can write to the file (the hash chain is), but one against mistakes.

The file itself says what it is: `application_id` spells "ring", `user_version` is the journal's format.
A second writer is kept out, and the head noted once more, by the file beside it (`book_lock`).

The SQL knows nothing of which SQLite runs it (`Driver`): the tests run it on a simulated disk that fails.
"""

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ringfence.adapters import trail_sqlite
from ringfence.adapters.book_lock import BookLock, read_note
from ringfence.adapters.wal_sqlite import PAGES_MAX, WritingBack
from ringfence.kernel.errors import (
    BadInput,
    JournalBroken,
    RingfenceError,
    StoreBusy,
    StoreFailed,
    UnreachableError,
)
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import FORMAT, FORMATS_READ, READS, Head, JournalRecord, head_of

if TYPE_CHECKING:
    from ringfence.planes.ledger.trail import Links, Trail

_APPLICATION_ID = int.from_bytes(b"ring", "big")

_SCHEMA = (
    """CREATE TABLE journal (
        sequence INTEGER PRIMARY KEY,
        kind     INTEGER NOT NULL,
        at       INTEGER NOT NULL,
        policy   BLOB NOT NULL,
        previous BLOB NOT NULL,
        payload  BLOB NOT NULL,
        hash     BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE head (
        only     INTEGER PRIMARY KEY CHECK (only = 0),
        sequence INTEGER NOT NULL,
        at       INTEGER NOT NULL,
        hash     BLOB NOT NULL
    ) STRICT""",
    """CREATE TRIGGER every_record_follows BEFORE INSERT ON journal
        WHEN NEW.sequence <> (SELECT coalesce(max(sequence), -1) + 1 FROM head)
        BEGIN SELECT RAISE(ABORT, 'a record follows the head'); END""",
    """CREATE TRIGGER no_record_changes BEFORE UPDATE ON journal
        BEGIN SELECT RAISE(ABORT, 'a record of the journal never changes'); END""",
    """CREATE TRIGGER no_record_goes BEFORE DELETE ON journal
        BEGIN SELECT RAISE(ABORT, 'a record of the journal never goes'); END""",
    f"PRAGMA application_id = {_APPLICATION_ID}",
    f"PRAGMA user_version = {FORMAT}",
)
_COLUMNS = {
    "sequence": int,
    "kind": int,
    "at": int,
    "policy": bytes,
    "previous": bytes,
    "payload": bytes,
    "hash": bytes,
}
_NAMES = ", ".join(_COLUMNS)

_NOTE = "INSERT OR REPLACE INTO head (only, sequence, at, hash) VALUES (0, ?, ?, ?)"

_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""A damaged file may hold names that are no text, and `sqlite3` stumbles over them in its own messages."""

_WAIT_SECONDS = 1.0
"""How long SQLite waits for another program's short lock, such as the end of its recovery."""

Row = tuple[object, ...]


class Connection(Protocol):
    """As much of a SQLite connection as the store uses: `sqlite3` and `apsw` both have it."""

    def execute(self, sql: str, parameters: Sequence[object] = (), /) -> Iterable[Row]:
        """Run one statement; its rows may come lazily."""

    def close(self) -> None:
        """Roll back what is open and let go of the file."""


@dataclass(frozen=True, slots=True)
class Driver:
    """Which SQLite, and what it raises."""

    connect: Callable[[], Connection]
    errors: tuple[type[Exception], ...]


def open_file(path: Path, *, may_create: bool = False) -> "SqliteStore":
    """Open a book for writing; with `may_create`, make the file where there is none.

    Raises StoreBusy where another process writes to it, BadInput where the file is missing or no book of
    this format, UnreachableError where it cannot be opened.
    """
    if not may_create:
        _expect_file(path)
    lock = BookLock(path)
    driver = Driver(lambda: _connect(path), _ERRORS)
    return SqliteStore(driver, str(path), lock, behind=WritingBack(lambda: _connect(path)))


def read_file(path: Path) -> "SqliteStore":
    """Open a book that exists for reading, beside a writer if there is one; errors as `open_file`."""
    _expect_file(path)
    # Before the book is opened: the writer may go on, and its note must not be newer than what is read.
    noted = read_note(path)
    address = f"{path.absolute().as_uri()}?mode=ro"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, isolation_level=None, timeout=_WAIT_SECONDS)

    return SqliteStore(Driver(connect, _ERRORS), str(path), noted=noted, is_writer=False)


class SqliteStore:
    """The journal of one book in SQLite; see `services.ports.BookStore`."""

    def __init__(
        self,
        driver: Driver,
        name: str,
        lock: BookLock | None = None,
        noted: Head | None = None,
        *,
        is_writer: bool = True,
        behind: WritingBack | None = None,
    ) -> None:
        """Connect and check what the file is.

        name: for error messages; lock: given back on close; noted: the head by a note outside the book;
        behind: writes back what was committed (None: whoever commits does).
        """
        self._errors = driver.errors
        self._name = name
        self._lock = lock
        self._noted = lock.noted if lock else noted
        self._stopped = "" if is_writer else "it was opened for reading only"
        self._connection: Connection | None = None
        self._behind = behind
        try:
            self._connection = driver.connect()
            self._identify(is_writer)
        except self._errors as error:
            self._abandon()
            raise _unopened(name, error) from error
        except RingfenceError:
            self._abandon()
            raise

    def append(self, record: JournalRecord) -> None:
        """Commit one record and the note of the new head; StoreFailed where that did not work."""
        self.extend([record])

    def extend(self, records: Sequence[JournalRecord], links: Sequence["Links"] = ()) -> None:
        """Commit records and the note of the new head, all or none; StoreFailed where that did not work."""
        if not records:
            return
        self._write(self._statements(records, links))
        self._noted = head_of(records[-1])
        if self._lock:
            self._lock.note(self._noted)
        if self._behind:
            self._behind.note(sum(len(record.payload) for record in records))

    def trail(self) -> "Trail":
        """Read the trail as far as it goes; StoreFailed where it cannot be read."""
        try:
            return trail_sqlite.read(self._run)
        except self._errors as error:
            raise StoreFailed(f"the trail of {self._name} cannot be read ({error})") from error

    def renew_trail(self, links: Iterable["Links"]) -> None:
        """Write the trail anew, all or none; StoreFailed where that did not work."""
        self._write(
            itertools.chain(
                trail_sqlite.emptying(), *(trail_sqlite.statements(one, one.sequence) for one in links)
            )
        )

    def touching(self, compartment: str) -> list[int] | None:
        """Follow the links of a compartment; None where the trail does not cover the journal."""
        try:
            ((last,),) = self._run("SELECT max(sequence) FROM journal")
            if trail_sqlite.covered(self._run) != last:
                return None
            return trail_sqlite.touching(self._run, compartment)
        except self._errors:
            # Damaged, or not there: the journal itself says what it is.
            return None

    def _write(self, statements: Iterable[tuple[str, Row]]) -> None:
        """Commit statements; where that fails, the store takes no more."""
        if self._stopped:
            raise StoreFailed(f"{self._name} takes no more records: {self._stopped}")
        self._stopped = "an earlier write failed; open the book again to recover it"
        try:
            self._transact(statements)
        except self._errors as error:
            self._abandon()
            raise StoreFailed(f"{self._name} could not be written ({error}); the book has stopped") from error
        self._stopped = ""

    def records(self, first: int = 0) -> Iterator[JournalRecord]:
        """Read the rows from sequence `first` on."""
        query = f"SELECT {_NAMES} FROM journal WHERE sequence >= ? ORDER BY sequence"
        sequence = first
        try:
            for row in self._open().execute(query, (first,)):
                record = _record(row, sequence)
                yield record
                sequence = record.sequence + 1
        except self._errors as error:
            raise JournalBroken(sequence, f"cannot be read ({error})") from error

    def head(self) -> Head | None:
        """Return where the journal ends by the later of two notes: in the file, and beside it.

        Raises JournalBroken where the note in the file cannot be read, or the two differ about one record.
        """
        try:
            rows = self._run("SELECT sequence, at, hash FROM head")
        except self._errors as error:
            raise JournalBroken(0, f"the note of where the journal ends cannot be read ({error})") from error
        inside, beside = _head(rows[0]) if rows else None, self._noted
        if inside is None or beside is None:
            return inside or beside
        if inside.sequence == beside.sequence and inside != beside:
            raise JournalBroken(inside.sequence, "two notes of where the journal ends differ about it")
        return max(inside, beside, key=lambda head: head.sequence)

    def close(self) -> None:
        """Let go of the file and of the writer's lock."""
        self._stopped = "it is closed"
        self._abandon()

    def _identify(self, is_writer: bool) -> None:
        """Refuse a file that is something else; lay out a new one."""
        application, version = self._number("PRAGMA application_id"), self._number("PRAGMA user_version")
        is_empty = self._number("SELECT count(*) FROM sqlite_schema") == 0
        if application == _APPLICATION_ID and version in FORMATS_READ:
            if is_writer:
                self._make_durable()
                self._migrate(version)
        elif application == _APPLICATION_ID:
            raise BadInput(f"{self._name} is of format {version}; {READS}")
        elif application or version or not is_empty:
            raise BadInput(f"{self._name} is a SQLite file, but not a book")
        elif not is_writer:
            raise BadInput(f"{self._name} is empty: it was never begun, or somebody emptied it")
        else:
            self._run("PRAGMA page_size = 65536")
            self._make_durable()
            self._transact([(statement, ()) for statement in (*_SCHEMA, *trail_sqlite.SCHEMA)])

    def _make_durable(self) -> None:
        (mode,) = self._run("PRAGMA journal_mode = WAL")
        if mode != ("wal",):
            raise BadInput(f"{self._name} lies where SQLite has no write-ahead log (found mode {mode[0]})")
        self._run("PRAGMA synchronous = FULL")
        if self._behind:
            self._run(f"PRAGMA wal_autocheckpoint = {PAGES_MAX}")
        # The undo of a single statement is 64 KiB pages too: keep it off the disk.
        self._run("PRAGMA temp_store = MEMORY")

    def _migrate(self, version: object) -> None:
        """Mark a book of an older format as one that may hold what came since; its records stay."""
        if version != FORMAT:
            self._transact([(f"PRAGMA user_version = {FORMAT}", ())])
        if not trail_sqlite.is_there(self._run):
            self._transact((statement, ()) for statement in trail_sqlite.SCHEMA)

    def _statements(
        self, records: Sequence[JournalRecord], links: Sequence["Links"]
    ) -> Iterator[tuple[str, Row]]:
        insert = f"INSERT INTO journal ({_NAMES}) VALUES (?, ?, ?, ?, ?, ?, ?)"
        by_sequence = {one.sequence: one for one in links}
        for record in records:
            yield insert, tuple(getattr(record, column) for column in _COLUMNS)
            yield _NOTE, (record.sequence, record.at, record.hash)
            if record.sequence:
                yield from trail_sqlite.statements(by_sequence.get(record.sequence), record.sequence)

    def _transact(self, statements: Iterable[tuple[str, Row]]) -> None:
        self._run("BEGIN IMMEDIATE")
        for statement, parameters in statements:
            self._run(statement, parameters)
        self._run("COMMIT")

    def _run(self, statement: str, parameters: Row = ()) -> list[Row]:
        """Run a statement to its end: some drivers stop at the first row."""
        return list(self._open().execute(statement, parameters))

    def _number(self, statement: str) -> object:
        ((number,),) = self._run(statement)
        return number

    def _open(self) -> Connection:
        if self._connection is None:
            raise StoreFailed(f"{self._name} is closed")
        return self._connection

    def _abandon(self) -> None:
        """Close the connection, whatever state it is in; an open transaction is rolled back by that."""
        if self._behind:
            self._behind.close()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*self._errors):
                connection.close()
        if self._lock:
            self._lock.release()


def _expect_file(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: there is no book here; `ringfence book open POLICY --at {path}` makes one")


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file for writing; a new one can be read by its owner only."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise UnreachableError(f"{path} cannot be opened: {error.strerror}") from error
    # One thread judges and another commits: never both at once on this connection.
    return sqlite3.connect(path, isolation_level=None, timeout=_WAIT_SECONDS, check_same_thread=False)


def _record(row: Row, expected: int) -> JournalRecord:
    if [type(value) for value in row] != list(_COLUMNS.values()):
        raise JournalBroken(expected, "is damaged: a column holds something of another type")
    return JournalRecord(*row)  # type: ignore[arg-type]


def _head(row: Row) -> Head:
    sequence, at, seal = row
    if not (isinstance(sequence, int) and isinstance(at, int) and isinstance(seal, bytes)):
        raise JournalBroken(0, "the note of where the journal ends is damaged")
    return Head(sequence, Instant(at), seal)


def _unopened(name: str, error: Exception) -> RingfenceError:
    if "locked" in str(error):
        return StoreBusy(f"{name} is locked by another program; let go of it there first")
    if "not a database" in str(error):
        return BadInput(f"{name} is not a book: it is no SQLite file")
    if "malformed" in str(error) or isinstance(error, UnicodeDecodeError):
        return JournalBroken(0, f"{name} is damaged before its first record can be read")
    return UnreachableError(f"{name} cannot be opened ({error})")
