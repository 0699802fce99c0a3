# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""Positions that change their bucket, or their owner, at the mark: what passes, and that no value does."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from harbour import NOON, TEXT, USDC, Harbour, allow, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import MINUTE_NS, Instant
from ringfence.kernel.money import BALANCE_MAX
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import Freeze, Move
from ringfence.planes.ledger.positions import contract_rule, faults, mark_fault, mark_name, room_units
from ringfence.planes.ledger.prices import AgreedPrice
from ringfence.planes.ledger.rules import AssetRule
from ringfence.planes.ledger.settlement import fill_value

HEDGE, BET, BOB, CAROL = (
    "client/alice/hedge",
    "client/alice/directional",
    "client/bob/hedge",
    "client/carol/hedge",
)
EXCHANGES = """exchanges:
  shift: {legs: ["client/{client}/hedge -> client/{client}/directional"], assets: [BTC-PERP, BTC-USD],
    needs: ["client_key/{client}"], price: at mark, on: ledger, limit: {each: {BTC-PERP: "50 per 1 d"}}}
  give_up: {legs: ["client/{a}/hedge -> client/{b}/hedge"], assets: [BTC-PERP], price: at mark, on: ledger,
    needs: ["client_key/{a}", "client_key/{b}"], limit: {each: {BTC-PERP: "1000 per 1 d"}}}
  sale: {legs: ["client/{a}/hedge -> client/{b}/hedge", "client/{b}/hedge -> client/{a}/hedge"],
    assets: [BTC-PERP, USDC, BTC], price: "within 2 % of index", on: ledger,
    needs: ["client_key/{a}", "client_key/{b}"], limit: {each: {BTC-PERP: "1000 per 1 d"}}}"""
DESK = TEXT.replace("exchanges:", EXCHANGES, 1)


@pytest.fixture
def desk():
    desk = Harbour(DESK)
    for member in ("alice", "bob", "carol"):
        desk.fund(member, "hedge", 100 * USDC)
    desk.price("BTC", 100_000)
    desk.trade(HEDGE, CAROL, 10, 100_000)
    return desk


def own(contracts, source=HEDGE, target=BET):
    return Move("shift", source, target, "BTC-PERP", contracts)


def ask(desk, move, *keys, gate="shift", conditions=None):
    request = desk.request(move, *keys, exchange=gate)
    return request, conditions or allow(HEDGE, BET, BOB, CAROL)


def moved(desk, move, *keys, gate="shift"):
    desk.must(*ask(desk, move, *keys, gate=gate))


def refused(desk, move, *keys, gate="shift", conditions=None):
    return desk.refuses(*ask(desk, move, *keys, gate=gate, conditions=conditions))


def profit(desk, path, price, instrument="BTC-PERP"):
    """Session profit of a bucket at a price, in units of the quote."""
    position = desk.state.position(path, instrument)
    terms = desk.state.rules.instruments[instrument]
    return fill_value(terms, position.contracts, price * 10**10, 6) - position.session_value


def test_no_word_of_it_stays_shut():
    rules = rules_of(DESK)
    assert not any(exchange.gate.unenforced for exchange in rules.exchanges.values())


def test_a_position_passes_at_the_mark_and_its_profit_stays(desk):
    desk.price("BTC", 103_000)
    moved(desk, own(4), "client_key/alice")
    assert [desk.state.position(path, "BTC-PERP").contracts for path in (HEDGE, BET)] == [6, 4]
    assert profit(desk, HEDGE, 103_000) == 10 * 3 * USDC
    assert profit(desk, BET, 103_000) == 0
    assert profit(desk, BET, 104_000) == 4 * USDC
    assert desk.state.balance(HEDGE, "USDC") == 100 * USDC  # no coin moved
    desk.state.check_conservation()


def test_a_short_position_passes_as_a_short_one(desk):
    moved(
        desk,
        Move("give_up", CAROL, BOB, "BTC-PERP", 10),
        "client_key/carol",
        "client_key/bob",
        gate="give_up",
    )
    assert [desk.state.position(path, "BTC-PERP").contracts for path in (CAROL, BOB)] == [0, -10]
    assert "client/carol/hedge" not in desk.state.positions("BTC-PERP")


