"""Ids and requests of a batch of rows, compiled: each id is good once, for ever.

The id table is open addressing over plain words. What a request asked for is kept as 48 bits of its rows,
which is enough to tell a retry from an id used twice by mistake: neither moves anything.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled_in_place
from ringfence.kernel.decision import Reason
from ringfence.kernel.reaching import reach
from ringfence.planes.ledger.batch_kernel import Arrays, Codes, Undo, Words, fault_of_hold, judge_chain
from ringfence.planes.ledger.hold_kernel import (
    AHEAD,
    HOLD_HIGH,
    HOLD_LOW,
    home_of,
    is_booked,
    kind_of,
    route_of,
)
from ringfence.planes.ledger.id_hash import FACTORS, SHIFT, mix
from ringfence.planes.ledger.rows import HOLD, MOVE, POST, REPEATED

ID_WORDS = 3
"""Words of one id in the table: high and low limb, then content (48 bits), `_IS_SET`, and its answer."""

IDS_IN_BLOCK = 16

TOTALS = np.dtype(
    [
        (f"{end}_{total}_{limb}", "u8")
        for end in ("source", "target")
        for total in ("debits", "credits")
        for limb in ("high", "low")
    ]
)
"""The running totals at both ends of a transfer, after its request."""

TOTALS_WORDS = TOTALS.itemsize // 8

_STOPPED = int(Reason.BOOK_IS_STOPPED)
_OTHER = int(Reason.ID_USED_WITH_OTHER_CONTENT)
_REFUSED = int(Reason.ID_ALREADY_REFUSED)
_NOT_POSSIBLE = int(Reason.ID_NOT_POSSIBLE)
_LINKED = int(Reason.LINKED_LEG_REFUSED)
_REPEATED = REPEATED
_ONE, _NOTHING = np.uint64(1), np.uint64(0)
_BLOCK_BITS = np.uint64(4)
_BLOCK_MASK = np.uint64(15)
CONTENT_MASK = np.uint64(0xFFFFFFFFFFFF0000)
_CONTENT_ONE = np.uint64(1 << 16)
_IS_SET = np.uint64(1 << 15)
_CODE_MASK = np.uint64((1 << 15) - 1)

_LINK_WORD, _LINK_SHIFT = 5, np.uint64(32)
_LANES = 4

TOTALS_CHANGED, HELD_CHANGED = 1, 2
"""What may have changed of an account."""


class Touched(NamedTuple):
    """What rows changed: a mark for each number, and the marked numbers in the order they came.

    account_marks: `TOTALS_CHANGED` and `HELD_CHANGED`; counts: how many accounts, windows and entitlements
    there are in `accounts`, `windows` and `owed`.
    """

    account_marks: NDArray[np.uint8]
    window_marks: NDArray[np.uint8]
    owed_marks: NDArray[np.uint8]
    accounts: NDArray[np.int32]
    windows: NDArray[np.int32]
    owed: NDArray[np.int32]
    counts: NDArray[np.int64]


class Terms(NamedTuple):
    """What a batch says beside its transfers: at the first transfer of each request what holds of it.

    content: 64 bits of what is said of it; whole: a reason against it as a whole, or 0; signing: for each
    transfer, the reason for which the signatures do not open its gate, or 0; has_text: a reason in words is
    given; at: the instant.
    """

    content: Words
    whole: Codes
    signing: Codes
    has_text: bool
    at: int


@compiled_in_place
def _block_shift(ids: Words) -> np.uint64:
    """Return by how much a hash is shifted so that it names a block of the table."""
    size, shift = np.uint64(len(ids)), np.uint64(64) + _BLOCK_BITS
    while size > _ONE:
        size, shift = size >> _ONE, shift - _ONE
    return shift


@compiled_in_place
def _home(shift: np.uint64, high: np.uint64, low: np.uint64) -> np.uint64:
    """Return the slot at which the search for an id begins.

    Ids that follow each other lie side by side, sixteen to a block, so that few of them wait for memory; and
    blocks lie in the order of their hash, so that a larger table is written from end to end.
    """
    block = mix(mix(FACTORS[0], high), low >> _BLOCK_BITS) >> shift
    return block << _BLOCK_BITS | low & _BLOCK_MASK


@compiled_in_place
def _slot_from(ids: Words, slot: np.uint64, high: np.uint64, low: np.uint64) -> int:
    mask = np.uint64(len(ids) - 1)
    while ids[slot, 2] != _NOTHING and (ids[slot, 0] != high or ids[slot, 1] != low):
        slot = (slot + _ONE) & mask
    return int(slot)


@compiled_in_place
def find_slot(ids: Words, high: np.uint64, low: np.uint64) -> int:
    """Return where an id is kept, or would be; the table is never full."""
    return _slot_from(ids, _home(_block_shift(ids), high, low), high, low)


@compiled_in_place
def move_ids(old: Words, new: Words) -> None:
    """Copy every id into a larger table."""
    shift = _block_shift(new)
    for number in range(len(old)):
        high, low = old[number, 0], old[number, 1]
        if old[number, 2] != _NOTHING:
            slot = _slot_from(new, _home(shift, high, low), high, low)
            new[slot, 0], new[slot, 1], new[slot, 2] = high, low, old[number, 2]


@compiled_in_place
def first_gap(ids: Words, start: int) -> int:
    """Return the first slot from `start` on that is empty; the end where none is."""
    while start < len(ids) and ids[start, 2] != _NOTHING:
        start += 1
    return start


@compiled_in_place
def longest_run(ids: Words) -> int:
    """Return how many slots without a gap between them there are at most."""
    longest, run = 0, 0
    for slot in range(len(ids)):
        run = run + 1 if ids[slot, 2] != _NOTHING else 0
        longest = max(longest, run)
    return longest


@compiled_in_place
def spread_ids(ids: Words, head: int, end: int) -> None:
    """Spread the ids of the slots `head` to `end`, where a smaller table ended, over the whole table.

    The slots before `head` are empty, and so was slot `head` in the smaller table: so what lies after it is
    away from its home by less than the longest run. In the larger table, its home is at least twice as far
    from the beginning, but for the places in a block: with a head as long as the longest run and a block, no
    id has its new home before its old slot. Taken from the last on, none meets one that was not taken yet.
    """
    shift = _block_shift(ids)
    for slot in range(end - 1, head, -1):
        high, low, word = ids[slot, 0], ids[slot, 1], ids[slot, 2]
        if word != _NOTHING:
            ids[slot, 2] = _NOTHING
            place = _slot_from(ids, _home(shift, high, low), high, low)
            ids[place, 0], ids[place, 1], ids[place, 2] = high, low, word


@compiled_in_place
def read_transfers(
    words: Words,
    ids: Words,
    by_route: Codes,
    signing: Codes,
    content: NDArray[np.uint64],
    homes: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Hash each transfer and reach for its id, so that memory answers while the next one is hashed.

    words: the transfers as 64-bit words, shape (rows, 16); by_route: for each route, the reason for which the
    signatures do not open its gate, or 0; signing, content, homes: become that reason for each transfer, 64
    bits of it, and where the search for its id begins. Return how many transfers the longest request has, how
    many hold, and how many end a hold.
    """
    shift = _block_shift(ids)
    longest, chain, held, ended = 1, 1, 0, 0
    for number in range(len(words)):
        signing[number] = by_route[route_of(words, number)]
        kind = kind_of(words, number)
        held += kind == HOLD
        ended += kind >= POST
        chain = chain + 1 if words[number, _LINK_WORD] >> _LINK_SHIFT & _ONE else 1
        longest = max(longest, chain)
        first, second = words[number, 0], words[number, 1]
        third, fourth = words[number, 2], words[number, 3]
        for start in range(_LANES, words.shape[1], _LANES):
            first = (first * FACTORS[1]) ^ words[number, start]
            second = (second * FACTORS[2]) ^ words[number, start + 1]
            third = (third * FACTORS[1]) ^ words[number, start + 2]
            fourth = (fourth * FACTORS[2]) ^ words[number, start + 3]
            first, second = first ^ first >> SHIFT, second ^ second >> SHIFT
            third, fourth = third ^ third >> SHIFT, fourth ^ fourth >> SHIFT
        content[number] = mix(mix(mix(mix(FACTORS[0], first), second), third), fourth)
        home = _home(shift, words[number, 0], words[number, 1])
        homes[number] = np.int64(home)
        reach(ids, np.int64(home))
    return longest, held, ended


