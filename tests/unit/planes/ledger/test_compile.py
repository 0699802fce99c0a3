"""Compiling a policy: which ways lead where, and what is said about the rest."""

from typing import Any

import pytest
from harbour import EVIDENCE, OFFICERS, TEXT, USDC, policy_of, rules_of

from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.rules import AssetRule, ExchangeRule, GateRule, HaltRule, KeyRule
from ringfence.policy.digest import digest
from ringfence.policy.model import Cap, Condition, CoverStep, KeyNeed, Policy, Quorum, Window


@pytest.fixture
def rules():
    return rules_of()


def way(gate, source, target, rules):
    start, end = rules.place(source), rules.place(target)
    assert start is not None
    assert end is not None
    return rules.way(gate, start, end)


@pytest.mark.parametrize(
    ("gate", "source", "target", "assets"),
    [
        ("fund", "client/alice/cash", "client/alice/hedge", {"USDC", "BTC", "ETH"}),
        ("fund", "client/alice/cash", "client/alice/directional", {"USDC"}),
        ("fund", "client/alice/cash", "client/bob/hedge", None),
        ("fund", "client/alice/hedge", "client/alice/cash", None),
        ("deposit", "outside", "client/alice/cash", {"USDC", "BTC", "ETH"}),
        ("deposit", "outside/alice", "client/alice/cash", None),
        ("withdraw", "client/alice/cash", "outside/alice", {"USDC", "BTC", "ETH"}),
        ("withdraw", "client/alice/cash", "outside/bob", None),
        ("adjust", "client/alice/cash", "house/treasury", {"USDC"}),
        ("adjust", "house/treasury", "client/alice/cash", {"USDC"}),
        ("settle", "clearing", "insurance/hedge", {"USDC"}),
        ("block", "client/alice/cash", "client/bob/cash", {"USDC", "BTC", "ETH"}),
        ("block", "client/alice/cash", "client/alice/cash", None),
        ("convert", "client/alice/hedge", "house/treasury", {"USDC", "BTC", "ETH", "USDC-debt"}),
        ("debt", "house/treasury", "client/alice/hedge", {"USDC-debt"}),
        ("debt", "client/alice/hedge", "house/treasury", None),
        ("debt", "house/treasury", "client/alice/cash", None),
    ],
)
def test_a_way_leads_between_the_members_it_is_for(rules, gate, source, target, assets):
    found = way(gate, source, target, rules)
    assert (set(found.assets) if found else None) == assets


@pytest.mark.parametrize(
    ("path", "pattern", "members"),
    [
        ("client/alice/cash", "client/{client}/cash", ("alice",)),
        ("clearing", "clearing", ()),
        ("outside", "outside", ()),
        ("outside/alice", "outside/{client}", ("alice",)),
        ("client/alice", None, None),
        ("client/alice/cash/x", None, None),
        ("", None, None),
    ],
)
def test_a_path_names_one_compartment_of_a_family(rules, path, pattern, members):
    place = rules.place(path)
    assert (place.rule.pattern, place.members) == (pattern, members) if place else pattern is None


def test_words_that_are_not_enforced_shut_their_gate_and_are_noted(rules):
    assert [name for name, gate in rules.gates.items() if gate.unenforced] == []
    rules = rules_of(TEXT.replace("when: releasable", "when: operator_silent 30 d"))
    assert rules.gates["release"].unenforced == ("when: operator_silent",)
    notes = "\n".join(map(str, rules.notes))
    for words in (
        "release uses `when: operator_silent`",
        "fund is also checked on vault",
        "pinned",
    ):
        assert words in notes
    assert all(note.level == "note" and note.where.startswith("harbour.yaml:") for note in rules.notes)


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("when: releasable", "when: operator_silent 30 d", "when: operator_silent"),
    ],
)
def test_every_word_that_restricts_and_is_not_built_shuts_its_gate(old, new, word):
    rules = rules_of(TEXT.replace(old, new))
    gates = [*rules.gates.values(), *(exchange.gate for exchange in rules.exchanges.values())]
    assert word in {word for gate in gates for word in gate.unenforced}


def test_a_gate_that_the_ledger_does_not_check_is_no_gate_of_the_book():
    sweep = TEXT[TEXT.index("  sweep:") : TEXT.index("  fill_pool:")]
    rules = rules_of(TEXT.replace(sweep, sweep.replace("on: [ledger]", "on: [vault]")))
    assert "sweep" not in rules.gates


