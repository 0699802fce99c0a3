"""Small random policies for the proof: a few compartments of clients, a house and a pool, random gates.

Drawn from a seed, so that a failing one can be drawn again; kept small enough for everything that can happen
on them to be tried on the running book.
"""

from dataclasses import dataclass
from random import Random

from ringfence.kernel.instant import HOUR_NS
from ringfence.policy.model import (
    Asset,
    AtMost,
    Cap,
    Claim,
    Compartment,
    Exchange,
    Flow,
    Gate,
    Journey,
    Key,
    KeyNeed,
    LegPattern,
    Limits,
    Party,
    Policy,
    Quorum,
    Selector,
    Service,
    Window,
)

ASSETS = ("A", "B")
SERVICES = ("one", "two", "three")
PLAIN_KEYS = ("key_one", "key_two", "key_three", "laptop_a", "laptop_b", "robot")
CLIENT_PLACES = ("client/{client}/x", "client/{client}/y")
HOUSE_PLACES = ("pool", "house", "vault")
OUTSIDE = ("outside", "outside/{client}")


@dataclass(frozen=True)
class Sizes:
    """How much is drawn: gates, exchanges, whether every cap is wide, whether clients are a family, whether
    gates wait for a delay, move only what is owed or ask for a mandate."""

    gates: int = 6
    exchanges: int = 1
    wide: bool = True
    families: bool = True
    caps_for_all: bool = True
    waits: bool = False


def drawn(seed: int, sizes: Sizes = Sizes()) -> Policy:
    """Draw a policy."""
    random = Random(seed)
    places = [*(CLIENT_PLACES if sizes.families else ()), *HOUSE_PLACES]
    gates = {f"g{number}": _gate(random, places, sizes) for number in range(sizes.gates)}
    exchanges = {
        f"e{number}": _exchange(random) for number in range(sizes.exchanges if sizes.families else 0)
    }
    return Policy(
        ringfence=1,
        name=f"drawn-{seed}",
        numeraire="A",
        assets={"A": Asset(decimals=0), "B": Asset(decimals=0, mirrors="A")},
        parties={
            **({"client": Party(kind="client", family=True)} if sizes.families else {}),
            "firm": Party(kind="house"),
        },
        keys=_keys(sizes),
        compartments=_compartments(random, sizes),
        gates=gates,
        exchanges=exchanges,
        zones=("z",),
        services={
            name: Service(zone="z", identity=f"spiffe://drawn/{name}", holds=(f"key_{name}",))
            for name in SERVICES
        },
        flows=tuple(
            Flow(sources=(source,), targets=(target,), port=1)
            for source in SERVICES
            for target in SERVICES
            if source != target and random.random() < 0.3
        ),
    )


def _keys(sizes: Sizes) -> dict[str, Key]:
    keys = {f"key_{name}": Key(held_by=name, signs="by_hand") for name in SERVICES}
    keys["laptop_a"] = Key(person="ann", host="a", signs="by_hand")
    keys["laptop_b"] = Key(person="ben", host="b", signs="by_hand")
    keys["robot"] = Key(held_by="one", signs="on_evidence")
    if sizes.families:
        keys["client_key"] = Key(per="client", held_by="client", signs="by_hand")
    return keys


def _compartments(random: Random, sizes: Sizes) -> dict[str, Compartment]:
    found = {"outside": Compartment(kind="external", pinned=True)}
    if sizes.families:
        found["outside/{client}"] = Compartment(kind="external", pinned=True)
        for name in CLIENT_PLACES:
            found[name] = Compartment(owner="client", role="client_money", accepts=_accepted(random))
    for name in HOUSE_PLACES:
        found[name] = Compartment(owner="firm", role="house_money", accepts=_accepted(random))
    return found


def _accepted(random: Random) -> tuple[str, ...]:
    return random.choice([("A",), ("A", "B"), ("A", "B"), ("B",)])


