"""Where books, solvers and markets meet their adapters; see `wiring_*` for files, network and platform."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ringfence.adapters import signatures_ed25519
from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore
from ringfence.adapters.book_sqlite import open_file, read_file
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.snapshot_files import SnapshotFolder
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head
from ringfence.policy.model import Plane, Policy
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts
from ringfence.services.ports import BookStore, Clock, KeyRing, SnapshotShelf
from ringfence.services.recovery import OnRecord, no_report

if TYPE_CHECKING:
    from ringfence.planes.ledger.checkpoint import Checkpoint
    from ringfence.proof.claims import SecondOpinion
    from ringfence.proof.encode import Solve
    from ringfence.replay.engine import Run
    from ringfence.replay.market import Market
    from ringfence.replay.population import Population
    from ringfence.replay.summary import BookProof
    from ringfence.services.mirror import Watch
    from ringfence.services.signed_heads import SignedHead

# --- books -------------------------------------------------------------------------------------


DIFFERENCES_SHOWN = 8
"""How many differences of two policies an error names."""


def embedded(
    path: str | Path | None,
    policy: Policy | None = None,
    planes: tuple[Plane, ...] = ("ledger",),
    on_record: OnRecord = no_report,
) -> Book:
    """Open the book at `path` for writing; with a policy, begin it where there is none. None: in memory.

    Raises UsageError where the book obeys another policy than the one given, and says what differs;
    StoreBusy where another process writes to it; JournalBroken where it is not what was written.
    """
    store: BookStore = MemoryStore() if path is None else open_file(Path(path), may_create=policy is not None)
    snapshots = SnapshotFolder(Path(path)) if path is not None else MemorySnapshots()
    with ExitStack() as undo:
        undo.callback(store.close)
        book = _begun_or_recovered(store, policy, planes, on_record, snapshots)
        undo.pop_all()
    return book


def read_book(
    path: str | Path,
    noted: Head | None = None,
    on_record: OnRecord = no_report,
    until: Instant | None = None,
    *,
    thorough: bool = False,
) -> Book:
    """Open a book for reading only, beside its writer if there is one; errors as `embedded`.

    noted: a head kept elsewhere, that the journal must reach; until: open it as it was then; thorough: use no
    snapshot, and check every record, tree and state.
    """
    store = read_file(Path(path))
    with ExitStack() as undo:
        undo.callback(store.close)
        book = _recover(
            store,
            noted=noted,
            on_record=on_record,
            snapshots=SnapshotFolder(Path(path)),
            until=until,
            thorough=thorough,
        )
        undo.pop_all()
    return book


def sessions_of(book: Book) -> tuple[tuple[str, str], ...]:
    """List (service, concrete key): whose key each service has now, because a trading session ends there."""
    return book.state.session_holdings(clock().now(), signatures_ed25519.verify)


def records_in(path: str | Path) -> int:
    """Count the records of a book by its own note, for showing how far the reading of it is."""
    store = read_file(Path(path))
    with ExitStack() as after:
        after.callback(store.close)
        head = store.head()
    return head.sequence + 1 if head else 0


def fault_of_signature(checkpoint: "Checkpoint", publics: Iterable[bytes]) -> str:
    """Say why a checkpoint is not signed by one of these public keys; "" where it is."""
    from ringfence.planes.ledger.checkpoint import fault_of_signature

    return fault_of_signature(checkpoint, publics, signatures_ed25519.verify)


def copy_book(source: str | Path, target: str | Path, on_pages: Callable[[int, int], None]) -> None:
    """Copy a book file beside its writer; on_pages is told what is left, and of how much."""
    from ringfence.adapters import book_copy

    book_copy.copy_book(Path(source), Path(target), on_pages)


def head_signers(signed: "SignedHead", book: Book) -> tuple[str, ...]:
    """Return who signed a head of a book; ViolationError where it is not a good one of that book."""
    from ringfence.services.signed_heads import check_head

    return check_head(signed, book.genesis.name, book.state.public_keys(), signatures_ed25519.verify)


def write_parquet(book: Book, file: str | Path) -> int:
    """Write the booked legs of a book as Parquet and return how many there are."""
    from ringfence.adapters import export_parquet
    from ringfence.services.exports import COLUMNS, legs

    return export_parquet.write_parquet(Path(file), COLUMNS, ("record", "place", "leg"), legs(book))


def key_ring(path: str | Path) -> KeyRing:
    """Return the folder of signing keys at `path`."""
    return KeyFolder(Path(path))


def clock() -> Clock:
    """Return the clock of this machine."""
    return SystemClock()


def second_opinion(seconds_max: float) -> "SecondOpinion":
    """Return what asks Z3 and clingo the questions of the proof again, each with this time limit.

    Raises UnreachableError where one of them is not installed.
    """
    from ringfence.adapters.solver_clingo import clingo_solver
    from ringfence.adapters.solver_z3 import z3_solver
    from ringfence.proof.opinions import second_opinion as join

    return join(z3_solver(seconds_max), clingo_solver(seconds_max))


def constraint_solver(seconds_max: float) -> "Solve":
    """Return what answers constraints with Z3 within a time limit; UnreachableError without Z3."""
    from ringfence.adapters.solver_z3 import z3_solver

    return z3_solver(seconds_max)


_recover = partial(Book.recover, verify=signatures_ed25519.verify, margin_of=MarginFacts)


def _begun_or_recovered(
    store: BookStore,
    policy: Policy | None,
    planes: tuple[Plane, ...],
    on_record: OnRecord,
    snapshots: SnapshotShelf,
) -> Book:
    if store.head() is None:
        if policy is None:
            raise BadInput("the book is empty, and no policy was given to begin it with")
        at, verify = clock().now(), signatures_ed25519.verify
        return Book.found(
            store, policy, at, verify, planes=planes, margin_of=MarginFacts, snapshots=snapshots
        )
    book = _recover(store, on_record=on_record, snapshots=snapshots)
    differences = book.differences(policy) if policy else ()
    if differences:
        shown = "\n  ".join(differences[:DIFFERENCES_SHOWN])
        more = len(differences) - DIFFERENCES_SHOWN
        rest = f"\n  and {more} more; `ringfence policy diff` lists them" if more > 0 else ""
        adopts = "\n`ringfence book adoption` puts another policy in its place"
        raise UsageError(f"the book obeys another policy; to become this one it\n  {shown}{rest}{adopts}")
    return book


# --- replays -----------------------------------------------------------------------------------


def load_market(policy: Policy, data: str | Path | None, window: str | None) -> "Market":
    """Read the prices of a replay from a file or folder; None: the built-in published figures.

    Raises BadInput where the prices cannot be used, UnreachableError where there are none, UsageError where
    a window is asked of the built-in table.
    """
    from ringfence.adapters.prices_parquet import load_sheet, price_files
    from ringfence.replay.market import choose_market
    from ringfence.replay.published import published_market

    if data is None:
        if window is not None:
            raise UsageError("--window chooses from price files; name them with --data")
        return published_market(policy)
    return choose_market([load_sheet(file) for file in price_files(Path(data))], policy, window)


def live_again(
    run: "Run",
    population: "Population",
    watch: "Watch | None",
    file: Path,
    on_batch: Callable[[int], None],
    on_record: OnRecord = no_report,
) -> "BookProof":
    """Live a replayed run again in a new book at `file`, then open that book again and read it back.

    Everybody's keys come from the population's seed. Raises ViolationError where the book refuses what the
    replay did, or ends otherwise; JournalBroken where it does not read back.
    """
    from ringfence.adapters.seeded_keys import SeededKeys
    from ringfence.replay.chains import FUNDING_NS_MAX
    from ringfence.replay.summary import BookProof
    from ringfence.services.mirror import mirror

    at = Instant(int(run.path.at[0]) - FUNDING_NS_MAX)
    with ExitStack() as after:
        store = open_file(file, may_create=True)
        after.callback(store.close)
        book = Book.found(store, run.ground.policy, at, signatures_ed25519.verify, margin_of=MarginFacts)
        mirrored = mirror(book, run, population, SeededKeys(population.seed), watch, on_batch)
        book.state.check_conservation()
        digest, head = book.state.digest(), book.head
    read = read_book(file, noted=head, on_record=on_record)
    verified = read.state.digest() == digest
    read.close()
    return BookProof(
        operations=mirrored.operations,
        compared=mirrored.compared,
        records=head.sequence + 1,
        verified=verified,
        conserved=True,
        hashes=next(reversed(mirrored.hashes.values()), None),
    )
