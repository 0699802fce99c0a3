"""Keys that change while a book lives: rotation, loss and revocation.

Who may is said by what a key is. Rotating is for whoever has the key, since being able to replace a key is
having it: no officer and no service can, and proofs about stolen keys stay true. Revoking only takes away, so
those who may freeze can do it too. A key that was revoked stays so; a policy that is adopted names another.
"""

from typing import Final

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import RevokeKey, RotateKey, signing_bytes
from ringfence.planes.ledger.records import make_known
from ringfence.planes.ledger.signing import KnownKeys, Verifier, signers_of

NEXT: Final = "next"
"""The name under which a new public key signs its own rotation."""


def rotate(ledger: Ledger, record: RotateKey, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Let a key stand for another public key; True where it does already."""
    tables, key = ledger.tables, record.key
    old = tables.keys.get(key)
    if old is None:
        return Refused(Reason.KEY_UNKNOWN, f"the book knows no public key {key}")
    if old == record.public:
        return True
    if key in tables.revoked:
        return Refused(Reason.KEY_REVOKED, f"{key} was revoked: {tables.revoked[key]}")
    if record.expires < at:
        until = show_instant(Instant(record.expires))
        return Refused(Reason.REQUEST_EXPIRED, f"the rotation was good until {until}")
    refused = judge_rotation(record, old, verify) or make_known(ledger, key, record.public)
    if refused is not None:
        return refused
    tables.put(tables.former, key, (old, record.old_until))
    return None


def judge_rotation(record: RotateKey, old: bytes, verify: Verifier) -> Refused | None:
    """Refuse a rotation that the key as it stands (`old`) and the new one did not both sign."""
    # A key that is itself only a former one replaces nothing, so its older self is not asked.
    both = KnownKeys({record.key: old, NEXT: record.public}, {}, {}, 0)
    found = signers_of(record.signatures, signing_bytes(record), both, verify)
    if isinstance(found, Refused):
        return found
    missing = ", ".join(sorted({record.key, NEXT} - found))
    if missing:
        words = (
            f"a rotation is signed by the key as it stands and by the new one as {NEXT}; {missing} did not"
        )
        return Refused(Reason.NEEDS_NOT_MET, words)
    return None


def revoke(ledger: Ledger, record: RevokeKey, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Stop counting the signatures of a key; True where none counts already."""
    tables, needs = ledger.tables, ledger.rules.freeze_needs
    if record.key not in tables.keys:
        return Refused(Reason.KEY_UNKNOWN, f"the book knows no public key {record.key}")
    if record.key in tables.revoked:
        return True
    found = signers_of(record.signatures, signing_bytes(record), ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    missing = unmet(needs, found, names_for(ledger.rules.keys, None, None)) if needs is not None else ""
    if missing and record.key not in found:
        words = f"revoking {record.key} needs {missing} or the key itself, and neither signed"
        return Refused(Reason.NEEDS_NOT_MET, words)
    tables.put(tables.revoked, record.key, record.reason)
    return None
