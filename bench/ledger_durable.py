"""Durable transfers a second: batches of rows, SQLite row by row, calls into PostgreSQL, and the bare disk.

Batches of 8,190 transfers of one asset between the two accounts of a member. Of every thirty the book gets
seventeen moves, one more that asks for too much and is refused, two requests of three linked moves, three
holds, and the ends of three holds of the batch before: one posted whole, one in part, one voided. Its peers
get thirty plain moves, each carried out; they hold nothing and refuse nothing.

The book judges a batch while those before it are made durable, and commits together what waits; each answer
comes after its commit. SQLite makes one durable commit a batch, PostgreSQL one a call, as its callers use it,
and raw append adds the very bytes of the book's records to a file, with as many syncs as the book's commits.

It runs one lap to warm up; then laps alternate, and the median of each counts. Ratios are taken lap by lap,
so that whatever else the machine does weighs on both sides. Processor time is printed beside: it counts both
threads, and is the figure that a busy machine changes least.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numpy as np
from numpy.typing import NDArray
from peers.postgres_calls import call_transfers
from peers.raw_append import append_batches, rewrite_batches
from peers.sqlite_rows import Row, transfer_rows
from ratio import show_ratio

from ringfence.adapters.book_sqlite import SqliteStore, open_file
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.journal import JournalRecord, Kind, verify_chain
from ringfence.planes.ledger.operations import (
    Move,
    OpenMember,
    RegisterKey,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rows import (
    HOLD,
    POST,
    VOID,
    Draft,
    Route,
    RowBatch,
    Transfers,
    blank_transfers,
)
from ringfence.planes.ledger.trail import Links
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book

BATCH = 8_190
BATCHES = 20
MEMBERS = 5_000
LAPS = 5
PATTERN = 30
"""After so many transfers, what they do begins again; here is what each place of it does."""

TOO_MUCH = slice(4, None, PATTERN)
LINKED = [[slice(first + place, None, PATTERN) for place in range(3)] for first in (8, 18)]
HOLDS = [slice(place, None, PATTERN) for place in (5, 15, 25)]
ENDS = [slice(place, None, PATTERN) for place in (6, 16, 26)]
MUCH = 10**14
CALLS = 2_000
OPENING = 10**12
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
  "client/{client}/cash": {owner: client, role: client_money, accepts: [USDC]}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC]}
gates:
  bring: {from: outside, to: "client/{client}/cash", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000 per 1 d"}}}
  stake: {from: "client/{client}/cash", to: "client/{client}/bet", assets: USDC, needs: ledger_key,
    on: ledger, limit: {each: {USDC: "900000000 per 1 d"}}}
  unstake: {from: "client/{client}/bet", to: "client/{client}/cash", assets: USDC, needs: ledger_key,
    on: ledger, limit: {each: {USDC: "900000000 per 1 d"}}}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://quay/ledger", holds: ledger_key}
"""


def begun(path: Path) -> Book:
    """Begin a book whose members each hold the opening balance in both of their compartments."""
    policy = parse(POLICY, "quay.yaml").policy
    if policy is None:
        sys.exit("the benchmark's policy has errors")
    book = Book.found(_counted(open_file(path, may_create=True)), policy, START, verify)
    members = [OpenMember("client", f"m{number}", {}) for number in range(MEMBERS)]
    book.submit([RegisterKey("ledger_key", public_key(SEED)), *members], START)
    for first in range(0, MEMBERS, 1_000):
        book.submit([_opening(book, number) for number in range(first, first + 1_000)], START)
    return book


COMMITS: list[range] = []
"""The records of each commit of the book."""


def _counted(store: SqliteStore) -> SqliteStore:
    extend = store.extend

    def counted(records: Sequence[JournalRecord], links: Sequence[Links] = ()) -> None:
        COMMITS.append(range(records[0].sequence, records[-1].sequence + 1))
        extend(records, links)

    store.extend = counted  # type: ignore[method-assign]
    return store


