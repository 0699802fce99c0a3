"""The shared cast of the ledger's tests: a small venue, its people, and a book that does what they ask.

alice is careful, bob is leveraged, carol is on the other side of everything; the house stands behind. Every
signature is a real Ed25519 one.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
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
    RotateKey,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.snapshot import packed, restore, unpacked, written
from ringfence.policy.model import Policy
from ringfence.policy.parse import parse

NOON = Instant(1_760_097_600 * SECOND_NS)
"""10 October 2025, 12:00 UTC."""

USDC = 10**6
BTC = 10**8
SERVICE_KEYS = ("officer_a", "officer_b", "risk_key", "ledger_key", "wallet_key", "watcher_key")
EVIDENCE = ("risk_key", "ledger_key")
OFFICERS = ("officer_a", "officer_b")

AT_A_LINE = frozenset(
    {
        Reason.ASSET_NOT_ACCEPTED,
        Reason.CANCEL_ONLY,
        Reason.COMPARTMENT_FROZEN,
        Reason.DAILY_LOSS_EXCEEDED,
        Reason.DEBT_CAP_EXCEEDED,
        Reason.DRAWDOWN_EXCEEDED,
        Reason.ENTITLEMENT_EXCEEDED,
        Reason.EXCHANGE_LEGS_DIFFER,
        Reason.FREE_BALANCE_TOO_LOW,
        Reason.GATE_FROZEN,
        Reason.GATE_LIMIT_EXCEEDED,
        Reason.GATE_WORD_NOT_ENFORCED,
        Reason.INITIAL_MARGIN_TOO_LOW,
        Reason.LEVERAGE_CAP_EXCEEDED,
        Reason.MANDATE_EXCEEDED,
        Reason.REASON_TEXT_MISSING,
        Reason.REVERSAL_EXCEEDS_ORIGINAL,
        Reason.REVERSAL_NOT_DECLARED,
        Reason.REVERSED_TRANSFER_UNKNOWN,
        Reason.WATERFALL_STEP_SKIPPED,
        Reason.WITHDRAWALS_HALTED,
    }
)
"""Reasons for which a line of the policy stands, so that every such refusal names it."""

TEXT = """\
ringfence: 1
name: harbour
assets:
  USDC: {decimals: 6, haircut: "0 %"}
  BTC:  {decimals: 8, haircut: "5 %"}
  ETH:  {decimals: 18, haircut: "7 %"}
  USDC-debt: {debt_in: USDC, decimals: 6}
parties:
  client: {kind: client, family: true}
  house:  {kind: house}
keys:
  client_key: {per: client, held_by: client, form: signature, signs: by_hand}
  officer_a:  {person: ann, host: laptop_a, form: signature, signs: by_hand}
  officer_b:  {person: ben, host: laptop_b, form: signature, signs: by_hand}
  risk_key:   {held_by: risk, form: signature, signs: on_evidence}
  ledger_key: {held_by: ledger, form: signature, signs: on_evidence}
  wallet_key: {held_by: wallet, form: signature, signs: on_evidence}
  watcher_key: {held_by: watcher, form: signature, signs: on_evidence}
prices:
  index/BTC: {sources: [v1, v2, v3], agree: "2 of 3 within 1 %", stale: 30 s}
  index/ETH: {sources: [v1, v2, v3], agree: "2 of 3 within 1 %", stale: 30 s}
tiers:
  large: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]
  coin: [{from: 0 BTC, maintenance: "1 %", leverage: 50}]
instruments:
  BTC-PERP: {kind: perpetual, underlying: BTC, quote: USDC, contract: 0.001 BTC, tick: "0.1", tiers: large,
    fees: {taker: "0.05 %", maker: "-0.01 %", liquidation: "1 %"}, funding: {every: 8 h, cap: "0.5 %"},
    settlement: 8 h at mark, price_band: "5 %"}
  ETH-PERP: {kind: perpetual, underlying: ETH, quote: USDC, contract: 0.01 ETH, tick: "0.01", tiers: large,
    settlement: 8 h at mark, price_band: "5 %"}
  BTC-USD: {kind: perpetual, payoff: inverse, underlying: BTC, quote: BTC, contract: 100 USD, tick: "0.5",
    tiers: coin, settlement: 8 h at mark, price_band: "5 %"}
