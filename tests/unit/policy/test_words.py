"""Every word of the language, read: one row a word, with what it puts into the model."""

import pytest

from ringfence.kernel.instant import DAY_NS, HOUR_NS, parse_instant
from ringfence.policy import model
from ringfence.policy.grammar import Block, Word
from ringfence.policy.language import POLICY
from ringfence.policy.model import (
    AtMost,
    Band,
    Cap,
    Condition,
    CoverStep,
    DeleverageStep,
    HaircutTier,
    Journey,
    KeyNeed,
    LegPattern,
    OwnStep,
    Quorum,
    Selector,
    Tier,
    TradingLoss,
    Window,
)
from ringfence.policy.parse import read

DAY = Window(kind="fixed", length_ns=DAY_NS)
SECTIONS = {
    "ringfence": "1",
    "name": "test",
    "numeraire": "USDC",
    "assets": "{USDC: {decimals: 6}, USDC-debt: {debt_in: USDC, decimals: 6}}",
    "compartments": "{}",
}
ASSET = "decimals: 6"
PRICE = 'sources: [v1, v2, v3], agree: "2 of 3 within 1 %", stale: 30 s'
INSTRUMENT = (
    'kind: perpetual, underlying: BTC, quote: USDC, contract: 0.001 BTC, tick: "0.1", '
    'settlement: 8 h at mark, price_band: "5 %", tiers: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]'
)
TIER = 'tiers: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]'
THRESHOLDS = (
    'free: "150 %", warn: "120 %", call: {at: "110 %", cure: 4 h}, reduce_only: "105 %", '
    'liquidate: "100 %", stop_at: "110 %"'
)
GATE = "from: a, to: b, assets: [USDC], needs: [k], on: [ledger]"
EXCHANGE = 'legs: ["a -> b"], needs: [k], on: [ledger]'
WATERFALL = "for: [a], steps: [own]"
SERVICE = 'zone: z, identity: "spiffe://t/s"'
FLOW = "from: a, to: b, port: 443"
MOVES = 'compromised: [s], mode: contained, plane: [ledger], moves: "** -> outside", at_most: 0 per 1 d'
FEWEST = 'fewest: "** -> outside", count: keys, plane: [vault], at_least: 2'
TRADING = "compromised: [s], mode: pivot, plane: [ledger]"


def read_entry(section: str, words: str) -> object:
    """Read one entry, called `x`, of a section."""
    text = dict(SECTIONS)
    text[section] = f"[{{{words}}}]" if section == "flows" else f"{{x: {{{words}}}}}"
    if section == "assets":
        text[section] = f"{{USDC: {{decimals: 6}}, x: {{{words}}}}}"
    if section in ("thresholds", "adoption"):
        text[section] = f"{{{words}}}"
    if section == "halts":
        text[section] = f"{{freeze: {{{words}}}}}"
    parsed = read("".join(f"{name}: {value}\n" for name, value in text.items()), "p.yaml")
    assert parsed.findings == (), parsed.findings
    found = getattr(parsed.policy, section)
    if section in ("thresholds", "adoption"):
        return found
    if section == "halts":
        return found["freeze"]
    return found[0] if section == "flows" else found["x"]


