"""What contracts are worth: linear and inverse, perpetual and dated.

linear:  value = contracts x size x price, in units of the quote. Contract size and tick are chosen so that
         this is a whole number for every price on the tick grid; a mark between two ticks is rounded.
inverse: one contract is `size` dollars and its value is in coin: -(contracts x size / price). A long is
         short the coin value, so its value is negative and rises toward zero with the price.

Session profit of a position is value(contracts, mark) - session value, realised and unrealised together,
rounded down because it is counted.
"""

from dataclasses import dataclass

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PRICE_SCALE, divide_down, divide_up
from ringfence.margin.tiers import TierTable, compile_tiers
from ringfence.policy.model import Fees, Instrument


@dataclass(frozen=True, slots=True)
class Contract:
    """An instrument as margin needs it.

    per_price: linear, quote units per contract and price, times PRICE_SCALE squared; inverse, coin units
    times price per contract. tick_e10: the smallest price step.
    """

    name: str
    is_linear: bool
    underlying: str
    quote: str
    per_price: int
    tick_e10: int
    tiers: TierTable
    fees: Fees

    def ratio(self, contracts: int, price_e10: int) -> tuple[int, int]:
        """Return the exact value as (numerator, positive denominator), in units of the quote."""
        if self.is_linear:
            return contracts * self.per_price * price_e10, PRICE_SCALE * PRICE_SCALE
        return -contracts * self.per_price, price_e10

    def value_down(self, contracts: int, price_e10: int) -> int:
        """Value signed contracts at a price, rounded down."""
        return divide_down(*self.ratio(contracts, price_e10))

    def value_up(self, contracts: int, price_e10: int) -> int:
        """Value signed contracts at a price, rounded up."""
        return divide_up(*self.ratio(contracts, price_e10))

    def booked_value(self, contracts: int, price_e10: int) -> int:
        """Value a fill as the ledger books it: its size rounded down once, the same for both sides."""
        numerator, denominator = self.ratio(contracts, price_e10)
        size = divide_down(abs(numerator), denominator)
        return size if numerator > 0 else -size

    def notional(self, contracts: int, price_e10: int) -> int:
        """Return the size of a position at a price in units of the quote, rounded up; never negative."""
        numerator, denominator = self.ratio(contracts, price_e10)
        return divide_up(abs(numerator), denominator)

    def session_profit(self, contracts: int, session_value: int, mark_e10: int) -> int:
        """Return realised and unrealised profit since the last settlement, rounded down."""
        return self.value_down(contracts, mark_e10) - session_value


def compile_contract(name: str, instrument: Instrument, quote_decimals: int) -> Contract:
    """Turn an instrument of the policy into what margin needs; BadInput for an option."""
    if instrument.kind == "option":
        raise BadInput(f"{name} is an option; bracket margin is for perpetuals and dated futures")
    return Contract(
        name=name,
        is_linear=instrument.payoff == "linear",
        underlying=instrument.underlying,
        quote=instrument.quote,
        per_price=instrument.contract_size_e10 * 10**quote_decimals,
        tick_e10=instrument.tick_e10,
        tiers=compile_tiers(instrument.tiers),
        fees=instrument.fees,
    )