def test_payments_know_their_way(rules):
    def index(path):
        return rules.place(path).rule.index

    hedge = index("client/alice/hedge")
    assert rules.pays["variation", hedge, "USDC"].gate.name == "settle"
    assert rules.is_paid["variation", hedge, "BTC"].gate.name == "settle"
    assert rules.pays["fees", hedge, "USDC"].target_from(rules.place("client/bob/hedge")) == "house/fees"
    assert rules.is_paid["maker_rebate", hedge, "USDC"].source == "house/fees"
    directional = index("client/alice/directional")
    assert rules.pays["liquidation_surplus", directional, "USDC"].target == "insurance/directional"
    assert rules.pays["shortfall", index("house/treasury"), "USDC"].gate.name == "last_resort"
    assert ("shortfall", hedge, "USDC") not in rules.pays


def test_trade_is_for_the_instruments_that_are_listed(rules):
    assert rules.place("client/a/hedge").rule.trades == {"BTC-PERP", "ETH-PERP", "BTC-USD"}
    assert rules.place("client/a/directional").rule.trades == {"BTC-PERP", "ETH-PERP"}
    assert rules.place("client/a/cash").rule.trades == frozenset()
    assert rules.place("insurance/hedge").rule.takes_over == {"BTC-PERP", "ETH-PERP", "BTC-USD"}


def test_only_what_a_reversing_gate_joins_is_kept_for_reversal(rules):
    cash, treasury = (rules.place(path).rule.index for path in ("client/a/cash", "house/treasury"))
    assert rules.reversible == {(cash, treasury), (treasury, cash)}


def test_no_plain_gate_moves_a_debt():
    policy = policy_of()
    lend = policy.gates["fill_pool"].model_copy(
        update={"targets": ("client/{client}/hedge",), "assets": ("USDC", "USDC-debt")}
    )
    rules = compile_policy(policy.model_copy(update={"gates": {"lend": lend}}))
    assert way("lend", "house/treasury", "client/alice/hedge", rules).assets == {"USDC"}


NAMED = """
  "client/acme/vault": {owner: client, member: acme, role: custody, accepts: [BTC], vault: own}
"""


def test_a_compartment_of_a_named_member_asks_for_that_members_key():
    text = TEXT.replace("family: true}\n  house", "family: true, members: [acme]}\n  house")
    text = text.replace(
        "  insurance/directional: {owner", NAMED.strip("\n") + "\n  insurance/directional: {owner", 1
    )
    text = text.replace(
        "gates:\n",
        'gates:\n  lock_up: {from: "client/{client}/cash", to: client/acme/vault, '
        'assets: BTC, needs: client_key, on: ledger, limit: {each: {BTC: "1 per 1 d"}}}\n',
    )
    rules = rules_of(text)
    place = rules.place("client/acme/vault")
    assert place.member_of("client") == "acme"
    assert place.member_of("house") is None


def test_the_order_in_which_a_policy_is_written_has_no_meaning(rules):
    policy = policy_of()
    names = ("gates", "exchanges", "waterfalls", "compartments", "services", "prices", "keys")
    turned = policy.model_copy(
        update={name: dict(reversed(list(getattr(policy, name).items()))) for name in names}
    )
    gates = {
        name: gate.model_copy(update={"accrual": gate.accrual[::-1]}) for name, gate in turned.gates.items()
    }
    again = compile_policy(turned.model_copy(update={"gates": gates}))
    assert (again.digest, again.gates, again.exchanges) == (rules.digest, rules.gates, rules.exchanges)
    assert (again.compartments, again.ways) == (rules.compartments, rules.ways)
    assert (again.pays, again.is_paid, again.waterfalls) == (rules.pays, rules.is_paid, rules.waterfalls)


def test_the_same_policy_compiles_to_the_same_digest():
    assert compile_policy(policy_of()).digest == rules_of().digest
    assert rules_of(TEXT.replace("name: harbour", "name: haven")).digest != rules_of().digest


# --- every word of the policy ------------------------------------------------------------------

