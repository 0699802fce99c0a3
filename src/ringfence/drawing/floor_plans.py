"""A floor plan as SVG: rooms one below the other with what is in them, and beside them a lane for each door.

A door leads from some rows to others: its lane is an upright line with a dot where something leaves and an
arrow head where it enters. No two lanes cross, so that thirty doors can still be told apart. The layout is a
function of the order in which rooms and doors are given, so two runs draw the same picture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ringfence.drawing.charts import WIDTH, Tone
from ringfence.drawing.markup import Attributes, Markup, element, join, picture, words

_ROW, _ROOM_HEAD, _ROOM_GAP, _PANEL_GAP = 26, 24, 10, 26
_LABEL, _STATE, _LANE = 232, 150, 26
"""Sizes in pixels: columns for names and for what became of them, then one lane after the other."""

_LETTER = 5.2
"""Pixels of height that one letter of a slanted name takes."""


_LEGEND = "dot: leaves here; arrow head: enters here; head with a hole: both"


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What is in a room: a name, and in a few words what became of it."""

    name: str
    words: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Room:
    """A named group of rows."""

    name: str
    rows: Sequence[PlanRow]


@dataclass(frozen=True, slots=True)
class Door:
    """A named way from the rows it leaves to the rows it enters."""

    name: str
    leaves: Sequence[str]
    enters: Sequence[str]
    tone: Tone = "muted"


@dataclass(frozen=True, slots=True)
class Panel:
    """Rooms, and the doors between their rows."""

    title: str
    rooms: Sequence[Room]
    doors: Sequence[Door]


def floor_plan(title: str, description: str, panels: Sequence[Panel]) -> Markup:
    """Draw panels one below the other; KeyError on a door of no row."""
    drawn: list[Markup] = []
    top = 30.0
    for panel in panels:
        lines, height = _panel(panel, top)
        drawn += lines
        top += height + _PANEL_GAP
    lanes = max((len(panel.doors) for panel in panels), default=0)
    width = max(WIDTH, _first_lane() + lanes * _LANE + 70)
    written = (
        element("text", {"x": 12, "y": 20, "class": "name"}, words(title)),
        element("text", {"x": 12, "y": int(top) - 12, "class": "tick"}, words(_LEGEND)),
    )
    return picture(title, description, width, int(top), "chart plan", (*written, *drawn))


def _first_lane() -> int:
    return _LABEL + _STATE + 30


def _panel(panel: Panel, top: float) -> tuple[list[Markup], float]:
    head = 22 + _LETTER * max((len(door.name) for door in panel.doors), default=0)
    drawn = [element("text", {"x": 12, "y": top + head - 6, "class": "axis"}, words(panel.title))]
    middles: dict[str, float] = {}
    y = top + head
    right = _first_lane() + len(panel.doors) * _LANE
    for room in panel.rooms:
        height = _ROOM_HEAD + len(room.rows) * _ROW + 4
        outline: Attributes = {
            "x": 8,
            "y": y,
            "width": _LABEL + _STATE,
            "height": height,
            "rx": 6,
            "class": "area",
        }
        drawn.append(element("rect", outline))
        drawn.append(element("text", {"x": 18, "y": y + 16, "class": "axis"}, words(room.name)))
        for number, row in enumerate(room.rows):
            middles[row.name] = y + _ROOM_HEAD + number * _ROW + _ROW / 2
            drawn.append(_row(row, middles[row.name], right))
        y += height + _ROOM_GAP
    for number, door in enumerate(panel.doors):
        drawn.append(_door(door, _first_lane() + (number + 0.5) * _LANE, top + head, middles))
    return drawn, y - top


def _row(row: PlanRow, middle: float, right: float) -> Markup:
    box: Attributes = {
        "x": 16,
        "y": middle - _ROW / 2 + 2,
        "width": _LABEL + _STATE - 16,
        "height": _ROW - 4,
        "rx": 4,
        "class": f"place edge-{row.tone}",
    }
    guide: Attributes = {"x1": _LABEL + _STATE, "x2": right, "y1": middle, "y2": middle, "class": "grid"}
    return join(
        element("rect", box),
        element("text", {"x": 24, "y": middle + 4, "class": "row"}, words(row.name)),
        element(
            "text", {"x": _LABEL + 4, "y": middle + 4, "class": f"tick text-{row.tone}"}, words(row.words)
        ),
        element("line", guide),
    )


def _door(door: Door, x: float, top: float, middles: Mapping[str, float]) -> Markup:
    leaves, enters = _heights(door.leaves, middles), _heights(door.enters, middles)
    ends = (*leaves, *enters)
    lane: Attributes = {
        "x1": x,
        "x2": x,
        "y1": min(ends),
        "y2": max(ends),
        "class": f"arrow tone-{door.tone}",
    }
    label: Attributes = {
        "x": x,
        "y": top - 8,
        "transform": f"rotate(-55 {x:.1f} {top - 8:.1f})",
        "class": f"tick text-{door.tone}",
    }
    shape = f"fill tone-{door.tone}"
    return join(
        element("line", lane),
        *(element("circle", {"cx": x, "cy": y, "r": 4.5, "class": shape}) for y in leaves if y not in enters),
        *(element("polygon", {"points": _head(x, y), "class": shape}) for y in enters),
        *(
            element("circle", {"cx": x, "cy": y, "r": 2.5, "class": "place"})
            for y in leaves
            if y in enters  # in and out: a head with a hole
        ),
        element("text", label, words(door.name)),
    )


def _heights(names: Iterable[str], middles: Mapping[str, float]) -> tuple[float, ...]:
    return tuple(dict.fromkeys(middles[name] for name in names))


def _head(x: float, y: float) -> str:
    """Return the corners of a head that points at the rooms."""
    return f"{x - 9:.1f},{y:.1f} {x + 5:.1f},{y - 6.5:.1f} {x + 5:.1f},{y + 6.5:.1f}"
