"""What margin reads from a book, and the facts it gives back for a request: `Conditions` of the ledger plane.

The facts follow from the book's state, the request and what the caller remembers of each bucket (its call
state and its limits), so a replay of the journal gives the same ones. Where a price is missing or stale the
fact is left out, and what needs it stays shut.

A mark is the agreed price `mark/<instrument>` where the policy declares one, else the instrument's index.
What a bucket owes under accruals and has not paid (fees, funding) counts against its balance.

The links of one request are judged as if the others had happened: what may be released of one coin, after the
fills and without what else leaves; what may be traded, without anything that leaves. What comes in does not
help, so that no order of links makes a request pass that another order would not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import share_up
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.calls import CallState, State, state_of
from ringfence.margin.health import contract_of, health
from ringfence.margin.limits import LimitState, daily_loss_allowed, first_limit_state
from ringfence.margin.liquidation import plan_liquidation
from ringfence.margin.marks import Prices
from ringfence.margin.releasable import releasable
from ringfence.margin.terms import Terms
from ringfence.margin.trading import IntendedFill, trade_verdict
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.conditions import NO_CONDITIONS, ClosingFact, Conditions
from ringfence.planes.ledger.operations import Closing, Fill, Move, Operation, Order, Request
from ringfence.planes.ledger.settlement import fee_up
from ringfence.policy.model import BucketLimits


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of buckets by path; a bucket that is not there starts fresh."""

    calls: Mapping[str, CallState] = field(default_factory=dict)
    limits: Mapping[str, LimitState] = field(default_factory=dict)
    orders: Mapping[str, tuple[RestingOrder, ...]] = field(default_factory=dict)


NO_MEMORY = Memory()


def conditions(
    state: BookState, operation: Operation, at: Instant, terms: Terms, memory: Memory = NO_MEMORY
) -> Conditions:
    """Say what margin says about an operation before the book judges it."""
    if not isinstance(operation, Request):
        return NO_CONDITIONS
    fills = tuple(link for link in operation.links if isinstance(link, Fill))
    moves = tuple(link for link in operation.links if isinstance(link, Move))
    if not fills and not moves:
        return NO_CONDITIONS
    view = _View(state, prices_in(state, at), terms, memory, at, fills, moves)
    return Conditions(
        releasable=_releasable_facts(view), trade=_trade_facts(view), closing=_closing_facts(view)
    )


@dataclass(frozen=True, slots=True)
class _View:
    """Everything the facts of one request follow from."""

    state: BookState
    prices: Prices
    terms: Terms
    memory: Memory
    at: Instant
    fills: tuple[Fill, ...]
    moves: tuple[Move, ...]


# --- reading the book --------------------------------------------------------------------------


def prices_in(state: BookState, at: Instant) -> Prices:
    """Return the agreed prices that are fresh at an instant: of coins, and marks of instruments."""
    policy = state.rules.policy
    assets = {name: fresh_price(state, asset.price, at) for name, asset in policy.assets.items()}
    marks = {}
    for name, instrument in policy.instruments.items():
        marks[name] = fresh_price(state, f"mark/{name}", at) or fresh_price(state, instrument.index, at)
    return Prices(
        {name: price for name, price in assets.items() if price},
        {name: price for name, price in marks.items() if price},
    )


def fresh_price(state: BookState, name: str | None, at: Instant) -> int | None:
    """Return an agreed price at PRICE_SCALE; None where there is none or it is stale."""
    authority = state.rules.prices.get(name) if name is not None else None
    agreed = state.price(name) if name is not None else None
    if authority is None or agreed is None or agreed.is_stale(authority, at):
        return None
    return agreed.price_e10


def is_margined(state: BookState, path: str) -> bool:
    """Say whether a path is a bucket that margin looks after."""
    place = state.rules.place(path)
    return place is not None and place.rule.margined


