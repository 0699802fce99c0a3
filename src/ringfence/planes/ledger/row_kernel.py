"""Ids and requests of a batch of rows, compiled: each id is good once, for ever.

The id table is open addressing over plain records. What a request asked for is kept as 64 bits of its rows,
which is enough to tell a retry from an id used twice by mistake: neither moves anything.
"""

from typing import Any

import numpy as np

from ringfence.kernel.compiled import compiled
from ringfence.kernel.decision import Reason
from ringfence.planes.ledger.batch_kernel import Arrays, Codes, Records, judge_chain
from ringfence.planes.ledger.rows import REPEATED

ID = np.dtype(
    [("high", "u8"), ("low", "u8"), ("content", "u8"), ("code", "u2"), ("is_set", "u1")], align=True
)
"""A request that was judged: its id, 64 bits of what it asked for (0: an ordinary request), its answer."""

TURNED = np.dtype([("high", "u8"), ("low", "u8"), ("number", "i8")])
"""What a window held before a request."""

TOTALS = np.dtype(
    [
        (f"{end}_{total}_{limb}", "u8")
        for end in ("source", "target")
        for total in ("debits", "credits")
        for limb in ("high", "low")
    ]
)
"""The running totals at both ends of a transfer, after its request."""

_STOPPED = int(Reason.BOOK_IS_STOPPED)
_OTHER = int(Reason.ID_USED_WITH_OTHER_CONTENT)
_REFUSED = int(Reason.ID_ALREADY_REFUSED)
_NOT_POSSIBLE = int(Reason.ID_NOT_POSSIBLE)
_LINKED = int(Reason.LINKED_LEG_REFUSED)
_REPEATED = REPEATED
_ONE = np.uint64(1)
_FACTORS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFT = np.uint64(29)
_BLOCK_BITS = np.uint64(4)
_BLOCK_MASK = np.uint64(15)


@compiled
def _mix(state: np.uint64, word: np.uint64) -> np.uint64:
    """Stir one word into a hash."""
    mixed = (state ^ word) * _FACTORS[1]
    mixed = (mixed ^ (mixed >> _SHIFT)) * _FACTORS[2]
    return mixed ^ (mixed >> _SHIFT)


@compiled
def find_slot(ids: Records, high: np.uint64, low: np.uint64) -> int:
    """Return where an id is kept, or would be; the table is never full.

    Ids that follow each other lie side by side, sixteen to a block, so that few of them wait for memory.
    """
    mask = np.uint64(len(ids) - 1)
    block = _mix(_mix(_FACTORS[0], high), low >> _BLOCK_BITS)
    slot = (block << _BLOCK_BITS | low & _BLOCK_MASK) & mask
    while True:
        one = ids[slot]
        if not one.is_set or (one.high == high and one.low == low):
            return int(slot)
        slot = (slot + _ONE) & mask


@compiled
def move_ids(old: Records, new: Records) -> None:
    """Copy every id into a larger table."""
    for number in range(len(old)):
        if old[number].is_set:
            new[find_slot(new, old[number].high, old[number].low)] = old[number]


@compiled
def judge_requests(
    arrays: Arrays,
    rows: Records,
    words: Any,
    ids: Records,
    terms: np.uint64,
    whole: int,
    codes: Codes,
    taken: Records,
    turned: Records,
    touched: tuple[Any, Any, Any],
    after: Records,
) -> int:
    """Judge and book every request of a batch; return how many ids are new.

    words: the transfers as 64-bit words, shape (rows, 16); terms: 64 bits of what a batch says of each
    request; whole: a reason against all of them, or 0; touched: marks for accounts, windows and entitlements
    that changed; after: room for totals, or none.
    """
    count, start, fresh = len(rows), 0, 0
    while start < count:
        end = start
        while rows[end].is_linked:
            end += 1
        content = terms
        for number in range(start, end + 1):
            for word in range(words.shape[1]):
                content = _mix(content, words[number, word])
        content |= _ONE
        slot = find_slot(ids, words[start, 0], words[start, 1])
        code = _known_code(ids[slot], words[start, 0], words[start, 1], content, whole)
        if code >= 0:
            codes[start : end + 1] = code if code == _REPEATED else _LINKED
            codes[start] = code
        else:
            code = _judge_new(arrays, rows, whole, codes, taken, turned, start, end)
            one = ids[slot]
            one.high, one.low = words[start, 0], words[start, 1]
            one.content, one.code, one.is_set = content, code, 1
            fresh += 1
            if code == 0:
                _touch(arrays, rows, touched, after, start, end)
        start = end + 1
    return fresh


