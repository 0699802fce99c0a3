"""What a tool that cannot name flows still says about one service: whom it talks to, where it listens.

systemd knows addresses but neither ports nor directions of connections, compose knows who shares a
network, a sandbox knows ports but not ends. Each is compared with the policy in its own words: `None` stands
for what a tool does not say.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.connections import Connections
from ringfence.planes.network.observe import PROTOCOL_OF
from ringfence.planes.network.ranges import Ranges

OUTSIDE = "outside"
"""All externals together, for a tool that cannot tell them apart."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The limits of one service.

    peers: ends it may exchange packets with at all, and `partly` those of which only some addresses; listens:
    ports it may be reached on; connects: ports it may reach; limits: what it may not do besides, in the words
    of the tool's renderer.
    """

    peers: frozenset[str] | None = None
    partly: frozenset[str] = frozenset()
    listens: Connections | None = None
    connects: Connections | None = None
    limits: frozenset[str] | None = None


def differences(service: str, wanted: Envelope, seen: Envelope) -> tuple[str, ...]:
    """Say in words how the envelope that was read differs from the one the policy asks for."""
    found: list[str] = []
    if wanted.peers is not None and seen.peers is not None:
        found.extend(f"{service}: missing peer {end}" for end in sorted(wanted.peers - seen.peers))
        excess = (seen.peers | seen.partly) - wanted.peers
        found.extend(f"{service}: undeclared peer {end}" for end in sorted(excess))
    for what, one, other in (
        ("listens on", wanted.listens, seen.listens),
        ("connects to", wanted.connects, seen.connects),
    ):
        if one is not None and other is not None:
            if one - other:
                found.append(f"{service}: {what} {one - other} is declared and closed")
            if other - one:
                found.append(f"{service}: {what} {other - one} is open and not declared")
    if wanted.limits is not None and seen.limits is not None:
        lost = sorted(wanted.limits - seen.limits)
        found.extend(f"{service}: the limit `{limit}` is declared and does not hold" for limit in lost)
    return tuple(found)


def all_differences(wanted: Mapping[str, Envelope], seen: Mapping[str, Envelope]) -> tuple[str, ...]:
    """Say how everything that was read differs; a service without an envelope is not held at all."""
    found: list[str] = []
    for service, envelope in wanted.items():
        if service in seen:
            found.extend(differences(service, envelope, seen[service]))
        else:
            found.append(f"{service}: nothing holds it")
    found.extend(
        f"{service}: the policy has no such service" for service in sorted(seen.keys() - wanted.keys())
    )
    return tuple(found)


def peers_of(rules: Rules, service: str) -> frozenset[str]:
    """Name the ends that a service exchanges packets with, in either direction."""
    into = {flow.source for flow in rules.into(service)}
    return frozenset(into | {flow.target for flow in rules.out_of(service)})


def ports_of(flows: Iterable[Flow]) -> Connections:
    """Return the ports that flows use."""
    return Connections.union(
        Connections.on(PROTOCOL_OF[flow.protocol], Ranges.single(flow.port)) for flow in flows
    )
