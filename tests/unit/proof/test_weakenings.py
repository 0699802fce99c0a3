"""Weakenings of harbour, one at a time: each is caught by a named claim, or by a finding before any proof.

Each row is what somebody might write on a bad day, and who says no. Nothing here tells the engines where to
look.
"""

import pytest
from platforms import harbour_text, include

from ringfence.policy.parse import parse, read
from ringfence.proof.claims import prove
from ringfence.proof.independence import shared_quorums

WITHDRAW = "  withdraw:\n"


def added(name, source, target, needs, words=""):
    """Add a gate for USDC before the withdrawals."""
    words = words or 'limit: {each: {USDC: "1000 per 1 d"}}'
    line = f"{name}: {{from: {source}, to: {target}, assets: [USDC], needs: {needs}, on: [ledger], {words}}}"
    return (WITHDRAW, f"  {line}\n{WITHDRAW}")


CASH, HEDGE, BET = (f'"client/{{client}}/{name}"' for name in ("cash", "hedge", "directional"))
CONVERTED = '    accrual: debt_repayment\n    computed_by: [risk, ledger]\n    price: "within 1 % of index"\n'
EVIDENCE = "[risk_key, ledger_key]"
OFFICERS = '["2 of [officer_a, officer_b]"]'


CAUGHT_BY_A_CLAIM = {
    "the hedge covers what the bets cannot pay": (
        [
            ("      - cover: insurance/directional\n", '      - cover: "client/{client}/hedge"\n'),
            (
                "  cover:\n    from: [insurance/directional, insurance/hedge]",
                '  cover:\n    from: [insurance/directional, insurance/hedge, "client/{client}/hedge"]',
            ),
        ],
        "a_strategy_never_drains_another",
    ),
    "clients' cash covers what the hedge cannot pay": (
        [
            ("steps: [own, {cover: insurance/hedge}]", 'steps: [own, {cover: "client/{client}/cash"}]'),
            (
                "  cover:\n    from: [insurance/directional, insurance/hedge]",
                '  cover:\n    from: [insurance/directional, insurance/hedge, "client/{client}/cash"]',
            ),
        ],
        "the_long_term_holding_is_out_of_reach",
    ),
    "the client's signature is dropped from withdrawals": (
        [("needs: [client_key, wallet_key,", "needs: [wallet_key,")],
        "all_officers_cannot_empty_a_client",
    ),
    "the officer is dropped from withdrawals": (
        [('wallet_key, "1 of [officer_a, officer_b]"]', "wallet_key]")],
        "no_single_break_in_withdraws",
    ),
    "any one of the three may withdraw": (
        [
            (
                'needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]',
                'needs: ["1 of [client_key, officer_a, officer_b]", wallet_key]',
            )
        ],
        "all_officers_cannot_empty_a_client",
    ),
    "the withdrawal window is an hour": (
        [('each: {USDC: "100000 per 1 d", BTC: "2 per', 'each: {USDC: "100000 per 1 h", BTC: "2 per')],
        "one_thief_is_slow",
    ),
    "the withdrawal cap is for everybody only": (
        [('each: {USDC: "100000 per 1 d", BTC: "2 per 1 d", ETH: "40 per 1 d"}\n      all', "all")],
        "one_thief_is_slow",
    ),
    "withdrawals leave from a bucket too": (
        [
            (
                'from: "client/{client}/cash"\n    to: "outside/{client}"',
                'from: ["client/{client}/cash", "client/{client}/hedge"]\n    to: "outside/{client}"',
            ),
            ('each: {USDC: "100000 per 1 d", BTC: "2 per', 'each: {USDC: "150000 per 1 d", BTC: "2 per'),
        ],
        "one_thief_is_slow",
    ),
    "requests are pushed to the ledger": (
        [("{from: ledger, to: gateway, port: 7003", "{from: gateway, to: ledger, port: 7003")],
        "a_broken_gateway_moves_nothing",
    ),
    "transfers are pushed to the ledger by risk": (
        [("{from: ledger, to: risk, port: 7002", "{from: risk, to: ledger, port: 7002")],
        "a_broken_gateway_moves_nothing",
    ),
    "the client's token ends at the gateway": (
        [("{per: client, held_by: client, form: signature", "{per: client, held_by: client, form: bearer")],
        "a_broken_gateway_moves_nothing",
    ),
    "the officers' sessions end at the gateway": (
        [
            (
                "{person: alice, host: laptop_a, form: signature",
                "{person: alice, host: laptop_a, form: session",
            ),
            ("{person: bob, host: laptop_b, form: signature", "{person: bob, host: laptop_b, form: session"),
        ],
        "a_broken_gateway_moves_nothing",
    ),
    "the wallet holds an officer's key and the client's": (
        [
            ("holds: [wallet_key]", "holds: [wallet_key, officer_a, client_key]"),
        ],
        "a_broken_wallet_pays_nothing_out",
    ),
    "the wallet alone says what arrived": (
        [
            ("computed_by: [watcher, ledger]", "computed_by: [wallet]"),
            ("needs: [watcher_key, ledger_key]", "needs: [wallet_key]"),
        ],
        "a_broken_wallet_mints_nothing",
    ),
    "risk alone says what is owed": (
        [("accrual: fees\n    computed_by: [risk, ledger]", "accrual: fees\n    computed_by: [risk]")],
        "a_broken_risk_engine_moves_nothing",
    ),
    "cash may be put into clearing": (
        [added("pay_in", CASH, "clearing", "[client_key]")],
        "one_client_never_pays_for_another",
    ),
    "clearing may pay the treasury": (
        [added("skim", "clearing", "house/treasury", OFFICERS)],
        "one_client_never_pays_for_another",
    ),
    "a bucket may feed the insurance unasked": (
        [added("tithe", HEDGE, "insurance/hedge", EVIDENCE)],
        "one_client_never_pays_for_another",
    ),
    "the penalty is no longer owed but taken": (
        [
            (
                "    accrual: liquidation_surplus\n    computed_by: [risk, ledger]\n  penalty_hedge",
                '    limit: {each: {USDC: "1000 per 1 d"}}\n  penalty_hedge',
            )
        ],
        "one_client_never_pays_for_another",
    ),
    "fees are no longer owed but taken": (
        [
            (
                "    accrual: fees\n    computed_by: [risk, ledger]\n",
                '    limit: {each: {USDC: "1000 per 1 d"}}\n',
            )
        ],
        "client_money_never_becomes_house_money",
    ),
    "cash goes to the house by the risk key": (
        [added("charge", CASH, "house/fees", EVIDENCE)],
        "client_money_never_becomes_house_money",
    ),
    "an adjustment needs no officer": (
        [
            (
                'needs: ["2 of [officer_a, officer_b]"]\n    reason: required',
                "needs: [ledger_key]\n    reason: required",
            )
        ],
        "client_money_never_becomes_house_money",
    ),
    "conversion names no price and is not owed": (
        [(CONVERTED, "")],
        "client_money_never_becomes_house_money",
    ),
    "money goes from hedge to directional on evidence": (
        [added("rebalance", HEDGE, BET, EVIDENCE)],
        "a_strategy_never_drains_another",
    ),
    "cash tops up the directional bucket without a mandate": (
        [added("top_up_bet", CASH, BET, EVIDENCE, "accrual: margin_shortfall, computed_by: [risk, ledger]")],
        "the_long_term_holding_is_out_of_reach",
    ),
    "one client's cash goes to another on evidence": (
        [added("lend", '"client/{a}/cash"', '"client/{b}/cash"', "[risk_key]")],
        "one_client_never_pays_for_another",
    ),
    "a block trade needs one signature": (
        [('needs: ["client_key/{a}", "client_key/{b}"]', 'needs: ["client_key/{a}"]')],
        "a_stolen_key_stays_at_home",
    ),
    "no daily loss bounds a bucket": (
        [
            (
                'limits: {leverage: 5, drawdown: "15 %", daily_loss: 5000 USDC}',
                'limits: {leverage: 5, drawdown: "15 %"}',
            )
        ],
        "fills_by_a_broken_matching_engine",
    ),
    "matching says what the prices are": (
        [
            (
                "{from: marks, to: [matching, risk], port: 7008",
                "{from: matching, to: [marks, risk], port: 7008",
            ),
            ("compromised: [matching]\n    mode: contained", "compromised: [matching]\n    mode: pivot"),
        ],
        "fills_by_a_broken_matching_engine",
    ),
}

