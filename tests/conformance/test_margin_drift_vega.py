"""Drift partial liquidation and isolated buckets; Vega margin levels and isolated mode.

Sources: drift-labs/protocol-v2, programs/drift/src/math/{liquidation,margin}/tests.rs (DR);
vegaprotocol/specs, protocol/0019-MCAL-margin_calculator.md (VG; MCAL-211 and MCAL-232/233 are errata).
"""

from fractions import Fraction

import pytest

from ringfence.margin.models import drift, vega

TEN_DOLLARS = 10 * drift.QUOTE
HUNDRED = 100 * drift.PRICE


def test_base_to_cover_dr1_dr3_dr5() -> None:
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 0, 0, HUNDRED) == 1_000_000_000
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 0, 0, HUNDRED, 1_010_000) == 990_099_009
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 10_000, 10_000, HUNDRED) == 1_250_000_000


def test_no_amount_covers_when_the_fee_is_the_ratio() -> None:
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 100_000, 0, HUNDRED) is None
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 50_000, 50_000, HUNDRED) is None


def test_liability_transfer_dr7_dr9() -> None:
    row = (TEN_DOLLARS, 8_000, 1_100_000, 12_000, 900_000, 9, HUNDRED)
    assert drift.liability_to_cover(*row) == 449_984_250
    assert drift.liability_to_cover(*row, 10_000) == 475_669_504


def test_deposit_index_dr11() -> None:
    assert drift.deposit_interest_delta(11 * drift.QUOTE, 120 * drift.QUOTE) == 916_666_667


def test_isolated_bucket_fails_alone_dr13() -> None:
    cross = drift.together(
        [
            drift.spot_deposit(20_000 * drift.QUOTE, 6, drift.PRICE),
            drift.spot_borrow(100 * drift.BASE, 9, HUNDRED, 12_000),
        ]
    )
    position = drift.perpetual(100 * drift.BASE, 110 * drift.PRICE, HUNDRED, 1_000)
    isolated = drift.together([position, drift.spot_deposit(100 * drift.QUOTE, 6, drift.PRICE)])
    assert cross == drift.Figures(12_000 * drift.QUOTE, 20_000 * drift.QUOTE)
    assert cross.is_healthy
    assert isolated == drift.Figures(1_000 * drift.QUOTE, -900 * drift.QUOTE)
    assert not isolated.is_healthy
    assert not drift.is_account_healthy(cross, [isolated])
    assert drift.is_account_healthy(cross, [])


def test_the_fund_fee_leaves_enough_to_cover() -> None:
    # Ratio 10 %, liquidator 1 %, shortage $10 on 2 base at 100: 5 % is needed, 4 % is left. By hand.
    fee = drift.fund_fee_at_most(TEN_DOLLARS, 2 * drift.BASE, 1_000, 10_000, HUNDRED, 60_000)
    assert fee == 40_000
    assert drift.base_to_cover(TEN_DOLLARS, 1_000, 10_000, fee, HUNDRED) == 2 * drift.BASE


def test_the_share_to_liquidate_grows_with_time() -> None:
    assert drift.share_to_liquidate(100, 0, 0, 150, 1_000) == 1_000
    assert drift.share_to_liquidate(100, 0, 75, 150, 1_000) == 6_000
    assert drift.share_to_liquidate(100, 0, 150, 150, 1_000) == 10_000
    # 60 of 160 were freed already: 10 % of 160 is less than that.
    assert drift.share_to_liquidate(100, 60, 0, 150, 1_000) == 0


def test_a_perpetual_loss_is_spread_by_funding() -> None:
    delta = drift.funding_rate_delta(-drift.QUOTE, 5 * drift.BASE, -5 * drift.BASE)
    assert delta == 100_000 * drift.FUNDING_TO_QUOTE


FACTORS = vega.RiskFactors(Fraction(1, 10), Fraction(1, 10), Fraction(1, 4))


def test_vega_maintenance_vg1() -> None:
    assert vega.maintenance(-1, 15_900, FACTORS, exit_price=100_000) == 5_565
    assert vega.maintenance(-1, 15_900, FACTORS) == 5_565


@pytest.mark.parametrize(
    ("futures", "payment", "expected"), [(525, -20, 525), (595, 20, 605)], ids=["VG3", "VG5"]
)
def test_vega_funding_margin(futures: int, payment: int, expected: int) -> None:
    assert futures + vega.funding_margin(1, payment, Fraction(1, 2)) == expected


def test_vega_isolated_margin_vg7_vg9() -> None:
    assert vega.isolated_margin(-1, 15_900, Fraction(9, 10)) == 14_310
    assert vega.order_margin(-1, -10, 15_910, Fraction(9, 10)) == 143_190


def test_vega_levels_and_exit_cost() -> None:
    # The worked example of the specification: 10 long, 4 bought, bids average 110 under a mark of 144.
    factors = vega.RiskFactors(Fraction(1, 10), Fraction(11, 100), Fraction(1))
    base = vega.maintenance(10, 144, factors, buys=4, sells=8, exit_price=110)
    assert base == Fraction("541.6")
    rising = vega.levels(base, Fraction("1.1"), Fraction("1.2"), Fraction("1.3"))
    assert rising.maintenance < rising.search < rising.initial < rising.release
    assert vega.maintenance(0, 144, factors) == 0


def test_vega_an_order_that_closes_needs_no_margin() -> None:
    assert vega.order_margin(-1, 1, 15_912, Fraction(9, 10)) == 0
    assert vega.order_margin(-3, 10, 145_000, Fraction(9, 10)) == 913_500


def test_vega_funding_payment_is_clamped() -> None:
    free = vega.funding_payment(
        Fraction(1550), Fraction(1600), Fraction(1, 10_000), Fraction(-1), Fraction(1)
    )
    assert free == Fraction("0.16")
    high = vega.funding_payment(Fraction(1550), Fraction(1600), Fraction(0), Fraction(-1), Fraction(1, 100))
    assert high == 1550 - 1600 + 16
