"""A page stands alone: nothing is fetched, and text from outside stays text."""

import re

from ringfence.drawing.page import Section, Tile, bullets, figure, page, paragraph, table, tiles, verdict
from ringfence.drawing.trees import Node, tree


def _page() -> str:
    parts = [
        paragraph("A paragraph of <script>alert(1)</script>"),
        figure(tree("t", "d", Node("root")), "a caption"),
        table("numbers", ["layout", "loss"], [["segregated", "0"], ["cross", "5"]], strong=[0]),
        bullets(["one & two"]),
    ]
    opening = [verdict("It holds.", holds=True), tiles([Tile("0", "crossed", "good")])]
    return page("A crash", "what happened", opening, [Section("What was found", parts)], "made from a seed")


def test_the_page_fetches_nothing() -> None:
    text = _page()
    assert not re.search(r"\b(src|href)\s*=", text)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text


def test_text_from_outside_stays_text() -> None:
    assert "<script" not in _page()
    assert "&lt;script&gt;" in _page()


def test_every_part_is_there() -> None:
    text = _page()
    for wanted in (
        "It holds.",
        "what-was-found",
        "<caption>numbers</caption>",
        "one &amp; two",
        "made from a seed",
    ):
        assert wanted in text


def test_the_same_data_gives_the_same_page() -> None:
    assert _page() == _page()


def test_a_list_of_nothing_is_nothing() -> None:
    assert bullets([]) == ""
