"""Which snapshot a book may be opened from: the newest that its own journal vouches for.

A snapshot is only as good as the checkpoint that names its digest. One that is damaged, of another book, or
written in another form is passed over, and a sentence says so; the journal itself is always enough.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.checkpoint import Checkpoint, read_checkpoint
from ringfence.planes.ledger.journal import Head, JournalRecord, verify_chain
from ringfence.planes.ledger.snapshot import Parts, digest, form, unpacked
from ringfence.services.ports import BookStore, SnapshotShelf


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot with its checkpoint, and the record of that; fault: why it is no good, or ""."""

    sequence: int
    fault: str
    record: JournalRecord | None = None
    checkpoint: Checkpoint | None = None
    parts: Parts | None = None

    @property
    def note(self) -> str:
        """The sentence for whoever opens the book."""
        return f"the snapshot at record {self.sequence} was passed over: {self.fault}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a snapshot has to fit: the first record of its book, an instant it is not after (None: any), and a
    record that it is not after, because that one was noted elsewhere and has to be read (None: any)."""

    genesis: JournalRecord
    until: Instant | None = None
    noted: Head | None = None


@contextmanager
def without_collecting() -> Iterator[None]:
    """Keep Python from looking for garbage while millions of rows are made, none of which is any.

    It looks again and again at everything made so far: half of the time it takes to open a large book.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def candidates(store: BookStore, shelf: SnapshotShelf, wanted: Wanted) -> Iterator[Snapshot]:
    """Go through the snapshots from the newest to the oldest; those that are not asked for are left out."""
    for sequence in shelf.kept():
        if wanted.noted is not None and wanted.noted.sequence < sequence:
            continue
        record = next(store.records(sequence), None)
        if record is None or record.sequence != sequence:
            yield Snapshot(sequence, "the journal has no such record")
        elif wanted.until is None or record.at <= wanted.until:
            yield _checked(record, shelf, wanted.genesis)


def _checked(record: JournalRecord, shelf: SnapshotShelf, genesis: JournalRecord) -> Snapshot:
    try:
        list(verify_chain([record], first=record))
        checkpoint = read_checkpoint(record)
    except JournalBroken as broken:
        return Snapshot(record.sequence, f"its checkpoint is {broken}")
    try:
        parts = unpacked(shelf.read(record.sequence))
    except ValueError:
        return Snapshot(record.sequence, "it cannot be read")
    if checkpoint.book != genesis.hash:
        return Snapshot(record.sequence, "its checkpoint is of another book")
    if digest(parts) != checkpoint.state:
        return Snapshot(record.sequence, "it is not what its checkpoint names")
    if form(parts) != checkpoint.form:
        return Snapshot(record.sequence, "another version of ringfence wrote it")
    return Snapshot(record.sequence, "", record, checkpoint, parts)
