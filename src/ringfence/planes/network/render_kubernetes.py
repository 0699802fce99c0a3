"""The rules as Kubernetes objects: NetworkPolicy v1, and ClusterNetworkPolicy v1alpha2 around it.

Every zone is a namespace, every service the pods that carry the label `ringfence/service` with its name.
NetworkPolicies close every zone in both directions and open each flow on both sides. ClusterNetworkPolicies
stand for the owner of the platform against the owners of its namespaces: the Admin tier denies what no flow
permits, whatever NetworkPolicies say, and passes the rest on; the Baseline tier accepts the flows and denies
everything else where no NetworkPolicy speaks.

An ingress rule of a ClusterNetworkPolicy cannot name addresses: what comes from outside is left to
NetworkPolicy, so load both.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.kubernetes.model import NAME_LABEL
from ringfence.planes.network.sites import Sites, blocks_of, networks_of

SERVICE_LABEL = "ringfence/service"
"""The label by which the pods of a service are known."""

FLOWS_NOTE = "ringfence/flows"
"""The annotation that lists the flows an object stands for, with their policy lines."""

DNS_NAMESPACE = "kube-system"
DNS_LABELS = {"k8s-app": "kube-dns"}
DNS_PORT = 53

PRIORITY_FIRST = 100
PRIORITY_MAX = 1000
PART_MAX = 25
"""The API lets a ClusterNetworkPolicy have this many rules, a rule this many peers, ports and networks."""

Json = dict[str, Any]
Side = Literal["from", "to"]
Peers = Sequence[Json]


def namespace_of(zone: str) -> str:
    """Name the namespace of a zone; Kubernetes names have no underscore."""
    return zone.replace("_", "-").lower()


def render_network_policies(rules: Rules, sites: Sites, *, with_dns: bool = True) -> tuple[Json, ...]:
    """Write the NetworkPolicies of all zones, in order of zone and name.

    with_dns: let every pod ask the cluster's name server, which the policy does not declare.
    """
    _require_distinct(rules)
    documents: list[Json] = []
    for zone in rules.zones:
        documents.append(_network_policy(zone, "rf-closed", {}, ["Ingress", "Egress"]))
        if with_dns:
            opening = [{"to": [_dns_peer()], "ports": _ports(_dns_flows())}]
            documents.append(_network_policy(zone, "rf-dns", {}, ["Egress"], egress=opening))
        for service in rules.of_zone(zone):
            documents.extend(_service_policies(rules, sites, zone, service))
    return tuple(documents)


def render_cluster_policies(rules: Rules, sites: Sites, *, with_dns: bool = True) -> tuple[Json, ...]:
    """Write the ClusterNetworkPolicies of all services, the Admin tier first.

    UsageError where a platform is so large that priorities, or the places for rules, do not suffice.
    """
    _require_distinct(rules)
    documents = [*_tier(rules, sites, "Admin", with_dns), *_tier(rules, sites, "Baseline", with_dns)]
    return tuple(documents)


# --- NetworkPolicy -----------------------------------------------------------------------------


def _service_policies(rules: Rules, sites: Sites, zone: str, service: str) -> Iterator[Json]:
    chosen = {SERVICE_LABEL: service}
    into, out_of = list(rules.into(service)), list(rules.out_of(service))
    if into:
        opening = [
            {"from": peers, "ports": _ports(flows)}
            for peers, flows in _by_peer(rules, sites, into, "from", _open_peers)
        ]
        name = f"rf-into-{_object_name(service)}"
        yield _network_policy(zone, name, chosen, ["Ingress"], ingress=opening, note=_note(rules, into))
    if out_of:
        opening = [
            {"to": peers, "ports": _ports(flows)}
            for peers, flows in _by_peer(rules, sites, out_of, "to", _open_peers)
        ]
        name = f"rf-out-of-{_object_name(service)}"
        yield _network_policy(zone, name, chosen, ["Egress"], egress=opening, note=_note(rules, out_of))


def _network_policy(
    zone: str, name: str, labels: Json, types: list[str], note: str = "", **directions: list[Json]
) -> Json:
    metadata: Json = {"name": name, "namespace": namespace_of(zone)}
    if note:
        metadata["annotations"] = {FLOWS_NOTE: note}
    selector: Json = {"matchLabels": labels} if labels else {}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": selector, "policyTypes": types, **directions},
    }


def _open_peers(rules: Rules, sites: Sites, end: str) -> Peers:
    """Write an end as NetworkPolicy names it: pods by two selectors, or the networks of an external."""
    if end in rules.workloads:
        namespace = namespace_of(rules.workloads[end].zone)
        return [
            {
                "namespaceSelector": {"matchLabels": {NAME_LABEL: namespace}},
                "podSelector": {"matchLabels": {SERVICE_LABEL: end}},
            }
        ]
    return [
        {"ipBlock": {"cidr": cidr} | ({"except": list(holes)} if holes else {})}
        for cidr, holes in blocks_of(sites[end].addresses)
    ]


def _dns_peer() -> Json:
    return {
        "namespaceSelector": {"matchLabels": {NAME_LABEL: DNS_NAMESPACE}},
        "podSelector": {"matchLabels": DNS_LABELS},
    }


def _ports(flows: Iterable[Flow]) -> list[Json]:
    return [{"protocol": flow.protocol.upper(), "port": flow.port} for flow in flows]


# --- ClusterNetworkPolicy ----------------------------------------------------------------------


def _tier(rules: Rules, sites: Sites, tier: Literal["Admin", "Baseline"], with_dns: bool) -> Iterator[Json]:
    action = "Pass" if tier == "Admin" else "Accept"
    name = "rf-never" if tier == "Admin" else "rf-closed"
    priority = PRIORITY_FIRST
    for service in rules.workloads:
        ingress = list(_ordered_rules(rules, sites, service, "from", action))
        egress = list(_ordered_rules(rules, sites, service, "to", action))
        if with_dns:
            egress.append(_rule("dns", action, "to", [_pods(DNS_NAMESPACE, DNS_LABELS)], _dns_flows()))
        ingress.append(_rule("the rest", "Deny", "from", [{"namespaces": {}}], []))
        everywhere: list[Json] = [{"namespaces": {}}, {"networks": ["0.0.0.0/0", "::/0"]}]
        egress.append(_rule("the rest", "Deny", "to", everywhere, []))
        note = _note(rules, [*rules.into(service), *rules.out_of(service)])
        for number, (some_in, some_out) in enumerate(_parts(ingress, egress)):
            if priority > PRIORITY_MAX:
                raise UsageError(f"more than {PRIORITY_MAX} ClusterNetworkPolicies would be needed")
            suffix = f"-{number + 1}" if number else ""
            spec: Json = {"tier": tier, "priority": priority, "subject": _subject(rules, service)}
            spec |= ({"ingress": some_in} if some_in else {}) | ({"egress": some_out} if some_out else {})
            yield {
                "apiVersion": "policy.networking.k8s.io/v1alpha2",
                "kind": "ClusterNetworkPolicy",
                "metadata": {
                    "name": f"{name}-{_object_name(service)}{suffix}",
                    "annotations": {FLOWS_NOTE: note},
                },
                "spec": spec,
            }
            priority += 1


def _parts(ingress: list[Json], egress: list[Json]) -> Iterator[tuple[list[Json], list[Json]]]:
    """Divide rules, in order, among as many policies as the API's limit asks for."""
    for first in range(0, max(len(ingress), len(egress)), PART_MAX):
        yield ingress[first : first + PART_MAX], egress[first : first + PART_MAX]


