"""What one match of an nftables rule asks of a packet, and whether the packet answers it.

The packet is the first of a new connection between two ranges of addresses; its destination port is left
open, so an answer about the port is a set of ports.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.compile import Transport
from ringfence.planes.network.nft_ruleset import Element, Ruleset
from ringfence.planes.network.ranges import NOTHING, PORT_MAX, PORT_MIN, Range, Ranges, segments

IDLE = frozenset({"counter", "log", "comment", "mangle", "nftrace", "set"})
"""Statements that decide nothing."""

_NARROWING = frozenset({"match", "limit", "quota", "ct count"})
"""Statements that only say which packets the rest of their rule is for."""

_NUMBER_OF = {"tcp": 6, "udp": 17}
_FAMILY_NAMES = {"ip": ("ipv4", 2), "ip6": ("ipv6", 10)}
_META = ("iifname", "oifname", "iif", "oif", "l4proto", "nfproto")
_EVERY = Ranges(((PORT_MIN, PORT_MAX),))


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet of a connection, its port left open.

    family: ip or ip6; source, target: a range of addresses that no rule tells apart.
    """

    family: str
    protocol: Transport
    interface_in: str
    interface_out: str
    source: Range
    target: Range


def verb_of(statement: Any) -> str:
    """Name what a statement does: its one key, or itself where it is only a word."""
    if isinstance(statement, dict) and statement:
        return str(next(iter(statement)))
    return statement if isinstance(statement, str) else ""


def may_decide(rule: Sequence[Any]) -> bool:
    """Say whether a rule has more than matches and what is of no account: one that counts decides nothing."""
    return any(verb_of(statement) not in _NARROWING | IDLE for statement in rule)


def field_of(left: Any) -> str | None:
    """Name the field that the left side of a match reads; None where it is none that is understood."""
    if not isinstance(left, dict) or len(left) != 1:
        return None
    kind, body = next(iter(left.items()))
    if not isinstance(body, dict):
        return None
    if kind == "meta" and body.get("key") in _META:
        return (
            str(body["key"]).replace("iif", "iifname").replace("oif", "oifname").replace("namename", "name")
        )
    if kind == "ct" and body.get("key") == "state":
        return "state"
    if kind == "fib" and body.get("result") == "oif" and "saddr" in body.get("flags", ()):
        return "route back"
    return _payload_field(body) if kind == "payload" else None


def _payload_field(body: Mapping[str, Any]) -> str | None:
    protocol, field = body.get("protocol"), body.get("field")
    if protocol in ("th", "tcp", "udp") and field == "dport":
        return "dport"
    if protocol in ("ip", "ip6") and field in ("saddr", "daddr"):
        return str(field)
    if protocol in ("icmp", "icmpv6"):
        return "icmp"
    return "l4proto" if (protocol, field) in (("ip", "protocol"), ("ip6", "nexthdr")) else None


def has_field(left: Any, packet: Packet) -> bool:
    """Say whether the packet has what the left side reads: a match on another protocol passes it by."""
    if isinstance(left, dict) and "concat" in left:
        return all(has_field(part, packet) for part in left["concat"])
    body = left.get("payload") if isinstance(left, dict) else None
    if not isinstance(body, dict):
        return True
    protocol = body.get("protocol")
    if protocol in ("icmp", "icmpv6"):
        return False
    if protocol in ("tcp", "udp"):
        return bool(protocol == packet.protocol)
    return protocol not in ("ip", "ip6") or bool(protocol == packet.family)


def ports_of(value: Any) -> Ranges:
    """Read a port, a range of ports or a set of them; nothing where it is none."""
    if isinstance(value, bool):
        return NOTHING
    if isinstance(value, int):
        return Ranges(((value, value),)) if PORT_MIN <= value <= PORT_MAX else NOTHING
    if isinstance(value, str) and value.isdigit():
        return ports_of(int(value))
    if isinstance(value, dict) and isinstance(value.get("range"), list) and len(value["range"]) == 2:
        first, last = value["range"]
        if isinstance(first, int) and isinstance(last, int) and first <= last:
            return Ranges(((first, last),)) & _EVERY
    if isinstance(value, dict) and isinstance(value.get("set"), list):
        return Ranges.of(span for item in value["set"] for span in ports_of(item))
    return NOTHING


def holds(field: str, value: Any, packet: Packet) -> bool:
    """Say whether a field of the packet has a value."""
    if isinstance(value, list):
        return any(holds(field, one, packet) for one in value)
    if isinstance(value, dict) and isinstance(value.get("set"), list):
        return any(holds(field, one, packet) for one in value["set"])
    if field in ("iifname", "oifname"):
        return _is_interface(packet.interface_in if field == "iifname" else packet.interface_out, value)
    if field == "l4proto":
        return value in (packet.protocol, _NUMBER_OF[packet.protocol])
    if field == "nfproto":
        return value in _FAMILY_NAMES[packet.family]
    if field in ("saddr", "daddr"):
        return _is_within(packet.source if field == "saddr" else packet.target, value, packet.family)
    if field == "state":
        return value in ("new", 8)
    # A packet of an end comes from where it would be answered: its way back exists.
    return value is True if field == "route back" else False


