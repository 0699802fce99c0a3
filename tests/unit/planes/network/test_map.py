"""The picture of the rules shows every end and every flow, and escapes what comes from outside."""

from xml.etree import ElementTree

from flow_policies import policy_of, venue_rules

from ringfence.drawing.page import picture
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.map import flow_map


def texts(drawn: str) -> list[str]:
    return [node.text or "" for node in ElementTree.fromstring(drawn).iter() if node.tag.endswith("text")]


def test_every_end_and_every_flow_is_drawn() -> None:
    rules = venue_rules()
    shown = texts(picture(flow_map(rules)))

    assert set(rules.ends) <= set(shown)
    assert {f"zone {zone}" for zone in rules.zones} <= set(shown)
    assert sorted(text for text in shown if text.isdigit()) == sorted(str(flow.port) for flow in rules.flows)
    assert "on 7001, 7002, 7008" in shown
    assert "listens on none" in shown


def test_a_line_that_opens_several_flows_is_one_door_and_many_ports_are_counted() -> None:
    flows = [("x", "a", port) for port in range(1, 7)] + [("a", "b", 53, "udp")]
    shown = texts(picture(flow_map(compile_flows(policy_of({"a": "z", "b": "<z>"}, ("x",), flows)))))

    assert "listens on 6 ports" in shown
    assert "udp/53" in shown
    assert "zone <z>" in shown


def test_a_platform_without_flows_or_outside_is_drawn() -> None:
    assert "a" in texts(picture(flow_map(compile_flows(policy_of({"a": "z"}, (), [])))))
