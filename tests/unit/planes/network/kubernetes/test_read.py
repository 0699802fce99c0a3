"""Manifests as people leave them: lists, owners, templates, and faults that are found and not crashed on."""

import pytest
from clusters import cluster_of, findings_of, lines_of
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.manifest import Document
from ringfence.planes.network.kubernetes.read import read_cluster

POLICY = "kind: NetworkPolicy\napiVersion: networking.k8s.io/v1\nmetadata: {name: p}\nspec:"
RULES = f"{POLICY}\n  podSelector: {{}}\n  ingress:\n"
CHOOSE = f"{POLICY} {{podSelector: {{matchExpressions: [{{key: a, operator: "
CLUSTER = "kind: ClusterNetworkPolicy\nmetadata: {name: p}\nspec: {subject: {namespaces: {}}, "


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Deployment", "{template: {metadata: {labels: {app: x}}, spec: {}}}"),
        ("StatefulSet", "{template: {metadata: {labels: {app: x}}}}"),
        ("DaemonSet", "{template: {metadata: {labels: {app: x}}}}"),
        ("ReplicaSet", "{template: {metadata: {labels: {app: x}}}}"),
        ("ReplicationController", "{template: {metadata: {labels: {app: x}}}}"),
        ("Job", "{template: {metadata: {labels: {app: x}}}}"),
        ("CronJob", "{jobTemplate: {spec: {template: {metadata: {labels: {app: x}}}}}}"),
    ],
)
def test_every_kind_of_workload_is_read_with_the_labels_of_its_pods(kind: str, spec: str) -> None:
    (pod,) = cluster_of(f"kind: {kind}\nmetadata: {{name: w, namespace: n}}\nspec: {spec}\n").pods

    assert (pod.workload, dict(pod.labels)) == (f"n/w[{kind}]", {"app": "x"})


@pytest.mark.parametrize(
    ("owners", "workload"),
    [
        ("[]", "n/w[Pod]"),
        ("[{kind: ReplicaSet, name: rs, controller: true}]", "n/rs[ReplicaSet]"),
        ("[{kind: ReplicaSet, name: rs}]", "n/w[Pod]"),
        ("[{kind: X, name: x}, {kind: ReplicaSet, name: rs, controller: true}]", "n/rs[ReplicaSet]"),
        ("[{kind: Node, name: host, controller: true}]", "n/w[Pod]"),  # a mirror pod
        ("[{name: bare, controller: true}]", "n/bare[Pod]"),
    ],
)
def test_pods_are_shown_by_the_workload_that_controls_them(owners: str, workload: str) -> None:
    text = f"kind: Pod\nmetadata: {{name: w, namespace: n, ownerReferences: {owners}}}\n"

    assert [pod.workload for pod in cluster_of(text).pods] == [workload]


def test_pods_of_one_owner_are_one_workload_and_what_any_of_them_can_do_counts() -> None:
    owner = "ownerReferences: [{kind: ReplicaSet, name: rs, controller: true}]"
    pods = "".join(
        f"---\nkind: Pod\nmetadata: {{name: p{n}, labels: {{n: '{n}'}}, {owner}}}\n" for n in range(3)
    )
    other = "---\nkind: Pod\nmetadata: {name: other}\n"
    closed = f"---\n{POLICY} {{podSelector: {{matchLabels: {{n: '2'}}}}}}\n"

    assert "default/other[Pod] => default/rs[ReplicaSet] : All Connections" in lines_of(pods, other, closed)


@pytest.mark.parametrize(
    "text",
    [
        "kind: List\nitems: [{kind: Pod, metadata: {name: a}}, {kind: Pod, metadata: {name: b}}]",
        "kind: PodList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]",
        "kind: List\nitems:\n- {kind: PodList, items: [{metadata: {name: a}}]}\n"
        "- {kind: Pod, metadata: {name: b}}",
    ],
)
def test_lists_of_every_shape_are_unfolded(text: str) -> None:
    assert {pod.name for pod in cluster_of(text).pods} == {"a", "b"}


def test_a_namespace_carries_its_name_as_a_label_whether_declared_or_not() -> None:
    cluster = cluster_of(
        "kind: Namespace\nmetadata: {name: a, labels: {x: y}}\n"
        "---\nkind: Pod\nmetadata: {name: p, namespace: b}\n"
    )

    assert dict(cluster.namespaces["a"]) == {"x": "y", "kubernetes.io/metadata.name": "a"}
    assert dict(cluster.namespaces["b"]) == {"kubernetes.io/metadata.name": "b"}


def test_the_ports_of_a_sidecar_count_and_those_of_a_starter_do_not() -> None:
    (pod,) = cluster_of(
        """
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: side, restartPolicy: Always, ports: [{name: mesh, containerPort: 1}]}
  - {name: start, ports: [{name: never, containerPort: 2}]}
  containers: [{name: c, ports: [{name: mesh, containerPort: 3}, {containerPort: 4}]}]
"""
    ).pods

    assert [(port.name, port.port) for port in pod.ports] == [("mesh", 3)]


