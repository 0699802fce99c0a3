"""Fills: a client's signed order bounds what a broken matching engine can print."""

import msgspec
import pytest
from harbour import EVIDENCE, NOON, TEXT, USDC, Harbour, allow, e10

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.planes.ledger.conditions import ClosingFact, Conditions
from ringfence.planes.ledger.operations import Closing, Fill, Freeze, Move, RevokeKey
from ringfence.planes.ledger.payments import settlement_links

ALICE, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))
HEDGE = "client/alice/hedge"
ALLOWED = allow(ALICE, BOB, CAROL, HEDGE, "client/bob/hedge")


@pytest.fixture
def harbour():
    harbour = Harbour()
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("BTC", 100_000)
    return harbour


def fill(harbour, contracts=5, price=100_000.0, buy=None, sell=None, instrument="BTC-PERP", **words):
    """Five contracts that alice buys from bob, with other words where a row asks for them."""
    buy = {"bucket": ALICE, "side": "buy", "contracts": 5, "limit": 100_000} | (buy or {})
    sell = {"bucket": BOB, "side": "sell", "contracts": 5, "limit": 100_000} | (sell or {})
    return Fill(instrument, contracts, e10(price), harbour.order(**buy), harbour.order(**sell), **words)


def test_a_fill_moves_contracts_through_clearing(harbour):
    outcome = harbour.move(fill(harbour), conditions=ALLOWED)
    assert [(entry.debit, entry.credit, entry.asset, entry.units) for entry in outcome.entries] == [
        (BOB, "clearing", "BTC-PERP", 5),
        ("clearing", ALICE, "BTC-PERP", 5),
    ]
    alice, bob = (harbour.state.position(bucket, "BTC-PERP") for bucket in (ALICE, BOB))
    assert (alice.contracts, alice.session_value) == (5, 500 * USDC)
    assert (bob.contracts, bob.session_value) == (-5, -500 * USDC)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"contracts": 0}, Reason.AMOUNT_NOT_POSITIVE),
        ({"contracts": 2**127}, Reason.AMOUNT_TOO_LARGE),
        ({"contracts": 6}, Reason.ORDER_OVERFILLED),
        ({"sell": {"bucket": ALICE}}, Reason.SOURCE_IS_TARGET),
        ({"sell": {"bucket": "client/zoe/purse", "keys": ()}}, Reason.COMPARTMENT_UNKNOWN),
        ({"sell": {"bucket": "client/zoe/hedge", "keys": ()}}, Reason.MEMBER_NOT_OPEN),
        ({"instrument": "DOGE-PERP"}, Reason.INSTRUMENT_UNKNOWN),
        ({"instrument": "ETH-PERP"}, Reason.ORDER_TERMS_DIFFER),
        ({"buy": {"side": "sell", "limit": 90_000}}, Reason.ORDER_TERMS_DIFFER),
        ({"buy": {"policy": b"\0" * 32}}, Reason.POLICY_DIGEST_DIFFERS),
        ({"buy": {"expires": NOON - 1}}, Reason.REQUEST_EXPIRED),
        ({"buy": {"keys": ()}}, Reason.NEEDS_NOT_MET),
        ({"buy": {"keys": ("client_key/bob",)}}, Reason.NEEDS_NOT_MET),
        ({"buy": {"keys": ("client_key/zoe",)}}, Reason.KEY_UNKNOWN),
        ({"buy": {"bucket": "client/alice/cash"}}, Reason.TRADE_NOT_ALLOWED),
        ({"buy": {"bucket": "insurance/hedge", "keys": EVIDENCE}}, Reason.TRADE_NOT_ALLOWED),
        ({"sell": {"reduce_only": True}}, Reason.REDUCE_ONLY),
        ({"buy": {"limit": 99_999.9}}, Reason.ORDER_LIMIT_PASSED),
        ({"sell": {"limit": 100_000.1}}, Reason.ORDER_LIMIT_PASSED),
        ({"price": 99_999.95, "sell": {"limit": 1}}, Reason.PRICE_OFF_TICK),
        ({"price": 0, "sell": {"limit": 0}}, Reason.PRICE_OUTSIDE_BAND),
        ({"price": 105_000.1, "buy": {"limit": 106_000}}, Reason.PRICE_OUTSIDE_BAND),
        ({"price": 94_999.9, "sell": {"limit": 1}}, Reason.PRICE_OUTSIDE_BAND),
    ],
)
def test_a_fill_that_an_order_or_the_policy_does_not_allow_is_refused(harbour, words, reason):
    assert harbour.reason(fill(harbour, **words), conditions=ALLOWED) == reason


@pytest.mark.parametrize(
    "words",
    [
        {"buy": {"expires": NOON}},
        {"price": 105_000, "buy": {"limit": 105_000}},
        {"price": 95_000, "sell": {"limit": 95_000}},
        {"buy": {"bucket": HEDGE}},
    ],
)
def test_a_fill_on_the_edge_is_accepted(harbour, words):
    harbour.move(fill(harbour, **words), conditions=ALLOWED)


