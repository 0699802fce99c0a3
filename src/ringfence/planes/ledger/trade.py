"""Trading: whether contracts may pass from one bucket to another, via clearing.

A side of a fill is a client's signed order or a forced closure. `decide_fill` is given everything it needs
and changes nothing. Takeovers and deleveraging happen at the bankruptcy price that margin states as a fact,
so they are exempt from the price band; every other fill lies inside it. Where margin states that price and
no penalty, the position passes on: a liquidation at what the market would give is refused.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Literal

import msgspec

from ringfence.kernel.decision import REASONS, Accepted, Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import PRICE_SCALE, UNITS_MAX, show_decimal
from ringfence.planes.ledger.conditions import ClosingFact
from ringfence.planes.ledger.operations import Closing, Fill, Order
from ringfence.planes.ledger.prices import AgreedPrice, is_within
from ringfence.planes.ledger.rules import Place
from ringfence.planes.ledger.shortfall import pools_of
from ringfence.planes.ledger.transfer import ACCEPTED
from ringfence.policy.model import Instrument

_PRICE_DIGITS = len(str(PRICE_SCALE)) - 1


class SideFacts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Everything one side of a fill is judged by.

    side: an order or forced closure; place: None where the policy has no such bucket; closed_member, signing,
    unmet, frozen: as for a move; halts: kinds of halts of trading that concern it; contracts: the position
    before, long positive; room_units: until a running total is full; filled and earlier_content: what is
    known of the order; content: the order's signed bytes; verdict: 0 where margin allows it, a `Reason`, or
    None where margin was not asked; closing: how far it may be closed by force.
    """

    side: Order | Closing
    direction: Literal["buy", "sell"]
    place: Place | None
    closed_member: str = ""
    signing: Refused | None = None
    unmet: str = ""
    frozen: Refused | None = None
    halts: frozenset[str] = frozenset()
    contracts: int = 0
    room_units: int = UNITS_MAX
    filled: int = 0
    content: bytes = b""
    earlier_content: bytes | None = None
    verdict: int | None = None
    closing: ClosingFact | None = None


class FillFacts(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Everything a fill is judged by: both sides, the instrument, and its index."""

    at: Instant
    policy: bytes
    instrument: Instrument | None
    clearing: Place | None
    index: AgreedPrice | None
    is_stale: bool
    buy: SideFacts
    sell: SideFacts


def decide_fill(facts: FillFacts, fill: Fill) -> Accepted | Refused:
    """Judge one fill; the first reason in `Reason` order over the fill and both its sides wins."""
    refusals = [*_judge_fill(facts, fill)]
    if facts.instrument is not None:
        for side, other in ((facts.buy, facts.sell), (facts.sell, facts.buy)):
            found = _judge_side(facts, fill, facts.instrument, side, other)
            refusals += [_naming(side.side.bucket, refused) for refused in found]
    return min(refusals, key=lambda refused: refused.reason) if refusals else ACCEPTED


def _naming(bucket: str, refused: Refused) -> Refused:
    """Say whose side it is, where the words do not: the other side's order may still be filled."""
    if bucket in sides_named(refused.words, (bucket,)):
        return refused
    return replace(refused, words=f"{bucket}: {refused.words}")


def sides_named(words: str, buckets: Iterable[str]) -> tuple[str, ...]:
    """Return the buckets that a refusal of a fill names: the sides that were at fault."""
    return tuple(
        bucket for bucket in buckets if re.search(rf"(?<![\w/.-]){re.escape(bucket)}(?![\w/-])", words)
    )


def _judge_fill(facts: FillFacts, fill: Fill) -> Iterator[Refused]:
    if fill.contracts < 1:
        yield Refused(
            Reason.AMOUNT_NOT_POSITIVE, f"the fill was of {fill.contracts} contracts, not 1 or more"
        )
    if fill.contracts > UNITS_MAX:
        yield Refused(Reason.AMOUNT_TOO_LARGE, "a fill is of at most 2^127 - 1 contracts")
    if fill.buy.bucket == fill.sell.bucket:
        yield Refused(Reason.SOURCE_IS_TARGET, f"{fill.buy.bucket} both buys and sells; two buckets trade")
    if facts.instrument is None:
        yield Refused(Reason.INSTRUMENT_UNKNOWN, f"the policy declares no instrument {fill.instrument}")
        return
    if facts.clearing is None:
        yield Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, "the policy declares no clearing to trade through")
    yield from judge_tick(facts.instrument, fill.price_e10)
    yield from _judge_price(facts, fill, facts.instrument)


