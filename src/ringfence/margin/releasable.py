"""How much of a coin may leave a bucket: the `releasable` condition of a gate.

releasable = the most units n of the asset such that
    n <= balance - debts in that coin,
    equity after - initial - order margin - positive session profit >= 0, and
    equity after is still at least `free` of the maintenance requirement,
where equity after values the coin's remaining net amount anew: a haircut that rises with the amount makes the
first units that leave cheaper than the last.
"""

from collections.abc import Callable

from ringfence.kernel.money import PPM, divide_up
from ringfence.margin.bucket import Bucket
from ringfence.margin.collateral import collateral_value
from ringfence.margin.health import Health, debts_of, health, price_of
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms


def releasable(bucket: Bucket, asset: str, prices: Prices, terms: Terms) -> int:
    """Return the units of a coin that may leave now, at least 0; a debt is never releasable."""
    coin = terms.coins.get(asset)
    if coin is None:
        return 0
    units_max = bucket.balances.get(asset, 0) - debts_of(bucket, terms).get(asset, 0)
    if units_max <= 0:
        return 0
    figures = health(bucket, prices, terms)
    net = next(row.net for row in figures.coins if row.asset == asset)
    # A coin that counts for nothing needs a price only where so much could leave that it would be owed.
    is_counted = bool(coin.haircut) or net < units_max
    price_e10 = price_of(coin, prices, terms) if is_counted else 0
    now = collateral_value(net, coin, price_e10, terms.decimals)
    slack = figures.equity - equity_kept(figures, terms)

    def may_leave(units: int) -> bool:
        return now - collateral_value(net - units, coin, price_e10, terms.decimals) <= slack

    if slack < 0:
        return 0
    return _largest(may_leave, units_max)


def equity_kept(figures: Health, terms: Terms) -> int:
    """Return the least equity that must stay behind after a release, in numeraire units."""
    by_margin = figures.initial + figures.order_margin + figures.positive_profit
    if terms.thresholds is None:
        return by_margin
    return max(by_margin, divide_up(figures.maintenance * terms.thresholds.free_ppm, PPM))


def _largest(holds: Callable[[int], bool], units_max: int) -> int:
    """Return the largest number up to `units_max` for which a condition that only turns false holds."""
    low, high = 0, units_max + 1
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