def _gate(random: Random, places: list[str], sizes: Sizes) -> Gate:
    ends = [*places, *(OUTSIDE if sizes.families else OUTSIDE[:1])]
    sources = tuple(random.sample(places, random.choice([1, 1, 2])))
    targets = tuple(random.sample(ends, random.choice([1, 1, 2])))
    if sizes.families and random.random() < 0.2:
        # From one client to another: two variables, so two distinct members.
        sources, targets = (
            ("client/{a}/x",),
            (random.choice(["client/{b}/x", "client/{b}/y", "outside/{b}"]),),
        )
    assets = random.choice([("A",), ("A", "B")])
    more: dict[str, object] = {}
    if sizes.waits and random.random() < 0.4:
        more = {"delay_ns": random.choice([1, HOUR_NS, 40 * 24 * HOUR_NS])}
    if sizes.waits and random.random() < 0.4:
        liars = random.choice([SERVICES[:1], SERVICES[1:]])
        # One accrual is worked out by the same services wherever it moves.
        more |= {"accrual": ({1: "fees", 2: "funding"}[len(liars)],), "computed_by": liars}
    if sizes.waits and random.random() < 0.3:
        more["standing"] = KeyNeed(key="laptop_b")
    return Gate(
        **more,
        sources=sources,
        targets=targets,
        both_ways=random.random() < 0.2,
        assets=assets,
        needs=_needs(random, sources[0]),
        on=("ledger", "vault"),
        limit=_limits(random, assets, sizes),
    )


def _needs(random: Random, source: str) -> tuple[KeyNeed | Quorum, ...]:
    names = [*PLAIN_KEYS, *(("client_key", "client_key") if "{" in source else ())]
    shape = random.random()
    if shape < 0.15:
        return ()
    if shape < 0.6:
        return tuple(KeyNeed(key=name) for name in random.sample(names, random.choice([1, 1, 2])))
    inner = tuple(KeyNeed(key=name) for name in random.sample(names, 3))
    quorum = Quorum(count=random.choice([1, 2, 2, 3]), of=inner)
    if random.random() < 0.3:
        # Lists that overlap: no key may count twice.
        nested = Quorum(count=1, of=(inner[0], inner[1]))
        quorum = Quorum(count=2, of=(inner[0], nested))
    return (quorum,)


def _limits(random: Random, assets: tuple[str, ...], sizes: Sizes) -> Limits:
    hour = Window(kind="rolling", length_ns=HOUR_NS)

    def cap() -> Cap:
        return Cap(units=10**9 if sizes.wide else random.choice([0, 1, 2, 3]), window=hour)

    each = {asset: cap() for asset in assets}
    whole = {asset: cap() for asset in assets} if sizes.caps_for_all and random.random() < 0.4 else {}
    return Limits(each=each, all=whole)


def _exchange(random: Random) -> Exchange:
    place = random.choice(["x", "y"])
    first, second = f"client/{{a}}/{place}", f"client/{{b}}/{place}"
    keys = random.choice([("client_key/{a}", "client_key/{b}"), ("client_key/{a}",), ("robot",)])
    needs = tuple(KeyNeed(key=name.partition("/")[0], member=name.partition("/")[2] or None) for name in keys)
    legs = (LegPattern(source=first, target=second), LegPattern(source=second, target=first))
    return Exchange(legs=legs, needs=needs, on=("ledger", "vault"))


def drawn_with_claims(seed: int, sizes: Sizes = Sizes()) -> Policy:
    """Draw a policy that claims something of every kind."""
    return drawn(seed, sizes).model_copy(update={"claims": _claims()})


def _claims() -> dict[str, Claim]:
    zero = AtMost(zero_window=Window(kind="rolling", length_ns=HOUR_NS))
    attack = {"mode": "pivot", "planes": ("ledger", "vault"), "compromised": ("one", "laptop_a")}
    return {
        "apart": Claim(
            kind="never",
            members={"a": "client", "b": "client"},
            journey=_journey("client/{a}/*", "client/{b}/*"),
            without=("client_key",),
        ),
        "away": Claim(kind="never", journey=_journey("client/**", "house"), without=("laptop_a", "robot")),
        "out": Claim(kind="moves", journey=_journey("**", "outside"), at_most=zero, **attack),
        "any": Claim(kind="moves", journey=_journey("**", ""), at_most=zero, **attack),
        "least": Claim(
            kind="fewest",
            journey=_journey("**", "outside"),
            planes=("vault",),
            count="keys_and_services",
            at_least=2,
        ),
    }


def _journey(source: str, target: str) -> Journey:
    end = Selector(by="name", text=target) if target else Selector(by="anywhere", text="")
    return Journey(source=Selector(by="name", text=source), target=end)
