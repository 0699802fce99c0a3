"""Between positions and names: evidence and stories speak of a world by name."""

from collections.abc import Iterable

from ringfence.proof.evidence import Fallen, Hop, Node
from ringfence.proof.reach import Grip, Start
from ringfence.proof.world import World


def places(world: World, names: Iterable[str]) -> frozenset[int]:
    """Return the positions of places by name."""
    wanted = set(names)
    return frozenset(number for number, place in enumerate(world.places) if place.name in wanted)


def nodes(world: World, of: Iterable[int]) -> list[int]:
    """Return every (place, asset) of these places."""
    return [world.node(place, asset) for place in sorted(of) for asset in world.places[place].accepts]


def nodes_held(world: World, of: Iterable[int]) -> list[int]:
    """Return the (place, asset) of these places where there is something; all where no supply is known."""
    return [node for node in nodes(world, of) if _is_held(world, node)]


def _is_held(world: World, node: int) -> bool:
    supply = world.place_of(node).supply
    return supply is None or supply.get(node % len(world.assets), 0) > 0


def taken(world: World, services: Iterable[str], keys: Iterable[str]) -> Start:
    """Return the start with these services and keys by name."""
    named_services, named_keys = set(services), set(keys)
    return Start(
        frozenset(number for number, row in enumerate(world.services) if row.name in named_services),
        frozenset(number for number, row in enumerate(world.keys) if row.name in named_keys),
    )


def hop_of(world: World, way: int) -> Hop:
    """Name a way."""
    row = world.ways[way]
    rule = world.rules[row.rule]
    source, target = world.places[row.source].name, world.places[row.target].name
    return Hop(rule.name, rule.lane, source, target, world.assets[row.asset])


def named_nodes(world: World, found: Iterable[int]) -> tuple[Node, ...]:
    """Name nodes, in order."""
    return tuple(sorted((world.place_of(node).name, world.asset_of(node)) for node in found))


def named_grip(world: World, grip: Grip) -> Fallen:
    """Name everything an attacker ends up with."""
    services = tuple(sorted(world.services[number].name for number in grip.owned))
    return Fallen(services, tuple(sorted(world.keys[number].name for number in grip.had)))


def way_of(world: World, hop: Hop) -> int:
    """Return the position of a way by name; KeyError where the world has none such."""
    for number in range(len(world.ways)):
        if hop_of(world, number) == hop:
            return number
    raise KeyError(hop)
