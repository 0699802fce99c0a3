"""Who bears what a bucket cannot pay: the order that the policy wrote, and nobody else.

    own          the bucket, with what it has
    cover        a pool, as far as it holds coins and the limit of its gate has room
    deleverage   winners of the declared class give up profit: each at most its profit, at most `cap` of its
                 equity, and at most its contracts; `pro_rata` to profit by largest remainder, or a `queue`
                 by profit over entry times leverage, the highest first
    last         the last owner bears the rest and holds the bucket's debt for it

A deficit on open contracts is borne in contracts: each one passed on at the bankruptcy price is worth
`lot_units` of it. What is no whole contract goes on to the last owner. The parts add up to the deficit to the
last unit, whatever the facts. The plan says who bears what; the ledger moves it (takeover and deleveraging
are fills at the bankruptcy price, cover and last are transfers to clearing).

Deleveraging is a channel between clients. So each share says what it took from them: the profit forgone and
the delta left naked, the contracts that a hedge is out of balance by afterwards.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

from ringfence.kernel.money import UNITS_MAX, apportion, share_down
from ringfence.policy.model import CoverStep, DeleverageStep, OwnStep, Waterfall

NOBODY: Final = "nobody"
"""The bearer of what is left where a policy names no last owner: a finding, and an unbalanced clearing."""


@dataclass(frozen=True, slots=True)
class Deficit:
    """What a bucket lacks, in units of one coin.

    contracts: still open and to be passed on at the bankruptcy price (0: only coins are missing);
    lot_units: what passing on one of them bears, at least 1; own_units: what the bucket can still pay.
    """

    bucket: str
    units: int
    own_units: int = 0
    contracts: int = 0
    lot_units: int = 1


@dataclass(frozen=True, slots=True)
class PoolFacts:
    """What a pool holds of the coin, and the room its gate to clearing has now."""

    units: int
    room_units: int = UNITS_MAX


@dataclass(frozen=True, slots=True)
class WinnerFacts:
    """A bucket on the other side of the failed position, in units of the coin.

    pattern: its compartment family; contracts: signed; profit: session profit in the instrument; equity: of
    the bucket; notional and entry: size of the position at the mark and at its session value; net_contracts:
    the delta of the whole bucket in contracts of this instrument (0 where it is hedged).
    """

    bucket: str
    pattern: str
    contracts: int
    profit: int
    equity: int
    notional: int
    entry: int
    net_contracts: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one bearer bears: units of the coin, contracts that pass to it, contracts of delta left naked."""

    step: Literal["own", "cover", "deleverage", "last"]
    bearer: str
    units: int
    contracts: int = 0
    naked_contracts: int = 0


@dataclass(frozen=True, slots=True)
class WaterfallPlan:
    """Every share in order; `debt_units` of the asset `record` are issued by the last owner to the bucket."""

    deficit: Deficit
    shares: tuple[Share, ...]
    record: str | None
    debt_units: int

    def borne_by(self, step: str) -> int:
        """Add up what one step bears."""
        return sum(share.units for share in self.shares if share.step == step)

    @property
    def profit_forgone(self) -> int:
        """What winners gave up."""
        return self.borne_by("deleverage")

    @property
    def naked_contracts(self) -> int:
        """Contracts of delta that deleveraging left without their hedge."""
        return sum(share.naked_contracts for share in self.shares)

    @property
    def unowned_units(self) -> int:
        """What nobody bears, because the policy names no last owner."""
        return sum(share.units for share in self.shares if share.bearer == NOBODY)


