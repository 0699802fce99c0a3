"""Many requests under one signature: a service key signs the root of a tree over all of them.

Each request still carries a signature of its own (`operations.Signature`), and is judged alone: the value is
the signature of the root, and after it the way from this request up to that root. So what is verified for
every request is a few hashes, and the signature itself once for all of them:

    64 bytes   Ed25519 signature over `batch_message`
     4 bytes   place of the request in the batch, big-endian
     4 bytes   how many there are
    32 bytes   for each level, the hash beside it (RFC 6962 inclusion proof), lowest first

The leaf is what a signature of the request alone would cover, so nothing can be put in its place; the tag
keeps a signed root from being taken for a request, and the size in it keeps the tree's form fixed. Only keys
that services hold may sign so (`KnownKeys.services`): a person or a client signs each request.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from ringfence.kernel.digest import DIGEST_SIZE, tagged_digest
from ringfence.kernel.merkle import leaf_hash, node_hash, root_over

SIGNATURE_SIZE: Final = 64
_NUMBER_SIZE: Final = 4
_PATH_START: Final = 2 * _NUMBER_SIZE


class BatchToSign:
    """A batch before it is signed; contents: the signing bytes of its requests, one at least, in order."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        self._levels = [[leaf_hash(content) for content in contents]]
        while len(self._levels[-1]) > 1:
            self._levels.append(_parents(self._levels[-1]))

    @property
    def message(self) -> bytes:
        """What a key signs for all of them."""
        return batch_message(len(self._levels[0]), self._levels[-1][0])

    def value(self, signature: bytes, place: int) -> bytes:
        """Return the value of the signature that the request at a place carries."""
        parts = [signature, place.to_bytes(_NUMBER_SIZE, "big")]
        parts.append(len(self._levels[0]).to_bytes(_NUMBER_SIZE, "big"))
        for level in self._levels:
            beside = place ^ 1
            if beside < len(level):
                parts.append(level[beside])
            place >>= 1
        return b"".join(parts)


def _parents(level: Sequence[bytes]) -> list[bytes]:
    """Hash the nodes of a level in pairs; one that is left over goes up as it is."""
    pairs = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs


def batch_message(size: int, root: bytes) -> bytes:
    """Return the 32 bytes that are signed for a batch of requests."""
    return tagged_digest("ringfence batch", size.to_bytes(_NUMBER_SIZE, "big"), root)


def is_of_batch(value: bytes) -> bool:
    """Say whether the value of a signature claims to be of a batch."""
    return len(value) > SIGNATURE_SIZE


def signed_bytes(content: bytes, value: bytes) -> bytes | None:
    """Return what the first 64 bytes of a value of a batch must be a signature of; None where it is no way.

    content: the signing bytes of the request that carries it.
    """
    return _signed_bytes(content, value[SIGNATURE_SIZE:])


# Two keys sign the same batch as a rule, so the way of one request is asked for twice in a row.
@lru_cache(maxsize=64)
def _signed_bytes(content: bytes, way: bytes) -> bytes | None:
    path = way[_PATH_START:]
    if len(way) < _PATH_START or len(path) % DIGEST_SIZE:
        return None
    place, size = (int.from_bytes(way[at : at + _NUMBER_SIZE], "big") for at in (0, _NUMBER_SIZE))
    siblings = [path[at : at + DIGEST_SIZE] for at in range(0, len(path), DIGEST_SIZE)]
    root = root_over(leaf_hash(content), place, size, siblings)
    return None if root is None else batch_message(size, root)
