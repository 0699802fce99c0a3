"""AdminNetworkPolicy, BaselineAdminNetworkPolicy, ClusterNetworkPolicy: rules in order, with actions.

A part that cannot be read never opens anything: in an allow rule it matches nothing, and a deny or pass rule
with such a part denies everything, as the network policy API asks of an implementation that meets a peer it
does not know.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.connections import Protocol
from ringfence.planes.network.kubernetes.manifest import Part
from ringfence.planes.network.kubernetes.model import (
    EVERYTHING,
    Action,
    AddressPeer,
    AnyPeer,
    DomainPeer,
    NodePeer,
    Peer,
    PodPeer,
    Policy,
    PortChoice,
    Rule,
    Subject,
    Tier,
)
from ringfence.planes.network.kubernetes.terms import (
    read_namespaces,
    read_network,
    read_port_name,
    read_protocol,
    read_selector,
    read_span,
)
from ringfence.planes.network.ranges import ALL_PORTS, Ranges

PRIORITY_MAX = 1000


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one kind writes its rules.

    actions: its words; ports_field: where a rule lists ports, each read by `read_port`; reaches_pods: a
    `networks` peer also means the pods that have such addresses.
    """

    kind: str
    actions: Mapping[str, Action]
    ports_field: str
    read_port: Callable[[Part], PortChoice | None]
    reaches_pods: bool


def read_admin_policy(_: str, name: str, part: Part) -> Policy | None:
    """Read an AdminNetworkPolicy (v1alpha1)."""
    return _policy(ADMIN, name, part, "admin", part.at("spec", "priority").number(0, PRIORITY_MAX))


def read_baseline_policy(_: str, name: str, part: Part) -> Policy | None:
    """Read the one BaselineAdminNetworkPolicy (v1alpha1), which comes after all that has a priority."""
    if name != "default":
        part.wrong("bad-name", f"its name was {name!r}", "there is one, named default")
        return None
    return _policy(BASELINE, name, part, "baseline", PRIORITY_MAX + 1)


def read_cluster_policy(_: str, name: str, part: Part) -> Policy | None:
    """Read a ClusterNetworkPolicy (v1alpha2) of either tier."""
    tiers: Mapping[str, Tier] = {"Admin": "admin", "Baseline": "baseline"}
    tier = part.at("spec", "tier")
    if tier.text() not in tiers:
        tier.wrong("bad-tier", f"tier was {tier.value!r}", "it must be Admin or Baseline")
        return None
    priority = part.at("spec", "priority").number(0, PRIORITY_MAX)
    return _policy(CLUSTER, name, part, tiers[tier.text()], priority)


def _policy(dialect: Dialect, name: str, part: Part, tier: Tier, priority: int | None) -> Policy | None:
    spec = part.at("spec")
    spec.only(frozenset(("tier", "priority", "subject", "ingress", "egress")))
    subject = _subject(spec.at("subject"))
    if priority is None:
        spec.wrong("bad-priority", f"{name} has no usable priority", f"one from 0 to {PRIORITY_MAX}")
    if subject is None or priority is None:
        return None
    ingress = _rules(dialect, spec.at("ingress"), "from")
    egress = _rules(dialect, spec.at("egress"), "to")
    return Policy(dialect.kind, "", name, tier, priority, subject, ingress, egress, part.where)


def _rules(dialect: Dialect, part: Part, side: str) -> tuple[Rule, ...]:
    return tuple(_rule(dialect, item, side, f"rule {n}") for n, item in enumerate(part.items(), start=1))


def _subject(part: Part) -> Subject | None:
    if len(part.mapping()) != 1:
        part.wrong("bad-subject", f"it has {len(part.mapping())} fields", "either namespaces or pods")
        return None
    peer = _pods(part)
    if peer is None:
        part.wrong("bad-subject", "the subject cannot be read", "namespaces, or pods with two selectors")
        return None
    return Subject(peer.namespaces, peer.pods, host_network=False)


def _rule(dialect: Dialect, part: Part, side: str, title: str) -> Rule:
    part.only(frozenset(("name", "action", dialect.ports_field, side)))
    action = dialect.actions.get(part.at("action").text())
    if action is None:
        found = f"action was {part.at('action').value!r}"
        part.at("action").wrong("bad-action", found, f"it must be one of {', '.join(dialect.actions)}")
    if not part.at(side).items():
        part.wrong("no-peers", f"the rule has no `{side}`", f"it must list at least one peer under `{side}`")
    peers = [_peer(dialect, item, side) for item in part.at(side).items()]
    ports = [dialect.read_port(item) for item in part.at(dialect.ports_field).items()]
    name = part.at("name").text() or title
    if action is None or (action != "allow" and (not peers or None in peers or None in ports)):
        return Rule(name, "deny", (AnyPeer(),), None, part.where)
    known_ports = tuple(port for port in ports if port is not None)
    known_peers = tuple(peer for peer in peers if peer is not None)
    return Rule(name, action, known_peers, known_ports if ports else None, part.where)