compartments:
  outside: {kind: external}
  "outside/{client}": {kind: external, pinned: true, cooling: 24 h}
  "client/{client}/cash": {owner: client, role: client_money, accepts: [USDC, BTC, ETH], vault: own}
  "client/{client}/hedge": {owner: client, role: collateral, vault: own, margin: cross,
    strategy: delta_neutral, accepts: [USDC, BTC, ETH, USDC-debt],
    trade: {needs: client_key, instruments: [BTC-PERP, ETH-PERP, BTC-USD]}}
  "client/{client}/directional": {owner: client, role: collateral, vault: own, margin: isolated,
    strategy: directional, accepts: [USDC, USDC-debt],
    trade: {needs: client_key, instruments: [BTC-PERP, ETH-PERP]}}
  insurance/directional: {owner: house, role: insurance, accepts: [USDC], takes_over: all, vault: own}
  insurance/hedge: {owner: house, role: insurance, accepts: [USDC], takes_over: all, vault: own}
  clearing: {owner: house, role: clearing, accepts: [USDC, BTC, ETH], must_net_to: zero}
  house/rounding: {owner: house, role: rounding, accepts: [USDC, BTC, ETH]}
  house/fees: {owner: house, role: house_money, accepts: [USDC]}
  house/treasury: {owner: house, role: house_money, accepts: [USDC, BTC, ETH, USDC-debt], vault: own}
thresholds: {free: "150 %", warn: "120 %", call: {at: "110 %", cure: 4 h}, reduce_only: "105 %",
  liquidate: "100 %", stop_at: "110 %"}
