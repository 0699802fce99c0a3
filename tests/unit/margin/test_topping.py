"""What a bucket lacks is the fewest units that bring it to its warning level: one fewer does not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from margins import BTC_PERP, PRICES, USDC, any_bucket, bucket, e10, opened, terms

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM
from ringfence.margin.bucket import Bucket
from ringfence.margin.health import health
from ringfence.margin.marks import Prices
from ringfence.margin.topping import lacking

ALL = terms()
FLAT = Prices({"BTC": e10(60_000)}, {"BTC-PERP": e10(60_000)})


def is_warned(one: Bucket, prices: Prices) -> bool:
    figures = health(one, prices, ALL)
    assert ALL.thresholds is not None
    return figures.equity * PPM < figures.maintenance * ALL.thresholds.warn_ppm


@pytest.mark.parametrize(("held", "wanted"), [(719, 1), (720, 0), (721, 0), (0, 720)])
def test_by_hand(held: int, wanted: int) -> None:
    """1,000 contracts of 0.001 BTC at 60,000 are 60,000 USDC: 1 % is needed, and 120 % of that is 720."""
    one = bucket(opened(BTC_PERP, 1_000, 60_000), USDC=held * USDC)
    assert lacking(one, "USDC", FLAT, ALL) == wanted * USDC


def test_a_haircut_makes_it_more_of_a_coin_and_nothing_helps_where_it_counts_for_nothing() -> None:
    one = bucket(opened(BTC_PERP, 1_000, 60_000))
    # 720 USDC at 60,000 and 95 % are 0.0126315789... BTC, of which every started unit counts.
    assert lacking(one, "BTC", FLAT, ALL) == 1_263_158
    assert lacking(one, "JUNK", Prices({**FLAT.assets, "JUNK": e10(1)}, FLAT.marks), ALL) == 0
    assert lacking(one, "USDC-debt", FLAT, ALL) == 0
    assert lacking(one, "USDC", FLAT, terms(thresholds=None)) == 0
    with pytest.raises(BadInput):
        lacking(one, "ETH", FLAT, ALL)


@settings(max_examples=60)
@given(any_bucket(), st.sampled_from(["USDC", "BTC", "ETH"]))
def test_so_much_brings_it_back_and_one_less_does_not(one: Bucket, asset: str) -> None:
    units = lacking(one, asset, PRICES, ALL)
    assert (units == 0) == (not is_warned(one, PRICES))
    if units:
        assert not is_warned(one.with_balance(asset, units), PRICES)
        assert is_warned(one.with_balance(asset, units - 1), PRICES)
