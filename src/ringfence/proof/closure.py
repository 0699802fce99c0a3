"""Everything that falls with each service, for all services at once.

A set of services is one whole number with a bit for each, so joining two sets is one operation however large.
"""

from collections.abc import Iterable

from ringfence.planes.network.reachability import reach


def all_falls(count: int, flows: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of `count` services the set that falls with it, itself included, as bits.

    Services that connect to the same ones, as those of one zone do, share one list of them: a point behind
    the services stands for each list.
    """
    targets: list[list[int]] = [[] for _ in range(count)]
    for source, target in flows:
        targets[source].append(target)
    lists: dict[frozenset[int], int] = {}
    points = [[count + lists.setdefault(frozenset(listed), len(lists))] for listed in targets]
    reached = reach([*points, *map(list, lists)])
    services = (1 << count) - 1
    return [reached[service] & services | 1 << service for service in range(count)]


def members(bits: int) -> list[int]:
    """List the services of a set, in order."""
    text = bin(bits)[:1:-1]
    found = []
    place = text.find("1")
    while place >= 0:
        found.append(place)
        place = text.find("1", place + 1)
    return found
