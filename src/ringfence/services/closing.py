"""The fills that close a bucket by force, written from margin's plan for whoever asks the book for them.

The risk loop of a single book and the service `risk` of a platform write the same ones; the book plans again
for itself and takes none that its own plan does not have.
"""

from typing import Literal

from ringfence.margin.bearing import deficit_on, pools_in, waterfall_of, winners_in
from ringfence.margin.liquidation import ClosingPlan, Closure
from ringfence.margin.marks import Prices
from ringfence.margin.takeover import Takeover
from ringfence.margin.terms import Terms
from ringfence.margin.waterfall import plan_waterfall
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import Closing, Fill, Order
from ringfence.planes.ledger.rules import Rules


def takeover_fills(rules: Rules, path: str, plan: ClosingPlan) -> tuple[Fill, ...]:
    """Let what a plan passes on go to the first pool of its bucket's waterfall, if it has one."""
    place = rules.place(path)
    fall = place.rule.waterfall if place is not None else None
    if fall is None or not fall.pools:
        return ()
    pool = fall.pools[0]
    return tuple(_passing(path, pool, row, row.contracts, "takeover") for row in plan.takeovers)


def deleveraging_fills(
    state: BookState, path: str, plan: ClosingPlan, prices: Prices, terms: Terms
) -> tuple[Fill, ...]:
    """Let winners of the class that the waterfall names take over what no pool could bear of a plan.

    Each gives up at most its profit, the cap of its equity and its contracts; what nobody bears stays open.
    """
    fall = waterfall_of(state, path)
    if fall is None:
        return ()
    found = []
    for row in plan.takeovers:
        deficit = deficit_on(path, row, terms)
        if deficit is None:
            continue
        quote = terms.contracts[row.instrument].quote
        winners = winners_in(state, fall, row, prices, terms)
        shares = plan_waterfall(fall, deficit, pools_in(state, fall, quote), winners).shares
        side = 1 if row.contracts > 0 else -1
        found += [
            _passing(path, share.bearer, row, side * share.contracts, "deleveraging")
            for share in shares
            if share.step == "deleverage" and share.contracts
        ]
    return tuple(found)


def _passing(
    path: str, bearer: str, row: Takeover, contracts: int, cause: Literal["takeover", "deleveraging"]
) -> Fill:
    failed, taker = Closing(path, cause), Closing(bearer, cause)
    if contracts > 0:
        return Fill(row.instrument, contracts, row.price_e10, taker, failed, "sell")
    return Fill(row.instrument, -contracts, row.price_e10, failed, taker, "buy")


def market_fill(path: str, closure: Closure, order: Order) -> Fill:
    """Close a position against an order of the market."""
    failed = Closing(path, "liquidation")
    if closure.contracts > 0:
        return Fill(closure.instrument, closure.contracts, closure.price_e10, failed, order, "buy")
    return Fill(closure.instrument, -closure.contracts, closure.price_e10, order, failed, "sell")
