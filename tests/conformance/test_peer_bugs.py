"""What broke in other ledgers, as rows here: each test names the project and the issue it is for.

The lists are of what was reported in public; whether a project has mended it since does not matter here. The
page `docs/why/peer-bugs.md` says in words what stops each of them.
"""

import sys

import books
import msgspec
import numpy as np
import pytest
from harbour import NOON, OFFICERS, USDC, Harbour, seed, signed

from ringfence.adapters.book_memory import MemoryStore
from ringfence.adapters.signatures_ed25519 import sign, verify
from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.errors import UsageError, ViolationError
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    CloseMember,
    Move,
    OpenMember,
    Post,
    Receipt,
    Remark,
    Signature,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.row_kernel import TOTALS
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import Draft, Route, blank_transfers, write_ids
from ringfence.planes.ledger.snapshot import packed, restore, unpacked, written

CASH, HEDGE, ALICE = "client/alice/cash", "client/alice/hedge", "client_key/alice"


@pytest.fixture
def harbour():
    harbour = Harbour()
    harbour.deposit("alice", 100 * USDC)
    return harbour


def fund(units, target=HEDGE):
    return Move("fund", CASH, target, "USDC", units)


def hold(harbour, *moves, **words):
    request = harbour.request(moves, ALICE, hold_until=harbour.at + HOUR_NS, **words)
    harbour.must(request)
    return request.id


# --- TigerBeetle -------------------------------------------------------------------------------


def test_tigerbeetle_2955_limits_hold_while_something_is_pending(harbour):
    harbour.deposit("alice", 2_000_000 * USDC)
    hold(harbour, fund(1_000_000 * USDC))
    harbour.move(fund(999_999 * USDC), ALICE)
    assert harbour.reason(fund(2 * USDC), ALICE) == Reason.GATE_LIMIT_EXCEEDED


def test_tigerbeetle_2963_a_balance_stays_within_its_bounds_with_pendings(harbour):
    hold(harbour, fund(60 * USDC))
    assert harbour.reason(fund(40 * USDC + 1), ALICE) == Reason.FREE_BALANCE_TOO_LOW
    harbour.move(fund(40 * USDC), ALICE)
    assert harbour.state.balance(CASH, "USDC") == harbour.state.held(CASH, "USDC") == 60 * USDC


def test_tigerbeetle_2282_2040_a_limit_is_one_word_and_needs_no_accounts_of_its_own(harbour):
    harbour.deposit("alice", 2_000_000 * USDC)
    assert harbour.reason(fund(1_000_000 * USDC + 1), ALICE) == Reason.GATE_LIMIT_EXCEEDED
    assert len(harbour.move(fund(1_000_000 * USDC), ALICE).entries) == 1


def test_tigerbeetle_3382_a_whole_chain_is_posted_and_voided(harbour):
    chain = (fund(10 * USDC), fund(20 * USDC, "client/alice/directional"))
    harbour.move(Post(hold(harbour, *chain)), ALICE)
    assert harbour.state.balance(CASH, "USDC") == 70 * USDC
    harbour.move(Void(hold(harbour, *chain)), ALICE)
    assert harbour.state.held(CASH, "USDC") == 0


def rows(lane, moves, linked=(), ids=()):
    draft = Draft(lane.routes)
    transfers = blank_transfers(len(moves))
    write_ids(transfers, ids or range(700, 700 + len(moves)))
    transfers["units_low"] = [move.units for move in moves]
    transfers["route"] = [draft.number(Route(m.gate, m.source, m.target, m.asset)) for m in moves]
    transfers["is_linked"] = linked or [0] * len(moves)
    batch = draft.batch(transfers, policy=lane.rules.digest, expires=int(NOON) + HOUR_NS)
    return batch.signed([Signature(ALICE, sign(seed(ALICE), batch.signing_digest()))])


def test_tigerbeetle_27_balances_come_with_the_answer(harbour):
    lane = RowLane(harbour.state, verify)
    batch = rows(lane, [fund(30 * USDC)])
    lane.admit(batch)
    after = np.zeros(1, dtype=TOTALS)
    assert lane.judge_batch(batch, harbour.at, after).tolist() == [0]
    lane.give_back()
    assert after[0]["source_debits_low"] == harbour.state.totals(CASH, "USDC")[0]


def test_tigerbeetle_chain_open_a_chain_without_its_end_is_not_taken(harbour):
    lane = RowLane(harbour.state, verify)
    with pytest.raises(UsageError):
        lane.admit(rows(lane, [fund(1), fund(1)], linked=[1, 1]))


