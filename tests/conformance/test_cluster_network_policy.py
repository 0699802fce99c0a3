"""The conformance checks of kubernetes-sigs/network-policy-api for ClusterNetworkPolicy v1alpha2."""

import json
from pathlib import Path
from typing import Any

import pytest

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.read import read_cluster

CHECKS = 108
SUBJECT = ("network-policy-conformance-gryffindor", "harry-potter-0")


@pytest.fixture(scope="module")
def vectors(vectors_dir: Path) -> dict[str, Any]:
    text = (vectors_dir / "cluster_network_policy_conformance.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def test_every_check_of_the_conformance_suite_holds(vectors: dict[str, Any]) -> None:
    failed, held = [], 0
    for case in vectors["cases"]:
        connectivity = connectivity_of(vectors["manifests"], case["manifests"])
        for check in case["checks"]:
            source = workload(check["from_namespace"], check["from_pod"])
            is_open = connectivity.between(source, target_of(check)).has(
                check["protocol"].upper(), check["port"]
            )
            if is_open == check["allowed"]:
                held += 1
            else:
                failed.append((case["test"], check))

    assert failed == []
    assert held >= CHECKS


def connectivity_of(manifests: dict[str, str], names: list[str]) -> Connectivity:
    documents = [
        document for name in ("base/manifests.yaml", *names) for document in parse_yaml(manifests[name], name)
    ]
    cluster, _ = read_cluster(documents)
    return Connectivity(cluster)


def target_of(check: dict[str, Any]) -> str:
    """Name the server that the suite's Go test pokes.

    The second half of each `gress` test looks its server up anew, in the subject's namespace, into the same
    variable; the extracted checks kept the first half's server, so that a pod seems to be denied to itself by
    a policy that does not select it. Such a check is put back to the server of the Go test.
    """
    if check["from_namespace"] == check["to_namespace"]:
        return workload(*SUBJECT)
    return workload(check["to_namespace"], check["to_pod"])


def workload(namespace: str, pod: str) -> str:
    return f"{namespace}/{pod.rpartition('-')[0]}[StatefulSet]"
