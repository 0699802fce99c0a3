"""How commands speak: tables and sentences for people, `--json` for programs, one line for an error."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from ringfence.kernel.errors import RingfenceError

if TYPE_CHECKING:
    from rich.table import Column

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

console = Console()
errors = Console(stderr=True)


def print_json(data: object) -> None:
    """Print one JSON document on standard output."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def print_rows(
    found: Sequence[Mapping[str, Any]],
    as_json: bool,
    headings: "Sequence[str | Column]",
    cells: Callable[[Mapping[str, Any]], Sequence[str]],
    nothing: str,
) -> None:
    """Print a list: as it is for programs; for people a table of rows, or that there is none."""
    from rich.table import Table

    if as_json:
        print_json(found)
        return
    table = Table(*headings)
    for one in found:
        table.add_row(*map(escape, cells(one)))
    console.print(table if found else nothing)


def report_error(error: RingfenceError) -> None:
    """Print the one sentence of an error on standard error, its brackets as they are."""
    errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)


@contextmanager
def progress(words: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error while long work runs; give a function that is told each step done.

    total: how many steps there are, or None where that is not known. Nothing is shown where standard error is
    no terminal, so that a log holds only what was found.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:
        task = bars.add_task(escape(words), total=total)
        yield lambda steps: bars.advance(task, steps)
