"""A unit of a replay as a bucket of margin, so that both rules can be asked the same question."""

from collections.abc import Mapping

from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.marks import Prices
from ringfence.replay.terms import Ints
from ringfence.replay.world import Ground, World


def bucket_of(ground: Ground, world: World, unit: int) -> Bucket:
    row = world.units[unit]
    sleeves = world.unit_sleeves[row["first_sleeve"] : row["end_sleeve"]]
    held = world.purse[sleeves].sum(axis=0)
    balances = {
        name: int(held[coin]) * ground.names.quantum_units[coin]
        for coin, name in enumerate(ground.names.coins)
    }
    fall = next(
        (one for one in ground.policy.waterfalls.values() if ground.kinds[row["kind"]] in one.covers), None
    )
    if row["debt"] and fall is not None and fall.record is not None:
        balances[fall.record] = int(row["debt"])
    positions = tuple(
        Position(ground.names.instruments[slot["instrument"]], int(slot["contracts"]), int(slot["session"]))
        for slot in world.slots[row["first_slot"] : row["end_slot"]]
        if slot["contracts"] or slot["session"]
    )
    return Bucket("cross", balances, positions)


def prices_of(ground: Ground, marks_e10: Ints) -> Prices:
    marks = {name: int(mark) for name, mark in zip(ground.names.instruments, marks_e10, strict=True)}
    coins = {
        name: int(marks_e10[ground.terms.price_of[coin]])
        for coin, name in enumerate(ground.names.coins)
        if coin > 0
    }
    return Prices(coins, marks)


def execution_e10(
    ground: Ground, world: World, unit: int, ticks: Ints, slippage_ppm: int
) -> Mapping[str, int]:
    """The price that closing each position would get: the same rule, in Python's integers."""
    row = world.units[unit]
    found = {}
    for slot in world.slots[row["first_slot"] : row["end_slot"]]:
        number = int(slot["instrument"])
        instrument = ground.policy.instruments[ground.names.instruments[number]]
        slip = min(slippage_ppm, instrument.price_band_ppm)
        mark = int(ticks[number])
        if slot["contracts"] > 0:
            price = max(1, -(-mark * (10**6 - slip) // 10**6))
        else:
            price = mark * (10**6 + slip) // 10**6
        found[ground.names.instruments[number]] = price * instrument.tick_e10
    assert all(price < 1_000_000 * PRICE_SCALE for price in found.values())
    return found
