"""The book: takes batches of operations, keeps them in the journal, and answers only then.

    judge in memory -> one durable append -> acknowledge

One writer holds a book. What it has in memory is nothing but the journal replayed (`memory`, `recovery`).
Where a batch cannot be made durable, the memory is ahead of the journal: the book stops and must be opened
again to recover. Nothing is half applied.

The book reads no clock. Its own time only goes forward: an instant that is not later than the last record's
is lifted to one nanosecond after it, as long as the caller's clock went back by `STEP_BACK_NS_MAX` at most.
A clock further back is refused before anything happens: windows and expiries would be judged by a wrong time.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import StoreFailed, UsageError
from ringfence.kernel.instant import SECOND_NS, Instant, show_duration, show_instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.checkpoint import Checkpoint, EntryProof, GrowthProof
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.explain import Explanation, explain
from ringfence.planes.ledger.journal import (
    Answered,
    Head,
    JournalRecord,
    adoption_record,
    batch_record,
    genesis_record,
    head_of,
    rows_record,
)
from ringfence.planes.ledger.observe import drift, observe
from ringfence.planes.ledger.operations import Adoption, Operation, Request
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.policy.diff import diff
from ringfence.policy.model import Plane, Policy
from ringfence.services.checkpoints import Checkpoints, Kept
from ringfence.services.genesis import genesis_of, rules_of
from ringfence.services.history import Dated, History
from ringfence.services.instructions import Sign
from ringfence.services.margin_view import MarginOf, MarginView, NoMargin
from ringfence.services.memory import Memory, line_of
from ringfence.services.pipeline import DEPTH, JudgedRows, Pipeline, RowOutcome
from ringfence.services.ports import BookStore, SnapshotShelf
from ringfence.services.recovery import Asked, OnRecord, Recovered, no_report, recover
from ringfence.services.verifying import VerifyingAhead

if TYPE_CHECKING:
    # It brings numba, which a book without rows never waits for.
    from ringfence.planes.ledger.rows import Routes, RowBatch
    from ringfence.planes.ledger.trail import Links

STEP_BACK_NS_MAX = 10 * SECOND_NS
"""How far a caller's clock may be behind the book's time: a correction of the clock, not a wrong date."""

OPERATIONS_PER_BATCH_MAX = 10_000

INSTANT_END = 2**63


class Book:
    """A book in use; `found` begins one, `recover` opens one that exists."""

    def __init__(
        self, store: BookStore, verify: VerifyingAhead, recovered: Recovered, *, is_past: bool = False
    ) -> None:
        """Go on from what a journal amounts to; is_past: for reading only, as it was at an earlier time."""
        self.genesis = recovered.genesis
        self.notes = recovered.notes
        self.opened_from = recovered.opened_from
        self._store = store
        self._verify = verify
        self._memory = recovered.memory
        self._checkpoints = recovered.checkpoints
        self._history = History(store, self._memory)
        self._judged_at = Instant(0)
        self._is_past = is_past
        self._stopped = ""

    @classmethod
    def found(
        cls,
        store: BookStore,
        policy: Policy,
        at: Instant,
        verify: Verifier,
        *,
        planes: tuple[Plane, ...] = ("ledger",),
        margin_of: MarginOf = NoMargin,
        snapshots: SnapshotShelf | None = None,
    ) -> "Book":
        """Begin a book under a checked policy in an empty store; at: its first instant."""
        _check_instant(at)
        compiled = compile_policy(policy, planes)
        genesis = genesis_of(policy, planes, compiled)
        # The book obeys the policy as the journal tells it, the first time too.
        rules, ahead = rules_of(genesis, compiled.digest), VerifyingAhead(verify)
        memory = Memory(genesis, rules, ahead, margin_of, ahead.each)
        record = genesis_record(genesis, at, rules.digest)
        store.append(record)
        memory.head = head_of(record)
        checkpoints = Checkpoints(Kept(store, snapshots, ahead), memory, record.hash)
        return cls(store, ahead, Recovered(genesis, memory, checkpoints))

    @classmethod
    def recover(
        cls,
        store: BookStore,
        verify: Verifier,
        *,
        margin_of: MarginOf = NoMargin,
        noted: Head | None = None,
        on_record: OnRecord = no_report,
        snapshots: SnapshotShelf | None = None,
        until: Instant | None = None,
        thorough: bool = False,
    ) -> "Book":
        """Open a book from its newest good snapshot and the records after it, or by replaying its journal.

        noted: a head kept elsewhere, that the journal must reach; on_record: told of each record checked;
        until: open the book as it was then, for reading only; thorough: use no snapshot, and check the tree
        and the state at each checkpoint too. `opened_from` is the record it was opened from, and `notes` says
        which snapshots were passed over. Raises as `recovery.recover` does.
        """
        ahead = VerifyingAhead(verify)
        asked = Asked(noted, on_record, until, thorough)
        recovered = recover(Kept(store, snapshots, ahead), margin_of, asked)
        return cls(store, ahead, recovered, is_past=until is not None)

    @property
    def margin(self) -> MarginView:
        """What margin says about this book."""
        return self._memory.margin

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._memory.rules

    @property
    def state(self) -> BookState:
        """What the journal amounts to, for reading; StoreFailed where the book has stopped."""
        if self._stopped:
            raise StoreFailed(self._stopped)
        return self._memory.state

    @property
    def routes(self) -> "Routes":
        """The routes that batches of rows build upon; see `planes.ledger.rows.Draft`."""
        return self._memory.rows.routes

    @property
    def head(self) -> Head:
        """Where the journal ends. Noted elsewhere, it proves later that nothing before it was changed."""
        return self._memory.head

    # --- requests and whatever else is said one by one

    def submit(self, operations: Sequence[Operation], at: Instant) -> tuple[Outcome, ...]:
        """Judge a batch in order, make it durable, and return the outcomes.

        at: the caller's time (see above). Every outcome, a refusal too, is in the journal when this returns.
        Raises StoreFailed where that did not work or the book has stopped before, UsageError where the
        batch is too long or the clock went back; then nothing was done.
        """
        self._expect_writable()
        if not operations:
            return ()
        if any(isinstance(operation, Adoption) for operation in operations):
            raise UsageError("a policy is adopted by `adopt`, in a record of its own")
        if len(operations) > OPERATIONS_PER_BATCH_MAX:
            words = f"a batch of {len(operations)} operations is too long"
            raise UsageError(f"{words}; submit {OPERATIONS_PER_BATCH_MAX} at most")
        at = self._next_instant(at)
        # From the first change in memory until the journal has it, memory and journal differ.
        self._stopped = "the book has stopped: a batch was cut short; open the book again to recover it"
        self._verify.look_ahead(operations, self._memory.state.ledger.known_keys(at))
        outcomes = tuple(self._memory.apply(operation, at) for operation in operations)
        self._verify.forget()
        lines = [line_of(*pair) for pair in zip(operations, outcomes, strict=True)]
        record = batch_record(self.head, at, self.rules.digest, lines)
        self._keep(record, lines)
        self._stopped = ""
        return outcomes

    def adopt(self, operation: Adoption, at: Instant) -> Outcome:
        """Change the policy in force, or begin or give up to; journalled and answered as `submit` does.

        `adoption.plan_adoption` says beforehand what it would do. Requests signed for the policy that was in
        force are refused from here on, and whoever builds rows begins a new `Draft`.
        """
        self._expect_writable()
        at = self._next_instant(at)
        self._stopped = "the book has stopped: an adoption was cut short; open the book again to recover it"
        outcome = self._memory.apply(operation, at)
        record = adoption_record(self.head, at, self.rules.digest, line_of(operation, outcome))
        self._keep(record, ())
        self._stopped = ""
        return outcome

    def _keep(self, record: JournalRecord, lines: Sequence[Answered]) -> None:
        """Make a record durable with what it touched."""
        trail = self._history.trail()
        entries = (entry for line in lines for entry in line.entries)
        paths = (path for entry in entries for path in (entry.debit, entry.credit))
        self._store.extend([record], [trail.touch(record.sequence, paths)] if trail else ())
        self._memory.head = head_of(record)

    # --- rows

    def submit_rows(self, batch: "RowBatch", at: Instant, *, with_totals: bool = False) -> RowOutcome:
        """Judge a batch of rows in order, make it durable, and return the codes; `at` as for `submit`.

        with_totals: the running totals at both ends of each transfer too, after its request.
        Raises as `submit` does; UsageError also where the batch cannot be meant as it is. Then nothing was
        done. `ahead` takes batches faster.
        """
        self._expect_writable()
        self._judged_at = self.head.at
        at = self._admit(batch, at)
        self._stopped = "the book has stopped: a batch was cut short; open the book again to recover it"
        outcome = self._judge_admitted(batch, at, with_totals).outcome
        record = rows_record(self.head, at, self.rules.digest, batch.payload(outcome.codes))
        trail, routes = self._history.trail(), self.routes
        links = trail and [trail.touch_rows(record.sequence, batch.transfers, outcome.codes, routes)]
        self._store.extend([record], links or ())
        self._memory.head = head_of(record)
        self._stopped = ""
        return outcome

    @contextmanager
    def ahead(self, depth: int = DEPTH) -> Iterator[Pipeline]:
        """Open a pipeline for rows: while a batch is made durable, the next one is judged.

        depth: how many batches may be on their way. Until it is closed, rows are all that the book takes and
        nobody reads its state, which is ahead of the disk. Raises StoreFailed on leaving where something was
        not written: then the book has stopped.
        """
        self._expect_writable()
        self._stopped = "rows are on their way to the disk; leave the pipeline first"
        trail, routes = self._history.trail(), self.routes

        def link(sequence: int, judged: JudgedRows) -> "Links | None":
            if trail is None:
                return None
            return trail.touch_rows(sequence, judged.batch.transfers, judged.outcome.codes, routes)

        write, policy = self._store.extend, self.rules.digest
        pipeline = Pipeline(self._admit, self._judge_admitted, link, write, self.head, policy, depth)
        self._judged_at = self.head.at
        try:
            yield pipeline
            pipeline.wait()
        finally:
            pipeline.close()
            self._stopped = f"the book has stopped: {pipeline.cut}" if pipeline.cut else ""
            self._memory.head = pipeline.head

    def _admit(self, batch: "RowBatch", at: Instant) -> Instant:
        """Return the instant of a batch that the book can take; UsageError where it cannot."""
        at = self._next_instant(at, self._judged_at)
        self._memory.rows.admit(batch)
        return at

    def _judge_admitted(self, batch: "RowBatch", at: Instant, with_totals: bool) -> JudgedRows:
        judged = self._memory.judge_rows(batch, at, with_totals=with_totals)
        self._judged_at = at
        return judged

    # --- checkpoints

    def checkpoint(self, at: Instant, sign: Sign | None = None) -> Checkpoint:
        """Write down what the book is now, signed with the ledger's keys at hand, and take a snapshot.

        sign: signs with the key of that name; None where it does not have it. Raises as `submit` does;
        UsageError also where a key at hand is not the one that the book knows.
        """
        self._expect_writable()
        found, record = self._checkpoints.make(self._next_instant(at), sign)
        self._stopped = "the book has stopped: a checkpoint was cut short; open the book again to recover it"
        self._store.append(record)
        self._memory.head, self._checkpoints.newest, self._stopped = head_of(record), found, ""
        return found

    def prove_entry(self, identifier: int) -> EntryProof:
        """Prove that a request is in the book of the newest checkpoint; UsageError where it is not."""
        return self._checkpoints.prove_entry(identifier)

    def prove_growth(self, earlier: Checkpoint) -> GrowthProof:
        """Prove that the book of the newest checkpoint begins with that of an earlier one.

        Raises UsageError where it cannot, ViolationError where it does not.
        """
        return self._checkpoints.prove_growth(earlier)

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that this opening of the book met or made."""
        return self._checkpoints.newest

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Read every checkpoint of the journal, oldest first."""
        return self._checkpoints.all()

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether the records since the last checkpoint have become many."""
        return self._checkpoints.is_due

    # --- asking without changing

    def rehearse(self, request: Request, at: Instant) -> tuple[Outcome, Explanation | None]:
        """Say what the answer to a request would be, and where it would be no, what is permitted instead.

        Nothing is written. The book stops after that, since its memory is ahead of its journal.
        """
        at = self._next_instant(at)
        state, self._stopped = self.state, "the book was only rehearsing; open it again"
        conditions = self.margin.before(state, request, at)
        outcome = state.apply(request, at, self._verify, conditions)
        if isinstance(outcome.decision, Refused):
            return outcome, explain(state, request, outcome.decision, conditions)
        return outcome, None

    def lacks(self, pending: Pending, at: Instant) -> str:
        """Name the first need of a pending request that is not met at an instant; "" where all are."""
        return self.state.lacks(pending, at, self._verify)

    def lines(
        self, compartment: str | None = None, since: Instant | None = None, until: Instant | None = None
    ) -> Iterator[Dated]:
        """Read operations and answers, oldest first; of one `compartment`, those that booked there.

        since, until: the first and the last instant that count.
        """
        return self._history.lines(compartment, since, until)

    def records(self, first: int) -> Iterator[JournalRecord]:
        """Read the records from sequence `first` on, as they stand now, for whoever follows this book."""
        return self._store.records(first)

    def differences(self, policy: Policy) -> tuple[str, ...]:
        """Say in sentences how `policy` differs from the one this book obeys; empty where it does not."""
        if compile_policy(policy, self.genesis.planes).digest == self.rules.digest:
            return ()
        return tuple(str(change) for change in diff(self.rules.policy, policy))

    def drift(self, policy: Policy) -> tuple[str, ...]:
        """Say in sentences where what the book enforces now is not what `policy` compiles to."""
        return drift(compile_policy(policy, self.genesis.planes), observe(self.state))

    def close(self) -> None:
        """Let go of the store; the book takes no more batches."""
        self._stopped = "the book is closed"
        self._verify.close()
        self._store.close()

    def _expect_writable(self) -> None:
        if self._stopped:
            raise StoreFailed(self._stopped)
        if self._is_past:
            raise StoreFailed("the book was opened as it was at an earlier time, for reading only")

    def _next_instant(self, at: Instant, last: Instant | None = None) -> Instant:
        """Return the instant of the next record; last: of the one before it, written or not yet."""
        _check_instant(at)
        last = self.head.at if last is None else last
        if last - at > STEP_BACK_NS_MAX:
            words = f"the clock says {show_instant(at)}, and the book was written at {show_instant(last)}"
            passed = show_duration(STEP_BACK_NS_MAX)
            raise UsageError(f"{words}; set the clock right (a step back of {passed} is passed over)")
        return Instant(max(at, last + 1))


def _check_instant(at: Instant) -> None:
    if not 0 <= at < INSTANT_END:
        raise UsageError(f"{at} ns is no time a book can have; the years 1970 to 2262 are")
