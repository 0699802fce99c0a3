"""The lab as a person starts it, and the tests that must run inside it."""

import json
import os
import subprocess
import sys

import pytest

from ringfence.adapters.namespaces import entered_command


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


def inside(root, file, seconds_max, **environment):
    command = entered_command(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/lab/{file}"]
    )
    done = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds_max,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_the_enforcement_loop_holds_inside_the_lab(lab_is_possible, root):
    inside(root, "inside_enforcer.py", 600)


def test_evaluator_packets_and_reader_agree_on_drawn_policies(lab_is_possible, root):
    inside(root, "inside_random.py", 600, RINGFENCE_DRAWN="0:100")


def test_every_way_a_probe_ends_is_told_apart(lab_is_possible, root):
    inside(root, "inside_probes.py", 120)


NOT_ROOT = ["unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps"]
ROOT_WITHOUT_POWERS = ["unshare", "--user", "--map-root-user"]
SPENT = "echo 0 > /proc/sys/user/max_user_namespaces"
# A container's root may still name the owner of a file's capabilities; a user namespace needs no more.
POWERLESS = "setpriv --ambient-caps=-all --inh-caps=-all --bounding-set=-all,+setfcap --"


@pytest.mark.parametrize(
    "who", [NOT_ROOT, ROOT_WITHOUT_POWERS], ids=["nobody special", "root of a container"]
)
@pytest.mark.parametrize("command", ["lab", "up", "drill gateway"])
def test_without_root_and_without_user_namespaces_a_plain_sentence_says_so(
    lab_is_possible, root, tmp_path, who, command
):
    words = f"{sys.executable} -m ringfence {command} --json"
    done = subprocess.run(
        [*who, "sh", "-c", f"{SPENT} && exec {POWERLESS} {words}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=root,
        env={**os.environ, "RINGFENCE_RUN": str(tmp_path)},
    )
    said = json.loads(done.stdout)["error"]
    assert done.returncode == 3, said
    assert said.startswith("this machine lets us make no network namespaces: "), said
    assert "run as root with CAP_SYS_ADMIN, or allow user namespaces" in said
    assert done.stderr.count("\n") <= 1, done.stderr


@pytest.mark.parametrize(
    "who", [NOT_ROOT, ROOT_WITHOUT_POWERS], ids=["nobody special", "root of a container"]
)
def test_user_namespaces_alone_are_enough_for_the_lab(lab_is_possible, root, tmp_path, who):
    """Without a capability on the machine, as in CI: the whole network is built, walled and asked."""
    words = f"{sys.executable} -m ringfence lab policies/venue.yaml --json"
    done = subprocess.run(
        [*who, "sh", "-c", f"exec {POWERLESS} {words}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=root,
        env={**os.environ, "RINGFENCE_RUN": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["holds"]


@pytest.mark.nightly
def test_evaluator_packets_and_reader_agree_on_a_thousand_drawn_policies(lab_is_possible, root):
    inside(root, "inside_random.py", 3_600, RINGFENCE_DRAWN="100:1000")


@pytest.fixture
def standing_lab(lab_is_possible, root, tmp_path, monkeypatch):
    """A lab that another process keeps up, found through a folder of this test's own."""
    monkeypatch.setenv("RINGFENCE_RUN", str(tmp_path / "run"))
    command = [sys.executable, "-m", "ringfence", "lab", str(root / "policies" / "venue.yaml"), "--hold"]
    with subprocess.Popen([*command, "--every", "1"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("round 1"):
                break
        yield process
        process.terminate()
        rest = process.stdout.read()
    assert process.returncode in (0, 1), rest


def ringfence(command, *words, code=0, typed=""):
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", *command.split(), *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        input=typed,
    )
    assert done.returncode == code, f"{command} {words}: {done.stdout[-2000:]}{done.stderr}"
    return json.loads(done.stdout)


def test_the_rules_of_a_lab_that_stands_are_changed_from_outside(standing_lab):
    status = ringfence("net status")
    assert status["holds"]
    assert {place["place"] for place in status["places"]} >= {"hub", "wallet", "gateway"}
    assert ringfence("net apply", "--dry-run") == {"generation": None, "flows": 15, "undeclared": []}

    ringfence("net quarantine", "wallet")
    assert ringfence("net canary", "--rounds", "1")[0]["wrong"] == []
    ringfence("net release", "wallet")

    ringfence("net revoke", "matching", "risk", "7001")
    said = ringfence("net apply", "--confirm", "1", typed="no\n", code=1)
    assert "nobody confirmed" in said["error"]
    revoked = ringfence("net status", code=1)  # what was revoked before stays revoked
    assert {place["place"] for place in revoked["places"] if place["missing"]} == {"hub", "matching", "risk"}
    assert ringfence("net apply", "--confirm", "60", typed="yes\n")["generation"] == 2
    assert ringfence("net learn") == []


def test_without_a_lab_or_a_place_a_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("RINGFENCE_RUN", str(tmp_path))
    assert "ringfence lab --hold" in ringfence("net status", code=3)["error"]
    assert "there are hub, gateway" in ringfence("net status", "--at", "nowhere", code=2)["error"]
    monkeypatch.setenv("SSH_CONNECTION", "203.0.113.9 5000 10.0.0.1 22")
    said = ringfence("net apply", "--at", "hub", "--yes", code=2 if os.geteuid() == 0 else 3)
    assert "203.0.113.9" in said["error"] or "root" in said["error"]
