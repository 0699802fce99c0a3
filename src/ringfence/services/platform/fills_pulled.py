"""Fills on their way from matching into the book: in order, each decided once, refusals told back.

The book decides fills strictly by their numbers, so that after a crash the last one it knows says how far it
was. What it refused stays here until matching has undone it durably; a new process reads that in the journal.
"""

from collections.abc import Sequence
from itertools import takewhile

from ringfence.kernel.decision import Decision, Reason, Refused
from ringfence.planes.ledger.operations import Closing, Fill, Request
from ringfence.planes.ledger.trade import sides_named
from ringfence.services.matching.engine import NumberedFill
from ringfence.services.platform.messages import RefusedFill
from ringfence.services.platform.own_ids import fill_number

TOLD_MAX = 500
"""How many refused fills matching is told of at once."""

VOID = "risk did not sign the forced side"


class FillsPulled:
    """How far the book is with fills, those that wait for risk, and those whose refusal matching is to hear.

    decided: the number of the last fill that the book decided; forced: the next ones, which risk has to sign.
    """

    def __init__(self, decided: int) -> None:
        self.decided = decided
        self.forced: tuple[NumberedFill, ...] = ()
        self.refused_in_all = 0
        self._refused: dict[int, RefusedFill] = {}

    @property
    def refused(self) -> tuple[RefusedFill, ...]:
        """What matching has not been heard to have undone, in order, as much as it is told at once."""
        return tuple(self._refused[number] for number in sorted(self._refused)[:TOLD_MAX])

    @property
    def settled(self) -> int:
        """The number up to which matching needs to keep no fill once it was told of `refused`."""
        return self.decided if len(self._refused) <= TOLD_MAX else self.refused[-1].number

    def take(self, fresh: Sequence[NumberedFill]) -> tuple[NumberedFill, ...]:
        """Take fills after `decided`; return those that can be judged at once, up to the first forced one."""
        following = [one for one in fresh if one.number > self.decided]
        plain = tuple(takewhile(lambda one: not is_forced(one.fill), following))
        self.forced = tuple(takewhile(lambda one: is_forced(one.fill), following[len(plain) :]))
        return plain

    def note(self, numbered: NumberedFill, decision: Decision) -> None:
        """Take note of the book's answer to the next fill."""
        self.decided = max(self.decided, numbered.number)
        self.forced = tuple(one for one in self.forced if one.number > self.decided)
        if isinstance(decision, Refused):
            self._keep(numbered.number, numbered.fill, decision)

    def heard(self, undone: int) -> None:
        """Forget what matching has undone."""
        self._refused = {number: one for number, one in self._refused.items() if number > undone}

    def note_refused(self, request: Request, refused: Refused) -> None:
        """Take note of a request that an earlier process saw refused, if it was a fill's."""
        number = fill_number(request.id)
        if number is not None:
            fill = next((link for link in request.links if isinstance(link, Fill)), None)
            self._keep(number, fill, refused)

    def _keep(self, number: int, fill: Fill | None, refused: Refused) -> None:
        if number in self._refused:
            return
        self.refused_in_all += 1
        buckets = (fill.buy.bucket, fill.sell.bucket) if fill is not None else ()
        # A fill that was voided left a request of nothing in the book: its own words say nothing of it.
        is_void = refused.reason == Reason.CHAIN_IS_EMPTY
        self._refused[number] = RefusedFill(
            number,
            Reason.CONDITION_NOT_MET.name if is_void else refused.reason.name,
            VOID if is_void else refused.words,
            refused.rule,
            sides_named(refused.words, buckets),
        )


def is_forced(fill: Fill) -> bool:
    """Say whether a side of a fill is closed by force."""
    return isinstance(fill.buy, Closing) or isinstance(fill.sell, Closing)
