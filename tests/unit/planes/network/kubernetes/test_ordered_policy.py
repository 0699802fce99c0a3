"""Admin and baseline policies: order, actions, tiers, and what a peer means in each version."""

import pytest
from clusters import TWO_PODS, connectivity_of, findings_of

WEB, DB = "shop/web[Pod]", "vault/db[Pod]"
SHOP = "{namespaces: {matchLabels: {kubernetes.io/metadata.name: shop}}}"
VAULT = "{namespaces: {matchLabels: {kubernetes.io/metadata.name: vault}}}"
OPEN, CLOSED = "All Connections", "No Connections"


def admin(rules: str, priority: int = 1, name: str = "a", subject: str = VAULT) -> str:
    return (
        "---\nkind: AdminNetworkPolicy\napiVersion: policy.networking.k8s.io/v1alpha1\n"
        f"metadata: {{name: {name}}}\nspec: {{priority: {priority}, subject: {subject}, {rules}}}\n"
    )


def baseline(rules: str, subject: str = VAULT) -> str:
    return (
        "---\nkind: BaselineAdminNetworkPolicy\napiVersion: policy.networking.k8s.io/v1alpha1\n"
        f"metadata: {{name: default}}\nspec: {{subject: {subject}, {rules}}}\n"
    )


def cluster(tier: str, rules: str, priority: int = 1, name: str = "c", subject: str = VAULT) -> str:
    return (
        "---\nkind: ClusterNetworkPolicy\napiVersion: policy.networking.k8s.io/v1alpha2\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{tier: {tier}, priority: {priority}, subject: {subject}, {rules}}}\n"
    )


def network(spec: str) -> str:
    return (
        "---\nkind: NetworkPolicy\napiVersion: networking.k8s.io/v1\n"
        f"metadata: {{name: n, namespace: vault}}\nspec: {spec}\n"
    )


def rule(action: str, peer: str = SHOP, ports: str = "", side: str = "from") -> str:
    return f"{{action: {action}, {side}: [{peer}]{', ' + ports if ports else ''}}}"


def ingress(*rules: str) -> str:
    return f"ingress: [{', '.join(rules)}]"


def opened(*texts: str) -> str:
    return str(connectivity_of(TWO_PODS, *texts).between(WEB, DB))


