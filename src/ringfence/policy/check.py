"""What a policy means, judged: every finding of every rule, with the line it stands on."""

from ringfence.policy.grammar import Path
from ringfence.policy.model import Finding, Policy
from ringfence.policy.rules import RULES, WHOLE_RULES, View


def check(policy: Policy) -> tuple[Finding, ...]:
    """Return every finding about the meaning of a policy: errors first, then notes."""
    view = View(policy)
    findings = [finding for rule in (*RULES, *WHOLE_RULES) for finding in rule(view)]
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: finding.level))


def check_parts(policy: Policy, broken: frozenset[Path]) -> tuple[Finding, ...]:
    """Check what is left of a policy of which some entries could not be read.

    Rules about what is missing are left out: what they would miss may be what could not be read.
    """
    view = View(policy, broken)
    return tuple(finding for rule in RULES for finding in rule(view))
