"""Settlement at one price point, compiled: losers first, then waterfalls, then winners.

Every position of the instruments that settle is re-based to the mark, so session profit becomes money. A
compartment pays with its own coins of the quote, then by selling other coins to the last owner, then come
the pools of its waterfall within their caps, then the last owner, who holds the unit's debt for it. Winners
are paid when all of that is in clearing, so that clearing nets to zero. Fees and penalties follow, as far as
there is money for them.
"""

import numpy as np

from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.replay.bundle import bundle
from ringfence.replay.closing import room_of, spend
from ringfence.replay.exact import apportion, compiled, mul_div_down, mul_div_up
from ringfence.replay.log import (
    BACK,
    COLLATERAL_SOLD,
    COVER,
    FEE,
    FEES,
    FUND,
    LAST_PAID,
    LEND,
    PAY,
    PENALTIES,
    PENALTY,
    POOL_PAID,
    RECEIVE,
    RESIDUE,
    SALE_COST,
    SELL,
    SETTLE,
    note,
)
from ringfence.replay.risk import quanta_in, sale_value, value_of
from ringfence.replay.terms import Ints
from ringfence.replay.world import World


@compiled
def settle(
    tables: World,
    point: int,
    at: int,
    ticks: Ints,
    prices_e10: Ints,
    sale_cost_ppm: int,
    sale_band_ppm: int,
    settles: Ints,
    funds: Ints,
    rate_e10: int,
) -> None:
    """Settle the instruments flagged in `settles` to the mark; those in `funds` pay funding as well."""
    world = bundle(tables)
    net = np.zeros(len(world.balance), dtype=np.int64)
    for instrument in range(len(funds)):
        if funds[instrument]:
            note(world, FUND, point, instrument, 0, 0, 0, 0, 0)
            _fund(world, point, instrument, ticks[instrument], rate_e10, net)
    for instrument in range(len(settles)):
        if settles[instrument]:
            note(world, SETTLE, point, instrument, 0, 0, 0, 0, 0)
    _rebase(world, ticks, settles, net)
    lacking = _pay_own(world, point, net)
    for unit in range(len(world.units)):
        comp = world.units[unit].comp
        if lacking[comp]:
            lacking[comp] = _sell_coins(
                world, point, unit, lacking[comp], prices_e10, sale_cost_ppm, sale_band_ppm
            )
            if lacking[comp] and _has_coins(world, unit):
                # Pools pay for those who have nothing left to sell; until then it is lent.
                _lend(world, point, unit, lacking[comp])
                lacking[comp] = 0
    for step in range(world.unit_pools.shape[1]):
        _cover(world, point, at, step, lacking)
    for unit in range(len(world.units)):
        comp = world.units[unit].comp
        if lacking[comp]:
            _lend(world, point, unit, lacking[comp])
            lacking[comp] = 0
    _back_pools(world, point, lacking)
    for comp in range(len(net)):
        if net[comp] > 0:
            world.balance[comp, 0] += net[comp]
            note(world, RECEIVE, point, comp, 0, 0, net[comp], 0, 0)
    _collect(world, point)


@compiled
def _rebase(world: World, ticks: Ints, settles: Ints, net: Ints) -> None:
    """Turn session profit into what each compartment owes (below zero) or is owed, and into purses."""
    for position in range(len(world.positions)):
        instrument = world.slots[world.positions[position].slot].instrument
        if not settles[instrument]:
            continue
        value = world.positions[position].contracts * value_of(world, instrument, ticks)
        profit = value - world.positions[position].session
        sleeve = world.positions[position].sleeve
        world.positions[position].session = value
        world.purse[sleeve, 0] += profit
        net[world.sleeves[sleeve].comp] += profit
    for slot in range(len(world.slots)):
        instrument = world.slots[slot].instrument
        if settles[instrument]:
            world.slots[slot].session = world.slots[slot].contracts * value_of(world, instrument, ticks)
    for comp in range(len(net)):
        net[comp] += world.comps[comp].pool_session
        world.comps[comp].pool_session = 0


@compiled
def _pay_own(world: World, point: int, net: Ints) -> Ints:
    """Let every loser pay with its own quote; return what each compartment still lacks."""
    lacking = np.zeros(len(net), dtype=np.int64)
    for comp in range(len(net)):
        if net[comp] < 0:
            paid = min(-net[comp], world.balance[comp, 0])
            world.balance[comp, 0] -= paid
            lacking[comp] = -net[comp] - paid
            if paid:
                note(world, PAY, point, comp, 0, 0, paid, 0, 0)
    return lacking


