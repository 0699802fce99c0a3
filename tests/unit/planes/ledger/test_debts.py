"""Debts that are drawn, the interest they bear, and limits that count in value: each edge from both sides."""

from dataclasses import replace

import msgspec
import pytest
from harbour import BTC, EVIDENCE, NOON, TEXT, USDC, Harbour, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import DAY_NS, HOUR_NS, MINUTE_NS, Instant
from ringfence.kernel.money import PPM
from ringfence.planes.ledger.drawing import drawable_units, drawn_debt
from ringfence.planes.ledger.interest import INTEREST, YEAR_NS
from ringfence.planes.ledger.operations import Freeze, Move
from ringfence.planes.ledger.payments import collection_links

HEDGE, CASH, TREASURY = "client/alice/hedge", "client/alice/cash", "house/treasury"
LENDER = ("client_key/alice", *EVIDENCE)
GATES = """
  borrow: {from: house/treasury, to: "client/{client}/hedge", assets: USDC, on: ledger,
    needs: ["client_key/{client}", risk_key, ledger_key], accrual: debt_draw, computed_by: [risk, ledger],
    limit: {all: {USDC: "900 per 1 d"}}}
  interest_charged: {from: "client/{client}/hedge", to: house/treasury, assets: USDC, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  interest_paid: {from: house/treasury, to: "client/{client}/cash", assets: ETH, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  move_house: {from: house/treasury, to: house/rounding, assets: [USDC, BTC, ETH], on: ledger,
    needs: officer_a, limit: {valued_in: USDC, each_transfer: {USDC: 1500 USDC},
    all: {USDC: "2000 per 1 d"}}}
exchanges:"""
DESK = (
    TEXT.replace("\nexchanges:", GATES, 1)
    .replace("{debt_in: USDC, decimals: 6", '{debt_in: USDC, decimals: 6, interest: "8 % per year"', 1)
    .replace(
        'ETH:  {decimals: 18, haircut: "7 %"', 'ETH:  {decimals: 18, haircut: "7 %", interest: "2 % per year"'
    )
)
DEBT = next(name for name, rule in rules_of().assets.items() if rule.debt_in)


@pytest.fixture
def desk():
    harbour = Harbour(DESK)
    harbour.endow(TREASURY, 2_000 * USDC)
    return harbour


def draw(units, source=TREASURY, target=HEDGE):
    return Move("borrow", source, target, "USDC", units)


def wait(desk, length_ns):
    desk.at = Instant(desk.at + length_ns)


def test_the_words_of_debts_leave_no_note_behind():
    rules = rules_of(DESK)
    notes = " ".join(str(note) for note in rules.notes)
    assert "interest" not in notes
    assert "valued_in" not in notes
    assert not any(rules.gates[name].unenforced for name in ("borrow", "interest_charged", "move_house"))


def test_interest_that_no_gate_moves_is_noted():
    text = TEXT.replace(
        "debt_in: USDC, decimals: 6", 'debt_in: USDC, decimals: 6, interest: "8 % per year"', 1
    )
    assert any(f"{DEBT} bears interest" in str(note) for note in rules_of(text).notes)


# --- drawing -----------------------------------------------------------------------------------


def test_a_draw_books_its_coins_and_its_debt_together(desk):
    outcome = desk.move(draw(300 * USDC), *LENDER)
    assert {(entry.asset, entry.units) for entry in outcome.entries} == {
        ("USDC", 300 * USDC),
        (DEBT, 300 * USDC),
    }
    assert desk.state.balance(HEDGE, "USDC") == desk.state.balance(HEDGE, DEBT) == 300 * USDC
    assert desk.state.balance(TREASURY, DEBT) == -300 * USDC
    desk.state.check_conservation()


def test_a_draw_needs_its_keys_room_coins_and_an_open_debt(desk):
    assert desk.reason(draw(1), *EVIDENCE) == Reason.NEEDS_NOT_MET
    assert desk.reason(draw(900 * USDC + 1), *LENDER) == Reason.GATE_LIMIT_EXCEEDED
    desk.must(Freeze(f"asset/{DEBT}", "drill"))
    assert desk.reason(draw(1), *LENDER) == Reason.ASSET_FROZEN


@pytest.mark.parametrize("scope", ["asset/USDC", "gate/borrow", f"compartment/{HEDGE}", "asset/USDC-debt"])
def test_a_draw_stops_where_its_coins_its_debt_or_its_way_is_frozen(desk, scope):
    desk.must(Freeze(scope, "drill"))
    reasons = (Reason.ASSET_FROZEN, Reason.GATE_FROZEN, Reason.COMPARTMENT_FROZEN)
    assert desk.reason(draw(1), *LENDER) in reasons


