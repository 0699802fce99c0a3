"""What a change of policy makes newly possible, and what it makes impossible: the meaning, not the words.

Compared are connections between services, ways for value with the smallest sets of keys that open them, their
caps, and for every service and key that could fall what would then move, contained and pivot, per hour and
per day. Members are folded onto one, which is written as its family.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations

from ringfence.kernel.instant import DAY_NS
from ringfence.kernel.money import show_decimal
from ringfence.policy.families import parts_of
from ringfence.policy.model import Policy
from ringfence.proof.blast import Amounts, Sides, blast_in, sides_of
from ringfence.proof.closure import all_falls, members
from ringfence.proof.cutoff import cast_for_amounts
from ringfence.proof.grounding import ground
from ringfence.proof.reach import Index, Mode
from ringfence.proof.throughput import charge
from ringfence.proof.world import Fact, World, extend

SETS_MAX = 64
"""Smallest sets of keys listed for one need; beyond, its shape is compared instead."""

Arc = tuple[str, str, str, str]
"""Rule, source, target, asset; members written as their family."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Sentences on both sides; () where nothing of the kind changed."""

    newly_possible: tuple[str, ...]
    no_longer_possible: tuple[str, ...]


def difference(old: Policy, new: Policy, facts: Iterable[Fact] = ()) -> Difference:
    """Say what is newly possible under `new`, and what no longer is.

    facts: what is known beside both policies, such as balances.
    """
    known = tuple(facts)
    worlds = [extend(ground(one, cast_for_amounts(one, {})), known) for one in (old, new)]
    return compared(Meaning(old, worlds[0]), Meaning(new, worlds[1]))


def compared(before: "Meaning", after: "Meaning") -> Difference:
    """Say what is newly possible in the second world, and what no longer is."""
    gained: list[str] = []
    lost: list[str] = []
    for compare in (_connections, _falls, _ways, _signatures, _caps):
        gained += compare(before, after)
        lost += compare(after, before)
    more, less = _amounts(before, after)
    return Difference((*gained, *more), (*lost, *less))


class Meaning:
    """A world of a policy, ready to be compared by name with another."""

    def __init__(self, policy: Policy, world: World) -> None:
        self.policy = policy
        self.world = world
        self.index = Index(self.world)
        self.sides: Sides = sides_of(policy, self.world)
        self.arcs: dict[Arc, list[int]] = {}
        for number, way in enumerate(self.world.ways):
            ends = (way.source, way.target)
            source, target = (family_name(self.world, self.world.places[place].name) for place in ends)
            arc = (self.world.rules[way.rule].name, source, target, self.world.assets[way.asset])
            self.arcs.setdefault(arc, []).append(number)

    def amount(self, asset: str, units: int | None) -> str:
        """Write units of an asset; None for without limit."""
        if units is None:
            return f"{asset} without limit"
        return f"{show_decimal(units, self.policy.assets[asset].decimals)} {asset}"

    def amounts(self, units: Amounts) -> str:
        """Write units of several assets; those without limit together."""
        bounded = [self.amount(asset, count) for asset, count in units.items() if count is not None]
        endless = [asset for asset, count in units.items() if count is None]
        return " and ".join([*bounded, *([f"{', '.join(endless)} without limit"] if endless else [])])


def family_name(world: World, name: str) -> str:
    """Write the member that stands for all others as its family: `client/{client}/cash`."""
    parties = {member.name: member.party for member in world.members if member.others}
    return "/".join(f"{{{parties[part]}}}" if part in parties else part for part in parts_of(name))


# --- what one has and the other has not --------------------------------------------------------


def _connections(before: Meaning, after: Meaning) -> Iterator[str]:
    known = {_named_flow(before.world, flow) for flow in before.world.flows}
    for flow in after.world.flows:
        source, target = _named_flow(after.world, flow)
        if (source, target) not in known:
            yield f"{source} can open connections to {target}"


def _named_flow(world: World, flow: tuple[int, int]) -> tuple[str, str]:
    return world.services[flow[0]].name, world.services[flow[1]].name


def _falls(before: Meaning, after: Meaning) -> Iterator[str]:
    known = _all_falls(before)
    for start, fallen in _all_falls(after).items():
        gained = sorted(fallen - known.get(start, {start}))
        if gained:
            yield f"whoever owns {start} can go on to {', '.join(gained)}"


def _all_falls(meaning: Meaning) -> dict[str, set[str]]:
    names = [service.name for service in meaning.world.services]
    falls = all_falls(len(names), meaning.world.flows)
    return {name: {names[one] for one in members(bits)} for name, bits in zip(names, falls, strict=True)}


def _ways(before: Meaning, after: Meaning) -> Iterator[str]:
    for rule, source, target, asset in after.arcs:
        if (rule, source, target, asset) not in before.arcs:
            yield f"{rule} moves {asset} from {source} to {target}"


def _signatures(before: Meaning, after: Meaning) -> Iterator[str]:
    """Name sets of keys that open a way they did not open before. Keys that sign on evidence do not count."""
    told: dict[str, None] = {}
    for arc in after.arcs.keys() & before.arcs.keys():
        known = _opening_sets(before, arc)
        for keys in _opening_sets(after, arc):
            if not any(one <= keys for one in known):
                told[f"{arc[0]} opens with {' and '.join(sorted(keys)) or 'no key at all'}"] = None
    return iter(sorted(told))


