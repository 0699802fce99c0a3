"""Moving a position: contracts pass from one bucket to another at the mark.

At the mark nobody gains: the bucket that gives keeps its session profit, the one that takes begins with none.
So a position can change its bucket, or its owner where both agree (a give-up), while no value crosses a wall.
What is moved is a part of the position that the source holds, long or short. Margin judges both ends as it
judges a trade.
"""

from collections.abc import Iterator

from ringfence.kernel.decision import REASONS, Reason, Refused
from ringfence.kernel.money import BALANCE_MAX
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.operations import Move
from ringfence.planes.ledger.rules import AssetRule, Place, Rules
from ringfence.planes.ledger.settlement import fill_value


def contract_rule(rules: Rules, name: str) -> AssetRule | None:
    """Return contracts of an instrument as an asset: whole ones, worth nothing by themselves at the mark."""
    if name not in rules.instruments:
        return None
    return AssetRule(name=name, decimals=0, debt_in=None, worth_as=name, debt_cap_units=None, price=None)


def mark_name(rules: Rules, instrument: str) -> str:
    """Name the price that positions in an instrument pass at: its mark, or its index where it has none."""
    mark = f"mark/{instrument}"
    return mark if mark in rules.prices else rules.instruments[instrument].index


def held_contracts(ledger: Ledger, source: Place, instrument: str) -> int:
    """Return how many contracts a bucket can pass on, long or short."""
    return abs(ledger.tables.balance(source.path, instrument))


def room_units(ledger: Ledger, move: Move) -> int:
    """Return the contracts until a running total at either end is full."""
    tables = ledger.tables
    totals = (tables.balances.totals(path, move.asset) for path in (move.source, move.target))
    return BALANCE_MAX - max(total for both in totals for total in both)


def mark_fault(chain: Chain, move: Move, line: str) -> Refused | None:
    """Say why there is no price for a position to pass at; None where there is."""
    ledger, name = chain.ledger, mark_name(chain.ledger.rules, move.asset)
    if ledger.rules.instruments[move.asset].kind == "option":
        words = f"{move.asset} is an option: it passes by a fill, with its premium"
        return Refused(Reason.TRADE_NOT_ALLOWED, words, line)
    expires = ledger.rules.instruments[move.asset].expires
    if expires is not None and chain.at >= expires:
        return Refused(Reason.TRADE_NOT_ALLOWED, f"{move.asset} has expired; it is only settled now", line)
    price, is_stale = ledger.price(name, chain.at)
    if price is None:
        return Refused(Reason.PRICE_MISSING, f"the book holds no price {name} to pass at", line)
    if is_stale:
        return Refused(Reason.PRICE_STALE, f"{name} is too old; a fresh price must come first", line)
    return None


def faults(chain: Chain, source: Place, target: Place, instrument: str) -> Iterator[Refused]:
    """Say what a halt of trading or margin has against either end."""
    halts = chain.ledger.trading_halts(target, instrument)
    if halts:
        words = f"trading of {target.path} is halted ({', '.join(sorted(halts))}); it takes no position on"
        reason = Reason.CANCEL_ONLY if "cancel_only" in halts else Reason.REDUCE_ONLY
        yield Refused(reason, words, target.rule.line)
    for place in (source, target):
        if not place.rule.margined:
            continue
        verdict = chain.conditions.trade.get(place.path)
        if verdict is None:
            words = f"margin did not judge what {place.path} would hold"
            yield Refused(Reason.CONDITION_NOT_MET, words, place.rule.line)
        elif verdict:
            reason = REASONS[verdict]
            yield Refused(reason, f"{place.path}: {reason.meaning}", place.rule.line)


def pass_on(chain: Chain, move: Move, source: Place, target: Place) -> None:
    """Book contracts from one bucket to another at the mark; what its price is was judged before."""
    ledger, tables = chain.ledger, chain.ledger.tables
    instrument = ledger.rules.instruments[move.asset]
    price, _ = ledger.price(mark_name(ledger.rules, move.asset), chain.at)
    if price is None:
        return
    is_long = tables.balance(source.path, move.asset) > 0
    giver, taker = (source, target) if is_long else (target, source)
    decimals = ledger.rules.assets[instrument.quote].decimals
    value = fill_value(instrument, move.units, price.price_e10, decimals)
    sessions = {place: tables.session_value(place.path, move.asset) for place in (giver, taker)}
    chain.book(giver, taker, move.asset, move.units)
    tables.set_session(giver.path, move.asset, sessions[giver] - value)
    tables.set_session(taker.path, move.asset, sessions[taker] + value)
