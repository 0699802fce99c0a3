"""The SQLite file of a book: what it refuses to open, what it finds when damaged, and a disk that is full."""

import gzip
import os
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from journals import POLICY, journal, remark

from ringfence.adapters.book_sqlite import Driver, SqliteStore, open_file, read_file
from ringfence.kernel.decision import Accepted
from ringfence.kernel.errors import (
    BadInput,
    JournalBroken,
    RingfenceError,
    StoreBusy,
    StoreFailed,
    UnreachableError,
)
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import (
    FORMAT,
    JournalRecord,
    answered,
    batch_record,
    head_of,
    verify_chain,
)
from ringfence.wiring import embedded, read_book

RECORDS = journal(12)
TESTS = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "harbour.book"


@pytest.fixture
def written(path: Path) -> Path:
    """A closed book of twelve records."""
    with closing(open_file(path, may_create=True)) as store:
        for record in RECORDS:
            store.append(record)
    return path


def checked(path: Path) -> list[JournalRecord]:
    with closing(read_file(path)) as store:
        return list(verify_chain(store.records(), store.head()))


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# --- opening -----------------------------------------------------------------------------------


def test_the_file_says_what_it_is(written: Path) -> None:
    with closing(sqlite3.connect(written)) as connection:
        pragmas = ["application_id", "user_version", "page_size", "journal_mode"]
        found = [connection.execute(f"PRAGMA {pragma}").fetchone()[0] for pragma in pragmas]
    assert found == [int.from_bytes(b"ring", "big"), FORMAT, 65_536, "wal"]


def test_only_the_owner_can_read_a_new_book(written: Path) -> None:
    files = [file for file in written.parent.iterdir() if file.name.startswith("harbour")]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


@pytest.mark.parametrize("open_book", [open_file, read_file])
def test_a_book_that_is_not_there_is_not_made_by_accident(path: Path, open_book) -> None:
    with pytest.raises(BadInput, match="there is no book here; `ringfence book open POLICY --at"):
        open_book(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("open_book", [open_file, read_file])
def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, open_book) -> None:
    path.write_bytes(b"account;amount\n" * 100)
    with pytest.raises(BadInput, match="is not a book: it is no SQLite file"):
        open_book(path)
    assert path.read_bytes() == b"account;amount\n" * 100


@pytest.mark.parametrize("open_book", [open_file, read_file])
def test_a_foreign_database_is_refused_and_left_alone(path: Path, open_book) -> None:
    change(path, "CREATE TABLE account (balance INTEGER)")
    before = path.read_bytes()
    with pytest.raises(BadInput, match="is a SQLite file, but not a book"):
        open_book(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("open_book", [open_file, read_file])
@pytest.mark.parametrize("version", [0, 4, 99])
def test_another_format_is_refused_by_number(written: Path, open_book, version: int) -> None:
    change(written, f"PRAGMA user_version = {version}")
    with pytest.raises(BadInput, match=f"is of format {version}; this ringfence reads formats 1 to 3"):
        open_book(written)


OLDER = {
    1: ("9a8404085b2b2ddbf161b20d16a8fe21a94b4963c2ecb892877e553ce79f5bae", 21),
    2: ("e26eeaf23d572d3cb45bf27f4af0ade35dff460f95edbdec2752faf9654b0029", 203_000_000),
}
"""By format: the head of its book, and what alice's bet has there in units."""


@pytest.fixture(params=OLDER, ids=lambda version: f"format {version}")
def older(request: pytest.FixtureRequest, path: Path) -> int:
    """A book with requests, refusals and rows, as the last ringfence that wrote that format left it.

    That of format 2 adopted two policies as well, and has a checkpoint.
    """
    kept = TESTS / "golden" / f"journal_format_{request.param}" / "pier.book.gz"
    path.write_bytes(gzip.decompress(kept.read_bytes()))
    return int(request.param)


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def test_a_book_of_an_older_format_is_read_as_it_is(older: int, path: Path) -> None:
    head, units = OLDER[older]
    with closing(read_book(path, thorough=True)) as book:
        assert book.head.hash.hex() == head
        assert book.state.balance("client/alice/bet", "USDC") == units
        answers = [dated.line.refused for dated in book.lines()]
    assert sum(refused is not None for refused in answers) == 2
    assert version_of(path) == older


def test_a_book_of_an_older_format_is_carried_on_in_the_newer(older: int, path: Path) -> None:
    before = checked(path)
    with closing(embedded(path)) as book:
        assert book.head.hash.hex() == OLDER[older][0]
        book.checkpoint(book.head.at)
        digest = book.state.digest()
    assert version_of(path) == FORMAT
    assert checked(path)[: len(before)] == before
    for thorough in (False, True):
        with closing(read_book(path, thorough=thorough)) as book:
            assert book.state.digest() == digest
            assert book.opened_from == (0 if thorough else len(before))


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="cannot be opened: No such file or directory"):
        open_file(tmp_path / "nowhere" / "harbour.book", may_create=True)


