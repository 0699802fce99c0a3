"""A platform as rooms and doors, with the spread of a breach marked: plain data, DOT, and SVG.

Rooms are the zones with their services, and the compartments by owner; doors are flows and gates. What has
fallen, and every gate that stands open, is marked.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ringfence.drawing import floor_plans as plans
from ringfence.drawing import page
from ringfence.drawing.floor_plans import Panel, PlanRow, floor_plan
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
    """A zone, or the compartments of one owner; `marked` says of what has fallen, or can be emptied, how."""

    kind: Literal["zone", "owner"]
    name: str
    inside: tuple[str, ...]
    marked: Mapping[str, str]


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
    names = [service.name for service in world.services]
    fallen = {
        names[number]: f"falls by {names[cause.by[0]]}" if cause.how == "flow" else "broken into"
        for number, cause in grip.owned.items()
    }
    for zone in policy.zones:
        inside = tuple(name for name, service in policy.services.items() if service.zone == zone)
        if inside:
            yield Room("zone", zone, inside, {name: fallen[name] for name in inside if name in fallen})


def _owners(world: World, opened: Iterable[int]) -> Iterable[Room]:
    left = {world.ways[way].source for way in opened}
    entered = {world.ways[way].target for way in opened}
    by_owner: dict[str, dict[str, str]] = {}
    for number, place in enumerate(world.places):
        room = by_owner.setdefault("outside" if place.external else place.owner or "compartments", {})
        name = family_name(world, place.name)
        words = "value can leave" if number in left else "value can get here" if number in entered else ""
        room[name] = room.get(name, "") or words
    for owner, inside in by_owner.items():
        marked = {name: words for name, words in inside.items() if words}
        yield Room("owner", owner, tuple(inside), marked)


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
            {"kind": one.kind, "name": one.name, "inside": list(one.inside), "marked": dict(one.marked)}
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
    """Draw a picture as SVG: services in their zones with a lane for each flow, and compartments by owner
    with a lane for each gate, open ones first where a breach is shown."""
    description = "Services in their zones and compartments by owner, with a lane for each door between them."
    panels = [
        _panel(drawn, "services in their zones, and who can open a connection to whom", "zone", "flow"),
        _panel(drawn, "compartments by owner, and the gates between them", "owner", "gate"),
    ]
    return floor_plan(drawn.title, description, [panel for panel in panels if panel.rooms])


def _panel(drawn: Picture, title: str, room_kind: str, door_kind: str) -> Panel:
    rooms = [
        plans.Room(room.name, [_row(name, room) for name in room.inside])
        for room in drawn.rooms
        if room.kind == room_kind
    ]
    lanes: dict[tuple[str, bool], list[Door]] = {}
    for door in drawn.doors:
        if door.kind == door_kind:
            # A flow has no name: a lane is all that one service can connect to.
            lanes.setdefault((door.name or door.source, door.is_open), []).append(door)
    doors = [
        plans.Door(
            name,
            [one.source for one in group],
            [one.target for one in group],
            "bad" if is_open else "muted",
        )
        for (name, is_open), group in sorted(lanes.items(), key=lambda lane: not lane[0][1])
    ]
    return Panel(title, rooms, doors)


def _row(name: str, room: Room) -> PlanRow:
    words = room.marked.get(name, "")
    return PlanRow(name, words, "bad" if words else "calm")


def draw_alone(drawn: Picture) -> str:
    """Draw a picture as an SVG document that stands alone."""
    return page.picture(draw(drawn))
