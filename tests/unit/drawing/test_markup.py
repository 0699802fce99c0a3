"""Text from outside can never become an element."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.drawing.markup import element, slug, words


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.opened.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"])))
def test_words_show_exactly_the_text_they_were_given(text: str) -> None:
    reader = _Elements()
    reader.feed(element("p", {"title": text}, words(text)))
    reader.close()
    assert reader.opened == ["p"]
    assert reader.text == text


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Who paid for whom", "who-paid-for-whom"),
        ("10 October 2025, 21:00", "10-october-2025-21-00"),
        ("", "untitled"),
        ("é", "untitled"),
    ],
)
def test_a_slug_is_an_id(title: str, expected: str) -> None:
    assert slug(title) == expected


def test_an_underscore_stands_for_a_hyphen_and_numbers_are_short() -> None:
    assert (
        element("text", {"text_anchor": "end", "x": 1.0, "y": 2.126})
        == '<text text-anchor="end" x="1" y="2.13"/>'
    )
