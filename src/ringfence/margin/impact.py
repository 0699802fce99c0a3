"""What another policy would cost the people in a book, computed before it is adopted.

Every bucket is valued twice at the same prices, under the terms in force and under the new ones:

    calls           buckets that would be called, or nearer to being closed, and what they would have to add
    liquidations    buckets that would be closed, which contracts, and the fees and penalties of it
    frozen          units that may leave a compartment now and could not any more
    limits          what already counts against each limit, and what the new one would leave

A bucket that cannot be valued under one of the two (a price is missing or stale, its margin mode is not
built) is listed with the reason in words, never passed over.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PPM, divide_up
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import State, state_of
from ringfence.margin.health import Health, health
from ringfence.margin.liquidation import plan_liquidation
from ringfence.margin.marks import Prices
from ringfence.margin.reading import bucket_in, buckets_in, prices_in
from ringfence.margin.releasable import releasable
from ringfence.margin.terms import Terms, compile_terms
from ringfence.planes.ledger.adoption import cap_of, carried
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.limits import used_units
from ringfence.planes.ledger.rules import Place, Rules
from ringfence.policy.model import Cap

RELEASABLE = "releasable"


@dataclass(frozen=True, slots=True)
class Standing:
    """A bucket under one policy: its state, and figures in numeraire units."""

    state: State
    equity: int
    maintenance: int
    initial: int


@dataclass(frozen=True, slots=True)
class BucketImpact:
    """A bucket before and after: None where it cannot be valued, with `words` that say why.

    call_units: numeraire it would have to add to cure a call; closed: contracts that would be closed, by
    instrument; closing_units: fees and penalties of that in their quote's units, added up as they are.
    """

    bucket: str
    before: Standing | None
    after: Standing | None
    call_units: int = 0
    closed: tuple[tuple[str, int], ...] = ()
    closing_units: int = 0
    words: str = ""

    @property
    def is_called(self) -> bool:
        """Say whether the new policy alone brings a call, or worse."""
        return _level(self.after) >= State.CALLED > _level(self.before)

    @property
    def is_liquidated(self) -> bool:
        """Say whether the new policy alone would close it."""
        return _level(self.after) is State.LIQUIDATE is not _level(self.before)


@dataclass(frozen=True, slots=True)
class Frozen:
    """Units that may leave a compartment now, and those that could under the new policy."""

    compartment: str
    asset: str
    before_units: int
    after_units: int

    @property
    def units(self) -> int:
        """Units that would be frozen."""
        return self.before_units - self.after_units


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What counts against a limit now; after_cap None: no limit counts it any more."""

    gate: str
    scope: str
    members: tuple[str, ...]
    asset: str
    used_units: int
    before_cap: Cap | None
    after_cap: Cap | None

    @property
    def left_units(self) -> int | None:
        """Units the new limit would leave at once; None where there is none."""
        return None if self.after_cap is None else max(0, self.after_cap.units - self.used_units)


@dataclass(frozen=True, slots=True)
class Impact:
    """Everything that changes for somebody; buckets and compartments that feel nothing are left out."""

    buckets: tuple[BucketImpact, ...]
    frozen: tuple[Frozen, ...]
    limits: tuple[LimitUse, ...]
    valued: int


def no_report(count: int) -> None:
    """Tell nobody."""


def impact(state: BookState, new: Rules, at: Instant, on_bucket: Callable[[int], None] = no_report) -> Impact:
    """Compare a book under its rules and under others, at the prices it holds."""
    sides = (_Side(state, state.rules, at), _Side(state, new, at))
    buckets = []
    paths = buckets_in(state)
    for path in paths:
        found = _bucket_impact(path, *sides)
        if found is not None:
            buckets.append(found)
        on_bucket(1)
    return Impact(tuple(buckets), tuple(_frozen(state, *sides)), tuple(_limits(state, new, at)), len(paths))


