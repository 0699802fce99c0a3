"""`ringfence book hold`: keep units for a request that may happen later, then move them or let them go."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column

from ringfence.cli.book_desk import (
    Amount,
    AssetName,
    Beside,
    Gate,
    Keys,
    OwnId,
    Reason,
    Source,
    Steps,
    Target,
    open_desk,
    parse_typed,
)
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.cli.book_desk import Desk
    from ringfence.planes.ledger.operations import Move
    from ringfence.planes.ledger.tables import Hold

hold_app = typer.Typer(no_args_is_help=True, help="Keep units for later: hold, post, void.")

HoldIds = Annotated[list[str], typer.Argument(help="Ids of the requests that are held, in hexadecimal.")]
HoldUntil = Annotated[str, typer.Option("--until", help="Last instant at which it may be posted.")]


@hold_app.command("new")
def new_hold(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    until: HoldUntil,
    gate: Gate = "",
    identifier: OwnId = "",
    reason: Reason = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Hold what a transfer would move, so that nothing else spends it; the id names the hold."""
    with open_desk(at, keys, as_json) as desk:
        _hold(
            desk, [desk.move(source, target, amount, asset, gate)], until, Beside(identifier, reason=reason)
        )


@hold_app.command("chain")
def hold_chain(
    steps: Steps,
    at: At,
    until: HoldUntil,
    identifier: OwnId = "",
    reason: Reason = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Hold what several moves together would take, all of them or none; one id names them all."""
    with open_desk(at, keys, as_json) as desk:
        _hold(desk, desk.moves(steps), until, Beside(identifier, reason=reason))


def _hold(desk: "Desk", moves: "list[Move]", until: str, beside: Beside) -> None:
    desk.ask(moves, moves, replace(beside, hold_until=desk.instant(until)))


@hold_app.command("post")
def post_hold(
    holds: HoldIds,
    at: At,
    amounts: Annotated[
        list[str] | None,
        typer.Option("--amount", help="A part of it, e.g. 40.5, one for each move; the rest is let go."),
    ] = None,
    reason: Reason = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move what is held, whole or in part, signed with every key its gates need that is at hand.

    Several holds are posted together or not at all.
    """
    from ringfence.planes.ledger.operations import Post

    with open_desk(at, keys, as_json) as desk:
        found = [_find(desk, text) for text in holds]
        parts = _parts(desk, holds, [held for _, held in found], amounts or [])
        desk.ask(
            [Post(identifier, parts) for identifier, _ in found], _moves_of(found), Beside(reason=reason)
        )


def _parts(desk: "Desk", names: list[str], holds: "list[Hold | None]", amounts: list[str]) -> tuple[int, ...]:
    """Read a part for each move of the one hold that was named."""
    from ringfence.services import instructions

    if not amounts:
        return ()
    if len(holds) != 1:
        raise UsageError(f"--amount is of one hold, and {len(holds)} were named; post each by itself")
    moves = holds[0].moves if holds[0] is not None else ()
    if holds[0] is not None and len(moves) != len(amounts):
        raise UsageError(
            f"{names[0]} holds {len(moves)} moves, and {len(amounts)} amounts were given; "
            f"give --amount once for each, 0 to leave one out"
        )
    rules = desk.book.rules
    pairs = zip(moves, amounts, strict=False)
    return tuple(instructions.parse_amount(rules, amount, move.asset) for move, amount in pairs)


@hold_app.command("void")
def void_hold(holds: HoldIds, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Let go of what is held; of several holds together or of none."""
    from ringfence.planes.ledger.operations import Void

    with open_desk(at, keys, as_json) as desk:
        found = [_find(desk, text) for text in holds]
        desk.ask([Void(identifier) for identifier, _ in found], _moves_of(found))


def _moves_of(found: "list[tuple[int, Hold | None]]") -> "list[Move]":
    return [move for _, held in found if held is not None for move in held.moves]


@hold_app.command("list")
def list_holds(at: At, as_json: Json = False) -> None:
    """Show what is held as of the last record, for which moves and until when."""
    from ringfence import wiring
    from ringfence.cli.book_words import plain_hold

    with opened(at, wiring.read_book) as book:
        found = [plain_hold(book.rules, *one) for one in sorted(book.state.holds().items())]
    headings = (Column("hold", no_wrap=True), "until", "moves")
    print_rows(found, as_json, headings, _cells, "nothing is held")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["id"], one["until"], "\n".join(one["moves"])


def _find(desk: "Desk", text: str) -> "tuple[int, Hold | None]":
    from ringfence.kernel.ids import parse_id

    identifier = parse_typed(parse_id, text)
    return identifier, desk.book.state.holds().get(identifier)
