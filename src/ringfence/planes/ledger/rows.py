"""Batches of moves as arrays: what a service signs once or clients one by one, and what the journal keeps.

A transfer is one move in 128 bytes, or a part of a hold, a post or a void. It names its gate, ends and asset
by the number of a `Route`; routes are numbered for the whole journal, in the order in which batches bring
them. So a journal needs nothing beside it to be read, and a batch of moves along known routes is nothing but
arrays. A batch says which routes it builds upon, by their number and digest: a signature can never come to
mean another route.

Transfers of one request follow each other, linked, under one id; they happen together or not at all. A
request may carry signatures of its own (`SEAL`): over the bytes that are signed of any request.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import REASONS, Accepted, Reason, Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import JournalBroken, UsageError
from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX
from ringfence.planes.ledger.journal import Answered, JournalRecord, Kind, answered
from ringfence.planes.ledger.operations import Entry, Link, Move, Post, Record, Request, Signature, Void
from ringfence.planes.ledger.operations import Route as Route

Transfers = NDArray[Any]
Seals = NDArray[Any]
Codes = NDArray[np.uint16]

REPEATED = 1 << 15
"""The code of a transfer that was carried out before, under the same id: it moved nothing again."""

MOVE, HOLD, POST, VOID = 0, 1, 2, 3
"""What a transfer does: move, hold what it would move, post or void what an earlier request holds."""

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
            "kind",
            "free",
            "reference",
            "hold_high",
            "hold_low",
            "hold_until",
        ],
        "formats": [
            *["<u8"] * 4,
            "<i8",
            "<u4",
            "u1",
            "u1",
            ("u1", (2,)),
            ("u1", (80,)),
            "<u8",
            "<u8",
            "<i8",
        ],
        "offsets": [0, 8, 16, 24, 32, 40, 44, 45, 46, 48, 48, 56, 48],
        "itemsize": 128,
    }
)
"""One move, little-endian whatever the machine.

id: 128 bits, good once; units: below 2^127; event_at: when it happened elsewhere, in ns, for the caller's own
records; route: its number; is_linked: the next transfer belongs to the same request; kind: `MOVE`, `HOLD`,
`POST` or `VOID`; free: zero; reference: 80 bytes of the caller's own.

The first bytes of `reference` belong to the kinds after `MOVE`: `hold_until` of a `HOLD`, which all transfers
of its request share; `hold_high` and `hold_low` of a `POST` or `VOID`, the id of the request that holds. Each
move of a hold is one part, in its order and along its route; parts of one hold that follow each other are one
link. A part of a void has no units.
"""

_SIGNATURE_SIZE = 64

SEAL = np.dtype(
    {
        "names": ["request", "key", "expires", "signature"],
        "formats": ["<u4", "<u4", "<i8", ("u1", (_SIGNATURE_SIZE,))],
        "itemsize": 80,
    }
)
"""A signature of one request of a batch.

