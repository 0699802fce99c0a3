"""Checkpoints and snapshots: a book opened from a snapshot is the book that the journal replays."""

import random
from dataclasses import replace

import msgspec
import pytest
from books import BET, START, Vault, deposit, fund, moved, rows_vault, seed, signs, staked
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.adapters.book_memory import MemorySnapshots, MemoryStore
from ringfence.adapters.signatures_ed25519 import public_key, sign, verify
from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.errors import BadInput, JournalBroken, StoreFailed, UsageError
from ringfence.kernel.instant import Instant
from ringfence.kernel.merkle import Tree
from ringfence.planes.ledger.checkpoint import checkpoint_record, read_checkpoint
from ringfence.planes.ledger.journal import Head, JournalRecord, Kind, head_of, sealed_after, verify_chain
from ringfence.planes.ledger.operations import RevokeKey, Signature
from ringfence.planes.ledger.snapshot import packed, unpacked
from ringfence.services.checkpoints import CHECKPOINT_RECORDS
from ringfence.services.snapshots import Wanted, candidates


@pytest.fixture
def vault() -> Vault:
    return Vault()


# --- opening from a snapshot -------------------------------------------------------------------


def test_a_book_opened_from_a_snapshot_is_the_book_replayed(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10, 20)
    book.checkpoint(START, signs)
    moved(book, 30)
    book.close()
    quick = vault.opened()
    assert (quick.opened_from, quick.notes) == (4, ())
    found = quick.state.digest(), quick.head, quick.state.at
    quick.close()
    slow = vault.replayed()
    assert slow.opened_from == 0
    assert (slow.state.digest(), slow.head, slow.state.at) == found


def test_only_the_records_after_the_snapshot_are_judged_again(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10, 20)
    book.checkpoint(START)
    moved(book, 30)
    book.close()
    seen: list[int] = []
    vault.opened(on_record=lambda record: seen.append(record.sequence)).close()
    assert seen == [4, 5]


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(st.sampled_from(["requests", "rows", "checkpoint", "reopen", "retry"]), max_size=9),
    chance=st.randoms(use_true_random=False),
)
def test_any_life_of_a_book_is_the_same_with_and_without_snapshots(
    steps: list[str], chance: random.Random
) -> None:
    vault = rows_vault()
    book, number = vault.opened(), 1_000
    for step in steps:
        number += 100
        match step:
            case "requests":
                book.submit([deposit(number, "bob", chance.randrange(1, 9))[0]], START)
            case "rows":
                staked(book, number, chance.randrange(1, 7))
            case "retry":
                staked(book, number - 100, 4)
            case "checkpoint":
                book.checkpoint(START, signs)
            case "reopen":
                book.close()
                book = vault.opened()
    found = book.state.digest(), book.head
    book.close()
    slow = vault.opened(thorough=True)
    assert (slow.state.digest(), slow.head) == found
    slow.close()
    assert vault.opened().state.digest() == found[0]


def test_ids_that_rows_used_stay_used_after_a_snapshot() -> None:
    vault = rows_vault()
    book = vault.opened()
    staked(book, 500, 3)
    book.checkpoint(START)
    book.close()
    book = vault.opened()
    (outcome,) = book.submit([fund(500, "alice", 1)], START)
    assert isinstance(outcome.decision, Refused)
    assert outcome.decision.reason is Reason.ID_USED_WITH_OTHER_CONTENT
    staked(book, 500, 3)
    lines = list(book.lines(BET))
    assert len(lines) == 2
    assert book.state.balance(BET, "USDC") == 3


# --- a snapshot is never trusted over the journal ----------------------------------------------


