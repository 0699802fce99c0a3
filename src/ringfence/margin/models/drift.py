"""Drift v2: how much a partial liquidation takes, and an account with isolated buckets beside a cross one.

Integers at Drift's own precisions: quote and price 1e6, base and funding rate 1e9, liquidation fees and
multipliers 1e6 (ppm), margin ratios and weights 1e4. Formulas: drift-labs/protocol-v2, math/liquidation and
state/margin_calculation, read 2026. Division rounds down unless a docstring says otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ringfence.kernel.money import divide_up

PRICE: Final = 10**6
QUOTE: Final = 10**6
BASE: Final = 10**9
WEIGHT: Final = 10**4
FEE: Final = 10**6
INTEREST: Final = 10**10
RATIO_TO_FEE: Final = FEE // WEIGHT
FUNDING_TO_QUOTE: Final = 10**9 // QUOTE


def base_to_cover(
    shortage: int,
    margin_ratio: int,
    liquidator_fee: int,
    fund_fee: int,
    oracle: int,
    quote_oracle: int = PRICE,
) -> int | None:
    """Return the base amount to liquidate that frees `shortage` of margin; None where no amount does."""
    ratio = margin_ratio * RATIO_TO_FEE
    if oracle == 0 or ratio <= liquidator_fee:
        return None
    freed = oracle * quote_oracle // PRICE * (ratio - liquidator_fee) // FEE
    freed -= oracle * fund_fee // FEE
    return shortage * (BASE * PRICE // QUOTE) // freed if freed > 0 else None


def fund_fee_at_most(
    shortage: int,
    base: int,
    margin_ratio: int,
    liquidator_fee: int,
    oracle: int,
    fund_fee_max: int,
    quote_oracle: int = PRICE,
) -> int:
    """Return the insurance fee that still lets the whole position cover the shortage, at most the maximum."""
    ratio = margin_ratio * RATIO_TO_FEE
    if oracle == 0 or ratio <= liquidator_fee:
        return fund_fee_max
    price = oracle * quote_oracle // PRICE
    needed = shortage * BASE // base * PRICE // price
    return min(fund_fee_max, max(0, ratio - liquidator_fee - needed))


def share_to_liquidate(shortage: int, freed: int, elapsed: int, duration: int, initial_share: int) -> int:
    """Return the share (1e4) of the present shortage that may be freed now.

    The share of the whole shortage grows from `initial_share` with the slots elapsed, to all of it.
    """
    grown = initial_share + (elapsed * WEIGHT // duration if duration else WEIGHT)
    free_at_most = (shortage + freed) * min(WEIGHT, grown) // WEIGHT
    return max(0, free_at_most - freed) * WEIGHT // shortage


def liability_to_cover(
    shortage: int,
    asset_weight: int,
    asset_multiplier: int,
    liability_weight: int,
    liability_multiplier: int,
    liability_decimals: int,
    liability_price: int,
    fund_fee: int = 0,
) -> int | None:
    """Return the units of a borrowed coin to transfer so that `shortage` of margin is freed."""
    if asset_weight == liability_weight:
        return None
    fine = 10
    asset_side = asset_weight * fine * asset_multiplier // liability_multiplier
    freed = liability_price * (liability_weight * fine - asset_side)
    freed -= liability_price * fund_fee // FEE * liability_weight * fine
    scaled = shortage * PRICE * WEIGHT * fine
    return (
        scaled
        * int(10 ** max(0, liability_decimals - 6))
        // freed
        // int(10 ** max(0, 6 - liability_decimals))
    )


def deposit_interest_delta(loss: int, deposits: int, cumulative_interest: int = INTEREST) -> int:
    """Return how far the deposit index falls to spread a loss over all deposits, rounded up."""
    return divide_up(cumulative_interest * loss, deposits) if deposits else 0


def funding_rate_delta(loss: int, base_long: int, base_short: int) -> int:
    """Return the funding rate delta that spreads a perpetual loss over all open positions, rounded up."""
    return divide_up(abs(loss) * BASE, abs(base_long) + abs(base_short)) * FUNDING_TO_QUOTE


# --- margin of one account ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Figures:
    """Margin requirement and collateral of one bucket, in quote units."""

    requirement: int
    collateral: int

    @property
    def is_healthy(self) -> bool:
        """Whether collateral is at least the requirement."""
        return self.collateral >= self.requirement


def spot_deposit(units: int, decimals: int, price: int, asset_weight: int = WEIGHT) -> Figures:
    """Count a deposit at its weight."""
    return Figures(0, units * price * QUOTE // (10**decimals * PRICE) * asset_weight // WEIGHT)


def spot_borrow(units: int, decimals: int, price: int, liability_weight: int) -> Figures:
    """Require the value of a borrow at its weight."""
    return Figures(divide_up(units * price * QUOTE * liability_weight, 10**decimals * PRICE * WEIGHT), 0)


def perpetual(base: int, entry: int, oracle: int, margin_ratio: int) -> Figures:
    """Require a ratio of the notional and count the unrealised profit."""
    notional = abs(base) * oracle * QUOTE // (BASE * PRICE)
    profit = base * (oracle - entry) * QUOTE // (BASE * PRICE)
    return Figures(divide_up(notional * margin_ratio, WEIGHT), profit)


def together(parts: Iterable[Figures]) -> Figures:
    """Add up the parts of one bucket."""
    rows = tuple(parts)
    return Figures(sum(row.requirement for row in rows), sum(row.collateral for row in rows))


def is_account_healthy(cross: Figures, isolated: Iterable[Figures]) -> bool:
    """Say whether the cross bucket and every isolated one pass, each by itself."""
    return cross.is_healthy and all(bucket.is_healthy for bucket in isolated)
