"""Every change to a journal is found, and its first bad record is named."""

import hashlib
import random
from dataclasses import replace
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import GENESIS, POLICY, accepts_everything, journal, remark

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.errors import JournalBroken
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import (
    Answered,
    Head,
    JournalRecord,
    Kind,
    Refusal,
    answered,
    batch_record,
    genesis_record,
    head_of,
    read_batch,
    read_genesis,
    replay,
    verify_chain,
)
from ringfence.planes.ledger.operations import Entry, Move, Request

JOURNAL = journal(8)
HEAD = head_of(JOURNAL[-1])
FIELDS = ("sequence", "kind", "at", "policy", "previous", "payload", "hash")


def first_bad(records: list[JournalRecord], *heads: Head | None) -> int | None:
    try:
        list(verify_chain(records, *(heads or (HEAD,))))
    except JournalBroken as broken:
        return broken.sequence
    return None


def flipped(value: int | bytes, bit: int) -> int | bytes:
    if isinstance(value, int):
        return value ^ 1 << bit % 62
    place, turn = divmod(bit % (8 * len(value)), 8)
    return value[:place] + bytes([value[place] ^ 1 << turn]) + value[place + 1 :]


# --- chain -------------------------------------------------------------------------------------


def test_an_untouched_journal_is_whole() -> None:
    assert list(verify_chain(JOURNAL, HEAD)) == JOURNAL
    assert list(verify_chain([])) == []


@given(
    index=st.integers(0, len(JOURNAL) - 1),
    field=st.sampled_from(FIELDS),
    bit=st.integers(0, 8 * 4096),
)
def test_chain_finds_every_flipped_bit(index: int, field: str, bit: int) -> None:
    record = JOURNAL[index]
    changed = replace(record, **{field: flipped(getattr(record, field), bit)})
    assert first_bad([*JOURNAL[:index], changed, *JOURNAL[index + 1 :]]) == index


@given(start=st.integers(0, len(JOURNAL) - 1), length=st.integers(1, len(JOURNAL)))
def test_chain_finds_deleted_records(start: int, length: int) -> None:
    assert first_bad(JOURNAL[:start] + JOURNAL[start + length :]) == start


@given(order=st.permutations(range(len(JOURNAL))))
def test_chain_finds_every_other_order(order: list[int]) -> None:
    moved = [place for place, index in enumerate(order) if place != index]
    assert first_bad([JOURNAL[index] for index in order]) == (moved[0] if moved else None)


@given(place=st.integers(0, len(JOURNAL)), index=st.integers(0, len(JOURNAL) - 1))
def test_chain_finds_an_inserted_copy(place: int, index: int) -> None:
    copies = [*JOURNAL[:place], JOURNAL[index], *JOURNAL[place:]]
    # A copy right before its original is found at the original: the first of two equals is the right one.
    assert first_bad(copies) == (place if place != index else index + 1)


def test_chain_finds_an_inserted_record_that_continues_the_chain() -> None:
    before = head_of(JOURNAL[3])
    forged = batch_record(before, Instant(before.at + 1), POLICY, [answered(remark(99), Accepted())])
    assert first_bad([*JOURNAL[:4], forged, *JOURNAL[4:]]) == 5


def test_chain_finds_a_missing_tail_by_the_head_alone() -> None:
    for kept in range(len(JOURNAL)):
        assert first_bad(JOURNAL[:kept]) == kept
        assert first_bad(JOURNAL[:kept], None) is None


def test_a_head_noted_earlier_names_a_rewritten_history() -> None:
    head = head_of(JOURNAL[2])
    rewritten = [*JOURNAL[:2]]
    for record in JOURNAL[2:]:
        batch = [answered(remark(7_000 + record.sequence), Accepted())]
        rewritten.append(batch_record(head_of(rewritten[-1]), record.at, POLICY, batch))
    assert first_bad(rewritten, None) is None
    assert first_bad(rewritten, head) == 2
    assert first_bad(JOURNAL, head) is None


def test_a_thousand_random_flips_deletions_and_reorderings_are_all_found() -> None:
    draw = random.Random(20_251_010)
    for _ in range(1_000):
        records = list(JOURNAL)
        index = draw.randrange(len(records))
        change = draw.choice(["flip", "delete", "swap", "truncate", "repeat"])
        match change:
            case "flip":
                field = draw.choice(FIELDS)
                value = flipped(getattr(records[index], field), draw.randrange(8 * 4096))
                records[index] = replace(records[index], **{field: value})
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
        assert first_bad(records) == index, change


@pytest.mark.parametrize("at", [JOURNAL[3].at, JOURNAL[3].at - 1])
def test_a_record_that_is_not_later_than_the_one_before_is_refused(at: int) -> None:
    stale = batch_record(head_of(JOURNAL[3]), Instant(at), POLICY, [])
    with pytest.raises(JournalBroken, match="journal record 4: is not later"):
        list(verify_chain([*JOURNAL[:4], stale]))


def test_a_record_under_another_policy_is_refused() -> None:
    other = batch_record(head_of(JOURNAL[3]), Instant(JOURNAL[3].at + 1), bytes(32), [])
    with pytest.raises(JournalBroken, match="journal record 4: names another policy"):
        list(verify_chain([*JOURNAL[:4], other]))


def test_no_two_records_share_a_hash() -> None:
    assert all(one.hash != other.hash for one, other in pairwise(JOURNAL))


