"""Trading sessions: a key lets a service place orders for it for a while, and nothing else.

Between client and service each frame carries an HMAC (`services.frames`); to the book the service, where the
session ends, vouches for each order with a key of its own, named `session/ID`. So the book needs no secret, a
replay judges the same, and who could place orders is a fact: whoever owns the holder has the key, for orders,
for as long as the session lasts. It is never good for a gate: requests know no such name.
"""

import re
from collections.abc import Iterator
from typing import Final

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import ID_MAX, show_id
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.operations import (
    CloseSession,
    OpenSession,
    Order,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.signing import SIGNATURES_MAX, Verifier, signers_of, those_that_count
from ringfence.planes.ledger.tables import SessionState

PREFIX: Final = "session/"
_NUMBER: Final = re.compile("[0-9a-f]{32}")


def session_key(identifier: int) -> str:
    """Name what vouches for the orders of a session, as a signature names it."""
    return f"{PREFIX}{show_id(identifier)}"


def open_session(ledger: Ledger, record: OpenSession, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Let a service place orders for a key; True where it was let before."""
    content, tables, rules = signing_bytes(record), ledger.tables, ledger.rules
    earlier = tables.answer(record.id)
    if earlier is not None:
        words = "the id was used before; a session takes a new one"
        return True if earlier == (content, 0) else Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
    if not 0 < record.id <= ID_MAX:
        return Refused(Reason.ID_NOT_POSSIBLE, "the id of a session is a positive whole number below 2^128")
    if record.policy != rules.digest:
        return Refused(Reason.POLICY_DIGEST_DIFFERS, "the session was signed for another policy")
    if record.expires < at:
        return Refused(Reason.REQUEST_EXPIRED, f"it was good until {show_instant(Instant(record.expires))}")
    if not rules.holders.get(record.holder):
        words = f"{record.holder} is no service that holds a key, so it cannot vouch for orders"
        return Refused(Reason.SERVICE_UNKNOWN, words)
    found = signers_of(record.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    if record.key not in found:
        return Refused(Reason.NEEDS_NOT_MET, f"{record.key} opens a session of its own, and did not sign")
    tables.put(tables.trading_sessions, record.id, SessionState(record))
    tables.put(tables.ids, record.id, (content, 0))
    for bucket in record.buckets:
        tables.put(tables.session_buckets, bucket, record.id)
    return None


def close_session(
    ledger: Ledger, record: CloseSession, at: Instant, verify: Verifier
) -> Refused | bool | None:
    """End a session at once; its key signs that, or the service where it ends."""
    tables = ledger.tables
    state = tables.trading_sessions.get(record.session)
    if state is None:
        return Refused(Reason.SESSION_NOT_OPEN, f"session {show_id(record.session)} was never opened")
    if state.is_closed:
        return True
    found = signers_of(record.signatures, signing_bytes(record), ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    may = {state.opened.key, *ledger.rules.holders.get(state.opened.holder, ())}
    if not may.intersection(found):
        return Refused(Reason.NOT_ASKED_TO_SIGN, f"who may close the session is {', '.join(sorted(may))}")
    tables.put(tables.trading_sessions, record.session, SessionState(state.opened, is_closed=True))
    return None


# --- orders ------------------------------------------------------------------------------------


def order_signers(
    ledger: Ledger, order: Order, content: bytes, at: Instant, verify: Verifier
) -> frozenset[str] | Refused:
    """Return the keys that stand behind an order, by their own signature or through an open session."""
    own = tuple(one for one in order.signatures if not one.key.startswith(PREFIX))
    found = signers_of(own, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    if len(order.signatures) > SIGNATURES_MAX:
        return Refused(Reason.CHAIN_TOO_LONG, f"at most {SIGNATURES_MAX} signatures are read")
    for one in order.signatures:
        if one.key.startswith(PREFIX):
            key = _vouched(ledger, order, one, content, at, verify)
            if isinstance(key, Refused):
                return key
            found |= {key}
    return found


def was_in_session(ledger: Ledger, bucket: str) -> bool:
    """Say whether a session was ever opened for a bucket, so that its orders are verified each time."""
    return bucket in ledger.tables.session_buckets


def _vouched(
    ledger: Ledger, order: Order, one: Signature, content: bytes, at: Instant, verify: Verifier
) -> str | Refused:
    """Return the key for which a session's holder vouches for an order."""
    number = _NUMBER.fullmatch(one.key.removeprefix(PREFIX))
    state = ledger.tables.trading_sessions.get(int(number[0], 16)) if number is not None else None
    if state is None:
        return Refused(Reason.SESSION_NOT_OPEN, f"{one.key} was never opened")
    fault = _fault(ledger, state, at, verify)
    if fault:
        return Refused(Reason.SESSION_NOT_OPEN, f"{one.key} {fault}")
    if order.bucket not in state.opened.buckets:
        return Refused(Reason.SESSION_NOT_OPEN, f"{one.key} is not for {order.bucket}")
    known = ledger.known_keys(at)
    for key in ledger.rules.holders.get(state.opened.holder, ()):
        if those_that_count((Signature(key, one.value),), content, known, verify):
            return state.opened.key
    words = f"no key of {state.opened.holder} signed the order for {one.key}"
    return Refused(Reason.SIGNATURE_INVALID, words)


def _fault(ledger: Ledger, state: SessionState, at: Instant, verify: Verifier) -> str:
    opened = state.opened
    if state.is_closed:
        return "was closed"
    if opened.expires < at:
        return f"was good until {show_instant(Instant(opened.expires))}"
    if opened.policy != ledger.rules.digest:
        return "was opened under another policy"
    signed = those_that_count(opened.signatures, signing_bytes(opened), ledger.known_keys(at), verify)
    return "" if opened.key in signed else f"was opened by {opened.key}, which no longer counts"


def holdings(ledger: Ledger, at: Instant, verify: Verifier) -> Iterator[tuple[str, str]]:
    """Go through (service, key): who holds whose key now because a session ends there.

    Facts for a proof (`proof.observed.session_facts`): whoever owns the service places orders as the key.
    """
    for _, state in sorted(ledger.tables.trading_sessions.items()):
        if not _fault(ledger, state, at, verify):
            yield state.opened.holder, state.opened.key
