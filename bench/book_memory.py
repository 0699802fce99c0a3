"""Bytes of memory that one more bucket with four positions takes in a book, brought about by real requests.

A member is opened with its key, brings a coin into its bucket, and fills an order of its own in each of four
instruments. Then everything that the book keeps is dropped table by table, and what comes free is counted
(`tracemalloc`): the bucket itself last, so that whatever it shares with others counts as its own. The bucket
is five balances of two totals each, four session values, its name, its places in the lists of positions, and
what it takes to find it; its member, keys, limits, orders and the ids of its requests are counted beside it.

Many buckets less few are counted, so that what a book needs anyway does not count: among it the groups of
numbers that are spread out for use (`packed.OPEN_MAX`, fewer than the few), and the compartments that were
looked up before. Those are forgotten first, for they share their names with the buckets. Signatures are taken
at their word: verifying keeps nothing.
"""

import gc
import tracemalloc
from collections.abc import Callable

import numpy as np
from ratio import show_ratio

from ringfence.adapters.signatures_ed25519 import public_key
from ringfence.kernel.decision import Accepted
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.batch import BatchBook
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.operations import (
    Fill,
    Move,
    OpenMember,
    Operation,
    Order,
    PriceFact,
    Quote,
    RegisterKey,
    Request,
    Signature,
)
from ringfence.policy.parse import parse

FEW, MANY = 34_000, 38_000
INSTRUMENTS = ("BTC-PERP", "BTC-MAY", "BTC-JUNE", "BTC-JULY")
PRICE_E10 = 100_000 * 10**10
START = Instant(1_760_000_000 * SECOND_NS)
WANTED = 400
POLICY = """\
ringfence: 1
name: quay
assets:
  USDC: {decimals: 6, haircut: "0 %"}
  BTC: {decimals: 8, haircut: "5 %"}
  USDC-debt: {debt_in: USDC, decimals: 6}
parties:
  client: {kind: client, family: true}
  house: {kind: house}
keys:
  client_key: {per: client, held_by: client, signs: by_hand}
  ledger_key: {held_by: ledger, signs: on_evidence}
  risk_key: {held_by: risk, signs: on_evidence}
prices:
  index/BTC: {sources: [v1, v2, v3], agree: "2 of 3 within 1 %", stale: 30 s}
tiers:
  large: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]
instruments:
""" + "".join(
    f"""\
  {name}: {{kind: perpetual, underlying: BTC, quote: USDC, contract: 0.001 BTC, tick: "0.1", tiers: large,
    settlement: 8 h at mark, price_band: "5 %"}}
"""
    for name in INSTRUMENTS
)
POLICY += """\
compartments:
  outside: {kind: external}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC, USDC-debt],
    margin: cross,
    trade: {needs: client_key, instruments: [BTC-PERP, BTC-MAY, BTC-JUNE, BTC-JULY]}}
  clearing: {owner: house, role: clearing, accepts: [USDC], must_net_to: zero}
  house/rounding: {owner: house, role: rounding, accepts: [USDC]}
  house/treasury: {owner: house, role: house_money, accepts: [USDC, USDC-debt]}
thresholds: {free: "150 %", warn: "120 %", call: {at: "110 %", cure: 4 h}, reduce_only: "105 %",
  liquidate: "100 %", stop_at: "110 %"}
gates:
  bring: {from: outside, to: "client/{client}/bet", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000 per 1 d"}}}
  settle: {between: ["client/{client}/bet", clearing], assets: [USDC], needs: [risk_key, ledger_key],
    on: [ledger], accrual: [variation, funding], computed_by: [risk, ledger]}
  last_resort: {from: house/treasury, to: clearing, assets: [USDC], needs: [risk_key, ledger_key],
    on: [ledger], accrual: shortfall, computed_by: [risk, ledger]}
  residue: {between: [clearing, house/rounding], assets: [USDC], needs: [risk_key, ledger_key],
    on: [ledger], accrual: residue, computed_by: [risk, ledger]}
waterfalls:
  bet: {for: ["client/{client}/bet"], steps: [own], last: house/treasury, record: USDC-debt}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://quay/ledger", holds: ledger_key}
  risk: {zone: books, identity: "spiffe://quay/risk", holds: risk_key}
"""


def bucket(number: int) -> str:
    return f"client/m{number}/bet"


def seed(number: int) -> bytes:
    return number.to_bytes(32, "big")


def trusting(public: bytes, message: bytes, signature: bytes) -> bool:  # noqa: ARG001
    return True


