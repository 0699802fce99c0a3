"""Requests that wait: for more signatures, for the delay of a gate, or for both.

    announced -> carried out | cancelled | expired | refused        each of these once, and for ever

The delay runs from the instant at which everybody needed has signed, so that nobody can start it alone. What
counts is found out anew whenever it matters: a signature of a key that was revoked, or an approval whose time
has passed, no longer counts, and when somebody else signs instead the delay begins again.

When a pending request is carried out, everything is judged again as if it had just been asked. A stop or a
signature that is missing leaves it pending; any other refusal ends it, as it ends every request.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

from ringfence.kernel.decision import REASONS, Reason, Refused
from ringfence.kernel.ids import show_id
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.holds import moves_meant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.moves import bind_exchange, legs_of
from ringfence.planes.ledger.needs import NameOf, keys_named, names_for, names_through, unmet
from ringfence.planes.ledger.operations import Approve, Cancel, Move, Request, signing_bytes
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.rules import GateRule
from ringfence.planes.ledger.signing import (
    SIGNATURES_MAX,
    Verifier,
    signers_of,
    those_that_count,
)

LEAVES_PENDING: Final = frozenset(
    {
        Reason.BOOK_IS_STOPPED,
        Reason.NEEDS_NOT_MET,
        Reason.DELAY_NOT_PASSED,
        Reason.GATE_FROZEN,
        Reason.COMPARTMENT_FROZEN,
        Reason.ASSET_FROZEN,
        Reason.WITHDRAWALS_HALTED,
    }
)
"""Refusals after which a pending request goes on waiting: a stop delays what waits and does not end it."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One gate or exchange that a request goes through, and how its needs are read there."""

    gate: GateRule
    name_of: NameOf


def passages_of(ledger: Ledger, request: Request) -> tuple[Passage, ...]:
    """List the gates a request's moves go through; a move that leads nowhere is left to its own refusal."""
    return tuple(
        passage
        for link in request.links
        for move in moves_meant(ledger.tables, link)
        if (passage := _passage(ledger, request, move)) is not None
    )


def delay_of(passages: tuple[Passage, ...]) -> int:
    """Return the longest delay in ns; 0 where nothing waits."""
    return max((passage.gate.delay_ns for passage in passages), default=0)


def lacking(passages: tuple[Passage, ...], signers: frozenset[str]) -> str:
    """Name the first need that is not met, with its gate; "" where all are."""
    for passage in passages:
        missing = unmet(passage.gate.needs, signers, passage.name_of)
        if missing:
            return f"{passage.gate.name} needs {missing}"
    return ""


def asked_of(passages: tuple[Passage, ...]) -> frozenset[str]:
    """List every key that may count towards a need."""
    return frozenset(name for one in passages for name in keys_named(one.gate.needs, one.name_of))


def signers_at(ledger: Ledger, pending: Pending, at: Instant, verify: Verifier) -> frozenset[str]:
    """Return the keys whose signatures of a pending request count at an instant, each once."""
    known = ledger.known_keys(at)
    found = those_that_count(pending.request.signatures, pending.content, known, verify)
    for approval in pending.approvals:
        if at <= approval.expires:
            content = signing_bytes(approval)
            found |= those_that_count(approval.signatures, content, known, verify)
    return found


# --- announcing --------------------------------------------------------------------------------


