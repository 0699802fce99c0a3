"""Transfers that clients sign, a second: each with its own Ed25519 signature, judged and durable in batches.

The limit is verification itself: the same signatures, verified by the library and nothing else. It is
measured on one thread, as a program would that verifies one after the other, and on as many threads as the
book uses. Laps of all three alternate, and the median of each counts.
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
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book

BATCH = 2_000
BATCHES = 2
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
    with tempfile.TemporaryDirectory() as name:
        book = begun(Path(name) / "quay.book")
        book_lap(book, drawn(book, 1))
        ours, alone, together = [], [], []
        for lap in range(2, 2 + LAPS):
            batches = drawn(book, lap)
            alone.append(count / bare_lap(batches, 1))
            ours.append(count / book_lap(book, batches))
            together.append(count / bare_lap(batches, threads))
        book.close()
    best = median(ours)
    print(f"{best:,.0f} durable client-signed transfers/s; bare verification {median(alone):,.0f}/s on one")
    print(f"thread, {median(together):,.0f}/s on {threads}; the book verifies on {threads}, judges on one")
    show_ratio("client-signed transfers", best / median(alone), "bare verification, one thread", 0.8)
    show_ratio(
        "client-signed transfers", best / median(together), f"bare verification, {threads} threads", 0.8
    )


if __name__ == "__main__":
    main()
