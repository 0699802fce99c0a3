"""Frames of a session: one order each, in order, once, and only with the secret."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.planes.ledger.operations import Order, signing_bytes
from ringfence.planes.ledger.trading_sessions import session_key
from ringfence.services.frames import SECRET_SIZE, Frame, FrameDoor, frame

SECRET, SESSION = b"s" * SECRET_SIZE, 7
ORDER = Order(1, "client/alice/hedge", "BTC-PERP", "buy", 1, 10**15, 10**18, b"p" * 32)


def sign(message: bytes) -> bytes:
    return b"signed " + message


@pytest.fixture
def door() -> FrameDoor:
    one = FrameDoor(sign)
    one.admit(SESSION, SECRET)
    return one


def test_a_frame_that_counts_becomes_an_order_with_the_services_voucher(door: FrameDoor) -> None:
    order = door.take(frame(SECRET, SESSION, 1, ORDER))
    assert order is not None
    assert msgspec.structs.replace(order, signatures=()) == ORDER
    (voucher,) = order.signatures
    assert (voucher.key, voucher.value) == (session_key(SESSION), sign(signing_bytes(ORDER)))


def test_a_frame_counts_once_and_in_order(door: FrameDoor) -> None:
    first, second = (frame(SECRET, SESSION, number, ORDER) for number in (1, 5))
    assert door.take(second) is not None
    assert door.take(second) is None
    assert door.take(first) is None
    assert door.take(frame(SECRET, SESSION, 6, ORDER)) is not None


def test_a_bad_frame_does_not_use_up_a_number(door: FrameDoor) -> None:
    assert door.take(frame(b"x" * SECRET_SIZE, SESSION, 9, ORDER)) is None
    assert door.take(frame(SECRET, SESSION, 1, ORDER)) is not None


@given(st.sampled_from(["session", "sequence", "order", "mac"]), st.integers(0, 31))
def test_whatever_is_changed_is_no_frame(part: str, place: int) -> None:
    door = FrameDoor(sign)
    for number in (SESSION, SESSION + 1):
        door.admit(number, SECRET)
    sent = frame(SECRET, SESSION, 1, ORDER)
    mac = bytearray(sent.mac)
    mac[place] ^= 1
    changed = {
        "session": msgspec.structs.replace(sent, session=SESSION + 1),
        "sequence": msgspec.structs.replace(sent, sequence=2),
        "order": msgspec.structs.replace(sent, order=msgspec.structs.replace(ORDER, contracts=2)),
        "mac": msgspec.structs.replace(sent, mac=bytes(mac)),
    }[part]
    assert door.take(changed) is None
    assert door.take(sent) is not None


def test_a_session_that_was_never_admitted_or_is_dismissed_takes_nothing(door: FrameDoor) -> None:
    assert door.take(frame(SECRET, SESSION + 1, 1, ORDER)) is None
    door.dismiss(SESSION)
    door.dismiss(SESSION)
    assert door.take(frame(SECRET, SESSION, 1, ORDER)) is None
    with pytest.raises(ValueError, match="32 bytes"):
        door.admit(SESSION, SECRET[:-1])


def test_nothing_but_an_order_fits_into_a_frame() -> None:
    other = {"session": 1, "sequence": 1, "mac": b"", "order": {"type": "move", "gate": "withdraw"}}
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(other, Frame)
