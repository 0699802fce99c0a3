"""The journal: what the book was asked, what it answered, in which order, and under which policy.

The journal is the book; balances are only what follows from it. Record 0, the genesis, carries the format,
the policy in words and the planes that are enforced, so that nothing else is needed to replay a journal.
Every later record is one batch: operations with their answers, refused ones too. Each record holds the hash
of the one before and is hashed itself under a domain tag:

    hash = SHA-256("ringfence journal 1", sequence, kind, at, policy, previous, payload), each with its length

Two checks, each with a property test of its name:
    chain     every record is the one that was written, in its place, and the last one is there
    answers   every answer is the one that the rules give to that operation in that state

The chain alone cannot see that the newest records are missing together with the note of where the journal
ends. Against that, keep a `Head` somewhere else and hand it in.

A new kind of record, or another way to write a batch, is a new `Kind`; what exists never changes its form.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import msgspec

from ringfence.kernel.decision import REASONS, Accepted, Decision, Reason, Refused
from ringfence.kernel.digest import DIGEST_SIZE, tagged_digest
from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Adoption, Entry, Operation, Record
from ringfence.planes.ledger.operations import PolicyLine as PolicyLine
from ringfence.policy.model import Plane

FORMAT = 3
"""The version of the form of records and payloads that this module writes."""

FORMATS_READ = (1, 2, 3)
"""The versions that it reads. 2 may hold adoptions and checkpoints; 3 rows that hold, post and void, and rows
with signatures of single requests; everything else is as in 1."""

READS = f"this ringfence reads formats {FORMATS_READ[0]} to {FORMATS_READ[-1]}"

_TAG = "ringfence journal 1"
_NOTHING_BEFORE = bytes(DIGEST_SIZE)


class Kind(IntEnum):
    """What a record holds. Values are part of the format: never reused, never renumbered."""

    GENESIS = 0
    BATCH = 1
    ORDERS = 2
    ROWS = 3
    ADOPTION = 4
    CHECKPOINT = 5


@dataclass(frozen=True, slots=True)
class JournalRecord:
    """One link of the chain. `at` is the book's time; `policy` the 32-byte digest of the policy in force."""

    sequence: int
    kind: int
    at: Instant
    policy: bytes
    previous: bytes
    payload: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """Where a journal ends: the sequence, the time and the hash of its last record."""

    sequence: int
    at: Instant
    hash: bytes


# --- what payloads hold ------------------------------------------------------------------------


class Genesis(Record, frozen=True):
    """The first record: everything that the meaning of the later ones depends on.

    name: of the book; policy: canonical text, as `policy.show` writes it; planes: enforced by this book;
    not_enforced: sentences, as printed when the book was opened.
    """

    format: int
    name: str
    policy: str
    lines: tuple[PolicyLine, ...]
    planes: tuple[Plane, ...]
    not_enforced: tuple[str, ...]


class Refusal(Record, frozen=True):
    """A `Refused` as it is written down; `reason` is the number of the `Reason`."""

    reason: int
    words: str
    rule: str = ""
    leg: int = 0


class Answered(Record, frozen=True):
    """An operation and its answer. Without `refused` it was accepted; `repeated` moved nothing again,
    `pending` nothing yet."""

    operation: Operation
    entries: tuple[Entry, ...] = ()
    refused: Refusal | None = None
    repeated: bool = False
    pending: bool = False

    @property
    def decision(self) -> Decision:
        """The answer as a value."""
        if self.refused is None:
            return Accepted(self.repeated, self.pending)
        refused = self.refused
        return Refused(REASONS[refused.reason], refused.words, refused.rule, refused.leg)


def answered(operation: Operation, decision: Decision, entries: Sequence[Entry] = ()) -> Answered:
    """Write down the answer to an operation."""
    if isinstance(decision, Accepted):
        return Answered(operation, tuple(entries), repeated=decision.repeated, pending=decision.pending)
    refusal = Refusal(int(decision.reason), decision.words, decision.rule, decision.leg)
    return Answered(operation, tuple(entries), refusal)


# --- writing -----------------------------------------------------------------------------------


def genesis_record(genesis: Genesis, at: Instant, policy: bytes) -> JournalRecord:
    """Begin a journal under the policy with the digest `policy`."""
    return _sealed(0, Kind.GENESIS, at, policy, _NOTHING_BEFORE, msgspec.json.encode(genesis))


