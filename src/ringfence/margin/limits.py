"""Limits of one bucket: highest leverage, deepest fall from its best value, most lost in one UTC day.

Each limit compares what is used with what is allowed, in whole numbers, and is

    OK        under four fifths of what is allowed
    WARNED    from four fifths on
    TRIPPED   over what is allowed; exactly what is allowed is still within the limit

A leverage limit follows its figures. A tripped daily loss lasts until the next UTC day. A tripped drawdown
lasts until a named person resets it, and then counts from the equity it is reset at. While any limit is
tripped only fills that make a position smaller are allowed. Each change of level is one `LimitEvent`.

Drawdown is measured on the bucket's return index, so neither a deposit nor a withdrawal can cause or cure
one. The day's loss is the greater of two figures: equity at the start of the day plus flows less equity now;
and the sum of what fills lost against the index at the moment they were made, which no later gain repays. The
second is what bounds a stolen key or a broken matching engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final, Literal

from ringfence.kernel.calendar import day_index
from ringfence.kernel.errors import UsageError
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PPM
from ringfence.margin.collateral import converted_down
from ringfence.margin.health import price_of
from ringfence.margin.marks import Prices
from ringfence.margin.performance import HighWater, first_high_water
from ringfence.margin.terms import Terms
from ringfence.policy.model import BucketLimits

WARN_PPM: Final = 800_000
"""Share of what is allowed from which on a limit warns."""

LimitKind = Literal["leverage", "drawdown", "daily_loss"]


class LimitLevel(IntEnum):
    """How much of a limit is used."""

    OK = 0
    WARNED = 1
    TRIPPED = 2


@dataclass(frozen=True, slots=True)
class LimitEvent:
    """One change of a limit's level; `used` and `allowed` share a unit; `by` names who reset it."""

    kind: LimitKind
    at: Instant
    before: LimitLevel
    after: LimitLevel
    used: int
    allowed: int
    by: str = ""


# --- the predicates ----------------------------------------------------------------------------


def level_of(used: int, allowed: int) -> LimitLevel:
    """Compare what is used with what is allowed."""
    if used > allowed:
        return LimitLevel.TRIPPED
    if used > 0 and used * PPM >= allowed * WARN_PPM:
        return LimitLevel.WARNED
    return LimitLevel.OK


def leverage_use(gross_notional: int, equity: int, leverage: int) -> tuple[int, int]:
    """Return gross notional and the most that this equity may carry."""
    return gross_notional, leverage * max(0, equity)


def drawdown_use(mark: HighWater, equity: int, drawdown_ppm: int) -> tuple[int, int]:
    """Return the fall from the peak and the deepest allowed, both in index units x PPM."""
    fall, peak = mark.fall(equity)
    return fall * PPM, peak * drawdown_ppm


@dataclass(frozen=True, slots=True)
class DayLoss:
    """What a bucket lost since the UTC day began.

    day: its number; start_equity: at its first valuation; flows: change of equity by transfers since then;
    fill_loss: what opening fills lost against the index; closing_loss: the same of closing fills, which are
    exempt and stated apart.
    """

    day: int
    start_equity: int
    flows: int = 0
    fill_loss: int = 0
    closing_loss: int = 0

    def rolled(self, equity: int, at: Instant) -> "DayLoss":
        """Return the count of the day that holds `at`: the same one, or a new one from this equity."""
        return self if day_index(at) == self.day else DayLoss(day_index(at), equity)

    def lost(self, equity: int) -> int:
        """Return what counts against the limit at an equity."""
        return max(0, self.start_equity + self.flows - equity, self.fill_loss)

    def lost_with(self, equity: int, fill_loss: int) -> int:
        """Return what would count after one more opening fill that loses `fill_loss` against the index."""
        return max(0, self.start_equity + self.flows - equity + fill_loss, self.fill_loss + fill_loss)


def daily_loss_allowed(daily_loss: Mapping[str, int], prices: Prices, terms: Terms) -> int | None:
    """Return the strictest daily loss of a bucket in numeraire units, rounded down; None without one."""
    amounts = [
        converted_down(units, terms.coins[asset], price_of(terms.coins[asset], prices, terms), terms.decimals)
        for asset, units in daily_loss.items()
    ]
    return min(amounts, default=None)