gates:
  deposit: {from: outside, to: "client/{client}/cash", assets: [USDC, BTC, ETH],
    needs: [watcher_key, ledger_key], on: [ledger], accrual: receipts, computed_by: [watcher, ledger]}
  fund: {from: "client/{client}/cash", to: ["client/{client}/hedge", "client/{client}/directional"],
    assets: [USDC, BTC, ETH], needs: [client_key], on: [ledger, vault],
    limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}
  release: {from: ["client/{client}/hedge", "client/{client}/directional"], to: "client/{client}/cash",
    assets: [USDC, BTC, ETH], needs: [client_key], when: releasable, on: [ledger, vault],
    limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}
  top_up: {from: "client/{client}/cash", to: "client/{client}/hedge", assets: [USDC],
    needs: [risk_key, ledger_key], standing: client_key, accrual: margin_shortfall,
    computed_by: [risk, ledger], on: [ledger], limit: {each: {USDC: "20000 per 1 d"}}}
  settle: {between: [["client/{client}/hedge", "client/{client}/directional", insurance/hedge,
    insurance/directional], clearing], assets: [USDC, BTC, ETH], needs: [risk_key, ledger_key],
    on: [ledger, vault], accrual: [variation, funding, premium], computed_by: [risk, ledger]}
  fee: {from: ["client/{client}/hedge", "client/{client}/directional"], to: house/fees, assets: [USDC],
    needs: [risk_key, ledger_key], on: [ledger, vault], accrual: fees, computed_by: [risk, ledger]}
  rebate: {from: house/fees, to: ["client/{client}/hedge", "client/{client}/directional"], assets: [USDC],
    needs: [risk_key, ledger_key], on: [ledger], accrual: maker_rebate, computed_by: [risk, ledger],
    limit: {all: {USDC: "50000 per 1 d"}}}
  penalty_directional: {from: "client/{client}/directional", to: insurance/directional, assets: [USDC],
    needs: [risk_key, ledger_key], on: [ledger], accrual: liquidation_surplus, computed_by: [risk, ledger]}
  penalty_hedge: {from: "client/{client}/hedge", to: insurance/hedge, assets: [USDC],
    needs: [risk_key, ledger_key], on: [ledger], accrual: liquidation_surplus, computed_by: [risk, ledger]}
  cover: {from: [insurance/directional, insurance/hedge], to: clearing, assets: [USDC],
    needs: [risk_key, ledger_key], on: [ledger, vault], accrual: shortfall, computed_by: [risk, ledger],
    limit: {all: {USDC: "250000 per 1 h"}}}
  last_resort: {from: house/treasury, to: clearing, assets: [USDC], needs: [risk_key, ledger_key],
    on: [ledger, vault], accrual: shortfall, computed_by: [risk, ledger]}
  residue: {between: [clearing, house/rounding], assets: [USDC, BTC, ETH], needs: [risk_key, ledger_key],
    on: [ledger], accrual: residue, computed_by: [risk, ledger]}
  sweep: {from: house/fees, to: house/treasury, assets: [USDC], needs: ["2 of [officer_a, officer_b]"],
    on: [ledger], limit: {all: {USDC: "1000000 per 1 d"}}}
  fill_pool: {from: house/treasury, to: [insurance/directional, insurance/hedge], assets: [USDC],
    needs: ["2 of [officer_a, officer_b]"], on: [ledger, vault], limit: {all: {USDC: "1000000 per 1 d"}}}
  adjust: {between: ["client/{client}/cash", house/treasury], assets: [USDC],
    needs: ["2 of [officer_a, officer_b]"], reason: required, reverses: optional, on: [ledger],
    limit: {each: {USDC: "1000 per 1 d"}, all: {USDC: "10000 per 1 d"}}}
  withdraw: {from: "client/{client}/cash", to: "outside/{client}", assets: [USDC, BTC, ETH],
    needs: [client_key, wallet_key, "1 of [officer_a, officer_b]"], delay: 1 h,
    cancel: [client_key, officer_a, officer_b], on: [ledger, vault],
    limit: {each: {USDC: "100000 per 1 d", BTC: "2 per 1 d", ETH: "40 per 1 d"},
    all: {USDC: "2000000 per 1 d", BTC: "40 per 1 d", ETH: "800 per 1 d"}}}
exchanges:
  convert: {legs: ["client/{client}/hedge -> house/treasury", "house/treasury -> client/{client}/hedge"],
    needs: [risk_key, ledger_key], accrual: debt_repayment, computed_by: [risk, ledger],
    price: "within 1 % of index", on: [ledger]}
  convert_directional: {legs: ["client/{client}/directional -> house/treasury",
    "house/treasury -> client/{client}/directional"], needs: [risk_key, ledger_key],
    accrual: debt_repayment, computed_by: [risk, ledger], price: "within 1 % of index", on: [ledger]}
  block: {legs: ["client/{a}/cash -> client/{b}/cash", "client/{b}/cash -> client/{a}/cash"],
    needs: ["client_key/{a}", "client_key/{b}"], price: "within 2 % of index", on: [ledger],
    limit: {each: {USDC: "5000000 per 1 d"}}}
waterfalls:
  directional: {for: ["client/{client}/directional"], steps: [own, {cover: insurance/directional},
    {deleverage: pro_rata, class: ["client/{client}/directional"], cap: "10 % of equity"}],
    last: house/treasury, record: USDC-debt}
  hedge: {for: ["client/{client}/hedge"], steps: [own, {cover: insurance/hedge}], last: house/treasury,
    record: USDC-debt}
zones: [trading, books, vaults]
services:
  risk: {zone: trading, identity: "spiffe://harbour/risk", holds: [risk_key]}
  ledger: {zone: books, identity: "spiffe://harbour/ledger", holds: [ledger_key]}
  watcher: {zone: vaults, identity: "spiffe://harbour/watcher", holds: [watcher_key]}
  wallet: {zone: vaults, identity: "spiffe://harbour/wallet", holds: [wallet_key]}
