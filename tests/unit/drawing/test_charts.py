"""Charts are well-formed, named for those who hear them, and never rest on colour alone."""

import xml.etree.ElementTree as Xml
from itertools import pairwise

import pytest

from ringfence.drawing.charts import Axis, Band, Bar, Event, Line, band_chart, bar_chart, line_chart
from ringfence.drawing.maps import Area, Arrow, Place, place_map
from ringfence.drawing.markup import Markup
from ringfence.drawing.trees import Node, tree

money = Axis("USDC", lambda value: f"{value:.0f}")
hours = Axis("hour", lambda value: f"{value:.0f} h")


def _texts(chart: Markup) -> list[str]:
    return [node.text or "" for node in Xml.fromstring(chart).iter("text")]


def _charts() -> list[Markup]:
    line = Line("hedge", [(0, 1), (1, 2)])
    return [
        line_chart("A", "what it shows", [line], hours, money, [Event(0.5, "called")]),
        band_chart(
            "B", "what it shows", [Band("segregated", 0, 0, "0"), Band("cross", 5, 9, "5 to 9")], money
        ),
        bar_chart("C", "what it shows", [Bar("cross", [("own", 4, "good"), ("pool", 2, "bad")], "6")], money),
        tree("D", "what it shows", Node("client", "1", children=[Node("hedge <b>", "2")])),
        place_map(
            "E",
            "what it shows",
            [Area("alice", [Place("cash"), Place("hedge")])],
            [Arrow("cash", "hedge", "fund")],
        ),
    ]


@pytest.mark.parametrize("chart", _charts())
def test_a_chart_is_well_formed_and_has_a_title_and_a_description(chart: Markup) -> None:
    root = Xml.fromstring(chart)
    name, about = root.attrib["aria-labelledby"].split()
    titled = {node.attrib.get("id"): node.text for node in root}
    assert titled[name]
    assert titled[about] == "what it shows"
    assert root.attrib["role"] == "img"


def test_each_line_band_and_bar_is_named_in_words() -> None:
    lines, bands, bars, nodes, places = _charts()
    assert {"hedge", "called"} <= set(_texts(lines))
    assert {"segregated", "cross", "0", "5 to 9"} <= set(_texts(bands))
    assert {"own", "pool", "cross"} <= set(_texts(bars))
    assert "hedge <b>" in _texts(nodes)
    assert {"cash", "hedge", "fund", "alice"} <= set(_texts(places))


def test_names_at_the_end_of_lines_do_not_lie_on_each_other() -> None:
    lines = [Line(f"line {number}", [(0, 0), (1, 5.0)]) for number in range(4)]
    root = Xml.fromstring(line_chart("t", "d", lines, hours, money))
    heights = sorted(float(node.attrib["y"]) for node in root.iter("text") if "name" in node.attrib["class"])
    assert all(later - earlier >= 15 for earlier, later in pairwise(heights))


def test_a_stepped_line_holds_its_value_until_the_next_point() -> None:
    chart = line_chart("t", "d", [Line("a", [(0, 0), (1, 1)], stepped=True)], hours, money)
    path = next(Xml.fromstring(chart).iter("path")).attrib["d"]
    assert "H" in path
    assert "V" in path
    assert "L" not in path


def test_a_chart_without_a_point_is_refused() -> None:
    with pytest.raises(ValueError, match="no point to draw"):
        line_chart("empty", "d", [Line("a", [])], hours, money)


def test_a_band_without_width_is_still_seen() -> None:
    chart = band_chart("t", "d", [Band("segregated", 0, 0, "0"), Band("cross", 1, 2, "x")], money)
    widths = [float(node.attrib["width"]) for node in Xml.fromstring(chart).iter("rect")]
    assert min(widths) >= 3
