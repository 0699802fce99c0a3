"""Binding the legs of an exchange, and weighing what everyone gives and receives."""

from typing import Any

import pytest
from harbour import rules_of

from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.exchange import LEGS_MAX, ValueLeg, bind_legs, unequal_value

RULES = rules_of()
BLOCK = RULES.exchanges["block"]
ALICE, BOB, CAROL = (f"client/{name}/cash" for name in ("alice", "bob", "carol"))


@pytest.mark.parametrize(
    ("moves", "is_bound"),
    [
        ([(ALICE, BOB), (BOB, ALICE)], True),
        ([(ALICE, BOB), (BOB, ALICE), (ALICE, BOB)], True),
        ([(ALICE, BOB)], False),
        ([(ALICE, BOB), (ALICE, BOB)], False),
        ([(ALICE, BOB), (BOB, CAROL)], False),
        ([(ALICE, ALICE), (ALICE, ALICE)], False),
        ([(ALICE, BOB), (BOB, ALICE), (CAROL, ALICE)], False),
        ([(ALICE, BOB), (BOB, ALICE)] * (LEGS_MAX // 2), True),
        ([(ALICE, BOB), (BOB, ALICE)] * (LEGS_MAX // 2) + [(ALICE, BOB)], False),
        ([], False),
    ],
)
def test_the_moves_are_all_the_legs_between_distinct_members(moves, is_bound):
    binding = bind_legs(BLOCK, moves)
    assert (binding is not None) is is_bound
    if binding is not None:
        assert set(binding.values()) == {"alice", "bob"}


def leg(giver: str, receiver: str, value: int) -> ValueLeg:
    return ValueLeg(giver, receiver, value * PRICE_SCALE)


@pytest.mark.parametrize(
    ("values", "ppm", "party"),
    [
        ((100, 100), 0, ""),
        ((100, 101), 0, "a"),
        ((1000, 1010), 10_000, ""),
        ((1000, 1011), 10_000, "a"),
        ((1010, 1000), 10_000, ""),
        ((1011, 1000), 10_000, "a"),
        ((0, 1), 1_000_000, "a"),
    ],
)
def test_values_are_equal_within_the_band_of_the_smaller(values: Any, ppm: int, party: str):
    there, back = values
    assert unequal_value([leg("a", "b", there), leg("b", "a", back)], ppm) == party


def test_every_party_of_a_longer_exchange_is_weighed():
    ring = [leg("a", "b", 100), leg("b", "c", 100), leg("c", "a", 100)]
    assert unequal_value(ring, 0) == ""
    assert unequal_value([*ring[:2], leg("c", "a", 99)], 0) == "a"


def test_what_somebody_gives_in_several_legs_counts_together():
    apart = [leg(ALICE, BOB, 60), leg(ALICE, BOB, 40)]
    assert unequal_value([*apart, leg(BOB, ALICE, 100)], 0) == ""
    assert unequal_value([leg(BOB, ALICE, 100), *apart], 0) == ""
    assert unequal_value([*apart, leg(BOB, ALICE, 40)], 0) == ALICE


@pytest.mark.parametrize("legs", [[ValueLeg(ALICE, BOB, 1)], [ValueLeg(BOB, ALICE, 1)]])
def test_who_only_gives_or_only_receives_is_named_however_little_it_is(legs):
    assert unequal_value(legs, 10**6) == ALICE
