"""Rows and requests are one book: any order of both ends as the same moves made as requests would."""

from random import Random
from typing import Any

import numpy as np
import pytest
from harbour import NOON, SERVICE_KEYS, TEXT, USDC, public_of, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.errors import UsageError
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    Freeze,
    Move,
    OpenMember,
    Operation,
    Receipt,
    RegisterKey,
    Request,
    Resume,
    RevokeKey,
    Signature,
)
from ringfence.planes.ledger.row_kernel import TOTALS
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import (
    REPEATED,
    Draft,
    Route,
    RowBatch,
    blank_transfers,
    write_ids,
)

RULES = rules_of(TEXT)
MEMBERS = ("alice", "bob")
KEYS = (*SERVICE_KEYS, *(f"client_key/{member}" for member in MEMBERS))
GATES = [
    name
    for name, gate in RULES.gates.items()
    if "shortfall" not in gate.accrual
    and not gate.conditions
    and gate.reverses != "required"
    and not gate.delay_ns
]
PLACES = ["outside", "client/alice/cash", "client/zoe/cash", "client/bob/hedge", "house/treasury", "nowhere"]
SCOPES = ("gate/fund", "asset/BTC", "compartment/client/bob/hedge", "book")
Chain = tuple[int, tuple[Move, ...]]


