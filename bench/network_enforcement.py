"""The network's rules in the real kernel: how fast they load, what they cost, how fast an end is cut off.

    python bench/network_enforcement.py [what ...]      all of WORK by default

Runs in network namespaces of its own. Connections are opened and closed one after the other by one thread,
from one namespace through the hub to another, so that rates can be compared inside one run and mean little
outside of it. Linear rules, one for each flow, are the peer: it is how rules are written by hand.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from typing import Any

from ratio import show_ratio

from ringfence.adapters import namespaces
from ringfence.adapters.identity_x509 import Authority
from ringfence.adapters.namespaces import Lab
from ringfence.adapters.nft_command import Nft
from ringfence.adapters.probe_sockets import Listeners, matrix, probe
from ringfence.kernel.instant import HOUR_NS, Instant
from ringfence.planes.network.compile import Flow, Permission, Rules, Workload, compile_flows
from ringfence.planes.network.render_nftables import render_hub
from ringfence.planes.network.sites import plan_sites
from ringfence.services.enforced import HUB
from ringfence.services.lab import wrong_cells
from ringfence.services.segmentation import Enforcer
from ringfence.wiring_files import load_policy, shipped_policy

PORT = 7000
LAP_S = 0.2
LAPS = 31
ROUNDS = 5

Json = dict[str, Any]


def main(asked: list[str]) -> None:
    if not namespaces.is_entered():
        command = namespaces.entered_command([sys.executable, *sys.argv])
        os.execvp(command[0], command)
    for name in asked or list(WORK):
        WORK[name]()


# --- rules -----------------------------------------------------------------------------------------


def platform(flows: int) -> Rules:
    """Return a platform of so many flows, from each service to many others; the first is s0 -> s1."""
    services = int(flows**0.5) + 2
    names = [f"s{index}" for index in range(services)]
    workloads = {name: Workload(name, "z", f"spiffe://t/{name}", None, "") for name in names}
    pairs = [(one, other) for one in names for other in names if one != other][:flows]
    permitted = {Flow(one, other, "tcp", PORT): Permission("policy.yaml:1", "") for one, other in pairs}
    return Rules("bench", ("z",), workloads, (), permitted)


def linear(rules: Rules) -> str:
    """Write the same flows as one rule each, the flow that is measured last."""
    sites = plan_sites(rules)
    lines = [
        f"iifname {one.interface} oifname {other.interface} tcp dport {PORT} accept"
        for one, other in ((sites[flow.source], sites[flow.target]) for flow in reversed(rules.flows))
    ]
    head = ["table inet linear", "delete table inet linear", "table inet linear {", "chain lines {"]
    return "\n".join([*head, "ct state established,related accept", *lines, "}", "}"]) + "\n"


_LINEAR = {"family": "inet", "table": "linear", "chain": "forward"}
LINEAR_HOOK: list[Json] = [
    {
        "add": {
            "chain": {
                "family": "inet",
                "table": "linear",
                "name": "forward",
                "type": "filter",
                "hook": "forward",
                "prio": 0,
                "policy": "drop",
            }
        }
    },
    {"add": {"rule": {**_LINEAR, "expr": [{"jump": {"target": "lines"}}]}}},
]
"""What sends packets to the linear rules, as nft's JSON."""


@contextmanager
def two_ends(rules: Rules) -> Iterator[Lab]:
    sites = plan_sites(rules)
    lab = Lab({end: sites[end] for end in ("s0", "s1")})
    lab.up()
    yield lab
    lab.down()


def load_linear(lab: Lab, rules: Rules) -> None:
    command = lab.command(HUB, ["nft", "-f", "-"])
    subprocess.run(command, input=linear(rules), text=True, check=True, capture_output=True)


# --- measurements ----------------------------------------------------------------------------------


def measure_load() -> None:
    load_of(10_000, 0.25)
    load_of(100_000, 2.0)


def load_of(flows: int, limit_s: float) -> None:
    rules = platform(flows)
    document = render_hub(rules, plan_sites(rules))
    with two_ends(rules) as lab:
        hub = Nft(partial(lab.command, HUB))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        took = min(timed(lambda: hub.load(document)) for _ in range(ROUNDS))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / ROUNDS
        hub.flush()
        lined = timed(lambda: load_linear(lab, rules)) if flows <= 10_000 else 0
    work = f"load of {flows:,} flows as one verdict map"
    size = len(json.dumps(document)) / 1e6
    print(f"{work}: {took * 1e3:.0f} ms, of which nft and kernel {busy * 1e3:.0f} ms; {size:.1f} MB of JSON")
    show_ratio(work, limit_s / took, f"{limit_s * 1e3:.0f} ms", 1)
    if lined:
        show_ratio(work, lined / took, "the same as linear rules")