@compiled
def _known_code(one: Any, high: np.uint64, low: np.uint64, content: np.uint64, whole: int) -> int:
    """Answer a request by its id alone; -1 where it must be judged."""
    if one.is_set and one.content == content and one.code == 0:
        return _REPEATED
    if high == 0 and low == 0:
        return _NOT_POSSIBLE
    if not one.is_set:
        return -1
    if whole == _STOPPED:
        return _STOPPED
    return _OTHER if one.content != content else _REFUSED


@compiled
def _judge_new(
    arrays: Arrays,
    rows: Records,
    whole: int,
    codes: Codes,
    taken: Records,
    turned: Records,
    start: int,
    end: int,
) -> int:
    """Judge a request that is new; return its reason or 0."""
    if whole:
        codes[start : end + 1] = _LINKED
        codes[start] = whole
        return whole
    if end > start:
        _keep_windows(arrays.windows, rows, turned, start, end)
    judge_chain(arrays, rows, codes, taken, start, end)
    if codes[start] == 0:
        return 0
    if end > start:
        _put_windows_back(arrays.windows, rows, turned, start, end)
    for number in range(start, end + 1):
        if codes[number] != _LINKED:
            return int(codes[number])
    return _LINKED


@compiled
def _keep_windows(windows: Records, rows: Records, turned: Records, start: int, end: int) -> None:
    """Note what the windows of a request hold, so that one it turned can be turned back."""
    for number in range(start, end + 1):
        if rows[number].each_window >= 0:
            _keep(windows[rows[number].each_window], turned[number, 0])
        if rows[number].all_window >= 0:
            _keep(windows[rows[number].all_window], turned[number, 1])


@compiled
def _keep(window: Any, kept: Any) -> None:
    kept.high, kept.low, kept.number = window.used_high, window.used_low, window.number


@compiled
def _put_windows_back(windows: Records, rows: Records, turned: Records, start: int, end: int) -> None:
    for number in range(start, end + 1):
        if rows[number].each_window >= 0:
            _put_back(windows[rows[number].each_window], turned[number, 0])
        if rows[number].all_window >= 0:
            _put_back(windows[rows[number].all_window], turned[number, 1])


@compiled
def _put_back(window: Any, kept: Any) -> None:
    window.used_high, window.used_low, window.number = kept.high, kept.low, kept.number


@compiled
def _touch(
    arrays: Arrays, rows: Records, touched: tuple[Any, Any, Any], after: Records, start: int, end: int
) -> None:
    """Mark what a request changed, and write the totals it leaves."""
    accounts, windows, owed = touched
    for number in range(start, end + 1):
        row = rows[number]
        accounts[row.source_account] = 1
        accounts[row.target_account] = 1
        if row.each_window >= 0:
            windows[row.each_window] = 1
        if row.all_window >= 0:
            windows[row.all_window] = 1
        for place in range(len(row.owed)):
            if row.owed[place] >= 0:
                owed[row.owed[place]] = 1
        if len(after):
            _write_totals(
                arrays.accounts[row.source_account], arrays.accounts[row.target_account], after[number]
            )


@compiled
def _write_totals(source: Any, target: Any, after: Any) -> None:
    after.source_debits_high, after.source_debits_low = source.debits_high, source.debits_low
    after.source_credits_high, after.source_credits_low = source.credits_high, source.credits_low
    after.target_debits_high, after.target_debits_low = target.debits_high, target.debits_low
    after.target_credits_high, after.target_credits_low = target.credits_high, target.credits_low


def blank_totals(count: int) -> Records:
    """Return room for the totals of `count` transfers; none at all where nobody asks."""
    return np.zeros(count, dtype=TOTALS)
