"""Members fit a way, places are found by path, and what was looked up is remembered and forgotten."""

from dataclasses import replace

import pytest
from harbour import rules_of

from ringfence.planes.ledger import rules as module
from ringfence.planes.ledger.rules import Place, bind_terms


@pytest.mark.parametrize(
    ("terms", "bound", "binding"),
    [
        ([], {}, {}),
        ([("{a}", "alice")], {}, {"a": "alice"}),
        ([("{a}", "alice"), ("{a}", "alice")], {}, {"a": "alice"}),
        ([("{a}", "alice"), ("{a}", "bob")], {}, None),
        ([("{a}", "alice"), ("{b}", "bob")], {}, {"a": "alice", "b": "bob"}),
        ([("{a}", "alice"), ("{b}", "alice")], {}, None),
        ([("{a}", "bob")], {"a": "alice"}, None),
        ([("{a}", "alice")], {"b": "alice"}, None),
        ([("acme", "acme")], {}, {}),
        ([("acme", "alice")], {}, None),
        ([("acme", "acme"), ("{a}", "alice")], {}, {"a": "alice"}),
    ],
)
def test_members_fit_terms_where_each_variable_is_one_member_of_its_own(terms, bound, binding):
    assert bind_terms(terms, dict(bound)) == binding


def test_a_place_is_looked_up_once_and_what_is_remembered_stays_small(monkeypatch):
    monkeypatch.setattr(module, "PLACES_MAX", 2)
    rules = replace(rules_of())
    alice = rules.place("client/alice/cash")
    assert isinstance(alice, Place)
    assert rules.place("client/alice/cash") is alice
    assert rules.place("nowhere") is None
    assert list(rules._places) == ["client/alice/cash"]
    rules.place("clearing")
    assert list(rules._places) == ["client/alice/cash", "clearing"]
    rules.place("house/fees")
    assert list(rules._places) == ["house/fees"]