def test_tigerbeetle_2693_balance_and_pendings_are_one_reading(harbour):
    harbour.held = hold(harbour, fund(60 * USDC))
    kept = unpacked(packed(written(harbour.state)))
    harbour.move(fund(40 * USDC), ALICE)
    harbour.move(Void(harbour.held), ALICE)
    # A snapshot is one moment: both figures in it are from before the move.
    read = BookState(harbour.state.rules)
    restore(read, kept)
    assert (read.balance(CASH, "USDC"), read.held(CASH, "USDC")) == (100 * USDC, 60 * USDC)


def test_tigerbeetle_2525_the_history_of_a_compartment_is_its_own():
    book = books.begun(MemoryStore())
    book.submit([*books.deposit(2, "bob", 5 * USDC), books.fund(3, "alice", USDC)], Instant(books.START + 2))
    seen = [entry for dated in book.lines("client/bob/cash") for entry in dated.line.entries]
    assert [entry.units for entry in seen] == [5 * USDC]
    # Whole as well: what the entries say adds up to the balance.
    mine = [entry for dated in book.lines(CASH) for entry in dated.line.entries]
    total = sum(entry.units if entry.credit == CASH else -entry.units for entry in mine)
    assert total == book.state.balance(CASH, "USDC")


def test_tigerbeetle_39_one_request_moves_several_assets_or_none(harbour):
    harbour.deposit("alice", 10**8, "BTC")
    harbour.deposit("bob", 100_000 * USDC)
    harbour.price("BTC", 100_000)
    bob, keys = "client/bob/cash", (ALICE, "client_key/bob")
    legs = (Move("block", CASH, bob, "BTC", 10**6), Move("block", bob, CASH, "USDC", 1_000 * USDC))
    harbour.move(legs, *keys, exchange="block")
    poor = (Move("block", CASH, bob, "BTC", 10**9), Move("block", bob, CASH, "USDC", 10**12))
    before = harbour.state.snapshot()["balances"]
    assert harbour.reason(poor, *keys, exchange="block") == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.state.snapshot()["balances"] == before


def test_tigerbeetle_3278_a_hold_that_runs_out_changes_nothing_that_was_closed(harbour):
    hold(harbour, fund(100 * USDC))
    close = CloseMember("client", "alice", "leaves")
    assert harbour.refuses(close) == Reason.MEMBER_NOT_EMPTY
    harbour.must(CloseMember("client", "bob", "leaves"))
    before = harbour.state.bucket_digest("client/bob/cash")
    harbour.at = Instant(harbour.at + HOUR_NS + 1)
    harbour.must(Remark("note", "desk", "time passes", {}))
    assert harbour.state.held(CASH, "USDC") == 0
    assert harbour.state.bucket_digest("client/bob/cash") == before


def test_tigerbeetle_id_already_failed_an_id_that_was_refused_never_succeeds(harbour):
    request = harbour.request(fund(200 * USDC), ALICE)
    assert harbour.refuses(request) == Reason.FREE_BALANCE_TOO_LOW
    harbour.deposit("alice", 200 * USDC)
    assert harbour.refuses(request) == Reason.ID_ALREADY_REFUSED


def test_tigerbeetle_exists_with_different_a_retry_that_differs_is_an_error(harbour):
    request = harbour.request(fund(USDC), ALICE)
    harbour.must(request)
    other = signed(msgspec.structs.replace(request, links=(fund(2 * USDC),), signatures=()), ALICE)
    assert harbour.refuses(other) == Reason.ID_USED_WITH_OTHER_CONTENT


def test_tigerbeetle_3605_what_was_for_a_while_leaves_no_account_behind(harbour):
    """Limits and holds that are over keep no rows of their own, however many there were."""

    def use_it_up():
        harbour.move(fund(1), ALICE)
        harbour.move(Void(hold(harbour, fund(2))), ALICE)
        harbour.move(Post(hold(harbour, fund(3))), ALICE)
        hold(harbour, fund(4))
        harbour.at = Instant(harbour.at + DAY_NS)

    def sizes():
        harbour.state.pass_time(harbour.at)
        tables = harbour.state.ledger.tables
        return [len(table) for table in (tables.balances, tables.windows, tables.holds, tables.held)]

    use_it_up()
    first = sizes()
    for _ in range(40):
        use_it_up()
    assert sizes() == first
    assert first[2:] == [0, 0]


@pytest.mark.parametrize("count", [40, 4_000])
def test_tigerbeetle_2487_python_does_nothing_for_each_single_transfer(count):
    """A client that builds an object per transfer is slow: a large batch takes as many calls as a small."""
    book = books.begun(MemoryStore())
    calls_made(book, 8, 10_000)  # whatever is done once, is done
    assert calls_made(book, count, 20_000) < 4_000


