"""A tree as SVG: names in rows, indented under their parent, each with a figure at the right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ringfence.drawing.charts import WIDTH, Tone
from ringfence.drawing.markup import Markup, element, join, picture, words

_ROW, _INDENT = 24, 22


@dataclass(frozen=True, slots=True)
class Node:
    """One name of a tree, a figure beside it, and what hangs under it."""

    name: str
    figure: str = ""
    tone: Tone = "calm"
    children: Sequence["Node"] = ()


def tree(title: str, description: str, root: Node) -> Markup:
    """Draw a tree from its root at the top left; rows stand in depth-first order."""
    rows = list(_walk(root, 0))
    height = _ROW * len(rows) + 16
    drawn = (_row(node, depth, number) for number, (node, depth) in enumerate(rows))
    return picture(title, description, WIDTH, height, "chart tree", drawn)


def _walk(node: Node, depth: int) -> Iterator[tuple[Node, int]]:
    yield node, depth
    for child in node.children:
        yield from _walk(child, depth + 1)


def _row(node: Node, depth: int, number: int) -> Markup:
    x, y = 12 + depth * _INDENT, 20 + number * _ROW
    return join(
        element("circle", {"cx": x, "cy": y - 4, "r": 4, "class": f"fill tone-{node.tone}"}),
        element("text", {"x": x + 12, "y": y, "class": "row"}, words(node.name)),
        element(
            "text", {"x": WIDTH - 12, "y": y, "class": "value", "text_anchor": "end"}, words(node.figure)
        ),
    )
