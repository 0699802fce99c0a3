"""What a network enforces at this moment, read back from the kernels of its places.

Nothing is remembered: another process may have put in force what is there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from ringfence.planes.network.compile import TRANSPORTS, Flow, Rules
from ringfence.planes.network.flow import explain
from ringfence.planes.network.loaded import Loaded, owner_of, read_guard, read_hub
from ringfence.planes.network.modes import Mode, Modes, mode_of, passes_undeclared, watched
from ringfence.planes.network.observe import Drift, drift
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_nftables import Standing
from ringfence.planes.network.sites import Sites

Json = dict[str, Any]

HUB = "hub"
AT_ONCE = 4
"""How many places are spoken to at the same time."""

_Answer = TypeVar("_Answer")


class RulesetPlace(Protocol):
    """One kernel that enforces a ruleset."""

    def check(self, document: Json) -> None:
        """Try a document without loading it; UnreachableError where it would be refused."""

    def load(self, document: Json) -> None:
        """Load a document in one transaction; UnreachableError where it is refused, and nothing changed."""

    def ruleset(self) -> Json:
        """Read back everything that is loaded."""

    def flush(self) -> None:
        """Remove every rule."""

    def established(self) -> tuple[tuple[str, str, int, str, int], ...]:
        """List connections in use: protocol, source address and port, target address and port."""

    def cut(self, source: str, target: str, port: int, protocol: str) -> int:
        """End the established connections of a flow between two networks; returns how many."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Connections that somebody tried to open and no flow permits.

    packets: how many first packets; passed: whether they were let through because the ends are only watched;
    words: why, and the nearest permitted way.
    """

    flow: Flow
    packets: int
    passed: bool
    words: str


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    """What one place has loaded, and how that differs from the rules."""

    place: str
    loaded: Loaded
    mode: Mode
    missing: tuple[str, ...]
    excess: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Say whether exactly the rules are in force here."""
        return self.loaded.generation > 0 and not self.missing and not self.excess


