"""`ringfence book session`: let a service place orders for a key for a while."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Column

from ringfence.cli.book_desk import Desk, Keys, OwnId, Until, Why, open_desk, parse_typed
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import OpenSession
    from ringfence.services.ledger import Book

session_app = typer.Typer(no_args_is_help=True, help="Trading sessions: open, close, list.")


@session_app.command("open")
def open_session(
    service: Annotated[str, typer.Argument(help="The service that places the orders, e.g. risk.")],
    buckets: Annotated[list[str], typer.Argument(help="The buckets, e.g. client/alice/hedge.")],
    at: At,
    until: Until,
    key: Annotated[str, typer.Option("--key", help="Whose orders; the key their orders ask for.")] = "",
    identifier: OwnId = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let a service place orders of these buckets for a key until then; it opens no gate."""
    from ringfence.kernel.ids import show_id
    from ringfence.services import given

    with open_desk(at, keys, as_json) as desk:
        rules = desk.book.rules
        wanted = {name for bucket in buckets for name in given.trading_keys(rules, bucket)}
        if not key and len(wanted) != 1:
            raise UsageError(
                f"orders of these buckets ask for {', '.join(sorted(wanted))}; name one with --key"
            )
        number = desk.identifier(identifier)
        expires = desk.instant(until)
        opened = given.session(rules, key or wanted.pop(), service, buckets, number, expires, desk.sign)
        desk.submit(opened)
        desk.answers[-1]["id"] = show_id(number)


@session_app.command("close")
def close_session(
    identifier: Annotated[str, typer.Argument(help="The id of a session, in hexadecimal.")],
    why: Why,
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """End a session at once, signed by its key or by the service that places its orders."""
    from ringfence.services import given

    with open_desk(at, keys, as_json) as desk:
        desk.submit(given.close_session(desk.book.rules, _find(desk, identifier), why, desk.sign))


@session_app.command("list")
def list_sessions(at: At, as_json: Json = False) -> None:
    """List every trading session: whose orders, who places them, for which buckets, and until when."""
    from ringfence import wiring

    with opened(at, wiring.read_book) as book:
        found = _plain_sessions(book, wiring.clock().now())
    headings = (Column("session", no_wrap=True), "orders of", "placed by", "buckets", "until", "state")
    print_rows(found, as_json, headings, _cells, "no session was ever opened")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["id"], one["key"], one["service"], "\n".join(one["buckets"]), one["until"], one["state"]


def _find(desk: Desk, text: str) -> "OpenSession":
    from ringfence.kernel.ids import parse_id

    state = desk.book.state.trading_sessions().get(parse_typed(parse_id, text))
    if state is None:
        raise UsageError(f"no session {text} was ever opened; `book session list` lists them")
    return state.opened


def _plain_sessions(book: "Book", now: int) -> list[dict[str, Any]]:
    from ringfence.kernel.ids import show_id
    from ringfence.kernel.instant import Instant, show_instant

    return [
        {
            "id": show_id(number),
            "key": one.opened.key,
            "service": one.opened.holder,
            "buckets": list(one.opened.buckets),
            "until": show_instant(Instant(one.opened.expires)),
            "state": "closed" if one.is_closed else "expired" if one.opened.expires < now else "open",
        }
        for number, one in sorted(book.state.trading_sessions().items())
    ]
