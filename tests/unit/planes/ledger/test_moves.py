"""What one move is judged by: each fact that is gathered for it decides something, at gates and exchanges."""

from dataclasses import replace

import msgspec
import pytest
from harbour import BTC, EVIDENCE, NOON, OFFICERS, TEXT, USDC, Harbour, signed

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.instant import DAY_NS, MINUTE_NS, Instant
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.limits import spend
from ringfence.planes.ledger.moves import debt_room, pool_units
from ringfence.planes.ledger.operations import Freeze, Mandate, Move, Receipt, Statement

ALICE, BOB, CASH = "client/alice/hedge", "client/bob/hedge", "client/alice/cash"
TREASURY, POOL, DEBT = "house/treasury", "insurance/hedge", "USDC-debt"
BOTH = ("client_key/alice", "client_key/bob")


def said(harbour, links, *keys, conditions=NO_CONDITIONS, **words):
    decision = harbour.do(harbour.request(links, *keys, **words), conditions).decision
    assert isinstance(decision, Refused), decision
    return decision


# --- exchanges ---------------------------------------------------------------------------------

SWAPPING = TEXT.replace(
    "\nwaterfalls:",
    """
  swap: {legs: ["client/{a}/hedge -> client/{b}/hedge", "client/{b}/hedge -> client/{a}/hedge"],
    needs: ["client_key/{a}", "client_key/{b}"], when: [releasable, reconciled 1 d], on: [ledger],
    price: "within 1 % of index", limit: {valued_in: USDC, each: {USDC: "5000 per 1 d"}}}
waterfalls:""",
    1,
)
COIN = Move("swap", ALICE, BOB, "BTC", BTC // 100)
LEGS = (COIN, Move("swap", BOB, ALICE, "USDC", 1_000 * USDC))


def let_go(units=BTC // 100, other=1_000 * USDC, asset="USDC"):
    return Conditions(releasable={ALICE: {"BTC": units}, BOB: {asset: other}})


@pytest.fixture
def swapping():
    harbour = Harbour(SWAPPING)
    harbour.fund("alice", "hedge", BTC // 10, "BTC")
    harbour.fund("bob", "hedge", 10_000 * USDC)
    harbour.price("BTC", 100_000)
    harbour.must(signed(Statement("reconciled", NOON, True, "report"), "watcher_key"))
    return harbour


def swap(harbour, links=LEGS, conditions=None, **words):
    return said(harbour, links, *BOTH, conditions=conditions or let_go(), exchange="swap", **words)


def test_an_exchange_opens_when_each_of_its_words_is_met_and_minds_its_own_moves(swapping):
    swapping.deposit("alice", USDC)
    fund = Move("fund", CASH, ALICE, "USDC", USDC)
    outcome = swapping.move((fund, *LEGS), *BOTH, exchange="swap", conditions=let_go())
    assert [entry.units for entry in outcome.entries] == [USDC, BTC // 100, 1_000 * USDC]


@pytest.mark.parametrize(
    ("conditions", "leg", "words"),
    [
        (Conditions(), 0, "swap opens when releasable, and nobody said how much is"),
        (let_go(BTC // 100 - 1), 0, "0.00999999 BTC is releasable; margin holds the rest"),
        (let_go(other=1_000 * USDC - 1), 1, "999.999999 USDC is releasable; margin holds the rest"),
    ],
)
def test_an_exchange_takes_from_a_bucket_what_margin_lets_go(swapping, conditions, leg, words):
    refused = swap(swapping, conditions=conditions)
    assert (refused.reason, refused.leg, refused.words) == (Reason.CONDITION_NOT_MET, leg, words)


def test_an_exchange_waits_for_a_word_that_counts(swapping):
    swapping.state.ledger.tables.statements.clear()
    refused = swap(swapping)
    assert (refused.reason, refused.words) == (
        Reason.CONDITION_NOT_MET,
        "swap opens when reconciled, and nobody ever said so",
    )
    swapping.must(signed(Statement("reconciled", NOON, True, "report"), "watcher_key"))
    swapping.must(Freeze("gate/swap", "drill"))
    assert swap(swapping).reason == Reason.GATE_FROZEN
    swapping.state.ledger.tables.frozen.clear()
    swapping.at = Instant(NOON + DAY_NS + 1)
    assert swap(swapping).words.startswith(
        "swap opens when reconciled, and it was last said as of 2025-10-10"
    )


def test_an_exchange_whose_signature_does_not_fit_says_so(swapping):
    request = swapping.request(LEGS, *BOTH, exchange="swap")
    forged = msgspec.structs.replace(request, reason="other words")
    assert swapping.refuses(forged, let_go()) == Reason.SIGNATURE_INVALID


def test_an_exchange_reverses_nothing(swapping):
    assert swap(swapping, reverses=7).reason == Reason.REVERSAL_NOT_DECLARED


def test_an_exchange_stops_at_the_leg_whose_target_is_frozen(swapping):
    swapping.must(Freeze(f"compartment/{BOB}", "drill"))
    refused = swap(swapping)
    assert (refused.reason, refused.leg) == (Reason.COMPARTMENT_FROZEN, 0)


def test_an_exchange_that_counts_in_value_names_the_price_it_lacks(swapping):
    swapping.endow(BOB, 10**18, "ETH")
    ether = (COIN, Move("swap", BOB, ALICE, "ETH", 10**17))
    refused = swap(swapping, ether, let_go(other=10**17, asset="ETH"))
    assert (refused.reason, refused.words) == (Reason.PRICE_MISSING, "the book holds no price index/ETH")
    swapping.at = Instant(NOON + MINUTE_NS)
    assert swap(swapping).reason == Reason.PRICE_STALE


def test_an_exchange_passes_no_running_total(swapping):
    totals = (2**128 - 1 - BTC // 100, 2**128 - 1)
    swapping.state.ledger.tables.balances[ALICE, "BTC"] = totals
    assert swap(swapping).reason == Reason.BALANCE_TOO_LARGE


def test_an_exchange_outside_its_band_names_its_line(swapping):
    refused = swap(swapping, (COIN, Move("swap", BOB, ALICE, "USDC", 900 * USDC)))
    line = swapping.state.rules.exchanges["swap"].gate.line
    assert (refused.reason, refused.rule) == (Reason.PRICE_OUTSIDE_BAND, line)


@pytest.mark.parametrize("asset", ["USDC", DEBT])
def test_nothing_is_repaid_where_nothing_is_owed(asset):
    harbour = Harbour()
    harbour.endow(ALICE, USDC)
    harbour.endow(TREASURY, USDC)
    legs = (Move("convert", ALICE, TREASURY, asset, 1), Move("convert", TREASURY, ALICE, asset, 1))
    refused = said(harbour, legs, *EVIDENCE, exchange="convert")
    assert (refused.reason, refused.leg) == (Reason.ENTITLEMENT_EXCEEDED, 0)
    assert refused.words.startswith(f"0.000001 {asset} was asked of convert; 0 {asset} is owed by")


# --- debts and pools ---------------------------------------------------------------------------

CAPPED = TEXT.replace("debt_in: USDC, decimals: 6", "debt_in: USDC, decimals: 6, cap: 100 USDC", 1)


def losing(text=TEXT, coins=BTC // 100):
    """Alice has bitcoin only and owes 150 USDC at a settlement; the lender has as much as it likes."""
    harbour = Harbour(text)
    harbour.endow(ALICE, coins, "BTC")
    harbour.fund("bob", "hedge", 500 * USDC)
    harbour.endow(TREASURY, 1_000 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(BOB, ALICE, 10, 100_000)
    harbour.price("BTC", 115_000)
    return harbour


def lend(units, source=TREASURY):
    return Move("debt", source, ALICE, DEBT, units)


@pytest.mark.parametrize(
    ("text", "coins", "units", "reason"),
    [
        (CAPPED, 1, 100 * USDC, Reason.OWED_NOT_PAID),
        (CAPPED, 1, 100 * USDC + 1, Reason.DEBT_CAP_EXCEEDED),
        (CAPPED, 0, 100 * USDC + 1, Reason.OWED_NOT_PAID),
        (TEXT, 1, 100 * USDC + 1, Reason.OWED_NOT_PAID),
        (TEXT, 0, 150 * USDC, Reason.OWED_NOT_PAID),
        (TEXT, 0, 150 * USDC + 1, Reason.ENTITLEMENT_EXCEEDED),
    ],
)
def test_a_debt_stops_at_its_cap_as_long_as_something_is_left_to_sell(text, coins, units, reason):
    """What nothing is left to pay for is recorded in full. A debt that is made still has to be paid in."""
    harbour = losing(text, coins)
    assert said(harbour, (harbour.settle(115_000), lend(units)), *EVIDENCE).reason == reason


@pytest.mark.parametrize(("owed", "room"), [(0, 100), (30, 70), (100, 0), (101, 0)])
def test_the_room_of_a_debt_is_what_its_cap_leaves(owed, room):
    harbour = Harbour(CAPPED)
    harbour.endow(ALICE, 1, "BTC")
    harbour.state.ledger.tables.move(TREASURY, ALICE, DEBT, owed * USDC)
    ledger, bucket = harbour.state.ledger, harbour.state.rules.place(ALICE)
    assert debt_room(ledger, ledger.rules.assets[DEBT], bucket) == room * USDC


@pytest.mark.parametrize(
    "words", [None, {"last": "house/fees"}, {"record": "BTC"}, {"last": "house/fees", "record": "BTC"}]
)
def test_nobody_lends_whom_the_waterfall_does_not_name(words):
    """The way of a debt is made from the waterfall; should they ever differ, the waterfall counts."""
    harbour = losing()
    rules = harbour.state.rules

    def turned(rule):
        if rule.pattern != "client/{client}/hedge":
            return rule
        return replace(rule, waterfall=replace(rule.waterfall, **words) if words else None)

    compartments = tuple(turned(rule) for rule in rules.compartments)
    harbour.obey(compartments=compartments)
    refused = said(harbour, (harbour.settle(115_000), lend(USDC)), *EVIDENCE)
    assert (refused.reason, refused.words, refused.rule) == (
        Reason.WATERFALL_DOES_NOT_NAME_IT,
        f"the waterfall of {ALICE} has not {TREASURY} last with {DEBT}",
        rules.waterfalls["hedge"].line,
    )


@pytest.mark.parametrize("payer", [ALICE, POOL])
def test_one_unit_of_the_bucket_or_of_its_pool_comes_before_the_lender(payer):
    harbour = losing(coins=0)
    harbour.endow(payer, 1)
    refused = said(harbour, (harbour.settle(115_000), lend(USDC)), *EVIDENCE)
    assert refused.reason == Reason.WATERFALL_STEP_SKIPPED
    assert payer in refused.words


def test_without_clearing_nobody_has_anything_to_borrow_for():
    harbour = Harbour()
    harbour.obey(clearing=None)
    assert said(harbour, lend(1), *EVIDENCE).reason == Reason.ENTITLEMENT_EXCEEDED


def test_the_lender_owes_clearing_what_it_took_over_once():
    harbour = losing(coins=0)
    chain = [harbour.settle(115_000), lend(40 * USDC)]
    last = Move("last_resort", TREASURY, "clearing", "USDC", 40 * USDC + 1)
    assert said(harbour, (*chain, last), *EVIDENCE).reason == Reason.ENTITLEMENT_EXCEEDED


def test_a_gate_of_several_accruals_moves_what_they_add_up_to():
    harbour = Harbour(TEXT.replace("accrual: shortfall, computed", "accrual: [residue, shortfall], computed"))
    tables = harbour.state.ledger.tables
    for accrual, units in (("residue", 5), ("shortfall", 7)):
        tables.owe((accrual, POOL, "clearing", "USDC"), units)
    tables.commit()
    harbour.endow(POOL, 20)
    for units, reason in ((13, Reason.ENTITLEMENT_EXCEEDED), (12, Reason.CLEARING_NOT_ZERO)):
        move = Move("cover", POOL, "clearing", "USDC", units)
        assert said(harbour, move, *EVIDENCE).reason == reason


@pytest.mark.parametrize(
    ("gate", "owed", "left"),
    [
        ("settle", {"funding": 5, "variation": 7}, {"variation": 4}),
        ("cover", {"shortfall": 5, "variation": 7}, {"variation": 4}),
    ],
)
def test_what_moves_is_taken_off_each_accrual_in_turn(gate, owed, left):
    harbour = Harbour(
        TEXT.replace("accrual: shortfall, computed", "accrual: [shortfall, variation], computed")
    )
    tables, payer = harbour.state.ledger.tables, ALICE if gate == "settle" else POOL
    for accrual, units in owed.items():
        tables.owe((accrual, payer, "clearing", "USDC"), units)
    tables.owe(("variation", "clearing", BOB, "USDC"), 8)
    tables.commit()
    harbour.endow(payer, 8)
    through = Move(gate, payer, "clearing", "USDC", 8), Move("settle", "clearing", BOB, "USDC", 8)
    harbour.move(through, *EVIDENCE)
    assert harbour.state.all_owed() == {
        (accrual, payer, "clearing", "USDC"): units for accrual, units in left.items()
    }


OWN_HEDGE_PAYS = (
    TEXT.replace("cover: insurance/directional", 'cover: "client/{client}/hedge"', 1)
    .replace("cover: {from: [insurance/directional,", 'cover: {from: ["client/{client}/hedge",', 1)
    .replace('limit: {all: {USDC: "250000 per 1 h"}}', 'limit: {each: {USDC: "30 per 1 h"}}', 1)
)


def test_a_pool_pays_what_it_holds_as_far_as_its_gate_lets_it():
    harbour = Harbour(OWN_HEDGE_PAYS)
    tables, at = harbour.state.ledger.tables, harbour.at
    harbour.endow(ALICE, 20 * USDC)
    harbour.endow(TREASURY, 10**6 * USDC)

    def units(path=ALICE, asset="USDC"):
        return pool_units(harbour.state.ledger, path, asset, at)

    assert (units(), units(TREASURY)) == (20 * USDC, 10**6 * USDC)  # The last one's gate has no limit.
    assert (units("nowhere"), units("house/fees"), units(ALICE, "BTC")) == (0, 0, 0)
    harbour.endow(ALICE, 20 * USDC)
    assert units() == 30 * USDC
    cap = harbour.state.rules.gates["cover"].each["USDC"]
    tables.windows["cover", "each", ("alice",), "USDC"] = spend(cap, (), 12 * USDC, at)
    assert units() == 18 * USDC
    for scope in ("gate/cover", f"compartment/{ALICE}", "compartment/clearing", "asset/USDC"):
        tables.frozen[scope] = "drill"
        assert units() == 0
        tables.frozen.clear()
    assert units() == 18 * USDC


# --- others ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "reason"), [(2, None), (3, Reason.ENTITLEMENT_EXCEEDED)])
def test_every_top_up_of_a_request_counts_against_what_is_lacking(count, reason):
    harbour = Harbour()
    harbour.deposit("alice", 10 * USDC)
    terms = {"gate": "top_up", "source": CASH, "target": ALICE, "asset": "USDC", "units": 10 * USDC}
    mandate = Mandate(id=9_000, policy=harbour.state.rules.digest, expires=NOON, **terms)
    harbour.must(signed(mandate, "client_key/alice"))
    links = [Move("top_up", CASH, ALICE, "USDC", USDC)] * count
    found = harbour.do(harbour.request(links, *EVIDENCE), Conditions(lacking={ALICE: {"USDC": 2 * USDC}}))
    assert (found.decision.reason if isinstance(found.decision, Refused) else None) == reason


@pytest.mark.parametrize(("units", "reason"), [(6, None), (5, Reason.CONDITION_NOT_MET)])
def test_every_release_of_a_request_counts_against_what_margin_lets_go(units, reason):
    harbour = Harbour()
    harbour.endow(ALICE, 10)
    links = [Move("release", ALICE, CASH, "USDC", 2)] * 3
    facts = Conditions(releasable={ALICE: {"USDC": units}})
    found = harbour.do(harbour.request(links, "client_key/alice"), facts).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason


def test_the_moves_of_a_request_are_reversed_together_or_in_parts():
    harbour = Harbour()
    harbour.endow(TREASURY, 70)
    mistake = [Move("adjust", TREASURY, CASH, "USDC", units) for units in (30, 40)]
    request = harbour.request(mistake, *OFFICERS, reason="goodwill")
    harbour.must(request)
    words = {"reason": "not meant", "reverses": request.id}
    assert harbour.reason(Move("adjust", CASH, TREASURY, "USDC", 71), *OFFICERS, **words) == (
        Reason.REVERSAL_EXCEEDS_ORIGINAL
    )
    harbour.move(Move("adjust", CASH, TREASURY, "USDC", 70), *OFFICERS, **words)


@pytest.mark.parametrize(("late_ns", "reason"), [(-1, Reason.GATE_LIMIT_EXCEEDED), (0, None)])
def test_a_rolling_limit_counts_from_the_first_move_on(late_ns, reason):
    harbour = Harbour(
        TEXT.replace('{USDC: "1000000 per 1 d"}}}\n  fill_pool', '{USDC: "10 rolling 1 d"}}}\n  fill_pool')
    )
    harbour.endow("house/fees", 20 * USDC)
    sweep = Move("sweep", "house/fees", TREASURY, "USDC", 10 * USDC)
    harbour.move(sweep, *OFFICERS)
    harbour.at = Instant(NOON + DAY_NS + late_ns)
    found = harbour.do(harbour.request(sweep, *OFFICERS)).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason


@pytest.mark.parametrize(("units", "reason"), [(1, None), (2, Reason.BALANCE_TOO_LARGE)])
def test_a_running_total_outside_is_never_passed(units, reason):
    harbour = Harbour()
    harbour.state.ledger.tables.balances["outside", "USDC"] = (2**128 - 2, 0)
    harbour.must(signed(Receipt("tx", "outside", CASH, "USDC", 2), "watcher_key"))
    deposit = Move("deposit", "outside", CASH, "USDC", units)
    found = harbour.do(harbour.request(deposit, "watcher_key", "ledger_key")).decision
    assert (found.reason if isinstance(found, Refused) else None) == reason
