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
    from collections.abc import Iterable

    from ringfence.policy.model import Finding, Journey, Policy
    from ringfence.proof.claims import SecondOpinion, Verdict
    from ringfence.proof.rights import Dated
    from ringfence.proof.world import Fact

app = typer.Typer(
    no_args_is_help=True, help="Prove what cannot happen, and say what falls if something falls."
)

Facts = Annotated[
    Path | None, typer.Option("--facts", help="A JSON list of facts beside the policy, such as balances.")
]
Hub = Annotated[
    Path | None,
    typer.Option("--hub", help="What `nft -j list ruleset` printed at the hub: the flows that are open."),
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
    known = (*_facts(facts, loaded, hub), *_sessions(at))
    opinion = _second_opinion(seconds_max) if second else None
    verdicts = _decide(loaded, only or [], known, opinion)
    _write_files(loaded, verdicts, certificate, sarif, markdown)
    if as_json:
        from ringfence.proof.output import show_plain

        print_json({"policy": loaded.name, "claims": show_plain(loaded, verdicts)})
    else:
        from ringfence.proof.rights import moved_by_gate

        moved = None if at is None else moved_by_gate(one.request for one in _carried_out(at)[1])
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

    found = read_certificate(_read_bytes(certificate))
    wrong = complaints(found)
    if second:
        from ringfence import wiring
        from ringfence.proof.opinions import unproved_invariants

        wrong = (*wrong, *unproved_invariants(found, wiring.constraint_solver(seconds_max)))
    if policy is not None:
        known = (*_facts(facts), *_sessions(at))
        wrong = (*wrong, *differences(found, proof_words.load(policy), known))
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
    hub: Hub = None,
    as_json: Json = False,
) -> None:
    """Say what falls if these fall: services, keys, gates, and the most that moves per hour and per day."""
    from ringfence.proof.blast import blast as blast_radius

    loaded = proof_words.load(policy)
    known = _facts(facts, loaded, hub)
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
def explain(
    policy: PolicyFile,
    edge: Annotated[
        str,
        typer.Argument(
            help="A gate (`withdraw`), a flow (`gateway -> risk`), or two places (`clearing -> house/fees`)."
        ),
    ],
    facts: Facts = None,
    as_json: Json = False,
) -> None:
    """Explain one edge: what it moves, who checks it, what opens it, its limits, and the claims on it."""
    from ringfence.proof.explaining import explain_edge

    loaded = proof_words.load(policy)
    with proof_words.faults_as_usage():
        found = explain_edge(loaded, edge, _facts(facts))
    if as_json:
        print_json([{"edge": one.edge, "where": one.where, "facts": one.facts} for one in found])
    else:
        proof_words.print_explained(found)


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
    """Compare the rights that a book's policy grants with those that were used: gates, keys and caps."""
    from ringfence.proof.rights import rights_used

    policy, done = _carried_out(at)
    found = rights_used(policy, done)
    if as_json:
        fields = ("gate", "scope", "asset", "most_units")
        caps = [
            {name: getattr(one, name) for name in fields} | {"cap_units": one.cap.units} for one in found.caps
        ]
        print_json({"gates": found.unused_gates, "keys": found.unused_keys, "caps": caps})
    else:
        proof_words.print_rights(policy, found)


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
def drift(
    policy: PolicyFile,
    at: Annotated[Path | None, typer.Option("--at", help="A book: compare what it does, too.")] = None,
    hub: Hub = None,
    as_json: Json = False,
) -> None:
    """Compare what is declared with what runs, and say what the difference makes possible.

    Without a book or a hub: what the ledger and the network compile from the policy, against what the proof
    reasons about. Exit code 1 where they differ.
    """
    from ringfence.proof.drift import ledger_drift, network_drift

    loaded = proof_words.load(policy)
    found = [*ledger_drift(loaded), *network_drift(loaded)]
    if at is None and hub is None:
        proof_words.show_drift(found, None, as_json=as_json)
    else:
        from ringfence.proof.observed import drifted

        running, facts = loaded, _observed(loaded, hub)
        if at is not None:
            running, seen = _observed_book(loaded, at)
            facts, found = (*facts, *_sessions(at)), [*found, *seen]
        rows, difference = drifted(loaded, running, facts)
        found += rows
        proof_words.show_drift(found, difference, as_json=as_json)
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


def _carried_out(at: Path) -> "tuple[Policy, list[Dated]]":
    """Read the policy of a book and every request that was carried out, oldest first."""
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.rights import Dated
    from ringfence.services.history import requests_carried_out

    with opened(at, wiring.read_book) as book:
        return book.rules.policy, [Dated(*done) for done in requests_carried_out(book.lines())]


def _sessions(at: Path | None) -> "tuple[Fact, ...]":
    """Read from a book which service has whose key, because a trading session ends there; () without one."""
    if at is None:
        return ()
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.observed import session_facts

    with opened(at, wiring.read_book) as book:
        return session_facts(wiring.sessions_of(book))


def _observed(policy: "Policy", hub: Path | None) -> "tuple[Fact, ...]":
    """Read which connections the rules loaded at a hub really open; () without a hub."""
    if hub is None:
        return ()
    from ringfence import wiring_files
    from ringfence.planes.network.compile import compile_flows
    from ringfence.planes.network.observe_nftables import observe_hub
    from ringfence.planes.network.sites import plan_sites
    from ringfence.proof.observed import observed_flows

    seen = observe_hub(wiring_files.read_json(hub), plan_sites(compile_flows(policy)), str(hub))
    wrong = [str(finding) for finding in seen.findings if finding.level == "error"]
    if wrong:
        raise BadInput("\n".join(wrong))
    return (observed_flows(policy, seen),)


def _observed_book(policy: "Policy", at: Path) -> "tuple[Policy, tuple[str, ...]]":
    """Read the policy that a book obeys, and what it does not do of the declared one."""
    from ringfence import wiring
    from ringfence.cli.book_reading import opened
    from ringfence.proof.observed import book_differences

    with opened(at, wiring.read_book) as book:
        return book.rules.policy, book_differences(policy, book.state)


def _facts(path: Path | None, policy: "Policy | None" = None, hub: Path | None = None) -> "tuple[Fact, ...]":
    """Read facts beside a policy, and what the rules loaded at a hub open."""
    seen = _observed(policy, hub) if policy is not None else ()
    if path is None:
        return seen
    from ringfence.proof.world import read_facts

    return (*seen, *read_facts(_read_bytes(path)))


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
