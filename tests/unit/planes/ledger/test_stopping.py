"""Stopping by kind and scope: what each stops, what it lets pass, who may, and the drill for a broken law."""

import msgspec
import pytest
from harbour import EVIDENCE, OFFICERS, TEXT, USDC, Harbour, allow, e10, signed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.errors import ViolationError
from ringfence.planes.ledger.conditions import ClosingFact, Conditions
from ringfence.planes.ledger.laws import Violation, halts_for, smallest_scope, violations
from ringfence.planes.ledger.operations import Closing, Entry, Fill, Freeze, Move, Resume
from ringfence.planes.ledger.stopping import (
    LADDER,
    halt_key,
    holds_place,
    is_book_stopped,
    is_scope,
    next_step,
    reason_of,
    refusal,
    shard_of,
    shuts_gate,
    split_key,
)

CASH, HEDGE, ALICE = "client/alice/cash", "client/alice/hedge", "client_key/alice"
BET, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))
FUND = Move("fund", CASH, HEDGE, "USDC", USDC)
OPEN_DOOR = TEXT.replace(
    "  sweep:",
    """  pay_out: {from: "client/{client}/cash", to: "outside/{client}", assets: USDC, needs: client_key,
    on: ledger, limit: {each: {USDC: "100 per 1 d"}}}
  sweep:""",
    1,
)
PAY_OUT = Move("pay_out", CASH, "outside/alice", "USDC", USDC)


@pytest.fixture
def harbour():
    harbour = Harbour(OPEN_DOOR)
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, "directional", 100 * USDC)
        harbour.deposit(member, 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(BET, CAROL, 10, 100_000)
    return harbour


def stop(harbour, scope, kind="freeze"):
    harbour.must(Freeze(scope, "drill", kind=kind))


def lift(harbour, scope, kind="freeze"):
    harbour.must(Resume(scope, "drill over", kind=kind))


def fill(harbour, buyer, seller, contracts, *, reduce_only=False):
    buy = harbour.order(buyer, "buy", contracts, 100_000, reduce_only=reduce_only)
    sell = harbour.order(seller, "sell", contracts, 100_000, reduce_only=reduce_only)
    fill = Fill("BTC-PERP", contracts, e10(100_000), buy, sell)
    return harbour.request(fill), allow(buyer, seller)


# --- scopes ------------------------------------------------------------------------------------

STOPPED = [
    ("gate/fund", Reason.GATE_FROZEN),
    (f"compartment/{CASH}", Reason.COMPARTMENT_FROZEN),
    (f"compartment/{HEDGE}", Reason.COMPARTMENT_FROZEN),
    ("asset/USDC", Reason.ASSET_FROZEN),
    ("member/client/alice", Reason.COMPARTMENT_FROZEN),
    ("pool/hedge", Reason.COMPARTMENT_FROZEN),
    (f"shard/{shard_of('client', 'alice', 7)}-of-7", Reason.COMPARTMENT_FROZEN),
    ("book", Reason.BOOK_IS_STOPPED),
]


@pytest.mark.parametrize("kind", ["freeze", "stop"])
@pytest.mark.parametrize(("scope", "reason"), STOPPED)
def test_a_stop_stops_its_scope_until_it_is_lifted(harbour, kind, scope, reason):
    stop(harbour, scope, kind)
    assert harbour.reason(FUND, ALICE) == reason
    other = "stop" if kind == "freeze" else "freeze"
    lift(harbour, scope, other)  # Each kind is lifted by itself.
    assert harbour.reason(FUND, ALICE) == reason
    lift(harbour, scope, kind)
    harbour.move(FUND, ALICE)


@pytest.mark.parametrize(
    "scope",
    [
        "gate/release",
        "compartment/client/bob/cash",
        "asset/BTC",
        "member/client/bob",
        "pool/directional",
        f"shard/{(shard_of('client', 'alice', 7) + 1) % 7}-of-7",
    ],
)
def test_a_stop_stops_nothing_else(harbour, scope):
    stop(harbour, scope)
    harbour.move(FUND, ALICE)


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "books",
        "book/",
        "gate/nothing",
        "gate/",
        "compartment/client/alice",
        "asset/DOGE",
        "member/client",
        "member/nobody/alice",
        "member/client/",
        "member/client/alice/cash",
        "pool/insurance",
        "shard/1",
        "shard/7-of-7",
        "shard/0-of-0",
        "shard/01-of-7",
        "shard/-1-of-7",
    ],
)
def test_a_scope_that_names_nothing_is_refused(harbour, scope):
    assert is_scope(harbour.state.rules, scope) is False
    assert harbour.refuses(Freeze(scope, "drill")) == Reason.SCOPE_UNKNOWN


