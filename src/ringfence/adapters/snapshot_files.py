"""Snapshots of a book in a folder beside it, the two newest, each in a file named by its record.

Nothing here needs to survive a power cut: a snapshot that is missing, torn or damaged is passed over for an
older one or for the journal itself. The whole folder can be deleted at any time.
"""

import contextlib
import os
from pathlib import Path

KEPT = 2
"""How many snapshots are kept: the newest, and one to fall back upon."""

_SUFFIX = ".snapshot"


class SnapshotFolder:
    """The snapshots of the book at a path; the folder is made with the first one."""

    def __init__(self, book: Path) -> None:
        self._folder = book.with_name(f"{book.name}-snapshots")

    def kept(self) -> tuple[int, ...]:
        """List the records that have a snapshot, the newest first."""
        names = (file.name.removesuffix(_SUFFIX) for file in self._folder.glob(f"*{_SUFFIX}"))
        return tuple(sorted((int(name) for name in names if name.isascii() and name.isdigit()), reverse=True))

    def read(self, sequence: int) -> bytes:
        """Return a snapshot as it lies there; empty where it cannot be read."""
        try:
            return self._file(sequence).read_bytes()
        except OSError:
            return b""

    def keep(self, sequence: int, content: bytes) -> None:
        """Keep a snapshot and forget all but the newest; where there is no room, none is kept."""
        unfinished = self._folder / f"{sequence}.unfinished"
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
                out.write(content)
            unfinished.rename(self._file(sequence))
            for older in self.kept()[KEPT:]:
                self._file(older).unlink()
        with contextlib.suppress(OSError):
            unfinished.unlink()

    def _file(self, sequence: int) -> Path:
        return self._folder / f"{sequence}{_SUFFIX}"
