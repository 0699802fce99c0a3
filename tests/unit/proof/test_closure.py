"""What falls with each of all services is what falls with it alone."""

from hypothesis import given
from hypothesis import strategies as st

from ringfence.proof.closure import all_falls, members

COUNT = 9
flows = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)), max_size=24)


def alone(start, listed):
    fallen = {start}
    while True:
        wider = fallen | {target for source, target in listed if source in fallen}
        if wider == fallen:
            return fallen
        fallen = wider


@given(flows)
def test_all_at_once_is_each_alone(listed):
    found = all_falls(COUNT, listed)
    assert [set(members(bits)) for bits in found] == [alone(start, listed) for start in range(COUNT)]


def test_a_chain_longer_than_the_stack():
    count = 5_000
    found = all_falls(count, [(number, number + 1) for number in range(count - 1)])
    assert len(members(found[0])) == count
    assert members(found[-1]) == [count - 1]
