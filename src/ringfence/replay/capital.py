"""What the house brings into a replay, and the gate it comes through.

Pools and the last owner need money before a crash, or every shortfall would end in an empty pocket. Where a
policy has no gate by which the house brings its own capital in, the replay adds one beside the policy, from
the same place outside and with the same keys as the clients' deposits, and says so among its assumptions.
"""

from dataclasses import dataclass

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM
from ringfence.policy.families import variables_of
from ringfence.policy.model import CoverStep, Gate, Policy
from ringfence.replay.population import Population

POOL_PPM = 50_000
"""Part of what clients and makers put where a pool covers."""

LAST_PPM = 1_000_000
"""Part of all that clients and makers put in: the last owner must be able to stand last."""

CAPITAL_GATE = "opening_capital"
RECEIPTS = "receipts"


@dataclass(frozen=True, slots=True)
class Capital:
    """Units of the numeraire by compartment, and the policy with a gate for each of them to come in."""

    policy: Policy
    units: dict[str, int]
    is_gate_added: bool


def bring_capital(policy: Policy, population: Population) -> Capital:
    """Say what the house brings, and make sure there is a gate; BadInput where the policy has no deposit."""
    units = _house_units(policy, population)
    without = tuple(home for home in units if _gate_into(policy, home) is None)
    if not without:
        return Capital(policy, units, is_gate_added=False)
    return Capital(_with_gate(policy, without), units, is_gate_added=True)


def outside_of(gate: Gate, policy: Policy) -> str | None:
    """Name the place outside, common to all, from which a gate of receipts leads in."""
    return next(
        (
            one
            for one in gate.sources
            if not variables_of(one) and policy.compartments[one].kind == "external"
        ),
        None,
    )


def _house_units(policy: Policy, population: Population) -> dict[str, int]:
    placed = population.deposits[:, :, 0].sum(axis=0)
    sleeves = population.placement.sleeves
    units: dict[str, int] = {}
    for fall in policy.waterfalls.values():
        covered = sum(
            int(one) for one, sleeve in zip(placed, sleeves, strict=True) if sleeve.pattern in fall.covers
        )
        for step in fall.steps:
            if isinstance(step, CoverStep) and not variables_of(step.compartment):
                units[step.compartment] = units.get(step.compartment, 0) + covered * POOL_PPM // PPM
        if fall.last is not None and not variables_of(fall.last):
            units[fall.last] = int(placed.sum()) * LAST_PPM // PPM
    return {home: part for home, part in units.items() if part}


def _gate_into(policy: Policy, home: str) -> str | None:
    """Name a gate by which receipts of the numeraire come into a compartment from outside."""
    return next(
        (
            name
            for name, gate in policy.gates.items()
            if RECEIPTS in gate.accrual
            and home in gate.targets
            and policy.numeraire in gate.assets
            and outside_of(gate, policy) is not None
        ),
        None,
    )


def _with_gate(policy: Policy, homes: tuple[str, ...]) -> Policy:
    deposits = (one for one in policy.gates.values() if RECEIPTS in one.accrual and outside_of(one, policy))
    deposit = next(deposits, None)
    if deposit is None:
        raise BadInput(
            f"{policy.name}: no gate with `accrual: receipts` leads in from outside; a replay needs one for "
            "deposits"
        )
    gate = deposit.model_copy(
        update={
            "sources": (outside_of(deposit, policy),),
            "targets": homes,
            "assets": (policy.numeraire,),
        }
    )
    return policy.model_copy(update={"gates": {**policy.gates, CAPITAL_GATE: gate}})
