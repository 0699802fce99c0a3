"""Everything that can be asked of the venue in `flow_world`, drawn from chance: sound as a rule, wrong often.

Each flow takes the world and its chance, asks for something, and leaves the judging to the laws. FLOWS has
all of them, those that others wait for more often.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import msgspec
from flow_world import BUCKETS, CLIENTS, EVERYBODY, STAFF, World, public_numbered, tag
from harbour import EVIDENCE, NOON, OFFICERS, USDC, e10

from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.conditions import ClosingFact, Conditions
from ringfence.planes.ledger.key_changes import NEXT
from ringfence.planes.ledger.operations import (
    Announce,
    Approve,
    Cancel,
    CancelAdoption,
    CarryOut,
    CloseMember,
    CloseSession,
    Closing,
    CompleteAdoption,
    EndMandate,
    Fill,
    Freeze,
    Fund,
    Link,
    Mandate,
    Move,
    Opening,
    OpeningBalance,
    OpeningPosition,
    OpenMember,
    OpenSession,
    Order,
    PinAddress,
    Post,
    Receipt,
    RegisterKey,
    Remark,
    Resume,
    RevokeKey,
    RotateKey,
    Settle,
    Signature,
    Statement,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links, settlement_links
from ringfence.planes.ledger.signed_batch import BatchToSign
from ringfence.planes.ledger.snapshot import packed, restore, unpacked, written
from ringfence.planes.ledger.stopping import split_key
from ringfence.planes.ledger.trading_sessions import session_key

Flow = Callable[[World, Random], None]
FLOWS: list[Flow] = []
EXPIRY = Instant(NOON + 36 * HOUR_NS)
UNITS = (1, 7, USDC, USDC, 5 * USDC, 40 * USDC, 61 * USDC, 500 * USDC)
SCOPES = (
    "gate/fund",
    "gate/trade",
    "asset/BTC",
    "asset/BTC-PERP",
    "compartment/client/bob/hedge",
    "member/client/carol",
    "pool/hedge",
    "shard/0-of-2",
    "book",
    "gate/nothing",
)
KINDS = ("freeze", "withdrawals", "cancel_only", "reduce_only", "stop")


def flow(weight: int) -> Callable[[Flow], Flow]:
    """Put a flow on the list, `weight` times."""

    def listed(one: Flow) -> Flow:
        FLOWS.extend([one] * weight)
        return one

    return listed


def signers(rng: Random, *right: str) -> tuple[str, ...]:
    """Those who should sign, as a rule; else others, or too few."""
    if rng.random() < 0.85:
        return right
    return rng.choice([EVERYBODY, EVIDENCE, OFFICERS, (f"client_key/{rng.choice(CLIENTS)}",), right[1:], ()])


def client_key(path: str) -> str:
    return f"client_key/{path.split('/')[1]}"


def some_units(rng: Random) -> int:
    return rng.choice(UNITS) if rng.random() < 0.97 else rng.choice([0, -1, 2**127 - 1, 2**127])


def units_at(world: World, rng: Random, path: str, asset: str = "USDC") -> int:
    """Units near what a compartment has free, on either side of it, as often as any."""
    if rng.random() < 0.5:
        return some_units(rng)
    balance, held = world.state.balance(path, asset), world.state.held(path, asset)
    return max(1, rng.choice([balance, balance - held, balance - held + 1, (balance - held) // 2]))


def new_id(world: World, rng: Random) -> int:
    """A new id, as a rule; else one that was used, or none that could be."""
    return (
        world.new_id()
        if rng.random() < 0.93
        else rng.choice([0, 2**128, rng.randrange(1, world.next_id + 1)])
    )


# --- money in, out and between own compartments ---------------------------------------------------


@flow(3)
def deposit(world: World, rng: Random) -> None:
    asset, units = rng.choice(["USDC", "BTC", "ETH"]), some_units(rng)
    target = f"client/{rng.choice((*CLIENTS, 'zoe'))}/cash"
    receipt = Receipt(f"tx{rng.randrange(60)}", "outside", target, asset, units)
    if rng.random() < 0.8:
        world.ask(world.sign(receipt, *signers(rng, "watcher_key")))
    if rng.random() < 0.8:
        asked = units + rng.choice([0, 0, 0, 1, -1])
        world.request(
            [Move("deposit", "outside", target, asset, asked)], *signers(rng, "watcher_key", "ledger_key")
        )


@flow(1)
def deposit_in_a_batch(world: World, rng: Random) -> None:
    """Services sign many requests at once; a client does not, and nothing is put in the place of another."""
    requests, keys = [], ("watcher_key", "ledger_key")
    for _ in range(rng.randint(1, 4)):
        target = f"client/{rng.choice(CLIENTS)}/cash"
        receipt = Receipt(f"tx{world.new_id()}", "outside", target, "USDC", USDC)
        world.ask(world.sign(receipt, "watcher_key"))
        requests.append((world.write([Move("deposit", "outside", target, "USDC", USDC)]), keys))
    cash = f"client/{rng.choice(CLIENTS)}/cash"
    fund = Move("fund", cash, cash.replace("cash", "hedge"), "USDC", 1)
    requests.append((world.write([fund]), (client_key(cash),)))
    contents = [signing_bytes(request) for request, _ in requests]
    batch = BatchToSign(contents)
    for place, (request, names) in enumerate(requests):
        shown = place if rng.random() < 0.8 else (place + 1) % len(requests)
        values = {key: batch.value(tag(world.public(key), batch.message), shown) for key in names}
        if shown == place and names == keys:
            world.batched |= {(key, contents[place]) for key in keys}
        signatures = tuple(Signature(key, value) for key, value in values.items())
        world.ask(msgspec.structs.replace(request, signatures=signatures))


@flow(1)
def deposit_for_a_named_member(world: World, rng: Random) -> None:
    world.arrive("institution/acme", "BTC", rng.choice([1, 10**6]), "deposit_acme")
    more = Move("deposit_acme", "outside", "institution/acme", "BTC", 1)
    world.request([more], "watcher_key", "ledger_key")
    gate = rng.choice(["leave_acme", "leave_acme", "escape_acme"])
    move = Move(gate, "institution/acme", "outside/acme", "BTC", rng.choice([1, 10**6]))
    world.request([move], *signers(rng, "client_key/acme"))


@flow(1)
def staff_save(world: World, rng: Random) -> None:
    one = rng.choice(STAFF)
    world.arrive(f"staff/{one}/cash", "USDC", rng.choice(UNITS), "deposit_staff")
    world.request(
        [Move("deposit_staff", "outside", f"staff/{one}/cash", "USDC", 1)], "watcher_key", "ledger_key"
    )
    ends = [f"staff/{one}/cash", f"staff/{rng.choice((one, one, *STAFF))}/spare"]
    rng.shuffle(ends)
    world.request(
        [Move("save", *ends, "USDC", units_at(world, rng, ends[0]))], *signers(rng, f"staff_key/{one}")
    )


@flow(4)
def fund_or_release(world: World, rng: Random) -> None:
    bucket, asset = rng.choice(BUCKETS), rng.choice(["USDC", "USDC", "BTC"])
    cash = f"client/{bucket.split('/')[1]}/cash"
    way = rng.choice([("fund", cash, bucket), ("release", bucket, cash), ("fund", cash, rng.choice(BUCKETS))])
    moves = [Move(*way, asset, units_at(world, rng, way[1], asset)) for _ in range(rng.choice([1, 1, 2]))]
    conditions = Conditions() if rng.random() < 0.1 else None
    world.request(moves, *signers(rng, client_key(cash)), conditions=conditions, id=new_id(world, rng))


@flow(2)
def tip(world: World, rng: Random) -> None:
    """Often enough to fill the windows of its limits: a rolling one, and one that refills."""
    for _ in range(rng.randint(1, 4)):
        cash = f"client/{rng.choice(CLIENTS[:2])}/cash"
        units = rng.choice([units_at(world, rng, cash), 39 * USDC, 40 * USDC, 31 * USDC])
        world.request([Move("tip", cash, "house/treasury", "USDC", units)], *signers(rng, client_key(cash)))
        world.at = Instant(world.at + rng.choice([0, 0, HOUR_NS, 3 * HOUR_NS]))


@flow(1)
def move_house_money(world: World, rng: Random) -> None:
    world.say_price(world.price)
    units, pool = some_units(rng), rng.choice(["insurance/directional", "insurance/hedge"])
    satoshi = rng.choice([1, 20_000, 30_000, 50_000, 60_000])
    for _ in range(rng.randint(2, 5)):
        move, *keys = rng.choice(
            [
                (Move("move_house", "house/treasury", "house/rounding", "USDC", 10 * USDC), "officer_a"),
                (Move("move_house", "house/treasury", "house/rounding", "BTC", satoshi), "officer_a"),
                (Move("move_house", "house/treasury", "house/rounding", "BTC", satoshi), "officer_a"),
                (Move("sweep", "house/fees", "house/treasury", "USDC", units), *OFFICERS),
                (Move("fill_pool", "house/treasury", pool, "USDC", units), *OFFICERS),
            ]
        )
        world.request([move], *signers(rng, *keys))


@flow(2)
def withdraw(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    move = Move(
        "withdraw",
        f"client/{member}/cash",
        f"outside/{member}",
        "USDC",
        units_at(world, rng, f"client/{member}/cash"),
    )
    keys = (f"client_key/{member}", "wallet_key", "officer_a")
    request = world.write([move], *signers(rng, *keys[: rng.choice([1, 3, 3])]))
    if world.ask(rng.choice([request, Announce(request)])).is_accepted:
        world.made.pending.append(request)


@flow(1)
def sign_a_withdrawal_one_by_one(world: World, rng: Random) -> None:
    """The delay runs from the last signature that is needed, and an approval counts for its time only."""
    member = rng.choice(CLIENTS)
    move = Move("withdraw", f"client/{member}/cash", f"outside/{member}", "USDC", 1)
    request = world.write([move], f"client_key/{member}")
    world.ask(Announce(request))
    world.at = Instant(world.at + rng.choice([0, HOUR_NS]))
    until = world.at + rng.choice([HOUR_NS // 2, DAY_NS])
    approval = Approve(request.id, signing_bytes(request), until)
    world.ask(world.sign(approval, *signers(rng, "wallet_key", "officer_b")))
    for length in (0, HOUR_NS - 1, 1, HOUR_NS):
        world.at = Instant(world.at + length)
        world.ask(CarryOut(request.id))


@flow(1)
def pay_out(world: World, rng: Random) -> None:
    """Two of three, and never without the client."""
    member, asset = rng.choice(CLIENTS), rng.choice(["USDC", "BTC", "ETH"])
    cash = f"client/{member}/cash"
    units = rng.choice([1, USDC, world.state.balance(cash, asset)])
    keys = (f"client_key/{member}", *rng.sample(["officer_a", "officer_b", "wallet_key"], 2))
    world.request([Move("pay_out", cash, f"outside/{member}", asset, units)], *signers(rng, *keys))


@flow(4)
def go_on_with_what_waits(world: World, rng: Random) -> None:
    if not world.made.pending:
        return
    request = rng.choice(world.made.pending)
    content = signing_bytes(request)
    what = rng.random()
    if what < 0.5:
        world.at = Instant(world.at + rng.choice([0, 1, HOUR_NS, 2 * HOUR_NS]))
        world.ask(CarryOut(request.id))
    elif what < 0.8:
        keys = rng.choice([("wallet_key", "officer_b"), ("wallet_key",), ("officer_b",), ("risk_key",)])
        world.ask(world.sign(Approve(request.id, content, world.at + DAY_NS), *keys))
    else:
        world.ask(world.sign(Cancel(request.id, content, "changed my mind"), *signers(rng, "officer_a")))


@flow(1)
def pin_an_address(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    address = PinAddress(
        f"outside/{member}", f"bc1-{rng.randrange(3)}", world.at + HOUR_NS, world.rules.digest
    )
    world.ask(world.sign(address, *signers(rng, f"client_key/{member}")))


# --- holds ----------------------------------------------------------------------------------------


@flow(4)
def hold(world: World, rng: Random) -> None:
    bucket = rng.choice(BUCKETS)
    cash = f"client/{bucket.split('/')[1]}/cash"
    links = [Move("fund", cash, bucket, "USDC", units_at(world, rng, cash))] * rng.choice([1, 2])
    until = world.at + rng.choice([HOUR_NS, 30 * HOUR_NS, 90 * HOUR_NS] * 3 + [-1])
    step = world.request(links, *signers(rng, client_key(cash)), hold_until=until)
    if step.is_accepted:
        world.made.holds.append(step.operation.id)


@flow(3)
def end_a_hold(world: World, rng: Random) -> None:
    if not world.state.holds():
        hold(world, rng)
    lives = [*world.state.holds()] * 8
    identifier = rng.choice([*lives, *world.made.holds[-2:], 999])
    found = world.state.holds().get(identifier)
    right = client_key(found.moves[0].source) if found else "client_key/alice"
    units = [move.units for move in found.moves] if found else [1]
    more, less = (*units[:-1], units[-1] + 1), tuple(unit // 2 for unit in units)
    parts = rng.choice([(), (), more, more, less, (1,), (1, 0), (0,)])
    end: Link = Post(identifier, parts) if rng.random() < 0.6 else Void(identifier)
    world.request([end], *signers(rng, right))


# --- trading --------------------------------------------------------------------------------------


@flow(6)
def trade(world: World, rng: Random) -> None:
    if rng.random() < 0.9:
        world.say_price(world.price + rng.choice([-400, 0, 0, 400]))
    instrument = rng.choice(["BTC-PERP"] * 4 + ["ETH-PERP", "BTC-USD"])
    price = {"BTC-PERP": world.price, "BTC-USD": world.price, "ETH-PERP": world.price // 25}[instrument]
    price = price * rng.choice([100] * 8 + [104, 120]) // 100
    buckets = rng.sample(BUCKETS[::2] if instrument == "BTC-USD" else BUCKETS, 2)
    contracts = rng.choice([1, 2, 5, 12, 12, 40])
    sides = [
        an_order(world, rng, path, side, contracts + rng.choice([0, 5]), instrument)
        for path, side in zip(buckets, ("buy", "sell"), strict=True)
    ]
    conditions = world.allowing(
        trade=rng.choice([dict.fromkeys(BUCKETS, 0)] * 8 + [{}, dict.fromkeys(BUCKETS, 103)])
    )
    step = world.request([Fill(instrument, contracts, e10(price), *sides)], conditions=conditions)
    if step.is_accepted:
        world.made.orders += sides


def an_order(world: World, rng: Random, bucket: str, side: str, contracts: int, instrument: str) -> Order:
    """A new order, or one that was filled in part, or one in a session."""
    wanted = (bucket, side, instrument)
    old = [one for one in world.made.orders if (one.bucket, one.side, one.instrument) == wanted]
    if old and (old[-1].expires >= world.at or rng.random() < 0.1) and rng.random() < 0.4:
        return old[-1]
    expires = world.at + rng.choice([0, HOUR_NS, DAY_NS] * 4 + [-1])
    words: dict[str, Any] = {"reduce_only": rng.random() < 0.1, "expires": expires}
    if rng.random() < 0.4:
        limit = world.price // 25 if instrument == "ETH-PERP" else world.price
        words["limit_e10"] = e10(limit + rng.choice([-100, 0, 0, 100]))
    opened = [number for number, of in world.made.sessions if of == bucket]
    if not opened or rng.random() < 0.5:
        return world.order(
            bucket, side, contracts, instrument, keys=signers(rng, client_key(bucket)), **words
        )
    order = world.order(bucket, side, contracts, instrument, keys=(), **words)
    voucher = Signature(session_key(opened[-1]), tag(world.public("risk_key"), signing_bytes(order)))
    return msgspec.structs.replace(order, signatures=(voucher,))


@flow(1)
def trade_an_option(world: World, rng: Random) -> None:
    """The premium is paid with the fill, or there is no fill."""
    world.say_price(world.price)
    world.say("mark/BTC-CALL", 2_000)
    buyer, seller = rng.sample([path for path in BUCKETS if path.endswith("hedge")], 2)
    contracts = rng.randint(1, 5)
    units = contracts * 2 * USDC + rng.choice([0] * 6 + [-1, 1])
    sides = [
        world.order(path, side, contracts, "BTC-CALL") for path, side in ((buyer, "buy"), (seller, "sell"))
    ]
    links: list[Link] = [Fill("BTC-CALL", contracts, e10(2_000), *sides)]
    links += [
        Move("settle", buyer, "clearing", "USDC", units),
        Move("settle", "clearing", seller, "USDC", units),
    ]
    world.request(links, *signers(rng, *EVIDENCE))


@flow(2)
def force_a_closure(world: World, rng: Random) -> None:
    """A liquidation into the market, a takeover by the pool, or a deleveraging of a winner."""
    world.say_price(world.price)
    held = [(path, one.contracts) for path, one in world.state.positions("BTC-PERP").items() if one.contracts]
    held = [(path, contracts) for path, contracts in held if path.startswith("client")]
    if not held:
        return
    cause = rng.choice(["liquidation", "takeover", "deleveraging"])
    of_the_class = [one for one in held if one[0].endswith("directional")]
    path, contracts = rng.choice(of_the_class if of_the_class and cause == "deleveraging" else held)
    count = rng.choice([1, max(1, abs(contracts) - rng.choice([0, 0, 1]))])
    price = e10(world.price) if cause == "liquidation" or rng.random() < 0.9 else e10(world.price + 1)
    side = _other_side(world, rng, cause, path, contracts, count)
    failed = Closing(path, cause)
    sides = (side, failed) if contracts > 0 else (failed, side)
    facts = {path: {"BTC-PERP": ClosingFact(count, 0 if cause == "liquidation" else e10(world.price))}}
    facts |= {side.bucket: {"BTC-PERP": ClosingFact(count)}} if cause == "deleveraging" else {}
    conditions = world.allowing(closing=facts if rng.random() < 0.9 else {})
    world.request([Fill("BTC-PERP", count, price, *sides)], *signers(rng, *EVIDENCE), conditions=conditions)
    collect(world, rng)


def _other_side(
    world: World, rng: Random, cause: str, path: str, contracts: int, count: int
) -> Order | Closing:
    strategy = path.rpartition("/")[2]
    if cause == "liquidation":
        other = rng.choice([bucket for bucket in BUCKETS if bucket != path])
        return world.order(other, "buy" if contracts > 0 else "sell", count, "BTC-PERP")
    if cause == "takeover":
        return Closing(f"insurance/{strategy}", "takeover")
    opposite = [
        bucket
        for bucket, one in world.state.positions("BTC-PERP").items()
        if bucket.startswith("client") and one.contracts * contracts < 0
    ]
    of_the_class = [bucket for bucket in opposite if bucket.endswith("directional")]
    return Closing(rng.choice(of_the_class or opposite or [BUCKETS[1]]), "deleveraging")


@flow(4)
def settle(world: World, rng: Random) -> None:
    moved = rng.choice([0, 500, -500, 3_000, -3_000, 9_000, -9_000, 20_000])
    price = min(130_000, max(70_000, world.price + moved))
    world.say_price(price)
    instrument = rng.choice(["BTC-PERP"] * 4 + ["ETH-PERP", "BTC-USD", "BTC-CALL"])
    if instrument == "BTC-CALL" and rng.random() < 0.6:
        world.at = Instant(max(world.at, EXPIRY))
        world.say_price(price)
    at = {"ETH-PERP": price // 25, "BTC-CALL": max(0, price - 100_000)}.get(instrument, price)
    links = [*settlement_links(world.state, [Settle(instrument, e10(at))], world.at)]
    if rng.random() < 0.15:
        links.pop(rng.randrange(len(links)))
    world.request(links, *signers(rng, *EVIDENCE))


@flow(2)
def fund_positions(world: World, rng: Random) -> None:
    world.say_price(world.price)
    rate = rng.choice([10**6 * 3, -(10**6) * 3, 70, 6 * 10**7])
    links = settlement_links(world.state, [Fund("BTC-PERP", rate, e10(world.price))], world.at)
    world.request(links, *signers(rng, *EVIDENCE))


@flow(2)
def collect(world: World, rng: Random) -> None:
    links = collection_links(world.state, world.at)
    picked = links if rng.random() < 0.5 else rng.sample(links, min(1, len(links)))
    if rng.random() < 0.4:
        picked = [msgspec.structs.replace(link, units=link.units + 1) for link in picked]
    world.request(picked, *signers(rng, *EVIDENCE))


@flow(1)
def open_a_session(world: World, rng: Random) -> None:
    bucket = rng.choice(BUCKETS)
    words = (client_key(bucket), rng.choice(["risk", "risk", "nobody"]), (bucket,))
    record = OpenSession(
        new_id(world, rng), *words, world.at + rng.choice([HOUR_NS, DAY_NS]), world.rules.digest
    )
    if world.ask(world.sign(record, *signers(rng, client_key(bucket)))).is_accepted:
        world.made.sessions.append((record.id, bucket))
        trade(world, rng)
        trade(world, rng)


@flow(1)
def close_a_session(world: World, rng: Random) -> None:
    number, bucket = rng.choice([*world.made.sessions, (999, BUCKETS[0])])
    world.ask(
        world.sign(CloseSession(number, "done"), *signers(rng, rng.choice(["risk_key", client_key(bucket)])))
    )


# --- debts, exchanges, corrections, mandates, credit ------------------------------------------------


@flow(2)
def borrow_and_repay(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    bucket = f"client/{member}/{rng.choice(['hedge', 'hedge', 'directional'])}"
    draw = Move("borrow", "house/treasury", bucket, "USDC", some_units(rng))
    world.request([draw], *signers(rng, f"client_key/{member}", *EVIDENCE))
    owing = [path for path in BUCKETS if world.state.balance(path, "USDC-debt")]
    if rng.random() < 0.6:
        bucket = rng.choice(owing or [bucket])
        world.at = Instant(world.at + rng.choice([1, DAY_NS, 30 * DAY_NS]) * rng.randrange(2))
        world.say_price(world.price)
        owed = world.state.balance(bucket, "USDC-debt") + rng.choice([0, 0, 1])
        exchange = "convert" if bucket.endswith("hedge") else "convert_directional"
        if owed and rng.random() < 0.5:
            cash = f"client/{bucket.split('/')[1]}/cash"
            world.request([Move("fund", cash, bucket, "USDC", owed)], client_key(cash))
        paid = ("USDC", owed) if rng.random() < 0.6 else ("BTC", owed * 100 // world.price)
        legs = [Move(exchange, bucket, "house/treasury", *leg) for leg in (("USDC-debt", owed), paid)]
        world.request(legs, *signers(rng, *EVIDENCE), exchange=exchange)


@flow(1)
def lose_everything_and_pay_back(world: World, rng: Random) -> None:
    """A bucket loses more than it has, its pool and the house pay, and it pays its debt back."""
    world.say_price(100_000)
    winner, loser = rng.sample(CLIENTS, 2)
    name = rng.choice(["hedge", "directional"])
    path, cash = f"client/{loser}/{name}", f"client/{loser}/cash"
    sides = (
        world.order(f"client/{winner}/{name}", "buy", 30, "BTC-PERP"),
        world.order(path, "sell", 30, "BTC-PERP"),
    )
    world.request([Fill("BTC-PERP", 30, e10(100_000), *sides)])
    world.say_price(118_000)
    links = settlement_links(world.state, [Settle("BTC-PERP", e10(118_000))], world.at)
    world.request(links, *EVIDENCE)
    units = min(world.state.balance(path, "USDC-debt"), world.state.balance(cash, "USDC"))
    world.request([Move("fund", cash, path, "USDC", units)], client_key(path))
    exchange = "convert" if name == "hedge" else "convert_directional"
    legs = [Move(exchange, path, "house/treasury", asset, units) for asset in ("USDC-debt", "USDC")]
    world.request(legs, *signers(rng, *EVIDENCE), exchange=exchange)


@flow(2)
def pass_a_position_on(world: World, rng: Random) -> None:
    world.say_price(world.price)
    first, second = rng.sample(CLIENTS, 2)
    contracts = rng.randint(0, 6)
    if rng.random() < 0.5:
        move = Move("shift", f"client/{first}/hedge", f"client/{first}/directional", "BTC-PERP", contracts)
        world.request([move], *signers(rng, f"client_key/{first}"), exchange="shift")
    else:
        move = Move("give_up", f"client/{first}/hedge", f"client/{second}/hedge", "BTC-PERP", contracts)
        both = (f"client_key/{first}", f"client_key/{second}")
        world.request([move], *signers(rng, *both), exchange="give_up")


@flow(1)
def block_trade(world: World, rng: Random) -> None:
    world.say_price(world.price)
    first, second = rng.sample(CLIENTS, 2)
    cash, other, satoshi = f"client/{first}/cash", f"client/{second}/cash", rng.randint(1, 10**5)
    coins = satoshi * world.price // 100 * (100 + rng.choice([0, 1, 3])) // 100
    legs = [Move("block", cash, other, "BTC", satoshi), Move("block", other, cash, "USDC", coins)]
    world.request(
        legs[: rng.choice([1, 2, 2, 2])], *signers(rng, client_key(cash), client_key(other)), exchange="block"
    )


@flow(2)
def adjust_and_correct(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    move = Move(
        "adjust",
        f"client/{member}/cash",
        "house/treasury",
        "USDC",
        units_at(world, rng, f"client/{member}/cash"),
    )
    words = {"reason": rng.choice(["by mistake", "by mistake", " "])}
    step = world.request([move], *signers(rng, *OFFICERS), **words)
    if step.is_accepted:
        world.made.adjusted.append((step.operation.id, move))
    if world.made.adjusted and rng.random() < 0.7:
        original, move = rng.choice(world.made.adjusted)
        back = Move("adjust", move.target, move.source, "USDC", move.units + rng.choice([-1, 0, 0, 1]))
        world.request([back], *signers(rng, *OFFICERS), reverses=rng.choice([original, original, 10**9]))


@flow(2)
def mandate_and_top_up(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    ends = (f"client/{member}/cash", f"client/{member}/hedge", "USDC")
    if rng.random() < 0.6:
        words = (new_id(world, rng), "top_up", *ends, 50 * USDC, world.at + DAY_NS, world.rules.digest)
        if world.ask(world.sign(Mandate(*words), *signers(rng, f"client_key/{member}"))).is_accepted:
            world.made.mandates.append((words[0], member))
    if rng.random() < 0.3:
        number, of = rng.choice([*world.made.mandates[-2:], (999, "alice")])
        world.ask(world.sign(EndMandate(number, "enough"), *signers(rng, f"client_key/{of}")))
    for _ in range(rng.randint(1, 3)):
        units = rng.choice([1, 7 * USDC, 26 * USDC, 26 * USDC])
        conditions = world.allowing(lacking={ends[1]: {"USDC": units + rng.choice([0, 0, 0, -1])}})
        world.request([Move("top_up", *ends, units)], *signers(rng, *EVIDENCE), conditions=conditions)


@flow(1)
def lock_and_mirror(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    cash, locked, credit = f"client/{member}/cash", f"client/{member}/locked", f"venue/{member}/credit"
    for _ in range(rng.randint(2, 6)):
        units = units_at(world, rng, *rng.choice([(cash, "USDC"), (locked, "USDC"), (credit, "USDC-credit")]))
        lock, unlock = Move("lock", cash, locked, "USDC", units), Move("lock", locked, cash, "USDC", units)
        issue = Move("mirror", "venue/issue", credit, "USDC-credit", units)
        back = Move("mirror", credit, "venue/issue", "USDC-credit", units)
        links: list[Link] = [
            *rng.choice([(lock,), (lock, issue), (issue,), (unlock, back), (unlock,), (back,)])
        ]
        world.request(links, *signers(rng, f"client_key/{member}", "watcher_key", "ledger_key"))


@flow(2)
def state_and_charge(world: World, rng: Random) -> None:
    if rng.random() < 0.6:
        holds = rng.random() < 0.8
        record = Statement(
            rng.choice(["attested", "reconciled"]), world.at - rng.choice([0, 0, HOUR_NS]), holds, "report"
        )
        world.ask(world.sign(record, *signers(rng, "auditor_key")))
    if rng.random() < 0.5:
        world.request(
            [Move("audit_fee", "house/fees", "house/treasury", "USDC", USDC)], *signers(rng, "auditor_key")
        )
    else:
        move = Move("charge", f"client/{rng.choice(CLIENTS)}/cash", "house/fees", "USDC", USDC)
        world.request([move], *signers(rng, *OFFICERS, "auditor_key"))


# --- people, keys, stops, policies, time ------------------------------------------------------------


@flow(1)
def change_a_key(world: World, rng: Random) -> None:
    key = rng.choice([*(f"client_key/{one}" for one in CLIENTS), "officer_b", "client_key/zoe"])
    number = world.rotations[key] + 1
    fresh = public_numbered(key, number) if rng.random() < 0.8 else world.public("officer_a")
    bare = RotateKey(
        key, fresh, world.at + rng.choice([0, HOUR_NS]), world.at + rng.choice([HOUR_NS, -1, HOUR_NS])
    )
    content = signing_bytes(bare)
    made = (Signature(key, tag(world.public(key), content)), Signature(NEXT, tag(fresh, content)))
    record = msgspec.structs.replace(bare, signatures=made[: rng.choice([1, 2, 2, 2])])
    if world.ask(record).is_accepted:
        world.rotations[key] = number


@flow(1)
def sign_with_a_former_key(world: World, rng: Random) -> None:
    member = rng.choice(CLIENTS)
    key = f"client_key/{member}"
    move = Move("fund", f"client/{member}/cash", f"client/{member}/hedge", "USDC", USDC)
    request = world.write([move])
    old = public_numbered(key, max(0, world.rotations[key] - 1))
    world.ask(
        msgspec.structs.replace(request, signatures=(Signature(key, tag(old, signing_bytes(request))),))
    )


@flow(1)
def revoke_a_key(world: World, rng: Random) -> None:
    """A key is lost for good, but for those without which little would happen any more."""
    if rng.random() < 0.3:
        key = rng.choice(["client_key/carol", "auditor_key", "staff_key/alice", "client_key/zoe"])
        world.ask(world.sign(RevokeKey(key, "stolen"), *signers(rng, rng.choice(["officer_a", "risk_key"]))))


@flow(1)
def register(world: World, rng: Random) -> None:
    key = rng.choice(["officer_a", "client_key/alice", "nothing"])
    world.ask(RegisterKey(key, public_numbered("registered", rng.randrange(99))))


@flow(2)
def open_or_close(world: World, rng: Random) -> None:
    party = rng.choice(["client", "client", "staff", "house"])
    member = rng.choice([f"m{rng.randrange(4)}", f"m{rng.randrange(4)}", "Not A Name", *CLIENTS])
    key = f"{party}_key"
    if rng.random() < 0.4:
        newcomers = [one for one in world.state.members(party) if one.startswith("m")]
        world.ask(CloseMember(party, rng.choice([member, *newcomers * 3]), "leaves"))
    else:
        fresh = public_numbered(f"{key}/{member}", rng.randrange(3))
        opened = world.ask(OpenMember(party, member, {key: fresh}))
        if opened.is_accepted and rng.random() < 0.4:
            gate = "deposit" if party == "client" else "deposit_staff"
            world.arrive(f"{party}/{member}/cash", "USDC", 1, gate)


@flow(2)
def halt(world: World, rng: Random) -> None:
    """Stop a scope for a little while: what was stopped is lifted soon, else nothing would move any more."""
    scope, kind = rng.choice(SCOPES), rng.choice(KINDS)
    keys = {"freeze": ("officer_a",), "withdrawals": ("officer_b",)}.get(kind, ())
    world.ask(world.sign(Freeze(scope, "drill", id=new_id(world, rng), kind=kind), *signers(rng, *keys)))
    followers = [trade] * 9 if kind in ("cancel_only", "reduce_only") else FLOWS
    for _ in range(rng.randrange(6)):
        rng.choice([one for one in followers if one is not halt])(world, rng)
    for key in sorted(world.state.frozen()):
        stopped, scope = split_key(key)
        lifters = OFFICERS if stopped in ("freeze", "withdrawals") else ()
        if rng.random() < 0.5:
            world.ask(world.sign(Resume(scope, "over", id=new_id(world, rng), kind=stopped), *lifters[1:]))
        world.ask(world.sign(Resume(scope, "over", id=world.new_id(), kind=stopped), *lifters))


@flow(1)
def adopt(world: World, rng: Random) -> None:
    """Adopt another policy; this takes time, so it is drawn seldom."""
    waiting = [one.adoption.id for one in world.state.waiting()]
    number = rng.choice([*waiting * 4, 999])
    what = rng.choice(["complete", "cancel", "adopt"] if waiting else ["adopt", "adopt", "cancel"])
    if what == "complete":
        world.at = Instant(world.at + rng.choice([0, DAY_NS, DAY_NS]))
        world.ask(CompleteAdoption(number))
    elif what == "cancel":
        record = CancelAdoption(number, "second thoughts", world.new_id())
        world.ask(world.sign(record, *signers(rng, "officer_a")))
    else:
        cash = f"client/{rng.choice(CLIENTS)}/cash"
        world.arrive(cash, "USDC", 1_000 * USDC)
        fund = Move("fund", cash, cash.replace("cash", "hedge"), "USDC", 500 * USDC)
        world.request([fund], client_key(cash))
        world.ask(world.adoption(rng.randrange(5), *signers(rng, *OFFICERS)))
        world.request([fund], client_key(cash))  # What was used of a limit is used under another policy too.


@flow(1)
def take_over_a_book(world: World, rng: Random) -> None:
    """Into an empty book only; `World(is_empty=True)` is one until something is booked."""
    contracts = rng.randint(1, 9)
    balances = (
        OpeningBalance("client/alice/hedge", "USDC", 300 * USDC),
        OpeningBalance("client/bob/hedge", "USDC", 300 * USDC),
        OpeningBalance("client/carol/cash", "BTC", 10**6),
        OpeningBalance("client/bob/hedge", "USDC-debt", 5),
    )
    positions = (
        OpeningPosition("client/alice/hedge", "BTC-PERP", contracts),
        OpeningPosition("client/bob/hedge", "BTC-PERP", -contracts),
    )
    record = Opening(
        new_id(world, rng), balances, positions, {"BTC-PERP": e10(100_000)}, "a file", world.rules.digest
    )
    world.ask(world.sign(record, *signers(rng, *OFFICERS)))


@flow(1)
def remark(world: World, rng: Random) -> None:
    world.ask(Remark("note", "desk", "all is well", {"count": rng.randrange(9)}))


@flow(1)
def say_a_price(world: World, rng: Random) -> None:
    name = rng.choice(["index/BTC", "index/ETH", "index/DOGE"])
    world.say(
        name, 100_000 if name == "index/BTC" else 4_000, rng.choice([("v1", "v2"), ("v1",), ("v1", "v9")])
    )


@flow(3)
def wait(world: World, rng: Random) -> None:
    lengths = [1, SECOND_NS, 29 * SECOND_NS, 40 * SECOND_NS, HOUR_NS, 8 * HOUR_NS, DAY_NS]
    world.at = Instant(world.at + rng.choice(lengths))


@flow(3)
def ask_again(world: World, rng: Random) -> None:
    """Ask the same once more; or other things under its id, or with its signatures; or in a time gone by."""
    operation, at, conditions = rng.choice(world.log)
    what = rng.choice(["the same", "the same", "its id", "its signatures", "its time"])
    if what == "its time" and at < world.state.at:
        refused = world.state.apply(operation, at, lambda *_: True, conditions)
        assert getattr(refused.decision, "reason", None) == Reason.CLOCK_WENT_BACK
    elif what == "its id" and hasattr(operation, "reason"):
        world.ask(msgspec.structs.replace(operation, reason="another reason"), conditions)
    elif what == "its signatures" and hasattr(operation, "signatures"):
        fresh = {"id": world.new_id(), "reference": f"r{world.next_id}", "address": f"bc1-{world.next_id}"}
        words = {name: value for name, value in fresh.items() if hasattr(operation, name)}
        world.ask(msgspec.structs.replace(operation, **words), conditions)
    elif what == "the same":
        step = world.ask(operation, conditions)
        # Facts without an id may be taken twice; whatever moves units may not.
        assert (
            step.outcome.entries == ()
            or step.outcome.decision != Accepted()
            or isinstance(operation, CarryOut)
        )


@flow(1)
def ask_again_when_it_could_be_done(world: World, rng: Random) -> None:
    """Ask for more than there is, bring more, and ask the very same again: the id was burned."""
    cash = f"client/{rng.choice(CLIENTS)}/cash"
    more = world.state.balance(cash, "USDC") + 1
    request = world.write([Move("fund", cash, cash.replace("cash", "hedge"), "USDC", more)], client_key(cash))
    world.ask(request)
    world.arrive(cash, "USDC", 5)
    world.ask(request)


@flow(2)
def restart(world: World, rng: Random) -> None:
    """Write the state out, read it again, and live on with that: it is the same book, bit for bit."""
    del rng
    again = BookState(world.state.rules)
    restore(again, unpacked(packed(written(world.state))))
    assert again.digest() == world.state.digest()
    world.state = again


def draw(world: World, rng: Random, steps: int, flows: Sequence[Flow] = ()) -> World:
    """Let a world live through so many flows."""
    for _ in range(steps):
        rng.choice(flows or FLOWS)(world, rng)
    return world
