"""How often a cap counts within a time, on each side of every edge; and what bounds a flow."""

import pytest
from platforms import GATES, SUPPLIES, platform

from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.policy.model import Limits
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.grounding import ground
from ringfence.proof.names import places
from ringfence.proof.questions import start_of
from ringfence.proof.reach import Index, spread, usable
from ringfence.proof.throughput import Item, Span, charge, most
from ringfence.proof.world import NOBODY, Cap, extend


@pytest.mark.parametrize(
    ("kind", "length_ns", "horizon_ns", "times"),
    [
        ("fixed", DAY_NS, 1, 2),
        ("fixed", DAY_NS, DAY_NS, 2),
        ("fixed", DAY_NS, DAY_NS + 1, 3),
        ("fixed", HOUR_NS, DAY_NS, 25),
        ("rolling", DAY_NS, 1, 1),
        ("rolling", DAY_NS, DAY_NS, 1),
        ("rolling", DAY_NS, DAY_NS + 1, 2),
        ("rolling", HOUR_NS, DAY_NS, 24),
        ("refill", DAY_NS, DAY_NS, 2),
        ("refill", HOUR_NS, DAY_NS, 25),
    ],
)
def test_a_window_is_charged_as_often_as_it_can_fall(kind, length_ns, horizon_ns, times):
    assert charge(Cap(100, kind, length_ns), horizon_ns) == 100 * times


def test_a_bucket_that_refills_counts_the_part_that_came_back_rounded_up():
    assert charge(Cap(100, "refill", DAY_NS), 0) == 100
    assert charge(Cap(100, "refill", DAY_NS), 1) == 101
    assert charge(Cap(100, "refill", DAY_NS), DAY_NS // 2) == 150


def bound(policy, start, sources, sinks, horizon_ns=HOUR_NS, facts=SUPPLIES):
    index = Index(extend(ground(policy, cast_for_amounts(policy, {})), facts))
    world = index.world
    can_use = usable(index, spread(index, start_of(world, start), "contained"), "vault")
    ends = None if sinks is None else places(world, sinks)
    return most(world, can_use, 0, Span(places(world, sources), ends, horizon_ns))


def test_the_cut_is_the_cap_where_the_cap_is_smaller():
    found = bound(platform(), ["hot", "liq"], ["client_hot"], ["outside"])
    assert found.units == 250
    assert found.items == ((Item("all", "g1", NOBODY), 250),)


def test_the_cut_is_the_supply_where_that_is_smaller():
    found = bound(platform(), ["hot", "liq"], ["client_hot"], ["outside"], DAY_NS)
    assert found.units == 2000
    assert found.items == ((Item("supply", "", 1), 2000),)


def test_flows_join_and_are_limited_together():
    # margin can give 50 to insurance and 10 to the house; together 60 of its 100.
    found = bound(platform(), ["liq"], ["margin"], ["insurance", "house"])
    assert found.units == 60


def test_anywhere_adds_up_every_gate_that_leaves():
    assert bound(platform(), ["liq"], ["margin", "insurance"], None).units == 50 + 10 + 50
    assert bound(platform(), ["api"], ["margin", "insurance"], None).units == 0


def test_without_a_cap_or_a_supply_there_is_no_bound():
    policy = platform()
    open_gate = policy.gates["g4"].model_copy(update={"limit": Limits()})
    policy = policy.model_copy(update={"gates": {**policy.gates, "g4": open_gate}})
    assert bound(policy, ["liq"], ["margin"], ["house"], facts=()).units is None
    assert bound(policy, ["liq"], ["margin"], ["house"]).units == 100


def test_one_cap_counts_both_directions_once():
    both = GATES["g3"].replace("from: margin, to: insurance", "between: [margin, insurance]")
    policy = platform((GATES["g3"], both), (GATES["g6"] + "\n", ""))
    assert bound(policy, ["liq"], ["margin", "insurance"], None, facts=()).units == 50 + 10