@compiled
def _sell_coins(
    world: World,
    point: int,
    unit: int,
    lacking: int,
    prices_e10: Ints,
    cost_ppm: int,
    band_ppm: int,
) -> int:
    """Sell coins of a unit to the last owner for what it lacks; return what is lacking after that.

    cost_ppm: by how much what is given is worth more than what is got for it. What is too little for whole
    units to express a price within the band stays a debt.
    """
    last = world.units[unit].last
    if last < 0 or not world.units[unit].converts or not world.units[unit].has_coins:
        return lacking
    for coin in range(1, len(prices_e10)):
        for at in range(world.units[unit].first_sleeve, world.units[unit].end_sleeve):
            sleeve = world.unit_sleeves[at]
            held = world.purse[sleeve, coin]
            if lacking <= 0 or held <= 0:
                continue
            sold = quanta_in(mul_div_down(lacking, PPM + cost_ppm, PPM) - 1, prices_e10[coin])
            brought = lacking
            if sold > held:
                sold = held
                brought = mul_div_up(sale_value(sold, prices_e10[coin]) + 1, PPM, PPM + cost_ppm)
            worth = sale_value(sold, prices_e10[coin])
            if not _is_within(worth, brought, band_ppm):
                continue
            _book_sale(world, point, unit, sleeve, coin, sold, brought)
            world.tally[COLLATERAL_SOLD] += worth
            world.tally[SALE_COST] += worth - brought
            lacking -= brought
    return lacking


@compiled
def _has_coins(world: World, unit: int) -> bool:
    """Say whether any coin other than the quote is left in a unit."""
    for at in range(world.units[unit].first_sleeve, world.units[unit].end_sleeve):
        for coin in range(1, world.purse.shape[1]):
            if world.purse[world.unit_sleeves[at], coin] > 0:
                return True
    return False


@compiled
def _is_within(worth: int, brought: int, band_ppm: int) -> bool:
    """Say whether a sale is surely inside its band; worth: rounded down, so up to a unit more."""
    dear, cheap = (worth + 1 - brought) * PPM, (brought - worth) * PPM
    return worth > 0 and dear <= band_ppm * brought and cheap <= band_ppm * worth


@compiled
def _book_sale(
    world: World,
    point: int,
    unit: int,
    sleeve: int,
    coin: int,
    sold: int,
    brought: int,
) -> None:
    """Move coins to the last owner, and as much of its money as they bring to where it is lacking."""
    comp, last = world.units[unit].comp, world.units[unit].last
    world.purse[sleeve, coin] -= sold
    world.purse[sleeve, 0] += brought
    world.balance[comp, coin] -= sold
    world.balance[last, coin] += sold
    world.balance[last, 0] -= brought
    note(world, SELL, point, unit, sleeve, coin, brought, sold, 0)


@compiled
def _cover(world: World, point: int, at: int, step: int, lacking: Ints) -> None:
    """Let the pools of one step pay, each in proportion to what the units it stands for lack."""
    members, weights = np.empty(len(world.units), dtype=np.int64), np.empty(len(world.units), dtype=np.int64)
    is_done = np.zeros(len(world.comps), dtype=np.int64)
    for first in range(len(world.units)):
        payer = world.unit_pools[first, step]
        if payer < 0 or is_done[payer] or not lacking[world.units[first].comp]:
            continue
        is_done[payer] = 1
        is_client = world.comps[payer].first_sleeve < world.comps[payer].end_sleeve
        count, wanted = 0, 0
        for unit in range(first, first + 1 if is_client else len(world.units)):
            lacks = lacking[world.units[unit].comp]
            if world.unit_pools[unit, step] == payer and lacks:
                members[count], weights[count] = unit, lacks
                count, wanted = count + 1, wanted + lacks
        paid = min(wanted, max(0, world.balance[payer, 0]), max(0, room_of(world, payer, at)))
        spend(world, payer, paid)
        shares = apportion(paid, weights[:count])
        for number in range(count):
            _pay_for(world, point, members[number], payer, step, shares[number])
            lacking[world.units[members[number]].comp] -= shares[number]


@compiled
def _pay_for(world: World, point: int, unit: int, payer: int, step: int, units: int) -> None:
    """Book what one pool (or, where the policy says so, another compartment of a client) pays for a unit."""
    if not units:
        return
    world.balance[payer, 0] -= units
    note(world, COVER, point, unit, payer, step, units, 0, 0)
    if world.comps[payer].first_sleeve < world.comps[payer].end_sleeve:
        conduit = world.units[unit].kind * world.unit_pools.shape[1] + step
        _take_from_client(world, payer, conduit, units)
        _help(world, unit, units, conduit)
    else:
        world.tally[POOL_PAID] += units
        _help(world, unit, units, -1)


@compiled
def _lend(world: World, point: int, unit: int, units: int) -> None:
    """Let the last owner pay what is left, against a debt of the unit."""
    last = world.units[unit].last
    if last >= 0:
        world.balance[last, 0] -= units
    world.units[unit].debt += units
    world.tally[LAST_PAID] += units
    note(world, LEND, point, unit, last, 0, units, 0, 0)
    _help(world, unit, units, -2)


@compiled
def _help(world: World, unit: int, units: int, source: int) -> None:
    """Fill up a unit's purses that are below zero; source: -1 a pool, -2 the last owner, else a conduit."""
    for at in range(world.units[unit].first_sleeve, world.units[unit].end_sleeve):
        sleeve = world.unit_sleeves[at]
        part = min(units, max(0, -world.purse[sleeve, 0]))
        world.purse[sleeve, 0] += part
        units -= part
        if source == -1:
            world.sleeves[sleeve].helped_by_pool += part
        elif source == -2:
            world.sleeves[sleeve].helped_by_last += part
        else:
            world.lent[sleeve, source] += part


