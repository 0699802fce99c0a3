"""Holds: what is held, who may post or void it, its one end, and every edge from both sides."""

import msgspec
import pytest
from harbour import EVIDENCE, NOON, OFFICERS, TEXT, USDC, Harbour, seed, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.signatures_ed25519 import sign, verify
from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import HOUR_NS, Instant
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.holds import expire, moves_meant, reserved_by
from ringfence.planes.ledger.operations import (
    Announce,
    Approve,
    CarryOut,
    Entry,
    Freeze,
    Move,
    Post,
    Remark,
    Resume,
    Settle,
    Signature,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import Draft, Route, blank_transfers, write_ids
from ringfence.planes.ledger.tables import Hold

CASH, HEDGE, ALICE = "client/alice/cash", "client/alice/hedge", "client_key/alice"
FUND = Move("fund", CASH, HEDGE, "USDC", 60 * USDC)


@pytest.fixture
def harbour():
    harbour = Harbour()
    harbour.deposit("alice", 100 * USDC)
    return harbour


def hold(harbour, *moves, keys=(ALICE,), hours=1, **words):
    """Hold moves and return the id."""
    request = harbour.request(moves or (FUND,), *keys, hold_until=harbour.at + hours * HOUR_NS, **words)
    harbour.must(request)
    return request.id


def state_of(harbour, path=CASH):
    return harbour.state.balance(path, "USDC") // USDC, harbour.state.held(path, "USDC") // USDC


def wait(harbour, length_ns):
    harbour.at = Instant(harbour.at + length_ns)


def test_a_hold_moves_nothing_and_keeps_its_units_from_everybody_else(harbour):
    request = harbour.request(FUND, ALICE, hold_until=harbour.at + HOUR_NS)
    outcome = harbour.must(request)
    assert outcome.entries == ()
    assert state_of(harbour) == (100, 60)
    assert harbour.must(request).decision.repeated
    assert state_of(harbour) == (100, 60)
    assert harbour.reason(Move("fund", CASH, HEDGE, "USDC", 40 * USDC + 1), ALICE) == (
        Reason.FREE_BALANCE_TOO_LOW
    )
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 40 * USDC), ALICE)


def test_a_hold_is_judged_like_a_move(harbour):
    later = {"hold_until": harbour.at + HOUR_NS}
    assert harbour.reason(FUND, "client_key/bob", **later) == Reason.NEEDS_NOT_MET
    much = msgspec.structs.replace(FUND, units=100 * USDC + 1)
    assert harbour.reason(much, ALICE, **later) == Reason.FREE_BALANCE_TOO_LOW
    wall = Move("fund", CASH, "client/bob/hedge", "USDC", 1)
    assert harbour.reason(wall, ALICE, **later) == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    harbour.must(Freeze("gate/fund", "drill"))
    assert harbour.reason(FUND, ALICE, **later) == Reason.GATE_FROZEN


@pytest.mark.parametrize("until", [NOON - 1, 1, -1, 2**63])
def test_a_hold_ends_in_time_to_come(harbour, until):
    assert harbour.reason(FUND, ALICE, hold_until=until) == Reason.HOLD_NOT_POSSIBLE


def test_a_hold_may_end_this_very_instant(harbour):
    posted = hold(harbour, hours=0)
    harbour.move(Post(posted), ALICE)


def test_only_moves_that_people_ask_for_are_held(harbour):
    later = {"hold_until": harbour.at + HOUR_NS}
    deposit = Move("deposit", "outside", CASH, "USDC", 1)
    assert harbour.reason(deposit, "watcher_key", "ledger_key", **later) == Reason.HOLD_NOT_POSSIBLE
    assert harbour.reason(harbour.settle(1), "risk_key", "ledger_key", **later) == Reason.HOLD_NOT_POSSIBLE
    block = Move("block", CASH, "client/bob/cash", "USDC", 1)
    assert harbour.reason(block, ALICE, exchange="block", **later) == Reason.HOLD_NOT_POSSIBLE
    held = hold(harbour)
    assert harbour.reason(Post(held), ALICE, **later) == Reason.HOLD_NOT_POSSIBLE


