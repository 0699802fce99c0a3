"""Writing back what lies in SQLite's write-ahead log, beside the writer instead of in its way.

A commit is durable in the log. That its pages also reach the book's own file is needed only so that the log
ends some day; SQLite does it in the thread that commits, which then waits for twice the bytes. Here another
thread does, on a connection of its own, whenever enough was committed. Where it does not keep up, or fails,
the writer does it as SQLite always did, when the log is `PAGES_MAX` long.
"""

import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

BYTES_DUE = 64 << 20
"""After how many bytes what was committed is written back."""

PAGES_MAX = 4096
"""How long the log may get: 256 MiB in pages of 64 KiB."""


class WritingBack:
    """Writes back now and then, in a thread that begins with the first time."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], bytes_due: int = BYTES_DUE) -> None:
        """Take how the book's file is opened once more."""
        self._connect = connect
        self._bytes_due = bytes_due
        self._bytes = 0
        self._thread: ThreadPoolExecutor | None = None
        self._running: Future[None] | None = None

    def note(self, count: int) -> None:
        """Note that so many bytes were committed; begin to write back where enough were."""
        self._bytes += count
        if self._bytes < self._bytes_due or (self._running is not None and not self._running.done()):
            return
        self._bytes = 0
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "ringfence-write-back")
        self._running = self._thread.submit(self._write_back)

    def close(self) -> None:
        """Wait for what is under way, and end the thread."""
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _write_back(self) -> None:
        # What cannot be written back now stays in the log, where it is durable; SQLite passes over it too.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self._connect()) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
