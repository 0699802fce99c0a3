"""Copying a book file while its writer goes on: SQLite's own backup, page by page, of one moment.

The copy holds the journal as it stood when the copying began, whole and durable. It is made beside its place
and put there only when it is complete, so a copy that was cut short is never taken for one.
"""

import contextlib
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

from ringfence.kernel.errors import BadInput, UnreachableError, UsageError

PAGES_PER_STEP = 256
"""16 MiB at a time: long enough to be fast, short enough to show progress."""

OnPages = Callable[[int, int], None]
"""Told how many pages are left, and how many there are."""


def copy_book(source: Path, target: Path, on_pages: OnPages) -> None:
    """Copy the book at `source` to `target`, beside its writer if there is one.

    Raises UsageError where something is at `target` already, BadInput where there is no book at `source`,
    UnreachableError where one of them cannot be read or written; then nothing is left at `target`.
    """
    if not source.is_file():
        raise BadInput(f"{source}: there is no book here")
    if target.exists():
        raise UsageError(f"{target} is there already; name a file that is not")
    partial = target.with_name(f"{target.name}.partial")
    try:
        _copy(source, partial, on_pages)
        _sync(partial)
        os.link(partial, target)  # unlike a rename, this never takes the place of another file
        _sync(target.parent)
    except FileExistsError:
        raise UsageError(f"{target} is there already; name a file that is not") from None
    except (sqlite3.Error, OSError) as error:
        raise UnreachableError(f"{source} cannot be copied to {target}: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _copy(source: Path, partial: Path, on_pages: OnPages) -> None:
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    read = sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    with contextlib.closing(read), contextlib.closing(sqlite3.connect(partial)) as write:
        # An open transaction pins the moment: without it the copying begins again at every commit beside it.
        read.execute("BEGIN")
        read.execute("SELECT 1 FROM journal LIMIT 1").fetchall()
        read.backup(write, pages=PAGES_PER_STEP, progress=lambda _, left, total: on_pages(left, total))
        # One file, without a log beside it: that is what is carried elsewhere.
        write.execute("PRAGMA journal_mode = DELETE").fetchall()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
