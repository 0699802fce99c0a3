"""Interest: what time makes owed on debts, and on coins that earn.

    owed = sum over time of (units held x yearly rate x ns) / (PPM x a year of 365 days)

Simple interest, exact: the part of a unit that is not owed yet is carried on, so that it makes no difference
how often a balance is looked at. Of a debt it is owed by the bucket that owes it, to where the policy's gate
for `interest` leads; of a coin, to whoever holds it, by the source of such a gate. Interest that is owed is
no debt and bears none.
"""

from typing import Final

from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.kernel.money import PPM
from ringfence.planes.ledger.entitlements import Owed
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.rules import Place

INTEREST: Final = "interest"

YEAR_NS: Final = 365 * DAY_NS
"""The length of a year of interest, leap years too."""


def accrue(ledger: Ledger, place: Place, asset: str, at: Instant) -> None:
    """Make owed what an asset bore in a compartment since it was looked at last."""
    tables, rule = ledger.tables, ledger.rules.assets[asset]
    key = _owed_under(ledger, place, asset)
    if key is None or not rule.interest_ppm:
        return
    since, carried = tables.accruing.get((place.path, asset), (at, 0))
    held = max(0, tables.balance(place.path, asset))
    units, rest = divmod(carried + held * rule.interest_ppm * (at - since), PPM * YEAR_NS)
    tables.put(tables.accruing, (place.path, asset), (at, rest))
    if units:
        tables.owe(key, units)


def accrue_between(ledger: Ledger, source: Place, target: Place, coin: str, at: Instant) -> None:
    """Bring up to now whatever a payment of interest in a coin could be for."""
    for asset, rule in ledger.rules.assets.items():
        if rule.debt_in == coin:
            accrue(ledger, source, asset, at)
    accrue(ledger, target, coin, at)


def accrue_all(ledger: Ledger, at: Instant) -> None:
    """Bring every balance that bears interest up to now."""
    for path, asset in sorted(ledger.tables.accruing):
        place = ledger.place(path)
        if place is not None:
            accrue(ledger, place, asset, at)


def _owed_under(ledger: Ledger, place: Place, asset: str) -> Owed | None:
    """Say who owes whom for what an asset bears here; None where no gate moves it."""
    rules, coin = ledger.rules, ledger.rules.assets[asset].debt_in
    if coin is not None:
        way = rules.pays.get((INTEREST, place.rule.index, coin))
        return None if way is None else (INTEREST, place.path, way.target_from(place), coin)
    way = rules.is_paid.get((INTEREST, place.rule.index, asset))
    return None if way is None else (INTEREST, way.source_to(place), place.path, asset)
