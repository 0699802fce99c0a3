"""The risk loop: prices in, everybody valued, whoever must be closed is closed, the riskiest first.

    offer      keeps the newest quotes of each price: ticks that come faster than rounds become one
    round      prices into the book -> one tick over all buckets -> whoever is called and has a standing
               mandate is topped up under it -> what changed is told to the book -> the riskiest are closed
               by real requests, durable before the next

Each round takes at most one tick and always closes some, so neither can starve the other. What is to be
closed is planned again from the book for each bucket, and judged by the book like any other request; what it
refuses is tried again at the next tick. The loop reads no clock and draws no random numbers: the same book,
quotes, times and ids give the same requests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np

from ringfence.kernel.decision import Refused
from ringfence.kernel.errors import BadInput, UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import MINUTE_NS, Instant
from ringfence.margin.batch import compile_batch
from ringfence.margin.bucket import Bucket
from ringfence.margin.calls import State
from ringfence.margin.limits import daily_loss_allowed
from ringfence.margin.liquidation import Closure
from ringfence.margin.marks import Prices
from ringfence.margin.reading import buckets_in
from ringfence.margin.terms import compile_terms
from ringfence.margin.watch import NO_LIMITS, Decisions, Numbers, Watch, WatchedLimits, watch
from ringfence.planes.ledger.book import Outcome
from ringfence.planes.ledger.operations import (
    Fill,
    Link,
    Move,
    Order,
    PriceFact,
    Remark,
    Request,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.payments import collection_links
from ringfence.planes.ledger.signed_batch import BatchToSign
from ringfence.planes.ledger.tables import Given
from ringfence.services.closing import market_fill, takeover_fills
from ringfence.services.given import top_up_under
from ringfence.services.instructions import Sign
from ringfence.services.ledger import OPERATIONS_PER_BATCH_MAX, Book
from ringfence.services.margin_facts import LOOK, MarginFacts
from ringfence.services.snapshots import without_collecting

CLOSINGS_PER_ROUND = 500
"""How many buckets one round closes: they are one durable batch, and the next tick never waits for more."""

EVIDENCE = ("risk_key", "ledger_key")

NewId = Callable[[Instant], RequestId]


class Market(Protocol):
    """Where a position can be closed."""

    def offer(self, closure: Closure, at: Instant) -> Order | None:
        """Return a signed order on the other side of a forced fill at its price; None where nobody offers."""


class NoMarket:
    """Offers nothing: only takeovers can be carried out."""

    def offer(self, closure: Closure, at: Instant) -> Order | None:
        """Offer nothing."""
        del closure, at
        return None


@dataclass(frozen=True, slots=True)
class Closed:
    """One attempt to close a bucket: by which fills, and why not (None: it was done)."""

    bucket: str
    fills: tuple[Fill, ...]
    refused: Refused | None


@dataclass(frozen=True, slots=True)
class ToppedUp:
    """One attempt to bring a bucket what it lacks: the move, and why not (None: it was done)."""

    move: Move
    refused: Refused | None


@dataclass(frozen=True, slots=True)
class Round:
    """What one round did.

    called, cured: buckets that passed `call.at` downwards or upwards; waiting: still to be closed; dropped:
    quotes that newer ones replaced before they were used; refused: why the book took none of some quotes;
    topped_up: under mandates, before anybody was called.
    """

    at: Instant
    valued: int
    decisions: Decisions | None
    called: tuple[str, ...] = ()
    cured: tuple[str, ...] = ()
    closed: tuple[Closed, ...] = ()
    waiting: int = 0
    dropped: int = 0
    refused: tuple[Refused, ...] = ()
    topped_up: tuple[ToppedUp, ...] = ()


@dataclass(slots=True)
class _Queue:
    """Quotes not yet used, the newest of each name."""

    facts: dict[str, PriceFact] = field(default_factory=dict)
    dropped: int = 0


class RiskLoop:
    """Watches the buckets of one book; see above."""

    def __init__(
        self,
        book: Book,
        sign: Sign,
        new_id: NewId,
        market: Market | None = None,
        most: int = CLOSINGS_PER_ROUND,
    ) -> None:
        """Watch a book; UsageError where it was opened without margin or its policy has no thresholds.

        sign: signs with the keys of risk and ledger; most: how many buckets a round closes.
        """
        if not isinstance(book.margin, MarginFacts):
            raise UsageError("the book was opened without margin, so nobody in it can be valued")
        self._book, self._margin, self._sign, self._new_id = book, book.margin, sign, new_id
        self._market = market or NoMarket()
        self._most = most
        self._queue = _Queue()
        self._closing: list[str] = []
        self._prices = Prices()
        self._paths: list[str] = []
        self._watch: Watch
        self._head = -1
        self._read(book.head.at)

    def offer(self, fact: PriceFact) -> None:
        """Take quotes of one price; older ones that no round has used are dropped."""
        self._queue.dropped += fact.name in self._queue.facts
        self._queue.facts[fact.name] = fact

    def round(self, at: Instant) -> Round:
        """Do one round at an instant and say what it did."""
        # Nothing of what a round makes refers to itself, and looking for it goes through the whole book.
        with without_collecting():
            return self._round(at)

    def _round(self, at: Instant) -> Round:
        dropped, self._queue.dropped = self._queue.dropped, 0
        facts, self._queue.facts = list(self._queue.facts.values()), {}
        if self._book.head.sequence != self._head:
            self._read(at)  # Somebody else wrote to the book.
        decisions: Decisions | None = None
        refused: tuple[Refused, ...] = ()
        topped_up: tuple[ToppedUp, ...] = ()
        if facts:
            outcomes = self._submit(facts, at)
            refused = tuple(one.decision for one in outcomes if isinstance(one.decision, Refused))
            decisions, topped_up = self._tick(at)
        closed = self._close(at)
        called, cured = self._calls(decisions) if decisions is not None else ((), ())
        valued, waiting = len(self._paths), len(self._closing)
        return Round(at, valued, decisions, called, cured, closed, waiting, dropped, refused, topped_up)

    # --- watching

    def _read(self, at: Instant) -> None:
        """Read every bucket of the book anew; what is remembered of each stays."""
        book, before = self._book, {path: number for number, path in enumerate(self._paths)}
        remembered = self._watch if before else None
        self._prices = self._margin.prices(book.state, at)
        terms = compile_terms(book.rules.policy)
        self._terms, batch = terms, compile_batch(terms)
        self._paths = [path for path in buckets_in(book.state) if self._margin.bucket(book.state, path)]
        self._numbers = {path: number for number, path in enumerate(self._paths)}
        targets = {one.mandate.target for one in book.state.mandates()} & self._numbers.keys()
        self._mandated = np.array(sorted(self._numbers[path] for path in targets), np.int64)
        self._watch = watch(
            [self._bucket(number) for number in range(len(self._paths))],
            batch,
            [self._limits(path) for path in self._paths],
        )
        if remembered is not None:
            for path, number in self._numbers.items():
                if path in before:
                    self._watch.states[number] = remembered.states[before[path]]
                    self._watch.cure_by[number] = remembered.cure_by[before[path]]
                    self._watch.peak[number] = max(self._watch.peak[number], remembered.peak[before[path]])
        self._head = book.head.sequence

    def _bucket(self, number: int) -> Bucket:
        bucket = self._margin.bucket(self._book.state, self._paths[number])
        if bucket is None:
            raise BadInput(f"{self._paths[number]} is no bucket any more")
        return bucket

    def _limits(self, path: str) -> WatchedLimits:
        place = self._book.rules.place(path)
        limits = self._book.rules.policy.compartments[place.rule.pattern].limits if place else None
        if limits is None:
            return NO_LIMITS
        try:
            allowed = daily_loss_allowed(limits.daily_loss, self._prices, self._terms)
        except BadInput:
            allowed = None
        return WatchedLimits(limits.drawdown_ppm, allowed, self._margin.limit_state(path))

    def _tick(self, at: Instant) -> tuple[Decisions, tuple[ToppedUp, ...]]:
        """Value everybody, top up, and make the book look at whoever was called, cured, or passed a limit."""
        self._prices = self._margin.prices(self._book.state, at)
        decisions = self._watch.tick(self._prices, at, self._bucket)
        topped_up = self._top_up(at)
        moved_on = self._move_on(topped_up, at)
        if len(moved_on):
            decisions = self._watch.revised(decisions, moved_on)
        self._closing = [self._paths[number] for number in decisions.closing]
        is_called = decisions.after >= State.CALLED
        crossed = decisions.changed[(decisions.before >= State.CALLED) != is_called]
        # The book called whom a top-up found called; it is told that the call is cured.
        numbers = dict.fromkeys((*crossed.tolist(), *decisions.look.tolist(), *moved_on.tolist()))
        self._submit_all([Remark(LOOK, self._paths[number], self._words(number)) for number in numbers], at)
        for number in numbers:
            self._watch.set_limits(number, self._limits(self._paths[number]))
        return decisions, topped_up

    def _words(self, number: int) -> str:
        return State(int(self._watch.states[number])).name.lower()

    def _calls(self, decisions: Decisions) -> tuple[tuple[str, ...], tuple[str, ...]]:
        changes = list(zip(decisions.changed, decisions.before, decisions.after, strict=True))
        called = (number for number, before, after in changes if before < State.CALLED <= after)
        cured = (number for number, before, after in changes if after < State.CALLED <= before)
        return tuple(self._paths[number] for number in called), tuple(self._paths[number] for number in cured)

    def _submit(self, operations: Sequence[PriceFact | Remark | Request], at: Instant) -> tuple[Outcome, ...]:
        outcomes = self._book.submit(operations, Instant(max(at, self._book.head.at)))
        self._head = self._book.head.sequence
        return outcomes

    def _submit_all(self, operations: Sequence[Remark | Request], at: Instant) -> list[Outcome]:
        """Submit what may be more than one batch."""
        starts = range(0, len(operations), OPERATIONS_PER_BATCH_MAX)
        batches = (operations[start : start + OPERATIONS_PER_BATCH_MAX] for start in starts)
        return [outcome for batch in batches for outcome in self._submit(batch, at)]

    # --- topping up

    def _top_up(self, at: Instant) -> tuple[ToppedUp, ...]:
        """Bring whoever is called what it lacks as far as mandates reach; the refused wait for a new tick."""
        short = self._mandated[self._watch.states[self._mandated] >= State.CALLED]
        waiting = {self._paths[number] for number in short}
        done: list[ToppedUp] = []
        while moves := self._next_moves(waiting, at):
            outcomes = self._submit_all(self._requests([(move,) for move in moves], at), at)
            for move, outcome in zip(moves, outcomes, strict=True):
                refused = outcome.decision if isinstance(outcome.decision, Refused) else None
                done.append(ToppedUp(move, refused))
                if refused is not None:
                    waiting.discard(move.target)
        return tuple(done)

    def _next_moves(self, waiting: set[str], at: Instant) -> list[Move]:
        """Find the next move into each bucket, one from each source: two might want the same coins."""
        if not waiting:
            return []
        mandates: dict[str, list[Given]] = {}
        for one in self._book.state.mandates():
            mandates.setdefault(one.mandate.target, []).append(one)
        found = (top_up_under(self._book, mandates.get(path, ()), at) for path in sorted(waiting))
        return list({move.source: move for move in found if move is not None}.values())

    def _move_on(self, topped_up: Sequence[ToppedUp], at: Instant) -> Numbers:
        """Take over what topped up buckets hold and are now; return their numbers."""
        paths = dict.fromkeys(one.move.target for one in topped_up if one.refused is None)
        self._take_back(list(paths), at)
        for path in paths:
            standing = self._margin.standing(self._book.state, path, at)
            if standing is not None:
                self._watch.move_on(self._numbers[path], standing.figures, at)
        return np.array([self._numbers[path] for path in paths], np.int64)

    # --- closing

    def _close(self, at: Instant) -> tuple[Closed, ...]:
        """Close the riskiest, collect what that made owed, and look at them again."""
        paths, self._closing = self._closing[: self._most], self._closing[self._most :]
        planned = [(path, fills) for path in paths if (fills := self._fills(path, at))]
        if not planned:
            return ()
        outcomes = self._submit(self._requests([fills for _, fills in planned], at), at)
        charges = collection_links(self._book.state, at)
        if charges:
            self._submit(self._requests([charges], at), at)
        closed = tuple(
            Closed(path, fills, outcome.decision if isinstance(outcome.decision, Refused) else None)
            for (path, fills), outcome in zip(planned, outcomes, strict=True)
        )
        self._take_back(
            [side.bucket for one in closed for fill in one.fills for side in (fill.buy, fill.sell)], at
        )
        return closed

    def _fills(self, path: str, at: Instant) -> tuple[Fill, ...]:
        """Plan the closing of one bucket from the book as it stands."""
        standing = self._margin.standing(self._book.state, path, at)
        if standing is None:
            return ()
        plan = self._margin.closing_plan(standing)
        offers = ((closure, self._market.offer(closure, at)) for closure in plan.closures)
        closed = (market_fill(path, closure, order) for closure, order in offers if order is not None)
        return (*takeover_fills(self._book.rules, path, plan), *closed)

    def _requests(self, chains: Sequence[Sequence[Link]], at: Instant) -> list[Request]:
        """Make a request of each chain, and let risk and ledger sign all of them with one signature each."""
        digest = self._book.rules.digest
        bare = [Request(self._new_id(at), tuple(links), digest, at + MINUTE_NS) for links in chains]
        batch = BatchToSign([signing_bytes(request) for request in bare])
        signed = [self._sign(key, batch.message) for key in EVIDENCE]
        return [
            msgspec.structs.replace(
                request,
                signatures=tuple(
                    Signature(one.key, batch.value(one.value, place)) for one in signed if one is not None
                ),
            )
            for place, request in enumerate(bare)
        ]

    def _take_back(self, paths: Sequence[str], at: Instant) -> None:
        """Read the buckets again that a request touched."""
        for path in dict.fromkeys(paths):
            number = self._numbers.get(path)
            if number is not None and not self._watch.put(number, self._bucket(number)):
                self._read(at)
                return
