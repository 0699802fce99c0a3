"""Re-margin 1,000,000 buckets of 4 positions after a price tick: at most 40 ms is wanted.

    python bench/margin_remargin.py [buckets]

600 instruments of 10 brackets, three coins. Beside it in the same run: the same loop in C
(`peers/remargin.c`, gcc -O3 with this machine's vector units, as many threads), if gcc is there; and the
readable rule in Python.
Ours looks for each position's bracket where it was before, as it does from tick to tick; C counts floors.
Kernels are warmed up, runs are interleaved, medians are printed. The whole step from prices to decisions,
exact second looks included, is timed apart.
"""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from numba import get_num_threads
from ratio import show_ratio

from ringfence.kernel.money import PPM, PRICE_SCALE
from ringfence.margin import batch
from ringfence.margin.batch_kernel import remargin_buckets
from ringfence.margin.bucket import Bucket, Position
from ringfence.margin.collateral import Coin
from ringfence.margin.health import health
from ringfence.margin.instruments import Contract
from ringfence.margin.marks import Prices
from ringfence.margin.terms import Terms
from ringfence.margin.tiers import compile_tiers
from ringfence.policy.model import CallLevel, Fees, HaircutTier, Thresholds, Tier

INSTRUMENTS, DEPTH, POSITIONS, RUNS = 600, 10, 4, 15
PEER = Path(__file__).resolve().parent / "peers" / "remargin.c"
THRESHOLDS = Thresholds(
    free_ppm=1_500_000,
    warn_ppm=1_200_000,
    call=CallLevel(at_ppm=1_100_000, cure_ns=1),
    reduce_only_ppm=1_050_000,
    liquidate_ppm=PPM,
    stop_at_ppm=1_100_000,
)


def main(count: int) -> None:
    terms, prices = make_terms()
    compiled = batch.compile_batch(terms)
    book = make_book(count, compiled)
    arrays = (*columns(book), *market(prices, compiled))
    outputs, second = batch.blank_sheet(book), batch.blank_sheet(book)[:3]
    ways: dict[str, Callable[[], object]] = {"ours": ours(book, prices, compiled, outputs)}
    with tempfile.TemporaryDirectory() as folder:
        in_c = build(Path(folder), arrays, second)
        if in_c is not None:
            ways["C"] = in_c
        taken = interleaved(ways)
    work = f"re-margin {count:,} buckets x {POSITIONS} positions, {DEPTH} tiers, {get_num_threads()} threads"
    print(f"{work}: {taken['ours'] * 1e3:.1f} ms")
    show_ratio(f"{work} in 40 ms", 0.04 / taken["ours"] * count / 1e6, "the target", 1)
    if "C" in taken:
        assert np.array_equal(outputs.states, second[1]) or differ_only_near(outputs, second)
        show_ratio(work, taken["C"] / taken["ours"], "gcc -O3 -march=native C", 0.8)
    show_ratio(work, by_rule(book, compiled, prices) * count / taken["ours"], "the readable rule")
    whole_step(book, prices, compiled)


def ours(
    book: batch.BatchBook, prices: Prices, compiled: batch.BatchTerms, sheet: batch.Sheet
) -> Callable[[], object]:
    """Lay the market out by bracket and value everybody; each position is looked for where it was before."""
    values, _, _, _, coins, haircuts, levels, rounding = market(prices, compiled)

    def value() -> None:
        brackets = batch.priced_brackets(values, coins, compiled)
        remargin_buckets(*columns(book), brackets, coins, haircuts, levels, rounding, *sheet)

    return value


