"""Whoever broke into one service: its zone, identity, keys, ports and limits, and the worst of intentions.

It takes the service's place: those who pull from it get lies, those it may call get everything it can think
of. What got through is counted here by kind; what moved is counted by the drill, in the book and on the
chain.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec

from ringfence.kernel.errors import RingfenceError
from ringfence.kernel.instant import HOUR_NS, SECOND_NS, Clock, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.operations import (
    Fill,
    Order,
    PriceFact,
    Quote,
    Record,
    Request,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.network.wire import CallFailedError
from ringfence.services.matching.engine import NumberedFill
from ringfence.services.platform.broken_ledger import BrokenLedger
from ringfence.services.platform.hostile import Hostile, SignAs, burnt_ids
from ringfence.services.platform.messages import (
    After,
    Approved,
    Arrival,
    Arrivals,
    Empty,
    Fills,
    FillsAfter,
    Followed,
    ForcedOrders,
    News,
    Orders,
    Outcome,
    Outcomes,
    Payment,
    Priced,
    Prices,
    RefusedFill,
    Requests,
    pack,
    unpack,
)
from ringfence.services.platform.service import OPERATOR, Duty, Method, Peers, serve

CHUNK = 100
WORDS_MAX = 400
ATTACK_NS = SECOND_NS // 50
LIES = (200, 50, 105, 90)
"""False prices, in per cent of the true ones, each told `LIES_EACH` times."""

LIES_EACH = 25
FALSE_PULLS = 15
"""How often a broken ledger goes on by each false price, which is long enough that risk acts on it."""


class Attempt(Record, frozen=True):
    """One kind of attempt on one target: how often it was made and got through, and a last word."""

    kind: str
    target: str
    tried: int
    through: int
    words: str = ""


class Attempts(Record, frozen=True):
    """What an intruder did; is_done: everything was tried and everything that waited was handed over."""

    attempts: tuple[Attempt, ...]
    is_done: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What an intruder begins with.

    members: of the client family; methods: of every service, by name; seen, orders, fills: requests, orders
    and fills that passed the service before, as JSON; accomplice: a client whose key the intruder has, with
    that key's 32-byte seed; actions: how many requests the seed draws; index_e10: prices by name.
    """

    seed: int
    actions: int
    members: tuple[str, ...]
    methods: Mapping[str, tuple[str, ...]]
    seen: bytes
    orders: bytes
    fills: bytes
    accomplice: str
    accomplice_seed: bytes
    index_e10: Mapping[str, int]


Probe = Callable[[], Awaitable[Sequence[Attempt]]]
"""Tries what is below the port: scans, forged frames and identities, files, other processes."""


