"""`ringfence net apply|revoke|quarantine|release|status|learn|canary`: the rules in force.

They act on the lab that stands on this machine (`ringfence lab --hold`), with every place of the network and
real packets; or with --at on this machine itself, as one place of a real network.
"""

import os
import select
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli.net_render import Networks, PolicyFile, rules_of, sites_of
from ringfence.cli.net_words import (
    flow_of,
    kept_flow,
    paced,
    plain_attempt,
    plain_round,
    plain_status,
    print_attempts,
    print_status,
    say_round,
)
from ringfence.cli.output import Json, errors, print_json

if TYPE_CHECKING:
    from ringfence.planes.network.compile import Rules
    from ringfence.wiring_network import Enforcement

app = typer.Typer(no_args_is_help=True)

At = Annotated[
    str | None,
    typer.Option("--at", help="This machine is that place: `hub`, or a service. Without it: the lab."),
]
Interfaces = Annotated[
    list[str] | None,
    typer.Option("--interface", help="A real interface: of an end at the hub, or of the service itself."),
]
Zones = list[str] | None


@app.command("apply")
def apply_rules(
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    observe: Annotated[
        Zones, typer.Option("--observe", help="Only watch this zone; may be repeated.")
    ] = None,
    warn: Annotated[Zones, typer.Option("--warn", help="Watch this zone and log; may be repeated.")] = None,
    enforce: Annotated[bool, typer.Option("--enforce", help="Enforce every zone that is not named.")] = False,
    keep: Annotated[
        list[str] | None, typer.Option("--keep", help="SOURCE:TARGET:PORT that must stay open.")
    ] = None,
    without_me: Annotated[
        bool, typer.Option("--without-me", help="Do not mind whether this SSH session is locked out.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing: prove, rehearse, say what would break.")
    ] = False,
    confirm: Annotated[
        int, typer.Option("--confirm", help="How many seconds to wait for `yes` before rolling back.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", help="Keep the rules without being asked.")] = False,
    json: Json = False,
) -> None:
    """Put the policy's rules in force: prove, rehearse, load, read back, probe, confirm; or change nothing.

    Modes that are not named stay as they are loaded; what is in quarantine stays there.
    """
    from ringfence import wiring_network
    from ringfence.planes.network.modes import modes_of

    found, rules = _enforcement(policy, at, network, interface)
    enforcer = found.enforcer
    if observe or warn or enforce:
        enforcer.modes = modes_of(rules, observe or (), warn or ())
    enforcer.keep = [kept_flow(text) for text in keep or ()]
    if at is not None and not without_me:
        session = wiring_network.session_flow(enforcer.sites, at)
        enforcer.keep = [*enforcer.keep, *([session] if session else [])]
    broken = [str(flow) for flow in found.undeclared(rules)]
    if dry_run:
        enforcer.rehearse(rules)
        _say_rehearsed(rules, broken, json)
        return
    found.roll_back(confirm + wiring_network.ROLL_BACK_SLACK_S)
    generation = enforcer.apply(
        rules,
        wiring_network.prover(_file(policy, at)),
        found.probe,
        (lambda: True) if yes else _asking(confirm),
    )
    if json:
        print_json({"generation": generation.number, "flows": len(rules.flows), "undeclared": broken})
        return
    probed = "" if found.ask else "; no packet was sent, for this is one place of a network"
    print(f"generation {generation.number} is in force: {len(rules.flows)} flows{probed}")
    _say_broken(broken, "established and not permitted (they go on until they end)")


def _say_rehearsed(rules: "Rules", broken: list[str], json: bool) -> None:
    if json:
        print_json({"generation": None, "flows": len(rules.flows), "undeclared": broken})
        return
    print(f"{len(rules.flows)} flows could be loaded; nothing was changed")
    _say_broken(broken, "established now, and would not be permitted")


def _say_broken(broken: list[str], words: str) -> None:
    if broken:
        print(f"{words}:", *broken, sep="\n  ")


@app.command()
def revoke(
    source: Annotated[str, typer.Argument(help="The end that opens the connections.")],
    target: Annotated[str, typer.Argument(help="The end that is reached.")],
    port: Annotated[str, typer.Argument(help="The port: 7005, or udp/53.")],
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    json: Json = False,
) -> None:
    """Close one flow now, and end its established connections.

    The policy still declares it: take it out there too, or the next `net apply` opens it again.
    """
    found, rules = _enforcement(policy, at, network, interface)
    flow = flow_of(source, target, port)
    ended = found.enforcer.revoke(flow, rules)
    if json:
        print_json({"flow": str(flow), "ended": ended})
    else:
        print(f"{flow} is closed; {ended} connection records of it were ended")


@app.command()
def quarantine(
    end: Annotated[str, typer.Argument(help="The service or external to cut off.")],
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    json: Json = False,
) -> None:
    """Cut an end off from everything at the hub, at once, established connections too."""
    found, _ = _enforcement(policy, at, network, interface)
    found.enforcer.quarantine(end)
    _say_end(end, "is cut off", json)


