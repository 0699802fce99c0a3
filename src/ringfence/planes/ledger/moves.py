"""Moves: gathering the facts of one, and booking it once it is accepted."""

from typing import Any

import msgspec

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import divide_up
from ringfence.planes.ledger import mandates, positions
from ringfence.planes.ledger.addresses import fault_of_address
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.drawing import drawable_units, drawn_debt
from ringfence.planes.ledger.exchange import ValueLeg, bind_legs, unequal_value
from ringfence.planes.ledger.interest import INTEREST, accrue_between
from ringfence.planes.ledger.ledger import ALL, EACH, Ledger, limited_members
from ringfence.planes.ledger.limits import spend
from ringfence.planes.ledger.mirroring import ESCROW, MIRROR, count_mirrored, mirror_units
from ringfence.planes.ledger.needs import names_for, names_through, unmet
from ringfence.planes.ledger.operations import Move, Request
from ringfence.planes.ledger.rules import DEBT_GATE, TOPPING, AssetRule, ExchangeRule, GateRule, Place, Way
from ringfence.planes.ledger.shortfall import (
    has_coins,
    pay_for,
    pay_shortfall,
    payable_units,
    pools_of,
    shortfall_units,
)
from ringfence.planes.ledger.statements import fault_of_statements
from ringfence.planes.ledger.transfer import Facts, decide

_SCALE_DIGITS = 38


def carry_out(chain: Chain, move: Move) -> Refused | None:
    """Decide one move of a request and book it; return why not, where it is refused."""
    facts = facts_for(chain, move)
    decision = decide(facts, move)
    source, target, way = facts.source, facts.target, facts.way
    if source is None or target is None or way is None:
        return decision if isinstance(decision, Refused) else None
    refusals = [decision] if isinstance(decision, Refused) else []
    if move.asset in chain.ledger.rules.instruments:
        refusals += positions.faults(chain, source, target, move.asset)
    if refusals:
        return min(refusals, key=lambda refused: refused.reason)
    book(chain, move, source, target, way.gate)
    return None


def facts_for(chain: Chain, move: Move) -> Facts:
    """Gather what one move is judged by, as the book stands now."""
    ledger = chain.ledger
    asset = ledger.rules.assets.get(move.asset)
    if asset is None and move.gate in ledger.rules.exchanges:
        asset = positions.contract_rule(ledger.rules, move.asset)
    source, target = ledger.place(move.source), ledger.place(move.target)
    if asset is None or source is None or target is None:
        return _facts_of_strangers(ledger, move, asset)
    way = ledger.rules.way(move.gate, source, target)
    if way is None or way.gate.unenforced or not way.accepts(move.asset):
        return Facts(asset=asset, source=source, target=target, way=way)
    if move.gate in ledger.rules.exchanges:
        return _exchange_facts(chain, move, asset, source, target, way)
    return _gate_facts(chain, move, asset, source, target, way)


def _facts_of_strangers(ledger: Ledger, move: Move, asset: AssetRule | None) -> Facts:
    source, target = ledger.rules.place(move.source), ledger.rules.place(move.target)
    closed = ""
    if source is not None and target is not None:
        closed = ledger.closed_member(source) or ledger.closed_member(target)
    return Facts(asset=asset, source=source, target=target, closed_member=closed)


