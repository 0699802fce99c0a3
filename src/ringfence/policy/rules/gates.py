"""Gates and exchanges open something, bounded, for a reason that can be checked."""

from collections.abc import Iterator

from ringfence.policy.families import is_variable, overlap, parts_of, variables_of
from ringfence.policy.grammar import Path
from ringfence.policy.model import Exchange, Finding, Gate
from ringfence.policy.rules.view import Rule, View, listed
from ringfence.policy.selectors import accepts, definition, leg_ways, pairs

RESERVED = {
    "gates": frozenset({"debt", "trade", "own", "deleverage"}),
    "exchanges": frozenset({"debt", "trade", "own", "deleverage"}),
    "instruments": frozenset({"all"}),
    "compartments": frozenset({"anywhere"}),
}
"""Names that the ledger, the claims or the language itself give a meaning of their own."""


def names_are_free(view: View) -> Iterator[Finding]:
    """A gate and an exchange never share a name, nor take one that means something already."""
    for section, reserved in RESERVED.items():
        for name in getattr(view.policy, section):
            if name in reserved:
                found = f"`{name}` has a meaning of its own"
                yield view.error("reserved-name", (section, name), found, "choose another name")
    for name in view.policy.exchanges:
        if name in view.policy.gates:
            yield view.error("reserved-name", ("exchanges", name), f"`{name}` is a gate too", "rename one")


def wildcards_stay_in_claims(view: View) -> Iterator[Finding]:
    """A gate lists its compartments: what a wildcard reaches changes when a compartment is added."""
    for name, gate in view.policy.gates.items():
        for end in (*gate.sources, *gate.targets):
            if not {"*", "**"} & set(parts_of(end)):
                continue
            reached = [one for one in view.policy.compartments if overlap(end, one) is not None]
            money = [one for one in reached if view.policy.compartments[one].role == "client_money"]
            if gate.accrual and money:
                found = (
                    f"the wildcard `{end}` of the accrual gate `{name}` reaches client money: {listed(money)}"
                )
                yield view.error(
                    "accrual-reaches-client-money", ("gates", name), found, "list what it is for"
                )
            else:
                found = f"`{end}` is a wildcard; it reaches {listed(reached) or 'nothing'}"
                right = "wildcards stand only in claims: list the compartments"
                yield view.error("wildcard", ("gates", name), found, right)


def gates_move_something(view: View) -> Iterator[Finding]:
    """Some pair of ends accepts some asset, and every end and asset named takes part."""
    for name, gate in view.policy.gates.items():
        if _has_unknown_ends(view, gate):
            continue
        used = _taking_part(view, gate)
        idle = [one for one in (*gate.assets, *gate.sources, *gate.targets) if one not in used]
        if not used:
            found = f"no pair of ends of `{name}` accepts any of {listed(gate.assets)}"
            yield view.error("gate-moves-nothing", ("gates", name), found, "let both ends accept what passes")
        elif idle:
            found = f"{listed(idle)} takes part in no pair of `{name}` that both ends accept"
            yield view.error("gate-moves-nothing", ("gates", name), found, "leave it out, or accept it")


def _taking_part(view: View, gate: Gate) -> set[str]:
    """Return the assets that pass and the ends they pass between, without listing the pairs."""
    used: set[str] = set()
    for asset in gate.assets:
        sources = {end for end in gate.sources if accepts(view.policy, end, asset)}
        targets = {end for end in gate.targets if accepts(view.policy, end, asset)}
        if sources and targets and len(sources | targets) > 1:
            used |= {asset} | sources | targets
    return used


def gates_move_coins(view: View) -> Iterator[Finding]:
    """Contracts pass by trade or at a price; debts are issued and repaid, never sent."""
    for name, gate in view.policy.gates.items():
        path = ("gates", name, "assets")
        contracts = [asset for asset in gate.assets if asset in view.policy.instruments]
        if contracts:
            found = f"{listed(contracts)} would pass `{name}` without a price"
            yield view.error(
                "gate-asset", path, found, "contracts pass by `trade`, or by an exchange with a price"
            )
        debts = [one for one in gate.assets if one in view.policy.assets and view.policy.assets[one].debt_in]
        if debts and not {"debt_draw", "debt_repayment"} & set(gate.accrual):
            found = f"the debt {listed(debts)} would pass `{name}`"
            yield view.error("gate-asset", path, found, "a debt is drawn or repaid: write that accrual")


