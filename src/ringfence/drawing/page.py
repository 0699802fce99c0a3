"""One HTML page that needs nothing else: no script, no font, no picture from anywhere.

The page may be mailed, archived and printed. It follows the reader's light or dark setting, and its content
policy forbids the browser to fetch anything at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.drawing.markup import Markup, element, join, slug, words

_STYLE = (
    """
:root{color-scheme:light dark;--page:#fbfbf9;--ink:#1d2328;--soft:#5b656e;--line:#d9dcd8;--card:#fff;
--good:#1f7a5c;--bad:#b3372f;--accent:#24629b;--calm:#6d7f8f;--muted:#8d959c}
@media (prefers-color-scheme:dark){:root{--page:#14181c;--ink:#e6e9eb;--soft:#a3adb5;--line:#333b42;
--card:#1b2126;--good:#58b893;--bad:#ec7b6f;--accent:#73aee2;--calm:#93a5b5;--muted:#7e8890}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",
"Liberation Sans",sans-serif}
main{max-width:860px;margin:0 auto;padding:36px 24px 64px}
h1{font-size:1.8rem;line-height:1.2;margin:0 0 .4rem}
h2{font-size:1.2rem;margin:2.6rem 0 .5rem}
p{margin:.5rem 0}.lead{font-size:1.06rem;color:var(--soft)}
.verdict{border-left:5px solid var(--good);background:var(--card);padding:.7rem 1rem;margin:1.2rem 0;
font-size:1.06rem}
.verdict.bad{border-color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;margin:1.2rem 0}
.tile{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:.7rem .9rem}
.tile b{display:block;font-size:1.35rem;font-variant-numeric:tabular-nums;line-height:1.3}
.tile span{color:var(--soft);font-size:.88rem}
.tile.good b{color:var(--good)}.tile.bad b{color:var(--bad)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.8rem 0;font-size:.88rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);font-size:.86rem;padding-bottom:.3rem}
th,td{padding:.36rem .55rem;border-bottom:1px solid var(--line);text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}
table.text td,table.text th{text-align:left}
thead th{color:var(--soft);font-weight:600;border-bottom:2px solid var(--line)}
tr.strong td{font-weight:650}
td .good{color:var(--good)}td .bad{color:var(--bad)}
figure{margin:1rem 0}figcaption{color:var(--soft);font-size:.88rem}
.chart{width:100%;height:auto;background:var(--card);border:1px solid var(--line);border-radius:6px}
.chart text{fill:var(--ink);font-size:12px}
.chart .tick,.chart .axis{fill:var(--soft);font-size:11px}.chart .axis{font-weight:600}
.chart .name,.chart .event-words{font-size:11.5px}
.grid{stroke:var(--line);stroke-width:1}.floor{stroke:var(--soft);stroke-width:1}
.line{fill:none;stroke-width:2;stroke-linejoin:round}.dashed{stroke-dasharray:5 4}
.event{stroke-width:1;stroke-dasharray:2 3}
.area{fill:none;stroke:var(--line)}.place{fill:var(--page);stroke-width:1.5}.arrow{stroke-width:1.6}
.wall{stroke-width:5}.way{paint-order:stroke;stroke:var(--card);stroke-width:4px}
"""
    + "".join(
        f".tone-{tone}{{stroke:var(--{tone})}}.fill.tone-{tone}{{fill:var(--{tone});stroke:none}}"
        f".chart .text-{tone}{{fill:var(--{tone})}}.edge-{tone}{{stroke:var(--{tone})}}"
        for tone in ("good", "bad", "accent", "calm", "muted")
    )
    + """
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.86rem}
code{font:.86em ui-monospace,"Liberation Mono",monospace;overflow-wrap:anywhere}
@media print{main{max-width:none;padding:0}figure,table,.tile{break-inside:avoid}}
"""
)

_HEAD = (
    '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
)


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    heading: str
    parts: Sequence[Markup]


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure a reader should carry away, with the words under it; tone is "", "good" or "bad"."""

    figure: str
    words: str
    tone: str = ""


def page(title: str, lead: str, opening: Sequence[Markup], sections: Sequence[Section], footer: str) -> str:
    """Write the whole page as one HTML document."""
    body = element(
        "main",
        None,
        element("h1", None, words(title)),
        paragraph(lead, kind="lead"),
        *opening,
        *(_section(section) for section in sections),
        element("footer", None, words(footer)),
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head>{_HEAD}<title>{words(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def picture(drawing: Markup) -> str:
    """Write one drawing as an SVG file of its own, with the colours and letters it has on a page."""
    name, rest = drawing.split(" ", 1)
    font = ".chart text{font-family:system-ui,sans-serif}"
    opening, inside = rest.split(">", 1)
    return f'{name} xmlns="http://www.w3.org/2000/svg" {opening}><style>{_STYLE}{font}</style>{inside}\n'


def paragraph(text: str, *, kind: str = "") -> Markup:
    """Write one paragraph of plain text."""
    return element("p", {"class": kind} if kind else None, words(text))


def verdict(text: str, *, holds: bool) -> Markup:
    """Write the sentence that the page stands for."""
    return element("p", {"class": "verdict" if holds else "verdict bad", "role": "status"}, words(text))


def tiles(shown: Sequence[Tile]) -> Markup:
    """Lay a few figures side by side."""
    return element("div", {"class": "tiles"}, *(_tile(tile) for tile in shown))


def figure(chart: Markup, caption: str) -> Markup:
    """Put a chart and its caption together."""
    return element("figure", None, chart, element("figcaption", None, words(caption)))


def table(
    caption: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    text: bool = False,
    strong: Sequence[int] = (),
) -> Markup:
    """Write a table; `text` sets its cells to the left, `strong` gives the rows (from 0) to stress."""
    head = element("tr", None, *(element("th", {"scope": "col"}, words(cell)) for cell in header))
    body = [
        element(
            "tr",
            {"class": "strong"} if number in strong else None,
            *(element("td", None, words(cell)) for cell in row),
        )
        for number, row in enumerate(rows)
    ]
    whole = element(
        "table",
        {"class": "text"} if text else None,
        element("caption", None, words(caption)),
        element("thead", None, head),
        element("tbody", None, *body) if body else Markup(""),
    )
    return element("div", {"class": "scroll"}, whole)


def bullets(items: Sequence[str]) -> Markup:
    """Write a list of sentences."""
    return element("ul", None, *(element("li", None, words(item)) for item in items)) if items else Markup("")


def _section(section: Section) -> Markup:
    heading = element("h2", {"id": slug(section.heading)}, words(section.heading))
    return element("section", None, join(heading, *section.parts))


def _tile(tile: Tile) -> Markup:
    kind = f"tile {tile.tone}".strip()
    return element(
        "div",
        {"class": kind},
        element("b", None, words(tile.figure)),
        element("span", None, words(tile.words)),
    )