@app.command()
def release(
    end: Annotated[str, typer.Argument(help="The service or external to let in again.")],
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    json: Json = False,
) -> None:
    """Let an end that is in quarantine take part again, as the rules say."""
    found, _ = _enforcement(policy, at, network, interface)
    found.enforcer.release(end)
    _say_end(end, "takes part again", json)


def _say_end(end: str, words: str, json: bool) -> None:
    if json:
        print_json({"end": end, "done": words})
    else:
        print(f"{end} {words}")


@app.command()
def status(
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    json: Json = False,
) -> None:
    """Say what is in force at each place, what each flow let through, and what was tried without a flow.

    Exit code 1 where something else is loaded than the policy declares.
    """
    found, rules = _enforcement(policy, at, network, interface)
    places, attempts = found.enforcer.enforced.status(rules), found.enforcer.enforced.attempts(rules)
    if json:
        print_json(
            {
                "holds": all(place.holds for place in places),
                "places": [plain_status(place) for place in places],
                "attempts": [plain_attempt(attempt) for attempt in attempts],
            }
        )
    else:
        print_status(places, rules)
        print_attempts(attempts)
    raise typer.Exit(0 if all(place.holds for place in places) else 1)


@app.command()
def learn(
    policy: PolicyFile = None,
    at: At = None,
    network: Networks = None,
    interface: Interfaces = None,
    closed: Annotated[bool, typer.Option("--closed", help="Propose what was tried and closed, too.")] = False,
    json: Json = False,
) -> None:
    """Propose flows for what passes only because it is watched, or is established, as lines for the policy.

    Nothing is opened: a person decides, writes what each flow is for, and puts it into the policy.
    """
    from ringfence.planes.network.proposals import propose

    found, rules = _enforcement(policy, at, network, interface)
    attempts = [one for one in found.enforcer.enforced.attempts(rules) if one.passed or closed]
    tried = {attempt.flow: attempt.packets for attempt in attempts}
    proposals = propose(rules, tried, found.undeclared(rules))
    if json:
        print_json([{"flow": str(one.flow), "seen": one.seen} for one in proposals])
    elif not proposals:
        print("nothing was seen that the policy does not declare")
    else:
        print("flows:  # proposed; nothing is opened until a person puts it into the policy")
        print(*proposals, sep="\n")


@app.command()
def canary(
    rounds: Annotated[int, typer.Option("--rounds", help="How many rounds; 0 goes on until Ctrl-C.")] = 0,
    every: Annotated[float, typer.Option("--every", help="Seconds between two rounds.")] = 5,
    share: Annotated[float, typer.Option("--share", help="What part of the rest each round asks.")] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="Draws which connections are asked.")] = 1,
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Send real packets through the lab that stands, again and again: all flows, and a share of the rest.

    Beside each connection that was closed the target is asked from its own place, so that a dead listener is
    not taken for a wall. Ends with exit code 1 at the first round in which something was not as declared.
    """
    from ringfence.services.canary import canary as rounds_of

    found, rules = _enforcement(policy, None, None, None)
    assert found.ask is not None  # a lab can always send packets
    taken = []
    must_be = partial(found.enforcer.enforced.must_be, rules)
    taking = rounds_of(rules, found.everything, found.ask, must_be, seed, share)
    for one in paced(taking, every, rounds):
        taken.append(one)
        if not json:
            say_round(one)
        if one.wrong:
            break
    if json:
        print_json([plain_round(one) for one in taken])
    raise typer.Exit(1 if any(one.wrong for one in taken) else 0)


# --- where ---------------------------------------------------------------------------------------


def _enforcement(
    policy: Path | None, at: str | None, network: list[str] | None, interface: list[str] | None
) -> "tuple[Enforcement, Rules]":
    """Return what is acted on; in the lab this process is started again inside it first."""
    from ringfence import wiring_network

    if at is None:
        if not wiring_network.is_in_lab():
            command = wiring_network.standing_command()
            os.execvp(command[0], command)
        rules = rules_of(_file(policy, at))
        return wiring_network.standing_enforcement(rules), rules
    rules = rules_of(policy)
    return wiring_network.local_enforcement(rules, sites_of(rules, network, interface), at), rules


def _file(policy: Path | None, at: str | None) -> Path:
    from ringfence import wiring_files, wiring_network

    if policy is not None:
        return policy
    return wiring_network.standing_policy() if at is None else wiring_files.shipped_policy("venue")


def _asking(seconds: int) -> Callable[[], bool]:
    def asked() -> bool:
        errors.print(f"the new rules are in force; type yes within {seconds} s to keep them:")
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready) and sys.stdin.readline().strip().lower() in ("y", "yes")

    return asked
