"""Every bucket of a platform at every price: who is called, who has cured, who is closed, who fell too far.

`tick` values all buckets with the batch twin and moves each one's call state and limits on, as
`calls.advance` and `limits.observe` do for one. What comes back is only what changed, and all that are to be
closed, riskiest first. It is a function of what is watched, the prices and the instant; nothing else is read.

States by threshold are exact (see `batch`); whether a liquidation has reached `stop_at` is asked of the
exact rule where floats are too close. A drawdown or a loss of the day is found a billionth early and is then
decided exactly by whoever is told, from the book's own figures (`services.risk_loop`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ringfence.kernel.calendar import day_index
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PPM
from ringfence.margin.batch import (
    BatchBook,
    BatchFigures,
    BatchTerms,
    Sheet,
    blank_sheet,
    pack,
    remargin,
)
from ringfence.margin.batch_kernel import numbers_flagged
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import CallState, State, advance
from ringfence.margin.health import Health, health
from ringfence.margin.limits import LimitLevel, LimitState
from ringfence.margin.marks import Prices
from ringfence.margin.performance import INDEX_SCALE
from ringfence.margin.watch_kernel import (
    ANY_FLAG,
    ASK_STOP,
    CHANGED,
    CLOSING,
    FALLEN,
    LOST,
    NEW_DAY,
    RISEN,
    UNCURED,
    Bytes,
    Floats,
    Longs,
    watch_buckets,
)

PEAK_STEP = 1.01
"""A bucket is looked at again when it has risen this much over the best that the ledger knows of."""

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class WatchedLimits:
    """The limits of one bucket: its drawdown and what it may lose a day (None: none), and where it stands."""

    drawdown_ppm: int | None
    loss_allowed: int | None
    state: LimitState | None


NO_LIMITS = WatchedLimits(None, None, None)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What one tick brought, as numbers of buckets.

    changed: whose state changed, from `before` to `after`; uncured: of all, whose cure time passed at a level
    that alone closes nobody; closing: everybody to be closed, riskiest first; look: whose limits the ledger
    has to look at now, because a limit was passed, a new best was reached or a day began; figures: of all,
    until the next tick.
    """

    at: Instant
    changed: Numbers
    before: Bytes
    after: Bytes
    uncured: Numbers
    closing: Numbers
    look: Numbers
    figures: BatchFigures


