"""The whole platform in network namespaces: orders traded, buckets closed, withdrawals approved and paid."""

import asyncio
import os

import msgspec
import pytest
from stages import USDC, Running

from ringfence import wiring, wiring_platform
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import Signature

MODE = os.environ.get("PLATFORM_MODE", "namespaces")


@pytest.fixture(scope="module")
def walls():
    from stages import quick_venue

    return wiring_platform.raise_walls(quick_venue()) if MODE == "namespaces" else None


@pytest.fixture(scope="module")
def running(walls, tmp_path_factory):
    made = Running(tmp_path_factory.mktemp("platform"), MODE)
    yield made
    made.close()


@pytest.fixture(scope="module")
def venue(running):
    """alice is leveraged, bob and carol are on the other side of everything, dora takes whatever is sold."""
    running.open("alice", hedge=1_500)
    running.open("bob", hedge=40_000)
    running.open("carol", directional=40_000)
    running.open("dora", directional=40_000)
    return running


def test_every_service_runs_in_its_sandbox_and_holds_only_its_own_keys(running):
    for name, state in running.states().items():
        assert state.state == "running", name
        assert "no capabilities" in state.running.sandbox
        assert state.running.not_sandboxed == ()
    held = {name: set(one.holds) for name, one in running.policy.services.items()}
    for name in running.platform.names:
        assert set(running.platform.beginning(name).seeds) == held.get(name, set())


def test_signed_orders_are_traded_and_the_fill_is_in_the_book(venue):
    sell = venue.order("client/bob/hedge", "sell", 100, 65_000)
    buy = venue.order("client/alice/hedge", "buy", 100, 65_000)
    assert venue.place_when_risk_has_heard(sell).state == "standing"
    assert venue.place_when_risk_has_heard(buy).state == "filled"
    venue.until(lambda: venue.position("client/alice/hedge") == 100, "the fill")
    assert venue.position("client/bob/hedge") == -100
    venue.until(lambda: venue.balance("house/fees") > 0, "the fee")


def test_an_order_in_somebody_elses_name_is_not_matched(venue):
    order = venue.order("client/bob/hedge", "buy", 1, 65_000)
    stolen = msgspec.structs.replace(order, bucket="client/alice/hedge")
    renamed = msgspec.structs.replace(
        stolen, signatures=(Signature("client_key/alice", order.signatures[0].value),)
    )
    told = venue.place(stolen, renamed, msgspec.structs.replace(order, contracts=2))
    assert [one.reason for one in told] == ["SIGNATURE_INVALID"] * 3


def test_an_order_that_margin_does_not_permit_is_not_matched(venue):
    (told,) = venue.place(venue.order("client/alice/hedge", "buy", 1_000, 65_000))
    assert (told.state, told.reason) == ("refused", "RISK_REFUSED")
    assert "MARGIN" in told.words or "LEVERAGE" in told.words


def test_a_settlement_pays_the_winner_from_the_loser(venue):
    before = venue.balance("client/alice/hedge")
    venue.price(65_500)
    venue.until(lambda: venue.balance("client/alice/hedge") == before + 50 * USDC, "the settlement")
    assert venue.balance("clearing") == 0


def test_matching_that_is_killed_loses_no_order_it_answered_for(venue):
    standing = [venue.order("client/dora/directional", "buy", 1, 65_000 - n) for n in range(5)]
    assert {told.state for told in venue.place(*standing)} == {"standing"}
    venue.platform.kill("matching")
    venue.until(lambda: venue.states()["matching"].restarts == 1, "the restart of matching")
    sells = venue.order("client/bob/hedge", "sell", 5, 64_990, time_in_force="ioc")

    def sold():
        try:
            return venue.place(sells)[0].state == "filled"
        except UnreachableError:
            return False

    before = venue.position("client/dora/directional")
    venue.until(sold, "the orders that stood before the crash")
    venue.until(lambda: venue.position("client/dora/directional") == before + 5, "their fills in the book")


@pytest.mark.parametrize("service", ["ledger", "risk", "gateway", "watcher", "marks", "wallet"])
def test_each_service_may_be_killed_and_the_platform_goes_on(venue, service):
    restarts = venue.states()[service].restarts
    venue.platform.kill(service)
    venue.until(lambda: venue.states()[service].restarts == restarts + 1, f"the restart of {service}")
    venue.until(lambda: venue.states()[service].running is not None, f"{service} running")
    before = venue.position("client/dora/directional")

    def traded():
        sell = venue.order("client/bob/hedge", "sell", 1, 65_500)
        buy = venue.order("client/dora/directional", "buy", 1, 65_500)
        try:
            return [one.state for one in venue.place(sell, buy)] == ["standing", "filled"]
        except UnreachableError:
            return False

    venue.until(traded, f"a trade after {service} came back")
    venue.until(lambda: venue.position("client/dora/directional") > before, "its fill")


