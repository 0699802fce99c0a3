"""Keys have holders, quorums are what they seem, and `client_key` is somebody's."""

from collections.abc import Iterable, Iterator

from ringfence.policy.families import is_variable, match, variables_of
from ringfence.policy.grammar import Path
from ringfence.policy.model import Exchange, Finding, Gate, Key, KeyNeed, Need
from ringfence.policy.rules.view import Rule, View, keys_of, listed, quorums_of
from ringfence.policy.selectors import definition, pairs


def keys_have_one_holder(view: View) -> Iterator[Finding]:
    """A key is held by a party, a service or a person; a service holds exactly the keys that say so."""
    services = view.policy.services
    for name, key in view.policy.keys.items():
        path = ("keys", name)
        if key.held_by is None and key.person is None:
            found = f"nobody holds `{name}`"
            yield view.error("key-holder", path, found, "write `held_by` or `person`")
        if key.per is not None and key.held_by not in (None, key.per):
            found = f"`{name}` is one for each member of `{key.per}` and held by `{key.held_by}`"
            yield view.error("key-holder", path, found, f"write `held_by: {key.per}`")
        holder = services.get(key.held_by or "")
        if holder is not None and name not in holder.holds:
            found = f"`{name}` is held by `{key.held_by}`, which does not say so"
            yield view.error("key-holder", path, found, f"write `holds: [{name}]` at the service")
    for service_name, service in services.items():
        for name in service.holds:
            held = view.policy.keys.get(name)
            if held is not None and held.held_by != service_name:
                found = f"`{service_name}` holds `{name}`, which says otherwise"
                right = f"write `held_by: {service_name}` at the key"
                yield view.error("key-holder", ("services", service_name, "holds"), found, right)


def carriers_do_not_hold(view: View) -> Iterator[Finding]:
    """Who carries signatures never has the key; where a token ends, the key is held."""
    for name, service in view.policy.services.items():
        path = ("services", name, "carries")
        for key_name in service.carries:
            key = view.policy.keys.get(key_name)
            if key_name in service.holds:
                found = f"`{name}` carries and holds `{key_name}`"
                yield view.error("carries", path, found, "write it once: who holds it needs no carrying")
            if key is not None and key.form != "signature":
                found = f"`{key_name}` is a {key.form}, and who passes one on has it"
                yield view.error("carries", path, found, "write `holds`, or make it a signature")


def needs_can_be_met(view: View) -> Iterator[Finding]:
    """Something must sign, and no quorum asks for more keys than it lists."""
    for path, needs in _needs(view):
        if not needs:
            yield view.error("needs", path, "nobody has to sign", "name at least one key")
        for quorum in quorums_of(needs):
            names = [(need.key, need.member) for need in quorum.of if isinstance(need, KeyNeed)]
            if quorum.count > len(quorum.of):
                found = f"{quorum.count} keys of a list of {len(quorum.of)} must sign"
                yield view.error("quorum", path, found, f"ask for at most {len(quorum.of)}")
            if len(set(names)) < len(names):
                yield view.error("quorum", path, "a key stands twice in one quorum", "name each key once")


def distinct_keys_have_distinct_holders(view: View) -> Iterator[Finding]:
    """Two keys of one person, host or holder are one theft, however many the quorum counts."""
    for path, needs in _needs(view):
        shared: dict[tuple[str, str], list[str]] = {}
        for name in dict.fromkeys(need.key for need in keys_of(needs)):
            for mark in _marks(view.policy.keys.get(name)):
                shared.setdefault(mark, []).append(name)
        for (what, whose), names in shared.items():
            if len(names) > 1:
                found = f"{listed(names)} share the {what} `{whose}`"
                yield view.error("shared-holder", path, found, "name keys that must be stolen one by one")


def _marks(key: Key | None) -> tuple[tuple[str, str], ...]:
    if key is None:
        return ()
    marks = (("person", key.person), ("host", key.host), ("holder", key.held_by))
    return tuple((what, mark) for what, mark in marks if mark is not None)


# --- members -----------------------------------------------------------------------------------


def member_keys_are_somebodys(view: View) -> Iterator[Finding]:
    """A key with one for each member is the one of the member bound in the source, or says whose it is."""
    for name, gate in view.policy.gates.items():
        for word, needs in _words_with_keys(gate):
            yield from _gate_keys(view, ("gates", name, word), gate, needs)
    for name, exchange in view.policy.exchanges.items():
        for word, needs in _words_with_keys(exchange):
            yield from _exchange_keys(view, ("exchanges", name, word), exchange, needs)
    for name, one in view.policy.compartments.items():
        if one.trade is not None:
            yield from _fixed_keys(
                view, ("compartments", name, "trade"), one.trade.needs, set(variables_of(name))
            )
    for kind, halt in view.policy.halts.items():
        yield from _fixed_keys(view, ("halts", kind), (*halt.needs, *halt.lift), set())
    adoption = view.policy.adoption
    if adoption is not None:
        yield from _fixed_keys(view, ("adoption",), (*adoption.needs, *adoption.cancel), set())


