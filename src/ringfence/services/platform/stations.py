"""What each service of a policy is, where it listens and whom it may call: ports from flows, addresses from
sites.

A policy has no word for what a service does; its name says it, as elsewhere in the policy language: `ledger`
verifies what is on the ledger plane, `risk` computes with it. A service of another name is a gateway where it
carries keys, holds none, and the ledger pulls from it.

With namespaces every end has the addresses of its site. On loopback each has an address of 127.64.0.0/10
instead, and ports that need root are moved up; then nothing stands between services but their identities.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.sites import Sites
from ringfence.policy.model import Policy

Mode = Literal["namespaces", "loopback"]

SERVICES = ("gateway", "matching", "marks", "risk", "ledger", "watcher", "wallet")
"""What a service may be, by the name that a policy gives it."""

CALLERS: Mapping[str, Mapping[str, str]] = {
    "gateway": {
        "order": "internet",
        "cancel": "internet",
        "request": "internet",
        "cancel_request": "internet",
        "change_key": "internet",
        "outcomes": "internet",
        "pull": "ledger",
    },
    "matching": {
        "submit": "gateway",
        "cancel": "gateway",
        "outcomes": "gateway",
        "prices": "marks",
        "fills": "ledger",
    },
    "marks": {"pull": "ledger"},
    "risk": {"check": "matching", "closings": "matching", "prices": "marks", "pull": "ledger"},
    "ledger": {"approved": "wallet", "signed": "wallet"},
    "watcher": {"arrivals": "ledger"},
    "wallet": {},
    "chain": {"entries": "watcher", "broadcast": "wallet"},
    "price_sources": {"quotes": "marks"},
}
"""Each method of each service, by the caller whose flow leads to the port that it is served on."""

STAND_INS = ("internet", "chain", "price_sources")
"""The externals that a stand-in plays in a lab; another one is silent."""

SILENT = "silent"

PRIVILEGED_MAX = 1023
MOVED_BY = 10_000
LANES = 1 << 14
"""How many platforms can have loopback addresses of their own on one machine."""

_LOOPBACK_FIRST = int(IPv4Address("127.64.0.1"))
_LANE_SIZE = 256


@dataclass(frozen=True, slots=True)
class Seat:
    """A peer seen from one service: where it listens for that service, and who it is (None: a stand-in)."""

    host: str
    port: int
    identity: str | None


@dataclass(frozen=True, slots=True)
class Station:
    """One end of the network as a process.

    kind: what it is: one of `SERVICES` or `STAND_INS`, or `SILENT`; hosts: its addresses; ports: for each
    caller, the port it comes in by; peers: whom it may call.
    """

    name: str
    kind: str
    identity: str | None
    hosts: tuple[str, ...]
    ports: Mapping[str, int]
    peers: Mapping[str, Seat]


def kinds_of(policy: Policy, rules: Rules) -> Mapping[str, str]:
    """Say what every end of a policy is; UsageError names services that nobody here can run."""
    kinds = {name: name if name in STAND_INS else SILENT for name in rules.externals}
    strangers = []
    for name, service in policy.services.items():
        if name in SERVICES:
            kinds[name] = name
        elif service.carries and not service.holds and port_between(rules, "ledger", name) is not None:
            kinds[name] = "gateway"
        else:
            strangers.append(name)
    if strangers:
        words = f"{', '.join(strangers)} of the policy cannot be run here: a service is what its name says"
        other = (
            "by any other name it is a gateway, which carries keys, holds none, and is pulled from by ledger"
        )
        raise UsageError(f"{words}, one of {', '.join(SERVICES)}; {other}")
    if "ledger" not in kinds:
        raise UsageError(
            f"the policy {rules.name} has no service named ledger, so there is no platform to run"
        )
    return kinds


def plan_stations(
    rules: Rules, sites: Sites, mode: Mode, kinds: Mapping[str, str], lane: int = 0
) -> Mapping[str, Station]:
    """Plan every end of a policy.

    kinds: see `kinds_of`; lane: on loopback, which of `LANES` sets of addresses; platforms in different ones
    do not meet.
    """
    hosts = _hosts(rules, sites, mode, lane)
    return {end: _station(rules, end, kinds[end], hosts, mode) for end in sorted(rules.ends)}


def port_between(rules: Rules, source: str, target: str) -> int | None:
    """Return the TCP port by which one end reaches another; the lowest of several, None where no flow is."""
    ports = [flow.port for flow in rules.out_of(source) if flow.target == target and flow.protocol == "tcp"]
    return min(ports, default=None)


def _station(rules: Rules, end: str, kind: str, hosts: Mapping[str, tuple[str, ...]], mode: Mode) -> Station:
    workload = rules.workloads.get(end)
    callers = dict.fromkeys(flow.source for flow in rules.into(end))
    called = dict.fromkeys(flow.target for flow in rules.out_of(end))
    ports = {source: port_between(rules, source, end) for source in callers}
    peers = {target: port_between(rules, end, target) for target in called}
    identities = {name: one.identity for name, one in rules.workloads.items()}
    return Station(
        end,
        kind,
        workload.identity if workload is not None else None,
        hosts[end],
        {source: _moved(port, mode) for source, port in ports.items() if port is not None},
        {
            target: Seat(hosts[target][0], _moved(port, mode), identities.get(target))
            for target, port in peers.items()
            if port is not None
        },
    )


def _hosts(rules: Rules, sites: Sites, mode: Mode, lane: int) -> Mapping[str, tuple[str, ...]]:
    if mode == "namespaces":
        return {end: (site.own_v4, site.own_v6) for end, site in sites.items()}
    first = _LOOPBACK_FIRST + lane % LANES * _LANE_SIZE
    return {end: (str(IPv4Address(first + n)),) for n, end in enumerate(sorted(rules.ends))}


def _moved(port: int, mode: Mode) -> int:
    return port + MOVED_BY if mode == "loopback" and port <= PRIVILEGED_MAX else port