request: the place of its first transfer; key: which of the batch's `keys`; expires: as in a `Request`;
signature: over `signing_bytes` of the request that the transfers stand for.
"""

NO_SEALS: Any = np.zeros(0, SEAL)

CODE = np.dtype("<u2")
_LINE = [
    "id_high",
    "id_low",
    "units_high",
    "units_low",
    "route",
    "is_linked",
    "kind",
    "hold_high",
    "hold_low",
    "hold_until",
]
_SIZE = TRANSFER.itemsize + CODE.itemsize
_LENGTH = 8


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
    """Everything of a batch but its transfers and seals; `seals` says how many there are."""

    known: int
    known_digest: bytes
    policy: bytes
    expires: int
    routes: tuple[Route, ...] = ()
    reason: str = ""
    signatures: tuple[Signature, ...] = ()
    keys: tuple[str, ...] = ()
    seals: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Transfers (dtype `TRANSFER`) that services sign together, or clients one by one.

    known, known_digest: how many routes it builds upon, and their digest; routes: new ones, numbered from
    `known` on; policy, expires, reason: as in a `Request`, for each of its requests (one with a seal has its
    own `expires`); signatures: over `signing_digest`, they count for every request; keys, seals (dtype
    `SEAL`): signatures that count for one request each, in the order of the requests.
    """

    known: int
    known_digest: bytes
    routes: tuple[Route, ...]
    policy: bytes
    expires: int
    transfers: Transfers
    reason: str = ""
    signatures: tuple[Signature, ...] = ()
    keys: tuple[str, ...] = ()
    seals: Seals = field(default_factory=lambda: NO_SEALS)

    def signing_digest(self) -> bytes:
        """Return the 32 bytes that a key signs: everything but the signatures over them."""
        header = msgspec.json.encode(self._header(()))
        seals = (_bytes_of(self.seals),) if len(self.seals) else ()
        return tagged_digest("ringfence rows", header, _bytes_of(self.transfers), *seals)

    def terms(self, *, expires: int | None = None) -> int:
        """Return 64 bits of what the batch says of each of its requests, for telling a retry by.

        expires: of a request that has its own.
        """
        parts = (
            self.policy,
            str(self.expires if expires is None else expires).encode(),
            self.reason.encode(),
        )
        return int.from_bytes(tagged_digest("ringfence terms", *parts)[:8], "big")

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
            keys=self.keys,
            seals=len(self.seals),
        )

    def payload(self, codes: Codes) -> bytes:
        """Write the batch and its answers: length and header, transfers, codes, seals."""
        header = msgspec.json.encode(self._header(self.signatures))
        length = len(header).to_bytes(_LENGTH, "big")
        rows = (_bytes_of(self.transfers), _bytes_of(codes.astype(CODE, copy=False)), _bytes_of(self.seals))
        return b"".join((length, header, *rows))


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

    def sealed(self, requests: Sequence[Request]) -> RowBatch:
        """Write requests that were signed one by one as a batch, which keeps their signatures.

        All are of one policy and reason. UsageError where rows cannot say what one asks, or nobody signed it.
        """
        policy, reason = requests[0].policy, requests[0].reason
        lines: list[_Line] = []
        seals: list[tuple[int, int, int, bytes]] = []
        keys: dict[str, int] = {}
        for request in requests:
            if request.exchange or request.reverses or not request.signatures:
                raise UsageError("rows are signed, and neither legs of an exchange nor corrections")
            if request.policy != policy or request.reason != reason:
                raise UsageError("requests in one batch are of one policy and reason")
            for one in request.signatures:
                if len(one.value) != _SIGNATURE_SIZE:
                    raise UsageError(f"a signature in rows has {_SIGNATURE_SIZE} bytes")
                key = keys.setdefault(one.key, len(keys))
                seals.append((len(lines), key, request.expires, one.value))
            lines += _lines_for(request, self)
        expires = max(request.expires for request in requests)
        batch = self.batch(transfers_of(lines), policy, expires, reason)
        return replace(batch, keys=tuple(keys), seals=_seals_of(seals))


_Line = tuple[int, int, int, int, int, int, int]
"""One transfer as numbers: id, units, route, whether it is linked, kind, the hold it names, until when."""


def transfers_of(lines: Sequence[_Line]) -> Transfers:
    """Write transfers from their numbers."""
    transfers = blank_transfers(len(lines))
    ids, units, routes, linked, kinds, holds, untils = zip(*lines, strict=True)
    write_ids(transfers, ids)
    transfers["units_high"] = [number >> LIMB_BITS for number in units]
    transfers["units_low"] = [number & LIMB_MAX for number in units]
    transfers["route"], transfers["is_linked"], transfers["kind"] = routes, linked, kinds
    if any(kinds):
        transfers["hold_high"] = [number >> LIMB_BITS for number in holds]
        transfers["hold_low"] = [number & LIMB_MAX for number in holds]
        held = [place for place, kind in enumerate(kinds) if kind == HOLD]
        transfers["hold_until"][held] = [untils[place] for place in held]
    return transfers


def _lines_for(request: Request, draft: Draft) -> list[_Line]:
    """Write the links of a request as transfers."""
    parts: list[tuple[Route, int, int, int]] = []
    for link in request.links:
        if isinstance(link, Move):
            kind = HOLD if request.hold_until else MOVE
            parts.append((Route(link.gate, link.source, link.target, link.asset), link.units, kind, 0))
        elif isinstance(link, Post) and link.along and len(link.units) == len(link.along):
            parts += (
                (route, units, POST, link.hold) for route, units in zip(link.along, link.units, strict=True)
            )
        elif isinstance(link, Void) and link.along:
            parts += ((route, 0, VOID, link.hold) for route in link.along)
        else:
            raise UsageError("rows are moves, posts that say where each of their units goes, and such voids")
    for link, after in pairwise(request.links):
        if isinstance(link, (Post, Void)) and type(link) is type(after) and link.hold == after.hold:
            raise UsageError("parts of one hold that follow each other are one link; post or void it at once")
    last, until = len(parts) - 1, request.hold_until
    return [
        (request.id, units, draft.number(route), place < last, kind, hold, until)
        for place, (route, units, kind, hold) in enumerate(parts)
    ]


