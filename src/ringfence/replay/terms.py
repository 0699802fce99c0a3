"""The terms of a policy as arrays over the instruments and coins of one market, exact in int64.

Coins other than the numeraire are counted in quanta of two digits more than the numeraire has (10^-8 of a
coin where the numeraire has 6): one quantum at a price of PRICE_SCALE is then a hundredth of a numeraire
unit, and every amount of a replay is an exact int64. A coin that has fewer digits than that is left out. A
linear contract is worth a whole number of quote units per tick (the policy is checked for that), so values
are exact.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin.calls import levels_ppm
from ringfence.margin.terms import Terms as MarginTerms
from ringfence.margin.terms import compile_terms as compile_margin_terms
from ringfence.margin.tiers import TierTable
from ringfence.policy.model import Asset, HaircutTier, Instrument, Policy
from ringfence.replay.market import Market

Ints = npt.NDArray[np.int64]
Table = npt.NDArray[np.void]
"""A table of named int64 columns."""

QUANTUM_DIGITS = 2
"""How many digits more than the numeraire a quantum of a coin has."""

UNUSED = 2**62
"""The floor of a bracket or haircut tier that is not there: no amount reaches it."""


INSTRUMENT = np.dtype(
    [
        ("tick_e10", "i8"),
        ("value_per_tick", "i8"),
        ("coin", "i8"),
        ("contract_quanta", "i8"),
        ("name_rank", "i8"),
        ("taker_ppm", "i8"),
        ("maker_ppm", "i8"),
        ("penalty_ppm", "i8"),
        ("band_ppm", "i8"),
        ("settlement_ns", "i8"),
        ("funding_ns", "i8"),
    ]
)
"""value_per_tick: quote units of one contract; coin: number of the underlying coin, -1 if it is none;
contract_quanta: quanta of that coin in one contract, 0 if no whole number; name_rank: order by name."""

TIER = np.dtype([("floor", "i8"), ("ppm", "i8"), ("leverage", "i8"), ("cum", "i8"), ("cum_ppm", "i8")])
"""A bracket; its subtraction is `cum` units plus `cum_ppm` parts per million of one."""

HAIRCUT = np.dtype([("floor", "i8"), ("ppm", "i8")])


class Terms(NamedTuple):
    """What a replay needs of a policy, by number of instrument and of coin; coin 0 is the quote.

    instruments: [instruments]; tiers: [instruments, tiers]; haircuts: [coins, tiers]; price_of: [coins] an
    instrument whose mark stands for the coin's price, -1 for the quote; levels: [6] the thresholds in ppm as
    `margin.calls.levels_ppm` lists them, then where a liquidation stops.
    """

    instruments: Table
    tiers: Table
    haircuts: Table
    price_of: Ints
    levels: Ints


class Names(NamedTuple):
    """The names behind the numbers of `Terms`, and how many whole units one quantum of each coin has."""

    instruments: tuple[str, ...]
    coins: tuple[str, ...]
    quote_decimals: int
    quantum_units: tuple[int, ...]


def compile_terms(policy: Policy, market: Market) -> tuple[Terms, Names]:
    """Read the terms of the market's instruments; BadInput where one cannot be replayed exactly."""
    chosen = [policy.instruments[name] for name in market.instruments]
    _refuse_other_quotes(policy, market.instruments, chosen)
    digits = policy.assets[policy.numeraire].decimals
    coins = _coins(policy, chosen, digits + QUANTUM_DIGITS)
    margin = compile_margin_terms(policy)
    names = Names(
        instruments=market.instruments,
        coins=coins,
        quote_decimals=digits,
        quantum_units=(
            1,
            *(10 ** (policy.assets[coin].decimals - digits - QUANTUM_DIGITS) for coin in coins[1:]),
        ),
    )
    return _terms(policy, market, chosen, names, margin), names


def contract_values(terms: Terms, marks_e10: Ints) -> Ints:
    """Value one contract of each instrument in quote units, exactly: [..., instruments]."""
    values: Ints = marks_e10 // terms.instruments["tick_e10"] * terms.instruments["value_per_tick"]
    return values


def coin_prices(terms: Terms, marks_e10: Ints) -> Ints:
    """Return the price of each coin at PRICE_SCALE: [..., coins]."""
    prices: Ints = marks_e10[..., np.maximum(terms.price_of, 0)].copy()
    prices[..., 0] = PRICE_SCALE
    return prices


