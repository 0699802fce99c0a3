"""Deciding one question: the answer, the tight bound, and what it rests on.

An answer that something cannot happen comes with evidence for the checker; an answer that it can comes with
the route it takes, to be told and replayed (`story`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ringfence.proof import trading
from ringfence.proof.evidence import (
    Closed,
    Cover,
    Covers,
    Cut,
    Cuts,
    Evidence,
    Hop,
    Item,
    Losses,
    NoEvidence,
    Route,
)
from ringfence.proof.exemption import Exemption, exempt, invariant_of
from ringfence.proof.fewest import fewest
from ringfence.proof.names import hop_of, named_grip, named_nodes, nodes, nodes_held, places, taken
from ringfence.proof.questions import Asked, Fewest, Moves, Never, Trading
from ringfence.proof.reach import Grip, Index, Reached, Start, Usable, met_needs, reach, spread, usable
from ringfence.proof.throughput import Bound, Span, most
from ringfence.proof.throughput import Item as ThroughItem
from ringfence.proof.world import NOBODY, World

Outcome = Literal["holds", "fails", "unknown"]

TESTS_MAX = 20_000
"""Attacks tried before the search for the fewest thefts gives up."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question.

    bound: by asset the most that can move or be lost (None: nothing limits it), or the fewest thefts under
    `thefts`; words: the reason in a sentence; remarks: what a reader should know beside it; over: the asset
    whose bound is passed, "" where none is; is_tight: False where the thefts may well be more than the bound.
    """

    asked: Asked
    outcome: Outcome
    words: str
    bound: dict[str, int | None]
    evidence: Evidence
    remarks: tuple[str, ...] = ()
    over: str = ""
    is_tight: bool = True


def answer(asked: Asked) -> Answer:
    """Decide a question."""
    match asked.question:
        case Never() as question:
            return _never(asked, question)
        case Moves() as question:
            return _moves(asked, question)
        case Trading() as question:
            return _trading(asked, question)
        case Fewest() as question:
            return _fewest(asked, question)


# --- never -------------------------------------------------------------------------------------


def _never(asked: Asked, question: Never) -> Answer:
    index = asked.index
    world = index.world
    sources, targets = places(world, question.sources), places(world, question.targets)
    exemptions = exempt(world, question.exceptions, sources, targets)
    ways = ways_without(index, question.without, exemptions)
    found = reach(world, ways, nodes(world, sources))
    hit = next((node for node in found.by if node // len(world.assets) in targets), None)
    refused = dict.fromkeys(one.refused for one in exemptions if one.refused)
    remarks = tuple(f"the exception is refused: {words}" for words in refused)
    if hit is None:
        words = f"value stays within {len(found.by)} of {len(world.places) * len(world.assets)} nodes"
        invariants = tuple(invariant_of(world, one) for one in exemptions if not one.refused)
        evidence = Closed(named_nodes(world, found.by), invariants)
        return Answer(asked, "holds", words, {}, evidence, remarks)
    hops = tuple(hop_of(world, way) for way in _telling_path(world, ways, found, targets, exemptions, hit))
    words = f"{hops[0].asset} gets from {hops[0].source} to {hops[-1].target}"
    return Answer(asked, "fails", words, {}, Route((), (), hops), remarks, hops[0].asset)


def _telling_path(
    world: World,
    ways: tuple[int, ...],
    found: Reached,
    targets: frozenset[int],
    exemptions: Iterable[Exemption],
    hit: int,
) -> tuple[int, ...]:
    """Return a path to a target: through the leak beside a refused exception where there is one, since that
    is what has to be mended; else the shortest."""
    for one in exemptions:
        if one.leak in ways:
            leak = world.ways[one.leak]
            before = world.node(leak.source, leak.asset)
            onward = reach(world, ways, [world.node(leak.target, leak.asset)])
            end = next((node for node in onward.by if node // len(world.assets) in targets), None)
            if before in found.by and end is not None:
                return (*found.path(world, before), one.leak, *onward.path(world, end))
    return found.path(world, hit)


def ways_without(index: Index, without: Iterable[str], exemptions: Iterable[Exemption]) -> tuple[int, ...]:
    """List the ways that open although none of these keys signs, less those that are excepted."""
    world = index.world
    withheld = set(without)
    met = met_needs(index, [key for key, row in enumerate(world.keys) if row.name not in withheld])
    deleted = {way for one in exemptions if not one.refused for way in one.deleted}
    return tuple(
        number
        for number, way in enumerate(world.ways)
        if number not in deleted and way.needs in met and (way.mandate == NOBODY or way.mandate in met)
    )


# --- moves -------------------------------------------------------------------------------------


def _moves(asked: Asked, question: Moves) -> Answer:
    index = asked.index
    world = index.world
    start = taken(world, question.services, question.keys)
    grip = spread(index, start, question.mode)
    can_use = usable(index, grip, question.plane)
    bounds = {asset: _bound(world, can_use, question, asset) for asset in question.caps}
    units = {asset: bound.units for asset, bound in bounds.items()}
    over = next((asset for asset, bound in units.items() if _is_over(bound, question.caps[asset][0])), "")
    remarks = _bound_remarks(world, question)
    if over:
        evidence: Evidence = Route(
            question.services, question.keys, _first_route(index, can_use, question, over)
        )
        return Answer(asked, "fails", f"more {over} can move", units, evidence, remarks, over)
    cuts = tuple(_named_cut(world, can_use, question, asset, bound) for asset, bound in bounds.items())
    words = "no more than that can move" if any(units.values()) else "nothing can move"
    return Answer(asked, "holds", words, units, Cuts(named_grip(world, grip), cuts), remarks)


def _bound(world: World, can_use: Usable, question: Moves, asset: str) -> Bound:
    sinks = None if question.sinks is None else places(world, question.sinks)
    span = Span(places(world, question.sources), sinks, question.caps[asset][1])
    return most(world, can_use, world.assets.index(asset), span)


def _is_over(units: int | None, most_units: int) -> bool:
    return units is None or units > most_units


def _bound_remarks(world: World, question: Moves) -> tuple[str, ...]:
    silent = [asset for asset in world.assets if asset not in question.caps]
    return (f"nothing is claimed of {', '.join(silent)}",) if silent else ()


def _first_route(index: Index, can_use: Usable, question: Moves, asset: str) -> tuple[Hop, ...]:
    """Find one way through for an asset, as short as can be."""
    world = index.world
    number = world.assets.index(asset)
    ways = [way for way in can_use.ways if world.ways[way].asset == number]
    sources = places(world, question.sources)
    if question.sinks is None:
        first = next((way for way in ways if world.ways[way].source in sources), None)
        return () if first is None else (hop_of(world, first),)
    found = reach(world, ways, [world.node(place, number) for place in sorted(sources)])
    sinks = places(world, question.sinks)
    hit = next((node for node in found.by if node // len(world.assets) in sinks), None)
    return () if hit is None else tuple(hop_of(world, way) for way in found.path(world, hit))


def _named_cut(world: World, can_use: Usable, question: Moves, asset: str, bound: Bound) -> Cut:
    """Name the items of a cut, and the places value gets to without passing any of them."""
    number = world.assets.index(asset)
    items = {item for item, _ in bound.items}
    ways = [way for way in can_use.ways if world.ways[way].asset == number]
    left = [way for way in ways if way in can_use.voided or not _is_cut(world, way, items)]
    sources = [
        place for place in places(world, question.sources) if ThroughItem("supply", "", place) not in items
    ]
    reached: Iterable[int] = (world.node(place, number) for place in sorted(sources))
    if question.sinks is not None:
        reached = reach(world, left, reached).by
    named = sorted({world.place_of(node).name for node in reached})
    return Cut(asset, tuple(_named_item(world, *one) for one in bound.items), tuple(named))


def _is_cut(world: World, way: int, items: set[ThroughItem]) -> bool:
    row = world.ways[way]
    name = world.rules[row.rule].name
    return ThroughItem("each", name, row.member) in items or ThroughItem("all", name, NOBODY) in items


def _named_item(world: World, item: ThroughItem, units: int) -> Item:
    if item.kind == "supply":
        return Item(item.kind, "", world.places[item.who].name, units)
    return Item(item.kind, item.rule, "" if item.who == NOBODY else world.members[item.who].name, units)


# --- trading -----------------------------------------------------------------------------------


def _trading(asked: Asked, question: Trading) -> Answer:
    index = asked.index
    world = index.world
    grip = spread(index, taken(world, question.services, question.keys), question.mode)
    bound: dict[str, int | None] = {}
    channels: set[str] = set()
    for asset, (_, horizon_ns) in question.caps.items():
        found = trading.losses(index, grip, horizon_ns)
        bound[asset] = trading.worst(world, found, world.assets.index(asset), question.scope)
        channels |= {channel for loss in found for channel in loss.channels}
    over = next((asset for asset, units in bound.items() if _is_over(units, question.caps[asset][0])), "")
    words = f"by {', '.join(sorted(channels))}" if channels else "nobody can place or print a fill"
    evidence = Losses(named_grip(world, grip))
    return Answer(asked, "fails" if over else "holds", words, bound, evidence, (), over)


# --- fewest ------------------------------------------------------------------------------------


def _fewest(asked: Asked, question: Fewest) -> Answer:
    world = asked.index.world
    items = theft_items(world, question.count)
    found = fewest(
        range(len(items)), lambda picked: _suffices(asked.index, question, items, picked), TESTS_MAX
    )
    bound: dict[str, int | None] = {"thefts": found.at_least}
    if found.outcome == "stopped" and found.at_least < question.at_least:
        words = f"no answer after {TESTS_MAX} attacks; it takes at least {found.at_least}"
        return Answer(asked, "unknown", words, bound, NoEvidence())
    evidence = Covers(tuple(_named_cover(asked.index, question, items, cover) for cover in found.covers))
    if found.outcome == "impossible":
        words = "all keys and services together do not suffice"
        return Answer(asked, "holds", words, {"thefts": None}, evidence)
    if found.outcome == "stopped":
        words = f"it takes at least {found.at_least}; the fewest was not found in {TESTS_MAX} attacks"
        return Answer(asked, "holds", words, bound, evidence, is_tight=False)
    services, keys = _named_thefts(world, items, found.thefts)
    words = f"{found.at_least} suffice: {', '.join((*services, *keys))}" if found.thefts else "none is needed"
    if found.at_least >= question.at_least:
        return Answer(asked, "holds", words, bound, evidence)
    hops = _fewest_route(asked.index, question, items, found.thefts)
    return Answer(asked, "fails", words, bound, Route(services, keys, hops), over=hops[0].asset)


Theft = tuple[Literal["service", "key"], int]


def theft_items(world: World, count: str) -> tuple[Theft, ...]:
    """List what can be taken one by one: keys that sign by hand, services, or both."""
    keys: list[Theft] = [("key", number) for number, key in enumerate(world.keys) if not key.given]
    services: list[Theft] = [("service", number) for number in range(len(world.services))]
    return tuple({"keys": keys, "services": services}.get(count, services + keys))


def _start(items: tuple[Theft, ...], picked: Iterable[int]) -> Start:
    taken_items = [items[number] for number in picked]
    return Start(
        frozenset(number for kind, number in taken_items if kind == "service"),
        frozenset(number for kind, number in taken_items if kind == "key"),
    )


def _spoils(
    index: Index, question: Fewest, items: tuple[Theft, ...], picked: Iterable[int]
) -> tuple[Grip, Reached]:
    """Return what falls with these thefts, and where value of the sources can then get."""
    world = index.world
    grip = spread(index, _start(items, picked), "contained")
    held = nodes_held(world, places(world, question.sources))
    return grip, reach(world, usable(index, grip, question.plane).ways, held)


def _suffices(index: Index, question: Fewest, items: tuple[Theft, ...], picked: frozenset[int]) -> bool:
    _, reached = _spoils(index, question, items, picked)
    return _first_hit(index.world, reached, question.sinks) is not None


def _first_hit(world: World, reached: Reached, targets: Iterable[str]) -> int | None:
    wanted = places(world, targets)
    return next((node for node in reached.by if node // len(world.assets) in wanted), None)


def _fewest_route(
    index: Index, question: Fewest, items: tuple[Theft, ...], picked: Iterable[int]
) -> tuple[Hop, ...]:
    _, reached = _spoils(index, question, items, picked)
    hit = _first_hit(index.world, reached, question.sinks)
    return () if hit is None else tuple(hop_of(index.world, way) for way in reached.path(index.world, hit))


def _named_thefts(
    world: World, items: tuple[Theft, ...], picked: Iterable[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    start = _start(items, picked)
    services = tuple(world.services[number].name for number in sorted(start.services))
    return services, tuple(world.keys[number].name for number in sorted(start.keys))


def _named_cover(index: Index, question: Fewest, items: tuple[Theft, ...], cover: frozenset[int]) -> Cover:
    world = index.world
    grip, reached = _spoils(index, question, items, set(range(len(items))) - cover)
    services, keys = _named_thefts(world, items, cover)
    return Cover(services, keys, named_grip(world, grip), named_nodes(world, reached.by))
