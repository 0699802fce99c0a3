"""The same rules as people write them: other tools of the same language, any order, no note of ours.

Each writer turns the flows of a policy into what somebody could have typed, drawn by dice.
"""

import random
from collections.abc import Iterable
from typing import Any

from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.envelope import OUTSIDE, peers_of
from ringfence.planes.network.render_kubernetes import SERVICE_LABEL, namespace_of
from ringfence.planes.network.sandbox import DENIED_CALLS, compile_sandbox
from ringfence.planes.network.sites import Sites, networks_of

Json = dict[str, Any]


# --- nftables ----------------------------------------------------------------------------------


def hub_by_hand(rules: Rules, sites: Sites, dice: random.Random) -> Json:
    """Write a hub in chains of one source each, reached by jumps or a map, one rule a flow or one a pair."""
    here = {"family": "inet", "table": dice.choice(("filter", "walls"))}
    base = {"name": "FORWARD", "type": "filter", "hook": "forward", "prio": dice.choice((-10, 0))}
    made: list[Json] = [{"table": {"family": "inet", "name": here["table"]}}]
    made.append({"chain": {**here, **base, "policy": "drop"}})
    sources = sorted({flow.source for flow in rules.flows})
    made += [{"chain": {**here, "name": f"from-{source}"}} for source in sources]
    first: list[list[Json]] = [[_match({"ct": {"key": "state"}}, ["established", "related"], "in"), _ACCEPT]]
    if dice.random() < 0.5 and sources:
        ways = [[sites[source].interface, {"jump": {"target": f"from-{source}"}}] for source in sources]
        first.append([{"vmap": {"key": _meta("iifname"), "data": {"set": ways}}}])
    else:
        first += [
            [_match(_meta("iifname"), sites[source].interface), {"jump": {"target": f"from-{source}"}}]
            for source in _shuffled(sources, dice)
        ]
    rows = [("FORWARD", row) for row in first]
    for flows in _shuffled(_by_pair(rules), dice):
        chain = f"from-{flows[0].source}"
        out = _match(_meta("oifname"), sites[flows[0].target].interface)
        rows += [(chain, [out, *ports, _ACCEPT]) for ports in _ports_by_hand(flows, dice)]
    rows += [(f"from-{source}", [{"drop": None}]) for source in sources if dice.random() < 0.5]
    return {"nftables": [*made, *({"rule": {**here, "chain": chain, "expr": row}} for chain, row in rows)]}


def guard_by_hand(rules: Rules, sites: Sites, service: str, dice: random.Random) -> Json:
    """Write the rules of one service by address, families apart in tables of their own or together."""
    tables = ["inet"] if dice.random() < 0.5 else ["ip", "ip6"]
    made: list[Json] = []
    for family in tables:
        here = {"family": family, "table": "own"}
        made.append({"table": {"family": family, "name": "own"}})
        for hook, field, flows in (
            ("input", "saddr", list(rules.into(service))),
            ("output", "daddr", list(rules.out_of(service))),
        ):
            shape = {"name": hook, "type": "filter", "hook": hook, "prio": 0, "policy": "drop"}
            made.append({"chain": {**here, **shape}})
            for flow in _shuffled(flows, dice):
                other = flow.source if hook == "input" else flow.target
                for network in networks_of(sites[other].addresses):
                    own = "ip6" if ":" in network else "ip"
                    if family in ("inet", own):
                        where = {"payload": {"protocol": own, "field": field}}
                        address, _, length = network.partition("/")
                        value = {"prefix": {"addr": address, "len": int(length)}}
                        row = [_match(where, value), _port(flow), _ACCEPT]
                        made.append({"rule": {**here, "chain": hook, "expr": row}})
    return {"nftables": made}


_ACCEPT: Json = {"accept": None}


def _meta(key: str) -> Json:
    return {"meta": {"key": key}}


def _match(left: Json, right: object, operator: str = "==") -> Json:
    return {"match": {"op": operator, "left": left, "right": right}}


def _port(flow: Flow) -> Json:
    return _match({"payload": {"protocol": flow.protocol, "field": "dport"}}, flow.port)


def _ports_by_hand(flows: list[Flow], dice: random.Random) -> Iterable[list[Json]]:
    """Write the ports of a pair one by one, as a set, or with the protocol as a match of its own."""
    how = dice.choice(("one", "set", "apart"))
    if how == "one":
        yield from ([_port(flow)] for flow in flows)
        return
    for protocol in sorted({flow.protocol for flow in flows}):
        ports = [flow.port for flow in flows if flow.protocol == protocol]
        if how == "set":
            yield [_match({"payload": {"protocol": protocol, "field": "dport"}}, {"set": ports})]
        else:
            th = {"payload": {"protocol": "th", "field": "dport"}}
            yield [_match(_meta("l4proto"), protocol), _match(th, {"set": _shuffled(ports, dice)})]


