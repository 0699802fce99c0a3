"""Which way a single word changes: does more become possible, or less?

Each judge compares the values of one field, the old and the new, that are known to differ. A direction is
only given where it is certain; otherwise the word *changes*.
"""

from collections.abc import Callable, Mapping
from itertools import chain, product
from typing import Any, Literal

from ringfence.policy.model import AtMost, Band, Cap, HaircutTier, Need, Quorum, Tier, Trade
from ringfence.policy.rules.view import keys_of

Direction = Literal["widens", "narrows", "changes"]
Judge = Callable[[Any, Any], Direction]

_KEYS_MAX = 12
"""Keys over which needs are compared by trying every set of signers."""


def opposite(direction: Direction) -> Direction:
    """Turn a direction round."""
    turned: dict[Direction, Direction] = {"widens": "narrows", "narrows": "widens", "changes": "changes"}
    return turned[direction]


def rank(*steps: Any) -> Judge:
    """Judge by a list of values from the narrowest to the widest."""

    def judge(old: Any, new: Any) -> Direction:
        if old not in steps or new not in steps:
            return "changes"
        return "widens" if steps.index(new) > steps.index(old) else "narrows"

    return judge


def unclear(_old: Any, _new: Any) -> Direction:
    """Judge nothing: the change has no more and no less."""
    return "changes"


def more_widens(old: int | None, new: int | None) -> Direction:
    """Judge a bound: a higher one, or none, lets more happen."""
    if old is None or new is None:
        return "widens" if new is None else "narrows"
    return "widens" if new > old else "narrows"


def more_narrows(old: int | None, new: int | None) -> Direction:
    """Judge a hurdle: a higher one lets less happen, and none is the lowest."""
    return "narrows" if (new or 0) > (old or 0) else "widens"


def presence_narrows(old: Any, new: Any) -> Direction:
    """Judge something asked for: asking narrows, asking no more widens, asking for another changes."""
    if old is None or new is None:
        return "widens" if new is None else "narrows"
    return "changes"


def band_direction(old: Band | None, new: Band | None) -> Direction:
    """Judge a price band: a closer one lets less happen."""
    if old is None or new is None:
        return "widens" if new is None else "narrows"
    return more_widens(old.ppm, new.ppm) if old.of == new.of else "changes"


def cap_direction(old: Cap | None, new: Cap | None) -> Direction:
    """Judge a cap: more units in no more time widens; a fixed window lets more through than a rolling one."""
    if old is None or new is None:
        return "widens" if new is None else "narrows"
    if _fits_inside(old, new):
        return "widens"
    return "narrows" if _fits_inside(new, old) else "changes"


def _fits_inside(tight: Cap, loose: Cap) -> bool:
    """Say whether whatever `tight` lets through, `loose` lets through too."""
    is_looser_kind = tight.window.kind == loose.window.kind or (
        tight.window.kind == "rolling" and tight.window.length_ns == loose.window.length_ns
    )
    if not is_looser_kind or loose.units < tight.units:
        return False
    longer, shorter = tight.window.length_ns, loose.window.length_ns
    return shorter == longer or (shorter < longer and longer % shorter == 0)


def needs_direction(old: tuple[Need, ...], new: tuple[Need, ...]) -> Direction:
    """Judge who must sign, by trying every set of signers: does one kind of needs imply the other?"""
    signers = sorted({(need.key, need.member or "") for need in keys_of(chain(old, new))})
    if len(signers) > _KEYS_MAX:
        return "changes"
    weaker = stronger = True
    for present in product((False, True), repeat=len(signers)):
        signed = {signer for signer, is_there in zip(signers, present, strict=True) if is_there}
        was, is_now = _are_met(old, signed), _are_met(new, signed)
        weaker &= is_now or not was
        stronger &= was or not is_now
    if weaker == stronger:
        return "changes"
    return "widens" if weaker else "narrows"


def _are_met(needs: tuple[Need, ...], signed: set[tuple[str, str]]) -> bool:
    return all(_is_met(need, signed) for need in needs)


