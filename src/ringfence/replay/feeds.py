"""Ways by which the platform alone could put other money into a bucket that is short.

A wall that stands in the policy cannot be crossed here, because there is no gate. But where a policy has a
gate into a bucket (or into a pool that pays for it) that opens with nothing but the platform's own keys, a
platform under stress will use it; so does the replay, and the shadow ledger shows what crossed and through
which gate. A gate that moves only what is owed for another reason (a settlement, a fee, a rebate), that
waits, or that needs a key or a mandate of the client is no such way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, product

from ringfence.policy.families import variables_of
from ringfence.policy.model import Gate, KeyNeed, Need, Policy, Quorum
from ringfence.replay.layouts import same_shape

FEEDING_ACCRUALS = frozenset({"margin_shortfall", "shortfall"})
"""What is owed to a bucket because it is short; any other accrual is owed for a reason of its own."""


@dataclass(frozen=True, slots=True)
class Feed:
    """One way: a gate from one family of compartments to another, and where the policy says so.

    joins_members: it leads from one member to another, not only inside what one member has; each_units,
    all_units: its limits in the numeraire (None: no limit) per window of their lengths.
    """

    gate: str
    line: str
    source: str
    target: str
    joins_members: bool
    each_units: int | None = None
    each_ns: int = 1
    all_units: int | None = None
    all_ns: int = 1


def feeds_of(policy: Policy, fed: Iterable[str]) -> tuple[Feed, ...]:
    """List every way into the compartments of `fed`, and into whatever feeds those, and so on."""
    ways = [way for name, gate in policy.gates.items() for way in _ways(policy, name, gate)]
    found: dict[Feed, None] = {}
    wanted, seen = list(fed), set(fed)
    while wanted:
        target = wanted.pop()
        for way in ways:
            if way.target == target:
                found[way] = None
                if way.source not in seen:
                    seen.add(way.source)
                    wanted.append(way.source)
    return tuple(found)


def _ways(policy: Policy, name: str, gate: Gate) -> Iterator[Feed]:
    """List the pairs of inner compartments between which the platform alone may move money through a gate."""
    opens = _is_opened_by_platform(policy, gate.needs) and gate.standing is None and gate.delay_ns is None
    owed = not gate.accrual or FEEDING_ACCRUALS & set(gate.accrual)
    if not (opens and owed and policy.numeraire in gate.assets):
        return
    ends = product(gate.sources, gate.targets)
    both = chain(ends, product(gate.targets, gate.sources)) if gate.both_ways else ends
    for source, target in both:
        joins = variables_of(source) != variables_of(target) and bool(variables_of(source))
        for giver, taker in product(_homes(policy, source), _homes(policy, target)):
            if (giver != taker or joins) and _may_give(policy, giver):
                yield _feed(policy, name, gate, giver, taker, joins_members=joins)


def _homes(policy: Policy, pattern: str) -> list[str]:
    """List the compartments that a gate's pattern means, whatever their variables are called."""
    return [home for home in policy.compartments if same_shape(home, pattern)]


def _may_give(policy: Policy, source: str) -> bool:
    compartment = policy.compartments.get(source)
    if compartment is None or compartment.kind == "external":
        return False
    return compartment.role in ("client_money", "collateral", "insurance", "custody", "escrow", None)


def _is_opened_by_platform(policy: Policy, needs: Iterable[Need]) -> bool:
    return all(_is_service_need(policy, need) for need in needs)


def _is_service_need(policy: Policy, need: Need) -> bool:
    """Say whether keys that services hold and that sign by themselves are enough."""
    if isinstance(need, Quorum):
        return sum(_is_service_need(policy, one) for one in need.of) >= need.count
    assert isinstance(need, KeyNeed)
    key = policy.keys.get(need.key)
    return key is not None and key.per is None and key.signs == "on_evidence"


def _feed(policy: Policy, name: str, gate: Gate, source: str, target: str, *, joins_members: bool) -> Feed:
    each, every = gate.limit.each.get(policy.numeraire), gate.limit.all.get(policy.numeraire)
    return Feed(
        gate=name,
        line=policy.line("gates", name),
        source=source,
        target=target,
        joins_members=joins_members,
        each_units=each.units if each else None,
        each_ns=each.window.length_ns if each else 1,
        all_units=every.units if every else None,
        all_ns=every.window.length_ns if every else 1,
    )
