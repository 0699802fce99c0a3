import dataclasses

import pytest

from ringfence.kernel.decision import Accepted, Reason, Refused


def test_the_order_of_reasons_is_their_precedence():
    values = [reason.value for reason in Reason]
    assert values == sorted(set(values))


def test_a_reason_keeps_its_number_for_ever():
    # Journals hold these numbers. A new reason gets a new number; none of these may change.
    assert Reason.BOOK_IS_STOPPED == 1
    assert Reason.SOURCE_IS_TARGET == 9
    assert Reason.ASSET_UNKNOWN == 20
    assert Reason.NO_GATE_BETWEEN_COMPARTMENTS == 23
    assert Reason.GATE_WORD_NOT_ENFORCED == 24
    assert Reason.NEEDS_NOT_MET == 43
    assert Reason.COMPARTMENT_FROZEN == 61
    assert Reason.GATE_LIMIT_EXCEEDED == 80
    assert Reason.ENTITLEMENT_EXCEEDED == 81
    assert Reason.FREE_BALANCE_TOO_LOW == 82
    assert Reason.PRICE_STALE == 101
    assert Reason.INITIAL_MARGIN_TOO_LOW == 103
    assert Reason.CLEARING_NOT_ZERO == 120


@pytest.mark.parametrize("answer", [Accepted(), Refused(Reason.NEEDS_NOT_MET, "no key signed")])
def test_an_answer_does_not_change(answer):
    field = dataclasses.fields(answer)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(answer, field, None)


def test_a_refusal_without_a_line_or_leg_says_so():
    refusal = Refused(Reason.NEEDS_NOT_MET, "no key signed")
    assert (refusal.rule, refusal.leg) == ("", 0)
    assert Accepted().repeated is False
