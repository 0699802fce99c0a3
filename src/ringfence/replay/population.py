"""A seeded population: who holds what before the market moves.

Each client has a holding, most have a delta-neutral hedge (a coin held and the same amount of its perpetual
sold), and all have bets over several coins at a leverage of their own, inside the brackets and the leverage
limits of the policy; a bucket with isolated margin holds one coin. Makers take the other side of every fill,
so open interest nets to zero in every instrument to the last contract. The same seed gives the same
population on every machine.

Amounts are kept in quanta (see `terms`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import UsageError
from ringfence.kernel.money import PRICE_SCALE
from ringfence.policy.model import Policy
from ringfence.replay.market import Market
from ringfence.replay.placement import Placement, place_sleeves
from ringfence.replay.terms import QUANTUM_DIGITS, coin_prices, compile_terms, contract_values

Ints = npt.NDArray[np.int64]

CLIENTS_MIN, CLIENTS_MAX = 10, 100_000

_COINS_PER_CLIENT_MAX = 12
_WEALTH_MEDIAN, _WEALTH_SPREAD, _WEALTH_RANGE = 45_000.0, 1.0, (3_000.0, 400_000.0)
_LEVERAGES = (1.5, 2.0, 3.0, 5.0, 8.0, 10.0)
_LEVERAGE_WEIGHTS = (0.12, 0.18, 0.24, 0.22, 0.14, 0.10)
_ALL_IN_SHARE, _LONG_SHARE = 0.3, 0.8
_OPENING_SHARE = 0.9
"""Bets use at most this share of what the brackets or the limits allow, as a careful venue would."""

_MAKER_NOTIONAL = 400_000.0
"""A maker takes about this much before the next one begins, so that its bracket asks for little margin."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Contracts held before the market moves, one row per (client, sleeve, instrument), none of them zero."""

    client: Ints
    sleeve: Ints
    instrument: Ints
    contracts: Ints


@dataclass(frozen=True, slots=True)
class Opening:
    """The opening fills: `client` (in its `sleeve`) takes `contracts` (signed) from `maker`."""

    client: Ints
    sleeve: Ints
    maker: Ints
    instrument: Ints
    contracts: Ints


@dataclass(frozen=True, slots=True)
class Population:
    """Clients and makers, what each put where, and the fills that opened their positions.

    names: of clients, makers last; makers_from: number of the first maker; maker_sleeve: the sleeve in which
    makers trade; deposits: [clients, sleeves, coins] in quanta, coins as in `Terms`; words: how it was made.
    """

    seed: int
    placement: Placement
    names: tuple[str, ...]
    makers_from: int
    maker_sleeve: int
    deposits: Ints
    opening: Opening
    words: tuple[str, ...]

    def positions(self) -> Positions:
        """Add the opening fills up to the positions of both sides."""
        fills = self.opening
        maker_sleeve = np.full_like(fills.maker, self.maker_sleeve)
        keys = np.stack(
            [
                np.concatenate([fills.client, fills.maker]),
                np.concatenate([fills.sleeve, maker_sleeve]),
                np.concatenate([fills.instrument, fills.instrument]),
            ],
            axis=1,
        )
        unique, inverse = np.unique(keys, axis=0, return_inverse=True)
        totals = np.zeros(len(unique), dtype=np.int64)
        np.add.at(totals, inverse.ravel(), np.concatenate([fills.contracts, -fills.contracts]))
        held = totals != 0
        client, sleeve, instrument = unique[held].T
        return Positions(client, sleeve, instrument, totals[held])


def build_population(policy: Policy, market: Market, clients: int, seed: int) -> Population:
    """Draw a population of `clients` (and the makers they need) from a seed; UsageError on a wrong number."""
    if not CLIENTS_MIN <= clients <= CLIENTS_MAX:
        raise UsageError(f"--clients was {clients}; it is {CLIENTS_MIN} to {CLIENTS_MAX}")
    if seed < 0:
        raise UsageError(f"--seed was {seed}; it is a whole number from 0 on")
    draw = _Draw(policy, market, clients, seed)
    hedges, hedge_coins = draw.hedges()
    bets = draw.bets()
    fills = tuple(np.concatenate(pair) for pair in zip(hedges, bets, strict=True))
    return draw.population(fills, hedge_coins)


_Fills = tuple[Ints, ...]
"""client, sleeve, instrument, contracts"""


