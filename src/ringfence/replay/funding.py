"""How money gets to where it belongs: in from outside, then through the gates that its owner can open."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ringfence.kernel.errors import BadInput
from ringfence.planes.ledger.records import RECEIPTS
from ringfence.planes.ledger.rules import Rules
from ringfence.policy.families import variables_of

HOPS_MAX = 4
WINDOWS_MAX = 60


@dataclass(frozen=True, slots=True)
class Hop:
    """One move through a gate, by patterns."""

    gate: str
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where money arrives from outside, and the hops from there."""

    entry: str
    hops: tuple[Hop, ...]


Transfer = tuple[Hop, str, str, int]
"""A hop, the member whose money it is, the asset and how many units."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Transfers spread over the windows of the limits they pass: those of each window, in turn."""

    window_ns: int
    windows: tuple[tuple[Transfer, ...], ...]

    @property
    def lasts_ns(self) -> int:
        """How long the whole schedule takes."""
        return self.window_ns * len(self.windows)


def schedule(rules: Rules, transfers: Sequence[Transfer]) -> Schedule:
    """Spread transfers over as many windows as the limits of their gates ask for."""
    spent: dict[tuple[str, str, str, int], int] = {}
    windows: dict[int, list[Transfer]] = {}
    longest = 1
    for hop, member, asset, units in transfers:
        gate = rules.gates[hop.gate]
        caps = [(gate.each.get(asset), member), (gate.all.get(asset), "")]
        longest = max([longest, *(cap.window.length_ns for cap, _ in caps if cap is not None)])
        window, left = 0, units
        while left:
            rooms = [
                cap.units - spent.get((hop.gate, who, asset, window), 0)
                for cap, who in caps
                if cap is not None
            ]
            rooms += [gate.each_transfer[asset]] if asset in gate.each_transfer else []
            part = min([left, *rooms])
            if part > 0:
                windows.setdefault(window, []).append((hop, member, asset, part))
                for _, who in caps:
                    spent[hop.gate, who, asset, window] = spent.get((hop.gate, who, asset, window), 0) + part
                left -= part
            window += 1
            if window > WINDOWS_MAX:
                raise BadInput(
                    f"{gate.line}: the limit of gate {hop.gate} is too small to fund the population with"
                )
    return Schedule(longest, tuple(tuple(windows[number]) for number in sorted(windows)))


def route_to(rules: Rules, home: str) -> Route:
    """Return the shortest route to a compartment of a member; BadInput where its owner cannot fund it."""
    waiting: deque[Route] = deque([Route(home, ())])
    seen = {home}
    while waiting:
        route = waiting.popleft()
        if _arrives_at(rules, route.entry):
            return route
        if len(route.hops) == HOPS_MAX:
            continue
        for hop in _hops_into(rules, route.entry):
            if hop.source not in seen:
                seen.add(hop.source)
                waiting.append(Route(hop.source, (hop, *route.hops)))
    raise BadInput(f"{rules.name}: no way leads from outside to {home} that its owner can open; add a gate")


def _arrives_at(rules: Rules, home: str) -> bool:
    return any(
        RECEIPTS in gate.accrual
        and home in gate.targets
        and any(_is_outside(rules, source) for source in gate.sources)
        for gate in rules.policy.gates.values()
    )


def _is_outside(rules: Rules, pattern: str) -> bool:
    compartment = rules.policy.compartments.get(pattern)
    return compartment is not None and compartment.kind == "external" and not variables_of(pattern)


def _hops_into(rules: Rules, home: str) -> list[Hop]:
    """List the gates into a compartment that move what anybody with the right keys asks for."""
    found = []
    for name, gate in rules.policy.gates.items():
        if gate.accrual or gate.when or gate.delay_ns is not None or gate.reverses or gate.reason:
            continue
        if home in gate.targets and name in rules.gates:
            found += [
                Hop(name, source, home)
                for source in gate.sources
                if variables_of(source) == variables_of(home) and not _is_outside(rules, source)
            ]
    return found
