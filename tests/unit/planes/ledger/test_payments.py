"""Writing the moves that pay what is owed: as far as sources, limits, caps and waterfalls let them."""

from harbour import BTC, EVIDENCE, TEXT, USDC, Harbour, e10

from ringfence.planes.ledger.limits import spend
from ringfence.planes.ledger.operations import Fund, Move
from ringfence.planes.ledger.payments import collection_links, settlement_links

ALICE, BOB, CAROL = (f"client/{name}/directional" for name in ("alice", "bob", "carol"))
HEDGE, OTHER = "client/alice/hedge", "client/bob/hedge"
POOL, TREASURY = "insurance/directional", "house/treasury"


def traders(harbour, bucket="directional", units=100 * USDC):
    for member in ("alice", "bob", "carol"):
        harbour.fund(member, bucket, units)
    harbour.price("BTC", 100_000)


def moves(harbour, *links):
    found = settlement_links(harbour.state, links, harbour.at)[len(links) :]
    return [(link.gate, link.source, link.target, link.units) for link in found]


def test_a_pool_pays_what_its_limit_leaves_after_what_it_paid_before():
    harbour = Harbour()
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.endow(POOL, 1_000 * USDC)
    harbour.endow(TREASURY, 1_000 * USDC)
    harbour.price("BTC", 114_000)
    cap = harbour.state.rules.gates["cover"].all["USDC"]
    used = spend(cap, (), cap.units - 15 * USDC, harbour.at)
    harbour.state.ledger.tables.windows["cover", "all", (), "USDC"] = used
    assert moves(harbour, harbour.settle(114_000)) == [
        ("settle", BOB, "clearing", 100 * USDC),
        ("cover", POOL, "clearing", 15 * USDC),
        ("debt", TREASURY, BOB, 25 * USDC),
        ("last_resort", TREASURY, "clearing", 25 * USDC),
        ("settle", "clearing", ALICE, 140 * USDC),
    ]


def test_a_debt_is_written_up_to_its_cap_for_each_bucket_that_needs_one():
    """Alice can pay, and bob has bitcoin left: his debt ends at the cap, and the chain comes out short."""
    text = TEXT.replace("debt_in: USDC, decimals: 6", "debt_in: USDC, decimals: 6, cap: 30 USDC", 1)
    harbour = Harbour(text)
    traders(harbour, "hedge")
    harbour.endow(OTHER, BTC // 100, "BTC")
    harbour.endow(TREASURY, 1_000 * USDC)
    harbour.trade("client/carol/hedge", OTHER, 10, 100_000)
    harbour.trade("client/carol/hedge", HEDGE, 5, 100_000)
    harbour.price("BTC", 114_000)
    assert moves(harbour, harbour.settle(114_000)) == [
        ("settle", HEDGE, "clearing", 70 * USDC),
        ("settle", OTHER, "clearing", 100 * USDC),
        ("debt", TREASURY, OTHER, 30 * USDC),
        ("last_resort", TREASURY, "clearing", 30 * USDC),
        ("settle", "clearing", "client/carol/hedge", 210 * USDC),
    ]


def test_what_two_settlements_make_due_both_ways_is_not_paid_at_all():
    harbour = Harbour()
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 100 * USDC)
    harbour.price("BTC", 100_000)
    harbour.price("ETH", 4_000)
    harbour.trade(HEDGE, OTHER, 10, 100_000)
    harbour.trade(OTHER, HEDGE, 10, 4_000, instrument="ETH-PERP")
    harbour.price("BTC", 101_000)
    harbour.price("ETH", 4_100)
    both = harbour.settle(101_000), harbour.settle(4_100, "ETH-PERP")
    assert moves(harbour, *both) == []
    harbour.move(both, *EVIDENCE)


def test_variation_and_funding_of_one_request_are_paid_together():
    harbour = Harbour()
    traders(harbour)
    harbour.trade(ALICE, BOB, 10, 100_000)
    harbour.price("BTC", 101_000)
    fund = Fund("BTC-PERP", -(10**6) * 3, e10(100_000))  # bob pays 0.03 % of 1,000 USDC
    links = harbour.settle(101_000), fund
    assert moves(harbour, *links) == [
        ("settle", BOB, "clearing", 10_300_000),
        ("settle", "clearing", ALICE, 10_300_000),
    ]
    harbour.move(settlement_links(harbour.state, links, harbour.at), *EVIDENCE)


def test_pools_pay_in_the_order_of_their_waterfalls():
    harbour = Harbour()
    traders(harbour)
    traders(harbour, "hedge")
    harbour.fund("carol", "directional", 500 * USDC)
    for pool in (POOL, "insurance/hedge"):
        harbour.endow(pool, 1_000 * USDC)
    harbour.trade(CAROL, BOB, 10, 100_000)
    harbour.trade(CAROL, OTHER, 10, 100_000)
    harbour.price("BTC", 114_000)
    covers = [move for move in moves(harbour, harbour.settle(114_000)) if move[0] == "cover"]
    assert covers == [
        ("cover", POOL, "clearing", 40 * USDC),
        ("cover", "insurance/hedge", "clearing", 40 * USDC),
    ]


FEE_LIMIT = 'accrual: fees, computed_by: [risk, ledger], limit: {each: {USDC: "1 per 1 d"}}}'


def test_fees_are_collected_as_far_as_each_members_limit_lets_them():
    harbour = Harbour(TEXT.replace("accrual: fees, computed_by: [risk, ledger]}", FEE_LIMIT, 1))
    cap = harbour.state.rules.gates["fee"].each["USDC"]
    tables = harbour.state.ledger.tables
    tables.windows["fee", "each", ("alice",), "USDC"] = spend(cap, (), 400_000, harbour.at)
    for source in ("attic", ALICE, BOB):  # The first is no compartment any more.
        tables.owe(("fees", source, "house/fees", "USDC"), 2 * USDC)
    tables.owe(("fees", ALICE, "attic", "USDC"), 2 * USDC)
    tables.commit()
    harbour.endow(ALICE, 10 * USDC)
    harbour.endow(BOB, 10 * USDC)
    assert collection_links(harbour.state, harbour.at) == (
        Move("fee", ALICE, "house/fees", "USDC", 600_000),
        Move("fee", BOB, "house/fees", "USDC", USDC),
    )
