"""The gateway: it puts signatures together, waits to be pulled, and cannot be filled up."""

import asyncio

import msgspec
import pytest

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Cancel, Move, Request, RevokeKey, Signature
from ringfence.planes.network.wire import BODY_MAX, CallFailedError
from ringfence.services.platform import gateway
from ringfence.services.platform.messages import Asked, KeyChange, Outcome, Outcomes, Requests, pack, unpack

NOW = Instant(1_000)


def request(number=1, *signatures, units=5, expires=2_000, **words):
    move = Move("withdraw", "client/alice/cash", "outside/alice", "USDC", units)
    return Request(number, (move,), b"p" * 32, expires, signatures=signatures, **words)


def signed(key, value=b"good"):
    return Signature(key, value)


@pytest.fixture
def desk():
    return gateway.Gateway(None)


def waiting(desk):
    return desk.pull(Outcomes(), NOW).requests


def test_signatures_of_several_people_are_put_together(desk):
    assert desk.take(request(1, signed("client_key/alice")), NOW).state == "waiting"
    desk.take(request(1, signed("officer_a")), NOW)
    desk.take(request(1, signed("officer_a")), NOW)
    (kept,) = waiting(desk)
    assert [one.key for one in kept.signatures] == ["client_key/alice", "officer_a"]


def test_a_bad_signature_in_somebodys_name_does_not_push_the_good_one_out(desk):
    for value in (b"bad", b"worse", b"worst"):
        desk.take(request(1, signed("officer_a", value)), NOW)
    desk.take(request(1, signed("officer_a")), NOW)
    assert signed("officer_a") in waiting(desk)[0].signatures


def test_another_request_with_the_same_id_is_refused_and_changes_nothing(desk):
    desk.take(request(1, signed("client_key/alice")), NOW)
    assert desk.take(request(1, signed("officer_a"), units=6), NOW).state == "refused"
    assert waiting(desk) == (request(1, signed("client_key/alice")),)


def test_what_was_pulled_waits_until_its_outcome_is_told(desk):
    desk.take(request(1), NOW)
    assert len(waiting(desk)) == len(waiting(desk)) == 1
    desk.pull(Outcomes((Outcome(1, "waiting", words="officer_a"),)), NOW)
    assert len(waiting(desk)) == 1
    desk.pull(Outcomes((Outcome(1, "accepted"),)), NOW)
    assert waiting(desk) == ()
    assert desk.outcomes(Asked((1, 2))) == (Outcome(1, "accepted"),)
    assert desk.take(request(1), NOW) == Outcome(1, "accepted")


@pytest.mark.parametrize("bad", [request(1, expires=999), request(1, *(signed(f"k{n}") for n in range(65)))])
def test_an_expired_or_overloaded_request_is_not_kept(desk, bad):
    assert desk.take(bad, NOW).state == "refused"
    assert waiting(desk) == ()


def test_it_is_full_at_a_number_and_says_so(desk, monkeypatch):
    monkeypatch.setattr(gateway, "WAITING_MAX", 2)
    for number in (1, 2):
        desk.take(request(number), NOW)
    with pytest.raises(CallFailedError) as failed:
        desk.take(request(3), NOW)
    assert failed.value.code == "overloaded"
    assert desk.take(request(2, signed("officer_a")), NOW).state == "waiting"


def test_a_cancellation_is_handed_over_once(desk):
    cancel = Cancel(1, b"c" * 32, "not mine")
    desk.take_cancel(cancel, NOW)
    assert desk.pull(Outcomes(), NOW).cancels == (cancel,)
    assert desk.pull(Outcomes(), NOW).cancels == ()


def test_the_signatures_kept_are_bounded(desk):
    for number in range(200):
        desk.take(request(1, signed(f"key{number}")), NOW)
    assert len(waiting(desk)[0].signatures) == 64
    assert msgspec.structs.replace(waiting(desk)[0], signatures=()) == request(1)


def test_nobody_stands_in_the_way_of_what_is_new(desk):
    """A thousand requests that wait for others are offered again a few at a time, after what is new."""
    for number in range(1, 1_001):
        desk.take(request(number, signed("client_key/mallory")), NOW)
    pulled = [one.id for _ in range(3) for one in waiting(desk)]
    assert sorted(pulled[:1_000]) == [*range(1, 1_001)]
    desk.take(request(5_000, signed("client_key/alice")), NOW)
    assert waiting(desk)[0].id == 5_000
    offered = {one.id for _ in range(100) for one in waiting(desk)}
    assert len(offered) == 1_001


def test_a_new_signature_hands_a_request_over_again_at_once(desk):
    for number in range(1, 101):
        desk.take(request(number, signed("client_key/mallory")), NOW)
    waiting(desk)
    desk.take(request(7, signed("officer_a")), NOW)
    assert [one.key for one in waiting(desk)[0].signatures] == ["client_key/mallory", "officer_a"]


def test_what_is_handed_over_fits_a_frame(desk):
    many = [signed(f"key_{number}", bytes(64)) for number in range(60)]
    for number in range(1, 501):
        desk.take(request(number, *many), NOW)
    pulls = []
    while sum(map(len, pulls)) < 500:
        pulls.append(waiting(desk))
    assert all(len(msgspec.json.encode(one)) < BODY_MAX for one in pulls)
    assert len({one.id for pull in pulls for one in pull}) == 500


def test_what_strangers_say_at_length_keeps_no_pull_from_fitting_a_frame(desk):
    """Also what is offered again, and orders to end requests, and changes of keys."""
    for number in range(1, 31):
        desk.take(request(number, signed("client_key/mallory"), reason="x" * 90_000), NOW)
        desk.take_cancel(Cancel(number, b"", "x" * 90_000), NOW)
        desk.take_change(KeyChange(RevokeKey(f"client_key/{number}", "x" * 90_000)), NOW)
    pulls = [desk.pull(Outcomes(), NOW) for _ in range(40)]
    assert max(len(pack(one)) for one in pulls) < BODY_MAX
    assert {one.id for pull in pulls for one in pull.requests} == {*range(1, 31)}
    assert sum(len(pull.cancels) for pull in pulls) == sum(len(pull.changes) for pull in pulls) == 30


def test_what_is_too_large_for_a_pull_is_not_kept(desk):
    long = "x" * gateway.SAID_BYTES_MAX
    with pytest.raises(CallFailedError, match="at most 100,000"):
        desk.take(request(1, reason=long), NOW)
    with pytest.raises(CallFailedError, match="at most 100,000"):
        desk.take_cancel(Cancel(1, b"", long), NOW)
    with pytest.raises(CallFailedError, match="at most 100,000"):
        desk.take_change(KeyChange(RevokeKey("client_key/alice", long)), NOW)
    with pytest.raises(CallFailedError, match="longer than any"):
        desk.take(request(1, signed("officer_a", bytes(65))), NOW)
    assert desk.pull(Outcomes(), NOW) == Requests()


class Unasked:
    async def call(self, target, method, body):
        raise AssertionError(f"{target} was asked {method} of nothing")


def test_matching_is_not_asked_about_what_is_known_here():
    desk = gateway.Gateway(Unasked())
    desk.take(request(1), NOW)
    desk.pull(Outcomes((Outcome(1, "accepted"),)), NOW)
    answer = asyncio.run(desk.methods["outcomes"].take(pack(Asked((1,))), NOW))
    assert unpack(Outcomes, answer).outcomes == (Outcome(1, "accepted"),)
