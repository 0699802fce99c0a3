"""Compiling a policy for the ledger: which ways lead where, and what this book will not open.

The policy is taken as checked (`policy.check`). Two policies with one digest compile to the same rules, so
everything whose order has no meaning is put in one order first. What the ledger does not enforce yet is never
passed over in silence: a gate that uses such a word is compiled shut, and every gap is a note.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import get_args

from ringfence.planes.ledger.mirroring import MIRROR
from ringfence.planes.ledger.operations import StatementWord
from ringfence.planes.ledger.options import PREMIUM, is_settled_by_premium
from ringfence.planes.ledger.rules import (
    DEBT_GATE,
    DRAW,
    EVIDENCE_NEEDS,
    TOPPING,
    AssetRule,
    CompartmentRule,
    ExchangeRule,
    GateRule,
    HaltRule,
    KeyRule,
    Rules,
    WaterfallRule,
    Way,
)
from ringfence.policy.digest import digest
from ringfence.policy.families import fill, is_variable, match, parts_of, variables_of
from ringfence.policy.model import (
    Asset,
    Compartment,
    CoverStep,
    DeleverageStep,
    Exchange,
    Finding,
    Gate,
    KeyNeed,
    Need,
    Plane,
    Policy,
    Quorum,
    Waterfall,
)

PLANE: Plane = "ledger"

BUILT_ACCRUALS = frozenset(
    {
        "receipts",
        "variation",
        "funding",
        "fees",
        "maker_rebate",
        "liquidation_surplus",
        "shortfall",
        "residue",
        "interest",
        DRAW,
        TOPPING,
        MIRROR,
        PREMIUM,
    }
)
"""What the ledger works out itself from journalled facts and lets a gate move."""

BUILT_EXCHANGE_ACCRUALS = frozenset({"debt_repayment"})

STATEMENTS = frozenset(get_args(StatementWord))
BUILT_CONDITIONS = STATEMENTS | {"releasable"}


def compile_policy(policy: Policy, planes: tuple[Plane, ...] = (PLANE,)) -> Rules:
    """Compile what the ledger enforces of a checked policy.

    planes: those that the book enforces; whatever lies on another plane is noted as not enforced.
    """
    waterfalls = {
        name: _waterfall_rule(policy, name, fall) for name, fall in sorted(policy.waterfalls.items())
    }
    compartments = tuple(
        _compartment_rule(policy, waterfalls, index, pattern, compartment)
        for index, (pattern, compartment) in enumerate(sorted(policy.compartments.items()))
    )
    gates = {
        name: _gate_rule(policy, name, gate)
        for name, gate in sorted(policy.gates.items())
        if PLANE in gate.on
    }
    exchanges = {
        name: _exchange_rule(policy, name, exchange)
        for name, exchange in sorted(policy.exchanges.items())
        if PLANE in exchange.on
    }
    ways = _ways(policy, gates, exchanges, waterfalls, compartments)
    pays, is_paid = _payments(ways)
    return Rules(
        name=policy.name,
        digest=digest(policy),
        numeraire=policy.numeraire,
        planes=planes,
        assets={name: _asset_rule(policy, name, asset) for name, asset in policy.assets.items()},
        instruments=policy.instruments,
        prices=policy.prices,
        keys={name: KeyRule(name, key.per) for name, key in policy.keys.items()},
        families=frozenset(name for name, party in policy.parties.items() if party.family),
        holders={name: tuple(sorted(service.holds)) for name, service in policy.services.items()},
        compartments=compartments,
        gates=gates,
        exchanges=exchanges,
        ways=ways,
        pays=pays,
        is_paid=is_paid,
        reversible=frozenset((end, start) for (_, start, end), leading in ways.items() if _reverses(leading)),
        computed_by=_computed_by(policy),
        waterfalls=waterfalls,
        halts={
            kind: HaltRule(in_order(halt.needs), in_order(halt.lift)) for kind, halt in policy.halts.items()
        },
        clearing=_only(compartments, "clearing"),
        rounding=_only(compartments, "rounding"),
        notes=tuple(
            _notes(policy, planes, gates, exchanges, frozenset(word for word, _, _ in (*pays, *is_paid)))
        ),
        policy=policy,
        attestors=_attestors(policy),
        service_keys=_service_keys(policy),
        delayed=frozenset(rule.name for rule in _all_gates(gates, exchanges) if rule.delay_ns),
    )


# --- rules, one by one -------------------------------------------------------------------------


def _asset_rule(policy: Policy, name: str, asset: Asset) -> AssetRule:
    price = asset.price
    if price is None and name != policy.numeraire and not (asset.debt_in or asset.mirrors):
        price = f"index/{name}"
    return AssetRule(
        name=name,
        decimals=asset.decimals,
        debt_in=asset.debt_in,
        worth_as=asset.debt_in or asset.mirrors or name,
        debt_cap_units=asset.debt_cap_units,
        price=price,
        interest_ppm=asset.interest_ppm_per_year or 0,
        mirrors=asset.mirrors,
    )


def _waterfall_rule(policy: Policy, name: str, waterfall: Waterfall) -> WaterfallRule:
    pools = tuple(step.compartment for step in waterfall.steps if isinstance(step, CoverStep))
    classes = (step.classes for step in waterfall.steps if isinstance(step, DeleverageStep))
    return WaterfallRule(
        name=name,
        covers=waterfall.covers,
        pools=pools,
        last=waterfall.last,
        record=waterfall.record,
        classes=frozenset(pattern for patterns in classes for pattern in patterns),
        line=policy.line("waterfalls", name),
    )


def _compartment_rule(
    policy: Policy,
    waterfalls: Mapping[str, WaterfallRule],
    index: int,
    pattern: str,
    compartment: Compartment,
) -> CompartmentRule:
    external = compartment.kind == "external"
    trade = compartment.trade
    named = compartment.member and compartment.owner
    return CompartmentRule(
        index=index,
        pattern=pattern,
        families=variables_of(pattern),
        named=(str(compartment.owner), str(compartment.member)) if named else None,
        accepts=None if external else frozenset(compartment.accepts),
        two_sided=external,
        role=compartment.role,
        nets_to_zero=compartment.must_net_to == "zero",
        trades=_tradable(policy, trade.instruments) if trade else frozenset(),
        trade_needs=in_order(trade.needs) if trade else (),
        takes_over=_tradable(policy, _taken_over(compartment)),
        margined=compartment.margin is not None,
        waterfall=_waterfall_of(waterfalls, pattern),
        line=policy.line("compartments", pattern),
    )


def _waterfall_of(waterfalls: Mapping[str, WaterfallRule], pattern: str) -> WaterfallRule | None:
    """Return the waterfall that stands for a family, its pools in the words of that family's pattern."""
    for fall in waterfalls.values():
        for covered in fall.covers:
            bound = match(covered, pattern)
            if bound is not None:
                return replace(fall, pools=tuple(fill(pool, bound) for pool in fall.pools))
    return None


