# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""Taking over another book: what is booked, and each reason for which nothing is."""

from dataclasses import replace

import msgspec
import pytest
from harbour import NOON, TEXT, USDC, Harbour, e10, rotated, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.ids import ID_MAX
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.opening import opening_faults, take_opening
from ringfence.planes.ledger.operations import Entry, Opening, OpeningBalance, OpeningPosition

ALICE, BOB = "client/alice/hedge", "client/bob/hedge"
BALANCES = (OpeningBalance(ALICE, "USDC", 1_000 * USDC), OpeningBalance(BOB, "USDC-debt", 5))
POSITIONS = (OpeningPosition(ALICE, "BTC-PERP", 7), OpeningPosition(BOB, "BTC-PERP", -7))


def opening(harbour: Harbour, **fields) -> Opening:
    words = {"balances": BALANCES, "positions": POSITIONS, "prices": {"BTC-PERP": e10(60_000)}} | fields
    words = {"id": 77, "source": "a file", "policy": harbour.state.rules.digest} | words
    return Opening(**words)


def test_an_opening_is_booked_once_and_conserves():
    harbour = Harbour()
    outcome = harbour.must(opening(harbour))
    assert len(outcome.entries) == 4
    assert set(outcome.entries) == {
        Entry("outside", ALICE, "USDC", 1_000 * USDC),
        Entry("house/treasury", BOB, "USDC-debt", 5),
        Entry("clearing", ALICE, "BTC-PERP", 7),
        Entry(BOB, "clearing", "BTC-PERP", 7),
    }
    state = harbour.state
    assert [state.position(path, "BTC-PERP").contracts for path in (ALICE, BOB)] == [7, -7]
    assert state.balance(ALICE, "USDC") == -state.balance("outside", "USDC") == 1_000 * USDC
    assert state.balance("house/treasury", "USDC-debt") == -5
    assert state.position(ALICE, "BTC-PERP").session_value == 7 * 60 * USDC
    assert state.position(BOB, "BTC-PERP").session_value == -7 * 60 * USDC
    assert harbour.do(opening(harbour)).decision == Accepted(repeated=True)
    assert state.balance(ALICE, "USDC") == 1_000 * USDC


REASONS = [
    ({"id": 0}, Reason.ID_USED_WITH_OTHER_CONTENT),
    ({"policy": b"\0" * 32}, Reason.POLICY_DIGEST_DIFFERS),
    ({"balances": (), "positions": ()}, Reason.CHAIN_IS_EMPTY),
    ({"positions": POSITIONS[:1]}, Reason.OPENING_DOES_NOT_BALANCE),
    ({"balances": (BALANCES[0], BALANCES[0])}, Reason.OPENING_DOES_NOT_BALANCE),
    ({"prices": {}}, Reason.PRICE_OFF_TICK),
    ({"prices": {"BTC-PERP": e10(60_000) + 1}}, Reason.PRICE_OFF_TICK),
    ({"balances": (OpeningBalance(ALICE, "USDC", 0),)}, Reason.AMOUNT_NOT_POSITIVE),
    ({"balances": (OpeningBalance("clearing", "USDC", 1),)}, Reason.CLEARING_NOT_ZERO),
    ({"balances": (OpeningBalance("client/zoe/cash", "USDC", 1),)}, Reason.MEMBER_NOT_OPEN),
]


@pytest.mark.parametrize(("fields", "reason"), REASONS)
def test_what_is_wrong_takes_nothing_over(fields, reason):
    harbour = Harbour()
    assert harbour.refuses(opening(harbour, **fields)) == reason
    harbour.must(opening(harbour))


TREASURY = "house/treasury"
PERP = "BTC-PERP"


def held(path: str = ALICE, contracts: int = 7, instrument: str = PERP) -> dict[str, object]:
    return {"positions": (OpeningPosition(path, instrument, contracts), *POSITIONS[1:])}


def balance(path: str, asset: str = "USDC", units: int = 1) -> dict[str, object]:
    return {"balances": (BALANCES[0], OpeningBalance(path, asset, units))}