CAUGHT_BY_A_FINDING = {
    "both officers share a laptop": [("host: laptop_b", "host: laptop_a")],
    "both officers are one person": [("person: bob", "person: alice")],
    "a gate without a limit": [(' limit: {all: {USDC: "1000000 per 1 d"}}\n  adjust', "\n  adjust")],
    "a settlement over every compartment of a client": [
        (
            '["client/{client}/hedge", "client/{client}/directional", insurance/hedge',
            '["client/*/cash", insurance/hedge',
        )
    ],
    "a waterfall without a last owner": [
        ("    last: house/treasury\n    record: USDC-debt\n  hedge", "  hedge")
    ],
}


def test_there_are_at_least_twenty_five():
    assert len(CAUGHT_BY_A_CLAIM) + len(CAUGHT_BY_A_FINDING) >= 25


@pytest.mark.parametrize("weakening", CAUGHT_BY_A_CLAIM)
def test_a_named_claim_catches(weakening):
    changes, claim = CAUGHT_BY_A_CLAIM[weakening]
    # Read without checking: a finding that would refuse it first is no excuse for the proof.
    policy = read(harbour_text(*changes), "policies/venue.yaml", include).policy
    red = {verdict.claim: verdict.status for verdict in prove(policy) if not verdict.holds}
    assert claim in red, red
    assert red[claim] in ("refuted", "open")