def _subject(rules: Rules, service: str) -> Json:
    return _pods(namespace_of(rules.workloads[service].zone), {SERVICE_LABEL: service})


def _pods(namespace: str, labels: Json) -> Json:
    return {
        "pods": {
            "namespaceSelector": {"matchLabels": {NAME_LABEL: namespace}},
            "podSelector": {"matchLabels": labels},
        }
    }


def _ordered_rules(rules: Rules, sites: Sites, service: str, side: Side, action: str) -> Iterator[Json]:
    flows = rules.into(service) if side == "from" else rules.out_of(service)
    for peers, some in _by_peer(rules, sites, flows, side, _ordered_peers):
        if not peers or (side == "from" and "networks" in peers[0]):
            continue
        name = some[0].source if side == "from" else some[0].target
        for first in range(0, len(some), PART_MAX):
            for start in range(0, len(peers), PART_MAX):
                yield _rule(
                    name, action, side, peers[start : start + PART_MAX], some[first : first + PART_MAX]
                )


def _rule(name: str, action: str, side: Side, peers: Peers, flows: Sequence[Flow]) -> Json:
    protocols = [{flow.protocol: {"destinationPort": {"number": flow.port}}} for flow in flows]
    content: Json = {"protocols": protocols} if protocols else {}
    return {"name": name[:100], "action": action, side: list(peers), **content}


def _ordered_peers(rules: Rules, sites: Sites, end: str) -> Peers:
    """Write an end as the newer kinds name it: pods, or the networks of an external, as many as may be."""
    if end in rules.workloads:
        return [_pods(namespace_of(rules.workloads[end].zone), {SERVICE_LABEL: end})]
    texts = networks_of(sites[end].addresses)
    return [{"networks": list(texts[first : first + PART_MAX])} for first in range(0, len(texts), PART_MAX)]


# --- shared ------------------------------------------------------------------------------------


def _by_peer(
    rules: Rules, sites: Sites, flows: Iterable[Flow], side: Side, peers_of: Any
) -> Iterator[tuple[Peers, list[Flow]]]:
    """Gather flows by the end on their other side, with that end as its kind of policy writes it."""
    gathered: dict[str, list[Flow]] = {}
    for flow in flows:
        gathered.setdefault(flow.source if side == "from" else flow.target, []).append(flow)
    for end, some in gathered.items():
        yield peers_of(rules, sites, end), some


def _dns_flows() -> list[Flow]:
    return [Flow("", "", "udp", DNS_PORT), Flow("", "", "tcp", DNS_PORT)]


def _note(rules: Rules, flows: Iterable[Flow]) -> str:
    return "; ".join(f"{flow} ({rules.flows[flow].rule})" for flow in flows)


def _object_name(name: str) -> str:
    return name.replace("_", "-").lower()


def _require_distinct(rules: Rules) -> None:
    """Refuse names that Kubernetes cannot keep apart."""
    for kind, names in (("zones", rules.zones), ("services", tuple(rules.workloads))):
        written: dict[str, str] = {}
        for name in names:
            earlier = written.setdefault(_object_name(name), name)
            if earlier != name:
                raise UsageError(f"the {kind} {earlier} and {name} have one name in Kubernetes; rename one")
