"""The trail of a book in its SQLite file: which records touched a compartment, written with each record.

It follows from the journal (`planes.ledger.trail`) and is made again where it does not cover it: a book that
was begun by an earlier version has none.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from ringfence.planes.ledger.trail import Links, Trail, newest_records, record_before

Row = tuple[object, ...]
Run = Callable[[str, Row], list[Row]]
"""Runs one statement to its end."""

SCHEMA = (
    """CREATE TABLE IF NOT EXISTS compartment (
        number INTEGER PRIMARY KEY,
        path   TEXT NOT NULL UNIQUE
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS trail (
        sequence INTEGER PRIMARY KEY,
        links    BLOB NOT NULL
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS trail_summary (
        only     INTEGER PRIMARY KEY CHECK (only = 0),
        sequence INTEGER NOT NULL,
        newest   BLOB NOT NULL
    ) STRICT""",
)
_NAME = "INSERT INTO compartment (number, path) SELECT coalesce(max(number), -1) + 1, ? FROM compartment"
_LINK = "INSERT INTO trail (sequence, links) VALUES (?, ?)"
_SUM_UP = "INSERT OR REPLACE INTO trail_summary (only, sequence, newest) VALUES (0, ?, ?)"


def statements(links: "Links | None", sequence: int) -> Iterator[tuple[str, Row]]:
    """Say how the links of one record are written; without any, it touched nothing."""
    for path in links.fresh if links else ():
        yield _NAME, (path,)
    yield _LINK, (sequence, links.content if links else b"")
    if links and links.newest:
        yield _SUM_UP, (sequence, links.newest)


def emptying() -> Iterator[tuple[str, Row]]:
    """Say how the trail is taken away, to be made again."""
    return ((f"DELETE FROM {table}", ()) for table in ("compartment", "trail", "trail_summary"))


def is_there(run: Run) -> bool:
    """Say whether the file has room for a trail."""
    return bool(run("SELECT 1 FROM sqlite_schema WHERE name = 'trail'", ()))


def covered(run: Run) -> int:
    """Return how many records have links; a record that touched nothing has empty ones."""
    if not is_there(run):
        return 0
    ((count,),) = run("SELECT count(*) FROM trail", ())
    return int(str(count))


def read(run: Run) -> Trail:
    """Read the trail, to go on with."""
    paths = [str(path) for (path,) in run("SELECT path FROM compartment ORDER BY number", ())]
    return Trail(paths, _newest(run), covered(run))


def touching(run: Run, compartment: str) -> list[int]:
    """List the records that touched a compartment, newest first, by following its links."""
    found = run("SELECT number FROM compartment WHERE path = ?", (compartment,))
    if not found:
        return []
    number = int(str(found[0][0]))
    newest, records = _newest(run), []
    before = int(newest[number]) if number < len(newest) else 0
    while before:
        records.append(before)
        ((content,),) = run("SELECT links FROM trail WHERE sequence = ?", (before,))
        earlier = record_before(_bytes(content), number)
        before = earlier if earlier is not None and earlier < before else 0
    return records


def _newest(run: Run) -> NDArray[np.uint32]:
    summary = run("SELECT sequence, newest FROM trail_summary", ())
    sequence, newest = summary[0] if summary else (0, b"")
    later = run("SELECT sequence, links FROM trail WHERE sequence > ? ORDER BY sequence", (sequence,))
    return newest_records(_bytes(newest), _pairs(later))


def _pairs(rows: Iterable[Row]) -> Iterator[tuple[int, bytes]]:
    return ((int(str(sequence)), _bytes(content)) for sequence, content in rows)


def _bytes(content: object) -> bytes:
    return content if isinstance(content, bytes) else b""