def test_a_give_up_needs_the_consent_of_both(desk):
    give = Move("give_up", HEDGE, BOB, "BTC-PERP", 10)
    for keys in (("client_key/alice",), ("client_key/bob",), ("client_key/alice", "client_key/carol")):
        assert refused(desk, give, *keys, gate="give_up") == Reason.NEEDS_NOT_MET
    moved(desk, give, "client_key/alice", "client_key/bob", gate="give_up")
    assert desk.state.position(BOB, "BTC-PERP").contracts == 10


def test_only_what_is_held_passes(desk):
    assert refused(desk, own(11), "client_key/alice") == Reason.FREE_BALANCE_TOO_LOW
    assert refused(desk, own(0), "client_key/alice") == Reason.AMOUNT_NOT_POSITIVE
    assert refused(desk, own(-1), "client_key/alice") == Reason.AMOUNT_NOT_POSITIVE
    moved(desk, own(10), "client_key/alice")
    assert refused(desk, own(1), "client_key/alice") == Reason.FREE_BALANCE_TOO_LOW


def test_there_is_no_way_back_that_nobody_declared(desk):
    moved(desk, own(10), "client_key/alice")
    back = own(10, BET, HEDGE)
    assert refused(desk, back, "client_key/alice") == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    across = own(1, HEDGE, "client/bob/directional")
    assert refused(desk, across, "client_key/alice") == Reason.NO_GATE_BETWEEN_COMPARTMENTS


def test_the_limit_counts_contracts(desk):
    desk.fund("bob", "hedge", 900 * USDC)
    desk.trade(HEDGE, CAROL, 50, 100_000)
    assert refused(desk, own(51), "client_key/alice") == Reason.GATE_LIMIT_EXCEEDED
    moved(desk, own(50), "client_key/alice")
    assert refused(desk, own(1), "client_key/alice") == Reason.GATE_LIMIT_EXCEEDED


def test_margin_judges_both_ends(desk):
    assert refused(desk, own(1), "client_key/alice", conditions=allow(HEDGE)) == Reason.CONDITION_NOT_MET
    low = Conditions(trade={HEDGE: 0, BET: int(Reason.INITIAL_MARGIN_TOO_LOW)})
    assert refused(desk, own(1), "client_key/alice", conditions=low) == Reason.INITIAL_MARGIN_TOO_LOW


def test_of_several_rules_broken_the_first_in_order_is_named(desk):
    """Too much of a position, which margin did not judge, or would not allow."""
    assert refused(desk, own(11), "client_key/alice", conditions=allow(HEDGE)) == Reason.CONDITION_NOT_MET
    low = Conditions(trade={HEDGE: 0, BET: int(Reason.INITIAL_MARGIN_TOO_LOW)})
    assert refused(desk, own(11), "client_key/alice", conditions=low) == Reason.FREE_BALANCE_TOO_LOW


@pytest.mark.parametrize(
    ("kind", "reason"), [("cancel_only", Reason.CANCEL_ONLY), ("reduce_only", Reason.REDUCE_ONLY)]
)
def test_whose_trading_is_halted_takes_no_position_on(desk, kind, reason):
    desk.must(Freeze("asset/BTC-USD", "drill", kind=kind))
    moved(desk, own(1), "client_key/alice")
    desk.must(Freeze("asset/BTC-PERP", "drill", kind=kind))
    found = desk.do(*ask(desk, own(1), "client_key/alice")).decision
    assert found.reason == reason
    assert found.words == f"trading of {BET} is halted ({kind}); it takes no position on"


def test_a_limit_says_which_it_is_and_what_it_leaves(desk):
    found = desk.do(*ask(desk, own(51), "client_key/alice")).decision
    assert found.reason == Reason.GATE_LIMIT_EXCEEDED
    assert found.words == "51 BTC-PERP was asked of shift; its limit `each` leaves 50 BTC-PERP"


