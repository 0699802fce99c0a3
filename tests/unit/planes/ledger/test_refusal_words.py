"""What a refusal says: the words people read, whole, for one refusal of each kind."""

import pytest
from harbour import EVIDENCE, NOON, OFFICERS, TEXT, USDC, Harbour, allow, e10, public_of, seed, signed

from ringfence.adapters.signatures_ed25519 import sign
from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import DAY_NS, MINUTE_NS, SECOND_NS, Instant
from ringfence.planes.ledger.conditions import NO_CONDITIONS, ClosingFact, Conditions
from ringfence.planes.ledger.operations import (
    CloseMember,
    Closing,
    Fill,
    Freeze,
    Fund,
    Move,
    OpenMember,
    PinAddress,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    RevokeKey,
    RotateKey,
    Signature,
    Statement,
    signing_bytes,
)
from ringfence.planes.ledger.trade import judge_tick

CASH, HEDGE, ALICE = "client/alice/cash", "client/alice/hedge", "client_key/alice"
BET, BOB = "client/alice/directional", "client/bob/directional"
FUND = Move("fund", CASH, HEDGE, "USDC", USDC)
LATE = NOON - 1
LATE_SHOWN = "2025-10-10T11:59:59.999999999Z"


@pytest.fixture
def harbour():
    harbour = Harbour()
    harbour.fund("alice", "directional", 100 * USDC)
    harbour.fund("bob", "directional", 100 * USDC)
    harbour.deposit("alice", 100 * USDC)
    harbour.price("BTC", 100_000)
    return harbour


def said(harbour, operation, conditions=NO_CONDITIONS):
    decision = harbour.do(operation, conditions).decision
    assert isinstance(decision, Refused), decision
    return decision.reason, decision.words


def pinned(harbour, *keys, **words):
    fields = {"compartment": "outside/alice", "address": "bc1", "expires": NOON + DAY_NS}
    fields |= {"policy": harbour.state.rules.digest} | words
    return signed(PinAddress(**fields), *keys)


def rotation(key="client_key/alice", expires=NOON + DAY_NS, by=()):
    bare = RotateKey(key, public_of("new"), NOON, expires)
    content = signing_bytes(bare)
    signatures = tuple(Signature(name, sign(seed(secret), content)) for name, secret in by)
    return RotateKey(key, public_of("new"), NOON, expires, signatures)


def receipt(**words):
    fields = {"reference": "tx", "source": "outside", "target": CASH, "asset": "USDC", "units": 1} | words
    return signed(Receipt(**fields), "watcher_key")


