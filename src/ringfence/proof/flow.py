"""Exact maximum flow and its smallest cut, in Python integers of any size (Dinic's algorithm).

`UNLIMITED` is a capacity no real sum reaches: a flow of that size or more has no bound.
"""

from collections import deque

UNLIMITED = 1 << 256
"""More than any sum of caps: money is below 2^128 and there are fewer than 2^64 arcs."""


class Network:
    """Arcs with capacities between numbered points. Arc 2i and its reverse 2i + 1 share a place."""

    def __init__(self) -> None:
        self._target: list[int] = []
        self._room: list[int] = []
        self._leaving: list[list[int]] = []

    def point(self) -> int:
        """Add a point and return its number."""
        self._leaving.append([])
        return len(self._leaving) - 1

    def arc(self, source: int, target: int, capacity: int) -> int:
        """Add an arc and return its number."""
        number = len(self._target)
        self._target += [target, source]
        self._room += [capacity, 0]
        self._leaving[source].append(number)
        self._leaving[target].append(number + 1)
        return number

    def used(self, arc: int) -> int:
        """Return what flows through an arc."""
        return self._room[arc + 1]

    def push(self, source: int, sink: int) -> int:
        """Send as much as possible from source to sink and return how much that was."""
        total = 0
        while True:
            level = self._levels(source)
            if level[sink] < 0:
                return total
            arcs = [0] * len(self._leaving)
            while sent := self._augment(source, sink, level, arcs):
                total += sent

    def source_side(self, source: int) -> set[int]:
        """After `push`: the points still reachable, the source side of the smallest minimum cut."""
        return {point for point, depth in enumerate(self._levels(source)) if depth >= 0}

    def _levels(self, source: int) -> list[int]:
        level = [-1] * len(self._leaving)
        level[source] = 0
        queue = deque([source])
        while queue:
            point = queue.popleft()
            for arc in self._leaving[point]:
                target = self._target[arc]
                if self._room[arc] and level[target] < 0:
                    level[target] = level[point] + 1
                    queue.append(target)
        return level

    def _augment(self, source: int, sink: int, level: list[int], arcs: list[int]) -> int:
        """Send along one shortest path with room; 0 where there is none. Written without recursion, since a
        path may be longer than Python's stack."""
        path: list[int] = []
        point = source
        while point != sink:
            arc = self._next_arc(point, level, arcs)
            if arc >= 0:
                path.append(arc)
                point = self._target[arc]
            elif path:
                point = self._target[path.pop() ^ 1]
                arcs[point] += 1
            else:
                return 0
        sent = min(self._room[arc] for arc in path)
        for arc in path:
            self._room[arc] -= sent
            self._room[arc ^ 1] += sent
        return sent

    def _next_arc(self, point: int, level: list[int], arcs: list[int]) -> int:
        leaving = self._leaving[point]
        while arcs[point] < len(leaving):
            arc = leaving[arcs[point]]
            if self._room[arc] and level[self._target[arc]] == level[point] + 1:
                return arc
            arcs[point] += 1
        return -1
