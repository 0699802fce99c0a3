"""Clusters written as YAML inside a test."""

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.model import Cluster
from ringfence.planes.network.kubernetes.read import read_cluster

TWO_PODS = """
kind: Pod
apiVersion: v1
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  containers:
  - {name: c, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}
---
kind: Pod
apiVersion: v1
metadata: {name: db, namespace: vault, labels: {app: db}}
spec: {containers: [{name: c, ports: [{name: sql, containerPort: 5432}]}]}
"""


def cluster_of(*texts: str) -> Cluster:
    """Read a cluster that is written without a fault."""
    cluster, findings = read_cluster(
        document for index, text in enumerate(texts) for document in parse_yaml(text, f"{index}.yaml")
    )
    assert [str(finding) for finding in findings if finding.level == "error"] == []
    return cluster


def connectivity_of(*texts: str) -> Connectivity:
    """Read a cluster and answer questions about it."""
    return Connectivity(cluster_of(*texts))


def lines_of(*texts: str) -> list[str]:
    """List the lines of a cluster."""
    return [str(link) for link in connectivity_of(*texts).links()]


def findings_of(text: str) -> list[tuple[str, str, str]]:
    """List level, rule and place of every finding of a text."""
    _, findings = read_cluster(parse_yaml(text, "m.yaml"))
    return [(finding.level, finding.rule, finding.where) for finding in findings]