def calls_made(book, count, first):
    """Write, sign, judge and journal a batch; return how many Python functions were called."""
    calls = 0

    def counted(frame, event, argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(counted)
    try:
        draft = Draft(book.routes)
        transfers = blank_transfers(count)
        transfers["id_low"] = np.arange(first, first + count)
        transfers["units_low"] = 1
        transfers["route"] = draft.number(Route("fund", CASH, "client/alice/bet", "USDC"))
        batch = draft.batch(transfers, book.rules.digest, books.START + HOUR_NS)
        batch = batch.signed([Signature(ALICE, sign(books.seed(ALICE), batch.signing_digest()))])
        codes = book.submit_rows(batch, books.LATER).codes
    finally:
        sys.setprofile(None)
    assert not codes.any()
    return calls


def test_tigerbeetle_result_1_who_fails_has_its_reason_and_the_others_failed_with_it(harbour):
    lane = RowLane(harbour.state, verify)
    batch = rows(lane, [fund(1), fund(101 * USDC), fund(1)], linked=[1, 1, 0], ids=[700] * 3)
    lane.admit(batch)
    linked = Reason.LINKED_LEG_REFUSED
    assert lane.judge_batch(batch, harbour.at).tolist() == [linked, Reason.FREE_BALANCE_TOO_LOW, linked]


def test_tigerbeetle_precedence_of_many_faults_the_same_one_is_told_every_time(harbour):
    wrong = Move("fund", CASH, HEDGE, "BTC", 10**30)  # nobody signs, too much, over the limit, none is there
    assert harbour.reason(wrong) == Reason.NEEDS_NOT_MET
    assert harbour.reason(wrong, ALICE) == Reason.GATE_LIMIT_EXCEEDED
    assert harbour.reason(msgspec.structs.replace(wrong, asset="DOGE")) == Reason.ASSET_UNKNOWN


def test_tigerbeetle_jepsen_0_16_11_a_narrower_question_misses_no_line():
    """Rows were missing from queries with several conditions, and a debug answer had wrong instants."""
    book = books.begun(MemoryStore())
    for number in range(30):
        who = ("alice", "bob")[number % 2]
        book.submit(books.deposit(100 + number, who, 1 + number), Instant(books.START + 10 + number))
    whole, start = list(book.lines()), books.START
    for path in (CASH, "client/bob/cash"):
        for since, until in ((None, None), (start + 20, start + 31), (start + 31, None), (None, start + 20)):
            found = list(book.lines(path, since, until))
            in_time = [one for one in whole if (since or 0) <= one.at <= (until or one.at)]
            assert found == [one for one in in_time if path in repr(one.line.entries)]
            assert found
    instants = {record.sequence: record.at for record in book.records(0)}
    assert all(one.at == instants[one.sequence] for one in whole)


def test_tigerbeetle_no_strings_a_reason_in_words_is_signed_and_kept(harbour):
    move = Move("adjust", CASH, "house/treasury", "USDC", 1)
    request = harbour.request(move, *OFFICERS, reason="goodwill, ticket 7")
    forged = msgspec.structs.replace(request, reason="goodwill, ticket 8")
    assert harbour.refuses(forged) == Reason.SIGNATURE_INVALID
    harbour.must(harbour.request(move, *OFFICERS, reason="goodwill, ticket 7"))


# --- Formance ----------------------------------------------------------------------------------


def test_formance_1349_an_address_is_data_and_never_a_query(harbour):
    for path in (
        "client/alice' or '1'='1/cash",
        "client/%/cash",
        "client/alice/cash; drop table",
        "client//cash",
    ):
        move = Move("fund", path, HEDGE, "USDC", 1)
        assert harbour.reason(move, ALICE) in (Reason.COMPARTMENT_UNKNOWN, Reason.MEMBER_NOT_OPEN)
    assert harbour.refuses(OpenMember("client", "a' or '1'='1", {})) == Reason.MEMBER_NAME_INVALID


def test_formance_stack_1597_who_may_go_negative_is_a_rule_of_the_account_not_of_the_script(harbour):
    assert harbour.reason(fund(101 * USDC), ALICE) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.reason((fund(60 * USDC), fund(60 * USDC)), ALICE) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.state.balance("outside", "USDC") < 0  # the policy lets only what is external


@pytest.mark.parametrize("drift", [1, -1])
def test_formance_migrations_a_derived_balance_that_drifts_is_found(harbour, drift):
    """Repairs of derived volumes (migrations 2, 9, 26, 27, 32-34): sums are compared with the entries."""
    debits, credits = harbour.state.totals(CASH, "USDC")
    harbour.state.ledger.tables.balances[CASH, "USDC"] = (debits, credits + drift)
    with pytest.raises(ViolationError):
        harbour.state.check_conservation()


# --- Blnk --------------------------------------------------------------------------------------


def test_blnk_181_what_is_held_counts_against_the_balance(harbour):
    hold(harbour, fund(100 * USDC))
    assert harbour.reason(fund(1), ALICE) == Reason.FREE_BALANCE_TOO_LOW


def test_blnk_182_a_hold_that_was_refused_is_never_posted(harbour):
    request = harbour.request(fund(101 * USDC), ALICE, hold_until=harbour.at + HOUR_NS)
    assert harbour.refuses(request) == Reason.FREE_BALANCE_TOO_LOW
    harbour.deposit("alice", 100 * USDC)
    assert harbour.reason(Post(request.id), ALICE) == Reason.HOLD_UNKNOWN
    assert harbour.refuses(request) == Reason.ID_ALREADY_REFUSED


def test_blnk_171_two_posts_of_one_hold_never_both_take_what_is_left(harbour):
    held = hold(harbour, fund(60 * USDC))
    harbour.move(Post(held, (30 * USDC,)), ALICE)
    assert harbour.reason(Post(held, (30 * USDC,)), ALICE) == Reason.HOLD_HAS_ENDED
    assert harbour.state.balance(HEDGE, "USDC") == 30 * USDC


@pytest.mark.parametrize("issue", [41, 43])
def test_blnk_41_43_a_hold_is_voided_once(harbour, issue):
    held = hold(harbour, fund(issue * USDC))
    harbour.move(Void(held), ALICE)
    assert harbour.reason(Void(held), ALICE) == Reason.HOLD_HAS_ENDED
    assert harbour.state.held(CASH, "USDC") == 0


def test_blnk_55_no_hold_at_a_price_leaves_balances_without_a_record(harbour):
    later = harbour.at + HOUR_NS
    leg = Move("block", CASH, "client/bob/cash", "USDC", 1)
    assert harbour.reason(leg, ALICE, exchange="block", hold_until=later) == Reason.HOLD_NOT_POSSIBLE
    assert harbour.state.held(CASH, "USDC") == 0
    assert harbour.state.holds() == {}


def test_blnk_195_holds_made_together_are_posted_together(harbour):
    held = hold(harbour, *(fund(USDC + number) for number in range(20)))
    assert len(harbour.move(Post(held), ALICE).entries) == 20


def test_blnk_315_a_refund_is_never_more_than_its_original(harbour):
    wrong = Move("adjust", CASH, "house/treasury", "USDC", 30 * USDC)
    harbour.move(wrong, *OFFICERS, id=800, reason="by mistake")
    back = Move("adjust", "house/treasury", CASH, "USDC", 30 * USDC)
    harbour.move(back, *OFFICERS, reason="undone", reverses=800)
    assert harbour.reason(back, *OFFICERS, reason="again", reverses=800) == Reason.REVERSAL_EXCEEDS_ORIGINAL


@pytest.mark.parametrize("units", [(0,), (-1,), (-(2**127),)])
def test_blnk_315_a_post_of_nothing_or_less_is_refused(harbour, units):
    assert harbour.reason(Post(hold(harbour, fund(USDC)), units), ALICE) == Reason.HOLD_PARTS_DIFFER


@pytest.mark.parametrize("units", [0, -1])
def test_blnk_315_nothing_is_accepted_that_moves_nothing(harbour, units):
    assert harbour.reason(fund(units), ALICE) == Reason.AMOUNT_NOT_POSITIVE
    same = Move("fund", CASH, CASH, "USDC", 1)
    assert harbour.reason(same, ALICE) == Reason.SOURCE_IS_TARGET


def test_blnk_300_a_hold_ends_without_anybody_to_end_it(harbour):
    hold(harbour, fund(100 * USDC))
    harbour.at = Instant(harbour.at + HOUR_NS + 1)
    harbour.move(fund(100 * USDC), ALICE)


def test_blnk_316_a_retry_gets_the_answer_of_the_first(harbour):
    request = harbour.request(fund(USDC), ALICE)
    assert harbour.do(request).decision == Accepted()
    assert harbour.do(request).decision == Accepted(repeated=True)
    assert harbour.state.balance(HEDGE, "USDC") == USDC


def test_blnk_hash_what_is_signed_and_chained_is_no_float(harbour):
    """2^53 + 1 and 2^53 are one double, and two amounts here."""
    first, second = (harbour.request(fund(2**53 + more), id=9) for more in (0, 1))
    assert float(first.links[0].units) == float(second.links[0].units)
    assert signing_bytes(first) != signing_bytes(second)


def test_medici_amounts_beyond_a_double_are_exact(harbour):
    """9,007,199,254,740,991 is the last whole number a double has all of; here it is 2^127 - 1."""
    big = 2**127 - 1
    receipt = Receipt("big", "outside", CASH, "ETH", big)
    harbour.must(signed(receipt, "watcher_key"))
    harbour.move(Move("deposit", "outside", CASH, "ETH", big), "watcher_key", "ledger_key")
    assert harbour.state.balance(CASH, "ETH") == big
