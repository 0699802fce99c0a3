"""Options: the premium is paid with the fill, the payoff at expiry, and nothing in between."""

import msgspec
import pytest
from harbour import EVIDENCE, NOON, TEXT, USDC, Harbour, allow, e10, policy_of, rules_of

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.planes.ledger.operations import Fill, Move, PriceFact, Quote, Settle
from ringfence.planes.ledger.options import is_settled_by_premium, judge_expiry, payoff_e10
from ringfence.planes.ledger.payments import premium_moves
from ringfence.planes.ledger.prices import AgreedPrice

ALICE, BOB = "client/alice/hedge", "client/bob/hedge"
EXPIRY = Instant(NOON // DAY_NS * DAY_NS + DAY_NS)
OPTION = """instruments:
  BTC-CALL: {kind: option, underlying: BTC, quote: USDC, contract: 0.001 BTC, tick: "1", tiers: large,
    option: call, strike: "100000", expires: "2025-10-11T00:00:00Z", settlement: 1 d at index,
    price_band: "5 %"}"""
MARK = '{sources: [v1, v2], agree: "2 of 2 within 1 %", stale: 30 s}'
MARKS = ("mark/BTC-CALL",)
DESK = (
    TEXT.replace("instruments:", OPTION, 1)
    .replace("prices:", f"prices:\n  mark/BTC-CALL: {MARK}", 1)
    .replace("[BTC-PERP, ETH-PERP, BTC-USD]", "[BTC-PERP, ETH-PERP, BTC-USD, BTC-CALL]", 1)
)


@pytest.fixture
def desk():
    desk = Harbour(DESK)
    for member in ("alice", "bob"):
        desk.fund(member, "hedge", 100 * USDC)
    say(desk, 100_000, 2_000)
    return desk


def say(desk, index, mark):
    desk.price("BTC", index)
    quotes = tuple(Quote(source, e10(mark), desk.at) for source in ("v1", "v2"))
    desk.must(PriceFact("mark/BTC-CALL", quotes))


def fill(desk, contracts=10, price=2_000, buyer=ALICE, seller=BOB):
    sides = [
        desk.order(path, side, contracts, price, instrument="BTC-CALL")
        for path, side in ((buyer, "buy"), (seller, "sell"))
    ]
    return Fill("BTC-CALL", contracts, e10(price), *sides)


def premium(units, buyer=ALICE, seller=BOB):
    return (
        Move("settle", buyer, "clearing", "USDC", units),
        Move("settle", "clearing", seller, "USDC", units),
    )


def usdc(desk):
    return [desk.state.balance(path, "USDC") // USDC for path in (ALICE, BOB)]


def test_an_option_without_a_mark_or_a_gate_for_premiums_is_not_traded():
    bare = rules_of(TEXT.replace("instruments:", OPTION, 1))
    assert any("BTC-CALL is an option" in str(note) for note in bare.notes)
    assert not any("BTC-CALL" in str(note) for note in rules_of(DESK).notes)


@pytest.mark.parametrize(
    ("option", "prices", "gate", "is_settled"),
    [
        ({}, MARKS, {}, True),
        ({"payoff": "inverse"}, MARKS, {}, False),
        ({}, (), {}, False),
        ({}, MARKS, {"on": ("vault",)}, False),
        ({}, MARKS, {"accrual": ("variation",)}, False),
    ],
)
def test_an_option_is_settled_by_premium_where_it_is_linear_marked_and_paid(option, prices, gate, is_settled):
    policy = policy_of(DESK)
    call, settle = policy.instruments["BTC-CALL"], policy.gates["settle"]
    policy = policy.model_copy(
        update={
            "instruments": {"BTC-CALL": call.model_copy(update=option)},
            "prices": dict.fromkeys(prices),
            "gates": {**policy.gates, "settle": settle.model_copy(update=gate)},
        }
    )
    assert is_settled_by_premium(policy, "BTC-CALL") is is_settled


@pytest.mark.parametrize(
    ("option", "tick_e10", "index_e10", "pays_e10"),
    [
        ("call", 10, 1_035, 30),
        ("call", 10, 1_000, 0),
        ("call", 10, 995, 0),
        ("call", 1, 995, 0),
        ("put", 10, 965, 30),
        ("put", 10, 1_035, 0),
        ("put", 1, 999, 1),
    ],
)
def test_an_option_pays_what_the_index_is_beyond_its_strike_down_to_the_tick(
    option, tick_e10, index_e10, pays_e10
):
    words = {"option": option, "tick_e10": tick_e10, "strike_e10": 1_000}
    instrument = policy_of(DESK).instruments["BTC-CALL"].model_copy(update=words)
    assert payoff_e10(instrument, index_e10) == pays_e10


INDEX = AgreedPrice(e10(104_000), EXPIRY)
EARLY = (Reason.CONDITION_NOT_MET, "BTC-CALL is settled once, from 2025-10-11T00:00:00Z on")
SETTLED = [
    (EXPIRY, INDEX, False, 4_000, []),
    (Instant(EXPIRY - 1), INDEX, False, 4_000, [EARLY]),
    (EXPIRY, None, False, 4_000, [(Reason.PRICE_MISSING, "the book holds no price index/BTC to settle at")]),
    (
        EXPIRY,
        INDEX,
        True,
        4_000,
        [(Reason.PRICE_STALE, "index/BTC is too old; a fresh price must come first")],
    ),
    (EXPIRY, INDEX, False, 4_001, [(Reason.PRICE_OUTSIDE_BAND, f"BTC-CALL pays {e10(4_000)} at the index")]),
]


@pytest.mark.parametrize(("at", "index", "is_stale", "price", "faults"), SETTLED)
def test_what_keeps_an_option_from_being_settled_is_said(at, index, is_stale, price, faults):
    instrument = policy_of(DESK).instruments["BTC-CALL"]
    found = judge_expiry(Settle("BTC-CALL", e10(price)), instrument, index, is_stale, at)
    assert [(one.reason, one.words) for one in found] == faults


def test_the_premium_is_paid_with_the_fill_or_there_is_no_fill(desk):
    """10 contracts of 0.001 BTC at 2,000: 20 USDC."""
    facts = allow(ALICE, BOB)
    assert desk.reason(fill(desk), *EVIDENCE, conditions=facts) == Reason.OWED_NOT_PAID
    short = (fill(desk), *premium(20 * USDC - 1))
    assert desk.reason(short, *EVIDENCE, conditions=facts) == Reason.OWED_NOT_PAID
    much = (fill(desk), *premium(20 * USDC + 1))
    assert desk.reason(much, *EVIDENCE, conditions=facts) == Reason.ENTITLEMENT_EXCEEDED
    desk.move((fill(desk), *premium(20 * USDC)), *EVIDENCE, conditions=facts)
    assert usdc(desk) == [80, 120]
    assert desk.state.position(ALICE, "BTC-CALL").contracts == 10
    assert desk.state.position(ALICE, "BTC-CALL").session_value == 0


def test_the_moves_that_pay_a_premium_follow_from_the_fill(desk):
    rules = desk.state.rules
    assert premium_moves(rules, fill(desk)) == premium(20 * USDC)
    assert premium_moves(rules, fill(desk, price=0)) == ()
    assert premium_moves(rules, msgspec.structs.replace(fill(desk), instrument="BTC-PERP")) == ()
    assert premium_moves(rules, msgspec.structs.replace(fill(desk), instrument="DOGE-CALL")) == ()
    nowhere = msgspec.structs.replace(fill(desk).buy, bucket="nowhere")
    assert premium_moves(rules, msgspec.structs.replace(fill(desk), buy=nowhere)) == ()


def test_nobody_pays_a_premium_for_a_buyer_who_cannot(desk):
    desk.endow("insurance/hedge", 1_000 * USDC)
    desk.endow("house/treasury", 1_000 * USDC)
    facts = allow(ALICE, BOB)
    cover = Move("cover", "insurance/hedge", "clearing", "USDC", 120 * USDC)
    links = (fill(desk, 60), cover, Move("settle", "clearing", BOB, "USDC", 120 * USDC))
    assert desk.reason(links, *EVIDENCE, conditions=facts) == Reason.ENTITLEMENT_EXCEEDED
    links = (fill(desk, 60), *premium(120 * USDC))
    assert desk.reason(links, *EVIDENCE, conditions=facts) == Reason.FREE_BALANCE_TOO_LOW


def test_a_fill_lies_around_the_mark_of_the_option(desk):
    facts = allow(ALICE, BOB)
    links = (fill(desk, 10, 2_101), *premium(21_010_000))
    assert desk.reason(links, *EVIDENCE, conditions=facts) == Reason.PRICE_OUTSIDE_BAND
    desk.move((fill(desk, 10, 2_100), *premium(21 * USDC)), *EVIDENCE, conditions=facts)


def test_an_option_is_settled_once_at_its_payoff(desk):
    desk.move((fill(desk), *premium(20 * USDC)), *EVIDENCE, conditions=allow(ALICE, BOB))
    early = Settle("BTC-CALL", e10(4_000))
    say(desk, 104_000, 4_000)
    assert desk.reason(early, *EVIDENCE) == Reason.CONDITION_NOT_MET
    desk.at = EXPIRY
    say(desk, 104_000.5, 4_000)
    pay = (
        Move("settle", BOB, "clearing", "USDC", 40 * USDC),
        Move("settle", "clearing", ALICE, "USDC", 40 * USDC),
    )
    assert desk.reason(Settle("BTC-CALL", e10(4_001)), *EVIDENCE) == Reason.PRICE_OUTSIDE_BAND
    desk.move((Settle("BTC-CALL", e10(4_000)), *pay), *EVIDENCE)
    assert usdc(desk) == [120, 80]
    assert desk.state.positions("BTC-CALL") == {}
    desk.state.check_conservation()


def test_an_option_out_of_the_money_pays_nothing(desk):
    desk.move((fill(desk), *premium(20 * USDC)), *EVIDENCE, conditions=allow(ALICE, BOB))
    desk.at = EXPIRY
    say(desk, 99_999, 1)
    desk.move(Settle("BTC-CALL", 0), *EVIDENCE)
    assert usdc(desk) == [80, 120]
    assert desk.state.balance(ALICE, "BTC-CALL") == 0


def test_an_option_that_expired_is_not_traded(desk):
    desk.at = EXPIRY
    say(desk, 100_000, 2_000)
    links = (fill(desk), *premium(20 * USDC))
    assert desk.reason(links, *EVIDENCE, conditions=allow(ALICE, BOB)) == Reason.TRADE_NOT_ALLOWED


def test_an_option_is_settled_at_a_fresh_index_only(desk):
    desk.at = EXPIRY
    desk.price("BTC", 110_000)
    desk.at = Instant(EXPIRY + 31 * SECOND_NS)
    assert desk.reason(Settle("BTC-CALL", e10(10_000)), *EVIDENCE) == Reason.PRICE_STALE
