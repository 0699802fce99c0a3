"""Laws of a whole policy that need no claim.

conserve    what is inside changes only by gates that lead outside: a list of them, by asset and direction
floor       nothing takes a margined bucket below what it must hold: every gate that leaves one asks margin
            first, moves what is owed, or gives back as much as it takes
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ringfence.policy.model import Finding, Policy
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.grounding import ground
from ringfence.proof.places import Sites
from ringfence.proof.world import Rule, World

ASKS_MARGIN = "releasable"
"""The condition under which margin bounds what leaves a bucket."""


@dataclass(frozen=True, slots=True)
class Conservation:
    """By asset, the gates by which value comes in, and those by which it leaves; no other changes the sum."""

    comes_in: Mapping[str, tuple[str, ...]]
    leaves: Mapping[str, tuple[str, ...]]


def conserve(policy: Policy) -> Conservation:
    """Say what changes the sum of an asset over all compartments inside.

    Every move debits one compartment and credits another with as much, so a gate between two compartments
    inside changes nothing; what is left are those with one end outside.
    """
    world = ground(policy, cast_for_reach(policy, {}))
    return Conservation(_crossing(world, "in"), _crossing(world, "out"))


def _crossing(world: World, direction: Literal["in", "out"]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {asset: {} for asset in world.assets}
    for way in world.ways:
        source, target = world.places[way.source].external, world.places[way.target].external
        if source != target and source == (direction == "in"):
            found[world.assets[way.asset]][world.rules[way.rule].name] = None
    return {asset: tuple(names) for asset, names in found.items()}


def floor(policy: Policy) -> tuple[Finding, ...]:
    """List every gate that could take a margined bucket below what it must hold; () where none can."""
    cast = cast_for_reach(policy, {})
    world = ground(policy, cast)
    margined = {
        number for number, site in enumerate(Sites(policy, cast).rows) if site.compartment.margin is not None
    }
    unguarded: dict[str, Rule] = {}
    for way in world.ways:
        rule = world.rules[way.rule]
        if way.source in margined and not _keeps_floor(rule):
            unguarded[rule.name] = rule
    return tuple(_finding(rule) for rule in unguarded.values())


def _keeps_floor(rule: Rule) -> bool:
    is_fair = rule.kind == "exchange" and rule.band_ppm >= 0
    return bool(rule.accrual) or ASKS_MARGIN in rule.conditions or is_fair


def _finding(rule: Rule) -> Finding:
    found = f"{rule.name} lets value leave a margined bucket without asking margin"
    return Finding(
        level="note", rule="below-floor", where=rule.line, found=found, right="write `when: releasable`"
    )


FLOOR_TEXT = """
(declare-const equity Int) (declare-const initial Int) (declare-const maintenance Int)
(declare-const orders Int) (declare-const profit Int) (declare-const n Int)
(assert (and (>= initial maintenance) (>= maintenance 0) (>= orders 0) (>= profit 0) (>= n 1)))
(assert (<= n (- equity initial orders profit)))
(assert (< (- equity n) maintenance))
"""
"""That what is releasable never takes a bucket below its maintenance margin: unsatisfiable exactly if so."""
