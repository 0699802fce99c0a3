"""The laws of the book, each under its name, over random requests with every kind of mistake in them.

Signatures are taken at their word here (the name of the key is the signature), so that thousands of requests
fit into a second; that they are verified is tested elsewhere.
"""

from typing import Any

from harbour import EVIDENCE, NOON, OFFICERS, SERVICE_KEYS, USDC, e10, policy_of, public_of, rules_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import (
    Fill,
    Freeze,
    Link,
    Move,
    OpenMember,
    Operation,
    Order,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Request,
    Resume,
    Settle,
    Signature,
)
from ringfence.planes.ledger.payments import collection_links, settlement_links
from ringfence.planes.ledger.snapshot import packed, restore, unpacked, written
from ringfence.policy.families import fill, match

POLICY, RULES = policy_of(), rules_of()
MEMBERS = ("alice", "bob", "carol")
BUCKETS = [f"client/{member}/{name}" for member in MEMBERS for name in ("hedge", "directional")]
PLACES = [
    "outside",
    *(f"outside/{member}" for member in MEMBERS),
    *(f"client/{member}/cash" for member in MEMBERS),
    *BUCKETS,
    "insurance/directional",
    "insurance/hedge",
    "clearing",
    "house/rounding",
    "house/fees",
    "house/treasury",
    "client/zoe/cash",
    "nowhere",
]
GATES = [*POLICY.gates, *POLICY.exchanges, "debt", "trade"]
ASSETS = ["USDC", "BTC", "ETH", "USDC-debt", "BTC-PERP", "DOGE"]
EVERYBODY = (*SERVICE_KEYS, *(f"client_key/{member}" for member in MEMBERS))