# --- post --------------------------------------------------------------------------------------


def test_a_post_moves_all_that_is_held(harbour):
    held = hold(harbour)
    harbour.move(Post(held), ALICE)
    assert state_of(harbour) == (40, 0)
    assert state_of(harbour, HEDGE) == (60, 0)
    assert harbour.reason(Post(held), ALICE) == Reason.HOLD_HAS_ENDED
    assert harbour.reason(Void(held), ALICE) == Reason.HOLD_HAS_ENDED


def test_a_post_in_part_lets_the_rest_go(harbour):
    held = hold(harbour)
    assert harbour.reason(Post(held, (60 * USDC + 1,)), ALICE) == Reason.HOLD_EXCEEDED
    harbour.move(Post(held, (25 * USDC,)), ALICE)
    assert state_of(harbour) == (75, 0)
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 75 * USDC), ALICE)


@pytest.mark.parametrize("units", [(0,), (-1,), (1, 1), (0, 0)])
def test_a_post_names_a_part_of_each_move(harbour, units):
    assert harbour.reason(Post(hold(harbour), units), ALICE) == Reason.HOLD_PARTS_DIFFER


def test_a_post_needs_the_keys_of_the_gate_again(harbour):
    held = hold(harbour)
    assert harbour.reason(Post(held)) == Reason.NEEDS_NOT_MET
    assert harbour.reason(Post(held), "client_key/bob", "risk_key", "ledger_key") == Reason.NEEDS_NOT_MET


def test_a_post_is_judged_at_its_own_moment(harbour):
    """Limits count when units move, so that holds can never save up room of past days."""
    held = hold(harbour, hours=48)
    harbour.must(Freeze(f"compartment/{HEDGE}", "drill"))
    assert harbour.reason(Post(held), ALICE) == Reason.COMPARTMENT_FROZEN
    harbour.must(Resume(f"compartment/{HEDGE}", "drill over"))
    assert harbour.state.room("fund", CASH, HEDGE, "USDC") == 1_000_000 * USDC
    harbour.deposit("alice", 1_000_000 * USDC)
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 999_941 * USDC), ALICE)
    assert harbour.reason(Post(held), ALICE) == Reason.GATE_LIMIT_EXCEEDED
    assert state_of(harbour)[1] == 60  # refused, so it is still held
    wait(harbour, 24 * HOUR_NS)
    harbour.move(Post(held), ALICE)


def test_a_post_at_a_gate_with_a_condition_asks_margin_again(harbour):
    harbour.move(FUND, ALICE)
    release = Move("release", HEDGE, CASH, "USDC", 50 * USDC)
    facts = Conditions(releasable={HEDGE: {"USDC": 50 * USDC}})
    request = harbour.request(release, ALICE, hold_until=harbour.at + HOUR_NS)
    harbour.must(request, facts)
    assert harbour.reason(Post(request.id), ALICE) == Reason.CONDITION_NOT_MET
    harbour.move(Post(request.id), ALICE, conditions=facts)


def test_nothing_is_held_under_an_unknown_id(harbour):
    harbour.move(FUND, ALICE, id=77)
    for identifier in (76, 77, 0, -1, 2**128):
        assert harbour.reason(Post(identifier), ALICE) == Reason.HOLD_UNKNOWN
        assert harbour.reason(Void(identifier), ALICE) == Reason.HOLD_UNKNOWN


# --- void, expiry ------------------------------------------------------------------------------


def test_a_void_lets_everything_go(harbour):
    held = hold(harbour)
    assert harbour.reason(Void(held), "client_key/bob") == Reason.NEEDS_NOT_MET
    harbour.move(Void(held), ALICE)
    assert state_of(harbour) == (100, 0)
    assert harbour.reason(Post(held), ALICE) == Reason.HOLD_HAS_ENDED
    assert harbour.reason(Void(held), ALICE) == Reason.HOLD_HAS_ENDED


