"""From a claim to a question about one world: who attacks, from where to where, on which plane.

A claim speaks of families; its question names the places, keys and services of the world it is asked in, so
that anyone can read it and the checker can decide it again. A claim that means nothing is a `Fault`: a name
that matches nothing, a source that is its own target, a plane that checks no gate.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ringfence.policy.families import is_variable, overlap, parts_of
from ringfence.policy.model import Claim, Journey, Policy, Selector
from ringfence.proof.contradictions import contradictions
from ringfence.proof.cutoff import Cast, cast_for_amounts, cast_for_reach, refused_features
from ringfence.proof.grounding import ground
from ringfence.proof.names import nodes, places
from ringfence.proof.reach import Index, Mode, Start, reach
from ringfence.proof.world import Fact, Place, Row, World, extend

Count = Literal["keys", "services", "keys_and_services"]


class Never(Row, frozen=True, tag="never"):
    """No value of `sources` ever gets to `targets` but by the rules called `exceptions`, while none of the
    keys of `without` signs."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    exceptions: tuple[str, ...]
    without: tuple[str, ...]


class Moves(Row, frozen=True, tag="moves"):
    """With these services and keys, what moves from `sources` to `sinks` (None: anywhere else) on a plane is
    at most `caps`: by asset, units and the length of time they are asked about."""

    services: tuple[str, ...]
    keys: tuple[str, ...]
    mode: Mode
    plane: str
    sources: tuple[str, ...]
    sinks: tuple[str, ...] | None
    caps: dict[str, tuple[int, int]]


class Trading(Row, frozen=True, tag="trading"):
    """With these services and keys, forged orders, fills and prices cost at most `caps`, per member (`each`)
    or all together."""

    services: tuple[str, ...]
    keys: tuple[str, ...]
    mode: Mode
    plane: str
    scope: Literal["each", "all"]
    caps: dict[str, tuple[int, int]]


class Fewest(Row, frozen=True, tag="fewest"):
    """Moving anything from `sources` to `sinks` on a plane takes at least `at_least` thefts."""

    plane: str
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    count: Count
    at_least: int


Question = Never | Moves | Trading | Fewest


class Fault(ValueError):
    """The claim means nothing; the message says what is wrong with it."""


class UnboundVariable(Fault):
    """A place names a variable that stands for no member; `text` is the place, `part` the variable."""

    def __init__(self, part: str, text: str) -> None:
        super().__init__(f"`{part}` in `{text}` is no variable of the claim; add it under `for`")
        self.part, self.text = part, text


