"""The maximum flow is the smallest cut, found again by trying every cut."""

from itertools import combinations, pairwise

from hypothesis import given
from hypothesis import strategies as st

from ringfence.proof.flow import UNLIMITED, Network

POINTS = 6
arcs = st.lists(
    st.tuples(st.integers(0, POINTS - 1), st.integers(0, POINTS - 1), st.integers(0, 9) | st.just(UNLIMITED)),
    max_size=14,
)


def built(listed):
    network = Network()
    for _ in range(POINTS):
        network.point()
    for source, target, units in listed:
        network.arc(source, target, units)
    return network


def crossing(listed, side):
    return sum(units for source, target, units in listed if source in side and target not in side)


@given(arcs)
def test_the_flow_is_the_smallest_of_all_cuts(listed):
    sink = POINTS - 1
    middle = range(1, sink)
    smallest = min(
        crossing(listed, {0, *picked}) for size in range(POINTS - 1) for picked in combinations(middle, size)
    )
    network = built(listed)
    units = network.push(0, sink)
    assert min(units, UNLIMITED) == min(smallest, UNLIMITED)
    if units < UNLIMITED:
        assert crossing(listed, network.source_side(0)) == units


@given(st.integers(1, 400), st.integers(1, 2**130))
def test_a_long_chain_of_large_amounts_is_exact(length, units):
    network = Network()
    points = [network.point() for _ in range(length + 1)]
    arcs_made = [network.arc(source, target, units + target) for source, target in pairwise(points)]
    assert network.push(points[0], points[-1]) == units + 1
    assert network.used(arcs_made[-1]) == units + 1