def _gate_facts(chain: Chain, move: Move, asset: AssetRule, source: Place, target: Place, way: Way) -> Facts:
    ledger, gate = chain.ledger, way.gate
    room, limit = None, ""
    if gate.is_limited:
        room, limit = ledger.room(gate, limited_members(source, target), move.asset, chain.at)
    if INTEREST in gate.accrual:
        accrue_between(ledger, source, target, move.asset, chain.at)
    facts = Facts(
        asset=asset,
        source=source,
        target=target,
        way=way,
        signing=chain.signing,
        unmet=unmet(gate.needs, chain.signers, names_through(ledger.rules.keys, way, source, target)),
        has_text=bool(chain.request.reason.strip()),
        frozen=ledger.frozen(move.gate, move.source, move.target, move.asset),
        room_units=room,
        limit=limit,
        entitled_units=_entitled(chain, move, asset, source, gate) if gate.accrual else None,
        free_units=_free(ledger, source, asset, gate),
        total_room_units=ledger.total_room(move.source, move.target, move.asset),
        statement=fault_of_statements(ledger, gate, chain.at, chain.verify)
        or fault_of_address(ledger, gate, target, chain.at),
    )
    seldom = _seldom_asked(chain, move, asset, source, target, way)
    return msgspec.structs.replace(facts, **seldom) if seldom else facts


def _seldom_asked(
    chain: Chain, move: Move, asset: AssetRule, source: Place, target: Place, way: Way
) -> dict[str, Any]:
    """Gather the facts of `Facts` that only few gates and requests are judged by, each by its name."""
    ledger, gate, found = chain.ledger, way.gate, dict[str, Any]()
    if chain.request.reverses:
        found["reverses"], found["reversible_units"] = True, _reversible(chain, move)
    if gate.conditions:
        found["releasable_units"] = _releasable(chain, move)
    if gate.standing is not None:
        found["mandate"] = mandates.fault_of_mandate(ledger, gate, move, chain.at, chain.verify)
        found["mandate_units"] = mandates.room_of_mandate(ledger, gate, move)
    unpriced = _unpriced(chain, gate, move.asset)
    if unpriced is not None:
        found["price"], found["room_units"] = unpriced, None
    if move.gate == DEBT_GATE:
        found["waterfall"] = _waterfall_fault(chain, move, asset, target, way)
        found["debt_room_units"] = debt_room(ledger, asset, target)
    elif gate.draws:
        found.update(_facts_of_draw(ledger, move, source, target, gate))
    return found


def _facts_of_draw(
    ledger: Ledger, move: Move, source: Place, target: Place, gate: GateRule
) -> dict[str, Any]:
    """Gather what a gate that lends is judged by, which asks for no entitlement."""
    drawn = drawn_debt(ledger, gate, source, target, move.asset)
    if isinstance(drawn, Refused):
        return {"waterfall": drawn, "entitled_units": None}
    frozen = ledger.frozen(move.gate, move.source, move.target, move.asset)
    return {
        "frozen": frozen or ledger.frozen(move.gate, move.source, move.target, drawn.name),
        "debt_room_units": drawable_units(ledger, drawn, target),
        "entitled_units": None,
    }


def _unpriced(chain: Chain, gate: GateRule, asset: str) -> Refused | None:
    """Say why an amount cannot be valued for the gate's limits; None where it can, or need not be."""
    if gate.valued_in is None:
        return None
    rate = chain.ledger.rate(asset, gate.valued_in, chain.at, gate.line)
    return rate if isinstance(rate, Refused) else None


def _free(ledger: Ledger, source: Place, asset: AssetRule, gate: GateRule) -> int | None:
    """Return what a source may give; what it owes is paid from what is held for others too."""
    if source.rule.two_sided or asset.debt_in is not None:
        return None
    if asset.name in ledger.rules.instruments:
        return positions.held_contracts(ledger, source, asset.name)
    held = 0 if gate.accrual else ledger.tables.held.get((source.path, asset.name), 0)
    return max(0, ledger.tables.balance(source.path, asset.name) - held)


def _releasable(chain: Chain, move: Move) -> int | None:
    units = chain.conditions.releasable.get(move.source, {}).get(move.asset)
    if units is None:
        return None
    return units - chain.released.get((move.source, move.asset), 0)


def _reversible(chain: Chain, move: Move) -> int | None:
    key = (chain.request.reverses, move.target, move.source, move.asset)
    return chain.ledger.tables.reversible.get(key)


# --- what is owed ------------------------------------------------------------------------------


