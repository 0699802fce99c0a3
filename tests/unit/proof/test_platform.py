"""A platform worked out by hand: every cell of its table, and what the direction of one flow decides."""

import pytest
from platforms import GATES, SUPPLIES, gate, platform

from ringfence.proof.blast import blast
from ringfence.proof.claims import prove
from ringfence.proof.world import AddSupply

PUSHED = "{from: risk, to: wallet, port: 9000}"
PULLED = "{from: wallet, to: risk, port: 9000}"
ONLY_HOT = ("needs: [hot, liq]", "needs: [hot]")
WEB_TO_WALLET = ("flows:\n", "flows:\n  - {from: web, to: wallet, port: 1}\n")

ALL_FIVE = {"web", "match", "risk", "ledger", "wallet"}

CELLS = [
    # change, start, contained out / house, owned by pivot, pivot out / house
    ((), "web", 0, 0, ALL_FIVE, 250, 10),
    ((), "match", 0, 0, {"match", "risk", "ledger", "wallet"}, 250, 10),
    ((), "risk", 0, 10, {"ledger", "risk", "wallet"}, 250, 10),
    ((), "ledger", 0, 0, {"ledger"}, 0, 0),
    ((), "wallet", 0, 0, {"ledger", "wallet"}, 0, 0),
    ((), "treasury", 0, 0, {"treasury"}, 0, 0),
    ((ONLY_HOT,), "wallet", 250, 0, {"ledger", "wallet"}, 250, 0),
    ((WEB_TO_WALLET,), "web", 0, 0, ALL_FIVE, 250, 10),
    (((PUSHED, PULLED),), "web", 0, 0, {"web", "match", "risk", "ledger"}, 0, 10),
    (((PUSHED, PULLED),), "wallet", 0, 0, {"ledger", "risk", "wallet"}, 250, 10),
]


@pytest.mark.parametrize(("changes", "start", "out", "house", "owned", "pivot_out", "pivot_house"), CELLS)
def test_every_cell_is_exact(changes, start, out, house, owned, pivot_out, pivot_house):
    policy = platform(*changes)
    contained = blast(policy, [start], "contained", SUPPLIES)
    pivot = blast(policy, [start], "pivot", SUPPLIES)
    assert _per_hour(contained) == (out, house)
    assert set(contained.services) == {start}
    assert _per_hour(pivot) == (pivot_out, pivot_house)
    assert set(pivot.services) == owned


@pytest.mark.parametrize(("changes", "start", "out", "house", "owned", "pivot_out", "pivot_house"), CELLS)
def test_every_cell_is_the_same_where_the_ledger_checks_too(
    changes, start, out, house, owned, pivot_out, pivot_house
):
    """Owning the ledger voids nothing that the vault checks as well."""
    policy = platform(*changes, ("on: [vault]", "on: [ledger, vault]"))
    contained = blast(policy, [start], "contained", SUPPLIES)
    pivot = blast(policy, [start], "pivot", SUPPLIES)
    for plane in ("ledger", "vault"):
        assert _per_hour(contained, plane) == (out, house)
        assert _per_hour(pivot, plane) == (pivot_out, pivot_house)


def test_owning_the_ledger_opens_whatever_it_alone_checks():
    policy = platform((GATES["g5"], GATES["g5"].replace("[vault]", "[ledger]")))
    found = blast(policy, ["ledger"], "contained", (AddSupply("house", "USDT", 70),))
    assert found.planes["ledger"].out["hour"] == {"USDT": 70}
    assert found.planes["vault"].out["hour"] == {"USDT": 0}


def _per_hour(found, plane="vault"):
    moved = found.planes[plane]
    return moved.out["hour"]["USDT"], moved.to_house["hour"]["USDT"]


def test_an_open_gate_of_an_empty_compartment_moves_nothing():
    on_vault = blast(platform(), ["treasury"], "contained", SUPPLIES).planes["vault"]
    assert on_vault.gates == ("g5",)
    assert on_vault.out["day"] == {"USDT": 0}


def test_a_day_lets_through_twenty_four_rolling_hours_until_the_balance_is_gone():
    day = blast(platform(), ["risk"], "pivot", SUPPLIES).planes["vault"].out["day"]
    assert day == {
        "USDT": 2000
    }  # client_hot holds 2000, less than 24 x 250; nothing refills it without cold keys
    thief = blast(platform(), ["hot", "liq", "cold1", "cold2"], "contained", SUPPLIES).planes["vault"]
    assert thief.out["day"] == {"USDT": 24 * 250}


def test_a_push_turned_into_a_pull_takes_the_gateway_from_250_to_0():
    pushed = blast(platform(), ["web"], "pivot", SUPPLIES)
    pulled = blast(platform((PUSHED, PULLED)), ["web"], "pivot", SUPPLIES)
    assert (_per_hour(pushed)[0], _per_hour(pulled)[0]) == (250, 0)


@pytest.mark.parametrize(
    ("changes", "thefts", "status"),
    [
        ((), 2, "proved assuming"),
        ((ONLY_HOT,), 1, "refuted"),
        ((WEB_TO_WALLET,), 2, "proved assuming"),
        (((PUSHED, PULLED),), 2, "proved assuming"),
    ],
)
def test_the_fewest_keys_to_get_out(changes, thefts, status):
    verdict = _verdict(platform(*changes), "two_keys_are_needed")
    assert verdict.status == status
    assert verdict.decided[0].answer.bound == {"thefts": thefts}


def test_client_money_reaches_the_house_by_g4():
    verdict = _verdict(platform(), "client_money_stays_out_of_the_house")
    assert verdict.status == "refuted"
    assert [hop.rule for hop in verdict.decided[0].answer.evidence.hops] == ["g4"]


EARN = (
    "  earn: {from: margin, to: fees_earned, assets: [USDT], needs: [liq], on: [ledger, vault], "
    "accrual: fees, computed_by: [risk, ledger]}\n"
)
CLAIM = '{never: "role:client_money -> role:house_money"'
FEES_EARNED = (
    (
        "  house: {owner: house,",
        "  fees_earned: {owner: house, role: escrow, accepts: [USDT]}\n  house: {owner: house,",
    ),
    (GATES["g4"], EARN + gate("take", "fees_earned", "house", "[tk]", 10)),
    (CLAIM, CLAIM + ", except: [earn]"),
)


def test_it_becomes_true_when_the_house_takes_only_fees_that_were_earned():
    verdict = _verdict(platform(*FEES_EARNED), "client_money_stays_out_of_the_house")
    assert verdict.status == "proved"


def test_it_is_false_again_when_anything_else_reaches_the_fees():
    leak = (GATES["g5"], gate("g8", "margin", "fees_earned", "[lw]", 1) + "\n" + GATES["g5"])
    verdict = _verdict(platform(*FEES_EARNED, leak), "client_money_stays_out_of_the_house")
    assert verdict.status == "refuted"
    assert [hop.rule for hop in verdict.decided[0].answer.evidence.hops] == ["g8", "take"]


def _verdict(policy, name):
    return next(one for one in prove(policy, SUPPLIES) if one.claim == name)
