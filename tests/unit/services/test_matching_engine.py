from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.kernel.errors import JournalBroken, StoreFailed, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Order, Signature
from ringfence.services.matching.engine import (
    Band,
    Cancel,
    Engine,
    Expire,
    Halt,
    MatchingService,
    Submit,
    Undo,
)
from ringfence.services.matching.order_book import Dropped, Matched, Refusal, Rested

TICKS = {"BTC-PERP": 10, "ETH-PERP": 1}
POLICY = b"p" * 32
SIGNED = (Signature("client_key/alice", b"good"),)


def order(number, side="buy", contracts=1, limit=100, owner="alice", instrument="BTC-PERP", **words):
    return Order(
        id=number,
        bucket=f"client/{owner}/hedge",
        instrument=instrument,
        side=side,
        contracts=contracts,
        limit_e10=limit,
        expires=10_000,
        policy=POLICY,
        signatures=words.pop("signatures", SIGNED),
        **words,
    )


def is_signed(submitted, at):
    signatures = submitted.order.signatures
    return bool(signatures) and signatures[0].value == b"good"


def engine():
    return Engine(TICKS, lambda bucket: bucket.split("/")[1])


def service(shelf=None):
    return MatchingService.recover(engine(), MemoryStore(shelf), POLICY, is_signed)


def with_band(shelf=None):
    made = service(shelf)
    made.carry_out([Band("BTC-PERP", 50, 200), Band("ETH-PERP", 50, 200)], Instant(1))
    return made


def test_a_fill_carries_both_signed_orders_and_the_next_number():
    made = with_band()
    sell, buy = order(1, "sell", owner="bob"), order(2, "buy")
    made.carry_out([Submit(sell), Submit(buy)], Instant(2))
    (numbered,) = made.engine.fills(0)
    assert numbered.number == 1
    fill = numbered.fill
    assert (fill.buy, fill.sell, fill.taker, fill.contracts, fill.price_e10) == (buy, sell, "buy", 1, 100)


def test_an_order_without_a_good_signature_changes_nothing_and_is_not_journalled():
    shelf = Shelf()
    made = with_band(shelf)
    kept = len(shelf.records)
    forged = order(1, signatures=(Signature("client_key/alice", b"bad"),))
    with pytest.raises(UsageError, match="is not signed"):
        made.carry_out([Submit(order(2)), Submit(forged)], Instant(2))
    assert len(shelf.records) == kept
    assert made.engine.book("BTC-PERP").depth("buy") == ()


@pytest.mark.parametrize("command", [Cancel("XRP-PERP", 1), Submit(order(1, instrument="XRP-PERP"))])
def test_an_instrument_that_is_not_traded_is_named(command):
    with pytest.raises(UsageError, match="XRP-PERP is not traded here"):
        with_band().carry_out([command], Instant(2))


def test_halting_one_instrument_leaves_the_other_trading():
    made = with_band()
    made.carry_out([Halt("BTC-PERP")], Instant(2))
    stopped, taken = made.carry_out([Submit(order(1)), Submit(order(2, instrument="ETH-PERP"))], Instant(3))
    assert stopped == (Dropped(1, 1, Refusal.HALTED),)
    assert taken == (Rested(2, 1),)
    made.carry_out([Halt("BTC-PERP", resumes=True)], Instant(4))
    assert made.carry_out([Submit(order(3))], Instant(5)) == ((Rested(3, 1),),)


def test_cancelling_and_expiry_reach_the_right_book():
    made = with_band()
    made.carry_out([Submit(order(1)), Submit(order(2, instrument="ETH-PERP"))], Instant(2))
    assert made.carry_out([Cancel("BTC-PERP", 1)], Instant(3)) == ((Dropped(1, 1, Refusal.CANCELLED),),)
    assert made.carry_out([Expire("ETH-PERP")], Instant(10_001)) == ((Dropped(2, 1, Refusal.EXPIRED),),)


