"""Closing a unit by force, compiled: the twin of `margin.liquidation`, `takeover` and `waterfall`.

All units that must be closed at one price point are closed one after the other, the most endangered first.
A unit is reduced as little as restores it; or closed in the market if it can bear that; or it fails. Then
its positions pass at their bankruptcy prices to the pools of its waterfall, as far as those can bear the loss
of selling on at once, which they do; then winners of the class are deleveraged, each within its cap; what is
left is closed in the market, and the shortfall comes out at the settlement that follows.

Whoever takes the other side in the market is a maker whose own position that makes smaller.
"""

import numpy as np

from ringfence.kernel.money import PPM
from ringfence.replay.bundle import bundle
from ringfence.replay.exact import apportion, apportion_capped, compiled, order_down, share_down, share_up
from ringfence.replay.log import (
    CLOSE,
    DELEVERAGING,
    FILL,
    FORCED_FILLS,
    LIQUIDATION,
    POOL_PAID,
    PROFIT_FORGONE,
    SLIPPAGE,
    TAKEOVER,
    UNFILLED,
    note,
)
from ringfence.replay.risk import (
    AT_STOP,
    LIQUIDATE,
    coin_value,
    equity,
    level_of,
    maintenance,
    other_coins,
    quote_net,
    requirement,
    value_of,
)
from ringfence.replay.terms import Ints
from ringfence.replay.world import World

HEALTHY, REDUCED, CLOSED, BANKRUPT = 0, 1, 2, 3
_PRICE_TIMES_MAX = 1_000


@compiled
def close_all(
    tables: World,
    point: int,
    at: int,
    ticks: Ints,
    prices_e10: Ints,
    slippage_ppm: int,
) -> None:
    """Close every unit whose call state says so, the most endangered first."""
    world = bundle(tables)
    units = np.empty(len(world.units), dtype=np.int64)
    danger = np.empty(len(world.units), dtype=np.int64)
    count = 0
    for unit in range(len(world.units)):
        if world.units[unit].level == LIQUIDATE and not world.units[unit].is_closed:
            needed = requirement(world, unit, ticks)
            worth = equity(world, unit, ticks, prices_e10)
            # What was fed since the scan may have lifted it out of danger.
            if level_of(world, worth, needed) < LIQUIDATE:
                continue
            units[count], danger[count] = unit, -_ratio(worth, needed)
            count += 1
    for number in order_down(danger[:count]):
        close_unit(world, point, at, units[number], ticks, prices_e10, slippage_ppm)


@compiled
def _ratio(worth: int, needed: int) -> int:
    """Return equity over requirement in parts per billion; needing nothing comes first of all."""
    return int(worth / needed * 1e9) if needed else -(2**62)


@compiled
def close_unit(
    world: World,
    point: int,
    at: int,
    unit: int,
    ticks: Ints,
    prices_e10: Ints,
    slippage_ppm: int,
) -> None:
    """Carry out the plan for one unit."""
    first, last = world.units[unit].first_slot, world.units[unit].end_slot
    planned = np.zeros(last - first, dtype=np.int64)
    outcome = plan(world, unit, ticks, prices_e10, slippage_ppm, planned)
    if outcome == HEALTHY:
        return
    world.units[unit].was_forced = True
    note(world, CLOSE, point, unit, 0, 0, 0, 0, 0)
    if outcome == BANKRUPT:
        world.units[unit].is_bankrupt = True
        _fail(world, point, at, unit, ticks, prices_e10, slippage_ppm)
    else:
        for slot in range(first, last):
            if planned[slot - first]:
                sell_on(world, point, slot, planned[slot - first], ticks, slippage_ppm)
    if outcome != REDUCED:
        world.units[unit].is_closed = True
        for slot in range(first, last):
            if world.slots[slot].contracts:
                world.units[unit].is_closed = False
            else:
                _cross_inside(world, slot, ticks)


# --- the plan ----------------------------------------------------------------------------------


