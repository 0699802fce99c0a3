"""Why a request was refused, and the nearest way that is permitted.

Nothing here decides: the rule has spoken, and these words help a person act on it. The nearest way is either
another amount, the keys that still have to sign, or a path of gates from the source to the target.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_duration
from ringfence.kernel.money import show_decimal
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.moves import facts_for
from ringfence.planes.ledger.needs import names_through, show_need
from ringfence.planes.ledger.operations import Move, Request, signing_bytes
from ringfence.planes.ledger.rules import Place, Rules, Way
from ringfence.planes.ledger.transfer import Facts

_AMOUNT_REASONS = frozenset(
    {
        Reason.GATE_LIMIT_EXCEEDED,
        Reason.ENTITLEMENT_EXCEEDED,
        Reason.FREE_BALANCE_TOO_LOW,
        Reason.BALANCE_TOO_LARGE,
        Reason.DEBT_CAP_EXCEEDED,
        Reason.REVERSAL_EXCEEDS_ORIGINAL,
        Reason.MANDATE_EXCEEDED,
    }
)


_WAYS_OUT = {
    Reason.MANDATE_MISSING: "let the key that the gate names under `standing` sign a mandate for these ends",
    Reason.SESSION_NOT_OPEN: "sign the order with the client's own key, or open a session for this bucket",
    Reason.KEY_REVOKED: "leave the revoked key out and let another of those who are needed sign",
    Reason.REQUEST_EXPIRED: "sign it again with a later `expires`, past every delay on its way",
}
"""What to do where the amount is not what is wrong and no gate has to be searched for."""


@dataclass(frozen=True, slots=True)
class GateStep:
    """One gate of a path: who must sign, and what else it asks for."""

    gate: str
    source: str
    target: str
    needs: tuple[str, ...]
    terms: tuple[str, ...]
    line: str

    def __str__(self) -> str:
        asks = "; ".join((*(f"signed by {need}" for need in self.needs), *self.terms))
        return f"{self.gate}: {self.source} -> {self.target} ({asks})"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A refusal in full: the rule, what was found, and the nearest permitted way.

    largest_units: the largest amount that the same move could have now, None where the amount is not what is
    wrong; path: gates that lead from the source to the target; advice: one sentence for the person who asked.
    """

    reason: Reason
    meaning: str
    words: str
    rule: str
    advice: str
    largest_units: int | None = None
    path: tuple[GateStep, ...] = ()


def explain(
    state: BookState, request: Request, refused: Refused, conditions: Conditions = NO_CONDITIONS
) -> Explanation:
    """Explain a refusal of `request` by the book as it stands."""
    link = request.links[refused.leg] if refused.leg < len(request.links) else None
    move = link if isinstance(link, Move) else None
    largest: int | None = None
    path: tuple[GateStep, ...] = ()
    advice = refused.reason.meaning
    if move is not None and refused.reason == Reason.NO_GATE_BETWEEN_COMPARTMENTS:
        path, advice = _another_path(state.rules, move)
    elif move is not None and _is_of_amount(state.rules, move, refused.reason):
        largest = largest_units(state, request, move, conditions)
        advice = _advise_amount(state.rules, move, largest)
    elif move is not None and _waits_for_word(state.rules, move, refused.reason):
        advice = f"let one who may say so sign a statement: {refused.words}"
    elif move is not None and refused.reason == Reason.NEEDS_NOT_MET:
        path = _step_of(state.rules, move)
        advice = "; ".join(f"let {need} sign" for step in path for need in step.needs) or advice
        advice += ", or announce the request and let them approve it later"
    elif refused.reason in _WAYS_OUT:
        advice = _WAYS_OUT[refused.reason]
    elif move is not None and refused.reason == Reason.ASSET_NOT_ACCEPTED:
        advice = _advise_asset(state.rules, move)
    return Explanation(
        refused.reason, refused.reason.meaning, refused.words, refused.rule, advice, largest, path
    )


def largest_units(state: BookState, request: Request, move: Move, conditions: Conditions) -> int:
    """Return the most that a move could have as the book stands: 0 where nothing would pass."""
    chain = Chain(
        state.ledger, request, signing_bytes(request), Instant(state.at), _verify_nothing, conditions
    )
    facts = facts_for(chain, move)
    bounds = (
        facts.room_units,
        facts.entitled_units,
        facts.free_units,
        facts.total_room_units,
        facts.debt_room_units,
        facts.mandate_units,
        *_bounds_of_words(facts),
    )
    return max(0, min(bound for bound in bounds if bound is not None))


def find_path(rules: Rules, source: Place, target: Place, asset: str) -> tuple[GateStep, ...]:
    """Find the shortest path of open gates by which an asset could go, through compartments of both members.

    Gates that move only what is owed are left out: they lead nowhere by themselves.
    """
    places = tuple(_places_near(rules, source, target))
    came_from: dict[str, tuple[Place, Way] | None] = {source.path: None}
    waiting = deque([source])
    while waiting:
        here = waiting.popleft()
        if here.path == target.path:
            return tuple(reversed([*_trace(rules, came_from, here)]))
        for there in places:
            way = None if there.path in came_from else _open_way(rules, here, there, asset)
            if way is not None:
                came_from[there.path] = (here, way)
                waiting.append(there)
    return ()


