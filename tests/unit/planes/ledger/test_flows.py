"""Each flow of the policy's meaning that the book enforces, from the request to the balances."""

import pytest
from harbour import BTC, EVIDENCE, NOON, OFFICERS, TEXT, USDC, Harbour, allow, e10, seed, signed

from ringfence.adapters.signatures_ed25519 import public_key
from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import DAY_NS, HOUR_NS, Instant
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.liquidation import closing as plan_of
from ringfence.margin.terms import compile_terms
from ringfence.planes.ledger.conditions import ClosingFact, Conditions
from ringfence.planes.ledger.operations import Closing, Fill, Freeze, Fund, Move, OpenMember, Receipt, Resume
from ringfence.planes.ledger.payments import collection_links, settlement_links

ALICE, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))
HEDGE = "client/alice/hedge"


@pytest.fixture
def harbour():
    return Harbour()


def traders(harbour, units=100 * USDC):
    """Three funded traders and a price."""
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, "directional", units)
    harbour.price("BTC", 100_000)


def usdc(harbour, *paths):
    return [harbour.state.balance(path, "USDC") for path in paths]


def test_a_deposit_credits_what_the_watcher_saw_arrive_and_no_more(harbour):
    receipt = signed(Receipt("tx1:0", "outside", "client/alice/cash", "BTC", 3 * BTC), "watcher_key")
    deposit = Move("deposit", "outside", "client/alice/cash", "BTC", 3 * BTC)
    keys = ("watcher_key", "ledger_key")
    assert harbour.reason(deposit, *keys) == Reason.ENTITLEMENT_EXCEEDED
    harbour.must(receipt)
    assert harbour.must(receipt).decision.repeated
    assert harbour.reason(Move("deposit", "outside", "client/bob/cash", "BTC", 1), *keys) == (
        Reason.ENTITLEMENT_EXCEEDED
    )
    harbour.move(deposit, *keys)
    assert harbour.state.balance("client/alice/cash", "BTC") == 3 * BTC
    assert harbour.state.balance("outside", "BTC") == -3 * BTC
    assert harbour.reason(Move("deposit", "outside", "client/alice/cash", "BTC", 1), *keys) == (
        Reason.ENTITLEMENT_EXCEEDED
    )


def test_a_client_funds_a_strategy_with_its_own_key(harbour):
    harbour.deposit("alice", 500 * USDC)
    fund = Move("fund", "client/alice/cash", HEDGE, "USDC", 200 * USDC)
    assert harbour.reason(fund, "client_key/bob") == Reason.NEEDS_NOT_MET
    harbour.move(fund, "client_key/alice")
    assert usdc(harbour, "client/alice/cash", HEDGE) == [300 * USDC, 200 * USDC]


def test_a_client_cannot_fund_somebody_else(harbour):
    harbour.deposit("alice", 500 * USDC)
    fund = Move("fund", "client/alice/cash", "client/bob/hedge", "USDC", 1)
    assert harbour.reason(fund, "client_key/alice", "client_key/bob") == Reason.NO_GATE_BETWEEN_COMPARTMENTS


def test_strategies_of_one_client_have_no_gate_between_them(harbour):
    harbour.fund("alice", "hedge", 500 * USDC)
    for gate in harbour.state.rules.gates:
        move = Move(gate, HEDGE, ALICE, "USDC", 1)
        assert harbour.reason(move, *EVIDENCE, *OFFICERS, "client_key/alice") == (
            Reason.NO_GATE_BETWEEN_COMPARTMENTS
        )


def test_a_release_lets_go_what_margin_lets_go(harbour):
    harbour.fund("alice", "hedge", 500 * USDC)
    release = Move("release", HEDGE, "client/alice/cash", "USDC", 300 * USDC)
    facts = Conditions(releasable={HEDGE: {"USDC": 400 * USDC}})
    assert harbour.reason(release, "client_key/alice") == Reason.CONDITION_NOT_MET
    # The fact is of the moment before the request: two moves of one request share it.
    assert (
        harbour.reason([release, release], "client_key/alice", conditions=facts) == Reason.CONDITION_NOT_MET
    )
    harbour.move(release, "client_key/alice", conditions=facts)
    assert usdc(harbour, HEDGE, "client/alice/cash") == [200 * USDC, 300 * USDC]


