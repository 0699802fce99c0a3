"""The server's end of the binary port, on real sockets, over TLS or without.

The rules of a connection are `planes.network.wire`; here are bytes, deadlines and limits. A peer is known by
the one URI of the certificate that TLS has verified; where a connection has no TLS (a UNIX socket, or a
benchmark), the identity is stated when the server is made. A connection that breaks a rule, stalls in the
middle of a frame or does not say hello in time is closed, and the reason is logged once.
"""

import asyncio
import inspect
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from ringfence.adapters.port_identity import identity_of
from ringfence.kernel.instant import Clock
from ringfence.planes.network.wire import (
    VERSION,
    WINDOW,
    Answer,
    Call,
    CallFailedError,
    Failure,
    Frames,
    Hello,
    Message,
    ProtocolFault,
    ServerRules,
    frame,
    is_late,
)

Method = Callable[[str, bytes], bytes | Awaitable[bytes]]
"""What a method does: from the peer's identity and the body of the call to the body of the answer."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one server bears: connections at once, calls in flight on each, and how long it waits."""

    connections: int = 1_000
    window: int = WINDOW
    handshake_s: float = 5.0
    hello_s: float = 5.0
    frame_s: float = 10.0


class PortServer:
    """Serves methods to peers.

    methods: by name; allows: whether the peer with this identity may call this method; identity: the peer's
    identity on connections without TLS; log: takes one sentence for each connection closed for cause.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        allows: Callable[[str, str], bool],
        clock: Clock,
        log: Callable[[str], None],
        *,
        identity: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.methods = methods
        self.allows = allows
        self.clock = clock
        self.log = log
        self.identity = identity
        self.limits = limits or Limits()
        self.connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen on `host` and `port` (0: any free one); returns the port."""
        handshake = self.limits.handshake_s if context else None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Connection(self), host, port, ssl=context, ssl_handshake_timeout=handshake
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and close every connection."""
        if self._server is not None:
            self._server.close()
        for connection in tuple(self.connections):
            connection.close("")
        if self._server is not None:
            await self._server.wait_closed()

    def drop(self, identity: str) -> int:
        """Close every connection of a peer, as when its identity was revoked; returns how many."""
        found = [connection for connection in self.connections if connection.peer == identity]
        for connection in found:
            connection.close(f"{identity} was revoked")
        return len(found)


class _Connection(asyncio.Protocol):
    """One client of a server."""

    def __init__(self, server: PortServer) -> None:
        self._server = server
        self._frames = Frames()
        self._rules = ServerRules(server.limits.window)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        if len(self._server.connections) > self._server.limits.connections:
            self.close(f"there were {self._server.limits.connections} connections already")
            return
        identity, fault = identity_of(self._transport, self._server.identity)
        if fault:
            self.close(fault)
            return
        self.peer = identity
        self._wait(self._server.limits.hello_s, "no hello came in time")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)
        self._stop_waiting()
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                self._take(self._rules.accept(message))
        except ProtocolFault as fault:
            self.close(str(fault))
            return
        if self._frames.is_between_frames:
            self._stop_waiting()
        elif self._timer is None:
            self._wait(self._server.limits.frame_s, "a frame was begun and not finished in time")

    def pause_writing(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self, reason: str) -> None:
        """Close at once; a reason is logged."""
        if self._transport is not None and not self._transport.is_closing():
            if reason:
                self._server.log(f"{self.peer or 'an unknown peer'}: {reason}")
            self._transport.abort()

    def _take(self, message: Hello | Call) -> None:
        if isinstance(message, Hello):
            self._stop_waiting()
            self._send(Hello(VERSION, self._server.limits.window))
            return
        refusal = self._refusal(message)
        if refusal is not None:
            self._answer(refusal)
            return
        outcome = _outcome(self._server.methods[message.method], self.peer, message)
        if isinstance(outcome, Answer | Failure):
            self._answer(outcome)
        else:
            task = self._loop.create_task(self._finish(message, outcome))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _finish(self, call: Call, outcome: Awaitable[bytes]) -> None:
        try:
            self._answer(Answer(call.id, await outcome))
        except CallFailedError as failed:
            self._answer(Failure(call.id, failed.code, str(failed)))

    def _refusal(self, call: Call) -> Failure | None:
        if call.method not in self._server.methods:
            return Failure(call.id, "unknown_method", f"there is no method {call.method!r} here")
        if not self._server.allows(self.peer, call.method):
            return Failure(call.id, "not_allowed", f"{self.peer} may not call {call.method!r}")
        if is_late(call, self._server.clock.now()):
            return Failure(call.id, "too_late", "the deadline of the call had passed")
        return None

    def _answer(self, message: Answer | Failure) -> None:
        self._rules.answered(message.id)
        self._send(message)

    def _send(self, message: Message) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame(message))

    def _wait(self, seconds: float, words: str) -> None:
        self._stop_waiting()
        self._timer = self._loop.call_later(seconds, self.close, words)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _outcome(method: Method, peer: str, call: Call) -> Answer | Failure | Awaitable[bytes]:
    try:
        outcome = method(peer, call.body)
    except CallFailedError as failed:
        return Failure(call.id, failed.code, str(failed))
    if inspect.isawaitable(outcome):
        return outcome
    return Answer(call.id, outcome)
