"""`ringfence book chain` and `exchange`: several moves as one request, all of them or none."""

from typing import Annotated

import typer

from ringfence.cli.book_desk import (
    Announced,
    Beside,
    Expires,
    Keys,
    OwnId,
    Reason,
    Steps,
    open_desk,
)
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json


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
        beside = Beside(identifier, expires, reason, exchange=moves[0].gate, announce=announce)
        desk.ask(moves, moves, beside)
