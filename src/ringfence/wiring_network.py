"""Where the services that enforce a network meet the kernel's namespaces, nftables and sockets."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import sleep

from ringfence.adapters import namespaces, sandbox_linux
from ringfence.adapters.kubernetes_files import load_manifests
from ringfence.adapters.nft_command import Nft, Place, here
from ringfence.adapters.policy_files import read_text
from ringfence.adapters.probe_sockets import Listeners, matrix, probe
from ringfence.adapters.roll_back import RollBack
from ringfence.kernel.errors import UnreachableError, UsageError
from ringfence.planes.network import formats
from ringfence.planes.network.compile import Flow, Rules, compile_flows
from ringfence.planes.network.formats import Difference, Format
from ringfence.planes.network.kubernetes.model import Cluster
from ringfence.planes.network.kubernetes.read import read_cluster
from ringfence.planes.network.loaded import owner_of
from ringfence.planes.network.sites import Sites, plan_sites
from ringfence.policy.model import Finding, Policy
from ringfence.services.canary import CanaryRound, canary
from ringfence.services.enforced import HUB
from ringfence.services.lab import Ask, LabStep, exercise, wrong_cells
from ringfence.services.segmentation import Enforcer
from ringfence.wiring_files import load_policy, read_json


def read_manifests(folder: str | Path) -> tuple[Cluster, tuple[Finding, ...]]:
    """Read the Kubernetes manifests of a folder, with every finding; BadInput where there is no folder."""
    documents, unreadable = load_manifests(Path(folder))
    cluster, findings = read_cluster(documents)
    return cluster, (*unreadable, *findings)


def read_back(form: Format, loaded: str | Path, rules: Rules, sites: Sites, place: str | None) -> Difference:
    """Read the rules of a tool from a file or folder and compare them with the policy's.

    BadInput where they cannot be read, UsageError for a place that the form does not have; what is read and
    not understood is among the findings.
    """
    formats.refuse_place(form, place)
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
        return formats.compare_sandbox(read_json(file), rules, str(file), place)
    return formats.compare_nftables(read_json(file), rules, sites, place or HUB, str(file))


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
        must_be = partial(enforcer.enforced.must_be, rules)
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
        return () if self.ask is None else wrong_cells(self.ask, self.enforcer.enforced.must_be(rules))

    def undeclared(self, rules: Rules) -> tuple[Flow, ...]:
        """List the flows of connections that last and that the rules do not permit: what would break.

        Looked at twice: a probe of a canary is a connection, too, and gone at once.
        """
        first = self.enforcer.enforced.undeclared(rules)
        if first:
            sleep(LASTING_S)
        return tuple(sorted({flow for flow, _ in first & self.enforcer.enforced.undeclared(rules)}))

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