def _entitled(chain: Chain, move: Move, asset: AssetRule, source: Place, gate: GateRule) -> int:
    """Return what is owed from source to target under the gate's accruals."""
    ledger = chain.ledger
    if gate.name == DEBT_GATE:
        return _owed_by_borrower(chain, move, asset)
    total = 0
    for accrual in gate.accrual:
        if accrual == "shortfall":
            owing = chain.owing_to(move.target, move.asset)
            total += shortfall_units(ledger.rules, ledger.tables, source, move.target, move.asset, owing)
        if accrual == TOPPING:
            lacking = chain.conditions.lacking.get(move.target, {}).get(move.asset, 0)
            total += lacking - chain.topped.get((move.target, move.asset), 0)
        if accrual == MIRROR and (target := ledger.place(move.target)) is not None:
            total += mirror_units(ledger, asset, source, target)
        if accrual != "shortfall":
            total += ledger.tables.owed.get((accrual, move.source, move.target, move.asset), 0)
    return total


def _owed_by_borrower(chain: Chain, move: Move, asset: AssetRule) -> int:
    """Return what the bucket that would borrow has to pay into clearing in the debt's coin."""
    clearing = chain.ledger.rules.clearing
    if clearing is None or asset.debt_in is None:
        return 0
    return payable_units(chain.ledger.tables, move.target, clearing, asset.debt_in)


def _waterfall_fault(chain: Chain, move: Move, asset: AssetRule, bucket: Place, way: Way) -> Refused | None:
    """Say what stands against lending to a bucket: its own coins, or a pool whose turn it is."""
    ledger, fall, coin = chain.ledger, bucket.rule.waterfall, asset.debt_in
    if fall is None or fall.last != move.source or fall.record != move.asset or coin is None:
        words = f"the waterfall of {bucket.path} has not {move.source} last with {move.asset}"
        return Refused(Reason.WATERFALL_DOES_NOT_NAME_IT, words, way.gate.line)
    if ledger.tables.balance(bucket.path, coin) > 0:
        words = f"{bucket.path} still holds {coin}; it pays with its own first"
        return Refused(Reason.WATERFALL_STEP_SKIPPED, words, way.gate.line)
    if has_coins(ledger.rules, ledger.tables, bucket):
        return None
    for pool in pools_of(bucket):
        if pool_units(ledger, pool, coin, chain.at) > 0:
            words = f"{pool} can still pay for {bucket.path}; it comes before {move.source}"
            return Refused(Reason.WATERFALL_STEP_SKIPPED, words, way.gate.line)
    return None


def pool_units(ledger: Ledger, path: str, asset: str, at: Instant) -> int:
    """Return what a pool can pay of a shortfall now: its balance, as far as its gate lets it."""
    pool = ledger.place(path)
    way = ledger.rules.pays.get(("shortfall", pool.rule.index, asset)) if pool is not None else None
    if pool is None or way is None:
        return 0
    target = way.target_from(pool)
    if ledger.frozen(way.gate.name, path, target, asset):
        return 0
    room, _ = ledger.room(way.gate, pool.members, asset, at)
    held = ledger.tables.balance(path, asset)
    return held if room is None else min(held, room)


def debt_room(ledger: Ledger, asset: AssetRule, bucket: Place) -> int | None:
    """Return how much more a bucket may borrow; a loss that nothing is left to pay is recorded in full."""
    if asset.debt_cap_units is None or not has_coins(ledger.rules, ledger.tables, bucket):
        return None
    return max(0, asset.debt_cap_units - ledger.tables.balance(bucket.path, asset.name))


# --- exchanges ---------------------------------------------------------------------------------


