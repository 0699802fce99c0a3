"""The rule of a step, one row a reason and one row on each side of every edge."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from harbour import rules_of

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.operations import Move
from ringfence.planes.ledger.transfer import Facts, decide

RULES = rules_of()
CASH, HEDGE = "client/alice/cash", "client/alice/hedge"
MOVE = Move("fund", CASH, HEDGE, "USDC", 100)


def way(gate: str = "fund", source: str = CASH, target: str = HEDGE, **words: Any) -> Any:
    """A way of the harbour policy, with other words of its gate where a row asks for them."""
    start, end = RULES.place(source), RULES.place(target)
    assert start is not None
    assert end is not None
    found = RULES.way(gate, start, end)
    assert found is not None
    return replace(found, gate=replace(found.gate, **words))


GOOD = Facts(
    asset=RULES.assets["USDC"],
    source=RULES.place(CASH),
    target=RULES.place(HEDGE),
    way=way(),
    has_text=True,
    room_units=100,
    limit="each",
    entitled_units=100,
    free_units=100,
    total_room_units=100,
    debt_room_units=100,
)


def facts(**changes: Any) -> Facts:
    return msgspec.structs.replace(GOOD, **changes)


def move(**changes: Any) -> Move:
    return msgspec.structs.replace(MOVE, **changes)


OVER = ("room_units", "entitled_units", "free_units", "total_room_units")
WIDE: dict[str, Any] = dict.fromkeys(OVER, UNITS_MAX + 9) | {"debt_room_units": None}
RELEASE = way("release", HEDGE, CASH)
ADJUST = way("adjust", CASH, "house/treasury")
LINKED = way("adjust", CASH, "house/treasury", asks_for_text=False, reverses="required")
BAD_SIGNATURE = Refused(Reason.SIGNATURE_INVALID, "does not fit")
FAR = Refused(Reason.PRICE_OUTSIDE_BAND, "too far")

ACCEPTED_ROWS = [
    ("all edges met exactly", facts(), move()),
    ("one unit", facts(), move(units=1)),
    ("the largest amount", facts(**WIDE), move(units=UNITS_MAX)),
    ("nothing limits", facts(room_units=None, entitled_units=None, free_units=None), move()),
    ("releasable to the unit", facts(way=RELEASE, releasable_units=100), move()),
    ("a reason in words", facts(way=ADJUST, has_text=True), move()),
    ("reversed to the unit", facts(way=ADJUST, reverses=True, reversible_units=100), move()),
    ("no reversal where it is optional", facts(way=ADJUST, reverses=False), move()),
    ("a required reversal", facts(way=LINKED, reverses=True, reversible_units=100), move()),
]

REFUSED_ROWS = [
    (Reason.AMOUNT_NOT_POSITIVE, facts(), move(units=0)),
    (Reason.AMOUNT_NOT_POSITIVE, facts(), move(units=-1)),
    (Reason.AMOUNT_TOO_LARGE, facts(**WIDE), move(units=UNITS_MAX + 1)),
    (Reason.SOURCE_IS_TARGET, facts(), move(target=CASH)),
    (Reason.ASSET_UNKNOWN, facts(asset=None), move(asset="DOGE")),
    (Reason.COMPARTMENT_UNKNOWN, facts(source=None), move()),
    (Reason.COMPARTMENT_UNKNOWN, facts(target=None), move()),
    (Reason.MEMBER_NOT_OPEN, facts(closed_member="client alice"), move()),
    (Reason.NO_GATE_BETWEEN_COMPARTMENTS, facts(way=None), move()),
    (Reason.GATE_WORD_NOT_ENFORCED, facts(way=way(unenforced=("delay",))), move()),
    (Reason.ASSET_NOT_ACCEPTED, facts(asset=RULES.assets["USDC-debt"]), move(asset="USDC-debt")),
    (Reason.EXCHANGE_LEGS_DIFFER, facts(legs_differ="a leg is missing"), move()),
    (Reason.SIGNATURE_INVALID, facts(signing=BAD_SIGNATURE), move()),
    (Reason.NEEDS_NOT_MET, facts(unmet="client_key/alice"), move()),
    (Reason.REASON_TEXT_MISSING, facts(way=ADJUST, has_text=False), move()),
    (Reason.REVERSED_TRANSFER_UNKNOWN, facts(way=ADJUST, reverses=True), move()),
    (Reason.REVERSED_TRANSFER_UNKNOWN, facts(way=LINKED, reverses=False), move()),
    (Reason.REVERSAL_EXCEEDS_ORIGINAL, facts(way=ADJUST, reverses=True, reversible_units=99), move()),
    (Reason.REVERSAL_NOT_DECLARED, facts(reverses=True, reversible_units=100), move()),
    (Reason.GATE_FROZEN, facts(frozen="gate/fund"), move()),
    (Reason.COMPARTMENT_FROZEN, facts(frozen=f"compartment/{CASH}"), move()),
    (Reason.ASSET_FROZEN, facts(frozen="asset/USDC"), move()),
    (Reason.CONDITION_NOT_MET, facts(way=RELEASE, releasable_units=99), move()),
    (Reason.CONDITION_NOT_MET, facts(way=RELEASE, releasable_units=None), move()),
    (Reason.WATERFALL_STEP_SKIPPED, facts(waterfall=Refused(Reason.WATERFALL_STEP_SKIPPED, "")), move()),
    (Reason.GATE_LIMIT_EXCEEDED, facts(room_units=99), move()),
    (Reason.ENTITLEMENT_EXCEEDED, facts(entitled_units=99), move()),
    (Reason.FREE_BALANCE_TOO_LOW, facts(free_units=99), move()),
    (Reason.BALANCE_TOO_LARGE, facts(total_room_units=99), move()),
    (Reason.DEBT_CAP_EXCEEDED, facts(debt_room_units=99), move()),
    (Reason.PRICE_OUTSIDE_BAND, facts(price=FAR), move()),
]


@pytest.mark.parametrize(
    ("facts", "move"), [row[1:] for row in ACCEPTED_ROWS], ids=[r[0] for r in ACCEPTED_ROWS]
)
def test_a_step_inside_every_edge_is_accepted(facts, move):
    assert decide(facts, move) == Accepted()


@pytest.mark.parametrize(("reason", "facts", "move"), REFUSED_ROWS, ids=[row[0].name for row in REFUSED_ROWS])
def test_a_step_over_one_edge_is_refused_for_it(reason, facts, move):
    decision = decide(facts, move)
    assert isinstance(decision, Refused)
    assert decision.reason == reason


def test_the_first_reason_in_order_wins():
    """Break every rule at once, then mend them one by one: reasons come in the order of `Reason`."""
    broken: dict[str, Any] = {
        "asset": None,
        "closed_member": "client alice",
        "way": None,
        "legs_differ": "a leg is missing",
        "signing": BAD_SIGNATURE,
        "unmet": "client_key/alice",
        "frozen": "gate/fund",
        "waterfall": Refused(Reason.WATERFALL_STEP_SKIPPED, ""),
        "room_units": 0,
        "entitled_units": 0,
        "free_units": 0,
        "total_room_units": 0,
        "debt_room_units": 0,
        "price": FAR,
    }
    reasons = []
    for name in tuple(broken):
        decision = decide(facts(**broken), move())
        assert isinstance(decision, Refused)
        reasons.append(decision.reason)
        del broken[name]
    assert reasons == sorted(reasons)
    assert len(set(reasons)) == len(reasons)
    assert decide(facts(**broken), move()) == Accepted()


def test_a_refusal_names_the_policy_line_and_both_amounts():
    decision = decide(facts(room_units=40), move())
    assert isinstance(decision, Refused)
    assert decision.rule == RULES.gates["fund"].line
    assert decision.rule.startswith("harbour.yaml:")
    assert decision.words == "0.0001 USDC was asked of fund; its limit `each` leaves 0.00004 USDC"


REVERSING: dict[str, Any] = {"way": LINKED, "reverses": True, "reversible_units": 40}
SAID = [
    (
        facts(way=None),
        move(),
        Refused(
            Reason.NO_GATE_BETWEEN_COMPARTMENTS,
            f"the policy opens no gate fund from {CASH} to {HEDGE}",
        ),
    ),
    (
        facts(way=None),
        move(gate=""),
        Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, f"the policy opens no gate from {CASH} to {HEDGE}"),
    ),
    (
        facts(way=way(unenforced=("standing", "when"))),
        move(),
        Refused(
            Reason.GATE_WORD_NOT_ENFORCED,
            "fund uses `standing`, `when`, which this book does not enforce yet, so it stays shut",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(),
        move(asset="DOGE"),
        Refused(
            Reason.ASSET_NOT_ACCEPTED,
            f"fund moves BTC, ETH, USDC from {CASH} to {HEDGE}, not DOGE",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(way=replace(way(), assets=frozenset())),
        move(),
        Refused(
            Reason.ASSET_NOT_ACCEPTED,
            f"fund moves nothing from {CASH} to {HEDGE}, not USDC",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(way=LINKED),
        move(),
        Refused(
            Reason.REVERSED_TRANSFER_UNKNOWN,
            "adjust needs the id of the request that it reverses",
            RULES.gates["adjust"].line,
        ),
    ),
    (
        facts(reverses=True),
        move(),
        Refused(
            Reason.REVERSAL_NOT_DECLARED,
            "fund makes no reversals; leave the id out or use a gate with `reverses`",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(**(REVERSING | {"reversible_units": None})),
        move(),
        Refused(
            Reason.REVERSED_TRANSFER_UNKNOWN,
            f"the request to be reversed moved no USDC from {HEDGE} to {CASH}",
            RULES.gates["adjust"].line,
        ),
    ),
    (
        facts(**REVERSING),
        move(),
        Refused(
            Reason.REVERSAL_EXCEEDS_ORIGINAL,
            "0.00004 USDC is left to reverse, and 0.0001 USDC was asked",
            RULES.gates["adjust"].line,
        ),
    ),
    (
        facts(frozen="asset/USDC"),
        move(),
        Refused(
            Reason.ASSET_FROZEN,
            "asset/USDC is frozen; it moves nothing until it is resumed",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(way=RELEASE),
        move(),
        Refused(
            Reason.CONDITION_NOT_MET,
            "release opens when releasable, and nobody said how much is",
            RULES.gates["release"].line,
        ),
    ),
    (
        facts(way=RELEASE, releasable_units=99),
        move(),
        Refused(
            Reason.CONDITION_NOT_MET,
            "0.000099 USDC is releasable; margin holds the rest",
            RULES.gates["release"].line,
        ),
    ),
    (
        facts(entitled_units=40),
        move(),
        Refused(
            Reason.ENTITLEMENT_EXCEEDED,
            f"0.0001 USDC was asked of fund; 0.00004 USDC is owed by {CASH} to {HEDGE}",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(free_units=40),
        move(),
        Refused(
            Reason.FREE_BALANCE_TOO_LOW,
            f"{CASH} has 0.00004 USDC free, and 0.0001 USDC was asked",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(total_room_units=99),
        move(),
        Refused(Reason.BALANCE_TOO_LARGE, "a total of USDC would pass 2^128 - 1 units"),
    ),
    (
        facts(debt_room_units=40),
        move(),
        Refused(
            Reason.DEBT_CAP_EXCEEDED,
            f"{HEDGE} may owe 0.00004 USDC more, up to the cap",
            RULES.gates["fund"].line,
        ),
    ),
    (
        facts(mandate_units=40),
        move(),
        Refused(
            Reason.MANDATE_EXCEEDED,
            "0.00004 USDC is left of the mandate, and 0.0001 USDC was asked",
            RULES.gates["fund"].line,
        ),
    ),
    (facts(), move(units=0), Refused(Reason.AMOUNT_NOT_POSITIVE, "the amount was 0 units; move at least 1")),
    (
        facts(),
        move(units=UNITS_MAX + 1),
        Refused(Reason.AMOUNT_TOO_LARGE, f"the amount was {UNITS_MAX + 1} units; move at most 2^127 - 1"),
    ),
    (
        facts(),
        move(target=CASH),
        Refused(Reason.SOURCE_IS_TARGET, f"{CASH} is both source and target; name two"),
    ),
    (facts(asset=None), move(), Refused(Reason.ASSET_UNKNOWN, "the policy declares no asset USDC")),
    (
        facts(source=None),
        move(),
        Refused(Reason.COMPARTMENT_UNKNOWN, f"the policy declares no compartment {CASH}"),
    ),
    (
        facts(target=None),
        move(),
        Refused(Reason.COMPARTMENT_UNKNOWN, f"the policy declares no compartment {HEDGE}"),
    ),
    (
        facts(legs_differ="a leg is missing"),
        move(),
        Refused(Reason.EXCHANGE_LEGS_DIFFER, "a leg is missing", RULES.gates["fund"].line),
    ),
    (
        facts(unmet="client_key/alice"),
        move(),
        Refused(
            Reason.NEEDS_NOT_MET, "fund needs client_key/alice, which did not sign", RULES.gates["fund"].line
        ),
    ),
    (
        facts(way=way(asks_for_text=True), has_text=False),
        move(),
        Refused(Reason.REASON_TEXT_MISSING, "fund needs a reason in words", RULES.gates["fund"].line),
    ),
]


@pytest.mark.parametrize(("facts", "move", "refused"), SAID, ids=[row[2].words[:40] for row in SAID])
def test_a_refusal_says_what_was_found_and_what_would_be_right(facts, move, refused):
    assert decide(facts, move) == refused
