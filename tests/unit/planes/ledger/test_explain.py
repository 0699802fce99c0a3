"""Every refusal can be explained: the rule, its line, and the nearest way that is permitted."""

import pytest
from harbour import OFFICERS, TEXT, USDC, Harbour, allow, e10, public_of, signed

from ringfence.kernel.decision import Reason, Refused
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.explain import Explanation, explain, find_path, largest_units
from ringfence.planes.ledger.operations import Fill, Mandate, Move, RegisterKey, Statement

CASH, HEDGE, BETS = (f"client/alice/{name}" for name in ("cash", "hedge", "directional"))


@pytest.fixture
def harbour():
    harbour = Harbour()
    harbour.deposit("alice", 100 * USDC)
    harbour.fund("alice", "hedge", 50 * USDC)
    return harbour


def ask(harbour, move, *keys, conditions=NO_CONDITIONS, **words):
    request = harbour.request(move, *keys, **words)
    refused = harbour.do(request, conditions).decision
    return explain(harbour.state, request, refused, conditions)


def test_a_wall_is_explained_by_the_gates_that_lead_around_it(harbour):
    found = ask(harbour, Move("fund", HEDGE, BETS, "USDC", USDC), "client_key/alice")
    assert found.reason == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    assert [(step.gate, step.source, step.target) for step in found.path] == [
        ("release", HEDGE, CASH),
        ("fund", CASH, BETS),
    ]
    assert found.advice == f"go release to {CASH}, then fund to {BETS}"
    assert str(found.path[0]) == (
        f"release: {HEDGE} -> {CASH} (signed by client_key/alice; when releasable; limited each)"
    )
    assert found.path[0].line == harbour.state.rules.gates["release"].line


def test_a_wrong_gate_is_explained_by_the_right_one(harbour):
    found = ask(harbour, Move("release", CASH, HEDGE, "USDC", USDC), "client_key/alice")
    assert found.advice == "use the gate fund"


@pytest.mark.parametrize(
    ("source", "target", "asset"),
    [
        (HEDGE, "client/bob/cash", "BTC"),
        (CASH, "client/bob/hedge", "BTC"),
        ("insurance/hedge", CASH, "BTC"),
        (CASH, BETS, "BTC"),
    ],
)
def test_where_nothing_leads_the_wall_is_named(harbour, source, target, asset):
    found = ask(harbour, Move("fund", source, target, asset, 1), "client_key/alice")
    if found.reason == Reason.ASSET_NOT_ACCEPTED:
        assert found.advice == "fund moves USDC there"
        assert (found.largest_units, found.path) == (None, ())
    else:
        assert found.path == ()
        assert found.advice.endswith("it is a wall")


def test_the_house_is_a_way_between_clients_that_four_eyes_can_open(harbour):
    found = ask(harbour, Move("fund", CASH, "client/bob/cash", "USDC", USDC), "client_key/alice")
    assert [step.gate for step in found.path] == ["adjust", "adjust"]
    assert found.path[0].needs == ("2 of [officer_a, officer_b]",)
    assert found.path[0].terms == ("with a reason in words", "limited each", "limited all")


def test_a_path_may_lead_past_every_member(harbour):
    ends = map(harbour.state.rules.place, ("house/fees", "insurance/hedge"))
    assert [step.gate for step in find_path(harbour.state.rules, *ends, "USDC")] == ["sweep", "fill_pool"]


def test_an_asset_that_does_not_pass_is_told_which_do(harbour):
    found = ask(harbour, Move("fund", CASH, HEDGE, "USDC-debt", 1), "client_key/alice")
    assert found.advice == "fund moves BTC, ETH, USDC there"


def test_an_amount_is_explained_by_the_largest_that_would_pass(harbour):
    found = ask(harbour, Move("fund", CASH, HEDGE, "USDC", 200 * USDC), "client_key/alice")
    assert (found.reason, found.largest_units) == (Reason.FREE_BALANCE_TOO_LOW, 100 * USDC)
    assert found.advice == "at most 100 USDC passes there now"
    harbour.move(Move("fund", CASH, HEDGE, "USDC", found.largest_units), "client_key/alice")


