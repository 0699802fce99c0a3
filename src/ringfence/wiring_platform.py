"""Where the services of a platform meet the adapters that run them: processes, zones, identities, stores.

Like `wiring`, this file imports both sides and decides nothing.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path

from ringfence import wiring
from ringfence.adapters import (
    intruder_probes,
    namespaces,
    platform_host,
    service_process,
    signatures_ed25519,
)
from ringfence.adapters.book_sqlite import open_file
from ringfence.adapters.identity_x509 import client_context, stranger_context
from ringfence.adapters.key_files import KeyFolder
from ringfence.adapters.line_file import LineFile
from ringfence.adapters.memory_keys import MemoryKeys
from ringfence.adapters.nft_command import Nft
from ringfence.adapters.platform_host import States as States
from ringfence.adapters.platform_processes import SVID_NS, Platform
from ringfence.adapters.port_peers import PeerAddress, PortPeers
from ringfence.adapters.service_process import Beginning, Entrance, Work
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import UsageError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.operations import OpenMember, RegisterKey, RotateKey, Signature
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.network.compile import Rules as FlowRules
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.identity import compile_authorisation
from ringfence.planes.network.sites import plan_sites
from ringfence.policy.model import Policy
from ringfence.services.enforced import HUB
from ringfence.services.instructions import next_of, rotation
from ringfence.services.platform.broken_ledger import BrokenLedger
from ringfence.services.platform.cast import Cast
from ringfence.services.platform.gateway import Gateway
from ringfence.services.platform.hostile import Hostile
from ringfence.services.platform.intruder import Attempt, Intruder, Plan
from ringfence.services.platform.ledger import Admission, Holdings, LedgerService
from ringfence.services.platform.marks import MarksService
from ringfence.services.platform.matching import Matching
from ringfence.services.platform.messages import Deposit, Empty, OpenVault, pack, unpack
from ringfence.services.platform.outside import (
    ChainStandIn,
    Internet,
    PriceSources,
    Relay,
    Relayed,
    Said,
    Silence,
)
from ringfence.services.platform.risk import Risk
from ringfence.services.platform.service import OPERATOR, Peers, Service
from ringfence.services.platform.stations import Mode, Station, kinds_of, plan_stations, port_between
from ringfence.services.platform.wallet import Wallet
from ringfence.services.platform.watcher import Watcher
from ringfence.services.segmentation import Enforcer

PRICES = {"index/BTC": 65_000, "index/ETH": 3_500}
"""What the price stand-in says to begin with, in whole units of the numeraire."""

PRELOAD = ["ringfence.wiring_platform"]


def platform(policy: Policy, folder: Path, mode: Mode, svid_ns: int = SVID_NS) -> Platform:
    """Plan the processes of a policy's services and stand-ins; keys, books and logs are kept in `folder`.

    UsageError where the policy has services that cannot be run here.
    """
    rules = compile_flows(policy)
    lane = int.from_bytes(tagged_digest("ringfence lane", str(folder.resolve()).encode())[:4])
    stations = plan_stations(rules, plan_sites(rules), mode, kinds_of(policy, rules), lane)
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
        for caller in _named(beginning.policy, flows, method.caller):
            by_caller.setdefault(caller, {})[name] = method.take
            port = port_between(flows, caller, beginning.name)
            if port is not None:
                ports[name] = port
    return Work(
        by_caller,
        compile_authorisation(flows, beginning.name, ports).refusal,
        tuple((duty.name, duty.every_ns / SECOND_NS, duty.do) for duty in service.duties),
        service.figures,
        service.close,
    )


def _named(policy: Policy, flows: FlowRules, kind: str) -> tuple[str, ...]:
    """Name the ends of a policy that are of a kind."""
    if kind == OPERATOR:
        return (OPERATOR,)
    return tuple(name for name, other in kinds_of(policy, flows).items() if other == kind)


def _make_service(beginning: Beginning, rules: Rules, peers: PortPeers, clock: SystemClock) -> Service:
    verify, sign = signatures_ed25519.verify, MemoryKeys(beginning.seeds).sign
    folder, public_keys = beginning.folder, beginning.public_keys
    if beginning.intrusion is not None:
        return _intruder(beginning, rules, peers, clock)
    flows = compile_flows(beginning.policy)
    gateways = _named(beginning.policy, flows, "gateway")
    match kinds_of(beginning.policy, flows)[beginning.name]:
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
            sees_chain = port_between(flows, "ledger", "chain") is not None
            ledger = LedgerService(book, verify, sign, clock, peers, gateways, sees_chain=sees_chain)
            known = book.state.public_keys()
            fresh = tuple(RegisterKey(*pair) for pair in public_keys.items() if pair[0] not in known)
            ledger.admit(Admission(fresh), clock.now())
            return ledger
        case "watcher":
            return Watcher(rules, sign, peers)
        case "wallet":
            return Wallet(rules, verify, sign, public_keys, LineFile(folder / "signed.lines"), peers)
        case "chain":
            return ChainStandIn(rules, verify, public_keys, LineFile(folder / "chain.lines"))
        case "price_sources":
            return PriceSources(rules, beginning.script)
        case "internet":
            entered = [name for name in gateways if port_between(flows, beginning.name, name) is not None]
            return Internet(peers, entered[0] if entered else "gateway")
        case _:
            return Silence()


def _intruder(beginning: Beginning, rules: Rules, peers: PortPeers, clock: SystemClock) -> Service:
    """Put an intruder in the place of a service, with what that service has."""
    plan, around = beginning.intrusion
    svid, bundle = beginning.svid, beginning.bundle
    context = client_context(svid, bundle) if svid is not None else stranger_context(bundle)
    accomplice = f"client_key/{plan.accomplice.split('/')[1]}"
    sign = MemoryKeys({**beginning.seeds, accomplice: plan.accomplice_seed}).sign

    async def below_the_port() -> list[Attempt]:
        found = await intruder_probes.probe(
            around, beginning.peers, context, clock, has_identity=svid is not None
        )
        return [Attempt(*one) for one in found]

    keys = tuple(beginning.seeds)
    book = _broken_ledger(beginning, rules, plan, peers, clock) if beginning.name == "ledger" else None
    return Intruder(beginning.name, rules, plan, keys, sign, clock, peers, below_the_port, book)


def _broken_ledger(
    beginning: Beginning, rules: Rules, plan: Plan, peers: PortPeers, clock: SystemClock
) -> BrokenLedger:
    """Give an intruder in the ledger's place its book."""
    file, sign = beginning.folder / "ledger.book", MemoryKeys(beginning.seeds).sign
    hostile = Hostile(rules, plan.members, tuple(beginning.seeds), sign, plan.seed + 1)

    def open_service(lying: Peers) -> LedgerService:
        book = wiring.embedded(file, beginning.policy)
        return LedgerService(book, signatures_ed25519.verify, sign, clock, lying)

    return BrokenLedger(rules, sign, hostile, clock, peers, open_service, lambda: open_file(file))


