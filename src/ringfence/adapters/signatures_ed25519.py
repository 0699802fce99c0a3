"""Ed25519 signatures (RFC 8032), by the `cryptography` package."""

from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ringfence.kernel.curve import is_proper_key, is_proper_signature

SEED_SIZE = 32
PUBLIC_SIZE = 32


def public_key(seed: bytes) -> bytes:
    """Return the 32 bytes of the public key that belongs to a 32-byte seed."""
    return _private(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def sign(seed: bytes, message: bytes) -> bytes:
    """Sign a message with the key of a 32-byte seed; 64 bytes, always the same for the same two."""
    return _private(seed).sign(message)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Say whether a signature fits; false too where the public key is no proper point of the curve.

    Stricter than RFC 8032 asks: points of small order and second spellings never fit.
    """
    if not is_proper_signature(signature):
        return False
    try:
        _public(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=262_144)
def _private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(maxsize=262_144)
def _public(public: bytes) -> Ed25519PublicKey:
    if not is_proper_key(public):
        raise ValueError("no proper point of the curve")
    return Ed25519PublicKey.from_public_bytes(public)