def test_an_accrual_is_explained_by_what_is_owed(harbour):
    found = ask(harbour, Move("fee", HEDGE, "house/fees", "USDC", 1), "risk_key", "ledger_key")
    assert (found.largest_units, found.advice) == (0, "no amount of USDC passes there now")


@pytest.mark.parametrize(
    ("releasable", "largest"), [(None, 0), (30 * USDC, 30 * USDC), (70 * USDC, 50 * USDC)]
)
def test_a_release_is_explained_by_what_margin_lets_go(harbour, releasable, largest):
    conditions = Conditions(releasable={HEDGE: {"USDC": releasable}}) if releasable else NO_CONDITIONS
    found = ask(
        harbour, Move("release", HEDGE, CASH, "USDC", 80 * USDC), "client_key/alice", conditions=conditions
    )
    assert found.largest_units == largest


def test_a_reversal_is_explained_by_what_is_left_of_the_original(harbour):
    harbour.endow("house/treasury", 100 * USDC)
    mistake = harbour.request(Move("adjust", "house/treasury", CASH, "USDC", 9), *OFFICERS, reason="oops")
    harbour.must(mistake)
    back = Move("adjust", CASH, "house/treasury", "USDC", 10)
    found = ask(harbour, back, *OFFICERS, reason="undo", reverses=mistake.id)
    assert (found.reason, found.largest_units) == (Reason.REVERSAL_EXCEEDS_ORIGINAL, 9)
    unknown = harbour.request(back, *OFFICERS, reason="undo", reverses=mistake.id + 999)
    assert largest_units(harbour.state, unknown, back, NO_CONDITIONS) == 0


def test_missing_keys_are_named_with_their_members(harbour):
    found = ask(harbour, Move("fund", CASH, HEDGE, "USDC", 1), "officer_a")
    later = ", or announce the request and let them approve it later"
    assert found.advice == "let client_key/alice sign" + later
    found = ask(harbour, Move("withdraw", CASH, "outside/alice", "USDC", 1))
    all_three = "let client_key/alice sign; let wallet_key sign; let 1 of [officer_a, officer_b] sign"
    assert found.advice == all_three + later
    found = ask(harbour, Move("top_up", CASH, HEDGE, "USDC", 1), "officer_a")
    assert found.path[0].terms == ("under a mandate of client_key", "limited each")


def test_a_key_that_the_gate_names_by_its_variable_is_named_with_its_member():
    lend = """  lend: {from: house/treasury, to: "client/{client}/cash", assets: USDC, on: ledger,
    needs: ["client_key/{client}", officer_a], limit: {all: {USDC: "10 per 1 d"}}}
  sweep:"""
    harbour = Harbour(TEXT.replace("  sweep:", lend, 1))
    found = ask(harbour, Move("lend", "house/treasury", CASH, "USDC", 1))
    assert found.path[0].needs == ("client_key/alice", "officer_a")


def test_whatever_else_is_wrong_has_its_meaning(harbour):
    found = ask(harbour, Move("fund", CASH, HEDGE, "DOGE", 1), "client_key/alice")
    assert found.advice == Reason.ASSET_UNKNOWN.meaning
    assert found.words == "the policy declares no asset DOGE"
    empty = harbour.request([], "client_key/alice")
    assert explain(harbour.state, empty, harbour.do(empty).decision).reason == Reason.CHAIN_IS_EMPTY


def test_a_mandate_that_is_missing_or_used_up_is_explained(harbour):
    top_up = Move("top_up", CASH, HEDGE, "USDC", 2)
    facts = Conditions(lacking={HEDGE: {"USDC": 9}})
    request = harbour.request(top_up, "risk_key", "ledger_key")
    refused = harbour.do(request, facts).decision
    assert "sign a mandate" in explain(harbour.state, request, refused, facts).advice
    given = Mandate(77, "top_up", CASH, HEDGE, "USDC", 1, harbour.at, harbour.state.rules.digest)
    harbour.must(signed(given, "client_key/alice"))
    request = harbour.request(top_up, "risk_key", "ledger_key")
    found = explain(harbour.state, request, harbour.do(request, facts).decision, facts)
    assert (found.reason, found.largest_units) == (Reason.MANDATE_EXCEEDED, 1)
    path = find_path(harbour.state.rules, *map(harbour.state.rules.place, (CASH, "outside/alice")), "USDC")
    assert "after 1 h" in path[0].terms