"""


@cache
def policy_of(text: str = TEXT) -> Policy:
    """Parse a policy that must be free of errors."""
    parsed = parse(text, "harbour.yaml")
    assert parsed.policy is not None, "\n".join(map(str, parsed.findings))
    return parsed.policy


@cache
def rules_of(text: str = TEXT) -> Rules:
    return compile_policy(policy_of(text))


def seed(key: str) -> bytes:
    """The private seed of a key, by its concrete name."""
    return sha256(key.encode()).digest()


def public_of(key: str) -> bytes:
    """The public half of a key, by its concrete name."""
    return public_key(seed(key))


class Harbour:
    """A book under the harbour policy with alice, bob and carol, and one clock."""

    def __init__(self, text: str = TEXT, members: Iterable[str] = ("alice", "bob", "carol")) -> None:
        self.state = BookState(rules_of(text))
        self.at = NOON
        self._next_id = 0
        for key in SERVICE_KEYS:
            if key in self.state.rules.keys:
                self.must(RegisterKey(key, public_key(seed(key))))
        for member in members:
            self.must(OpenMember("client", member, {"client_key": public_key(seed(f"client_key/{member}"))}))

    # --- asking

    def do(self, operation: Operation, conditions: Conditions = NO_CONDITIONS) -> Outcome:
        outcome = self.state.apply(operation, self.at, verify, conditions)
        if isinstance(outcome.decision, Refused):
            names = {*self.state.rules.assets, *self.state.rules.instruments, repr(operation)}
            assert_well_said(outcome.decision, " ".join(names))
        return outcome

    def assert_survives_writing(self) -> None:
        """Assert that the state written out and read again is the same state: whatever flow made it."""
        again = BookState(self.state.rules)
        restore(again, unpacked(packed(written(self.state))))
        assert again.snapshot() == self.state.snapshot()
        assert again.digest() == self.state.digest()

    def must(self, operation: Operation, conditions: Conditions = NO_CONDITIONS) -> Outcome:
        outcome = self.do(operation, conditions)
        assert isinstance(outcome.decision, Accepted), outcome.decision
        return outcome

    def refuses(self, operation: Operation, conditions: Conditions = NO_CONDITIONS) -> Reason:
        """Assert a refusal that changes nothing but the id, and return its reason."""
        before = self.state.snapshot()
        outcome = self.do(operation, conditions)
        assert isinstance(outcome.decision, Refused), outcome
        after = self.state.snapshot()
        for passing in ("ids", "at"):
            before.pop(passing), after.pop(passing)
        assert before == after
        assert outcome.entries == ()
        self.assert_survives_writing()
        self.state.check_conservation()
        return outcome.decision.reason

    def reason(self, links: Link | Iterable[Link], *keys: str, **words: Any) -> Reason:
        conditions = words.pop("conditions", NO_CONDITIONS)
        return self.refuses(self.request(links, *keys, **words), conditions)

    def move(self, links: Link | Iterable[Link], *keys: str, **words: Any) -> Outcome:
        conditions = words.pop("conditions", NO_CONDITIONS)
        return self.must(self.request(links, *keys, **words), conditions)

    def obey(self, **words: Any) -> None:
        """Follow rules with other words, as no checked policy compiles to them."""
        fresh: dict[str, Any] = {"_exact": {}, "_patterns": {}, "_joined": set()}
        self.state.ledger.follow(replace(self.state.rules, **fresh, **words))

    # --- writing requests

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def request(self, links: Link | Iterable[Link], *keys: str, **words: Any) -> Request:
        """Write and sign a request; words: any other field of it."""
        chain = (links,) if isinstance(links, Link) else tuple(links)
        fields = {"id": 0, "policy": self.state.rules.digest, "expires": self.at + DAY_NS} | words
        fields["id"] = fields["id"] or self.new_id()
        return signed(Request(links=chain, **fields), *keys)

    def order(self, bucket: str, side: str, contracts: int, limit: float, **words: Any) -> Order:
        """Write an order signed by the bucket's client; words: any other field, or `keys`."""
        keys = words.pop("keys", (f"client_key/{bucket.split('/')[1]}",))
        fields = {"instrument": "BTC-PERP", "policy": self.state.rules.digest, "expires": self.at + DAY_NS}
        fields |= {"id": 0} | words
        fields["id"] = fields["id"] or self.new_id()
        order = Order(bucket=bucket, side=side, contracts=contracts, limit_e10=e10(limit), **fields)
        return signed(order, *keys)

    # --- bringing about

    def price(self, name: str, price: float, *others: float) -> None:
        """Let all sources say one price, or each its own."""
        prices = (price, *(others or (price, price)))
        quotes = tuple(Quote(f"v{n}", e10(p), self.at) for n, p in enumerate(prices, 1))
        self.must(PriceFact(f"index/{name}", quotes))

    def deposit(self, member: str, units: int, asset: str = "USDC") -> None:
        target = f"client/{member}/cash"
        receipt = Receipt(f"tx-{self.new_id()}", "outside", target, asset, units)
        self.must(signed(receipt, "watcher_key"))
        self.move(Move("deposit", "outside", target, asset, units), "watcher_key", "ledger_key")

    def fund(self, member: str, bucket: str, units: int, asset: str = "USDC") -> None:
        """Deposit and bring into a bucket, in steps that the daily limit allows."""
        self.deposit(member, units, asset)
        move = Move("fund", f"client/{member}/cash", f"client/{member}/{bucket}", asset, units)
        self.move(move, f"client_key/{member}")

    def endow(self, path: str, units: int, asset: str = "USDC") -> None:
        """Give a house compartment money from nowhere, balanced by `outside`: the state before the test."""
        self.state.ledger.tables.move("outside", path, asset, units)
        self.state.ledger.tables.commit()

    def trade(self, buyer: str, seller: str, contracts: int, price: float, **words: Any) -> Outcome:
        """Fill two fresh orders against each other."""
        instrument = words.get("instrument", "BTC-PERP")
        fill = Fill(
            instrument,
            contracts,
            e10(price),
            self.order(buyer, "buy", contracts, price, instrument=instrument),
            self.order(seller, "sell", contracts, price, instrument=instrument),
        )
        return self.move(fill, conditions=allow(buyer, seller))

    def settle(self, price: float, instrument: str = "BTC-PERP") -> Settle:
        return Settle(instrument, e10(price))


