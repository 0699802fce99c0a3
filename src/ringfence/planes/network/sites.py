"""Where each service and external is found on a network: its interface at the hub and its addresses.

Without further word every end gets a private place of its own, as the lab builds it: a /30 of 10.77.0.0/16
and a /64 of fd77::/48, numbered in order of names. For a real network the caller gives the networks of an
end; where those of two ends overlap, an address belongs to the narrower one, so that `internet` may be
0.0.0.0/0.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address, summarize_address_range

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.addresses import Addresses
from ringfence.planes.network.compile import Rules

INTERFACE_NAME_MAX = 15
INNER_INTERFACE = "rf0"
"""The interface towards the hub inside the place of a service."""

SITES_MAX = 16_384
_V4_FIRST = int(IPv4Address("10.77.0.0"))
_V6_FIRST = int(IPv6Address("fd77::"))


@dataclass(frozen=True, slots=True)
class Site:
    """Where one end is.

    interface: the hub's interface towards it; addresses: all that are its own; own_v4, own_v6: its place in
    the lab; hub_v4, hub_v6: the hub's address on the same link; inner: its own interface towards the hub.
    """

    interface: str
    addresses: Addresses
    own_v4: str
    own_v6: str
    hub_v4: str
    hub_v6: str
    inner: str = INNER_INTERFACE


Sites = Mapping[str, Site]
"""The site of every service and external, by name."""


def plan_sites(
    rules: Rules,
    networks: Mapping[str, Iterable[str]] | None = None,
    interfaces: Mapping[str, str] | None = None,
) -> Sites:
    """Give every end of the policy a site.

    networks: for some ends, their real networks as text; interfaces: for some, the name of a real interface,
    which is the hub's towards them in the rules of the hub, and their own in theirs. UsageError for an end
    that the policy does not have, for what is no network, for two ends with the same network, and for more
    ends than there are places.
    """
    ends = sorted(rules.ends)
    if len(ends) > SITES_MAX:
        raise UsageError(
            f"the policy has {len(ends)} services and externals; at most {SITES_MAX} have places"
        )
    places = {end: _place(end, index) for index, end in enumerate(ends)}
    for end, name in (interfaces or {}).items():
        _require_end(rules, end)
        places[end] = replace(places[end], interface=name, inner=name)
    given = _exact_networks(rules, places, networks or {})
    return {end: replace(place, addresses=given.get(end, place.addresses)) for end, place in places.items()}


def interface_of(end: str) -> str:
    """Name the hub's interface towards an end: its name, shortened with a digest where it is too long."""
    if len(end) <= INTERFACE_NAME_MAX - 2:
        return f"i_{end}"
    digest = hashlib.sha256(end.encode()).hexdigest()[:5]
    return f"i_{end[: INTERFACE_NAME_MAX - 8]}_{digest}"


def networks_of(addresses: Addresses) -> tuple[str, ...]:
    """Write a set of addresses as the fewest networks, IPv4 first, such as `10.0.0.0/8` and `10.1.2.3/32`."""
    found: list[str] = []
    for first, last in addresses.v4:
        found.extend(map(str, summarize_address_range(IPv4Address(first), IPv4Address(last))))
    for first, last in addresses.v6:
        found.extend(map(str, summarize_address_range(IPv6Address(first), IPv6Address(last))))
    return tuple(found)


def blocks_of(addresses: Addresses) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Write a set of addresses as networks with holes, where that is shorter than without."""
    found: list[tuple[str, tuple[str, ...]]] = []
    for family in (Addresses(v4=addresses.v4), Addresses(v6=addresses.v6)):
        networks = networks_of(family)
        if not networks:
            continue
        cover = _cover_of(family)
        holes = networks_of(Addresses.parse(cover) - family)
        found.extend([(cover, holes)] if 1 + len(holes) < len(networks) else [(one, ()) for one in networks])
    return tuple(found)


def _cover_of(family: Addresses) -> str:
    """Return the smallest network that holds all addresses of one family."""
    spans, bits = (family.v4.spans, 32) if family.v4 else (family.v6.spans, 128)
    length = bits - (spans[0][0] ^ spans[-1][1]).bit_length()
    base = spans[0][0] >> (bits - length) << (bits - length)
    return f"{IPv4Address(base) if bits == 32 else IPv6Address(base)}/{length}"


def _place(end: str, index: int) -> Site:
    v4, v6 = _V4_FIRST + 4 * index, _V6_FIRST + (index << 64)
    own_v4, own_v6 = str(IPv4Address(v4 + 2)), str(IPv6Address(v6 + 2))
    hub_v4, hub_v6 = str(IPv4Address(v4 + 1)), str(IPv6Address(v6 + 1))
    own = Addresses.parse(own_v4) | Addresses.parse(own_v6)
    return Site(interface_of(end), own, own_v4, own_v6, hub_v4, hub_v6)


def _exact_networks(
    rules: Rules, places: Mapping[str, Site], networks: Mapping[str, Iterable[str]]
) -> dict[str, Addresses]:
    """Cut the given networks so that no address belongs to two ends, nor to a place that keeps its own."""
    named = [(end, _parse(rules, end, text)) for end, texts in networks.items() for text in texts]
    named.sort(key=lambda pair: (_size(pair[1]), pair[0]))
    exact = {end: Addresses() for end in networks}
    taken = Addresses.union(place.addresses for end, place in places.items() if end not in networks)
    for end, network in named:
        mine = network - (taken - exact[end])
        if not mine:
            raise UsageError(f"{', '.join(networks_of(network))} of {end} belongs to others already")
        exact[end] |= mine
        taken |= network
    return exact


def _parse(rules: Rules, end: str, text: str) -> Addresses:
    _require_end(rules, end)
    try:
        return Addresses.parse(text)
    except ValueError:
        raise UsageError(f"network of {end} was {text!r}; write one such as 10.0.0.0/8") from None


def _require_end(rules: Rules, end: str) -> None:
    if end not in rules.ends:
        raise UsageError(f"the policy has no service or external {end!r}; it has {', '.join(rules.ends)}")


def _size(network: Addresses) -> int:
    return network.v4.size + network.v6.size