ROWS = [
    ("assets", "decimals: 8", "decimals", 8),
    ("assets", f'{ASSET}, haircut: "5 %"', "haircut", (HaircutTier(floor_units=0, ppm=50_000),)),
    (
        "assets",
        f'{ASSET}, haircut: [{{from: 0 x, rate: "5 %"}}, {{from: 1.5 x, rate: "7.5 %"}}]',
        "haircut",
        (HaircutTier(floor_units=0, ppm=50_000), HaircutTier(floor_units=1_500_000, ppm=75_000)),
    ),
    ("assets", f"{ASSET}, debt_in: USDC", "debt_in", "USDC"),
    ("assets", f"{ASSET}, debt_in: USDC, cap: 500000.25 USDC", "debt_cap_units", 500_000_250_000),
    ("assets", f'{ASSET}, debt_in: USDC, interest: "8 % per year"', "interest_ppm_per_year", 80_000),
    ("assets", f"{ASSET}, mirrors: USDC", "mirrors", "USDC"),
    ("assets", f"{ASSET}, price: index/x", "price", "index/x"),
    *(
        ("parties", f"kind: {kind}", "kind", kind)
        for kind in ("client", "affiliate", "house", "custodian", "venue", "attestor")
    ),
    ("parties", "kind: client, family: true", "family", True),
    ("parties", "kind: client, family: false", "family", False),
    ("parties", "kind: client, family: true, members: [acme]", "members", ("acme",)),
    ("entities", "lei: 999900NRTHLGHTGRP063", "lei", "999900NRTHLGHTGRP063"),
    ("entities", "part_of: group", "part_of", "group"),
    ("entities", "parties: [house]", "parties", ("house",)),
    ("entities", "compartments: [fund/one]", "compartments", ("fund/one",)),
    ("keys", "signs: by_hand", "signs", "by_hand"),
    ("keys", "signs: on_evidence", "signs", "on_evidence"),
    ("keys", "signs: by_hand, per: client", "per", "client"),
    ("keys", "signs: by_hand, held_by: risk", "held_by", "risk"),
    ("keys", "signs: by_hand, person: alice", "person", "alice"),
    ("keys", "signs: by_hand, host: laptop", "host", "laptop"),
    *(("keys", f"signs: by_hand, form: {form}", "form", form) for form in ("signature", "bearer", "session")),
    ("prices", PRICE, "sources", ("v1", "v2", "v3")),
    ("prices", PRICE, "agree_count", 2),
    ("prices", PRICE, "agree_ppm", 10_000),
    ("prices", PRICE, "stale_ns", 30_000_000_000),
    ("instruments", INSTRUMENT, "kind", "perpetual"),
    ("instruments", INSTRUMENT.replace("perpetual", "future"), "kind", "future"),
    ("instruments", INSTRUMENT.replace("perpetual", "option"), "kind", "option"),
    ("instruments", INSTRUMENT, "payoff", "linear"),
    (
        "instruments",
        INSTRUMENT.replace("0.001 BTC", "100 USD") + ", payoff: inverse",
        "payoff",
        "inverse",
    ),
    ("instruments", INSTRUMENT, "underlying", "BTC"),
    ("instruments", INSTRUMENT, "quote", "USDC"),
    ("instruments", INSTRUMENT, "contract_size_e10", 10_000_000),
    ("instruments", INSTRUMENT, "tick_e10", 1_000_000_000),
    (
        "instruments",
        INSTRUMENT,
        "tiers",
        (Tier(floor_units=0, maintenance_ppm=10_000, leverage_max=50),),
    ),
    ("instruments", f'{INSTRUMENT}, fees: {{taker: "0.055 %"}}', "fees", model.Fees(taker_ppm=550)),
    ("instruments", f'{INSTRUMENT}, fees: {{maker: "-0.005 %"}}', "fees", model.Fees(maker_ppm=-50)),
    (
        "instruments",
        f'{INSTRUMENT}, fees: {{liquidation: "0.5 %"}}',
        "fees",
        model.Fees(liquidation_ppm=5_000),
    ),
    (
        "instruments",
        f'{INSTRUMENT}, funding: {{every: 8 h, cap: "2 %"}}',
        "funding",
        model.Funding(interval_ns=8 * HOUR_NS, cap_ppm=20_000),
    ),
    ("instruments", INSTRUMENT, "settlement_ns", 8 * HOUR_NS),
    ("instruments", INSTRUMENT, "settlement_price", "mark"),
    ("instruments", INSTRUMENT.replace("at mark", "at index"), "settlement_price", "index"),
    ("instruments", INSTRUMENT, "price_band_ppm", 50_000),
    ("instruments", INSTRUMENT, "index", "index/BTC"),
    ("instruments", f"{INSTRUMENT}, index: index/other", "index", "index/other"),
    (
        "instruments",
        f'{INSTRUMENT}, expires: "2025-12-26T08:00:00Z"',
        "expires",
        parse_instant("2025-12-26T08:00:00Z"),
    ),
    ("instruments", f'{INSTRUMENT}, strike: "120000"', "strike_e10", 120_000 * 10**10),
    ("instruments", f"{INSTRUMENT}, option: call", "option", "call"),
    ("instruments", f"{INSTRUMENT}, option: put", "option", "put"),
    ("compartments", "kind: external", "kind", "external"),
    ("compartments", "kind: internal", "kind", "internal"),
    ("compartments", "owner: client", "owner", "client"),
    *(
        ("compartments", f"role: {role}", "role", role)
        for role in (
            "client_money",
            "collateral",
            "insurance",
            "clearing",
            "rounding",
            "house_money",
            "custody",
            "escrow",
        )
    ),
    ("compartments", "accepts: [USDC, BTC]", "accepts", ("USDC", "BTC")),
    ("compartments", "accepts: USDC", "accepts", ("USDC",)),
    ("compartments", "vault: own", "vault", "own"),
    ("compartments", "vault: shared", "vault", "shared"),
    *(
        ("compartments", f"margin: {margin}", "margin", margin)
        for margin in ("isolated", "cross", "portfolio")
    ),
    ("compartments", "strategy: delta_neutral", "strategy", "delta_neutral"),
    ("compartments", "goal: long_term", "goal", "long_term"),
    ("compartments", "risk_profile: cautious", "risk_profile", "cautious"),
    ("compartments", "limits: {leverage: 5}", "limits", model.BucketLimits(leverage=5)),
    ("compartments", 'limits: {drawdown: "15 %"}', "limits", model.BucketLimits(drawdown_ppm=150_000)),
    (
        "compartments",
        "limits: {daily_loss: 5000 USDC}",
        "limits",
        model.BucketLimits(daily_loss={"USDC": 5_000_000_000}),
    ),
    (
        "compartments",
        "limits: {daily_loss: [5000 USDC]}",
        "limits",
        model.BucketLimits(daily_loss={"USDC": 5_000_000_000}),
    ),
    (
        "compartments",
        "trade: {needs: k, instruments: [BTC-PERP]}",
        "trade",
        model.Trade(needs=(KeyNeed(key="k"),), instruments=("BTC-PERP",)),
    ),
    (
        "compartments",
        "trade: {needs: k, instruments: all}",
        "trade",
        model.Trade(needs=(KeyNeed(key="k"),), instruments=None),
    ),
    ("compartments", "must_net_to: zero", "must_net_to", "zero"),
    ("compartments", "takes_over: all", "takes_over", "all"),
    ("compartments", "takes_over: [BTC-PERP]", "takes_over", ("BTC-PERP",)),
    ("compartments", "pinned: true", "pinned", True),
    ("compartments", "cooling: 24 h", "cooling_ns", DAY_NS),
    ("compartments", "entity: fund", "entity", "fund"),
    ("compartments", "member: acme", "member", "acme"),
    ("thresholds", THRESHOLDS, "free_ppm", 1_500_000),
    ("thresholds", THRESHOLDS, "warn_ppm", 1_200_000),
    ("thresholds", THRESHOLDS, "call", model.CallLevel(at_ppm=1_100_000, cure_ns=4 * HOUR_NS)),
    ("thresholds", THRESHOLDS, "reduce_only_ppm", 1_050_000),
    ("thresholds", THRESHOLDS, "liquidate_ppm", 1_000_000),
    ("thresholds", THRESHOLDS, "stop_at_ppm", 1_100_000),
    ("gates", GATE, "sources", ("a",)),
    ("gates", GATE, "targets", ("b",)),
    ("gates", GATE, "both_ways", False),
    ("gates", GATE.replace("from: a, to: b", "between: [[a, c], b]"), "sources", ("a", "c")),
    ("gates", GATE.replace("from: a, to: b", "between: [[a, c], b]"), "targets", ("b",)),
    ("gates", GATE.replace("from: a, to: b", "between: [[a, c], b]"), "both_ways", True),
    ("gates", GATE, "assets", ("USDC",)),
    ("gates", GATE, "needs", (KeyNeed(key="k"),)),
    ("gates", GATE.replace("[k]", '"k/{a}"'), "needs", (KeyNeed(key="k", member="{a}"),)),
    ("gates", GATE.replace("[k]", "k/acme"), "needs", (KeyNeed(key="k", member="acme"),)),
    (
        "gates",
        GATE.replace("[k]", '[k, "2 of [a, b, 1 of [c, d]]"]'),
        "needs",
        (
            KeyNeed(key="k"),
            Quorum(
                count=2,
                of=(
                    KeyNeed(key="a"),
                    KeyNeed(key="b"),
                    Quorum(count=1, of=(KeyNeed(key="c"), KeyNeed(key="d"))),
                ),
            ),
        ),
    ),
    ("gates", GATE, "on", ("ledger",)),
    ("gates", GATE.replace("[ledger]", "[ledger, vault]"), "on", ("ledger", "vault")),
    ("gates", GATE.replace("[ledger]", "network"), "on", ("network",)),
    (
        "gates",
        f"{GATE}, limit: {{each_transfer: {{USDC: 5000 USDC}}}}",
        "limit",
        model.Limits(each_transfer={"USDC": 5_000_000_000}),
    ),
    (
        "gates",
        f'{GATE}, limit: {{each_transfer: {{USDC: "5000"}}}}',
        "limit",
        model.Limits(each_transfer={"USDC": 5_000_000_000}),
    ),
    (
        "gates",
        f"{GATE}, limit: {{each: {{USDC: 10 per 1 d}}}}",
        "limit",
        model.Limits(each={"USDC": Cap(units=10_000_000, window=DAY)}),
    ),
    (
        "gates",
        f"{GATE}, limit: {{all: {{USDC: 10 USDC refill 1 h}}}}",
        "limit",
        model.Limits(all={"USDC": Cap(units=10_000_000, window=Window(kind="refill", length_ns=HOUR_NS))}),
    ),
    (
        "gates",
        f"{GATE}, limit: {{all: {{USDC: 0.5 rolling 30 d}}}}",
        "limit",
        model.Limits(all={"USDC": Cap(units=500_000, window=Window(kind="rolling", length_ns=30 * DAY_NS))}),
    ),
    ("gates", f"{GATE}, limit: {{valued_in: USDC}}", "limit", model.Limits(valued_in="USDC")),
    *(
        ("gates", f"{GATE}, accrual: {accrual}", "accrual", (accrual,))
        for accrual in (
            "receipts",
            "variation",
            "funding",
            "premium",
            "fees",
            "maker_rebate",
            "liquidation_surplus",
            "shortfall",
            "residue",
            "margin_shortfall",
            "debt_draw",
            "debt_repayment",
            "interest",
            "closing",
            "mirror",
        )
    ),
    ("gates", f"{GATE}, computed_by: [risk, ledger]", "computed_by", ("risk", "ledger")),
    ("gates", f"{GATE}, standing: k", "standing", KeyNeed(key="k")),
    ("gates", f"{GATE}, when: releasable", "when", (Condition(word="releasable"),)),
    ("gates", f"{GATE}, when: flat", "when", (Condition(word="flat"),)),
    (
        "gates",
        f"{GATE}, when: operator_silent 30 d",
        "when",
        (Condition(word="operator_silent", length_ns=30 * DAY_NS),),
    ),
    (
        "gates",
        f"{GATE}, when: [attested, reconciled 1 d]",
        "when",
        (Condition(word="attested"), Condition(word="reconciled", length_ns=DAY_NS)),
    ),
    ("gates", f"{GATE}, delay: 1 h", "delay_ns", HOUR_NS),
    ("gates", f"{GATE}, cancel: [k, l]", "cancel", (KeyNeed(key="k"), KeyNeed(key="l"))),
    ("gates", f"{GATE}, reason: required", "reason", "required"),
    ("gates", f"{GATE}, reverses: optional", "reverses", "optional"),
    ("gates", f"{GATE}, crosses_entities: true", "crosses_entities", True),
    ("exchanges", EXCHANGE, "legs", (LegPattern(source="a", target="b"),)),
    ("exchanges", f"{EXCHANGE}, assets: [USDC]", "assets", ("USDC",)),
    ("exchanges", EXCHANGE, "assets", None),
    ("exchanges", EXCHANGE, "needs", (KeyNeed(key="k"),)),
    ("exchanges", EXCHANGE, "on", ("ledger",)),
    (
        "exchanges",
        f"{EXCHANGE}, limit: {{each: {{USDC: 10 per 1 d}}}}",
        "limit",
        model.Limits(each={"USDC": Cap(units=10_000_000, window=DAY)}),
    ),
    ("exchanges", f"{EXCHANGE}, accrual: debt_repayment", "accrual", ("debt_repayment",)),
    ("exchanges", f"{EXCHANGE}, computed_by: risk", "computed_by", ("risk",)),
    ("exchanges", f"{EXCHANGE}, standing: k/acme", "standing", KeyNeed(key="k", member="acme")),
    ("exchanges", f'{EXCHANGE}, price: "within 1.5 % of index"', "price", Band(ppm=15_000)),
    ("exchanges", f"{EXCHANGE}, price: at mark", "price", Band(ppm=0, of="mark")),
    ("exchanges", f"{EXCHANGE}, when: flat", "when", (Condition(word="flat"),)),
    ("exchanges", f"{EXCHANGE}, delay: 2 min", "delay_ns", 120_000_000_000),
    ("exchanges", f"{EXCHANGE}, cancel: k", "cancel", (KeyNeed(key="k"),)),
    ("exchanges", f"{EXCHANGE}, crosses_entities: true", "crosses_entities", True),
    ("waterfalls", WATERFALL, "covers", ("a",)),
    ("waterfalls", WATERFALL, "steps", (OwnStep(),)),
    (
        "waterfalls",
        "for: a, steps: [own, {cover: pool}]",
        "steps",
        (OwnStep(), CoverStep(compartment="pool")),
    ),
    (
        "waterfalls",
        'for: a, steps: [{deleverage: pro_rata, class: [a], cap: "10 % of equity"}]',
        "steps",
        (DeleverageStep(method="pro_rata", classes=("a",), cap_ppm=100_000),),
    ),
    (
        "waterfalls",
        'for: a, steps: [{deleverage: queue, class: a, cap: "5 % of equity"}]',
        "steps",
        (DeleverageStep(method="queue", classes=("a",), cap_ppm=50_000),),
    ),
    ("waterfalls", f"{WATERFALL}, last: house/treasury", "last", "house/treasury"),
    ("waterfalls", f"{WATERFALL}, record: USDC-debt", "record", "USDC-debt"),
    ("halts", "needs: k, lift: [k, l]", "needs", (KeyNeed(key="k"),)),
    ("halts", "needs: k, lift: [k, l]", "lift", (KeyNeed(key="k"), KeyNeed(key="l"))),
    (
        "adoption",
        'needs: "1 of [k, l]"',
        "needs",
        (Quorum(count=1, of=(KeyNeed(key="k"), KeyNeed(key="l"))),),
    ),
    ("adoption", "needs: k, delay: 24 h", "delay_ns", DAY_NS),
    ("adoption", "needs: k, delay: 24 h, cancel: [l]", "cancel", (KeyNeed(key="l"),)),
    ("services", SERVICE, "zone", "z"),
    ("services", SERVICE, "identity", "spiffe://t/s"),
    ("services", f"{SERVICE}, holds: [k]", "holds", ("k",)),
    ("services", f"{SERVICE}, carries: [k]", "carries", ("k",)),
    ("services", f"{SERVICE}, uid: 2001", "uid", 2001),
    ("flows", FLOW, "sources", ("a",)),
    ("flows", FLOW, "targets", ("b",)),
    ("flows", FLOW, "port", 443),
    ("flows", FLOW, "protocol", "tcp"),
    ("flows", f"{FLOW}, protocol: udp", "protocol", "udp"),
    ("flows", f"{FLOW}, purpose: orders are pulled", "purpose", "orders are pulled"),
    ("claims", 'for: {a: client}, never: "client/{a}/* -> **"', "members", {"a": "client"}),
    (
        "claims",
        'never: "owner:client -> role:house_money"',
        "journey",
        Journey(source=Selector(by="owner", text="client"), target=Selector(by="role", text="house_money")),
    ),
    ("claims", 'never: "a -> b", except: [fee, deleverage]', "exceptions", ("fee", "deleverage")),
    ("claims", 'never: "a -> b", without: [client_key]', "without", ("client_key",)),
    ("claims", MOVES, "kind", "moves"),
    (
        "claims",
        MOVES.replace("-> outside", "-> anywhere"),
        "journey",
        Journey(source=Selector(by="name", text="**"), target=Selector(by="anywhere", text="")),
    ),
    ("claims", MOVES.replace("[s]", '["k/{a}", s]'), "compromised", ("k/{a}", "s")),
    ("claims", MOVES, "mode", "contained"),
    ("claims", MOVES, "planes", ("ledger",)),
    ("claims", MOVES, "at_most", AtMost(zero_window=DAY)),
    (
        "claims",
        MOVES.replace("0 per 1 d", "{USDC: 5 per 1 d}"),
        "at_most",
        AtMost(caps={"USDC": Cap(units=5_000_000, window=DAY)}),
    ),
    (
        "claims",
        f"{TRADING}, lost_by_trading_at_most: {{each: {{USDC: 5 per 1 d}}}}",
        "trading_loss",
        TradingLoss(scope="each", caps={"USDC": Cap(units=5_000_000, window=DAY)}),
    ),
    (
        "claims",
        f"{TRADING}, lost_by_trading_at_most: {{all: {{USDC: 5 per 1 d}}}}",
        "trading_loss",
        TradingLoss(scope="all", caps={"USDC": Cap(units=5_000_000, window=DAY)}),
    ),
    ("claims", FEWEST, "kind", "fewest"),
    ("claims", FEWEST, "at_least", 2),
    *(
        ("claims", FEWEST.replace("keys", count), "count", count)
        for count in ("keys", "services", "keys_and_services")
    ),
]


