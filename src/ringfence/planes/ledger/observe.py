"""What a running book enforces, read back from the book itself: compared with the policy it is drift.

A policy can be compiled without a flaw and still not be what is in force, because a key was never registered
or a scope is frozen. `observe` lists every way with what keeps it shut.
"""

from dataclasses import dataclass

from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.stopping import shuts_gate
from ringfence.policy.model import KeyNeed, Need


@dataclass(frozen=True, slots=True, order=True)
class ObservedWay:
    """One way of the book in force: gate, ends as patterns, assets, and what keeps it shut now."""

    gate: str
    source: str
    target: str
    assets: tuple[str, ...]
    shut_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ObservedBook:
    """The policy a book obeys, its ways, and the keys of the policy that it does not know."""

    policy: bytes
    planes: tuple[str, ...]
    ways: tuple[ObservedWay, ...]
    missing_keys: tuple[str, ...]


def observe(state: BookState) -> ObservedBook:
    """Read the rules in force back from a book."""
    rules, frozen = state.rules, state.frozen()
    missing = tuple(
        name
        for name, key in sorted(rules.keys.items())
        if key.per is None and name not in state.public_keys()
    )
    ways = {
        ObservedWay(
            gate=name,
            source=way.source,
            target=way.target,
            assets=tuple(sorted(way.assets or rules.assets)),
            shut_by=(
                *(f"`{word}` is not enforced" for word in way.gate.unenforced),
                *(f"{key} is frozen" for key in sorted(frozen) if shuts_gate(key, name)),
                *(f"{key} is not registered" for key in _wanted(way.gate.needs) if key in missing),
            ),
        )
        for (name, _, _), leading in rules.ways.items()
        for way in leading
    }
    return ObservedBook(rules.digest, rules.planes, tuple(sorted(ways)), missing)


def drift(rules: Rules, observed: ObservedBook) -> tuple[str, ...]:
    """Say in sentences where a book differs from the rules that a policy compiles to."""
    found = []
    if observed.policy != rules.digest:
        found.append(
            f"the book obeys policy {observed.policy.hex()[:16]}, compiled is {rules.digest.hex()[:16]}"
        )
    wanted = {
        (name, way.source, way.target, tuple(sorted(way.assets or rules.assets)))
        for (name, _, _), leading in rules.ways.items()
        for way in leading
    }
    seen = {(way.gate, way.source, way.target, way.assets) for way in observed.ways}
    for gate, source, target, assets in sorted(wanted - seen):
        found.append(f"{gate} does not lead from {source} to {target} for {', '.join(assets)}")
    for gate, source, target, assets in sorted(seen - wanted):
        found.append(
            f"{gate} leads from {source} to {target} for {', '.join(assets)}, which was not declared"
        )
    found += [f"{key} is declared and not registered" for key in observed.missing_keys]
    return tuple(found)


def _wanted(needs: tuple[Need, ...]) -> tuple[str, ...]:
    names: list[str] = []
    for need in needs:
        names += [need.key] if isinstance(need, KeyNeed) else _wanted(need.of)
    return tuple(dict.fromkeys(names))