FACTS = {
    "a price without a name": (
        lambda _: PriceFact("index/DOGE", ()),
        (Reason.PRICE_NAME_UNKNOWN, "the policy declares no price index/DOGE"),
    ),
    "a price of a stranger": (
        lambda h: PriceFact("index/BTC", (Quote("v9", 1, h.at), Quote("v7", 1, h.at))),
        (Reason.PRICE_SOURCE_UNKNOWN, "v7 is no source of index/BTC; v1, v2, v3 are"),
    ),
    "prices that differ": (
        lambda h: PriceFact("index/BTC", (Quote("v1", 1, h.at), Quote("v2", 2, h.at))),
        (Reason.PRICE_SOURCES_DISAGREE, "1 sources agree on index/BTC; 2 must, none older than 30 s"),
    ),
    "a member of no family": (
        lambda _: OpenMember("house", "zoe", {}),
        (Reason.PARTY_UNKNOWN, "the policy declares no family house"),
    ),
    "a member without a name": (
        lambda _: OpenMember("client", "Zoe!", {}),
        (
            Reason.MEMBER_NAME_INVALID,
            "'Zoe!' is no member's name; use 1 to 64 of a-z, 0-9, dot, dash and underscore, e.g. al-ice",
        ),
    ),
    "a member twice": (
        lambda _: OpenMember("client", "alice", {}),
        (Reason.MEMBER_ALREADY_OPEN, "client alice is open already"),
    ),
    "a member without keys": (
        lambda _: OpenMember("client", "zoe", {}),
        (
            Reason.KEYS_DIFFER_FROM_POLICY,
            "no key was given; the policy asks each member for client_key, 32 bytes each",
        ),
    ),
    "a member with another's keys": (
        lambda _: OpenMember("client", "zoe", {"officer_b": b"", "officer_a": b""}),
        (
            Reason.KEYS_DIFFER_FROM_POLICY,
            "officer_a, officer_b was given; the policy asks each member for client_key, 32 bytes each",
        ),
    ),
    "a key that is known": (
        lambda _: RegisterKey("officer_a", public_of("new")),
        (Reason.KEY_ALREADY_KNOWN, "officer_a is known already"),
    ),
    "a key of a family": (
        lambda _: RegisterKey("client_key", public_of("new")),
        (
            Reason.KEYS_DIFFER_FROM_POLICY,
            "client_key (32 bytes) is no key that the policy declares without members",
        ),
    ),
    "a key that is no point": (
        lambda _: OpenMember("client", "zoe", {"client_key": bytes(32)}),
        (Reason.KEY_NOT_SOUND, "the public key given for client_key/zoe is no proper Ed25519 point"),
    ),
    "a key of somebody else": (
        lambda _: OpenMember("client", "zoe", {"client_key": public_of(ALICE)}),
        (
            Reason.KEY_ALREADY_KNOWN,
            "the public key given for client_key/zoe is known as client_key/alice; each key is its own",
        ),
    ),
    "a receipt of nothing": (
        lambda _: receipt(units=0),
        (Reason.AMOUNT_NOT_POSITIVE, "the receipt was of 0 units"),
    ),
    "a receipt of too much": (
        lambda _: receipt(units=2**127),
        (Reason.AMOUNT_TOO_LARGE, "a receipt is of at most 2^127 - 1 units"),
    ),
    "a receipt of no asset": (
        lambda _: receipt(asset="DOGE"),
        (Reason.ASSET_UNKNOWN, "the policy declares no asset DOGE"),
    ),
    "a receipt from nowhere": (
        lambda _: receipt(source="moon"),
        (Reason.COMPARTMENT_UNKNOWN, "the policy declares no compartment moon"),
    ),
    "a receipt for nowhere": (
        lambda _: receipt(target="moon"),
        (Reason.COMPARTMENT_UNKNOWN, "the policy declares no compartment moon"),
    ),
    "a receipt for nobody": (
        lambda _: receipt(target="client/zoe/cash"),
        (Reason.MEMBER_NOT_OPEN, "client zoe was never opened in this book"),
    ),
    "a receipt through a wall": (
        lambda _: receipt(target=HEDGE),
        (Reason.NO_GATE_BETWEEN_COMPARTMENTS, f"no gate moves receipts from outside to {HEDGE}"),
    ),
    "a stop of nothing": (
        lambda _: Freeze("moon", "drill"),
        (
            Reason.SCOPE_UNKNOWN,
            "moon cannot be stopped; name gate/…, compartment/…, asset/…, member/…, pool/…, shard/… or book",
        ),
    ),
    "closing a stranger": (
        lambda _: CloseMember("client", "zoe", "gone"),
        (Reason.MEMBER_NOT_OPEN, "client zoe was never opened in this book"),
    ),
    "closing somebody who has something": (
        lambda _: CloseMember("client", "bob", "gone"),
        (Reason.MEMBER_NOT_EMPTY, f"client bob still has 100 USDC in {BOB}"),
    ),
    "an address of what takes none": (
        lambda h: pinned(h, ALICE, compartment="house/fees"),
        (Reason.COMPARTMENT_UNKNOWN, "house/fees is no open compartment that is pinned"),
    ),
    "an address for nobody": (
        lambda h: pinned(h, ALICE, compartment="outside/zoe"),
        (Reason.COMPARTMENT_UNKNOWN, "outside/zoe is no open compartment that is pinned"),
    ),
    "an address under another policy": (
        lambda h: pinned(h, ALICE, policy=b""),
        (Reason.POLICY_DIGEST_DIFFERS, "the address was signed for another policy"),
    ),
    "an address too late": (
        lambda h: pinned(h, ALICE, expires=LATE),
        (Reason.REQUEST_EXPIRED, f"it was good until {LATE_SHOWN}"),
    ),
    "an address of nothing": (
        lambda h: pinned(h, ALICE, address=""),
        (Reason.ADDRESS_NOT_IN_FORCE, "an address has 1 to 256 characters"),
    ),
    "an address of a thief": (
        lambda h: pinned(h, "client_key/bob"),
        (Reason.NEEDS_NOT_MET, f"{ALICE} registers an address of outside/alice, and did not sign"),
    ),
    "rotating a stranger's key": (
        lambda _: rotation("client_key/zoe"),
        (Reason.KEY_UNKNOWN, "the book knows no public key client_key/zoe"),
    ),
    "rotating too late": (
        lambda _: rotation(expires=LATE),
        (Reason.REQUEST_EXPIRED, f"the rotation was good until {LATE_SHOWN}"),
    ),
    "rotating with the new key only": (
        lambda _: rotation(by=[("next", "new")]),
        (
            Reason.NEEDS_NOT_MET,
            f"a rotation is signed by the key as it stands and by the new one as next; {ALICE} did not",
        ),
    ),
    "rotating with neither": (
        lambda _: rotation(),
        (
            Reason.NEEDS_NOT_MET,
            f"a rotation is signed by the key as it stands and by the new one as next; {ALICE}, next did not",
        ),
    ),
    "revoking a stranger's key": (
        lambda _: RevokeKey("client_key/zoe", "lost"),
        (Reason.KEY_UNKNOWN, "the book knows no public key client_key/zoe"),
    ),
    "a statement about what is to come": (
        lambda _: Statement("reconciled", NOON + SECOND_NS, True, "report"),
        (
            Reason.CLOCK_WENT_BACK,
            "the statement is as of 2025-10-10T12:00:01Z, which is still to come",
        ),
    ),
    "a statement of nobody who may": (
        lambda _: Statement("reconciled", NOON, True, "report"),
        (Reason.NOT_ASKED_TO_SIGN, "who may say reconciled is watcher_key"),
    ),
    "a statement that nobody may make": (
        lambda _: Statement("attested", NOON, True, "report"),
        (
            Reason.NOT_ASKED_TO_SIGN,
            "who may say attested is nobody: the policy has no attestor with a key",
        ),
    ),
    "a signature of a stranger": (
        lambda _: signed(RevokeKey(ALICE, "lost"), "client_key/zoe"),
        (Reason.KEY_UNKNOWN, "the book knows no public key client_key/zoe"),
    ),
    "a signature of something else": (
        lambda _: RevokeKey(ALICE, "lost", signed(RevokeKey(ALICE, "stolen"), ALICE).signatures),
        (Reason.SIGNATURE_INVALID, f"the signature of {ALICE} does not fit this request"),
    ),
    "too many signatures": (
        lambda _: RevokeKey(ALICE, "lost", signed(RevokeKey(ALICE, "lost"), ALICE).signatures * 65),
        (Reason.CHAIN_TOO_LONG, "there were 65 signatures; at most 64 are read"),
    ),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_that_is_refused(harbour, name):
    operation, expected = FACTS[name]
    assert said(harbour, operation(harbour)) == expected


def test_keys_and_members_that_were_ended(harbour):
    harbour.must(RevokeKey("client_key/bob", "stolen"))
    assert said(harbour, rotation("client_key/bob")) == (
        Reason.KEY_REVOKED,
        "client_key/bob was revoked: stolen",
    )
    move = Move("fund", "client/bob/cash", BOB, "USDC", 1)
    assert said(harbour, harbour.request(move, "client_key/bob")) == (
        Reason.KEY_REVOKED,
        "client_key/bob was revoked: stolen",
    )
    harbour.must(CloseMember("client", "carol", "gone"))
    assert said(harbour, OpenMember("client", "carol", {})) == (
        Reason.MEMBER_ALREADY_OPEN,
        "client carol was closed; a name is not used again",
    )
    assert harbour.state.ledger.tables.revoked["client_key/carol"] == "client carol was closed"
    harbour.must(receipt())
    assert said(harbour, receipt(units=2)) == (
        Reason.ID_USED_WITH_OTHER_CONTENT,
        "receipt tx of USDC was another one",
    )


def test_where_the_policy_says_who_may_halt_a_refusal_says_it_too():
    halts = 'halts:\n  freeze: {needs: "1 of [officer_a, risk_key]", lift: [officer_a, officer_b]}\nzones:'
    harbour = Harbour(TEXT.replace("zones:", halts, 1))
    assert said(harbour, Freeze("book", "drill")) == (
        Reason.ID_NOT_POSSIBLE,
        "the policy says who may: sign it, with an id that is good once",
    )
    assert said(harbour, Freeze("book", "drill", 2**128)) == said(harbour, Freeze("book", "drill"))
    assert said(harbour, Freeze("book", "drill", 7)) == (
        Reason.NEEDS_NOT_MET,
        "book needs 1 of [officer_a, risk_key], which did not sign",
    )
    assert said(harbour, RevokeKey(ALICE, "lost")) == (
        Reason.NEEDS_NOT_MET,
        f"revoking {ALICE} needs 1 of [officer_a, risk_key] or the key itself, and neither signed",
    )
    harbour.must(signed(Freeze("book", "drill", 2**128 - 1), "officer_a"))
    assert said(harbour, signed(Freeze("book", "again", 2**128 - 1), "officer_a")) == (
        Reason.ID_USED_WITH_OTHER_CONTENT,
        f"id {2**128 - 1:032x} was used before",
    )


# --- requests ----------------------------------------------------------------------------------


def test_a_request_that_is_refused_before_its_links_are_looked_at(harbour):
    digest = harbour.state.rules.digest
    assert said(harbour, harbour.request(FUND, ALICE, id=2**128)) == (
        Reason.ID_NOT_POSSIBLE,
        f"the id was {2**128}; it is a positive whole number below 2^128",
    )
    assert said(harbour, harbour.request(FUND, ALICE, policy=b"\1" * 32)) == (
        Reason.POLICY_DIGEST_DIFFERS,
        f"the request names policy 0101010101010101, and {digest.hex()[:16]} is in force",
    )
    assert said(harbour, harbour.request(FUND, ALICE, expires=LATE)) == (
        Reason.REQUEST_EXPIRED,
        f"it was good until {LATE_SHOWN}",
    )
    empty = harbour.request((), ALICE)
    assert said(harbour, empty) == (
        Reason.CHAIN_IS_EMPTY,
        "the request has no links; it needs at least one",
    )
    assert said(harbour, empty) == (
        Reason.ID_ALREADY_REFUSED,
        f"id {empty.id:032x} was refused before (CHAIN_IS_EMPTY); take a new id",
    )
    assert said(harbour, harbour.request(FUND, ALICE, id=empty.id)) == (
        Reason.ID_USED_WITH_OTHER_CONTENT,
        f"id {empty.id:032x} was used with other content; take a new id",
    )
    harbour.must(Freeze("book", "drill"))
    assert said(harbour, harbour.request(FUND, ALICE)) == (
        Reason.BOOK_IS_STOPPED,
        "the book is stopped: drill",
    )
    now = harbour.at
    harbour.at = Instant(now - SECOND_NS)
    assert said(harbour, harbour.request(FUND, ALICE)) == (
        Reason.CLOCK_WENT_BACK,
        "the time was 2025-10-10T11:59:59Z, and the book is at 2025-10-10T12:00:00Z",
    )


def test_settling_and_funding_that_are_refused(harbour):
    harbour.trade(BET, BOB, 1, 100_000)

    def asked(link, *keys):
        return said(harbour, harbour.request(link, *(keys or EVIDENCE)))

    assert asked(harbour.settle(1, "MOON")) == (
        Reason.INSTRUMENT_UNKNOWN,
        "the policy declares no instrument MOON",
    )
    assert asked(harbour.settle(100_000), "risk_key") == (
        Reason.NEEDS_NOT_MET,
        "settling BTC-PERP needs ledger_key, which did not sign",
    )
    assert asked(harbour.settle(100_000.05)) == (
        Reason.PRICE_OFF_TICK,
        "100000.05 is no whole number of ticks of 0.1",
    )
    assert asked(harbour.settle(106_000)) == (
        Reason.PRICE_OUTSIDE_BAND,
        "106000 is outside the band of 50000 ppm around 100000",
    )
    assert asked(harbour.settle(1, "ETH-PERP")) == (
        Reason.PRICE_MISSING,
        "the book holds no price index/ETH to compare with",
    )
    assert asked(Fund("ETH-PERP", 1, e10(100_000))) == (Reason.FUNDING_NOT_DUE, "ETH-PERP has no funding")
    assert asked(Fund("BTC-PERP", e10(0.0050001), e10(100_000))) == (
        Reason.FUNDING_OVER_CAP,
        "BTC-PERP funds at most 5000 ppm",
    )
    assert asked(harbour.settle(101_000)) == (
        Reason.OWED_NOT_PAID,
        f"clearing would still owe {BET} 1000000 units of USDC (variation)",
    )
    harbour.must(Freeze("compartment/clearing", "drill"))
    refused = harbour.do(harbour.request(harbour.settle(100_000), *EVIDENCE)).decision
    words = "compartment/clearing is frozen; it moves nothing until it is resumed"
    assert (refused.reason, refused.words) == (Reason.COMPARTMENT_FROZEN, words)


def test_an_instrument_is_funded_once_an_interval(harbour):
    harbour.move(Fund("BTC-PERP", 0, e10(100_000)), *EVIDENCE)
    assert said(harbour, harbour.request(Fund("BTC-PERP", 0, e10(100_000)), *EVIDENCE)) == (
        Reason.FUNDING_NOT_DUE,
        "BTC-PERP was funded in this interval already",
    )


# --- fills -------------------------------------------------------------------------------------


def fill_of(harbour, buy, sell, contracts=1, price=100_000, instrument="BTC-PERP"):
    return harbour.request(Fill(instrument, contracts, e10(price), buy, sell), *EVIDENCE)


def test_orders_that_are_refused(harbour):
    def asked(*, conditions=None, buy=None, contracts=1, price=100_000, instrument="BTC-PERP", **words):
        order = buy or harbour.order(BET, "buy", 1, 100_000, **words)
        sell = harbour.order(BOB, "sell", contracts, price, instrument=instrument)
        request = fill_of(harbour, order, sell, contracts, price, instrument)
        reason, found = said(harbour, request, allow(BET, BOB) if conditions is None else conditions)
        return reason, found.removeprefix(f"{BET}: ").replace(f"order {order.id}", "order 1")

    assert asked(policy=b"") == (Reason.POLICY_DIGEST_DIFFERS, "order 1 was signed for another policy")
    assert asked(expires=LATE) == (Reason.REQUEST_EXPIRED, "order 1 has expired")
    other = harbour.order(BET, "buy", 1, 100_000, instrument="ETH-PERP")
    assert asked(buy=other) == (
        Reason.ORDER_TERMS_DIFFER,
        "order 1 is to buy ETH-PERP, not buy BTC-PERP",
    )
    turned = harbour.order(BET, "sell", 1, 100_000)
    assert asked(buy=turned) == (
        Reason.ORDER_TERMS_DIFFER,
        "order 1 is to sell BTC-PERP, not buy BTC-PERP",
    )
    assert asked(conditions=allow(BOB)) == (
        Reason.CONDITION_NOT_MET,
        f"margin did not judge the fills of {BET}",
    )
    low = Conditions(trade={BOB: 0, BET: int(Reason.INITIAL_MARGIN_TOO_LOW)})
    assert asked(conditions=low) == (
        Reason.INITIAL_MARGIN_TOO_LOW,
        Reason.INITIAL_MARGIN_TOO_LOW.meaning,
    )
    assert asked(reduce_only=True) == (
        Reason.REDUCE_ONLY,
        "order 1 may only reduce the position of 0",
    )
    assert asked(contracts=2) == (
        Reason.ORDER_OVERFILLED,
        "order 1 has 1 of 1 contracts left",
    )
    assert asked(price=100_000.1) == (
        Reason.ORDER_LIMIT_PASSED,
        "100000.1 is worse than the limit 100000 of order 1",
    )
    assert asked(keys=("client_key/bob",)) == (
        Reason.NEEDS_NOT_MET,
        f"buy side of {BET} needs {ALICE}, which did not sign",
    )
    assert asked(contracts=0) == (
        Reason.AMOUNT_NOT_POSITIVE,
        "the fill was of 0 contracts, not 1 or more",
    )
    assert asked(contracts=2**127) == (
        Reason.AMOUNT_TOO_LARGE,
        "a fill is of at most 2^127 - 1 contracts",
    )


def test_whose_trading_is_halted_is_told_what_still_fills(harbour):
    def asked(kind):
        harbour.must(Freeze(f"compartment/{BET}", "drill", kind=kind))
        buy, sell = harbour.order(BET, "buy", 1, 100_000), harbour.order(BOB, "sell", 1, 100_000)
        return said(harbour, fill_of(harbour, buy, sell), allow(BET, BOB))

    assert asked("reduce_only") == (
        Reason.REDUCE_ONLY,
        f"trading of {BET} is halted: fills may only reduce the position of 0",
    )
    harbour.state.ledger.tables.frozen.clear()
    reason, words = asked("cancel_only")
    assert reason == Reason.REDUCE_ONLY
    assert words == f"trading of {BET} is halted: fills may only reduce the position of 0"


def test_fills_that_are_refused_whoever_asks(harbour):
    buy, sell = harbour.order(BET, "buy", 1, 100_000), harbour.order(BOB, "sell", 1, 100_000)
    both = allow(BET, BOB)
    assert said(harbour, fill_of(harbour, buy, harbour.order(BET, "sell", 1, 1)), both) == (
        Reason.SOURCE_IS_TARGET,
        f"{BET} both buys and sells; two buckets trade",
    )
    assert said(harbour, fill_of(harbour, buy, sell, instrument="MOON"), both) == (
        Reason.INSTRUMENT_UNKNOWN,
        "the policy declares no instrument MOON",
    )
    zoe = harbour.order("client/zoe/directional", "buy", 1, 100_000)
    assert said(harbour, fill_of(harbour, zoe, sell), both)[0] == Reason.MEMBER_NOT_OPEN
    moon = harbour.order("moon/alice", "buy", 1, 100_000)
    assert said(harbour, fill_of(harbour, moon, sell), both) == (
        Reason.COMPARTMENT_UNKNOWN,
        "the policy declares no compartment moon/alice",
    )
    harbour.must(Freeze("gate/trade", "drill"))
    assert said(harbour, fill_of(harbour, buy, sell), both) == (
        Reason.GATE_FROZEN,
        f"{BET}: gate/trade is frozen; it moves nothing until it is resumed",
    )
    harbour.state.ledger.tables.frozen.clear()
    harbour.at = Instant(harbour.at + MINUTE_NS)
    assert said(harbour, fill_of(harbour, buy, sell), both) == (
        Reason.PRICE_STALE,
        "index/BTC is too old; a fresh price must come first",
    )


def test_forced_sides_that_are_refused(harbour):
    harbour.trade(BET, BOB, 2, 100_000)

    def asked(cause, other="liquidation", conditions=NO_CONDITIONS, contracts=1):
        fill = Fill("BTC-PERP", contracts, e10(100_000), Closing(BOB, other), Closing(BET, cause))
        return said(harbour, harbour.request(fill, *EVIDENCE), conditions)

    assert asked("liquidation") == (
        Reason.CONDITION_NOT_MET,
        f"margin does not ask for a liquidation of {BOB}",
    )
    due = Conditions(closing={path: {"BTC-PERP": ClosingFact(2, e10(99_000))} for path in (BET, BOB)})
    assert asked("liquidation", conditions=due) == (
        Reason.TAKEOVER_IS_DUE,
        f"sold at 100000, {BOB} would be bankrupt: its position passes on at 99000",
    )
    assert asked("liquidation", conditions=due, contracts=3)[0] == Reason.REDUCE_ONLY
    sold = Conditions(closing={path: {"BTC-PERP": ClosingFact(2)} for path in (BET, BOB)})
    harbour.must(
        harbour.request(
            Fill("BTC-PERP", 1, e10(100_000), Closing(BOB, "liquidation"), Closing(BET, "liquidation")),
            *EVIDENCE,
        ),
        sold,
    )
    assert asked("takeover", "takeover") == (
        Reason.CONDITION_NOT_MET,
        "margin states no bankruptcy price for either side",
    )
    lonely = asked("takeover", "deleveraging")
    assert lonely == (Reason.CONDITION_NOT_MET, "margin states no bankruptcy price for either side")


def test_the_pieces_of_a_move_in_words(harbour):
    assert said(harbour, harbour.request(Move("fund", CASH, HEDGE, "BTC", 1), ALICE)) == (
        Reason.FREE_BALANCE_TOO_LOW,
        f"{CASH} has 0 BTC free, and 0.00000001 BTC was asked",
    )
    assert said(harbour, harbour.request(Move("withdraw", CASH, "house/fees", "USDC", 1), ALICE)) == (
        Reason.NO_GATE_BETWEEN_COMPARTMENTS,
        f"the policy opens no gate withdraw from {CASH} to house/fees",
    )
    fees = Move("sweep", "house/fees", "house/treasury", "BTC", 1)
    assert said(harbour, harbour.request(fees, *OFFICERS)) == (
        Reason.ASSET_NOT_ACCEPTED,
        "sweep moves USDC from house/fees to house/treasury, not BTC",
    )


def test_a_receipt_that_nobody_witnessed_says_whose_key_it_needs(harbour):
    reason, words = said(harbour, Receipt("tx", "outside", CASH, "USDC", 1))
    assert reason == Reason.NEEDS_NOT_MET
    assert words.startswith("a receipt needs a key of watcher (watcher_key)")


def test_an_order_filled_in_part_says_what_is_left_of_it(harbour):
    buy, sell = harbour.order(BET, "buy", 3, 100_000), harbour.order(BOB, "sell", 9, 100_000)
    harbour.must(fill_of(harbour, buy, sell, 2), allow(BET, BOB))
    assert said(harbour, fill_of(harbour, buy, sell, 2), allow(BET, BOB)) == (
        Reason.ORDER_OVERFILLED,
        f"{BET}: order {buy.id} has 1 of 3 contracts left",
    )


def test_a_side_that_nobody_signed_names_the_line_of_its_bucket(harbour):
    buy = harbour.order(BET, "buy", 1, 100_000, keys=())
    request = fill_of(harbour, buy, harbour.order(BOB, "sell", 1, 100_000))
    refused = harbour.do(request, allow(BET, BOB)).decision
    assert refused.reason == Reason.NEEDS_NOT_MET
    assert refused.rule == harbour.state.rules.place(BET).rule.line


@pytest.mark.parametrize(("price_e10", "is_refused"), [(0, True), (1, False), (2, False), (-1, True)])
def test_the_smallest_tick_is_a_price(harbour, price_e10, is_refused):
    terms = harbour.state.rules.instruments["BTC-PERP"].model_copy(update={"tick_e10": 1})
    assert bool(list(judge_tick(terms, price_e10))) is is_refused


def test_what_comes_from_outside_fills_its_running_total_too(harbour):
    ledger = harbour.state.ledger
    ledger.tables.balances["outside", "USDC"] = (2**128 - 2, 0)
    assert ledger.total_room("outside", CASH, "USDC") == 1
    ledger.tables.balances[CASH, "USDC"] = (0, 2**128 - 1)
    assert ledger.total_room("outside", CASH, "USDC") == 0
    assert ledger.total_room(CASH, "outside", "USDC") == 2**128 - 1
