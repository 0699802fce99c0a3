"""Asking a scratch book for what the proof says an attacker can do."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ringfence.kernel.decision import Refused
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import divide_up
from ringfence.proof.evidence import Hop
from ringfence.proof.names import hop_of, way_of
from ringfence.proof.reach import Usable, reach
from ringfence.proof.scratch import FILLED_UNITS, START, Scratch, signers
from ringfence.proof.world import Rule, World

REQUESTS_MAX = 200
"""Requests a replay makes before it gives up."""


@dataclass(frozen=True, slots=True)
class Means:
    """What moves value in a replay: keys that sign, services whose word is false, ways nobody checks."""

    keys: frozenset[int]
    services: frozenset[int] = frozenset()
    voided: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Done:
    """One route and all that was moved along it, signed by `keys`."""

    ways: tuple[int, ...]
    units: int
    keys: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to. passed: the ordinary ledger let it happen; stop: why not, where it did not."""

    done: tuple[Done, ...]
    passed: bool
    stop: str = ""


@dataclass(frozen=True, slots=True)
class Haul:
    """How much to get out: more than `units` of an asset from `sources` to `sinks` (None: anywhere)."""

    sources: frozenset[int]
    sinks: frozenset[int] | None
    asset: int
    units: int
    horizon_ns: int


def replay_route(scratch: Scratch, world: World, hops: Sequence[Hop], means: Means) -> Replay:
    """Move one unit along a route, from a compartment that holds as much as one likes."""
    route = tuple(way_of(world, hop) for hop in hops)
    scratch.hold(hops[0].source, hops[0].asset, FILLED_UNITS)
    stop = _owe(scratch, world, route, means)
    refusal = _ask(scratch, world, route, 1, means, START)
    if refusal is not None:
        stop = _told(world, route[refusal[0]], refusal[1])
    return Replay((Done(route, 1, _signing(world, route, means)),), not stop, stop)


def replay_amount(scratch: Scratch, world: World, can_use: Usable, means: Means, haul: Haul) -> Replay:
    """Move more than a claim allows: whatever the limits leave, again whenever a window ends."""
    ways = [way for way in can_use.ways if world.ways[way].asset == haul.asset]
    for place in sorted(haul.sources):
        if world.places[place].nets:
            continue  # What must net to zero holds nothing between requests.
        scratch.hold(world.places[place].name, world.assets[haul.asset], _supply(world, place, haul.asset))
    stop = _owe(scratch, world, ways, means)
    moved: dict[tuple[int, ...], int] = {}
    left = haul.units + 1
    requests = 0
    for at in _moments(world, ways, haul):
        scratch.wait_until(at)
        shut: set[int] = set()
        while left > 0 and requests < REQUESTS_MAX:
            route = _open_route(scratch, world, [way for way in ways if way not in shut], means, haul)
            if not route:
                break
            requests += 1
            units = min(left, *_rooms(scratch, world, route, means))
            refusal = _ask(scratch, world, route, units, means, at)
            if refusal is not None:
                stop = _told(world, route[refusal[0]], refusal[1])
                shut.add(route[refusal[0]])
            else:
                moved[route] = moved.get(route, 0) + units
                left -= units
    done = tuple(Done(route, units, _signing(world, route, means)) for route, units in moved.items())
    short = f"only {haul.units + 1 - left} units came through" if left > 0 else ""
    return Replay(done, left <= 0, "" if left <= 0 else stop or short)


def _signing(world: World, route: Iterable[int], means: Means) -> tuple[int, ...]:
    keys = [signers(world, world.ways[way].needs, means.keys) for way in route if way not in means.voided]
    return tuple(dict.fromkeys(key for one in keys for key in one or ()))


# --- asking ------------------------------------------------------------------------------------


def _ask(
    scratch: Scratch, world: World, route: Sequence[int], units: int, means: Means, at: Instant
) -> tuple[int, Refused] | None:
    """Ask for a route, request by request; the hop that was refused and why, None where all went through.

    What enters a compartment that must net to zero leaves it in the same request.
    """
    first = 0
    for last, way in enumerate(route):
        if world.places[world.ways[way].target].nets and last + 1 < len(route):
            continue
        part = route[first : last + 1]
        hops = [hop_of(world, one) for one in part]
        if all(one in means.voided for one in part):
            scratch.force(hops, units)
        else:
            names = [world.keys[key].name for key in _signing(world, part, means)]
            refused = scratch.ask(hops, units, names, at)
            if refused is not None:
                return first + min(refused.leg, len(part) - 1), refused
        first = last + 1
    return None


def _told(world: World, way: int, refused: Refused) -> str:
    hop = hop_of(world, way)
    return f"{hop.rule} from {hop.source} to {hop.target}: {refused.reason.name}: {refused.words}"


def _owe(scratch: Scratch, world: World, ways: Iterable[int], means: Means) -> str:
    """Let accruals be owed along these ways; say where that is more than a replay may assume.

    Those who compute an accrual may lie together. Otherwise a fee, say, may well be owed; but what goes
    through a compartment that nets to zero is owed by one and to another at once, and is not assumed.
    """
    stop = ""
    for way in ways:
        row = world.ways[way]
        rule = world.rules[row.rule]
        if not rule.accrual or way in means.voided:
            continue
        scratch.owe(rule.accrual[0], hop_of(world, way), FILLED_UNITS)
        nets = any(world.places[place].nets for place in (row.source, row.target))
        if nets and not (rule.computed_by and means.services.issuperset(rule.computed_by)):
            stop = f"{rule.name} moves only what is owed, and nothing here owes it"
    return stop


# --- amounts -----------------------------------------------------------------------------------


def _supply(world: World, place: int, asset: int) -> int:
    supply = world.places[place].supply
    return FILLED_UNITS if supply is None else supply.get(asset, 0)


def _open_route(
    scratch: Scratch, world: World, ways: Sequence[int], means: Means, haul: Haul
) -> tuple[int, ...]:
    """Find a shortest route whose limits leave something now; () where there is none."""
    asset = world.assets[haul.asset]
    full = [place for place in sorted(haul.sources) if scratch.held(world.places[place].name, asset) > 0]
    left = (way for way in ways if way in means.voided or scratch.room(hop_of(world, way)) > 0)
    if haul.sinks is None:
        ready = set(full)
        return next(((way,) for way in left if world.ways[way].source in ready), ())
    reached = reach(world, left, [world.node(place, haul.asset) for place in full])
    hit = next((node for node in reached.by if node // len(world.assets) in haul.sinks), None)
    return () if hit is None else reached.path(world, hit)


def _rooms(scratch: Scratch, world: World, route: Sequence[int], means: Means) -> list[int]:
    first = hop_of(world, route[0])
    rooms = [scratch.room(hop_of(world, way)) for way in route if way not in means.voided]
    return [*rooms, scratch.held(first.source, first.asset)]


def _moments(world: World, ways: Iterable[int], haul: Haul) -> list[Instant]:
    """List the moments within the time at which some window of a cap begins."""
    rules: list[Rule] = [world.rules[rule] for rule in {world.ways[way].rule for way in ways}]
    caps = [caps[haul.asset] for rule in rules for caps in (rule.each, rule.all) if haul.asset in caps]
    moments = {START}
    for cap in caps:
        first = START + cap.length_ns
        if cap.kind == "fixed":
            first = divide_up(START + 1, cap.length_ns) * cap.length_ns
        moments.update(Instant(at) for at in range(first, START + haul.horizon_ns, cap.length_ns))
    return sorted(moments)[:REQUESTS_MAX]
