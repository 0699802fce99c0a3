"""What an intruder tries below the port, from inside a service's zone and sandbox.

Every end and port by TCP and UDP, over IPv4 and IPv6; frames that break the rules; certificates of another
authority; other services' files, the platform's keys, other processes, new programs, new namespaces.
"""

import asyncio
import ctypes
import os
import socket
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ringfence.adapters.identity_x509 import Authority, client_context
from ringfence.adapters.port_peers import PeerAddress
from ringfence.kernel.instant import HOUR_NS, Clock
from ringfence.planes.network.wire import VERSION, Answer, Call, Hello, frame

CONNECT_S = 0.25
_PTRACE_ATTACH = 16

Found = tuple[str, str, int, int, str]
"""The kind of attempt, its target, how often it was tried and got through, and a last word."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an intruder knows of the platform around it.

    ends: addresses of every other end; ports: that any flow uses; allowed: (end, port) that flows permit;
    identities: those of every service; folders: of other services and of the keys; pids: of other processes.
    """

    ends: Mapping[str, tuple[str, ...]]
    ports: tuple[int, ...]
    allowed: frozenset[tuple[str, int]]
    identities: tuple[str, ...]
    folders: tuple[str, ...]
    pids: tuple[int, ...]


async def probe(
    around: Surroundings,
    peers: Mapping[str, PeerAddress],
    context: ssl.SSLContext,
    clock: Clock,
    *,
    has_identity: bool,
) -> list[Found]:
    """Try everything once; has_identity: whether the place that was broken into has one."""
    found = await _scan(around)
    for name, address in peers.items():
        found.append(await _forge_frames(name, address, context if address.identity else None))
        if address.identity is not None:
            found.append(await _replay_recording(name, address, context))
        # Where strangers are let in, an identity opens nothing that none would not.
        if address.identity is not None and has_identity:
            found.append(await _forge_identity(name, address, around.identities, clock))
    return [*found, *_files(around), *_processes(around)]


async def _scan(around: Surroundings) -> list[Found]:
    """Knock at every port of every end; what opens must be a declared flow."""
    found: list[Found] = []
    for end, hosts in around.ends.items():
        cells = [(host, port) for host in hosts for port in around.ports]
        opened = await asyncio.gather(*(_opens(host, port) for host, port in cells))
        inside = {port for (_, port), is_open in zip(cells, opened, strict=True) if is_open}
        strange = sorted(port for port in inside if (end, port) not in around.allowed)
        declared = len([port for port in inside if (end, port) in around.allowed])
        words = f"{declared} declared" + (f", undeclared {strange}" if strange else "")
        found.append(("undeclared connection", end, len(cells), len(strange), words))
        found.append(("declared connection", end, declared, declared, ""))
        found.append(("datagram", end, len(hosts), sum(map(_sends_datagram, hosts)), ""))
    return found


