"""Few members decide for any number: reach by the cut-off, amounts by the quotient, and what is refused."""

import pytest
from drawn_platforms import SERVICES, Sizes, drawn
from platforms import RING, harbour, read

from ringfence.kernel.instant import HOUR_NS
from ringfence.policy.model import KeyNeed, Quorum
from ringfence.proof.claims import prove
from ringfence.proof.cutoff import cast_for_amounts, cast_for_reach, cast_of_size, refused_features
from ringfence.proof.grounding import ground
from ringfence.proof.names import nodes, places
from ringfence.proof.reach import Index, Start, reach, spread, usable
from ringfence.proof.throughput import Span, most

VARIABLES = {"a": "client"}


def attack(world, seed):
    """Take a service, and the key of the named member now and then."""
    keys = {number for number, key in enumerate(world.keys) if key.name == "client_key/alice" and seed % 2}
    return Start(frozenset({seed % len(SERVICES)}), frozenset(keys))


def reached_patterns(policy, cast, seed, starts):
    """Where value of some places gets to, with every unnamed member called the same."""
    index = Index(ground(policy, cast))
    world = index.world
    can_use = usable(index, spread(index, attack(world, seed), "contained"), "ledger")
    sources = places(world, starts)
    named = {member.name: "*" for member in world.members if member.name != "alice"}
    found = reach(world, can_use.ways, nodes(world, sources)).by
    return {
        (
            "/".join(named.get(part, part) for part in world.place_of(node).name.split("/")),
            world.asset_of(node),
        )
        for node in found
    }


@pytest.mark.parametrize("members", [2, 3, 5, 10])
def test_reach_by_few_members_is_reach_by_many(members):
    for seed in range(60):
        policy = drawn(seed, Sizes(exchanges=1))
        starts = ("client/alice/x", "client/alice/y")
        few = reached_patterns(policy, cast_for_reach(policy, VARIABLES), seed, starts)
        # The expanded policy has the named member and enough others for any one rule to tell apart.
        many = reached_patterns(policy, cast_of_size(policy, VARIABLES, max(members, 3)), seed, starts)
        assert few == many, seed


@pytest.mark.parametrize("members", [2, 3, 5, 10])
def test_the_quotient_flow_is_the_expanded_flow(members):
    positive = 0
    for seed in range(80):
        policy = drawn(seed, Sizes(wide=False, caps_for_all=False))
        quotient = flow(policy, cast_for_amounts(policy, VARIABLES), seed, members - 1)
        expanded = flow(policy, cast_of_size(policy, VARIABLES, members - 1), seed, None)
        assert quotient == expanded, seed
        positive += expanded != 0
    assert positive > 10


@pytest.mark.parametrize("members", [2, 3, 5, 10])
def test_caps_over_a_family_bound_the_expanded_flow_from_above(members):
    for seed in range(80):
        policy = drawn(seed, Sizes(wide=False))
        quotient = flow(policy, cast_for_amounts(policy, VARIABLES), seed, members - 1)
        expanded = flow(policy, cast_of_size(policy, VARIABLES, members - 1), seed, None)
        assert quotient is None or expanded is None or quotient >= expanded, seed


def test_a_bound_for_any_number_of_members_bounds_each_number():
    for seed in range(80):
        policy = drawn(seed, Sizes(wide=False, caps_for_all=False))
        any_number = flow(policy, cast_for_amounts(policy, VARIABLES), seed, None)
        ten = flow(policy, cast_of_size(policy, VARIABLES, 9), seed, None)
        assert any_number is None or ten <= any_number, seed


@pytest.mark.parametrize("members", [3, 5, 10])
def test_what_leaves_for_anywhere_is_the_same_for_the_quotient(members):
    positive = 0
    for seed in range(80):
        policy = drawn(seed, Sizes(wide=False, caps_for_all=False, exchanges=2))
        quotient = flow(policy, cast_for_amounts(policy, VARIABLES), seed, members - 1, anywhere=True)
        expanded = flow(policy, cast_of_size(policy, VARIABLES, members - 1), seed, None, anywhere=True)
        assert quotient == expanded, seed
        positive += expanded != 0
    assert positive > 10


