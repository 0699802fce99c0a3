"""The limit of the disk: append the same bytes to a file and make each batch durable, nothing else.

The file goes on where it ended, as a journal does. To write one anew lap after lap is faster wherever memory
for the page cache must be fetched first, for it is then written in the memory that the lap before let go of;
`rewrite_batches` does so, for comparison. Nothing is allocated ahead in either. The bytes should be real
ones: a page of zeros need not even be read.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter


def append_batches(folder: Path, batches: Sequence[bytes]) -> float:
    """Append each batch and call fdatasync after it; the answer is in seconds."""
    return _write(folder / "appended.bin", os.O_APPEND, batches)


def rewrite_batches(folder: Path, batches: Sequence[bytes]) -> float:
    """Do the same in a file that is emptied first."""
    return _write(folder / "rewritten.bin", os.O_TRUNC, batches)


def _write(path: Path, how: int, batches: Sequence[bytes]) -> float:
    handle = os.open(path, os.O_CREAT | os.O_WRONLY | how)
    try:
        start = perf_counter()
        for batch in batches:
            os.write(handle, batch)
            os.fdatasync(handle)
        return perf_counter() - start
    finally:
        os.close(handle)
