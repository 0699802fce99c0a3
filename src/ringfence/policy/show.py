"""Policy to text: one canonical YAML document, without includes or likenesses, that reads back the same.

`parse(show(policy), …).policy == policy` for every policy that `parse` can give.
"""

from collections import Counter

from ringfence.policy.grammar import Decimals, Plain
from ringfence.policy.language import POLICY
from ringfence.policy.model import Policy
from ringfence.policy.yaml_text import write_flow, write_yaml


def show(policy: Policy) -> str:
    """Write a policy as canonical YAML."""
    return write_yaml(show_data(policy))


def show_data(policy: Policy) -> dict[str, Plain]:
    """Write a policy as the plain data of its canonical document."""
    data = POLICY.show(policy, decimals_of(policy), ())
    assert isinstance(data, dict)
    return _with_tables(data)


def decimals_of(policy: Policy) -> Decimals:
    """Return the decimals of every asset and instrument of a policy; contracts have none."""
    decimals = dict.fromkeys(policy.instruments, 0)
    decimals.update({name: asset.decimals for name, asset in policy.assets.items()})
    return decimals


def _with_tables(data: dict[str, Plain]) -> dict[str, Plain]:
    """Write brackets that several instruments share once, as tables that they name."""
    instruments = data.get("instruments")
    if not isinstance(instruments, dict):
        return data
    rows = [one["tiers"] for one in instruments.values() if isinstance(one, dict)]
    counts = Counter(write_flow(tiers) for tiers in rows)
    shared = {text: f"table_{number}" for number, text in enumerate(_repeated(counts), start=1)}
    tables: dict[str, Plain] = {
        shared[text]: tiers for tiers in rows if (text := write_flow(tiers)) in shared
    }
    if not tables:
        return data
    named: dict[str, Plain] = {
        name: {**one, "tiers": shared.get(write_flow(one["tiers"]), one["tiers"])}
        for name, one in instruments.items()
        if isinstance(one, dict)
    }
    written: dict[str, Plain] = {}
    for section, content in data.items():
        if section == "instruments":
            written["tiers"] = tables
        written[section] = named if section == "instruments" else content
    return written


def _repeated(counts: Counter[str]) -> list[str]:
    return [text for text, count in counts.items() if count > 1]
