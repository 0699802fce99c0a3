"""One client followed through the crash: warned, called, reduced, liquidated, and who paid what it could not.

The client is chosen from the headline run as the one whose day shows most: it has a hedge beside its bet,
was reduced before it failed, and its failure cost its own pool something. Its figures come from the replay at
every price point; what happened to it comes from the log.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin.calls import State
from ringfence.replay.engine import Run
from ringfence.replay.log import Cause, Row
from ringfence.replay.terms import Ints
from ringfence.replay.world import Ground

_LEVEL_WORDS = {
    State.WARNED: "warned",
    State.CALLED: "margin call",
    State.REDUCE_ONLY: "reduce-only",
}


@dataclass(frozen=True, slots=True)
class Hero:
    """Who is followed: the client, the unit of its bet, its hedge, and the price point at which it failed.

    instrument: number of the bet's instrument; hedge: path of the hedge's compartment, "" where it has none.
    """

    client: int
    unit: int
    instrument: int
    hedge: str
    failed_at: int


@dataclass(frozen=True, slots=True)
class Moment:
    """One price point of the tale: figures in quote units, and what happened then."""

    at: Instant
    point: int
    mark_e10: int
    equity: int
    requirement: int
    words: tuple[str, ...]


@dataclass(slots=True)
class _Fate:
    """What the log says of one unit."""

    reduced: int = 0
    failed_at: int = -1
    cost: int = 0
    settled: dict[int, set[int]] = field(default_factory=dict)


def choose_hero(run: Run, drained: frozenset[int]) -> Hero | None:
    """Choose whom to follow; None where nobody failed.

    drained: clients whose bets cost them other money where they have one account: they show the difference.
    """
    ground, world = run.ground, run.world
    fates: dict[int, _Fate] = {}
    settled: dict[int, set[int]] = {}
    for row in _rows(run):
        _read(run, row, fates, settled)
    failed = [
        (_merit(run, unit, fate, settled, drained), unit)
        for unit, fate in fates.items()
        if fate.failed_at >= 0 and unit // len(ground.kinds) < ground.makers_from
    ]
    if not failed:
        return None
    _, unit = max(failed)
    client = unit // len(ground.kinds)
    hedge = _hedge_of(ground, client, unit)
    return Hero(
        client=client,
        unit=unit,
        instrument=int(world.slots["instrument"][world.units["first_slot"][unit]]),
        hedge=ground.path(int(world.units["comp"][hedge])) if hedge >= 0 else "",
        failed_at=fates[unit].failed_at,
    )


def _merit(
    run: Run, unit: int, fate: "_Fate", settled: Mapping[int, set[int]], drained: frozenset[int]
) -> tuple[int, ...]:
    """Say how much a unit's day shows; first of all, a hedge that nothing touched as the bet failed."""
    client = unit // len(run.ground.kinds)
    hedged_in = _instruments_of(run.ground, _hedge_of(run.ground, client, unit))
    is_apart = bool(hedged_in) and not (hedged_in & settled.get(fate.failed_at, set()))
    seen = int((run.world.first_at[unit, State.WARNED :] >= 0).sum())
    marks = (is_apart, bool(hedged_in), fate.cost > 0, client in drained)
    return *(int(mark) for mark in marks), min(fate.reduced, 2), seen, fate.cost


def tell(run: Run, hero: Hero) -> tuple[Moment, ...]:
    """Tell the day of the hero: one moment per bar, and one for everything that happened to it.

    run: of the same world, with a log and with the hero's unit followed.
    """
    happened: dict[int, list[Ints]] = {}
    for row in _rows(run):
        if _concerns(row, hero):
            happened.setdefault(int(row[1]), []).append(row)
    bar_ends = set(np.flatnonzero(np.diff(run.path.bar)).tolist())
    moments: list[Moment] = []
    said: set[State] = set()
    for point in range(1, hero.failed_at + 1):
        now = State(int(run.world.trace[point, 2]))
        words = _words_of(run, happened.get(point, ()), hero, is_end=point == hero.failed_at)
        if now <= State.HELD:
            said = set()
        elif now in _LEVEL_WORDS and now not in said:
            words.insert(0, _LEVEL_WORDS[now])
            said.add(now)
        if words or point in bar_ends:
            moments.append(_moment(run, hero, point, words))
    return tuple(moments)


def worth_by_sleeve(run: Run, worth: Ints, client: int) -> tuple[tuple[str, int], ...]:
    """Return what a client has in each of its sleeves; worth: from `contagion.sleeve_worth`."""
    sleeves = run.ground.sleeves
    first = client * len(sleeves)
    return tuple((name, int(worth[first + number])) for number, name in enumerate(sleeves))


