"""How many members of each family are enough to decide a question for any number of them.

Reachability: keep the r members a question names, and fold all others onto few. Every rule is a definite Horn
clause whose only test on members is whether two are distinct, so k = max(r, 1) members decide it, plus the
most variables of one rule where a rule compares members (docs/why/families.md has the argument).

Amounts: keep the named members and one that stands for all others, its caps counted without end; what the
named ones can move is then the same for any number of members.

Some features take a policy out of what this decides. They are refused here by name, never passed over.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ringfence.policy.families import is_variable, parts_of, variables_of
from ringfence.policy.model import Exchange, Gate, KeyNeed, Need, Policy, Quorum
from ringfence.proof.world import Member

NAMES = (
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "olivia",
    "peggy",
)
"""Names for members that stand in for variables; stories read better with them."""


@dataclass(frozen=True, slots=True)
class Cast:
    """The members a question is decided with.

    members: named ones first, then those that stand for all others; binding: the member of each variable of
    the question; merged: one member stands for all others at once (amounts), so that two distinct variables
    may both be it.
    """

    members: tuple[Member, ...]
    binding: Mapping[str, str]
    merged: bool = False

    def of(self, party: str) -> tuple[Member, ...]:
        """List the members kept of a family."""
        return tuple(member for member in self.members if member.party == party)

    def others(self) -> frozenset[str]:
        """Name the members that stand for all others."""
        return frozenset(member.name for member in self.members if member.others)


def cast_for_reach(policy: Policy, variables: Mapping[str, str], named: Iterable[str] = ()) -> Cast:
    """Choose members to decide what can be reached, for any number of members.

    variables: the family of each variable of the question; named: names in it such as `client_key/acme`.
    """
    return _cast(policy, variables, named, most_variables(policy), merged=False)


def most_variables(policy: Policy) -> dict[str, int]:
    """Count, for each family, the members that one rule can tell apart; 1 where no rule compares members."""
    return {party: _others_needed(policy, party) for party in _families(policy)}


def cast_for_amounts(policy: Policy, variables: Mapping[str, str], named: Iterable[str] = ()) -> Cast:
    """Choose members to decide amounts: those named, and one that stands for all others."""
    return _cast(policy, variables, named, dict.fromkeys(_families(policy), 1), merged=True)


def cast_of_size(policy: Policy, variables: Mapping[str, str], others: int) -> Cast:
    """Choose the named members and so many others, each only itself: the expanded policy, for comparisons."""
    cast = _cast(policy, variables, (), dict.fromkeys(_families(policy), others), merged=False)
    real = tuple(Member(member.name, member.party) for member in cast.members)
    return Cast(real, cast.binding)


def _cast(
    policy: Policy,
    variables: Mapping[str, str],
    named: Iterable[str],
    extra: Mapping[str, int],
    *,
    merged: bool,
) -> Cast:
    literal = {party: _literal_members(policy, party, named) for party in _families(policy)}
    free = _free_names({name for names in literal.values() for name in names})
    binding = {variable: next(free) for variable in variables}
    members = []
    for party, known in literal.items():
        kept = [*(binding[name] for name, family in variables.items() if family == party), *known]
        members += [Member(name, party) for name in kept]
        others = extra[party] if kept or merged or extra[party] == 1 else extra[party] + 1
        members += [Member(next(free), party, others=True) for _ in range(others)]
    return Cast(tuple(members), binding, merged)


def _families(policy: Policy) -> tuple[str, ...]:
    return tuple(name for name, party in policy.parties.items() if party.family)


def _free_names(taken: set[str]) -> Iterator[str]:
    yield from (name for name in NAMES if name not in taken)
    number = 1
    while True:
        if f"member-{number}" not in taken:
            yield f"member-{number}"
        number += 1


def _literal_members(policy: Policy, party: str, named: Iterable[str]) -> tuple[str, ...]:
    """List members that the policy or the question calls by name."""
    names = list(policy.parties[party].members)
    names += [one.member for one in policy.compartments.values() if one.member and one.owner == party]
    for need in _all_key_needs(policy):
        key = policy.keys.get(need.key)
        if key and key.per == party and need.member and not is_variable(need.member):
            names.append(need.member)
    for name in named:
        stem, _, member = name.partition("/")
        key = policy.keys.get(stem)
        if key and key.per == party and member and not is_variable(member):
            names.append(member)
        names += _members_in_path(policy, party, name)
    return tuple(dict.fromkeys(names))


def _members_in_path(policy: Policy, party: str, path: str) -> list[str]:
    """Find members of a family that a path such as `client/acme/cash` or `client/acme/**` calls by name."""
    found = []
    wanted = parts_of(path)
    for pattern in policy.compartments:
        pairs = list(zip(parts_of(pattern), wanted, strict=False))
        if all(part == text or is_variable(part) or "*" in text for part, text in pairs):
            found += [
                text
                for part, text in pairs
                if part == f"{{{party}}}" and not is_variable(text) and "*" not in text
            ]
    return found


def _others_needed(policy: Policy, party: str) -> int:
    most = 1
    for patterns in _rules_with_members(policy):
        variables = {variable for pattern in patterns for variable in variables_of(pattern)}
        most = max(most, len(variables & _variables_of_family(policy, party, patterns)))
    return most


def _rules_with_members(policy: Policy) -> Iterator[tuple[str, ...]]:
    for gate in policy.gates.values():
        yield from ((source, target) for source in gate.sources for target in gate.targets)
    for exchange in policy.exchanges.values():
        yield tuple(end for leg in exchange.legs for end in (leg.source, leg.target))
    for fall in policy.waterfalls.values():
        # A winner of the class pays for a loser: two members, even where the class has one variable.
        for step in fall.steps:
            if step.step == "deleverage":
                yield tuple(_renamed(name) for name in step.classes) + fall.covers


def _renamed(pattern: str) -> str:
    return "/".join(f"{{winner_{part[1:-1]}}}" if is_variable(part) else part for part in parts_of(pattern))


def _variables_of_family(policy: Policy, party: str, patterns: Iterable[str]) -> set[str]:
    """Name the variables of patterns that stand for members of a family, whatever they are called."""
    found: set[str] = set()
    for pattern in patterns:
        for known in policy.compartments:
            own, parts = parts_of(known), parts_of(pattern)
            if len(own) == len(parts):
                pairs = list(zip(own, parts, strict=True))
                if all(is_variable(a) == is_variable(b) and (is_variable(a) or a == b) for a, b in pairs):
                    found |= {b[1:-1] for a, b in pairs if a == f"{{{party}}}"}
    return found


# --- what is out of the fragment ---------------------------------------------------------------


def refused_features(policy: Policy) -> tuple[str, ...]:
    """Name each feature that few members would not decide, with its line; () where there is none."""
    found = [
        f"{policy.line('exchanges', name)}: {name} is a gate and an exchange: whose limits are whose?"
        for name in policy.exchanges
        if name in policy.gates
    ]
    for section, name, rule in _moving_rules(policy):
        where = policy.line(section, name)
        free = _unbound_members(rule)
        if free:
            words = f"{name} needs a key of {', '.join(free)}, which neither end binds: a quorum over members"
            found.append(f"{where}: {words}")
    return tuple(found)


def _unbound_members(rule: Gate | Exchange) -> tuple[str, ...]:
    if isinstance(rule, Gate):
        ends = (*rule.sources, *rule.targets)
    else:
        ends = tuple(end for leg in rule.legs for end in (leg.source, leg.target))
    bound = {f"{{{variable}}}" for end in ends for variable in variables_of(end)}
    standing = (rule.standing,) if rule.standing else ()
    asked = [
        need.member or "" for need in _key_needs((*rule.needs, *standing)) if is_variable(need.member or "")
    ]
    return tuple(dict.fromkeys(member for member in asked if member not in bound))


def _moving_rules(policy: Policy) -> Iterator[tuple[str, str, Gate | Exchange]]:
    yield from (("gates", name, gate) for name, gate in policy.gates.items())
    yield from (("exchanges", name, exchange) for name, exchange in policy.exchanges.items())


def _all_key_needs(policy: Policy) -> Iterator[KeyNeed]:
    for _, _, rule in _moving_rules(policy):
        yield from _key_needs((*rule.needs, *((rule.standing,) if rule.standing else ())))


def _key_needs(needs: Iterable[Need]) -> Iterator[KeyNeed]:
    for need in needs:
        if isinstance(need, Quorum):
            yield from _key_needs(need.of)
        else:
            yield need
