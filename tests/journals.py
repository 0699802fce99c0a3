"""Journals made by hand: remarks instead of movements, so that no rule is needed to write them."""

from collections.abc import Iterator

from ringfence.kernel.decision import Accepted
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import (
    FORMAT,
    Answered,
    Genesis,
    JournalRecord,
    PolicyLine,
    answered,
    batch_record,
    genesis_record,
    head_of,
)
from ringfence.planes.ledger.operations import Operation, Remark

POLICY = bytes(range(32))
GENESIS = Genesis(
    format=FORMAT,
    name="harbour",
    policy="ringfence: 1\n",
    lines=(PolicyLine(("gates", "fund"), "venue.yaml", 12),),
    planes=("ledger",),
    not_enforced=("the vault plane is not enforced",),
)


def remark(number: int) -> Remark:
    return Remark("call", f"client/{number}/hedge", f"words {number}", {"equity": number})


def remarks() -> Iterator[JournalRecord]:
    """Write a genesis, then one batch after another, two remarks each."""
    record = genesis_record(GENESIS, Instant(1_000), POLICY)
    while True:
        yield record
        number = 2 * record.sequence
        batch = [answered(remark(number + step), Accepted()) for step in range(2)]
        record = batch_record(head_of(record), Instant(record.at + 10), POLICY, batch)


def journal(count: int) -> list[JournalRecord]:
    """Write a journal of `count` records."""
    return [record for record, _ in zip(remarks(), range(count), strict=False)]


def accepts_everything(operation: Operation, at: Instant) -> Answered:
    """Stand in for the rules: every answer of `journal` is the right one."""
    return answered(operation, Accepted())