def test_shards_divide_the_members(harbour):
    members = [f"m{number}" for number in range(300)]
    parts = [shard_of("client", member, 16) for member in members]
    assert set(parts) == set(range(16))
    assert parts == [shard_of("client", member, 16) for member in members]


def test_a_pool_is_its_buckets_and_what_pays_for_them(harbour):
    harbour.endow("house/treasury", 10 * USDC)
    stop(harbour, "pool/directional")
    for target, is_stopped in (("insurance/directional", True), ("insurance/hedge", False)):
        move = Move("fill_pool", "house/treasury", target, "USDC", USDC)
        if is_stopped:
            assert harbour.reason(move, *OFFICERS) == Reason.COMPARTMENT_FROZEN
        else:
            harbour.move(move, *OFFICERS)
    bet = Move("fund", CASH, BET, "USDC", USDC)
    assert harbour.reason(bet, ALICE) == Reason.COMPARTMENT_FROZEN


# --- withdrawals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope", ["book", "member/client/alice", "asset/USDC", "gate/pay_out", f"compartment/{CASH}"]
)
def test_halted_withdrawals_let_everything_pass_but_what_leaves(harbour, scope):
    stop(harbour, scope, "withdrawals")
    assert harbour.reason(PAY_OUT, ALICE) == Reason.WITHDRAWALS_HALTED
    harbour.move(FUND, ALICE)
    harbour.deposit("alice", USDC)
    harbour.must(*fill(harbour, BET, CAROL, 1))
    lift(harbour, scope, "withdrawals")
    harbour.move(PAY_OUT, ALICE)


def test_halted_withdrawals_of_one_member_are_no_others(harbour):
    stop(harbour, "member/client/bob", "withdrawals")
    harbour.move(PAY_OUT, ALICE)


# --- trading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "scope",
    ["book", "asset/BTC-PERP", "gate/trade", f"compartment/{BET}", "member/client/alice", "pool/directional"],
)
def test_reduce_only_lets_orders_reduce_and_nothing_else(harbour, scope):
    stop(harbour, scope, "reduce_only")
    assert harbour.refuses(*fill(harbour, BET, CAROL, 1)) == Reason.REDUCE_ONLY
    assert harbour.refuses(*fill(harbour, CAROL, BET, 11)) == Reason.REDUCE_ONLY
    harbour.must(*fill(harbour, CAROL, BET, 10))
    harbour.move(FUND, ALICE)


def test_cancel_only_lets_only_orders_signed_to_reduce_pass(harbour):
    stop(harbour, "book", "cancel_only")
    # The first reason in order: it would not reduce, and it was not signed to.
    assert harbour.refuses(*fill(harbour, BET, CAROL, 1)) == Reason.REDUCE_ONLY
    reducing = fill(harbour, CAROL, BET, 10, reduce_only=True)
    harbour.must(*reducing)
    harbour.move(FUND, ALICE)


def test_cancel_only_stops_a_reducing_order_that_was_not_signed_as_one(harbour):
    stop(harbour, "book", "cancel_only")
    assert harbour.refuses(*fill(harbour, CAROL, BET, 10)) == Reason.CANCEL_ONLY


def test_a_halt_of_trading_of_one_bucket_is_no_others(harbour):
    stop(harbour, f"compartment/{BET}", "cancel_only")
    harbour.must(*fill(harbour, BOB, CAROL, 1))


