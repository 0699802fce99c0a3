"""Compiling a policy: which ways lead where, and what is said about the rest."""

import pytest
from harbour import TEXT, policy_of, rules_of

from ringfence.planes.ledger.compile import compile_policy

RULES = rules_of()


def way(gate, source, target, rules=RULES):
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
def test_a_way_leads_between_the_members_it_is_for(gate, source, target, assets):
    found = way(gate, source, target)
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
def test_a_path_names_one_compartment_of_a_family(path, pattern, members):
    place = RULES.place(path)
    assert (place.rule.pattern, place.members) == (pattern, members) if place else pattern is None


def test_words_that_are_not_enforced_shut_their_gate_and_are_noted():
    assert [name for name, gate in RULES.gates.items() if gate.unenforced] == []
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


def test_payments_know_their_way():
    def index(path):
        return RULES.place(path).rule.index

    hedge = index("client/alice/hedge")
    assert RULES.pays["variation", hedge, "USDC"].gate.name == "settle"
    assert RULES.is_paid["variation", hedge, "BTC"].gate.name == "settle"
    assert RULES.pays["fees", hedge, "USDC"].target_from(RULES.place("client/bob/hedge")) == "house/fees"
    assert RULES.is_paid["maker_rebate", hedge, "USDC"].source == "house/fees"
    directional = index("client/alice/directional")
    assert RULES.pays["liquidation_surplus", directional, "USDC"].target == "insurance/directional"
    assert RULES.pays["shortfall", index("house/treasury"), "USDC"].gate.name == "last_resort"
    assert ("shortfall", hedge, "USDC") not in RULES.pays


def test_trade_is_for_the_instruments_that_are_listed():
    assert RULES.place("client/a/hedge").rule.trades == {"BTC-PERP", "ETH-PERP", "BTC-USD"}
    assert RULES.place("client/a/directional").rule.trades == {"BTC-PERP", "ETH-PERP"}
    assert RULES.place("client/a/cash").rule.trades == frozenset()
    assert RULES.place("insurance/hedge").rule.takes_over == {"BTC-PERP", "ETH-PERP", "BTC-USD"}


def test_only_what_a_reversing_gate_joins_is_kept_for_reversal():
    cash, treasury = (RULES.place(path).rule.index for path in ("client/a/cash", "house/treasury"))
    assert RULES.reversible == {(cash, treasury), (treasury, cash)}


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


def test_the_order_in_which_a_policy_is_written_has_no_meaning():
    policy = policy_of()
    names = ("gates", "exchanges", "waterfalls", "compartments", "services", "prices", "keys")
    turned = policy.model_copy(
        update={name: dict(reversed(list(getattr(policy, name).items()))) for name in names}
    )
    gates = {
        name: gate.model_copy(update={"accrual": gate.accrual[::-1]}) for name, gate in turned.gates.items()
    }
    rules = compile_policy(turned.model_copy(update={"gates": gates}))
    assert (rules.digest, rules.gates, rules.exchanges) == (RULES.digest, RULES.gates, RULES.exchanges)
    assert (rules.compartments, rules.ways) == (RULES.compartments, RULES.ways)
    assert (rules.pays, rules.is_paid, rules.waterfalls) == (RULES.pays, RULES.is_paid, RULES.waterfalls)


def test_the_same_policy_compiles_to_the_same_digest():
    assert compile_policy(policy_of()).digest == RULES.digest
    assert rules_of(TEXT.replace("name: harbour", "name: haven")).digest != RULES.digest