def _taken_over(compartment: Compartment) -> tuple[str, ...] | None:
    if compartment.takes_over == "all":
        return None
    return compartment.takes_over or ()


def _tradable(policy: Policy, names: Iterable[str] | None) -> frozenset[str]:
    """List the instruments of that name (None: all) that the ledger can trade; see `options` for those."""
    wanted = policy.instruments if names is None else names
    return frozenset(
        name
        for name in wanted
        if name in policy.instruments
        and (policy.instruments[name].kind != "option" or is_settled_by_premium(policy, name))
    )


def _gate_rule(policy: Policy, name: str, gate: Gate) -> GateRule:
    return GateRule(
        name=name,
        line=policy.line("gates", name),
        needs=in_order(gate.needs),
        assets=frozenset(gate.assets),
        accrual=tuple(sorted(BUILT_ACCRUALS.intersection(gate.accrual))),
        conditions=_conditions(gate),
        statements=_statements(gate),
        standing=gate.standing,
        each_transfer=gate.limit.each_transfer,
        each=gate.limit.each,
        all=gate.limit.all,
        asks_for_text=gate.reason == "required",
        reverses=gate.reverses,
        valued_in=gate.limit.valued_in,
        unenforced=_unenforced(gate, BUILT_ACCRUALS),
        delay_ns=gate.delay_ns or 0,
        cancel=in_order(gate.cancel),
    )


