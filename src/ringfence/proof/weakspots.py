"""Where a platform is thin: what every attack has to pass, who can move what, what would mend a claim.

choke points    gates, flows and keys without which a goal cannot be reached: guard these first
who can move    every single service or key whose fall lets value leave a place
smallest mend   the fewest gates and flows to take away so that a failing claim holds
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import msgspec

from ringfence.policy.model import Journey, Policy, Selector
from ringfence.proof.answers import Answer, answer
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.evidence import Hop
from ringfence.proof.fewest import fewest
from ringfence.proof.names import hop_of, nodes_held, places
from ringfence.proof.questions import (
    Asked,
    Count,
    Fault,
    Fewest,
    Grounds,
    ask,
    selected,
    start_of,
)
from ringfence.proof.reach import Index, Mode, Start, reach, spread, usable
from ringfence.proof.world import NOBODY, Fact, World


@dataclass(frozen=True, slots=True)
class Choke:
    """What every way to a goal passes, even with everything stolen."""

    gates: tuple[str, ...]
    keys: tuple[str, ...]
    services: tuple[str, ...]
    flows: tuple[tuple[str, str], ...] = ()


def choke_points(
    policy: Policy,
    source: Selector,
    target: Selector,
    plane: str,
    start: str = "",
    facts: Iterable[Fact] = (),
) -> Choke:
    """List what value cannot get from source to target without.

    start: a service; then flows are listed too, without which an attacker there could not pivot to the goal.
    """
    index = Grounds(policy, facts).index(cast_for_reach(policy, {}, (source.text, target.text)))
    world = index.world
    goal = _Goal(world, selected(world, source, {}), selected(world, target, {}), plane)
    everything = Start(frozenset(range(len(world.services))), frozenset(range(len(world.keys))))
    names = dict.fromkeys(world.rules[way.rule].name for way in world.ways)
    return Choke(
        gates=tuple(name for name in names if not goal.is_met(index, everything, without=name)),
        keys=tuple(
            key.name
            for number, key in enumerate(world.keys)
            if not key.given and not goal.is_met(index, _all_but_key(world, number))
        ),
        services=tuple(
            service.name
            for number, service in enumerate(world.services)
            if not goal.is_met(index, Start(frozenset(range(len(world.services))) - {number}))
            and goal.is_met(index, Start(frozenset(range(len(world.services)))))
        ),
        flows=_choke_flows(world, goal, start) if start else (),
    )


def _all_but_key(world: World, key: int) -> Start:
    """Everything but one key, nor the services that hold it."""
    services = (number for number, service in enumerate(world.services) if key not in service.holds)
    return Start(frozenset(services), frozenset(range(len(world.keys))) - {key})


def _choke_flows(world: World, goal: "_Goal", start: str) -> tuple[tuple[str, str], ...]:
    first = Start(frozenset(number for number, row in enumerate(world.services) if row.name == start))
    if not goal.is_met(Index(world), first, mode="pivot"):
        return ()
    found = []
    for number, (source, target) in enumerate(world.flows):
        cut = Index(msgspec.structs.replace(world, flows=world.flows[:number] + world.flows[number + 1 :]))
        if not goal.is_met(cut, first, mode="pivot"):
            found.append((world.services[source].name, world.services[target].name))
    return tuple(found)


class _Goal:
    """Value from some places gets to others, on one plane."""

    def __init__(self, world: World, sources: Iterable[str], sinks: Iterable[str], plane: str) -> None:
        self.sources = places(world, sources)
        self.sinks = places(world, sinks)
        self.plane = plane

    def is_met(self, index: Index, start: Start, *, without: str = "", mode: Mode = "contained") -> bool:
        world = index.world
        ways = usable(index, spread(index, start, mode), self.plane).ways
        if without:
            ways = tuple(way for way in ways if world.rules[world.ways[way].rule].name != without)
        reached = reach(world, ways, nodes_held(world, self.sources)).by
        return any(node // len(world.assets) in self.sinks for node in reached)


@dataclass(frozen=True, slots=True)
class Mover:
    """One service or key whose fall alone lets value leave a place; `gates` it leaves by."""

    start: str
    mode: Mode
    plane: str
    gates: tuple[str, ...]


def who_can_move(policy: Policy, place: Selector, facts: Iterable[Fact] = ()) -> tuple[Mover, ...]:
    """List every single service or key by whose fall value can leave a place."""
    index = Grounds(policy, facts).index(cast_for_reach(policy, {}, (place.text,)))
    world = index.world
    sources = places(world, selected(world, place, {}))
    starts = [(row.name, Start(frozenset({number}))) for number, row in enumerate(world.services)]
    starts += [(key.name, Start(keys=frozenset({n}))) for n, key in enumerate(world.keys) if not key.given]
    modes: tuple[Mode, ...] = ("contained", "pivot")
    planes = dict.fromkeys(plane for rule in world.rules for plane in rule.planes)
    found = []
    for name, start in starts:
        for mode in modes:
            grip = spread(index, start, mode)
            for plane in planes:
                ways = [world.ways[way] for way in usable(index, grip, plane).ways]
                gates = dict.fromkeys(world.rules[way.rule].name for way in ways if way.source in sources)
                if gates:
                    found.append(Mover(name, mode, plane, tuple(gates)))
    return tuple(found)


# --- ways and thefts ---------------------------------------------------------------------------


def route(
    policy: Policy,
    journey: Journey,
    names: Iterable[str] | None,
    mode: Mode,
    plane: str,
    facts: Iterable[Fact] = (),
    avoiding: Collection[str] = (),
) -> tuple[Hop, ...]:
    """Find a shortest way for value from one place to another; () where there is none.

    names: what is broken or stolen; None for everything; avoiding: gates that the way must not take, so that
    () says that everything goes through them.
    """
    wanted = None if names is None else tuple(names)
    texts = (journey.source.text, journey.target.text)
    index = Grounds(policy, facts).index(cast_for_reach(policy, {}, (*texts, *(wanted or ()))))
    world = index.world
    everything = Start(frozenset(range(len(world.services))), frozenset(range(len(world.keys))))
    start = everything if wanted is None else start_of(world, wanted)
    known = {rule.name for rule in world.rules}
    for name in avoiding:
        if name not in known:
            raise Fault(f"`{name}` is no gate, exchange or waterfall step")
    opened = usable(index, spread(index, start, mode), plane).ways
    ways = [way for way in opened if world.rules[world.ways[way].rule].name not in avoiding]
    sources, sinks = (places(world, selected(world, end, {})) for end in (journey.source, journey.target))
    found = reach(world, ways, nodes_held(world, sources))
    ends = (node for node, way in found.by.items() if way != NOBODY and node // len(world.assets) in sinks)
    hit = next(ends, None)
    return () if hit is None else tuple(hop_of(world, way) for way in found.path(world, hit))


def fewest_thefts(
    policy: Policy, journey: Journey, count: Count, plane: str, facts: Iterable[Fact] = ()
) -> Answer:
    """Find the fewest thefts that get value from one place to another."""
    texts = (journey.source.text, journey.target.text)
    index = Grounds(policy, facts).index(cast_for_reach(policy, {}, texts))
    world = index.world
    sources, sinks = (selected(world, end, {}) for end in (journey.source, journey.target))
    return answer(Asked("", Fewest(plane, sources, sinks, count, 1), index))


# --- the smallest mend -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mend:
    """The fewest gates and flows whose removal makes a claim hold; both () where none would, or where it
    `holds` as it is."""

    holds: bool
    gates: tuple[str, ...]
    flows: tuple[tuple[str, str], ...]


def smallest_mend(policy: Policy, claim: str, facts: Iterable[Fact] = ()) -> Mend:
    """Find the fewest gates and flows to take away so that a failing claim holds on every plane."""
    asked = ask(Grounds(policy, facts), claim)
    world = asked[0].index.world
    rules = tuple(dict.fromkeys(rule.name for rule in world.rules))
    total = len(rules) + len(world.flows)
    found = fewest(range(total), lambda gone: all(_holds_without(one, rules, gone) for one in asked))
    if found.outcome != "found":
        return Mend(False, (), ())
    flows = tuple(world.flows[number - len(rules)] for number in found.thefts if number >= len(rules))
    named = tuple((world.services[source].name, world.services[target].name) for source, target in flows)
    return Mend(
        not found.thefts, tuple(rules[number] for number in found.thefts if number < len(rules)), named
    )


def _holds_without(asked: Asked, rules: tuple[str, ...], gone: frozenset[int]) -> bool:
    world = asked.index.world
    names = {rules[number] for number in gone if number < len(rules)}
    flows = tuple(flow for number, flow in enumerate(world.flows) if number + len(rules) not in gone)
    ways = tuple(way for way in world.ways if world.rules[way.rule].name not in names)
    index = Index(msgspec.structs.replace(world, ways=ways, flows=flows))
    return answer(Asked(asked.claim, asked.question, index)).outcome == "holds"
