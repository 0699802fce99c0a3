"""`ringfence book hold`: keep units for a request that may happen later, then move them or let them go."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ringfence.cli.book_desk import Amount, AssetName, Keys, Source, Target, open_desk, parse_typed
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.cli.book_desk import Desk
    from ringfence.planes.ledger.tables import Hold

hold_app = typer.Typer(no_args_is_help=True, help="Keep units for later: hold, post, void.")

HoldId = Annotated[str, typer.Argument(help="Id of the request that is held, in hexadecimal.")]


@hold_app.command("new")
def new_hold(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    until: Annotated[str, typer.Option("--until", help="Last instant at which it may be posted.")],
    gate: Annotated[str, typer.Option("--gate", help="The gate, where several lead there.")] = "",
    identifier: Annotated[str, typer.Option("--id", help="Your own id, in hexadecimal.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Words, for a gate that asks for them.")] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Hold what a transfer would move, so that nothing else spends it; the id names the hold."""
    from ringfence.kernel.instant import parse_instant

    with open_desk(at, keys, as_json) as desk:
        move = desk.move(source, target, amount, asset, gate)
        hold_until = parse_typed(parse_instant, until)
        desk.submit(desk.request(move, identifier, "", reason, hold_until=hold_until))


@hold_app.command("post")
def post_hold(
    hold: HoldId,
    at: At,
    amount: Annotated[
        str, typer.Option("--amount", help="A part of it, e.g. 40.5; the rest is let go.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Words, for a gate that asks for them.")] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move what is held, whole or in part, signed with every key its gates need that is at hand."""
    from ringfence.planes.ledger.operations import Post
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        identifier, held = _find(desk, hold)
        units: tuple[int, ...] = ()
        if amount and held is not None:
            if len(held.moves) != 1:
                raise UsageError(f"{hold} holds {len(held.moves)} moves; only one can be posted in part here")
            units = (instructions.parse_amount(desk.book.rules, amount, held.moves[0].asset),)
        desk.ask((Post(identifier, units),), held.moves if held else (), reason)


@hold_app.command("void")
def void_hold(hold: HoldId, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Let go of what is held."""
    from ringfence.planes.ledger.operations import Void

    with open_desk(at, keys, as_json) as desk:
        identifier, held = _find(desk, hold)
        desk.ask((Void(identifier),), held.moves if held else ())


@hold_app.command("list")
def list_holds(at: At, as_json: Json = False) -> None:
    """Show what is held as of the last record, for which moves and until when."""
    from ringfence import wiring
    from ringfence.cli.book_words import plain_hold

    with opened(at, wiring.read_book) as book:
        found = [plain_hold(book.rules, *one) for one in sorted(book.state.holds().items())]
    if as_json:
        print_json(found)
        return
    table = Table("hold", "until", "moves")
    for line in found:
        table.add_row(line["id"], line["until"], escape("\n".join(line["moves"])))
    console.print(table if found else "nothing is held")


def _find(desk: "Desk", text: str) -> "tuple[int, Hold | None]":
    from ringfence.kernel.ids import parse_id

    identifier = parse_typed(parse_id, text)
    return identifier, desk.book.state.holds().get(identifier)