def test_legs_that_are_not_those_of_the_exchange_are_told_which_would_be(desk):
    other = desk.request(own(1), "client_key/alice", exchange="give_up")
    found = desk.do(other, allow(HEDGE, BET)).decision
    assert (found.reason, found.words) == (
        Reason.EXCHANGE_LEGS_DIFFER,
        "a leg of shift belongs to a request whose exchange is shift",
    )
    half = desk.request(
        Move("sale", HEDGE, BOB, "BTC-PERP", 1), "client_key/alice", "client_key/bob", exchange="sale"
    )
    found = desk.do(half, allow(HEDGE, BOB)).decision
    legs = "client/{a}/hedge -> client/{b}/hedge, client/{b}/hedge -> client/{a}/hedge"
    assert (found.reason, found.words) == (
        Reason.EXCHANGE_LEGS_DIFFER,
        f"sale is {legs}, all in one request",
    )


def test_without_a_fresh_mark_nothing_passes(desk):
    desk.at = Instant(desk.at + MINUTE_NS)
    assert refused(desk, own(1), "client_key/alice") == Reason.PRICE_STALE
    fresh = Harbour(DESK)
    assert refused(fresh, own(1), "client_key/alice") == Reason.FREE_BALANCE_TOO_LOW


def test_a_frozen_instrument_does_not_pass(desk):
    desk.must(Freeze("asset/BTC-PERP", "drill"))
    assert refused(desk, own(1), "client_key/alice") == Reason.ASSET_FROZEN


def test_an_instrument_that_the_other_end_cannot_trade_does_not_pass(desk):
    move = Move("shift", HEDGE, BET, "BTC-USD", 1)
    assert refused(desk, move, "client_key/alice") == Reason.ASSET_NOT_ACCEPTED


def test_a_single_contract_passes_as_what_it_is(desk):
    desk.trade("client/bob/hedge", CAROL, 1, 100_000)
    keys = ("client_key/bob", "client_key/alice")
    moved(desk, Move("give_up", BOB, HEDGE, "BTC-PERP", 1), *keys, gate="give_up")
    assert [desk.state.position(path, "BTC-PERP").contracts for path in (BOB, HEDGE)] == [0, 11]


def test_contracts_are_whole_and_worth_nothing_but_themselves(desk):
    rules = desk.state.rules
    assert contract_rule(rules, "BTC-PERP") == AssetRule("BTC-PERP", 0, None, "BTC-PERP", None, None)
    assert contract_rule(rules, "BTC") is None


@pytest.mark.parametrize(("prices", "name"), [((), "index/BTC"), (("mark/BTC-PERP",), "mark/BTC-PERP")])
def test_a_position_passes_at_its_mark_or_at_the_index(desk, prices, name):
    assert mark_name(replace(desk.state.rules, prices=dict.fromkeys(prices)), "BTC-PERP") == name


def test_a_running_total_at_either_end_leaves_the_room(desk):
    ledger = desk.state.ledger
    ledger.tables.move(HEDGE, "clearing", "BTC-PERP", 3)
    for ends in ((HEDGE, BET), (BET, HEDGE)):
        assert room_units(ledger, own(1, *ends)) == BALANCE_MAX - 10
    assert room_units(ledger, own(1, BET, BET)) == BALANCE_MAX
    ledger.tables.move(HEDGE, "clearing", "BTC-PERP", 20)
    assert room_units(ledger, own(1)) == BALANCE_MAX - 23


EXPIRED = {"expires": NOON}
NO_MARK = [
    ({}, True, False, None),
    ({"kind": "option"}, True, False, (Reason.TRADE_NOT_ALLOWED, "BTC-PERP is an option: it passes by a fill, with its premium")),
    (EXPIRED, True, False, (Reason.TRADE_NOT_ALLOWED, "BTC-PERP has expired; it is only settled now")),
    ({"expires": NOON + 1}, True, False, None),
    ({}, False, False, (Reason.PRICE_MISSING, "the book holds no price index/BTC to pass at")),
    ({}, True, True, (Reason.PRICE_STALE, "index/BTC is too old; a fresh price must come first")),
]  # fmt: skip


