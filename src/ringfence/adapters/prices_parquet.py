"""Reads candles and funding from Parquet or CSV files, as they are; what they mean is decided in replay.

A path may be one file or a folder. Parquet needs pyarrow, which is imported only when such a file is read.
"""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput, UnreachableError
from ringfence.replay.candles import Sheet

ROWS_MAX = 20_000_000
_TIMES = frozenset({"open_time", "time", "timestamp"})
_WORDS = frozenset({"symbol", "window"})
_WANTED = _TIMES | _WORDS | {"open", "high", "low", "close", "funding_rate"}

Column = npt.NDArray[np.generic]


def price_files(path: Path) -> tuple[Path, ...]:
    """List the Parquet and CSV files at `path`, by name; UnreachableError where there is nothing."""
    if path.is_dir():
        found = tuple(sorted(file for file in path.iterdir() if file.suffix.lower() in (".parquet", ".csv")))
        if not found:
            raise UnreachableError(f"{path}: the folder held no .parquet and no .csv file")
        return found
    if not path.exists():
        raise UnreachableError(f"{path}: there is no such file or folder")
    return (path,)


def load_sheet(path: Path) -> Sheet:
    """Read the columns of one file that a replay can use; BadInput where it cannot be read."""
    if path.suffix.lower() == ".csv":
        return _csv_sheet(path)
    if path.suffix.lower() == ".parquet":
        return _parquet_sheet(path)
    raise BadInput(
        f"{path.name}: the file ends in {path.suffix or 'nothing'}; prices come as .parquet or .csv"
    )


def _parquet_sheet(path: Path) -> Sheet:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise BadInput(f"{path.name}: reading Parquet needs pyarrow; install ringfence[history]") from None
    try:
        file = parquet.ParquetFile(path)
        if file.metadata.num_rows > ROWS_MAX:
            raise BadInput(
                f"{path.name}: the file held {file.metadata.num_rows} rows; at most {ROWS_MAX} are read"
            )
        names = [name for name in file.schema_arrow.names if name in _WANTED]
        table = file.read(columns=names)
    except (arrow.ArrowInvalid, OSError) as problem:
        raise BadInput(f"{path.name}: not a readable Parquet file: {_first_line(problem)}") from None
    return Sheet(path.name, {name: _arrow_column(table, name, path.name, arrow) for name in names})


def _arrow_column(table: Any, name: str, file: str, arrow: Any) -> Column:
    column = table[name]
    if column.null_count:
        raise BadInput(
            f"{file}: the column {name} held {column.null_count} empty cells; every cell has a value"
        )
    if name in _WORDS:
        return np.asarray(column.to_numpy()).astype(str)
    if name in _TIMES:
        return _arrow_times(column, file, name, arrow)
    try:
        return np.asarray(column.cast(arrow.float64()).to_numpy())
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError):
        raise BadInput(f"{file}: the column {name} held {column.type}; prices are numbers") from None


def _arrow_times(column: Any, file: str, name: str, arrow: Any) -> Column:
    if arrow.types.is_timestamp(column.type):
        stamps = column.cast(arrow.timestamp("ns", tz=column.type.tz)).cast(arrow.int64())
        return np.asarray(stamps.to_numpy())
    if arrow.types.is_integer(column.type):
        return _scaled_times(np.asarray(column.to_numpy()).astype(np.int64))
    raise BadInput(f"{file}: the column {name} held {column.type}; times are timestamps or whole numbers")


def _csv_sheet(path: Path) -> Sheet:
    columns: dict[str, list[Any]] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = [name for name in reader.fieldnames or () if name in _WANTED]
            columns = {name: [] for name in names}
            for line, row in _lines(reader, path.name):
                for name in names:
                    columns[name].append(_cell(path.name, line, name, row[name]))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise BadInput(f"{path.name}: not a readable CSV file: {_first_line(problem)}") from None
    return Sheet(path.name, {name: _csv_column(name, cells) for name, cells in columns.items()})


def _lines(reader: "csv.DictReader[str]", file: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    for number, row in enumerate(reader):
        if number >= ROWS_MAX:
            raise BadInput(f"{file}: the file held more than {ROWS_MAX} rows; at most that many are read")
        yield reader.line_num, row


def _cell(file: str, line: int, name: str, text: str | None) -> float | int | str:
    if text is None or not text.strip():
        raise BadInput(f"{file}:{line}: the cell {name} was empty; every cell has a value")
    if name in _WORDS:
        return text.strip()
    if name in _TIMES:
        return _time_cell(file, line, name, text.strip())
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{file}:{line}: the cell {name} was {text!r}; prices are numbers") from None


def _time_cell(file: str, line: int, name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 19:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{file}:{line}: the cell {name} was {text!r}; times are 2025-10-10T21:00:00Z or milliseconds"
        ) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _csv_column(name: str, cells: list[Any]) -> Column:
    if name in _WORDS:
        return np.array(cells, dtype=str)
    if name in _TIMES:
        return _scaled_times(np.array(cells, dtype=np.int64))
    return np.array(cells, dtype=np.float64)


def _scaled_times(times: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bring epoch seconds, milliseconds or microseconds to nanoseconds by their size (years 1990 to 2200)."""
    largest = int(times.max(initial=0))
    for limit, factor in ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3)):
        if largest < limit:
            return times * factor
    return times


def _first_line(problem: BaseException) -> str:
    return (str(problem).splitlines() or [type(problem).__name__])[0]
