"""Trading sessions: orders for a while, never a gate, and whoever holds one is a fact."""

from typing import Any

import msgspec
import pytest
from harbour import EVIDENCE, NOON, TEXT, USDC, Harbour, allow, e10, rotated, seed, signed

from ringfence.adapters.signatures_ed25519 import sign, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.operations import (
    CloseSession,
    Fill,
    Move,
    OpenSession,
    Order,
    RevokeKey,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.tables import SessionState
from ringfence.planes.ledger.trading_sessions import order_signers, session_key

CLIENT, HEDGE, BOB = "client_key/alice", "client/alice/hedge", "client/bob/hedge"
SESSION = 7_000


@pytest.fixture
def harbour() -> Harbour:
    book = Harbour(TEXT)
    book.price("BTC", 100_000)
    for member in ("alice", "bob"):
        book.fund(member, "hedge", 1_000 * USDC)
    return book


def opening(harbour: Harbour, *keys: str, **words: Any) -> OpenSession:
    fields: dict[str, Any] = {"id": SESSION, "key": CLIENT, "holder": "risk", "buckets": (HEDGE,)}
    fields |= {"expires": NOON + HOUR_NS, "policy": harbour.state.rules.digest} | words
    return signed(OpenSession(**fields), *keys)


def vouched(order: Order, key: str = "risk_key", session: int = SESSION) -> Order:
    """Let a key of the holder stand for an order, as the service does for a frame that counts."""
    voucher = Signature(session_key(session), sign(seed(key), signing_bytes(order)))
    return msgspec.structs.replace(order, signatures=(voucher,))


def fill_of(harbour: Harbour, order: Order) -> Any:
    sell = harbour.order(BOB, "sell", 1, 100_000)
    return harbour.request(Fill("BTC-PERP", 1, e10(100_000), order, sell))


def filled(harbour: Harbour, order: Order, *others: str) -> Reason | None:
    decision = harbour.do(fill_of(harbour, order), allow(HEDGE, BOB, *others)).decision
    return decision.reason if isinstance(decision, Refused) else None


def reason_of(harbour: Harbour, operation: Any) -> Reason | None:
    decision = harbour.do(operation).decision
    return decision.reason if isinstance(decision, Refused) else None


@pytest.mark.parametrize(("late_ns", "reason"), [(0, None), (1, Reason.SESSION_NOT_OPEN)])
def test_the_holder_places_orders_as_long_as_the_session_lasts(harbour, late_ns, reason):
    order = harbour.order(HEDGE, "buy", 1, 100_000)
    assert filled(harbour, vouched(order)) == Reason.SESSION_NOT_OPEN
    harbour.must(opening(harbour, CLIENT))
    harbour.at = Instant(NOON + HOUR_NS + late_ns)
    harbour.price("BTC", 100_000)
    order = harbour.order(HEDGE, "buy", 1, 100_000)
    assert filled(harbour, vouched(order)) == reason


def test_a_session_is_never_good_for_a_gate(harbour):
    harbour.must(opening(harbour, CLIENT))
    move = Move("fund", "client/alice/cash", HEDGE, "USDC", 1)
    request = harbour.request(move)
    voucher = Signature(session_key(SESSION), sign(seed("risk_key"), signing_bytes(request)))
    assert reason_of(harbour, msgspec.structs.replace(request, signatures=(voucher,))) == Reason.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("order", "voucher", "reason"),
    [
        ({}, {"key": "ledger_key"}, Reason.SIGNATURE_INVALID),
        ({}, {"key": "client_key/alice"}, Reason.SIGNATURE_INVALID),
        ({}, {"session": SESSION + 1}, Reason.SESSION_NOT_OPEN),
        ({"bucket": "client/alice/directional"}, {}, Reason.SESSION_NOT_OPEN),
        ({"bucket": "client/carol/hedge"}, {}, Reason.SESSION_NOT_OPEN),
    ],
)
def test_a_voucher_is_of_the_holder_and_for_the_buckets_named(harbour, order, voucher, reason):
    harbour.must(opening(harbour, CLIENT))
    words = {"bucket": HEDGE} | order
    made = harbour.order(words["bucket"], "buy", 1, 100_000)
    assert filled(harbour, vouched(made, **voucher), words["bucket"]) == reason


