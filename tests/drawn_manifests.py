"""Clusters as people write them, drawn at random: all kinds of workload and policy, plain documents."""

import random
from collections.abc import Callable
from typing import Any

from manifests_read_aloud import TEMPLATES

Json = dict[str, Any]

PROTOCOLS = ("TCP", "UDP", "SCTP")
PORTS = (1, 53, 79, 80, 81, 9_003, 65_535)
NAMES = ("web", "dns")
OUTSIDE = (
    "0.0.0.0",
    "10.0.0.0",
    "10.1.255.255",
    "10.2.3.4",
    "255.255.255.255",
    "::",
    "fd00::7",
    "2001:db8::1",
)
NETWORKS = ("0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/15", "10.2.3.4/32", "::/0", "fd00::/8", "2001:db8::/32")
NAMESPACES = ("default", "n0", "n1", "n2")


def drawn_manifests(seed: int) -> list[Json]:
    """Draw the documents of one cluster, some of them folded into lists."""
    dice = random.Random(seed)
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, **some(dice, "labels", labels)}}
        for name in NAMESPACES
        if dice.random() < 0.75
    ]
    documents += [workload(dice, index) for index in range(dice.randint(1, 5))]
    priorities = dice.sample(range(1_001), 8)
    documents += [network_policy(dice, index) for index in range(dice.randint(0, 4))]
    documents += [admin_policy(dice, priorities.pop()) for _ in range(dice.randint(0, 2))]
    documents += [cluster_policy(dice, priorities.pop()) for _ in range(dice.randint(0, 3))]
    if dice.random() < 0.4:
        documents.append(baseline_policy(dice))
    dice.shuffle(documents)
    return folded(dice, documents)


def folded(dice: random.Random, documents: list[Json]) -> list[Json]:
    """Fold some documents into a list of any kind, or into one of their kind whose items do not say it."""
    if dice.random() < 0.3:
        count = dice.randint(0, len(documents))
        items = documents[:count]
        documents = [{"apiVersion": "v1", "kind": "List", "items": items}, *documents[count:]]
    if dice.random() < 0.3:
        items = [one for one in documents if one["kind"] == "NetworkPolicy"]
        bare = [
            {key: value for key, value in one.items() if key not in ("kind", "apiVersion")} for one in items
        ]
        whole = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "items": bare}
        documents = [whole, *(one for one in documents if one["kind"] != "NetworkPolicy")]
    return documents


def some(dice: random.Random, key: str, draw: Callable[[random.Random], Any], often: float = 0.7) -> Json:
    """Return a field that is not always there."""
    return {key: draw(dice)} if dice.random() < often else {}


def labels(dice: random.Random) -> Json:
    return {key: dice.choice(("a", "b", None)) for key in "xy" if dice.random() < 0.7}


# --- workloads ---------------------------------------------------------------------------------


def workload(dice: random.Random, index: int) -> Json:
    kind = dice.choice(tuple(TEMPLATES))
    metadata = {"name": f"w{index}", **some(dice, "namespace", lambda dice: dice.choice(NAMESPACES), 0.8)}
    spec: Json = {"containers": [container(dice) for _ in range(dice.randint(1, 2))]}
    if dice.random() < 0.15:
        spec["hostNetwork"] = True
    if kind == "Pod":
        status = some(dice, "status", lambda dice: {"podIP": dice.choice(OUTSIDE)})
        return {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": metadata | some(dice, "labels", labels),
            "spec": spec,
            **status,
        }
    body: Json = {"metadata": some(dice, "labels", labels), "spec": spec}
    for key in reversed(TEMPLATES[kind]):
        body = {key: body}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": body}


def container(dice: random.Random) -> Json:
    ports = [
        {
            "containerPort": dice.choice(PORTS),
            **some(dice, "name", lambda dice: dice.choice(NAMES)),
            **some(dice, "protocol", lambda dice: dice.choice(PROTOCOLS)),
        }
        for _ in range(dice.randint(0, 3))
    ]
    return {"name": "c", "image": "i", **({"ports": ports} if ports else {})}


# --- what all policies share -------------------------------------------------------------------


def selector(dice: random.Random, keys: str = "xy") -> Json:
    found: Json = {}
    if dice.random() < 0.4:
        found["matchLabels"] = {dice.choice(keys): dice.choice(("a", "b", None))}
    if dice.random() < 0.4:
        found["matchExpressions"] = [expression(dice, keys) for _ in range(dice.randint(1, 2))]
    return found


def expression(dice: random.Random, keys: str) -> Json:
    operator = dice.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    values = {"values": dice.sample(["a", "b", ""], dice.randint(1, 2))} if operator.endswith("In") else {}
    return {"key": dice.choice(keys), "operator": operator, **values}


def span(dice: random.Random) -> tuple[int, int]:
    first, last = sorted(dice.sample(PORTS, 2))
    return first, last


def names_of_namespaces(dice: random.Random) -> Json:
    if dice.random() < 0.4:
        return {"matchLabels": {"kubernetes.io/metadata.name": dice.choice(NAMESPACES)}}
    return selector(dice)


# --- NetworkPolicy -----------------------------------------------------------------------------


