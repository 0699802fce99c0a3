from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.kernel.money import (
    BALANCE_MAX,
    PPM,
    PRICE_SCALE,
    UNITS_MAX,
    apportion,
    divide_down,
    divide_up,
    parse_decimal,
    parse_ratio,
    share_down,
    share_up,
    show_decimal,
    value_down,
    value_up,
)

units = st.integers(0, UNITS_MAX)
signed_units = st.integers(-UNITS_MAX, UNITS_MAX)
decimals = st.integers(0, 24)


def test_the_largest_amounts_fit_two_limbs():
    assert UNITS_MAX == 170141183460469231731687303715884105727
    assert BALANCE_MAX == 340282366920938463463374607431768211455
    assert (BALANCE_MAX + 1).bit_length() == 129


@pytest.mark.parametrize(
    ("numerator", "denominator", "down", "up"),
    [
        (0, 3, 0, 0),
        (1, 3, 0, 1),
        (2, 3, 0, 1),
        (3, 3, 1, 1),
        (4, 3, 1, 2),
        (-1, 3, -1, 0),
        (-3, 3, -1, -1),
        (-4, 3, -2, -1),
        (10**40 + 1, 10**20, 10**20, 10**20 + 1),
    ],
)
def test_division_rounds_the_way_its_name_says(numerator, denominator, down, up):
    assert divide_down(numerator, denominator) == down
    assert divide_up(numerator, denominator) == up


@given(signed_units, st.integers(1, UNITS_MAX))
def test_division_meets_its_exact_law(numerator, denominator):
    down, up = divide_down(numerator, denominator), divide_up(numerator, denominator)
    assert down * denominator <= numerator < (down + 1) * denominator
    assert (up - 1) * denominator < numerator <= up * denominator


@pytest.mark.parametrize(
    ("amount", "ppm", "down", "up"),
    [
        (1_000_000, 1, 1, 1),
        (999_999, 1, 0, 1),
        (1_000_001, 1, 1, 2),
        (1, 999_999, 0, 1),
        (1, PPM, 1, 1),
        (0, PPM, 0, 0),
        (7, 0, 0, 0),
        (10**18, 66_667, 66_667 * 10**12, 66_667 * 10**12),
    ],
)
def test_a_share_is_held_rounded_up_and_counted_rounded_down(amount, ppm, down, up):
    assert share_down(amount, ppm) == down
    assert share_up(amount, ppm) == up


@given(units, st.integers(0, 10 * PPM))
def test_a_share_meets_its_exact_law(amount, ppm):
    up, down = share_up(amount, ppm), share_down(amount, ppm)
    assert (up - 1) * PPM < amount * ppm <= up * PPM
    assert down * PPM <= amount * ppm < (down + 1) * PPM


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        (10, [1, 1, 1], (4, 3, 3)),
        (11, [1, 1, 1], (4, 4, 3)),
        (12, [1, 1, 1], (4, 4, 4)),
        (1, [1, 2], (0, 1)),
        (100, [0, 5, 0], (0, 100, 0)),
        (0, [3, 4], (0, 0)),
        (0, [0, 0], (0, 0)),
        (0, [], ()),
        (3, [2, 3, 5], (1, 1, 1)),
        (7, [10**30, 10**30], (4, 3)),
    ],
)
def test_a_total_is_split_by_largest_remainder(total, weights, parts):
    assert apportion(total, weights) == parts


@pytest.mark.parametrize(
    ("total", "weights", "words"),
    [
        (1, [], "1 units cannot be split"),
        (1, [0, 0], "1 units cannot be split"),
        (-1, [1], "must not be negative"),
        (1, [2, -1], "must not be negative"),
        (0, [-1, 1], "must not be negative"),
    ],
)
def test_a_total_without_fair_weights_is_refused(total, weights, words):
    with pytest.raises(ValueError, match=words):
        apportion(total, weights)


