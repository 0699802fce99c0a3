"""Everything that can happen on a small book: every order of moves of single units, tried one by one."""

from collections.abc import Iterable, Sequence
from typing import Any

from ringfence.planes.ledger.tables import FORMS
from ringfence.proof.evidence import Hop
from ringfence.proof.scratch import START, Scratch

STATES_MAX = 1_500
"""States after which a search is given up as too large."""


class Player:
    """Plays every order of moves on one book, takes each back again, keeps the most that ever got out."""

    def __init__(
        self, scratch: Scratch, hops: Iterable[Hop], keys: Sequence[str], asset: str, outside: Iterable[str]
    ) -> None:
        self.scratch, self.hops, self.keys = scratch, tuple(hops), tuple(keys)
        self.asset, self.outside = asset, tuple(outside)
        self.seen: set[Any] = set()
        self.best = 0

    @property
    def is_complete(self) -> bool:
        """Say whether every state was seen."""
        return len(self.seen) <= STATES_MAX

    def play(self) -> None:
        """Go on from the state the book is in."""
        key = self._state()
        if key in self.seen or not self.is_complete:
            return
        self.seen.add(key)
        out = (self.scratch.state.balance(place, self.asset) for place in self.outside)
        self.best = max(self.best, sum(out))
        for hop in self.hops:
            before = self._copied()
            if self.scratch.ask([hop], 1, self.keys, START) is None:
                self.play()
            self._restore(before)

    def _tables(self) -> Any:
        return self.scratch.state.ledger.tables

    def _state(self) -> Any:
        tables = self._tables()
        return tuple(sorted(tables.balances.items())), tuple(sorted(tables.windows.items()))

    def _copied(self) -> dict[str, Any]:
        names = (*FORMS, "balances", "windows", "members")
        return {name: dict(getattr(self._tables(), name).items()) for name in names}

    def _restore(self, before: dict[str, Any]) -> None:
        for name, table in before.items():
            getattr(self._tables(), name).clear()
            getattr(self._tables(), name).update(table)
