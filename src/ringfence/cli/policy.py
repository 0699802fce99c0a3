"""`ringfence policy`: read, check, show and compare policies.

Findings go to standard output, since they are the answer. Exit code 1 where a policy has an error.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, console, print_json

if TYPE_CHECKING:
    from ringfence.policy.model import Finding, Policy
    from ringfence.policy.parse import Parsed

app = typer.Typer(no_args_is_help=True, help="Read, check, show and compare policies.")


@app.command()
def check(policy: PolicyFile, json: Json = False) -> None:
    """List everything that is wrong with a policy, and what is worth knowing.

    Exit code 1 where there is an error.
    """
    from ringfence.policy.findings import LAWS

    parsed = _read(policy)
    if json:
        print_json(
            {
                "policy": str(policy),
                "ok": parsed.policy is not None,
                "errors": len(parsed.errors),
                "notes": len(parsed.findings) - len(parsed.errors),
                "findings": [
                    {**finding.model_dump(), "law": LAWS[finding.rule]} for finding in parsed.findings
                ],
            }
        )
    else:
        for finding in parsed.findings:
            _print_finding(finding)
        _print_summary(policy, len(parsed.errors), len(parsed.findings))
    if parsed.errors:
        raise typer.Exit(1)


@app.command()
def show(policy: PolicyFile, json: Json = False) -> None:
    """Print a policy in its canonical form: one document, includes and likenesses written out."""
    from ringfence.policy.show import show as show_policy
    from ringfence.policy.show import show_data

    loaded = _load(policy)
    if json:
        print_json(show_data(loaded))
    else:
        typer.echo(show_policy(loaded), nl=False)


@app.command()
def diff(
    old: PolicyFile,
    new: PolicyFile,
    fail_on_widening: Annotated[
        bool, typer.Option("--fail-on-widening", help="Exit code 1 where any change does not only narrow.")
    ] = False,
    meaning: Annotated[
        bool, typer.Option("--meaning", help="Say what becomes possible or impossible, as `proof diff` does.")
    ] = False,
    json: Json = False,
) -> None:
    """Say in sentences what changes from one policy to another, and which changes widen."""
    if meaning:
        from ringfence.cli.proof_policy import diff as diff_meaning

        diff_meaning(old, new, fail_on_new=fail_on_widening, as_json=json)
        return
    from ringfence.policy.diff import diff as diff_policies

    changes = diff_policies(_load(old), _load(new))
    if json:
        fields = ("direction", "words", "where")
        print_json([{name: getattr(change, name) for name in fields} for change in changes])
    else:
        colours = {"widens": "red", "narrows": "green", "changes": "yellow"}
        for change in changes:
            _print_line(f"[{colours[change.direction]}]{change.direction}[/]", change.words, change.where)
        if not changes:
            console.print("The two policies mean the same.")
    if fail_on_widening and any(change.direction != "narrows" for change in changes):
        raise typer.Exit(1)


@app.command()
def digest(policy: PolicyFile, json: Json = False) -> None:
    """Print the digest of a policy: what requests and records name it by."""
    from ringfence.policy.digest import digest as digest_policy

    loaded = _load(policy)
    text = digest_policy(loaded).hex()
    if json:
        print_json({"policy": loaded.name, "digest": text})
    else:
        typer.echo(text)


@app.command()
def schema(json: Json = False) -> None:
    """Print the JSON Schema of the language, for editors that complete while a policy is written."""
    from ringfence.policy.schema import schema as schema_of_language

    del json  # the answer is JSON either way
    print_json(schema_of_language())


# --- reading and printing ----------------------------------------------------------------------


def _read(policy: Path) -> "Parsed":
    from ringfence.wiring_files import read_policy

    return read_policy(policy)


def _load(policy: Path) -> "Policy":
    from ringfence.wiring_files import load_policy

    return load_policy(policy)


def _print_finding(finding: "Finding") -> None:
    colour = "red" if finding.level == "error" else "cyan"
    _print_line(
        f"[{colour}]{finding.level}[/]", f"{finding.found}; {finding.right}", finding.where, finding.rule
    )


def _print_line(label: str, words: str, where: str, rule: str = "") -> None:
    tail = f" [dim]\\[{rule}][/]" if rule else ""
    place = f"[bold]{escape(where)}[/]: " if where else ""
    console.print(f"{place}{label}: {escape(words)}{tail}", highlight=False, soft_wrap=True)


def _print_summary(policy: Path, errors: int, findings: int) -> None:
    notes = findings - errors
    verdict = "[green]accepted[/]" if errors == 0 else "[red]not accepted[/]"
    counts = f"{errors} error{'s' * (errors != 1)}, {notes} note{'s' * (notes != 1)}"
    console.print(f"{policy}: {verdict}, {counts}", highlight=False, soft_wrap=True)
