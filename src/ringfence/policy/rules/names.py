"""Every name resolves: a rule for each section that names something of another."""

from collections.abc import Iterable, Iterator

from ringfence.policy.families import is_variable, parts_of, variables_of
from ringfence.policy.grammar import Path, nearest
from ringfence.policy.model import Claim, CoverStep, DeleverageStep, Exchange, Finding, Gate, Need
from ringfence.policy.rules.view import Rule, View, keys_of
from ringfence.policy.selectors import definition


def assets_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold debts and credits to their coins, and values to their prices."""
    assets, prices = view.names("assets"), view.names("prices")
    policy = view.policy
    if policy.numeraire:
        yield from view.unknown(("numeraire",), policy.numeraire, "asset", assets)
    for name, asset in policy.assets.items():
        for word, coin in (("debt_in", asset.debt_in), ("mirrors", asset.mirrors)):
            if coin is not None:
                yield from view.unknown(("assets", name, word), coin, "asset", assets)
        if asset.price is not None:
            yield from view.unknown(("assets", name, "price"), asset.price, "price", prices)
    for name, instrument in policy.instruments.items():
        yield from view.unknown(("instruments", name, "quote"), instrument.quote, "asset", assets)
        yield from view.unknown(("instruments", name, "index"), instrument.index, "price", prices)


def people_are_known(view: View) -> Iterator[Finding]:
    """Hold entities and keys to the parties, services and entities there are."""
    parties, entities = view.names("parties"), view.names("entities")
    for name, entity in view.policy.entities.items():
        path = ("entities", name)
        if entity.part_of is not None:
            yield from view.unknown((*path, "part_of"), entity.part_of, "entity", entities)
        for party in entity.parties:
            yield from view.unknown((*path, "parties"), party, "party", parties)
        yield from _ends(view, (*path, "compartments"), entity.compartments)
    for name, key in view.policy.keys.items():
        if key.per is not None:
            yield from view.unknown(("keys", name, "per"), key.per, "family", view.families())
        if key.held_by is not None:
            holders = parties | view.names("services")
            yield from view.unknown(("keys", name, "held_by"), key.held_by, "party or service", holders)


def compartments_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold compartments to their owners, assets, instruments, keys and families."""
    instruments = view.names("instruments")
    for name, one in view.policy.compartments.items():
        path = ("compartments", name)
        for variable in variables_of(name):
            yield from view.unknown(path, variable, "family", view.families())
        if one.owner is not None:
            yield from view.unknown((*path, "owner"), one.owner, "party", view.names("parties"))
        if one.entity is not None:
            yield from view.unknown((*path, "entity"), one.entity, "entity", view.names("entities"))
        yield from _each(view, (*path, "accepts"), one.accepts, "asset", view.names("assets"))
        if one.trade is not None:
            yield from _each(view, (*path, "trade"), one.trade.instruments or (), "instrument", instruments)
            yield from _keys(view, (*path, "trade"), one.trade.needs)
        if isinstance(one.takes_over, tuple):
            yield from _each(view, (*path, "takes_over"), one.takes_over, "instrument", instruments)


def members_are_declared(view: View) -> Iterator[Finding]:
    """Hold every member named in the policy to the `members` of its family."""
    for name, one in view.policy.compartments.items():
        party = view.policy.parties.get(one.owner or "")
        if one.member is not None and party is not None and one.member not in party.members:
            yield _unknown_member(
                view, ("compartments", name, "member"), one.member, one.owner or "", party.members
            )
    for path, needs in _all_needs(view):
        for need in keys_of(needs):
            key = view.policy.keys.get(need.key)
            party = view.policy.parties.get(key.per or "") if key is not None else None
            if need.member is None or is_variable(need.member) or key is None or party is None:
                continue
            if need.member not in party.members:
                yield _unknown_member(view, path, need.member, key.per or "", party.members)


def _unknown_member(view: View, path: Path, member: str, family: str, members: tuple[str, ...]) -> Finding:
    found = f"`{member}` is no named member of `{family}`"
    right = f"write it under `members` of `{family}`" if not members else nearest(member, members, "members")
    return view.error("unknown-name", path, found, right)


def ways_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold gates and exchanges to their ends, assets, keys and services."""
    for name, gate in view.policy.gates.items():
        path = ("gates", name)
        yield from _ends(view, (*path, "between" if gate.both_ways else "from"), gate.sources)
        yield from _ends(view, (*path, "between" if gate.both_ways else "to"), gate.targets)
        yield from _each(view, (*path, "assets"), gate.assets, "asset", _movable(view))
        yield from _way(view, path, gate)
    for name, exchange in view.policy.exchanges.items():
        path = ("exchanges", name)
        ends = [end for leg in exchange.legs for end in (leg.source, leg.target)]
        yield from _ends(view, (*path, "legs"), dict.fromkeys(ends))
        yield from _each(
            view, (*path, "assets"), exchange.assets or (), "asset or instrument", _movable(view)
        )
        yield from _way(view, path, exchange)
    for kind, halt in view.policy.halts.items():
        yield from _keys(view, ("halts", kind, "needs"), halt.needs)
        yield from _keys(view, ("halts", kind, "lift"), halt.lift)
    if view.policy.adoption is not None:
        yield from _keys(view, ("adoption", "needs"), view.policy.adoption.needs)
        yield from _keys(view, ("adoption", "cancel"), view.policy.adoption.cancel)


def _movable(view: View) -> set[str]:
    return view.names("assets") | view.names("instruments")


def _way(view: View, path: Path, way: Gate | Exchange) -> Iterator[Finding]:
    yield from _keys(view, (*path, "needs"), way.needs)
    yield from _keys(view, (*path, "cancel"), way.cancel)
    if way.standing is not None:
        yield from _keys(view, (*path, "standing"), (way.standing,))
    yield from _each(view, (*path, "computed_by"), way.computed_by, "service", view.names("services"))
    if way.limit.valued_in is not None:
        yield from view.unknown((*path, "limit"), way.limit.valued_in, "asset", view.names("assets"))


def waterfalls_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold waterfalls to their buckets, pools and debt assets."""
    for name, waterfall in view.policy.waterfalls.items():
        path = ("waterfalls", name)
        yield from _ends(view, (*path, "for"), waterfall.covers)
        for step in waterfall.steps:
            if isinstance(step, CoverStep):
                yield from _ends(view, (*path, "steps"), (step.compartment,))
            elif isinstance(step, DeleverageStep):
                yield from _ends(view, (*path, "steps"), step.classes)
        if waterfall.last is not None:
            yield from _ends(view, (*path, "last"), (waterfall.last,))
        if waterfall.record is not None:
            yield from view.unknown((*path, "record"), waterfall.record, "asset", view.names("assets"))


