"""One edge explained: everything that is said of it is what the policy says, and nothing is left out."""

import pytest
from platforms import SUPPLIES, harbour, platform

from ringfence.proof.explaining import explain_edge
from ringfence.proof.questions import Fault


def told(policy, edge, facts=()):
    (found,) = explain_edge(policy, edge, facts)
    by_label = {}
    for label, words in found.facts:
        by_label.setdefault(label, []).append(words)
    return found, by_label


def test_a_withdrawal_is_explained_whole():
    found, of = told(harbour(), "withdraw")
    assert found.where.startswith("policies/venue.yaml:")
    assert of["moves"] == ["USDC, BTC, ETH from client/{client}/cash to outside/{client}"]
    assert of["checked by"] == ["ledger (service ledger) and vault (a contract that no service owns)"]
    assert of["opens with"] == [
        "client_key/{client} and officer_a (alice, on laptop_a) and wallet_key (signs on evidence)",
        "client_key/{client} and officer_b (bob, on laptop_b) and wallet_key (signs on evidence)",
    ]
    assert of["waits"] == ["1 h; client_key, officer_a, officer_b can cancel"]
    assert "USDC each: 100000 per 1 d, so at most 200000 USDC within any day" in of["limit"]
    assert "ETH all: 800 per 1 d, so at most 1600 ETH within any day" in of["limit"]
    assert of["opened alone by"] == ["no single service or key"]
    assert of["claim"] == ["one_thief_is_slow (proved assuming) is bounded by its limit"]


def test_an_accrual_names_who_works_it_out_and_the_claims_that_except_it():
    _, of = told(harbour(), "settle")
    assert of["moves only"] == [
        "what is owed (variation, funding, premium), as risk and ledger work out; a lie needs them all"
    ]
    assert "one_client_never_pays_for_another (proved) excepts it" in of["claim"]
    assert "opened alone by" in of
    assert "ledger (pivot, ledger and vault)" in of["opened alone by"][0]


def test_an_exchange_a_mandate_a_condition_and_a_step_are_explained():
    assert told(harbour(), "convert")[1]["price"] == ["its legs are worth the same within 1 %"]
    assert "under a standing mandate of client_key/{client}" in told(harbour(), "top_up")[1]["opens with"][0]
    assert told(harbour(), "release")[1]["only when"] == ["releasable"]
    moved = told(harbour(), "deleverage")[1]["moves"]
    assert moved == ["USDC from client/{client}/directional to client/{client}/directional"]


def test_what_fails_names_the_gate_it_fails_through():
    _, of = told(platform(), "g4", SUPPLIES)
    assert "client_money_stays_out_of_the_house (refuted) fails through it" in of["claim"]
    assert of["opened alone by"] == [
        "web (pivot, vault), match (pivot, vault), risk (contained, vault), liq (contained, vault)"
    ]
    assert of["opens with"] == ["liq (in risk)"]


def test_two_places_name_every_gate_between_them():
    found = explain_edge(harbour(), "client/{client}/cash -> client/{client}/hedge")
    assert [one.edge for one in found] == ["fund", "top_up"]


def test_a_flow_is_explained_by_what_falls_and_what_a_pull_would_change():
    _, of = told(platform(), "risk -> wallet", SUPPLIES)
    assert of["declared"] == ["port 9000"]
    assert of["only by it fall"] == ["from web: wallet; from match: wallet; from risk: wallet"]
    words = "no longer possible with web (pivot), on vault: 0 USDT leaves per hour, instead of 250 USDT"
    assert words in of["without it"]
    assert words in of["if wallet pulled"]
    assert any(
        one.startswith("newly possible with wallet (pivot), on vault: 250 USDT leaves per hour")
        for one in of["if wallet pulled"]
    )


def test_a_flow_beside_another_way_carries_no_fall_alone():
    _, of = told(platform(), "web -> ledger")
    assert of["only by it fall"] == ["no service: every fall it carries has another way"]


@pytest.mark.parametrize(
    ("edge", "reason"),
    [
        ("nothing", "`nothing` is no gate, exchange or waterfall step; there are deposit"),
        ("clearing -> outside", "no gate and no flow leads directly"),
        ("gateway -> wallet", "no flow lets gateway open a connection to wallet"),
        ("nowhere -> outside", "`nowhere` matches no compartment"),
    ],
)
def test_an_edge_that_is_none_is_refused(edge, reason):
    with pytest.raises(Fault, match=reason):
        explain_edge(harbour(), edge)
