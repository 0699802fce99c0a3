"""Every bracket of 212 perpetuals as their exchange published it: `cum` follows from continuity alone."""

import csv
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

from ringfence.kernel.money import PPM
from ringfence.margin.tiers import TierTable, compile_tiers
from ringfence.policy.model import Tier

UNITS = 10**6


def published(path: Path) -> dict[str, list[dict[str, str]]]:
    symbols = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            symbols[row["symbol"]].append(row)
    return symbols


def table_of(rows: list[dict[str, str]]) -> TierTable:
    return compile_tiers(
        [
            Tier(
                floor_units=int(Decimal(row["notional_floor"]) * UNITS),
                maintenance_ppm=int(Decimal(row["maintenance_margin_rate"]) * PPM),
                leverage_max=int(Decimal(row["max_leverage"])),
            )
            for row in rows
        ]
    )


def test_cum_is_derived_on_every_published_bracket(vectors_dir: Path) -> None:
    symbols = published(vectors_dir / "binance_leverage_tiers_a_to_m.csv")
    checked = 0
    for symbol, rows in symbols.items():
        table = table_of(rows)
        for row, cum_ppm in zip(rows, table.cums_ppm, strict=True):
            assert Decimal(cum_ppm) / PPM / UNITS == Decimal(row["cum"]), (symbol, row)
            checked += 1
    assert (len(symbols), checked) == (212, 1_715)


def test_requirements_are_ordered_on_every_published_bracket(vectors_dir: Path) -> None:
    for symbol, rows in published(vectors_dir / "binance_leverage_tiers_a_to_m.csv").items():
        table = table_of(rows)
        for floor in table.floors:
            for notional in (max(0, floor - 1), floor, floor + 1):
                assert 0 <= table.maintenance(notional) <= table.initial(notional), (symbol, notional)
            assert table.maintenance(floor) - table.maintenance(max(0, floor - 1)) <= 1, (symbol, floor)
