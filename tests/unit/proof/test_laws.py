"""What changes the sum inside, and what could take a bucket below its margin."""

from platforms import harbour, platform

from ringfence.adapters.solver_z3 import z3_solver
from ringfence.proof.laws import FLOOR_TEXT, conserve, floor


def test_only_gates_to_the_outside_change_the_sum():
    found = conserve(harbour())
    assert found.comes_in == dict.fromkeys(("USDC", "BTC", "ETH"), ("deposit",))
    assert found.leaves == dict.fromkeys(("USDC", "BTC", "ETH"), ("withdraw",))
    assert conserve(platform()).comes_in == {"USDT": ()}
    assert conserve(platform()).leaves == {"USDT": ("g1", "g5")}


def test_every_gate_of_harbour_keeps_the_floor():
    assert floor(harbour()) == ()


def test_a_gate_that_does_not_ask_margin_is_named():
    found = floor(harbour(("    when: releasable\n", "")))
    assert [one.found.split()[0] for one in found] == ["release"]
    assert found[0].where.startswith("policies/venue.yaml:")


def test_what_is_releasable_never_takes_a_bucket_below_its_margin():
    z3 = z3_solver(10)
    assert z3(FLOOR_TEXT).outcome == "unsatisfiable"
    careless = FLOOR_TEXT.replace("(- equity initial orders profit)", "equity")
    assert z3(careless).outcome == "satisfiable"