@pytest.mark.parametrize(("words", "has_price", "is_stale", "fault"), NO_MARK)
def test_why_there_is_no_price_to_pass_at_is_said_with_its_line(desk, words, has_price, is_stale, fault):
    rules = desk.state.rules
    instruments = {"BTC-PERP": rules.instruments["BTC-PERP"].model_copy(update=words)}
    price = AgreedPrice(1, NOON) if has_price else None
    ledger = SimpleNamespace(
        rules=replace(rules, instruments=instruments), price=lambda name, at: (price, is_stale)
    )
    found = mark_fault(SimpleNamespace(ledger=ledger, at=NOON), own(1), "a line")
    assert (found and (found.reason, found.words, found.rule)) == (fault and (*fault, "a line"))


TWICE = f"trading of {BET} is halted (cancel_only, reduce_only); it takes no position on"
AGAINST = [
    (("house/fees", BET), ["cancel_only", "reduce_only"], {BET: 0}, [(Reason.CANCEL_ONLY, TWICE, BET)]),
    ((HEDGE, BET), [], {HEDGE: 0, BET: 0}, []),
    (("house/fees", BET), [], {}, [(Reason.CONDITION_NOT_MET, f"margin did not judge what {BET} would hold", BET)]),
    ((HEDGE, "insurance/hedge"), [], {HEDGE: int(Reason.INITIAL_MARGIN_TOO_LOW)}, [(Reason.INITIAL_MARGIN_TOO_LOW, f"{HEDGE}: {Reason.INITIAL_MARGIN_TOO_LOW.meaning}", HEDGE)]),
]  # fmt: skip


@pytest.mark.parametrize(("ends", "halts", "verdicts", "against"), AGAINST)
def test_what_is_against_either_end_is_said_with_its_line(desk, ends, halts, verdicts, against):
    places = [desk.state.rules.place(path) for path in ends]

    def halted(place, instrument):
        return frozenset(halts if (place, instrument) == (places[1], "BTC-PERP") else ())

    chain = SimpleNamespace(
        ledger=SimpleNamespace(trading_halts=halted), conditions=Conditions(trade=verdicts)
    )
    lines = {path: desk.state.rules.place(path).rule.line for path in (HEDGE, BET)}
    found = [(one.reason, one.words, one.rule) for one in faults(chain, *places, "BTC-PERP")]
    assert found == [(reason, words, lines[path]) for reason, words, path in against]


def test_contracts_pass_no_plain_gate(desk):
    move = Move("release", HEDGE, "client/alice/cash", "BTC-PERP", 1)
    assert desk.reason(move, "client_key/alice") == Reason.ASSET_UNKNOWN


def test_coins_of_a_block_balance_by_themselves_beside_the_contracts(desk):
    legs = [Move("sale", HEDGE, BOB, "BTC-PERP", 10), Move("sale", BOB, HEDGE, "USDC", USDC)]
    keys = ("client_key/alice", "client_key/bob")
    request = desk.request(legs, *keys, exchange="sale")
    # Contracts pass at the mark: a coin beside them would be a present.
    assert desk.refuses(request, allow(HEDGE, BOB)) == Reason.PRICE_OUTSIDE_BAND


@settings(max_examples=50, deadline=None)
@given(
    prices=st.lists(st.integers(96_000, 104_000), min_size=1, max_size=4),
    parts=st.lists(st.integers(1, 10), min_size=1, max_size=4),
    last=st.integers(90_000, 110_000),
)
def test_passing_at_the_mark_moves_no_value(prices, parts, last):
    """What each owner has at any later price is the same as if nothing had passed before that mark."""
    desk = Harbour(DESK)
    for member in ("alice", "bob", "carol"):
        desk.fund(member, "hedge", 100 * USDC)
    desk.price("BTC", 100_000)
    desk.trade(HEDGE, CAROL, 10, 100_000)
    for price, part in zip(prices, parts, strict=False):
        desk.price("BTC", price)
        before = [profit(desk, path, price) for path in (HEDGE, BET, CAROL)]
        desk.do(*ask(desk, own(part), "client_key/alice"))
        assert [profit(desk, path, price) for path in (HEDGE, BET, CAROL)] == before
    total = sum(profit(desk, path, last) for path in (HEDGE, BET))
    assert total == 10 * (last - 100_000) * 1_000 == -profit(desk, CAROL, last)
    desk.state.check_conservation()
