"""The service `risk`: judges orders before they are matched, and asks the ledger for what has become due.

It follows the book's journal, so it has every figure without asking for one. What it signs, the ledger judges
again from its own state: a wrong settlement, fee or closing is refused there.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ringfence.kernel.calendar import window_index
from ringfence.kernel.ids import RequestId, request_id
from ringfence.kernel.instant import MINUTE_NS, SECOND_NS, Instant
from ringfence.kernel.money import PPM, divide_up
from ringfence.margin.bucket import RestingOrder
from ringfence.margin.calls import State
from ringfence.margin.liquidation import ClosingPlan, Closure
from ringfence.planes.ledger.operations import (
    Closing,
    Link,
    Order,
    Request,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links, settlement_links
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.policy.model import Instrument
from ringfence.services.closing import takeover_fills
from ringfence.services.instructions import Sign
from ringfence.services.marks import PriceState
from ringfence.services.matching.engine import NumberedFill
from ringfence.services.platform.follower import Follower
from ringfence.services.platform.messages import (
    Check,
    Checks,
    Empty,
    Followed,
    ForcedOrders,
    News,
    Prices,
    Verdict,
    Verdicts,
)
from ringfence.services.platform.own_ids import fill_id
from ringfence.services.platform.service import Duty, Method, serve
from ringfence.services.platform.signers import RISK_KEY

SLIPPAGE_PPM = 10_000
"""How far from the mark a forced order may fill, at most and inside the band."""

TRY_AGAIN_NS = SECOND_NS
DUE_NS = SECOND_NS // 4
"""How long after looking for what is due it is looked for again."""

LINKS_MAX = 200

FEW, ROUND = 20, 20
"""How many buckets at least are looked at for each pull, and after how many pulls all of them were: who waits
for a verdict does not wait for all to be valued."""


class Risk:
    """Margin over a book that is followed."""

    def __init__(self, rules: Rules, verify: Verifier, sign: Sign) -> None:
        self._rules = rules
        self._sign = sign
        self._follower = Follower(rules, verify)
        self._states: dict[str, PriceState] = {}
        self._settled: dict[str, int] = {}
        self._forced: dict[str, Order] = {}
        self._waiting: list[str] = []
        self._few = FEW
        self._tried: dict[str, tuple[Instant, int]] = {}
        self._next_due = Instant(0)
        self._number = 0
        self._checked = 0

    @property
    def methods(self) -> Mapping[str, Method]:
        """Matching asks for verdicts and closings, marks push prices, and the ledger pulls."""
        return {
            "check": Method("matching", serve(Checks, self.check)),
            "closings": Method("matching", serve(Empty, self.closings)),
            "prices": Method("marks", serve(Prices, self.take_prices)),
            "pull": Method("ledger", serve(News, self.pull)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything happens when somebody asks."""
        return ()

    def figures(self) -> Mapping[str, int | str]:
        """Say how far the book was followed, and how many orders were judged."""
        return {"record": self._follower.sequence, "checked": self._checked, "closing": len(self._forced)}

    def close(self) -> None:
        """Hold nothing."""

    # --- before orders are matched

    def take_prices(self, body: Prices, now: Instant) -> Empty:  # noqa: ARG002
        """Take note of how far each price can be trusted."""
        self._states = {priced.fact.name: PriceState(priced.state) for priced in body.prices}
        return Empty()

    def check(self, body: Checks, now: Instant) -> Verdicts:
        """Judge orders, each as if it filled whole at its limit."""
        self._checked += len(body.checks)
        return Verdicts(tuple([self._verdict(check, now) for check in body.checks]))

    def _verdict(self, check: Check, now: Instant) -> Verdict:
        order, state = check.order, self._follower.state
        held = state.balance(order.bucket, order.instrument)
        reducible = max(0, -held if order.side == "buy" else held)
        instrument = self._rules.instruments.get(order.instrument)
        trust = self._states.get(instrument.index) if instrument is not None else None
        reduces = order.contracts <= reducible
        if trust is None or not (trust.allows_reducing if reduces else trust.allows_new_risk):
            return Verdict(-1, f"the price of {order.instrument} is {trust.value if trust else 'halted'}")
        if order.contracts < 1 or order.limit_e10 < 1:
            return Verdict(-1, "an order is for one contract or more, at a limit above zero")
        resting = tuple([RestingOrder(one.instrument, one.contracts, one.limit_e10) for one in check.resting])
        if self._follower.margin.passes(state, order, resting, now):
            return Verdict(0, reducible=reducible)
        verdict = self._follower.margin.judge_order(state, order, resting, now)
        if verdict is None:
            return Verdict(-1, f"{order.bucket} cannot be judged now: a price or its margin is missing")
        if verdict.reason is not None:
            return Verdict(int(verdict.reason), f"{verdict.reason.name}: {verdict.words}")
        return Verdict(0, reducible=reducible)

    def closings(self, _: Empty, now: Instant) -> ForcedOrders:
        """Hand out the closings that the market is asked for, each once in a while until it is done."""
        orders = []
        for bucket, order in self._forced.items():
            since, times = self._tried.get(bucket, (Instant(0), 0))
            if now - since >= TRY_AGAIN_NS:
                self._tried[bucket] = now, times + 1
                orders.append(order)
        return ForcedOrders(tuple(orders))

    # --- for the ledger

    def pull(self, news: News, now: Instant) -> Followed:
        """Follow the book, and ask for what is due in the state it has now."""
        if news.records and news.records[0].sequence > self._follower.sequence + 1:
            return Followed(self._follower.sequence)  # this process is new: it needs the book from the start
        for at, request in self._follower.follow(news.records):
            self._note_settled(at, request)
        if self._follower.sequence < 0:
            return Followed(self._follower.sequence)
        signed = tuple(self._signed_fill(one, now) for one in news.forced)
        asked = [one for one in signed if one is not None]
        if not asked:
            asked = [self._request(links, now) for links in (*self._due(now), *self._takeovers(now))]
        return Followed(self._follower.sequence, tuple(asked))

    def _due(self, now: Instant) -> Iterator[Sequence[Link]]:
        """Find what is due; what the ledger refuses is found anew, from the state it has then."""
        if now < self._next_due:
            return
        self._next_due = Instant(now + DUE_NS)
        state = self._follower.state
        charges = collection_links(state, now)[:LINKS_MAX]
        if charges:
            yield charges
        settles = [*self._settles(now)]
        if settles:
            yield settlement_links(state, settles, now)

    def _settles(self, now: Instant) -> Iterator[Settle]:
        state = self._follower.state
        for name, instrument in self._rules.instruments.items():
            if not state.positions(name):
                self._settled.pop(name, None)
                continue
            window = window_index(now, instrument.settlement_ns)
            index = state.price(instrument.index)
            trusted = self._states.get(instrument.index)
            is_fresh = trusted is not None and trusted.allows_liquidation
            if self._settled.setdefault(name, window) < window and index is not None and is_fresh:
                yield Settle(name, index.price_e10 - index.price_e10 % instrument.tick_e10)

    def _note_settled(self, at: Instant, request: Request) -> None:
        for link in request.links:
            if isinstance(link, Settle):
                length = self._rules.instruments[link.instrument].settlement_ns
                self._settled[link.instrument] = window_index(at, length)

    # --- closing

    def _takeovers(self, now: Instant) -> Iterator[Sequence[Link]]:
        """Plan whoever fails of the next few: the market gets what it can close, the rest is taken over."""
        for path in self._next_few():
            plan = self._plan(path, now)
            if plan is not None and plan.closures:
                self._forced[path] = self._closing_order(path, plan, now)
            else:
                self._forced.pop(path, None)
                self._tried.pop(path, None)
            fills = takeover_fills(self._rules, path, plan) if plan is not None else ()
            if fills:
                yield fills

    def _next_few(self) -> Sequence[str]:
        """Take the next buckets to look at, so many that all have had their turn after `ROUND` times."""
        if not self._waiting:
            state = self._follower.state
            holders = (path for name in self._rules.instruments for path in state.positions(name))
            self._waiting = [*dict.fromkeys((*self._forced, *holders))]
            self._few = max(FEW, divide_up(len(self._waiting), ROUND))
        few, self._waiting = self._waiting[: self._few], self._waiting[self._few :]
        return few

    def _plan(self, path: str, now: Instant) -> ClosingPlan | None:
        """Plan the closing of a bucket; None where it does not fail."""
        margin = self._follower.margin
        room = margin.room(self._follower.state, path, now)
        return margin.closing_plan(room) if room is not None and room.state is State.LIQUIDATE else None

    def _closing_order(self, path: str, plan: ClosingPlan, now: Instant) -> Order:
        """Offer the riskiest position to the market; a little less each time that the ledger refused."""
        first = plan.closures[0]
        instrument = self._rules.instruments[first.instrument]
        times = self._tried.get(path, (now, 0))[1]
        contracts = max(1, abs(first.contracts) * max(1, 10 - times) // 10)
        order = Order(
            id=self._id(now),
            bucket=path,
            instrument=first.instrument,
            side="buy" if first.contracts > 0 else "sell",
            contracts=contracts,
            limit_e10=self._limit_e10(path, first, instrument, now),
            expires=now + MINUTE_NS,
            policy=self._rules.digest,
            reduce_only=True,
            time_in_force="ioc",
        )
        return msgspec.structs.replace(order, signatures=self._signatures(signing_bytes(order)))

    def _limit_e10(self, path: str, closure: Closure, instrument: Instrument, now: Instant) -> int:
        """Ask for a price near the mark, and for none that would bankrupt the bucket: none is taken."""
        margin = self._follower.margin
        room = margin.room(self._follower.state, path, now)
        slip = closure.price_e10 * min(SLIPPAGE_PPM, instrument.price_band_ppm) // PPM
        while slip >= instrument.tick_e10 and room is not None:
            limit_e10 = closure.price_e10 + (slip if closure.contracts > 0 else -slip)
            limit_e10 -= limit_e10 % instrument.tick_e10
            if margin.can_sell(room, closure.instrument, limit_e10):
                return limit_e10
            slip //= 2
        return closure.price_e10

    def _signed_fill(self, numbered: NumberedFill, now: Instant) -> Request | None:
        """Sign a fill that closes a bucket by force, if that bucket is to be closed."""
        sides = (numbered.fill.buy, numbered.fill.sell)
        buckets = [side.bucket for side in sides if isinstance(side, Closing)]
        if any(self._plan(bucket, now) is None for bucket in buckets):
            return None
        return self._request((numbered.fill,), now, fill_id(numbered.number))

    def _request(self, links: Sequence[Link], now: Instant, identifier: RequestId | None = None) -> Request:
        request = Request(identifier or self._id(now), tuple(links), self._rules.digest, now + MINUTE_NS)
        return msgspec.structs.replace(request, signatures=self._signatures(signing_bytes(request)))

    def _id(self, now: Instant) -> RequestId:
        self._number += 1
        return request_id(now, self._number)

    def _signatures(self, message: bytes) -> tuple[Signature, ...]:
        signature = self._sign(RISK_KEY, message)
        return () if signature is None else (signature,)
