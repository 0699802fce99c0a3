"""The trade verdict: each rule alone refuses, closing always goes, the first reason in order answers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from margins import BTC_INVERSE, BTC_PERP, PRICES, USDC, any_bucket, bucket, e10, opened, terms

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import Instant
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import State
from ringfence.margin.limits import LimitLevel, LimitState, first_limit_state
from ringfence.margin.trading import IntendedFill, TradeVerdict, trade_verdict
from ringfence.policy.model import BucketLimits

ALL = terms()
LIMITS = BucketLimits(leverage=5, drawdown_ppm=150_000, daily_loss={"USDC": 5_000 * USDC})
ALLOWED = 5_000 * USDC


def judge(
    one: Bucket,
    *fills: tuple[str, int, str, str],
    state: State = State.FREE,
    limit_state: LimitState | None = None,
    limits: BucketLimits = LIMITS,
    allowed: int | None = ALLOWED,
    fee: int = 0,
) -> TradeVerdict:
    intended = [
        IntendedFill(name, contracts, e10(price), e10(index), fee) for name, contracts, price, index in fills
    ]
    start = limit_state or first_limit_state(sum(one.balances.values()), Instant(0))
    return trade_verdict(one, intended, PRICES, ALL, state, limits, start, allowed)


CASH = bucket(USDC=20_000 * USDC)
BUY = ("BTC-PERP", 1_000, "60000.1", "60000.1")


def test_a_good_fill_is_allowed_and_its_figures_come_with_it() -> None:
    verdict = judge(CASH, BUY, fee=30 * USDC)
    assert verdict.reason is None
    assert not verdict.is_closing
    assert verdict.after.equity == 19_970 * USDC
    assert verdict.after.initial == 1_200_002_000
    assert (verdict.loss, verdict.lost_after, verdict.loss_allowed) == (0, 0, ALLOWED)


@pytest.mark.parametrize(
    ("usdc", "reason"), [(1_200_002_000, None), (1_200_001_999, Reason.INITIAL_MARGIN_TOO_LOW)]
)
def test_initial_margin(usdc: int, reason: Reason | None) -> None:
    assert judge(bucket(USDC=usdc), BUY, limits=BucketLimits()).reason is reason


@pytest.mark.parametrize(
    ("usdc", "reason"), [(12_000_020_000, None), (12_000_019_999, Reason.LEVERAGE_CAP_EXCEEDED)]
)
def test_leverage(usdc: int, reason: Reason | None) -> None:
    assert judge(bucket(USDC=usdc), BUY).reason is reason


@pytest.mark.parametrize(("price", "reason"), [("65000.1", None), ("65000.2", Reason.DAILY_LOSS_EXCEEDED)])
def test_the_loss_against_the_index_counts_at_once(price: str, reason: Reason | None) -> None:
    rich = bucket(USDC=10**6 * USDC)
    verdict = judge(rich, ("BTC-PERP", 1_000, price, "60000.1"))
    assert verdict.reason is reason
    # A sale below the index loses as a purchase above it does; one above it loses nothing.
    assert judge(rich, ("BTC-PERP", -1_000, "55000.0", "60000.1")).reason is Reason.DAILY_LOSS_EXCEEDED
    assert judge(rich, ("BTC-PERP", -1_000, "90000.0", "60000.1")).loss == 0
    assert judge(rich, ("BTC-PERP", 1_000, price, "60000.1"), allowed=None).reason is None


def test_earlier_losses_of_the_day_count_too() -> None:
    rich = bucket(USDC=10**6 * USDC)
    lost = first_limit_state(10**6 * USDC, Instant(0)).after_fill(4_900 * USDC, is_closing=False)
    assert judge(rich, ("BTC-PERP", 1_000, "60100.1", "60000.1"), limit_state=lost).reason is None
    verdict = judge(rich, ("BTC-PERP", 1_000, "60100.2", "60000.1"), limit_state=lost)
    assert verdict.reason is Reason.DAILY_LOSS_EXCEEDED


@pytest.mark.parametrize(
    ("state", "reason"),
    [(State.CALLED, None), (State.REDUCE_ONLY, Reason.REDUCE_ONLY), (State.LIQUIDATE, Reason.REDUCE_ONLY)],
)
def test_the_state_of_the_bucket(state: State, reason: Reason | None) -> None:
    assert judge(CASH, BUY, state=state).reason is reason


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("leverage", Reason.LEVERAGE_CAP_EXCEEDED),
        ("drawdown", Reason.DRAWDOWN_EXCEEDED),
        ("daily_loss", Reason.DAILY_LOSS_EXCEEDED),
    ],
)
def test_a_tripped_limit(kind: str, reason: Reason) -> None:
    start = first_limit_state(20_000 * USDC, Instant(0))
    assert judge(CASH, BUY, limit_state=replace(start, **{kind: LimitLevel.WARNED})).reason is None
    assert judge(CASH, BUY, limit_state=replace(start, **{kind: LimitLevel.TRIPPED})).reason is reason


def test_an_isolated_bucket_holds_one_instrument() -> None:
    alone = bucket(opened(BTC_PERP, 100, "60000.1"), USDC=20_000 * USDC, mode="isolated")
    assert judge(alone, BUY).reason is None
    other = ("ETH-PERP", 1, "3000.01", "3000.01")
    assert judge(alone, other).reason is Reason.TRADE_NOT_ALLOWED
    closed = bucket(opened(BTC_PERP, 0, "60000.1"), USDC=20_000 * USDC, mode="isolated")
    assert judge(closed, other).reason is None
    assert judge(replace(alone, mode="cross"), other).reason is None


def test_the_first_reason_in_order_answers() -> None:
    verdict = judge(bucket(USDC=1), BUY, state=State.LIQUIDATE)
    assert verdict.reason is Reason.REDUCE_ONLY
    assert judge(bucket(USDC=1), BUY).reason is Reason.INITIAL_MARGIN_TOO_LOW


@pytest.mark.parametrize(("contracts", "closes"), [(-1, True), (-1_000, True), (-1_001, False), (1, False)])
def test_what_is_closing(contracts: int, closes: bool) -> None:
    long = bucket(opened(BTC_PERP, 1_000, "60000.1"), USDC=0)
    verdict = judge(long, ("BTC-PERP", contracts, "60000.1", "60000.1"), state=State.LIQUIDATE)
    assert verdict.is_closing is closes
    assert (verdict.reason is None) is closes


def test_closing_twice_over_is_not_closing() -> None:
    long = bucket(opened(BTC_PERP, 1_000, "60000.1"), USDC=0)
    half = ("BTC-PERP", -600, "60000.1", "60000.1")
    assert judge(long, half).is_closing
    assert not judge(long, half, half).is_closing


def test_an_inverse_fill_loses_in_its_coin() -> None:
    # 60,000 dollars bought at 60,600 instead of 60,000: 0.00990099 coin, 594.0594 dollars.
    verdict = judge(bucket(USDC=10**6 * USDC), ("BTC-INVERSE", 60_000, "60600", "60000"))
    assert verdict.loss == 990_100 * 600
    assert verdict.after.positions[0].instrument == BTC_INVERSE.name


@given(any_bucket(), st.integers(1, 10**5), st.sampled_from(["BTC-PERP", "ETH-PERP", "BTC-INVERSE"]))
def test_closing_is_never_refused(one: Bucket, contracts: int, name: str) -> None:
    held = one.position(name).contracts
    if not held:
        return
    size = min(contracts, abs(held))
    tripped = LimitState(
        first_limit_state(1, Instant(0)).mark, first_limit_state(1, Instant(0)).day, *[LimitLevel.TRIPPED] * 3
    )
    price = {"BTC-PERP": "50000", "ETH-PERP": "2000", "BTC-INVERSE": "50000"}[name]
    fill = (name, -size if held > 0 else size, price, price)
    verdict = judge(one, fill, state=State.LIQUIDATE, limit_state=tripped, allowed=0)
    assert verdict.reason is None
    assert verdict.is_closing
