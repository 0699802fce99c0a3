"""`ringfence book`: begin a book, move value in it, stop and resume parts of it.

Every command opens the journal, does one thing and closes it again; those that only read are in
`book_reading`. A refused request is journalled like any other, and ends in exit code 1.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.markup import escape

from ringfence.cli.arguments import PolicyFile
from ringfence.cli.book_adoption import app as adoption_app
from ringfence.cli.book_reading import At, balance, drift, export, history, opened, verify
from ringfence.cli.output import Json, console, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.kernel.ids import RequestId
    from ringfence.kernel.instant import Instant
    from ringfence.planes.ledger.operations import Move, Operation, Request
    from ringfence.policy.model import Plane
    from ringfence.services.ledger import Book
    from ringfence.services.ports import KeyRing

app = typer.Typer(no_args_is_help=True, help="Keep a book: every movement checked and journalled.")
keys_app = typer.Typer(no_args_is_help=True, help="Signing keys in files, for trying things on one machine.")
clients_app = typer.Typer(no_args_is_help=True, help="The members of the policy's families.")
app.add_typer(keys_app, name="key")
app.add_typer(clients_app, name="client")
app.add_typer(adoption_app, name="adoption")
for read in (balance, history, verify, drift, export):
    app.command()(read)

Keys = Annotated[
    Path | None,
    typer.Option("--keys", envvar="RINGFENCE_KEYS", help="The folder of keys; FILE.keys by default."),
]
Source = Annotated[str, typer.Argument(help="Compartment that gives, e.g. client/alice/cash.")]
Target = Annotated[str, typer.Argument(help="Compartment that gets, e.g. client/alice/hedge.")]
Amount = Annotated[str, typer.Argument(help="A plain decimal, e.g. 100.25.")]
AssetName = Annotated[str, typer.Argument(help="An asset of the policy, e.g. USDC.")]
Scope = Annotated[str, typer.Argument(help="gate/NAME, compartment/PATH, asset/NAME or book.")]
Why = Annotated[str, typer.Argument(help="The reason, in words; it is journalled.")]


# --- beginning ---------------------------------------------------------------------------------


@app.command("open")
def open_book(
    policy: PolicyFile,
    at: At,
    planes: Annotated[str, typer.Option("--planes", help="The planes to enforce, with commas.")] = "ledger",
    as_json: Json = False,
) -> None:
    """Begin a book under a policy, or check that the book there obeys it; say what is not enforced."""
    from ringfence import wiring
    from ringfence.cli.book_words import show_head

    was_there = at.exists()
    with closing(wiring.embedded(at, wiring.load_policy(policy), _built(planes))) as book:
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


# --- keys and members --------------------------------------------------------------------------


@keys_app.command("new")
def new_key(
    name: Annotated[str, typer.Argument(help="A key of the policy, e.g. officer_a; or all.")],
    at: At,
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Make a signing key that only you can read, and register its public half in the book."""
    from ringfence.planes.ledger.operations import RegisterKey

    with _desk(at, keys, as_json) as desk:
        single = [rule.name for rule in desk.book.rules.keys.values() if rule.per is None]
        if name not in (*single, "all"):
            raise UsageError(f"{name} is no single key of this policy; {', '.join(single)} are")
        known = desk.book.state.public_keys()
        wanted = [key for key in single if key not in known] if name == "all" else [name]
        desk.submit(*(RegisterKey(key, desk.public_key(key)) for key in wanted))