def test_fills_are_given_out_in_pages_until_they_are_confirmed():
    made = with_band()
    for number in range(3):
        made.carry_out(
            [Submit(order(2 * number + 1, "sell", owner="bob")), Submit(order(2 * number + 2))], Instant(2)
        )
    assert [numbered.number for numbered in made.engine.fills(0, most=2)] == [1, 2]
    assert [numbered.number for numbered in made.engine.fills(2)] == [3]
    made.engine.confirm(2)
    made.engine.confirm(1)
    assert [numbered.number for numbered in made.engine.fills(2)] == [3]
    with pytest.raises(ValueError, match="no longer kept"):
        made.engine.fills(1)
    made.engine.confirm(99)
    assert made.engine.fills(3) == ()


commands = st.lists(
    st.one_of(
        st.builds(
            lambda number, side, contracts, limit, owner: Submit(
                order(number, side, contracts, limit, owner)
            ),
            st.integers(1, 60),
            st.sampled_from(["buy", "sell"]),
            st.integers(1, 4),
            st.sampled_from([90, 100, 110]),
            st.sampled_from(["alice", "bob"]),
        ),
        st.builds(Cancel, st.just("BTC-PERP"), st.integers(1, 60)),
        st.builds(Band, st.just("BTC-PERP"), st.sampled_from([50, 95]), st.sampled_from([105, 200])),
        st.builds(Halt, st.just("BTC-PERP"), st.booleans()),
        st.just(Expire("BTC-PERP")),
        st.builds(
            lambda number, side: Undo(number, "KEY_REVOKED", "no", at_fault=side),
            st.integers(1, 12),
            st.sampled_from([(), ("client/alice/hedge",), ("client/bob/hedge",)]),
        ),
    ),
    max_size=40,
)


@given(commands)
@settings(max_examples=100)
def test_a_recovered_engine_is_the_one_that_crashed(told):
    shelf = Shelf()
    made = with_band(shelf)
    for at, command in enumerate(told, start=2):
        with suppress(UsageError):  # a fill that is not there cannot be undone, and nothing is kept of that
            made.carry_out([command], Instant(at))
        bids, offers = (made.engine.book("BTC-PERP").depth(side) for side in ("buy", "sell"))
        assert not bids or not offers or bids[0][0] < offers[0][0]
    again = Shelf()
    again.records = list(shelf.records)
    recovered = service(again)
    assert recovered.engine.fills(0) == made.engine.fills(0)
    for side in ("buy", "sell"):
        assert recovered.engine.book("BTC-PERP").depth(side) == made.engine.book("BTC-PERP").depth(side)
    follow = order(1_000, "buy", 100, 110, owner="carol")
    assert recovered.carry_out([Submit(follow)], Instant(9_000)) == made.carry_out(
        [Submit(follow)], Instant(9_000)
    )


@given(commands)
@settings(max_examples=100)
def test_contracts_are_conserved_whatever_is_undone(told):
    """Filled and not undone, resting and dropped together are what was submitted."""
    made = with_band()
    submitted, filled, dropped = {}, {}, {}
    for at, command in enumerate(told, start=2):
        fills = made.engine.last_fill
        try:
            (events,) = made.carry_out([command], Instant(at))
        except UsageError:
            continue
        taken = isinstance(command, Submit) and command.order.id not in submitted
        refused = isinstance(command, Submit) and any(
            isinstance(e, Dropped) and e.reason in BEFORE_THE_BOOK for e in events
        )
        if taken and not refused:
            submitted[command.order.id] = command.order.contracts
        if isinstance(command, Undo):
            fill = made.engine.fills(command.fill - 1, 1)[0].fill
            for side in (fill.buy, fill.sell):
                filled[side.id] -= fill.contracts
        for numbered in made.engine.fills(fills):
            for side in (numbered.fill.buy, numbered.fill.sell):
                filled[side.id] = filled.get(side.id, 0) + numbered.fill.contracts
        for event in events:
            if isinstance(event, Dropped) and not refused:
                dropped[event.order] = dropped.get(event.order, 0) + event.contracts
        for number, contracts in submitted.items():
            found = filled.get(number, 0) + dropped.get(number, 0) + made.engine.left_of(number)
            assert found == contracts, (number, command)


