"""The service `risk` of a platform under the venue policy, for measuring its pre-trade check.

Two hundred clients have money and a position each; their book is followed record by record as in the
platform, which judges and verifies everything again. While it serves, a new price comes every second and the
ledger pulls ten times a second, so figures get old and are found anew. The port is the platform's own: TLS
1.3 with an identity on both sides, who may call from the policy's flows, methods told the time.
"""

import asyncio
import gc
import hashlib
import os
import sys
from collections import deque
from collections.abc import Sequence
from itertools import count
from pathlib import Path

import msgspec

from ringfence.adapters.book_memory import MemoryStore
from ringfence.adapters.identity_x509 import Authority, Svid, server_context
from ringfence.adapters.port_server import Method, PortServer
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.journal import JournalRecord
from ringfence.planes.ledger.operations import (
    Fill,
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
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.identity import compile_authorisation
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts
from ringfence.services.platform.messages import Check, Checks, News, Priced, Prices, pack
from ringfence.services.platform.risk import Risk
from ringfence.services.platform.service import Take
from ringfence.services.platform.stations import port_between
from ringfence.wiring_files import load_policy, shipped_policy

CLIENTS, SECONDS = 200, 120
"""How many clients there are, and for how many seconds there are prices."""
PRICES = {"index/BTC": 60_000, "index/ETH": 3_000}
CLOCK = SystemClock()
USDC = 10**6
LARGE = 10**6
"""Contracts that nobody here has the money for."""
MATCHING, RISK = "spiffe://harbour/matching", "spiffe://harbour/risk"


def seed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def signed(record, *keys: str):  # type: ignore[no-untyped-def]
    content = signing_bytes(record)
    return msgspec.structs.replace(
        record, signatures=tuple(Signature(key, sign(seed(key), content)) for key in keys)
    )


class Station:
    """A book that clients opened positions in, and the service that follows it."""

    def __init__(self) -> None:
        policy = load_policy(shipped_policy("venue"))
        self.policy, self.rules = policy, compile_policy(policy)
        self.store = MemoryStore()
        self.at, self._numbers = Instant(CLOCK.now()), count(1)
        self.book = Book.found(self.store, policy, self.at, verify, margin_of=MarginFacts)
        self.risk = Risk(self.rules, verify, lambda *_: None)
        self._coming: deque[tuple[Instant, Prices, JournalRecord]] = deque()
        names = ("risk_key", "ledger_key", "watcher_key")
        self._submit([RegisterKey(name, public_key(seed(name))) for name in names])
        self._submit(self._facts(0))
        for number in range(CLIENTS):
            self._open(f"c{number}")
        for number in range(0, CLIENTS, 2):
            self._trade(f"c{number}", f"c{number + 1}")
        self._ask(collection_links(self.book.state, self.at), "risk_key", "ledger_key")
        for number in range(SECONDS):
            self.at = Instant(self.at + SECOND_NS)
            facts = self._facts(number)
            self._submit(facts)
            priced = Prices(tuple(Priced(fact, "fresh") for fact in facts))
            self._coming.append((self.at, priced, self._records()[-1]))
        first = self._coming[0][2].sequence
        self.risk.pull(News(tuple(one for one in self._records() if one.sequence < first)), self.at)

    def _records(self) -> tuple[JournalRecord, ...]:
        return tuple(self.store.records())

    def _submit(self, operations: Sequence[Operation]) -> None:
        for outcome in self.book.submit(operations, self.at):
            if hasattr(outcome.decision, "words"):
                sys.exit(f"the set-up was refused: {outcome.decision}")

    def _ask(self, links: Sequence[Link], *keys: str) -> None:
        bare = Request(next(self._numbers), tuple(links), self.rules.digest, self.at + DAY_NS)
        self._submit([signed(bare, *keys)])

    def _facts(self, number: int) -> list[PriceFact]:
        """Let every source say prices that moved a little."""
        return [
            PriceFact(name, tuple(Quote(source, _price(name, number), self.at) for source in rule.sources))
            for name, rule in self.rules.prices.items()
        ]

    def work(self) -> None:
        """Do what the others ask of the service in a tenth of a second: a pull, and a price once a second."""
        now, records = Instant(CLOCK.now()), []
        while self._coming and self._coming[0][0] <= now:
            _, prices, record = self._coming.popleft()
            self.risk.take_prices(prices, now)
            records.append(record)
        self.risk.pull(News(tuple(records)), now)

    def order(self, bucket: str, side: str, contracts: int, price: int = PRICES["index/BTC"]) -> Order:
        fields = (next(self._numbers), bucket, "BTC-PERP", side, contracts, price * PRICE_SCALE)
        bare = Order(*fields, self.at + DAY_NS, self.rules.digest)  # type: ignore[arg-type]
        return signed(bare, f"client_key/{bucket.split('/')[1]}")

    def _open(self, name: str) -> None:
        cash, bucket = f"client/{name}/cash", f"client/{name}/hedge"
        key = f"client_key/{name}"
        receipt = signed(Receipt(name, "outside", cash, "USDC", 50_000 * USDC), "watcher_key")
        self._submit([OpenMember("client", name, {"client_key": public_key(seed(key))}), receipt])
        deposit = Move("deposit", "outside", cash, "USDC", 50_000 * USDC)
        self._ask([deposit], "watcher_key", "ledger_key")
        self._ask([Move("fund", cash, bucket, "USDC", 40_000 * USDC)], key)

    def _trade(self, buyer: str, seller: str) -> None:
        e10 = PRICES["index/BTC"] * PRICE_SCALE
        buy = self.order(f"client/{buyer}/hedge", "buy", 100)
        sell = self.order(f"client/{seller}/hedge", "sell", 100)
        self._ask([Fill("BTC-PERP", 100, e10, buy, sell)], "risk_key", "ledger_key")


def _price(name: str, number: int) -> int:
    return (PRICES.get(name, 1) + number % 7) * PRICE_SCALE


def bodies(station_policy: bytes, at: Instant) -> list[bytes]:
    """Write two checks for each client, of one to forty contracts; one in a hundred has no margin."""
    found = []
    for number in range(2 * CLIENTS):
        bucket, key = f"client/c{number % CLIENTS}/hedge", f"client_key/c{number % CLIENTS}"
        contracts = LARGE if number % 100 == 99 else 1 + number % 40
        side = "buy" if number % 3 else "sell"
        e10 = (PRICES["index/BTC"] + number % 5) * PRICE_SCALE
        bare = Order(2**64 + number, bucket, "BTC-PERP", side, contracts, e10, at + DAY_NS, station_policy)  # type: ignore[arg-type]
        found.append(pack(Checks((Check(signed(bare, key)),))))
    return found


def timed(take: Take) -> Method:
    """Tell a method the time, as the process of a service does."""
    return lambda _, body: take(body, CLOCK.now())


async def serve(folder: Path, port: int) -> None:
    """Serve matching on a port, with a tick every second, until killed."""
    station = Station()
    flows = compile_flows(station.policy)
    methods = {name: one for name, one in station.risk.methods.items() if one.caller == "matching"}
    at = port_between(flows, "matching", "risk")
    refusal = compile_authorisation(flows, "risk", dict.fromkeys(methods, at or 0)).refusal
    offered = {name: timed(one.take) for name, one in methods.items()}
    server = PortServer(offered, refusal, CLOCK, lambda _: None)
    svid = msgspec.json.decode((folder / "risk").read_bytes(), type=Svid)
    gc.collect()
    gc.freeze()  # as the process of a service does before it opens its ports
    await server.listen("127.0.0.1", port, server_context(svid, (folder / "bundle").read_bytes()))
    while True:
        station.work()
        await asyncio.sleep(0.1)


def issue(folder: Path) -> Svid:
    """Write an identity for the service into a folder, and return the one of its caller."""
    authority = Authority.create("harbour", CLOCK.now(), DAY_NS)
    svid = authority.issue(RISK, CLOCK.now(), HOUR_NS)
    (folder / "risk").write_bytes(msgspec.json.encode(svid))
    (folder / "risk.pem").write_bytes(svid.certificate + svid.key)
    (folder / "bundle").write_bytes(authority.bundle)
    return authority.issue(MATCHING, CLOCK.now(), HOUR_NS)


def pin(core: int) -> None:
    """Stay on one core, where there are several."""
    if (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})
