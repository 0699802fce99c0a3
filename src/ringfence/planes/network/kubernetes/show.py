"""The answers about a cluster in the forms people and programs read."""

import csv
import io
from collections.abc import Iterable

from ringfence.planes.network.kubernetes.evaluate import Link


def show_text(links: Iterable[Link]) -> str:
    """Write one line a link: `source => target : TCP 8080`."""
    return "".join(f"{link}\n" for link in links)


def show_plain(links: Iterable[Link]) -> list[dict[str, str]]:
    """Give plain data for JSON: `src`, `dst` and `conn` of each link."""
    return [{"src": link.source, "dst": link.target, "conn": str(link.connections)} for link in links]


def show_csv(links: Iterable[Link]) -> str:
    """Write a table with commas and the header `src,dst,conn`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("src", "dst", "conn"))
    rows.writerows((link.source, link.target, str(link.connections)) for link in links)
    return text.getvalue()


def show_markdown(links: Iterable[Link]) -> str:
    """Write a Markdown table."""
    head = "| src | dst | conn |\n|-----|-----|------|\n"
    return head + "".join(f"| {link.source} | {link.target} | {link.connections} |\n" for link in links)


def show_dot(links: Iterable[Link]) -> str:
    """Write a graph in the language of Graphviz; workloads are boxes by namespace, outside is round."""
    listed = tuple(links)
    ends = sorted({end for link in listed for end in (link.source, link.target)})
    lines = ["digraph {"]
    for namespace in sorted({_namespace(end) for end in ends if _namespace(end)}):
        lines.append(f'  subgraph "cluster_{namespace}" {{ label="{namespace}"')
        lines.extend(f'    "{end}" [shape=box]' for end in ends if _namespace(end) == namespace)
        lines.append("  }")
    lines.extend(f'  "{end}" [shape=ellipse]' for end in ends if not _namespace(end))
    lines.extend(f'  "{link.source}" -> "{link.target}" [label="{link.connections}"]' for link in listed)
    return "\n".join([*lines, "}", ""])


def _namespace(title: str) -> str:
    return title.partition("/")[0] if "/" in title else ""
