"""Many buckets at once: the same figures and the same decisions as `health`, from arrays.

`pack` turns buckets into arrays (or a caller that keeps arrays makes a `BatchBook` itself), `remargin` values
all of them at one set of prices. Figures are float64. Decisions (the state by thresholds, bankrupt or not,
initial margin covered or not) equal the exact rule bit for bit: where a figure comes close to a boundary
(1e-9 of everything added up, plus what whole-unit rounding can move) the bucket is asked of `health` again.

Resting orders are not in the arrays: initial margin here is without order margin.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin.batch_kernel import (
    BANKRUPT,
    BRACKET_FIGURES,
    CEILING,
    CUM,
    FLOOR,
    NEAR_BOUNDARY,
    PART,
    PRICE,
    QUOTE,
    RATE,
    SHORT_OF_INITIAL,
    VALUE,
    Bytes,
    Floats,
    Integers,
    numbers_flagged,
    remargin_buckets,
)
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import levels_ppm, state_of
from ringfence.margin.collateral import Coin
from ringfence.margin.health import debts_of, health, price_of
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms
from ringfence.policy.model import Thresholds

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """Terms as arrays, with the numbers of instruments and coins; the numeraire is coin 0.

    quotes: [instruments] number of the coin; floors: [instruments, tiers + 1], unused ones infinite; tiers:
    [instruments, tiers, 3] rate, cum, 1 / leverage; haircuts: as `batch_kernel.remargin_buckets` says.
    """

    terms: Terms
    thresholds: Thresholds
    instruments: tuple[str, ...]
    coins: tuple[str, ...]
    quotes: Integers
    floors: Floats
    tiers: Floats
    haircuts: Floats

    def instrument_numbers(self) -> dict[str, int]:
        """Number the instruments."""
        return {name: number for number, name in enumerate(self.instruments)}


@dataclass(frozen=True, slots=True)
class BatchBook:
    """Buckets as arrays: offsets [buckets + 1] into positions, net_coins [buckets, coins] in units."""

    offsets: Integers
    instruments: Integers
    contracts: Floats
    session_values: Floats
    net_coins: Floats

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """What `remargin` found: figures in numeraire units, [buckets] each; `asked_again` counts exact ones."""

    equity: Floats
    maintenance: Floats
    initial: Floats
    states: Bytes
    flags: Bytes
    asked_again: int

    @property
    def is_bankrupt(self) -> Flags:
        """Say of each bucket whether its equity is below zero."""
        found: Flags = (self.flags & BANKRUPT) != 0
        return found

    @property
    def is_short_of_initial(self) -> Flags:
        """Say of each bucket whether its equity is below its initial margin."""
        found: Flags = (self.flags & SHORT_OF_INITIAL) != 0
        return found


class Sheet(NamedTuple):
    """Room for what `remargin` finds: figures [buckets, 3], states and flags [buckets], brackets [positions].

    Whoever values everybody again and again keeps one: new memory costs a page fault for every page of it.
    """

    figures: Floats
    states: Bytes
    flags: Bytes
    brackets: Bytes


def blank_sheet(book: BatchBook) -> Sheet:
    """Make room for the buckets of a book."""
    states, flags = np.empty(len(book), np.uint8), np.empty(len(book), np.uint8)
    return Sheet(np.empty((len(book), 3)), states, flags, np.zeros(len(book.instruments), np.uint8))


def compile_batch(terms: Terms) -> BatchTerms:
    """Turn terms into arrays; BadInput where the policy has no thresholds."""
    if terms.thresholds is None:
        raise BadInput("the policy states no thresholds; buckets have no states without them")
    coins = (terms.numeraire, *(name for name in terms.coins if name != terms.numeraire))
    contracts = tuple(terms.contracts.values())
    depth = max((len(one.tiers.floors) for one in contracts), default=1)
    floors = np.full((len(contracts), depth + 1), np.inf)
    tiers = np.zeros((len(contracts), depth, 3))
    for number, contract in enumerate(contracts):
        table = contract.tiers
        floors[number, : len(table.floors)] = table.floors
        rows = zip(table.rates_ppm, table.cums_ppm, table.leverages, strict=True)
        for bracket, (rate, cum, leverage) in enumerate(rows):
            tiers[number, bracket] = (rate / PPM, cum / PPM, 1 / leverage)
    return BatchTerms(
        terms=terms,
        thresholds=terms.thresholds,
        instruments=tuple(one.name for one in contracts),
        coins=coins,
        quotes=np.array([coins.index(one.quote) for one in contracts], dtype=np.int32),
        floors=floors,
        tiers=tiers,
        haircuts=_haircut_rows([terms.coins[name] for name in coins]),
    )


def _haircut_rows(coins: Sequence[Coin]) -> Floats:
    """Lay out the slices of every coin; below its first floor all of a coin counts, without one nothing."""
    depth = 1 + max(len(coin.haircut) for coin in coins)
    rows = np.full((len(coins), depth, 3), (np.inf, np.inf, 0.0))
    for number, coin in enumerate(coins):
        slices = [(0, PPM), *((tier.floor_units, PPM - tier.ppm) for tier in coin.haircut)]
        if not coin.haircut:
            slices = [(0, 0)]
        for part, (floor, counted_ppm) in enumerate(slices):
            ceiling = slices[part + 1][0] if part + 1 < len(slices) else np.inf
            rows[number, part] = (floor, ceiling, counted_ppm / PPM)
    return rows


def pack(buckets: Sequence[Bucket], batch: BatchTerms) -> BatchBook:
    """Turn buckets into arrays. BadInput for an asset or instrument the terms do not have."""
    instrument_of = batch.instrument_numbers()
    coin_of = {name: number for number, name in enumerate(batch.coins)}
    net_coins = np.zeros((len(buckets), len(batch.coins)))
    offsets = np.zeros(len(buckets) + 1, dtype=np.int32)
    rows: list[tuple[int, int, int]] = []
    for number, bucket in enumerate(buckets):
        for position in bucket.positions:
            if position.instrument not in instrument_of:
                raise BadInput(f"bucket {number} holds {position.instrument}, which has no margin terms")
            rows.append((instrument_of[position.instrument], position.contracts, position.session_value))
        offsets[number + 1] = len(rows)
        for asset, units in _net_units(bucket, batch.terms).items():
            if asset not in coin_of:
                raise BadInput(f"bucket {number} holds {asset}, which is neither a coin nor a debt")
            net_coins[number, coin_of[asset]] = units
    return BatchBook(
        offsets=offsets,
        instruments=np.array([row[0] for row in rows], dtype=np.int32),
        contracts=np.array([row[1] for row in rows], dtype=np.float64),
        session_values=np.array([row[2] for row in rows], dtype=np.float64),
        net_coins=net_coins,
    )


def _net_units(bucket: Bucket, terms: Terms) -> dict[str, int]:
    """Return balance less debts by coin."""
    net = {asset: units for asset, units in bucket.balances.items() if asset not in terms.debts}
    for coin, units in debts_of(bucket, terms).items():
        net[coin] = net.get(coin, 0) - units
    return net


def remargin(
    book: BatchBook,
    prices: Prices,
    batch: BatchTerms,
    exact: Callable[[int], Bucket],
    skipped: Bytes | None = None,
    sheet: Sheet | None = None,
) -> BatchFigures:
    """Value every bucket at these prices.

    sheet: where the figures are written, so that those found before it are gone (None: on a new one).

    exact: returns a bucket by number, for the few whose decision needs whole numbers. Instruments without a
    mark and coins without a price count as nothing: the caller brings those that are held, or marks in
    `skipped` whoever holds them, whose figures then mean nothing.
    """
    figures, states, flags, last_brackets = sheet or blank_sheet(book)
    values_of_coins, rounding = coin_prices(prices, batch)
    remargin_buckets(
        book.offsets,
        book.instruments,
        book.contracts,
        book.session_values,
        book.net_coins,
        priced_brackets(contract_values(prices, batch), values_of_coins, batch),
        values_of_coins,
        batch.haircuts,
        np.array(levels_ppm(batch.thresholds)) / PPM,
        rounding,
        figures,
        states,
        flags,
        last_brackets,
    )
    if skipped is not None:
        flags[skipped != 0] = 0
    near = numbers_flagged(flags, NEAR_BOUNDARY)
    for number in near:
        _decide_exactly(int(number), exact(int(number)), prices, batch, figures, states, flags)
    return BatchFigures(
        equity=figures[:, 0],
        maintenance=figures[:, 1],
        initial=figures[:, 2],
        states=states,
        flags=flags,
        asked_again=len(near),
    )


def contract_values(prices: Prices, batch: BatchTerms) -> Floats:
    """Value one contract of each instrument at its mark, 0 where there is none."""
    values = np.zeros(len(batch.instruments))
    for number, contract in enumerate(batch.terms.contracts.values()):
        mark_e10 = prices.marks.get(contract.name)
        if mark_e10 is not None:
            numerator, denominator = contract.ratio(1, mark_e10)
            values[number] = numerator / denominator
    return values


def priced_brackets(values: Floats, values_of_coins: Floats, batch: BatchTerms) -> Floats:
    """Lay out what a position is valued with, bracket by bracket, as `batch_kernel.remargin_buckets` says."""
    count, depth, _ = batch.tiers.shape
    brackets = np.empty((count, depth, BRACKET_FIGURES))
    brackets[:, :, VALUE] = values[:, None]
    brackets[:, :, FLOOR] = batch.floors[:, :-1]
    brackets[:, 0, FLOOR] = -np.inf
    brackets[:, :, CEILING] = batch.floors[:, 1:]
    brackets[:, :, [RATE, CUM, PART]] = batch.tiers
    brackets[:, :, PRICE] = values_of_coins[batch.quotes][:, None]
    brackets[:, :, QUOTE] = batch.quotes[:, None]
    return brackets


def coin_prices(prices: Prices, batch: BatchTerms) -> tuple[Floats, Floats]:
    """Return numeraire units per unit of each coin, and how far rounding moves a figure per position."""
    terms = batch.terms
    values = np.zeros(len(batch.coins))
    for number, name in enumerate(batch.coins):
        coin = terms.coins[name]
        if coin.priced_as == terms.numeraire or coin.priced_as in prices.assets:
            price_e10 = price_of(coin, prices, terms)
            values[number] = price_e10 * 10**terms.decimals / (PRICE_SCALE * 10**coin.decimals)
    # Value, notional and two requirements are rounded in the quote, the requirements again in the numeraire.
    return values, 4 * values + 3


def _decide_exactly(
    number: int,
    bucket: Bucket,
    prices: Prices,
    batch: BatchTerms,
    figures: Floats,
    states: Bytes,
    flags: Bytes,
) -> None:
    """Put the exact rule's answer in place of the arrays'."""
    found = health(replace(bucket, orders=()), prices, batch.terms)
    figures[number] = (found.equity, found.maintenance, found.initial)
    states[number] = state_of(found.equity, found.maintenance, batch.thresholds)
    flag = NEAR_BOUNDARY
    if found.is_bankrupt:
        flag |= BANKRUPT
    if found.equity < found.initial:
        flag |= SHORT_OF_INITIAL
    flags[number] = flag
