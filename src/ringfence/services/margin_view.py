"""What a book asks of margin: facts before each operation, from the book's own state and nothing else."""

from collections.abc import Callable
from typing import Protocol

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.book import BookState, Outcome
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.operations import Operation
from ringfence.planes.ledger.rules import Rules


class MarginView(Protocol):
    """What margin says about each operation of one book, from the book's own state and nothing else.

    Both are called in turn for every operation, on replay again, so that a replay gives the same facts.
    """

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:
        """Return the facts that the ledger needs to decide an operation."""

    def after(self, outcome: Outcome) -> None:
        """Take note of what became of that operation."""

    def follow(self, rules: Rules) -> None:
        """Go by other rules from the next operation on, and keep what was observed."""

    def written(self) -> bytes:
        """Write out what it remembers, for a snapshot; equal memories give equal bytes."""

    def restore(self, content: bytes) -> None:
        """Remember what was written out; ValueError where it is of another form."""


class NoMargin:
    """Says nothing: gates and trades that ask for margin stay shut."""

    def __init__(self, rules: Rules) -> None:
        """Need no rules."""

    def before(self, state: BookState, operation: Operation, at: Instant) -> Conditions:  # noqa: ARG002
        """Know nothing."""
        return NO_CONDITIONS

    def after(self, outcome: Outcome) -> None:
        """Take no note."""

    def follow(self, rules: Rules) -> None:
        """Need no rules."""

    def written(self) -> bytes:
        """Remember nothing."""
        return b""

    def restore(self, content: bytes) -> None:
        """Have nothing to remember."""


MarginOf = Callable[[Rules], MarginView]
"""Makes the margin view of a book that obeys these rules."""