def _is_interface(name: str, wanted: Any) -> bool:
    if not isinstance(wanted, str):
        return False
    return name.startswith(wanted[:-1]) if wanted.endswith("*") else name == wanted


def _is_within(span: Range, value: Any, family: str) -> bool:
    """Say whether a range of addresses, which no rule cuts, lies in a network."""
    found = addresses_of(value)
    if found is None:
        return False
    return span[0] in (found.v4 if family == "ip" else found.v6)


def addresses_of(value: Any) -> Addresses | None:
    """Read an address, a prefix or a range of addresses; None where it is none."""
    try:
        if isinstance(value, str):
            # Most texts in rules are words; asking ipaddress about each would take most of the time.
            return Addresses.parse(value) if "." in value or ":" in value else None
        if isinstance(value, dict) and isinstance(value.get("prefix"), dict):
            prefix = value["prefix"]
            return Addresses.parse(f"{prefix.get('addr')}/{prefix.get('len')}")
        if isinstance(value, dict) and isinstance(value.get("range"), list) and len(value["range"]) == 2:
            return _address_range(*value["range"])
    except ValueError:
        return None
    return None


def _address_range(first: Any, last: Any) -> Addresses | None:
    if not (isinstance(first, str) and isinstance(last, str)):
        return None
    one, other = ip_network(first), ip_network(last)
    span = int(one.network_address), int(other.network_address)
    if one.version != other.version or span[0] > span[1]:
        return None
    return Addresses(v4=Ranges((span,))) if one.version == 4 else Addresses(v6=Ranges((span,)))


def pairs_of(listed: Sequence[Any]) -> list[Element]:
    """Read a set or map that is written inside a rule."""
    found: list[Element] = []
    for item in listed:
        key, verdict = (item[0], item[1]) if isinstance(item, list) and len(item) == 2 else (item, None)
        if isinstance(key, dict) and isinstance(key.get("elem"), dict):
            key = key["elem"].get("val")
        found.append((key, verdict))
    return found


def networks_in(ruleset: Ruleset, rules: Sequence[Sequence[Any]]) -> Iterator[Addresses]:
    """List every network that rules name, or the sets and maps that they ask: between them lie the cuts."""
    # A set that rules only fill decides nothing, and may hold thousands of addresses.
    asked = str([one for rule in rules for one in rule if verb_of(one) != "set"])
    yield from _networks_within(list(rules))
    for table in ruleset.tables.values():
        for name, listed in table.collections.items():
            if f"'@{name}'" in asked:
                yield from _networks_within([key for key, _ in listed])


def _networks_within(value: Any) -> Iterator[Addresses]:
    found = addresses_of(value)
    if found is not None:
        yield found
    elif isinstance(value, list):
        for item in value:
            yield from _networks_within(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _networks_within(item)


def cut(spans: Ranges, whole: Range, cuts: Iterable[Ranges]) -> Iterator[Range]:
    """Cut a set of addresses into ranges that lie wholly inside or outside each of `cuts`."""
    listed = list(cuts)
    for segment in segments(whole, [spans, *listed]):
        if segment[0] in spans:
            yield segment


class ElementIndex:
    """The elements of a set or map by the interfaces and protocol in their key, where it has them.

    A hub's map has an element for each flow; without this every pair of ends would read all of them.
    """

    def __init__(self, elements: Sequence[Element], left: Any) -> None:
        parts = left["concat"] if isinstance(left, dict) and "concat" in left else [left]
        self._fields = [field_of(part) for part in parts]
        self._is_concat = isinstance(left, dict) and "concat" in left
        self._exact: dict[tuple[str, ...], list[Element]] = {}
        self._others: list[Element] = []
        for element in elements:
            key = self._key(element[0])
            if key is None:
                self._others.append(element)
            else:
                self._exact.setdefault(key, []).append(element)

    def candidates(self, packet: Packet) -> Iterator[Element]:
        """List the elements that may be the packet's."""
        known = {"iifname": packet.interface_in, "oifname": packet.interface_out}
        wanted = tuple(known[field] for field in self._fields if field in known)
        yield from self._exact.get(wanted, ())
        yield from self._others

    def _key(self, value: Any) -> tuple[str, ...] | None:
        parts = value.get("concat") if self._is_concat and isinstance(value, dict) else [value]
        if not isinstance(parts, list) or len(parts) != len(self._fields):
            return None
        names = [
            part for part, field in zip(parts, self._fields, strict=True) if field in ("iifname", "oifname")
        ]
        exact = all(isinstance(name, str) and not name.endswith("*") for name in names)
        return tuple(names) if exact else None