def signed(record: Any, *keys: str) -> Any:
    content = signing_bytes(record)
    signatures = tuple(Signature(key, sign(seed(key), content)) for key in keys)
    return msgspec.structs.replace(record, signatures=signatures)


def assert_well_said(refused: Refused, names: str = "") -> None:
    """Assert that a refusal says in plain words why, and where in the policy if a line of it refuses."""
    assert " " in refused.words, refused
    if refused.reason != Reason.LAW_BROKEN:  # That one names the halts it led to instead.
        line = r"[^ :]+:\d+" if refused.reason in AT_A_LINE else r"([^ :]+:\d+)?"
        assert re.fullmatch(line, refused.rule), refused
    for shouted in re.findall(r"\w*[A-Z]{2,}\w*", refused.words):
        assert shouted in names or shouted in Reason.__members__, refused


def rotated(key: str, at: Instant, old_until: int) -> RotateKey:
    """Let another public key stand for a key; what the one before signs counts for a while."""
    following = f"{key} after"
    bare = RotateKey(key, public_of(following), old_until, at + DAY_NS)
    content = signing_bytes(bare)
    by = (Signature(key, sign(seed(key), content)), Signature("next", sign(seed(following), content)))
    return msgspec.structs.replace(bare, signatures=by)


def allow(*buckets: str) -> Conditions:
    """Let margin allow the fills of these buckets."""
    return Conditions(trade=dict.fromkeys(buckets, 0))


def e10(price: float) -> int:
    return round(price * PRICE_SCALE)
