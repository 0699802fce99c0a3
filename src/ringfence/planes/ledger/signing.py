"""Whose signatures count: every one is verified by the ledger itself, over the record's own bytes."""

from collections.abc import Callable, Mapping, Sequence

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.operations import Signature

Verifier = Callable[[bytes, bytes, bytes], bool]
"""Says whether (public key, message, signature) fit; an adapter provides Ed25519."""

SIGNATURES_MAX = 64
"""Most signatures of one record: each costs a verification before anything is known of the sender."""


def signers_of(
    signatures: Sequence[Signature],
    content: bytes,
    keys: Mapping[str, bytes],
    revoked: Mapping[str, str],
    verify: Verifier,
) -> frozenset[str] | Refused:
    """Return the names of the keys that signed `content`; refused where any signature does not count.

    keys: public keys by concrete name; revoked: why a key no longer counts.
    """
    if len(signatures) > SIGNATURES_MAX:
        words = f"there were {len(signatures)} signatures; at most {SIGNATURES_MAX} are read"
        return Refused(Reason.CHAIN_TOO_LONG, words)
    refusals = [_judge(one, content, keys, revoked, verify) for one in signatures]
    found = [refused for refused in refusals if refused is not None]
    if found:
        return min(found, key=lambda refused: refused.reason)
    return frozenset(one.key for one in signatures)


def those_that_count(
    signatures: Sequence[Signature],
    content: bytes,
    keys: Mapping[str, bytes],
    revoked: Mapping[str, str],
    verify: Verifier,
) -> frozenset[str]:
    """Return the names of the keys whose signatures count now, and pass over the others."""
    return frozenset(one.key for one in signatures if _judge(one, content, keys, revoked, verify) is None)


def _judge(
    one: Signature,
    content: bytes,
    keys: Mapping[str, bytes],
    revoked: Mapping[str, str],
    verify: Verifier,
) -> Refused | None:
    public = keys.get(one.key)
    if public is None:
        return Refused(Reason.KEY_UNKNOWN, f"the book knows no public key {one.key}")
    if not verify(public, content, one.value):
        return Refused(Reason.SIGNATURE_INVALID, f"the signature of {one.key} does not fit this request")
    if one.key in revoked:
        return Refused(Reason.KEY_REVOKED, f"{one.key} was revoked: {revoked[one.key]}")
    return None
