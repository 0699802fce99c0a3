"""Performance: transfers change no return, profits add up, drawdown by hand, the class check."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import BTC, BTC_INVERSE, BTC_PERP, PRICES, USDC, bucket, opened, terms

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.margin.exposure import exposures
from ringfence.margin.performance import (
    INDEX_SCALE,
    Exposure,
    Performance,
    Valuation,
    is_neutral,
    measure,
    net_and_gross,
)


def series(*rows: tuple[int, int]) -> list[Valuation]:
    return [Valuation(Instant(number), equity, flow) for number, (equity, flow) in enumerate(rows)]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1_000, 0)], Performance(0, 0, 0, 1_000)),
        ([(1_000, 0), (1_100, 0)], Performance(100, 100_000, 0, 1_000)),
        # Twice ten per cent, with a deposit between: 21 %, though most of the money came late.
        ([(1_000, 0), (1_100, 9_900), (12_100, 0)], Performance(1_200, 210_000, 0, 1_000)),
        # Up a half, down a third of that, money out at the bottom, up a quarter.
        ([(100, 0), (150, 0), (100, -50), (62, 0)], Performance(12, 240_000, 333_333, 62)),
        # What flows after the last valuation is no part of the period.
        ([(1_000, 0), (1_100, 500)], Performance(100, 100_000, 0, 1_000)),
        # The bucket starts with the flow it is given.
        ([(0, 500), (400, 0)], Performance(-100, -200_000, 200_000, 0)),
        ([(100, 0), (-20, 1_000), (2_000, 0)], Performance(900, -1_000_000, 1_200_000, -20)),
    ],
)
def test_by_hand(rows: list[tuple[int, int]], expected: Performance) -> None:
    assert measure(series(*rows)) == expected


def test_nothing_to_measure_or_time_going_back_is_refused() -> None:
    with pytest.raises(BadInput, match="no valuation"):
        measure([])
    with pytest.raises(BadInput, match="valuation 1 was before"):
        measure([Valuation(Instant(5), 1), Valuation(Instant(4), 1)])


MOVES = st.lists(st.tuples(st.integers(-300_000, 300_000), st.integers(-300, 300)), min_size=1, max_size=12)


@given(st.integers(10**9, 10**12), MOVES)
def test_flows_change_no_return(start: int, moves: list[tuple[int, int]]) -> None:
    """The same price moves with and without flows in between: the same time-weighted return."""
    still, moved, rows = start, start, [Valuation(Instant(0), start)]
    plain = [Valuation(Instant(0), start)]
    for number, (change_ppm, flow_permille) in enumerate(moves, start=1):
        still += still * change_ppm // 10**6
        moved += moved * change_ppm // 10**6
        flow = moved * flow_permille // 1_000
        plain.append(Valuation(Instant(number), still))
        rows.append(Valuation(Instant(number), moved, flow))
        moved += flow
    # Only the rounding of the equities themselves may show.
    assert abs(measure(rows).return_ppm - measure(plain).return_ppm) <= 1 + 30 * len(moves) * 10**6 // start


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50), st.integers(-200, 200)), min_size=1))
def test_profits_of_buckets_add_up_to_the_account(steps: list[tuple[int, int, int]]) -> None:
    one, other = [1_000], [2_000]
    ones, others, account = [], [], []
    for number, (gain, loss, moved) in enumerate(steps):
        one[0] += gain
        other[0] += loss
        ones.append(Valuation(Instant(number), one[0], moved))
        others.append(Valuation(Instant(number), other[0], -moved))
        account.append(Valuation(Instant(number), one[0] + other[0]))
        one[0] += moved
        other[0] -= moved
    assert measure(ones).profit + measure(others).profit == measure(account).profit


def test_a_total_loss_stays_one() -> None:
    assert measure(series((100, 0), (0, 100), (500, 0))).return_ppm == -1_000_000
    assert INDEX_SCALE == 10**18


@pytest.mark.parametrize(
    ("parts", "neutral"),
    [
        ([("BTC", (100, -100))], True),
        ([("BTC", (110, -90))], True),
        ([("BTC", (111, -90))], False),
        # Two underlyings do not hedge each other.
        ([("BTC", (100,)), ("ETH", (-100,))], False),
        ([], True),
    ],
)
def test_the_class_check(parts: list[tuple[str, tuple[int, ...]]], neutral: bool) -> None:
    assert is_neutral([Exposure(name, units) for name, units in parts]) is neutral


def test_exposure_joins_coins_and_contracts() -> None:
    carry = bucket(opened(BTC_PERP, -1_000, 60_000), BTC=BTC, USDC=USDC)
    (found,) = exposures(carry, PRICES, terms())
    assert found == Exposure("BTC", (-60_000_100_000, 60_000 * USDC))
    assert is_neutral([found])
    # An inverse short of the coin it is held against: dollars.
    dollars = bucket(opened(BTC_INVERSE, -60_000, "60000.5"), BTC=BTC)
    assert is_neutral(exposures(dollars, PRICES, terms()))
    assert net_and_gross(exposures(bucket(BTC=BTC, BTC_debt=BTC), PRICES, terms())) == (0, 0)
