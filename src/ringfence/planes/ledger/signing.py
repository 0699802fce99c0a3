"""Whose signatures count: every one is verified by the ledger itself, over the record's own bytes."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.operations import Signature
from ringfence.planes.ledger.signed_batch import SIGNATURE_SIZE, is_of_batch, signed_bytes

Verifier = Callable[[bytes, bytes, bytes], bool]
"""Says whether (public key, message, signature) fit; an adapter provides Ed25519."""


class Question(NamedTuple):
    """What a verifier is asked: whether these fit."""

    public: bytes
    message: bytes
    signature: bytes


VerifyEach = Callable[[int, Callable[[int], Question | None]], Sequence[bool]]
"""Answers so many questions, each asked for by its number (None: false without asking); on several threads,
where whoever provides it has them."""


def one_by_one(verify: Verifier) -> VerifyEach:
    """Answer questions in turn."""

    def each(count: int, ask: Callable[[int], Question | None]) -> list[bool]:
        return [question is not None and verify(*question) for question in map(ask, range(count))]

    return each


class KnownKeys(NamedTuple):
    """Public keys by concrete name as they count at an instant.

    current: what each name stands for; former: what a rotated one stood for before, and until when that
    counts beside it; revoked: why a name no longer counts; services: the names of keys that services hold
    and use on evidence, which may sign many requests at once.
    """

    current: Mapping[str, bytes]
    former: Mapping[str, tuple[bytes, int]]
    revoked: Mapping[str, str]
    at: int
    services: frozenset[str] = frozenset()

    def of(self, name: str) -> tuple[bytes, ...]:
        """Return the public keys that a signature of this name may fit, none where it is not known."""
        public = self.current.get(name)
        if public is None:
            return ()
        before = self.former.get(name)
        return (public,) if before is None or before[1] < self.at else (public, before[0])

    def has_changed(self, name: str) -> bool:
        """Say whether what counted under a name once may no longer count."""
        return name in self.revoked or name in self.former


SIGNATURES_MAX = 64
"""Most signatures of one record: each costs a verification before anything is known of the sender."""


def signers_of(
    signatures: Sequence[Signature],
    content: bytes,
    known: KnownKeys,
    verify: Verifier,
) -> frozenset[str] | Refused:
    """Return the names of the keys that signed `content`; refused where any signature does not count.

    known: the public keys that count now.
    """
    if len(signatures) > SIGNATURES_MAX:
        words = f"there were {len(signatures)} signatures; at most {SIGNATURES_MAX} are read"
        return Refused(Reason.CHAIN_TOO_LONG, words)
    found = [refused for one in signatures if (refused := _judge(one, content, known, verify)) is not None]
    if found:
        return min(found, key=lambda refused: refused.reason)
    return frozenset([one.key for one in signatures])


def those_that_count(
    signatures: Sequence[Signature],
    content: bytes,
    known: KnownKeys,
    verify: Verifier,
) -> frozenset[str]:
    """Return the names of the keys whose signatures count now, and pass over the others."""
    return frozenset(one.key for one in signatures if _judge(one, content, known, verify) is None)


def what_is_signed(one: Signature, content: bytes, known: KnownKeys) -> tuple[bytes | None, bytes]:
    """Return the message of a signature and the signature itself; no message where it counts for nothing.

    content: the signing bytes of what carries it; they are the message unless it is of a batch.
    """
    if not is_of_batch(one.value):
        return content, one.value
    message = signed_bytes(content, one.value) if one.key in known.services else None
    return message, one.value[:SIGNATURE_SIZE]


def _judge(
    one: Signature,
    content: bytes,
    known: KnownKeys,
    verify: Verifier,
) -> Refused | None:
    publics = known.of(one.key)
    if not publics:
        return Refused(Reason.KEY_UNKNOWN, f"the book knows no public key {one.key}")
    message, value = what_is_signed(one, content, known)
    if message is None:
        words = f"the signature of {one.key} is of no batch that it may sign with this request in it"
        return Refused(Reason.SIGNATURE_INVALID, words)
    for public in publics:
        if verify(public, message, value):
            break
    else:
        return Refused(Reason.SIGNATURE_INVALID, f"the signature of {one.key} does not fit this request")
    if one.key in known.revoked:
        return Refused(Reason.KEY_REVOKED, f"{one.key} was revoked: {known.revoked[one.key]}")
    return None