NOT_KEPT = "the policy declares no compartment {} in which something is kept"
TICK = "BTC-PERP needs the price it was settled at, on its tick"
FAULTS = [
    ({}, []),
    (balance("nowhere"), [(1, Reason.COMPARTMENT_UNKNOWN, NOT_KEPT.format("nowhere"), "")]),
    (balance("outside"), [(1, Reason.COMPARTMENT_UNKNOWN, NOT_KEPT.format("outside"), "")]),
    (balance("client/zoe/cash"), [(1, Reason.MEMBER_NOT_OPEN, "client zoe was never opened in this book; open it first", "")]),
    (balance(TREASURY, "DOGE"), [(1, Reason.ASSET_UNKNOWN, "the policy declares no asset DOGE", "")]),
    (balance(TREASURY, units=0), [(1, Reason.AMOUNT_NOT_POSITIVE, "the amount was 0 units; it is 1 at least", "")]),
    (balance(TREASURY, units=UNITS_MAX), []),
    (balance(TREASURY, units=UNITS_MAX + 1), [(1, Reason.AMOUNT_NOT_POSITIVE, f"the amount was {UNITS_MAX + 1} units; it is 1 at least", "")]),
    (balance("house/fees", "BTC"), [(1, Reason.ASSET_NOT_ACCEPTED, "house/fees does not accept BTC", "house/fees")]),
    (balance("clearing"), [(1, Reason.CLEARING_NOT_ZERO, "clearing must net to zero, and keeps nothing", "clearing")]),
    (balance(TREASURY, "USDC-debt"), [(1, Reason.NO_GATE_BETWEEN_COMPARTMENTS, "nobody could have given USDC-debt to house/treasury", TREASURY)]),
    (balance(ALICE), [(1, Reason.OPENING_DOES_NOT_BALANCE, f"{ALICE} has a line for USDC already", "")]),
    (held("nowhere"), [(2, Reason.COMPARTMENT_UNKNOWN, NOT_KEPT.format("nowhere"), "")]),
    (held(instrument="DOGE-PERP"), [(2, Reason.INSTRUMENT_UNKNOWN, "the policy declares no DOGE-PERP", ""), (4, Reason.OPENING_DOES_NOT_BALANCE, "the positions in BTC-PERP add up to -7 contracts; together they are none", ""), (4, Reason.OPENING_DOES_NOT_BALANCE, "the positions in DOGE-PERP add up to 7 contracts; together they are none", "")]),
    (held("client/alice/cash"), [(2, Reason.TRADE_NOT_ALLOWED, "client/alice/cash may not hold BTC-PERP", "client/{client}/cash")]),
    (held("insurance/hedge"), []),
    ({"positions": (OpeningPosition(ALICE, PERP, 0),)}, [(2, Reason.AMOUNT_NOT_POSITIVE, "the position was of 0 contracts", "")]),
    ({"positions": (OpeningPosition(ALICE, PERP, 1), OpeningPosition(BOB, PERP, -1))}, []),
    ({"positions": (OpeningPosition(ALICE, PERP, UNITS_MAX), OpeningPosition(BOB, PERP, -UNITS_MAX))}, []),
    ({"positions": (OpeningPosition(ALICE, PERP, UNITS_MAX + 1), OpeningPosition(BOB, PERP, -UNITS_MAX - 1))}, [(2, Reason.AMOUNT_NOT_POSITIVE, f"the position was of {UNITS_MAX + 1} contracts", ""), (3, Reason.AMOUNT_NOT_POSITIVE, f"the position was of {-UNITS_MAX - 1} contracts", "")]),
    ({"positions": (POSITIONS[0], POSITIONS[0], OpeningPosition(BOB, PERP, -14))}, [(3, Reason.OPENING_DOES_NOT_BALANCE, f"{ALICE} has a line for BTC-PERP already", "")]),
    *(({"prices": prices}, [(2, Reason.PRICE_OFF_TICK, TICK, ""), (3, Reason.PRICE_OFF_TICK, TICK, "")]) for prices in ({}, {PERP: 0}, {PERP: 10**9 + 1}, {PERP: -(10**9)})),
    ({"prices": {PERP: 10**9}}, []),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "faults"), FAULTS)
def test_every_line_that_is_wrong_is_named_with_its_rule(fields, faults):
    harbour = Harbour()
    found = opening_faults(harbour.state.ledger, opening(harbour, **fields))
    rules = {rule.pattern: rule.line for rule in harbour.state.rules.compartments} | {"": ""}
    assert [(number, one.reason, one.words, one.rule) for number, one in found] == [
        (number, reason, words, rules[pattern]) for number, reason, words, pattern in faults
    ]