# --- the state machine -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LimitState:
    """The levels of a bucket's limits and what they are measured from."""

    mark: HighWater
    day: DayLoss
    leverage: LimitLevel = LimitLevel.OK
    drawdown: LimitLevel = LimitLevel.OK
    daily_loss: LimitLevel = LimitLevel.OK

    @property
    def is_tripped(self) -> bool:
        """Whether only closing fills are allowed."""
        return LimitLevel.TRIPPED in (self.leverage, self.drawdown, self.daily_loss)

    def after_flow(self, equity_before: int, flow: int) -> "LimitState":
        """Return the state after a transfer that changed equity by `flow` at unchanged prices."""
        day = self.day
        if flow:
            day = DayLoss(day.day, day.start_equity, day.flows + flow, day.fill_loss, day.closing_loss)
        mark = self.mark.after_flow(equity_before, flow)
        return LimitState(mark, day, self.leverage, self.drawdown, self.daily_loss)

    def after_fill(self, loss: int, *, is_closing: bool) -> "LimitState":
        """Return the state after a fill that lost `loss` against the index."""
        day = self.day
        if is_closing:
            return replace(self, day=replace(day, closing_loss=day.closing_loss + loss))
        return replace(self, day=replace(day, fill_loss=day.fill_loss + loss))


def first_limit_state(equity: int, at: Instant) -> LimitState:
    """Start measuring a bucket at its present equity."""
    return LimitState(first_high_water(equity), DayLoss(day_index(at), equity))


def observe(
    state: LimitState,
    equity: int,
    gross_notional: int,
    at: Instant,
    limits: BucketLimits,
    loss_allowed: int | None,
) -> tuple[LimitState, tuple[LimitEvent, ...]]:
    """Return the limits after seeing a bucket's figures, and one event for each level that changed.

    loss_allowed: from `daily_loss_allowed`.
    """
    day = state.day.rolled(equity, at)
    is_new_day = day is not state.day
    mark = state.mark.observed(equity)
    if is_new_day or mark is not state.mark:
        state = LimitState(mark, day, state.leverage, state.drawdown, state.daily_loss)
    events: list[LimitEvent] = []

    def step(kind: LimitKind, before: LimitLevel, use: tuple[int, int], *, is_latched: bool) -> LimitLevel:
        after = before if is_latched and before is LimitLevel.TRIPPED else level_of(*use)
        if after is not before:
            events.append(LimitEvent(kind, at, before, after, *use))
        return after

    if limits.leverage is not None:
        use = leverage_use(gross_notional, equity, limits.leverage)
        level = step("leverage", state.leverage, use, is_latched=False)
        state = state if level is state.leverage else replace(state, leverage=level)
    if limits.drawdown_ppm is not None:
        use = drawdown_use(state.mark, equity, limits.drawdown_ppm)
        level = step("drawdown", state.drawdown, use, is_latched=True)
        state = state if level is state.drawdown else replace(state, drawdown=level)
    if loss_allowed is not None:
        use = day.lost(equity), loss_allowed
        level = step("daily_loss", state.daily_loss, use, is_latched=not is_new_day)
        state = state if level is state.daily_loss else replace(state, daily_loss=level)
    return state, tuple(events)


def reset(
    state: LimitState, kind: Literal["drawdown", "daily_loss"], equity: int, at: Instant, by: str
) -> tuple[LimitState, LimitEvent]:
    """Lift a tripped limit by a named person; what it measures starts anew at this equity.

    Raises UsageError where nobody is named or the limit is not tripped.
    """
    before = state.drawdown if kind == "drawdown" else state.daily_loss
    if not by.strip():
        raise UsageError(f"nobody was named; the person who resets {kind} is part of the record")
    if before is not LimitLevel.TRIPPED:
        raise UsageError(f"{kind} was {before.name.lower()}; only a tripped limit is reset")
    event = LimitEvent(kind, at, before, LimitLevel.OK, 0, 0, by)
    if kind == "drawdown":
        return replace(state, drawdown=LimitLevel.OK, mark=first_high_water(equity)), event
    return replace(state, daily_loss=LimitLevel.OK, day=DayLoss(day_index(at), equity)), event
