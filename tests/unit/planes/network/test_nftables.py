"""Rules are written for nft and read back: what is read is what was declared, however it was written."""

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.planes.network.compile import Flow, Permission, Rules, Workload, compile_flows
from ringfence.planes.network.live_nftables import (
    closing_at_guard,
    closing_at_hub,
    cutting_off,
    letting_in,
)
from ringfence.planes.network.observe import drift
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_nftables import Standing, render_guard, render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.wiring_files import load_policy, shipped_policy

SERVICES = ("a", "b", "c")
EXTERNALS = ("x",)


def rules_with(flows):
    workloads = {name: Workload(name, "zone", f"spiffe://t/{name}", None, "") for name in SERVICES}
    return Rules("t", ("zone",), workloads, EXTERNALS, {flow: Permission("p.yaml:1", "") for flow in flows})


flows = st.builds(
    Flow,
    st.sampled_from(SERVICES + EXTERNALS),
    st.sampled_from(SERVICES + EXTERNALS),
    st.sampled_from(["tcp", "udp"]),
    st.integers(1, 65_535),
).filter(lambda flow: flow.source != flow.target)


def guarded(rules, sites, documents):
    pairs = [(a, b) for a in sites for b in sites if a != b and {a, b} & set(SERVICES)]
    return drift(rules, observe_guards(documents, sites), pairs)


@given(st.sets(flows, max_size=12))
@settings(max_examples=60)
def test_what_is_rendered_is_what_is_read_back(drawn):
    rules = rules_with(sorted(drawn))
    sites = plan_sites(rules)
    assert not drift(rules, observe_hub(render_hub(rules, sites), sites))
    assert not guarded(rules, sites, {name: render_guard(rules, sites, name) for name in SERVICES})


@given(st.sets(flows, min_size=1, max_size=12), st.data())
@settings(max_examples=60)
def test_a_flow_too_many_or_too_few_is_drift(drawn, data):
    declared = sorted(drawn)
    other = data.draw(flows.filter(lambda flow: flow not in drawn))
    sites = plan_sites(rules_with(declared))
    loaded = render_hub(rules_with([*declared, other]), sites)
    found = drift(rules_with(declared), observe_hub(loaded, sites))
    assert [(e.source, e.target) for e in found.excess] == [(other.source, other.target)]
    gone = data.draw(st.sampled_from(declared))
    loaded = render_hub(rules_with([flow for flow in declared if flow != gone]), sites)
    assert drift(rules_with(declared), observe_hub(loaded, sites)).missing == (gone,)


@given(st.sets(flows, max_size=12), st.integers(0, 2**32))
@settings(max_examples=40)
def test_the_order_of_elements_and_their_comments_are_of_no_account(drawn, seed):
    rules = rules_with(sorted(drawn))
    sites = plan_sites(rules)
    document = copy.deepcopy(render_hub(rules, sites))
    for command in document["nftables"]:
        for element in command.get("add", {}).get("map", {}).get("elem", []):
            if "elem" in element[0]:
                element[0] = element[0]["elem"]["val"]
        random.Random(seed).shuffle(command.get("add", {}).get("map", {}).get("elem", []))
    assert not drift(rules, observe_hub(document, sites))


HAND_WRITTEN = [
    {"table": {"family": "inet", "name": "mine"}},
    {"chain": {"family": "inet", "table": "mine", "name": "f", "type": "filter", "hook": "forward", "prio": 0,
               "policy": "drop"}},
]  # fmt: skip


def by_hand(*rules):
    here = {"family": "inet", "table": "mine", "chain": "f"}
    return {"nftables": [*HAND_WRITTEN, *({"rule": {**here, "expr": list(rule)}} for rule in rules)]}


def match(left, right, op="=="):
    return {"match": {"op": op, "left": left, "right": right}}


IN_A, TO_B = match({"meta": {"key": "iifname"}}, "i_a"), match({"meta": {"key": "oifname"}}, "i_b")
PORT = {"payload": {"protocol": "tcp", "field": "dport"}}
SADDR = {"payload": {"protocol": "ip", "field": "saddr"}}
ACCEPT, DROP = {"accept": None}, {"drop": None}