def _exchange_rule(policy: Policy, name: str, exchange: Exchange) -> ExchangeRule:
    gate = GateRule(
        name=name,
        line=policy.line("exchanges", name),
        needs=in_order(exchange.needs),
        assets=None if exchange.assets is None else frozenset(exchange.assets),
        accrual=tuple(sorted(BUILT_EXCHANGE_ACCRUALS.intersection(exchange.accrual))),
        conditions=_conditions(exchange),
        statements=_statements(exchange),
        each_transfer=exchange.limit.each_transfer,
        each=exchange.limit.each,
        all=exchange.limit.all,
        valued_in=exchange.limit.valued_in,
        unenforced=_unenforced(exchange, BUILT_EXCHANGE_ACCRUALS),
        delay_ns=exchange.delay_ns or 0,
        cancel=in_order(exchange.cancel),
    )
    band_ppm = exchange.price.ppm if exchange.price else None
    if band_ppm is None and gate.accrual:
        band_ppm = 0  # What is owed is repaid at its value, to the unit, where no band is declared.
    return ExchangeRule(gate, tuple((leg.source, leg.target) for leg in exchange.legs), band_ppm)


def _conditions(gate: Gate | Exchange) -> tuple[str, ...]:
    return tuple(sorted(one.word for one in gate.when if one.word not in STATEMENTS))


def _statements(gate: Gate | Exchange) -> tuple[tuple[str, int | None], ...]:
    return tuple(sorted((one.word, one.length_ns) for one in gate.when if one.word in STATEMENTS))


def _attestors(policy: Policy) -> frozenset[str]:
    """List the keys whose holder is a party of the kind attestor."""
    parties = {name for name, party in policy.parties.items() if party.kind == "attestor"}
    return frozenset(name for name, key in policy.keys.items() if key.held_by in parties)


