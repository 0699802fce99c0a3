"""The market of a replay: prices of many instruments over the same bars, and what was left out or assumed.

Which coin a venue's symbol means is decided here (`BTCUSDT` is BTC); which instrument of the policy follows
that coin is looked up in the policy. Symbols without an instrument are listed and skipped, never guessed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant, parse_instant, show_duration, show_instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.policy.model import Instrument, Policy
from ringfence.replay.candles import BAR_NS_MAX, Candles, Sheet, candles_of, check_candles, has_candles

PricesE10 = npt.NDArray[np.int64]

BARS_MAX = 20_000
_SUFFIX = re.compile(r"[-_/]?(USDT|USDC|USD)(?:[-_:].*)?$")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time [start, end) with a name."""

    name: str
    start: Instant
    end: Instant
    words: str = ""


def _span(name: str, start: str, end: str, words: str) -> tuple[str, Span]:
    return name, Span(name, parse_instant(start + ":00Z"), parse_instant(end + ":00Z"), words)


SPANS: Mapping[str, Span] = dict(
    (
        _span("2025-10-10", "2025-10-10T00:00", "2025-10-11T12:00", "the cascade of 10 October 2025"),
        _span("2025-04", "2025-04-02T00:00", "2025-04-08T00:00", "the tariff sell-off of April 2025"),
        _span("2024-08_yen", "2024-08-04T12:00", "2024-08-06T00:00", "the yen carry unwind of August 2024"),
        _span("2022-11_ftx", "2022-11-08T00:00", "2022-11-10T00:00", "the fall of FTX in November 2022"),
        _span("2022-06_celsius", "2022-06-12T12:00", "2022-06-15T12:00", "the fall of Celsius in June 2022"),
        _span("2022-05_luna", "2022-05-11T00:00", "2022-05-13T00:00", "the fall of Luna in May 2022"),
        _span("2021-05-19", "2021-05-19T00:00", "2021-05-20T00:00", "the crash of 19 May 2021"),
        _span("2020-03_covid", "2020-03-12T00:00", "2020-03-14T00:00", "the crash of 12 March 2020"),
    )
)
"""The crashes known by name, newest first: the days on which each of them happened."""


@dataclass(frozen=True, slots=True)
class Market:
    """Prices of `instruments` over the same bars.

    prices_e10: [bars, instruments, 4] as open, high, low, close at PRICE_SCALE, whole ticks; ticks_e10:
    [instruments] the smallest price step; opened: [bars] in ns; skipped: symbols left out, each with why;
    notes: what stands for what, for every reader to see.
    """

    title: str
    source: str
    span: Span
    bar_ns: int
    opened: npt.NDArray[np.int64]
    instruments: tuple[str, ...]
    symbols: tuple[str, ...]
    prices_e10: PricesE10
    ticks_e10: npt.NDArray[np.int64]
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def start_e10(self) -> npt.NDArray[np.int64]:
        """The first open of each instrument."""
        return self.prices_e10[0, :, 0]

    def deepest_fall(self) -> npt.NDArray[np.float64]:
        """Return the lowest price of each instrument against its first, as a fraction (negative: it fell)."""
        fall: npt.NDArray[np.float64] = self.prices_e10[:, :, 2].min(axis=0) / self.start_e10 - 1.0
        return fall


def parse_span(text: str) -> Span:
    """Read `2025-10-10` and its like, or `from/to` as two instants; BadInput otherwise."""
    if text in SPANS:
        return SPANS[text]
    start, slash, end = text.partition("/")
    try:
        if not slash:
            raise ValueError(f"{text!r} is no known window")
        span = Span(text, parse_instant(start), parse_instant(end))
    except ValueError as problem:
        known = ", ".join(SPANS)
        raise BadInput(f"--window: {problem}; write one of {known}, or from/to as two times in UTC") from None
    if span.start >= span.end:
        raise BadInput(f"--window: {start} was not before {end}; write the earlier time first")
    return span


def coin_of(symbol: str) -> str:
    """Return the coin a venue's symbol is about: `BTCUSDT`, `BTC-USD`, `BTC/USDT:USDT` all give `BTC`."""
    return _SUFFIX.sub("", symbol.upper())


def instrument_for(policy: Policy, symbol: str) -> str | None:
    """Name the linear perpetual of the policy that follows the coin of `symbol`; None where there is none."""
    coin = coin_of(symbol)
    for name, instrument in policy.instruments.items():
        linear = instrument.kind == "perpetual" and instrument.payoff == "linear"
        if linear and instrument.underlying.upper() == coin:
            return name
    return None


def choose_market(sheets: Sequence[Sheet], policy: Policy, window: str | None) -> Market:
    """Build the market of `window` from the file that shows most of it; BadInput where no file does.

    Without a window: the newest known crash that a file covers, else all of the first file. Among files, the
    one with most usable symbols is taken, then the one with the shortest bars.
    """
    files = [candles_of(sheet) for sheet in sheets if has_candles(sheet)]
    if not files:
        return build_market(
            candles_of(sheets[0]) if len(sheets) == 1 else (), policy, parse_span("2025-10-10")
        )
    fine = [series for series in files if series[0].bar_ns <= BAR_NS_MAX] or files
    span = _span_of(fine, window)
    return build_market(max(fine, key=lambda series: _shown(series, policy, span)), policy, span)


