"""Write the pages of docs/ that follow from the code, so that they cannot disagree with it.

    make docs                            write them
    python docs/generate.py --check      list those that are not current; 1 where there is one

`PAGES` maps each generated page to the function that writes it. A new page is a new line there.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import typer
from pictures import draw_breach, draw_flows, draw_walls
from policy_findings import write_policy_findings
from policy_words import write_policy_words
from typer.main import get_command

from ringfence.cli.main import app
from ringfence.kernel.decision import Reason
from ringfence.policy.schema import schema
from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy

DOCS = Path(__file__).resolve().parent
SHELVES = {
    "tutorial": "Tutorial: learn by doing",
    "how-to": "How to: one task each",
    "reference": "Reference: what each word means",
    "why": "Why: decisions, one page each",
}
GROUPS_OF_REASONS = {
    0: "the request itself",
    20: "what it names",
    40: "who asks",
    60: "the state of the walls",
    80: "how much",
    100: "prices and margin",
    120: "the chain as a whole",
    140: "the network",
    160: "another policy",
    180: "taking over another book",
}
COMMENT = "<!-- Written by docs/generate.py (make docs); do not edit. -->\n"


def main(arguments: list[str]) -> int:
    """Write or check every generated page."""
    if arguments == ["--check"]:
        stale = stale_pages()
        for name in stale:
            print(f"docs/{name} is not current; run `make docs`")
        return 1 if stale else 0
    for name in PAGES:
        target = DOCS / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(content_of(name))
    return 0


def stale_pages() -> list[str]:
    """List the generated pages that are not what the code says they should be."""
    return [name for name in PAGES if _read(DOCS / name) != content_of(name)]


def content_of(name: str) -> str:
    """Return what a generated page should hold; JSON has no comments."""
    return PAGES[name]() if name.endswith(".json") else COMMENT + PAGES[name]()


def write_reasons() -> str:
    """Write the table of every reason a request can be refused for."""
    lines = [
        "# Reasons for a refusal",
        "",
        "A refused request changes nothing. Its answer holds one of these reasons, a sentence with what was",
        "found and what would be right, and the line of the policy that refused it. Where one step breaks",
        "several rules, the first reason here is the answer. The numbers stand in journals and never change.",
    ]
    group = ""
    for reason in Reason:
        title = GROUPS_OF_REASONS[max(start for start in GROUPS_OF_REASONS if start <= reason)]
        if title != group:
            group = title
            lines += ["", f"## {title[0].upper()}{title[1:]}", ""]
            lines += ["| number | reason | meaning |", "| ---: | --- | --- |"]
        lines.append(f"| {reason.value} | `{reason.name}` | {reason.meaning} |")
    return "\n".join(lines) + "\n"


def write_policy_schema() -> str:
    """Write the JSON Schema of the policy language, for editors."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def write_commands() -> str:
    """Write the reference of every command: what it does, its arguments and options."""
    lines = [
        "# Commands",
        "",
        "Every command takes `--help`. Exit codes: 0 ok, 1 refused or violated, 2 usage or unreadable input,",
        "3 something outside cannot be reached. With `--json` a command prints one JSON document.",
    ]
    for name, command in commands():
        lines += ["", f"## `{name}`", "", _flat(command.help), ""]
        lines += [f"- {_parameter(parameter)}" for parameter in command.params if parameter.name != "help"]
    return "\n".join(lines).rstrip() + "\n"


def commands() -> Iterator[tuple[str, typer.core.TyperCommand]]:
    """List every command that does something, with its full name."""
    yield from _commands_below("ringfence", get_command(app))


def _commands_below(name: str, command: object) -> Iterator[tuple[str, typer.core.TyperCommand]]:
    if isinstance(command, typer.core.TyperGroup):
        for word in sorted(command.commands):
            yield from _commands_below(f"{name} {word}", command.commands[word])
    elif isinstance(command, typer.core.TyperCommand):
        yield name, command


def _parameter(parameter: object) -> str:
    """Write one argument or option with what it means and what it is without."""
    if isinstance(parameter, typer.core.TyperArgument):
        words = f"`{parameter.metavar or str(parameter.name).upper()}`"
    elif isinstance(parameter, typer.core.TyperOption):
        words = ", ".join(f"`{option}`" for option in [*parameter.opts, *parameter.secondary_opts])
    else:
        raise TypeError(f"{parameter!r} is neither an argument nor an option")
    without = _default(parameter)
    return f"{words}: {_flat(parameter.help)}{without}"


def _default(parameter: typer.core.TyperArgument | typer.core.TyperOption) -> str:
    if parameter.required:
        return " Must be given." if isinstance(parameter, typer.core.TyperOption) else ""
    default = parameter.default
    is_plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    return f" Without it: {default}." if is_plain and default != "" else ""


def write_policies() -> str:
    """Write what each example policy is for: the comment that it begins with."""
    lines = [
        "# Example policies",
        "",
        "Smallest first. They come with ringfence, the tests read each, and each is a start for your own.",
        "`ringfence policy check FILE` says what is wrong with one, with the line and what would be right.",
    ]
    for name in SHIPPED_POLICIES:
        file = shipped_policy(name)
        claims = [claim.replace("_", " ") for claim in load_policy(file).claims]
        lines += ["", f"## {name}", "", _opening(file.read_text()), ""]
        lines += [f"It claims that {', that '.join(claims)}.", ""] if claims else []
        lines += [f"[policies/{file.name}](../../policies/{file.name})"]
    return "\n".join(lines) + "\n"


def _opening(text: str) -> str:
    """Return the comment that a policy begins with, without the name it begins with."""
    comment = text[: text.index("\n\n")].replace("\n#", "").removeprefix("#")
    words = comment.split(":", 1)[1].strip()
    return words[0].upper() + words[1:]


def write_index() -> str:
    """Write the list of all pages, by shelf."""
    lines = ["# ringfence: the documentation"]
    for shelf, title in SHELVES.items():
        pages = sorted((DOCS / shelf).glob("*.md"))
        if pages:
            lines += ["", f"## {title}", ""]
            lines += [f"- [{page_title(page)}]({shelf}/{page.name})" for page in pages]
    return "\n".join(lines) + "\n"


def page_title(page: Path) -> str:
    """Return the first heading of a page; its file name where it has none yet."""
    found = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)
    return found[1] if found else page.stem


def _flat(text: str | None) -> str:
    """Join the first paragraph of a help text into one line."""
    return " ".join((text or "").split("\n\n")[0].replace("\b", "").replace("\f", "").split())


def _read(page: Path) -> str | None:
    return page.read_text() if page.is_file() else None


# The index comes last: it lists what was written before it.
PAGES: dict[str, Callable[[], str]] = {
    "pictures/flows.svg": draw_flows,
    "pictures/walls.svg": draw_walls,
    "pictures/breach.svg": draw_breach,
    "reference/policies.md": write_policies,
    "reference/policy-words.md": write_policy_words,
    "reference/policy-findings.md": write_policy_findings,
    "reference/policy.schema.json": write_policy_schema,
    "reference/reasons.md": write_reasons,
    "reference/cli.md": write_commands,
    "index.md": write_index,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
