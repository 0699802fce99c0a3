"""Everything that every workload of a large cluster reaches over chains of flows; at most 200 ms is wanted.

    python bench/network_allpairs.py [workloads]

5,000 workloads in 250 zones, 60 flows each. Beside it, in the same run: a
breadth-first search from every workload in plain Python, which is what a script would do, and the same with
SciPy's compiled csgraph.
"""

import random
import sys
from collections import deque
from time import perf_counter

import numpy as np
from ratio import show_ratio
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order

from ringfence.planes.network.reachability import reach

WORKLOADS_PER_ZONE = 20
FLOWS_PER_ZONE = 3
SAMPLE = 100
"""How many sources the slower ways are timed on; their times are scaled up."""


def main(count: int) -> None:
    targets = cluster(count, random.Random(7))
    edges = sum(len(listed) for listed in targets)
    started = perf_counter()
    reached = reach(targets)
    ours = perf_counter() - started

    started = perf_counter()
    walked = [walk(targets, source) for source in range(SAMPLE)]
    plain = (perf_counter() - started) * count / SAMPLE
    assert walked == [reached[source].bit_count() for source in range(SAMPLE)]

    matrix = matrix_of(targets)
    started = perf_counter()
    for source in range(SAMPLE):
        breadth_first_order(matrix, source, return_predecessors=False)
    compiled = (perf_counter() - started) * count / SAMPLE

    pairs = sum(bits.bit_count() for bits in reached)
    work = f"all-pairs reachability of {count} workloads, {edges} flows"
    print(f"{work}: {ours * 1e3:.0f} ms, {pairs} pairs")
    show_ratio(f"{work} in 200 ms", 0.2 / ours, "the target", 1)
    show_ratio(work, compiled / ours, "SciPy csgraph from each source")
    show_ratio(work, plain / ours, "a breadth-first search in Python from each source")


def cluster(count: int, dice: random.Random) -> list[list[int]]:
    """Draw the flows: each zone may open connections to all workloads of a few other zones."""
    zones = [
        range(first, min(first + WORKLOADS_PER_ZONE, count)) for first in range(0, count, WORKLOADS_PER_ZONE)
    ]
    targets: list[list[int]] = [[] for _ in range(count)]
    for zone in zones:
        chosen = [node for other in dice.sample(zones, min(FLOWS_PER_ZONE, len(zones))) for node in other]
        for node in zone:
            targets[node] = chosen
    return targets


def walk(targets: list[list[int]], source: int) -> int:
    """Count what one workload reaches."""
    seen: set[int] = set()
    waiting = deque(targets[source])
    while waiting:
        node = waiting.popleft()
        if node not in seen:
            seen.add(node)
            waiting.extend(targets[node])
    return len(seen)


def matrix_of(targets: list[list[int]]) -> csr_matrix:
    rows = np.repeat(np.arange(len(targets)), [len(listed) for listed in targets])
    columns = np.concatenate([np.array(listed) for listed in targets])
    return csr_matrix(
        (np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(len(targets), len(targets))
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000)
