"""`ringfence book statement` and `remark`: what people say about the book, kept in it."""

from collections.abc import Mapping
from typing import Annotated, Any, get_args

import typer

from ringfence.cli.book_desk import Keys, open_desk
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows
from ringfence.kernel.errors import UsageError

statement_app = typer.Typer(no_args_is_help=True, help="Words about the whole book: make, list.")


@statement_app.command("make")
def make_statement(
    word: Annotated[
        str, typer.Argument(help="attested: its assets are there; reconciled: it agrees outside.")
    ],
    reference: Annotated[str, typer.Argument(help="Where the report can be seen.")],
    at: At,
    as_of: Annotated[str, typer.Option("--as-of", help="The instant it speaks of; now if left out.")] = "",
    bad: Annotated[
        bool, typer.Option("--bad", help="Say that it is not so: what asks for it shuts.")
    ] = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Say that the assets behind the book are there, or that it agrees with what is outside, or not."""
    from ringfence.planes.ledger.operations import Statement, StatementWord
    from ringfence.services import given

    words: tuple[StatementWord, ...] = get_args(StatementWord)
    said = next((one for one in words if one == word), None)
    if said is None:
        raise UsageError(f"{word} is no statement; {' and '.join(words)} are")
    with open_desk(at, keys, as_json) as desk:
        instant = desk.instant(as_of) if as_of else desk.now
        desk.submit(given.statement(desk.book.rules, Statement(said, instant, not bad, reference), desk.sign))


@statement_app.command("list")
def list_statements(at: At, as_json: Json = False) -> None:
    """Show the newest statement of each kind, which is the one that counts."""
    from ringfence import wiring
    from ringfence.kernel.instant import Instant, show_instant

    with opened(at, wiring.read_book) as book:
        found: list[dict[str, Any]] = [
            {
                "word": word,
                "holds": one.holds,
                "as_of": show_instant(Instant(one.as_of)),
                "reference": one.reference,
                "signed": [signature.key for signature in one.signatures],
            }
            for word, one in sorted(book.state.statements().items())
        ]
    headings = ("statement", "holds", "as of", "reference", "signed by")
    print_rows(found, as_json, headings, _cells, "nobody has said anything about this book")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    holds = "yes" if one["holds"] else "no"
    return one["word"], holds, one["as_of"], one["reference"], ", ".join(one["signed"])


def remark(
    subject: Annotated[str, typer.Argument(help="What it is about, e.g. client/alice/hedge.")],
    words: Annotated[str, typer.Argument(help="What is to be kept.")],
    at: At,
    kind: Annotated[
        str, typer.Option("--kind", help="`look` makes the book look at a bucket's limits and call.")
    ] = "note",
    as_json: Json = False,
) -> None:
    """Keep a decision or observation in the journal; it moves nothing."""
    from ringfence.planes.ledger.operations import Remark

    with open_desk(at, None, as_json) as desk:
        desk.submit(Remark(kind, subject, words))