def test_a_gate_that_waits_for_a_word_is_explained_by_who_may_say_it():
    text = TEXT.replace(
        "  house:  {kind: house}\n", "  house:  {kind: house}\n  auditor: {kind: attestor}\n", 1
    )
    text = text.replace("keys:\n", "keys:\n  auditor_key: {held_by: auditor, signs: by_hand}\n", 1)
    harbour = Harbour(text.replace("  sweep: {", "  sweep: {when: attested 30 d, ", 1))
    harbour.must(RegisterKey("auditor_key", public_of("auditor_key")))
    harbour.endow("house/fees", 10 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 11 * USDC)
    found = ask(harbour, sweep, *OFFICERS)
    assert (found.reason, found.largest_units) == (Reason.CONDITION_NOT_MET, None)
    assert found.advice == f"let one who may say so sign a statement: {found.words}"
    said = Statement("attested", harbour.at, holds=True, reference="report 7")
    harbour.must(signed(said, "auditor_key"))
    assert ask(harbour, sweep, *OFFICERS).advice == "at most 10 USDC passes there now"


def test_contracts_are_explained_in_whole_ones():
    shift = """exchanges:
  shift: {legs: ["client/{client}/hedge -> client/{client}/directional"], assets: [BTC-PERP],
    needs: ["client_key/{client}"], price: at mark, on: ledger, limit: {each: {BTC-PERP: "50 per 1 d"}}}"""
    desk = Harbour(TEXT.replace("exchanges:", shift, 1))
    for member in ("alice", "carol"):
        desk.fund(member, "hedge", 100 * USDC)
    desk.price("BTC", 100_000)
    desk.trade(HEDGE, "client/carol/hedge", 10, 100_000)
    move, words = Move("shift", HEDGE, BETS, "BTC-PERP", 11), {"exchange": "shift"}
    found = ask(desk, move, "client_key/alice", conditions=allow(HEDGE, BETS), **words)
    assert (found.largest_units, found.advice) == (10, "at most 10 BTC-PERP passes there now")
    # What margin has not judged, a smaller amount does not mend.
    found = ask(desk, move, "client_key/alice", **words)
    assert (found.largest_units, found.advice) == (None, Reason.CONDITION_NOT_MET.meaning)


def test_what_is_no_move_has_the_meaning_of_its_reason(harbour):
    orders = (harbour.order(HEDGE, side, 1, 100_000) for side in ("buy", "sell"))
    request = harbour.request(Fill("BTC-PERP", 1, e10(100_000), *orders))
    for reason in (Reason.CONDITION_NOT_MET, Reason.NEEDS_NOT_MET, Reason.ASSET_NOT_ACCEPTED):
        refused = Refused(reason, "as it was", "harbour.yaml:7")
        found = explain(harbour.state, request, refused)
        assert found == Explanation(reason, reason.meaning, "as it was", "harbour.yaml:7", reason.meaning)


@pytest.mark.parametrize(("source", "target"), [("client/zoe", CASH), (CASH, "client/zoe")])
@pytest.mark.parametrize(
    ("reason", "advice"),
    [
        (
            Reason.NO_GATE_BETWEEN_COMPARTMENTS,
            "no chain of open gates takes USDC from {} to {}: it is a wall",
        ),
        (Reason.ASSET_NOT_ACCEPTED, "fund moves nothing there"),
        (
            Reason.NEEDS_NOT_MET,
            f"{Reason.NEEDS_NOT_MET.meaning}, or announce the request and let them approve it later",
        ),
    ],
)
def test_a_refusal_under_another_policy_is_explained_by_this_one(harbour, source, target, reason, advice):
    request = harbour.request(Move("fund", source, target, "USDC", 1))
    found = explain(harbour.state, request, Refused(reason, "as it was"))
    assert (found.advice, found.path) == (advice.format(source, target), ())
    walled = Move("fund", HEDGE, CASH, "USDC", 1)
    assert (
        explain(harbour.state, harbour.request(walled), Refused(Reason.NEEDS_NOT_MET, "as it was")).path == ()
    )
