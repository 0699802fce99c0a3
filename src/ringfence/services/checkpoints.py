"""The checkpoints of a book: what it is at one record, signed, proven, and kept as a snapshot."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.checkpoint import (
    Checkpoint,
    EntryProof,
    GrowthProof,
    checkpoint_record,
    read_checkpoint,
)
from ringfence.planes.ledger.journal import JournalRecord, Kind
from ringfence.planes.ledger.operations import Signature
from ringfence.planes.ledger.signing import signers_of
from ringfence.planes.ledger.snapshot import Parts, digest, form, packed
from ringfence.planes.ledger.tree import JournalTree, read_tree, write_tree
from ringfence.services.instructions import Sign
from ringfence.services.memory import Memory
from ringfence.services.ports import BookStore, SnapshotShelf
from ringfence.services.proving import prove_entry, prove_growth
from ringfence.services.snapshots import Snapshot, without_collecting
from ringfence.services.verifying import VerifyingAhead

CHECKPOINT_RECORDS = 256
"""After how many records a checkpoint is due, so that no opening has to replay many."""

_TREE = "tree"


class Kept(NamedTuple):
    """Where the journal and its snapshots are kept, and who verifies signatures."""

    store: BookStore
    shelf: SnapshotShelf | None
    verify: VerifyingAhead


class Checkpoints:
    """Makes checkpoints of a memory, and judges those of its journal; newest: the last one met or made."""

    def __init__(self, kept: Kept, memory: Memory, book: bytes, *, checks_states: bool = False) -> None:
        """Know none; book: hash of the genesis; checks_states: judge the tree and the state of each too."""
        self.newest: Checkpoint | None = None
        self._store, self._shelf, self._verify = kept
        self._memory = memory
        self._book = book
        self._tree = JournalTree(memory.routes_at)
        self._checks_states = checks_states

    @property
    def is_due(self) -> bool:
        """Whether the records since the last checkpoint have become many."""
        last = self.newest.sequence if self.newest else 0
        return self._memory.head.sequence - last > CHECKPOINT_RECORDS

    def make(self, at: Instant, sign: Sign | None) -> tuple[Checkpoint, JournalRecord]:
        """Write down what memory is now, and keep a snapshot of it; the record still has to be appended.

        sign: as for `Book.checkpoint`; UsageError where a key at hand is not the one that the book knows.
        """
        head = self._memory.head
        with without_collecting():
            self._grow()
            parts = self._written()
        found = Checkpoint(
            book=self._book,
            sequence=head.sequence,
            at=head.at,
            hash=head.hash,
            size=self._tree.frontier.size,
            root=self._tree.frontier.root(),
            state=digest(parts),
            form=form(parts),
        )
        found = msgspec.structs.replace(found, signatures=self._signatures(found, sign))
        record = checkpoint_record(head, at, self._memory.rules.digest, found)
        if self._shelf is not None:
            self._shelf.keep(record.sequence, packed(parts))
        return found, record

    def restore(self, snapshot: Snapshot) -> str:
        """Go on from a snapshot that was found good; say why it cannot be taken, or ""."""
        record, parts = snapshot.record, snapshot.parts
        if record is None or parts is None:
            return snapshot.fault
        fault = self._memory.restore(parts, record.policy)
        if fault:
            return fault
        try:
            self._tree = read_tree(parts[_TREE], self._memory.routes_at)
        except (ValueError, KeyError) as error:
            return f"it cannot be taken ({error})"
        self.newest = snapshot.checkpoint
        return ""

    def judge(self, record: JournalRecord) -> str:
        """Check what a checkpoint says about the book before it; thoroughly, its tree and state too."""
        found, head = read_checkpoint(record), self._memory.head
        if found.book != self._book or found.at != head.at:
            return "its checkpoint is of another book or time"
        known = self._memory.state.ledger.known_keys(Instant(found.at))
        signed = signers_of(found.signatures, found.signing_digest(), known, self._verify)
        if isinstance(signed, Refused) or not signed <= set(self._memory.rules.holders.get("ledger", ())):
            return "the signature of its checkpoint does not fit"
        fault = self._fault_of_state(found) if self._checks_states else ""
        if not fault:
            self.newest = found
        return fault

    def _fault_of_state(self, found: Checkpoint) -> str:
        self._grow()
        parts = self._written()
        if (found.size, found.root) != (self._tree.frontier.size, self._tree.frontier.root()):
            return "its checkpoint names another tree than the records before it make"
        if found.form == form(parts) and found.state != digest(parts):
            return "its checkpoint names another state than the records before it make"
        return ""

    def _grow(self) -> None:
        """Bring the tree up to the head."""
        for record in self._store.records(self._tree.next):
            if record.sequence > self._memory.head.sequence:
                return
            self._tree.grow(record)

    def _written(self) -> Parts:
        return self._memory.written() | {_TREE: write_tree(self._tree)}

    def _signatures(self, checkpoint: Checkpoint, sign: Sign | None) -> tuple[Signature, ...]:
        """Sign with every key of the ledger that the book knows and that is at hand."""
        message = checkpoint.signing_digest()
        known = self._memory.state.ledger.known_keys(Instant(checkpoint.at))
        keys = self._memory.rules.holders.get("ledger", ()) if sign is not None else ()
        made = (sign(key, message) for key in keys if known.of(key) and key not in known.revoked and sign)
        signatures = tuple(signature for signature in made if signature is not None)
        if isinstance(signers_of(signatures, message, known, self._verify), Refused):
            raise UsageError("the ledger's key at hand is not the one that the book knows")
        return signatures

    # --- for whoever asks

    def all(self) -> Iterator[Checkpoint]:
        """Read every checkpoint of the journal, oldest first."""
        records = self._store.records(1)
        return (read_checkpoint(record) for record in records if record.kind == Kind.CHECKPOINT)

    def prove_entry(self, identifier: int) -> EntryProof:
        """Prove that a request is in the book of the newest checkpoint; UsageError where it is not."""
        return prove_entry(self._store, self._memory.routes_at, self._newest(), identifier)

    def prove_growth(self, earlier: Checkpoint) -> GrowthProof:
        """Prove that the book of the newest checkpoint begins with that of an earlier one; see `proving`."""
        return prove_growth(self._store, self._memory.routes_at, earlier, self._newest())

    def _newest(self) -> Checkpoint:
        if self.newest is None:
            raise UsageError("the book has no checkpoint yet; `ringfence book checkpoint` makes one")
        return self.newest
