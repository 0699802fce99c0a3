"""`ringfence book key`: signing keys in files, and what the book knows of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column

from ringfence.cli.book_desk import Keys, Until, Why, desk_to_read, open_desk, ring_at
from ringfence.cli.book_reading import At, opened
from ringfence.cli.output import Json, console, print_json, print_rows
from ringfence.cli.signed_files import read_signed, write_signed
from ringfence.kernel.errors import UsageError

app = typer.Typer(no_args_is_help=True, help="Signing keys in files, for trying things on one machine.")

PUBLIC_SIZE = 32
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
def make(
    name: KeyName,
    keys: Annotated[Path, typer.Option("--keys", help="The folder of your keys; no book is needed.")],
    as_json: Json = False,
) -> None:
    """Make a signing key where its holder is, and show the public half, which is all the book needs."""
    from ringfence import wiring

    public = wiring.key_ring(keys).make(name).hex()
    if as_json:
        print_json({"key": name, "public": public})
    else:
        console.print(f"{name} {public}", highlight=False, soft_wrap=True)


@app.command()
def register(
    name: Annotated[str, typer.Argument(help="A key of the policy without members, e.g. officer_a.")],
    public: Annotated[str, typer.Argument(help="Its public half, 64 hexadecimal digits.")],
    at: At,
    as_json: Json = False,
) -> None:
    """Make the public half of a key known that somebody else made; see `book key make`."""
    from ringfence.planes.ledger.operations import RegisterKey

    with open_desk(at, None, as_json) as desk:
        desk.submit(RegisterKey(name, parse_public(public)))


@app.command("list")
def list_keys(at: At, keys: Keys = None, as_json: Json = False) -> None:
    """List every key the book knows: its public half, whether it counts, and whether it is at hand here."""
    from ringfence import wiring

    ring = ring_at(at, keys)
    with opened(at, wiring.read_book) as book:
        revoked = book.state.revoked_keys()
        found = [
            {
                "key": name,
                "public": public.hex(),
                "state": f"revoked: {revoked[name]}" if name in revoked else "counts",
                "at_hand": ring.has(name),
            }
            for name, public in sorted(book.state.public_keys().items())
        ]
    headings = ("key", Column("public half", no_wrap=True), "state", "at hand")
    print_rows(found, as_json, headings, _cells, "the book knows no key; `book key new all` makes them")


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    return one["key"], one["public"], one["state"], "yes" if one["at_hand"] else "no"


def parse_public(text: str) -> bytes:
    """Read the public half of a key as it was typed."""
    try:
        public = bytes.fromhex(text)
    except ValueError:
        public = b""
    if len(public) != PUBLIC_SIZE:
        raise UsageError(f"{text!r} is no public key; it is {2 * PUBLIC_SIZE} hexadecimal digits")
    return public


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
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        if not desk.ring.has(name):
            raise UsageError(f"{name} is not at hand, and only who has a key can replace it")
        new = instructions.next_of(name)
        public = desk.public_key(new)
        old_until = desk.instant(until) if until else desk.now
        desk.submit(instructions.rotation(name, public, old_until, desk.now, desk.sign))
        if desk.answers[-1]["accepted"]:
            desk.ring.replace(name, new)


@app.command()
def spare(
    name: KeyName,
    to: Annotated[Path, typer.Option("--to", help="The file for the signed rotation; keep it apart.")],
    at: At,
    until: Until,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Make a spare key and sign now that it may take a key's place, for the day on which that is lost.

    Nothing changes until somebody hands the file in with `book key bring-in`. Keep the spare key, NAME.next,
    and the file somewhere else.
    """
    from ringfence.services import instructions

    with desk_to_read(at, keys) as desk:
        if not desk.ring.has(name):
            raise UsageError(f"{name} is not at hand, and only who has a key can name its spare")
        new, expires = instructions.next_of(name), desk.instant(until)
        public = desk.public_key(new)
        signed = instructions.rotation(name, public, 0, desk.now, desk.sign, expires)
    write_signed(to, signed)
    if as_json:
        print_json({"file": str(to), "key": name, "spare": new, "public": public.hex()})
    else:
        console.print(f"{escape(str(to))}: lets {new} take the place of {name}", highlight=False)


@app.command("bring-in")
def bring_in(
    file: Annotated[Path, typer.Argument(help="The file that `book key spare` wrote.")],
    at: At,
    as_json: Json = False,
) -> None:
    """Let the spare key of a file take its place; the key that was lost counts no longer."""
    from ringfence.planes.ledger.operations import RotateKey

    rotation = read_signed(file, RotateKey, "rotation", "key spare")
    with open_desk(at, None, as_json) as desk:
        desk.submit(rotation)


@app.command()
def revoke(name: KeyName, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Refuse every signature of a key for ever, what it signed for later too."""
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        desk.submit(instructions.revocation(desk.book.rules, name, why, desk.sign))
