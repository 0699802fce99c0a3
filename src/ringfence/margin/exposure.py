"""Which way a bucket leans: its delta by underlying, coins and contracts together.

A long of one BTC perpetual beside one BTC owed, or one BTC held beside a short, cancel. The numeraire has no
delta. Figures are numeraire units.
"""

from ringfence.margin.bucket import Bucket
from ringfence.margin.collateral import converted_down
from ringfence.margin.health import Health, contract_of, health, price_of
from ringfence.margin.marks import Prices
from ringfence.margin.performance import Exposure
from ringfence.margin.terms import Terms


def exposures(bucket: Bucket, prices: Prices, terms: Terms) -> tuple[Exposure, ...]:
    """Return the signed delta of a bucket in each underlying."""
    figures = health(bucket, prices, terms)
    parts: dict[str, list[int]] = {}
    for position in figures.positions:
        if position.contracts:
            underlying = contract_of(terms, position.instrument).underlying
            sign = 1 if position.contracts > 0 else -1
            parts.setdefault(underlying, []).append(sign * position.notional)
    for underlying, units in _coins(figures, prices, terms):
        parts.setdefault(underlying, []).append(units)
    return tuple(Exposure(underlying, tuple(units)) for underlying, units in parts.items())


def _coins(figures: Health, prices: Prices, terms: Terms) -> list[tuple[str, int]]:
    """Value the net amount of each coin but the numeraire, without a haircut."""
    rows = []
    for row in figures.coins:
        coin = terms.coins[row.asset]
        if coin.priced_as != terms.numeraire and row.net:
            price_e10 = price_of(coin, prices, terms)
            rows.append((coin.priced_as, converted_down(row.net, coin, price_e10, terms.decimals)))
    return rows
