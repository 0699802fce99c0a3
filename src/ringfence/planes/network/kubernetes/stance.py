"""Where an end of a connection stands towards the policies: which select it, and which rules mean it.

Every policy has a bit and every rule has a bit, for each direction. Ends with equal stances get equal
answers, so a question is judged once however many pods or address ranges ask it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from ringfence.planes.network.addresses import (
    ALL_V4,
    ALL_V6,
    NO_ADDRESSES,
    V4_WHOLE,
    V6_WHOLE,
    Addresses,
    show_v4,
    show_v6,
)
from ringfence.planes.network.kubernetes.model import (
    AddressPeer,
    AnyPeer,
    Cluster,
    Direction,
    DomainPeer,
    Labels,
    NamedPort,
    NamespaceChoice,
    NodePeer,
    Peer,
    Pod,
    PodPeer,
    Policy,
    Requirement,
    Rule,
    Selector,
    Subject,
)
from ringfence.planes.network.kubernetes.verdict import Applying
from ringfence.planes.network.ranges import segments

Family = Literal["v4", "v6"]


@dataclass(frozen=True, slots=True)
class External:
    """A range of addresses outside the cluster, or with no `family` a domain name."""

    family: Family | None
    first: int = 0
    last: int = 0
    domain: str = ""

    @property
    def title(self) -> str:
        """The name it is shown by, such as `10.0.0.0-10.255.255.255[External]`."""
        if self.family is None:
            return f"{self.domain}[Domain]"
        show = show_v4 if self.family == "v4" else show_v6
        return f"{show(self.first)}-{show(self.last)}[External]"

    def lies_in(self, addresses: Addresses) -> bool:
        """Say whether all of it is among `addresses`; of a domain only the whole IPv4 space is sure."""
        if self.family is None:
            return not (ALL_V4 - addresses)
        return self.first in (addresses.v4 if self.family == "v4" else addresses.v6)


@dataclass(frozen=True, slots=True)
class Stance:
    """All that decides what an end may do.

    selected_egress, selected_ingress: bits of the policies that select it; as_target, as_source: bits of the
    egress and of the ingress rules that mean it as the other side; ports: its named ports.
    """

    selected_egress: int = 0
    selected_ingress: int = 0
    as_target: int = 0
    as_source: int = 0
    ports: tuple[NamedPort, ...] = ()


class Stances:
    """The policies of a cluster with their bits, and the stance of every end towards them."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = _with_plain_namespaces(cluster)
        self.egress = Side("egress", self.cluster.policies)
        self.ingress = Side("ingress", self.cluster.policies)

    def of_pod(self, pod: Pod) -> Stance:
        """Return the stance of one pod."""
        labels = self.cluster.namespaces[pod.namespace]
        return Stance(
            selected_egress=self.egress.selecting(pod, labels),
            selected_ingress=self.ingress.selecting(pod, labels),
            as_target=self.egress.meaning(lambda peer: self._means_pod(peer, pod, labels)),
            as_source=self.ingress.meaning(lambda peer: self._means_pod(peer, pod, labels)),
            ports=pod.ports,
        )

    def of_external(self, external: External) -> Stance:
        """Return the stance of a range of addresses or a domain: no policy selects it."""
        return Stance(
            as_target=self.egress.meaning(lambda peer: self._means_external(peer, external)),
            as_source=self.ingress.meaning(lambda peer: self._means_external(peer, external)),
        )

    def outside(
        self, direction: Direction, families: Iterable[Family], cuts: Iterable[Addresses]
    ) -> Iterator[External]:
        """List what lies outside, cut wherever a rule of the direction, or `cuts`, cuts it."""
        side = self.egress if direction == "egress" else self.ingress
        networks = [*self.networks(side), *cuts]
        for family in families:
            whole = V4_WHOLE if family == "v4" else V6_WHOLE
            ranges = [network.v4 if family == "v4" else network.v6 for network in networks]
            yield from (External(family, first, last) for first, last in segments(whole, ranges))
        domains = {name for peer in side.peers() if isinstance(peer, DomainPeer) for name in peer.patterns}
        yield from (External(None, domain=name) for name in sorted(domains))

    def networks(self, *sides: "Side") -> list[Addresses]:
        """List the addresses that rules name by themselves, of some sides or of both."""
        return [
            self._addresses(peer) for side in sides or (self.egress, self.ingress) for peer in side.peers()
        ]

    def _addresses(self, peer: Peer) -> Addresses:
        """Return the addresses a peer stands for by themselves, not by labels."""
        if isinstance(peer, AddressPeer):
            return peer.addresses
        if isinstance(peer, NodePeer):
            chosen = (node.addresses for node in self.cluster.nodes if peer.nodes.accepts(node.labels))
            return Addresses.union(chosen)
        return NO_ADDRESSES

    def _means_pod(self, peer: Peer, pod: Pod, labels: Labels) -> bool:
        match peer:
            case AnyPeer():
                return True
            case PodPeer(namespaces, pods, host_network):
                return _selects(Subject(namespaces, pods, host_network), pod, labels)
            case AddressPeer(addresses, reaches_pods):
                return reaches_pods and _has_address(pod, addresses)
            case NodePeer():
                # A pod on the host network answers at the address of its node.
                return any(self._addresses(peer).has(address) for address in pod.addresses)
            case _:
                return False

    def _means_external(self, peer: Peer, external: External) -> bool:
        match peer:
            case AnyPeer():
                return True
            case DomainPeer():
                return external.family is None and peer.accepts(external.domain)
            case AddressPeer() | NodePeer():
                return external.lies_in(self._addresses(peer))
            case _:
                return False


