"""What `except` may leave out of a claim, and the invariant that lets it.

A claim may except what is *owed*: accruals, exchanges at a fair price for what is owed, and the deleveraging
step of a waterfall. Its arcs are then deleted from the graph. That is sound only while nothing but what is
owed comes through them, so every gate that touches a compartment of an excepted accrual must be a step of
this invariant:

    moved       what an accrual has moved is at most what it owes: each step moves n <= owed - moved
    netting     a compartment that must net to zero holds what was paid in as owed less what was paid out
    debtor      what a member's compartment pays in is owed by itself: a `shortfall` is another's, and only
                pools of the house may pay it
    own         a compartment that pays excepted accruals for others got what it has as owed, in a fair
                exchange, from outside, or from its own owner

A gate that is no step is a leak beside the excepted one: value that was never owed enters, and leaves unseen
through an arc that was deleted. Then the exception is refused, with the gate's line, and the claim is decided
with the arcs in place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ringfence.policy.model import Limits, Policy
from ringfence.policy.phrases import show_cap
from ringfence.proof import evidence
from ringfence.proof.evidence import Effect, Invariant
from ringfence.proof.world import NOBODY, Place, Rule, Way, World


@dataclass(frozen=True, slots=True)
class Step:
    """One way that touches a compartment of an exception, and what it counts as there."""

    way: int
    place: int
    enters: bool
    effect: Effect


@dataclass(frozen=True, slots=True)
class Exemption:
    """One name under `except`, decided. refused: "" where it stands, else the reason with its line; leak:
    the way that is no step of the invariant, if it is for that."""

    name: str
    deleted: frozenset[int]
    steps: tuple[Step, ...]
    refused: str = ""
    leak: int = NOBODY


def exempt(
    world: World, names: Iterable[str], sources: frozenset[int], targets: frozenset[int]
) -> list[Exemption]:
    """Decide each exception of a claim on its own."""
    wanted = tuple(names)
    excepted = {index for index, rule in enumerate(world.rules) if rule.name in wanted}
    return [_decide(world, name, excepted, sources | targets) for name in wanted]


def _decide(world: World, name: str, excepted: set[int], ends: frozenset[int]) -> Exemption:
    rules = {index for index, rule in enumerate(world.rules) if rule.name == name}
    arcs = frozenset(index for index, way in enumerate(world.ways) if way.rule in rules)
    for index in sorted(rules):
        words = _not_owed(world.rules[index])
        if words:
            return Exemption(name, arcs, (), words)  # Not owed at all: there is no invariant to keep.
    touched = {place for way in arcs for place in (world.ways[way].source, world.ways[way].target)}
    pays = _sources(world, excepted) & touched
    steps = tuple(_steps(world, touched))
    for step in steps:
        words = broken_by(world, step, pays - ends)
        if words:
            return Exemption(name, arcs, steps, words, step.way)
    return Exemption(name, arcs, steps)


def invariant_of(world: World, exemption: Exemption) -> Invariant:
    """Write down the invariant of an exception; ways of one rule that count alike are one step."""
    steps = dict.fromkeys(
        evidence.Step(
            world.rules[world.ways[step.way].rule].name,
            world.places[step.place].name,
            step.enters,
            step.effect,
        )
        for step in exemption.steps
    )
    return Invariant(exemption.name, tuple(steps))


def _not_owed(rule: Rule) -> str:
    """Say why a rule may not be excepted at all; "" where it may."""
    if rule.kind == "deleverage":
        return ""
    if not rule.accrual:
        return f"{rule.line}: {rule.name} is no accrual: it moves what somebody asks, not what is owed"
    if rule.kind == "exchange" and rule.band_ppm < 0:
        return f"{rule.line}: {rule.name} names no price, so its legs need not be of equal value"
    return ""


def paying_places(world: World, names: Iterable[str], ends: frozenset[int]) -> frozenset[int]:
    """Return the places, beside the claim's own ends, that pay excepted accruals from what they hold."""
    wanted = set(names)
    excepted = {index for index, rule in enumerate(world.rules) if rule.name in wanted}
    return frozenset(_sources(world, excepted) - ends)


def _sources(world: World, excepted: set[int]) -> set[int]:
    """Places that an excepted accrual leaves. Exchanges give back what they take, and are none."""
    return {way.source for way in world.ways if way.rule in excepted and world.rules[way.rule].kind == "gate"}


def _steps(world: World, touched: set[int]) -> Iterator[Step]:
    for index, way in enumerate(world.ways):
        effect = _effect(world, way)
        if way.source in touched:
            yield Step(index, way.source, False, effect)
        if way.target in touched:
            yield Step(index, way.target, True, effect)


def _effect(world: World, way: Way) -> Effect:
    rule = world.rules[way.rule]
    if rule.kind == "exchange":
        return "exchanged" if rule.band_ppm >= 0 else "unowed"
    source, target = world.places[way.source], world.places[way.target]
    if rule.accrual:
        return "for_others" if _pays_for_others(rule, source) else "owed"
    if source.external or target.external:
        return "outside"
    one_owner = source.owner == target.owner and source.member == target.member
    return "own" if one_owner else "unowed"


def _pays_for_others(rule: Rule, source: Place) -> bool:
    """Say whether a member's own compartment is a pool: what it pays is owed, and by somebody else."""
    return "shortfall" in rule.accrual and source.member != NOBODY


def broken_by(world: World, step: Step, pays: set[int] | frozenset[int]) -> str:
    """Say how a step breaks the invariant; "" where it keeps it. pays: places that `own` is asked of."""
    way, place = world.ways[step.way], world.places[step.place]
    rule = world.rules[way.rule]
    ends = f"{world.places[way.source].name} -> {world.places[way.target].name}"
    if place.nets and step.effect == "for_others":
        return (
            f"{rule.line}: {rule.name} ({ends}) pays what somebody else cannot, and so carries value "
            "from one to the other"
        )
    if place.nets and step.effect != "owed":
        return (
            f"{rule.line}: {rule.name} ({ends}) moves what nobody owes, and {place.name} must net to zero "
            "over what is owed"
        )
    if step.place in pays and step.enters and step.effect == "unowed":
        return (
            f"{rule.line}: {rule.name} ({ends}) brings in what nobody owes, and {place.name} pays excepted "
            "accruals from what it holds"
        )
    return ""


# --- what it may still move --------------------------------------------------------------------


def may_move(policy: Policy, name: str) -> str:
    """Say what a name under `except` may still move: what is owed, between which ends, under which caps."""
    exchange = policy.exchanges.get(name)
    if exchange is not None:
        legs = ", ".join(f"{leg.source} -> {leg.target}" for leg in exchange.legs)
        owed = ", ".join(exchange.accrual)
        return f"what is owed ({owed}) at its value: {legs}; {_caps(policy, exchange.limit)}"
    gate = policy.gates.get(name)
    if gate is not None:
        arrow = "<->" if gate.both_ways else "->"
        ends = f"{', '.join(gate.sources)} {arrow} {', '.join(gate.targets)}"
        return f"what is owed ({', '.join(gate.accrual)}): {ends}; {_caps(policy, gate.limit)}"
    return "profit of winners, up to the cap of the waterfall's step"


def _caps(policy: Policy, limit: Limits) -> str:
    caps = [
        f"{scope} {show_cap(cap, policy.assets[asset].decimals)} {asset}"
        for scope, by_asset in (("each", limit.each), ("all", limit.all))
        for asset, cap in by_asset.items()
    ]
    return ", ".join(caps) or "no other cap"
