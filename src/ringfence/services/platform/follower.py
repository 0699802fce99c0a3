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
    fault_after,
    read_batch,
    replay,
)
from ringfence.planes.ledger.operations import Request
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.policy.model import Plane
from ringfence.services.genesis import genesis_of
from ringfence.services.margin_facts import MarginFacts
from ringfence.services.memory import Memory

PLANES: tuple[Plane, ...] = ("ledger",)


class Follower:
    """The book as the journal tells it, with margin's view of it."""

    def __init__(self, rules: Rules, verify: Verifier) -> None:
        self.margin = MarginFacts(rules)
        self._memory = Memory(genesis_of(rules.policy, PLANES, rules), rules, verify, lambda _: self.margin)
        self._rules = rules
        self._last: JournalRecord | None = None

    @property
    def state(self) -> BookState:
        """The state of the book after the last record."""
        return self._memory.state

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
            # A request that broke a law stays refused: the program that broke it may be mended here.
            for _ in replay((record,), self._memory.judge_again, keep=self._memory.keep_broken):
                lines = tuple(read_batch(record))
        elif record.kind not in (Kind.GENESIS, Kind.CHECKPOINT):
            raise JournalBroken(record.sequence, "is of a kind that is not followed")
        self._last = record
        for line in lines:
            if isinstance(line.operation, Request) and line.decision == Accepted():
                yield record.at, line.operation