class Quay:
    """A book that is asked for one thing after the other, and must not refuse any."""

    def __init__(self) -> None:
        policy = parse(POLICY, "quay.yaml").policy
        if policy is None:
            raise SystemExit("the benchmark's policy has errors")
        self.state = BookState(compile_policy(policy))
        self._ids = 0
        self.ask(RegisterKey("ledger_key", public_key(seed(1 << 40))))
        quotes = tuple(Quote(source, PRICE_E10, START) for source in ("v1", "v2", "v3"))
        self.ask(PriceFact("index/BTC", quotes))

    def ask(self, operation: Operation, conditions: Conditions = NO_CONDITIONS) -> None:
        outcome = self.state.apply(operation, START, trusting, conditions)
        if not isinstance(outcome.decision, Accepted):
            raise SystemExit(f"the book refused what it should have carried out: {outcome.decision}")

    def request(self, *links: Move | Fill, conditions: Conditions = NO_CONDITIONS) -> None:
        signatures = (Signature("ledger_key", b"trusted"),)
        digest = self.state.rules.digest
        self.ask(Request(self.new_id(), links, digest, START + 1, signatures=signatures), conditions)

    def new_id(self) -> int:
        self._ids += 1
        return self._ids

    def open(self, number: int) -> None:
        self.ask(OpenMember("client", f"m{number}", {"client_key": public_key(seed(number + 1))}))
        self.request(Move("bring", "outside", bucket(number), "USDC", 10**12 + number))

    def trade(self, number: int, other: int) -> None:
        """Fill an order of either bucket against one of the other, in every instrument."""
        allowed = Conditions(trade={bucket(number): 0, bucket(other): 0})
        for instrument in INSTRUMENTS:
            buy = self._order(number, instrument, "buy")
            fill = Fill(instrument, 3 + number, PRICE_E10, buy, self._order(other, instrument, "sell"))
            self.request(fill, conditions=allowed)

    def _order(self, number: int, instrument: str, side: str) -> Order:
        return Order(
            self.new_id(),
            bucket(number),
            instrument,
            side,
            3 + number + 10**6,
            PRICE_E10,
            START + 1,
            self.state.rules.digest,
            signatures=(Signature(f"client_key/m{number}", b"trusted"),),
        )


def by_requests(count: int) -> dict[str, int]:
    """Bring buckets about, and return the bytes that each part of the book takes."""
    gc.collect()
    tracemalloc.start()
    quay = Quay()
    for number in range(0, count, 2):
        quay.open(number)
        quay.open(number + 1)
        quay.trade(number, number + 1)
    for instrument in INSTRUMENTS:
        quay.state.positions(instrument)  # From the first settlement on, the book lists who has a position.
    ledger, tables = quay.state.ledger, quay.state.ledger.tables
    parts: dict[str, Callable[[], object]] = {
        "orders that were filled": tables.orders.clear,
        "ids of requests": tables.ids.clear,
        "keys": lambda: (tables.keys.clear(), tables.names.clear()),
        "members": lambda: tables.packed.pop("openings"),
        "limits": lambda: tables.packed.pop("counters"),
    }
    tables.windows = tables.members = None  # type: ignore[assignment]  # They hold what is popped.
    freed = {name: _freed(drop) for name, drop in parts.items()}
    ledger.forget_places()
    ledger.rules._places.clear()
    last = [tables.packed.pop("compartments"), tables.sessions]
    tables.balances = tables.sessions = None
    freed["the bucket"] = _freed(last.clear)
    tracemalloc.stop()
    return freed


def _freed(*drops: Callable[[], object]) -> int:
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    for drop in drops:
        drop()
    gc.collect()
    return before - tracemalloc.get_traced_memory()[0]


def in_arrays(count: int) -> int:
    """Hold buckets as the rows do: numbered accounts in arrays; the session values beside them."""
    gc.collect()
    tracemalloc.start()
    book = BatchBook(Quay().state)
    for number in range(count):
        for asset in ("USDC", *INSTRUMENTS):
            book._account(bucket(number), asset)
    sessions = np.zeros((count, len(INSTRUMENTS), 2), np.uint64)
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    del book, sessions
    return size


def main() -> None:
    few, many = by_requests(FEW), by_requests(MANY)
    each = {name: (many[name] - few[name]) / (MANY - FEW) for name in many}
    for name, size in each.items():
        print(f"{size:8,.0f} bytes: {name}")
    arrays = (in_arrays(MANY) - in_arrays(FEW)) / (MANY - FEW)
    print(f"{arrays:8,.0f} bytes: the same bucket in the numbered arrays of the rows")
    show_ratio("memory of a bucket with four positions", WANTED / each["the bucket"], f"{WANTED} bytes", 1)
    show_ratio("memory of a bucket in the arrays of rows", WANTED / arrays, f"{WANTED} bytes", 1)


if __name__ == "__main__":
    main()
