"""What a bucket is worth, what it needs, and how the two compare: the rule, with every term of the sum.

All figures are whole numeraire units. For each coin `net = balance - debts + session profit` is valued after
its haircut, rounded down, and equity is the sum over coins. Requirements of each position are rounded up, in
its quote and again in the numeraire. So a settlement, which turns session profit into balance, changes no
equity. Nothing is read but the bucket, its prices and the terms: the numbers of one bucket cannot depend on
another.

Health is the ratio equity over maintenance. It is compared by cross-multiplication and never divided, so
every machine answers alike and a bucket without positions needs no special case.
"""

from collections.abc import Mapping
from fractions import Fraction

import msgspec

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, PRICE_SCALE, share_up
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.collateral import Coin, collateral_value, converted_up
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms


class CoinTerm(msgspec.Struct, frozen=True, gc=False):
    """One coin's part of equity. balance, debts, session_profit and net in its units, value in numeraire."""

    asset: str
    balance: int
    debts: int
    session_profit: int
    net: int
    price_e10: int
    value: int


class PositionTerm(msgspec.Struct, frozen=True, gc=False):
    """One position's part: notional and session profit in quote units, requirements in numeraire."""

    instrument: str
    contracts: int
    mark_e10: int
    quote: str
    notional_quote: int
    bracket: int
    session_profit: int
    notional: int
    initial: int
    maintenance: int
    positive_profit: int


class Health(msgspec.Struct, frozen=True, gc=False):
    """The figures of one bucket in numeraire units, and the terms they are sums of.

    order_margin: what resting orders need on top of `initial`; positive_profit: session profit of the
    positions that have one, which is counted in equity and never releasable.
    """

    equity: int
    initial: int
    maintenance: int
    order_margin: int
    positive_profit: int
    gross_notional: int
    coins: tuple[CoinTerm, ...]
    positions: tuple[PositionTerm, ...]

    @property
    def free(self) -> int:
        """Equity that no position and no order needs; negative where margin is short."""
        return self.equity - self.initial - self.order_margin

    @property
    def is_bankrupt(self) -> bool:
        """Whether the bucket owes more than it is worth."""
        return self.equity < 0

    def is_at_least(self, level_ppm: int) -> bool:
        """Say whether equity is at least `level_ppm` of the maintenance requirement."""
        return is_at_least(self.equity, self.maintenance, level_ppm)

    def ratio_ppm(self) -> int | None:
        """Return equity over maintenance in ppm, rounded down, to show; None where nothing is required."""
        return self.equity * PPM // self.maintenance if self.maintenance else None


def is_at_least(equity: int, maintenance: int, level_ppm: int) -> bool:
    """Compare equity with a level of maintenance by multiplying."""
    return equity * PPM >= maintenance * level_ppm


def health(bucket: Bucket, prices: Prices, terms: Terms) -> Health:
    """Compute the figures of a bucket; BadInput where it holds what has no price or no terms."""
    positions = tuple([position_term(position, prices, terms) for position in bucket.positions])
    coins = _coin_terms(bucket, positions, prices, terms)
    return Health(
        equity=sum([coin.value for coin in coins]),
        initial=sum([position.initial for position in positions]),
        maintenance=sum([position.maintenance for position in positions]),
        order_margin=order_margin(bucket, prices, terms) if bucket.orders else 0,
        positive_profit=sum([position.positive_profit for position in positions]),
        gross_notional=sum([position.notional for position in positions]),
        coins=coins,
        positions=positions,
    )


def risk_key(figures: Health) -> tuple[int, Fraction, int]:
    """Order buckets by danger: the lowest equity over maintenance first, the larger requirement among equals.

    A bankrupt bucket that needs nothing more comes before all others, a solvent one after all others.
    """
    if figures.maintenance == 0:
        return (0 if figures.is_bankrupt else 2, Fraction(figures.equity), 0)
    return (1, Fraction(figures.equity, figures.maintenance), -figures.maintenance)


# --- positions ---------------------------------------------------------------------------------


def contract_of(terms: Terms, instrument: str) -> Contract:
    """Find the margin terms of an instrument; BadInput where the policy has none."""
    try:
        return terms.contracts[instrument]
    except KeyError:
        known = (*terms.contracts,)[:8]
        more = len(terms.contracts) - len(known)
        words = f"{', '.join(known) or 'none'}{f' and {more} more' if more else ''}"
        raise BadInput(
            f"{instrument} is no perpetual or dated future of this policy; it has {words}"
        ) from None


def in_numeraire_up(quote_units: int, quote: str, prices: Prices, terms: Terms) -> int:
    """Turn units of a quote into numeraire units, rounded up."""
    if quote == terms.numeraire:
        return quote_units
    coin = terms.coins[quote]
    return converted_up(quote_units, coin, price_of(coin, prices, terms), terms.decimals)


def price_of(coin: Coin, prices: Prices, terms: Terms) -> int:
    """Return the index price of a coin in the numeraire, which itself is worth exactly one."""
    if coin.priced_as == terms.numeraire:
        return PRICE_SCALE
    return prices.asset(coin.priced_as)


