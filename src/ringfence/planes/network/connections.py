"""What may pass between two ends: for each protocol, a set of ports.

`str` writes it as other analysers do: `TCP 80,443,UDP 53`, `All Connections`, `No Connections`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ringfence.planes.network.ranges import ALL_PORTS, NOTHING, Ranges

Protocol = Literal["TCP", "UDP", "SCTP"]
PROTOCOLS: tuple[Protocol, ...] = ("SCTP", "TCP", "UDP")
"""The protocols with ports that policies speak of, in the order they are shown."""


@dataclass(frozen=True, slots=True)
class Connections:
    """The ports that are open for each protocol."""

    sctp: Ranges = NOTHING
    tcp: Ranges = NOTHING
    udp: Ranges = NOTHING

    @classmethod
    def on(cls, protocol: Protocol, ports: Ranges) -> "Connections":
        """Build the connections of one protocol."""
        return cls(**{protocol.lower(): ports})

    @classmethod
    def union(cls, parts: Iterable["Connections"]) -> "Connections":
        """Join any number of sets of connections."""
        whole = NO_CONNECTIONS
        for part in parts:
            whole = whole | part
        return whole

    def ports(self, protocol: Protocol) -> Ranges:
        """Return the ports that are open for one protocol."""
        return {"SCTP": self.sctp, "TCP": self.tcp, "UDP": self.udp}[protocol]

    def has(self, protocol: Protocol, port: int) -> bool:
        """Say whether one port of one protocol is open."""
        return port in self.ports(protocol)

    def __bool__(self) -> bool:
        return bool(self.sctp or self.tcp or self.udp)

    def __or__(self, other: "Connections") -> "Connections":
        return Connections(self.sctp | other.sctp, self.tcp | other.tcp, self.udp | other.udp)

    def __and__(self, other: "Connections") -> "Connections":
        return Connections(self.sctp & other.sctp, self.tcp & other.tcp, self.udp & other.udp)

    def __sub__(self, other: "Connections") -> "Connections":
        return Connections(self.sctp - other.sctp, self.tcp - other.tcp, self.udp - other.udp)

    def __str__(self) -> str:
        if self == ALL_CONNECTIONS:
            return "All Connections"
        parts = [f"{name} {self.ports(name)}" for name in PROTOCOLS if self.ports(name)]
        return ",".join(parts) or "No Connections"


NO_CONNECTIONS = Connections()
ALL_CONNECTIONS = Connections(ALL_PORTS, ALL_PORTS, ALL_PORTS)
