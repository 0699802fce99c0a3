"""Writing the links that pay what is owed, in the order the ledger asks for.

Nothing here decides anything: the links become a request that is signed and judged like any other. They are
found by rehearsing on the book and taking everything back, so that they always fit the state they are for.

    debits      every bucket that owes pays with its own
    cover       pools pay for those of their waterfalls who have nothing left, in proportion
    debts       whoever stands last lends the rest, recorded as debts of the buckets
    last        and pays it into clearing
    credits     then everybody who is owed is paid, and the rounding compartment
"""

from collections.abc import Iterator, Mapping, Sequence

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger import moves, settling
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.interest import INTEREST, accrue_all
from ringfence.planes.ledger.ledger import limited_members
from ringfence.planes.ledger.operations import Fill, Fund, Link, Move, Settle
from ringfence.planes.ledger.options import PREMIUM, premium_units
from ringfence.planes.ledger.rules import DEBT_GATE, Place, Rules, Way
from ringfence.planes.ledger.shortfall import payable_units, pools_of, shortfall_units

SHORTFALL = "shortfall"
CHARGES: tuple[str, ...] = ("fees", "liquidation_surplus", "maker_rebate", INTEREST)
"""What fills and time make owed and is collected when there is something to collect, in this order."""


def settlement_links(state: BookState, links: Sequence[Settle | Fund], at: Instant) -> tuple[Link, ...]:
    """Return the links followed by the moves that pay all they make due, as one chain.

    Where somebody's shortfall cannot be borne (no waterfall, or a debt cap while collateral is left) the
    chain is returned short and will be refused, naming what stays unpaid.
    """
    chain = settling.rehearse(state.ledger, links, at)
    try:
        paid = [
            *_pay_debits(chain),
            *_pay_covers(chain),
            *_issue_debts(chain),
            *_pay_lasts(chain),
            *_pay_credits(chain),
        ]
    finally:
        state.ledger.tables.rollback()
    return (*links, *paid)


def collection_links(state: BookState, at: Instant, accruals: Sequence[str] = CHARGES) -> tuple[Move, ...]:
    """Return the moves that collect what is owed under some accruals, as far as sources and limits allow."""
    chain = settling.rehearse(state.ledger, (), at)
    try:
        if INTEREST in accruals:
            accrue_all(state.ledger, at)
        return tuple(move for accrual in accruals for move in _collect(chain, accrual))
    finally:
        state.ledger.tables.rollback()


def premium_moves(rules: Rules, fill: Fill) -> tuple[Move, ...]:
    """Return the moves that pay the premium of a fill, to follow it in its request; none but for options."""
    instrument, clearing = rules.instruments.get(fill.instrument), rules.place(rules.clearing or "")
    buyer, seller = rules.place(fill.buy.bucket), rules.place(fill.sell.bucket)
    if instrument is None or instrument.kind != "option":
        return ()
    if clearing is None or buyer is None or seller is None:
        return ()
    quote = instrument.quote
    units = premium_units(rules, fill, instrument)
    pays, is_paid = (PREMIUM, buyer.rule.index, quote), (PREMIUM, seller.rule.index, quote)
    ways = ((rules.pays.get(pays), buyer, clearing), (rules.is_paid.get(is_paid), clearing, seller))
    return tuple(
        Move(way.gate.name, source.path, target.path, quote, units)
        for way, source, target in ways
        if way is not None and units
    )


def _collect(chain: Chain, accrual: str) -> Iterator[Move]:
    ledger = chain.ledger
    for (word, source, target, asset), units in sorted(ledger.tables.owed.items()):
        start, end = ledger.place(source), ledger.place(target)
        if word != accrual or start is None or end is None:
            continue
        pays, is_paid = (accrual, start.rule.index, asset), (accrual, end.rule.index, asset)
        way = ledger.rules.pays.get(pays) or ledger.rules.is_paid.get(is_paid)
        if way is not None:
            room, _ = ledger.room(way.gate, limited_members(start, end), asset, chain.at)
            free = ledger.tables.balance(source, asset)
            part = min(units, free, units if room is None else room)
            yield from _move(chain, way, start, end, asset, part)


def _pay_debits(chain: Chain) -> Iterator[Move]:
    tables = chain.ledger.tables
    for (clearing, asset), owing in sorted(chain.owing.items()):
        for path in sorted(owing):
            units = min(payable_units(tables, path, clearing, asset), tables.balance(path, asset))
            yield from _pay(chain, settling.VARIATION, owing[path], clearing, asset, units)


