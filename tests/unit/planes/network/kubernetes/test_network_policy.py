"""NetworkPolicy v1: each rule of the specification with a row on both sides of its edge."""

import pytest
from clusters import TWO_PODS, connectivity_of, lines_of

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.planes.network.kubernetes.evaluate import Connectivity
from ringfence.planes.network.kubernetes.read import read_cluster

WEB, DB = "shop/web[Pod]", "vault/db[Pod]"
HEAD = "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n"


def policy(spec: str, namespace: str = "vault", name: str = "p") -> str:
    return f"{HEAD}metadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n"


def test_without_policies_everybody_talks_to_everybody_but_himself() -> None:
    assert lines_of(TWO_PODS) == [
        f"0.0.0.0-255.255.255.255[External] => {WEB} : All Connections",
        f"0.0.0.0-255.255.255.255[External] => {DB} : All Connections",
        f"{WEB} => 0.0.0.0-255.255.255.255[External] : All Connections",
        f"{WEB} => {DB} : All Connections",
        f"{DB} => 0.0.0.0-255.255.255.255[External] : All Connections",
        f"{DB} => {WEB} : All Connections",
    ]


@pytest.mark.parametrize(
    ("spec", "web_to_db", "db_to_web"),
    [
        ("{podSelector: {}}", "No Connections", "All Connections"),
        ("{podSelector: {}, policyTypes: [Ingress]}", "No Connections", "All Connections"),
        ("{podSelector: {}, policyTypes: [Egress]}", "All Connections", "No Connections"),
        ("{podSelector: {}, policyTypes: [Ingress, Egress]}", "No Connections", "No Connections"),
        ("{podSelector: {}, egress: [{}]}", "No Connections", "All Connections"),
        ("{podSelector: {}, egress: [{ports: [{port: 1}]}]}", "No Connections", "TCP 1"),
        ("{podSelector: {}, egress: []}", "No Connections", "All Connections"),
        ("{podSelector: {}, ingress: [{}]}", "All Connections", "All Connections"),
        ("{podSelector: {}, policyTypes: [Egress], ingress: [{}]}", "All Connections", "No Connections"),
        ("{podSelector: {matchLabels: {app: db}}}", "No Connections", "All Connections"),
        ("{podSelector: {matchLabels: {app: web}}}", "All Connections", "All Connections"),
    ],
)
def test_a_policy_closes_the_directions_it_names_for_the_pods_it_selects(
    spec: str, web_to_db: str, db_to_web: str
) -> None:
    connectivity = connectivity_of(TWO_PODS, policy(spec))

    assert str(connectivity.between(WEB, DB)) == web_to_db
    assert str(connectivity.between(DB, WEB)) == db_to_web


