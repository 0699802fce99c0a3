"""A file of lines that are only ever added, each durable before it counts."""

import os
from pathlib import Path

from ringfence.kernel.errors import StoreFailed


class LineFile:
    """The lines of one file; a last line that was cut short by a crash is dropped when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._drop_half_line()

    def append(self, line: bytes) -> None:
        """Add one line; StoreFailed where it cannot be made durable."""
        try:
            os.write(self._handle, line + b"\n")
            os.fdatasync(self._handle)
        except OSError as fault:
            raise StoreFailed(f"{self._path} cannot be written: {fault.strerror}") from None

    def read(self) -> tuple[bytes, ...]:
        """Return all lines in order."""
        return tuple(self._path.read_bytes().splitlines())

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)

    def _drop_half_line(self) -> None:
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.ftruncate(self._handle, whole)
