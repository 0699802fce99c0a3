"""What a command that writes to a book works with: the open book, the keys at hand, the time, the answers."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from ringfence.cli.book_reading import opened
from ringfence.cli.output import print_json
from ringfence.kernel.errors import StoreFailed, UsageError

if TYPE_CHECKING:
    from ringfence.kernel.ids import RequestId
    from ringfence.kernel.instant import Instant
    from ringfence.planes.ledger.operations import Link, Move, Operation, Request, Signature
    from ringfence.services.ledger import Book
    from ringfence.services.ports import KeyRing

Keys = Annotated[
    Path | None,
    typer.Option("--keys", envvar="RINGFENCE_KEYS", help="The folder of keys; FILE.keys by default."),
]
Source = Annotated[str, typer.Argument(help="Compartment that gives, e.g. client/alice/cash.")]
Target = Annotated[str, typer.Argument(help="Compartment that gets, e.g. client/alice/hedge.")]
Amount = Annotated[str, typer.Argument(help="A plain decimal, e.g. 100.25.")]
AssetName = Annotated[str, typer.Argument(help="An asset of the policy, e.g. USDC.")]
Scope = Annotated[
    str,
    typer.Argument(
        help="gate/NAME, compartment/PATH, asset/NAME, member/PARTY/NAME, pool/NAME, shard/K-of-N or book."
    ),
]
Why = Annotated[str, typer.Argument(help="The reason, in words; it is journalled.")]
Gate = Annotated[str, typer.Option("--gate", help="The gate, where several lead there.")]
Reason = Annotated[str, typer.Option("--reason", help="Words, for a gate that asks for them.")]
OwnId = Annotated[str, typer.Option("--id", help="Your own id, in hexadecimal.")]
Expires = Annotated[str, typer.Option("--expires", help="Until when it counts; 5 minutes if left out.")]
Announced = Annotated[
    bool, typer.Option("--announce", help="Let it wait for the signatures that are missing.")
]
Until = Annotated[str, typer.Option("--until", help="A time with its zone, e.g. 2030-01-01T00:00:00Z.")]
Steps = Annotated[
    list[str],
    typer.Argument(help='One move each, in quotes: "SOURCE TARGET AMOUNT ASSET", and a gate if need be.'),
]


@dataclass(frozen=True)
class Beside:
    """What is typed beside the moves of a request; "" where nothing was."""

    identifier: str = ""
    expires: str = ""
    reason: str = ""
    reverses: str = ""
    exchange: str = ""
    hold_until: int = 0
    announce: bool = False


PLAIN = Beside()


@dataclass
class Desk:
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

    def moves(self, steps: "Sequence[str]") -> "list[Move]":
        """Read movements as they were typed, each in words of its own, and find their gates."""
        return [self.move(*split_step(step)) for step in steps]

    def legs(self, steps: "Sequence[str]", exchange: str = "") -> "list[Move]":
        """Read the legs of an exchange as they were typed, and find it where it is not named."""
        from ringfence.planes.ledger.operations import Move
        from ringfence.services import instructions

        rules = self.book.rules
        typed = [split_step(step) for step in steps]
        name = exchange or instructions.find_exchange(rules, [(one[0], one[1], one[3]) for one in typed])
        if not name:
            known = (
                f"{one} ({', '.join(f'{a} -> {b}' for a, b in rule.legs)})"
                for one, rule in sorted(rules.exchanges.items())
            )
            raise UsageError(
                f"no exchange of this policy has these legs; it declares {'; '.join(known) or 'none'}"
            )
        return [
            Move(name, source, target, asset, instructions.parse_amount(rules, amount, asset))
            for source, target, amount, asset, _ in typed
        ]

    def request(
        self, links: "Sequence[Link]", through: "Sequence[Move]", beside: Beside = PLAIN
    ) -> "Request":
        """Make links a request, signed with what is at hand of the keys that moves `through` need."""
        from ringfence.kernel.ids import parse_id
        from ringfence.services import instructions

        return instructions.chain(
            self.book.rules,
            links,
            through,
            self.sign,
            identifier=self.identifier(beside.identifier),
            expires=self._expiry(through, beside),
            reason=beside.reason,
            exchange=beside.exchange,
            reverses=parse_typed(parse_id, beside.reverses) if beside.reverses else 0,
            hold_until=beside.hold_until,
        )

    def ask(self, links: "Sequence[Link]", through: "Sequence[Move]", beside: Beside = PLAIN) -> None:
        """Submit links as one request; announced where others sign it later."""
        from ringfence.planes.ledger.operations import Announce

        request = self.request(links, through, beside)
        self.submit(Announce(request) if beside.announce else request)

    def resized(self, move: "Move", units: int) -> "Move":
        """Return the same movement of another amount."""
        import msgspec

        return msgspec.structs.replace(move, units=units)

    def sign(self, name: str, message: bytes) -> "Signature | None":
        """Sign with a key at hand that the book still counts; None where there is none."""
        return None if name in self.book.state.revoked_keys() else self.ring.sign(name, message)

    def _expiry(self, through: "Sequence[Move]", beside: Beside) -> "Instant":
        from ringfence.services import instructions

        if beside.expires:
            return self.instant(beside.expires)
        rules = self.book.rules
        passed = [rules.gates.get(move.gate) for move in through]
        passed += [rules.exchanges[move.gate].gate for move in through if move.gate in rules.exchanges]
        delay_ns = max((gate.delay_ns for gate in passed if gate is not None), default=0)
        return instructions.default_expiry(self.now, delay_ns, beside.announce)

    def instant(self, typed: str) -> "Instant":
        """Read a time as it was typed."""
        from ringfence.kernel.instant import parse_instant

        return parse_typed(parse_instant, typed)

    def identifier(self, typed: str) -> "RequestId":
        """Read an id as it was typed, or make one where none was."""
        from ringfence.kernel.ids import parse_id

        return parse_typed(parse_id, typed) if typed else self.new_id()

    def new_id(self) -> "RequestId":
        """Make an id that nobody else makes."""
        from ringfence.kernel.ids import request_id

        return request_id(self.now, int.from_bytes(os.urandom(10), "big"))


def split_step(step: str) -> tuple[str, str, str, str, str]:
    """Split a typed move into source, target, amount, asset and gate ("" where none is named)."""
    words = step.split()
    if len(words) not in (4, 5):
        raise UsageError(
            f"{step!r} is no move; write four words and perhaps a gate, "
            f'e.g. "client/alice/cash client/alice/hedge 100 USDC"'
        )
    source, target, amount, asset, *named = words
    return source, target, amount, asset, named[0] if named else ""


@contextmanager
def open_desk(path: Path, keys: Path | None, as_json: bool) -> Iterator[Desk]:
    """Open a book for writing; afterwards say what it answered, with exit code 1 where it refused."""
    from ringfence import wiring
    from ringfence.cli.book_words import print_answer

    with opened(path, wiring.embedded) as book:
        desk = Desk(book, ring_at(path, keys), wiring.clock().now())
        yield desk
        if book.is_checkpoint_due:
            _take_checkpoint(desk)
    if as_json:
        print_json(desk.answers)
    else:
        for answer in desk.answers:
            print_answer(answer)
    if not all(answer["accepted"] for answer in desk.answers):
        raise typer.Exit(1)


@contextmanager
def desk_to_read(path: Path, keys: Path | None) -> Iterator[Desk]:
    """Open a book for reading, beside its writer too: to sign what somebody may hand in later."""
    from ringfence import wiring

    with opened(path, wiring.read_book) as book:
        yield Desk(book, ring_at(path, keys), wiring.clock().now())


def _take_checkpoint(desk: Desk) -> None:
    """Take a checkpoint that is due; what was asked is on the disk already, and its answer must be shown."""
    try:
        desk.book.checkpoint(desk.now, desk.ring.sign)
    except UsageError:
        # The ledger's key at hand cannot be used: a checkpoint without it still shortens the next opening.
        desk.book.checkpoint(desk.now)
    except StoreFailed:
        return


def ring_at(path: Path, keys: Path | None) -> "KeyRing":
    """Open the folder of keys beside a book, or the one that was named."""
    from ringfence import wiring

    return wiring.key_ring(keys or path.with_name(f"{path.name}.keys"))


Value = TypeVar("Value")


def parse_typed(read: Callable[[str], Value], text: str) -> Value:
    """Read what was typed; what cannot be meant is a mistake of whoever typed it."""
    try:
        return read(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
