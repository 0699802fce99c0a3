"""The rule of a step, compiled: `transfer.decide` again, over plain records and 128-bit limbs.

The order of the checks is the order of `Reason`, as in the readable rule; a differential test holds the two
equal, code for code and unit for unit. Rows that belong to one request are linked: one refused row takes back
the rows of its chain that were booked before it. Numbers -1 stand for "the policy has none".
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled
from ringfence.kernel.decision import Reason
from ringfence.kernel.limbs import Limb, add, is_less, subtract

Records = NDArray[Any]
Codes = NDArray[np.uint16]

ACCRUALS_MAX = 4
"""Most accruals of one gate that a row names entitlements for."""

ROW = np.dtype(
    {
        "names": [
            "units_high",
            "units_low",
            "releasable_high",
            "releasable_low",
            "at",
            "gate",
            "source",
            "target",
            "asset",
            "source_account",
            "target_account",
            "each_window",
            "all_window",
            "owed",
            "signing",
            "has_text",
            "is_known",
            "is_linked",
        ],
        "formats": [*["u8"] * 4, "i8", *["i4"] * 8, ("i4", (ACCRUALS_MAX,)), "u2", "u1", "u1", "u1"],
        "itemsize": 128,
    },
    align=True,
)
"""One move: 128 bytes, the last ones free.

units: of the move; releasable: what margin lets go, `is_known` where it said so; at: an instant; gate,
source, target, asset: numbers, -1 unknown; source_account, target_account: of the ends in that asset;
each_window, all_window: the windows it counts in; owed: the entitlements it is paid from, in order; signing:
0, or the `Reason` for which the signatures do not open the gate; is_linked: the next row belongs to the same
request.
"""

_PAIR = ["u8", "u8"]
ACCOUNT = np.dtype(
    {
        "names": [
            "debits_high",
            "debits_low",
            "credits_high",
            "credits_low",
            "released_high",
            "released_low",
            "is_two_sided",
            "nets_to_zero",
        ],
        "formats": [*_PAIR * 3, "u1", "u1"],
    },
    align=True,
)
"""One compartment in one asset; released: what left it on margin's word in the chain under way."""

PLACE = np.dtype([("rule", "i4"), ("member", "i4"), ("is_open", "u1"), ("is_frozen", "u1")], align=True)
GATE = np.dtype(
    {
        "names": ["is_frozen", "is_shut", "asks_for_text", "has_condition", "has_accrual"],
        "formats": ["u1"] * 5,
    }
)
WINDOW = np.dtype(
    {
        "names": ["cap_high", "cap_low", "used_high", "used_low", "length_ns", "number"],
        "formats": [*_PAIR * 2, "i8", "i8"],
    }
)
UNITS = np.dtype([("high", "u8"), ("low", "u8"), ("is_set", "u1")], align=True)
"""An amount: an entitlement, or a cap for one transfer (`is_set` where there is one)."""


class Arrays(NamedTuple):
    """The rules and tables of a book.

    each_transfer: by gate and asset; way_of: by gate and the rules at both ends; accepts: by way and asset.
    """

    accounts: Records
    places: Records
    gates: Records
    windows: Records
    owed: Records
    each_transfer: Records
    asset_frozen: NDArray[np.uint8]
    way_of: NDArray[np.int32]
    accepts: NDArray[np.uint8]


# Compiled code takes these as constants: an enum member would be boxed at every comparison.
_NOT_POSITIVE = int(Reason.AMOUNT_NOT_POSITIVE)
_TOO_LARGE = int(Reason.AMOUNT_TOO_LARGE)
_SOURCE_IS_TARGET = int(Reason.SOURCE_IS_TARGET)
_ASSET_UNKNOWN = int(Reason.ASSET_UNKNOWN)
_COMPARTMENT_UNKNOWN = int(Reason.COMPARTMENT_UNKNOWN)
_MEMBER_NOT_OPEN = int(Reason.MEMBER_NOT_OPEN)
_NO_GATE = int(Reason.NO_GATE_BETWEEN_COMPARTMENTS)
_NOT_ENFORCED = int(Reason.GATE_WORD_NOT_ENFORCED)
_NOT_ACCEPTED = int(Reason.ASSET_NOT_ACCEPTED)
_TEXT_MISSING = int(Reason.REASON_TEXT_MISSING)
_GATE_FROZEN = int(Reason.GATE_FROZEN)
_COMPARTMENT_FROZEN = int(Reason.COMPARTMENT_FROZEN)
_ASSET_FROZEN = int(Reason.ASSET_FROZEN)
_CONDITION = int(Reason.CONDITION_NOT_MET)
_LIMIT = int(Reason.GATE_LIMIT_EXCEEDED)
_ENTITLEMENT = int(Reason.ENTITLEMENT_EXCEEDED)
_FREE = int(Reason.FREE_BALANCE_TOO_LOW)
_TOTAL = int(Reason.BALANCE_TOO_LARGE)
_CLEARING = int(Reason.CLEARING_NOT_ZERO)
_LINKED = int(Reason.LINKED_LEG_REFUSED)


