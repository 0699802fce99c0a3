"""Addresses of places outside: registered with the book, and usable when they have cooled.

A compartment that is `pinned` takes addresses from whoever owns it: every key of its member that signs by
hand, or for a place without a member those whom a gate to it needs. With `cooling` a new address comes into
force that long after it was registered; until then the one before it stays in force, and where there is none,
nothing moves there. A book in which no address of a place was ever registered leaves it to who pays.
"""

from collections.abc import Iterator

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant, show_duration, show_instant
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import keys_named, names_for, unmet
from ringfence.planes.ledger.operations import PinAddress, signing_bytes
from ringfence.planes.ledger.rules import GateRule, Place, Rules
from ringfence.planes.ledger.signing import Verifier, signers_of

ADDRESS_LENGTH_MAX = 256


def pin(ledger: Ledger, record: PinAddress, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Register an address; True where it is the last one registered already."""
    tables, place = ledger.tables, ledger.place(record.compartment)
    if place is None or not ledger.rules.policy.compartments[place.rule.pattern].pinned:
        words = f"{record.compartment} is no open compartment that is pinned"
        return Refused(Reason.COMPARTMENT_UNKNOWN, words)
    if record.policy != ledger.rules.digest:
        return Refused(Reason.POLICY_DIGEST_DIFFERS, "the address was signed for another policy")
    if record.expires < at:
        return Refused(Reason.REQUEST_EXPIRED, f"it was good until {show_instant(Instant(record.expires))}")
    if not 0 < len(record.address) <= ADDRESS_LENGTH_MAX:
        return Refused(Reason.ADDRESS_NOT_IN_FORCE, f"an address has 1 to {ADDRESS_LENGTH_MAX} characters")
    found = signers_of(record.signatures, signing_bytes(record), ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    missing = _missing(ledger, place, found)
    if missing:
        return Refused(
            Reason.NEEDS_NOT_MET, f"{missing} registers an address of {place.path}, and did not sign"
        )
    earlier = tables.addresses.get(place.path)
    if earlier and earlier[-1][0] == record.address:
        return True
    tables.put(tables.addresses, place.path, (*_kept(ledger, place, at), (record.address, int(at))))
    return None


def address_of(ledger: Ledger, place: Place, at: Instant) -> str | None:
    """Return the address in force at an instant; None where there is none."""
    cooled = _cooled(ledger, place, at)
    return cooled[-1][0] if cooled else None


def registered(ledger: Ledger) -> Iterator[tuple[str, str, Instant, Instant]]:
    """Go through every address that matters: place, address, since when it is known, from when it counts."""
    for path, entries in sorted(ledger.tables.addresses.items()):
        place = ledger.place(path)
        length_ns = _cooling_ns(ledger, place) if place is not None else 0
        for text, since in entries:
            yield path, text, Instant(since), Instant(since + length_ns)


def fault_of_address(ledger: Ledger, gate: GateRule, target: Place, at: Instant) -> Refused | None:
    """Refuse what would go to a place whose every registered address is still cooling."""
    entries = ledger.tables.addresses.get(target.path)
    if not entries or _cooled(ledger, target, at):
        return None
    length_ns = _cooling_ns(ledger, target)
    words = f"{target.path} has an address since {show_instant(Instant(entries[0][1]))}"
    words += f"; it comes into force after {show_duration(length_ns)}"
    return Refused(Reason.ADDRESS_NOT_IN_FORCE, words, gate.line)


def _cooling_ns(ledger: Ledger, place: Place) -> int:
    return ledger.rules.policy.compartments[place.rule.pattern].cooling_ns or 0


def _cooled(ledger: Ledger, place: Place, at: Instant) -> list[tuple[str, int]]:
    length_ns = _cooling_ns(ledger, place)
    entries = ledger.tables.addresses.get(place.path, ())
    return [entry for entry in entries if entry[1] + length_ns <= at]


def _kept(ledger: Ledger, place: Place, at: Instant) -> list[tuple[str, int]]:
    """List the addresses that still matter: the one in force, and those that are cooling."""
    entries = list(ledger.tables.addresses.get(place.path, ()))
    return entries[max(0, len(_cooled(ledger, place, at)) - 1) :]


def _missing(ledger: Ledger, place: Place, signed: frozenset[str]) -> str:
    """Name who has still to sign for an address of a place; "" where nobody has."""
    own = _own_keys(ledger.rules, place)
    if own:
        return next((name for name in own if name not in signed), "")
    names = names_for(ledger.rules.keys, place, None)
    lacking = [unmet(gate.needs, signed, names) for gate in _gates_to(ledger.rules, place)]
    return "" if "" in lacking else next(iter(lacking), "nobody")


def keys_asked(rules: Rules, place: Place) -> tuple[str, ...]:
    """Name every key that may count for an address of a place."""
    names = names_for(rules.keys, place, None)
    of_gates = (key for gate in _gates_to(rules, place) for key in keys_named(gate.needs, names))
    return _own_keys(rules, place) or tuple(dict.fromkeys(of_gates))


def _own_keys(rules: Rules, place: Place) -> tuple[str, ...]:
    return tuple(
        f"{name}/{member}"
        for name, key in sorted(rules.policy.keys.items())
        if key.per is not None and key.signs == "by_hand" and (member := place.member_of(key.per)) is not None
    )


def _gates_to(rules: Rules, place: Place) -> list[GateRule]:
    return [
        way.gate
        for (_, _, end), leading in rules.ways.items()
        for way in leading
        if end == place.rule.index and not way.gate.accrual
    ]
