"""Every flow of a book in any order, by a machine that also makes mistakes; each law by name after each step.

Signatures are taken at their word (the key's name is the signature), as in the laws of the ledger. Margin
says yes to everything: its own laws are tested where it is; here the ledger must hold without its help.
"""

from typing import Any

from harbour import EVIDENCE, NOON, OFFICERS, SERVICE_KEYS, TEXT, USDC, e10, public_of, rules_of
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import (
    Announce,
    Approve,
    Cancel,
    CarryOut,
    CloseMember,
    Fill,
    Freeze,
    Fund,
    Link,
    Move,
    OpenMember,
    Operation,
    Order,
    Post,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Request,
    Resume,
    Settle,
    Signature,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links, settlement_links
from ringfence.planes.ledger.stopping import split_key

GATES = """
  borrow: {from: house/treasury, to: "client/{client}/hedge", assets: USDC, on: ledger,
    needs: ["client_key/{client}", risk_key, ledger_key], accrual: debt_draw, computed_by: [risk, ledger],
    limit: {all: {USDC: "200 per 1 d"}}}
  interest_charged: {from: "client/{client}/hedge", to: house/treasury, assets: USDC, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  interest_paid: {from: house/treasury, to: "client/{client}/cash", assets: ETH, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  move_house: {from: house/treasury, to: house/rounding, assets: [USDC, BTC], on: ledger, needs: officer_a,
    limit: {valued_in: USDC, all: {USDC: "50 per 1 d"}}}
exchanges:
  shift: {legs: ["client/{client}/hedge -> client/{client}/directional"], assets: [BTC-PERP], on: ledger,
    price: at mark, needs: ["client_key/{client}"], limit: {each: {BTC-PERP: "50 per 1 d"}}}
  give_up: {legs: ["client/{a}/hedge -> client/{b}/hedge"], assets: [BTC-PERP], price: at mark, on: ledger,
    needs: ["client_key/{a}", "client_key/{b}"], limit: {each: {BTC-PERP: "50 per 1 d"}}}"""
WORLD = (
    TEXT.replace("\nexchanges:", GATES, 1)
    .replace(
        "{debt_in: USDC, decimals: 6",
        '{debt_in: USDC, decimals: 6, cap: 300 USDC, interest: "80 % per year"',
        1,
    )
    .replace('decimals: 18, haircut: "7 %"', 'decimals: 18, haircut: "7 %", interest: "2 % per year"', 1)
)
RULES = rules_of(WORLD)
MEMBERS = ("alice", "bob", "carol")
BUCKETS = [f"client/{member}/{name}" for member in MEMBERS for name in ("hedge", "directional")]
EVERYBODY = (*SERVICE_KEYS, *(f"client_key/{member}" for member in MEMBERS))
KEYS = st.sampled_from([EVERYBODY, EVERYBODY, EVERYBODY, EVIDENCE, OFFICERS, ("client_key/alice",), ()])
MEMBER, BUCKET = st.sampled_from(MEMBERS), st.sampled_from(BUCKETS)
UNITS = st.sampled_from([1, 7, USDC, 40 * USDC, 61 * USDC, 500 * USDC])
SCOPES = [
    "gate/fund",
    "asset/BTC",
    "compartment/client/bob/hedge",
    "member/client/carol",
    "pool/hedge",
    "book",
]
KINDS = ["freeze", "withdrawals", "cancel_only", "reduce_only", "stop"]


def trusting(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature == b"good"


class AllFlows(RuleBasedStateMachine):
    """A venue in which everything happens that the book knows."""

    def __init__(self) -> None:
        super().__init__()
        self.state = BookState(RULES)
        self.at, self.next_id, self.price = NOON, 1, 100_000
        self.log: list[tuple[Operation, Instant, Conditions]] = []
        self.held: list[int] = []
        self.announced: list[tuple[int, bytes]] = []
        self.made: list[tuple[int, Move]] = []

    @initialize()
    def open_the_venue(self) -> None:
        for key in SERVICE_KEYS:
            self.ask(RegisterKey(key, public_of(key)))
        for member in MEMBERS:
            keys = {"client_key": public_of(f"client_key/{member}")}
            self.ask(OpenMember("client", member, keys))
        for member in MEMBERS:
            for asset, units in (("USDC", 1_000 * USDC), ("BTC", 10**6), ("ETH", 10**15)):
                self.arrive(f"client/{member}/cash", asset, units)
            for bucket in ("hedge", "directional"):
                path = f"client/{member}/{bucket}"
                self.request([Move("fund", f"client/{member}/cash", path, "USDC", 100 * USDC)], EVERYBODY)
        self.arrive("client/alice/cash", "USDC", 500 * USDC)
        self.request([Move("adjust", "client/alice/cash", "house/treasury", "USDC", 500 * USDC)], OFFICERS)
        self.say_price(100_000)

    # --- asking, and what must hold of every answer

    def ask(self, operation: Operation) -> Outcome:
        """Ask for anything; a refusal changes nothing, and no bucket changes where nothing is booked."""
        self.state.pass_time(self.at)
        before, digests = self.kept(), {path: self.state.bucket_digest(path) for path in BUCKETS}
        conditions = self.allowing()
        outcome = self.state.apply(operation, self.at, trusting, conditions)
        self.log.append((operation, self.at, conditions))
        if isinstance(outcome.decision, Refused):
            assert outcome.decision.reason != Reason.LAW_BROKEN, outcome.decision
            assert outcome.entries == ()
            assert self.kept() == before, "a refused request changed something"
        self.check_isolation(operation, outcome, digests)
        self.check_containment(outcome)
        return outcome

    def kept(self) -> dict[str, object]:
        passing = ("ids", "at", "pending")
        return {name: rows for name, rows in self.state.snapshot().items() if name not in passing}

    def check_isolation(self, operation: Operation, outcome: Outcome, before: dict[str, bytes]) -> None:
        meant = self.state.meant(operation)
        links = meant.links if isinstance(meant, Request) else ()
        if any(isinstance(link, Settle | Fund) for link in links):
            return
        touched = {end for entry in outcome.entries for end in (entry.debit, entry.credit)}
        for path, digest in before.items():
            if path not in touched:
                assert self.state.bucket_digest(path) == digest, (
                    f"{path} changed and nothing was booked there"
                )

    def check_containment(self, outcome: Outcome) -> None:
        for entry in outcome.entries:
            source, target = RULES.place(entry.debit), RULES.place(entry.credit)
            assert source is not None
            assert target is not None
            is_coin = entry.asset in RULES.assets and RULES.assets[entry.asset].debt_in is None
            names = [*RULES.gates, *RULES.exchanges]
            open_ways = [way for name in names if (way := RULES.way(name, source, target)) is not None]
            assert not is_coin or any(way.accepts(entry.asset) for way in open_ways), entry

    def allowing(self) -> Conditions:
        free = {path: {"USDC": 60 * USDC, "BTC": 10**5} for path in BUCKETS}
        return Conditions(releasable=free, trade=dict.fromkeys(BUCKETS, 0))

    def sign(self, record: Any, keys: tuple[str, ...]) -> Any:
        import msgspec

        signatures = tuple(Signature(key, b"good") for key in keys)
        return msgspec.structs.replace(record, signatures=signatures)

    def write(self, links: list[Link], keys: tuple[str, ...], **words: Any) -> Request:
        self.next_id += 1
        fields = {"id": self.next_id, "expires": self.at + 2 * DAY_NS, "reason": "drill"} | words
        return self.sign(Request(links=tuple(links), policy=RULES.digest, **fields), keys)

    def request(self, links: list[Link], keys: tuple[str, ...], **words: Any) -> Outcome:
        return self.ask(self.write(links, keys, **words))

    def say_price(self, price: int) -> None:
        self.price = price
        for coin, value in (("BTC", price), ("ETH", price // 25)):
            quotes = tuple(Quote(source, e10(value), self.at) for source in ("v1", "v2"))
            self.ask(PriceFact(f"index/{coin}", quotes))

    def arrive(self, target: str, asset: str, units: int) -> None:
        self.next_id += 1
        receipt = Receipt(f"tx{self.next_id}", "outside", target, asset, units)
        self.ask(self.sign(receipt, ("watcher_key",)))
        self.request([Move("deposit", "outside", target, asset, units)], EVERYBODY)

    # --- flows

    @rule(member=MEMBER, asset=st.sampled_from(["USDC", "BTC", "ETH"]), units=UNITS)
    def deposit(self, member: str, asset: str, units: int) -> None:
        self.arrive(f"client/{member}/cash", asset, units)

    @rule(bucket=BUCKET, units=UNITS, keys=KEYS, back=st.booleans())
    def fund_or_release(self, bucket: str, units: int, keys: tuple[str, ...], back: bool) -> None:
        cash = f"client/{bucket.split('/')[1]}/cash"
        ends = ("release", bucket, cash) if back else ("fund", cash, bucket)
        self.request([Move(*ends, "USDC", units)], keys)

    @rule(bucket=BUCKET, units=UNITS, more=st.booleans(), hours=st.integers(0, 30))
    def hold(self, bucket: str, units: int, more: bool, hours: int) -> None:
        cash = f"client/{bucket.split('/')[1]}/cash"
        links: list[Link] = [Move("fund", cash, bucket, "USDC", units)] * (2 if more else 1)
        request = self.write(links, EVERYBODY, hold_until=self.at + hours * HOUR_NS)
        if isinstance(self.ask(request).decision, Accepted):
            self.held.append(request.id)

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99), part=st.sampled_from([(), (1,), (1, 0), (0,), (10**30,)]), keys=KEYS)
    def post(self, pick: int, part: tuple[int, ...], keys: tuple[str, ...]) -> None:
        self.request([Post(self.held[pick % len(self.held)], part)], keys)

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99), keys=KEYS)
    def void(self, pick: int, keys: tuple[str, ...]) -> None:
        self.request([Void(self.held[pick % len(self.held)])], keys)

    @rule(buckets=st.permutations(BUCKETS), contracts=st.integers(1, 30), reduce_only=st.booleans())
    def trade(self, buckets: list[str], contracts: int, reduce_only: bool) -> None:
        self.say_price(self.price)
        sides = [
            self.order(path, side, contracts, reduce_only)
            for path, side in zip(buckets, ("buy", "sell"), strict=False)
        ]
        self.request([Fill("BTC-PERP", contracts, e10(self.price), *sides)], ())

    def order(self, bucket: str, side: Any, contracts: int, reduce_only: bool) -> Order:
        self.next_id += 1
        words: dict[str, Any] = {"expires": self.at, "policy": RULES.digest, "reduce_only": reduce_only}
        limit = e10(10**7) if side == "buy" else 0
        order = Order(self.next_id, bucket, "BTC-PERP", side, contracts, limit, **words)
        return self.sign(order, (f"client_key/{bucket.split('/')[1]}",))

    @rule(price=st.integers(80_000, 125_000), keys=st.sampled_from([EVIDENCE, EVIDENCE, ()]))
    def settle(self, price: int, keys: tuple[str, ...]) -> None:
        self.say_price(price)
        links = settlement_links(self.state, [Settle("BTC-PERP", e10(price))], self.at)
        self.request([*links], keys)

    @rule(rate=st.integers(-(6 * 10**7), 6 * 10**7))
    def funding(self, rate: int) -> None:
        self.say_price(self.price)
        self.request(
            [*settlement_links(self.state, [Fund("BTC-PERP", rate, e10(self.price))], self.at)], EVIDENCE
        )

    @rule()
    def collect(self) -> None:
        self.request([*collection_links(self.state, self.at)], EVIDENCE)

    @rule(member=MEMBER, units=UNITS, keys=KEYS)
    def borrow(self, member: str, units: int, keys: tuple[str, ...]) -> None:
        self.request([Move("borrow", "house/treasury", f"client/{member}/hedge", "USDC", units)], keys)

    @rule(member=MEMBER, units=UNITS, too_much=st.integers(0, 1))
    def repay(self, member: str, units: int, too_much: int) -> None:
        bucket = f"client/{member}/hedge"
        units = min(units, self.state.balance(bucket, "USDC-debt") + too_much)
        legs = [Move("convert", bucket, "house/treasury", asset, units) for asset in ("USDC-debt", "USDC")]
        self.request([*legs], EVIDENCE, exchange="convert")

    @rule(units=UNITS, asset=st.sampled_from(["USDC", "BTC"]))
    def move_house(self, units: int, asset: str) -> None:
        self.request([Move("move_house", "house/treasury", "house/rounding", asset, units)], EVERYBODY)

    @rule(bucket=st.sampled_from([*BUCKETS, *BUCKETS[::2]]), contracts=st.integers(0, 12), keys=KEYS)
    def shift_a_position(self, bucket: str, contracts: int, keys: tuple[str, ...]) -> None:
        other = bucket.rpartition("/")[0] + "/directional"
        self.request([Move("shift", bucket, other, "BTC-PERP", contracts)], keys, exchange="shift")

    @rule(members=st.permutations(MEMBERS), contracts=st.integers(1, 12), keys=KEYS)
    def give_up(self, members: list[str], contracts: int, keys: tuple[str, ...]) -> None:
        source, target = (f"client/{member}/hedge" for member in members[:2])
        self.request([Move("give_up", source, target, "BTC-PERP", contracts)], keys, exchange="give_up")

    @rule(members=st.permutations(MEMBERS), satoshi=st.integers(1, 10**6), off=st.integers(0, 3))
    def block(self, members: list[str], satoshi: int, off: int) -> None:
        self.say_price(self.price)
        first, second = (f"client/{member}/cash" for member in members[:2])
        coins = satoshi * self.price // 100 * (100 + off) // 100
        legs = [Move("block", first, second, "BTC", satoshi), Move("block", second, first, "USDC", coins)]
        self.request([*legs], EVERYBODY, exchange="block")

    @rule(member=MEMBER, units=UNITS)
    def adjust(self, member: str, units: int) -> None:
        move = Move("adjust", f"client/{member}/cash", "house/treasury", "USDC", units)
        if isinstance(self.request([move], OFFICERS).decision, Accepted):
            self.made.append((self.next_id, move))

    @precondition(lambda self: self.made)
    @rule(pick=st.integers(0, 99), more=st.sampled_from([-1, 0, 0, 1]))
    def correct(self, pick: int, more: int) -> None:
        original, move = self.made[pick % len(self.made)]
        back = Move("adjust", move.target, move.source, "USDC", move.units + more)
        self.request([back], OFFICERS, reverses=original)

    @rule(
        member=MEMBER, units=UNITS, keys=st.sampled_from([EVERYBODY, ("client_key/alice", "client_key/bob")])
    )
    def withdraw(self, member: str, units: int, keys: tuple[str, ...]) -> None:
        request = self.write(
            [Move("withdraw", f"client/{member}/cash", f"outside/{member}", "USDC", units)], keys
        )
        outcome = self.ask(Announce(request))
        if isinstance(outcome.decision, Accepted):
            self.announced.append((request.id, signing_bytes(request)))

    @precondition(lambda self: self.announced)
    @rule(
        pick=st.integers(0, 99),
        what=st.sampled_from(["approve", "cancel", "carry_out", "carry_out"]),
        keys=KEYS,
    )
    def go_on(self, pick: int, what: str, keys: tuple[str, ...]) -> None:
        identifier, content = self.announced[pick % len(self.announced)]
        if what == "carry_out":
            self.at = Instant(self.at + pick % 3 * HOUR_NS)
            self.ask(CarryOut(identifier))
        elif what == "approve":
            self.ask(self.sign(Approve(identifier, content, self.at + DAY_NS), keys))
        else:
            self.ask(self.sign(Cancel(identifier, content, "changed my mind"), keys))

    @precondition(lambda self: len(self.state.frozen()) < 2)
    @rule(scope=st.sampled_from(SCOPES), kind=st.sampled_from(KINDS))
    def halt(self, scope: str, kind: Any) -> None:
        self.ask(Freeze(scope, "drill", kind=kind))

    @precondition(lambda self: self.state.frozen())
    @rule(pick=st.integers(0, 99))
    def resume(self, pick: int) -> None:
        keys = sorted(self.state.frozen())
        kind, scope = split_key(keys[pick % len(keys)])
        self.ask(Resume(scope, "drill over", kind=kind))

    @rule(member=st.sampled_from(["dave", "erin", *MEMBERS]), is_closed=st.booleans())
    def open_or_close(self, member: str, is_closed: bool) -> None:
        if is_closed:
            self.ask(CloseMember("client", member, "leaves"))
        else:
            self.ask(OpenMember("client", member, {"client_key": public_of(f"client_key/{member}")}))

    @rule(length=st.sampled_from([1, SECOND_NS, 40 * SECOND_NS, HOUR_NS, DAY_NS]))
    def wait(self, length: int) -> None:
        self.at = Instant(self.at + length)

    # --- laws --------------------------------------------------------------------------------------

    @invariant()
    def conservation(self) -> None:
        self.state.check_conservation()

    @invariant()
    def no_overdraft(self) -> None:
        for path, asset, units in self.state.balances():
            place = RULES.place(path)
            rule_of = RULES.assets.get(asset)
            is_coin = rule_of is not None and rule_of.debt_in is None
            assert place is not None
            assert units >= 0 or not is_coin or place.rule.two_sided, (path, asset, units)

    @invariant()
    def clearing_nets_to_zero(self) -> None:
        for asset in (*RULES.assets, *RULES.instruments):
            assert self.state.balance("clearing", asset) == 0

    @invariant()
    def what_is_held_is_the_sum_of_the_holds(self) -> None:
        sums: dict[tuple[str, str], int] = {}
        for hold in self.state.holds().values():
            for path, asset, units in hold.reserved:
                sums[path, asset] = sums.get((path, asset), 0) + units
        assert sums == {(path, asset): self.state.held(path, asset) for path, asset in sums}

    @invariant()
    def debts_stay_under_their_cap_while_there_are_coins(self) -> None:
        for member in MEMBERS:
            assert self.state.balance(f"client/{member}/hedge", "USDC-debt") >= 0

    def teardown(self) -> None:
        """Replay gives the book: the same operations at the same times, and nothing else."""
        again = BookState(RULES)
        for operation, at, conditions in self.log:
            again.apply(operation, at, trusting, conditions)
        again.pass_time(Instant(max(again.at, self.state.at)))
        assert again.digest() == self.state.digest()


TestAllFlows = AllFlows.TestCase
TestAllFlows.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
