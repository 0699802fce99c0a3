"""Requests that wait: delay, cancelling, signatures that come one by one, and what is judged again."""

import msgspec
import pytest
from harbour import OFFICERS, TEXT, USDC, Harbour, rotated, seed, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import public_key, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, MINUTE_NS, Instant
from ringfence.planes.ledger.operations import (
    Announce,
    Approve,
    Cancel,
    CarryOut,
    Freeze,
    Move,
    Request,
    Resume,
    RevokeKey,
    signing_bytes,
)

CLIENT, WALLET = "client_key/alice", "wallet_key"
ALL = (CLIENT, WALLET, "officer_a")
CASH, OUT = "client/alice/cash", "outside/alice"
WITHDRAW = Move("withdraw", CASH, OUT, "USDC", 10 * USDC)
PENDING = Accepted(pending=True)


@pytest.fixture
def harbour() -> Harbour:
    book = Harbour(TEXT)
    book.deposit("alice", 100 * USDC)
    return book


def announced(harbour: Harbour, *keys: str, move: Move = WITHDRAW, **words: object) -> Request:
    """A pending request; signed by fewer than are needed, it is announced in so many words."""
    request = harbour.request(move, *keys, **words)
    gathers = not {"client_key/alice", "wallet_key", "officer_a"} <= set(keys)
    outcome = harbour.must(Announce(request) if gathers else request)
    assert outcome.decision == PENDING
    assert outcome.entries == ()
    return request


def approval(request: Request, *keys: str, expires: int | None = None) -> Approve:
    until = request.expires if expires is None else expires
    return signed(Approve(request.id, signing_bytes(request), until), *keys)


def cancelling(request: Request, *keys: str) -> Cancel:
    return signed(Cancel(request.id, signing_bytes(request), "not mine"), *keys)


def why_not(harbour: Harbour, operation: object) -> Reason:
    decision = harbour.do(operation).decision
    assert isinstance(decision, Refused), decision
    harbour.state.check_conservation()
    return decision.reason


def left(harbour: Harbour) -> int:
    return harbour.state.balance(CASH, "USDC") // USDC


# --- delay -------------------------------------------------------------------------------------


def test_a_delayed_request_is_announced_and_moves_nothing(harbour):
    request = announced(harbour, *ALL)
    assert left(harbour) == 100
    pending = harbour.state.pending()[request.id]
    assert pending.due == harbour.at + HOUR_NS
    assert not harbour.state.lacks(pending, harbour.at, lambda *_: True)


@pytest.mark.parametrize(("late_ns", "moves"), [(-1, False), (0, True), (1, True)])
def test_it_is_carried_out_from_the_end_of_the_delay_on(harbour, late_ns, moves):
    request = announced(harbour, *ALL)
    harbour.at = Instant(harbour.at + HOUR_NS + late_ns)
    decision = harbour.do(CarryOut(request.id)).decision
    assert isinstance(decision, Accepted) == moves
    assert moves or decision.reason == Reason.DELAY_NOT_PASSED
    assert left(harbour) == (90 if moves else 100)
    assert (request.id in harbour.state.pending()) == (not moves)


def test_it_is_carried_out_once(harbour):
    request = announced(harbour, *ALL)
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert harbour.must(CarryOut(request.id)).decision == Accepted()
    assert harbour.must(CarryOut(request.id)).decision == Accepted(repeated=True)
    assert harbour.must(request).decision == Accepted(repeated=True)
    assert left(harbour) == 90
    assert why_not(harbour, cancelling(request, CLIENT)) == Reason.NOT_PENDING
    assert why_not(harbour, approval(request, "officer_b")) == Reason.NOT_PENDING


def test_asked_again_while_it_is_pending_it_is_repeated(harbour):
    request = announced(harbour, *ALL)
    assert harbour.must(request).decision == Accepted(repeated=True, pending=True)
    other = harbour.request(msgspec.structs.replace(WITHDRAW, units=1), *ALL, id=request.id)
    assert why_not(harbour, other) == Reason.ID_USED_WITH_OTHER_CONTENT
    assert harbour.state.pending()[request.id].request == request


