"""Compartments are what their role says, and margin has what it needs."""

from collections.abc import Iterator
from itertools import pairwise

from ringfence.kernel.money import PPM
from ringfence.policy.families import is_variable, parts_of, variables_of
from ringfence.policy.grammar import Path
from ringfence.policy.model import Compartment, Finding
from ringfence.policy.rules.view import Rule, View, listed
from ringfence.policy.selectors import ways

_OUTSIDE_WORDS = ("role", "vault", "margin", "limits", "trade", "must_net_to", "takes_over")
_INSIDE_ONLY_WORDS = ("pinned", "cooling_ns")


def compartments_have_owner_and_role(view: View) -> Iterator[Finding]:
    """Inside, each compartment has an owner, a role and what it accepts; outside, it has none of that."""
    for name, one in view.policy.compartments.items():
        path = ("compartments", name)
        if one.kind == "external":
            wrong = [word for word in _OUTSIDE_WORDS if getattr(one, word) is not None]
            if wrong or one.accepts:
                found = f"the external `{name}` has {listed(wrong or ['accepts'])}"
                yield view.error(
                    "compartment", path, found, "leave it out: what is outside has no walls of ours"
                )
            continue
        missing = [word for word in ("owner", "role", "accepts") if not getattr(one, word)]
        if missing:
            yield view.error("compartment", path, f"`{name}` has no {listed(missing)}", "write it")
        if one.pinned or one.cooling_ns is not None:
            found = f"`{name}` is inside and has `pinned` or `cooling`"
            yield view.error(
                "compartment", path, found, "only addresses outside are registered; leave it out"
            )
        yield from _owned_by_its_member(view, path, name, one)


def _owned_by_its_member(view: View, path: Path, name: str, one: Compartment) -> Iterator[Finding]:
    party = view.policy.parties.get(one.owner or "")
    if party is None:
        return
    if party.family and one.owner not in variables_of(name) and one.member is None:
        found = f"`{name}` belongs to the family `{one.owner}` and not to one of its members"
        yield view.error("compartment", path, found, f"put `{{{one.owner}}}` in its name, or write `member`")
    if one.member is not None and (not party.family or variables_of(name)):
        found = f"`{name}` has a `member`, and its owner `{one.owner}` has none or its name has a variable"
        yield view.error("compartment", (*path, "member"), found, "leave `member` out")


def names_mean_one_compartment(view: View) -> Iterator[Finding]:
    """No member's name makes two declared names one."""
    shapes: dict[tuple[int, frozenset[int]], list[str]] = {}
    for name in view.policy.compartments:
        if variables_of(name):
            shapes.setdefault(_shape(name), []).append(name)
    for (length, places), names in shapes.items():
        for (other_length, other_places), others in shapes.items():
            if length == other_length:
                yield from _meeting(view, names, others, places | other_places)


def _shape(name: str) -> tuple[int, frozenset[int]]:
    """Return how many parts a name has and which of them are variables."""
    parts = parts_of(name)
    return len(parts), frozenset(place for place, part in enumerate(parts) if is_variable(part))


def _meeting(view: View, names: list[str], others: list[str], free: frozenset[int]) -> Iterator[Finding]:
    """Find names that agree wherever neither has a variable; the later declared one is at fault."""
    order = {name: index for index, name in enumerate(view.policy.compartments)}
    first: dict[tuple[str, ...], str] = {}
    for name in names:
        first.setdefault(_fixed_parts(name, free), name)
    for other in others:
        name = first.get(_fixed_parts(other, free), other)
        if order[name] < order[other]:
            found = f"`{name}` and `{other}` could be the same compartment"
            yield view.error("compartment", ("compartments", other), found, "begin one with another word")


def _fixed_parts(name: str, free: frozenset[int]) -> tuple[str, ...]:
    return tuple(part for place, part in enumerate(parts_of(name)) if place not in free)


def roles_keep_their_words(view: View) -> Iterator[Finding]:
    """Clearing nets to zero, only pools take over, and limits bound trading."""
    for name, one in view.policy.compartments.items():
        path = ("compartments", name)
        if (one.role == "clearing") != (one.must_net_to == "zero"):
            found = f"`{name}` has only one of `role: clearing` and `must_net_to: zero`"
            yield view.error("compartment", path, found, "clearing, and nothing else, must net to zero")
        if one.takes_over is not None and one.role != "insurance":
            found = f"`{name}` takes over contracts and is no insurance"
            yield view.error("compartment", (*path, "takes_over"), found, "write `role: insurance`")
        if one.trade is not None and one.margin is None:
            found = f"`{name}` trades and has no margin"
            yield view.error("compartment", path, found, "write `margin: isolated`, `cross` or `portfolio`")
        if one.limits is not None and one.trade is None:
            found = f"`{name}` has limits of trading and does not trade"
            yield view.error("compartment", (*path, "limits"), found, "write `trade`, or leave them out")
        yield from _bounds(view, path, name, one)


