"""One pass over all buckets after a price tick: calls, cures, falls and losses, compiled; see `watch`.

The order of work inside a bucket is fixed and buckets do not meet, so threads change nothing. Where a figure
is too close to a boundary to be told by floats, the bucket is marked and asked of the exact rule.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import prange

from ringfence.kernel.compiled import compiled_parallel

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

CALLED: Final = 3
LIQUIDATE: Final = 5

CHANGED: Final = 1
UNCURED: Final = 2
ASK_STOP: Final = 4
FALLEN: Final = 8
LOST: Final = 16
RISEN: Final = 32
NEW_DAY: Final = 64
CLOSING: Final = 128
ANY_FLAG: Final = 255

NEAR_STOP: Final = 1e-6
NEAR_STOP_UNITS: Final = 1e6
"""How close to `stop_at` the exact rule is asked: few are being closed, so this is generous."""

SURE: Final = 1e-9
"""Share of a figure within which floats do not decide."""


@compiled_parallel
def watch_buckets(
    equities: Floats,
    requirements: Floats,
    levels: Bytes,
    at: int,
    cure_ns: int,
    stop_at: float,
    day: int,
    peak_step: float,
    states: Bytes,
    cure_by: Longs,
    scale: Floats,
    peak: Floats,
    told: Floats,
    fall_kept: Floats,
    days: Longs,
    day_start: Floats,
    fill_loss: Floats,
    loss_allowed: Floats,
    tripped: Bytes,
    skipped: Bytes,
    flags: Bytes,
) -> None:
    """Advance `states`, `cure_by`, `peak` and the day's figures, and say in `flags` what happened.

    All are [buckets]. equities, requirements: figures in numeraire units; levels: the state that the
    figures alone say; scale: index per unit of equity; peak, told: highest index, and the one the ledger was
    told of; fall_kept: share of the peak below which the drawdown is too deep (0: no limit); loss_allowed:
    of one day (infinite: no limit); tripped: FALLEN and LOST as they stand;
    skipped: those that cannot be valued now, who stay as they are.
    """
    for bucket in prange(equities.shape[0]):
        if skipped[bucket]:
            flags[bucket] = 0
            continue
        equity, maintenance = equities[bucket], requirements[bucket]
        level, was, flag = levels[bucket], states[bucket], 0
        known_cure = cure = cure_by[bucket]
        if level < CALLED:
            cure = 0
        elif cure == 0:
            cure = at + cure_ns
        state = level
        if cure > 0 and at > cure:
            state = LIQUIDATE
            if level != LIQUIDATE:
                flag |= UNCURED
        elif was == LIQUIDATE and level != LIQUIDATE:
            over = equity - maintenance * stop_at
            if over < 0.0:
                state = LIQUIDATE
            if abs(over) <= NEAR_STOP * (abs(equity) + maintenance) + NEAR_STOP_UNITS:
                flag |= ASK_STOP
        # Nearly nothing changes: memory that is not written need not be written back.
        if cure != known_cure:
            cure_by[bucket] = cure
        if state != was:
            states[bucket] = state
            flag |= CHANGED
        if state == LIQUIDATE:
            flag |= CLOSING
        if fall_kept[bucket] > 0.0:
            index = equity * scale[bucket]
            if index > peak[bucket]:
                peak[bucket] = index
                if index > told[bucket] * peak_step:
                    flag |= RISEN
                    told[bucket] = index
            # A little early rather than late: whoever is told asks the exact rule.
            if index < peak[bucket] * fall_kept[bucket] * (1.0 + SURE) and not tripped[bucket] & FALLEN:
                flag |= FALLEN
        if loss_allowed[bucket] < np.inf:
            if days[bucket] != day:
                days[bucket] = day
                day_start[bucket] = equity
                fill_loss[bucket] = 0.0
                tripped[bucket] &= 255 - LOST
                flag |= NEW_DAY
            lost = max(day_start[bucket] - equity, fill_loss[bucket])
            if lost > loss_allowed[bucket] * (1.0 - SURE) and not tripped[bucket] & LOST:
                flag |= LOST
        flags[bucket] = flag