def _pay_covers(chain: Chain) -> Iterator[Move]:
    for (clearing, asset), owing in sorted(chain.owing.items()):
        for path in _pools(chain, owing):
            pool = chain.ledger.place(path)
            if pool is not None:
                units = min(
                    _shortfall(chain, pool, clearing, asset),
                    moves.pool_units(chain.ledger, path, asset, chain.at),
                )
                yield from _pay(chain, SHORTFALL, pool, clearing, asset, units)


def _pools(chain: Chain, owing: Mapping[str, Place]) -> Iterator[str]:
    """Name every pool that may be asked, in the order of the waterfalls and their steps, then of buckets."""
    ranks = {
        (rank, step, path): pool
        for rank, fall in enumerate(chain.ledger.rules.waterfalls.values())
        for path, bucket in owing.items()
        if bucket.rule.waterfall is not None and bucket.rule.waterfall.name == fall.name
        for step, pool in enumerate(pools_of(bucket))
    }
    return iter(dict.fromkeys(ranks[key] for key in sorted(ranks)))


def _issue_debts(chain: Chain) -> Iterator[Move]:
    ledger = chain.ledger
    for (clearing, asset), owing in sorted(chain.owing.items()):
        for path in sorted(owing):
            fall = owing[path].rule.waterfall
            units = payable_units(ledger.tables, path, clearing, asset)
            if not units or fall is None or fall.last is None or fall.record is None:
                continue
            room = moves.debt_room(ledger, ledger.rules.assets[fall.record], owing[path])
            lender = ledger.place(fall.last)
            way = ledger.rules.way(DEBT_GATE, lender, owing[path]) if lender is not None else None
            if lender is not None and way is not None:
                units = units if room is None else min(units, room)
                yield from _move(chain, way, lender, owing[path], fall.record, units)


def _pay_lasts(chain: Chain) -> Iterator[Move]:
    rules = chain.ledger.rules
    lasts = dict.fromkeys(fall.last for fall in rules.waterfalls.values() if fall.last is not None)
    for clearing, asset in sorted(chain.owing):
        for path in lasts:
            last = chain.ledger.place(path)
            if last is not None:
                units = _shortfall(chain, last, clearing, asset)
                yield from _pay(chain, SHORTFALL, last, clearing, asset, units)


def _pay_credits(chain: Chain) -> Iterator[Move]:
    """Pay out of clearing whatever is due from it, one move for each gate and receiver."""
    ledger = chain.ledger
    payouts: dict[tuple[str, str, str, str], tuple[Way, int]] = {}
    for accrual, source, target, asset in sorted(chain.due):
        start, end = ledger.place(source), ledger.place(target)
        if start is None or end is None or not start.rule.nets_to_zero:
            continue
        way = ledger.rules.is_paid.get((accrual, end.rule.index, asset))
        units = ledger.tables.owed.get((accrual, source, target, asset), 0)
        if way is not None and units:
            key = (way.gate.name, source, target, asset)
            payouts[key] = (way, payouts.get(key, (way, 0))[1] + units)
    for (_, source, target, asset), (way, units) in payouts.items():
        start, end = ledger.place(source), ledger.place(target)
        if start is not None and end is not None:
            yield from _move(chain, way, start, end, asset, units)


def _shortfall(chain: Chain, payer: Place, clearing: str, asset: str) -> int:
    ledger, owing = chain.ledger, chain.owing_to(clearing, asset)
    return shortfall_units(ledger.rules, ledger.tables, payer, clearing, asset, owing)


def _pay(chain: Chain, accrual: str, source: Place, clearing: str, asset: str, units: int) -> Iterator[Move]:
    way = chain.ledger.rules.pays.get((accrual, source.rule.index, asset))
    target = chain.ledger.place(clearing)
    if way is not None and target is not None:
        yield from _move(chain, way, source, target, asset, units)


def _move(chain: Chain, way: Way, source: Place, target: Place, asset: str, units: int) -> Iterator[Move]:
    """Rehearse one move, so that the next one is found in the state after it."""
    if units > 0:
        move = Move(way.gate.name, source.path, target.path, asset, units)
        moves.book(chain, move, source, target, way.gate)
        yield move
