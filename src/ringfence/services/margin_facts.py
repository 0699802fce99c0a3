"""What margin says about the requests of a book: what may leave, what may be traded, what may be closed.

Everything is computed from the book's own balances, positions and agreed prices, in the order of the journal,
so a replay gives the same facts. A fact that cannot be computed is left out, and the ledger then refuses:
where a price is missing or stale, and where one request mixes what has to be judged one after another.

The mark of an instrument is the price `mark/<instrument>` where the policy declares one, else its index.

Limits are observed whenever a bucket takes part in a request. What a fill loses against the index counts
exactly; a loss of equity counts from the first look of the UTC day, a fall from the highest equity among
those seen, and a call from the look that found it. Between requests a remark of the kind `LOOK` makes the
book look at a bucket: `risk_loop` writes one whenever a tick moved a call or a limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from ringfence.kernel.calendar import day_index
from ringfence.kernel.decision import Accepted
from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import divide_up, share_down
from ringfence.margin.bearing import can_bear
from ringfence.margin.bucket import Bucket, RestingOrder
from ringfence.margin.calls import CallState, State, advance, state_of
from ringfence.margin.headroom import Headroom, OrderTerms
from ringfence.margin.health import Health, PositionTerm, contract_of, health, in_numeraire_up
from ringfence.margin.limits import LimitState, daily_loss_allowed, first_limit_state, observe
from ringfence.margin.liquidation import ClosingPlan, plan_closing
from ringfence.margin.marks import Prices
from ringfence.margin.reading import bucket_in
from ringfence.margin.releasable import releasable
from ringfence.margin.takeover import Takeover
from ringfence.margin.terms import compile_terms
from ringfence.margin.topping import lacking
from ringfence.margin.trading import IntendedFill, TradeVerdict, trade_verdict
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import NO_CONDITIONS, ClosingFact, Conditions
from ringfence.planes.ledger.operations import (
    Fill,
    Move,
    Operation,
    Order,
    Post,
    PriceFact,
    Remark,
    Request,
    Void,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.settlement import fee_up
from ringfence.policy.model import BucketLimits, DeleverageStep
from ringfence.services.closing import deleveraging_fills
from ringfence.services.touched import Direction, Touch, read_touches

NO_LIMITS = BucketLimits()

LOOK = "look"
"""The kind of a remark that makes the book look at a bucket (its subject) at the prices it holds: limits and
call are moved on as by a request. It says nothing itself, so it cannot lie."""


NEVER = Instant(-1)

VALUED_MAX = 20_000
"""How many buckets' figures are remembered until a price moves."""


def mark_names(rules: Rules) -> dict[str, str]:
    """Name the price that each instrument is marked at."""
    return {
        name: f"mark/{name}" if f"mark/{name}" in rules.prices else instrument.index
        for name, instrument in rules.instruments.items()
    }


