"""The enforcement loop against the real kernel: every wall in place, every way of failing, every mutation."""

import copy
import json
import os
import select
import socket
import struct
import subprocess
import time
from dataclasses import replace
from functools import partial

import pytest

from ringfence.adapters.namespaces import Lab
from ringfence.adapters.nft_command import Nft
from ringfence.adapters.probe_sockets import Listeners, matrix, probe
from ringfence.adapters.roll_back import RollBack
from ringfence.kernel.errors import UnreachableError, UsageError, ViolationError
from ringfence.planes.network.compile import Flow, compile_flows
from ringfence.planes.network.loaded import restoring
from ringfence.planes.network.sites import plan_sites
from ringfence.services.enforced import HUB
from ringfence.services.segmentation import Enforcer
from ringfence.wiring_files import load_policy, shipped_policy

RULES = compile_flows(load_policy(shipped_policy("venue")))
SITES = plan_sites(RULES)
PORTS = sorted({flow.port for flow in RULES.flows})
WALLET_PULLS = Flow("wallet", "ledger", "tcp", 7005)
PROBE_S = 0.25
PATIENT_S = 2.0


@pytest.fixture(scope="module")
def lab():
    built = Lab(SITES)
    built.up()
    with Listeners(built.within, SITES, PORTS):
        yield built
    built.down()


@pytest.fixture
def enforcer(lab):
    places = {place: Nft(partial(lab.command, place)) for place in (HUB, *RULES.workloads)}
    made = Enforcer(SITES, places, closed="reset")
    yield made
    for place in places.values():
        place.flush()


def nothing(_):
    return ()


def yes():
    return True


def ask(lab, flows=None):
    return probe(lab.within, SITES, flows or matrix(tuple(SITES), PORTS), PROBE_S)


def wrong_cells(lab, expected=None, flows=None):
    """Say which cells are not as declared; what looks wrong is asked again with more patience first."""
    expected = set(RULES.flows) if expected is None else expected
    wrong = _unexpected(ask(lab, flows), expected)
    if wrong:
        again = sorted({flow for flow, _ in wrong})
        wrong = _unexpected(probe(lab.within, SITES, again, PATIENT_S), expected)
    return [f"{flow} IPv{family}" for flow, family in wrong]


def _unexpected(answers, expected):
    return [cell for cell, is_open in answers.is_open.items() if is_open != (cell[0] in expected)]


def test_rules_are_proved_loaded_read_back_and_probed(lab, enforcer):
    asked = []

    def prove(rules):
        asked.append("prove")
        return ()

    def probing(rules):
        asked.append("probe")
        return tuple(wrong_cells(lab))

    generation = enforcer.apply(RULES, prove, probing, yes)
    assert asked == ["prove", "probe"]
    assert generation.rules is RULES
    assert not any(enforcer.enforced.drift(RULES).values())


def test_a_broken_claim_changes_nothing(lab, enforcer):
    with pytest.raises(ViolationError, match="break a claim: money leaks; nothing was changed"):
        enforcer.apply(RULES, lambda _: ("money leaks",), nothing, yes)
    assert all(not place.ruleset()["nftables"][1:] for place in enforcer.places.values())


def without(*gone):
    return replace(RULES, flows={f: p for f, p in RULES.flows.items() if f not in gone})


@pytest.mark.parametrize(
    ("probing", "confirm", "words"),
    [(lambda _: ("a cell is wrong",), yes, "a cell is wrong"), (nothing, lambda: False, "nobody confirmed")],
)
def test_what_fails_after_loading_brings_the_old_rules_back(lab, enforcer, probing, confirm, words):
    enforcer.apply(RULES, nothing, nothing, yes)
    with pytest.raises(ViolationError, match=words):
        enforcer.apply(without(WALLET_PULLS), nothing, probing, confirm)
    assert wrong_cells(lab, flows=list(RULES.flows)) == []
    assert not any(enforcer.enforced.drift(RULES).values())


