"""The policy's services and flows as the rules of the network plane.

A zone grants nothing: two services of one zone need a flow like any others. Every permission keeps the policy
line it comes from, so that whatever enforces it can say why.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from ringfence.policy.model import Policy

Transport = Literal["tcp", "udp"]
"""The protocols a flow may use, as the policy writes them."""

TRANSPORTS: tuple[Transport, ...] = ("tcp", "udp")


@dataclass(frozen=True, slots=True, order=True)
class Flow:
    """`source` may open connections to `port` of `target`; both are services or externals, by name."""

    source: str
    target: str
    protocol: Transport
    port: int

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} {self.protocol} {self.port}"


@dataclass(frozen=True, slots=True)
class Permission:
    """What permits a flow: the policy line as `file:line`, and what the flow is for in the policy's words."""

    rule: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Workload:
    """A service of the policy: its zone, SPIFFE id and user, and the line that declares it."""

    name: str
    zone: str
    identity: str
    uid: int | None
    rule: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything the network plane enforces; what is not in `flows` may not be opened.

    name: the policy's; flows: every permitted flow, in order, with what permits it.
    """

    name: str
    zones: tuple[str, ...]
    workloads: Mapping[str, Workload]
    externals: tuple[str, ...]
    flows: Mapping[Flow, Permission]

    @property
    def ends(self) -> tuple[str, ...]:
        """The names of all services and externals, services first."""
        return (*self.workloads, *self.externals)

    def of_zone(self, zone: str) -> tuple[str, ...]:
        """Name the services of a zone."""
        return tuple(name for name, workload in self.workloads.items() if workload.zone == zone)

    def into(self, target: str) -> Iterator[Flow]:
        """List the flows that end at `target`."""
        return (flow for flow in self.flows if flow.target == target)

    def out_of(self, source: str) -> Iterator[Flow]:
        """List the flows that start at `source`."""
        return (flow for flow in self.flows if flow.source == source)


def compile_flows(policy: Policy) -> Rules:
    """Turn the services and flows of a checked policy into rules; a flow written twice counts once."""
    workloads = {
        name: Workload(name, service.zone, service.identity, service.uid, policy.line("services", name))
        for name, service in sorted(policy.services.items())
    }
    permitted: dict[Flow, Permission] = {}
    for index, declared in enumerate(policy.flows):
        permission = Permission(policy.line("flows", str(index)), declared.purpose or "")
        for source in declared.sources:
            for target in declared.targets:
                permitted.setdefault(Flow(source, target, declared.protocol, declared.port), permission)
    return Rules(
        name=policy.name,
        zones=policy.zones,
        workloads=MappingProxyType(workloads),
        externals=policy.externals,
        flows=MappingProxyType(dict(sorted(permitted.items()))),
    )


def digest(rules: Rules) -> str:
    """Return 64 hex digits that stand for what the rules permit and between whom, whatever permits it."""
    ends = [f"{name} {workload.zone}" for name, workload in sorted(rules.workloads.items())]
    said = "\n".join([*ends, *sorted(rules.externals), *map(str, sorted(rules.flows))])
    return hashlib.sha256(said.encode()).hexdigest()