def _opening_sets(meaning: Meaning, arc: Arc) -> list[frozenset[str]]:
    world = meaning.world
    names = {
        frozenset(family_name(world, world.keys[key].name) for key in keys if not world.keys[key].given)
        for way in meaning.arcs[arc]
        for keys in smallest_sets(world, world.ways[way].needs)
    }
    return [keys for keys in names if not any(other < keys for other in names)]


def smallest_sets(world: World, need: int) -> tuple[frozenset[int], ...]:
    """List the smallest sets of keys that meet a need, at most SETS_MAX of them."""
    row = world.needs[need]
    choices = [(frozenset({key}),) for key in row.keys] + [smallest_sets(world, part) for part in row.parts]
    found: set[frozenset[int]] = set()
    for picked in combinations(choices, row.count):
        joined = {frozenset[int]()}
        for options in picked:
            joined = {one | other for one in joined for other in options}
        found |= joined
        if len(found) > SETS_MAX:
            break
    kept = [keys for keys in found if not any(other < keys for other in found)]
    return tuple(sorted(kept, key=sorted))


def _caps(before: Meaning, after: Meaning) -> Iterator[str]:
    """Say where more passes a cap in a day."""
    for arc in sorted(after.arcs.keys() & before.arcs.keys()):
        for scope in ("each", "all"):
            known, found = (_per_day(meaning, arc, scope) for meaning in (before, after))
            if known is not None and (found is None or found > known):
                now = after.amount(arc[3], found)
                was = before.amount(arc[3], known)
                yield f"{arc[0]} lets through {now} a day ({scope}) of {arc[1]}, instead of {was}"


def _per_day(meaning: Meaning, arc: Arc, scope: str) -> int | None:
    world = meaning.world
    rule = world.rules[world.ways[meaning.arcs[arc][0]].rule]
    caps = rule.each if scope == "each" else rule.all
    cap = caps.get(world.assets.index(arc[3]))
    return None if cap is None else charge(cap, DAY_NS)


# --- amounts -----------------------------------------------------------------------------------

Kind = tuple[str, str]
"""What happens to value, and per which time."""

Moved = dict[str, dict[Kind, Amounts]]
"""By plane, what can move."""


def _amounts(before: Meaning, after: Meaning) -> tuple[list[str], list[str]]:
    """Compare the blast radius of every service and key that both policies have."""
    more: list[str] = []
    less: list[str] = []
    for start, mode in _starts(before.world):
        if (start, mode) in _starts(after.world):
            was, now = (_moved(meaning, start, mode) for meaning in (before, after))
            more += _changes(after, f"with {start} ({mode})", was, now, grows=True)
            less += _changes(after, f"with {start} ({mode})", was, now, grows=False)
    return more, less


def _starts(world: World) -> tuple[tuple[str, Mode], ...]:
    """Name what can fall: services, and keys that sign by hand, those of a family by the key's own name."""
    services = [service.name for service in world.services]
    keys = dict.fromkeys(key.name.partition("/")[0] for key in world.keys if not key.given)
    modes: tuple[Mode, ...] = ("contained", "pivot")
    by_service: list[tuple[str, Mode]] = [(name, mode) for name in services for mode in modes]
    return (*by_service, *((name, "contained") for name in keys))


def _moved(meaning: Meaning, start: str, mode: Mode) -> Moved:
    found = blast_in(meaning.index, meaning.sides, (start,), mode)
    amounts: Moved = {}
    for plane, on_plane in found.planes.items():
        kinds = {
            "leaves": on_plane.out,
            "goes from clients to the house": on_plane.to_house,
            "comes in from nowhere": on_plane.minted,
        }
        amounts[plane] = {
            (kind, span): units for kind, by_span in kinds.items() for span, units in by_span.items()
        }
    for span, units in found.lost_by_trading.items():
        amounts.setdefault("ledger", {})["of each client is lost by trading", span] = units
    return amounts


def _changes(meaning: Meaning, who: str, was: Moved, now: Moved, *, grows: bool) -> list[str]:
    """Say what grew, or shrank; planes and times for which the same happens are told together."""
    times: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for plane in now:
        for (kind, span), units in now[plane].items():
            earlier = was.get(plane, {}).get((kind, span), {})
            pairs = {asset: (earlier.get(asset, 0), count) for asset, count in units.items()}
            changed = {asset: pair for asset, pair in pairs.items() if _has_changed(*pair, grows=grows)}
            if changed:
                after = meaning.amounts({asset: pair[1] for asset, pair in changed.items()})
                before = meaning.amounts({asset: pair[0] for asset, pair in changed.items()})
                times.setdefault((kind, after, before), {}).setdefault(plane, []).append(f"per {span}")
    told: dict[str, list[str]] = {}
    for (kind, after, before), by_plane in times.items():
        for plane, spans in by_plane.items():
            words = f"{after} {kind} {' and '.join(spans)}, instead of {before}"
            told.setdefault(words, []).append(plane)
    return [f"{who}, on {' and '.join(planes)}: {words}" for words, planes in told.items()]


def _has_changed(was: int | None, now: int | None, *, grows: bool) -> bool:
    if was == now:
        return False
    is_more = now is None or (was is not None and now > was)
    return is_more == grows
