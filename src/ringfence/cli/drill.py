"""`ringfence drill`: break into a service for real, and lay what was got beside what was predicted."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ringfence.cli.output import Json, console, print_json, progress
from ringfence.kernel.errors import UnreachableError

if TYPE_CHECKING:
    from ringfence.policy.model import Policy
    from ringfence.services.platform.drill import DrillReport


def drill(
    targets: Annotated[
        list[str] | None,
        typer.Argument(help="Services and laptops to break into; all of the policy by default."),
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="The policy file; the venue policy by default.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="What the random part draws from.")] = 1,
    actions: Annotated[int, typer.Option("--actions", help="How many requests to draw.")] = 200,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw how far it spread, as SVG (the last target).")
    ] = None,
    namespaces: Annotated[
        bool,
        typer.Option(
            "--namespaces/--no-namespaces", help="Run the platform in network namespaces, or on loopback."
        ),
    ] = True,
    why: Annotated[
        bool, typer.Option("--why", help="Say of every attempt that failed which wall held.")
    ] = False,
    json: Json = False,
) -> None:
    """Put an intruder in the place of a service, with its zone, identity, keys and sandbox; let it try all.

    A platform with clients, positions and orders is started for the drill and thrown away after it. The
    intruder calls every method of every service, asks for every gate with every key, draws requests from the
    seed, scans, forges frames, identities, fills, prices and receipts, and tries files and processes. Money
    is counted in the book and on the chain. Exit code 1 where anything measured is over the analyser's
    prediction.
    """
    from ringfence import wiring_files, wiring_network

    model = wiring_files.load_policy(policy or wiring_files.shipped_policy("venue"))
    if namespaces and not wiring_network.is_in_lab():
        command = _command_in_namespaces()
        os.execvp(command[0], command)
    reports = _run(model, tuple(targets or ()), seed, actions, namespaces)
    if picture is not None and reports:
        from ringfence.services.platform.drill import draw

        picture.write_text(draw(model, reports[-1]), "utf-8")
    if json:
        print_json({"policy": model.name, "seed": seed, "drills": [_plain(one) for one in reports]})
    else:
        for one in reports:
            _print(model, one)
            if why:
                _print_walls(one)
    raise typer.Exit(0 if all(one.holds for one in reports) else 1)


def _command_in_namespaces() -> list[str]:
    from ringfence import wiring_network

    try:
        return wiring_network.lab_command()
    except UnreachableError as reason:
        raise UnreachableError(f"{reason}; --no-namespaces drills without the network's walls") from None


def _run(
    model: "Policy", targets: tuple[str, ...], seed: int, actions: int, namespaces: bool
) -> "list[DrillReport]":
    from ringfence import wiring_drill

    with tempfile.TemporaryDirectory(prefix="ringfence-drill-") as folder, progress("drilling") as done:
        reports = []
        mode: Any = "namespaces" if namespaces else "loopback"
        for report in wiring_drill.run_drills(model, Path(folder, "run"), targets, mode, seed, actions):
            reports.append(report)
            done(1)
    return reports


def _print(model: "Policy", report: "DrillReport") -> None:
    from ringfence.services.platform.drill import show_units

    verdict = "[green]within the prediction[/]" if report.holds else "[red]over the prediction[/]"
    console.print(f"[bold]{report.target}[/] broken into, {report.tried} attempts: {verdict}")
    table = Table("what", "measured", "predicted at most")
    for line in report.lines:
        measured = show_units(model, line.asset, line.measured)
        table.add_row(line.name, measured, show_units(model, line.asset, line.most))
    console.print(table)
    reached = (
        f"{', '.join(report.reached) or 'none'}, of {', '.join(report.may_reach) or 'none'} that flows permit"
    )
    console.print(f"connections that opened: {reached}", highlight=False)
    console.print(f"methods that answered: {', '.join(report.calls) or 'none'}", highlight=False)
    for words in (*report.differences, *report.remarks):
        console.print(f"  {words}", highlight=False)


def _print_walls(report: "DrillReport") -> None:
    held: dict[tuple[str, str], list[str]] = {}
    for one in report.attempts:
        if one.tried > one.through and one.words:
            held.setdefault((one.kind, one.words), []).append(one.target)
    for (kind, words), targets in held.items():
        console.print(f"  {kind} on {', '.join(targets)}: {words}", highlight=False, soft_wrap=True)


def _plain(report: "DrillReport") -> dict[str, Any]:
    return {
        "target": report.target,
        "holds": report.holds,
        "tried": report.tried,
        "attempts": [
            {
                "kind": one.kind,
                "target": one.target,
                "tried": one.tried,
                "through": one.through,
                "words": one.words,
            }
            for one in report.attempts
        ],
        "reached": list(report.reached),
        "may_reach": list(report.may_reach),
        "calls": list(report.calls),
        "lines": [
            {
                "name": one.name,
                "asset": one.asset,
                "measured_units": one.measured,
                "predicted_units": one.most,
            }
            for one in report.lines
        ],
        "differences": list(report.differences),
        "remarks": list(report.remarks),
        "predicted_services": list(report.predicted_services),
        "predicted_keys": list(report.predicted_keys),
    }