def _opening(book: Book, number: int) -> Request:
    cash, bet = f"client/m{number}/cash", f"client/m{number}/bet"
    links = (
        Move("bring", "outside", cash, "USDC", 2 * OPENING),
        Move("stake", cash, bet, "USDC", OPENING // 100),
    )
    bare = Request((1 << 100) + number, links, book.rules.digest, START + 10**18)
    signature = Signature("ledger_key", sign(SEED, signing_bytes(bare)))
    return Request(bare.id, links, bare.policy, bare.expires, signatures=(signature,))


class Work:
    """The same transfers for everybody: batches of (id, account from, account to, units)."""

    def __init__(self, lap: int) -> None:
        rng = np.random.default_rng(lap)
        shape = (BATCHES, BATCH)
        self.lap = lap
        self.member = rng.integers(0, MEMBERS, shape)
        self.is_back = rng.integers(0, 2, shape)
        self.units = rng.integers(2, 1_000, shape)
        for places in (*HOLDS, *ENDS):
            self.is_back[:, places] = 0
        self.ids = _ids(lap, np.arange(BATCHES)[:, None])

    def rows(self, batch: int) -> list[Row]:
        """Write one batch for a peer: accounts 2n (cash) and 2n + 1 (bet)."""
        given = 2 * self.member[batch] + self.is_back[batch]
        taken = 2 * self.member[batch] + 1 - self.is_back[batch]
        ids = (int(number).to_bytes(16, "big") for number in self.ids[batch])
        return list(zip(ids, given.tolist(), taken.tolist(), self.units[batch].tolist(), strict=True))

    def transfers(self, batch: int, before: Transfers | None) -> Transfers:
        """Write one batch for the book: routes 2n (stake) and 2n + 1 (unstake).

        before: the batch whose holds end in this one (None: as many moves instead).
        """
        transfers = blank_transfers(BATCH)
        transfers["id_low"], transfers["id_high"] = self.ids[batch], 1
        transfers["units_low"] = self.units[batch]
        transfers["route"] = 2 * self.member[batch] + self.is_back[batch]
        transfers["units_low"][TOO_MUCH] = MUCH
        for first, second, third in LINKED:
            for later in (second, third):
                transfers["id_low"][later] = transfers["id_low"][first]
            transfers["is_linked"][first] = transfers["is_linked"][second] = 1
        for place in HOLDS:
            transfers["kind"][place], transfers["hold_until"][place] = HOLD, START + 10**18
        if before is not None:
            for held, place, kind in zip(HOLDS, ENDS, (POST, POST, VOID), strict=True):
                for ours, theirs in (("hold_low", "id_low"), ("hold_high", "id_high")):
                    transfers[ours][place] = before[theirs][held]
                transfers["route"][place] = before["route"][held]
                transfers["kind"][place] = kind
                transfers["units_low"][place] = 0 if kind == VOID else before["units_low"][held]
            transfers["units_low"][ENDS[1]] //= 2
        return transfers


def _ids(lap: int, batch: NDArray[np.int64]) -> NDArray[np.uint64]:
    return (lap << 40 | 1) + (batch * BATCH + np.arange(BATCH)).astype(np.uint64)


def introduced(book: Book) -> None:
    """Number every route with a first batch, as a service does when a member comes."""
    draft = Draft(book.routes)
    for number in range(MEMBERS):
        cash, bet = f"client/m{number}/cash", f"client/m{number}/bet"
        draft.number(Route("stake", cash, bet, "USDC"))
        draft.number(Route("unstake", bet, cash, "USDC"))
    first = blank_transfers(1)
    first["id_low"], first["units_low"] = 1, 1
    book.submit_rows(_signed(draft.batch(first, book.rules.digest, 2**62)), START)


def _signed(batch: RowBatch) -> RowBatch:
    return batch.signed([Signature("ledger_key", sign(SEED, batch.signing_digest()))])


def book_lap(book: Book, work: Work) -> tuple[float, float]:
    """Submit every batch; return the seconds, of the clock and of the processor, of both threads.

    Signing is the service's work, and not counted.
    """
    draft, batches = Draft(book.routes), list[RowBatch]()
    for number in range(BATCHES):
        transfers = work.transfers(number, batches[-1].transfers if batches else None)
        batches.append(_signed(draft.batch(transfers, book.rules.digest, 2**62)))
    start, used = perf_counter(), process_time()
    with book.ahead() as pipeline:
        tickets = [pipeline.submit_rows(batch, Instant(START + 10)) for batch in batches]
        outcomes = [ticket.result() for ticket in tickets]
    seconds, used = perf_counter() - start, process_time() - used
    for outcome in outcomes:
        if (outcome.codes[TOO_MUCH] != Reason.FREE_BALANCE_TOO_LOW).any():
            sys.exit("the book carried out a transfer that it should have refused")
        outcome.codes[TOO_MUCH] = 0
        if outcome.codes.any():
            sys.exit("the book refused a transfer that it should have carried out")
    return seconds, used


def sqlite_lap(folder: Path, work: Work) -> float:
    """Return rows a second."""
    (folder / "rows.sqlite").unlink(missing_ok=True)
    rows = [work.rows(number) for number in range(BATCHES)]
    return len(rows) * BATCH / transfer_rows(folder, 2 * MEMBERS, OPENING, rows)


def committed(book: Book) -> list[bytes]:
    """Read what the book made durable in its last lap, commit by commit."""
    payloads = {record.sequence: record.payload for record in book.records(COMMITS[0][0])}
    return [b"".join(payloads[sequence] for sequence in commit) for commit in COMMITS]


def check_laps(path: Path) -> tuple[float, float, float, float]:
    """Check the chain of the book, then open it by replay; the answers are in rows a second.

    The last two are the processor times of both, in ns a row.

    The replay counts from the first batch of rows on: the members were opened by ordinary requests.
    """
    store = open_file(path)
    records = list(store.records())
    count = sum(len(record.payload) // 130 for record in records if record.kind == Kind.ROWS)
    start, used = perf_counter(), process_time()
    for _ in verify_chain(records):
        pass
    chain, chain_ns = count / (perf_counter() - start), (process_time() - used) / count * 1e9
    times: list[tuple[float, float]] = []
    Book.recover(store, verify, on_record=lambda record: _note(times, record))
    (start, used), (end, used_at_end) = times[0], times[-1]
    store.close()
    replayed = count - BATCH
    return chain, replayed / (end - start), chain_ns, (used_at_end - used) / replayed * 1e9


def _note(times: list[tuple[float, float]], record: JournalRecord) -> None:
    if record.kind == Kind.ROWS and len(record.payload) >= 130 * BATCH:
        times.append((perf_counter(), process_time()))


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of what each lap says."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


CAVEATS = """\
more than its yardsticks the book verifies a signature over each batch, holds each move to gates, members and
windows, keeps ids for good, chains hashes, and writes which compartments each batch touched; less: no row
crosses a socket, as each does to PostgreSQL. Signing is not counted."""


def main() -> None:
    count = BATCH * BATCHES
    print(f"{count:,} transfers a lap, {MEMBERS:,} members, batches of {BATCH:,}, median of {LAPS} laps")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        book = begun(folder / "quay.book")
        introduced(book)
        COMMITS.clear()
        book_lap(book, Work(1))
        content = committed(book)
        ours, raw, rewritten, sqlite, processor = [], [], [], [], []
        for lap in range(2, 2 + LAPS):
            work = Work(lap)
            raw_before = append_batches(folder, content)
            COMMITS.clear()
            seconds, used = book_lap(book, work)
            ours.append(count / seconds)
            processor.append(used / count * 1e9)
            content = committed(book)
            raw.append(2 * count / (raw_before + append_batches(folder, content)))
            rewritten.append(count / rewrite_batches(folder, content))
            sqlite.append(sqlite_lap(folder, work))
            print(f"lap {lap - 1}: {ours[-1]:,.0f} rows/s, raw {raw[-1]:,.0f}, SQLite rows {sqlite[-1]:,.0f}")
        calls = CALLS / call_transfers(2 * MEMBERS, OPENING, Work(9).rows(0)[:CALLS])
        book.close()
        chain, replay, chain_ns, replay_ns = check_laps(folder / "quay.book")
    print(CAVEATS)
    best = median(ours)
    print(f"{median(processor):,.0f} ns of processor time a row, both threads together")
    print(f"{best:,.0f} durable rows/s; {calls:,.0f} calls/s into PostgreSQL")
    print(f"chain check {chain:,.0f} rows/s; opening by replay {replay:,.0f} rows/s")
    print(f"{chain_ns:,.0f} and {replay_ns:,.0f} ns of processor time a row for these two")
    show_ratio("durable rows", best / 500_000, "500,000 a second on this machine", 1)
    show_ratio("durable rows", _ratio(ours, sqlite), "SQLite, a row a transfer", 5)
    show_ratio("durable rows", best / calls, "PostgreSQL, a call a transfer", 100)
    show_ratio("durable rows", _ratio(ours, raw), "raw append of the same bytes", 0.3)
    show_ratio("durable rows", _ratio(ours, rewritten), "the same written into one file again and again")
    show_ratio("chain check", chain / 5_000_000, "5,000,000 rows a second", 1)
    show_ratio("opening by replay", replay / 1_000_000, "1,000,000 rows a second", 1)


if __name__ == "__main__":
    main()
