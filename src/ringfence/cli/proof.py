"""`ringfence proof`: what can cross a wall, ever, and what falls if this falls.

Answers go to standard output; exit code 1 where a claim does not hold, a certificate does not check, or what
runs is not what was declared. Engines are imported by the commands that need them.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringfence.cli import proof_words
from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, print_json, progress
from ringfence.kernel.errors import BadInput, UsageError

if TYPE_CHECKING:
    from ringfence.planes.ledger.operations import Request
    from ringfence.policy.model import Journey, Policy
    from ringfence.proof.claims import SecondOpinion, Verdict
    from ringfence.proof.world import Fact

app = typer.Typer(
    no_args_is_help=True, help="Prove what cannot happen, and say what falls if something falls."
)

Facts = Annotated[
    Path | None, typer.Option("--facts", help="A JSON list of facts beside the policy, such as balances.")
]
Way = Annotated[str, typer.Argument(help="From where to where, e.g. `client/** -> outside`.", metavar="WAY")]
Plane = Annotated[Literal["ledger", "vault"], typer.Option("--plane", help="Which plane checks the gates.")]
Mode = Annotated[
    Literal["contained", "pivot"],
    typer.Option("--mode", help="What the start itself may do, or also what it can reach."),
]
Seconds = Annotated[
    float, typer.Option("--seconds", help="Time limit of each question to another engine.", min=0.001)
]
Names = Annotated[
    list[str], typer.Argument(help="Services, keys, hosts or people that fall, e.g. gateway officer_a.")
]


# --- claims ------------------------------------------------------------------------------------


@app.command()
def claims(
    policy: PolicyFile,
    only: Annotated[
        list[str] | None, typer.Option("--claim", help="Decide this claim only; may be repeated.")
    ] = None,
    facts: Facts = None,
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
        Path | None, typer.Option("--at", help="A book: show what each exception moved so far.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Decide every claim of a policy: proved, refuted with a replayed story, open, unknown or vacuous.

    Exit code 1 where a claim does not hold.
    """
    loaded = proof_words.load(policy)
    known = _facts(facts)
    opinion = _second_opinion(seconds_max) if second else None
    verdicts = _decide(loaded, only or [], known, opinion)
    _write_files(loaded, verdicts, certificate, sarif, markdown)
    if as_json:
        from ringfence.proof.output import show_plain

        print_json({"policy": loaded.name, "claims": show_plain(loaded, verdicts)})
    else:
        from ringfence.proof.gates import moved_by_gate

        moved = None if at is None else moved_by_gate(_carried_out(at)[1])
        proof_words.print_verdicts(loaded, verdicts, moved, explain=explain)
    if not all(verdict.holds for verdict in verdicts):
        raise typer.Exit(1)


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
        from importlib.metadata import version

        from ringfence.kernel.digest import canonical_bytes
        from ringfence.proof.gates import weak_gates

        found = output.show_sarif(version("ringfence"), verdicts, weak_gates(policy))
        sarif.write_bytes(canonical_bytes(found) + b"\n")
    if markdown is not None:
        markdown.write_text(output.show_markdown(policy, verdicts))