def test_what_reverses_nothing_says_so_before_it_is_priced_or_lent(desk):
    desk.endow(TREASURY, BTC, "BTC")
    assert desk.reason(draw(1), *LENDER, reverses=7) == Reason.REVERSAL_NOT_DECLARED
    assert desk.reason(house(1), "officer_a", reverses=7) == Reason.REVERSAL_NOT_DECLARED
    assert desk.reason(house(1), "officer_a") == Reason.PRICE_MISSING


def test_a_draw_takes_what_the_lender_has(desk):
    desk.state.ledger.tables.move(TREASURY, "outside", "USDC", 1_900 * USDC)
    desk.state.ledger.tables.commit()
    assert desk.reason(draw(100 * USDC + 1), *LENDER) == Reason.FREE_BALANCE_TOO_LOW
    desk.move(draw(100 * USDC), *LENDER)


def test_a_draw_stops_at_the_cap_of_the_debt():
    desk = Harbour(DESK.replace("debt_in: USDC, decimals: 6", "debt_in: USDC, decimals: 6, cap: 250 USDC", 1))
    desk.endow(TREASURY, 2_000 * USDC)
    desk.move(draw(100 * USDC), *LENDER)
    assert desk.reason(draw(150 * USDC + 1), *LENDER) == Reason.DEBT_CAP_EXCEEDED
    desk.move(draw(150 * USDC), *LENDER)


def test_only_the_last_of_the_waterfall_lends():
    text = DESK.replace("borrow: {from: house/treasury", "borrow: {from: house/fees", 1)
    text = text.replace("house_money, accepts: [USDC]}", "house_money, accepts: [USDC, USDC-debt]}", 1)
    desk = Harbour(text)
    desk.endow("house/fees", 100 * USDC)
    refused = desk.do(desk.request(draw(1, "house/fees"), *LENDER)).decision
    assert refused.reason == Reason.WATERFALL_DOES_NOT_NAME_IT
    words = f"the waterfall of {HEDGE} does not have house/fees last with a debt in USDC"
    assert (refused.words, refused.rule) == (words, desk.state.rules.gates["borrow"].line)


@pytest.mark.parametrize(
    ("pattern", "words", "found"),
    [
        ("client/{client}/hedge", {}, None),
        ("client/{client}/hedge", {"waterfall": None}, f"the waterfall of {HEDGE} does not have"),
        ("client/{client}/hedge", {"record": None}, f"the waterfall of {HEDGE} does not have"),
        ("client/{client}/hedge", {"record": "ETH"}, f"the waterfall of {HEDGE} does not have"),
        ("client/{client}/hedge", {"accepts": frozenset({"USDC"})}, f"{HEDGE} takes no {DEBT}"),
        (TREASURY, {"accepts": frozenset({"USDC"})}, f"{TREASURY} takes no {DEBT}"),
        (TREASURY, {"accepts": None}, None),
    ],
)
def test_a_draw_is_recorded_as_the_debt_of_the_waterfall_where_both_ends_take_it(desk, pattern, words, found):
    ledger = desk.state.ledger
    gate, places = (
        ledger.rules.gates["borrow"],
        {path: ledger.rules.place(path) for path in (TREASURY, HEDGE)},
    )
    for path, place in places.items():
        if place.rule.pattern == pattern:
            fall = place.rule.waterfall
            if "record" in words:
                words = {"waterfall": replace(fall, record=words["record"])}
            places[path] = msgspec.structs.replace(place, rule=replace(place.rule, **words))
    drawn = drawn_debt(ledger, gate, places[TREASURY], places[HEDGE], "USDC")
    if found is None:
        assert drawn == ledger.rules.assets[DEBT]
    else:
        assert (drawn.reason, drawn.rule) == (Reason.WATERFALL_DOES_NOT_NAME_IT, gate.line)
        assert drawn.words.startswith(found)


@pytest.mark.parametrize(("drawn", "units"), [(0, 250), (249, 1), (250, 0), (251, 0)])
def test_what_may_be_drawn_is_what_the_cap_leaves(desk, drawn, units):
    ledger = desk.state.ledger
    ledger.tables.move(TREASURY, HEDGE, DEBT, drawn)
    capped = replace(ledger.rules.assets[DEBT], debt_cap_units=250)
    assert drawable_units(ledger, capped, ledger.rules.place(HEDGE)) == units
    assert drawable_units(ledger, ledger.rules.assets[DEBT], ledger.rules.place(HEDGE)) is None