def _exchange_facts(
    chain: Chain, move: Move, asset: AssetRule, source: Place, target: Place, way: Way
) -> Facts:
    ledger, gate = chain.ledger, way.gate
    rule = ledger.rules.exchanges[gate.name]
    legs = legs_of(chain.request, gate.name)
    binding = bind_exchange(ledger, rule, legs)
    room, limit = ledger.room(gate, limited_members(source, target), move.asset, chain.at)
    is_position = move.asset in ledger.rules.instruments
    unpriced = positions.mark_fault(chain, move, gate.line) if is_position else None
    unpriced = unpriced or _unpriced(chain, gate, move.asset)
    return Facts(
        asset=asset,
        source=source,
        target=target,
        way=way,
        legs_differ=_legs_fault(chain, gate, rule, binding),
        signing=chain.signing,
        unmet=unmet(gate.needs, chain.signers, names_for(ledger.rules.keys, None, binding)),
        reverses=chain.request.reverses != 0,
        frozen=ledger.frozen(gate.name, move.source, move.target, move.asset),
        releasable_units=_releasable(chain, move) if gate.conditions else None,
        room_units=None if unpriced else room,
        limit=limit,
        entitled_units=_repayable(ledger, move, asset, legs) if gate.accrual else None,
        free_units=_free(ledger, source, asset, gate),
        total_room_units=positions.room_units(ledger, move),
        price=unpriced or _price_fault(chain, rule, legs),
        statement=fault_of_statements(ledger, gate, chain.at, chain.verify),
    )


def legs_of(request: Request, exchange: str) -> list[Move]:
    """List the moves of a request that are legs of an exchange."""
    return [link for link in request.links if isinstance(link, Move) and link.gate == exchange]


def bind_exchange(ledger: Ledger, rule: ExchangeRule, legs: list[Move]) -> dict[str, str] | None:
    """Bind an exchange's variables to the members of its legs; None where the moves are not its legs."""
    return bind_legs(rule, [_value_way(ledger, leg) for leg in legs])


def _value_way(ledger: Ledger, leg: Move) -> tuple[str, str]:
    """Say who gives value to whom: a debt is given by the one who gets rid of the claim, its target."""
    asset = ledger.rules.assets.get(leg.asset)
    is_debt = asset is not None and asset.debt_in is not None
    return (leg.target, leg.source) if is_debt else (leg.source, leg.target)


def _legs_fault(chain: Chain, gate: GateRule, rule: ExchangeRule, binding: dict[str, str] | None) -> str:
    if chain.request.exchange != gate.name:
        return f"a leg of {gate.name} belongs to a request whose exchange is {gate.name}"
    if binding is None:
        legs = ", ".join(f"{source} -> {target}" for source, target in rule.legs)
        return f"{gate.name} is {legs}, all in one request"
    return ""


def _repayable(ledger: Ledger, move: Move, asset: AssetRule, legs: list[Move]) -> int:
    """Return what may be moved to repay a debt: the debt, and coins of the bucket that owes it."""
    if asset.debt_in is not None:
        return max(0, ledger.tables.balance(move.source, move.asset))
    debts = {name for name, one in ledger.rules.assets.items() if one.debt_in is not None}
    owing = {leg.source for leg in legs if leg.asset in debts}
    return move.units if move.source in owing else 0


def _price_fault(chain: Chain, rule: ExchangeRule, legs: list[Move]) -> Refused | None:
    """Compare what everyone gives and receives at the index."""
    if rule.band_ppm is None:
        return None
    values: list[ValueLeg] = []
    for leg in legs:
        if leg.asset in chain.ledger.rules.instruments:
            continue  # It passes at the mark, which is its whole value.
        price = chain.ledger.worth(leg.asset, chain.at, rule.gate.line)
        if isinstance(price, Refused):
            return price
        giver, receiver = _value_way(chain.ledger, leg)
        scale = 10 ** (_SCALE_DIGITS - chain.ledger.rules.assets[leg.asset].decimals)
        values.append(ValueLeg(giver, receiver, leg.units * price * scale))
    party = unequal_value(values, rule.band_ppm)
    if party:
        words = f"what {party} gives and receives differs by more than {rule.band_ppm} ppm of the index"
        return Refused(Reason.PRICE_OUTSIDE_BAND, words, rule.gate.line)
    return None


