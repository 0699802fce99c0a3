"""`ringfence book`: begin a book, move value in it, stop and resume parts of it.

Every command opens the journal, does one thing and closes it again; those that only read are in
`book_reading`. A refused request is journalled like any other, and ends in exit code 1.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer
from rich.markup import escape

from ringfence.cli import book_keys
from ringfence.cli.arguments import PolicyFile
from ringfence.cli.book_addresses import address_app
from ringfence.cli.book_adoption import app as adoption_app
from ringfence.cli.book_chains import chain, exchange
from ringfence.cli.book_corrections import correct, position_app
from ringfence.cli.book_deleveraging import deleverage
from ringfence.cli.book_desk import (
    Amount,
    Announced,
    AssetName,
    Beside,
    Expires,
    Gate,
    Keys,
    OwnId,
    Reason,
    Scope,
    Source,
    Target,
    Why,
    desk_to_read,
    open_desk,
)
from ringfence.cli.book_fills import fill, order_app
from ringfence.cli.book_holds import hold_app
from ringfence.cli.book_import import import_opening
from ringfence.cli.book_keeping import backup, export, restore
from ringfence.cli.book_mandates import mandate_app, top_up
from ringfence.cli.book_proofs import check_proof, checkpoint, prove_entry, prove_growth
from ringfence.cli.book_reading import At, balance, drift, history, verify
from ringfence.cli.book_sessions import session_app
from ringfence.cli.book_settlement import collect, funding, owed, settle
from ringfence.cli.book_statements import remark, statement_app
from ringfence.cli.book_stops import expect_stop, stops
from ringfence.cli.book_waiting import approve, cancel, carry_out, pending
from ringfence.cli.book_watch import watch
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.policy.model import HaltKind, Plane

app = typer.Typer(no_args_is_help=True, help="Keep a book: every movement checked and journalled.")
clients_app = typer.Typer(no_args_is_help=True, help="The members of the policy's families.")
app.add_typer(book_keys.app, name="key")
app.add_typer(clients_app, name="client")
app.add_typer(adoption_app, name="adoption")
app.add_typer(hold_app, name="hold")
app.add_typer(position_app, name="position")
app.add_typer(order_app, name="order")
app.add_typer(mandate_app, name="mandate")
app.add_typer(session_app, name="session")
app.add_typer(address_app, name="address")
app.add_typer(statement_app, name="statement")
app.command("top-up")(top_up)
for asks in (chain, exchange, correct, fill, settle, funding, collect, deleverage, remark):
    app.command()(asks)
for read in (balance, history, owed, verify, drift, export, stops):
    app.command()(read)
app.command("watch")(watch)
app.command("import")(import_opening)
for kept in (checkpoint, prove_entry, prove_growth, check_proof, backup, restore):
    app.command()(kept)
for waits in (pending, approve, cancel):
    app.command()(waits)
app.command("carry-out")(carry_out)


# --- beginning ---------------------------------------------------------------------------------


@app.command("open")
def open_book(
    policy: PolicyFile,
    at: At,
    planes: Annotated[str, typer.Option("--planes", help="The planes to enforce, with commas.")] = "ledger",
    as_json: Json = False,
) -> None:
    """Begin a book under a policy, or check that the book there obeys it; say what is not enforced."""
    from ringfence import wiring, wiring_files
    from ringfence.cli.book_words import show_head

    was_there = at.exists()
    with closing(wiring.embedded(at, wiring_files.load_policy(policy), _built(planes))) as book:
        found = {
            "book": str(at),
            "begun": not was_there,
            "policy": book.genesis.name,
            "digest": book.rules.digest.hex(),
            "planes": list(book.genesis.planes),
            "not_enforced": list(book.genesis.not_enforced),
            "head": show_head(book.head),
        }
    if as_json:
        print_json(found)
    else:
        _print_opening(found)


def _built(planes: str) -> "tuple[Plane, ...]":
    if planes != "ledger":
        raise UsageError(f"a book enforces the plane ledger so far, and {planes} was asked")
    return ("ledger",)


def _print_opening(found: dict[str, Any]) -> None:
    verb = "begun under" if found["begun"] else "obeys"
    digest = found["digest"][:16]
    console.print(
        f"{escape(found['book'])} {verb} policy {found['policy']}, digest {digest}…", highlight=False
    )
    console.print(f"enforced: {', '.join(found['planes'])}", highlight=False)
    for words in found["not_enforced"]:
        console.print(f"[yellow]not enforced:[/] {escape(words)}", highlight=False, soft_wrap=True)


# --- members -----------------------------------------------------------------------------------


@clients_app.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="Pseudonym of the member, e.g. alice.")],
    at: At,
    party: Annotated[str, typer.Option("--party", help="The family of the policy.")] = "client",
    publics: Annotated[
        list[str] | None,
        typer.Option("--public", help="KEY=PUBLIC of a key that the member made, e.g. client_key=9f2c…"),
    ] = None,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Open a member's compartments with the public keys given, else with new keys that only you can read."""
    from ringfence.planes.ledger.operations import OpenMember
    from ringfence.planes.ledger.records import member_name_fault

    fault = member_name_fault(name)
    if fault:
        raise UsageError(fault)  # before a key is made for nobody
    with open_desk(at, keys, as_json) as desk:
        own = [rule.name for rule in desk.book.rules.keys.values() if rule.per == party]
        given = dict(map(_given_key, publics or []))
        made = {key: desk.public_key(f"{key}/{name}") for key in own if key not in given}
        desk.submit(OpenMember(party, name, given | made))


