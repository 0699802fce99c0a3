"""Claims speak of something, and exempt only what is proved to move no more than is owed."""

from collections.abc import Iterator

from ringfence.policy.families import overlap
from ringfence.policy.grammar import Path, nearest
from ringfence.policy.model import Claim, CoverStep, DeleverageStep, Finding, OwnStep, Selector
from ringfence.policy.phrases import show_selector
from ringfence.policy.rules.view import Rule, View, listed
from ringfence.policy.selectors import reached


def exemptions_are_owed(view: View) -> Iterator[Finding]:
    """`except` names accruals, accrual exchanges and waterfall steps: things with an invariant to prove."""
    steps = _steps(view)
    for name, claim in view.policy.claims.items():
        for one in claim.exceptions:
            gate, exchange = view.policy.gates.get(one), view.policy.exchanges.get(one)
            is_owed = bool(gate is not None and gate.accrual) or bool(
                exchange is not None and exchange.accrual
            )
            is_known = gate is not None or exchange is not None or one in ("own", "cover", "deleverage")
            if is_known and not is_owed and one not in steps:
                found = f"`{one}` is exempted and is no accrual, accrual exchange or waterfall step"
                right = "exempt only what moves exactly what is owed, or claim without `except`"
                yield view.error("exemption", ("claims", name, "except"), found, right)


def _steps(view: View) -> set[str]:
    names = {OwnStep: "own", CoverStep: "cover", DeleverageStep: "deleverage"}
    return {names[type(step)] for waterfall in view.policy.waterfalls.values() for step in waterfall.steps}


def owners_and_roles_are_known(view: View) -> Iterator[Finding]:
    """`owner:` names a party and `role:` a role."""
    parties = view.names("parties")
    roles = {one.role for one in view.policy.compartments.values() if one.role is not None}
    for name, claim in view.policy.claims.items():
        for selector in _selectors(claim):
            known = parties if selector.by == "owner" else roles if selector.by == "role" else {selector.text}
            if selector.text not in known:
                found = f"`{show_selector(selector)}` selects nothing"
                right = nearest(selector.text, known, f"{selector.by}s in use")
                yield view.error("claim-matches-nothing", ("claims", name), found, right)


def claims_can_match(view: View) -> Iterator[Finding]:
    """Both ends of a journey mean some compartment, on a plane that some gate is checked on."""
    planes = {plane for gate in view.policy.gates.values() for plane in gate.on}
    planes |= {plane for exchange in view.policy.exchanges.values() for plane in exchange.on}
    for name, claim in view.policy.claims.items():
        path = ("claims", name)
        for selector in _selectors(claim):
            if selector.by == "name" and not reached(view.policy, selector, claim.members):
                found = f"`{selector.text}` can match no compartment"
                yield view.error("claim-matches-nothing", path, found, _compartments_near(view, selector))
        idle = [plane for plane in claim.planes if plane not in planes]
        if idle:
            found = f"no gate is checked on {listed(idle)}"
            yield view.error(
                "claim-matches-nothing", (*path, "plane"), found, "claim it where gates are checked"
            )
        yield from _journey_moves(view, path, claim)
        if claim.kind == "trading" and all(one.trade is None for one in view.policy.compartments.values()):
            yield view.error("claim-matches-nothing", path, "nothing trades", "leave the claim out")


def _journey_moves(view: View, path: Path, claim: Claim) -> Iterator[Finding]:
    if claim.journey is not None and claim.journey.source == claim.journey.target:
        found = "the journey ends where it starts"
        yield view.error("claim-matches-nothing", path, found, "name another end")


def _compartments_near(view: View, selector: Selector) -> str:
    first = selector.text.split("/")[0]
    inside = [name for name in view.policy.compartments if overlap(f"{first}/**", name) is not None]
    return nearest(selector.text, inside or list(view.policy.compartments), "compartments")


def _selectors(claim: Claim) -> tuple[Selector, ...]:
    return () if claim.journey is None else (claim.journey.source, claim.journey.target)


RULES: tuple[Rule, ...] = (exemptions_are_owed, owners_and_roles_are_known)
WHOLE_RULES: tuple[Rule, ...] = (claims_can_match,)
"""Rules that need every entry to be there."""
