"""What margin says about fills before they happen: the fact that the ledger needs to let a bucket trade.

The fills of one request are judged together, for one bucket. Fills that only make positions smaller are
always allowed, whatever the state of the bucket: reducing risk goes last. Any other needs, after the fills,
equity for initial and order margin, leverage within the limit, no tripped limit, a state better than
reduce-only, room in the day's loss (the loss against the index counts at once), and in an isolated bucket no
second instrument.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.kernel.decision import Reason
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import State
from ringfence.margin.health import Health, contract_of, health, in_numeraire_up
from ringfence.margin.limits import LimitLevel, LimitState, leverage_use
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms
from ringfence.policy.model import BucketLimits


@dataclass(frozen=True, slots=True)
class IntendedFill:
    """One fill from the bucket's side: signed contracts (positive buys) at a price, the index beside it.

    fee: taker or maker fee in units of the quote, negative for a rebate.
    """

    instrument: str
    contracts: int
    price_e10: int
    index_e10: int
    fee: int = 0


@dataclass(frozen=True, slots=True)
class TradeVerdict:
    """Whether margin allows the fills: `reason` is None, or the first rule they break in `Reason` order.

    is_closing: every fill makes its position smaller; loss: against the index, numeraire units, rounded up;
    lost_after and loss_allowed: the day's loss and its limit (None without one); after: the figures that the
    fills would leave.
    """

    reason: Reason | None
    words: str
    is_closing: bool
    loss: int
    lost_after: int
    loss_allowed: int | None
    after: Health


def trade_verdict(
    bucket: Bucket,
    fills: Sequence[IntendedFill],
    prices: Prices,
    terms: Terms,
    state: State,
    limits: BucketLimits,
    limit_state: LimitState,
    loss_allowed: int | None,
    before: Health | None = None,
) -> TradeVerdict:
    """Judge the fills of one bucket together.

    bucket: before the fills, its resting orders without those that fill; loss_allowed: from
    `limits.daily_loss_allowed`; before: the bucket's figures, where they are known. Forced closures are not
    judged here: margin itself asks for them.
    """
    before = before or health(bucket, prices, terms)
    after = health(after_fills(bucket, fills, terms), prices, terms)
    loss = sum(fill_loss(fill, prices, terms) for fill in fills)
    lost_after = limit_state.day.lost_with(before.equity, loss)
    is_closing = _only_closes(bucket, fills)
    refusals: list[tuple[Reason, str]] = []
    if not is_closing:
        refusals += _state_refusals(bucket, fills, state, limit_state)
        refusals += _margin_refusals(after, limits)
        if loss_allowed is not None and lost_after > loss_allowed:
            words = f"the day's loss would be {lost_after}; at most {loss_allowed} may be lost"
            refusals.append((Reason.DAILY_LOSS_EXCEEDED, words))
    reason, words = min(refusals, default=(None, ""))
    return TradeVerdict(reason, words, is_closing, loss, lost_after, loss_allowed, after)


def after_fills(bucket: Bucket, fills: Sequence[IntendedFill], terms: Terms) -> Bucket:
    """Return the bucket after the fills and their fees."""
    for fill in fills:
        contract = contract_of(terms, fill.instrument)
        bucket = bucket.filled(contract, fill.contracts, fill.price_e10)
        bucket = bucket.with_balance(contract.quote, -fill.fee)
    return bucket


def fill_loss(fill: IntendedFill, prices: Prices, terms: Terms) -> int:
    """Return what a fill loses against the index at once, in numeraire units, rounded up; never negative."""
    contract = contract_of(terms, fill.instrument)
    paid = contract.value_up(fill.contracts, fill.price_e10)
    worth = contract.value_down(fill.contracts, fill.index_e10)
    return in_numeraire_up(max(0, paid - worth), contract.quote, prices, terms)


def is_closing(held: int, contracts: int) -> bool:
    """Say whether a fill makes a position smaller without turning it around."""
    return held * contracts < 0 and abs(contracts) <= abs(held)


def _only_closes(bucket: Bucket, fills: Sequence[IntendedFill]) -> bool:
    held = {position.instrument: position.contracts for position in bucket.positions}
    for fill in fills:
        if not is_closing(held.get(fill.instrument, 0), fill.contracts):
            return False
        held[fill.instrument] += fill.contracts
    return True


def _state_refusals(
    bucket: Bucket, fills: Sequence[IntendedFill], state: State, limit_state: LimitState
) -> list[tuple[Reason, str]]:
    refusals = []
    open_after = {position.instrument for position in bucket.positions if position.contracts}
    open_after |= {fill.instrument for fill in fills}
    if bucket.mode == "isolated" and len(open_after) > 1:
        words = f"an isolated bucket holds one instrument at a time, not {', '.join(sorted(open_after))}"
        refusals.append((Reason.TRADE_NOT_ALLOWED, words))
    if state >= State.REDUCE_ONLY:
        refusals.append((Reason.REDUCE_ONLY, f"the bucket is in state {state.name.lower()}"))
    if limit_state.leverage is LimitLevel.TRIPPED:
        refusals.append((Reason.LEVERAGE_CAP_EXCEEDED, "the bucket is over its leverage limit"))
    if limit_state.daily_loss is LimitLevel.TRIPPED:
        refusals.append((Reason.DAILY_LOSS_EXCEEDED, "the bucket has lost its limit for the day"))
    if limit_state.drawdown is LimitLevel.TRIPPED:
        refusals.append((Reason.DRAWDOWN_EXCEEDED, "a named person has to lift the drawdown stop"))
    return refusals


def _margin_refusals(after: Health, limits: BucketLimits) -> list[tuple[Reason, str]]:
    refusals = []
    if after.free < 0:
        words = f"equity {after.equity} would be {-after.free} short of initial and order margin"
        refusals.append((Reason.INITIAL_MARGIN_TOO_LOW, words))
    if limits.leverage is not None:
        used, allowed = leverage_use(after.gross_notional, after.equity, limits.leverage)
        if used > allowed:
            words = f"notional {used} would be over {limits.leverage} times equity, {allowed}"
            refusals.append((Reason.LEVERAGE_CAP_EXCEEDED, words))
    return refusals
