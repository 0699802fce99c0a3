"""The attempts of an intruder with the reason why they failed: each wall, and the line of the policy."""

from collections.abc import Iterable

import msgspec

from ringfence.planes.network.compile import Flow, Rules, Transport
from ringfence.planes.network.denials import (
    Denial,
    denied_call,
    denied_connection,
    denied_entry,
    denied_file,
)
from ringfence.planes.network.sandbox import SandboxProfile
from ringfence.services.platform.intruder import Attempt
from ringfence.services.platform.stations import CALLERS

_CALLS = {
    "new program": "execve",
    "new namespace": "unshare",
    "another process": "ptrace and signals to other processes",
    "UNIX socket": "new UNIX sockets",
    "netlink socket": "netlink sockets",
    "raw socket": "raw sockets",
}


def explained(attempts: Iterable[Attempt], rules: Rules, profile: SandboxProfile) -> tuple[Attempt, ...]:
    """Put the reason in the words of every attempt that failed on a wall which says nothing itself."""
    return tuple(_explained(one, rules, profile) for one in attempts)


def _explained(attempt: Attempt, rules: Rules, profile: SandboxProfile) -> Attempt:
    if attempt.through >= attempt.tried:
        return attempt
    denial = _denial(attempt, rules, profile)
    return attempt if denial is None else msgspec.structs.replace(attempt, words=str(denial))


def _denial(attempt: Attempt, rules: Rules, profile: SandboxProfile) -> Denial | None:
    match attempt.kind:
        case "file":
            return denied_file(rules, profile, attempt.target)
        case "process":
            return denied_call(rules, profile, _CALLS.get(attempt.target, attempt.target))
        case "undeclared connection" | "datagram":
            protocol: Transport = "udp" if attempt.kind == "datagram" else "tcp"
            flow = _undeclared(rules, profile.service, attempt.target, protocol)
            return denied_connection(rules, flow) if flow is not None else None
        case "call" | "unapproved payment" | "unapproved withdrawal" | "false price":
            return _denied_call_of(attempt, rules, profile.service)
        case "forged identity" | "replayed recording":
            ports = [flow.port for flow in rules.into(attempt.target) if flow.source == profile.service]
            return denied_entry(rules, attempt.target, min(ports)) if ports else None
    return None


def _undeclared(rules: Rules, service: str, target: str, protocol: Transport) -> Flow | None:
    """Take one connection that the policy does not permit, of the many that were tried."""
    ports = sorted({flow.port for flow in rules.into(target)} | {flow.port for flow in rules.flows})
    flows = (Flow(service, target, protocol, port) for port in ports)
    return next((flow for flow in flows if flow not in rules.flows), None)


def _denied_call_of(attempt: Attempt, rules: Rules, service: str) -> Denial | None:
    """Say that no flow leads to a peer, or that the method is for others; else its own answer says why."""
    target, _, method = attempt.target.partition(".")
    if any(flow.target == target for flow in rules.out_of(service)):
        return _denied_method(target, method, rules, service)
    flow = _undeclared(rules, service, target, "tcp")
    return denied_connection(rules, flow) if flow is not None else None


def _denied_method(target: str, method: str, rules: Rules, service: str) -> Denial | None:
    """Say whom a method is for that its service serves on another port."""
    caller = CALLERS.get(target, {}).get(method)
    flows = [flow for flow in rules.into(target) if flow.source == caller]
    if caller is None or caller == service or not flows:
        return None
    way = f"permitted is {flows[0]} ({rules.flows[flows[0]].rule})"
    workload = rules.workloads.get(target)
    return Denial(f"{method} of {target} is for {caller}", workload.rule if workload else "", way)
