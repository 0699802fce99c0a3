"""The book: takes batches of operations, keeps them in the journal, and answers only then.

    judge in memory -> one durable append -> acknowledge

One writer holds a book. What it has in memory is nothing but the journal replayed: a book is opened by
replaying it, which checks every record and every answer on the way. Where a batch cannot be made durable, the
memory is ahead of the journal: the book stops and must be opened again to recover. Nothing is half applied.

The book reads no clock. Its own time only goes forward: an instant that is not later than the last record's
is lifted to one nanosecond after it, as long as the caller's clock went back by `STEP_BACK_NS_MAX` at most.
A clock further back is refused before anything happens: windows and expiries would be judged by a wrong time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import BadInput, JournalBroken, StoreFailed, UsageError
from ringfence.kernel.instant import SECOND_NS, Instant, show_duration, show_instant
from ringfence.planes.ledger.book import BookState, Outcome
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
from ringfence.planes.ledger.operations import Adoption, Announce, CarryOut, Operation, Request
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.policy.diff import diff
from ringfence.policy.model import Line, Plane, Policy
from ringfence.policy.parse import parse
from ringfence.policy.show import show
from ringfence.services.pipeline import DEPTH, JudgedRows, Pipeline, RowOutcome
from ringfence.services.ports import BookStore

if TYPE_CHECKING:
    # Both bring numba, which a book without rows never waits for.
    from ringfence.planes.ledger.row_lane import RowLane
    from ringfence.planes.ledger.rows import Routes, RowBatch

STEP_BACK_NS_MAX = 10 * SECOND_NS
"""How far a caller's clock may be behind the book's time: a correction of the clock, not a wrong date."""

OPERATIONS_PER_BATCH_MAX = 10_000

INSTANT_END = 2**63


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
        self._state = BookState(rules)
        self._store = store
        self._verify = verify
        self._margin = margin
        self._lane: RowLane | None = None
        self._retired: RowLane | None = None
        self._eras: list[tuple[int, Routes | None]] = [(0, None)]
        self._head = Head(-1, Instant(0), b"")
        self._judged_at = Instant(0)
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
        book._head = head_of(record)
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
    ) -> "Book":
        """Open a book by replaying its journal.

        noted: a head kept elsewhere, that the journal must reach; on_record: told of each record checked.
        Raises JournalBroken with the first record that is not what was written, or whose answers are not the
        ones the rules give; BadInput where the store is empty.
        """
        records = verify_chain(store.records(), store.head(), noted)
        first = next(records, None)
        if first is None:
            raise BadInput("the book is empty: nothing was ever written to it")
        genesis = read_genesis(first)
        rules = _rules(genesis, first.policy)
        book = cls(store, genesis, rules, verify, margin_of(rules))
        on_record(first)
        book._head = head_of(first)
        for record in replay(records, book._judge, book._judge_rows):
            if record.policy != book.rules.digest:
                raise JournalBroken(record.sequence, "names another policy than the one in force")
            on_record(record)
            book._head = head_of(record)
        return book

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
        if self._stopped:
            raise StoreFailed(self._stopped)
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
        outcomes = tuple(self._apply(operation, at) for operation in operations)
        lines = [_line(*pair) for pair in zip(operations, outcomes, strict=True)]
        record = batch_record(self._head, at, self.rules.digest, lines)
        self._store.append(record)
        self._head = head_of(record)
        self._stopped = ""
        return outcomes

    def adopt(self, operation: Adoption, at: Instant) -> Outcome:
        """Change the policy in force, or begin or give up to; journalled and answered as `submit` does.

        `adoption.plan_adoption` says beforehand what it would do. Requests signed for the policy that was in
        force are refused from here on, and whoever builds rows begins a new `Draft`.
        """
        if self._stopped:
            raise StoreFailed(self._stopped)
        at = self._next_instant(at)
        self._stopped = "the book has stopped: an adoption was cut short; open the book again to recover it"
        outcome = self._apply(operation, at)
        record = adoption_record(self._head, at, self.rules.digest, _line(operation, outcome))
        self._store.append(record)
        self._head = head_of(record)
        self._stopped = ""
        return outcome

    def submit_rows(self, batch: "RowBatch", at: Instant, *, with_totals: bool = False) -> RowOutcome:
        """Judge a batch of rows in order, make it durable, and return the codes; `at` as for `submit`.

        with_totals: the running totals at both ends of each transfer too, after its request.
        Raises as `submit` does; UsageError also where the batch cannot be meant as it is. Then nothing was
        done. `ahead` takes batches faster.
        """
        if self._stopped:
            raise StoreFailed(self._stopped)
        self._judged_at = self._head.at
        at = self._admit(batch, at)
        self._stopped = "the book has stopped: a batch was cut short; open the book again to recover it"
        outcome = self._judge_admitted(batch, at, with_totals).outcome
        record = rows_record(self._head, at, self.rules.digest, batch.payload(outcome.codes))
        self._store.append(record)
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
        if self._stopped:
            raise StoreFailed(self._stopped)
        self._stopped = "rows are on their way to the disk; leave the pipeline first"
        pipeline = Pipeline(
            self._admit, self._judge_admitted, self._store, self._head, self.rules.digest, depth
        )
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

    def lines(self, compartment: str | None = None) -> Iterator[Dated]:
        """Read operations and answers, oldest first; of one `compartment`, those that booked there."""
        for record in self._store.records(1):
            for place, line in enumerate(self._lines_of(record)):
                touched = any(compartment in (entry.debit, entry.credit) for entry in line.entries)
                if compartment is None or touched:
                    yield Dated(record.sequence, record.at, place, line)

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
        self._store.close()

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
        if self._lane is not None:
            self._eras[-1] = (self._eras[-1][0], self._lane.routes)
            self._retired, self._lane = self._lane, None
        self._eras.append((self._head.sequence + 1, None))

    def _judge(self, operation: Operation, at: Instant) -> Answered:
        return _line(operation, self._apply(operation, at))

    # --- rows

    def _rows(self) -> "RowLane":
        """Return the row lane, made when the first rows come."""
        if self._lane is None:
            from ringfence.planes.ledger.row_lane import RowLane

            self._lane = RowLane(self._state, self._verify, self._retired)
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
        if record.kind != Kind.ROWS:
            return iter(read_batch(record))
        from ringfence.planes.ledger.rows import lines_of, read_rows

        return lines_of(*read_rows(record), self._routes_at(record.sequence))

    def _routes_at(self, sequence: int) -> "Routes":
        """Return the routes that batches of rows named under the policy in force at a record."""
        routes = next(routes for first, routes in reversed(self._eras) if first <= sequence)
        return self._rows().routes if routes is None else routes

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
