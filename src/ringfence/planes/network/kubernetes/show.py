"""The answers about a cluster in the forms people and programs read: who may talk to whom, what changed."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

from ringfence.planes.network.kubernetes.compare import Change
from ringfence.planes.network.kubernetes.evaluate import Link

Form = Literal["text", "csv", "markdown", "dot"]

Shown = Link | Change


def show_links(links: Iterable[Link], form: Form) -> str:
    """Write who may talk to whom."""
    return _show(tuple(links), form, _LINK_HEAD)


def show_changes(changes: Iterable[Change], form: Form) -> str:
    """Write what changed between two versions."""
    return _show(tuple(changes), form, _CHANGE_HEAD)


def show_plain(found: Iterable[Shown]) -> list[dict[str, str]]:
    """Give plain data for JSON: `src`, `dst` and `conn` of each link; of a change both sides and a note."""
    return [
        dict(zip(_LINK_HEAD if isinstance(one, Link) else _CHANGE_HEAD, _row(one), strict=True))
        for one in found
    ]


_LINK_HEAD = ("src", "dst", "conn")
_CHANGE_HEAD = ("kind", "src", "dst", "before", "after", "note")


def _row(one: Shown) -> Sequence[str]:
    if isinstance(one, Link):
        return one.source, one.target, str(one.connections)
    return one.kind, one.source, one.target, str(one.before), str(one.after), one.note


def _show(found: Sequence[Shown], form: Form, head: Sequence[str]) -> str:
    match form:
        case "text":
            return "".join(f"{one}\n" for one in found)
        case "csv":
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([head, *map(_row, found)])
            return text.getvalue()
        case "markdown":
            rows = [head, ["-----" for _ in head], *map(_row, found)]
            return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)
        case "dot":
            return _dot(found)


def _dot(found: Sequence[Shown]) -> str:
    """Write a graph in the language of Graphviz; workloads are boxes by namespace, outside is round."""
    ends = sorted({end for one in found for end in (one.source, one.target)})
    lines = ["digraph {"]
    for namespace in sorted({_namespace(end) for end in ends if _namespace(end)}):
        lines.append(f'  subgraph "cluster_{namespace}" {{ label="{namespace}"')
        lines.extend(f'    "{end}" [shape=box]' for end in ends if _namespace(end) == namespace)
        lines.append("  }")
    lines.extend(f'  "{end}" [shape=ellipse]' for end in ends if not _namespace(end))
    lines.extend(f'  "{one.source}" -> "{one.target}" [{_edge(one)}]' for one in found)
    return "\n".join([*lines, "}", ""])


def _edge(one: Shown) -> str:
    if isinstance(one, Link):
        return f'label="{one.connections}"'
    label = {"added": one.after, "removed": one.before}.get(one.kind, f"{one.before} -> {one.after}")
    style = {"added": "color=green", "removed": "color=red, style=dashed"}.get(one.kind, "color=orange")
    return f'label="{label}", {style}'


def _namespace(title: str) -> str:
    return title.partition("/")[0] if "/" in title else ""
