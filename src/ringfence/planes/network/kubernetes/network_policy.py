"""NetworkPolicy v1: it only adds, and closes each direction it names for the pods it selects.

A part that cannot be read opens nothing and is a finding.
"""

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.kubernetes.manifest import Part
from ringfence.planes.network.kubernetes.model import (
    NAME_LABEL,
    AddressPeer,
    AnyPeer,
    NamespaceChoice,
    Peer,
    PodPeer,
    Policy,
    PortChoice,
    Requirement,
    Rule,
    Selector,
    Subject,
)
from ringfence.planes.network.kubernetes.terms import (
    read_network,
    read_port_name,
    read_protocol,
    read_selector,
)
from ringfence.planes.network.ranges import ALL_PORTS, PORT_MAX, PORT_MIN, Ranges


def read_network_policy(namespace: str, name: str, part: Part) -> Policy | None:
    """Read one NetworkPolicy; None where nobody can say which pods it selects."""
    spec = part.at("spec")
    spec.only(frozenset(("podSelector", "policyTypes", "ingress", "egress")))
    pods = read_selector(spec.at("podSelector"))
    if pods is None:
        return None
    types = {item.text() for item in spec.at("policyTypes").items()}
    if not types:
        types = {"Ingress", "Egress"} if spec.at("egress").items() else {"Ingress"}
    ingress = _rules(namespace, spec.at("ingress"), "from")
    egress = _rules(namespace, spec.at("egress"), "to")
    return Policy(
        kind="NetworkPolicy",
        namespace=namespace,
        name=name,
        tier="network",
        priority=0,
        subject=Subject(_named(namespace), pods, host_network=True),
        ingress=ingress if "Ingress" in types else None,
        egress=egress if "Egress" in types else None,
        where=part.where,
    )


def _rules(namespace: str, part: Part, side: str) -> tuple[Rule, ...]:
    return tuple(_rule(namespace, item, side, f"rule {n}") for n, item in enumerate(part.items(), start=1))


def _rule(namespace: str, part: Part, side: str, title: str) -> Rule:
    part.only(frozenset(("ports", side)))
    peers = tuple(_peer(namespace, item) for item in part.at(side).items())
    ports = tuple(_port(item) for item in part.at("ports").items())
    return Rule(
        name=title,
        action="allow",
        peers=tuple(peer for peer in peers if peer is not None) if peers else (AnyPeer(),),
        ports=tuple(port for port in ports if port is not None) if ports else None,
        where=part.where,
    )


def _peer(namespace: str, part: Part) -> Peer | None:
    part.only(frozenset(("podSelector", "namespaceSelector", "ipBlock")))
    if part.has("ipBlock"):
        if part.has("podSelector") or part.has("namespaceSelector"):
            part.wrong("bad-peer", "ipBlock stands beside a selector", "a peer is an ipBlock or selectors")
            return None
        return _address_block(part.at("ipBlock"))
    if not (part.has("podSelector") or part.has("namespaceSelector")):
        part.wrong("bad-peer", "the peer is empty", "a podSelector, a namespaceSelector or an ipBlock")
        return None
    pods = read_selector(part.at("podSelector"))
    chosen = read_selector(part.at("namespaceSelector"))
    if pods is None or chosen is None:
        return None
    namespaces = NamespaceChoice(chosen) if part.has("namespaceSelector") else _named(namespace)
    return PodPeer(namespaces, pods, host_network=True)


def _address_block(part: Part) -> Peer | None:
    part.only(frozenset(("cidr", "except")))
    block = read_network(part.at("cidr"))
    holes = [read_network(item) for item in part.at("except").items()]
    if block is None or None in holes:
        return None
    return AddressPeer(block - Addresses.union(hole for hole in holes if hole), reaches_pods=False)


def _port(part: Part) -> PortChoice | None:
    part.only(frozenset(("protocol", "port", "endPort")))
    protocol = read_protocol(part.at("protocol"))
    if protocol is None:
        return None
    port, end = part.at("port"), part.at("endPort")
    if end.value is not None and (port.value is None or isinstance(port.value, str)):
        end.wrong("bad-port", "endPort stands beside no port number", "a number in `port`, or no endPort")
        return None
    if isinstance(port.value, str):
        return PortChoice(protocol, Ranges(), read_port_name(port))
    if port.value is None:
        return PortChoice(protocol, ALL_PORTS)
    first = port.number(PORT_MIN, PORT_MAX)
    last = first if end.value is None else end.number(first or PORT_MIN, PORT_MAX)
    return None if first is None or last is None else PortChoice(protocol, Ranges(((first, last),)))


def _named(namespace: str) -> NamespaceChoice:
    return NamespaceChoice(Selector((Requirement(NAME_LABEL, "In", frozenset((namespace,))),)))
