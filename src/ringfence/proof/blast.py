"""The blast radius: what falls if this falls, how much can move, and how fast.

Stated for each plane, per hour and per day: out of the platform, from clients to the house, new value in from
outside, and beside it what is lost by trading. `contained` is what the start itself holds and may call;
`pivot` assumes that every service an owned one can reach falls too. Both are always worth reading together.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.policy.model import Policy
from ringfence.proof import trading
from ringfence.proof.adopting import can_adopt
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.grounding import ground
from ringfence.proof.names import nodes_held
from ringfence.proof.questions import start_of
from ringfence.proof.reach import Grip, Index, Mode, Start, Usable, reach, spread, usable
from ringfence.proof.throughput import Span, most
from ringfence.proof.trading import Channel
from ringfence.proof.world import Fact, World, extend

PLANES = ("ledger", "vault")

SPANS = {"hour": HOUR_NS, "day": DAY_NS}

Amounts = dict[str, int | None]
"""Units by asset; None where nothing limits them."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Which places count as clients', as the house's, and as outside, when amounts are asked for."""

    clients: frozenset[int]
    house: frozenset[int]
    outside: frozenset[int]


@dataclass(frozen=True, slots=True)
class PlaneBlast:
    """What can move on one plane.

    gates: names of the gates that open; reached: places that value can leave or get to; out, to_house and
    minted: by `hour` and `day`, what leaves the platform, goes from clients to the house, comes in as new.
    """

    gates: tuple[str, ...]
    reached: tuple[str, ...]
    out: dict[str, Amounts]
    to_house: dict[str, Amounts]
    minted: dict[str, Amounts]


@dataclass(frozen=True, slots=True)
class Blast:
    """The blast radius of one start.

    services and keys: everything that falls; lost_by_trading: by `hour` and `day`, per member, with the
    channels it is lost through; adopts: whether these keys could put another policy in force, and when.
    """

    start: tuple[str, ...]
    mode: Mode
    services: tuple[str, ...]
    keys: tuple[str, ...]
    planes: dict[str, PlaneBlast]
    lost_by_trading: dict[str, Amounts]
    channels: tuple[Channel, ...]
    adopts: str = ""


def blast(policy: Policy, names: Iterable[str], mode: Mode, facts: Iterable[Fact] = ()) -> Blast:
    """Return the blast radius of services, keys, hosts or people of a policy; Fault where one is unknown.

    facts: what is known beside the policy, e.g. balances as supplies.
    """
    wanted = tuple(names)
    world = extend(ground(policy, cast_for_amounts(policy, {}, wanted)), facts)
    found = blast_in(Index(world), sides_of(policy, world), wanted, mode)
    given = (key.name for key in world.keys if key.given)
    return replace(found, adopts=can_adopt(policy, {*found.keys, *given}))


def blast_in(index: Index, sides: Sides, names: tuple[str, ...], mode: Mode) -> Blast:
    """Return the blast radius in a world, read from a policy or observed."""
    world = index.world
    grip = spread(index, start_of(world, names), mode)
    by_span = {span: trading.losses(index, grip, horizon_ns) for span, horizon_ns in SPANS.items()}
    settled = sorted({loss.asset for found in by_span.values() for loss in found})
    return Blast(
        start=names,
        mode=mode,
        services=tuple(world.services[number].name for number in sorted(grip.owned)),
        keys=tuple(world.keys[number].name for number in sorted(grip.had) if not world.keys[number].given),
        planes={plane: _on_plane(index, grip, plane, sides) for plane in _planes(world)},
        lost_by_trading={
            span: {world.assets[asset]: trading.worst(world, found, asset, "each") for asset in settled}
            for span, found in by_span.items()
        },
        channels=tuple(sorted({channel for loss in by_span["day"] for channel in loss.channels})),
    )


def _planes(world: World) -> tuple[str, ...]:
    checked = {plane for rule in world.rules for plane in rule.planes}
    return tuple(plane for plane in PLANES if plane in checked)


def sides_of(policy: Policy, world: World) -> Sides:
    """Say which places are clients' (their owner is one) and which the house's own (`house_money`)."""
    clients = {name for name, party in policy.parties.items() if party.kind in ("client", "affiliate")}
    rows = list(enumerate(world.places))
    return Sides(
        frozenset(number for number, place in rows if place.owner in clients),
        frozenset(number for number, place in rows if place.role == "house_money"),
        frozenset(number for number, place in rows if place.external),
    )


def _on_plane(index: Index, grip: Grip, plane: str, sides: Sides) -> PlaneBlast:
    world = index.world
    can_use = usable(index, grip, plane)
    inside = frozenset(range(len(world.places))) - sides.outside
    ways = [world.ways[way] for way in can_use.ways]
    return PlaneBlast(
        gates=tuple(dict.fromkeys(world.rules[way.rule].name for way in ways)),
        reached=tuple(
            sorted({world.places[place].name for way in ways for place in (way.source, way.target)})
        ),
        out=_amounts(world, can_use, inside, sides.outside),
        to_house=_amounts(world, can_use, sides.clients - sides.house, sides.house),
        minted=_amounts(world, can_use, sides.outside, None),
    )


def _amounts(
    world: World, can_use: Usable, sources: frozenset[int], sinks: frozenset[int] | None
) -> dict[str, Amounts]:
    moving = {world.ways[way].asset for way in can_use.ways}
    return {
        span: {
            name: most(world, can_use, asset, Span(sources, sinks, horizon_ns)).units
            if asset in moving
            else 0
            for asset, name in enumerate(world.assets)
        }
        for span, horizon_ns in SPANS.items()
    }


def reachable(index: Index, start: Start, mode: Mode, plane: str, sources: frozenset[int]) -> set[int]:
    """Return every place that value of some sources can get to once the start has fallen."""
    world = index.world
    can_use = usable(index, spread(index, start, mode), plane)
    return {node // len(world.assets) for node in reach(world, can_use.ways, nodes_held(world, sources)).by}
