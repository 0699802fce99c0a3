"""Every crash of the market data, replayed: what holds on the worst day holds on the others."""

import json
import subprocess
import sys

import pytest

SPOT = ["2022-11_ftx", "2022-06_celsius", "2022-05_luna", "2021-05-19", "2020-03_covid"]
PERPETUALS = ["2025-04", "2024-08_yen"]
EVERY_TIME = ("2020-03_covid", "2025-04")
WINDOWS = [
    window if window in EVERY_TIME else pytest.param(window, marks=pytest.mark.nightly)
    for window in SPOT + PERPETUALS
]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_crash_stays_inside_the_walls_and_does_not_without_them(window, data_dir, tmp_path):
    words = ["--data", str(data_dir), "--window", window, "--clients", "40", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", "demo", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    loss = {name: layout["foreign_loss"] for name, layout in report["layouts"].items()}
    assert (loss["segregated"]["best"], loss["segregated"]["worst"]) == (0, 0)
    assert loss["cross"]["best"] > 0
    assert loss["commingled"]["best"] > 0
    assert report["conservation"]["ok"]
    assert report["journal"]["verified"]
    # Where a file has only spot prices of one coin, the report says so.
    assert ("spot" in report["market"]["title"]) == (window in SPOT)
