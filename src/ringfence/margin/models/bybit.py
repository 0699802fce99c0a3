"""Bybit isolated margin: the requirement is fixed at the entry value, so the price is one division.

Exact fractions. Formulas: the venue's help pages "Liquidation Price Calculation under Isolated Mode", linear
and inverse, as of 2024 (later pages add a closing fee).
"""

from fractions import Fraction

Number = int | Fraction


def linear_liquidation_price(
    side: int,
    entry: Number,
    leverage: Number,
    maintenance_rate: Number,
    size: Number = 1,
    extra_margin: Number = 0,
    deduction: Number = 0,
) -> Fraction:
    """Return the liquidation price of a linear position; side is 1 for a long, -1 for a short.

    extra_margin and deduction (of the maintenance margin) are in the quote.
    """
    initial = Fraction(1) / leverage
    distance = entry * (initial - maintenance_rate) + Fraction(extra_margin + deduction) / size
    return entry - side * distance


def inverse_liquidation_price(
    side: int,
    contracts: Number,
    entry: Number,
    leverage: Number,
    maintenance_rate: Number,
    extra_margin: Number = 0,
    deduction: Number = 0,
) -> Fraction:
    """Return the liquidation price of an inverse position of `contracts` dollars.

    extra_margin and deduction are in the coin. ValueError where a short can never be liquidated.
    """
    value = Fraction(contracts) / entry
    maintenance = value * maintenance_rate - deduction
    cushion = value / leverage + extra_margin - maintenance
    remaining = value + side * cushion
    if remaining <= 0:
        raise ValueError("the margin is more than the position can lose; it has no liquidation price")
    return contracts / remaining
