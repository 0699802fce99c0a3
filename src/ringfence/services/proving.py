"""Proofs out of a journal: its leaves are hashed up to a checkpoint, and the paths read off the tree."""

from collections.abc import Iterator

import msgspec

from ringfence.kernel.errors import UsageError, ViolationError
from ringfence.kernel.ids import show_id
from ringfence.kernel.merkle import Tree
from ringfence.planes.ledger.checkpoint import Checkpoint, EntryProof, GrowthProof, ProvenEntry
from ringfence.planes.ledger.journal import JournalRecord, Kind, read_batch
from ringfence.planes.ledger.operations import Request
from ringfence.planes.ledger.tree import JournalTree, RoutesOf, entries_of
from ringfence.services.ports import BookStore


def prove_entry(store: BookStore, routes: RoutesOf, checkpoint: Checkpoint, identifier: int) -> EntryProof:
    """Prove that every entry of a request is in the book of a checkpoint; UsageError where it has none."""
    leaves, found = JournalTree(routes), list[tuple[int, ProvenEntry]]()
    hashes: list[bytes] = []
    for record in _covered(store, checkpoint):
        found += ((len(hashes), entry) for entry in _entries(record, routes, identifier))
        hashes += leaves.leaves(record)
    if not found:
        words = f"no request {show_id(identifier)} up to record {checkpoint.sequence}"
        raise UsageError(f"there is {words}, where the newest checkpoint is")
    tree = Tree(hashes)
    entries = (_placed(entry, first + entry.place, tree) for first, entry in found)
    return EntryProof(checkpoint, tuple(entries))


def prove_growth(
    store: BookStore, routes: RoutesOf, earlier: Checkpoint, checkpoint: Checkpoint
) -> GrowthProof:
    """Prove that the book of a checkpoint begins with that of an earlier one.

    Raises UsageError where they are not of one book or in this order; ViolationError where the book does not
    begin so: then it was written again.
    """
    if earlier.book != checkpoint.book or earlier.size > checkpoint.size:
        raise UsageError("the checkpoint is of another book, or later than the newest of this one")
    leaves = JournalTree(routes)
    tree = Tree(leaf for record in _covered(store, checkpoint) for leaf in leaves.leaves(record))
    if tree.root(earlier.size) != earlier.root:
        raise ViolationError(
            f"this book does not begin with the one of the checkpoint at record {earlier.sequence}"
        )
    return GrowthProof(earlier, checkpoint, tree.consistency_proof(earlier.size, checkpoint.size))


def _covered(store: BookStore, checkpoint: Checkpoint) -> Iterator[JournalRecord]:
    for record in store.records():
        if record.sequence > checkpoint.sequence:
            return
        yield record


def _entries(record: JournalRecord, routes: RoutesOf, identifier: int) -> Iterator[ProvenEntry]:
    """Find the entries of a request in one record."""
    if record.kind == Kind.ROWS:
        for place, content, route in _rows(record, routes, identifier):
            yield _entry(record, place, content, route)
    elif record.kind == Kind.BATCH and str(identifier).encode() in record.payload:
        for place, (line, content) in enumerate(zip(read_batch(record), entries_of(record), strict=True)):
            if isinstance(line.operation, Request) and line.operation.id == identifier:
                yield _entry(record, place, content)


def _rows(record: JournalRecord, routes: RoutesOf, identifier: int) -> Iterator[tuple[int, bytes, bytes]]:
    from ringfence.planes.ledger.rows import read_rows, rows_of_request

    batch, codes = read_rows(record)
    for place in rows_of_request(batch.transfers, identifier):
        content = codes[place].tobytes() + batch.transfers[place].tobytes()
        yield (
            place,
            content,
            msgspec.json.encode(routes(record.sequence)[int(batch.transfers[place]["route"])]),
        )


def _entry(record: JournalRecord, place: int, content: bytes, route: bytes = b"") -> ProvenEntry:
    return ProvenEntry(-1, record.sequence, record.at, record.kind, place, content, (), route)


def _placed(entry: ProvenEntry, index: int, tree: Tree) -> ProvenEntry:
    return msgspec.structs.replace(entry, index=index, path=tree.inclusion_proof(index))
