"""One isolated position under the rules of several venues, side by side.

Its margin is the entry value over the leverage. Every venue is given the same maintenance rate and closing
fee, so what differs is the rule: whether the requirement moves with the price or is fixed at entry, whether a
fee is left beside it, and how much is closed at which price once the mark is past it.
"""

from dataclasses import dataclass
from fractions import Fraction

from ringfence.kernel.errors import UsageError
from ringfence.kernel.money import PPM
from ringfence.margin.models import bybit, drift, dydx, vega


@dataclass(frozen=True, slots=True)
class Stake:
    """A position to compare: side 1 for a long, -1 for a short; size in coin; rate and fee as shares.

    Raises UsageError where a figure is not above zero or the margin is not above the requirement at entry.
    """

    side: int
    size: Fraction
    entry: Fraction
    leverage: int
    rate: Fraction
    fee: Fraction
    mark: Fraction

    def __post_init__(self) -> None:
        figures = (self.size, self.entry, Fraction(self.leverage), self.mark, self.rate)
        if any(figure <= 0 for figure in figures) or self.fee < 0:
            raise UsageError("size, entry, mark, leverage and maintenance rate must be above zero")
        if self.rate * self.leverage >= 1:
            raise UsageError(
                f"{self.leverage} times leave no more than the maintenance rate; choose a lower leverage"
            )

    @property
    def margin(self) -> Fraction:
        """What stands behind the position."""
        return self.size * self.entry / self.leverage

    @property
    def equity(self) -> Fraction:
        """Margin and unrealised profit at the mark."""
        return self.margin + self.side * self.size * (self.mark - self.entry)


@dataclass(frozen=True, slots=True)
class VenueAnswer:
    """What one venue would do: where it liquidates, and one sentence about the position at the mark."""

    venue: str
    liquidation_price: Fraction
    at_mark: str


def compare_venues(stake: Stake) -> tuple[VenueAnswer, ...]:
    """Return every venue's answer about one position."""
    moving = moving_price(stake, Fraction(0))
    fixed = bybit.linear_liquidation_price(stake.side, stake.entry, stake.leverage, stake.rate)
    return (
        VenueAnswer("Binance", moving, "the requirement moves with the price"),
        VenueAnswer("Gate, OKX", moving_price(stake, stake.fee), "the closing fee is left beside it"),
        VenueAnswer("Bybit", fixed, "the requirement is fixed at entry"),
        VenueAnswer("Bybit inverse", _inverse(stake), "margin and profit are in the coin"),
        VenueAnswer("dYdX", moving, _dydx(stake)),
        VenueAnswer("Drift", moving, _drift(stake)),
        VenueAnswer("Vega", moving, _vega(stake)),
    )


def moving_price(stake: Stake, fee: Fraction) -> Fraction:
    """Return the price at which equity meets rate and fee of the notional at that same price."""
    return stake.entry * (1 - Fraction(stake.side, stake.leverage)) / (1 - stake.side * (stake.rate + fee))


def _inverse(stake: Stake) -> Fraction:
    dollars = stake.size * stake.entry
    return bybit.inverse_liquidation_price(stake.side, dollars, stake.entry, stake.leverage, stake.rate)


def _dydx(stake: Stake) -> str:
    """Say at which price a liquidation order could fill, once there is one."""
    scale = 10**9
    market = dydx.Market(
        price=int(stake.mark * scale),
        exponent=-9,
        resolution=-9,
        initial_ppm=-(-PPM // stake.leverage),
        maintenance_fraction_ppm=min(PPM, int(stake.rate * stake.leverage * PPM)),
    )
    holding = dydx.Holding(market, int(stake.side * stake.size * scale))
    cash = stake.margin - stake.side * stake.size * stake.entry
    account = dydx.Account(int(cash * 10**6), (holding,))
    if not account.is_liquidatable:
        return "not liquidated"
    price = dydx.in_dollars(market, dydx.fillable_price(account, holding))
    fair = Fraction(dydx.bankruptcy_quote(account, holding, -holding.quantums), abs(holding.quantums))
    broke = abs(dydx.in_dollars(market, fair))
    return f"fills no worse than {float(price):.2f}, nothing is left at {float(broke):.2f}"


def _drift(stake: Stake) -> str:
    """Say how much is closed to cover what is missing."""
    missing = stake.size * stake.mark * stake.rate - stake.equity
    if missing <= 0:
        return "not liquidated"
    base = drift.base_to_cover(
        shortage=int(missing * drift.QUOTE),
        margin_ratio=int(stake.rate * drift.WEIGHT),
        liquidator_fee=int(stake.fee * drift.FEE),
        fund_fee=0,
        oracle=int(stake.mark * drift.PRICE),
    )
    share = Fraction(1) if base is None else min(Fraction(1), Fraction(base, drift.BASE) / stake.size)
    return f"closes {float(share):.1%} of the position"


def _vega(stake: Stake) -> str:
    """Say what the margin account must hold, with the rate as risk factor and no slippage."""
    factors = vega.RiskFactors(stake.rate, stake.rate, Fraction(0))
    needed = vega.maintenance(stake.side * stake.size, stake.mark, factors)
    state = "held" if stake.equity >= needed else "taken over by the network"
    return f"needs {float(needed):.2f} and has {float(stake.equity):.2f}: {state}"
