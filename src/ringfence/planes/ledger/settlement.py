"""What positions are worth and what they owe: exact arithmetic in units of the quote asset.

A position is `contracts` (long positive) and a `session_value`: what its fills were worth since the last
settlement. Session profit is `value at the mark - session_value`. A settlement re-bases every position to one
price: `owed = value at that price - session_value`, which becomes the next session value. Over all positions
of an instrument contracts sum to zero, and so do session values, so what is owed sums to exactly zero.

    linear    value(q, p) = q x size x p            exact: one contract x one tick is a whole number of units
    inverse   value(q, p) = -(q x size / p)         in the coin; size in quote-currency dollars

Formulas: the specification of linear and inverse contracts shared by all perpetual venues; rounding is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.kernel.money import PPM, PRICE_SCALE, apportion, divide_down, divide_up
from ringfence.policy.model import Instrument


def fill_value(instrument: Instrument, contracts: int, price_e10: int, quote_decimals: int) -> int:
    """Return the signed value in quote units of `contracts` (signed) at a price.

    Exact for a linear instrument at a price on its tick; otherwise the size is rounded down once, and the
    value of minus as many contracts is minus the value, so that both sides of a fill net to zero.
    """
    numerator, denominator = _notional(instrument, abs(contracts), price_e10, quote_decimals)
    size = divide_down(numerator, denominator)
    return _long_sign(instrument) * (size if contracts > 0 else -size)


def rebased_values(
    instrument: Instrument, contracts: Mapping[str, int], price_e10: int, quote_decimals: int
) -> dict[str, int]:
    """Return the new session value of every position at a settlement price; together they are zero.

    contracts: signed, by bucket, summing to zero. Where values are not whole units each side is apportioned
    by largest remainder, the bucket first by name first among equals.
    """
    numerator, denominator = _notional(instrument, 1, price_e10, quote_decimals)
    if numerator % denominator == 0:
        each = _long_sign(instrument) * (numerator // denominator)
        return {bucket: count * each for bucket, count in contracts.items()}
    longs, shorts = _sides(contracts)
    numerator, denominator = _notional(instrument, sum(longs.values()), price_e10, quote_decimals)
    total = divide_down(numerator, denominator)
    sign = _long_sign(instrument)
    return dict.fromkeys(contracts, 0) | _split(longs, total, sign) | _split(shorts, total, -sign)


@dataclass(frozen=True, slots=True)
class FundingPayments:
    """What one funding interval makes owed: by bucket, positive is received; `residue_units` is left in
    clearing, at most one unit, because payers pay a whole unit for the last part of one."""

    owed: dict[str, int]
    residue_units: int


def funding_payments(
    instrument: Instrument,
    contracts: Mapping[str, int],
    rate_e10: int,
    price_e10: int,
    quote_decimals: int,
    has_rounding: bool,
) -> FundingPayments:
    """Return what funding moves between longs and shorts at a rate (longs pay where it is positive).

    contracts: signed, by bucket, summing to zero; rate_e10: of notional, per PRICE_SCALE; has_rounding: a
    compartment takes the residue, else payers pay no more than receivers get.
    """
    longs, shorts = _sides(contracts)
    numerator, denominator = _notional(instrument, sum(longs.values()), price_e10, quote_decimals)
    numerator, denominator = numerator * abs(rate_e10), denominator * PRICE_SCALE
    received = divide_down(numerator, denominator)
    paid = divide_up(numerator, denominator) if has_rounding else received
    payers, receivers = (longs, shorts) if rate_e10 > 0 else (shorts, longs)
    owed = _split(payers, paid, -1) | _split(receivers, received, 1)
    return FundingPayments(owed, paid - received)


def fee_up(instrument: Instrument, contracts: int, price_e10: int, quote_decimals: int, ppm: int) -> int:
    """Return `ppm` of the notional of a fill, rounded up once (a fee or penalty)."""
    numerator, denominator = _notional(instrument, contracts, price_e10, quote_decimals)
    return divide_up(numerator * ppm, denominator * PPM)


def fee_down(instrument: Instrument, contracts: int, price_e10: int, quote_decimals: int, ppm: int) -> int:
    """Return `ppm` of the notional of a fill, rounded down once (a rebate)."""
    numerator, denominator = _notional(instrument, contracts, price_e10, quote_decimals)
    return divide_down(numerator * ppm, denominator * PPM)


def _notional(instrument: Instrument, contracts: int, price_e10: int, decimals: int) -> tuple[int, int]:
    """Return the exact notional of `contracts` in quote units as a fraction."""
    size = contracts * instrument.contract_size_e10 * 10**decimals
    if instrument.payoff == "inverse":
        return size, price_e10
    return size * price_e10, PRICE_SCALE * PRICE_SCALE


def _long_sign(instrument: Instrument) -> int:
    """Say with which sign a long position is worth its notional."""
    return 1 if instrument.payoff == "linear" else -1


def _sides(contracts: Mapping[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """Part positions into long and short ones, each with its size, by name."""
    ordered = sorted(contracts.items())
    longs = {bucket: count for bucket, count in ordered if count > 0}
    return longs, {bucket: -count for bucket, count in ordered if count < 0}


def _split(side: Mapping[str, int], total: int, sign: int) -> dict[str, int]:
    """Apportion a total over the positions of one side by their size."""
    parts = apportion(total, list(side.values()))
    return {bucket: sign * part for bucket, part in zip(side, parts, strict=True)}
