"""A second reader of the book: takes the journal's records one by one and judges every answer again.

Whoever follows has the same state as the ledger without asking it, and would notice an answer that the rules
do not give.
"""

from collections.abc import Iterator, Sequence

from ringfence.kernel.decision import Accepted
from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.journal import (
    Answered,
    JournalRecord,
    Kind,
    answered,
    fault_after,
    read_batch,
    replay,
)
from ringfence.planes.ledger.operations import Operation, Request
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.services.margin_facts import MarginFacts


class Follower:
    """The book as the journal tells it, with margin's view of it."""

    def __init__(self, rules: Rules, verify: Verifier) -> None:
        self.state = BookState(rules)
        self.margin = MarginFacts(rules)
        self._rules = rules
        self._verify = verify
        self._last: JournalRecord | None = None

    @property
    def sequence(self) -> int:
        """The number of the last record, -1 before the genesis."""
        return self._last.sequence if self._last is not None else -1

    def follow(self, records: Sequence[JournalRecord]) -> tuple[tuple[Instant, Request], ...]:
        """Take records that follow; return the requests that were accepted, each with its time.

        Records that were taken before are passed over. JournalBroken where one does not follow, or has
        another answer than the rules give.
        """
        return tuple(
            found for record in records if record.sequence > self.sequence for found in self._take(record)
        )

    def _take(self, record: JournalRecord) -> Iterator[tuple[Instant, Request]]:
        fault = fault_after(record, self._last)
        if fault:
            raise JournalBroken(record.sequence, fault)
        if record.policy != self._rules.digest:
            raise JournalBroken(record.sequence, "is of a book under another policy")
        lines: tuple[Answered, ...] = ()
        if record.kind == Kind.BATCH:
            for _ in replay((record,), self._judge):
                lines = tuple(read_batch(record))
        elif record.kind not in (Kind.GENESIS, Kind.CHECKPOINT):
            raise JournalBroken(record.sequence, "is of a kind that is not followed")
        self._last = record
        for line in lines:
            if isinstance(line.operation, Request) and line.decision == Accepted():
                yield record.at, line.operation

    def _judge(self, operation: Operation, at: Instant) -> Answered:
        conditions = self.margin.before(self.state, operation, at)
        outcome = self.state.apply(operation, at, self._verify, conditions)
        self.margin.after(outcome)
        return answered(operation, outcome.decision, outcome.entries)
