"""Fills: gathering the facts of both sides, and booking contracts, session values and fees."""

from typing import Literal

from ringfence.kernel.decision import Refused
from ringfence.kernel.money import BALANCE_MAX
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.conditions import ClosingFact
from ringfence.planes.ledger.needs import keys_named, names_for, unmet
from ringfence.planes.ledger.operations import Closing, Fill, Order, signing_bytes
from ringfence.planes.ledger.options import owe_premium, reference_price
from ringfence.planes.ledger.rules import EVIDENCE_NEEDS, TRADE_GATE, Place
from ringfence.planes.ledger.settlement import fee_down, fee_up, fill_value
from ringfence.planes.ledger.trade import FillFacts, SideFacts, decide_fill
from ringfence.planes.ledger.trading_sessions import order_signers, was_in_session
from ringfence.planes.ledger.transfer import is_frozen
from ringfence.policy.model import Instrument, Need

Direction = Literal["buy", "sell"]


def carry_out(chain: Chain, fill: Fill) -> Refused | None:
    """Decide one fill of a request and book it; return why not, where it is refused."""
    facts = facts_for(chain, fill)
    decision = decide_fill(facts, fill)
    if isinstance(decision, Refused):
        return decision
    if facts.instrument is not None and facts.clearing is not None:
        for side in (facts.sell, facts.buy):
            _book_side(chain, fill, facts.instrument, facts.clearing, side)
        buyer, seller = facts.buy.place, facts.sell.place
        if facts.instrument.kind == "option" and buyer is not None and seller is not None:
            owe_premium(chain, fill, facts.instrument, buyer, seller)
    return None


def facts_for(chain: Chain, fill: Fill) -> FillFacts:
    """Gather what a fill is judged by, as the book stands now."""
    ledger = chain.ledger
    instrument = ledger.rules.instruments.get(fill.instrument)
    name = reference_price(fill.instrument, instrument) if instrument is not None else ""
    index, is_stale = ledger.price(name, chain.at) if name else (None, False)
    clearing = ledger.rules.clearing
    return FillFacts(
        at=chain.at,
        policy=ledger.rules.digest,
        instrument=instrument,
        clearing=ledger.place(clearing) if clearing is not None else None,
        index=index,
        is_stale=is_stale,
        buy=_side_facts(chain, fill, fill.buy, "buy"),
        sell=_side_facts(chain, fill, fill.sell, "sell"),
    )


def _side_facts(chain: Chain, fill: Fill, side: Order | Closing, direction: Direction) -> SideFacts:
    ledger, tables = chain.ledger, chain.ledger.tables
    place = ledger.rules.place(side.bucket)
    if place is None:
        return SideFacts(side=side, direction=direction, place=None)
    totals = tables.balances.totals(place.path, fill.instrument)
    content = signing_bytes(side) if isinstance(side, Order) else b""
    earlier = tables.orders.get((place.path, side.id)) if isinstance(side, Order) else None
    signing, missing = _signing(chain, side, place, content, earlier is not None and earlier[0] == content)
    scope = ledger.frozen(TRADE_GATE, place.path, ledger.rules.clearing or "", fill.instrument)
    return SideFacts(
        side=side,
        direction=direction,
        place=place,
        closed_member=ledger.closed_member(place),
        signing=signing,
        unmet=missing,
        frozen=is_frozen(scope, place.rule.line) if scope else None,
        halts=ledger.trading_halts(place, fill.instrument),
        contracts=totals[1] - totals[0],
        room_units=BALANCE_MAX - max(totals),
        filled=earlier[1] if earlier else 0,
        content=content,
        earlier_content=earlier[0] if earlier else None,
        verdict=chain.conditions.trade.get(place.path),
        closing=_closing_fact(chain, place, fill.instrument),
    )


def _closing_fact(chain: Chain, place: Place, instrument: str) -> ClosingFact | None:
    """Say how far a position may still be closed by force in this request."""
    fact = chain.conditions.closing.get(place.path, {}).get(instrument)
    used = chain.forced.get((place.path, instrument))
    return fact.less(*used) if fact is not None and used is not None else fact


