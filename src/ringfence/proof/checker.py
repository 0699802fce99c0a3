"""A second, small program that checks certificates without believing the engines that made them.

It reads the world (`world`) and the forms of questions and evidence, and shares nothing else: what an
attacker ends up with is worked out again the slow way, a closed set is checked by looking at every way once,
an invariant by what each way does to it, a cut by adding it up and looking for a way round it, covers by
trying every smaller set of thefts. Sets of thefts are tried up to `THEFTS_MAX`; a larger bound is refused
rather than believed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from ringfence.proof.certificate import Certificate, Entry
from ringfence.proof.evidence import (
    Closed,
    Cover,
    Covers,
    Cut,
    Cuts,
    Effect,
    Hop,
    Invariant,
    Item,
    Losses,
    NoEvidence,
    Route,
)
from ringfence.proof.questions import Fewest, Moves, Never, Question, Trading
from ringfence.proof.world import NOBODY, Cap, Place, Way, World

THEFTS_MAX = 6

DAY_NS = 86_400_000_000_000

Keys = set[str]
Services = set[str]


class Unproved(Exception):
    """The evidence does not show what the certificate says; the message says why."""


def complaints(certificate: Certificate) -> tuple[str, ...]:
    """Say what is wrong with a certificate; () where every entry is shown by its evidence."""
    found = []
    for entry in certificate.entries:
        try:
            _check(_world_of(certificate, entry), entry)
        except Unproved as error:
            plane = f" on {entry.plane}" if entry.plane else ""
            found.append(f"{entry.claim}{plane}: {error}")
    return tuple(found)


def _world_of(certificate: Certificate, entry: Entry) -> World:
    if not 0 <= entry.world < len(certificate.worlds):
        raise Unproved(f"there is no world {entry.world} in the certificate")
    return certificate.worlds[entry.world]


def _check(world: World, entry: Entry) -> None:
    _check_question(world, entry)
    if entry.status in ("refuted", "open"):
        _check_failure(world, entry)
    elif entry.status in ("proved", "proved assuming"):
        _check_proof(world, entry)
    elif entry.status != "unknown" or not isinstance(entry.evidence, NoEvidence):
        raise Unproved(f"`{entry.status}` is no verdict that evidence could show")


def _check_question(world: World, entry: Entry) -> None:
    """Refuse a question about what is not there: it would be answered too easily."""
    question = entry.question
    plane = "" if isinstance(question, Never) else question.plane
    if entry.plane != plane:
        raise Unproved(f"it says `{entry.plane}`, and its question is about `{plane}`")
    if isinstance(question, Moves | Trading):
        _refuse_unknown("asset", question.caps, world.assets)
        _refuse_unknown("service", question.services, [row.name for row in world.services])
        _refuse_unknown("key", question.keys, [row.name for row in world.keys])
    places = [place.name for place in world.places]
    if isinstance(question, Never):
        _refuse_unknown("key", question.without, [row.name for row in world.keys])
        _refuse_unknown("rule", question.exceptions, [rule.name for rule in world.rules])
        _refuse_unknown("compartment", (*question.sources, *question.targets), places)
    elif not isinstance(question, Trading):
        _refuse_unknown("compartment", (*question.sources, *(question.sinks or ())), places)


def _refuse_unknown(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    there = set(known)
    for name in names:
        if name not in there:
            raise Unproved(f"it speaks of the {kind} {name}, which its world does not have")


def _check_proof(world: World, entry: Entry) -> None:
    match entry.question, entry.evidence:
        case Never() as never, Closed() as closed:
            _check_never(world, never, closed)
        case Moves() as moves, Cuts() as cuts:
            _check_moves(world, moves, cuts, entry.bound)
        case Trading() as trading, Losses() as losses:
            _check_trading(world, trading, losses, entry.bound)
        case Fewest() as fewest, Covers() as covers:
            _check_fewest(world, fewest, covers, entry.bound)
        case _:
            raise Unproved("the evidence is of another kind than the question")


# --- what an attacker ends up with -------------------------------------------------------------


def _fallen(world: World, services: Iterable[str], keys: Iterable[str], mode: str) -> tuple[Services, Keys]:
    """Add what follows, rule by rule, until nothing does."""
    names = [row.name for row in world.keys]
    owned = set(services)
    had = set(keys) | {row.name for row in world.keys if row.given}
    while True:
        before = len(owned) + len(had)
        for service in world.services:
            if service.name in owned:
                had |= {names[key] for key in service.holds}
        for source, target in world.flows:
            if mode == "pivot" and world.services[source].name in owned:
                owned.add(world.services[target].name)
        for derivation in world.derivations:
            if all(names[key] in had for key in derivation.known):
                had.add(names[derivation.gives])
        if len(owned) + len(had) == before:
            return owned, had


def _met(world: World, had: Collection[str]) -> list[bool]:
    has = [row.name in had for row in world.keys]
    met: list[bool] = []
    for need in world.needs:
        left = need.count
        for key in need.keys:
            left -= has[key]
        for part in need.parts:
            left -= met[part]
        met.append(left <= 0)
    return met


def _usable(world: World, owned: Services, had: Keys, plane: str) -> Iterator[tuple[Way, bool]]:
    """Go through the ways an attacker can use on a plane, and whether nobody checks them any more."""
    return _usable_among(world, world.ways, _met(world, had), owned, plane)


def _usable_among(
    world: World, ways: Iterable[Way], met: Sequence[bool] | Mapping[int, bool], owned: Services, plane: str
) -> Iterator[tuple[Way, bool]]:
    is_owned = [row.name in owned for row in world.services]
    void_on: dict[tuple[str, ...], bool] = {}
    for way in ways:
        rule = world.rules[way.rule]
        planes = rule.planes
        if plane not in planes:
            continue
        void = void_on.get(planes)
        if void is None:
            checks = [world.verifiers.get(one, NOBODY) for one in planes]
            void = void_on[planes] = all(one != NOBODY and is_owned[one] for one in checks)
        if void or (met[way.needs] and (not rule.accrual or all(is_owned[one] for one in rule.computed_by))):
            yield way, void


def shows_closed(
    world: World, services: Collection[str], mode: str, plane: str, inside: Collection[str]
) -> bool:
    """Say whether value in these places stays in them when these services fall: for a world of one asset.

    Only ways that lead out of them need to be shut, so only these are asked about.
    """
    owned, had = _fallen(world, services, (), mode)
    is_in = [place.name in inside for place in world.places]
    leaving = [is_in[number] and not place.external for number, place in enumerate(world.places)]
    crossing = [way for way in world.ways if leaving[way.source] and not is_in[way.target]]
    needs = {way.needs: _is_met(world, had, way.needs) for way in crossing}
    return not any(True for _ in _usable_among(world, crossing, needs, owned, plane))


def _is_met(world: World, had: Collection[str], number: int) -> bool:
    """Say whether keys meet one need; `_met` says it of all."""
    need = world.needs[number]
    keys = sum(world.keys[key].name in had for key in need.keys)
    return keys >= need.count or keys + sum(_is_met(world, had, part) for part in need.parts) >= need.count


# --- never -------------------------------------------------------------------------------------


def _check_never(world: World, question: Never, closed: Closed) -> None:
    inside = set(closed.nodes)
    for place in world.places:
        for asset in place.accepts:
            if place.name in question.sources and (place.name, world.assets[asset]) not in inside:
                raise Unproved(f"the closed set leaves out {place.name}, where value starts")
    for name, asset_name in inside:
        if name in question.targets:
            raise Unproved(f"the closed set holds {asset_name} of {name}, where it must never get")
    excepted = [_check_invariant(world, question, invariant) for invariant in closed.invariants]
    for way in _ways_of_never(world, question, excepted):
        source, target = world.places[way.source], world.places[way.target]
        if source.external and source.name not in question.sources:
            continue  # What left to the outside and comes back is new value.
        asset_name = world.assets[way.asset]
        if (source.name, asset_name) in inside and (target.name, asset_name) not in inside:
            rule = world.rules[way.rule].name
            raise Unproved(
                f"the set is not closed: {rule} takes {asset_name} from {source.name} to {target.name}"
            )


def _ways_of_never(world: World, question: Never, excepted: Collection[str]) -> list[Way]:
    met = _met(world, {key.name for key in world.keys} - set(question.without))
    return [
        way
        for way in world.ways
        if met[way.needs]
        and (way.mandate == NOBODY or met[way.mandate])
        and world.rules[way.rule].name not in excepted
    ]


def _check_invariant(world: World, question: Never, invariant: Invariant) -> str:
    """Check that an exception may be left out, and return its name."""
    name = invariant.exception
    if name not in question.exceptions:
        raise Unproved(f"the claim does not except {name}")
    steps = _steps_of(world, question, name)
    if steps != {(step.rule, step.place, step.enters, step.effect) for step in invariant.steps}:
        raise Unproved(f"the steps of the invariant of {name} are not those that touch its compartments")
    return name


def _steps_of(world: World, question: Never, name: str) -> set[tuple[str, str, bool, Effect]]:
    """List what touches a compartment of an exception; Unproved where one does not keep its invariant.

    It holds of the empty book, where nothing was moved and nothing is owed.
    """
    rules = {number: rule for number, rule in enumerate(world.rules) if rule.name == name}
    for rule in rules.values():
        if rule.kind != "deleverage" and not rule.accrual:
            raise Unproved(f"{name} moves what is not owed")
        if rule.kind == "exchange" and rule.band_ppm < 0:
            raise Unproved(f"{name} names no price")
    touched = {place for way in world.ways if way.rule in rules for place in (way.source, way.target)}
    steps = set()
    for way in world.ways:
        for number, enters in ((way.source, False), (way.target, True)):
            if number in touched:
                effect = _effect(world, way)
                place, rule_name = world.places[number], world.rules[way.rule].name
                steps.add((rule_name, place.name, enters, effect))
                is_gift = enters and effect == "unowed" and _pays(world, question, number)
                if is_gift or (place.nets and effect != "owed"):
                    raise Unproved(f"{rule_name} breaks the invariant of {name} at {place.name}")
    return steps


def _stands(world: World, question: Never, name: str) -> bool:
    try:
        _steps_of(world, question, name)
    except Unproved:
        return False
    return True


def _pays(world: World, question: Never, number: int) -> bool:
    """Say whether a place, no end of the claim, pays what is excepted from what it holds."""
    if world.places[number].name in question.sources + question.targets:
        return False
    return any(
        way.source == number
        and world.rules[way.rule].name in question.exceptions
        and world.rules[way.rule].kind == "gate"
        for way in world.ways
    )


def _effect(world: World, way: Way) -> Effect:
    """Say what a way counts as, at both of its ends."""
    rule, source, target = world.rules[way.rule], world.places[way.source], world.places[way.target]
    if rule.kind == "exchange":
        return "exchanged" if rule.band_ppm >= 0 else "unowed"
    if rule.accrual:
        lends = "shortfall" in rule.accrual and source.member >= 0
        return "for_others" if lends else "owed"
    if source.external or target.external:
        return "outside"
    return "own" if (source.owner, source.member) == (target.owner, target.member) else "unowed"


# --- moves -------------------------------------------------------------------------------------


def _check_moves(world: World, question: Moves, cuts: Cuts, bound: dict[str, int | None]) -> None:
    owned, had = _fallen(world, question.services, question.keys, question.mode)
    if owned != set(cuts.fallen.services) or had != set(cuts.fallen.keys):
        raise Unproved("the attacker ends up with something else than the certificate says")
    ways = list(_usable(world, owned, had, question.plane))
    shown = {cut.asset: cut for cut in cuts.cuts}
    if len(shown) < len(cuts.cuts) or shown.keys() != question.caps.keys() or bound.keys() != shown.keys():
        raise Unproved("there is not one cut and one bound for each asset that is claimed")
    for asset, (most_units, horizon_ns) in question.caps.items():
        cut = shown[asset]
        if len({(item.kind, item.rule, item.who) for item in cut.items}) < len(cut.items):
            raise Unproved(f"the cut of {asset} names an item twice")
        for item in cut.items:
            if item.units != _charged(world, item, asset, horizon_ns):
                raise Unproved(f"the cut of {asset} counts {item.units} for {item.rule or item.who}")
        units = sum(item.units for item in cut.items)
        if units != bound.get(asset):
            raise Unproved(
                f"the cut of {asset} adds up to {units}, and the certificate says {bound.get(asset)}"
            )
        if units > most_units:
            raise Unproved(f"the cut of {asset} adds up to {units}, over the {most_units} that are claimed")
        _check_cut(world, question, cut, [one for one in ways if world.assets[one[0].asset] == asset])


def _charged(world: World, item: Item, asset: str, horizon_ns: int) -> int:
    """Work out again what an item counts, and refuse one that counts without end."""
    number = world.assets.index(asset)
    if item.kind == "supply":
        place = _place(world, item.who)
        if place.supply is None or _is_many(world, place.member):
            raise Unproved(f"{item.who} holds without end")
        return place.supply.get(number, 0)
    rule = next((rule for rule in world.rules if rule.name == item.rule), None)
    if rule is None or item.kind not in ("each", "all"):
        raise Unproved(f"the cut of {asset} names a cap of {item.rule} that is none")
    cap = (rule.each if item.kind == "each" else rule.all).get(number)
    if cap is None:
        raise Unproved(f"{item.rule} has no cap for {item.kind} of {asset}")
    others = item.who in {member.name for member in world.members if member.others}
    if item.kind == "each" and others and cap.units:
        raise Unproved(f"{item.rule} has a cap for each of any number of members")
    return _times(cap, horizon_ns)


def _times(cap: Cap, horizon_ns: int) -> int:
    whole, rest = divmod(horizon_ns, cap.length_ns)
    windows = whole + (rest > 0)
    if cap.kind == "refill":
        refilled, part = divmod(cap.units * horizon_ns, cap.length_ns)
        return cap.units + refilled + (part > 0)
    return cap.units * (windows + (cap.kind == "fixed"))


def _is_many(world: World, member: int) -> bool:
    return member != NOBODY and world.members[member].others


def _place(world: World, name: str) -> Place:
    place = next((place for place in world.places if place.name == name), None)
    if place is None:
        raise Unproved(f"no compartment is called {name}")
    return place


def _check_cut(world: World, question: Moves, cut: Cut, ways: list[tuple[Way, bool]]) -> None:
    """Look for a way round: none may leave the places reached, or any source where it leads anywhere."""
    items = {(item.kind, item.rule, item.who) for item in cut.items}
    inside = set(cut.places)
    empty = {item.who for item in cut.items if item.kind == "supply"}
    for name in set(question.sources) - empty:
        if cut.asset in _assets_of(world, _place(world, name)) and name not in inside:
            raise Unproved(f"{name} is a source that the certificate leaves out")
    for way, void in ways:
        source, target = world.places[way.source], world.places[way.target]
        if source.name not in inside or (not void and _is_stopped(world, way, items)):
            continue
        if question.sinks is None:
            if source.name in question.sources:
                raise Unproved(f"{world.rules[way.rule].name} leaves {source.name} round the cut")
        elif target.name in question.sinks:
            raise Unproved(f"{world.rules[way.rule].name} gets to {target.name} round the cut")
        elif (not source.external or source.name in question.sources) and target.name not in inside:
            raise Unproved(f"{world.rules[way.rule].name} gets to {target.name}, which is left out")


def _assets_of(world: World, place: Place) -> set[str]:
    return {world.assets[asset] for asset in place.accepts}


def _is_stopped(world: World, way: Way, items: set[tuple[str, str, str]]) -> bool:
    rule = world.rules[way.rule]
    who = "" if way.member == NOBODY else world.members[way.member].name
    return ("each", rule.name, who) in items or ("all", rule.name, "") in items


# --- trading -----------------------------------------------------------------------------------


def _check_trading(world: World, question: Trading, losses: Losses, bound: dict[str, int | None]) -> None:
    over = _check_losses(world, question, losses, bound)
    if over:
        raise Unproved(f"{over}: more can be lost than is claimed")


def _check_losses(world: World, question: Trading, losses: Losses, bound: dict[str, int | None]) -> str:
    """Add up losses again, and return an asset of which more can be lost than is claimed; "" for none."""
    owned, had = _fallen(world, question.services, question.keys, question.mode)
    if owned != set(losses.fallen.services) or had != set(losses.fallen.keys):
        raise Unproved("the attacker ends up with something else than the certificate says")
    if bound.keys() != question.caps.keys():
        raise Unproved("there is not one bound for each asset that is claimed")
    over = ""
    for asset, (most_units, horizon_ns) in question.caps.items():
        units = _lost(world, owned, had, question.scope, asset, horizon_ns)
        if units != bound[asset]:
            raise Unproved(f"{asset}: {units} can be lost, and the certificate says {bound[asset]}")
        if units is None or units > most_units:
            over = asset
    return over


def _lost(world: World, owned: Services, had: Keys, scope: str, asset: str, horizon_ns: int) -> int | None:
    """Add up per member what its buckets can lose; None where nothing bounds it."""
    met = _met(world, had)
    number = world.assets.index(asset)
    by_member: dict[int, int | None] = {}
    says = {
        world.services[one].name
        for one in (*world.pricers, world.verifiers.get("ledger", NOBODY))
        if one >= 0
    }
    prints = {world.services[one].name for one in world.printers}
    for place in world.places:
        trade = place.trade
        if trade is None or number not in trade.settles:
            continue
        if not (met[trade.needs] or owned & (prints | says)):
            continue
        equity = None if place.supply is None else place.supply.get(number, 0)
        days = horizon_ns // DAY_NS + (horizon_ns % DAY_NS > 0) + 1
        daily = None if number not in trade.daily_loss or owned & says else days * trade.daily_loss[number]
        units = min((one for one in (equity, daily) if one is not None), default=None)
        so_far = by_member.get(place.member, 0)
        by_member[place.member] = None if so_far is None or units is None else so_far + units
    amounts = list(by_member.values())
    if None in amounts or (
        scope == "all" and any(_is_many(world, who) and by_member[who] for who in by_member)
    ):
        return None
    known = [one for one in amounts if one is not None]
    return max(known, default=0) if scope == "each" else sum(known)


# --- fewest ------------------------------------------------------------------------------------


def _check_fewest(world: World, question: Fewest, covers: Covers, bound: dict[str, int | None]) -> None:
    thefts = bound.get("thefts")
    if bound.keys() != {"thefts"}:
        raise Unproved("there is no one bound on the thefts")
    least = question.at_least if thefts is None else thefts
    if least < question.at_least:
        raise Unproved(f"{thefts} thefts suffice, fewer than the {question.at_least} that are claimed")
    sets = []
    for cover in covers.covers:
        _check_cover(world, question, cover)
        sets.append({f"service {name}" for name in cover.services} | {f"key {name}" for name in cover.keys})
    if least - 1 > THEFTS_MAX:
        raise Unproved(f"sets of {least - 1} thefts are too many to try; {THEFTS_MAX} is the most")
    if thefts is None and set() not in sets:
        raise Unproved("nothing shows that everything together does not suffice")
    if thefts is not None and _can_meet(sets, least - 1):
        raise Unproved(f"{least - 1} thefts meet every cover, so {least} are not shown to be needed")


def _can_meet(sets: list[set[str]], left: int) -> bool:
    """Say whether `left` thefts can meet every cover."""
    if not sets:
        return True
    if left == 0:
        return False
    return any(_can_meet([one for one in sets if theft not in one], left - 1) for theft in sets[0])


def _check_cover(world: World, question: Fewest, cover: Cover) -> None:
    """Everything that can be taken but the cover must not get value from the sources to the sinks."""
    services = {row.name for row in world.services} - set(cover.services)
    keys = {row.name for row in world.keys if not row.given} - set(cover.keys)
    owned, had = _fallen(
        world,
        services if question.count != "keys" else (),
        keys if question.count != "services" else (),
        "contained",
    )
    if owned != set(cover.fallen.services) or had != set(cover.fallen.keys):
        raise Unproved("a cover leaves the attacker with something else than the certificate says")
    inside = set(cover.nodes)
    for place in world.places:
        for asset in place.accepts:
            is_held = place.supply is None or place.supply.get(asset, 0) > 0
            if place.name in question.sources and is_held and (place.name, world.assets[asset]) not in inside:
                raise Unproved(f"a cover leaves out {place.name}, where value starts")
    for way, _ in _usable(world, owned, had, question.plane):
        source, target, asset_name = (
            world.places[way.source],
            world.places[way.target],
            world.assets[way.asset],
        )
        leads_on = not source.external or source.name in question.sources
        if (source.name, asset_name) in inside and leads_on and (target.name, asset_name) not in inside:
            raise Unproved(f"a cover does not hold: {world.rules[way.rule].name} gets to {target.name}")
    if any(name in question.sinks for name, _ in inside):
        raise Unproved("a cover does not hold: value gets to where it must not")


# --- what fails --------------------------------------------------------------------------------


def _check_failure(world: World, entry: Entry) -> None:
    question, evidence = entry.question, entry.evidence
    if isinstance(question, Trading) and isinstance(evidence, Losses):
        if not _check_losses(world, question, evidence, entry.bound):
            raise Unproved("no more can be lost than is claimed")
        return
    if not isinstance(evidence, Route) or isinstance(question, Trading) or not evidence.hops:
        raise Unproved("there is no route to show that the claim fails")
    if entry.bound:
        raise Unproved("it says a bound, which no route can show")
    _check_route(world, question, evidence)


def _check_route(world: World, question: Question, route: Route) -> None:
    """Follow the route: each hop is a way that opens, from a source to a sink without a break."""
    if isinstance(question, Trading):
        return
    allowed = [_hop(world, way) for way in _ways_of_failure(world, question, route)]
    for hop in route.hops:
        if hop not in allowed:
            raise Unproved(f"{hop.rule} does not open from {hop.source} to {hop.target}")
    for before, after in pairwise(route.hops):
        if (before.target, before.asset) != (after.source, after.asset):
            raise Unproved(f"the route breaks off at {before.target}")
    ends = question.targets if isinstance(question, Never) else question.sinks
    if route.hops[0].source not in question.sources or (
        ends is not None and route.hops[-1].target not in ends
    ):
        raise Unproved("the route does not lead from a source to where it must not")
    if isinstance(question, Fewest) and len(route.services) + len(route.keys) >= question.at_least:
        raise Unproved("the route takes as many thefts as are claimed")


def _ways_of_failure(world: World, question: Never | Moves | Fewest, route: Route) -> list[Way]:
    if isinstance(question, Never):
        return _ways_of_never(
            world, question, [name for name in question.exceptions if _stands(world, question, name)]
        )
    mode = question.mode if isinstance(question, Moves) else "contained"
    if isinstance(question, Moves) and (route.services, route.keys) != (question.services, question.keys):
        raise Unproved("the route starts with other thefts than the claim")
    owned, had = _fallen(world, route.services, route.keys, mode)
    return [way for way, _ in _usable(world, owned, had, question.plane)]


def _hop(world: World, way: Way) -> Hop:
    rule = world.rules[way.rule]
    ends = world.places[way.source].name, world.places[way.target].name
    return Hop(rule.name, rule.lane, *ends, world.assets[way.asset])
