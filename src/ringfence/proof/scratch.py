"""A scratch book: the ordinary ledger, filled for one story and asked to do what an attacker would ask.

Every move goes through the ordinary `decide`. What the story takes for granted is put in before: balances,
what is owed, prices, what margin lets go, mandates, and what attestors may say; `assumptions` says so.

Signatures are a stand-in that this book alone verifies, so that proof needs no cryptography.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from typing import Literal, cast, get_args

import msgspec

from ringfence.kernel.decision import Accepted, Decision, Refused
from ringfence.kernel.instant import DAY_NS, Instant, show_duration
from ringfence.kernel.money import PRICE_SCALE, UNITS_MAX
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import (
    CarryOut,
    Fill,
    Link,
    Mandate,
    Move,
    OpenMember,
    Order,
    PriceFact,
    Quote,
    RegisterKey,
    Remark,
    Request,
    Signature,
    Statement,
    StatementWord,
    signing_bytes,
)
from ringfence.planes.ledger.statements import witnesses
from ringfence.policy.families import Binding, fill, match
from ringfence.policy.model import Exchange, Gate, Policy
from ringfence.proof.evidence import Hop
from ringfence.proof.world import NOBODY, Place, World

START = Instant(20_000 * DAY_NS - 1)
"""A moment before midnight UTC, so that a fixed window can be used just before and just after it ends."""

FILLED_UNITS = UNITS_MAX // 2
"""How much a scratch compartment holds where no supply is known: as much as one likes."""

STATEMENTS = frozenset(get_args(StatementWord))
"""Conditions that hold when somebody who may say so says it."""

_FILLER = "(scratch)"

_EASED = {"on": ("ledger",)}


class Scratch:
    """A book of one policy, as one plane checks it, with every member of a world open.

    waits: what a gate delays is announced, waited for and carried out, as it is on a book; otherwise delays
    are taken to have passed before, so that what is asked at an instant moves at it.
    """

    def __init__(self, policy: Policy, world: World, plane: str, *, waits: bool = False) -> None:
        self.world = world
        self._waits = waits
        self._declared: dict[str, Gate | Exchange] = {**policy.gates, **policy.exchanges}
        self.policy = self._eased(policy, plane)
        self.state = BookState(compile_policy(self.policy))
        self._last_id = 0
        self._now = START
        self._mandates = dict(_mandates(world))
        self._open_members()

    def _open_members(self) -> None:
        per = {name: key.per for name, key in self.policy.keys.items()}
        for member in self.world.members:
            keys = {name: _public(f"{name}/{member.name}") for name, of in per.items() if of == member.party}
            self.state.apply(OpenMember(member.party, member.name, keys), START, _fits)
        for name, of in per.items():
            if of is None:
                self.state.apply(RegisterKey(name, _public(name)), START, _fits)

    # --- what is taken for granted

    def _eased(self, policy: Policy, plane: str) -> Policy:
        """Return the policy as the plane checks it ("": as all do), on the ledger."""
        eased = _EASED if self._waits else {**_EASED, "delay_ns": None}
        sections: dict[str, object] = {}
        for section, rules in (("gates", policy.gates), ("exchanges", policy.exchanges)):
            kept = {name: rule for name, rule in rules.items() if plane in (*rule.on, "")}
            sections[section] = {name: rule.model_copy(update=eased) for name, rule in kept.items()}
        return policy.model_copy(update=sections)

    def assumptions(self, name: str) -> Iterator[str]:
        """Say what was taken as satisfied at a gate or exchange."""
        rule = self._declared.get(name)
        if rule is not None and rule.delay_ns is not None:
            yield f"the delay of {name}, {show_duration(rule.delay_ns)}, passes and nobody cancels"
        if rule is not None and rule.standing is not None:
            yield f"the standing mandate of {name} was given"
        for condition in rule.when if rule is not None else ():
            if condition.word in STATEMENTS:
                yield f"somebody who may say so says that the book is {condition.word}, as {name} asks"

    def hold(self, place: str, asset: str, units: int) -> None:
        """Let a compartment hold units."""
        tables = self.state.ledger.tables
        tables.move(_FILLER, place, asset, units)
        tables.commit()

    def owe(self, accrual: str, hop: Hop, units: int) -> None:
        """Let something be owed along a way."""
        tables = self.state.ledger.tables
        tables.owe((accrual, hop.source, hop.target, hop.asset), units)
        tables.commit()

    def force(self, hops: Iterable[Hop], units: int) -> None:
        """Move units where nobody is left to ask."""
        tables = self.state.ledger.tables
        for hop in hops:
            tables.move(hop.source, hop.target, hop.asset, units)
        tables.commit()

    # --- asking

    def wait_until(self, at: Instant) -> None:
        """Let time pass."""
        self.state.apply(Remark("time", "proof", "time passes", {}), at, _fits)

    def ask(self, hops: Iterable[Hop], units: int, keys: Iterable[str], at: Instant) -> Refused | None:
        """Ask for some ways in one request, signed by these keys; None where it was carried out."""
        links: list[Link] = []
        exchange = ""
        for hop in hops:
            self._give_mandate(hop, at)
            self._make_statements(hop, at)
            links += self._legs(hop, units)
            exchange = hop.rule if hop.rule in self.policy.exchanges else exchange
        self._say_prices(at)
        return self._carry_out(tuple(links), keys, at, self._everything_releasable(), exchange)

    def _give_mandate(self, hop: Hop, at: Instant) -> None:
        """Let who may give a standing mandate for a hop, if its gate asks for one."""
        need = self._mandates.get((hop.rule, hop.source, hop.target, hop.asset))
        if need is None:
            return
        keys = signers(self.world, need, range(len(self.world.keys))) or ()
        mandate = Mandate(
            id=self._next_id(),
            gate=hop.rule,
            source=hop.source,
            target=hop.target,
            asset=hop.asset,
            units=FILLED_UNITS,
            expires=max(at, self._now) + self._longest_delay_ns() + DAY_NS,
            policy=self.state.rules.digest,
        )
        signed = _signed(signing_bytes(mandate), [self.world.keys[key].name for key in keys])
        self.state.apply(msgspec.structs.replace(mandate, signatures=signed), max(at, self._now), _fits)

    def _make_statements(self, hop: Hop, at: Instant) -> None:
        """Let who may say what a gate asks to be said of the book."""
        rule, now = self._declared.get(hop.rule), max(at, self._now)
        for condition in rule.when if rule is not None else ():
            may = sorted(witnesses(self.state.rules, condition.word))
            if condition.word in STATEMENTS and may:
                statement = Statement(cast(StatementWord, condition.word), now, True, "a story of the proof")
                signed = _signed(signing_bytes(statement), may[:1])
                self.state.apply(msgspec.structs.replace(statement, signatures=signed), now, _fits)

    def fill(
        self,
        buyer: Place,
        seller: Place,
        name: str,
        contracts: int,
        price_e10: int,
        index_e10: int,
        at: Instant,
    ) -> Refused | None:
        """Fill two orders with each other, margin allowing both; None where the ledger did."""
        self._say_prices(at, index_e10)
        buy = self._order(buyer, "buy", name, contracts, price_e10, at)
        sell = self._order(seller, "sell", name, contracts, price_e10, at)
        allowed = Conditions(trade={buyer.name: 0, seller.name: 0})
        return self._carry_out((Fill(name, contracts, price_e10, buy, sell),), (), at, allowed)

    def _order(
        self,
        place: Place,
        side: Literal["buy", "sell"],
        name: str,
        contracts: int,
        limit_e10: int,
        at: Instant,
    ) -> Order:
        digest = self.state.rules.digest
        order = Order(self._next_id(), place.name, name, side, contracts, limit_e10, at + DAY_NS, digest)
        needs = place.trade.needs if place.trade else 0
        keys = signers(self.world, needs, range(len(self.world.keys))) or ()
        content = signing_bytes(order)
        return msgspec.structs.replace(
            order, signatures=_signed(content, [self.world.keys[key].name for key in keys])
        )

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _carry_out(
        self, links: tuple[Link, ...], keys: Iterable[str], at: Instant, facts: Conditions, exchange: str = ""
    ) -> Refused | None:
        at = max(at, self._now)
        request = Request(
            id=self._next_id(),
            links=links,
            policy=self.state.rules.digest,
            expires=at + self._longest_delay_ns() + DAY_NS,
            exchange=exchange,
            reason="a story of the proof",
        )
        signed = msgspec.structs.replace(request, signatures=_signed(signing_bytes(request), keys))
        decision = self.state.apply(signed, at, _fits, facts).decision
        if isinstance(decision, Accepted) and decision.pending:
            decision = self._carry_out_later(request.id, facts)
        return None if isinstance(decision, Accepted) else decision

    def _carry_out_later(self, pending: int, facts: Conditions) -> Decision:
        """Wait until a pending request is due, with nobody cancelling, and carry it out."""
        self._now = self.state.pending()[pending].due or self._now
        self._say_prices(self._now)
        return self.state.apply(CarryOut(pending), self._now, _fits, facts).decision

    def _longest_delay_ns(self) -> int:
        return max((rule.delay_ns or 0 for rule in self._declared.values()), default=0)

    def _legs(self, hop: Hop, units: int) -> list[Move]:
        """Return the move of a hop; of an exchange all its legs, giving back as much as is taken."""
        exchange = self.policy.exchanges.get(hop.rule)
        if exchange is None:
            return [Move(hop.rule, hop.source, hop.target, hop.asset, units)]
        bound = self._members_of(exchange, hop)
        return [
            Move(hop.rule, fill(leg.source, bound), fill(leg.target, bound), hop.asset, units)
            for leg in exchange.legs
        ]

    def _members_of(self, exchange: Exchange, hop: Hop) -> Binding:
        """Bind an exchange's variables: those of the hop, and for the other legs whoever fits."""
        leg = exchange.legs[hop.lane]
        bound = match(leg.target, hop.target, match(leg.source, hop.source)) or {}
        for end in (end for one in exchange.legs for end in (one.source, one.target)):
            wider = (match(end, place.name, bound) for place in self.world.places)
            bound = next(
                (one for one in wider if one is not None and len(set(one.values())) == len(one)), bound
            )
        return bound

    def _say_prices(self, at: Instant, price_e10: int = PRICE_SCALE) -> None:
        for name, authority in self.policy.prices.items():
            quotes = tuple(Quote(source, price_e10, at) for source in authority.sources)
            self.state.apply(PriceFact(name, quotes), at, _fits)

    def _everything_releasable(self) -> Conditions:
        coins = dict.fromkeys(self.world.assets, FILLED_UNITS)
        return Conditions(releasable={place.name: dict(coins) for place in self.world.places})

    def held(self, place: str, asset: str) -> int:
        """Return what a compartment holds; outside there is always more."""
        known = self.state.rules.place(place)
        return FILLED_UNITS if known is None or known.rule.two_sided else self.state.balance(place, asset)

    def room(self, hop: Hop) -> int:
        """Return the units that the limits along a way leave now."""
        room = self.state.room(hop.rule, hop.source, hop.target, hop.asset)
        return FILLED_UNITS if room is None else room