class Intruder:
    """The service of that name, broken into."""

    def __init__(
        self,
        name: str,
        rules: Rules,
        plan: Plan,
        keys: Sequence[str],
        sign: SignAs,
        clock: Clock,
        peers: Peers,
        probe: Probe,
        broken_ledger: BrokenLedger | None = None,
    ) -> None:
        self._name = name
        self._rules = rules
        self._plan = plan
        self._orders = msgspec.json.decode(plan.orders, type=tuple[Order, ...])
        self._seen = msgspec.json.decode(plan.seen, type=tuple[Request, ...])
        self._clock = clock
        self._peers = peers
        self._probe = probe
        self._sign = sign
        self._hostile = Hostile(rules, plan.members, keys, sign, plan.seed)
        self._broken_ledger = broken_ledger
        self._waiting = self._requests()
        self._arrivals = self._false_arrivals() if name == "watcher" else ()
        self._false_fills: list[NumberedFill] | None = None
        self._counts: dict[tuple[str, str], list[int]] = {}
        self._words: dict[tuple[str, str], str] = {}
        self._lies = 0
        self._is_begun = self._is_over = False

    @property
    def methods(self) -> Mapping[str, Method]:
        """What the service serves, answered by lies."""
        served: dict[str, dict[str, Method]] = {
            "gateway": {"pull": Method("ledger", serve(Outcomes, self.lie_to_gateway_pull))},
            "matching": {"fills": Method("ledger", serve(FillsAfter, self.lie_of_fills))},
            "marks": {"pull": Method("ledger", serve(Empty, self.lie_of_prices))},
            "risk": {
                "pull": Method("ledger", serve(News, self.lie_of_dues)),
                "closings": Method("matching", serve(Empty, self.lie_of_closings)),
            },
            "watcher": {"arrivals": Method("ledger", serve(After, self.lie_of_arrivals))},
            "ledger": {"approved": Method("wallet", serve(Empty, self.lie_of_approvals))},
        }
        report = Method(OPERATOR, serve(Empty, self.report))
        return {**served.get(self._name, {}), "report": report}

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything is tried, once."""
        return (Duty("attack", ATTACK_NS, self._attack),)

    def figures(self) -> Mapping[str, int | str]:
        """Say how much was tried."""
        tried = sum(tried for tried, _ in self._counts.values())
        return {"tried": tried, "through": sum(through for _, through in self._counts.values())}

    def close(self) -> None:
        """Hold nothing."""

    def report(self, _: Empty, now: Instant) -> Attempts:  # noqa: ARG002
        """Say what was tried and what got through."""
        attempts = tuple(
            Attempt(kind, target, counts[0], counts[1], self._words.get((kind, target), ""))
            for (kind, target), counts in sorted(self._counts.items())
        )
        left = bool(self._waiting) and self._name in ("gateway", "risk")
        left = left or (self._name == "marks" and self._lies < LIES_EACH * len(LIES))
        return Attempts(attempts, self._is_over and not left)

    # --- lies to those who pull

    def lie_to_gateway_pull(self, told: Outcomes, now: Instant) -> Requests:  # noqa: ARG002
        """Hand the ledger requests that nobody made."""
        self._count_outcomes(told.outcomes)
        return Requests(self._next_chunk())

    def lie_of_fills(self, asked: FillsAfter, now: Instant) -> Fills:  # noqa: ARG002
        """Hand the ledger fills that no market made."""
        if self._false_fills is None:
            replayed = msgspec.json.decode(self._plan.fills, type=tuple[Fill, ...])
            made = [*replayed, *self._hostile.fills(self._orders, self._accomplice_order, 0)]
            self._false_fills = [NumberedFill(asked.after + n, one) for n, one in enumerate(made, 1)]
            self._note("replayed fill", "ledger", len(replayed), 0)
            self._note("forged fill", "ledger", len(made) - len(replayed), 0)
        self._note_refused(asked.refused)
        return Fills(tuple(one for one in self._false_fills if one.number > asked.after)[:CHUNK])

    def lie_of_prices(self, _: Empty, now: Instant) -> Prices:
        """Say that every source says something else, long enough that others act on it."""
        self._lies += 1
        factor = LIES[self._lies // LIES_EACH % len(LIES)]
        self._note("false price", "ledger", 1, 0)
        return self._false_prices(factor, now)

    def lie_of_dues(self, news: News, now: Instant) -> Followed:  # noqa: ARG002
        """Ask for what is not due, signed with the risk key."""
        last = news.records[-1].sequence if news.records else 0
        chunk = self._next_chunk()
        self._note("false due", "ledger", len(chunk), 0)
        return Followed(last, chunk)

    def lie_of_closings(self, _: Empty, now: Instant) -> ForcedOrders:
        """Ask the market to close healthy buckets."""
        orders = []
        for order in self._orders:
            bare = msgspec.structs.replace(
                order, id=self._hostile_id(), reduce_only=True, time_in_force="ioc", expires=now + HOUR_NS
            )
            signature = self._sign("risk_key", signing_bytes(bare))
            orders.append(msgspec.structs.replace(bare, signatures=(signature,) if signature else ()))
        self._note("false closing", "matching", len(orders), 0)
        return ForcedOrders(tuple(orders))

    def lie_of_arrivals(self, asked: After, now: Instant) -> Arrivals:  # noqa: ARG002
        """Say that value arrived which did not."""
        self._note("false receipt", "ledger", len(self._arrivals), 0)
        return Arrivals(tuple(msgspec.structs.replace(one, number=asked.after + 1) for one in self._arrivals))

    def lie_of_approvals(self, _: Empty, now: Instant) -> Approved:  # noqa: ARG002
        """Tell the wallet that withdrawals are approved and carried out which are not."""
        keys = {f"client_key/{member}": bytes(32) for member in self._plan.members}
        requests = self._next_chunk()
        self._note("false approval", "wallet", len(requests), 0)
        return Approved(requests, tuple(one.id for one in requests), keys)

    # --- attacks

    async def _attack(self, now: Instant) -> None:
        if not self._is_begun:
            self._is_begun = True
            await self._call_everything()
            for attempt in await self._probe():
                self._note(attempt.kind, attempt.target, attempt.tried, attempt.through, attempt.words)
            await self._use_its_own_ways(now)
            self._is_over = True

    async def _call_everything(self) -> None:
        """Call every method of every service there is, at every peer that can be reached or not."""
        methods = tuple(dict.fromkeys(name for names in self._plan.methods.values() for name in names))
        for target, own in self._plan.methods.items():
            if target == self._name:
                continue
            for method in (*own, *(name for name in methods if name not in own)):
                await self._call(target, method, pack(Empty()), "call")

    async def _use_its_own_ways(self, now: Instant) -> None:
        if self._name == "wallet":
            while chunk := self._next_chunk():
                await self._call("ledger", "signed", pack(Requests(chunk)), "unapproved withdrawal")
                for request in chunk[:20]:
                    await self._call("chain", "broadcast", pack(Payment(request)), "unapproved payment")
        elif self._name == "marks":
            for factor in (50, 200, 90, 110):
                for target in ("matching", "risk"):
                    body = pack(self._false_prices(factor, now))
                    await self._call(target, "prices", body, "false price")
        elif self._name in ("internet", "gateway"):
            await self._as_a_stranger()
        elif self._name == "ledger":
            for request in self._next_chunk():
                await self._call("chain", "broadcast", pack(Payment(request)), "unapproved payment")
            if self._broken_ledger is not None:
                await self._own_the_book(self._broken_ledger)

    async def _own_the_book(self, book: BrokenLedger) -> None:
        """Go on in order with false prices; then tell the followers lies; then write what it likes."""
        for factor in LIES:
            await book.follow_false_prices(partial(self._false_prices_now, factor), FALSE_PULLS)
            self._note("false price", "risk", FALSE_PULLS, 0)
        tried, taken, words = await book.offer_false_records()
        self._note("forged record", "risk", tried, taken, words)
        book.write_any_book()

    async def _as_a_stranger(self) -> None:
        if self._name == "internet":
            for request in self._waiting:
                await self._call("gateway", "request", pack(request), "hostile request")
            self._waiting = []
        for order in self._orders:
            stolen = msgspec.structs.replace(order, id=self._hostile_id(), contracts=order.contracts * 2)
            await self._send_order(stolen, "forged order")
            await self._send_order(order, "replayed order")

    async def _send_order(self, order: Order, kind: str) -> None:
        """Send an order that nobody gave now; it got through where it stands or was filled."""
        target, method = ("gateway", "order") if self._name == "internet" else ("matching", "submit")
        answer = await self._call(target, method, pack(Orders((order,))), "order")
        told = unpack(Outcomes, answer).outcomes if answer else ()
        bad = sum(one.state in ("standing", "filled", "dropped") for one in told)
        self._note(kind, target, len(told), bad, "; ".join(f"{one.reason}: {one.words}" for one in told))

    async def _call(self, target: str, method: str, body: bytes, kind: str) -> bytes:
        """Call a method; it got through where the peer carried it out, or would have but for the body."""
        try:
            answer = await self._peers.call(target, method, body)
        except CallFailedError as failed:
            self._note(kind, f"{target}.{method}", 1, int(failed.code == "bad_body"), str(failed)[:WORDS_MAX])
            return b""
        except RingfenceError as fault:
            self._note(kind, f"{target}.{method}", 1, 0, str(fault)[:WORDS_MAX])
            return b""
        self._note(kind, f"{target}.{method}", 1, 1, "answered")
        return answer

    # --- parts

    def _requests(self) -> list[Request]:
        now = self._clock.now()
        made = [*self._hostile.matrix(now), *self._hostile.replayed(self._seen, now)]
        made += self._hostile.drawn(now, self._plan.actions)
        for identifier in burnt_ids(1):
            made.append(msgspec.structs.replace(made[0], id=identifier))
        return made

    def _next_chunk(self) -> tuple[Request, ...]:
        chunk, self._waiting = tuple(self._waiting[:CHUNK]), self._waiting[CHUNK:]
        return chunk

    def _false_arrivals(self) -> tuple[Arrival, ...]:
        return tuple(
            Arrival(1, receipt, request) for receipt, request in self._hostile.receipts(self._clock.now())
        )

    def _false_prices_now(self, factor: int) -> Prices:
        return self._false_prices(factor, self._clock.now())

    def _false_prices(self, factor: int, now: Instant) -> Prices:
        found = []
        for name, price in self._plan.index_e10.items():
            said = max(PRICE_SCALE, price * factor // 100)
            quotes = tuple(Quote(source, said, now) for source in self._rules.prices[name].sources)
            found.append(Priced(PriceFact(name, quotes), "fresh"))
        return Prices(tuple(found))

    def _accomplice_order(self, victim: Order, side: str) -> Order:
        """Write the accomplice's side of a fill of somebody's order, with the accomplice's own key."""
        order = msgspec.structs.replace(
            victim, id=self._hostile_id(), bucket=self._plan.accomplice, side=side, signatures=()
        )
        member = self._plan.accomplice.split("/")[1]
        signature = self._sign(f"client_key/{member}", signing_bytes(order))
        return msgspec.structs.replace(order, signatures=(signature,) if signature else ())

    def _hostile_id(self) -> int:
        self._lies += 1
        return (1 << 110) + (self._plan.seed << 40) + self._lies

    def _count_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            is_through = outcome.state in ("accepted", "pending")
            words = f"{outcome.reason}: {outcome.words} {outcome.rule}".strip(": ")
            self._note("hostile request", "ledger", 1, int(is_through), words or outcome.state)

    def _note_refused(self, refused: Sequence[RefusedFill]) -> None:
        """Keep the ledger's own words of what it refused."""
        for one in refused[-1:]:
            self._words["forged fill", "ledger"] = f"{one.reason}: {one.words} {one.rule}".strip()

    def _note(self, kind: str, target: str, tried: int, through: int, words: str = "") -> None:
        counts = self._counts.setdefault((kind, target), [0, 0])
        counts[0] += tried
        counts[1] += through
        self._words[kind, target] = words or self._words.get((kind, target), "")
