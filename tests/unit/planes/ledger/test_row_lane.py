"""Rows and requests are one book: any order of both ends as the same moves made as requests would."""

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from drawn_rows import KEYS, RULES, WIDE, accept_all, new_state, play, rows_of
from harbour import NOON, public_of, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import UsageError
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import Freeze, Move, RegisterKey, Request, Signature
from ringfence.planes.ledger.row_kernel import TOTALS
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import REPEATED, RowBatch


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_rows_and_requests_are_one_book(seed: int) -> None:
    play(seed, 30)


# --- the edges ---------------------------------------------------------------------------------

WORDS: dict[str, Any] = {"policy": RULES.digest, "expires": int(NOON), "reason": "drill"}
SIGNED = [Signature(key, b"") for key in KEYS]
FUND = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 5)


@pytest.fixture
def lane() -> RowLane:
    return RowLane(new_state(Random(1)), accept_all)


def judged(lane: RowLane, chains: Sequence[tuple[Any, ...]], **words: Any) -> list[int]:
    batch = rows_of(lane, chains, WORDS | words, SIGNED)
    lane.admit(batch)
    return lane.judge_batch(batch, NOON).tolist()


def test_an_id_is_good_once_within_a_batch_too(lane: RowLane) -> None:
    other = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 6)
    codes = judged(lane, [(7, (FUND,)), (7, (FUND,)), (7, (other,))])
    assert codes == [0, REPEATED, Reason.ID_USED_WITH_OTHER_CONTENT]


def test_other_terms_are_other_content(lane: RowLane) -> None:
    assert judged(lane, [(7, (FUND,))]) == [0]
    assert judged(lane, [(7, (FUND,))], reason="else") == [Reason.ID_USED_WITH_OTHER_CONTENT]


@pytest.mark.parametrize(("late", "code"), [(0, 0), (1, int(Reason.REQUEST_EXPIRED))])
def test_a_batch_is_good_until_it_expires(lane: RowLane, late: int, code: int) -> None:
    assert judged(lane, [(7, (FUND,))], expires=int(NOON) - late) == [code]


def test_a_book_remembers_ids_past_the_first_table(lane: RowLane) -> None:
    chains = [(number, (FUND,)) for number in range(1, 5_000)]
    assert judged(lane, chains) == [0] * len(chains)
    assert judged(lane, chains) == [REPEATED] * len(chains)


def test_totals_after_each_request_are_told(lane: RowLane) -> None:
    before = lane.totals("client/alice/cash", "USDC")
    broke = Move("fund", "client/alice/cash", "client/alice/hedge", "BTC", 1)
    batch = rows_of(lane, [(1, (FUND,)), (2, (broke,)), (3, (FUND,))], WORDS, SIGNED)
    lane.admit(batch)
    after = np.zeros(3, dtype=TOTALS)
    lane.judge_batch(batch, NOON, after)
    low = [before[0] + 5 & 2**64 - 1, 0, before[0] + 10 & 2**64 - 1]
    assert after["source_debits_low"].tolist() == low


def broken(lane: RowLane, **fields: Any) -> RowBatch:
    """A batch of two requests, with fields of its last transfer set otherwise."""
    batch = rows_of(lane, [(1, (FUND,)), (2, (FUND,))], WORDS, SIGNED)
    for name, value in fields.items():
        batch.transfers[name][-1] = value
    return batch


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"route": 1}, "names route 1; there are 1"),
        ({"is_linked": 1}, "linked to a next one"),
        ({"is_linked": 2}, "0 or 1"),
        ({"free": (0, 1)}, "free bytes"),
        ({"kind": 4}, "kind 4; there are 0 to 3"),
        ({"kind": 1}, "names the instant"),
        ({"kind": 3}, "void has no units"),
    ],
)
def test_a_batch_that_cannot_be_meant_is_not_taken(lane: RowLane, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lane.admit(broken(lane, **fields))
    assert len(lane.routes) == 0


def test_linked_transfers_have_one_id(lane: RowLane) -> None:
    batch = broken(lane)
    batch.transfers["is_linked"][0] = 1
    with pytest.raises(UsageError, match="one id"):
        lane.admit(batch)


@pytest.mark.parametrize(("kinds", "untils"), [((1, 0), (9, 0)), ((0, 1), (0, 9)), ((1, 1), (8, 9))])
def test_a_request_is_held_as_a_whole(lane: RowLane, kinds: tuple[int, int], untils: tuple[int, int]) -> None:
    batch = rows_of(lane, [(1, (FUND, FUND))], WORDS, SIGNED)
    batch.transfers["kind"], batch.transfers["hold_until"] = kinds, untils
    with pytest.raises(UsageError, match="all of its moves or none"):
        lane.admit(batch)


def test_routes_that_came_first_keep_their_numbers(lane: RowLane) -> None:
    late = rows_of(lane, [(1, (FUND,))], WORDS, SIGNED)
    other = Move("adjust", "client/alice/cash", "house/treasury", "USDC", 1)
    assert judged(lane, [(2, (other,))]) == [0]
    with pytest.raises(UsageError, match="other routes came first"):
        lane.admit(late)
    assert judged(lane, [(1, (FUND,))]) == [0]
    lane.admit(rows_of(lane, [(3, (FUND,))], WORDS, SIGNED))


def test_the_same_batch_again_repeats(lane: RowLane) -> None:
    batch = rows_of(lane, [(1, (FUND,))], WORDS, SIGNED)
    for code in (0, REPEATED):
        lane.admit(batch)
        assert lane.judge_batch(batch, NOON).tolist() == [code]


def test_a_move_made_by_rows_can_be_reversed(lane: RowLane) -> None:
    there = Move("adjust", "client/alice/cash", "house/treasury", "USDC", 9)
    assert judged(lane, [(5, (there,))]) == [0]
    lane.give_back()
    back = Move("adjust", "house/treasury", "client/alice/cash", "USDC", 9)
    request = Request(
        6, (back,), RULES.digest, int(NOON), reason="drill", reverses=5, signatures=tuple(SIGNED)
    )
    assert lane._state.apply(request, NOON, accept_all).decision == Accepted()


def test_an_id_that_rows_used_is_good_for_no_halt() -> None:
    state = BookState(rules_of(f"{WIDE}halts: {{freeze: {{needs: officer_a, lift: officer_a}}}}\n"))
    state.apply(RegisterKey("officer_a", public_of("officer_a")), NOON, accept_all)
    lane = RowLane(state, accept_all)
    lane.admit(batch := rows_of(lane, [(5, (FUND,))], {**WORDS, "policy": state.rules.digest}, []))
    assert lane.judge_batch(batch, NOON).tolist() == [Reason.MEMBER_NOT_OPEN]
    lane.give_back()
    freeze = Freeze("gate/fund", "drill", id=5, signatures=(Signature("officer_a", b""),))
    decision = state.apply(freeze, NOON, accept_all).decision
    assert isinstance(decision, Refused)
    assert decision.reason == Reason.ID_USED_WITH_OTHER_CONTENT
