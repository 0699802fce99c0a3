"""One service of a platform as a process in its zone: its namespace, its identity, its sandbox, its ports.

The supervisor starts it with everything it needs (`Beginning`) and holds the other end of one socket pair,
by which it asks for the state, renews the identity and ends the process. Nothing else reaches into it: where
that socket closes, the process ends.
"""

import asyncio
import ctypes
import gc
import os
import signal
import socket
import ssl
import stat
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from ringfence.adapters.identity_x509 import (
    Svid,
    client_context,
    public_context,
    rotate,
    server_context,
    stranger_context,
)
from ringfence.adapters.port_peers import PeerAddress, PortPeers
from ringfence.adapters.port_server import Limits, Method, PortServer
from ringfence.adapters.refusal_log import RefusalLog
from ringfence.adapters.sandbox_linux import enter
from ringfence.adapters.system_clock import SystemClock
from ringfence.kernel.errors import RingfenceError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.denials import denied_call, denied_entry, denied_file
from ringfence.planes.network.sandbox import SandboxProfile, compile_sandbox
from ringfence.planes.network.wire import CallFailedError
from ringfence.policy.model import Policy

_CLONE_NEWNET = 0x4000_0000
LOG_BYTES_MAX = 1 << 20
SUPERVISOR_S = 120.0
"""How long a service waits for the first word of its supervisor."""

Take = Callable[[bytes, Instant], Any]


@dataclass(frozen=True, slots=True)
class Entrance:
    """One port: the caller who may come in by it, and its identity (None: a stranger)."""

    caller: str
    port: int
    identity: str | None


@dataclass(frozen=True, slots=True)
class Beginning:
    """Everything a process is given to begin with.

    namespace: path of the network namespace, "" for none; folder: its own, to write in; svid: None for a
    stand-in, which speaks without TLS; bundle: what it trusts; seeds: of its own keys only, by name;
    public_keys: of all keys without members; script: what a stand-in begins with; intrusion: where the
    service is broken into, with what the intruder knows.
    """

    name: str
    namespace: str
    folder: Path
    hosts: tuple[str, ...]
    entrances: tuple[Entrance, ...]
    peers: Mapping[str, PeerAddress]
    svid: Svid | None
    bundle: bytes
    seeds: Mapping[str, bytes]
    public_keys: Mapping[str, bytes]
    policy: Policy
    is_sandboxed: bool = True
    script: Mapping[str, int] = field(default_factory=dict)
    intrusion: Any = None


class Running(msgspec.Struct, frozen=True):
    """What a process says about itself: its figures, refusals, SVID serial and sandbox.

    last_failure: what its duties fail by now, and the last call that failed.
    """

    pid: int
    figures: dict[str, int | str]
    refusals: int
    failures: int
    last_failure: str
    serial: str
    sandbox: tuple[str, ...]
    not_sandboxed: tuple[str, ...]


class Identity(msgspec.Struct, frozen=True):
    """A renewed identity."""

    identity: str
    certificate: bytes
    key: bytes
    serial: str
    expires: int


class Named(msgspec.Struct, frozen=True):
    """One name, of an identity that was revoked."""

    name: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the process does: methods by caller, who may call which, duties as (name, seconds, what to do)."""

    methods: Mapping[str, Mapping[str, Take]]
    refusal: Callable[[str, str], str]
    duties: tuple[tuple[str, float, Callable[[Instant], Any]], ...]
    figures: Callable[[], Mapping[str, int | str]]
    close: Callable[[], None]


MakeWork = Callable[[Beginning, PortPeers, SystemClock], Work]
OPERATOR = "operator"


def run(beginning: Beginning, control: socket.socket, make_work: MakeWork) -> None:
    """Run a service until its supervisor says stop or goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if beginning.namespace:
        _enter_namespace(beginning.namespace)
    process = _ServiceProcess(beginning, make_work)
    try:
        asyncio.run(process.run(control))
    except BaseException:
        process.write(traceback.format_exc())
        raise