@compiled
def plan(
    world: World,
    unit: int,
    ticks: Ints,
    prices_e10: Ints,
    slippage_ppm: int,
    planned: Ints,
) -> int:
    """Fill in how many contracts of each slot to close in the market, and return the outcome.

    Twin of `margin.liquidation.plan_liquidation`; where the unit fails nothing is planned.
    """
    first, last = world.units[unit].first_slot, world.units[unit].end_slot
    net = quote_net(world, unit, ticks)
    other = other_coins(world, unit, prices_e10)
    needed = requirement(world, unit, ticks)
    worth = coin_value(world, 0, net, 0) + other
    if worth >= share_up(needed, world.levels[AT_STOP]):
        return HEALTHY
    penalties, was_open = 0, False
    visited = np.zeros(last - first, dtype=np.bool_)
    for _ in range(first, last):
        slot = _riskiest(world, first, last, ticks, visited)
        if slot < 0:
            break
        visited[slot - first] = was_open = True
        held = abs(world.slots[slot].contracts)
        contracts = _fewest(world, slot, net, other, needed, ticks, slippage_ppm)
        closed = contracts if contracts > 0 else held
        planned[slot - first] = closed
        cost, penalty = _cost_of(world, slot, closed, ticks, slippage_ppm)
        net -= cost + penalty
        penalties += penalty
        if contracts > 0:
            return REDUCED
        instrument = world.slots[slot].instrument
        value = value_of(world, instrument, ticks)
        needed -= maintenance(world, instrument, held * value)
    worth = coin_value(world, 0, net, 0) + other
    worth += min(penalties, max(0, -worth))
    if worth < 0 and was_open:
        for slot in range(first, last):
            planned[slot - first] = 0
        return BANKRUPT
    return BANKRUPT if worth < 0 else CLOSED


