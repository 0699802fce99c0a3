"""What an intruder asks for: every gate with every key it has, and then whatever a seed says.

Everything here is a well-formed request, order or fill; whether it is let through is for the platform to say.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from random import Random

import msgspec

from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import HOUR_NS, Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.operations import (
    Closing,
    Fill,
    Link,
    Move,
    Order,
    Receipt,
    Request,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.policy.families import fill, variables_of
from ringfence.services.platform.own_ids import fill_id

SignAs = Callable[[str, bytes], Signature | None]
"""Signs with a key that the intruder has; None where it has not."""

AMOUNTS = (1, 1_000_000, 10**12, UNITS_MAX)
FIRST_ID = 1 << 100


class Hostile:
    """Requests of one intruder, in an order that its seed decides.

    members: of every family, by name; keys: names of the keys it holds.
    """

    def __init__(
        self, rules: Rules, members: Sequence[str], keys: Sequence[str], sign: SignAs, seed: int
    ) -> None:
        self._rules = rules
        self._keys = tuple(keys)
        self._sign = sign
        self._drawn = Random(seed)
        self._number = FIRST_ID + (seed << 40)
        self.places = tuple(_places(rules, members))

    def matrix(self, now: Instant) -> Iterator[Request]:
        """Go through every gate between every two compartments, in every asset, with every key it has."""
        assets = tuple(self._rules.assets)
        names = (*self._rules.gates, *self._rules.exchanges, "debt")
        for (source, target), gate in product(product(self.places, self.places), names):
            start, end = self._rules.place(source), self._rules.place(target)
            if start is None or end is None or source == target:
                continue
            way = self._rules.way(gate, start, end)
            for asset in assets if way is not None else ():
                if way is not None and way.accepts(asset):
                    yield self._request((Move(gate, source, target, asset, 1_000_000),), now, self._keys)

    def drawn(self, now: Instant, count: int) -> Iterator[Request]:
        """Go through requests that the seed draws: walls, wrong amounts, forged and borrowed signatures."""
        for _ in range(count):
            links = tuple(self._link() for _ in range(self._drawn.randint(1, 3)))
            known = self._drawn.sample(self._keys, self._drawn.randint(0, len(self._keys)))
            request = self._request(links, now, known)
            if self._drawn.random() < 0.5:
                forged = self._forged(request)
                request = msgspec.structs.replace(request, signatures=(*request.signatures, *forged))
            yield request

    def replayed(self, seen: Sequence[Request], now: Instant) -> Iterator[Request]:
        """Go through requests that were seen before: as they were, with more money, for somebody else."""
        for request in seen:
            yield request
            yield msgspec.structs.replace(request, id=self._next())
            for link in request.links:
                if isinstance(link, Move):
                    larger = msgspec.structs.replace(link, units=link.units * 10)
                    yield msgspec.structs.replace(request, id=self._next(), links=(larger,))
                    elsewhere = msgspec.structs.replace(link, target=self._drawn.choice(self.places))
                    yield msgspec.structs.replace(request, id=self._next(), links=(elsewhere,), expires=now)

    def receipts(self, now: Instant) -> Iterator[tuple[Receipt, Request]]:
        """Go through receipts of value that never arrived, each with the request that would move it in.

        Some bear the reference of something that did arrive, once, for somebody.
        """
        references = (f"never-{self._next()}", "tx1", "tx2")
        for place, reference in product(self.places, references):
            receipt = Receipt(reference, "outside", place, "USDC", 10**12)
            signatures = self._signatures(self._keys, signing_bytes(receipt))
            move = Move("deposit", "outside", place, "USDC", 10**12)
            request = self._request((move,), now, self._keys)
            yield msgspec.structs.replace(receipt, signatures=signatures), request

    def fills(self, standing: Sequence[Order], own: Callable[[Order, str], Order], first: int) -> list[Fill]:
        """Make fills of orders that others signed, against ones of the intruder's accomplice.

        standing: signed orders of others; own: writes the accomplice's side of one. The first of each is the
        worst that the order permits; the others break a rule.
        """
        made: list[Fill] = []
        for order in standing:
            made += self._fills_of(order, own)
        self._drawn.shuffle(made)
        return (
            made
            + [
                Fill("BTC-PERP", 1, 10**10, Closing(place, "liquidation"), Closing(place, "takeover"))
                for place in self.places[:4]
            ]
            if first >= 0
            else made
        )

    def _fills_of(self, order: Order, own: Callable[[Order, str], Order]) -> Iterator[Fill]:
        other = "sell" if order.side == "buy" else "buy"
        mine = own(order, other)

        def both(theirs: Order | Closing, contracts: int, price_e10: int) -> Fill:
            buy, sell = (theirs, mine) if order.side == "buy" else (mine, theirs)
            return Fill(order.instrument, contracts, price_e10, buy, sell)

        yield both(order, order.contracts, order.limit_e10)
        yield both(order, order.contracts * 100, order.limit_e10)
        yield both(
            order, order.contracts, order.limit_e10 * (2 if order.side == "buy" else 1) // 2 * 2 + 10**11
        )
        yield both(msgspec.structs.replace(order, contracts=10_000), 10_000, order.limit_e10)
        yield both(Closing(order.bucket, "liquidation"), order.contracts, order.limit_e10)
        yield both(Closing(order.bucket, "deleveraging"), order.contracts, order.limit_e10)

    # --- parts

    def _link(self) -> Link:
        drawn = self._drawn
        if drawn.random() < 0.1:
            return Settle(drawn.choice(list(self._rules.instruments)), drawn.choice((1, 10**10, 10**15)))
        names = (*self._rules.gates, *self._rules.exchanges, "debt", "trade", "nothing")
        source, target = drawn.choice(self.places), drawn.choice(self.places)
        asset = drawn.choice((*self._rules.assets, *self._rules.instruments))
        return Move(drawn.choice(names), source, target, asset, drawn.choice(AMOUNTS))

    def _request(self, links: tuple[Link, ...], now: Instant, keys: Sequence[str]) -> Request:
        request = Request(self._next(), links, self._rules.digest, now + HOUR_NS)
        return msgspec.structs.replace(request, signatures=self._signatures(keys, signing_bytes(request)))

    def _signatures(self, keys: Sequence[str], message: bytes) -> tuple[Signature, ...]:
        signed = (self._sign(key, message) for key in keys)
        return tuple(one for one in signed if one is not None)

    def _forged(self, request: Request) -> Iterator[Signature]:
        """Sign in somebody's name: with another key's signature, with bytes of nobody."""
        for key in self._drawn.sample([*self._rules.keys], 2):
            own = self._signatures(self._keys[:1], signing_bytes(request))
            value = own[0].value if own and self._drawn.random() < 0.5 else self._drawn.randbytes(64)
            yield Signature(key, value)

    def _next(self) -> RequestId:
        self._number += 1
        return RequestId(self._number)


def burnt_ids(last: int) -> tuple[RequestId, ...]:
    """Return the ids of the next fills, which a stranger may try to use up."""
    return tuple(fill_id(last + ahead) for ahead in range(1, 6))


def _places(rules: Rules, members: Sequence[str]) -> Iterator[str]:
    for rule in rules.compartments:
        names = variables_of(rule.pattern)
        if not names:
            yield rule.pattern
        else:
            for member in members:
                yield fill(rule.pattern, dict.fromkeys(names, member))
