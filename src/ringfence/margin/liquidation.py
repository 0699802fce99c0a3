"""Closing a bucket that is below its requirement: as little as restores it, all of it, or a takeover.

    1. Resting orders are gone first: they can only add risk.
    2. Positions are taken riskiest first: the largest maintenance requirement, by name among equals. Of each
       the smallest number of contracts is closed that brings equity back to `stop_at` of maintenance, after
       fees, penalty and the loss of closing at the price it would get; if no number does, all of it.
    3. If all positions are closed and equity is not negative, the bucket is closed out.
    4. If closing at those prices would leave equity negative, nothing is closed in the market: every position
       passes at its bankruptcy price, to the pool that takes over or to deleveraging (see `waterfall`).

The penalty goes to the bucket's own pool and is cut where it would cost more than the equity there is, so
that a penalty never makes a bucket bankrupt. The plan is data: which fills to make and what to charge.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from ringfence.kernel.money import PPM, PRICE_SCALE, divide_up, share_up
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import restored_ppm
from ringfence.margin.health import Health, PositionTerm, contract_of, health, price_of
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.rest import Rest, rest_of
from ringfence.margin.takeover import Takeover, takeovers
from ringfence.margin.terms import Terms

Outcome = Literal["healthy", "restored", "closed", "bankrupt"]


@dataclass(frozen=True, slots=True)
class Closure:
    """A forced fill: signed contracts as the bucket trades them (a long sells: negative), at a price.

    fee and penalty are units of the quote.
    """

    instrument: str
    contracts: int
    price_e10: int
    fee: int
    penalty: int


@dataclass(frozen=True, slots=True)
class Liquidation:
    """What to do with a bucket: closures in order, or takeovers, and the bucket it leaves.

    before, after: the figures without resting orders, and those the plan leaves.
    """

    outcome: Outcome
    closures: tuple[Closure, ...]
    takeovers: tuple[Takeover, ...]
    before: Health
    bucket: Bucket
    after: Health


class ClosingPlan(NamedTuple):
    """The forced fills of a bucket in order, or takeovers, and the bucket they leave."""

    closures: tuple[Closure, ...]
    takeovers: tuple[Takeover, ...]
    bucket: Bucket


def plan_liquidation(
    bucket: Bucket, prices: Prices, terms: Terms, execution_e10: Mapping[str, int]
) -> Liquidation:
    """Plan the closing of a bucket and say what it leads to.

    execution_e10: the price, on the tick, that closing each instrument would get now (mark and slippage).
    A bucket that is healthy again without its orders is left alone.
    """
    bucket = replace(bucket, orders=())
    before = health(bucket, prices, terms)
    plan = plan_closing(bucket, before, prices, terms, execution_e10)
    after = health(plan.bucket, prices, terms)
    outcome: Outcome = "closed"
    if before.is_at_least(_target_ppm(before, terms)):
        outcome = "healthy"
    elif plan.takeovers or after.is_bankrupt:
        outcome = "bankrupt"
    elif _is_open(after):
        outcome = "restored"
    return Liquidation(outcome, plan.closures, plan.takeovers, before, plan.bucket, after)


def plan_closing(
    bucket: Bucket, before: Health, prices: Prices, terms: Terms, execution_e10: Mapping[str, int]
) -> ClosingPlan:
    """Plan the closing of a bucket without resting orders whose figures are known.

    before: its figures at these prices; execution_e10: as for `plan_liquidation`.
    """
    target_ppm = _target_ppm(before, terms)
    if before.is_at_least(target_ppm):
        return ClosingPlan((), (), bucket)
    closures, left, is_restored = _close_in_order(bucket, before, prices, terms, execution_e10, target_ppm)
    if is_restored:
        return ClosingPlan(closures, (), left)
    closures, left = _spare_penalties(closures, left, prices, terms)
    if health(left, prices, terms).is_bankrupt and _is_open(before):
        return _take_over(bucket, before, prices, terms)
    return ClosingPlan(closures, (), left)


def _target_ppm(before: Health, terms: Terms) -> int:
    """Return the level of maintenance at which the closing stops; without thresholds, maintenance itself."""
    if terms.thresholds is None:
        return PPM
    return restored_ppm(before.equity, before.maintenance, terms.thresholds)


def _is_open(figures: Health) -> bool:
    return any(row.contracts for row in figures.positions)


def riskiest_first(figures: Health) -> tuple[PositionTerm, ...]:
    """Order open positions: the largest maintenance requirement first, by name among equals."""
    rows = (row for row in figures.positions if row.contracts)
    return tuple(sorted(rows, key=lambda row: (-row.maintenance, row.instrument)))


# --- closing in the market ---------------------------------------------------------------------


def _close_in_order(
    bucket: Bucket,
    before: Health,
    prices: Prices,
    terms: Terms,
    execution_e10: Mapping[str, int],
    target_ppm: int,
) -> tuple[tuple[Closure, ...], Bucket, bool]:
    closures: list[Closure] = []
    for row in riskiest_first(before):
        contract = contract_of(terms, row.instrument)
        price_e10 = execution_e10[row.instrument]
        figures = health(bucket, prices, terms) if closures else before
        rest = rest_of(bucket, figures, row.instrument, prices, terms)
        contracts = fewest_contracts(rest, price_e10, target_ppm)
        closure = closing(bucket, contract, contracts or abs(row.contracts), price_e10)
        closures.append(closure)
        bucket = after_closure(bucket, contract, closure)
        if contracts is not None:
            return tuple(closures), bucket, True
    return tuple(closures), bucket, False


def fewest_contracts(rest: Rest, price_e10: int, target_ppm: int) -> int | None:
    """Return the smallest number of contracts whose closing restores a bucket; None where none does.

    rest: the bucket beside the position; target_ppm: the level of maintenance that equity must reach.
    Within a bracket of the position that remains, equity less the requirement is a straight line in the
    number closed; so each bracket is searched by itself, from the top down.
    """
    contract, held = rest.contract, rest.position.contracts
    side = -1 if held > 0 else 1

    def surplus(contracts: int) -> int:
        cost = sum(charges(contract, contracts, price_e10))
        figures = rest.after(side * contracts, price_e10, cost)
        return figures.equity * PPM - figures.maintenance * target_ppm

    for first, last in _stretches(contract, abs(held), rest.mark_e10):
        low, high = surplus(first), surplus(last)
        if low >= 0:
            return first
        if high >= 0:
            return _first_restored(surplus, (first, low), (last, high))
    return None


def _stretches(contract: Contract, held: int, mark_e10: int) -> list[tuple[int, int]]:
    """List the numbers of contracts to close, 1 to all, by the bracket of what remains."""
    numerator, denominator = contract.ratio(1, mark_e10)
    stretches = []
    first = 1
    for floor in reversed(contract.tiers.floors):
        # The most that remains at or above the floor is closed by this many contracts.
        fewest_held = divide_up((floor - 1) * denominator + 1, abs(numerator)) if floor else 0
        last = held - fewest_held
        if last >= first:
            stretches.append((first, last))
            first = last + 1
    return stretches


def _first_restored(surplus: Callable[[int], int], low: tuple[int, int], high: tuple[int, int]) -> int:
    """Return the first number whose surplus is not negative, between one below zero and one that is not.

    The line between the two points is nearly always the answer, or one off; every third guess halves, so that
    a kink on the way costs little.
    """
    turn = 0
    while high[0] - low[0] > 1:
        turn += 1
        guess = (low[0] + high[0]) // 2
        if turn % 3:
            guess = low[0] + divide_up(-low[1] * (high[0] - low[0]), high[1] - low[1])
        guess = min(max(guess, low[0] + 1), high[0] - 1)
        found = guess, surplus(guess)
        if found[1] >= 0:
            high = found
        else:
            low = found
    return high[0]


def closing(bucket: Bucket, contract: Contract, contracts: int, price_e10: int) -> Closure:
    """Describe closing a positive number of contracts of a position, with its fee and full penalty."""
    side = -1 if bucket.position(contract.name).contracts > 0 else 1
    fee, penalty = charges(contract, contracts, price_e10)
    return Closure(contract.name, side * contracts, price_e10, fee, penalty)


def charges(contract: Contract, contracts: int, price_e10: int) -> tuple[int, int]:
    """Return the fee and the full penalty of closing contracts at a price, in units of the quote."""
    notional = contract.notional(contracts, price_e10)
    fees = contract.fees
    return share_up(notional, max(0, fees.taker_ppm)), share_up(notional, fees.liquidation_ppm)


def after_closure(bucket: Bucket, contract: Contract, closure: Closure) -> Bucket:
    """Return the bucket after a forced fill, its fee and its penalty."""
    filled = bucket.filled(contract, closure.contracts, closure.price_e10)
    return filled.with_balance(contract.quote, -closure.fee - closure.penalty)


# --- penalties that would cost too much --------------------------------------------------------


def _spare_penalties(
    closures: tuple[Closure, ...], left: Bucket, prices: Prices, terms: Terms
) -> tuple[tuple[Closure, ...], Bucket]:
    """Cut penalties, the last one first, until equity is not negative or no penalty is left."""
    spared = list(closures)
    for number in range(len(spared) - 1, -1, -1):
        missing = -health(left, prices, terms).equity
        if missing <= 0:
            break
        closure = spared[number]
        quote = contract_of(terms, closure.instrument).quote
        returned = min(closure.penalty, _in_quote_up(missing, quote, prices, terms))
        spared[number] = replace(closure, penalty=closure.penalty - returned)
        left = left.with_balance(quote, returned)
    return tuple(spared), left


def _in_quote_up(units: int, quote: str, prices: Prices, terms: Terms) -> int:
    if quote == terms.numeraire:
        return units
    coin = terms.coins[quote]
    price_e10 = price_of(coin, prices, terms)
    return divide_up(units * PRICE_SCALE * 10**coin.decimals, price_e10 * 10**terms.decimals)


# --- takeover ----------------------------------------------------------------------------------


def _take_over(bucket: Bucket, before: Health, prices: Prices, terms: Terms) -> ClosingPlan:
    passed = takeovers(before, prices, terms)
    for row in passed:
        bucket = bucket.filled(contract_of(terms, row.instrument), -row.contracts, row.price_e10)
    return ClosingPlan((), passed, bucket)
