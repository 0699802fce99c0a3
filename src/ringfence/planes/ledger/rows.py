"""Batches of simple moves as arrays: what a service signs once, and what the journal keeps of them.

A transfer is one move in 128 bytes. It names its gate, ends and asset by the number of a `Route`; routes are
numbered for the whole journal, in the order in which batches bring them. So a journal needs nothing beside it
to be read, and a batch of moves along known routes is nothing but arrays. A batch says which routes it builds
upon, by their number and digest: a signature can never come to mean another route.

Transfers of one request follow each other, linked, under one id; they happen together or not at all.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import REASONS, Accepted, Reason, Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import JournalBroken, UsageError
from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX
from ringfence.planes.ledger.journal import Answered, JournalRecord, Kind, answered
from ringfence.planes.ledger.operations import Entry, Move, Record, Request, Signature

Transfers = NDArray[Any]
Codes = NDArray[np.uint16]

REPEATED = 1 << 15
"""The code of a transfer that was carried out before, under the same id: it moved nothing again."""

TRANSFERS_MAX = 1 << 17
"""Most transfers of one batch."""

TRANSFER = np.dtype(
    {
        "names": [
            "id_high",
            "id_low",
            "units_high",
            "units_low",
            "event_at",
            "route",
            "is_linked",
            "free",
            "reference",
        ],
        "formats": [*["<u8"] * 4, "<i8", "<u4", "u1", ("u1", (3,)), ("u1", (80,))],
        "itemsize": 128,
    }
)
"""One move, little-endian whatever the machine.

id: 128 bits, good once; units: below 2^127; event_at: when it happened elsewhere, in ns, for the caller's own
records; route: its number; is_linked: the next transfer belongs to the same request; free: zero; reference:
80 bytes of the caller's own.
"""

CODE = np.dtype("<u2")
_LINE = ["id_high", "id_low", "units_high", "units_low", "route", "is_linked"]
_SIZE = TRANSFER.itemsize + CODE.itemsize
_LENGTH = 8


class Route(Record, frozen=True):
    """What a transfer can name: one asset through one gate from one compartment to another."""

    gate: str
    source: str
    target: str
    asset: str


class Routes:
    """The routes of a journal by number, with a digest of every beginning of the list."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._numbers: dict[Route, int] = {}
        self._digests = [tagged_digest("ringfence routes")]

    def __len__(self) -> int:
        return len(self._routes)

    def __getitem__(self, number: int) -> Route:
        return self._routes[number]

    def listed(self) -> tuple[Route, ...]:
        """Return every route, in the order of their numbers."""
        return tuple(self._routes)

    def number(self, route: Route) -> int | None:
        """Return the number of a route; None where the journal has not met it."""
        return self._numbers.get(route)

    def digest(self, count: int) -> bytes:
        """Return the digest of the first `count` routes."""
        return self._digests[count]

    def fresh(self, known: int, routes: Sequence[Route]) -> tuple[Route, ...]:
        """Return those of `routes`, numbered from `known` on, that are new here.

        Raises UsageError where the numbers are taken by other routes.
        """
        here = self._routes[known : known + len(routes)]
        if known > len(self) or list(routes[: len(here)]) != here:
            raise UsageError("other routes came first; make the batch again upon the routes of the book")
        fresh = tuple(routes[len(here) :])
        known_ones = [route for route in fresh if route in self._numbers]
        if known_ones:
            number = self._numbers[known_ones[0]]
            raise UsageError(f"the batch brings a route that has number {number} already: {known_ones[0]}")
        return fresh

    def extend(self, routes: Iterable[Route]) -> None:
        """Number further routes, none of which has a number."""
        for route in routes:
            self._numbers[route] = len(self._routes)
            self._routes.append(route)
            self._digests.append(
                tagged_digest("ringfence routes", self._digests[-1], msgspec.json.encode(route))
            )


def read_routes(listed: bytes | msgspec.Raw) -> Routes:
    """Read routes that were written out as `listed` gives them."""
    routes = Routes()
    routes.extend(msgspec.json.decode(listed, type=list[Route]))
    return routes


