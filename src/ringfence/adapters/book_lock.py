"""The file beside a book: it keeps a second writer out, and notes outside the book where the journal ends.

The lock ends with the process that holds it. It is on a file of its own because closing any handle of the
book's file would drop SQLite's locks on it.

The note is written after each commit and never synced, so it is never ahead of a disk that tells the truth.
It finds what the book itself cannot see: that its newest records are gone, because the write-ahead log was
lost, cut or damaged after a crash. A note that cannot be read says nothing.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from ringfence.kernel.digest import DIGEST_SIZE
from ringfence.kernel.errors import StoreBusy, UnreachableError
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.journal import Head

_SIZE = 160


def lock_path(path: Path) -> Path:
    """Name the file beside the book at `path`."""
    return path.with_name(f"{path.name}-lock")


def read_note(path: Path) -> Head | None:
    """Return where the book at `path` ended when its writer last noted it; None where nothing is noted."""
    try:
        return _parse_note(lock_path(path).read_bytes())
    except OSError:
        return None


class BookLock:
    """Held by the one process that writes to a book."""

    def __init__(self, path: Path) -> None:
        """Take the lock; StoreBusy names the process that has it, UnreachableError says there can be none."""
        try:
            self._file = os.open(lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UnreachableError(f"{path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._read().decode(errors="replace").partition("\n")[0] or "unknown"
            os.close(self._file)
            raise StoreBusy(f"{path} is being written by process {holder}; one writer at a time") from None
        self._is_held = True
        self.noted = _parse_note(self._read())
        self._write(self.noted)

    def note(self, head: Head) -> None:
        """Write down that the journal reached `head`; where that fails, the last note stands."""
        with contextlib.suppress(OSError):
            self._write(head)

    def release(self) -> None:
        """Let the next writer in; releasing twice is releasing once."""
        if self._is_held:
            self._is_held = False
            os.close(self._file)

    def _read(self) -> bytes:
        return os.pread(self._file, _SIZE, 0)

    def _write(self, head: Head | None) -> None:
        note = f"{head.sequence} {head.at} {head.hash.hex()}" if head else ""
        os.pwrite(self._file, f"{os.getpid()}\n{note}\n".encode().ljust(_SIZE), 0)


def _parse_note(content: bytes) -> Head | None:
    try:
        sequence, at, seal = content.decode("ascii").split("\n")[1].split(" ")
        head = Head(int(sequence), Instant(int(at)), bytes.fromhex(seal))
    except (ValueError, IndexError):
        return None
    return head if len(head.hash) == DIGEST_SIZE else None
