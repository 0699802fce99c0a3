"""dYdX v4: margin requirements, bankruptcy and fillable price, and what the insurance fund gets or pays.

Amounts are whole quote quantums (1e-6 USD) and base quantums; prices are `price x 10^exponent` dollars per
whole coin, and one quantum of the base is 10^resolution coin. Formulas: dydxprotocol/v4-chain, x/perpetuals
and x/clob, read 2026.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ringfence.kernel.money import PPM, divide_down, share_up

QUOTE_RESOLUTION: Final = -6


@dataclass(frozen=True, slots=True)
class Market:
    """A perpetual market.

    initial_ppm: base initial margin fraction; maintenance_fraction_ppm: of the base initial margin;
    open_interest: base quantums; lower_cap, upper_cap: of open interest in quote quantums, an upper cap of 0
    leaves the initial margin unscaled.
    """

    price: int
    exponent: int
    resolution: int
    initial_ppm: int
    maintenance_fraction_ppm: int
    open_interest: int = 0
    lower_cap: int = 0
    upper_cap: int = 0

    def notional(self, quantums: int) -> int:
        """Return signed quote quantums of signed base quantums, rounded toward zero."""
        power = self.exponent + self.resolution - QUOTE_RESOLUTION
        size = abs(quantums) * self.price * int(10 ** max(0, power)) // int(10 ** max(0, -power))
        return size if quantums >= 0 else -size

    def initial_ppm_scaled(self) -> int:
        """Return the initial margin fraction after scaling with open interest, rounded down."""
        if self.upper_cap == 0:
            return self.initial_ppm
        over = self.notional(self.open_interest) - self.lower_cap
        if over <= 0:
            return self.initial_ppm
        if self.upper_cap <= self.lower_cap:
            return PPM
        increase = over * (PPM - self.initial_ppm) // (self.upper_cap - self.lower_cap)
        return min(PPM, self.initial_ppm + increase)

    def initial(self, quantums: int, custom_ppm: int = 0) -> int:
        """Return the initial margin of a position; `custom_ppm` is a trader's own, higher fraction."""
        return share_up(abs(self.notional(quantums)), max(self.initial_ppm_scaled(), custom_ppm))

    def maintenance(self, quantums: int) -> int:
        """Return the maintenance margin of a position; open interest never scales it."""
        base = share_up(abs(self.notional(quantums)), self.initial_ppm)
        return share_up(base, self.maintenance_fraction_ppm)


@dataclass(frozen=True, slots=True)
class Holding:
    """Signed base quantums of one market."""

    market: Market
    quantums: int


@dataclass(frozen=True, slots=True)
class Account:
    """A sub-account: quote quantums (negative when borrowed) and its perpetual positions."""

    cash: int
    holdings: Sequence[Holding] = ()

    @property
    def net_collateral(self) -> int:
        """Cash and the notional of every position."""
        return self.cash + sum(one.market.notional(one.quantums) for one in self.holdings)

    @property
    def initial(self) -> int:
        """Initial margin of every position."""
        return sum(one.market.initial(one.quantums) for one in self.holdings)

    @property
    def maintenance(self) -> int:
        """Maintenance margin of every position."""
        return sum(one.market.maintenance(one.quantums) for one in self.holdings)

    @property
    def is_liquidatable(self) -> bool:
        """Whether something is required and net collateral is below it."""
        return self.maintenance > 0 and self.maintenance > self.net_collateral


def is_riskier(one: Account, other: Account) -> bool:
    """Say whether `one` has less collateral per requirement; among equals, whether it requires more."""
    left, right = one.net_collateral * other.maintenance, other.net_collateral * one.maintenance
    return left < right or (left == right and one.maintenance > other.maintenance)


def bankruptcy_quote(account: Account, holding: Holding, delta: int) -> int:
    """Return the quote quantums at which closing `delta` base quantums leaves the rest no worse off.

    delta has the opposite sign of the holding and at most its size, else ValueError. The answer is positive
    for a sale, negative for a purchase, rounded up so that the fund never pays for rounding.
    """
    if holding.quantums * delta >= 0 or abs(delta) > abs(holding.quantums):
        raise ValueError(f"closing {delta} of a position of {holding.quantums} is no closing")
    market, after = holding.market, holding.quantums + delta
    notional_change = market.notional(after) - market.notional(holding.quantums)
    requirement_freed = market.maintenance(holding.quantums) - market.maintenance(after)
    own = divide_down(account.net_collateral * requirement_freed, account.maintenance)
    return -notional_change - own


def fillable_price(
    account: Account, holding: Holding, adjustment_ppm: int = PPM, spread_ppm: int = PPM // 10
) -> Fraction:
    """Return the worst price a liquidation order may fill at, in quote quantums per base quantum.

    It walks away from the oracle price as the account nears bankruptcy, at most `spread_ppm` of the
    position's maintenance margin.
    """
    market = holding.market
    rating = Fraction(adjustment_ppm, PPM) * (1 - Fraction(account.net_collateral, account.maintenance))
    bounded = min(Fraction(1), max(Fraction(0), rating))
    spread = bounded * Fraction(spread_ppm, PPM) * market.maintenance(holding.quantums)
    return (market.notional(holding.quantums) - spread) / holding.quantums


def in_dollars(market: Market, quote_per_base: Fraction) -> Fraction:
    """Turn quote quantums per base quantum into dollars per whole coin."""
    return quote_per_base * Fraction(10) ** (QUOTE_RESOLUTION - market.resolution)


def insurance_delta(account: Account, holding: Holding, delta: int, fill_quote: int, fee_ppm_max: int) -> int:
    """Return what the insurance fund gets from closing `delta` for `fill_quote`; negative: what it pays.

    fill_quote: signed quote quantums that the account receives; fee_ppm_max: the most the fund may take of
    the fill.
    """
    over = fill_quote - bankruptcy_quote(account, holding, delta)
    return min(over, abs(fill_quote) * fee_ppm_max // PPM)
