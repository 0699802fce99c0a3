"""The terms of a policy as arrays over the instruments and coins of one market, exact in int64.

Amounts are kept in quanta: whole units, or for coins of more than eight decimals whole multiples of
10^(decimals − 8) units, so that every amount of a replay is an exact int64. A linear contract is worth a
whole number of quote units per tick (the policy is checked for that), so values are exact too.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PRICE_SCALE
from ringfence.policy.model import Instrument, Policy
from ringfence.replay.market import Market

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

QUANTUM_DECIMALS_MAX = 8
_NO_TIER = np.int64(2**62)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a replay needs of a policy, by number of instrument (of the market) and of coin.

    quote: number of the coin that everything settles in; underlyings: coin each instrument follows;
    value_per_tick: quote units of one contract per tick; contract_quanta: quanta of the underlying coin in
    one contract (0 where it is no coin of the policy); tier_*: [instruments, tiers], unused tiers start at
    2^62; decimals: of each coin's quantum; quantum_units: whole units in one quantum.
    """

    instruments: tuple[str, ...]
    underlyings: tuple[str, ...]
    coins: tuple[str, ...]
    quote: int
    quote_decimals: int
    decimals: tuple[int, ...]
    quantum_units: tuple[int, ...]
    ticks_e10: Ints
    value_per_tick: Ints
    contract_quanta: Ints
    tier_floors: Ints
    tier_maintenance_ppm: Ints
    tier_leverage: Ints

    def contract_values(self, marks_e10: Ints) -> Ints:
        """Value one contract of each instrument in quote units, exactly: [..., instruments]."""
        values: Ints = marks_e10 // self.ticks_e10 * self.value_per_tick
        return values

    def coin_prices(self, marks_e10: Ints) -> Floats:
        """Value one quantum of each coin in quote units, about: [coins]; nothing where no price shows it."""
        prices = np.zeros(len(self.coins))
        prices[self.quote] = 1.0
        for number, coin in enumerate(self.underlyings):
            if coin in self.coins:
                at = self.coins.index(coin)
                prices[at] = (
                    marks_e10[number] / PRICE_SCALE * 10.0 ** (self.quote_decimals - self.decimals[at])
                )
        return prices


def compile_terms(policy: Policy, market: Market) -> Terms:
    """Read the terms of the market's instruments; BadInput where one cannot be replayed exactly."""
    chosen = [policy.instruments[name] for name in market.instruments]
    coins = tuple(
        name for name, asset in policy.assets.items() if asset.debt_in is None and asset.mirrors is None
    )
    quote = _quote(policy, market.instruments, chosen)
    depth = max(len(instrument.tiers) for instrument in chosen)
    decimals = {name: min(QUANTUM_DECIMALS_MAX, policy.assets[name].decimals) for name in coins}
    return Terms(
        instruments=market.instruments,
        underlyings=tuple(instrument.underlying for instrument in chosen),
        coins=coins,
        quote=coins.index(quote),
        quote_decimals=policy.assets[quote].decimals,
        decimals=tuple(decimals.values()),
        quantum_units=tuple(10 ** (policy.assets[name].decimals - decimals[name]) for name in coins),
        ticks_e10=market.ticks_e10,
        value_per_tick=np.array(
            [
                _value_per_tick(name, instrument, policy.assets[quote].decimals)
                for name, instrument in zip(market.instruments, chosen, strict=True)
            ]
        ),
        contract_quanta=np.array([_contract_quanta(instrument, decimals) for instrument in chosen]),
        tier_floors=_tiers(chosen, depth, "floor_units", _NO_TIER),
        tier_maintenance_ppm=_tiers(chosen, depth, "maintenance_ppm", np.int64(0)),
        tier_leverage=_tiers(chosen, depth, "leverage_max", np.int64(1)),
    )


def _quote(policy: Policy, names: tuple[str, ...], chosen: list[Instrument]) -> str:
    quotes = {instrument.quote for instrument in chosen}
    if quotes != {policy.numeraire}:
        other = next(name for name, one in zip(names, chosen, strict=True) if one.quote != policy.numeraire)
        raise BadInput(
            f"{other} settles in {policy.instruments[other].quote}; in a replay every instrument settles in "
            f"the numeraire {policy.numeraire}"
        )
    return policy.numeraire


def _value_per_tick(name: str, instrument: Instrument, quote_decimals: int) -> int:
    size: int = instrument.contract_size_e10 * instrument.tick_e10 * 10**quote_decimals
    whole, left = divmod(size, PRICE_SCALE * PRICE_SCALE)
    if left or not whole:
        raise BadInput(
            f"{name}: one contract times one tick was no whole number of quote units; enlarge one of them"
        )
    return whole


def _contract_quanta(instrument: Instrument, decimals: Mapping[str, int]) -> int:
    """Count the quanta of coin in one contract; 0 where the coin is unknown or they are no whole number."""
    if instrument.underlying not in decimals:
        return 0
    whole, left = divmod(
        instrument.contract_size_e10 * int(10 ** decimals[instrument.underlying]), PRICE_SCALE
    )
    return whole if not left else 0


def _tiers(chosen: list[Instrument], depth: int, field: str, filler: np.int64) -> Ints:
    table = np.full((len(chosen), depth), filler, dtype=np.int64)
    for row, instrument in enumerate(chosen):
        values = [getattr(tier, field) for tier in instrument.tiers]
        table[row, : len(values)] = values
    return table
