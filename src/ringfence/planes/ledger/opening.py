"""Taking over what another book ends with: balances and positions, all of it at once or nothing.

Only a book in which nothing was ever booked takes an opening. Coins come from the place outside that has no
members, debts from whoever stands last for the bucket, contracts through clearing; so conservation holds from
the first entry. Positions are taken over as if just settled: each instrument at one price, so that nobody's
old entry price is anybody else's loss. Who must sign is what `adoption` says in the policy; where it says
nothing, whoever may write to the book, as with everything before its first entry.
"""

from collections.abc import Iterator

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import ID_MAX, show_id
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import Entry, Opening, OpeningBalance, OpeningPosition, signing_bytes
from ringfence.planes.ledger.rules import Place
from ringfence.planes.ledger.settlement import rebased_values
from ringfence.planes.ledger.signing import Verifier, signers_of


def take_opening(
    ledger: Ledger, opening: Opening, at: Instant, verify: Verifier
) -> tuple[Entry, ...] | Refused | None:
    """Book an opening and return its entries; None where it was taken before: nothing is booked again."""
    content, tables = signing_bytes(opening), ledger.tables
    earlier = tables.answer(opening.id)
    if earlier == (content, 0):
        return None
    if earlier is not None or not 0 < opening.id <= ID_MAX:
        words = f"id {show_id(opening.id)} was used with other content, or cannot be one"
        return Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
    refused = (
        _judge_time(ledger, opening)
        or _judge_signers(ledger, opening, content, at, verify)
        or next(opening_faults(ledger, opening), (0, None))[1]
    )
    if refused is not None:
        return refused
    tables.put(tables.ids, opening.id, (content, 0))
    return (*_book_balances(ledger, opening), *_book_positions(ledger, opening))


def opening_faults(ledger: Ledger, opening: Opening) -> Iterator[tuple[int, Refused]]:
    """Go through everything that is wrong, with the number of the line: balances first, then positions.

    What is wrong with no single line has the number of lines there are.
    """
    seen: set[tuple[str, str]] = set()
    for number, balance in enumerate(opening.balances):
        fault = _balance_fault(ledger, balance)
        if fault is None and (balance.compartment, balance.asset) in seen:
            words = f"{balance.compartment} has a line for {balance.asset} already"
            fault = Refused(Reason.OPENING_DOES_NOT_BALANCE, words)
        if fault is not None:
            yield number, fault
        seen.add((balance.compartment, balance.asset))
    for number, position in enumerate(opening.positions, start=len(opening.balances)):
        fault = _position_fault(ledger, opening, position)
        if fault is None and (position.bucket, position.instrument) in seen:
            words = f"{position.bucket} has a line for {position.instrument} already"
            fault = Refused(Reason.OPENING_DOES_NOT_BALANCE, words)
        if fault is not None:
            yield number, fault
        seen.add((position.bucket, position.instrument))
    lines = len(opening.balances) + len(opening.positions)
    for instrument, net in sorted(net_contracts(opening).items()):
        if net:
            words = f"the positions in {instrument} add up to {net} contracts; together they are none"
            yield lines, Refused(Reason.OPENING_DOES_NOT_BALANCE, words)


def net_contracts(opening: Opening) -> dict[str, int]:
    """Add up the contracts of each instrument, long ones positive."""
    net: dict[str, int] = {}
    for position in opening.positions:
        net[position.instrument] = net.get(position.instrument, 0) + position.contracts
    return net


# --- judging -----------------------------------------------------------------------------------


def _judge_time(ledger: Ledger, opening: Opening) -> Refused | None:
    if opening.policy != ledger.rules.digest:
        words = f"the opening names {ledger.other_policy(opening.policy)}"
        return Refused(Reason.POLICY_DIGEST_DIFFERS, words)
    if any(ledger.tables.totals.values()):
        words = "something was booked already; what another book ends with is taken over first of all"
        return Refused(Reason.BOOK_NOT_EMPTY, words)
    if not opening.balances and not opening.positions:
        return Refused(Reason.CHAIN_IS_EMPTY, "the opening has no lines")
    return None