def plan_waterfall(
    waterfall: Waterfall,
    deficit: Deficit,
    pools: Mapping[str, PoolFacts],
    winners: Sequence[WinnerFacts] = (),
    debt_room_units: int = UNITS_MAX,
) -> WaterfallPlan:
    """Divide a deficit over the steps of its waterfall.

    pools: by compartment, a missing one holds nothing; debt_room_units: until the bucket's debt cap.
    """
    left, open_contracts = deficit.units, deficit.contracts
    shares: list[Share] = []
    for step in waterfall.steps:
        match step:
            case OwnStep():
                added = [Share("own", deficit.bucket, min(left, max(0, deficit.own_units)))]
            case CoverStep():
                added = [_cover(step, deficit, pools, left, open_contracts)]
            case DeleverageStep():
                added = _deleverage(step, deficit, winners, left, open_contracts)
        shares += [share for share in added if share.units]
        left -= sum(share.units for share in added)
        open_contracts -= sum(share.contracts for share in added)
    if left:
        shares.append(Share("last", waterfall.last or NOBODY, left, open_contracts))
    debt_units = min(left, debt_room_units) if waterfall.last and waterfall.record else 0
    return WaterfallPlan(deficit, tuple(shares), waterfall.record, debt_units)


def _cover(
    step: CoverStep, deficit: Deficit, pools: Mapping[str, PoolFacts], left: int, open_contracts: int
) -> Share:
    pool = pools.get(step.compartment, PoolFacts(0))
    units = max(0, min(left, pool.units, pool.room_units))
    return Share("cover", step.compartment, units, min(open_contracts, units // deficit.lot_units))


# --- deleveraging ------------------------------------------------------------------------------


def _deleverage(
    step: DeleverageStep, deficit: Deficit, winners: Iterable[WinnerFacts], left: int, open_contracts: int
) -> list[Share]:
    able = sorted(
        (winner for winner in winners if winner.pattern in step.classes and winner.profit > 0),
        key=_queue_order if step.method == "queue" else _name_order,
    )
    in_contracts = deficit.contracts > 0
    lot_units = deficit.lot_units if in_contracts else 1
    rooms = [_lots_at_most(winner, step.cap_ppm, lot_units, in_contracts=in_contracts) for winner in able]
    lots = min(left // lot_units, open_contracts) if in_contracts else left
    if step.method == "queue":
        parts = _in_turn(lots, rooms)
    else:
        parts = apportion_capped(lots, [winner.profit for winner in able], rooms)
    return [
        _given_up(winner, part, lot_units, in_contracts=in_contracts)
        for winner, part in zip(able, parts, strict=True)
    ]


def _lots_at_most(winner: WinnerFacts, cap_ppm: int, lot_units: int, *, in_contracts: bool) -> int:
    units = min(winner.profit, share_down(max(0, winner.equity), cap_ppm))
    lots = units // lot_units
    return min(lots, abs(winner.contracts)) if in_contracts else lots


def _given_up(winner: WinnerFacts, lots: int, lot_units: int, *, in_contracts: bool) -> Share:
    contracts = lots if in_contracts else 0
    sign = 1 if winner.contracts > 0 else -1
    net_after = winner.net_contracts - sign * contracts
    naked = max(0, abs(net_after) - abs(winner.net_contracts))
    return Share("deleverage", winner.bucket, lots * lot_units, contracts, naked)


def _name_order(winner: WinnerFacts) -> str:
    return winner.bucket


def _queue_order(winner: WinnerFacts) -> tuple[Fraction, str]:
    """Rank winners by profit over entry times notional over equity, highest first, then by name."""
    by_profit = Fraction(winner.profit, max(1, abs(winner.entry)))
    return -by_profit * Fraction(winner.notional, max(1, winner.equity)), winner.bucket


def _in_turn(total: int, rooms: Sequence[int]) -> list[int]:
    parts = []
    for room in rooms:
        parts.append(min(total, room))
        total -= parts[-1]
    return parts


def apportion_capped(total: int, weights: Sequence[int], caps: Sequence[int]) -> list[int]:
    """Split a total by positive weights, no part over its cap, as much of the total as the caps let through.

    Whoever would pass its cap gives exactly its cap, and the rest is split again over the others.
    """
    parts = [0] * len(weights)
    within = [index for index, cap in enumerate(caps) if cap > 0]
    while total and within:
        shares = apportion(total, [weights[index] for index in within])
        full = [index for index, part in zip(within, shares, strict=True) if part >= caps[index]]
        if not full:
            for index, part in zip(within, shares, strict=True):
                parts[index] = part
            return parts
        for index in full:
            parts[index] = caps[index]
            total -= caps[index]
        within = [index for index in within if index not in set(full)]
    return parts