class Side:
    """The policies that speak of one direction, by precedence, and their rules, each with its bit."""

    def __init__(self, direction: Direction, policies: Iterable[Policy]) -> None:
        speaking = [policy for policy in policies if policy.rules(direction) is not None]
        self.policies = sorted(speaking, key=lambda policy: (policy.priority, policy.title))
        self.rules: list[Rule] = []
        self._first_bit: list[int] = []
        for policy in self.policies:
            self._first_bit.append(len(self.rules))
            self.rules.extend(policy.rules(direction) or ())
        self._first_bit.append(len(self.rules))

    def peers(self) -> Iterator[Peer]:
        """Walk through the peers of all rules."""
        return (peer for rule in self.rules for peer in rule.peers)

    def selecting(self, pod: Pod, namespace_labels: Labels) -> int:
        """Return the bits of the policies that select a pod."""
        return _bits(_selects(policy.subject, pod, namespace_labels) for policy in self.policies)

    def meaning(self, means: Callable[[Peer], bool]) -> int:
        """Return the bits of the rules with a peer that `means` says yes to."""
        return _bits(any(means(peer) for peer in rule.peers) for rule in self.rules)

    def relevant(self, selected: int) -> int:
        """Return the bits of all rules of the selected policies."""
        mask = 0
        for index in range(len(self.policies)):
            if selected >> index & 1:
                first, last = self._first_bit[index : index + 2]
                mask |= (1 << last) - (1 << first)
        return mask

    def applying(self, selected: int, meant: int) -> list[Applying]:
        """Return the selected policies, each with those of its rules that are meant."""
        found: list[Applying] = []
        for index, policy in enumerate(self.policies):
            if selected >> index & 1:
                bits = range(self._first_bit[index], self._first_bit[index + 1])
                found.append((policy, tuple(self.rules[bit] for bit in bits if meant >> bit & 1)))
        return found


def _bits(answers: Iterable[bool]) -> int:
    return sum(1 << index for index, answer in enumerate(answers) if answer)


def _selects(subject: Subject, pod: Pod, namespace_labels: Labels) -> bool:
    if pod.host_network and not subject.host_network:
        return False
    selector = subject.namespaces.selector
    return selector.accepts(namespace_labels) and subject.pods.accepts(pod.labels)


def _has_address(pod: Pod, addresses: Addresses) -> bool:
    """Say whether a pod is among addresses; one that has none yet is sure to be only in a whole family."""
    if pod.addresses:
        return any(addresses.has(address) for address in pod.addresses)
    return not (ALL_V4 - addresses) or not (ALL_V6 - addresses)


# --- sameLabels and notSameLabels --------------------------------------------------------------


def _with_plain_namespaces(cluster: Cluster) -> Cluster:
    """Write policies that compare labels with the subject's namespace once for each such namespace."""
    policies: list[Policy] = []
    for policy in cluster.policies:
        if any(_compares(peer) for rule in _all_rules(policy) for peer in rule.peers):
            policies.extend(_for_each_namespace(policy, cluster))
        else:
            policies.append(policy)
    return replace(cluster, policies=tuple(policies))


def _all_rules(policy: Policy) -> tuple[Rule, ...]:
    return (*(policy.ingress or ()), *(policy.egress or ()))


def _compares(peer: Peer) -> bool:
    return isinstance(peer, PodPeer) and (
        peer.namespaces.same is not None or peer.namespaces.different is not None
    )


def _for_each_namespace(policy: Policy, cluster: Cluster) -> Iterator[Policy]:
    for labels in cluster.namespaces.values():
        if policy.subject.namespaces.selector.accepts(labels):
            exact = Selector(tuple(_is(key, value) for key, value in labels.items()))
            yield replace(
                policy,
                subject=replace(policy.subject, namespaces=NamespaceChoice(exact)),
                ingress=_plain(policy.ingress, labels),
                egress=_plain(policy.egress, labels),
            )


def _plain(rules: tuple[Rule, ...] | None, labels: Labels) -> tuple[Rule, ...] | None:
    if rules is None:
        return None
    return tuple(
        replace(rule, peers=tuple(plain for peer in rule.peers for plain in _plain_peers(peer, labels)))
        for rule in rules
    )


def _plain_peers(peer: Peer, labels: Labels) -> Iterator[Peer]:
    if not isinstance(peer, PodPeer) or not _compares(peer):
        yield peer
    elif peer.namespaces.same:
        if all(key in labels for key in peer.namespaces.same):
            yield _with_selector(peer, [_is(key, labels[key]) for key in peer.namespaces.same])
    elif peer.namespaces.different:
        present = [Requirement(key, "Exists") for key in peer.namespaces.different]
        for key in peer.namespaces.different:
            other = [Requirement(key, "NotIn", frozenset((labels[key],)))] if key in labels else []
            yield _with_selector(peer, [*present, *other])


def _is(key: str, value: str) -> Requirement:
    return Requirement(key, "In", frozenset((value,)))


def _with_selector(peer: PodPeer, requirements: list[Requirement]) -> PodPeer:
    return replace(peer, namespaces=NamespaceChoice(Selector(tuple(requirements))))
