"""The bankruptcy price of each position of a bucket that fails: where nothing is left for it to lose.

The bucket's equity is split over its positions in proportion to their maintenance requirement (largest
remainder, so the shares add up), and each position passes at the price that uses up its share: below the mark
for a long with equity left, above it when equity is negative and somebody has to bear the loss. Prices are
rounded to the tick toward whoever takes the position, so that rounding never costs the pool; what the bucket
lacks after that, less than a tick per contract, is part of its deficit.

Formula: the proportional bankruptcy price of dYdX v4 (reference of margin models), in equity after haircuts.
"""

from dataclasses import dataclass
from typing import Final

from ringfence.kernel.money import PRICE_SCALE, apportion, divide_down, divide_up
from ringfence.margin.health import Health, PositionTerm, contract_of, price_of
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms

PRICE_TIMES_MAX: Final = 1_000
"""A bankruptcy price is at most this many times the mark; a loss beyond it stays with the bucket."""


@dataclass(frozen=True, slots=True)
class Takeover:
    """A position that passes on: signed contracts as the bucket held them, at its bankruptcy price.

    share: the equity it uses up, numeraire units, negative where the taker bears a loss; lot_units: that per
    contract against the mark, in units of the quote, rounded down.
    """

    instrument: str
    contracts: int
    price_e10: int
    mark_e10: int
    share: int
    lot_units: int


def takeovers(figures: Health, prices: Prices, terms: Terms) -> tuple[Takeover, ...]:
    """Return the bankruptcy price of every open position, in the order of the bucket."""
    rows = [row for row in figures.positions if row.contracts]
    weights = [row.maintenance for row in rows]
    if not any(weights):
        weights = [row.notional for row in rows]
    parts = apportion(abs(figures.equity), weights) if rows else ()
    sign = 1 if figures.equity >= 0 else -1
    return tuple(_takeover(row, sign * part, prices, terms) for row, part in zip(rows, parts, strict=True))


def _takeover(row: PositionTerm, share: int, prices: Prices, terms: Terms) -> Takeover:
    contract = contract_of(terms, row.instrument)
    price_e10 = bankruptcy_price(
        contract, row.contracts, row.mark_e10, _in_quote(share, contract, prices, terms)
    )
    at_mark = contract.value_down(row.contracts, row.mark_e10)
    lot_units = abs(contract.value_down(row.contracts, price_e10) - at_mark) // abs(row.contracts)
    return Takeover(row.instrument, row.contracts, price_e10, row.mark_e10, share, lot_units)


def bankruptcy_price(contract: Contract, contracts: int, mark_e10: int, share_quote: int) -> int:
    """Return the tick at which signed contracts are worth `share_quote` less than at the mark.

    Rounded toward the taker: down for a long, up for a short; at least one tick.
    """
    value, scale = contract.ratio(contracts, mark_e10)
    target = value - share_quote * scale
    if contract.is_linear:
        numerator, denominator = target, contracts * contract.per_price
    else:
        # value = -contracts x per_price / price, so the price is that over the target value.
        numerator, denominator = -contracts * contract.per_price * scale, target
    return _to_tick(contract, contracts, mark_e10, numerator, denominator)


def _to_tick(contract: Contract, contracts: int, mark_e10: int, numerator: int, denominator: int) -> int:
    """Round a price given as a ratio to the tick, within one tick and the highest price."""
    if denominator < 0:
        numerator, denominator = -numerator, -denominator
    tick = contract.tick_e10
    highest = mark_e10 * PRICE_TIMES_MAX // tick * tick
    if denominator == 0 or (not contract.is_linear and numerator <= 0):
        return highest
    divide = divide_down if contracts > 0 else divide_up
    return min(highest, max(tick, divide(numerator, denominator * tick) * tick))


def _in_quote(share: int, contract: Contract, prices: Prices, terms: Terms) -> int:
    """Turn numeraire units into units of an instrument's quote, rounded toward whoever takes over."""
    if contract.quote == terms.numeraire:
        return share
    coin = terms.coins[contract.quote]
    price_e10 = price_of(coin, prices, terms)
    return divide_up(share * PRICE_SCALE * 10**coin.decimals, price_e10 * 10**terms.decimals)
