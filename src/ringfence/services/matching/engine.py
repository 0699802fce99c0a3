"""The matching engine as a service: every instrument's book, one journal, and the fills the ledger pulls.

An order is taken only with a signature of its bucket's client that the engine has verified itself; the
ledger verifies it again. What the engine is told is journalled before anybody hears of the outcome, so a
crash loses no acknowledged order: on start the journal is told to the empty books again, and the same fills
come out under the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

import msgspec

from ringfence.kernel.errors import JournalBroken, StoreFailed, UsageError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head, JournalRecord, Kind, head_of, orders_record, verify_chain
from ringfence.planes.ledger.operations import Closing, Fill, Order, Record
from ringfence.services.matching.order_book import Event, Matched, OrderBook
from ringfence.services.ports import BookStore


class Submit(Record, frozen=True, tag="submit"):
    """Take an order; `reducible` as in `OrderBook.submit`; is_forced: risk closes the bucket by it."""

    order: Order
    reducible: int | None = None
    is_forced: bool = False


class Cancel(Record, frozen=True, tag="cancel"):
    """Take an order out of the book."""

    instrument: str
    order: int


class Band(Record, frozen=True, tag="band"):
    """Move an instrument's price band."""

    instrument: str
    low_e10: int
    high_e10: int


class Halt(Record, frozen=True, tag="halt"):
    """Take no new orders of an instrument, or, with `resumes`, take them again."""

    instrument: str
    resumes: bool = False


class Expire(Record, frozen=True, tag="expire"):
    """Take out the orders of an instrument whose last instant has passed."""

    instrument: str


class Undo(Record, frozen=True, tag="undo"):
    """Undo a fill that the ledger refused: reason, words and rule are its answer.

    at_fault: the buckets whose orders end; the other side's contracts stand again. None means that nobody is
    named, and then the one that came to the other ends.
    """

    fill: int
    reason: str
    words: str
    rule: str = ""
    at_fault: tuple[str, ...] = ()


Command = Submit | Cancel | Band | Halt | Expire | Undo


IsSigned = Callable[[Submit, Instant], bool]
"""Says whether an order carries at that instant the signatures that its bucket needs."""

UNDONE_MAX = 100_000
"""Of how many orders the refusal of a fill is remembered, for whoever asks; the oldest are forgotten."""


class NumberedFill(Record, frozen=True):
    """A fill with its place in the engine's one sequence, from 1 on without a gap."""

    number: int
    fill: Fill


class Engine:
    """Every book of the venue.

    ticks_e10: the price step of each instrument; owner_of: the client behind a bucket, for self-trade
    prevention. `apply` is deterministic. Fills are kept until the ledger confirms them.
    """

    def __init__(self, ticks_e10: Mapping[str, int], owner_of: Callable[[str], str]) -> None:
        self._books = {name: OrderBook(name, tick_e10) for name, tick_e10 in ticks_e10.items()}
        self._owner_of = owner_of
        self._fills: list[Fill] = []
        self._dropped = 0
        self._forced: set[int] = set()
        self._undone: dict[int, Undo] = {}
        self.last_undone = 0

    def apply(self, command: Command, at: Instant) -> tuple[Event, ...]:
        """Carry out one command; UsageError where the instrument is not traded here."""
        if isinstance(command, Submit) and command.is_forced:
            self._forced.add(command.order.id)
        events = self._undo(command, at) if isinstance(command, Undo) else self._carry_out(command, at)
        self._fills += [self._fill(event) for event in events if isinstance(event, Matched)]
        return events

    def _fill(self, event: Matched) -> Fill:
        taker, maker = self._side(event.taker), self._side(event.maker)
        is_buy = event.taker.side == "buy"
        return Fill(
            instrument=event.taker.instrument,
            contracts=event.contracts,
            price_e10=event.price_e10,
            buy=taker if is_buy else maker,
            sell=maker if is_buy else taker,
            taker=event.taker.side,
        )

    # --- fills that the ledger refused

    def check_undo(self, number: int) -> Fill:
        """Return a fill that can be undone; UsageError where it is none of ours, confirmed, or undone."""
        if not max(self._dropped, self.last_undone) < number <= self.last_fill:
            words = f"{max(self._dropped, self.last_undone) + 1} to {self.last_fill} can be undone, in order"
            raise UsageError(f"fill {number} cannot be undone; {words}")
        return self._fills[number - self._dropped - 1]

    def undone(self, order: int) -> Undo | None:
        """Return the last refusal of a fill of an order, None where there was none."""
        return self._undone.get(order)

    def _undo(self, command: Undo, at: Instant) -> tuple[Event, ...]:
        fill = self.check_undo(command.fill)
        self.last_undone = command.fill
        book, at_fault = self.book(fill.instrument), command.at_fault or (_latecomer(fill),)
        # A forced side leaves nothing behind: risk asks for it again, or does not.
        orders = [side for side in (fill.buy, fill.sell) if isinstance(side, Order)]
        self._undone.update((order.id, command) for order in orders)
        while len(self._undone) > UNDONE_MAX:
            del self._undone[next(iter(self._undone))]
        events: list[Event] = []
        for order in orders:
            if order.bucket in at_fault:
                events += book.withdraw(order, fill.contracts)
        for order in orders:
            if order.bucket not in at_fault:
                events += book.put_back(order, self._owner_of(order.bucket), fill.contracts, at)
        return tuple(events)

    # --- parts

    def _side(self, order: Order) -> Order | Closing:
        return Closing(order.bucket, "liquidation") if order.id in self._forced else order

    def _carry_out(self, command: Submit | Cancel | Band | Halt | Expire, at: Instant) -> tuple[Event, ...]:
        book = self.book(command.order.instrument if isinstance(command, Submit) else command.instrument)
        if isinstance(command, Submit):
            owner = self._owner_of(command.order.bucket)
            return book.submit(command.order, owner, at, command.reducible)
        if isinstance(command, Cancel):
            return book.cancel(command.order)
        if isinstance(command, Band):
            return book.set_band(command.low_e10, command.high_e10)
        if isinstance(command, Expire):
            return book.expire(at)
        if command.resumes:
            book.resume()
        else:
            book.halt()
        return ()

    @property
    def instruments(self) -> tuple[str, ...]:
        """The instruments that are traded here."""
        return tuple(self._books)

    @property
    def last_fill(self) -> int:
        """The number of the last fill, 0 before the first."""
        return self._dropped + len(self._fills)

    def standing(self, bucket: str) -> tuple[tuple[Order, int], ...]:
        """Return every order of a bucket that stands in any book, with the contracts it has left."""
        return tuple(found for book in self._books.values() for found in book.standing(bucket))

    def left_of(self, order: int) -> int:
        """Return how many contracts of an order stand in any book."""
        return sum(book.resting_contracts(order) for book in self._books.values())

    def book(self, instrument: str) -> OrderBook:
        """Return one instrument's book; UsageError where it is not traded here."""
        book = self._books.get(instrument)
        if book is None:
            raise UsageError(f"{instrument} is not traded here")
        return book

    def fills(self, after: int, most: int = 1_000) -> tuple[NumberedFill, ...]:
        """Return up to `most` fills with numbers above `after`, in order; ValueError where they are gone."""
        if after < self._dropped:
            raise ValueError(f"fills up to {self._dropped} were confirmed and are no longer kept")
        start = after - self._dropped
        return tuple(
            NumberedFill(after + place, fill)
            for place, fill in enumerate(self._fills[start : start + most], start=1)
        )

    def confirm(self, number: int) -> None:
        """Forget the fills up to `number`: the ledger has made them durable."""
        known = self._dropped + len(self._fills)
        number = min(max(number, self._dropped), known)
        del self._fills[: number - self._dropped]
        self._dropped = number


