"""Everything an attacker can do on small random policies, tried on the running book, against the proof.

The engines must cover whatever the book did, and where no condition was relaxed (here: nowhere), say exactly
the same. Each attempt is an ordinary request to the ordinary ledger, with every way of naming gate, source,
target and asset, whether the policy has such a way or not.
"""

from collections.abc import Iterator

import pytest
from drawn_platforms import ASSETS, SERVICES, Sizes, drawn
from played import Player

from ringfence.kernel.instant import HOUR_NS
from ringfence.proof.cutoff import cast_of_size
from ringfence.proof.evidence import Hop
from ringfence.proof.grounding import ground
from ringfence.proof.names import hop_of
from ringfence.proof.reach import Index, Start, spread, usable
from ringfence.proof.scratch import START, Scratch
from ringfence.proof.throughput import Span, most
from ringfence.proof.world import AddSupply, extend

MEMBERS = 2


def world_of(policy):
    return ground(policy, cast_of_size(policy, {}, MEMBERS))


def attack(index, seed):
    """Take one service, one key of a client and now and then a laptop; contained or pivot."""
    world = index.world
    names = {key.name: number for number, key in enumerate(world.keys)}
    keys = {number for name, number in names.items() if name.endswith("alice") and seed % 3}
    keys |= {names["laptop_a"]} if seed % 2 else set()
    services = frozenset({seed % len(SERVICES)}) if seed % 5 else frozenset()
    return spread(index, Start(services, frozenset(keys)), "pivot" if seed % 4 == 0 else "contained")


def every_hop(policy, world) -> Iterator[Hop]:
    """Every way of asking, sensible or not."""
    for name in policy.gates:
        for source in world.places:
            for target in world.places:
                for asset in ASSETS:
                    yield Hop(name, 0, source.name, target.name, asset)


def what_the_book_lets(policy, world, grip) -> set[tuple[str, str, str, str]]:
    """Ask the book for one unit along every hop, signed by every key that was had.

    What is delayed is announced and waited for; those who work out what is owed may lie about it together.
    """
    scratch = Scratch(policy, world, "ledger", waits=True)
    for way in range(len(world.ways)):
        rule = world.rules[world.ways[way].rule]
        if rule.accrual and grip.owned.keys() >= set(rule.computed_by):
            scratch.owe(rule.accrual[0], hop_of(world, way), 10**6)
    for place in world.places:
        for asset in ASSETS:
            scratch.hold(place.name, asset, 10**6)
    keys = [world.keys[key].name for key in grip.had]
    return {
        (hop.rule, hop.source, hop.target, hop.asset)
        for hop in every_hop(policy, world)
        if scratch.ask([hop], 1, keys, START) is None
    }


def check(seed: int) -> None:
    policy = drawn(seed, Sizes(exchanges=0))
    index = Index(world_of(policy))
    world = index.world
    grip = attack(index, seed)
    assert opened(index, grip) == what_the_book_lets(policy, world, grip), seed


def opened(index, grip) -> set[tuple[str, str, str, str]]:
    """Name every way that the engine says stands open."""
    hops = [hop_of(index.world, way) for way in usable(index, grip, "ledger").ways]
    return {(hop.rule, hop.source, hop.target, hop.asset) for hop in hops}


@pytest.mark.parametrize("block", range(10))
def test_the_proof_says_exactly_what_the_book_lets(block):
    for seed in range(block * 100, block * 100 + 100):
        check(seed)


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(100))
def test_the_proof_says_exactly_what_the_book_lets_at_length(block):
    for seed in range(block * 100, block * 100 + 100):
        check(seed)


def check_waiting(seed: int) -> tuple[int, int]:
    """Compare where delays must pass and accruals be owed; return how many ways wait, and are owed."""
    policy = drawn(seed, Sizes(exchanges=0, waits=True))
    index = Index(world_of(policy))
    world = index.world
    grip = attack(index, seed)
    assert opened(index, grip) == what_the_book_lets(policy, world, grip), seed
    ways = [world.ways[way] for way in usable(index, grip, "ledger").ways]
    rules = [world.rules[way.rule] for way in ways]
    return sum(rule.delay_ns > 0 for rule in rules), sum(bool(rule.accrual) for rule in rules)


def test_delays_that_pass_and_accruals_that_are_lied_about_open_as_the_proof_says():
    counts = [check_waiting(seed) for seed in range(120)]
    assert sum(waiting for waiting, _ in counts) > 50
    assert sum(owed for _, owed in counts) > 20


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(10))
def test_delays_and_accruals_open_as_the_proof_says_at_length(block):
    for seed in range(block * 120, block * 120 + 120):
        check_waiting(seed)


# --- amounts -----------------------------------------------------------------------------------

HELD = 2


def check_amounts(seed: int) -> bool:
    """Compare the bound with the most that any order of moves got out; say whether all orders were tried."""
    policy = drawn(seed, Sizes(gates=4, exchanges=0, wide=False))
    index = Index(world_of(policy))
    world = index.world
    grip = attack(index, seed)
    can_use = usable(index, grip, "ledger")
    inside = [number for number, place in enumerate(world.places) if not place.external]
    outside = [number for number, place in enumerate(world.places) if place.external]
    sources = inside[:3]
    world = with_supply(world, sources)
    bound = most(world, can_use, 0, Span(frozenset(sources), frozenset(outside), HOUR_NS)).units
    scratch = Scratch(policy, world, "ledger")
    for place in sources:
        scratch.hold(world.places[place].name, "A", HELD)
    hops = [hop_of(world, way) for way in can_use.ways if world.assets[world.ways[way].asset] == "A"]
    keys = [world.keys[key].name for key in grip.had]
    player = Player(scratch, hops, keys, "A", [world.places[place].name for place in outside])
    player.play()
    assert player.best <= bound, seed
    if player.is_complete and not any(relaxes(policy, hop.rule) for hop in hops):
        assert player.best == bound, seed
    return player.is_complete


def with_supply(world, sources):
    supplies = [AddSupply(world.places[place].name, "A", HELD) for place in sources]
    return extend(world, supplies)


def relaxes(policy, name) -> bool:
    """One cap counts both directions of a gate, and one over a family may join members: both are bounded
    from above only."""
    gate = policy.gates[name]
    return gate.both_ways or bool(gate.limit.all)


def test_no_order_of_moves_gets_more_out_than_the_bound():
    complete = sum(check_amounts(seed) for seed in range(150))
    assert complete > 100


@pytest.mark.nightly
@pytest.mark.parametrize("block", range(1, 21))
def test_no_order_of_moves_gets_more_out_at_length(block):
    for seed in range(block * 150, block * 150 + 150):
        check_amounts(seed)


# --- exchanges ---------------------------------------------------------------------------------


def check_exchanges(seed: int) -> None:
    policy = drawn(seed, Sizes(gates=0, exchanges=2))
    index = Index(world_of(policy))
    world = index.world
    grip = attack(index, seed)
    keys = [world.keys[key].name for key in grip.had]
    scratch = Scratch(policy, world, "ledger")
    for place in world.places:
        scratch.hold(place.name, "A", 10**6)
    proved = {hop_of(world, way) for way in usable(index, grip, "ledger").ways}
    for way in range(len(world.ways)):
        hop = hop_of(world, way)
        if hop.asset == "A":
            assert (scratch.ask([hop], 1, keys, START) is None) == (hop in proved), (seed, hop)


def test_exchanges_open_exactly_as_the_proof_says():
    for seed in range(200):
        check_exchanges(seed)
