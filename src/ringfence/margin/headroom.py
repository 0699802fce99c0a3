"""How much room a bucket has: orders judged one after another against figures that were found once.

`trading.trade_verdict` is the rule: it values the bucket before and after, and says in words what is broken.
Nearly every order breaks nothing, and between two fills or prices nearly nothing of its bucket changes. So a
`Headroom` keeps the figures of one bucket at one set of prices, and `passes` finds what an order would leave
from its own position and coin alone, in the same whole numbers: it is true exactly where the rule gives no
reason. Words, and everything it refuses, are left to the rule.

Most orders are far from the edge, and one comparison shows it. Inside one bracket, c contracts more of a
linear position, at a limit L beside a mark M, cost at most

    c x size x (M x rate + L x fee + max(0, L - M for a buy, M - L for a sell))

where rate is the greater of maintenance and 1 / leverage, and less than `SLACK` units of rounding beside it.
An order that costs no more than what is free passes (`is_easy`); any other is asked exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ringfence.kernel.money import PPM, PRICE_SCALE, divide_up
from ringfence.margin.bucket import Bucket, RestingOrder
from ringfence.margin.calls import State
from ringfence.margin.health import Health, order_margin
from ringfence.margin.limits import LimitState, leverage_use
from ringfence.margin.marks import Prices
from ringfence.margin.rest import Rest, rest_of
from ringfence.margin.terms import Terms
from ringfence.margin.trading import IntendedFill, fill_loss, is_closing
from ringfence.policy.model import BucketLimits

SLACK: Final = 16
"""Units by which all the roundings of one order together stay below, in either direction."""


class OrderTerms(NamedTuple):
    """An order of one contract or more; side is 1 to buy and -1 to sell, index_e10 beside its limit."""

    instrument: str
    side: int
    contracts: int
    limit_e10: int
    index_e10: int


class Ease(NamedTuple):
    """What bounds the cost of orders in one direction, inside one bracket.

    closes: contracts that only make the position smaller; most: contracts until the next bracket (None: there
    is none); free, carried, loss_room: what they may cost, carry at the bucket's `leverage` (0: no limit) and
    lose, in units of the numeraire times PRICE_SCALE squared, the first two times PPM as well.
    """

    closes: int
    most: int | None = 0
    per_price: int = 0
    mark_e10: int = 0
    margin: int = 0
    fee_ppm: int = 0
    free: int = 0
    leverage: int = 0
    carried: int = 0
    loss_room: int | None = None

    def covers(self, order: OrderTerms) -> bool:
        """Say whether an order stays inside all of these."""
        _, side, contracts, limit_e10, index_e10 = order
        if contracts <= self.closes:
            return True
        if self.most is not None and contracts > self.most:
            return False
        size = contracts * self.per_price
        worse = max(0, side * (limit_e10 - self.mark_e10))
        paid = limit_e10 * self.fee_ppm + worse * PPM
        if size * (self.margin + paid) > self.free:
            return False
        if self.leverage and size * (self.mark_e10 * PPM + self.leverage * paid) > self.carried:
            return False
        return self.loss_room is None or size * max(0, side * (limit_e10 - index_e10)) <= self.loss_room


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
    _eases: dict[tuple[str, int], Ease] = field(default_factory=dict, repr=False)

    def is_easy(self, fill: OrderTerms) -> bool:
        """Say whether an order certainly passes, no other order standing; if not, ask `passes`."""
        key = fill.instrument, fill.side
        ease = self._eases.get(key)
        if ease is None:
            ease = self._eases[key] = self._ease(*key)
        return ease.covers(fill)

    def _ease(self, instrument: str, side: int) -> Ease:
        """Find what orders in one direction can cost without a doubt; nothing opens where that is no line."""
        rest = self._rest(instrument)
        contract, held = rest.contract, rest.position.contracts
        if held * side < 0:
            return Ease(closes=abs(held))
        if not self._may_open(instrument):
            return Ease(closes=0)
        if not contract.is_linear or not rest.is_numeraire or any(cut.ppm for cut in rest.coin.haircut):
            return Ease(closes=0)
        tiers = contract.tiers
        bracket = tiers.bracket(contract.notional(held, rest.mark_e10))
        rate_ppm = max(tiers.rates_ppm[bracket], divide_up(PPM, tiers.leverages[bracket]))
        if rate_ppm > PPM or not rest.coin.haircut:
            return Ease(closes=0)
        most = None
        if bracket + 1 < len(tiers.floors):
            below = (tiers.floors[bracket + 1] - 1) * PRICE_SCALE * PRICE_SCALE
            most = below // (contract.per_price * rest.mark_e10) - abs(held)
        figures, leverage = self.figures, self.limits.leverage or 0
        free = figures.equity - figures.initial - SLACK
        carried = leverage * (figures.equity - SLACK) - figures.gross_notional - SLACK
        scale = PRICE_SCALE * PRICE_SCALE * PPM
        return Ease(
            0,
            most,
            contract.per_price,
            rest.mark_e10,
            rest.mark_e10 * rate_ppm,
            max(0, contract.fees.taker_ppm),
            free * scale,
            leverage,
            carried * scale,
            self._loss_room(),
        )

    def _loss_room(self) -> int | None:
        """Return how much may still be lost today against the index, scaled; None without a limit."""
        if self.loss_allowed is None:
            return None
        left = self.loss_allowed - self.limit_state.day.lost(self.figures.equity)
        return (left - SLACK) * PRICE_SCALE * PRICE_SCALE

    def _rest(self, instrument: str) -> Rest:
        rest = self._rests.get(instrument)
        if rest is None:
            rest = rest_of(self.bucket, self.figures, instrument, self.prices, self.terms)
            self._rests[instrument] = rest
        return rest

    def passes(self, fill: IntendedFill, orders: Sequence[RestingOrder]) -> bool:
        """Say whether a fill breaks no rule of margin, the bucket's other orders standing.

        BadInput where the instrument has no terms or mark, or its quote no price.
        """
        rest = self._rest(fill.instrument)
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
