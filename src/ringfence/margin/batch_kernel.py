"""The arithmetic of `health` and `calls.state_of` over many buckets, compiled; see `batch` for its meaning.

Plain loops over float64: one bucket at a time, its positions in one run of memory, threads over buckets. The
order of additions inside a bucket is fixed, so one thread or many give the same bits. Nothing here decides
alone: a bucket whose figures come within `NEAR` of a boundary is marked, and asked of the exact rule again.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import prange

from ringfence.kernel.compiled import compiled_parallel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]

NEAR: Final = 1e-9
"""A comparison closer than this share of everything that was added up is left to exact integers."""

BANKRUPT: Final = 1
SHORT_OF_INITIAL: Final = 2
NEAR_BOUNDARY: Final = 4


@compiled_parallel
def remargin_buckets(
    offsets: Integers,
    instruments: Integers,
    contracts: Floats,
    session_values: Floats,
    net_coins: Floats,
    contract_values: Floats,
    quotes: Integers,
    floors: Floats,
    tiers: Floats,
    coin_prices: Floats,
    haircuts: Floats,
    levels: Floats,
    rounding: Floats,
    figures: Floats,
    states: Bytes,
    flags: Bytes,
) -> None:
    """Fill `figures`, `states` and `flags` for every bucket.

    offsets: [buckets + 1] into the positions; instruments, contracts, session_values: [positions]; net_coins:
    [buckets, coins] balance less debts in units, the numeraire first; contract_values: [instruments] value of
    one contract at its mark in units of its quote, negative where inverse; quotes: [instruments] number of
    the coin; floors: [instruments, tiers + 1], unused ones infinite; tiers: [instruments, tiers, 3] rate,
    cum, 1 / leverage; coin_prices: [coins] numeraire units per unit; haircuts: [coins, slices, 3] floor,
    ceiling, share counted; levels: [5] of maintenance, falling; rounding: [coins] how far rounding may move a
    figure per position; figures: [buckets, 3] equity, maintenance, initial; states, flags: [buckets].
    """
    coins = coin_prices.shape[0]
    depth = tiers.shape[1]
    for bucket in prange(offsets.shape[0] - 1):
        start, stop = offsets[bucket], offsets[bucket + 1]
        maintenance = 0.0
        initial = 0.0
        gross = 0.0
        slack = 2.0 + coins  # Each coin is rounded once.
        numeraire_profit = 0.0
        in_coins = False
        at_floor = False
        for row in range(start, stop):
            instrument = instruments[row]
            quote = quotes[instrument]
            price = coin_prices[quote]
            value = contracts[row] * contract_values[instrument]
            notional = abs(value)
            # Counting every floor costs less than stopping early: a stop cannot be foreseen.
            bracket = 0
            for tier in range(1, depth):
                bracket += notional >= floors[instrument, tier]
            needed = notional * tiers[instrument, bracket, 0] - tiers[instrument, bracket, 1]
            maintenance += needed * price
            initial += max(notional * tiers[instrument, bracket, 2], needed) * price
            gross += (notional + abs(session_values[row])) * price
            slack += rounding[quote]
            # Initial margin jumps at a floor, so being near one is being near a decision.
            reach = notional * NEAR + 2.0
            at_floor |= notional + reach >= floors[instrument, bracket + 1]
            at_floor |= (bracket > 0) & (notional - reach < floors[instrument, bracket])
            if quote == 0:
                numeraire_profit += value - session_values[row]
            else:
                in_coins = True
        equity = 0.0
        for coin in range(coins):
            net = net_coins[bucket, coin]
            gross += abs(net) * coin_prices[coin]
            if coin == 0:
                net += numeraire_profit
            elif in_coins:
                for row in range(start, stop):
                    if quotes[instruments[row]] == coin:
                        net += contracts[row] * contract_values[instruments[row]] - session_values[row]
            counted = min(net, 0.0)
            for part in range(haircuts.shape[1]):
                floor, ceiling = haircuts[coin, part, 0], haircuts[coin, part, 1]
                counted += max(min(net, ceiling) - floor, 0.0) * haircuts[coin, part, 2]
            equity += counted * coin_prices[coin]
        figures[bucket, 0] = equity
        figures[bucket, 1] = maintenance
        figures[bucket, 2] = initial
        near = NEAR * (gross + initial) + slack
        is_near = at_floor | (abs(equity) <= near) | (abs(equity - initial) <= near)
        state = 0
        for level in range(levels.shape[0]):
            over = equity - maintenance * levels[level]
            state += over < 0.0
            is_near |= abs(over) <= near * max(1.0, levels[level])
        states[bucket] = state
        flags[bucket] = (
            BANKRUPT * (equity < 0.0) + SHORT_OF_INITIAL * (equity < initial) + NEAR_BOUNDARY * is_near
        )
