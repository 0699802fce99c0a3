from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.network.addresses import ALL_V4, Addresses
from ringfence.planes.network.connections import ALL_CONNECTIONS, NO_CONNECTIONS, Connections
from ringfence.planes.network.ranges import ALL_PORTS, Ranges, segments

SPANS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 8)).map(lambda pair: (pair[0], sum(pair))), max_size=6
)


def numbers(ranges: Ranges) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(SPANS, SPANS)
def test_operations_on_ranges_are_those_on_sets_of_numbers(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    one, other = Ranges.of(left), Ranges.of(right)

    assert numbers(one | other) == numbers(one) | numbers(other)
    assert numbers(one & other) == numbers(one) & numbers(other)
    assert numbers(one - other) == numbers(one) - numbers(other)
    assert {number for number in range(60) if number in one} == numbers(one)
    assert one.size == len(numbers(one))


@given(SPANS, SPANS)
def test_ranges_with_the_same_numbers_are_equal(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    one, other = Ranges.of(left), Ranges.of(right)

    assert (one == other) == (numbers(one) == numbers(other))
    for result in (one | other, one & other, one - other):
        assert result == Ranges.of((number, number) for number in numbers(result))


@given(SPANS, SPANS)
def test_a_segment_lies_wholly_inside_or_outside_every_cut(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    cuts = [Ranges.of(left), Ranges.of(right)]
    found = segments((0, 50), cuts)

    assert [number for first, last in found for number in range(first, last + 1)] == list(range(51))
    for first, last in found:
        for cut in cuts:
            assert len({number in cut for number in range(first, last + 1)}) == 1
    for (_, last), (first, _) in pairwise(found):
        assert any((last in cut) != (first in cut) for cut in cuts)


@pytest.mark.parametrize(
    ("connections", "words"),
    [
        (NO_CONNECTIONS, "No Connections"),
        (ALL_CONNECTIONS, "All Connections"),
        (Connections.on("TCP", ALL_PORTS), "TCP 1-65535"),
        (Connections.on("TCP", Ranges(((80, 80), (443, 445)))), "TCP 80,443-445"),
        (
            ALL_CONNECTIONS - Connections.on("UDP", Ranges.single(53)),
            "SCTP 1-65535,TCP 1-65535,UDP 1-52,54-65535",
        ),
    ],
)
def test_connections_are_written_as_other_analysers_write_them(connections: Connections, words: str) -> None:
    assert str(connections) == words


@pytest.mark.parametrize(
    ("network", "address", "is_inside"),
    [
        ("10.0.0.0/8", "9.255.255.255", False),
        ("10.0.0.0/8", "10.0.0.0", True),
        ("10.0.0.0/8", "10.255.255.255", True),
        ("10.0.0.0/8", "11.0.0.0", False),
        ("10.1.2.3/8", "10.0.0.1", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "10.1.2.4", False),
        ("fd00::/8", "fdff::1", True),
        ("fd00::/8", "fe00::1", False),
        ("0.0.0.0/0", "fd00::1", False),
    ],
)
def test_a_network_holds_its_own_addresses_only(network: str, address: str, is_inside: bool) -> None:
    assert Addresses.parse(network).has(address) == is_inside


def test_what_is_no_network_is_refused() -> None:
    for text in ("10.0.0.0/33", "10.0.0", "", "web", "10.0.0.0/-1"):
        with pytest.raises(ValueError, match=r"\w"):
            Addresses.parse(text)
    assert not (ALL_V4 - Addresses.parse("0.0.0.0/1") - Addresses.parse("128.0.0.0/1"))
