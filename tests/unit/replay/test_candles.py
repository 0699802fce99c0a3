"""Every fault of a price file is one sentence that says where, what was found and what would be right."""

from dataclasses import replace

import numpy as np
import pytest

from ringfence.kernel.errors import BadInput
from ringfence.replay.candles import Candles, Sheet, candles_of, check_candles, has_candles

from .conftest import BAR, START, candles

GOOD = [(10.0, 12.0, 9.0, 11.0), (11.0, 11.0, 11.0, 11.0), (11.0, 13.0, 8.0, 9.0)]


def _with(row: int, column: int, value: float) -> Candles:
    one = candles("BTCUSDT", GOOD)
    bars = one.bars.copy()
    bars[row, column] = value
    return replace(one, bars=bars)


def test_sound_candles_pass() -> None:
    check_candles(candles("BTCUSDT", GOOD))


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (_with(1, 2, 0.0), "2025-10-10T00:30:00Z: the low was 0; a price is a number above zero"),
        (_with(0, 0, -1.0), "2025-10-10T00:00:00Z: the open was -1;"),
        (_with(2, 3, float("nan")), "2025-10-10T01:00:00Z: the close was nan;"),
        (_with(2, 1, float("inf")), "the high was inf;"),
        (_with(0, 2, 11.5), "low 11.5, close 11; open and close lie between low and high"),
        (_with(0, 1, 10.5), "high 10.5"),
    ],
)
def test_an_impossible_price_is_named(broken: Candles, words: str) -> None:
    with pytest.raises(BadInput, match=r"made\.csv: BTCUSDT at") as refused:
        check_candles(broken)
    assert words in str(refused.value)


def test_a_low_that_touches_the_open_is_possible() -> None:
    check_candles(_with(0, 2, 10.0))


def test_a_gap_is_named() -> None:
    one = candles("BTCUSDT", GOOD)
    with pytest.raises(
        BadInput, match="the next bar was 2025-10-10T02:00:00Z; every bar of 30 min must be there"
    ):
        check_candles(replace(one, opened=one.opened + np.array([0, 0, 2 * BAR])))


def _sheet(times: list[int], **more: np.ndarray) -> Sheet:
    count = len(times)
    prices = {name: np.full(count, 5.0) for name in ("open", "high", "low", "close")}
    return Sheet("btcusdt_made.csv", {"open_time": np.array(times), **prices, **more})


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (
            [START, START, START + BAR],
            "at 2025-10-10T00:00:00Z: the bar came twice; bars stand in order, each once",
        ),
        ([START + BAR, START], "at 2025-10-10T00:00:00Z: the bar came after a later one"),
        ([START], "the rows were 1; candles need at least two bars"),
    ],
)
def test_bars_stand_in_order_each_once(times: list[int], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        candles_of(_sheet(times))
    assert words in str(refused.value)


def test_a_sheet_is_split_by_symbol_in_order_of_appearance() -> None:
    sheet = _sheet([START, START, START + BAR, START + BAR], symbol=np.array(["Z", "A", "Z", "A"]))
    assert [(one.symbol, len(one.opened)) for one in candles_of(sheet)] == [("Z", 2), ("A", 2)]


def test_a_sheet_without_symbols_is_named_by_its_file() -> None:
    assert candles_of(_sheet([START, START + BAR]))[0].symbol == "BTCUSDT"


def test_a_file_that_names_no_symbol_is_refused() -> None:
    sheet = replace(_sheet([START, START + BAR]), file="prices.csv")
    with pytest.raises(BadInput, match="there was no column symbol"):
        candles_of(sheet)


def test_a_sheet_of_something_else_is_no_candles() -> None:
    sheet = Sheet("funding.csv", {"time": np.array([1, 2]), "funding_rate": np.array([0.0, 0.1])})
    assert not has_candles(sheet)
    with pytest.raises(BadInput, match="the columns were time, funding_rate; candles need open_time"):
        candles_of(sheet)


def test_words_in_a_price_column_are_refused() -> None:
    sheet = _sheet([START, START + BAR], close=np.array(["a", "b"]))
    with pytest.raises(BadInput, match="the column close held words; prices are numbers"):
        candles_of(sheet)
