"""The commands of `ringfence book` that only read: they work on any book, beside its writer too."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

import typer
from rich.markup import escape
from rich.table import Table

from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, console, errors, print_json, progress
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.kernel.instant import Instant
    from ringfence.planes.ledger.journal import Head
    from ringfence.services.ledger import Book
    from ringfence.services.recovery import OnRecord

At = Annotated[Path, typer.Option("--at", envvar="RINGFENCE_BOOK", help="The file of the book.")]
Where = Annotated[str, typer.Argument(help="A compartment, e.g. client/alice/hedge; all if left out.")]


Moment = Annotated[str, typer.Option("--as-of", help="A time with its zone, e.g. 2025-10-10T21:00:00Z.")]


class OpenBook(Protocol):
    """A way to open a book: for reading, or for writing."""

    def __call__(self, path: Path, *, on_record: "OnRecord") -> "Book":
        """Replay the book at `path`, telling `on_record` of each record."""


@contextmanager
def opened(path: Path, open_book: OpenBook) -> "Iterator[Book]":
    """Open a book, showing how far its replay is, and close it after use."""
    from ringfence import wiring

    with progress(f"replaying {path.name}", wiring.records_in(path)) as step:
        book = open_book(path, on_record=lambda _: step(1))
    for note in book.notes:
        errors.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    try:
        yield book
    finally:
        book.close()


def balance(at: At, compartment: Where = "", as_of: Moment = "", as_json: Json = False) -> None:
    """Show what each compartment holds, contracts and debts too; now, or as of an instant.

    Where something is held for requests that may still happen, `held` says how much of the amount it is.
    """
    from functools import partial

    from ringfence import wiring
    from ringfence.cli.book_words import plain_balance

    with opened(at, partial(wiring.read_book, until=_instant(as_of))) as book:
        _expect_compartment(book, compartment)
        lines = [
            plain_balance(book.rules, path, asset, units, book.state.held(path, asset))
            for path, asset, units in sorted(book.state.balances())
            if compartment in ("", path)
        ]
    if as_json:
        print_json(lines)
        return
    table = Table("compartment", "asset")
    amounts = ("amount", "held") if any("held" in line for line in lines) else ("amount",)
    for name in amounts:
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(escape(line["compartment"]), line["asset"], *(line.get(name, "") for name in amounts))
    console.print(table if lines else "nothing was ever booked there")


def history(
    at: At,
    compartment: Where = "",
    last: Annotated[int, typer.Option("--last", min=1, help="How many to show at most.")] = 50,
    since: Annotated[str, typer.Option("--since", help="The first instant to show.")] = "",
    until: Annotated[str, typer.Option("--until", help="The last instant to show.")] = "",
    as_json: Json = False,
) -> None:
    """Show what was asked and answered, newest last; of one compartment, what was booked there."""
    from ringfence import wiring
    from ringfence.cli.book_words import dated_answer, print_answer

    with opened(at, wiring.read_book) as book:
        _expect_compartment(book, compartment)
        lines = book.lines(compartment or None, _instant(since), _instant(until))
        newest = deque(lines, maxlen=last)
        answers = [dated_answer(book.rules, dated) for dated in newest]
    if as_json:
        print_json(answers)
        return
    if not answers:
        console.print("nothing was asked or booked there and then")
    for answer in answers:
        console.print(f"[dim]record {answer['record']}, {answer['at']}[/]", highlight=False)
        print_answer(answer)


def verify(
    at: At,
    head: Annotated[str, typer.Option("--head", help="SEQUENCE:HASH, as it was noted earlier.")] = "",
    as_json: Json = False,
) -> None:
    """Replay the whole journal, check every hash, answer and checkpoint, and name the first bad record."""
    from functools import partial

    from ringfence import wiring
    from ringfence.cli.book_words import show_head

    noted = parse_head(head) if head else None
    with opened(at, partial(wiring.read_book, noted=noted, thorough=True)) as book:
        book.state.check_conservation()
        found = {
            "verified": True,
            "records": book.head.sequence + 1,
            "head": show_head(book.head),
            "policy": book.rules.digest.hex(),
            "conservation": True,
        }
    if as_json:
        print_json(found)
        return
    console.print(f"[green]verified[/] {found['records']} records: every hash, every answer, every balance")
    console.print(f"head {found['head']}", highlight=False, soft_wrap=True)


def drift(
    policy: PolicyFile,
    at: At,
    as_json: Json = False,
) -> None:
    """Compare what the book enforces now with a policy: gates, and keys that nobody registered."""
    from ringfence import wiring, wiring_files

    with opened(at, wiring.read_book) as book:
        found = book.drift(wiring_files.load_policy(policy))
    if as_json:
        print_json({"drift": list(found)})
    else:
        for words in found:
            console.print(f"[yellow]drift:[/] {escape(words)}", highlight=False, soft_wrap=True)
        console.print("the book is as the policy says" if not found else f"{len(found)} differences")
    if found:
        raise typer.Exit(1)


def _expect_compartment(book: "Book", path: str) -> None:
    if path and book.rules.place(path) is None:
        known = ", ".join(rule.pattern for rule in book.rules.compartments)
        raise UsageError(f"{path} is no compartment of this policy; these are: {known}")


def _instant(text: str) -> "Instant | None":
    """Read a time as it was typed; None where nothing was."""
    from ringfence.kernel.instant import parse_instant

    try:
        return parse_instant(text) if text else None
    except ValueError as error:
        raise UsageError(str(error)) from None


def parse_head(text: str) -> "Head":
    """Read a head as it was noted; UsageError where it is none."""
    from ringfence.kernel.instant import Instant
    from ringfence.planes.ledger.journal import Head

    sequence, _, seal = text.partition(":")
    if not (sequence.isascii() and sequence.isdigit()) or not re.fullmatch("[0-9a-f]{64}", seal):
        raise UsageError(f"{text!r} is no head such as 41:9f2c…, a sequence and 64 hexadecimal digits")
    return Head(int(sequence), Instant(0), bytes.fromhex(seal))
