"""What a service of a platform is: methods served to named callers, and duties towards others."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec

from ringfence.kernel.instant import Instant
from ringfence.services.platform.messages import pack, unpack

Take = Callable[[bytes, Instant], "bytes | Awaitable[bytes]"]
"""Carries out one call: its body and the time to the body of the answer."""

OPERATOR = "operator"
"""The caller of methods that only the platform's own supervisor may use; no flow leads there."""

_Body = TypeVar("_Body", bound=msgspec.Struct)
_Answer = TypeVar("_Answer", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Method:
    """caller: the service (or external) whose flow leads to the port it is served on, or `OPERATOR`."""

    caller: str
    take: Take


class Peers(Protocol):
    """The other services, as far as flows lead there."""

    async def call(self, target: str, method: str, body: bytes) -> bytes:
        """Ask another service; CallFailedError or UnreachableError where no answer comes."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Something a service does by itself, `every_ns` after it last ended."""

    name: str
    every_ns: int
    do: Callable[[Instant], Awaitable[None]]


class Service(Protocol):
    """One service, ready to run."""

    @property
    def methods(self) -> Mapping[str, Method]:
        """What it serves, by name."""

    @property
    def duties(self) -> tuple[Duty, ...]:
        """What it does by itself."""

    def figures(self) -> Mapping[str, int | str]:
        """Say in a few figures how far it is, for people."""

    def close(self) -> None:
        """Let go of what it holds."""


def serve(kind: type[_Body], work: Callable[[_Body, Instant], msgspec.Struct]) -> Take:
    """Make a method of a function from body to answer."""
    return lambda body, now: pack(work(unpack(kind, body), now))


async def ask(peers: Peers, target: str, method: str, body: msgspec.Struct, answer: type[_Answer]) -> _Answer:
    """Ask another service and read its answer."""
    return unpack(answer, await peers.call(target, method, pack(body)))
