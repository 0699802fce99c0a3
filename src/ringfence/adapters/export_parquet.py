"""The legs of a book as a Parquet file, in row groups, so that memory does not grow with the book."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ringfence.kernel.errors import UnreachableError

ROWS_PER_GROUP = 65_536


def write_parquet(
    file: Path, columns: Sequence[str], numbers: Iterable[str], rows: Iterable[Sequence[Any]]
) -> int:
    """Write rows under their columns; `numbers` are 64-bit, the others text. Return how many there were.

    Units are text: they may have 39 digits. Raises UnreachableError where pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UnreachableError("Parquet needs the extra: pip install 'ringfence[history]'") from None
    whole = set(numbers)
    schema = pa.schema([(name, pa.int64() if name in whole else pa.string()) for name in columns])
    iterator, count = iter(rows), 0
    with pq.ParquetWriter(file, schema) as writer:
        while group := list(islice(iterator, ROWS_PER_GROUP)):
            turned = zip(*group, strict=True)
            arrays = [pa.array(values, type=one.type) for values, one in zip(turned, schema, strict=True)]
            writer.write_table(pa.table(arrays, schema=schema))
            count += len(group)
    return count
