"""One instrument's orders in price-time priority, as a deterministic state machine.

`submit`, `cancel`, `set_band` and the two halves of undoing a fill change the book and answer with what
happened, in order. The same calls give the same answers on every machine, which is how the engine recovers:
it replays them. Nothing here reads a clock; `at` comes with each call.

Invariants, each with a property test of the same name:
    no_cross          the best bid is below the best ask after every call
    price_time        a better price fills first, and at one price the earlier order
    limit_respected   nobody trades beyond the limit that was signed, or outside the band
    conserved         contracts of an order: filled and not undone + resting + cancelled = submitted
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Order


class Refusal(Enum):
    """Why an order, or the rest of one, does not stand in the book."""

    ID_ALREADY_USED = "an order with this id was submitted before"
    CONTRACTS_NOT_POSITIVE = "an order is for at least one contract"
    PRICE_NOT_ON_TICK = "the limit price is not a positive multiple of the instrument's tick"
    OTHER_INSTRUMENT = "the order is for another instrument"
    EXPIRED = "the order had expired"
    OUTSIDE_BAND = "the limit price is outside the band around the index"
    NO_BAND = "there is no index price, so nothing can be matched"
    WOULD_TAKE = "a post-only order would have traded at once"
    WOULD_NOT_FILL = "a fill-or-kill order could not be filled whole"
    DOES_NOT_REDUCE = "a reduce-only order may not open or enlarge a position"
    SELF_TRADE = "the order met an order of the same client"
    NOT_FILLED = "what an immediate order could not fill at once is dropped"
    CANCELLED = "the order was cancelled by its owner"
    HALTED = "the instrument takes no new orders now"
    FILL_UNDONE = "the book refused a fill of the order, which was at fault, so nothing of it stands any more"


@dataclass(frozen=True, slots=True)
class Rested:
    """The order now stands in the book with `contracts` left."""

    order: int
    contracts: int


@dataclass(frozen=True, slots=True)
class Matched:
    """`contracts` were filled at the maker's price."""

    taker: Order
    maker: Order
    contracts: int
    price_e10: int


@dataclass(frozen=True, slots=True)
class Dropped:
    """`contracts` of the order do not stand in the book (any more), and why."""

    order: int
    contracts: int
    reason: Refusal


Event = Rested | Matched | Dropped


@dataclass(slots=True)
class _Resting:
    order: Order
    owner: str
    left: int
    arrived: int


_OVER = 0
"""The arrival of an order that was ended before it was filled: nothing of it is ever put back."""


