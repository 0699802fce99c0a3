"""What is owed, and by whom: a dictionary that also knows its keys by their source.

Margin takes what a bucket owes off what it holds each time it values one, so it must not look through what
everybody owes to find that.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Owed = tuple[str, str, str, str]
"""What an entitlement is kept under: accrual, source, target, asset."""


class Entitlements(dict[Owed, int]):
    """Units owed; changed only by `[...] =`, `del`, `pop` and `update`, so that every change passes here."""

    def __init__(self) -> None:
        """Owe nothing."""
        super().__init__()
        self._of: dict[str, set[Owed]] = {}

    def by(self, source: str) -> Iterator[tuple[str, int]]:
        """Say what a source owes: (asset, units) of each entitlement against it, in no order."""
        return ((key[3], self[key]) for key in self._of.get(source, ()))

    def __setitem__(self, key: Owed, units: int) -> None:
        """Owe so much under a key."""
        if key not in self:
            self._of.setdefault(key[1], set()).add(key)
        super().__setitem__(key, units)

    def __delitem__(self, key: Owed) -> None:
        """Owe nothing more under a key; KeyError where nothing was."""
        super().__delitem__(key)
        left = self._of[key[1]]
        left.discard(key)
        if not left:
            del self._of[key[1]]

    def pop(self, key: Owed, *default: Any) -> Any:
        """Owe nothing more under a key, and say what was owed: as of a dictionary."""
        if default and key not in self:
            return default[0]
        units = self[key]
        del self[key]
        return units

    def update(self, owed: Mapping[Owed, int] | Iterable[tuple[Owed, int]] = ()) -> None:  # type: ignore[override]
        """Owe what is listed."""
        for key, units in dict(owed).items():
            self[key] = units
