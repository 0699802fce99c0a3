"""Where services listen, whom they may call, and that each serves exactly the methods it is said to."""

from types import SimpleNamespace

import pytest

from ringfence.adapters.signatures_ed25519 import verify
from ringfence.kernel.errors import UsageError
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.identity import compile_authorisation
from ringfence.planes.network.sites import plan_sites
from ringfence.services.platform.gateway import Gateway
from ringfence.services.platform.ledger import LedgerService
from ringfence.services.platform.marks import MarksService
from ringfence.services.platform.matching import Matching
from ringfence.services.platform.outside import ChainStandIn, PriceSources
from ringfence.services.platform.risk import Risk
from ringfence.services.platform.service import OPERATOR
from ringfence.services.platform.stations import CALLERS, kinds_of, plan_stations, port_between
from ringfence.services.platform.wallet import Wallet
from ringfence.services.platform.watcher import Watcher
from ringfence.wiring import embedded
from ringfence.wiring_files import load_policy, shipped_policy

POLICY = load_policy(shipped_policy("venue"))
RULES = compile_policy(POLICY)
FLOWS = compile_flows(POLICY)
KINDS = kinds_of(POLICY, FLOWS)


def nobody(key, message):
    return None


NO_LINES = SimpleNamespace(read=tuple, append=lambda line: None)


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    from ringfence.adapters.book_memory import MemoryStore
    from ringfence.adapters.system_clock import SystemClock

    return {
        "gateway": Gateway(None),
        "matching": Matching(RULES, MemoryStore(), verify, {}, None),
        "marks": MarksService(RULES, SystemClock(), None),
        "risk": Risk(RULES, verify, nobody),
        "ledger": LedgerService(embedded(None, POLICY), verify, nobody, SystemClock(), None),
        "watcher": Watcher(RULES, nobody, None),
        "wallet": Wallet(RULES, verify, nobody, {}, NO_LINES, None),
        "chain": ChainStandIn(RULES, verify, {}, NO_LINES),
        "price_sources": PriceSources(RULES, {}),
    }


def test_each_service_serves_the_methods_it_is_said_to(services):
    served = {
        name: {method: one.caller for method, one in service.methods.items() if one.caller != OPERATOR}
        for name, service in services.items()
    }
    assert served == CALLERS


def test_the_reference_lists_every_method(root):
    page = (root / "docs" / "reference" / "port-methods.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("|")]
    listed, service = {}, ""
    for row in rows[2:]:
        service = row[1].split("`")[1] if "`" in row[1] else service
        if "`" in row[2]:
            listed.setdefault(service, {})[row[2].strip(" `")] = row[3].strip(" `")
    assert listed == {name: dict(methods) for name, methods in CALLERS.items() if methods}


def test_every_call_between_services_has_a_flow():
    for service, methods in CALLERS.items():
        for caller in methods.values():
            assert port_between(FLOWS, caller, service) is not None, (caller, service)


def test_each_method_is_open_to_its_caller_and_to_nobody_else():
    identities = {name: one.identity for name, one in FLOWS.workloads.items()}
    for service in FLOWS.workloads:
        ports = {method: port_between(FLOWS, caller, service) for method, caller in CALLERS[service].items()}
        table = compile_authorisation(FLOWS, service, ports)
        for method, caller in CALLERS[service].items():
            allowed = {name for name, identity in identities.items() if table.allows(identity, method)}
            assert allowed == ({caller} if caller in identities else set()), (service, method)


def test_with_namespaces_everybody_has_the_addresses_of_its_site():
    sites = plan_sites(FLOWS)
    stations = plan_stations(FLOWS, sites, "namespaces", KINDS)
    assert stations["gateway"].hosts == (sites["gateway"].own_v4, sites["gateway"].own_v6)
    assert stations["gateway"].ports == {"internet": 443, "ledger": 7003}
    assert stations["wallet"].peers["ledger"].port == 7005
    assert stations["wallet"].peers["chain"].identity is None


def test_on_loopback_addresses_differ_and_low_ports_are_moved():
    stations = plan_stations(FLOWS, plan_sites(FLOWS), "loopback", KINDS)
    assert len({one.hosts for one in stations.values()}) == len(stations)
    assert stations["gateway"].ports["internet"] == 10_443


def test_platforms_in_different_lanes_share_no_address():
    hosts = [
        {
            host
            for one in plan_stations(FLOWS, plan_sites(FLOWS), "loopback", KINDS, lane).values()
            for host in one.hosts
        }
        for lane in (0, 1, 2**14 - 1)
    ]
    assert len(set().union(*hosts)) == sum(map(len, hosts))


def kinds(name):
    policy = load_policy(shipped_policy(name))
    return kinds_of(policy, compile_flows(policy))


def test_a_service_is_what_its_name_says_and_a_carrier_that_is_pulled_from_is_a_gateway():
    assert {name: kind for name, kind in KINDS.items() if name != kind} == {}
    assert kinds("trading-desk") == {
        "orders": "gateway",
        "office": "gateway",
        "risk": "risk",
        "ledger": "ledger",
        "watcher": "watcher",
        "venue_api": "silent",
        "chain": "chain",
    }
    assert set(kinds("custodian").values()) == {"gateway", "ledger", "watcher", "internet", "chain"}


@pytest.mark.parametrize("change", [{"holds": ("risk_key",)}, {"carries": ()}])
def test_a_service_that_nobody_here_can_run_is_named_with_what_can_be(change):
    office = POLICY.services["gateway"].model_copy(update=change)
    policy = POLICY.model_copy(update={"services": {**POLICY.services, "office": office}})
    with pytest.raises(UsageError, match=r"office of the policy cannot be run here.* gateway, matching, .*"):
        kinds_of(policy, FLOWS)


def test_a_policy_without_a_ledger_has_no_platform():
    services = {name: one for name, one in POLICY.services.items() if name != "ledger"}
    with pytest.raises(UsageError, match="no service named ledger"):
        kinds_of(POLICY.model_copy(update={"services": services}), FLOWS)
