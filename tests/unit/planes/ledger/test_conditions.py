"""What margin allows to be closed by force shrinks as it is used."""

import pytest

from ringfence.planes.ledger.conditions import ClosingFact


@pytest.mark.parametrize(
    ("fact", "contracts", "penalty", "left"),
    [
        (ClosingFact(10, 7, 100), 4, 30, ClosingFact(6, 7, 70)),
        (ClosingFact(10, 7, 100), 4, 100, ClosingFact(6, 7, 0)),
        (ClosingFact(10, 7, 100), 4, 101, ClosingFact(6, 7, 0)),
        (ClosingFact(10, 7, None), 10, 30, ClosingFact(0, 7, None)),
    ],
)
def test_what_was_closed_and_taken_is_no_longer_allowed(fact, contracts, penalty, left):
    assert fact.less(contracts, penalty) == left