# --- booking -----------------------------------------------------------------------------------


def book(chain: Chain, move: Move, source: Place, target: Place, gate: GateRule) -> None:
    """Book a move that was accepted: units, what was owed, limits, and what may be reversed."""
    tables = chain.ledger.tables
    if gate.draws:
        _lend(chain, move, source, target, gate)
    elif gate.accrual:
        _take_off(chain, move, source, gate)
    if move.asset in chain.ledger.rules.instruments:
        positions.pass_on(chain, move, source, target)
    else:
        chain.book(source, target, move.asset, move.units)
    if TOPPING in gate.accrual:
        topped = chain.topped.get((move.target, move.asset), 0)
        chain.topped[move.target, move.asset] = topped + move.units
    mandates.count(chain.ledger, gate, move)
    count_mirrored(chain.ledger, gate, move.asset, source, target, move.units)
    if source.rule.role == ESCROW:
        chain.unlocked[source.path] = source
    if gate.is_limited:
        _count(chain, move, gate, source, target)
    if gate.conditions:
        key = (move.source, move.asset)
        chain.released[key] = chain.released.get(key, 0) + move.units
    if chain.request.reverses:
        original = (chain.request.reverses, move.target, move.source, move.asset)
        tables.put(tables.reversible, original, tables.reversible.get(original, 0) - move.units)
    if (source.rule.index, target.rule.index) in chain.ledger.rules.reversible:
        made = (chain.request.id, move.source, move.target, move.asset)
        tables.put(tables.reversible, made, tables.reversible.get(made, 0) + move.units)


def _count(chain: Chain, move: Move, gate: GateRule, source: Place, target: Place) -> None:
    tables, units, counted = chain.ledger.tables, move.units, gate.counted_in(move.asset)
    if counted != move.asset:
        rate = chain.ledger.rate(move.asset, counted, chain.at, gate.line)
        units = 0 if isinstance(rate, Refused) else divide_up(units * rate[0], rate[1])
    for scope, caps, who in ((EACH, gate.each, limited_members(source, target)), (ALL, gate.all, ())):
        cap = caps.get(counted)
        if cap is not None:
            key = (gate.name, scope, who, counted)
            tables.put(tables.windows, key, spend(cap, tables.windows.get(key, ()), units, chain.at))


def _lend(chain: Chain, move: Move, source: Place, target: Place, gate: GateRule) -> None:
    """Book the debt of a draw beside its coins."""
    debt = drawn_debt(chain.ledger, gate, source, target, move.asset)
    if isinstance(debt, AssetRule):
        chain.book(source, target, debt.name, move.units)


def _take_off(chain: Chain, move: Move, source: Place, gate: GateRule) -> None:
    """Take a moved amount off what was owed, in the order of the gate's accruals."""
    rules, tables = chain.ledger.rules, chain.ledger.tables
    if gate.name == DEBT_GATE:
        _take_over(chain, move)
        return
    left = move.units
    for accrual in gate.accrual:
        if accrual == "shortfall":
            owing = chain.owing_to(move.target, move.asset)
            left = pay_shortfall(rules, tables, source, move.target, move.asset, left, owing)
            continue
        key = (accrual, move.source, move.target, move.asset)
        part = min(left, tables.owed.get(key, 0))
        if part:
            tables.owe(key, -part)
        left -= part


def _take_over(chain: Chain, move: Move) -> None:
    """Let the lender owe clearing what the bucket owed: from now on the bucket owes the lender."""
    rules, tables = chain.ledger.rules, chain.ledger.tables
    coin = rules.assets[move.asset].debt_in
    if rules.clearing is None or coin is None:
        return
    pay_for(tables, move.target, rules.clearing, coin, move.units)
    key = ("shortfall", move.source, rules.clearing, coin)
    tables.owe(key, move.units)
    chain.due.add(key)
