"""A map of compartments as SVG: places as boxes inside named areas, gates as arrows between them.

The layout is a function of the order in which areas and places are given, so two runs draw the same picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.drawing.charts import WIDTH, Tone
from ringfence.drawing.markup import Attributes, Markup, element, join, picture, words

_BOX_HEIGHT, _GAP, _HEAD, _LANE = 40, 14, 30, 44
"""Sizes in pixels; the lane between two areas is as wide as the word of a gate."""


@dataclass(frozen=True, slots=True)
class Place:
    """One box: a name, a second line of words, and a tone."""

    name: str
    words: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Area:
    """A named column of places."""

    name: str
    places: Sequence[Place]


@dataclass(frozen=True, slots=True)
class Arrow:
    """A way from one place to another, named by what opens it; `barred` marks a way that does not exist."""

    source: str
    target: str
    words: str = ""
    tone: Tone = "muted"
    barred: bool = False


def place_map(title: str, description: str, areas: Sequence[Area], arrows: Sequence[Arrow]) -> Markup:
    """Draw areas side by side and the arrows between their places; KeyError on an arrow to no place."""
    width = (WIDTH - 2 * _GAP + _LANE) / max(1, len(areas)) - _LANE
    centres: dict[str, tuple[float, float]] = {}
    drawn = [
        _area(area, _GAP + column * (width + _LANE), width, centres) for column, area in enumerate(areas)
    ]
    height = _HEAD + max((len(area.places) for area in areas), default=1) * (_BOX_HEIGHT + 26) + 24
    drawn += [_arrow(arrow, centres, width) for arrow in arrows]
    return picture(title, description, WIDTH, height, "chart map", drawn)


def _area(area: Area, x: float, width: float, centres: dict[str, tuple[float, float]]) -> Markup:
    boxes: list[Markup] = []
    for row, place in enumerate(area.places):
        y = _HEAD + 12 + row * (_BOX_HEIGHT + 26)
        centres[place.name] = (x + width / 2, y + _BOX_HEIGHT / 2)
        boxes.append(_box(place, x + 10, y, width - 20))
    height = _HEAD + len(area.places) * (_BOX_HEIGHT + 26) + 2
    outline: Attributes = {"x": x, "y": 6, "width": width, "height": height, "rx": 6, "class": "area"}
    title: Attributes = {"x": x + 10, "y": 25, "class": "axis"}
    return join(element("rect", outline), element("text", title, words(area.name)), *boxes)


def _box(place: Place, x: float, y: float, width: float) -> Markup:
    box: Attributes = {
        "x": x,
        "y": y,
        "width": width,
        "height": _BOX_HEIGHT,
        "rx": 4,
        "class": f"place edge-{place.tone}",
    }
    return join(
        element("rect", box),
        element("text", {"x": x + 8, "y": y + 17, "class": "row"}, words(place.name)),
        element("text", {"x": x + 8, "y": y + 32, "class": "tick"}, words(place.words)),
    )


def _arrow(arrow: Arrow, centres: dict[str, tuple[float, float]], width: float) -> Markup:
    (x1, y1), (x2, y2) = centres[arrow.source], centres[arrow.target]
    if x1 == x2:
        half = _BOX_HEIGHT / 2
        y1, y2 = (y1 + half, y2 - half) if y1 < y2 else (y1 - half, y2 + half)
    else:
        half = width / 2 - 10
        x1, x2 = (x1 + half, x2 - half) if x1 < x2 else (x1 - half, x2 + half)
    middle = ((x1 + x2) / 2, (y1 + y2) / 2)
    line: Attributes = {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": f"arrow tone-{arrow.tone}"}
    # Beside an upright arrow, above one that lies.
    beside: Attributes = {"x": middle[0] + 14, "y": middle[1] + 4}
    above: Attributes = {"x": middle[0], "y": middle[1] - 5, "text_anchor": "middle"}
    label: Attributes = {**(beside if x1 == x2 else above), "class": f"tick way text-{arrow.tone}"}
    return join(
        element("line", line),
        _bar(middle) if arrow.barred else _head(x1, y1, x2, y2, arrow.tone),
        element("text", label, words(arrow.words)),
    )


def _head(x1: float, y1: float, x2: float, y2: float, tone: Tone) -> Markup:
    length = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
    ux, uy = (x2 - x1) / length, (y2 - y1) / length
    corners = (
        (x2, y2),
        (x2 - 9 * ux + 4 * uy, y2 - 9 * uy - 4 * ux),
        (x2 - 9 * ux - 4 * uy, y2 - 9 * uy + 4 * ux),
    )
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in corners)
    return element("polygon", {"points": points, "class": f"fill tone-{tone}"})


def _bar(middle: tuple[float, float]) -> Markup:
    x, y = middle
    return element("line", {"x1": x - 9, "y1": y, "x2": x + 9, "y2": y, "class": "arrow wall tone-bad"})
