"""Candles as a file gives them, checked before anything is computed from them.

A `Sheet` is a table that an adapter read: column name to array. `candles_of` finds the candles in it, one
series per symbol, and refuses what would make a replay lie: bars out of order or twice, missing bars, prices
that are zero, negative or no number, and a high below a low. Every refusal is one sentence that names the
file, the symbol, the time, what was found and what would be right.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import HOUR_NS, Instant, show_duration, show_instant

Times = npt.NDArray[np.int64]
Prices = npt.NDArray[np.float64]

BAR_NS_MAX = HOUR_NS
"""A longer bar hides too much of a crash to margin on."""

_PRICE_COLUMNS = ("open", "high", "low", "close")
_TIME_COLUMNS = ("open_time", "time", "timestamp")
_LEADING_SYMBOL = re.compile(r"^([a-z0-9]+?(?:usdt|usdc|usd))(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as read: column name to array; times as int64 nanoseconds, numbers as float64, words as str."""

    file: str
    columns: Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Candles:
    """The bars of one symbol: when each opened (ns, UTC) and its prices in quote currency per base unit.

    bars: [n, 4] as open, high, low, close; window: the name the file itself gives to this stretch, or "".
    """

    file: str
    symbol: str
    opened: Times
    bars: Prices
    window: str = ""
    spot: bool = False

    @property
    def bar_ns(self) -> int:
        """The shortest time between two bars; 0 where there is only one."""
        return int(np.diff(self.opened).min()) if len(self.opened) > 1 else 0

    def between(self, start: Instant, end: Instant) -> "Candles":
        """Return the bars that open in [start, end)."""
        first, last = (int(row) for row in np.searchsorted(self.opened, [start, end]))
        return replace(self, opened=self.opened[first:last], bars=self.bars[first:last])


def has_candles(sheet: Sheet) -> bool:
    """Say whether a sheet has the columns of candles."""
    return _time_column(sheet) is not None and all(name in sheet.columns for name in _PRICE_COLUMNS)


def candles_of(sheet: Sheet) -> tuple[Candles, ...]:
    """Split a sheet into one series per symbol (and window), each in order; BadInput where it is none."""
    time = _time_column(sheet)
    if time is None or not has_candles(sheet):
        raise BadInput(
            f"{sheet.file}: the columns were {', '.join(sheet.columns) or 'none of use'}; "
            "candles need open_time, open, high, low and close"
        )
    opened = sheet.columns[time].astype(np.int64)
    if len(opened) < 2:
        raise BadInput(f"{sheet.file}: the rows were {len(opened)}; candles need at least two bars")
    bars = np.stack([_numbers(sheet, name) for name in _PRICE_COLUMNS], axis=1)
    spot = "spot" in sheet.file.lower()
    found = tuple(
        Candles(sheet.file, symbol, opened[rows], bars[rows], window, spot)
        for symbol, window, rows in _series(sheet)
    )
    for candles in found:
        _check_order(candles)
    return found


def check_candles(candles: Candles) -> None:
    """Refuse a stretch that has a missing bar or an impossible price; BadInput says where."""
    _check_gaps(candles)
    bad = np.argwhere(~np.isfinite(candles.bars) | (candles.bars <= 0))
    if len(bad):
        row, column = bad[0]
        raise BadInput(
            f"{_where(candles, row)} the {_PRICE_COLUMNS[column]} was {candles.bars[row, column]:g}; "
            "a price is a number above zero"
        )
    _check_extremes(candles)


def _check_extremes(candles: Candles) -> None:
    body = candles.bars[:, (0, 3)]
    high, low = candles.bars[:, 1], candles.bars[:, 2]
    bad = np.flatnonzero((low > body.min(axis=1)) | (high < body.max(axis=1)))
    if len(bad):
        opened, top, bottom, closed = candles.bars[bad[0]]
        raise BadInput(
            f"{_where(candles, bad[0])} the bar was open {opened:g}, high {top:g}, low {bottom:g}, "
            f"close {closed:g}; open and close lie between low and high"
        )


def _check_order(candles: Candles) -> None:
    steps = np.diff(candles.opened)
    bad = np.flatnonzero(steps <= 0)
    if len(bad):
        found = "came twice" if steps[bad[0]] == 0 else "came after a later one"
        raise BadInput(f"{_where(candles, bad[0] + 1)} the bar {found}; bars stand in order, each once")


def _check_gaps(candles: Candles) -> None:
    bar = candles.bar_ns
    missing = np.flatnonzero(np.diff(candles.opened) != bar)
    if len(missing):
        after = Instant(int(candles.opened[missing[0] + 1]))
        raise BadInput(
            f"{_where(candles, missing[0])} the next bar was {show_instant(after)}; every bar of "
            f"{show_duration(bar)} must be there"
        )


def _where(candles: Candles, row: int) -> str:
    return f"{candles.file}: {candles.symbol} at {show_instant(Instant(int(candles.opened[row])))}:"


def _time_column(sheet: Sheet) -> str | None:
    return next((name for name in _TIME_COLUMNS if name in sheet.columns), None)


def _numbers(sheet: Sheet, name: str) -> Prices:
    column = sheet.columns[name]
    if not np.issubdtype(column.dtype, np.number):
        raise BadInput(f"{sheet.file}: the column {name} held words; prices are numbers")
    return column.astype(np.float64)


def _series(sheet: Sheet) -> list[tuple[str, str, npt.NDArray[np.intp]]]:
    """Find (symbol, window, rows) of each series, in order of first appearance."""
    count = len(next(iter(sheet.columns.values())))
    symbols = sheet.columns.get("symbol", np.full(count, _symbol_in_name(sheet)))
    windows = sheet.columns.get("window", np.full(count, ""))
    names = np.char.add(np.char.add(symbols.astype(str), "\n"), windows.astype(str))
    unique, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    by_series = np.argsort(inverse, kind="stable")
    bounds = np.searchsorted(inverse[by_series], np.arange(len(unique) + 1))
    found = []
    for number in np.argsort(first):
        symbol, _, window = str(unique[number]).partition("\n")
        found.append((symbol, window, by_series[bounds[number] : bounds[number + 1]]))
    return found


def _symbol_in_name(sheet: Sheet) -> str:
    if "symbol" in sheet.columns:
        return ""
    named = _LEADING_SYMBOL.match(sheet.file)
    if named is None:
        raise BadInput(
            f"{sheet.file}: there was no column symbol; add one, or start the file's name with it (btcusdt_…)"
        )
    return named.group(1).upper()
