"""Verifying the signatures of a batch on several threads before the book asks for them one by one.

Verification is most of what a transfer signed by a client costs, and it needs nothing of the book: the
library lets go of the interpreter while it works. The answers are the verifier's own, so whether and when
they were found ahead changes nothing but the time.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from ringfence.planes.ledger.operations import (
    Announce,
    Fill,
    Operation,
    Order,
    Request,
    signing_bytes,
)
from ringfence.planes.ledger.signing import (
    SIGNATURES_MAX,
    KnownKeys,
    Question,
    Verifier,
    one_by_one,
    what_is_signed,
)

CHUNK: Final = 64
"""How many signatures a thread takes at once; fewer than two of these are not worth a thread."""


LATELY_MAX: Final = 64
"""How many answers are remembered that nobody asked for ahead."""


class VerifyingAhead:
    """A verifier that can be told beforehand what it will be asked."""

    def __init__(self, verify: Verifier, threads: int | None = None) -> None:
        """Take the verifier that knows how; threads: as many as there are cores, if None."""
        self._verify = verify
        self._threads = threads or os.cpu_count() or 1
        self._pool: ThreadPoolExecutor | None = None
        self._places: dict[Question, int] = {}
        self._answers: list[bool] = []
        self._under_way: deque[Future[list[bool]]] = deque()
        self._lately: dict[Question, bool] = {}

    def __call__(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Say whether a signature fits; waits for the thread that looks at it, if one does."""
        question = Question(public, message, signature)
        place = self._places.get(question)
        if place is None:
            return self._ask(question)
        while place >= len(self._answers):
            self._answers += self._under_way.popleft().result()
        return self._answers[place]

    def _ask(self, question: Question) -> bool:
        """Verify now, unless this was asked lately: requests signed together ask the same."""
        known = self._lately.get(question)
        if known is None:
            if len(self._lately) >= LATELY_MAX:
                self._lately.clear()
            known = self._lately[question] = self._verify(*question)
        return known

    def look_ahead(self, operations: Sequence[Operation], known: KnownKeys) -> None:
        """Begin to verify what a batch of operations will be asked about; forget what was found before."""
        self.forget()
        if self._threads < 2 or len(operations) < 2:
            return
        questions = list(dict.fromkeys(_questions(operations, known)))
        if len(questions) < 2 * CHUNK:
            return
        self._places = {question: place for place, question in enumerate(questions)}
        parts = (questions[start : start + CHUNK] for start in range(0, len(questions), CHUNK))
        self._under_way.extend(self._threads_at_work().submit(self._verify_all, part) for part in parts)

    def each(self, count: int, ask: Callable[[int], Question | None]) -> list[bool]:
        """Answer so many questions on all threads, which also find out what is asked (see `VerifyEach`)."""
        if self._threads < 2 or count < 2 * CHUNK:
            return list(one_by_one(self._verify)(count, ask))

        def part(start: int) -> Sequence[bool]:
            size = min(CHUNK, count - start)
            return one_by_one(self._verify)(size, lambda number: ask(start + number))

        parts = self._threads_at_work().map(part, range(0, count, CHUNK))
        return [answer for answers in parts for answer in answers]

    def forget(self) -> None:
        """Forget what was found; nothing is asked of it any more."""
        for part in self._under_way:
            part.cancel()
        self._under_way.clear()
        self._places, self._answers = {}, []

    def close(self) -> None:
        """Let the threads end."""
        self.forget()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _threads_at_work(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="verify")
        return self._pool

    def _verify_all(self, questions: Sequence[Question]) -> list[bool]:
        return [self._verify(*question) for question in questions]


def _questions(operations: Sequence[Operation], known: KnownKeys) -> Iterator[Question]:
    """Go through the signatures of requests and of the orders in their fills, by keys that are known now."""
    for operation in operations:
        request = operation.request if isinstance(operation, Announce) else operation
        if not isinstance(request, Request):
            continue
        yield from _signed(request, known)
        for link in request.links:
            if isinstance(link, Fill):
                for side in (link.buy, link.sell):
                    if isinstance(side, Order):
                        yield from _signed(side, known)


def _signed(record: Request | Order, known: KnownKeys) -> Iterator[Question]:
    if not record.signatures or len(record.signatures) > SIGNATURES_MAX:
        return
    content = signing_bytes(record)
    for one in record.signatures:
        message, value = what_is_signed(one, content, known)
        if message is not None:
            for public in known.of(one.key)[:1]:
                yield Question(public, message, value)
