"""What a policy says of itself: its gates, laws and words, how it differs from another or from what runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringfence.cli import proof_words
from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, print_json
from ringfence.cli.proof_facts import (
    Facts,
    Hub,
    carried_out,
    facts_of,
    observed,
    observed_book,
    session_facts_of,
)

if TYPE_CHECKING:
    pass

Plane = Annotated[Literal["ledger", "vault"], typer.Option("--plane", help="Which plane checks the gates.")]
Mode = Annotated[
    Literal["contained", "pivot"],
    typer.Option("--mode", help="What the start itself may do, or also what it can reach."),
]


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


def used(
    at: Annotated[Path, typer.Option("--at", envvar="RINGFENCE_BOOK", help="The file of the book.")],
    as_json: Json = False,
) -> None:
    """Compare the rights that a book's policy grants with those that were used: gates, keys and caps."""
    from ringfence.proof.rights import rights_used

    policy, done = carried_out(at)
    found = rights_used(policy, done)
    if as_json:
        fields = ("gate", "scope", "asset", "most_units")
        caps = [
            {name: getattr(one, name) for name in fields} | {"cap_units": one.cap.units} for one in found.caps
        ]
        print_json({"gates": found.unused_gates, "keys": found.unused_keys, "caps": caps})
    else:
        proof_words.print_rights(policy, found)


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

    found = difference(proof_words.load(old), proof_words.load(new), facts_of(facts))
    if as_json:
        fields = ("newly_possible", "no_longer_possible")
        print_json({name: getattr(found, name) for name in fields})
    else:
        proof_words.print_difference(found)
    if fail_on_new and found.newly_possible:
        raise typer.Exit(1)


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

        running, facts = loaded, observed(loaded, hub)
        if at is not None:
            running, seen = observed_book(loaded, at)
            facts, found = (*facts, *session_facts_of(at)), [*found, *seen]
        rows, difference = drifted(loaded, running, facts)
        found += rows
        proof_words.show_drift(found, difference, as_json=as_json)
    if found:
        raise typer.Exit(1)


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