def measure_rate() -> None:
    """New connections a second with no rules, 100,000 flows in a map, and linear rules, in turns.

    Each ruleset is loaded once and only hooked in and out between laps, so that no lap runs while the kernel
    still frees what stood before. Rates are compared lap by lap with the one beside it, for other work on the
    machine moves them all.
    """
    large, small = platform(100_000), platform(5_000)
    whole = render_hub(large, plan_sites(large))["nftables"]
    hooked = [one for one in whole if one.get("add", {}).keys() & {"set", "chain", "rule"}]
    hooks = {"map": {"nftables": hooked}, "linear": {"nftables": LINEAR_HOOK}}
    with two_ends(large) as lab, listening(lab):
        hub = Nft(partial(lab.command, HUB))
        hub.load({"nftables": [one for one in whole if one not in hooked]})
        load_linear(lab, small)
        rates: dict[str, list[float]] = {"none": [], "map": [], "linear": []}
        for _ in range(LAPS):
            for name in rates:
                if name in hooks:
                    hub.load(hooks[name])
                rates[name].append(connections_per_second(lab))
                if name in hooks:
                    hub.load(unhooked(hooks[name]))
    none, mapped, lined = (median(rates[name]) for name in rates)
    print(f"connections/s: no rules {none:,.0f}, 100,000 flows {mapped:,.0f}, 5,000 linear {lined:,.0f}")
    for peer, words, wanted in (("none", "no rules at all", 0.85), ("linear", "5,000 linear rules", None)):
        beside = median(one / other for one, other in zip(rates["map"], rates[peer], strict=True))
        show_ratio("connection rate with 100,000 flows", beside, words, wanted)


def unhooked(hooks: Json) -> Json:
    """Return what takes the chains of a document away again with their rules, and then its sets."""
    added = [one["add"] for one in hooks["nftables"]]
    chains, sets = ([{kind: one[kind]} for one in added if kind in one] for kind in ("chain", "set"))
    flushed, deleted = ([{verb: one} for one in chains] for verb in ("flush", "delete"))
    return {"nftables": [*flushed, *deleted, *({"delete": one} for one in sets)]}


def measure_identity() -> None:
    authority = Authority.create("harbour", Instant(time.time_ns()), HOUR_NS)
    issued, start = 0, time.perf_counter()
    while time.perf_counter() - start < 1:
        authority.issue("spiffe://harbour/matching", Instant(time.time_ns()), HOUR_NS)
        issued += 1
    rate = issued / (time.perf_counter() - start)
    print(f"SVIDs issued: {rate:,.0f}/s")
    show_ratio("SVIDs issued, with a new key each", rate / 1_000, "1,000/s", 1)


def measure_lab() -> None:
    """Everything of the venue policy: up, rules of both layers, the full matrix in both families, down."""
    rules = compile_flows(load_policy(shipped_policy("venue")))
    sites = plan_sites(rules)
    ports = sorted({flow.port for flow in rules.flows})
    everything = matrix(tuple(sites), ports)
    start = time.perf_counter()
    lab = Lab(sites)
    lab.up()
    with Listeners(lab.within, sites, ports):
        enforcer = Enforcer(sites, places(lab, (HUB, *rules.workloads)), closed="reset")
        enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
        wrong = wrong_cells(
            lambda flows: probe(lab.within, sites, everything if flows is None else flows, 0.3),
            lambda flow: flow in rules.flows,
        )
    lab.down()
    took = time.perf_counter() - start
    assert not wrong, wrong
    work = (
        f"lab of {len(sites)} ends up, both layers loaded and read back, {2 * len(everything)} probes, down"
    )
    print(f"{work}: {took:.2f} s")
    show_ratio(work, 5 / took, "5 s", 1)