def _peer(dialect: Dialect, part: Part, side: str) -> Peer | None:
    fields = [key for key in part.mapping() if part.has(key)]
    if len(fields) != 1:
        part.wrong("bad-peer", f"it has {len(fields)} fields", "exactly one, such as namespaces or pods")
        return None
    if side == "from" and fields[0] not in ("namespaces", "pods"):
        part.wrong("bad-peer", f"`{fields[0]}` is no kind of source", "namespaces or pods")
        return None
    match fields[0]:
        case "namespaces" | "pods":
            return _pods(part)
        case "nodes":
            nodes = read_selector(part.at("nodes"))
            return None if nodes is None else NodePeer(nodes)
        case "networks":
            networks = [read_network(item) for item in part.at("networks").items()]
            known = [network for network in networks if network is not None]
            whole = AddressPeer(Addresses.union(known), dialect.reaches_pods)
            return whole if len(known) == len(networks) else None
        case "domainNames":
            names = tuple(item.text().removesuffix(".").lower() for item in part.at("domainNames").items())
            return DomainPeer(names)
        case other:
            part.wrong("bad-peer", f"`{other}` is no kind of peer", "namespaces, pods, nodes or networks")
            return None


def _pods(part: Part) -> PodPeer | None:
    if part.has("namespaces"):
        namespaces = read_namespaces(part.at("namespaces"))
        return None if namespaces is None else PodPeer(namespaces, EVERYTHING, host_network=False)
    inner = part.at("pods")
    # The first drafts wrote `namespaces` here, v1alpha1 and v1alpha2 write `namespaceSelector`.
    where = inner.at("namespaces") if inner.has("namespaces") else inner.at("namespaceSelector")
    chosen, selected = read_namespaces(where), read_selector(inner.at("podSelector"))
    if chosen is None or selected is None or not part.has("pods"):
        return None
    return PodPeer(chosen, selected, host_network=False)


def _numbered_port(part: Part) -> PortChoice | None:
    """Read a port of v1alpha1: `portNumber`, `portRange` or `namedPort`."""
    if len(part.mapping()) != 1:
        part.wrong("bad-port", f"it has {len(part.mapping())} fields", "portNumber, portRange or namedPort")
        return None
    if part.has("namedPort"):
        return PortChoice(None, Ranges(), read_port_name(part.at("namedPort")))
    if part.has("portNumber"):
        number = part.at("portNumber")
        return read_span(read_protocol(number.at("protocol")), number.at("port"), number.at("port"))
    bounds = part.at("portRange")
    return read_span(read_protocol(bounds.at("protocol")), bounds.at("start"), bounds.at("end"))


def _protocol_port(part: Part) -> PortChoice | None:
    """Read a protocol of v1alpha2: `tcp`, `udp` or `sctp` with a port, or `destinationNamedPort`."""
    fields = list(part.mapping())
    if fields == ["destinationNamedPort"]:
        return PortChoice(None, Ranges(), read_port_name(part.at("destinationNamedPort")))
    protocols: Mapping[str, Protocol] = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
    if len(fields) != 1 or fields[0] not in protocols:
        part.wrong("bad-port", f"its fields are {fields}", "tcp, udp, sctp or destinationNamedPort")
        return None
    protocol, port = protocols[fields[0]], part.at(fields[0], "destinationPort")
    if port.value is None:
        return PortChoice(protocol, ALL_PORTS)
    if port.has("range"):
        return read_span(protocol, port.at("range", "start"), port.at("range", "end"))
    return read_span(protocol, port.at("number"), port.at("number"))


ADMIN = Dialect(
    "AdminNetworkPolicy", {"Allow": "allow", "Deny": "deny", "Pass": "pass"}, "ports", _numbered_port, False
)
BASELINE = Dialect(
    "BaselineAdminNetworkPolicy", {"Allow": "allow", "Deny": "deny"}, "ports", _numbered_port, False
)
CLUSTER = Dialect(
    "ClusterNetworkPolicy",
    {"Accept": "allow", "Deny": "deny", "Pass": "pass"},
    "protocols",
    _protocol_port,
    True,
)
