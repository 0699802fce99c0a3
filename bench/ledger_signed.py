"""Transfers that clients sign, a second: each with its own Ed25519 signature, judged and durable in batches.

The same signed transfers are handed over as ordinary requests, which the readable rule judges; as rows with
seals, which the compiled rule judges; and as rows through the pipeline, where a batch is made durable while
the signatures of the next are verified. The limit is verification itself: the same signatures, verified by
the library and nothing else, keys ready, on one thread and on as many as the book uses. Laps of all
alternate, and the median of each counts; ratios are taken lap by lap. What clients do is not counted: they
sign, and somebody writes what they signed as rows.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from ratio import show_ratio

from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import (
    Move,
    OpenMember,
    RegisterKey,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rows import Draft
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book

BATCH = 2_000
BATCHES = 3
MEMBERS = 500
LAPS = 5
START = Instant(1_760_000_000 * SECOND_NS)
POLICY = """\
ringfence: 1
name: quay
assets:
  USDC: {decimals: 6, haircut: "0 %"}
parties:
  client: {kind: client, family: true}
  house: {kind: house}
keys:
  client_key: {per: client, held_by: client, signs: by_hand}
  ledger_key: {held_by: ledger, signs: on_evidence}
compartments:
  outside: {kind: external}
  "client/{client}/cash": {owner: client, role: client_money, accepts: [USDC]}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC]}
gates:
  bring: {from: outside, to: "client/{client}/cash", assets: USDC, needs: ledger_key, on: ledger,
    limit: {each: {USDC: "9000000 per 1 d"}}}
  stake: {from: "client/{client}/cash", to: "client/{client}/bet", assets: USDC, needs: client_key,
    on: ledger, limit: {each: {USDC: "900000000 per 1 d"}}}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://quay/ledger", holds: ledger_key}
"""


def seed(number: int) -> bytes:
    return number.to_bytes(32, "big")


def begun(path: Path) -> Book:
    """Begin a book whose members each have cash."""
    policy = parse(POLICY, "quay.yaml").policy
    if policy is None:
        sys.exit("the benchmark's policy has errors")
    book = Book.found(open_file(path, may_create=True), policy, START, verify)
    members = [
        OpenMember("client", f"m{number}", {"client_key": public_key(seed(number + 2))})
        for number in range(MEMBERS)
    ]
    book.submit([RegisterKey("ledger_key", public_key(seed(1))), *members], START)
    links = tuple(Move("bring", "outside", f"client/m{n}/cash", "USDC", 10**12) for n in range(MEMBERS))
    book.submit([signed(book, 1, links, "ledger_key", seed(1))], START)
    return book


def signed(book: Book, number: int, links: tuple[Move, ...], key: str, secret: bytes) -> Request:
    bare = Request(number, links, book.rules.digest, START + 10**18)
    return Request(
        number,
        links,
        bare.policy,
        bare.expires,
        signatures=(Signature(key, sign(secret, signing_bytes(bare))),),
    )


def drawn(book: Book, lap: int) -> list[list[Request]]:
    """Sign one lap's requests, each by the member whose cash it moves; signing is not counted."""
    return [[_drawn(book, lap << 40 | batch << 20 | n) for n in range(BATCH)] for batch in range(BATCHES)]


def _drawn(book: Book, number: int) -> Request:
    member = number * 7_919 % MEMBERS
    move = Move("stake", f"client/m{member}/cash", f"client/m{member}/bet", "USDC", 1)
    return signed(book, number + (1 << 100), (move,), f"client_key/m{member}", seed(member + 2))


def book_lap(book: Book, batches: list[list[Request]]) -> float:
    start = perf_counter()
    outcomes = [outcome for batch in batches for outcome in book.submit(batch, START)]
    seconds = perf_counter() - start
    if any(outcome.decision != Accepted() for outcome in outcomes):
        sys.exit("the book refused a transfer that it should have carried out")
    return seconds


def rows_lap(book: Book, batches: list[list[Request]], *, is_ahead: bool) -> float:
    rows = [Draft(book.routes).sealed(one) for one in batches]
    start = perf_counter()
    if is_ahead:
        with book.ahead() as pipeline:
            tickets = [pipeline.submit_rows(one, START) for one in rows]
            outcomes = [ticket.result() for ticket in tickets]
    else:
        outcomes = [book.submit_rows(one, START) for one in rows]
    seconds = perf_counter() - start
    if any(outcome.codes.any() for outcome in outcomes):
        sys.exit("the book refused a transfer that it should have carried out")
    return seconds


def bare_lap(batches: list[list[Request]], threads: int) -> float:
    """Verify the same signatures with the library alone; keys are ready, messages are digests already."""
    requests = [request for batch in batches for request in batch]
    work = [
        (KEYS[int(one.signatures[0].key.partition("/m")[2])], one.signatures[0].value, signing_bytes(one))
        for one in requests
    ]
    parts = [work[number::threads] for number in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_verify_all, [part[:1] for part in parts]))
        start = perf_counter()
        list(pool.map(_verify_all, parts))
        return perf_counter() - start


def _verify_all(work: list[tuple[Ed25519PublicKey, bytes, bytes]]) -> None:
    for key, signature, message in work:
        key.verify(signature, message)


KEYS = [Ed25519PublicKey.from_public_bytes(public_key(seed(number + 2))) for number in range(MEMBERS)]


def main() -> None:
    count, threads = BATCH * BATCHES, os.cpu_count() or 1
    print(f"{count:,} transfers a lap, {MEMBERS:,} signers, batches of {BATCH:,}, median of {LAPS} laps")
    ways: dict[str, list[float]] = {
        name: [] for name in ("requests", "rows", "ahead", "one thread", "all threads")
    }
    with tempfile.TemporaryDirectory() as name:
        book = begun(Path(name) / "quay.book")
        for batch in drawn(book, 1):
            rows_lap(book, [batch], is_ahead=True)
        for lap in range(LAPS):
            first, second, third = (drawn(book, 10 * lap + place) for place in (11, 12, 13))
            ways["one thread"].append(count / bare_lap(first, 1))
            ways["rows"].append(count / rows_lap(book, first, is_ahead=False))
            before = bare_lap(first, threads)
            ways["ahead"].append(count / rows_lap(book, second, is_ahead=True))
            ways["all threads"].append(2 * count / (before + bare_lap(second, threads)))
            ways["requests"].append(count / book_lap(book, third))
        book.close()
    for way, rates in ways.items():
        print(f"{way}: {median(rates):,.0f}/s")
    limits = (("one thread", "bare verification, one thread"), ("all threads", _threads(threads)))
    for way, work in (("ahead", "rows that clients signed"), ("requests", "requests that clients signed")):
        for limit, words in limits:
            show_ratio(work, _ratio(ways[way], ways[limit]), words, 0.8 if way == "ahead" else None)


def _threads(threads: int) -> str:
    return f"bare verification, {threads} threads"


def _ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of what each lap says."""
    return median(one / other for one, other in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
