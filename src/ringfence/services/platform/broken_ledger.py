"""What whoever owns the ledger does with its book: lies about prices, false records, any book at all.

Its own file it may write as it likes. What that is worth is decided by those who verify: risk follows record
by record, and the wallet and the chain check every signature themselves.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec

from ringfence.kernel.errors import RingfenceError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import HOUR_NS, SECOND_NS, Clock, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.journal import Answered, Head, JournalRecord, batch_record
from ringfence.planes.ledger.operations import (
    Move,
    Operation,
    RegisterKey,
    Request,
    RotateKey,
    Settle,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.rules import Rules
from ringfence.services.instructions import Sign
from ringfence.services.platform.hostile import Hostile
from ringfence.services.platform.ledger import LEDGER_KEY, PULL_NS, LedgerService
from ringfence.services.platform.messages import Followed, News, Prices, pack
from ringfence.services.platform.service import Peers, ask
from ringfence.services.ports import BookStore

MOVES_MAX = 40
"""How many false moves are offered to the followers, each as a record of its own."""

STOLEN_UNITS = 10**15
FIRST_ID = 1 << 112


class _LyingPeers:
    """The true peers of the ledger, but prices are what the intruder says."""

    def __init__(self, peers: Peers, prices: Callable[[], Prices]) -> None:
        self._peers = peers
        self._prices = prices

    async def call(self, target: str, method: str, body: bytes) -> bytes:
        if (target, method) == ("marks", "pull"):
            return pack(self._prices())
        return await self._peers.call(target, method, body)


class BrokenLedger:
    """The book in the hands of an intruder.

    open_service: runs the honest program on the book, with the peers it is given; open_store: opens the file.
    """

    def __init__(
        self,
        rules: Rules,
        sign: Sign,
        hostile: Hostile,
        clock: Clock,
        peers: Peers,
        open_service: Callable[[Peers], LedgerService],
        open_store: Callable[[], BookStore],
    ) -> None:
        self._rules = rules
        self._sign = sign
        self._hostile = hostile
        self._clock = clock
        self._peers = peers
        self._open_service = open_service
        self._open_store = open_store
        self._number = FIRST_ID

    async def follow_false_prices(self, prices: Callable[[], Prices], pulls: int) -> None:
        """Let the honest program go on by prices that never were: everything it writes is in order."""
        service = self._open_service(_LyingPeers(self._peers, prices))
        (duty,) = service.duties
        try:
            for _ in range(pulls):
                await duty.do(self._clock.now())
                await asyncio.sleep(PULL_NS / SECOND_NS)
        finally:
            service.close()

    async def offer_false_records(self) -> tuple[int, int, str]:
        """Send risk records that its rules never give; return how many, how many it took, its last word."""
        store = self._open_store()
        head = store.head()
        store.close()
        tried, taken, words = 0, 0, ""
        for record in self._false_records(head, self._clock.now()) if head is not None else ():
            tried += 1
            try:
                followed = await ask(self._peers, "risk", "pull", News((record,)), Followed)
            except RingfenceError as refused:
                words = str(refused)
                continue
            taken += followed.sequence >= record.sequence
        return tried, taken, words

    def write_any_book(self) -> None:
        """Write into its own file that everything belongs to the house, or came from nowhere."""
        store = self._open_store()
        head = store.head()
        if head is not None:
            moves = [self._request(move) for move in self._thefts()]
            store.append(self._record(head, self._clock.now(), [Answered(one) for one in moves]))
        store.close()

    # --- records

    def _false_records(self, head: Head, now: Instant) -> Iterator[JournalRecord]:
        for operation in self._false_operations(now):
            yield self._record(head, now, [Answered(operation)])
        good = self._record(head, now, [])
        yield replace(good, previous=bytes(32))
        yield replace(good, sequence=good.sequence + 7)
        yield replace(good, policy=bytes(32))

    def _false_operations(self, now: Instant) -> Iterator[Operation]:
        """Go through operations that were never permitted, each to be written down as accepted."""
        for _, request in zip(range(MOVES_MAX), self._hostile.drawn(now, MOVES_MAX), strict=False):
            yield request
        yield from (self._request(move) for move in self._thefts())
        for instrument in self._rules.instruments:
            yield self._request(Settle(instrument, PRICE_SCALE))
        for key in self._rules.keys:
            own = self._sign(LEDGER_KEY, key.encode())
            yield RegisterKey(key, bytes(31) + b"\x09")
            yield RotateKey(key, bytes(31) + b"\x09", now, now + HOUR_NS, (own,) if own else ())

    def _thefts(self) -> Iterator[Move]:
        rules = self._rules
        for place in self._hostile.places:
            found = rules.place(place)
            if found is not None and found.rule.role in ("client_money", "collateral"):
                yield Move("adjust", place, "house/treasury", rules.numeraire, STOLEN_UNITS)
                yield Move("deposit", "outside", place, rules.numeraire, STOLEN_UNITS)
                yield Move("withdraw", place, "outside", rules.numeraire, STOLEN_UNITS)

    def _record(self, head: Head, now: Instant, lines: list[Answered]) -> JournalRecord:
        return batch_record(head, Instant(max(now, head.at + 1)), self._rules.digest, lines)

    def _request(self, *links: Move | Settle) -> Request:
        self._number += 1
        bare = Request(RequestId(self._number), links, self._rules.digest, self._clock.now() + HOUR_NS)
        own = self._sign(LEDGER_KEY, signing_bytes(bare))
        signatures: tuple[Signature, ...] = (own,) if own is not None else ()
        return msgspec.structs.replace(bare, signatures=signatures)
