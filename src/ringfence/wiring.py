"""The one file where services and adapters meet: everything that is opened from outside starts here."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import TYPE_CHECKING

from ringfence.adapters import namespaces, sandbox_linux, signatures_ed25519
from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore
from ringfence.adapters.book_sqlite import open_file, read_file
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.kubernetes_files import load_manifests
from ringfence.adapters.nft_command import Nft, Place, here
from ringfence.adapters.policy_files import include_beside, read_text
from ringfence.adapters.probe_sockets import Listeners, matrix, probe
from ringfence.adapters.roll_back import RollBack
from ringfence.adapters.snapshot_files import SnapshotFolder
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.errors import BadInput, UnreachableError, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head
from ringfence.planes.network import formats
from ringfence.planes.network.compile import Flow, Rules, compile_flows
from ringfence.planes.network.formats import Difference, Format
from ringfence.planes.network.kubernetes.model import Cluster
from ringfence.planes.network.kubernetes.read import read_cluster
from ringfence.planes.network.loaded import owner_of
from ringfence.planes.network.sites import Sites, plan_sites
from ringfence.policy.model import Finding, Plane, Policy
from ringfence.policy.parse import Parsed, parse
from ringfence.services.canary import CanaryRound, canary
from ringfence.services.lab import Ask, LabStep, exercise, wrong_cells
from ringfence.services.ledger import Book, OnRecord, no_report
from ringfence.services.margin_facts import MarginFacts
from ringfence.services.ports import BookStore, Clock, KeyRing, SnapshotShelf
from ringfence.services.segmentation import HUB, Enforcer

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

SHIPPED_POLICIES = ("two-buckets", "trading-desk", "venue", "custodian")
"""The example policies that come with ringfence, smallest first."""


def read_policy(path: str | Path) -> Parsed:
    """Read a policy file with everything it includes; what is wrong with it is in the findings.

    path: a file, or the name of an example where no file has that name. BadInput where it cannot be read.
    """
    is_example = str(path) in SHIPPED_POLICIES and not Path(path).exists()
    file = shipped_policy(str(path)) if is_example else Path(path)
    return parse(read_text(file), str(file), include_beside(file))


def load_policy(path: str | Path) -> Policy:
    """Read a policy, as `read_policy` does, that must be without errors; BadInput lists all it has."""
    parsed = read_policy(path)
    if parsed.policy is None:
        raise BadInput("\n".join(str(finding) for finding in parsed.errors))
    return parsed.policy


def shipped_policy(name: str) -> Path:
    """Return the path of an example policy, in the checkout or in the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package / "policies", package.parents[1] / "policies"):
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    raise BadInput(f"there is no example policy {name!r}; there are {', '.join(SHIPPED_POLICIES)}")


def read_manifests(folder: str | Path) -> tuple[Cluster, tuple[Finding, ...]]:
    """Read the Kubernetes manifests of a folder, with every finding; BadInput where there is no folder."""
    documents, unreadable = load_manifests(Path(folder))
    cluster, findings = read_cluster(documents)
    return cluster, (*unreadable, *findings)


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
        raise UsageError(f"the book obeys another policy; to become this one it\n  {shown}{rest}")
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


# --- the network -------------------------------------------------------------------------------


def read_json(path: str | Path) -> object:
    """Read a JSON file; BadInput where it cannot be read or is none."""
    try:
        return json.loads(read_text(Path(path)))
    except (ValueError, RecursionError) as fault:
        raise BadInput(f"{path} is no JSON: {fault}") from None


def read_back(form: Format, loaded: str | Path, rules: Rules, sites: Sites, place: str) -> Difference:
    """Read the rules of a tool from a file or folder and compare them with the policy's.

    BadInput where they cannot be read; what is read and not understood is among the findings.
    """
    file = Path(loaded)
    if form in ("kubernetes", "cluster-policies"):
        documents, unreadable = load_manifests(file)
        found = formats.compare_kubernetes(form, documents, rules, sites)
        return replace(found, findings=(*unreadable, *found.findings))
    if form == "systemd":
        return formats.compare_unit(read_text(file), rules, sites, place)
    if form == "compose":
        documents, unreadable = load_manifests(file)
        whole = documents[0].data if len(documents) == 1 else None
        return replace(formats.compare_compose(whole, rules), findings=unreadable)
    if form == "sandbox":
        return formats.compare_sandbox(read_json(file), rules, file.name)
    return formats.compare_nftables(read_json(file), rules, sites, place, file.name)


def sandbox_shortfall() -> tuple[str, ...]:
    """Say what of a sandbox profile this machine's kernel, and this user, could not put in force."""
    return sandbox_linux.shortfall()


# --- the lab, and rules in force ---------------------------------------------------------------


PROBE_S = 0.3
"""How long the lab waits for an answer that may not come; on one machine an answer takes microseconds."""


def is_in_lab() -> bool:
    """Say whether this process already has network namespaces of its own."""
    return namespaces.is_entered()


def lab_command() -> list[str]:
    """Return the command that runs this same command in new namespaces; UnreachableError if none can be."""
    return namespaces.entered_command(namespaces.this_command())


def standing_command() -> list[str]:
    """Return the command that runs this same command inside the lab that stands; UnreachableError if none."""
    return namespaces.joined_command(_standing_lab(), namespaces.this_command())


def standing_policy() -> Path:
    """Return the policy of the lab that stands; UnreachableError where none does."""
    return Path(_standing_lab().policy)


def _standing_lab() -> namespaces.StandingLab:
    lab = namespaces.find_standing()
    if lab is None:
        raise UnreachableError(
            "no lab stands on this machine: start one with `ringfence lab --hold`, or say with --at which "
            "place of a real network this machine is"
        )
    return lab