def test_another_order_than_the_one_vouched_for_is_none(harbour):
    harbour.must(opening(harbour, CLIENT))
    order = vouched(harbour.order(HEDGE, "buy", 1, 100_000))
    assert filled(harbour, msgspec.structs.replace(order, contracts=2)) == Reason.SIGNATURE_INVALID
    bad = msgspec.structs.replace(order, signatures=(Signature("session/7", b""),))
    assert filled(harbour, bad) == Reason.SESSION_NOT_OPEN


@pytest.mark.parametrize("key", [CLIENT, "risk_key"])
@pytest.mark.parametrize("keeps", [True, False])
def test_closed_it_takes_an_order_filled_in_part_no_further(harbour, key, keeps):
    harbour.must(opening(harbour, CLIENT))
    order = vouched(harbour.order(HEDGE, "buy", 2, 100_000))
    assert filled(harbour, order) is None
    harbour.must(signed(CloseSession(SESSION, "done"), key))
    assert harbour.must(signed(CloseSession(SESSION, "again"), key)).decision == Accepted(repeated=True)
    assert harbour.state.ledger.tables.trading_sessions == {
        SESSION: SessionState(opening(harbour, CLIENT), True)
    }
    shown = order if keeps else msgspec.structs.replace(order, signatures=())
    wanted = Reason.SESSION_NOT_OPEN if keeps else Reason.NEEDS_NOT_MET
    assert filled(harbour, shown) == wanted


def test_others_do_not_close_it(harbour):
    assert reason_of(harbour, signed(CloseSession(SESSION, "?"), CLIENT)) == Reason.SESSION_NOT_OPEN
    harbour.must(opening(harbour, CLIENT))
    for keys, reason in (
        (("client_key/bob",), Reason.NOT_ASKED_TO_SIGN),
        ((), Reason.NOT_ASKED_TO_SIGN),
        (("client_key/zoe",), Reason.KEY_UNKNOWN),
    ):
        assert reason_of(harbour, signed(CloseSession(SESSION, "mine"), *keys)) == reason


def test_a_revoked_key_has_opened_no_session(harbour):
    harbour.must(opening(harbour, CLIENT))
    harbour.must(RevokeKey(CLIENT, "stolen"))
    order = harbour.order(HEDGE, "buy", 1, 100_000)
    assert filled(harbour, vouched(order)) == Reason.SESSION_NOT_OPEN
    assert harbour.state.session_holdings(harbour.at, verify) == ()


@pytest.mark.parametrize(
    ("words", "keys", "reason"),
    [
        ({}, ("client_key/bob",), Reason.NEEDS_NOT_MET),
        ({}, EVIDENCE, Reason.NEEDS_NOT_MET),
        ({}, ("client_key/zoe",), Reason.KEY_UNKNOWN),
        ({"id": 0}, (CLIENT,), Reason.ID_NOT_POSSIBLE),
        ({"policy": b"x" * 32}, (CLIENT,), Reason.POLICY_DIGEST_DIFFERS),
        ({"expires": NOON - 1}, (CLIENT,), Reason.REQUEST_EXPIRED),
        ({"expires": NOON}, (CLIENT,), None),
        ({"holder": "nobody"}, (CLIENT,), Reason.SERVICE_UNKNOWN),
    ],
)
def test_what_opens_a_session_and_what_does_not(harbour, words, keys, reason):
    assert reason_of(harbour, opening(harbour, *keys, **words)) == reason


def test_an_id_opens_one_session(harbour):
    first = opening(harbour, CLIENT, buckets=(HEDGE, BOB))
    harbour.must(first)
    assert harbour.state.ledger.tables.session_buckets == {HEDGE: SESSION, BOB: SESSION}
    assert harbour.must(first).decision == Accepted(repeated=True)
    assert reason_of(harbour, opening(harbour, CLIENT, holder="ledger")) == Reason.ID_USED_WITH_OTHER_CONTENT


def test_who_holds_a_session_is_a_fact_that_the_proof_takes(harbour):
    harbour.must(opening(harbour, CLIENT))
    (holding,) = harbour.state.session_holdings(harbour.at, verify)
    assert holding == ("risk", CLIENT)
    later = Instant(NOON + DAY_NS)
    assert harbour.state.session_holdings(later, verify) == ()


# --- in words ----------------------------------------------------------------------------------


def words_of(harbour: Harbour, operation: Any, *others: str) -> str:
    decision = harbour.do(operation, allow(HEDGE, BOB, *others)).decision
    assert isinstance(decision, Refused), decision
    return decision.words.removeprefix(f"{HEDGE}: ")