def test_a_void_with_a_forged_signature_is_none(harbour):
    request = harbour.request(Void(hold(harbour)), ALICE)
    forged = msgspec.structs.replace(request, reason="other words")
    assert harbour.refuses(forged) == Reason.SIGNATURE_INVALID


def test_a_hold_ends_by_itself_after_its_last_instant(harbour):
    held = hold(harbour)
    wait(harbour, HOUR_NS)
    harbour.do(Remark("note", "desk", "time passes", {}))
    assert state_of(harbour) == (100, 60)
    wait(harbour, 1)
    harbour.do(Remark("note", "desk", "time passes", {}))
    assert state_of(harbour) == (100, 0)
    assert harbour.reason(Post(held), ALICE) == Reason.HOLD_HAS_ENDED
    assert harbour.reason(Void(held), ALICE) == Reason.HOLD_HAS_ENDED


def test_units_of_a_hold_that_ran_out_are_free_for_the_same_request_that_finds_it(harbour):
    hold(harbour)
    wait(harbour, HOUR_NS + 1)
    harbour.move(Move("fund", CASH, HEDGE, "USDC", 100 * USDC), ALICE)


def test_expiry_finds_holds_that_it_was_not_told_of(harbour):
    """A book opened from a snapshot has its holds and no list of when they end."""
    hold(harbour)
    harbour.state.ledger.expiring.clear()
    expire(harbour.state.ledger, Instant(harbour.at + HOUR_NS + 1))
    assert state_of(harbour) == (100, 0)


# --- chains ------------------------------------------------------------------------------------


def test_a_chain_is_held_and_posted_as_a_whole(harbour):
    other = Move("fund", CASH, "client/alice/directional", "USDC", 30 * USDC)
    held = hold(harbour, FUND, other)
    assert state_of(harbour) == (100, 90)
    harbour.move(Post(held), ALICE)
    assert [state_of(harbour, path)[0] for path in (CASH, HEDGE, other.target)] == [10, 60, 30]


def test_a_chain_is_posted_part_by_part_of_each_move(harbour):
    other = Move("fund", CASH, "client/alice/directional", "USDC", 30 * USDC)
    harbour.move(Post(hold(harbour, FUND, other), (0, 20 * USDC)), ALICE)
    assert [state_of(harbour, path) for path in (CASH, HEDGE, other.target)] == [(80, 0), (0, 0), (20, 0)]


def test_a_chain_is_voided_as_a_whole(harbour):
    held = hold(harbour, FUND, Move("fund", CASH, "client/alice/directional", "USDC", 30 * USDC))
    harbour.move(Void(held), ALICE)
    assert state_of(harbour) == (100, 0)


def test_a_chain_of_holds_that_could_not_happen_is_not_held(harbour):
    again = msgspec.structs.replace(FUND, units=41 * USDC)
    later = harbour.at + HOUR_NS
    assert harbour.reason((FUND, again), ALICE, hold_until=later) == Reason.FREE_BALANCE_TOO_LOW
    assert state_of(harbour) == (100, 0)


def test_what_only_passes_through_is_not_held(harbour):
    """House money that goes on within the same chain: only the first compartment gives anything."""
    harbour.endow("house/fees", 50 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 50 * USDC)
    fill = Move("fill_pool", "house/treasury", "insurance/hedge", "USDC", 50 * USDC)
    held = hold(harbour, sweep, fill, keys=OFFICERS)
    assert harbour.state.holds()[held].reserved == (("house/fees", "USDC", 50 * USDC),)
    harbour.move(Post(held), *OFFICERS)
    assert state_of(harbour, "insurance/hedge") == (50, 0)


def test_posts_of_several_holds_happen_together_or_not_at_all(harbour):
    first = hold(harbour)
    second = hold(harbour, Move("fund", CASH, HEDGE, "USDC", 30 * USDC))
    harbour.move(Void(second), ALICE)
    assert harbour.reason((Post(first), Post(second)), ALICE) == Reason.HOLD_HAS_ENDED
    assert state_of(harbour) == (100, 60)
    third = hold(harbour, Move("fund", CASH, HEDGE, "USDC", 30 * USDC))
    harbour.move((Post(first), Post(third)), ALICE)
    assert state_of(harbour) == (10, 0)


