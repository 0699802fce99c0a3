"""Moving value between two compartments: the rule of a step, to read.

`decide` is given everything it needs (`Facts`) and answers `Accepted` or `Refused`. It changes nothing and
reads no clock, file or network, so the same facts give the same answer on every machine. `batch` holds the
same rule compiled.

Invariants, each with a property test of the same name:
    conservation    what one compartment gives another gets, in every asset
    no_overdraft    a compartment inside never gives what it does not hold
    containment     where there is no gate, nothing moves
    all_or_none     a refused request changes nothing
    idempotence     a retry moves nothing
    isolation       what happens outside a bucket leaves it the same, bit for bit
"""

from typing import Final

import msgspec

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.operations import Move
from ringfence.planes.ledger.rules import AssetRule, Place, Way
from ringfence.planes.ledger.stopping import refusal

ACCEPTED: Final = Accepted()


class Facts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Everything one move is judged by, as it stands before the move.

    asset, source, target: None where the policy has none; closed_member: a member of an end that is not open;
    way: the way through the named gate, None where there is a wall.

    legs_differ: what is wrong with the legs of an exchange; signing: why the request's signatures do not
    count; unmet: the first need not met; has_text: a reason in words is given; reverses: the request names
    another that it reverses; reversible_units: what is left of what that one moved the other way (None: it
    moved nothing there).

    frozen: the first halt that stops it (see `stopping`); releasable_units: what margin
    lets go (None: not known); waterfall: what stands against this payer, with its reason.

    room_units: what the gate's limits leave (None: unlimited), `limit` which of them; entitled_units: what
    is owed (None: no accrual); free_units: what the source may give (None: it may be short);
    total_room_units: until a running total is full; debt_room_units: until the debt cap (None: no cap);
    price: what is wrong with the value of an exchange; mandate: why no standing mandate opens the gate, and
    mandate_units what is left of it (None: it asks for none); statement: which statement
    or address does not count.
    """

    asset: AssetRule | None
    source: Place | None
    target: Place | None
    closed_member: str = ""
    way: Way | None = None
    legs_differ: str = ""
    signing: Refused | None = None
    unmet: str = ""
    has_text: bool = False
    reverses: bool = False
    reversible_units: int | None = None
    frozen: str = ""
    releasable_units: int | None = None
    waterfall: Refused | None = None
    room_units: int | None = None
    limit: str = ""
    entitled_units: int | None = None
    free_units: int | None = None
    total_room_units: int = UNITS_MAX
    debt_room_units: int | None = None
    price: Refused | None = None
    mandate: Refused | None = None
    mandate_units: int | None = None
    statement: Refused | None = None


def decide(facts: Facts, move: Move) -> Accepted | Refused:
    """Judge one move; the first reason in `Reason` order wins."""
    units = move.units
    if units < 1:
        return Refused(Reason.AMOUNT_NOT_POSITIVE, f"the amount was {units} units; move at least 1")
    if units > UNITS_MAX:
        return Refused(Reason.AMOUNT_TOO_LARGE, f"the amount was {units} units; move at most 2^127 - 1")
    if move.source == move.target:
        return Refused(Reason.SOURCE_IS_TARGET, f"{move.source} is both source and target; name two")
    asset, source, target, way = facts.asset, facts.source, facts.target, facts.way
    if asset is None:
        return Refused(Reason.ASSET_UNKNOWN, f"the policy declares no asset {move.asset}")
    if source is None or target is None:
        stranger = move.target if source is not None else move.source
        return Refused(Reason.COMPARTMENT_UNKNOWN, f"the policy declares no compartment {stranger}")
    if facts.closed_member:
        return Refused(Reason.MEMBER_NOT_OPEN, f"{facts.closed_member} was never opened in this book")
    if way is None:
        return _no_gate(move)
    return _decide_at_gate(facts, move, asset, way)


def _decide_at_gate(facts: Facts, move: Move, asset: AssetRule, way: Way) -> Accepted | Refused:
    gate, units = way.gate, move.units
    if gate.unenforced:
        return _still_shut(way)
    if not way.accepts(move.asset):
        return _not_accepted(move, way)
    if facts.legs_differ:
        return Refused(Reason.EXCHANGE_LEGS_DIFFER, facts.legs_differ, gate.line)
    if facts.signing is not None:
        return facts.signing
    if facts.unmet:
        return Refused(
            Reason.NEEDS_NOT_MET, f"{gate.name} needs {facts.unmet}, which did not sign", gate.line
        )
    if gate.asks_for_text and not facts.has_text:
        return Refused(Reason.REASON_TEXT_MISSING, f"{gate.name} needs a reason in words", gate.line)
    if facts.reverses or gate.reverses == "required":
        refused = _judge_reversal(facts, move, asset, way)
        if refused is not None:
            return refused
    if facts.mandate is not None:
        return facts.mandate
    if facts.frozen:
        return is_frozen(facts.frozen, gate.line)
    if facts.statement is not None:
        return facts.statement
    if gate.conditions and (facts.releasable_units is None or units > facts.releasable_units):
        return _not_releasable(facts.releasable_units, asset, way)
    if facts.waterfall is not None:
        return facts.waterfall
    return _decide_amount(facts, move, asset, way)


def _decide_amount(facts: Facts, move: Move, asset: AssetRule, way: Way) -> Accepted | Refused:
    gate, units = way.gate, move.units
    if facts.room_units is not None and units > facts.room_units:
        left = f"its limit `{facts.limit}` leaves {asset.show(facts.room_units)}"
        words = f"{asset.show(units)} was asked of {gate.name}; {left}"
        return Refused(Reason.GATE_LIMIT_EXCEEDED, words, gate.line)
    if facts.entitled_units is not None and units > facts.entitled_units:
        owed = f"{asset.show(facts.entitled_units)} is owed by {move.source} to {move.target}"
        words = f"{asset.show(units)} was asked of {gate.name}; {owed}"
        return Refused(Reason.ENTITLEMENT_EXCEEDED, words, gate.line)
    if facts.free_units is not None and units > facts.free_units:
        words = f"{move.source} has {asset.show(facts.free_units)} free, and {asset.show(units)} was asked"
        return Refused(Reason.FREE_BALANCE_TOO_LOW, words, gate.line)
    if units > facts.total_room_units:
        return Refused(Reason.BALANCE_TOO_LARGE, f"a total of {move.asset} would pass 2^128 - 1 units")
    if facts.debt_room_units is not None and units > facts.debt_room_units:
        words = f"{move.target} may owe {asset.show(facts.debt_room_units)} more, up to the cap"
        return Refused(Reason.DEBT_CAP_EXCEEDED, words, gate.line)
    if facts.mandate_units is not None and units > facts.mandate_units:
        words = f"{asset.show(facts.mandate_units)} is left of the mandate, and {asset.show(units)} was asked"
        return Refused(Reason.MANDATE_EXCEEDED, words, gate.line)
    return facts.price if facts.price is not None else ACCEPTED


# --- refusals in words -------------------------------------------------------------------------


def _no_gate(move: Move) -> Refused:
    named = f" {move.gate}" if move.gate else ""
    words = f"the policy opens no gate{named} from {move.source} to {move.target}"
    return Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words)


def _still_shut(way: Way) -> Refused:
    names = ", ".join(f"`{word}`" for word in way.gate.unenforced)
    words = f"{way.gate.name} uses {names}, which this book does not enforce yet, so it stays shut"
    return Refused(Reason.GATE_WORD_NOT_ENFORCED, words, way.gate.line)


def _not_accepted(move: Move, way: Way) -> Refused:
    passing = ", ".join(sorted(way.assets or ())) or "nothing"
    words = f"{way.gate.name} moves {passing} from {move.source} to {move.target}, not {move.asset}"
    return Refused(Reason.ASSET_NOT_ACCEPTED, words, way.gate.line)


def _judge_reversal(facts: Facts, move: Move, asset: AssetRule, way: Way) -> Refused | None:
    gate = way.gate
    if not facts.reverses:
        words = f"{gate.name} needs the id of the request that it reverses"
        return Refused(Reason.REVERSED_TRANSFER_UNKNOWN, words, gate.line)
    if gate.reverses is None:
        words = f"{gate.name} makes no reversals; leave the id out or use a gate with `reverses`"
        return Refused(Reason.REVERSAL_NOT_DECLARED, words, gate.line)
    if facts.reversible_units is None:
        words = f"the request to be reversed moved no {asset.name} from {move.target} to {move.source}"
        return Refused(Reason.REVERSED_TRANSFER_UNKNOWN, words, gate.line)
    if move.units > facts.reversible_units:
        left = asset.show(facts.reversible_units)
        words = f"{left} is left to reverse, and {asset.show(move.units)} was asked"
        return Refused(Reason.REVERSAL_EXCEEDS_ORIGINAL, words, gate.line)
    return None


def is_frozen(scope: str, line: str) -> Refused:
    """Refuse what a frozen scope stops."""
    return refusal(scope, line)


def _not_releasable(releasable_units: int | None, asset: AssetRule, way: Way) -> Refused:
    if releasable_units is None:
        words = f"{way.gate.name} opens when releasable, and nobody said how much is"
    else:
        words = f"{asset.show(releasable_units)} is releasable; margin holds the rest"
    return Refused(Reason.CONDITION_NOT_MET, words, way.gate.line)