def orders_record(head: Head | None, at: Instant, policy: bytes, payload: bytes) -> JournalRecord:
    """Write what a matching engine was told, in the same chain form; `payload` is the engine's own."""
    sequence, previous = (head.sequence + 1, head.hash) if head else (0, _NOTHING_BEFORE)
    return _sealed(sequence, Kind.ORDERS, at, policy, previous, payload)


def batch_record(head: Head, at: Instant, policy: bytes, batch: Sequence[Answered]) -> JournalRecord:
    """Write the record that follows `head`; `at` must be later than its time."""
    return _sealed(head.sequence + 1, Kind.BATCH, at, policy, head.hash, msgspec.json.encode(batch))


def adoption_record(head: Head, at: Instant, policy: bytes, line: Answered) -> JournalRecord:
    """Write the one operation that may change the policy; `policy` is in force from this record on."""
    return _sealed(head.sequence + 1, Kind.ADOPTION, at, policy, head.hash, msgspec.json.encode((line,)))


def rows_record(head: Head, at: Instant, policy: bytes, payload: bytes) -> JournalRecord:
    """Write a batch of rows after `head`, as `batch_record` does; `payload` as `rows` writes it."""
    return _sealed(head.sequence + 1, Kind.ROWS, at, policy, head.hash, payload)


def sealed_after(head: Head, kind: Kind, at: Instant, policy: bytes, payload: bytes) -> JournalRecord:
    """Write a record of any kind after `head`; the payload is that kind's own."""
    return _sealed(head.sequence + 1, kind, at, policy, head.hash, payload)


def head_of(record: JournalRecord) -> Head:
    """Return the head of a journal that ends with `record`."""
    return Head(record.sequence, record.at, record.hash)


def _sealed(
    sequence: int, kind: Kind, at: Instant, policy: bytes, previous: bytes, payload: bytes
) -> JournalRecord:
    seal = _hash(sequence, kind, at, policy, previous, payload)
    return JournalRecord(sequence, kind, at, policy, previous, payload, seal)


def _hash(sequence: int, kind: int, at: int, policy: bytes, previous: bytes, payload: bytes) -> bytes:
    numbers = (part.to_bytes(8, "big", signed=True) for part in (sequence, kind, at))
    return tagged_digest(_TAG, *numbers, policy, previous, payload)


# --- reading -----------------------------------------------------------------------------------

_Payload = TypeVar("_Payload")


def read_genesis(record: JournalRecord) -> Genesis:
    """Read the genesis; JournalBroken where the record is none, or of a format this version cannot read."""
    if record.sequence != 0 or record.kind != Kind.GENESIS:
        raise JournalBroken(record.sequence, "a journal begins with its genesis, and this is none")
    genesis = _read(record, Genesis)
    if genesis.format not in FORMATS_READ:
        raise JournalBroken(0, f"is of format {genesis.format}; {READS}")
    return genesis


def read_batch(record: JournalRecord) -> tuple[Answered, ...]:
    """Read the operations and answers of a batch; JournalBroken where the record is none."""
    if record.kind not in (Kind.BATCH, Kind.ADOPTION):
        raise JournalBroken(record.sequence, f"is of kind {record.kind}, and only batches follow a genesis")
    lines = _read(record, tuple[Answered, ...])
    is_adoption = [isinstance(line.operation, Adoption) for line in lines]
    if any(is_adoption) != (record.kind == Kind.ADOPTION) or (any(is_adoption) and len(lines) > 1):
        raise JournalBroken(record.sequence, "an adoption of a policy stands alone in a record of its kind")
    return lines


def _read(record: JournalRecord, form: type[_Payload]) -> _Payload:
    """Decode a payload, and refuse a second spelling of the same content."""
    try:
        content = msgspec.json.decode(record.payload, type=form)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBroken(record.sequence, f"its content cannot be read: {error}") from None
    if msgspec.json.encode(content) != record.payload:
        raise JournalBroken(record.sequence, "its content is not spelled as this book spells it")
    return content


# --- checking ----------------------------------------------------------------------------------