# --- advice ------------------------------------------------------------------------------------


def _another_path(rules: Rules, move: Move) -> tuple[tuple[GateStep, ...], str]:
    ends = _ends(rules, move)
    path = find_path(rules, *ends, move.asset) if ends is not None else ()
    if not path:
        words = f"no chain of open gates takes {move.asset} from {move.source} to {move.target}: it is a wall"
        return (), words
    if len(path) == 1:
        return path, f"use the gate {path[0].gate}"
    return path, "go " + ", then ".join(f"{step.gate} to {step.target}" for step in path)


def _advise_amount(rules: Rules, move: Move, largest: int) -> str:
    asset = rules.assets.get(move.asset)
    if largest == 0:
        return f"no amount of {move.asset} passes there now"
    digits = asset.decimals if asset is not None else 0
    return f"at most {show_decimal(largest, digits)} {move.asset} passes there now"


def _advise_asset(rules: Rules, move: Move) -> str:
    ends = _ends(rules, move)
    way = rules.way(move.gate, *ends) if ends is not None else None
    passing = sorted(way.assets or ()) if way is not None else []
    return f"{move.gate} moves {', '.join(passing) or 'nothing'} there"


def _is_of_amount(rules: Rules, move: Move, reason: Reason) -> bool:
    """Say whether less might have passed: a condition of margin lets an amount go, any other word nothing."""
    gate = rules.gates.get(move.gate)
    by_margin = gate is not None and bool(gate.conditions) and reason == Reason.CONDITION_NOT_MET
    return by_margin or reason in _AMOUNT_REASONS


def _waits_for_word(rules: Rules, move: Move, reason: Reason) -> bool:
    """Say whether a move was refused for want of a statement."""
    gate = rules.gates.get(move.gate)
    return gate is not None and bool(gate.statements) and reason == Reason.CONDITION_NOT_MET


def _bounds_of_words(facts: Facts) -> Iterator[int | None]:
    if facts.way is not None and facts.way.gate.conditions:
        yield facts.releasable_units or 0
    if facts.reverses:
        yield facts.reversible_units or 0


def _verify_nothing(public: bytes, message: bytes, signature: bytes) -> bool:
    del public, message, signature
    return False


# --- paths -------------------------------------------------------------------------------------


def _places_near(rules: Rules, source: Place, target: Place) -> Iterator[Place]:
    """Go through every compartment of the members at both ends, and those that belong to nobody."""
    members: dict[str, list[str]] = {}
    for end in (source, target):
        for family, member in zip(end.rule.families, end.members, strict=True):
            members.setdefault(family, []).append(member)
    for rule in rules.compartments:
        choices = [dict.fromkeys(members.get(family, ())) for family in rule.families]
        for chosen in product(*choices):
            path = rule.pattern
            for family, member in zip(rule.families, chosen, strict=True):
                path = path.replace(f"{{{family}}}", member)
            yield Place(path, rule, chosen)


def _open_way(rules: Rules, source: Place, target: Place, asset: str) -> Way | None:
    for way in rules.gates_between(source, target):
        if way.accepts(asset) and not way.gate.unenforced and not way.gate.accrual:
            return way
    return None


def _trace(rules: Rules, came_from: dict[str, tuple[Place, Way] | None], end: Place) -> Iterator[GateStep]:
    step = came_from[end.path]
    while step is not None:
        start, way = step
        yield _show_step(rules, way, start, end)
        end, step = start, came_from[start.path]


def _step_of(rules: Rules, move: Move) -> tuple[GateStep, ...]:
    ends = _ends(rules, move)
    way = rules.way(move.gate, *ends) if ends is not None else None
    return (_show_step(rules, way, *ends),) if ends is not None and way is not None else ()


def _ends(rules: Rules, move: Move) -> tuple[Place, Place] | None:
    """Find where a move begins and ends; None where the policy has no such compartment."""
    source, target = rules.place(move.source), rules.place(move.target)
    return None if source is None or target is None else (source, target)


def _show_step(rules: Rules, way: Way, source: Place, target: Place) -> GateStep:
    gate = way.gate
    name_of = names_through(rules.keys, way, source, target)
    terms = [f"when {word}" for word in gate.conditions]
    terms += [f"when {word}" for word, _ in gate.statements]
    terms += [f"after {show_duration(gate.delay_ns)}"] if gate.delay_ns else []
    terms += [f"under a mandate of {gate.standing.key}"] if gate.standing is not None else []
    terms += ["with a reason in words"] if gate.asks_for_text else []
    terms += [f"limited {scope}" for scope in ("each_transfer", "each", "all") if getattr(gate, scope)]
    needs = tuple(show_need(need, name_of) for need in gate.needs)
    return GateStep(gate.name, source.path, target.path, needs, tuple(terms), gate.line)