@dataclass(frozen=True, slots=True)
class Enforced:
    """What is in force at the places of one network: the hub, and each service with rules of its own."""

    sites: Sites
    places: Mapping[str, RulesetPlace]

    def drift(self, rules: Rules) -> Mapping[str, Drift]:
        """Compare what is loaded at the hub, and at all services together, with what is declared."""
        return self._drifts(rules, self.rulesets())

    def status(self, rules: Rules) -> tuple[PlaceStatus, ...]:
        """Say of every place what it has loaded and how that differs from the rules."""
        rulesets = self.rulesets()
        standing = self.standing_in(rules, rulesets)
        return tuple(self._status(rules, standing, name, ruleset) for name, ruleset in rulesets.items())

    def must_be(self, rules: Rules) -> Callable[[Flow], bool | None]:
        """Return what says of a flow whether it must be open or closed now; None where either is right."""
        standing = self.standing_in(rules, self.rulesets())

        def answer(flow: Flow) -> bool | None:
            if {flow.source, flow.target} & set(standing.quarantined):
                return False
            is_watched = passes_undeclared(rules, standing.modes, flow.source, flow.target)
            return True if flow in rules.flows else None if is_watched else False

        return answer

    def attempts(self, rules: Rules) -> tuple[Attempt, ...]:
        """List what was tried and no flow permits, most often first; the hub's count where it has one."""
        rulesets = self.rulesets()
        modes, counted = self.standing_in(rules, rulesets).modes, dict[Flow, int]()
        for name, ruleset in rulesets.items():
            for flow, packets in self._loaded(rules, name, ruleset).tried.items():
                if flow not in rules.flows:
                    counted[flow] = max(packets, counted.get(flow, 0))
        ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(self._attempt(rules, modes, flow, packets) for flow, packets in ordered)

    def undeclared(self, rules: Rules) -> frozenset[tuple[Flow, int]]:
        """List established connections that the rules do not permit, each with its source's port."""
        found: set[tuple[Flow, int]] = set()
        for listed in self.everywhere(self.places, lambda name: self.places[name].established()).values():
            for protocol, source, source_port, target, port in listed:
                ends = owner_of(self.sites, source), owner_of(self.sites, target)
                transport = next(one for one in TRANSPORTS if one == protocol)
                if ends[0] and ends[1] and ends[0] != ends[1]:
                    found.add((Flow(ends[0], ends[1], transport, port), source_port))
        return frozenset(one for one in found if one[0] not in rules.flows)

    def in_force(self, rules: Rules) -> Rules:
        """Return the rules without the flows that a place has closed, such as revoked ones."""
        return self.open_in(rules, self.rulesets())

    # --- of rulesets that were read ------------------------------------------------------------

    def differences(self, rules: Rules, standing: Standing, rulesets: Mapping[str, Json]) -> tuple[str, ...]:
        """Say in sentences what these rulesets close or open against the rules."""
        found: list[str] = []
        for where, difference in self._drifts(rules, rulesets).items():
            unmeant = _unmeant(rules, difference, standing)
            found += [f"{where}: {flow} is declared and closed" for flow in unmeant.missing]
            # The place of a watched service closes nothing; what it leaves open is closed elsewhere.
            closing = {HUB} if where == HUB else {*rulesets} - {HUB, *watched(rules, standing.modes)}
            found += [
                f"{where}: {excess} is open and not declared"
                for excess in unmeant.excess
                if closing & {HUB, excess.source, excess.target}
            ]
        return tuple(found)

    def _drifts(self, rules: Rules, rulesets: Mapping[str, Json]) -> dict[str, Drift]:
        found, guards = {}, {name: ruleset for name, ruleset in rulesets.items() if name != HUB}
        if HUB in rulesets:
            found[HUB] = drift(rules, observe_hub(rulesets[HUB], self.sites))
        if guards:
            inside = [(a, b) for a in self.sites for b in self.sites if a != b and {a, b} & guards.keys()]
            found["services"] = drift(rules, observe_guards(guards, self.sites), inside)
        return found

    def open_in(self, rules: Rules, rulesets: Mapping[str, Json]) -> Rules:
        """Return the rules without the flows that one of these rulesets closes."""
        standing = self.standing_in(rules, rulesets)
        drifts = [_unmeant(rules, found, standing) for found in self._drifts(rules, rulesets).values()]
        closed = {flow for found in drifts for flow in found.missing}
        return replace(rules, flows={one: two for one, two in rules.flows.items() if one not in closed})

    def _loaded(self, rules: Rules, name: str, ruleset: Json) -> Loaded:
        if name == HUB:
            return read_hub(ruleset, rules, self.sites)
        return read_guard(ruleset, rules, self.sites, name)

    def standing_in(self, rules: Rules, rulesets: Mapping[str, Json]) -> Standing:
        """Say what holds beside the rules that are loaded."""
        found = {name: self._loaded(rules, name, ruleset) for name, ruleset in rulesets.items()}
        modes: dict[str, Mode] = {}
        for one in found.values():
            modes |= one.modes
        number = max((one.generation for one in found.values()), default=0)
        return Standing(number, modes, found[HUB].quarantined if HUB in found else ())

    def _status(self, rules: Rules, standing: Standing, name: str, ruleset: Json) -> PlaceStatus:
        mode: Mode = "enforce"
        if name == HUB:
            found = drift(rules, observe_hub(ruleset, self.sites))
        else:
            mode = mode_of(rules, standing.modes, name)
            own = [pair for end in self.sites if end != name for pair in ((name, end), (end, name))]
            found = drift(rules, observe_guards({name: ruleset}, self.sites), own)
            # Where its zone is only watched, the place of a service lets everything pass on purpose.
            found = found if mode == "enforce" else Drift(found.missing, ())
        found = _unmeant(rules, found, standing)
        loaded = self._loaded(rules, name, ruleset)
        return PlaceStatus(name, loaded, mode, tuple(map(str, found.missing)), tuple(map(str, found.excess)))

    def _attempt(self, rules: Rules, modes: Modes, flow: Flow, packets: int) -> Attempt:
        words = getattr(explain(rules, flow).decision, "words", "")
        return Attempt(flow, packets, passes_undeclared(rules, modes, flow.source, flow.target), words)

    # --- asking --------------------------------------------------------------------------------

    def rulesets(self, names: Collection[str] | None = None) -> dict[str, Json]:
        """Read what is loaded at places; at all of them where none is named."""
        asked = self.places if names is None else names
        return self.everywhere(asked, lambda name: self.places[name].ruleset())

    def everywhere(self, names: Iterable[str], ask: Callable[[str], _Answer]) -> dict[str, _Answer]:
        """Ask places at the same time; the first fault is raised when all have answered."""
        listed = list(names)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [pool.submit(ask, name) for name in listed]
        return {name: answer.result() for name, answer in zip(listed, asked, strict=True)}


def _unmeant(rules: Rules, found: Drift, standing: Standing) -> Drift:
    """Take from a drift what quarantine closes, and modes open, on purpose."""
    cut_off = set(standing.quarantined)
    missing = [flow for flow in found.missing if not {flow.source, flow.target} & cut_off]
    excess = [
        one for one in found.excess if not passes_undeclared(rules, standing.modes, one.source, one.target)
    ]
    return Drift(tuple(missing), tuple(excess))
