"""A picture of the documentation says what the policy says."""

import pictures
import pytest

from ringfence.drawing.maps import Arrow
from ringfence.wiring_files import load_policy


@pytest.mark.parametrize(
    "arrow",
    [
        Arrow("client/alice/hedge", "client/alice/bet", "fund"),
        Arrow("client/alice/cash", "client/bob/bet", "fund"),
        Arrow("client/alice/cash", "client/alice/bet", "release"),
        Arrow("client/alice/cash", "client/alice/bet", "wall", barred=True),
        Arrow("clearing", "client/alice/bet", "wall", barred=True),
    ],
)
def test_an_arrow_that_the_policy_does_not_have_is_not_drawn(arrow, monkeypatch):
    monkeypatch.setattr(pictures, "ARROWS", (arrow,))
    with pytest.raises(ValueError, match=f"{arrow.source} -> {arrow.target}"):
        pictures.draw_walls()


def test_the_breach_shows_what_both_officers_open():
    drawn = pictures.draw_breach()
    assert "broken into" in drawn
    assert "falls by matching" in drawn
    assert "client/{client}/cash" in drawn


def test_every_place_of_the_picture_is_a_compartment_of_the_policy():
    from ringfence.policy.families import match

    patterns = load_policy(pictures.POLICY).compartments
    places = [place.name for area in pictures.AREAS for place in area.places]
    assert [
        place for place in places if not any(match(pattern, place) is not None for pattern in patterns)
    ] == []
