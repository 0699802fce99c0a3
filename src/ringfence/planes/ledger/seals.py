"""Signatures of single requests in a batch of rows: who signed which, found out before the batch is judged.

A request in rows is signed over the bytes of the ordinary request that it stands for (`signing_bytes`), so
that a client signs one thing, however the book is handed it. Verifying needs nothing but the batch and the
keys the book knows, and may be shared between threads.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ringfence.kernel.decision import Refused
from ringfence.planes.ledger.operations import signing_bytes
from ringfence.planes.ledger.rows import RequestReader, Routes, RowBatch
from ringfence.planes.ledger.signing import KnownKeys, Question, Verifier, VerifyEach, signers_of


class Signed(NamedTuple):
    """Who signed one request by itself, from its first to its last transfer."""

    start: int
    end: int
    signers: frozenset[str] | Refused


class VerifiedSeals:
    """The seals of a batch, each looked at once.

    starts, keys, expires: of each seal, the first transfer of its request, its key, and until when it is
    good; is_plain: the one signature, which counts, of a request of one transfer. The others are few or
    wrong, and `others` tells who signed their requests.
    """

    def __init__(
        self, batch: RowBatch, routes: Routes, known: KnownKeys, verify: Verifier, verify_each: VerifyEach
    ) -> None:
        """Verify them; verify_each: answers for all of them together."""
        self._reader = RequestReader(batch, routes)
        self._known, self._verify = known, verify
        seals = batch.seals
        self.starts, self.keys = seals["request"].astype(np.int64), seals["key"].astype(np.int64)
        self.expires = seals["expires"]
        self.alone = [frozenset((key,)) for key in batch.keys]
        fits = np.array(verify_each(len(seals), self._questions(batch)), np.bool_)
        is_revoked = np.array([key in known.revoked for key in batch.keys], np.bool_)
        is_only = np.bincount(self.starts)[self.starts] == 1
        is_short = batch.transfers["is_linked"][self.starts] == 0
        self.is_plain = fits & ~is_revoked[self.keys] & is_only & is_short

    def _questions(self, batch: RowBatch) -> "_Questions":
        return _Questions(self._reader, [self._known.of(key) for key in batch.keys])

    def others(self) -> Iterator[Signed]:
        """Go through the requests whose seals are not plain, in their order."""
        for start in dict.fromkeys(self.starts[~self.is_plain].tolist()):
            request = self._reader.request(start)
            signers = signers_of(request.signatures, signing_bytes(request), self._known, self._verify)
            yield Signed(start, self._reader.end(start), signers)


class _Questions:
    """What the verifier is asked about each seal: by the key as it stands now."""

    def __init__(self, reader: RequestReader, publics: list[tuple[bytes, ...]]) -> None:
        self._reader = reader
        self._publics = publics

    def __call__(self, number: int) -> Question | None:
        start, key, _ = self._reader.sealed[number]
        if not self._publics[key]:
            return None
        message = signing_bytes(self._reader.request(start, is_bare=True))
        return Question(self._publics[key][0], message, self._reader.signature(number).value)
