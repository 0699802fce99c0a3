"""Snapshots: the state of a book written out, so that opening it need not replay everything.

A snapshot is a few named parts of plain bytes: one for each table that holds anything, in the order of its
keys, and what margin and rows keep beside them. It follows from the journal and is never trusted over it: a
checkpoint in the journal names its digest, and a snapshot with any other digest is passed over.

The same state always gives the same parts. Another version of ringfence may write a table in another form;
`form` tells them apart, so that a digest of another form is not taken for a wrong one.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.tables import FORMS

Parts = dict[str, bytes]
"""The parts of a snapshot by name."""

_AT, _ROWS, _TABLE, _PACKED = "at", "rows judged", "table ", "packed "


def written(state: BookState) -> Parts:
    """Write out a state; equal states have equal parts, and a table without rows has none."""
    tables = state.ledger.tables
    parts = {_AT: str(state.at).encode(), _ROWS: tables.rows}
    for name in sorted(FORMS):
        rows = tables.sorted_rows(name)
        if rows:
            parts[_TABLE + name] = msgspec.json.encode(rows, order="deterministic")
    for name, packed in tables.packed.items():
        if packed.counts():
            parts[_PACKED + name] = packed.written()
    return parts


def restore(state: BookState, parts: Mapping[str, bytes]) -> None:
    """Fill a new state with what was written out; ValueError where a part is of another form."""
    tables = state.ledger.tables
    state.at, tables.rows = Instant(int(parts[_AT])), parts[_ROWS]
    for name, content in parts.items():
        if name.startswith(_TABLE):
            table = name.removeprefix(_TABLE)
            getattr(tables, table).update(msgspec.json.decode(content, type=_rows_of(table)))
        elif name.startswith(_PACKED):
            tables.packed[name.removeprefix(_PACKED)].restore(content)


def digest(parts: Mapping[str, bytes]) -> bytes:
    """Return the digest of a state by its parts."""
    named = (part for name in sorted(parts) for part in (name.encode(), parts[name]))
    return tagged_digest("ringfence state", *named)


def form(parts: Mapping[str, bytes]) -> bytes:
    """Return the digest of the form that these parts are written in here."""
    forms = (f"{name} {FORMS.get(name.removeprefix(_TABLE), '')}".encode() for name in sorted(parts))
    return tagged_digest("ringfence state form 1", *forms)


def packed(parts: Parts) -> bytes:
    """Write the parts as one piece."""
    return msgspec.msgpack.encode(parts)


def unpacked(content: bytes) -> Parts:
    """Read the parts of one piece; ValueError where it holds none."""
    try:
        return msgspec.msgpack.decode(content, type=Parts)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"these are no parts: {error}") from None


def _rows_of(table: str) -> Any:
    if table not in FORMS:
        raise ValueError(f"no table is named {table}")
    key, value = FORMS[table].__args__
    return list[tuple[key, value]]  # type: ignore[valid-type]
