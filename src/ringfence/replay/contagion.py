"""Who paid for whom: the shadow ledger of a run read out as figures.

Every sleeve has a purse: what its owner put in, plus what its own positions made, plus what others paid for
it. Take away what others paid, and a sleeve that lost more than it had is below zero by its own deficit.
Insurance, deleveraging and the house may have borne some of that, and each has a column of its own. What is
left was borne by the collateral of another strategy or another client:

    foreign loss = what a sleeve lost beyond its own money, less what pools and the last owner paid for it

It is the final figure of a run: what was used and given back again does not count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ringfence.replay.engine import Run
from ringfence.replay.log import Tally
from ringfence.replay.risk import initial_by_unit
from ringfence.replay.terms import Ints
from ringfence.replay.world import Ground

_QUANTUM_SCALE = 1e12


@dataclass(frozen=True, slots=True)
class Conduit:
    """What let money cross, where the policy says so, and how much crossed in quote units."""

    name: str
    line: str
    units: int


@dataclass(frozen=True, slots=True)
class Figures:
    """The columns of one run; money in units of the quote.

    foreign_loss: see above; insurance_used: by pools; profit_forgone: by those who were deleveraged;
    naked_delta: what hedges are out of balance at the end; house_loss: paid by the last owner; closure_cost:
    slippage, penalties and cost of selling collateral; clients_wiped_out: left with under a hundredth of what
    they had; accounts_liquidated: units closed by force, at least in part; bankruptcies: units that failed;
    conduits: through what the foreign loss crossed.
    """

    foreign_loss: int
    insurance_used: int
    profit_forgone: int
    naked_delta: int
    house_loss: int
    closure_cost: int
    clients_wiped_out: int
    accounts_liquidated: int
    bankruptcies: int
    conduits: tuple[Conduit, ...]


COLUMNS = (
    "foreign_loss",
    "insurance_used",
    "profit_forgone",
    "naked_delta",
    "house_loss",
    "closure_cost",
    "clients_wiped_out",
    "accounts_liquidated",
    "bankruptcies",
)


def figures_of(run: Run) -> Figures:
    """Read the columns out of a run."""
    worth = sleeve_worth(run)
    lent = run.world.lent.sum(axis=1)
    foreign = np.maximum(0, lent - worth)
    conduits = _conduits(run, foreign)
    tally = run.world.tally
    return Figures(
        foreign_loss=sum(conduit.units for conduit in conduits),
        insurance_used=int(tally[Tally.POOL_PAID]),
        profit_forgone=int(tally[Tally.PROFIT_FORGONE]),
        naked_delta=int(np.abs(_hedge_delta(run)).sum()),
        house_loss=int(tally[Tally.LAST_PAID]),
        closure_cost=int(tally[Tally.SLIPPAGE] + tally[Tally.PENALTIES] + tally[Tally.SALE_COST]),
        clients_wiped_out=int(_is_wiped_out(run, worth).sum()),
        accounts_liquidated=int(run.world.units["was_forced"].sum()),
        bankruptcies=int(run.world.units["is_bankrupt"].sum()),
        conduits=conduits,
    )


def sleeve_worth(run: Run) -> Ints:
    """Value what each sleeve holds and has open at the last price, in quote units: [sleeves]."""
    world = run.world
    worth = world.purse[:, 0].copy()
    for coin in range(1, world.purse.shape[1]):
        worth += np.floor(world.purse[:, coin] / _QUANTUM_SCALE * run.prices_e10[coin]).astype(np.int64)
    values = run.ticks * world.instruments["value_per_tick"]
    positions = world.positions
    instrument = world.slots["instrument"][positions["slot"]]
    profit = positions["contracts"] * values[instrument] - positions["session"]
    np.add.at(worth, positions["sleeve"], profit)
    return worth


def capital_frozen(ground: Ground, joint: Ground, marks_e10: Ints) -> int:
    """Return the initial margin that clients lock at the start and that one account each would free."""
    apart, together = (_initial_by_client(one, marks_e10) for one in (ground, joint))
    return int(np.maximum(0, apart - together).sum())


def _initial_by_client(ground: Ground, marks_e10: Ints) -> Ints:
    ticks = marks_e10 // ground.terms.instruments["tick_e10"]
    by_unit = initial_by_unit(ground.world, ticks).reshape(-1, len(ground.kinds))
    total: Ints = by_unit.sum(axis=1)
    return total


def _hedge_delta(run: Run) -> Ints:
    """Return what each hedge is long (or short) of its coin in all, in quote units: [sleeves, coins]."""
    world, per_client = run.world, len(run.ground.sleeves)
    is_hedge = np.tile([style == "hedge" for style in run.ground.styles], len(run.ground.clients))
    delta = np.zeros(world.purse.shape, dtype=np.int64)
    for coin in range(1, world.purse.shape[1]):
        delta[:, coin] = np.floor(world.purse[:, coin] / _QUANTUM_SCALE * run.prices_e10[coin])
    values = run.ticks * world.instruments["value_per_tick"]
    positions = world.positions
    instrument = world.slots["instrument"][positions["slot"]]
    coin = world.instruments["coin"][instrument]
    held = coin > 0
    sold = positions["contracts"][held] * values[instrument[held]]
    np.add.at(delta, (positions["sleeve"][held], coin[held]), sold)
    makers = np.arange(len(delta)) // per_client >= run.ground.makers_from
    delta[~is_hedge | makers] = 0
    return delta


def _is_wiped_out(run: Run, worth: Ints) -> Ints:
    """Say which clients are left with under a hundredth of what they put in."""
    world, clients = run.world, run.ground.makers_from
    per_client = len(run.ground.sleeves)
    margined = world.sleeves["unit"] >= 0
    by_unit = np.zeros(len(world.units), dtype=np.int64)
    np.add.at(by_unit, world.sleeves["unit"][margined], worth[margined])
    kinds = len(run.ground.kinds)
    left = np.maximum(by_unit, 0).reshape(-1, kinds).sum(axis=1)
    np.add.at(left, np.flatnonzero(~margined) // per_client, worth[~margined])
    start = run.ground.world.purse
    put_in = start[:, 0].astype(np.float64)
    for coin in range(1, start.shape[1]):
        first = run.path.marks_e10[0][run.ground.terms.price_of[coin]]
        put_in += start[:, coin] / _QUANTUM_SCALE * first
    put_in = put_in.reshape(-1, per_client).sum(axis=1)
    wiped: Ints = (left < put_in / 100)[:clients].astype(np.int64)
    return wiped


# --- through what it crossed -------------------------------------------------------------------


def _conduits(run: Run, foreign: Ints) -> tuple[Conduit, ...]:
    """Split the foreign loss over the waterfall steps, gates and shared compartments it came through."""
    crossed: dict[tuple[str, str], int] = {}
    names = _conduit_names(run.ground)
    for number, units in run.fed_to_pools.items():
        crossed[names[number]] = crossed.get(names[number], 0) + units
    for sleeve in np.flatnonzero(foreign):
        left = int(foreign[sleeve])
        for number, name in enumerate(names):
            part = min(left, max(0, int(run.world.lent[sleeve, number])))
            if part:
                crossed[name] = crossed.get(name, 0) + part
                left -= part
        if left:
            pattern = run.ground.pattern_of(int(run.world.sleeves["comp"][sleeve]))
            shared = (f"shared compartment {pattern}", run.ground.policy.line("compartments", pattern))
            crossed[shared] = crossed.get(shared, 0) + left
    return tuple(Conduit(name, line, units) for (name, line), units in crossed.items())


def _conduit_names(ground: Ground) -> Sequence[tuple[str, str]]:
    names: list[tuple[str, str]] = []
    steps = ground.world.unit_pools.shape[1]
    for kind, pools in zip(ground.kinds, ground.covers, strict=True):
        fall = next((name for name, one in ground.policy.waterfalls.items() if kind in one.covers), "")
        line = ground.policy.line("waterfalls", fall)
        covers = [(f"step `cover: {pool}` of waterfall {fall}", line) for pool in pools]
        names += covers + [("", "")] * (steps - len(covers))
    names += [(f"gate {one.gate}, {one.source} → {one.target}", one.line) for one in ground.feeds]
    return names
