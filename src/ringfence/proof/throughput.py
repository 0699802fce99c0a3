"""The most that can move in a length of time: exact maximum flow over the ways an attacker can use.

Compartments of the source are filled without end (or with their supply), the sink swallows everything, and
each cap counts as often as its window can fall within the time asked about: a fixed window of length W within
H at most ⌈H/W⌉ + 1 times, a rolling one ⌈H/W⌉ times, a refilling bucket once full and then as it refills.

A member that stands for all others has caps without end, so a bound holds for any number of members. What
limits the flow are the *items* of the smallest cut: caps of gates, and supplies. Anyone can check them: sum
them up, and see that no way is left from source to sink that does not pass one (see `checker`).

A cap over a whole family joins what the members' own caps keep apart. Where its ways also end with a member,
joining them would let one member's value leave at another's end; so the bound is found both with that mixing
and without that cap, and the smaller one is the answer. Both are upper bounds.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ringfence.kernel.money import divide_up
from ringfence.proof.flow import UNLIMITED, Network
from ringfence.proof.reach import Usable
from ringfence.proof.world import NOBODY, Cap, Rule, Way, World

ItemKind = Literal["each", "all", "supply"]


class Item(NamedTuple):
    """What limits a flow: a rule's cap for `each` member or for `all`, or the `supply` of a place.

    A cap counts what a rule moves in all directions and legs together, so it is known by the rule's name.
    who: the member, or the place of a supply; NOBODY for a whole family.
    """

    kind: ItemKind
    rule: str
    who: int


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked: from any of `sources` to any of `sinks` (None: to anywhere else) within `horizon_ns`.

    others: how many members the one that stands for all others is; None for any number.
    """

    sources: frozenset[int]
    sinks: frozenset[int] | None
    horizon_ns: int
    others: int | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """The most units of one asset that can pass, None where there is no limit; `items` are the caps and
    supplies of the cut with the units each counts, which sum up to it."""

    units: int | None
    items: tuple[tuple[Item, int], ...] = ()


def charge(cap: Cap, horizon_ns: int) -> int:
    """Return the most units a cap lets through within a length of time."""
    if cap.kind == "refill":
        return cap.units + divide_up(cap.units * horizon_ns, cap.length_ns)
    windows = divide_up(horizon_ns, cap.length_ns)
    return cap.units * (windows + 1 if cap.kind == "fixed" else windows)


def most(world: World, can_use: Usable, asset: int, span: Span) -> Bound:
    """Return the tight bound on one asset over the ways that can be used."""
    ways = [way for way in can_use.ways if world.ways[way].asset == asset]
    if span.sinks is None:
        ways = [way for way in ways if world.ways[way].source in span.sources]
    plan = _Plan(world, asset, span, keeps_all_caps=True)
    bound = plan.solve(ways, can_use.voided)
    if not plan.is_mixing:
        return bound
    apart = _Plan(world, asset, span, keeps_all_caps=False).solve(ways, can_use.voided)
    return min(bound, apart, key=lambda one: UNLIMITED if one.units is None else one.units)


Box = tuple[int, int]
"""The points before and behind a cap."""


class _Plan:
    """The network of one question while it is built.

    is_mixing: some cap over a whole family joins ways that lead on to different members.
    """

    def __init__(self, world: World, asset: int, span: Span, *, keeps_all_caps: bool) -> None:
        self.world = world
        self.asset = asset
        self.span = span
        self.keeps_all_caps = keeps_all_caps
        self.is_mixing = False
        self.network = Network()
        self.source = self.network.point()
        self.sink = self.network.point()
        self.outside = self.network.point()
        self.points: dict[int, int] = {}
        self.joined: set[tuple[int, int]] = set()
        self.limits: list[tuple[int, int, int, Item]] = []

    def solve(self, ways: Iterable[int], voided: frozenset[int]) -> Bound:
        by_rule: dict[int, list[Way]] = {}
        for index in ways:
            way = self.world.ways[index]
            if index in voided:
                self.join(self.point(way.source), self.end(way.target))
            else:
                by_rule.setdefault(way.rule, []).append(way)
        for rule, group in by_rule.items():
            self.add_rule(self.world.rules[rule], group)
        for place in sorted(self.span.sources & self.points.keys()):
            supply = self.supply(place)
            self.limit(self.source, self.points[place], supply, Item("supply", "", place))
        if self.network.push(self.source, self.sink) >= UNLIMITED:
            return Bound(None)
        items = self.cut()
        return Bound(sum(items.values()), tuple(items.items()))

    def add_rule(self, row: Rule, ways: list[Way]) -> None:
        """Lead the ways of one rule through its caps: a box for each member, and one for the whole family."""
        horizon_ns = self.span.horizon_ns
        each = row.each.get(self.asset)
        whole = row.all.get(self.asset) if self.keeps_all_caps else None
        has_one_end = len({self.end(way.target) for way in ways}) == 1
        family = None
        if whole is not None:
            family = self.box(charge(whole, horizon_ns), Item("all", row.name, NOBODY))
            self.is_mixing |= not has_one_end and len({way.source for way in ways}) > 1
        members: dict[int, Box] = {}
        for way in ways:
            if way.member not in members:
                units = UNLIMITED if each is None else self.times(charge(each, horizon_ns), way.member)
                members[way.member] = self.box(units, Item("each", row.name, way.member))
            self.lead(way, members[way.member], family, family_last=has_one_end)

    def lead(self, way: Way, member: Box, family: Box | None, *, family_last: bool) -> None:
        """Lead a way through its member's box, then (or before) through the family's."""
        boxes = [member]
        if family is not None:
            boxes = [member, family] if family_last else [family, member]
        at = self.point(way.source)
        for enter, leave in boxes:
            self.join(at, enter)
            at = leave
        self.join(at, self.end(way.target))

    def box(self, units: int, item: Item) -> Box:
        enter, leave = self.network.point(), self.network.point()
        self.limit(enter, leave, units, item)
        return enter, leave

    def limit(self, source: int, target: int, units: int, item: Item) -> None:
        self.network.arc(source, target, units)
        self.limits.append((source, target, units, item))

    def join(self, source: int, target: int) -> None:
        if (source, target) not in self.joined:
            self.joined.add((source, target))
            self.network.arc(source, target, UNLIMITED)

    def point(self, place: int) -> int:
        if place not in self.points:
            self.points[place] = self.network.point()
        return self.points[place]

    def end(self, place: int) -> int:
        """Return where value at a place goes on: into the sink, nowhere from outside, else from the place."""
        if self.span.sinks is None or place in self.span.sinks:
            return self.sink
        return self.outside if self.world.places[place].external else self.point(place)

    def supply(self, place: int) -> int:
        row = self.world.places[place]
        if row.supply is None:
            return UNLIMITED
        return self.times(row.supply.get(self.asset, 0), row.member)

    def times(self, units: int, member: int) -> int:
        """Count units once, or as often as there are members that this one stands for."""
        if member == NOBODY or not self.world.members[member].others:
            return units
        if self.span.others is None:
            return UNLIMITED if units else 0
        return units * self.span.others

    def cut(self) -> dict[Item, int]:
        """List the limits that the smallest cut goes through, each once: what it counts, it counts for all
        directions of its rule together."""
        side = self.network.source_side(self.source)
        return {
            item: units
            for source, target, units, item in self.limits
            if source in side and target not in side
        }