def services_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold services to zones and keys, and flows to services and externals."""
    zones = set(view.policy.zones)
    for name, service in view.policy.services.items():
        path = ("services", name)
        yield from view.unknown((*path, "zone"), service.zone, "zone", zones)
        yield from _each(view, (*path, "holds"), service.holds, "key", view.names("keys"))
        yield from _each(view, (*path, "carries"), service.carries, "key", view.names("keys"))
    known = view.names("services") | set(view.policy.externals)
    for index, flow in enumerate(view.policy.flows):
        for word, names in (("from", flow.sources), ("to", flow.targets)):
            for name in names:
                yield from _flow_end(view, ("flows", str(index), word), name, known)


def _flow_end(view: View, path: Path, name: str, known: set[str]) -> Iterator[Finding]:
    if name in view.policy.zones and name not in known:
        found = f"`{name}` is a zone, and a zone grants nothing"
        yield view.error("unknown-name", path, found, "name its services")
    else:
        yield from view.unknown(path, name, "service or external", known)


def claims_name_what_is_there(view: View) -> Iterator[Finding]:
    """Hold claims to families, keys, services, and to gates, exchanges and steps."""
    for name, claim in view.policy.claims.items():
        path = ("claims", name)
        for family in claim.members.values():
            yield from view.unknown((*path, "for"), family, "family", view.families())
        for one in claim.without:
            yield from view.unknown((*path, "without"), parts_of(one)[0], "key", view.names("keys"))
        attackers = view.names("keys") | view.names("services")
        for one in claim.compromised:
            yield from view.unknown((*path, "compromised"), parts_of(one)[0], "key or service", attackers)
        exempt = view.names("gates") | view.names("exchanges") | {"own", "cover", "deleverage"}
        yield from _each(view, (*path, "except"), claim.exceptions, "gate, exchange or step", exempt)
        yield from _variables(view, path, claim)


def _variables(view: View, path: Path, claim: Claim) -> Iterator[Finding]:
    texts = list(claim.compromised) + list(claim.without)
    if claim.journey is not None:
        texts += [claim.journey.source.text, claim.journey.target.text]
    used = {variable for text in texts for variable in variables_of(text)}
    for variable in sorted(used - set(claim.members)):
        found = f"`{{{variable}}}` stands for no family"
        yield view.error("unknown-name", path, found, f"write `for: {{{variable}: …}}`")
    for variable in sorted(set(claim.members) - used):
        found = f"the variable `{variable}` is not used"
        yield view.error("unused-variable", (*path, "for"), found, "use it or leave it out")


def _ends(view: View, path: Path, ends: Iterable[str]) -> Iterator[Finding]:
    known = view.names("compartments")
    for end in ends:
        is_wild = any(part in ("*", "**") for part in parts_of(end))
        if not is_wild and definition(known, end) is None:
            found = f"`{end}` in {' '.join(path[:2])} is no compartment of this policy"
            yield view.error("unknown-name", path, found, nearest(end, known, "compartments"))


def _each(view: View, path: Path, names: Iterable[str], what: str, known: set[str]) -> Iterator[Finding]:
    for name in names:
        yield from view.unknown(path, name, what, known)


def _keys(view: View, path: Path, needs: Iterable[Need]) -> Iterator[Finding]:
    for need in keys_of(needs):
        yield from view.unknown(path, need.key, "key", view.names("keys"))


def _all_needs(view: View) -> Iterator[tuple[Path, tuple[Need, ...]]]:
    for name, gate in view.policy.gates.items():
        yield from _needs_of(("gates", name), gate)
    for name, exchange in view.policy.exchanges.items():
        yield from _needs_of(("exchanges", name), exchange)
    for name, one in view.policy.compartments.items():
        if one.trade is not None:
            yield ("compartments", name, "trade"), one.trade.needs


def _needs_of(path: Path, way: Gate | Exchange) -> Iterator[tuple[Path, tuple[Need, ...]]]:
    yield (*path, "needs"), way.needs
    yield (*path, "cancel"), way.cancel
    if way.standing is not None:
        yield (*path, "standing"), (way.standing,)


RULES: tuple[Rule, ...] = (
    assets_name_what_is_there,
    people_are_known,
    compartments_name_what_is_there,
    members_are_declared,
    ways_name_what_is_there,
    waterfalls_name_what_is_there,
    services_name_what_is_there,
    claims_name_what_is_there,
)
