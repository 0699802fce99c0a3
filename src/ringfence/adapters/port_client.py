"""The client's end of the binary port: one connection, many calls at once."""

import asyncio
import socket
import ssl
from typing import cast

from ringfence.adapters.port_identity import identity_of
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Clock
from ringfence.planes.network.wire import (
    BODY_MAX,
    VERSION,
    WINDOW,
    Answer,
    Call,
    CallFailedError,
    Frames,
    Hello,
    Message,
    ProtocolFault,
    frame,
)

SWEEP_S = 0.01
"""How often calls are looked through for those whose time is over."""


class PortClient(asyncio.Protocol):
    """One connection to a server; `call` may be awaited many times at once."""

    def __init__(self, expected: str | None) -> None:
        self._expected = expected
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, tuple[asyncio.Future[bytes], float, str]] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._outgoing: list[bytes] = []
        self._next = 0
        self._greeted: asyncio.Future[Hello] = self._loop.create_future()
        self._window = asyncio.Semaphore(WINDOW)
        self._fault = "the connection was closed"

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        context: ssl.SSLContext | None = None,
        *,
        expected: str | None = None,
        seconds: float = 5.0,
    ) -> "PortClient":
        """Connect and exchange hellos.

        expected: the identity that the server must show (required with TLS). Raises UnreachableError where
        nobody answers, TLS refuses, or somebody else is there.
        """
        if (context is None) != (expected is None):
            raise ValueError("a connection with TLS needs the identity to expect, and one without has none")
        try:
            async with asyncio.timeout(seconds):
                _, client = await asyncio.get_running_loop().create_connection(
                    lambda: cls(expected), host, port, ssl=context
                )
                hello = await client._greeted
        except (OSError, TimeoutError) as fault:
            raise UnreachableError(f"{host} port {port} cannot be reached: {fault}") from None
        client._window = asyncio.Semaphore(hello.window)
        return client

    @classmethod
    async def connect_in_folder(cls, path: str, *, seconds: float = 5.0) -> "PortClient":
        """Connect to a UNIX socket; UnreachableError where nobody answers."""
        connected = socket.socket(socket.AF_UNIX)
        try:
            connected.connect(path)
        except OSError as fault:
            connected.close()
            raise UnreachableError(f"nobody answers at {path}: {fault.strerror}") from None
        connected.setblocking(False)
        return await cls.adopt(connected, seconds=seconds)

    @classmethod
    async def adopt(cls, connected: socket.socket, *, seconds: float = 5.0) -> "PortClient":
        """Speak over a socket that is connected already; UnreachableError where nobody answers."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, client = await loop.create_connection(lambda: cls(None), sock=connected)
                hello = await client._greeted
        except (OSError, TimeoutError) as fault:
            raise UnreachableError(f"nobody answers: {fault}") from None
        client._window = asyncio.Semaphore(hello.window)
        return client

    @property
    def is_open(self) -> bool:
        """Say whether calls can still be made."""
        return self._transport is not None and not self._transport.is_closing()

    async def finish(self) -> None:
        """Wait for the answers that are due, then close; no new call may be made meanwhile."""
        while self._waiting:
            await asyncio.sleep(0.01)
        await self.close()

    async def call(self, clock: Clock, method: str, body: bytes, *, seconds: float = 5.0) -> bytes:
        """Ask for `method` and wait for its answer; CallFailedError or UnreachableError where none comes."""
        if len(body) > BODY_MAX:
            raise CallFailedError("bad_body", f"a body of {len(body)} bytes does not fit a frame")
        await self._take_a_place(method, seconds)
        if self._transport is None or self._transport.is_closing():
            self._window.release()
            raise UnreachableError(self._fault)
        self._next += 1
        loop = self._loop
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting[self._next] = (answer, loop.time() + seconds, method)
        self._send(frame(Call(self._next, method, clock.now() + int(seconds * SECOND_NS), body)))
        if self._sweep is None:
            self._sweep = loop.call_later(SWEEP_S, self._give_up)
        return await answer

    async def _take_a_place(self, method: str, seconds: float) -> None:
        """Wait for a place in the window; what is free at once costs no timer."""
        if not self._window.locked():
            await self._window.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._window.acquire()
        except TimeoutError:
            raise UnreachableError(f"{method!r} found no place in the window within {seconds:g} s") from None

    def _give_up(self) -> None:
        """Fail the calls whose time is over; one timer for all of them costs less than one for each."""
        now = self._loop.time()
        for answer, due, method in self._waiting.values():
            if now >= due and not answer.done():
                answer.set_exception(UnreachableError(f"{method!r} was not answered in time"))
        self._sweep = self._loop.call_later(SWEEP_S, self._give_up) if self._waiting else None

    def _send(self, data: bytes) -> None:
        """Write soon, with whatever else is called for until then: one write costs more than many calls."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(data)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    async def close(self) -> None:
        """Close the connection; calls that still wait end in UnreachableError."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Check who answered, and say hello."""
        self._transport = cast(asyncio.Transport, transport)
        if self._expected is not None:
            found, fault = identity_of(transport, None)
            if fault or found != self._expected:
                self._fail(fault or f"{found} answered where {self._expected} was expected")
                return
        self._transport.write(frame(Hello(VERSION)))

    def data_received(self, data: bytes) -> None:
        """Take what the server sent."""
        try:
            for message in self._frames.feed(data):
                self._take(message)
        except ProtocolFault as fault:
            self._fail(str(fault))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Fail every call that still waits."""
        self._fail(self._fault)

    def _take(self, message: Message) -> None:
        if isinstance(message, Hello):
            if message.version != VERSION:
                raise ProtocolFault(f"version {message.version} was spoken; this end speaks {VERSION}")
            if not self._greeted.done():
                self._greeted.set_result(message)
            return
        if isinstance(message, Call):
            raise ProtocolFault("a server answers calls and makes none")
        waiting = self._waiting.pop(message.id, None)
        if waiting is None:
            raise ProtocolFault(f"call {message.id} was answered and never asked")
        # Only now: a call whose caller gave up still takes its place in the server's window.
        self._window.release()
        answer, *_ = waiting
        if answer.done():
            return
        if isinstance(message, Answer):
            answer.set_result(message.body)
        else:
            answer.set_exception(CallFailedError(message.code, message.words))

    def _fail(self, reason: str) -> None:
        self._fault = reason
        if self._transport is not None:
            self._transport.abort()
        for answer, *_ in self._waiting.values():
            if not answer.done():
                answer.set_exception(UnreachableError(reason))
        self._waiting.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        if not self._greeted.done():
            self._greeted.set_exception(UnreachableError(reason))
            # Nobody may be left to ask for the hello; that is no error of its own.
            self._greeted.exception()
