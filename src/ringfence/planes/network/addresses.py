"""Sets of IP addresses, both families, exact to the single address."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from ringfence.planes.network.ranges import NOTHING, Range, Ranges

V4_WHOLE: Range = (0, 2**32 - 1)
V6_WHOLE: Range = (0, 2**128 - 1)


@dataclass(frozen=True, slots=True)
class Addresses:
    """A set of IPv4 and IPv6 addresses, each as ranges of the addresses read as whole numbers."""

    v4: Ranges = NOTHING
    v6: Ranges = NOTHING

    @classmethod
    def parse(cls, text: str) -> "Addresses":
        """Read one network such as `10.0.0.0/8` or one address; host bits are ignored.

        ValueError where the text is neither.
        """
        network = ip_network(text, strict=False)
        span = (int(network.network_address), int(network.broadcast_address))
        return cls(v4=Ranges((span,))) if network.version == 4 else cls(v6=Ranges((span,)))

    @classmethod
    def union(cls, parts: Iterable["Addresses"]) -> "Addresses":
        """Join any number of sets."""
        listed = tuple(parts)
        return cls(
            Ranges.of(span for part in listed for span in part.v4),
            Ranges.of(span for part in listed for span in part.v6),
        )

    def __bool__(self) -> bool:
        return bool(self.v4 or self.v6)

    def __or__(self, other: "Addresses") -> "Addresses":
        return Addresses(self.v4 | other.v4, self.v6 | other.v6)

    def __and__(self, other: "Addresses") -> "Addresses":
        return Addresses(self.v4 & other.v4, self.v6 & other.v6)

    def __sub__(self, other: "Addresses") -> "Addresses":
        return Addresses(self.v4 - other.v4, self.v6 - other.v6)

    def has(self, text: str) -> bool:
        """Say whether one address, written as text, is in the set; ValueError where it is no address."""
        address = ip_address(text)
        return int(address) in (self.v4 if address.version == 4 else self.v6)


NO_ADDRESSES = Addresses()
ALL_V4 = Addresses(v4=Ranges((V4_WHOLE,)))
ALL_V6 = Addresses(v6=Ranges((V6_WHOLE,)))


def show_v4(number: int) -> str:
    """Write an IPv4 address given as a whole number."""
    return str(IPv4Address(number))


def show_v6(number: int) -> str:
    """Write an IPv6 address given as a whole number."""
    return str(IPv6Address(number))