def test_a_fill_is_undone_once_and_never_after_a_later_one():
    made = with_band()
    for number in range(3):
        made.carry_out(
            [Submit(order(2 * number + 1, "sell", owner="bob")), Submit(order(2 * number + 2))], Instant(2)
        )
    made.carry_out([Undo(2, "KEY_REVOKED", "no")], Instant(3))
    for number in (1, 2, 4):
        with pytest.raises(UsageError, match="3 to 3 can be undone"):
            made.carry_out([Undo(number, "KEY_REVOKED", "no")], Instant(4))
    made.engine.confirm(3)
    with pytest.raises(UsageError, match="fill 3 cannot be undone"):
        made.carry_out([Undo(3, "KEY_REVOKED", "no")], Instant(5))


def test_where_nobody_is_at_fault_the_order_that_came_to_the_other_ends():
    made = with_band()
    made.carry_out([Submit(order(1, "sell", 3, owner="bob")), Submit(order(2, "buy", 2))], Instant(2))
    made.carry_out([Undo(1, "PRICE_STALE", "too old", "venue.yaml:7")], Instant(3))
    assert (made.engine.left_of(1), made.engine.left_of(2)) == (3, 0)
    assert made.engine.undone(1) == made.engine.undone(2) == Undo(1, "PRICE_STALE", "too old", "venue.yaml:7")


def test_a_side_that_was_closed_by_force_is_not_put_back():
    made = with_band()
    forced = order(2, "buy", 2, reduce_only=True, time_in_force="ioc")
    made.carry_out([Submit(order(1, "sell", 3, owner="bob")), Submit(forced, 2, is_forced=True)], Instant(2))
    made.carry_out([Undo(1, "CONDITION_NOT_MET", "risk did not sign")], Instant(3))
    assert (made.engine.left_of(1), made.engine.left_of(2)) == (3, 0)


def test_a_forced_side_ends_even_where_the_other_came_to_it():
    made = with_band()
    forced = order(1, "sell", 2, owner="bob", reduce_only=True)
    made.carry_out([Submit(forced, 2, is_forced=True), Submit(order(2, "buy", 2))], Instant(2))
    made.carry_out([Undo(1, "PRICE_STALE", "too old")], Instant(3))
    assert (made.engine.left_of(1), made.engine.left_of(2)) == (0, 2)


BEFORE_THE_BOOK = {Refusal.ID_ALREADY_USED, Refusal.HALTED, Refusal.OUTSIDE_BAND, Refusal.EXPIRED}


class FullStore(MemoryStore):
    is_full = False

    def append(self, record):
        if self.is_full:
            raise StoreFailed("the disk is full")
        super().append(record)


def test_an_engine_whose_journal_fails_stops_and_loses_nothing_acknowledged():
    shelf = Shelf()
    store = FullStore(shelf)
    made = MatchingService.recover(engine(), store, POLICY, is_signed)
    made.carry_out([Band("BTC-PERP", 50, 200), Submit(order(1))], Instant(1))
    store.is_full = True
    with pytest.raises(StoreFailed, match="full"):
        made.carry_out([Submit(order(2))], Instant(2))
    with pytest.raises(StoreFailed, match="started again"):
        made.carry_out([Submit(order(3))], Instant(3))
    store.close()
    assert service(shelf).engine.book("BTC-PERP").depth("buy") == ((100, 1),)


def test_a_journal_that_was_changed_is_not_told_to_the_books():
    import dataclasses

    shelf = Shelf()
    made = with_band(shelf)
    made.carry_out([Submit(order(1))], Instant(2))
    broken = Shelf()
    broken.records = [
        *shelf.records[:-1],
        dataclasses.replace(shelf.records[-1], payload=shelf.records[-1].payload.replace(b"buy", b"sel")),
    ]
    with pytest.raises(JournalBroken, match="record 1"):
        service(broken)


def test_time_goes_on_even_when_the_caller_looks_back():
    shelf = Shelf()
    made = with_band(shelf)
    made.carry_out([Submit(order(1, "sell", owner="bob"))], Instant(500))
    (events,) = made.carry_out([Submit(order(2))], Instant(3))
    assert isinstance(events[0], Matched)
    assert [record.at for record in shelf.records] == sorted({record.at for record in shelf.records})
