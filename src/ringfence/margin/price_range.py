"""Liquidation and bankruptcy price: between which marks a bucket stays healthy, or solvent.

    surplus(price) = equity - level x maintenance - closing fee

with level `liquidate` for the liquidation price and 0 for the bankruptcy price. Everything the bucket holds
counts: other positions, their maintenance, coins, haircuts, debts. Written over `scale` = price / mark, each
term is piecewise linear: a linear contract gains with the scale, an inverse one times the price of its coin
does too, and kinks stand only where a notional passes a bracket floor or a coin passes a haircut floor. So
the exact edges are found by one scan over the kinks, with the bracket that holds at the answer, not the one
that holds now. Rising bracket rates and haircuts make the surplus concave: the healthy prices are one range.

The exact edge is then moved to the price tick by asking the rule itself (`health`), whole units and all: at
the price returned the bucket is healthy, one tick outside it is not.

What moves: with `underlying`, every instrument on the same underlying and that coin move by the same factor
(what a crash does); with `instrument`, this instrument alone (what venues publish). The coin that an inverse
instrument settles in always moves with it, since the mark is its price.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Final, Literal

from ringfence.kernel.money import PPM, PRICE_SCALE, share_up
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.collateral import Coin
from ringfence.margin.health import contract_of, debts_of, health, in_numeraire_up, price_of
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms

Moves = Literal["underlying", "instrument"]

TICKS_MAX: Final = 2**200
"""A search for a price ends here."""

NO_TICK: Final = 0
"""No price: the first is one tick."""


@dataclass(frozen=True, slots=True)
class PriceRange:
    """The marks between which a bucket is healthy (or solvent), both ends included, at PRICE_SCALE.

    below is None where no fall of the price ends it, above where no rise does. A long has its liquidation
    price at `below`, a short at `above`.
    """

    below: int | None
    above: int | None


@dataclass(frozen=True, slots=True)
class ExactRange:
    """The same range without rounding: prices as fractions, in units of 1 / PRICE_SCALE."""

    below: Fraction | None
    above: Fraction | None


@dataclass(frozen=True, slots=True)
class _Question:
    """One bucket, the instrument whose price is asked for, and what moves with it."""

    bucket: Bucket
    contract: Contract
    prices: Prices
    terms: Terms
    level_ppm: int
    fee_ppm: int
    moving: frozenset[str]
    moving_coins: frozenset[str]


def liquidation_range(
    bucket: Bucket,
    instrument: str,
    prices: Prices,
    terms: Terms,
    *,
    fee_ppm: int = 0,
    moves: Moves = "underlying",
) -> PriceRange | None:
    """Return the marks between which the bucket is not liquidated; None where there are none.

    fee_ppm: a closing fee on the notional of what moves, which must be left beside the requirement.
    """
    level_ppm = PPM if terms.thresholds is None else terms.thresholds.liquidate_ppm
    return _on_ticks(_question(bucket, instrument, prices, terms, level_ppm, fee_ppm, moves))


def bankruptcy_range(
    bucket: Bucket,
    instrument: str,
    prices: Prices,
    terms: Terms,
    *,
    fee_ppm: int = 0,
    moves: Moves = "underlying",
) -> PriceRange | None:
    """Return the marks between which the bucket's equity is at least 0; None where there are none."""
    return _on_ticks(_question(bucket, instrument, prices, terms, 0, fee_ppm, moves))


def exact_range(
    bucket: Bucket,
    instrument: str,
    prices: Prices,
    terms: Terms,
    *,
    level_ppm: int,
    fee_ppm: int = 0,
    moves: Moves = "underlying",
) -> ExactRange | None:
    """Return the range at a level of maintenance without rounding; None where it is empty."""
    question = _question(bucket, instrument, prices, terms, level_ppm, fee_ppm, moves)
    found = _scale_range(question)
    if found is None:
        return None
    mark_e10 = prices.mark(instrument)
    return ExactRange(*(None if scale is None else scale * mark_e10 for scale in found))


def _question(
    bucket: Bucket,
    instrument: str,
    prices: Prices,
    terms: Terms,
    level_ppm: int,
    fee_ppm: int,
    moves: Moves,
) -> _Question:
    contract = contract_of(terms, instrument)
    moving, coins = {instrument}, set()
    if moves == "underlying":
        held = [contract_of(terms, position.instrument) for position in bucket.positions]
        moving |= {other.name for other in held if other.underlying == contract.underlying}
        coins |= {contract.underlying} & terms.coins.keys()
    coins |= {terms.contracts[name].quote for name in moving if not terms.contracts[name].is_linear}
    coins.discard(terms.numeraire)
    return _Question(bucket, contract, prices, terms, level_ppm, fee_ppm, frozenset(moving), frozenset(coins))


# --- the exact surplus, without rounding -------------------------------------------------------