def run_lab(policy: Policy) -> Iterator[LabStep]:
    """Build the policy's network on this machine, put it through the lab's exercise, and take it away."""
    rules = compile_flows(policy)
    with _built_lab(rules) as (enforcer, ask):
        yield from exercise(rules, enforcer, ask)


def hold_lab(policy: Policy, file: Path, seed: int) -> Iterator[CanaryRound]:
    """Build the policy's network, load the rules of both layers, and let others in while rounds are taken."""
    rules = compile_flows(policy)
    with namespaces.standing(file.resolve(), greets=True), _built_lab(rules) as (enforcer, ask):
        enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
        must_be = partial(enforcer.must_be, rules)
        yield from canary(rules, _matrix(rules, enforcer.sites), ask, must_be, seed)


@contextmanager
def _built_lab(rules: Rules) -> Iterator[tuple[Enforcer, Ask]]:
    sites = plan_sites(rules)
    lab = namespaces.Lab(sites)
    lab.up()
    with Listeners(lab.within, sites, _ports(rules)):
        yield _lab_enforcer(rules, lab), _asking(rules, lab, greets=True)
    lab.down()


def _lab_enforcer(rules: Rules, lab: namespaces.Lab) -> Enforcer:
    places = {place: Nft(command) for place, command in _lab_commands(rules, lab).items()}
    return Enforcer(lab.sites, places, closed="reset")


def _lab_commands(rules: Rules, lab: namespaces.Lab) -> dict[str, Place]:
    return {place: partial(lab.command, place) for place in (HUB, *rules.workloads)}


def _asking(rules: Rules, lab: namespaces.Lab, *, greets: bool) -> Ask:
    everything = _askable(rules, lab.sites, greets=greets)
    return lambda flows: probe(
        lab.within, lab.sites, everything if flows is None else flows, PROBE_S, greets=greets
    )


def _matrix(rules: Rules, sites: Sites) -> list[Flow]:
    return matrix(tuple(sites), _ports(rules))


def _askable(rules: Rules, sites: Sites, *, greets: bool) -> list[Flow]:
    """List what can be asked: of services that do not greet, a silence over UDP says nothing."""
    return [flow for flow in _matrix(rules, sites) if greets or flow.protocol == "tcp"]


def _ports(rules: Rules) -> list[int]:
    return sorted({flow.port for flow in rules.flows})


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What the commands of `net` act on: the lab that stands, or one place of a real network.

    commands: how a program is run at each place; ask: sends packets, None where this machine cannot send them
    for others; everything: what can be asked.
    """

    enforcer: Enforcer
    commands: Mapping[str, Place]
    ask: Ask | None
    everything: Sequence[Flow]

    def probe(self, rules: Rules) -> tuple[str, ...]:
        """Ask everything once; say in sentences what does not go as the rules declare."""
        return () if self.ask is None else wrong_cells(self.ask, self.enforcer.must_be(rules))

    def undeclared(self, rules: Rules) -> tuple[Flow, ...]:
        """List the flows of connections that last and that the rules do not permit: what would break.

        Looked at twice: a probe of a canary is a connection, too, and gone at once.
        """
        first = self.enforcer.undeclared(rules)
        if first:
            sleep(LASTING_S)
        return tuple(sorted({flow for flow, _ in first & self.enforcer.undeclared(rules)}))

    def roll_back(self, seconds: float) -> None:
        """Bring the old rules back after a time even if this process does not live to do it."""
        self.enforcer.watchdog = RollBack(self.commands, seconds)


def standing_enforcement(rules: Rules) -> Enforcement:
    """Return the lab that stands, entered before by `standing_command`."""
    lab = namespaces.Lab(plan_sites(rules))
    greets = _standing_lab().greets
    ask, askable = _asking(rules, lab, greets=greets), _askable(rules, lab.sites, greets=greets)
    return Enforcement(_lab_enforcer(rules, lab), _lab_commands(rules, lab), ask, askable)


def local_enforcement(rules: Rules, sites: Sites, at: str) -> Enforcement:
    """Return this machine as one place of a real network: the hub, or that of a service.

    UnreachableError where this user may not change the rules of this machine.
    """
    if at not in (HUB, *rules.workloads):
        raise UsageError(f"there is no place {at!r}; there are hub, {', '.join(rules.workloads)}")
    place = Nft()
    place.require()
    return Enforcement(Enforcer(sites, {at: place}), {at: here}, None, ())


LASTING_S = 1.0
"""How long a connection is in use before it counts as one that lasts; probes are gone in a fraction of it."""

ROLL_BACK_SLACK_S = 15
"""How long the roll-back waits beyond the confirmation: loading, reading back and probing take their time."""


def prover(file: Path) -> Callable[[Rules], tuple[str, ...]]:
    """Return what decides all claims of a policy and says in a sentence each which do not hold."""

    def refuted(_: Rules) -> tuple[str, ...]:
        from ringfence.proof.claims import prove

        verdicts = prove(load_policy(file))
        return tuple(f"{one.claim} ({one.where}) is {one.status}" for one in verdicts if not one.holds)

    return refuted


def session_flow(sites: Sites, at: str) -> Flow | None:
    """Return the flow that this very session came in by, where it came by SSH and its end is known."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) != 4:
        return None
    end = owner_of(sites, words[0])
    if end is None:
        raise UsageError(
            f"this session comes from {words[0]}, which is nobody's in the policy: the new rules would lock "
            "it out; name its --network, or say --without-me"
        )
    return Flow(end, at, "tcp", int(words[3]))
