"""Who must sign: whether a set of verified keys meets a gate's `needs`.

A need names a key or asks for `k` distinct keys of a list, nested as the policy likes. Within one quorum no
key counts twice, however the lists overlap.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ringfence.planes.ledger.rules import KeyRule, Place, Way
from ringfence.policy.families import is_variable
from ringfence.policy.model import KeyNeed, Need

NameOf = Callable[[KeyNeed], str | None]
"""Gives the concrete name of a key, such as `client_key/alice`; None where no member is bound."""


def names_for(keys: Mapping[str, KeyRule], source: Place | None, binding: Mapping[str, str] | None) -> NameOf:
    """Say how needs are read at a gate: a key without a member is the key of the member bound in `source`.

    binding: the members of the gate's or exchange's variables, for needs that name one.
    """
    return _names(keys, source, lambda: binding)


def names_through(keys: Mapping[str, KeyRule], way: Way, source: Place, target: Place) -> NameOf:
    """Say how the needs of a gate are read on one way through it; members are only bound for who asks."""
    return _names(keys, source, lambda: way.binding(source.members, target.members))


def _names(
    keys: Mapping[str, KeyRule], source: Place | None, bound: Callable[[], Mapping[str, str] | None]
) -> NameOf:
    def name_of(need: KeyNeed) -> str | None:
        member = need.member
        if member is None:
            rule = keys.get(need.key)
            if rule is None or rule.per is None:
                return need.key
            member = source.member_of(rule.per) if source is not None else None
        elif is_variable(member):
            member = (bound() or {}).get(member[1:-1])
        return None if member is None else f"{need.key}/{member}"

    return name_of


def unmet(needs: Sequence[Need], signed: frozenset[str], name_of: NameOf) -> str:
    """Name the first need that the signed keys do not meet; "" where all hold."""
    for need in needs:
        if isinstance(need, KeyNeed):
            if name_of(need) not in signed:
                return show_need(need, name_of)
        elif not any(True for _ in _ways_to_meet(need, signed, name_of)):
            return show_need(need, name_of)
    return ""


def show_need(need: Need, name_of: NameOf) -> str:
    """Write a need with its members, as in `2 of [officer_a, client_key/alice]`."""
    if isinstance(need, KeyNeed):
        return name_of(need) or f"{need.key} of a member that is not bound here"
    return f"{need.count} of [{', '.join(show_need(inner, name_of) for inner in need.of)}]"


def keys_named(needs: Sequence[Need], name_of: NameOf) -> Iterator[str]:
    """Go through the names of all keys that needs speak of, quorums too, each once."""
    seen: dict[str, None] = {}
    for need in needs:
        inner = [name_of(need)] if isinstance(need, KeyNeed) else keys_named(need.of, name_of)
        seen.update((name, None) for name in inner if name)
    yield from seen


def _ways_to_meet(need: Need, signed: frozenset[str], name_of: NameOf) -> Iterator[frozenset[str]]:
    """Go through the sets of signed keys that meet a need, each just large enough."""
    if isinstance(need, KeyNeed):
        name = name_of(need)
        if name in signed:
            yield frozenset({name})
        return
    yield from _choose(need.count, need.of, signed, name_of)


def _choose(
    count: int, of: Sequence[Need], signed: frozenset[str], name_of: NameOf
) -> Iterator[frozenset[str]]:
    """Go through the unions of `count` needs met by keys that are all distinct."""
    if count == 0:
        yield frozenset()
        return
    if len(of) < count:
        return
    for first in _ways_to_meet(of[0], signed, name_of):
        for rest in _choose(count - 1, of[1:], signed - first, name_of):
            yield first | rest
    yield from _choose(count, of[1:], signed, name_of)