def trusting(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature == b"good"


class World:
    """A book with three funded clients, and what is needed to ask it for anything."""

    def __init__(self) -> None:
        self.state = BookState(RULES)
        self.at, self.next_id = NOON, 1
        for key in SERVICE_KEYS:
            self.apply(RegisterKey(key, public_of(key)))
        for member in MEMBERS:
            self.apply(OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")}))
        for member in MEMBERS:
            self.deposit(f"client/{member}/cash", 1_000 * USDC, "USDC")
            self.deposit(f"client/{member}/cash", 10**6, "BTC")
            self.request(
                [Move("fund", f"client/{member}/cash", f"client/{member}/hedge", "BTC", 10**5)], EVERYBODY
            )
            for bucket in ("hedge", "directional"):
                source, target = f"client/{member}/cash", f"client/{member}/{bucket}"
                self.request([Move("fund", source, target, "USDC", 100 * USDC)], EVERYBODY)
        for path in ("house/treasury", "insurance/directional", "insurance/hedge", "house/fees"):
            self.state.ledger.tables.move("outside", path, "USDC", 50 * USDC)
        self.state.ledger.tables.commit()
        self.say_price(100_000)

    def apply(self, operation: Operation, conditions: Conditions | None = None) -> Outcome:
        return self.state.apply(operation, self.at, trusting, conditions or self.allowing())

    def allowing(self) -> Conditions:
        free = {path: {"USDC": 60 * USDC, "BTC": 10**5} for path in BUCKETS}
        return Conditions(releasable=free, trade=dict.fromkeys(BUCKETS, 0))

    def say_price(self, price: int) -> None:
        for coin, value in (("BTC", price), ("ETH", price // 25)):
            self.apply(PriceFact(f"index/{coin}", tuple(Quote(v, e10(value), self.at) for v in ("v1", "v2"))))

    def deposit(self, target: str, units: int, asset: str) -> None:
        self.next_id += 1
        good = (Signature("watcher_key", b"good"),)
        self.apply(Receipt(f"tx{self.next_id}", "outside", target, asset, units, good))
        self.request([Move("deposit", "outside", target, asset, units)], EVERYBODY)

    def write(self, links: list[Link], keys: tuple[str, ...], **words: Any) -> Request:
        self.next_id += 1
        signatures = tuple(Signature(key, b"good") for key in keys)
        words = {"id": self.next_id, "expires": self.at} | words
        return Request(links=tuple(links), policy=RULES.digest, signatures=signatures, **words)

    def request(self, links: list[Link], keys: tuple[str, ...], **words: Any) -> Outcome:
        return self.apply(self.write(links, keys, **words))

    def order(self, bucket: str, side: Any, contracts: int) -> Order:
        self.next_id += 1
        good = (Signature(f"client_key/{bucket.split('/')[1]}", b"good"),)
        limit = e10(10**7) if side == "buy" else 0
        words = {"expires": self.at, "policy": RULES.digest, "signatures": good}
        return Order(self.next_id, bucket, "BTC-PERP", side, contracts, limit, **words)


MOVES = st.builds(
    Move,
    gate=st.sampled_from(GATES),
    source=st.sampled_from(PLACES),
    target=st.sampled_from(PLACES),
    asset=st.sampled_from(ASSETS),
    units=st.one_of(st.integers(-1, 3), st.integers(1, 120 * USDC), st.just(2**127)),
)


@st.composite
def ways_through(draw: Any) -> Move:
    """A move that some gate is for, so that walls are not the only thing that refuses."""
    (gate, _, _), ways = draw(st.sampled_from(sorted(RULES.ways.items())))
    way = draw(st.sampled_from(ways))
    first, second = draw(st.permutations(MEMBERS))[:2]
    binding = dict.fromkeys(("client", "a"), first) | {"b": second}
    source, target = fill(way.source, binding), fill(way.target, binding)
    asset = draw(st.sampled_from(sorted(way.assets or {"USDC"})))
    return Move(gate, source, target, asset, draw(st.sampled_from([1, 7, USDC, 40 * USDC, 61 * USDC])))


MIXED = st.tuples(
    st.just("chain"),
    st.lists(st.one_of(MOVES, ways_through()), min_size=1, max_size=3),
    st.sampled_from([EVERYBODY, EVERYBODY, EVIDENCE, OFFICERS, ("client_key/alice",), ()]),
    st.sampled_from(["", *POLICY.exchanges]),
)
SOUND = st.tuples(
    st.just("chain"), st.lists(ways_through(), min_size=1, max_size=2), st.just(EVERYBODY), st.just("")
)
BLOCKS = st.tuples(st.just("block"), st.permutations(MEMBERS), st.integers(1, 10**6))
CONVERSIONS = st.tuples(st.just("convert"), st.sampled_from(MEMBERS))
COLLECTIONS = st.tuples(st.just("collect"))
TRADES = st.tuples(st.just("trade"), st.permutations(BUCKETS), st.integers(1, 30))
SETTLEMENTS = st.tuples(st.just("settle"), st.integers(80_000, 125_000))
SCOPES = ["gate/fund", "asset/BTC", "compartment/client/bob/hedge", "book"]
FREEZES = st.tuples(st.just("freeze"), st.sampled_from(SCOPES))
WAITS = st.tuples(st.just("wait"), st.sampled_from([SECOND_NS, 40 * SECOND_NS, DAY_NS]))
STEPS = st.one_of(
    SOUND, SOUND, MIXED, BLOCKS, TRADES, SETTLEMENTS, CONVERSIONS, COLLECTIONS, st.one_of(FREEZES, WAITS)
)
PLAYS = st.lists(STEPS, max_size=16)


def play(world: World, step: Any) -> list[tuple[Request, Outcome]]:
    """Do one step; return the requests it made with their outcomes."""
    kind, *words = step
    if kind == "wait":
        world.at = Instant(world.at + words[0])
        return []
    if kind == "freeze":
        world.apply((Resume if words[0] in world.state.frozen() else Freeze)(words[0], "drill"))
        return []
    request = WRITERS[kind](world, *words)
    return [(request, world.apply(request))] if request.links else []


def write_chain(world: World, links: list[Link], keys: tuple[str, ...], exchange: str) -> Request:
    return world.write(links, keys, exchange=exchange, reason="drill")


def write_trade(world: World, buckets: list[str], contracts: int) -> Request:
    price = world.state.price("index/BTC").price_e10
    world.say_price(price // 10**10)
    buy, sell = world.order(buckets[0], "buy", contracts), world.order(buckets[1], "sell", contracts)
    return world.write([Fill("BTC-PERP", contracts, price, buy, sell)], ())


def write_settlement(world: World, price: int) -> Request:
    world.say_price(price)
    return world.write([*settlement_links(world.state, [Settle("BTC-PERP", e10(price))], world.at)], EVIDENCE)


def write_block(world: World, members: list[str], satoshi: int) -> Request:
    world.say_price(100_000)
    first, second = (f"client/{member}/cash" for member in members[:2])
    legs: list[Link] = [Move("block", first, second, "BTC", satoshi)]
    legs.append(Move("block", second, first, "USDC", satoshi * 1_000))
    return world.write(legs, EVERYBODY, exchange="block")


def write_conversion(world: World, member: str) -> Request:
    bucket, price = f"client/{member}/hedge", 100_000
    world.say_price(price)
    debt = world.state.balance(bucket, "USDC-debt")
    units = min(debt, world.state.balance(bucket, "BTC") * price // 100)
    legs: list[Link] = [Move("convert", bucket, "house/treasury", "USDC-debt", units)]
    legs.append(Move("convert", bucket, "house/treasury", "BTC", -(-units * 100 // price)))
    return world.write(legs if debt else [], EVIDENCE, exchange="convert")


def write_collection(world: World) -> Request:
    return world.write([*collection_links(world.state, world.at)], EVIDENCE)


WRITERS: dict[str, Any] = {
    "chain": write_chain,
    "trade": write_trade,
    "settle": write_settlement,
    "block": write_block,
    "convert": write_conversion,
    "collect": write_collection,
}
SAYS_PRICES = {"trade", "settle", "block", "convert"}


def without_ids(state: BookState) -> dict[str, object]:
    snapshot = state.snapshot()
    del snapshot["ids"], snapshot["at"]
    return snapshot


def assert_conservation(world: World) -> None:
    world.state.check_conservation()
    sums: dict[str, int] = {}
    for _, asset, units in world.state.balances():
        sums[asset] = sums.get(asset, 0) + units
    assert not any(sums.values())
    assert sum(one.session_value for one in world.state.positions("BTC-PERP").values()) == 0


def assert_no_overdraft(world: World) -> None:
    for path, asset, units in world.state.balances():
        is_two_sided = path.startswith("outside") or asset in ("USDC-debt", "BTC-PERP")
        assert is_two_sided or units >= 0, (path, asset, units)
        assert path != "clearing" or units == 0


@given(PLAYS)
@settings(max_examples=60)
def test_conservation_and_no_overdraft(steps):
    world = World()
    for step in steps:
        play(world, step)
        assert_conservation(world)
        assert_no_overdraft(world)


def opens(gate: str, source: str, target: str, asset: str) -> bool:
    """Say whether the policy's own words open a gate: read from the text's model, not from compiled rules."""
    pairs: list[tuple[str, str]] = []
    if gate in POLICY.gates:
        words = POLICY.gates[gate]
        pairs = [(a, b) for a in words.sources for b in words.targets]
        pairs += [(b, a) for a, b in pairs] if words.both_ways else []
        if asset not in words.assets or words.delay_ns or words.standing:
            return False
    elif gate in POLICY.exchanges:
        pairs = [(leg.source, leg.target) for leg in POLICY.exchanges[gate].legs]
    elif gate == "debt":
        falls = POLICY.waterfalls.values()
        pairs = [(str(fall.last), bucket) for fall in falls for bucket in fall.covers if fall.record == asset]
    return (
        any(fits(*pair, source, target) for pair in pairs) and takes(source, asset) and takes(target, asset)
    )


def fits(start: str, end: str, source: str, target: str) -> bool:
    bound = match(start, source)
    return bound is not None and match(end, target, bound) is not None


def takes(path: str, asset: str) -> bool:
    kinds = [kind for pattern, kind in POLICY.compartments.items() if match(pattern, path) is not None]
    return any(kind.kind == "external" or asset in kind.accepts for kind in kinds)


@given(PLAYS)
@settings(max_examples=60)
def test_containment(steps):
    """Whatever moved, moved through a gate that the policy's words open for that asset between those ends."""
    world = World()
    for step in steps:
        for request, outcome in play(world, step):
            moves = [link for link in request.links if isinstance(link, Move)] if outcome.entries else []
            for move in moves:
                assert opens(move.gate, move.source, move.target, move.asset), move


@given(PLAYS)
@settings(max_examples=60)
def test_all_or_none(steps):
    """A refused request changes nothing; an accepted one books every move it asked for."""
    world = World()
    for step in steps:
        before = without_ids(world.state)
        says_prices = step[0] in SAYS_PRICES
        for request, outcome in play(world, step):
            moves = [link for link in request.links if isinstance(link, Move)]
            if isinstance(outcome.decision, Refused):
                after = without_ids(world.state)
                if says_prices:
                    del before["prices"], after["prices"]
                assert before == after
                assert outcome.entries == ()
                assert 0 <= outcome.decision.leg < len(request.links)
            else:
                booked = [entry for entry in outcome.entries if entry.asset != "BTC-PERP"]
                assert [(move.source, move.target, move.units) for move in moves] == [
                    (entry.debit, entry.credit, entry.units) for entry in booked
                ]


@given(PLAYS)
@settings(max_examples=40)
def test_idempotence(steps):
    """A retry of anything moves nothing, and what was refused stays refused."""
    world = World()
    made = [pair for step in steps for pair in play(world, step)]
    world.apply(Resume("book", "drill"))
    digest = world.state.digest()
    for request, outcome in made:
        again = world.apply(request)
        if isinstance(outcome.decision, Accepted):
            assert again.decision == Accepted(repeated=True)
        else:
            assert again.decision.reason == Reason.ID_ALREADY_REFUSED
        assert again.entries == ()
    assert world.state.digest() == digest


OWN = ["client/alice/hedge", "client/alice/directional", "client/alice/cash"]
OWN_MOVES = st.builds(
    Move,
    gate=st.sampled_from(["fund", "release"]),
    source=st.sampled_from(OWN),
    target=st.sampled_from(OWN),
    asset=st.sampled_from(["USDC", "BTC"]),
    units=st.sampled_from([1, USDC, 30 * USDC, 70 * USDC]),
)


def touches(step: Any, member: str) -> bool:
    """Say whether a step names a client, or concerns everybody."""
    if step[0] in ("trade", "block"):
        return member in repr(step[1][:2])
    return member in repr(step) or step[0] in ("settle", "freeze", "wait", "collect")


@given(st.lists(OWN_MOVES, max_size=8), PLAYS)
@settings(max_examples=60)
def test_isolation(moves, elsewhere):
    """Whatever happens outside a client's buckets leaves them the same, bit for bit."""
    quiet, busy = World(), World()
    others = [step for step in elsewhere if not touches(step, "alice")]
    for place, move in enumerate(moves):
        for other in others[place :: len(moves)]:
            play(busy, other)
        step = ("chain", [move], EVERYBODY, "")
        assert [outcome for _, outcome in play(quiet, step)] == [outcome for _, outcome in play(busy, step)]
    for bucket in OWN:
        assert quiet.state.bucket_digest(bucket) == busy.state.bucket_digest(bucket)


@given(PLAYS)
@settings(max_examples=40)
def test_what_does_not_name_a_bucket_does_not_change_it(steps):
    world = World()
    for step in steps:
        before = {bucket: world.state.bucket_digest(bucket) for bucket in BUCKETS}
        made = play(world, step)
        named = repr(made)
        for bucket in BUCKETS:
            if bucket not in named and step[0] != "settle":
                assert world.state.bucket_digest(bucket) == before[bucket]


@given(PLAYS)
@settings(max_examples=30)
def test_the_same_operations_give_the_same_book(steps):
    first, second = World(), World()
    for step in steps:
        assert play(first, step) == play(second, step)
    assert first.state.digest() == second.state.digest()


@given(PLAYS)
@settings(max_examples=30)
def test_a_state_that_is_written_out_and_read_again_lives_on_as_the_same(steps):
    one, other = World(), World()
    for step in steps:
        again = BookState(other.state.rules)
        restore(again, unpacked(packed(written(other.state))))
        other.state = again
        assert play(one, step) == play(other, step)
    assert one.state.digest() == other.state.digest()


@given(PLAYS)
@settings(max_examples=40)
def test_a_settlement_in_the_waterfalls_order_is_always_accepted(steps):
    """Whatever happened before, the links written to pay a settlement pay it, and fees are collected."""
    world = World()
    world.state.ledger.tables.move("outside", "house/treasury", "USDC", 10**6 * USDC)
    world.state.ledger.tables.commit()
    for step in steps:
        if step[0] != "freeze":
            play(world, step)
    world.say_price(70_000)
    links = settlement_links(world.state, [Settle("BTC-PERP", e10(70_000))], world.at)
    assert world.request([*links], EVIDENCE).decision == Accepted()
    collected = collection_links(world.state, world.at)
    if collected:
        assert world.request([*collected], EVIDENCE).decision == Accepted()
    assert_conservation(world)
