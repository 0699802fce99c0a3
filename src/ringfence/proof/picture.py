"""A platform as rooms and doors, with the spread of a breach marked: plain data, DOT, and SVG.

Rooms are the zones with their services, and the compartments by owner; doors are flows and gates. What has
fallen, and every gate that stands open, is marked.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.drawing import page
from ringfence.drawing.charts import Tone
from ringfence.drawing.maps import Area, Arrow, place_map
from ringfence.drawing.maps import Place as Box
from ringfence.drawing.markup import Markup
from ringfence.policy.model import Policy
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.difference import family_name
from ringfence.proof.grounding import ground
from ringfence.proof.questions import start_of
from ringfence.proof.reach import Grip, Index, Mode, spread, usable
from ringfence.proof.world import World


@dataclass(frozen=True, slots=True)
class Room:
    """A zone, or the compartments of one owner; `marked` names what has fallen or can be emptied."""

    name: str
    inside: tuple[str, ...]
    marked: frozenset[str]


@dataclass(frozen=True, slots=True)
class Door:
    """A flow between services or a gate between compartments. is_open: the attacker goes through it."""

    kind: str
    name: str
    source: str
    target: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What is drawn."""

    title: str
    rooms: tuple[Room, ...]
    doors: tuple[Door, ...]


def picture(
    policy: Policy, names: Iterable[str] = (), mode: Mode = "pivot", plane: str = "ledger"
) -> Picture:
    """Compose the picture of a policy, with the spread of a breach of these services and keys."""
    wanted = tuple(names)
    world = ground(policy, cast_for_amounts(policy, {}, wanted))
    index = Index(world)
    grip = spread(index, start_of(world, wanted), mode) if wanted else Grip()
    opened = usable(index, grip, plane).ways if wanted else ()
    title = f"{policy.name}: {', '.join(wanted)} broken ({mode}, {plane})" if wanted else policy.name
    rooms = (*_zones(policy, world, grip), *_owners(world, opened))
    return Picture(title, rooms, (*_flows(world, grip, mode), *_gates(world, opened)))


def _zones(policy: Policy, world: World, grip: Grip) -> Iterable[Room]:
    fallen = frozenset(world.services[number].name for number in grip.owned)
    for zone in policy.zones:
        inside = tuple(name for name, service in policy.services.items() if service.zone == zone)
        if inside:
            yield Room(zone, inside, fallen & frozenset(inside))


def _owners(world: World, opened: Iterable[int]) -> Iterable[Room]:
    emptied = {world.ways[way].source for way in opened}
    by_owner: dict[str, dict[str, bool]] = {}
    for number, place in enumerate(world.places):
        room = by_owner.setdefault("outside" if place.external else place.owner or "compartments", {})
        name = family_name(world, place.name)
        room[name] = room.get(name, False) or number in emptied
    for owner, inside in by_owner.items():
        yield Room(owner, tuple(inside), frozenset(name for name, marked in inside.items() if marked))


def _flows(world: World, grip: Grip, mode: Mode) -> Iterable[Door]:
    for source, target in world.flows:
        ends = world.services[source].name, world.services[target].name
        yield Door("flow", "", *ends, mode == "pivot" and source in grip.owned)


def _gates(world: World, opened: Iterable[int]) -> Iterable[Door]:
    is_open = set(opened)
    doors: dict[tuple[str, str, str], bool] = {}
    for number, way in enumerate(world.ways):
        ends = [family_name(world, world.places[place].name) for place in (way.source, way.target)]
        key = (world.rules[way.rule].name, ends[0], ends[1])
        doors[key] = doors.get(key, False) or number in is_open
    return (Door("gate", *key, marked) for key, marked in doors.items())


# --- forms -------------------------------------------------------------------------------------


def show_plain(drawn: Picture) -> dict[str, object]:
    """Write a picture as plain data."""
    return {
        "title": drawn.title,
        "rooms": [
            {"name": one.name, "inside": list(one.inside), "marked": sorted(one.marked)}
            for one in drawn.rooms
        ],
        "doors": [
            {
                "kind": one.kind,
                "name": one.name,
                "source": one.source,
                "target": one.target,
                "open": one.is_open,
            }
            for one in drawn.doors
        ],
    }


def show_dot(drawn: Picture) -> str:
    """Write a picture for Graphviz."""
    lines = [f"digraph {_quoted(drawn.title)} {{", "  rankdir=LR; node [shape=box];"]
    for number, room in enumerate(drawn.rooms):
        lines.append(f"  subgraph cluster_{number} {{ label={_quoted(room.name)};")
        for name in room.inside:
            colour = " [color=red, penwidth=2]" if name in room.marked else ""
            lines.append(f"    {_quoted(name)}{colour};")
        lines.append("  }")
    for door in drawn.doors:
        style = "solid" if door.kind == "gate" else "dashed"
        colour = "red" if door.is_open else "gray40"
        words = f"label={_quoted(door.name)}, style={style}, color={colour}"
        lines.append(f"  {_quoted(door.source)} -> {_quoted(door.target)} [{words}];")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def draw(drawn: Picture) -> Markup:
    """Draw a picture as SVG: rooms side by side; shut gates are left out where a breach is shown."""
    has_breach = any(room.marked for room in drawn.rooms) or any(door.is_open for door in drawn.doors)
    areas = [
        Area(
            room.name,
            [Box(name, "fallen" if name in room.marked else "", _tone(name, room)) for name in room.inside],
        )
        for room in drawn.rooms
    ]
    arrows = [
        Arrow(door.source, door.target, door.name, "bad" if door.is_open else "muted")
        for door in drawn.doors
        if door.source != door.target and (door.is_open or door.kind == "flow" or not has_breach)
    ]
    return place_map(
        drawn.title, "Services in their zones, compartments by owner, doors between them.", areas, arrows
    )


def draw_alone(drawn: Picture) -> str:
    """Draw a picture as an SVG document that stands alone."""
    return page.picture(draw(drawn))


def _tone(name: str, room: Room) -> Tone:
    return "bad" if name in room.marked else "calm"
