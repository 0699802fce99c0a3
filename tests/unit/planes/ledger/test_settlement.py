"""What positions owe: exact, netting to zero, and no unit further from the exact share than one."""

from fractions import Fraction

import pytest
from harbour import rules_of
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.settlement import fee_down, fee_up, fill_value, funding_payments, rebased_values

INSTRUMENTS = rules_of().instruments
LINEAR, INVERSE = INSTRUMENTS["BTC-PERP"], INSTRUMENTS["BTC-USD"]


def e10(price):
    return round(price * PRICE_SCALE)


@pytest.mark.parametrize(
    ("instrument", "contracts", "price", "decimals", "value"),
    [
        (LINEAR, 1, 100_000, 6, 100_000_000),
        (LINEAR, -3, 99_999.9, 6, -299_999_700),
        (LINEAR, 0, 100_000, 6, 0),
        # 700 dollars at 30,000 are 0.0233333... bitcoin, and a long is worth minus that.
        (INVERSE, 7, 30_000, 8, -2_333_333),
        (INVERSE, -7, 30_000, 8, 2_333_333),
        (INVERSE, 3, 30_000, 8, -1_000_000),
    ],
)
def test_a_fill_has_its_value_in_quote_units(instrument, contracts, price, decimals, value):
    assert fill_value(instrument, contracts, e10(price), decimals) == value


@pytest.mark.parametrize(
    ("instrument", "contracts", "price_e10", "decimals", "values"),
    [
        # Four contracts are 0.0133333... bitcoin: the first by name carries the unit over.
        (INVERSE, {"b": 2, "a": 2, "c": -4, "d": 0}, e10(30_000), 8, [-666_666, -666_667, 1_333_333, 0]),
        # What is left of each contract is a whole unit over so many of them.
        (INVERSE, {"a": 99, "b": -99}, 99, 8, [-(10**20), 10**20]),
    ],
)
def test_a_settlement_counts_to_the_last_unit(instrument, contracts, price_e10, decimals, values):
    assert rebased_values(instrument, contracts, price_e10, decimals) == dict(
        zip(contracts, values, strict=True)
    )


@pytest.mark.parametrize(
    ("contracts", "rate_e10", "has_rounding", "owed", "residue"),
    [
        # A rate of 1e-10 of two contracts at 100,000 dollars, 200,000,000 units, is 0.02 of a unit.
        ({"a": 2, "b": -2, "c": 0}, 1, True, {"a": -1, "b": 0}, 1),
        ({"a": 2, "b": -2, "c": 0}, 1, False, {"a": 0, "b": 0}, 0),
        ({"a": 2, "b": -2, "c": 0}, -1, True, {"a": 0, "b": -1}, 1),
        ({"a": 1, "b": 1, "c": -2}, 0, True, {"a": 0, "b": 0, "c": 0}, 0),
    ],
)
def test_funding_is_paid_by_one_side_to_the_other(contracts, rate_e10, has_rounding, owed, residue):
    payments = funding_payments(LINEAR, contracts, rate_e10, e10(100_000), 6, has_rounding)
    assert (payments.owed, payments.residue_units) == (owed, residue)


BOOKS = st.lists(st.integers(-1000, 1000), min_size=1, max_size=8).map(
    lambda counts: {f"b{n}": count for n, count in enumerate([*counts, -sum(counts)])}
)
TICKS = st.integers(1, 4_000_000)


def exact(instrument, contracts, price_e10, decimals):
    size = Fraction(contracts * instrument.contract_size_e10 * 10**decimals)
    if instrument.payoff == "inverse":
        return -size / price_e10
    return size * price_e10 / PRICE_SCALE**2


@given(BOOKS, TICKS)
def test_rebased_values_sum_to_zero_and_are_exact_where_they_can_be(book, ticks):
    values = rebased_values(LINEAR, book, ticks * LINEAR.tick_e10, 6)
    assert values == {
        bucket: fill_value(LINEAR, count, ticks * LINEAR.tick_e10, 6) for bucket, count in book.items()
    }
    assert sum(values.values()) == 0


