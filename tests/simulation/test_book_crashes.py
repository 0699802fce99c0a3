"""A whole book under power cuts and kill -9: what was acknowledged is there, or is missed by name.

One life of a book holds requests, refusals, rows (one by one and through the pipeline, held, posted, signed
by a client), checkpoints and the log folded into the file. It is lived once; the diary of its disk is then
cut after every entry, with other sectors lost each time. Snapshots lie outside that disk, and are lost, torn
or damaged as it happens.
"""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import msgspec
import pytest
from books import BET, START, begun, fund, recovered, rows, sign_request, signs
from fault_disk import Disk, Faults, book_on, lives

from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore, Shelf
from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.errors import JournalBroken, RingfenceError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.journal import Head, JournalRecord, head_of
from ringfence.planes.ledger.operations import Post, Request, Route
from ringfence.planes.ledger.rows import Draft
from ringfence.services.ledger import Book

ROUNDS = 3
OFTEN = "wal_autocheckpoint = 12"
TESTS = Path(__file__).resolve().parents[1]


def batch(number: int) -> list[Request]:
    """Move 1 unit twice, and once for somebody who has nothing."""
    return [fund(number, "alice", 1), fund(number + 1, "alice", 1), fund(number + 2, "bob", 1)]


def begun_disk() -> dict[str, bytes]:
    disk = Disk()
    with book_on(disk) as open_store:
        begun(open_store()).close()
    return disk.images()


BEGUN = begun_disk()


@dataclass
class Life:
    """A book's life on one disk: diary, snapshots, and each head acknowledged after so many entries."""

    disk: Disk
    snapshots: MemorySnapshots = field(default_factory=MemorySnapshots)
    acknowledged: list[tuple[int, Head]] = field(default_factory=list)

    def note(self, book: Book) -> None:
        """Note what the book has just answered."""
        self.acknowledged.append((len(self.disk.diary), book.head))

    def head_after(self, entries: int) -> Head | None:
        """Return the last head that was acknowledged when the diary had so many entries."""
        return next((head for when, head in reversed(self.acknowledged) if when <= entries), None)


def lived(disk: Disk, *, careless: bool = False) -> Life:
    """Live a whole life, as far as the disk lets it."""
    life = Life(disk)
    with book_on(disk, OFTEN, careless=careless) as open_store:
        try:
            with closing(open_store()) as store:
                book = Book.recover(store, verify, snapshots=life.snapshots)
                for place in range(ROUNDS):
                    act(book, life, 100 * (place + 1))
        except RingfenceError:
            pass
    return life


def act(book: Book, life: Life, number: int) -> None:
    at = Instant(START + 1_000 + number)
    book.submit(batch(number), at)
    life.note(book)
    book.submit_rows(rows(book, (number + 10, 1), (number + 11, 10**15), (number + 12, 2)), at)
    life.note(book)
    signed = (fund(number + 15, "alice", 1), held(number + 16, 2, at))
    book.submit_rows(Draft(book.routes).sealed(signed), at)
    life.note(book)
    book.checkpoint(at, signs)
    life.note(book)
    with book.ahead() as pipeline:
        for place in range(3):
            pipeline.submit_rows(rows(book, (number + 20 + place, 1)), at)
        pipeline.submit_rows(Draft(book.routes).sealed([posted(number + 17, number + 16, 1)]), at)
    life.note(book)
    book.submit(batch(number + 30), at)
    life.note(book)


def held(number: int, units: int, at: Instant) -> Request:
    return sign_request(
        msgspec.structs.replace(fund(number, "alice", units), hold_until=at + SECOND_NS), "client_key/alice"
    )


def posted(number: int, hold: int, units: int) -> Request:
    along = Route("fund", "client/alice/cash", BET, "USDC")
    post = Post(hold, (units,), (along,))
    return sign_request(msgspec.structs.replace(fund(number, "alice", 1), links=(post,)), "client_key/alice")


WHOLE = lived(Disk(BEGUN))


def records_on(images: dict[str, bytes]) -> list[JournalRecord]:
    with book_on(Disk(images)) as open_store, closing(open_store()) as store:
        records = list(store.records())
        assert store.head() == head_of(records[-1])
        return records


