"""From a bucket that failed to the facts its waterfall is planned with, read from a book.

A takeover in which the taker bears a loss is a deficit on open contracts; what a bucket lacks beside its
positions is one in coins. Pools are taken with what they hold and the room their gate to clearing has;
winners are the buckets of the class on the other side of the position.
"""

from collections.abc import Iterator, Mapping

from ringfence.kernel.money import UNITS_MAX, divide_down
from ringfence.margin.bucket import Bucket
from ringfence.margin.exposure import exposures
from ringfence.margin.health import PositionTerm, contract_of, health, position_term
from ringfence.margin.liquidation import Liquidation
from ringfence.margin.marks import Prices
from ringfence.margin.reading import bucket_in
from ringfence.margin.takeover import Takeover
from ringfence.margin.terms import Terms
from ringfence.margin.waterfall import Deficit, PoolFacts, WinnerFacts
from ringfence.planes.ledger.book import BookState
from ringfence.policy.families import fill, match
from ringfence.policy.model import CoverStep, DeleverageStep, Step, Waterfall


def waterfall_of(state: BookState, path: str) -> Waterfall | None:
    """Return the waterfall that covers a bucket, its pools those of its own member; or None."""
    for fall in state.rules.policy.waterfalls.values():
        for covered in fall.covers:
            member = match(covered, path)
            if member is not None:
                return fall.model_copy(update={"steps": tuple(_for(step, member) for step in fall.steps)})
    return None


def _for(step: Step, member: Mapping[str, str]) -> Step:
    if isinstance(step, CoverStep):
        return step.model_copy(update={"compartment": fill(step.compartment, member)})
    return step


def deficits(name: str, plan: Liquidation, terms: Terms) -> Iterator[tuple[Takeover | None, Deficit]]:
    """Say what a failed bucket lacks: on each position that passes at a loss, and in coins (None)."""
    for row in plan.takeovers:
        deficit = deficit_on(name, row, terms)
        if deficit is not None:
            yield row, deficit
    if plan.outcome == "bankrupt" and plan.after.equity < 0:
        yield None, Deficit(name, -plan.after.equity)


def deficit_on(name: str, row: Takeover, terms: Terms) -> Deficit | None:
    """Say what the taker of a position loses, which the failed bucket lacks; None where it loses nothing."""
    if row.share >= 0:
        return None
    contract = contract_of(terms, row.instrument)
    worth = contract.value_down(row.contracts, row.mark_e10)
    loss = contract.value_up(row.contracts, row.price_e10) - worth
    return Deficit(name, loss, contracts=abs(row.contracts), lot_units=max(1, row.lot_units))


def pools_in(state: BookState, fall: Waterfall, asset: str) -> Mapping[str, PoolFacts]:
    """Return what each pool of a waterfall can pay in one coin now."""
    pools = {}
    for step in fall.steps:
        if isinstance(step, CoverStep):
            units = max(0, state.balance(step.compartment, asset))
            pools[step.compartment] = PoolFacts(units, _room(state, step.compartment, asset))
    return pools


def can_bear(state: BookState, path: str, instrument: str, units: int, prices: Prices, terms: Terms) -> bool:
    """Say whether a pool that may take over an instrument from a bucket could lose so many units of quote.

    A pool has its balance and what its own positions made or lost, as far as its gate lets through.
    """
    fall, asset = waterfall_of(state, path), contract_of(terms, instrument).quote
    pools = pools_in(state, fall, asset) if fall is not None else {}
    for pool, facts in pools.items():
        place = state.rules.place(pool)
        has = state.balance(pool, asset) + _session_profit(state, pool, asset, prices, terms)
        if place is not None and instrument in place.rule.takes_over and min(has, facts.room_units) >= units:
            return True
    return False


def _session_profit(state: BookState, pool: str, asset: str, prices: Prices, terms: Terms) -> int:
    """Return what a pool made since the last settlement; positions without a mark count as nothing."""
    return sum(
        contract_of(terms, name).value_down(held.contracts, prices.marks[name]) - held.session_value
        for name, held in state.positions_of(pool).items()
        if name in prices.marks and contract_of(terms, name).quote == asset
    )


def _room(state: BookState, pool: str, asset: str) -> int:
    """Return what the limit of a pool's gate to clearing lets through; 0 where it has no such gate."""
    rules = state.rules
    place = rules.place(pool)
    way = None if place is None else rules.pays.get(("shortfall", place.rule.index, asset))
    if way is None or rules.clearing is None:
        return 0
    room = state.room(way.gate.name, pool, rules.clearing, asset)
    return UNITS_MAX if room is None else room


def winners_in(
    state: BookState, fall: Waterfall, passed: Takeover, prices: Prices, terms: Terms
) -> tuple[WinnerFacts, ...]:
    """Return the buckets of the waterfall's classes that hold the other side of a position, in name order."""
    classes = {name for step in fall.steps if isinstance(step, DeleverageStep) for name in step.classes}
    found = []
    for path, held in sorted(state.positions(passed.instrument).items()):
        place = state.rules.place(path)
        if place is None or place.rule.pattern not in classes or held.contracts * passed.contracts >= 0:
            continue
        found.append(_winner(state, path, place.rule.pattern, passed.instrument, prices, terms))
    return tuple(found)


def _winner(
    state: BookState, path: str, pattern: str, instrument: str, prices: Prices, terms: Terms
) -> WinnerFacts:
    bucket = bucket_in(state, path)
    position = bucket.position(instrument)
    term = position_term(position, prices, terms)
    return WinnerFacts(
        bucket=path,
        pattern=pattern,
        contracts=position.contracts,
        profit=term.session_profit,
        equity=health(bucket, prices, terms).equity,
        notional=term.notional,
        entry=abs(position.session_value),
        net_contracts=_net_contracts(bucket, term, prices, terms),
    )


def _net_contracts(bucket: Bucket, term: PositionTerm, prices: Prices, terms: Terms) -> int:
    """Return the delta of a whole bucket in the position's underlying, in its contracts, to the nearest."""
    underlying = contract_of(terms, term.instrument).underlying
    lean = next(sum(one.parts) for one in exposures(bucket, prices, terms) if one.underlying == underlying)
    return divide_down(2 * lean * abs(term.contracts) + term.notional, 2 * term.notional)