@pytest.mark.parametrize(("spare_ns", "reason"), [(-1, Reason.REQUEST_EXPIRED), (0, None)])
def test_a_request_that_expires_before_its_delay_has_passed_is_refused(harbour, spare_ns, reason):
    request = harbour.request(WITHDRAW, *ALL, expires=harbour.at + HOUR_NS + spare_ns)
    decision = harbour.do(request).decision
    assert (decision.reason if isinstance(decision, Refused) else None) == reason
    assert bool(harbour.state.pending()) == (reason is None)


@pytest.mark.parametrize(("late_ns", "moves"), [(0, True), (1, False)])
def test_it_expires_and_never_comes_back(harbour, late_ns, moves):
    request = announced(harbour, *ALL, expires=harbour.at + 2 * HOUR_NS)
    harbour.at = Instant(request.expires + late_ns)
    if moves:
        harbour.must(CarryOut(request.id))
        return
    assert why_not(harbour, cancelling(request, CLIENT)) == Reason.REQUEST_EXPIRED
    assert why_not(harbour, CarryOut(request.id)) == Reason.REQUEST_EXPIRED
    assert harbour.state.pending() == {}
    assert why_not(harbour, CarryOut(request.id)) == Reason.NOT_PENDING
    assert why_not(harbour, request) == Reason.ID_ALREADY_REFUSED


def test_what_is_refused_when_announced_is_never_pending(harbour):
    too_much = msgspec.structs.replace(WITHDRAW, units=101 * USDC)
    assert harbour.reason(too_much, *ALL) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.reason(WITHDRAW, CLIENT, WALLET) == Reason.NEEDS_NOT_MET
    assert harbour.state.pending() == {}


# --- everything is judged again ----------------------------------------------------------------


def test_the_balance_is_judged_again(harbour):
    request = announced(harbour, *ALL, move=msgspec.structs.replace(WITHDRAW, units=60 * USDC))
    fund = Move("fund", CASH, "client/alice/hedge", "USDC", 50 * USDC)
    harbour.move(fund, CLIENT)  # what is pending holds nothing back
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.state.pending() == {}
    harbour.deposit("alice", 100 * USDC)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NOT_PENDING
    assert why_not(harbour, request) == Reason.ID_ALREADY_REFUSED


def test_the_limit_counts_in_the_window_in_which_it_is_carried_out():
    harbour = Harbour(TEXT)
    harbour.deposit("alice", 300_000 * USDC)
    full = msgspec.structs.replace(WITHDRAW, units=100_000 * USDC)
    first, second = announced(harbour, *ALL, move=full), announced(harbour, *ALL, move=full)
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(first.id))
    assert why_not(harbour, CarryOut(second.id)) == Reason.GATE_LIMIT_EXCEEDED
    midnight = harbour.at - harbour.at % DAY_NS + DAY_NS
    harbour.at = Instant(midnight - HOUR_NS)
    assert harbour.reason(full, *ALL) == Reason.GATE_LIMIT_EXCEEDED
    harbour.at = Instant(midnight)
    third = announced(harbour, *ALL, move=full)
    harbour.at = Instant(midnight + HOUR_NS)
    harbour.must(CarryOut(third.id))


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("gate/withdraw", Reason.GATE_FROZEN),
        (f"compartment/{CASH}", Reason.COMPARTMENT_FROZEN),
        ("asset/USDC", Reason.ASSET_FROZEN),
        ("book", Reason.BOOK_IS_STOPPED),
    ],
)
def test_a_stop_delays_what_is_pending_and_does_not_end_it(harbour, scope, reason):
    request = announced(harbour, *ALL)
    harbour.must(Freeze(scope, "drill"))
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == reason
    harbour.must(Resume(scope, "over"))
    harbour.must(CarryOut(request.id))
    assert left(harbour) == 90


