"""Floor plans: every room, row and door is there, where it leads is marked, and nothing overlaps."""

import xml.etree.ElementTree as ElementTree

import pytest

from ringfence.drawing.floor_plans import Door, Panel, PlanRow, Room, floor_plan
from ringfence.drawing.page import picture

ROOMS = [
    Room("mine", [PlanRow("cash"), PlanRow("hedge", "value can leave", "bad")]),
    Room("theirs", [PlanRow("outside <x>")]),
]
DOORS = [
    Door("fund", ["cash"], ["hedge"]),
    Door("swap", ["cash", "hedge"], ["hedge", "cash"], "bad"),
    Door("pay", ["hedge"], ["outside <x>"]),
]


def drawn(doors=DOORS):
    return ElementTree.fromstring(picture(floor_plan("two rooms", "words", [Panel("rooms", ROOMS, doors)])))


def of(root, kind):
    return [one for one in root.iter() if one.tag.endswith(f"}}{kind}")]


def test_all_that_is_given_is_named():
    texts = {one.text for one in of(drawn(), "text")}
    assert {
        "two rooms",
        "rooms",
        "mine",
        "theirs",
        "cash",
        "hedge",
        "value can leave",
        "outside <x>",
    } <= texts
    assert {"fund", "swap", "pay"} <= texts


def test_each_door_has_a_lane_of_its_own_from_its_first_row_to_its_last():
    root = drawn()
    lanes = [one for one in of(root, "line") if "arrow" in one.get("class")]
    assert len({lane.get("x1") for lane in lanes}) == 3
    rows = {one.text: float(one.get("y")) - 4 for one in of(root, "text") if one.get("class") == "row"}
    spans = [sorted((float(lane.get("y1")), float(lane.get("y2")))) for lane in lanes]
    assert spans[0] == sorted((rows["cash"], rows["hedge"]))
    assert spans[2] == sorted((rows["hedge"], rows["outside <x>"]))


def test_dots_leave_and_heads_enter():
    root = drawn([DOORS[0]])
    assert (len(of(root, "circle")), len(of(root, "polygon"))) == (1, 1)
    both = drawn([DOORS[1]])
    assert (len(of(both, "circle")), len(of(both, "polygon"))) == (2, 2)  # heads, each with a hole


def test_the_frame_grows_with_rows_and_doors():
    width, height = (float(text) for text in drawn().get("viewBox").split()[2:])
    many = [Door(f"door {number}", ["cash"], ["hedge"]) for number in range(40)]
    wide, tall = (float(text) for text in drawn(many).get("viewBox").split()[2:])
    assert wide > width
    assert tall >= height
    lanes = [float(one.get("x1")) for one in of(drawn(many), "line") if "arrow" in one.get("class")]
    assert max(lanes) < wide


def test_a_door_of_no_row_is_a_mistake():
    with pytest.raises(KeyError):
        drawn([Door("odd", ["cash"], ["nowhere"])])


def test_a_panel_may_have_no_door():
    assert of(drawn([]), "polygon") == []
