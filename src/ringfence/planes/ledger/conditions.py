"""What margin says about a request before the ledger decides it: facts computed above this plane.

The ledger recomputes nothing of margin; it is given the outcome and refuses where a fact that a gate needs
is absent. The service computes the facts from the same book and prices, so a replay gives the same ones.
"""

from typing import Final

import msgspec

from ringfence.planes.ledger.operations import Record


class ClosingFact(Record, frozen=True):
    """How far one position may be closed by force: up to `contracts`; at exactly `price_e10` unless 0.

    A takeover or deleveraging states the bankruptcy price on the side of the bucket that failed. penalty_max:
    the most that a liquidation may take as its penalty, in units of the quote (None: all that is stated, and
    beside a price no liquidation at all).
    """

    contracts: int
    price_e10: int = 0
    penalty_max: int | None = None

    def less(self, contracts: int, penalty: int) -> "ClosingFact":
        """Return what is left of it after so much of it was used."""
        left = None if self.penalty_max is None else max(0, self.penalty_max - penalty)
        return ClosingFact(self.contracts - contracts, self.price_e10, left)


class Conditions(Record, frozen=True):
    """Facts for one request.

    releasable: units that may leave, by compartment and asset; trade: by bucket, 0 where margin allows the
    bucket's fills of this request as a whole, else the number of the `Reason` against them; closing: by
    bucket and instrument, what may be closed by force; lacking: units of an asset that would bring a bucket
    back over its warning level, by bucket and asset.
    """

    releasable: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    trade: dict[str, int] = msgspec.field(default_factory=dict)
    closing: dict[str, dict[str, ClosingFact]] = msgspec.field(default_factory=dict)
    lacking: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)


NO_CONDITIONS: Final = Conditions()