PORT_80 = "ports: [{portNumber: {port: 80, protocol: TCP}}]"
DENY_ALL_NETWORK = network("{podSelector: {}}")
ALLOW_ALL_NETWORK = network("{podSelector: {}, ingress: [{}]}")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        # the first rule that matches decides
        ([admin(ingress(rule("Allow"), rule("Deny")))], OPEN),
        ([admin(ingress(rule("Deny"), rule("Allow")))], CLOSED),
        (
            [admin(ingress(rule("Deny", ports=PORT_80), rule("Allow")))],
            "SCTP 1-65535,TCP 1-79,81-65535,UDP 1-65535",
        ),
        ([admin(ingress(rule("Allow", ports=PORT_80), rule("Deny")))], "TCP 80"),
        # the lower priority number goes first
        ([admin(ingress(rule("Allow")), 5, "x"), admin(ingress(rule("Deny")), 4, "y")], CLOSED),
        ([admin(ingress(rule("Allow")), 4, "x"), admin(ingress(rule("Deny")), 5, "y")], OPEN),
        # admin before network policies before the baseline
        ([admin(ingress(rule("Allow"))), DENY_ALL_NETWORK], OPEN),
        ([admin(ingress(rule("Deny"))), ALLOW_ALL_NETWORK], CLOSED),
        ([DENY_ALL_NETWORK, baseline(ingress(rule("Allow")))], CLOSED),
        ([ALLOW_ALL_NETWORK, baseline(ingress(rule("Deny")))], OPEN),
        ([baseline(ingress(rule("Deny")))], CLOSED),
        ([admin(ingress(rule("Allow"))), baseline(ingress(rule("Deny")))], OPEN),
        # pass skips the rest of the tier
        ([admin(ingress(rule("Pass"), rule("Deny")))], OPEN),
        ([admin(ingress(rule("Pass"))), DENY_ALL_NETWORK], CLOSED),
        ([admin(ingress(rule("Pass"))), baseline(ingress(rule("Deny")))], CLOSED),
        ([admin(ingress(rule("Pass")), 1, "x"), admin(ingress(rule("Deny")), 2, "y")], OPEN),
        # what nothing speaks of is open, and a policy that selects neither end says nothing
        ([admin(ingress(rule("Deny", VAULT)))], OPEN),
        ([admin(ingress(rule("Deny")), subject=SHOP)], OPEN),
        # a direction without rules is left alone
        ([admin("egress: [" + rule("Deny", VAULT, side="to") + "]")], OPEN),
        ([admin("egress: [" + rule("Deny", VAULT, side="to") + "]", subject=SHOP)], CLOSED),
        # the newer kind, both tiers
        ([cluster("Admin", ingress(rule("Accept"))), DENY_ALL_NETWORK], OPEN),
        ([cluster("Admin", ingress(rule("Deny"))), ALLOW_ALL_NETWORK], CLOSED),
        ([cluster("Baseline", ingress(rule("Deny")))], CLOSED),
        ([cluster("Baseline", ingress(rule("Deny"))), ALLOW_ALL_NETWORK], OPEN),
        (
            [
                cluster("Baseline", ingress(rule("Accept")), 1, "x"),
                cluster("Baseline", ingress(rule("Deny")), 2),
            ],
            OPEN,
        ),
        ([cluster("Baseline", ingress(rule("Pass"))), baseline(ingress(rule("Deny")))], OPEN),
        ([cluster("Admin", ingress(rule("Accept")), 7), admin(ingress(rule("Deny")), 6)], CLOSED),
    ],
)
def test_tiers_priorities_and_actions(texts: list[str], words: str) -> None:
    assert opened(*texts) == words


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ("[{portNumber: {port: 80}}]", "TCP 80"),
        ("[{portNumber: {port: 53, protocol: UDP}}]", "UDP 53"),
        ("[{portRange: {start: 10, end: 20, protocol: SCTP}}]", "SCTP 10-20"),
        ("[{namedPort: sql}]", "TCP 5432"),
        ("[{namedPort: http}]", CLOSED),
        ("[{namedPort: sql}, {portNumber: {port: 1}}]", "TCP 1,5432"),
    ],
)
def test_ports_of_the_older_kind(ports: str, words: str) -> None:
    assert opened(admin(ingress(rule("Allow", ports=f"ports: {ports}"), rule("Deny")))) == words


@pytest.mark.parametrize(
    ("protocols", "words"),
    [
        ("[{tcp: {destinationPort: {number: 80}}}]", "TCP 80"),
        ("[{udp: {destinationPort: {number: 53}}}]", "UDP 53"),
        ("[{sctp: {destinationPort: {range: {start: 10, end: 20}}}}]", "SCTP 10-20"),
        ("[{tcp: {}}]", "TCP 1-65535"),
        ("[{destinationNamedPort: sql}]", "TCP 5432"),
        ("[{destinationNamedPort: http}]", CLOSED),
    ],
)
def test_protocols_of_the_newer_kind(protocols: str, words: str) -> None:
    rules = ingress(rule("Accept", ports=f"protocols: {protocols}"), rule("Deny"))

    assert opened(cluster("Admin", rules)) == words


@pytest.mark.parametrize(
    ("peer", "is_open"),
    [
        ("{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}}", False),
        ("{pods: {namespaceSelector: {}, podSelector: {matchLabels: {app: x}}}}", True),
        ("{pods: {podSelector: {}}}", False),
        ("{namespaces: {}}", False),
        ("{namespaces: {matchExpressions: [{key: x, operator: Exists}]}}", True),
    ],
)
def test_peers_are_chosen_by_labels(peer: str, is_open: bool) -> None:
    assert opened(cluster("Admin", ingress(rule("Deny", peer)))) == (OPEN if is_open else CLOSED)