def _is_met(need: Need, signed: set[tuple[str, str]]) -> bool:
    if isinstance(need, Quorum):
        return sum(_is_met(part, signed) for part in need.of) >= need.count
    return (need.key, need.member or "") in signed


def haircut_direction(old: tuple[HaircutTier, ...], new: tuple[HaircutTier, ...]) -> Direction:
    """Judge a haircut at every size at which either changes: counting more widens."""
    sizes = {tier.floor_units for tier in (*old, *new)} | {0}
    pairs = [(_haircut_at(old, size), _haircut_at(new, size)) for size in sizes]
    return _direction_of_levels(pairs)


def _haircut_at(haircut: tuple[HaircutTier, ...], size: int) -> int:
    return next((tier.ppm for tier in reversed(haircut) if tier.floor_units <= size), 1_000_000)


def tiers_direction(old: tuple[Tier, ...], new: tuple[Tier, ...]) -> Direction:
    """Judge brackets at every size at which either changes: asking less margin widens."""
    sizes = {tier.floor_units for tier in (*old, *new)}
    rates = [(_tier_at(old, size), _tier_at(new, size)) for size in sizes]
    kept = [(before.maintenance_ppm, after.maintenance_ppm) for before, after in rates]
    asked = [(-before.leverage_max, -after.leverage_max) for before, after in rates]
    return _direction_of_levels(kept + asked)


def _tier_at(tiers: tuple[Tier, ...], size: int) -> Tier:
    return next((tier for tier in reversed(tiers) if tier.floor_units <= size), tiers[0])


def _direction_of_levels(pairs: list[tuple[int, int]]) -> Direction:
    has_less = any(after < before for before, after in pairs)
    has_more = any(after > before for before, after in pairs)
    if has_less == has_more:
        return "changes"
    return "widens" if has_less else "narrows"


def at_most_direction(old: AtMost | None, new: AtMost | None) -> Direction:
    """Judge the bound of a claim: a higher one claims less."""
    if old is None or new is None or (old.zero_window is None) != (new.zero_window is None):
        return "changes" if old is None or new is None else "widens" if old.zero_window else "narrows"
    directions = {
        cap_direction(old.caps.get(asset), new.caps.get(asset))
        for asset in {*old.caps, *new.caps}
        if old.caps.get(asset) != new.caps.get(asset)
    }
    return directions.pop() if len(directions) == 1 else "changes"


def trade_direction(old: Trade | None, new: Trade | None) -> Direction:
    """Judge what may be traded, and who must sign."""
    if old is None or new is None:
        return "narrows" if new is None else "widens"
    directions: set[Direction] = set()
    if old.needs != new.needs:
        directions.add(needs_direction(old.needs, new.needs))
    if old.instruments != new.instruments:
        directions.add(choice_direction(old.instruments, new.instruments))
    return directions.pop() if len(directions) == 1 else "changes"


def choice_direction(old: tuple[str, ...] | None, new: tuple[str, ...] | None) -> Direction:
    """Judge a choice in which None means everything."""
    if old is None or new is None:
        return "widens" if new is None else "narrows"
    return subset_direction(old, new)


def takeover_direction(old: Any, new: Any) -> Direction:
    """Judge what a pool may take over: nothing, a list, or all."""
    if "all" in (old, new):
        return "widens" if new == "all" else "narrows"
    return subset_direction(old or (), new or ())


def subset_direction(old: tuple[Any, ...], new: tuple[Any, ...]) -> Direction:
    """Judge a set that may grow: more in it widens."""
    if set(old) < set(new):
        return "widens"
    return "narrows" if set(new) < set(old) else "changes"


def bounds_direction(old: Mapping[str, int], new: Mapping[str, int]) -> Direction:
    """Judge bounds by asset, of which any may be missing."""
    directions = {
        more_widens(old.get(asset), new.get(asset))
        for asset in {*old, *new}
        if old.get(asset) != new.get(asset)
    }
    return directions.pop() if len(directions) == 1 else "changes"
