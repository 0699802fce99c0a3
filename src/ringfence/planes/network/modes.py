"""How strictly the rules of a zone are held: enforced, or only watched while a team finds out what it needs.

    observe   what no flow permits passes and is recorded
    warn      the same, and the kernel logs it
    enforce   what no flow permits is closed and recorded (every zone that is not named otherwise)

A connection passes undeclared only where nobody who enforces has a part in it: both ends are watched, or one
is and the other is outside.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import Rules

Mode = Literal["observe", "warn", "enforce"]

Modes = Mapping[str, Mode]
"""The mode of each zone; one that is not named is enforced."""


def modes_of(rules: Rules, observe: Iterable[str] = (), warn: Iterable[str] = ()) -> Modes:
    """Gather the zones that are only watched; UsageError for a zone that the policy does not have."""
    modes: dict[str, Mode] = dict.fromkeys(observe, "observe")
    modes |= dict.fromkeys(warn, "warn")
    for zone in modes:
        if zone not in rules.zones:
            raise UsageError(f"the policy has no zone {zone!r}; it has {', '.join(rules.zones)}")
    return modes


def mode_of(rules: Rules, modes: Modes, service: str) -> Mode:
    """Return the mode that a service is held in."""
    return modes.get(rules.workloads[service].zone, "enforce")


def watched(rules: Rules, modes: Modes) -> tuple[str, ...]:
    """Name the services that are only watched."""
    return tuple(name for name in rules.workloads if mode_of(rules, modes, name) != "enforce")


def passes_undeclared(rules: Rules, modes: Modes, source: str, target: str) -> bool:
    """Say whether what no flow permits passes between two ends, because they are only watched."""
    lenient = {*watched(rules, modes), *rules.externals}
    return {source, target} <= lenient and not {source, target} <= set(rules.externals)