def test_a_place_that_refuses_keeps_every_place_as_it_was(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)

    class Stubborn(Nft):
        def load(self, document):
            if "7005" not in json.dumps(document):
                raise UnreachableError("nft refused the rules: no")
            super().load(document)

    enforcer.places["wallet"] = Stubborn(partial(lab.command, "wallet"))
    with pytest.raises(UnreachableError):
        enforcer.apply(without(WALLET_PULLS), nothing, nothing, yes)
    assert wrong_cells(lab, flows=list(RULES.flows)) == []


def test_a_flow_to_keep_cannot_be_closed(enforcer):
    enforcer.keep = (WALLET_PULLS,)
    with pytest.raises(UsageError, match="must stay open"):
        enforcer.apply(without(WALLET_PULLS), nothing, nothing, yes)


class Held:
    """One established connection of a flow, opened before something happens to it."""

    def __init__(self, lab, flow):
        def listen():
            return socket.create_server((SITES[flow.target].own_v4, flow.port + 10_000))

        def connect():
            return socket.create_connection((SITES[flow.target].own_v4, flow.port + 10_000), timeout=2)

        self._listener = lab.within(flow.target, listen)
        self.near = lab.within(flow.source, connect)
        self.far, _ = self._listener.accept()

    def passes(self):
        """Say whether a byte still gets through within a moment."""
        try:
            self.near.send(b"x")
        except OSError:
            return False
        return bool(select.select([self.far], [], [], 0.3)[0]) and self.far.recv(1) == b"x"

    def close(self):
        for each in (self.near, self.far, self._listener):
            each.close()


def with_flow(flow):
    return replace(RULES, flows={**RULES.flows, flow: RULES.flows[WALLET_PULLS]})


@pytest.fixture
def held(lab, enforcer):
    """A policy with one flow more, on a port of its own where a connection can be held open."""
    flow = Flow("wallet", "ledger", "tcp", 17_005)
    enforcer.apply(with_flow(flow), nothing, nothing, yes)
    connection = Held(lab, WALLET_PULLS)
    assert connection.passes()
    yield flow, connection
    connection.close()


def test_revoking_a_flow_ends_its_established_connections(lab, enforcer, held):
    flow, connection = held
    cut = enforcer.revoke(flow)
    assert cut >= 1
    assert not connection.passes()
    assert wrong_cells(lab, flows=list(RULES.flows)) == []
    with pytest.raises(UsageError, match="nothing to revoke"):
        enforcer.revoke(flow)
    with pytest.raises(UsageError, match="nothing to revoke"):
        enforcer.revoke(flow, with_flow(flow))


def test_a_revoked_flow_is_closed_before_anything_is_read(lab, enforcer, held):
    flow, connection = held

    class Unreadable(Nft):
        def ruleset(self):
            raise UnreachableError("nft refused: no")

    for name in (HUB, flow.source, flow.target):
        enforcer.places[name] = Unreadable(partial(lab.command, name))
    with pytest.raises(UnreachableError):
        enforcer.revoke(flow)
    assert not connection.passes()
    assert not knock(lab, flow)


def test_a_flow_is_revoked_where_others_wrote_the_rules_of_a_place_too(lab, enforcer, held):
    flow, connection = held
    document = copy.deepcopy(enforcer.generation.documents[flow.target])
    drop_element(document, "m_input4", flow.port)
    accept_all(document, "c_input", match({"payload": {"protocol": "tcp", "field": "dport"}}, flow.port))
    enforcer.places[flow.target].load(document)
    assert enforcer.revoke(flow, with_flow(flow)) >= 1
    assert not connection.passes()
    assert not any(enforcer.enforced.drift(RULES).values())


def test_a_flow_between_services_that_are_only_watched_is_revoked_too(lab, enforcer):
    enforcer.modes = {"trading": "observe"}
    enforcer.apply(RULES, nothing, nothing, yes)
    gone = Flow("matching", "risk", "tcp", 7001)
    enforcer.modes = None
    enforcer.revoke(gone, RULES)
    assert gone not in enforcer.generation.rules.flows
    assert wrong_cells(lab, set(RULES.flows), list(RULES.flows)) == [], "undeclared, it passes as watched"
    enforcer.release("risk")  # who was never cut off takes part as before