HOST_POD = "---\nkind: Pod\nmetadata: {name: h, namespace: vault}\nspec: {hostNetwork: true}\n"


def test_ordered_policies_do_not_select_pods_on_the_host_network() -> None:
    deny = cluster("Admin", ingress(rule("Deny", "{namespaces: {}}")))
    connectivity = connectivity_of(TWO_PODS, HOST_POD, deny)

    assert str(connectivity.between(WEB, "vault/h[Pod]")) == OPEN  # not a subject
    assert str(connectivity.between("vault/h[Pod]", DB)) == OPEN  # not a peer
    assert str(connectivity.between(WEB, DB)) == CLOSED


ADDRESSED = """---
kind: Pod
metadata: {name: far, namespace: shop}
status: {podIPs: [{ip: 10.0.0.9}]}
"""
FAR = "shop/far[Pod]"


@pytest.mark.parametrize(
    ("networks", "to_far", "to_web"),
    [
        ("[10.0.0.0/24]", CLOSED, OPEN),
        ("[10.0.1.0/24]", OPEN, OPEN),
        ("[0.0.0.0/0]", CLOSED, CLOSED),  # whatever address a pod gets, it lies in here
        ("[10.0.1.0/24, 10.0.0.9/32]", CLOSED, OPEN),
    ],
)
def test_networks_of_the_newer_kind_mean_pods_too(networks: str, to_far: str, to_web: str) -> None:
    rules = "egress: [" + rule("Deny", f"{{networks: {networks}}}", side="to") + "]"
    connectivity = connectivity_of(TWO_PODS, ADDRESSED, cluster("Admin", rules))

    assert str(connectivity.between(DB, FAR)) == to_far
    assert str(connectivity.between(DB, WEB)) == to_web


def test_networks_of_the_older_kind_mean_what_lies_outside() -> None:
    rules = "egress: [" + rule("Deny", "{networks: [0.0.0.0/0]}", side="to") + "]"
    connectivity = connectivity_of(TWO_PODS, ADDRESSED, admin(rules))

    assert str(connectivity.between(DB, FAR)) == OPEN
    assert str(connectivity.between(DB, "0.0.0.0-255.255.255.255[External]")) == CLOSED


def test_nodes_are_the_addresses_of_the_nodes_that_are_known() -> None:
    node = """---
kind: Node
metadata: {name: n1, labels: {pool: a}}
status: {addresses: [{type: InternalIP, address: 192.168.1.7}, {type: Hostname, address: n1}]}
"""
    rules = "egress: [" + rule("Deny", "{nodes: {matchLabels: {pool: a}}}", side="to") + "]"
    connectivity = connectivity_of(TWO_PODS, node, cluster("Admin", rules))

    assert str(connectivity.between(DB, "192.168.1.7-192.168.1.7[External]")) == CLOSED
    assert str(connectivity.between(DB, "0.0.0.0-192.168.1.6[External]")) == OPEN


def test_a_node_is_also_its_pods_on_the_host_network() -> None:
    node = """---
kind: Node
metadata: {name: n1, labels: {pool: a}}
status: {addresses: [{type: InternalIP, address: 192.168.1.7}]}
---
kind: Pod
metadata: {name: proxy, namespace: shop}
spec: {hostNetwork: true}
status: {podIP: 192.168.1.7}
---
kind: Pod
metadata: {name: other, namespace: shop}
spec: {hostNetwork: true}
status: {podIP: 192.168.1.8}
"""
    rules = "egress: [" + rule("Deny", "{nodes: {}}", side="to") + "]"
    connectivity = connectivity_of(TWO_PODS, node, cluster("Admin", rules))

    assert str(connectivity.between(DB, "shop/proxy[Pod]")) == CLOSED
    assert str(connectivity.between(DB, "shop/other[Pod]")) == OPEN


