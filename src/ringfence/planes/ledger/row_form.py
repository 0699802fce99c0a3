"""The form of a batch of rows: what nobody can mean is not taken, and nothing of it is journalled.

The transfers are looked through once, compiled. Where several faults are found, the lowest number is told.
"""

from collections.abc import Callable

import numpy as np

from ringfence.kernel.compiled import compiled_in_place
from ringfence.kernel.errors import UsageError
from ringfence.planes.ledger.hold_kernel import (
    HOLD_HIGH,
    ROUTE_AND_KIND,
    UNITS_HIGH,
    UNITS_LOW,
    Words,
    kind_of,
    route_of,
)
from ringfence.planes.ledger.rows import (
    HOLD,
    MOVE,
    SEAL,
    TRANSFER,
    TRANSFERS_MAX,
    VOID,
    Routes,
    RowBatch,
    Transfers,
    words_of,
)
from ringfence.planes.ledger.signing import SIGNATURES_MAX

_NO_ROUTE, _FREE_BYTES, _LINKED_TO_NOTHING, _OTHER_ID, _NO_KIND, _NO_UNTIL, _UNITS, _HELD_IN_PART = range(
    1, 9
)
_NO_FAULT = 9

_WORDS: dict[int, Callable[[Transfers, int], str]] = {
    _NO_ROUTE: lambda found, routes: f"a transfer names route {found['route'].max()}; there are {routes}",
    _FREE_BYTES: lambda *_: "`is_linked` is 0 or 1, and the free bytes of a transfer are zero",
    _LINKED_TO_NOTHING: lambda *_: "the last transfer is linked to a next one, and there is none",
    _OTHER_ID: lambda *_: "linked transfers are one request and have one id",
    _NO_KIND: lambda found, _: f"a transfer is of kind {found['kind'].max()}; there are {MOVE} to {VOID}",
    _NO_UNTIL: lambda *_: "a hold names the instant until which it may be posted",
    _UNITS: lambda *_: "a part of a void has no units",
    _HELD_IN_PART: lambda *_: "a request holds all of its moves or none, until one instant",
}

_LINK_SHIFT, _LINK_BITS, _FREE_SHIFT = np.uint64(32), np.uint64(0xFF), np.uint64(48)
_ONE, _NOTHING = np.uint64(1), np.uint64(0)


def check_form(batch: RowBatch, routes: Routes) -> None:
    """Raise UsageError where a batch is not of the form that the book reads: then nobody can mean it."""
    if not 0 <= batch.known <= len(routes) or routes.digest(batch.known) != batch.known_digest:
        raise UsageError("the batch builds upon routes that this book does not have")
    transfers = batch.transfers
    if transfers.dtype != TRANSFER or transfers.ndim != 1:
        raise UsageError("transfers are one array of dtype TRANSFER")
    if len(set(batch.routes)) != len(batch.routes):
        raise UsageError("a batch names each new route once")
    if not -(2**63) <= batch.expires < 2**63:
        raise UsageError("the time until which a batch is good fits 64 bits")
    if not 0 < len(transfers) <= TRANSFERS_MAX:
        raise UsageError(f"a batch has 1 to {TRANSFERS_MAX} transfers, and this one {len(transfers)}")
    count = batch.known + len(batch.routes)
    fault = fault_of_transfers(words_of(transfers), count)
    if fault != _NO_FAULT:
        raise UsageError(_WORDS[fault](transfers, count))
    if batch.keys or len(batch.seals):
        _check_seals(batch)


@compiled_in_place
def fault_of_transfers(words: Words, routes: int) -> int:
    """Return the lowest number of a fault of any transfer; routes: how many it may name."""
    lowest, last = _NO_FAULT, len(words) - 1
    for number in range(len(words)):
        # Most transfers are a move alone: nothing but a route stands in this word.
        if words[number, ROUTE_AND_KIND] >= np.uint64(routes):
            lowest = min(lowest, _fault(words, number, last, routes))
    return lowest


@compiled_in_place
def _fault(words: Words, number: int, last: int, routes: int) -> int:
    word = words[number, ROUTE_AND_KIND]
    if route_of(words, number) >= routes:
        return _NO_ROUTE
    if word >> _LINK_SHIFT & _LINK_BITS > _ONE or word >> _FREE_SHIFT != _NOTHING:
        return _FREE_BYTES
    is_linked = word >> _LINK_SHIFT & _ONE != _NOTHING
    if is_linked and number == last:
        return _LINKED_TO_NOTHING
    if is_linked and not _is_same(words, number, 0, 1):
        return _OTHER_ID
    kind = kind_of(words, number)
    if kind > VOID:
        return _NO_KIND
    if kind == HOLD and words[number, HOLD_HIGH] == _NOTHING:
        return _NO_UNTIL
    if kind == VOID and (words[number, UNITS_HIGH] | words[number, UNITS_LOW]) != _NOTHING:
        return _UNITS
    if is_linked:
        is_hold, is_next = kind == HOLD, kind_of(words, number + 1) == HOLD
        if is_hold != is_next or (is_hold and not _is_same(words, number, HOLD_HIGH, HOLD_HIGH)):
            return _HELD_IN_PART
    return _NO_FAULT


@compiled_in_place
def _is_same(words: Words, number: int, first: int, last: int) -> bool:
    """Say whether words `first` and `last` of a transfer are those of the next one."""
    return bool(
        words[number, first] == words[number + 1, first] and words[number, last] == words[number + 1, last]
    )


def _check_seals(batch: RowBatch) -> None:
    seals = batch.seals
    if seals.dtype != SEAL or seals.ndim != 1 or not len(seals):
        raise UsageError("seals are one array of dtype SEAL, and keys are there for seals")
    if len(set(batch.keys)) != len(batch.keys) or int(seals["key"].max()) >= len(batch.keys):
        raise UsageError("a seal names one of the keys of its batch, and each key is there once")
    places = seals["request"].astype(np.int64)
    if (np.diff(places) < 0).any() or places[-1] >= len(batch.transfers):
        raise UsageError("seals come in the order of the requests that they belong to")
    if batch.transfers["is_linked"][places - 1][places > 0].any():
        raise UsageError("a seal belongs to the first transfer of a request")
    is_same = np.diff(places) == 0
    if (is_same & (np.diff(seals["expires"]) != 0)).any():
        raise UsageError("the seals of one request say one time until which it is good")
    if np.bincount(places).max() > SIGNATURES_MAX:
        raise UsageError(f"a request has at most {SIGNATURES_MAX} signatures")
