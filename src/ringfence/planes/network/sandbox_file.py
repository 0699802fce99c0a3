"""A sandbox profile as plain data, for a file beside the service, and its strict reader.

Unlike the readers of other tools' files this one refuses what it does not know: the file is applied by
ringfence itself, and a word that is passed over would be a limit that is missing.
"""

from collections.abc import Mapping
from typing import Any

from ringfence.kernel.errors import BadInput
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.connections import Connections
from ringfence.planes.network.envelope import Envelope
from ringfence.planes.network.ranges import PORT_MAX, PORT_MIN, Ranges
from ringfence.planes.network.sandbox import SandboxProfile, compile_sandbox

_FIELDS = ("service", "uid", "no_new_privileges", "landlock", "seccomp")
_LANDLOCK = ("bind_tcp", "connect_tcp", "read", "write")
_SECCOMP = ("deny_calls", "udp_sockets")


def render_sandbox(profile: SandboxProfile) -> dict[str, Any]:
    """Write a profile: what Landlock allows, what seccomp denies, the user, and no new privileges."""
    return {
        "service": profile.service,
        "uid": profile.uid,
        "no_new_privileges": True,
        "landlock": {
            "bind_tcp": list(profile.listens),
            "connect_tcp": list(profile.connects),
            "read": list(profile.reads),
            "write": list(profile.writes),
        },
        "seccomp": {"deny_calls": list(profile.denied_calls), "udp_sockets": profile.uses_udp},
    }


def observe_sandbox(document: object, name: str) -> SandboxProfile:
    """Read a profile; BadInput names the field of `name` that is missing, unknown or of the wrong shape."""
    top = _fields(document, _FIELDS, name)
    landlock = _fields(top["landlock"], _LANDLOCK, f"{name}: landlock")
    seccomp = _fields(top["seccomp"], _SECCOMP, f"{name}: seccomp")
    if top["no_new_privileges"] is not True:
        raise BadInput(f"{name}: no_new_privileges was {top['no_new_privileges']!r}; it must be true")
    if not isinstance(seccomp["udp_sockets"], bool):
        raise BadInput(f"{name}: udp_sockets was {seccomp['udp_sockets']!r}; it must be true or false")
    return SandboxProfile(
        service=_text(top["service"], f"{name}: service"),
        uid=None if top["uid"] is None else _number(top["uid"], 0, 2**32 - 2, f"{name}: uid"),
        listens=_ports(landlock["bind_tcp"], f"{name}: bind_tcp"),
        connects=_ports(landlock["connect_tcp"], f"{name}: connect_tcp"),
        uses_udp=seccomp["udp_sockets"],
        reads=_texts(landlock["read"], f"{name}: read"),
        writes=_texts(landlock["write"], f"{name}: write"),
        denied_calls=_texts(seccomp["deny_calls"], f"{name}: deny_calls"),
    )


def envelope_of(profile: SandboxProfile) -> Envelope:
    """Return what a profile limits, in the words it has: TCP ports, and UDP wholly or not at all.

    The files it may use are nobody's to declare but the service's own, and are not compared.
    """
    limits = {f"no call of {call}" for call in profile.denied_calls}
    limits |= set() if profile.uses_udp else {"no UDP"}
    limits |= set() if profile.uid is None else {f"user {profile.uid}"}
    return Envelope(listens=_tcp(profile.listens), connects=_tcp(profile.connects), limits=frozenset(limits))


def wanted_by_sandbox(rules: Rules) -> dict[str, Envelope]:
    """Return what the policy asks of each sandbox."""
    return {service: envelope_of(compile_sandbox(rules, service)) for service in rules.workloads}


def _tcp(ports: tuple[int, ...]) -> Connections:
    return Connections.on("TCP", Ranges.of((port, port) for port in ports))


def _fields(value: object, wanted: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != set(wanted):
        found = sorted(map(str, value)) if isinstance(value, dict) else value
        raise BadInput(f"{where} was {str(found)[:80]}; it must have exactly {', '.join(wanted)}")
    return value


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise BadInput(f"{where} was {value!r:.80}; it must be a text")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise BadInput(f"{where} was {value!r:.80}; it must be a list")
    return tuple(_text(item, where) for item in value)


def _number(value: object, low: int, high: int, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadInput(f"{where} was {value!r:.80}; it must be a whole number from {low} to {high}")
    return value


def _ports(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise BadInput(f"{where} was {value!r:.80}; it must be a list")
    return tuple(sorted({_number(item, PORT_MIN, PORT_MAX, where) for item in value}))
