"""Holds of rows, compiled: `holds` again, over holds by number.

Rows keep only the holds that they made or named since the tables were brought up to date: those that rows
made, and those that rows asked the tables for. What a hold reserves is what its moves would take from each
compartment on balance; it follows from the moves and is added up again when the hold ends.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.compiled import compiled_in_place
from ringfence.kernel.decision import Reason
from ringfence.kernel.limbs import Limb, add, is_less, subtract
from ringfence.kernel.reaching import reach
from ringfence.planes.ledger.id_hash import FACTORS, mix
from ringfence.planes.ledger.rows import MOVE, POST, VOID

Words = NDArray[np.uint64]
Codes = NDArray[np.uint16]

HELD, POSTED, VOIDED, ENDED, FOREIGN = 1, 2, 3, 4, 5
"""What became of a hold; ENDED: before rows asked for it, FOREIGN: its moves are more than rows can say."""

HOLD_RECORD = np.dtype(
    {
        "names": ["id_high", "id_low", "until", "first", "count", "state", "is_new", "is_partly_known"],
        "formats": ["u8", "u8", "i8", "i8", "i4", "u1", "u1", "u1"],
        "itemsize": 40,
    },
    align=True,
)
"""One hold: its request, the last instant at which it may be posted, and where its moves are.

