"""The lab as a person starts it, and the tests that must run inside it."""

import json
import subprocess
import sys

import pytest

from ringfence.adapters.namespaces import entered_command
from ringfence.kernel.errors import UnreachableError


@pytest.fixture(scope="module")
def lab_is_possible(needs_program):
    for program, package in (("ip", "iproute2"), ("nft", "nftables"), ("conntrack", "conntrack")):
        needs_program(program, package)
    import os

    try:
        entered_command(["true"])
    except UnreachableError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))


def test_the_whole_venue_is_walled_and_every_wall_was_asked(lab_is_possible, root):
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", "lab", str(root / "policies" / "venue.yaml"), "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    report = json.loads(done.stdout or "{}")
    wrong = [step for step in report.get("steps", ()) if step["wrong"]]
    assert done.returncode == 0, f"{done.stderr}{wrong}"
    assert report["holds"]
    steps = {step["name"]: step for step in report["steps"]}
    ends, ports, declared = 10, 11, 15
    cells = ends * (ends - 1) * ports * 2 * 2
    # An answer that came late is asked for again, so `holds` is exact and the first count may be short.
    assert steps["control"]["holds"]
    assert steps["control"]["probes"] == steps["both"]["probes"] == cells
    assert cells // 2 < steps["control"]["outcomes"]["open"] <= cells
    assert 0 < steps["both"]["outcomes"]["open"] <= 2 * declared
    assert steps["without_hub"]["holds"]
    assert {f"without_{name}" for name in ("gateway", "wallet", "ledger")} <= steps.keys()
    assert steps["quarantine_wallet"]["probes"] == 2 * declared
    assert steps["quarantine_wallet"]["outcomes"]["open"] <= 2 * (declared - 2)


def test_the_enforcement_loop_holds_inside_the_lab(lab_is_possible, root):
    command = entered_command(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/lab/inside_enforcer.py"]
    )
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