@pytest.mark.parametrize(("section", "words", "field", "expected"), ROWS)
def test_each_word_fills_its_field(section, words, field, expected):
    assert getattr(read_entry(section, words), field) == expected


TOP_ROWS = [
    ("ringfence", "1", 1),
    ("name", "harbour", "harbour"),
    ("numeraire", "USDC", "USDC"),
    ("zones", "[public, books]", ("public", "books")),
    ("externals", "[internet]", ("internet",)),
]


@pytest.mark.parametrize(("word", "value", "expected"), TOP_ROWS)
def test_each_word_at_the_top_fills_its_field(word, value, expected):
    text = {**SECTIONS, word: value}
    parsed = read("".join(f"{name}: {one}\n" for name, one in text.items()), "p.yaml")
    assert parsed.findings == ()
    assert getattr(parsed.policy, word) == expected


def blocks_below(block: Block) -> list[Block]:
    """List a block and every block that its words are made of."""
    found = [block]
    for word in block.word_list:
        found += [inner for one in forms_below(word.form) for inner in blocks_below(one)]
    return found


def forms_below(form: object) -> list[Block]:
    if isinstance(form, Block):
        return [form]
    parts = [getattr(form, name, None) for name in ("item", "value", "row", "other")]
    return [block for part in parts if part is not None for block in forms_below(part)]