@compiled
def _take_from_client(world: World, comp: int, conduit: int, units: int) -> None:
    """Take units out of the purses of a client's compartment that paid for another one."""
    for at in range(world.comps[comp].first_sleeve, world.comps[comp].end_sleeve):
        sleeve = world.comp_sleeves[at]
        part = min(units, max(0, world.purse[sleeve, 0]))
        world.purse[sleeve, 0] -= part
        world.lent[sleeve, conduit] -= part
        units -= part


@compiled
def _back_pools(world: World, point: int, lacking: Ints) -> None:
    """Let the last owner pay what pools lack that took over more than they could bear."""
    for comp in range(len(lacking)):
        if lacking[comp]:
            last = _backer_of(world, comp)
            if last >= 0:
                world.balance[last, 0] -= lacking[comp]
            world.tally[LAST_PAID] += lacking[comp]
            note(world, BACK, point, comp, last, 0, lacking[comp], 0, 0)
            lacking[comp] = 0


@compiled
def _backer_of(world: World, comp: int) -> int:
    for unit in range(len(world.units)):
        for step in range(world.unit_pools.shape[1]):
            if world.unit_pools[unit, step] == comp:
                return int(world.units[unit].last)
    return -1


@compiled
def _collect(world: World, point: int) -> None:
    """Collect fees and penalties, as far as the unit has money of its own."""
    for unit in range(len(world.units)):
        for at in range(world.units[unit].first_sleeve, world.units[unit].end_sleeve):
            sleeve = world.unit_sleeves[at]
            if world.sleeves[sleeve].owed_fee and world.units[unit].fees >= 0:
                paid = _charge(world, unit, sleeve, world.units[unit].fees, world.sleeves[sleeve].owed_fee)
                world.sleeves[sleeve].owed_fee -= paid
                world.tally[FEES] += paid
                note(world, FEE, point, unit, world.units[unit].fees, sleeve, paid, 0, 0)
            if world.sleeves[sleeve].owed_penalty and world.units[unit].penalty >= 0:
                pool = world.units[unit].penalty
                paid = _charge(world, unit, sleeve, pool, world.sleeves[sleeve].owed_penalty)
                world.sleeves[sleeve].owed_penalty -= paid
                world.tally[PENALTIES] += paid
                note(world, PENALTY, point, unit, pool, sleeve, paid, 0, 0)


@compiled
def _charge(world: World, unit: int, sleeve: int, target: int, owed: int) -> int:
    own = 0
    for at in range(world.units[unit].first_sleeve, world.units[unit].end_sleeve):
        own += world.purse[world.unit_sleeves[at], 0]
    comp = world.units[unit].comp
    paid = min(owed, max(0, own), world.balance[comp, 0])
    world.purse[sleeve, 0] -= paid
    world.balance[comp, 0] -= paid
    world.balance[target, 0] += paid
    return int(paid)


# --- funding -----------------------------------------------------------------------------------


@compiled
def _fund(
    world: World,
    point: int,
    instrument: int,
    ticks: int,
    rate_e10: int,
    net: Ints,
) -> None:
    """Let longs pay shorts (shorts pay longs below zero) a rate of notional, split by largest remainder."""
    start, end = world.instrument_first[instrument], world.instrument_first[instrument + 1]
    slots = world.instrument_slots[start:end]
    pay_weights, get_weights = np.zeros(len(slots), dtype=np.int64), np.zeros(len(slots), dtype=np.int64)
    side = 0
    for number in range(len(slots)):
        held = world.slots[slots[number]].contracts
        side += max(0, held)
        towards = held if rate_e10 > 0 else -held
        pay_weights[number], get_weights[number] = max(0, towards), max(0, -towards)
    notional = side * world.instruments[instrument].value_per_tick * ticks
    received = mul_div_down(notional, abs(rate_e10), PRICE_SCALE)
    paid = mul_div_up(notional, abs(rate_e10), PRICE_SCALE) if world.rounding >= 0 else received
    pays, gets = apportion(paid, pay_weights), apportion(received, get_weights)
    for number in range(len(slots)):
        _give(world, slots[number], gets[number] - pays[number], net)
    if paid > received:
        world.balance[world.rounding, 0] += paid - received
        note(world, RESIDUE, point, world.rounding, 0, 0, paid - received, 0, 0)


@compiled
def _give(world: World, slot: int, units: int, net: Ints) -> None:
    """Add what a slot is paid to the purses of its sleeves, by their part of the position."""
    held = world.slots[slot].contracts
    first, last = world.slots[slot].first_position, world.slots[slot].end_position
    left = units
    for position in range(first, last):
        if held == 0:
            break
        part = left if position == last - 1 else int(units * (world.positions[position].contracts / held))
        sleeve = world.positions[position].sleeve
        world.purse[sleeve, 0] += part
        net[world.sleeves[sleeve].comp] += part
        left -= part