def _surplus(question: _Question, scale: Fraction) -> Fraction:
    """Return equity less what is required at a scale of the price, in numeraire units, unrounded."""
    total = Fraction(0)
    for coin in _coins(question):
        price = _coin_price(question, coin, scale)
        total += _counted(_net(question, coin.name, scale), coin) * price
    for position, contract in _open_positions(question):
        notional = _notional(question, position, contract, scale)
        price = _coin_price(question, question.terms.coins[contract.quote], scale)
        total -= (question.level_ppm * _maintenance(contract, notional) / PPM) * price
        if position.instrument in question.moving:
            total -= Fraction(question.fee_ppm, PPM) * notional * price
    return total


def _open_positions(question: _Question) -> Iterator[tuple[Position, Contract]]:
    for position in question.bucket.positions:
        if position.contracts:
            yield position, contract_of(question.terms, position.instrument)


def _coins(question: _Question) -> list[Coin]:
    """List the coins that the bucket holds, owes or earns, in a fixed order."""
    terms, bucket = question.terms, question.bucket
    quotes = [contract_of(terms, position.instrument).quote for position in bucket.positions]
    names = dict.fromkeys((*bucket.balances, *debts_of(bucket, terms), *quotes))
    return [terms.coins[name] for name in names if name in terms.coins]


def _coin_price(question: _Question, coin: Coin, scale: Fraction) -> Fraction:
    """Return numeraire units per unit of a coin at a scale of the price."""
    terms = question.terms
    if coin.priced_as != terms.numeraire and coin.priced_as not in question.prices.assets:
        return Fraction(0)
    price = Fraction(
        price_of(coin, question.prices, terms) * 10**terms.decimals, PRICE_SCALE * 10**coin.decimals
    )
    return price * scale if coin.priced_as in question.moving_coins else price


def _value(question: _Question, position: Position, contract: Contract, scale: Fraction) -> Fraction:
    """Return the value of a position in its quote at a scale of the price."""
    if not position.contracts:
        return Fraction(0)
    value = Fraction(*contract.ratio(position.contracts, question.prices.mark(position.instrument)))
    if position.instrument not in question.moving:
        return value
    return value * scale if contract.is_linear else value / scale


def _notional(question: _Question, position: Position, contract: Contract, scale: Fraction) -> Fraction:
    return abs(_value(question, position, contract, scale))


def _net(question: _Question, coin: str, scale: Fraction) -> Fraction:
    """Return balance less debts plus session profit of a coin at a scale of the price."""
    bucket, terms = question.bucket, question.terms
    net = Fraction(bucket.balances.get(coin, 0) - debts_of(bucket, terms).get(coin, 0))
    for position in bucket.positions:
        contract = contract_of(terms, position.instrument)
        if contract.quote == coin:
            net += _value(question, position, contract, scale) - position.session_value
    return net


def _counted(net: Fraction, coin: Coin) -> Fraction:
    """Take the haircut off a net amount, slice by slice (see `collateral.counted_ppm`)."""
    if net <= 0 or not coin.haircut:
        return min(net, Fraction(0))
    counted = net
    for index, tier in enumerate(coin.haircut):
        ceiling = coin.haircut[index + 1].floor_units if index + 1 < len(coin.haircut) else net
        counted -= max(Fraction(0), min(net, ceiling) - tier.floor_units) * Fraction(tier.ppm, PPM)
    return counted


def _maintenance(contract: Contract, notional: Fraction) -> Fraction:
    """Return the maintenance margin of an exact notional, unrounded."""
    table = contract.tiers
    bracket = table.bracket(int(notional))
    return (notional * table.rates_ppm[bracket] - table.cums_ppm[bracket]) / PPM


# --- the scan ----------------------------------------------------------------------------------


def _kinks(question: _Question) -> list[Fraction]:
    """List the positive scales at which the surplus changes slope, rising, without repeats."""
    found = {Fraction(1)}
    for position, contract in _open_positions(question):
        if position.instrument in question.moving:
            now = _notional(question, position, contract, Fraction(1))
            floors = contract.tiers.floors[1:]
            found |= {floor / now if contract.is_linear else now / floor for floor in floors}
    for coin in _coins(question):
        found |= _coin_kinks(question, coin)
    return sorted(scale for scale in found if scale > 0)


def _coin_kinks(question: _Question, coin: Coin) -> set[Fraction]:
    """Find where a coin's net amount passes zero or a haircut floor.

    net(scale) = still + rising x scale + falling / scale. Where both of the last are present the kink is
    left out: the tick search corrects for it.
    """
    half, one, two = Fraction(1, 2), Fraction(1), Fraction(2)
    low, middle, high = (_net(question, coin.name, scale) for scale in (half, one, two))
    falling = (2 * (low - middle) + (high - middle)) / Fraction(3, 2)
    rising = high - middle + falling / 2
    still = middle - rising - falling
    floors = {0, *(tier.floor_units for tier in coin.haircut)}
    if rising and not falling:
        return {(floor - still) / rising for floor in floors}
    if falling and not rising:
        return {falling / (floor - still) for floor in floors if floor != still}
    return set()


def _scale_range(question: _Question) -> tuple[Fraction | None, Fraction | None] | None:
    """Return the range of scales that is healthy and holds 1, or else lies nearest to it."""
    kinks = _kinks(question)
    points = [kinks[0] / 2, *kinks, kinks[-1] * 2]
    surpluses = [_surplus(question, scale) for scale in points]
    ranges = _healthy_ranges(points, surpluses)
    if not ranges:
        return None
    return min(ranges, key=_distance_from_one)


