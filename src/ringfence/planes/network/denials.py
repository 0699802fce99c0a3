"""Why the kernel refused a service something: the limit, the policy's line behind it, and what is permitted.

A sandbox answers EACCES or EPERM and no word more. Every limit of a profile follows from the policy's line of
the service and from its flows, so the reason can be said afterwards from those.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.flow import explain, with_rule
from ringfence.planes.network.sandbox import SandboxProfile


@dataclass(frozen=True, slots=True)
class Denial:
    """What was refused and why; rule: the policy line it follows from; nearest: what would be permitted."""

    words: str
    rule: str
    nearest: str

    def __str__(self) -> str:
        line = f" ({self.rule})" if self.rule else ""
        return f"{self.words}{line}; {self.nearest}"


def denied_connection(rules: Rules, flow: Flow) -> Denial:
    """Say why a service may not open a connection, or send a datagram."""
    found = explain(rules, flow)
    ways = found.ways or tuple(with_rule(rules, other) for other in rules.out_of(flow.source))
    nearest = f"permitted are {', '.join(ways)}" if ways else f"{flow.source} may open no connection at all"
    return Denial(f"no flow of the policy permits {flow}", found.rule or _line(rules, flow.source), nearest)


def denied_file(rules: Rules, profile: SandboxProfile, path: str) -> Denial:
    """Say why a service may not open, list or change what is at a path."""
    own, shared = _nearest_path(path, profile.writes), _nearest_path(path, profile.reads)
    nearest = f"it may write {own or 'nothing'} and read {shared or 'nothing else'}"
    return Denial(f"{path} is no file of {profile.service}", _line(rules, profile.service), nearest)


def denied_call(rules: Rules, profile: SandboxProfile, call: str) -> Denial:
    """Say why a system call was refused to a service: no service needs it, whatever its flows are."""
    asked = [with_rule(rules, flow) for flow in rules.out_of(profile.service)]
    nearest = f"what it needs it asks others for by {', '.join(asked)}" if asked else "it may ask nobody"
    words = f"the sandbox refuses {call} to every service, {profile.service} too"
    return Denial(words, _line(rules, profile.service), nearest)


def denied_entry(rules: Rules, service: str, port: int) -> Denial:
    """Say why TLS let somebody not in at a port of a service: it lets in the sources of its flows only."""
    lets_in = [
        f"{workload.identity} ({rules.flows[flow].rule})"
        for flow in rules.into(service)
        if flow.port == port and (workload := rules.workloads.get(flow.source)) is not None
    ]
    nearest = f"port {port} lets in {', '.join(lets_in) or 'nobody with an identity'}"
    return Denial(f"{service} does not know that identity", _line(rules, service), nearest)


def _nearest_path(path: str, permitted: Iterable[str]) -> str:
    """Return the permitted path that has the most parts in common with another one from the start."""

    def in_common(other: str) -> int:
        pairs = zip(path.split("/"), other.split("/"), strict=False)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    return max(permitted, key=in_common, default="")


def _line(rules: Rules, service: str) -> str:
    workload = rules.workloads.get(service)
    return workload.rule if workload is not None else ""
