"""Vega: margin levels of one position, funding margin of a perpetual, and isolated margin with order margin.

Exact fractions in the settlement asset; the venue rounds at its own decimals. Formulas:
vegaprotocol/specs, 0019-MCAL, read 2024.
"""

from dataclasses import dataclass
from fractions import Fraction

Number = int | Fraction


@dataclass(frozen=True, slots=True)
class RiskFactors:
    """Risk factor of a long and of a short, and the linear slippage factor that caps the cost of exit."""

    long: Fraction
    short: Fraction
    slippage: Fraction


@dataclass(frozen=True, slots=True)
class Levels:
    """The four levels of a margin account, rising."""

    maintenance: Fraction
    search: Fraction
    initial: Fraction
    release: Fraction


def maintenance(
    position: Number,
    mark: Number,
    factors: RiskFactors,
    *,
    buys: Number = 0,
    sells: Number = 0,
    exit_price: Number | None = None,
) -> Fraction:
    """Return the maintenance margin of a position with resting orders: the worse of its two sides.

    position: signed; buys, sells: sizes of resting orders, both positive; exit_price: the average price of
    closing the position in the order book, None where the book is too thin (the slippage cap counts then).
    """
    long = _side(max(position, 0), buys, mark, factors.long, factors.slippage, _cost(mark, exit_price, 1))
    short = _side(
        max(-position, 0), sells, mark, factors.short, factors.slippage, _cost(mark, exit_price, -1)
    )
    if position + buys <= 0:
        long = Fraction(0)
    if position - sells >= 0:
        short = Fraction(0)
    return max(long, short)


def _cost(mark: Number, exit_price: Number | None, side: int) -> Fraction | None:
    return None if exit_price is None else Fraction(side * (mark - exit_price))


def _side(
    size: Number,
    orders: Number,
    mark: Number,
    factor: Fraction,
    slippage: Fraction,
    unit_cost: Fraction | None,
) -> Fraction:
    cap = slippage * size * mark
    cost = cap if unit_cost is None else min(cap, max(Fraction(0), size * unit_cost))
    return cost + (size + orders) * factor * mark


def funding_margin(position: Number, payment: Number, factor: Fraction) -> Fraction:
    """Return what a perpetual adds for the funding payment that is due: only where it would be paid."""
    return max(Fraction(0), factor * payment * position)


def funding_payment(
    mark_twap: Fraction, spot_twap: Fraction, interest: Fraction, lower: Fraction, upper: Fraction
) -> Fraction:
    """Return the funding payment of a period from its average prices.

    interest: rate times length of the period; lower, upper: clamps, as shares of the spot average.
    """
    accrued = (1 + interest) * spot_twap - mark_twap
    return mark_twap - spot_twap + min(upper * spot_twap, max(lower * spot_twap, accrued))


def levels(maintenance_margin: Fraction, search: Fraction, initial: Fraction, release: Fraction) -> Levels:
    """Scale the other levels from maintenance by the factors of the market."""
    base = maintenance_margin
    return Levels(base, base * search, base * initial, base * release)


def isolated_margin(position: Number, entry: Number, factor: Fraction) -> Fraction:
    """Return what the margin account of an isolated position must hold: never searched for elsewhere."""
    return abs(Fraction(position)) * entry * factor


def order_margin(position: Number, size: Number, limit: Number, factor: Fraction) -> Fraction:
    """Return what an isolated order ties up; signed size. What closes the position needs nothing."""
    ordered, held = Fraction(size), Fraction(position)
    closes = min(abs(ordered), abs(held)) if held * ordered < 0 else Fraction(0)
    return (abs(ordered) - closes) * limit * factor
