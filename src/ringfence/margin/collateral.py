"""What coins count as collateral: their value less a haircut that may rise with the amount.

The haircut is taken slice by slice (from `floor_units` on, `ppm` of the value of the units above the floor is
not counted), so one more coin never lowers the value. A coin that is owed on balance counts in full.
Both sides round down.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.kernel.money import PPM, PRICE_SCALE, divide_down, divide_up
from ringfence.policy.model import HaircutTier


@dataclass(frozen=True, slots=True)
class Coin:
    """A coin as margin needs it.

    priced_as: the coin whose index price it has (itself, or what a mirrored credit mirrors); haircut: rising
    floors, below the first nothing is cut; empty where the coin counts for nothing as collateral.
    """

    name: str
    decimals: int
    priced_as: str
    haircut: tuple[HaircutTier, ...] = ()


def counted_ppm(units: int, haircut: Sequence[HaircutTier]) -> int:
    """Return how many units count, times PPM; a negative number of units counts in full."""
    if units <= 0:
        return units * PPM
    if not haircut:
        return 0
    counted = min(units, haircut[0].floor_units) * PPM
    for index, tier in enumerate(haircut):
        ceiling = haircut[index + 1].floor_units if index + 1 < len(haircut) else units
        counted += max(0, min(units, ceiling) - tier.floor_units) * (PPM - tier.ppm)
    return counted


def collateral_value(units: int, coin: Coin, price_e10: int, numeraire_decimals: int) -> int:
    """Value a net amount of one coin in numeraire units after the haircut, rounded down.

    units: balance less debts plus session profit, may be negative; price_e10: numeraire per whole coin.
    """
    return divide_down(
        counted_ppm(units, coin.haircut) * price_e10 * 10**numeraire_decimals,
        PPM * PRICE_SCALE * 10**coin.decimals,
    )


def converted_up(units: int, coin: Coin, price_e10: int, numeraire_decimals: int) -> int:
    """Turn units of a coin into numeraire units without a haircut, rounded up: for what is required."""
    return divide_up(units * price_e10 * 10**numeraire_decimals, PRICE_SCALE * 10**coin.decimals)


def converted_down(units: int, coin: Coin, price_e10: int, numeraire_decimals: int) -> int:
    """Turn units of a coin into numeraire units without a haircut, rounded down: for what is counted."""
    return divide_down(units * price_e10 * 10**numeraire_decimals, PRICE_SCALE * 10**coin.decimals)
