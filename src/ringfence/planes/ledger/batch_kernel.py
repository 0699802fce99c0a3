"""The rule of a step, compiled: `transfer.decide` again, over plain arrays and 128-bit limbs.

What a route names never changes, so everything about it that can be known before its first move is known by
number (`ROUTE`); the kernel compares numbers only. The order of the checks is the order of `Reason`, as in
the readable rule; a differential test holds the two equal, code for code and unit for unit. Moves of one
request are linked: one refused move takes back those that were booked before it. Number -1 stands for "none".
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled_in_place
from ringfence.kernel.decision import Reason
from ringfence.kernel.limbs import Limb, add, is_less, multiply, subtract
from ringfence.planes.ledger.hold_kernel import (
    HOLD_HIGH,
    UNITS_HIGH,
    UNITS_LOW,
    Holds,
    begins_link,
    end_hold,
    hold_again,
    is_booked,
    keep_hold,
    kind_of,
    route_of,
)
from ringfence.planes.ledger.rows import HOLD, POST

Records = NDArray[Any]
Words = NDArray[np.uint64]
Codes = NDArray[np.uint16]

ACCRUALS_MAX = 4
"""Most accruals of one gate that a route names entitlements for."""

_PAIR = ["u8", "u8"]
ROUTE = np.dtype(
    {
        "names": [
            "source",
            "target",
            "each",
            "all",
            "owed",
            "cap_high",
            "cap_low",
            "early",
            "late",
            "has_cap",
            "has_accrual",
            "is_two_sided",
            "asks_for_text",
            "is_correction",
            "source_nets",
            "target_nets",
            "is_never_held",
            "source_outside",
            "target_outside",
        ],
        "formats": [*["i4"] * 4, ("i4", (ACCRUALS_MAX,)), *_PAIR, "u2", "u2", *["u1"] * 10],
        "itemsize": 64,
    },
    align=True,
)
"""What is known of a route before a move comes: 64 bytes.

source, target: the accounts at its ends; each, all: the windows its moves count in; owed: the entitlements
they are paid from, in order; cap: for one transfer; early: the reason against any move of it that comes
before signatures, late: the one after them, or 0; is_correction: its moves must name what they reverse, which
a row cannot; source_nets, target_nets: an end that must net to zero; is_never_held: its moves are not held,
whatever else is wrong with them; source_outside, target_outside: an end that nothing is held of.
"""

WINDOW = np.dtype(
    {
        "names": ["used_high", "used_low", "cap_high", "cap_low", "at", "length_ns", "kind", "span"],
        "formats": [*_PAIR * 2, "i8", "i8", "i4", "i4"],
        "itemsize": 64,
    },
    align=True,
)
"""What counts against one cap.