@pytest.mark.parametrize("kind", ["withdrawals", "cancel_only", "reduce_only"])
def test_liquidations_go_on_until_the_very_last(harbour, kind):
    stop(harbour, "book", kind)
    sell = Closing(BET, "liquidation")
    buy = harbour.order(CAROL, "buy", 1, 100_000, reduce_only=True)
    request = harbour.request(Fill("BTC-PERP", 1, e10(100_000), buy, sell), *EVIDENCE)
    facts = Conditions(trade={CAROL: 0}, closing={BET: {"BTC-PERP": ClosingFact(10)}})
    harbour.must(request, facts)


@pytest.mark.parametrize(
    ("scope", "reason"), [("book", Reason.BOOK_IS_STOPPED), ("asset/BTC-PERP", Reason.ASSET_FROZEN)]
)
def test_a_stop_stops_liquidations_too(harbour, scope, reason):
    stop(harbour, scope, "stop")
    sell = Closing(BET, "liquidation")
    buy = harbour.order(CAROL, "buy", 1, 100_000)
    facts = Conditions(trade={CAROL: 0}, closing={BET: {"BTC-PERP": ClosingFact(10)}})
    fill = Fill("BTC-PERP", 1, e10(100_000), buy, sell)
    assert harbour.reason(fill, *EVIDENCE, conditions=facts) == reason


# --- who may -----------------------------------------------------------------------------------

HALTS = "".join(
    f'  {kind}: {{needs: risk_key, lift: "2 of [officer_a, officer_b]"}}\n'
    for kind in ("freeze", "withdrawals", "cancel_only", "reduce_only", "stop")
)


@pytest.mark.parametrize("kind", ["freeze", "withdrawals", "cancel_only", "reduce_only", "stop"])
def test_the_policy_says_for_each_kind_who_may_stop_and_who_may_lift(kind):
    harbour = Harbour(TEXT.replace("zones:", f"halts:\n{HALTS}zones:", 1))
    assert not any("halt" in str(note) for note in harbour.state.rules.notes)
    order = Freeze("asset/USDC", "drill", 900, kind=kind)
    assert harbour.refuses(order) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(signed(order, "officer_a", "officer_b")) == Reason.NEEDS_NOT_MET
    harbour.must(signed(order, "risk_key"))
    assert harbour.refuses(signed(order, "risk_key")) == Reason.ID_USED_WITH_OTHER_CONTENT
    lifting = Resume("asset/USDC", "drill over", 901, kind=kind)
    assert harbour.refuses(signed(lifting, "risk_key")) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(signed(lifting, "officer_a")) == Reason.NEEDS_NOT_MET
    harbour.must(signed(lifting, "officer_a", "officer_b"))
    assert harbour.state.frozen() == {}


def test_a_stop_signed_for_one_kind_is_none_of_another():
    harbour = Harbour(TEXT.replace("zones:", f"halts:\n{HALTS}zones:", 1))
    order = signed(Freeze("book", "drill", 900, kind="withdrawals"), "risk_key")
    assert harbour.refuses(msgspec.structs.replace(order, kind="stop")) == Reason.SIGNATURE_INVALID


# --- the drill: a law is broken ----------------------------------------------------------------


def lose_a_unit(harbour, monkeypatch, asset="USDC"):
    """Plant the mistake that the checks are for: a unit that was debited and never credited."""
    tables = harbour.state.ledger.tables
    move = type(tables).move

    def losing(self, source, target, moved, units):
        move(self, source, target, moved, units)
        if moved == asset:
            debits, credits = self.balances[target, moved]
            self.put(self.balances, (target, moved), (debits, credits - 1))
            total = self.totals[moved]
            self.put(self.totals, moved, (total[0], total[1] - 1))

    monkeypatch.setattr(type(tables), "move", losing)


