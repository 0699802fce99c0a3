"""A signed head: where a journal ended, kept outside it. What it names cannot be lost unnoticed.

A journal without its newest records is a good journal, and a balanced one. That something is missing shows
only against a note made elsewhere: a head, or one with the signature of a key that the book knows.
"""

from collections.abc import Mapping

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import BadInput, ViolationError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head
from ringfence.planes.ledger.operations import Record, Signature
from ringfence.planes.ledger.signing import Verifier
from ringfence.services.instructions import Sign


class SignedHead(Record, frozen=True, tag="head"):
    """Where the journal of a book ended: sequence, time and hash of its last record; who says so."""

    book: str
    sequence: int
    at: int
    hash: bytes
    policy: bytes
    signatures: tuple[Signature, ...] = ()

    @property
    def head(self) -> Head:
        """The head that a journal must reach."""
        return Head(self.sequence, Instant(self.at), self.hash)


def sign_head(name: str, head: Head, policy: bytes, key: str, sign: Sign) -> SignedHead:
    """Write down where a journal ends, signed with `key` where `sign` has it ("" for none)."""
    bare = SignedHead(name, head.sequence, head.at, head.hash, policy)
    signature = sign(key, signing_bytes(bare)) if key else None
    if key and signature is None:
        raise BadInput(f"the key {key} is not at hand; a head is signed where the key is")
    return msgspec.structs.replace(bare, signatures=(signature,) if signature else ())


def signing_bytes(signed: SignedHead) -> bytes:
    """Return the 32 bytes that are signed."""
    bare = msgspec.structs.replace(signed, signatures=())
    return tagged_digest("ringfence head", msgspec.json.encode(bare))


def check_head(signed: SignedHead, name: str, keys: Mapping[str, bytes], verify: Verifier) -> tuple[str, ...]:
    """Return who signed a head; ViolationError where it is of another book or a signature does not fit."""
    if signed.book != name:
        raise ViolationError(f"the head is of book {signed.book}, and this is {name}")
    for one in signed.signatures:
        public = keys.get(one.key)
        if public is None or not verify(public, signing_bytes(signed), one.value):
            raise ViolationError(f"the signature of {one.key} does not fit the head")
    return tuple(one.key for one in signed.signatures)


def write_head(signed: SignedHead) -> bytes:
    """Write a signed head as JSON."""
    return msgspec.json.format(msgspec.json.encode(signed), indent=2) + b"\n"


def read_head(content: bytes, name: str) -> SignedHead:
    """Read a signed head; BadInput where it is none."""
    try:
        return msgspec.json.decode(content, type=SignedHead)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{name} is no signed head: {error}") from None
