"""How long a book with a million buckets takes to open: from its snapshot, and by replaying everything.

    .venv/bin/python bench/book_restart.py           a million buckets
    .venv/bin/python bench/book_restart.py 100000    fewer

Every bucket belongs to a member of its own, opened by a request and funded by a row under a limit of its own.
After the snapshot the book takes some more requests, which both openings judge again. Each opening ends with
a book that answers; both must have the same digest.
"""

import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
from ratio import show_ratio

from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.adapters.snapshot_files import SnapshotFolder
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import OpenMember, RegisterKey, Remark, Signature
from ringfence.planes.ledger.rows import Draft, Route, blank_transfers
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book

BUCKETS = 1_000_000
MEMBERS_AT_ONCE = 10_000
ROWS_AT_ONCE = 100_000
TAIL = 200
START = Instant(1_760_000_000 * SECOND_NS)
SEED = bytes(range(32))
POLICY = """\
ringfence: 1
name: quay
assets:
  USDC: {decimals: 6, haircut: "0 %"}
parties:
  client: {kind: client, family: true}
  house: {kind: house}
keys:
  ledger_key: {held_by: ledger, signs: on_evidence}
compartments:
  outside: {kind: external}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC]}
gates:
  bring: {from: outside, to: "client/{client}/bet", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000 per 1 d"}}}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://quay/ledger", holds: ledger_key}
"""


def signed(key: str, message: bytes) -> Signature:
    return Signature(key, sign(SEED, message))


def build(path: Path, buckets: int) -> None:
    """Make the book, its checkpoint with the snapshot, and a tail of requests."""
    policy = parse(POLICY, "quay.yaml").policy
    if policy is None:
        sys.exit("the benchmark's policy has errors")
    store = open_file(path, may_create=True)
    book = Book.found(store, policy, START, verify, snapshots=SnapshotFolder(path))
    book.submit([RegisterKey("ledger_key", public_key(SEED))], START)
    for first in range(0, buckets, MEMBERS_AT_ONCE):
        numbers = range(first, min(buckets, first + MEMBERS_AT_ONCE))
        book.submit([OpenMember("client", f"m{number}", {}) for number in numbers], START)
    for first in range(0, buckets, ROWS_AT_ONCE):
        fund(book, range(first, min(buckets, first + ROWS_AT_ONCE)))
    start = perf_counter()
    book.checkpoint(START, signed)
    print(f"checkpoint and snapshot {perf_counter() - start:.1f} s")
    for number in range(TAIL):
        book.submit([Remark("note", "book", f"words {number}")], START)
    book.close()


def fund(book: Book, numbers: range, first_id: int = 1) -> None:
    draft, rows = Draft(book.routes), blank_transfers(len(numbers))
    routes = (Route("bring", "outside", f"client/m{number}/bet", "USDC") for number in numbers)
    rows["route"] = [draft.number(route) for route in routes]
    rows["id_low"] = np.arange(numbers.start, numbers.stop) + first_id
    rows["units_low"] = 1_000
    batch = draft.batch(rows, book.rules.digest, 2**62)
    codes = book.submit_rows(batch.signed([signed("ledger_key", batch.signing_digest())]), START).codes
    if codes.any():
        sys.exit("the book refused a transfer that it should have carried out")


def opened(path: Path, snapshots: SnapshotFolder | None) -> tuple[float, float, bytes]:
    """Open the book, let it answer once; return the seconds, those of work, and the digest of its state."""
    start, worked = perf_counter(), process_time()
    book = Book.recover(open_file(path), verify, snapshots=snapshots)
    units = book.state.balance("client/m7/bet", "USDC")
    seconds, worked = perf_counter() - start, process_time() - worked
    if units != 1_000 or (snapshots is not None) != bool(book.opened_from):
        sys.exit("the book was not opened as it should be")
    source = "the snapshot" if snapshots else "the genesis"
    print(f"opened from {source} in {seconds:.2f} s, {worked:.2f} s of work")
    digest = book.state.digest()
    if snapshots is not None:
        start = perf_counter()
        fund(book, range(1_000), 1 << 40)
        print(f"its first 1,000 rows took {perf_counter() - start:.2f} s more")
    book.close()
    return seconds, worked, digest


def main() -> None:
    buckets = int(sys.argv[1]) if len(sys.argv) > 1 else BUCKETS
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "quay.book"
        start = perf_counter()
        build(path, buckets)
        snapshot = sum(file.stat().st_size for file in path.with_name("quay.book-snapshots").iterdir())
        sizes = f"journal {path.stat().st_size / 1e6:,.0f} MB, snapshot {snapshot / 1e6:,.0f} MB"
        print(f"{buckets:,} buckets made in {perf_counter() - start:.0f} s; {sizes}")
        _, slow, replayed = opened(path, None)
        quick, work, digest = opened(path, SnapshotFolder(path))
        if digest != replayed:
            sys.exit("the two openings ended in different states")
    if buckets == BUCKETS:
        show_ratio("restart of 1M buckets", 10 / quick, "10 seconds", 1)
    show_ratio("opening from a snapshot, processor time", slow / work, "replay from the genesis", 20)


if __name__ == "__main__":
    main()
