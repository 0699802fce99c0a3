"""Puts the network plane's rules in force, and takes them back where they do not do what was declared.

    compile -> prove -> dry run -> load -> read back -> probe -> commit

Each place (the hub, and one for each service) has its own ruleset, loaded in one transaction of its kernel.
Whatever fails on the way, every place gets back the ruleset it had. A connection passes only where the hub,
its source and its target all permit it, so a place that still has the old rules closes and never opens.

What is in force is asked of the kernels and not remembered: another process may have put it there.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from ringfence.kernel.errors import RingfenceError, UnreachableError, UsageError, ViolationError
from ringfence.planes.network.compile import Flow, Rules
from ringfence.planes.network.live_nftables import (
    closing_at_guard,
    closing_at_hub,
    cutting_off,
    letting_in,
)
from ringfence.planes.network.loaded import restoring
from ringfence.planes.network.modes import Modes
from ringfence.planes.network.render_nftables import Closed, Standing, render_guard, render_hub
from ringfence.planes.network.sites import Site, Sites, networks_of
from ringfence.services.enforced import HUB, Enforced, Json, RulesetPlace


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

    @property
    def enforced(self) -> Enforced:
        """What is in force, read from the kernels each time it is asked."""
        return Enforced(self.sites, self.places)

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
        documents = self._documents(rules, self._next(rules, self.enforced.rulesets()), self.places)
        self.enforced.everywhere(documents, lambda name: self.places[name].check(documents[name]))

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
        closed += self.enforced.everywhere(others, lambda name: self._close(declared, name, flow)).values()
        rulesets = self.enforced.rulesets(touched)
        in_force = self.enforced.open_in(declared, rulesets)
        if not any(was_open for was_open, _ in closed) and flow not in in_force.flows:
            raise UsageError(f"{flow} is not in force, so there is nothing to revoke")
        left = replace(in_force, flows={one: two for one, two in in_force.flows.items() if one != flow})
        self._settle(left, touched, rulesets)
        # What was being opened in the very moment the flow was closed is established only now.
        return sum(ended for _, ended in closed) + sum(self._cut(self.places[name], flow) for name in first)

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
        standing = self.enforced.standing_in(left, rulesets)
        if self.enforced.differences(left, standing, rulesets):
            self._put(left, touched, lambda _: (), lambda: True)
        else:
            self._remember(left, standing, self._documents(left, standing, touched))

    def _put(
        self, rules: Rules, names: Collection[str], probe: Probe, confirm: Callable[[], bool]
    ) -> Generation:
        # What stands is said by the hub; without it, each place says it for itself.
        rulesets = self.enforced.rulesets(names)
        standing = self._next(rules, rulesets)
        documents = self._documents(rules, standing, names)
        self.enforced.everywhere(names, lambda name: self.places[name].check(documents[name]))
        before = {name: restoring(rulesets[name]) for name in names}
        if self.watchdog:
            self.watchdog.arm(before)
        try:
            self.enforced.everywhere(names, lambda name: self.places[name].load(documents[name]))
            loaded = self.enforced.rulesets(names)
            _refuse(
                "what was loaded is not what was declared", self.enforced.differences(rules, standing, loaded)
            )
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
        now = self.enforced.standing_in(rules, rulesets)
        modes = now.modes if self.modes is None else self.modes
        return Standing(now.generation + 1, modes, now.quarantined)

    def _documents(self, rules: Rules, standing: Standing, names: Iterable[str]) -> dict[str, Json]:
        return {
            name: render_hub(rules, self.sites, self.closed, standing)
            if name == HUB
            else render_guard(rules, self.sites, name, self.closed, standing)
            for name in names
        }

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


def _refuse(words: str, faults: tuple[str, ...]) -> None:
    if faults:
        more = f" and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ViolationError(f"{words}: {faults[0]}{more}; nothing was changed")