@pytest.mark.parametrize(
    ("allowed", "name", "is_open"),
    [
        ("example.org", "example.org", True),
        ("example.org", "www.example.org", False),
        ("'*.example.org'", "www.example.org", True),
        ("'*.example.org'", "a.b.example.org", True),
        ("'*.example.org'", "example.org", False),
        ("'*.example.org'", "badexample.org", False),
    ],
)
def test_domain_names_are_ends_of_their_own(allowed: str, name: str, is_open: bool) -> None:
    rules = ", ".join(
        (
            rule("Accept", f"{{domainNames: [{allowed}]}}", side="to"),
            rule("Deny", "{networks: [0.0.0.0/0]}", side="to"),
            rule(
                "Accept", f"{{domainNames: [{name}]}}", side="to"
            ),  # makes the name known, too late to matter
        )
    )
    connectivity = connectivity_of(TWO_PODS, cluster("Admin", f"egress: [{rules}]"))

    assert bool(connectivity.between(DB, f"{name}[Domain]")) == is_open


THREE_TENANTS = "".join(
    f"---\nkind: Namespace\nmetadata: {{name: {name}, labels: {labels}}}\n"
    f"---\nkind: Pod\nmetadata: {{name: p, namespace: {name}}}\n"
    for name, labels in [
        ("a1", "{tenant: a}"),
        ("a2", "{tenant: a}"),
        ("b1", "{tenant: b}"),
        ("none", "{x: y}"),
    ]
)


@pytest.mark.parametrize(
    ("peer", "open_from"),
    [
        ("{namespaces: {sameLabels: [tenant]}}", {"b1", "none"}),
        ("{namespaces: {notSameLabels: [tenant]}}", {"a2", "none"}),
        ("{pods: {namespaces: {notSameLabels: [tenant]}, podSelector: {}}}", {"a2", "none"}),
        ("{namespaces: {namespaceSelector: {matchLabels: {tenant: b}}}}", {"a2", "none"}),
        ("{namespaces: {sameLabels: [missing]}}", {"a2", "b1", "none"}),
        ("{namespaces: {sameLabels: []}}", {"a2", "b1", "none"}),
    ],
)
def test_labels_shared_with_the_subjects_namespace(peer: str, open_from: set[str]) -> None:
    deny = admin(
        ingress(rule("Deny", peer)),
        subject="{namespaces: {matchExpressions: [{key: tenant, operator: Exists}]}}",
    )
    connectivity = connectivity_of(THREE_TENANTS, deny)

    others = ("a2", "b1", "none")
    assert {name for name in others if connectivity.between(f"{name}/p[Pod]", "a1/p[Pod]")} == open_from


@pytest.mark.parametrize(
    ("peer", "action", "is_open"),
    [
        ("{planets: {}}", "Deny", False),
        ("{planets: {}}", "Pass", False),
        ("{planets: {}}", "Accept", False),
        ("{}", "Deny", False),
        ("{networks: [0.0.0.0/0]}", "Accept", False),  # sources are pods: an address may be forged
        ("{networks: [0.0.0.0/0]}", "Pass", False),
        ("{nodes: {}}", "Accept", False),
        ("{domainNames: [a.example]}", "Accept", False),
        ("{namespaces: {matchExpressions: [{key: a, operator: Near}]}}", "Deny", False),
    ],
)
def test_a_peer_that_cannot_be_read_never_opens_anything(peer: str, action: str, is_open: bool) -> None:
    text = cluster("Admin", ingress(rule(action, peer), rule("Deny")))
    levels = {level for level, _, _ in findings_of(text)}
    from ringfence.adapters.kubernetes_files import parse_yaml
    from ringfence.planes.network.kubernetes.evaluate import Connectivity
    from ringfence.planes.network.kubernetes.read import read_cluster

    read, _ = read_cluster(parse_yaml(TWO_PODS + text, "m.yaml"))
    assert levels == {"error"}
    assert bool(Connectivity(read).between(WEB, DB)) == is_open
