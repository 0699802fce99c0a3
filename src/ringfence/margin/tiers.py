"""Brackets of an instrument: how much margin a notional needs.

A table of brackets charges each slice of notional its own rate, as income tax does. Written with one
subtraction per bracket it reads `maintenance = notional x rate_k - cum_k`, and the subtraction follows from
continuity alone: `cum_0 = 0`, `cum_k = cum_{k-1} + floor_k x (rate_k - rate_{k-1})`.

Initial margin is the notional over the leverage that its bracket allows. It is never below maintenance.

Requirements round up. Notionals and answers are units of the instrument's quote.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, divide_up
from ringfence.policy.model import Tier


@dataclass(frozen=True, slots=True)
class TierTable:
    """Brackets as parallel columns, floors rising from 0.

    floors: units of notional; rates_ppm: maintenance; leverages: highest leverage; cums_ppm: the subtraction
    of each bracket in units x PPM, so that it is always whole.
    """

    floors: tuple[int, ...]
    rates_ppm: tuple[int, ...]
    leverages: tuple[int, ...]
    cums_ppm: tuple[int, ...]

    def bracket(self, notional: int) -> int:
        """Return the index of the bracket that holds `notional` (from its floor on)."""
        return bisect_right(self.floors, notional) - 1

    def maintenance_ppm(self, notional: int) -> int:
        """Return the maintenance margin in units x PPM, exactly."""
        bracket = self.bracket(notional)
        return notional * self.rates_ppm[bracket] - self.cums_ppm[bracket]

    def maintenance(self, notional: int) -> int:
        """Return the maintenance margin of a notional of at least 0, rounded up."""
        return divide_up(self.maintenance_ppm(notional), PPM)

    def initial(self, notional: int) -> int:
        """Return the initial margin of a notional of at least 0, rounded up; at least its maintenance."""
        by_leverage = divide_up(notional, self.leverages[self.bracket(notional)])
        return max(by_leverage, self.maintenance(notional))


def compile_tiers(tiers: Sequence[Tier]) -> TierTable:
    """Derive the table with its `cum` column; BadInput where the brackets are not rising from 0."""
    _refuse_bad_order(tiers)
    cums = [0]
    for lower, upper in pairwise(tiers):
        cums.append(cums[-1] + upper.floor_units * (upper.maintenance_ppm - lower.maintenance_ppm))
    return TierTable(
        floors=tuple(tier.floor_units for tier in tiers),
        rates_ppm=tuple(tier.maintenance_ppm for tier in tiers),
        leverages=tuple(tier.leverage_max for tier in tiers),
        cums_ppm=tuple(cums),
    )


def _refuse_bad_order(tiers: Sequence[Tier]) -> None:
    if not tiers or tiers[0].floor_units != 0:
        raise BadInput("the first bracket of an instrument was not from 0; brackets start at a notional of 0")
    for lower, upper in pairwise(tiers):
        if upper.floor_units <= lower.floor_units or upper.maintenance_ppm < lower.maintenance_ppm:
            raise BadInput(
                f"the bracket from {upper.floor_units} was not above the one from {lower.floor_units}; "
                "floors rise and maintenance rates do not fall"
            )
    if any(tier.leverage_max < 1 or tier.maintenance_ppm < 0 for tier in tiers):
        raise BadInput("a bracket had a leverage below 1 or a rate below 0")
