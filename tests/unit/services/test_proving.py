"""Proofs of entries and of growth: every true one holds, and no changed one does."""

import random

import msgspec
import pytest
from books import BET, PURSE, START, Vault, fund, moved, rows_vault, seed, signs, staked

from ringfence.adapters.book_memory import Shelf
from ringfence.adapters.signatures_ed25519 import public_key, verify
from ringfence.kernel.errors import UsageError, ViolationError
from ringfence.planes.ledger.checkpoint import (
    Checkpoint,
    EntryProof,
    GrowthProof,
    ProvenEntry,
    fault_of_entries,
    fault_of_growth,
    fault_of_signature,
    leaf_content,
)
from ringfence.planes.ledger.rows import show_entry
from ringfence.services.ledger import Book

LEDGER = public_key(seed("ledger_key"))


@pytest.fixture(scope="module")
def book() -> Book:
    """A book with requests and rows before, between and after its two checkpoints."""
    vault = rows_vault()
    book = vault.opened()
    moved(book, 100, 200)
    staked(book, 500, 5)
    book.checkpoint(START, signs)
    moved(book, 300)
    staked(book, 600, 7)
    book.checkpoint(START, signs)
    return book


@pytest.mark.parametrize(("identifier", "kind"), [(1, 1), (100, 1), (201, 1), (500, 3), (502, 3), (606, 3)])
def test_every_request_of_a_book_can_be_proven(book: Book, identifier: int, kind: int) -> None:
    proof = book.prove_entry(identifier)
    assert [entry.kind for entry in proof.entries] == [kind]
    assert fault_of_entries(proof) == ""
    again = msgspec.json.decode(msgspec.json.encode(proof), type=EntryProof)
    assert fault_of_entries(again) == ""


def test_a_refused_request_can_be_proven_too(book: Book) -> None:
    (entry,) = book.prove_entry(101).entries
    assert b'"refused"' in entry.content
    (row,) = book.prove_entry(502).entries
    assert "refused" in show_entry(row.content)
    assert f"request {502:x}, {10**12} units" in show_entry(row.content)
    assert PURSE.encode() in row.route
    assert BET.encode() in row.route
    assert show_entry(b"short") == "no transfer"


def test_a_request_that_was_never_made_has_no_proof(book: Book) -> None:
    with pytest.raises(UsageError, match="there is no request"):
        book.prove_entry(999)


def changed_entry(entry: ProvenEntry, field: str, draw: random.Random) -> ProvenEntry:
    value = getattr(entry, field)
    if isinstance(value, int):
        value += draw.choice([-1, 1])
    elif isinstance(value, bytes):
        value = flipped(value, draw)
    else:
        place = draw.randrange(len(value))
        value = (*value[:place], flipped(value[place], draw), *value[place + 1 :])
    return msgspec.structs.replace(entry, **{field: value})


def flipped(value: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(value))
    return value[:place] + bytes([value[place] ^ 1 << draw.randrange(8)]) + value[place + 1 :]


@pytest.mark.parametrize("identifier", [201, 604])
def test_no_changed_proof_holds(book: Book, identifier: int) -> None:
    draw = random.Random(identifier)
    proof = book.prove_entry(identifier)
    (entry,) = proof.entries
    fields = ["index", "sequence", "at", "kind", "place", "content", "path"] + (
        ["route"] if entry.route else []
    )
    for _ in range(300):
        field = draw.choice(fields)
        false = EntryProof(proof.checkpoint, (changed_entry(entry, field, draw),))
        assert "is not in the tree" in fault_of_entries(false), field
    assert fault_of_entries(EntryProof(proof.checkpoint, ())) == "the proof holds no entry"
    cut = EntryProof(proof.checkpoint, (msgspec.structs.replace(entry, path=entry.path[:-1]),))
    assert fault_of_entries(cut)


def test_a_transfer_proves_what_its_route_says(book: Book) -> None:
    """The number of a route means nothing outside the book: its words are part of the leaf."""
    (entry,) = book.prove_entry(604).entries
    other = entry.route.replace(b"alice/bet", b"carol/bet")
    assert other != entry.route
    false = msgspec.structs.replace(entry, route=other)
    assert leaf_content(false) != leaf_content(entry)
    assert fault_of_entries(EntryProof(book.prove_entry(604).checkpoint, (false,)))


def checkpoints(book: Book) -> list[Checkpoint]:
    earlier = next(found for found in book.checkpoints())
    assert book.last_checkpoint is not None
    return [earlier, book.last_checkpoint]


def test_a_book_that_grew_can_be_proven_to(book: Book) -> None:
    earlier, later = checkpoints(book)
    proof = book.prove_growth(earlier)
    assert (proof.earlier, proof.later) == (earlier, later)
    assert fault_of_growth(proof) == ""
    again = msgspec.json.decode(msgspec.json.encode(proof), type=GrowthProof)
    assert fault_of_growth(again) == ""
    assert fault_of_growth(book.prove_growth(later)) == ""


def test_no_changed_growth_holds(book: Book) -> None:
    draw = random.Random(3)
    proof = book.prove_growth(checkpoints(book)[0])
    for _ in range(100):
        place = draw.randrange(len(proof.path))
        path = (*proof.path[:place], flipped(proof.path[place], draw), *proof.path[place + 1 :])
        assert fault_of_growth(msgspec.structs.replace(proof, path=path))
    turned = GrowthProof(proof.later, proof.earlier, proof.path)
    assert fault_of_growth(turned)
    other = msgspec.structs.replace(proof.later, book=bytes(32))
    assert "different books" in fault_of_growth(GrowthProof(proof.earlier, other, proof.path))


def test_a_book_that_was_written_again_cannot_prove_growth() -> None:
    vault = Vault()
    first = vault.begun()
    moved(first, 10)
    kept = first.checkpoint(START, signs)
    first.close()
    # The same genesis, and another history from there on.
    again = Vault()
    again.shelf = Shelf()
    again.shelf.records = vault.shelf.records[:2]
    second = again.opened()
    second.submit([fund(10, "alice", 2)], START)
    second.submit([fund(20, "alice", 2)], START)
    second.submit([fund(30, "alice", 2)], START)
    second.checkpoint(START, signs)
    with pytest.raises(ViolationError, match="does not begin with the one"):
        second.prove_growth(kept)


def test_a_checkpoint_of_another_book_or_a_later_one_proves_nothing(book: Book) -> None:
    last = checkpoints(book)[1]
    for change in ({"book": bytes(32)}, {"size": last.size + 1}):
        with pytest.raises(UsageError, match="of another book, or later"):
            book.prove_growth(msgspec.structs.replace(last, **change))


def test_without_a_checkpoint_there_is_no_proof() -> None:
    book = Vault().begun()
    with pytest.raises(UsageError, match="the book has no checkpoint yet"):
        book.prove_entry(1)


def test_whose_checkpoint_it_is_is_asked_apart(book: Book) -> None:
    last = checkpoints(book)[1]
    assert fault_of_signature(last, [LEDGER], verify) == ""
    assert fault_of_signature(last, [public_key(seed("other")), LEDGER], verify) == ""
    for false in (
        msgspec.structs.replace(last, size=last.size + 1),
        msgspec.structs.replace(last, root=bytes(32)),
        msgspec.structs.replace(last, signatures=()),
    ):
        assert "is not signed by the key" in fault_of_signature(false, [LEDGER], verify)
    assert fault_of_signature(last, [public_key(seed("other"))], verify)
    assert fault_of_signature(last, [], verify)
