"""Bytes of memory for each open bucket with four positions: the arrays of the rows, and the tables of a book.

A bucket holds one coin and four positions: five balances of two running totals (128 bits each), four session
values, and what it takes to find them by name. Memory is what Python allocates (`tracemalloc`, which counts
NumPy's arrays too), for many buckets less for few, so that what a book needs anyway does not count.
"""

import gc
import tracemalloc

import numpy as np
from ratio import show_ratio

from ringfence.planes.ledger.batch import BatchBook
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.tables import Tables
from ringfence.policy.parse import parse

FEW, MANY = 2_000, 22_000
ASSETS = ("USDC", "BTC-PERP", "ETH-PERP", "SOL-PERP", "XRP-PERP")
WANTED = 400
POLICY = """\
ringfence: 1
name: quay
assets:
  USDC: {decimals: 6, haircut: "0 %"}
parties:
  client: {kind: client, family: true}
keys:
  ledger_key: {held_by: ledger, signs: on_evidence}
compartments:
  outside: {kind: external}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC]}
gates:
  bring: {from: outside, to: "client/{client}/bet", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000 per 1 d"}}}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://quay/ledger", holds: ledger_key}
"""


def bucket(number: int) -> str:
    return f"client/m{number}/bet"


def in_tables(count: int) -> Tables:
    """Hold buckets as the readable rule does: dictionaries of whole numbers."""
    tables = Tables()
    for number in range(count):
        path = bucket(number)
        for asset in ASSETS:
            tables.move("outside", path, asset, 10**12 + number)
        for instrument in ASSETS[1:]:
            tables.put(tables.sessions.setdefault(instrument, {}), path, 10**9 + number)
        tables.commit()
    return tables


def in_arrays(count: int) -> tuple[BatchBook, np.ndarray]:
    """Hold buckets as the rows do: numbered accounts in arrays; the session values beside them."""
    policy = parse(POLICY, "quay.yaml").policy
    if policy is None:
        raise SystemExit("the benchmark's policy has errors")
    book = BatchBook(BookState(compile_policy(policy)))
    for number in range(count):
        for asset in ASSETS:
            book._account(bucket(number), asset)
    return book, np.zeros((count, len(ASSETS) - 1, 2), np.uint64)


def bytes_for_each(make) -> float:
    """Return what one bucket more costs."""
    sizes = []
    for count in (FEW, MANY):
        gc.collect()
        tracemalloc.start()
        held = make(count)
        gc.collect()
        sizes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del held
    return (sizes[1] - sizes[0]) / (MANY - FEW)


def main() -> None:
    tables, arrays = bytes_for_each(in_tables), bytes_for_each(in_arrays)
    print(f"{tables:,.0f} bytes a bucket in the tables of the readable rule")
    print(f"{arrays:,.0f} bytes a bucket in the numbered arrays of the rows, names included")
    show_ratio("memory of a bucket in arrays", WANTED / arrays, f"{WANTED} bytes", 1)
    show_ratio("memory of a bucket in tables", WANTED / tables, f"{WANTED} bytes", 1)


if __name__ == "__main__":
    main()