@given(BOOKS, TICKS)
def test_inverse_values_sum_to_zero_within_one_unit_of_exact(book, ticks):
    price = ticks * INVERSE.tick_e10
    values = rebased_values(INVERSE, book, price, 8)
    assert sum(values.values()) == 0
    assert values.keys() == book.keys()
    for bucket, count in book.items():
        assert abs(values[bucket] - exact(INVERSE, count, price, 8)) < 1 + Fraction(1, 2)
        assert values[bucket] * -count >= 0


@given(BOOKS, TICKS, st.integers(-(10**8), 10**8), st.booleans())
def test_funding_nets_to_zero_with_at_most_one_unit_left(book, ticks, rate_e10, has_rounding):
    price = ticks * LINEAR.tick_e10
    payments = funding_payments(LINEAR, book, rate_e10, price, 6, has_rounding)
    assert sum(payments.owed.values()) + payments.residue_units == 0
    assert payments.residue_units in ((0, 1) if has_rounding else (0,))
    for bucket, owed in payments.owed.items():
        fair = -exact(LINEAR, book[bucket], price, 6) * rate_e10 / PRICE_SCALE
        assert abs(owed - fair) < 2
        assert owed * fair >= 0


@given(st.integers(1, 10**6), TICKS, st.integers(1, 10**6))
def test_a_fee_rounds_up_and_a_rebate_down(contracts, ticks, ppm):
    price = ticks * LINEAR.tick_e10
    fair = exact(LINEAR, contracts, price, 6) * ppm / 10**6
    up, down = (fee(LINEAR, contracts, price, 6, ppm) for fee in (fee_up, fee_down))
    assert up - 1 < fair <= up
    assert down <= fair < down + 1


# One contract of 0.001 BTC at half a millionth of a dollar off the tick is no whole unit.
OFF_TICK = 60_000 * PRICE_SCALE + PRICE_SCALE // 2_000


@pytest.mark.parametrize(
    ("instrument", "book", "price_e10", "values"),
    [
        (
            LINEAR,
            {"a": 3, "b": -2, "c": -1},
            OFF_TICK,
            {"a": 180_000_001, "b": -120_000_001, "c": -60_000_000},
        ),
        (LINEAR, {"a": 1, "b": -1}, OFF_TICK, {"a": 60_000_000, "b": -60_000_000}),
        (INVERSE, {"a": 1, "b": 2, "c": -3}, e10(70_000), {"a": -142_857, "b": -285_714, "c": 428_571}),
        (INVERSE, {"a": 1, "b": -1}, e10(70_000), {"a": -142_857, "b": 142_857}),
        (INVERSE, {"a": 2, "b": -2}, e10(50_000), {"a": -400_000, "b": 400_000}),
        # One contract is a 99th of a unit more than a whole number of them, and 99 are a whole number.
        (INVERSE, {"a": 99, "b": -99}, 99, {"a": -(10**20), "b": 10**20}),
    ],
)
def test_each_side_is_rebased_to_whole_units(instrument, book, price_e10, values):
    decimals = 6 if instrument is LINEAR else 8
    assert rebased_values(instrument, book, price_e10, decimals) == values


def test_a_value_is_exact_however_large():
    vast = INVERSE.model_copy(update={"contract_size_e10": (10**40 + 1) * PRICE_SCALE})
    values = rebased_values(vast, {"a": 1, "b": -1}, PRICE_SCALE, 0)
    assert values == {"a": -(10**40 + 1), "b": 10**40 + 1}


def test_whoever_holds_nothing_pays_no_funding_and_the_lowest_rate_has_its_side():
    book = {"a": 1_000_000, "b": -1_000_000, "flat": 0}
    for rate_e10 in (1, -1):
        payments = funding_payments(LINEAR, book, rate_e10, e10(100_000), 6, False)
        assert payments.owed == {"a": -10_000 * rate_e10, "b": 10_000 * rate_e10}
    one = funding_payments(LINEAR, {"a": 1, "b": -1}, 10**8, e10(100_000), 6, False)
    assert one.owed == {"a": -1_000_000, "b": 1_000_000}
