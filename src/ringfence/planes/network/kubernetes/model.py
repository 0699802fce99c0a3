"""What decides connections in a cluster, as values: namespaces, pods, and the policies of three tiers.

NetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy are read into one
shape: a `Policy` with a tier, a subject and rules for each direction. `None` for a direction means the policy
says nothing about it; an empty tuple means it lets nothing through (so a NetworkPolicy closes a direction).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ringfence.planes.network.addresses import NO_ADDRESSES, Addresses
from ringfence.planes.network.connections import Protocol
from ringfence.planes.network.ranges import Ranges

Labels = Mapping[str, str]
Direction = Literal["egress", "ingress"]
Action = Literal["allow", "deny", "pass"]
Tier = Literal["admin", "network", "baseline"]
Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]

NAME_LABEL = "kubernetes.io/metadata.name"
"""The label that every namespace carries with its own name."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One demand on labels: `key` is (not) one of `values`, or is (not) there at all."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def accepts(self, labels: Labels) -> bool:
        """Say whether labels meet the demand; a missing key meets NotIn, as Kubernetes has it."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    """Labels that are looked for; all requirements must hold, and none at all selects everything."""

    requirements: tuple[Requirement, ...] = ()

    def accepts(self, labels: Labels) -> bool:
        """Say whether labels meet every requirement."""
        return all(requirement.accepts(labels) for requirement in self.requirements)

    @property
    def keys(self) -> frozenset[str]:
        """The label keys whose value can change the answer."""
        return frozenset(requirement.key for requirement in self.requirements)


EVERYTHING = Selector()


@dataclass(frozen=True, slots=True)
class NamespaceChoice:
    """Which namespaces: those a selector accepts, or by labels shared (or not) with the subject's namespace.

    `same` and `different` are the sameLabels and notSameLabels of the first AdminNetworkPolicy drafts; they
    only mean something beside a subject, so `evaluate` turns them into plain selectors first.
    """

    selector: Selector = EVERYTHING
    same: tuple[str, ...] | None = None
    different: tuple[str, ...] | None = None


# --- peers of a rule ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AnyPeer:
    """Everybody, inside the cluster and outside."""


@dataclass(frozen=True, slots=True)
class PodPeer:
    """Pods by their labels and the labels of their namespace; `host_network` pods only where it says so."""

    namespaces: NamespaceChoice
    pods: Selector
    host_network: bool


@dataclass(frozen=True, slots=True)
class AddressPeer:
    """Addresses; with `reaches_pods`, a pod that has such an address is meant too."""

    addresses: Addresses
    reaches_pods: bool


@dataclass(frozen=True, slots=True)
class NodePeer:
    """The addresses of the nodes that a selector accepts."""

    nodes: Selector


@dataclass(frozen=True, slots=True)
class DomainPeer:
    """Domain names; one with a leading `*.` stands for everything below it."""

    patterns: tuple[str, ...]

    def accepts(self, name: str) -> bool:
        """Say whether every name that `name` stands for is meant here."""
        return any(
            name == pattern or (pattern.startswith("*.") and name.removeprefix("*.").endswith(pattern[1:]))
            for pattern in self.patterns
        )


Peer = AnyPeer | PodPeer | AddressPeer | NodePeer | DomainPeer


@dataclass(frozen=True, slots=True)
class PortChoice:
    """Ports of one protocol by number, or by the name a container gives them.

    protocol: None stands for any protocol (of a named port, the one its container declares).
    """

    protocol: Protocol | None
    ports: Ranges
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy: what to do with connections of these peers on these ports (None: all ports)."""

    name: str
    action: Action
    peers: tuple[Peer, ...]
    ports: tuple[PortChoice, ...] | None
    where: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The pods a policy applies to."""

    namespaces: NamespaceChoice
    pods: Selector
    host_network: bool


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy object of any of the four kinds."""

    kind: str
    namespace: str
    name: str
    tier: Tier
    priority: int
    subject: Subject
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None
    where: str

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        """Return the rules of one direction, None where the policy leaves it alone."""
        return self.ingress if direction == "ingress" else self.egress

    @property
    def title(self) -> str:
        """Name the policy for people: `NetworkPolicy shop/allow-web`."""
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


# --- what policies apply to --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A container port with a name."""

    name: str
    protocol: Protocol
    port: int


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod, or the pods that one template makes.

    workload: the name it is shown by, `namespace/name[Kind]` of the controller that owns it.
    """

    workload: str
    namespace: str
    name: str
    labels: Labels = field(hash=False)
    ports: tuple[NamedPort, ...] = ()
    addresses: tuple[str, ...] = ()
    host_network: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """A machine of the cluster with its labels and addresses."""

    name: str
    labels: Labels = field(hash=False)
    addresses: Addresses = NO_ADDRESSES


@dataclass(frozen=True, slots=True)
class Cluster:
    """Everything that decides connections; `namespaces` maps each name to its labels."""

    namespaces: Mapping[str, Labels]
    pods: tuple[Pod, ...]
    nodes: tuple[Node, ...]
    policies: tuple[Policy, ...]