RECORDS = records_on(WHOLE.disk.images())


@cache
def digest_of(count: int) -> bytes:
    """Return the state of a book that never crashed, after so many records."""
    shelf = Shelf()
    shelf.records = RECORDS[:count]
    book = Book.recover(MemoryStore(shelf), verify, thorough=True)
    book.state.check_conservation()
    return book.state.digest()


def torn(life: Life, chance: random.Random) -> MemorySnapshots:
    """Return the snapshots that are left: whole, cut, damaged, or none; some before their record was safe."""
    left = MemorySnapshots()
    for sequence in life.snapshots.kept():
        content = bytearray(life.snapshots.read(sequence))
        fate = chance.random()
        if fate < 0.3:
            del content[chance.randrange(len(content)) :]
        elif fate < 0.6:
            content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if fate < 0.85:
            left.keep(sequence, bytes(content))
    return left


def cuts(
    per_entry: int, seed: int, life: Life = WHOLE, *, lies: bool = False
) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Cut the power after every entry of the diary, `per_entry` times; give the entries and what is left."""
    chance = random.Random(seed)
    for entries, disk in enumerate(lives(BEGUN, life.disk.diary, lies=lies)):
        for _ in range(per_entry):
            yield entries, disk.images_after_power_cut(chance)


def campaign(per_entry: int, seed: int, books_every: int) -> int:
    """Cut and recover; every record is compared, and every so often the whole book is opened."""
    chance, count = random.Random(seed), 0
    for count, (entries, images) in enumerate(cuts(per_entry, seed), 1):
        found = records_on(images)
        assert found == RECORDS[: len(found)], f"seed {seed}, cut {count}"
        head = WHOLE.head_after(entries)
        assert head is None or len(found) > head.sequence, f"seed {seed}, cut {count}"
        if count % books_every == 0:
            snapshots = torn(WHOLE, chance)
            with book_on(Disk(images)) as open_store, closing(open_store()) as store:
                book = Book.recover(store, verify, noted=head, snapshots=snapshots)
                assert book.state.digest() == digest_of(len(found)), f"seed {seed}, cut {count}"
                carry_on(book, len(found))
    return count


def carry_on(book: Book, number: int) -> None:
    """A recovered book tells its history and takes more; what it took before moves nothing again."""
    before = book.state.balance(BET, "USDC")
    assert before == sum(entry.units for dated in book.lines(BET) for entry in dated.line.entries)
    again, new = batch(100)[0], fund(9_000, "alice", 1)
    answers = book.submit([again, new], Instant(START + 10_000))
    moved = sum(len(answer.entries) for answer in answers)
    assert book.state.balance(BET, "USDC") == before + moved
    assert moved == (1 if number > 2 else 2)


def test_a_book_survives_a_power_cut_after_every_write() -> None:
    assert campaign(per_entry=24, seed=1, books_every=12) >= 5_000


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_book_survives_very_many_power_cuts(seed: int) -> None:
    assert campaign(per_entry=48, seed=seed, books_every=24) >= 10_000


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
def test_a_book_stops_where_a_call_fails_and_loses_nothing(for_ever: bool) -> None:
    fail_at_every(2, for_ever)


@pytest.mark.nightly
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
def test_a_book_stops_where_any_call_fails_and_loses_nothing(for_ever: bool) -> None:
    fail_at_every(1, for_ever)


def fail_at_every(step: int, for_ever: bool) -> None:
    """Let each `step`th call fail in a life of its own, and open the book again."""
    stopped = 0
    for call in range(1, WHOLE.disk.calls, step):
        disk = Disk(BEGUN, Faults(failing=range(call, 10**9 if for_ever else call + 1)))
        life = lived(disk)
        found = records_on(disk.images())
        assert found == RECORDS[: len(found)], f"call {call}"
        head = life.acknowledged[-1][1] if life.acknowledged else head_of(RECORDS[1])
        assert len(found) > head.sequence, f"call {call}"
        stopped += head != WHOLE.acknowledged[-1][1]
    assert stopped > WHOLE.disk.calls // step // 2, "the failures hardly reached the book"


def test_only_a_head_noted_elsewhere_tells_what_a_lying_disk_lost() -> None:
    """The control: chain, answers and every sum of the shortened book are right, and work is missing."""
    caught = blind = 0
    for entries, images in cuts(per_entry=1, seed=3, lies=True):
        head = WHOLE.head_after(entries)
        try:
            found = records_on(images)
        except (RingfenceError, AssertionError, IndexError):
            caught += 1  # so broken that nobody takes it for a book
            continue
        if head is None or len(found) > head.sequence:
            continue
        caught += 1
        if found == RECORDS[: len(found)] and blind < 10:
            blind += 1
            shelf = Shelf()
            shelf.records = found
            with closing(Book.recover(MemoryStore(shelf), verify)) as book:
                book.state.check_conservation()
            with pytest.raises(JournalBroken, match="the journal went on to record"):
                Book.recover(MemoryStore(shelf), verify, noted=head)
    assert caught > 100
    assert blind == 10


def test_a_book_that_does_not_wait_for_the_disk_is_caught() -> None:
    """The other control: an honest disk, and a store that was told not to sync."""
    life, caught = lived(Disk(BEGUN), careless=True), 0
    assert life.acknowledged[-1][1] == WHOLE.acknowledged[-1][1]
    for entries, images in cuts(2, 4, life):
        head = life.head_after(entries)
        try:
            caught += head is not None and len(records_on(images)) <= head.sequence
        except (RingfenceError, AssertionError, IndexError):
            caught += 1
    assert caught > 100


def test_a_disk_that_tells_the_truth_is_not_caught() -> None:
    """The same count on an honest disk is zero, so what the control counts are the lies."""
    for entries, images in cuts(per_entry=1, seed=3):
        head = WHOLE.head_after(entries)
        assert head is None or len(records_on(images)) > head.sequence


# --- kill -9 -----------------------------------------------------------------------------------

WRITER = """
import sys
from itertools import count
from pathlib import Path
from books import START, fund, rows, signs
from ringfence.wiring import embedded

