"""`ringfence book chain` and `exchange`: several moves as one request, all of them or none."""

from typing import Annotated

import typer

from ringfence.cli.book_desk import (
    Announced,
    Beside,
    Desk,
    Expires,
    Keys,
    OwnId,
    Reason,
    Steps,
    open_desk,
)
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json
from ringfence.kernel.errors import UsageError


def chain(
    steps: Steps,
    at: At,
    reason: Reason = "",
    identifier: OwnId = "",
    expires: Expires = "",
    announce: Announced = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Make several moves one request, in this order: one refusal, and none of them happens.

    A later move may pass on what an earlier one brought. Each finds its own gate, or names it.
    """
    with open_desk(at, keys, as_json) as desk:
        moves = desk.moves(steps)
        desk.ask(moves, moves, Beside(identifier, expires, reason, announce=announce))


def exchange(
    legs: Steps,
    at: At,
    name: Annotated[str, typer.Option("--gate", help="The exchange, where several have these legs.")] = "",
    reason: Reason = "",
    identifier: OwnId = "",
    expires: Expires = "",
    announce: Announced = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Swap: the legs of an exchange of the policy, at values as near as its price asks, all or none.

    With --announce each side signs in its own time: the others `book approve` it.
    """
    with open_desk(at, keys, as_json) as desk:
        moves = desk.legs(legs, name)
        found = name or moves[0].gate
        if not found:
            raise UsageError(f"no exchange of this policy has these legs; it declares {_known(desk)}")
        desk.ask(moves, moves, Beside(identifier, expires, reason, exchange=found, announce=announce))


def _known(desk: Desk) -> str:
    exchanges = desk.book.rules.exchanges.items()
    return (
        "; ".join(f"{name}: {', '.join(f'{a} -> {b}' for a, b in rule.legs)}" for name, rule in exchanges)
        or "none"
    )