def test_loading_alone_would_not_have_ended_them(enforcer, held):
    _flow, connection = held
    enforcer.apply(RULES, nothing, nothing, yes)
    assert connection.passes()


def test_a_quarantine_ends_everything_of_an_end_at_once_and_is_lifted_again(lab, enforcer, held):
    _, connection = held
    start = time.perf_counter()
    enforcer.quarantine("wallet")
    assert not connection.passes()
    assert time.perf_counter() - start < 5
    left = {flow for flow in RULES.flows if "wallet" not in (flow.source, flow.target)}
    assert wrong_cells(lab, left, list(RULES.flows)) == []
    enforcer.release("wallet")
    assert wrong_cells(lab, flows=list(RULES.flows)) == []
    with pytest.raises(UsageError, match="no service or external"):
        enforcer.quarantine("walet")


# --- what stands beside the rules -----------------------------------------------------------------

OTHER_TABLE = {
    "nftables": [
        {"add": {"table": {"family": "inet", "name": "others"}}},
        {"add": {"chain": {"family": "inet", "table": "others", "name": "theirs"}}},
    ]
}


def names_of(place):
    return [item["table"]["name"] for item in place.ruleset()["nftables"] if "table" in item]


def test_what_others_loaded_stays_whatever_happens(enforcer):
    enforcer.places["risk"].load(OTHER_TABLE)
    with pytest.raises(ViolationError):
        enforcer.apply(RULES, nothing, lambda _: ("a cell is wrong",), yes)
    assert names_of(enforcer.places["risk"]) == ["others"]
    enforcer.apply(RULES, nothing, nothing, yes)
    assert names_of(enforcer.places["risk"]) == ["others", "rf_guard"]


def test_a_quarantine_outlives_new_rules(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)
    enforcer.quarantine("wallet")
    cut_off = {flow for flow in RULES.flows if "wallet" in (flow.source, flow.target)}
    enforcer.apply(RULES, nothing, nothing, yes)
    assert wrong_cells(lab, RULES.flows.keys() - cut_off, list(RULES.flows)) == []
    assert all(place.holds for place in enforcer.enforced.status(RULES))
    assert enforcer.enforced.must_be(RULES)(WALLET_PULLS) is False
    # What is closed by quarantine is not taken for a flow that somebody revoked.
    assert enforcer.enforced.in_force(RULES).flows == RULES.flows
    enforcer.release("wallet")
    assert wrong_cells(lab, flows=list(RULES.flows)) == []


UNDECLARED = Flow("matching", "price_sources", "tcp", 443)
BETWEEN_WATCHED = Flow("risk", "marks", "tcp", 7001)
INTO_ENFORCED = Flow("risk", "ledger", "tcp", 7005)


def knock(lab, flow):
    """Try one connection as somebody else would, without the mark of our probes."""

    def connect():
        try:
            socket.create_connection((SITES[flow.target].own_v4, flow.port), timeout=1).close()
        except OSError:
            return False
        return True

    return lab.within(flow.source, connect)


@pytest.mark.parametrize("mode", ["observe", "warn"])
def test_what_is_only_watched_passes_and_is_recorded(lab, enforcer, mode):
    enforcer.modes = {"trading": mode}
    enforcer.apply(RULES, nothing, nothing, yes)
    knocks = {flow: knock(lab, flow) for flow in (UNDECLARED, BETWEEN_WATCHED, INTO_ENFORCED)}
    assert knocks == {UNDECLARED: True, BETWEEN_WATCHED: True, INTO_ENFORCED: False}
    attempts = {attempt.flow: attempt for attempt in enforcer.enforced.attempts(RULES)}
    assert {flow: attempt.passed for flow, attempt in attempts.items()} == knocks
    assert not enforcer.enforced.undeclared(RULES), "a connection that was closed again is not established"
    assert "nearest permitted way is ledger -> risk tcp 7002" in attempts[INTO_ENFORCED].words
    status = {place.place: place for place in enforcer.enforced.status(RULES)}
    assert all(place.holds for place in status.values())
    assert [status[name].mode for name in ("risk", "ledger")] == [mode, "enforce"]
    # Another process keeps the modes that it finds, and says when they are to end.
    enforcer.modes = None
    enforcer.apply(RULES, nothing, nothing, yes)
    assert knock(lab, BETWEEN_WATCHED)
    enforcer.modes = {}
    enforcer.apply(RULES, nothing, nothing, yes)
    assert not knock(lab, BETWEEN_WATCHED)
    assert wrong_cells(lab) == []