def _distance_from_one(found: tuple[Fraction | None, Fraction | None]) -> Fraction:
    below, above = found
    if below is not None and below > 1:
        return below - 1
    if above is not None and above < 1:
        return 1 - above
    return Fraction(0)


def _healthy_ranges(
    points: list[Fraction], surpluses: list[Fraction]
) -> list[tuple[Fraction | None, Fraction | None]]:
    """Join the pieces on which an interpolated surplus is at least 0; the outer two pieces are endless."""
    ranges: list[tuple[Fraction | None, Fraction | None]] = []
    last = len(points) - 2
    for number, (left, right) in enumerate(pairwise(range(len(points)))):
        piece = _healthy_piece(
            points[left],
            surpluses[left],
            points[right],
            surpluses[right],
            None if number == 0 else points[left],
            None if number == last else points[right],
        )
        if piece is None:
            continue
        if ranges and ranges[-1][1] is not None and ranges[-1][1] == piece[0]:
            ranges[-1] = (ranges[-1][0], piece[1])
        else:
            ranges.append(piece)
    return ranges


def _healthy_piece(
    left: Fraction,
    left_surplus: Fraction,
    right: Fraction,
    right_surplus: Fraction,
    start: Fraction | None,
    end: Fraction | None,
) -> tuple[Fraction | None, Fraction | None] | None:
    """Return where a straight line through two points is at least 0 between `start` and `end`."""
    slope = (right_surplus - left_surplus) / (right - left)
    if slope == 0:
        return (start, end) if left_surplus >= 0 else None
    root = left - left_surplus / slope
    if slope > 0:
        start = root if start is None else max(start, root)
        start = None if start <= 0 else start
    else:
        end = root if end is None else min(end, root)
    if end is not None and (end <= 0 or (start is not None and start > end)):
        return None
    return start, end


# --- to the tick -------------------------------------------------------------------------------


def _on_ticks(question: _Question) -> PriceRange | None:
    """Move the exact range to whole ticks by asking the rule on both sides of each edge."""
    found = _scale_range(question)
    if found is None:
        return None
    mark_e10, tick = question.prices.mark(question.contract.name), question.contract.tick_e10

    def is_healthy(ticks: int) -> bool:
        return ticks > 0 and _holds(question, ticks * tick)

    below, above = found
    lower = None if below is None else _edge(is_healthy, int(below * mark_e10 / tick), 1)
    upper = None if above is None else _edge(is_healthy, int(above * mark_e10 / tick), -1)
    if NO_TICK in (lower, upper) or (lower is not None and upper is not None and lower > upper):
        return None
    return PriceRange(
        below=None if lower is None else lower * tick,
        above=None if upper is None else upper * tick,
    )


def _holds(question: _Question, price_e10: int) -> bool:
    """Ask the rule whether the bucket is healthy at a price."""
    name = question.contract.name
    prices = prices_at(question.prices, name, price_e10, question.moving, question.moving_coins)
    figures = health(question.bucket, prices, question.terms)
    fee = sum(
        in_numeraire_up(share_up(row.notional_quote, question.fee_ppm), row.quote, prices, question.terms)
        for row in figures.positions
        if row.instrument in question.moving
    )
    return (figures.equity - fee) * PPM >= figures.maintenance * question.level_ppm


def prices_at(
    prices: Prices, instrument: str, price_e10: int, moving: Iterable[str], moving_coins: Iterable[str]
) -> Prices:
    """Return the prices with one mark at `price_e10` and what moves with it scaled alike, rounded down."""
    mark_e10 = prices.mark(instrument)

    def scaled(now_e10: int) -> int:
        return max(1, now_e10 * price_e10 // mark_e10)

    priced = [coin for coin in moving_coins if coin in prices.assets]
    return prices.replaced(
        [(name, scaled(prices.mark(name))) for name in moving],
        [(coin, scaled(prices.asset(coin))) for coin in priced],
    )


def _edge(is_healthy: Callable[[int], bool], guess: int, inward: int) -> int | None:
    """Find the tick at which health begins, looking outward and inward (+1 or -1) from a close guess.

    The answer is healthy and the tick outside it is not. None where health goes on without end, NO_TICK
    where no tick on the way inward is healthy: a range that lies between two ticks.
    """
    step = 1
    if is_healthy(guess):
        inside, outside = guess, guess - inward
        while is_healthy(outside):
            step *= 2
            inside, outside = outside, outside - inward * step
            if step > TICKS_MAX:
                return None
    else:
        outside, inside = guess, guess + inward
        while not is_healthy(inside):
            step *= 2
            outside, inside = inside, inside + inward * step
            if inside <= 0 or step > TICKS_MAX:
                return NO_TICK
    while abs(inside - outside) > 1:
        middle = (inside + outside) // 2
        if is_healthy(middle):
            inside = middle
        else:
            outside = middle
    return inside
