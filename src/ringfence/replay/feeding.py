"""Using the feeds of a policy when buckets are short; nothing happens where the policy has none."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from ringfence.kernel.money import share_up
from ringfence.replay.feeds import Feed
from ringfence.replay.log import Row
from ringfence.replay.risk import AT_STOP, LIQUIDATE, unit_figures
from ringfence.replay.terms import Ints
from ringfence.replay.world import Ground, World


@dataclass(slots=True)
class Feeding:
    """The feeds of one run: what went through each of them in the present window, and into pools in all.

    into_pools: by conduit, client money that went into a pool or to the house to pay what others owe.
    """

    ground: Ground
    into_pools: dict[int, int] = field(default_factory=dict)
    point: int = 0
    _spent: dict[tuple[int, int, int], int] = field(default_factory=dict)

    def feed(self, world: World, point: int, at: int, ticks: Ints, prices_e10: Ints) -> None:
        """Put what is missing into every unit that would be closed, and into the pools that will be asked."""
        if not self.ground.feeds:
            return
        self.point = point
        short = np.flatnonzero((world.units["level"] == LIQUIDATE) & (world.units["is_closed"] == 0))
        for unit in short:
            worth, needed = unit_figures(world, int(unit), ticks, prices_e10)
            missing = share_up(needed, int(world.levels[AT_STOP])) - worth
            comp = int(world.units["comp"][unit])
            self._pull(world, comp, missing, at, frozenset((comp,)))
        self._fill_pools(world, short, at, ticks, prices_e10)

    def _fill_pools(self, world: World, short: Ints, at: int, ticks: Ints, prices_e10: Ints) -> None:
        """Bring pools up to what the failing units lack, before anyone is deleveraged or the house asked."""
        asked: dict[int, int] = {}
        for unit in short:
            lacking = -unit_figures(world, int(unit), ticks, prices_e10)[0]
            for payer in (*world.unit_pools[unit], world.units["last"][unit]):
                if payer >= 0 and lacking > 0:
                    asked[int(payer)] = asked.get(int(payer), 0) + lacking
        for payer, lacking in asked.items():
            self._pull(world, payer, lacking - int(world.balance[payer, 0]), at, frozenset((payer,)))

    def _pull(self, world: World, comp: int, wanted: int, at: int, seen: frozenset[int]) -> int:
        """Move up to `wanted` units into a compartment through its feeds; return how much came."""
        came = 0
        pattern = self.ground.pattern_of(comp)
        for number, one in enumerate(self.ground.feeds):
            if one.target != pattern or came >= wanted:
                continue
            for donor in self._donors(one, comp, seen):
                if came >= wanted:
                    break
                held = int(world.balance[donor, 0])
                if held < wanted - came:
                    held += self._pull(world, donor, wanted - came - held, at, seen | {donor})
                part = min(wanted - came, held, self._room(number, one, donor, at))
                if part > 0:
                    self._move(world, number, donor, comp, part, at)
                    came += part
        return came

    def _donors(self, one: Feed, comp: int, seen: frozenset[int]) -> Iterator[int]:
        """List the compartments a feed may draw on for one target: the member's own, or everyone's."""
        client = self.ground.client_of(comp)
        if not self.ground.is_family_pattern(one.source):
            donors = [self.ground.comp(one.source)]
        elif client >= 0 and not one.joins_members:
            donors = [self.ground.comp(one.source, client)]
        else:
            donors = [self.ground.comp(one.source, other) for other in range(len(self.ground.clients))]
        return (donor for donor in donors if donor not in seen)

    def _note(self, world: World, donor: int, comp: int, number: int, units: int) -> None:
        row = int(world.logged[0])
        if row < len(world.log):
            world.log[row] = (Row.FEED, self.point, donor, comp, number, units, 0, 0)
        world.logged[0] = row + 1

    def _room(self, number: int, one: Feed, donor: int, at: int) -> int:
        rooms = [
            units - self._spent.get((number, who, at // length), 0)
            for units, length, who in ((one.each_units, one.each_ns, donor), (one.all_units, one.all_ns, -1))
            if units is not None
        ]
        return max(0, min(rooms, default=2**62))

    def _move(self, world: World, number: int, donor: int, comp: int, units: int, at: int) -> None:
        one = self.ground.feeds[number]
        self._note(world, donor, comp, number, units)
        conduit = self.ground.feed_conduit(number)
        for length, who in ((one.each_ns, donor), (one.all_ns, -1)):
            key = (number, who, at // length)
            self._spent[key] = self._spent.get(key, 0) + units
        world.balance[donor, 0] -= units
        world.balance[comp, 0] += units
        given = _take(world, donor, conduit, units)
        target = world.comps[comp]
        if target["first_sleeve"] == target["end_sleeve"]:
            self.into_pools[conduit] = self.into_pools.get(conduit, 0) + given
            return
        sleeves = world.comp_sleeves[target["first_sleeve"] : target["end_sleeve"]]
        neediest = sleeves[int(np.argmin(world.purse[sleeves, 0]))]
        world.purse[neediest, 0] += units
        world.lent[neediest, conduit] += units


def _take(world: World, comp: int, conduit: int, units: int) -> int:
    """Take units out of the purses of a compartment; return how much of it was a client's."""
    row = world.comps[comp]
    taken = 0
    for sleeve in world.comp_sleeves[row["first_sleeve"] : row["end_sleeve"]]:
        part = min(units - taken, max(0, int(world.purse[sleeve, 0])))
        world.purse[sleeve, 0] -= part
        world.lent[sleeve, conduit] -= part
        taken += part
    return taken
