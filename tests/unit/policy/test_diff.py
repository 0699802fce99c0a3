# ruff: noqa: E501 (one row, one line: a table is read by its columns)
"""What changes between two policies, in sentences, and which way each change goes."""

import pytest
from drawn_policies import policies
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.policy_files import include_beside
from ringfence.policy import widening
from ringfence.policy.diff import diff
from ringfence.policy.digest import digest
from ringfence.policy.model import AtMost, Cap, HaircutTier, Policy, Tier, Window
from ringfence.policy.parse import read
from ringfence.policy.phrases import parse_need
from ringfence.wiring_files import shipped_policy

SMALL = shipped_policy("two-buckets").read_text()
DESK = shipped_policy("trading-desk").read_text()
ADOPTING = SMALL.replace(
    "gates:\n",
    'adoption: {needs: "2 of [officer_a, officer_b]", delay: 24 h, cancel: [officer_a, officer_b]}\ngates:\n',
    1,
)
OLD = {"small": SMALL, "desk": DESK, "adopting": ADOPTING}


def policy_of(text):
    parsed = read(text, "p.yaml", include_beside(shipped_policy("venue")))
    assert parsed.policy is not None, parsed.findings
    return parsed.policy


ROWS = [
    # limits and gates
    ("small", '{each: {USDC: "100000 per 1 d"}, all', '{each: {USDC: "250000 per 1 d"}, all', ["widens: gate withdraw 100000 → 250000 USDC per day (each member)"]),
    ("small", '{each: {USDC: "100000 per 1 d"}, all', '{each: {USDC: "50000.5 per 1 d"}, all', ["narrows: gate withdraw 100000 → 50000.5 USDC per day (each member)"]),
    ("small", '{each: {USDC: "100000 per 1 d"}, all', '{each: {USDC: "100000 per 1 h"}, all', ["widens: gate withdraw 100000 USDC per day → 100000 USDC per hour (each member)"]),
    ("small", '{each: {USDC: "100000 per 1 d"}, all', '{each: {USDC: "100000 rolling 1 d"}, all', ["narrows: gate withdraw 100000 USDC per day → 100000 USDC rolling 1 d (each member)"]),
    ("small", '{each: {USDC: "100000 per 1 d"}, all: {USDC: "2000000 per 1 d"}}', '{each: {USDC: "100000 per 1 d"}}', ["widens: gate withdraw 2000000 USDC per day → no limit of USDC (all together)"]),
    ("desk", "each_transfer: {USDC: 500000 USDC}", "each_transfer: {USDC: 5 USDC}", ["narrows: gate allocate 500000 → 5 USDC in one transfer"]),
    ("desk", "valued_in: USDC, all", "all", ["changes: gate return_capital valued_in USDC → nothing"]),
    ("small", "needs: [client_key, wallet_key, ", "needs: [client_key, ", ['widens: gate withdraw needs [client_key, wallet_key, "1 of [officer_a, officer_b]"] → [client_key, "1 of [officer_a, officer_b]"]']),
    ("small", '"1 of [officer_a, officer_b]"]', "officer_a]", ['narrows: gate withdraw needs [client_key, wallet_key, "1 of [officer_a, officer_b]"] → [client_key, wallet_key, officer_a]']),
    ("small", "needs: [client_key, wallet_key, ", "needs: [client_key, ledger_key, ", ['changes: gate withdraw needs [client_key, wallet_key, "1 of [officer_a, officer_b]"] → [client_key, ledger_key, "1 of [officer_a, officer_b]"]']),
    ("small", "from: [insurance, treasury]", "from: [treasury]", ["narrows: gate cover closes insurance → clearing"]),
    ("small", "    from: treasury\n    to: insurance", "    between: [treasury, insurance]", ["widens: gate fill_pool opens insurance → treasury"]),
    ("small", "  fill_pool:\n", "  fill_up:\n", None),
    ("small", "when: releasable\n", "when: [releasable, flat]\n", ["narrows: gate release when gains flat"]),
    ("small", "    when: releasable\n", "", ["widens: gate release when loses releasable"]),
    ("small", "    accrual: fees\n    computed_by: [risk, ledger]\n", "    accrual: [fees, interest]\n    computed_by: ledger\n", ["widens: gate fee accrual gains interest", "widens: gate fee computed_by loses risk"]),
    ("small", "    accrual: fees\n", "", ["widens: gate fee accrual loses fees"]),
    ("small", 'needs: "2 of [officer_a, officer_b]"\n', 'needs: "2 of [officer_a, officer_b]"\n    accrual: fees\n', ["narrows: gate fill_pool accrual gains fees"]),
    ("desk", "    delay: 4 h\n", "    delay: 1 h\n", ["widens: gate redeem delay 4 h → 1 h"]),
    ("desk", "    delay: 4 h\n", "", ["widens: gate redeem delay removed: 4 h"]),
    ("desk", "cancel: [chief, treasurer, controller]", "cancel: [chief, controller]", ["widens: gate redeem cancel loses treasurer"]),
    ("desk", "on: [ledger, vault]", "on: [ledger]", ["widens: gate redeem on loses vault"]),
    ("small", '    limit: {each: {USDC: "100000 ', '    reason: required\n    limit: {each: {USDC: "100000 ', ["narrows: gate withdraw reason added: required"]),
    ("small", '    limit: {each: {USDC: "100000 ', '    standing: client_key\n    limit: {each: {USDC: "100000 ', ["narrows: gate withdraw standing added: client_key"]),
    ("desk", "    crosses_entities: true\n", "", ["narrows: gate management_fee crosses_entities removed: true"]),
    ("small", 'price: "within 1 % of index"', 'price: "within 2 % of index"', ['widens: exchange repay_hedge price "within 1 % of index" → "within 2 % of index"']),
    ("desk", "price: at mark", "price: within 1 of mark", None),
    ("small", 'legs: ["client/{client}/bet -> treasury", "treasury -> client/{client}/bet"]', 'legs: ["treasury -> client/{client}/bet", "client/{client}/bet -> treasury"]', ["changes: exchange repay_bet legs"]),
    # compartments
    ("small", "accepts: [USDC, USDC-debt]\n    margin: cross", "accepts: [USDC]\n    margin: cross", ["narrows: compartment client/{client}/hedge accepts loses USDC-debt"]),
    ("small", "limits: {leverage: 3}", "limits: {leverage: 5, daily_loss: 10 USDC}", ["widens: compartment client/{client}/hedge limits leverage 3 → 5", "narrows: compartment client/{client}/hedge limits daily_loss added: 10 USDC"]),
    ("small", "daily_loss: 5000 USDC", "daily_loss: 6000 USDC", ["widens: compartment client/{client}/bet limits daily_loss 5000 USDC → 6000 USDC"]),
    ("small", "    limits: {leverage: 3}\n", "", ["changes: compartment client/{client}/hedge limits removed: {leverage: 3}"]),
    ("small", "pinned: true, cooling: 24 h", "cooling: 12 h", ["widens: compartment outside/{client} pinned removed: true", "widens: compartment outside/{client} cooling 1 d → 12 h"]),
    ("small", "instruments: [BTC-PERP]}\n  \"client/{client}/bet\"", "instruments: all}\n  \"client/{client}/bet\"", ["widens: compartment client/{client}/hedge trade {needs: client_key, instruments: BTC-PERP} → {needs: client_key, instruments: all}"]),
    ("small", ", takes_over: all", ", takes_over: [BTC-PERP]", ["narrows: compartment insurance takes_over all → BTC-PERP"]),
    ("small", "margin: cross", "margin: isolated", ["changes: compartment client/{client}/hedge margin cross → isolated"]),
    ("desk", "accepts: [USDC, BTC, ETH, USDC-debt], vault: own}", "accepts: [USDC, BTC, ETH, USDC-debt], vault: shared}", ["widens: compartment fund_one/treasury vault own → shared"]),
    ("small", "  rounding: {owner", "  attic: {owner: house, role: custody, accepts: USDC}\n  rounding: {owner", ["changes: compartment attic added: {owner: house, role: custody, accepts: USDC}"]),
    # who may change the policy
    ("small", "gates:\n", "adoption: {needs: officer_a}\ngates:\n", ["widens: adoption added"]),
    ("adopting", "delay: 24 h, ", "delay: 1 h, ", ["widens: adoption delay 1 d → 1 h"]),
    ("adopting", "cancel: [officer_a, officer_b]", "cancel: [officer_a]", ["widens: adoption cancel loses officer_b"]),
    ("adopting", 'needs: "2 of [officer_a, officer_b]", delay', 'needs: "1 of [officer_a, officer_b]", delay', ['widens: adoption needs "2 of [officer_a, officer_b]" → "1 of [officer_a, officer_b]"']),
    # levels, assets, prices, instruments
    ("small", 'liquidate: "100 %"', 'liquidate: "102 %"', ['narrows: thresholds liquidate "100 %" → "102 %"']),
    ("small", '{at: "110 %", cure: 4 h}', '{at: "108 %", cure: 6 h}', ['widens: thresholds call at "110 %" → "108 %"', "widens: thresholds call cure 4 h → 6 h"]),
    ("small", SMALL[SMALL.index("thresholds:") : SMALL.index("gates:")], "", ["widens: thresholds removed"]),
    ("small", 'haircut: "0 %"', 'haircut: "2 %"', ['narrows: asset USDC haircut "0 %" → "2 %"']),
    ("desk", "cap: 2000000 USDC", "cap: 3000000 USDC", ["widens: asset USDC-debt cap 2000000 USDC → 3000000 USDC"]),
    ("desk", ', interest: "8 % per year"', ', interest: "9 % per year"', ['changes: asset USDC-debt interest "8 % per year" → "9 % per year"']),
    ("small", '"2 of 3 within 1 %"', '"2 of 3 within 2 %"', ['widens: price index/BTC agree "2 of 3 within 1 %" → "2 of 3 within 2 %"']),
    ("small", '"2 of 3 within 1 %"', '"3 of 3 within 1 %"', ['narrows: price index/BTC agree "2 of 3 within 1 %" → "3 of 3 within 1 %"']),
    ("small", '"2 of 3 within 1 %"', '"3 of 3 within 2 %"', ['changes: price index/BTC agree "2 of 3 within 1 %" → "3 of 3 within 2 %"']),
    ("small", "stale: 30 s", "stale: 60 s", ["widens: price index/BTC stale 30 s → 1 min"]),
    ("small", 'price_band: "5 %"', 'price_band: "4 %"', ['narrows: instrument BTC-PERP price_band "5 %" → "4 %"']),
    ("small", 'tick: "0.1"', 'tick: "0.5"', ['changes: instrument BTC-PERP tick "0.1" → "0.5"']),
    ("small", "contract: 0.001 BTC", "contract: 0.01 BTC", ["changes: instrument BTC-PERP contract 0.001 BTC → 0.01 BTC"]),
    # keys, services, flows
    ("small", "risk_key: {held_by: risk, signs: on_evidence}", "risk_key: {held_by: risk, signs: by_hand}", ["narrows: key risk_key signs on_evidence → by_hand"]),
    ("small", "person: bob", "person: carol", ["changes: key officer_b person bob → carol"]),
    ("small", "holds: risk_key}", "holds: [risk_key, officer_a]}", ["widens: service risk holds gains officer_a"]),
    ("small", "  - {from: wallet, to: ledger, port: 7005", "  - {from: wallet, to: [ledger, risk], port: 7005", ["widens: flow wallet → risk port 7005/tcp added"]),
    ("small", "  - {from: internet, to: gateway, port: 443}\n", "", ["narrows: flow internet → gateway port 443/tcp removed"]),
    ("desk", 'lift: "2 of [chief, controller]"', 'lift: "1 of [chief, controller]"', ['widens: halt reduce_only lift "2 of [chief, controller]" → "1 of [chief, controller]"']),
    ("desk", 'needs: "1 of [risk_key, chief]"', "needs: chief", ['changes: halt reduce_only needs "1 of [risk_key, chief]" → chief']),
    ("small", "last: treasury", "last: insurance", ["changes: waterfall buckets last treasury → insurance"]),
    ("desk", "parties: [fund_two]}", "parties: []}", ["changes: entity northlight_fund_two parties removed: fund_two"]),
    ("small", "house: {kind: house}", "house: {kind: custodian}", ["changes: party house kind house → custodian"]),
    ("small", "zones: [public, trading,", "zones: [trading, public,", []),
    ("small", "zones: [public,", "zones: [attic, public,", ["changes: zones [public, trading, books, vaults] → [attic, public, trading, books, vaults]"]),
    ("small", "name: two-buckets", "name: three", ["changes: name two-buckets → three"]),
    # claims
    ("small", "except: [settle, fee, repay_hedge, repay_bet]\n    without: client_key", "except: [settle, fee, repay_hedge]\n    without: [client_key, officer_a]", ["narrows: claim a_bet_never_costs_the_hedge except loses repay_bet", "widens: claim a_bet_never_costs_the_hedge without gains officer_a"]),
    ("small", "at_most: 0 per 1 d", "at_most: {USDC: 5 per 1 d}", ["widens: claim a_stolen_key_stays_at_home at_most 0 per 1 d → {USDC: 5 per 1 d}"]),
    ("small", "mode: pivot", "mode: contained", ["widens: claim a_stolen_key_stays_at_home mode pivot → contained"]),
    ("desk", "{all: {USDC: \"400000 per 1 d\"}}", "{all: {USDC: \"300000 per 1 d\"}}", ["narrows: claim forged_orders_cost_no_more_than_this 400000 → 300000 USDC per day (all together)"]),
    ("desk", "count: keys\n    plane: ledger\n    at_least: 2", "count: keys\n    plane: ledger\n    at_least: 1", ["widens: claim it_takes_two_people_to_redeem at_least 2 → 1"]),
    ("small", SMALL[SMALL.index("  a_stolen_key") :], "", ["widens: claim a_stolen_key_stays_at_home removed"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "sentences"), ROWS)
def test_each_change_is_a_sentence(name, before, after, sentences):
    text = OLD[name]
    assert before in text, before
    if after == "price: within 1 of mark":
        after = 'price: "within 1 % of mark"'
        sentences = ['widens: exchange move_position price at mark → "within 1 % of mark"']
    found = [str(change) for change in diff(policy_of(text), policy_of(text.replace(before, after, 1)))]
    if sentences is None:
        assert [one.split(":")[0] for one in found] == ["narrows", "widens"]
    elif sentences and sentences[0].endswith("legs"):
        assert found[0].startswith(sentences[0])
    else:
        assert found == sentences


def test_a_change_points_at_the_line_where_it_stands():
    changed = SMALL.replace("limits: {leverage: 3}", "limits: {leverage: 5}")
    (change,) = diff(policy_of(SMALL), policy_of(changed))
    assert change.where == f"p.yaml:{changed[: changed.index('leverage: 5}')].count(chr(10)) + 1}"
    (gone,) = diff(policy_of(SMALL), policy_of(SMALL[: SMALL.index("  a_stolen_key")]))
    assert gone.where == f"p.yaml:{SMALL[: SMALL.index('  a_stolen_key')].count(chr(10)) + 1}"


SECTIONS = sorted(set(Policy.model_fields) - {"ringfence", "numeraire"})


@st.composite
def neighbours(draw):
    """Draw two policies that differ in one section at most."""
    old, other, section = draw(policies()), draw(policies()), draw(st.sampled_from(SECTIONS))
    return old, old.model_copy(update={section: getattr(other, section)})


@settings(max_examples=60)
@given(neighbours())
def test_there_is_a_change_exactly_where_the_digests_differ(pair):
    old, new = pair
    assert diff(old, old) == ()
    assert (diff(old, new) == ()) == (digest(old) == digest(new))


@settings(max_examples=60)
@given(neighbours())
def test_back_again_turns_every_direction_round(pair):
    """What widens on the way there narrows on the way back."""
    old, new = pair
    there = sorted(change.direction for change in diff(old, new))
    back = sorted(widening.opposite(change.direction) for change in diff(new, old))
    assert there == back


# --- the digest --------------------------------------------------------------------------------

SAME_MEANING = [
    ("cooling: 24 h", "cooling: 1 d"),
    ('"100000 per 1 d"', '"100000.00 USDC per 24 h"'),
    ("assets: USDC\n", "assets: [USDC]\n"),
    ("from: [insurance, treasury]", "from: [treasury, insurance]"),
    ("between: [clearing, rounding]", "between: [rounding, clearing]"),
    ("needs: [client_key, wallet_key,", "needs: [wallet_key, client_key,"),
    ('"2 of [officer_a, officer_b]"', '"2 of [officer_b, officer_a]"'),
    ("index/BTC: {sources", '"index/{coin}": {sources'),
    ("    quote: USDC\n", "    quote: USDC\n    index: index/BTC\n"),
    ("name: two-buckets\n", "name: two-buckets\nnumeraire: USDC\n"),
    ("  - {from: [wallet, watcher], to: chain, port: 8545}", "  - {from: wallet, to: chain, port: 8545}\n  - {from: watcher, to: chain, port: 8545, protocol: tcp}"),
    ("signs: by_hand}", "signs: by_hand, form: signature}"),
    ("parties:\n  client: {kind: client, family: true}\n  house: {kind: house}", "parties:\n  house: {kind: house}\n  client: {family: true, kind: client}"),
]  # fmt: skip
OTHER_MEANING = [
    ("steps: [own, {cover: insurance}]", "steps: [{cover: insurance}, own]"),
    ('"100000 per 1 d"', '"100000.000001 per 1 d"'),
    ("cooling: 24 h", "cooling: 86401 s"),
    ('haircut: "0 %"', "price: x"),
    ("purpose: signed requests are pulled", "purpose: requests are pulled"),
]


@pytest.mark.parametrize(("before", "after"), SAME_MEANING)
def test_the_digest_does_not_know_how_it_was_spelt(before, after):
    assert before in SMALL
    assert digest(policy_of(SMALL.replace(before, after, 1))) == digest(policy_of(SMALL))


@pytest.mark.parametrize(("before", "after"), OTHER_MEANING)
def test_the_digest_knows_every_change_of_meaning(before, after):
    assert before in SMALL
    text = SMALL.replace(before, after, 1).replace("name: two-buckets", "name: two-buckets\nnumeraire: USDC")
    assert digest(policy_of(text)) != digest(policy_of(SMALL))


def test_the_digest_is_the_same_on_every_machine():
    """Journals name policies by it: if this changes on purpose, say so in the changelog."""
    text = "ringfence: 1\nname: x\nassets: {USDC: {decimals: 6}}\ncompartments: {vault: {owner: o, role: custody, accepts: USDC}}\n"
    assert len(digest(policy_of(text))) == 32
    assert digest(policy_of(text)).hex() == "e442d0cac8ff6fbe550d56884655937176e9076ac5e24b0a78b36328e0d6ba0e"


# --- judges ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        (("a", "b"), ("a",), "widens"),
        (("a",), ("a", "b"), "narrows"),
        (("2 of [a, b, c]",), ("1 of [a, b, c]",), "widens"),
        (("2 of [a, b, c]",), ("2 of [a, b, c, d]",), "widens"),
        (("2 of [a, b, c]",), ("a", "1 of [b, c]"), "narrows"),
        (("a", "b"), ("2 of [b, a]",), "changes"),  # the same in other words
        (("a",), ("b",), "changes"),
        (("k",), ("k/acme",), "changes"),
        (tuple("abcdefghijklm"), tuple("abcdefghijkl"), "changes"),  # more keys than are tried
    ],
)
def test_needs_are_compared_by_who_could_sign(old, new, direction):
    needs = [tuple(parse_need(text) for text in texts) for texts in (old, new)]
    assert widening.needs_direction(*needs) == direction
    assert widening.needs_direction(*reversed(needs)) == widening.opposite(direction)