def test_a_drawn_debt_is_repaid_by_the_declared_exchange_and_never_above_it(desk):
    desk.move(draw(300 * USDC), *LENDER)

    def repay(debt, coins):
        legs = (
            Move("convert", HEDGE, TREASURY, DEBT, debt),
            Move("convert", HEDGE, TREASURY, "USDC", coins),
        )
        return desk.request(legs, *EVIDENCE, exchange="convert")

    assert desk.refuses(repay(300 * USDC + 1, 300 * USDC)) == Reason.ENTITLEMENT_EXCEEDED
    assert desk.refuses(repay(200 * USDC, 199 * USDC - 2 * USDC)) == Reason.PRICE_OUTSIDE_BAND
    desk.must(repay(200 * USDC, 200 * USDC))
    assert desk.state.balance(HEDGE, DEBT) == desk.state.balance(HEDGE, "USDC") == 100 * USDC


# --- interest ----------------------------------------------------------------------------------


def pay_interest(units, source=HEDGE, target=TREASURY, gate="interest_charged", asset="USDC"):
    return Move(gate, source, target, asset, units)


def test_a_debt_bears_exactly_its_rate(desk):
    desk.move(draw(365 * USDC), *LENDER)
    assert desk.state.ledger.tables.accruing == {(HEDGE, DEBT): (desk.at, 0)}
    assert desk.reason(pay_interest(1), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    wait(desk, 10 * DAY_NS)  # 365 x 8 % x 10 / 365
    assert desk.reason(pay_interest(800_001), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    desk.move(pay_interest(800_000), *EVIDENCE)
    assert desk.reason(pay_interest(1), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED


def test_interest_owed_is_collected_with_the_other_charges_and_bears_none_itself(desk):
    desk.move(draw(365 * USDC), *LENDER)
    wait(desk, 20 * DAY_NS)
    (link,) = collection_links(desk.state, desk.at)
    assert link == pay_interest(1_600_000)
    desk.move(link, *EVIDENCE)
    assert collection_links(desk.state, desk.at) == ()


def test_interest_stops_with_the_debt(desk):
    desk.move(draw(365 * USDC), *LENDER)
    wait(desk, 10 * DAY_NS)
    legs = (
        Move("convert", HEDGE, TREASURY, DEBT, 365 * USDC),
        Move("convert", HEDGE, TREASURY, "USDC", 365 * USDC),
    )
    desk.move(legs, *EVIDENCE, exchange="convert")
    wait(desk, 300 * DAY_NS)
    assert desk.state.owed(INTEREST, HEDGE, TREASURY, "USDC") == 800_000
    desk.fund("alice", "hedge", USDC)
    desk.move(pay_interest(800_000), *EVIDENCE)
    assert desk.reason(pay_interest(1), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    wait(desk, DAY_NS)
    assert desk.reason(pay_interest(1), *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    desk.move(draw(1), *LENDER)
    assert desk.state.ledger.tables.accruing == {(HEDGE, DEBT): (desk.at, 0)}  # not even a part of a unit


def test_interest_that_no_gate_moves_is_never_owed():
    lines = [
        line
        for line in DESK.replace(",\n    needs", ", needs").splitlines()
        if "accrual: interest" not in line
    ]
    desk = Harbour("\n".join(line for line in lines if "interest_" not in line))
    desk.endow(TREASURY, 2_000 * USDC)
    desk.move(draw(365 * USDC), *LENDER)
    wait(desk, 300 * DAY_NS)
    desk.move(draw(1), *LENDER)
    assert desk.state.ledger.tables.owed == desk.state.ledger.tables.accruing == {}


def test_a_coin_earns_where_a_gate_pays_interest_to_it(desk):
    ether = 10**18
    desk.endow(TREASURY, ether, "ETH")
    desk.deposit("alice", 365 * ether, "ETH")
    wait(desk, DAY_NS)  # 365 x 2 % / 365
    paid = pay_interest(ether // 50, TREASURY, CASH, "interest_paid", "ETH")
    assert desk.reason(pay_interest(ether // 50 + 1, TREASURY, CASH, "interest_paid", "ETH"), *EVIDENCE) == (
        Reason.ENTITLEMENT_EXCEEDED
    )
    desk.move(paid, *EVIDENCE)


@pytest.mark.parametrize(("units", "owed"), [(12, 0), (13, 1), (1_000, 80)])
def test_a_part_of_a_unit_is_carried_on_until_it_is_one(desk, units, owed):
    """A year at 8 %, looked at every day: 0.96, 1.04 and 80 units."""
    desk.move(draw(units), *LENDER)
    for _ in range(365):
        wait(desk, DAY_NS)
        desk.do(desk.request(pay_interest(10**6), *EVIDENCE))  # refused, and looked at all the same
        desk.do(desk.request(draw(1, "house/fees"), *LENDER))
    (found,) = [link.units for link in collection_links(desk.state, desk.at)] or [0]
    assert found == owed


def test_paying_every_day_pays_no_more_and_no_less(desk):
    desk.move(draw(1_000), *LENDER)
    desk.fund("alice", "hedge", USDC)
    for _ in range(365):
        wait(desk, DAY_NS)
        for link in collection_links(desk.state, desk.at):
            desk.move(link, *EVIDENCE)
    assert 1_000 + USDC - desk.state.balance(HEDGE, "USDC") == 80


@settings(max_examples=40, deadline=None)
@given(waits=st.lists(st.integers(0, 90 * DAY_NS), min_size=1, max_size=6), units=st.integers(1, 900 * USDC))
def test_interest_is_the_same_however_often_it_is_looked_at(waits, units):
    desk = Harbour(DESK, members=("alice",))
    desk.endow(TREASURY, 2_000 * USDC)
    desk.move(draw(units), *LENDER)
    for length_ns in waits:
        wait(desk, length_ns)
        desk.do(desk.request(pay_interest(1), *EVIDENCE))  # paid where a unit is owed
    paid = units - desk.state.balance(HEDGE, "USDC")
    due = units * 80_000 * (desk.at - NOON) // (PPM * YEAR_NS)
    assert desk.state.owed(INTEREST, HEDGE, TREASURY, "USDC") <= due - paid
    left = sum(link.units for link in collection_links(desk.state, desk.at))
    assert left == min(due - paid, desk.state.balance(HEDGE, "USDC"))


# --- limits in value ---------------------------------------------------------------------------


def house(units, asset="BTC"):
    return Move("move_house", TREASURY, "house/rounding", asset, units)


def test_a_limit_in_value_counts_every_asset_together(desk):
    desk.endow(TREASURY, BTC, "BTC")
    refused = desk.do(desk.request(house(1), "officer_a")).decision
    assert (refused.reason, refused.words) == (Reason.PRICE_MISSING, "the book holds no price index/BTC")
    assert refused.rule == desk.state.rules.gates["move_house"].line
    desk.price("BTC", 100_000)
    assert desk.state.room("move_house", TREASURY, "house/rounding", "BTC") == 1_500_000
    words = desk.do(desk.request(house(1_500_001), "officer_a")).decision.words
    assert words == "0.01500001 BTC was asked of move_house; its limit `each_transfer` leaves 0.015 BTC"
    desk.move(house(1_500_000), "officer_a")  # 1,500 USDC, all one transfer may be worth
    assert desk.reason(house(500 * USDC + 1, "USDC"), "officer_a") == Reason.GATE_LIMIT_EXCEEDED
    desk.move(house(500 * USDC, "USDC"), "officer_a")
    assert desk.reason(house(1), "officer_a") == Reason.GATE_LIMIT_EXCEEDED
    wait(desk, DAY_NS)
    assert desk.reason(house(1), "officer_a") == Reason.PRICE_STALE
    assert desk.state.room("move_house", TREASURY, "house/rounding", "BTC") == 0
    desk.move(house(1, "USDC"), "officer_a")


def test_value_is_counted_up_to_the_next_unit(desk):
    desk.endow(TREASURY, 10**18, "ETH")
    desk.price("ETH", 2_000)
    desk.move(house(1, "ETH"), "officer_a")  # a wei counts as one unit of USDC, never as nothing
    assert desk.state.room("move_house", TREASURY, "house/rounding", "USDC") == 1_500 * USDC
    desk.move(house(1_500 * USDC, "USDC"), "officer_a")
    assert desk.reason(house(500 * USDC, "USDC"), "officer_a") == Reason.GATE_LIMIT_EXCEEDED
    desk.move(house(500 * USDC - 1, "USDC"), "officer_a")


def test_a_limit_in_value_rolls_over_with_its_window(desk):
    desk.endow(TREASURY, 2_000 * USDC)
    desk.move(house(1_500 * USDC, "USDC"), "officer_a")
    wait(desk, 12 * HOUR_NS - MINUTE_NS)
    assert desk.reason(house(501 * USDC, "USDC"), "officer_a") == Reason.GATE_LIMIT_EXCEEDED
    wait(desk, MINUTE_NS)  # midnight, UTC
    desk.move(house(1_500 * USDC, "USDC"), "officer_a")