class OrderBook:
    """The resting orders of one instrument.

    tick_e10: the price step. The band [low, high] bounds every limit and every fill; it is moved with the
    index by `set_band`, and without one nothing is taken.
    """

    def __init__(self, instrument: str, tick_e10: int) -> None:
        self.instrument = instrument
        self._tick_e10 = tick_e10
        self._sides = {"buy": _Side(best_is_highest=True), "sell": _Side(best_is_highest=False)}
        self._resting: dict[int, _Resting] = {}
        self._of_bucket: dict[str, dict[int, _Resting]] = {}
        self._arrived: dict[int, int] = {}
        self._band: tuple[int, int] | None = None
        self._halted = False

    def set_band(self, low_e10: int, high_e10: int) -> tuple[Event, ...]:
        """Move the band around the index.

        Offers below it and bids above it are dropped: they could only trade outside the band. Offers above
        and bids below stay, and can be reached again when the band comes back.
        """
        self._band = (low_e10, high_e10)
        beyond = [
            resting
            for side in ("buy", "sell")
            for price, level in self._sides[side].levels()
            if (price > high_e10 if side == "buy" else price < low_e10)
            for resting in level
        ]
        return tuple(self._drop(resting, Refusal.OUTSIDE_BAND) for resting in beyond)

    def halt(self) -> None:
        """Take no new orders; cancelling stays possible."""
        self._halted = True

    def resume(self) -> None:
        """Take orders again."""
        self._halted = False

    def submit(
        self, order: Order, owner: str, at: Instant, reducible: int | None = None
    ) -> tuple[Event, ...]:
        """Match an order and rest what may rest.

        owner: the client behind the bucket: two orders of one owner never trade with each other, the incoming
        one is dropped where they meet. reducible: for a reduce-only order, the contracts that would close the
        bucket's position.
        """
        refusal = self._refusal(order, at)
        if refusal is not None:
            return (Dropped(order.id, order.contracts, refusal),)
        self._arrived[order.id] = len(self._arrived) + 1
        wanted = order.contracts
        if order.reduce_only:
            wanted = min(wanted, reducible or 0)
            if wanted <= 0:
                return (Dropped(order.id, order.contracts, Refusal.DOES_NOT_REDUCE),)
        events = self._enter(order, owner, wanted, at)
        if order.contracts > wanted:
            events.append(Dropped(order.id, order.contracts - wanted, Refusal.DOES_NOT_REDUCE))
        return tuple(events)

    def cancel(self, order: int) -> tuple[Event, ...]:
        """Take an order out of the book; nothing happens where it does not stand there."""
        resting = self._resting.get(order)
        return () if resting is None else (self._drop(resting, Refusal.CANCELLED),)

    def withdraw(self, order: Order, contracts: int) -> tuple[Event, ...]:
        """Undo a fill of `contracts` for the order at fault: neither they nor what is left of it stand."""
        self._arrived[order.id] = _OVER
        resting = self._resting.get(order.id)
        if resting is not None:
            self._take_out(resting)
            contracts += resting.left
        return (Dropped(order.id, contracts, Refusal.FILL_UNDONE),)

    def put_back(self, order: Order, owner: str, contracts: int, at: Instant) -> tuple[Event, ...]:
        """Undo a fill of `contracts` for an order that was not at fault: they stand again, in its old place.

        Where they would meet an order that came in the meantime, they trade with it. What was immediate, has
        expired, was cancelled by its owner or lies outside the band by now is dropped.
        """
        resting = self._resting.get(order.id)
        if resting is not None:
            resting.left += contracts
            return (Rested(order.id, resting.left),)
        refusal = self._refusal_to_put_back(order, at)
        if refusal is not None:
            return (Dropped(order.id, contracts, refusal),)
        return tuple(self._enter(order, owner, contracts, at))

    def _refusal_to_put_back(self, order: Order, at: Instant) -> Refusal | None:
        if order.time_in_force != "gtc":
            return Refusal.NOT_FILLED
        if self._arrived.get(order.id, _OVER) == _OVER:
            return Refusal.CANCELLED
        if order.expires < at:
            return Refusal.EXPIRED
        if self._band is None:
            return Refusal.NO_BAND
        low_e10, high_e10 = self._band
        if order.limit_e10 > high_e10 if order.side == "buy" else order.limit_e10 < low_e10:
            return Refusal.OUTSIDE_BAND
        return Refusal.HALTED if self._halted and self._best_against(order) is not None else None

    def expire(self, at: Instant) -> tuple[Event, ...]:
        """Take out every order whose last instant has passed, the oldest id first."""
        late = sorted(key for key, resting in self._resting.items() if resting.order.expires < at)
        return tuple(self._drop(self._resting[key], Refusal.EXPIRED) for key in late)

    def depth(self, side: Literal["buy", "sell"]) -> tuple[tuple[int, int], ...]:
        """Return (price, contracts) of each level of one side, the best first."""
        return tuple((price, sum(r.left for r in level)) for price, level in self._sides[side].levels())

    def standing(self, bucket: str) -> tuple[tuple[Order, int], ...]:
        """Return the orders of a bucket that stand here, each with the contracts it has left."""
        return tuple((one.order, one.left) for one in self._of_bucket.get(bucket, {}).values())

    def has_expired(self, at: Instant) -> bool:
        """Say whether an order stands here whose last instant has passed."""
        return any(one.order.expires < at for one in self._resting.values())

    def resting_contracts(self, order: int) -> int:
        """Return how many contracts of an order stand in the book."""
        resting = self._resting.get(order)
        return resting.left if resting else 0

    def _refusal(self, order: Order, at: Instant) -> Refusal | None:
        if order.id in self._arrived:
            return Refusal.ID_ALREADY_USED
        if order.instrument != self.instrument:
            return Refusal.OTHER_INSTRUMENT
        if order.contracts < 1:
            return Refusal.CONTRACTS_NOT_POSITIVE
        if order.limit_e10 < 1 or order.limit_e10 % self._tick_e10:
            return Refusal.PRICE_NOT_ON_TICK
        if self._halted:
            return Refusal.HALTED
        if order.expires < at:
            return Refusal.EXPIRED
        if self._band is None:
            return Refusal.NO_BAND
        if not self._band[0] <= order.limit_e10 <= self._band[1]:
            return Refusal.OUTSIDE_BAND
        return None

    def _enter(self, order: Order, owner: str, wanted: int, at: Instant) -> list[Event]:
        events = self._take(order, owner, wanted, at)
        if any(isinstance(event, Dropped) and event.order == order.id for event in events):
            self._arrived[order.id] = _OVER
        return events

    def _take(self, order: Order, owner: str, wanted: int, at: Instant) -> list[Event]:
        events: list[Event] = self._drop_expired_ahead_of(order, at)
        if order.post_only and self._best_against(order) is not None:
            return [*events, Dropped(order.id, wanted, Refusal.WOULD_TAKE)]
        if order.time_in_force == "fok" and self._fillable(order, owner, wanted, at) < wanted:
            return [*events, Dropped(order.id, wanted, Refusal.WOULD_NOT_FILL)]
        while wanted and (resting := self._best_against(order)) is not None:
            if resting.order.expires < at:
                events.append(self._drop(resting, Refusal.EXPIRED))
                continue
            if resting.owner == owner:
                return [*events, Dropped(order.id, wanted, Refusal.SELF_TRADE)]
            contracts = min(wanted, resting.left)
            wanted -= contracts
            events.append(Matched(order, resting.order, contracts, resting.order.limit_e10))
            self._fill(resting, contracts)
        return events + self._rest(order, owner, wanted)

    def _drop_expired_ahead_of(self, order: Order, at: Instant) -> list[Event]:
        events: list[Event] = []
        while (resting := self._best_against(order)) is not None and resting.order.expires < at:
            events.append(self._drop(resting, Refusal.EXPIRED))
        return events

    def _best_against(self, order: Order) -> _Resting | None:
        """Return the first resting order that the order's limit reaches, None where it reaches none."""
        best = self._sides[_OPPOSITE[order.side]].best()
        return best if best is not None and _reaches(order, best.order.limit_e10) else None

    def _fillable(self, order: Order, owner: str, wanted: int, at: Instant) -> int:
        """Count the contracts that could be filled before the owner's own order would be met."""
        found = 0
        for price, level in self._sides[_OPPOSITE[order.side]].levels():
            if not _reaches(order, price):
                break
            for resting in level:
                if found >= wanted or (resting.owner == owner and resting.order.expires >= at):
                    return found
                found += resting.left if resting.order.expires >= at else 0
        return found

    def _fill(self, resting: _Resting, contracts: int) -> None:
        resting.left -= contracts
        if resting.left == 0:
            self._take_out(resting)

    def _rest(self, order: Order, owner: str, left: int) -> list[Event]:
        if left == 0:
            return []
        if order.time_in_force != "gtc":
            return [Dropped(order.id, left, Refusal.NOT_FILLED)]
        resting = _Resting(order, owner, left, self._arrived[order.id])
        self._resting[order.id] = resting
        self._of_bucket.setdefault(order.bucket, {})[order.id] = resting
        self._sides[order.side].add(resting)
        return [Rested(order.id, left)]

    def _drop(self, resting: _Resting, reason: Refusal) -> Dropped:
        self._arrived[resting.order.id] = _OVER
        self._take_out(resting)
        return Dropped(resting.order.id, resting.left, reason)

    def _take_out(self, resting: _Resting) -> None:
        order = resting.order
        self._sides[order.side].remove(resting)
        del self._resting[order.id]
        of_bucket = self._of_bucket[order.bucket]
        del of_bucket[order.id]
        if not of_bucket:
            del self._of_bucket[order.bucket]