def damaged_vault(change: str) -> Vault:
    vault = Vault()
    book = vault.begun()
    moved(book, 10)
    book.checkpoint(START)
    moved(book, 20)
    book.checkpoint(START)
    moved(book, 30)
    book.close()
    newest = vault.snapshots.contents[5]
    parts = unpacked(newest)
    contents: dict[str, bytes] = {
        "flip": newest[:200] + bytes([newest[200] ^ 1]) + newest[201:],
        "cut": newest[: len(newest) // 2],
        "empty": b"",
        "older": vault.snapshots.contents[3],
        "richer": packed(
            parts | {"packed compartments": parts["packed compartments"].replace(b"\x3b", b"\x3c")}
        ),
        "other part": packed(parts | {"table else": b"[]"}),
    }
    vault.snapshots.contents[5] = contents[change]
    return vault


@pytest.mark.parametrize("change", ["flip", "cut", "empty", "older", "richer", "other part"])
def test_a_damaged_snapshot_is_passed_over_for_an_older_one(change: str) -> None:
    vault = damaged_vault(change)
    book = vault.opened()
    (passed,) = book.notes
    assert passed.startswith("the snapshot at record 5 was passed over: it ")
    assert book.opened_from == 3
    digest = book.state.digest()
    book.close()
    assert vault.replayed().state.digest() == digest


def test_without_a_good_snapshot_the_journal_is_replayed() -> None:
    vault = damaged_vault("flip")
    vault.snapshots.contents[3] = b"nothing of the kind"
    book = vault.opened()
    assert [note.partition(":")[0] for note in book.notes] == [
        "the snapshot at record 5 was passed over",
        "the snapshot at record 3 was passed over",
    ]
    digest = book.state.digest()
    book.close()
    assert vault.replayed().state.digest() == digest


def test_a_thousand_flipped_bits_of_a_snapshot_are_found() -> None:
    vault = damaged_vault("empty")
    draw = random.Random(5)
    whole = vault.snapshots.contents[3]
    digest = vault.replayed().state.digest()
    vault.shelf.is_taken = False
    for _ in range(1_000):
        place = draw.randrange(len(whole))
        vault.snapshots.contents[5] = b""
        vault.snapshots.contents[3] = (
            whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :]
        )
        store = MemoryStore(vault.shelf)
        first = next(verify_chain(store.records()))
        assert all(found.fault for found in candidates(store, vault.snapshots, Wanted(first)))
        store.close()
    assert vault.opened().state.digest() == digest


def test_a_snapshot_of_another_book_or_place_is_passed_over(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10)
    book.checkpoint(START)
    book.close()
    other = Vault()
    other.begun().close()
    other.snapshots.contents = {3: vault.snapshots.contents[3], 1: vault.snapshots.contents[3]}
    opened = other.opened()
    assert opened.notes == (
        "the snapshot at record 3 was passed over: the journal has no such record",
        "the snapshot at record 1 was passed over: its checkpoint is journal record 1: "
        "is of kind 1, and no checkpoint",
    )


def test_a_record_that_changed_after_the_snapshot_is_found(vault: Vault) -> None:
    book = vault.begun()
    book.checkpoint(START)
    moved(book, 10, 20)
    book.close()
    record = vault.shelf.records[3]
    vault.shelf.records[3] = replace(record, payload=record.payload.replace(b"alice", b"bob!!"))
    with pytest.raises(JournalBroken, match="journal record 3: was changed"):
        vault.opened()


def test_what_came_before_the_snapshot_is_checked_by_a_thorough_opening(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10)
    book.checkpoint(START)
    book.close()
    record = vault.shelf.records[2]
    vault.shelf.records[2] = replace(record, payload=record.payload.replace(b"alice", b"bob!!"))
    vault.opened().close()
    with pytest.raises(JournalBroken, match="journal record 2: was changed"):
        vault.opened(thorough=True)


def test_a_head_noted_before_the_snapshot_is_still_compared(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10)
    noted = book.head
    book.checkpoint(START)
    book.close()
    vault.opened(noted=noted).close()
    with pytest.raises(JournalBroken, match="journal record 2: is not the record that was noted"):
        vault.opened(noted=replace(noted, hash=bytes(32)))


# --- checkpoints -------------------------------------------------------------------------------


def forged(vault: Vault, **change: object) -> None:
    """Append a checkpoint that says something else, under a right hash."""
    last = vault.shelf.records[-1]
    true = read_checkpoint(last)
    false = msgspec.structs.replace(true, **change)
    before = vault.shelf.records[-2]
    vault.shelf.records[-1] = checkpoint_record(head_of(before), last.at, last.policy, false)
    vault.snapshots.contents.clear()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"size": 3}, "its checkpoint names another tree"),
        ({"root": bytes(32)}, "its checkpoint names another tree"),
        ({"state": bytes(32)}, "its checkpoint names another state"),
        ({"book": bytes(32)}, "its checkpoint is of another book or time"),
        ({"at": 5}, "its checkpoint is of another book or time"),
        ({"sequence": 1}, "its checkpoint is of another place"),
        ({"hash": bytes(32)}, "its checkpoint is of another place"),
        (
            {"signatures": (Signature("ledger_key", bytes(64)),)},
            "the signature of its checkpoint does not fit",
        ),
    ],
)
def test_a_checkpoint_that_says_something_else_is_found(
    vault: Vault, change: dict[str, object], words: str
) -> None:
    book = vault.begun()
    moved(book, 10)
    book.checkpoint(START)
    book.close()
    vault.opened(thorough=True).close()
    forged(vault, **change)
    with pytest.raises(JournalBroken, match=f"journal record 3: {words}"):
        vault.opened(thorough=True)


