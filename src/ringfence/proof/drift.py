"""Is what runs what was declared? Two worlds compared row by row, and the ledger's own rules against ours.

The ledger compiles its ways from the policy by code of its own. `ledger_drift` asks it about every pair of
places, member by member, and compares with the ways that the proof reasons about: a proof about rules that do
not run would be worth nothing.
"""

from collections.abc import Iterator, Mapping

from ringfence.kernel.instant import show_duration
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.rules import DEBT_GATE, Rules
from ringfence.planes.ledger.rules import Place as LedgerPlace
from ringfence.planes.network.compile import compile_flows
from ringfence.policy.model import Policy
from ringfence.proof.cutoff import cast_of_size
from ringfence.proof.grounding import ground
from ringfence.proof.world import NOBODY, Cap, World

MEMBERS = 2
"""Enough to tell a member's own way from another's."""

Arc = tuple[str, str, str, str]


def ledger_drift(policy: Policy) -> tuple[str, ...]:
    """Say where the ledger's compiled ways differ from those the proof knows; () where they are the same."""
    world = ground(policy, cast_of_size(policy, {}, MEMBERS))
    rules = compile_policy(policy)
    ours, theirs = set(_ways_on_ledger(world)), set(_compiled_ways(rules, world))
    extra = (
        f"the ledger opens {_show(arc)}, and the proof does not know it" for arc in sorted(theirs - ours)
    )
    missing = (f"the proof opens {_show(arc)}, and the ledger does not" for arc in sorted(ours - theirs))
    return (*extra, *missing)


def network_drift(policy: Policy) -> tuple[str, ...]:
    """Say where the network's compiled flows differ from those the proof knows; () where they do not."""
    world = ground(policy, cast_of_size(policy, {}, MEMBERS))
    ours = {(world.services[source].name, world.services[target].name) for source, target in world.flows}
    compiled = compile_flows(policy)
    inside = compiled.workloads.keys()
    theirs = {
        (flow.source, flow.target)
        for flow in compiled.flows
        if flow.source in inside and flow.target in inside
    }
    extra = (
        f"the network lets {one} reach {other}, and the proof does not know it"
        for one, other in theirs - ours
    )
    missing = (
        f"the proof lets {one} reach {other}, and the network does not" for one, other in ours - theirs
    )
    return (*sorted(extra), *sorted(missing))


def _ways_on_ledger(world: World) -> Iterator[Arc]:
    for way in world.ways:
        rule = world.rules[way.rule]
        if "ledger" in rule.planes and rule.kind != "deleverage":
            ends = world.places[way.source].name, world.places[way.target].name
            yield (rule.name, *ends, world.assets[way.asset])


def _compiled_ways(rules: Rules, world: World) -> Iterator[Arc]:
    found = [rules.place(place.name) for place in world.places]
    places = [place for place in found if place is not None]
    names = [*rules.gates, *rules.exchanges]
    for source in places:
        for target in places:
            if source.path != target.path:
                yield from _between(rules, world, names, source, target)


def _between(
    rules: Rules, world: World, names: list[str], source: LedgerPlace, target: LedgerPlace
) -> Iterator[Arc]:
    for name in names:
        way = rules.way(name, source, target) if name != DEBT_GATE else None
        if way is not None:
            yield from (
                (name, source.path, target.path, asset) for asset in world.assets if way.accepts(asset)
            )


def drift(declared: World, observed: World) -> tuple[str, ...]:
    """Say where an observed world differs from the declared one; () where it is the same."""
    found: list[str] = []
    for what, table in (("flow", _flows), ("holding", _holdings), ("key", _derived), ("way", _ways)):
        before, after = table(declared), table(observed)
        found += [f"{what} {name} is declared and was not observed" for name in before if name not in after]
        found += [f"{what} {name} was observed and is not declared" for name in after if name not in before]
        found += [
            f"{what} {name}: {after[name]} was observed, and {words} is declared"
            for name, words in before.items()
            if name in after and after[name] != words
        ]
    return tuple(found)


def _flows(world: World) -> Mapping[str, str]:
    names = [service.name for service in world.services]
    return {f"{names[source]} -> {names[target]}": "" for source, target in world.flows}


def _holdings(world: World) -> Mapping[str, str]:
    return {
        f"{service.name} has {world.keys[key].name}": ""
        for service in world.services
        for key in service.holds
    }


def _ways(world: World) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for way in world.ways:
        rule = world.rules[way.rule]
        arc = (
            rule.name,
            world.places[way.source].name,
            world.places[way.target].name,
            world.assets[way.asset],
        )
        caps = f"each {_show_cap(rule.each.get(way.asset))}, all {_show_cap(rule.all.get(way.asset))}"
        waits = f", after {show_duration(rule.delay_ns)}" if rule.delay_ns else ""
        needs = _show_need(world, way.needs)
        if way.mandate != NOBODY:
            needs += f" and a mandate of {_show_need(world, way.mandate)}"
        found[_show(arc)] = f"{needs} on {'+'.join(rule.planes)}, {caps}{waits}"
    return found


def _derived(world: World) -> Mapping[str, str]:
    names = [key.name for key in world.keys]
    return {
        f"{names[rule.gives]} follows from {' and '.join(names[one] for one in rule.known)}": ""
        for rule in world.derivations
    }


def _show(arc: Arc) -> str:
    rule, source, target, asset = arc
    return f"{rule}: {asset} from {source} to {target}"


def _show_cap(cap: Cap | None) -> str:
    return "unbounded" if cap is None else f"{cap.units} {cap.kind} {show_duration(cap.length_ns)}"


def _show_need(world: World, number: int) -> str:
    need = world.needs[number]
    parts = sorted(world.keys[key].name for key in need.keys) + [
        _show_need(world, part) for part in need.parts
    ]
    return f"{need.count} of [{', '.join(parts)}]"
