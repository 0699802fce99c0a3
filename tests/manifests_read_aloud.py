"""What Kubernetes manifests mean, asked one packet at a time of the plain documents.

Written from the text of the specifications (NetworkPolicy v1, the network policy API v1alpha1 and v1alpha2),
without a line of the evaluator's: no masks, no ranges, no model. Slow, and short enough to be read beside
them.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

Json = dict[str, Any]

TEMPLATES = {
    "Pod": (),
    "Deployment": ("template",),
    "StatefulSet": ("template",),
    "DaemonSet": ("template",),
    "ReplicaSet": ("template",),
    "Job": ("template",),
    "CronJob": ("jobTemplate", "spec", "template"),
}


@dataclass(frozen=True)
class Workload:
    """The pods of one object."""

    title: str
    namespace: str
    labels: Any
    spec: Any
    address: str


class Manifests:
    """The objects of some documents, lists unfolded."""

    def __init__(self, documents: list[Json]) -> None:
        self.objects = [one for document in documents for one in unfolded(document, "")]
        self.workloads = [workload_of(one) for one in self.objects if one["kind"] in TEMPLATES]
        declared = {
            one["metadata"]["name"]: stored(one["metadata"].get("labels"))
            for one in self.objects
            if one["kind"] == "Namespace"
        }
        names = {one.namespace for one in self.workloads} | declared.keys()
        self.namespaces = {
            name: {**declared.get(name, {}), "kubernetes.io/metadata.name": name} for name in names
        }

    def may_pass(self, source: Workload | str, target: Workload | str, protocol: str, port: int) -> bool:
        """Say whether a packet passes: both sides must let it, and who lies outside has no side."""
        packet = (target, protocol, port)
        return all(
            not isinstance(own, Workload) or self.lets(own, other, way, packet)
            for own, other, way in ((source, target, "egress"), (target, source, "ingress"))
        )

    def lets(self, own: Workload, other: Workload | str, way: str, packet: tuple[Any, str, int]) -> bool:
        passed = False
        for policy in self.ordered("admin"):
            action = None if passed else self.first_action(policy, own, other, way, packet)
            if action == "Pass":
                passed = True
            elif action:
                return action in ("Allow", "Accept")
        isolating = [
            one
            for one in self.objects
            if one["kind"] == "NetworkPolicy"
            and self.namespace_of(one) == own.namespace
            and matches(one["spec"].get("podSelector"), own.labels)
            and way in directions(one["spec"])
        ]
        if isolating:
            return any(self.opens(one, other, way, packet) for one in isolating)
        for policy in self.ordered("baseline"):
            action = self.first_action(policy, own, other, way, packet)
            if action == "Pass":
                return True
            if action:
                return action in ("Allow", "Accept")
        return True

    # --- NetworkPolicy ---------------------------------------------------------------------------

    def namespace_of(self, policy: Json) -> str:
        return policy["metadata"].get("namespace") or "default"

    def opens(self, policy: Json, other: Workload | str, way: str, packet: tuple[Any, str, int]) -> bool:
        side = "from" if way == "ingress" else "to"
        return any(
            (not rule.get(side) or any(self.np_peer(policy, peer, other) for peer in rule[side]))
            and (not rule.get("ports") or any(np_port(port, *packet) for port in rule["ports"]))
            for rule in policy["spec"].get(way) or ()
        )

    def np_peer(self, policy: Json, peer: Json, other: Workload | str) -> bool:
        block = peer.get("ipBlock")
        if block is not None:
            # A block is meant for what lies outside the cluster.
            return (
                isinstance(other, str)
                and within(other, block["cidr"])
                and not any(within(other, hole) for hole in block.get("except") or ())
            )
        if not isinstance(other, Workload) or not matches(peer.get("podSelector"), other.labels):
            return False
        if peer.get("namespaceSelector") is None:
            return other.namespace == self.namespace_of(policy)
        return matches(peer["namespaceSelector"], self.namespaces[other.namespace])

    # --- policies in order -----------------------------------------------------------------------

    def ordered(self, tier: str) -> list[Json]:
        kinds = {"AdminNetworkPolicy": "admin", "BaselineAdminNetworkPolicy": "baseline"}
        chosen = [
            one
            for one in self.objects
            if kinds.get(one["kind"]) == tier
            or (one["kind"] == "ClusterNetworkPolicy" and one["spec"]["tier"].lower() == tier)
        ]
        return sorted(chosen, key=lambda one: one["spec"].get("priority", 1001))

    def first_action(
        self, policy: Json, own: Workload, other: Workload | str, way: str, packet: tuple[Any, str, int]
    ) -> str | None:
        if not self.pods(policy["spec"]["subject"], own):
            return None
        is_new = policy["kind"] == "ClusterNetworkPolicy"
        for rule in policy["spec"].get(way) or ():
            ports = rule.get("protocols" if is_new else "ports")
            speaks = not ports or any((cnp_port if is_new else anp_port)(port, *packet) for port in ports)
            peers = rule["from" if way == "ingress" else "to"]
            if speaks and any(self.peer(peer, other, reaches_pods=is_new) for peer in peers):
                return str(rule["action"])
        return None

    def peer(self, peer: Json, other: Workload | str, *, reaches_pods: bool) -> bool:
        if "networks" in peer:
            if isinstance(other, str):
                return any(within(other, network) for network in peer["networks"])
            if not reaches_pods:
                return False
            if not other.address:
                return bool({"0.0.0.0/0", "::/0"} & set(peer["networks"]))
            return any(within(other.address, network) for network in peer["networks"])
        return isinstance(other, Workload) and self.pods(peer, other)

    def pods(self, choice: Json, workload: Workload) -> bool:
        if workload.spec.get("hostNetwork"):
            return False
        labels = self.namespaces[workload.namespace]
        if "namespaces" in choice:
            return matches(choice["namespaces"], labels)
        inner = choice["pods"]
        return matches(inner.get("namespaceSelector"), labels) and matches(
            inner.get("podSelector"), workload.labels
        )


def unfolded(document: Json, version: str) -> list[Json]:
    """Unfold a list; of its items some carry no kind of their own."""
    kind = document["kind"]
    if kind.endswith("List"):
        return [
            inner
            for item in document["items"]
            for inner in unfolded({"kind": kind.removesuffix("List"), **item}, version)
        ]
    return [document]


def workload_of(found: Json) -> Workload:
    namespace, kind = found["metadata"].get("namespace") or "default", found["kind"]
    holder = found
    if TEMPLATES[kind]:
        holder = found["spec"]
        for key in TEMPLATES[kind]:
            holder = holder[key]
    return Workload(
        f"{namespace}/{found['metadata']['name']}[{kind}]",
        namespace,
        stored(holder.get("metadata", {}).get("labels")),
        holder.get("spec") or {},
        found.get("status", {}).get("podIP", ""),
    )


def stored(labels: Json | None) -> dict[str, str]:
    """Return labels as the cluster keeps them: null is the empty text."""
    return {key: value or "" for key, value in (labels or {}).items()}


def matches(selector: Json | None, labels: dict[str, str]) -> bool:
    """Say whether labels meet a selector; one that is absent or empty is met by all."""
    selector = selector or {}
    for key, value in (selector.get("matchLabels") or {}).items():
        if labels.get(key) != (value or ""):
            return False
    for one in selector.get("matchExpressions") or ():
        has, value = one["key"] in labels, labels.get(one["key"])
        met = {
            "In": has and value in one.get("values", ()),
            "NotIn": not has or value not in one.get("values", ()),
            "Exists": has,
            "DoesNotExist": not has,
        }[one["operator"]]
        if not met:
            return False
    return True


def directions(spec: Json) -> set[str]:
    """Return the directions a NetworkPolicy closes; ingress always where none is said, egress with rules."""
    if spec.get("policyTypes"):
        return {one.lower() for one in spec["policyTypes"]}
    return {"ingress", "egress"} if spec.get("egress") else {"ingress"}


def within(address: str, network: str) -> bool:
    one, other = ip_address(address), ip_network(network, strict=False)
    return one.version == other.version and one in other


def named(target: Workload | str, name: str, protocol: str | None, asked: str, port: int) -> bool:
    """Say whether a name, of a protocol if one is said, stands for this port of the target's containers."""
    if not isinstance(target, Workload):
        return False
    chosen: dict[str, int] = {}
    for container in target.spec.get("containers") or ():
        for one in container.get("ports") or ():
            if one.get("name") == name:
                chosen.setdefault(one.get("protocol") or "TCP", one["containerPort"])
    return protocol in (None, asked) and chosen.get(asked) == port


def np_port(choice: Json, target: Workload | str, protocol: str, port: int) -> bool:
    if (choice.get("protocol") or "TCP") != protocol:
        return False
    wanted = choice.get("port")
    if wanted is None:
        return True
    if isinstance(wanted, str):
        return named(target, wanted, protocol, protocol, port)
    return bool(wanted <= port <= choice.get("endPort", wanted))


def anp_port(choice: Json, target: Workload | str, protocol: str, port: int) -> bool:
    if "namedPort" in choice:
        return named(target, choice["namedPort"], None, protocol, port)
    body = choice.get("portNumber") or choice["portRange"]
    first, last = body.get("port", body.get("start")), body.get("port", body.get("end"))
    return (body.get("protocol") or "TCP") == protocol and first <= port <= last


def cnp_port(choice: Json, target: Workload | str, protocol: str, port: int) -> bool:
    if "destinationNamedPort" in choice:
        return named(target, choice["destinationNamedPort"], None, protocol, port)
    ((said, body),) = choice.items()
    if said != protocol.lower():
        return False
    wanted = (body or {}).get("destinationPort")
    if wanted is None:
        return True
    span = wanted.get("range") or {"start": wanted["number"], "end": wanted["number"]}
    return bool(span["start"] <= port <= span["end"])