class _Header(Record, frozen=True):
    """Everything of a batch but its transfers."""

    known: int
    known_digest: bytes
    policy: bytes
    expires: int
    routes: tuple[Route, ...] = ()
    reason: str = ""
    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Transfers (dtype `TRANSFER`) that services sign together.

    known, known_digest: how many routes it builds upon, and their digest; routes: new ones, numbered from
    `known` on; policy, expires, reason: as in a `Request`, for each of its requests; signatures: over
    `signing_digest`.
    """

    known: int
    known_digest: bytes
    routes: tuple[Route, ...]
    policy: bytes
    expires: int
    transfers: Transfers
    reason: str = ""
    signatures: tuple[Signature, ...] = ()

    def signing_digest(self) -> bytes:
        """Return the 32 bytes that a key signs: everything but the signatures."""
        header = msgspec.json.encode(self._header(()))
        return tagged_digest("ringfence rows", header, _bytes_of(self.transfers))

    def terms(self) -> np.uint64:
        """Return 64 bits of what the batch says of each of its requests, for telling a retry by."""
        parts = (self.policy, str(self.expires).encode(), self.reason.encode())
        return np.uint64(int.from_bytes(tagged_digest("ringfence terms", *parts)[:8], "big"))

    def signed(self, signatures: Iterable[Signature]) -> "RowBatch":
        """Return the batch with these signatures."""
        return replace(self, signatures=tuple(signatures))

    def _header(self, signatures: tuple[Signature, ...]) -> _Header:
        return _Header(
            known=self.known,
            known_digest=self.known_digest,
            policy=self.policy,
            expires=self.expires,
            routes=self.routes,
            reason=self.reason,
            signatures=signatures,
        )

    def payload(self, codes: Codes) -> bytes:
        """Write the batch and its answers: length and header, transfers, codes."""
        header = msgspec.json.encode(self._header(self.signatures))
        length = len(header).to_bytes(_LENGTH, "big")
        return b"".join((length, header, _bytes_of(self.transfers), codes.astype(CODE).tobytes()))


class Draft:
    """A batch being made upon the routes of a book; make a new draft for every batch."""

    def __init__(self, routes: Routes) -> None:
        self._known = routes
        self._count = len(routes)
        self._digest = routes.digest(self._count)
        self._new: dict[Route, int] = {}

    def number(self, route: Route) -> int:
        """Return the number under which transfers of this batch name a route."""
        number = self._known.number(route)
        if number is not None and number < self._count:
            return number
        return self._new.setdefault(route, self._count + len(self._new))

    def batch(self, transfers: Transfers, policy: bytes, expires: int, reason: str = "") -> RowBatch:
        """Close the draft: a batch that nobody has signed yet."""
        return RowBatch(self._count, self._digest, tuple(self._new), policy, expires, transfers, reason)


def blank_transfers(count: int) -> Transfers:
    """Return transfers to fill in, all zero."""
    return np.zeros(count, dtype=TRANSFER)


def check_form(batch: RowBatch, routes: Routes) -> None:
    """Raise UsageError where a batch is not of the form that the book reads: then nobody can mean it."""
    if not 0 <= batch.known <= len(routes) or routes.digest(batch.known) != batch.known_digest:
        raise UsageError("the batch builds upon routes that this book does not have")
    if batch.transfers.dtype != TRANSFER or batch.transfers.ndim != 1:
        raise UsageError("transfers are one array of dtype TRANSFER")
    if len(set(batch.routes)) != len(batch.routes):
        raise UsageError("a batch names each new route once")
    if not -(2**63) <= batch.expires < 2**63:
        raise UsageError("the time until which a batch is good fits 64 bits")
    if not 0 < len(batch.transfers) <= TRANSFERS_MAX:
        raise UsageError(f"a batch has 1 to {TRANSFERS_MAX} transfers, and this one {len(batch.transfers)}")
    _check_transfers(batch.transfers, batch.known + len(batch.routes))


def _check_transfers(transfers: Transfers, routes: int) -> None:
    if int(transfers["route"].max()) >= routes:
        raise UsageError(f"a transfer names route {transfers['route'].max()}; there are {routes}")
    if transfers["is_linked"].max() > 1 or transfers["free"].any():
        raise UsageError("`is_linked` is 0 or 1, and the free bytes of a transfer are zero")
    if transfers[-1]["is_linked"]:
        raise UsageError("the last transfer is linked to a next one, and there is none")
    linked = transfers["is_linked"][:-1] == 1
    same = (transfers["id_high"][1:] == transfers["id_high"][:-1]) & (
        transfers["id_low"][1:] == transfers["id_low"][:-1]
    )
    if (linked & ~same).any():
        raise UsageError("linked transfers are one request and have one id")


# --- the journal -------------------------------------------------------------------------------


def read_rows(record: JournalRecord) -> tuple[RowBatch, Codes]:
    """Read a batch and its codes; JournalBroken where the record holds none, or another spelling of one."""
    if record.kind != Kind.ROWS:
        raise JournalBroken(record.sequence, f"is of kind {record.kind}, and holds no rows")
    payload = record.payload
    start = _LENGTH + int.from_bytes(payload[:_LENGTH], "big")
    count, rest = divmod(len(payload) - start, _SIZE)
    if len(payload) < _LENGTH or start > len(payload) or rest:
        raise JournalBroken(record.sequence, "its rows are cut short")
    try:
        header = msgspec.json.decode(payload[_LENGTH:start], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBroken(record.sequence, f"its header cannot be read: {error}") from None
    if msgspec.json.encode(header) != payload[_LENGTH:start]:
        raise JournalBroken(record.sequence, "its header is not spelled as this book spells it")
    transfers = np.frombuffer(payload, TRANSFER, count, start)
    codes = np.frombuffer(payload, CODE, count, start + count * TRANSFER.itemsize)
    return _batch_of(header, transfers), codes


def _batch_of(header: _Header, transfers: Transfers) -> RowBatch:
    return RowBatch(
        known=header.known,
        known_digest=header.known_digest,
        routes=header.routes,
        policy=header.policy,
        expires=header.expires,
        transfers=transfers,
        reason=header.reason,
        signatures=header.signatures,
    )


def row_entries(head: bytes, transfers: Transfers, codes: Codes, route_hashes: bytes | bytearray) -> bytes:
    """Write each transfer as the tree holds it, see `tree`; head: what comes before its place."""
    form = [("head", f"V{len(head)}"), ("place", "u1", (3,)), ("code", CODE), ("route", "V32")]
    entries = np.empty(len(transfers), np.dtype([*form, ("transfer", TRANSFER)]))
    entries["head"] = np.void(head)
    entries["place"] = np.arange(len(transfers), dtype=">u4").view(np.uint8).reshape(-1, 4)[:, 1:]
    entries["code"] = codes
    entries["route"] = np.frombuffer(route_hashes, "V32")[transfers["route"]]
    entries["transfer"] = transfers
    return entries.tobytes()


def rows_of_request(transfers: Transfers, identifier: int) -> list[int]:
    """List the places of the transfers of one request."""
    high, low = identifier >> LIMB_BITS, identifier & LIMB_MAX
    return [
        int(place) for place in np.flatnonzero((transfers["id_high"] == high) & (transfers["id_low"] == low))
    ]


def show_entry(content: bytes) -> str:
    """Put the code and transfer of a leaf in words."""
    if len(content) != _SIZE:
        return "no transfer"
    (code,) = np.frombuffer(content, CODE, 1).tolist()
    (row,) = np.frombuffer(content, TRANSFER, 1, CODE.itemsize)[_LINE].tolist()
    return f"request {_join(row[0], row[1]):x}, {_join(row[2], row[3])} units, {_show(code)}"


def difference(was: Codes, right: Codes) -> str:
    """Say where recorded codes are not the ones the rules give; "" where they are."""
    places = np.flatnonzero(was != right)
    if not len(places):
        return ""
    place = int(places[0])
    found, wanted = _show(int(was[place])), _show(int(right[place]))
    return f"transfer {place} was answered {found}, and the rules answer {wanted}"


def _show(code: int) -> str:
    if code in (0, REPEATED):
        return "repeated" if code else "accepted"
    reason = REASONS.get(code)
    return f"refused ({reason.name if reason else f'reason {code}'})"


def lines_of(batch: RowBatch, codes: Codes, routes: Routes) -> Iterator[Answered]:
    """Write the requests of a batch with their answers as ordinary ones (signatures stay with the batch)."""
    rows = zip(batch.transfers[_LINE].tolist(), codes.tolist(), strict=True)
    while True:
        chain = list(_chain(rows))
        if not chain:
            return
        yield _line(batch, chain, routes)


def _chain(rows: Iterator[tuple[Any, int]]) -> Iterator[tuple[Any, int]]:
    for row, code in rows:
        yield row, code
        if not row[5]:
            return


def _line(batch: RowBatch, chain: list[tuple[Any, int]], routes: Routes) -> Answered:
    moves = tuple(_move(row, routes) for row, _ in chain)
    request = Request(
        id=_join(*chain[0][0][:2]),
        links=moves,
        policy=batch.policy,
        expires=batch.expires,
        reason=batch.reason,
    )
    codes = [code for _, code in chain]
    if codes[0] == REPEATED:
        return answered(request, Accepted(repeated=True))
    for leg, code in enumerate(codes):
        if code not in (0, Reason.LINKED_LEG_REFUSED):
            return answered(request, Refused(REASONS[code], REASONS[code].meaning, leg=leg))
    return answered(request, Accepted(), [Entry(m.source, m.target, m.asset, m.units) for m in moves])


def _move(row: Any, routes: Routes) -> Move:
    route = routes[row[4]]
    return Move(route.gate, route.source, route.target, route.asset, _join(row[2], row[3]))


def write_ids(transfers: Transfers, ids: Sequence[int]) -> None:
    """Fill in ids below 2^128."""
    transfers["id_high"] = [number >> LIMB_BITS for number in ids]
    transfers["id_low"] = [number & LIMB_MAX for number in ids]


def _join(high: int, low: int) -> int:
    return high << LIMB_BITS | low


def _bytes_of(transfers: Transfers) -> memoryview:
    """See transfers as bytes, without copying them."""
    return memoryview(np.ascontiguousarray(transfers).view(np.uint8).data)
