"""`ringfence lab`: the policy's network on this machine, probed with real packets."""

import os
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM, default_int_handler, signal
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.table import Table

from ringfence.cli.net_words import paced, plain_round, say_round
from ringfence.cli.output import Json, console, print_json, progress

if TYPE_CHECKING:
    from ringfence.policy.model import Policy
    from ringfence.services.canary import CanaryRound


def lab(
    policy: Annotated[
        Path | None, typer.Argument(help="The policy file; the venue policy by default.")
    ] = None,
    hold: Annotated[
        bool, typer.Option("--hold", help="Keep the network up, with its rules, for `ringfence net`.")
    ] = False,
    every: Annotated[float, typer.Option("--every", help="--hold: seconds between two rounds.")] = 5,
    rounds: Annotated[int, typer.Option("--rounds", help="--hold: how many; 0 goes on until Ctrl-C.")] = 0,
    json: Json = False,
) -> None:
    """Build the platform's network in namespaces and probe every wall of it.

    Every service and external gets a namespace of its own around a hub. Every pair, port, protocol and IP
    family is probed without rules (the control), under the rules, with the hub's rules flushed, with each
    service's own rules flushed, and with each service in quarantine. Nothing outside is touched and nothing
    is left behind. Needs no root where user namespaces are allowed.

    With --hold the rules are loaded and stay, and a canary sends packets round after round; meanwhile another
    terminal may `ringfence net status`, `quarantine`, `revoke`, `apply`.
    """
    from ringfence import wiring_files, wiring_network

    file = policy or wiring_files.shipped_policy("venue")
    model = wiring_files.load_policy(file)
    if not wiring_network.is_in_lab():
        command = wiring_network.lab_command()
        os.execvp(command[0], command)
    if hold:
        _hold(model, file, every, rounds, json)
    from ringfence.services.lab import summary

    with progress("probing", 2 * len(model.services) + 4) as done:
        steps = []
        for step in wiring_network.run_lab(model):
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
        table = Table("step", "probes", "open", "closed, and how", "")
        for step in steps:
            opened = step.counts.get("open", 0)
            closed = ", ".join(f"{n} {how}" for how, n in sorted(step.counts.items()) if how != "open")
            verdict = "[green]holds[/]" if step.holds else f"[red]{step.wrong[0]}[/]"
            table.add_row(step.words, str(step.cells), str(opened), closed or "none", verdict)
        console.print(table)
        console.print(summary(steps) + ".")
    raise typer.Exit(0 if all(step.holds for step in steps) else 1)


def _hold(policy: "Policy", file: Path, every: float, rounds: int, json: bool) -> NoReturn:
    from ringfence import wiring_network

    taken: list[CanaryRound] = []
    # Whoever started it in the background ends it as Ctrl-C would.
    signal(SIGTERM, default_int_handler)
    with suppress(KeyboardInterrupt):
        if not json:
            print(f"the lab of {file} stands; Ctrl-C takes it away", flush=True)
        for one in paced(wiring_network.hold_lab(policy, file, seed=1), every, rounds):
            taken.append(one)
            if not json:
                say_round(one)
    if json:
        print_json([plain_round(one) for one in taken])
    raise typer.Exit(1 if any(one.wrong for one in taken) else 0)