book = embedded(Path(sys.argv[1]))
for number in count(int(sys.argv[2])):
    if number % 3 == 0:
        codes = book.submit_rows(rows(book, (number, 1)), START).codes
        print(number, int(codes[0] == 0), flush=True)
    else:
        (outcome,) = book.submit([fund(number, "alice", 1)], START)
        print(number, len(outcome.entries), flush=True)
    if number % 5 == 0:
        book.checkpoint(START, signs)
"""


def killed_after(path: Path, first: int, acknowledgements: int) -> list[int]:
    """Let a process write, kill it after so many acknowledgements, and return the numbers acknowledged."""
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", WRITER, str(path), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        heard = [writer.stdout.readline() for _ in range(acknowledgements)]
        writer.kill()
        heard += writer.stdout.readlines()
    whole = [line.split() for line in heard if line.endswith("\n")]
    assert all(entries == "1" for _, entries in whole)
    return [int(number) for number, _ in whole]


def kill_again_and_again(path: Path, rounds: int, seed: int) -> None:
    from ringfence.wiring import embedded, read_book

    begun(open_file(path, may_create=True)).close()
    chance = random.Random(seed)
    moved = 0
    for round_number in range(rounds):
        first = 1_000 * (round_number + 1)
        acknowledged = killed_after(path, first, chance.randrange(1, 60))
        with closing(embedded(path)) as book:
            now = book.state.balance(BET, "USDC")
            quick = book.state.digest()
        assert acknowledged == list(range(first, first + len(acknowledged)))
        assert now - moved in (len(acknowledged), len(acknowledged) + 1), f"round {round_number}"
        moved = now
    with closing(read_book(path, thorough=True)) as book:
        assert book.state.digest() == quick
    with closing(recovered(open_file(path))) as book:
        assert book.state.digest() == quick


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "pier.book", rounds=4, seed=9)


@pytest.mark.nightly
def test_what_was_acknowledged_survives_many_kills(tmp_path: Path) -> None:
    kill_again_and_again(tmp_path / "pier.book", rounds=60, seed=10)
