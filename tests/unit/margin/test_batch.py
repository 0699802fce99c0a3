"""The compiled twin: the same figures but for rounding, and the same decisions exactly."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from margins import (
    BTC,
    BTC_PERP,
    PRICES,
    THRESHOLDS,
    USDC,
    any_bucket,
    any_prices,
    bucket,
    e10,
    linear,
    opened,
    terms,
)

from ringfence.kernel.errors import BadInput
from ringfence.margin.batch import BatchFigures, blank_sheet, compile_batch, pack, remargin
from ringfence.margin.batch_kernel import numbers_flagged
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.calls import state_of
from ringfence.margin.health import Health, health
from ringfence.margin.marks import Prices

ALL = terms()
BATCH = compile_batch(ALL)


def both(buckets: list[Bucket], prices: Prices) -> tuple[BatchFigures, list[Health]]:
    found = remargin(pack(buckets, BATCH), prices, BATCH, lambda number: buckets[number])
    return found, [health(one, prices, ALL) for one in buckets]


def assert_same_decisions(found: BatchFigures, exact: list[Health]) -> None:
    assert list(found.states) == [state_of(one.equity, one.maintenance, THRESHOLDS) for one in exact]
    assert list(found.is_bankrupt) == [one.is_bankrupt for one in exact]
    assert list(found.is_short_of_initial) == [one.equity < one.initial for one in exact]


@given(st.lists(any_bucket(), max_size=6), any_prices())
def test_the_twin_decides_as_the_rule_does(buckets: list[Bucket], prices: Prices) -> None:
    found, exact = both(buckets, prices)
    assert_same_decisions(found, exact)
    for number, one in enumerate(exact):
        # One unit of an inverse position's coin, at most 180,000 dollars for 1e8, is 1,800 units.
        gross = sum(abs(coin.value) for coin in one.coins) + one.gross_notional * 4
        assert found.equity[number] == pytest.approx(one.equity, abs=1e-9 * gross + 10_000)
        assert found.maintenance[number] == pytest.approx(one.maintenance, rel=1e-9, abs=10_000)


@given(st.lists(any_bucket(), max_size=6), st.lists(any_prices(), min_size=2, max_size=4), st.data())
@settings(max_examples=50)
def test_where_a_bracket_was_last_changes_no_bit(
    buckets: list[Bucket], steps: list[Prices], data: st.DataObject
) -> None:
    """A sheet that was used before, for other prices or positions, is as good as a new one."""
    packed = pack(buckets, BATCH)
    sheet = blank_sheet(packed)
    for prices in steps:
        for row in range(len(sheet.brackets)):
            if data.draw(st.booleans()):
                sheet.brackets[row] = data.draw(st.integers(0, 255))
        new, exact = both(buckets, prices)
        found = remargin(packed, prices, BATCH, lambda number: buckets[number], sheet=sheet)
        assert_same_decisions(found, exact)
        for one, other in ((found.equity, new.equity), (found.maintenance, new.maintenance)):
            assert np.array_equal(one, other)
        assert np.array_equal(found.initial, new.initial)
        assert np.array_equal(found.flags, new.flags)


@given(
    arrays(np.uint8, st.integers(0, 40), elements=st.sampled_from([0, 0, 0, 1, 4, 5, 255])),
    st.integers(1, 255),
)
def test_who_is_flagged_is_found_wherever_he_stands(flags: npt.NDArray[np.uint8], wanted: int) -> None:
    assert list(numbers_flagged(flags, wanted)) == list(np.flatnonzero(flags & wanted))


@given(any_bucket(), any_prices(), st.integers(0, 5), st.integers(-2, 2))
def test_the_twin_decides_as_the_rule_does_on_every_edge(
    one: Bucket, prices: Prices, level: int, units: int
) -> None:
    """Set the cash so that equity lies within two units of a boundary."""
    figures = health(one, prices, ALL)
    levels = [0, 1_000_000, 1_050_000, 1_100_000, 1_200_000, 1_500_000]
    target = figures.maintenance * levels[level] // 10**6 + units
    missing = target - figures.equity
    asset = "USDC" if missing >= 0 else "USDC-debt"
    edge = one.with_balance(asset, abs(missing))
    assert abs(health(edge, prices, ALL).equity - target) <= 1
    found, exact = both([edge], prices)
    assert_same_decisions(found, exact)
    assert found.asked_again == 1


@given(st.integers(-3, 3), st.integers(-3, 3))
def test_the_jump_of_initial_margin_at_a_floor_is_decided_exactly(over_floor: int, over_initial: int) -> None:
    # One contract is one unit of notional, so every unit around the floor of 100,000 dollars is reached.
    contract = linear("TINY-PERP", "TINY", size="0.000001", tick="1")
    book = terms(contract)
    held = opened(contract, 100_000 * USDC + over_floor, 1)
    prices = Prices({}, {"TINY-PERP": e10(1)})
    bare = health(bucket(held, USDC=0), prices, book)
    one = bucket(held, USDC=bare.initial + over_initial)
    batch = compile_batch(book)
    found = remargin(pack([one], batch), prices, batch, lambda _: one)
    assert bool(found.is_short_of_initial[0]) == (over_initial < 0)
    assert found.asked_again == 1


def test_a_notional_that_rounding_lifts_to_a_floor_is_decided_exactly() -> None:
    # 99,999,999,999.8 units round up to the floor of 100,000 dollars, where initial margin doubles.
    contract = linear("TINY-PERP", "TINY", size="0.000001", tick="0.0000000001")
    book, prices = terms(contract), Prices({}, {"TINY-PERP": e10("0.6666666667")})
    held = Position("TINY-PERP", 149_999_999_992, 99_999_999_999)
    one = bucket(held, USDC=3_000 * USDC)
    assert health(one, prices, book).initial == 4_000 * USDC
    batch = compile_batch(book)
    found = remargin(pack([one], batch), prices, batch, lambda _: one)
    assert found.is_short_of_initial[0]


def test_every_bracket_and_both_signs_by_table() -> None:
    contracts = [sign * n for n in (1, 1_666, 1_667, 16_666, 16_667, 50_000, 90_000) for sign in (1, -1)]
    buckets = [bucket(opened(BTC_PERP, n, 60_000), USDC=10**15) for n in contracts]
    found, exact = both(buckets, PRICES)
    assert [round(units) for units in found.maintenance] == pytest.approx(
        [one.maintenance for one in exact], abs=1
    )
    assert [round(units) for units in found.initial] == pytest.approx([one.initial for one in exact], abs=1)
    assert found.asked_again == 0


def test_buckets_far_from_every_edge_are_not_asked_again() -> None:
    buckets = [
        bucket(opened(BTC_PERP, 1_000, 60_000), USDC=usdc * USDC, BTC=coins * BTC)
        for usdc in (800, 5_000)
        for coins in (0, 1)
    ]
    found, exact = both(buckets, PRICES)
    assert found.asked_again == 0
    assert_same_decisions(found, exact)


@pytest.mark.parametrize(("over_floor", "asked"), [(-1_000, 0), (-2, 1), (0, 1), (2, 1), (1_000, 0)])
def test_whoever_holds_about_a_floor_is_asked_again_however_rich(over_floor: int, asked: int) -> None:
    contract = linear("TINY-PERP", "TINY", size="0.000001", tick="1")
    batch = compile_batch(terms(contract))
    one = bucket(opened(contract, 100_000 * USDC + over_floor, 1), USDC=10**15)
    found = remargin(pack([one], batch), Prices({}, {"TINY-PERP": e10(1)}), batch, lambda _: one)
    assert found.asked_again == asked


def test_coins_count_where_there_is_no_cash() -> None:
    held = opened(BTC_PERP, 1_000, "60000.1")
    found, exact = both([bucket(held, BTC=BTC), bucket(held, BTC=BTC, ETH=10**18)], PRICES)
    assert found.asked_again == 0
    assert list(found.equity) == pytest.approx([one.equity for one in exact])
    assert exact[1].equity > exact[0].equity > 0


def test_one_thread_or_two_give_the_same_bits() -> None:
    from numba import get_num_threads, set_num_threads

    rng = np.random.default_rng(7)
    buckets = [
        bucket(
            opened(BTC_PERP, int(rng.integers(-(10**5), 10**5)), 60_000),
            Position("BTC-INVERSE", int(rng.integers(-(10**5), 10**5)), 0),
            USDC=int(rng.integers(0, 10**12)),
            BTC=int(rng.integers(0, 10**9)),
        )
        for _ in range(500)
    ]
    threads = get_num_threads()
    packed = pack(buckets, BATCH)
    results = []
    for count in (1, threads):
        set_num_threads(count)
        results.append(remargin(packed, PRICES, BATCH, lambda number: buckets[number]))
    set_num_threads(threads)
    assert np.array_equal(results[0].equity, results[1].equity)
    assert np.array_equal(results[0].states, results[1].states)


@given(st.lists(any_bucket(), min_size=2, max_size=4), any_prices(), any_bucket())
@settings(max_examples=50)
def test_isolation_in_the_batch(buckets: list[Bucket], prices: Prices, other: Bucket) -> None:
    """Put another bucket in the place of the first: the others' figures keep every bit."""
    before, _ = both(buckets, prices)
    after, _ = both([other, *buckets[1:]], prices)
    for name in ("equity", "maintenance", "initial", "states"):
        assert getattr(before, name)[1:].tobytes() == getattr(after, name)[1:].tobytes()


def test_no_buckets_and_no_positions() -> None:
    found, _ = both([], PRICES)
    assert len(found.states) == 0
    found, exact = both([bucket(), bucket(USDC=10**9, JUNK=5)], PRICES)
    assert_same_decisions(found, exact)


@pytest.mark.parametrize(
    ("one", "words"), [(bucket(Position("X", 1, 0)), "no margin terms"), (bucket(DOGE=1), "neither a coin")]
)
def test_what_has_no_terms_is_refused(one: Bucket, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        pack([one], BATCH)


def test_without_thresholds_there_are_no_states() -> None:
    with pytest.raises(BadInput, match="no thresholds"):
        compile_batch(terms(thresholds=None))