def test_a_key_revoked_meanwhile_no_longer_counts_and_the_delay_begins_again(harbour):
    request = announced(harbour, *ALL)
    harbour.must(RevokeKey("officer_a", "stolen"))
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    harbour.must(approval(request, "officer_b"))
    assert why_not(harbour, CarryOut(request.id)) == Reason.DELAY_NOT_PASSED
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(request.id))


# --- cancelling --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [CLIENT, "officer_a", "officer_b"])
def test_whom_the_policy_names_may_cancel(harbour, key):
    request = announced(harbour, *ALL)
    harbour.must(cancelling(request, key))
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NOT_PENDING
    again = harbour.do(request).decision
    assert again.reason == Reason.ID_ALREADY_REFUSED
    assert Reason.REQUEST_CANCELLED.name in again.words
    assert why_not(harbour, cancelling(request, key)) == Reason.NOT_PENDING
    assert left(harbour) == 100


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (("client_key/bob",), Reason.NOT_ASKED_TO_SIGN),
        (("wallet_key",), Reason.NOT_ASKED_TO_SIGN),
        ((), Reason.NOT_ASKED_TO_SIGN),
        (("client_key/nobody",), Reason.KEY_UNKNOWN),
    ],
)
def test_nobody_else_may(harbour, keys, reason):
    request = announced(harbour, *ALL)
    assert why_not(harbour, cancelling(request, *keys)) == reason
    assert request.id in harbour.state.pending()


def test_a_cancelling_counts_for_one_content_and_its_own_bytes(harbour):
    request, other = announced(harbour, *ALL), announced(harbour, *ALL)
    right = cancelling(request, CLIENT)
    moved = msgspec.structs.replace(right, request=other.id)
    assert why_not(harbour, moved) == Reason.ID_USED_WITH_OTHER_CONTENT
    both = msgspec.structs.replace(moved, content=signing_bytes(other))
    assert why_not(harbour, both) == Reason.SIGNATURE_INVALID
    assert why_not(harbour, msgspec.structs.replace(right, reason="changed")) == Reason.SIGNATURE_INVALID
    # What was signed to approve it cancels nothing.
    approved = approval(request, CLIENT).signatures
    assert why_not(harbour, msgspec.structs.replace(right, signatures=approved)) == Reason.SIGNATURE_INVALID


# --- signatures that come one by one -----------------------------------------------------------


def test_everybody_signs_in_their_own_time_and_then_the_delay_begins(harbour):
    request = announced(harbour, CLIENT)
    start = harbour.at
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    for minutes, key in ((10, "officer_b"), (50, WALLET)):
        harbour.at = Instant(start + minutes * MINUTE_NS)
        harbour.must(approval(request, key))
    harbour.at = Instant(start + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.DELAY_NOT_PASSED
    harbour.at = Instant(start + 50 * MINUTE_NS + HOUR_NS)
    harbour.must(CarryOut(request.id))
    assert left(harbour) == 90


def test_a_gate_without_a_delay_can_gather_signatures_too(harbour):
    harbour.endow("house/fees", 10 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 10 * USDC)
    request = announced(harbour, "officer_a", move=sweep)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    assert harbour.must(approval(request, "officer_a")).decision == Accepted(repeated=True)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    harbour.must(approval(request, "officer_b"))
    harbour.must(CarryOut(request.id))
    assert harbour.state.balance("house/treasury", "USDC") == 10 * USDC


def test_without_cancel_nobody_cancels(harbour):
    harbour.endow("house/fees", 10 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", USDC)
    request = announced(harbour, "officer_a", move=sweep)
    assert why_not(harbour, cancelling(request, *OFFICERS)) == Reason.NOT_ASKED_TO_SIGN


@pytest.mark.parametrize(("late_ns", "counts"), [(0, True), (1, False)])
def test_an_approval_expires(harbour, late_ns, counts):
    request = announced(harbour, CLIENT, WALLET)
    until = harbour.at + 2 * HOUR_NS
    harbour.must(approval(request, "officer_a", expires=until))
    harbour.at = Instant(until + late_ns)
    if counts:
        harbour.must(CarryOut(request.id))
        return
    assert why_not(harbour, approval(request, "officer_a", expires=until)) == Reason.REQUEST_EXPIRED
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    harbour.must(approval(request, "officer_a"))
    assert why_not(harbour, CarryOut(request.id)) == Reason.DELAY_NOT_PASSED
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(request.id))


def test_a_pending_approval_of_a_revoked_key_does_not_count(harbour):
    request = announced(harbour, CLIENT, WALLET)
    harbour.must(approval(request, "officer_a"))
    harbour.must(RevokeKey("officer_a", "lost"))
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.NEEDS_NOT_MET
    assert why_not(harbour, approval(request, "officer_a")) == Reason.KEY_REVOKED


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (("client_key/bob",), Reason.NOT_ASKED_TO_SIGN),
        (("officer_b", "risk_key"), Reason.NOT_ASKED_TO_SIGN),
        ((), Reason.NOT_ASKED_TO_SIGN),
        (("client_key/nobody",), Reason.KEY_UNKNOWN),
    ],
)
def test_only_those_who_are_needed_approve(harbour, keys, reason):
    request = announced(harbour, CLIENT)
    assert why_not(harbour, approval(request, *keys)) == reason


