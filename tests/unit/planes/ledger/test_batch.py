"""The compiled rule is the readable rule, code for code and unit for unit, on batches with every mistake."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from drawn_rows import (
    KEYS,
    MEMBERS,
    RULES,
    WIDE,
    accept_all,
    codes_of,
    content,
    new_state,
    only_by_request,
    opening,
    play,
    rows_of,
)
from harbour import NOON, SERVICE_KEYS, USDC, public_of, rules_of

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.batch import asks_more_than_a_row
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    CloseMember,
    Freeze,
    Link,
    Move,
    Post,
    RegisterKey,
    Request,
    Route,
    Signature,
    Void,
)
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import REPEATED

WORDS: dict[str, Any] = {"policy": RULES.digest, "expires": int(NOON) + 900 * DAY_NS, "reason": "drill"}
SIGNED = [Signature(key, b"") for key in KEYS]
HOUR_NS = DAY_NS // 24


def test_the_twins_agree_on_many_transfers_and_every_reason_is_among_them():
    count, seen, beside = 0, set(), set()
    for seed in range(32):
        played = play(seed, 60, most=40)
        count, seen, beside = count + played.count, seen | played.codes, beside | played.reasons
    assert count >= 50_000
    reasons = {
        Reason.BOOK_IS_STOPPED,
        Reason.ID_USED_WITH_OTHER_CONTENT,
        Reason.ID_ALREADY_REFUSED,
        Reason.POLICY_DIGEST_DIFFERS,
        Reason.REQUEST_EXPIRED,
        Reason.AMOUNT_NOT_POSITIVE,
        Reason.AMOUNT_TOO_LARGE,
        Reason.SOURCE_IS_TARGET,
        Reason.ID_NOT_POSSIBLE,
        Reason.HOLD_NOT_POSSIBLE,
        Reason.ASSET_UNKNOWN,
        Reason.COMPARTMENT_UNKNOWN,
        Reason.MEMBER_NOT_OPEN,
        Reason.NO_GATE_BETWEEN_COMPARTMENTS,
        Reason.GATE_WORD_NOT_ENFORCED,
        Reason.ASSET_NOT_ACCEPTED,
        Reason.EXCHANGE_LEGS_DIFFER,
        Reason.HOLD_UNKNOWN,
        Reason.ONLY_BY_REQUEST,
        Reason.SIGNATURE_INVALID,
        Reason.KEY_UNKNOWN,
        Reason.KEY_REVOKED,
        Reason.NEEDS_NOT_MET,
        Reason.REASON_TEXT_MISSING,
        Reason.REVERSED_TRANSFER_UNKNOWN,
        Reason.GATE_FROZEN,
        Reason.COMPARTMENT_FROZEN,
        Reason.ASSET_FROZEN,
        Reason.HOLD_HAS_ENDED,
        Reason.GATE_LIMIT_EXCEEDED,
        Reason.ENTITLEMENT_EXCEEDED,
        Reason.FREE_BALANCE_TOO_LOW,
        Reason.BALANCE_TOO_LARGE,
        Reason.HOLD_EXCEEDED,
        Reason.HOLD_PARTS_DIFFER,
        Reason.CLEARING_NOT_ZERO,
        Reason.LINKED_LEG_REFUSED,
    }
    assert seen >= {0, REPEATED} | {int(reason) for reason in reasons}
    # No row reverses anything; requests reverse what rows moved.
    assert beside >= {0, int(Reason.REVERSAL_EXCEEDS_ORIGINAL), int(Reason.REVERSED_TRANSFER_UNKNOWN)}


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(40))
def test_the_twins_agree_on_ten_million_transfers(part):
    """A quarter of a million each, forty times."""
    count, seed = 0, 10_000 * (part + 1)
    while count < 250_000:
        count, seed = count + play(seed, 60, most=40).count, seed + 1


# --- rows on each side of the edges that random batches seldom meet -----------------------------


def book() -> BookState:
    state = BookState(RULES)
    for key in SERVICE_KEYS:
        state.apply(RegisterKey(key, public_of(key)), NOON, accept_all)
    for member in MEMBERS:
        state.apply(opening(member), NOON, accept_all)
    return state


class Twins:
    """One book judged by both rules."""

    def __init__(self, *holding: tuple[str, int]) -> None:
        self.states = (book(), book())
        for state in self.states:
            for path, units in holding:
                state.ledger.tables.move("outside", path, "USDC", units)
            state.ledger.tables.commit()
        self.lane = RowLane(self.states[0], accept_all)
        self.next_id = 1

    def check(self) -> None:
        """Compare the books; requests go on from here."""
        self.lane.give_back()
        assert content(self.states[0]) == content(self.states[1])

    def owe(self, *key: str, units: int) -> None:
        for state in self.states:
            state.ledger.tables.owe(key, units)
            state.ledger.tables.commit()

    def ask(self, *links: Link, at: int = NOON, until: int = 0) -> list[int]:
        """Judge one request by both rules; they agree."""
        chains = [(self.next_id, links, until)]
        self.next_id += 1
        batch = rows_of(self.lane, chains, WORDS, SIGNED)
        self.lane.admit(batch)
        codes = self.lane.judge_batch(batch, Instant(at)).tolist()
        assert codes == codes_of(self.states[1], chains, WORDS, SIGNED, Instant(at))
        return codes


FEES = ("fees", "client/alice/hedge", "house/fees", "USDC")


def fee(units: int) -> Move:
    return Move("fee", "client/alice/hedge", "house/fees", "USDC", units)


@pytest.mark.parametrize(
    ("held", "units", "code"),
    [
        (2**64, 2**64, 0),
        (2**64, 2**64 + 1, Reason.FREE_BALANCE_TOO_LOW),
        (2**64 - 1, 2**64, Reason.FREE_BALANCE_TOO_LOW),
        (2**127 - 1, 2**127 - 1, 0),
    ],
)
def test_a_balance_is_compared_over_both_limbs(held, units, code):
    twins = Twins(("client/alice/hedge", held))
    twins.owe(*FEES, units=units)
    assert twins.ask(fee(units)) == [code]


@pytest.mark.parametrize(("units", "code"), [(1, 0), (2, Reason.BALANCE_TOO_LARGE)])
def test_a_running_total_stops_at_128_bits(units, code):
    twins = Twins(("house/fees", 2**127 - 1), ("house/fees", 2**127 - 1), ("client/alice/hedge", 5))
    twins.owe(*FEES, units=5)
    assert twins.ask(fee(units)) == [code]


@pytest.mark.parametrize(
    ("owed", "units", "code"), [(2**64, 2**64, 0), (2**64, 2**64 + 1, 81), (2**127, 2**127 - 1, 0)]
)
def test_what_is_owed_is_compared_over_both_limbs(owed, units, code):
    twins = Twins(("client/alice/hedge", 2**127))
    twins.owe(*FEES, units=owed)
    assert twins.ask(fee(units)) == [code]
    assert twins.states[1].owed(*FEES) == owed - (0 if code else units)
    twins.lane.give_back()
    assert twins.states[0].owed(*FEES) == twins.states[1].owed(*FEES)


def fund(units: int) -> Move:
    return Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", units)


@pytest.mark.parametrize(
    ("units", "code"), [(10**6 * USDC, 0), (10**6 * USDC + 1, Reason.GATE_LIMIT_EXCEEDED)]
)
def test_a_window_is_full_to_the_unit(units, code):
    assert Twins(("client/alice/cash", 2 * units)).ask(fund(units)) == [code]


def test_a_fixed_window_turns_at_midnight_and_not_before():
    twins = Twins(("client/alice/cash", 10**13))
    midnight = int(NOON) - int(NOON) % DAY_NS + DAY_NS
    assert twins.ask(fund(10**6 * USDC)) == [0]
    assert twins.ask(fund(1), at=midnight - 1) == [Reason.GATE_LIMIT_EXCEEDED]
    assert twins.ask(fund(1), at=midnight) == [0]
    # A leap second carries the number of the following midnight: it counts in the new day.
    assert twins.ask(fund(10**6 * USDC), at=midnight) == [Reason.GATE_LIMIT_EXCEEDED]


def hand(units: int) -> Move:
    return Move("hand", "client/alice/cash", "client/bob/cash", "USDC", units)


def tip(units: int) -> Move:
    return Move("tip", "client/alice/cash", "house/treasury", "USDC", units)


def test_a_refilling_window_drains_by_the_unit():
    twins = Twins(("client/alice/cash", 10**13))
    assert twins.ask(hand(90 * USDC)) == [0]
    unit_ns = DAY_NS // (90 * USDC)
    assert twins.ask(hand(1), at=NOON + unit_ns - 1) == [Reason.GATE_LIMIT_EXCEEDED]
    assert twins.ask(hand(1), at=NOON + unit_ns) == [0]
    assert twins.ask(hand(1), at=NOON + unit_ns) == [Reason.GATE_LIMIT_EXCEEDED]


@pytest.mark.parametrize(("late", "code"), [(0, 0), (-1, Reason.GATE_LIMIT_EXCEEDED)])
def test_a_rolling_window_forgets_to_the_nanosecond(late, code):
    twins = Twins(("client/alice/cash", 10**13))
    assert twins.ask(tip(30 * USDC)) == [0]
    assert twins.ask(tip(40 * USDC), at=NOON + 1) == [0]
    assert twins.ask(tip(30 * USDC), at=NOON + 6 * HOUR_NS + late) == [code]
    assert twins.ask(tip(1), at=NOON + 6 * HOUR_NS) == [0 if code else Reason.GATE_LIMIT_EXCEEDED]


def test_rolling_windows_keep_their_moves_when_they_grow():
    twins = Twins(("client/alice/cash", 10**13), ("client/bob/cash", 10**13))
    for place in range(200):
        mover = replace_member(tip(1), place)
        assert twins.ask(mover, mover, at=NOON + place * HOUR_NS // 10) == [0, 0]
    assert twins.ask(tip(39 * USDC), tip(31 * USDC), at=NOON + 20 * HOUR_NS) == [
        Reason.LINKED_LEG_REFUSED,
        Reason.GATE_LIMIT_EXCEEDED,
    ]
    twins.lane.give_back()
    assert twins.states[0].ledger.tables.windows == twins.states[1].ledger.tables.windows


def replace_member(move: Move, place: int) -> Move:
    source = f"client/{MEMBERS[place % 2]}/cash"
    return Move(move.gate, source, move.target, move.asset, move.units)


def test_a_cap_for_one_transfer_holds_to_the_unit():
    twins = Twins(("client/alice/cash", 10**13))
    assert twins.ask(tip(40 * USDC + 1)) == [Reason.GATE_LIMIT_EXCEEDED]
    assert twins.ask(tip(40 * USDC)) == [0]


def test_a_gate_between_two_members_takes_two_members_and_the_key_of_the_first():
    twins = Twins(("client/alice/cash", 10))
    assert twins.ask(hand(10)) == [0]
    chains = [(99, (Move("hand", "client/bob/cash", "client/alice/cash", "USDC", 1),))]
    keys = [Signature("client_key/alice", b"")]
    batch = rows_of(twins.lane, chains, WORDS, keys)
    twins.lane.admit(batch)
    assert twins.lane.judge_batch(batch, NOON).tolist() == [Reason.NEEDS_NOT_MET]


@pytest.mark.parametrize(
    "move",
    [
        Move("release", "client/alice/hedge", "client/alice/cash", "USDC", 1),
        Move("cover", "insurance/hedge", "clearing", "USDC", 1),
        Move("debt", "house/treasury", "client/alice/hedge", "USDC-debt", 1),
        Move("fund", "client/alice/cash", "client/alice/directional", "USDC", 1),
        Move("tip", "client/alice/cash", "house/treasury", "ETH", 1),
    ],
)
def test_what_a_row_cannot_say_is_only_for_requests(move):
    assert only_by_request(move)
    twins = Twins(("client/alice/cash", 10), ("client/alice/hedge", 10), ("insurance/hedge", 10))
    assert twins.ask(move) == [Reason.ONLY_BY_REQUEST]
    # Nothing else is held up by it, but a chain that has it in it.
    assert twins.ask(fund(1), move) == [Reason.LINKED_LEG_REFUSED, Reason.ONLY_BY_REQUEST]
    assert twins.ask(fund(1)) == [0]


FOUR = ("receipts", "variation", "funding", "fees")


@pytest.mark.parametrize(
    ("words", "is_more"),
    [
        ({"accrual": FOUR}, False),
        ({"accrual": (*FOUR, "residue")}, True),
        ({"accrual": ("interest",)}, True),
        ({"conditions": ("releasable",)}, True),
        ({"delay_ns": 1}, True),
        ({"valued_in": "USDC"}, True),
    ],
)
def test_a_gate_with_a_word_more_is_only_for_requests(words, is_more):
    source, target = RULES.place("client/alice/hedge"), RULES.place("clearing")
    assert source is not None
    assert target is not None
    gate = replace(RULES.gates["settle"], **words)
    assert asks_more_than_a_row(RULES, gate, source, target, "USDC") == is_more


def test_an_empty_book_takes_rows_too():
    state = BookState(rules_of())
    lane = RowLane(state, accept_all)
    batch = rows_of(lane, [(1, (fund(1),))], {**WORDS, "policy": lane.rules.digest}, SIGNED)
    lane.admit(batch)
    assert lane.judge_batch(batch, NOON).tolist() == [Reason.MEMBER_NOT_OPEN]


def test_random_states_hold_what_they_say():
    assert new_state(Random(3)).snapshot() == new_state(Random(3)).snapshot()


# --- holds -------------------------------------------------------------------------------------

LONG = int(NOON) + DAY_NS
ALONG = Route("fund", "client/alice/cash", "client/alice/hedge", "USDC")


def test_a_hold_of_rows_is_posted_in_part_and_its_rest_let_go():
    twins = Twins(("client/alice/cash", 100))
    assert twins.ask(fund(60), until=LONG) == [0]
    assert twins.ask(fund(41)) == [Reason.FREE_BALANCE_TOO_LOW]
    assert twins.ask(Post(1, (25,), (ALONG,))) == [0]
    assert twins.ask(Post(1, (1,), (ALONG,))) == [Reason.HOLD_HAS_ENDED]
    assert twins.ask(fund(75)) == [0]
    twins.check()
    assert twins.states[0].balance("client/alice/hedge", "USDC") == 100


@pytest.mark.parametrize("units", [1, 2**64])
def test_units_are_held_over_both_limbs(units):
    twins = Twins(("client/alice/cash", 2**64 + 1))
    assert twins.ask(tip(1), tip(1), until=LONG) == [0, 0]
    assert twins.ask(hand(1), until=LONG) == [0]
    assert twins.ask(Void(1, (Route("tip", "client/alice/cash", "house/treasury", "USDC"),) * 2)) == [0, 0]
    assert twins.ask(tip(units))[0] in (0, Reason.GATE_LIMIT_EXCEEDED)
    twins.check()


def test_a_hold_takes_on_balance_what_its_moves_would():
    """Handed on within one request, the middle holds nothing."""
    twins = Twins(("client/alice/cash", 10))
    back = Move("hand", "client/bob/cash", "client/alice/cash", "USDC", 4)
    assert twins.ask(hand(6), back, until=LONG) == [0, 0]
    twins.check()
    assert twins.states[0].held("client/alice/cash", "USDC") == 2
    assert twins.states[0].held("client/bob/cash", "USDC") == 0
    along = tuple(Route(one.gate, one.source, one.target, one.asset) for one in (hand(6), back))
    assert twins.ask(Post(1, (6, 0), along)) == [0, 0]
    twins.check()
    assert twins.states[0].balance("client/bob/cash", "USDC") == 6


@pytest.mark.parametrize(
    ("end", "codes"),
    [
        (Post(1, (5,), (ALONG,)), [Reason.HOLD_PARTS_DIFFER]),
        (Post(1, (0, 0), (ALONG, ALONG)), [Reason.HOLD_PARTS_DIFFER, Reason.LINKED_LEG_REFUSED]),
        (Post(1, (6, 5), (ALONG, ALONG)), [Reason.HOLD_EXCEEDED, Reason.LINKED_LEG_REFUSED]),
        (Post(1, (5, 6), (ALONG, ALONG)), [0, 0]),
        (Post(1, (5, 7), (ALONG, ALONG)), [Reason.HOLD_EXCEEDED, Reason.LINKED_LEG_REFUSED]),
        (Post(2, (5, 6), (ALONG, ALONG)), [Reason.HOLD_UNKNOWN, Reason.LINKED_LEG_REFUSED]),
        (Void(1, (ALONG,)), [Reason.HOLD_PARTS_DIFFER]),
        (Void(1, (ALONG, ALONG)), [0, 0]),
    ],
)
def test_the_parts_of_a_hold_are_compared_to_the_unit(end, codes):
    twins = Twins(("client/alice/cash", 100))
    assert twins.ask(fund(5), fund(6), until=LONG) == [0, 0]
    twins.next_id = 7
    assert twins.ask(end) == codes
    twins.check()


def test_what_fails_after_a_post_brings_the_hold_back():
    twins = Twins(("client/alice/cash", 100))
    twins.ask(fund(60), until=LONG)
    assert twins.ask(Post(1, (60,), (ALONG,)), fund(41)) == [
        Reason.LINKED_LEG_REFUSED,
        Reason.FREE_BALANCE_TOO_LOW,
    ]
    assert twins.ask(Void(1, (ALONG,)), Post(1, (60,), (ALONG,))) == [
        Reason.LINKED_LEG_REFUSED,
        Reason.HOLD_HAS_ENDED,
    ]
    assert twins.ask(fund(41)) == [Reason.FREE_BALANCE_TOO_LOW]
    twins.check()
    assert twins.ask(Post(1, (60,), (ALONG,)), fund(40)) == [0, 0]
    twins.check()


@pytest.mark.parametrize(("late", "code"), [(0, 0), (1, Reason.HOLD_HAS_ENDED)])
@pytest.mark.parametrize("is_between", [False, True])
def test_a_hold_of_rows_ends_with_its_last_instant(late, code, is_between):
    """Whether or not the tables had it in between."""
    twins = Twins(("client/alice/cash", 100))
    assert twins.ask(fund(60), until=LONG) == [0]
    if is_between:
        twins.check()
    assert twins.ask(fund(40), at=LONG + late) == [0]
    assert twins.ask(Post(1, (60,), (ALONG,)), at=LONG + late) == [code]
    twins.check()


def test_a_hold_of_either_lane_is_ended_by_the_other():
    twins = Twins(("client/alice/cash", 100))
    words = {**WORDS, "signatures": tuple(SIGNED)}
    held = Request(id=50, links=(fund(30),), hold_until=LONG, **words)
    for state in twins.states:
        state.apply(held, NOON, accept_all)
    assert twins.ask(fund(20), until=LONG) == [0]
    assert twins.ask(Post(50, (30,), (ALONG,))) == [0]
    twins.lane.give_back()
    post = Request(id=51, links=(Post(1),), **words)
    for state in twins.states:
        assert state.apply(post, NOON, accept_all).entries[0].units == 20
    assert twins.ask(Post(1, (20,), (ALONG,))) == [Reason.HOLD_HAS_ENDED]
    twins.check()


def test_a_hold_that_only_requests_can_make_is_ended_by_requests():
    """Margin watches its target, so that rows cannot post it."""
    twins = Twins(("client/alice/cash", 100))
    move = Move("fund", "client/alice/cash", "client/alice/directional", "USDC", 5)
    request = Request(id=50, links=(move,), hold_until=LONG, signatures=tuple(SIGNED), **WORDS)
    state = twins.states[0]
    assert not state.apply(request, NOON, accept_all).entries
    assert state.held("client/alice/cash", "USDC") == 5
    along = (Route("fund", move.source, move.target, "USDC"),)
    for end in (Post(50, (5,), along), Void(50, along)):
        chains = [(twins.next_id, (end,))]
        twins.next_id += 1
        batch = rows_of(twins.lane, chains, WORDS, SIGNED)
        twins.lane.admit(batch)
        assert twins.lane.judge_batch(batch, NOON).tolist() == [Reason.ONLY_BY_REQUEST]
    assert state.held("client/alice/cash", "USDC") == 5


def test_a_hold_along_a_route_that_rows_learn_later():
    twins = Twins(("client/alice/cash", 100))
    held = Request(id=50, links=(tip(3), fund(4)), hold_until=LONG, signatures=tuple(SIGNED), **WORDS)
    for state in twins.states:
        state.apply(held, NOON, accept_all)
    assert twins.ask(Void(50, (ALONG,))) == [Reason.HOLD_PARTS_DIFFER]
    along = (Route("tip", "client/alice/cash", "house/treasury", "USDC"), ALONG)
    assert twins.ask(Post(50, (3, 4), along)) == [0, 0]
    twins.check()


def test_whom_a_closed_member_need_not_ask_any_more():
    """What went to a member that is closed since can still be let go."""
    twins = Twins(("client/alice/cash", 100))
    assert twins.ask(hand(5), until=LONG) == [0]
    twins.lane.give_back()
    for state in twins.states:
        assert not state.apply(CloseMember("client", "bob", "left"), NOON, accept_all).entries
    along = (Route("hand", "client/alice/cash", "client/bob/cash", "USDC"),)
    chains, keys = [(9, (Void(1, along),))], [Signature("officer_a", b"")]
    batch = rows_of(twins.lane, chains, WORDS, keys)
    twins.lane.admit(batch)
    codes = twins.lane.judge_batch(batch, NOON).tolist()
    assert codes == codes_of(twins.states[1], chains, WORDS, keys, NOON)
    twins.check()


def test_a_freeze_stops_a_post_and_no_void():
    twins = Twins(("client/alice/cash", 100))
    twins.ask(fund(5), until=LONG)
    twins.ask(fund(6), until=LONG)
    twins.lane.give_back()
    for state in twins.states:
        state.apply(Freeze("gate/fund", "drill"), NOON, accept_all)
    assert twins.ask(Post(1, (5,), (ALONG,))) == [Reason.GATE_FROZEN]
    assert twins.ask(Void(2, (ALONG,))) == [0]
    twins.check()


def test_many_holds_find_room():
    twins = Twins(("client/alice/cash", 10**9))
    chains = [(number, (fund(1),), LONG) for number in range(1, 400)]
    ends = [(number + 1_000, (Post(number, (1,), (ALONG,)),)) for number in range(1, 400)]
    for asked in (chains, ends):
        batch = rows_of(twins.lane, asked, WORDS, SIGNED)
        twins.lane.admit(batch)
        assert twins.lane.judge_batch(batch, NOON).tolist() == [0] * 399
        assert codes_of(twins.states[1], asked, WORDS, SIGNED, NOON) == [0] * 399
    twins.check()


GIFT = """\
  gift: {from: outside, to: "client/{client}/cash", assets: [USDC], needs: officer_a, on: [ledger],
    limit: {all: {USDC: "10 per 1 d"}}}
exchanges:
"""


def test_nothing_is_held_of_what_lies_outside():
    rules = rules_of(WIDE.replace("exchanges:\n", GIFT))
    states = (BookState(rules), BookState(rules))
    for state in states:
        state.apply(RegisterKey("officer_a", public_of("officer_a")), NOON, accept_all)
        state.apply(opening("alice"), NOON, accept_all)
    lane, keys = RowLane(states[0], accept_all), [Signature("officer_a", b"")]
    words, gift = {**WORDS, "policy": rules.digest}, Move("gift", "outside", "client/alice/cash", "USDC", 5)
    along = (Route("gift", gift.source, gift.target, "USDC"),)
    for chain in ((1, (gift,), LONG), (2, (gift,), LONG), (3, (Post(1, (4,), along),))):
        batch = rows_of(lane, [chain], words, keys)
        lane.admit(batch)
        codes = lane.judge_batch(batch, NOON).tolist()
        assert codes == codes_of(states[1], [chain], words, keys, NOON) == [0]
    lane.give_back()
    assert content(states[0]) == content(states[1])
    assert states[0].held("outside", "USDC") == 0
