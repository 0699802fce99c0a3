"""The headline run as operations for a real book: opened, funded, traded, closed and settled with signatures.

The compiled replay decided what happened; here the same day is asked of a book that obeys the same policy and
decides everything again by itself. Clients sign what they fund and order, makers sign their quotes, services
sign what they compute. A book that refuses one of these operations, or ends with other balances than the
compiled replay, has found a mistake in one of the two.

Nothing here signs or submits: keys come as a `Signer`, and `Chains` yields batches for somebody to submit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar

import msgspec
import numpy as np

from ringfence.kernel.errors import BadInput
from ringfence.kernel.ids import RequestId, request_id
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    Closing,
    Fill,
    Fund,
    Link,
    Move,
    OpenMember,
    Operation,
    Order,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Request,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links, settlement_links
from ringfence.planes.ledger.records import RECEIPTS, VERIFIER
from ringfence.planes.ledger.rules import EVIDENCE_NEEDS, GateRule, Place, Rules
from ringfence.policy.families import fill
from ringfence.policy.model import KeyNeed, Need, Quorum
from ringfence.replay.engine import FUNDING_RATE_E10, Run
from ringfence.replay.funding import Route, Schedule, Transfer, route_to, schedule
from ringfence.replay.log import Cause, Row
from ringfence.replay.population import Population
from ringfence.replay.terms import Ints
from ringfence.replay.world import Ground

FUNDING_NS_MAX = 90 * DAY_NS
"""How long before the first price everybody begins to bring money in."""

FILLS_PER_REQUEST = 50
MOVES_PER_REQUEST = 200
COLLECTED = ("fees", "liquidation_surplus")
"""What is collected; rebates to makers stay owed."""

_Side = Literal["buy", "sell"]
_CAUSES: dict[Cause, Literal["liquidation", "takeover", "deleveraging"]] = {
    Cause.LIQUIDATION: "liquidation",
    Cause.TAKEOVER: "takeover",
    Cause.DELEVERAGING: "deleveraging",
}


class Signer(Protocol):
    """Whoever holds every key of the population and the platform: this is a replay."""

    def public(self, key: str) -> bytes:
        """Return the public key of a key's concrete name."""

    def sign(self, key: str, message: bytes) -> bytes:
        """Sign a message with a key."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Operations to submit together at a time; closes: the unit whose forced closing this is, or -1; point:
    the price point it belongs to, or -1 before the first; settles: whether this is a settlement."""

    at: Instant
    operations: tuple[Operation, ...]
    point: int = -1
    closes: int = -1
    settles: bool = False