FULL = TEXT
for old, new in (
    ("debt_in: USDC, decimals: 6}", 'debt_in: USDC, decimals: 6, cap: 250 USDC, interest: "8 % per year"}'),
    ("assets:\n", "assets:\n  USDC-credit: {mirrors: USDC, decimals: 6}\n"),
    ("assets:\n", 'assets:\n  EUR: {decimals: 2, haircut: "3 %", price: index/EURO}\n'),
    ("prices:\n", 'prices:\n  index/EURO: {sources: [v1], agree: "1 of 1 within 1 %", stale: 1 m}\n'),
    ("parties:\n", "parties:\n  auditor: {kind: attestor}\n"),
    ("keys:\n", "keys:\n  auditor_key: {held_by: auditor, signs: by_hand}\n"),
    (
        "zones:",
        "halts:\n  freeze: {needs: officer_b, lift: [officer_b, officer_a]}\nzones:",
    ),
    (
        "exchanges:\n",
        """exchanges:
  swap: {legs: ["client/{client}/hedge -> house/treasury", "house/treasury -> client/{client}/hedge"],
    assets: [USDC, BTC], needs: [officer_b, officer_a], when: [attested 30 d, releasable], delay: 2 h,
    cancel: [officer_b, officer_a], on: [ledger], price: "within 3 % of index", limit: {valued_in: USDC,
    each_transfer: {USDC: 9 USDC}, each: {USDC: "8 per 1 d"}, all: {USDC: "7 per 1 h"}}}
""",
    ),
    (
        "gates:\n",
        """gates:
  pay: {from: "client/{client}/hedge", to: "outside/{client}", assets: [USDC, BTC],
    needs: [officer_b, officer_a, auditor_key], when: [reconciled 2 d, attested 30 d, releasable],
    reason: required, reverses: required, delay: 3 h, cancel: [officer_b, officer_a], on: [ledger],
    limit: {valued_in: USDC, each_transfer: {USDC: 6 USDC}, each: {USDC: "5 per 1 d"},
    all: {USDC: "4 per 1 h"}}}
""",
    ),
):
    FULL = FULL.replace(old, new, 1)


def signers(*names: str) -> tuple[KeyNeed, ...]:
    return tuple(KeyNeed(key=name) for name in names)


def cap(units: int, length_ns: int) -> dict[str, Cap]:
    return {"USDC": Cap(units=units, window=Window(kind="fixed", length_ns=length_ns))}


def line(key: str) -> str:
    return f"harbour.yaml:{1 + FULL[: FULL.index(key)].count(chr(10))}"


def test_every_word_of_a_gate_is_in_its_rule():
    rules = rules_of(FULL)
    assert rules.gates["pay"] == GateRule(
        name="pay",
        line=line("  pay:"),
        needs=signers("auditor_key", *OFFICERS),
        assets=frozenset({"USDC", "BTC"}),
        conditions=("releasable",),
        each_transfer={"USDC": 6 * USDC},
        each=cap(5 * USDC, DAY_NS),
        all=cap(4 * USDC, HOUR_NS),
        asks_for_text=True,
        reverses="required",
        valued_in="USDC",
        delay_ns=3 * HOUR_NS,
        statements=(("attested", 30 * DAY_NS), ("reconciled", 2 * DAY_NS)),
        cancel=signers(*OFFICERS),
    )
    assert rules.gates["top_up"] == GateRule(
        name="top_up",
        line=line("  top_up:"),
        needs=signers("ledger_key", "risk_key"),
        assets=frozenset({"USDC"}),
        accrual=("margin_shortfall",),
        each=cap(20_000 * USDC, DAY_NS),
        standing=KeyNeed(key="client_key"),
    )
    lent = way("debt", "house/treasury", "client/alice/hedge", rules)
    assert lent is not None
    assert lent.gate == GateRule(
        "debt", line("  hedge: {for"), signers(*EVIDENCE), frozenset({"USDC-debt"}), ("shortfall",)
    )


def test_every_word_of_an_exchange_is_in_its_rule():
    rules = rules_of(FULL)
    hedge, treasury = "client/{client}/hedge", "house/treasury"
    gate = GateRule(
        name="swap",
        line=line("  swap:"),
        needs=signers(*OFFICERS),
        assets=frozenset({"USDC", "BTC"}),
        conditions=("releasable",),
        each_transfer={"USDC": 9 * USDC},
        each=cap(8 * USDC, DAY_NS),
        all=cap(7 * USDC, HOUR_NS),
        valued_in="USDC",
        delay_ns=2 * HOUR_NS,
        statements=(("attested", 30 * DAY_NS),),
        cancel=signers(*OFFICERS),
    )
    assert rules.exchanges["swap"] == ExchangeRule(gate, ((hedge, treasury), (treasury, hedge)), 30_000)
    assert rules.exchanges["convert"].gate.accrual == ("debt_repayment",)
    assert rules.exchanges["block"].gate.assets is None


