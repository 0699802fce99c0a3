"""Asking other engines the same: a verdict stands only where they agree.

Each function returns "" where a second engine agrees or has nothing to say, and otherwise a sentence: that
the two disagree, or that no answer came in time. Only the first is a fault of ours.
"""

from ringfence.proof.answers import Answer
from ringfence.proof.certificate import Certificate
from ringfence.proof.claims import SecondOpinion
from ringfence.proof.encode import (
    Solve,
    Solved,
    fewest_program,
    invariant_obligations,
    moves_constraints,
    never_constraints,
)
from ringfence.proof.evidence import Closed, Invariant
from ringfence.proof.exemption import exempt, invariant_of, paying_places
from ringfence.proof.names import places
from ringfence.proof.questions import Fewest, Moves, Never
from ringfence.proof.world import World


def second_opinion(constraints: Solve | None, thefts: Solve | None) -> SecondOpinion:
    """Join a constraint solver (never, moves, invariants) and an answer-set solver (fewest), where given."""

    def ask(found: Answer) -> str:
        question, world = found.asked.question, found.asked.index.world
        if isinstance(question, Never) and constraints is not None:
            return on_never(world, question, found, constraints) or on_invariants(
                world, question, constraints
            )
        if isinstance(question, Moves) and constraints is not None:
            return on_moves(world, question, found, constraints)
        if isinstance(question, Fewest) and thefts is not None:
            return on_fewest(world, question, found, thefts)
        return ""

    return ask


def on_never(world: World, question: Never, found: Answer, solve: Solve) -> str:
    """Ask for a closed set."""
    wanted = "satisfiable" if found.outcome == "holds" else "unsatisfiable"
    return _compared(solve(never_constraints(world, question)), wanted)


def on_moves(world: World, question: Moves, found: Answer, solve: Solve) -> str:
    """Ask whether nothing at all can move; how much can is for the cut to say."""
    wanted = "unsatisfiable" if any(units != 0 for units in found.bound.values()) else "satisfiable"
    return _compared(solve(moves_constraints(world, question)), wanted)


def _compared(solved: Solved, wanted: str) -> str:
    if solved.outcome == "unknown":
        return _no_answer(solved)
    return "" if solved.outcome == wanted else _disagreed(f"{solved.outcome}, and {wanted} was expected")


def _disagreed(words: str) -> str:
    return f"two engines disagree, which is a fault of ringfence: the second says {words}"


def _no_answer(solved: Solved) -> str:
    within = "its time" if solved.seconds is None else f"{solved.seconds:g} s"
    return f"the second engine gave no answer in {within}; give it longer, or leave it out"


def on_invariants(world: World, question: Never, solve: Solve) -> str:
    """Prove the invariant of every exception that stands; one that is refused must have a bad step."""
    sources, targets = places(world, question.sources), places(world, question.targets)
    for one in exempt(world, question.exceptions, sources, targets):
        if one.refused and not one.steps:
            continue  # Not owed at all: there is no invariant to prove.
        late: list[Solved] = []
        broken = broken_steps(world, question, invariant_of(world, one), _noting(solve, late))
        if late and not one.refused:
            return _no_answer(late[0])
        if bool(broken) != bool(one.refused):
            steps = ", ".join(broken) or "no step"
            wanted = one.refused or "none"
            return _disagreed(
                f"of the invariant of {one.name}: {steps} breaks it, and `{wanted}` was expected"
            )
    return ""


def _noting(solve: Solve, late: list[Solved]) -> Solve:
    """Solve, and keep what came without an answer."""

    def ask(text: str) -> Solved:
        solved = solve(text)
        if solved.outcome == "unknown":
            late.append(solved)
        return solved

    return ask


def broken_steps(world: World, question: Never, invariant: Invariant, solve: Solve) -> tuple[str, ...]:
    """Name the obligations of an invariant that a constraint solver does not find to hold."""
    ends = places(world, question.sources) | places(world, question.targets)
    paying = {world.places[one].name for one in paying_places(world, question.exceptions, ends)}
    netting = {place.name for place in world.places if place.nets}
    obligations = invariant_obligations(invariant, netting, paying)
    broken = [one for one in obligations if solve(one.text).outcome != "unsatisfiable"]
    return tuple(step for one in broken for step in one.steps)


def unproved_invariants(certificate: Certificate, solve: Solve) -> tuple[str, ...]:
    """Prove every invariant of a certificate again; say which a constraint solver does not find to hold."""
    found = []
    for entry in certificate.entries:
        if isinstance(entry.question, Never) and isinstance(entry.evidence, Closed):
            world = certificate.worlds[entry.world]
            for invariant in entry.evidence.invariants:
                steps = broken_steps(world, entry.question, invariant, solve)
                found += [f"{entry.claim}: the invariant of {invariant.exception}: {one}" for one in steps]
    return tuple(found)


def on_fewest(world: World, question: Fewest, found: Answer, solve: Solve) -> str:
    """Ask for the fewest thefts."""
    solved = solve(fewest_program(world, question))
    thefts = found.bound["thefts"]
    if solved.outcome == "unknown":
        return _no_answer(solved)
    if thefts is None:
        return "" if solved.outcome == "unsatisfiable" else _disagreed(f"{solved.cost} thefts suffice")
    if solved.outcome == "unsatisfiable" or solved.cost < thefts:
        return _disagreed(f"{solved.outcome}, {solved.cost} thefts, and {thefts} was expected")
    if not solved.is_best:
        return _no_answer(solved)
    if solved.cost > thefts and found.is_tight:
        return _disagreed(f"{solved.cost} thefts, and {thefts} was expected")
    return ""
