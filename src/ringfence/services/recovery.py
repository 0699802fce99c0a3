"""Recovery: a journal becomes a book's memory again, from a snapshot where there is a good one, or by replay.

Every record that is read is checked, and every answer judged again. A snapshot saves the records before it
when a checkpoint of the journal names its digest.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from ringfence.kernel.errors import BadInput, JournalBroken
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger.journal import (
    Genesis,
    Head,
    JournalRecord,
    Kind,
    RecordJudge,
    head_of,
    read_genesis,
    replay,
    verify_chain,
)
from ringfence.planes.ledger.operations import Operation
from ringfence.services.checkpoints import Checkpoints, Kept
from ringfence.services.genesis import rules_of
from ringfence.services.margin_view import MarginOf
from ringfence.services.memory import Memory
from ringfence.services.snapshots import Snapshot, Wanted, candidates

OnRecord = Callable[[JournalRecord], None]


def no_report(record: JournalRecord) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How to recover.

    noted: a head kept elsewhere, that the journal must reach; on_record: told of each record checked; until:
    stop at this instant; thorough: use no snapshot, and check the tree and the state at each checkpoint too.
    """

    noted: Head | None = None
    on_record: OnRecord = no_report
    until: Instant | None = None
    thorough: bool = False


@dataclass(slots=True)
class Recovered:
    """What a journal amounts to.

    opened_from: the record it was opened from; notes: which snapshots were passed over, and why.
    """

    genesis: Genesis
    memory: Memory
    checkpoints: Checkpoints
    opened_from: int = 0
    notes: tuple[str, ...] = ()


def recover(kept: Kept, margin_of: MarginOf, asked: Asked) -> Recovered:
    """Recover the memory of the book that is in a store.

    Raises JournalBroken with the first record that is not what was written, or whose answers are not the ones
    the rules give; BadInput where the store is empty, or begins only after `until`.
    """
    first = next(verify_chain(kept.store.records()), None)
    if first is None:
        list(verify_chain((), kept.store.head(), asked.noted))
        raise BadInput("the book is empty: nothing was ever written to it")
    if asked.until is not None and asked.until < first.at:
        raise BadInput(f"the book begins at {show_instant(first.at)}, and is asked how it was before")
    found = _from_snapshot(kept, margin_of, asked, first)
    _catch_up(kept, found, asked)
    return found


def _blank(kept: Kept, margin_of: MarginOf, first: JournalRecord, *, thorough: bool) -> Recovered:
    """Know the genesis and nothing else."""
    genesis = read_genesis(first)
    memory = Memory(genesis, rules_of(genesis, first.policy), kept.verify, margin_of, kept.verify.each)
    memory.head = head_of(first)
    return Recovered(genesis, memory, Checkpoints(kept, memory, first.hash, checks_states=thorough))


def _from_snapshot(kept: Kept, margin_of: MarginOf, asked: Asked, first: JournalRecord) -> Recovered:
    """Take the newest snapshot that is good; the genesis where none is."""
    notes: list[str] = []
    wanted = Wanted(first, asked.until, asked.noted)
    use = kept.shelf if not asked.thorough else None
    for snapshot in candidates(kept.store, use, wanted) if use is not None else ():
        found = _blank(kept, margin_of, first, thorough=False)
        fault = snapshot.fault or _restore(found, snapshot)
        if not fault:
            break
        notes.append(replace(snapshot, fault=fault).note)
    else:
        found = _blank(kept, margin_of, first, thorough=asked.thorough)
    found.notes = tuple(notes)
    return found


def _restore(found: Recovered, snapshot: Snapshot) -> str:
    fault = found.checkpoints.restore(snapshot)
    if not fault and snapshot.record is not None:
        found.memory.head = head_of(snapshot.record)
        found.opened_from = snapshot.record.sequence
    return fault


def _catch_up(kept: Kept, found: Recovered, asked: Asked) -> None:
    """Replay what follows the head of the snapshot, or the genesis."""
    memory, until = found.memory, asked.until
    start = next(kept.store.records(memory.head.sequence), None)
    after = kept.store.records(memory.head.sequence)
    records = verify_chain(after, kept.store.head(), asked.noted, first=start)
    for record in records:
        asked.on_record(record)
        break
    if until is not None:
        records = takewhile(lambda record: record.at <= until, records)
    judges: dict[int, RecordJudge] = {
        Kind.ROWS: memory.judge_rows_again,
        Kind.CHECKPOINT: found.checkpoints.judge,
    }

    def verify_ahead(operations: Sequence[Operation], at: Instant) -> None:
        kept.verify.look_ahead(operations, memory.state.ledger.known_keys(at))

    for record in replay(records, memory.judge_again, judges, memory.keep_broken, verify_ahead):
        if record.policy != memory.rules.digest:
            raise JournalBroken(record.sequence, "names another policy than the one in force")
        asked.on_record(record)
        memory.head = head_of(record)
    kept.verify.forget()
