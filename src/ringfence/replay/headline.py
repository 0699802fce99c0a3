"""The one run of each layout that is told in full, and lived again in a book.

Prices slide in small steps, and in the deepest bar the coins fall through one after the other; closures lose
1 %. The bands say what other orders and other slippages give.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ringfence.replay.contagion import Figures, figures_of, sleeve_worth
from ringfence.replay.engine import Run, replay
from ringfence.replay.layouts import LAYOUTS, Layout
from ringfence.replay.paths import told_path
from ringfence.replay.study import Scene
from ringfence.replay.tale import Hero, Moment, choose_hero, tell, worth_by_sleeve

SLIPPAGE_PPM = 10_000


@dataclass(frozen=True, slots=True)
class Headline:
    """The run of each layout, and the day of one client.

    hero: whom the tale follows, None where nobody failed; ends: by layout, what that client has left in each
    sleeve; began: what it began with.
    """

    runs: Mapping[Layout, Run]
    figures: Mapping[Layout, Figures]
    hero: Hero | None
    moments: tuple[Moment, ...]
    began: tuple[tuple[str, int], ...]
    ends: Mapping[Layout, tuple[tuple[str, int], ...]]


def run_headline(scene: Scene) -> Headline:
    """Replay each layout once more, the segregated one with a log and one client followed."""
    path = told_path(scene.market)
    runs: dict[Layout, Run] = {}
    for layout in LAYOUTS:
        runs[layout] = replay(scene.grounds[layout], scene.population, path, SLIPPAGE_PPM)
    ground = scene.grounds["segregated"]
    rows = int(runs["segregated"].world.logged[0])
    logged = replay(ground, scene.population, path, SLIPPAGE_PPM, log_rows=rows)
    hero = choose_hero(logged, _drained(runs["cross"]))
    if hero is not None:
        logged = replay(ground, scene.population, path, SLIPPAGE_PPM, log_rows=rows, followed=hero.unit)
    runs["segregated"] = logged
    return Headline(
        runs=runs,
        figures={layout: figures_of(run) for layout, run in runs.items()},
        hero=hero,
        moments=tell(logged, hero) if hero is not None else (),
        began=_began(logged, hero),
        ends=_ends(runs, hero),
    )


def _drained(run: Run) -> frozenset[int]:
    """Name the clients with a sleeve below zero: something else of theirs, or of others, pays for it."""
    is_below = (sleeve_worth(run) < 0).reshape(-1, len(run.ground.sleeves)).any(axis=1)
    return frozenset(int(client) for client in np.flatnonzero(is_below))


def _began(run: Run, hero: Hero | None) -> tuple[tuple[str, int], ...]:
    """Value what the hero put in, at the first prices."""
    if hero is None:
        return ()
    opening = run.path.marks_e10[0]
    ground = run.ground
    first = hero.client * len(ground.sleeves)
    purse = ground.world.purse[first : first + len(ground.sleeves)]
    prices = [opening[number] for number in ground.terms.price_of[1:]]
    worth = purse[:, 0] + sum((purse[:, 1 + n] / 1e12 * price for n, price in enumerate(prices)), start=0.0)
    return tuple((name, int(units)) for name, units in zip(ground.sleeves, worth, strict=True))


def _ends(runs: Mapping[Layout, Run], hero: Hero | None) -> dict[Layout, tuple[tuple[str, int], ...]]:
    if hero is None:
        return {}
    return {layout: worth_by_sleeve(run, sleeve_worth(run), hero.client) for layout, run in runs.items()}