@pytest.mark.parametrize(
    ("old", "new", "direction"),
    [
        ((10, "fixed", 24), (11, "fixed", 24), "widens"),
        ((10, "fixed", 24), (10, "fixed", 12), "widens"),
        ((10, "fixed", 24), (10, "fixed", 7), "changes"),  # seven hours do not divide a day
        ((10, "fixed", 24), (5, "fixed", 12), "changes"),
        ((10, "rolling", 24), (10, "fixed", 24), "widens"),
        ((10, "refill", 24), (10, "fixed", 24), "changes"),
        ((10, "rolling", 24), (9, "fixed", 24), "changes"),
    ],
)
def test_caps_are_compared_by_what_they_let_through(old, new, direction):
    hour_ns = 3_600_000_000_000
    caps = [
        Cap(units=units, window=Window(kind=kind, length_ns=hours * hour_ns))
        for units, kind, hours in (old, new)
    ]
    assert widening.cap_direction(*caps) == direction
    assert widening.cap_direction(*reversed(caps)) == widening.opposite(direction)


def test_levels_are_compared_at_every_size():
    low, high = HaircutTier(floor_units=0, ppm=10), HaircutTier(floor_units=0, ppm=20)
    later = HaircutTier(floor_units=5, ppm=30)
    assert widening.haircut_direction((high,), (low,)) == "widens"
    assert widening.haircut_direction((low,), (low, later)) == "narrows"
    assert widening.haircut_direction((high,), (low, later)) == "changes"
    assert widening.haircut_direction((low,), ()) == "narrows"  # without one it counts for nothing
    tier = Tier(floor_units=0, maintenance_ppm=10, leverage_max=50)
    assert widening.tiers_direction((tier,), (tier.model_copy(update={"leverage_max": 60}),)) == "widens"
    both = tier.model_copy(update={"leverage_max": 60, "maintenance_ppm": 20})
    assert widening.tiers_direction((tier,), (both,)) == "changes"


def test_bounds_of_claims_are_compared():
    day = Window(kind="fixed", length_ns=86_400_000_000_000)
    zero = AtMost(zero_window=day)
    some = AtMost(caps={"USDC": Cap(units=5, window=day)})
    more = AtMost(caps={"USDC": Cap(units=6, window=day)})
    assert widening.at_most_direction(zero, some) == "widens"
    assert widening.at_most_direction(some, more) == "widens"
    assert widening.at_most_direction(more, zero) == "narrows"


@given(st.lists(st.sampled_from("abcd"), max_size=4), st.lists(st.sampled_from("abcd"), max_size=4))
def test_choices_turn_round(old, new):
    judge = widening.subset_direction
    assert judge(tuple(old), tuple(new)) == widening.opposite(judge(tuple(new), tuple(old)))
