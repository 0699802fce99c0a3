"""`ringfence proof`: what can cross a wall, ever, and what falls if this falls.

Answers go to standard output; exit code 1 where a claim does not hold, a certificate does not check, or what
runs is not what was declared. Engines are imported by the commands that need them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ringfence.cli import proof_words
from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, print_json, progress
from ringfence.cli.proof_facts import (
    Facts,
    Hub,
    carried_out,
    facts_of,
    read_bytes,
    session_facts_of,
)
from ringfence.cli.proof_falls import blast, choke, explain, fewest, mend, movers, only, reach
from ringfence.cli.proof_policy import coverage, diff, drift, gates, laws, picture, used
from ringfence.kernel.errors import BadInput, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ringfence.policy.model import Finding, Policy
    from ringfence.proof.claims import SecondOpinion, Verdict
    from ringfence.proof.world import Fact

app = typer.Typer(
    no_args_is_help=True, help="Prove what cannot happen, and say what falls if something falls."
)

Seconds = Annotated[
    float, typer.Option("--seconds", help="Time limit of each question to another engine.", min=0.001)
]


@app.command()
def claims(
    policy: PolicyFile,
    only: Annotated[
        list[str] | None, typer.Option("--claim", help="Decide this claim only; may be repeated.")
    ] = None,
    facts: Facts = None,
    hub: Hub = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show what each verdict rests on.")] = False,
    second: Annotated[
        bool, typer.Option("--second", help="Ask Z3 and clingo as well; all engines must agree.")
    ] = False,
    seconds_max: Seconds = 30.0,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="Write the certificate of all verdicts here.")
    ] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="Write SARIF for code scanning here.")] = None,
    markdown: Annotated[
        Path | None, typer.Option("--markdown", help="Write Markdown for a pull request here.")
    ] = None,
    at: Annotated[
        Path | None,
        typer.Option("--at", help="A book: count its trading sessions, show what each exception moved."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide every claim of a policy: proved, refuted with a replayed story, open, unknown or vacuous.

    Exit code 1 where a claim does not hold.
    """
    loaded = _loaded(policy, sarif)
    known = (*facts_of(facts, loaded, hub), *session_facts_of(at))
    opinion = _second_opinion(seconds_max) if second else None
    verdicts = _decide(loaded, only or [], known, opinion)
    _write_files(loaded, verdicts, certificate, sarif, markdown)
    if as_json:
        from ringfence.proof.output import show_plain

        print_json({"policy": loaded.name, "claims": show_plain(loaded, verdicts)})
    else:
        from ringfence.proof.rights import moved_by_gate

        moved = None if at is None else moved_by_gate(one.request for one in carried_out(at)[1])
        proof_words.print_verdicts(loaded, verdicts, moved, explain=explain)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


def _loaded(policy: Path, sarif: Path | None) -> "Policy":
    """Load a policy; where it cannot be read, a review is to see why at the lines that are wrong."""
    from ringfence.policy.model import Finding
    from ringfence.wiring_files import read_policy

    if sarif is None:
        return proof_words.load(policy)
    try:
        parsed = read_policy(policy)
    except BadInput as fault:
        right = "name a policy that can be read"
        finding = Finding(
            level="error", rule="unreadable", where=f"{policy}:1", found=str(fault), right=right
        )
        _write_sarif(sarif, (), [finding])
        raise
    if parsed.policy is None:
        _write_sarif(sarif, (), parsed.findings)
    return proof_words.load(policy)


def _decide(
    policy: "Policy", only: list[str], facts: "tuple[Fact, ...]", opinion: "SecondOpinion | None"
) -> "tuple[Verdict, ...]":
    from ringfence.proof.claims import decide
    from ringfence.proof.questions import Grounds

    for name in only:
        if name not in policy.claims:
            raise UsageError(f"{policy.name} has no claim `{name}`; it claims {', '.join(policy.claims)}")
    names = only or list(policy.claims)
    grounds = Grounds(policy, facts)
    found = []
    with progress("deciding claims", len(names)) as step:
        for name in names:
            found.append(decide(grounds, name, opinion))
            step(1)
    return tuple(found)


def _second_opinion(seconds_max: float) -> "SecondOpinion":
    from ringfence import wiring

    return wiring.second_opinion(seconds_max)


def _write_files(
    policy: "Policy",
    verdicts: "tuple[Verdict, ...]",
    certificate: Path | None,
    sarif: Path | None,
    markdown: Path | None,
) -> None:
    from ringfence.proof import output

    if certificate is not None:
        from ringfence.policy.digest import digest
        from ringfence.proof.certificate import certify, write_certificate

        certificate.write_bytes(write_certificate(certify(policy.name, digest(policy), verdicts)) + b"\n")
    if sarif is not None:
        from ringfence.proof.gates import weak_gates

        _write_sarif(sarif, verdicts, weak_gates(policy))
    if markdown is not None:
        markdown.write_text(output.show_markdown(policy, verdicts))


def _write_sarif(file: Path, verdicts: "Iterable[Verdict]", findings: "Iterable[Finding]") -> None:
    from importlib.metadata import version

    from ringfence.kernel.digest import canonical_bytes
    from ringfence.proof import output

    found = output.show_sarif(version("ringfence"), verdicts, findings)
    file.write_bytes(canonical_bytes(found) + b"\n")


@app.command()
def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate written by `proof claims`.")],
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Also compare it with what this policy claims.")
    ] = None,
    facts: Facts = None,
    at: Annotated[
        Path | None, typer.Option("--at", help="The book whose trading sessions the claims counted.")
    ] = None,
    second: Annotated[
        bool, typer.Option("--second", help="Let Z3 prove the invariants of exceptions again.")
    ] = False,
    seconds_max: Seconds = 30.0,
    as_json: Json = False,
) -> None:
    """Check a certificate with a second, small program that shares nothing with the engines.

    Exit code 1 where the evidence does not show what it says; 2 where the file was altered.
    """
    from ringfence.proof.certificate import differences, read_certificate
    from ringfence.proof.checker import complaints

    found = read_certificate(read_bytes(certificate))
    wrong = complaints(found)
    if second:
        from ringfence import wiring
        from ringfence.proof.opinions import unproved_invariants

        wrong = (*wrong, *unproved_invariants(found, wiring.constraint_solver(seconds_max)))
    if policy is not None:
        known = (*facts_of(facts), *session_facts_of(at))
        wrong = (*wrong, *differences(found, proof_words.load(policy), known))
    if as_json:
        entries = [{"claim": one.claim, "plane": one.plane, "status": one.status} for one in found.entries]
        print_json({"policy": found.policy, "digest": found.digest, "entries": entries, "complaints": wrong})
    else:
        proof_words.print_check(found, wrong, second=second)
    if wrong:
        raise typer.Exit(1)


for asked in (blast, reach, explain, only, movers, fewest, choke, mend):
    app.command()(asked)
for told in (gates, laws, coverage, used, diff, drift, picture):
    app.command()(told)
