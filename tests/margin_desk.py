"""A desk under two-buckets: alice and bob with money in their bets, a price, and what they ask for."""

from dataclasses import dataclass, field
from itertools import count

import msgspec
from books import START, USDC, seed

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
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
from ringfence.policy.model import Policy
from ringfence.policy.parse import parse
from ringfence.services.ledger import Book
from ringfence.services.margin_facts import MarginFacts
from ringfence.wiring_files import shipped_policy

TEXT = shipped_policy("two-buckets").read_text()
CASH, HEDGE, BET = "client/alice/cash", "client/alice/hedge", "client/alice/bet"
EVIDENCE = ("risk_key", "ledger_key")
"""Who signs what follows from the journal."""
BTC = 1_000
"""Contracts of BTC-PERP: 0.001 BTC each."""


def parsed(text: str) -> Policy:
    policy = parse(text, "two-buckets.yaml").policy
    assert policy is not None
    return policy


POLICY = parsed(TEXT)


@dataclass
class Desk:
    """A book under two-buckets with alice and bob, 10,000 USDC each in cash and 2,000 in their bets."""

    book: Book
    at: int = START
    numbers: count = field(default_factory=lambda: count(1))

    def ask(self, *links: Link, by: tuple[str, ...] = ("client_key/alice",)) -> Reason | None:
        """Ask for links in one request; return why not, None where it was accepted."""
        asked = Request(next(self.numbers), links, self.book.rules.digest, self.at + DAY_NS)
        (outcome,) = self.book.submit([sign_with(asked, *by)], Instant(self.at))
        return outcome.decision.reason if isinstance(outcome.decision, Refused) else None

    def price(self, price: int, seconds: int = 1) -> None:
        """Let time pass and every source say a price."""
        self.at += seconds * SECOND_NS
        quotes = tuple(Quote(source, price * PRICE_SCALE, self.at) for source in ("v1", "v2", "v3"))
        (outcome,) = self.book.submit([PriceFact("index/BTC", quotes)], Instant(self.at))
        assert outcome.decision == Accepted()

    def fill(self, contracts: int, price: int, buyer: str = BET, seller: str = "client/bob/bet") -> Fill:
        """Let two signed orders meet."""
        buy = self.order(buyer, "buy", contracts, price)
        sell = self.order(seller, "sell", contracts, price)
        return Fill("BTC-PERP", contracts, price * PRICE_SCALE, buy, sell)

    def order(self, bucket: str, side: str, contracts: int, price: int) -> Order:
        bare = Order(
            next(self.numbers),
            bucket,
            "BTC-PERP",
            side,
            contracts,
            price * PRICE_SCALE,
            self.at + DAY_NS,
            self.book.rules.digest,
        )
        key = f"client_key/{bucket.split('/')[1]}"
        return msgspec.structs.replace(
            bare, signatures=(Signature(key, sign(seed(key), signing_bytes(bare))),)
        )


def sign_with(record, *keys: str):
    signatures = tuple(Signature(key, sign(seed(key), signing_bytes(record))) for key in keys)
    return msgspec.structs.replace(record, signatures=signatures)


def opening(digest: bytes) -> list[Operation]:
    keys = ("officer_a", "officer_b", "risk_key", "ledger_key", "watcher_key", "wallet_key")
    operations: list[Operation] = [RegisterKey(key, public_key(seed(key))) for key in keys]
    for member in ("alice", "bob"):
        cash = f"client/{member}/cash"
        operations.append(
            OpenMember("client", member, {"client_key": public_key(seed(f"client_key/{member}"))})
        )
        operations.append(sign_with(Receipt(member, "outside", cash, "USDC", 10_000 * USDC), "watcher_key"))
        deposit = Move("deposit", "outside", cash, "USDC", 10_000 * USDC)
        fund = Move("fund", cash, f"client/{member}/bet", "USDC", 2_000 * USDC)
        ids = {"alice": 2**100, "bob": 2**101}
        for step, (move, signers) in enumerate(
            ((deposit, ("watcher_key", "ledger_key")), (fund, (f"client_key/{member}",)))
        ):
            asked = Request(ids[member] + step, (move,), digest, START + DAY_NS)
            operations.append(sign_with(asked, *signers))
    return operations


def begun_desk(shelf: Shelf, policy: Policy) -> Desk:
    book = Book.found(MemoryStore(shelf), policy, START, verify, margin_of=MarginFacts)
    outcomes = book.submit(opening(book.rules.digest), START)
    assert all(outcome.decision == Accepted() for outcome in outcomes)
    desk = Desk(book)
    desk.price(50_000)
    return desk
