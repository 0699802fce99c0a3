"""The supervisor of a platform: starts every service as a process in its zone, and knows how each is.

It is the platform's authority: it issues every identity, renews it at half of its life, and revokes. It hands
each service the keys that this service holds, and no other. It takes part in nothing that the services do.
Processes are forked by a server that was started before any secret was read, so none inherits one.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import msgspec

from ringfence.adapters.identity_x509 import Authority, Svid
from ringfence.adapters.port_client import PortClient
from ringfence.adapters.service_process import Beginning, Identity, Named, Running
from ringfence.kernel.errors import RingfenceError, UnreachableError, UsageError
from ringfence.kernel.instant import DAY_NS, MINUTE_NS, Clock, Instant

SVID_NS = 10 * MINUTE_NS
"""How long an identity is good; it is renewed at half of that."""

AUTHORITY_NS = 3_650 * DAY_NS
"""How long the authority of one platform is good: longer than the platform runs, as its key dies with it."""

CLOCK_BACK_NS = DAY_NS
"""How far the clock may be set back and the authority is still good."""

RESTARTS_MAX, RESTARTS_NS = 5, 10 * MINUTE_NS
"""How often within which time a service is started again by itself before it is left to a person."""

READY_S = 60.0
STOP_S = 5.0

Start = Callable[[Beginning, socket.socket], None]
"""What a new process runs; a function of a module, so that it can be found there."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """How one service is: `running`, `stopped`, `restarting` or `failed`, with what it says about itself.

    restarts: how often it was started again by itself since a person last started it.
    """

    name: str
    state: str
    restarts: int
    running: Running | None


class _Held:
    """One service and the supervisor's end of its socket pair."""

    def __init__(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self.process: ForkServerProcess | None = None
        self.client: PortClient | None = None
        self.issued = Instant(0)
        self.restarts = 0
        self.restarted: tuple[Instant, ...] = ()
        self.is_wanted = True
        self.is_given_up = False


def is_renewal_due(issued: int, now: int, life_ns: int) -> bool:
    """Say whether half of an identity's life is over, or the clock was set back and it is not good yet."""
    return not 0 <= now - issued <= life_ns // 2


def may_restart(restarted: Sequence[Instant], now: Instant) -> bool:
    """Say whether a service that died is started again: not where it did so too often of late.

    A restart that lies in the future, after the clock was set back, counts as one of late.
    """
    return sum(now - at < RESTARTS_NS for at in restarted) < RESTARTS_MAX


class Platform:
    """Every process of one platform.

    identities: the SPIFFE id of each service that has one; start: see `Start`; preload: modules to import
    before forking.
    """

    def __init__(
        self,
        beginnings: Mapping[str, Beginning],
        identities: Mapping[str, str],
        trust_domain: str,
        clock: Clock,
        start: Start,
        preload: list[str],
        svid_ns: int = SVID_NS,
    ) -> None:
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(preload)
        self._clock = clock
        self._start = start
        self._svid_ns = svid_ns
        began = Instant(clock.now() - CLOCK_BACK_NS)
        self._authority = Authority.create(trust_domain, began, CLOCK_BACK_NS + AUTHORITY_NS)
        self._held = {name: _Held(beginning) for name, beginning in beginnings.items()}
        self._identities = identities
        self._sockets: dict[str, socket.socket] = {}
        self._revoked: set[str] = set()
        self._tending: asyncio.Task[None] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The services and stand-ins."""
        return tuple(self._held)

    async def start(self) -> None:
        """Start everything and wait until each answers; UnreachableError names the one that does not."""
        for name in self._held:
            self._spawn(name)
        await asyncio.gather(*(self._meet(name) for name in self._held))
        self._tending = asyncio.ensure_future(self._tend())

    async def stop(self) -> None:
        """Stop everything; what does not stop by itself is killed."""
        if self._tending is not None:
            self._tending.cancel()
        await asyncio.gather(*(self.stop_one(name) for name in self._held))

    async def stop_one(self, name: str) -> None:
        """Stop one service; it is not started again by itself."""
        held = self._one(name)
        held.is_wanted = False
        with contextlib.suppress(RingfenceError):
            await self.ask(name, "stop", b"")
        await self._gone(held)

    async def restart(self, name: str) -> None:
        """Stop one service and start it again; the others go on."""
        await self.stop_one(name)
        held = self._one(name)
        self._begin_anew(held)
        self._spawn(name)
        await self._meet(name)

    def kill(self, name: str) -> None:
        """Kill one process without a word, as a crash does; it is started again by itself."""
        process = self._one(name).process
        if process is not None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)

    async def ask(self, name: str, method: str, body: bytes, seconds: float = 5.0) -> bytes:
        """Call an operator's method of a process; UnreachableError where it does not run."""
        client = self._one(name).client
        if client is None or not client.is_open:
            raise UnreachableError(f"{name} is not running")
        return await client.call(self._clock, method, body, seconds=seconds)

    async def states(self) -> tuple[ServiceState, ...]:
        """Ask every process how it is."""
        return tuple(await asyncio.gather(*(self._state(name) for name in self._held)))

    async def renew(self, name: str) -> None:
        """Give a service a new identity certificate now."""
        held = self._one(name)
        svid = self._issue(held)
        if svid is not None:
            fresh = Identity(svid.identity, svid.certificate, svid.key, str(svid.serial), svid.expires)
            await self.ask(name, "renew", msgspec.msgpack.encode(fresh))

    async def revoke(self, name: str) -> None:
        """Let nobody speak with this service's identity any more; connections it has are closed."""
        svid = self._one(name).beginning.svid
        if svid is None:
            raise UsageError(f"{name} is a stand-in and has no identity")
        self._revoked.add(svid.identity)
        body = msgspec.msgpack.encode(Named(svid.identity))
        for other in self._held:
            with contextlib.suppress(RingfenceError):
                await self.ask(other, "revoke", body)

    def beginning(self, name: str) -> Beginning:
        """Return what a service begins with: all that whoever breaks into it has."""
        return self._one(name).beginning

    async def put_in_place(self, name: str, beginning: Beginning) -> None:
        """Stop a service and start another in its place, with that service's zone, identity and ports."""
        await self.stop_one(name)
        held = self._one(name)
        held.beginning = beginning
        self._begin_anew(held)
        self._spawn(name)
        await self._meet(name)

    # --- processes

    def _begin_anew(self, held: _Held) -> None:
        """A person wants it to run: what went before no longer counts."""
        held.is_wanted, held.is_given_up, held.restarts, held.restarted = True, False, 0, ()

    def _spawn(self, name: str) -> None:
        held = self._held[name]
        svid = self._issue(held)
        held.beginning = replace(held.beginning, svid=svid, bundle=self._authority.bundle)
        held.beginning.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        ours, theirs = socket.socketpair()
        held.process = self._context.Process(
            target=self._start, args=(held.beginning, theirs), name=f"ringfence {name}", daemon=True
        )
        held.process.start()
        theirs.close()
        held.client = None
        self._sockets[name] = ours

    async def _meet(self, name: str) -> None:
        """Wait until a process answers, and tell it who was revoked before it began."""
        held = self._held[name]
        try:
            held.client = await PortClient.adopt(self._sockets.pop(name), seconds=READY_S)
        except UnreachableError:
            log = Path(held.beginning.folder, f"{name}.log")
            raise UnreachableError(f"{name} did not start; see {log}") from None
        for identity in self._revoked:
            await self.ask(name, "revoke", msgspec.msgpack.encode(Named(identity)))

    async def _gone(self, held: _Held) -> None:
        process = held.process
        if process is None:
            return
        for _ in range(int(STOP_S / 0.02)):
            if not process.is_alive():
                break
            await asyncio.sleep(0.02)
        else:
            process.kill()
        process.join(1)
        held.process = None

    async def _tend(self) -> None:
        """Renew identities in time, and start again what died."""
        while True:
            await asyncio.sleep(0.2)
            for name, held in self._held.items():
                if held.is_wanted and held.process is not None and not held.process.is_alive():
                    await self._revive(name, held)
                elif is_renewal_due(held.issued, self._clock.now(), self._svid_ns):
                    with contextlib.suppress(RingfenceError):
                        await self.renew(name)

    async def _revive(self, name: str, held: _Held) -> None:
        now = self._clock.now()
        if not may_restart(held.restarted, now):
            held.is_wanted, held.is_given_up = False, True
            return
        held.restarts += 1
        held.restarted = (*held.restarted, now)[-RESTARTS_MAX:]
        self._spawn(name)
        with contextlib.suppress(RingfenceError):
            await self._meet(name)

    async def _state(self, name: str) -> ServiceState:
        held = self._held[name]
        try:
            running = msgspec.msgpack.decode(await self.ask(name, "state", b""), type=Running)
        except RingfenceError:
            state = "restarting" if held.is_wanted else "stopped"
            return ServiceState(name, "failed" if held.is_given_up else state, held.restarts, None)
        return ServiceState(name, "running", held.restarts, running)

    def _issue(self, held: _Held) -> Svid | None:
        identity = self._identities.get(held.beginning.name)
        if identity is None:
            return None
        held.issued = self._clock.now()
        return self._authority.issue(identity, held.issued, self._svid_ns)

    def _one(self, name: str) -> _Held:
        if name not in self._held:
            raise UsageError(f"there is no service {name!r}; there are {', '.join(self._held)}")
        return self._held[name]