def test_a_state_of_another_form_is_not_compared(vault: Vault) -> None:
    book = vault.begun()
    book.checkpoint(START)
    book.close()
    forged(vault, state=bytes(32), form=bytes(32))
    vault.opened(thorough=True).close()


def test_a_checkpoint_carries_the_signature_of_the_ledger(vault: Vault) -> None:
    book = vault.begun()
    found = book.checkpoint(START, signs)
    assert [one.key for one in found.signatures] == ["ledger_key"]
    assert verify(public_key(seed("ledger_key")), found.signing_digest(), found.signatures[0].value)
    assert book.last_checkpoint == found
    book.close()
    assert vault.opened().last_checkpoint == found


def test_a_key_that_the_book_does_not_know_signs_no_checkpoint(vault: Vault) -> None:
    book = vault.begun()
    with pytest.raises(UsageError, match="is not the one that the book knows"):
        book.checkpoint(START, lambda key, message: Signature(key, sign(seed("other"), message)))
    book.submit([RevokeKey("ledger_key", "lost")], START)
    assert book.checkpoint(START, signs).signatures == ()


def test_the_root_is_the_one_that_rfc_6962_gives(vault: Vault) -> None:
    """Leaves put together here by hand, from the page that describes them."""
    import hashlib
    import json

    book = vault.begun()
    moved(book, 10)
    found = book.checkpoint(START)
    leaves = []
    for record in vault.shelf.records[:-1]:
        entries = [record.payload]
        if record.kind == Kind.BATCH:
            documents = json.loads(record.payload)
            entries = [json.dumps(one, separators=(",", ":")).encode() for one in documents]
        for place, entry in enumerate(entries):
            head = record.sequence.to_bytes(8, "big") + record.at.to_bytes(8, "big")
            head += bytes([record.kind]) + place.to_bytes(3, "big")
            leaves.append(hashlib.sha256(b"\0" + head + entry).digest())
    assert found.size == len(leaves) == 1 + 6 + 2
    assert found.root == Tree(leaves).root()


def test_a_checkpoint_falls_due_with_the_records(vault: Vault) -> None:
    book = vault.begun()
    for number in range(CHECKPOINT_RECORDS - 1):
        assert not book.is_checkpoint_due
        book.submit([RevokeKey("none", str(number))], START)
    book.submit([RevokeKey("none", "last")], START)
    assert book.is_checkpoint_due
    book.checkpoint(START)
    assert not book.is_checkpoint_due


def test_a_stopped_book_takes_no_checkpoint(vault: Vault) -> None:
    book = vault.begun()
    book.close()
    with pytest.raises(StoreFailed):
        book.checkpoint(START)


# --- as it was ---------------------------------------------------------------------------------


def test_a_book_opens_as_it_was_at_any_instant(vault: Vault) -> None:
    book = vault.begun()
    was: list[tuple[Instant, int, Head]] = []
    for number in range(10, 60, 10):
        book.submit([fund(number, "alice", number)], Instant(START + 1_000 * number))
        was.append((book.head.at, book.state.balance(BET, "USDC"), book.head))
        if number in (20, 40):
            book.checkpoint(Instant(START + 1_000 * number + 1))
    book.close()
    for at, units, head in was:
        for shift, shelf in ((0, vault.snapshots), (0, MemorySnapshots()), (500, vault.snapshots)):
            then = vault.opened(until=Instant(at + shift), snapshots=shelf)
            assert then.state.balance(BET, "USDC") == units
            assert head.at <= then.head.at <= at + shift
            with pytest.raises(StoreFailed, match="as it was at an earlier time"):
                then.submit([fund(99, "alice", 1)], at)
            then.close()
    with pytest.raises(BadInput, match="the book begins at"):
        vault.opened(until=Instant(START - 1))


