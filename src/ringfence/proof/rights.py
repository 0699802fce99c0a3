"""Rights that were granted against rights that were used, read from the requests that a book carried out.

A gate that nobody uses, a key that never signs and a cap that is never half full are authority that an
attacker would have and nobody would miss.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.limits import Counter, spend, used_units
from ringfence.planes.ledger.operations import Fill, Move, Order, Request
from ringfence.policy.families import match, variables_of
from ringfence.policy.model import Cap, Exchange, Gate, Policy


class Dated(NamedTuple):
    """A request that was carried out, and when."""

    at: Instant
    request: Request


@dataclass(frozen=True, slots=True)
class CapUse:
    """One cap of a gate, and the most units that ever counted against it at once, of any one member where it
    is for `each`."""

    gate: str
    scope: Literal["each", "all"]
    asset: str
    cap: Cap
    most_units: int


@dataclass(frozen=True, slots=True)
class Rights:
    """Gates that moved nothing, keys that signed nothing, and how far each cap was used."""

    unused_gates: tuple[str, ...]
    unused_keys: tuple[str, ...]
    caps: tuple[CapUse, ...]


def rights_used(policy: Policy, carried_out: Iterable[Dated]) -> Rights:
    """Compare the rights of a policy with the requests that were carried out under it, oldest first."""
    rules: dict[str, Gate | Exchange] = {**policy.gates, **policy.exchanges}
    moved: set[str] = set()
    signed: set[str] = set()
    counters: dict[tuple[str, str, str, str], Counter] = {}
    most: dict[tuple[str, str, str], int] = {}
    for at, request in carried_out:
        signed.update(_signing(request))
        for link in request.links:
            if isinstance(link, Move):
                moved.add(link.gate)
                for key, cap in _charged(rules.get(link.gate), link):
                    counters[key] = spend(cap, counters.get(key, ()), link.units, at)
                    most[key[:3]] = max(most.get(key[:3], 0), used_units(cap, counters[key], at))
    return Rights(
        tuple(name for name in rules if name not in moved),
        tuple(name for name in policy.keys if name not in signed),
        tuple(
            CapUse(name, scope, asset, cap, most.get((name, scope, asset), 0))
            for name, rule in rules.items()
            for scope, caps in _caps(rule)
            for asset, cap in caps.items()
        ),
    )


def _caps(rule: Gate | Exchange) -> Iterator[tuple[Literal["each", "all"], Mapping[str, Cap]]]:
    """List caps in units; one `valued_in` an asset counts at prices, which the requests do not say."""
    if rule.limit.valued_in is None:
        yield "each", rule.limit.each
        yield "all", rule.limit.all


def _charged(rule: Gate | Exchange | None, move: Move) -> Iterator[tuple[tuple[str, str, str, str], Cap]]:
    """List the caps that a move counts against: by gate, scope, asset and, for each, the member."""
    for scope, caps in _caps(rule) if rule is not None else ():
        cap = caps.get(move.asset)
        if cap is not None and rule is not None:
            who = _member(rule, move) if scope == "each" else ""
            yield (move.gate, scope, move.asset, who), cap


def _member(rule: Gate | Exchange, move: Move) -> str:
    """Name whom a cap for each counts for: the members in the source's path, else in the target's."""
    if isinstance(rule, Exchange):
        sources, targets = ([getattr(leg, end) for leg in rule.legs] for end in ("source", "target"))
    else:
        sources, targets = ([*rule.sources, *rule.targets] for _ in range(2))
    for patterns, path in ((sources, move.source), (targets, move.target)):
        found = (match(pattern, path) for pattern in patterns if variables_of(pattern))
        members = next((one for one in found if one is not None), None)
        if members:
            return "/".join(members.values())
    return ""


def _signing(request: Request) -> Iterator[str]:
    orders = (side for link in request.links if isinstance(link, Fill) for side in (link.buy, link.sell))
    signatures = [
        *request.signatures,
        *(one for side in orders if isinstance(side, Order) for one in side.signatures),
    ]
    return (one.key.partition("/")[0] for one in signatures)


def moved_by_gate(requests: Iterable[Request]) -> dict[str, dict[str, int]]:
    """Add up what each gate and exchange moved in requests that were carried out, by asset."""
    moved: dict[str, dict[str, int]] = {}
    for request in requests:
        for link in request.links:
            if isinstance(link, Move):
                by_asset = moved.setdefault(link.gate, {})
                by_asset[link.asset] = by_asset.get(link.asset, 0) + link.units
    return moved
