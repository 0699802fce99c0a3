"""The platform as a person starts it, and its whole day inside network namespaces."""

import json
import subprocess
import sys

from ringfence.adapters.namespaces import entered_command


def test_a_day_of_the_platform_in_its_zones(lab_is_possible, root):
    command = entered_command(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/lab/inside_platform.py"]
    )
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def ringfence(*words, cwd):
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_up_shows_every_service_and_down_ends_them(tmp_path):
    code, out, err = ringfence("up", "--no-namespaces", "--detach", "--json", cwd=tmp_path)
    try:
        assert code == 0, err
        shown = json.loads(out)
        names = {one["name"] for one in shown["services"]}
        assert {"gateway", "matching", "marks", "risk", "ledger", "watcher", "wallet"} < names
        assert all(one["state"] == "running" for one in shown["services"])
        assert "the network's walls" in shown["not_enforced"][0]
        code, out, err = ringfence("restart", "risk", "--json", cwd=tmp_path)
        pids = {one["name"]: one["pid"] for one in json.loads(out)["services"]}
        before = {one["name"]: one["pid"] for one in shown["services"]}
        assert {name for name in names if pids[name] != before[name]} == {"risk"}
    finally:
        code, out, err = ringfence("down", "--json", cwd=tmp_path)
    assert (code, json.loads(out)["stopped"]) == (0, True)
    code, out, err = ringfence("down", cwd=tmp_path)
    assert code == 3
    assert "no platform runs" in err


def test_a_policy_with_services_of_other_names_runs_too(tmp_path, root):
    """A desk has two gateways of its own names, no market and a venue that nobody plays."""
    policy = str(root / "policies" / "trading-desk.yaml")
    code, out, err = ringfence("up", policy, "--no-namespaces", "--detach", "--json", cwd=tmp_path)
    try:
        assert code == 0, err
        shown = {one["name"]: one for one in json.loads(out)["services"]}
        assert set(shown) == {"orders", "office", "risk", "ledger", "watcher", "chain", "venue_api"}
        assert {one["state"] for one in shown.values()} == {"running"}
        assert "waiting" in shown["office"]["figures"]
    finally:
        code, out, err = ringfence("down", cwd=tmp_path)
    assert code == 0, err