def test_an_approval_is_of_one_content(harbour):
    request, other = announced(harbour, CLIENT), announced(harbour, CLIENT)
    stray = msgspec.structs.replace(approval(request, "officer_a"), request=other.id)
    assert why_not(harbour, stray) == Reason.ID_USED_WITH_OTHER_CONTENT
    forged = msgspec.structs.replace(stray, content=signing_bytes(other))
    assert why_not(harbour, forged) == Reason.SIGNATURE_INVALID
    longer = msgspec.structs.replace(approval(request, "officer_a"), expires=request.expires + 1)
    assert why_not(harbour, longer) == Reason.SIGNATURE_INVALID
    assert why_not(harbour, approval(harbour.request(WITHDRAW), "officer_a")) == Reason.NOT_PENDING


def test_an_announcement_needs_one_who_is_needed_and_nothing_else_amiss(harbour):
    def reason(request: Request) -> Reason:
        return harbour.refuses(Announce(request))

    assert reason(harbour.request(WITHDRAW)) == Reason.NEEDS_NOT_MET
    assert reason(harbour.request(WITHDRAW, "client_key/bob")) == Reason.NEEDS_NOT_MET
    assert reason(harbour.request(WITHDRAW, CLIENT, expires=harbour.at)) == Reason.REQUEST_EXPIRED
    stray = msgspec.structs.replace(harbour.request(WITHDRAW, CLIENT), id=999)
    assert reason(stray) == Reason.SIGNATURE_INVALID
    too_much = msgspec.structs.replace(WITHDRAW, units=101 * USDC)
    assert reason(harbour.request(too_much, CLIENT)) == Reason.FREE_BALANCE_TOO_LOW
    assert reason(harbour.request((), CLIENT)) == Reason.CHAIN_IS_EMPTY
    refused = harbour.request(too_much, CLIENT)
    harbour.refuses(Announce(refused))
    assert reason(refused) == Reason.ID_ALREADY_REFUSED


def test_sixty_four_approvals_are_kept(harbour):
    request = announced(harbour, CLIENT, WALLET)
    for _ in range(64):
        harbour.at = Instant(harbour.at + 1)
        harbour.must(approval(request, "officer_a", expires=harbour.at))
    harbour.at = Instant(harbour.at + 1)
    assert why_not(harbour, approval(request, "officer_a", expires=harbour.at)) == Reason.CHAIN_TOO_LONG