@compiled
def judge_rows(arrays: Arrays, rows: Records, codes: Codes, taken: Records) -> None:
    """Judge and book every row in order; `codes` becomes 0 or the number of the `Reason`.

    taken: room for what each row takes off its entitlements, shape (rows, ACCRUALS_MAX).
    """
    count = len(rows)
    start = 0
    while start < count:
        end = start
        while end < count - 1 and rows[end].is_linked:
            end += 1
        judge_chain(arrays, rows, codes, taken, start, end)
        start = end + 1


@compiled
def judge_chain(arrays: Arrays, rows: Records, codes: Codes, taken: Records, start: int, end: int) -> None:
    """Judge the rows of one request, all or none."""
    failed, reason, booked = -1, 0, start
    for number in range(start, end + 1):
        reason = _judge(arrays, rows[number])
        if reason:
            failed = number
            break
        _book(arrays, rows[number], taken[number])
        booked = number + 1
    if failed < 0 and not _nets(arrays.accounts, rows, start, end):
        failed, reason = end, _CLEARING
    for number in range(start, booked):
        account = arrays.accounts[rows[number].source_account]
        account.released_high = 0
        account.released_low = 0
    if failed < 0:
        codes[start : end + 1] = 0
        return
    for number in range(booked - 1, start - 1, -1):
        _take_back(arrays, rows[number], taken[number])
    codes[start : end + 1] = _LINKED
    codes[failed] = reason


# --- judging -----------------------------------------------------------------------------------


@compiled
def _judge(arrays: Arrays, row: Any) -> int:
    """Return the first reason against a row in `Reason` order; 0 where there is none."""
    if row.units_high == 0 and row.units_low == 0:
        return _NOT_POSITIVE
    if row.units_high >> np.uint64(63):
        return _TOO_LARGE
    if row.source == row.target:
        return _SOURCE_IS_TARGET
    if row.asset < 0:
        return _ASSET_UNKNOWN
    source, target = arrays.places[row.source], arrays.places[row.target]
    if source.rule < 0 or target.rule < 0:
        return _COMPARTMENT_UNKNOWN
    if not (source.is_open and target.is_open):
        return _MEMBER_NOT_OPEN
    # Where both ends belong to a member, a gate of one row is for one and the same.
    if row.gate < 0 or (source.member >= 0 and target.member >= 0 and source.member != target.member):
        return _NO_GATE
    way = arrays.way_of[row.gate, source.rule, target.rule]
    if way < 0:
        return _NO_GATE
    gate = arrays.gates[row.gate]
    if gate.is_shut:
        return _NOT_ENFORCED
    if not arrays.accepts[way, row.asset]:
        return _NOT_ACCEPTED
    if row.signing:
        return int(row.signing)
    if gate.asks_for_text and not row.has_text:
        return _TEXT_MISSING
    if gate.is_frozen:
        return _GATE_FROZEN
    if source.is_frozen or target.is_frozen:
        return _COMPARTMENT_FROZEN
    if arrays.asset_frozen[row.asset]:
        return _ASSET_FROZEN
    if gate.has_condition and not _is_releasable(arrays.accounts[row.source_account], row):
        return _CONDITION
    return _judge_amount(arrays, row)


@compiled
def _is_releasable(account: Any, row: Any) -> bool:
    """Say whether margin lets go what this row and the rows before it in the request release."""
    if not row.is_known:
        return False
    high, low, is_over = add(account.released_high, account.released_low, row.units_high, row.units_low)
    return not is_over and not is_less(row.releasable_high, row.releasable_low, high, low)


@compiled
def _judge_amount(arrays: Arrays, row: Any) -> int:
    high, low = row.units_high, row.units_low
    cap = arrays.each_transfer[row.gate, row.asset]
    if cap.is_set and is_less(cap.high, cap.low, high, low):
        return _LIMIT
    if row.each_window >= 0 and not _has_room(arrays.windows[row.each_window], row.at, high, low):
        return _LIMIT
    if row.all_window >= 0 and not _has_room(arrays.windows[row.all_window], row.at, high, low):
        return _LIMIT
    if arrays.gates[row.gate].has_accrual and not _is_owed(arrays.owed, row):
        return _ENTITLEMENT
    source, target = arrays.accounts[row.source_account], arrays.accounts[row.target_account]
    if not source.is_two_sided:
        free_high, free_low, _ = subtract(
            source.credits_high, source.credits_low, source.debits_high, source.debits_low
        )
        if is_less(free_high, free_low, high, low):
            return _FREE
    _, _, is_over = add(source.debits_high, source.debits_low, high, low)
    _, _, is_over_too = add(target.credits_high, target.credits_low, high, low)
    return _TOTAL if is_over or is_over_too else 0


