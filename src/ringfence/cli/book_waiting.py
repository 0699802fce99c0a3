"""`ringfence book pending`, `approve`, `cancel`, `carry-out`: requests that wait."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ringfence.cli.book_desk import Desk, Keys, Why, open_desk, parse_typed
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.pending import Pending

Identifier = Annotated[str, typer.Argument(help="The id of a pending request, in hexadecimal.")]
Until = Annotated[str, typer.Option("--until", help="Until when it counts; as the request, if left out.")]


def pending(at: At, as_json: Json = False) -> None:
    """List the requests that wait: for whom, or until when, and when they expire."""
    from ringfence import wiring
    from ringfence.cli.book_words import plain_pending

    with opened(at, wiring.read_book) as book:
        now = wiring.clock().now()
        found = [
            plain_pending(book.rules, one, book.lacks(one, now), now)
            for _, one in sorted(book.state.pending().items())
        ]
    if as_json:
        print_json(found)
        return
    for one in found:
        console.print(f"{one['id']}  {escape(one['asked'])}", highlight=False, soft_wrap=True)
        waits = f"[yellow]{escape(one['waits'])}[/]; expires {one['expires']}"
        console.print(f"         {waits}", highlight=False, soft_wrap=True)
    if not found:
        console.print("nothing is pending")


def approve(
    identifier: Identifier, at: At, until: Until = "", keys: Keys = None, as_json: Json = False
) -> None:
    """Sign a pending request with every key it asks for that is at hand."""
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        one = _pending(desk, identifier)
        expires = desk.instant(until) if until else one.request.expires
        desk.submit(instructions.approval(one, expires, desk.sign))


def cancel(identifier: Identifier, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """End a pending request before anything moves, signed by one whom the gate's `cancel` names."""
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        one = _pending(desk, identifier)
        desk.submit(instructions.cancelling(one, desk.book.state.may_cancel(one), why, desk.sign))


def carry_out(identifier: Identifier, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Carry out a pending request whose delay has passed; everything is judged again."""
    from ringfence.kernel.ids import parse_id
    from ringfence.planes.ledger.operations import CarryOut

    with open_desk(at, keys, as_json) as desk:
        number = parse_typed(parse_id, identifier)
        if number not in desk.book.state.pending() and not _was_pending(desk, number):
            raise UsageError(f"{identifier} was never pending; `book pending` lists what is")
        desk.submit(CarryOut(number))


def _was_pending(desk: Desk, number: int) -> bool:
    """Say whether a request was ever announced in this book: asked again, it gets the answer it had."""
    from ringfence.planes.ledger.operations import Announce, Request

    announced = (dated.line.operation for dated in desk.book.lines() if dated.line.pending)
    requests = (one.request if isinstance(one, Announce) else one for one in announced)
    return any(isinstance(one, Request) and one.id == number for one in requests)


def _pending(desk: Desk, identifier: str) -> "Pending":
    from ringfence.kernel.ids import parse_id

    one = desk.book.state.pending().get(parse_typed(parse_id, identifier))
    if one is None:
        raise UsageError(f"{identifier} is not pending; `book pending` lists what is")
    return one
