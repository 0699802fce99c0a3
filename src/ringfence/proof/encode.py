"""The same questions for other engines: text for a constraint solver (SMT-LIB) and for an answer-set solver.

What is encoded is the world and the question, not what our own engines made of them, so that a second answer
is worth something. Solvers are passed in as callables with a time limit (adapters/solver_z3, solver_clingo);
an answer that does not come in time is `unknown`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ringfence.proof.evidence import Invariant
from ringfence.proof.exemption import Exemption, exempt
from ringfence.proof.names import places
from ringfence.proof.questions import Fewest, Moves, Never
from ringfence.proof.world import NOBODY, Need, World


class Solved(NamedTuple):
    """What a solver said. true: names that hold in its model; cost: of the best answer, where it minimised;
    is_best: that answer is proved to be the best; seconds: its time limit, if known."""

    outcome: Literal["satisfiable", "unsatisfiable", "unknown"]
    true: frozenset[str] = frozenset()
    cost: int = 0
    is_best: bool = False
    seconds: float | None = None


Solve = Callable[[str], Solved]
"""Answers one text; its time limit is its own."""


# --- reachability as constraints ---------------------------------------------------------------


def never_constraints(world: World, question: Never) -> str:
    """Ask for a closed set that holds every source and no target: satisfiable exactly if the claim holds."""
    sources, targets = places(world, question.sources), places(world, question.targets)
    exempted = exempt(world, question.exceptions, sources, targets)
    lines = [*_declared(world)]
    for number, key in enumerate(world.keys):
        value = "false" if key.name in question.without else "true"
        lines.append(f"(assert (= k{number} {value}))")
    lines += _needs(world)
    gone = _deleted(exempted)
    for number, way in enumerate(world.ways):
        if number in gone:
            continue
        mandate = "true" if way.mandate == NOBODY else f"n{way.mandate}"
        lines.append(_arc(world, number, f"(and n{way.needs} {mandate})", sources))
    lines += _ends(world, sources, targets)
    return "\n".join(lines)


def moves_constraints(world: World, question: Moves) -> str:
    """Ask for a state closed under what an attacker can do in which nothing gets from the sources to the
    sinks: satisfiable exactly if nothing can move."""
    sources = places(world, question.sources)
    sinks = None if question.sinks is None else places(world, question.sinks)
    lines = [*_declared(world), *(f"(declare-const s{number} Bool)" for number in range(len(world.services)))]
    lines += [f"(assert s{n})" for n, row in enumerate(world.services) if row.name in question.services]
    lines += [f"(assert k{n})" for n, row in enumerate(world.keys) if row.given or row.name in question.keys]
    for number, service in enumerate(world.services):
        lines += [f"(assert (=> s{number} k{key}))" for key in service.holds]
    if question.mode == "pivot":
        lines += [f"(assert (=> s{source} s{target}))" for source, target in world.flows]
    for derivation in world.derivations:
        lines.append(f"(assert (=> {_all(f'k{key}' for key in derivation.known)} k{derivation.gives}))")
    lines += _needs(world)
    for number, way in enumerate(world.ways):
        condition = _usable(world, number, question.plane)
        if not condition:
            continue
        if sinks is None:
            if way.source in sources:
                lines.append(f"(assert (not {condition}))")
        else:
            lines.append(_arc(world, number, condition, sources))
    if sinks is not None:
        lines += _ends(world, sources, sinks)
    return "\n".join(lines)


def _declared(world: World) -> Iterator[str]:
    yield from (f"(declare-const k{number} Bool)" for number in range(len(world.keys)))
    yield from (f"(declare-const n{number} Bool)" for number in range(len(world.needs)))
    yield from (f"(declare-const r{node} Bool)" for node in range(len(world.places) * len(world.assets)))


def _needs(world: World) -> Iterator[str]:
    for number, need in enumerate(world.needs):
        yield f"(assert (=> {_enough(need)} n{number}))"


def _enough(need: Need) -> str:
    parts = [*(f"k{key}" for key in need.keys), *(f"n{part}" for part in need.parts)]
    if need.count == 0:
        return "true"
    if not parts:
        return "false"
    return f"(>= (+ 0 0 {' '.join(f'(ite {part} 1 0)' for part in parts)}) {need.count})"


def _all(terms: Iterable[str]) -> str:
    return f"(and true {' '.join(terms)})"


def _usable(world: World, number: int, plane: str) -> str:
    """Write when a way can be used on a plane; "" where it is not checked there."""
    way = world.ways[number]
    rule = world.rules[way.rule]
    if plane not in rule.planes:
        return ""
    lie = _all(f"s{service}" for service in rule.computed_by) if rule.accrual else "true"
    checks = [world.verifiers.get(one, NOBODY) for one in rule.planes]
    void = "false" if NOBODY in checks else _all(f"s{service}" for service in checks)
    return f"(or {void} (and n{way.needs} {lie}))"


def _arc(world: World, number: int, condition: str, sources: frozenset[int]) -> str:
    way = world.ways[number]
    if world.places[way.source].external and way.source not in sources:
        return ""
    source, target = world.node(way.source, way.asset), world.node(way.target, way.asset)
    return f"(assert (=> (and r{source} {condition}) r{target}))"


def _ends(world: World, sources: frozenset[int], targets: frozenset[int]) -> Iterator[str]:
    for number, place in enumerate(world.places):
        for asset in place.accepts:
            if number in sources and (place.supply is None or place.supply.get(asset, 0) > 0):
                yield f"(assert r{world.node(number, asset)})"
            if number in targets:
                yield f"(assert (not r{world.node(number, asset)}))"


def _deleted(exempted: Iterable[Exemption]) -> set[int]:
    return {way for one in exempted if not one.refused for way in one.deleted}


# --- accrual invariants as constraints ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Obligation:
    """Part of an induction: unsatisfiable exactly if it holds. steps: the steps it is the proof of."""

    steps: tuple[str, ...]
    text: str


_STATE = ("held", "owed_in", "paid_in", "owed_out", "paid_out", "own_in", "own_out")

START, CONCLUSION = "the empty book", "what is claimed"
"""The obligations of an invariant that are no steps."""


def invariant_obligations(
    invariant: Invariant, netting: Collection[str], paying: Collection[str]
) -> tuple[Obligation, ...]:
    """Write the induction of an exception's invariant: it holds at the start, every step that touches one of
    its compartments keeps it, and the claim follows. Steps that count alike are proved together.

    At each compartment: held = paid in - paid out (+ own in - own out, where it need not net to zero), and
    nothing paid is more than owed. netting: places that must net to zero; paying: places that pay excepted
    accruals from what they hold.
    """
    names: dict[str, dict[str, None]] = {}
    for step in invariant.steps:
        nets = step.place in netting
        is_asked = step.place in paying and step.enters and step.effect == "unowed"
        # A step counts as paid, as the owner's own, or nowhere, which the invariant does not bear.
        counter = "paid" if step.effect == "owed" else "" if is_asked or nets else "own"
        way = "into" if step.enters else "out of"
        told = f"{step.rule} {way} {step.place} ({step.effect})"
        names.setdefault(_step(counter, enters=step.enters, nets=nets), {})[told] = None
    steps = (Obligation(tuple(told), text) for text, told in names.items())
    start = "\n".join([*_state(""), *_zero(), f"(assert (not {_invariant('', nets=True)}))"])
    return (Obligation((START,), start), *steps, Obligation((CONCLUSION,), _conclusion()))


def _conclusion() -> str:
    """Write that from the invariant follows: nothing paid is more than owed, and what must net to zero holds
    nothing once as much is owed in as out and all of it is paid."""
    lines = [*_state(""), f"(assert {_invariant('', nets=True)})"]
    settled = "(and (= owed_in owed_out) (= paid_in owed_in) (= paid_out owed_out))"
    follows = f"(and (<= paid_in owed_in) (<= paid_out owed_out) (=> {settled} (= held 0)))"
    return "\n".join([*lines, f"(assert (not {follows}))"])


def _state(mark: str) -> Iterator[str]:
    return (f"(declare-const {name}{mark} Int)" for name in _STATE)


def _zero() -> Iterator[str]:
    return (f"(assert (= {name} 0))" for name in _STATE)


def _invariant(mark: str, *, nets: bool) -> str:
    own = "0" if nets else f"(- own_in{mark} own_out{mark})"
    balance = f"(= held{mark} (+ (- paid_in{mark} paid_out{mark}) {own}))"
    owed = f"(<= paid_in{mark} owed_in{mark}) (<= paid_out{mark} owed_out{mark})"
    return f"(and {balance} {owed})"


def _step(counter: str, *, enters: bool, nets: bool) -> str:
    """Write one step: from a state where the invariant holds, n units, to a state where it does not."""
    side, sign = ("in", "+") if enters else ("out", "-")
    lines = [*_state(""), *_state("_"), "(declare-const n Int)", "(assert (>= n 1))"]
    lines.append(f"(assert {_invariant('', nets=nets)})")
    changed = {"held": f"({sign} held n)"}
    if counter:
        changed[f"{counter}_{side}"] = f"(+ {counter}_{side} n)"
    if counter == "paid":
        # The gate opens for what is owed and not yet paid, and no more.
        lines.append(f"(assert (<= n (- owed_{side} paid_{side})))")
    lines += [f"(assert (= {name}_ {changed.get(name, name)}))" for name in _STATE]
    lines.append(f"(assert (not {_invariant('_', nets=nets)}))")
    return "\n".join(lines)


# --- the fewest thefts as an answer-set program ------------------------------------------------

_PROGRAM = """
#defined given/1. #defined holds/2. #defined derivation/2. #defined knows/2. #defined need_key/2.
#defined need_part/2. #defined computes/2. #defined verifies/2. #defined contract/1. #defined source/1.
#defined sink/1. #defined leads_on/1. #defined way/5. #defined rule/1. #defined key/1. #defined service/1.
{ taken(service, S) : service(S) } :- counts(services).
{ taken(key, K) : key(K), not given(K) } :- counts(keys).
own(S) :- taken(service, S).
have(K) :- taken(key, K).
have(K) :- given(K).
have(K) :- own(S), holds(S, K).
have(K) :- derivation(D, K), have(P) : knows(D, P).
met(N) :- need(N, C), C { have(K) : need_key(N, K) ; met(P) : need_part(N, P) }.
lie(R) :- rule(R), own(S) : computes(R, S).
void(R) :- rule(R), not contract(R), own(S) : verifies(R, S).
open(W) :- way(W, R, N, _, _), met(N), lie(R).
open(W) :- way(W, R, _, _, _), void(R).
reach(X) :- source(X).
reach(Y) :- open(W), way(W, _, _, X, Y), reach(X), leads_on(X).
goal :- sink(X), reach(X).
:- not goal.
#minimize { 1, T, X : taken(T, X) }.
#show taken/2.
"""


def fewest_program(world: World, question: Fewest) -> str:
    """Ask for the fewest thefts as an answer-set program; it shows `taken(service|key, number)`."""
    counts = ("keys", "services") if question.count == "keys_and_services" else (question.count,)
    facts = [f"counts({one})." for one in counts]
    facts += _attack_facts(world)
    facts += _way_facts(world, question)
    return "\n".join(facts) + _PROGRAM


def _attack_facts(world: World) -> Iterator[str]:
    for number, key in enumerate(world.keys):
        yield f"key({number})." + (f" given({number})." if key.given else "")
    for number, service in enumerate(world.services):
        yield f"service({number})." + "".join(f" holds({number}, {key})." for key in service.holds)
    for number, rule in enumerate(world.derivations):
        yield f"derivation({number}, {rule.gives})." + "".join(
            f" knows({number}, {key})." for key in rule.known
        )
    for number, need in enumerate(world.needs):
        yield f"need({number}, {need.count})."
        yield from (f"need_key({number}, {key})." for key in need.keys)
        yield from (f"need_part({number}, {part})." for part in need.parts)


def _way_facts(world: World, question: Fewest) -> Iterator[str]:
    sources, sinks = places(world, question.sources), places(world, question.sinks)
    for number, rule in enumerate(world.rules):
        if question.plane not in rule.planes:
            continue
        yield f"rule({number})."
        checks = [world.verifiers.get(one, NOBODY) for one in rule.planes]
        yield from (f"verifies({number}, {one})." for one in checks if one != NOBODY)
        if NOBODY in checks:
            yield f"contract({number})."
        if rule.accrual:
            yield from (f"computes({number}, {one})." for one in rule.computed_by)
    for number, way in enumerate(world.ways):
        if question.plane in world.rules[way.rule].planes:
            ends = f"{world.node(way.source, way.asset)}, {world.node(way.target, way.asset)}"
            yield f"way({number}, {way.rule}, {way.needs}, {ends})."
    for number, place in enumerate(world.places):
        for asset in place.accepts:
            node = world.node(number, asset)
            if number in sources and (place.supply is None or place.supply.get(asset, 0) > 0):
                yield f"source({node})."
            if number in sinks:
                yield f"sink({node})."
            if not place.external or number in sources:
                yield f"leads_on({node})."
