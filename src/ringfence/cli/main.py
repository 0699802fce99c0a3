"""The `ringfence` command: groups of commands, one module each, imported without their heavy parts."""

import sys

import typer

from ringfence.cli.output import report_error
from ringfence.kernel.errors import RingfenceError

app = typer.Typer(
    name="ringfence",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Segregated accounts, margin and custody, with containment that can be proved.",
)


def main() -> None:
    """Run the command line; a broken outside world ends in one sentence and an exit code."""
    try:
        app()
    except RingfenceError as error:
        report_error(error)
        sys.exit(error.exit_code)
