"""Improper Ed25519 points and signatures; the small-order encodings are those of the published lists."""

import pytest

from ringfence.kernel.curve import (
    GROUP_ORDER,
    PRIME,
    is_proper_key,
    is_proper_signature,
)

KEY = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
# The points of order 1, 2, 4 and 8 as they are encoded.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
]


@pytest.mark.parametrize("point", SMALL)
@pytest.mark.parametrize("sign", [0, 0x80])
def test_a_point_of_small_order_is_no_key_and_starts_no_signature(point, sign):
    encoded = bytearray.fromhex(point)
    encoded[31] |= sign
    assert not is_proper_key(bytes(encoded))
    assert not is_proper_signature(bytes(encoded) + bytes(32))


@pytest.mark.parametrize(("over", "proper"), [(-2, True), (0, False), (1, False), (18, False)])
def test_a_point_has_one_spelling(over, proper):
    assert is_proper_key((PRIME + over).to_bytes(32, "little")) == proper


@pytest.mark.parametrize(("half", "proper"), [(0, True), (GROUP_ORDER - 1, True), (GROUP_ORDER, False)])
def test_the_second_half_is_below_the_order(half, proper):
    assert is_proper_signature(KEY + half.to_bytes(32, "little")) == proper


def test_the_length_is_right():
    assert is_proper_key(KEY)
    assert not is_proper_key(KEY[:31])
    assert not is_proper_key(KEY + b"\0")
    assert not is_proper_signature(KEY + bytes(31))
    assert not is_proper_signature(KEY + bytes(33))