def test_every_other_section_is_in_the_rules():
    policy, rules = policy_of(FULL), rules_of(FULL)
    assert (rules.name, rules.digest, rules.numeraire) == ("harbour", digest(policy), "USDC")
    assert (rules.planes, rules.families) == (("ledger",), {"client"})
    assert (rules.policy, rules.prices, rules.instruments) == (policy, policy.prices, policy.instruments)
    assert dict(rules.assets) == {
        "EUR": AssetRule("EUR", 2, None, "EUR", None, "index/EURO"),
        "USDC-credit": AssetRule("USDC-credit", 6, None, "USDC", None, None, mirrors="USDC"),
        "USDC": AssetRule("USDC", 6, None, "USDC", None, None),
        "BTC": AssetRule("BTC", 8, None, "BTC", None, "index/BTC"),
        "ETH": AssetRule("ETH", 18, None, "ETH", None, "index/ETH"),
        "USDC-debt": AssetRule("USDC-debt", 6, "USDC", "USDC", 250 * USDC, None, 80_000),
    }
    single = ("auditor_key", *OFFICERS, "risk_key", "ledger_key", "wallet_key", "watcher_key")
    client = KeyRule("client_key", "client")
    assert rules.keys == {"client_key": client, **{name: KeyRule(name, None) for name in single}}
    assert rules.holders["risk"] == ("risk_key",)
    assert rules.halts == {"freeze": HaltRule(signers("officer_b"), signers(*OFFICERS))}
    assert (rules.clearing, rules.rounding) == ("clearing", "house/rounding")
    assert rules.attestors == {"auditor_key"}
    assert rules.service_keys == {"risk_key", "ledger_key", "wallet_key", "watcher_key"}
    assert rules.delayed == {"pay", "withdraw", "swap"}


# --- policies that no text could say, or only a long one ----------------------------------------


def other(section: str, name: str, policy: Policy | None = None, **words: Any) -> Policy:
    """A policy in which one entry of a section has other words."""
    was = policy or policy_of()
    entries = dict(getattr(was, section))
    return was.model_copy(update={section: entries | {name: entries[name].model_copy(update=words)}})


def conditions(*words: str) -> tuple[Condition, ...]:
    return tuple(Condition(word=word) for word in words)


@pytest.mark.parametrize(
    ("section", "words", "unenforced"),
    [
        ("gates", {"when": conditions("zeal", "ardour", "releasable")}, ("when: ardour", "when: zeal")),
        ("gates", {"accrual": ("tithe", "alms")}, ("accrual: alms", "accrual: tithe")),
        ("gates", {"accrual": ("tithe", "fees")}, ()),
        ("gates", {"accrual": ("margin_shortfall",)}, ()),
        ("gates", {"accrual": ("debt_draw", "fees")}, ("accrual: debt_draw beside another",)),
        (
            "gates",
            {"accrual": ("tithe",), "when": conditions("zeal")},
            ("when: zeal", "accrual: tithe"),
        ),
        ("gates", {"standing": KeyNeed(key="client_key")}, ()),
        ("exchanges", {"standing": KeyNeed(key="client_key")}, ("standing",)),
        (
            "exchanges",
            {"standing": KeyNeed(key="client_key"), "accrual": ("debt_draw", "debt_repayment")},
            ("standing", "accrual: debt_draw beside another"),
        ),
        ("exchanges", {"accrual": ("fees",)}, ("accrual: fees",)),
    ],
)
def test_what_is_not_enforced_is_named_and_nothing_else(section, words, unenforced):
    name = {"gates": "sweep", "exchanges": "block"}[section]
    rules = compile_policy(other(section, name, **words))
    gate = rules.gates[name] if section == "gates" else rules.exchanges[name].gate
    assert gate.unenforced == unenforced