def test_an_exchange_waits_as_a_gate_does():
    block = TEXT[TEXT.index("  block:") : TEXT.index("waterfalls:")]
    delayed = block.replace("on: [ledger],", 'on: [ledger], delay: 1 h, cancel: ["client_key/{a}"],')
    harbour = Harbour(TEXT.replace(block, delayed))
    harbour.price("BTC", 100_000)
    harbour.deposit("alice", 1_000 * USDC)
    harbour.deposit("bob", 10**6, "BTC")
    legs = (
        Move("block", CASH, "client/bob/cash", "USDC", 1_000 * USDC),
        Move("block", "client/bob/cash", CASH, "BTC", 10**6),
    )
    request = harbour.request(legs, CLIENT, exchange="block")
    assert harbour.must(Announce(request)).decision == PENDING
    assert why_not(harbour, approval(request, "client_key/carol")) == Reason.NOT_ASKED_TO_SIGN
    harbour.must(approval(request, "client_key/bob"))
    assert why_not(harbour, cancelling(request, "client_key/carol")) == Reason.NOT_ASKED_TO_SIGN
    harbour.at = Instant(harbour.at + HOUR_NS)
    assert why_not(harbour, CarryOut(request.id)) == Reason.PRICE_STALE
    assert harbour.state.pending() == {}  # a stale price is no stop: it ends as every refused request does
    fresh = harbour.request(legs, CLIENT, "client_key/bob", exchange="block")
    harbour.price("BTC", 100_000)
    harbour.must(fresh)
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.price("BTC", 100_000)
    harbour.must(CarryOut(fresh.id))
    assert harbour.state.balance(CASH, "BTC") == 10**6


# --- laws --------------------------------------------------------------------------------------

SIGNERS = (CLIENT, WALLET, "officer_a", "officer_b")
STEP = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([1, 20, 40, 60])),
    st.tuples(st.just("approve"), st.sampled_from(SIGNERS)),
    st.tuples(st.just("revoke"), st.sampled_from(SIGNERS)),
    st.tuples(st.just("cancel"), st.sampled_from([CLIENT, "officer_b", WALLET])),
    st.tuples(st.just("carry out"), st.none()),
)


@settings(max_examples=60)
@given(st.sampled_from(SIGNERS), st.lists(STEP, max_size=14))
def test_nothing_is_carried_out_early_unsigned_revoked_or_cancelled(first, steps):
    """A model of a few lines beside the book: who counts, since when everybody does, how it ended."""
    harbour = Harbour(TEXT, members=("alice",))
    harbour.deposit("alice", 100 * USDC)
    request = harbour.request(WITHDRAW, first, expires=harbour.at + 3 * HOUR_NS)
    harbour.must(Announce(request))
    done: list[tuple[int, object]] = []
    counting, revoked, met, state = {first}, set(), None, "pending"
    for word, what in steps:
        if word == "wait":
            harbour.at = Instant(harbour.at + what * MINUTE_NS)
            continue
        operation = {
            "approve": lambda key: approval(request, key),
            "revoke": lambda key: RevokeKey(key, "drill"),
            "cancel": lambda key: cancelling(request, key),
            "carry out": lambda _: CarryOut(request.id),
        }[word](what)
        accepted = isinstance(harbour.do(operation).decision, Accepted)
        done.append((harbour.at, operation))
        is_alive = state == "pending" and harbour.at <= request.expires
        live = counting - revoked
        full = {CLIENT, WALLET} <= live and bool(live & {"officer_a", "officer_b"})
        if word == "revoke":
            revoked.add(what)
        elif word == "approve":
            assert accepted == (is_alive and what not in revoked)
            if accepted:
                counting.add(what)
                now = counting - revoked
                is_full = {CLIENT, WALLET} <= now and bool(now & {"officer_a", "officer_b"})
                met = met if full else harbour.at if is_full else None
        elif word == "cancel":
            assert accepted == (is_alive and what not in revoked and what != WALLET)
            state = "cancelled" if accepted else state
        else:
            due = is_alive and full and met is not None and harbour.at >= met + HOUR_NS
            assert accepted == (due or state == "carried out")
            state = "carried out" if due else state
    assert left(harbour) == (90 if state == "carried out" else 100)
    assert_replays(harbour, request, done)


def assert_replays(harbour: Harbour, request: Request, done: list[tuple[int, object]]) -> None:
    """The same operations at the same times give the same book, what is pending included."""
    again = Harbour(TEXT, members=("alice",))
    again.deposit("alice", 100 * USDC)
    again.must(Announce(request))
    for at, operation in done:
        again.at = Instant(at)
        again.do(operation)
    again.state.at = harbour.state.at
    assert again.state.digest() == harbour.state.digest()


