"""A request in rows that its client signed is the request the client signed, and nothing less is accepted."""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from books import BET, LATER, USDC, begun, deposit, recovered, request, seed, sign_request
from books import fund as fund_of
from drawn_rows import accept_all, new_state, random_chains, request_of, rows_of
from harbour import NOON

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.adapters.signatures_ed25519 import public_key, sign
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import JournalBroken, UsageError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.journal import head_of, rows_record
from ringfence.planes.ledger.operations import (
    Move,
    OpenMember,
    Post,
    Request,
    RevokeKey,
    RotateKey,
    Route,
    Signature,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.row_lane import RowLane
from ringfence.planes.ledger.rows import REPEATED, Draft, RequestReader, RowBatch, lines_of, read_rows
from ringfence.services.ledger import Book
from ringfence.services.verifying import CHUNK

CASH = "client/alice/cash"
ALICE, BOB = "client_key/alice", "client_key/bob"
FUND = Route("fund", CASH, BET, "USDC")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def book(shelf: Shelf) -> Book:
    return begun(MemoryStore(shelf))


def move(units: int) -> Move:
    return Move("fund", CASH, BET, "USDC", units)


def fund(number: int, units: int = 1, key: str = ALICE, **words: Any) -> Request:
    bare = msgspec.structs.replace(request(number, move(units)), **words)
    return sign_request(bare, key)


def sealed(book: Book, *requests: Request) -> RowBatch:
    return Draft(book.routes).sealed(requests)


def codes(book: Book, *requests: Request, at: Instant = LATER) -> list[int]:
    return book.submit_rows(sealed(book, *requests), at).codes.tolist()


def test_each_request_counts_by_its_own_signature(book: Book) -> None:
    assert codes(book, fund(20, 5), fund(21, 6, BOB), fund(22, 7)) == [0, Reason.NEEDS_NOT_MET, 0]
    assert book.state.balance(BET, "USDC") == 12


@pytest.mark.parametrize("seed_number", range(30))
def test_rows_stand_for_the_requests_they_were_written_from(seed_number: int) -> None:
    """Whatever is written as rows is read as what it was written from, and signed over the same bytes."""
    rng = Random(seed_number)
    words: dict[str, Any] = {"policy": bytes(32), "expires": int(NOON), "reason": "drill"}
    lane = RowLane(new_state(rng), accept_all)
    chains = random_chains(rng, [], NOON, most=12)
    batch = rows_of(lane, chains, words, [])
    lane.admit(batch)
    reader = RequestReader(batch, lane.routes)
    starts = list(reader.starts())
    assert [reader.request(start) for start in starts] == [request_of(one, words, []) for one in chains]
    for start, chain in zip(starts, chains, strict=True):
        assert signing_bytes(reader.request(start, is_bare=True)) == signing_bytes(
            request_of(chain, words, [])
        )


def test_a_draft_writes_what_the_reader_reads(book: Book) -> None:
    along = (FUND, FUND)
    post = sign_request(request(31, move(1)), ALICE)
    requests = (
        fund(30, hold_until=int(LATER), links=(move(3), move(4))),
        sign_request(msgspec.structs.replace(post, links=(Post(30, (1, 0), along), move(1))), ALICE),
        sign_request(msgspec.structs.replace(post, id=32, links=(Void(30, along),)), ALICE),
    )
    batch = sealed(book, *requests)
    book.submit_rows(batch, LATER)
    reader = RequestReader(batch, book.routes)
    assert tuple(reader.request(start) for start in reader.starts()) == requests


# --- what is signed ----------------------------------------------------------------------------


def test_rows_changed_on_the_way_move_nothing(book: Book) -> None:
    """Every bit that says what is asked is under the client's signature; the service's own notes are not."""
    batch, chance = sealed(book, fund(20, 5)), Random(3)
    noted = {*range(32, 40), *range(48, 128)}
    for _ in range(300):
        transfers = batch.transfers.copy()
        place = chance.randrange(transfers.nbytes)
        transfers.view("u1").reshape(-1)[place] ^= 1 << chance.randrange(8)
        if place in noted:
            continue
        try:
            found = book.submit_rows(replace(batch, transfers=transfers), LATER).codes
        except UsageError:
            continue
        assert found.all(), f"a transfer changed at byte {place} was carried out"


@pytest.mark.parametrize("place", [0, 63])
def test_a_signature_changed_on_the_way_does_not_count(book: Book, place: int) -> None:
    batch = sealed(book, fund(20, 5), fund(21))
    batch.seals["signature"][0, place] ^= 1
    assert book.submit_rows(batch, LATER).codes.tolist() == [Reason.SIGNATURE_INVALID, 0]


def test_a_time_moved_on_the_way_does_not_count(book: Book) -> None:
    batch = sealed(book, fund(20, 5))
    batch.seals["expires"] += 1
    assert book.submit_rows(batch, LATER).codes.tolist() == [Reason.SIGNATURE_INVALID]


@pytest.mark.parametrize(("late", "code"), [(0, 0), (1, int(Reason.REQUEST_EXPIRED))])
def test_each_request_is_good_until_it_expires(book: Book, late: int, code: int) -> None:
    assert codes(book, fund(20, expires=int(LATER) - late), fund(21)) == [code, 0]


def test_a_key_that_does_not_count_refuses_its_own_request_only(book: Book) -> None:
    book.submit([RevokeKey(BOB, "lost")], LATER)
    found = codes(book, fund(20, key=BOB), fund(21, key="client_key/carol"), fund(22))
    assert found == [Reason.KEY_REVOKED, Reason.KEY_UNKNOWN, 0]


def test_a_key_that_was_exchanged_counts_as_long_as_was_said(book: Book) -> None:
    old, fresh = seed(ALICE), seed("fresh")
    rotate = RotateKey(ALICE, public_key(fresh), LATER + SECOND_NS, LATER + SECOND_NS)
    message = signing_bytes(rotate)
    signatures = (Signature(ALICE, sign(old, message)), Signature("next", sign(fresh, message)))
    (outcome,) = book.submit([msgspec.structs.replace(rotate, signatures=signatures)], LATER)
    assert outcome.decision == Accepted()
    assert codes(book, fund(20)) == [0]
    assert codes(book, fund(21), at=Instant(LATER + 2 * SECOND_NS)) == [Reason.SIGNATURE_INVALID]


def test_what_signs_the_batch_counts_beside_what_signs_a_request(book: Book) -> None:
    batch = sealed(book, fund(20, key=BOB), fund(21))
    signed = batch.signed([Signature(ALICE, sign(seed(ALICE), batch.signing_digest()))])
    assert book.submit_rows(signed, LATER).codes.tolist() == [0, 0]
    broken = sealed(book, fund(22)).signed([Signature(ALICE, bytes(64))])
    assert book.submit_rows(broken, LATER).codes.tolist() == [Reason.SIGNATURE_INVALID]


def test_a_signature_over_the_batch_covers_the_seals(book: Book) -> None:
    batch = sealed(book, fund(20), fund(21))
    seals = batch.seals.copy()
    seals["signature"][0, 0] ^= 1
    assert replace(batch, seals=seals).signing_digest() != batch.signing_digest()


# --- once --------------------------------------------------------------------------------------


def test_a_signed_request_is_carried_out_once_in_whatever_batch_it_comes(book: Book) -> None:
    first, second = fund(20, 5), fund(21, 6, expires=int(LATER) + SECOND_NS)
    assert codes(book, first) == [0]
    assert codes(book, second, first) == [0, REPEATED]
    assert codes(book, fund(20, 6)) == [Reason.ID_USED_WITH_OTHER_CONTENT]
    (outcome,) = book.submit([first], LATER)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason == Reason.ID_USED_WITH_OTHER_CONTENT
    assert book.state.balance(BET, "USDC") == 11


# --- the journal -------------------------------------------------------------------------------


def test_signatures_are_journalled_and_checked_again(book: Book, shelf: Shelf) -> None:
    codes(book, fund(20, 5), fund(21, 6, BOB))
    shown = [dated.line.operation for dated in list(book.lines())[-2:]]
    assert shown == [fund(20, 5), fund(21, 6, BOB)]
    shelf.is_taken = False
    again = recovered(MemoryStore(shelf))
    assert again.state.digest() == book.state.digest()
    last, before = shelf.records.pop(), shelf.records[-1]
    payload = bytearray(last.payload)
    payload[-1 - 80] ^= 1  # the last byte of the first signature
    shelf.records.append(rows_record(head_of(before), last.at, last.policy, bytes(payload)))
    shelf.is_taken = False
    with pytest.raises(JournalBroken, match="transfer 0 was answered accepted") as broken:
        recovered(MemoryStore(shelf))
    assert broken.value.sequence == last.sequence


def test_seals_are_read_as_they_were_written(book: Book, shelf: Shelf) -> None:
    batch = sealed(book, fund(20), fund(21, key=BOB))
    answers = book.submit_rows(batch, LATER).codes
    read, found = read_rows(shelf.records[-1])
    assert (read.keys, read.seals.tobytes()) == (batch.keys, batch.seals.tobytes())
    assert found.tolist() == answers.tolist()
    assert read.signing_digest() == batch.signing_digest()
    assert [line.operation for line in lines_of(read, found, book.routes)] == [fund(20), fund(21, key=BOB)]


@pytest.mark.parametrize("count", [1, 2 * CHUNK, 2 * CHUNK + 1])
def test_threads_find_what_one_alone_finds(book: Book, count: int) -> None:
    book.submit(deposit(90, "bob", 10 * USDC), LATER)
    signers = [ALICE if number % 3 else BOB for number in range(count)]
    found = codes(book, *(fund(100 + number, key=key) for number, key in enumerate(signers)))
    assert found == [0 if key == ALICE else Reason.NEEDS_NOT_MET for key in signers]


# --- what nobody can mean ----------------------------------------------------------------------


def seals_with(**fields: Any) -> Callable[[RowBatch], RowBatch]:
    def changed(batch: RowBatch) -> RowBatch:
        seals = batch.seals.copy()
        for name, value in fields.items():
            seals[name] = value
        return replace(batch, seals=seals)

    return changed


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (seals_with(request=[1, 0, 0]), "in the order"),
        (seals_with(request=[0, 1, 9]), "in the order"),
        (seals_with(request=[0, 1, 3]), "first transfer of a request"),
        (seals_with(request=[0, 1, 1], expires=[5, 6, 7]), "one time"),
        (seals_with(key=7), "names one of the keys"),
        (lambda batch: replace(batch, keys=(ALICE, ALICE)), "each key is there once"),
        (lambda batch: replace(batch, seals=batch.seals[:0]), "keys are there for seals"),
        (lambda batch: replace(batch, seals=np.tile(batch.seals[:1], 65)), "at most 64"),
    ],
)
def test_seals_that_nobody_can_mean_are_not_taken(book: Book, change: Any, words: str) -> None:
    two = fund(22, links=(move(1), move(2)))
    batch = sealed(book, fund(20), fund(21), two)
    with pytest.raises(UsageError, match=words):
        book.submit_rows(change(batch), LATER)
    assert book.submit_rows(batch, LATER).codes.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"signatures": ()}, "signed"),
        ({"reverses": 5}, "nor corrections"),
        ({"exchange": "swap"}, "neither legs"),
        ({"policy": bytes(32)}, "one policy"),
        ({"reason": "why"}, "one policy and reason"),
        ({"links": (Post(5),)}, "say where"),
        ({"links": (Void(5),)}, "such voids"),
        ({"links": (Void(5, (FUND,)), Void(5, (FUND,)))}, "are one link"),
        ({"signatures": (Signature(ALICE, bytes(63)),)}, "64 bytes"),
    ],
)
def test_what_rows_cannot_say_is_left_to_requests(book: Book, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sealed(book, fund(20), msgspec.structs.replace(fund(21), **wrong))


def test_a_seal_of_a_member_opened_later_counts_from_then_on(book: Book) -> None:
    early, late = (fund_of(number, "carol", USDC) for number in (40, 41))
    assert codes(book, early) == [Reason.MEMBER_NOT_OPEN]
    opened = OpenMember("client", "carol", {"client_key": public_key(seed("client_key/carol"))})
    book.submit([opened, *deposit(90, "carol", USDC)], LATER)
    assert codes(book, late) == [0]
    assert book.state.balance("client/carol/bet", "USDC") == USDC
