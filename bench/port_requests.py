"""Pre-trade checks a second over the binary port, beside the same check as a FastAPI JSON endpoint.

    python bench/port_requests.py [checks]

Both servers run in a process of their own on loopback without TLS, and answer from a table in memory: what is
measured is the way there and back. The port's client keeps a window of calls in flight on each connection, as
a matching engine does; the HTTP client speaks raw HTTP/1.1 with keep-alive over as many connections and keeps
one request in flight on each, since HTTP/1.1 answers in order. Beside the throughput stands the latency of
calls sent at a steady rate, from the moment each was due, so that a stall counts for all that waited.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

import msgspec
from ratio import show_ratio

from ringfence.adapters.port_client import PortClient
from ringfence.adapters.port_server import PortServer
from ringfence.adapters.system_clock import SystemClock

PEER = Path(__file__).parent / "peers" / "http_checks.py"
CONNECTIONS, RUNS = 8, 3
RATES = (1_000, 5_000, 20_000, 50_000)
HTTP_RATES = (1_000, 5_000)
FREE = {f"client/c{number}/hedge": 10**12 for number in range(500)}
CLOCK = SystemClock()


class Check(msgspec.Struct, array_like=True):
    """An order, as the matching engine asks about it."""

    bucket: str
    contracts: int
    price_e10: int


BODY = json.dumps({"bucket": "client/c7/hedge", "contracts": 3, "price_e10": 10**10}).encode()
HEAD = f"POST /check HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}"
REQUEST = HEAD.encode() + b"\r\n\r\n" + BODY
CHECK = msgspec.msgpack.encode(Check("client/c7/hedge", 3, 10**10))
_decode = msgspec.msgpack.Decoder(Check).decode


def check(_: str, body: bytes) -> bytes:
    """Say whether the bucket has the margin for it."""
    order = _decode(body)
    return b"\x01" if order.contracts * order.price_e10 <= FREE.get(order.bucket, 0) else b"\x00"


async def serve(port: int) -> None:
    """Serve the check until killed."""
    server = PortServer({"check": check}, lambda *_: "", CLOCK, print, identity="spiffe://bench/matching")
    await server.listen("127.0.0.1", port)
    await asyncio.Event().wait()


async def ask_port(clients: list[PortClient], checks: int) -> float:
    """Send `checks` calls over all connections, each with a window of them in flight; returns seconds."""

    async def lane(client: PortClient, count: int) -> None:
        for _ in range(count):
            assert await client.call(CLOCK, "check", CHECK) == b"\x01"

    lanes = 64
    start = time.perf_counter()
    await asyncio.gather(
        *(lane(client, checks // lanes // len(clients)) for client in clients for _ in range(lanes))
    )
    return time.perf_counter() - start


async def ask_http(port: int, checks: int) -> float:
    """Send `checks` requests over as many connections, one after the other on each; returns seconds."""

    async def lane(count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(count):
            writer.write(REQUEST)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readuntil(b"}") == b'{"accepted":true}'
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(lane(checks // CONNECTIONS) for _ in range(CONNECTIONS)))
    return time.perf_counter() - start


async def pace_http(port: int, rate: int, seconds: float) -> list[float]:
    """Send requests at a steady rate over free connections; return how long after its due time each was
    answered."""
    waits: list[float] = []
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    start = time.perf_counter()

    async def one(due: float) -> None:
        reader, writer = await free.get()
        writer.write(REQUEST)
        await reader.readuntil(b"}")
        free.put_nowait((reader, writer))
        waits.append(time.perf_counter() - due)

    tasks = []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.ensure_future(one(due)))
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return waits


async def pace(clients: list[PortClient], rate: int, seconds: float) -> list[float]:
    """Send calls at a steady rate; return how long after its due time each was answered."""
    waits: list[float] = []
    start = time.perf_counter()

    async def one(client: PortClient, due: float) -> None:
        await client.call(CLOCK, "check", CHECK, seconds=30)
        waits.append(time.perf_counter() - due)

    sent, tasks = 0, set()
    while sent < rate * seconds:
        due_now = int((time.perf_counter() - start) * rate)
        while sent < min(due_now, rate * seconds):
            task = asyncio.ensure_future(one(clients[sent % len(clients)], start + sent / rate))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    return waits


def show_waits(waits: list[float]) -> str:
    """Write the median and the 99th percentile in milliseconds."""
    ordered = sorted(waits)
    return f"median {ordered[len(ordered) // 2] * 1e3:.2f}, p99 {ordered[int(len(ordered) * 0.99)] * 1e3:.2f}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_up(connect: Callable[[], Awaitable[object]]) -> None:
    for _ in range(200):
        try:
            await connect()
            return
        except OSError:
            await asyncio.sleep(0.05)
    raise SystemExit("a server did not come up within 10 s")


async def main(checks: int) -> None:
    ours, theirs = free_port(), free_port()
    servers = [
        subprocess.Popen([sys.executable, __file__, "serve", str(ours)]),
        subprocess.Popen([sys.executable, str(PEER), str(theirs)]),
    ]
    try:
        for port in (ours, theirs):
            await until_up(lambda port=port: asyncio.open_connection("127.0.0.1", port))  # type: ignore[misc]
        clients = [await PortClient.connect("127.0.0.1", ours) for _ in range(CONNECTIONS)]
        port_rates, http_rates = [], []
        for run in range(RUNS + 1):
            port_rate = checks / await ask_port(clients, checks)
            http_rate = (checks // 20) / await ask_http(theirs, checks // 20)
            if run:  # the first run warms up
                port_rates.append(port_rate)
                http_rates.append(http_rate)
        print(f"{checks} checks over {CONNECTIONS} connections, median of {RUNS} runs, checks/s")
        print(f"  binary port {median(port_rates):,.0f}; FastAPI JSON {median(http_rates):,.0f}")
        show_ratio("pre-trade checks/s", median(port_rates) / median(http_rates), "FastAPI JSON", 20)
        print("sent at a steady rate for 2 s, answered after its due time, ms")
        for rate in RATES:
            print(f"  binary port, {rate:,}/s: {show_waits(await pace(clients, rate, 2))}")
        for rate in HTTP_RATES:
            print(f"  FastAPI JSON, {rate:,}/s: {show_waits(await pace_http(theirs, rate, 2))}")
        print(
            "  (wanted of the port at 50,000/s: p99 at most 1; its client needs a core of its own for that)"
        )
        await asyncio.gather(*(client.close() for client in clients))
    finally:
        for server in servers:
            server.kill()
            server.wait()


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(int(sys.argv[2])))
    else:
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