def network_policy(dice: random.Random, index: int) -> Json:
    spec: Json = some(dice, "podSelector", selector, 0.9)
    for way, side in (("ingress", "from"), ("egress", "to")):
        if dice.random() < 0.7:
            spec[way] = [np_rule(dice, side) for _ in range(dice.randint(0, 2))]
    if dice.random() < 0.6:
        spec["policyTypes"] = dice.sample(["Ingress", "Egress"], dice.randint(0, 2))
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"np{index}",
            **some(dice, "namespace", lambda dice: dice.choice(NAMESPACES), 0.8),
        },
        "spec": spec,
    }


def np_rule(dice: random.Random, side: str) -> Json:
    rule: Json = {}
    if dice.random() < 0.8:
        rule[side] = [np_peer(dice) for _ in range(dice.randint(0, 3))]
    if dice.random() < 0.7:
        rule["ports"] = [np_port(dice) for _ in range(dice.randint(0, 3))]
    return rule


def np_peer(dice: random.Random) -> Json:
    roll = dice.random()
    if roll < 0.3:
        cidr, *holes = dice.sample(NETWORKS, dice.randint(1, 3))
        return {"ipBlock": {"cidr": cidr, **({"except": holes} if holes else {})}}
    peer: Json = {"podSelector": selector(dice)} if roll < 0.8 else {}
    if roll > 0.55:
        peer["namespaceSelector"] = names_of_namespaces(dice)
    return peer


def np_port(dice: random.Random) -> Json:
    port = some(dice, "protocol", lambda dice: dice.choice(PROTOCOLS))
    roll = dice.random()
    if roll < 0.25:
        return port | {"port": dice.choice(NAMES)}
    if roll < 0.5:
        first, last = span(dice)
        return port | {"port": first, "endPort": last}
    return port | ({"port": dice.choice(PORTS)} if roll < 0.85 else {})


# --- policies in order -------------------------------------------------------------------------


def admin_policy(dice: random.Random, priority: int) -> Json:
    spec = {"priority": priority, **ordered_spec(dice, ("Allow", "Deny", "Pass"), "ports", anp_port)}
    return ordered_policy("AdminNetworkPolicy", "v1alpha1", f"anp{priority}", spec)


def baseline_policy(dice: random.Random) -> Json:
    spec = ordered_spec(dice, ("Allow", "Deny"), "ports", anp_port)
    return ordered_policy("BaselineAdminNetworkPolicy", "v1alpha1", "default", spec)


def cluster_policy(dice: random.Random, priority: int) -> Json:
    spec = {
        "tier": dice.choice(("Admin", "Baseline")),
        "priority": priority,
        **ordered_spec(dice, ("Accept", "Deny", "Pass"), "protocols", cnp_port),
    }
    return ordered_policy("ClusterNetworkPolicy", "v1alpha2", f"cnp{priority}", spec)


def ordered_policy(kind: str, version: str, name: str, spec: Json) -> Json:
    return {
        "apiVersion": f"policy.networking.k8s.io/{version}",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def ordered_spec(
    dice: random.Random, actions: tuple[str, ...], ports: str, draw: Callable[[random.Random], Json]
) -> Json:
    spec: Json = {"subject": pods(dice)}
    for way, side in (("ingress", "from"), ("egress", "to")):
        if dice.random() < 0.7:
            spec[way] = [
                {
                    "action": dice.choice(actions),
                    side: [ordered_peer(dice, side) for _ in range(dice.randint(1, 2))],
                    **some(dice, ports, lambda dice: [draw(dice) for _ in range(dice.randint(1, 2))]),
                }
                for _ in range(dice.randint(1, 3))
            ]
    return spec


def pods(dice: random.Random) -> Json:
    if dice.random() < 0.5:
        return {"namespaces": names_of_namespaces(dice)}
    chosen = some(dice, "namespaceSelector", names_of_namespaces, 0.8)
    return {"pods": {**chosen, "podSelector": selector(dice)}}


def ordered_peer(dice: random.Random, side: str) -> Json:
    if side == "to" and dice.random() < 0.35:
        return {"networks": dice.sample(NETWORKS, dice.randint(1, 2))}
    return pods(dice)


def anp_port(dice: random.Random) -> Json:
    roll, protocol = dice.random(), some(dice, "protocol", lambda dice: dice.choice(PROTOCOLS))
    if roll < 0.3:
        return {"namedPort": dice.choice(NAMES)}
    if roll < 0.6:
        first, last = span(dice)
        return {"portRange": {**protocol, "start": first, "end": last}}
    return {"portNumber": {**protocol, "port": dice.choice(PORTS)}}


def cnp_port(dice: random.Random) -> Json:
    roll, protocol = dice.random(), dice.choice(("tcp", "udp", "sctp"))
    if roll < 0.3:
        return {"destinationNamedPort": dice.choice(NAMES)}
    if roll < 0.6:
        first, last = span(dice)
        return {protocol: {"destinationPort": {"range": {"start": first, "end": last}}}}
    return {protocol: {"destinationPort": {"number": dice.choice(PORTS)}} if roll < 0.85 else {}}