def measure_quarantine() -> None:
    """From the call to the last packet that arrives, over a stream of one packet every 0.1 ms."""
    rules = platform(1)
    with two_ends(rules) as lab:
        enforcer = Enforcer(lab.sites, places(lab, (HUB,)))
        taken: list[float] = []
        for _ in range(ROUNDS):
            enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
            taken.append(last_packet_after(lab, partial(enforcer.quarantine, "s0")))
            enforcer.release("s0")
        took = median(taken)
        work = "quarantine, from the call to the last packet of an established connection"
        print(f"{work}: {took * 1e3:.1f} ms (worst of {ROUNDS}: {max(taken) * 1e3:.1f} ms)")
        show_ratio(work, 0.1 / took, "100 ms", 1)


def measure_revoke() -> None:
    """One flow of the venue policy: closed at the hub and both ends, established ones ended, read back.

    Beside it the time to the last packet of an established connection, as for a quarantine.
    """
    flow, two = Flow("s0", "s1", "tcp", PORT), platform(1)
    with two_ends(two) as lab:
        enforcer = Enforcer(lab.sites, places(lab, (HUB, "s0", "s1")))
        cut: list[float] = []
        for _ in range(ROUNDS):
            enforcer.apply(two, lambda _: (), lambda _: (), lambda: True)
            cut.append(last_packet_after(lab, partial(enforcer.revoke, flow)))
    work = "revoke, from the call to the last packet of an established connection"
    print(f"{work}: {median(cut) * 1e3:.1f} ms (worst of {ROUNDS}: {max(cut) * 1e3:.1f} ms)")
    show_ratio(work, 0.1 / median(cut), "100 ms", 1)
    rules = compile_flows(load_policy(shipped_policy("venue")))
    lab = Lab(plan_sites(rules))
    lab.up()
    enforcer = Enforcer(lab.sites, places(lab, (HUB, *rules.workloads)))
    taken: list[float] = []
    for flow in list(rules.flows)[:ROUNDS]:
        enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
        taken.append(timed(partial(enforcer.revoke, flow)))
    lab.down()
    work = "revoke of one flow at three places, with read-back and conntrack"
    print(f"{work}: {median(taken) * 1e3:.0f} ms (best {min(taken) * 1e3:.0f} ms)")
    show_ratio(work, 0.05 / median(taken), "50 ms", 1)


def places(lab: Lab, names: tuple[str, ...]) -> dict[str, Nft]:
    return {name: Nft(partial(lab.command, name)) for name in names}


# --- packets ---------------------------------------------------------------------------------------


@contextmanager
def listening(lab: Lab) -> Iterator[None]:
    listener = lab.within("s1", lambda: socket.create_server(("", PORT), backlog=4_096))

    def accept() -> None:
        while True:
            try:
                listener.accept()[0].close()
            except OSError:
                return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def connections_per_second(lab: Lab) -> float:
    target = (lab.sites["s1"].own_v4, PORT)

    def connect() -> float:
        made, start = 0, time.perf_counter()
        while time.perf_counter() - start < LAP_S:
            with socket.socket() as asking:
                # Closed by a reset, so that no port is left waiting.
                asking.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                asking.connect(target)
            made += 1
        return made / (time.perf_counter() - start)

    return lab.within("s0", connect)


def last_packet_after(lab: Lab, act: Callable[[], None]) -> float:
    """Return the seconds from `act` to the arrival of the last packet of a stream."""
    listener = lab.within("s1", lambda: socket.create_server(("", PORT)))
    near = lab.within("s0", lambda: socket.create_connection((lab.sites["s1"].own_v4, PORT)))
    far, _ = listener.accept()
    near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    near.setblocking(False)
    far.settimeout(0.5)
    arrived: list[float] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.0001):
            try:
                near.send(b"x")
            except BlockingIOError:
                continue

    def receive() -> None:
        try:
            while far.recv(4_096):
                arrived.append(time.perf_counter())
        except TimeoutError:
            return

    threads = [threading.Thread(target=work) for work in (send, receive)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    start = time.perf_counter()
    act()
    threads[1].join()
    stop.set()
    threads[0].join()
    for each in (near, far, listener):
        each.close()
    return max(arrived) - start


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


WORK = {
    "load": measure_load,
    "rate": measure_rate,
    "identity": measure_identity,
    "lab": measure_lab,
    "quarantine": measure_quarantine,
    "revoke": measure_revoke,
}

if __name__ == "__main__":
    main(sys.argv[1:])
