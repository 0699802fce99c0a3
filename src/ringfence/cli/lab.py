"""`ringfence lab`: the policy's network on this machine, probed with real packets."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ringfence.cli.output import Json, console, print_json, progress


def lab(
    policy: Annotated[
        Path | None, typer.Argument(help="The policy file; the venue policy by default.")
    ] = None,
    json: Json = False,
) -> None:
    """Build the platform's network in namespaces and probe every wall of it.

    Every service and external gets a namespace of its own around a hub. Every pair, port, protocol and IP
    family is probed without rules (the control), under the rules, with the hub's rules flushed, with each
    service's own rules flushed, and with each service in quarantine. Nothing outside is touched and nothing
    is left behind. Needs no root where user namespaces are allowed.
    """
    from ringfence import wiring

    file = policy or wiring.shipped_policy("venue")
    model = wiring.load_policy(file)
    if not wiring.is_in_lab():
        command = wiring.lab_command()
        os.execvp(command[0], command)
    from ringfence.services.lab import summary

    with progress("probing", 2 * len(model.services) + 4) as done:
        steps = []
        for step in wiring.run_lab(model):
            steps.append(step)
            done(1)
    if json:
        print_json(
            {
                "policy": str(file),
                "holds": all(step.holds for step in steps),
                "steps": [
                    {
                        "name": step.name,
                        "words": step.words,
                        "holds": step.holds,
                        "probes": step.cells,
                        "outcomes": dict(step.counts),
                        "wrong": list(step.wrong),
                        "seconds": round(step.seconds, 4),
                    }
                    for step in steps
                ],
            }
        )
    else:
        table = Table("step", "probes", "open", "closed", "")
        for step in steps:
            opened = step.counts.get("open", 0)
            verdict = "[green]holds[/]" if step.holds else f"[red]{step.wrong[0]}[/]"
            table.add_row(step.words, str(step.cells), str(opened), str(step.cells - opened), verdict)
        console.print(table)
        console.print(summary(steps) + ".")
    raise typer.Exit(0 if all(step.holds for step in steps) else 1)
