"""Brackets: derived by continuity, rising, initial over maintenance, bad ones refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import TIERS, USDC

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, divide_up
from ringfence.margin.tiers import TierTable, compile_tiers
from ringfence.policy.model import Tier

TABLE = compile_tiers(TIERS)


@st.composite
def tables(draw: st.DrawFn) -> TierTable:
    floors = sorted(draw(st.sets(st.integers(1, 10**18), max_size=9)))
    rates = sorted(draw(st.integers(0, PPM)) for _ in range(len(floors) + 1))
    return compile_tiers(
        [
            Tier(floor_units=floor, maintenance_ppm=rate, leverage_max=draw(st.integers(1, 200)))
            for floor, rate in zip((0, *floors), rates, strict=True)
        ]
    )


@pytest.mark.parametrize(
    ("notional", "maintenance", "initial"),
    [
        (0, 0, 0),
        (1, 1, 1),
        (99_999_999_999, 1_000_000_000, 2_000_000_000),
        (100_000 * USDC, 1_000 * USDC, 4_000 * USDC),
        (100_000 * USDC + 1, 1_000_000_001, 4_000_000_001),
        (500_000 * USDC, 9_000 * USDC, 20_000 * USDC),
        (1_000_000 * USDC, 19_000 * USDC, 100_000 * USDC),
        (3_000_000 * USDC, 119_000 * USDC, 300_000 * USDC),
    ],
)
def test_requirements_on_each_side_of_each_floor(notional: int, maintenance: int, initial: int) -> None:
    # By hand: each slice at its own rate; initial margin over the leverage of the whole bracket.
    assert TABLE.maintenance(notional) == maintenance
    assert TABLE.initial(notional) == initial


def test_cum_by_hand() -> None:
    assert [cum // PPM for cum in TABLE.cums_ppm] == [0, 1_000 * USDC, 31_000 * USDC]


def test_initial_margin_is_never_below_maintenance() -> None:
    steep = compile_tiers([Tier(floor_units=0, maintenance_ppm=100_000, leverage_max=50)])
    assert steep.initial(1_000) == steep.maintenance(1_000) == 100


@given(tables(), st.integers(0, 2 * 10**18))
def test_maintenance_charges_each_slice_its_own_rate(table: TierTable, notional: int) -> None:
    slices = 0
    for number, floor in enumerate(table.floors):
        ceiling = table.floors[number + 1] if number + 1 < len(table.floors) else notional
        slices += max(0, min(notional, ceiling) - floor) * table.rates_ppm[number]
    assert table.maintenance(notional) == divide_up(slices, PPM)


@given(tables())
def test_continuous_and_rising_at_every_floor(table: TierTable) -> None:
    for number, floor in enumerate(table.floors[1:], start=1):
        below = floor * table.rates_ppm[number - 1] - table.cums_ppm[number - 1]
        assert table.maintenance_ppm(floor) == below
        assert table.maintenance(floor - 1) <= table.maintenance(floor) <= table.maintenance(floor + 1)


@given(tables(), st.integers(0, 2 * 10**18), st.integers(0, 10**12))
def test_requirements_are_ordered_and_never_fall(table: TierTable, notional: int, more: int) -> None:
    assert 0 <= table.maintenance(notional) <= table.initial(notional)
    assert table.maintenance(notional) <= table.maintenance(notional + more)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [(1, 0, 1)],
        [(0, 10, 5), (0, 20, 5)],
        [(0, 10, 5), (5, 9, 5)],
        [(0, 10, 0)],
        [(0, -1, 5)],
    ],
)
def test_brackets_that_cannot_be_meant(rows: list[tuple[int, int, int]]) -> None:
    with pytest.raises(BadInput, match="bracket"):
        compile_tiers(
            [Tier(floor_units=floor, maintenance_ppm=rate, leverage_max=top) for floor, rate, top in rows]
        )