class Chains:
    """Writes the batches of one run, in order; reads the book's state only to know what is owed."""

    def __init__(
        self, run: Run, population: Population, rules: Rules, state: BookState, signer: Signer
    ) -> None:
        self._run, self._population, self._state, self._signer = run, population, state, signer
        self._ground: Ground = run.ground
        self._rules = rules
        self._number = 0
        self._start = Instant(int(run.path.at[0]))
        self._end = int(run.path.at[-1]) + HOUR_NS

    def batches(self) -> Iterator[Batch]:
        """Yield everything from the first key to the last settlement.

        Each batch must have been submitted before the next one is asked for.
        """
        yield from self._keys()
        yield from self._money()
        yield Batch(self._start, tuple(self._prices(0)))
        yield from self._opening_fills()
        yield from self._collect(self._start)
        for point, rows in self._points():
            yield Batch(Instant(int(self._run.path.at[point])), tuple(self._prices(point)), point)
            yield from self._happened(point, rows)

    # --- keys and money

    def _keys(self) -> Iterator[Batch]:
        at = Instant(self._start - FUNDING_NS_MAX)
        plain = [name for name, key in self._rules.keys.items() if key.per is None]
        yield Batch(at, tuple(RegisterKey(name, self._signer.public(name)) for name in plain))
        party = self._ground.party
        own = [name for name, key in self._rules.keys.items() if key.per == party]
        opened = [
            OpenMember(party, member, {name: self._signer.public(f"{name}/{member}") for name in own})
            for member in self._population.names
        ]
        for part in _parts(opened, 1_000):
            yield Batch(at, tuple(part))

    def _money(self) -> Iterator[Batch]:
        routes = [route_to(self._rules, self._home(number)) for number in range(len(self._ground.sleeves))]
        transfers = list(self._transfers(routes))
        hops: list[Schedule] = [
            schedule(
                self._rules,
                [
                    (route.hops[hop], member, asset, units)
                    for route, member, asset, units in transfers
                    if hop < len(route.hops)
                ],
            )
            for hop in range(max(len(route.hops) for route in routes))
        ]
        at = Instant(self._start - HOUR_NS - sum(hop.lasts_ns for hop in hops))
        house = [(home, self._rules.numeraire, units) for home, units in self._ground.house.items()]
        yield from self._arrive(at, house)
        arriving: dict[tuple[str, str], int] = {}
        for route, member, asset, units in transfers:
            key = (fill(route.entry, {self._ground.party: member}), asset)
            arriving[key] = arriving.get(key, 0) + units
        yield from self._arrive(at, [(path, asset, units) for (path, asset), units in arriving.items()])
        for hop in hops:
            for window in hop.windows:
                yield from self._passed_on(at, window)
                at = Instant(at + hop.window_ns)

    def _home(self, sleeve: int) -> str:
        return self._ground.pattern_of(int(self._ground.world.sleeves["comp"][sleeve]))

    def _transfers(self, routes: Sequence[Route]) -> Iterator[tuple[Route, str, str, int]]:
        names = self._ground.names
        for client, sleeve, coin in np.argwhere(self._population.deposits > 0):
            units = int(self._population.deposits[client, sleeve, coin]) * names.quantum_units[coin]
            yield routes[sleeve], self._population.names[client], names.coins[coin], units

    def _arrive(self, at: Instant, arriving: Sequence[tuple[str, str, int]]) -> Iterator[Batch]:
        """Bring money in from outside: a receipt the witnesses sign, then the move that it makes owed."""
        for part in _parts(arriving, MOVES_PER_REQUEST):
            receipts: list[Receipt] = []
            moves: list[Move] = []
            keys: dict[str, None] = {}
            for path, asset, units in part:
                gate, outside = self._arrival(path, asset)
                receipts.append(self._receipt(outside, path, asset, units))
                moves.append(Move(gate.name, outside, path, asset, units))
                keys.update(dict.fromkeys(self._keys_for(gate.needs, None)))
            yield Batch(at, tuple(receipts))
            yield Batch(at, (self._request(at, moves, tuple(keys)),))

    def _arrival(self, path: str, asset: str) -> tuple[GateRule, str]:
        target = self._place(path)
        for pattern, compartment in self._rules.policy.compartments.items():
            if compartment.kind == "external" and "{" not in pattern:
                for way in self._rules.gates_between(self._place(pattern), target):
                    if RECEIPTS in way.gate.accrual and way.accepts(asset):
                        return way.gate, pattern
        raise BadInput(f"no gate brings {asset} from outside to {path}")

    def _receipt(self, outside: str, path: str, asset: str, units: int) -> Receipt:
        self._number += 1
        receipt = Receipt(f"receipt-{self._number}", outside, path, asset, units)
        services = (one for one in self._rules.computed_by.get(RECEIPTS, ()) if one != VERIFIER)
        keys = [self._rules.holders[service][0] for service in services]
        return msgspec.structs.replace(receipt, signatures=self._signatures(keys, signing_bytes(receipt)))

    def _passed_on(self, at: Instant, transfers: Sequence[Transfer]) -> Iterator[Batch]:
        """Let every client move its own money on toward where it belongs, signed by itself."""
        by_member: dict[str, list[Transfer]] = {}
        for transfer in transfers:
            by_member.setdefault(transfer[1], []).append(transfer)
        requests = [self._hop_request(at, member, rows) for member, rows in by_member.items()]
        for part in _parts(requests, 500):
            yield Batch(at, tuple(part))

    def _hop_request(self, at: Instant, member: str, transfers: Sequence[Transfer]) -> Request:
        moves: list[Move] = []
        keys: dict[str, None] = {}
        for hop, _, asset, units in transfers:
            source, target = (fill(end, {self._ground.party: member}) for end in (hop.source, hop.target))
            moves.append(Move(hop.gate, source, target, asset, units))
            needed = self._keys_for(self._rules.gates[hop.gate].needs, self._place(source))
            keys.update(dict.fromkeys(needed))
        return self._request(at, moves, tuple(keys))

    # --- opening fills

    def _opening_fills(self) -> Iterator[Batch]:
        ground, opening = self._ground, self._population.opening
        marks = self._run.path.marks_e10[0]
        fills = []
        for client, sleeve, maker, instrument, contracts in zip(
            opening.client, opening.sleeve, opening.maker, opening.instrument, opening.contracts, strict=True
        ):
            name, price = ground.names.instruments[instrument], int(marks[instrument])
            taker: _Side = "buy" if contracts > 0 else "sell"
            other: _Side = "sell" if contracts > 0 else "buy"
            count, home = abs(int(contracts)), self._population.maker_sleeve
            sides = {
                taker: self._order(int(client), int(sleeve), name, taker, count, price),
                other: self._order(int(maker), home, name, other, count, price),
            }
            fills.append(Fill(name, count, price, sides["buy"], sides["sell"], taker))
        for part in _parts(fills, FILLS_PER_REQUEST):
            yield Batch(self._start, (self._request(self._start, part, ()),))

    def _order(
        self, client: int, sleeve: int, name: str, side: _Side, contracts: int, limit_e10: int
    ) -> Order:
        """Write an order of a client or maker, signed with its own keys."""
        comp = int(self._ground.world.sleeves["comp"][client * len(self._ground.sleeves) + sleeve])
        bucket = self._place(self._ground.path(comp))
        self._number += 1
        order = Order(
            id=self._number,
            bucket=bucket.path,
            instrument=name,
            side=side,
            contracts=contracts,
            limit_e10=limit_e10,
            expires=self._end,
            policy=self._rules.digest,
        )
        keys = self._keys_for(bucket.rule.trade_needs, bucket)
        return msgspec.structs.replace(order, signatures=self._signatures(keys, signing_bytes(order)))

    # --- what happened at a price point

    def _points(self) -> Iterator[tuple[int, list[Ints]]]:
        """Group the log by price point, in order."""
        used = int(self._run.world.logged[0])
        if used > len(self._run.world.log):
            raise BadInput(
                f"the log holds {len(self._run.world.log)} rows and {used} were written; keep more"
            )
        rows: list[Ints] = []
        for row in self._run.world.log[:used]:
            if rows and row[1] != rows[0][1]:
                yield int(rows[0][1]), rows
                rows = []
            rows.append(row)
        if rows:
            yield int(rows[0][1]), rows

    def _happened(self, point: int, rows: Sequence[Ints]) -> Iterator[Batch]:
        at = Instant(int(self._run.path.at[point]))
        unit = -1
        fills: list[Fill] = []
        funds: list[int] = []
        settled: list[int] = []
        sales: list[Ints] = []
        for row in rows:
            kind = int(row[0])
            if kind in (Row.CLOSE, Row.SETTLE, Row.FUND) and fills:
                yield self._closing(at, point, unit, fills)
                fills = []
            if kind == Row.CLOSE:
                unit = int(row[2])
            elif kind == Row.FEED:
                yield self._feed(at, point, row)
            elif kind == Row.FILL:
                fills.append(self._fill(row))
            elif kind == Row.FUND:
                funds.append(int(row[2]))
            elif kind == Row.SETTLE:
                settled.append(int(row[2]))
            elif kind == Row.SELL:
                sales.append(row)
        if settled or funds:
            yield self._settlement(at, point, settled, funds)
            for sale in sales:
                yield self._sale(at, point, sale)
            yield from self._collect(at)

    def _closing(self, at: Instant, point: int, unit: int, fills: Sequence[Fill]) -> Batch:
        request = self._request(at, fills, self._keys_for(EVIDENCE_NEEDS, None))
        return Batch(at, (request,), point, closes=unit)

    def _fill(self, row: Ints) -> Fill:
        cause, seller, buyer = Cause(int(row[2])), int(row[3]), int(row[4])
        name = self._ground.names.instruments[int(row[5])]
        contracts, ticks = int(row[6]), int(row[7])
        price = ticks * int(self._ground.terms.instruments["tick_e10"][int(row[5])])
        sell = self._side(cause, seller, name, "sell", contracts, price)
        buy = self._side(cause, buyer, name, "buy", contracts, price)
        return Fill(name, contracts, price, buy, sell, "sell" if isinstance(sell, Closing) else "buy")

    def _side(
        self, cause: Cause, holder: int, name: str, side: _Side, contracts: int, price_e10: int
    ) -> Order | Closing:
        """Write one side of a forced fill: a maker's signed quote, or the closing itself."""
        if cause is Cause.LIQUIDATION and self._is_maker(holder):
            client, home = holder // len(self._ground.kinds), self._population.maker_sleeve
            return self._order(client, home, name, side, contracts, price_e10)
        return Closing(self._bucket(holder), _CAUSES[cause])

    def _is_maker(self, holder: int) -> bool:
        return holder >= 0 and holder // len(self._ground.kinds) >= self._population.makers_from

    def _bucket(self, holder: int) -> str:
        world = self._ground.world
        comp = -1 - holder if holder < 0 else int(world.units["comp"][holder])
        return self._ground.path(comp)

    def _feed(self, at: Instant, point: int, row: Ints) -> Batch:
        """Move what the platform moved by itself, through a gate that lets it."""
        source, target = self._ground.path(int(row[2])), self._ground.path(int(row[3]))
        move = Move(self._ground.feeds[int(row[4])].gate, source, target, self._rules.numeraire, int(row[5]))
        return Batch(at, (self._request(at, (move,), self._signers_of((move,))),), point)

    def _settlement(self, at: Instant, point: int, settled: Sequence[int], funded: Sequence[int]) -> Batch:
        marks = self._run.path.marks_e10[point]
        names = self._ground.names.instruments
        links: list[Settle | Fund] = [Fund(names[i], FUNDING_RATE_E10, int(marks[i])) for i in funded]
        links += [Settle(names[i], int(marks[i])) for i in settled if self._state.positions(names[i])]
        whole = settlement_links(self._state, links, at)
        request = self._request(at, whole, self._signers_of(whole))
        return Batch(at, (request,), point, settles=True)

    def _sale(self, at: Instant, point: int, row: Ints) -> Batch:
        """Sell coins of a bucket to whoever lent it what it owed: the debt goes back with them."""
        world, ground = self._ground.world, self._ground
        unit, coin, repaid, sold = int(row[2]), *(int(one) for one in row[4:7])
        bucket = ground.path(int(world.units["comp"][unit]))
        last = ground.path(int(world.units["last"][unit]))
        kind = ground.kinds[int(world.units["kind"][unit])]
        fall = next(one for one in self._rules.policy.waterfalls.values() if kind in one.covers)
        name = next(name for name, one in self._rules.exchanges.items() if (kind, fall.last) in one.legs)
        moves = [
            Move(name, bucket, last, ground.names.coins[coin], sold * ground.names.quantum_units[coin]),
            Move(name, bucket, last, fall.record or "", repaid),
        ]
        keys = self._keys_for(self._rules.exchanges[name].gate.needs, self._place(bucket))
        return Batch(at, (self._request(at, moves, keys, exchange=name),), point)

    def _collect(self, at: Instant) -> Iterator[Batch]:
        moves = collection_links(self._state, at, COLLECTED)
        for part in _parts(moves, MOVES_PER_REQUEST):
            yield Batch(at, (self._request(at, part, self._signers_of(part)),))

    def _prices(self, point: int) -> Iterator[PriceFact]:
        """Let every source quote the mark of every instrument that trades."""
        at, marks = int(self._run.path.at[point]), self._run.path.marks_e10[point]
        for number, name in enumerate(self._ground.names.instruments):
            index = self._rules.instruments[name].index
            sources = self._rules.prices[index].sources
            yield PriceFact(index, tuple(Quote(source, int(marks[number]), at) for source in sources))

    # --- requests and signatures

    def _request(
        self, at: Instant, links: Iterable[Link], keys: Sequence[str], exchange: str = ""
    ) -> Request:
        request = Request(self._id(at), tuple(links), self._rules.digest, at + HOUR_NS, exchange)
        return msgspec.structs.replace(request, signatures=self._signatures(keys, signing_bytes(request)))

    def _id(self, at: Instant) -> RequestId:
        self._number += 1
        return request_id(at, self._number)

    def _signatures(self, keys: Iterable[str], message: bytes) -> tuple[Signature, ...]:
        return tuple(Signature(key, self._signer.sign(key, message)) for key in keys)

    def _signers_of(self, links: Iterable[Link]) -> tuple[str, ...]:
        keys: dict[str, None] = dict.fromkeys(self._keys_for(EVIDENCE_NEEDS, None))
        for link in links:
            gate = self._rules.gates.get(link.gate) if isinstance(link, Move) else None
            if gate is not None and isinstance(link, Move):
                keys.update(dict.fromkeys(self._keys_for(gate.needs, self._place(link.source))))
        return tuple(keys)

    def _keys_for(self, needs: Iterable[Need], source: Place | None) -> tuple[str, ...]:
        """Name keys that meet needs, with the member of the source where a key is one of a family."""
        keys: dict[str, None] = {}
        for need in needs:
            if isinstance(need, Quorum):
                keys.update(dict.fromkeys(self._keys_for(need.of[: need.count], source)))
                continue
            assert isinstance(need, KeyNeed)
            party = self._rules.keys[need.key].per
            member = source.member_of(party) if party is not None and source is not None else None
            keys[f"{need.key}/{member}" if member else need.key] = None
        return tuple(keys)

    def _place(self, path: str) -> Place:
        place = self._rules.place(path)
        assert place is not None
        return place


_T = TypeVar("_T")


def _parts(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