@app.command()
def check(
    certificate: Annotated[Path, typer.Argument(help="A certificate written by `proof claims`.")],
    policy: Annotated[
        Path | None, typer.Option("--policy", help="Also compare it with what this policy claims.")
    ] = None,
    facts: Facts = None,
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

    found = read_certificate(_read_bytes(certificate))
    wrong = complaints(found)
    if second:
        from ringfence import wiring
        from ringfence.proof.opinions import unproved_invariants

        wrong = (*wrong, *unproved_invariants(found, wiring.constraint_solver(seconds_max)))
    if policy is not None:
        wrong = (*wrong, *differences(found, proof_words.load(policy), _facts(facts)))
    if as_json:
        entries = [{"claim": one.claim, "plane": one.plane, "status": one.status} for one in found.entries]
        print_json({"policy": found.policy, "digest": found.digest, "entries": entries, "complaints": wrong})
    else:
        proof_words.print_check(found, wrong, second=second)
    if wrong:
        raise typer.Exit(1)


# --- what falls --------------------------------------------------------------------------------


@app.command()
def blast(
    policy: PolicyFile,
    names: Names,
    mode: Annotated[
        Literal["contained", "pivot", "both"],
        typer.Option("--mode", help="Which assumption; both by default."),
    ] = "both",
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Say what falls if these fall: services, keys, gates, and the most that moves per hour and per day."""
    from ringfence.proof.blast import blast as blast_radius

    loaded, known = proof_words.load(policy), _facts(facts)
    with proof_words.faults_as_usage():
        found = [
            blast_radius(loaded, names, one, known)
            for one in (("contained", "pivot") if mode == "both" else (mode,))
        ]
    if as_json:
        print_json({"policy": loaded.name, "blasts": [proof_words.plain_blast(one) for one in found]})
    else:
        for one in found:
            proof_words.print_blast(loaded, one)


@app.command()
def reach(
    policy: PolicyFile,
    way: Way,
    names: Annotated[
        list[str] | None, typer.Option("--with", help="What is broken or stolen; everything, if not given.")
    ] = None,
    mode: Mode = "contained",
    plane: Plane = "ledger",
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Say whether value can get from one place to another, and by which steps.

    Exit code 0 whether it can or not: this is a question, not a claim.
    """
    from ringfence.proof.weakspots import route

    loaded = proof_words.load(policy)
    with proof_words.faults_as_usage():
        found = route(loaded, _journey(way), names, mode, plane, _facts(facts))
    if as_json:
        steps = proof_words.plain_hops(found)
        print_json({"policy": loaded.name, "way": way, "possible": bool(found), "steps": steps})
    else:
        proof_words.print_route(loaded, way, found)


@app.command()
def only(
    policy: PolicyFile,
    way: Way,
    gates_named: Annotated[
        list[str],
        typer.Argument(help="Gates, exchanges or steps that all value must go through.", metavar="GATE..."),
    ],
    plane: Plane = "ledger",
    as_json: Json = False,
) -> None:
    """Say whether value gets from one place to another through these gates only, whoever signs.

    Exit code 1 where there is another way; it is shown.
    """
    from ringfence.proof.weakspots import route

    loaded = proof_words.load(policy)
    with proof_words.faults_as_usage():
        found = route(loaded, _journey(way), None, "contained", plane, (), gates_named)
    if as_json:
        print_json(
            {"way": way, "gates": gates_named, "holds": not found, "steps": proof_words.plain_hops(found)}
        )
    elif found:
        proof_words.print_route(loaded, way, found)
    else:
        proof_words.print_sentence(f"{way} goes through {' or '.join(gates_named)} only.")
    if found:
        raise typer.Exit(1)


@app.command()
def movers(
    policy: PolicyFile,
    place: Annotated[str, typer.Argument(help="Compartments, e.g. `client/**` or `role:insurance`.")],
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """List every single service or key whose fall lets value leave a place."""
    from ringfence.policy.phrases import parse_selector
    from ringfence.proof.weakspots import who_can_move

    loaded = proof_words.load(policy)
    with proof_words.faults_as_usage():
        found = who_can_move(loaded, parse_selector(place), _facts(facts))
    if as_json:
        fields = ("start", "mode", "plane", "gates")
        print_json(
            {"place": place, "movers": [{name: getattr(one, name) for name in fields} for one in found]}
        )
    else:
        proof_words.print_movers(place, found)


@app.command()
def fewest(
    policy: PolicyFile,
    way: Way,
    count: Annotated[
        Literal["keys", "services", "keys_and_services"], typer.Option("--count", help="What is counted.")
    ] = "keys_and_services",
    plane: Plane = "vault",
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Find the fewest keys and services that must fall before value gets from one place to another."""
    from ringfence.proof.weakspots import fewest_thefts

    loaded = proof_words.load(policy)
    with proof_words.faults_as_usage():
        found = fewest_thefts(loaded, _journey(way), count, plane, _facts(facts))
    thefts = found.bound["thefts"]
    if as_json:
        print_json(
            {"policy": loaded.name, "way": way, "plane": plane, "thefts": thefts, "words": found.words}
        )
    else:
        proof_words.print_sentence(f"{way} on {plane}: {found.words}")


@app.command()
def choke(
    policy: PolicyFile,
    way: Way,
    plane: Plane = "vault",
    start: Annotated[str, typer.Option("--from", help="A service an attacker begins at; adds flows.")] = "",
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """List what every attack must pass on a way: gates, keys, services and flows."""
    from ringfence.proof.weakspots import choke_points

    loaded, journey = proof_words.load(policy), _journey(way)
    with proof_words.faults_as_usage():
        found = choke_points(loaded, journey.source, journey.target, plane, start, _facts(facts))
    if as_json:
        fields = ("gates", "keys", "services", "flows")
        print_json({"way": way, "plane": plane} | {name: getattr(found, name) for name in fields})
    else:
        proof_words.print_choke(way, found)


@app.command()
def mend(
    policy: PolicyFile,
    claim: Annotated[str, typer.Argument(help="A claim that does not hold.")],
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Find the fewest gates and flows to take away so that a claim holds."""
    from ringfence.proof.weakspots import smallest_mend

    loaded = proof_words.load(policy)
    if claim not in loaded.claims:
        raise UsageError(f"{loaded.name} has no claim `{claim}`; it claims {', '.join(loaded.claims)}")
    with proof_words.faults_as_usage():
        found = smallest_mend(loaded, claim, _facts(facts))
    if as_json:
        print_json({"claim": claim, "holds": found.holds, "gates": found.gates, "flows": found.flows})
    else:
        proof_words.print_mend(claim, found)


# --- the policy itself -------------------------------------------------------------------------


@app.command()
def gates(policy: PolicyFile, as_json: Json = False) -> None:
    """List gates that never open, protect nothing or are unbounded, and quorums in one hand."""
    from ringfence.proof.gates import weak_gates
    from ringfence.proof.independence import shared_quorums

    loaded = proof_words.load(policy)
    findings, shared = weak_gates(loaded), shared_quorums(loaded)
    if as_json:
        fields = ("kind", "name", "keys", "gates")
        quorums = [{name: getattr(one, name) for name in fields} for one in shared]
        print_json({"findings": [one.model_dump() for one in findings], "shared_quorums": quorums})
    else:
        proof_words.print_findings([str(one) for one in (*findings, *shared)], "no gate is weak")


@app.command()
def laws(policy: PolicyFile, as_json: Json = False) -> None:
    """Say what changes the sum of each asset inside, and which gates could empty a bucket below its margin.

    Exit code 1 where a gate could.
    """
    from ringfence.proof.laws import conserve, floor

    loaded = proof_words.load(policy)
    conserved, below = conserve(loaded), floor(loaded)
    if as_json:
        sums = {"comes_in": dict(conserved.comes_in), "leaves": dict(conserved.leaves)}
        print_json({"conserve": sums, "floor": [one.model_dump() for one in below]})
    else:
        proof_words.print_laws(conserved, [str(one) for one in below])
    if below:
        raise typer.Exit(1)


@app.command()
def coverage(policy: PolicyFile, as_json: Json = False) -> None:
    """List the compartments that no claim mentions."""
    from ringfence.proof.gates import uncovered

    loaded = proof_words.load(policy)
    found = uncovered(loaded)
    if as_json:
        print_json({"policy": loaded.name, "compartments": len(loaded.compartments), "uncovered": found})
    else:
        lines = [f"{loaded.line('compartments', name)}: no claim mentions {name}" for name in found]
        proof_words.print_findings(lines, "claims mention every compartment")


@app.command()
def used(
    at: Annotated[Path, typer.Option("--at", envvar="RINGFENCE_BOOK", help="The file of the book.")],
    as_json: Json = False,
) -> None:
    """Compare the rights that a book's policy grants with those that were used: gates and keys never used."""
    from ringfence.proof.gates import unused_rights

    found = unused_rights(*_carried_out(at))
    if as_json:
        print_json({"gates": found.gates, "keys": found.keys})
    else:
        lines_shown = [f"gate {name} moved nothing" for name in found.gates]
        lines_shown += [f"key {name} signed nothing" for name in found.keys]
        proof_words.print_findings(lines_shown, "every gate and every key was used")


@app.command()
def diff(
    old: PolicyFile,
    new: PolicyFile,
    fail_on_new: Annotated[
        bool, typer.Option("--fail-on-new", help="Exit code 1 where anything is newly possible.")
    ] = False,
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Say what a change of policy makes newly possible, and what is no longer possible."""
    from ringfence.proof.difference import difference

    found = difference(proof_words.load(old), proof_words.load(new), _facts(facts))
    if as_json:
        fields = ("newly_possible", "no_longer_possible")
        print_json({name: getattr(found, name) for name in fields})
    else:
        proof_words.print_difference(found)
    if fail_on_new and found.newly_possible:
        raise typer.Exit(1)


@app.command()
def drift(policy: PolicyFile, as_json: Json = False) -> None:
    """Compare what the ledger and the network compile from a policy with what the proof reasons about.

    Exit code 1 where they differ.
    """
    from ringfence.proof.drift import ledger_drift, network_drift

    loaded = proof_words.load(policy)
    found = (*ledger_drift(loaded), *network_drift(loaded))
    if as_json:
        print_json({"differences": found})
    else:
        proof_words.print_findings(list(found), "the ledger and the network run what the proof is about")
    if found:
        raise typer.Exit(1)


@app.command()
def picture(
    policy: PolicyFile,
    names: Annotated[list[str] | None, typer.Argument(help="What falls; its spread is marked.")] = None,
    mode: Mode = "pivot",
    plane: Plane = "ledger",
    form: Annotated[Literal["svg", "dot"], typer.Option("--format", help="How it is drawn.")] = "svg",
    as_json: Json = False,
) -> None:
    """Draw zones and compartments as rooms, flows and gates as doors, and the spread of a breach."""
    from ringfence.proof import picture as drawing

    with proof_words.faults_as_usage():
        drawn = drawing.picture(proof_words.load(policy), names or (), mode, plane)
    if as_json:
        print_json(drawing.show_plain(drawn))
    else:
        print(drawing.show_dot(drawn) if form == "dot" else drawing.draw_alone(drawn), end="")


# --- reading -----------------------------------------------------------------------------------


def _carried_out(at: Path) -> "tuple[Policy, list[Request]]":
    """Read the policy of a book and every request that was carried out."""
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.services.ledger import requests_carried_out

    with opened(at, wiring.read_book) as book:
        lines = (dated.line for dated in book.lines())
        done = (one for one in lines if one.refused is None and not one.repeated)
        return book.rules.policy, list(requests_carried_out(done))


def _facts(path: Path | None) -> "tuple[Fact, ...]":
    if path is None:
        return ()
    from ringfence.proof.world import read_facts

    return read_facts(_read_bytes(path))


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from None


def _journey(way: str) -> "Journey":
    from ringfence.policy.phrases import parse_journey

    try:
        journey = parse_journey(way)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if journey.target.by == "anywhere":
        raise UsageError("`anywhere` is no place to get to; name where the way ends")
    return journey
