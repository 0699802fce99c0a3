"""Standing mandates: what a key signs once so that a gate opens later without it, up to a cap.

A gate with `standing: key` moves nothing without a mandate of that key for these ends and this asset. The
mandate is capped in all and in time, counts under the policy it was signed for, and ends when it is taken
back or when its key no longer counts. The gate's own needs, limits and accrual hold beside it.
"""

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import ID_MAX
from ringfence.kernel.instant import Instant, show_instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_through, unmet
from ringfence.planes.ledger.operations import EndMandate, Mandate, Move, signing_bytes
from ringfence.planes.ledger.rules import GateRule, Place, Way
from ringfence.planes.ledger.signing import Verifier, signers_of, those_that_count
from ringfence.planes.ledger.tables import Given, MandateKey


def key_of(of: Mandate | Move) -> MandateKey:
    """Return what a mandate for a move is kept under."""
    return of.gate, of.source, of.target, of.asset


def give(ledger: Ledger, mandate: Mandate, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Take a mandate; True where it was taken before."""
    content, tables = signing_bytes(mandate), ledger.tables
    earlier = tables.answer(mandate.id)
    if earlier is not None:
        words = "the id was used before; a mandate takes a new one"
        return True if earlier == (content, 0) else Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
    refused = _judge_terms(ledger, mandate, at) or _judge_signers(ledger, mandate, mandate, at, verify)
    if refused is not None:
        return refused
    tables.put(tables.mandates, key_of(mandate), Given(mandate))
    tables.put(tables.ids, mandate.id, (content, 0))
    return None


def _judge_terms(ledger: Ledger, mandate: Mandate, at: Instant) -> Refused | None:
    if not 0 < mandate.id <= ID_MAX:
        return Refused(Reason.ID_NOT_POSSIBLE, "the id of a mandate is a positive whole number below 2^128")
    if mandate.policy != ledger.rules.digest:
        return Refused(Reason.POLICY_DIGEST_DIFFERS, "the mandate was signed for another policy")
    if mandate.expires < at:
        until = show_instant(Instant(mandate.expires))
        return Refused(Reason.REQUEST_EXPIRED, f"the mandate was good until {until}")
    if mandate.units < 1:
        return Refused(Reason.AMOUNT_NOT_POSITIVE, f"the mandate is for {mandate.units} units")
    if mandate.units > UNITS_MAX:
        return Refused(Reason.AMOUNT_TOO_LARGE, "a mandate is for at most 2^127 - 1 units")
    found = _way(ledger, mandate)
    if found is None or not found[0].accepts(mandate.asset):
        words = f"{mandate.gate} moves no {mandate.asset} from {mandate.source} to {mandate.target}"
        return Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words)
    if found[0].gate.standing is None:
        words = f"{mandate.gate} asks for no mandate; sign each request"
        return Refused(Reason.NOT_ASKED_TO_SIGN, words, found[0].gate.line)
    return None


def _judge_signers(
    ledger: Ledger, record: Mandate | EndMandate, of: Mandate, at: Instant, verify: Verifier
) -> Refused | None:
    """Refuse a mandate, or what ends it (`of`), that the standing key of its source did not sign."""
    content = signing_bytes(record)
    found = signers_of(record.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    missing = _missing(ledger, of, found)
    return (
        Refused(Reason.NEEDS_NOT_MET, f"the mandate needs {missing}, which did not sign") if missing else None
    )


def _missing(ledger: Ledger, mandate: Mandate, signed: frozenset[str]) -> str:
    found = _way(ledger, mandate)
    if found is None or found[0].gate.standing is None:
        return "a gate with `standing`"
    way, source, target = found
    names = names_through(ledger.rules.keys, way, source, target)
    return unmet((found[0].gate.standing,), signed, names)


def take_back(ledger: Ledger, record: EndMandate, at: Instant, verify: Verifier) -> Refused | None:
    """End a mandate; its own key signs that."""
    tables = ledger.tables
    given = next((one for one in tables.mandates.values() if one.mandate.id == record.mandate), None)
    if given is None:
        return Refused(Reason.MANDATE_MISSING, "no mandate of that id is in force")
    refused = _judge_signers(ledger, record, given.mandate, at, verify)
    if refused is not None:
        return refused
    tables.drop(tables.mandates, key_of(given.mandate))
    return None


# --- using one ---------------------------------------------------------------------------------


def fault_of_mandate(
    ledger: Ledger, gate: GateRule, move: Move, at: Instant, verify: Verifier
) -> Refused | None:
    """Say why no mandate opens a gate for a move; None where one does, or the gate asks for none."""
    if gate.standing is None:
        return None
    given = ledger.tables.mandates.get(key_of(move))
    if given is None:
        words = f"{gate.name} needs a standing mandate of {gate.standing.key} for these ends and {move.asset}"
        return Refused(Reason.MANDATE_MISSING, words, gate.line)
    mandate = given.mandate
    if mandate.expires < at:
        until = show_instant(Instant(mandate.expires))
        return Refused(Reason.MANDATE_MISSING, f"the mandate was good until {until}", gate.line)
    if mandate.policy != ledger.rules.digest:
        return Refused(Reason.MANDATE_MISSING, "the mandate was signed for another policy", gate.line)
    counting = those_that_count(mandate.signatures, signing_bytes(mandate), ledger.known_keys(at), verify)
    missing = _missing(ledger, mandate, counting)
    if missing:
        return Refused(
            Reason.MANDATE_MISSING, f"{missing} signed the mandate and no longer counts", gate.line
        )
    return None


def room_of_mandate(ledger: Ledger, gate: GateRule, move: Move) -> int | None:
    """Return the units that a mandate still lets through; None where the gate asks for none."""
    given = ledger.tables.mandates.get(key_of(move)) if gate.standing is not None else None
    return given.mandate.units - given.moved if given is not None else None


def count(ledger: Ledger, gate: GateRule, move: Move) -> None:
    """Count a move under its mandate."""
    given = ledger.tables.mandates.get(key_of(move)) if gate.standing is not None else None
    if given is not None:
        moved = Given(given.mandate, given.moved + move.units)
        ledger.tables.put(ledger.tables.mandates, key_of(move), moved)


def _way(ledger: Ledger, mandate: Mandate) -> tuple[Way, Place, Place] | None:
    source, target = ledger.place(mandate.source), ledger.place(mandate.target)
    way = (
        ledger.rules.way(mandate.gate, source, target) if source is not None and target is not None else None
    )
    return (way, source, target) if way is not None and source is not None and target is not None else None