FIXED: units used in the window that begins at `at`. REFILL: units x ns in use at `at`. ROLLING: units of all
moves kept in its `span`, of which the oldest may be too old to count.
"""

FIXED, REFILL, ROLLING = 0, 1, 2

_KEPT = 5


class Arrays(NamedTuple):
    """The tables of a book by number.

    accounts: debits, credits and what is held from people's moves, each high and low limb, shape (n, 6);
    owed: shape (n, 2); spans: where the moves of a rolling window begin and end in `passed`, whose rows are
    (instant, high, low).
    """

    accounts: Words
    windows: Records
    owed: Words
    spans: NDArray[np.int64]
    passed: Words
    routes: Records
    holds: Holds


class Undo(NamedTuple):
    """Room for what the longest chain of a batch changes.

    windows: both windows of each move as they were, shape (moves, 2, 5); taken: what each move took off its
    entitlements, shape (moves, ACCRUALS_MAX, 2).
    """

    windows: Words
    taken: Words


def room_to_undo(moves: int) -> Undo:
    """Make room for a chain of so many moves."""
    return Undo(np.zeros((moves, 2, _KEPT), np.uint64), np.zeros((moves, ACCRUALS_MAX, 2), np.uint64))


# Compiled code takes these as constants: an enum member would be boxed at every comparison.
_NOT_POSITIVE = int(Reason.AMOUNT_NOT_POSITIVE)
_TOO_LARGE = int(Reason.AMOUNT_TOO_LARGE)
_TEXT_MISSING = int(Reason.REASON_TEXT_MISSING)
_ORIGINAL = int(Reason.REVERSED_TRANSFER_UNKNOWN)
_LIMIT = int(Reason.GATE_LIMIT_EXCEEDED)
_ENTITLEMENT = int(Reason.ENTITLEMENT_EXCEEDED)
_FREE = int(Reason.FREE_BALANCE_TOO_LOW)
_TOTAL = int(Reason.BALANCE_TOO_LARGE)
_CLEARING = int(Reason.CLEARING_NOT_ZERO)
_LINKED = int(Reason.LINKED_LEG_REFUSED)
_HOLD_NOT_POSSIBLE = int(Reason.HOLD_NOT_POSSIBLE)


@compiled_in_place
def fault_of_hold(book: Arrays, words: Words, at: int, start: int, end: int) -> int:
    """Return the reason for which a request that asks for a hold cannot be held at all; 0 where it can."""
    if kind_of(words, start) != HOLD:
        return 0
    if np.int64(words[start, HOLD_HIGH]) < at:
        return _HOLD_NOT_POSSIBLE
    for number in range(start, end + 1):
        if book.routes[route_of(words, number)].is_never_held:
            return _HOLD_NOT_POSSIBLE
    return 0


@compiled_in_place
def judge_chain(
    book: Arrays,
    words: Words,
    signing: Codes,
    has_text: bool,
    at: int,
    codes: Codes,
    undo: Undo,
    start: int,
    end: int,
) -> int:
    """Judge the moves `start` to `end` of one request and book or hold them, all or none; return its reason
    or 0.

    words: all transfers of the batch as 64-bit words; signing: for each of them, the reason for which the
    signatures do not open its gate, or 0; at: the instant; codes: becomes 0 or the number of the `Reason` for
    each move. A post or void that is refused is refused as a whole, at the first of its parts.
    """
    reason, link, booked, ended, nets = 0, start, start, start, False
    is_hold = kind_of(words, start) == HOLD
    for number in range(start, end + 1):
        if begins_link(words, number, start):
            link = number
            if kind_of(words, number) >= POST:
                reason = end_hold(book, words, signing, number, end)
                if reason:
                    break
                ended = number + 1
        if is_hold or is_booked(words, number):
            route = book.routes[route_of(words, number)]
            high, low = words[number, UNITS_HIGH], words[number, UNITS_LOW]
            reason = _judge(book, route, signing[number], has_text, at, high, low)
            if reason:
                break
            touches = route.source_nets or route.target_nets
            if end > start or touches or is_hold:
                _keep_windows(book, route, undo.windows, number - start)
            _book(book, route, at, high, low, undo.taken, number - start)
            nets = nets or touches
        booked = number + 1
    if reason == 0 and nets and not _nets(book, words, start, end):
        reason = _CLEARING
    if reason == 0 and not is_hold:
        for number in range(start, end + 1):
            codes[number] = 0
        return 0
    for number in range(max(booked, ended) - 1, start - 1, -1):
        if number < booked and (is_hold or is_booked(words, number)):
            _take_back(book, words, number, undo, number - start)
        if number < ended and kind_of(words, number) >= POST and begins_link(words, number, start):
            hold_again(book, words, number)
    if reason == 0:
        keep_hold(book, words, start, end)
    for number in range(start, end + 1):
        codes[number] = _LINKED if reason else 0
    if reason:
        codes[link] = reason
    return reason


# --- judging -----------------------------------------------------------------------------------


@compiled_in_place
def _judge(book: Arrays, route: Any, signing: int, has_text: bool, at: int, high: Limb, low: Limb) -> int:
    """Return the first reason against a move in `Reason` order; 0 where there is none."""
    if high == 0 and low == 0:
        return _NOT_POSITIVE
    if high >> np.uint64(63):
        return _TOO_LARGE
    if route.early:
        return int(route.early)
    if signing:
        return int(signing)
    if route.asks_for_text and not has_text:
        return _TEXT_MISSING
    if route.is_correction:
        return _ORIGINAL
    if route.late:
        return int(route.late)
    return _judge_amount(book, route, at, high, low)


@compiled_in_place
def _judge_amount(book: Arrays, route: Any, at: int, high: Limb, low: Limb) -> int:
    if route.has_cap and is_less(route.cap_high, route.cap_low, high, low):
        return _LIMIT
    if route.each >= 0 and not _has_room(book, route.each, at, high, low):
        return _LIMIT
    if route.all >= 0 and not _has_room(book, route.all, at, high, low):
        return _LIMIT
    if route.has_accrual and not _is_owed(book.owed, route, high, low):
        return _ENTITLEMENT
    accounts, source, target = book.accounts, route.source, route.target
    debits_high, debits_low = accounts[source, 0], accounts[source, 1]
    if not route.is_two_sided:
        free_high, free_low, is_short = subtract(
            accounts[source, 2], accounts[source, 3], debits_high, debits_low
        )
        if not route.has_accrual:
            free_high, free_low, is_short = subtract(
                free_high, free_low, accounts[source, 4], accounts[source, 5]
            )
        if is_short or is_less(free_high, free_low, high, low):
            return _FREE
    _, _, is_over = add(debits_high, debits_low, high, low)
    _, _, is_over_too = add(accounts[target, 2], accounts[target, 3], high, low)
    return _TOTAL if is_over or is_over_too else 0


@compiled_in_place
def _has_room(book: Arrays, number: int, at: int, high: Limb, low: Limb) -> bool:
    """Say whether an amount fits into a window."""
    window = book.windows[number]
    cap_high, cap_low = window.cap_high, window.cap_low
    if is_less(cap_high, cap_low, high, low):
        return False
    if window.kind == FIXED and at - window.at >= window.length_ns:
        return True
    left_high, left_low, _ = subtract(cap_high, cap_low, high, low)
    if window.kind == REFILL:
        # Units x ns on both sides, so that nothing is rounded.
        level_high, level_low = _level(window, at)
        left_high, left_low, _ = multiply(left_high, left_low, np.uint64(window.length_ns))
        return not is_less(left_high, left_low, level_high, level_low)
    used_high, used_low = window.used_high, window.used_low
    if window.kind == ROLLING:
        _, used_high, used_low = _live(book, window, at)
    return not is_less(left_high, left_low, used_high, used_low)


@compiled_in_place
def _level(window: Any, at: int) -> tuple[Limb, Limb]:
    """Return what is in use of a refilling cap, in units x ns: it drains by the whole cap per window."""
    passed = at - window.at
    if passed >= window.length_ns:
        return np.uint64(0), np.uint64(0)
    drained_high, drained_low, _ = multiply(window.cap_high, window.cap_low, np.uint64(passed))
    high, low, is_over = subtract(window.used_high, window.used_low, drained_high, drained_low)
    return (np.uint64(0), np.uint64(0)) if is_over else (high, low)


@compiled_in_place
def _live(book: Arrays, window: Any, at: int) -> tuple[int, Limb, Limb]:
    """Return where the moves begin that still count in a rolling window, and their units."""
    first, end = book.spans[window.span, 0], book.spans[window.span, 1]
    high, low = window.used_high, window.used_low
    while first < end and np.int64(book.passed[first, 0]) <= at - window.length_ns:
        high, low, _ = subtract(high, low, book.passed[first, 1], book.passed[first, 2])
        first += 1
    return first, high, low


@compiled_in_place
def _is_owed(owed: Words, route: Any, high: Limb, low: Limb) -> bool:
    """Say whether the entitlements of a route together are at least the amount."""
    total_high, total_low = np.uint64(0), np.uint64(0)
    for place in range(ACCRUALS_MAX):
        number = route.owed[place]
        if number >= 0:
            total_high, total_low, is_over = add(total_high, total_low, owed[number, 0], owed[number, 1])
            if is_over:
                return True
    return not is_less(total_high, total_low, high, low)


@compiled_in_place
def _nets(book: Arrays, words: Words, start: int, end: int) -> bool:
    """Say whether what must net to zero does, after a chain."""
    for number in range(start, end + 1):
        if kind_of(words, number) >= POST and not is_booked(words, number):
            continue
        route = book.routes[route_of(words, number)]
        if route.source_nets and not _is_level(book.accounts, route.source):
            return False
        if route.target_nets and not _is_level(book.accounts, route.target):
            return False
    return True


@compiled_in_place
def _is_level(accounts: Words, number: int) -> bool:
    return bool(accounts[number, 0] == accounts[number, 2] and accounts[number, 1] == accounts[number, 3])


# --- booking -----------------------------------------------------------------------------------


@compiled_in_place
def _book(book: Arrays, route: Any, at: int, high: Limb, low: Limb, taken: Words, place: int) -> None:
    accounts, source, target = book.accounts, route.source, route.target
    accounts[source, 0], accounts[source, 1], _ = add(accounts[source, 0], accounts[source, 1], high, low)
    accounts[target, 2], accounts[target, 3], _ = add(accounts[target, 2], accounts[target, 3], high, low)
    if route.each >= 0:
        _count(book, route.each, at, high, low)
    if route.all >= 0:
        _count(book, route.all, at, high, low)
    if route.has_accrual:
        _take_off(book.owed, route, high, low, taken, place)


@compiled_in_place
def _count(book: Arrays, number: int, at: int, high: Limb, low: Limb) -> None:
    """Count an amount in a window."""
    window = book.windows[number]
    used_high, used_low = window.used_high, window.used_low
    if window.kind == FIXED:
        if at - window.at >= window.length_ns:
            used_high, used_low = np.uint64(0), np.uint64(0)
            window.at = at - at % window.length_ns
    elif window.kind == REFILL:
        used_high, used_low = _level(window, at)
        high, low, _ = multiply(high, low, np.uint64(window.length_ns))
        window.at = at
    else:
        first, used_high, used_low = _live(book, window, at)
        end = book.spans[window.span, 1]
        book.passed[end, 0], book.passed[end, 1], book.passed[end, 2] = np.uint64(at), high, low
        book.spans[window.span, 0], book.spans[window.span, 1] = first, end + 1
    window.used_high, window.used_low, _ = add(used_high, used_low, high, low)


@compiled_in_place
def _take_off(owed: Words, route: Any, high: Limb, low: Limb, taken: Words, place: int) -> None:
    """Take an amount off its entitlements in order, and note how much of each."""
    for accrual in range(ACCRUALS_MAX):
        number = route.owed[accrual]
        part_high, part_low = np.uint64(0), np.uint64(0)
        if number >= 0:
            part_high, part_low = owed[number, 0], owed[number, 1]
            if is_less(high, low, part_high, part_low):
                part_high, part_low = high, low
            owed[number, 0], owed[number, 1], _ = subtract(
                owed[number, 0], owed[number, 1], part_high, part_low
            )
            high, low, _ = subtract(high, low, part_high, part_low)
        taken[place, accrual, 0], taken[place, accrual, 1] = part_high, part_low


# --- taking back -------------------------------------------------------------------------------


@compiled_in_place
def _keep_windows(book: Arrays, route: Any, kept: Words, place: int) -> None:
    """Note what the windows of a move hold before it."""
    if route.each >= 0:
        _keep_window(book, route.each, kept[place, 0])
    if route.all >= 0:
        _keep_window(book, route.all, kept[place, 1])


@compiled_in_place
def _keep_window(book: Arrays, number: int, kept: Words) -> None:
    window = book.windows[number]
    kept[0], kept[1], kept[2] = window.used_high, window.used_low, np.uint64(window.at)
    if window.kind == ROLLING:
        kept[3], kept[4] = np.uint64(book.spans[window.span, 0]), np.uint64(book.spans[window.span, 1])


@compiled_in_place
def _put_window_back(book: Arrays, number: int, kept: Words) -> None:
    window = book.windows[number]
    window.used_high, window.used_low, window.at = kept[0], kept[1], np.int64(kept[2])
    if window.kind == ROLLING:
        book.spans[window.span, 0], book.spans[window.span, 1] = np.int64(kept[3]), np.int64(kept[4])


@compiled_in_place
def _take_back(book: Arrays, words: Words, number: int, undo: Undo, place: int) -> None:
    """Undo the booking of a move; its windows are as they were before it."""
    route = book.routes[route_of(words, number)]
    high, low = words[number, UNITS_HIGH], words[number, UNITS_LOW]
    accounts, source, target = book.accounts, route.source, route.target
    accounts[source, 0], accounts[source, 1], _ = subtract(
        accounts[source, 0], accounts[source, 1], high, low
    )
    accounts[target, 2], accounts[target, 3], _ = subtract(
        accounts[target, 2], accounts[target, 3], high, low
    )
    if route.each >= 0:
        _put_window_back(book, route.each, undo.windows[place, 0])
    if route.all >= 0:
        _put_window_back(book, route.all, undo.windows[place, 1])
    if route.has_accrual:
        for accrual in range(ACCRUALS_MAX):
            one = route.owed[accrual]
            if one >= 0:
                part_high, part_low = undo.taken[place, accrual, 0], undo.taken[place, accrual, 1]
                book.owed[one, 0], book.owed[one, 1], _ = add(
                    book.owed[one, 0], book.owed[one, 1], part_high, part_low
                )
