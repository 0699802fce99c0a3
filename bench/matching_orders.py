"""Orders a second through the matching engine: bare, and with every order durable before it is answered.

    python bench/matching_orders.py [orders]

One instrument, prices around one level, 500 clients; two thirds of the orders meet another. Orders carry no
real signature here: verifying one costs what bare Ed25519 costs, and that is measured elsewhere. The limit it
is held against is appending the same journal bytes to a file with the same number of fdatasync calls.
"""

import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from peers.raw_append import append_batches
from ratio import show_ratio

from ringfence.adapters.book_memory import MemoryStore
from ringfence.adapters.book_sqlite import open_file
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Order
from ringfence.services.matching.engine import Band, Engine, MatchingService, Submit
from ringfence.services.ports import BookStore

BATCH, RUNS = 500, 5
POLICY = bytes(32)


def main(count: int) -> None:
    orders = make_orders(count)
    bare, durable, raw = [], [], []
    for run in range(RUNS + 1):
        with tempfile.TemporaryDirectory() as folder:
            times = (
                time_orders(orders, MemoryStore()),
                time_orders(orders, open_file(Path(folder) / "orders.book", may_create=True)),
                append_batches(Path(folder), [random.randbytes(BATCH * 330)] * (count // BATCH)),
            )
        if run:  # the first run warms up
            for kept, seconds in zip((bare, durable, raw), times, strict=True):
                kept.append(count / seconds)
    print(f"{count} orders in batches of {BATCH}, median of {RUNS} runs, orders/s")
    print(f"  in memory {median(bare):,.0f}; durable {median(durable):,.0f}; raw append {median(raw):,.0f}")
    show_ratio("durable matching engine orders/s", median(durable) / median(bare), "in memory")
    show_ratio("durable matching engine orders/s", median(durable) / median(raw), "raw append")


def make_orders(count: int) -> list[Order]:
    drawn = random.Random(1)
    return [
        Order(
            id=number + 1,
            bucket=f"client/c{number % 500}/hedge",
            instrument="BTC-PERP",
            side=drawn.choice(["buy", "sell"]),
            contracts=drawn.randint(1, 10),
            limit_e10=10 * drawn.randint(990, 1010),
            expires=2**62,
            policy=POLICY,
        )
        for number in range(count)
    ]


def time_orders(orders: Sequence[Order], store: BookStore) -> float:
    engine = Engine({"BTC-PERP": 10}, lambda bucket: bucket.split("/")[1])
    service = MatchingService(engine, store, POLICY, lambda *_: True)
    service.carry_out([Band("BTC-PERP", 1, 10**6)], Instant(1))
    start = perf_counter()
    for at in range(0, len(orders), BATCH):
        service.carry_out([Submit(order) for order in orders[at : at + BATCH]], Instant(at + 2))
    seconds = perf_counter() - start
    store.close()
    return seconds


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