@pytest.mark.parametrize("weakening", CAUGHT_BY_A_FINDING)
def test_a_finding_catches(weakening):
    parsed = parse(harbour_text(*CAUGHT_BY_A_FINDING[weakening]), "policies/venue.yaml", include)
    assert parsed.errors or (parsed.policy is not None and shared_quorums(parsed.policy))


ADDED_AND_FINE = {
    "a pool may pay a client by two officers": added("gift", "insurance/hedge", CASH, OFFICERS),
    "the house may fill a pool by two officers": added(
        "more", "house/treasury", "insurance/hedge", OFFICERS, 'limit: {all: {USDC: "1 per 1 d"}}'
    ),
}


@pytest.mark.parametrize("name", ADDED_AND_FINE)
def test_a_gate_that_is_a_step_of_the_invariant_refuses_no_exception(name):
    policy = read(harbour_text(ADDED_AND_FINE[name]), "policies/venue.yaml", include).policy
    verdicts = {verdict.claim: verdict for verdict in prove(policy)}
    assert verdicts["one_client_never_pays_for_another"].status == "proved"


def test_a_gift_between_clients_beside_settlement_refuses_it():
    """Even signed by the giver: what nobody owed would leave the receiver's bucket as a settlement."""
    gift = added("gift", '"client/{a}/cash"', '"client/{b}/hedge"', '["client_key/{a}"]')
    policy = read(harbour_text(gift), "policies/venue.yaml", include).policy
    found = {verdict.claim: verdict for verdict in prove(policy)}["one_client_never_pays_for_another"]
    assert found.status == "open"
    assert any("gift" in words for words in found.decided[0].answer.remarks)


def test_a_mandate_counts_as_a_signature_that_is_left_out():
    words = 'for: {a: client}, never: "client/{a}/cash -> client/{a}/hedge", except: [settle]'
    claim = f"claims:\n  cash_stays: {{{words}, without: [client_key, officer_a, officer_b]}}\n"
    text = harbour_text(("claims:\n", claim))
    policy = read(text, "policies/venue.yaml", include).policy
    assert {verdict.claim: verdict for verdict in prove(policy)}["cash_stays"].status == "proved"
    policy = read(text.replace("    standing: client_key\n", ""), "policies/venue.yaml", include).policy
    assert {verdict.claim: verdict for verdict in prove(policy)}["cash_stays"].status == "refuted"


def test_harbour_itself_shares_no_quorum():
    parsed = parse(harbour_text(), "policies/venue.yaml", include)
    assert shared_quorums(parsed.policy) == ()


def test_a_claim_on_a_plane_whose_gates_lead_nowhere_near_is_vacuous():
    """Taken off the vault, a withdrawal is no longer what the claim there watches: green would mislead."""
    text = harbour_text()
    start = text.index(WITHDRAW)
    end = text.index("on: [", start)
    moved = text[:end] + "on: [ledger]" + text[text.index("]", end) + 1 :]
    policy = read(moved, "policies/venue.yaml", include).policy
    verdicts = {verdict.claim: verdict for verdict in prove(policy)}
    for claim in ("no_single_break_in_withdraws", "one_thief_is_slow"):
        assert verdicts[claim].status == "vacuous"
        assert "leads there, whoever signs" in verdicts[claim].words