is_new: rows made it, and the tables do not have it yet; is_partly_known: it goes along a route that has no
number here.
"""

NO_ROUTE = np.uint64(2**64 - 1)
HOLDS_MIN = 64


class Holds(NamedTuple):
    """Holds by number. moves: route, high and low limb of each; slots: open addressing by id, number + 1.

    counts: how many records and moves there are, and the earliest `until` of those that rows made; flows:
    room to add up what moves of one hold take from each account and give it, all zero between holds.
    """

    records: NDArray[Any]
    moves: Words
    slots: NDArray[np.int64]
    counts: NDArray[np.int64]
    flows: Words


def no_holds() -> Holds:
    """Return an empty table."""
    return Holds(
        records=np.zeros(HOLDS_MIN, HOLD_RECORD),
        moves=np.zeros((HOLDS_MIN, 3), np.uint64),
        slots=np.zeros(2 * HOLDS_MIN, np.int64),
        counts=np.array([0, 0, 2**63 - 1], np.int64),
        flows=np.zeros((0, 4), np.uint64),
    )


def with_room(holds: Holds, requests: int, moves: int, accounts: int) -> Holds:
    """Return the same holds with room for so many more, and for the accounts that there are."""
    count, used = int(holds.counts[0]), int(holds.counts[1])
    if count + requests > len(holds.records) or used + moves > len(holds.moves):
        records = np.zeros(2 * (count + requests), HOLD_RECORD)
        records[:count] = holds.records[:count]
        wider = np.zeros((2 * (used + moves), 3), np.uint64)
        wider[:used] = holds.moves[:used]
        slots = np.zeros(1 << (4 * (count + requests)).bit_length(), np.int64)
        holds = holds._replace(records=records, moves=wider, slots=slots)
        enter_all(holds)
    if len(holds.flows) < accounts:
        holds = holds._replace(flows=np.zeros((accounts, 4), np.uint64))
    return holds


# Compiled code takes these as constants: an enum member would be boxed at every comparison.
_UNKNOWN = int(Reason.HOLD_UNKNOWN)
_HAS_ENDED = int(Reason.HOLD_HAS_ENDED)
_BY_REQUEST = int(Reason.ONLY_BY_REQUEST)
_DIFFER = int(Reason.HOLD_PARTS_DIFFER)
_EXCEEDED = int(Reason.HOLD_EXCEEDED)
_NEEDS = int(Reason.NEEDS_NOT_MET)
_NOT_OPEN = int(Reason.MEMBER_NOT_OPEN)

AHEAD = 12
"""How many transfers before its turn one is looked at: long enough for memory, short enough to stay near."""

# Where a transfer, read as 64-bit words, keeps what is judged.
UNITS_HIGH, UNITS_LOW, ROUTE_AND_KIND, HOLD_HIGH, HOLD_LOW = 2, 3, 5, 6, 7
_ROUTE_BITS = np.uint64(0xFFFFFFFF)
_KIND_SHIFT, _KIND_BITS = np.uint64(40), np.uint64(0xFF)


@compiled_in_place
def route_of(words: Words, number: int) -> int:
    """Return the route of a transfer."""
    return int(words[number, ROUTE_AND_KIND] & _ROUTE_BITS)


@compiled_in_place
def kind_of(words: Words, number: int) -> int:
    """Return what a transfer does."""
    return int(words[number, ROUTE_AND_KIND] >> _KIND_SHIFT & _KIND_BITS)


@compiled_in_place
def is_booked(words: Words, number: int) -> bool:
    """Say whether a transfer that is carried out moves anything: not one that holds, voids or posts none."""
    kind = kind_of(words, number)
    if kind == POST:
        return bool(words[number, UNITS_HIGH] | words[number, UNITS_LOW])
    return kind == MOVE


@compiled_in_place
def begins_link(words: Words, number: int, start: int) -> bool:
    """Say whether a transfer is a link of its own, or the first part of a post or void.

    start: the first transfer of its request. Parts of one hold that follow each other are one link.
    """
    kind = kind_of(words, number)
    if kind < POST or number == start or kind_of(words, number - 1) != kind:
        return True
    return bool(
        words[number, HOLD_HIGH] != words[number - 1, HOLD_HIGH]
        or words[number, HOLD_LOW] != words[number - 1, HOLD_LOW]
    )


# --- finding -----------------------------------------------------------------------------------


@compiled_in_place
def home_of(holds: Holds, high: Limb, low: Limb) -> int:
    """Return the slot at which the search for a hold begins."""
    return int(mix(mix(FACTORS[0], high), low) & np.uint64(len(holds.slots) - 1))


@compiled_in_place
def find_hold(holds: Holds, high: Limb, low: Limb) -> int:
    """Return the number of a hold; -1 where rows do not know it."""
    mask = np.uint64(len(holds.slots) - 1)
    slot = mix(mix(FACTORS[0], high), low) & mask
    while holds.slots[slot]:
        number = holds.slots[slot] - 1
        if holds.records[number].id_high == high and holds.records[number].id_low == low:
            return int(number)
        slot = (slot + np.uint64(1)) & mask
    return -1


@compiled_in_place
def enter(holds: Holds, number: int) -> None:
    """Enter a hold where it will be looked for; the table is never full."""
    mask = np.uint64(len(holds.slots) - 1)
    slot = mix(mix(FACTORS[0], holds.records[number].id_high), holds.records[number].id_low) & mask
    while holds.slots[slot]:
        slot = (slot + np.uint64(1)) & mask
    holds.slots[slot] = number + 1


@compiled_in_place
def enter_all(holds: Holds) -> None:
    """Enter every hold in an empty table."""
    for number in range(holds.counts[0]):
        enter(holds, number)


@compiled_in_place
def not_known(holds: Holds, words: Words, places: NDArray[np.int64]) -> int:
    """Find the transfers that name a hold which rows must ask the tables for; return how many there are.

    places: room for as many as there are transfers.
    """
    count = 0
    for number in range(len(words)):
        ahead = number + AHEAD
        if ahead < len(words) and kind_of(words, ahead) >= POST:
            reach(holds.slots, home_of(holds, words[ahead, HOLD_HIGH], words[ahead, HOLD_LOW]))
        if kind_of(words, number) >= POST:
            hold = find_hold(holds, words[number, HOLD_HIGH], words[number, HOLD_LOW])
            if hold < 0 or holds.records[hold].is_partly_known:
                places[count] = number
                count += 1
    return count


# --- holding and letting go --------------------------------------------------------------------


@compiled_in_place
def keep_hold(book: Any, words: Words, start: int, end: int) -> None:
    """Hold what the transfers of a request would move."""
    holds = book.holds
    number = holds.counts[0]
    record = holds.records[number]
    record.id_high, record.id_low = words[start, 0], words[start, 1]
    record.until = np.int64(words[start, HOLD_HIGH])
    record.first, record.count = holds.counts[1], end - start + 1
    record.state, record.is_new, record.is_partly_known = HELD, 1, 0
    for place in range(start, end + 1):
        move = holds.counts[1]
        holds.moves[move, 0] = words[place, ROUTE_AND_KIND] & _ROUTE_BITS
        holds.moves[move, 1], holds.moves[move, 2] = words[place, UNITS_HIGH], words[place, UNITS_LOW]
        holds.counts[1] = move + 1
    holds.counts[0] = number + 1
    holds.counts[2] = min(holds.counts[2], record.until)
    enter(holds, number)
    _reserve(book, number, True)


@compiled_in_place
def end_hold(book: Any, words: Words, signing: Codes, first: int, last: int) -> int:
    """End the hold that a post or void names, and return its units; return why not, or 0.

    signing: for each transfer, why the signatures do not open its gate, or 0; first: its first part; last:
    the last transfer of its request.
    """
    holds = book.holds
    number = find_hold(holds, words[first, HOLD_HIGH], words[first, HOLD_LOW])
    if number < 0:
        return _UNKNOWN
    record = holds.records[number]
    if record.state == FOREIGN:
        return _BY_REQUEST
    if record.state != HELD:
        return _HAS_ENDED
    is_void = kind_of(words, first) == VOID
    reason = _fault_of_parts(holds, words, number, first, last, is_void)
    if reason == 0 and is_void:
        reason = _fault_of_voiding(book, words, signing, first, record.count)
    if reason == 0:
        record.state = VOIDED if is_void else POSTED
        _reserve(book, number, False)
    return reason


@compiled_in_place
def _fault_of_parts(holds: Holds, words: Words, number: int, first: int, last: int, is_void: bool) -> int:
    """Compare the parts that are posted or voided with the moves of a hold."""
    record = holds.records[number]
    count = 1
    while first + count <= last and not begins_link(words, first + count, first):
        count += 1
    if count != record.count:
        return _DIFFER
    is_any, is_over, is_other = False, False, False
    for place in range(count):
        row, move = first + place, record.first + place
        high, low = words[row, UNITS_HIGH], words[row, UNITS_LOW]
        is_any = is_any or high != 0 or low != 0
        is_over = is_over or is_less(holds.moves[move, 1], holds.moves[move, 2], high, low)
        is_other = is_other or holds.moves[move, 0] != words[row, ROUTE_AND_KIND] & _ROUTE_BITS
    if is_other or (not is_any and not is_void):
        return _DIFFER
    return _EXCEEDED if is_over else 0


@compiled_in_place
def _fault_of_voiding(book: Any, words: Words, signing: Codes, first: int, count: int) -> int:
    """Return why those who signed may not let go; a member that was closed need not be asked."""
    for row in range(first, first + count):
        reason = int(signing[row])
        if reason and (reason != _NEEDS or book.routes[route_of(words, row)].early != _NOT_OPEN):
            return reason
    return 0


@compiled_in_place
def hold_again(book: Any, words: Words, first: int) -> None:
    """Take back that a hold was ended."""
    number = find_hold(book.holds, words[first, HOLD_HIGH], words[first, HOLD_LOW])
    book.holds.records[number].state = HELD
    _reserve(book, number, True)


@compiled_in_place
def _reserve(book: Any, number: int, is_taken: bool) -> None:
    """Hold what the moves of a hold would take from each account on balance, or let go of it."""
    holds, record = book.holds, book.holds.records[number]
    for move in range(record.first, record.first + record.count):
        route = book.routes[int(holds.moves[move, 0])]
        _flow(holds.flows, route.source, 0, holds.moves[move, 1], holds.moves[move, 2])
        _flow(holds.flows, route.target, 2, holds.moves[move, 1], holds.moves[move, 2])
    for move in range(record.first, record.first + record.count):
        route = book.routes[int(holds.moves[move, 0])]
        _balance(book, route.source, route.source_outside, is_taken)
        _balance(book, route.target, route.target_outside, is_taken)


@compiled_in_place
def _flow(flows: Words, account: int, side: int, high: Limb, low: Limb) -> None:
    # It cannot run over: the running totals of the account took the same units.
    flows[account, side], flows[account, side + 1], _ = add(
        flows[account, side], flows[account, side + 1], high, low
    )


@compiled_in_place
def _balance(book: Any, account: int, is_outside: int, is_taken: bool) -> None:
    """Book what an account gives on balance as held, once, and forget its flows."""
    flows, accounts = book.holds.flows, book.accounts
    high, low, is_gain = subtract(flows[account, 0], flows[account, 1], flows[account, 2], flows[account, 3])
    for word in range(4):
        flows[account, word] = np.uint64(0)
    if is_gain or is_outside:
        return
    if is_taken:
        accounts[account, 4], accounts[account, 5], _ = add(
            accounts[account, 4], accounts[account, 5], high, low
        )
    else:
        accounts[account, 4], accounts[account, 5], _ = subtract(
            accounts[account, 4], accounts[account, 5], high, low
        )