def _terms(
    policy: Policy, market: Market, chosen: Sequence[Instrument], names: Names, margin: MarginTerms
) -> Terms:
    instruments = np.zeros(len(chosen), dtype=INSTRUMENT)
    for number, (name, one) in enumerate(zip(market.instruments, chosen, strict=True)):
        instruments[number] = (
            market.ticks_e10[number],
            _value_per_tick(name, one, names.quote_decimals),
            _index(names.coins, one.underlying),
            _contract_quanta(one, names),
            0,
            one.fees.taker_ppm,
            one.fees.maker_ppm,
            one.fees.liquidation_ppm,
            one.price_band_ppm,
            one.settlement_ns,
            one.funding.interval_ns if one.funding else 0,
        )
    instruments["name_rank"] = np.argsort(np.argsort(np.array(market.instruments)))
    coins = range(1, len(names.coins))
    return Terms(
        instruments=instruments,
        tiers=_tiers([margin.contracts[name].tiers for name in market.instruments]),
        haircuts=_haircuts([policy.assets[coin] for coin in names.coins], names),
        price_of=np.array([-1, *(int(np.flatnonzero(instruments["coin"] == coin)[0]) for coin in coins)]),
        levels=_levels(policy),
    )


def _tiers(tables: Sequence[TierTable]) -> Table:
    rows = np.zeros((len(tables), max(len(table.floors) for table in tables)), dtype=TIER)
    rows["floor"] = UNUSED
    for number, table in enumerate(tables):
        columns = zip(table.floors, table.rates_ppm, table.leverages, table.cums_ppm, strict=True)
        for tier, (floor, ppm, leverage, cum) in enumerate(columns):
            rows[number, tier] = (floor, ppm, leverage, cum // PPM, cum % PPM)
    return rows


def _haircuts(assets: Sequence[Asset], names: Names) -> Table:
    """Turn haircuts into floors in quanta, rounded up; a coin without a haircut counts for nothing."""
    tiers = [asset.haircut or (HaircutTier(floor_units=0, ppm=PPM),) for asset in assets]
    rows = np.zeros((len(assets), max(len(row) for row in tiers)), dtype=HAIRCUT)
    rows["floor"] = UNUSED
    for coin, row in enumerate(tiers):
        for tier, one in enumerate(row):
            rows[coin, tier] = (-(-one.floor_units // names.quantum_units[coin]), one.ppm)
    return rows


def _refuse_other_quotes(policy: Policy, names: Sequence[str], chosen: Sequence[Instrument]) -> None:
    for name, instrument in zip(names, chosen, strict=True):
        if instrument.quote != policy.numeraire:
            raise BadInput(
                f"{name} settles in {instrument.quote}; in a replay every instrument settles in the "
                f"numeraire {policy.numeraire}"
            )


def _coins(policy: Policy, chosen: Sequence[Instrument], digits: int) -> tuple[str, ...]:
    """List the quote and the coins that the market shows a price of and that have digits enough."""
    shown = {instrument.underlying for instrument in chosen}
    others = [
        name
        for name, asset in policy.assets.items()
        if name in shown and asset.debt_in is None and asset.mirrors is None and asset.decimals >= digits
    ]
    return (policy.numeraire, *(name for name in others if name != policy.numeraire))


def _value_per_tick(name: str, instrument: Instrument, quote_decimals: int) -> int:
    size: int = instrument.contract_size_e10 * instrument.tick_e10 * 10**quote_decimals
    whole, left = divmod(size, PRICE_SCALE * PRICE_SCALE)
    if left or not whole:
        raise BadInput(
            f"{name}: one contract times one tick was no whole number of quote units; enlarge one of them"
        )
    return whole


def _contract_quanta(instrument: Instrument, names: Names) -> int:
    if instrument.underlying not in names.coins[1:]:
        return 0
    quanta: int = instrument.contract_size_e10 * 10 ** (names.quote_decimals + QUANTUM_DIGITS)
    return 0 if quanta % PRICE_SCALE else quanta // PRICE_SCALE


def _levels(policy: Policy) -> Ints:
    if policy.thresholds is None:
        return np.full(6, PPM, dtype=np.int64)
    return np.array([*levels_ppm(policy.thresholds), policy.thresholds.stop_at_ppm], dtype=np.int64)


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names[1:] else -1