def _words_with_keys(way: Gate | Exchange) -> tuple[tuple[str, tuple[Need, ...]], ...]:
    standing: tuple[Need, ...] = () if way.standing is None else (way.standing,)
    return (("needs", way.needs), ("cancel", way.cancel), ("standing", standing))


def _gate_keys(view: View, path: Path, gate: Gate, needs: Iterable[Need]) -> Iterator[Finding]:
    known = [pair for pair in pairs(gate) if all(view.compartment(end) is not None for end in pair)]
    bound = {_variable_families(view, source, target) for source, target in known}
    for need in keys_of(needs):
        family = _family_of(view, need)
        if family is None:
            yield from _member_of_plain_key(view, path, need)
        elif need.member is None and any(family not in dict(sources).values() for sources, _ in bound):
            found = f"`{need.key}` is one for each member of `{family}`, and a source names no member"
            yield view.error("member", path, found, f"write `{need.key}/{{…}}`, or one way only")
        elif need.member is not None and is_variable(need.member):
            yield from _bound_variable(view, path, need, [dict(ends) for _, ends in bound], family)


def _exchange_keys(view: View, path: Path, exchange: Exchange, needs: Iterable[Need]) -> Iterator[Finding]:
    variables = dict(
        pair for leg in exchange.legs for pair in _variable_families(view, leg.source, leg.target)[1]
    )
    for need in keys_of(needs):
        family = _family_of(view, need)
        if family is None:
            yield from _member_of_plain_key(view, path, need)
        elif need.member is None:
            found = f"`{need.key}` is one for each member, and an exchange has no source of its own"
            yield view.error("member", path, found, f"write whose it is: `{need.key}/{{a}}`")
        elif is_variable(need.member):
            yield from _bound_variable(view, path, need, [variables], family)


def _fixed_keys(view: View, path: Path, needs: Iterable[Need], families: set[str]) -> Iterator[Finding]:
    for need in keys_of(needs):
        family = _family_of(view, need)
        if family is None:
            yield from _member_of_plain_key(view, path, need)
        elif family not in families and (need.member is None or is_variable(need.member)):
            found = f"`{need.key}` is one for each member of `{family}`, and no member is named here"
            yield view.error("member", path, found, "name a key of its own, or the member")


def _bound_variable(
    view: View, path: Path, need: KeyNeed, bindings: list[dict[str, str]], family: str
) -> Iterator[Finding]:
    variable = (need.member or "")[1:-1]
    for variables in bindings:
        if variables.get(variable) != family:
            found = f"`{need.key}/{need.member}` names no member of `{family}` at either end"
            right = f"use a variable of the ends: {listed(sorted(variables)) or 'there is none'}"
            yield view.error("member", path, found, right)
            return


def _member_of_plain_key(view: View, path: Path, need: KeyNeed) -> Iterator[Finding]:
    if need.member is not None and need.key in view.policy.keys:
        found = f"`{need.key}` is one key, and `{need.key}/{need.member}` names a member"
        yield view.error("member", path, found, f"write `{need.key}`, or `per: …` at the key")


def _family_of(view: View, need: KeyNeed) -> str | None:
    key = view.policy.keys.get(need.key)
    return None if key is None else key.per


def _variable_families(
    view: View, source: str, target: str
) -> tuple[tuple[tuple[str, str], ...], tuple[tuple[str, str], ...]]:
    """Return the families that the source's variables run over, and those of both ends together.

    A source that names a member outright (`client/acme/cash`) binds that member's family too.
    """
    at_source = _families_at(view, source)
    return at_source, (*at_source, *_families_at(view, target))


def _families_at(view: View, end: str) -> tuple[tuple[str, str], ...]:
    name = definition(view.policy.compartments, end)
    if name is None:
        return ()
    bound = [(part.strip("{}"), family) for family, part in (match(name, end) or {}).items()]
    one = view.policy.compartments[name]
    if one.member is not None and one.owner is not None:
        bound.append((one.member, one.owner))
    return tuple(bound)


def _needs(view: View) -> Iterator[tuple[Path, tuple[Need, ...]]]:
    for name, gate in view.policy.gates.items():
        yield ("gates", name, "needs"), gate.needs
    for name, exchange in view.policy.exchanges.items():
        yield ("exchanges", name, "needs"), exchange.needs
    for name, one in view.policy.compartments.items():
        if one.trade is not None:
            yield ("compartments", name, "trade"), one.trade.needs
    for kind, halt in view.policy.halts.items():
        yield ("halts", kind, "needs"), halt.needs
        yield ("halts", kind, "lift"), halt.lift
    if view.policy.adoption is not None:
        yield ("adoption", "needs"), view.policy.adoption.needs


RULES: tuple[Rule, ...] = (
    keys_have_one_holder,
    carriers_do_not_hold,
    needs_can_be_met,
    distinct_keys_have_distinct_holders,
    member_keys_are_somebodys,
)