def test_probes_of_our_own_are_not_taken_for_attempts(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)
    ask(lab)
    assert enforcer.enforced.attempts(RULES) == ()
    assert not knock(lab, INTO_ENFORCED)
    assert [attempt.flow for attempt in enforcer.enforced.attempts(RULES)] == [INTO_ENFORCED]


def test_each_rule_counts_exactly_what_it_let_through(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)
    ask(lab, list(RULES.flows))
    once_in_each_family = dict.fromkeys(RULES.flows, 2)
    for place in enforcer.enforced.status(RULES):
        own = {f: n for f, n in once_in_each_family.items() if place.place in (HUB, f.source, f.target)}
        assert place.loaded.passed == own


def test_status_says_what_is_not_loaded_and_counts_generations(enforcer):
    assert not any(place.holds for place in enforcer.enforced.status(RULES))
    assert [enforcer.apply(RULES, nothing, nothing, yes).number for _ in range(3)] == [1, 2, 3]
    enforcer.places["risk"].flush()
    assert [place.place for place in enforcer.enforced.status(RULES) if not place.holds] == ["risk"]


def test_established_connections_that_no_flow_permits_are_listed(enforcer, held):
    flow, _ = held
    assert flow in {one for one, _ in enforcer.enforced.undeclared(RULES)}
    assert enforcer.revoke(flow, with_flow(flow)) >= 1
    assert flow not in {one for one, _ in enforcer.enforced.undeclared(RULES)}


# --- the roll-back that needs nobody ---------------------------------------------------------------


def test_a_roll_back_fires_by_itself_and_not_once_it_is_stopped(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)
    places = {place: partial(lab.command, place) for place in enforcer.places}
    before = {name: restoring(place.ruleset()) for name, place in enforcer.places.items()}
    stopped, firing = RollBack(places, 0.4), RollBack(places, 0.4)
    stopped.arm(before)
    assert stopped.disarm()
    for place in enforcer.places.values():
        place.flush()
    time.sleep(1)
    assert any(enforcer.enforced.drift(RULES).values()), "it was stopped and has fired"
    firing.arm(before)
    deadline = time.monotonic() + 20
    while any(enforcer.enforced.drift(RULES).values()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not any(enforcer.enforced.drift(RULES).values())
    while firing.disarm() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert wrong_cells(lab, flows=list(RULES.flows)) == []


# --- spoofed packets -------------------------------------------------------------------------------


def spoofed_syn_arrives(lab, source, claimed, target, port):
    """Send a SYN from `source` that claims to come from `claimed`; say whether the target's link saw it."""
    sniffing = lab.within(
        target, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    )
    packet = _syn(SITES[claimed].own_v4, SITES[target].own_v4, port)

    def send():
        with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(packet, (SITES[target].own_v4, 0))

    with sniffing:
        lab.within(source, send)
        wanted = socket.inet_aton(SITES[claimed].own_v4)
        deadline = time.monotonic() + 0.3
        while (left := deadline - time.monotonic()) > 0:
            if select.select([sniffing], [], [], left)[0] and sniffing.recv(2048)[12:16] == wanted:
                return True
    return False


def _syn(source, target, port):
    addresses = socket.inet_aton(source) + socket.inet_aton(target)
    tcp = struct.pack("!HHLLBBHHH", 40_000, port, 1, 0, 5 << 4, 2, 1024, 0, 0)
    tcp = tcp[:16] + struct.pack("!H", _checksum(addresses + struct.pack("!BBH", 0, 6, 20) + tcp)) + tcp[18:]
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0, 64, 6, 0) + addresses
    return ip + tcp


