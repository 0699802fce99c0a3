"""Charts as SVG: lines over time, bars side by side, and bands from best to worst.

Each chart carries a title and a description for those who hear it, uses the colours of the page it stands in
(see `page`), and never says anything by colour alone: every line, bar and band is named beside it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from ringfence.drawing.markup import Attributes, Markup, element, join, picture, words
from ringfence.drawing.scale import Scale, round_ticks, widened

Tone = Literal["good", "bad", "accent", "calm", "muted"]
"""What a colour stands for; the page gives it a value for light and for dark."""

WIDTH = 760
_LEFT, _RIGHT, _TOP, _BOTTOM = 78, 128, 18, 46
_EVENT_ROW = 15


@dataclass(frozen=True, slots=True)
class Axis:
    """What an axis measures and how its numbers are written; `ticks` where round numbers do not fit."""

    title: str
    show: Callable[[float], str]
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One named line through (x, y) points; `dashed` sets it apart without colour, `stepped` holds values."""

    name: str
    points: Sequence[tuple[float, float]]
    tone: Tone = "accent"
    dashed: bool = False
    stepped: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at x, shown as an upright line with words."""

    x: float
    words: str
    tone: Tone = "muted"


@dataclass(frozen=True, slots=True)
class Band:
    """A figure known to lie in [low, high], with the words that stand beside it."""

    name: str
    low: float
    high: float
    label: str
    tone: Tone = "accent"


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar made of named parts laid end to end."""

    name: str
    parts: Sequence[tuple[str, float, Tone]]
    label: str


def line_chart(
    title: str,
    description: str,
    lines: Sequence[Line],
    x: Axis,
    y: Axis,
    events: Sequence[Event] = (),
    *,
    height: int = 300,
) -> Markup:
    """Draw lines over a common x, events as upright lines named above them; ValueError without a point."""
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError(f"the chart {title!r} has no point to draw")
    across = Scale(min(p[0] for p in points), max(p[0] for p in points), _LEFT, WIDTH - _RIGHT)
    top = _TOP + _EVENT_ROW * len(events)
    up = Scale(*widened([p[1] for p in points]), height - _BOTTOM, top)
    return _chart(
        title,
        description,
        height,
        _grid(across, up, x, y, height),
        *(_event(event, across, height, row) for row, event in enumerate(events)),
        *(_line(line, across, up) for line in lines),
        *_names_at_end(lines, up),
    )


def band_chart(title: str, description: str, bands: Sequence[Band], axis: Axis) -> Markup:
    """Draw each band as a horizontal span on one common axis that starts at zero."""
    left, right = 190, 150
    rows = _rows(len(bands))
    across = Scale(0.0, _top(band.high for band in bands), left, WIDTH - right)
    drawn = [
        join(
            _text(left - 10, y + 5, band.name, "row", "end"),
            _span(across, band, y),
            _text(across.at(band.high) + 10, y + 5, band.label, "value"),
        )
        for band, y in zip(bands, rows, strict=True)
    ]
    height = _rows_height(len(bands))
    return _chart(title, description, height, _floor(across, axis, height), *drawn)


def bar_chart(title: str, description: str, bars: Sequence[Bar], axis: Axis) -> Markup:
    """Draw bars made of parts on one common axis from zero, with a legend of the parts."""
    left, right = 190, 130
    rows = _rows(len(bars))
    across = Scale(0.0, _top(sum(part[1] for part in bar.parts) for bar in bars), left, WIDTH - right)
    drawn = [_bar(bar, across, left, y) for bar, y in zip(bars, rows, strict=True)]
    height = _rows_height(len(bars)) + 26
    legend = dict.fromkeys((name, tone) for bar in bars for name, _, tone in bar.parts)
    return _chart(
        title,
        description,
        height,
        _floor(across, axis, height - 26),
        *drawn,
        _legend(list(legend), height - 10),
    )


def _chart(title: str, description: str, height: int, *inside: Markup) -> Markup:
    return picture(title, description, WIDTH, height, "chart", inside)


def _grid(across: Scale, up: Scale, x: Axis, y: Axis, height: int) -> Markup:
    bottom = height - _BOTTOM
    level = [
        join(
            _rule(_LEFT, up.at(tick), WIDTH - _RIGHT, up.at(tick), "grid"),
            _text(_LEFT - 8, up.at(tick) + 4, y.show(tick), "tick", "end"),
        )
        for tick in y.ticks or round_ticks(up.low, up.high)
    ]
    upright = [
        _text(across.at(tick), bottom + 18, x.show(tick), "tick", "middle")
        for tick in x.ticks or round_ticks(across.low, across.high)
    ]
    names = (
        _text(_LEFT, 11, y.title, "axis"),
        _text(WIDTH - _RIGHT, height - 8, x.title, "axis", "end"),
    )
    return join(*level, _rule(_LEFT, bottom, WIDTH - _RIGHT, bottom, "floor"), *upright, *names)


