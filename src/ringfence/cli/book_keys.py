"""`ringfence book key`: signing keys in files, and what the book knows of them."""

from typing import Annotated

import typer

from ringfence.cli.book_desk import Keys, Why, open_desk, parse_typed
from ringfence.cli.book_reading import At
from ringfence.cli.output import Json
from ringfence.kernel.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Signing keys in files, for trying things on one machine.")

KeyName = Annotated[str, typer.Argument(help="A key with its member, e.g. officer_a or client_key/alice.")]


@app.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="A key of the policy, e.g. officer_a; or all.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Make a signing key that only you can read, and register its public half in the book."""
    from ringfence.planes.ledger.operations import RegisterKey

    with open_desk(at, keys, as_json) as desk:
        single = [rule.name for rule in desk.book.rules.keys.values() if rule.per is None]
        if name not in (*single, "all"):
            raise UsageError(f"{name} is no single key of this policy; {', '.join(single)} are")
        known = desk.book.state.public_keys()
        wanted = [key for key in single if key not in known] if name == "all" else [name]
        desk.submit(*(RegisterKey(key, desk.public_key(key)) for key in wanted))


@app.command()
def rotate(
    name: KeyName,
    at: At,
    until: Annotated[
        str, typer.Option("--until", help="Until when the old key still counts; not at all if left out.")
    ] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Let a new key take the place of one that is at hand; the old file is kept as NAME.former."""
    from ringfence.kernel.instant import parse_instant
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        if not desk.ring.has(name):
            raise UsageError(f"{name} is not at hand, and only who has a key can replace it")
        new = instructions.next_of(name)
        public = desk.public_key(new)
        old_until = parse_typed(parse_instant, until) if until else desk.now
        desk.submit(instructions.rotation(name, public, old_until, desk.now, desk.sign))
        if desk.answers[-1]["accepted"]:
            desk.ring.replace(name, new)


@app.command()
def revoke(name: KeyName, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Refuse every signature of a key for ever, what it signed for later too."""
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        desk.submit(instructions.revocation(desk.book.rules, name, why, desk.sign))
