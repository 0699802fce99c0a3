"""Documents to a `Cluster`: namespaces, nodes, pods of every kind of workload, and the policies.

Nothing here fails on a bad manifest: what cannot be read is a finding with its place, and the rest is read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.connections import Protocol
from ringfence.planes.network.kubernetes.manifest import Document, Part
from ringfence.planes.network.kubernetes.model import (
    NAME_LABEL,
    Cluster,
    Labels,
    NamedPort,
    Node,
    Pod,
    Policy,
)
from ringfence.planes.network.kubernetes.network_policy import read_network_policy
from ringfence.planes.network.kubernetes.ordered_policy import (
    read_admin_policy,
    read_baseline_policy,
    read_cluster_policy,
)
from ringfence.planes.network.kubernetes.terms import read_protocol
from ringfence.planes.network.ranges import PORT_MAX, PORT_MIN
from ringfence.policy.model import Finding

TEMPLATE_OF: Mapping[str, tuple[str, ...]] = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
"""Where each kind of workload keeps the template of its pods."""

OTHER_POWERS = frozenset(
    (
        "CiliumClusterwideNetworkPolicy",
        "CiliumNetworkPolicy",
        "ClusterUserDefinedNetwork",
        "Gateway",
        "GlobalNetworkPolicy",
        "HTTPRoute",
        "Ingress",
        "MultiNetworkPolicy",
        "NetworkAttachmentDefinition",
        "Route",
        "UserDefinedNetwork",
        "VirtualMachine",
    )
)
"""Kinds that open or close connections too and are not read: their presence is said, never hidden."""


@dataclass(frozen=True, slots=True)
class PolicyReader:
    """How one kind of policy is read: `read(namespace, name, part)` gives it, or None and findings."""

    versions: frozenset[str]
    is_namespaced: bool
    read: Callable[[str, str, Part], Policy | None]


_ALPHA_1 = frozenset(("policy.networking.k8s.io/v1alpha1",))
_ALPHA_2 = frozenset(("policy.networking.k8s.io/v1alpha2",))
_NETWORK = frozenset(("networking.k8s.io/v1", "extensions/v1beta1"))
POLICY_READERS: Mapping[str, PolicyReader] = {
    "NetworkPolicy": PolicyReader(_NETWORK, True, read_network_policy),
    "AdminNetworkPolicy": PolicyReader(_ALPHA_1, False, read_admin_policy),
    "BaselineAdminNetworkPolicy": PolicyReader(_ALPHA_1, False, read_baseline_policy),
    "ClusterNetworkPolicy": PolicyReader(_ALPHA_2, False, read_cluster_policy),
}
"""Every kind of policy that is read, and in which versions."""


def read_cluster(documents: Iterable[Document]) -> tuple[Cluster, tuple[Finding, ...]]:
    """Read everything that decides connections, with all findings at once.

    A namespace that no document declares is taken to exist with its name label only.
    """
    findings: list[Finding] = []
    namespaces: dict[str, Labels] = {}
    pods: dict[tuple[str, str, str], Pod] = {}
    nodes: dict[str, Node] = {}
    policies: dict[tuple[str, str, str], Policy] = {}
    for kind, part in _objects(documents, findings):
        if kind == "Namespace":
            name = _name(part)
            namespaces[name] = {**part.at("metadata", "labels").labels(), NAME_LABEL: name}
        elif kind == "Node":
            nodes[_name(part)] = _node(part)
        elif kind == "Pod" or kind in TEMPLATE_OF:
            pod = _pod(part) if kind == "Pod" else _template_pod(kind, part)
            pods[kind, pod.namespace, pod.name] = pod
        elif kind in POLICY_READERS:
            _add_policy(policies, kind, part)
        elif kind in OTHER_POWERS:
            part.note("kind-not-read", f"a {kind} is not read", "what it opens or closes is not shown")
    for pod in pods.values():
        namespaces.setdefault(pod.namespace, {NAME_LABEL: pod.namespace})
    _note_equal_priorities(policies.values(), findings)
    cluster = Cluster(namespaces, tuple(pods.values()), tuple(nodes.values()), tuple(policies.values()))
    return cluster, tuple(findings)


def _objects(documents: Iterable[Document], findings: list[Finding]) -> Iterator[tuple[str, Part]]:
    """Walk through all objects, those inside lists too, each with its kind."""
    for document in documents:
        part = Part.whole(document, findings)
        if part.value is not None:
            yield from _unfold(part, "", "")


def _unfold(part: Part, kind_of_list: str, version_of_list: str) -> Iterator[tuple[str, Part]]:
    kind = part.at("kind").text(kind_of_list)
    version = part.at("apiVersion").text(version_of_list)
    if kind.endswith("List") and part.has("items"):
        for item in part.at("items").items():
            yield from _unfold(item, kind.removesuffix("List"), "" if kind == "List" else version)
    elif not kind:
        part.note("no-kind", "a document without `kind`", "it is not a Kubernetes object and is ignored")
    elif kind in POLICY_READERS and not _is_known_version(kind, version):
        part.note("kind-not-read", f"a {kind} of {version} is not read", "what it decides is not shown")
    else:
        yield kind, part


def _is_known_version(kind: str, version: str) -> bool:
    return not version or version in POLICY_READERS[kind].versions


def _name(part: Part) -> str:
    name = part.at("metadata", "name")
    if name.value is None:
        part.wrong("no-name", "an object without `metadata.name`", "every object has a name")
    return name.text()


def _namespace(part: Part) -> str:
    return part.at("metadata", "namespace").text() or "default"


def _node(part: Part) -> Node:
    addresses = [
        _address(item.at("address"))
        for item in part.at("status", "addresses").items()
        if item.at("type").text() in ("InternalIP", "ExternalIP")
    ]
    return Node(_name(part), part.at("metadata", "labels").labels(), Addresses.union(addresses))


def _address(part: Part) -> Addresses:
    try:
        return Addresses.parse(part.text())
    except ValueError:
        part.wrong("no-address", f"{part.value!r:.60} is no address", "an IPv4 or IPv6 address")
        return Addresses()


def _pod(part: Part) -> Pod:
    namespace, name = _namespace(part), _name(part)
    kind, owner = "Pod", name
    for reference in part.at("metadata", "ownerReferences").items():
        # A mirror pod's controller is its Node, which is a place and not a workload.
        if reference.at("controller").value is True:
            if reference.at("kind").text() != "Node":
                kind, owner = reference.at("kind").text("Pod"), reference.at("name").text(name)
            break
    listed = [item.at("ip").text() for item in part.at("status", "podIPs").items()]
    single = part.at("status", "podIP").text()
    return Pod(
        workload=f"{namespace}/{owner}[{kind}]",
        namespace=namespace,
        name=name,
        labels=part.at("metadata", "labels").labels(),
        ports=_named_ports(part.at("spec")),
        addresses=tuple(address for address in listed or [single] if address),
        host_network=part.at("spec", "hostNetwork").value is True,
        where=part.where,
    )


def _template_pod(kind: str, part: Part) -> Pod:
    namespace, name = _namespace(part), _name(part)
    template = part.at(*TEMPLATE_OF[kind])
    return Pod(
        workload=f"{namespace}/{name}[{kind}]",
        namespace=namespace,
        name=name,
        labels=template.at("metadata", "labels").labels(),
        ports=_named_ports(template.at("spec")),
        host_network=template.at("spec", "hostNetwork").value is True,
        where=part.where,
    )


def _named_ports(spec: Part) -> tuple[NamedPort, ...]:
    """List the container ports that have a name; of two with one name and protocol the first counts."""
    starters = spec.at("initContainers").items()
    sidecars = [container for container in starters if container.at("restartPolicy").text() == "Always"]
    ports: dict[tuple[str, Protocol], NamedPort] = {}
    for container in (*spec.at("containers").items(), *sidecars):
        for part in container.at("ports").items():
            port = part.at("containerPort").number(PORT_MIN, PORT_MAX)
            name, protocol = part.at("name").text(), read_protocol(part.at("protocol"))
            if name and port and protocol:
                ports.setdefault((name, protocol), NamedPort(name, protocol, port))
    return tuple(ports.values())


def _add_policy(policies: dict[tuple[str, str, str], Policy], kind: str, part: Part) -> None:
    reader = POLICY_READERS[kind]
    namespace = _namespace(part) if reader.is_namespaced else ""
    key = (kind, namespace, _name(part))
    if key in policies:
        part.wrong("declared-twice", f"it stands at {policies[key].where} too", "one of the two")
        return
    policy = reader.read(namespace, key[2], part)
    if policy is not None:
        policies[key] = policy


def _note_equal_priorities(policies: Iterable[Policy], findings: list[Finding]) -> None:
    first: dict[tuple[str, int], Policy] = {}
    for policy in policies:
        if policy.tier == "network":
            continue
        earlier = first.setdefault((policy.tier, policy.priority), policy)
        if earlier is not policy:
            found = f"{policy.title} and {earlier.title} both have priority {policy.priority}"
            right = "a cluster may obey either where both speak; here the first by name is obeyed"
            findings.append(
                Finding(level="note", rule="equal-priority", where=policy.where, found=found, right=right)
            )