@compiled
def execution(world: World, instrument: int, ticks: int, is_long: bool, slippage_ppm: int) -> int:
    """Return the tick at which a long (or short) position can be closed: the mark, worse by the slippage.

    Never outside the instrument's price band, and rounded into it.
    """
    slip = min(slippage_ppm, world.instruments[instrument].band_ppm)
    if is_long:
        return int(max(1, -(-ticks * (PPM - slip) // PPM)))
    return int(ticks * (PPM + slip) // PPM)


@compiled
def _riskiest(world: World, first: int, last: int, ticks: Ints, visited: Ints) -> int:
    """Return the slot with the largest requirement that was not visited; -1 where none is open."""
    best, most = -1, -1
    for slot in range(first, last):
        if visited[slot - first] or not world.slots[slot].contracts:
            continue
        instrument = world.slots[slot].instrument
        value = value_of(world, instrument, ticks)
        margin = maintenance(world, instrument, abs(world.slots[slot].contracts) * value)
        if margin > most:
            best, most = slot, margin
    return best


@compiled
def _cost_of(world: World, slot: int, contracts: int, ticks: Ints, slippage_ppm: int) -> tuple[int, int]:
    """Return what closing costs in slippage and fee, and the full penalty."""
    instrument = world.slots[slot].instrument
    is_long = world.slots[slot].contracts > 0
    price = execution(world, instrument, ticks[instrument], is_long, slippage_ppm)
    lot = world.instruments[instrument].value_per_tick
    notional = contracts * price * lot
    slip = contracts * abs(ticks[instrument] - price) * lot
    fee = share_up(notional, max(0, world.instruments[instrument].taker_ppm))
    return slip + fee, share_up(notional, world.instruments[instrument].penalty_ppm)


@compiled
def _restores(
    world: World,
    slot: int,
    contracts: int,
    net: int,
    other: int,
    needed: int,
    ticks: Ints,
    slippage_ppm: int,
) -> bool:
    """Say whether closing that many contracts brings the unit to `stop_at`; needed: without the slot."""
    instrument = world.slots[slot].instrument
    value = value_of(world, instrument, ticks)
    cost, penalty = _cost_of(world, slot, contracts, ticks, slippage_ppm)
    worth = coin_value(world, 0, net - cost - penalty, 0) + other
    left = (abs(world.slots[slot].contracts) - contracts) * value
    margin = maintenance(world, instrument, left) if left else 0
    return worth >= share_up(needed + margin, world.levels[AT_STOP])


@compiled
def _fewest(
    world: World,
    slot: int,
    net: int,
    other: int,
    needed: int,
    ticks: Ints,
    slippage_ppm: int,
) -> int:
    """Return the smallest number of contracts whose closing restores the unit; -1 where none does.

    Within a bracket of what remains the question is a straight line, so each bracket is searched by itself.
    """
    instrument = world.slots[slot].instrument
    value = value_of(world, instrument, ticks)
    held = int(abs(world.slots[slot].contracts))
    without = needed - maintenance(world, instrument, held * value)
    low = 1
    for tier in range(world.tiers.shape[1] - 1, -1, -1):
        high = held - -(-world.tiers[instrument, tier].floor // value)
        if high < low:
            continue
        if _restores(world, slot, low, net, other, without, ticks, slippage_ppm):
            return low
        if _restores(world, slot, high, net, other, without, ticks, slippage_ppm):
            while high - low > 1:
                middle = (low + high) // 2
                if _restores(world, slot, middle, net, other, without, ticks, slippage_ppm):
                    high = middle
                else:
                    low = middle
            return int(high)
        low = high + 1
    return -1


# --- moving contracts --------------------------------------------------------------------------


@compiled
def reduce(world: World, slot: int, contracts: int, price: int) -> None:
    """Make a slot's position smaller at a price in ticks; its sleeves give in turn, bets before hedges."""
    sign = 1 if world.slots[slot].contracts > 0 else -1
    world.touched[world.slots[slot].instrument] = 1
    value = world.instruments[world.slots[slot].instrument].value_per_tick * price
    world.slots[slot].contracts -= sign * contracts
    world.slots[slot].session -= sign * contracts * value
    for position in range(world.slots[slot].first_position, world.slots[slot].end_position):
        part = min(contracts, max(0, sign * world.positions[position].contracts))
        world.positions[position].contracts -= sign * part
        world.positions[position].session -= sign * part * value
        contracts -= part


@compiled
def sell_on(
    world: World,
    point: int,
    slot: int,
    contracts: int,
    ticks: Ints,
    slippage_ppm: int,
) -> None:
    """Close contracts of a slot in the market, with penalty; what finds no maker stays open."""
    instrument = world.slots[slot].instrument
    is_long = world.slots[slot].contracts > 0
    price = execution(world, instrument, ticks[instrument], is_long, slippage_ppm)
    unit = world.slots[slot].unit
    left = contracts
    while left:
        maker = _maker_for(world, instrument, is_long, unit)
        if maker < 0:
            world.tally[UNFILLED] += left
            return
        part = min(left, abs(world.slots[maker].contracts))
        _note_fill(world, point, LIQUIDATION, unit, world.slots[maker].unit, is_long, instrument, part, price)
        _charge(world, slot, maker, instrument, part, price, ticks[instrument])
        reduce(world, slot, part, price)
        reduce(world, maker, part, price)
        left -= part


@compiled
def _charge(
    world: World,
    slot: int,
    maker: int,
    instrument: int,
    contracts: int,
    price: int,
    mark: int,
) -> None:
    """Note what a forced fill costs: slippage, penalty and fee of the closed side, the fee of the maker."""
    lot = world.instruments[instrument].value_per_tick
    notional = contracts * price * lot
    sleeve = world.positions[world.slots[slot].first_position].sleeve
    terms = world.instruments[instrument]
    world.sleeves[sleeve].owed_penalty += share_up(notional, terms.penalty_ppm)
    world.sleeves[sleeve].owed_fee += share_up(notional, max(0, terms.taker_ppm))
    _owe_maker_fee(world, maker, contracts, price)
    world.tally[SLIPPAGE] += contracts * abs(mark - price) * lot
    world.tally[FORCED_FILLS] += 1


@compiled
def _owe_maker_fee(world: World, maker: int, contracts: int, price: int) -> None:
    """Let a maker owe its fee; a rebate stays with the house, which the replay counts as unpaid."""
    terms = world.instruments[world.slots[maker].instrument]
    sleeve = world.positions[world.slots[maker].first_position].sleeve
    world.sleeves[sleeve].owed_fee += share_up(
        contracts * price * terms.value_per_tick, max(0, terms.maker_ppm)
    )


@compiled
def _maker_for(world: World, instrument: int, is_long: bool, unit: int) -> int:
    """Return the first maker's slot whose position gets smaller by taking the other side; -1 for none."""
    start, end = world.instrument_first[instrument], world.instrument_first[instrument + 1]
    for at in range(end - 1, start - 1, -1):
        slot = world.instrument_slots[at]
        if not world.slots[slot].is_maker:
            break
        held = world.slots[slot].contracts
        if world.slots[slot].unit != unit and ((is_long and held < 0) or (not is_long and held > 0)):
            return int(slot)
    return -1


@compiled
def _note_fill(
    world: World,
    point: int,
    cause: int,
    failed: int,
    other: int,
    is_long: bool,
    instrument: int,
    contracts: int,
    price: int,
) -> None:
    """Write a fill down: a long that is closed sells, a short buys."""
    if is_long:
        note(world, FILL, point, cause, failed, other, instrument, contracts, price)
    else:
        note(world, FILL, point, cause, other, failed, instrument, contracts, price)


@compiled
def _cross_inside(world: World, slot: int, ticks: Ints) -> None:
    """Close sleeves against each other at the mark where their account is closed and nets to nothing."""
    instrument = world.slots[slot].instrument
    value = value_of(world, instrument, ticks)
    for position in range(world.slots[slot].first_position, world.slots[slot].end_position):
        world.positions[position].session -= world.positions[position].contracts * value
        world.positions[position].contracts = 0


# --- failure: takeover, deleveraging, the rest ---------------------------------------------------


@compiled
def _fail(
    world: World,
    point: int,
    at: int,
    unit: int,
    ticks: Ints,
    prices_e10: Ints,
    slippage_ppm: int,
) -> None:
    first, last = world.units[unit].first_slot, world.units[unit].end_slot
    bankruptcy = bankruptcy_ticks(world, unit, ticks, prices_e10)
    pays_itself = _pays_itself(world, unit)
    for slot in range(first, last):
        instrument = world.slots[slot].instrument
        is_long = world.slots[slot].contracts > 0
        price = execution(world, instrument, ticks[instrument], is_long, slippage_ppm)
        stated = bankruptcy[slot - first]
        lot = (stated - price if is_long else price - stated) * world.instruments[instrument].value_per_tick
        if world.slots[slot].contracts and lot > 0 and not pays_itself:
            _pass_to_pools(world, point, at, slot, stated, price, lot)
            _deleverage(world, point, slot, stated, lot, ticks, prices_e10)
        if world.slots[slot].contracts:
            contracts = abs(world.slots[slot].contracts)
            sell_on(world, point, slot, contracts, ticks, slippage_ppm)


@compiled
def _pays_itself(world: World, unit: int) -> bool:
    """Say whether the unit's compartment can pay whatever the unit loses: the first step, `own`.

    That is so where the compartment holds other clients' money too.
    """
    comp = world.units[unit].comp
    first, last = world.comps[comp].first_sleeve, world.comps[comp].end_sleeve
    own = world.units[unit].end_sleeve - world.units[unit].first_sleeve
    return bool(last - first > own)


@compiled
def bankruptcy_ticks(world: World, unit: int, ticks: Ints, prices_e10: Ints) -> Ints:
    """Return the bankruptcy price of each slot of a unit in ticks (twin of `margin.takeover`)."""
    first, last = world.units[unit].first_slot, world.units[unit].end_slot
    worth = equity(world, unit, ticks, prices_e10)
    weights = np.zeros(last - first, dtype=np.int64)
    for slot in range(first, last):
        instrument = world.slots[slot].instrument
        notional = abs(world.slots[slot].contracts) * value_of(world, instrument, ticks)
        weights[slot - first] = maintenance(world, instrument, notional) if notional else 0
    if weights.sum() == 0:
        for slot in range(first, last):
            instrument = world.slots[slot].instrument
            value = value_of(world, instrument, ticks)
            weights[slot - first] = abs(world.slots[slot].contracts) * value
    shares = apportion(abs(worth), weights)
    prices = np.zeros(last - first, dtype=np.int64)
    for slot in range(first, last):
        share = shares[slot - first] if worth >= 0 else -shares[slot - first]
        instrument = world.slots[slot].instrument
        size = world.slots[slot].contracts * world.instruments[instrument].value_per_tick
        if size == 0:
            continue
        # Rounded toward whoever takes the position: down for a long, up for a short.
        change = -(-share // -size) if size < 0 else -share // size
        moved = ticks[instrument] + change
        prices[slot - first] = min(ticks[instrument] * _PRICE_TIMES_MAX, max(1, moved))
    return prices


@compiled
def room_of(world: World, comp: int, at: int) -> int:
    """Return what the cap on a compartment's cover leaves in the window that holds `at`."""
    limit = world.comps[comp].limit
    if limit < 0:
        return 2**62
    window = at // world.limits[limit].length_ns
    if world.limits[limit].window != window:
        world.limits[limit].window = window
        world.limits[limit].spent = 0
    return int(world.limits[limit].units - world.limits[limit].spent)


@compiled
def spend(world: World, comp: int, units: int) -> None:
    """Count what a compartment covers against its cap."""
    limit = world.comps[comp].limit
    if limit >= 0:
        world.limits[limit].spent += units


@compiled
def _pass_to_pools(
    world: World,
    point: int,
    at: int,
    slot: int,
    stated: int,
    price: int,
    lot: int,
) -> None:
    """Let pools take contracts at the bankruptcy price and sell them on, as far as they can bear that."""
    unit, instrument = world.slots[slot].unit, world.slots[slot].instrument
    is_long = world.slots[slot].contracts > 0
    for step in range(world.unit_pools.shape[1]):
        pool = world.unit_pools[unit, step]
        left = abs(world.slots[slot].contracts)
        if pool < 0 or not left or not world.takes[pool, instrument]:
            continue
        bears = min(world.balance[pool, 0] + world.comps[pool].pool_session, room_of(world, pool, at))
        part = min(left, max(0, bears) // lot)
        if not part:
            continue
        _note_fill(world, point, TAKEOVER, unit, -1 - pool, is_long, instrument, part, stated)
        reduce(world, slot, part, stated)
        world.comps[pool].pool_session -= part * lot
        world.tally[POOL_PAID] += part * lot
        _pool_sells(world, point, pool, instrument, is_long, part, price)


@compiled
def _pool_sells(
    world: World,
    point: int,
    pool: int,
    instrument: int,
    is_long: bool,
    contracts: int,
    price: int,
) -> None:
    left = contracts
    while left:
        maker = _maker_for(world, instrument, is_long, -1)
        if maker < 0:
            world.tally[UNFILLED] += left
            return
        part = min(left, abs(world.slots[maker].contracts))
        other = world.slots[maker].unit
        _note_fill(world, point, LIQUIDATION, -1 - pool, other, is_long, instrument, part, price)
        _owe_maker_fee(world, maker, part, price)
        reduce(world, maker, part, price)
        left -= part


@compiled
def _deleverage(
    world: World,
    point: int,
    slot: int,
    stated: int,
    lot: int,
    ticks: Ints,
    prices_e10: Ints,
) -> None:
    """Close contracts against winners of the class at the bankruptcy price (twin of `margin.waterfall`)."""
    unit, instrument = world.slots[slot].unit, world.slots[slot].instrument
    contracts = abs(world.slots[slot].contracts)
    if not contracts or not world.units[unit].cap_ppm:
        return
    winners, profits, rooms = _winners(world, slot, lot, ticks, prices_e10)
    if world.units[unit].is_queue:
        parts = _in_turn(contracts, rooms)
    else:
        parts = apportion_capped(contracts, profits, rooms)
    is_long = world.slots[slot].contracts > 0
    for number in range(len(winners)):
        part = parts[number]
        if part:
            other = world.slots[winners[number]].unit
            _note_fill(world, point, DELEVERAGING, unit, other, is_long, instrument, part, stated)
            reduce(world, slot, part, stated)
            reduce(world, winners[number], part, stated)
            world.tally[PROFIT_FORGONE] += part * lot


@compiled
def _winners(world: World, slot: int, lot: int, ticks: Ints, prices_e10: Ints) -> tuple[Ints, Ints, Ints]:
    """List the slots that can give up profit, by name (a queue: by rank): profit, and contracts at most."""
    unit, instrument = world.slots[slot].unit, world.slots[slot].instrument
    is_long = world.slots[slot].contracts > 0
    value = value_of(world, instrument, ticks)
    start, end = world.instrument_first[instrument], world.instrument_first[instrument + 1]
    winners = np.empty(end - start, dtype=np.int64)
    profits = np.empty(end - start, dtype=np.int64)
    rooms = np.empty(end - start, dtype=np.int64)
    ranks = np.empty(end - start, dtype=np.int64)
    count = 0
    for at in range(start, end):
        other = world.instrument_slots[at]
        owner, held = world.slots[other].unit, world.slots[other].contracts
        profit = held * value - world.slots[other].session
        is_opposite = held < 0 if is_long else held > 0
        if not is_opposite or profit <= 0 or world.units[owner].is_bankrupt:
            continue
        if not world.classes[world.units[unit].kind, world.units[owner].kind]:
            continue
        worth = max(0, equity(world, owner, ticks, prices_e10))
        most = min(profit, share_down(worth, world.units[unit].cap_ppm))
        winners[count], profits[count] = other, profit
        rooms[count] = min(most // lot, abs(held))
        entry = max(1, abs(world.slots[other].session))
        ranks[count] = int(profit / entry * abs(held * value) / max(1, worth) * 1e9)
        count += 1
    if not world.units[unit].is_queue:
        return winners[:count], profits[:count], rooms[:count]
    queue = np.empty((3, count), dtype=np.int64)
    for place, number in enumerate(order_down(ranks[:count])):
        queue[0, place], queue[1, place] = winners[number], profits[number]
        queue[2, place] = rooms[number]
    return queue[0], queue[1], queue[2]


@compiled
def _in_turn(total: int, rooms: Ints) -> Ints:
    parts = np.zeros(len(rooms), dtype=np.int64)
    for number in range(len(rooms)):
        parts[number] = min(total, rooms[number])
        total -= parts[number]
    return parts