@given(units, st.lists(units, min_size=1, max_size=12).filter(any))
def test_the_parts_of_a_split_meet_their_exact_law(total, weights):
    parts, whole = apportion(total, weights), sum(weights)
    assert sum(parts) == total
    remainders = [total * weight % whole for weight in weights]
    extra = [part - total * weight // whole for part, weight in zip(parts, weights, strict=True)]
    assert set(extra) <= {0, 1}
    rank = [(-remainder, index) for index, remainder in enumerate(remainders)]
    raised = [rank[index] for index, units_more in enumerate(extra) if units_more]
    level = [rank[index] for index, units_more in enumerate(extra) if not units_more]
    assert not raised or not level or max(raised) < min(level)


@pytest.mark.parametrize(
    ("amount", "digits", "price_e10", "quote_digits", "down", "up"),
    [
        # 1 BTC at 100,000 USDC
        (10**8, 8, 100_000 * PRICE_SCALE, 6, 100_000 * 10**6, 100_000 * 10**6),
        # 1 satoshi at 100,000 USDC is 0.001 USDC
        (1, 8, 100_000 * PRICE_SCALE, 6, 1_000, 1_000),
        # 1 satoshi at 99 USDC is 0.99 millionths of a dollar
        (1, 8, 99 * PRICE_SCALE, 6, 0, 1),
        (1, 8, 100 * PRICE_SCALE, 6, 1, 1),
        (1, 8, 101 * PRICE_SCALE, 6, 1, 2),
        # one wei, and 170 ether, which do not fit 64 bits
        (1, 18, 4_000 * PRICE_SCALE, 6, 0, 1),
        (170 * 10**18, 18, 4_000 * PRICE_SCALE, 6, 680_000 * 10**6, 680_000 * 10**6),
        # a whole-number asset at the smallest price there is
        (1, 0, 1, 0, 0, 1),
        (10**10, 0, 1, 0, 1, 1),
        (10**10 + 1, 0, 1, 0, 1, 2),
        (-1, 8, 99 * PRICE_SCALE, 6, -1, 0),
    ],
)
def test_an_amount_is_valued_at_a_price(amount, digits, price_e10, quote_digits, down, up):
    assert value_down(amount, digits, price_e10, quote_digits) == down
    assert value_up(amount, digits, price_e10, quote_digits) == up


@given(signed_units, decimals, st.integers(0, 10**18), decimals)
def test_a_value_meets_its_exact_law(amount, digits, price_e10, quote_digits):
    exact = Fraction(amount, 10**digits) * Fraction(price_e10, PRICE_SCALE) * 10**quote_digits
    down = value_down(amount, digits, price_e10, quote_digits)
    up = value_up(amount, digits, price_e10, quote_digits)
    assert down <= exact < down + 1
    assert up - 1 < exact <= up


@pytest.mark.parametrize(
    ("text", "digits", "amount"),
    [
        ("0", 0, 0),
        ("0", 6, 0),
        ("0.0", 1, 0),
        ("1", 0, 1),
        ("1000.25", 6, 1_000_250_000),
        ("1000.250000", 6, 1_000_250_000),
        ("0.000001", 6, 1),
        ("20", 18, 20 * 10**18),
        (str(UNITS_MAX), 0, UNITS_MAX),
    ],
)
def test_a_plain_decimal_becomes_whole_units(text, digits, amount):
    assert parse_decimal(text, digits) == amount


@pytest.mark.parametrize(
    ("text", "digits", "words"),
    [
        ("", 6, "not a plain decimal"),
        (".", 6, "not a plain decimal"),
        (".5", 6, "not a plain decimal"),
        ("5.", 6, "not a plain decimal"),
        ("-1", 6, "not a plain decimal"),
        ("+1", 6, "not a plain decimal"),
        ("1e3", 6, "not a plain decimal"),
        ("1_000", 6, "not a plain decimal"),
        ("1,000", 6, "not a plain decimal"),
        (" 1", 6, "not a plain decimal"),
        ("1.2.3", 6, "not a plain decimal"),
        ("1.-2", 6, "not a plain decimal"),
        ("٣", 6, "not a plain decimal"),
        ("1.٣", 6, "not a plain decimal"),
        ("²", 6, "not a plain decimal"),
        ("007", 6, "begins with a zero"),
        ("00", 6, "begins with a zero"),
        ("0.0000001", 6, "at most 6 are possible"),
        ("1.0", 0, "at most 0 are possible"),
        (str(UNITS_MAX + 1), 0, "over the largest amount"),
        ("9" * 80, 0, "over the largest amount"),
        ("9" * 81, 0, "81 characters is too long"),
        ("9" * 10_000_000, 0, "10000000 characters is too long"),
    ],
)
def test_what_is_no_plain_decimal_is_refused_with_words(text, digits, words):
    with pytest.raises(ValueError, match=words):
        parse_decimal(text, digits)


@pytest.mark.parametrize(
    ("amount", "digits", "text"),
    [
        (0, 6, "0"),
        (1, 6, "0.000001"),
        (1_000_000, 6, "1"),
        (1_500_000, 6, "1.5"),
        (100, 0, "100"),
        (-1_500_000, 6, "-1.5"),
        (10**20, 18, "100"),
    ],
)
def test_units_are_written_without_needless_zeros(amount, digits, text):
    assert show_decimal(amount, digits) == text


@given(units, decimals)
def test_a_shown_amount_is_read_back(amount, digits):
    assert parse_decimal(show_decimal(amount, digits), digits) == amount


@given(units, st.integers(0, 30))
def test_a_shown_amount_is_read_as_the_exact_fraction(amount, digits):
    assert parse_ratio(show_decimal(amount, digits)) == Fraction(amount, 10**digits)


@pytest.mark.parametrize(
    ("text", "ratio"),
    [("0", Fraction(0)), ("0.0001", Fraction(1, 10_000)), ("1.50", Fraction(3, 2)), ("12", Fraction(12))],
)
def test_a_ratio_is_exact(text, ratio):
    assert parse_ratio(text) == ratio


@pytest.mark.parametrize("text", ["", "1/3", "-1", "1.", ".1", "01", "1e-3", "0." + "1" * 79])
def test_what_is_no_ratio_is_refused(text):
    with pytest.raises(ValueError, match=r"decimal|zero|too long"):
        parse_ratio(text)