@compiled_in_place
def judge_requests(
    book: Arrays,
    words: Words,
    ids: Words,
    terms: Terms,
    codes: Codes,
    undo: Undo,
    touched: Touched,
    after: Words,
    content: NDArray[np.uint64],
    homes: NDArray[np.int64],
) -> int:
    """Judge and book every request of a batch; return how many ids are new.

    words: the transfers as 64-bit words, shape (rows, 16); after: room for totals (shape (rows,
    TOTALS_WORDS)), or none; content and homes: as `read_transfers` writes them.
    """
    count, start, fresh, reached = len(words), 0, 0, 0
    while start < count:
        while reached < min(start + AHEAD, count):
            _reach(book, words, reached)
            reached += 1
        end, asked = start, mix(terms.content[start], content[start])
        while words[end, _LINK_WORD] >> _LINK_SHIFT & _ONE:
            end += 1
            asked = mix(asked, content[end])
        asked = asked & CONTENT_MASK | _CONTENT_ONE
        high, low = words[start, 0], words[start, 1]
        slot = _slot_from(ids, np.uint64(homes[start]), high, low)
        code = _known_code(ids[slot, 2], high, low, asked, terms.whole[start])
        if code >= 0:
            _answer_all(codes, start, end, code)
        else:
            code = int(terms.whole[start])
            if code == 0:
                code = fault_of_hold(book, words, terms.at, start, end)
            if code:
                _answer_all(codes, start, end, code)
            else:
                code = judge_chain(
                    book, words, terms.signing, terms.has_text, terms.at, codes, undo, start, end
                )
            ids[slot, 0], ids[slot, 1] = high, low
            ids[slot, 2] = asked | _IS_SET | np.uint64(code)
            fresh += 1
            if code == 0:
                _touch(book, words, touched, after, start, end)
        start = end + 1
    return fresh