def _by_pair(rules: Rules) -> list[list[Flow]]:
    pairs: dict[tuple[str, str], list[Flow]] = {}
    for flow in rules.flows:
        pairs.setdefault((flow.source, flow.target), []).append(flow)
    return list(pairs.values())


def _shuffled(items: Iterable[Any], dice: random.Random) -> list[Any]:
    listed = list(items)
    dice.shuffle(listed)
    return listed


# --- Kubernetes --------------------------------------------------------------------------------


def network_policies_by_hand(rules: Rules, sites: Sites, dice: random.Random) -> list[Json]:
    """Write a wall for each namespace and two policies for each flow, selectors in either of their forms."""
    made: list[Json] = []
    for zone in rules.zones:
        types = ["Ingress", "Egress"]
        if dice.random() < 0.5:
            made.append(_policy(zone, {"podSelector": {}, "policyTypes": types}))
        else:
            made += [_policy(zone, {"podSelector": {}, "policyTypes": [one]}) for one in types]
    for flow in rules.flows:
        ports = [{"port": flow.port, "protocol": flow.protocol.upper()}]
        if flow.protocol == "tcp" and dice.random() < 0.5:
            ports = [{"port": flow.port, "endPort": flow.port}]
        for own, other, way, side in (
            (flow.target, flow.source, "ingress", "from"),
            (flow.source, flow.target, "egress", "to"),
        ):
            if own in rules.workloads:
                rule = {side: _peers(rules, sites, other, dice), "ports": ports}
                types = {"policyTypes": [way.capitalize()]}
                spec = {"podSelector": _selecting(own, dice), way: [rule], **types}
                made.append(_policy(rules.workloads[own].zone, spec))
    for number, one in enumerate(made):
        one["metadata"]["name"] = f"hand-{number}"
    return _shuffled(made, dice)


def _policy(zone: str, spec: Json) -> Json:
    head = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
    return {**head, "metadata": {"namespace": namespace_of(zone)}, "spec": spec}


def _selecting(service: str, dice: random.Random) -> Json:
    if dice.random() < 0.5:
        return {"matchLabels": {SERVICE_LABEL: service}}
    return {"matchExpressions": [{"key": SERVICE_LABEL, "operator": "In", "values": [service]}]}


def _peers(rules: Rules, sites: Sites, end: str, dice: random.Random) -> list[Json]:
    if end not in rules.workloads:
        return [{"ipBlock": {"cidr": network}} for network in networks_of(sites[end].addresses)]
    name = {"kubernetes.io/metadata.name": namespace_of(rules.workloads[end].zone)}
    return [{"namespaceSelector": {"matchLabels": name}, "podSelector": _selecting(end, dice)}]


def cluster_policies_by_hand(rules: Rules, sites: Sites, dice: random.Random) -> list[Json]:
    """Write one policy of the Admin tier for each service: its flows accepted, the rest denied.

    Sources outside cannot be named: what comes from there is neither accepted nor denied.
    """
    made: list[Json] = []
    for service, workload in rules.workloads.items():
        spec: Json = {"tier": "Admin", "priority": len(made)}
        where = {"matchLabels": {"kubernetes.io/metadata.name": namespace_of(workload.zone)}}
        spec["subject"] = {"pods": {"namespaceSelector": where, "podSelector": _selecting(service, dice)}}
        into = [flow for flow in rules.into(service) if flow.source in rules.workloads]
        for way, side, flows in (("ingress", "from", into), ("egress", "to", list(rules.out_of(service)))):
            spec[way] = [
                {
                    "action": "Accept",
                    side: _cluster_peers(rules, sites, flow.source if side == "from" else flow.target, dice),
                    "protocols": [{flow.protocol: {"destinationPort": {"number": flow.port}}}],
                }
                for flow in _shuffled(flows, dice)
            ]
            everybody: list[Json] = [{"namespaces": {}}]
            if side == "to":
                everybody = _shuffled([*everybody, {"networks": ["0.0.0.0/0", "::/0"]}], dice)
            spec[way].append({"action": "Deny", side: everybody})
        head = {"apiVersion": "policy.networking.k8s.io/v1alpha2", "kind": "ClusterNetworkPolicy"}
        made.append({**head, "metadata": {"name": f"hand-{len(made)}"}, "spec": spec})
    return _shuffled(made, dice)