class MatchingService:
    """An engine whose every command is durable before its outcome is told."""

    def __init__(
        self,
        engine: Engine,
        store: BookStore,
        policy: bytes,
        is_signed: IsSigned,
    ) -> None:
        self.engine = engine
        self._store = store
        self._policy = policy
        self._is_signed = is_signed
        self._head: Head | None = None
        self._stopped = ""

    @classmethod
    def recover(cls, engine: Engine, store: BookStore, policy: bytes, is_signed: IsSigned) -> Self:
        """Open a journal and tell an empty engine again everything it was told; JournalBroken as found."""
        service = cls(engine, store, policy, is_signed)
        for record in verify_chain(store.records(), store.head()):
            for command in read_commands(record):
                engine.apply(command, record.at)
            service._head = head_of(record)
        return service

    def carry_out(self, commands: Sequence[Command], at: Instant) -> tuple[tuple[Event, ...], ...]:
        """Carry out commands together, with one durable write; the outcomes are in their order.

        Commands that name no instrument of ours or carry no good signature raise UsageError before anything
        is done. StoreFailed stops the engine: what it holds in memory may not be durable any more.
        """
        if self._stopped:
            raise StoreFailed(self._stopped)
        for command in commands:
            self._check(command, at)
        at = Instant(max(at, self._head.at + 1)) if self._head else at
        record = orders_record(self._head, at, self._policy, msgspec.json.encode(commands))
        outcomes = tuple(self.engine.apply(command, at) for command in commands)
        try:
            self._store.append(record)
        except StoreFailed as failed:
            self._stopped = f"the engine has stopped and must be started again: {failed}"
            raise
        self._head = head_of(record)
        return outcomes

    def _check(self, command: Command, at: Instant) -> None:
        if isinstance(command, Undo):
            self.engine.check_undo(command.fill)
            return
        if not isinstance(command, Submit):
            self.engine.book(command.instrument)
            return
        self.engine.book(command.order.instrument)
        if not self._is_signed(command, at):
            raise UsageError(f"order {command.order.id:032x} is not signed by who may trade its bucket")


def _latecomer(fill: Fill) -> str:
    """Name the side that goes where a refusal names nobody: the forced one, else the one that took."""
    for side in (fill.buy, fill.sell):
        if isinstance(side, Closing):
            return side.bucket
    return fill.buy.bucket if fill.taker == "buy" else fill.sell.bucket


def read_commands(record: JournalRecord) -> tuple[Command, ...]:
    """Read what the engine was told in one record; JournalBroken where it holds something else."""
    if record.kind != Kind.ORDERS:
        raise JournalBroken(record.sequence, f"is of kind {record.kind}, and this is a journal of orders")
    try:
        return msgspec.json.decode(record.payload, type=tuple[Command, ...])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBroken(record.sequence, f"its content cannot be read: {error}") from None
