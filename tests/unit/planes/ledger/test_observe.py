"""What is in force is read from the book; where it is not what was declared, that is drift."""

from dataclasses import replace

from harbour import TEXT, Harbour, rules_of

from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.observe import drift, observe
from ringfence.planes.ledger.operations import Freeze


def test_a_book_with_all_its_keys_is_what_was_declared():
    harbour = Harbour()
    observed = observe(harbour.state)
    assert observed.planes == ("ledger",)
    assert drift(harbour.state.rules, observed) == ()
    assert {way.gate for way in observed.ways if way.shut_by} == set()


def test_a_word_that_is_not_enforced_is_seen():
    harbour = Harbour(TEXT.replace("when: releasable", "when: operator_silent 30 d"))
    shut = {way.gate: way.shut_by for way in observe(harbour.state).ways if way.shut_by}
    assert shut == {"release": ("`when: operator_silent` is not enforced",)}


def test_a_key_that_was_never_registered_keeps_its_gates_shut():
    state = BookState(rules_of())
    observed = observe(state)
    assert "officer_a is declared and not registered" in drift(state.rules, observed)
    sweep = next(way for way in observed.ways if way.gate == "sweep")
    assert sweep.shut_by == ("officer_a is not registered", "officer_b is not registered")


def test_a_frozen_gate_is_seen():
    harbour = Harbour()
    harbour.must(Freeze("gate/fund", "drill"))
    assert {way.shut_by for way in observe(harbour.state).ways if way.gate == "fund"} == {
        ("gate/fund is frozen",)
    }


def test_another_policy_in_force_is_drift_both_ways():
    start, end = TEXT.index("  sweep:"), TEXT.index("  fill_pool:")
    without, whole = Harbour(TEXT[:start] + TEXT[end:]), Harbour()
    lost = drift(whole.state.rules, observe(without.state))
    in_force, compiled = (one.state.rules.digest.hex()[:16] for one in (without, whole))
    assert lost[0] == f"the book obeys policy {in_force}, compiled is {compiled}"
    assert "sweep does not lead from house/fees to house/treasury for USDC" in lost
    gained = drift(without.state.rules, observe(whole.state))
    assert "sweep leads from house/fees to house/treasury for USDC, which was not declared" in gained
    nothing = replace(observe(whole.state), ways=())
    fund = "fund does not lead from client/{client}/cash to client/{client}/hedge for BTC, ETH, USDC"
    assert fund in drift(whole.state.rules, nothing)
    bare = replace(whole.state.rules, ways={})
    assert fund.replace("does not lead", "leads") + ", which was not declared" in drift(
        bare, observe(whole.state)
    )
