"""Stories: what is told, what is replayed, and what stops a replay."""

import pytest
from platforms import harbour, platform

from ringfence.kernel.instant import HOUR_NS
from ringfence.proof.claims import prove
from ringfence.proof.cutoff import cast_of_size
from ringfence.proof.grounding import ground
from ringfence.proof.names import hop_of
from ringfence.proof.scratch import START, Scratch

MATCHING = "fills_by_a_broken_matching_engine"
BOUND = 'lost_by_trading_at_most: {each: {USDC: "20000 per 1 d"}}'


def verdict(policy, claim):
    return next(one for one in prove(policy) if one.claim == claim)


def story(policy, claim):
    return verdict(policy, claim).decided[0].story


@pytest.mark.parametrize(("claimed", "status"), [("20000", "proved"), ("19999", "refuted"), ("1", "refuted")])
def test_what_is_lost_by_trading_is_replayed_up_to_the_bound(claimed, status):
    found = verdict(harbour((BOUND, BOUND.replace("20000", claimed))), MATCHING)
    assert found.status == status
    if status == "refuted":
        told = found.decided[0].story
        assert told.steps[0] == "The attacker breaks into matching."
        assert "buys BTC-PERP from client/bob/hedge at 105000, while the index is 100000" in told.steps[1]


def test_without_a_daily_loss_a_bucket_can_lose_whatever_it_has():
    unlimited = ('limits: {leverage: 5, drawdown: "15 %", daily_loss: 5000 USDC}', "limits: {leverage: 5}")
    found = verdict(harbour(unlimited), MATCHING)
    assert (found.status, found.decided[0].answer.bound) == ("refuted", {"USDC": None})


def test_a_pivot_is_told_service_by_service():
    pushed = ("{from: ledger, to: gateway, port: 7003", "{from: gateway, to: ledger, port: 7003")
    told = verdict(harbour(pushed), "a_broken_gateway_moves_nothing")
    on_vault = next(one.story for one in told.decided if one.plane == "vault")
    assert on_vault.steps[:3] == (
        "The attacker breaks into gateway.",
        "gateway can open connections to matching, so matching falls too.",
        "gateway can open connections to ledger, so ledger falls too.",
    )
    assert "risk and ledger say together that it is owed" in on_vault.steps[-1]
    on_ledger = next(one.story for one in told.decided if one.plane == "ledger")
    assert "everyone who checks it is owned, so no key and no limit counts" in on_ledger.steps[-1]


def test_a_window_is_used_again_when_it_ends():
    wider = ('each: {USDC: "100000 per 1 d", BTC: "2 per', 'each: {USDC: "100000 per 1 h", BTC: "2 per')
    told = story(harbour(wider), "one_thief_is_slow")
    assert told.holds
    assert "moves 200000.000001 USDC" in told.steps[-1]


def test_a_condition_that_is_not_built_leaves_a_claim_open():
    silent = (
        'needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]',
        "needs: [wallet_key]\n    when: operator_silent 30 d",
    )
    found = verdict(harbour(silent), "all_officers_cannot_empty_a_client")
    assert found.status == "open"
    assert "GATE_WORD_NOT_ENFORCED" in found.words


def test_a_never_claim_tells_who_signs():
    told = story(platform(), "client_money_stays_out_of_the_house")
    assert told.holds
    assert told.steps == (
        "liq signs by hand; the claim does not leave it out.",
        "g4 (platform.yaml:31) moves 1 USDT from margin to house, signed by liq.",
    )


def test_through_clearing_nothing_is_assumed_to_be_owed():
    words = 'assets: [USDC], needs: [risk_key], on: [ledger], limit: {each: {USDC: "1 per 1 d"}}'
    gate = f'  pay_in: {{from: "client/{{client}}/cash", to: clearing, {words}}}\n  withdraw:\n'
    found = verdict(harbour(("  withdraw:\n", gate)), "one_client_never_pays_for_another")
    assert found.status == "open"
    assert "moves what nobody owes" in found.decided[0].answer.remarks[0]
    assert [hop.rule for hop in found.decided[0].answer.evidence.hops] == ["pay_in", "settle"]


@pytest.mark.parametrize(("waits", "later_ns"), [(True, HOUR_NS), (False, 0)])
def test_a_delay_is_waited_for_on_the_scratch_book(waits, later_ns):
    policy = harbour()
    world = ground(policy, cast_of_size(policy, {}, 1))
    scratch = Scratch(policy, world, "", waits=waits)
    hop = next(
        hop for hop in (hop_of(world, way) for way in range(len(world.ways))) if hop.rule == "withdraw"
    )
    scratch.hold(hop.source, hop.asset, 10)
    keys = [key.name for key in world.keys]
    assert scratch.ask([hop], 4, keys, START) is None
    assert scratch.held(hop.source, hop.asset) == 6
    assert scratch.state.at == START + later_ns
    assert not scratch.state.pending()
    # Limits count when it fires, and the next request cannot be in the past.
    assert scratch.ask([hop], 6, keys, START) is None
    assert scratch.state.at == START + 2 * later_ns


def test_what_somebody_may_say_of_the_book_is_said_and_told():
    said = (
        'needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]',
        "needs: [wallet_key]\n    when: reconciled 1 d",
    )
    found = verdict(harbour(said), "all_officers_cannot_empty_a_client")
    assert found.status == "refuted"
    words = "somebody who may say so says that the book is reconciled, as withdraw asks"
    assert words in next(one.story for one in found.decided if one.story).assumed


def test_a_mandate_is_given_on_the_scratch_book_and_used():
    policy = harbour()
    world = ground(policy, cast_of_size(policy, {}, 1))
    scratch = Scratch(policy, world, "ledger")
    hops = (hop_of(world, way) for way in range(len(world.ways)))
    hop = next(hop for hop in hops if hop.rule == "top_up")
    scratch.hold(hop.source, hop.asset, 10)
    scratch.owe("margin_shortfall", hop, 10)
    keys = [key.name for key in world.keys if key.given]
    assert scratch.ask([hop], 4, keys, START) is None
    (given,) = scratch.state.ledger.tables.mandates.values()
    assert (given.mandate.gate, given.moved) == ("top_up", 4)
