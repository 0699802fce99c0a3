"""The proof at size: blast radius of an observed book and of families, re-checking, clingo on the same.

observed    100,000 compartments, 300,000 gates, 3,000 keys, 300 services, drawn at random
services    everything that falls with each of 5,000 services in 250 zones, for all of them at once
families    policies/venue.yaml, for any number of clients
growth      the same claims over more and more gates of their own
"""

import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from ratio import show_ratio

from ringfence.kernel.instant import HOUR_NS
from ringfence.policy.digest import digest
from ringfence.policy.parse import parse
from ringfence.proof.blast import blast
from ringfence.proof.certificate import certify, read_certificate, write_certificate
from ringfence.proof.checker import complaints, shows_closed
from ringfence.proof.claims import prove
from ringfence.proof.closure import all_falls
from ringfence.proof.opinions import second_opinion
from ringfence.proof.reach import Index, Start, Usable, reach, reach_in, spread, usable
from ringfence.proof.world import FORMAT, Cap, Key, Need, Place, Rule, Service, Way, World

POLICIES = Path(__file__).resolve().parent.parent / "policies"
SIZES = [(1_000, 3_000, 100, 30), (10_000, 30_000, 1_000, 100), (100_000, 300_000, 3_000, 300)]
REPEATS = 5


def observed(places: int, gates: int, keys: int, services: int, seed: int = 7) -> World:
    """Draw an observed book: every gate needs one or two keys, every key is held by a service."""
    random = Random(seed)
    needs = [Need(0)]
    rules, ways = [], []
    for number in range(gates):
        picked = tuple(random.sample(range(keys), random.choice([1, 2])))
        needs.append(Need(len(picked), picked))
        rules.append(
            Rule(
                f"g{number}", "gate", ("vault",), all={0: Cap(random.randrange(1, 1000), "rolling", HOUR_NS)}
            )
        )
        source, target = random.sample(range(places), 2)
        ways.append(Way(number, source, target, 0, number + 1))
    holds: list[list[int]] = [[] for _ in range(services)]
    for key in range(keys):
        holds[random.randrange(services)].append(key)
    flows = {(random.randrange(services), random.randrange(services)) for _ in range(services * 2)}
    return World(
        format=FORMAT,
        policy="observed",
        assets=("USDT",),
        members=(),
        keys=tuple(Key(f"k{key}") for key in range(keys)),
        services=tuple(Service(f"s{number}", tuple(held)) for number, held in enumerate(holds)),
        flows=tuple(sorted(flows)),
        derivations=(),
        verifiers={"ledger": -1, "vault": -1},
        printers=(),
        pricers=(),
        places=tuple(Place(f"c{number}", accepts=(0,), external=number == 0) for number in range(places)),
        needs=tuple(needs),
        rules=tuple(rules),
        ways=tuple(ways),
    )


def middle(work: Callable[[], Any]) -> float:
    """Return the median of a few runs in milliseconds of processor time: others here count little."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append((time.process_time() - start) * 1e3)
    return median(times)


def radius(index: Index, service: int) -> tuple[int, int]:
    """Pivot from one service: how many gates open, and to how many places value of any open gate gets."""
    can_use = usable(index, spread(index, Start(frozenset({service})), "pivot"), "vault")
    found = reach_in(index, can_use, starts_of(index, can_use))
    return len(can_use.ways), len(found.by)


def starts_of(index: Index, can_use: Usable) -> list[int]:
    """Return every node that some usable way leaves (one asset, so nodes are places)."""
    if index.is_large:
        return index.columns.source[list(can_use.ways)].tolist()
    return [index.world.ways[way].source for way in can_use.ways]


def show_observed() -> None:
    """Blast radius and certificate of growing observed books."""
    for places, gates, keys, services in SIZES:
        world = observed(places, gates, keys, services)
        index = Index(world)
        opened, reached = radius(index, 0)  # builds the lookups, once for a book
        taken = middle(lambda index=index: radius(index, 0))
        size = f"{places:,} compartments, {gates:,} gates"
        print(f"blast radius, {size}: {taken:.1f} ms ({opened:,} gates open, {reached:,} compartments)")
        show_ratio(f"blast radius, {size}", 300 / taken, "the limit of 300 ms", 1)
        inside = closed_from(world, index)
        checked = middle(
            lambda world=world, inside=inside: shows_closed(world, ["s1"], "pivot", "vault", inside)
        )
        print(f"certificate checked again, {size}: {checked:.1f} ms ({len(inside):,} compartments inside)")
        show_ratio(f"certificate checked again, {size}", 200 / checked, "the limit of 200 ms", 1)
        asked = clingo_time(world)
        if asked is not None:
            print(f"clingo on the same facts, {size}: {asked:.0f} ms")
            show_ratio(f"blast radius, {size}", asked / taken, "clingo on the same facts")


def closed_from(world: World, index: Index) -> frozenset[str]:
    """Return where value of one compartment can get to when service s1 falls."""
    can_use = usable(index, spread(index, Start(frozenset({1})), "pivot"), "vault")
    start = world.ways[can_use.ways[0]].source if can_use.ways else 1
    found = reach(world, can_use.ways, [start]).by
    return frozenset(world.places[node].name for node in found)


def clingo_time(world: World) -> float | None:
    """Ground and solve the same fixpoint with clingo; None where it is not installed."""
    try:
        import clingo
    except ImportError:
        return None
    facts = [f"own({0})."]
    facts += [f"holds({s},{k})." for s, row in enumerate(world.services) for k in row.holds]
    facts += [f"flow({source},{target})." for source, target in world.flows]
    for way in world.ways:
        keys = (*world.needs[way.needs].keys, *world.needs[way.needs].keys)[:2]
        facts.append(f"way({way.source},{way.target},{keys[0]},{keys[1]}).")
    rules = (
        "own(T) :- own(S), flow(S,T). have(K) :- own(S), holds(S,K)."
        "taint(A) :- way(A,B,K,L), have(K), have(L). taint(B) :- taint(A), way(A,B,K,L), have(K), have(L)."
    )
    text = "\n".join(facts) + rules
    start = time.process_time()
    control = clingo.Control()
    control.add("base", [], text)
    control.ground([("base", [])])
    control.solve()
    return (time.process_time() - start) * 1e3


def show_families() -> None:
    """The venue's claims and blast radius, for any number of clients."""
    text = (POLICIES / "venue.yaml").read_text()
    policy = parse(text, "venue.yaml", lambda name: (POLICIES / name).read_text()).policy
    assert policy is not None
    start = time.process_time()
    verdicts = prove(policy)
    cold = (time.process_time() - start) * 1e3
    assert all(verdict.holds for verdict in verdicts)
    print(f"all {len(verdicts)} claims of venue, first time: {cold:.1f} ms")
    show_ratio("all claims of venue, without Z3", 250 / cold, "the limit of 250 ms", 1)
    taken = middle(lambda: blast(policy, ["gateway"], "pivot"))
    print(f"blast radius as families: {taken:.2f} ms")
    show_ratio("blast radius, venue as families", 5 / taken, "the limit of 5 ms", 1)
    certificate = write_certificate(certify(policy.name, digest(policy), verdicts))
    checked = middle(lambda: complaints(read_certificate(certificate)))
    print(f"certificate of venue ({len(certificate):,} bytes) read and checked: {checked:.1f} ms")
    show_second(policy)


