"""One bucket as margin sees it: what it holds, owes, has open and has offered. Nothing from outside its wall.

`isolated`: the bucket is the position's own wall, so it holds one instrument at a time (a second one is
refused before the fill: see `limits.trade_verdict`). `cross`: several instruments share its collateral. The
arithmetic of `health` is the same for both; what differs is what may be opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ringfence.margin.instruments import Contract

Mode = Literal["isolated", "cross"]


@dataclass(frozen=True, slots=True)
class Position:
    """Signed contracts of one instrument and their session value in quote units (design: settlement).

    A position closed since the last settlement has 0 contracts and still carries what it realised.
    """

    instrument: str
    contracts: int
    session_value: int


@dataclass(frozen=True, slots=True)
class RestingOrder:
    """An order that may still fill: signed contracts (positive buys) at a limit price."""

    instrument: str
    contracts: int
    limit_e10: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket's own facts. `balances` holds coins and debt assets (positive: that much is owed)."""

    mode: Mode
    balances: Mapping[str, int]
    positions: tuple[Position, ...] = ()
    orders: tuple[RestingOrder, ...] = ()

    def position(self, instrument: str) -> Position:
        """Return the position in an instrument; one without contracts where there is none."""
        for position in self.positions:
            if position.instrument == instrument:
                return position
        return Position(instrument, 0, 0)

    def with_balance(self, asset: str, change_units: int) -> "Bucket":
        """Return the bucket with one balance changed."""
        units = self.balances.get(asset, 0) + change_units
        return Bucket(self.mode, {**self.balances, asset: units}, self.positions, self.orders)

    def with_position(self, changed: Position) -> "Bucket":
        """Return the bucket with one position put in place of the one in the same instrument."""
        positions = tuple(changed if p.instrument == changed.instrument else p for p in self.positions)
        if changed not in positions:
            positions = (*positions, changed)
        return Bucket(self.mode, self.balances, positions, self.orders)

    def filled(self, contract: Contract, contracts: int, price_e10: int) -> "Bucket":
        """Return the bucket after buying (positive) or selling `contracts` at a price, before any fee.

        The session value grows by the value that the ledger books for the fill.
        """
        before = self.position(contract.name)
        return self.with_position(
            Position(
                contract.name,
                before.contracts + contracts,
                before.session_value + contract.booked_value(contracts, price_e10),
            )
        )
