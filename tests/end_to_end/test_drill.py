"""Break-ins into every service and every laptop: what was got stays within what the analyser said."""

import json
import subprocess
import sys

import pytest

from ringfence.wiring_files import load_policy, shipped_policy


@pytest.fixture(scope="module")
def drills(lab_is_possible, tmp_path_factory):
    picture = tmp_path_factory.mktemp("drill") / "spread.svg"
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", "drill", "--json", "--picture", str(picture)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout, done.stderr[-3000:]
    assert picture.read_text().startswith("<svg")
    return {one["target"]: one for one in json.loads(done.stdout)["drills"]}


POLICY = load_policy(shipped_policy("venue"))
LAPTOPS = {key.host or key.person for key in POLICY.keys.values() if key.host or key.person}
TARGETS = (*POLICY.services, *sorted(LAPTOPS))


def test_every_service_and_the_laptop_of_every_officer_is_drilled(drills):
    assert set(drills) == {*TARGETS}
    assert {"laptop_a", "laptop_b"} == LAPTOPS


@pytest.mark.parametrize("target", TARGETS)
def test_what_an_intruder_gets_is_within_what_was_predicted(drills, target):
    report = drills[target]
    assert report["holds"], report["differences"]
    assert report["tried"] > 300
    for line in report["lines"]:
        most = line["predicted_units"]
        assert line["measured_units"] <= most if most is not None else "nobody believes" in line["name"]
    assert set(report["reached"]) <= set(report["may_reach"])


def line(report, words):
    return next(one for one in report["lines"] if words in one["name"])


def test_a_drill_is_no_empty_gesture(drills):
    """An intruder does get what the policy leaves to it: otherwise nothing was measured."""
    fills, prices = drills["matching"], drills["marks"]
    assert 0 < line(fills, "lost by trading")["measured_units"] <= 20_000 * 10**6
    assert line(prices, "lost by trading")["measured_units"] > 1_000 * 10**6
    ledger = drills["ledger"]
    assert line(ledger, "lost by trading")["measured_units"] > 1_000 * 10**6
    assert line(ledger, "to the house, as the broken ledger")["measured_units"] > 10**12
    assert line(ledger, "from clients to the house")["measured_units"] == 0
    assert "NEEDS_NOT_MET" in " ".join(ledger["remarks"])
    assert drills["gateway"]["calls"] == ["matching.cancel", "matching.outcomes", "matching.submit"]
    assert drills["wallet"]["reached"] == ["chain", "ledger"]


def test_nobody_takes_a_coin_out_of_the_platform(drills):
    for target, report in drills.items():
        assert line(report, "in the book")["measured_units"] == 0, target
        assert line(report, "on the chain")["measured_units"] == 0, target


def test_every_kind_of_attempt_was_made(drills):
    kinds = {one["kind"] for report in drills.values() for one in report["attempts"]}
    assert {
        "call", "undeclared connection", "datagram", "forged frame", "forged identity", "forged order",
        "file", "process", "hostile request", "forged fill", "false price", "false receipt", "false approval",
        "false closing", "false due", "unapproved withdrawal", "unapproved payment", "replayed order",
        "replayed fill", "replayed recording", "forged record",
    } <= kinds  # fmt: skip


@pytest.mark.parametrize("kind", ["file", "process", "undeclared connection", "datagram", "forged identity"])
def test_every_denial_names_the_line_of_the_policy(drills, kind):
    denied = [
        one
        for report in drills.values()
        for one in report["attempts"]
        if one["kind"] == kind and one["tried"] and not one["through"] and report["target"] in POLICY.services
    ]
    assert denied
    assert all("venue.yaml:" in one["words"] for one in denied), denied[0]
