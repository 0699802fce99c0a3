"""Random batches of rows with every kind of mistake, and what the readable rule answers to each.

The policy is the harbour's with gates that it lacks: between two members, with windows that refill and roll,
with a cap for one transfer, and for corrections only.
"""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from harbour import NOON, SERVICE_KEYS, TEXT, USDC, public_of, rules_of

from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    Freeze,
    Move,
    OpenMember,
    Operation,
    Post,
    Receipt,
    RegisterKey,
    Request,
    Resume,
    RevokeKey,
    Signature,
    Void,
)
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import REPEATED, Draft, Route, RowBatch, blank_transfers, write_ids

FURTHER = """\
  hand: {from: "client/{a}/cash", to: "client/{b}/cash", assets: [USDC], needs: ["client_key/{a}"],
    on: [ledger], limit: {each: {USDC: "90 refill 1 d"}, all: {USDC: "150 rolling 1 d"}}}
  tip: {from: "client/{client}/cash", to: house/treasury, assets: [USDC, ETH], needs: client_key,
    on: [ledger], limit: {each_transfer: {USDC: "40"},
    each: {USDC: "70 rolling 6 h", ETH: "99999999999999999999 refill 30 d"}}}
  amend: {from: house/fees, to: "client/{client}/cash", assets: [USDC], needs: officer_a, on: [ledger],
    reason: required, reverses: required, limit: {all: {USDC: "10 per 1 d"}}}
  leave: {from: "client/{client}/cash", to: house/treasury, assets: [USDC], needs: client_key,
    when: operator_silent 30 d, on: [ledger], limit: {all: {USDC: "10 per 1 d"}}}
"""
WATCHED = "accepts: [USDC, USDC-debt],\n    trade:"
WIDE = TEXT.replace("exchanges:\n", f"{FURTHER}exchanges:\n").replace(
    WATCHED, WATCHED.replace("trade:", 'limits: {daily_loss: "5 USDC"}, trade:')
)
RULES = rules_of(WIDE)
MEMBERS = ("alice", "bob")
KEYS = (*SERVICE_KEYS, *(f"client_key/{member}" for member in MEMBERS))
PLACES = [
    "outside",
    "client/alice/cash",
    "client/zoe/cash",
    "client/bob/hedge",
    "client/bob/directional",
    "house/treasury",
    "clearing",
    "nowhere",
]
SCOPES = ("gate/fund", "asset/BTC", "compartment/client/bob/hedge", "book")
GATES = sorted({name for name, _, _ in RULES.ways})
BY_REQUEST = {"release", "top_up", "cover", "last_resort", "debt", "trade"}
Chain = tuple[int, tuple[Move, ...]]