def bucket_in(state: BookState, path: str, orders: tuple[RestingOrder, ...] = ()) -> Bucket:
    """Read a bucket from a book; BadInput where it is not one, or is margined by portfolio."""
    place = state.rules.place(path)
    if place is None:
        raise BadInput(f"{path} is no compartment of this policy")
    mode = state.rules.policy.compartments[place.rule.pattern].margin
    if mode is None or mode == "portfolio":
        raise BadInput(f"{path} has margin: {mode or 'none'}; bracket margin is for isolated and cross")
    balances = {asset: state.balance(path, asset) for asset in sorted(place.rule.accepts or ())}
    for (_, source, _, asset), units in state.all_owed().items():
        if source == path and asset in balances:
            balances[asset] -= units
    positions = tuple(
        Position(name, held.contracts, held.session_value)
        for name, held in sorted(state.positions_of(path).items())
    )
    return Bucket(mode, balances, positions, orders)


def limits_of(state: BookState, path: str) -> BucketLimits:
    """Return the limits that the policy sets for a bucket."""
    place = state.rules.place(path)
    stated = None if place is None else state.rules.policy.compartments[place.rule.pattern].limits
    return stated or BucketLimits()


# --- the facts ---------------------------------------------------------------------------------


def _releasable_facts(view: _View) -> dict[str, dict[str, int]]:
    facts: dict[str, dict[str, int]] = {}
    for move in view.moves:
        if is_margined(view.state, move.source):
            units = _releasable_units(view, move)
            if units is not None:
                facts.setdefault(move.source, {})[move.asset] = units
    return facts


def _releasable_units(view: _View, move: Move) -> int | None:
    bucket = _without_what_leaves(view, move.source, _bucket(view, move.source), but=move.asset)
    try:
        for fill in view.fills:
            bucket = _after_fill(view, move.source, bucket, fill)
        return releasable(bucket, move.asset, view.prices, view.terms)
    except BadInput:
        return None  # A price is missing or stale: without the fact the gate stays shut.


def _without_what_leaves(view: _View, path: str, bucket: Bucket, but: str = "") -> Bucket:
    for move in view.moves:
        if move.source == path and move.asset != but and move.asset in view.terms.coins:
            bucket = bucket.with_balance(move.asset, -move.units)
    return bucket


def _after_fill(view: _View, path: str, bucket: Bucket, fill: Fill) -> Bucket:
    """Apply the sides of a fill that a bucket takes, with the taker's fee."""
    contract = contract_of(view.terms, fill.instrument)
    for side, sign in ((fill.buy, 1), (fill.sell, -1)):
        if side.bucket == path:
            fee = share_up(contract.notional(fill.contracts, fill.price_e10), max(0, contract.fees.taker_ppm))
            bucket = bucket.filled(contract, sign * fill.contracts, fill.price_e10)
            bucket = bucket.with_balance(contract.quote, -fee)
    return bucket


def _trade_facts(view: _View) -> dict[str, int]:
    intended: dict[str, list[IntendedFill]] = {}
    for fill in view.fills:
        for side in (fill.buy, fill.sell):
            if isinstance(side, Order) and is_margined(view.state, side.bucket):
                found = _intended(view, fill, side)
                if found is None:
                    return {}
                intended.setdefault(side.bucket, []).append(found)
    verdicts = {path: _verdict(view, path, rows) for path, rows in intended.items()}
    return {path: number for path, number in verdicts.items() if number is not None}


def _intended(view: _View, fill: Fill, side: Order) -> IntendedFill | None:
    """Describe a fill from one side, its index beside it; None where the index is missing."""
    policy = view.state.rules.policy
    instrument = policy.instruments.get(fill.instrument)
    index_e10 = None if instrument is None else fresh_price(view.state, instrument.index, view.at)
    if instrument is None or index_e10 is None:
        return None
    is_taker = (fill.taker == "buy") == (side is fill.buy)
    ppm = instrument.fees.taker_ppm if is_taker else instrument.fees.maker_ppm
    decimals = policy.assets[instrument.quote].decimals
    fee = fee_up(instrument, fill.contracts, fill.price_e10, decimals, max(0, ppm))
    contracts = fill.contracts if side is fill.buy else -fill.contracts
    return IntendedFill(fill.instrument, contracts, fill.price_e10, index_e10, fee)


