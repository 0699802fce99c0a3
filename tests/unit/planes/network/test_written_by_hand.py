"""Rules that people wrote for systemd, compose and Kubernetes, and profiles that are not ours."""

import copy
import json
from typing import Any

import pytest
from flow_policies import venue_rules
from hypothesis import given
from hypothesis import strategies as st

from ringfence.adapters.kubernetes_files import parse_yaml
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.planes.network.compile import Flow, Permission, Rules, Workload
from ringfence.planes.network.compose import observe_compose, render_compose, wanted_by_compose
from ringfence.planes.network.envelope import all_differences
from ringfence.planes.network.loaded import read_guard, read_hub, restoring
from ringfence.planes.network.observe import drift
from ringfence.planes.network.observe_kubernetes import observe_kubernetes
from ringfence.planes.network.observe_nftables import observe_hub
from ringfence.planes.network.render_kubernetes import render_cluster_policies, render_network_policies
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.planes.network.sandbox_file import observe_sandbox, render_sandbox
from ringfence.planes.network.sites import plan_sites
from ringfence.planes.network.systemd import observe_drop_in, render_drop_in, wanted_by_systemd

RULES = venue_rules()
SITES = plan_sites(RULES, {"internet": ["0.0.0.0/0", "::/0"]})
MARKS, MATCHING = SITES["marks"].own_v4, SITES["matching"].own_v4
ENDS = {"chain", "gateway", "internet", "ledger", "marks", "matching", "wallet"}


@pytest.mark.parametrize(
    ("directives", "peers", "partly"),
    [
        ("", ENDS, set()),  # without lists nothing is filtered
        ("IPAddressDeny=any", set(), set()),
        ("IPAddressAllow=any", ENDS, set()),
        (f"IPAddressDeny=any\nIPAddressAllow={MARKS}", set(), {"marks"}),  # IPv6 is missing
        (f"IPAddressAllow={MARKS} {SITES['marks'].own_v6}\nIPAddressDeny=any", {"marks"}, set()),
        (f"IPAddressDeny=any\nIPAddressAllow={MARKS}\nIPAddressAllow=", set(), set()),  # an empty one forgets
        ("IPAddressDeny=any\nIPAddressAllow=10.77.0.0/16 \\\n  fd77::/48", ENDS - {"internet"}, {"internet"}),
        ("IPAddressDeny=any\nIPAddressAllow=localhost", set(), {"internet"}),
        (f"IPAddressDeny=any\n#IPAddressAllow={MARKS}\n; IPAddressAllow=any", set(), set()),
        ("IPAddressDeny=any\nIPAddressAllow=nonsense", set(), set()),
        ("IPAddressDeny=10.0.0.0/8", {"internet"} - {"internet"}, ENDS),
        ("[Unit]\nIPAddressDeny=any", ENDS, set()),
    ],
)
def test_address_lists_of_systemd(directives: str, peers: set[str], partly: set[str]) -> None:
    seen = observe_drop_in(f"[Service]\n{directives}\n", SITES, "risk")

    assert (seen.peers, seen.partly) == (peers, partly)


@pytest.mark.parametrize(
    ("directives", "words"),
    [
        ("", "TCP 1-65535,UDP 1-65535"),
        ("SocketBindDeny=any", "No Connections"),
        ("SocketBindDeny=any\nSocketBindAllow=tcp:7000", "TCP 7000"),
        ("SocketBindDeny=any\nSocketBindAllow=ipv4:udp:53", "UDP 53"),
        ("SocketBindDeny=any\nSocketBindAllow=7000-7002", "TCP 7000-7002,UDP 7000-7002"),
        ("SocketBindDeny=any\nSocketBindAllow=tcp", "TCP 1-65535"),
        ("SocketBindDeny=tcp:1-1024", "TCP 1025-65535,UDP 1-65535"),
        ("SocketBindDeny=any\nSocketBindAllow=tcp:0", "TCP 1-65535"),
        ("SocketBindDeny=any\nSocketBindAllow=nonsense", "No Connections"),
    ],
)
def test_port_lists_of_systemd(directives: str, words: str) -> None:
    assert str(observe_drop_in(f"[Service]\n{directives}\n", SITES, "risk").listens) == words


