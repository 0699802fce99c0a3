"""Every key of a replay from one seed: for populations that do not exist, and for nothing else.

Whoever knows the seed can sign as anybody. Never use these keys for a book that holds anything.
"""

from ringfence.adapters import signatures_ed25519
from ringfence.kernel.digest import tagged_digest


class SeededKeys:
    """Signs with the key that a seed and a name give."""

    def __init__(self, seed: int) -> None:
        self._seed = seed.to_bytes(32)
        self._seeds: dict[str, bytes] = {}

    def public(self, key: str) -> bytes:
        """Return the public key of a key's concrete name."""
        return signatures_ed25519.public_key(self._seed_of(key))

    def sign(self, key: str, message: bytes) -> bytes:
        """Sign a message with a key."""
        return signatures_ed25519.sign(self._seed_of(key), message)

    def _seed_of(self, key: str) -> bytes:
        found = self._seeds.get(key)
        if found is None:
            found = tagged_digest("ringfence replay key", self._seed, key.encode())
            self._seeds[key] = found
        return found
