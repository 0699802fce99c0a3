"""`ringfence book address`: where a place outside is reached, in force when it has cooled."""

from typing import Annotated

import typer

from ringfence.cli.book_desk import Expires, Keys, open_desk
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, print_rows

address_app = typer.Typer(no_args_is_help=True, help="Addresses of places outside: pin, list.")


@address_app.command("pin")
def pin_address(
    compartment: Annotated[str, typer.Argument(help="A place outside that is pinned, e.g. outside/alice.")],
    address: Annotated[str, typer.Argument(help="Where it is reached, e.g. an account of a chain or bank.")],
    at: At,
    expires: Expires = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Register an address, signed by whoever owns the place; it is paid to when it has cooled."""
    from ringfence.services import given, instructions

    with open_desk(at, keys, as_json) as desk:
        until = desk.instant(expires) if expires else instructions.default_expiry(desk.now)
        desk.submit(given.address(desk.book.rules, compartment, address, until, desk.sign))


@address_app.command("list")
def list_addresses(at: At, as_json: Json = False) -> None:
    """List the addresses that matter: those in force, and those that cool, with when they come into force."""
    from ringfence import wiring
    from ringfence.kernel.instant import show_instant

    with opened(at, wiring.read_book) as book:
        now = wiring.clock().now()
        found = [
            {
                "compartment": path,
                "address": text,
                "registered": show_instant(since),
                "counts_from": show_instant(counts_from),
                "state": _state(text, book.state.address(path, now), is_cool=counts_from <= now),
            }
            for path, text, since, counts_from in book.state.addresses()
        ]
    headings = ("place", "address", "registered", "counts from", "state")
    print_rows(found, as_json, headings, lambda one: [*one.values()], "no address is registered")


def _state(text: str, in_force: str | None, *, is_cool: bool) -> str:
    if not is_cool:
        return "cooling"
    return "in force" if text == in_force else "replaced"