def test_an_order_fills_in_parts_up_to_what_was_signed(harbour):
    buy = harbour.order(ALICE, "buy", 5, 100_000)

    def part(contracts):
        return Fill("BTC-PERP", contracts, e10(100_000), buy, harbour.order(BOB, "sell", 9, 100_000))

    harbour.move([part(2), part(2)], conditions=ALLOWED)
    assert harbour.reason([part(1), part(1)], conditions=ALLOWED) == Reason.ORDER_OVERFILLED
    harbour.move(part(1), conditions=ALLOWED)
    assert harbour.reason(part(1), conditions=ALLOWED) == Reason.ORDER_OVERFILLED


def test_an_order_id_is_good_for_one_content(harbour):
    first = harbour.order(ALICE, "buy", 5, 100_000)
    harbour.move(
        Fill("BTC-PERP", 1, e10(100_000), first, harbour.order(BOB, "sell", 9, 1)), conditions=ALLOWED
    )
    more = harbour.order(ALICE, "buy", 50, 100_000, id=first.id)
    again = Fill("BTC-PERP", 1, e10(100_000), more, harbour.order(BOB, "sell", 9, 1))
    assert harbour.reason(again, conditions=ALLOWED) == Reason.ID_USED_WITH_OTHER_CONTENT
    # Somebody else's order of the same number is another order.
    other = harbour.order(CAROL, "buy", 5, 100_000, id=first.id)
    harbour.move(
        Fill("BTC-PERP", 1, e10(100_000), other, harbour.order(BOB, "sell", 9, 1)), conditions=ALLOWED
    )


def test_an_order_that_was_changed_on_its_way_is_refused(harbour):
    sent = fill(harbour)
    raised = msgspec.structs.replace(sent.buy, contracts=500)
    forged = msgspec.structs.replace(sent, buy=raised)
    assert harbour.reason(forged, conditions=ALLOWED) == Reason.SIGNATURE_INVALID


def test_a_revoked_key_stops_new_orders(harbour):
    harbour.must(RevokeKey("client_key/alice", "stolen"))
    assert harbour.reason(fill(harbour), conditions=ALLOWED) == Reason.KEY_REVOKED


def test_trading_needs_the_word_of_margin(harbour):
    assert harbour.reason(fill(harbour)) == Reason.CONDITION_NOT_MET
    assert harbour.reason(fill(harbour), conditions=allow(ALICE)) == Reason.CONDITION_NOT_MET


@pytest.mark.parametrize(
    "reason",
    [
        Reason.INITIAL_MARGIN_TOO_LOW,
        Reason.LEVERAGE_CAP_EXCEEDED,
        Reason.DAILY_LOSS_EXCEEDED,
        Reason.DRAWDOWN_EXCEEDED,
        Reason.REDUCE_ONLY,
    ],
)
def test_margin_refuses_with_a_reason_of_its_own(harbour, reason):
    conditions = Conditions(trade={ALICE: int(reason), BOB: 0})
    assert harbour.reason(fill(harbour), conditions=conditions) == reason


@pytest.mark.parametrize(
    "scope", ["gate/trade", f"compartment/{BOB}", "compartment/clearing", "asset/BTC-PERP"]
)
def test_frozen_scopes_stop_trading(harbour, scope):
    harbour.must(Freeze(scope, "halt"))
    expected = {
        "gate": Reason.GATE_FROZEN,
        "compartment": Reason.COMPARTMENT_FROZEN,
        "asset": Reason.ASSET_FROZEN,
    }
    assert harbour.reason(fill(harbour), conditions=ALLOWED) == expected[scope.split("/")[0]]


def test_a_fill_needs_a_fresh_index(harbour):
    harbour.at = Instant(NOON + 30 * SECOND_NS)
    harbour.move(fill(harbour), conditions=ALLOWED)
    harbour.at = Instant(NOON + 31 * SECOND_NS)
    assert harbour.reason(fill(harbour), conditions=ALLOWED) == Reason.PRICE_STALE
    ether = fill(
        harbour,
        price=4_000,
        buy={"instrument": "ETH-PERP"},
        sell={"instrument": "ETH-PERP", "limit": 1},
        instrument="ETH-PERP",
    )
    assert harbour.reason(ether, conditions=ALLOWED) == Reason.PRICE_MISSING


def test_contracts_move_by_fills_alone(harbour):
    harbour.move(fill(harbour), conditions=ALLOWED)
    for gate in harbour.state.rules.gates:
        move = Move(gate, ALICE, "clearing", "BTC-PERP", 1)
        assert harbour.reason(move, *EVIDENCE, "client_key/alice") == Reason.ASSET_UNKNOWN


