"""Three engines, one answer: our fixpoint, Z3 and clingo agree wherever they can be asked the same."""

import pytest
from drawn_platforms import Sizes, drawn_with_claims
from platforms import SUPPLIES, harbour, platform

from ringfence.adapters.solver_clingo import clingo_solver
from ringfence.adapters.solver_z3 import z3_solver
from ringfence.proof.answers import answer
from ringfence.proof.certificate import certify
from ringfence.proof.claims import prove
from ringfence.proof.encode import CONCLUSION, START, Solved, invariant_obligations
from ringfence.proof.evidence import Closed
from ringfence.proof.exemption import exempt, invariant_of, paying_places
from ringfence.proof.names import places
from ringfence.proof.opinions import (
    on_fewest,
    on_invariants,
    on_moves,
    on_never,
    second_opinion,
    unproved_invariants,
)
from ringfence.proof.questions import Fault, Fewest, Grounds, Moves, Never, ask


@pytest.fixture(scope="module")
def z3():
    return z3_solver(20)


@pytest.fixture(scope="module")
def clingo():
    return clingo_solver(20)


def objections(policy, z3, clingo, facts=()):
    """Ask everything twice."""
    grounds = Grounds(policy, facts)
    for name in policy.claims:
        try:
            questions = ask(grounds, name)
        except Fault:  # A drawn claim may name a plane whose gates lead nowhere near.
            continue
        for asked in questions:
            found, world = answer(asked), asked.index.world
            match asked.question:
                case Never() as question:
                    yield on_never(world, question, found, z3) or on_invariants(world, question, z3)
                case Moves() as question:
                    yield on_moves(world, question, found, z3)
                case Fewest() as question:
                    yield on_fewest(world, question, found, clingo)


def test_they_agree_on_harbour(z3, clingo):
    assert set(objections(harbour(), z3, clingo)) == {""}


def test_they_agree_on_the_platform(z3, clingo):
    assert set(objections(platform(), z3, clingo, SUPPLIES)) == {""}


def test_they_agree_on_drawn_policies(z3, clingo):
    for seed in range(40):
        policy = drawn_with_claims(seed, Sizes())
        assert set(objections(policy, z3, clingo)) == {""}, seed


@pytest.mark.nightly
def test_they_agree_on_drawn_policies_at_length(z3, clingo):
    for seed in range(40, 1_000):
        policy = drawn_with_claims(seed, Sizes())
        assert set(objections(policy, z3, clingo)) == {""}, seed


LEAKS = {
    "cash to clearing": ('"client/{client}/cash"', "clearing", "[client_key]"),
    "clearing to the treasury": ("clearing", "house/treasury", '["2 of [officer_a, officer_b]"]'),
    "clearing to cash": ("clearing", '"client/{client}/cash"', "[ledger_key]"),
    "the treasury to clearing": ("house/treasury", "clearing", '["2 of [officer_a, officer_b]"]'),
    "a bucket to the insurance": ('"client/{client}/hedge"', "insurance/hedge", "[risk_key]"),
}


def leaking(name):
    source, target, needs = LEAKS[name]
    words = f"from: {source}, to: {target}, assets: [USDC], needs: {needs}, on: [ledger]"
    gate = f'  leak: {{{words}, limit: {{all: {{USDC: "1 per 1 d"}}}}}}\n  withdraw:\n'
    return harbour(("  withdraw:\n", gate))


def settle_obligations(policy):
    asked = ask(Grounds(policy), "one_client_never_pays_for_another")[0]
    world, question = asked.index.world, asked.question
    sources, targets = places(world, question.sources), places(world, question.targets)
    found = exempt(world, question.exceptions, sources, targets)
    settle = next(one for one in found if one.name == "settle")
    paying = {world.places[one].name for one in paying_places(world, question.exceptions, sources | targets)}
    netting = {place.name for place in world.places if place.nets}
    return settle, invariant_obligations(invariant_of(world, settle), netting, paying)


def test_the_invariant_of_settlement_is_inductive_over_every_gate_that_touches_it(z3):
    settle, obligations = settle_obligations(harbour())
    assert (obligations[0].steps, obligations[-1].steps) == ((START,), (CONCLUSION,))
    steps = {step for part in obligations[1:-1] for step in part.steps}
    gates = {step.split()[0] for step in steps}
    assert {"settle", "cover", "last_resort", "residue", "fund", "release", "fee", "fill_pool"} <= gates
    assert all(z3(part.text).outcome == "unsatisfiable" for part in obligations)
    assert settle.refused == ""