def _seals_of(found: Sequence[tuple[int, int, int, bytes]]) -> Seals:
    seals = np.zeros(len(found), SEAL)
    seals["request"], seals["key"] = [one[0] for one in found], [one[1] for one in found]
    seals["expires"] = [one[2] for one in found]
    values = np.frombuffer(b"".join(one[3] for one in found), np.uint8)
    seals["signature"] = values.reshape(-1, _SIGNATURE_SIZE)
    return seals


def blank_transfers(count: int) -> Transfers:
    """Return transfers to fill in, all zero."""
    return np.zeros(count, dtype=TRANSFER)


def words_of(transfers: Transfers) -> NDArray[np.uint64]:
    """See transfers as 64-bit words, shape (n, 16), that nobody writes to: one compiled kernel serves all."""
    words = np.ascontiguousarray(transfers).view(np.uint64).reshape(len(transfers), -1)
    words.flags.writeable = False
    return words


# --- the journal -------------------------------------------------------------------------------


def read_rows(record: JournalRecord) -> tuple[RowBatch, Codes]:
    """Read a batch and its codes; JournalBroken where the record holds none, or another spelling of one."""
    if record.kind != Kind.ROWS:
        raise JournalBroken(record.sequence, f"is of kind {record.kind}, and holds no rows")
    payload = record.payload
    start = _LENGTH + int.from_bytes(payload[:_LENGTH], "big")
    if len(payload) < _LENGTH or start > len(payload):
        raise JournalBroken(record.sequence, "its rows are cut short")
    try:
        header = msgspec.json.decode(payload[_LENGTH:start], type=_Header)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JournalBroken(record.sequence, f"its header cannot be read: {error}") from None
    if msgspec.json.encode(header) != payload[_LENGTH:start]:
        raise JournalBroken(record.sequence, "its header is not spelled as this book spells it")
    seals_at = len(payload) - header.seals * SEAL.itemsize
    count, rest = divmod(seals_at - start, _SIZE)
    if header.seals < 0 or count < 0 or rest:
        raise JournalBroken(record.sequence, "its rows are cut short")
    transfers = np.frombuffer(payload, TRANSFER, count, start)
    codes = np.frombuffer(payload, CODE, count, start + count * TRANSFER.itemsize)
    seals = np.frombuffer(payload, SEAL, header.seals, seals_at) if header.seals else NO_SEALS
    return _batch_of(header, transfers, seals), codes


def _batch_of(header: _Header, transfers: Transfers, seals: Seals) -> RowBatch:
    return RowBatch(
        known=header.known,
        known_digest=header.known_digest,
        routes=header.routes,
        policy=header.policy,
        expires=header.expires,
        transfers=transfers,
        reason=header.reason,
        signatures=header.signatures,
        keys=header.keys,
        seals=seals,
    )


def are_booked(transfers: Transfers, codes: Codes) -> NDArray[np.bool_]:
    """Say of each transfer whether it moved something: carried out, and none that only holds or voids."""
    done: NDArray[np.bool_] = codes == 0
    kinds = transfers["kind"]
    if kinds.any():
        is_part = (kinds == POST) & (transfers["units_high"] | transfers["units_low"] != 0)
        done &= (kinds == MOVE) | is_part
    return done


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
    done = "" if row[6] == MOVE else f"{_KIND_WORDS.get(row[6], 'nothing known')}, "
    return f"request {_join(row[0], row[1]):x}, {done}{_join(row[2], row[3])} units, {_show(code)}"


_KIND_WORDS = {HOLD: "held", POST: "posted", VOID: "voided"}


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
    """Write the requests of a batch with their answers as ordinary ones (a batch keeps what signs it all)."""
    reader = RequestReader(batch, routes)
    answers = codes.tolist()
    for start in reader.starts():
        yield _answered(reader, start, answers)