@pytest.mark.parametrize(
    ("rules", "opened"),
    [
        ([], "No Connections"),
        ([[IN_A, TO_B, match(PORT, 443), {"accept": None}]], "TCP 443"),
        ([[IN_A, TO_B, match(PORT, {"range": [10, 12]}), {"accept": None}]], "TCP 10-12"),
        ([[IN_A, TO_B, match(PORT, {"set": [10, 12]}), {"accept": None}]], "TCP 10,12"),
        ([[IN_A, TO_B, match(PORT, 443, "!="), {"accept": None}]], "TCP 1-442,444-65535"),
        ([[IN_A, TO_B, match(PORT, 1000, "<"), {"accept": None}]], "TCP 1-999"),
        ([[IN_A, match(PORT, 443), DROP], [IN_A, match(PORT, {"range": [442, 444]}), ACCEPT]],
         "TCP 442,444"),
        ([[match({"ct": {"key": "state"}}, ["established", "related"], "in"), {"accept": None}]],
         "No Connections"),
        ([[match({"ct": {"key": "state"}}, "new", "in"), match(PORT, 1), {"accept": None}]], "TCP 1"),
        ([[match({"meta": {"key": "nfproto"}}, "ipv6"), match(PORT, 5), {"accept": None}]], "TCP 5"),
        ([[match(SADDR, "10.77.0.2"), match(PORT, 7), {"accept": None}]],
         "TCP 7"),
        ([[match(SADDR, "10.99.0.0"), match(PORT, 7), {"accept": None}]],
         "No Connections"),
        ([[match({"payload": {"protocol": "icmpv6", "field": "type"}}, "echo-request"), {"accept": None}]],
         "No Connections"),
    ],
)  # fmt: skip
def test_rules_written_by_hand_are_read(rules, opened):
    sites = plan_sites(rules_with([]))
    seen = observe_hub(by_hand(*rules), sites)
    found = seen.possible.get(("a", "b"))
    assert (str(found) if found else "No Connections") == opened
    assert not seen.findings


def test_what_one_family_alone_permits_is_possible_and_not_certain():
    sites = plan_sites(rules_with([]))
    seen = observe_hub(
        by_hand([match({"meta": {"key": "nfproto"}}, "ipv6"), match(PORT, 5), {"accept": None}]), sites
    )
    assert ("a", "b") in seen.possible
    assert ("a", "b") not in seen.certain


def test_what_is_not_understood_is_a_finding_and_taken_to_open():
    sites = plan_sites(rules_with([]))
    seen = observe_hub(
        by_hand([match({"meta": {"key": "mark"}}, 7), match(PORT, 5), {"accept": None}]), sites
    )
    assert str(seen.possible["a", "b"]) == "TCP 5"
    assert ("a", "b") not in seen.certain
    assert seen.findings


@pytest.mark.parametrize("document", [None, [], {}, {"nftables": 3}, {"nftables": [7, {"rule": 1}]}])
def test_what_is_no_ruleset_is_a_finding_and_no_crash(document):
    assert observe_hub(document, plan_sites(rules_with([]))).findings


def test_the_venue_is_walled_as_declared():
    rules = compile_flows(load_policy(shipped_policy("venue")))
    sites = plan_sites(rules)
    assert not drift(rules, observe_hub(render_hub(rules, sites), sites))


def test_a_service_in_quarantine_reaches_nobody_and_nobody_reaches_it():
    rules = rules_with([Flow("a", "b", "tcp", 1), Flow("b", "c", "tcp", 2), Flow("a", "c", "tcp", 3)])
    sites = plan_sites(rules)
    opened = {("a", "b"), ("b", "c"), ("a", "c")}
    document = render_hub(rules, sites)
    document["nftables"] += cutting_off("i_b")["nftables"]
    assert set(observe_hub(document, sites).possible) == {("a", "c")}
    standing = render_hub(rules, sites, standing=Standing(1, quarantined=("b",)))
    assert observe_hub(standing, sites).possible == observe_hub(document, sites).possible
    for cut_off in (document, standing):
        cut_off["nftables"] += letting_in("i_b")["nftables"]
        assert set(observe_hub(cut_off, sites).possible) == opened


@given(st.sets(flows, min_size=1, max_size=12), st.data())
@settings(max_examples=60)
def test_a_flow_that_is_closed_in_rules_that_stand_is_gone_and_nothing_else_is(drawn, data):
    rules = rules_with(sorted(drawn))
    wide = {"x": ["198.51.100.0/24", "203.0.113.7/32", "2001:db8::/32"]}
    sites = plan_sites(rules, wide if data.draw(st.booleans()) else None)
    flow = data.draw(st.sampled_from(sorted(drawn)))
    left = rules_with([one for one in sorted(drawn) if one != flow])
    hub = render_hub(rules, sites)
    hub["nftables"] += closing_at_hub(rules, sites, flow)["nftables"]
    assert not drift(left, observe_hub(hub, sites))
    for name in {flow.source, flow.target} & set(SERVICES):
        guard = render_guard(rules, sites, name)
        guard["nftables"] += closing_at_guard(rules, sites, flow, name)["nftables"]
        own = [pair for pair in ((a, b) for a in sites for b in sites if a != b) if name in pair]
        assert not drift(left, observe_guards({name: guard}, sites), own)


def test_a_map_is_a_plain_hash_unless_an_end_has_ranges_of_addresses():
    rules = rules_with([Flow("x", "a", "tcp", 1)])
    for networks, is_interval in ((None, False), ({"x": ["198.51.100.0/24"]}, True)):
        sites = plan_sites(rules, networks)
        guard, hub = render_guard(rules, sites, "a"), render_hub(rules, sites)
        shapes = [one["add"]["map"] for one in guard["nftables"] if "map" in one.get("add", {})]
        assert any(shape.get("flags") == ["interval"] for shape in shapes) is is_interval
        assert all(("size" in shape) is ("flags" not in shape) for shape in shapes)
        assert '"interval"' not in json.dumps(hub)
