"""The history of a book, read from its journal, and the trail by which that of one compartment is found."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Answered, JournalRecord, Kind
from ringfence.planes.ledger.operations import Announce, CarryOut, Request
from ringfence.services.memory import Memory
from ringfence.services.ports import BookStore

if TYPE_CHECKING:
    # Brings NumPy, which a book without a trail never waits for.
    from ringfence.planes.ledger.trail import Links, Trail


class Dated(NamedTuple):
    """An operation with its answer, and where it is journalled: its record, its time, its place in there."""

    sequence: int
    at: Instant
    place: int
    line: Answered


class History:
    """Reads the journal of a book, and keeps its trail at the head."""

    def __init__(self, store: BookStore, memory: Memory) -> None:
        self._store = store
        self._memory = memory
        self._trail: Trail | None = None

    def lines(
        self, compartment: str | None = None, since: Instant | None = None, until: Instant | None = None
    ) -> Iterator[Dated]:
        """Read operations and answers, oldest first; see `Book.lines`."""
        first = self._first_at(since) if since is not None else 1
        for record in self._records_of(compartment, first):
            if until is not None and record.at > until:
                return
            for place, line in enumerate(self._memory.lines_of(record)):
                touched = any(compartment in (entry.debit, entry.credit) for entry in line.entries)
                if compartment is None or touched:
                    yield Dated(record.sequence, record.at, place, line)

    def _records_of(self, compartment: str | None, first: int) -> Iterator[JournalRecord]:
        """Read the records that touched a compartment, by its trail where there is one; all for None."""
        touching = None if compartment is None else self._store.touching(compartment)
        if touching is None:
            return self._store.records(first)
        sequences = (sequence for sequence in reversed(touching) if sequence >= first)
        return (next(self._store.records(sequence)) for sequence in sequences)

    def _first_at(self, since: Instant) -> int:
        """Find the first record that is not before an instant, by halving."""
        low, high = 1, self._memory.head.sequence + 1
        while low < high:
            middle = (low + high) // 2
            record = next(self._store.records(middle), None)
            if record is None or record.at >= since:
                high = middle
            else:
                low = middle + 1
        return low

    # --- the trail

    def trail(self) -> "Trail | None":
        """Return the trail that the next record goes on; made again where it does not cover the journal."""
        if self._trail is None:
            trail = self._store.trail()
            if trail is not None and trail.covered != self._memory.head.sequence:
                trail = self.renewed_trail()
            self._trail = trail
        return self._trail

    def renewed_trail(self) -> "Trail":
        """Write the trail of the whole journal anew."""
        from ringfence.planes.ledger.trail import Trail

        trail = Trail()
        self._store.renew_trail(self._links(trail, record) for record in self._store.records(1))
        return trail

    def _links(self, trail: "Trail", record: JournalRecord) -> "Links":
        """Find out what a record touched that is in the journal already."""
        if record.kind == Kind.ROWS:
            from ringfence.planes.ledger.rows import read_rows

            batch, codes = read_rows(record)
            routes = self._memory.routes_at(record.sequence)
            return trail.touch_rows(record.sequence, batch.transfers, codes, routes)
        entries = (entry for line in self._memory.lines_of(record) for entry in line.entries)
        return trail.touch(record.sequence, (path for one in entries for path in (one.debit, one.credit)))


def requests_carried_out(lines: Iterable[Dated]) -> Iterator[tuple[Instant, Request]]:
    """Go through the requests that moved something, and when, in that order; pending ones included."""
    pending: dict[int, Request] = {}
    for dated in lines:
        line, operation = dated.line, dated.line.operation
        if line.refused is not None or line.repeated:
            continue
        request = operation.request if isinstance(operation, Announce) else operation
        if isinstance(request, Request) and line.pending:
            pending[request.id] = request
        elif isinstance(request, Request):
            yield dated.at, request
        elif isinstance(operation, CarryOut):
            yield dated.at, pending.pop(operation.request)
