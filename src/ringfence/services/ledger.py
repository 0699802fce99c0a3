"""The book: takes batches of operations, keeps them in the journal, and answers only then.

    judge in memory -> one durable append -> acknowledge

One writer holds a book. What it has in memory is nothing but the journal replayed: a book is opened by
replaying it, which checks every record and every answer on the way, or from the newest snapshot that a
checkpoint of the journal vouches for, and the records after it. Where a batch cannot be made durable, the
memory is ahead of the journal: the book stops and must be opened again to recover. Nothing is half applied.

The book reads no clock. Its own time only goes forward: an instant that is not later than the last record's
is lifted to one nanosecond after it, as long as the caller's clock went back by `STEP_BACK_NS_MAX` at most.
A clock further back is refused before anything happens: windows and expiries would be judged by a wrong time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import BadInput, JournalBroken, StoreFailed, UsageError
from ringfence.kernel.instant import SECOND_NS, Instant, show_duration, show_instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.checkpoint import (
    Checkpoint,
    EntryProof,
    GrowthProof,
    checkpoint_record,
    read_checkpoint,
)
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.explain import Explanation, explain
from ringfence.planes.ledger.journal import (
    FORMAT,
    Answered,
    Genesis,
    Head,
    JournalRecord,
    Kind,
    PolicyLine,
    RecordJudge,
    adoption_record,
    answered,
    batch_record,
    genesis_record,
    head_of,
    read_batch,
    read_genesis,
    replay,
    rows_record,
    verify_chain,
)
from ringfence.planes.ledger.observe import drift, observe
from ringfence.planes.ledger.operations import (
    Adoption,
    Announce,
    CarryOut,
    Operation,
    Request,
    Signature,
)
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.row_ids import RestingIds
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier, signers_of
from ringfence.planes.ledger.snapshot import Parts, digest, form, packed, restore, written
from ringfence.planes.ledger.tree import JournalTree, read_tree, write_tree
from ringfence.policy.diff import diff
from ringfence.policy.model import Line, Plane, Policy
from ringfence.policy.parse import parse
from ringfence.policy.show import show
from ringfence.services.instructions import Sign
from ringfence.services.pipeline import DEPTH, JudgedRows, Pipeline, RowOutcome
from ringfence.services.ports import BookStore, SnapshotShelf
from ringfence.services.proving import prove_entry, prove_growth
from ringfence.services.snapshots import Snapshot, Wanted, candidates, without_collecting
from ringfence.services.verifying import VerifyingAhead

if TYPE_CHECKING:
    # Both bring numba, which a book without rows never waits for.
    from ringfence.planes.ledger.row_lane import RowLane
    from ringfence.planes.ledger.rows import Routes, RowBatch
    from ringfence.planes.ledger.trail import Links, Trail

STEP_BACK_NS_MAX = 10 * SECOND_NS
"""How far a caller's clock may be behind the book's time: a correction of the clock, not a wrong date."""

OPERATIONS_PER_BATCH_MAX = 10_000

CHECKPOINT_RECORDS = 256
"""After how many records a checkpoint is due, so that no opening has to replay many."""

INSTANT_END = 2**63

_MARGIN, _TREE, _POLICY, _ERAS = "margin", "tree", "policy", "eras"
ROW_PARTS = ("routes", "row ids")


class MarginView(Protocol):
    """What margin says about each operation of one book, from the book's own state and nothing else.

    Both are called in turn for every operation, on replay again, so that a replay gives the same facts.
    """

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:
        """Return the facts that the ledger needs to decide an operation."""

    def after(self, outcome: Outcome) -> None:
        """Take note of what became of that operation."""

    def follow(self, rules: Rules) -> None:
        """Go by other rules from the next operation on, and keep what was observed."""

    def written(self) -> bytes:
        """Write out what it remembers, for a snapshot; equal memories give equal bytes."""

    def restore(self, content: bytes) -> None:
        """Remember what was written out; ValueError where it is of another form."""


class NoMargin:
    """Says nothing: gates and trades that ask for margin stay shut."""

    def __init__(self, rules: Rules) -> None:
        """Need no rules."""

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:  # noqa: ARG002
        """Know nothing."""
        return NO_CONDITIONS

    def after(self, outcome: Outcome) -> None:
        """Take no note."""

    def follow(self, rules: Rules) -> None:
        """Need no rules."""

    def written(self) -> bytes:
        """Remember nothing."""
        return b""

    def restore(self, content: bytes) -> None:
        """Have nothing to remember."""


MarginOf = Callable[[Rules], MarginView]
"""Makes the margin view of a book that obeys these rules."""

OnRecord = Callable[[JournalRecord], None]


def no_report(record: JournalRecord) -> None:
    """Tell nobody."""


class Dated(NamedTuple):
    """An operation with its answer, and where it is journalled: its record, its time, its place in there."""

    sequence: int
    at: Instant
    place: int
    line: Answered


class Book:
    """A book in use; `found` begins one, `recover` opens one that exists."""

    def __init__(
        self, store: BookStore, genesis: Genesis, rules: Rules, verify: Verifier, margin: MarginView
    ):
        """Take an empty state; `found` and `recover` say how it gets its content."""
        self.genesis = genesis
        self.notes: tuple[str, ...] = ()
        self.opened_from = 0
        self._state = BookState(rules)
        self._store = store
        self._verify = VerifyingAhead(verify)
        self._margin = margin
        self._lane: RowLane | None = None
        self._retired: RowLane | None = None
        self._eras: list[tuple[int, Routes | None]] = [(0, None)]
        self._resting: Parts = {}
        self._head = Head(-1, Instant(0), b"")
        self._judged_at = Instant(0)
        self._book = b""
        self._tree = JournalTree(self._routes_at)
        self._checkpoint: Checkpoint | None = None
        self._snapshots: SnapshotShelf | None = None
        self._checks_states = False
        self._is_past = False
        self._trail: Trail | None = None
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
        genesis = _genesis(policy, planes, compiled)
        # The book obeys the policy as the journal tells it, the first time too.
        rules = _rules(genesis, compiled.digest)
        book = cls(store, genesis, rules, verify, margin_of(rules))
        record = genesis_record(genesis, at, rules.digest)
        store.append(record)
        book._begin(record, snapshots)
        return book

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
        which snapshots were passed over.
        Raises JournalBroken with the first record that is not what was written, or whose answers are not the
        ones the rules give; BadInput where the store is empty, or begins only after `until`.
        """
        first = next(verify_chain(store.records()), None)
        if first is None:
            list(verify_chain((), store.head(), noted))
            raise BadInput("the book is empty: nothing was ever written to it")
        if until is not None and until < first.at:
            raise BadInput(f"the book begins at {show_instant(first.at)}, and is asked how it was before")
        genesis = read_genesis(first)
        rules = _rules(genesis, first.policy)

        def empty() -> Book:
            book = cls(store, genesis, rules, verify, margin_of(rules))
            book._begin(first, snapshots)
            book._checks_states = thorough
            return book

        notes: list[str] = []
        wanted = Wanted(first, until, noted)
        for snapshot in candidates(store, snapshots, wanted) if snapshots and not thorough else ():
            book = empty()
            fault = snapshot.fault or book._restore(snapshot)
            if not fault:
                break
            notes.append(replace(snapshot, fault=fault).note)
        else:
            book = empty()
        book._catch_up(until, noted, on_record)
        book.notes = tuple(notes)
        return book

    def _begin(self, first: JournalRecord, snapshots: SnapshotShelf | None) -> None:
        self._head, self._book, self._snapshots = head_of(first), first.hash, snapshots

    def _restore(self, snapshot: Snapshot) -> str:
        """Take the content of a snapshot that was found good; say why it cannot be taken, or ""."""
        record, parts = snapshot.record, snapshot.parts
        if record is None or parts is None:
            return snapshot.fault
        try:
            if _POLICY in parts:
                adopted = _rules(msgspec.json.decode(parts[_POLICY], type=Genesis), record.policy)
                self._state.ledger.follow(adopted)
                self._margin.follow(adopted)
            with without_collecting():
                restore(self._state, parts)
                self._margin.restore(parts[_MARGIN])
            self._tree = read_tree(parts[_TREE], self._routes_at)
        except (ValueError, KeyError, msgspec.DecodeError, JournalBroken, BadInput) as error:
            return f"it cannot be taken ({error})"
        if record.policy != self.rules.digest:
            return "its checkpoint is of another policy"
        self._resting = {name: parts[name] for name in ROW_PARTS if name in parts}
        self._state.ledger.tables.row_answer = RestingIds(parts.get("row ids", b"")).answer
        self._eras = _eras_of(parts[_ERAS]) if _ERAS in parts else self._eras
        self._head, self._checkpoint = head_of(record), snapshot.checkpoint
        self.opened_from = record.sequence
        return ""

    def _catch_up(self, until: Instant | None, noted: Head | None, on_record: OnRecord) -> None:
        """Replay what follows the head of the snapshot, or the genesis."""
        start = next(self._store.records(self._head.sequence), None)
        after = self._store.records(self._head.sequence)
        records = verify_chain(after, self._store.head(), noted, first=start)
        for record in records:
            on_record(record)
            break
        if until is not None:
            records = takewhile(lambda record: record.at <= until, records)
        judges: dict[int, RecordJudge] = {
            Kind.ROWS: self._judge_rows,
            Kind.CHECKPOINT: self._judge_checkpoint,
        }
        for record in replay(records, self._judge, judges, self._keep_broken):
            if record.policy != self.rules.digest:
                raise JournalBroken(record.sequence, "names another policy than the one in force")
            on_record(record)
            self._head = head_of(record)
        if until is not None:
            self._is_past = True

    @property
    def margin(self) -> MarginView:
        """What margin says about this book."""
        return self._margin

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._state.rules

    @property
    def state(self) -> BookState:
        """What the journal amounts to, for reading; StoreFailed where the book has stopped."""
        if self._stopped:
            raise StoreFailed(self._stopped)
        return self._settled()

    @property
    def routes(self) -> "Routes":
        """The routes that batches of rows build upon; see `planes.ledger.rows.Draft`."""
        return self._rows().routes

    @property
    def head(self) -> Head:
        """Where the journal ends. Noted elsewhere, it proves later that nothing before it was changed."""
        return self._head

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
        self._verify.look_ahead(operations, self._state.ledger.known_keys(at))
        outcomes = tuple(self._apply(operation, at) for operation in operations)
        self._verify.forget()
        lines = [_line(*pair) for pair in zip(operations, outcomes, strict=True)]
        record = batch_record(self._head, at, self.rules.digest, lines)
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
        outcome = self._apply(operation, at)
        record = adoption_record(self._head, at, self.rules.digest, _line(operation, outcome))
        self._keep(record, ())
        self._stopped = ""
        return outcome

    def submit_rows(self, batch: "RowBatch", at: Instant, *, with_totals: bool = False) -> RowOutcome:
        """Judge a batch of rows in order, make it durable, and return the codes; `at` as for `submit`.

        with_totals: the running totals at both ends of each transfer too, after its request.
        Raises as `submit` does; UsageError also where the batch cannot be meant as it is. Then nothing was
        done. `ahead` takes batches faster.
        """
        self._expect_writable()
        self._judged_at = self._head.at
        at = self._admit(batch, at)
        self._stopped = "the book has stopped: a batch was cut short; open the book again to recover it"
        outcome = self._judge_admitted(batch, at, with_totals).outcome
        record = rows_record(self._head, at, self.rules.digest, batch.payload(outcome.codes))
        trail, routes = self._trail_at_head(), self._rows().routes
        links = trail and [trail.touch_rows(record.sequence, batch.transfers, outcome.codes, routes)]
        self._store.extend([record], links or ())
        self._head = head_of(record)
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
        trail, routes = self._trail_at_head(), self._rows().routes

        def write(records: Sequence[JournalRecord], batches: Sequence[JudgedRows]) -> None:
            pairs = zip(records, batches, strict=True) if trail else ()
            links = [
                trail.touch_rows(record.sequence, judged.batch.transfers, judged.outcome.codes, routes)
                for record, judged in pairs
                if trail
            ]
            self._store.extend(records, links)

        pipeline = Pipeline(self._admit, self._judge_admitted, write, self._head, self.rules.digest, depth)
        self._judged_at = self._head.at
        try:
            yield pipeline
            pipeline.wait()
        finally:
            pipeline.close()
            self._stopped = f"the book has stopped: {pipeline.cut}" if pipeline.cut else ""
            self._head = pipeline.head

    def _admit(self, batch: "RowBatch", at: Instant) -> Instant:
        """Return the instant of a batch that the book can take; UsageError where it cannot."""
        at = self._next_instant(at, self._judged_at)
        self._rows().admit(batch)
        return at

    def _judge_admitted(self, batch: "RowBatch", at: Instant, with_totals: bool) -> JudgedRows:
        from ringfence.planes.ledger.row_kernel import blank_totals

        totals = blank_totals(len(batch.transfers)) if with_totals else None
        codes = self._rows().judge_batch(batch, at, totals)
        self._judged_at = at
        return JudgedRows(batch, at, RowOutcome(codes, totals))

    def checkpoint(self, at: Instant, sign: Sign | None = None) -> Checkpoint:
        """Write down what the book is now, signed with the ledger's keys at hand, and take a snapshot.

        sign: signs with the key of that name; None where it does not have it. Raises as `submit` does;
        UsageError also where a key at hand is not the one that the book knows.
        """
        self._expect_writable()
        at = self._next_instant(at)
        self._grow()
        with without_collecting():
            parts = self._written()
        found = Checkpoint(
            book=self._book,
            sequence=self._head.sequence,
            at=self._head.at,
            hash=self._head.hash,
            size=self._tree.frontier.size,
            root=self._tree.frontier.root(),
            state=digest(parts),
            form=form(parts),
        )
        found = msgspec.structs.replace(found, signatures=self._signatures(found, sign))
        record = checkpoint_record(self._head, at, self.rules.digest, found)
        if self._snapshots is not None:
            self._snapshots.keep(record.sequence, packed(parts))
        self._stopped = "the book has stopped: a checkpoint was cut short; open the book again to recover it"
        self._store.append(record)
        self._head, self._checkpoint, self._stopped = head_of(record), found, ""
        return found

    def prove_entry(self, identifier: int) -> EntryProof:
        """Prove that a request is in the book of the newest checkpoint; UsageError where it is not."""
        return prove_entry(self._store, self._routes_at, self._newest_checkpoint(), identifier)

    def prove_growth(self, earlier: Checkpoint) -> GrowthProof:
        """Prove that the book of the newest checkpoint begins with that of an earlier one.

        Raises UsageError where it cannot, ViolationError where it does not.
        """
        return prove_growth(self._store, self._routes_at, earlier, self._newest_checkpoint())

    def _newest_checkpoint(self) -> Checkpoint:
        if self._checkpoint is None:
            raise UsageError("the book has no checkpoint yet; `ringfence book checkpoint` makes one")
        return self._checkpoint

    @property
    def last_checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that this opening of the book met or made."""
        return self._checkpoint

    def checkpoints(self) -> Iterator[Checkpoint]:
        """Read every checkpoint of the journal, oldest first."""
        records = self._store.records(1)
        return (read_checkpoint(record) for record in records if record.kind == Kind.CHECKPOINT)

    @property
    def is_checkpoint_due(self) -> bool:
        """Whether the records since the last checkpoint have become many."""
        last = self._checkpoint.sequence if self._checkpoint else 0
        return self._head.sequence - last > CHECKPOINT_RECORDS

    def rehearse(self, request: Request, at: Instant) -> tuple[Outcome, Explanation | None]:
        """Say what the answer to a request would be, and where it would be no, what is permitted instead.

        Nothing is written. The book stops after that, since its memory is ahead of its journal.
        """
        at = self._next_instant(at)
        state, self._stopped = self.state, "the book was only rehearsing; open it again"
        conditions = self._margin.before(state, request, at)
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
        first = self._first_at(since) if since is not None else 1
        for record in self._records_of(compartment, first):
            if until is not None and record.at > until:
                return
            for place, line in enumerate(self._lines_of(record)):
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

    def _first_at(self, since: Instant) -> int:
        """Find the first record that is not before an instant, by halving."""
        low, high = 1, self._head.sequence + 1
        while low < high:
            middle = (low + high) // 2
            record = next(self._store.records(middle), None)
            if record is None or record.at >= since:
                high = middle
            else:
                low = middle + 1
        return low

    def _apply(self, operation: Operation, at: Instant) -> Outcome:
        state = self._settled()
        conditions = self._margin.before(state, state.meant(operation), at)
        rules = state.rules
        outcome = state.apply(operation, at, self._verify, conditions)
        self._margin.after(outcome)
        if state.rules is not rules:
            self._follow()
        return outcome

    def _follow(self) -> None:
        """Let everything that was made from the rules follow those now in force."""
        self._margin.follow(self.rules)
        if self._resting:
            self._rows()
        if self._lane is not None:
            self._eras[-1] = (self._eras[-1][0], self._lane.routes)
            self._retired, self._lane = self._lane, None
        self._eras.append((self._head.sequence + 1, None))

    def _judge(self, operation: Operation, at: Instant) -> Answered:
        return _line(operation, self._apply(operation, at))

    def _keep_broken(self, was: Answered, at: Instant) -> Answered:
        """Take the answer to a request that broke a law as it was journalled; see `BookState.keep_broken`."""
        state, decision = self._settled(), was.decision
        if not isinstance(decision, Refused):
            return self._judge(was.operation, at)
        self._margin.before(state, state.meant(was.operation), at)
        outcome = state.keep_broken(was.operation, decision, at)
        self._margin.after(outcome)
        return _line(was.operation, outcome)

    # --- the trail

    def _keep(self, record: JournalRecord, lines: Sequence[Answered]) -> None:
        """Make a record durable with what it touched."""
        trail = self._trail_at_head()
        entries = (entry for line in lines for entry in line.entries)
        paths = (path for entry in entries for path in (entry.debit, entry.credit))
        self._store.extend([record], [trail.touch(record.sequence, paths)] if trail else ())
        self._head = head_of(record)

    def _trail_at_head(self) -> "Trail | None":
        """Return the trail that the next record goes on; made again where it does not cover the journal."""
        if self._trail is None:
            trail = self._store.trail()
            if trail is not None and trail.covered != self._head.sequence:
                trail = self._renewed_trail()
            self._trail = trail
        return self._trail

    def _renewed_trail(self) -> "Trail":
        from ringfence.planes.ledger.trail import Trail

        trail = Trail()
        self._store.renew_trail(self._links(trail, record) for record in self._store.records(1))
        return trail

    def _links(self, trail: "Trail", record: JournalRecord) -> "Links":
        """Find out what a record touched that is in the journal already."""
        if record.kind == Kind.ROWS:
            from ringfence.planes.ledger.rows import read_rows

            batch, codes = read_rows(record)
            return trail.touch_rows(record.sequence, batch.transfers, codes, self._routes_at(record.sequence))
        entries = (entry for line in self._lines_of(record) for entry in line.entries)
        return trail.touch(record.sequence, (path for one in entries for path in (one.debit, one.credit)))

    # --- rows

    def _rows(self) -> "RowLane":
        """Return the row lane, made when the first rows come."""
        if self._lane is None:
            from ringfence.planes.ledger.row_lane import RowLane

            self._lane = RowLane(self._state, self._verify, self._retired)
            if self._resting:
                self._lane.wake(self._resting)
                self._resting = {}
        return self._lane

    def _settled(self) -> BookState:
        """Return the state with everything in it that rows changed."""
        if self._lane is not None:
            self._lane.give_back()
        return self._state

    def _judge_rows(self, record: JournalRecord) -> str:
        """Judge a record of rows again; say what differs, "" where nothing does."""
        from ringfence.planes.ledger.rows import difference, read_rows

        batch, codes = read_rows(record)
        lane = self._rows()
        try:
            lane.admit(batch)
        except UsageError as error:
            return f"could never have been taken: {error}"
        return difference(codes, lane.judge_batch(batch, record.at))

    def _lines_of(self, record: JournalRecord) -> Iterator[Answered]:
        if record.kind == Kind.CHECKPOINT:
            return iter(())
        if record.kind != Kind.ROWS:
            return iter(read_batch(record))
        from ringfence.planes.ledger.rows import lines_of, read_rows

        return lines_of(*read_rows(record), self._routes_at(record.sequence))

    def _routes_at(self, sequence: int) -> "Routes":
        """Return the routes that batches of rows named under the policy in force at a record."""
        current = self._rows().routes
        routes = next(routes for first, routes in reversed(self._eras) if first <= sequence)
        return current if routes is None else routes

    # --- checkpoints

    def _grow(self) -> None:
        """Bring the tree up to the head."""
        for record in self._store.records(self._tree.next):
            if record.sequence > self._head.sequence:
                return
            self._tree.grow(record)

    def _written(self) -> Parts:
        """Write out everything that follows from the journal."""
        parts = written(self._settled())
        parts |= {_MARGIN: self._margin.written(), _TREE: write_tree(self._tree)}
        if len(self._eras) > 1:
            policy = _genesis(self.rules.policy, self.genesis.planes, self.rules)
            eras = [(first, routes.listed() if routes is not None else ()) for first, routes in self._eras]
            parts |= {_POLICY: msgspec.json.encode(policy), _ERAS: msgspec.json.encode(eras)}
        return parts | (self._resting or self._rested())

    def _rested(self) -> Parts:
        """Write out what rows keep beside the tables: the routes of this policy, and every id."""
        if self._lane is not None:
            return self._lane.rest()
        kept = self._retired.rest() if self._retired is not None else {}
        return {name: part for name, part in kept.items() if name != "routes"}

    def _signatures(self, checkpoint: Checkpoint, sign: Sign | None) -> tuple[Signature, ...]:
        """Sign with every key of the ledger that the book knows and that is at hand."""
        message, known = checkpoint.signing_digest(), self._state.ledger.known_keys(Instant(checkpoint.at))
        keys = self.rules.holders.get("ledger", ()) if sign is not None else ()
        made = (sign(key, message) for key in keys if known.of(key) and key not in known.revoked and sign)
        signatures = tuple(signature for signature in made if signature is not None)
        if isinstance(signers_of(signatures, message, known, self._verify), Refused):
            raise UsageError("the ledger's key at hand is not the one that the book knows")
        return signatures

    def _judge_checkpoint(self, record: JournalRecord) -> str:
        """Check what a checkpoint says about the book before it; thoroughly, its tree and state too."""
        found = read_checkpoint(record)
        if found.book != self._book or found.at != self._head.at:
            return "its checkpoint is of another book or time"
        known = self._state.ledger.known_keys(Instant(found.at))
        signed = signers_of(found.signatures, found.signing_digest(), known, self._verify)
        if isinstance(signed, Refused) or not signed <= set(self.rules.holders.get("ledger", ())):
            return "the signature of its checkpoint does not fit"
        if self._checks_states:
            self._grow()
            parts = self._written()
            if (found.size, found.root) != (self._tree.frontier.size, self._tree.frontier.root()):
                return "its checkpoint names another tree than the records before it make"
            if found.form == form(parts) and found.state != digest(parts):
                return "its checkpoint names another state than the records before it make"
        self._checkpoint = found
        return ""

    def _next_instant(self, at: Instant, last: Instant | None = None) -> Instant:
        """Return the instant of the next record; last: of the one before it, written or not yet."""
        _check_instant(at)
        last = self._head.at if last is None else last
        if last - at > STEP_BACK_NS_MAX:
            words = f"the clock says {show_instant(at)}, and the book was written at {show_instant(last)}"
            passed = show_duration(STEP_BACK_NS_MAX)
            raise UsageError(f"{words}; set the clock right (a step back of {passed} is passed over)")
        return Instant(max(at, last + 1))


def _check_instant(at: Instant) -> None:
    if not 0 <= at < INSTANT_END:
        raise UsageError(f"{at} ns is no time a book can have; the years 1970 to 2262 are")


def _genesis(policy: Policy, planes: tuple[Plane, ...], rules: Rules) -> Genesis:
    lines = (PolicyLine(path, line.file, line.line) for path, line in sorted(policy.lines.items()))
    return Genesis(
        format=FORMAT,
        name=policy.name,
        policy=show(policy),
        lines=tuple(lines),
        planes=planes,
        not_enforced=tuple(str(note) for note in rules.notes),
    )


def _eras_of(part: bytes) -> "list[tuple[int, Routes | None]]":
    """Read the routes of earlier policies, each with the first record under it."""
    listed = msgspec.json.decode(part, type=list[tuple[int, msgspec.Raw]])
    if all(bytes(routes) == b"[]" for _, routes in listed):
        return [(first, None) for first, _ in listed]
    from ringfence.planes.ledger.rows import read_routes

    return [*((first, read_routes(routes)) for first, routes in listed[:-1]), (listed[-1][0], None)]


def _rules(genesis: Genesis, digest: bytes) -> Rules:
    """Compile the policy of the journal; it must be what its digest says, and be enforced as it was then."""
    policy = parse(genesis.policy, "policy of the journal").policy
    if policy is None:
        raise JournalBroken(0, "its policy cannot be read by this ringfence")
    lines = {line.path: Line(file=line.file, line=line.line) for line in genesis.lines}
    rules = compile_policy(policy.located(lines), genesis.planes)
    if rules.digest != digest:
        raise JournalBroken(0, "its policy is not the one that its digest names")
    notes = {str(note) for note in rules.notes}
    for words in sorted(notes.symmetric_difference(genesis.not_enforced)):
        raise BadInput(f"this ringfence enforces another part of the policy than the book does: {words}")
    return rules


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


def _line(operation: Operation, outcome: Outcome) -> Answered:
    return answered(operation, outcome.decision, outcome.entries)
