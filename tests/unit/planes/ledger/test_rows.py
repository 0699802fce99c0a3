"""What nobody can mean is never read as rows, and rows changed on the way move nothing."""

import gc
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest
from books import BET, LATER, begun, rows

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.kernel.errors import JournalBroken, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import JournalRecord, Kind
from ringfence.planes.ledger.row_form import check_form
from ringfence.planes.ledger.rows import TRANSFERS_MAX, blank_transfers, read_rows

NOTHING = bytes(32)


def record(payload: bytes) -> JournalRecord:
    return JournalRecord(7, Kind.ROWS, Instant(0), NOTHING, NOTHING, payload, NOTHING)


def real_payload() -> bytes:
    shelf = Shelf()
    book = begun(MemoryStore(shelf))
    book.submit_rows(rows(book, (20, 5), (21, 7)), LATER)
    return shelf.records[-1].payload


REAL = real_payload()


def junk(count: int, seed: int) -> Iterator[bytes]:
    """Frames of every kind of nonsense: random, cut, too long, with a length that lies, nearly right."""
    chance = Random(seed)
    for _ in range(count):
        kind = chance.randrange(5)
        if kind == 0:
            yield chance.randbytes(chance.randrange(0, 200))
        elif kind == 1:
            yield REAL[: chance.randrange(0, len(REAL) - 2)]
        elif kind == 2:
            yield chance.randbytes(8) + REAL[8:]
        elif kind == 3:
            yield REAL + chance.randbytes(chance.randrange(1, 130))
        else:
            length = int.from_bytes(REAL[:8], "big")
            place = chance.randrange(8, 8 + length)
            yield REAL[:place] + bytes([REAL[place] ^ (1 << chance.randrange(8))]) + REAL[place + 1 :]


def read_all(count: int, seed: int) -> tuple[int, int]:
    """Read junk; return how many frames were of the right form, and how many the book would take."""
    book = begun(MemoryStore())
    formed = taken = 0
    for payload in junk(count, seed):
        try:
            batch, _ = read_rows(record(payload))
        except JournalBroken:
            continue
        formed += 1
        try:
            codes = book.submit_rows(batch, LATER).codes
        except UsageError:
            continue
        taken += not codes.all()
    assert book.state.balance(BET, "USDC") == 0
    return formed, taken


def test_junk_is_never_taken_and_keeps_no_memory() -> None:
    tracemalloc.start()
    try:
        read_all(2_000, 1)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        formed, taken = read_all(20_000, 2)
        gc.collect()
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == 0
    assert formed > 0, "none came near: the junk is too wild to show anything"
    assert after - before < 2**20
    assert most < 2**26


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(10))
def test_a_million_frames_of_junk_are_never_taken(part: int) -> None:
    assert read_all(100_000, 100 + part)[1] == 0


def test_rows_changed_on_the_way_move_nothing() -> None:
    """Every bit of every transfer is under the signature."""
    book = begun(MemoryStore())
    batch = rows(book, (20, 5), (21, 7))
    chance = Random(3)
    for _ in range(600):
        transfers = batch.transfers.copy()
        place = chance.randrange(transfers.nbytes)
        transfers.view("u1").reshape(-1)[place] ^= 1 << chance.randrange(8)
        try:
            codes = book.submit_rows(replace(batch, transfers=transfers), LATER).codes
        except UsageError:
            continue
        assert codes.all(), "a changed transfer was carried out"


@pytest.mark.parametrize("count", [0, TRANSFERS_MAX + 1])
def test_a_batch_has_one_transfer_at_least_and_not_too_many(count: int) -> None:
    book = begun(MemoryStore())
    batch = rows(book, (20, 5))
    with pytest.raises(UsageError, match="1 to"):
        check_form(replace(batch, transfers=blank_transfers(count)), book.routes)


@pytest.mark.parametrize("expires", [-(2**63) - 1, 2**63])
def test_a_time_that_no_book_can_have_is_not_taken(expires: int) -> None:
    book = begun(MemoryStore())
    batch = rows(book, (20, 5))
    with pytest.raises(UsageError, match="64 bits"):
        check_form(replace(batch, expires=expires), book.routes)


def test_a_clock_that_goes_back_is_passed_over_for_a_moment_and_then_refused() -> None:
    book = begun(MemoryStore())
    book.submit_rows(rows(book, (20, 5)), LATER)
    book.submit_rows(rows(book, (21, 5)), Instant(LATER - 10**9))
    assert book.head.at == LATER + 1
    with pytest.raises(UsageError, match="clock"):
        book.submit_rows(rows(book, (22, 5)), Instant(LATER - 11 * 10**9))
    assert book.submit_rows(rows(book, (22, 5)), LATER).codes.tolist() == [0]
