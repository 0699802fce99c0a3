"""A venue with every word a ledger obeys, and one book of it that is asked for anything and watched.

The signature here is a short digest of public key and message: as bound to both as a real one, and so cheap
that thousands of operations fit into a second. That real ones are verified is tested elsewhere.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha512
from typing import Any

import msgspec
from harbour import NOON, SERVICE_KEYS, TEXT, USDC, e10, policy_of, public_of, rules_of

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import Conditions
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    CarryOut,
    Closing,
    Fill,
    Freeze,
    Fund,
    Link,
    Move,
    OpenMember,
    Operation,
    Order,
    PolicyLine,
    Post,
    PriceFact,
    Quote,
    Receipt,
    RegisterKey,
    Request,
    Resume,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.tables import FORMS
from ringfence.policy.model import Policy
from ringfence.policy.show import show


def _written(*changes: tuple[str, str], text: str = TEXT) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


WORLD = _written(
    # Limits that are met every now and then.
    (
        'limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  release',
        'limit: {each: {USDC: "900 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  release',
    ),
    ('{USDC: "20000 per 1 d"}', '{USDC: "60 per 1 d"}'),
    ('limit: {each: {USDC: "100000 per 1 d"', 'limit: {each: {USDC: "300 per 1 d"'),
    (
        "USDC-debt: {debt_in: USDC, decimals: 6}",
        'USDC-debt: {debt_in: USDC, decimals: 6, cap: 300 USDC, interest: "80 % per year"}\n'
        "  USDC-credit: {decimals: 6, mirrors: USDC}",
    ),
    ('decimals: 18, haircut: "7 %"', 'decimals: 18, haircut: "7 %", interest: "2 % per year"'),
    (
        "client: {kind: client, family: true}",
        "client: {kind: client, family: true, members: [acme]}\n"
        "  staff: {kind: affiliate, family: true}\n  auditor: {kind: attestor}",
    ),
    (
        "keys:\n",
        "entities:\n  group: {lei: 999900NRTHLGHTGRP063}\n  keep: {part_of: group, parties: [house]}\nkeys:\n"
        "  auditor_key: {held_by: auditor, signs: by_hand}\n"
        "  staff_key: {per: staff, held_by: staff, signs: by_hand}\n",
    ),
    ("prices:\n", 'prices:\n  mark/BTC-CALL: {sources: [v1, v2], agree: "2 of 2 within 1 %", stale: 30 s}\n'),
    (
        "instruments:\n",
        "instruments:\n"
        "  BTC-CALL: {kind: option, underlying: BTC, quote: USDC, contract: 0.001 BTC, tiers: large,\n"
        '    option: call, strike: "100000", expires: "2025-10-12T00:00:00Z", settlement: 1 d at index,\n'
        '    tick: "1", price_band: "5 %"}\n',
    ),
    ("[BTC-PERP, ETH-PERP, BTC-USD]", "[BTC-PERP, ETH-PERP, BTC-USD, BTC-CALL]"),
    (
        "  insurance/directional: {",
        '  "client/{client}/locked": {owner: client, role: escrow, accepts: [USDC], vault: own}\n'
        '  "venue/{client}/credit": {owner: client, role: collateral, accepts: [USDC-credit]}\n'
        "  venue/issue: {kind: external}\n  outside/acme: {kind: external, pinned: true, cooling: 24 h}\n"
        "  institution/acme: {owner: client, member: acme, role: custody, accepts: [BTC], vault: own}\n"
        '  "staff/{staff}/cash": {owner: staff, role: client_money, accepts: [USDC]}\n'
        '  "staff/{staff}/spare": {owner: staff, role: client_money, accepts: [USDC]}\n'
        "  insurance/directional: {",
    ),
    (
        "\nexchanges:",
        """
  borrow: {from: house/treasury, to: "client/{client}/hedge", assets: USDC, on: ledger,
    needs: ["client_key/{client}", risk_key, ledger_key], accrual: debt_draw, computed_by: [risk, ledger],
    limit: {all: {USDC: "900 per 1 d"}}}
  interest_charged: {from: "client/{client}/hedge", to: house/treasury, assets: USDC, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  interest_paid: {from: house/treasury, to: "client/{client}/cash", assets: ETH, on: ledger,
    needs: [risk_key, ledger_key], accrual: interest, computed_by: [risk, ledger]}
  move_house: {from: house/treasury, to: house/rounding, assets: [USDC, BTC], on: ledger, needs: officer_a,
    limit: {valued_in: USDC, all: {USDC: "50 per 1 d"}}}
  tip: {from: "client/{client}/cash", to: house/treasury, assets: USDC, needs: client_key, on: ledger,
    limit: {each_transfer: {USDC: "40"}, each: {USDC: "70 rolling 6 h"}, all: {USDC: "90 refill 1 d"}}}
  pay_out: {from: "client/{client}/cash", to: "outside/{client}", assets: [USDC, BTC, ETH], on: ledger,
    needs: [client_key, "2 of [officer_a, officer_b, wallet_key]"],
    limit: {each: {USDC: "2000 per 1 d", BTC: "1 per 1 d", ETH: "400 per 1 d"}}}
  lock: {between: ["client/{client}/cash", "client/{client}/locked"], assets: USDC, on: ledger,
    needs: client_key, limit: {each: {USDC: "700 per 1 d"}}}
  mirror: {between: [venue/issue, "venue/{client}/credit"], assets: USDC-credit, on: ledger,
    needs: [watcher_key, ledger_key], accrual: mirror, computed_by: [watcher, ledger]}
  deposit_acme: {from: outside, to: institution/acme, assets: BTC, needs: [watcher_key, ledger_key],
    on: ledger, accrual: receipts, computed_by: [watcher, ledger]}
  leave_acme: {from: institution/acme, to: outside/acme, assets: BTC, needs: client_key/acme, on: ledger,
    limit: {each: {BTC: "1 per 1 d"}}}
  escape_acme: {from: institution/acme, to: outside/acme, assets: BTC, needs: client_key/acme,
    when: operator_silent 30 d, on: ledger, limit: {each: {BTC: "1 per 7 d"}}}
  deposit_staff: {from: outside, to: "staff/{staff}/cash", assets: USDC, needs: [watcher_key, ledger_key],
    on: ledger, accrual: receipts, computed_by: [watcher, ledger]}
  save: {between: ["staff/{staff}/cash", "staff/{staff}/spare"], assets: USDC, needs: staff_key, on: ledger,
    limit: {each: {USDC: "100 per 1 d"}}}
  audit_fee: {from: house/fees, to: house/treasury, assets: USDC, needs: auditor_key, when: attested 2 d,
    on: ledger, limit: {all: {USDC: "10 per 1 d"}}}
  charge: {from: "client/{client}/cash", to: house/fees, assets: USDC, when: reconciled 1 d, on: ledger,
    needs: ["2 of [officer_a, officer_b]", auditor_key], limit: {each: {USDC: "30 per 30 d"}}}
exchanges:
  shift: {legs: ["client/{client}/hedge -> client/{client}/directional"], assets: [BTC-PERP], on: ledger,
    price: at mark, needs: ["client_key/{client}"], limit: {each: {BTC-PERP: "50 per 1 d"}}}
  give_up: {legs: ["client/{a}/hedge -> client/{b}/hedge"], assets: [BTC-PERP], price: at mark, on: ledger,
    needs: ["client_key/{a}", "client_key/{b}"], limit: {each: {BTC-PERP: "50 per 1 d"}}}""",
    ),
    (
        "zones:",
        'halts:\n  freeze: {needs: "1 of [officer_a, risk_key]", lift: "2 of [officer_a, officer_b]"}\n'
        "  withdrawals: {needs: officer_b, lift: [officer_a, officer_b]}\n"
        'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}\n'
        "zones:",
    ),
)
FUND = 'limit: {each: {USDC: "900 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  release'
VARIANTS = (
    WORLD,
    _written((FUND, FUND.replace("900 per", "300 per")), text=WORLD),
    _written((FUND, FUND.replace("900 per", "2000 per")), text=WORLD),
    _written(("funding: {every: 8 h", "funding: {every: 1 h"), text=WORLD),
    _written(
        ("cap: 300 USDC", "cap: 100 USDC"),
        ("delay: 1 h,\n    cancel: [client_key", "delay: 2 h,\n    cancel: [client_key"),
        text=WORLD,
    ),
)
"""The venue, and policies that its book adopts: each narrower, wider, or both."""

CLIENTS = ("alice", "bob", "carol")
STAFF = ("alice", "sam")
BUCKETS = [f"client/{member}/{name}" for member in CLIENTS for name in ("hedge", "directional")]
EVERYBODY = (*SERVICE_KEYS, "auditor_key", *(f"client_key/{one}" for one in (*CLIENTS, "acme")))
HOUSE = (
    ("house/treasury", "USDC", 4_000 * USDC),
    ("house/treasury", "BTC", 10**7),
    ("house/treasury", "ETH", 10**18),
    ("house/fees", "USDC", 20 * USDC),
    ("insurance/directional", "USDC", 30 * USDC),
    ("insurance/hedge", "USDC", 30 * USDC),
)

Rows = dict[str, dict[Any, Any]]
"""Every table of a book by name, copied."""


@cache
def variant_rules(number: int) -> Rules:
    return rules_of(VARIANTS[number])


@cache
def variant_policy(number: int) -> Policy:
    return policy_of(VARIANTS[number])


@cache
def public_numbered(key: str, number: int) -> bytes:
    """The public half of a key after so many rotations."""
    return public_of(f"{key}#{number}")


def tag(public: bytes, message: bytes) -> bytes:
    """What stands for a signature here, as long as a real one."""
    return sha512(public + message).digest()


def verifies(public: bytes, message: bytes, signature: bytes) -> bool:
    return signature == tag(public, message)


def tables_of(state: BookState) -> Rows:
    """Copy every table, so that it can be compared with what it is later."""
    tables = state.ledger.tables
    named = ((name, getattr(tables, name)) for name in (*FORMS, "balances", "windows", "members"))
    rows = {name: dict(table.items()) for name, table in named}
    return rows | {"sessions": {name: dict(held.items()) for name, held in tables.sessions.items()}}


@dataclass
class Step:
    """One operation with its answer, and the tables before and after it."""

    operation: Operation
    meant: Operation
    outcome: Outcome
    at: Instant
    rules: Rules
    conditions: Conditions
    before: Rows
    after: Rows

    @property
    def is_accepted(self) -> bool:
        """Say whether it was carried out, or announced, by this operation."""
        return self.outcome.decision == Accepted() or self.outcome.decision == Accepted(pending=True)


@dataclass
class Made:
    """What was made so far and can be come back to: ids of holds, requests that wait, orders and the like."""

    holds: list[int] = field(default_factory=list)
    pending: list[Request] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    mandates: list[tuple[int, str]] = field(default_factory=list)
    sessions: list[tuple[int, str]] = field(default_factory=list)
    adjusted: list[tuple[int, Move]] = field(default_factory=list)


def _let_pass(world: "World", step: Step) -> None:
    """Watch nothing."""


class World:
    """One book, its clock, and the keys of everybody in it."""

    def __init__(
        self, watch: Callable[["World", Step], None] | None = None, *, is_empty: bool = False
    ) -> None:
        self.is_empty = is_empty
        self.state = self.beginning()
        self.at, self.next_id, self.price = NOON, 1, 100_000
        self.made = Made()
        self.rotations: Counter[str] = Counter()
        self.batched: set[tuple[str, bytes]] = set()
        self.watch: Callable[[World, Step], None] = watch or _let_pass
        self.log: list[tuple[Operation, Instant, Conditions]] = []
        self.seen: Counter[tuple[str, str]] = Counter()
        self.reasons: Counter[Reason] = Counter()
        self.open_everybody()
        if not is_empty:
            self.fill_the_book()

    @property
    def rules(self) -> Rules:
        return self.state.rules

    # --- the beginning

    def open_everybody(self) -> None:
        for key, rule in self.rules.keys.items():
            if rule.per is None:
                self.ask(RegisterKey(key, self.public(key)))
        for party, key, members in (
            ("client", "client_key", (*CLIENTS, "acme")),
            ("staff", "staff_key", STAFF),
        ):
            for member in members:
                self.ask(OpenMember(party, member, {key: self.public(f"{key}/{member}")}))

    def beginning(self) -> BookState:
        """Return the book before its first operation: the house has money, unless the book is to be empty."""
        state = BookState(variant_rules(0))
        for path, asset, units in () if self.is_empty else HOUSE:
            state.ledger.tables.move("outside", path, asset, units)
        state.ledger.tables.commit()
        return state

    def fill_the_book(self) -> None:
        for member in CLIENTS:
            for asset, units in (("USDC", 600 * USDC), ("BTC", 10**6), ("ETH", 10**15)):
                self.arrive(f"client/{member}/cash", asset, units)
            for bucket in ("hedge", "directional"):
                path = f"client/{member}/{bucket}"
                self.request(
                    [Move("fund", f"client/{member}/cash", path, "USDC", 100 * USDC)], f"client_key/{member}"
                )
            into = Move("fund", f"client/{member}/cash", f"client/{member}/hedge", "BTC", 10**5)
            self.request([into], f"client_key/{member}")
        self.arrive("staff/sam/cash", "USDC", 50 * USDC, "deposit_staff")
        self.say_price(100_000)

    # --- keys

    def public(self, key: str) -> bytes:
        """The public key that a name stands for now."""
        return public_numbered(key, self.rotations[key])

    def sign(self, record: Any, *keys: str) -> Any:
        content = signing_bytes(record)
        signatures = tuple(Signature(key, tag(self.public(key), content)) for key in keys)
        return msgspec.structs.replace(record, signatures=signatures)

    # --- asking

    def ask(self, operation: Operation, conditions: Conditions | None = None) -> Step:
        """Ask for anything, and keep what there was before and after."""
        self.state.pass_time(self.at)
        conditions = self.allowing() if conditions is None else conditions
        before, rules = tables_of(self.state), self.rules
        meant = self.state.meant(operation)
        outcome = self.state.apply(operation, self.at, verifies, conditions)
        step = Step(operation, meant, outcome, self.at, rules, conditions, before, tables_of(self.state))
        self.log.append((operation, self.at, conditions))
        self.count(step)
        self.watch(self, step)
        return step

    def count(self, step: Step) -> None:
        answer = "accepted" if step.is_accepted else "refused"
        if isinstance(step.outcome.decision, Refused):
            self.reasons[step.outcome.decision.reason] += 1
        elif not step.is_accepted:
            answer = "repeated"
        for name in names_of(step):
            self.seen[name, answer] += 1

    def allowing(self, **words: Any) -> Conditions:
        """Margin's word: every bucket may trade, and a part of it may leave."""
        free = {path: {"USDC": 60 * USDC, "BTC": 10**5} for path in BUCKETS}
        fields = {"releasable": free, "trade": dict.fromkeys(BUCKETS, 0)} | words
        return Conditions(**fields)

    def new_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def write(self, links: Iterable[Link], *keys: str, **words: Any) -> Request:
        fields = {"id": self.new_id(), "expires": self.at + 2 * DAY_NS, "reason": "drill"} | words
        return self.sign(Request(links=tuple(links), policy=self.rules.digest, **fields), *keys)

    def request(
        self, links: Iterable[Link], *keys: str, conditions: Conditions | None = None, **words: Any
    ) -> Step:
        return self.ask(self.write(links, *keys, **words), conditions)

    def say(self, name: str, price: int, sources: tuple[str, ...] = ("v1", "v2")) -> Step:
        return self.ask(PriceFact(name, tuple(Quote(source, e10(price), self.at) for source in sources)))

    def say_price(self, price: int) -> None:
        self.price = price
        self.say("index/BTC", price)
        self.say("index/ETH", price // 25)

    def arrive(self, target: str, asset: str, units: int, gate: str = "deposit") -> Step:
        receipt = Receipt(f"tx{self.new_id()}", "outside", target, asset, units)
        self.ask(self.sign(receipt, "watcher_key"))
        return self.request([Move(gate, "outside", target, asset, units)], "watcher_key", "ledger_key")

    def order(self, bucket: str, side: Any, contracts: int, instrument: str, **words: Any) -> Order:
        """Write an order of a bucket, signed by its client or by `keys`."""
        keys = words.pop("keys", (f"client_key/{bucket.split('/')[1]}",))
        fields = {"limit_e10": e10(10**7) if side == "buy" else 0, "expires": self.at} | words
        order = Order(self.new_id(), bucket, instrument, side, contracts, policy=self.rules.digest, **fields)
        return self.sign(order, *keys)

    def adoption(self, number: int, *keys: str) -> AdoptPolicy:
        policy = variant_policy(number)
        lines = tuple(PolicyLine(path, line.file, line.line) for path, line in policy.lines.items())
        notes = tuple(str(note) for note in variant_rules(number).notes)
        words = (self.new_id(), self.rules.digest, show(policy), lines, notes, self.at + DAY_NS)
        return self.sign(AdoptPolicy(*words), *keys)

    # --- living again

    def replayed(self) -> BookState:
        """Live the same life again, from nothing but what was asked and when."""
        again = self.beginning()
        for operation, at, conditions in self.log:
            again.apply(operation, at, verifies, conditions)
        again.pass_time(Instant(max(again.at, self.state.at)))
        return again


def names_of(step: Step) -> Iterator[str]:
    """Name what an operation is and uses, so that a run can say what it has seen."""
    operation = step.operation
    yield type(operation).__name__
    if isinstance(operation, Freeze | Resume):
        yield f"{type(operation).__name__} {operation.kind}"
        yield f"scope {operation.scope.partition('/')[0]}"
    if isinstance(operation, Request | CarryOut) and isinstance(step.meant, Request):
        yield from _names_of_request(step.meant)


def _names_of_request(request: Request) -> Iterator[str]:
    yield from (["hold"] if request.hold_until else [])
    yield from (["reversal"] if request.reverses else [])
    yield from (["signed in a batch"] if any(len(one.value) > 64 for one in request.signatures) else [])
    for link in request.links:
        yield type(link).__name__
        match link:
            case Move():
                yield f"way {link.gate}"
            case Post() if link.units:
                yield "post in part"
            case Fill():
                yield f"trade {link.instrument}"
                for side in (link.buy, link.sell):
                    if isinstance(side, Closing):
                        yield side.cause
                    elif side.signatures and side.signatures[0].key.startswith("session/"):
                        yield "order in a session"
            case Settle() | Fund():
                yield f"{type(link).__name__} {link.instrument}"
