"""One edge of the authority graph explained: what a gate moves and who opens it, what a flow lets fall.

An edge is a gate, exchange or step by its name, all of these between two places, or a connection between two
services. Everything said is what the engines use, with the line it stands on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from ringfence.kernel.instant import DAY_NS, show_duration
from ringfence.policy.model import Cap as PolicyCap
from ringfence.policy.model import KeyNeed, Policy, Window
from ringfence.policy.phrases import parse_selector, show_cap
from ringfence.proof.claims import Verdict, prove
from ringfence.proof.closure import all_falls, members
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.difference import Meaning, compared, family_name, smallest_sets
from ringfence.proof.evidence import Closed, Cuts, Route
from ringfence.proof.grounding import ground
from ringfence.proof.names import places
from ringfence.proof.output import show_units
from ringfence.proof.questions import Fault, selected
from ringfence.proof.reach import Index, Mode, Start, spread, usable
from ringfence.proof.throughput import charge
from ringfence.proof.world import NOBODY, Cap, Fact, Rule, Way, World, extend


@dataclass(frozen=True, slots=True)
class Explained:
    """One edge: its name, where it stands, and what is to be known of it, each under a short label."""

    edge: str
    where: str
    facts: tuple[tuple[str, str], ...]


def explain_edge(policy: Policy, edge: str, facts: Iterable[Fact] = ()) -> tuple[Explained, ...]:
    """Explain an edge: `withdraw`, `gateway -> matching`, or `client/{client}/cash -> outside/{client}`.

    Fault where nothing is called that, or nothing leads directly from the one to the other.
    """
    known = tuple(facts)
    world = extend(ground(policy, cast_for_amounts(policy, {})), known)
    source, arrow, target = (part.strip() for part in edge.partition("->"))
    services = {service.name for service in world.services}
    if arrow and {source, target} <= services:
        return (_flow(policy, world, source, target),)
    ways = _ways_of(world, source, target) if arrow else _ways_called(world, edge)
    by_rule: dict[str, list[int]] = {}
    for way in ways:
        by_rule.setdefault(world.rules[world.ways[way].rule].name, []).append(way)
    if not by_rule:
        raise Fault(_nothing(world, edge, is_way=bool(arrow)))
    index, verdicts = Index(world), prove(policy, known)
    return tuple(
        Explained(
            name, world.rules[world.ways[found[0]].rule].line, tuple(_gate(policy, index, found, verdicts))
        )
        for name, found in by_rule.items()
    )


def _ways_called(world: World, name: str) -> list[int]:
    return [number for number, way in enumerate(world.ways) if world.rules[way.rule].name == name]


def _ways_of(world: World, source: str, target: str) -> list[int]:
    """List the ways that lead directly from one place to another; members written as their families."""
    others = {member.party: member.name for member in world.members if member.others}
    ends = []
    for text in (source, target):
        for party, name in others.items():
            text = text.replace(f"{{{party}}}", name)
        ends.append(places(world, selected(world, parse_selector(text), {})))
    return [n for n, way in enumerate(world.ways) if way.source in ends[0] and way.target in ends[1]]


def _nothing(world: World, edge: str, *, is_way: bool) -> str:
    if is_way:
        return f"no gate and no flow leads directly {edge}; `proof reach` looks for a longer way"
    known = ", ".join(dict.fromkeys(rule.name for rule in world.rules))
    return f"`{edge}` is no gate, exchange or waterfall step; there are {known}"


# --- gates -------------------------------------------------------------------------------------


def _gate(
    policy: Policy, index: Index, found: list[int], verdicts: Iterable[Verdict]
) -> Iterator[tuple[str, str]]:
    world = index.world
    ways = [world.ways[number] for number in found]
    rule = world.rules[ways[0].rule]
    yield from (("moves", words) for words in _moved(world, ways))
    yield "checked by", _checked(world, rule)
    yield from (("opens with", words) for words in _keys(world, ways))
    yield from _words(policy, world, rule)
    yield from (("limit", words) for words in _limits(policy, world, rule))
    yield "opened alone by", ", ".join(_openers(index, set(found))) or "no single service or key"
    yield from (("claim", words) for words in _claims(verdicts, rule.name))


def _moved(world: World, ways: list[Way]) -> Iterator[str]:
    assets: dict[tuple[str, str], dict[str, None]] = {}
    for way in ways:
        ends = [family_name(world, world.places[place].name) for place in (way.source, way.target)]
        assets.setdefault((ends[0], ends[1]), {})[world.assets[way.asset]] = None
    return (f"{', '.join(names)} from {source} to {target}" for (source, target), names in assets.items())


def _checked(world: World, rule: Rule) -> str:
    checks = []
    for plane in rule.planes:
        service = world.verifiers.get(plane, NOBODY)
        who = (
            "a contract that no service owns"
            if service == NOBODY
            else f"service {world.services[service].name}"
        )
        checks.append(f"{plane} ({who})")
    return " and ".join(checks)


def _keys(world: World, ways: list[Way]) -> Iterator[str]:
    """Write each smallest set of keys that opens a way; keys that sign on evidence are told as such."""
    told: dict[str, None] = {}
    for need, mandate in dict.fromkeys((way.needs, way.mandate) for way in ways):
        standing = (
            ""
            if mandate == NOBODY
            else f", under a standing mandate of {_set_of(world, smallest_sets(world, mandate)[0])}"
        )
        for keys in smallest_sets(world, need):
            told[f"{_set_of(world, keys) or 'no key'}{standing}"] = None
    return iter(told)


def _set_of(world: World, keys: Iterable[int]) -> str:
    rows = [world.keys[key] for key in sorted(keys)]
    names = [
        f"{family_name(world, row.name)}{' (signs on evidence)' if row.given else _home(world, row.name)}"
        for row in rows
    ]
    return " and ".join(names)


def _home(world: World, name: str) -> str:
    """Say where a key that signs by hand is: with a person, on a host, in a service."""
    number = next(number for number, key in enumerate(world.keys) if key.name == name)
    key = world.keys[number]
    homes = [word for word in (key.person, f"on {key.host}" if key.host else "") if word]
    homes += [f"in {service.name}" for service in world.services if number in service.holds]
    return f" ({', '.join(homes)})" if homes else ""


def _words(policy: Policy, world: World, rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.accrual:
        who = " and ".join(world.services[one].name for one in rule.computed_by) or "the ledger"
        yield (
            "moves only",
            f"what is owed ({', '.join(rule.accrual)}), as {who} work out; a lie needs them all",
        )
    if rule.band_ppm >= 0:
        yield "price", f"its legs are worth the same within {rule.band_ppm / 10_000:g} %"
    if rule.conditions:
        yield "only when", " and ".join(rule.conditions)
    if rule.delay_ns:
        declared = policy.gates.get(rule.name) or policy.exchanges[rule.name]
        stops = ", ".join(need.key for need in declared.cancel if isinstance(need, KeyNeed))
        yield "waits", f"{show_duration(rule.delay_ns)}; {stops or 'nobody'} can cancel"


def _limits(policy: Policy, world: World, rule: Rule) -> Iterator[str]:
    for scope, caps in (("each", rule.each), ("all", rule.all)):
        for asset, cap in caps.items():
            name = world.assets[asset]
            most = show_units(policy.assets, name, charge(cap, DAY_NS))
            yield f"{name} {scope}: {_cap_words(policy, name, cap)}, so at most {most} within any day"
    if not (rule.each or rule.all):
        yield "none" if not rule.accrual else "only what is owed; a common lie is bounded by what is there"


def _cap_words(policy: Policy, asset: str, cap: Cap) -> str:
    window = Window(kind=cap.kind, length_ns=cap.length_ns)
    return show_cap(PolicyCap(units=cap.units, window=window), policy.assets[asset].decimals)


def _openers(index: Index, found: set[int]) -> Iterator[str]:
    """Name every single service or key whose fall opens one of these ways."""
    world = index.world
    starts = [(row.name, Start(frozenset({number}))) for number, row in enumerate(world.services)]
    starts += [
        (family_name(world, key.name), Start(keys=frozenset({n})))
        for n, key in enumerate(world.keys)
        if not key.given
    ]
    planes = dict.fromkeys(plane for way in found for plane in world.rules[world.ways[way].rule].planes)
    modes: tuple[Mode, ...] = ("contained", "pivot")
    for name, start in starts:
        for mode in modes:
            grip = spread(index, start, mode)
            open_on = [plane for plane in planes if not found.isdisjoint(usable(index, grip, plane).ways)]
            if open_on:
                yield f"{name} ({mode}, {' and '.join(open_on)})"
                break


def _claims(verdicts: Iterable[Verdict], name: str) -> Iterator[str]:
    """Say which claims rest on a rule, and how."""
    for verdict in verdicts:
        for one in verdict.decided:
            words = _rests(one.answer.evidence, name)
            if words:
                yield f"{verdict.claim} ({verdict.status}) {words}"
                break


def _rests(evidence: object, name: str) -> str:
    if isinstance(evidence, Closed) and name in [kept.exception for kept in evidence.invariants]:
        return "excepts it"
    if isinstance(evidence, Cuts) and any(item.rule == name for cut in evidence.cuts for item in cut.items):
        return "is bounded by its limit"
    if isinstance(evidence, Route) and any(hop.rule == name for hop in evidence.hops):
        return "fails through it"
    return ""


# --- flows -------------------------------------------------------------------------------------


def _flow(policy: Policy, world: World, source: str, target: str) -> Explained:
    names = [service.name for service in world.services]
    pair = names.index(source), names.index(target)
    if pair not in world.flows:
        raise Fault(f"no flow lets {source} open a connection to {target}")
    return Explained(
        f"{source} -> {target}", _flow_line(policy, source, target), tuple(_facts_of(policy, world, pair))
    )


def _flow_line(policy: Policy, source: str, target: str) -> str:
    for number, flow in enumerate(policy.flows):
        if source in flow.sources and target in flow.targets:
            return policy.line("flows", str(number))
    return ""


def _facts_of(policy: Policy, world: World, pair: tuple[int, int]) -> Iterator[tuple[str, str]]:
    names = [service.name for service in world.services]
    source, target = (names[one] for one in pair)
    for flow in policy.flows:
        if source in flow.sources and target in flow.targets:
            yield "declared", f"port {flow.port}{f', {flow.purpose}' if flow.purpose else ''}"
    without = tuple(flow for flow in world.flows if flow != pair)
    now, then = all_falls(len(names), world.flows), all_falls(len(names), without)
    lost = {
        names[one]: [names[other] for other in members(now[one] & ~then[one])] for one in range(len(names))
    }
    told = [f"from {one}: {', '.join(fallen)}" for one, fallen in lost.items() if fallen]
    yield "only by it fall", "; ".join(told) or "no service: every fall it carries has another way"
    turned = tuple(dict.fromkeys((*without, (pair[1], pair[0]))))
    for label, flows in (("without it", without), (f"if {target} pulled", turned)):
        changed = msgspec.structs.replace(world, flows=flows)
        difference = compared(Meaning(policy, world), Meaning(policy, changed))
        for words in difference.no_longer_possible:
            if words.startswith("with "):
                yield label, f"no longer possible {words}"
        for words in difference.newly_possible:
            if words.startswith("with "):
                yield label, f"newly possible {words}"
