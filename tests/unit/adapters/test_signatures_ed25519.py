"""Ed25519 is what RFC 8032 says it is, and nothing else fits."""

import pytest

from ringfence.adapters.signatures_ed25519 import public_key, sign, verify

# RFC 8032, section 7.1, tests 1 and 2.
VECTORS = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
]
SEED, PUBLIC, MESSAGE, SIGNATURE = (bytes.fromhex(text) for text in VECTORS[1])
GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_standard(seed, public, message, signature):
    assert public_key(bytes.fromhex(seed)).hex() == public
    assert sign(bytes.fromhex(seed), bytes.fromhex(message)).hex() == signature
    assert verify(bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature))


@pytest.mark.parametrize("bit", [0, 7, 255, 256, 511])
def test_one_flipped_bit_does_not_fit(bit):
    flipped = bytearray(SIGNATURE)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(PUBLIC, MESSAGE, bytes(flipped))


def test_a_malleable_copy_of_a_signature_does_not_fit():
    half = int.from_bytes(SIGNATURE[32:], "little") + GROUP_ORDER
    assert not verify(PUBLIC, MESSAGE, SIGNATURE[:32] + half.to_bytes(32, "little"))


@pytest.mark.parametrize(
    ("public", "signature"),
    [
        (b"", SIGNATURE),
        (PUBLIC[:31], SIGNATURE),
        (b"\xff" * 32, SIGNATURE),
        (PUBLIC, b""),
        (PUBLIC, SIGNATURE[:63]),
    ],
)
def test_what_is_no_key_or_no_signature_does_not_fit(public, signature):
    assert not verify(public, MESSAGE, signature)