def test_history_begins_and_ends_at_an_instant(vault: Vault) -> None:
    book = vault.begun()
    for number in range(10, 60, 10):
        book.submit([fund(number, "alice", number)], Instant(START + 1_000 * number))
    book.checkpoint(Instant(START + 60_000))

    def ids(**span: Instant) -> list[int]:
        return [dated.line.operation.id for dated in book.lines(BET, **span)]

    assert ids() == [10, 20, 30, 40, 50]
    assert ids(since=Instant(START + 30_000)) == [30, 40, 50]
    assert ids(since=Instant(START + 30_001), until=Instant(START + 40_000)) == [40]
    assert ids(until=Instant(START + 9_999)) == []
    assert ids(since=Instant(START + 60_001)) == []


# --- a journal that somebody changed -----------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> Vault:
    """A journal with requests, rows and checkpoints."""
    vault = rows_vault()
    book = vault.opened()
    for number in (100, 200, 300):
        moved(book, number)
        staked(book, number + 10, 4)
        book.checkpoint(START, signs)
    book.close()
    return vault


def test_a_thousand_changes_of_a_journal_with_checkpoints_are_found(whole: Vault) -> None:
    draw = random.Random(20_261_121)
    head = head_of(whole.shelf.records[-1])
    for _ in range(1_000):
        records = list(whole.shelf.records)
        index = draw.randrange(len(records))
        change = draw.choice(["flip", "delete", "swap", "truncate", "repeat"])
        match change:
            case "flip":
                payload = bytearray(records[index].payload)
                payload[draw.randrange(len(payload))] ^= 1 << draw.randrange(8)
                records[index] = replace(records[index], payload=bytes(payload))
            case "delete":
                del records[index]
            case "swap":
                other = (index + draw.randrange(1, len(records))) % len(records)
                records[index], records[other] = records[other], records[index]
                index = min(index, other)
            case "truncate":
                del records[index:]
            case "repeat":
                records.insert(index + 1, records[index])
                index += 1
        with pytest.raises(JournalBroken) as broken:
            list(verify_chain(records, head))
        assert broken.value.sequence == index, change


def sealed_again(records: list[JournalRecord], index: int, payload: bytes) -> list[JournalRecord]:
    """Change a record and give it and all later ones right hashes, as somebody would who can write."""
    changed = records[:index]
    for record in records[index:]:
        content = payload if record.sequence == index else record.payload
        if record.kind == Kind.CHECKPOINT:
            true = read_checkpoint(record)
            content = msgspec.json.encode(msgspec.structs.replace(true, hash=changed[-1].hash, signatures=()))
        before = head_of(changed[-1])
        changed.append(sealed_after(before, Kind(record.kind), record.at, record.policy, content))
    return changed


def test_a_changed_word_under_right_hashes_is_found_by_the_next_checkpoint(whole: Vault) -> None:
    """The answers would not tell, since words may be put better; the tree does."""
    records = whole.shelf.records
    index = next(
        record.sequence
        for record in records[2:]
        if b"was used with" in record.payload or b" names policy " in record.payload
    )
    false = Vault()
    payload = records[index].payload.replace(b" names policy ", b" means policy ")
    false.shelf.records = sealed_again(records, index, payload)
    list(verify_chain(false.shelf.records))
    checkpoint = next(record for record in records[index:] if record.kind == Kind.CHECKPOINT)
    with pytest.raises(
        JournalBroken, match=f"journal record {checkpoint.sequence}: its checkpoint names another tree"
    ):
        false.opened(thorough=True)


def test_changes_under_right_hashes_are_found_by_a_thorough_opening(whole: Vault) -> None:
    draw = random.Random(11)
    records = whole.shelf.records
    for _ in range(60):
        index = draw.choice([record.sequence for record in records[1:] if record.kind != Kind.CHECKPOINT])
        payload = bytearray(records[index].payload)
        payload[draw.randrange(len(payload))] ^= 1 << draw.randrange(8)
        false = Vault()
        false.shelf.records = sealed_again(records, index, bytes(payload))
        with pytest.raises(JournalBroken) as broken:
            false.opened(thorough=True)
        assert broken.value.sequence >= index


def test_a_snapshot_of_another_version_is_passed_over(vault: Vault) -> None:
    book = vault.begun()
    moved(book, 10)
    book.checkpoint(START)
    book.close()
    snapshots = dict(vault.snapshots.contents)
    forged(vault, form=bytes(32))
    vault.snapshots.contents = snapshots
    opened = vault.opened()
    assert opened.notes == (
        "the snapshot at record 3 was passed over: another version of ringfence wrote it",
    )
    assert opened.opened_from == 0
