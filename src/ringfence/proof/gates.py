"""Gates that are not what they seem, and compartments that no claim speaks of.

unused      no pair of ends accepts an asset of it, or nothing meets its needs: it never opens
shadowed    another gate opens the same ways to fewer keys, so its own needs protect nothing
unbounded   it moves what is asked, not what is owed, and no cap bounds it
uncovered   a compartment that no claim mentions
"""

from collections.abc import Iterator, Mapping

from ringfence.policy.model import Finding, Policy
from ringfence.policy.selectors import leg_ways, reached, ways
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.difference import smallest_sets
from ringfence.proof.grounding import ground
from ringfence.proof.reach import Index, met_needs
from ringfence.proof.world import NOBODY, Cap, Rule, Way, World


def weak_gates(policy: Policy) -> tuple[Finding, ...]:
    """List unused, shadowed and unbounded gates and exchanges as notes."""
    world = ground(policy, cast_for_reach(policy, {}))
    by_rule: dict[str, list[Way]] = {}
    for way in world.ways:
        by_rule.setdefault(world.rules[way.rule].name, []).append(way)
    return (*_unused(policy, world, by_rule), *_unbounded(policy, world, by_rule), *_shadowed(world, by_rule))


Ways = Mapping[str, list[Way]]


def _unused(policy: Policy, world: World, by_rule: Ways) -> Iterator[Finding]:
    met = met_needs(Index(world), range(len(world.keys)))
    for section, name in _names(policy):
        where = policy.line(section, name)
        arcs = by_rule.get(name, [])
        if not arcs and not _moves_something(policy, section, name):
            yield _note("unused-gate", where, f"{name} moves nothing between any two ends", "leave it out")
        elif arcs and not any(way.needs in met for way in arcs):
            yield _note("unused-gate", where, f"no keys meet the needs of {name}", "name keys that exist")


def _moves_something(policy: Policy, section: str, name: str) -> bool:
    """Say whether contracts or debts pass where no coin does."""
    if section == "gates":
        return bool(ways(policy, policy.gates[name]))
    return all(leg_ways(policy, policy.exchanges[name]))


def _unbounded(policy: Policy, world: World, by_rule: Ways) -> Iterator[Finding]:
    for section, name in _names(policy):
        assets = {
            world.assets[way.asset]
            for way in by_rule.get(name, [])
            if _is_unbounded(world.rules[way.rule], way.asset)
        }
        if assets:
            found = f"{name} moves {', '.join(sorted(assets))} without any cap per time"
            yield _note("unbounded-gate", policy.line(section, name), found, "give it a limit, or an accrual")


def _is_unbounded(rule: Rule, asset: int) -> bool:
    return not rule.accrual and asset not in rule.each and asset not in rule.all


def _shadowed(world: World, by_rule: Ways) -> Iterator[Finding]:
    for name, arcs in by_rule.items():
        where = world.rules[arcs[0].rule].line
        for other, others in by_rule.items():
            is_covered, covers = _covers(world, others, arcs), _covers(world, arcs, others)
            if name < other and is_covered and covers:
                found = f"{name} and {other} open the same ways to the same keys"
                yield _note("shadowed-gate", where, found, "keep one of them")
            elif other != name and is_covered and not covers:
                found = f"whatever {name} moves, {other} moves for no more keys and no lower cap"
                yield _note("shadowed-gate", where, found, "tighten the other, or leave this one out")


def _covers(world: World, wide: list[Way], narrow: list[Way]) -> bool:
    """Say whether every way of `narrow` is one of `wide` that opens at least as easily."""
    known: dict[tuple[int, int, int], list[Way]] = {}
    for way in wide:
        known.setdefault((way.source, way.target, way.asset), []).append(way)
    return all(
        any(_is_easier(world, one, way) for one in known.get((way.source, way.target, way.asset), []))
        for way in narrow
    )


def _is_easier(world: World, easy: Way, hard: Way) -> bool:
    wide, narrow = world.rules[easy.rule], world.rules[hard.rule]
    if wide.accrual or wide.conditions or easy.mandate != NOBODY or wide.kind != "gate":
        return False
    if not set(wide.planes) <= set(narrow.planes):
        return False
    if not (
        _is_no_lower(wide.each, narrow.each, hard.asset) and _is_no_lower(wide.all, narrow.all, hard.asset)
    ):
        return False
    easy_sets = smallest_sets(world, easy.needs)
    return all(any(one <= keys for one in easy_sets) for keys in smallest_sets(world, hard.needs))


def _is_no_lower(wide: Mapping[int, Cap], narrow: Mapping[int, Cap], asset: int) -> bool:
    cap, other = wide.get(asset), narrow.get(asset)
    if cap is None:
        return True
    return (
        other is not None
        and cap.kind == other.kind
        and cap.units * other.length_ns >= other.units * cap.length_ns
    )


def _names(policy: Policy) -> Iterator[tuple[str, str]]:
    yield from (("gates", name) for name in policy.gates)
    yield from (("exchanges", name) for name in policy.exchanges)


def _note(rule: str, where: str, found: str, right: str) -> Finding:
    return Finding(level="note", rule=rule, where=where, found=found, right=right)


# --- coverage ----------------------------------------------------------------------------------


def uncovered(policy: Policy) -> tuple[str, ...]:
    """List the compartments that no claim mentions, as a source or as a target; `**` mentions none."""
    mentioned = {
        one.name
        for claim in policy.claims.values()
        if claim.journey is not None
        for selector in (claim.journey.source, claim.journey.target)
        if selector.by != "anywhere" and selector.text != "**"
        for one in reached(policy, selector, claim.members)
    }
    return tuple(name for name in policy.compartments if name not in mentioned)
