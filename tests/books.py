"""A small book and its cast: alice and bob, their keys, and the requests they sign."""

import hashlib
from functools import cache

import msgspec

from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import (
    Move,
    OpenMember,
    Operation,
    Receipt,
    RegisterKey,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rows import Draft, Route, RowBatch, blank_transfers, write_ids
from ringfence.policy.digest import digest
from ringfence.policy.model import Policy
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book
from ringfence.services.ports import BookStore

TEXT = """\
ringfence: 1
name: pier
assets:
  USDC: {decimals: 6, haircut: "0 %"}
parties:
  client: {kind: client, family: true}
  house: {kind: house}
keys:
  client_key: {per: client, held_by: client, signs: by_hand}
  ledger_key: {held_by: ledger, signs: on_evidence}
  watcher_key: {held_by: watcher, signs: on_evidence}
compartments:
  outside: {kind: external}
  "client/{client}/cash": {owner: client, role: client_money, accepts: [USDC]}
  "client/{client}/bet": {owner: client, role: collateral, accepts: [USDC]}
gates:
  deposit:
    from: outside
    to: "client/{client}/cash"
    assets: USDC
    needs: [watcher_key, ledger_key]
    on: ledger
    accrual: receipts
    computed_by: [watcher, ledger]
  fund:
    from: "client/{client}/cash"
    to: "client/{client}/bet"
    assets: USDC
    needs: client_key
    on: ledger
    limit: {each: {USDC: 1000 per 1 d}}
zones: [books]
services:
  ledger: {zone: books, identity: "spiffe://pier/ledger", holds: ledger_key}
  watcher: {zone: books, identity: "spiffe://pier/watcher", holds: watcher_key}
"""
START = Instant(1_760_000_000 * SECOND_NS)
USDC = 10**6


@cache
def policy(text: str = TEXT) -> Policy:
    parsed = parse(text, "pier.yaml")
    assert parsed.policy is not None, parsed.errors
    return parsed.policy


def seed(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def sign_request(request: Request, *keys: str) -> Request:
    signatures = tuple(Signature(key, sign(seed(key), signing_bytes(request))) for key in keys)
    return msgspec.structs.replace(request, signatures=signatures)


def opening(*members: str) -> list[Operation]:
    """Register the house's keys, and open the members with theirs."""
    house = [RegisterKey(key, public_key(seed(key))) for key in ("ledger_key", "watcher_key")]
    publics = ((member, public_key(seed(f"client_key/{member}"))) for member in members)
    opened = (OpenMember("client", member, {"client_key": public}) for member, public in publics)
    return [*house, *opened]


def deposit(number: int, member: str, units: int) -> list[Operation]:
    """Bring units in for a member: the fact that they arrived, and the move."""
    target = f"client/{member}/cash"
    receipt = Receipt(f"tx{number}", "outside", target, "USDC", units)
    witness = Signature("watcher_key", sign(seed("watcher_key"), signing_bytes(receipt)))
    move = request(number, Move("deposit", "outside", target, "USDC", units), "watcher_key", "ledger_key")
    return [msgspec.structs.replace(receipt, signatures=(witness,)), move]


def fund(number: int, member: str, units: int) -> Request:
    """Move units from a member's cash to its bet."""
    cash, bet = f"client/{member}/cash", f"client/{member}/bet"
    return request(number, Move("fund", cash, bet, "USDC", units), f"client_key/{member}")


def request(number: int, move: Move, *keys: str) -> Request:
    expires = START + 3_600 * SECOND_NS
    return sign_request(Request(RequestId(number), (move,), digest(policy()), expires), *keys)


def begun(store: BookStore) -> Book:
    """Begin the book in an empty store: alice and bob are open, alice has 1,000 USDC in cash."""
    book = Book.found(store, policy(), START, verify)
    book.submit([*opening("alice", "bob"), *deposit(1, "alice", 1_000 * USDC)], Instant(START + 1))
    return book


def recovered(store: BookStore) -> Book:
    """Open the book that is in a store."""
    return Book.recover(store, verify)


LATER = Instant(START + SECOND_NS)
BET = "client/alice/bet"


def rows(
    book: Book, *moves: tuple[int, int], key: str = "client_key/alice", member: str = "alice"
) -> RowBatch:
    """Write signed moves of (id, units) from a member's cash to its bet."""
    draft = Draft(book.routes)
    transfers = blank_transfers(len(moves))
    write_ids(transfers, [identifier for identifier, _ in moves])
    transfers["units_low"] = [units for _, units in moves]
    cash, bet = f"client/{member}/cash", f"client/{member}/bet"
    transfers["route"] = draft.number(Route("fund", cash, bet, "USDC"))
    batch = draft.batch(transfers, digest(policy()), START + 3_600 * SECOND_NS)
    return batch.signed([Signature(key, sign(seed(key), batch.signing_digest()))])


# --- books with snapshots and rows ---------------------------------------------------------------

PURSE = "client/alice/cash"
STAKE_TEXT = TEXT.replace(
    "zones: [books]",
    """\
  stake: {from: "client/{client}/cash", to: "client/{client}/bet", assets: USDC, needs: ledger_key,
    on: ledger, limit: {each: {USDC: 5000 per 1 d}}}
zones: [books]""",
)


class Vault:
    """A journal and its snapshots, lying there while nobody has the book open."""

    def __init__(self) -> None:
        self.shelf = Shelf()
        self.snapshots = MemorySnapshots()

    def begun(self) -> Book:
        begun(MemoryStore(self.shelf)).close()
        return self.opened()

    def opened(self, **options: object) -> Book:
        snapshots = options.pop("snapshots", self.snapshots)
        return Book.recover(MemoryStore(self.shelf), verify, snapshots=snapshots, **options)

    def replayed(self) -> Book:
        return recovered(MemoryStore(self.shelf))


def signs(key: str, message: bytes) -> Signature:
    return Signature(key, sign(seed(key), message))


def moved(book: Book, *numbers: int) -> None:
    for number in numbers:
        book.submit([fund(number, "alice", 1), fund(number + 1, "bob", 1)], START)


def staked(book: Book, first: int, count: int) -> None:
    """Submit a batch of rows: every third asks for more than there is."""
    draft = Draft(book.routes)
    rows = blank_transfers(count)
    rows["route"] = [draft.number(Route("stake", PURSE, BET, "USDC"))] * count
    rows["id_low"] = range(first, first + count)
    rows["units_low"] = [10**12 if place % 3 == 2 else place + 1 for place in range(count)]
    batch = draft.batch(rows, book.rules.digest, START + 10**15)
    book.submit_rows(batch.signed([signs("ledger_key", batch.signing_digest())]), START)


def rows_vault() -> Vault:
    vault = Vault()
    book = Book.found(MemoryStore(vault.shelf), policy(STAKE_TEXT), START, verify, snapshots=vault.snapshots)
    receipt, _ = deposit(1, "alice", 10**9)
    move = Move("deposit", "outside", PURSE, "USDC", 10**9)
    ask = Request(1, (move,), book.rules.digest, START + 10**15)
    book.submit([*opening("alice", "bob"), receipt, sign_request(ask, "watcher_key", "ledger_key")], START)
    book.close()
    return vault
