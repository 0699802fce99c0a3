"""The fixpoints of `reach` over columns of numbers: the same answers, for worlds of a hundred thousand ways.

`reach` is the readable twin; tests hold the two equal. Columns are built once for a world and asked many
times: each question is a few passes over arrays instead of a walk from row to row.
"""

from collections.abc import Collection, Hashable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.proof.world import NOBODY, World

Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Columns:
    """The needs and ways of a world as columns. Ways are also listed by the node they leave."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts = _column(need.count for need in world.needs)
        self.keys_of = _pairs((number, need.keys) for number, need in enumerate(world.needs) if need.keys)
        self.parts_of = _pairs((number, need.parts) for number, need in enumerate(world.needs) if need.parts)
        self.planes, plane_of = _numbered(rule.planes for rule in world.rules)
        self.computing, computed_of = _numbered(
            rule.computed_by if rule.accrual else None for rule in world.rules
        )
        rule = _column(way.rule for way in world.ways)
        self.need = _column(way.needs for way in world.ways)
        self.plane_of = plane_of[rule]
        self.computed_of = computed_of[rule]
        size = len(world.assets)
        asset = _column(way.asset for way in world.ways)
        self.source = _column(way.source for way in world.ways) * size + asset
        self.target = _column(way.target for way in world.ways) * size + asset
        self.by_source = np.argsort(self.source, kind="stable")
        nodes = np.arange(len(world.places) * size + 1)
        self.first_from = np.searchsorted(self.source[self.by_source], nodes)
        external = np.fromiter((place.external for place in world.places), bool, len(world.places))
        self.leads_on = ~np.repeat(external, size)

    def met(self, keys: Iterable[int]) -> Flags:
        """Say of each need whether these keys meet it."""
        had = np.zeros(len(self.world.keys), bool)
        had[list(keys)] = True
        size = len(self.counts)
        signed = _count(self.keys_of, had, size)
        met = signed >= self.counts
        while len(self.parts_of[0]):
            wider = signed + _count(self.parts_of, met, size) >= self.counts
            if (wider == met).all():
                break
            met = wider
        return met

    def usable(self, owned: Collection[int], keys: Iterable[int], plane: str) -> tuple[Flags, Flags]:
        """Say of each way whether it can be used on a plane, and whether it is void (see `reach.usable`)."""
        verifiers = self.world.verifiers
        here = np.array([plane in planes for planes in self.planes], bool)
        void = here & np.array(
            [all(verifiers.get(one, NOBODY) in owned for one in planes) for planes in self.planes], bool
        )
        lie = np.array([who is None or all(one in owned for one in who) for who in self.computing], bool)
        opened = here[self.plane_of] & self.met(keys)[self.need] & lie[self.computed_of]
        return opened | void[self.plane_of], void[self.plane_of]

    def reach(self, usable: Collection[int], sources: Iterable[int]) -> dict[int, int]:
        """Return every node that value gets to by these ways, with the one that led there."""
        opened = np.zeros(len(self.need), bool)
        opened[list(usable)] = True
        by = np.full(len(self.leads_on), -2)
        start = np.array(list(dict.fromkeys(sources)), np.int64)
        by[start] = NOBODY
        frontier = start
        while len(frontier):
            ways = self._leaving(frontier)
            ways = ways[opened[ways]]
            ways = ways[by[self.target[ways]] == -2]
            # The first of several ways to a node stays; written backwards, it is written last.
            by[self.target[ways[::-1]]] = ways[::-1]
            found = np.unique(self.target[ways])
            frontier = found[self.leads_on[found]]
        reached = np.flatnonzero(by != -2)
        return dict(zip(reached.tolist(), by[reached].tolist(), strict=True))

    def _leaving(self, nodes: Numbers) -> Numbers:
        """List the ways that leave these nodes, node by node."""
        first = self.first_from[nodes]
        counts = self.first_from[nodes + 1] - first
        starts = np.repeat(first - np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
        return self.by_source[starts + np.arange(counts.sum())]


def _column(numbers: Iterable[int]) -> Numbers:
    return np.fromiter(numbers, np.int64)


def _pairs(rows: Iterable[tuple[int, tuple[int, ...]]]) -> tuple[Numbers, Numbers]:
    """Write lists as two columns: the row, and one of its members."""
    listed = list(rows)
    lengths = np.array([len(inside) for _, inside in listed], np.int64)
    outer = np.repeat(np.array([number for number, _ in listed], np.int64), lengths)
    return outer, _column(one for _, inside in listed for one in inside)


def _count(pairs: tuple[Numbers, Numbers], flags: Flags, size: int) -> Numbers:
    """Count for each row how many of its members are flagged."""
    rows, inside = pairs
    return np.bincount(rows[flags[inside]], minlength=size)


def _numbered(values: Iterable[Hashable]) -> tuple[list[Any], Numbers]:
    """List the distinct values, and say for each row which it is."""
    known: dict[Hashable, int] = {}
    column = _column(known.setdefault(value, len(known)) for value in values)
    return list(known), column
