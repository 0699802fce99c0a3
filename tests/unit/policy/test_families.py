"""Names with variables, and which declared names a selector means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.policy.families import fill, match, overlap, variables_of
from ringfence.policy.model import Selector
from ringfence.policy.phrases import parse_selector
from ringfence.policy.selectors import accepts, definition, leg_ways, pairs, reached, ways
from ringfence.wiring_files import load_policy, shipped_policy

VENUE = load_policy(shipped_policy("venue"))
CUSTODIAN = load_policy(shipped_policy("custodian"))
CLIENTS = ("client/{client}/cash", "client/{client}/hedge", "client/{client}/directional")


@pytest.mark.parametrize(
    ("pattern", "path", "bound", "binding"),
    [
        ("client/{client}/cash", "client/alice/cash", None, {"client": "alice"}),
        ("client/{client}/cash", "client/alice/hedge", None, None),
        ("client/{client}/cash", "client/alice", None, None),
        ("client/{client}/cash", "client/alice/cash", {"client": "alice"}, {"client": "alice"}),
        ("client/{client}/cash", "client/alice/cash", {"client": "bob"}, None),
        ("{a}/{a}", "x/x", None, {"a": "x"}),
        ("{a}/{a}", "x/y", None, None),
        ("clearing", "clearing", {"client": "bob"}, {"client": "bob"}),
    ],
)
def test_a_pattern_binds_its_variables(pattern, path, bound, binding):
    assert match(pattern, path, bound) == binding


PARTS = st.lists(st.sampled_from(("a", "b", "{x}", "{y}")), min_size=1, max_size=4).map("/".join)


@given(PARTS, st.fixed_dictionaries({"x": st.sampled_from("ab"), "y": st.sampled_from("ab")}))
def test_what_is_filled_matches(pattern, members):
    named = {name: members[name] for name in variables_of(pattern)}
    assert match(pattern, fill(pattern, members)) == named


@pytest.mark.parametrize(
    ("selector", "pattern", "binding"),
    [
        ("client/{a}/*", "client/{client}/cash", {"client": "{a}"}),
        ("client/alice/*", "client/{client}/cash", {"client": "alice"}),
        ("client/*/cash", "client/{client}/cash", {}),
        ("client/*", "client/{client}/cash", None),
        ("client/**", "client/{client}/cash", {}),
        ("client/**", "client", None),
        ("**", "clearing", {}),
        ("**/cash", "client/{client}/cash", {}),
        ("**/cash", "cash", None),
        ("client/{a}/vault", "client/acme/vault", {"{a}": "acme"}),
        ("{a}/{a}", "{client}/x", {"client": "{a}", "{a}": "x"}),
        ("clearing", "clearing", {}),
        ("clearing", "{client}", {"client": "clearing"}),
    ],
)
def test_a_selector_overlaps_a_family(selector, pattern, binding):
    assert overlap(selector, pattern) == binding


SELECTED = [
    ("owner:client", CLIENTS),
    ("role:house_money", ("house/fees", "house/treasury")),
    ("client/{a}/*", CLIENTS),
    ("client/**", CLIENTS),
    ("outside", ("outside", "outside/{client}")),
    ("outside/{a}", ("outside/{client}",)),
    ("insurance/*", ("insurance/directional", "insurance/hedge")),
    ("nowhere/*", ()),
]


@pytest.mark.parametrize(("text", "names"), SELECTED)
def test_a_selector_means_these_compartments(text, names):
    found = reached(VENUE, parse_selector(text), {"a": "client"})
    assert tuple(one.name for one in found) == names


def test_any_depth_never_means_what_is_outside():
    internal = {name for name, one in VENUE.compartments.items() if one.kind == "internal"}
    assert {one.name for one in reached(VENUE, parse_selector("**"))} == internal
    assert {one.name for one in reached(VENUE, Selector(by="anywhere", text=""))} == set(VENUE.compartments)


def test_a_variable_never_means_a_member_of_another_family():
    assert reached(VENUE, parse_selector("client/{a}/*"), {"a": "staff"}) == ()


def test_the_exact_name_is_meant_before_the_family():
    assert definition(CUSTODIAN.compartments, "outside/acme") == "outside/acme"
    assert definition(CUSTODIAN.compartments, "outside/{client}") == "outside/{client}"
    assert definition(CUSTODIAN.compartments, "outside/zoe") == "outside/{client}"
    assert definition(CUSTODIAN.compartments, "client/{a}/vault") == "client/{client}/vault"
    assert definition(CUSTODIAN.compartments, "client/{a}/volt") is None


def test_a_gate_between_opens_both_ways():
    residue = VENUE.gates["residue"]
    assert pairs(residue) == (("clearing", "house/rounding"), ("house/rounding", "clearing"))
    assert len(pairs(VENUE.gates["settle"])) == 8
    assert pairs(VENUE.gates["deposit"]) == (("outside", "client/{client}/cash"),)


def test_a_gate_lets_pass_what_both_ends_accept():
    moved = {(way.target, way.asset) for way in ways(VENUE, VENUE.gates["fund"])}
    hedge, directional = "client/{client}/hedge", "client/{client}/directional"
    assert moved == {(hedge, "USDC"), (hedge, "BTC"), (hedge, "ETH"), (directional, "USDC")}


def test_contracts_are_accepted_where_their_quote_is():
    assert accepts(VENUE, "client/{client}/hedge", "BTC-PERP")
    assert not accepts(VENUE, "client/{client}/hedge", "SOL-PERP")  # not in its `instruments`
    assert accepts(VENUE, "client/{client}/directional", "SOL-PERP")
    assert not accepts(VENUE, "client/{client}/directional", "BTC-USD-PERP")  # settles in BTC
    assert accepts(VENUE, "clearing", "BTC-USD-PERP")
    assert accepts(VENUE, "insurance/hedge", "BTC-PERP")
    assert not accepts(VENUE, "client/{client}/cash", "BTC-PERP")
    assert not accepts(VENUE, "outside", "BTC-PERP")
    assert accepts(VENUE, "outside", "BTC")
    assert not accepts(VENUE, "nowhere", "BTC")


def test_an_exchange_without_assets_moves_what_both_ends_accept():
    there, back = leg_ways(VENUE, VENUE.exchanges["convert"])
    assert [way.asset for way in there] == ["USDC", "BTC", "ETH", "USDC-debt"]
    assert [way.asset for way in back] == ["USDC", "BTC", "ETH", "USDC-debt"]
