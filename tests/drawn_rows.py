"""Random batches of rows with every kind of mistake, and what the readable rule answers to each.

The policy is the harbour's with gates that it lacks: between two members, with windows that refill and roll,
with a cap for one transfer, and for corrections only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

import numpy as np
from harbour import NOON, SERVICE_KEYS, TEXT, USDC, public_of, rules_of

from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import (
    Freeze,
    Link,
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
from ringfence.planes.ledger.rows import (
    HOLD,
    MOVE,
    POST,
    REPEATED,
    SEAL,
    VOID,
    Draft,
    Route,
    RowBatch,
    blank_transfers,
    write_ids,
)

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
SCOPES = ("gate/fund", "asset/BTC", "compartment/client/bob/hedge", "gate/tip", "gate/hand", "book")
GATES = sorted({name for name, _, _ in RULES.ways})
BY_REQUEST = {"release", "top_up", "cover", "last_resort", "debt", "trade"}
ACCRUING = {name for name, gate in RULES.gates.items() if gate.accrual or gate.delay_ns}


class Chain(NamedTuple):
    """One request: held until then where that is not 0, with signatures and a time of its own or without."""

    identifier: int
    links: tuple[Link, ...]
    hold_until: int = 0
    signatures: tuple[Signature, ...] = ()
    expires: int = 0


def accept_all(public: bytes, message: bytes, signature: bytes) -> bool:
    return not signature.startswith(b"bad")


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


def random_chains(rng: Random, seen: list[Chain], at: int, most: int = 8) -> list[Chain]:
    """Requests of a batch: mostly new ones, some retries, some ids used twice, some impossible."""
    chains: list[Chain] = []
    for _ in range(rng.randint(1, most)):
        chance, identifier = rng.random(), rng.getrandbits(rng.choice([20, 70, 127])) + 1
        chain = random_chain(rng, seen, at)._replace(identifier=identifier)
        if chance < 0.1 and seen:
            chain = rng.choice(seen)
        elif chance < 0.15 and seen:
            chain = chain._replace(identifier=rng.choice(seen).identifier)
        elif chance < 0.17:
            chain = chain._replace(identifier=rng.choice([0, 2**128 - 1]))
        seen.append(chain)
        chains.append(chain)
    return chains


def random_chain(rng: Random, seen: list[Chain], at: int) -> Chain:
    """Moves, or a hold of them, or the ends of holds among moves; signed for itself now and then."""
    count, until = rng.choice([1, 1, 1, 2, 3, 5]), 0
    links: tuple[Link, ...] = tuple(random_move(rng) for _ in range(count))
    chance = rng.random()
    if chance < 0.2:
        links = through_clearing(rng)
    elif chance < 0.35:
        until = at + rng.choice([-1, 0, DAY_NS // 4, DAY_NS, 9 * DAY_NS])
        links = tuple(random_held_move(rng) for _ in range(rng.choice([1, 1, 2, 3])))
    elif chance < 0.6:
        ends = {end.hold: end for end in (random_end(rng, seen) for _ in range(rng.choice([1, 1, 2])))}
        links = (*(links[1:] if rng.random() < 0.3 else ()), *ends.values())
    return Chain(0, links, until, *random_seal(rng, at))


def random_held_move(rng: Random) -> Move:
    """A move of little through a gate whose moves can be held, more often than not."""
    if rng.random() < 0.1:
        return random_move(rng)
    member, units = rng.choice(MEMBERS), rng.choice([1, 2, 3])
    return rng.choice(
        [
            Move("fund", f"client/{member}/cash", f"client/{member}/hedge", "USDC", units),
            Move("tip", f"client/{member}/cash", "house/treasury", "USDC", units),
            Move("hand", "client/bob/cash", "client/alice/cash", "USDC", units),
            Move("fund", f"client/{member}/cash", f"client/{member}/hedge", "USDC", 2**64 + units),
        ]
    )


def random_end(rng: Random, seen: list[Chain]) -> Post | Void:
    """Post or void a hold, with a mistake now and then."""
    held = [chain for chain in seen[-200:] if chain.hold_until][-6:]
    hold, moves = 5_000 + rng.randrange(5), (FUND_A_HOLD,)
    if held and rng.random() < 0.9:
        chosen = rng.choice(held)
        hold, moves = chosen.identifier, tuple(link for link in chosen.links if isinstance(link, Move))
    along = tuple(Route(move.gate, move.source, move.target, move.asset) for move in moves)
    units = [rng.choice([move.units, move.units, move.units // 2, 0]) for move in moves]
    chance = rng.random()
    if chance < 0.15:
        units[0] = moves[0].units + 1
    elif chance < 0.2:
        along, units = (*along, along[0]), [*units, 0]
    elif chance < 0.25:
        along = (Route("fund", "client/bob/cash", "client/bob/hedge", "USDC"), *along[1:])
    if rng.random() < 0.3:
        return Void(hold, along)
    return Post(hold, tuple(min(one, 2**128 - 1) for one in units), along)


def random_seal(rng: Random, at: int) -> tuple[tuple[Signature, ...], int]:
    """Signatures of one request, and until when it is good."""
    if rng.random() < 0.6:
        return (), 0
    names = KEYS if rng.random() < 0.6 else rng.sample((*KEYS, "client_key/zoe"), rng.choice([1, 2, 3]))
    values = [rng.choice([b"good"] * 40 + [b"bad"]).ljust(64, b"!") for _ in names]
    signatures = tuple(Signature(*one) for one in zip(names, values, strict=True))
    return signatures, at + rng.choice([-1, *[90 * DAY_NS] * 9])


def rows_of(
    lane: RowLane, chains: Sequence[tuple[Any, ...]], words: dict[str, Any], keys: list[Signature]
) -> RowBatch:
    """Write chains as a batch upon the routes of a lane."""
    draft = Draft(lane.routes)
    lines: list[dict[str, int]] = []
    seals: list[tuple[int, str, int, bytes]] = []
    for chain in (Chain(*one) for one in chains):
        seals += ((len(lines), one.key, chain.expires, one.value) for one in chain.signatures)
        parts = [part for link in chain.links for part in parts_of(link, chain.hold_until)]
        for place, (route, part) in enumerate(parts, 1):
            numbers = {"id": chain.identifier, "route": draft.number(route), "is_linked": place < len(parts)}
            lines.append(numbers | part)
    batch = draft.batch(transfers_of(lines), **words)
    names = list(dict.fromkeys(name for _, name, _, _ in seals))
    sealed = np.zeros(len(seals), SEAL)
    for place, (start, name, expires, value) in enumerate(seals):
        sealed[place] = (start, names.index(name), expires, np.frombuffer(value, np.uint8))
    return replace(batch, keys=tuple(names), seals=sealed).signed(keys)


def transfers_of(lines: list[dict[str, int]]) -> Any:
    transfers = blank_transfers(len(lines))
    write_ids(transfers, [line["id"] for line in lines])
    for transfer, line in zip(transfers, lines, strict=True):
        transfer["units_high"], transfer["units_low"] = line["units"] >> 64, line["units"] & (2**64 - 1)
        for name in ("route", "is_linked", "kind"):
            transfer[name] = line[name]
        if line["kind"] == HOLD:
            transfer["hold_until"] = line["until"]
        elif line["kind"]:
            transfer["hold_high"], transfer["hold_low"] = line["hold"] >> 64, line["hold"] & (2**64 - 1)
    return transfers


def parts_of(link: Link, until: int) -> list[tuple[Route, dict[str, int]]]:
    """Say which transfers stand for a link: their routes, and their numbers by name."""
    if isinstance(link, Move):
        kind = {"kind": HOLD, "until": until} if until else {"kind": MOVE}
        return [(Route(link.gate, link.source, link.target, link.asset), {"units": link.units} | kind)]
    if isinstance(link, Post):
        named = zip(link.along, link.units, strict=True)
        return [(route, {"units": units, "kind": POST, "hold": link.hold}) for route, units in named]
    assert isinstance(link, Void)
    return [(route, {"units": 0, "kind": VOID, "hold": link.hold}) for route in link.along]


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
    state: BookState,
    chains: Sequence[tuple[Any, ...]],
    words: dict[str, Any],
    keys: list[Signature],
    at: Instant,
) -> list[int]:
    """Ask the readable rule the same as ordinary requests, and write its answers as rows have them.

    Where a move is only for requests, a move of nothing stands in its place, which is refused there at last
    (and says what it stands for, so that other requests have other content).
    """
    codes: list[int] = []
    for chain in (Chain(*one) for one in chains):
        links, leg = readable_links(chain)
        request = request_of(chain._replace(links=links), words, keys)
        decision = state.apply(request, at, accept_all).decision
        counts = [len(parts_of(link, chain.hold_until)) for link in chain.links]
        found = [REPEATED if isinstance(decision, Accepted) and decision.repeated else 0] * sum(counts)
        if not isinstance(decision, Accepted):
            reason, move = decision.reason, chain.links[decision.leg]
            if decision.leg == leg and reason == Reason.AMOUNT_NOT_POSITIVE and isinstance(move, Move):
                reason = _block(state, move)
            found = [int(Reason.LINKED_LEG_REFUSED)] * sum(counts)
            found[sum(counts[: decision.leg])] = int(reason)
        codes += found
    return codes


def request_of(chain: Chain, words: dict[str, Any], keys: list[Signature]) -> Request:
    terms = words | ({"expires": chain.expires} if chain.signatures else {})
    signatures = (*keys, *chain.signatures)
    return Request(chain.identifier, chain.links, **terms, signatures=signatures, hold_until=chain.hold_until)


def readable_links(chain: Chain) -> tuple[tuple[Link, ...], int]:
    """Return the links to ask the readable rule for, and which of them is only for requests (-1: none)."""
    moves = [link for link in chain.links if isinstance(link, Move)]
    if chain.hold_until and any(move.gate in ACCRUING | set(RULES.exchanges) for move in moves):
        return chain.links, -1  # None of it is looked at.
    for leg, link in enumerate(chain.links):
        if isinstance(link, Move) and only_by_request(link):
            blocked = Move(f"{link.units} by {link.gate}", link.source, link.target, link.asset, 0)
            return (*chain.links[:leg], blocked, *map(_unreached, chain.links[leg + 1 :])), leg
    return chain.links, -1


def _unreached(link: Link) -> Link:
    if isinstance(link, Move):
        return Move(f"no {link.gate}", link.source, link.target, link.asset, link.units)
    return link


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
    if kind < 0.44:
        return RevokeKey("client_key/bob", "lost")
    if kind < 0.6:
        watcher = (Signature("watcher_key", b""),)
        return Receipt(f"tx{at}", "outside", "client/alice/cash", "USDC", 7 * USDC, watcher)
    if kind < 0.75:
        return random_hold(rng, at, keys)
    if kind < 0.8 and seen:
        return random_reversal(rng, at, seen, keys)
    chain = random_chains(rng, seen, at)[0]._replace(signatures=())
    if any(isinstance(link, Move) and only_by_request(link) for link in chain.links):
        # What requests alone can hold, rows cannot post.
        chain = chain._replace(hold_until=0)
    # Its expiry is no batch's, so that no request of this lane is a row of the other one.
    words = {"policy": RULES.digest, "expires": int(NOON) + 901 * DAY_NS, "reason": "drill"}
    return request_of(chain, words, keys)


FUND_A_HOLD = Move("fund", "client/alice/cash", "client/alice/hedge", "USDC", 60 * USDC)


def replace_units(move: Move, units: int) -> Move:
    return Move(move.gate, move.source, move.target, move.asset, units)


def random_hold(rng: Random, at: int, keys: list[Signature]) -> Operation:
    """Hold some of alice's money, or end one of the holds made so far."""
    identifier, fresh = 5_000 + rng.randrange(4), rng.getrandbits(100) + 9_000
    words = {"policy": RULES.digest, "expires": at, "signatures": tuple(keys)}
    if rng.random() < 0.5:
        move = replace_units(FUND_A_HOLD, rng.choice([1, 60 * USDC]))
        return Request(identifier, (move,), hold_until=at + rng.choice([0, DAY_NS]), **words)
    return Request(fresh, (rng.choice([Post, Void])(identifier),), **words)


def random_reversal(rng: Random, at: int, seen: list[Chain], keys: list[Signature]) -> Request:
    """Move back what an adjustment moved, by row or by request: all of it, a part, or a little more."""
    moves = ((chain.identifier, link) for chain in seen for link in chain.links if isinstance(link, Move))
    made = [(one, move) for one, move in moves if move.gate == "adjust"]
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
        keys = [Signature(key, b"") for key in rng.choice([KEYS, KEYS, rng.sample(KEYS, 3), KEYS, ()])]
        if keys and rng.random() < 0.05:
            keys[0] = Signature(keys[0].key, b"bad")
        if rng.random() < 0.3:
            operation = random_operation(rng, at, seen, keys)
            lane.give_back()
            answers = [state.apply(operation, now, accept_all) for state in (mixed, plain)]
            assert answers[0].decision == answers[1].decision
            played.reasons.add(int(getattr(answers[0].decision, "reason", 0)))
            continue
        chains = random_chains(rng, seen, at, most)
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