def _signing(
    chain: Chain, side: Order | Closing, place: Place, content: bytes, was_verified: bool
) -> tuple[Refused | None, str]:
    """Say whose signatures count for a side, and whose are missing.

    An order that was filled before was verified then, over the same bytes; that is enough as long as none of
    the keys it needs was revoked or rotated, and no session was opened for its bucket.
    """
    known, keys = chain.ledger.known_keys(chain.at), chain.ledger.rules.keys
    needs: tuple[Need, ...] = EVIDENCE_NEEDS
    found: frozenset[str] | Refused | None = chain.signing
    if isinstance(side, Order):
        needs = place.rule.trade_needs
        asked = keys_named(needs, names_for(keys, place, None))
        has_changed = any(known.has_changed(name) for name in asked) or was_in_session(
            chain.ledger, place.path
        )
        if was_verified and not has_changed:
            return None, ""
        found = order_signers(chain.ledger, side, content, chain.at, chain.verify)
    if isinstance(found, Refused):
        return found, ""
    signers = chain.signers if found is None else found
    return None, unmet(needs, signers, names_for(keys, place, None))


# --- booking -----------------------------------------------------------------------------------


def _book_side(chain: Chain, fill: Fill, instrument: Instrument, clearing: Place, side: SideFacts) -> None:
    tables, place = chain.ledger.tables, side.place
    if place is None:
        return
    decimals = chain.ledger.rules.assets[instrument.quote].decimals
    signed = fill.contracts if side.direction == "buy" else -fill.contracts
    session = tables.session_value(place.path, fill.instrument)
    if side.direction == "buy":
        chain.book(clearing, place, fill.instrument, fill.contracts)
    else:
        chain.book(place, clearing, fill.instrument, fill.contracts)
    if instrument.kind != "option":
        session += fill_value(instrument, signed, fill.price_e10, decimals)
    tables.set_session(place.path, fill.instrument, session)
    if isinstance(side.side, Order):
        filled = (side.content, side.filled + fill.contracts)
        tables.put(tables.orders, (place.path, side.side.id), filled)
    _charge(chain, fill, instrument, decimals, side, place)


def _charge(
    chain: Chain, fill: Fill, instrument: Instrument, decimals: int, side: SideFacts, place: Place
) -> None:
    """Owe what a fill costs one side or brings it; none where no gate would move it.

    A liquidation trades like any order, so its bucket pays the fee of its side (never a rebate), and the
    penalty beside it: what margin plans (`margin.liquidation`) is what is booked. A takeover or deleveraging
    happens at a stated price and costs nothing.
    """
    fees, terms = instrument.fees, (instrument, fill.contracts, fill.price_e10, decimals)
    ppm = fees.taker_ppm if fill.taker == side.direction else fees.maker_ppm
    if isinstance(side.side, Closing):
        if side.side.cause != "liquidation":
            _note_forced(chain, fill, place, 0)
            return
        ppm = max(0, ppm)
        penalty = _penalty(side, fee_up(*terms, fees.liquidation_ppm))
        _note_forced(chain, fill, place, penalty)
        _owe(chain, place, "liquidation_surplus", instrument.quote, penalty)
    quote, rules, tables = instrument.quote, chain.ledger.rules, chain.ledger.tables
    if ppm > 0:
        _owe(chain, place, "fees", quote, fee_up(*terms, ppm))
    elif ppm < 0:
        way = rules.is_paid.get(("maker_rebate", place.rule.index, quote))
        if way is not None:
            tables.owe(("maker_rebate", way.source_to(place), place.path, quote), fee_down(*terms, -ppm))


def _penalty(side: SideFacts, units: int) -> int:
    """Cut a penalty to what margin allows of it: it must not cost more than the bucket has left."""
    cap = side.closing.penalty_max if side.closing is not None else None
    return units if cap is None else min(units, cap)


def _note_forced(chain: Chain, fill: Fill, place: Place, penalty: int) -> None:
    contracts, penalties = chain.forced.get((place.path, fill.instrument), (0, 0))
    chain.forced[place.path, fill.instrument] = contracts + fill.contracts, penalties + penalty


def _owe(chain: Chain, place: Place, accrual: str, quote: str, units: int) -> None:
    """Let a bucket owe units to wherever the gate for the accrual leads from it."""
    way = chain.ledger.rules.pays.get((accrual, place.rule.index, quote))
    if way is not None and units:
        chain.ledger.tables.owe((accrual, place.path, way.target_from(place), quote), units)
