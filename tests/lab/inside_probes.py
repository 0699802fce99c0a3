"""How a probe ends, in real namespaces: each outcome brought about on purpose, TCP and UDP, IPv4 and IPv6."""

import socket
import subprocess
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from flow_policies import policy_of

from ringfence.adapters.namespaces import Lab
from ringfence.adapters.probe_sockets import Cell, Listeners, Outcome, probe
from ringfence.planes.network.compile import Flow, compile_flows
from ringfence.planes.network.sites import plan_sites
from ringfence.services.enforced import HUB

SITES = plan_sites(compile_flows(policy_of({"asker": "z0", "asked": "z1"}, ("x",), [])))
GREETS, NOBODY, DROPPED, REJECTED, PROHIBITED, HANGS_UP, SAYS_NOTHING, STRANGER = range(7001, 7009)
WAIT_S = 0.7
PATIENT_S = 2.5

HUB_RULES = f"""
table inet walls {{
  chain c {{
    type filter hook forward priority 0; policy accept;
    th dport {DROPPED} drop
    tcp dport {REJECTED} reject with tcp reset
    udp dport {REJECTED} reject with icmpx port-unreachable
    th dport {PROHIBITED} reject with icmpx admin-prohibited
  }}
}}
"""


@pytest.fixture(scope="module")
def lab():
    built = Lab(SITES)
    built.up()
    walls = built.command(HUB, ["nft", "-f", "-"])
    subprocess.run(walls, input=HUB_RULES, text=True, check=True)
    for place in (HUB, "asked"):
        built.within(place, _answer_every_time)
    with ExitStack() as stack:
        stack.enter_context(Listeners(built.within, ["asked"], [GREETS, DROPPED, REJECTED, PROHIBITED]))
        for port, serve in ((HANGS_UP, _reset), (SAYS_NOTHING, _stay_silent)):
            listener = built.within("asked", partial(socket.create_server, ("::", port), **DUAL))
            stack.callback(listener.close)
            threading.Thread(target=serve, args=(listener,), daemon=True).start()
        silent = built.within("asked", partial(_bound_datagrams, SAYS_NOTHING))
        stack.callback(silent.close)
        stack.enter_context(Listeners(partial(_elsewhere, built), ["somebody else"], [STRANGER]))
        patient = [Flow("asker", "asked", "tcp", GREETS)]
        assert all(probe(built.within, SITES, patient, 5).is_open.values()), "neighbours find each other"
        yield built
    built.down()


def _answer_every_time():
    """The kernel says that something is closed about once a second; here it is asked more often."""
    for name in ("ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"):
        Path("/proc/sys/net", name).write_text("0", "ascii")


DUAL = {"family": socket.AF_INET6, "dualstack_ipv6": True}


def _elsewhere(built, _end, work):
    """Let a listener speak under a name that is not that of the place it is in."""
    return built.within("asked", work)


def _bound_datagrams(port):
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("::", port))
    return made


def _reset(listener):
    """Accept, and answer the connection that stands with a reset."""
    while True:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        accepted.close()


def _stay_silent(listener):
    """Accept, and say nothing to anybody."""
    accepted = []
    while True:
        try:
            accepted.append(listener.accept()[0])
        except OSError:
            return


def outcome(lab, protocol, port, family, *, greets=True):
    flow = Flow("asker", "asked", protocol, port)
    # Word that comes back while the kernel is still sending is heard only when it tries again, after 1 s.
    seconds = PATIENT_S if port == PROHIBITED else WAIT_S
    return probe(lab.within, SITES, [flow], seconds, greets=greets).outcomes[Cell(flow, family)]


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("protocol", "port", "wanted"),
    [
        ("tcp", GREETS, Outcome.OPEN),
        ("udp", GREETS, Outcome.OPEN),
        ("tcp", NOBODY, Outcome.REFUSED),
        ("udp", NOBODY, Outcome.REFUSED),
        ("tcp", DROPPED, Outcome.TIMEOUT),
        ("udp", DROPPED, Outcome.TIMEOUT),
        ("tcp", REJECTED, Outcome.REFUSED),
        ("udp", REJECTED, Outcome.REFUSED),
        ("tcp", PROHIBITED, Outcome.UNREACHABLE),
        ("udp", PROHIBITED, Outcome.UNREACHABLE),
        ("tcp", HANGS_UP, Outcome.RESET),  # UDP knows no reset
        ("tcp", SAYS_NOTHING, Outcome.TIMEOUT),
        ("udp", SAYS_NOTHING, Outcome.TIMEOUT),
        ("tcp", STRANGER, Outcome.OTHER_END),
        ("udp", STRANGER, Outcome.OTHER_END),
    ],
)
def test_each_way_a_probe_ends_is_told_apart(lab, protocol, port, family, wanted):
    assert outcome(lab, protocol, port, family) is wanted


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("protocol", "port", "wanted"),
    [
        ("tcp", SAYS_NOTHING, Outcome.OPEN),  # that a connection stands is all that can be asked for
        ("tcp", NOBODY, Outcome.REFUSED),
        ("tcp", DROPPED, Outcome.TIMEOUT),
        ("tcp", PROHIBITED, Outcome.UNREACHABLE),
        ("udp", SAYS_NOTHING, Outcome.TIMEOUT),
        ("udp", GREETS, Outcome.TIMEOUT),  # of a service that need not answer, silence and answer say nothing
    ],
)
def test_of_services_that_do_not_greet_only_a_made_connection_counts(lab, protocol, port, family, wanted):
    assert outcome(lab, protocol, port, family, greets=False) is wanted


def test_a_place_without_a_way_out_is_unreachable_at_once(lab):
    for family in ("-4", "-6"):
        subprocess.run(lab.command("x", ["ip", family, "route", "flush", "default"]), check=True)
    for protocol in ("tcp", "udp"):
        flow = Flow("x", "asked", protocol, GREETS)
        found = probe(lab.within, SITES, [flow], WAIT_S).outcomes
        assert set(found.values()) == {Outcome.UNREACHABLE}
