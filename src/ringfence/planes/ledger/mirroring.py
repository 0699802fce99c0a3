"""Mirrored credit: units of an asset that `mirrors` a coin, issued against coins that lie in escrow.

    issued(member) <= locked(member)        at the end of every request

Locked is what the member's compartments with the role `escrow` hold of the coin; issued is what came in under
the accrual `mirror`, less what went back. What the credit did since is no matter: whoever loses it to another
owes as much as before, so credit lost is never issued again. Coins leave escrow together with the return of
the credit that stood on them, in one request.
"""

from typing import Final

from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.rules import AssetRule, CompartmentRule, GateRule, Place
from ringfence.policy.families import fill

MIRROR: Final = "mirror"
ESCROW: Final = "escrow"


def mirror_units(ledger: Ledger, asset: AssetRule, source: Place, target: Place) -> int:
    """Return the credit that may be issued to a member, or must go back, from source to target."""
    if asset.mirrors is None:
        return 0
    is_issue = source.rule.two_sided
    place = target if is_issue else source
    free = locked_units(ledger, asset.mirrors, place) - issued_units(ledger, asset.name, place)
    return max(0, free if is_issue else -free)


def count_mirrored(
    ledger: Ledger, gate: GateRule, asset: str, source: Place, target: Place, units: int
) -> None:
    """Count credit that was issued or went back."""
    if MIRROR not in gate.accrual:
        return
    place, change = (target, units) if source.rule.two_sided else (source, -units)
    key = (asset, _whose(place))
    ledger.tables.put(ledger.tables.mirrored, key, ledger.tables.mirrored.get(key, 0) + change)


def locked_units(ledger: Ledger, coin: str, place: Place) -> int:
    """Return what lies in escrow of a coin for the members of a compartment."""
    paths = (_path(rule, place) for rule in ledger.rules.compartments if _is_escrow_of(rule, coin, place))
    return sum(ledger.tables.balance(path, coin) for path in paths)


def issued_units(ledger: Ledger, credit: str, place: Place) -> int:
    """Return the credit that was issued to the members of a compartment and did not go back."""
    return ledger.tables.mirrored.get((credit, _whose(place)), 0)


def uncovered(ledger: Ledger, escrow: Place) -> str:
    """Say in words which credit would stand on too little in escrow; "" where all is covered."""
    for name, asset in ledger.rules.assets.items():
        if asset.mirrors is not None:
            issued, locked = issued_units(ledger, name, escrow), locked_units(ledger, asset.mirrors, escrow)
            if issued > locked:
                coin = ledger.rules.assets[asset.mirrors]
                return f"{asset.show(issued)} would stand on {coin.show(locked)} in escrow"
    return ""


def _whose(place: Place) -> tuple[str, ...]:
    return tuple(part for pair in zip(place.rule.families, place.members, strict=True) for part in pair)


def _is_escrow_of(rule: CompartmentRule, coin: str, place: Place) -> bool:
    same = rule.families == place.rule.families and rule.role == ESCROW
    return same and rule.accepts is not None and coin in rule.accepts


def _path(rule: CompartmentRule, place: Place) -> str:
    return fill(rule.pattern, dict(zip(rule.families, place.members, strict=True)))
