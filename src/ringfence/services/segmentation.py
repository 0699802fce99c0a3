"""Puts the network plane's rules in force, and takes them back where they do not do what was declared.

    compile -> prove -> dry run -> load -> read back -> probe -> commit

Each place (the hub, and one for each service) has its own ruleset, loaded in one transaction of its kernel.
Whatever fails on the way, every place gets back the ruleset it had. A connection passes only where the hub,
its source and its target all permit it, so a place that still has the old rules closes and never opens.

What is in force is asked of the kernels and not remembered: another process may have put it there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from ringfence.kernel.errors import RingfenceError, UnreachableError, UsageError, ViolationError
from ringfence.planes.network.compile import TRANSPORTS, Flow, Rules
from ringfence.planes.network.flow import explain
from ringfence.planes.network.live_nftables import (
    closing_at_guard,
    closing_at_hub,
    cutting_off,
    letting_in,
)
from ringfence.planes.network.loaded import Loaded, owner_of, read_guard, read_hub, restoring
from ringfence.planes.network.modes import Mode, Modes, mode_of, passes_undeclared, watched
from ringfence.planes.network.observe import Drift, drift
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_nftables import Closed, Standing, render_guard, render_hub
from ringfence.planes.network.sites import Site, Sites, networks_of

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


class Watchdog(Protocol):
    """Brings back what stood before if nobody stops it in time."""

    def arm(self, before: Mapping[str, Json]) -> None:
        """Start waiting."""

    def disarm(self) -> bool:
        """Stop waiting; false where it was too late."""


Probe = Callable[[Rules], tuple[str, ...]]
"""Sends packets and says in sentences where they do not go as the rules declare; empty where they do."""

Prove = Callable[[Rules], tuple[str, ...]]
"""Says in sentences which claims the rules would break; empty where none."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Rules that are in force, with the document of every place; `number` counts loads."""

    rules: Rules
    documents: Mapping[str, Json]
    number: int = 0


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