def _span_of(files: Sequence[Sequence[Candles]], window: str | None) -> Span:
    every = [candles for series in files for candles in series]
    if window is None:
        known = (span for span in SPANS.values() if any(_covers(candles, span) for candles in every))
        return next(known, None) or _whole(every[0])
    named = next((candles for candles in every if candles.window == window), None)
    if named is not None and window not in SPANS:
        return _whole(named)
    return parse_span(window)


def _whole(candles: Candles) -> Span:
    start, last = Instant(int(candles.opened[0])), int(candles.opened[-1])
    return Span(candles.window or "the whole file", start, Instant(last + candles.bar_ns))


def _shown(series: Sequence[Candles], policy: Policy, span: Span) -> tuple[int, int]:
    usable = [c for c in series if _covers(c, span) and instrument_for(policy, c.symbol) is not None]
    return len(usable), -series[0].bar_ns


def build_market(series: Sequence[Candles], policy: Policy, span: Span) -> Market:
    """Put the bars of `span` side by side for every symbol the policy has an instrument for.

    Raises BadInput where a stretch has a gap or an impossible price, where bars are too long or too many, and
    where nothing is left.
    """
    kept: dict[str, Candles] = {}
    skipped: list[str] = []
    for candles in series:
        if candles.symbol in {other.symbol for other in kept.values()}:
            continue
        if not _covers(candles, span):
            skipped.append(f"{candles.symbol} (no bars over the whole window)")
            continue
        name = instrument_for(policy, candles.symbol)
        if name is None:
            skipped.append(f"{candles.symbol} (no instrument in the policy)")
        else:
            kept[name] = candles.between(span.start, span.end)
    if not kept:
        raise BadInput(_nothing_left(series, policy, span))
    return _aligned(kept, policy, span, _once(skipped, kept))


def _covers(candles: Candles, span: Span) -> bool:
    bar = candles.bar_ns
    if bar == 0:
        return False
    return bool(candles.opened[0] <= span.start and candles.opened[-1] + bar >= span.end)


def _aligned(kept: Mapping[str, Candles], policy: Policy, span: Span, skipped: Sequence[str]) -> Market:
    first = next(iter(kept.values()))
    for candles in kept.values():
        check_candles(candles)
        if not np.array_equal(candles.opened, first.opened):
            raise BadInput(
                f"{candles.file}: the bars of {candles.symbol} open at other times than those of "
                f"{first.symbol}; all symbols need the same bars"
            )
    if first.bar_ns > BAR_NS_MAX:
        raise BadInput(
            f"{first.file}: a bar was {show_duration(first.bar_ns)}; a replay needs bars of at most "
            f"{show_duration(BAR_NS_MAX)}"
        )
    if len(first.opened) > BARS_MAX:
        raise BadInput(f"{first.file}: the window held {len(first.opened)} bars; at most {BARS_MAX} fit")
    prices = np.stack([_ticks(candles, policy.instruments[name]) for name, candles in kept.items()], axis=1)
    return Market(
        title=_title(first),
        source=first.file,
        span=span,
        bar_ns=first.bar_ns,
        opened=first.opened,
        instruments=tuple(kept),
        symbols=tuple(candles.symbol for candles in kept.values()),
        prices_e10=prices,
        ticks_e10=np.array([policy.instruments[name].tick_e10 for name in kept], dtype=np.int64),
        skipped=tuple(skipped),
        notes=_notes(first, len(kept)),
    )


def _ticks(candles: Candles, instrument: Instrument) -> PricesE10:
    """Round the four prices of each bar to whole ticks, at least one: [bars, 4]."""
    ticks = np.maximum(1, np.rint(candles.bars * (PRICE_SCALE / instrument.tick_e10)).astype(np.int64))
    whole: PricesE10 = ticks * instrument.tick_e10
    return whole


def _title(candles: Candles) -> str:
    kind = "spot" if candles.spot else "perpetuals"
    return f"{kind}, candles of {show_duration(candles.bar_ns)}, file {candles.file}"


def _notes(candles: Candles, coins: int) -> tuple[str, ...]:
    notes = []
    if candles.spot:
        notes.append("Prices are spot trades; they stand for the index and the mark of the perpetual.")
    else:
        notes.append("Prices are last trades of the perpetual; they stand for the index and the mark.")
    if coins == 1:
        notes.append("The market has one coin, so every bet of the population is on it.")
    return tuple(notes)


def _once(skipped: Iterable[str], kept: Mapping[str, Candles]) -> list[str]:
    symbols = {candles.symbol for candles in kept.values()}
    return [words for words in dict.fromkeys(skipped) if words.partition(" ")[0] not in symbols]


def _nothing_left(series: Sequence[Candles], policy: Policy, span: Span) -> str:
    if not series:
        return (
            "--data: no candles were found; give a Parquet or CSV file with open_time, open, high, low, close"
        )
    if all(instrument_for(policy, candles.symbol) is None for candles in series):
        return f"{policy.name}: no linear perpetual follows a coin of {series[0].file}; add instruments"
    first = min(int(candles.opened[0]) for candles in series)
    last = max(int(candles.opened[-1]) for candles in series)
    begin, end = (show_instant(Instant(moment)) for moment in (first, last))
    return (
        f"{series[0].file}: no symbol of the policy has bars from {show_instant(span.start)} "
        f"to {show_instant(span.end)}; its bars run from {begin} to {end}"
    )