class _Draw:
    """One drawing of a population; each method uses the generator in turn, so their order is part of it."""

    def __init__(self, policy: Policy, market: Market, clients: int, seed: int) -> None:
        self.policy, self.clients, self.seed = policy, clients, seed
        self.terms, self.names = compile_terms(policy, market)
        self.placement = place_sleeves(policy)
        self.random = np.random.default_rng(seed)
        self.unit_value = contract_values(self.terms, market.start_e10)
        self.coin_price = coin_prices(self.terms, market.start_e10) / PRICE_SCALE / 10.0**QUANTUM_DIGITS
        self.coin_price[0] = 1.0
        self.worst = market.prices_e10.max(axis=(0, 2)) / market.start_e10 - 1.0, -market.deepest_fall()
        whole = 10.0**self.names.quote_decimals
        wealth = self.random.lognormal(np.log(_WEALTH_MEDIAN), _WEALTH_SPREAD, clients)
        self.wealth = np.clip(wealth, *_WEALTH_RANGE) * whole
        self.all_in = self.random.random(clients) < _ALL_IN_SHARE
        self.hedge_share = np.where(self.all_in, 0.0, self.random.uniform(0.15, 0.45, clients))
        self.bet_share = np.where(
            self.all_in, self.random.uniform(0.7, 0.95, clients), self.random.uniform(0.2, 0.5, clients)
        )

    def hedges(self) -> tuple[_Fills, Ints]:
        """Sell the perpetual against three quarters of the hedge's money held in its coin.

        Returns the fills and the coins held, [clients, coins] in quanta.
        """
        sleeve = self.placement.with_style("hedge")[0]
        pairs = self._hedge_pairs(sleeve)
        held = np.zeros((self.clients, len(self.names.coins)), dtype=np.int64)
        if not pairs:
            return _no_fills(), held
        pick = self.random.integers(0, len(pairs), self.clients)
        instrument = np.array([pair[0] for pair in pairs])[pick]
        coin = np.array([pair[1] for pair in pairs])[pick]
        contracts = (0.75 * self.hedge_share * self.wealth / self.unit_value[instrument]).astype(np.int64)
        rows = np.flatnonzero(contracts > 0)
        quanta = self.terms.instruments["contract_quanta"][instrument[rows]]
        held[rows, coin[rows]] = contracts[rows] * quanta
        return (rows, np.full_like(rows, sleeve), instrument[rows], -contracts[rows]), held

    def bets(self) -> _Fills:
        """Bet on a few coins each, mostly long, at one leverage per client, inside limits and brackets."""
        sleeves = np.array(self.placement.with_style("bets"))
        sleeve = sleeves[self.random.integers(0, len(sleeves), self.clients)]
        chosen, weight = self._coins_and_weights(sleeve)
        leverage = self.random.choice(_LEVERAGES, self.clients, p=_LEVERAGE_WEIGHTS)
        leverage = np.minimum(leverage, _OPENING_SHARE * self._leverage_limits()[sleeve])
        capital = self.bet_share * self.wealth
        long_client = np.where(self.random.random(self.clients) < _LONG_SHARE, 0.95, 0.1)
        sides = np.where(self.random.random(chosen.shape) < long_client[:, None], 1, -1)
        notional = (leverage * capital)[:, None] * weight
        notional = np.minimum(notional, self._bracket_caps(chosen, leverage))
        contracts = (notional / self.unit_value[chosen]).astype(np.int64) * sides
        rows, columns = np.nonzero(contracts)
        return rows, sleeve[rows], chosen[rows, columns], contracts[rows, columns]

    def population(self, fills: _Fills, hedge_coins: Ints) -> Population:
        """Add makers for the fills, and lay out what everyone put where."""
        client, sleeve, instrument, contracts = fills
        maker, capital = self._makers(instrument, contracts)
        names = [f"client-{number:06d}" for number in range(1, self.clients + 1)]
        names += [f"maker-{number:04d}" for number in range(1, len(capital) + 1)]
        bets = self.placement.with_style("bets")
        home = max(bets, key=lambda number: self._tradable(number).sum())
        deposits = np.zeros((len(names), len(self.placement.sleeves), len(self.names.coins)), dtype=np.int64)
        self._deposit(deposits, hedge_coins, fills)
        deposits[self.clients :, home, 0] = capital
        notional = float((np.abs(contracts) * self.unit_value[instrument]).sum())
        return Population(
            seed=self.seed,
            placement=self.placement,
            names=tuple(names),
            makers_from=self.clients,
            maker_sleeve=home,
            deposits=deposits,
            opening=Opening(client, sleeve, self.clients + maker, instrument, contracts),
            words=self._words(len(capital), notional / 10.0**self.names.quote_decimals),
        )

    def _makers(self, instrument: Ints, contracts: Ints) -> tuple[Ints, Ints]:
        """Give every fill a maker, and every maker its capital.

        A maker makes one side of one instrument, so it fits an isolated bucket, a loss on one coin is never
        paid with the profit on another, and whatever is closed by force can be bought back from those who
        sold it. Its capital outlasts the worst move of the window: makers never fail in a replay.
        """
        size = np.abs(contracts) * self.unit_value[instrument]
        side = 2 * instrument + (contracts < 0)
        traded = np.bincount(side, weights=size, minlength=2 * len(self.names.instruments))
        count = np.ceil(traded / (_MAKER_NOTIONAL * 10.0**self.names.quote_decimals)).astype(np.int64)
        first = np.cumsum(count) - count
        order = np.argsort(side, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order)) - np.searchsorted(side[order], side[order])
        maker = first[side] + rank % count[side]
        carried = np.bincount(maker, weights=size, minlength=int(count.sum()))
        needed = carried * np.repeat(self._maker_margins(), count)
        return maker, needed.astype(np.int64) + 1_000 * 10**self.names.quote_decimals

    def _maker_margins(self) -> npt.NDArray[np.float64]:
        """Return capital per notional for makers that are short and long of each instrument, in turn."""
        rises, falls = self.worst
        # A maker's notional grows with a price that rises against it, and with it the margin it needs.
        margins = np.stack([1.25 * rises + 0.25 * (1.0 + rises), 1.25 * falls + 0.25], axis=1)
        return margins.ravel()

    def _deposit(self, deposits: Ints, hedge_coins: Ints, fills: _Fills) -> None:
        bets = (self.bet_share * self.wealth).astype(np.int64)
        hedge = (self.hedge_share * self.wealth).astype(np.int64)
        sleeves = np.full(self.clients, self.placement.with_style("bets")[0])
        betting = fills[1] != self.placement.with_style("hedge")[0]
        sleeves[fills[0][betting]] = fills[1][betting]
        everyone = np.arange(self.clients)
        deposits[everyone, sleeves, 0] = bets
        hedge_sleeve = self.placement.with_style("hedge")[0]
        deposits[: self.clients, hedge_sleeve] = hedge_coins
        in_coins = (hedge_coins * self.coin_price[None, :]).sum(axis=1).astype(np.int64)
        has_hedge = hedge_coins.any(axis=1)
        deposits[: self.clients, hedge_sleeve, 0] = np.where(has_hedge, np.maximum(0, hedge - in_coins), 0)
        spent = bets + np.where(has_hedge, hedge, 0)
        holding = self.placement.with_style("holding")[0]
        deposits[: self.clients, holding, 0] += np.maximum(0, self.wealth.astype(np.int64) - spent)

    def _hedge_pairs(self, sleeve: int) -> list[tuple[int, int]]:
        """List (instrument, coin) that a hedge can pair: the coin is held, its perpetual traded there."""
        home = self.policy.compartments[self.placement.sleeves[sleeve].pattern]
        tradable = self._tradable(sleeve)
        return [
            (number, int(coin))
            for number, coin in enumerate(self.terms.instruments["coin"])
            if coin > 0
            and self.terms.instruments["contract_quanta"][number]
            and self.names.coins[coin] in home.accepts
            and tradable[number]
        ]

    def _tradable(self, sleeve: int) -> npt.NDArray[np.bool_]:
        trade = self.policy.compartments[self.placement.sleeves[sleeve].pattern].trade
        allowed = None if trade is None else trade.instruments
        return np.array([allowed is None or name in allowed for name in self.names.instruments])

    def _isolated(self) -> npt.NDArray[np.bool_]:
        homes = [self.policy.compartments[sleeve.pattern] for sleeve in self.placement.sleeves]
        return np.array([home.margin == "isolated" for home in homes])

    def _leverage_limits(self) -> npt.NDArray[np.float64]:
        homes = [self.policy.compartments[sleeve.pattern] for sleeve in self.placement.sleeves]
        stated = [home.limits.leverage if home.limits else None for home in homes]
        return np.array([float(limit) if limit else 100.0 for limit in stated])

    def _coins_and_weights(self, sleeve: Ints) -> tuple[Ints, npt.NDArray[np.float64]]:
        """Choose up to a dozen different coins per client, and how its bets are spread over them."""
        count = len(self.names.instruments)
        most = min(count, _COINS_PER_CLIENT_MAX)
        wanted = np.clip(1 + self.random.poisson(3.5, self.clients), 1, most)
        wanted[self._isolated()[sleeve]] = 1
        order = self.random.random((self.clients, count))
        allowed = np.stack([self._tradable(number) for number in range(len(self.placement.sleeves))])
        order[~allowed[sleeve]] = np.inf
        chosen = np.argsort(order, axis=1)[:, :most]
        weight = self.random.exponential(1.0, chosen.shape)
        weight[np.arange(most)[None, :] >= wanted[:, None]] = 0.0
        weight[np.isinf(np.take_along_axis(order, chosen, axis=1))] = 0.0
        total = weight.sum(axis=1, keepdims=True)
        return chosen, np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)

    def _bracket_caps(self, chosen: Ints, leverage: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the notional up to which each chosen bracket still allows the client's leverage."""
        allows = _OPENING_SHARE * self.terms.tiers["leverage"][chosen] >= leverage[:, None, None]
        floors = self.terms.tiers["floor"][chosen].astype(np.float64)
        barred = np.where(allows, np.inf, floors)
        caps: npt.NDArray[np.float64] = _OPENING_SHARE * barred.min(axis=2)
        return caps

    def _words(self, makers: int, notional: float) -> tuple[str, ...]:
        return (
            f"{self.clients:,} clients and {makers:,} makers drawn from seed {self.seed}; "
            f"{notional:,.0f} {self.policy.numeraire} of contracts opened at the first price",
            "nobody answers a call, adds money or trades in the crash; makers take what is closed by force",
        )


def _no_fills() -> _Fills:
    none = np.zeros(0, dtype=np.int64)
    return none, none, none, none
