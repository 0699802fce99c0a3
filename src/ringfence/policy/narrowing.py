"""The part of a change that takes effect at once: the old policy with everything that only narrows.

`narrowed(old, new)` lies between the two. From the old policy, entry by entry and then word by word, it takes
over whatever of the new one lets less happen, as `diff` judges it, and leaves what widens or merely changes.
Each step is kept only if the result is a policy without errors, so a book can obey it. Where nothing narrows
it is the old policy; where nothing else changes it means the same as the new one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ringfence.policy.check import check
from ringfence.policy.diff import diff
from ringfence.policy.digest import canonical_value
from ringfence.policy.grammar import Path
from ringfence.policy.model import Gate, Model, Policy

SECTIONS = (
    "claims",
    "gates",
    "exchanges",
    "waterfalls",
    "halts",
    "compartments",
    "instruments",
    "prices",
    "assets",
    "keys",
    "parties",
    "entities",
    "services",
)
"""Sections of entries, in the order in which they let go of one another: claims name gates, gates assets."""

_TOGETHER: tuple[tuple[str, ...], ...] = (("sources", "targets", "both_ways"), ("accrual", "computed_by"))
"""Fields that mean something only together."""


def narrowed(old: Policy, new: Policy) -> Policy:
    """Return the old policy with every part of the new one that only narrows; lines come from both."""
    found = old
    for section in SECTIONS:
        names = dict.fromkeys((*getattr(old, section), *getattr(new, section)))
        for name in names:
            found = _narrow_entry(found, new, section, name)
    for field in ("thresholds", "adoption"):
        found = _narrow_block(found, new, field)
    return found.located({**new.lines, **old.lines, **_lines_taken(found, new)})


def _narrow_entry(found: Policy, new: Policy, section: str, name: str) -> Policy:
    entries: Mapping[str, Model] = getattr(found, section)
    before, after = entries.get(name), getattr(new, section).get(name)
    if _same(before, after):
        return found
    whole = _with_entry(found, section, name, after)
    if _only_narrows(found, whole):
        return whole
    if before is None or after is None:
        return found
    for candidate in _field_by_field(before, after):
        current = getattr(found, section)[name].model_copy(update=candidate)
        step = _with_entry(found, section, name, current)
        if _only_narrows(found, step):
            found = step
    return found


def _narrow_block(found: Policy, new: Policy, field: str) -> Policy:
    before, after = getattr(found, field), getattr(new, field)
    if _same(before, after):
        return found
    whole = found.model_copy(update={field: after})
    if _only_narrows(found, whole):
        return whole
    if before is None or after is None:
        return found
    for candidate in _field_by_field(before, after):
        step = found.model_copy(update={field: getattr(found, field).model_copy(update=candidate)})
        if _only_narrows(found, step):
            found = step
    return found


def _field_by_field(before: Model, after: Model) -> Iterator[dict[str, Any]]:
    """Go through the fields that differ, those that belong together as one."""
    was, is_now = before.model_dump(), after.model_dump()
    together = _TOGETHER if isinstance(before, Gate) else ()
    groups = (*together, *((field,) for field in type(before).model_fields))
    seen: set[str] = set()
    for group in groups:
        if not seen.intersection(group):
            seen.update(group)
            if any(
                canonical_value(was[field], field) != canonical_value(is_now[field], field) for field in group
            ):
                yield {field: getattr(after, field) for field in group}


def _with_entry(policy: Policy, section: str, name: str, entry: Model | None) -> Policy:
    entries = {key: value for key, value in getattr(policy, section).items() if key != name or entry}
    if entry is not None:
        entries[name] = entry
    return policy.model_copy(update={section: entries})


def _only_narrows(before: Policy, after: Policy) -> bool:
    changes = diff(before, after)
    if not changes or any(change.direction != "narrows" for change in changes):
        return False
    return all(finding.level != "error" for finding in check(after))


def _same(before: Model | None, after: Model | None) -> bool:
    if before is None or after is None:
        return before is after
    return bool(canonical_value(before.model_dump()) == canonical_value(after.model_dump()))


def _lines_taken(found: Policy, new: Policy) -> dict[Path, Any]:
    """Return the new lines of entries that were taken over as they are."""
    return {
        path: line
        for path, line in new.lines.items()
        if len(path) > 1
        and path[0] in SECTIONS
        and _same(getattr(found, path[0]).get(path[1]), getattr(new, path[0]).get(path[1]))
    }