@clients_app.command("add")
def add_client(
    name: Annotated[str, typer.Argument(help="Pseudonym of the member, e.g. alice.")],
    at: At,
    party: Annotated[str, typer.Option("--party", help="The family of the policy.")] = "client",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Open a member's compartments, with new keys that only you can read where there are none."""
    from ringfence.planes.ledger.operations import OpenMember

    with _desk(at, keys, as_json) as desk:
        own = [rule.name for rule in desk.book.rules.keys.values() if rule.per == party]
        desk.submit(OpenMember(party, name, {key: desk.public_key(f"{key}/{name}") for key in own}))


# --- moving ------------------------------------------------------------------------------------


@app.command()
def transfer(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    gate: Annotated[str, typer.Option("--gate", help="The gate, where several lead there.")] = "",
    reason: Annotated[str, typer.Option("--reason", help="Words, for a gate that asks for them.")] = "",
    reverses: Annotated[str, typer.Option("--reverses", help="Id of the request to be reversed.")] = "",
    identifier: Annotated[str, typer.Option("--id", help="Your own id, in hexadecimal.")] = "",
    expires: Annotated[
        str, typer.Option("--expires", help="Until when it counts; 5 minutes if left out.")
    ] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Move value through a gate, signed with every key it needs that is at hand.

    Sent again with the same --id and --expires it moves nothing twice.
    """
    with _desk(at, keys, as_json) as desk:
        move = desk.move(source, target, amount, asset, gate)
        desk.submit(desk.request(move, identifier, expires, reason, reverses))


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
    """Record that value arrived from outside, and bring it in through the gate for it."""
    from ringfence.services import instructions

    with _desk(at, keys, as_json) as desk:
        move = desk.move(source, target, amount, asset)
        receipt = instructions.receipt(desk.book.rules, move, reference, desk.ring.sign)
        desk.submit(receipt, desk.request(move))


@app.command()
def price(
    name: Annotated[str, typer.Argument(help="A name under `prices` in the policy, e.g. index/BTC.")],
    quotes: Annotated[list[str], typer.Argument(help="SOURCE=PRICE for each source, e.g. v1=65000.5.")],
    at: At,
    as_json: Json = False,
) -> None:
    """Record what the sources of a price say now; the book takes the median of those that agree."""
    from ringfence.services import instructions

    with _desk(at, None, as_json) as desk:
        desk.submit(instructions.price_fact(name, quotes, desk.now))


@app.command()
def explain(
    source: Source,
    target: Target,
    amount: Amount,
    asset: AssetName,
    at: At,
    gate: Annotated[str, typer.Option("--gate", help="The gate, where several lead there.")] = "",
    keys: Keys = None,
    as_json: Json = False,
) -> None:
    """Say what the answer to a transfer would be, and what is permitted instead; nothing is asked."""
    from ringfence import wiring
    from ringfence.cli.book_words import plain_rehearsal, print_rehearsal

    with opened(at, wiring.read_book) as book:
        desk = _Desk(book, _ring(at, keys), wiring.clock().now())
        request = desk.request(desk.move(source, target, amount, asset, gate))
        found = plain_rehearsal(book.rules, request, *book.rehearse(request, desk.now))
    if as_json:
        print_json(found)
    else:
        print_rehearsal(found)


# --- stopping ----------------------------------------------------------------------------------


@app.command()
def freeze(scope: Scope, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Stop a gate, a compartment, an asset or the whole book."""
    from ringfence.services import instructions

    with _desk(at, keys, as_json) as desk:
        desk.submit(instructions.freeze(desk.book.rules, scope, why, desk.new_id(), desk.ring.sign))


@app.command()
def resume(scope: Scope, why: Why, at: At, keys: Keys = None, as_json: Json = False) -> None:
    """Lift a stop."""
    from ringfence.services import instructions

    with _desk(at, keys, as_json) as desk:
        desk.submit(instructions.resume(desk.book.rules, scope, why, desk.new_id(), desk.ring.sign))


# --- what a command works with -----------------------------------------------------------------


@dataclass
class _Desk:
    """An open book, the keys at hand, the time, and the answers so far."""

    book: "Book"
    ring: "KeyRing"
    now: "Instant"
    answers: list[dict[str, Any]] = field(default_factory=list)

    def submit(self, *operations: "Operation") -> None:
        """Submit one batch and keep the answers."""
        from ringfence.cli.book_words import plain_answer
        from ringfence.planes.ledger.journal import answered

        outcomes = self.book.submit(operations, self.now)
        self.answers += [
            plain_answer(self.book.rules, answered(operation, outcome.decision, outcome.entries))
            for operation, outcome in zip(operations, outcomes, strict=True)
        ]

    def public_key(self, name: str) -> bytes:
        """Return the public half of a key at hand; make the key where there is none."""
        return self.ring.public(name) if self.ring.has(name) else self.ring.make(name)

    def move(self, source: str, target: str, amount: str, asset: str, gate: str = "") -> "Move":
        """Read a movement as it was typed, and find its gate."""
        from ringfence.planes.ledger.operations import Move
        from ringfence.services import instructions

        rules = self.book.rules
        units = instructions.parse_amount(rules, amount, asset)
        return Move(
            gate or instructions.find_gate(rules, source, target, asset), source, target, asset, units
        )

    def request(
        self, move: "Move", identifier: str = "", expires: str = "", reason: str = "", reverses: str = ""
    ) -> "Request":
        """Make a movement a request, signed with what is at hand."""
        from ringfence.kernel.ids import parse_id
        from ringfence.kernel.instant import parse_instant
        from ringfence.services import instructions

        return instructions.transfer(
            self.book.rules,
            move,
            self.ring.sign,
            identifier=_parse(parse_id, identifier) if identifier else self.new_id(),
            expires=_parse(parse_instant, expires) if expires else instructions.default_expiry(self.now),
            reason=reason,
            reverses=_parse(parse_id, reverses) if reverses else 0,
        )

    def new_id(self) -> "RequestId":
        """Make an id that nobody else makes."""
        from ringfence.kernel.ids import request_id

        return request_id(self.now, int.from_bytes(os.urandom(10), "big"))


@contextmanager
def _desk(path: Path, keys: Path | None, as_json: bool) -> Iterator[_Desk]:
    """Open a book for writing; afterwards say what it answered, with exit code 1 where it refused."""
    from ringfence import wiring
    from ringfence.cli.book_words import print_answer

    with opened(path, wiring.embedded) as book:
        desk = _Desk(book, _ring(path, keys), wiring.clock().now())
        yield desk
    if as_json:
        print_json(desk.answers)
    else:
        for answer in desk.answers:
            print_answer(answer)
    if not all(answer["accepted"] for answer in desk.answers):
        raise typer.Exit(1)


def _ring(path: Path, keys: Path | None) -> "KeyRing":
    from ringfence import wiring

    return wiring.key_ring(keys or path.with_name(f"{path.name}.keys"))


Value = TypeVar("Value")


def _parse(read: Callable[[str], Value], text: str) -> Value:
    """Read what was typed; what cannot be meant is a mistake of whoever typed it."""
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