def _bounds(view: View, path: Path, name: str, one: Compartment) -> Iterator[Finding]:
    drawdown_ppm = one.limits.drawdown_ppm if one.limits is not None else None
    if drawdown_ppm is not None and not 0 < drawdown_ppm <= PPM:
        found = f"the drawdown of `{name}` is not above 0 % and at most 100 %"
        yield view.error("compartment", (*path, "limits"), found, "write a share such as `15 %`")
    if one.trade is None:
        return
    for instrument_name in one.trade.instruments or ():
        instrument = view.policy.instruments.get(instrument_name)
        if instrument is not None and instrument.quote not in one.accepts:
            found = f"`{instrument_name}` settles in `{instrument.quote}`, which `{name}` does not accept"
            yield view.error(
                "trade", (*path, "trade"), found, f"accept `{instrument.quote}`, or trade another"
            )


def thresholds_fall(view: View) -> Iterator[Finding]:
    """Levels come one after the other: free, warn, call, reduce only, liquidate; and stop above liquidate."""
    levels = view.policy.thresholds
    if levels is None:
        return
    order = (
        ("free", levels.free_ppm),
        ("warn", levels.warn_ppm),
        ("call", levels.call.at_ppm),
        ("reduce_only", levels.reduce_only_ppm),
        ("liquidate", levels.liquidate_ppm),
    )
    for (upper, upper_ppm), (lower, lower_ppm) in pairwise(order):
        if lower_ppm > upper_ppm:
            found = f"`{lower}` is above `{upper}`"
            right = "let free, warn, call, reduce_only and liquidate fall in this order"
            yield view.error("threshold-order", ("thresholds", lower), found, right)
    if levels.liquidate_ppm < PPM:
        found = "`liquidate` is below the requirement itself"
        yield view.error("threshold-order", ("thresholds", "liquidate"), found, "write at least `100 %`")
    if levels.stop_at_ppm < levels.liquidate_ppm:
        found = "a partial liquidation stops below where it starts"
        yield view.error("threshold-order", ("thresholds", "stop_at"), found, "stop at `liquidate` or above")


# --- what needs the whole policy ---------------------------------------------------------------


def trading_has_what_it_needs(view: View) -> Iterator[Finding]:
    """Where something trades there are thresholds, one clearing, one rounding, and a way to settle."""
    buckets = {name: one for name, one in view.policy.compartments.items() if one.trade is not None}
    if not buckets:
        return
    if view.policy.thresholds is None:
        right = "write `thresholds`: when buckets are warned, called and closed"
        yield view.error("thresholds", ("compartments",), f"{listed(buckets)} trade without levels", right)
    for role in ("clearing", "rounding"):
        count = sum(one.role == role for one in view.policy.compartments.values())
        if count != 1:
            found = f"{count} compartments have the role {role}"
            yield view.error(role, ("compartments",), found, "where there is trade, exactly one has it")
    for name, bucket in buckets.items():
        yield from _can_settle(view, name, bucket)


def _can_settle(view: View, name: str, bucket: Compartment) -> Iterator[Finding]:
    trade = bucket.trade
    if trade is None:
        return
    chosen = view.policy.instruments if trade.instruments is None else trade.instruments
    found_in = [view.policy.instruments[one] for one in chosen if one in view.policy.instruments]
    quotes = dict.fromkeys(one.quote for one in found_in if one.quote in bucket.accepts)
    path = ("compartments", name, "trade")
    if not quotes:
        found = f"`{name}` accepts no coin that anything it trades settles in"
        yield view.error("trade", path, found, "accept the quote of an instrument")
    clearing = [
        one for one, compartment in view.policy.compartments.items() if compartment.role == "clearing"
    ]
    variation = {
        (way.source, way.target, way.asset)
        for gate in view.policy.gates.values()
        if "variation" in gate.accrual
        for way in ways(view.policy, gate)
    }
    for quote in quotes:
        for house in clearing[:1]:
            if (name, house, quote) not in variation or (house, name, quote) not in variation:
                found = f"`{name}` cannot settle its {quote} with `{house}` both ways"
                right = "write a gate `between` them with `accrual: variation`"
                yield view.error("settlement", path, found, right)


RULES: tuple[Rule, ...] = (
    compartments_have_owner_and_role,
    names_mean_one_compartment,
    roles_keep_their_words,
    thresholds_fall,
)
WHOLE_RULES: tuple[Rule, ...] = (trading_has_what_it_needs,)
"""Rules that need every entry to be there."""