def test_what_is_pending_is_part_of_the_digest(harbour):
    twin = Harbour(TEXT)
    twin.deposit("alice", 100 * USDC)
    request = announced(harbour, CLIENT)
    twin._next_id = harbour._next_id
    twin.must(Announce(request))
    assert twin.state.digest() == harbour.state.digest()
    twin.must(approval(request, WALLET))
    assert twin.state.digest() != harbour.state.digest()
    assert public_key(seed(WALLET)) == harbour.state.public_keys()[WALLET]


# --- in words ----------------------------------------------------------------------------------

NEEDED = "client_key/alice, officer_a, officer_b, wallet_key"
CANCELLERS = "client_key/alice, officer_a, officer_b"


def said(harbour: Harbour, operation: object) -> str:
    decision = harbour.do(operation).decision
    assert isinstance(decision, Refused), decision
    return decision.words


@pytest.mark.parametrize("keys", [(), ("risk_key",)])
def test_an_announcement_that_nobody_asked_signed_says_who_is_asked(harbour, keys):
    words = said(harbour, Announce(harbour.request(WITHDRAW, *keys)))
    assert words == f"nobody signed of those who are needed: {NEEDED}"


def test_what_passes_no_gate_waits_for_nobody(harbour):
    request = harbour.request(harbour.settle(100_000), "risk_key")
    assert said(harbour, Announce(request)) == "nobody signed of those who are needed: nobody"


@pytest.mark.parametrize(
    ("keys", "who"),
    [((), "nobody"), (("risk_key",), "risk_key"), (("risk_key", "ledger_key"), "ledger_key, risk_key")],
)
def test_who_was_not_asked_is_told_who_may(harbour, keys, who):
    request = announced(harbour, CLIENT)
    assert said(harbour, approval(request, *keys)) == f"{who} signed, and {NEEDED} may"
    if keys:
        assert said(harbour, approval(request, *keys, "officer_a")) == f"{who} signed, and {NEEDED} may"
    refused = harbour.do(cancelling(request, *keys)).decision
    assert refused.words == f"{who} signed; {CANCELLERS} may cancel it"
    assert refused.rule == harbour.state.rules.gates["withdraw"].line


def test_what_passes_no_gate_is_cancelled_by_nobody(harbour):
    """A pending request whose gate is gone, as after an adoption."""
    request = announced(harbour, CLIENT)
    tables = harbour.state.ledger.tables
    stray = msgspec.structs.replace(
        tables.pending[request.id].request,
        links=(msgspec.structs.replace(WITHDRAW, gate="fund"),),
    )
    tables.pending[request.id] = msgspec.structs.replace(tables.pending[request.id], request=stray)
    refused = harbour.do(cancelling(request)).decision
    assert (refused.words, refused.rule) == ("nobody signed; nobody may cancel it", "")


def test_what_became_of_a_request_is_said(harbour):
    assert said(harbour, Approve(999, b"", 0)) == f"id {999:032x} was never announced"
    late = approval(announced(harbour, CLIENT), "officer_a", expires=harbour.at - 1)
    assert said(harbour, late) == "the approval was good until 2025-10-10T11:59:59.999999999Z"
    cancelled = announced(harbour, CLIENT)
    harbour.must(cancelling(cancelled, CLIENT))
    words = said(harbour, approval(cancelled, "officer_a"))
    assert words == f"id {cancelled.id:032x} is not pending: REQUEST_CANCELLED"
    done = announced(harbour, *ALL)
    assert said(harbour, CarryOut(done.id)) == "it may be carried out from 2025-10-10T13:00:00Z on"
    lacking = announced(harbour, CLIENT)
    words = "withdraw needs wallet_key, which did not sign or no longer counts"
    assert said(harbour, CarryOut(lacking.id)) == words
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(done.id))
    words = said(harbour, approval(done, "officer_a"))
    assert words == f"id {done.id:032x} is not pending: it was carried out"
    harbour.at = Instant(lacking.expires + 1)
    assert said(harbour, approval(lacking, "officer_a")) == "it was good until 2025-10-11T12:00:00Z"