def test_every_gap_is_noted_with_its_line_and_what_would_be_right():
    policy = other("gates", "sweep", when=conditions("zeal", "ardour"))
    policy = other(
        "gates", "fee", policy, accrual=("fees", "tithe", "alms"), on=("ledger", "vault", "onchain")
    )
    policy = other("exchanges", "block", policy, on=("ledger", "vault"))
    policy = other("instruments", "BTC-PERP", policy, kind="option")
    policy = other("assets", "USDC-debt", policy, interest_ppm_per_year=1)
    shut = "this book does not enforce that yet: the gate stays shut"
    only = "this book enforces ledger and onchain only"
    pinned = "a book in which no address of it is registered leaves the address to who pays"
    vault = ("fund", "release", "settle", "fee", "cover", "last_resort", "fill_pool", "withdraw", "block")
    wanted = [
        ("  sweep:", "sweep uses `when: ardour`, `when: zeal`", shut),
        *((f"  {name}: {{", f"{name} is also checked on vault", only) for name in vault),
        ("  fee:", "fee moves tithe, alms", "none is ever owed here yet"),
        ('  "outside/{client}":', "outside/{client} is pinned or cooling", pinned),
        ("  USDC-debt:", "USDC-debt bears interest", "no gate moves `interest`, so nobody ever owes it"),
        ("  BTC-PERP:", "BTC-PERP is an option", "give it a price `mark/…` and a gate for `premium`"),
    ]
    notes = [
        (note.level, note.rule, note.where, note.found, note.right)
        for note in compile_policy(policy, ("ledger", "onchain")).notes
    ]
    assert notes == [
        ("note", "not_enforced", f"harbour.yaml:{1 + TEXT[: TEXT.index(key)].count(chr(10))}", found, right)
        for key, found, right in wanted
    ]
    # What is moved, shut as a whole, or neither pinned nor cooling is not noted a second time.
    policy = other("gates", "residue", accrual=("interest",))
    policy = other(
        "assets", "USDC-debt", other("gates", "sweep", policy, accrual=("tithe",)), interest_ppm_per_year=1
    )
    policy = other("compartments", "outside", policy, pinned=True)
    policy = other("compartments", "clearing", policy, cooling_ns=5)
    notes = [note.found for note in compile_policy(policy, ("ledger", "vault")).notes]
    assert notes == [
        "sweep uses `accrual: tithe`",
        *(f"{name} is pinned or cooling" for name in ("outside", "outside/{client}", "clearing")),
    ]
    both = other("gates", "fee", on=("ledger", "vault", "onchain"))
    found = [note.found for note in compile_policy(both).notes if note.found.startswith("fee ")]
    assert found == ["fee is also checked on vault, onchain"]


def test_a_coin_without_a_price_is_never_taken_for_the_numeraire():
    rules = compile_policy(other("assets", "BTC", price=None))
    assert [rules.assets[name].price for name in ("BTC", "USDC", "USDC-debt")] == ["index/BTC", None, None]


def test_the_order_inside_a_quorum_has_no_meaning():
    quorum = Quorum(count=1, of=signers("officer_b", "officer_a"))
    rules = compile_policy(other("gates", "sweep", needs=(quorum, KeyNeed(key="officer_a"))))
    assert rules.gates["sweep"].needs == (
        KeyNeed(key="officer_a"),
        Quorum(count=1, of=signers("officer_a", "officer_b")),
    )


def test_a_pool_is_named_in_the_words_of_the_family_it_pays_for():
    steps = (CoverStep(compartment="pool/{who}"),)
    policy = other("waterfalls", "hedge", covers=("client/{who}/hedge",), steps=steps, record=None)
    rules = compile_policy(policy)
    fall = rules.place("client/alice/hedge").rule.waterfall
    assert (fall.name, fall.pools) == ("hedge", ("pool/{client}",))
    # Without a debt that records it, nobody lends.
    assert way("debt", "house/treasury", "client/alice/hedge", rules) is None
    assert {name for name, _, end in rules.ways if name == "debt"} == {"debt"}
    assert len([key for key in rules.ways if key[0] == "debt"]) == 1


@pytest.mark.parametrize(
    ("prices", "trades"), [((), {"ETH-PERP"}), (("mark/BTC-PERP",), {"ETH-PERP", "BTC-PERP"})]
)
def test_an_option_is_traded_where_it_has_a_mark_and_what_is_unknown_never(prices, trades):
    policy = other("instruments", "BTC-PERP", kind="option")
    index = policy.prices["index/BTC"]
    policy = policy.model_copy(update={"prices": {**policy.prices, **dict.fromkeys(prices, index)}})
    bets = "client/{client}/directional"
    trade = policy.compartments[bets].trade.model_copy(
        update={"instruments": ("BTC-PERP", "ETH-PERP", "DOGE")}
    )
    rules = compile_policy(other("compartments", bets, policy, trade=trade, takes_over=("DOGE", "ETH-PERP")))
    rule = rules.place("client/alice/directional").rule
    assert (rule.trades, rule.takes_over) == (trades, {"ETH-PERP"})


@pytest.mark.parametrize(("name", "band_ppm"), [("convert", 0), ("block", None)])
def test_without_a_band_what_is_owed_is_repaid_to_the_unit(name, band_ppm):
    assert compile_policy(other("exchanges", name, price=None)).exchanges[name].band_ppm == band_ppm