@pytest.mark.parametrize(
    ("peer", "is_open"),
    [
        ("{podSelector: {}}", False),  # its own namespace only
        ("{podSelector: {matchLabels: {app: web}}}", False),
        ("{namespaceSelector: {}}", True),
        ("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}", True),
        ("{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: vault}}}", False),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}", True),
        ("{namespaceSelector: {}, podSelector: {matchLabels: {app: db}}}", False),
        ("{ipBlock: {cidr: 0.0.0.0/0}}", False),  # addresses lie outside
    ],
)
def test_a_peer_is_chosen_by_namespace_and_pod_labels(peer: str, is_open: bool) -> None:
    connectivity = connectivity_of(TWO_PODS, policy(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"))

    assert bool(connectivity.between(WEB, DB)) == is_open


@pytest.mark.parametrize(
    ("expression", "is_open"),
    [
        ("{key: app, operator: In, values: [web, x]}", True),
        ("{key: app, operator: In, values: [x]}", False),
        ("{key: app, operator: NotIn, values: [x]}", True),
        ("{key: app, operator: NotIn, values: [web]}", False),
        ("{key: other, operator: NotIn, values: [web]}", True),  # a missing key is not in the list
        ("{key: other, operator: In, values: [web]}", False),
        ("{key: app, operator: Exists}", True),
        ("{key: other, operator: Exists}", False),
        ("{key: app, operator: DoesNotExist}", False),
        ("{key: other, operator: DoesNotExist}", True),
        ("{key: app, operator: Exists}, {key: other, operator: Exists}", False),  # all must hold
    ],
)
def test_expressions_mean_what_the_specification_says(expression: str, is_open: bool) -> None:
    peer = f"{{namespaceSelector: {{}}, podSelector: {{matchExpressions: [{expression}]}}}}"
    connectivity = connectivity_of(TWO_PODS, policy(f"{{podSelector: {{}}, ingress: [{{from: [{peer}]}}]}}"))

    assert bool(connectivity.between(WEB, DB)) == is_open


@pytest.mark.parametrize(
    ("port", "words"),
    [
        ("{port: 5432}", "TCP 5432"),
        ("{port: 53, protocol: UDP}", "UDP 53"),
        ("{port: 53, protocol: SCTP}", "SCTP 53"),
        ("{protocol: UDP}", "UDP 1-65535"),
        ("{port: 100, endPort: 200}", "TCP 100-200"),
        ("{port: 100, endPort: 100}", "TCP 100"),
        ("{port: sql}", "TCP 5432"),
        ("{port: sql, protocol: UDP}", "No Connections"),
        ("{port: http}", "No Connections"),  # a name of the source's port says nothing about the target's
        ("{port: 1}, {port: 2}, {port: 53, protocol: UDP}", "TCP 1-2,UDP 53"),
        ("{protocol: TCP}, {protocol: UDP}, {protocol: SCTP}", "All Connections"),
    ],
)
@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_ports_are_those_of_the_target(direction: str, port: str, words: str) -> None:
    side, namespace = ("from", "vault") if direction == "ingress" else ("to", "shop")
    rule = f"{{{side}: [{{namespaceSelector: {{}}}}], ports: [{port}]}}"
    types = "Ingress" if direction == "ingress" else "Egress"
    text = policy(f"{{podSelector: {{}}, policyTypes: [{types}], {direction}: [{rule}]}}", namespace)

    assert str(connectivity_of(TWO_PODS, text).between(WEB, DB)) == words


@pytest.mark.parametrize("port", ["{endPort: 90}", "{port: http, endPort: 90}", "{port: 80, endPort: 79}"])
def test_an_end_of_a_span_without_a_start_opens_nothing(port: str) -> None:
    text = TWO_PODS + policy(f"{{podSelector: {{}}, ingress: [{{ports: [{port}]}}]}}", "shop")
    cluster, findings = read_cluster(parse_yaml(text, "m.yaml"))

    assert [finding.level for finding in findings] == ["error"]
    assert not Connectivity(cluster).between("vault/db[Pod]", "shop/web[Pod]")


def test_a_label_that_is_null_is_the_empty_text() -> None:
    closed = policy("{podSelector: {matchLabels: {app: null}}}", "shop")
    odd = "---\nkind: Pod\nmetadata: {name: odd, namespace: shop, labels: {app: null}}\n"
    connectivity = connectivity_of(TWO_PODS, closed, odd)

    assert connectivity.between("vault/db[Pod]", "shop/web[Pod]")
    assert not connectivity.between("vault/db[Pod]", "shop/odd[Pod]")


def test_one_name_may_stand_for_a_port_of_each_protocol() -> None:
    pod = """---
kind: Pod
metadata: {name: names, namespace: shop}
spec:
  containers:
  - {name: a, ports: [{name: dns, containerPort: 53}, {name: dns, containerPort: 54, protocol: UDP}]}
  - {name: b, ports: [{name: dns, containerPort: 99}]}
"""
    opened = policy(
        "{podSelector: {}, ingress: [{ports: [{port: dns, protocol: UDP}, {port: dns}]}]}", "shop"
    )

    found = connectivity_of(TWO_PODS, pod, opened).between("vault/db[Pod]", "shop/names[Pod]")
    assert str(found) == "TCP 53,UDP 54"


def test_policies_add_up() -> None:
    one = policy("{podSelector: {}, ingress: [{ports: [{port: 1}]}]}", name="one")
    other = policy("{podSelector: {}, ingress: [{ports: [{port: 2}]}]}", name="two")
    none = policy("{podSelector: {}}", name="three")

    assert str(connectivity_of(TWO_PODS, one, other, none).between(WEB, DB)) == "TCP 1-2"


def test_both_sides_must_let_a_connection_through() -> None:
    into = policy("{podSelector: {}, ingress: [{ports: [{port: 1, endPort: 10}]}]}")
    out = policy(
        "{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 5, endPort: 20}]}]}", "shop"
    )

    assert str(connectivity_of(TWO_PODS, into, out).between(WEB, DB)) == "TCP 5-10"


def test_addresses_outside_are_cut_exactly_where_rules_cut_them() -> None:
    block = "{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.2.0.0/16]}}"
    lines = lines_of(
        TWO_PODS, policy(f"{{podSelector: {{}}, ingress: [{{from: [{block}], ports: [{{port: 5432}}]}}]}}")
    )

    assert [line for line in lines if f"External] => {DB}" in line] == [
        f"10.0.0.0-10.0.255.255[External] => {DB} : TCP 5432",
        f"10.3.0.0-10.255.255.255[External] => {DB} : TCP 5432",
    ]
    assert [line.partition("[")[0] for line in lines if f"External] => {WEB}" in line] == [
        "0.0.0.0-9.255.255.255",
        "10.0.0.0-10.0.255.255",
        "10.1.0.0-10.2.255.255",
        "10.3.0.0-10.255.255.255",
        "11.0.0.0-255.255.255.255",
    ]
    assert [line for line in lines if f"{WEB} => 0" in line] == [
        f"{WEB} => 0.0.0.0-255.255.255.255[External] : All Connections"
    ]


def test_a_named_port_of_an_address_is_nothing() -> None:
    rule = "{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: http}]}"
    lines = lines_of(TWO_PODS, policy(f"{{podSelector: {{}}, policyTypes: [Egress], egress: [{rule}]}}"))

    assert [line for line in lines if line.startswith(DB)] == []


def test_a_policy_without_a_namespace_stands_in_default() -> None:
    pod = "kind: Pod\nmetadata: {name: a}\n---\nkind: Pod\nmetadata: {name: b}\n"
    text = f"{pod}{HEAD}metadata: {{name: p}}\nspec: {{podSelector: {{}}}}\n"

    assert not connectivity_of(text).between("default/a[Pod]", "default/b[Pod]")