def test_a_limit_counts_each_member_and_turns_at_midnight(harbour):
    harbour.endow("client/alice/cash", 3_000_000 * USDC)
    harbour.endow("client/bob/cash", 3_000_000 * USDC)
    fund = Move("fund", "client/alice/cash", HEDGE, "USDC", 1_000_000 * USDC)
    more = Move("fund", "client/alice/cash", ALICE, "USDC", 1)
    harbour.move(fund, "client_key/alice")
    assert harbour.reason(more, "client_key/alice") == Reason.GATE_LIMIT_EXCEEDED
    harbour.move(Move("fund", "client/bob/cash", BOB, "USDC", 1_000_000 * USDC), "client_key/bob")
    harbour.at = Instant(NOON + DAY_NS // 2 - 1)
    assert harbour.reason(more, "client_key/alice") == Reason.GATE_LIMIT_EXCEEDED
    harbour.at = Instant(NOON + DAY_NS // 2)
    harbour.move(more, "client_key/alice")


def test_a_limit_over_all_counts_everybody(harbour):
    harbour.endow("house/fees", 3_000_000 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 1_000_000 * USDC)
    harbour.move(sweep, *OFFICERS)
    assert harbour.reason(Move("sweep", "house/fees", "house/treasury", "USDC", 1), *OFFICERS) == (
        Reason.GATE_LIMIT_EXCEEDED
    )


def test_a_sweep_needs_both_officers(harbour):
    harbour.endow("house/fees", 10 * USDC)
    sweep = Move("sweep", "house/fees", "house/treasury", "USDC", 10 * USDC)
    assert harbour.reason(sweep, "officer_a") == Reason.NEEDS_NOT_MET
    assert harbour.reason(sweep, "officer_a", "officer_a") == Reason.NEEDS_NOT_MET
    harbour.move(sweep, *OFFICERS)
    assert usdc(harbour, "house/fees", "house/treasury") == [0, 10 * USDC]


def test_a_pool_is_filled_from_the_treasury(harbour):
    harbour.endow("house/treasury", 10 * USDC)
    fill_pool = Move("fill_pool", "house/treasury", "insurance/hedge", "USDC", 10 * USDC)
    assert harbour.reason(fill_pool, *EVIDENCE) == Reason.NEEDS_NOT_MET
    harbour.move(fill_pool, *OFFICERS)
    assert usdc(harbour, "insurance/hedge") == [10 * USDC]


def test_two_of_three_with_the_client_mandatory_withdraw_once_no_delay_is_asked():
    text = TEXT.replace(
        'wallet_key, "1 of [officer_a, officer_b]"], delay: 1 h,\n'
        "    cancel: [client_key, officer_a, officer_b],",
        '"2 of [officer_a, officer_b, wallet_key]"],',
    )
    harbour = Harbour(text)
    harbour.deposit("alice", 10 * USDC)
    withdraw = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", 4 * USDC)
    three = ("officer_a", "officer_b", "wallet_key")
    assert harbour.reason(withdraw, *three) == Reason.NEEDS_NOT_MET
    assert harbour.reason(withdraw, *three, "client_key/bob") == Reason.NEEDS_NOT_MET
    assert harbour.reason(withdraw, "client_key/alice", "officer_b") == Reason.NEEDS_NOT_MET
    harbour.move(withdraw, "client_key/alice", "officer_b", "wallet_key")
    assert usdc(harbour, "client/alice/cash", "outside/alice") == [6 * USDC, 4 * USDC]


def test_staff_are_a_family_of_their_own():
    text = (
        TEXT.replace(
            "  house:  {kind: house}\n", "  house: {kind: house}\n  staff: {kind: affiliate, family: true}\n"
        )
        .replace(
            "keys:\n", "keys:\n  staff_key: {per: staff, held_by: staff, form: signature, signs: by_hand}\n"
        )
        .replace(
            "  clearing: {owner",
            '  "staff/{staff}/cash": {owner: staff, role: client_money, accepts: USDC}\n'
            '  "staff/{staff}/spare": {owner: staff, role: client_money, accepts: USDC}\n  clearing: {owner',
        )
        .replace(
            "gates:\n",
            'gates:\n  save: {from: "staff/{staff}/cash", to: "staff/{staff}/spare", assets: USDC, '
            'needs: staff_key, on: ledger, limit: {each: {USDC: "100 per 1 d"}}}\n',
        )
    )
    harbour = Harbour(text)
    # A member of staff and a client may have the same name; they are two members, with two keys.
    harbour.must(OpenMember("staff", "alice", {"staff_key": public_key(seed("staff_key/alice"))}))
    harbour.endow("staff/alice/cash", 10 * USDC)
    save = Move("save", "staff/alice/cash", "staff/alice/spare", "USDC", 4 * USDC)
    assert harbour.reason(save, "client_key/alice") == Reason.NEEDS_NOT_MET
    harbour.move(save, "staff_key/alice")
    assert usdc(harbour, "staff/alice/cash", "staff/alice/spare") == [6 * USDC, 4 * USDC]
    across = Move("save", "staff/alice/cash", "client/alice/cash", "USDC", 1)
    assert (
        harbour.reason(across, "staff_key/alice", "client_key/alice") == Reason.NO_GATE_BETWEEN_COMPARTMENTS
    )


# --- trading, fees, settlement -----------------------------------------------------------------


def test_three_traders_settle_without_a_third_party_paying_anybody(harbour):
    """A buys from B at 100, the mark is 110, A sells to C: only then, at the settlement, does B pay A."""
    traders(harbour, 200 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.price("BTC", 110_000)
    harbour.trade(CAROL, ALICE, 10, 110_000)
    # Alice is flat with a session profit of 100 USDC, and nobody has paid anything.
    assert harbour.state.position(ALICE, "BTC-PERP").contracts == 0
    assert -harbour.state.position(ALICE, "BTC-PERP").session_value == 100 * USDC
    assert usdc(harbour, ALICE, BOB, CAROL, "clearing") == [200 * USDC] * 3 + [0]
    links = settlement_links(harbour.state, [harbour.settle(110_000)], harbour.at)
    assert [type(link).__name__ for link in links] == ["Settle", "Move", "Move"]
    outcome = harbour.move(links, *EVIDENCE)
    assert [(entry.debit, entry.credit, entry.units) for entry in outcome.entries] == [
        (BOB, "clearing", 100 * USDC),
        ("clearing", ALICE, 100 * USDC),
    ]
    assert usdc(harbour, ALICE, BOB, CAROL, "clearing") == [300 * USDC, 100 * USDC, 200 * USDC, 0]
    assert harbour.state.positions_of(ALICE) == {}
    assert harbour.state.position(CAROL, "BTC-PERP").session_value == 1100 * USDC


def test_a_settlement_pays_all_or_nothing(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.price("BTC", 103_000)
    settle = harbour.settle(103_000)
    debit = Move("settle", BOB, "clearing", "USDC", 30 * USDC)
    credit = Move("settle", "clearing", ALICE, "USDC", 30 * USDC)
    assert harbour.reason([settle], *EVIDENCE) == Reason.OWED_NOT_PAID
    assert harbour.reason([settle, debit], *EVIDENCE) == Reason.CLEARING_NOT_ZERO
    assert harbour.reason([settle, credit, debit], *EVIDENCE) == Reason.FREE_BALANCE_TOO_LOW
    assert harbour.reason([debit], *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    assert harbour.reason([settle, debit, credit], "risk_key") == Reason.NEEDS_NOT_MET
    harbour.move([settle, debit, credit], *EVIDENCE)


def test_one_chain_nets_what_two_instruments_owe(harbour):
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.price("ETH", 4_000)
    bob = "client/bob/hedge"
    harbour.trade(HEDGE, bob, 10, 100_000)
    harbour.trade(bob, HEDGE, 10, 4_000, instrument="ETH-PERP")
    harbour.price("BTC", 103_000)
    harbour.price("ETH", 4_100)
    both = [harbour.settle(103_000), harbour.settle(4_100, "ETH-PERP")]
    links = settlement_links(harbour.state, both, harbour.at)
    # 30 USDC one way and 10 USDC the other: 20 move.
    assert [link.units for link in links if isinstance(link, Move)] == [20 * USDC, 20 * USDC]
    harbour.move(links, *EVIDENCE)
    assert usdc(harbour, HEDGE, bob) == [120 * USDC, 80 * USDC]


def test_funding_goes_from_longs_to_shorts_once_an_interval(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    fund = Fund("BTC-PERP", 10**6 * 3, e10(100_000))  # 0.03 % of 1,000 USDC
    harbour.move(settlement_links(harbour.state, [fund], harbour.at), *EVIDENCE)
    assert usdc(harbour, ALICE, BOB) == [100 * USDC - 300_000, 100 * USDC + 300_000]
    assert harbour.reason(fund, *EVIDENCE) == Reason.FUNDING_NOT_DUE
    harbour.at = Instant(NOON + 8 * HOUR_NS)
    harbour.price("BTC", 100_000)
    back = Fund("BTC-PERP", -(10**6) * 3, e10(100_000))
    harbour.move(settlement_links(harbour.state, [back], harbour.at), *EVIDENCE)
    assert usdc(harbour, ALICE, BOB) == [100 * USDC, 100 * USDC]


@pytest.mark.parametrize("sign", [1, -1])
def test_funding_is_capped_either_way_and_only_where_there_is_any(harbour, sign):
    traders(harbour)
    most = 5_000 * 10**4 * sign  # 0.5 %
    assert harbour.reason(Fund("BTC-PERP", most + sign, e10(100_000)), *EVIDENCE) == Reason.FUNDING_OVER_CAP
    assert harbour.reason(Fund("BTC-PERP", most, e10(100_000))) == Reason.NEEDS_NOT_MET
    harbour.move(Fund("BTC-PERP", most, e10(100_000)), *EVIDENCE)
    harbour.price("ETH", 4_000)
    assert harbour.reason(Fund("ETH-PERP", 1, e10(4_000)), *EVIDENCE) == Reason.FUNDING_NOT_DUE
    assert harbour.reason(Fund("DOGE-PERP", 1, e10(1)), *EVIDENCE) == Reason.INSTRUMENT_UNKNOWN


def test_what_funding_cannot_divide_goes_to_rounding(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 1, 100_000)
    harbour.trade(ALICE, CAROL, 1, 100_000)
    # 7e-9 of 200 USDC is 1.4 units: the payer pays 2, the receivers share 1, and 1 is left.
    fund = Fund("BTC-PERP", 70, e10(100_000))
    links = settlement_links(harbour.state, [fund], harbour.at)
    assert [(link.gate, link.units) for link in links[1:]] == [
        ("settle", 2),
        ("residue", 1),
        ("settle", 1),
    ] or [(link.gate, link.units) for link in links[1:]] == [("settle", 2), ("settle", 1), ("residue", 1)]
    harbour.move(links, *EVIDENCE)
    assert usdc(harbour, "house/rounding", "clearing") == [1, 0]
    assert harbour.reason(Move("residue", "clearing", "house/rounding", "USDC", 1), *EVIDENCE) == (
        Reason.ENTITLEMENT_EXCEEDED
    )


def test_fees_and_rebates_move_exactly_what_fills_made_owed(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)  # 1,000 USDC; the buyer takes
    fee = Move("fee", ALICE, "house/fees", "USDC", 500_000)
    rebate = Move("rebate", "house/fees", BOB, "USDC", 100_000)
    assert harbour.state.owed("fees", ALICE, "house/fees", "USDC") == 500_000
    assert harbour.state.owed("maker_rebate", "house/fees", BOB, "USDC") == 100_000
    over = Move("fee", ALICE, "house/fees", "USDC", 500_001)
    assert harbour.reason(over, *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    assert collection_links(harbour.state, harbour.at) == (fee, rebate)
    harbour.move([fee, rebate], *EVIDENCE)
    assert usdc(harbour, ALICE, BOB, "house/fees") == [99_500_000, 100_100_000, 400_000]
    assert not harbour.state.all_owed()


# --- what a bucket cannot pay ------------------------------------------------------------------


def bankrupt(harbour, pool_units, price=114_000):
    """Bob is short 10 contracts at 100,000 with 100 USDC; at 114,000 he owes 140."""
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.endow("insurance/directional", pool_units)
    harbour.endow("insurance/hedge", 1_000 * USDC)
    harbour.endow("house/treasury", 1_000 * USDC)
    harbour.price("BTC", price)
    return settlement_links(harbour.state, [harbour.settle(price)], harbour.at)


def test_a_pool_covers_what_its_bucket_cannot_pay(harbour):
    harbour.move(bankrupt(harbour, 60 * USDC), *EVIDENCE)
    assert usdc(harbour, BOB, ALICE, "insurance/directional", "house/treasury") == [
        0,
        240 * USDC,
        20 * USDC,
        1_000 * USDC,
    ]
    assert harbour.state.balance(BOB, "USDC-debt") == 0


def test_the_last_owner_bears_the_rest_and_records_a_debt(harbour):
    harbour.move(bankrupt(harbour, 15 * USDC), *EVIDENCE)
    assert usdc(harbour, BOB, ALICE, "insurance/directional", "house/treasury") == [
        0,
        240 * USDC,
        0,
        975 * USDC,
    ]
    assert harbour.state.balance(BOB, "USDC-debt") == 25 * USDC
    assert harbour.state.balance("house/treasury", "USDC-debt") == -25 * USDC


def test_no_other_pool_and_no_other_client_can_pay(harbour):
    links = bankrupt(harbour, 15 * USDC)
    kept = [link for link in links if getattr(link, "gate", "") not in ("debt", "last_resort")]
    for payer in ("insurance/hedge", "client/carol/directional", HEDGE):
        gate = "cover" if payer.startswith("insurance") else "settle"
        chain = [*kept[:-1], Move(gate, payer, "clearing", "USDC", 25 * USDC), kept[-1]]
        assert harbour.reason(chain, *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED


OWN_HEDGE_PAYS = TEXT.replace(
    "steps: [own, {cover: insurance/directional}", 'steps: [own, {cover: "client/{client}/hedge"}'
).replace(
    "cover: {from: [insurance/directional,", 'cover: {from: ["client/{client}/hedge", insurance/directional,'
)


def test_a_pool_of_a_family_pays_for_its_own_member_only():
    harbour = Harbour(OWN_HEDGE_PAYS)
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 30 * USDC)
    harbour.move(bankrupt(harbour, 60 * USDC), *EVIDENCE)
    hedges = usdc(harbour, "client/bob/hedge", HEDGE, "insurance/directional", "house/treasury")
    assert hedges == [0, 30 * USDC, 60 * USDC, 990 * USDC]
    assert harbour.state.balance(BOB, "USDC-debt") == 10 * USDC


def test_the_hedge_of_somebody_else_is_no_pool():
    harbour = Harbour(OWN_HEDGE_PAYS)
    harbour.fund("alice", "hedge", 30 * USDC)
    links = bankrupt(harbour, 0)
    kept = [link for link in links if getattr(link, "gate", "") not in ("debt", "last_resort")]
    chain = [*kept[:-1], Move("cover", HEDGE, "clearing", "USDC", 30 * USDC), kept[-1]]
    assert harbour.reason(chain, *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED


def test_the_last_owner_pays_after_the_members_own_pool():
    harbour = Harbour(OWN_HEDGE_PAYS)
    harbour.fund("bob", "hedge", 30 * USDC)
    settle, own, *_ = bankrupt(harbour, 0)
    debt = Move("debt", "house/treasury", BOB, "USDC-debt", 40 * USDC)
    assert harbour.reason([settle, own, debt], *EVIDENCE) == Reason.WATERFALL_STEP_SKIPPED


def test_the_last_owner_pays_after_the_pool(harbour):
    settle, own, *_ = bankrupt(harbour, 60 * USDC)
    debt = Move("debt", "house/treasury", BOB, "USDC-debt", 40 * USDC)
    assert harbour.reason([settle, own, debt], *EVIDENCE) == Reason.WATERFALL_STEP_SKIPPED


def test_a_bucket_pays_with_its_own_first(harbour):
    settle, *_ = bankrupt(harbour, 0)
    debt = Move("debt", "house/treasury", BOB, "USDC-debt", 40 * USDC)
    cover = Move("cover", "insurance/directional", "clearing", "USDC", 1)
    assert harbour.reason([settle, debt], *EVIDENCE) == Reason.WATERFALL_STEP_SKIPPED
    assert harbour.reason([settle, cover], *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED


def test_a_pool_that_covers_two_buckets_shares_in_proportion(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.trade(ALICE, CAROL, 10, 100_000)
    harbour.endow("insurance/directional", 40 * USDC)
    harbour.endow("house/treasury", 1_000 * USDC)
    harbour.price("BTC", 114_000)
    harbour.move(settlement_links(harbour.state, [harbour.settle(114_000)], harbour.at), *EVIDENCE)
    assert harbour.state.balance(BOB, "USDC-debt") == harbour.state.balance(CAROL, "USDC-debt") == 20 * USDC


def test_a_debt_is_repaid_by_a_conversion_at_the_index(harbour):
    """A hedge with bitcoin and no dollars borrows to settle, and sells bitcoin to give the debt back."""
    harbour.fund("alice", "hedge", BTC // 100, "BTC")
    harbour.fund("bob", "hedge", 500 * USDC)
    harbour.endow("house/treasury", 1_000 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade("client/bob/hedge", HEDGE, 10, 100_000)
    harbour.price("BTC", 105_000)
    harbour.move(settlement_links(harbour.state, [harbour.settle(105_000)], harbour.at), *EVIDENCE)
    assert harbour.state.balance(HEDGE, "USDC-debt") == 50 * USDC
    assert harbour.state.balance("client/bob/hedge", "USDC") == 550 * USDC
    back = Move("convert", HEDGE, "house/treasury", "USDC-debt", 50 * USDC)

    def sell(units):
        return Move("convert", HEDGE, "house/treasury", "BTC", units)

    def reason(*links, exchange="convert"):
        return harbour.reason(links, *EVIDENCE, exchange=exchange)

    fair = 47_619  # 50 USDC at 105,000, in satoshi
    assert reason(sell(fair)) == Reason.EXCHANGE_LEGS_DIFFER
    assert reason(sell(fair), back, exchange="") == Reason.EXCHANGE_LEGS_DIFFER
    assert reason(sell(fair * 102 // 100), back) == Reason.PRICE_OUTSIDE_BAND
    assert reason(sell(fair * 98 // 100), back) == Reason.PRICE_OUTSIDE_BAND
    more = Move("convert", HEDGE, "house/treasury", "USDC-debt", 50 * USDC + 1)
    assert reason(sell(fair), more) == Reason.ENTITLEMENT_EXCEEDED
    # The house may not hand out coins under the name of a repayment.
    assert reason(sell(fair), Move("convert", "house/treasury", HEDGE, "USDC", 50 * USDC)) == (
        Reason.ENTITLEMENT_EXCEEDED
    )
    harbour.move([sell(fair), back], *EVIDENCE, exchange="convert")
    assert harbour.state.balance(HEDGE, "USDC-debt") == 0
    assert harbour.state.balance("house/treasury", "USDC-debt") == 0
    assert harbour.state.balance("house/treasury", "BTC") == fair


def test_a_pool_with_a_loss_of_its_own_is_backed_by_the_last_owner(harbour):
    bankrupt(harbour, 10 * USDC)
    facts = Conditions(closing={BOB: {"BTC-PERP": ClosingFact(10, e10(110_000))}})
    takeover = Fill(
        "BTC-PERP", 10, e10(110_000), Closing(BOB, "takeover"), Closing("insurance/directional", "takeover")
    )
    harbour.move(takeover, *EVIDENCE, conditions=facts)
    settle, bob, *_, paid = settlement_links(harbour.state, [harbour.settle(114_000)], harbour.at)
    early = [settle, bob, Move("last_resort", "house/treasury", "clearing", "USDC", 40 * USDC), paid]
    assert harbour.reason(early, *EVIDENCE) == Reason.ENTITLEMENT_EXCEEDED
    links = settlement_links(harbour.state, [harbour.settle(114_000)], harbour.at)
    harbour.move(links, *EVIDENCE)
    assert usdc(harbour, BOB, ALICE, "insurance/directional", "house/treasury") == [
        0,
        240 * USDC,
        0,
        970 * USDC,
    ]
    assert harbour.state.balance(BOB, "USDC-debt") == 0


# --- forced closures ---------------------------------------------------------------------------


def closing(bucket, contracts, price=0.0):
    return {bucket: {"BTC-PERP": ClosingFact(contracts, e10(price))}}


def test_a_liquidation_reduces_inside_the_band_and_owes_a_penalty_to_its_own_pool(harbour):
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.price("BTC", 108_000)
    order = harbour.order(CAROL, "sell", 6, 108_000)
    facts = Conditions(trade={CAROL: 0}, closing=closing(BOB, 4))

    def liquidate(contracts, price=108_000):
        return Fill("BTC-PERP", contracts, e10(price), Closing(BOB, "liquidation"), order)

    assert harbour.reason(liquidate(4), "risk_key", conditions=facts) == Reason.NEEDS_NOT_MET
    assert harbour.reason(liquidate(5), *EVIDENCE, conditions=facts) == Reason.ENTITLEMENT_EXCEEDED
    assert harbour.reason(liquidate(4), *EVIDENCE, conditions=allow(CAROL)) == Reason.CONDITION_NOT_MET
    assert harbour.reason(liquidate(4, 113_400.1), *EVIDENCE, conditions=facts) == Reason.PRICE_OUTSIDE_BAND
    wrong_way = Fill(
        "BTC-PERP", 1, e10(108_000), harbour.order(CAROL, "buy", 1, 108_000), Closing(BOB, "liquidation")
    )
    assert harbour.reason(wrong_way, *EVIDENCE, conditions=facts) == Reason.REDUCE_ONLY
    harbour.move(liquidate(4), *EVIDENCE, conditions=facts)
    assert harbour.state.position(BOB, "BTC-PERP").contracts == -6
    penalty = Move("penalty_directional", BOB, "insurance/directional", "USDC", 4_320_000)  # 1 % of 432 USDC
    assert penalty in collection_links(harbour.state, harbour.at)
    harbour.move(penalty, *EVIDENCE)
    assert usdc(harbour, "insurance/directional") == [4_320_000]


@pytest.mark.parametrize(("taker", "fee"), [("buy", 216_000), ("sell", 0)])
def test_a_liquidation_pays_the_fee_of_its_side_that_margin_plans(harbour, taker, fee):
    """A maker's rebate is for those who choose to trade: a forced side gets none."""
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.price("BTC", 108_000)
    before = harbour.state.owed("fees", BOB, "house/fees", "USDC")
    rebates = harbour.state.owed("maker_rebate", "house/fees", BOB, "USDC")
    order = harbour.order(CAROL, "sell", 4, 108_000)
    facts = Conditions(trade={CAROL: 0}, closing=closing(BOB, 4))
    fill = Fill("BTC-PERP", 4, e10(108_000), Closing(BOB, "liquidation"), order, taker)
    harbour.move(fill, *EVIDENCE, conditions=facts)
    owed = harbour.state.owed("fees", BOB, "house/fees", "USDC") - before
    assert owed == fee
    assert harbour.state.owed("maker_rebate", "house/fees", BOB, "USDC") == rebates
    terms = compile_terms(harbour.state.rules.policy)
    position = Position("BTC-PERP", -10, -(10**9))
    planned = plan_of(Bucket("cross", {}, (position,)), terms.contracts["BTC-PERP"], 4, e10(108_000))
    assert planned.penalty == harbour.state.owed("liquidation_surplus", BOB, "insurance/directional", "USDC")
    if taker == "buy":
        assert planned.fee == owed


def test_a_pool_takes_over_at_the_bankruptcy_price(harbour):
    bankrupt(harbour, 60 * USDC)
    pool = "insurance/directional"
    facts = Conditions(closing=closing(BOB, 10, 110_000))

    def take_over(by=pool, contracts=10, price=110_000, cause="takeover"):
        return Fill("BTC-PERP", contracts, e10(price), Closing(BOB, cause), Closing(by, cause))

    def reason(fill, conditions=facts):
        return harbour.reason(fill, *EVIDENCE, conditions=conditions)

    assert reason(take_over(), Conditions()) == Reason.CONDITION_NOT_MET
    assert reason(take_over(price=110_000.1)) == Reason.PRICE_OUTSIDE_BAND
    assert reason(take_over(contracts=11)) == Reason.REDUCE_ONLY
    assert reason(take_over(by="insurance/hedge")) == Reason.WATERFALL_DOES_NOT_NAME_IT
    assert reason(take_over(by=CAROL)) == Reason.CONDITION_NOT_MET
    order = harbour.order(CAROL, "sell", 10, 110_000)
    half = Fill("BTC-PERP", 10, e10(110_000), Closing(BOB, "takeover"), order)
    assert (
        reason(half, Conditions(trade={CAROL: 0}, closing=facts.closing)) == Reason.WATERFALL_DOES_NOT_NAME_IT
    )
    harbour.move(take_over(), *EVIDENCE, conditions=facts)
    assert harbour.state.position(BOB, "BTC-PERP").contracts == 0
    assert harbour.state.position(pool, "BTC-PERP").contracts == -10
    links = settlement_links(harbour.state, [harbour.settle(114_000)], harbour.at)
    harbour.move(links, *EVIDENCE)
    # Bob has lost exactly everything; the pool the 40 between the bankruptcy price and the mark.
    assert usdc(harbour, BOB, pool, ALICE) == [0, 20 * USDC, 240 * USDC]


def test_winners_of_the_class_are_deleveraged_at_the_bankruptcy_price(harbour):
    bankrupt(harbour, 0)
    facts = Conditions(closing=closing(BOB, 10, 110_000) | closing(ALICE, 10))
    fill = Fill("BTC-PERP", 10, e10(110_000), Closing(BOB, "deleveraging"), Closing(ALICE, "deleveraging"))
    capped = Conditions(closing=closing(BOB, 10, 110_000) | closing(ALICE, 9))
    assert harbour.reason(fill, *EVIDENCE, conditions=capped) == Reason.ENTITLEMENT_EXCEEDED
    harbour.move(fill, *EVIDENCE, conditions=facts)
    harbour.move(settlement_links(harbour.state, [harbour.settle(114_000)], harbour.at), *EVIDENCE)
    # Alice forgoes the 40 that Bob does not have; nobody else pays.
    assert usdc(harbour, ALICE, BOB, "house/treasury") == [200 * USDC, 0, 1_000 * USDC]


def test_nobody_outside_the_class_is_deleveraged(harbour):
    harbour.fund("bob", "directional", 100 * USDC)
    harbour.fund("alice", "hedge", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.trade(HEDGE, BOB, 10, 100_000)
    facts = Conditions(closing=closing(BOB, 10, 110_000) | closing(HEDGE, 10))
    fill = Fill("BTC-PERP", 10, e10(110_000), Closing(BOB, "deleveraging"), Closing(HEDGE, "deleveraging"))
    assert harbour.reason(fill, *EVIDENCE, conditions=facts) == Reason.WATERFALL_DOES_NOT_NAME_IT


# --- corrections, blocks, freezes --------------------------------------------------------------


def test_a_mistake_is_corrected_by_a_linked_reversal_with_four_eyes(harbour):
    harbour.endow("house/treasury", 1_000 * USDC)
    mistake = harbour.request(
        Move("adjust", "house/treasury", "client/alice/cash", "USDC", 70 * USDC), *OFFICERS, reason="goodwill"
    )
    harbour.must(mistake)

    def back(units, member="alice", **words):
        words = {"reason": "meant for bob", "reverses": mistake.id} | words
        move = Move("adjust", f"client/{member}/cash", "house/treasury", "USDC", units)
        return harbour.request(move, *words.pop("keys", OFFICERS), **words)

    harbour.endow("client/bob/cash", 70 * USDC)
    assert harbour.refuses(back(70 * USDC, keys=("officer_a",))) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(back(70 * USDC, reason="  ")) == Reason.REASON_TEXT_MISSING
    assert harbour.refuses(back(70 * USDC, reverses=12345)) == Reason.REVERSED_TRANSFER_UNKNOWN
    assert harbour.refuses(back(70 * USDC, member="bob")) == Reason.REVERSED_TRANSFER_UNKNOWN
    assert harbour.refuses(back(70 * USDC + 1)) == Reason.REVERSAL_EXCEEDS_ORIGINAL
    harbour.must(back(30 * USDC))
    assert harbour.refuses(back(40 * USDC + 1)) == Reason.REVERSAL_EXCEEDS_ORIGINAL
    harbour.must(back(40 * USDC))
    assert usdc(harbour, "client/alice/cash", "house/treasury") == [0, 1_000 * USDC]


def test_two_clients_trade_a_block_with_two_signatures_near_the_index(harbour):
    harbour.deposit("alice", BTC, "BTC")
    harbour.deposit("bob", 200_000 * USDC)
    harbour.price("BTC", 100_000)

    def block(dollars, *keys):
        legs = [
            Move("block", "client/alice/cash", "client/bob/cash", "BTC", BTC),
            Move("block", "client/bob/cash", "client/alice/cash", "USDC", dollars * USDC),
        ]
        return harbour.request(legs, *keys, exchange="block")

    both = ("client_key/alice", "client_key/bob")
    assert harbour.refuses(block(100_000, "client_key/alice")) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(block(100_000, "client_key/alice", "client_key/carol")) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(block(102_001, *both)) == Reason.PRICE_OUTSIDE_BAND
    harbour.must(block(102_000, *both))
    assert harbour.state.balance("client/bob/cash", "BTC") == BTC
    assert usdc(harbour, "client/alice/cash", "client/bob/cash") == [102_000 * USDC, 98_000 * USDC]


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("gate/fund", Reason.GATE_FROZEN),
        ("compartment/client/alice/cash", Reason.COMPARTMENT_FROZEN),
        ("compartment/client/alice/hedge", Reason.COMPARTMENT_FROZEN),
        ("asset/USDC", Reason.ASSET_FROZEN),
        ("book", Reason.BOOK_IS_STOPPED),
    ],
)
def test_a_frozen_scope_stops_and_resumes_and_nothing_else_does(harbour, scope, reason):
    harbour.deposit("alice", 10 * USDC)
    harbour.deposit("bob", 10, "BTC")
    fund = Move("fund", "client/alice/cash", HEDGE, "USDC", USDC)
    harbour.must(Freeze(scope, "drill"))
    assert harbour.reason(fund, "client_key/alice") == reason
    if scope not in ("gate/fund", "book"):
        harbour.move(Move("fund", "client/bob/cash", "client/bob/hedge", "BTC", 1), "client_key/bob")
    harbour.must(Resume(scope, "drill over"))
    harbour.move(fund, "client_key/alice")


def test_a_frozen_instrument_does_not_trade(harbour):
    traders(harbour)
    harbour.must(Freeze("asset/BTC-PERP", "halt"))
    fill = Fill(
        "BTC-PERP", 1, e10(100_000), harbour.order(ALICE, "buy", 1, 1e5), harbour.order(BOB, "sell", 1, 1e5)
    )
    assert harbour.reason(fill, conditions=allow(ALICE, BOB)) == Reason.ASSET_FROZEN
    harbour.must(Resume("asset/BTC-PERP", "over"))
    harbour.move(fill, conditions=allow(ALICE, BOB))


def test_where_the_policy_says_who_may_freeze_they_must_sign_once():
    halts = 'halts: {freeze: {needs: officer_a, lift: "2 of [officer_a, officer_b]"}}\n'
    harbour = Harbour(TEXT + halts)
    freeze = Freeze("gate/fund", "drill", id=7)
    assert harbour.refuses(Freeze("gate/fund", "drill")) == Reason.ID_NOT_POSSIBLE
    assert harbour.refuses(freeze) == Reason.NEEDS_NOT_MET
    assert harbour.refuses(signed(freeze, "officer_b")) == Reason.NEEDS_NOT_MET
    harbour.must(signed(freeze, "officer_a"))
    resume = Resume("gate/fund", "over", id=8)
    assert harbour.refuses(signed(resume, "officer_a")) == Reason.NEEDS_NOT_MET
    harbour.must(signed(resume, *OFFICERS))
    assert not harbour.state.frozen()
    # Neither signature is good a second time.
    assert harbour.refuses(signed(freeze, "officer_a")) == Reason.ID_USED_WITH_OTHER_CONTENT
