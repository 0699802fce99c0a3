"""`ringfence net`: who may talk to whom, in clusters that exist and under the policy.

What is asked is answered without sending a packet. Findings about what was read go to standard error, so that
standard output holds answers only; an error among them ends in exit code 1, for then the answer is not whole.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape

from ringfence.cli import net_live, net_render
from ringfence.cli.net_render import PolicyFile, rules_of
from ringfence.cli.net_words import flow_of, parse_port
from ringfence.cli.output import Json, errors, print_json
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.planes.network.kubernetes.model import Cluster
    from ringfence.policy.model import Finding

app = typer.Typer(no_args_is_help=True, help="See, compile and enforce who may talk to whom.")
app.add_typer(net_render.app)
app.add_typer(net_live.app)

Form = Literal["text", "csv", "markdown", "dot"]
Families = tuple[Literal["v4", "v6"], ...]
Manifests = Annotated[Path, typer.Argument(help="A folder of Kubernetes manifests, YAML or JSON.")]


@app.command()
def connectivity(
    folder: Manifests,
    diff: Annotated[
        Path | None, typer.Option("--diff", help="Compare with this folder: what changes from FOLDER to it.")
    ] = None,
    explain: Annotated[
        tuple[str, str, str] | None,
        typer.Option("--explain", help="Say why SOURCE may or may not reach TARGET on PORT (8080, udp/53)."),
    ] = None,
    form: Annotated[Form, typer.Option("--format", help="How to write the list, or the changes.")] = "text",
    ipv6: Annotated[bool, typer.Option("--ipv6", help="List IPv6 addresses outside, too.")] = False,
    json: Json = False,
) -> None:
    """Say who can talk to whom in a Kubernetes cluster, from its manifests.

    Reads workloads, NetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy and ClusterNetworkPolicy.
    """
    if diff is not None and explain is not None:
        raise UsageError("--diff compares two folders and --explain asks one of them: name one of the two")
    if explain is not None and form != "text":
        raise UsageError(f"--format {form} writes a list; an explanation is text, or JSON with --json")
    cluster, findings = _read_cluster(folder)
    families: Families = ("v4", "v6") if ipv6 else ("v4",)
    if diff is not None:
        other, more = _read_cluster(diff)
        findings = (*findings, *more)
        _show_changes(cluster, other, families, form, json)
    elif explain is not None:
        _show_explanation(cluster, explain, json)
    else:
        _show_links(cluster, families, form, json)
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def _read_cluster(folder: Path) -> "tuple[Cluster, tuple[Finding, ...]]":
    from ringfence import wiring_network

    cluster, findings = wiring_network.read_manifests(folder)
    for finding in findings:
        errors.print(f"{finding.level}: {escape(str(finding))}", highlight=False, soft_wrap=True)
    if not cluster.pods:
        words = f"note: {folder} declares no workload, so nobody is there to talk: name its folder, too"
        errors.print(escape(words), highlight=False, soft_wrap=True)
    return cluster, findings


def _show_links(cluster: "Cluster", families: Families, form: Form, json: bool) -> None:
    from ringfence.planes.network.kubernetes import show
    from ringfence.planes.network.kubernetes.evaluate import Connectivity

    links = tuple(Connectivity(cluster, families).links())
    if cluster.pods and not links:
        errors.print("note: nobody may talk to anybody", highlight=False)
    if json:
        print_json(show.show_plain(links))
    else:
        print(show.show_links(links, form), end="")


def _show_changes(old: "Cluster", new: "Cluster", families: Families, form: Form, json: bool) -> None:
    from ringfence.planes.network.kubernetes import show
    from ringfence.planes.network.kubernetes.compare import compare

    changes = compare(old, new, families)
    if not changes:
        errors.print("note: both let the same connections through", highlight=False)
    if json:
        print_json(show.show_plain(changes))
    else:
        print(show.show_changes(changes, form), end="")


def _show_explanation(cluster: "Cluster", asked: tuple[str, str, str], json: bool) -> None:
    from ringfence.planes.network.kubernetes.evaluate import Connectivity
    from ringfence.planes.network.kubernetes.explain import explain

    protocol, port = parse_port(asked[2])
    answer = explain(Connectivity(cluster, ("v4", "v6")), asked[0], asked[1], protocol, port)
    if json:
        causes = [
            {"direction": cause.direction, "open": cause.is_open, "words": cause.words, "where": cause.where}
            for cause in answer.causes
        ]
        print_json(
            {
                "src": answer.source,
                "dst": answer.target,
                "protocol": protocol,
                "port": port,
                "open": answer.is_open,
                "causes": causes,
                "nearby": list(answer.ways),
            }
        )
        return
    print(answer)


# --- under the policy --------------------------------------------------------------------------


@app.command("explain")
def explain_flow(
    source: Annotated[str, typer.Argument(help="A service or external of the policy.")],
    target: Annotated[str, typer.Argument(help="The service or external to be reached.")],
    port: Annotated[str, typer.Argument(help="The port: 7005, or udp/53.")],
    policy: PolicyFile = None,
    json: Json = False,
) -> None:
    """Say whether one service may open a connection to another, by which line, and what may be instead.

    Exit code 1 where it may not.
    """
    from ringfence.planes.network.flow import explain

    rules = rules_of(policy)
    for name in (source, target):
        if name not in rules.ends:
            raise UsageError(
                f"the policy has no service or external {name!r}; it has {', '.join(rules.ends)}"
            )
    answer = explain(rules, flow_of(source, target, port))
    if json:
        print_json(
            {
                "flow": str(answer.flow),
                "open": answer.is_accepted,
                "rule": answer.rule,
                "purpose": answer.purpose,
                "words": getattr(answer.decision, "words", ""),
                "nearby": list(answer.ways),
                "path": list(answer.path),
            }
        )
    elif answer.is_accepted:
        print(f"{answer.flow} is permitted by {answer.rule}: {answer.purpose or 'no purpose is stated'}")
    else:
        print(getattr(answer.decision, "words", ""))
        if answer.rule:
            print(f"{answer.rule} declares {target}; what no flow opens is closed")
        for words, listed in (
            ("nearby", answer.ways),
            ("whoever owns all on the way gets there by", answer.path),
        ):
            if listed:
                print(f"{words}:", *listed, sep="\n  ")
    raise typer.Exit(0 if answer.is_accepted else 1)
