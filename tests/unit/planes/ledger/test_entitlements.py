"""What is owed, by its source: the index says the same as looking through everything."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.entitlements import Entitlements

KEYS = st.tuples(st.sampled_from("fi"), st.sampled_from("ab"), st.sampled_from("ab"), st.just("USDC"))
CHANGES = st.lists(
    st.tuples(st.sampled_from(["put", "put", "drop", "pop"]), KEYS, st.integers(1, 9)), max_size=30
)


def looked_through(owed: dict, source: str) -> list[tuple[str, int]]:
    return sorted((asset, units) for (_, who, _, asset), units in owed.items() if who == source)


@given(changes=CHANGES)
def test_the_index_says_the_same_as_looking_through(changes):
    owed, plain = Entitlements(), {}
    for how, key, units in changes:
        if how == "put":
            owed[key] = plain[key] = units
        elif how == "drop" and key in plain:
            del owed[key], plain[key]
        elif how == "pop":
            assert owed.pop(key, None) == plain.pop(key, None)
        assert owed == plain
        assert all(sorted(owed.by(who)) == looked_through(plain, who) for who in "abc")
    taken_over = Entitlements()
    taken_over.update(list(plain.items()))
    assert taken_over == plain
    assert all(sorted(taken_over.by(who)) == looked_through(plain, who) for who in "abc")


def test_nothing_is_remembered_of_who_owes_nothing():
    owed = Entitlements()
    owed["fees", "a", "b", "USDC"] = 1
    assert owed.pop(("fees", "a", "b", "USDC")) == 1
    assert owed._of == {}
