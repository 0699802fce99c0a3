"""What Kubernetes policies permit between the services and externals of a policy, whoever wrote them.

The manifests are read and evaluated like those of any cluster. A service is the pods that carry its label;
where the manifests hold none, pods as the renderer expects them are taken to be there. An external is the
addresses of its site. Name service is not declared by the policy and is not asked about.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.connections import ALL_CONNECTIONS, NO_CONNECTIONS, Connections
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.kubernetes.model import NAME_LABEL, Cluster, Pod
from ringfence.planes.network.kubernetes.read import read_cluster
from ringfence.planes.network.kubernetes.stance import External, Stance
from ringfence.planes.network.observe import Observed, Pair, observed
from ringfence.planes.network.render_kubernetes import SERVICE_LABEL, namespace_of
from ringfence.planes.network.sites import Sites


def observe_kubernetes(documents: Iterable[Document], rules: Rules, sites: Sites) -> Observed:
    """Read manifests and say what they permit between the ends of `rules`."""
    cluster, findings = read_cluster(documents)
    whole = _with_services(cluster, rules)
    cuts = tuple(sites[external].addresses for external in rules.externals)
    connectivity = Connectivity(whole, ("v4", "v6"), cuts)
    ends = _Ends(connectivity, whole, rules, sites)
    found = [
        ((source, target), *_between(connectivity, ends.as_source(source), ends.as_target(target)))
        for source, target in _pairs(rules)
    ]
    return observed(found, findings)


def decided_by_cluster_policies(rules: Rules) -> tuple[Pair, ...]:
    """List the pairs that ClusterNetworkPolicies decide alone: all but those that come from outside."""
    return tuple(pair for pair in _pairs(rules) if pair[0] in rules.workloads)


def _pairs(rules: Rules) -> Iterator[Pair]:
    """List the ordered pairs of ends of which at least one is a service."""
    for source in rules.ends:
        for target in rules.ends:
            if source != target and (source in rules.workloads or target in rules.workloads):
                yield source, target


def _with_services(cluster: Cluster, rules: Rules) -> Cluster:
    """Add the pods of services that the manifests do not show."""
    shown = {pod.labels.get(SERVICE_LABEL) for pod in cluster.pods}
    namespaces = dict(cluster.namespaces)
    added: list[Pod] = []
    for name, workload in rules.workloads.items():
        namespace = namespace_of(workload.zone)
        namespaces.setdefault(namespace, {NAME_LABEL: namespace})
        if name not in shown:
            title = f"{namespace}/{name}[Service]"
            added.append(Pod(title, namespace, name, labels={SERVICE_LABEL: name}))
    return replace(cluster, namespaces=namespaces, pods=(*cluster.pods, *added))


class _Ends:
    """The stances of the pods of each service and of the address ranges of each external."""

    def __init__(self, connectivity: Connectivity, cluster: Cluster, rules: Rules, sites: Sites) -> None:
        self._connectivity = connectivity
        self._sites = sites
        self._services: dict[str, list[Stance]] = {name: [] for name in rules.workloads}
        for pod in cluster.pods:
            service = pod.labels.get(SERVICE_LABEL, "")
            if service in self._services:
                self._services[service].append(connectivity.stances.of_pod(pod))

    def as_source(self, end: str) -> tuple[Stance, ...]:
        return self._services_or(end, self._connectivity.sources)

    def as_target(self, end: str) -> tuple[Stance, ...]:
        return self._services_or(end, self._connectivity.targets)

    def _services_or(self, end: str, outside: Mapping[str, External]) -> tuple[Stance, ...]:
        if end in self._services:
            return tuple(dict.fromkeys(self._services[end]))
        own: Addresses = self._sites[end].addresses
        ranges = (external for external in outside.values() if external.family and external.lies_in(own))
        return tuple(dict.fromkeys(self._connectivity.stances.of_external(one) for one in ranges))


def _between(
    connectivity: Connectivity, sources: tuple[Stance, ...], targets: tuple[Stance, ...]
) -> tuple[Connections, Connections]:
    """Return what some, and what all, of the sources may open to the targets."""
    may, must = NO_CONNECTIONS, ALL_CONNECTIONS
    for one in sources:
        for other in targets:
            opened = connectivity.open("egress", one, other) & connectivity.open("ingress", one, other)
            may, must = may | opened, must & opened
    return may, must if may else NO_CONNECTIONS
