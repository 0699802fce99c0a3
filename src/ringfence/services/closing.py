"""The fills that close a bucket by force, written from margin's plan for whoever asks the book for them.

The risk loop of a single book and the service `risk` of a platform write the same ones; the book plans again
for itself and takes none that its own plan does not have.
"""

from ringfence.margin.liquidation import ClosingPlan, Closure
from ringfence.planes.ledger.operations import Closing, Fill, Order
from ringfence.planes.ledger.rules import Rules


def takeover_fills(rules: Rules, path: str, plan: ClosingPlan) -> tuple[Fill, ...]:
    """Let what a plan passes on go to the first pool of its bucket's waterfall, if it has one."""
    place = rules.place(path)
    fall = place.rule.waterfall if place is not None else None
    if fall is None or not fall.pools:
        return ()
    pool = fall.pools[0]
    return tuple(
        _takeover(path, pool, row.instrument, row.contracts, row.price_e10) for row in plan.takeovers
    )


def _takeover(path: str, pool: str, instrument: str, contracts: int, price_e10: int) -> Fill:
    failed, bearer = Closing(path, "takeover"), Closing(pool, "takeover")
    if contracts > 0:
        return Fill(instrument, contracts, price_e10, bearer, failed, "sell")
    return Fill(instrument, -contracts, price_e10, failed, bearer, "buy")


def market_fill(path: str, closure: Closure, order: Order) -> Fill:
    """Close a position against an order of the market."""
    failed = Closing(path, "liquidation")
    if closure.contracts > 0:
        return Fill(closure.instrument, closure.contracts, closure.price_e10, failed, order, "buy")
    return Fill(closure.instrument, -closure.contracts, closure.price_e10, order, failed, "sell")
