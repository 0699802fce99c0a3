"""The policy as a journal tells it: written into its first record, and compiled from there."""

from ringfence.kernel.errors import BadInput, JournalBroken
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.journal import FORMAT, Genesis, PolicyLine
from ringfence.planes.ledger.rules import Rules
from ringfence.policy.model import Line, Plane, Policy
from ringfence.policy.parse import parse
from ringfence.policy.show import show


def genesis_of(policy: Policy, planes: tuple[Plane, ...], rules: Rules) -> Genesis:
    """Write down a policy, and what of it is not enforced."""
    lines = (PolicyLine(path, line.file, line.line) for path, line in sorted(policy.lines.items()))
    return Genesis(
        format=FORMAT,
        name=policy.name,
        policy=show(policy),
        lines=tuple(lines),
        planes=planes,
        not_enforced=tuple(str(note) for note in rules.notes),
    )


def rules_of(genesis: Genesis, digest: bytes) -> Rules:
    """Compile the policy of the journal; it must be what its digest says, and be enforced as it was then."""
    policy = parse(genesis.policy, "policy of the journal").policy
    if policy is None:
        raise JournalBroken(0, "its policy cannot be read by this ringfence")
    lines = {line.path: Line(file=line.file, line=line.line) for line in genesis.lines}
    rules = compile_policy(policy.located(lines), genesis.planes)
    if rules.digest != digest:
        raise JournalBroken(0, "its policy is not the one that its digest names")
    notes = {str(note) for note in rules.notes}
    for words in sorted(notes.symmetric_difference(genesis.not_enforced)):
        raise BadInput(f"this ringfence enforces another part of the policy than the book does: {words}")
    return rules
