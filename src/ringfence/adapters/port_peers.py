"""The other services as one service sees them: a connection to each, made when needed, made anew when lost.

When the service's identity is renewed, the next call goes over a new connection that shows it; the old one is
closed once its answers have come, so that no call is dropped.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from ringfence.adapters.port_client import PortClient
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import Clock

CALL_S = 5.0
CONNECT_S = 2.0


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer listens for us, and the identity it must show; None for what has none (a stand-in)."""

    host: str
    port: int
    identity: str | None


class PortPeers:
    """Calls to other services; context: how this service shows itself (None: it speaks without TLS)."""

    def __init__(
        self, addresses: Mapping[str, PeerAddress], context: ssl.SSLContext | None, clock: Clock
    ) -> None:
        self._addresses = addresses
        self._context = context
        self._clock = clock
        self._clients: dict[str, PortClient] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def call(self, target: str, method: str, body: bytes) -> bytes:
        """Ask a peer; UnreachableError where no flow leads there or nobody answers."""
        client = await self._client(target)
        return await client.call(self._clock, method, body, seconds=CALL_S)

    def renew(self) -> None:
        """Make the next call to each peer over a new connection."""
        for client in self._clients.values():
            task = asyncio.ensure_future(client.finish())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._clients.clear()

    async def close(self) -> None:
        """Close every connection."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    async def _client(self, target: str) -> PortClient:
        address = self._addresses.get(target)
        if address is None:
            raise UnreachableError(f"the policy declares no flow to {target}")
        async with self._locks.setdefault(target, asyncio.Lock()):
            client = self._clients.get(target)
            if client is None or not client.is_open:
                context = self._context if address.identity is not None else None
                client = await PortClient.connect(
                    address.host, address.port, context, expected=address.identity, seconds=CONNECT_S
                )
                self._clients[target] = client
        return client
