"""The arithmetic of `health` and `calls.state_of` over many buckets, compiled; see `batch` for its meaning.

Plain loops over float64: one bucket at a time, its positions in one run of memory, threads over buckets. The
order of additions inside a bucket is fixed, so one thread or many give the same bits. Nothing here decides
alone: a bucket whose figures come within `NEAR` of a boundary is marked, and asked of the exact rule again.

Most of the time would go into looking for brackets. So each position remembers its own, which prices rarely
move it out of, and everything that values a position in one bracket lies together. Indices are unsigned,
since numba asks of every other one whether it counts from the end.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from numba import prange

from ringfence.kernel.compiled import compiled, compiled_parallel

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int32]
Bytes = npt.NDArray[np.uint8]
Longs = npt.NDArray[np.int64]

NEAR: Final = 1e-9
"""A comparison closer than this share of everything that was added up is left to exact integers."""

BANKRUPT: Final = 1
SHORT_OF_INITIAL: Final = 2
NEAR_BOUNDARY: Final = 4

VALUE: Final = 0
FLOOR: Final = 1
CEILING: Final = 2
RATE: Final = 3
CUM: Final = 4
PART: Final = 5
PRICE: Final = 6
QUOTE: Final = 7
BRACKET_FIGURES: Final = 8
"""How many figures value a position in a bracket: the value of one contract at its mark in units of its quote
(negative where inverse), the same in all brackets; notional from, and below what; rate; cum; 1 / leverage;
numeraire units per unit of the quote; number of the quote."""


@compiled_parallel
def remargin_buckets(
    offsets: Integers,
    instruments: Integers,
    contracts: Floats,
    session_values: Floats,
    net_coins: Floats,
    brackets: Floats,
    coin_prices: Floats,
    haircuts: Floats,
    levels: Floats,
    rounding: Floats,
    figures: Floats,
    states: Bytes,
    flags: Bytes,
    last_brackets: Bytes,
) -> None:
    """Fill `figures`, `states` and `flags` for every bucket.

    offsets: [buckets + 1] into the positions; instruments, contracts, session_values: [positions]; net_coins:
    [buckets, coins] balance less debts in units, the numeraire first; brackets: [instruments, brackets,
    BRACKET_FIGURES], the first from minus infinity, the last and unused ones up to infinity; coin_prices:
    [coins] numeraire units per unit; haircuts: [coins, slices, 3] floor, ceiling, share counted, rising;
    levels: [5] of maintenance, falling; rounding: [coins] how far rounding may move a figure per position;
    figures: [buckets, 3] equity, maintenance, initial; states, flags: [buckets]; last_brackets: [positions]
    where each may be looked for first; whatever stands there, the figures are the same.
    """
    coins = coin_prices.shape[0]
    depth = np.uintp(brackets.shape[1])
    for bucket in prange(offsets.shape[0] - 1):
        start, stop = np.uintp(offsets[bucket]), np.uintp(offsets[bucket + np.uintp(1)])
        maintenance = 0.0
        initial = 0.0
        gross = 0.0
        slack = 2.0 + coins  # Each coin is rounded once.
        numeraire_profit = 0.0
        in_coins = False
        at_floor = False
        for row in range(start, stop):
            instrument = np.uintp(instruments[row])
            bracket = min(np.uintp(last_brackets[row]), depth - np.uintp(1))
            value = contracts[row] * brackets[instrument, bracket, VALUE]
            notional = abs(value)
            floor, ceiling = brackets[instrument, bracket, FLOOR], brackets[instrument, bracket, CEILING]
            if notional < floor or notional >= ceiling:
                # Counting every floor costs less than stopping early: a stop cannot be foreseen.
                bracket = np.uintp(0)
                for tier in range(np.uintp(1), depth):
                    bracket += np.uintp(notional >= brackets[instrument, tier, FLOOR])
                last_brackets[row] = bracket
                floor, ceiling = brackets[instrument, bracket, FLOOR], brackets[instrument, bracket, CEILING]
            price = brackets[instrument, bracket, PRICE]
            quote = np.uintp(brackets[instrument, bracket, QUOTE])
            needed = notional * brackets[instrument, bracket, RATE] - brackets[instrument, bracket, CUM]
            maintenance += needed * price
            initial += max(notional * brackets[instrument, bracket, PART], needed) * price
            gross += (notional + abs(session_values[row])) * price
            slack += rounding[quote]
            # Initial margin jumps at a floor, so being near one is being near a decision.
            reach = notional * NEAR + 2.0
            at_floor |= (notional + reach >= ceiling) | (notional - reach < floor)
            if quote == 0:
                numeraire_profit += value - session_values[row]
            else:
                in_coins = True
        equity = 0.0
        for coin in range(np.uintp(coins)):
            net = net_coins[bucket, coin]
            gross += abs(net) * coin_prices[coin]
            if coin == 0:
                net += numeraire_profit
            elif in_coins:
                for row in range(start, stop):
                    instrument = np.uintp(instruments[row])
                    if brackets[instrument, 0, QUOTE] == coin:
                        net += contracts[row] * brackets[instrument, 0, VALUE] - session_values[row]
            if net == 0.0:
                continue
            counted = min(net, 0.0)
            for part in range(np.uintp(haircuts.shape[1])):
                floor, ceiling = haircuts[coin, part, 0], haircuts[coin, part, 1]
                if net <= floor:
                    break
                counted += (min(net, ceiling) - floor) * haircuts[coin, part, 2]
            equity += counted * coin_prices[coin]
        figures[bucket, 0] = equity
        figures[bucket, 1] = maintenance
        figures[bucket, 2] = initial
        near = NEAR * (gross + initial) + slack
        is_near = at_floor | (abs(equity) <= near) | (abs(equity - initial) <= near)
        state = 0
        highest = equity - maintenance * levels[0]
        # Nearly everybody is far above the highest level, and so above all.
        if highest <= near * max(1.0, levels[0]) or maintenance < 0.0:
            for level in range(levels.shape[0]):
                over = equity - maintenance * levels[level]
                state += over < 0.0
                is_near |= abs(over) <= near * max(1.0, levels[level])
        states[bucket] = state
        flags[bucket] = (
            BANKRUPT * (equity < 0.0) + SHORT_OF_INITIAL * (equity < initial) + NEAR_BOUNDARY * is_near
        )


@compiled
def numbers_flagged(flags: Bytes, wanted: int) -> Longs:
    """List the buckets that have any of the wanted flags, rising; eight that have none are passed over."""
    count = len(flags)
    eights = flags[: count // 8 * 8].view(np.uint64)
    in_each = np.uint64(wanted) * np.uint64(0x0101010101010101)
    numbers = np.empty(np.count_nonzero(flags) + 1, np.int64)
    found = 0
    for eight in range(len(eights) + 1):
        if eight < len(eights) and not eights[eight] & in_each:
            continue
        for number in range(8 * eight, min(8 * eight + 8, count)):
            # Written in any case, since a branch could not be foreseen; the next one takes its place.
            numbers[found] = number
            found += (flags[number] & wanted) != 0
    return numbers[:found]