def fault_of_announcing(
    ledger: Ledger, request: Request, content: bytes, at: Instant, verify: Verifier
) -> Refused | None:
    """Say why a request cannot be made pending, whatever its gates think of it; None where it can."""
    passages = passages_of(ledger, request)
    found = signers_of(request.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    asked = asked_of(passages)
    if not asked.intersection(found):
        names = ", ".join(sorted(asked)) or "nobody"
        return Refused(Reason.NEEDS_NOT_MET, f"nobody signed of those who are needed: {names}")
    return fault_of_time(request, delay_of(passages), at)


def fault_of_time(request: Request, delay_ns: int, at: Instant) -> Refused | None:
    """Refuse what would be expired before its delay has passed."""
    first = at + delay_ns
    if request.expires >= first:
        return None
    until = show_instant(Instant(request.expires))
    words = (
        f"it is good until {until}, and its delay passes at {show_instant(Instant(first))} at the earliest"
    )
    return Refused(Reason.REQUEST_EXPIRED, words)


def keep(ledger: Ledger, request: Request, content: bytes, at: Instant, verify: Verifier) -> None:
    """Make a request pending; whether it may be was judged before."""
    passages = passages_of(ledger, request)
    pending = Pending(request, content, at, delay_of(passages), tuple(sorted(asked_of(passages))))
    tables = ledger.tables
    tables.put(tables.pending, request.id, _with_met(ledger, pending, at, verify))
    tables.put(tables.ids, request.id, (content, int(Reason.DELAY_NOT_PASSED)))


def _with_met(ledger: Ledger, pending: Pending, at: Instant, verify: Verifier) -> Pending:
    """Start the delay if everybody needed has signed now."""
    signers = signers_at(ledger, pending, at, verify)
    missing = lacking(passages_of(ledger, pending.request), signers)
    return msgspec.structs.replace(pending, met=None if missing else at)


# --- approving and cancelling ------------------------------------------------------------------


def approve(ledger: Ledger, approval: Approve, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Count a later signature; True where these keys counted already."""
    pending = _named(ledger, approval.request, approval.content, at)
    if isinstance(pending, Refused):
        return pending
    if approval.expires < at:
        until = show_instant(Instant(approval.expires))
        return Refused(Reason.REQUEST_EXPIRED, f"the approval was good until {until}")
    tables = ledger.tables
    found = signers_of(approval.signatures, signing_bytes(approval), ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    if not found or not found.issubset(pending.asked):
        names = ", ".join(sorted(found.difference(pending.asked))) or "nobody"
        words = f"{names} signed, and {', '.join(pending.asked)} may"
        return Refused(Reason.NOT_ASKED_TO_SIGN, words)
    counted = signers_at(ledger, pending, at, verify)
    if found <= counted:
        return True
    if len(pending.approvals) >= SIGNATURES_MAX:
        return Refused(Reason.CHAIN_TOO_LONG, f"it was approved {SIGNATURES_MAX} times; no more are kept")
    was_met = not lacking(passages_of(ledger, pending.request), counted)
    kept = msgspec.structs.replace(pending, approvals=(*pending.approvals, approval))
    tables.put(tables.pending, approval.request, kept if was_met else _with_met(ledger, kept, at, verify))
    return None


def cancel(ledger: Ledger, record: Cancel, at: Instant, verify: Verifier) -> Refused | None:
    """End a pending request, if one who may asks for it."""
    pending = _named(ledger, record.request, record.content, at)
    if isinstance(pending, Refused):
        return pending
    found = signers_of(record.signatures, signing_bytes(record), ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    passages = passages_of(ledger, pending.request)
    if not any(
        not unmet((need,), found, passage.name_of) for passage in passages for need in passage.gate.cancel
    ):
        may = ", ".join(sorted(may_cancel(passages))) or "nobody"
        words = f"{', '.join(sorted(found)) or 'nobody'} signed; {may} may cancel it"
        return Refused(Reason.NOT_ASKED_TO_SIGN, words, passages[0].gate.line if passages else "")
    end(ledger, pending, int(Reason.REQUEST_CANCELLED))
    return None


def may_cancel(passages: tuple[Passage, ...]) -> frozenset[str]:
    """List the keys that `cancel` names."""
    return frozenset(name for one in passages for name in keys_named(one.gate.cancel, one.name_of))


def end(ledger: Ledger, pending: Pending, answer: int) -> None:
    """Let a pending request come to its end; answer: 0 where it was carried out, else the reason's number."""
    tables = ledger.tables
    tables.drop(tables.pending, pending.request.id)
    tables.put(tables.ids, pending.request.id, (pending.content, answer))


def _named(ledger: Ledger, identifier: int, content: bytes, at: Instant) -> Pending | Refused:
    pending = ledger.tables.pending.get(identifier)
    if pending is None:
        return not_pending(ledger, identifier)
    if pending.content != content:
        words = f"id {show_id(identifier)} is pending with other content than this was signed for"
        return Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
    if pending.is_expired(at):
        return expired(pending)
    return pending


def not_pending(ledger: Ledger, identifier: int) -> Refused:
    """Say what became of a request that is not pending."""
    known = ledger.tables.answer(identifier)
    if known is None:
        return Refused(Reason.NOT_PENDING, f"id {show_id(identifier)} was never announced")
    ended = REASONS[known[1]].name if known[1] else "it was carried out"
    return Refused(Reason.NOT_PENDING, f"id {show_id(identifier)} is not pending: {ended}")


def expired(pending: Pending) -> Refused:
    """Refuse what was not carried out in time."""
    until = show_instant(Instant(pending.request.expires))
    return Refused(Reason.REQUEST_EXPIRED, f"it was good until {until}")


# --- carrying out ------------------------------------------------------------------------------


def fault_of_time_and_signers(pending: Pending, lacks: str, at: Instant) -> Refused | None:
    """Say what a pending request still waits for at an instant; None where it is due."""
    if lacks:
        return Refused(Reason.NEEDS_NOT_MET, f"{lacks}, which did not sign or no longer counts")
    due = pending.due
    if due is not None and at < due:
        return Refused(Reason.DELAY_NOT_PASSED, f"it may be carried out from {show_instant(due)} on")
    return None


def _passage(ledger: Ledger, request: Request, move: Move) -> Passage | None:
    rules = ledger.rules
    source, target = rules.place(move.source), rules.place(move.target)
    way = rules.way(move.gate, source, target) if source is not None and target is not None else None
    if way is None or source is None or target is None:
        return None
    exchange = rules.exchanges.get(move.gate)
    if exchange is None:
        return Passage(way.gate, names_through(rules.keys, way, source, target))
    binding = bind_exchange(ledger, exchange, legs_of(request, move.gate))
    return Passage(way.gate, names_for(rules.keys, source, binding))
