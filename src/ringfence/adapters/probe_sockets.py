"""Real packets against the rules: who can open a connection to whom, by port, IPv4 and IPv6, TCP and UDP.

Every end listens on every port of the matrix; TCP listeners greet and UDP listeners echo with the end's own
name, so that an open cell is a proof that the right end was reached. A closed cell is told apart by how it
was closed. A silence alone proves nothing: the same matrix is probed once without rules, as the control.
"""

import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from errno import ECONNREFUSED, ECONNRESET, EINPROGRESS
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from ringfence.planes.network.compile import TRANSPORTS, Flow
from ringfence.planes.network.render_nftables import PROBE_MARK
from ringfence.planes.network.sites import Sites

_Result = TypeVar("_Result")


class Within(Protocol):
    """Runs work inside the place of an end, as `Lab.within` does."""

    def __call__(self, place: str, work: Callable[[], _Result], /) -> _Result:
        """Run `work` there and return its result."""


_BACKLOG = 512


class Outcome(Enum):
    """How a probe ended."""

    OPEN = "open"
    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    OTHER_END = "other end"


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """One question of the matrix; `family` is 4 or 6."""

    flow: Flow
    family: int


@dataclass(frozen=True, slots=True)
class Answers:
    """The outcome of every cell that was asked."""

    outcomes: Mapping[Cell, Outcome]

    @property
    def is_open(self) -> Mapping[tuple[Flow, int], bool]:
        """Whether each cell was open, by flow and IP family."""
        return {(cell.flow, cell.family): outcome is Outcome.OPEN for cell, outcome in self.outcomes.items()}

    @property
    def counts(self) -> Mapping[str, int]:
        """How many cells ended how."""
        return dict(Counter(outcome.value for outcome in self.outcomes.values()))


class Listeners:
    """Listening sockets in every end, answered by one thread; a context manager."""

    def __init__(self, within: Within, ends: Iterable[str], ports: Sequence[int]) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        for end in ends:
            within(end, partial(self._listen, end, ports))
        self._thread = threading.Thread(target=self._serve, name="listeners", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.send(b"!")
        self._thread.join()
        for key in tuple(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._wake.close()

    def _listen(self, end: str, ports: Sequence[int]) -> None:
        for port in ports:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                listener = socket.socket(socket.AF_INET6, kind)
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.setblocking(False)
                listener.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    listener.listen(_BACKLOG)
                self._selector.register(listener, selectors.EVENT_READ, end)

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    return
                assert isinstance(key.fileobj, socket.socket)
                _answer(key.fileobj, key.data.encode())


def _answer(listener: socket.socket, name: bytes) -> None:
    try:
        if listener.type == socket.SOCK_DGRAM:
            _, sender = listener.recvfrom(64)
            listener.sendto(name, sender)
        else:
            accepted, _ = listener.accept()
            with accepted:
                accepted.send(name)
    except (BlockingIOError, ConnectionError):
        return  # the other side has gone; its probe says so itself


def matrix(ends: Sequence[str], ports: Sequence[int]) -> list[Flow]:
    """List every flow that could be: each ordered pair of ends, port and protocol."""
    return [
        Flow(source, target, transport, port)
        for source in ends
        for target in ends
        if source != target
        for port in ports
        for transport in TRANSPORTS
    ]


def probe(
    within: Within, sites: Sites, flows: Iterable[Flow], seconds: float, *, greets: bool = True
) -> Answers:
    """Ask for every flow, over IPv4 and IPv6, from inside its source; a silence of `seconds` ends it.

    greets: whether the other side is one of `Listeners`; of others only a TCP connection can be told to be
    open, by being made.
    """
    by_source: dict[str, list[Cell]] = {}
    for flow in flows:
        by_source.setdefault(flow.source, []).extend((Cell(flow, 4), Cell(flow, 6)))
    found: dict[Cell, Outcome] = {}
    with ThreadPoolExecutor(len(by_source) or 1) as pool:
        asking = [
            pool.submit(within, source, partial(_ask, sites, asked, seconds, greets))
            for source, asked in by_source.items()
        ]
        for answers in asking:
            found |= answers.result()
    return Answers(found)


def _ask(sites: Sites, cells: Sequence[Cell], seconds: float, greets: bool) -> dict[Cell, Outcome]:
    outcomes: dict[Cell, Outcome] = {}
    with selectors.DefaultSelector() as selector:
        for cell in cells:
            started = _start(sites, cell)
            if isinstance(started, Outcome):
                outcomes[cell] = started
            else:
                selector.register(started, selectors.EVENT_READ if greets else selectors.EVENT_WRITE, cell)
        # Counted from the last answer: a busy machine answers late, but it goes on answering.
        while selector.get_map() and (answered := selector.select(seconds)):
            for key, _ in answered:
                assert isinstance(key.fileobj, socket.socket)
                selector.unregister(key.fileobj)
                heard = _heard(key.fileobj, key.data.flow.target) if greets else _connected(key.fileobj)
                outcomes[key.data] = heard
                key.fileobj.close()
        for key in selector.get_map().values():
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
            outcomes[key.data] = Outcome.TIMEOUT
    return outcomes


def _start(sites: Sites, cell: Cell) -> socket.socket | Outcome:
    site = sites[cell.flow.target]
    address = site.own_v4 if cell.family == 4 else site.own_v6
    kind = socket.SOCK_STREAM if cell.flow.protocol == "tcp" else socket.SOCK_DGRAM
    asking = socket.socket(socket.AF_INET if cell.family == 4 else socket.AF_INET6, kind)
    asking.setblocking(False)
    _mark(asking)
    fault = asking.connect_ex((address, cell.flow.port))
    if fault not in (0, EINPROGRESS):
        asking.close()
        return _closed(fault)
    if kind == socket.SOCK_DGRAM:
        try:
            asking.send(b"?")
        except OSError as error:
            asking.close()
            return _closed(error.errno or 0)
    return asking


def _mark(asking: socket.socket) -> None:
    """Let what is recorded about closed connections be told apart from what others tried."""
    if asking.family == socket.AF_INET:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, PROBE_MARK << 2)
    else:
        asking.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, PROBE_MARK << 2)


def _heard(asking: socket.socket, target: str) -> Outcome:
    try:
        said = asking.recv(64)
    except OSError as error:
        return _closed(error.errno or 0)
    return Outcome.OPEN if said == target.encode() else Outcome.OTHER_END


def _connected(asking: socket.socket) -> Outcome:
    fault = asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if fault:
        return _closed(fault)
    # A UDP socket is always writable: without an answer nothing is known.
    return Outcome.OPEN if asking.type == socket.SOCK_STREAM else Outcome.TIMEOUT


def _closed(fault: int) -> Outcome:
    if fault == ECONNREFUSED:
        return Outcome.REFUSED
    return Outcome.RESET if fault == ECONNRESET else Outcome.UNREACHABLE
