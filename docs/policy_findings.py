"""The reference of what a policy check can find, written from the table of its laws."""

from ringfence.policy.findings import LAWS

LEAD = """# Findings of a policy check

`ringfence policy check` lists every finding at once, each with its line, what was found and what would be
right. The word in brackets is its name here. A finding is an error and the policy is not accepted, but those
that say *note*. Where an entry cannot be read, the rest is still checked; rules about what is missing wait
until everything can be read."""


def write_policy_findings() -> str:
    """Write the table of every finding and the law that it says was broken."""
    rows = [f"| `{rule}` | {law} |" for rule, law in LAWS.items()]
    return "\n".join([LEAD, "", "| finding | law |", "| --- | --- |", *rows]) + "\n"