# --- from outside ------------------------------------------------------------------------------


class Stage:
    """A running platform with the hands of its operator and of everybody outside: for labs, drills and tests.

    Everybody's keys, officers' too, lie in the platform's folder; nobody's on any service.
    """

    def __init__(self, running: Platform, policy: Policy, folder: Path) -> None:
        self.platform = running
        self.rules = compile_policy(policy)
        self._keys = KeyFolder(folder / "keys")
        self._clock = SystemClock()
        self.cast = Cast(self.rules, self._say, self._sign, self._clock)

    async def open_member(self, member: str) -> None:
        """Open a client with keys made here."""
        names = [name for name, key in self.rules.keys.items() if key.per == "client"]
        publics = {}
        for name in names:
            full = f"{name}/{member}"
            publics[name] = self._keys.public(full) if self._keys.has(full) else self._keys.make(full)
        body = pack(Admission((OpenMember("client", member, publics),)))
        await self.platform.ask("ledger", "admit", body)
        vault = OpenVault({f"{name}/{member}": public for name, public in publics.items()})
        await self.platform.ask("chain", "open", pack(vault))

    async def rotate(self, key: str, old_until: Instant) -> RotateKey:
        """Make a new key for somebody here, and send its rotation; the chain's vaults are told too."""
        now = self._clock.now()
        made = rotation(key, self._keys.make(next_of(key)), old_until, now, self._keys.sign)
        self._keys.replace(key, next_of(key))
        await self.cast.rotate(made)
        await self.platform.ask("chain", "open", pack(OpenVault(rotations=(made,))))
        return made

    async def deposit(self, target: str, asset: str, units: int) -> None:
        """Let value arrive on the chain stand-in."""
        await self.platform.ask("chain", "deposit", pack(Deposit(target, asset, units)))

    async def say_price(self, name: str, price: int, sources: tuple[str, ...] = ()) -> None:
        """Let price sources say a price, in whole units of the numeraire."""
        said = Said({name: price * PRICE_SCALE}, sources)
        await self.platform.ask("price_sources", "say", pack(said))

    async def holdings(self) -> Holdings:
        """Return what the book holds."""
        return unpack(Holdings, await self.platform.ask("ledger", "holdings", pack(Empty())))

    async def _say(self, method: str, body: bytes) -> bytes:
        relay = pack(Relay(method, body))
        return unpack(Relayed, await self.platform.ask("internet", "relay", relay)).body

    def _sign(self, key: str, message: bytes) -> Signature:
        signature = self._keys.sign(key, message)
        if signature is None:
            raise UsageError(f"{key} was never made here")
        return signature


# --- for the command line ----------------------------------------------------------------------

NOT_ENFORCED_ON_LOOPBACK = (
    "the network's walls: on loopback anybody on this machine can open a connection to any port; "
    "identities, the table of who may call what, sandboxes and the book still hold"
)


def host_platform(
    policy: Policy, file: Path, folder: Path, mode: Mode, show: Callable[[States], None]
) -> None:
    """Run a platform in this process and its children until it is told to stop; `show` sees its states.

    file: where the policy was read from, for commands that find the running network.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mode == "namespaces":
        raise_walls(policy)
    not_enforced = () if mode == "namespaces" else (NOT_ENFORCED_ON_LOOPBACK,)
    running = platform(policy, folder, mode)
    with _found_by_others(file, mode):
        asyncio.run(
            platform_host.host(
                running,
                folder,
                SystemClock(),
                not_enforced,
                lambda services: show(States(services, not_enforced)),
            )
        )


def _found_by_others(file: Path, mode: Mode) -> AbstractContextManager[None]:
    """Let `ringfence net` find this network; where another one is found already, that one stays it."""
    if mode != "namespaces" or namespaces.find_standing() is not None:
        return nullcontext()
    return namespaces.standing(file.resolve(), greets=False)


def platform_states(folder: Path) -> States:
    """Ask the platform that runs in a folder how it is; UnreachableError where none does."""
    return asyncio.run(platform_host.ask_states(folder, SystemClock()))


def restart_service(folder: Path, name: str) -> None:
    """Stop one service of a running platform and start it again."""
    asyncio.run(platform_host.ask_restart(folder, SystemClock(), name))


def stop_platform(folder: Path) -> None:
    """Stop the platform that runs in a folder; UnreachableError where none does."""
    asyncio.run(platform_host.ask_stop(folder, SystemClock()))