def verify_chain(
    records: Iterable[JournalRecord], *heads: Head | None, first: JournalRecord | None = None
) -> Iterator[JournalRecord]:
    """Pass on every record that is as it was written and in its place, up to every head given at least.

    heads: where the journal ended when each was noted; None notes nothing. first: the record to begin with,
    where what came before it is known otherwise. Lazy, so that a caller can replay or count as it goes.
    Raises JournalBroken at the first bad record.
    """
    noted = [head for head in heads if head is not None]
    last = _before(first) if first is not None and first.sequence else None
    for record in records:
        fault = fault_after(record, last)
        if fault:
            raise JournalBroken(last.sequence + 1 if last else 0, fault)
        if any(record.sequence == head.sequence and record.hash != head.hash for head in noted):
            raise JournalBroken(record.sequence, "is not the record that was noted as the head")
        yield record
        last = record
    end = last.sequence + 1 if last else 0
    furthest = max((head.sequence for head in noted), default=-1)
    if furthest >= end:
        raise JournalBroken(end, f"is missing; the journal went on to record {furthest}")


def _before(record: JournalRecord) -> JournalRecord:
    """Stand in for the record before one that is taken as it is."""
    at = Instant(record.at - 1)
    return JournalRecord(record.sequence - 1, record.kind, at, record.policy, b"", b"", record.previous)


def fault_after(record: JournalRecord, last: JournalRecord | None) -> str:
    """Say what is wrong with a record after `last`, or "" where nothing is."""
    sequence, previous = (last.sequence + 1, last.hash) if last else (0, _NOTHING_BEFORE)
    if record.sequence != sequence:
        return f"is missing; record {record.sequence} stands in its place"
    if record.previous != previous:
        return "does not follow from the record before it"
    seal = _hash(record.sequence, record.kind, record.at, record.policy, previous, record.payload)
    if record.hash != seal:
        return "was changed after it was written"
    if last and record.at <= last.at:
        return "is not later than the record before it"
    if last and record.policy != last.policy and record.kind != Kind.ADOPTION:
        return "names another policy than the record before it"
    return ""


Keep = Callable[[Answered, Instant], Answered]
"""Takes an answer as it was journalled into a book's state."""


Judge = Callable[[Operation, Instant], Answered]
"""Applies one operation to a book's state and writes down the answer."""


RecordJudge = Callable[[JournalRecord], str]
"""Judges a whole record again; says in words what differs, "" where nothing does."""


Before = Callable[[Sequence[Operation], Instant], None]
"""Is told what a batch asks before any of it is judged, e.g. to verify its signatures ahead."""


def replay(
    records: Iterable[JournalRecord],
    judge: Judge,
    judges: Mapping[int, RecordJudge] | None = None,
    keep: Keep | None = None,
    before: Before | None = None,
) -> Iterator[JournalRecord]:
    """Judge every operation again and pass on each batch whose answers are the recorded ones.

    Words and policy lines are for people and may be put better one day; what is compared is whether it was
    accepted or repeated, the reason and the leg that was refused, and every entry.

    records: batches in order (the genesis is read before, to build the state behind `judge`); judges: for
    records of other kinds, by kind; keep: takes the answer to a request that broke a law as it was, since
    that was a mistake of a program that may be mended now; before: see `Before`. Raises JournalBroken at the
    first batch with another answer.
    """
    for record in records:
        judge_whole = judges.get(record.kind) if judges else None
        if judge_whole is not None:
            fault = judge_whole(record)
            if fault:
                raise JournalBroken(record.sequence, fault)
            yield record
            continue
        lines = read_batch(record)
        if before is not None:
            before([line.operation for line in lines], record.at)
        for index, was in enumerate(lines):
            is_kept = keep is not None and was.refused is not None and was.refused.reason == Reason.LAW_BROKEN
            right = keep(was, record.at) if keep and is_kept else judge(was.operation, record.at)
            if _meaning(was) != _meaning(right):
                raise JournalBroken(record.sequence, _difference(index, was, right))
        yield record


def _meaning(answer: Answered) -> object:
    refused = answer.refused
    return answer.entries, answer.repeated, answer.pending, refused and (refused.reason, refused.leg)


def _difference(index: int, was: Answered, right: Answered) -> str:
    place = f"operation {index} was answered {_show(was)}"
    if _show(was) == _show(right):
        return f"{place} with other entries than the rules give"
    return f"{place}, and the rules answer {_show(right)}"


def _show(answer: Answered) -> str:
    if answer.refused is None:
        kept = "pending" if answer.pending else "accepted"
        return "repeated" if answer.repeated else kept
    reason = REASONS.get(answer.refused.reason)
    name = reason.name if reason else f"reason {answer.refused.reason}"
    return f"refused ({name}, leg {answer.refused.leg}: {answer.refused.words})"