def accept_all(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature != b"bad"


def new_state(rng: Random) -> BookState:
    """A book with random balances and entitlements."""
    state = BookState(RULES)
    for key in SERVICE_KEYS:
        state.apply(RegisterKey(key, public_of(key)), NOON, accept_all)
    for member in MEMBERS:
        state.apply(
            OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")}),
            NOON,
            accept_all,
        )
    tables = state.ledger.tables
    for (name, _, _), ways in RULES.ways.items():
        for way in ways if name in GATES else ():
            for member in MEMBERS:
                source, target = (end.replace("{client}", member) for end in (way.source, way.target))
                if source not in ("clearing", "outside"):
                    tables.move("outside", source, "USDC", rng.choice([1, 100 * USDC, 2**65]))
                for accrual in way.gate.accrual:
                    tables.owe((accrual, source, target, "USDC"), rng.choice([1, 2, 70 * USDC, 2**65]))
    tables.commit()
    return state


def random_move(rng: Random) -> Move:
    (name, _, _), ways = rng.choice([item for item in RULES.ways.items() if item[0][0] in GATES])
    way, member = rng.choice(ways), rng.choice(MEMBERS)
    words: dict[str, Any] = {
        "gate": name,
        "source": way.source.replace("{client}", member),
        "target": way.target.replace("{client}", member),
        "asset": "USDC",
        "units": rng.choice([1, 2, 40 * USDC, 700 * USDC]),
    }
    if rng.random() < 0.3:
        other: dict[str, list[Any]] = {
            "gate": [*GATES, "nothing"],
            "source": PLACES,
            "target": PLACES,
            "asset": ["BTC", "DOGE"],
            "units": [0, 2**64, 2**127 - 1, 2**127, 2**128 - 1],
        }
        word = rng.choice(sorted(other))
        words[word] = rng.choice(other[word])
    return Move(**words)


def through_clearing(rng: Random) -> tuple[Move, ...]:
    """Pay into clearing and out again, as a settlement would."""
    units, ends = rng.choice([1, 2]), rng.sample(MEMBERS, 2)
    paid, got = (f"client/{member}/hedge" for member in ends)
    return (
        Move("settle", paid, "clearing", "USDC", units),
        Move("settle", "clearing", got, "USDC", units),
    )


def random_chains(rng: Random, seen: list[Chain]) -> list[Chain]:
    """Requests of a batch: mostly new ones, some retries, some ids used twice, some impossible."""
    chains: list[Chain] = []
    for _ in range(rng.randint(1, 8)):
        count = rng.choice([1, 1, 1, 2, 3])
        moves = through_clearing(rng) if rng.random() < 0.2 else tuple(random_move(rng) for _ in range(count))
        chance = rng.random()
        identifier = rng.getrandbits(rng.choice([20, 70, 127])) + 1
        if chance < 0.1 and seen:
            identifier, moves = rng.choice(seen)
        elif chance < 0.15 and seen:
            identifier = rng.choice(seen)[0]
        elif chance < 0.18:
            identifier = 0
        seen.append((identifier, moves))
        chains.append(seen[-1])
    return chains


def rows_of(lane: RowLane, chains: list[Chain], words: dict[str, Any], keys: list[Signature]) -> RowBatch:
    draft = Draft(lane.routes)
    moves = [move for _, chain in chains for move in chain]
    transfers = blank_transfers(len(moves))
    write_ids(transfers, [identifier for identifier, chain in chains for _ in chain])
    transfers["units_high"] = [move.units >> 64 for move in moves]
    transfers["units_low"] = [move.units & (2**64 - 1) for move in moves]
    numbers = [draft.number(Route(move.gate, move.source, move.target, move.asset)) for move in moves]
    transfers["route"] = numbers
    transfers["is_linked"] = [place < len(chain) - 1 for _, chain in chains for place in range(len(chain))]
    return draft.batch(transfers, **words).signed(keys)


def codes_of(
    state: BookState, chains: list[Chain], words: dict[str, Any], keys: list[Signature], at: Instant
) -> list[int]:
    codes: list[int] = []
    for identifier, moves in chains:
        request = Request(id=identifier, links=moves, signatures=tuple(keys), **words)
        decision = state.apply(request, at, accept_all).decision
        found = [REPEATED if isinstance(decision, Accepted) and decision.repeated else 0] * len(moves)
        if not isinstance(decision, Accepted):
            found = [int(Reason.LINKED_LEG_REFUSED)] * len(moves)
            found[decision.leg] = int(decision.reason)
        codes += found
    return codes


def random_operation(rng: Random, at: int, seen: list[Chain], keys: list[Signature]) -> Operation:
    scope, kind = rng.choice(SCOPES), rng.random()
    if kind < 0.1:
        return Freeze(scope, "drill")
    if kind < 0.3:
        return Resume(scope, "drill")
    if kind < 0.4:
        return OpenMember("client", "zoe", {"client_key": public_of("client_key/zoe")})
    if kind < 0.42:
        return RevokeKey("client_key/bob", "lost")
    if kind < 0.6:
        watcher = (Signature("watcher_key", b""),)
        return Receipt(f"tx{at}", "outside", "client/alice/cash", "USDC", 7 * USDC, watcher)
    identifier, moves = random_chains(rng, seen)[0]
    return Request(identifier, moves, RULES.digest, at, reason="drill", signatures=tuple(keys))


def content(state: BookState) -> dict[str, object]:
    """Everything a book holds, but how it keeps ids: rows keep less of what was asked."""
    return {name: held for name, held in state.snapshot().items() if name not in ("ids", "rows")}


def play(seed: int, steps: int) -> set[int]:
    """Play the same on a book with rows and on one without; return the codes that came."""
    mixed, plain = new_state(Random(seed)), new_state(Random(seed))
    lane, rng, at = RowLane(mixed, accept_all), Random(seed), int(NOON)
    seen: list[Chain] = []
    codes_seen: set[int] = set()
    for _ in range(steps):
        at += rng.choice([1, DAY_NS // 5])
        now = Instant(at)
        keys = [Signature(key, b"") for key in (KEYS if rng.random() < 0.8 else rng.sample(KEYS, 3))]
        if rng.random() < 0.05:
            keys[0] = Signature(keys[0].key, b"bad")
        if rng.random() < 0.4:
            operation = random_operation(rng, at, seen, keys)
            lane.give_back()
            answers = [state.apply(operation, now, accept_all) for state in (mixed, plain)]
            assert answers[0].decision == answers[1].decision
            continue
        chains = random_chains(rng, seen)
        words = {
            "policy": RULES.digest if rng.random() < 0.95 else bytes(32),
            "expires": int(NOON) + 90 * DAY_NS if rng.random() < 0.95 else at - 1,
            "reason": "drill" if rng.random() < 0.9 else " ",
        }
        batch = rows_of(lane, chains, words, keys)
        lane.admit(batch)
        codes = lane.judge_batch(batch, now).tolist()
        assert codes == codes_of(plain, chains, words, keys, now)
        codes_seen |= set(codes)
    lane.give_back()
    assert content(mixed) == content(plain)
    mixed.check_conservation()
    for path, _, _ in plain.balances():
        assert mixed.bucket_digest(path) == plain.bucket_digest(path)
    return codes_seen


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_rows_and_requests_are_one_book(seed: int) -> None:
    play(seed, 30)


def test_every_answer_comes_up() -> None:
    seen: set[int] = set()
    for seed in range(40):
        seen |= play(seed, 60)
    wanted = {
        Reason.BOOK_IS_STOPPED,
        Reason.ID_USED_WITH_OTHER_CONTENT,
        Reason.ID_ALREADY_REFUSED,
        Reason.POLICY_DIGEST_DIFFERS,
        Reason.REQUEST_EXPIRED,
        Reason.ID_NOT_POSSIBLE,
        Reason.MEMBER_NOT_OPEN,
        Reason.SIGNATURE_INVALID,
        Reason.NEEDS_NOT_MET,
        Reason.REASON_TEXT_MISSING,
        Reason.GATE_FROZEN,
        Reason.GATE_LIMIT_EXCEEDED,
        Reason.ENTITLEMENT_EXCEEDED,
        Reason.FREE_BALANCE_TOO_LOW,
        Reason.CLEARING_NOT_ZERO,
        Reason.LINKED_LEG_REFUSED,
    }
    assert seen >= {0, REPEATED} | {int(reason) for reason in wanted}


# --- the edges ---------------------------------------------------------------------------------

WORDS: dict[str, Any] = {"policy": RULES.digest, "expires": int(NOON), "reason": "drill"}
SIGNED = [Signature(key, b"") for key in KEYS]
FUND = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 5)


@pytest.fixture
def lane() -> RowLane:
    return RowLane(new_state(Random(1)), accept_all)


def judged(lane: RowLane, chains: list[Chain], **words: Any) -> list[int]:
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
    chains: list[Chain] = [(number, (FUND,)) for number in range(1, 5_000)]
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
        ({"free": (0, 0, 1)}, "free bytes"),
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


@pytest.mark.parametrize(
    ("move", "words"),
    [
        (Move("release", "client/alice/hedge", "client/alice/cash", "USDC", 1), "asks margin"),
        (Move("cover", "insurance/hedge", "clearing", "USDC", 1), "waterfall"),
        (Move("convert", "client/alice/hedge", "house/treasury", "USDC", 1), "one row"),
        (Move("debt", "house/treasury", "client/alice/hedge", "USDC-debt", 1), "one row"),
    ],
)
def test_only_requests_go_where_more_than_a_row_is_judged(lane: RowLane, move: Move, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        lane.admit(rows_of(lane, [(1, (move,))], WORDS, SIGNED))


def test_a_move_made_by_rows_can_be_reversed(lane: RowLane) -> None:
    there = Move("adjust", "client/alice/cash", "house/treasury", "USDC", 9)
    assert judged(lane, [(5, (there,))]) == [0]
    lane.give_back()
    back = Move("adjust", "house/treasury", "client/alice/cash", "USDC", 9)
    request = Request(
        6, (back,), RULES.digest, int(NOON), reason="drill", reverses=5, signatures=tuple(SIGNED)
    )
    assert lane._state.apply(request, NOON, accept_all).decision == Accepted()
