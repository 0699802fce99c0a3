"""Puts the network plane's rules in force, and takes them back where they do not do what was declared.

    compile -> prove -> dry run -> load -> read back -> probe -> commit

Each place (the hub, and one for each service) has its own ruleset, loaded in one transaction of its kernel.
Whatever fails on the way, every place gets back the ruleset it had. A connection passes only where the hub,
its source and its target all permit it, so a place that still has the old rules closes and never opens.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence.kernel.errors import UsageError, ViolationError
from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.observe import Drift, drift
from ringfence.planes.network.observe_nftables import observe_guards, observe_hub
from ringfence.planes.network.render_nftables import Closed, render_guard, render_hub
from ringfence.planes.network.sites import Site, Sites

Json = dict[str, Any]

HUB = "hub"


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

    def quarantine(self, interface: str) -> None:
        """Pass no packet from or to an interface any more."""

    def release(self, interface: str) -> None:
        """Pass packets of an interface again, as the rules say."""

    def cut(self, source: str, target: str, port: int, protocol: str) -> int:
        """End the established connections of a flow between two addresses; returns how many."""


Probe = Callable[[Rules], tuple[str, ...]]
"""Sends packets and says in sentences where they do not go as the rules declare; empty where they do."""

Prove = Callable[[Rules], tuple[str, ...]]
"""Says in sentences which claims the rules would break; empty where none."""


@dataclass(frozen=True, slots=True)
class Generation:
    """Rules that are in force, with the document of every place."""

    rules: Rules
    documents: Mapping[str, Json]


@dataclass(slots=True)
class Enforcer:
    """The rulesets of one network.

    places: the hub and the place of each service that enforces its own rules; keep: flows that must stay
    open, so that nobody locks themselves out; observed_zones: zones that are only watched.
    """

    sites: Sites
    places: Mapping[str, RulesetPlace]
    closed: Closed = "drop"
    keep: Collection[Flow] = ()
    observed_zones: Collection[str] = ()
    generation: Generation | None = field(default=None)

    def apply(self, rules: Rules, prove: Prove, probe: Probe, confirm: Callable[[], bool]) -> Generation:
        """Put rules in force.

        confirm: asked last; where nobody confirms, the old rules come back. Raises UsageError where a flow to
        keep would close, UnreachableError where a place refuses, ViolationError where the rules would break a
        claim or do not do what they declare; then the rules that stood before stand again.
        """
        self._refuse_lock_out(rules)
        _refuse("the rules would break a claim", prove(rules))
        documents = self._documents(rules)
        for place, document in documents.items():
            self.places[place].check(document)
        before = self.generation
        try:
            for place, document in documents.items():
                self.places[place].load(document)
            _refuse("what was loaded is not what was declared", self._differences(rules))
            _refuse("packets do not go as declared", probe(rules))
            if not confirm():
                raise ViolationError("nobody confirmed the new rules in time; the old ones are back")
        except BaseException:
            self._restore(before)
            raise
        self.generation = Generation(rules, documents)
        return self.generation

    def drift(self, rules: Rules) -> Mapping[str, Drift]:
        """Compare what is loaded at the hub, and at all services together, with what is declared."""
        found = {}
        if HUB in self.places:
            found[HUB] = drift(rules, observe_hub(self.places[HUB].ruleset(), self.sites))
        guarded = {name: place.ruleset() for name, place in self.places.items() if name != HUB}
        if guarded:
            inside = [(a, b) for a in self.sites for b in self.sites if a != b and {a, b} & guarded.keys()]
            found["services"] = drift(rules, observe_guards(guarded, self.sites), inside)
        return found

    def quarantine(self, end: str) -> None:
        """Cut an end off from everything, established connections too."""
        self._hub().quarantine(self._site(end).interface)

    def release(self, end: str) -> None:
        """Let an end that was cut off take part again."""
        self._hub().release(self._site(end).interface)

    def revoke(self, flow: Flow, probe: Probe) -> int:
        """Close one flow now, and end its established connections; returns how many those were.

        The policy still declares it: take it out there too, or the next `apply` opens it again.
        """
        if self.generation is None or flow not in self.generation.rules.flows:
            raise UsageError(f"{flow} is not in force, so there is nothing to revoke")
        rules = _without(self.generation.rules, flow)
        self.apply(rules, lambda _: (), probe, lambda: True)
        source, target = self._site(flow.source), self._site(flow.target)
        return sum(
            place.cut(one, other, flow.port, flow.protocol)
            for place in self.places.values()
            for one, other in ((source.own_v4, target.own_v4), (source.own_v6, target.own_v6))
        )

    def _documents(self, rules: Rules) -> dict[str, Json]:
        documents = {}
        for place in self.places:
            if place == HUB:
                documents[place] = render_hub(rules, self.sites, self.closed, self.observed_zones)
            else:
                documents[place] = render_guard(rules, self.sites, place, self.closed, self.observed_zones)
        return documents

    def _restore(self, before: Generation | None) -> None:
        for name, place in self.places.items():
            if before is None:
                place.flush()
            else:
                place.load(before.documents[name])

    def _differences(self, rules: Rules) -> tuple[str, ...]:
        if self.observed_zones:
            return ()  # what is only watched is open on purpose
        found: list[str] = []
        for where, difference in self.drift(rules).items():
            found += [f"{where}: {flow} is declared and closed" for flow in difference.missing]
            found += [f"{where}: {excess} is open and not declared" for excess in difference.excess]
        return tuple(found)

    def _refuse_lock_out(self, rules: Rules) -> None:
        for flow in self.keep:
            if flow not in rules.flows:
                raise UsageError(f"{flow} must stay open, and the new rules close it; nothing was changed")

    def _hub(self) -> RulesetPlace:
        return self.places[HUB]

    def _site(self, end: str) -> Site:
        if end not in self.sites:
            raise UsageError(f"the policy has no service or external {end!r}; it has {', '.join(self.sites)}")
        return self.sites[end]


def _without(rules: Rules, flow: Flow) -> Rules:
    kept = {one: permission for one, permission in rules.flows.items() if one != flow}
    return Rules(rules.name, rules.zones, rules.workloads, rules.externals, kept)


def _refuse(words: str, faults: tuple[str, ...]) -> None:
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ViolationError(f"{words}: {faults[0]}{more}; nothing was changed")