def _judge_signers(
    ledger: Ledger, opening: Opening, content: bytes, at: Instant, verify: Verifier
) -> Refused | None:
    found = signers_of(opening.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    words = ledger.rules.policy.adoption
    missing = unmet(words.needs if words else (), found, names_for(ledger.rules.keys, None, None))
    if missing:
        return Refused(Reason.NEEDS_NOT_MET, f"an opening needs {missing}, which did not sign")
    return None


def _place_fault(ledger: Ledger, path: str) -> Refused | None:
    place = ledger.rules.place(path)
    if place is None or place.rule.two_sided:
        words = f"the policy declares no compartment {path} in which something is kept"
        return Refused(Reason.COMPARTMENT_UNKNOWN, words)
    closed = ledger.closed_member(place)
    if closed:
        return Refused(Reason.MEMBER_NOT_OPEN, f"{closed} was never opened in this book; open it first")
    return None


def _balance_fault(ledger: Ledger, balance: OpeningBalance) -> Refused | None:
    fault = _place_fault(ledger, balance.compartment)
    if fault is not None:
        return fault
    place = ledger.place(balance.compartment)
    rule = ledger.rules.assets.get(balance.asset)
    if rule is None or place is None:
        return Refused(Reason.ASSET_UNKNOWN, f"the policy declares no asset {balance.asset}")
    if not 0 < balance.units <= UNITS_MAX:
        return Refused(Reason.AMOUNT_NOT_POSITIVE, f"the amount was {balance.units} units; it is 1 at least")
    if place.rule.accepts is None or balance.asset not in place.rule.accepts:
        words = f"{balance.compartment} does not accept {balance.asset}"
        return Refused(Reason.ASSET_NOT_ACCEPTED, words, place.rule.line)
    if place.rule.nets_to_zero:
        words = f"{balance.compartment} must net to zero, and keeps nothing"
        return Refused(Reason.CLEARING_NOT_ZERO, words, place.rule.line)
    if _giver(ledger, place, balance.asset) is None:
        words = f"nobody could have given {balance.asset} to {balance.compartment}"
        return Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words, place.rule.line)
    return None


def _giver(ledger: Ledger, place: Place, asset: str) -> Place | None:
    """Find the other side of a balance: the place outside, or for a debt whoever lends it."""
    if ledger.rules.assets[asset].debt_in is not None:
        fall = place.rule.waterfall
        lender = fall.last if fall is not None and fall.record == asset else None
        return ledger.place(lender) if lender is not None else None
    outside = (rule for rule in ledger.rules.compartments if rule.two_sided and not rule.families)
    first = next(outside, None)
    return ledger.place(first.pattern) if first is not None else None


def _position_fault(ledger: Ledger, opening: Opening, position: OpeningPosition) -> Refused | None:
    fault = _place_fault(ledger, position.bucket)
    if fault is not None:
        return fault
    place = ledger.place(position.bucket)
    instrument = ledger.rules.instruments.get(position.instrument)
    if instrument is None or place is None:
        return Refused(Reason.INSTRUMENT_UNKNOWN, f"the policy declares no {position.instrument}")
    if position.instrument not in place.rule.trades | place.rule.takes_over:
        words = f"{position.bucket} may not hold {position.instrument}"
        return Refused(Reason.TRADE_NOT_ALLOWED, words, place.rule.line)
    if not 0 < abs(position.contracts) <= UNITS_MAX:
        return Refused(Reason.AMOUNT_NOT_POSITIVE, f"the position was of {position.contracts} contracts")
    price_e10 = opening.prices.get(position.instrument, 0)
    if price_e10 < 1 or price_e10 % instrument.tick_e10:
        words = f"{position.instrument} needs the price it was settled at, on its tick"
        return Refused(Reason.PRICE_OFF_TICK, words)
    return None


# --- booking -----------------------------------------------------------------------------------


def _book_balances(ledger: Ledger, opening: Opening) -> Iterator[Entry]:
    for balance in opening.balances:
        place = ledger.place(balance.compartment)
        giver = _giver(ledger, place, balance.asset) if place is not None else None
        if giver is not None:
            yield _book(ledger, giver.path, balance.compartment, balance.asset, balance.units)


def _book_positions(ledger: Ledger, opening: Opening) -> Iterator[Entry]:
    clearing = ledger.rules.clearing or ""
    for name in sorted({position.instrument for position in opening.positions}):
        instrument = ledger.rules.instruments[name]
        held = {one.bucket: one.contracts for one in opening.positions if one.instrument == name}
        decimals = ledger.rules.assets[instrument.quote].decimals
        values = rebased_values(instrument, held, opening.prices[name], decimals)
        for bucket, contracts in sorted(held.items()):
            source, target = (clearing, bucket) if contracts > 0 else (bucket, clearing)
            yield _book(ledger, source, target, name, abs(contracts))
            ledger.tables.set_session(bucket, name, values[bucket])


def _book(ledger: Ledger, source: str, target: str, asset: str, units: int) -> Entry:
    ledger.tables.move(source, target, asset, units)
    return Entry(source, target, asset, units)