def _judge_price(facts: FillFacts, fill: Fill, instrument: Instrument) -> Iterator[Refused]:
    if _is_at_stated_price(fill):
        yield from _judge_stated_price(facts, fill)
    else:
        yield from judge_index(facts.index, facts.is_stale, instrument, fill.price_e10)


def judge_tick(instrument: Instrument, price_e10: int) -> Iterator[Refused]:
    """Refuse a price that is not a positive whole number of ticks."""
    if price_e10 < 1 or price_e10 % instrument.tick_e10:
        tick = show_decimal(instrument.tick_e10, _PRICE_DIGITS)
        yield Refused(Reason.PRICE_OFF_TICK, f"{_show(price_e10)} is no whole number of ticks of {tick}")


def judge_index(
    index: AgreedPrice | None, is_stale: bool, instrument: Instrument, price_e10: int
) -> Iterator[Refused]:
    """Refuse a price that is not inside the instrument's band around a fresh index."""
    if index is None:
        yield Refused(Reason.PRICE_MISSING, f"the book holds no price {instrument.index} to compare with")
        return
    if is_stale:
        yield Refused(Reason.PRICE_STALE, f"{instrument.index} is too old; a fresh price must come first")
    if not is_within(price_e10, index.price_e10, instrument.price_band_ppm):
        words = f"{_show(price_e10)} is outside the band of {instrument.price_band_ppm} ppm around"
        yield Refused(Reason.PRICE_OUTSIDE_BAND, f"{words} {_show(index.price_e10)}")


def _is_at_stated_price(fill: Fill) -> bool:
    """Say whether margin, not the market, gives the price: takeover and deleveraging."""
    return all(isinstance(side, Closing) and side.cause != "liquidation" for side in (fill.buy, fill.sell))


def _judge_stated_price(facts: FillFacts, fill: Fill) -> Iterator[Refused]:
    stated = {side.closing.price_e10 for side in (facts.buy, facts.sell) if side.closing} - {0}
    if not stated:
        yield Refused(Reason.CONDITION_NOT_MET, "margin states no bankruptcy price for either side")
    elif stated != {fill.price_e10}:
        prices = " and ".join(_show(price) for price in sorted(stated))
        yield Refused(
            Reason.PRICE_OUTSIDE_BAND, f"{_show(fill.price_e10)} is not the bankruptcy price {prices}"
        )


# --- one side ----------------------------------------------------------------------------------


def _judge_side(
    facts: FillFacts, fill: Fill, instrument: Instrument, side: SideFacts, other: SideFacts
) -> Iterator[Refused]:
    place = side.place
    if place is None:
        yield Refused(Reason.COMPARTMENT_UNKNOWN, f"the policy declares no compartment {side.side.bucket}")
        return
    if side.closed_member:
        yield Refused(Reason.MEMBER_NOT_OPEN, f"{side.closed_member} was never opened in this book")
    if side.signing is not None:
        yield side.signing
    if side.unmet:
        words = f"{side.direction} side of {place.path} needs {side.unmet}, which did not sign"
        yield Refused(Reason.NEEDS_NOT_MET, words, place.rule.line)
    if side.frozen is not None:
        yield side.frozen
    if instrument.expires is not None and facts.at >= instrument.expires:
        yield Refused(Reason.TRADE_NOT_ALLOWED, f"{fill.instrument} has expired; it is only settled now")
    if side.room_units < fill.contracts:
        yield Refused(Reason.BALANCE_TOO_LARGE, f"a total of {fill.instrument} would pass 2^128 - 1")
    if isinstance(side.side, Order):
        yield from _judge_order(facts, fill, side, side.side, place)
    else:
        yield from _judge_closing(fill, side, side.side, place, other)


