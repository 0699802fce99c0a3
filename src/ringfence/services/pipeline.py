"""Rows ahead of the disk: a batch is judged while those before it are made durable.

    judge batch n + 1  |  write batch n, and whatever waits beside it, in one commit

Two threads share nothing but what is handed from one to the other. What waits when a commit begins goes into
it together, so that a slow disk makes commits larger and not the queue longer. An answer is given only after
its commit. Where a commit fails, nothing after it is written or answered, and the book must be opened again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from ringfence.kernel.errors import StoreFailed
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head, JournalRecord, head_of, rows_record

if TYPE_CHECKING:
    from ringfence.planes.ledger.rows import Codes, RowBatch, Transfers
    from ringfence.planes.ledger.trail import Links

DEPTH = 4
"""How many batches may be judged and not yet durable."""


class RowOutcome(NamedTuple):
    """The answers to a batch of rows: a code for each transfer, and the totals after it where asked for."""

    codes: "Codes"
    totals: "Transfers | None" = None


class JudgedRows(NamedTuple):
    """A batch that memory has taken, and the journal not yet."""

    batch: "RowBatch"
    at: Instant
    outcome: RowOutcome


AdmitRows = Callable[["RowBatch", Instant], Instant]
"""Returns the instant of a batch that the book can take; UsageError where it cannot, and is as it was."""

JudgeRows = Callable[["RowBatch", Instant, bool], JudgedRows]
"""Judges a batch that was admitted: batch, instant, whether totals are asked for."""

LinkRows = Callable[[int, JudgedRows], "Links | None"]
"""Links the record with a sequence to what a batch touched; None where the store keeps no trail."""

WriteRows = Callable[[Sequence[JournalRecord], "Sequence[Links]"], None]
"""Makes records and their links durable together; StoreFailed where that did not work."""


class Ticket:
    """A batch that was judged; its answer comes when it is durable."""

    def __init__(self, written: "Future[None]", outcome: RowOutcome) -> None:
        self._written = written
        self._outcome = outcome

    def result(self) -> RowOutcome:
        """Wait until the batch is durable, and return the answers; StoreFailed where it never will be."""
        self._written.result()
        return self._outcome


class Pipeline:
    """The one way into a book while it is open; `Book.ahead` opens it."""

    def __init__(
        self,
        admit: AdmitRows,
        judge: JudgeRows,
        link: LinkRows,
        write: WriteRows,
        head: Head,
        policy: bytes,
        depth: int,
    ) -> None:
        """Begin after `head` under the policy with this digest."""
        self.head = head
        self._admit = admit
        self._judge = judge
        self._link = link
        self._extend = write
        self._policy = policy
        self._depth = depth
        self._waiting: deque[JudgedRows] = deque()
        self._written: deque[Future[None]] = deque()
        self._judged = self._durable = 0
        self._is_judging = False
        self._cut = ""
        self._thread = ThreadPoolExecutor(1, "ringfence-commit")

    @property
    def cut(self) -> str:
        """Why memory and journal differ for good; "" where they do not."""
        return (
            "judging rows was cut short; open the book again to recover it" if self._is_judging else self._cut
        )

    def submit_rows(self, batch: "RowBatch", at: Instant, *, with_totals: bool = False) -> Ticket:
        """Judge a batch and let it be written; arguments and errors as for `Book.submit_rows`.

        Waits while `depth` batches are on their way to the disk.
        """
        self._expect_whole()
        while len(self._written) >= self._depth:
            self._written.popleft().result()
        at = self._admit(batch, at)
        self._is_judging = True
        judged = self._judge(batch, at, with_totals)
        self._is_judging = False
        self._waiting.append(judged)
        written = self._thread.submit(self._write, self._judged)
        self._judged += 1
        self._written.append(written)
        return Ticket(written, judged.outcome)

    def wait(self) -> None:
        """Wait until everything submitted so far is durable; StoreFailed where that did not work."""
        while self._written:
            self._written.popleft().result()

    def close(self) -> None:
        """Wait for what is on its way, whatever becomes of it, and end the thread."""
        self._thread.shutdown()

    # --- in the thread that commits

    def _write(self, number: int) -> None:
        """Write everything that waits, in one commit; nothing where this batch went with an earlier one."""
        if self._cut:
            raise StoreFailed(f"the book has stopped: {self._cut}")
        if number < self._durable:
            return
        is_written = False
        try:
            self._write_together([self._waiting.popleft() for _ in range(len(self._waiting))])
            is_written = True
        finally:
            if not is_written:
                self._cut = "rows could not be written; open the book again to recover it"

    def _write_together(self, batches: Sequence[JudgedRows]) -> None:
        records, links, head = [], [], self.head
        for one in batches:
            # Before the batch is copied: then it is still as near as the other thread left it.
            links.append(self._link(head.sequence + 1, one))
            payload = one.batch.payload(one.outcome.codes)
            records.append(rows_record(head, one.at, self._policy, payload))
            head = head_of(records[-1])
        self._extend(records, [one for one in links if one is not None])
        self.head, self._durable = head, self._durable + len(batches)

    def _expect_whole(self) -> None:
        if self.cut:
            raise StoreFailed(f"the book has stopped: {self.cut}")
