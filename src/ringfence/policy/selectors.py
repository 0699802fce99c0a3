"""Which compartments a name or selector means, and which ways a gate really opens.

Gates and exchanges name compartments by pattern; `definition` finds what was declared. Claims name them by
selector; `reached` lists the declared compartments it means. Both work on families, never on members.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from ringfence.policy.families import is_variable, match, overlap, parts_of
from ringfence.policy.model import Compartment, Exchange, Gate, Policy, Selector


class Reached(NamedTuple):
    """A declared compartment that a selector means.

    binding: the member, or variable of the claim in braces, for each variable of `name` that is bound; an
    unbound variable may be any member. A claim's variable that met a plain part is a key in braces.
    """

    name: str
    binding: Mapping[str, str]


class Way(NamedTuple):
    """One pair of ends and one asset that a gate lets pass: both ends accept it."""

    source: str
    target: str
    asset: str


# --- names -------------------------------------------------------------------------------------


def definition(declared: Collection[str], end: str) -> str | None:
    """Return the declared name that an end of a gate means; None where there is none.

    `client/{a}/cash` and `client/acme/cash` both mean the declared `client/{client}/cash`, unless a
    compartment of exactly that name is declared.
    """
    if end in declared:
        return end
    return next((name for name in declared if match(name, end) is not None), None)


def compartment_of(policy: Policy, end: str) -> Compartment | None:
    """Return the declared compartment that an end of a gate means."""
    name = definition(policy.compartments, end)
    return None if name is None else policy.compartments[name]


def reached(
    policy: Policy, selector: Selector, members: Mapping[str, str] | None = None
) -> tuple[Reached, ...]:
    """List the declared compartments that a selector means, in the order declared.

    members: the family of each variable of the claim; a variable never stands for a member of another
    family. An external compartment named without wildcards covers the external ones below it, so `outside`
    means `outside/{client}` too; `**` never means an external one.
    """
    found = ((name, _selects(selector, name, one)) for name, one in policy.compartments.items())
    return tuple(
        Reached(name, binding)
        for name, binding in found
        if binding is not None and _families_agree(binding, members or {})
    )


def _selects(selector: Selector, name: str, compartment: Compartment) -> dict[str, str] | None:
    if selector.by == "anywhere":
        return {}
    if selector.by == "owner":
        return {} if compartment.owner == selector.text else None
    if selector.by == "role":
        return {} if compartment.role == selector.text else None
    is_external = compartment.kind == "external"
    if is_external and "**" in parts_of(selector.text):
        return None
    binding = overlap(selector.text, name)
    if binding is None and is_external and "*" not in selector.text:
        return overlap(f"{selector.text}/**", name)
    return binding


def _families_agree(binding: Mapping[str, str], members: Mapping[str, str]) -> bool:
    """Hold each variable of a claim to its own family: variables of declared names are named after theirs."""
    return all(
        members.get(part[1:-1], variable) == variable
        for variable, part in binding.items()
        if is_variable(part)
    )


# --- what passes -------------------------------------------------------------------------------


def accepts(policy: Policy, end: str, asset: str) -> bool:
    """Say whether the compartment that `end` means may hold `asset`; contracts go unlisted."""
    compartment = compartment_of(policy, end)
    if compartment is None:
        return False
    if compartment.kind == "external":
        return asset not in policy.instruments
    if asset in policy.instruments:
        return trades(policy, compartment, asset)
    return asset in compartment.accepts


def trades(policy: Policy, compartment: Compartment, instrument: str) -> bool:
    """Say whether contracts of `instrument` may be in it: it trades them, takes them over, or clears."""
    if policy.instruments[instrument].quote not in compartment.accepts:
        return False
    if compartment.role == "clearing":
        return True
    if compartment.takes_over is not None:
        return compartment.takes_over == "all" or instrument in compartment.takes_over
    trade = compartment.trade
    return trade is not None and (trade.instruments is None or instrument in trade.instruments)


def pairs(gate: Gate) -> tuple[tuple[str, str], ...]:
    """List the pairs (source, target) of a gate by pattern, both ways where it is written `between`."""
    forward = [(source, target) for source in gate.sources for target in gate.targets]
    back = [(target, source) for source, target in forward] if gate.both_ways else []
    return tuple(dict.fromkeys(pair for pair in forward + back if pair[0] != pair[1]))


def ways(policy: Policy, gate: Gate) -> tuple[Way, ...]:
    """List what a gate really lets pass: every pair and every asset that both ends accept."""
    return tuple(
        Way(source, target, asset)
        for source, target in pairs(gate)
        for asset in gate.assets
        if accepts(policy, source, asset) and accepts(policy, target, asset)
    )


def leg_ways(policy: Policy, exchange: Exchange) -> tuple[tuple[Way, ...], ...]:
    """List, for each leg of an exchange, the assets that both its ends accept."""
    assets = exchange.assets
    if assets is None:
        assets = (*policy.assets, *policy.instruments)
    return tuple(
        tuple(
            Way(leg.source, leg.target, asset)
            for asset in assets
            if accepts(policy, leg.source, asset) and accepts(policy, leg.target, asset)
        )
        for leg in exchange.legs
    )
