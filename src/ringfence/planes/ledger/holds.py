"""Holds: units kept for a request that may be carried out later, whole or in part, or not at all.

A request with `hold_until` is judged as if it happened now, all its moves in order. If it could happen,
nothing moves: what its sources would lose is held. Then a `Post` moves it, a `Void` lets it go, or its time
runs out: each hold has one end. A chain is held, posted and voided as a whole.

    free = balance - held         for whatever people ask through gates
    free = balance                for what is owed: a settlement never waits for a hold

So a hold promises that nobody else spends the units; it does not put its bucket's debts off, and it grants
nothing: a post is judged like any request, by the gate's keys, limits, conditions and freezes at that moment.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from typing import Literal

import msgspec

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import show_id
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger import moves
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_through, unmet
from ringfence.planes.ledger.operations import Entry, Link, Move, Post, Request, Route, Void
from ringfence.planes.ledger.tables import Hold, Tables

End = Literal["posted", "voided", "expired"]


# --- holding -----------------------------------------------------------------------------------


def fault_of_form(ledger: Ledger, request: Request, at: Instant) -> Refused | None:
    """Say why a request cannot be held at all; None where it can, or asks for no hold."""
    if not request.hold_until:
        return None
    if not at <= request.hold_until < 2**63:
        return Refused(Reason.HOLD_NOT_POSSIBLE, "the hold would be over before it began; hold until later")
    gates = ledger.rules.gates
    for link in request.links:
        gate = gates.get(link.gate) if isinstance(link, Move) else None
        if not isinstance(link, Move) or (gate is None and link.gate in ledger.rules.exchanges):
            words = "only moves through gates are held; a fill, a settlement or an exchange is not"
            return Refused(Reason.HOLD_NOT_POSSIBLE, words)
        if gate is not None and gate.accrual:
            words = f"{gate.name} moves what is owed; that is moved, never held"
            return Refused(Reason.HOLD_NOT_POSSIBLE, words, gate.line)
        if gate is not None and gate.delay_ns:
            words = f"what passes {gate.name} waits for its delay; a request that waits is no hold"
            return Refused(Reason.HOLD_NOT_POSSIBLE, words, gate.line)
    return None


def reserved_by(ledger: Ledger, entries: Sequence[Entry]) -> tuple[tuple[str, str, int], ...]:
    """Return what a chain would take from each compartment on balance: (path, asset, units), in order."""
    flows: dict[tuple[str, str], int] = {}
    for entry in entries:
        for path, units in ((entry.debit, entry.units), (entry.credit, -entry.units)):
            flows[path, entry.asset] = flows.get((path, entry.asset), 0) + units
    return tuple(
        (path, asset, units)
        for (path, asset), units in sorted(flows.items())
        if units > 0 and not _is_outside(ledger, path)
    )


def keep(ledger: Ledger, request: Request, entries: Sequence[Entry]) -> None:
    """Hold what a request would have moved, now that everything it did was taken back."""
    tables = ledger.tables
    links = tuple(link for link in request.links if isinstance(link, Move))
    hold = Hold(request.hold_until, links, reserved_by(ledger, entries))
    tables.put(tables.holds, request.id, hold)
    heappush(ledger.expiring, (hold.until, request.id))
    for path, asset, units in hold.reserved:
        tables.put(tables.held, (path, asset), tables.held.get((path, asset), 0) + units)


# --- its ends ----------------------------------------------------------------------------------


def post(chain: Chain, link: Post) -> Refused | None:
    """Move what was held, whole or in part; the rest is let go."""
    hold = _find(chain.ledger, link.hold)
    if isinstance(hold, Refused):
        return hold
    parts = posted_moves(hold, link)
    if isinstance(parts, Refused):
        return parts
    end(chain.ledger.tables, link.hold, "posted")
    for move in parts:
        refused = moves.carry_out(chain, move)
        if refused is not None:
            return refused
    return None


def void(chain: Chain, link: Void) -> Refused | None:
    """Let go of what was held; asked for by those who could have moved it."""
    ledger = chain.ledger
    hold = _find(ledger, link.hold)
    if isinstance(hold, Refused):
        return hold
    if not _leads_along(hold, link.along):
        return _other_ways(link.hold)
    if chain.signing is not None:
        return chain.signing
    for move in hold.moves:
        source, target = ledger.place(move.source), ledger.place(move.target)
        way = ledger.rules.way(move.gate, source, target) if source and target else None
        if way is None or source is None or target is None:
            continue
        names = names_through(ledger.rules.keys, way, source, target)
        missing = unmet(way.gate.needs, chain.signers, names)
        if missing:
            words = f"voiding a hold at {move.gate} needs {missing}, which did not sign"
            return Refused(Reason.NEEDS_NOT_MET, words, way.gate.line)
    end(ledger.tables, link.hold, "voided")
    return None


def expire(ledger: Ledger, at: Instant) -> None:
    """End every hold whose time is over; `until` itself is the last instant at which it may be posted."""
    tables, waiting = ledger.tables, ledger.expiring
    if len(waiting) < len(tables.holds):
        waiting[:] = [(hold.until, identifier) for identifier, hold in tables.holds.items()]
        heapify(waiting)
    while waiting and waiting[0][0] < at:
        _, identifier = heappop(waiting)
        if identifier in tables.holds:
            end(tables, identifier, "expired")
    tables.commit()


def end(tables: Tables, identifier: int, how: End) -> None:
    """Give a hold its one end, and its units back to their compartments."""
    hold = tables.holds[identifier]
    for path, asset, units in hold.reserved:
        left = tables.held[path, asset] - units
        if left:
            tables.put(tables.held, (path, asset), left)
        else:
            tables.drop(tables.held, (path, asset))
    tables.drop(tables.holds, identifier)
    tables.put(tables.ended, identifier, how)


def posted_moves(hold: Hold, link: Post) -> list[Move] | Refused:
    """Return the moves that a post asks for, in order."""
    units = link.units or tuple(move.units for move in hold.moves)
    if len(units) != len(hold.moves) or not any(units) or min(units) < 0:
        words = f"the hold has {len(hold.moves)} moves; give units for each, 0 to leave one out"
        return Refused(Reason.HOLD_PARTS_DIFFER, words)
    if not _leads_along(hold, link.along):
        return _other_ways(link.hold)
    for move, part in zip(hold.moves, units, strict=True):
        if part > move.units:
            words = f"{move.units} units of {move.asset} are held from {move.source}, and {part} were asked"
            return Refused(Reason.HOLD_EXCEEDED, words)
    return [
        msgspec.structs.replace(move, units=part)
        for move, part in zip(hold.moves, units, strict=True)
        if part
    ]


def _leads_along(hold: Hold, along: Sequence[Route]) -> bool:
    """Say whether the moves of a hold go where somebody says they do, who need not say it."""
    return not along or tuple(along) == tuple(
        Route(move.gate, move.source, move.target, move.asset) for move in hold.moves
    )


def _other_ways(identifier: int) -> Refused:
    words = f"hold {_show(identifier)} is not of moves along these ways, in this order"
    return Refused(Reason.HOLD_PARTS_DIFFER, words)


def meant_moves(tables: Tables, link: Post) -> list[Move]:
    """Return the moves that a post means as the book stands; none where it could not be carried out."""
    hold = tables.holds.get(link.hold)
    found = posted_moves(hold, link) if hold is not None else []
    return [] if isinstance(found, Refused) else found


def moves_meant(tables: Tables, link: Link) -> list[Move]:
    """Return the moves that a link means as the book stands: its own, those it posts, those it voids."""
    if isinstance(link, Post):
        return meant_moves(tables, link)
    if isinstance(link, Void):
        hold = tables.holds.get(link.hold)
        return list(hold.moves) if hold is not None else []
    return [link] if isinstance(link, Move) else []


def _find(ledger: Ledger, identifier: int) -> Hold | Refused:
    tables = ledger.tables
    hold = tables.holds.get(identifier)
    if hold is not None:
        return hold
    if identifier in tables.ended:
        words = f"hold {show_id(identifier)} was {tables.ended[identifier]}; a hold has one end"
        return Refused(Reason.HOLD_HAS_ENDED, words)
    return Refused(Reason.HOLD_UNKNOWN, f"no request {_show(identifier)} is held by this book")


def _show(identifier: int) -> str:
    return show_id(identifier) if 0 <= identifier < 2**128 else str(identifier)


def _is_outside(ledger: Ledger, path: str) -> bool:
    place = ledger.rules.place(path)
    return place is None or place.rule.two_sided