def in_order(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Put needs and the lists inside them in one order; their order has no meaning."""
    ordered = (
        need if isinstance(need, KeyNeed) else Quorum(count=need.count, of=in_order(need.of))
        for need in needs
    )
    return tuple(sorted(ordered, key=repr))


def _service_keys(policy: Policy) -> frozenset[str]:
    """Name the keys that services use on evidence; one of a family stands for a client and is none."""
    held = {name for service in policy.services.values() for name in service.holds}
    keys = policy.keys.items()
    return frozenset(
        name for name, key in keys if name in held and key.signs == "on_evidence" and key.per is None
    )


def _unenforced(gate: Gate | Exchange, accruals: frozenset[str]) -> tuple[str, ...]:
    """Name the words for which a gate stays shut: nothing that restricts it may be passed over."""
    words = ["standing"] if isinstance(gate, Exchange) and gate.standing is not None else []
    alone = [word for word in (TOPPING, DRAW, MIRROR) if word in gate.accrual and len(gate.accrual) > 1]
    words += [f"accrual: {word} beside another" for word in alone]
    words += [f"when: {one.word}" for one in sorted(gate.when, key=str) if one.word not in BUILT_CONDITIONS]
    if gate.accrual and not accruals.intersection(gate.accrual):
        words += [f"accrual: {word}" for word in sorted(gate.accrual)]
    return tuple(words)


# --- ways --------------------------------------------------------------------------------------


def _ways(
    policy: Policy,
    gates: Mapping[str, GateRule],
    exchanges: Mapping[str, ExchangeRule],
    waterfalls: Mapping[str, WaterfallRule],
    compartments: Sequence[CompartmentRule],
) -> dict[tuple[str, int, int], tuple[Way, ...]]:
    """Find every way through a gate, a leg of an exchange, or the issue of a debt."""
    ways: dict[tuple[str, int, int], tuple[Way, ...]] = {}
    debts = frozenset(name for name, asset in policy.assets.items() if asset.debt_in)
    for rule, source, target in _ends(policy, gates, exchanges, waterfalls):
        for start in compartments:
            for end in compartments:
                way = _way(rule, source, target, start, end, debts)
                if way is not None:
                    key = (rule.name, start.index, end.index)
                    ways[key] = (*ways.get(key, ()), way)
    return ways


def _ends(
    policy: Policy,
    gates: Mapping[str, GateRule],
    exchanges: Mapping[str, ExchangeRule],
    waterfalls: Mapping[str, WaterfallRule],
) -> Iterator[tuple[GateRule, str, str]]:
    """List every pair of patterns that something leads between."""
    for name, rule in gates.items():
        gate = policy.gates[name]
        for source in sorted(gate.sources):
            for target in sorted(gate.targets):
                yield rule, source, target
                if gate.both_ways:
                    yield rule, target, source
    for exchange in exchanges.values():
        yield from ((exchange.gate, source, target) for source, target in exchange.legs)
    for fall in waterfalls.values():
        if fall.last is not None and fall.record is not None:
            rule = _debt_rule(fall.record, fall.line)
            yield from ((rule, fall.last, bucket) for bucket in fall.covers)


def _debt_rule(debt: str, line: str) -> GateRule:
    return GateRule(DEBT_GATE, line, EVIDENCE_NEEDS, frozenset({debt}), accrual=("shortfall",))


def _way(
    rule: GateRule,
    source: str,
    target: str,
    start: CompartmentRule,
    end: CompartmentRule,
    debts: frozenset[str],
) -> Way | None:
    """Lead a gate's pair of patterns between two rules; None where the patterns do not name them."""
    starts, ends = _terms(source, start), _terms(target, end)
    if starts is None or ends is None or (start is end and not start.families):
        return None
    terms = (*starts[0], *ends[0])
    fixed = starts[1] + ends[1]
    variables = {term for term in terms if is_variable(term)} | {f"{{{name}}}" for name, _ in fixed}
    return Way(
        gate=rule,
        source=source,
        target=target,
        assets=_assets_between(rule, start, end, debts),
        source_terms=starts[0],
        target_terms=ends[0],
        fixed=fixed,
        is_plain=len(variables) <= 1
        and not fixed
        and len(starts[0]) <= 1
        and len(ends[0]) <= 1
        and all(is_variable(term) for term in terms),
    )


def _terms(pattern: str, rule: CompartmentRule) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]] | None:
    """Say what a gate's pattern asks of each member of a rule's compartments; None where it names others."""
    wanted, found = parts_of(pattern), parts_of(rule.pattern)
    if len(wanted) != len(found):
        return None
    terms: dict[str, str] = {}
    fixed: list[tuple[str, str]] = []
    for part, own in zip(wanted, found, strict=True):
        if is_variable(own):
            if terms.setdefault(own, part) != part:
                return None
        elif is_variable(part):
            fixed.append((part[1:-1], own))
        elif part != own:
            return None
    return tuple(terms.values()), tuple(fixed)


def _assets_between(
    rule: GateRule, start: CompartmentRule, end: CompartmentRule, debts: frozenset[str]
) -> frozenset[str] | None:
    """Intersect what the gate moves with what its ends accept; None is everything.

    Debts are issued by a waterfall and repaid by an exchange for it; no other gate moves them.
    """
    sets = [assets for assets in (rule.assets, start.accepts, end.accepts) if assets is not None]
    if not sets:
        return None
    both = frozenset.intersection(*sets) | _contracts_between(rule, start, end)
    return both if rule.name == DEBT_GATE or "debt_repayment" in rule.accrual else both - debts


def _contracts_between(rule: GateRule, start: CompartmentRule, end: CompartmentRule) -> frozenset[str]:
    """List the instruments whose positions a leg of an exchange may move; a gate lists none."""
    both = (start.trades | start.takes_over) & (end.trades | end.takes_over)
    return both if rule.assets is None else both & rule.assets


def _payments(
    ways: Mapping[tuple[str, int, int], tuple[Way, ...]],
) -> tuple[dict[tuple[str, int, str], Way], dict[tuple[str, int, str], Way]]:
    """Find for each accrual, rule and asset the first way by which such a rule pays, or is paid."""
    pays: dict[tuple[str, int, str], Way] = {}
    is_paid: dict[tuple[str, int, str], Way] = {}
    for (name, start, end), leading in ways.items():
        for way in leading:
            if way.gate.unenforced or name == DEBT_GATE:
                continue
            for accrual in way.gate.accrual:
                for asset in way.assets or ():
                    if not set(variables_of(way.target)) - set(variables_of(way.source)):
                        pays.setdefault((accrual, start, asset), way)
                    if not set(variables_of(way.source)) - set(variables_of(way.target)):
                        is_paid.setdefault((accrual, end, asset), way)
    return pays, is_paid