def test_a_drop_in_names_its_lines_and_starts_its_program() -> None:
    text = render_drop_in(RULES, SITES, "risk")

    assert "# matching -> risk tcp 7001 (p.yaml:103)" in text
    assert "execve" not in text
    assert wanted_by_systemd(RULES)["risk"].peers == {"matching", "marks", "ledger"}


X_INTERNAL = {"x": {"internal": True}}
ALONE = {"network_mode": "none"}


@pytest.mark.parametrize(
    ("services", "networks", "peers"),
    [
        ({"a": {}, "b": {}}, {}, {"b", "outside"}),  # the default network
        ({"a": {"networks": ["x"]}, "b": {}}, X_INTERNAL, set()),
        ({"a": {"networks": {"x": None}}, "b": {"networks": ["x"]}}, X_INTERNAL, {"b"}),
        ({"a": {"networks": ["x"]}, "b": {}}, {"x": {}}, {"outside"}),
        ({"a": ALONE, "b": {}}, {}, set()),
        ({"a": {"network_mode": "host"}, "b": {}}, {}, {"b", "outside"}),
        ({"a": {}, "b": {"network_mode": "host"}}, {}, {"b", "outside"}),
    ],
)
def test_networks_of_compose(services: dict[str, Any], networks: dict[str, Any], peers: set[str]) -> None:
    seen = observe_compose({"services": services, "networks": networks})["a"]

    assert (seen.peers, str(seen.listens)) == (peers, "No Connections")


@pytest.mark.parametrize(
    ("ports", "published"),
    [
        (["443"], "TCP 443"),
        (["8443:443", "53:53/udp"], "TCP 443,UDP 53"),
        (["127.0.0.1:80:8080"], "TCP 8080"),
        (["7000-7002:7000-7002"], "TCP 7000-7002"),
        ([{"target": 53, "protocol": "udp"}], "UDP 53"),
        (["80:${PORT}"], "All Connections"),
    ],
)
def test_ports_of_compose(ports: list[Any], published: str) -> None:
    seen = observe_compose({"services": {"a": {**ALONE, "ports": ports}}})["a"]

    assert (seen.peers, str(seen.listens)) == (set(), published)


@pytest.mark.parametrize(
    "document", [None, [], "text", {"services": 7}, {"services": {"a": 7}, "networks": []}]
)
def test_what_is_no_compose_file_holds_nobody(document: object) -> None:
    seen = observe_compose(document)

    assert all_differences(wanted_by_compose(RULES), seen)


def test_a_service_that_a_file_forgets_is_said() -> None:
    document = render_compose(RULES)
    del document["services"]["wallet"]

    found = all_differences(wanted_by_compose(RULES), observe_compose(document))
    assert "wallet: nothing holds it" in found


HAND_WRITTEN = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: trading}
spec:
  podSelector: {}
  ingress:
  - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: public}}}]
    ports: [{port: 7000, endPort: 7001}]
  - from: [{podSelector: {matchExpressions: [{key: ringfence/service, operator: In, values: [marks]}]}}]
---
apiVersion: v1
kind: Pod
metadata: {name: extra, namespace: public, labels: {ringfence/service: gateway}}
"""


def test_network_policies_written_by_hand_are_understood() -> None:
    seen = observe_kubernetes(parse_yaml(HAND_WRITTEN, "h.yaml"), RULES, SITES)

    assert str(seen.possible["gateway", "matching"]) == "TCP 7000-7001"
    assert str(seen.possible["marks", "risk"]) == "All Connections"
    assert ("internet", "matching") not in seen.possible
    found = drift(RULES, seen)
    assert str(found.excess[0]) == "chain -> gateway All Connections"
    assert Flow("ledger", "risk", "tcp", 7002) in found.missing


def test_one_pod_of_a_service_that_may_less_makes_its_flows_uncertain() -> None:
    closed = """