@pytest.mark.parametrize(
    ("text", "level", "rule", "line"),
    [
        (f"{POLICY}\n  podSelector: 7\n", "error", "wrong-shape", 5),
        (f"{POLICY}\n  podSelector: {{}}\n  ingress: {{}}\n", "error", "wrong-shape", 6),
        (f"{RULES}  - from:\n    - {{}}\n", "error", "bad-peer", 8),
        (f"{RULES}  - ports:\n    - port: 0\n", "error", "wrong-shape", 8),
        (f"{RULES}  - ports:\n    - port: '80'\n", "error", "bad-port", 8),
        (f"{RULES}  - ports:\n    - {{port: 5, endPort: 4}}\n", "error", "wrong-shape", 8),
        (f"{RULES}  - ports:\n    - protocol: tcp\n", "error", "unknown-protocol", 8),
        (f"{RULES}  - from:\n    - ipBlock: {{cidr: 1.0.0.0/99}}\n", "error", "bad-network", 8),
        (f"{POLICY}\n  podSelector: {{}}\n  ingres: []\n", "note", "unknown-field", 6),
        (f"{CHOOSE}Near}}]}}}}\n", "error", "bad-selector", 4),
        (f"{CHOOSE}In}}]}}}}\n", "error", "bad-selector", 4),
        ("kind: NetworkPolicy\nspec: {podSelector: {}}\n", "error", "no-name", 1),
        (f"{POLICY} {{}}\n---\n{POLICY} {{}}\n", "error", "declared-twice", 6),
        (f"{CLUSTER}tier: Middle, priority: 1}}\n", "error", "bad-tier", 3),
        (f"{CLUSTER}tier: Admin, priority: 1001}}\n", "error", "bad-priority", 3),
        (CLUSTER.replace("{}", "") + "tier: Admin, priority: 1}\n", "error", "bad-subject", 3),
        (f"{CLUSTER}tier: Admin, priority: 1, ingress: [{{action: Deny}}]}}\n", "error", "no-peers", 3),
        ("kind: NetworkPolicy\napiVersion: calico/v3\nmetadata: {name: p}\n", "note", "kind-not-read", 1),
        ("kind: Ingress\nmetadata: {name: p}\n", "note", "kind-not-read", 1),
        ("hello: world\n", "note", "no-kind", 1),
    ],
)  # fmt: skip
def test_a_fault_is_found_with_its_line(text: str, level: str, rule: str, line: int) -> None:
    assert (level, rule, f"m.yaml:{line}") in findings_of(text)


def test_equal_priorities_are_said() -> None:
    spec = "{tier: Admin, priority: 1, subject: {namespaces: {}}}"
    text = f"kind: ClusterNetworkPolicy\nmetadata: {{name: a}}\nspec: {spec}\n---\n"
    text += f"kind: ClusterNetworkPolicy\nmetadata: {{name: b}}\nspec: {spec}\n"

    assert [rule for _, rule, _ in findings_of(text)] == ["equal-priority"]


KEYS = st.sampled_from(
    (
        *("kind", "apiVersion", "metadata", "name", "namespace", "labels", "spec", "template", "items"),
        *("podSelector", "matchLabels", "matchExpressions", "key", "operator", "values", "namespaceSelector"),
        *(
            "ingress",
            "egress",
            "from",
            "to",
            "ports",
            "port",
            "endPort",
            "protocol",
            "ipBlock",
            "cidr",
            "except",
        ),
        *(
            "policyTypes",
            "subject",
            "namespaces",
            "pods",
            "tier",
            "priority",
            "action",
            "status",
            "podIPs",
            "ip",
        ),
        *("containers", "containerPort", "networks", "nodes", "domainNames", "portNumber", "portRange"),
        *("namedPort", "start", "end", "protocols", "tcp", "destinationPort", "range"),
    )
)
WORDS = st.sampled_from(
    (
        *("Pod", "Deployment", "List", "PodList", "Node", "Namespace", "NetworkPolicy", "AdminNetworkPolicy"),
        *("BaselineAdminNetworkPolicy", "ClusterNetworkPolicy", "Admin", "Baseline", "Allow", "Deny", "Pass"),
        *("Accept", "In", "Exists", "TCP", "UDP", "Ingress", "10.0.0.0/8", "a", "default"),
    )
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70_000) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=6) | VALUES, max_size=4))
def test_no_document_of_any_shape_stops_the_reading(values: list[object]) -> None:
    documents = [Document("m.yaml", index, value) for index, value in enumerate(values)]
    cluster, findings = read_cluster(documents)

    list(Connectivity(cluster).links())
    assert all(finding.where.startswith("m.yaml#") for finding in findings)