@compiled
def _has_room(window: Any, at: int, high: Limb, low: Limb) -> bool:
    """Say whether an amount fits into a fixed window; one that has turned counts from nothing."""
    if window.number != at // window.length_ns:
        return not is_less(window.cap_high, window.cap_low, high, low)
    sum_high, sum_low, is_over = add(window.used_high, window.used_low, high, low)
    return not is_over and not is_less(window.cap_high, window.cap_low, sum_high, sum_low)


@compiled
def _is_owed(owed: Records, row: Any) -> bool:
    """Say whether the entitlements of a row together are at least its amount."""
    total_high, total_low = np.uint64(0), np.uint64(0)
    for place in range(ACCRUALS_MAX):
        number = row.owed[place]
        if number >= 0:
            total_high, total_low, is_over = add(total_high, total_low, owed[number].high, owed[number].low)
            if is_over:
                return True
    return not is_less(total_high, total_low, row.units_high, row.units_low)


@compiled
def _nets(accounts: Records, rows: Records, start: int, end: int) -> bool:
    """Say whether clearing is left as it must be by a chain."""
    for number in range(start, end + 1):
        if not _is_level(accounts[rows[number].source_account]):
            return False
        if not _is_level(accounts[rows[number].target_account]):
            return False
    return True


@compiled
def _is_level(account: Any) -> bool:
    if not account.nets_to_zero:
        return True
    is_level = account.debits_high == account.credits_high and account.debits_low == account.credits_low
    return bool(is_level)


# --- booking -----------------------------------------------------------------------------------


@compiled
def _book(arrays: Arrays, row: Any, taken: Records) -> None:
    high, low = row.units_high, row.units_low
    source, target = arrays.accounts[row.source_account], arrays.accounts[row.target_account]
    source.debits_high, source.debits_low, _ = add(source.debits_high, source.debits_low, high, low)
    target.credits_high, target.credits_low, _ = add(target.credits_high, target.credits_low, high, low)
    source.released_high, source.released_low, _ = add(source.released_high, source.released_low, high, low)
    if row.each_window >= 0:
        _count(arrays.windows[row.each_window], row.at, high, low)
    if row.all_window >= 0:
        _count(arrays.windows[row.all_window], row.at, high, low)
    if arrays.gates[row.gate].has_accrual:
        _take_off(arrays.owed, row, taken)


@compiled
def _count(window: Any, at: int, high: Limb, low: Limb) -> None:
    """Count an amount in a fixed window, beginning a new one where it has turned."""
    now = at // window.length_ns
    if window.number != now:
        window.number = now
        window.used_high = 0
        window.used_low = 0
    window.used_high, window.used_low, _ = add(window.used_high, window.used_low, high, low)


@compiled
def _take_off(owed: Records, row: Any, taken: Records) -> None:
    """Take an amount off its entitlements in order, and note how much of each."""
    high, low = row.units_high, row.units_low
    for place in range(ACCRUALS_MAX):
        number = row.owed[place]
        part_high, part_low = np.uint64(0), np.uint64(0)
        if number >= 0:
            one = owed[number]
            part_high, part_low = one.high, one.low
            if is_less(high, low, part_high, part_low):
                part_high, part_low = high, low
            one.high, one.low, _ = subtract(one.high, one.low, part_high, part_low)
            high, low, _ = subtract(high, low, part_high, part_low)
        taken[place].high = part_high
        taken[place].low = part_low


@compiled
def _take_back(arrays: Arrays, row: Any, taken: Records) -> None:
    """Undo the booking of a row; a window that turned stays turned, with nothing of this row in it."""
    high, low = row.units_high, row.units_low
    source, target = arrays.accounts[row.source_account], arrays.accounts[row.target_account]
    source.debits_high, source.debits_low, _ = subtract(source.debits_high, source.debits_low, high, low)
    target.credits_high, target.credits_low, _ = subtract(target.credits_high, target.credits_low, high, low)
    if row.each_window >= 0:
        _uncount(arrays.windows[row.each_window], high, low)
    if row.all_window >= 0:
        _uncount(arrays.windows[row.all_window], high, low)
    if arrays.gates[row.gate].has_accrual:
        for place in range(ACCRUALS_MAX):
            number = row.owed[place]
            if number >= 0:
                one, part = arrays.owed[number], taken[place]
                one.high, one.low, _ = add(one.high, one.low, part.high, part.low)


@compiled
def _uncount(window: Any, high: Limb, low: Limb) -> None:
    window.used_high, window.used_low, _ = subtract(window.used_high, window.used_low, high, low)
