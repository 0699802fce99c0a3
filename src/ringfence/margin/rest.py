"""What stays of a bucket while one of its positions trades: everything but that position and its quote.

Looking for the fewest contracts to close, or judging thousands of orders a second, asks for the figures of
one bucket again and again with nothing changed but one position and the coin it is quoted in. `Rest` keeps
the other terms of the sums in `health`, so that each answer takes one position and one coin; the answers are
the same whole numbers.
"""

from dataclasses import dataclass
from typing import NamedTuple

from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.collateral import Coin, counted_ppm
from ringfence.margin.health import Health, contract_of, price_of
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms


class Figures(NamedTuple):
    """A bucket's figures in numeraire units, without resting orders; see `health.Health`."""

    equity: int
    initial: int
    maintenance: int
    gross_notional: int


@dataclass(frozen=True, slots=True)
class Rest:
    """The other terms of a bucket's sums, in numeraire units, and what the one position is valued with.

    position: as it stands; coin, net: the position's quote, and what the bucket has of it in units without
    the position's session profit; worth, per: numeraire units per unit of the quote, as a fraction;
    is_numeraire: the quote needs no conversion at all.
    """

    contract: Contract
    mark_e10: int
    position: Position
    coin: Coin
    net: int
    worth: int
    per: int
    is_numeraire: bool
    others: Figures

    def after(self, contracts: int, price_e10: int, cost: int) -> Figures:
        """Return the figures after buying (positive) or selling contracts at a price.

        cost: what is paid beside it in units of the quote, e.g. fee and penalty.
        """
        contract, before, others = self.contract, self.position, self.others
        held = before.contracts + contracts
        net = self.net - cost - before.session_value - contract.booked_value(contracts, price_e10)
        if not held:
            return others._replace(equity=others.equity + self._value(net))
        mark_e10 = self.mark_e10
        notional = contract.notional(held, mark_e10)
        return Figures(
            others.equity + self._value(net + contract.value_down(held, mark_e10)),
            others.initial + self._needed(contract.tiers.initial(notional)),
            others.maintenance + self._needed(contract.tiers.maintenance(notional)),
            others.gross_notional + self._needed(notional),
        )

    def _value(self, net: int) -> int:
        """Value what the bucket has of the quote, after the haircut, rounded down."""
        return counted_ppm(net, self.coin.haircut) * self.worth // (PPM * self.per)

    def _needed(self, units: int) -> int:
        """Turn a requirement into numeraire units, rounded up."""
        return units if self.is_numeraire else -(-units * self.worth // self.per)


def rest_of(bucket: Bucket, figures: Health, instrument: str, prices: Prices, terms: Terms) -> Rest:
    """Take one instrument out of a bucket's figures, which are those at these prices.

    BadInput where the instrument has no terms or mark, or its quote no price.
    """
    contract = contract_of(terms, instrument)
    coin = terms.coins[contract.quote]
    row = next((row for row in figures.positions if row.instrument == instrument), None)
    quote = next((one for one in figures.coins if one.asset == coin.name), None)
    return Rest(
        contract=contract,
        mark_e10=prices.mark(instrument),
        position=bucket.position(instrument),
        coin=coin,
        net=(quote.net if quote else 0) - (row.session_profit if row else 0),
        worth=price_of(coin, prices, terms) * 10**terms.decimals,
        per=PRICE_SCALE * 10**coin.decimals,
        is_numeraire=coin.name == terms.numeraire,
        others=Figures(
            figures.equity - (quote.value if quote else 0),
            figures.initial - (row.initial if row else 0),
            figures.maintenance - (row.maintenance if row else 0),
            figures.gross_notional - (row.notional if row else 0),
        ),
    )
