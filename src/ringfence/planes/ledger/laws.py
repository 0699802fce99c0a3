"""The laws a request must have kept when it is done, and how far the book stops where it did not.

A law that is broken is a mistake of this program, never of who asked. What the request did is taken back, the
smallest scope that holds the fault is stopped, and the whole book falls back one step of `stopping.LADDER`:
what reduces risk goes last. Then people look, and lift it.

    conservation    debits equal credits in every asset touched, and session values sum to zero
    no_overdraft    no coin of an internal compartment is below zero
    containment     value passed only between compartments that some way leads between
"""

from collections.abc import Iterable
from typing import NamedTuple

from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.operations import Entry
from ringfence.planes.ledger.rules import Place
from ringfence.planes.ledger.stopping import BOOK, halt_key, holds_place, next_step


class Violation(NamedTuple):
    """A law that does not hold: its name, the scope it was found in, and what was found."""

    law: str
    scope: str
    words: str


def violations(ledger: Ledger, entries: Iterable[Entry]) -> tuple[Violation, ...]:
    """Check the laws for whatever some entries touched."""
    found: list[Violation] = []
    for entry in entries:
        found += _unbalanced(ledger, entry.asset)
        found += _of_entry(ledger, entry)
    return tuple(dict.fromkeys(found)) if found else ()


def _unbalanced(ledger: Ledger, asset: str) -> Iterable[Violation]:
    debits, credits = ledger.tables.totals.get(asset, (0, 0))
    if debits != credits or ledger.tables.session_totals.get(asset, 0):
        words = f"{asset}: debits {debits} and credits {credits} must be equal"
        yield Violation("conservation", f"asset/{asset}", words)


def _of_entry(ledger: Ledger, entry: Entry) -> Iterable[Violation]:
    source, target = ledger.place(entry.debit), ledger.place(entry.credit)
    asset = ledger.rules.assets.get(entry.asset)
    if source is None or target is None:
        yield Violation("containment", BOOK, f"{entry.debit} or {entry.credit} is no compartment")
        return
    if asset is None or asset.debt_in is not None:
        return  # Contracts and debts are two-sided, and pass by trade and waterfalls.
    held = ledger.tables.balance(source.path, asset.name)
    if held < 0 and not source.rule.two_sided:
        words = f"{source.path} would hold {held} units of {asset.name}"
        yield Violation("no_overdraft", f"compartment/{source.path}", words)
    if not ledger.rules.is_joined(source, target):
        words = f"{entry.units} units of {asset.name} passed from {source.path} to {target.path}, a wall"
        yield Violation("containment", f"compartment/{source.path}", words)


def halts_for(ledger: Ledger, found: tuple[Violation, ...]) -> tuple[str, ...]:
    """Return the halts that some violations ask for: of the smallest scope, and the book's next step down."""
    scope, step = smallest_scope(ledger, found), next_step(ledger.tables.frozen)
    return tuple(dict.fromkeys((halt_key("stop", scope), halt_key(step, BOOK))))


def smallest_scope(ledger: Ledger, found: tuple[Violation, ...]) -> str:
    """Return the smallest scope that holds every violation: its own, a pool, or the book."""
    scopes = {one.scope for one in found}
    if len(scopes) == 1:
        return scopes.pop()
    places = [ledger.rules.place(scope.removeprefix("compartment/")) for scope in scopes]
    if all(place is not None for place in places):
        for name in sorted(ledger.rules.waterfalls):
            if all(holds_place(ledger.rules, f"pool/{name}", place) for place in _known(places)):
                return f"pool/{name}"
    return BOOK


def _known(places: Iterable[Place | None]) -> Iterable[Place]:
    return (place for place in places if place is not None)
