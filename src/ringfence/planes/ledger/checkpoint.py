"""Checkpoints: what a book was at one record, signed, and proofs that need nothing else of the book.

A checkpoint says where the journal ended (sequence, time, hash), the root of the tree over all its entries,
and the digest of the state that follows from them. It is a record of the journal itself, and is meant to be
handed out. Whoever kept one can be shown later

    an entry    that one request with its answer is in the book, and in which words
    a growth    that a later checkpoint's book begins with every entry of the earlier one's

and checks it here, with the public key of the service that signed, SHA-256 and nothing of ours.
"""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import Instant
from ringfence.kernel.merkle import verify_consistency, verify_inclusion
from ringfence.planes.ledger.journal import Head, JournalRecord, Kind, sealed_after
from ringfence.planes.ledger.operations import Record, Signature
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.ledger.tree import leaf_of


class Checkpoint(Record, frozen=True, tag="checkpoint"):
    """A book at one record.

    book: hash of its genesis; sequence, at, hash: of the last record that is covered; size, root: of the tree
    over the entries up to it; state, form: digest of the state, and of the form it was written in.
    """

    book: bytes
    sequence: int
    at: int
    hash: bytes
    size: int
    root: bytes
    state: bytes
    form: bytes
    signatures: tuple[Signature, ...] = ()

    def signing_digest(self) -> bytes:
        """Return the 32 bytes that a key signs: everything but the signatures."""
        bare = msgspec.structs.replace(self, signatures=())
        return tagged_digest("ringfence checkpoint", msgspec.json.encode(bare))

    @property
    def head(self) -> Head:
        """Where the journal ended."""
        return Head(self.sequence, Instant(self.at), self.hash)


class ProvenEntry(Record, frozen=True):
    """One leaf and its way to the root: index among the leaves, place in the journal, content, path.

    content: of a batch, the operation with its answer as JSON; of rows, code and transfer; route: of rows, as
    JSON.
    """

    index: int
    sequence: int
    at: int
    kind: int
    place: int
    content: bytes
    path: tuple[bytes, ...]
    route: bytes = b""


class EntryProof(Record, frozen=True, tag="entry"):
    """The entries of one request are in the book of a checkpoint."""

    checkpoint: Checkpoint
    entries: tuple[ProvenEntry, ...]


class GrowthProof(Record, frozen=True, tag="growth"):
    """The book of the later checkpoint begins with every entry of the earlier one's."""

    earlier: Checkpoint
    later: Checkpoint
    path: tuple[bytes, ...]


# --- in the journal ----------------------------------------------------------------------------


def checkpoint_record(head: Head, at: Instant, policy: bytes, checkpoint: Checkpoint) -> JournalRecord:
    """Write a checkpoint of everything up to `head` as the record after it."""
    return sealed_after(head, Kind.CHECKPOINT, at, policy, msgspec.json.encode(checkpoint))


def read_checkpoint(record: JournalRecord) -> Checkpoint:
    """Read a checkpoint; JournalBroken where the record is none, or one of another place."""
    if record.kind != Kind.CHECKPOINT:
        raise JournalBroken(record.sequence, f"is of kind {record.kind}, and no checkpoint")
    try:
        found = msgspec.json.decode(record.payload, type=Checkpoint)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBroken(record.sequence, f"its checkpoint cannot be read: {error}") from None
    if msgspec.json.encode(found) != record.payload:
        raise JournalBroken(record.sequence, "its checkpoint is not spelled as this book spells it")
    if (found.sequence, found.hash) != (record.sequence - 1, record.previous):
        raise JournalBroken(record.sequence, "its checkpoint is of another place than before it")
    return found


# --- for whoever was handed one ----------------------------------------------------------------


def fault_of_signature(checkpoint: Checkpoint, publics: Iterable[bytes], verify: Verifier) -> str:
    """Say why a checkpoint does not count as signed by one of these public keys; "" where it does."""
    digest, trusted = checkpoint.signing_digest(), list(publics)
    if any(verify(public, digest, one.value) for one in checkpoint.signatures for public in trusted):
        return ""
    return f"the checkpoint at record {checkpoint.sequence} is not signed by the key that was named"


def fault_of_entries(proof: EntryProof) -> str:
    """Say why a proof does not show its entries; "" where it does. Whose checkpoint it is is asked apart."""
    top = proof.checkpoint
    for entry in proof.entries:
        leaf = leaf_of(entry.sequence, entry.at, entry.kind, entry.place, leaf_content(entry))
        if not verify_inclusion(leaf, entry.index, top.size, entry.path, top.root):
            return f"entry {entry.place} of record {entry.sequence} is not in the tree of the checkpoint"
    return "" if proof.entries else "the proof holds no entry"


def fault_of_growth(proof: GrowthProof) -> str:
    """Say why a proof does not show a growth; "" where it does. Whose checkpoints they are is asked apart."""
    earlier, later = proof.earlier, proof.later
    if earlier.book != later.book:
        return "the two checkpoints are of different books"
    if not verify_consistency(earlier.size, later.size, proof.path, earlier.root, later.root):
        return f"the book at record {later.sequence} does not begin with the one at record {earlier.sequence}"
    return ""


def leaf_content(entry: ProvenEntry) -> bytes:
    """Put together what the leaf of an entry holds."""
    if entry.kind != Kind.ROWS:
        return entry.content
    return entry.content[:2] + sha256(entry.route).digest() + entry.content[2:]
