"""Notes: what is declared and does nothing. No error, but seldom what was meant."""

from collections.abc import Iterator

from ringfence.policy.model import Exchange, Finding, Gate
from ringfence.policy.rules.view import Rule, View, keys_of
from ringfence.policy.selectors import definition


def families_own_something(view: View) -> Iterator[Finding]:
    """A family of which no member owns anything is not part of the platform yet."""
    owners = {one.owner for one in view.policy.compartments.values()}
    for name, party in view.policy.parties.items():
        if party.family and name not in owners:
            found = f"no compartment is owned by the family `{name}`"
            yield view.note(
                "unused-family", ("parties", name), found, "give it a compartment, or leave it out"
            )


def keys_sign_something(view: View) -> Iterator[Finding]:
    """A key that nothing needs is only one more to lose."""
    used: set[str] = set()
    ways: list[Gate | Exchange] = [*view.policy.gates.values(), *view.policy.exchanges.values()]
    for way in ways:
        standing = () if way.standing is None else (way.standing,)
        used |= {need.key for need in keys_of((*way.needs, *way.cancel, *standing))}
    for one in view.policy.compartments.values():
        used |= {need.key for need in keys_of(one.trade.needs)} if one.trade is not None else set()
    for halt in view.policy.halts.values():
        used |= {need.key for need in keys_of((*halt.needs, *halt.lift))}
    if view.policy.adoption is not None:
        used |= {need.key for need in keys_of((*view.policy.adoption.needs, *view.policy.adoption.cancel))}
    for name in view.policy.keys:
        if name not in used:
            found = f"nothing needs the key `{name}`"
            yield view.note("unused-key", ("keys", name), found, "need it somewhere, or leave it out")


def compartments_have_a_gate(view: View) -> Iterator[Finding]:
    """A compartment without a gate keeps what it has for ever."""
    used: set[str | None] = set()
    for gate in view.policy.gates.values():
        used |= {definition(view.policy.compartments, end) for end in (*gate.sources, *gate.targets)}
    for exchange in view.policy.exchanges.values():
        ends = (end for leg in exchange.legs for end in (leg.source, leg.target))
        used |= {definition(view.policy.compartments, end) for end in ends}
    for name in view.policy.compartments:
        if name not in used:
            found = f"no gate leads to or from `{name}`"
            yield view.note("unused-compartment", ("compartments", name), found, "write one, or leave it out")


def zones_have_services(view: View) -> Iterator[Finding]:
    """A zone in which nothing runs is empty."""
    used = {service.zone for service in view.policy.services.values()}
    for index, zone in enumerate(view.policy.zones):
        if zone not in used:
            found = f"nothing runs in the zone `{zone}`"
            yield view.note("unused-zone", ("zones", str(index)), found, "leave it out")


WHOLE_RULES: tuple[Rule, ...] = (
    families_own_something,
    keys_sign_something,
    compartments_have_a_gate,
    zones_have_services,
)
