"""A platform that runs until somebody says stop: its operator's socket, and how to reach it from a command.

The socket lies in the platform's folder, which only its owner may enter. It can show, restart and stop
services; it moves nothing and signs nothing.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec

from ringfence.adapters.platform_processes import Platform, ServiceState
from ringfence.adapters.port_client import PortClient
from ringfence.adapters.port_server import Method, PortServer
from ringfence.adapters.service_process import Named
from ringfence.kernel.errors import RingfenceError, UnreachableError
from ringfence.kernel.instant import Clock
from ringfence.planes.network.wire import CallFailedError

SOCKET = "operator.sock"
SHOW_S = 0.5

Show = Callable[[tuple[ServiceState, ...]], None]


class States(msgspec.Struct, frozen=True):
    """How every service is, and what this platform does not enforce."""

    services: tuple[ServiceState, ...]
    not_enforced: tuple[str, ...]


async def host(
    platform: Platform, folder: Path, clock: Clock, not_enforced: tuple[str, ...], show: Show
) -> None:
    """Run a platform until it is told to stop, by its socket or by a signal; `show` sees its states."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    try:
        await platform.start()
        server = PortServer(
            _methods(platform, not_enforced, stopping), _owner, clock, print, identity="owner"
        )
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        await server.listen_in_folder(str(path))
        os.chmod(path, 0o600)
        while not stopping.is_set():
            show(await platform.states())
            try:
                await asyncio.wait_for(stopping.wait(), SHOW_S)
            except TimeoutError:
                continue
        path.unlink(missing_ok=True)
    finally:
        await platform.stop()


def _owner(peer: str, method: str) -> str:  # noqa: ARG001
    return ""


def _methods(platform: Platform, not_enforced: tuple[str, ...], stopping: asyncio.Event) -> dict[str, Method]:
    async def states(_: str, __: bytes) -> bytes:
        return msgspec.msgpack.encode(States(await platform.states(), not_enforced))

    async def restart(_: str, body: bytes) -> bytes:
        name = msgspec.msgpack.decode(body, type=Named).name
        try:
            await platform.restart(name)
        except RingfenceError as fault:
            raise CallFailedError("failed", str(fault)) from None
        return b""

    def stop(_: str, __: bytes) -> bytes:
        stopping.set()
        return b""

    return {"states": states, "restart": restart, "stop": stop}


async def ask_states(folder: Path, clock: Clock) -> States:
    """Ask the platform in a folder how it is; UnreachableError where none runs."""
    return msgspec.msgpack.decode(await _call(folder, clock, "states", b""), type=States)


async def ask_restart(folder: Path, clock: Clock, name: str) -> None:
    """Ask it to stop one service and start it again."""
    await _call(folder, clock, "restart", msgspec.msgpack.encode(Named(name)))


async def ask_stop(folder: Path, clock: Clock) -> None:
    """Ask it to stop, and wait until it has gone."""
    await _call(folder, clock, "stop", b"")
    for _ in range(500):
        if not (folder / SOCKET).exists():
            return
        await asyncio.sleep(0.02)
    raise UnreachableError("the platform was told to stop and still runs after 10 s")


async def _call(folder: Path, clock: Clock, method: str, body: bytes) -> bytes:
    try:
        client = await PortClient.connect_in_folder(str(folder / SOCKET))
    except UnreachableError:
        raise UnreachableError(f"no platform runs in {folder}; start one with `ringfence up`") from None
    try:
        return await client.call(clock, method, body, seconds=60)
    finally:
        await client.close()
