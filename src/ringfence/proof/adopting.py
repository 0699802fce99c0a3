"""Who can put another policy in the place of the one that was proved: whoever can, can do anything later."""

from collections.abc import Collection

from ringfence.kernel.instant import show_duration
from ringfence.planes.ledger.needs import unmet
from ringfence.policy.model import Adoption, KeyNeed, Policy
from ringfence.policy.phrases import show_need


def assumed_of_adoption(policy: Policy) -> str:
    """Say under which assumption a verdict on a policy stays true of a live book."""
    adoption = policy.adoption
    if adoption is None:
        return "the policy stays the one in force: it declares no `adoption`, so no book takes another"
    needs = " and ".join(show_need(need) for need in adoption.needs)
    stops = ", ".join(show_need(need) for need in adoption.cancel) or "nobody"
    return (
        f"the policy stays the one in force: another needs {needs} {_later(adoption)}, "
        f"and {stops} can cancel it (planes.ledger: tests/unit/planes/ledger)"
    )


def can_adopt(policy: Policy, keys: Collection[str]) -> str:
    """Say when another policy would be in force if these keys were had; "" where they do not suffice."""
    adoption = policy.adoption
    if adoption is None or unmet(adoption.needs, frozenset(keys), _plain):
        return ""
    return f"another policy can be adopted, with anything in it, {_later(adoption)}"


def _later(adoption: Adoption) -> str:
    return f"after {show_duration(adoption.delay_ns)}" if adoption.delay_ns else "at once"


def _plain(need: KeyNeed) -> str:
    return f"{need.key}/{need.member}" if need.member else need.key