def test_a_failing_bucket_is_closed_at_the_market(venue):
    held = venue.position("client/alice/hedge")
    for price in (62_500, 59_500, 56_500, 54_000, 51_600, 50_200):
        venue.price(price)
        venue.wait(0.3)
        venue.place(venue.order("client/carol/directional", "buy", 60, price))
    venue.until(lambda: venue.position("client/alice/hedge") < held, "the closing", 25)
    assert venue.position("client/alice/hedge") >= 0
    assert venue.balance("clearing") == 0


def test_a_bucket_that_nobody_in_the_market_takes_passes_to_the_pool(venue):
    """Nobody bids for what erin holds, and she owes more than she has: the pool gets it at her last price."""
    venue.open("erin", hedge=1_500)
    officers, house = ("officer_a", "officer_b"), "house/treasury"
    venue.move("adjust", "client/dora/cash", house, 1_000 * USDC, *officers, reason="the pool was empty")
    venue.move("fill_pool", house, "insurance/hedge", 1_000 * USDC, *officers)
    sell = venue.order("client/bob/hedge", "sell", 180, 3_500, instrument="ETH-PERP")
    buy = venue.order("client/erin/hedge", "buy", 180, 3_500, instrument="ETH-PERP")
    venue.place_when_risk_has_heard(sell)
    assert venue.place_when_risk_has_heard(buy).state == "filled"
    venue.until(lambda: venue.position("client/erin/hedge", "ETH-PERP") == 180, "the fill")

    venue.price(2_600, "index/ETH")
    venue.until(lambda: venue.position("insurance/hedge", "ETH-PERP") == 180, "the takeover", 30)
    assert venue.position("client/erin/hedge", "ETH-PERP") == 0
    assert venue.position("client/bob/hedge", "ETH-PERP") == -180
    # The pool pays what she could not: its next settlement is at the index, below her last price.
    venue.until(lambda: venue.balance("insurance/hedge") < 1_000 * USDC, "the pool's settlement")
    assert venue.balance("insurance/hedge") > 0
    assert venue.balance("clearing") == 0


def test_a_withdrawal_that_two_approve_is_signed_by_the_wallet_and_paid_after_its_delay(venue):
    paid = venue.figure("wallet", "paid")
    request = venue.cast.request("withdraw", "client/carol/cash", "outside/carol", "USDC", 1_000 * USDC)
    before = venue.balance("client/carol/cash")
    venue.run(venue.cast.send(request, "client_key/carol"))
    venue.wait(0.4)
    assert venue.outcome(request) == "waiting"
    venue.run(venue.cast.send(request, "officer_a"))
    venue.until(lambda: venue.outcome(request) == "pending", "both approvals and the wallet's signature")
    assert venue.balance("client/carol/cash") == before
    venue.until(lambda: venue.outcome(request) == "accepted", "the end of the delay")
    assert venue.balance("client/carol/cash") == before - 1_000 * USDC
    venue.until(lambda: venue.figure("wallet", "paid") == paid + 1, "the payment on the chain")


def test_a_withdrawal_that_is_cancelled_pays_nothing(venue):
    request = venue.cast.request("withdraw", "client/carol/cash", "outside/carol", "USDC", 500 * USDC)
    before, paid = venue.balance("client/carol/cash"), venue.figure("wallet", "paid")
    venue.run(venue.cast.send(request, "client_key/carol", "officer_b"))
    venue.until(lambda: venue.outcome(request) == "pending", "the announcement")
    venue.run(venue.cast.end(request, "not mine", "officer_a"))
    venue.until(lambda: venue.outcome(request) == "refused", "the cancellation")
    venue.wait(2.5)
    assert venue.balance("client/carol/cash") == before
    assert venue.figure("wallet", "paid") == paid


