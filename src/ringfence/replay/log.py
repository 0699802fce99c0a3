"""What a compiled replay writes down: rows of eight numbers, and running totals by name.

A row is (kind, price point, a, b, c, d, e, f). Holders of contracts are units, or pools as -1 - compartment.

    CLOSE      the forced closing of unit a begins
    FILL       a cause, b seller, c buyer, d instrument, e contracts, f ticks
    SETTLE     a instrument: it settles; all that settle together come one after the other
    FUND       a instrument: funding of one interval comes with the settlement that begins next
    PAY        a compartment pays d into clearing
    RECEIVE    a compartment is paid d out of clearing
    SELL       unit a sells e quanta of coin c to the last owner for d
    COVER      compartment b pays d for unit a
    LEND       the last owner pays d for unit a, which owes it
    BACK       the last owner b pays d for pool a
    RESIDUE    d is left to rounding
    FEE        unit a pays d to compartment b
    PENALTY    unit a pays d to compartment b
    FEED       compartment a gives d to compartment b through gate c of the world's feeds
"""

from enum import IntEnum

from ringfence.replay.exact import compiled
from ringfence.replay.world import World


class Row(IntEnum):
    """The kind of a row."""

    FILL = 0
    SETTLE = 1
    FUND = 2
    PAY = 3
    RECEIVE = 4
    SELL = 5
    COVER = 6
    LEND = 7
    BACK = 8
    RESIDUE = 9
    FEE = 10
    PENALTY = 11
    FEED = 12
    CLOSE = 13


class Cause(IntEnum):
    """Why a position was closed by force."""

    LIQUIDATION = 1
    TAKEOVER = 2
    DELEVERAGING = 3


class Tally(IntEnum):
    """Totals of a run in quote units, or counts."""

    POOL_PAID = 0
    PROFIT_FORGONE = 1
    LAST_PAID = 2
    SLIPPAGE = 3
    PENALTIES = 4
    FEES = 5
    COLLATERAL_SOLD = 6
    SALE_COST = 7
    FORCED_FILLS = 8
    UNFILLED = 9


FILL, SETTLE, FUND, PAY, RECEIVE = (
    int(Row.FILL),
    int(Row.SETTLE),
    int(Row.FUND),
    int(Row.PAY),
    int(Row.RECEIVE),
)
SELL, COVER, LEND, BACK = int(Row.SELL), int(Row.COVER), int(Row.LEND), int(Row.BACK)
RESIDUE, FEE, PENALTY, CLOSE = int(Row.RESIDUE), int(Row.FEE), int(Row.PENALTY), int(Row.CLOSE)
LIQUIDATION, TAKEOVER, DELEVERAGING = int(Cause.LIQUIDATION), int(Cause.TAKEOVER), int(Cause.DELEVERAGING)
POOL_PAID, PROFIT_FORGONE, LAST_PAID = int(Tally.POOL_PAID), int(Tally.PROFIT_FORGONE), int(Tally.LAST_PAID)
SLIPPAGE, PENALTIES, FEES = int(Tally.SLIPPAGE), int(Tally.PENALTIES), int(Tally.FEES)
COLLATERAL_SOLD, SALE_COST = int(Tally.COLLATERAL_SOLD), int(Tally.SALE_COST)
FORCED_FILLS, UNFILLED = int(Tally.FORCED_FILLS), int(Tally.UNFILLED)
"""The same numbers as plain integers: what a compiled function can take in as constants."""


@compiled
def note(world: World, kind: int, point: int, a: int, b: int, c: int, d: int, e: int, f: int) -> None:
    """Write one row down, if a log is kept and has room; count it in any case."""
    row = world.logged[0]
    if row < len(world.log):
        world.log[row, 0], world.log[row, 1], world.log[row, 2], world.log[row, 3] = kind, point, a, b
        world.log[row, 4], world.log[row, 5], world.log[row, 6], world.log[row, 7] = c, d, e, f
    world.logged[0] = row + 1