def readable_paths() -> tuple[str, ...]:
    """Return what a service must be able to read: Python, its libraries, and this package."""
    package = Path(__file__).resolve().parents[1]
    paths = {*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix + "/lib", str(package)}
    paths |= {path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    paths |= {"/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo", "/dev/urandom", "/dev/null"}
    kept = sorted(path for path in paths if Path(path).exists())
    return tuple(path for path in kept if not any(path.startswith(f"{other}/") for other in kept))


def sandbox_of(beginning: Beginning) -> SandboxProfile:
    """Return the limits of a service: its own folder to write in, its own ports, and Python to read."""
    profile = SandboxProfile(beginning.name, None, (), (), uses_udp=False)
    rules = compile_flows(beginning.policy)
    if beginning.name in rules.workloads:
        profile = compile_sandbox(rules, beginning.name)
    return replace(
        profile,
        listens=tuple(sorted({entrance.port for entrance in beginning.entrances})),
        connects=tuple(sorted({address.port for address in beginning.peers.values()})),
        reads=readable_paths(),
        writes=(str(beginning.folder), "/dev/null"),
    )


def ready_for_user(profile: SandboxProfile, folder: Path) -> tuple[SandboxProfile, tuple[str, ...]]:
    """Give a service's folder to its user; where that user could not get to it or to Python, keep this one.

    Returns the profile to enter, and in words what of it is missing.
    """
    if profile.uid is None or os.geteuid() != 0:
        return profile, ()
    shut = _shut_for(profile.uid, (*profile.reads, str(folder.parent)))
    if shut:
        words = f"user {profile.uid} may not enter {shut}, so the service keeps the user that started it"
        return replace(profile, uid=None), (words,)
    for path in (folder, *folder.rglob("*")):
        # A service may have left a link there before it died: what that leads to is not its own.
        os.chown(path, profile.uid, profile.uid, follow_symlinks=False)
    return profile, ()


def _shut_for(uid: int, paths: Sequence[str]) -> str:
    """Return the first folder on the way to paths that a user without groups may not pass through."""
    for path in paths:
        for folder in (Path(path), *Path(path).parents):
            found = folder.stat()
            may = stat.S_IXUSR if found.st_uid == uid else stat.S_IXOTH
            if folder.is_dir() and not found.st_mode & may:
                return str(folder)
    return ""


class _ServiceProcess:
    def __init__(self, beginning: Beginning, make_work: MakeWork) -> None:
        self._beginning = beginning
        self._make_work = make_work
        self._flows = compile_flows(beginning.policy)
        self._profile = sandbox_of(beginning)
        self._clock = SystemClock()
        self._stopping = asyncio.Event()
        log = Path(beginning.folder, f"{beginning.name}.log")
        self._log_file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._log = RefusalLog(self.write)
        self._servers: list[PortServer] = []
        self._contexts: list[ssl.SSLContext] = []
        self._serial = str(beginning.svid.serial) if beginning.svid else ""
        self._failures = 0
        self._failing: dict[str, str] = {}
        self._sandbox: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())

    async def run(self, control: socket.socket) -> None:
        beginning = self._beginning
        context = self._kept(client_context(beginning.svid, beginning.bundle)) if beginning.svid else None
        peers = PortPeers(beginning.peers, context or self._stranger(), self._clock)
        self._peers = peers
        if beginning.is_sandboxed:
            profile, missing = ready_for_user(self._profile, beginning.folder)
            applied = enter(profile, makes_unix_sockets=False)
            self._sandbox = applied.done, (*applied.not_done, *missing)
        work = self._make_work(beginning, peers, self._clock)
        # What is there now stays: looking through it for garbage would stop every call for a while.
        gc.collect()
        gc.freeze()
        await self._open_ports(work)
        # The supervisor starts all services before it speaks to the first, which may take it long.
        operator = PortServer(
            self._own_methods(work),
            _nothing,
            self._clock,
            self._log,
            identity=OPERATOR,
            limits=Limits(hello_s=SUPERVISOR_S),
        )
        await operator.adopt(control)
        tasks = [asyncio.ensure_future(self._repeat(*duty)) for duty in work.duties]
        tasks.append(asyncio.ensure_future(self._watch(operator)))
        stopping = asyncio.ensure_future(self._stopping.wait())
        # A duty ends only by a mistake of ours; then the process ends with it, and is started again.
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopping, *tasks):
            task.cancel()
        for server in self._servers:
            await server.close()
        await peers.close()
        work.close()
        for task in done:
            task.result()

    # --- ports

    async def _open_ports(self, work: Work) -> None:
        """Open every port; several callers may share one, each with the methods that are for it."""
        by_port: dict[int, list[Entrance]] = {}
        for entrance in self._beginning.entrances:
            by_port.setdefault(entrance.port, []).append(entrance)
        for port, sharing in by_port.items():
            offered = {
                name: self._timed(take)
                for one in sharing
                for name, take in work.methods.get(one.caller, {}).items()
            }
            if offered:
                self._servers.append(await self._open(port, sharing, offered, work))

    async def _open(
        self, port: int, sharing: Sequence[Entrance], offered: Mapping[str, Method], work: Work
    ) -> PortServer:
        svid, bundle = self._beginning.svid, self._beginning.bundle
        is_public = svid is None or any(one.identity is None for one in sharing)
        context = None
        if svid is not None:
            context = self._kept((public_context if is_public else server_context)(svid, bundle))
        server = PortServer(
            offered,
            _nothing if is_public else work.refusal,
            self._clock,
            self._log,
            identity=sharing[0].caller if is_public else None,
            lets_in=denied_entry(self._flows, self._beginning.name, port).nearest,
        )
        for host in self._beginning.hosts:
            await server.listen(host, port, context)
        return server

    def _timed(self, take: Take) -> Method:
        """Tell a method the time, and turn what it raises into an answer."""

        def method(peer: str, body: bytes) -> Any:  # noqa: ARG001
            try:
                outcome = take(body, self._clock.now())
            except (RingfenceError, PermissionError) as fault:
                raise self._failed(fault) from None
            return self._awaited(outcome) if asyncio.iscoroutine(outcome) else outcome

        return method

    async def _awaited(self, outcome: Any) -> bytes:
        try:
            answer: bytes = await outcome
        except (RingfenceError, PermissionError) as fault:
            raise self._failed(fault) from None
        return answer

    def _failed(self, fault: RingfenceError | PermissionError) -> CallFailedError:
        if isinstance(fault, CallFailedError):
            return fault
        words = self._words(fault)
        self._note_failure("", f"{type(fault).__name__}: {words}")
        return CallFailedError("failed", words)

    def _words(self, fault: RingfenceError | PermissionError) -> str:
        """Say what happened; where the sandbox refused it, with the policy's line and what is permitted."""
        if not isinstance(fault, PermissionError):
            return str(fault)
        if isinstance(fault.filename, str):
            return f"{fault.strerror}: {denied_file(self._flows, self._profile, fault.filename)}"
        return str(denied_call(self._flows, self._profile, f"what was tried ({fault.strerror})"))

    # --- the supervisor's end

    def _own_methods(self, work: Work) -> Mapping[str, Method]:
        own: dict[str, Method] = {
            "state": lambda *_: msgspec.msgpack.encode(self._state(work)),
            "renew": lambda _, body: self._renew(msgspec.msgpack.decode(body, type=Identity)),
            "revoke": lambda _, body: self._revoke(msgspec.msgpack.decode(body, type=Named).name),
            "stop": lambda *_: self._stop(),
        }
        for name, take in work.methods.get(OPERATOR, {}).items():
            own[name] = self._timed(take)
        return own

    def _state(self, work: Work) -> Running:
        return Running(
            os.getpid(),
            dict(work.figures()),
            self._log.total,
            self._failures,
            "; ".join(self._failing.values()),
            self._serial,
            *self._sandbox,
        )

    def _renew(self, identity: Identity) -> bytes:
        """Show a renewed identity from the next connection on, and make the next call over a new one."""
        svid = Svid(
            identity.identity,
            identity.certificate,
            identity.key,
            int(identity.serial),
            Instant(identity.expires),
        )
        for context in self._contexts:
            rotate(context, svid)
        self._serial = identity.serial
        self._peers.renew()
        return b""

    def _revoke(self, identity: str) -> bytes:
        for server in self._servers:
            server.revoke(identity)
        return b""

    def _stop(self) -> bytes:
        self._stopping.set()
        return b""

    async def _watch(self, operator: PortServer) -> None:
        """End with the supervisor: nobody else could say what this process may do."""
        while operator.connections:
            await asyncio.sleep(0.05)
        self._stopping.set()

    # --- duties

    async def _repeat(self, name: str, seconds: float, do: Callable[[Instant], Any]) -> None:
        while True:
            try:
                await do(self._clock.now())
                self._failing.pop(name, None)
            except (RingfenceError, PermissionError) as fault:
                self._note_failure(name, f"{name}: {self._words(fault)}")
            await asyncio.sleep(seconds)

    def _note_failure(self, duty: str, words: str) -> None:
        """Count a failure and write it down once; that of a duty is forgotten when it succeeds again."""
        self._failures += 1
        if words != self._failing.get(duty):
            self.write(words)
        self._failing[duty] = words

    def write(self, words: str) -> None:
        """Write to the log, up to a size."""
        if os.fstat(self._log_file).st_size < LOG_BYTES_MAX:
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._clock.now() // SECOND_NS))
            os.write(self._log_file, f"{moment} {words}\n".encode())

    def _kept(self, context: ssl.SSLContext) -> ssl.SSLContext:
        self._contexts.append(context)
        return context

    def _stranger(self) -> ssl.SSLContext | None:
        return stranger_context(self._beginning.bundle) if self._beginning.bundle else None


def _nothing(peer: str, method: str) -> str:  # noqa: ARG001
    return ""


def _enter_namespace(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(handle)
    # A service has no power of root when it opens its ports, and some of them are below 1024.
    Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", "ascii")