def flow(policy, cast, seed, others, *, anywhere=False):
    """The most of A that gets out of every client's x, when a service and perhaps alice's key are taken."""
    index = Index(ground(policy, cast))
    world = index.world
    can_use = usable(index, spread(index, attack(world, seed), "contained"), "ledger")
    sources = frozenset(number for number, place in enumerate(world.places) if place.name.endswith("/x"))
    outside = frozenset(number for number, place in enumerate(world.places) if place.external)
    sinks = None if anywhere else outside
    return most(world, can_use, 0, Span(sources, sinks, HOUR_NS, others)).units


# --- leaks that need many ----------------------------------------------------------------------


def test_a_leak_that_needs_three_members_is_found():
    policy = read(RING, "ring.yaml")
    assert len(cast_for_reach(policy, {"a": "client", "b": "client"}).members) == 2 + 3
    verdict = {one.claim: one for one in prove(policy)}["one_never_pays_for_another"]
    assert verdict.status == "refuted"
    # With two members there is no ring of three, and nothing would have been seen.
    two = ground(policy, cast_of_size(policy, {"a": "client", "b": "client"}, 0))
    assert two.ways == ()


def test_an_amount_that_grows_with_members_has_no_bound():
    verdicts = {one.claim: one for one in prove(read(RING, "ring.yaml"))}
    assert verdicts["one_client_alone"].decided[0].answer.bound == {"USDC": 20 * 10**6, "BTC": 2 * 10**8}
    assert verdicts["one_client_alone"].status == "proved"
    together = verdicts["all_clients_together"]
    assert together.decided[0].answer.bound == {"USDC": None, "BTC": None}
    # No replay with a few dozen members comes to a million, so it is open and not refuted.
    assert together.status == "open"


# --- what is out of the fragment ---------------------------------------------------------------


def test_a_quorum_over_members_is_refused_by_name():
    policy = harbour()
    over_members = (
        Quorum(
            count=2, of=(KeyNeed(key="client_key", member="{x}"), KeyNeed(key="client_key", member="{y}"))
        ),
    )
    sweep = policy.gates["sweep"].model_copy(update={"needs": over_members})
    changed = policy.model_copy(update={"gates": {**policy.gates, "sweep": sweep}})
    assert refused_features(policy) == ()
    assert "quorum over members" in refused_features(changed)[0]
    assert all(one.status == "vacuous" and "quorum over members" in one.words for one in prove(changed))


def test_a_gate_and_an_exchange_of_one_name_are_refused_by_name():
    policy = harbour()
    changed = policy.model_copy(
        update={"exchanges": {**policy.exchanges, "sweep": policy.exchanges["convert"]}}
    )
    assert "sweep is a gate and an exchange" in refused_features(changed)[0]
    assert all(one.status == "vacuous" and "whose limits" in one.words for one in prove(changed))


DESKS = """
ringfence: 1
name: desks
numeraire: USDC
assets: {USDC: {decimals: 0}}
parties: {fund: {kind: client, family: true}, desk: {kind: affiliate, family: true}, house: {kind: house}}
keys: {robot_key: {held_by: robot, signs: by_hand}}
compartments:
  outside: {kind: external, pinned: true}
  "fund/{fund}/{desk}": {owner: fund, role: client_money, accepts: [USDC]}
gates:
  pay:
    from: "fund/{fund}/{desk}"
    to: outside
    assets: [USDC]
    needs: [robot_key]
    on: [vault]
    limit: {each: {USDC: "10 rolling 1 d"}}
services: {robot: {zone: z, identity: "spiffe://desks/robot", holds: robot_key}}
zones: [z]
claims:
  one_desk:
    for: {f: fund, d: desk}
    compromised: robot
    mode: contained
    plane: vault
    moves: "fund/{f}/{d} -> outside"
    at_most: {USDC: "10 per 1 d"}
  one_fund:
    for: {f: fund}
    compromised: robot
    mode: contained
    plane: vault
    moves: "fund/{f}/* -> outside"
    at_most: {USDC: "10 per 1 d"}
"""


def test_a_cap_for_each_counts_for_the_members_of_all_families_together():
    verdicts = {one.claim: one for one in prove(read(DESKS, "desks.yaml"))}
    assert verdicts["one_desk"].decided[0].answer.bound == {"USDC": 10}
    assert verdicts["one_desk"].holds
    # One fund has any number of desks, and each of them its own cap.
    assert verdicts["one_fund"].decided[0].answer.bound == {"USDC": None}
    assert verdicts["one_fund"].status == "refuted"
