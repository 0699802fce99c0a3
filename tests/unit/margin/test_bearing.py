"""From a failed bucket to the facts of its waterfall: deficits, pools with their room, winners."""

import pytest
from harbour import USDC, Harbour, e10, policy_of

from ringfence.margin.bearing import deficits, pools_in, waterfall_of, winners_in
from ringfence.margin.bucket import Position
from ringfence.margin.liquidation import Liquidation, plan_liquidation
from ringfence.margin.marks import Prices
from ringfence.margin.reading import bucket_in, buckets_in
from ringfence.margin.terms import compile_terms
from ringfence.margin.waterfall import PoolFacts, WinnerFacts

TERMS = compile_terms(policy_of())
ALICE, BOB, CAROL = "client/alice/directional", "client/bob/directional", "client/carol/hedge"
PRICES = Prices({"BTC": e10(57_000), "ETH": e10(3_000)}, {"BTC-PERP": e10(57_000), "ETH-PERP": e10(3_000)})


@pytest.fixture
def venue() -> Harbour:
    """Bob bought 600 contracts of alice and 400 of carol at 60,000; carol is hedged with a coin."""
    venue = Harbour()
    venue.price("BTC", 60_000)
    venue.fund("bob", "directional", 2_000 * USDC)
    venue.fund("alice", "directional", 5_000 * USDC)
    venue.fund("carol", "hedge", 5_000 * USDC)
    venue.fund("carol", "hedge", 40_000_000, "BTC")
    venue.trade(BOB, ALICE, 600, 60_000)
    venue.trade(BOB, CAROL, 400, 60_000)
    return venue


def plan_of(venue: Harbour) -> Liquidation:
    execution = {"BTC-PERP": e10(57_000)}
    return plan_liquidation(bucket_in(venue.state, BOB), PRICES, TERMS, execution)


def test_the_loss_of_a_takeover_is_a_deficit_on_its_contracts(venue: Harbour) -> None:
    ((passed, deficit),) = deficits(BOB, plan_of(venue), TERMS)
    assert passed is not None
    assert (passed.price_e10, deficit.units) == (e10(58_030), 1_030 * USDC)
    assert (deficit.contracts, deficit.lot_units) == (1_000, 1_030_000)


def test_what_is_missing_beside_positions_is_a_deficit_in_coins(venue: Harbour) -> None:
    bare = bucket_in(venue.state, BOB).with_balance("USDC-debt", 70_000 * USDC)
    plan = plan_liquidation(bare, PRICES, TERMS, {"BTC-PERP": e10(57_000)})
    found = list(deficits(BOB, plan, TERMS))
    assert [passed is None for passed, _ in found] == [False]
    nothing_open = plan_liquidation(bare.with_position(Position("BTC-PERP", 0, 0)), PRICES, TERMS, {})
    ((passed, deficit),) = deficits(BOB, nothing_open, TERMS)
    assert (passed, deficit.units, deficit.contracts) == (None, 68_030 * USDC, 0)


def test_a_bucket_that_is_only_closed_lacks_nothing(venue: Harbour) -> None:
    calm = plan_liquidation(bucket_in(venue.state, BOB), at_entry(), TERMS, {})
    assert list(deficits(BOB, calm, TERMS)) == []


def at_entry() -> Prices:
    return Prices({"BTC": e10(60_000)}, {"BTC-PERP": e10(60_000)})


def test_pools_pay_what_they_hold_and_their_gate_lets_through(venue: Harbour) -> None:
    fall = waterfall_of(venue.state, BOB)
    assert fall is not None
    assert pools_in(venue.state, fall, "USDC") == {"insurance/directional": PoolFacts(0, 250_000 * USDC)}
    venue.endow("insurance/directional", 300_000 * USDC)
    assert pools_in(venue.state, fall, "USDC") == {
        "insurance/directional": PoolFacts(300_000 * USDC, 250_000 * USDC)
    }
    # No gate takes BTC out of the pool.
    assert pools_in(venue.state, fall, "BTC") == {"insurance/directional": PoolFacts(0, 0)}


def test_only_winners_of_the_class_on_the_other_side_are_asked(venue: Harbour) -> None:
    fall = waterfall_of(venue.state, BOB)
    assert fall is not None
    ((passed, _),) = deficits(BOB, plan_of(venue), TERMS)
    assert passed is not None
    # Her fee as a maker is a rebate, which is not counted before it is paid.
    assert winners_in(venue.state, fall, passed, PRICES, TERMS) == (
        WinnerFacts(
            bucket=ALICE,
            pattern="client/{client}/directional",
            contracts=-600,
            profit=1_800 * USDC,
            equity=6_800 * USDC,
            notional=34_200 * USDC,
            entry=36_000 * USDC,
            net_contracts=-600,
        ),
    )


def test_a_hedged_winner_has_no_net_contracts(venue: Harbour) -> None:
    fall = waterfall_of(venue.state, BOB)
    assert fall is not None
    hedges = {"classes": ("client/{client}/hedge",)}
    steps = tuple(step.model_copy(update=hedges) for step in fall.steps[2:])
    for_hedges = fall.model_copy(update={"steps": steps})
    ((passed, _),) = deficits(BOB, plan_of(venue), TERMS)
    assert passed is not None
    (carol,) = winners_in(venue.state, for_hedges, passed, PRICES, TERMS)
    assert (carol.bucket, carol.contracts, carol.net_contracts) == (CAROL, -400, 0)


def test_who_no_waterfall_covers_has_none(venue: Harbour) -> None:
    assert waterfall_of(venue.state, "client/bob/cash") is None


def test_every_bucket_that_ever_held_anything_is_listed(venue: Harbour) -> None:
    assert buckets_in(venue.state) == (ALICE, BOB, CAROL)