def test_a_fill_that_the_book_refuses_is_undone_whoever_is_killed_meanwhile(venue):
    """Frank's order stands when he revokes his key; what fills it is refused, and bob's side stands again."""
    eth = {"instrument": "ETH-PERP"}
    venue.open("frank", hedge=5_000)
    venue.price(2_600, "index/ETH")
    venue.wait(0.5)
    buy = venue.order("client/frank/hedge", "buy", 3, 2_600, **eth)
    assert venue.place_when_risk_has_heard(buy).state == "standing"
    venue.run(venue.cast.revoke("client_key/frank", "stolen", "client_key/frank"))
    late = venue.order("client/frank/hedge", "buy", 1, 2_500, **eth)
    venue.until(lambda: venue.place(late)[0].reason == "SIGNATURE_INVALID", "matching hearing of it")
    before = venue.position("client/bob/hedge", "ETH-PERP")
    sell = venue.order("client/bob/hedge", "sell", 2, 2_600, **eth)
    assert venue.place(sell)[0].state == "filled"
    for service in ("matching", "ledger"):
        venue.platform.kill(service)
    for order, words in ((sell, "2 stand"), (buy, "nothing of it stands")):
        venue.until(lambda order=order: venue.outcome(order) == "undone", "both clients told")
        told = venue.run(venue.cast.outcome(order))
        assert told.reason == "KEY_REVOKED"
        assert words in told.words
    assert venue.figure("matching", "last undone") > 0
    assert venue.position("client/bob/hedge", "ETH-PERP") == before
    assert venue.position("client/frank/hedge", "ETH-PERP") == 0
    venue.open("gina", hedge=5_000)
    again = venue.order("client/gina/hedge", "buy", 2, 2_600, **eth)
    assert venue.place_when_risk_has_heard(again).state == "filled"
    venue.until(
        lambda: venue.position("client/bob/hedge", "ETH-PERP") == before - 2, "bob's order filled by another"
    )


def test_a_client_changes_its_key_while_everything_runs(venue):
    """Orders and a withdrawal go on with the new key; the old one counts until the instant it named."""
    clock = SystemClock()
    until = Instant(clock.now() + 3 * SECOND_NS)
    venue.price(50_200)
    old = venue.order("client/dora/directional", "buy", 1, 49_000)
    venue.run(venue.stage.rotate("client_key/dora", until))
    new = venue.order("client/dora/directional", "buy", 1, 49_000)
    venue.until(lambda: venue.place(new)[0].state == "standing", "matching hearing of the new key")
    if clock.now() < until - SECOND_NS:
        assert venue.place(old)[0].state == "standing"
    venue.until(lambda: clock.now() > until, "the end of the old key")
    fresh = msgspec.structs.replace(old, id=venue.cast.new_id())
    assert venue.place(fresh)[0].reason == "SIGNATURE_INVALID"
    request = venue.cast.request("withdraw", "client/dora/cash", "outside/dora", "USDC", 10 * USDC)
    paid = venue.figure("wallet", "paid")
    venue.run(venue.cast.send(request, "client_key/dora", "officer_a"))
    venue.until(lambda: venue.figure("wallet", "paid") == paid + 1, "the wallet paying by the new key")


def test_identities_are_renewed_without_a_dropped_call(venue):
    async def trade_on():
        bids = [venue.order("client/hugo/hedge", "buy", 1, 49_001 + n) for n in range(40)]
        told = []
        for number, bid in enumerate(bids):
            if number % 8 == 4:
                await asyncio.gather(*(venue.platform.renew(name) for name in venue.policy.services))
            told += await venue.cast.place(bid)
        return told

    venue.open("hugo", hedge=5_000)
    venue.price(50_200)
    first = venue.order("client/hugo/hedge", "buy", 1, 49_000)
    venue.until(lambda: venue.place(first)[0].state == "standing", "the first order")
    before = {name: one.running.serial for name, one in venue.states().items()}
    assert [one.state for one in venue.run(trade_on())] == ["standing"] * 40
    after = {name: one.running.serial for name, one in venue.states().items()}
    assert all(after[name] != before[name] for name in venue.policy.services)


def test_the_network_still_enforces_what_the_policy_declares(venue, walls):
    if walls is None:
        pytest.skip("there are no namespaces")
    assert not any(walls.enforced.drift(walls.generation.rules).values())


def test_a_revoked_service_is_spoken_with_by_nobody(venue):
    venue.run(venue.platform.revoke("gateway"))
    refusals = venue.states()["matching"].running.refusals
    with pytest.raises(UnreachableError):
        venue.place(venue.order("client/dora/directional", "buy", 1, 45_000))
    venue.until(lambda: venue.states()["matching"].running.refusals > refusals, "the refusal in its log")


def test_the_book_that_is_left_verifies_and_conserves(running):
    digest = running.run(running.stage.holdings()).digest
    running.run(running.platform.stop_one("ledger"))
    book = wiring.read_book(running.folder / "ledger" / "ledger.book")
    book.state.check_conservation()
    assert book.state.digest().hex() == digest
    book.close()