def _cluster_peers(rules: Rules, sites: Sites, end: str, dice: random.Random) -> list[Json]:
    if end not in rules.workloads:
        return [{"networks": list(networks_of(sites[end].addresses))}]
    name = {"kubernetes.io/metadata.name": namespace_of(rules.workloads[end].zone)}
    return [{"pods": {"namespaceSelector": {"matchLabels": name}, "podSelector": _selecting(end, dice)}}]


# --- systemd, compose, sandbox -----------------------------------------------------------------


def unit_by_hand(rules: Rules, sites: Sites, service: str, dice: random.Random) -> str:
    """Write a whole unit: directives in any order, lists on one line, on many, or continued."""
    lines = ["NoNewPrivileges=true", "IPAddressDeny=any", "SocketBindDeny=any"]
    lines.append(f"RestrictAddressFamilies={' '.join(_shuffled(('AF_INET6', 'AF_UNIX', 'AF_INET'), dice))}")
    workload = rules.workloads[service]
    lines += [f"User={workload.uid}"] if workload.uid is not None else []
    denied = _shuffled((call for call in DENIED_CALLS if not call.startswith("execve")), dice)
    cut = dice.randint(1, len(denied) - 1)
    calls = [f"SystemCallFilter=~{' '.join(part)}" for part in (denied[:cut], denied[cut:])]
    calls[0] += " @swap @mount:EPERM"
    lines += [*calls, "SystemCallFilter=~execveat"]
    networks = [one for end in peers_of(rules, service) for one in networks_of(sites[end].addresses)]
    networks = _shuffled(networks, dice)
    if networks and dice.random() < 0.5:
        lines.append("IPAddressAllow=" + " \\\n   ".join(networks))
    else:
        lines += [f"IPAddressAllow = {one}" for one in networks]
    for flow in rules.into(service):
        one = f"SocketBindAllow={flow.protocol}:{flow.port}"
        both = [f"SocketBindAllow={family}:{flow.protocol}:{flow.port}" for family in ("ipv4", "ipv6")]
        lines += [one] if dice.random() < 0.5 else both
    unit = ["[Unit]", "Description=by hand", "", "[Service]", "# what it starts", "ExecStart=/bin/it"]
    return "\n".join([*unit, *_shuffled(lines, dice), "", "[Install]", "WantedBy=multi-user.target"]) + "\n"


def compose_by_hand(rules: Rules, dice: random.Random) -> Json:
    """Write a compose file with networks under other names, as lists or mappings, and ports in any form."""
    networks: Json = {}
    joined: dict[str, set[str]] = {service: set() for service in rules.workloads}
    for service in rules.workloads:
        for peer in peers_of(rules, service):
            is_inside = peer in rules.workloads
            name = "-".join(sorted((service, peer))) if is_inside else f"{service}-{OUTSIDE}"
            networks[name] = {"internal": True, "driver": "bridge"} if is_inside else None
            joined[service].add(name)
    services: Json = {}
    for service, names in joined.items():
        body: Json = {"image": "it", "restart": "always"}
        listed = _shuffled(sorted(names), dice)
        as_mapping = dict.fromkeys(listed, None) if dice.random() < 0.5 else listed
        body |= {"networks": as_mapping} if names else {"network_mode": "none"}
        flows = [flow for flow in rules.into(service) if flow.source in rules.externals]
        ports = [_published(flow, dice) for flow in flows]
        services[service] = body | ({"ports": _shuffled(ports, dice)} if ports else {})
    order = _shuffled(services, dice)
    return {"version": "3", "networks": networks, "services": {name: services[name] for name in order}}


def _published(flow: Flow, dice: random.Random) -> Any:
    short = f"{flow.port}/{flow.protocol}"
    address = f"127.0.0.1:{dice.randint(1024, 9999)}:{short}"
    long = {"target": flow.port, "published": 8_080, "protocol": flow.protocol, "mode": "host"}
    return dice.choice((short, f"{flow.port}:{short}", address, long))


def sandbox_by_hand(rules: Rules, service: str, dice: random.Random) -> Json:
    """Write a profile with its fields and lists in any order, some calls denied besides."""
    profile = compile_sandbox(rules, service)
    written = {
        "seccomp": {
            "udp_sockets": profile.uses_udp,
            "deny_calls": _shuffled([*profile.denied_calls, "swapon"], dice),
        },
        "landlock": {
            "write": ["/var/lib/it"],
            "read": ["/etc", "/usr"],
            "connect_tcp": _shuffled(profile.connects, dice) * 2,
            "bind_tcp": _shuffled(profile.listens, dice),
        },
        "no_new_privileges": True,
        "uid": profile.uid,
        "service": service,
    }
    return {key: written[key] for key in _shuffled(written, dice)}