class _Side:
    """A book as one of the two policies sees it."""

    def __init__(self, state: BookState, rules: Rules, at: Instant) -> None:
        self.rules = rules
        self._state = state
        self.terms: Terms = compile_terms(rules.policy)
        self.prices: Prices = prices_in(state, at, rules)

    def bucket(self, path: str) -> Bucket:
        """Read a bucket in the margin mode that this policy gives it; BadInput where it has none."""
        place = self.rules.place(path)
        mode = self.rules.policy.compartments[place.rule.pattern].margin if place else None
        if mode is None or mode == "portfolio":
            raise BadInput(f"{path} has margin: {mode or 'none'}")
        return replace(bucket_in(self._state, path), mode=mode)

    def standing(self, path: str) -> tuple[Standing, Health, Bucket]:
        """Value a bucket; BadInput where that cannot be done."""
        bucket = self.bucket(path)
        found = health(bucket, self.prices, self.terms)
        thresholds = self.terms.thresholds
        state = state_of(found.equity, found.maintenance, thresholds) if thresholds else State.FREE
        return Standing(state, found.equity, found.maintenance, found.initial), found, bucket

    def may_leave(self, place: Place, asset: str) -> int:
        """Return the units that people may move out of a compartment here, limits left out."""
        held = self._state.balance(place.path, asset)
        own = self.rules.place(place.path)
        most = 0
        if own is None or held <= 0:
            return 0
        for (_, start, _), leading in self.rules.ways.items():
            for way in leading:
                gate = way.gate
                if start != own.rule.index or gate.accrual or gate.unenforced or not way.accepts(asset):
                    continue
                if RELEASABLE not in gate.conditions:
                    return held
                most = max(most, self._released(place.path, asset))
        return most

    def _released(self, path: str, asset: str) -> int:
        try:
            return releasable(self.bucket(path), asset, self.prices, self.terms)
        except BadInput:
            return 0


def _bucket_impact(path: str, old: _Side, new: _Side) -> BucketImpact | None:
    try:
        before, _, _ = old.standing(path)
    except BadInput as error:
        return BucketImpact(path, None, None, words=f"cannot be valued now: {error}")
    try:
        after, _, bucket = new.standing(path)
    except BadInput as error:
        return BucketImpact(path, before, None, words=f"could not be valued: {error}")
    if after == before:
        return None
    found = BucketImpact(path, before, after, _call_units(after, new.terms))
    if not found.is_liquidated:
        return found
    plan = plan_liquidation(bucket, new.prices, new.terms, new.prices.marks)
    closures = ((row.instrument, abs(row.contracts)) for row in plan.closures)
    takeovers = ((row.instrument, abs(row.contracts)) for row in plan.takeovers)
    costs = sum(row.fee + row.penalty for row in plan.closures)
    return replace(found, closed=(*closures, *takeovers), closing_units=costs)


def _level(standing: Standing | None) -> State:
    return State.FREE if standing is None else standing.state


def _call_units(standing: Standing, terms: Terms) -> int:
    """Return what a called bucket lacks of the level at which its call is cured."""
    if terms.thresholds is None or standing.state < State.CALLED:
        return 0
    return divide_up(standing.maintenance * terms.thresholds.call.at_ppm, PPM) - standing.equity


def _frozen(state: BookState, old: _Side, new: _Side) -> Iterator[Frozen]:
    for path, asset, units in sorted(state.balances()):
        place = state.rules.place(path)
        rule = state.rules.assets.get(asset)
        if place is None or rule is None or units <= 0 or rule.debt_in or place.rule.two_sided:
            continue
        before, after = old.may_leave(place, asset), new.may_leave(place, asset)
        if after < before:
            yield Frozen(path, asset, before, after)


def _limits(state: BookState, new: Rules, at: Instant) -> Iterator[LimitUse]:
    changed = carried(state.ledger.tables, state.rules, new, at)
    for key, counter in sorted(state.windows().items()):
        was, is_now = cap_of(state.rules, key), cap_of(new, key)
        if was is None or was == is_now:
            continue
        used = used_units(was, counter, at)
        moved = changed.get(key)
        if is_now is not None and moved is not None:
            used = used_units(is_now, moved, at)
        if used:
            yield LimitUse(*key, used, was, is_now)
