"""From a price tick to decisions about everybody, and closing 10,000 buckets by durable requests.

    python bench/risk_tick.py [buckets] [to close]

First 1,000,000 buckets of 4 positions under watch, limits included: 600 marks move a little at each of 200
ticks, and the slowest of a hundred counts (p99). Then a real book in one SQLite file, whose price falls until
10,000 buckets must be closed: the loop closes them riskiest first, each by a request that the book judges,
signed by risk and ledger, durable before the next round. The peer is the readable rule, one bucket at a time.
"""

import hashlib
import sys
import tempfile
from itertools import count
from pathlib import Path
from time import perf_counter, process_time

import msgspec
import numpy as np
from margin_remargin import bucket_of, make_book, make_terms
from numba import get_num_threads
from ratio import show_ratio

from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.ids import request_id
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.margin import batch
from ringfence.margin.calls import CallState, advance
from ringfence.margin.health import health
from ringfence.margin.liquidation import Closure
from ringfence.margin.marks import Prices
from ringfence.margin.watch import Watch, watch_arrays
from ringfence.planes.ledger.operations import (
    Fill,
    Link,
    Move,
    OpenMember,
    Order,
    PriceFact,
    Quote,
    RegisterKey,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts
from ringfence.services.risk_loop import RiskLoop

TICKS = 200
START = Instant(1_760_097_600 * SECOND_NS)


def main(buckets: int, to_close: int) -> None:
    ticks(buckets)
    closings(to_close)


# --- a tick ------------------------------------------------------------------------------------


def ticks(buckets: int) -> None:
    terms, prices = make_terms()
    compiled = batch.compile_batch(terms)
    watched = watch_arrays(solvent(make_book(buckets, compiled), prices, compiled), compiled)
    watched.fall_kept[:], watched.scale[:] = 0.85, 1e-9
    watched.loss_allowed[:] = 1e13
    dice = np.random.default_rng(13)

    def exact(number: int) -> batch.Bucket:
        return bucket_of(watched.book, compiled, number)

    watched.tick(prices, START, exact)
    times, changed, closing, work = [], 0, 0, 0.0
    for number in range(TICKS):
        prices = moved(prices, dice)
        started, busy = perf_counter(), process_time()
        found = watched.tick(prices, Instant(START + number * SECOND_NS), exact)
        times.append(perf_counter() - started)
        work += process_time() - busy
        changed, closing = changed + len(found.changed), closing + len(found.closing)
        rescue(watched, found.closing)
    middle, slowest = (float(np.percentile(times, share)) for share in (50, 99))
    print(
        f"tick to decisions, {buckets:,} buckets x 4 positions: median {middle * 1e3:.1f} ms, "
        f"p99 {slowest * 1e3:.1f} ms ({work / TICKS * 1e3:.1f} ms of processor time on "
        f"{get_num_threads()} threads); {changed // TICKS} changes and {closing // TICKS} to close a tick"
    )
    show_ratio(
        "price tick to decisions of 1M buckets, p99 in 60 ms", 0.06 / slowest * buckets / 1e6, "the target", 1
    )
    show_ratio("price tick to decisions", by_rule(watched, prices) * buckets / middle, "the readable rules")


def solvent(book: batch.BatchBook, prices: Prices, compiled: batch.BatchTerms) -> batch.BatchBook:
    """Give everybody an entry at the mark and cash of 1.1 to 20 times the requirement."""
    values = batch.contract_values(prices, compiled)
    book.session_values[:] = np.rint(book.contracts * values[book.instruments])
    found = batch.remargin(book, prices, compiled, lambda number: bucket_of(book, compiled, number))
    book.net_coins[:, 1:] = 0
    book.net_coins[:, 0] = np.rint(found.maintenance * np.random.default_rng(14).uniform(1.1, 20, len(book)))
    return book


def moved(prices: Prices, dice: np.random.Generator) -> Prices:
    steps = dice.normal(0, 2e-4, len(prices.marks))
    marks = {
        name: max(1, round(mark * (1 + step) / 10**9)) * 10**9
        for (name, mark), step in zip(prices.marks.items(), steps, strict=True)
    }
    return Prices(prices.assets, marks)


def rescue(watched: Watch, numbers: np.ndarray) -> None:
    """Stand in for closing: whoever is to be closed gets cash, and is free at the next tick."""
    watched.book.net_coins[numbers, 0] += np.abs(watched.book.net_coins[numbers, 0]) * 3 + 10**9


def by_rule(watched: Watch, prices: Prices) -> float:
    """Return the seconds that the readable rules take for one bucket."""
    sample = [bucket_of(watched.book, watched.batch, number) for number in range(1_000)]
    started = perf_counter()
    for one in sample:
        figures = health(one, prices, watched.batch.terms)
        advance(CallState(), figures.equity, figures.maintenance, START, watched.batch.thresholds)
    return (perf_counter() - started) / len(sample)


# --- closing -----------------------------------------------------------------------------------

POLICY = """\
ringfence: 1
name: slip
assets:
  USDC: {decimals: 6, haircut: "0 %"}
  USDC-debt: {debt_in: USDC, decimals: 6}
parties:
  client: {kind: client, family: true}
  house: {kind: house}
keys:
  desk_key: {person: dee, signs: by_hand}
  risk_key: {held_by: risk, signs: on_evidence}
  ledger_key: {held_by: ledger, signs: on_evidence}
prices:
  index/BTC: {sources: [v1], agree: "1 of 1 within 1 %", stale: 30 s}
instruments:
  BTC-PERP: {kind: perpetual, underlying: BTC, quote: USDC, contract: 0.001 BTC, tick: "0.1",
    tiers: [{from: 0 USDC, maintenance: "1 %", leverage: 50}], fees: {taker: "0.05 %", liquidation: "0.5 %"},
    settlement: 8 h at mark, price_band: "10 %"}
compartments:
  outside: {kind: external}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC, USDC-debt], margin: isolated,
    trade: {needs: desk_key, instruments: [BTC-PERP]}}
  insurance: {owner: house, role: insurance, accepts: [USDC], takes_over: all}
  clearing: {owner: house, role: clearing, accepts: [USDC], must_net_to: zero}
  rounding: {owner: house, role: rounding, accepts: [USDC]}
  treasury: {owner: house, role: house_money, accepts: [USDC, USDC-debt]}
thresholds: {free: "150 %", warn: "120 %", call: {at: "110 %", cure: 4 h}, reduce_only: "105 %",
  liquidate: "100 %", stop_at: "110 %"}
gates:
  bring: {from: outside, to: "client/{client}/bet", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000000 per 1 d"}}}
  settle: {between: [["client/{client}/bet", insurance], clearing], assets: USDC,
    needs: [risk_key, ledger_key], on: ledger, accrual: [variation, funding], computed_by: [risk, ledger]}
  fee: {from: "client/{client}/bet", to: treasury, assets: USDC, needs: [risk_key, ledger_key], on: ledger,
    accrual: fees, computed_by: [risk, ledger]}
  penalty: {from: "client/{client}/bet", to: insurance, assets: USDC, needs: [risk_key, ledger_key],
    on: ledger, accrual: liquidation_surplus, computed_by: [risk, ledger]}
  cover: {from: [insurance, treasury], to: clearing, assets: USDC, needs: [risk_key, ledger_key], on: ledger,
    accrual: shortfall, computed_by: [risk, ledger]}
  residue: {between: [clearing, rounding], assets: USDC, needs: [risk_key, ledger_key], on: ledger,
    accrual: residue, computed_by: [risk, ledger]}
waterfalls:
  bets: {for: ["client/{client}/bet"], steps: [own, {cover: insurance}], last: treasury, record: USDC-debt}
zones: [books]
services:
  risk: {zone: books, identity: "spiffe://slip/risk", holds: risk_key}
  ledger: {zone: books, identity: "spiffe://slip/ledger", holds: ledger_key}
"""
MAKER = "client/maker/bet"
USDC = 10**6
CHAIN = 100
"""How many moves or fills one request of the set-up makes."""


def seed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def sign_as(key: str, message: bytes) -> Signature:
    return Signature(key, sign(seed(key), message))


class Pit:
    """A book of people with one long position each, and the maker on the other side of everything."""

    def __init__(self, path: Path, people: int) -> None:
        policy = parse(POLICY, "slip.yaml").policy
        if policy is None:
            sys.exit("the benchmark's policy has errors")
        self.book = Book.found(open_file(path, may_create=True), policy, START, verify, margin_of=MarginFacts)
        self.at, self._numbers, self._ids = START, count(1), count(1)
        names = [f"m{number}" for number in range(people)]
        keys = [RegisterKey(key, public_key(seed(key))) for key in ("desk_key", "risk_key", "ledger_key")]
        self.must(*keys, *(OpenMember("client", name, {}) for name in ("maker", *names)))
        self.ask([Move("bring", "outside", MAKER, "USDC", people * 10_000 * USDC)])
        for first in range(0, people, CHAIN):
            self.ask(
                [self._bring(name, first + place) for place, name in enumerate(names[first : first + CHAIN])]
            )
        self.must(self.quotes(60_000))
        for first in range(0, people, CHAIN):
            self.ask([self._trade(name) for name in names[first : first + CHAIN]])

    def must(self, *operations: object) -> None:
        for first in range(0, len(operations), 10_000):
            for outcome in self.book.submit(operations[first : first + 10_000], self.at):  # type: ignore[arg-type]
                if hasattr(outcome.decision, "words"):
                    sys.exit(f"the set-up was refused: {outcome.decision}")

    def ask(self, links: list[Link]) -> None:
        bare = Request(next(self._numbers), tuple(links), self.book.rules.digest, self.at + DAY_NS)
        self.must(msgspec.structs.replace(bare, signatures=(sign_as("ledger_key", signing_bytes(bare)),)))

    def quotes(self, price: int) -> PriceFact:
        return PriceFact("index/BTC", (Quote("v1", price * PRICE_SCALE, self.at),))

    def order(self, bucket: str, side: str, contracts: int, price_e10: int) -> Order:
        fields = (next(self._numbers), bucket, "BTC-PERP", side, contracts, price_e10, self.at + DAY_NS)
        bare = Order(*fields, self.book.rules.digest)  # type: ignore[arg-type]
        return msgspec.structs.replace(bare, signatures=(sign_as("desk_key", signing_bytes(bare)),))

    def offer(self, closure: Closure, at: Instant) -> Order:
        del at
        side = "sell" if closure.contracts > 0 else "buy"
        return self.order(MAKER, side, abs(closure.contracts), closure.price_e10)

    def loop(self) -> RiskLoop:
        return RiskLoop(self.book, sign_as, lambda at: request_id(at, next(self._ids)), self)

    def _bring(self, name: str, number: int) -> Move:
        return Move("bring", "outside", f"client/{name}/bet", "USDC", 300 * USDC + number % 1_000 * 10**4)

    def _trade(self, name: str) -> Fill:
        e10 = 60_000 * PRICE_SCALE
        bucket = f"client/{name}/bet"
        return Fill(
            "BTC-PERP", 100, e10, self.order(bucket, "buy", 100, e10), self.order(MAKER, "sell", 100, e10)
        )


def closings(people: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pit = Pit(Path(folder) / "pit.book", people)
        loop = pit.loop()
        pit.at = Instant(pit.at + SECOND_NS)
        loop.offer(pit.quotes(60_000))
        loop.round(pit.at)
        pit.at = Instant(pit.at + SECOND_NS)
        loop.offer(pit.quotes(57_450))
        started, busy = perf_counter(), process_time()
        closed, refused, rounds, waiting = 0, 0, 0, 1
        while waiting:
            found = loop.round(pit.at)
            closed += sum(one.refused is None for one in found.closed)
            refused += sum(one.refused is not None for one in found.closed)
            rounds, waiting = rounds + 1, found.waiting
        taken, work = perf_counter() - started, process_time() - busy
        pit.book.state.check_conservation()
        pit.book.close()
    print(f"{closed:,} buckets closed riskiest first, {refused} refused, {rounds} rounds")
    print(f"{taken:.1f} s, of which {work:.1f} s of processor time")
    if closed:
        show_ratio(
            "10,000 liquidations by durable requests in 10 s", 10 / taken * closed / 10_000, "the target", 1
        )


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["1000000", "10000"][len(sys.argv) - 1 :])))