def _moment(run: Run, hero: Hero, point: int, words: Sequence[str]) -> Moment:
    return Moment(
        at=Instant(int(run.path.at[point])),
        point=point,
        mark_e10=int(run.path.marks_e10[point, hero.instrument]),
        equity=int(run.world.trace[point, 0]),
        requirement=int(run.world.trace[point, 1]),
        words=tuple(words),
    )


# --- reading the log ---------------------------------------------------------------------------


def _rows(run: Run) -> Iterator[Ints]:
    return iter(run.world.log[: int(run.world.logged[0])])


def _read(run: Run, row: Ints, fates: dict[int, _Fate], settled: dict[int, set[int]]) -> None:
    kind, point = Row(int(row[0])), int(row[1])
    if kind is Row.CLOSE:
        fate = fates.setdefault(int(row[2]), _Fate())
        if bool(run.world.units["is_bankrupt"][int(row[2])]):
            fate.reduced += fate.failed_at >= 0
            fate.failed_at = point
        else:
            fate.reduced += 1
    elif kind is Row.FILL and Cause(int(row[2])) is Cause.TAKEOVER:
        failed = int(row[3]) if int(row[3]) >= 0 else int(row[4])
        lot = int(run.ground.terms.instruments["value_per_tick"][int(row[5])])
        fates[failed].cost += int(row[6]) * int(row[7]) * lot
    elif kind is Row.COVER:
        fates.setdefault(int(row[2]), _Fate()).cost += int(row[5])
    elif kind is Row.SETTLE:
        settled.setdefault(point, set()).add(int(row[2]))


def _hedge_of(ground: Ground, client: int, unit: int) -> int:
    """Return the unit of a client's hedge; -1 where it is the same unit or has no position."""
    world = ground.world
    sleeve = client * len(ground.sleeves) + ground.styles.index("hedge")
    other = int(world.sleeves["unit"][sleeve])
    is_open = other >= 0 and world.units["first_slot"][other] < world.units["end_slot"][other]
    return other if other != unit and is_open else -1


def _instruments_of(ground: Ground, unit: int) -> set[int]:
    if unit < 0:
        return set()
    first, end = (int(ground.world.units[name][unit]) for name in ("first_slot", "end_slot"))
    return {int(one) for one in ground.world.slots["instrument"][first:end]}


def _concerns(row: Ints, hero: Hero) -> bool:
    """Say whether a row of the log is about the hero."""
    kind = Row(int(row[0]))
    if kind is Row.FILL:
        return hero.unit in (int(row[3]), int(row[4]))
    return kind in (Row.COVER, Row.LEND, Row.PENALTY) and int(row[2]) == hero.unit


def _words_of(run: Run, rows: Sequence[Ints], hero: Hero, *, is_end: bool) -> list[str]:
    """Say in words what happened to the hero at one price point."""
    ground = run.ground
    words = list(_fill_words(run, rows, hero, "liquidated" if is_end else "reduced"))
    for row in rows:
        kind = Row(int(row[0]))
        if kind is Row.FILL:
            continue
        payer, units = ground.path(int(row[3])), _money(ground, int(row[5]))
        if kind is Row.PENALTY:
            words.append(f"penalty of {units} to {payer}")
        else:
            words.append(f"{payer} pays {units}" + (" against a debt" if kind is Row.LEND else ""))
    return words


def _fill_words(run: Run, rows: Sequence[Ints], hero: Hero, verb: str) -> Iterator[str]:
    """Add the forced fills of one price point up, by how they were closed."""
    ground, closed = run.ground, dict[tuple[Cause, int, int], int]()
    for row in rows:
        if Row(int(row[0])) is Row.FILL:
            other = int(row[4]) if int(row[3]) == hero.unit else int(row[3])
            key = (Cause(int(row[2])), min(other, 0), int(row[7]))
            closed[key] = closed.get(key, 0) + int(row[6])
    for (cause, other, ticks), contracts in closed.items():
        tick = int(ground.terms.instruments["tick_e10"][hero.instrument])
        price = f"{ticks * tick / PRICE_SCALE:,.6g}"
        if cause is Cause.TAKEOVER:
            pool = ground.path(-1 - other)
            yield f"{verb}: {pool} takes over {contracts:,} contracts at {price}, where it is bankrupt"
        elif cause is Cause.DELEVERAGING:
            yield f"{verb}: {contracts:,} contracts closed against winners at {price}, where it is bankrupt"
        else:
            yield f"{verb}: {contracts:,} contracts closed by force at {price}"


def _money(ground: Ground, units: int) -> str:
    whole = 10**ground.names.quote_decimals
    return f"{units / whole:,.2f} {ground.names.coins[0]}"
