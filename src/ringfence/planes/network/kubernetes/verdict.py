"""What the policies of one side say about the connections to or from one peer, tier by tier.

Admin rules are asked first, in order of priority; a connection they neither allow nor deny, or pass on, goes
to the NetworkPolicies that select the pod: these are final, and what none of them allows is closed. Where no
NetworkPolicy selects the pod the baseline rules are asked, and what they leave over is open.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ringfence.planes.network.connections import ALL_CONNECTIONS, NO_CONNECTIONS, Connections
from ringfence.planes.network.kubernetes.model import NamedPort, Policy, PortChoice, Rule
from ringfence.planes.network.ranges import Ranges


@dataclass(frozen=True, slots=True)
class Piece:
    """Connections that are open or closed for one and the same cause.

    policy and rule are None where no rule speaks: then `policies` lists those that close by being there, and
    if that is empty too, the connections are open because nothing closes them.
    """

    connections: Connections
    is_open: bool
    policy: Policy | None = None
    rule: Rule | None = None
    policies: tuple[Policy, ...] = ()


Applying = tuple[Policy, tuple[Rule, ...]]
"""A policy that selects the pod, with those of its rules (in order) that mean the peer."""


def judge(applying: Sequence[Applying], ports: tuple[NamedPort, ...]) -> tuple[Piece, ...]:
    """Divide all connections into disjoint pieces, each open or closed.

    applying: policies in order of precedence; ports: the named ports of the target.
    """
    pieces: list[Piece] = []
    rest = _walk(_of_tier(applying, "admin"), ALL_CONNECTIONS, ports, pieces)
    isolating = list(_of_tier(applying, "network"))
    if isolating:
        closed = _open_pieces(isolating, rest, ports, pieces)
        if closed:
            pieces.append(Piece(closed, is_open=False, policies=tuple(policy for policy, _ in isolating)))
        return tuple(pieces)
    rest = _walk(_of_tier(applying, "baseline"), rest, ports, pieces)
    if rest:
        pieces.append(Piece(rest, is_open=True))
    return tuple(pieces)


def opened(pieces: Iterable[Piece]) -> Connections:
    """Return what is open among the pieces."""
    return Connections.union(piece.connections for piece in pieces if piece.is_open)


def connections_of(rule: Rule, ports: tuple[NamedPort, ...]) -> Connections:
    """Return the connections a rule speaks of, towards a target with these named ports."""
    if rule.ports is None:
        return ALL_CONNECTIONS
    return Connections.union(_connections_on(choice, ports) for choice in rule.ports)


def _connections_on(choice: PortChoice, ports: tuple[NamedPort, ...]) -> Connections:
    if choice.name is None:
        return Connections.on(choice.protocol, choice.ports) if choice.protocol else NO_CONNECTIONS
    return Connections.union(
        Connections.on(port.protocol, Ranges.single(port.port))
        for port in ports
        if port.name == choice.name and choice.protocol in (None, port.protocol)
    )


def _of_tier(applying: Sequence[Applying], tier: str) -> Iterable[Applying]:
    return (pair for pair in applying if pair[0].tier == tier)


def _walk(
    applying: Iterable[Applying], asked: Connections, ports: tuple[NamedPort, ...], pieces: list[Piece]
) -> Connections:
    """Ask ordered rules about `asked`; return what they pass on or do not speak of."""
    passed = NO_CONNECTIONS
    for policy, rules in applying:
        for rule in rules:
            hit = asked & connections_of(rule, ports)
            if not hit:
                continue
            asked = asked - hit
            if rule.action == "pass":
                passed = passed | hit
            else:
                pieces.append(Piece(hit, rule.action == "allow", policy, rule))
    return asked | passed


def _open_pieces(
    applying: Iterable[Applying], asked: Connections, ports: tuple[NamedPort, ...], pieces: list[Piece]
) -> Connections:
    """Open what any rule of any NetworkPolicy allows; return what stays closed."""
    for policy, rules in applying:
        for rule in rules:
            hit = asked & connections_of(rule, ports)
            if hit:
                asked = asked - hit
                pieces.append(Piece(hit, True, policy, rule))
    return asked