@pytest.mark.parametrize("part", [0, -1])
def test_the_start_and_the_conclusion_say_something(z3, part):
    """Without what they start from, neither follows."""
    text = settle_obligations(harbour())[1][part].text
    bare = "\n".join(line for line in text.splitlines() if "declare" in line or "(not" in line)
    assert z3(bare).outcome == "satisfiable"


def test_invariants_of_a_certificate_are_proved_again(z3):
    policy = harbour()
    certificate = certify(policy.name, b"", prove(policy))
    kept = [
        one.exception
        for entry in certificate.entries
        if isinstance(entry.evidence, Closed)
        for one in entry.evidence.invariants
    ]
    assert set(kept) == {"settle", "fee", "convert", "convert_directional", "deleverage"}
    assert unproved_invariants(certificate, z3) == ()

    def unsure(_text):
        return Solved("unknown")

    assert len(unproved_invariants(certificate, unsure)) > len(kept)


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_beside_settlement_breaks_its_invariant(z3, name):
    settle, obligations = settle_obligations(leaking(name))
    broken = [step for part in obligations if z3(part.text).outcome != "unsatisfiable" for step in part.steps]
    assert broken
    assert all(step.startswith("leak") for step in broken)
    assert "leak" in settle.refused


def test_an_engine_that_disagrees_makes_the_claim_unknown():
    def contrary(_text):
        return Solved("unsatisfiable")

    verdicts = prove(harbour(), (), second_opinion(contrary, None))
    never = next(one for one in verdicts if one.claim == "one_client_never_pays_for_another")
    assert never.status == "unknown"
    assert "two engines disagree" in never.words
    assert not never.holds


def test_an_engine_that_runs_out_of_time_is_never_fine():
    def slow(_text):
        return Solved("unknown")

    verdicts = prove(harbour(), (), second_opinion(slow, slow))
    late = [one for one in verdicts if one.status == "unknown"]
    asked = {one.claim for one in late}
    words = "the second engine gave no answer in its time; give it longer, or leave it out"
    assert {one.words for one in late} == {words}
    assert "no_single_break_in_withdraws" in asked
    assert "one_client_never_pays_for_another" in asked
    assert "a_broken_gateway_moves_nothing" in asked


def test_the_time_that_was_not_enough_is_told():
    def slow(_text):
        return Solved("unknown", seconds=0.5)

    def best_so_far(_text):
        return Solved("satisfiable", cost=3, seconds=0.5)

    for asked in ask(Grounds(harbour()), "no_single_break_in_withdraws"):
        found, world = answer(asked), asked.index.world
        for solve in (slow, best_so_far):
            assert "no answer in 0.5 s" in on_fewest(world, asked.question, found, solve)
        assert "disagree" in on_fewest(world, asked.question, found, lambda _: Solved("satisfiable", cost=1))


def test_where_we_have_no_answer_nobody_is_asked(monkeypatch):
    monkeypatch.setattr("ringfence.proof.answers.TESTS_MAX", 2)
    verdicts = prove(harbour(), (), second_opinion(None, lambda _: Solved("unsatisfiable")))
    found = next(one for one in verdicts if one.claim == "no_single_break_in_withdraws")
    assert found.status == "unknown"
    assert "disagree" not in found.words


def test_a_time_limit_is_kept():
    z3 = z3_solver(0.001)
    clingo = clingo_solver(0.0)
    # Eight pigeons, seven holes, for each engine in its own words.
    holes = range(9)
    text = "".join(f"(declare-const p{p}_{h} Bool)\n" for p in range(10) for h in holes)
    text += "".join(f"(assert (or {' '.join(f'p{p}_{h}' for h in holes)}))\n" for p in range(10))
    text += "".join(
        f"(assert (not (and p{p}_{h} p{q}_{h})))\n" for h in holes for p in range(10) for q in range(p)
    )
    assert z3(text).outcome == "unknown"
    program = "1 { in(P, H) : H = 1..10 } 1 :- P = 1..11. :- in(P, H), in(Q, H), P < Q."
    assert clingo(program).outcome == "unknown"
