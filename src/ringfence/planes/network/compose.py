"""The rules as compose networks: one network for each pair of services that talk, and its reader.

Containers that share a network may talk on any port in either direction, so compose keeps apart what has no
flow at all and nothing finer. A network is internal unless it leads outside: a service with a flow to or from
an external has one of its own that is not, and ports that externals may reach are published.
"""

from collections.abc import Mapping
from typing import Any

from ringfence.planes.network.compile import Rules
from ringfence.planes.network.connections import ALL_CONNECTIONS, NO_CONNECTIONS, PROTOCOLS, Connections
from ringfence.planes.network.envelope import OUTSIDE, Envelope, peers_of, ports_of
from ringfence.planes.network.ranges import PORT_MAX, PORT_MIN, Ranges

Json = dict[str, Any]
DEFAULT_NETWORK = "default"


def render_compose(rules: Rules) -> Json:
    """Write the networks, and for each service the networks it joins and the ports it publishes.

    It is an override: images and commands stand in the compose file that it is added to.
    """
    networks: Json = {}
    joined: dict[str, list[str]] = {service: [] for service in rules.workloads}
    for service in rules.workloads:
        for peer in sorted(peers_of(rules, service)):
            name = _network_name(rules, service, peer)
            networks[name] = {"internal": True} if peer in rules.workloads else {}
            if name not in joined[service]:
                joined[service].append(name)
    services: Json = {}
    for service, names in joined.items():
        # Without a network of its own a container would join the default one.
        content: Json = {"networks": names} if names else {"network_mode": "none"}
        published = [flow for flow in rules.into(service) if flow.source in rules.externals]
        ports = sorted({(flow.port, flow.protocol) for flow in published})
        if ports:
            content["ports"] = [f"{port}:{port}/{protocol}" for port, protocol in ports]
        services[service] = content
    return {"services": services, "networks": networks}


def wanted_by_compose(rules: Rules) -> dict[str, Envelope]:
    """Return what the policy asks of each container, in the words that compose has."""
    return {
        service: Envelope(
            peers=frozenset(
                peer if peer in rules.workloads else OUTSIDE for peer in peers_of(rules, service)
            ),
            listens=ports_of(flow for flow in rules.into(service) if flow.source in rules.externals),
        )
        for service in rules.workloads
    }


def observe_compose(document: object) -> dict[str, Envelope]:
    """Read who may talk to whom in a compose file, written by anyone; what is no such file holds nobody."""
    whole = document if isinstance(document, dict) else {}
    services = _mapping(whole.get("services"))
    networks = _mapping(whole.get("networks"))
    joined = {name: _joined(_mapping(body)) for name, body in services.items()}
    return {
        name: Envelope(peers=_peers(name, joined, networks), listens=_published(_mapping(body)))
        for name, body in services.items()
    }


def _network_name(rules: Rules, service: str, peer: str) -> str:
    if peer in rules.workloads:
        return "rf-" + "-and-".join(sorted((service, peer)))
    return f"rf-{service}-{OUTSIDE}"


def _joined(body: Mapping[str, Any]) -> frozenset[str] | None:
    """Name the networks a container joins; None where it is on the machine's own, beside everything."""
    mode = body.get("network_mode")
    if mode == "none":
        return frozenset()
    if mode is not None and mode != "bridge":
        return None
    networks = body.get("networks")
    if isinstance(networks, list | dict) and networks:
        return frozenset(str(name) for name in networks)
    return frozenset((DEFAULT_NETWORK,))


def _peers(
    service: str, joined: Mapping[str, frozenset[str] | None], networks: Mapping[str, Any]
) -> frozenset[str]:
    own = joined[service]
    if own is None:
        return frozenset((*(name for name in joined if name != service), OUTSIDE))
    # A container on the machine's own network reaches all that leads outside.
    leads_out = any(_mapping(networks.get(name)).get("internal") is not True for name in own)
    peers = {
        name
        for name, theirs in joined.items()
        if name != service and (own & theirs if theirs is not None else leads_out)
    }
    return frozenset(peers | ({OUTSIDE} if leads_out else set()))


def _published(body: Mapping[str, Any]) -> Connections:
    total = NO_CONNECTIONS
    listed = body.get("ports")
    for entry in listed if isinstance(listed, list) else []:
        total |= _port_entry(entry)
    return total


def _port_entry(entry: Any) -> Connections:
    """Read `443`, `443:443`, `127.0.0.1:80:8080/udp`, `7000-7002:7000-7002`, or the long form.

    What cannot be read is taken to publish everything.
    """
    if isinstance(entry, dict):
        return _connections(str(entry.get("target", "")), str(entry.get("protocol", "tcp")))
    text, _, protocol = str(entry).partition("/")
    return _connections(text.rpartition(":")[2], protocol or "tcp")


def _connections(ports: str, protocol: str) -> Connections:
    bounds = ports.split("-")
    if not 1 <= len(bounds) <= 2 or not all(part.isascii() and part.isdigit() for part in bounds):
        return ALL_CONNECTIONS
    first, last = int(bounds[0]), int(bounds[-1])
    known = [name for name in PROTOCOLS if name == protocol.upper()]
    if not known or not PORT_MIN <= first <= last <= PORT_MAX:
        return ALL_CONNECTIONS
    return Connections.on(known[0], Ranges(((first, last),)))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