def test_why_a_session_does_not_count_is_said(harbour):
    def ask(**words):
        return words_of(harbour, fill_of(harbour, vouched(harbour.order(HEDGE, "buy", 1, 100_000), **words)))

    key, tables = session_key(SESSION), harbour.state.ledger.tables
    assert ask() == f"{key} was never opened"
    harbour.must(opening(harbour, CLIENT))
    assert ask(key="ledger_key") == f"no key of risk signed the order for {key}"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT, holder="gone"))
    assert ask() == f"no key of gone signed the order for {key}"
    assert words_of(harbour, CloseSession(SESSION, "enough")) == f"who may close the session is {CLIENT}"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT, policy=b"x" * 32))
    assert ask() == f"{key} was opened under another policy"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT, expires=NOON - 1))
    assert ask() == f"{key} was good until 2025-10-10T11:59:59.999999999Z"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT, buckets=(BOB,)))
    assert ask() == f"{key} is not for {HEDGE}"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT))
    closing = CloseSession(SESSION, "enough")
    assert words_of(harbour, closing) == f"who may close the session is {CLIENT}, risk_key"
    harbour.must(signed(closing, CLIENT))
    assert ask() == f"{key} was closed"
    tables.trading_sessions[SESSION] = SessionState(opening(harbour, CLIENT))
    harbour.must(RevokeKey(CLIENT, "stolen"))
    assert ask() == f"{key} was opened by {CLIENT}, which no longer counts"


@pytest.mark.parametrize(
    ("identifier", "reason"), [(1, None), (2**128 - 1, None), (2**128, Reason.ID_NOT_POSSIBLE)]
)
def test_ids_from_the_first_to_the_last_open_a_session_and_no_other(harbour, identifier, reason):
    assert reason_of(harbour, opening(harbour, CLIENT, id=identifier)) == reason


@pytest.mark.parametrize(("count", "reason"), [(63, None), (64, Reason.CHAIN_TOO_LONG)])
def test_so_many_signatures_of_an_order_are_read(harbour, count, reason):
    """64 in all: the client's own, and as many vouchers as there is room for."""
    harbour.must(opening(harbour, CLIENT))
    order = harbour.order(HEDGE, "buy", 1, 100_000)
    (voucher,) = vouched(order).signatures
    signatures = (*order.signatures, *[voucher] * count)
    many = msgspec.structs.replace(order, signatures=signatures)
    assert filled(harbour, many) == reason
    if reason is not None:
        assert words_of(harbour, fill_of(harbour, many)) == "at most 64 signatures are read"


def test_the_former_self_of_a_key_opens_and_closes_in_time(harbour):
    harbour.must(rotated(CLIENT, harbour.at, harbour.at + HOUR_NS))
    assert filled(harbour, harbour.order(HEDGE, "buy", 1, 100_000)) is None
    harbour.must(opening(harbour, CLIENT))
    assert filled(harbour, harbour.order(HEDGE, "buy", 1, 100_000)) is None
    assert filled(harbour, vouched(harbour.order(HEDGE, "buy", 1, 100_000))) is None
    harbour.must(signed(CloseSession(SESSION, "enough"), CLIENT))


def test_the_former_self_of_the_holders_key_vouches_in_time(harbour):
    harbour.must(opening(harbour, CLIENT))
    harbour.must(rotated("risk_key", harbour.at, harbour.at + HOUR_NS - 1))
    order = vouched(harbour.order(HEDGE, "buy", 1, 100_000))
    assert filled(harbour, order) is None
    harbour.at = Instant(NOON + HOUR_NS)
    harbour.price("BTC", 100_000)
    assert filled(harbour, vouched(harbour.order(HEDGE, "buy", 1, 100_000))) == Reason.SIGNATURE_INVALID


def test_whoever_signed_beside_a_session_stands_behind_the_order_too(harbour):
    harbour.must(opening(harbour, CLIENT))
    order = harbour.order(HEDGE, "buy", 1, 100_000, keys=("client_key/bob",))
    both = msgspec.structs.replace(order, signatures=(*order.signatures, *vouched(order).signatures))
    found = order_signers(harbour.state.ledger, both, signing_bytes(both), harbour.at, verify)
    assert found == {CLIENT, "client_key/bob"}
