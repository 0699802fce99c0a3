"""Claims of one policy that contradict each other: the same question asked with another bound.

All claims forbid, so that any set of them can be met by moving nothing; what cannot be meant is to ask one
thing twice and allow different answers: one of the two then says nothing, and nobody can tell which.
"""

from collections.abc import Mapping

from ringfence.policy.families import is_variable, parts_of
from ringfence.policy.model import Claim, Policy
from ringfence.policy.phrases import show_journey

Meaning = tuple[object, ...]


def contradictions(policy: Policy) -> Mapping[str, str]:
    """Say of each claim that another one contradicts, which and where."""
    first: dict[Meaning, str] = {}
    found: dict[str, str] = {}
    for name, claim in policy.claims.items():
        for plane in claim.planes or ("",):
            other = first.setdefault((plane, *_meaning(claim)), name)
            if other != name and _bound(claim) != _bound(policy.claims[other]):
                found[name] = _words(policy, other)
                found[other] = _words(policy, name)
    return found


def _words(policy: Policy, other: str) -> str:
    where = policy.line("claims", other)
    return f"it contradicts `{other}` ({where}): they ask the same and allow different answers; keep one"


def _meaning(claim: Claim) -> Meaning:
    """Return everything a claim asks, but its plane and bound; variables are known by their order."""
    ends = () if claim.journey is None else (claim.journey.source.by, claim.journey.target.by)
    way = "" if claim.journey is None else show_journey(claim.journey)
    order = {variable: f"{number}:{claim.members[variable]}" for number, variable in enumerate(claim.members)}
    names = (frozenset(_renamed(one, order) for one in some) for some in (claim.compromised, claim.without))
    asked = (claim.kind, ends, _renamed(way, order), *names, frozenset(claim.exceptions))
    scope = claim.trading_loss.scope if claim.trading_loss else ""
    return (*asked, claim.mode, claim.count, scope)


def _renamed(text: str, order: Mapping[str, str]) -> str:
    parts = (f"{{{order.get(part[1:-1], part)}}}" if is_variable(part) else part for part in parts_of(text))
    return "/".join(parts)


def _bound(claim: Claim) -> Meaning:
    losses = claim.trading_loss.caps if claim.trading_loss else None
    return (claim.at_most, losses, claim.at_least)