def test_a_making_that_was_cut_short_is_taken_up(path: Path) -> None:
    path.touch()
    with pytest.raises(BadInput, match="is empty: it was never begun, or somebody emptied it"):
        read_file(path)
    with closing(open_file(path)) as store:
        store.append(RECORDS[0])
    assert checked(path) == RECORDS[:1]


# --- one writer, many readers ------------------------------------------------------------------


def test_the_refusal_names_the_process_that_writes(written: Path) -> None:
    with closing(open_file(written)):
        script = (
            "import sys; from pathlib import Path\n"
            "from ringfence.adapters.book_sqlite import open_file\n"
            "from ringfence.kernel.errors import StoreBusy\n"
            "try: open_file(Path(sys.argv[1]))\n"
            "except StoreBusy as error: print(error)"
        )
        command = [sys.executable, "-c", script, str(written)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"{written} is being written by process {os.getpid()}; one writer at a time\n"


def test_the_lock_ends_with_the_process_that_holds_it(written: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from ringfence.adapters.book_sqlite import open_file\n"
        "store = open_file(Path(sys.argv[1]))\n"
        "os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(written)], check=True)
    open_file(written).close()


def test_a_program_that_locks_the_file_is_told_of(written: Path) -> None:
    with closing(sqlite3.connect(written, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusy, match="is locked by another program"):
            open_file(written)


def test_readers_see_what_is_there_beside_the_writer(path: Path) -> None:
    with closing(open_file(path, may_create=True)) as store:
        for count, record in enumerate(RECORDS, start=1):
            store.append(record)
            assert checked(path) == RECORDS[:count]


def test_a_reader_cannot_write(written: Path) -> None:
    with closing(read_file(written)) as store, pytest.raises(StoreFailed, match="for reading only"):
        store.append(RECORDS[0])


def test_a_mistaken_change_is_refused_by_the_file_itself(written: Path) -> None:
    for statement, words in [
        ("UPDATE journal SET payload = x'00' WHERE sequence = 3", "never changes"),
        ("DELETE FROM journal WHERE sequence = 3", "never goes"),
        (
            "INSERT INTO journal SELECT 99, kind, at, policy, previous, payload, hash FROM journal LIMIT 1",
            "follows",
        ),
    ]:
        with pytest.raises(sqlite3.IntegrityError, match=words):
            change(written, statement)


# --- damage ------------------------------------------------------------------------------------


def without_triggers(*statements: str) -> list[str]:
    return ["DROP TRIGGER no_record_changes", "DROP TRIGGER no_record_goes", *statements]


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE journal SET payload = x'00' WHERE sequence = 3", 3),
        ("UPDATE journal SET at = at + 1 WHERE sequence = 5", 5),
        ("DELETE FROM journal WHERE sequence = 4", 4),
        ("DELETE FROM journal WHERE sequence > 8", 9),
        ("DELETE FROM journal", 0),
        ("UPDATE journal SET sequence = 99 WHERE sequence = 7", 7),
        ("UPDATE head SET sequence = 12", 12),
        ("UPDATE head SET hash = zeroblob(32)", 11),
        ("UPDATE journal SET kind = 7 WHERE sequence = 2", 2),
    ],
)
def test_a_change_in_sql_is_found(written: Path, statement: str, first_bad: int) -> None:
    change(written, *without_triggers(statement))
    with pytest.raises(JournalBroken) as broken:
        checked(written)
    assert broken.value.sequence == first_bad


def test_a_column_of_another_type_is_found(written: Path) -> None:
    change(
        written,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_schema SET sql = replace(sql, 'BLOB', 'ANY')",
    )
    change(written, *without_triggers("UPDATE journal SET hash = 'abc' WHERE sequence = 6"))
    with pytest.raises(JournalBroken, match="journal record 6: is damaged: a column"):
        checked(written)


@pytest.mark.parametrize("left", [0, 1, 100, 65_535, 65_536, 65_537, 131_072])
def test_a_shortened_file_is_found(written: Path, left: int) -> None:
    os.truncate(written, left)
    with pytest.raises(RingfenceError):
        checked(written)


def test_a_thousand_flipped_bits_are_found_or_change_nothing(written: Path) -> None:
    """A bit in a free part of a page changes no record: then the journal must read as before."""
    draw = random.Random(20_251_010)
    image = bytearray(written.read_bytes())
    found = 0
    for _ in range(1_000):
        place, bit = draw.randrange(len(image)), draw.randrange(8)
        image[place] ^= 1 << bit
        written.write_bytes(image)
        try:
            assert checked(written) == RECORDS, f"byte {place}, bit {bit}"
        except RingfenceError:
            found += 1
        image[place] ^= 1 << bit
    assert found > 10


def test_flips_where_the_records_lie_are_all_found(written: Path) -> None:
    draw = random.Random(7)
    image = bytearray(written.read_bytes())
    for record in RECORDS:
        start = image.index(record.payload)
        for _ in range(20):
            place = start + draw.randrange(len(record.payload))
            image[place] ^= 1 << draw.randrange(8)
            written.write_bytes(image)
            with pytest.raises(JournalBroken) as broken:
                checked(written)
            assert broken.value.sequence == record.sequence
            image[:] = image[:place] + record.payload[place - start : place - start + 1] + image[place + 1 :]


# --- a lost write-ahead log --------------------------------------------------------------------

CRASHING_WRITER = """
import os, sys
from pathlib import Path
from journals import journal
from ringfence.adapters.book_sqlite import open_file

store = open_file(Path(sys.argv[1]))
for record in journal(12)[6:]:
    store.append(record)
os._exit(9)
"""


@pytest.fixture
def crashed(path: Path) -> Path:
    """A book of twelve records whose writer died: the last six are in the write-ahead log alone."""
    with closing(open_file(path, may_create=True)) as store:
        for record in RECORDS[:6]:
            store.append(record)
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    assert subprocess.run([sys.executable, "-c", CRASHING_WRITER, str(path)], env=environment).returncode == 9
    assert path.with_name("harbour.book-wal").stat().st_size > 0
    return path


def opened_and_checked(path: Path) -> list[JournalRecord]:
    with closing(open_file(path)) as store:
        return list(verify_chain(store.records(), store.head()))


@pytest.mark.parametrize("check", [checked, opened_and_checked])
def test_what_a_crashed_writer_acknowledged_is_there(crashed: Path, check) -> None:
    assert check(crashed) == RECORDS


@pytest.mark.parametrize("check", [checked, opened_and_checked])
@pytest.mark.parametrize("left", [0, 100, 70_000, 300_000])
def test_a_shortened_write_ahead_log_is_found(crashed: Path, left: int, check) -> None:
    log = crashed.with_name("harbour.book-wal")
    os.truncate(log, left)
    crashed.with_name("harbour.book-shm").unlink()
    with pytest.raises(JournalBroken, match="is missing; the journal went on to record 11"):
        check(crashed)


def test_a_lost_write_ahead_log_is_found(crashed: Path) -> None:
    crashed.with_name("harbour.book-wal").unlink()
    crashed.with_name("harbour.book-shm").unlink()
    with pytest.raises(JournalBroken, match="journal record 6: is missing; the journal went on to record 11"):
        checked(crashed)


def test_flipped_bits_in_the_write_ahead_log_are_found_or_change_nothing(crashed: Path) -> None:
    draw = random.Random(3)
    log = crashed.with_name("harbour.book-wal")
    image = bytearray(log.read_bytes())
    found = 0
    for _ in range(100):
        place, bit = draw.randrange(len(image)), draw.randrange(8)
        image[place] ^= 1 << bit
        log.write_bytes(image)
        crashed.with_name("harbour.book-shm").unlink(missing_ok=True)
        try:
            assert checked(crashed) == RECORDS, f"byte {place}, bit {bit}"
        except JournalBroken:
            found += 1
        image[place] ^= 1 << bit
    assert found > 90


def test_an_older_copy_is_taken_for_one_only_without_the_note(crashed: Path) -> None:
    """Who puts an older copy back on purpose takes the note away, and knows what is missing."""
    older = crashed.read_bytes()
    opened_and_checked(crashed)
    crashed.write_bytes(older)
    for name in ("-wal", "-shm"):
        crashed.with_name(f"harbour.book{name}").unlink(missing_ok=True)
    with pytest.raises(JournalBroken, match="journal record 6: is missing"):
        checked(crashed)
    crashed.with_name("harbour.book-lock").unlink()
    assert checked(crashed) == RECORDS[:6]


@pytest.mark.parametrize("content", [b"", b"\xff" * 160, b"12\n", b"12\nx y z\n", b"12\n5 5 abcd\n"])
def test_a_note_that_cannot_be_read_says_nothing(written: Path, content: bytes) -> None:
    written.with_name("harbour.book-lock").write_bytes(content)
    assert checked(written) == RECORDS
    assert opened_and_checked(written) == RECORDS


# --- a full disk -------------------------------------------------------------------------------


def append_all(store: SqliteStore) -> None:
    for record in RECORDS:
        store.append(record)


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let no file of this process grow any longer, as a disk does that is full."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)


def test_a_full_disk_stops_the_store_and_loses_nothing(path: Path) -> None:
    with closing(open_file(path, may_create=True)) as store:
        with files_no_longer_than(600_000), pytest.raises(StoreFailed, match="the book has stopped"):
            append_all(store)
        with pytest.raises(StoreFailed, match="takes no more records: an earlier write failed"):
            store.append(RECORDS[-1])
    kept = len(checked(path))
    assert 0 < kept < len(RECORDS)
    with closing(open_file(path)) as store:
        for record in RECORDS[kept:]:
            store.append(record)
    assert checked(path) == RECORDS


def test_a_full_file_is_named_as_such(path: Path) -> None:
    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA page_size = 65536")
        connection.execute("PRAGMA max_page_count = 8")
        return connection

    wide = batch_record(
        head_of(RECORDS[0]), Instant(2_000), POLICY, [answered(remark(1), Accepted())] * 2_000
    )
    with closing(SqliteStore(Driver(connect, (sqlite3.Error,)), "harbour.book")) as store:
        store.append(RECORDS[0])
        with pytest.raises(StoreFailed, match=r"could not be written .database or disk is full"):
            store.append(wide)
    assert checked(path) == RECORDS[:1]
