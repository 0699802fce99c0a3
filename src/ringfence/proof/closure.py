"""Everything that falls with each service, for all services at once.

Services that can all reach each other are one knot; knots in order of reach need each other's answer once. A
set of services is one whole number with a bit for each, so joining two sets is one operation however large.
"""

from collections.abc import Iterable, Sequence


def all_falls(count: int, flows: Iterable[tuple[int, int]]) -> list[int]:
    """Return for each of `count` services the set that falls with it, itself included, as bits."""
    leaving: list[list[int]] = [[] for _ in range(count)]
    for source, target in flows:
        leaving[source].append(target)
    found = [0] * count
    for knot in _knots(leaving):
        reached = 0
        for service in knot:
            reached |= 1 << service
        for target in {target for service in knot for target in leaving[service]}:
            reached |= found[target]
        for service in knot:
            found[service] = reached
    return found


def members(bits: int) -> list[int]:
    """List the services of a set, in order."""
    text = bin(bits)[:1:-1]
    found = []
    place = text.find("1")
    while place >= 0:
        found.append(place)
        place = text.find("1", place + 1)
    return found


def _knots(leaving: Sequence[Sequence[int]]) -> Iterable[list[int]]:
    """Go through strongly connected components, those reached first (Tarjan, without recursion)."""
    order = [0] * len(leaving)
    low = [0] * len(leaving)
    on_stack = bytearray(len(leaving))
    stack: list[int] = []
    seen = 0
    for root in range(len(leaving)):
        if order[root]:
            continue
        work = [(root, 0)]
        while work:
            node, step = work.pop()
            if step == 0:
                seen += 1
                order[node] = low[node] = seen
                stack.append(node)
                on_stack[node] = 1
            targets = leaving[node]
            while step < len(targets):
                target = targets[step]
                step += 1
                if not order[target]:
                    work += [(node, step), (target, 0)]
                    break
                if on_stack[target]:
                    low[node] = min(low[node], order[target])
            else:
                if low[node] == order[node]:
                    knot: list[int] = []
                    while not knot or knot[-1] != node:
                        knot.append(stack.pop())
                        on_stack[knot[-1]] = 0
                    yield knot
                if work:
                    parent = work[-1][0]
                    low[parent] = min(low[parent], low[node])
