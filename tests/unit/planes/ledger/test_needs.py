"""Quorums count distinct keys, and a key without a member is the key of the member in the source."""

import pytest
from harbour import TEXT, rules_of
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.needs import keys_named, names_for, names_through, unmet
from ringfence.policy.model import KeyNeed, Quorum

RULES = rules_of()
A, B, C = (KeyNeed(key=name) for name in "abc")


def holds(needs, signed):
    return unmet(needs, frozenset(signed), lambda need: need.key) == ""


@pytest.mark.parametrize(
    ("needs", "signed", "is_met"),
    [
        ((), "", True),
        ((A,), "a", True),
        ((A,), "b", False),
        ((A, B), "ab", True),
        ((A, B), "a", False),
        ((Quorum(count=2, of=(A, B, C)),), "ac", True),
        ((Quorum(count=2, of=(A, B, C)),), "c", False),
        # The same key twice is one key.
        ((Quorum(count=2, of=(A, A)),), "a", False),
        ((Quorum(count=2, of=(A, Quorum(count=1, of=(A, B)))),), "a", False),
        ((Quorum(count=2, of=(A, Quorum(count=1, of=(A, B)))),), "ab", True),
        ((Quorum(count=2, of=(Quorum(count=1, of=(A, B)), Quorum(count=1, of=(A, C)))),), "ab", True),
        ((Quorum(count=2, of=(Quorum(count=2, of=(A, B)), Quorum(count=1, of=(A, C)))),), "ab", False),
        ((Quorum(count=2, of=(Quorum(count=2, of=(A, B)), Quorum(count=1, of=(A, C)))),), "abc", True),
        # A list asks for each on its own, so one key may meet two of its needs.
        ((A, Quorum(count=1, of=(A, B))), "a", True),
        ((Quorum(count=0, of=(A,)),), "", True),
    ],
)
def test_needs_are_met_by_distinct_keys(needs, signed, is_met):
    assert holds(needs, signed) is is_met


@given(st.integers(0, 5), st.lists(st.sampled_from("abcde"), max_size=6), st.sets(st.sampled_from("abcde")))
def test_a_flat_quorum_is_a_count_of_distinct_signed_keys(count, of, signed):
    quorum = Quorum(count=count, of=tuple(KeyNeed(key=name) for name in of))
    assert holds((quorum,), signed) is (len(set(of) & signed) >= count)


def test_a_key_of_a_family_is_the_key_of_the_member_in_the_source():
    name_of = names_for(RULES.keys, RULES.place("client/alice/cash"), None)
    assert name_of(KeyNeed(key="client_key")) == "client_key/alice"
    assert name_of(KeyNeed(key="risk_key")) == "risk_key"
    assert name_of(KeyNeed(key="client_key", member="bob")) == "client_key/bob"


def test_a_key_of_a_family_where_no_member_is_bound_cannot_be_met():
    name_of = names_for(RULES.keys, RULES.place("house/treasury"), None)
    assert name_of(KeyNeed(key="client_key")) is None
    assert unmet((KeyNeed(key="client_key"),), frozenset({"client_key"}), name_of)


def test_an_exchange_names_its_keys_by_variable():
    name_of = names_for(RULES.keys, RULES.place("client/alice/cash"), {"a": "alice", "b": "bob"})
    assert name_of(KeyNeed(key="client_key", member="{b}")) == "client_key/bob"
    assert name_of(KeyNeed(key="client_key", member="{c}")) is None


def test_what_is_missing_is_said_with_its_members():
    name_of = names_for(RULES.keys, RULES.place("client/alice/cash"), None)
    quorum = Quorum(count=2, of=(KeyNeed(key="officer_a"), KeyNeed(key="client_key")))
    assert unmet((quorum,), frozenset({"officer_a"}), name_of) == "2 of [officer_a, client_key/alice]"


def test_a_key_of_a_member_has_no_name_where_no_member_is_bound():
    name_of = names_for(RULES.keys, None, None)
    assert name_of(KeyNeed(key="client_key")) is None
    assert name_of(KeyNeed(key="officer_a")) == "officer_a"


def test_the_keys_that_needs_speak_of_are_named_once_each():
    name_of = names_for(RULES.keys, RULES.place("client/alice/cash"), None)
    unbound = KeyNeed(key="client_key", member="{b}")
    needs = (KeyNeed(key="client_key"), Quorum(count=1, of=(B, Quorum(count=1, of=(A, unbound)))), A)
    assert list(keys_named(needs, name_of)) == ["client_key/alice", "b", "a"]


def test_on_a_way_through_a_gate_its_variables_are_the_members_at_both_ends():
    gift = """  gift: {from: "client/{a}/cash", to: "client/{b}/cash", assets: USDC, on: ledger,
    needs: ["client_key/{a}", "client_key/{b}"], limit: {each: {USDC: "10 per 1 d"}}}
  sweep:"""
    rules = rules_of(TEXT.replace("  sweep:", gift, 1))
    ends = [rules.place(f"client/{name}/cash") for name in ("alice", "bob")]
    name_of = names_through(rules.keys, rules.way("gift", *ends), *ends)
    named = {
        member: name_of(KeyNeed(key="client_key", member=member)) for member in ("{a}", "{b}", "{c}", "zoe")
    }
    assert named == {"{a}": "client_key/alice", "{b}": "client_key/bob", "{c}": None, "zoe": "client_key/zoe"}
    assert name_of(KeyNeed(key="client_key")) == "client_key/alice"
    assert name_of(KeyNeed(key="officer_a")) == "officer_a"
