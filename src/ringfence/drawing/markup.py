"""Text that is markup, and text that is not yet.

`Markup` is text that may stand in a page as it is; every other string passes through `words`, which escapes
it. Names of clients, gates and files come from outside, so nothing from outside can become an element.
"""

import html
from collections.abc import Iterable, Mapping
from typing import NewType

Markup = NewType("Markup", str)
"""Well-formed HTML or SVG text."""

Attributes = Mapping[str, str | int | float]


def words(text: str) -> Markup:
    """Turn plain text into markup that shows exactly that text."""
    return Markup(html.escape(text, quote=True))


def join(*parts: Markup) -> Markup:
    """Put pieces of markup one after the other."""
    return Markup("".join(parts))


def element(name: str, attributes: Attributes | None = None, *children: Markup) -> Markup:
    """Write one element; an underscore in an attribute's name stands for a hyphen."""
    shown = "".join(
        f' {key.replace("_", "-")}="{html.escape(_value(value), quote=True)}"'
        for key, value in (attributes or {}).items()
    )
    if not children:
        return Markup(f"<{name}{shown}/>")
    return Markup(f"<{name}{shown}>{''.join(children)}</{name}>")


def slug(text: str) -> str:
    """Turn a title into an id: lower-case letters and digits joined by hyphens."""
    kept = "".join(letter if letter.isalnum() and letter.isascii() else " " for letter in text.lower())
    return "-".join(kept.split()) or "untitled"


def _value(value: str | int | float) -> str:
    # Two digits after the point are a fifth of a pixel on the largest chart; more only bloat the page.
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def picture(
    title: str, description: str, width: float, height: float, kind: str, inside: Iterable[Markup]
) -> Markup:
    """Frame what is drawn as one SVG that also says its title and its description; kind: its class."""
    name = slug(title)
    frame: Attributes = {
        "viewBox": f"0 0 {width} {height}",
        "role": "img",
        "class": kind,
        "aria_labelledby": f"{name}-title {name}-words",
    }
    return element(
        "svg",
        frame,
        element("title", {"id": f"{name}-title"}, words(title)),
        element("desc", {"id": f"{name}-words"}, words(description)),
        *inside,
    )