def interleaved(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Time each way in turn, several times over, and return the medians."""
    for way in ways.values():
        way()
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(RUNS):
        for name, way in ways.items():
            started = perf_counter()
            way()
            times[name].append(perf_counter() - started)
    return {name: median(rows) for name, rows in times.items()}


def whole_step(book: batch.BatchBook, prices: Prices, compiled: batch.BatchTerms) -> None:
    """Time prices to decisions, with the exact second look at buckets near a boundary."""
    asked: list[int] = []
    sheet = batch.blank_sheet(book)

    def step() -> None:
        found = batch.remargin(
            book, prices, compiled, lambda number: bucket_of(book, compiled, number), sheet=sheet
        )
        asked.append(found.asked_again)

    taken = interleaved({"step": step})["step"]
    print(f"prices to decisions: {taken * 1e3:.1f} ms, {asked[-1]} buckets asked again in whole numbers")
    show_ratio("price tick to decisions in 60 ms", 0.06 / taken * len(book) / 1e6, "the target", 1)


def by_rule(book: batch.BatchBook, compiled: batch.BatchTerms, prices: Prices) -> float:
    """Return the seconds that the readable rule takes for one bucket."""
    sample = [bucket_of(book, compiled, number) for number in range(2_000)]
    started = perf_counter()
    for one in sample:
        health(one, prices, compiled.terms)
    return (perf_counter() - started) / len(sample)


# --- the work ----------------------------------------------------------------------------------


def make_terms() -> tuple[Terms, Prices]:
    dice = np.random.default_rng(11)
    floors = [0, 50_000, 600_000, 3 * 10**6, 12 * 10**6, 7 * 10**7, 10**8, 23 * 10**7, 48 * 10**7, 6 * 10**8]
    rates = [4_000, 5_000, 6_500, 10_000, 20_000, 25_000, 50_000, 100_000, 125_000, 150_000]
    leverages = [125, 100, 75, 50, 25, 20, 10, 5, 4, 3]
    table = compile_tiers(
        [
            Tier(floor_units=floor * 10**6, maintenance_ppm=rate, leverage_max=leverage)
            for floor, rate, leverage in zip(floors, rates, leverages, strict=True)
        ]
    )
    contracts = {
        f"I{n}": Contract(f"I{n}", True, f"U{n}", "USDC", PRICE_SCALE // 1000 * 10**6, 10**9, table, Fees())
        for n in range(INSTRUMENTS)
    }
    half = (HaircutTier(floor_units=0, ppm=50_000), HaircutTier(floor_units=10**10, ppm=200_000))
    coins = {
        "USDC": Coin("USDC", 6, "USDC", (HaircutTier(floor_units=0, ppm=0),)),
        "BTC": Coin("BTC", 8, "BTC", half),
        "ETH": Coin("ETH", 18, "ETH", half),
    }
    marks = {name: int(dice.integers(10, 600_000)) * 10**9 for name in contracts}
    prices = Prices({"BTC": 60_000 * PRICE_SCALE, "ETH": 3_000 * PRICE_SCALE}, marks)
    return Terms("USDC", 6, coins, {}, contracts, THRESHOLDS), prices


def make_book(count: int, compiled: batch.BatchTerms) -> batch.BatchBook:
    """Draw buckets: sizes over five decades, a little cash and some coins."""
    dice = np.random.default_rng(12)
    rows = count * POSITIONS
    contracts = np.rint(10 ** dice.uniform(0, 5, rows)) * dice.choice([-1.0, 1.0], rows)
    instruments = dice.integers(0, INSTRUMENTS, rows, dtype=np.int32)
    entries = np.rint(dice.uniform(10, 600_000, rows)) * 10**5 / 1000
    coins = np.zeros((count, len(compiled.coins)))
    coins[:, 0] = np.rint(10 ** dice.uniform(8, 14, count))
    coins[:, 1] = np.rint(dice.uniform(0, 10**9, count))
    offsets = np.arange(0, rows + 1, POSITIONS, dtype=np.int32)
    return batch.BatchBook(offsets, instruments, contracts, np.rint(contracts * entries), coins)


def bucket_of(book: batch.BatchBook, compiled: batch.BatchTerms, number: int) -> Bucket:
    rows = range(book.offsets[number], book.offsets[number + 1])
    merged: dict[str, tuple[int, int]] = {}
    for row in rows:
        name = compiled.instruments[book.instruments[row]]
        before = merged.get(name, (0, 0))
        merged[name] = before[0] + int(book.contracts[row]), before[1] + int(book.session_values[row])
    balances = {name: int(units) for name, units in zip(compiled.coins, book.net_coins[number], strict=True)}
    return Bucket("cross", balances, tuple(Position(name, *figures) for name, figures in merged.items()))


def columns(book: batch.BatchBook) -> tuple[np.ndarray, ...]:
    return book.offsets, book.instruments, book.contracts, book.session_values, book.net_coins


def market(prices: Prices, compiled: batch.BatchTerms) -> tuple[np.ndarray, ...]:
    coin_prices, rounding = batch.coin_prices(prices, compiled)
    levels = np.array([1.5, 1.2, 1.1, 1.05, 1.0])
    return (
        batch.contract_values(prices, compiled),
        compiled.quotes,
        compiled.floors,
        compiled.tiers,
        coin_prices,
        compiled.haircuts,
        levels,
        rounding,
    )


# --- the peer ----------------------------------------------------------------------------------


def build(folder: Path, arrays: tuple[np.ndarray, ...], outputs: tuple[np.ndarray, ...]) -> Callable | None:
    """Compile the peer and bind it to the arrays; None where there is no gcc."""
    compiler = shutil.which("gcc")
    if compiler is None:
        print("gcc is not on this machine: the C peer is left out")
        return None
    library = folder / "remargin.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, str(PEER), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).remargin
    function.restype = None
    offsets, instruments, contracts, sessions, coins, values, quotes, floors, tiers, *rest = arrays
    coin_prices, haircuts, levels, rounding = rest
    given = [
        ctypes.c_int64(len(offsets) - 1),
        *map(pointer, (offsets, instruments, contracts, sessions, coins, values, quotes, floors, tiers)),
        ctypes.c_int64(tiers.shape[1]),
        pointer(coin_prices),
        ctypes.c_int64(len(coin_prices)),
        pointer(haircuts),
        ctypes.c_int64(haircuts.shape[1]),
        *map(pointer, (levels, rounding, *outputs)),
    ]
    return lambda: function(*given)


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def differ_only_near(ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...]) -> bool:
    """Say whether states differ only where both mark a boundary (fast maths adds in another order)."""
    rows = ours[1] != theirs[1]
    return bool(np.all(ours[2][rows] & theirs[2][rows] & 4))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
