"""The signing keys of one process, in its memory only."""

from collections.abc import Mapping

from ringfence.adapters import signatures_ed25519
from ringfence.planes.ledger.operations import Signature


class MemoryKeys:
    """Signs with the keys of a process; seeds: 32 bytes each, by name."""

    def __init__(self, seeds: Mapping[str, bytes]) -> None:
        self._seeds = dict(seeds)

    def sign(self, name: str, message: bytes) -> Signature | None:
        """Sign a message; None where this process does not hold the key."""
        seed = self._seeds.get(name)
        return None if seed is None else Signature(name, signatures_ed25519.sign(seed, message))