async def _opens(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _sends_datagram(host: str) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as made:
            made.sendto(b"x", (host, 53))
    except OSError:
        return False
    return True


async def _forge_frames(name: str, address: PeerAddress, context: ssl.SSLContext | None) -> Found:
    """Send frames that no client may send; the peer must close each connection."""
    junk = (
        b"\xff\xff\xff\xff" + b"x" * 64,
        b"\0\0\0\3abc",
        frame(Call(1, "signed", 2**62, b"")),
        frame(Hello(VERSION)) + frame(Hello(VERSION)),
        frame(Hello(VERSION)) + frame(Answer(1, b"")),
    )
    survived = 0
    for data in junk:
        survived += await _is_tolerated(address, context, data)
    return "forged frame", name, len(junk), survived, ""


async def _is_tolerated(address: PeerAddress, context: ssl.SSLContext | None, data: bytes) -> bool:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            writer.write(data)
            while await reader.read(4096):
                pass
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


async def _forge_identity(name: str, address: PeerAddress, identities: Sequence[str], clock: Clock) -> Found:
    """Show certificates of another authority in the names of everybody there is."""
    trust_domain = identities[0].removeprefix("spiffe://").partition("/")[0]
    stranger = Authority.create(trust_domain, clock.now(), HOUR_NS)
    through = 0
    for identity in identities:
        svid = stranger.issue(identity, clock.now(), HOUR_NS)
        context = client_context(svid, stranger.bundle)
        context.verify_mode = ssl.CERT_NONE
        through += await _greets(address, context)
    return "forged identity", name, len(identities), through, ""


async def _greets(address: PeerAddress, context: ssl.SSLContext) -> bool:
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
            writer.write(frame(Hello(VERSION)))
            answered = await reader.read(1)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return bool(answered)


# --- what went over the wire, once more ---------------------------------------------------------


async def _replay_recording(name: str, address: PeerAddress, context: ssl.SSLContext) -> Found:
    """Send the very bytes of a good connection again, over a new one: whole, half, and twice."""
    recorded = await _recorded(address, context)
    # Where nothing could be recorded nothing was tried: to say otherwise would count a silence as a wall.
    again = (recorded, recorded[: len(recorded) // 2], recorded + recorded) if recorded else ()
    survived = 0
    for data in again:
        survived += await _is_tolerated_again(address, data, len(recorded))
    return "replayed recording", name, len(again), survived, f"{len(recorded)} bytes of a good connection"


async def _recorded(address: PeerAddress, context: ssl.SSLContext) -> bytes:
    """Greet a peer over TLS and return every byte that this sent."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing)
    sent = b""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            is_greeted = False
            while True:
                try:
                    if not is_greeted:
                        tls.do_handshake()
                        tls.write(frame(Hello(VERSION)))
                        is_greeted = True
                    if tls.read(4096):
                        return sent
                except ssl.SSLWantReadError:
                    pass
                sent += await _sent(outgoing, writer)
                received = await reader.read(65536)
                if not received:
                    return sent
                incoming.write(received)
    except (OSError, TimeoutError):
        return sent


async def _sent(outgoing: ssl.MemoryBIO, writer: asyncio.StreamWriter) -> bytes:
    data = outgoing.read()
    writer.write(data)
    await writer.drain()
    return data


async def _is_tolerated_again(address: PeerAddress, data: bytes, size: int) -> bool:
    """Send bytes as they are and say whether the peer goes on with it.

    What was recorded fits one handshake only, so a peer closes the connection; where the handshake is not
    whole (fewer than `size` bytes), it may wait for the rest for a while.
    """
    try:
        async with asyncio.timeout(1):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(data)
            while await reader.read(65536):
                pass
    except TimeoutError:
        return len(data) >= size
    except OSError:
        return False
    return False


# --- this machine ------------------------------------------------------------------------------


def _files(around: Surroundings) -> list[Found]:
    tries: list[tuple[str, Callable[[], object]]] = []
    for folder in around.folders:
        tries.append((folder, partial(os.listdir, folder)))
        tries.append((folder, partial(Path(folder, "planted").write_text, "x")))
    tries.extend((path, partial(_read, path)) for path in ("/etc/shadow", "/etc/passwd", "/proc/1/environ"))
    return _count("file", tries)


def _read(path: str) -> object:
    return os.listdir(path) if os.path.isdir(path) else Path(path).read_bytes()


def _processes(around: Surroundings) -> list[Found]:
    libc = ctypes.CDLL(None, use_errno=True)
    tries: list[tuple[str, Callable[[], object]]] = [
        ("new program", lambda: os.execv("/bin/true", ["/bin/true"])),
        ("new namespace", lambda: _call(libc.unshare(0x1000_0000))),
        ("UNIX socket", lambda: socket.socket(socket.AF_UNIX).close()),
        ("netlink socket", lambda: socket.socket(16, socket.SOCK_RAW).close()),
        ("raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 255).close()),
    ]
    for pid in around.pids:
        tries.append(("another process", partial(os.kill, pid, 0)))
        tries.append(("another process", partial(_attach, libc, pid)))
        tries.append(("another process", partial(_read, f"/proc/{pid}/environ")))
    return _count("process", tries)


def _attach(libc: ctypes.CDLL, pid: int) -> None:
    _call(libc.ptrace(_PTRACE_ATTACH, pid, 0, 0))


def _call(answer: int) -> None:
    if answer < 0:
        raise OSError(ctypes.get_errno(), "refused")


def _count(kind: str, tries: Sequence[tuple[str, Callable[[], object]]]) -> list[Found]:
    counts: dict[str, list[int]] = {}
    for target, attempt in tries:
        counted = counts.setdefault(target, [0, 0])
        counted[0] += 1
        try:
            attempt()
        except OSError:
            continue
        counted[1] += 1
    return [(kind, target, counted[0], counted[1], "") for target, counted in counts.items()]
