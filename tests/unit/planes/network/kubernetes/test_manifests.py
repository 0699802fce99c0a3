"""Manifests as people write them: the reader and the evaluator against the specification read aloud."""

import json
from ipaddress import ip_address

import pytest
from drawn_manifests import OUTSIDE, PORTS, PROTOCOLS, drawn_manifests
from hypothesis import given, settings
from hypothesis import strategies as st
from manifests_read_aloud import Manifests, Workload

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.read import read_cluster
from ringfence.planes.network.kubernetes.stance import External

NIGHTLY = 20_000


@given(st.integers(0, 2**32))
@settings(max_examples=60)
def test_drawn_manifests_mean_what_the_specification_read_aloud_says(seed: int) -> None:
    agree(seed)


@pytest.mark.nightly
def test_many_drawn_manifests_mean_what_the_specification_read_aloud_says() -> None:
    for seed in range(NIGHTLY):
        agree(seed)


def agree(seed: int) -> None:
    documents = drawn_manifests(seed)
    text = "\n---\n".join(json.dumps(document) for document in documents)
    cluster, findings = read_cluster(parse_yaml(text, "drawn.yaml"))
    assert [str(one) for one in findings if one.level == "error"] == [], seed
    found, manifests = Connectivity(cluster, ("v4", "v6")), Manifests(documents)
    for source in (*manifests.workloads, *OUTSIDE):
        for target in (*manifests.workloads, *OUTSIDE):
            if source != target and (isinstance(source, Workload) or isinstance(target, Workload)):
                opened = found.between(titled(source, found.sources), titled(target, found.targets))
                for protocol in PROTOCOLS:
                    for port in PORTS:
                        expected = manifests.may_pass(source, target, protocol, port)
                        assert opened.has(protocol, port) == expected, (seed, source, target, protocol, port)


def titled(end: Workload | str, outside: dict[str, External]) -> str:
    if isinstance(end, Workload):
        return end.title
    family, number = f"v{ip_address(end).version}", int(ip_address(end))
    (title,) = [
        title for title, one in outside.items() if one.family == family and one.first <= number <= one.last
    ]
    return title
