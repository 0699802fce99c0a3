"""`ringfence book checkpoint`, and the proofs made of checkpoints: shown by us, checked by anybody."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ringfence.cli.book_desk import Keys, parse_typed, ring_at
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import BadInput, UsageError, ViolationError

if TYPE_CHECKING:
    from ringfence.planes.ledger.checkpoint import Checkpoint, EntryProof, GrowthProof, ProvenEntry
    from ringfence.planes.ledger.rules import Rules

Out = Annotated[Path | None, typer.Option("--out", help="Write the document to this file too.")]


def checkpoint(at: At, keys: Keys = None, out: Out = None, as_json: Json = False) -> None:
    """Write down what the book is now, signed with the ledger's key, and take a snapshot to open it from."""
    from ringfence import wiring

    ring = ring_at(at, keys)
    with opened(at, wiring.embedded) as book:
        made = book.checkpoint(wiring.clock().now(), ring.sign)
        publics = {one.key: book.state.public_keys()[one.key].hex() for one in made.signatures}
    _hand_out(made, out, as_json)
    if as_json:
        return
    console.print(f"checkpoint of {made.size} entries up to record {made.sequence}", highlight=False)
    console.print(f"root {made.root.hex()}", highlight=False)
    for key, public in publics.items():
        console.print(f"signed by {key}, public key {public}", highlight=False, soft_wrap=True)
    if not publics:
        console.print("signed by nobody: the ledger's key is not at hand")


def prove_entry(
    identifier: Annotated[str, typer.Argument(help="Id of the request, in hexadecimal.")],
    at: At,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Prove that a request and its answer are in the book of the newest checkpoint."""
    from ringfence import wiring
    from ringfence.kernel.ids import parse_id

    wanted = parse_typed(parse_id, identifier)
    with opened(at, wiring.read_book) as book:
        proof, rules = book.prove_entry(wanted), book.rules
    _hand_out(proof, out, as_json)
    if not as_json:
        _print_proven(proof, rules)


def prove_growth(
    earlier: Annotated[Path, typer.Argument(help="A checkpoint that was kept, as a file.")],
    at: At,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Prove that the book of the newest checkpoint begins with that of an earlier one."""
    from ringfence import wiring
    from ringfence.planes.ledger.checkpoint import Checkpoint

    kept = _read(earlier)
    if not isinstance(kept, Checkpoint):
        raise UsageError(f"{earlier} holds a proof, and a checkpoint is asked")
    with opened(at, wiring.read_book) as book:
        proof = book.prove_growth(kept)
    _hand_out(proof, out, as_json)
    if not as_json:
        _print_proven(proof)


def check_proof(
    file: Annotated[Path, typer.Argument(help="A proof or checkpoint, as a file.")],
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Public key of the ledger, in hexadecimal.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a proof or a checkpoint with nothing but the public key of whoever signed; no book is needed."""
    from ringfence import wiring
    from ringfence.planes.ledger.checkpoint import EntryProof, GrowthProof, fault_of_entries, fault_of_growth

    document = _read(file)
    faults = [wiring.fault_of_signature(one, _publics(key or [])) for one in _checkpoints(document)]
    if not key:
        faults = []
    if isinstance(document, EntryProof):
        faults.append(fault_of_entries(document))
    elif isinstance(document, GrowthProof):
        faults.append(fault_of_growth(document))
    found = [fault for fault in faults if fault]
    if found:
        raise ViolationError(f"{file} proves nothing: {found[0]}")
    if as_json:
        print_json({"proven": True, "signature_checked": bool(key), "document": plain(document)})
        return
    _print_proven(document)
    if not key:
        console.print("[yellow]whose it is was not checked:[/] name the ledger's public key with --key")


# --- documents ---------------------------------------------------------------------------------


def plain(document: object) -> Any:
    """Write a document as plain data; bytes are base64, as in the file."""
    import msgspec

    return msgspec.json.decode(msgspec.json.encode(document))


def _hand_out(document: object, out: Path | None, as_json: bool) -> None:
    import msgspec

    if out is not None:
        try:
            out.write_bytes(msgspec.json.encode(document) + b"\n")
        except OSError as error:
            raise BadInput(f"{out} cannot be written: {error.strerror}") from error
    if as_json:
        print_json(plain(document))


def _read(file: Path) -> "Checkpoint | EntryProof | GrowthProof":
    import msgspec

    from ringfence.planes.ledger.checkpoint import Checkpoint, EntryProof, GrowthProof

    try:
        return msgspec.json.decode(file.read_bytes(), type=Checkpoint | EntryProof | GrowthProof)
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{file} is neither a checkpoint nor a proof: {error}") from None


def _checkpoints(document: "Checkpoint | EntryProof | GrowthProof") -> "list[Checkpoint]":
    from ringfence.planes.ledger.checkpoint import Checkpoint, EntryProof

    if isinstance(document, Checkpoint):
        return [document]
    return [document.checkpoint] if isinstance(document, EntryProof) else [document.earlier, document.later]


def _publics(texts: list[str]) -> list[bytes]:
    try:
        return [bytes.fromhex(text) for text in texts]
    except ValueError:
        raise UsageError("a public key is 64 hexadecimal digits") from None


def _print_proven(document: "Checkpoint | EntryProof | GrowthProof", rules: "Rules | None" = None) -> None:
    """Say what a document proves; without the rules of its book, amounts are in units."""
    from ringfence.planes.ledger.checkpoint import EntryProof, GrowthProof

    if isinstance(document, EntryProof):
        for entry in document.entries:
            _print_entry(entry, rules)
        top = document.checkpoint
        words = f"in the book of the checkpoint at record {top.sequence}, {top.size} entries"
        console.print(words, highlight=False)
    elif isinstance(document, GrowthProof):
        earlier, later = document.earlier, document.later
        words = f"the book at record {later.sequence} begins with all {earlier.size} entries"
        console.print(f"{words} of the one at record {earlier.sequence}", highlight=False)
    else:
        words = f"checkpoint of {document.size} entries up to record {document.sequence}"
        console.print(words, highlight=False)


def _print_entry(entry: "ProvenEntry", rules: "Rules | None") -> None:
    """Put an entry in words: where it stands, what was asked and answered."""
    import msgspec

    from ringfence.cli.book_words import plain_answer, print_answer
    from ringfence.kernel.instant import Instant, show_instant
    from ringfence.planes.ledger.journal import Answered
    from ringfence.planes.ledger.rows import show_entry

    place = f"record {entry.sequence}, place {entry.place}, {show_instant(Instant(entry.at))}"
    if entry.route:
        words = f"{place}: {show_entry(entry.content)} by {entry.route.decode(errors='replace')}"
        console.print(words, highlight=False, markup=False, soft_wrap=True)
        return
    console.print(f"[dim]{place}[/]", highlight=False)
    try:
        print_answer(plain_answer(rules, msgspec.json.decode(entry.content, type=Answered)))
    except msgspec.DecodeError:
        console.print(entry.content.decode(errors="replace"), highlight=False, markup=False, soft_wrap=True)
