"""Thresholds: from a healthy bucket to a margin call, to reduce-only, to liquidation and back.

Levels are ppm of the maintenance requirement. A level holds while equity is at least that share; the bucket
passes into the next state when equity is below it:

    FREE          at least `free`: something may be released
    HELD          below `free`: nothing leaves
    WARNED        below `warn`
    CALLED        below `call.at`; the cure time runs from here until equity is at `call.at` again
    REDUCE_ONLY   below `reduce_only`: only fills that make a position smaller
    LIQUIDATE     below `liquidate`, or the cure time passed; lasts until equity is at `stop_at`

`state_of` has no memory; `advance` adds the two things that need one, the deadline of a call and the
liquidation that goes on to `stop_at`. Each change of state is one `Transition`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from ringfence.kernel.instant import Instant
from ringfence.margin.health import is_at_least
from ringfence.policy.model import Thresholds


class State(IntEnum):
    """How near a bucket is to being closed, from safe to worst."""

    FREE = 0
    HELD = 1
    WARNED = 2
    CALLED = 3
    REDUCE_ONLY = 4
    LIQUIDATE = 5


_STATES = tuple(State)

Cause = Literal["level", "uncured"]


@dataclass(frozen=True, slots=True)
class CallState:
    """The state of a bucket and the last instant at which an open call can still be cured."""

    state: State = State.FREE
    cure_by: Instant | None = None


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of state, with the figures that caused it."""

    at: Instant
    before: State
    after: State
    cause: Cause
    equity: int
    maintenance: int


def levels_ppm(thresholds: Thresholds) -> tuple[int, ...]:
    """Return the level of each state but LIQUIDATE: below the n-th, the state is at least n + 1."""
    return (
        thresholds.free_ppm,
        thresholds.warn_ppm,
        thresholds.call.at_ppm,
        thresholds.reduce_only_ppm,
        thresholds.liquidate_ppm,
    )


def state_of(equity: int, maintenance: int, thresholds: Thresholds) -> State:
    """Return the state that the figures alone say."""
    levels = levels_ppm(thresholds)
    for level in range(len(levels), 0, -1):
        if not is_at_least(equity, maintenance, levels[level - 1]):
            return _STATES[level]
    return State.FREE


def advance(
    before: CallState, equity: int, maintenance: int, at: Instant, thresholds: Thresholds
) -> tuple[CallState, Transition | None]:
    """Return the next state of a bucket and, if it changed, the transition.

    The cure time counts from the first instant below `call.at`; cured at the last instant is cured.
    """
    level = state_of(equity, maintenance, thresholds)
    cure_by = None
    if level >= State.CALLED:
        cure_by = before.cure_by or Instant(at + thresholds.call.cure_ns)
    is_uncured = cure_by is not None and at > cure_by
    goes_on = before.state is State.LIQUIDATE and not is_at_least(equity, maintenance, thresholds.stop_at_ppm)
    state = State.LIQUIDATE if is_uncured or goes_on else level
    after = CallState(state, cure_by)
    if state is before.state:
        return after, None
    cause: Cause = "uncured" if is_uncured and level is not State.LIQUIDATE else "level"
    return after, Transition(at, before.state, state, cause, equity, maintenance)


def restored_ppm(equity: int, maintenance: int, thresholds: Thresholds) -> int:
    """Return the level at which closing a bucket with these figures stops.

    Below `liquidate` that is `stop_at`. A bucket that is at `liquidate` or above is closed because a call was
    not cured; it stops where the call is cured, or at `stop_at` where that is higher.
    """
    if is_at_least(equity, maintenance, thresholds.liquidate_ppm):
        return max(thresholds.stop_at_ppm, thresholds.call.at_ppm)
    return thresholds.stop_at_ppm
