"""The public keys of a book as facts in order, so that a follower is told of each once and never of all."""

from collections.abc import Iterable

from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.operations import OpenMember, Operation, RegisterKey, RevokeKey, RotateKey
from ringfence.services.platform.messages import KeyFact, KeysTold

FACTS_MAX = 1_000
"""How many facts a follower is told at once."""


class KeyLog:
    """Every key as it stands, in the order in which that changed.

    epoch: names this list; another process makes another one, and its followers begin anew.
    """

    def __init__(self, state: BookState, epoch: int) -> None:
        self._state = state
        self._epoch = epoch
        self._facts = [self._fact(name) for name in state.public_keys()]

    def all(self) -> tuple[KeyFact, ...]:
        """Return every fact."""
        return tuple(self._facts)

    def note(self, operations: Iterable[Operation]) -> tuple[KeyFact, ...]:
        """Take note of keys that operations may have changed; return how they stand now."""
        names = dict.fromkeys(name for operation in operations for name in _names(operation))
        fresh = tuple(self._fact(name) for name in names if name in self._state.public_keys())
        self._facts += fresh
        return fresh

    def after(self, epoch: int, count: int) -> KeysTold:
        """Return what follows the first `count` facts that a follower has of an epoch."""
        first = count if epoch == self._epoch else 0
        return KeysTold(self._epoch, first, tuple(self._facts[first : first + FACTS_MAX]))

    def _fact(self, name: str) -> KeyFact:
        state = self._state
        former, until = state.former_keys().get(name, (b"", 0))
        return KeyFact(name, state.public_keys()[name], former, until, name in state.revoked_keys())


def _names(operation: Operation) -> tuple[str, ...]:
    match operation:
        case OpenMember():
            return tuple(f"{name}/{operation.member}" for name in operation.keys)
        case RegisterKey() | RotateKey() | RevokeKey():
            return (operation.key,)
    return ()
