"""What an attacker ends up with, and where value can go: two least fixpoints, each with its reasons.

The attacker's state only grows: services owned, keys had, ways open (own / have / open). `contained` is what
the start holds and may call; with `pivot` every service that an owned one can open a connection to falls too.
Every member of a fixpoint remembers what brought it in, so that each answer can be told as a story.

Sound, so that "cannot" can be believed: conditions, delays and amounts are passed over (a gate that might
open, opens), keys that sign on evidence are assumed had, standing mandates are assumed granted.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from ringfence.proof.world import NOBODY, World

if TYPE_CHECKING:
    from ringfence.proof.columns import Columns

Mode = Literal["contained", "pivot"]

COLUMNS_FROM = 5_000
"""Ways from which on a world is asked by columns instead of by rows."""


@dataclass(frozen=True, slots=True)
class Start:
    """What an attacker begins with: services broken into and keys stolen, by position."""

    services: frozenset[int] = frozenset()
    keys: frozenset[int] = frozenset()


class Cause(NamedTuple):
    """Why something fell: `taken` at the start, by a `flow` from a service, `held` by a service, `given` on
    evidence, or `derived` from keys."""

    how: Literal["taken", "flow", "held", "given", "derived"]
    by: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Grip:
    """Services owned and keys had, each with its cause."""

    owned: dict[int, Cause] = field(default_factory=dict)
    had: dict[int, Cause] = field(default_factory=dict)


class Index:
    """Lookups over one world, built when first asked for."""

    def __init__(self, world: World) -> None:
        self.world = world

    @cached_property
    def flows_from(self) -> dict[int, list[int]]:
        """Services that each service can open a connection to."""
        table: dict[int, list[int]] = {}
        for source, target in self.world.flows:
            table.setdefault(source, []).append(target)
        return table

    @cached_property
    def needs_of_key(self) -> dict[int, list[int]]:
        """Needs in which each key counts."""
        table: dict[int, list[int]] = {}
        for index, need in enumerate(self.world.needs):
            for key in need.keys:
                table.setdefault(key, []).append(index)
        return table

    @cached_property
    def needs_of_part(self) -> dict[int, list[int]]:
        """Needs of which each need is a part."""
        table: dict[int, list[int]] = {}
        for index, need in enumerate(self.world.needs):
            for part in need.parts:
                table.setdefault(part, []).append(index)
        return table

    @cached_property
    def needs_of_nobody(self) -> list[int]:
        """Needs that hold without any key."""
        return [index for index, need in enumerate(self.world.needs) if need.count == 0]

    @cached_property
    def ways_of_need(self) -> dict[int, list[int]]:
        """Ways that open with each need."""
        table: dict[int, list[int]] = {}
        for index, way in enumerate(self.world.ways):
            table.setdefault(way.needs, []).append(index)
        return table

    @cached_property
    def ways_of_planes(self) -> dict[tuple[str, ...], list[int]]:
        """Ways by the planes that check them."""
        table: dict[tuple[str, ...], list[int]] = {}
        planes = [rule.planes for rule in self.world.rules]
        for index, way in enumerate(self.world.ways):
            table.setdefault(planes[way.rule], []).append(index)
        return table

    @property
    def is_large(self) -> bool:
        """Say whether columns are worth their building."""
        return len(self.world.ways) >= COLUMNS_FROM

    @cached_property
    def columns(self) -> "Columns":
        """The same world as columns of numbers."""
        from ringfence.proof.columns import Columns

        return Columns(self.world)

    @cached_property
    def given_keys(self) -> dict[int, Cause]:
        """Keys whose signature everybody is assumed to get."""
        return {index: Cause("given") for index, key in enumerate(self.world.keys) if key.given}


# --- own and have ------------------------------------------------------------------------------


def spread(index: Index, start: Start, mode: Mode) -> Grip:
    """Return everything that falls when the start does."""
    world = index.world
    grip = Grip(had=dict(index.given_keys))
    for key in sorted(start.keys):
        grip.had[key] = Cause("taken")
    queue = sorted(start.services)
    grip.owned.update((service, Cause("taken")) for service in queue)
    for service in queue:
        for key in world.services[service].holds:
            grip.had.setdefault(key, Cause("held", (service,)))
        if mode == "pivot":
            for target in index.flows_from.get(service, ()):
                if target not in grip.owned:
                    grip.owned[target] = Cause("flow", (service,))
                    queue.append(target)
    _derive(world, grip)
    return grip


def _derive(world: World, grip: Grip) -> None:
    """Add every key that can be computed from keys had, until nothing more follows."""
    waiting = [rule for rule in world.derivations if rule.gives not in grip.had]
    grew = True
    while grew:
        grew = False
        for rule in waiting:
            if rule.gives not in grip.had and all(key in grip.had for key in rule.known):
                grip.had[rule.gives] = Cause("derived", rule.known)
                grew = True


# --- open --------------------------------------------------------------------------------------


def met_needs(index: Index, keys: Iterable[int]) -> set[int]:
    """Return the needs that these keys meet."""
    needs = index.world.needs
    met = set(index.needs_of_nobody)
    missing: dict[int, int] = {}
    queue = list(index.needs_of_nobody)

    def count(holders: Sequence[int]) -> None:
        for need in holders:
            left = missing.get(need, needs[need].count) - 1
            missing[need] = left
            if left == 0 and need not in met:
                met.add(need)
                queue.append(need)

    for key in keys:
        count(index.needs_of_key.get(key, ()))
    for need in queue:
        count(index.needs_of_part.get(need, ()))
    return met


@dataclass(frozen=True, slots=True)
class Usable:
    """Ways an attacker can use: `ways` in order; those in `voided` without their keys and limits, because
    every verifier is owned."""

    ways: tuple[int, ...]
    voided: frozenset[int]


def usable(index: Index, grip: Grip, plane: str) -> Usable:
    """Return the ways that a plane checks and this attacker can use on it."""
    if index.is_large:
        opened, void = index.columns.usable(grip.owned, grip.had, plane)
        return Usable(tuple(opened.nonzero()[0].tolist()), frozenset(void.nonzero()[0].tolist()))
    return usable_by_rows(index, grip, plane)


def usable_by_rows(index: Index, grip: Grip, plane: str) -> Usable:
    """Answer `usable` row by row: to be read."""
    world = index.world
    voided = frozenset(_voided(index, grip, plane))
    opened = set(voided)
    for need in met_needs(index, grip.had):
        for way in index.ways_of_need.get(need, ()):
            rule = world.rules[world.ways[way].rule]
            # What is owed is worked out by several; a lie about it needs all of them.
            if plane in rule.planes and (
                not rule.accrual or all(one in grip.owned for one in rule.computed_by)
            ):
                opened.add(way)
    return Usable(tuple(sorted(opened)), voided)


def _voided(index: Index, grip: Grip, plane: str) -> Iterable[int]:
    """Ways of which every verifier is owned: nobody is left to check a key, a limit or what is owed."""
    verifiers = index.world.verifiers
    for planes, ways in index.ways_of_planes.items():
        if plane in planes and all(verifiers.get(one, NOBODY) in grip.owned for one in planes):
            yield from ways


# --- reach -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reached:
    """Every (compartment, asset) that value can get to, each with the way that first led there (NOBODY: it
    was there from the start)."""

    by: dict[int, int]

    def path(self, world: World, node: int) -> tuple[int, ...]:
        """Return the ways from the start to a node, in order."""
        steps = []
        while self.by[node] != NOBODY:
            way = self.by[node]
            steps.append(way)
            node = world.node(world.ways[way].source, world.ways[way].asset)
        return tuple(reversed(steps))


def reach_in(index: Index, can_use: Usable, sources: Iterable[int]) -> Reached:
    """Follow usable ways from these nodes, by columns where the world is large."""
    if not index.is_large:
        return reach(index.world, can_use.ways, sources)
    return Reached(index.columns.reach(can_use.ways, sources))


def reach(world: World, ways: Iterable[int], sources: Iterable[int]) -> Reached:
    """Follow ways from these (compartment, asset) nodes; what left to the outside ends there."""
    size = len(world.assets)
    leaving: dict[int, list[int]] = {}
    for index in ways:
        way = world.ways[index]
        leaving.setdefault(way.source * size + way.asset, []).append(index)
    by = dict.fromkeys(sources, NOBODY)
    queue = list(by)
    for node in queue:
        for index in leaving.get(node, ()):
            way = world.ways[index]
            target = way.target * size + way.asset
            if target not in by:
                by[target] = index
                if not world.places[way.target].external:
                    queue.append(target)
    return Reached(by)
