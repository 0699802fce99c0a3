"""`ringfence book mandate` and `top-up`: let a gate open without a signature each time, up to a cap."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column

from ringfence.cli.book_desk import (
    Amount,
    AssetName,
    Desk,
    Gate,
    Keys,
    OwnId,
    Source,
    Target,
    Until,
    Why,
    open_desk,
    parse_typed,
)
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Mandate
    from ringfence.services.ledger import Book

mandate_app = typer.Typer(no_args_is_help=True, help="Standing mandates: give, end, list.")


@mandate_app.command("give")
def give_mandate(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    until: Until,
    gate: Gate = "",
    identifier: OwnId = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let a gate with `standing` move up to this amount in all, until then, with no signature each time.

    A new mandate for the same gate, ends and asset takes the place of the one before.
    """
    from ringfence.kernel.ids import show_id
    from ringfence.services import given

    with open_desk(at, keys, as_json) as desk:
        rules = desk.book.rules
        name = gate or given.find_standing(rules, source, target, asset)
        move = desk.move(source, target, amount, asset, name)
        number = desk.identifier(identifier)
        desk.submit(given.mandate(rules, move, number, desk.instant(until), desk.sign))
        desk.answers[-1]["id"] = show_id(number)


@mandate_app.command("end")
def end_mandate(
    identifier: Annotated[str, typer.Argument(help="The id of a mandate, in hexadecimal.")],
    why: Why,
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Take a mandate back at once, signed as it was given."""
    from ringfence.services import given

    with open_desk(at, keys, as_json) as desk:
        desk.submit(given.end_mandate(desk.book.rules, _find(desk, identifier), why, desk.sign))


@mandate_app.command("list")
def list_mandates(at: At, as_json: Json = False) -> None:
    """List the mandates that were given and not taken back: for what, how much was moved, until when."""
    from ringfence import wiring

    with opened(at, wiring.read_book) as book:
        found = _plain_mandates(book, wiring.clock().now())
    headings = (Column("mandate", no_wrap=True), "up to", "moved", "until", "state")
    print_rows(found, as_json, headings, _cells, "no mandate is in force")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    ends = f"{one['amount']} {one['asset']} from {one['source']} to {one['target']} through {one['gate']}"
    return one["id"], ends, one["moved"], one["until"], one["state"]


def top_up(
    bucket: Annotated[str, typer.Argument(help="The bucket, e.g. client/alice/hedge.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move what margin says a bucket lacks, under every mandate for it, as far as cap and cash reach."""
    from ringfence.services.given import top_up

    with open_desk(at, keys, as_json) as desk:
        while move := top_up(desk.book, bucket, desk.now):
            desk.ask((move,), (move,))
            if not desk.answers[-1]["accepted"]:
                break
        if not desk.answers:
            raise UsageError(
                f"{bucket} is not topped up: it lacks nothing at the prices of this book, or no mandate "
                f"with cash behind it is in force; see `book mandate list`"
            )


def _find(desk: Desk, text: str) -> "Mandate":
    from ringfence.kernel.ids import parse_id

    number = parse_typed(parse_id, text)
    for one in desk.book.state.mandates():
        if one.mandate.id == number:
            return one.mandate
    raise UsageError(f"no mandate {text} is in force; `book mandate list` lists those that are")


def _plain_mandates(book: "Book", now: int) -> list[dict[str, Any]]:
    from ringfence.cli.book_words import show_units
    from ringfence.kernel.ids import show_id
    from ringfence.kernel.instant import Instant, show_instant

    found = []
    for one in book.state.mandates():
        given = one.mandate
        state = "in force" if now <= given.expires else "expired"
        found.append(
            {
                "id": show_id(given.id),
                "gate": given.gate,
                "source": given.source,
                "target": given.target,
                "asset": given.asset,
                "moved": show_units(book.rules, given.asset, one.moved),
                "amount": show_units(book.rules, given.asset, given.units),
                "until": show_instant(Instant(given.expires)),
                "state": state if given.policy == book.rules.digest else "of another policy",
            }
        )
    return found
