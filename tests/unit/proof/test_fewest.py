"""The fewest thefts are found again by trying every set, and the covers are what they should be."""

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from ringfence.proof.fewest import fewest, smallest_meeting

ITEMS = 7
attacks = st.lists(st.frozensets(st.integers(0, ITEMS - 1), max_size=4), min_size=1, max_size=6)


def suffices_by(known):
    return lambda picked: any(attack <= picked for attack in known)


@given(attacks)
def test_it_is_the_smallest_attack_and_its_covers_prove_it(known):
    found = fewest(range(ITEMS), suffices_by(known))
    smallest = min(len(attack) for attack in known)
    assert found.outcome == "found"
    assert (found.at_least, len(found.thefts)) == (smallest, smallest)
    assert suffices_by(known)(frozenset(found.thefts))
    for cover in found.covers:
        assert not suffices_by(known)(frozenset(range(ITEMS)) - cover)
    for picked in combinations(range(ITEMS), max(0, smallest - 1)):
        if smallest:
            assert any(not cover & set(picked) for cover in found.covers)


def test_no_theft_at_all_may_suffice():
    found = fewest(range(3), lambda _: True)
    assert (found.outcome, found.thefts, found.at_least) == ("found", (), 0)


def test_everything_may_not_suffice():
    found = fewest(range(3), lambda _: False)
    assert (found.outcome, found.at_least, found.covers) == ("impossible", 4, (frozenset(),))


def test_a_search_that_is_stopped_says_what_it_takes_at_least():
    known = [frozenset(picked) for picked in combinations(range(6), 4)]
    found = fewest(range(6), suffices_by(known), tests_max=20)
    assert found.outcome == "stopped"
    assert 1 <= found.at_least <= 4
    assert len(smallest_meeting(found.covers)) == found.at_least


@given(st.lists(st.frozensets(st.integers(0, 5), min_size=1, max_size=3), max_size=6))
def test_the_smallest_set_that_meets_all(covers):
    found = smallest_meeting(covers)
    assert all(found & cover for cover in covers)
    for size in range(len(found)):
        for picked in combinations(range(6), size):
            assert any(not cover & set(picked) for cover in covers)