def show_services() -> None:
    """What falls with each service, for platforms of more and more services with flows between them."""
    for count in (1_000, 2_500, 5_000):
        flows = flows_of_zones(count, Random(count))
        taken = middle(lambda count=count, flows=flows: all_falls(count, flows))
        print(f"what falls with each of {count:,} services, {len(flows):,} flows: {taken:.0f} ms")
        if count == 5_000:
            show_ratio("all pairs of 5,000 services", 200 / taken, "the limit of 200 ms", 1)


def flows_of_zones(count: int, random: Random) -> list[tuple[int, int]]:
    """Draw flows between zones of 20 services, 3 from each zone, and write them out service by service."""
    zones = [range(first, first + 20) for first in range(0, count, 20)]
    pairs = [(source, target) for source in zones for target in random.sample(zones, 3)]
    return [(one, other) for source, target in pairs for one in source for other in target]


def show_growth() -> None:
    """The venue's claims while it has more and more strategies, each with a bucket and gates of its own."""
    text = (POLICIES / "venue.yaml").read_text()
    for count in (0, 10, 20, 40):
        policy = parse(grown(text, count), "venue.yaml", lambda name: (POLICIES / name).read_text()).policy
        assert policy is not None
        taken = middle(lambda policy=policy: prove(policy))
        print(f"all claims of venue and {count} more strategies ({len(policy.gates)} gates): {taken:.0f} ms")


def grown(text: str, count: int) -> str:
    """Add strategies to the venue: a bucket funded from cash and released to it, by the client's key."""
    places, gates = "", ""
    words = 'assets: [USDC], needs: [client_key], on: [ledger], limit: {each: {USDC: "1000 per 1 d"}}'
    for number in range(count):
        bucket = f'"client/{{client}}/more{number}"'
        places += f"  {bucket}: {{owner: client, role: client_money, accepts: [USDC]}}\n"
        gates += f'  fund{number}: {{from: "client/{{client}}/cash", to: {bucket}, {words}}}\n'
        gates += f'  take{number}: {{from: {bucket}, to: "client/{{client}}/cash", {words}}}\n'
    return text.replace("compartments:\n", f"compartments:\n{places}", 1).replace(
        "gates:\n", f"gates:\n{gates}", 1
    )


def show_second(policy: Any) -> None:
    """The same claims with Z3 and clingo asked as well."""
    from ringfence.adapters.solver_clingo import clingo_solver
    from ringfence.adapters.solver_z3 import z3_solver

    opinion = second_opinion(z3_solver(10), clingo_solver(10))
    start = time.process_time()
    verdicts = prove(policy, (), opinion)
    both = (time.process_time() - start) * 1e3
    assert all(verdict.holds for verdict in verdicts)
    print(f"the same with Z3 and clingo: {both:.0f} ms")
    show_ratio("all claims of venue, with Z3 and clingo", 3000 / both, "the limit of 3 s", 1)


if __name__ == "__main__":
    show_families()
    show_growth()
    show_services()
    show_observed()
