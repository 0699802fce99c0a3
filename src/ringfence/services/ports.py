"""What the services need from the outside world, in words of the domain.

Adapters happen to fit these Protocols; `wiring` joins the two. tests/contract holds every adapter of a port
to the same suite.
"""

from collections.abc import Iterator
from typing import Protocol

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head, JournalRecord


class BookStore(Protocol):
    """Keeps the journal of one book. Records are only ever added, by one writer at a time.

    Opening for writing raises StoreBusy at once where another writer holds the book.
    """

    def append(self, record: JournalRecord) -> None:
        """Make one record durable; it follows the head.

        Returns only when the record survives a power cut. Raises StoreFailed otherwise: then the record may
        or may not be kept, this store takes no more, and whoever opens the book again finds out by reading.
        """

    def records(self, first: int = 0) -> Iterator[JournalRecord]:
        """Read the records from sequence `first` on, in order, as they stand when the reading begins.

        Nothing is checked but that each is a record at all; JournalBroken names the first that is not.
        """

    def head(self) -> Head | None:
        """Return where the journal ends by the store's own note, None where nothing was written yet."""

    def close(self) -> None:
        """Let go of the book. Closing twice is closing once."""


class Clock(Protocol):
    """Tells the time. Only the edge of the program asks; everything below is told."""

    def now(self) -> Instant:
        """Return the present instant."""
