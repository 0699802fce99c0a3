"""The platform's pre-trade check over the binary port at a steady rate, beside the same check as JSON.

    python bench/port_requests.py [seconds at each rate]

Both servers run the real service `risk` under the venue policy, with two hundred clients who have positions;
a price comes every second, the ledger pulls ten times a second, and one order in a hundred is refused (see
`risk_station.py`). Both speak TLS 1.3 with an identity on both sides; the port also asks the policy's flows
who may call, which the FastAPI endpoint (uvloop, httptools) does not. Every call is one order.

The load is open: bursts of calls, written before the clock starts, leave at fixed instants whether or not
earlier ones were answered, and each answer counts from the instant its call was due. Where there are two
cores, the servers stay on the first and the client on the second.
"""

import json
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from pathlib import Path

from ratio import show_ratio
from risk_station import CLIENTS, CLOCK, bodies, issue, pin

from ringfence.adapters.identity_x509 import Svid, client_context
from ringfence.kernel.instant import HOUR_NS, Instant
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.network.wire import VERSION, Call, Hello, frame
from ringfence.wiring_files import load_policy, shipped_policy

HERE = Path(__file__).parent
CONNECTIONS, BURST, WINDOW = 8, 25, 64
BURSTS = 16
"""How many different bursts each connection has, so that ids come back long after they were answered."""
RATES = (5_000, 10_000, 20_000, 30_000, 40_000, 50_000)
HTTP_RATES = (500, 1_000)
GIVE_UP_S = 10.0


class Lane:
    """One connection to the port, with bursts of frames that are ready to leave."""

    def __init__(self, connected: socket.socket, bursts: list[bytes]) -> None:
        self.socket = connected
        self.due: deque[float] = deque()
        self._bursts, self._next = bursts, 0
        self._rest, self._answers = b"", b""

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def has_room(self) -> bool:
        return not self._rest and len(self.due) + BURST <= WINDOW

    def send(self, due: float) -> None:
        """Send the next burst; its calls were due at that instant."""
        self._rest = self._bursts[self._next]
        self._next = (self._next + 1) % len(self._bursts)
        self.due.extend([due] * BURST)
        self.push()

    def push(self) -> None:
        """Send what did not fit before."""
        while self._rest:
            try:
                self._rest = self._rest[self.socket.send(self._rest) :]
            except (ssl.SSLWantWriteError, BlockingIOError):
                return

    def receive(self) -> int:
        """Count the answers that came; they come in the order of their calls."""
        with suppress(ssl.SSLWantReadError, BlockingIOError):
            while True:
                self._answers += self.socket.recv(1 << 18)
        answers, at, count = self._answers, 0, 0
        while at + 4 <= len(answers):
            end = at + 4 + int.from_bytes(answers[at : at + 4], "big")
            if end > len(answers):
                break
            if answers[end - 1] != 0x7D:
                sys.exit(f"a call was not answered with a verdict: {answers[at:end]!r}")
            at, count = end, count + 1
        self._answers = answers[at:]
        return count


def connected(port: int, svid: Svid, bundle: bytes) -> ssl.SSLSocket:
    """Connect with an identity on both sides."""
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client_context(svid, bundle).wrap_socket(plain)


def lanes(port: int, svid: Svid, bundle: bytes, checks: list[bytes]) -> list[Lane]:
    """Connect, say hello, and write the bursts of each connection."""
    found = []
    deadline = CLOCK.now() + HOUR_NS
    for number in range(CONNECTIONS):
        secured = connected(port, svid, bundle)
        secured.sendall(frame(Hello(VERSION)))
        secured.recv(4_096)
        secured.setblocking(False)
        bursts = []
        for burst in range(BURSTS):
            ids = range(burst * BURST + 1, (burst + 1) * BURST + 1)
            calls = (Call(one, "check", deadline, checks[(number * 53 + one) % len(checks)]) for one in ids)
            bursts.append(b"".join(frame(call) for call in calls))
        found.append(Lane(secured, bursts))
    return found


def pace(found: list[Lane], rate: int, seconds: float) -> tuple[float, list[float]]:
    """Send bursts at a steady rate; return calls answered a second, and how late each answer was."""
    waits: list[float] = []
    clock, total = time.perf_counter, int(rate * seconds / BURST)
    start = clock() + 0.01
    sent, done = 0, 0
    while done < total * BURST:
        now = clock()
        if now - start > seconds + GIVE_UP_S:
            break
        while sent < total and start + sent * BURST / rate <= now:
            lane = found[sent % len(found)]
            if not lane.has_room:
                break
            lane.send(start + sent * BURST / rate)
            sent += 1
        wait = max(0.0, start + sent * BURST / rate - clock()) if sent < total else 0.01
        for lane in select.select(found, [], [], wait)[0]:
            count = lane.receive()
            answered = clock()
            waits += [answered - lane.due.popleft() for _ in range(count)]
            done += count
        for lane in found:
            lane.push()
    return done / (clock() - start), waits


def saturate(found: list[Lane], calls: int) -> float:
    """Keep every window full; return calls answered a second."""
    rate, _ = pace(found, 1_000_000, calls / 1_000_000)
    return rate


# --- the JSON endpoint -------------------------------------------------------------------------