@dataclass(frozen=True, slots=True)
class _Part:
    """A bucket in a request: what is done to it, and its figures before; cap_ppm: the most of its equity that
    a waterfall may take from it by deleveraging."""

    touch: Touch
    bucket: Bucket
    figures: Health
    limits: BucketLimits
    loss_allowed: int | None
    cap_ppm: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A bucket with its figures and state at some prices."""

    bucket: Bucket
    figures: Health
    state: State
    prices: Prices


class MarginFacts:
    """The margin view of one book; see `margin_view.MarginView`."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._terms = compile_terms(rules.policy)
        self._limits: dict[str, LimitState] = {}
        self._calls: dict[str, CallState] = {}
        self._parts: dict[str, _Part] = {}
        self._losses: dict[str, tuple[int, bool]] = {}
        self._agreed: dict[str, int] = {}
        self._prices = Prices()
        self._marks = mark_names(rules)
        self._valued: dict[str, tuple[Bucket, Health]] = {}
        self._rooms: dict[str, tuple[Headroom, int]] = {}
        self._contents: dict[str, Bucket] = {}
        self._allowed: dict[str, int | None] = {}
        self._caps: dict[str, int] = {}
        self._since, self._fresh_until = NEVER, NEVER

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:
        """Return what margin says about an operation; nothing about one that is no request."""
        self._parts, self._losses = {}, {}
        self._forget(operation)
        touched = self._touched(state, operation)
        if not touched:
            return NO_CONDITIONS
        self._take_prices(state, at)
        parts = ((path, self._part(state, path, touch)) for path, touch in touched.items())
        self._parts = {path: part for path, part in parts if part is not None}
        for path, part in self._parts.items():
            self._limits[path] = self._observed(path, part, at)
            self._forget_bucket(path)
            self._note_call(path, part, at)
        if isinstance(operation, Remark):
            self._parts = {}  # It was looked at; nothing is moved that could be a flow.
            return NO_CONDITIONS
        return Conditions(
            releasable={path: self._releasable(part) for path, part in self._parts.items()},
            trade=self._verdicts(),
            closing={path: self._closing(state, path, part) for path, part in self._parts.items()},
            lacking={path: self._lacking(part) for path, part in self._parts.items() if part.touch.topped},
        )

    def _touched(self, state: BookState, operation: Operation) -> dict[str, Touch]:
        """Say which buckets an operation has to do with: a request moves, a remark `LOOK` only points."""
        if isinstance(operation, Request):
            return read_touches(self._rules, state.ledger.tables, operation)
        if isinstance(operation, Remark) and operation.kind == LOOK:
            return {operation.subject: Touch()}
        return {}

    def _note_call(self, path: str, part: _Part, at: Instant) -> None:
        """Move a bucket's call state on: its cure time runs from when the book first saw it called."""
        if self._terms.thresholds is None:
            return
        before, figures = self._calls.get(path, CallState()), part.figures
        after, _ = advance(before, figures.equity, figures.maintenance, at, self._terms.thresholds)
        if after == CallState():
            self._calls.pop(path, None)
        else:
            self._calls[path] = after

    def prices(self, state: BookState, at: Instant) -> Prices:
        """Return the prices that everything is valued at: agreed and fresh."""
        self._take_prices(state, at)
        return self._prices

    def bucket(self, state: BookState, path: str) -> Bucket | None:
        """Read a bucket as it is valued here, less what it owes; None where brackets do not margin it."""
        place = self._rules.place(path)
        terms = self._rules.policy.compartments[place.rule.pattern] if place else None
        if place is None or terms is None or terms.margin is None or terms.margin == "portfolio":
            return None
        return bucket_in(state, path)

    def limit_state(self, path: str) -> LimitState | None:
        """Return where a bucket's limits stand; None where nothing was ever observed of it."""
        return self._limits.get(path)

    def after(self, outcome: Outcome) -> None:
        """Count the flows and the losses of the request that was just judged, if it was carried out."""
        for entry in outcome.entries:
            self._forget_bucket(entry.debit)
            self._forget_bucket(entry.credit)
        if outcome.decision != Accepted() or not outcome.entries:
            return  # Refused, repeated, or held: nothing moved.
        for path, part in self._parts.items():
            limits = self._limits[path].after_flow(part.figures.equity, self._flow(part))
            if path in self._losses:
                loss, is_closing = self._losses[path]
                limits = limits.after_fill(loss, is_closing=is_closing)
            self._limits[path] = limits

    def follow(self, rules: Rules) -> None:
        """Go by other rules; what was lost and how far it fell is measured on."""
        self._rules = rules
        self._terms, self._marks = compile_terms(rules.policy), mark_names(rules)
        self._parts, self._losses, self._valued, self._agreed = {}, {}, {}, {}
        self._prices, self._fresh_until = Prices(), NEVER
        self._rooms, self._contents, self._allowed, self._caps = {}, {}, {}, {}

    # --- asked by risk, between requests

    def standing(self, state: BookState, path: str, at: Instant) -> "Standing | None":
        """Value one bucket as things stand; None where a price is missing or it is not margined."""
        self._take_prices(state, at)
        part = self._part(state, path, Touch())
        if part is None:
            return None
        return Standing(part.bucket, part.figures, self._state(part.figures), self._prices)

    def passes(self, state: BookState, order: Order, resting: Sequence[RestingOrder], at: Instant) -> bool:
        """Say whether `judge_order` finds no reason against an order of one contract or more.

        It is nearly always asked about a bucket that has not changed since it was asked before, and answers
        from what it found then. This view must have been told of every operation of the book.
        """
        room = self.room(state, order.bucket, at)
        instrument = self._rules.instruments.get(order.instrument)
        index_e10 = self._agreed.get(instrument.index) if instrument is not None else None
        if room is None or index_e10 is None or order.instrument not in self._terms.contracts:
            return False
        side = 1 if order.side == "buy" else -1
        asked = OrderTerms(order.instrument, side, order.contracts, order.limit_e10, index_e10)
        try:
            easy = not resting and room.is_easy(asked)
            return easy or room.passes(self._whole(order, index_e10), resting)
        except BadInput:
            return False

    def room(self, state: BookState, path: str, at: Instant) -> Headroom | None:
        """Return the room of a bucket as it stands, remembered as `passes` says; None without a value."""
        self._take_prices(state, at)
        day = day_index(at)
        known = self._rooms.get(path)
        if known is not None and known[1] == day:
            return known[0]
        part = self._part(state, path, Touch(), self._contents.get(path))
        if part is None:
            return None
        room = Headroom(
            part.bucket,
            part.figures,
            self._prices,
            self._terms,
            self._state(part.figures),
            part.limits,
            self._observed(path, part, at),
            part.loss_allowed,
        )
        if len(self._rooms) >= VALUED_MAX:
            self._rooms, self._contents = {}, {}
        self._rooms[path], self._contents[path] = (room, day), part.bucket
        return room

    def _forget(self, operation: Operation) -> None:
        """Forget what an operation may change of prices, and of buckets without an entry that names them."""
        if isinstance(operation, Remark):
            return
        if isinstance(operation, PriceFact):
            self._fresh_until = NEVER
            return
        links = operation.links if isinstance(operation, Request) else (None,)
        if not all(isinstance(link, Fill | Move | Post | Void) for link in links):
            self._rooms, self._contents, self._fresh_until = {}, {}, NEVER

    def _forget_bucket(self, path: str) -> None:
        self._rooms.pop(path, None)
        self._contents.pop(path, None)

    def _stay_fresh_until(self, state: BookState, at: Instant) -> Instant:
        """Return the last instant at which every price that is fresh now still is."""
        prices = ((authority, state.price(name)) for name, authority in self._rules.prices.items())
        ends = (price.at + authority.stale_ns for authority, price in prices if price is not None)
        return Instant(min((end for end in ends if end >= at), default=NEVER))

    def judge_order(
        self, state: BookState, order: Order, resting: Sequence[RestingOrder], at: Instant
    ) -> TradeVerdict | None:
        """Judge an order as if it filled whole at its limit, the bucket's other orders standing.

        None where its bucket, instrument or prices cannot be judged: then it may not be matched.
        """
        self._take_prices(state, at)
        part = self._part(state, order.bucket, Touch())
        instrument = self._rules.instruments.get(order.instrument)
        index_e10 = self._agreed.get(instrument.index) if instrument is not None else None
        if part is None or index_e10 is None or order.instrument not in self._terms.contracts:
            return None
        try:
            return trade_verdict(
                replace(part.bucket, orders=tuple(resting)),
                [self._whole(order, index_e10)],
                self._prices,
                self._terms,
                self._state(part.figures),
                part.limits,
                self._observed(order.bucket, part, at),
                part.loss_allowed,
            )
        except BadInput:
            return None

    def _whole(self, order: Order, index_e10: int) -> IntendedFill:
        instrument = self._rules.instruments[order.instrument]
        decimals = self._rules.assets[instrument.quote].decimals
        ppm = max(0, instrument.fees.taker_ppm)
        fee = fee_up(instrument, order.contracts, order.limit_e10, decimals, ppm)
        contracts = order.contracts if order.side == "buy" else -order.contracts
        return IntendedFill(order.instrument, contracts, order.limit_e10, index_e10, fee)

    def closing_plan(self, standing: "Standing | Headroom") -> ClosingPlan:
        """Plan the closing of a failing bucket at its marks, each on the tick that is worse for it."""
        return self._closing_at(standing.bucket, standing.figures, {})

    def can_sell(self, standing: "Standing | Headroom", instrument: str, price_e10: int) -> bool:
        """Say whether a failing bucket could be closed in the market if one instrument got this price."""
        return not self._closing_at(standing.bucket, standing.figures, {instrument: price_e10}).takeovers

    def _closing_at(self, bucket: Bucket, figures: Health, sold_e10: Mapping[str, int]) -> ClosingPlan:
        """Plan the closing of a failing bucket, what is being sold at its price and the rest at the mark."""
        marks_e10 = {row.instrument: self._worse_tick_e10(row, row.mark_e10) for row in figures.positions}
        return plan_closing(bucket, figures, self._prices, self._terms, {**marks_e10, **sold_e10})

    def _worst_in_band_e10(self, row: PositionTerm) -> int:
        """Return the worst price that closing a position may get: the end of its band around the mark."""
        off = share_down(row.mark_e10, self._rules.instruments[row.instrument].price_band_ppm)
        return self._worse_tick_e10(row, row.mark_e10 + (off if row.contracts < 0 else -off))

    def _worse_tick_e10(self, row: PositionTerm, price_e10: int) -> int:
        tick_e10 = contract_of(self._terms, row.instrument).tick_e10
        off = price_e10 % tick_e10
        return price_e10 - off + (tick_e10 if off and row.contracts < 0 else 0)

    def deleveraging(self, state: BookState, path: str, at: Instant) -> tuple[Fill, ...]:
        """Return the fills by which winners bear what no pool could of a bucket; none where it is not due."""
        standing = self.standing(state, path, at)
        if standing is None:
            return ()
        plan = self.closing_plan(standing)
        return deleveraging_fills(state, path, plan, standing.prices, self._terms)

    # --- snapshots

    def written(self) -> bytes:
        """Write out the limits and calls of every bucket, in the order of their paths."""
        return msgspec.json.encode((sorted(self._limits.items()), sorted(self._calls.items())))

    def restore(self, content: bytes) -> None:
        """Take the limits that were written out; ValueError where they are of another form."""
        form = tuple[list[tuple[str, LimitState]], list[tuple[str, CallState]]]
        limits, calls = msgspec.json.decode(content, type=form)
        self._limits, self._calls = dict(limits), dict(calls)
        self._rooms, self._contents, self._fresh_until = {}, {}, NEVER

    # --- the bucket and its prices

    def _take_prices(self, state: BookState, at: Instant) -> None:
        """Go by the prices that are agreed and fresh now; figures at other prices are forgotten."""
        if self._since <= at <= self._fresh_until:
            return
        self._since, self._fresh_until = at, self._stay_fresh_until(state, at)
        agreed = self._fresh(state, at)
        if agreed != self._agreed:
            self._agreed, self._prices = agreed, self._priced(agreed)
            self._valued, self._rooms, self._allowed = {}, {}, {}

    def _fresh(self, state: BookState, at: Instant) -> dict[str, int]:
        """Take every price that is agreed and fresh, by its name in the policy."""
        return {
            name: price.price_e10
            for name, authority in self._rules.prices.items()
            if (price := state.price(name)) is not None and not price.is_stale(authority, at)
        }

    def _priced(self, agreed: Mapping[str, int]) -> Prices:
        """Give coins and instruments their prices; what has none cannot be valued."""
        rules = self._rules.assets.items()
        priced = ((name, rule.price) for name, rule in rules if rule.price is not None)
        return Prices(
            {name: agreed[price] for name, price in priced if price in agreed},
            {name: agreed[mark] for name, mark in self._marks.items() if mark in agreed},
        )

    def _part(self, state: BookState, path: str, touch: Touch, bucket: Bucket | None = None) -> _Part | None:
        """Value a bucket; None where a price is missing, or its margin mode is not built.

        bucket: what it holds, where that is known.
        """
        place, bucket = self._rules.place(path), bucket or self.bucket(state, path)
        if place is None or bucket is None:
            return None
        terms = self._rules.policy.compartments[place.rule.pattern]
        limits = terms.limits or NO_LIMITS
        try:
            figures = self._value(path, bucket)
            allowed = self._loss_allowed(place.rule.pattern, limits)
        except BadInput:
            return None
        return _Part(touch, bucket, figures, limits, allowed, self._cap_ppm(place.rule.pattern))

    def _value(self, path: str, bucket: Bucket) -> Health:
        """Value a bucket, unless it was valued as it is at these prices; BadInput as `health` raises it."""
        known = self._valued.get(path)
        if known is not None and known[0] == bucket:
            return known[1]
        if len(self._valued) >= VALUED_MAX:
            self._valued.clear()
        figures = health(bucket, self._prices, self._terms)
        self._valued[path] = bucket, figures
        return figures

    # --- facts

    def _observed(self, path: str, part: _Part, at: Instant) -> LimitState:
        figures = part.figures
        before = self._limits.get(path) or first_limit_state(figures.equity, at)
        return observe(before, figures.equity, figures.gross_notional, at, part.limits, part.loss_allowed)[0]

    def _releasable(self, part: _Part) -> dict[str, int]:
        """Say how much of the one asset that leaves may leave; nothing where more than that happens."""
        if part.touch.mixes or len(part.touch.releases) != 1:
            return {}
        (asset,) = part.touch.releases
        try:
            return {asset: releasable(part.bucket, asset, self._prices, self._terms)}
        except BadInput:
            return {}

    def _lacking(self, part: _Part) -> dict[str, int]:
        """Say how much is lacking of each asset that comes under a mandate; nothing without prices."""
        try:
            return {
                asset: lacking(part.bucket, asset, self._prices, self._terms)
                for asset in sorted(part.touch.topped)
            }
        except BadInput:
            return {}

    def _verdicts(self) -> dict[str, int]:
        judged = {path: part for path, part in self._parts.items() if part.touch.fills or part.touch.passed}
        found = {path: self._verdict(path, part) for path, part in judged.items()}
        return {path: verdict for path, verdict in found.items() if verdict is not None}

    def _verdict(self, path: str, part: _Part) -> int | None:
        """Judge the fills of a bucket together: 0 or a reason's number; None where they have no index."""
        fills = [self._intended(fill, direction) for fill, direction in part.touch.fills]
        fills += [self._passing(name, contracts) for name, contracts in part.touch.passed]
        if None in fills:
            return None
        verdict = trade_verdict(
            part.bucket,
            [fill for fill in fills if fill is not None],
            self._prices,
            self._terms,
            self._state(part.figures),
            part.limits,
            self._limits[path],
            part.loss_allowed,
            part.figures,
        )
        self._losses[path] = verdict.loss, verdict.is_closing
        return int(verdict.reason) if verdict.reason is not None else 0

    def _intended(self, fill: Fill, direction: Direction) -> IntendedFill | None:
        """Describe a fill from one side, with its fee; a rebate is not counted on before it is paid."""
        instrument = self._rules.instruments[fill.instrument]
        index_e10 = self._agreed.get(instrument.index)
        if index_e10 is None:
            return None
        decimals = self._rules.assets[instrument.quote].decimals
        ppm = instrument.fees.taker_ppm if fill.taker == direction else instrument.fees.maker_ppm
        fee = fee_up(instrument, fill.contracts, fill.price_e10, decimals, max(0, ppm))
        contracts = fill.contracts if direction == "buy" else -fill.contracts
        return IntendedFill(fill.instrument, contracts, fill.price_e10, index_e10, fee)

    def _passing(self, name: str, contracts: int) -> IntendedFill | None:
        """Describe a position that passes at the mark, without a fee."""
        mark_e10 = self._prices.marks.get(name)
        index_e10 = self._agreed.get(self._rules.instruments[name].index)
        if mark_e10 is None or index_e10 is None:
            return None
        return IntendedFill(name, contracts, mark_e10, index_e10, 0)

    def _state(self, figures: Health) -> State:
        thresholds = self._terms.thresholds
        return state_of(figures.equity, figures.maintenance, thresholds) if thresholds else State.FREE

    def _closing(self, state: BookState, path: str, part: _Part) -> dict[str, ClosingFact]:
        """Say how far a failing bucket may be closed at the prices it gets, or that it is taken over.

        A sale is judged at its own price. What the market would give instead of a takeover the book cannot
        know, but never a price outside the band: a bucket of which even that leaves something is not passed
        on, for a takeover would take what is left.
        """
        touch = part.touch
        if not touch.forced_e10:
            return {}
        is_uncured = self._calls.get(path, CallState()).state is State.LIQUIDATE
        if self._state(part.figures) is not State.LIQUIDATE and not is_uncured:
            return self._giving(part) if touch.causes == {"deleveraging"} else {}
        if "liquidation" in touch.causes:
            sold_e10: Mapping[str, int] = touch.forced_e10
        else:
            sold_e10 = {row.instrument: self._worst_in_band_e10(row) for row in part.figures.positions}
        plan = self._closing_at(part.bucket, part.figures, sold_e10)
        closed = {row.instrument: ClosingFact(abs(row.contracts), 0, row.penalty) for row in plan.closures}
        return closed | {row.instrument: self._passed(state, path, part.touch, row) for row in plan.takeovers}

    def _passed(self, state: BookState, path: str, touch: Touch, row: Takeover) -> ClosingFact:
        """Say how far a position passes on, and whether it may be sold, then without a penalty.

        It may at its bankruptcy price or better, where no pool can bear one contract more at the price it
        gets, and beside what passes on in the same request, for then it is what the pools cannot bear.
        """
        contract = contract_of(self._terms, row.instrument)
        sold_e10 = touch.forced_e10.get(row.instrument, row.price_e10)
        worth = contract.value_down(row.contracts, row.price_e10)
        lot_units = (worth - contract.value_down(row.contracts, sold_e10)) // abs(row.contracts)
        passes = touch.causes == {"liquidation"} and lot_units > 0
        if passes and can_bear(state, path, row.instrument, lot_units, self._prices, self._terms):
            return ClosingFact(abs(row.contracts), row.price_e10)
        return ClosingFact(abs(row.contracts), row.price_e10, 0)

    def _giving(self, part: _Part) -> dict[str, ClosingFact]:
        """Say how many contracts a winner may give up for a bucket that failed: within its profit and cap."""
        room = share_down(max(0, part.figures.equity), part.cap_ppm)
        found = {}
        for row in part.figures.positions:
            price_e10 = part.touch.forced_e10.get(row.instrument)
            if price_e10 is None or row.session_profit <= 0:
                continue
            contract, held = contract_of(self._terms, row.instrument), abs(row.contracts)
            worth = contract.value_up(row.contracts, row.mark_e10)
            loss = max(0, worth - contract.value_down(row.contracts, price_e10))
            lot = in_numeraire_up(divide_up(loss, max(1, held)), row.quote, self._prices, self._terms)
            given = held if not lot else min(held, min(row.positive_profit, room) // lot)
            if given:
                found[row.instrument] = ClosingFact(given)
        return found

    def _loss_allowed(self, pattern: str, limits: BucketLimits) -> int | None:
        """Return the daily loss of a family at these prices; BadInput where one is missing."""
        if pattern not in self._allowed:
            self._allowed[pattern] = daily_loss_allowed(limits.daily_loss, self._prices, self._terms)
        return self._allowed[pattern]

    def _cap_ppm(self, pattern: str) -> int:
        """Return the most of its equity that any waterfall takes from a bucket of this family."""
        known = self._caps.get(pattern)
        if known is not None:
            return known
        steps = (step for fall in self._rules.policy.waterfalls.values() for step in fall.steps)
        caps = (
            step.cap_ppm for step in steps if isinstance(step, DeleverageStep) and pattern in step.classes
        )
        return self._caps.setdefault(pattern, max(caps, default=0))

    def _flow(self, part: _Part) -> int:
        """Return how much the flows of a request change a bucket's equity at unchanged prices."""
        if not part.touch.flows:
            return 0
        bucket = part.bucket
        for asset, units in part.touch.flows.items():
            bucket = bucket.with_balance(asset, units)
        try:
            return health(bucket, self._prices, self._terms).equity - part.figures.equity
        except BadInput:
            return 0
