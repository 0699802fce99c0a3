"""The limit of the disk: append the same bytes to a file and make each batch durable, nothing else."""

import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter


def append_batches(folder: Path, batches: Sequence[bytes]) -> float:
    """Append each batch and call fdatasync after it; the answer is in seconds."""
    handle = os.open(folder / "raw.bin", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        start = perf_counter()
        for batch in batches:
            os.write(handle, batch)
            os.fdatasync(handle)
        return perf_counter() - start
    finally:
        os.close(handle)