def gates_are_bounded(view: View) -> Iterator[Finding]:
    """A gate that is no accrual has a limit for each asset it moves."""
    for name, gate in view.policy.gates.items():
        path = ("gates", name)
        limit = gate.limit
        limited = {*limit.each_transfer, *limit.each, *limit.all}
        windowed = {*limit.each, *limit.all}
        if not gate.accrual:
            free = [one for one in gate.assets if one not in windowed]
            if free and limit.valued_in not in windowed:
                found = f"`{name}` is no accrual and has no limit for {listed(free)}"
                yield view.error("no-limit", path, found, _A_LIMIT)
        yield from _fitting_limit(view, path, name, gate, limited)


_A_LIMIT = 'write one in a window for each, such as `limit: {each: {USDC: "1000 per 1 d"}}`'


def _fitting_limit(view: View, path: Path, name: str, gate: Gate, limited: set[str]) -> Iterator[Finding]:
    here = (*path, "limit")
    valued_in = gate.limit.valued_in
    if valued_in is not None and gate.on != ("ledger",):
        found = f"`valued_in` on {listed(gate.on)}"
        yield view.error("valued-in", here, found, "only the ledger knows a price: write `on: ledger`")
    if valued_in is not None and limited - {valued_in}:
        found = f"`{name}` is valued in `{valued_in}` and limited in {listed(sorted(limited - {valued_in}))}"
        yield view.error("valued-in", here, found, f"limit it in `{valued_in}`")
    other = sorted(limited - set(gate.assets) - {valued_in})
    if other:
        found = f"`{name}` limits {listed(other)}, which it does not move"
        yield view.error("limit-unused", here, found, "leave it out")
    variables = {variable for end in (*gate.sources, *gate.targets) for variable in variables_of(end)}
    named = {
        one.member for end in (*gate.sources, *gate.targets) if (one := view.compartment(end)) is not None
    }
    if gate.limit.each and not variables and named <= {None}:
        found = f"`each` counts by member, and no end of `{name}` has members"
        yield view.error("limit-each", here, found, "write `all`")


def destinations_are_pinned(view: View) -> Iterator[Finding]:
    """What leaves goes where it was registered to go; only accruals may end in the open."""
    for name, gate in view.policy.gates.items():
        for _, target in pairs(gate):
            one = view.compartment(target)
            if not gate.accrual and one is not None and one.kind == "external" and not one.pinned:
                found = f"`{name}` leads to `{target}`, which is not pinned"
                yield view.error("destination", ("gates", name), found, "write `pinned: true` there")


def accruals_are_computed(view: View) -> Iterator[Finding]:
    """What moves exactly what is owed says who computes it, and nothing else does."""
    for section, name, way in _all_ways(view):
        path = (section, name)
        if way.accrual and not way.computed_by:
            found = f"`{name}` moves what is owed and does not say who computes it"
            yield view.error("accrual", path, found, "write `computed_by: [risk, ledger]`")
        if way.computed_by and not way.accrual:
            found = f"`{name}` names who computes and no accrual"
            yield view.error("accrual", (*path, "computed_by"), found, "write `accrual`, or leave it out")
        if way.accrual and way.on and "ledger" not in way.on:
            found = f"`{name}` moves what is owed on {listed(way.on)}"
            yield view.error("accrual", (*path, "on"), found, "the ledger knows what is owed: add it")


def accruals_have_one_source(view: View) -> Iterator[Finding]:
    """What is owed from one place to another is worked out by the same services, whichever gate moves it."""
    owing = [(name, gate) for name, gate in view.policy.gates.items() if gate.accrual]
    for number, (name, gate) in enumerate(owing):
        for earlier, other in owing[:number]:
            both = [word for word in gate.accrual if word in other.accrual]
            if both and set(gate.computed_by) != set(other.computed_by) and _share_ends(gate, other):
                found = f"{both[0]} between the same ends is worked out by others than at `{earlier}`"
                right = (
                    "name the same services, or other ends: who may lie at one gate could move at the other"
                )
                yield view.error("accrual", ("gates", name, "computed_by"), found, right)