class _Side:
    """The levels of one side, kept sorted by price with the best one last, where taking it off is cheap."""

    def __init__(self, *, best_is_highest: bool) -> None:
        self._sign = 1 if best_is_highest else -1
        self._ranks: list[int] = []
        self._levels: dict[int, deque[_Resting]] = {}

    def add(self, resting: _Resting) -> None:
        rank = self._sign * resting.order.limit_e10
        if rank not in self._levels:
            insort(self._ranks, rank)
            self._levels[rank] = deque()
        level = self._levels[rank]
        if level and level[-1].arrived > resting.arrived:
            # It is put back before everybody who came after it.
            level.insert(bisect_left(level, resting.arrived, key=_arrival), resting)
        else:
            level.append(resting)

    def remove(self, resting: _Resting) -> None:
        rank = self._sign * resting.order.limit_e10
        level = self._levels[rank]
        if level[0] is resting:
            level.popleft()
        else:
            level.remove(resting)
        if not level:
            del self._levels[rank]
            del self._ranks[bisect_left(self._ranks, rank)]

    def best(self) -> _Resting | None:
        return self._levels[self._ranks[-1]][0] if self._ranks else None

    def levels(self) -> Iterator[tuple[int, deque[_Resting]]]:
        for rank in reversed(self._ranks):
            yield self._sign * rank, self._levels[rank]


def _arrival(resting: _Resting) -> int:
    return resting.arrived


_OPPOSITE: dict[str, str] = {"buy": "sell", "sell": "buy"}


def _reaches(order: Order, price_e10: int) -> bool:
    return price_e10 <= order.limit_e10 if order.side == "buy" else price_e10 >= order.limit_e10
