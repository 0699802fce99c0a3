"""What the services need from the outside world, in words of the domain.

Adapters happen to fit these Protocols; `wiring` joins the two. tests/contract holds every adapter of a port
to the same suite.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from ringfence.kernel.instant import Clock as Clock
from ringfence.planes.ledger.journal import Head, JournalRecord
from ringfence.planes.ledger.operations import Signature

if TYPE_CHECKING:
    # Brings NumPy, which a command without a book never waits for.
    from ringfence.planes.ledger.trail import Links, Trail


class BookStore(Protocol):
    """Keeps the journal of one book. Records are only ever added, by one writer at a time.

    Opening for writing raises StoreBusy at once where another writer holds the book.
    """

    def append(self, record: JournalRecord) -> None:
        """Make one record durable; it follows the head.

        Returns only when the record survives a power cut. Raises StoreFailed otherwise: then the record may
        or may not be kept, this store takes no more, and whoever opens the book again finds out by reading.
        """

    def extend(self, records: Sequence[JournalRecord], links: Sequence["Links"] = ()) -> None:
        """Make records durable together, all or none, as `append` does one, with the links of their trail.

        links: what records touched; a record without links touched nothing.
        One thread writes at a time; it need not be the one that opened the store.
        """

    def records(self, first: int = 0) -> Iterator[JournalRecord]:
        """Read the records from sequence `first` on, in order, as they stand when the reading begins.

        Nothing is checked but that each is a record at all; JournalBroken names the first that is not.
        """

    def trail(self) -> "Trail | None":
        """Return the trail as far as it goes, to go on with; None where the store keeps none."""

    def renew_trail(self, links: Iterable["Links"]) -> None:
        """Write the links of every record but the genesis anew; StoreFailed as for `append`."""

    def touching(self, compartment: str) -> list[int] | None:
        """List the records that touched a compartment, newest first; None where no trail says so."""

    def head(self) -> Head | None:
        """Return where the journal ends by the store's own note, None where nothing was written yet."""

    def close(self) -> None:
        """Let go of the book. Closing twice is closing once."""


class SnapshotShelf(Protocol):
    """Keeps snapshots of one book, which follow from its journal: any of them may be lost or damaged."""

    def kept(self) -> tuple[int, ...]:
        """List the records that have a snapshot, the newest first."""

    def read(self, sequence: int) -> bytes:
        """Return a snapshot as it lies there, right or wrong; empty where it cannot be read."""

    def keep(self, sequence: int, content: bytes) -> None:
        """Keep a snapshot, and as many older ones as there is reason to; or none, where there is no room."""


class KeyRing(Protocol):
    """Signing keys that whoever asks has at hand. A key is named as in the policy, with its member."""

    def make(self, name: str) -> bytes:
        """Make a new key and return its 32-byte public key; UsageError where there is one already."""

    def has(self, name: str) -> bool:
        """Say whether the key is there."""

    def public(self, name: str) -> bytes:
        """Return the public key; BadInput where it is missing, or cannot be used safely."""

    def replace(self, name: str, other: str) -> None:
        """Let the key `other` be the key `name` from now on; the one it replaces is kept as NAME.former."""

    def sign(self, name: str, message: bytes) -> Signature | None:
        """Sign a message; None where the key is not there."""