@compiled_in_place
def _reach(book: Arrays, words: Words, number: int) -> None:
    """Reach for what a transfer will be judged by, and for the route of one further on."""
    if number + AHEAD < len(words):
        reach(book.routes, route_of(words, number + AHEAD))
    route = book.routes[route_of(words, number)]
    if route.source >= 0:
        reach(book.accounts, route.source)
        reach(book.accounts, route.target)
    if route.each >= 0:
        reach(book.windows, route.each)
    if route.all >= 0:
        reach(book.windows, route.all)
    kind = kind_of(words, number)
    if kind == HOLD:
        reach(book.holds.slots, home_of(book.holds, words[number, 0], words[number, 1]))
    elif kind != MOVE:
        reach(book.holds.slots, home_of(book.holds, words[number, HOLD_HIGH], words[number, HOLD_LOW]))


@compiled_in_place
def _answer_all(codes: Codes, start: int, end: int, code: int) -> None:
    """Answer a request as a whole: a reason stands at its first move, `REPEATED` at every one."""
    codes[start] = code
    for number in range(start + 1, end + 1):
        codes[number] = code if code == _REPEATED else _LINKED


@compiled_in_place
def _known_code(kept: np.uint64, high: np.uint64, low: np.uint64, asked: np.uint64, whole: int) -> int:
    """Answer a request by its id alone; -1 where it must be judged."""
    is_same = kept & CONTENT_MASK == asked
    if kept != _NOTHING and is_same and kept & _CODE_MASK == _NOTHING:
        return _REPEATED
    if high == _NOTHING and low == _NOTHING:
        return _NOT_POSSIBLE
    if kept == _NOTHING:
        return -1
    if whole == _STOPPED:
        return _STOPPED
    return _REFUSED if is_same else _OTHER


@compiled_in_place
def _touch(book: Arrays, words: Words, touched: Touched, after: Words, start: int, end: int) -> None:
    """Mark what a request changed, and write the totals it leaves."""
    for number in range(start, end + 1):
        route = book.routes[route_of(words, number)]
        if kind_of(words, number) != MOVE:
            _mark(touched.account_marks, touched.accounts, touched.counts, 0, route.source, HELD_CHANGED)
            _mark(touched.account_marks, touched.accounts, touched.counts, 0, route.target, HELD_CHANGED)
        if is_booked(words, number):
            _mark(touched.account_marks, touched.accounts, touched.counts, 0, route.source, TOTALS_CHANGED)
            _mark(touched.account_marks, touched.accounts, touched.counts, 0, route.target, TOTALS_CHANGED)
            _mark(touched.window_marks, touched.windows, touched.counts, 1, route.each, 1)
            _mark(touched.window_marks, touched.windows, touched.counts, 1, route.all, 1)
            if route.has_accrual:
                for place in range(len(route.owed)):
                    _mark(touched.owed_marks, touched.owed, touched.counts, 2, route.owed[place], 1)
        if len(after):
            for word in range(4):
                after[number, word] = book.accounts[route.source, word]
                after[number, word + 4] = book.accounts[route.target, word]


@compiled_in_place
def _mark(
    marks: NDArray[np.uint8],
    numbers: NDArray[np.int32],
    counts: NDArray[np.int64],
    table: int,
    number: int,
    mark: int,
) -> None:
    if number >= 0 and marks[number] & mark == 0:
        if marks[number] == 0:
            numbers[counts[table]] = number
            counts[table] += 1
        marks[number] |= mark


def blank_totals(count: int) -> NDArray[np.void]:
    """Return room for the totals of `count` transfers."""
    return np.zeros(count, dtype=TOTALS)


def id_word(content: int, code: int) -> int:
    """Write what the table keeps of a request beside its id."""
    return content & int(CONTENT_MASK) | int(_IS_SET) | code


def code_in(word: int) -> int | None:
    """Return the answer that the table keeps of a request made by rows; None where it keeps none."""
    return word & int(_CODE_MASK) if word & int(CONTENT_MASK) else None
