import pytest
from clusters import TWO_PODS, connectivity_of

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.kubernetes.explain import explain

NETWORK = """---
kind: NetworkPolicy
metadata: {name: p, namespace: vault}
spec:
  podSelector: {}
  ingress:
  - from: [{namespaceSelector: {}}]
    ports: [{port: 5432}]
"""
ADMIN = """---
kind: ClusterNetworkPolicy
metadata: {name: wall}
spec:
  tier: Admin
  priority: 1
  subject: {namespaces: {}}
  egress:
  - name: not-out
    action: Deny
    to: [{networks: [10.0.0.0/8]}]
"""


def words(source: str, target: str, port: int, *texts: str) -> str:
    return str(explain(connectivity_of(TWO_PODS, *texts), source, target, "TCP", port))


def test_an_open_port_names_the_rule_that_allows_it() -> None:
    assert words("shop/web[Pod]", "vault/db[Pod]", 5432, NETWORK) == (
        "shop/web[Pod] => vault/db[Pod] : TCP 5432 is open\n"
        "  egress: open, no policy speaks of its egress\n"
        "  ingress: open, NetworkPolicy vault/p allows it by its ingress rule 'rule 1' (1.yaml:7)"
    )


def test_a_closed_port_names_what_closes_it_and_what_is_open_nearby() -> None:
    assert words("web", "db", 80, NETWORK) == (
        "shop/web[Pod] => vault/db[Pod] : TCP 80 is closed\n"
        "  egress: open, no policy speaks of its egress\n"
        "  ingress: closed, no ingress rule lets it through of NetworkPolicy vault/p (1.yaml:2)\n"
        "  open nearby: shop/web[Pod] => vault/db[Pod] : TCP 5432"
    )


def test_an_address_is_found_in_its_range() -> None:
    text = words("web", "10.9.9.9", 443, ADMIN)

    assert text.startswith("shop/web[Pod] => 10.0.0.0-10.255.255.255[External] : TCP 443 is closed")
    assert "ClusterNetworkPolicy wall denies it by its egress rule 'not-out' (1.yaml:9)" in text


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("nobody", r"shop/web\[Pod\], vault/db\[Pod\]"),
        ("vault/bd", r"vault/db\[Pod\]$"),
        ("we", r"shop/web\[Pod\]$"),
        ("300.1.1.1", r"shop/web\[Pod\], vault/db"),
        ("fd00::1", r"shop/web\[Pod\], vault/db"),  # only IPv4 was asked for
    ],
)
def test_an_end_that_is_not_there_is_refused_with_names_that_are(name: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=rf"nothing goes by that name; name one of {nearest}"):
        words("web", name, 1)


def test_where_no_workload_is_there_none_is_named() -> None:
    with pytest.raises(UsageError, match="a: nothing goes by that name; there is no workload"):
        explain(connectivity_of(NETWORK), "a", "b", "TCP", 1)


def test_an_address_of_a_pod_is_that_pod() -> None:
    pod = "---\nkind: Pod\nmetadata: {name: own, namespace: shop}\nstatus: {podIP: 10.9.9.9}\n"

    assert words("web", "10.9.9.9", 443, pod).startswith("shop/web[Pod] => shop/own[Pod] : TCP 443 is open")


@pytest.mark.parametrize(
    ("source", "target", "where"),
    [
        ("web", "shop/web", "inside one workload"),
        ("10.0.0.1", "10.0.0.2", "between two ends outside the cluster"),
    ],
)
def test_what_no_policy_decides_is_said(source: str, target: str, where: str) -> None:
    with pytest.raises(UsageError, match=f"is {where}, where no policy has a say"):
        words(source, target, 1, ADMIN)


def test_a_name_that_two_ends_share_is_refused() -> None:
    twin = "---\nkind: Pod\nmetadata: {name: db, namespace: other}\n"

    with pytest.raises(
        UsageError, match=r"2 ends go by that name; name one of other/db\[Pod\], vault/db\[Pod\]"
    ):
        words("web", "db", 1, twin)
