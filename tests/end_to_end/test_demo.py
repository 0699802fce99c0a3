"""`ringfence demo` as a person types it: the headline over the whole band, and a hole in a wall."""

import json
import subprocess
import sys

import pytest

DRAIN = """
gates:
  drain:
    from: "client/{client}/hedge"
    to: "client/{client}/directional"
    assets: [USDC]
    needs: [risk_key, ledger_key]
    on: [ledger]
    accrual: margin_shortfall
    computed_by: [risk, ledger]
"""


PLAIN = """
gates:
  drain:
    from: "client/{client}/hedge"
    to: "client/{client}/directional"
    assets: [USDC]
    needs: [risk_key]
    on: [ledger]
    limit: {each: {USDC: "20000 per 1 d"}}
"""
OWN_HEDGE_COVERS = (
    ("      - cover: insurance/directional\n", '      - cover: "client/{client}/hedge"\n'),
    (
        "    from: [insurance/directional, insurance/hedge]\n    to: clearing",
        """\
    from: [insurance/directional, insurance/hedge, "client/{client}/hedge"]
    to: clearing""",
    ),
)


def demo(folder, *words, clients="120"):
    """Run the demo in a folder of its own; returns the process."""
    command = [sys.executable, "-m", "ringfence", "demo", "--clients", clients, *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)


@pytest.fixture(scope="module")
def crash(tmp_path_factory, data_dir):
    done = demo(tmp_path_factory.mktemp("crash"), "--data", str(data_dir), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def bands(report, layout):
    loss = report["layouts"][layout]["foreign_loss"]
    return [value for band in loss["by_slippage"].values() for value in band]


def test_on_the_tenth_of_october_nothing_crosses_the_walls_in_any_run(crash):
    assert len(crash["market"]["coins"]) >= 48
    assert set(bands(crash, "segregated")) == {0}
    assert set(crash["layouts"]["segregated"]["foreign_loss"]["by_slippage"]) == {"0 %", "1 %", "5 %"}


@pytest.mark.parametrize("layout", ["cross", "commingled"])
def test_without_the_walls_others_pay_in_every_run(crash, layout):
    assert min(bands(crash, layout)) > 0
    assert crash["layouts"][layout]["foreign_loss"]["holds"]


def test_the_run_is_conserved_and_its_journal_reads_back(crash):
    assert crash["conservation"]["ok"]
    assert crash["journal"]["verified"]
    assert crash["journal"]["operations"] > 1_000
    assert crash["journal"]["hedge_hash_before"] == crash["journal"]["hedge_hash_after"]


def test_somebody_failed_in_every_layout(crash):
    for layout in crash["layouts"].values():
        assert layout["bankruptcies"]["worst"] > 0


@pytest.mark.parametrize(
    ("changes", "named", "is_kept"),
    [
        ([("\ngates:\n", DRAIN)], "gate drain", True),
        ([("\ngates:\n", PLAIN)], "gate drain", True),
        (OWN_HEDGE_COVERS, "cover: client/{client}/hedge", True),
    ],
    ids=["a gate for what bets lack", "a plain gate with a limit", "the hedge covers the bets"],
)
def test_a_hole_in_a_wall_is_seen_and_named(tmp_path, root, changes, named, is_kept):
    """is_kept: a book can live the same day, and agrees with the replay to the unit."""
    text = (root / "policies" / "venue.yaml").read_text()
    (tmp_path / "instruments").symlink_to(root / "policies" / "instruments")
    for standing, removed in changes:
        assert standing in text
        text = text.replace(standing, removed, 1)
    (tmp_path / "holed.yaml").write_text(text)
    done = demo(tmp_path, "--policy", "holed.yaml", "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert min(bands(report, "segregated")) > 0
    assert not report["holds"]
    assert named in done.stderr
    assert report["journal"]["verified"] is is_kept, report["journal"]


def test_without_data_the_published_figures_are_replayed_and_labelled(tmp_path):
    done = demo(tmp_path, "--out", "page.html")
    assert done.returncode == 0, done.stderr
    assert "interpolated" in done.stdout.lower()
    page = (tmp_path / "page.html").read_text()
    assert page.startswith("<!doctype html>") or page.lower().startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert "INTERPOLATED" in page


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--clients", "3"], 2, "10"),
        (["--data", "nowhere.parquet"], 3, "nowhere.parquet"),
        (["--window", "1999-01-01"], 2, "name them with --data"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(tmp_path, words, code, says):
    done = demo(tmp_path, *words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