@pytest.mark.parametrize(("price_e10", "count"), [(1, 0), (2, 0), (0, 2), (None, 2)])
def test_a_price_may_be_the_smallest_there_is(price_e10, count):
    harbour = Harbour()
    rules = harbour.state.rules
    fine = rules.instruments[PERP].model_copy(update={"tick_e10": 1})
    harbour.state.ledger.rules = replace(rules, instruments={**rules.instruments, PERP: fine})
    asked = opening(harbour, prices={} if price_e10 is None else {PERP: price_e10})
    found = opening_faults(harbour.state.ledger, asked)
    assert [one.reason for _, one in found] == [Reason.PRICE_OFF_TICK] * count


def test_a_single_contract_is_booked_to_the_side_that_held_it():
    harbour = Harbour()
    harbour.must(
        opening(harbour, positions=(OpeningPosition(ALICE, PERP, 1), OpeningPosition(BOB, PERP, -1)))
    )
    assert [harbour.state.position(path, PERP).contracts for path in (ALICE, BOB)] == [1, -1]


def test_without_a_place_outside_nobody_gives_coins():
    harbour = Harbour()
    ledger, rules = harbour.state.ledger, harbour.state.rules
    kept = tuple(rule for rule in rules.compartments if rule.pattern != "outside")
    ledger.rules = replace(rules, compartments=kept, _exact={}, _patterns={}, _joined=set())
    found = opening_faults(ledger, opening(harbour))
    assert [(number, one.reason) for number, one in found] == [(0, Reason.NO_GATE_BETWEEN_COMPARTMENTS)]


@pytest.mark.parametrize("fields", [{"id": 1}, {"id": ID_MAX}, {"balances": ()}, {"positions": ()}])
def test_what_is_possible_is_taken_over(fields):
    harbour = Harbour()
    harbour.must(opening(harbour, **fields))


@pytest.mark.parametrize("identifier", [0, -1, ID_MAX + 1])
def test_an_id_that_cannot_be_one_takes_nothing_over(identifier):
    ledger = Harbour().state.ledger
    asked = Opening(identifier, "a file", ledger.rules.digest, BALANCES, (), {})
    refused = take_opening(ledger, asked, NOON, verify)
    assert isinstance(refused, Refused)
    assert refused.reason == Reason.ID_USED_WITH_OTHER_CONTENT


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.SIGNATURE_INVALID)])
def test_a_rotated_key_signs_an_opening_while_it_counts(late_ns, reason):
    harbour = Harbour(TEXT + "adoption: {needs: officer_a}\n")
    harbour.must(rotated("officer_a", harbour.at, NOON))
    harbour.at = Instant(NOON + late_ns)
    decision = harbour.do(signed(opening(harbour), "officer_a")).decision
    assert getattr(decision, "reason", None) == reason


def test_only_an_empty_book_takes_an_opening():
    harbour = Harbour()
    harbour.deposit("alice", 1)
    assert harbour.refuses(opening(harbour)) == Reason.BOOK_NOT_EMPTY


def test_the_quorum_of_the_policy_signs():
    harbour = Harbour(TEXT + 'adoption: {needs: "2 of [officer_a, officer_b]"}\n')
    assert harbour.refuses(signed(opening(harbour), "officer_a")) == Reason.NEEDS_NOT_MET
    forged = msgspec.structs.replace(signed(opening(harbour), "officer_a", "officer_b"), source="another")
    assert harbour.refuses(forged) == Reason.SIGNATURE_INVALID
    harbour.must(signed(opening(harbour), "officer_a", "officer_b"))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-50, 50).filter(bool), min_size=1, max_size=2), st.integers(1, 10**6))
def test_any_opening_conserves_or_changes_nothing(contracts, tick):
    """Property: conservation holds after every opening, and a refused one leaves the book as it was."""
    harbour = Harbour()
    held = [*contracts, -sum(contracts)][:3]
    buckets = ("client/alice/hedge", "client/bob/hedge", "client/carol/hedge")
    positions = tuple(
        OpeningPosition(bucket, "BTC-USD", count) for bucket, count in zip(buckets, held, strict=False)
    )
    asked = opening(harbour, positions=positions, prices={"BTC-USD": tick * 5 * 10**9})
    before = harbour.state.snapshot()
    outcome = harbour.do(asked)
    harbour.state.check_conservation()
    if outcome.decision != Accepted():
        assert harbour.state.snapshot() == before | {"at": NOON}
    else:
        assert sum(one.session_value for one in harbour.state.positions("BTC-USD").values()) == 0
