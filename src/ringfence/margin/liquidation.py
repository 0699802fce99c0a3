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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ringfence.kernel.money import PPM, PRICE_SCALE, divide_up, share_up
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import restored_ppm
from ringfence.margin.health import Health, PositionTerm, contract_of, health, price_of
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
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


def plan_liquidation(
    bucket: Bucket, prices: Prices, terms: Terms, execution_e10: Mapping[str, int]
) -> Liquidation:
    """Plan the closing of a bucket.

    execution_e10: the price, on the tick, that closing each instrument would get now (mark and slippage).
    A bucket that is healthy again without its orders is left alone.
    """
    bucket = replace(bucket, orders=())
    before = health(bucket, prices, terms)
    target_ppm = _target_ppm(before, terms)
    if before.is_at_least(target_ppm):
        return Liquidation("healthy", (), (), before, bucket, before)
    order = riskiest_first(before)
    closures, left, is_restored = _close_in_order(bucket, order, prices, terms, execution_e10, target_ppm)
    if not is_restored:
        closures, left = _spare_penalties(closures, left, prices, terms)
    after = health(left, prices, terms)
    if after.is_bankrupt and _is_open(before):
        return _take_over(bucket, before, prices, terms)
    outcome: Outcome = "bankrupt" if after.is_bankrupt else "restored" if _is_open(after) else "closed"
    return Liquidation(outcome, closures, (), before, left, after)


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
    order: Sequence[PositionTerm],
    prices: Prices,
    terms: Terms,
    execution_e10: Mapping[str, int],
    target_ppm: int,
) -> tuple[tuple[Closure, ...], Bucket, bool]:
    closures: list[Closure] = []
    for row in order:
        contract = contract_of(terms, row.instrument)
        price_e10 = execution_e10[row.instrument]
        contracts = fewest_contracts(bucket, contract, price_e10, prices, terms, target_ppm)
        closure = closing(bucket, contract, contracts or abs(row.contracts), price_e10)
        closures.append(closure)
        bucket = after_closure(bucket, contract, closure)
        if contracts is not None:
            return tuple(closures), bucket, True
    return tuple(closures), bucket, False


def fewest_contracts(
    bucket: Bucket, contract: Contract, price_e10: int, prices: Prices, terms: Terms, target_ppm: int
) -> int | None:
    """Return the smallest number of contracts whose closing restores the bucket; None where none does.

    target_ppm: the level of maintenance that equity must reach.
    Within a bracket of the position that remains, equity less the requirement is a straight line in the
    number closed; so each bracket is searched by itself, from the top down.
    """
    held = abs(bucket.position(contract.name).contracts)

    def surplus(contracts: int) -> int:
        closure = closing(bucket, contract, contracts, price_e10)
        figures = health(after_closure(bucket, contract, closure), prices, terms)
        return figures.equity * PPM - figures.maintenance * target_ppm

    for first, last in _stretches(contract, held, prices.mark(contract.name)):
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
    notional = contract.notional(contracts, price_e10)
    return Closure(
        instrument=contract.name,
        contracts=side * contracts,
        price_e10=price_e10,
        fee=share_up(notional, max(0, contract.fees.taker_ppm)),
        penalty=share_up(notional, contract.fees.liquidation_ppm),
    )


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


def _take_over(bucket: Bucket, before: Health, prices: Prices, terms: Terms) -> Liquidation:
    passed = takeovers(before, prices, terms)
    left = bucket
    for row in passed:
        left = left.filled(contract_of(terms, row.instrument), -row.contracts, row.price_e10)
    return Liquidation("bankrupt", (), passed, before, left, health(left, prices, terms))