def test_the_form_of_a_record_is_frozen() -> None:
    """Built here from the page that describes the format; if this changes, old journals cannot be read."""
    payload = (
        b'[{"operation":{"type":"remark","kind":"call","subject":"client/2/hedge","words":"words 2",'
        b'"figures":{"equity":2}}},{"operation":{"type":"remark","kind":"call","subject":"client/3/hedge",'
        b'"words":"words 3","figures":{"equity":3}}}]'
    )
    numbers = (number.to_bytes(8, "big") for number in (2, 1, 1_020))
    parts = (b"ringfence journal 1", *numbers, POLICY, JOURNAL[1].hash, payload)
    written = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert JOURNAL[2].payload == payload
    assert JOURNAL[2].hash == hashlib.sha256(written).digest()


# --- answers -----------------------------------------------------------------------------------


def test_answers_that_the_rules_give_are_passed_on() -> None:
    assert list(replay(JOURNAL[1:], accepts_everything)) == JOURNAL[1:]


@pytest.mark.parametrize(
    ("was", "words"),
    [
        (Answered(remark(1), repeated=True), "answered repeated, and the rules answer accepted"),
        (Answered(remark(1), (Entry("a", "b", "USDC", 1),)), "with other entries than the rules give"),
        (
            Answered(remark(1), refused=Refusal(60, "words")),
            r"refused \(GATE_FROZEN, leg 0: words\), and the rules answer accepted",
        ),
        (Answered(remark(1), refused=Refusal(999, "words")), r"refused \(reason 999, leg 0: words\)"),
    ],
)
def test_answers_that_the_rules_do_not_give_are_named(was: Answered, words: str) -> None:
    right = answered(remark(0), Accepted())
    forged = batch_record(head_of(JOURNAL[0]), Instant(2_000), POLICY, [right, was])
    assert first_bad([JOURNAL[0], forged], None) is None  # the chain alone sees nothing
    with pytest.raises(JournalBroken, match=f"journal record 1: operation 1 was .*{words}"):
        list(replay([forged], accepts_everything))


@pytest.mark.parametrize(
    ("change", "is_found"),
    [
        ({"words": "the same, put better"}, False),
        ({"rule": "moved.yaml:99"}, False),
        ({"reason": 61}, True),
        ({"leg": 1}, True),
    ],
)
def test_what_a_refusal_means_is_compared_and_not_how_it_is_put(
    change: dict[str, object], is_found: bool
) -> None:
    right = Answered(remark(0), refused=Refusal(60, "words", "venue.yaml:12"))
    was = msgspec.structs.replace(right, refused=msgspec.structs.replace(right.refused, **change))
    batch = batch_record(head_of(JOURNAL[0]), Instant(2_000), POLICY, [was])
    if is_found:
        with pytest.raises(JournalBroken, match="journal record 1: operation 0"):
            list(replay([batch], lambda operation, at: right))
    else:
        assert list(replay([batch], lambda operation, at: right)) == [batch]


# --- what payloads hold ------------------------------------------------------------------------


def test_a_decision_survives_being_written_down() -> None:
    for decision in (
        Accepted(),
        Accepted(repeated=True),
        Refused(Reason.FREE_BALANCE_TOO_LOW, "5 is free", "venue.yaml:12", 2),
    ):
        batch = [answered(remark(1), decision)]
        record = batch_record(head_of(JOURNAL[0]), Instant(2_000), POLICY, batch)
        assert [line.decision for line in read_batch(record)] == [decision]


def test_the_largest_numbers_survive_being_written_down() -> None:
    request = Request(2**128 - 1, (Move("fund", "a", "b", "ETH", 2**127 - 1),), POLICY, 2**63 - 1)
    batch = (answered(request, Accepted(), [Entry("a", "b", "ETH", 2**127 - 1)]),)
    assert read_batch(batch_record(head_of(JOURNAL[0]), Instant(2_000), POLICY, batch)) == batch


def test_the_genesis_is_read_back() -> None:
    assert read_genesis(JOURNAL[0]) == GENESIS


def test_another_format_is_refused_by_name() -> None:
    later = genesis_record(msgspec.structs.replace(GENESIS, format=4), Instant(1), POLICY)
    with pytest.raises(JournalBroken, match="record 0: is of format 4; this ringfence reads formats 1 to 3"):
        read_genesis(later)


def test_a_batch_is_no_genesis_and_a_genesis_no_batch() -> None:
    with pytest.raises(JournalBroken, match="journal record 1: a journal begins with its genesis"):
        read_genesis(JOURNAL[1])
    with pytest.raises(JournalBroken, match="journal record 0: is of kind 0"):
        read_batch(JOURNAL[0])


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[",
        b"{}",
        b"\xff\xfe",
        b'[{"operation":{"type":"remark"}}]',
        b'[{"operation":{"type":"nonsense"}}]',
        b"[" * 100_000,
        JOURNAL[1].payload.replace(b'"words"', b'"wordz"', 1),
        JOURNAL[1].payload.replace(b"{", b"{ ", 1),
        JOURNAL[1].payload + b"\n",
        JOURNAL[1].payload.replace(b'"type":"remark"', b'"type":"remark","type":"remark"', 1),
        JOURNAL[1].payload.replace(b'"equity":0', b'"equity":0.0', 1),
    ],
)
def test_a_payload_in_any_other_spelling_is_refused(payload: bytes) -> None:
    record = replace(JOURNAL[1], kind=Kind.BATCH, payload=payload)
    with pytest.raises(JournalBroken, match="journal record 1: its content"):
        read_batch(record)
