"""Power cuts, failing calls and a lying disk under the SQLite store: what was acknowledged is always there.

Every run is decided by one seed, which a failure prints; run it alone with `run(seed, ...)`.
"""

import random
from collections import Counter

import pytest
from fault_disk import Disk, Faults, book_on
from journals import journal

from ringfence.kernel.errors import RingfenceError, UnreachableError
from ringfence.planes.ledger.journal import verify_chain

RECORDS = journal(9)
# A checkpoint every few pages, so that cuts fall into checkpoints too.
OFTEN = "wal_autocheckpoint = 6"


def begun() -> dict[str, bytes]:
    """Return a disk with a book of one record, safe and closed."""
    disk = Disk()
    with book_on(disk) as open_book:
        store = open_book()
        store.append(RECORDS[0])
        store.close()
    return disk.images()


BEGUN = begun()


def write_all(disk: Disk) -> int:
    """Open the book, append everything, close; return how many records are acknowledged."""
    acknowledged = 1
    with book_on(disk, OFTEN) as open_book:
        try:
            store = open_book()
            for record in RECORDS[1:]:
                store.append(record)
                acknowledged += 1
            store.close()
        except UnreachableError:
            pass
    return acknowledged


def recovered(images: dict[str, bytes]) -> int:
    """Open what is left, check that it is whole, and return how many records are there."""
    with book_on(Disk(images)) as open_book:
        store = open_book()
        left = list(verify_chain(store.records(), store.head()))
        store.close()
    assert left == RECORDS[: len(left)]
    return len(left)


def calls_of_a_quiet_run() -> int:
    disk = Disk(BEGUN)
    assert write_all(disk) == len(RECORDS)
    return disk.calls


CALLS = calls_of_a_quiet_run()


def cut(seed: int, *, lies: bool = False) -> tuple[int, int]:
    """Cut the power at one call; return how many records were acknowledged, and how many are left."""
    chance = random.Random(seed)
    disk = Disk(BEGUN, Faults(cut_at=chance.randrange(1, CALLS + 1), lies=lies))
    return write_all(disk), recovered(disk.images_after_power_cut(chance))


def campaign(seeds: range) -> Counter[str]:
    seen: Counter[str] = Counter()
    for seed in seeds:
        acknowledged, left = cut(seed)
        assert acknowledged <= left <= acknowledged + 1, f"seed {seed}"
        seen["in doubt" if left > acknowledged else "exact"] += 1
    return seen


def test_what_was_acknowledged_survives_power_cuts() -> None:
    seen = campaign(range(1_000))
    assert seen["in doubt"] > 0, "no cut fell between the commit and its acknowledgement"


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(1, 21))
def test_what_was_acknowledged_survives_many_power_cuts(block: int) -> None:
    """Ten thousand each, twenty times."""
    assert campaign(range(10_000 * block, 10_000 * block + 10_000)).total() == 10_000


def test_what_was_acknowledged_survives_a_cut_at_every_call() -> None:
    for call in range(1, CALLS + 1):
        disk = Disk(BEGUN, Faults(cut_at=call))
        acknowledged = write_all(disk)
        assert recovered(disk.images_after_power_cut(random.Random(call))) >= acknowledged, f"call {call}"


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
def test_what_was_acknowledged_survives_a_failure_of_every_call(for_ever: bool) -> None:
    stopped = 0
    for call in range(1, CALLS + 1):
        disk = Disk(BEGUN, Faults(failing=range(call, 10**9 if for_ever else call + 1)))
        acknowledged = write_all(disk)
        left = recovered(disk.images())
        assert acknowledged <= left <= acknowledged + 1, f"call {call}"
        stopped += acknowledged < len(RECORDS)
    assert stopped > CALLS // 2, "the failures hardly reached the store"


def test_a_disk_that_lies_about_syncing_is_caught() -> None:
    """The control: these tests must be able to see a loss."""
    caught = 0
    for seed in range(300):
        try:
            acknowledged, left = cut(seed, lies=True)
        except (RingfenceError, AssertionError):
            caught += 1
        else:
            caught += left < acknowledged
    assert caught > 100
