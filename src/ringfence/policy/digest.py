"""The digest of a policy: 32 bytes that depend on what it means and on nothing else.

Spelling, order of entries and of lists that are sets, includes, likenesses, lines and comments do not count;
every word that changes the meaning does. Words left at their default do not count either, so that a language
with more words gives an old policy its old digest.
"""

from collections.abc import Mapping
from typing import Any

from ringfence.kernel.digest import canonical_bytes, tagged_digest
from ringfence.policy.model import Policy

_IN_ORDER = frozenset({"legs", "steps", "tiers", "haircut"})
"""Lists whose order has a meaning; every other list is a set."""


def digest(policy: Policy) -> bytes:
    """Return the digest of a policy."""
    return tagged_digest("ringfence policy 1", canonical_bytes(canonical_data(policy)))


def canonical_data(policy: Policy) -> dict[str, Any]:
    """Return what is hashed: plain data with every set in one order."""
    data = policy.model_dump(exclude_defaults=True)
    for gate in data.get("gates", {}).values():
        _order_sides(gate)
    data["flows"] = [single for flow in data.get("flows", ()) for single in _single_flows(flow)]
    return {name: canonical_value(value, name) for name, value in data.items()}


def _order_sides(gate: dict[str, Any]) -> None:
    """Between A and B is between B and A."""
    if gate.get("both_ways"):
        sides = sorted((sorted(gate["sources"]), sorted(gate["targets"])))
        gate["sources"], gate["targets"] = sides


def _single_flows(flow: dict[str, Any]) -> list[dict[str, Any]]:
    """One flow between lists is the flows between their members."""
    return [
        {**flow, "sources": [source], "targets": [target]}
        for source in flow["sources"]
        for target in flow["targets"]
    ]


def canonical_value(value: Any, name: str = "") -> Any:
    """Put plain data in its one order; `name` says which field a list is of, since some lists are ordered."""
    if isinstance(value, Mapping):
        return {key: canonical_value(one, key) for key, one in value.items()}
    if not isinstance(value, list | tuple):
        return value
    items = [canonical_value(one, "") for one in value]
    if name in _IN_ORDER:
        return items
    distinct = {canonical_bytes(item): item for item in items}
    return [distinct[key] for key in sorted(distinct)]