def _share_ends(gate: Gate, other: Gate) -> bool:
    is_shared = any(
        _may_be_one(one[0], two[0]) and _may_be_one(one[1], two[1])
        for one in pairs(gate)
        for two in pairs(other)
    )
    return is_shared and not set(gate.assets).isdisjoint(other.assets)


def _may_be_one(pattern: str, other: str) -> bool:
    """Say whether two patterns may name one compartment."""
    parts, others = parts_of(pattern), parts_of(other)
    return len(parts) == len(others) and all(
        one == two or is_variable(one) or is_variable(two) for one, two in zip(parts, others, strict=True)
    )


def ways_have_a_plane(view: View) -> Iterator[Finding]:
    """Some plane that knows value checks it."""
    for section, name, way in _all_ways(view):
        if not way.on or "network" in way.on:
            found = f"`{name}` is checked on {listed(way.on) or 'no plane'}"
            right = "write `ledger`, `vault` or both: the network knows no value"
            yield view.error("plane", (section, name, "on"), found, right)


def waiting_can_be_cancelled(view: View) -> Iterator[Finding]:
    """Only what waits can be cancelled."""
    for section, name, way in _all_ways(view):
        if way.cancel and way.delay_ns is None:
            found = f"`{name}` can be cancelled and does not wait"
            yield view.error("cancel", (section, name, "cancel"), found, "write `delay`, or leave it out")
        standing = view.policy.keys.get(way.standing.key) if way.standing else None
        if standing is not None and standing.signs != "by_hand":
            found = f"the mandate of `{name}` is signed on evidence"
            yield view.error("standing", (section, name, "standing"), found, "name a key that signs by hand")
    adoption = view.policy.adoption
    if adoption is not None and adoption.cancel and adoption.delay_ns is None:
        found = "an adoption can be cancelled and does not wait"
        yield view.error("cancel", ("adoption", "cancel"), found, "write `delay`, or leave it out")


def conditions_fit_their_source(view: View) -> Iterator[Finding]:
    """`releasable` and `flat` speak of a bucket that trades."""
    for name, gate in view.policy.gates.items():
        for condition in gate.when:
            if condition.word not in ("releasable", "flat"):
                continue
            idle = [
                source
                for source, _ in pairs(gate)
                if (one := view.compartment(source)) is not None and one.margin is None
            ]
            if idle:
                found = f"`{condition.word}` is asked of {listed(dict.fromkeys(idle))}, which has no margin"
                yield view.error("condition", ("gates", name, "when"), found, "leave it out, or name buckets")


# --- exchanges ---------------------------------------------------------------------------------


def exchanges_move_something(view: View) -> Iterator[Finding]:
    """Each leg has an asset that both its ends accept, and legs against each other have a price."""
    for name, exchange in view.policy.exchanges.items():
        path = ("exchanges", name)
        if not exchange.legs:
            yield view.error("exchange", (*path, "legs"), f"`{name}` has no leg", "write its legs")
        for leg, open_ways in zip(exchange.legs, leg_ways(view.policy, exchange), strict=True):
            ends = (leg.source, leg.target)
            if all(view.compartment(end) is not None for end in ends) and not open_ways:
                found = f"`{leg.source} -> {leg.target}` has no asset that both ends accept"
                yield view.error("gate-moves-nothing", (*path, "legs"), found, "let both ends accept one")
        if len(exchange.legs) > 1 and exchange.price is None:
            found = f"the legs of `{name}` have no price"
            yield view.error("exchange", path, found, 'write `price: "within 1 % of index"`')
        if exchange.price is not None and not 0 <= exchange.price.ppm < 1_000_000:
            yield view.error("exchange", (*path, "price"), "the band is 100 % or more", "write a closer one")
        yield from _bounded_exchange(view, path, name, exchange)


