"""What falls if something falls, what can move and whom it takes: questions beside the claims of a policy."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ringfence.cli import proof_words
from ringfence.cli.arguments import PolicyFile
from ringfence.cli.output import Json, print_json
from ringfence.cli.proof_facts import Facts, Hub, facts_of
from ringfence.kernel.errors import UsageError

if TYPE_CHECKING:
    from ringfence.policy.model import Journey

Names = Annotated[
    list[str], typer.Argument(help="Services, keys, hosts or people that fall, e.g. gateway officer_a.")
]
Way = Annotated[str, typer.Argument(help="From where to where, e.g. `client/** -> outside`.", metavar="WAY")]
Plane = Annotated[Literal["ledger", "vault"], typer.Option("--plane", help="Which plane checks the gates.")]
Mode = Annotated[
    Literal["contained", "pivot"],
    typer.Option("--mode", help="What the start itself may do, or also what it can reach."),
]


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
    known = facts_of(facts, loaded, hub)
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
        found = route(loaded, _journey(way), names, mode, plane, facts_of(facts))
    if as_json:
        steps = proof_words.plain_hops(found)
        print_json({"policy": loaded.name, "way": way, "possible": bool(found), "steps": steps})
    else:
        proof_words.print_route(loaded, way, found)


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
        found = explain_edge(loaded, edge, facts_of(facts))
    if as_json:
        print_json([{"edge": one.edge, "where": one.where, "facts": one.facts} for one in found])
    else:
        proof_words.print_explained(found)


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
        found = who_can_move(loaded, parse_selector(place), facts_of(facts))
    if as_json:
        fields = ("start", "mode", "plane", "gates")
        print_json(
            {"place": place, "movers": [{name: getattr(one, name) for name in fields} for one in found]}
        )
    else:
        proof_words.print_movers(place, found)


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
        found = fewest_thefts(loaded, _journey(way), count, plane, facts_of(facts))
    thefts = found.bound["thefts"]
    if as_json:
        print_json(
            {"policy": loaded.name, "way": way, "plane": plane, "thefts": thefts, "words": found.words}
        )
    else:
        proof_words.print_sentence(f"{way} on {plane}: {found.words}")


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
        found = choke_points(loaded, journey.source, journey.target, plane, start, facts_of(facts))
    if as_json:
        fields = ("gates", "keys", "services", "flows")
        print_json({"way": way, "plane": plane} | {name: getattr(found, name) for name in fields})
    else:
        proof_words.print_choke(way, found)


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
        found = smallest_mend(loaded, claim, facts_of(facts))
    if as_json:
        print_json({"claim": claim, "holds": found.holds, "gates": found.gates, "flows": found.flows})
    else:
        proof_words.print_mend(claim, found)


def _journey(way: str) -> "Journey":
    from ringfence.policy.phrases import parse_journey

    try:
        journey = parse_journey(way)
    except ValueError as error:
        raise UsageError(str(error)) from None
    if journey.target.by == "anywhere":
        raise UsageError("`anywhere` is no place to get to; name where the way ends")
    return journey