def _given_key(text: str) -> tuple[str, bytes]:
    key, _, public = text.partition("=")
    return key, book_keys.parse_public(public)


@clients_app.command("close")
def close_client(
    name: Annotated[str, typer.Argument(help="Pseudonym of the member, e.g. alice.")],
    why: Why,
    at: At,
    party: Annotated[str, typer.Option("--party", help="The family of the policy.")] = "client",
    as_json: Json = False,
) -> None:
    """Close a member for ever; only when nothing of its own is left, else what remains is named."""
    from ringfence.planes.ledger.operations import CloseMember

    with open_desk(at, None, as_json) as desk:
        desk.submit(CloseMember(party, name, why))


@clients_app.command("freeze")
def freeze_client(
    name: Annotated[str, typer.Argument(help="Pseudonym of the member, e.g. alice.")],
    why: Why,
    at: At,
    party: Annotated[str, typer.Option("--party", help="The family of the policy.")] = "client",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Stop everything of one member, until somebody who may resumes `member/PARTY/NAME`."""
    _halt(at, keys, as_json, f"member/{party}/{name}", why, "freeze")


# --- moving ------------------------------------------------------------------------------------


@app.command()
def transfer(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    gate: Gate = "",
    reason: Reason = "",
    reverses: Annotated[str, typer.Option("--reverses", help="Id of the request to be reversed.")] = "",
    identifier: OwnId = "",
    expires: Expires = "",
    announce: Announced = False,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move value through a gate, signed with every key it needs that is at hand.

    Sent again with the same --id and --expires it moves nothing twice. Through a gate with a delay it is
    pending at first: `book pending` lists it, `book carry-out` carries it out.
    """
    with open_desk(at, keys, as_json) as desk:
        move = desk.move(source, target, amount, asset, gate)
        beside = Beside(identifier, expires, reason, reverses, announce=announce)
        desk.ask((move,), (move,), beside)


@app.command()
def deposit(
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    reference: Annotated[str, typer.Option("--reference", help="Where the arrival can be seen.")],
    source: Annotated[str, typer.Option("--from", help="The place outside that it came from.")] = "outside",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Record that value arrived from outside, and bring it in through the gate for it.

    Each reference is good once: typed again, nothing is brought in twice.
    """
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        move = desk.move(source, target, amount, asset)
        receipt = instructions.receipt(desk.book.rules, move, reference, desk.sign)
        if not desk.book.state.has_receipt(asset, reference):
            desk.submit(receipt, desk.request((move,), (move,)))
            return
        desk.submit(receipt)
        if desk.answers[-1]["accepted"] and desk.book.state.owed("receipts", source, target, asset):
            desk.ask((move,), (move,))  # it was recorded, and what it brings is still outside


@app.command()
def price(
    name: Annotated[str, typer.Argument(help="A name under `prices` in the policy, e.g. index/BTC.")],
    quotes: Annotated[list[str], typer.Argument(help="SOURCE=PRICE for each source, e.g. v1=65000.5.")],
    at: At,
    as_json: Json = False,
) -> None:
    """Record what the sources of a price say now; the book takes the median of those that agree."""
    from ringfence.services import instructions

    with open_desk(at, None, as_json) as desk:
        desk.submit(instructions.price_fact(name, quotes, desk.now))


@app.command()
def explain(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    gate: Gate = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Say what the answer to a transfer would be, and what is permitted instead; nothing is asked."""
    from ringfence.cli.book_words import plain_rehearsal, print_rehearsal

    with desk_to_read(at, keys) as desk:
        move = desk.move(source, target, amount, asset, gate)
        request = desk.request((move,), (move,))
        found = plain_rehearsal(desk.book.rules, request, *desk.book.rehearse(request, desk.now))
    if as_json:
        print_json(found)
    else:
        print_rehearsal(found)


# --- stopping ----------------------------------------------------------------------------------


@app.command()
def freeze(scope: Scope, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Stop a gate, a compartment, an asset, a member, a pool, a shard of members, or the whole book."""
    _halt(at, keys, as_json, scope, why, "freeze")


@app.command()
def halt(
    kind: Annotated[str, typer.Argument(help="withdrawals, cancel_only, reduce_only or stop.")],
    scope: Scope,
    why: Why,
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Halt withdrawals, let orders only be cancelled or only reduce, or stop a scope entirely."""
    _halt(at, keys, as_json, scope, why, kind)


@app.command()
def resume(
    scope: Scope,
    why: Why,
    at: At,
    kind: Annotated[str, typer.Option("--kind", help="Which halt is lifted; see `book halt`.")] = "freeze",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Lift a stop, signed by those who may lift it."""
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        rules, identifier = desk.book.rules, desk.new_id()
        expect_stop(desk.book, _kind(kind), scope)
        desk.submit(instructions.resume(rules, scope, why, identifier, desk.sign, _kind(kind)))


def _halt(at: Path, keys: Path | None, as_json: bool, scope: str, why: str, kind: str) -> None:
    from ringfence.services import instructions

    with open_desk(at, keys, as_json) as desk:
        rules, identifier = desk.book.rules, desk.new_id()
        desk.submit(instructions.freeze(rules, scope, why, identifier, desk.sign, _kind(kind)))


def _kind(text: str) -> "HaltKind":
    from ringfence.policy.model import HaltKind

    kinds: tuple[HaltKind, ...] = get_args(HaltKind)
    found = [kind for kind in kinds if kind == text]
    if not found:
        raise UsageError(f"{text} is no kind of halt; {', '.join(kinds)} are")
    return found[0]
