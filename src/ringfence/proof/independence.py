"""Are the keys of a quorum really apart? Whoever alone meets a need for several makes it a need for one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ringfence.policy.model import Policy
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.grounding import ground
from ringfence.proof.reach import Index, Start, met_needs, spread
from ringfence.proof.scratch import signers
from ringfence.proof.world import World


@dataclass(frozen=True, slots=True)
class Shared:
    """One place that alone meets what several keys were asked for. kind: person, host, service or zone."""

    kind: str
    name: str
    keys: tuple[str, ...]
    gates: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name} alone has {', '.join(self.keys)} and so opens {', '.join(self.gates)}"
        )


def shared_quorums(policy: Policy) -> tuple[Shared, ...]:
    """List every person, host, service and zone that alone meets a need for two keys or more."""
    index = Index(ground(policy, cast_for_reach(policy, {})))
    world = index.world
    alone = met_needs(index, index.given_keys)
    found = []
    for kind, name, start in _places(policy, world):
        grip = spread(index, start, "contained")
        gates: dict[str, None] = {}
        keys: dict[str, None] = {}
        for need in sorted(met_needs(index, grip.had) - alone):
            used = signers(world, need, grip.had) or ()
            by_hand = [world.keys[key].name for key in used if not world.keys[key].given]
            names = [world.rules[world.ways[way].rule].name for way in index.ways_of_need.get(need, ())]
            if len(by_hand) > 1 and names:
                keys.update(dict.fromkeys(by_hand))
                gates.update(dict.fromkeys(names))
        if gates:
            found.append(Shared(kind, name, tuple(keys), tuple(gates)))
    return tuple(found)


def _places(policy: Policy, world: World) -> Iterator[tuple[str, str, Start]]:
    """Go through everywhere that keys may be together."""
    for kind, of in (
        ("person", [key.person for key in world.keys]),
        ("host", [key.host for key in world.keys]),
    ):
        for name in dict.fromkeys(name for name in of if name):
            keys = frozenset(number for number, one in enumerate(of) if one == name)
            yield kind, name, Start(keys=keys)
    at = {service.name: number for number, service in enumerate(world.services)}
    for name, number in at.items():
        yield "service", name, Start(frozenset({number}))
    for zone, services in _zones(policy).items():
        if len(services) > 1:
            yield "zone", zone, Start(frozenset(at[name] for name in services))


def _zones(policy: Policy) -> Mapping[str, tuple[str, ...]]:
    zones: dict[str, list[str]] = {}
    for name, service in policy.services.items():
        zones.setdefault(service.zone, []).append(name)
    return {zone: tuple(names) for zone, names in zones.items()}