def test_the_former_self_of_a_key_still_announces_approves_and_cancels_in_time(harbour):
    for key in (CLIENT, "officer_a"):
        harbour.must(rotated(key, harbour.at, harbour.at + HOUR_NS))
    request = announced(harbour, CLIENT)
    harbour.must(approval(request, "officer_a", "wallet_key"))
    assert not harbour.state.lacks(harbour.state.pending()[request.id], harbour.at, verify)
    harbour.must(cancelling(request, CLIENT))


def test_the_instant_at_which_a_request_was_announced_is_kept(harbour):
    request = announced(harbour, CLIENT)
    assert harbour.state.pending()[request.id].announced == harbour.at


def test_what_would_expire_before_its_delay_has_passed_is_told_both_instants(harbour):
    request = harbour.request(WITHDRAW, *ALL, expires=harbour.at + 1)
    assert said(harbour, request) == (
        "it is good until 2025-10-10T12:00:00.000000001Z, "
        "and its delay passes at 2025-10-10T13:00:00Z at the earliest"
    )


@pytest.mark.parametrize("end", ["source", "target"])
def test_a_move_from_or_to_nowhere_is_left_to_its_own_refusal(harbour, end):
    away = msgspec.structs.replace(WITHDRAW, **{end: "nowhere"})
    assert why_not(harbour, harbour.request((WITHDRAW, away), *ALL)) == Reason.COMPARTMENT_UNKNOWN


def test_the_delay_begins_when_the_last_has_signed_and_no_later_signature_moves_it(harbour):
    request = announced(harbour, CLIENT)
    assert harbour.state.pending()[request.id].met is None
    harbour.must(approval(request, WALLET))
    assert harbour.state.pending()[request.id].met is None
    harbour.must(approval(request, "officer_a"))
    met = harbour.at
    harbour.at = Instant(met + MINUTE_NS)
    harbour.must(approval(request, "officer_b"))
    assert harbour.state.pending()[request.id].met == met


def test_who_a_gate_names_by_its_variable_is_asked():
    needs = 'needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"]'
    harbour = Harbour(TEXT.replace(needs, needs.replace("client_key", '"client_key/{client}"'), 1))
    harbour.endow(CASH, 10 * USDC)
    request = harbour.request(WITHDRAW, "wallet_key")
    harbour.must(Announce(request))
    assert CLIENT in harbour.state.pending()[request.id].asked
    harbour.must(approval(request, CLIENT, "officer_a"))
    harbour.at = Instant(harbour.at + HOUR_NS)
    harbour.must(CarryOut(request.id))


TRIANGLE = """
  triangle: {legs: ["client/{a}/cash -> client/{b}/cash", "client/{b}/cash -> client/{c}/cash",
    "client/{c}/cash -> client/{a}/cash"], needs: ["client_key/{a}", "client_key/{b}", "client_key/{c}"],
    on: [ledger], price: "within 1 % of index", limit: {each: {USDC: "5000 per 1 d"}}}
waterfalls:"""


def test_an_exchange_of_three_asks_all_three_though_no_leg_has_all_of_them():
    harbour = Harbour(TEXT.replace("\nwaterfalls:", TRIANGLE, 1))
    people = ("alice", "bob", "carol")
    for member in people:
        harbour.endow(f"client/{member}/cash", USDC)
    legs = tuple(
        Move("triangle", f"client/{one}/cash", f"client/{other}/cash", "USDC", USDC)
        for one, other in zip(people, (*people[1:], people[0]), strict=True)
    )
    request = harbour.request(legs, CLIENT, exchange="triangle")
    harbour.must(Announce(request))
    pending = harbour.state.pending()[request.id]
    assert pending.asked == tuple(f"client_key/{member}" for member in people)
    assert pending.met is None
    harbour.must(approval(request, "client_key/bob", "client_key/carol"))
    harbour.must(CarryOut(request.id))
