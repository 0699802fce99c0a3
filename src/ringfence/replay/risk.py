"""What a margined unit is worth and needs, compiled: the twin of `margin.health` over tables.

A unit is what is margined as one: a bucket, or an account where the layout merges buckets. Its slots are its
instruments, its purse what its sleeves hold. Equity is after haircuts and rounded down per coin, requirements
are rounded up per position; a test holds every figure equal to `margin.health`, unit for unit.
"""

import numpy as np

from ringfence.kernel.money import PPM
from ringfence.replay.bundle import bundle
from ringfence.replay.exact import compiled, mul_div, share_up
from ringfence.replay.terms import Ints
from ringfence.replay.world import World

LIQUIDATE = 5
"""The state of `margin.calls.State` in which a unit is closed."""

AT_STOP = 5
"""The row of `World.levels` at which a closing stops."""

_QUANTUM_SCALE = 10**12
"""One quantum at a price of this many (PRICE_SCALE) is worth one unit of the quote."""


@compiled
def maintenance(world: World, instrument: int, notional: int) -> int:
    """Return the maintenance margin of a notional, rounded up."""
    tier = world.tiers[instrument, bracket(world, instrument, notional)]
    part = notional % PPM * tier.ppm - tier.cum_ppm
    return int(notional // PPM * tier.ppm - tier.cum - (-part // PPM))


@compiled
def initial(world: World, instrument: int, notional: int) -> int:
    """Return the initial margin of a notional, rounded up; at least its maintenance."""
    leverage = world.tiers[instrument, bracket(world, instrument, notional)].leverage
    return int(max(-(-notional // leverage), maintenance(world, instrument, notional)))


@compiled
def bracket(world: World, instrument: int, notional: int) -> int:
    """Return the number of the bracket that holds a notional."""
    tier = 0
    while tier + 1 < world.tiers.shape[1] and notional >= world.tiers[instrument, tier + 1].floor:
        tier += 1
    return tier


@compiled
def coin_value(world: World, coin: int, quanta: int, price_e10: int) -> int:
    """Value a net amount of one coin in quote units after its haircut, rounded down."""
    if quanta <= 0:
        if coin == 0 or quanta == 0:
            return quanta
        whole, part = mul_div(-quanta, price_e10, _QUANTUM_SCALE)
        return -whole - (1 if part else 0)
    counted = min(quanta, world.haircuts[coin, 0].floor) * PPM
    tiers = world.haircuts.shape[1]
    for tier in range(tiers):
        ceiling = world.haircuts[coin, tier + 1].floor if tier + 1 < tiers else quanta
        above = min(quanta, ceiling) - world.haircuts[coin, tier].floor
        counted += max(0, above) * (PPM - world.haircuts[coin, tier].ppm)
    if coin == 0:
        return int(counted // PPM)
    return mul_div(counted, price_e10, _QUANTUM_SCALE * PPM)[0]


@compiled
def sale_value(quanta: int, price_e10: int) -> int:
    """Value at least 0 quanta of a coin in quote units without a haircut, rounded down."""
    return mul_div(quanta, price_e10, _QUANTUM_SCALE)[0]


@compiled
def quanta_in(units: int, price_e10: int) -> int:
    """Return the most quanta of a coin that are worth no more than `units` of the quote; 0 below that."""
    return mul_div(units, _QUANTUM_SCALE, price_e10)[0] if units > 0 else 0


@compiled
def value_of(world: World, instrument: int, ticks: Ints) -> int:
    """Value one contract at its mark, in quote units."""
    return int(world.instruments[instrument].value_per_tick * ticks[instrument])


@compiled
def quote_net(world: World, unit: int, ticks: Ints) -> int:
    """Return a unit's quote: what its sleeves hold, less its debt, plus its session profit."""
    row = world.units[unit]
    net = -row.debt
    for at in range(row.first_sleeve, row.end_sleeve):
        net += world.purse[world.unit_sleeves[at], 0]
    for number in range(row.first_slot, row.end_slot):
        slot = world.slots[number]
        net += slot.contracts * value_of(world, slot.instrument, ticks) - slot.session
    return int(net)


@compiled
def other_coins(world: World, unit: int, prices_e10: Ints) -> int:
    """Return the value after haircuts of a unit's coins other than the quote."""
    row, value = world.units[unit], 0
    if row.has_coins:
        for coin in range(1, len(prices_e10)):
            quanta = 0
            for at in range(row.first_sleeve, row.end_sleeve):
                quanta += world.purse[world.unit_sleeves[at], coin]
            value += coin_value(world, coin, quanta, prices_e10[coin])
    return value


@compiled
def requirement(world: World, unit: int, ticks: Ints) -> int:
    """Return the maintenance margin of all open positions of a unit."""
    needed = 0
    for number in range(world.units[unit].first_slot, world.units[unit].end_slot):
        slot = world.slots[number]
        if slot.contracts:
            notional = abs(slot.contracts) * value_of(world, slot.instrument, ticks)
            needed += maintenance(world, slot.instrument, notional)
    return needed


@compiled
def equity(world: World, unit: int, ticks: Ints, prices_e10: Ints) -> int:
    """Return a unit's equity after haircuts."""
    return coin_value(world, 0, quote_net(world, unit, ticks), 0) + other_coins(world, unit, prices_e10)


@compiled
def level_of(world: World, worth: int, needed: int) -> int:
    """Return the call state that the figures alone say, as `margin.calls.State` numbers them."""
    level = 0
    for step in range(LIQUIDATE):
        if worth < share_up(needed, world.levels[step]):
            level = step + 1
    return level


@compiled
def scan(tables: World, ticks: Ints, prices_e10: Ints, first: int, stop: int) -> int:
    """Walk the price points from `first` until a unit must be closed; return that point, or `stop`.

    ticks: [points, instruments]; prices_e10: [points, coins]. A unit's level follows from its figures alone,
    as the book judges a closing: a call that nobody cures closes nothing by itself.
    """
    world = bundle(tables)
    for point in range(first, stop):
        found = False
        for unit in range(len(world.units)):
            row = world.units[unit]
            if row.is_closed or row.first_slot == row.end_slot:
                continue
            needed = requirement(world, unit, ticks[point])
            worth = equity(world, unit, ticks[point], prices_e10[point])
            row.level = level_of(world, worth, needed)
            row.worst = max(row.worst, row.level)
            if world.first_at[unit, row.level] < 0:
                world.first_at[unit, row.level] = point
            if row.level == LIQUIDATE:
                found = True
            if unit == world.followed:
                world.trace[point, 0], world.trace[point, 1] = worth, needed
                world.trace[point, 2] = row.level
        if found:
            return point
    return stop


@compiled
def unit_figures(tables: World, unit: int, ticks: Ints, prices_e10: Ints) -> tuple[int, int]:
    """Return equity and maintenance requirement of one unit."""
    world = bundle(tables)
    return equity(world, unit, ticks, prices_e10), requirement(world, unit, ticks)


@compiled
def initial_by_unit(tables: World, ticks: Ints) -> Ints:
    """Return the initial margin of every unit's positions: [units]."""
    world = bundle(tables)
    margins = np.zeros(len(world.units), dtype=np.int64)
    for number in range(len(world.slots)):
        slot = world.slots[number]
        if slot.contracts:
            notional = abs(slot.contracts) * value_of(world, slot.instrument, ticks)
            margins[slot.unit] += initial(world, slot.instrument, notional)
    return margins
