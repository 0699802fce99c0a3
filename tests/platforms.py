"""Policies that the tests of the proof speak about: a platform small enough to work out by hand, and harbour
with one thing changed."""

from collections.abc import Callable
from pathlib import Path

from ringfence.policy.model import Policy
from ringfence.policy.parse import parse
from ringfence.proof.world import AddSupply, Fact

ROOT = Path(__file__).resolve().parent.parent

_PLATFORM = """
ringfence: 1
name: platform
numeraire: USDT
assets:
  USDT: {decimals: 0}
parties:
  clients: {kind: client}
  house: {kind: house}
keys:
  api: {held_by: web, signs: by_hand}
  settle: {held_by: match, signs: by_hand}
  liq: {held_by: risk, signs: by_hand}
  lw: {held_by: ledger, signs: by_hand}
  hot: {held_by: wallet, signs: by_hand}
  tk: {held_by: treasury, signs: by_hand}
  cold1: {person: c1, host: h1, signs: by_hand}
  cold2: {person: c2, host: h2, signs: by_hand}
  cold3: {person: c3, host: h3, signs: by_hand}
compartments:
  outside: {kind: external, pinned: true}
  client_hot: {owner: clients, role: client_money, accepts: [USDT]}
  client_cold: {owner: clients, role: client_money, accepts: [USDT]}
  margin: {owner: clients, role: client_money, accepts: [USDT]}
  insurance: {owner: house, role: insurance, accepts: [USDT]}
  house: {owner: house, role: house_money, accepts: [USDT]}
gates:
@gates
zones: [inside]
services:
  web: {zone: inside, identity: "spiffe://platform/web", holds: [api]}
  match: {zone: inside, identity: "spiffe://platform/match", holds: [settle]}
  risk: {zone: inside, identity: "spiffe://platform/risk", holds: [liq]}
  ledger: {zone: inside, identity: "spiffe://platform/ledger", holds: [lw]}
  wallet: {zone: inside, identity: "spiffe://platform/wallet", holds: [hot]}
  treasury: {zone: inside, identity: "spiffe://platform/treasury", holds: [tk]}
flows:
  - {from: web, to: match, port: 7000}
  - {from: web, to: ledger, port: 5432}
  - {from: match, to: risk, port: 7001}
  - {from: risk, to: ledger, port: 5432}
  - {from: wallet, to: ledger, port: 5432}
  - {from: risk, to: wallet, port: 9000}
claims:
  client_money_stays_out_of_the_house: {never: "role:client_money -> role:house_money"}
  two_keys_are_needed: {fewest: "** -> outside", count: keys, plane: [vault], at_least: 2}
"""


def gate(name: str, source: str, target: str, needs: str, units: int, window: str = "rolling 1 h") -> str:
    """Write a gate of the platform on one line."""
    cap = f'limit: {{all: {{USDT: "{units} {window}"}}}}'
    return f"  {name}: {{from: {source}, to: {target}, assets: [USDT], needs: {needs}, on: [vault], {cap}}}"


GATES = {
    "g1": gate("g1", "client_hot", "outside", "[hot, liq]", 250),
    "g2": gate("g2", "client_cold", "client_hot", '["2 of [cold1, cold2, cold3]"]', 208),
    "g3": gate("g3", "margin", "insurance", "[liq]", 50),
    "g4": gate("g4", "margin", "house", "[liq]", 10),
    "g5": gate("g5", "house", "outside", "[tk]", 1000),
    "g6": gate("g6", "insurance", "margin", "[liq]", 50),
    "g7": gate("g7", "client_hot", "margin", "[lw]", 500),
}
"""Caps per rolling hour, balances in thousand."""

PLATFORM = _PLATFORM.replace("@gates", "\n".join(GATES.values()))

BALANCES = {"client_hot": 2000, "client_cold": 50000, "margin": 100, "insurance": 500, "house": 0}

SUPPLIES: tuple[Fact, ...] = tuple(AddSupply(name, "USDT", units) for name, units in BALANCES.items())

RING = """
ringfence: 1
name: ring
numeraire: USDC
assets: {USDC: {decimals: 6}, BTC: {decimals: 8, haircut: "5 %"}}
parties: {client: {kind: client, family: true}, house: {kind: house}}
keys:
  client_key: {per: client, held_by: client, signs: by_hand}
  robot_key: {held_by: robot, signs: on_evidence}
prices: {index/BTC: {sources: [v1, v2, v3], agree: "2 of 3 within 1 %", stale: 30 s}}
compartments:
  "client/{client}/cash": {owner: client, role: client_money, accepts: [USDC, BTC]}
  house/own: {owner: house, role: house_money, accepts: [USDC]}
exchanges:
  ring:
    legs:
      - "client/{a}/cash -> client/{b}/cash"
      - "client/{b}/cash -> client/{c}/cash"
      - "client/{c}/cash -> client/{a}/cash"
    needs: [robot_key]
    price: "within 1 % of index"
    on: ledger
    limit: {each: {USDC: "10 per 1 d", BTC: "1 per 1 d"}}
services:
  robot: {zone: z, identity: "spiffe://ring/robot", holds: robot_key}
zones: [z]
claims:
  one_never_pays_for_another:
    for: {a: client, b: client}
    never: "client/{a}/cash -> client/{b}/cash"
  one_client_alone:
    for: {a: client}
    compromised: robot
    mode: contained
    plane: ledger
    moves: "client/{a}/cash -> anywhere"
    at_most: {USDC: "20 per 1 d", BTC: "2 per 1 d"}
  all_clients_together:
    compromised: robot
    mode: contained
    plane: ledger
    moves: "client/** -> anywhere"
    at_most: {USDC: "1000000 per 1 d", BTC: "1000000 per 1 d"}
"""
"""A ring that a robot keeps three clients going round: with two members nothing of it is seen."""

Edit = Callable[[str], str]


def read(text: str, name: str = "policy.yaml") -> Policy:
    """Read a policy that must be without errors."""
    parsed = parse(text, name, include)
    assert parsed.policy is not None, [str(finding) for finding in parsed.errors]
    return parsed.policy


def include(name: str) -> str:
    """Give the text of a file included by an example policy."""
    return (ROOT / "policies" / name).read_text()


def replaced(*changes: tuple[str, str]) -> Edit:
    """Return an edit that makes each replacement exactly where its text stands; the text must be there."""

    def edit(text: str) -> str:
        for old, new in changes:
            assert old in text, f"{old!r} is not in the policy"
            text = text.replace(old, new)
        return text

    return edit


def platform(*changes: tuple[str, str]) -> Policy:
    """Read the platform with changes."""
    return read(replaced(*changes)(PLATFORM), "platform.yaml")


def harbour_text(*changes: tuple[str, str]) -> str:
    """Return the text of policies/venue.yaml with changes."""
    return replaced(*changes)((ROOT / "policies" / "venue.yaml").read_text())


def harbour(*changes: tuple[str, str]) -> Policy:
    """Read policies/venue.yaml with changes."""
    return read(harbour_text(*changes), "policies/venue.yaml")
