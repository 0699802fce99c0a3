"""The server's end of the binary port, on real sockets, over TLS or without.

The rules of a connection are `planes.network.wire`; here are bytes, deadlines and limits. A peer is known by
the one URI of the certificate that TLS has verified; where a connection has no TLS (a UNIX socket, or a
benchmark), the identity is stated when the server is made. A connection that TLS refuses, breaks a rule,
stalls in the middle of a frame or does not say hello in time is closed, and the reason is logged once.

Connections are counted from the moment they are accepted, before TLS has said who they are, and each peer has
its own part of them: neither strangers nor one broken peer can keep the others out for long.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast

from ringfence.adapters.port_identity import expiry_of, identity_of
from ringfence.kernel.instant import SECOND_NS, Clock
from ringfence.planes.network.wire import (
    BODY_MAX,
    VERSION,
    WINDOW,
    Answer,
    Call,
    CallFailedError,
    Failure,
    FailureCode,
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
    """What one server bears: connections at once, in all and of one peer; calls in flight on each; and how
    long it waits."""

    connections: int = 1_000
    of_one_peer: int = 200
    window: int = WINDOW
    handshake_s: float = 5.0
    hello_s: float = 5.0
    frame_s: float = 10.0


ACCEPT_AGAIN_S = 0.1
"""How long to wait where nothing more can be accepted."""


class PortServer:
    """Serves methods to peers.

    methods: by name; refusal: why the peer with this identity may not call a method, "" where it may;
    lets_in: whom the policy lets in, in words for the log where TLS refuses somebody;
    identity: the peer's identity on connections without TLS; log: takes one sentence for each connection
    closed for cause and each call refused.
    """

    def __init__(
        self,
        methods: Mapping[str, Method],
        refusal: Callable[[str, str], str],
        clock: Clock,
        log: Callable[[str], None],
        *,
        identity: str | None = None,
        limits: Limits | None = None,
        lets_in: str = "",
    ) -> None:
        self.methods = methods
        self.refusal = refusal
        self.clock = clock
        self.log = log
        self.identity = identity
        self.lets_in = f"; {lets_in}" if lets_in else ""
        self.limits = limits or Limits()
        self.revoked: set[str] = set()
        self.connections: set[_Connection] = set()
        self._admitted: set[asyncio.Task[None]] = set()
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> int:
        """Listen on `host` and `port` (0: any free one) too; returns the port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=1_024)
        self._accept_from(listener, context)
        return int(listener.getsockname()[1])

    def _accept_from(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        listener.setblocking(False)
        self._listeners.append(listener)
        self._accepting.append(asyncio.get_running_loop().create_task(self._accept(listener, context)))

    async def listen_in_folder(self, path: str) -> None:
        """Listen on a UNIX socket at `path`; whoever may open that file may call."""
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        self._accept_from(listener, None)

    async def adopt(self, connected: socket.socket) -> None:
        """Serve whoever is at the other end of a connected socket."""
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: _Connection(self), connected)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        waiting = [*self._accepting, *self._admitted]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for listener in self._listeners:
            listener.close()
        for connection in tuple(self.connections):
            connection.close("")

    async def _accept(self, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as fault:
                # No descriptor is left, or the peer was gone already: others still want to be served.
                self.log(f"a connection could not be accepted: {fault.strerror}")
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            if len(self.connections) + len(self._admitted) >= self.limits.connections:
                self.log(f"an unknown peer: there were {self.limits.connections} connections already")
                accepted.close()
                continue
            task = loop.create_task(self._admit(accepted, context))
            self._admitted.add(task)
            task.add_done_callback(self._admitted.discard)

    async def _admit(self, accepted: socket.socket, context: ssl.SSLContext | None) -> None:
        """Let TLS say who it is; the connection looks after itself from then on."""
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Connection(self),
                accepted,
                ssl=context,
                ssl_handshake_timeout=self.limits.handshake_s if context else None,
            )
        except OSError as fault:
            self.log(f"an unknown peer: TLS refused it: {fault}{self.lets_in}")
            accepted.close()

    def revoke(self, identity: str) -> int:
        """Let a peer in no more, and close every connection it has; returns how many."""
        self.revoked.add(identity)
        return self.drop(identity)

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
        self._age: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._greeted = False
        self._outgoing: list[bytes] = []
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        identity, fault = identity_of(self._transport, self._server.identity)
        if fault:
            self.close(f"{fault}{self._server.lets_in}")
            return
        self.peer = identity
        if (
            sum(other.peer == identity for other in self._server.connections)
            > self._server.limits.of_one_peer
        ):
            self.close(f"it had {self._server.limits.of_one_peer} connections already")
            return
        if identity in self._server.revoked:
            self.close(f"{identity} was revoked")
            return
        self._end_with_certificate(self._transport)
        self._wait(self._server.limits.hello_s, "no hello came in time")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(self)
        self._stop_waiting()
        if self._age is not None:
            self._age.cancel()
        for task in self._tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        taken = 0
        try:
            for message in self._frames.feed(data):
                self._take(self._rules.accept(message))
                taken += 1
        except ProtocolFault as fault:
            self.close(str(fault))
            return
        self._flush()
        if self._frames.is_between_frames:
            if self._greeted:
                self._stop_waiting()
        elif self._timer is None or taken:
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
            self._greeted = True
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
        self._flush()

    def _refusal(self, call: Call) -> Failure | None:
        if call.method not in self._server.methods:
            known = ", ".join(sorted(self._server.methods)) or "none"
            return self._refused(
                call, "unknown_method", f"there is no method {call.method!r}; there are {known}"
            )
        words = self._server.refusal(self.peer, call.method)
        if words:
            return self._refused(call, "not_allowed", words)
        if is_late(call, self._server.clock.now()):
            return Failure(call.id, "too_late", "the deadline of the call had passed")
        return None

    def _refused(self, call: Call, code: FailureCode, words: str) -> Failure:
        """Refuse a call that nobody should have made, and log it."""
        self._server.log(f"{self.peer}: {words}")
        return Failure(call.id, code, words)

    def _answer(self, message: Answer | Failure) -> None:
        if isinstance(message, Answer) and len(message.body) > BODY_MAX:
            message = Failure(message.id, "failed", f"an answer of {len(message.body)} bytes fits no frame")
        self._rules.answered(message.id)
        self._send(message)

    def _send(self, message: Message) -> None:
        self._outgoing.append(frame(message))

    def _flush(self) -> None:
        """Write all that was answered at once: one write costs more than many answers."""
        if self._outgoing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _end_with_certificate(self, transport: asyncio.Transport) -> None:
        """Close when the peer's certificate ends: it must come back with a newer one before."""
        expires = expiry_of(transport)
        if expires is not None:
            seconds = max(0, expires - self._server.clock.now()) / SECOND_NS
            self._age = self._loop.call_later(seconds, self.close, "its certificate has expired")

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
    return Answer(call.id, outcome) if isinstance(outcome, bytes) else outcome