kind: Pod
metadata: {name: one, namespace: trading, labels: {ringfence/service: matching}}
---
kind: Pod
metadata: {name: two, namespace: trading, labels: {ringfence/service: matching, odd: "yes"}}
---
kind: NetworkPolicy
metadata: {name: odd, namespace: trading}
spec: {podSelector: {matchLabels: {odd: "yes"}}}
"""
    seen = observe_kubernetes(parse_yaml(closed, "h.yaml"), RULES, SITES)

    assert ("gateway", "matching") in seen.possible
    assert ("gateway", "matching") not in seen.certain


def test_a_platform_of_many_peers_keeps_to_the_limits_of_the_api() -> None:
    names = [f"s{index}" for index in range(70)]
    workloads = {name: Workload(name, "z", f"spiffe://t/{name}", None, "") for name in names}
    flows = {
        Flow(name, "s0", "tcp", port): Permission("p:1", "") for name in names[1:] for port in range(1, 31)
    }
    rules = Rules("t", ("z",), workloads, (), flows)
    objects = list(render_cluster_policies(rules, plan_sites(rules)))

    for item in objects:
        for direction in ("ingress", "egress"):
            listed = item["spec"].get(direction, [])
            assert len(listed) <= 25
            assert all(len(rule.get("protocols", [])) <= 25 for rule in listed)
            assert all(len(rule.get("from", rule.get("to"))) <= 25 for rule in listed)
    assert len({item["spec"]["priority"] for item in objects if item["spec"]["tier"] == "Admin"}) > 70


def test_names_that_kubernetes_cannot_keep_apart_are_refused() -> None:
    workloads = {name: Workload(name, "z", f"spiffe://t/{name}", None, "") for name in ("a_b", "a-b")}
    rules = Rules("t", ("z",), workloads, (), {})

    with pytest.raises(UsageError, match="a_b and a-b have one name"):
        render_network_policies(rules, plan_sites(rules))


PROFILE = render_sandbox(compile_sandbox(RULES, "risk", reads=("/etc",), writes=("/var/lib/risk",)))


def test_a_profile_is_read_as_it_was_written() -> None:
    assert observe_sandbox(json.loads(json.dumps(PROFILE)), "f") == compile_sandbox(
        RULES, "risk", reads=("/etc",), writes=("/var/lib/risk",)
    )


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("uid",), -1),
        (("uid",), "1000"),
        (("uid",), True),
        (("service",), 7),
        (("no_new_privileges",), False),
        (("landlock", "bind_tcp"), [0]),
        (("landlock", "bind_tcp"), [65_536]),
        (("landlock", "connect_tcp"), "7001"),
        (("landlock", "read"), [7]),
        (("landlock", "more"), []),
        (("seccomp", "deny_calls"), "execve"),
        (("seccomp", "udp_sockets"), "no"),
        (("seccomp",), None),
        (("other",), 1),
    ],
)
def test_a_profile_with_anything_wrong_is_refused(path: tuple[str, ...], value: object) -> None:
    broken = copy.deepcopy(PROFILE)
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value

    with pytest.raises(BadInput, match=r"f: |f was"):
        observe_sandbox(broken, "f")


# --- whatever stands in a file ---------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70_000) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["services", "networks", "ports", "a", "wallet", "internal", "network_mode", "nftables"]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(plain)
def test_no_compose_file_of_any_shape_stops_the_reading(document: object) -> None:
    for envelope in observe_compose(document).values():
        assert envelope.peers is not None


@given(st.text(alphabet="[]Service=IPAdresDny SocketBindAllow:/.-0123456789\n\\#", max_size=200))
def test_no_unit_of_any_shape_stops_the_reading(text: str) -> None:
    seen = observe_drop_in(f"[Service]\n{text}", SITES, "risk")

    assert seen.peers is not None
    assert not seen.peers & seen.partly


@given(plain)
def test_no_profile_of_any_shape_is_taken_for_one(document: object) -> None:
    with pytest.raises(BadInput):
        observe_sandbox(document, "f")


@given(plain)
def test_no_listing_of_any_shape_stops_the_reading(document: object) -> None:
    nested = {"nftables": [{"table": {"family": "inet", "name": "rf_hub"}}, document, {"rule": document}]}
    for listing in (document, nested):
        assert read_hub(listing, RULES, SITES).generation == 0
        read_guard(listing, RULES, SITES, "risk")
        restoring(listing)
        observe_hub(listing, SITES)
