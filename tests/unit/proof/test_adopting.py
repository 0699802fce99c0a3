"""Whoever can adopt another policy can do anything later: said of every verdict and blast radius."""

import pytest
from platforms import harbour

from ringfence.proof.adopting import assumed_of_adoption, can_adopt
from ringfence.proof.blast import blast
from ringfence.proof.claims import prove

WORDS = 'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}\n'
WITH = ("gates:\n", f"{WORDS}gates:\n")


@pytest.fixture(scope="module")
def adopting():
    return harbour() if harbour().adoption is not None else harbour(WITH)


@pytest.mark.parametrize(
    ("keys", "can"),
    [
        ((), False),
        (("officer_a",), False),
        (("officer_a", "risk_key"), False),
        (("officer_a", "officer_b"), True),
    ],
)
def test_whose_keys_suffice_is_told_with_the_delay(adopting, keys, can):
    said = can_adopt(adopting, keys)
    assert said == ("another policy can be adopted, with anything in it, after 1 d" if can else "")


def test_a_blast_radius_says_it(adopting):
    assert blast(adopting, ["officer_a"], "pivot").adopts == ""
    assert "after 1 d" in blast(adopting, ["officer_a", "officer_b"], "contained").adopts


def test_without_a_delay_it_is_at_once_and_without_the_word_never(adopting):
    at_once = adopting.model_copy(
        update={"adoption": adopting.adoption.model_copy(update={"delay_ns": None})}
    )
    assert "at once" in can_adopt(at_once, ("officer_a", "officer_b"))
    never = adopting.model_copy(update={"adoption": None})
    assert can_adopt(never, ("officer_a", "officer_b")) == ""
    assert "no book takes another" in assumed_of_adoption(never)


def test_every_verdict_names_it_as_trusted(adopting):
    words = "another needs 2 of [officer_a, officer_b] after 1 d, and officer_a, officer_b can cancel it"
    for verdict in prove(adopting):
        assert any(words in one for one in verdict.trusted)