def _judge_order(
    facts: FillFacts, fill: Fill, side: SideFacts, order: Order, place: Place
) -> Iterator[Refused]:
    line = place.rule.line
    if side.earlier_content is not None and side.earlier_content != side.content:
        yield Refused(Reason.ID_USED_WITH_OTHER_CONTENT, f"order {order.id} of {place.path} was another one")
    if order.policy != facts.policy:
        yield Refused(Reason.POLICY_DIGEST_DIFFERS, f"order {order.id} was signed for another policy")
    if order.expires < facts.at:
        yield Refused(Reason.REQUEST_EXPIRED, f"order {order.id} has expired")
    if order.instrument != fill.instrument or order.side != side.direction:
        words = (
            f"order {order.id} is to {order.side} {order.instrument}, not {side.direction} {fill.instrument}"
        )
        yield Refused(Reason.ORDER_TERMS_DIFFER, words)
    if fill.instrument not in place.rule.trades:
        yield Refused(Reason.TRADE_NOT_ALLOWED, f"{place.path} may not trade {fill.instrument}", line)
    if place.rule.margined and side.verdict is None:
        yield Refused(Reason.CONDITION_NOT_MET, f"margin did not judge the fills of {place.path}", line)
    elif side.verdict:
        reason = REASONS[side.verdict]
        yield Refused(reason, f"{place.path}: {reason.meaning}", line)
    if "cancel_only" in side.halts and not order.reduce_only:
        words = f"orders of {place.path} are only cancelled now; one signed as reduce_only may still reduce"
        yield Refused(Reason.CANCEL_ONLY, words, line)
    if side.halts and not _reduces(side, fill.contracts):
        words = f"trading of {place.path} is halted: fills may only reduce the position of {side.contracts}"
        yield Refused(Reason.REDUCE_ONLY, words, line)
    if order.reduce_only and not _reduces(side, fill.contracts):
        yield Refused(
            Reason.REDUCE_ONLY, f"order {order.id} may only reduce the position of {side.contracts}"
        )
    if side.filled + fill.contracts > order.contracts:
        words = f"order {order.id} has {order.contracts - side.filled} of {order.contracts} contracts left"
        yield Refused(Reason.ORDER_OVERFILLED, words)
    if (fill.price_e10 > order.limit_e10) if order.side == "buy" else (fill.price_e10 < order.limit_e10):
        words = (
            f"{_show(fill.price_e10)} is worse than the limit {_show(order.limit_e10)} of order {order.id}"
        )
        yield Refused(Reason.ORDER_LIMIT_PASSED, words)


def _judge_closing(
    fill: Fill, side: SideFacts, closing: Closing, place: Place, other: SideFacts
) -> Iterator[Refused]:
    rule = place.rule
    receives = fill.instrument in rule.takes_over
    if fill.instrument not in rule.trades and not receives:
        yield Refused(Reason.TRADE_NOT_ALLOWED, f"{place.path} holds no {fill.instrument}", rule.line)
    if closing.cause != "liquidation":
        yield from _judge_waterfall(closing, side, other)
    if closing.cause == "takeover" and receives:
        return  # The pool's position grows; it is bounded by what the failed bucket may be closed for.
    if not _reduces(side, fill.contracts):
        words = f"a {closing.cause} may only reduce the position of {side.contracts} in {place.path}"
        yield Refused(Reason.REDUCE_ONLY, words, rule.line)
    if not rule.margined:
        return
    if side.closing is None:
        words = f"margin does not ask for a {closing.cause} of {place.path}"
        yield Refused(Reason.CONDITION_NOT_MET, words, rule.line)
        return
    if closing.cause == "liquidation" and side.closing.price_e10 and side.closing.penalty_max is None:
        words = f"sold at {_show(fill.price_e10)}, {place.path} would be bankrupt: its position passes on at"
        yield Refused(Reason.TAKEOVER_IS_DUE, f"{words} {_show(side.closing.price_e10)}", rule.line)
    if fill.contracts > side.closing.contracts:
        words = f"{side.closing.contracts} contracts of {place.path} may be closed by force"
        yield Refused(Reason.ENTITLEMENT_EXCEEDED, words, rule.line)


def _judge_waterfall(closing: Closing, side: SideFacts, other: SideFacts) -> Iterator[Refused]:
    """Refuse a takeover or deleveraging by somebody whom the failed bucket's waterfall does not name."""
    failed, bearer = (side, other) if side.closing and side.closing.price_e10 else (other, side)
    if not isinstance(other.side, Closing) or other.side.cause != closing.cause:
        words = f"a {closing.cause} has two sides that are both forced"
        yield Refused(Reason.WATERFALL_DOES_NOT_NAME_IT, words)
        return
    if failed.place is None or bearer.place is None:
        return
    fall = failed.place.rule.waterfall
    if closing.cause == "takeover":
        named = bearer.place.path in pools_of(failed.place)
    else:
        named = fall is not None and bearer.place.rule.pattern in fall.classes
    if not named:
        words = f"the waterfall of {failed.place.path} has no {closing.cause} by {bearer.place.path}"
        yield Refused(Reason.WATERFALL_DOES_NOT_NAME_IT, words, fall.line if fall else "")


def _reduces(side: SideFacts, contracts: int) -> bool:
    """Say whether the fill makes the position smaller and does not turn it around."""
    return contracts <= (side.contracts if side.direction == "sell" else -side.contracts)


def _show(price_e10: int) -> str:
    return show_decimal(price_e10, _PRICE_DIGITS)