def _checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


SPOOFED = ("gateway", "risk", "matching", 7000)


def test_a_packet_that_claims_another_source_does_not_pass_the_hub(lab, enforcer):
    assert spoofed_syn_arrives(lab, *SPOOFED), "the control: without rules it arrives"
    enforcer.apply(RULES, nothing, nothing, yes)
    # The source's own rules are out of the way, as they would be for whoever owns it.
    enforcer.places["gateway"].flush()
    assert not spoofed_syn_arrives(lab, *SPOOFED)


# --- mutations: each must be seen by reading back, or by a packet ------------------------------------


def rules_of(document, chain):
    return [
        c["add"]["rule"]
        for c in document["nftables"]
        if c.get("add", {}).get("rule", {}).get("chain") == chain
    ]


def drop_rule(document, chain, word):
    document["nftables"] = [
        command
        for command in document["nftables"]
        if not (
            (rule := command.get("add", {}).get("rule"))
            and rule["chain"] == chain
            and word in json.dumps(rule)
        )
    ]


def collection(document, name):
    for command in document["nftables"]:
        for kind in ("map", "set"):
            found = command.get("add", {}).get(kind)
            if found and found["name"] == name:
                return found
    raise AssertionError(f"there is no {name}")


def key_of(element):
    value = element[0].get("elem", {}).get("val", element[0]) if isinstance(element[0], dict) else element[0]
    return value["concat"]


def find(document, name, port):
    return next(e for e in collection(document, name)["elem"] if port in key_of(e))


def drop_element(document, name, port):
    shape = collection(document, name)
    shape["elem"] = [e for e in shape["elem"] if port not in key_of(e)]


def swap_ends(document, port):
    key = key_of(find(document, "m_flows", port))
    key[0], key[1] = key[1], key[0]


def change_port(document, name, port, other):
    key = key_of(find(document, name, port))
    key[key.index(port)] = other


def add_element(document, name, key):
    collection(document, name)["elem"].append([{"concat": key}, {"accept": None}])


def accept_by_default(document, chain):
    for command in document["nftables"]:
        shape = command.get("add", {}).get("chain")
        if shape and shape["name"] == chain:
            shape["policy"] = "accept"
    drop_rule(document, chain, "reject")


def accept_all(document, chain, *matches):
    here = {"family": "inet", "table": rules_of(document, chain)[0]["table"], "chain": chain}
    document["nftables"].append({"insert": {"rule": {**here, "expr": [*matches, {"accept": None}]}}})


def match(left, right):
    return {"match": {"op": "==", "left": left, "right": right}}


