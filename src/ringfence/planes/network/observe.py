"""What a plane's rules, read back, really permit, and how that differs from what was declared.

An end may have many addresses, and a rule may mean some of them. `possible` is what any address of the source
could open to any address of the target, in either IP family; `certain` is what every one of them can. Nothing
undeclared may be possible, and everything declared must be certain.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ringfence.planes.network.compile import Flow, Rules, Transport
from ringfence.planes.network.connections import NO_CONNECTIONS, Connections, Protocol
from ringfence.planes.network.ranges import Ranges
from ringfence.policy.model import Finding

Pair = tuple[str, str]
"""Source and target, by name."""

PROTOCOL_OF: Mapping[Transport, Protocol] = {"tcp": "TCP", "udp": "UDP"}


@dataclass(frozen=True, slots=True)
class Observed:
    """What rules permit between the ends of a policy; a pair that is not there may do nothing.

    findings: what could not be understood; where that could open something it is taken to.
    """

    possible: Mapping[Pair, Connections]
    certain: Mapping[Pair, Connections]
    findings: tuple[Finding, ...] = ()

    def flows(self) -> frozenset[Flow]:
        """List what is possible, port by port: for rules that open few ports, as compiled ones do."""
        return frozenset(
            Flow(source, target, transport, port)
            for (source, target), connections in self.possible.items()
            for transport, protocol in PROTOCOL_OF.items()
            for first, last in connections.ports(protocol)
            for port in range(first, last + 1)
        )


@dataclass(frozen=True, slots=True)
class Excess:
    """Connections that the rules permit and the policy does not."""

    source: str
    target: str
    connections: Connections

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} {self.connections}"


@dataclass(frozen=True, slots=True)
class Drift:
    """Missing: declared and not permitted everywhere; excess: permitted somewhere and not declared."""

    missing: tuple[Flow, ...]
    excess: tuple[Excess, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.excess)


def observed(
    connections: Iterable[tuple[Pair, Connections, Connections]], findings: Iterable[Finding] = ()
) -> Observed:
    """Gather what is possible and certain between pairs."""
    possible: dict[Pair, Connections] = {}
    certain: dict[Pair, Connections] = {}
    for pair, may, must in connections:
        if may:
            possible[pair] = possible.get(pair, NO_CONNECTIONS) | may
        if must:
            certain[pair] = certain.get(pair, NO_CONNECTIONS) | must
    return Observed(possible, certain, tuple(dict.fromkeys(findings)))


def declared(rules: Rules) -> dict[Pair, Connections]:
    """Return what the policy declares between pairs."""
    found: dict[Pair, Connections] = {}
    for flow in rules.flows:
        pair = flow.source, flow.target
        opened = Connections.on(PROTOCOL_OF[flow.protocol], Ranges.single(flow.port))
        found[pair] = found.get(pair, NO_CONNECTIONS) | opened
    return found


def drift(rules: Rules, seen: Observed, pairs: Iterable[Pair] | None = None) -> Drift:
    """Compare what is permitted with what was declared.

    pairs: the only ones that the observed rules decide, where they do not decide all.
    """
    wanted = declared(rules)
    asked = {*wanted, *seen.possible} if pairs is None else set(pairs)
    missing = [
        flow
        for flow in rules.flows
        if (pair := (flow.source, flow.target)) in asked
        and not seen.certain.get(pair, NO_CONNECTIONS).has(PROTOCOL_OF[flow.protocol], flow.port)
    ]
    excess = [
        Excess(*pair, extra)
        for pair in sorted(asked)
        if (extra := seen.possible.get(pair, NO_CONNECTIONS) - wanted.get(pair, NO_CONNECTIONS))
    ]
    return Drift(tuple(missing), tuple(excess))
