"""`ringfence up`, `down` and `restart`: the services of a policy as processes, each in its zone."""

import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ringfence.cli.output import Json, console, errors, print_json
from ringfence.kernel.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ringfence.wiring_platform import States

Folder = Annotated[Path, typer.Option("--folder", help="Where the platform keeps its keys, books and logs.")]
DEFAULT_FOLDER = Path("ringfence-platform")
DETACH_S = 60.0


def up(
    policy: Annotated[
        Path | None, typer.Argument(help="The policy file; the venue policy by default.")
    ] = None,
    folder: Folder = DEFAULT_FOLDER,
    namespaces: Annotated[
        bool,
        typer.Option(
            "--namespaces/--no-namespaces", help="Give each service a network namespace, or use loopback."
        ),
    ] = True,
    detach: Annotated[bool, typer.Option("--detach", help="Return once everything runs.")] = False,
    json: Json = False,
) -> None:
    """Start every service of the policy in its zone, with stand-ins for what is outside; show their state.

    Each service is a process with an identity of its own, the keys that it holds, a sandbox, and a network
    namespace that only declared flows leave or reach. Runs until Ctrl-C or `ringfence down`. Where a platform
    runs in the folder already, its state is shown.
    """
    from ringfence import wiring_files, wiring_network, wiring_platform

    if (running := _running_in(folder)) is not None:
        _show(running, json)
        return
    if detach:
        _show(_started_apart(folder), json)
        if not json:
            ways = f"`ringfence up --folder {folder}` shows it, `ringfence down --folder {folder}` stops it"
            errors.print(f"it runs on; {ways}", highlight=False, soft_wrap=True)
        return
    file = policy or wiring_files.shipped_policy("venue")
    model = wiring_files.load_policy(file)
    if namespaces and not wiring_network.is_in_lab():
        command = _command_in_namespaces()
        os.execvp(command[0], command)
    mode: Any = "namespaces" if namespaces else "loopback"
    hosting = partial(wiring_platform.host_platform, model, file, folder, mode)
    if json:
        _host_quietly(hosting)
    else:
        errors.print(f"starting the services of {model.name} in {folder}; Ctrl-C stops them", highlight=False)
        _host_in_sight(hosting)


def down(folder: Folder = DEFAULT_FOLDER, json: Json = False) -> None:
    """Stop the platform that runs in a folder; what is in its books stays."""
    from ringfence import wiring_platform

    wiring_platform.stop_platform(folder)
    if json:
        print_json({"folder": str(folder), "stopped": True})
    else:
        console.print(f"the platform in {folder} has stopped")


def restart(
    service: Annotated[str, typer.Argument(help="The service to stop and start again.")],
    folder: Folder = DEFAULT_FOLDER,
    json: Json = False,
) -> None:
    """Stop one service of a running platform and start it again; the others go on."""
    from ringfence import wiring_platform

    wiring_platform.restart_service(folder, service)
    _show(wiring_platform.platform_states(folder), json)


def _running_in(folder: Path) -> "States | None":
    from ringfence import wiring_platform

    try:
        return wiring_platform.platform_states(folder)
    except UnreachableError:
        return None


def _command_in_namespaces() -> list[str]:
    from ringfence import wiring_network

    try:
        return wiring_network.lab_command()
    except UnreachableError as reason:
        words = "--no-namespaces runs the platform on loopback, where the network's walls are not enforced"
        raise UnreachableError(f"{reason}; {words}") from None


def _started_apart(folder: Path) -> "States":
    """Start the same command in a session of its own, and wait until everything runs."""
    errors.print(f"starting the services in {folder}", highlight=False)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = folder / "platform.log"
    words = [word for word in sys.argv[1:] if word != "--detach"]
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "ringfence", *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    deadline = time.monotonic() + DETACH_S
    while time.monotonic() < deadline:
        found = _running_in(folder)
        if found is not None:
            return found
        if process.poll() is not None:
            break
        time.sleep(0.1)
    lines = log.read_text("utf-8", "replace").strip().splitlines()
    raise UnreachableError(f"the platform did not start: {lines[-1] if lines else f'see {log}'}")


def _host_quietly(hosting: "Callable[[Callable[[States], None]], None]") -> None:
    shown: list[bool] = []

    def show(states: "States") -> None:
        if not shown:
            print_json(_plain(states))
            sys.stdout.flush()
            shown.append(True)

    hosting(show)


def _host_in_sight(hosting: "Callable[[Callable[[States], None]], None]") -> None:
    from rich.live import Live

    with Live(console=console, auto_refresh=False) as live:
        hosting(lambda states: live.update(_in_words(states), refresh=True))


def _show(states: "States", json: bool) -> None:
    if json:
        print_json(_plain(states))
        return
    console.print(_in_words(states), highlight=False)


def _in_words(states: "States") -> Group:
    """Show the table, and below it whatever a person should know of a service."""
    return Group(_table(states), *(Text(words) for words in _remarks(states)))


def _remarks(states: "States") -> "Iterator[str]":
    for one in states.services:
        if one.state == "failed":
            yield f"{one.name} died too often and is left to you; `ringfence restart {one.name}` starts it"
        if one.running is not None:
            yield from (
                f"{one.name} is not held by its sandbox: {words}" for words in one.running.not_sandboxed
            )
            if one.running.last_failure:
                yield f"{one.name} failed {one.running.failures} times, last: {one.running.last_failure}"
    yield from (f"not enforced: {words}" for words in states.not_enforced)


def _table(states: "States") -> Table:
    table = Table("service", "state", "pid", "figures", "refusals", "restarts")
    colours = {"running": "green", "failed": "red"}
    for one in states.services:
        running = one.running
        figures = running.figures if running is not None else {}
        table.add_row(
            one.name,
            f"[{colours.get(one.state, 'yellow')}]{one.state}[/]",
            str(running.pid) if running is not None else "",
            ", ".join(f"{name} {value}" for name, value in figures.items()),
            str(running.refusals) if running is not None else "",
            str(one.restarts),
        )
    return table


def _plain(states: "States") -> dict[str, Any]:
    return {
        "services": [
            {
                "name": one.name,
                "state": one.state,
                "restarts": one.restarts,
                "pid": one.running.pid if one.running is not None else None,
                "figures": dict(one.running.figures) if one.running is not None else {},
                "refusals": one.running.refusals if one.running is not None else 0,
                "last_failure": one.running.last_failure if one.running is not None else "",
                "sandbox": list(one.running.sandbox) if one.running is not None else [],
                "not_sandboxed": list(one.running.not_sandboxed) if one.running is not None else [],
            }
            for one in states.services
        ],
        "not_enforced": list(states.not_enforced),
    }
