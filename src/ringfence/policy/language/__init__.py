"""The whole language in one table: every word, how it is written, what it means, and the field it fills.

A new word of the policy is a line here and a field in `model`; parsing, showing, the JSON Schema and the
reference page follow. What a word may not be combined with inside its block stands in the block's `finish`;
what it must agree with elsewhere in the policy stands in `rules`.
"""

from typing import Any, get_args

from ringfence.policy import model
from ringfence.policy.forms import PATH_NAME, PLAIN_NAME, Entries, Many, Name, Whole
from ringfence.policy.grammar import Block, Decimals, Path, Word
from ringfence.policy.language.assets import ASSET, ENTITY, INSTRUMENT, KEY, PARTY, PRICE_AUTHORITY, TIERS
from ringfence.policy.language.claims import CLAIM, FLOW, SERVICE
from ringfence.policy.language.walls import ADOPTION, COMPARTMENT, EXCHANGE, GATE, HALT, THRESHOLDS, WATERFALL


def _show_nothing(_value: Any, _decimals: Decimals, _path: Path) -> None:
    return None


_HALTS = get_args(model.HaltKind)
_HALT_NAME = Name(f"one of {', '.join(_HALTS)}", f"(?:{'|'.join(_HALTS)})")

POLICY = Block(
    model.Policy,
    "policy",
    (
        Word("ringfence", Whole(1, 1), "The version of the language.", "ringfence: 1"),
        Word("name", PLAIN_NAME, "The name of the policy.", "name: harbour"),
        Word(
            "numeraire",
            PLAIN_NAME,
            "The coin everything is valued in; the one coin without a price where it is not said.",
            "numeraire: USDC",
            must=False,
        ),
        Word("assets", Entries(ASSET, PLAIN_NAME), "Coins and debts.", "assets: {USDC: {decimals: 6}}"),
        Word(
            "parties",
            Entries(PARTY, PLAIN_NAME),
            "Who may own; a family has one party for each member.",
            "parties: {client: {kind: client, family: true}}",
        ),
        Word(
            "entities",
            Entries(ENTITY, PLAIN_NAME),
            "Legal persons; no gate passes between two unless it says so.",
            "entities: {harbour_ltd: {parties: [house]}}",
        ),
        Word(
            "keys",
            Entries(KEY, PLAIN_NAME),
            "What signs.",
            "keys: {client_key: {per: client, held_by: client, signs: by_hand}}",
        ),
        Word(
            "prices",
            Entries(PRICE_AUTHORITY, PATH_NAME),
            "Where prices come from. A name with a variable, `index/{coin}`, serves every instrument whose "
            "index has no line of its own.",
            'prices: {index/BTC: {sources: [v1], agree: "1 of 1 within 1 %", stale: 30 s}}',
        ),
        Word(
            "tiers",
            Entries(TIERS, PLAIN_NAME),
            "Tables of brackets that instruments name.",
            'tiers: {large: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]}',
            show=_show_nothing,
        ),
        Word(
            "instruments",
            Entries(INSTRUMENT, PLAIN_NAME),
            "What is traded. `include` names files, in the same folder or below, whose sections `tiers`, "
            "`prices` and `instruments` join those of the policy.",
            "instruments: {include: instruments/perpetuals.yaml}",
        ),
        Word(
            "compartments",
            Entries(COMPARTMENT, PATH_NAME),
            "Where value is kept, each behind a wall.",
            "compartments: {clearing: {owner: house, role: clearing, accepts: [USDC]}}",
        ),
        Word(
            "thresholds",
            THRESHOLDS,
            "Levels of equity, in percent of the maintenance requirement.",
            'thresholds: {free: "150 %", warn: "120 %", call: {at: "110 %", cure: 4 h}, '
            'reduce_only: "105 %", liquidate: "100 %", stop_at: "110 %"}',
        ),
        Word(
            "gates",
            Entries(GATE, PLAIN_NAME),
            "The only ways between compartments.",
            "gates: {sweep: {from: fees, to: treasury, assets: USDC, needs: officer_a, on: ledger}}",
        ),
        Word(
            "exchanges",
            Entries(EXCHANGE, PLAIN_NAME),
            "Legs that happen together or not at all.",
            'exchanges: {convert: {legs: ["bets -> treasury", "treasury -> bets"], needs: risk_key, '
            "on: ledger}}",
        ),
        Word(
            "waterfalls",
            Entries(WATERFALL, PLAIN_NAME),
            "Who bears a shortfall, in order.",
            "waterfalls: {bets: {for: bets, steps: [own], last: treasury, record: USDC-debt}}",
        ),
        Word(
            "halts",
            Entries(HALT, _HALT_NAME),
            "Who may freeze, halt withdrawals, allow only cancelling or reducing, or stop; and who lifts it.",
            "halts: {freeze: {needs: risk_key, lift: officer_a}}",
        ),
        Word(
            "adoption",
            ADOPTION,
            "Who may put another policy in the place of this one, and how long what widens waits.",
            'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}',
        ),
        Word("zones", Many(PLAIN_NAME), "Zones of the network.", "zones: [public, trading]"),
        Word("externals", Many(PLAIN_NAME), "What lies outside the network.", "externals: [internet]"),
        Word(
            "services",
            Entries(SERVICE, PLAIN_NAME),
            "What runs, where, with which keys.",
            'services: {risk: {zone: trading, identity: "spiffe://harbour/risk"}}',
        ),
        Word(
            "flows",
            Many(FLOW),
            "Who may open connections to whom; nothing else may.",
            "flows: [{from: gateway, to: risk, port: 7001}]",
        ),
        Word(
            "claims",
            Entries(CLAIM, PLAIN_NAME),
            "What must hold whatever happens; each name reads as a sentence.",
            'claims: {nothing_leaves: {never: "client/** -> outside"}}',
        ),
    ),
)
"""The policy itself: its sections are the words."""
