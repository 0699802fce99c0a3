"""Price files as they come: read whole, or refused in one sentence."""

from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from ringfence.adapters.prices_parquet import load_sheet, price_files
from ringfence.kernel.errors import BadInput, UnreachableError

HEAD = "symbol,open_time,open,high,low,close,volume\n"
START = 1_760_054_400_000_000_000


def _csv(folder: Path, text: str) -> Path:
    path = folder / "made.csv"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "time",
    [
        "2025-10-10T00:00:00Z",
        "2025-10-10 00:00:00+00:00",
        "2025-10-10 00:00:00",
        "1760054400",
        "1760054400000",
        "1760054400000000",
        "1760054400000000000",
    ],
)
def test_times_are_read_in_every_usual_spelling(tmp_path: Path, time: str) -> None:
    sheet = load_sheet(_csv(tmp_path, f"{HEAD}BTCUSDT,{time},1,2,0.5,1.5,9\n"))
    assert sheet.columns["open_time"].tolist() == [START]
    assert sheet.columns["close"].tolist() == [1.5]
    assert "volume" not in sheet.columns


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("BTCUSDT,2025-10-10T00:00:00Z,1,2,,1.5,9", "made.csv:2: the cell low was empty"),
        ("BTCUSDT,2025-10-10T00:00:00Z,1,2", "made.csv:2: the cell low was empty"),
        (
            "BTCUSDT,2025-10-10T00:00:00Z,1,two,0.5,1,9",
            "made.csv:2: the cell high was 'two'; prices are numbers",
        ),
        ("BTCUSDT,yesterday,1,2,0.5,1,9", "made.csv:2: the cell open_time was 'yesterday'; times are"),
    ],
)
def test_a_bad_cell_is_named_by_its_line(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_sheet(_csv(tmp_path, HEAD + row + "\n"))
    assert words in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.csv"
    path.write_bytes(b"\xff\xfe\x00symbol")
    with pytest.raises(BadInput, match="not a readable CSV file"):
        load_sheet(path)


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    path.write_bytes(b"PAR1 this is not a table")
    with pytest.raises(BadInput, match="not a readable Parquet file"):
        load_sheet(path)


def test_parquet_and_csv_give_the_same_sheet(tmp_path: Path) -> None:
    text = _csv(
        tmp_path, f"{HEAD}BTCUSDT,{START // 10**6},1,2,0.5,1.5,9\nETHUSDT,{START // 10**6},3,4,2,3,9\n"
    )
    columns = {
        "symbol": ["BTCUSDT", "ETHUSDT"],
        "open_time": arrow.array([START // 10**6] * 2, arrow.timestamp("ms", tz="UTC")),
        "open": [1.0, 3.0],
        "high": [2.0, 4.0],
        "low": [0.5, 2.0],
        "close": [1.5, 3.0],
    }
    path = tmp_path / "made.parquet"
    parquet.write_table(arrow.table(columns), path)
    one, two = load_sheet(text), load_sheet(path)
    assert one.columns.keys() == two.columns.keys()
    assert all(np.array_equal(one.columns[name], two.columns[name]) for name in one.columns)


def test_an_empty_cell_of_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    parquet.write_table(arrow.table({"open_time": [1, 2], "close": [1.0, None]}), path)
    with pytest.raises(BadInput, match="the column close held 1 empty cells"):
        load_sheet(path)


def test_a_folder_lists_its_price_files_by_name(tmp_path: Path) -> None:
    for name in ("b.csv", "a.parquet", "notes.md"):
        (tmp_path / name).touch()
    assert [path.name for path in price_files(tmp_path)] == ["a.parquet", "b.csv"]


@pytest.mark.parametrize("missing", ["nowhere.csv", ""])
def test_where_there_is_nothing_the_reader_says_so(tmp_path: Path, missing: str) -> None:
    with pytest.raises(UnreachableError, match=r"there is no such file|the folder held no"):
        price_files(tmp_path / missing)


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "made.xlsx"
    path.touch()
    with pytest.raises(BadInput, match=r"the file ends in \.xlsx; prices come as \.parquet or \.csv"):
        load_sheet(path)