def _line(line: Line, across: Scale, up: Scale) -> Markup:
    steps: list[str] = []
    for number, (x, y) in enumerate(line.points):
        place = f"{across.at(x):.1f},{up.at(y):.1f}"
        if number == 0:
            steps.append(f"M{place}")
        elif line.stepped:
            steps.append(f"H{across.at(x):.1f}V{up.at(y):.1f}")
        else:
            steps.append(f"L{place}")
    dash = " dashed" if line.dashed else ""
    return element("path", {"d": "".join(steps), "class": f"line tone-{line.tone}{dash}"})


def _names_at_end(lines: Sequence[Line], up: Scale) -> list[Markup]:
    """Name the lines at their right end, pushed apart so that no two names lie on each other."""
    wanted = sorted((up.at(line.points[-1][1]), line.name, line.tone) for line in lines if line.points)
    placed: list[Markup] = []
    free = -1e9
    for y, name, tone in wanted:
        y = max(y, free)
        placed.append(_text(WIDTH - _RIGHT + 8, y + 4, name, f"name text-{tone}"))
        free = y + 16
    return placed


def _event(event: Event, across: Scale, height: int, row: int) -> Markup:
    x = across.at(event.x)
    late = x > (WIDTH - _RIGHT + _LEFT) / 2
    y = _TOP + 12 + _EVENT_ROW * row
    return join(
        _rule(x, _TOP, x, height - _BOTTOM, f"event tone-{event.tone}"),
        _text(
            x + (-5 if late else 5),
            y,
            event.words,
            f"event-words text-{event.tone}",
            "end" if late else "start",
        ),
    )


def _span(across: Scale, band: Band, y: float) -> Markup:
    # A band of no width is a fact too: it is drawn as a tick three pixels wide.
    start, end = across.at(band.low), across.at(band.high)
    box: Attributes = {
        "x": start,
        "y": y - 9.0,
        "width": max(3.0, end - start),
        "height": 18,
        "rx": 2,
        "class": f"fill tone-{band.tone}",
    }
    return element("rect", box)


def _bar(bar: Bar, across: Scale, left: int, y: float) -> Markup:
    drawn: list[Markup] = []
    reached = 0.0
    for _, size, tone in bar.parts:
        start, end = across.at(reached), across.at(reached + size)
        box: Attributes = {"x": start, "y": y - 9.0, "width": max(0.0, end - start), "height": 18}
        drawn.append(element("rect", {**box, "class": f"fill tone-{tone}"}))
        reached += size
    return join(
        _text(left - 10, y + 5, bar.name, "row", "end"),
        *drawn,
        _text(across.at(reached) + 8, y + 5, bar.label, "value"),
    )


def _legend(parts: Sequence[tuple[str, Tone]], y: float) -> Markup:
    drawn: list[Markup] = []
    x = 190.0
    for name, tone in parts:
        key: Attributes = {"x": x, "y": y - 9, "width": 10, "height": 10, "class": f"fill tone-{tone}"}
        drawn.append(join(element("rect", key), _text(x + 15, y, name, "tick")))
        x += 32 + 6.4 * len(name)
    return join(*drawn)


def _floor(across: Scale, axis: Axis, height: int) -> Markup:
    bottom = height - 34
    ticks = [
        join(
            _rule(across.at(tick), 8, across.at(tick), bottom, "grid"),
            _text(across.at(tick), bottom + 15, axis.show(tick), "tick", "middle"),
        )
        for tick in axis.ticks or round_ticks(across.low, across.high)
    ]
    return join(*ticks, _text(across.end, bottom + 30, axis.title, "axis", "end"))


def _rows(count: int) -> list[float]:
    return [24.0 + 30.0 * row for row in range(count)]


def _rows_height(count: int) -> int:
    return 30 * count + 46


def _top(values: Iterable[float]) -> float:
    listed = list(values)
    return max(listed, default=0.0) or 1.0


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return element("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2, "class": kind})


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> Markup:
    return element("text", {"x": x, "y": y, "class": kind, "text_anchor": anchor}, words(text))
