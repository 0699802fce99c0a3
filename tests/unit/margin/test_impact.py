"""What another policy would cost the people in a book, each figure by hand."""

import pytest
from harbour import NOON, TEXT, USDC, Harbour, rules_of

from ringfence.kernel.instant import MINUTE_NS, Instant
from ringfence.margin.calls import State
from ringfence.margin.impact import impact
from ringfence.planes.ledger.operations import Move

ALICE, BOB = "client/alice/hedge", "client/bob/hedge"
TIERS = 'large: [{from: 0 USDC, maintenance: "1 %", leverage: 50}]'


@pytest.fixture
def harbour() -> Harbour:
    """alice is long and bob short 100 contracts of 60 USDC each, with 1,000 USDC before fees."""
    harbour = Harbour()
    for member in ("alice", "bob"):
        harbour.fund(member, "hedge", 1_000 * USDC)
    harbour.price("BTC", 60_000)
    harbour.price("ETH", 2_000)
    harbour.trade(ALICE, BOB, 100, 60_000)
    return harbour


def edited(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def found(harbour: Harbour, old: str, new: str, at: int = NOON):
    return impact(harbour.state, rules_of(edited(old, new)), Instant(at))


def margin(percent: str) -> str:
    return TIERS.replace("1 %", percent).replace("50}", "4}")


def test_the_policy_in_force_costs_nobody_anything(harbour):
    same = impact(harbour.state, harbour.state.rules, NOON)
    assert (same.buckets, same.frozen, same.limits) == ((), (), ())
    assert same.valued == 2


def test_calls_and_liquidations_have_their_figures(harbour):
    # Notional 6,000; alice owes 3 of fees (0.05 %), so her equity is 997.
    alice, bob = found(harbour, TIERS, margin("15 %")).buckets
    assert (alice.bucket, bob.bucket) == (ALICE, BOB)
    assert (alice.before.state, alice.before.equity, alice.before.maintenance) == (
        State.FREE,
        997 * USDC,
        60 * USDC,
    )
    assert (alice.after.state, alice.after.maintenance) == (State.WARNED, 900 * USDC)
    assert (alice.is_called, alice.is_liquidated, alice.call_units) == (False, False, 0)


def test_a_call_says_what_would_cure_it(harbour):
    # 15.6 % of 6,000 is 936: 997 is under 110 % of it (1,029.6) and over 105 % (982.8).
    alice, _ = found(harbour, TIERS, margin("15.6 %")).buckets
    assert (alice.after.state, alice.is_called, alice.is_liquidated) == (State.CALLED, True, False)
    assert alice.call_units == 1_029_600_000 - 997 * USDC


def test_a_liquidation_says_what_would_be_closed(harbour):
    alice, _ = found(harbour, TIERS, margin("20 %")).buckets
    assert alice.is_liquidated
    ((instrument, contracts),) = alice.closed
    assert instrument == "BTC-PERP"
    assert 0 < contracts < 100
    # Fee 0.05 % and penalty 1 % of 60 USDC a contract.
    assert alice.closing_units == contracts * (30_000 + 600_000)


def test_what_could_not_leave_any_more_is_frozen(harbour):
    shut = found(
        harbour, "needs: [client_key], when: releasable", "needs: [client_key], when: [releasable, flat]"
    )
    assert [(one.compartment, one.asset, one.after_units) for one in shut.frozen] == [
        (ALICE, "USDC", 0),
        (BOB, "USDC", 0),
    ]
    # Initial margin at 50 times is 120, free 150 % of 60 is 90; alice may take all but 120 of her 997.
    assert shut.frozen[0].units == 877 * USDC
    less = found(harbour, TIERS, margin("1 %"))
    assert [(one.compartment, one.units) for one in less.frozen] == [
        (ALICE, (1_500 - 120) * USDC - 503 * USDC),
        (BOB, (1_500 - 120) * USDC - 500 * USDC),
    ]


def test_limits_already_used_are_listed(harbour):
    harbour.deposit("alice", 900 * USDC)
    harbour.move(Move("fund", "client/alice/cash", ALICE, "USDC", 200 * USDC), "client_key/alice")
    limit = 'limit: {each: {USDC: "1000000 per 1 d", BTC: "20 per 1 d", ETH: "400 per 1 d"}}}\n  release'
    uses = found(harbour, limit, limit.replace("1000000", "1100")).limits
    assert [(one.gate, one.members, one.used_units, one.left_units) for one in uses] == [
        ("fund", ("alice",), 1_200 * USDC, 0),
        ("fund", ("bob",), 1_000 * USDC, 100 * USDC),
    ]
    gone = found(harbour, limit, limit.replace("per 1 d", "per 1 h", 1)).limits
    assert [one.left_units for one in gone] == [
        1_000_000 * USDC - 1_200 * USDC,
        1_000_000 * USDC - 1_000 * USDC,
    ]


def test_a_bucket_without_a_price_is_named(harbour):
    late = found(harbour, TIERS, margin("20 %"), NOON + MINUTE_NS).buckets
    assert [one.bucket for one in late] == [ALICE, BOB]
    assert all(one.before is None and "price" in one.words for one in late)
