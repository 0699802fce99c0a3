"""Every refusal can be explained: the rule, its line, and the nearest way that is permitted."""

import pytest
from harbour import OFFICERS, USDC, Harbour, signed

from ringfence.kernel.decision import Reason
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.explain import explain, find_path
from ringfence.planes.ledger.operations import Mandate, Move

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
    else:
        assert found.path == ()
        assert found.advice.endswith("it is a wall")


def test_the_house_is_a_way_between_clients_that_four_eyes_can_open(harbour):
    found = ask(harbour, Move("fund", CASH, "client/bob/cash", "USDC", USDC), "client_key/alice")
    assert [step.gate for step in found.path] == ["adjust", "adjust"]
    assert found.path[0].needs == ("2 of [officer_a, officer_b]",)


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


def test_missing_keys_are_named_with_their_members(harbour):
    found = ask(harbour, Move("fund", CASH, HEDGE, "USDC", 1), "officer_a")
    later = ", or announce the request and let them approve it later"
    assert found.advice == "let client_key/alice sign" + later


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
