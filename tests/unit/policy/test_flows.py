# ruff: noqa: E501 - policies are written as a person writes them
"""Every flow of money that a platform has can be said in the language, and what is said is accepted.

Each flow names where it stands: in an example policy, or in words added to the venue. What the ledger does
with them is tested where the ledger is.
"""

import pytest

from ringfence.adapters.policy_files import include_beside
from ringfence.policy.diff import diff
from ringfence.policy.model import Condition, KeyNeed, Quorum
from ringfence.policy.parse import parse
from ringfence.policy.selectors import leg_ways, ways
from ringfence.wiring_files import load_policy, shipped_policy

VENUE = shipped_policy("venue")
IN_EXAMPLES = [
    ("a deposit", "venue", "deposit"),
    ("a transfer to a strategy", "venue", "fund"),
    ("a transfer from a strategy", "venue", "release"),
    ("variation, funding and option premium", "venue", "settle"),
    ("a fee", "venue", "fee"),
    ("a maker rebate", "venue", "rebate"),
    ("a liquidation surplus", "venue", "penalty_directional"),
    ("an insurance payout", "venue", "cover"),
    ("an insurance inflow", "venue", "fill_pool"),
    ("the last bearer pays", "venue", "last_resort"),
    ("a withdrawal with the client's consent", "venue", "withdraw"),
    ("a fee sweep", "venue", "sweep"),
    ("a capped automatic top-up", "venue", "top_up"),
    ("the correction of a mistake", "venue", "adjust"),
    ("a withdrawal by two of three operators with the client", "custodian", "withdraw"),
    ("an escape after silence", "custodian", "escape_acme"),
    ("a mirrored credit", "custodian", "mirror"),
    ("assets locked for a venue", "custodian", "lock"),
    ("a loan from the treasury, as a debt", "trading-desk", "lend"),
    ("interest on it", "trading-desk", "interest"),
    ("a payment between two legal persons", "trading-desk", "management_fee"),
]


@pytest.mark.parametrize(("flow", "policy", "gate"), IN_EXAMPLES, ids=[row[0] for row in IN_EXAMPLES])
def test_the_examples_have_a_gate_for_it(flow, policy, gate):
    loaded = load_policy(shipped_policy(policy))
    assert ways(loaded, loaded.gates[gate])


def test_a_client_to_client_block_needs_both_clients():
    venue = load_policy(VENUE)
    block = venue.exchanges["block"]
    assert block.needs == (KeyNeed(key="client_key", member="{a}"), KeyNeed(key="client_key", member="{b}"))
    assert all(leg_ways(venue, block))


def test_a_conversion_repays_a_debt_inside_its_band():
    convert = load_policy(VENUE).exchanges["convert"]
    assert convert.accrual == ("debt_repayment",)
    assert convert.price is not None
    assert convert.price.ppm == 10_000


def test_a_position_moves_between_own_buckets_at_the_mark():
    move = load_policy(shipped_policy("trading-desk")).exchanges["move_position"]
    assert (move.assets or ())[0] == "BTC-PERP"
    assert move.price is not None
    assert (move.price.ppm, move.price.of) == (0, "mark")


def test_an_institution_leaves_alone_after_silence():
    escape = load_policy(shipped_policy("custodian")).gates["escape_acme"]
    assert escape.needs == (KeyNeed(key="client_key", member="acme"),)
    assert escape.when == (Condition(word="operator_silent", length_ns=30 * 86_400 * 10**9),)
    assert escape.on == ("vault",)


def test_who_stops_and_who_lifts_is_said():
    halts = load_policy(shipped_policy("trading-desk")).halts
    assert set(halts) == {"freeze", "reduce_only", "stop"}
    assert halts["freeze"].lift == (
        Quorum(count=2, of=tuple(KeyNeed(key=name) for name in ("chief", "treasurer", "controller"))),
    )


def test_legal_persons_stand_in_a_tree():
    entities = load_policy(shipped_policy("trading-desk")).entities
    assert entities["northlight_fund_one"].part_of == "northlight_group"
    assert entities["northlight_group"].lei == "999900NRTHLGHTGRP063"


# --- words added to the venue ------------------------------------------------------------------