def test_the_drill(harbour, monkeypatch):
    """A unit is lost: the request is taken back, its asset stopped, and the book falls back step by step."""
    before = harbour.state.balance(CASH, "USDC")
    lose_a_unit(harbour, monkeypatch)
    outcome = harbour.do(harbour.request(FUND, ALICE, id=500))
    assert outcome.decision.reason == Reason.LAW_BROKEN
    assert outcome.entries == ()
    assert harbour.state.balance(CASH, "USDC") == before
    assert set(harbour.state.frozen()) == {"stop asset/USDC", "withdrawals book"}
    harbour.state.check_conservation()
    assert harbour.reason(FUND, ALICE) == Reason.ASSET_FROZEN  # no second try
    # What is not in the scope goes on: another coin, and trading.
    monkeypatch.undo()
    harbour.deposit("alice", 10**8, "BTC")
    harbour.move(Move("fund", CASH, HEDGE, "BTC", 10**8), ALICE)
    harbour.must(*fill(harbour, BET, CAROL, 1))
    # People look, mend it, and lift it.
    lift(harbour, "asset/USDC", "stop")
    lift(harbour, "book", "withdrawals")
    harbour.move(FUND, ALICE)


def test_every_further_violation_takes_the_book_one_step_down(harbour, monkeypatch):
    for number, step in enumerate(LADDER, start=1):
        lose_a_unit(harbour, monkeypatch, "USDC")
        outcome = harbour.do(harbour.request(FUND, ALICE))
        assert outcome.decision.reason == Reason.LAW_BROKEN
        monkeypatch.undo()
        assert halt_key(step, "book") in harbour.state.frozen()
        assert sum(key.endswith(" book") for key in harbour.state.frozen()) == number
        harbour.must(Resume("asset/USDC", "looked at it", kind="stop"))
    assert is_book_stopped(harbour.state.frozen())
    assert harbour.reason(FUND, ALICE) == Reason.BOOK_IS_STOPPED


def test_a_fault_that_stays_after_it_was_taken_back_ends_the_book(harbour, monkeypatch):
    lose_a_unit(harbour, monkeypatch)
    monkeypatch.setattr(type(harbour.state.ledger.tables), "rollback", lambda _: None)
    with pytest.raises(ViolationError):
        harbour.do(harbour.request(FUND, ALICE))


def test_the_smallest_scope_holds_every_violation(harbour):
    ledger = harbour.state.ledger

    def scope(*paths):
        return smallest_scope(ledger, tuple(Violation("no_overdraft", path, "") for path in paths))

    assert scope("asset/BTC") == "asset/BTC"
    assert scope(f"compartment/{BET}") == f"compartment/{BET}"
    assert scope(f"compartment/{BET}", f"compartment/{BOB}") == "pool/directional"
    assert scope(f"compartment/{BET}", "compartment/insurance/directional") == "pool/directional"
    assert scope(f"compartment/{BET}", f"compartment/{HEDGE}") == "book"
    assert scope(f"compartment/{BET}", "asset/BTC") == "book"


def test_each_law_is_checked_for_what_a_request_touched(harbour):
    ledger, tables = harbour.state.ledger, harbour.state.ledger.tables
    wall = Entry(BET, HEDGE, "USDC", 1)
    assert [one.law for one in violations(ledger, [Entry(CASH, HEDGE, "USDC", 1)])] == []
    assert [(one.law, one.scope) for one in violations(ledger, [wall])] == [
        ("containment", f"compartment/{BET}")
    ]
    contracts = Entry(BET, CAROL, "BTC-PERP", 1)  # Contracts pass by trade, which has no gate of its own.
    assert violations(ledger, [contracts]) == ()
    held = tables.balance(CASH, "USDC")
    tables.move(CASH, HEDGE, "USDC", held)
    assert violations(ledger, [Entry(CASH, HEDGE, "USDC", held)]) == ()
    tables.move(CASH, HEDGE, "USDC", 1)
    assert violations(ledger, [Entry(CASH, HEDGE, "USDC", 1)] * 2) == (
        Violation("no_overdraft", f"compartment/{CASH}", f"{CASH} would hold -1 units of USDC"),
    )
    tables.rollback()
    for ends in (("nowhere", HEDGE), (CASH, "nowhere")):
        assert violations(ledger, [Entry(*ends, "USDC", 1)]) == (
            Violation("containment", "book", f"{ends[0]} or {ends[1]} is no compartment"),
        )
    words = f"1 units of USDC passed from {BET} to {HEDGE}, a wall"
    assert violations(ledger, [wall]) == (Violation("containment", f"compartment/{BET}", words),)
    assert violations(ledger, [Entry("outside", CASH, "ETH", 1)]) == ()  # nothing of it was ever booked


