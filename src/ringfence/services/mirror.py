"""Living a replayed day again in a real book, operation by operation, and comparing where both ended."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import ViolationError
from ringfence.kernel.instant import show_instant
from ringfence.replay.agreement import compare
from ringfence.replay.chains import Batch, Chains, Signer
from ringfence.replay.engine import Run
from ringfence.replay.population import Population
from ringfence.services.ledger import Book

OnBatch = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Watch:
    """A bucket whose content is hashed before `unit` is closed by force and after what that made due."""

    unit: int
    bucket: str


@dataclass(slots=True)
class Mirrored:
    """What the book says: operations it accepted, figures compared, and the hashes around each closing.

    hashes: by price point, (before the closing, after the settlement) of the watched bucket.
    """

    operations: int = 0
    compared: int = 0
    hashes: dict[int, tuple[str, str]] = field(default_factory=dict)


def mirror(
    book: Book, run: Run, population: Population, signer: Signer, watch: Watch | None, on_batch: OnBatch
) -> Mirrored:
    """Submit a run to an empty book and compare every balance, position and debt at the end.

    Raises ViolationError where the book refuses anything, or ends otherwise than the replay.
    """
    mirrored = Mirrored()
    chains = Chains(run, population, book.rules, book.state, signer)
    before: dict[int, str] = {}
    for batch in chains.batches():
        if watch is not None and batch.closes == watch.unit:
            before[batch.point] = book.state.bucket_digest(watch.bucket).hex()
        _submit(book, batch)
        mirrored.operations += len(batch.operations)
        on_batch(mirrored.operations)
        if watch is not None and batch.settles and batch.point in before:
            after = book.state.bucket_digest(watch.bucket).hex()
            mirrored.hashes[batch.point] = (before[batch.point], after)
    mirrored.compared = compare(run, book.state)
    return mirrored


def _submit(book: Book, batch: Batch) -> None:
    for operation, outcome in zip(batch.operations, book.submit(batch.operations, batch.at), strict=True):
        if isinstance(outcome.decision, Refused):
            refused = outcome.decision
            where = f" ({refused.rule})" if refused.rule else ""
            raise ViolationError(
                f"at {show_instant(batch.at)} the book refused what the replay did: {refused.reason.name}, "
                f"{refused.words}{where} [{type(operation).__name__}]"
            )
