"""Signatures that are verified ahead are the same answers, found once each."""

import threading
from collections import Counter

import msgspec
from books import START, USDC, begun, fund, recovered, seed
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.book_memory import MemoryStore
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Accepted, Reason
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Announce, Operation, Signature, signing_bytes
from ringfence.planes.ledger.signing import KnownKeys
from ringfence.services.ledger import Book
from ringfence.services.verifying import CHUNK, VerifyingAhead

KNOWN = KnownKeys({"client_key/alice": public_key(seed("client_key/alice"))}, {}, {}, 0)


class Counting:
    """A verifier that counts what it is asked, and in which threads."""

    def __init__(self) -> None:
        self.asked: Counter[bytes] = Counter()
        self.threads: set[str] = set()

    def __call__(self, public: bytes, message: bytes, signature: bytes) -> bool:
        self.asked[message] += 1
        self.threads.add(threading.current_thread().name)
        return verify(public, message, signature)


def requests(count: int) -> list[Operation]:
    return [fund(number, "alice", 1) for number in range(1, count + 1)]


def ask(ahead: VerifyingAhead, operations: list[Operation]) -> list[bool]:
    public = KNOWN.current["client_key/alice"]
    return [
        ahead(public, signing_bytes(request), request.signatures[0].value)  # type: ignore[union-attr]
        for request in operations
    ]


def test_each_is_verified_once_and_elsewhere() -> None:
    counting = Counting()
    ahead = VerifyingAhead(counting, threads=2)
    operations = requests(2 * CHUNK)
    ahead.look_ahead(operations, KNOWN)
    assert all(ask(ahead, operations))
    assert set(counting.asked.values()) == {1}
    assert all(name.startswith("verify") for name in counting.threads)
    ahead.close()


def test_few_are_left_to_whoever_asks() -> None:
    for count, threads in ((2 * CHUNK - 1, 2), (2 * CHUNK, 1)):
        counting = Counting()
        ahead = VerifyingAhead(counting, threads=threads)
        ahead.look_ahead(requests(count), KNOWN)
        assert not counting.asked
        assert all(ask(ahead, requests(3)))
        assert counting.threads == {threading.current_thread().name}


def test_what_was_forgotten_is_verified_again() -> None:
    counting = Counting()
    ahead = VerifyingAhead(counting, threads=2)
    operations = requests(2 * CHUNK)
    ahead.look_ahead(operations, KNOWN)
    assert all(ask(ahead, operations))
    ahead.forget()
    assert ask(ahead, operations[:1]) == [True]
    assert counting.asked[signing_bytes(operations[0])] == 2  # type: ignore[arg-type]
    ahead.close()


@settings(max_examples=20)
@given(st.sets(st.integers(0, 2 * CHUNK - 1), max_size=5))
def test_a_forged_one_is_found_wherever_it_stands(forged: set[int]) -> None:
    operations = requests(2 * CHUNK)
    for place in forged:
        bad = Signature("client_key/alice", sign(seed("client_key/bob"), b"other"))
        operations[place] = msgspec.structs.replace(operations[place], signatures=(bad,))
    ahead = VerifyingAhead(verify, threads=2)
    ahead.look_ahead(operations, KNOWN)
    found = ask(ahead, operations)
    ahead.close()
    assert [place for place, fits in enumerate(found) if not fits] == sorted(forged)


def test_a_book_answers_a_long_batch_as_it_answers_each_alone() -> None:
    store = MemoryStore()
    book = begun(store)
    operations = [fund(number, "alice", USDC) for number in range(100, 100 + 2 * CHUNK)]
    operations[7] = msgspec.structs.replace(operations[7], signatures=operations[8].signatures)
    outcomes = book.submit([*operations, Announce(fund(999, "alice", 1))], Instant(START + 2))
    assert outcomes[7].decision.reason == Reason.SIGNATURE_INVALID  # type: ignore[union-attr]
    assert [place for place, one in enumerate(outcomes[:-1]) if one.decision != Accepted()] == [7]
    digest = book.state.digest()
    book.close()
    assert recovered(store).state.digest() == digest


def test_what_is_replayed_is_verified_elsewhere_too() -> None:
    store, counting = MemoryStore(), Counting()
    book = begun(store)
    operations = [fund(number, "alice", USDC) for number in range(100, 100 + 2 * CHUNK)]
    book.submit(operations, Instant(START + 2))
    book.close()
    again = Book.recover(store, counting)
    again.close()
    assert {counting.asked[signing_bytes(one)] for one in operations} == {1}
    assert any(name.startswith("verify") for name in counting.threads)
