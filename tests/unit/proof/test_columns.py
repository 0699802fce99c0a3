"""Columns say what rows say: the compiled twin of the fixpoints, on drawn platforms and drawn books."""

from random import Random

from drawn_platforms import SERVICES, Sizes, drawn

from ringfence.proof import reach as rows
from ringfence.proof.cutoff import cast_for_reach
from ringfence.proof.grounding import ground
from ringfence.proof.reach import Index, Start, met_needs, reach, reach_in, spread, usable, usable_by_rows
from ringfence.proof.world import FORMAT, Key, Need, Place, Rule, Service, Way, World


def drawn_book(seed):
    """A book of single gates with needs of needs, verifiers that can be owned, and places outside."""
    random = Random(seed)
    needs = [Need(random.choice([0, 1, 1, 2]), tuple(random.sample(range(8), 2))) for _ in range(12)]
    for _ in range(8):
        parts = tuple(random.sample(range(len(needs)), 2))
        needs.append(Need(random.choice([1, 2, 3]), (random.randrange(8),), parts))
    rules = tuple(
        Rule(
            f"g{number}",
            "gate",
            random.choice([("ledger",), ("vault",), ("ledger", "vault")]),
            accrual=random.choice([(), (), ("fees",)]),
            computed_by=random.choice([(), (0,), (0, 1)]),
        )
        for number in range(20)
    )
    ways = tuple(
        Way(
            random.randrange(20),
            random.randrange(10),
            random.randrange(10),
            random.randrange(2),
            random.randrange(20),
        )
        for _ in range(60)
    )
    return World(
        format=FORMAT,
        policy="drawn",
        assets=("A", "B"),
        members=(),
        keys=tuple(Key(f"k{number}", given=number == 0) for number in range(8)),
        services=tuple(Service(f"s{number}", (number + 1,)) for number in range(4)),
        flows=((0, 1), (1, 2)),
        derivations=(),
        verifiers={"ledger": 2, "vault": -1},
        printers=(),
        pricers=(),
        places=tuple(Place(f"c{number}", external=number > 7, accepts=(0, 1)) for number in range(10)),
        needs=tuple(needs),
        rules=rules,
        ways=ways,
    )


def worlds():
    yield from (drawn_book(seed) for seed in range(150))
    yield from (ground(drawn(seed, Sizes()), cast_for_reach(drawn(seed, Sizes()), {})) for seed in range(60))


def check(world, seed, monkeypatch):
    index = Index(world)
    services = frozenset({seed % min(len(SERVICES), len(world.services))})
    grip = spread(
        index, Start(services, frozenset({seed % len(world.keys)})), "pivot" if seed % 2 else "contained"
    )
    met = met_needs(index, grip.had)
    assert set(index.columns.met(grip.had).nonzero()[0].tolist()) == met
    for plane in ("ledger", "vault"):
        by_rows = usable_by_rows(index, grip, plane)
        monkeypatch.setattr(rows, "COLUMNS_FROM", 0)
        by_columns = usable(index, grip, plane)
        sources = [seed % (len(world.places) * len(world.assets)), 0, 3]
        far = reach_in(index, by_columns, sources)
        monkeypatch.setattr(rows, "COLUMNS_FROM", 1 << 30)
        assert by_columns == by_rows
        near = reach(world, by_rows.ways, sources)
        assert far.by.keys() == near.by.keys()
        for node in far.by:
            assert len(far.path(world, node)) == len(near.path(world, node))
        assert reach_in(index, by_rows, sources) == near


def test_columns_and_rows_agree(monkeypatch):
    for seed, world in enumerate(worlds()):
        check(world, seed, monkeypatch)