def position_term(position: Position, prices: Prices, terms: Terms) -> PositionTerm:
    """Compute one position's profit, notional and requirements at its mark."""
    contract = contract_of(terms, position.instrument)
    if position.contracts == 0:
        return _closed_term(position, contract, prices, terms)
    mark_e10 = prices.mark(position.instrument)
    notional = contract.notional(position.contracts, mark_e10)
    profit = contract.session_profit(position.contracts, position.session_value, mark_e10)
    quote, tiers = contract.quote, contract.tiers
    needs = [notional, tiers.initial(notional), tiers.maintenance(notional), max(0, profit)]
    if quote != terms.numeraire:
        needs = [in_numeraire_up(units, quote, prices, terms) for units in needs]
    return PositionTerm(
        position.instrument,
        position.contracts,
        mark_e10,
        quote,
        notional,
        tiers.bracket(notional),
        profit,
        *needs,
    )


def _closed_term(position: Position, contract: Contract, prices: Prices, terms: Terms) -> PositionTerm:
    """Describe a position that is closed: it needs nothing and no mark, but carries what it realised."""
    profit = -position.session_value
    return PositionTerm(
        instrument=position.instrument,
        contracts=0,
        mark_e10=0,
        quote=contract.quote,
        notional_quote=0,
        bracket=0,
        session_profit=profit,
        notional=0,
        initial=0,
        maintenance=0,
        positive_profit=in_numeraire_up(profit, contract.quote, prices, terms) if profit > 0 else 0,
    )


# --- coins -------------------------------------------------------------------------------------


def _coin_terms(
    bucket: Bucket, positions: tuple[PositionTerm, ...], prices: Prices, terms: Terms
) -> tuple[CoinTerm, ...]:
    debts = debts_of(bucket, terms)
    profits: dict[str, int] = {}
    for position in positions:
        profits[position.quote] = profits.get(position.quote, 0) + position.session_profit
    assets = dict.fromkeys((*bucket.balances, *debts, *profits))
    rows = []
    for asset in assets:
        if asset in terms.coins:
            parts = (bucket.balances.get(asset, 0), debts.get(asset, 0), profits.get(asset, 0))
            if any(parts):
                rows.append(coin_term(terms.coins[asset], *parts, prices, terms))
        elif asset not in terms.debts:
            raise BadInput(f"{asset} is neither a coin nor a debt of this policy")
    return tuple(rows)


def coin_term(
    coin: Coin, balance: int, debts: int, session_profit: int, prices: Prices, terms: Terms
) -> CoinTerm:
    """Compute one coin's part of equity; a coin that counts for nothing needs no price."""
    net = balance - debts + session_profit
    if net >= 0 and not coin.haircut:
        return CoinTerm(coin.name, balance, debts, session_profit, net, 0, 0)
    price_e10 = price_of(coin, prices, terms)
    value = collateral_value(net, coin, price_e10, terms.decimals)
    return CoinTerm(coin.name, balance, debts, session_profit, net, price_e10, value)


def debts_of(bucket: Bucket, terms: Terms) -> Mapping[str, int]:
    """Add up what a bucket owes by coin."""
    owed: dict[str, int] = {}
    debts = terms.debts
    for asset, units in bucket.balances.items():
        coin = debts.get(asset)
        if coin is not None and units:
            owed[coin] = owed.get(coin, 0) + units
    return owed


# --- orders ------------------------------------------------------------------------------------


def order_margin(bucket: Bucket, prices: Prices, terms: Terms) -> int:
    """Return what resting orders need on top of initial margin, in numeraire units.

    For each instrument the worse of "all buys fill" and "all sells fill" counts: the initial margin of the
    position that results, what the fills lose at once against the mark, and their taker fees; less the
    initial margin of the position as it is.
    """
    instruments = dict.fromkeys(order.instrument for order in bucket.orders)
    return sum(_instrument_order_margin(bucket, name, prices, terms) for name in instruments)


def _instrument_order_margin(bucket: Bucket, instrument: str, prices: Prices, terms: Terms) -> int:
    contract = contract_of(terms, instrument)
    mark_e10 = prices.mark(instrument)
    held = bucket.position(instrument).contracts
    orders = [order for order in bucket.orders if order.instrument == instrument]
    initial = contract.tiers.initial(contract.notional(held, mark_e10))
    worst = initial
    for side in (1, -1):
        fills = [order for order in orders if order.contracts * side > 0]
        after = held + sum(order.contracts for order in fills)
        needed = contract.tiers.initial(contract.notional(after, mark_e10))
        worst = max(worst, needed + sum(_cost_of_filling(order, contract, mark_e10) for order in fills))
    return in_numeraire_up(worst - initial, contract.quote, prices, terms)


def _cost_of_filling(order: RestingOrder, contract: Contract, mark_e10: int) -> int:
    loss = max(
        0,
        contract.value_up(order.contracts, order.limit_e10) - contract.value_down(order.contracts, mark_e10),
    )
    notional = contract.notional(order.contracts, order.limit_e10)
    return loss + share_up(notional, max(0, contract.fees.taker_ppm))