def _verdict(view: _View, path: str, fills: list[IntendedFill]) -> int | None:
    """Return 0 or the number of a reason; None where a price is missing."""
    bucket = _without_what_leaves(view, path, _bucket(view, path))
    limits = limits_of(view.state, path)
    try:
        before = health(bucket, view.prices, view.terms)
        remembered = view.memory.limits.get(path) or first_limit_state(before.equity, view.at)
        allowed = daily_loss_allowed(limits.daily_loss, view.prices, view.terms)
        state = _state(view, path, before.equity, before.maintenance)
        verdict = trade_verdict(bucket, fills, view.prices, view.terms, state, limits, remembered, allowed)
    except BadInput:
        return None
    return int(verdict.reason or 0)


def _closing_facts(view: _View) -> dict[str, dict[str, ClosingFact]]:
    facts: dict[str, dict[str, ClosingFact]] = {}
    for fill in view.fills:
        for side, other in ((fill.buy, fill.sell), (fill.sell, fill.buy)):
            if isinstance(side, Closing) and is_margined(view.state, side.bucket):
                fact = _closing_fact(view, fill, side) or _bearing_fact(view, fill, side, other)
                if fact is not None:
                    facts.setdefault(side.bucket, {})[fill.instrument] = fact
    return facts


def _closing_fact(view: _View, fill: Fill, side: Closing) -> ClosingFact | None:
    """Say how far a failing bucket may be closed: as its plan says, at the price of the fill."""
    bucket = _bucket(view, side.bucket)
    try:
        figures = health(bucket, view.prices, view.terms)
        if _state(view, side.bucket, figures.equity, figures.maintenance) is not State.LIQUIDATE:
            return None
        plan = plan_liquidation(bucket, view.prices, view.terms, _execution(view, fill))
    except BadInput:
        return None
    if side.cause == "liquidation":
        contracts = sum(abs(one.contracts) for one in plan.closures if one.instrument == fill.instrument)
        return ClosingFact(contracts) if contracts else None
    for one in plan.takeovers:
        if one.instrument == fill.instrument:
            return ClosingFact(abs(one.contracts), one.price_e10)
    return None


def _bearing_fact(view: _View, fill: Fill, side: Closing, other: Order | Closing) -> ClosingFact | None:
    """Say how far a winner may be deleveraged: by what it holds, against a bucket that failed."""
    if side.cause != "deleveraging" or not isinstance(other, Closing):
        return None
    if _closing_fact(view, fill, other) is None:
        return None
    held = view.state.position(side.bucket, fill.instrument).contracts
    return ClosingFact(abs(held)) if held else None


def _execution(view: _View, fill: Fill) -> dict[str, int]:
    """Price each instrument at its mark on the tick; the one that is closed in the market at its fill."""
    prices = {}
    for name, mark_e10 in view.prices.marks.items():
        if name in view.terms.contracts:
            tick = contract_of(view.terms, name).tick_e10
            prices[name] = max(tick, mark_e10 // tick * tick)
    is_market = any(isinstance(side, Order) or side.cause == "liquidation" for side in (fill.buy, fill.sell))
    return prices | ({fill.instrument: fill.price_e10} if is_market else {})


def _bucket(view: _View, path: str) -> Bucket:
    return bucket_in(view.state, path, view.memory.orders.get(path, ()))


def _state(view: _View, path: str, equity: int, maintenance: int) -> State:
    """Return the state of a bucket: what its figures say, or worse where it is remembered so."""
    thresholds = view.terms.thresholds
    now = State.FREE if thresholds is None else state_of(equity, maintenance, thresholds)
    return max(now, view.memory.calls.get(path, CallState()).state)
