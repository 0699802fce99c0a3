"""Signatures of single requests in a batch of rows: who signed which, found out before the batch is judged.

A request in rows is signed over the bytes of the ordinary request that it stands for (`signing_bytes`), so
that a client signs one thing, however the book is handed it. Verifying needs nothing but the batch and the
keys the book knows, and may be shared between threads.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ringfence.kernel.decision import Refused
from ringfence.planes.ledger.operations import signing_bytes
from ringfence.planes.ledger.rows import RequestReader, Routes, RowBatch
from ringfence.planes.ledger.signing import KnownKeys, Question, Verifier, VerifyEach, signers_of


class Signed(NamedTuple):
    """Who signed one request by itself: from its first to its last transfer, good until `expires`."""

    start: int
    end: int
    expires: int
    signers: frozenset[str] | Refused


def signed_requests(
    batch: RowBatch, routes: Routes, known: KnownKeys, verify: Verifier, verify_each: VerifyEach
) -> Iterator[Signed]:
    """Go through the requests with seals in their order; a signature that does not count refuses its request.

    verify_each: answers for all seals of the batch at once.
    """
    reader = RequestReader(batch, routes)
    publics = [known.of(key) for key in batch.keys]
    alone = [frozenset((key,)) for key in batch.keys]
    seals = reader.sealed

    def ask(number: int) -> Question | None:
        start, key, _ = seals[number]
        if not publics[key]:
            return None
        message = signing_bytes(reader.request(start, is_bare=True))
        return Question(publics[key][0], message, reader.signature(number).value)

    fits = verify_each(len(seals), ask)
    number = 0
    while number < len(seals):
        start, key, expires = seals[number]
        count = len(reader.seals_of(start))
        signers: frozenset[str] | Refused = alone[key]
        if count > 1 or not fits[number] or batch.keys[key] in known.revoked:
            request = reader.request(start)
            message = signing_bytes(request)
            signers = signers_of(request.signatures, message, known, verify)
        yield Signed(start, reader.end(start), expires, signers)
        number += count
