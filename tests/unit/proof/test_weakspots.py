"""Thin spots and what would mend them; gates that protect nothing; what runs against what is declared."""

import pytest
from platforms import GATES, SUPPLIES, gate, harbour, platform

from ringfence.planes.ledger import compile as ledger_compile
from ringfence.planes.network import compile as network_compile
from ringfence.policy.phrases import parse_journey, parse_selector
from ringfence.proof import drift as drifting
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.difference import difference, smallest_sets
from ringfence.proof.drift import drift, ledger_drift, network_drift
from ringfence.proof.gates import uncovered, weak_gates
from ringfence.proof.grounding import ground
from ringfence.proof.independence import shared_quorums
from ringfence.proof.picture import draw, picture, show_dot
from ringfence.proof.weakspots import choke_points, fewest_thefts, route, smallest_mend, who_can_move
from ringfence.proof.world import AddFlow, AddHolding, extend
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy

OUT = parse_journey("** -> outside")


def test_choke_points_of_the_platform():
    found = choke_points(platform(), OUT.source, OUT.target, "vault", "web", SUPPLIES)
    assert found.gates == ()  # g1, or g4 and g5
    assert found.keys == ("liq",)
    assert found.services == ("risk",)
    assert found.flows == (("web", "match"), ("match", "risk"), ("risk", "wallet"))


def test_every_withdrawal_of_harbour_passes_one_gate():
    found = choke_points(harbour(), parse_selector("client/**"), OUT.target, "vault")
    assert found.gates == ("withdraw",)


def test_who_can_move_names_each_start_alone():
    found = {(one.start, one.mode) for one in who_can_move(platform(), parse_selector("client_hot"))}
    assert ("lw", "contained") in found
    assert ("hot", "contained") not in found
    assert ("web", "pivot") in found
    assert ("web", "contained") not in found


def test_a_route_is_named_or_there_is_none():
    hops = route(platform(), OUT, ["hot", "liq"], "contained", "vault", SUPPLIES)
    assert [hop.rule for hop in hops] == ["g1"]
    assert route(platform(), OUT, ["hot"], "contained", "vault", SUPPLIES) == ()
    assert route(platform(), OUT, None, "contained", "vault", SUPPLIES)


def test_the_fewest_thefts_of_a_way():
    assert fewest_thefts(platform(), OUT, "keys", "vault", SUPPLIES).bound == {"thefts": 2}
    assert fewest_thefts(platform(), OUT, "services", "vault", SUPPLIES).bound == {"thefts": 2}


def test_the_smallest_mend_takes_one_gate_or_one_flow():
    found = smallest_mend(platform(), "client_money_stays_out_of_the_house")
    assert (found.holds, found.gates, found.flows) == (False, ("g4",), ())
    pushed = ("{from: ledger, to: gateway, port: 7003", "{from: gateway, to: ledger, port: 7003")
    found = smallest_mend(harbour(pushed), "a_broken_gateway_moves_nothing")
    assert (found.holds, found.gates, found.flows) == (False, (), (("gateway", "ledger"),))
    assert smallest_mend(harbour(), "one_thief_is_slow").holds


# --- gates -------------------------------------------------------------------------------------


def rules_of(policy):
    return {(finding.rule, finding.found.split()[0]) for finding in weak_gates(policy)}


def test_the_platform_has_no_weak_gate():
    assert rules_of(platform()) == set()


def test_a_gate_beside_an_easier_one_is_shadowed():
    extra = (GATES["g1"], GATES["g1"] + "\n" + gate("g9", "client_hot", "outside", "[hot]", 300))
    shadowed = {one.found for one in weak_gates(platform(extra)) if one.rule == "shadowed-gate"}
    assert shadowed == {"whatever g1 moves, g9 moves for no more keys and no lower cap"}


@pytest.mark.parametrize(
    ("needs", "units"), [("[hot]", 249), ("[hot, tk]", 300), ('["1 of [tk, cold1]"]', 300)]
)
def test_a_gate_beside_a_tighter_or_other_one_is_not(needs, units):
    extra = (GATES["g1"], GATES["g1"] + "\n" + gate("g9", "client_hot", "outside", needs, units))
    assert not [one for one in weak_gates(platform(extra)) if one.found.startswith("whatever g1")]


def test_two_gates_alike_are_named_once():
    twin = (GATES["g1"], GATES["g1"] + "\n" + gate("g9", "client_hot", "outside", "[liq, hot]", 250))
    found = [one.found for one in weak_gates(platform(twin)) if one.rule == "shadowed-gate"]
    assert found == ["g1 and g9 open the same ways to the same keys"]


def test_a_quorum_in_one_hand_is_named():
    policy = platform()
    moved = policy.keys["cold2"].model_copy(update={"host": "h1"})
    shared = policy.model_copy(update={"keys": {**policy.keys, "cold2": moved}})
    named = [str(one) for one in shared_quorums(shared)]
    assert "host h1 alone has cold1, cold2 and so opens g2" in named
    assert {(one.kind, one.name) for one in shared_quorums(platform())} == {("zone", "inside")}