def test_a_reducing_order_may_not_turn_the_position_around(harbour):
    harbour.move(fill(harbour), conditions=ALLOWED)
    flat = {"bucket": ALICE, "side": "sell", "limit": 1, "reduce_only": True}
    turn = fill(harbour, 5, buy={"bucket": BOB}, sell=flat | {"contracts": 5})
    harbour.move(turn, conditions=ALLOWED)
    assert harbour.state.position(ALICE, "BTC-PERP").contracts == 0
    assert (
        harbour.reason(fill(harbour, 1, buy={"bucket": BOB}, sell=flat), conditions=ALLOWED)
        == Reason.REDUCE_ONLY
    )


def test_nobody_forces_a_bucket_that_margin_has_not_named(harbour):
    harbour.move(fill(harbour), conditions=ALLOWED)
    forced = Fill(
        "BTC-PERP", 5, e10(100_000), harbour.order(CAROL, "buy", 5, 1e5), Closing(ALICE, "liquidation")
    )
    assert harbour.reason(forced, *EVIDENCE, conditions=ALLOWED) == Reason.CONDITION_NOT_MET
    strangers = Fill(
        "BTC-PERP", 5, e10(100_000), harbour.order(CAROL, "buy", 5, 1e5), Closing("house/fees", "liquidation")
    )
    assert harbour.reason(strangers, *EVIDENCE, conditions=ALLOWED) == Reason.TRADE_NOT_ALLOWED


def test_a_pool_gives_back_what_it_took_over(harbour):
    harbour.move(fill(harbour), conditions=ALLOWED)
    pool = "insurance/directional"
    facts = Conditions(trade={CAROL: 0}, closing={BOB: {"BTC-PERP": ClosingFact(5, e10(110_000))}})
    take = Fill("BTC-PERP", 5, e10(110_000), Closing(BOB, "takeover"), Closing(pool, "takeover"))
    harbour.move(take, *EVIDENCE, conditions=facts)
    give = Fill(
        "BTC-PERP", 5, e10(100_000), Closing(pool, "liquidation"), harbour.order(CAROL, "sell", 5, 1e5)
    )
    harbour.move(give, *EVIDENCE, conditions=facts)
    assert harbour.state.position(pool, "BTC-PERP").contracts == 0


def test_a_stranger_cannot_hand_a_pool_its_losses(harbour):
    """A takeover is of a bucket that margin named, at the stated price, by its own waterfall's pool."""
    pool = "insurance/directional"
    other = Fill(
        "BTC-PERP", 5, e10(100_000), Closing(pool, "takeover"), Closing("insurance/hedge", "takeover")
    )
    assert harbour.reason(other, *EVIDENCE) == Reason.CONDITION_NOT_MET


INVERSE = {"instrument": "BTC-USD"}


def test_an_inverse_contract_nets_in_the_coin():
    harbour = Harbour()
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 10**8, "BTC")
    harbour.price("BTC", 30_000)
    bob = "client/bob/hedge"
    harbour.trade(HEDGE, bob, 7, 30_000, instrument="BTC-USD")
    # 700 dollars at 30,000 are 0.02333333 bitcoin.
    assert harbour.state.position(HEDGE, "BTC-USD").session_value == -2_333_333
    assert harbour.state.position(bob, "BTC-USD").session_value == 2_333_333
    harbour.price("BTC", 31_000)
    links = settlement_links(harbour.state, [harbour.settle(31_000, "BTC-USD")], harbour.at)
    harbour.move(links, *EVIDENCE)
    # 700 / 31,000 = 0.02258064: alice gains 0.00075269.
    assert harbour.state.balance(HEDGE, "BTC") == 10**8 + 75_269
    assert harbour.state.balance(bob, "BTC") == 10**8 - 75_269


EXPIRY = "2025-10-10T13:00:00Z"


def test_a_future_is_delivered_at_its_expiry():
    text = TEXT.replace("ETH-PERP: {kind: perpetual,", f"ETH-PERP: {{kind: future, expires: {EXPIRY},")
    harbour = Harbour(text)
    for member in ("alice", "bob"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("ETH", 4_000)
    harbour.trade(ALICE, BOB, 10, 4_000, instrument="ETH-PERP")
    harbour.at = Instant(NOON + DAY_NS // 24)
    harbour.price("ETH", 4_100)
    late = harbour.request(
        Fill(
            "ETH-PERP",
            1,
            e10(4_100),
            harbour.order(ALICE, "buy", 1, 4_100, instrument="ETH-PERP"),
            harbour.order(BOB, "sell", 1, 4_100, instrument="ETH-PERP"),
        )
    )
    assert harbour.refuses(late, ALLOWED) == Reason.TRADE_NOT_ALLOWED
    links = settlement_links(harbour.state, [harbour.settle(4_100, "ETH-PERP")], harbour.at)
    harbour.move(links, *EVIDENCE)
    assert harbour.state.positions("ETH-PERP") == {}
    assert harbour.state.balance(ALICE, "ETH-PERP") == 0
    assert harbour.state.balance(ALICE, "USDC") == 110 * USDC
