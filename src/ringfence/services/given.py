"""What somebody gives a book beforehand: a mandate, a trading session, an address, a word about all of it.

As `instructions` does for requests, these turn what a person means into the record that the book takes,
signed with every key it asks for that is at hand; the book judges the result.
"""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.margin.terms import compile_terms
from ringfence.margin.topping import lacking
from ringfence.planes.ledger.addresses import keys_asked
from ringfence.planes.ledger.needs import keys_named, names_for, names_through
from ringfence.planes.ledger.operations import (
    CloseSession,
    EndMandate,
    Mandate,
    Move,
    OpenSession,
    PinAddress,
    Signed,
    Statement,
)
from ringfence.planes.ledger.rules import TOPPING, Rules
from ringfence.planes.ledger.statements import witnesses
from ringfence.planes.ledger.tables import Given
from ringfence.services.instructions import Sign, signed_by
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts

Record = TypeVar("Record", bound=Signed)

# --- mandates ----------------------------------------------------------------------------------


def find_standing(rules: Rules, source: str, target: str, asset: str) -> str:
    """Name the gate that moves the asset there on a mandate.

    Raises UsageError where none or several do, and names what there is.
    """
    start, end = rules.place(source), rules.place(target)
    ways = rules.gates_between(start, end) if start is not None and end is not None else ()
    found = [way.gate.name for way in ways if way.gate.standing is not None and way.accepts(asset)]
    if len(found) > 1:
        raise UsageError(f"several gates ask for a mandate there: {', '.join(found)}; choose one with --gate")
    if not found:
        known = [gate.name for gate in rules.gates.values() if gate.standing is not None]
        words = f"no gate with `standing` moves {asset} from {source} to {target}"
        raise UsageError(f"{words}; of this policy {', '.join(known) or 'none'} asks for a mandate")
    return found[0]


def mandate(rules: Rules, move: Move, identifier: RequestId, expires: Instant, sign: Sign) -> Mandate:
    """Make a mandate for what `move` moves, up to its units in all, signed by the gate's standing key."""
    bare = Mandate(
        identifier, move.gate, move.source, move.target, move.asset, move.units, expires, rules.digest
    )
    return _signed(bare, _standing_keys(rules, bare), sign)


def end_mandate(rules: Rules, given: Mandate, reason: str, sign: Sign) -> EndMandate:
    """Take a mandate back, signed as it was given."""
    return _signed(EndMandate(given.id, reason), _standing_keys(rules, given), sign)


def _standing_keys(rules: Rules, given: Mandate) -> Sequence[str]:
    source, target = rules.place(given.source), rules.place(given.target)
    if source is None or target is None:
        return ()
    way = rules.way(given.gate, source, target)
    if way is None or way.gate.standing is None:
        return ()
    names = names_through(rules.keys, way, source, target)
    return tuple(keys_named((way.gate.standing,), names))


def top_up(book: Book, bucket: str, at: Instant) -> Move | None:
    """Return the move that brings a bucket what it lacks, as far as the first mandate for it reaches.

    None where it lacks nothing, where a price is missing or stale, or where every cap or all cash is used up.
    """
    return top_up_under(book, [one for one in book.state.mandates() if one.mandate.target == bucket], at)


def top_up_under(book: Book, mandates: Sequence[Given], at: Instant) -> Move | None:
    """Return the move that brings a bucket what it lacks under the first of its mandates that reaches."""
    moves = (_topping(book, one, at) for one in mandates)
    return next((move for move in moves if move is not None), None)


def _topping(book: Book, given: Given, at: Instant) -> Move | None:
    state, one = book.state, given.mandate
    gate = state.rules.gates.get(one.gate)
    if gate is None or TOPPING not in gate.accrual or at > one.expires:
        return None
    limit = state.room(one.gate, one.source, one.target, one.asset)
    free = state.balance(one.source, one.asset) - state.held(one.source, one.asset)
    reach = min(one.units - given.moved, free, UNITS_MAX if limit is None else limit)
    # Valuing a bucket costs more than all of the above, and is asked at every price.
    units = min(reach, _lacking(book, one.target, one.asset, at)) if reach > 0 else 0
    return Move(one.gate, one.source, one.target, one.asset, units) if units > 0 else None


def _lacking(book: Book, bucket: str, asset: str, at: Instant) -> int:
    """Return the units a bucket lacks as the book itself will judge it; 0 where it cannot be valued."""
    margin = book.margin
    if not isinstance(margin, MarginFacts):
        return 0
    prices, held = margin.prices(book.state, at), margin.bucket(book.state, bucket)
    try:
        return lacking(held, asset, prices, compile_terms(book.rules.policy)) if held is not None else 0
    except BadInput:
        return 0


# --- trading sessions --------------------------------------------------------------------------


def trading_keys(rules: Rules, bucket: str) -> Sequence[str]:
    """Name every key that orders of a bucket ask for; UsageError where it is none that trades."""
    place = rules.place(bucket)
    if place is None or not place.rule.trades:
        known = ", ".join(rule.pattern for rule in rules.compartments if rule.trades)
        raise UsageError(f"{bucket} is no bucket that trades; these do: {known or 'none'}")
    return tuple(keys_named(place.rule.trade_needs, names_for(rules.keys, place, None)))


def session(
    rules: Rules,
    key: str,
    holder: str,
    buckets: Sequence[str],
    identifier: RequestId,
    expires: Instant,
    sign: Sign,
) -> OpenSession:
    """Let the service `holder` place orders of some buckets for a key, signed by that key."""
    bare = OpenSession(identifier, key, holder, tuple(buckets), expires, rules.digest)
    return _signed(bare, (key,), sign)


def close_session(rules: Rules, opened: OpenSession, reason: str, sign: Sign) -> CloseSession:
    """End a session, signed by its key and by what its holder has, as far as they are at hand."""
    keys = (opened.key, *rules.holders.get(opened.holder, ()))
    return _signed(CloseSession(opened.id, reason), keys, sign)


# --- addresses and words -----------------------------------------------------------------------


def address(rules: Rules, compartment: str, text: str, expires: Instant, sign: Sign) -> PinAddress:
    """Register where a place outside is reached, signed by whoever owns it."""
    place = rules.place(compartment)
    bare = PinAddress(compartment, text, expires, rules.digest)
    return _signed(bare, keys_asked(rules, place) if place is not None else (), sign)


def statement(rules: Rules, bare: Statement, sign: Sign) -> Statement:
    """Sign a statement with every key at hand that may make it."""
    return _signed(bare, sorted(witnesses(rules, bare.word)), sign)


def _signed(record: Record, keys: Sequence[str], sign: Sign) -> Record:
    return msgspec.structs.replace(record, signatures=signed_by(record, keys, sign))
