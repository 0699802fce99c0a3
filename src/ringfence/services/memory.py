"""What a book has in memory: nothing but what its journal amounts to, up to its head.

Requests change the tables, rows the arrays of their lane; margin remembers what it saw of both. A replay
takes the same steps as the first time, so that it ends with the same memory.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import BadInput, JournalBroken, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.journal import Answered, Genesis, Head, JournalRecord, Kind, answered, read_batch
from ringfence.planes.ledger.operations import Operation
from ringfence.planes.ledger.row_ids import RestingIds
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier, VerifyEach
from ringfence.planes.ledger.snapshot import Parts, restore, written
from ringfence.services.genesis import genesis_of, rules_of
from ringfence.services.margin_view import MarginOf
from ringfence.services.pipeline import JudgedRows, RowOutcome
from ringfence.services.snapshots import without_collecting

if TYPE_CHECKING:
    # Both bring numba, which a book without rows never waits for.
    from ringfence.planes.ledger.row_lane import RowLane
    from ringfence.planes.ledger.rows import Routes, RowBatch

_MARGIN, _POLICY, _ERAS = "margin", "policy", "eras"
_ROW_PARTS = ("routes", "row ids")


class Memory:
    """The state, the rows beside it, and margin's view; `head` is the record that it is up to."""

    def __init__(
        self,
        genesis: Genesis,
        rules: Rules,
        verify: Verifier,
        margin_of: MarginOf,
        verify_each: VerifyEach | None = None,
    ) -> None:
        """Begin with nothing: as it is before the first record; verify_each: see `RowLane`."""
        self.head = Head(-1, Instant(0), b"")
        self.margin = margin_of(rules)
        self._state = BookState(rules)
        self._planes = genesis.planes
        self._verify = verify
        self._verify_each = verify_each
        self._lane: RowLane | None = None
        self._retired: RowLane | None = None
        self._eras: list[tuple[int, Routes | None]] = [(0, None)]
        self._resting: Parts = {}

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self._state.rules

    @property
    def state(self) -> BookState:
        """The state with everything in it that rows changed."""
        if self._lane is not None:
            self._lane.give_back()
        return self._state

    @property
    def rows(self) -> "RowLane":
        """The row lane, made when the first rows come."""
        if self._lane is None:
            from ringfence.planes.ledger.row_lane import RowLane

            self._lane = RowLane(self._state, self._verify, self._retired, verify_each=self._verify_each)
            if self._resting:
                self._lane.wake(self._resting)
                self._resting = {}
        return self._lane

    # --- judging

    def apply(self, operation: Operation, at: Instant) -> Outcome:
        """Carry out one operation, or refuse it, with margin's facts."""
        state = self.state
        conditions = self.margin.before(state, state.meant(operation), at)
        rules = state.rules
        outcome = state.apply(operation, at, self._verify, conditions)
        self.margin.after(outcome)
        if state.rules is not rules:
            self._follow()
        return outcome

    def judge_rows(self, batch: "RowBatch", at: Instant, *, with_totals: bool = False) -> JudgedRows:
        """Judge a batch that the lane admitted."""
        from ringfence.planes.ledger.row_kernel import blank_totals

        totals = blank_totals(len(batch.transfers)) if with_totals else None
        codes = self.rows.judge_batch(batch, at, totals)
        return JudgedRows(batch, at, RowOutcome(codes, totals))

    def _follow(self) -> None:
        """Let everything that was made from the rules follow those now in force."""
        self.margin.follow(self.rules)
        if self._resting:
            self.rows  # noqa: B018 - wakes them: what rests belongs to the rules before
        if self._lane is not None:
            self._eras[-1] = (self._eras[-1][0], self._lane.routes)
            self._retired, self._lane = self._lane, None
        self._eras.append((self.head.sequence + 1, None))

    # --- judging again what was journalled

    def judge_again(self, operation: Operation, at: Instant) -> Answered:
        """Judge an operation of the journal again."""
        return line_of(operation, self.apply(operation, at))

    def keep_broken(self, was: Answered, at: Instant) -> Answered:
        """Take the answer to a request that broke a law as it was journalled; see `BookState.keep_broken`."""
        state, decision = self.state, was.decision
        if not isinstance(decision, Refused):
            return self.judge_again(was.operation, at)
        self.margin.before(state, state.meant(was.operation), at)
        outcome = state.keep_broken(was.operation, decision, at)
        self.margin.after(outcome)
        return line_of(was.operation, outcome)

    def judge_rows_again(self, record: JournalRecord) -> str:
        """Judge a record of rows again; say what differs, "" where nothing does."""
        from ringfence.planes.ledger.rows import difference, read_rows

        batch, codes = read_rows(record)
        try:
            self.rows.admit(batch)
        except UsageError as error:
            return f"could never have been taken: {error}"
        return difference(codes, self.rows.judge_batch(batch, record.at))

    # --- reading records

    def lines_of(self, record: JournalRecord) -> Iterator[Answered]:
        """Read the operations and answers of a record, transfers too."""
        if record.kind == Kind.CHECKPOINT:
            return iter(())
        if record.kind != Kind.ROWS:
            return iter(read_batch(record))
        from ringfence.planes.ledger.rows import lines_of, read_rows

        return lines_of(*read_rows(record), self.routes_at(record.sequence))

    def routes_at(self, sequence: int) -> "Routes":
        """Return the routes that batches of rows named under the policy in force at a record."""
        current = self.rows.routes
        routes = next(routes for first, routes in reversed(self._eras) if first <= sequence)
        return current if routes is None else routes

    # --- snapshots

    def written(self) -> Parts:
        """Write out everything."""
        parts = written(self.state)
        parts[_MARGIN] = self.margin.written()
        if len(self._eras) > 1:
            policy = genesis_of(self.rules.policy, self._planes, self.rules)
            eras = [(first, routes.listed() if routes is not None else ()) for first, routes in self._eras]
            parts |= {_POLICY: msgspec.json.encode(policy), _ERAS: msgspec.json.encode(eras)}
        return parts | (self._resting or self._rested())

    def _rested(self) -> Parts:
        """Write out what rows keep beside the tables: the routes of this policy, and every id."""
        if self._lane is not None:
            return self._lane.rest()
        kept = self._retired.rest() if self._retired is not None else {}
        return {name: part for name, part in kept.items() if name != "routes"}

    def restore(self, parts: Parts, policy: bytes) -> str:
        """Take what was written out under the policy with this digest; say why it cannot be taken, or ""."""
        try:
            if _POLICY in parts:
                adopted = rules_of(msgspec.json.decode(parts[_POLICY], type=Genesis), policy)
                self._state.ledger.follow(adopted)
                self.margin.follow(adopted)
            with without_collecting():
                restore(self._state, parts)
                self.margin.restore(parts[_MARGIN])
            self._eras = _eras_of(parts[_ERAS]) if _ERAS in parts else self._eras
        except (ValueError, KeyError, msgspec.DecodeError, JournalBroken, BadInput) as error:
            return f"it cannot be taken ({error})"
        if policy != self.rules.digest:
            return "its checkpoint is of another policy"
        self._resting = {name: parts[name] for name in _ROW_PARTS if name in parts}
        self._state.ledger.tables.row_answer = RestingIds(parts.get("row ids", b"")).answer
        return ""


def line_of(operation: Operation, outcome: Outcome) -> Answered:
    """Write an operation down with its answer."""
    return answered(operation, outcome.decision, outcome.entries)


def _eras_of(part: bytes) -> "list[tuple[int, Routes | None]]":
    """Read the routes of earlier policies, each with the first record under it."""
    listed = msgspec.json.decode(part, type=list[tuple[int, msgspec.Raw]])
    if all(bytes(routes) == b"[]" for _, routes in listed):
        return [(first, None) for first, _ in listed]
    from ringfence.planes.ledger.rows import read_routes

    return [*((first, read_routes(routes)) for first, routes in listed[:-1]), (listed[-1][0], None)]
