"""How much room a bucket has: orders judged one after another against figures that were found once.

`trading.trade_verdict` is the rule: it values the bucket before and after, and says in words what is broken.
Nearly every order breaks nothing, and between two fills or prices nearly nothing of its bucket changes. So a
`Headroom` keeps the figures of one bucket at one set of prices, and `passes` finds what an order would leave
from its own position and coin alone, in the same whole numbers: it is true exactly where the rule gives no
reason. Words, and everything it refuses, are left to the rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ringfence.margin.bucket import Bucket, RestingOrder
from ringfence.margin.calls import State
from ringfence.margin.health import Health, order_margin
from ringfence.margin.limits import LimitState, leverage_use
from ringfence.margin.marks import Prices
from ringfence.margin.rest import Rest, rest_of
from ringfence.margin.terms import Terms
from ringfence.margin.trading import IntendedFill, fill_loss, is_closing
from ringfence.policy.model import BucketLimits


@dataclass(frozen=True, slots=True)
class Headroom:
    """A bucket at some prices, with what is asked of every order in it; arguments as for `trade_verdict`.

    bucket: without resting orders; figures: its own at these prices.
    """

    bucket: Bucket
    figures: Health
    prices: Prices
    terms: Terms
    state: State
    limits: BucketLimits
    limit_state: LimitState
    loss_allowed: int | None
    _rests: dict[str, Rest] = field(default_factory=dict, repr=False)

    def passes(self, fill: IntendedFill, orders: Sequence[RestingOrder]) -> bool:
        """Say whether a fill breaks no rule of margin, the bucket's other orders standing.

        BadInput where the instrument has no terms or mark, or its quote no price.
        """
        rest = self._rests.get(fill.instrument)
        if rest is None:
            rest = rest_of(self.bucket, self.figures, fill.instrument, self.prices, self.terms)
            self._rests[fill.instrument] = rest
        if is_closing(rest.position.contracts, fill.contracts):
            return True
        return self._may_open(fill.instrument) and self._is_covered(rest, fill, orders)

    def _may_open(self, instrument: str) -> bool:
        if self.state >= State.REDUCE_ONLY or self.limit_state.is_tripped:
            return False
        others = (position for position in self.bucket.positions if position.instrument != instrument)
        return self.bucket.mode != "isolated" or not any(position.contracts for position in others)

    def _is_covered(self, rest: Rest, fill: IntendedFill, orders: Sequence[RestingOrder]) -> bool:
        after = rest.after(fill.contracts, fill.price_e10, fill.fee)
        free = after.equity - after.initial
        if orders and free >= 0:
            filled = self.bucket.filled(rest.contract, fill.contracts, fill.price_e10)
            standing = Bucket(filled.mode, filled.balances, filled.positions, tuple(orders))
            free -= order_margin(standing, self.prices, self.terms)
        if free < 0:
            return False
        if self.limits.leverage is not None:
            used, allowed = leverage_use(after.gross_notional, after.equity, self.limits.leverage)
            if used > allowed:
                return False
        if self.loss_allowed is None:
            return True
        loss = fill_loss(fill, self.prices, self.terms)
        return self.limit_state.day.lost_with(self.figures.equity, loss) <= self.loss_allowed
