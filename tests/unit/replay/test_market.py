"""Which coin a symbol means, which bars are used, and what is left out in so many words."""

from dataclasses import replace

import numpy as np
import pytest

from ringfence.kernel.errors import BadInput
from ringfence.kernel.instant import Instant
from ringfence.policy.model import Policy
from ringfence.replay.candles import Sheet
from ringfence.replay.market import SPANS, Span, build_market, choose_market, coin_of, parse_span
from ringfence.replay.published import FALLS, published_market

from .conftest import BAR, START, candles, crash

ROWS = crash(120_000.0, 104_000.0, 112_000.0)
SPAN = Span("made", Instant(START), Instant(START + 6 * BAR))


@pytest.mark.parametrize(
    ("symbol", "coin"),
    [
        ("BTCUSDT", "BTC"),
        ("BTC-USD", "BTC"),
        ("BTC/USDT:USDT", "BTC"),
        ("btc_usdc", "BTC"),
        ("1000PEPEUSDT", "1000PEPE"),
        ("USDT", ""),
        ("BTC", "BTC"),
    ],
)
def test_a_symbol_means_a_coin(symbol: str, coin: str) -> None:
    assert coin_of(symbol) == coin


def test_prices_are_whole_ticks_at_the_common_scale(venue: Policy) -> None:
    market = build_market([candles("DOGEUSDT", crash(0.2300049, 0.085, 0.165))], venue, SPAN)
    tick = venue.instruments["DOGE-PERP"].tick_e10
    assert market.prices_e10[0, 0, 0] == 2_300_000_000
    assert (market.prices_e10 % tick == 0).all()


def test_symbols_without_instrument_or_bars_are_listed_and_skipped(venue: Policy) -> None:
    late = replace(candles("ETHUSDT", ROWS), opened=candles("ETHUSDT", ROWS).opened + BAR)
    market = build_market([candles("BTCUSDT", ROWS), candles("NOSUCHUSDT", ROWS), late], venue, SPAN)
    assert market.instruments == ("BTC-PERP",)
    assert market.skipped == (
        "NOSUCHUSDT (no instrument in the policy)",
        "ETHUSDT (no bars over the whole window)",
    )
    assert any("one coin" in note for note in market.notes)


def test_spot_prices_are_said_to_stand_for_the_mark(venue: Policy) -> None:
    market = build_market([candles("BTCUSDT", ROWS, file="btcusdt_spot.csv")], venue, SPAN)
    assert any("spot trades; they stand for the index and the mark" in note for note in market.notes)


def test_bars_over_an_hour_are_too_coarse(venue: Policy) -> None:
    one = candles("BTCUSDT", ROWS)
    slow = replace(one, opened=START + 4 * BAR * np.arange(6))
    with pytest.raises(BadInput, match="a bar was 2 h; a replay needs bars of at most 1 h"):
        build_market([slow], venue, Span("made", Instant(START), Instant(START + 24 * BAR)))


def test_symbols_must_share_their_bars(venue: Policy) -> None:
    fine = candles("ETHUSDT", ROWS * 2)
    fine = replace(fine, opened=START + BAR // 2 * np.arange(12))
    with pytest.raises(BadInput, match="open at other times than those of BTCUSDT"):
        build_market([candles("BTCUSDT", ROWS), fine], venue, SPAN)


def test_a_window_without_bars_says_what_there_is(venue: Policy) -> None:
    with pytest.raises(BadInput, match="its bars run from 2025-10-10T00:00:00Z to 2025-10-10T02:30:00Z"):
        build_market([candles("BTCUSDT", ROWS)], venue, SPANS["2020-03_covid"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2019-01-01", "is no known window; write one of 2025-10-10"),
        ("2025-10-10T01:00:00Z/2025-10-10T00:00:00Z", "was not before"),
        ("2025-10-10T01:00:00/2025-10-11T00:00:00Z", "is not a time with its zone"),
    ],
)
def test_a_window_that_cannot_be_meant_is_refused(text: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_span(text)
    assert words in str(refused.value)


def test_a_window_may_be_two_times() -> None:
    span = parse_span("2025-10-10T00:00:00Z/2025-10-10T03:00:00Z")
    assert span.end - span.start == 6 * BAR


def _sheet(file: str, symbols: list[str], bars: int = 6) -> Sheet:
    count = len(symbols) * bars
    times = np.tile(START + BAR * np.arange(bars), len(symbols))
    prices = {name: np.full(count, 7.0) for name in ("open", "high", "low", "close")}
    return Sheet(file, {"symbol": np.repeat(symbols, bars), "open_time": times, **prices})


def test_the_file_with_most_usable_symbols_is_chosen(venue: Policy) -> None:
    few = _sheet("few.csv", ["BTCUSDT"])
    many = _sheet("many.csv", ["BTCUSDT", "ETHUSDT", "NOSUCHUSDT"])
    window = "2025-10-10T00:00:00Z/2025-10-10T03:00:00Z"
    assert choose_market([few, many], venue, window).source == "many.csv"


def test_without_a_known_crash_the_whole_file_is_replayed(venue: Policy) -> None:
    market = choose_market([_sheet("few.csv", ["BTCUSDT"])], venue, None)
    assert (market.span.start, market.span.end) == (START, START + 6 * BAR)


def test_a_folder_without_candles_is_refused(venue: Policy) -> None:
    sheets = [Sheet("a.csv", {}), Sheet("b.csv", {})]
    with pytest.raises(BadInput, match="no candles were found"):
        choose_market(sheets, venue, None)


# --- the published figures ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "fall"),
    [
        ("BTCUSDT", -13.3),
        ("ETHUSDT", -17.1),
        ("SOLUSDT", -28.6),
        ("BNBUSDT", -30.1),
        ("XRPUSDT", -56.4),
        ("LINKUSDT", -62.8),
        ("DOGEUSDT", -63.1),
        ("DOTUSDT", -77.0),
        ("SUIUSDT", -82.7),
        ("FARTCOINUSDT", -84.1),
    ],
)
def test_the_typed_prices_give_the_published_falls(symbol: str, fall: float) -> None:
    row = next(one for one in FALLS if one.symbol == symbol)
    assert round((float(row.low) / float(row.before) - 1) * 100, 1) == fall


def test_the_published_market_says_that_it_is_interpolated(venue: Policy) -> None:
    market = published_market(venue)
    assert "INTERPOLATED" in market.title
    assert "INTERPOLATED" in market.notes[0]
    assert len(market.instruments) == 10


def test_the_published_market_falls_on_a_straight_line_and_then_stands_still(venue: Policy) -> None:
    prices = published_market(venue).prices_e10[:, :, 3] / 1e10
    low = 74  # the bar that closes at 21:15
    steps = np.diff(prices[: low + 1], axis=0)
    ticks = published_market(venue).ticks_e10 / 1e10
    assert (np.abs(steps - steps.mean(axis=0)) <= 1.01 * ticks).all()
    assert (prices[low:] == prices[low]).all()


def test_a_policy_without_these_coins_is_told_to_give_prices(venue: Policy) -> None:
    bare = venue.model_copy(update={"instruments": {"ALGO-PERP": venue.instruments["ALGO-PERP"]}})
    with pytest.raises(BadInput, match="give prices with --data"):
        published_market(bare)