MUTATIONS = {
    "hub loses a flow": (HUB, lambda d: drop_element(d, "m_flows", 7005)),
    "hub swaps source and target": (HUB, lambda d: swap_ends(d, 7005)),
    "hub opens another port": (HUB, lambda d: change_port(d, "m_flows", 7005, 7006)),
    "hub keeps a stale element": (
        HUB,
        lambda d: add_element(
            d, "m_flows", [SITES["gateway"].interface, SITES["wallet"].interface, "tcp", 7005]
        ),
    ),
    "hub lets udp pass where tcp was declared": (
        HUB,
        lambda d: add_element(
            d, "m_flows", [SITES["wallet"].interface, SITES["ledger"].interface, "udp", 7005]
        ),
    ),
    "hub accepts by default": (HUB, lambda d: accept_by_default(d, "c_forward")),
    "hub accepts every port from one side": (
        HUB,
        lambda d: accept_all(d, "c_forward", match({"meta": {"key": "iifname"}}, SITES["gateway"].interface)),
    ),
    "hub accepts every packet to a port": (
        HUB,
        lambda d: accept_all(d, "c_forward", match({"payload": {"protocol": "tcp", "field": "dport"}}, 7001)),
    ),
    "hub accepts IPv6": (
        HUB,
        lambda d: accept_all(d, "c_forward", match({"meta": {"key": "nfproto"}}, "ipv6")),
    ),
    "hub forgets established connections": (HUB, lambda d: drop_rule(d, "c_forward", "established")),
    "hub forgets the verdict map": (HUB, lambda d: drop_rule(d, "c_forward", "vmap")),
    "hub forgets spoofing": (HUB, lambda d: drop_rule(d, "c_forward", "fib")),
    "hub forgets quarantine": (HUB, lambda d: drop_rule(d, "c_forward", "quarantine")),
    "matching loses a flow in": ("matching", lambda d: drop_element(d, "m_input4", 7000)),
    "matching loses IPv6 in": ("matching", lambda d: drop_element(d, "m_input6", 7000)),
    "ledger loses a flow out": ("ledger", lambda d: drop_element(d, "m_output4", 7002)),
    "ledger opens another port": ("ledger", lambda d: change_port(d, "m_input4", 7005, 7006)),
    "ledger accepts by default": ("ledger", lambda d: accept_by_default(d, "c_input")),
    "ledger accepts all udp": (
        "ledger",
        lambda d: accept_all(d, "c_input", match({"meta": {"key": "l4proto"}}, "udp")),
    ),
    "ledger lets everything out": ("ledger", lambda d: accept_by_default(d, "c_output")),
    "wallet accepts from everyone": (
        "wallet",
        lambda d: accept_all(d, "c_input", match({"meta": {"key": "l4proto"}}, "tcp")),
    ),
    "wallet forgets neighbour discovery": ("wallet", lambda d: drop_rule(d, "c_input", "icmpv6")),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_of_the_rules_is_seen(lab, enforcer, name):
    enforcer.apply(RULES, nothing, nothing, yes)
    place, mutate = MUTATIONS[name]
    document = copy.deepcopy(enforcer.generation.documents[place])
    mutate(document)
    assert document != enforcer.generation.documents[place], "the mutation changed nothing"
    enforcer.places[place].load(document)
    forget_neighbours(lab, place)
    seen = {
        "reading back": lambda: any(enforcer.enforced.drift(RULES).values()),
        "a packet": lambda: bool(wrong_cells(lab, flows=_flows_near(place))),
        "a spoofed packet": lambda: _spoofing_passes(lab, enforcer),
        "a quarantine that leaks": lambda: _quarantine_leaks(lab, enforcer),
    }
    assert any(look() for look in seen.values()), f"{name} was seen by nobody"


def forget_neighbours(lab, place):
    """Neighbours that were found before would hide that they cannot be found any more."""
    for where in {place, HUB}:
        subprocess.run(lab.command(where, ["ip", "neigh", "flush", "all"]), check=True, capture_output=True)


def _flows_near(place):
    return [f for f in matrix(tuple(SITES), PORTS) if place == HUB or place in (f.source, f.target)]


def _spoofing_passes(lab, enforcer):
    enforcer.places["gateway"].flush()
    return spoofed_syn_arrives(lab, *SPOOFED)


def _quarantine_leaks(lab, enforcer):
    enforcer.quarantine("ledger")
    left = {flow for flow in RULES.flows if "ledger" not in (flow.source, flow.target)}
    return bool(wrong_cells(lab, left, list(RULES.flows)))


def test_nothing_unmutated_is_called_a_mutation(lab, enforcer):
    enforcer.apply(RULES, nothing, nothing, yes)
    assert not any(enforcer.enforced.drift(RULES).values())
    assert wrong_cells(lab) == []
    assert not _spoofing_passes(lab, enforcer)
    enforcer.apply(RULES, nothing, nothing, yes)
    assert not _quarantine_leaks(lab, enforcer)


def test_nothing_of_the_lab_is_seen_outside():
    assert os.environ["RINGFENCE_LAB"] == "1"
    assert (
        os.readlink("/proc/self/ns/net") != os.readlink(f"/proc/{os.getppid()}/ns/net") or os.getppid() == 0
    )
