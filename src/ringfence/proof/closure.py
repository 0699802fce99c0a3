"""Everything that falls with each service, for all services at once.

A set of services is one whole number with a bit for each, so joining two sets is one operation however large.
"""

from collections.abc import Iterable

from ringfence.planes.network.reachability import reach


def all_falls(count: int, flows: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of `count` services the set that falls with it, itself included, as bits."""
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in flows:
        targets[source].append(target)
    return [bits | 1 << service for service, bits in enumerate(reach(targets))]


def members(bits: int) -> list[int]:
    """List the services of a set, in order."""
    text = bin(bits)[:1:-1]
    found = []
    place = text.find("1")
    while place >= 0:
        found.append(place)
        place = text.find("1", place + 1)
    return found