class RequestReader:
    """The requests of a batch as ordinary ones, by the place of their first transfer."""

    def __init__(self, batch: RowBatch, routes: Routes) -> None:
        self._batch = batch
        self._routes = routes
        self._lines: list[Any] = batch.transfers[_LINE].tolist()
        self._seals: dict[int, list[int]] = {}
        self._signatures = batch.seals["signature"].tobytes()
        self.sealed: list[tuple[int, int, int]] = batch.seals[["request", "key", "expires"]].tolist()
        """For each seal, the first transfer of its request, its key, and until when the request is good."""
        for number, (start, _, _) in enumerate(self.sealed):
            self._seals.setdefault(start, []).append(number)

    def starts(self) -> Iterator[int]:
        """Go through the places at which requests begin."""
        start = 0
        while start < len(self._lines):
            yield start
            start = self.end(start) + 1

    def end(self, start: int) -> int:
        """Return the place of the last transfer of a request."""
        while self._lines[start][5]:
            start += 1
        return start

    def signature(self, number: int) -> Signature:
        """Return a seal as an ordinary signature."""
        key = self._batch.keys[self.sealed[number][1]]
        start = number * _SIGNATURE_SIZE
        return Signature(key, self._signatures[start : start + _SIGNATURE_SIZE])

    def request(self, start: int, *, is_bare: bool = False) -> Request:
        """Write a request; bare: without its signatures, as they sign it."""
        seals = self._seals.get(start, ())
        line = self._lines[start]
        return Request(
            id=_join(line[0], line[1]),
            links=tuple(link for _, link in self.links(start)),
            policy=self._batch.policy,
            expires=self.sealed[seals[0]][2] if seals else self._batch.expires,
            reason=self._batch.reason,
            signatures=() if is_bare else tuple(self.signature(number) for number in seals),
            hold_until=line[9] if line[6] == HOLD else 0,
        )

    def links(self, start: int) -> list[tuple[int, Link]]:
        """Write the links of a request, each with the place at which it begins."""
        found: list[tuple[int, Link]] = []
        place, end = start, self.end(start)
        while place <= end:
            line = self._lines[place]
            after = place + 1
            if line[6] in (POST, VOID):
                while after <= end and self._lines[after][6:9] == line[6:9]:
                    after += 1
            found.append((place, self._link(place, after)))
            place = after
        return found

    def _link(self, place: int, after: int) -> Link:
        line = self._lines[place]
        if line[6] in (MOVE, HOLD):
            route = self._routes[line[4]]
            return Move(route.gate, route.source, route.target, route.asset, _join(line[2], line[3]))
        parts, hold = self._lines[place:after], _join(line[7], line[8])
        along = tuple(self._routes[part[4]] for part in parts)
        if line[6] == VOID:
            return Void(hold, along)
        return Post(hold, tuple(_join(part[2], part[3]) for part in parts), along)


def _answered(reader: RequestReader, start: int, answers: list[int]) -> Answered:
    request = reader.request(start)
    if answers[start] == REPEATED:
        return answered(request, Accepted(repeated=True))
    for leg, (place, _) in enumerate(reader.links(start)):
        code = answers[place]
        if code not in (0, Reason.LINKED_LEG_REFUSED):
            return answered(request, Refused(REASONS[code], REASONS[code].meaning, leg=leg))
    entries = [] if request.hold_until else [one for link in request.links for one in _entries_of(link)]
    return answered(request, Accepted(), entries)


def _entries_of(link: Link) -> Iterator[Entry]:
    """Go through what a link books that is carried out."""
    if isinstance(link, Move):
        yield Entry(link.source, link.target, link.asset, link.units)
    elif isinstance(link, Post):
        for route, units in zip(link.along, link.units, strict=True):
            if units:
                yield Entry(route.source, route.target, route.asset, units)


def write_ids(transfers: Transfers, ids: Sequence[int]) -> None:
    """Fill in ids below 2^128."""
    transfers["id_high"] = [number >> LIMB_BITS for number in ids]
    transfers["id_low"] = [number & LIMB_MAX for number in ids]


def _join(high: int, low: int) -> int:
    return high << LIMB_BITS | low


def _bytes_of(array: NDArray[Any]) -> memoryview:
    """See an array as bytes, without copying it."""
    return memoryview(np.ascontiguousarray(array).view(np.uint8).data)
