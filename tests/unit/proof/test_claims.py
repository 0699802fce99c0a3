"""Claims of the examples are decided as their names say; one word changed, and the right ones fall."""

import pytest
from platforms import harbour

from ringfence.proof.claims import prove
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy

HARBOUR = {
    "client_money_never_becomes_house_money": "proved",
    "one_client_never_pays_for_another": "proved",
    "a_strategy_never_drains_another": "proved",
    "the_long_term_holding_is_out_of_reach": "proved",
    "fills_by_a_broken_matching_engine": "proved",
    "a_broken_gateway_moves_nothing": "proved assuming",
    "a_broken_risk_engine_moves_nothing": "proved assuming",
    "a_broken_wallet_pays_nothing_out": "proved assuming",
    "a_broken_wallet_mints_nothing": "proved",
    "a_stolen_key_stays_at_home": "proved assuming",
    "all_officers_cannot_empty_a_client": "proved assuming",
    "one_thief_is_slow": "proved assuming",
    "no_single_break_in_withdraws": "proved assuming",
}

CLIENT_DROPPED = ("needs: [client_key, wallet_key,", "needs: [wallet_key,")


def statuses(policy):
    return {verdict.claim: verdict.status for verdict in prove(policy)}


@pytest.mark.parametrize("name", SHIPPED_POLICIES)
def test_every_claim_of_an_example_holds(name):
    for verdict in prove(load_policy(shipped_policy(name))):
        assert verdict.holds, f"{verdict.claim}: {verdict.status}: {verdict.words}"


def test_harbour_is_decided_as_its_claims_are_named():
    assert statuses(harbour()) == HARBOUR


def test_bounds_are_tight():
    bounds = {verdict.claim: verdict.decided[0].answer.bound for verdict in prove(harbour())}
    # A fixed window of a day can fall twice within any 24 hours.
    assert bounds["one_thief_is_slow"] == {
        "USDC": 2 * 100_000 * 10**6,
        "BTC": 2 * 2 * 10**8,
        "ETH": 80 * 10**18,
    }
    assert bounds["fills_by_a_broken_matching_engine"] == {"USDC": 2 * (5_000 + 5_000) * 10**6}
    assert bounds["no_single_break_in_withdraws"] == {"thefts": 2}


def test_a_claim_on_the_vault_names_what_it_assumes():
    verdicts = {verdict.claim: verdict for verdict in prove(harbour())}
    assert any("vault contract" in words for words in verdicts["one_thief_is_slow"].assumptions)
    assert verdicts["one_client_never_pays_for_another"].assumptions == ()
    trusted = verdicts["one_client_never_pays_for_another"].trusted
    assert any("settle keeps its invariant" in words for words in trusted)


def test_without_the_clients_signature_named_claims_turn_red_and_back():
    found = statuses(harbour(CLIENT_DROPPED))
    red = {claim for claim, status in found.items() if status == "refuted"}
    assert red == {"all_officers_cannot_empty_a_client", "no_single_break_in_withdraws"}
    assert {claim: status for claim, status in found.items() if claim not in red} == {
        claim: status for claim, status in HARBOUR.items() if claim not in red
    }
    assert statuses(harbour(CLIENT_DROPPED, (CLIENT_DROPPED[1], CLIENT_DROPPED[0]))) == HARBOUR


def test_the_story_has_three_steps_and_was_replayed():
    verdicts = {verdict.claim: verdict for verdict in prove(harbour(CLIENT_DROPPED))}
    story = verdicts["no_single_break_in_withdraws"].decided[0].story
    assert story.holds
    assert len(story.steps) == 3
    assert "steals officer_a (alice's) from laptop_a" in story.steps[0]
    assert "wallet_key signs on evidence" in story.steps[1]
    assert "from client/alice/cash to outside/alice" in story.steps[2]
    assert "policies/venue.yaml:" in story.steps[2]
    assert story.assumed == ("the delay of withdraw, 1 h, passes and nobody cancels",)