def test_a_hold_cannot_be_posted_twice_in_one_request(harbour):
    held = hold(harbour)
    assert harbour.reason((Post(held, (1,)), Post(held, (1,))), ALICE) == Reason.HOLD_HAS_ENDED


# --- what is owed comes first ------------------------------------------------------------------


def test_a_hold_does_not_put_off_what_its_bucket_owes(harbour):
    """Somebody could otherwise stop a settlement for everyone by holding the coins of one losing bucket."""
    for member in ("bob", "carol"):
        harbour.fund(member, "directional", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade("client/bob/directional", "client/carol/directional", 10, 100_000)
    bob = "client/bob/directional"
    release = Move("release", bob, "client/bob/cash", "USDC", 100 * USDC)
    facts = Conditions(releasable={bob: {"USDC": 100 * USDC}})
    request = harbour.request(release, "client_key/bob", hold_until=harbour.at + HOUR_NS)
    harbour.must(request, facts)
    harbour.price("BTC", 96_000)
    moves = [
        Move("settle", bob, "clearing", "USDC", 40 * USDC),
        Move("settle", "clearing", "client/carol/directional", "USDC", 40 * USDC),
    ]
    settle: list = [Settle("BTC-PERP", 96_000 * 10**10), *moves]
    harbour.move(settle, "risk_key", "ledger_key")
    assert state_of(harbour, bob) == (60, 100)
    assert harbour.reason(Post(request.id), "client_key/bob", conditions=facts) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.reason(
        Move("release", bob, "client/bob/cash", "USDC", 1), "client_key/bob", conditions=facts
    ) == (Reason.FREE_BALANCE_TOO_LOW)
    harbour.move(Post(request.id, (60 * USDC,)), "client_key/bob", conditions=facts)


STEPS = st.lists(
    st.tuples(st.sampled_from(["hold", "post", "part", "void", "fund", "wait"]), st.integers(1, 60)),
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_held_units_are_the_sum_of_the_holds_and_each_hold_ends_once(steps):
    harbour = Harbour(members=("alice",))
    harbour.deposit("alice", 100 * USDC)
    made, ends = [], {}
    for kind, number in steps:
        if kind == "wait":
            wait(harbour, number * HOUR_NS // 30)
            harbour.do(Remark("note", "desk", "", {}))
            continue
        move = Move("fund", CASH, HEDGE, "USDC", number * USDC)
        if kind in ("hold", "fund"):
            until = harbour.at + HOUR_NS if kind == "hold" else 0
            request = harbour.request(move, ALICE, hold_until=until)
            if harbour.do(request).decision.__class__.__name__ == "Accepted" and until:
                made.append(request.id)
        elif made:
            chosen = made[number % len(made)]
            link = {"post": Post(chosen), "part": Post(chosen, (USDC,)), "void": Void(chosen)}[kind]
            outcome = harbour.do(harbour.request(link, ALICE))
            if outcome.decision.__class__.__name__ == "Accepted":
                ends[chosen] = ends.get(chosen, 0) + 1
        holds = harbour.state.holds()
        held = sum(one.reserved[0][2] for one in holds.values())
        assert held == harbour.state.held(CASH, "USDC") <= harbour.state.balance(CASH, "USDC")
        assert all(count == 1 for count in ends.values())
        assert not set(ends) & set(holds)
        harbour.state.check_conservation()


def test_a_gate_with_a_delay_is_not_held(harbour):
    """A post would pass without the delay."""
    withdraw = Move("withdraw", CASH, "outside/alice", "USDC", USDC)
    keys = (ALICE, "wallet_key", "officer_a")
    assert harbour.reason(withdraw, *keys, hold_until=harbour.at + HOUR_NS) == Reason.HOLD_NOT_POSSIBLE


def test_signatures_of_a_post_can_come_one_by_one(harbour):
    harbour.endow("house/fees", 50 * USDC)
    held = hold(harbour, Move("sweep", "house/fees", "house/treasury", "USDC", 50 * USDC), keys=OFFICERS)
    request = harbour.request(Post(held), "officer_a")
    harbour.must(Announce(request))
    later = Approve(request.id, signing_bytes(request), harbour.at)
    harbour.must(signed(later, "officer_b"))
    harbour.must(CarryOut(request.id))
    assert state_of(harbour, "house/treasury") == (50, 0)


def test_signatures_of_a_hold_can_come_one_by_one(harbour):
    harbour.endow("house/fees", 50 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 50 * USDC)
    request = harbour.request(sweep, "officer_a", hold_until=harbour.at + HOUR_NS)
    harbour.must(Announce(request))
    assert state_of(harbour, "house/fees") == (50, 0)
    harbour.must(signed(Approve(request.id, signing_bytes(request), harbour.at), "officer_b"))
    assert harbour.must(CarryOut(request.id)).entries == ()
    assert state_of(harbour, "house/fees") == (50, 50)
    assert harbour.reason(Post(request.id), "officer_a") == Reason.NEEDS_NOT_MET
    harbour.move(Void(request.id), *OFFICERS)


# --- rows --------------------------------------------------------------------------------------


def fund_by_row(lane, identifier, units):
    draft = Draft(lane.routes)
    transfers = blank_transfers(1)
    write_ids(transfers, [identifier])
    transfers["units_low"] = units
    transfers["route"] = [draft.number(Route("fund", CASH, HEDGE, "USDC"))]
    batch = draft.batch(transfers, policy=lane.rules.digest, expires=NOON + HOUR_NS)
    batch = batch.signed([Signature(ALICE, sign(seed(ALICE), batch.signing_digest()))])
    lane.admit(batch)
    return int(lane.judge_batch(batch, NOON)[0])


def test_rows_leave_alone_what_is_held(harbour):
    lane = RowLane(harbour.state, verify)
    held = hold(harbour)
    assert fund_by_row(lane, 901, 40 * USDC + 1) == Reason.FREE_BALANCE_TOO_LOW
    assert fund_by_row(lane, 902, 40 * USDC) == 0
    assert fund_by_row(lane, 903, 1) == Reason.FREE_BALANCE_TOO_LOW
    lane.give_back()
    harbour.move(Void(held), ALICE)
    assert fund_by_row(lane, 904, 60 * USDC) == 0
    lane.give_back()
    assert state_of(harbour) == (0, 0)


@pytest.mark.parametrize("link", [Post, Void])
def test_who_says_where_a_hold_leads_ends_no_other(harbour, link):
    """Whoever signs only what he can read is never led elsewhere by an id."""
    held = hold(harbour, FUND)
    there, elsewhere = Route("fund", CASH, HEDGE, "USDC"), Route("fund", CASH, HEDGE, "BTC")
    for wrong in ((elsewhere,), (there, there)):
        assert harbour.reason(link(held, along=wrong), ALICE) == Reason.HOLD_PARTS_DIFFER
    harbour.must(harbour.request((link(held, along=(there,)),), ALICE))


# --- small edges and words ---------------------------------------------------------------------


def test_one_unit_is_held(harbour):
    hold(harbour, msgspec.structs.replace(FUND, units=1))
    assert harbour.state.held(CASH, "USDC") == 1


@pytest.mark.parametrize(
    ("identifier", "shown"),
    [(7, f"{7:032x}"), (0, "0" * 32), (2**128 - 1, "f" * 32), (2**128, str(2**128)), (-1, "-1")],
)
def test_a_hold_that_never_was_is_named_as_it_was_asked_for(harbour, identifier, shown):
    refused = harbour.do(harbour.request(Post(identifier), ALICE)).decision
    assert refused.reason == Reason.HOLD_UNKNOWN
    assert refused.words == f"no request {shown} is held by this book"


def test_what_a_link_means_as_the_book_stands(harbour):
    held, tables = hold(harbour), harbour.state.ledger.tables
    part = msgspec.structs.replace(FUND, units=USDC)
    assert moves_meant(tables, FUND) == [FUND]
    assert moves_meant(tables, Void(held)) == moves_meant(tables, Post(held)) == [FUND]
    assert moves_meant(tables, Post(held, (USDC,))) == [part]
    assert moves_meant(tables, Post(held, (0,))) == moves_meant(tables, Post(held, (1, 1))) == []
    assert moves_meant(tables, Void(held + 1)) == moves_meant(tables, Post(held + 1)) == []
    assert moves_meant(tables, harbour.settle(1)) == []


def test_why_something_is_not_held_posted_or_voided_is_said(harbour):
    held, gates = hold(harbour), harbour.state.rules.gates

    def said(links, *keys, **words):
        refused = harbour.do(harbour.request(links, *keys, **words)).decision
        return refused.words, refused.rule

    later = {"hold_until": harbour.at + HOUR_NS}
    assert said(FUND, ALICE, hold_until=harbour.at - 1) == (
        "the hold would be over before it began; hold until later",
        "",
    )
    assert said(harbour.settle(1), *EVIDENCE, **later) == (
        "only moves through gates are held; a fill, a settlement or an exchange is not",
        "",
    )
    fee = Move("fee", HEDGE, "house/fees", "USDC", 1)
    assert said(fee, *EVIDENCE, **later) == (
        "fee moves what is owed; that is moved, never held",
        gates["fee"].line,
    )
    out = Move("withdraw", CASH, "outside/alice", "USDC", 1)
    assert said(out, ALICE, "wallet_key", "officer_a", **later) == (
        "what passes withdraw waits for its delay; a request that waits is no hold",
        gates["withdraw"].line,
    )
    assert said(Post(held, (1, 1)), ALICE)[0] == (
        "the hold has 1 moves; give units for each, 0 to leave one out"
    )
    assert said(Post(held, (60 * USDC + 1,)), ALICE)[0] == (
        f"60000000 units of USDC are held from {CASH}, and 60000001 were asked"
    )
    assert said(Void(held), "client_key/bob") == (
        "voiding a hold at fund needs client_key/alice, which did not sign",
        gates["fund"].line,
    )
    harbour.move(Void(held), ALICE)
    assert said(Post(held), ALICE)[0] == f"hold {held:032x} was voided; a hold has one end"


def test_a_hold_at_a_gate_that_is_not_there_is_refused_for_that(harbour):
    nowhere = msgspec.structs.replace(FUND, gate="tunnel")
    later = {"hold_until": harbour.at + HOUR_NS}
    assert harbour.reason(nowhere, ALICE, **later) == Reason.NO_GATE_BETWEEN_COMPARTMENTS


def test_what_comes_from_outside_is_not_held_there(harbour):
    ledger = harbour.state.ledger
    assert reserved_by(ledger, [Entry("outside", CASH, "USDC", 5)]) == ()
    assert reserved_by(ledger, [Entry("nowhere", CASH, "USDC", 5)]) == ()
    assert reserved_by(ledger, [Entry(CASH, "outside", "USDC", 5)]) == ((CASH, "USDC", 5),)


@pytest.mark.parametrize("gone", ["source", "target", "gate"])
def test_a_void_asks_the_gates_that_are_left(harbour, gone):
    """A hold of two moves, one of which leads nowhere since another policy was adopted."""
    lost = msgspec.structs.replace(FUND, **{gone: "attic"})
    harbour.state.ledger.tables.holds[7] = Hold(harbour.at, (lost, FUND), ())
    refused = harbour.do(harbour.request(Void(7), "client_key/bob")).decision
    assert refused.words == "voiding a hold at fund needs client_key/alice, which did not sign"
    harbour.move(Void(7), ALICE)


def test_a_hold_is_voided_by_the_member_that_its_gate_names():
    gate = "needs: [client_key], on: [ledger, vault],"
    harbour = Harbour(TEXT.replace(gate, gate.replace("client_key", '"client_key/{client}"'), 1))
    harbour.endow(CASH, 100 * USDC)
    held = hold(harbour)
    assert harbour.reason(Void(held), "client_key/bob") == Reason.NEEDS_NOT_MET
    harbour.move(Void(held), ALICE)