def test_every_word_of_every_block_has_a_row():
    rows = " ".join(f"{section} {words}" for section, words, _, _ in ROWS) + " ".join(SECTIONS)
    rows += " ".join(word for word, _, _ in TOP_ROWS)
    words: list[Word] = [word for block in blocks_below(POLICY) for word in block.word_list]
    assert len(words) > 100
    elsewhere = {"like", "tiers"}  # tests/unit/policy/test_parse.py
    missing = [word.name for word in words if f"{word.name}" not in rows and word.name not in elsewhere]
    assert missing == []


def test_every_field_of_the_model_is_filled_by_a_word():
    """What no word says, no policy has."""
    made_together = {
        "Gate": {"sources", "targets", "both_ways"},
        "PriceAuthority": {"agree_count", "agree_ppm"},
        "Instrument": {"contract_size_e10", "settlement_ns", "settlement_price", "tiers"},
        "Claim": {"kind", "journey"},
        "Asset": {"haircut"},
    }
    for block in blocks_below(POLICY):
        filled = {word.fills for word in block.word_list} | made_together.get(block.model.__name__, set())
        missing = set(block.model.model_fields) - filled - {"step"}
        assert missing == set(), block.model.__name__


@pytest.mark.parametrize(
    "word", [word for block in blocks_below(POLICY) for word in block.word_list], ids=lambda word: word.name
)
def test_every_word_says_what_it_means(word):
    assert word.meaning.endswith((".", "…"))
    assert word.example.split(":")[0] in (word.name, f'"{word.name}"')
