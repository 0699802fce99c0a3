"""Each wall below the book names the policy's line and what would be permitted."""

import pytest

from ringfence.planes.network.compile import Flow, compile_flows
from ringfence.planes.network.denials import (
    denied_call,
    denied_connection,
    denied_entry,
    denied_file,
)
from ringfence.planes.network.sandbox import compile_sandbox
from ringfence.wiring_files import load_policy, shipped_policy

FILE = shipped_policy("venue")
RULES = compile_flows(load_policy(FILE))


def line(text):
    """Find where a text stands in the policy, as `file:line`."""
    lines = FILE.read_text().splitlines()
    (number,) = [number for number, found in enumerate(lines, 1) if text in found]
    return f"{FILE}:{number}"


GATEWAY_LINE = line("gateway: {zone: public")
PROFILE = compile_sandbox(RULES, "gateway", ["/usr/lib", "/srv/keys"], ["/srv/gateway"])


def test_a_connection_names_the_nearest_flow():
    found = str(denied_connection(RULES, Flow("gateway", "risk", "tcp", 7001)))
    assert "no flow of the policy permits gateway -> risk tcp 7001" in found
    assert line("from: matching, to: risk, port: 7001") in found


def test_a_connection_to_where_no_flow_leads_names_those_that_there_are():
    found = denied_connection(RULES, Flow("gateway", "wallet", "tcp", 7005))
    assert "gateway -> matching tcp 7000" in found.nearest
    assert found.rule == line("wallet: {zone: vaults")


def test_who_may_ask_nobody_is_told_so():
    found = denied_connection(RULES, Flow("risk", "wallet", "tcp", 1))
    assert "may open no connection" in found.nearest
    assert "nobody" in denied_call(RULES, compile_sandbox(RULES, "risk"), "execve").nearest


@pytest.mark.parametrize(
    ("path", "own", "shared"),
    [
        ("/srv/ledger/ledger.book", "/srv/gateway", "/srv/keys"),
        ("/etc/shadow", "/srv/gateway", "/"),
        ("/usr/lib/x", "/srv/gateway", "/usr/lib"),
    ],
)
def test_a_file_names_the_line_of_the_service_and_the_nearest_folders(path, own, shared):
    found = denied_file(RULES, PROFILE, path)
    assert found.rule == GATEWAY_LINE
    assert own in found.nearest
    assert shared in found.nearest


def test_a_system_call_names_the_line_of_the_service():
    found = denied_call(RULES, PROFILE, "execve")
    assert found.rule == GATEWAY_LINE
    assert "gateway -> matching tcp 7000" in found.nearest


def test_a_port_names_whom_it_lets_in_and_by_which_line():
    found = str(denied_entry(RULES, "risk", 7001))
    assert f"spiffe://harbour/matching ({line('from: matching, to: risk, port: 7001')})" in found
    assert "nobody with an identity" in denied_entry(RULES, "gateway", 443).nearest
