"""Stopping a part of the book: which kind of halt, over which scope, and what each still lets pass.

    freeze, stop   nothing passes, whoever asks; the two differ in who may say so and who may lift it
    withdrawals    nothing leaves for an external compartment
    cancel_only    no order fills, unless it was signed as one that only reduces
    reduce_only    orders fill as far as they make their position smaller

A liquidation, takeover or deleveraging is stopped by `freeze` and `stop` only: what reduces risk goes last.

    gate/NAME          one gate or exchange; `trade` and `debt` are the implied ones
    compartment/PATH   one compartment
    asset/NAME         one coin, debt or instrument
    member/PARTY/NAME  every compartment of one member
    pool/WATERFALL     the buckets a waterfall is for, and the pools that pay for them
    shard/K-of-N       members whose name falls into part K of N (from 0): to lift a stop part by part
    book               everything
"""

import re
from collections.abc import Collection, Container, Iterator
from hashlib import sha256
from typing import Final

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.rules import DEBT_GATE, TRADE_GATE, Place, Rules
from ringfence.policy.families import match
from ringfence.policy.model import HaltKind

BOOK: Final = "book"

LADDER: Final[tuple[HaltKind, ...]] = ("withdrawals", "cancel_only", "reduce_only", "stop")
"""The order in which the whole book falls back, one step for each violation of a law."""

_TOTAL: Final[tuple[HaltKind, ...]] = ("freeze", "stop")
_TRADING: Final[tuple[HaltKind, ...]] = ("cancel_only", "reduce_only")
_SHARD = re.compile(r"(0|[1-9][0-9]{0,3})-of-([1-9][0-9]{0,3})")


def halt_key(kind: HaltKind, scope: str) -> str:
    """Return what a halt is kept under: the bare scope of a freeze, else the kind before it."""
    return scope if kind == "freeze" else f"{kind} {scope}"


_STOPS_ALL: Final = tuple(halt_key(kind, BOOK) for kind in _TOTAL)


def split_key(key: str) -> tuple[str, str]:
    """Return the kind and the scope of a halt."""
    kind, space, scope = key.partition(" ")
    return (kind, scope) if space else ("freeze", key)


def is_scope(rules: Rules, scope: str) -> bool:
    """Say whether a scope names something that the policy has."""
    kind, _, name = scope.partition("/")
    party, _, member = name.partition("/")
    shard = _SHARD.fullmatch(name)
    known = {
        BOOK: scope == BOOK,
        "gate": name in rules.gates or name in rules.exchanges or name in (TRADE_GATE, DEBT_GATE),
        "compartment": rules.place(name) is not None,
        "asset": name in rules.assets or name in rules.instruments,
        "member": party in rules.families and member != "" and "/" not in member,
        "pool": name in rules.waterfalls,
        "shard": shard is not None and int(shard[1]) < int(shard[2]),
    }
    return known.get(kind, False)


def shard_of(party: str, member: str, shards: int) -> int:
    """Return the part of `shards` that a member falls into, by its name alone."""
    return int.from_bytes(sha256(f"{party}/{member}".encode()).digest()[:8], "big") % shards


def members_of(place: Place) -> Iterator[tuple[str, str]]:
    """Go through the members that a compartment belongs to."""
    yield from zip(place.rule.families, place.members, strict=True)
    if place.rule.named is not None:
        yield place.rule.named


def holds_place(rules: Rules, scope: str, place: Place) -> bool:
    """Say whether a compartment lies within a scope."""
    kind, _, name = scope.partition("/")
    if kind == "compartment":
        return place.path == name
    if kind == "member":
        return any(f"{party}/{member}" == name for party, member in members_of(place))
    if kind == "pool":
        fall = rules.waterfalls.get(name)
        if fall is None:
            return False
        covered = (*fall.covers, *fall.pools)
        return any(match(pattern, place.path) is not None for pattern in covered)
    if kind == "shard":
        part, _, shards = name.partition("-of-")
        return any(shard_of(party, member, int(shards)) == int(part) for party, member in members_of(place))
    return scope == BOOK


def stops_move(rules: Rules, key: str, gate: str, source: Place, target: Place, asset: str) -> bool:
    """Say whether a halt stops a move."""
    kind, scope = split_key(key)
    if kind in _TRADING or (kind == "withdrawals" and not target.rule.two_sided):
        return False
    return (
        scope in (f"gate/{gate}", f"asset/{asset}", BOOK)
        or holds_place(rules, scope, source)
        or holds_place(rules, scope, target)
    )


def shuts_gate(key: str, gate: str) -> bool:
    """Say whether a halt shuts a gate between whatever ends."""
    kind, scope = split_key(key)
    return kind in _TOTAL and scope in (f"gate/{gate}", BOOK)


def stops_trading(rules: Rules, key: str, place: Place, instrument: str) -> bool:
    """Say whether a halt of trading concerns a bucket's orders in an instrument."""
    kind, scope = split_key(key)
    if kind not in _TRADING:
        return False
    return scope in (f"gate/{TRADE_GATE}", f"asset/{instrument}", BOOK) or holds_place(rules, scope, place)


def refusal(key: str, line: str) -> Refused:
    """Refuse what a halt stops."""
    kind, scope = split_key(key)
    words = f"{scope} is {'stopped' if kind == 'stop' else 'frozen'}; it moves nothing until it is resumed"
    if kind == "withdrawals":
        words = f"withdrawals are halted: {scope}"
    return Refused(reason_of(key), words, line)


def reason_of(key: str) -> Reason:
    """Return the reason that a halt refuses a move for."""
    kind, scope = split_key(key)
    if kind == "withdrawals":
        return Reason.WITHDRAWALS_HALTED
    where = scope.partition("/")[0]
    return {"gate": Reason.GATE_FROZEN, "asset": Reason.ASSET_FROZEN, BOOK: Reason.BOOK_IS_STOPPED}.get(
        where, Reason.COMPARTMENT_FROZEN
    )


def is_book_stopped(keys: Collection[str]) -> str:
    """Name the halt under which the book takes no requests at all; "" where none is in force."""
    return next((key for key in _STOPS_ALL if key in keys), "") if keys else ""


def next_step(keys: Container[str]) -> HaltKind:
    """Return the next halt of the whole book after those in force."""
    return next((kind for kind in LADDER if halt_key(kind, BOOK) not in keys), "stop")