# --- lookups and notes -------------------------------------------------------------------------


def _reverses(leading: Iterable[Way]) -> bool:
    return any(way.gate.reverses is not None for way in leading)


def _only(compartments: Sequence[CompartmentRule], role: str) -> str | None:
    """Name the first compartment of a role that stands alone, without members."""
    return next((rule.pattern for rule in compartments if rule.role == role and not rule.families), None)


def _computed_by(policy: Policy) -> dict[str, tuple[str, ...]]:
    """List for each accrual the services that compute it, over all gates that move it."""
    services: dict[str, tuple[str, ...]] = {}
    gates: list[Gate | Exchange] = [*policy.gates.values(), *policy.exchanges.values()]
    for gate in gates:
        for accrual in gate.accrual:
            known = services.get(accrual, ())
            services[accrual] = (*known, *(name for name in gate.computed_by if name not in known))
    return services


def _all_gates(gates: Mapping[str, GateRule], exchanges: Mapping[str, ExchangeRule]) -> list[GateRule]:
    return [*gates.values(), *(exchange.gate for exchange in exchanges.values())]


def _notes(
    policy: Policy,
    planes: tuple[Plane, ...],
    gates: Mapping[str, GateRule],
    exchanges: Mapping[str, ExchangeRule],
    moved: frozenset[str],
) -> Iterator[Finding]:
    """Say, one finding each, what the book does not enforce; moved: the accruals that some gate moves."""
    for rule in _all_gates(gates, exchanges):
        if rule.unenforced:
            words = ", ".join(f"`{word}`" for word in rule.unenforced)
            yield _note(
                rule.line,
                f"{rule.name} uses {words}",
                "this book does not enforce that yet: the gate stays shut",
            )
    yield from _plane_notes(policy, planes)
    yield from _gap_notes(policy, moved)


def _plane_notes(policy: Policy, planes: tuple[Plane, ...]) -> Iterator[Finding]:
    sections: tuple[tuple[str, Mapping[str, Gate] | Mapping[str, Exchange]], ...] = (
        ("gates", policy.gates),
        ("exchanges", policy.exchanges),
    )
    for section, entries in sections:
        for name, gate in entries.items():
            others = [plane for plane in gate.on if plane not in planes]
            if others:
                right = f"this book enforces {' and '.join(planes)} only"
                yield _note(
                    policy.line(section, name), f"{name} is also checked on {', '.join(others)}", right
                )


def _gap_notes(policy: Policy, moved: frozenset[str]) -> Iterator[Finding]:
    for name, gate in policy.gates.items():
        missing = [word for word in gate.accrual if word not in BUILT_ACCRUALS]
        if missing and len(missing) < len(gate.accrual):
            yield _note(
                policy.line("gates", name), f"{name} moves {', '.join(missing)}", "none is ever owed here yet"
            )
    for pattern, compartment in policy.compartments.items():
        if compartment.pinned or compartment.cooling_ns is not None:
            right = "a book in which no address of it is registered leaves the address to who pays"
            yield _note(policy.line("compartments", pattern), f"{pattern} is pinned or cooling", right)
    for name, asset in policy.assets.items():
        if asset.interest_ppm_per_year is not None and "interest" not in moved:
            right = "no gate moves `interest`, so nobody ever owes it"
            yield _note(policy.line("assets", name), f"{name} bears interest", right)
    for name, instrument in policy.instruments.items():
        if instrument.kind == "option" and not is_settled_by_premium(policy, name):
            yield _note(
                policy.line("instruments", name),
                f"{name} is an option",
                "give it a price `mark/…` and a gate for `premium`",
            )


def _note(where: str, found: str, right: str) -> Finding:
    return Finding(level="note", rule="not_enforced", where=where, found=found, right=right)
