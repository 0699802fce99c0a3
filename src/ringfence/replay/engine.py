"""One replay: one layout, one order of moves, one slippage; from the opening to the last price.

The loop is short because the work is compiled: walk to the next price point at which a unit must be closed or
a cycle ends, feed what the policy lets the platform feed, close, settle, go on. Everything is decided by
whole numbers, so a run is the same on every machine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ringfence.kernel.errors import ViolationError
from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.replay.closing import close_all
from ringfence.replay.feeding import Feeding
from ringfence.replay.log import Tally
from ringfence.replay.paths import PricePath
from ringfence.replay.population import Population
from ringfence.replay.risk import scan
from ringfence.replay.settling import settle
from ringfence.replay.terms import Ints, coin_prices, contract_values
from ringfence.replay.world import Ground, World, fresh

FUNDING_RATE_E10 = PRICE_SCALE // 10_000
"""Funding of each interval where no rates are given: 0.01 %, longs pay shorts."""

SALE_COST_PPM_MAX = 10_000
"""The most that a sale of collateral to the last owner costs: 1 % of the index, as the examples have it."""


@dataclass(frozen=True, slots=True)
class Run:
    """What is left after a replay, and the prices it ended at.

    fed_to_pools: by conduit, client money that the platform put into pools or the house (see `feeding`).
    """

    ground: Ground
    path: PricePath
    slippage_ppm: int
    world: World
    ticks: Ints
    prices_e10: Ints
    fed_to_pools: Mapping[int, int]


def replay(
    ground: Ground,
    population: Population,
    path: PricePath,
    slippage_ppm: int,
    *,
    log_rows: int = 0,
    followed: int = -1,
) -> Run:
    """Replay one layout along one path.

    slippage_ppm: what forced closures lose against the mark, inside the price band; log_rows: how many rows
    of what happened to keep; followed: the unit whose figures are kept at every point.
    """
    ticks = path.marks_e10 // ground.terms.instruments["tick_e10"]
    prices = coin_prices(ground.terms, path.marks_e10)
    world = fresh(ground.world, len(path.at), log_rows, followed)
    open_world(ground, population, world, path)
    due = cycles(ground, path)
    joint, feeding = has_joint_units(world), Feeding(ground)
    band = sale_band_ppm(ground)
    sale_cost = min(slippage_ppm, SALE_COST_PPM_MAX, band)
    point, end = 1, len(path.at)
    while point < end:
        stop = next((one for one in due if one >= point), end - 1)
        found = scan(world, ticks, prices, point, stop + 1)
        at = min(found, stop)
        here = (at, int(path.at[at]), ticks[at], prices[at])
        if found <= stop:
            feeding.feed(world, *here)
            close_all(world, *here, slippage_ppm)
        if found <= stop or at in due:
            settles, funds = due.get(at, (world.touched, np.zeros_like(world.touched)))
            settles = np.ones_like(settles) if joint else settles | world.touched
            settle(world, *here, sale_cost, band, settles, funds, FUNDING_RATE_E10)
            world.touched[:] = 0
        point = at + 1
    run = Run(ground, path, slippage_ppm, world, ticks[-1], prices[-1], feeding.into_pools)
    check_books(run)
    return run


def sale_band_ppm(ground: Ground) -> int:
    """Return how far the price of coins sold for a debt may be from the index, by the narrowest exchange."""
    bands = (
        exchange.band_ppm
        for exchange in ground.rules.exchanges.values()
        if "debt_repayment" in exchange.gate.accrual and exchange.band_ppm is not None
    )
    return min(bands, default=SALE_COST_PPM_MAX)


def open_world(ground: Ground, population: Population, world: World, path: PricePath) -> None:
    """Put everyone's money in place, open the positions at the first price, and charge the fees for it."""
    np.add.at(world.balance, world.sleeves["comp"], world.purse)
    for pattern, capital in ground.house.items():
        world.balance[ground.comp(pattern), 0] += capital
    values = contract_values(ground.terms, path.marks_e10[0])
    position_instrument = world.slots["instrument"][world.positions["slot"]]
    world.positions["session"] = world.positions["contracts"] * values[position_instrument]
    world.slots["session"] = world.slots["contracts"] * values[world.slots["instrument"]]
    fills, per_client = population.opening, len(ground.sleeves)
    notional = np.abs(fills.contracts) * values[fills.instrument]
    takers = fills.client * per_client + fills.sleeve
    makers = fills.maker * per_client + population.maker_sleeve
    _charge(world, takers, _share_up(notional, world.instruments["taker_ppm"][fills.instrument]))
    _charge(world, makers, _share_up(notional, world.instruments["maker_ppm"][fills.instrument]))


def _charge(world: World, sleeve: Ints, fee: Ints) -> None:
    unit = world.sleeves["unit"][sleeve]
    target = world.units["fees"][unit]
    fee = np.where(target >= 0, fee, 0)
    np.subtract.at(world.purse[:, 0], sleeve, fee)
    np.subtract.at(world.balance[:, 0], world.sleeves["comp"][sleeve], fee)
    np.add.at(world.balance[:, 0], target, fee)
    world.tally[Tally.FEES] += fee.sum()


def _share_up(units: Ints, ppm: Ints) -> Ints:
    """Return `ppm` of units, rounded up; nothing where it would be a rebate."""
    rate = np.maximum(ppm, 0)
    share: Ints = units // PPM * rate + -(-(units % PPM * rate) // PPM)
    return share


def has_joint_units(world: World) -> bool:
    """Say whether a unit holds several instruments.

    Then all instruments settle together, so that a loss on one is paid with the profit on another. Where
    every unit holds one, each instrument settles by itself, and nobody else's bucket is touched.
    """
    return bool((world.units["end_slot"] - world.units["first_slot"] > 1).any())


def cycles(ground: Ground, path: PricePath) -> dict[int, tuple[Ints, Ints]]:
    """Map each point at which a cycle ends to the instruments that settle and that fund there, a flag each.

    A cycle ends at the first point of each of its windows but the window of the first point.
    """
    terms = ground.terms.instruments
    due: dict[int, tuple[Ints, Ints]] = {}
    for number in range(len(terms)):
        for column, length_ns in enumerate((terms["settlement_ns"][number], terms["funding_ns"][number])):
            for point in np.flatnonzero(np.diff(path.at // max(1, length_ns))) + 1 if length_ns else ():
                blank = (np.zeros(len(terms), dtype=np.int64), np.zeros(len(terms), dtype=np.int64))
                due.setdefault(int(point), blank)[column][number] = 1
    return dict(sorted(due.items()))


def check_books(run: Run) -> None:
    """Hold the shadow ledger against the compartments: ViolationError where a unit is lost or made."""
    world = run.world
    purses = np.zeros_like(world.balance)
    np.add.at(purses, world.sleeves["comp"], world.purse)
    differs = (purses != world.balance).any(axis=1) & (
        world.comps["first_sleeve"] < world.comps["end_sleeve"]
    )
    if differs.any():
        path = run.ground.path(int(np.flatnonzero(differs)[0]))
        raise ViolationError(f"{path} holds something else than its sleeves have in it")
    if (world.balance < 0).any():
        path = run.ground.path(int(np.argwhere(world.balance < 0)[0][0]))
        raise ViolationError(f"{path} was overdrawn; it would have to bring more capital")
    net = np.zeros(len(run.ticks), dtype=np.int64)
    np.add.at(net, world.slots["instrument"], world.slots["contracts"])
    if net.any():
        name = run.ground.names.instruments[int(np.flatnonzero(net)[0])]
        raise ViolationError(f"the contracts of {name} do not net to zero")