def accept_all(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature != b"bad"


def opening(member: str) -> OpenMember:
    return OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")})


def new_state(rng: Random) -> BookState:
    """A book with random balances and entitlements."""
    state = BookState(RULES)
    for key in SERVICE_KEYS:
        state.apply(RegisterKey(key, public_of(key)), NOON, accept_all)
    for member in MEMBERS:
        state.apply(opening(member), NOON, accept_all)
    tables = state.ledger.tables
    for ways in RULES.ways.values():
        for way in ways:
            for member in MEMBERS:
                source, target = (_filled(end, member) for end in (way.source, way.target))
                if source not in ("clearing", "outside") and way.accepts("USDC"):
                    tables.move("outside", source, "USDC", rng.choice([0, 1, 100 * USDC, 2**65, 2**120]))
                for accrual in way.gate.accrual:
                    tables.owe((accrual, source, target, "USDC"), rng.choice([1, 2, 70 * USDC, 2**65]))
    if rng.random() < 0.5:
        _fill_up(state, rng)
    tables.commit()
    return state


def _fill_up(state: BookState, rng: Random) -> None:
    """Let the running totals of a few compartments stand right below 2^128, as after a very long life."""
    for path in rng.sample(["client/alice/hedge", "client/bob/cash", "house/treasury", "house/fees"], 2):
        debits, credits = state.totals(path, "USDC")
        left = 2**128 - 1 - rng.choice([0, 1, 40 * USDC, 2**64]) - max(debits, credits)
        for stranger, units in (("outside/alice", left // 2), ("outside/bob", left - left // 2)):
            state.ledger.tables.move(stranger, path, "USDC", units)
            state.ledger.tables.move(path, stranger, "USDC", units)


def _filled(pattern: str, member: str) -> str:
    other = MEMBERS[1 - MEMBERS.index(member)]
    return pattern.replace("{client}", member).replace("{a}", member).replace("{b}", other)


def random_move(rng: Random) -> Move:
    """A move that is sound more often than not, with one thing changed otherwise."""
    (name, _, _), ways = rng.choice(list(RULES.ways.items()))
    way, member = rng.choice(ways), rng.choice(MEMBERS)
    assets = ["USDC"] if way.accepts("USDC") and rng.random() < 0.9 else sorted(way.assets or {"ETH"})
    words: dict[str, Any] = {
        "gate": name,
        "source": _filled(way.source, member),
        "target": _filled(way.target, member),
        "asset": rng.choice(assets or ["USDC"]),
        "units": rng.choice([1, 2, 20 * USDC, 40 * USDC, 40 * USDC + 1, 700 * USDC]),
    }
    if rng.random() < 0.25:
        other: dict[str, list[Any]] = {
            "gate": [*GATES, "nothing"],
            "source": PLACES,
            "target": PLACES,
            "asset": ["BTC", "ETH", "USDC-debt", "BTC-PERP", "DOGE"],
            "units": [0, 2**64 - 1, 2**64, 2**127 - 1, 2**127, 2**128 - 1],
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


def random_chains(rng: Random, seen: list[Chain], most: int = 8) -> list[Chain]:
    """Requests of a batch: mostly new ones, some retries, some ids used twice, some impossible."""
    chains: list[Chain] = []
    for _ in range(rng.randint(1, most)):
        count = rng.choice([1, 1, 1, 2, 3, 5])
        moves = through_clearing(rng) if rng.random() < 0.2 else tuple(random_move(rng) for _ in range(count))
        chance = rng.random()
        identifier = rng.getrandbits(rng.choice([20, 70, 127])) + 1
        if chance < 0.1 and seen:
            identifier, moves = rng.choice(seen)
        elif chance < 0.15 and seen:
            identifier = rng.choice(seen)[0]
        elif chance < 0.17:
            identifier = rng.choice([0, 2**128 - 1])
        seen.append((identifier, moves))
        chains.append(seen[-1])
    return chains


def rows_of(lane: RowLane, chains: list[Chain], words: dict[str, Any], keys: list[Signature]) -> RowBatch:
    """Write chains as a batch upon the routes of a lane."""
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


def only_by_request(move: Move) -> bool:
    """Say whether a move takes a way on which more is asked than a row can say."""
    source, target = RULES.place(move.source), RULES.place(move.target)
    if move.source == move.target or move.asset not in RULES.assets or source is None or target is None:
        return False
    way = RULES.way(move.gate, source, target)
    if way is None or way.gate.unenforced or not way.accepts(move.asset):
        return False
    if move.gate in BY_REQUEST or move.gate in RULES.delayed or (move.gate, move.asset) == ("tip", "ETH"):
        return True
    is_watched = any(
        path.startswith("client") and "directional" in path for path in (move.source, move.target)
    )
    return is_watched and move.gate not in RULES.exchanges


def codes_of(
    state: BookState, chains: list[Chain], words: dict[str, Any], keys: list[Signature], at: Instant
) -> list[int]:
    """Ask the readable rule the same as ordinary requests, and write its answers as rows have them.

    Where a move is only for requests, a move of nothing stands in its place, which is refused there at last
    (and says what it stands for, so that other requests have other content).
    """
    codes: list[int] = []
    for identifier, moves in chains:
        leg = next((leg for leg, move in enumerate(moves) if only_by_request(move)), len(moves))
        blocked = tuple(
            Move(f"{m.units} by {m.gate}", m.source, m.target, m.asset, 0) for m in moves[leg : leg + 1]
        )
        unreached = (Move(f"no {m.gate}", m.source, m.target, m.asset, m.units) for m in moves[leg + 1 :])
        links = (*moves[:leg], *blocked, *unreached)
        request = Request(id=identifier, links=links, signatures=tuple(keys), **words)
        decision = state.apply(request, at, accept_all).decision
        found = [REPEATED if isinstance(decision, Accepted) and decision.repeated else 0] * len(moves)
        if not isinstance(decision, Accepted):
            reason = decision.reason
            if blocked and decision.leg == leg and reason == Reason.AMOUNT_NOT_POSITIVE:
                reason = _block(state, moves[leg])
            found = [int(Reason.LINKED_LEG_REFUSED)] * len(moves)
            found[decision.leg] = int(reason)
        codes += found
    return codes


def _block(state: BookState, move: Move) -> Reason:
    """Return the reason against a move that is only for requests."""
    if not 0 < move.units <= UNITS_MAX:
        return Reason.AMOUNT_TOO_LARGE if move.units else Reason.AMOUNT_NOT_POSITIVE
    ends = [RULES.place(path) for path in (move.source, move.target)]
    is_closed = any(state.ledger.closed_member(end) for end in ends if end is not None)
    return Reason.MEMBER_NOT_OPEN if is_closed else Reason.ONLY_BY_REQUEST


def random_operation(rng: Random, at: int, seen: list[Chain], keys: list[Signature]) -> Operation:
    """Something that only the ordinary lane does, or an ordinary request."""
    scope, kind = rng.choice(SCOPES), rng.random()
    if kind < 0.1:
        return Freeze(scope, "drill")
    if kind < 0.4:
        return Resume(scope, "drill")
    if kind < 0.42:
        return opening("zoe")
    if kind < 0.425:
        return RevokeKey("client_key/bob", "lost")
    if kind < 0.6:
        watcher = (Signature("watcher_key", b""),)
        return Receipt(f"tx{at}", "outside", "client/alice/cash", "USDC", 7 * USDC, watcher)
    if kind < 0.75:
        return random_hold(rng, at, keys)
    if kind < 0.8 and seen:
        return random_reversal(rng, at, seen, keys)
    identifier, moves = random_chains(rng, seen)[0]
    # Its expiry is no batch's, so that no request of this lane is a row of the other one.
    expires = int(NOON) + 901 * DAY_NS
    return Request(identifier, moves, RULES.digest, expires, reason="drill", signatures=tuple(keys))


def random_hold(rng: Random, at: int, keys: list[Signature]) -> Operation:
    """Hold some of alice's money, or end one of the holds made so far."""
    identifier, fresh = 5_000 + rng.randrange(4), rng.getrandbits(100) + 9_000
    words = {"policy": RULES.digest, "expires": at, "signatures": tuple(keys)}
    if rng.random() < 0.5:
        move = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", rng.choice([1, 60 * USDC]))
        return Request(identifier, (move,), hold_until=at + rng.choice([0, DAY_NS]), **words)
    return Request(fresh, (rng.choice([Post, Void])(identifier),), **words)


def random_reversal(rng: Random, at: int, seen: list[Chain], keys: list[Signature]) -> Request:
    """Move back what an adjustment moved, by row or by request: all of it, a part, or a little more."""
    made = [(one, move) for one, chain in seen for move in chain if move.gate == "adjust"]
    original, move = rng.choice(made or [(1, Move("adjust", "house/treasury", "client/bob/cash", "USDC", 1))])
    units = max(1, move.units + rng.choice([-1, 0, 1]))
    back = Move("adjust", move.target, move.source, move.asset, units)
    words: dict[str, Any] = {"reason": "undone", "reverses": original, "signatures": tuple(keys)}
    return Request(rng.getrandbits(100) + 9_000, (back,), RULES.digest, at + DAY_NS, **words)


def content(state: BookState) -> dict[str, object]:
    """Everything a book holds, but how it keeps ids: rows keep less of what was asked."""
    return {name: held for name, held in state.snapshot().items() if name not in ("ids", "rows")}


@dataclass
class Played:
    """What a play saw: codes that answered rows, reasons that answered requests, and how many rows."""

    codes: set[int] = field(default_factory=set)
    reasons: set[int] = field(default_factory=set)
    count: int = 0


def play(seed: int, steps: int, most: int = 8) -> Played:
    """Do the same to a book with rows and to one without; they give the same answers and end the same."""
    mixed, plain = new_state(Random(seed)), new_state(Random(seed))
    lane, rng, at = RowLane(mixed, accept_all), Random(seed), int(NOON)
    seen: list[Chain] = []
    played = Played()
    for _ in range(steps):
        at += rng.choice([1, DAY_NS // 24, DAY_NS // 5])
        now = Instant(at)
        keys = [Signature(key, b"") for key in (KEYS if rng.random() < 0.8 else rng.sample(KEYS, 3))]
        if rng.random() < 0.05:
            keys[0] = Signature(keys[0].key, b"bad")
        if rng.random() < 0.3:
            operation = random_operation(rng, at, seen, keys)
            lane.give_back()
            answers = [state.apply(operation, now, accept_all) for state in (mixed, plain)]
            assert answers[0].decision == answers[1].decision
            played.reasons.add(int(getattr(answers[0].decision, "reason", 0)))
            continue
        chains = random_chains(rng, seen, most)
        words = {
            "policy": RULES.digest if rng.random() < 0.97 else bytes(32),
            "expires": int(NOON) + 900 * DAY_NS if rng.random() < 0.97 else at - 1,
            "reason": "drill" if rng.random() < 0.9 else " ",
        }
        batch = rows_of(lane, chains, words, keys)
        lane.admit(batch)
        codes = lane.judge_batch(batch, now).tolist()
        assert codes == codes_of(plain, chains, words, keys, now)
        played.codes |= set(codes)
        played.count += len(codes)
    lane.give_back()
    assert content(mixed) == content(plain)
    mixed.check_conservation()
    for path, _, _ in plain.balances():
        assert mixed.bucket_digest(path) == plain.bucket_digest(path)
    return played