def test_smallest_sets_of_keys():
    world = ground(platform(), cast_for_reach(platform(), {}))
    g2 = next(way for way in world.ways if world.rules[way.rule].name == "g2")
    names = [{world.keys[key].name for key in keys} for keys in smallest_sets(world, g2.needs)]
    assert names == [{"cold1", "cold2"}, {"cold1", "cold3"}, {"cold2", "cold3"}]


def test_what_no_claim_mentions():
    assert uncovered(platform()) == ("insurance",)
    assert "clearing" in uncovered(harbour())
    assert "client/{client}/cash" not in uncovered(harbour())


# --- what changed, what runs -------------------------------------------------------------------


def test_a_difference_names_keys_and_caps():
    looser = (GATES["g1"], gate("g1", "client_hot", "outside", "[hot]", 300))
    found = difference(platform(), platform(looser))
    assert "g1 opens with hot" in found.newly_possible
    assert any("lets through 7200 USDT a day (all)" in words for words in found.newly_possible)
    assert any("300 USDT leaves per hour, instead of 250 USDT" in words for words in found.newly_possible)
    assert found.no_longer_possible == ()
    back = difference(platform(looser), platform())
    assert (back.newly_possible, len(back.no_longer_possible)) == ((), len(found.newly_possible))


def test_a_policy_allows_the_same_as_itself():
    for policy in (platform(), harbour()):
        found = difference(policy, policy)
        assert (found.newly_possible, found.no_longer_possible) == ((), ())


def test_a_gate_added_is_a_way_newly_possible():
    extra = (GATES["g7"], GATES["g7"] + "\n" + gate("g8", "client_cold", "outside", "[cold1]", 1))
    found = difference(platform(), platform(extra))
    assert "g8 moves USDT from client_cold to outside" in found.newly_possible
    assert found.no_longer_possible == ()


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_the_ledger_runs_what_the_proof_is_about(name):
    assert ledger_drift(load_policy(shipped_policy(name))) == ()


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_the_network_runs_what_the_proof_is_about(name):
    assert network_drift(load_policy(shipped_policy(name))) == ()


def test_a_network_that_compiles_otherwise_is_seen(monkeypatch):
    def generous(policy):
        flow = policy.flows[0].model_copy(update={"sources": ("web",), "targets": ("wallet",)})
        return network_compile.compile_flows(policy.model_copy(update={"flows": (*policy.flows[1:], flow)}))

    monkeypatch.setattr(drifting, "compile_flows", generous)
    assert network_drift(platform()) == (
        "the network lets web reach wallet, and the proof does not know it",
        "the proof lets web reach match, and the network does not",
    )


def test_a_ledger_that_compiles_otherwise_is_seen(monkeypatch):
    def forgetful(policy):
        gates = {name: one for name, one in policy.gates.items() if name != "sweep"}
        return ledger_compile.compile_policy(policy.model_copy(update={"gates": gates}))

    monkeypatch.setattr(drifting, "compile_policy", forgetful)
    found = ledger_drift(harbour())
    assert found == (
        "the proof opens sweep: USDC from house/fees to house/treasury, and the ledger does not",
    )


def test_observed_against_declared():
    world = ground(platform(), cast_for_reach(platform(), {}))
    observed = extend(world, (AddFlow("web", "wallet"), AddHolding("web", "hot")))
    assert drift(world, world) == ()
    assert drift(world, observed) == (
        "flow web -> wallet was observed and is not declared",
        "holding web has hot was observed and is not declared",
    )
    tighter = ground(platform(('"250 rolling 1 h"', '"249 rolling 1 h"')), cast_for_reach(platform(), {}))
    assert len(drift(world, tighter)) == 1
    assert "all 249 rolling" in drift(world, tighter)[0]


# --- pictures ----------------------------------------------------------------------------------


def test_a_picture_marks_what_fell_and_what_stands_open():
    drawn = picture(platform(), ["web"], "pivot", "vault")
    assert drawn.rooms[0].marked == {
        "web": "broken into",
        "match": "falls by web",
        "ledger": "falls by web",
        "risk": "falls by match",
        "wallet": "falls by risk",
    }
    by_owner = {room.name: room.marked for room in drawn.rooms if room.kind == "owner"}
    assert by_owner["clients"] == {"client_hot": "value can leave", "margin": "value can leave"}
    assert by_owner["outside"] == {"outside": "value can get here"}
    opened = {door.name for door in drawn.doors if door.kind == "gate" and door.is_open}
    assert opened == {"g1", "g3", "g4", "g6", "g7"}
    assert show_dot(drawn).count("->") == len(drawn.doors)
    assert "<svg" in draw(drawn)


def test_without_a_breach_nothing_is_marked():
    drawn = picture(platform())
    assert not any(room.marked for room in drawn.rooms)
    assert not any(door.is_open for door in drawn.doors)
