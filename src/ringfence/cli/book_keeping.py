"""The commands of `ringfence book` that keep it safe and hand it on: backup, restore, export."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from ringfence.cli.book_desk import Keys, ring_at
from ringfence.cli.book_reading import At, opened, parse_head
from ringfence.cli.output import Json, console, print_json, progress
from ringfence.kernel.errors import BadInput, UsageError

if TYPE_CHECKING:
    from ringfence.services.ledger import Book

Format = Literal["jsonl", "csv", "parquet", "beancount"]


def backup(
    to: Annotated[Path, typer.Argument(help="The file to copy the book to; it must not be there.")],
    at: At,
    sign_with: Annotated[str, typer.Option("--sign-with", help="A key that signs it, e.g. ledger_key.")] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Copy a book, beside its writer too, check the copy, and note where its journal ends."""
    from functools import partial

    from ringfence import wiring
    from ringfence.cli.book_words import show_head
    from ringfence.services.signed_heads import sign_head, write_head

    copy_file(at, to, f"copying {at.name}")
    with opened(to, partial(wiring.read_book, thorough=True)) as book:
        book.state.check_conservation()
        ring = ring_at(at, keys)
        signed = sign_head(book.genesis.name, book.head, book.rules.digest, sign_with, ring.sign)
        head = show_head(book.head)
    note = to.with_name(f"{to.name}.head.json")
    note.write_bytes(write_head(signed))
    if as_json:
        keys_used = [one.key for one in signed.signatures]
        print_json({"backup": str(to), "noted": str(note), "head": head, "signed": keys_used})
        return
    console.print(f"{to}: {signed.sequence + 1} records, verified", highlight=False)
    console.print(f"head {head}", highlight=False, soft_wrap=True)
    console.print(f"noted in {note}; keep it where the backup is not", highlight=False, soft_wrap=True)


def restore(
    backup: Annotated[Path, typer.Argument(help="The file of the backup.")],
    at: At,
    head: Annotated[str, typer.Option("--head", help="SEQUENCE:HASH, as it was noted elsewhere.")] = "",
    signed_head: Annotated[
        Path | None, typer.Option("--signed-head", help="The newest FILE.head.json there is.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of a lost book, and prove against a noted head that nothing is missing.

    With records missing nothing is put in place, and they are named. Without a noted head the journal
    is proved to be whole up to its end; that nothing was after it cannot be known.
    """
    from functools import partial

    from ringfence import wiring
    from ringfence.cli.book_words import show_head
    from ringfence.services.signed_heads import read_head

    if at.exists():
        raise UsageError(f"{at} is there already; a book in use is never restored over")
    noted = parse_head(head) if head else None
    signers: tuple[str, ...] = ()
    if signed_head is not None:
        kept = read_head(_content(signed_head), str(signed_head))
        if noted is not None and noted.sequence > kept.sequence:
            raise UsageError("--head is newer than --signed-head; give the newer one alone")
        noted = kept.head
    with opened(backup, partial(wiring.read_book, noted=noted, thorough=True)) as book:
        book.state.check_conservation()
        if signed_head is not None:
            signers = wiring.head_signers(kept, book)
        found = {
            "restored": str(at),
            "records": book.head.sequence + 1,
            "head": show_head(book.head),
            "reaches": None if noted is None else noted.sequence,
            "signed": list(signers),
            "nothing_missing": noted is not None,
        }
    copy_file(backup, at, f"restoring {at.name}")
    if as_json:
        print_json(found)
        return
    console.print(f"{at}: {found['records']} records, every hash and every answer checked", highlight=False)
    if noted is None:
        words = "whether anything came after its end cannot be known"
        _say(f"[yellow]nothing was noted:[/] {words}{_hint(backup)}")
        return
    by = f", signed by {', '.join(signers)}" if signers else ""
    _say(f"[green]nothing is missing[/] up to record {noted.sequence}{by}")
    if signed_head is not None and not signers:
        _say(
            "[yellow]nobody signed the note:[/] whoever could write the file could have shortened it; "
            "`book backup --sign-with ledger_key` signs the next one"
        )


def _hint(backup: Path) -> str:
    """Name the note that lies beside a backup, which nobody handed in."""
    note = backup.with_name(f"{backup.name}.head.json")
    return f"; {escape(str(note))} lies beside it: hand it in with --signed-head" if note.exists() else ""


def _say(words: str) -> None:
    console.print(words, highlight=False, soft_wrap=True)


def export(
    at: At,
    form: Annotated[
        Format,
        typer.Option("--format", help="jsonl: the whole journal; others: what was booked."),
    ] = "jsonl",
    to: Annotated[
        Path | None, typer.Option("--to", help="The file to write; standard output if left out.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a book for others: the journal as JSON lines, its booked legs as CSV, Parquet or Beancount.

    With --json the journal is one JSON document; with --to, --json says what was written.
    """
    from ringfence import wiring

    if form == "parquet" and to is None:
        raise UsageError("Parquet is no text; name a file with --to")
    with opened(at, wiring.read_book) as book:
        if to is None and as_json:
            print_json([json.loads(line) for line in _journal_lines(book)])
        elif to is None:
            sys.stdout.writelines(_lines(book, form))
        else:
            _say_written(to, _write(book, form, to), as_json=as_json)


def _lines(book: "Book", form: Format) -> Iterator[str]:
    from ringfence.services.exports import beancount_lines, csv_lines

    if form == "csv":
        return csv_lines(book)
    return beancount_lines(book) if form == "beancount" else _journal_lines(book)


def _journal_lines(book: "Book") -> Iterator[str]:
    from ringfence.cli.book_words import plain_record

    for dated in book.lines():
        yield json.dumps(plain_record(dated), ensure_ascii=False) + "\n"


def _write(book: "Book", form: Format, to: Path) -> int:
    """Write an export to a file and return how many lines or rows it has."""
    from ringfence import wiring

    if form == "parquet":
        return wiring.write_parquet(book, to)
    count = 0
    with progress(f"writing {to.name}") as step, to.open("w", encoding="utf-8", newline="") as file:
        for line in _lines(book, form):
            file.write(line)
            count += 1
            step(1)
    return count


def _say_written(to: Path, count: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(to), "lines": count})
    else:
        console.print(f"{to}: {count} lines", highlight=False)


def copy_file(source: Path, target: Path, words: str) -> None:
    """Copy a book file, showing how far it is."""
    from ringfence import wiring

    with progress(words, 100) as step:
        seen = 0

        def on_pages(left: int, total: int) -> None:
            nonlocal seen
            done = 100 * (total - left) // max(1, total)
            step(done - seen)
            seen = done

        wiring.copy_book(source, target, on_pages)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}") from None
