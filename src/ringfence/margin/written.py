"""A bucket written down by hand, as JSON: what `ringfence margin` explains without a book.

    {"mode": "cross",
     "balances": {"USDC": "2000", "BTC": "0.1"},
     "positions": [{"instrument": "BTC-PERP", "contracts": 1000, "entry": "60000"}],
     "orders": [{"instrument": "BTC-PERP", "contracts": -500, "limit": "61000"}],
     "marks": {"BTC-PERP": "60000.1"},
     "prices": {"BTC": "60000"}}

Amounts and prices are plain decimals in quotes; contracts are whole numbers, negative for a short or a sale.
A position gives its `entry` price or its `session_value` in the quote. Everything but `balances` may be left
out. Reading is strict: a key that is unknown or written twice, or a number that is no decimal, is BadInput.
"""

import json
from typing import Final, Literal

import msgspec

from ringfence.kernel.errors import BadInput
from ringfence.kernel.money import PRICE_DIGITS, parse_decimal
from ringfence.margin.bucket import Bucket, Position, RestingOrder
from ringfence.margin.health import contract_of
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms

CHARACTERS_MAX: Final = 1_000_000
"""A bucket is written in at most this many characters."""


class WrittenPosition(msgspec.Struct, forbid_unknown_fields=True):
    """One position as written."""

    instrument: str
    contracts: int
    entry: str | None = None
    session_value: str | None = None


class WrittenOrder(msgspec.Struct, forbid_unknown_fields=True):
    """One resting order as written."""

    instrument: str
    contracts: int
    limit: str


class WrittenBucket(msgspec.Struct, forbid_unknown_fields=True):
    """A bucket as written."""

    balances: dict[str, str]
    mode: Literal["isolated", "cross"] = "cross"
    positions: list[WrittenPosition] = []
    orders: list[WrittenOrder] = []
    marks: dict[str, str] = {}
    prices: dict[str, str] = {}


def parse_bucket(text: str, terms: Terms, where: str) -> tuple[Bucket, Prices]:
    """Read a bucket and its prices; BadInput names `where` and what would be right."""
    written = _decode(text, where)
    bucket = Bucket(
        mode=written.mode,
        balances={asset: _balance(units, asset, terms, where) for asset, units in written.balances.items()},
        positions=tuple(_position(row, terms, where) for row in written.positions),
        orders=tuple(
            RestingOrder(row.instrument, row.contracts, _price(row.limit, row.instrument, where))
            for row in written.orders
        ),
    )
    _refuse_twice([position.instrument for position in bucket.positions], where)
    prices = Prices(
        {coin: _price(price, coin, where) for coin, price in written.prices.items()},
        {name: _price(price, name, where) for name, price in written.marks.items()},
    )
    return bucket, prices


def _decode(text: str, where: str) -> WrittenBucket:
    if len(text) > CHARACTERS_MAX:
        raise BadInput(f"{where}: {len(text)} characters; a bucket is written in at most {CHARACTERS_MAX}")
    try:
        plain: object = json.loads(text, object_pairs_hook=_pairs)
        return msgspec.convert(plain, WrittenBucket, strict=True)
    except RecursionError:
        raise BadInput(f"{where}: nested too deep for a bucket") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise BadInput(f"{where}: {error}") from None


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    for key in keys:
        if keys.count(key) > 1:
            raise ValueError(f"the key {key!r} was written twice")
    return dict(pairs)


def _refuse_twice(instruments: list[str], where: str) -> None:
    for instrument in instruments:
        if instruments.count(instrument) > 1:
            raise BadInput(f"{where}: {instrument} has two positions; a bucket nets them into one")


def _balance(text: str, asset: str, terms: Terms, where: str) -> int:
    coin = terms.coins.get(terms.debts.get(asset, asset))
    if coin is None:
        known = ", ".join((*terms.coins, *terms.debts))
        raise BadInput(f"{where}: {asset} is no coin or debt of this policy; these are: {known}")
    units = _units(text, coin.decimals, f"{where}: {asset}")
    if units < 0:
        raise BadInput(f"{where}: {asset}: {text!r} is below zero; what is owed is a debt asset")
    return units


def _position(row: WrittenPosition, terms: Terms, where: str) -> Position:
    contract = contract_of(terms, row.instrument)
    if (row.entry is None) == (row.session_value is None):
        raise BadInput(f"{where}: {row.instrument} needs `entry` or `session_value`, one of them")
    if row.entry is not None:
        entry_e10 = _price(row.entry, row.instrument, where)
        return Position(row.instrument, row.contracts, contract.booked_value(row.contracts, entry_e10))
    decimals = terms.coins[contract.quote].decimals
    value = _units(row.session_value or "", decimals, f"{where}: {row.instrument}")
    return Position(row.instrument, row.contracts, value)


def _price(text: str, name: str, where: str) -> int:
    price_e10 = _units(text, PRICE_DIGITS, f"{where}: {name}")
    if price_e10 <= 0:
        raise BadInput(f"{where}: the price of {name} was {text}; a price is above zero")
    return price_e10


def _units(text: str, digits: int, where: str) -> int:
    """Turn a plain decimal, perhaps with a minus, into whole units; BadInput where it is none."""
    try:
        units = parse_decimal(text.removeprefix("-"), digits)
    except ValueError as error:
        raise BadInput(f"{where}: {error}") from None
    return -units if text.startswith("-") else units