@dataclass(slots=True)
class Watch:
    """Buckets under watch: their arrays, and what is remembered of each from tick to tick."""

    book: BatchBook
    batch: BatchTerms
    states: Bytes
    cure_by: Longs
    scale: Floats
    peak: Floats
    told: Floats
    fall_kept: Floats
    days: Longs
    day_start: Floats
    fill_loss: Floats
    loss_allowed: Floats
    tripped: Bytes
    skipped: Bytes
    flags: Bytes = field(repr=False)
    before: Bytes = field(repr=False)
    sheet: Sheet = field(repr=False)

    def __len__(self) -> int:
        return len(self.states)

    def tick(self, prices: Prices, at: Instant, exact: Callable[[int], Bucket]) -> Decisions:
        """Value everybody at these prices, move everybody on, and say what changed.

        exact: returns a bucket by number, for the few whose decision needs whole numbers.
        """
        thresholds = self.batch.thresholds
        self._skip_unpriced(prices)
        found = remargin(self.book, prices, self.batch, exact, self.skipped, self.sheet)
        before = self.before
        before[:] = self.states
        watch_buckets(
            found.equity,
            found.maintenance,
            found.states,
            at,
            thresholds.call.cure_ns,
            thresholds.stop_at_ppm / PPM,
            day_index(at),
            PEAK_STEP,
            self.states,
            self.cure_by,
            self.scale,
            self.peak,
            self.told,
            self.fall_kept,
            self.days,
            self.day_start,
            self.fill_loss,
            self.loss_allowed,
            self.tripped,
            self.skipped,
            self.flags,
        )
        # Nearly nobody is flagged: everything else is asked of those few.
        flagged = numbers_flagged(self.flags, ANY_FLAG)
        self._ask_stops(flagged, found, prices, exact)
        flags = self.flags[flagged]
        changed = flagged[flags & CHANGED != 0]
        return Decisions(
            at=at,
            changed=changed,
            before=before[changed],
            after=self.states[changed],
            uncured=flagged[flags & UNCURED != 0],
            closing=riskiest_first(flagged[flags & CLOSING != 0], found),
            look=flagged[flags & (FALLEN | LOST | RISEN | NEW_DAY) != 0],
            figures=found,
        )

    def _skip_unpriced(self, prices: Prices) -> None:
        """Leave everybody alone who holds what has no price now: nobody is closed at a price of nothing."""
        terms, book = self.batch.terms, self.book
        unmarked = [number for number, name in enumerate(self.batch.instruments) if name not in prices.marks]
        unpriced = [
            number
            for number, name in enumerate(self.batch.coins)
            if terms.coins[name].priced_as not in (terms.numeraire, *prices.assets)
        ]
        self.skipped[:] = 0
        if unmarked:
            rows = np.isin(book.instruments, unmarked) & (book.contracts != 0)
            owners = np.searchsorted(book.offsets, np.flatnonzero(rows), side="right") - 1
            self.skipped[owners] = 1
        if unpriced:
            self.skipped[(book.net_coins[:, unpriced] != 0).any(axis=1)] = 1

    def put(self, number: int, bucket: Bucket) -> bool:
        """Take over what a bucket holds now; False where it has more positions than there is room for."""
        start, stop = int(self.book.offsets[number]), int(self.book.offsets[number + 1])
        if len(bucket.positions) > stop - start:
            return False
        packed = pack([bucket], self.batch)
        self.book.contracts[start:stop] = 0
        self.book.session_values[start:stop] = 0
        end = start + len(bucket.positions)
        self.book.instruments[start:end] = packed.instruments
        self.book.contracts[start:end] = packed.contracts
        self.book.session_values[start:end] = packed.session_values
        self.book.net_coins[number] = packed.net_coins[0]
        return True

    def move_on(self, number: int, figures: Health, at: Instant) -> None:
        """Move a bucket on again that got something since the tick, as if the tick had found it so."""
        cure_by = Instant(int(self.cure_by[number])) if self.cure_by[number] else None
        before = CallState(State(int(self.before[number])), cure_by)
        after, _ = advance(before, figures.equity, figures.maintenance, at, self.batch.thresholds)
        self.states[number], self.cure_by[number] = after.state, after.cure_by or 0

    def revised(self, decisions: Decisions, moved_on: Numbers) -> Decisions:
        """Return what a tick brought, with the states that some buckets were moved on to since."""
        others = decisions.changed[~np.isin(decisions.changed, moved_on)]
        changed = np.concatenate((others, moved_on[self.states[moved_on] != self.before[moved_on]]))
        return replace(
            decisions,
            changed=changed,
            before=self.before[changed],
            after=self.states[changed],
            uncured=decisions.uncured[self.states[decisions.uncured] == State.LIQUIDATE],
            closing=decisions.closing[self.states[decisions.closing] == State.LIQUIDATE],
        )

    def _ask_stops(
        self, flagged: Numbers, found: BatchFigures, prices: Prices, exact: Callable[[int], Bucket]
    ) -> None:
        """Decide in whole numbers whether a liquidation close to `stop_at` goes on."""
        thresholds = self.batch.thresholds
        for number in flagged[self.flags[flagged] & ASK_STOP != 0]:
            figures = health(replace(exact(int(number)), orders=()), prices, self.batch.terms)
            goes_on = not figures.is_at_least(thresholds.stop_at_ppm)
            state = int(State.LIQUIDATE) if goes_on else int(found.states[number])
            self.states[number] = state
            self.flags[number] &= ANY_FLAG - CHANGED - CLOSING
            self.flags[number] |= CHANGED * (state != self.before[number]) | CLOSING * goes_on

    def set_limits(self, number: int, limits: WatchedLimits) -> None:
        """Take over what the ledger knows of a bucket's limits; the best that was seen here stays."""
        state = limits.state
        has_drawdown = limits.drawdown_ppm is not None and state is not None
        self.fall_kept[number] = 1 - (limits.drawdown_ppm or 0) / PPM if has_drawdown else 0.0
        self.loss_allowed[number] = np.inf if limits.loss_allowed is None else limits.loss_allowed
        if state is None:
            return
        index = state.mark.index
        scale = index.base_index / INDEX_SCALE / index.base_equity if index.base_equity > 0 else 0.0
        is_same = self.told[number] > 0
        self.scale[number] = scale
        known = state.mark.peak / INDEX_SCALE
        self.peak[number] = max(known, self.peak[number]) if is_same else known
        self.told[number] = known
        self.days[number] = state.day.day
        self.day_start[number] = state.day.start_equity + state.day.flows
        self.fill_loss[number] = state.day.fill_loss
        self.tripped[number] = FALLEN * (state.drawdown is LimitLevel.TRIPPED) | LOST * (
            state.daily_loss is LimitLevel.TRIPPED
        )


def watch(buckets: Sequence[Bucket], batch: BatchTerms, limits: Sequence[WatchedLimits] = ()) -> Watch:
    """Begin to watch buckets; everybody counts as free until the first tick."""
    watched = watch_arrays(pack(buckets, batch), batch)
    for number, one in enumerate(limits):
        watched.set_limits(number, one)
    return watched


def watch_arrays(book: BatchBook, batch: BatchTerms) -> Watch:
    """Begin to watch buckets that are arrays already, without limits."""
    count = len(book)
    return Watch(
        book=book,
        batch=batch,
        states=np.zeros(count, np.uint8),
        cure_by=np.zeros(count, np.int64),
        scale=np.zeros(count),
        peak=np.zeros(count),
        told=np.zeros(count),
        fall_kept=np.zeros(count),
        days=np.zeros(count, np.int64),
        day_start=np.zeros(count),
        fill_loss=np.zeros(count),
        loss_allowed=np.full(count, np.inf),
        tripped=np.zeros(count, np.uint8),
        skipped=np.zeros(count, np.uint8),
        flags=np.zeros(count, np.uint8),
        before=np.zeros(count, np.uint8),
        sheet=blank_sheet(book),
    )


def riskiest_first(numbers: Numbers, figures: BatchFigures) -> Numbers:
    """Order buckets as `health.risk_key` does: those that owe more than they have and need nothing, then by
    equity over maintenance, the larger requirement first among equals, and by number."""
    equity, maintenance = figures.equity[numbers], figures.maintenance[numbers]
    is_open = maintenance > 0
    group = np.where(is_open, 1, np.where(equity < 0, 0, 2))
    ratio = np.divide(equity, maintenance, out=equity.copy(), where=is_open)
    order: Numbers = numbers[np.lexsort((numbers, -maintenance, ratio, group))]
    return order
