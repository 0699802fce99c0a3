"""What is no proper Ed25519 key or signature, whoever verifies it (RFC 8032; the cofactor is 8).

For a public key of small order a signature exists that fits every message, or every eighth, without any
secret. A second spelling of the same point or of the same half of a signature would let a copy pass as
another record. The five y below are those of the eight points of small order; the sign of x does not matter.
"""

from typing import Final

PRIME: Final = 2**255 - 19
"""The field's."""

GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""Of the base point: the second half of a signature is below it."""

KEY_SIZE: Final = 32
SIGNATURE_SIZE: Final = 64

_Y_OF_EIGHTH: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER: Final = frozenset({0, 1, PRIME - 1, _Y_OF_EIGHTH, PRIME - _Y_OF_EIGHTH})
_Y_MASK: Final = 2**255 - 1


def is_proper_key(public: bytes) -> bool:
    """Say whether 32 bytes are the one spelling of a point that is not of small order."""
    return len(public) == KEY_SIZE and _is_proper_point(public)


def is_proper_signature(signature: bytes) -> bool:
    """Say whether 64 bytes are the one spelling of a signature whose point is not of small order."""
    if len(signature) != SIGNATURE_SIZE:
        return False
    half = int.from_bytes(signature[KEY_SIZE:], "little")
    return half < GROUP_ORDER and _is_proper_point(signature[:KEY_SIZE])


def _is_proper_point(point: bytes) -> bool:
    y = int.from_bytes(point, "little") & _Y_MASK
    return y < PRIME and y not in _SMALL_ORDER