ADDED = {
    "staff have walls of their own": {
        "keys": "  staff_key: {per: staff, held_by: staff, signs: by_hand}\n",
        "compartments": '  "staff/{staff}/cash": {owner: staff, role: client_money, accepts: [USDC]}\n'
        '  "outside-staff/{staff}": {kind: external, pinned: true}\n',
        "gates": '  staff_withdraw: {from: "staff/{staff}/cash", to: "outside-staff/{staff}", assets: USDC, '
        'needs: [staff_key, "2 of [officer_a, officer_b]"], on: ledger, limit: {each: {USDC: "1000 per 1 d"}}}\n'
        '  staff_deposit: {from: outside, to: "staff/{staff}/cash", assets: USDC, accrual: receipts, '
        "needs: [watcher_key, ledger_key], on: ledger, computed_by: [watcher, ledger]}\n",
    },
    "interest from and to clients": {
        "gates": '  interest_charged: {from: "client/{client}/hedge", to: house/treasury, assets: USDC, '
        "needs: [risk_key, ledger_key], on: ledger, accrual: interest, computed_by: [risk, ledger]}\n"
        '  interest_paid: {from: house/treasury, to: "client/{client}/cash", assets: USDC, '
        "needs: [risk_key, ledger_key], on: ledger, accrual: interest, computed_by: [risk, ledger]}\n",
    },
    "a loan that the client asks for": {
        "gates": '  borrow: {from: house/treasury, to: "client/{client}/hedge", assets: USDC, '
        'needs: [risk_key, ledger_key], standing: "client_key/{client}", accrual: debt_draw, on: ledger, '
        'computed_by: [risk, ledger], limit: {each: {USDC: "50000 per 1 d"}, all: {USDC: "500000 per 1 d"}}}\n',
    },
    "give-up with the consent of both": {
        "exchanges": '  give_up: {legs: ["client/{a}/hedge -> client/{b}/hedge"], assets: [BTC-PERP, ETH-PERP], '
        'needs: ["client_key/{a}", "client_key/{b}", risk_key], price: at mark, on: ledger, '
        'limit: {each: {BTC-PERP: "1000 per 1 d", ETH-PERP: "1000 per 1 d"}}}\n',
    },
    "halts of every kind": {
        "halts": "".join(
            f"  {kind}: {{needs: risk_key, lift: \"2 of [officer_a, officer_b]\"}}\n"
            for kind in ("freeze", "withdrawals", "cancel_only", "reduce_only", "stop")
        ),
    },
    "a refilling bucket and a cap on each transfer": {
        "gates": '  petty: {from: house/fees, to: house/treasury, assets: USDC, needs: officer_a, on: ledger, '
        "limit: {each_transfer: {USDC: 100 USDC}, all: {USDC: 1000 refill 7 d}}}\n",
    },
}  # fmt: skip


def with_added(sections):
    text = VENUE.read_text()
    for section, words in sections.items():
        head, found, tail = text.partition(f"\n{section}:")
        if not found:
            text += f"\n{section}:\n{words}"
        else:
            comment, _, rest = tail.partition("\n")
            text = f"{head}{found}{comment}\n{words}{rest}"
    return text


@pytest.mark.parametrize("flow", ADDED)
def test_the_venue_can_say_it(flow):
    parsed = parse(with_added(ADDED[flow]), "venue.yaml", include_beside(VENUE))
    assert parsed.errors == ()
    if flow.startswith("staff"):
        assert parsed.findings == ()  # the note about the idle family is gone


def test_funding_every_hour_instead_of_every_four_is_one_change():
    """The interval is data of the instrument, so a change of it is a change of the policy."""
    perpetuals = (VENUE.parent / "instruments" / "perpetuals.yaml").read_text()
    changed = perpetuals.replace("funding: {every: 4 h", "funding: {every: 1 h")
    old, new = (
        parse(VENUE.read_text(), "venue.yaml", lambda _, text=text: text).policy
        for text in (perpetuals, changed)
    )
    assert old is not None
    assert new is not None
    (change,) = diff(old, new)
    assert str(change) == (
        'changes: instrument ENA-PERP funding {every: 4 h, cap: "2 %"} → {every: 1 h, cap: "2 %"}'
    )
