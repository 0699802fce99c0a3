"""Accounts by number: every compartment and asset that rows have named, in a few bytes each.

A dictionary of names takes over two hundred bytes an account. Here the names of compartments lie end to end
in one array, found by open addressing; the accounts of a compartment are linked to each other.
"""

from array import array
from collections.abc import Iterator

_NONE = -1
_SLOTS_MIN = 64


class Accounts:
    """Numbers for (compartment, asset), from 0 on in the order in which they were added."""

    def __init__(self) -> None:
        self._names = bytearray()
        self._ends = array("I", [0])
        self._slots = array("i", [_NONE]) * _SLOTS_MIN
        self._last = array("i")
        self._assets: list[str] = []
        self._asset = array("H")
        self._owner = array("i")
        self._before = array("i")

    def __len__(self) -> int:
        return len(self._asset)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return (self.name(number) for number in range(len(self)))

    def get(self, compartment: str, asset: str) -> int | None:
        """Return the number of an account; None where it was not added."""
        owner = self._slots[self._slot(compartment.encode())]
        if owner == _NONE or asset not in self._assets:
            return None
        wanted, number = self._assets.index(asset), self._last[owner]
        while number != _NONE and self._asset[number] != wanted:
            number = self._before[number]
        return None if number == _NONE else number

    def add(self, compartment: str, asset: str) -> int:
        """Give the next number to an account that has none."""
        owner = self._compartment(compartment.encode())
        if asset not in self._assets:
            self._assets.append(asset)
        self._asset.append(self._assets.index(asset))
        self._owner.append(owner)
        self._before.append(self._last[owner])
        self._last[owner] = len(self) - 1
        return len(self) - 1

    def name(self, number: int) -> tuple[str, str]:
        """Return the compartment and the asset of an account."""
        return self._name(self._owner[number]).decode(), self._assets[self._asset[number]]

    def _compartment(self, name: bytes) -> int:
        slot = self._slot(name)
        if self._slots[slot] == _NONE:
            if 6 * len(self._last) >= 5 * len(self._slots):
                self._grow()
                slot = self._slot(name)
            self._slots[slot] = len(self._last)
            self._last.append(_NONE)
            self._names += name
            self._ends.append(len(self._names))
        return self._slots[slot]

    def _name(self, compartment: int) -> bytes:
        return bytes(self._names[self._ends[compartment] : self._ends[compartment + 1]])

    def _slot(self, name: bytes) -> int:
        """Return where the number of a compartment is kept, or would be."""
        size = len(self._slots)
        slot = hash(name) % size
        while self._slots[slot] != _NONE and self._name(self._slots[slot]) != name:
            slot = (slot + 1) % size
        return slot

    def _grow(self) -> None:
        self._slots = array("i", [_NONE]) * (2 * len(self._slots))
        for compartment in range(len(self._last)):
            self._slots[self._slot(self._name(compartment))] = compartment