def test_a_leg_without_assets_moves_positions_to_where_they_may_be_taken_over():
    legs = policy_of().exchanges["block"].legs
    there = legs[0].model_copy(update={"source": "client/{a}/hedge", "target": "insurance/hedge"})
    rules = compile_policy(other("exchanges", "block", legs=(there, legs[1])))
    found = way("block", "client/alice/hedge", "insurance/hedge", rules)
    assert found.assets == {"USDC", "BTC-PERP", "ETH-PERP", "BTC-USD"}


def test_two_members_in_one_path_are_told_apart():
    policy = policy_of()
    cash = policy.compartments["client/{client}/cash"]
    own = {"pair/{client}/{peer}": cash, "own/{client}/{client}": cash}
    policy = policy.model_copy(update={"compartments": {**policy.compartments, **own}})
    to = {"targets": ("client/{x}/cash",), "sources": ("pair/{x}/{x}",)}
    policy = other("gates", "fund", policy, **to)
    policy = other("gates", "release", policy, sources=("pair/{x}/{y}",), targets=("client/{x}/cash",))
    policy = other("gates", "fee", policy, sources=("client/{x}/cash",), targets=("pair/{x}/{x}",))
    policy = other("gates", "rebate", policy, sources=("own/{x}/{y}",), targets=("client/{x}/cash",))
    rules = compile_policy(policy)
    alice = "client/alice/cash"

    def leads(gate: str, source: str, target: str) -> bool:
        return way(gate, source, target, rules) is not None

    assert leads("fund", "pair/alice/alice", alice)
    assert not leads("fund", "pair/alice/bob", alice)
    assert not leads("fund", "pair/bob/bob", alice)
    assert leads("fee", alice, "pair/alice/alice")
    assert not leads("fee", alice, "pair/alice/bob")
    assert leads("release", "pair/alice/bob", alice)
    assert not leads("release", "pair/alice/alice", alice)
    assert "rebate" not in {name for name, _, _ in rules.ways}
    assert rules.place("own/alice/alice") is not None
    assert rules.place("own/alice/bob") is None
    assert rules.place("pair/alice/bob").members == ("alice", "bob")


def test_a_named_compartment_fixes_the_variable_of_a_gate():
    policy = policy_of()
    vault = policy.compartments["client/{client}/cash"].model_copy(update={"member": "acme"})
    policy = policy.model_copy(update={"compartments": {**policy.compartments, "client/acme/vault": vault}})
    rules = compile_policy(other("gates", "fund", policy, targets=("client/{client}/vault",)))
    assert rules.place("client/acme/vault").rule.named == ("client", "acme")
    assert rules.place("client/acme/cash").rule.named is None
    found = way("fund", "client/acme/cash", "client/acme/vault", rules)
    assert (found.fixed, found.is_plain) == ((("client", "acme"),), False)
    assert way("fund", "client/bob/cash", "client/acme/vault", rules) is None


def test_the_one_place_for_what_is_left_of_rounding_has_no_members():
    rounding = policy_of().compartments["house/rounding"]
    rules = compile_policy(
        policy_of().model_copy(update={"compartments": {"a/{client}": rounding, **policy_of().compartments}})
    )
    assert rules.rounding == "house/rounding"


def test_all_services_that_compute_an_accrual_are_named_once():
    policy = other("gates", "fee", computed_by=("watcher", "risk"))
    policy = other("gates", "rebate", policy, accrual=("fees",), computed_by=("risk", "wallet"))
    found = compile_policy(policy).computed_by
    assert found["fees"] == ("watcher", "risk", "wallet")
    assert found["residue"] == ("risk", "ledger")


def test_only_a_key_of_no_family_that_a_service_uses_on_evidence_is_a_service_key():
    services = policy_of().services
    risk = services["risk"].model_copy(update={"holds": ("risk_key", "client_key", "officer_a")})
    policy = policy_of().model_copy(update={"services": {"risk": risk}})
    assert compile_policy(other("keys", "client_key", policy, signs="on_evidence")).service_keys == {
        "risk_key"
    }


def test_what_a_way_leads_to_is_named_for_each_member(rules):
    release = way("release", "client/alice/hedge", "client/alice/cash", rules)
    assert release.target_from(rules.place("client/bob/hedge")) == "client/bob/cash"
    assert release.source_to(rules.place("client/bob/cash")) == "client/bob/hedge"
