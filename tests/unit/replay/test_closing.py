"""Forced closing: the compiled plan is margin's, and what a failure costs is borne in the policy's order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.margin.liquidation import plan_liquidation
from ringfence.margin.terms import compile_terms
from ringfence.replay.bundle import bundle
from ringfence.replay.closing import bankruptcy_ticks, execution, plan
from ringfence.replay.exact import compiled
from ringfence.replay.layouts import Layout
from ringfence.replay.study import Scene
from ringfence.replay.terms import Ints, coin_prices
from ringfence.replay.world import World

from .test_risk import moved, opened
from .twins import bucket_of, execution_e10, prices_of

OUTCOMES = ("healthy", "restored", "closed", "bankrupt")


@compiled
def _plan(tables: World, unit: int, ticks: Ints, prices_e10: Ints, slippage_ppm: int, planned: Ints) -> int:
    return plan(bundle(tables), unit, ticks, prices_e10, slippage_ppm, planned)


@compiled
def _bankruptcy(tables: World, unit: int, ticks: Ints, prices_e10: Ints) -> Ints:
    return bankruptcy_ticks(bundle(tables), unit, ticks, prices_e10)


@compiled
def _execution(tables: World, instrument: int, ticks: int, is_long: bool, slippage_ppm: int) -> int:
    return execution(bundle(tables), instrument, ticks, is_long, slippage_ppm)


@settings(max_examples=40)
@given(
    factors=st.lists(st.floats(0.3, 1.4), min_size=4, max_size=4),
    layout=st.sampled_from(("segregated", "cross")),
    slippage=st.sampled_from((0, 2_500, 10_000, 50_000)),
)
def test_the_plan_is_that_of_margin(
    scene: Scene, factors: list[float], layout: Layout, slippage: int
) -> None:
    ground, world = opened(scene, layout)
    terms = compile_terms(ground.policy)
    marks = moved(scene, factors)
    ticks, coins = marks // scene.market.ticks_e10, coin_prices(ground.terms, marks)
    for unit in range(0, len(world.units), 3):
        row = world.units[unit]
        planned = np.zeros(row["end_slot"] - row["first_slot"], dtype=np.int64)
        outcome = OUTCOMES[_plan(world, unit, ticks, coins, slippage, planned)]
        expected = plan_liquidation(
            bucket_of(ground, world, unit),
            prices_of(ground, marks),
            terms,
            execution_e10(ground, world, unit, ticks, slippage),
        )
        # Margin calls a unit restored only while something is left open.
        is_left = any(one.contracts for one in expected.after.positions)
        assert outcome == expected.outcome or (outcome == "restored" and not is_left)
        names = [
            ground.names.instruments[n]
            for n in world.slots["instrument"][row["first_slot"] : row["end_slot"]]
        ]
        closed = {one.instrument: abs(one.contracts) for one in expected.closures}
        assert planned.tolist() == [closed.get(name, 0) for name in names]
        if expected.takeovers:
            stated = {one.instrument: one.price_e10 for one in expected.takeovers}
            found = _bankruptcy(world, unit, ticks, coins) * scene.market.ticks_e10[_numbers(world, row)]
            assert found.tolist() == [stated.get(name, 0) for name in names]


def _numbers(world: World, row: np.void) -> Ints:
    numbers: Ints = world.slots["instrument"][row["first_slot"] : row["end_slot"]]
    return numbers


@pytest.mark.parametrize(
    ("is_long", "slippage", "expected"),
    [
        (True, 0, 10_000),
        (True, 10_000, 9_900),
        (True, 50_000, 9_500),
        (True, 90_000, 9_500),  # the band of BTC-PERP is 5 %
        (False, 10_000, 10_100),
        (False, 90_000, 10_500),
    ],
)
def test_a_closing_gets_the_mark_less_slippage_inside_the_band(
    scene: Scene, is_long: bool, slippage: int, expected: int
) -> None:
    world = scene.grounds["segregated"].world
    number = scene.market.instruments.index("BTC-PERP")
    assert _execution(world, number, 10_000, is_long, slippage) == expected


@given(st.integers(1, 10**9), st.booleans(), st.integers(0, 100_000))
def test_a_closing_is_rounded_into_the_band(scene: Scene, mark: int, is_long: bool, slippage: int) -> None:
    world = scene.grounds["segregated"].world
    band = int(world.instruments["band_ppm"][0])
    price = _execution(world, 0, mark, is_long, slippage)
    assert abs(price - mark) * 10**6 <= band * mark
    assert price >= 1