def _mandates(world: World) -> Iterator[tuple[tuple[str, str, str, str], int]]:
    """List the ways that ask for a mandate, by name, each with the need of whoever gives it."""
    for way in world.ways:
        if way.mandate != NOBODY:
            ends = world.places[way.source].name, world.places[way.target].name
            yield (world.rules[way.rule].name, *ends, world.assets[way.asset]), way.mandate


def signers(world: World, need: int, keys: Collection[int]) -> tuple[int, ...] | None:
    """Choose keys that meet a need, as few as can be; None where they cannot."""
    row = world.needs[need]
    inner = [signers(world, part, keys) for part in row.parts]
    found = [(key,) for key in row.keys if key in keys] + [one for one in inner if one is not None]
    if len(found) < row.count:
        return None
    found.sort(key=len)
    return tuple(dict.fromkeys(key for one in found[: row.count] for key in one))


def _signed(content: bytes, keys: Iterable[str]) -> tuple[Signature, ...]:
    return tuple(Signature(key, _signature(_public(key), content)) for key in sorted(set(keys)))


def _public(key: str) -> bytes:
    return hashlib.sha256(f"scratch key {key}".encode()).digest()


def _signature(public: bytes, content: bytes) -> bytes:
    return hashlib.sha256(public + content).digest()


def _fits(public: bytes, content: bytes, signature: bytes) -> bool:
    return signature == _signature(public, content)
