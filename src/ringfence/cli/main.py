"""The `ringfence` command: groups of commands, one module each, imported without their heavy parts.

A group is a module of this package with `app`, a Typer; it is added with one line in `GROUPS`. The commands
that stand alone (`demo`, `replay`, `prove`, `blast`, `up`) are functions in `COMMANDS`. Heavy imports (NumPy,
numba, pydantic and what needs them) wait inside the commands, so that `--help` answers at once.
"""

import sys
from collections.abc import Callable
from importlib.metadata import version
from io import StringIO
from typing import Annotated, NoReturn

import typer

from ringfence.cli import book, book_adoption, margin, net, policy, proof
from ringfence.cli.demo import demo
from ringfence.cli.drill import drill
from ringfence.cli.lab import lab
from ringfence.cli.output import print_json, report_error
from ringfence.cli.proof_falls import blast
from ringfence.cli.up import down, restart, up
from ringfence.kernel.errors import RingfenceError, UnreachableError

GROUPS: dict[str, typer.Typer] = {
    "book": book.app,
    "margin": margin.app,
    "net": net.app,
    "policy": policy.app,
    "proof": proof.app,
}
"""Each group of commands by its word."""

COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo,
    "lab": lab,
    "prove": proof.claims,
    "blast": blast,
    "up": up,
    "down": down,
    "drill": drill,
    "restart": restart,
}
"""Each command that stands alone by its word."""

app = typer.Typer(
    name="ringfence",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"ringfence {version('ringfence')}")
        raise typer.Exit


@app.callback()
def ringfence(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Segregated accounts, margin and custody, with containment that can be proved."""


policy.app.command("impact")(book_adoption.impact)
for word, group in GROUPS.items():
    app.add_typer(group, name=word)
for word, command in COMMANDS.items():
    app.command(word)(command)


def main() -> None:
    """Run the command line; a broken outside world ends in one sentence and an exit code.

    With --json the sentence is printed as a JSON document, too.
    """
    try:
        _run()
    except RingfenceError as error:
        _end(error)
    except OSError as error:
        if error.filename is None:
            sys.stdout = StringIO()  # it could not be written, and the interpreter is not to try again
        place = error.filename or "standard output"
        _end(UnreachableError(f"{place} cannot be used: {error.strerror}"))


def _run() -> None:
    """Run, and write out what is still buffered: a full disk is to be found before the exit code is given."""
    try:
        app()
    finally:
        sys.stdout.flush()


def _end(error: RingfenceError) -> NoReturn:
    report_error(error)
    if "--json" in sys.argv[1:]:
        print_json({"error": str(error), "exit_code": error.exit_code})
    sys.exit(error.exit_code)
