"""What a bucket lacks: the accrual `margin_shortfall` of a top-up.

lacking = the fewest units n of the asset such that equity with n more is at least `warn` of the maintenance
requirement: so much and no more may be brought in under a mandate. Nothing is lacking above that level, nor
where the coin counts for nothing.
"""

from ringfence.kernel.money import PPM, UNITS_MAX, divide_up
from ringfence.margin.bucket import Bucket
from ringfence.margin.collateral import collateral_value
from ringfence.margin.health import health, price_of
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms


def lacking(bucket: Bucket, asset: str, prices: Prices, terms: Terms) -> int:
    """Return the units of a coin that would bring the bucket to `warn`; BadInput without a price."""
    coin = terms.coins.get(asset)
    if coin is None or terms.thresholds is None:
        return 0
    figures = health(bucket, prices, terms)
    short = divide_up(figures.maintenance * terms.thresholds.warn_ppm, PPM) - figures.equity
    if short <= 0:
        return 0
    net = next((row.net for row in figures.coins if row.asset == asset), 0)
    price_e10 = price_of(coin, prices, terms)
    now = collateral_value(net, coin, price_e10, terms.decimals)

    def is_enough(units: int) -> bool:
        return collateral_value(net + units, coin, price_e10, terms.decimals) - now >= short

    if not is_enough(UNITS_MAX):
        return 0
    low, high = 0, UNITS_MAX
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