class Grounds:
    """The worlds of one policy, each read once, with what else is known of it."""

    def __init__(self, policy: Policy, facts: Iterable[Fact] = ()) -> None:
        self.policy = policy
        self.facts = tuple(facts)
        self.contradicted = contradictions(policy)
        self._read: dict[tuple[object, ...], Index] = {}

    def index(self, cast: Cast) -> Index:
        """Return the world of a cast with its lookups."""
        key = (cast.members, cast.merged)
        if key not in self._read:
            self._read[key] = Index(extend(ground(self.policy, cast), self.facts))
        return self._read[key]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of a claim, and the world it is asked in."""

    claim: str
    question: Question
    index: Index


def ask(grounds: Grounds, name: str) -> tuple[Asked, ...]:
    """Return the questions of a claim, one for each plane it lists; Fault where it means nothing."""
    policy = grounds.policy
    claim = policy.claims[name]
    outside = refused_features(policy)
    if outside:
        raise Fault("; ".join(outside))
    if name in grounds.contradicted:
        raise Fault(grounds.contradicted[name])
    named = (*claim.compromised, *claim.without, *_selected_names(claim.journey))
    choose = cast_for_amounts if claim.kind in ("moves", "trading") else cast_for_reach
    return ask_among(grounds, name, choose(policy, claim.members, named))


def ask_among(grounds: Grounds, name: str, cast: Cast) -> tuple[Asked, ...]:
    """Return the questions of a claim among these members."""
    index = grounds.index(cast)
    claim = grounds.policy.claims[name]
    return tuple(Asked(name, question, index) for question in _READ[claim.kind](index.world, claim, cast))


def _selected_names(journey: Journey | None) -> tuple[str, ...]:
    if journey is None:
        return ()
    return tuple(one.text for one in (journey.source, journey.target) if one.by == "name")


def _never(world: World, claim: Claim, cast: Cast) -> Iterable[Never]:
    sources, targets = _journey(world, claim, cast)
    if targets is None:
        raise Fault("`anywhere` is no place that can be kept out of reach; name where value must not get")
    _refuse_both(sources, targets)
    rules = {rule.name for rule in world.rules}
    for name in claim.exceptions:
        if name not in rules:
            raise Fault(f"`except: {name}` names no gate, exchange or waterfall step")
    without = tuple(key for name in claim.without for key in _keys_of(world, filled(name, cast.binding)))
    yield Never(sources, targets, claim.exceptions, tuple(dict.fromkeys(without)))


def _moves(world: World, claim: Claim, cast: Cast) -> Iterable[Moves]:
    sources, sinks = _journey(world, claim, cast)
    services, keys = _compromised(world, claim, cast)
    bound = claim.at_most
    if bound is None or not (bound.zero_window or bound.caps):
        raise Fault("it bounds nothing; write `at_most`")
    if bound.zero_window is not None:
        caps = dict.fromkeys(world.assets, (0, bound.zero_window.length_ns))
    else:
        caps = {asset: (cap.units, cap.window.length_ns) for asset, cap in bound.caps.items()}
    _refuse_unknown_assets(world, caps)
    accepted = {
        world.assets[asset] for place in world.places if place.name in sources for asset in place.accepts
    }
    if bound.zero_window is None:
        for asset in caps.keys() - accepted:
            raise Fault(f"no compartment it starts from holds {asset}, so of {asset} it says nothing")
    for plane in _planes(world, claim):
        _refuse_no_way(world, plane, sources, sinks)
        yield Moves(services, keys, claim.mode or "contained", plane, sources, sinks, caps)


def _trading(world: World, claim: Claim, cast: Cast) -> Iterable[Trading]:
    services, keys = _compromised(world, claim, cast)
    if claim.trading_loss is None:
        raise Fault("it bounds nothing; write `lost_by_trading_at_most`")
    if not any(place.trade for place in world.places):
        raise Fault("nothing can be lost by trading: no compartment trades")
    caps = {asset: (cap.units, cap.window.length_ns) for asset, cap in claim.trading_loss.caps.items()}
    _refuse_unknown_assets(world, caps)
    settled = {world.assets[asset] for place in world.places if place.trade for asset in place.trade.settles}
    for asset in caps.keys() - settled:
        raise Fault(f"nothing that trades settles in {asset}, so of {asset} it says nothing")
    for plane in _planes(world, claim):
        yield Trading(services, keys, claim.mode or "contained", plane, claim.trading_loss.scope, caps)


def _fewest(world: World, claim: Claim, cast: Cast) -> Iterable[Fewest]:
    sources, sinks = _journey(world, claim, cast)
    if sinks is None:
        raise Fault("`fewest` needs a place to get to; `anywhere` is none")
    if not claim.at_least:
        raise Fault("`at_least: 0` holds of anything; ask for 1 or more")
    _refuse_both(sources, sinks)
    count = claim.count or "keys_and_services"
    there = {"keys": sum(not key.given for key in world.keys), "services": len(world.services)}
    all_there = sum(there.values()) if count == "keys_and_services" else there[count]
    if claim.at_least > all_there:
        raise Fault(f"there are only {all_there} to take; where nothing may lead there, write `never`")
    for plane in _planes(world, claim):
        _refuse_no_way(world, plane, sources, sinks)
        yield Fewest(plane, sources, sinks, count, claim.at_least)


_READ: Mapping[str, Callable[[World, Claim, Cast], Iterable[Question]]] = {
    "never": _never,
    "moves": _moves,
    "trading": _trading,
    "fewest": _fewest,
}


def _refuse_both(sources: Iterable[str], targets: Collection[str]) -> None:
    both = [name for name in sources if name in targets]
    if both:
        raise Fault(f"{both[0]} is both where it starts and where it must never get: no policy can meet that")


def _refuse_no_way(world: World, plane: str, sources: Iterable[str], sinks: Iterable[str] | None) -> None:
    """Refuse a plane whose gates lead nowhere near, whoever signs: there anything is true."""
    ways = [index for index, way in enumerate(world.ways) if plane in world.rules[way.rule].planes]
    starts = places(world, sources)
    if sinks is None:
        leads = any(world.ways[index].source in starts for index in ways)
    else:
        ends = places(world, sinks)
        found = reach(world, ways, nodes(world, starts))
        leads = any(node // len(world.assets) in ends for node in found.by)
    if not leads:
        raise Fault(f"no gate of the plane `{plane}` leads there, whoever signs, so there it says nothing")


def _refuse_unknown_assets(world: World, assets: Iterable[str]) -> None:
    for asset in assets:
        if asset not in world.assets:
            raise Fault(f"`{asset}` is no coin; there are {', '.join(world.assets)}")


def _planes(world: World, claim: Claim) -> tuple[str, ...]:
    if not claim.planes:
        raise Fault("it lists no plane")
    checked = {plane for rule in world.rules for plane in rule.planes}
    for plane in claim.planes:
        if plane not in checked:
            raise Fault(f"no gate is checked on the plane `{plane}`, so there it says nothing")
    return claim.planes


# --- names -------------------------------------------------------------------------------------


def filled(text: str, binding: Mapping[str, str]) -> str:
    """Put members in place of the variables of a selector or key; Fault where one is of no family."""
    parts = []
    for part in parts_of(text):
        if is_variable(part) and part[1:-1] not in binding:
            raise UnboundVariable(part, text)
        parts.append(binding[part[1:-1]] if is_variable(part) else part)
    return "/".join(parts)


def selected(world: World, selector: Selector, binding: Mapping[str, str]) -> tuple[str, ...]:
    """Name the places that a selector means; Fault where it means none.

    A place outside that is named without wildcards covers those below it: `outside` means
    `outside/{client}` too; `**` never means a place outside.
    """
    if selector.by == "owner":
        found = [place.name for place in world.places if place.owner == selector.text]
    elif selector.by == "role":
        found = [place.name for place in world.places if place.role == selector.text]
    else:
        text = filled(selector.text, binding)
        found = [place.name for place in world.places if _is_named(text, place)]
    if not found:
        shown = selector.text if selector.by == "name" else f"{selector.by}:{selector.text}"
        raise Fault(f"`{shown}` matches no compartment")
    return tuple(found)


def _is_named(text: str, place: Place) -> bool:
    if place.external and "**" in parts_of(text):
        return False
    if overlap(text, place.name) is not None:
        return True
    return place.external and "*" not in text and place.name.startswith(f"{text}/")


def _journey(world: World, claim: Claim, cast: Cast) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    if claim.journey is None:
        raise Fault("it names no way from one place to another")
    sources = selected(world, claim.journey.source, cast.binding)
    if claim.journey.target.by == "anywhere":
        return sources, None
    return sources, selected(world, claim.journey.target, cast.binding)


def _compromised(world: World, claim: Claim, cast: Cast) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not claim.compromised:
        raise Fault("nobody is compromised; name a service or key")
    start = start_of(world, [filled(name, cast.binding) for name in claim.compromised])
    services = tuple(world.services[index].name for index in sorted(start.services))
    return services, tuple(world.keys[index].name for index in sorted(start.keys))


def _keys_of(world: World, name: str) -> tuple[str, ...]:
    """Name the keys that `without` means: a key, a family of keys, or all that a service holds."""
    start = start_of(world, [name])
    held = {key for service in start.services for key in world.services[service].holds}
    return tuple(world.keys[index].name for index in sorted(start.keys | held))


def start_of(world: World, names: Iterable[str]) -> Start:
    """Find what is compromised by these names: services, keys, key families, then hosts and people with all
    keys on them; Fault where one names nothing."""
    services: set[int] = set()
    keys: set[int] = set()
    for name in names:
        service = [index for index, row in enumerate(world.services) if row.name == name]
        found = _keys_called(world, name)
        if not service and not found:
            there = [row.name for row in world.services] + [row.name for row in world.keys]
            there += [home for key in world.keys for home in (key.host, key.person) if home]
            known = ", ".join(dict.fromkeys(there))
            raise Fault(f"`{name}` is no service, key, host or person; there are {known}")
        services.update(service)
        keys.update(() if service else found)
    return Start(frozenset(services), frozenset(keys))


def _keys_called(world: World, name: str) -> list[int]:
    exact = [index for index, key in enumerate(world.keys) if key.name == name]
    family = [index for index, key in enumerate(world.keys) if key.name.startswith(f"{name}/")]
    beside = [index for index, key in enumerate(world.keys) if name in (key.host, key.person)]
    return exact or family or beside
