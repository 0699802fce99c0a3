"""Where the services of a platform meet the adapters that run them: processes, zones, identities, stores.

Like `wiring`, this file imports both sides and decides nothing.
"""

import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ringfence import wiring
from ringfence.adapters import namespaces, service_process, signatures_ed25519
from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.line_file import LineFile
from ringfence.adapters.memory_keys import MemoryKeys
from ringfence.adapters.nft_command import Nft
from ringfence.adapters.platform_processes import SVID_NS, Platform
from ringfence.adapters.port_peers import PeerAddress, PortPeers
from ringfence.adapters.service_process import Beginning, Entrance, Work
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.instant import SECOND_NS
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import RegisterKey
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.network.compile import Rules as FlowRules
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.identity import compile_authorisation
from ringfence.planes.network.sites import plan_sites
from ringfence.policy.model import Policy
from ringfence.services.platform.gateway import Gateway
from ringfence.services.platform.ledger import Admission, LedgerService
from ringfence.services.platform.marks import MarksService
from ringfence.services.platform.matching import Matching
from ringfence.services.platform.outside import ChainStandIn, Internet, PriceSources
from ringfence.services.platform.risk import Risk
from ringfence.services.platform.service import OPERATOR, Service
from ringfence.services.platform.stations import Mode, Station, plan_stations, port_between
from ringfence.services.platform.wallet import Wallet
from ringfence.services.platform.watcher import Watcher
from ringfence.services.segmentation import HUB, Enforcer

PRICES = {"index/BTC": 65_000, "index/ETH": 3_500}
"""What the price stand-in says to begin with, in whole units of the numeraire."""

PRELOAD = ["ringfence.wiring_platform"]


def platform(policy: Policy, folder: Path, mode: Mode, svid_ns: int = SVID_NS) -> Platform:
    """Plan the processes of a policy's services and stand-ins; keys, books and logs are kept in `folder`.

    UsageError where the policy has services that cannot be run here.
    """
    rules = compile_flows(policy)
    stations = plan_stations(rules, plan_sites(rules), mode)
    keys = KeyFolder(folder / "keys")
    plain = [name for name, key in policy.keys.items() if key.per is None]
    public_keys = {name: keys.public(name) if keys.has(name) else keys.make(name) for name in plain}
    beginnings = {}
    for name, station in stations.items():
        held = policy.services[name].holds if name in policy.services else ()
        seeds = {key: keys.seed(key) for key in held if key in public_keys}
        beginnings[name] = _beginning(policy, rules, station, folder / name, mode, seeds, public_keys)
    identities = {name: workload.identity for name, workload in rules.workloads.items()}
    trust_domain = next(iter(identities.values())).removeprefix("spiffe://").partition("/")[0]
    return Platform(
        beginnings, identities, trust_domain, SystemClock(), run_service, PRELOAD, svid_ns=svid_ns
    )


def raise_walls(policy: Policy) -> Enforcer:
    """Build the network of a policy in namespaces of this process, with its rules in force."""
    rules = compile_flows(policy)
    sites = plan_sites(rules)
    lab = namespaces.Lab(sites)
    lab.up()
    places = {place: Nft(partial(lab.command, place)) for place in (HUB, *rules.workloads)}
    enforcer = Enforcer(sites, places, closed="reset")
    enforcer.apply(rules, lambda _: (), lambda _: (), lambda: True)
    return enforcer


def _beginning(
    policy: Policy,
    rules: FlowRules,
    station: Station,
    folder: Path,
    mode: Mode,
    seeds: Mapping[str, bytes],
    public_keys: Mapping[str, bytes],
) -> Beginning:
    identities = {name: workload.identity for name, workload in rules.workloads.items()}
    return Beginning(
        name=station.name,
        namespace=namespaces.path_of(station.name) if mode == "namespaces" else "",
        folder=folder,
        hosts=station.hosts,
        entrances=tuple(
            Entrance(caller, port, identities.get(caller)) for caller, port in station.ports.items()
        ),
        peers={
            name: PeerAddress(seat.host, seat.port, seat.identity) for name, seat in station.peers.items()
        },
        svid=None,
        bundle=b"",
        seeds=seeds,
        public_keys=public_keys,
        policy=policy,
        script={name: price * PRICE_SCALE for name, price in PRICES.items()},
    )


# --- in the process of a service ---------------------------------------------------------------


def run_service(beginning: Beginning, control: socket.socket) -> None:
    """Run one service in this process, until its supervisor ends it."""
    service_process.run(beginning, control, _make_work)


def _make_work(beginning: Beginning, peers: PortPeers, clock: SystemClock) -> Work:
    rules = compile_policy(beginning.policy)
    service = _make_service(beginning, rules, peers, clock)
    flows = compile_flows(beginning.policy)
    by_caller: dict[str, dict[str, service_process.Take]] = {}
    ports = {}
    for name, method in service.methods.items():
        by_caller.setdefault(method.caller, {})[name] = method.take
        port = port_between(flows, method.caller, beginning.name)
        if method.caller != OPERATOR and port is not None:
            ports[name] = port
    return Work(
        by_caller,
        compile_authorisation(flows, beginning.name, ports).allows,
        tuple((duty.name, duty.every_ns / SECOND_NS, duty.do) for duty in service.duties),
        service.figures,
        service.close,
    )


def _make_service(beginning: Beginning, rules: Rules, peers: PortPeers, clock: SystemClock) -> Service:
    verify, sign = signatures_ed25519.verify, MemoryKeys(beginning.seeds).sign
    folder, public_keys = beginning.folder, beginning.public_keys
    match beginning.name:
        case "gateway":
            return Gateway(peers)
        case "matching":
            store = open_file(folder / "orders.book", may_create=True)
            return Matching(rules, store, verify, public_keys, peers)
        case "marks":
            return MarksService(rules, clock, peers)
        case "risk":
            return Risk(rules, verify, sign)
        case "ledger":
            book = wiring.embedded(folder / "ledger.book", beginning.policy)
            ledger = LedgerService(book, verify, sign, clock, peers)
            known = book.state.public_keys()
            fresh = tuple(RegisterKey(*pair) for pair in public_keys.items() if pair[0] not in known)
            ledger.admit(Admission(fresh), clock.now())
            return ledger
        case "watcher":
            return Watcher(rules, sign, peers)
        case "wallet":
            return Wallet(rules, verify, sign, public_keys, LineFile(folder / "signed.lines"), peers)
        case "chain":
            return ChainStandIn(rules, LineFile(folder / "chain.lines"))
        case "price_sources":
            return PriceSources(rules, beginning.script)
        case _:
            return Internet(peers)
