"""How commands speak: tables and sentences for people, `--json` for programs, one line for an error."""

import json
import sys
from typing import Annotated

import typer
from rich.console import Console

from ringfence.kernel.errors import RingfenceError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]

console = Console()
errors = Console(stderr=True)


def print_json(data: object) -> None:
    """Print one JSON document on standard output."""
    json.dump(data, sys.stdout, indent=2, ensure_ascii=False)
    sys.stdout.write("\n")


def report_error(error: RingfenceError) -> None:
    """Print the one sentence of an error on standard error."""
    errors.print(f"[bold red]error:[/] {error}", highlight=False, soft_wrap=True)