class HttpLane:
    """A keep-alive connection with one request in flight: HTTP/1.1 answers in order."""

    def __init__(self, connected: socket.socket, request: bytes) -> None:
        self.socket = connected
        self.request, self.due, self._answer = request, 0.0, b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def is_answered(self) -> bool:
        with suppress(ssl.SSLWantReadError, BlockingIOError):
            while True:
                self._answer += self.socket.recv(1 << 16)
        if not self._answer:
            return False
        if not self._answer.startswith(b"HTTP/1.1 200"):
            sys.exit(f"a request was not answered with a verdict: {self._answer[:200]!r}")
        is_whole = self._answer.endswith(b"}")
        if is_whole:
            self._answer = b""
        return is_whole


def pace_http(found: list[HttpLane], rate: int, seconds: float) -> tuple[float, list[float]]:
    """Send requests at a steady rate over free connections; returns as `pace` does."""
    waits: list[float] = []
    clock, total = time.perf_counter, int(rate * seconds)
    free, start, sent = deque(found), clock(), 0
    while len(waits) < total:
        now = clock()
        if now - start > seconds + GIVE_UP_S:
            break
        while free and sent < total and start + sent / rate <= now:
            lane = free.popleft()
            lane.due = start + sent / rate
            lane.socket.send(lane.request)
            sent += 1
        wait = max(0.0, start + sent / rate - clock()) if free and sent < total else 0.01
        for lane in select.select(found, [], [], wait)[0]:
            if lane.is_answered():
                waits.append(clock() - lane.due)
                free.append(lane)
    return len(waits) / (clock() - start), waits


def http_request(check: bytes) -> bytes:
    """Write one check as a client of the endpoint would."""
    asked = json.loads(check)["checks"][0]["order"]
    kept = ("id", "bucket", "instrument", "side", "contracts", "limit_e10", "expires", "policy", "signatures")
    body = json.dumps({name: asked[name] for name in kept}).encode()
    head = f"POST /check HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


# --- running -----------------------------------------------------------------------------------


def show(waits: list[float]) -> str:
    """Write the median and the 99th percentile in milliseconds."""
    return f"p50 {percentile(waits, 50) * 1e3:.2f} ms, p99 {percentile(waits, 99) * 1e3:.2f} ms"


def percentile(waits: list[float], share: int) -> float:
    return sorted(waits)[len(waits) * share // 100]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_up(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("a server did not come up within a minute")


def main(seconds: float) -> None:
    pin(1)
    digest = compile_policy(load_policy(shipped_policy("venue"))).digest
    checks = bodies(digest, Instant(CLOCK.now()))
    with tempfile.TemporaryDirectory() as folder:
        svid = issue(Path(folder))
        port_rate, port_waits = measure_port(Path(folder), svid, checks, seconds)
        http_rate, http_waits = measure_http(Path(folder), svid, checks, seconds)
    print(f"pre-trade checks of the service risk, {CLIENTS} clients, {CONNECTIONS} connections each")
    print(f"as fast as it goes: binary port {port_rate:,.0f}/s, FastAPI JSON {http_rate:,.0f}/s")
    show_ratio("pre-trade checks/s", port_rate / http_rate, "FastAPI JSON", 20)
    print(f"at a steady rate for {seconds:g} s, in bursts of {BURST}, each answer from when its call was due")
    for rate, (done, waits) in port_waits.items():
        print(f"  binary port  {rate:6,}/s: {show(waits)}, {done:,.0f}/s answered")
    for rate, (done, waits) in http_waits.items():
        print(f"  FastAPI JSON {rate:6,}/s: {show(waits)}, {done:,.0f}/s answered")
    met = [rate for rate, (_, waits) in port_waits.items() if percentile(waits, 99) <= 1e-3]
    show_ratio("calls/s with p99 of at most 1 ms", max(met, default=0) / 50_000, "50,000/s", 1)


def measure_port(
    folder: Path, svid: Svid, checks: list[bytes], seconds: float
) -> tuple[float, dict[int, tuple[float, list[float]]]]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, str(HERE / "peers" / "port_checks.py"), str(folder), str(port)]
    )
    try:
        until_up(port)
        found = lanes(port, svid, (folder / "bundle").read_bytes(), checks)
        saturate(found, 20_000)
        best = max(saturate(found, 100_000) for _ in range(3))
        return best, {rate: pace(found, rate, seconds) for rate in RATES}
    finally:
        server.kill()
        server.wait()


def measure_http(
    folder: Path, svid: Svid, checks: list[bytes], seconds: float
) -> tuple[float, dict[int, tuple[float, list[float]]]]:
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, str(HERE / "peers" / "http_checks.py"), str(folder), str(port)]
    )
    try:
        until_up(port)
        bundle = (folder / "bundle").read_bytes()
        found = [
            HttpLane(connected(port, svid, bundle), http_request(checks[number]))
            for number in range(CONNECTIONS)
        ]
        for lane in found:
            lane.socket.setblocking(False)
        pace_http(found, 100_000, 0.005)
        best = max(pace_http(found, 1_000_000, 0.004)[0] for _ in range(3))
        return best, {rate: pace_http(found, rate, seconds) for rate in HTTP_RATES}
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0)
