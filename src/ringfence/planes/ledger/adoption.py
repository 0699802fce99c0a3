"""What becomes of a live book under another policy: compared rule by rule, before anything changes.

Nothing is decided from the words of a policy alone. Both are compiled, and every way, every family of
compartments and every counter of the one is compared with its counterpart in the other:

    at once    what only narrows (`policy.narrowing`), and of the compiled rules nothing that is wider
    later      everything else: it waits for the delay that the policy in force names
    never      what would drop something the book holds, or change what its units mean

Window counters go on where they were. A cap over another window begins with all that counts now, as if it had
just passed: a member never gets more room by a change of the window than the old counter knows of.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ringfence.kernel.calendar import window_index
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.limits import Counter, used_units
from ringfence.planes.ledger.rules import CompartmentRule, GateRule, Rules, WaterfallRule, Way
from ringfence.planes.ledger.tables import Tables
from ringfence.policy.diff import Change, diff
from ringfence.policy.model import Cap, Need, Policy
from ringfence.policy.narrowing import narrowed
from ringfence.policy.widening import (
    Direction,
    Judge,
    bounds_direction,
    cap_direction,
    more_narrows,
    needs_direction,
    opposite,
    rank,
    subset_direction,
)

Window = tuple[str, str, tuple[str, ...], str]
"""What a counter is kept under: gate, scope, members, asset."""


@dataclass(frozen=True, slots=True)
class AdoptionPlan:
    """What adopting a policy would do to this book now.

    narrowed: the rules in force at once; target: those of the new policy; at_once, later: the changes of
    either step; ways: the same of the compiled rules, old against new; unkept: what there would be no place
    for, which refuses it; needs: who must sign; delay_ns: how long the later part waits; may_widen: whether
    the policy in force says who may widen it.
    """

    narrowed: Rules
    target: Rules
    at_once: tuple[Change, ...]
    later: tuple[Change, ...]
    ways: tuple[Change, ...]
    unkept: tuple[str, ...]
    needs: tuple[Need, ...]
    delay_ns: int
    may_widen: bool

    @property
    def waits(self) -> bool:
        """Say whether a part of it has to wait."""
        return bool(self.later) and self.delay_ns > 0


def plan_adoption(tables: Tables, old: Rules, new: Policy) -> AdoptionPlan:
    """Plan the step from the rules in force to a checked policy."""
    target = compile_policy(new, old.planes)
    between = compile_policy(narrowed(old.policy, new), old.planes)
    if any(change.direction != "narrows" for change in compare_rules(old, between)):
        between = old  # The words narrow and the rules do not: then nothing is hurried.
    words = old.policy.adoption
    return AdoptionPlan(
        narrowed=between,
        target=target,
        at_once=diff(old.policy, between.policy),
        later=diff(between.policy, new) if between.digest != target.digest else (),
        ways=tuple(compare_rules(old, target)),
        unkept=tuple(unkept(tables, old, target)),
        needs=words.needs if words else (),
        delay_ns=words.delay_ns or 0 if words else 0,
        may_widen=words is not None,
    )


# --- comparing compiled rules ------------------------------------------------------------------


def compare_rules(old: Rules, new: Rules) -> tuple[Change, ...]:
    """List what differs between two sets of rules, way by way and compartment by compartment."""
    return (*_compare_ways(old, new), *_compare_compartments(old, new))


_UNITS: Judge = bounds_direction
_SHUT = rank(True, False)
_GATE_JUDGES: dict[str, Judge] = {
    "needs": needs_direction,
    "each_transfer": _UNITS,
    "asks_for_text": _SHUT,
    "reverses": rank("required", "optional", None),
    "conditions": lambda old, new: opposite(subset_direction(old, new)),
    "accrual": lambda old, new: _accrual_direction(old, new),
    "delay_ns": more_narrows,
    "standing": lambda old, new: "changes" if old and new else "widens" if old else "narrows",
    "statements": lambda old, new: opposite(subset_direction(old, new)),
    "cancel": lambda old, new: opposite(subset_direction(old, new)),
}
_COMPARTMENT_JUDGES: dict[str, Judge] = {
    "accepts": lambda old, new: "changes" if None in (old, new) else subset_direction(old, new),
    "trades": subset_direction,
    "trade_needs": needs_direction,
    "takes_over": subset_direction,
    "two_sided": rank(False, True),
    "nets_to_zero": _SHUT,
    "margined": _SHUT,
}
_NOT_COMPARED = frozenset({"name", "line", "index", "pattern", "each", "all", "assets", "unenforced"})


def _accrual_direction(old: tuple[str, ...], new: tuple[str, ...]) -> Direction:
    if bool(old) != bool(new):
        return "narrows" if new else "widens"
    return subset_direction(old, new)


def _compare_ways(old: Rules, new: Rules) -> Iterator[Change]:
    before, after = _single_ways(old), _single_ways(new)
    for key in before | after:
        gate, source, target, asset = key
        words = f"{gate}: {source} → {target} for {asset or 'anything'}"
        was, is_now = before.get(key), after.get(key)
        if was is None or was.gate.unenforced:
            if is_now is not None and not is_now.gate.unenforced:
                yield Change("widens", f"{words} opens", is_now.gate.line)
        elif is_now is None or is_now.gate.unenforced:
            yield Change("narrows", f"{words} closes", was.gate.line)
        else:
            yield from _compare_gates(words, was.gate, is_now.gate, asset)


def _single_ways(rules: Rules) -> dict[tuple[str, str, str, str], Way]:
    """List every way by gate, ends and asset ("" where it moves anything)."""
    patterns = [rule.pattern for rule in rules.compartments]
    return {
        (gate, patterns[start], patterns[end], asset): way
        for (gate, start, end), leading in rules.ways.items()
        for way in leading
        for asset in (("",) if way.assets is None else sorted(way.assets))
    }


def _compare_gates(words: str, old: GateRule, new: GateRule, asset: str) -> Iterator[Change]:
    for scope in ("each", "all"):
        was, is_now = getattr(old, scope).get(asset), getattr(new, scope).get(asset)
        if was != is_now:
            yield Change(cap_direction(was, is_now), f"{words}: the limit of {scope}", new.line)
    yield from _compare_fields(words, old, new, _GATE_JUDGES, new.line)


def _compare_compartments(old: Rules, new: Rules) -> Iterator[Change]:
    before = {rule.pattern: rule for rule in old.compartments}
    after = {rule.pattern: rule for rule in new.compartments}
    for pattern in before | after:
        was, is_now = before.get(pattern), after.get(pattern)
        if was is not None and is_now is not None:
            where = is_now.line
            yield from _compare_fields(f"compartment {pattern}", was, is_now, _COMPARTMENT_JUDGES, where)
        elif is_now is not None:
            yield Change("widens", f"compartment {pattern} begins", is_now.line)
        elif was is not None:
            yield Change("narrows", f"compartment {pattern} ends", was.line)


def _compare_fields(
    words: str,
    old: GateRule | CompartmentRule,
    new: GateRule | CompartmentRule,
    judges: Mapping[str, Judge],
    where: str,
) -> Iterator[Change]:
    """Compare the fields of two rules; one that no judge knows merely changes, and so is never hurried."""
    for field in fields(old):
        was, is_now = getattr(old, field.name), getattr(new, field.name)
        if field.name in _NOT_COMPARED or _bare(was) == _bare(is_now):
            continue
        judge = judges.get(field.name)
        direction: Direction = judge(was, is_now) if judge is not None else "changes"
        yield Change(direction, f"{words}: {field.name.replace('_ns', '')}", where)


def _bare(value: Any) -> Any:
    """Leave out where a waterfall stands: two that differ in nothing else are the same."""
    return replace(value, line="") if isinstance(value, WaterfallRule) else value


# --- what the book holds -----------------------------------------------------------------------


def unkept(tables: Tables, old: Rules, new: Rules) -> Iterator[str]:
    """Say what the book holds or owes that would have no place, or another meaning, under new rules."""
    if old.numeraire != new.numeraire:
        yield f"everything is measured in {old.numeraire}, and the new policy measures in {new.numeraire}"
    yield from _unkept_balances(tables, old, new)
    yield from _unkept_meanings(tables, old, new)
    yield from _unkept_members(tables, new)
    yield from _unkept_debts(tables, old, new)


def _unkept_balances(tables: Tables, old: Rules, new: Rules) -> Iterator[str]:
    for (path, asset), (debits, credits) in sorted(tables.balances.items()):
        units = credits - debits
        if not units:
            continue
        place = new.place(path)
        is_coin = asset in new.assets
        if place is None:
            yield f"{path} holds {units} units of {asset}, and the new policy has no such compartment"
        elif not is_coin and asset not in new.instruments:
            yield f"{path} holds {units} units of {asset}, which the new policy does not declare"
        elif units < 0 and is_coin and not place.rule.two_sided and new.assets[asset].debt_in is None:
            yield f"{path} is short of {-units} units of {asset}, which only a place outside may be"
        elif units > 0 and is_coin and place.rule.accepts is not None and asset not in place.rule.accepts:
            was = old.place(path)
            if was is not None and (was.rule.accepts is None or asset in was.rule.accepts):
                yield f"{path} holds {units} units of {asset}, which it would not accept any more"
    for instrument, sessions in sorted(tables.sessions.items()):
        for path in sorted(sessions):
            place = new.place(path)
            if place is None or instrument not in new.instruments:
                if not tables.balance(path, instrument):  # Contracts were named above.
                    yield f"{path} has an unsettled session value in {instrument}, which would have no place"
            elif not place.rule.margined and not place.rule.takes_over:
                yield f"{path} has a position in {instrument}, and would be no bucket any more"


def _unkept_meanings(tables: Tables, old: Rules, new: Rules) -> Iterator[str]:
    """Say where units that are booked would count as something else."""
    for name in sorted(tables.totals):
        was, is_now = old.assets.get(name), new.assets.get(name)
        if was is not None and is_now is not None:
            for word in ("decimals", "debt_in", "worth_as"):
                before, after = getattr(was, word), getattr(is_now, word)
                if before != after:
                    yield f"{name} is booked with {word} {before}, and the new policy says {after}"
    for name in sorted(tables.sessions):
        if name not in old.instruments or name not in new.instruments:
            continue
        for word in ("kind", "payoff", "underlying", "quote", "contract_size_e10", "strike_e10", "option"):
            before, after = getattr(old.instruments[name], word), getattr(new.instruments[name], word)
            if before != after:
                yield f"{name} has open positions with {word} {before}, and the new policy says {after}"


def _unkept_members(tables: Tables, new: Rules) -> Iterator[str]:
    gone = sorted({party for party, _ in tables.members if party not in new.families})
    for party in gone:
        count = sum(family == party for family, _ in tables.members)
        yield f"{count} members of {party} are open, and the new policy has no such family"


def _unkept_debts(tables: Tables, old: Rules, new: Rules) -> Iterator[str]:
    for (accrual, source, target, asset), units in sorted(tables.owed.items()):
        if _is_payable(old, accrual, source, target, asset) and not _is_payable(
            new, accrual, source, target, asset
        ):
            yield f"{source} owes {target} {units} units of {asset} ({accrual}), and no gate would pay it"


def _is_payable(rules: Rules, accrual: str, source: str, target: str, asset: str) -> bool:
    start, end = rules.place(source), rules.place(target)
    if start is None or end is None:
        return False
    ways = rules.gates_between(start, end)
    return any(accrual in way.gate.accrual and way.accepts(asset) for way in ways)


# --- counters ----------------------------------------------------------------------------------


def carried(tables: Tables, old: Rules, new: Rules, at: Instant) -> dict[Window, Counter | None]:
    """Return the counters that another policy changes, None where nothing counts them any more."""
    changed: dict[Window, Counter | None] = {}
    for key, counter in tables.windows.items():
        was, is_now = cap_of(old, key), cap_of(new, key)
        if was is None or is_now is None:
            changed[key] = None
        elif was != is_now:
            changed[key] = carry(was, is_now, counter, at)
    return changed


def cap_of(rules: Rules, key: Window) -> Cap | None:
    """Return the cap that a counter counts against."""
    name, scope, _, asset = key
    exchange = rules.exchanges.get(name)
    gate = exchange.gate if exchange is not None else rules.gates.get(name)
    found: Cap | None = None if gate is None else getattr(gate, scope).get(asset)
    return found


def carry(was: Cap, is_now: Cap, counter: Counter, at: Instant) -> Counter:
    """Return the counter of one cap as the counter of another that takes its place."""
    if not counter:
        return ()
    old, new = was.window, is_now.window
    if old == new and old.kind != "refill":
        return counter
    if old.kind == new.kind == "rolling":
        return counter
    used = used_units(was, counter, at)
    if new.kind == "fixed":
        return (window_index(at, new.length_ns), used)
    if new.kind == "refill":
        return (at, used * new.length_ns)
    return (at, used)
