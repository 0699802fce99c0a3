"""Every shortfall has an owner: bucket, pool, class, last bearer; and each of them has a way to pay."""

from collections.abc import Iterator

from ringfence.kernel.money import PPM
from ringfence.policy.families import variables_of
from ringfence.policy.grammar import Path
from ringfence.policy.model import CoverStep, DeleverageStep, Finding, OwnStep, Waterfall
from ringfence.policy.rules.view import Rule, View
from ringfence.policy.selectors import definition, ways


def waterfalls_have_a_last_owner(view: View) -> Iterator[Finding]:
    """Somebody bears the rest, and it is recorded as a debt to them."""
    for name, waterfall in view.policy.waterfalls.items():
        path = ("waterfalls", name)
        if waterfall.last is None:
            found = f"the waterfall `{name}` ends without an owner"
            yield view.error("no-last-owner", path, found, "write `last: …`: who bears what is left")
        if waterfall.record is None:
            found = f"the waterfall `{name}` does not say how what is left is recorded"
            yield view.error("no-last-owner", path, found, "write `record: …`, a debt asset")
        yield from _last_is_the_houses(view, path, waterfall)
        yield from _record_is_a_debt(view, path, waterfall)


def _last_is_the_houses(view: View, path: Path, waterfall: Waterfall) -> Iterator[Finding]:
    last = view.compartment(waterfall.last) if waterfall.last is not None else None
    owner = view.policy.parties.get(last.owner or "") if last is not None else None
    if last is not None and (last.kind == "external" or (owner is not None and owner.family)):
        found = f"`{waterfall.last}` belongs to a family or lies outside, and would bear the rest"
        yield view.error("no-last-owner", (*path, "last"), found, "name a compartment of the house")


def _record_is_a_debt(view: View, path: Path, waterfall: Waterfall) -> Iterator[Finding]:
    asset = view.policy.assets.get(waterfall.record or "")
    if asset is None:
        return
    if asset.debt_in is None:
        found = f"`{waterfall.record}` is no debt"
        yield view.error("waterfall", (*path, "record"), found, "name an asset with `debt_in`")
        return
    for end in (*waterfall.covers, *((waterfall.last,) if waterfall.last else ())):
        one = view.compartment(end)
        if one is not None and waterfall.record not in one.accepts:
            found = f"`{end}` does not accept `{waterfall.record}`"
            yield view.error("waterfall", (*path, "record"), found, "accept it there")


def steps_are_in_order(view: View) -> Iterator[Finding]:
    """The bucket itself pays first; pools are pools; classes trade and are capped."""
    for name, waterfall in view.policy.waterfalls.items():
        path = ("waterfalls", name, "steps")
        owns = [index for index, step in enumerate(waterfall.steps) if isinstance(step, OwnStep)]
        if owns != [0]:
            found = f"the bucket itself does not pay first in `{name}`"
            yield view.error("waterfall", path, found, "begin with `own`, once")
        for step in waterfall.steps:
            if isinstance(step, CoverStep):
                pool = view.compartment(step.compartment)
                if pool is not None and pool.role != "insurance":
                    found = f"`{step.compartment}` covers and is no insurance: its owner pays for others"
                    yield view.note("cover-is-no-insurance", path, found, "cover from an insurance pool")
                yield from _pays_for_its_own_member(view, path, waterfall, step)
            elif isinstance(step, DeleverageStep):
                yield from _class_trades(view, path, step)


def _pays_for_its_own_member(
    view: View, path: Path, waterfall: Waterfall, step: CoverStep
) -> Iterator[Finding]:
    for end in waterfall.covers:
        for other in variables_of(step.compartment):
            if other not in variables_of(end):
                found = f"`{step.compartment}` covers for `{end}`, and which {{{other}}} pays is not said"
                yield view.error("waterfall", path, found, "name a pool, or a compartment of the same member")


def _class_trades(view: View, path: Path, step: DeleverageStep) -> Iterator[Finding]:
    if not 0 < step.cap_ppm <= PPM:
        found = "deleveraging is not capped within 0 % and 100 % of equity"
        yield view.error("waterfall", path, found, "write `cap: 10 % of equity`")
    for end in step.classes:
        one = view.compartment(end)
        if one is not None and one.trade is None:
            yield view.error("waterfall", path, f"`{end}` does not trade", "name buckets that do")


def buckets_have_one_waterfall(view: View) -> Iterator[Finding]:
    """No bucket is in two waterfalls, and only buckets that trade are in one."""
    seen: dict[str, str] = {}
    for name, waterfall in view.policy.waterfalls.items():
        path = ("waterfalls", name, "for")
        for end in waterfall.covers:
            declared = definition(view.policy.compartments, end)
            if declared is None:
                continue
            if declared in seen:
                yield view.error("waterfall", path, f"`{end}` is in `{seen[declared]}` too", "write it once")
            seen[declared] = name
            if view.policy.compartments[declared].trade is None:
                yield view.error("waterfall", path, f"`{end}` does not trade", "leave it out")


# --- what needs the whole policy ---------------------------------------------------------------


def every_bucket_has_a_waterfall(view: View) -> Iterator[Finding]:
    """A bucket that trades can fall short, and somebody must bear it."""
    covered = {
        definition(view.policy.compartments, end)
        for waterfall in view.policy.waterfalls.values()
        for end in waterfall.covers
    }
    for name, one in view.policy.compartments.items():
        if one.trade is not None and name not in covered:
            found = f"`{name}` trades, and no waterfall says who bears its shortfall"
            yield view.error("no-waterfall", ("compartments", name), found, "name it in a waterfall's `for`")


def payers_have_a_way(view: View) -> Iterator[Finding]:
    """Each pool and last bearer has a gate to clearing with `accrual: shortfall` in the coin owed."""
    open_ways = {
        (way.source, way.asset)
        for gate in view.policy.gates.values()
        if "shortfall" in gate.accrual
        for way in ways(view.policy, gate)
        if (target := view.compartment(way.target)) is not None and target.role == "clearing"
    }
    for name, waterfall in view.policy.waterfalls.items():
        debt = view.policy.assets.get(waterfall.record or "")
        coin = debt.debt_in if debt is not None else None
        for payer in _payers(waterfall):
            if coin is not None and (payer, coin) not in open_ways and view.compartment(payer) is not None:
                found = f"`{payer}` has no way to pay {coin} to clearing"
                right = "write a gate from it to clearing with `accrual: shortfall`"
                yield view.error("waterfall", ("waterfalls", name), found, right)


def _payers(waterfall: Waterfall) -> list[str]:
    pools = [step.compartment for step in waterfall.steps if isinstance(step, CoverStep)]
    return [*pools, waterfall.last] if waterfall.last is not None else pools


RULES: tuple[Rule, ...] = (
    waterfalls_have_a_last_owner,
    steps_are_in_order,
    buckets_have_one_waterfall,
)
WHOLE_RULES: tuple[Rule, ...] = (every_bucket_has_a_waterfall, payers_have_a_way)
"""Rules that need every entry to be there."""