@pytest.mark.parametrize(("table", "asset"), [("totals", "USDC"), ("session_totals", "BTC-PERP")])
def test_what_does_not_balance_breaks_conservation(harbour, table, asset):
    tables = harbour.state.ledger.tables
    debits, credits = tables.totals[asset]
    if table == "totals":
        tables.put(tables.totals, asset, (debits + 1, credits))
    else:
        tables.put(tables.session_totals, asset, 5)
    (found,) = violations(harbour.state.ledger, [Entry(BET, CAROL, asset, 1)])[:1]
    words = f"{asset}: debits {debits + (table == 'totals')} and credits {credits} must be equal"
    assert found == Violation("conservation", f"asset/{asset}", words)
    tables.rollback()


def test_a_halt_for_several_faults_stops_what_holds_them_and_the_book_by_a_step(harbour):
    found = tuple(Violation("no_overdraft", f"compartment/{path}", "") for path in (BET, BOB))
    assert halts_for(harbour.state.ledger, found) == ("stop pool/directional", "withdrawals book")


@settings(max_examples=30, deadline=None)
@given(kind=st.sampled_from(LADDER), scope=st.sampled_from([scope for scope, _ in STOPPED]))
def test_the_key_of_a_halt_says_its_kind_and_scope(kind, scope):
    assert split_key(halt_key(kind, scope)) == (kind, scope)
    assert split_key(halt_key("freeze", scope)) == ("freeze", scope)


def test_a_freeze_is_kept_under_its_bare_scope():
    assert halt_key("freeze", "asset/USDC") == "asset/USDC"
    assert halt_key("stop", "asset/USDC") == "stop asset/USDC"


def test_a_scope_may_hold_a_space():
    assert split_key("stop member/client/al ice") == ("stop", "member/client/al ice")


def test_a_pool_that_the_policy_dropped_holds_nothing(harbour):
    rules = harbour.state.rules
    assert holds_place(rules, "pool/directional", rules.place(BET))
    assert not holds_place(rules, "pool/gone", rules.place(BET))


@pytest.mark.parametrize(
    ("key", "shuts"),
    [
        ("gate/fund", True),
        ("stop gate/fund", True),
        ("book", True),
        ("stop book", True),
        ("gate/release", False),
        ("withdrawals gate/fund", False),
        ("cancel_only book", False),
        (f"compartment/{CASH}", False),
    ],
)
def test_a_gate_is_shut_by_a_total_halt_of_it_or_of_the_book(key, shuts):
    assert shuts_gate(key, "fund") is shuts


@pytest.mark.parametrize(
    ("key", "reason", "words"),
    [
        ("gate/fund", Reason.GATE_FROZEN, "gate/fund is frozen; it moves nothing until it is resumed"),
        (
            "stop asset/USDC",
            Reason.ASSET_FROZEN,
            "asset/USDC is stopped; it moves nothing until it is resumed",
        ),
        ("book", Reason.BOOK_IS_STOPPED, "book is frozen; it moves nothing until it is resumed"),
        (
            "pool/hedge",
            Reason.COMPARTMENT_FROZEN,
            "pool/hedge is frozen; it moves nothing until it is resumed",
        ),
        ("withdrawals book", Reason.WITHDRAWALS_HALTED, "withdrawals are halted: book"),
    ],
)
def test_a_halt_says_what_is_halted_and_how(key, reason, words):
    assert refusal(key, "p.yaml:7") == Refused(reason, words, "p.yaml:7")
    assert reason_of(key) == reason


def test_a_book_without_a_total_halt_takes_requests():
    assert is_book_stopped(()) == ""
    assert is_book_stopped({"withdrawals book", "gate/fund"}) == ""
    assert is_book_stopped({"book"}) == "book"


def test_the_ladder_ends_at_the_stop():
    assert next_step({}) == "withdrawals"
    assert next_step({"withdrawals book"}) == "cancel_only"
    assert next_step({f"{kind} book" for kind in LADDER}) == "stop"