@dataclass(slots=True)
class Enforcer:
    """The rulesets of one network.

    places: the hub and the place of each service that enforces its own rules; keep: flows that must stay
    open, so that nobody locks themselves out; modes: zones that are only watched, None for those that are
    watched now; watchdog: brings the old rules back even if this process does not live to do it.
    """

    sites: Sites
    places: Mapping[str, RulesetPlace]
    closed: Closed = "drop"
    keep: Collection[Flow] = ()
    modes: Modes | None = None
    watchdog: Watchdog | None = None
    generation: Generation | None = field(default=None)

    def apply(self, rules: Rules, prove: Prove, probe: Probe, confirm: Callable[[], bool]) -> Generation:
        """Put rules in force; what is in quarantine stays there.

        confirm: asked last; where nobody confirms, the old rules come back. Raises UsageError where a flow to
        keep would close, UnreachableError where a place refuses, ViolationError where the rules would break a
        claim or do not do what they declare; then the rules that stood before stand again.
        """
        self._refuse_lock_out(rules)
        _refuse("the rules would break a claim", prove(rules))
        return self._put(rules, tuple(self.places), probe, confirm)

    def rehearse(self, rules: Rules) -> None:
        """Do everything of `apply` that changes nothing: lock-out, and a dry run at every place."""
        self._refuse_lock_out(rules)
        documents = self._documents(rules, self._next(rules, self._rulesets()), self.places)
        self._everywhere(documents, lambda name: self.places[name].check(documents[name]))

    def drift(self, rules: Rules, names: Collection[str] | None = None) -> Mapping[str, Drift]:
        """Compare what is loaded at the hub, and at all services together, with what is declared.

        names: the only places that are asked; the others count as permitting everything.
        """
        return self._drifts(rules, self._rulesets(names))

    def status(self, rules: Rules) -> tuple[PlaceStatus, ...]:
        """Say of every place what it has loaded and how that differs from the rules."""
        rulesets = self._rulesets()
        standing = self._standing_in(rules, rulesets)
        return tuple(self._status(rules, standing, name, ruleset) for name, ruleset in rulesets.items())

    def must_be(self, rules: Rules) -> Callable[[Flow], bool | None]:
        """Return what says of a flow whether it must be open or closed now; None where either is right."""
        standing = self._standing_in(rules, self._rulesets())

        def answer(flow: Flow) -> bool | None:
            if {flow.source, flow.target} & set(standing.quarantined):
                return False
            is_watched = passes_undeclared(rules, standing.modes, flow.source, flow.target)
            return True if flow in rules.flows else None if is_watched else False

        return answer

    def attempts(self, rules: Rules) -> tuple[Attempt, ...]:
        """List what was tried and no flow permits, most often first; the hub's count where it has one."""
        rulesets = self._rulesets()
        modes, counted = self._standing_in(rules, rulesets).modes, dict[Flow, int]()
        for name, ruleset in rulesets.items():
            for flow, packets in self._loaded(rules, name, ruleset).tried.items():
                if flow not in rules.flows:
                    counted[flow] = max(packets, counted.get(flow, 0))
        ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
        return tuple(self._attempt(rules, modes, flow, packets) for flow, packets in ordered)

    def undeclared(self, rules: Rules) -> frozenset[tuple[Flow, int]]:
        """List established connections that the rules do not permit, each with its source's port."""
        found: set[tuple[Flow, int]] = set()
        for listed in self._everywhere(self.places, lambda name: self.places[name].established()).values():
            for protocol, source, source_port, target, port in listed:
                ends = owner_of(self.sites, source), owner_of(self.sites, target)
                transport = next(one for one in TRANSPORTS if one == protocol)
                if ends[0] and ends[1] and ends[0] != ends[1]:
                    found.add((Flow(ends[0], ends[1], transport, port), source_port))
        return frozenset(one for one in found if one[0] not in rules.flows)

    def quarantine(self, end: str) -> None:
        """Cut an end off from everything, established connections too."""
        self._hub().load(cutting_off(self._site(end).interface))

    def release(self, end: str) -> None:
        """Let an end that was cut off take part again."""
        self._hub().load(letting_in(self._site(end).interface))

    def revoke(self, flow: Flow, rules: Rules | None = None) -> int:
        """Close one flow now, and end its established connections; returns how many those were.

        The flow is taken out of the rules that stand, at the hub first, and what is established is ended;
        then they are read back. Where they are not what is left of the declared ones, these are loaded whole.

        rules: what the policy declares, where this process did not put it in force. The policy still declares
        the flow: take it out there too, or the next `apply` opens it again.
        """
        declared = rules or (self.generation.rules if self.generation else None)
        if declared is None or flow not in declared.flows:
            raise UsageError(f"{flow} is not in force, so there is nothing to revoke")
        touched = [name for name in self.places if name in (HUB, flow.source, flow.target)]
        first, others = touched[:1], touched[1:]
        closed = [self._close(declared, name, flow) for name in first]
        closed += self._everywhere(others, lambda name: self._close(declared, name, flow)).values()
        rulesets = self._rulesets(touched)
        in_force = self._in_force(declared, rulesets)
        if not any(was_open for was_open, _ in closed) and flow not in in_force.flows:
            raise UsageError(f"{flow} is not in force, so there is nothing to revoke")
        left = replace(in_force, flows={one: two for one, two in in_force.flows.items() if one != flow})
        self._settle(left, touched, rulesets)
        # What was being opened in the very moment the flow was closed is established only now.
        return sum(ended for _, ended in closed) + sum(self._cut(self.places[name], flow) for name in first)

    def in_force(self, rules: Rules) -> Rules:
        """Return the rules without the flows that a place has closed, such as revoked ones."""
        return self._in_force(rules, self._rulesets())

    # --- steps ---------------------------------------------------------------------------------

    def _close(self, rules: Rules, name: str, flow: Flow) -> tuple[bool, int]:
        """Take a flow out of the rules that stand at a place, and end what is established of it there.

        Returns whether it was among them, and how many connections were ended.
        """
        place, was_open = self.places[name], True
        try:
            place.load(
                closing_at_hub(rules, self.sites, flow)
                if name == HUB
                else closing_at_guard(rules, self.sites, flow, name)
            )
        except UnreachableError:
            # It is not there, or somebody else wrote what is; reading back finds out.
            was_open = False
        return was_open, self._cut(place, flow)

    def _settle(self, left: Rules, touched: Collection[str], rulesets: Mapping[str, Json]) -> None:
        """Remember what is left after a change at some places; load it where they hold something else."""
        standing = self._standing_in(left, rulesets)
        if self._differences(left, standing, rulesets):
            self._put(left, touched, lambda _: (), lambda: True)
        else:
            self._remember(left, standing, self._documents(left, standing, touched))

    def _put(
        self, rules: Rules, names: Collection[str], probe: Probe, confirm: Callable[[], bool]
    ) -> Generation:
        # What stands is said by the hub; without it, each place says it for itself.
        rulesets = self._rulesets(names)
        standing = self._next(rules, rulesets)
        documents = self._documents(rules, standing, names)
        self._everywhere(names, lambda name: self.places[name].check(documents[name]))
        before = {name: restoring(rulesets[name]) for name in names}
        if self.watchdog:
            self.watchdog.arm(before)
        try:
            self._everywhere(names, lambda name: self.places[name].load(documents[name]))
            loaded = self._rulesets(names)
            _refuse("what was loaded is not what was declared", self._differences(rules, standing, loaded))
            _refuse("packets do not go as declared", probe(rules))
            if not confirm():
                raise ViolationError("nobody confirmed the new rules in time; the old ones are back")
            if self.watchdog and not self.watchdog.disarm():
                raise ViolationError("the roll-back was faster than the confirmation; the old rules are back")
        except BaseException:
            self._restore(before)
            raise
        return self._remember(rules, standing, documents)

    def _remember(self, rules: Rules, standing: Standing, documents: Mapping[str, Json]) -> Generation:
        kept = self.generation.documents if self.generation else {}
        self.generation = Generation(rules, {**kept, **documents}, standing.generation)
        return self.generation

    def _restore(self, before: Mapping[str, Json]) -> None:
        """Bring everything back; one place that fails does not keep the others from it."""
        failed: list[str] = []
        for name, document in before.items():
            try:
                self.places[name].load(document)
            except RingfenceError as fault:
                failed.append(f"{name}: {fault}")
        if self.watchdog and not failed:
            self.watchdog.disarm()
        if failed:
            raise UnreachableError(f"the old rules could not be brought back everywhere: {'; '.join(failed)}")

    def _next(self, rules: Rules, rulesets: Mapping[str, Json]) -> Standing:
        """Say what is to hold beside the rules that are loaded next."""
        now = self._standing_in(rules, rulesets)
        modes = now.modes if self.modes is None else self.modes
        return Standing(now.generation + 1, modes, now.quarantined)

    def _documents(self, rules: Rules, standing: Standing, names: Iterable[str]) -> dict[str, Json]:
        return {
            name: render_hub(rules, self.sites, self.closed, standing)
            if name == HUB
            else render_guard(rules, self.sites, name, self.closed, standing)
            for name in names
        }

    def _differences(self, rules: Rules, standing: Standing, rulesets: Mapping[str, Json]) -> tuple[str, ...]:
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

    # --- reading -------------------------------------------------------------------------------

    def _drifts(self, rules: Rules, rulesets: Mapping[str, Json]) -> dict[str, Drift]:
        found, guards = {}, {name: ruleset for name, ruleset in rulesets.items() if name != HUB}
        if HUB in rulesets:
            found[HUB] = drift(rules, observe_hub(rulesets[HUB], self.sites))
        if guards:
            inside = [(a, b) for a in self.sites for b in self.sites if a != b and {a, b} & guards.keys()]
            found["services"] = drift(rules, observe_guards(guards, self.sites), inside)
        return found

    def _in_force(self, rules: Rules, rulesets: Mapping[str, Json]) -> Rules:
        standing = self._standing_in(rules, rulesets)
        drifts = [_unmeant(rules, found, standing) for found in self._drifts(rules, rulesets).values()]
        closed = {flow for found in drifts for flow in found.missing}
        return replace(rules, flows={one: two for one, two in rules.flows.items() if one not in closed})

    def _loaded(self, rules: Rules, name: str, ruleset: Json) -> Loaded:
        if name == HUB:
            return read_hub(ruleset, rules, self.sites)
        return read_guard(ruleset, rules, self.sites, name)

    def _standing_in(self, rules: Rules, rulesets: Mapping[str, Json]) -> Standing:
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

    # --- shared --------------------------------------------------------------------------------

    def _rulesets(self, names: Collection[str] | None = None) -> dict[str, Json]:
        asked = self.places if names is None else names
        return self._everywhere(asked, lambda name: self.places[name].ruleset())

    def _everywhere(self, names: Iterable[str], ask: Callable[[str], _Answer]) -> dict[str, _Answer]:
        """Ask places at the same time; the first fault is raised when all have answered."""
        listed = list(names)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            asked = [pool.submit(ask, name) for name in listed]
        return {name: answer.result() for name, answer in zip(listed, asked, strict=True)}

    def _cut(self, place: RulesetPlace, flow: Flow) -> int:
        source, target = self._site(flow.source).addresses, self._site(flow.target).addresses
        return sum(
            place.cut(one, other, flow.port, flow.protocol)
            for one in networks_of(source)
            for other in networks_of(target)
            if (":" in one) == (":" in other)
        )

    def _refuse_lock_out(self, rules: Rules) -> None:
        for flow in self.keep:
            if flow not in rules.flows:
                raise UsageError(f"{flow} must stay open, and the new rules close it; nothing was changed")

    def _hub(self) -> RulesetPlace:
        if HUB not in self.places:
            raise UsageError("quarantine is held at the hub, and this is not the place of the hub")
        return self.places[HUB]

    def _site(self, end: str) -> Site:
        if end not in self.sites:
            raise UsageError(f"the policy has no service or external {end!r}; it has {', '.join(self.sites)}")
        return self.sites[end]


def _unmeant(rules: Rules, found: Drift, standing: Standing) -> Drift:
    """Take from a drift what quarantine closes, and modes open, on purpose."""
    cut_off = set(standing.quarantined)
    missing = [flow for flow in found.missing if not {flow.source, flow.target} & cut_off]
    excess = [
        one for one in found.excess if not passes_undeclared(rules, standing.modes, one.source, one.target)
    ]
    return Drift(tuple(missing), tuple(excess))


def _refuse(words: str, faults: tuple[str, ...]) -> None:
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ViolationError(f"{words}: {faults[0]}{more}; nothing was changed")
