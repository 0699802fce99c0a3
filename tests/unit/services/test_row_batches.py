"""Batches of rows are durable, recovered by replay, and one book with ordinary requests."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from books import BET, LATER, USDC, begun, deposit, fund, recovered, rows

from ringfence.adapters.book_memory import MemoryStore, Shelf
from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import JournalBroken, StoreFailed, UsageError
from ringfence.planes.ledger.journal import JournalRecord, Kind, head_of, rows_record
from ringfence.planes.ledger.operations import Freeze
from ringfence.planes.ledger.rows import (
    REPEATED,
    RowBatch,
    read_rows,
)
from ringfence.services.ledger import Book


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def book(shelf: Shelf) -> Book:
    return begun(MemoryStore(shelf))


def codes(book: Book, batch: RowBatch) -> list[int]:
    return book.submit_rows(batch, LATER).codes.tolist()


def test_rows_move_value_once_and_for_good(book: Book, shelf: Shelf) -> None:
    batch = rows(book, (20, 5), (21, 2_000 * USDC), (22, 7))
    assert codes(book, batch) == [0, Reason.GATE_LIMIT_EXCEEDED, 0]
    assert codes(book, batch) == [REPEATED, Reason.ID_ALREADY_REFUSED, REPEATED]
    assert book.state.balance(BET, "USDC") == 12
    book.close()
    again = recovered(MemoryStore(shelf))
    assert again.state.balance(BET, "USDC") == 12
    assert again.state.digest() == book._memory.state.digest()
    assert codes(again, batch) == [REPEATED, Reason.ID_ALREADY_REFUSED, REPEATED]


def test_both_lanes_count_in_one_window(book: Book) -> None:
    book.submit([fund(30, "alice", 600 * USDC)], LATER)
    assert codes(book, rows(book, (31, 300 * USDC), (32, 200 * USDC))) == [0, Reason.GATE_LIMIT_EXCEEDED]
    (refused, taken) = book.submit([fund(33, "alice", 101 * USDC), fund(34, "alice", 100 * USDC)], LATER)
    assert isinstance(refused.decision, Refused)
    assert refused.decision.reason == Reason.GATE_LIMIT_EXCEEDED
    assert taken.decision == Accepted()
    assert book.state.balance(BET, "USDC") == 1_000 * USDC


def test_an_id_is_good_in_one_lane_only(book: Book) -> None:
    book.submit([fund(40, "alice", 1)], LATER)
    assert codes(book, rows(book, (40, 1), (41, 1))) == [Reason.ID_USED_WITH_OTHER_CONTENT, 0]
    (outcome,) = book.submit([fund(41, "alice", 1)], LATER)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason == Reason.ID_USED_WITH_OTHER_CONTENT


def test_a_freeze_stops_rows_and_a_deposit_feeds_them(book: Book) -> None:
    assert codes(book, rows(book, (50, 1_000 * USDC))) == [0]
    assert codes(book, rows(book, (51, 1))) == [Reason.GATE_LIMIT_EXCEEDED]
    book.submit(deposit(52, "bob", 3), LATER)
    bob = "client_key/bob"
    assert codes(book, rows(book, (53, 3), key=bob, member="bob")) == [0]
    book.submit([Freeze("gate/fund", "drill")], LATER)
    assert codes(book, rows(book, (54, 1))) == [Reason.GATE_FROZEN]


@pytest.mark.parametrize(
    ("key", "code"), [("client_key/bob", Reason.NEEDS_NOT_MET), ("client_key/carol", Reason.KEY_UNKNOWN)]
)
def test_rows_need_the_keys_of_their_gate(book: Book, key: str, code: Reason) -> None:
    assert codes(book, rows(book, (60, 1), key=key)) == [code]


def test_a_signature_is_for_these_rows_only(book: Book) -> None:
    batch = rows(book, (61, 1))
    transfers = batch.transfers.copy()
    transfers["units_low"] = 2
    assert codes(book, replace(batch, transfers=transfers)) == [Reason.SIGNATURE_INVALID]
    assert codes(book, replace(batch, signatures=())) == [Reason.ID_USED_WITH_OTHER_CONTENT]


def test_rows_are_in_the_history(book: Book) -> None:
    book.submit_rows(rows(book, (70, 5), (71, 2_000 * USDC)), LATER)
    shown = [(line.line.operation.id, line.line.decision) for line in list(book.lines())[-2:]]
    assert shown[0] == (70, Accepted())
    assert shown[1][0] == 71
    assert isinstance(shown[1][1], Refused)
    assert [entry.units for dated in book.lines(BET) for entry in dated.line.entries] == [5]


def test_the_totals_are_told_on_request(book: Book) -> None:
    outcome = book.submit_rows(rows(book, (80, 5), (81, 6)), LATER, with_totals=True)
    assert outcome.totals is not None
    assert outcome.totals["target_credits_low"].tolist() == [5, 11]
    assert book.submit_rows(rows(book, (82, 5)), LATER).totals is None


def test_a_batch_that_is_not_taken_leaves_the_book_in_use(book: Book, shelf: Shelf) -> None:
    batch, written = rows(book, (90, 1)), len(shelf.records)
    with pytest.raises(UsageError):
        book.submit_rows(replace(batch, known=3), LATER)
    assert len(shelf.records) == written
    assert codes(book, batch) == [0]


def test_a_book_that_cannot_write_rows_stops(
    book: Book, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(store: MemoryStore, records: Sequence[JournalRecord], links: object = ()) -> None:
        raise StoreFailed("the disk is full")

    batch = rows(book, (91, 1))
    monkeypatch.setattr(MemoryStore, "extend", fails)
    with pytest.raises(StoreFailed, match="full"):
        book.submit_rows(batch, LATER)
    with pytest.raises(StoreFailed, match="stopped"):
        book.submit_rows(batch, LATER)


# --- replay ------------------------------------------------------------------------------------


def last_payload(shelf: Shelf) -> bytes:
    return shelf.records[-1].payload


def rewritten(shelf: Shelf, payload: bytes) -> int:
    """Put another payload in the last record, under a chain that holds; return the record refused."""
    last, before = shelf.records.pop(), shelf.records[-1]
    shelf.records.append(rows_record(head_of(before), last.at, last.policy, payload))
    shelf.is_taken = False
    with pytest.raises(JournalBroken) as broken:
        recovered(MemoryStore(shelf))
    return broken.value.sequence


def test_a_code_that_the_rules_do_not_give_is_found(book: Book, shelf: Shelf) -> None:
    codes(book, rows(book, (100, 1), (101, 2_000 * USDC)))
    assert shelf.records[-1].kind == Kind.ROWS
    assert rewritten(shelf, last_payload(shelf)[:-2] + bytes(2)) == shelf.records[-1].sequence


@pytest.mark.parametrize("cut", [1, 2, 130, 131, 400, 10_000])
def test_rows_cut_short_are_found(book: Book, shelf: Shelf, cut: int) -> None:
    codes(book, rows(book, (100, 1), (101, 1)))
    assert rewritten(shelf, last_payload(shelf)[:-cut]) == shelf.records[-1].sequence


def test_another_spelling_of_the_header_is_found(book: Book, shelf: Shelf) -> None:
    codes(book, rows(book, (100, 1)))
    payload = last_payload(shelf)
    length = int.from_bytes(payload[:8], "big")
    spaced = payload[8:9] + b" " + payload[9:]
    assert rewritten(shelf, (length + 1).to_bytes(8, "big") + spaced) == shelf.records[-1].sequence


def test_what_was_written_is_what_is_read(book: Book, shelf: Shelf) -> None:
    batch = rows(book, (100, 1), (101, 2_000 * USDC))
    answers = codes(book, batch)
    read, found = read_rows(shelf.records[-1])
    assert found.tolist() == answers
    assert read.transfers.tobytes() == batch.transfers.tobytes()
    assert read.signing_digest() == batch.signing_digest()
    assert read.signatures == batch.signatures
