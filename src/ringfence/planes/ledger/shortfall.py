"""Who pays what a bucket cannot: the waterfall as the ledger holds it.

A bucket pays with its own coins first. A pool pays for a bucket of its waterfall that has no coin left to
sell. Whoever stands last pays against a debt of the bucket, or for an empty pool of its own waterfalls.
Nobody else's money can be owed, so nobody else's can be moved.
"""

from collections.abc import Iterable, Iterator

from ringfence.kernel.money import apportion
from ringfence.planes.ledger.rules import Place, Rules
from ringfence.planes.ledger.tables import Tables
from ringfence.policy.families import fill, match

PAYABLE: tuple[str, ...] = ("variation", "funding")
"""What a settlement makes payable at once, between buckets and clearing."""


def payable_units(tables: Tables, bucket: str, clearing: str, asset: str) -> int:
    """Return what a bucket still has to pay into clearing."""
    return sum(tables.owed.get((accrual, bucket, clearing, asset), 0) for accrual in PAYABLE)


def coins_of(rules: Rules, place: Place) -> Iterator[str]:
    """List the coins that a compartment may hold, debts left out."""
    accepted = rules.assets if place.rule.accepts is None else place.rule.accepts
    return (asset for asset in sorted(accepted) if rules.assets[asset].debt_in is None)


def has_coins(rules: Rules, tables: Tables, place: Place) -> bool:
    """Say whether a bucket has anything left to pay with or to sell."""
    return any(tables.balance(place.path, asset) > 0 for asset in coins_of(rules, place))


def pools_of(bucket: Place) -> tuple[str, ...]:
    """Name the pools that pay for a bucket, in order; one of a family is that of the bucket's own member."""
    fall = bucket.rule.waterfall
    if fall is None:
        return ()
    own = dict(zip(bucket.rule.families, bucket.members, strict=True))
    return tuple(fill(pool, own) for pool in fall.pools)


def bears(rules: Rules, tables: Tables, payer: Place, bucket: Place, asset: str) -> bool:
    """Say whether it is `payer`'s turn to pay what `bucket` cannot."""
    if bucket.rule.waterfall is not None:
        return payer.path in pools_of(bucket) and not has_coins(rules, tables, bucket)
    backed = any(
        one.last == payer.path and any(match(pool, bucket.path) is not None for pool in one.pools)
        for one in rules.waterfalls.values()
    )
    return backed and tables.balance(bucket.path, asset) <= 0


def shortfall_units(
    rules: Rules, tables: Tables, payer: Place, clearing: str, asset: str, owing: Iterable[Place]
) -> int:
    """Return what `payer` owes clearing for others: debts it took over, and buckets whose turn has come."""
    taken_over = tables.owed.get(("shortfall", payer.path, clearing, asset), 0)
    return taken_over + sum(
        payable_units(tables, bucket.path, clearing, asset)
        for bucket in owing
        if bears(rules, tables, payer, bucket, asset)
    )


def pay_shortfall(
    rules: Rules, tables: Tables, payer: Place, clearing: str, asset: str, units: int, owing: Iterable[Place]
) -> int:
    """Take `units` off what `payer` owes for others, its own debts first; return how many are left over."""
    key = ("shortfall", payer.path, clearing, asset)
    own = min(units, tables.owed.get(key, 0))
    if own:
        tables.owe(key, -own)
    bearing = [bucket.path for bucket in owing if bears(rules, tables, payer, bucket, asset)]
    weights = [payable_units(tables, bucket, clearing, asset) for bucket in bearing]
    shared = min(units - own, sum(weights))
    # In proportion, so that nobody's name decides whose loss is borne and whose becomes a debt.
    for bucket, part in zip(bearing, apportion(shared, weights), strict=True):
        pay_for(tables, bucket, clearing, asset, part)
    return units - own - shared


def pay_for(tables: Tables, bucket: str, clearing: str, asset: str, units: int) -> int:
    """Take up to `units` off what a bucket has to pay; return how many that were."""
    left = units
    for accrual in PAYABLE:
        key = (accrual, bucket, clearing, asset)
        part = min(left, tables.owed.get(key, 0))
        if part:
            tables.owe(key, -part)
        left -= part
    return units - left