def _bounded_exchange(view: View, path: Path, name: str, exchange: Exchange) -> Iterator[Finding]:
    limit = exchange.limit
    if not exchange.accrual and not limit.each and not limit.all:
        found = f"`{name}` is no accrual and has no limit"
        yield view.error(
            "no-limit", path, found, "limit at least one asset, which each exchange must then move"
        )
    if limit.valued_in is not None and exchange.on != ("ledger",):
        found = f"`valued_in` on {listed(exchange.on)}"
        yield view.error(
            "valued-in", (*path, "limit"), found, "only the ledger knows a price: write `on: ledger`"
        )


# --- entities ----------------------------------------------------------------------------------


def entities_stay_apart(view: View) -> Iterator[Finding]:
    """No gate and no exchange passes between two legal persons unless it says so."""
    if not view.policy.entities:
        return
    for name, gate in view.policy.gates.items():
        crossing = [pair for pair in pairs(gate) if _crosses(view, *pair)]
        yield from _crossing(view, ("gates", name), gate, crossing)
    for name, exchange in view.policy.exchanges.items():
        legs = [(leg.source, leg.target) for leg in exchange.legs if _crosses(view, leg.source, leg.target)]
        yield from _crossing(view, ("exchanges", name), exchange, legs)


def _crossing(
    view: View, path: Path, way: Gate | Exchange, crossing: list[tuple[str, str]]
) -> Iterator[Finding]:
    """Settlement with clearing is how trade works; every other accrual is a movement like any."""
    if crossing and not way.crosses_entities:
        source, target = crossing[0]
        found = f"`{path[1]}` passes from {_entity_words(view, source)} to {_entity_words(view, target)}"
        yield view.error("entities", path, found, "write `crosses_entities: true` if it is meant")
    if not crossing and way.crosses_entities:
        found = f"`{path[1]}` stays within one entity"
        yield view.error("entities", (*path, "crosses_entities"), found, "leave `crosses_entities` out")


def _crosses(view: View, source: str, target: str) -> bool:
    first, second = entity_of(view, source), entity_of(view, target)
    return first is not None and second is not None and first != second


def _entity_words(view: View, end: str) -> str:
    return f"`{end}` of `{entity_of(view, end)}`"


def entity_of(view: View, end: str) -> str | None:
    """Return the entity of a compartment: its own word, the list that names it, or its owner's."""
    name = definition(view.policy.compartments, end)
    if name is None:
        return None
    one = view.policy.compartments[name]
    if one.entity is not None:
        return one.entity
    for entity_name, entity in view.policy.entities.items():
        if name in entity.compartments or (one.kind == "internal" and one.owner in entity.parties):
            return entity_name
    return None


def entities_are_a_tree(view: View) -> Iterator[Finding]:
    """Each party and compartment belongs to one entity, and no entity is part of itself."""
    seen: dict[str, str] = {}
    for name, entity in view.policy.entities.items():
        for member in (*entity.parties, *entity.compartments):
            if member in seen:
                found = f"`{member}` belongs to `{seen[member]}` and to `{name}`"
                yield view.error("entities", ("entities", name), found, "write it once")
            seen[member] = name
        above, steps = entity.part_of, 0
        while above is not None and above != name and steps <= len(view.policy.entities):
            parent = view.policy.entities.get(above)
            above, steps = (parent.part_of if parent is not None else None), steps + 1
        if above == name:
            yield view.error(
                "entities", ("entities", name), f"`{name}` is part of itself", "break the circle"
            )


def _all_ways(view: View) -> Iterator[tuple[str, str, Gate | Exchange]]:
    for name, gate in view.policy.gates.items():
        yield "gates", name, gate
    for name, exchange in view.policy.exchanges.items():
        yield "exchanges", name, exchange


def _has_unknown_ends(view: View, gate: Gate) -> bool:
    assets = set(view.policy.assets) | set(view.policy.instruments)
    return any(view.compartment(end) is None for end in (*gate.sources, *gate.targets)) or not all(
        asset in assets for asset in gate.assets
    )


RULES: tuple[Rule, ...] = (
    names_are_free,
    wildcards_stay_in_claims,
    gates_move_something,
    gates_move_coins,
    gates_are_bounded,
    destinations_are_pinned,
    accruals_are_computed,
    accruals_have_one_source,
    ways_have_a_plane,
    waiting_can_be_cancelled,
    conditions_fit_their_source,
    exchanges_move_something,
    entities_stay_apart,
    entities_are_a_tree,
)
