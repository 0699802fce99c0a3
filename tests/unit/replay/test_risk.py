"""The compiled figures of a unit are those of margin, unit for unit, in every layout and at every price."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.margin.calls import state_of
from ringfence.margin.health import health
from ringfence.margin.terms import compile_terms
from ringfence.replay.engine import open_world
from ringfence.replay.layouts import LAYOUTS, Layout
from ringfence.replay.paths import price_path
from ringfence.replay.risk import initial_by_unit, scan, unit_figures
from ringfence.replay.study import Scene
from ringfence.replay.terms import Ints, coin_prices
from ringfence.replay.world import Ground, World, fresh

from .twins import bucket_of, prices_of


def opened(scene: Scene, layout: Layout) -> tuple[Ground, World]:
    ground = scene.grounds[layout]
    world = fresh(ground.world)
    open_world(ground, scene.population, world, price_path(scene.market, "low first"))
    return ground, world


def moved(scene: Scene, factors: list[float]) -> Ints:
    ticks = np.maximum(1, scene.market.start_e10 * np.array(factors) // scene.market.ticks_e10)
    return ticks.astype(np.int64) * scene.market.ticks_e10


@settings(max_examples=25)
@given(
    factors=st.lists(st.floats(0.05, 3.0), min_size=4, max_size=4),
    layout=st.sampled_from(LAYOUTS),
    owed=st.integers(0, 10**10),
)
def test_equity_and_requirements_are_those_of_margin(
    scene: Scene, factors: list[float], layout: Layout, owed: int
) -> None:
    ground, world = opened(scene, layout)
    world.units["debt"][::3] = owed
    terms = compile_terms(ground.policy)
    marks = moved(scene, factors)
    ticks, coins = marks // scene.market.ticks_e10, coin_prices(ground.terms, marks)
    margins = initial_by_unit(world, ticks)
    for unit in range(0, len(world.units), 5):
        figures = health(bucket_of(ground, world, unit), prices_of(ground, marks), terms)
        assert unit_figures(world, unit, ticks, coins) == (figures.equity, figures.maintenance)
        assert margins[unit] == figures.initial


@settings(max_examples=15)
@given(factors=st.lists(st.floats(0.6, 1.5), min_size=4, max_size=4))
def test_the_levels_of_a_scan_are_the_states_of_margin(scene: Scene, factors: list[float]) -> None:
    ground, world = opened(scene, "segregated")
    marks = moved(scene, factors)
    ticks, coins = marks // scene.market.ticks_e10, coin_prices(ground.terms, marks)
    found = scan(world, ticks[None, :], coins[None, :], 0, 1)
    terms = compile_terms(ground.policy)
    assert terms.thresholds is not None
    levels = []
    for unit, row in enumerate(world.units):
        if row["first_slot"] == row["end_slot"]:
            continue
        figures = health(bucket_of(ground, world, unit), prices_of(ground, marks), terms)
        levels.append(state_of(figures.equity, figures.maintenance, terms.thresholds))
        assert row["level"] == levels[-1]
    assert (found == 0) == (max(levels) == 5)


def test_a_scan_stops_at_the_first_point_that_endangers_anyone(scene: Scene) -> None:
    ground, world = opened(scene, "segregated")
    path = price_path(scene.market, "low first")
    ticks, coins = path.marks_e10 // scene.market.ticks_e10, coin_prices(ground.terms, path.marks_e10)
    point = scan(world, ticks, coins, 1, len(ticks))
    assert path.bar[point] == 2
    assert (world.units["level"] == 5).any()
    assert (world.first_at[world.units["level"] == 5, 5] == point).all()


def test_closed_units_are_passed_over(scene: Scene) -> None:
    ground, world = opened(scene, "segregated")
    world.units["is_closed"] = 1
    path = price_path(scene.market, "low first")
    ticks, coins = path.marks_e10 // scene.market.ticks_e10, coin_prices(ground.terms, path.marks_e10)
    assert scan(world, ticks, coins, 1, len(ticks)) == len(ticks)


@pytest.mark.parametrize("level", range(5))
def test_each_level_begins_one_unit_below_its_share(scene: Scene, level: int) -> None:
    ground, world = opened(scene, "segregated")
    unit = int(world.units["kind"].argmin())
    row = world.units[unit]
    ticks = scene.market.start_e10 // scene.market.ticks_e10
    coins = coin_prices(ground.terms, scene.market.start_e10)
    worth, needed = unit_figures(world, unit, ticks, coins)
    share = -(-needed * int(world.levels[level]) // 10**6)
    sleeve = world.unit_sleeves[row["first_sleeve"]]
    for change, expected in ((0, level), (-1, level + 1)):
        world.purse[sleeve, 0] += share - worth + change
        scan(world, ticks[None, :], coins[None, :], 0, 1)
        assert row["level"] == expected
        world.purse[sleeve, 0] -= share - worth + change
