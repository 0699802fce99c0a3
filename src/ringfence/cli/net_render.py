"""`ringfence net render` and `net drift`: the policy's flows in the words of each tool, and read back.

Tools differ in what they can say: nftables and Kubernetes name every flow, systemd names addresses and ports
apart, compose knows who shares a network, a sandbox knows ports. Each is compared in its own words.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from ringfence.cli.output import Json, errors, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.network.compile import Rules
    from ringfence.planes.network.formats import Difference
    from ringfence.planes.network.sites import Sites

app = typer.Typer(no_args_is_help=True)

PolicyFile = Annotated[
    Path | None, typer.Option("--policy", help="The policy file; the venue policy by default.")
]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="A real network of an end: internet=0.0.0.0/0; may be repeated."),
]
Tool = Literal["nftables", "kubernetes", "cluster-policies", "systemd", "compose", "sandbox"]


def rules_of(policy: Path | None) -> "Rules":
    """Load a policy, the venue policy by default, and compile its flows."""
    from ringfence import wiring_files
    from ringfence.planes.network.compile import compile_flows

    return compile_flows(wiring_files.load_policy(policy or wiring_files.shipped_policy("venue")))


def sites_of(rules: "Rules", networks: list[str] | None, interfaces: list[str] | None = None) -> "Sites":
    """Plan the site of every end; UsageError where an option is not `end=value`."""
    from ringfence.planes.network.sites import plan_sites

    given: dict[str, list[str]] = {}
    for end, network in _named(networks, "--network", "internet=0.0.0.0/0"):
        given.setdefault(end, []).append(network)
    return plan_sites(rules, given, dict(_named(interfaces, "--interface", "gateway=eth1")))


def _named(texts: list[str] | None, option: str, example: str) -> Iterator[tuple[str, str]]:
    for text in texts or ():
        end, sign, value = text.partition("=")
        if not (end and sign and value):
            raise UsageError(f"{option} was {text!r}; write it as {example}")
        yield end, value


@app.command()
def render(
    place: Annotated[
        str | None,
        typer.Argument(help="`hub` or a service, for tools that have a file for each of them."),
    ] = None,
    to: Annotated[
        Tool | None, typer.Option("--to", help="The tool; without it the flows are said in words.")
    ] = None,
    policy: PolicyFile = None,
    network: Networks = None,
    closed: Annotated[
        Literal["drop", "reset"], typer.Option("--closed", help="nftables: what becomes of the rest.")
    ] = "drop",
    json: Json = False,
) -> None:
    """Write the flows of a policy as the rules of a tool.

    nftables needs a place and is for `nft -j -f`, systemd and sandbox need a service; kubernetes,
    cluster-policies and compose are written whole. With --json, as one JSON document.
    """
    from ringfence import wiring_network
    from ringfence.planes.network.formats import as_yaml, write

    rules = rules_of(policy)
    if to is None and not json:
        _say_flows(rules, place)
        return
    form: Tool = to or "nftables"
    document = write(form, rules, sites_of(rules, network), place, closed)
    if form == "sandbox":
        for words in wiring_network.sandbox_shortfall():
            errors.print(f"note: {escape(words)}", highlight=False, soft_wrap=True)
    if json or form in ("nftables", "sandbox"):
        print_json(document)
    elif isinstance(document, str):
        print(document, end="")
    else:
        print(as_yaml(document), end="")


def _say_flows(rules: "Rules", place: str | None) -> None:
    if place is not None and place not in ("hub", *rules.workloads):
        raise UsageError(f"there is no place {place!r}; there are hub, {', '.join(rules.workloads)}")
    for flow, permission in rules.flows.items():
        if place in (None, "hub", flow.source, flow.target):
            print(f"{flow}  ({permission.rule})")


@app.command("map")
def draw_map(policy: PolicyFile = None, json: Json = False) -> None:
    """Draw the zones as rooms and the flows as doors between them: one SVG on standard output."""
    from ringfence.drawing.page import picture
    from ringfence.planes.network.map import flow_map

    drawn = picture(flow_map(rules_of(policy)))
    if json:
        print_json({"svg": drawn})
    else:
        print(drawn, end="")


@app.command()
def drift(
    loaded: Annotated[
        Path, typer.Argument(help="What is loaded: a file of the tool, or a folder of manifests.")
    ],
    of: Annotated[Tool, typer.Option("--of", help="The tool whose rules these are.")] = "nftables",
    place: Annotated[
        str | None,
        typer.Option("--place", help="The service; nftables: or `hub`, which is meant without it."),
    ] = None,
    policy: PolicyFile = None,
    network: Networks = None,
    json: Json = False,
) -> None:
    """Compare the rules of a tool, written by anyone, with the policy; exit code 1 where they differ.

    nftables: what `nft -j list ruleset` prints. kubernetes, cluster-policies: manifests. systemd: a unit or
    drop-in. compose: a compose file. sandbox: a profile that `net render --to sandbox` wrote.
    """
    from ringfence import wiring_network

    rules = rules_of(policy)
    found = wiring_network.read_back(of, loaded, rules, sites_of(rules, network), place)
    for finding in found.findings:
        errors.print(f"{finding.level}: {escape(str(finding))}", highlight=False, soft_wrap=True)
    if json:
        print_json({"missing": list(found.missing), "excess": list(found.excess)})
    else:
        _say_difference(found)
    raise typer.Exit(1 if found else 0)


def _say_difference(found: "Difference") -> None:
    for words in found.missing:
        print(f"declared and closed: {words}")
    for words in found.excess:
        print(f"open and not declared: {words}")
    if found:
        print("what is loaded differs from the policy")
    else:
        print("what is loaded is what the policy declares")
