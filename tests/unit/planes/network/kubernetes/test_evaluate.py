"""The evaluator with its masks against the specification read aloud, one packet at a time."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.connections import PROTOCOLS, Protocol
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.model import (
    EVERYTHING,
    NAME_LABEL,
    AddressPeer,
    AnyPeer,
    Cluster,
    Direction,
    NamedPort,
    NamespaceChoice,
    Peer,
    Pod,
    PodPeer,
    Policy,
    PortChoice,
    Requirement,
    Rule,
    Selector,
    Subject,
)
from ringfence.planes.network.ranges import ALL_PORTS, Ranges

PORTS = (1, 79, 80, 81, 5_432, 65_535)
OUTSIDE = ("0.0.0.0", "10.0.0.0", "10.1.255.255", "10.2.0.0", "255.255.255.255")


@given(st.integers(0, 2**32))
def test_the_evaluator_says_what_the_specification_read_aloud_says(seed: int) -> None:
    cluster = random_cluster(random.Random(seed))
    connectivity = Connectivity(cluster)
    for source in (*cluster.pods, *OUTSIDE):
        for target in (*cluster.pods, *OUTSIDE):
            if isinstance(source, Pod) or isinstance(target, Pod):
                found = connectivity.between(
                    title_of(source, connectivity, "ingress"), title_of(target, connectivity, "egress")
                )
                for protocol in PROTOCOLS:
                    for port in PORTS:
                        assert found.has(protocol, port) == may_pass(cluster, source, target, protocol, port)


End = Pod | str


def title_of(end: End, connectivity: Connectivity, direction: Direction) -> str:
    if isinstance(end, Pod):
        return end.workload
    outside = connectivity.sources if direction == "ingress" else connectivity.targets
    (title,) = [title for title, external in outside.items() if external.lies_in(whole_range(title, end))]
    return title


def whole_range(title: str, address: str) -> Addresses:
    first, last = title.removesuffix("[External]").split("-")
    span = Addresses.parse(first).v4.spans[0][0], Addresses.parse(last).v4.spans[0][0]
    whole = Addresses(v4=Ranges((span,)))
    return whole if whole.has(address) else Addresses()


# --- the specification, read aloud -------------------------------------------------------------


def may_pass(cluster: Cluster, source: End, target: End, protocol: Protocol, port: int) -> bool:
    return side_lets_through(cluster, "egress", source, target, protocol, port) and side_lets_through(
        cluster, "ingress", source, target, protocol, port
    )


def side_lets_through(
    cluster: Cluster, way: Direction, source: End, target: End, protocol: Protocol, port: int
) -> bool:
    subject, peer = (source, target) if way == "egress" else (target, source)
    if not isinstance(subject, Pod):
        return True
    selecting = [
        policy
        for policy in sorted(cluster.policies, key=lambda policy: policy.priority)
        if policy.rules(way) is not None and selects(cluster, policy.subject, subject)
    ]
    for policy in selecting:
        if policy.tier == "admin":
            action = first_action(cluster, policy, way, peer, target, protocol, port)
            if action == "pass":
                break
            if action:
                return action == "allow"
    network = [policy for policy in selecting if policy.tier == "network"]
    if network:
        return any(first_action(cluster, policy, way, peer, target, protocol, port) for policy in network)
    for policy in selecting:
        if policy.tier == "baseline":
            action = first_action(cluster, policy, way, peer, target, protocol, port)
            if action:
                return action != "deny"
    return True


def first_action(
    cluster: Cluster, policy: Policy, way: Direction, peer: End, target: End, protocol: Protocol, port: int
) -> str | None:
    for rule in policy.rules(way) or ():
        if any(means(cluster, choice, peer) for choice in rule.peers) and speaks_of(
            rule, target, protocol, port
        ):
            return rule.action
    return None


def selects(cluster: Cluster, subject: Subject, pod: Pod) -> bool:
    labels = cluster.namespaces[pod.namespace]
    if pod.host_network and not subject.host_network:
        return False
    return subject.namespaces.selector.accepts(labels) and subject.pods.accepts(pod.labels)


def means(cluster: Cluster, peer: Peer, end: End) -> bool:
    if isinstance(peer, AnyPeer):
        return True
    if isinstance(peer, PodPeer):
        return isinstance(end, Pod) and selects(
            cluster, Subject(peer.namespaces, peer.pods, peer.host_network), end
        )
    assert isinstance(peer, AddressPeer)
    if isinstance(end, Pod):
        return peer.reaches_pods and any(peer.addresses.has(address) for address in end.addresses)
    return peer.addresses.has(end)


def speaks_of(rule: Rule, target: End, protocol: Protocol, port: int) -> bool:
    if rule.ports is None:
        return True
    for choice in rule.ports:
        if choice.name is None:
            if choice.protocol == protocol and port in choice.ports:
                return True
        elif isinstance(target, Pod):
            for named in target.ports:
                if named.name == choice.name and choice.protocol in (None, named.protocol):
                    if (named.protocol, named.port) == (protocol, port):
                        return True
                    break
    return False


# --- random clusters ---------------------------------------------------------------------------


def random_cluster(dice: random.Random) -> Cluster:
    names = ["n0", "n1"]
    namespaces = {name: {NAME_LABEL: name, "t": dice.choice("ab")} for name in names}
    pods = tuple(random_pod(dice, index, dice.choice(names)) for index in range(dice.randint(1, 4)))
    policies = tuple(random_policy(dice, index) for index in range(dice.randint(0, 5)))
    return Cluster(namespaces, pods, (), policies)


def random_pod(dice: random.Random, index: int, namespace: str) -> Pod:
    named = (NamedPort("p", dice.choice(PROTOCOLS), dice.choice(PORTS)),) if dice.random() < 0.7 else ()
    return Pod(
        workload=f"{namespace}/w{index}[Pod]",
        namespace=namespace,
        name=f"w{index}",
        labels={key: dice.choice("ab") for key in "xy" if dice.random() < 0.8},
        ports=named,
        addresses=(dice.choice(OUTSIDE),),
        host_network=dice.random() < 0.15,
    )


def random_selector(dice: random.Random, keys: str = "xy") -> Selector:
    operators = ("In", "NotIn", "Exists", "DoesNotExist")
    found = []
    for _ in range(dice.randint(0, 2)):
        operator = dice.choice(operators)
        values = (
            frozenset(dice.sample("ab", dice.randint(1, 2))) if operator in ("In", "NotIn") else frozenset()
        )
        found.append(Requirement(dice.choice(keys), operator, values))
    return Selector(tuple(found))


def random_policy(dice: random.Random, index: int) -> Policy:
    kind, tier = dice.choice(
        (
            ("NetworkPolicy", "network"),
            ("ClusterNetworkPolicy", "admin"),
            ("ClusterNetworkPolicy", "baseline"),
        )
    )
    is_network = tier == "network"
    rules = {way: random_rules(dice, is_network, tier, way == "egress") for way in ("ingress", "egress")}
    return Policy(
        kind=kind,
        namespace="n0" if is_network else "",
        name=f"p{index}",
        tier=tier,
        priority=index,
        subject=Subject(NamespaceChoice(random_selector(dice, "t")), random_selector(dice), is_network),
        ingress=rules["ingress"],
        egress=rules["egress"],
        where=f"m.yaml:{index}",
    )


def random_rules(
    dice: random.Random, is_network: bool, tier: str, has_addresses: bool
) -> tuple[Rule, ...] | None:
    if dice.random() < 0.3:
        return None
    actions = ("allow",) if is_network else ("allow", "deny", "pass")
    return tuple(
        Rule(
            name=f"r{index}",
            action=dice.choice(actions),
            peers=tuple(random_peer(dice, is_network, has_addresses) for _ in range(dice.randint(1, 2))),
            ports=None
            if dice.random() < 0.3
            else tuple(random_port(dice) for _ in range(dice.randint(1, 2))),
            where="m.yaml:1",
        )
        for index in range(dice.randint(0 if is_network else 1, 3))
    ) or (() if is_network else None)


def random_peer(dice: random.Random, is_network: bool, has_addresses: bool) -> Peer:
    roll = dice.random()
    if is_network and roll < 0.15:
        return AnyPeer()
    if (is_network or has_addresses) and roll < 0.5:
        texts = dice.sample(("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "10.2.0.0/16"), 2)
        return AddressPeer(Addresses.parse(texts[0]) - Addresses.parse(texts[1]), reaches_pods=not is_network)
    choice = NamespaceChoice(random_selector(dice, "t") if dice.random() < 0.7 else EVERYTHING)
    return PodPeer(choice, random_selector(dice), host_network=is_network)


def random_port(dice: random.Random) -> PortChoice:
    protocol = dice.choice(PROTOCOLS)
    if dice.random() < 0.25:
        return PortChoice(dice.choice((None, protocol)), Ranges(), "p")
    if dice.random() < 0.3:
        return PortChoice(protocol, ALL_PORTS)
    first = dice.choice(PORTS)
    return PortChoice(protocol, Ranges(((first, dice.choice([port for port in PORTS if port >= first])),)))


def test_an_unknown_end_is_refused() -> None:
    connectivity = Connectivity(Cluster({}, (), (), ()))

    with pytest.raises(KeyError):
        connectivity.between("a/b[Pod]", "0.0.0.0-255.255.255.255[External]")
