"""Puts this process into its sandbox: own user, no capabilities, no new privileges, Landlock, seccomp.

Kernels differ in how much of Landlock they have (its ABI version), so the answer says what was applied and
what this kernel could not. There is no way back: what is given up here is given up until the process ends.
Everything a program needs to import must be imported before.

Numbers and structures are those of linux/landlock.h, linux/seccomp.h, linux/filter.h and the system call
tables of x86-64 and arm64.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from errno import EPERM

from ringfence.kernel.errors import UnreachableError
from ringfence.planes.network.sandbox import SandboxProfile

_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH, _RULE_PORT = 1, 2
_BIND, _CONNECT = 1, 2
_SCOPE_ALL = 3
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_CAPABILITY_VERSION = 0x2008_0522
_PR_SET_SECCOMP, _SECCOMP_FILTER = 22, 2

_FILE_RIGHTS_BY_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
"""How many file-system rights each ABI knows; they are the lowest bits."""

_READS = 1 << 2 | 1 << 3
"""Read a file, list a folder."""

_FILE_ONLY = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
"""The rights that a single file can have: execute, write, read, truncate, device control."""

_EXECUTE = 1 << 0

_SINCE = {
    4: "this kernel's Landlock does not limit ports (version 4 does)",
    6: "this kernel's Landlock does not limit signals and abstract sockets (version 6 does)",
}
"""What each later version of Landlock added that a profile asks for, in words for where it is missing."""

_UNKNOWN_CALLS = f"system calls of {platform.machine()} are not known here: none is refused"

_ARCHES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_CALLS = {
    "x86_64": {
        "socket": 41, "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310,
        "process_vm_writev": 311, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "bpf": 321,
        "unshare": 272, "setns": 308, "kexec_load": 246, "init_module": 175, "finit_module": 313,
        "delete_module": 176, "open_by_handle_at": 304, "perf_event_open": 298, "userfaultfd": 323,
        "add_key": 248, "request_key": 249, "keyctl": 250, "io_uring_setup": 425,
    },
    "aarch64": {
        "socket": 198, "execve": 221, "execveat": 281, "ptrace": 117, "process_vm_readv": 270,
        "process_vm_writev": 271, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "bpf": 280,
        "unshare": 97, "setns": 268, "kexec_load": 104, "init_module": 105, "finit_module": 273,
        "delete_module": 106, "open_by_handle_at": 265, "perf_event_open": 241, "userfaultfd": 282,
        "add_key": 217, "request_key": 218, "keyctl": 219, "io_uring_setup": 425,
    },
}  # fmt: skip
_FAMILIES = (1, 2, 10)
"""The address families a service may have: UNIX, IPv4, IPv6."""

_SOCK_TYPE_MASK, _SOCK_DGRAM, _SOCK_RAW = 0xF, 2, 3


@dataclass(frozen=True, slots=True)
class Applied:
    """What holds from now on, and what this kernel could not do, each in words."""

    done: tuple[str, ...]
    not_done: tuple[str, ...]


def landlock_version() -> int:
    """Return the version of Landlock that this kernel has, 0 where it has none."""
    version: int = _libc().syscall(_LANDLOCK_CREATE, None, 0, _VERSION_FLAG)
    return max(version, 0)


def shortfall() -> tuple[str, ...]:
    """Say in words what of a profile could not be put in force here, without entering anything."""
    found = [] if os.geteuid() == 0 else ["only root can become the user of a service"]
    found.extend(_landlock_shortfall(landlock_version()))
    if platform.machine() not in _ARCHES:
        found.append(_UNKNOWN_CALLS)
    return tuple(found)


def _landlock_shortfall(version: int) -> list[str]:
    if version < 1:
        return ["this kernel has no Landlock: files and ports are not limited"]
    return [words for needed, words in _SINCE.items() if version < needed]


def enter(profile: SandboxProfile, *, makes_unix_sockets: bool = True) -> Applied:
    """Put this process into the sandbox; UnreachableError where a step that must work does not.

    It holds for the thread that calls and those that it starts later, so no other may run yet.
    makes_unix_sockets: False refuses new ones, so that no socket in a folder can be reached; those there are
    stay.
    """
    done: list[str] = []
    not_done: list[str] = []
    _become(profile, done, not_done)
    _give_up_capabilities(done)
    _check(_libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "give up gaining privileges")
    done.append("no new privileges")
    _restrict(profile, landlock_version(), done, not_done)
    _filter(profile, _FAMILIES if makes_unix_sockets else _FAMILIES[1:], done, not_done)
    return Applied(tuple(done), tuple(not_done))


def _become(profile: SandboxProfile, done: list[str], not_done: list[str]) -> None:
    if profile.uid is None:
        return
    if os.geteuid() == profile.uid:
        done.append(f"user {profile.uid}")
    elif os.geteuid() == 0:
        try:
            os.setresgid(profile.uid, profile.uid, profile.uid)
            os.setgroups([])
            os.setresuid(profile.uid, profile.uid, profile.uid)
        except OSError as fault:
            # In a user namespace root is root of the users that are mapped there, often of itself only.
            not_done.append(f"user {profile.uid} is not known in this user namespace: {fault.strerror}")
            return
        done.append(f"user {profile.uid}")
    else:
        not_done.append(f"only root can become user {profile.uid}")


def _give_up_capabilities(done: list[str]) -> None:
    """Keep none of root's powers, whoever this process is: not over the network's rules, not over files."""
    number = 0
    while _libc().prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        _libc().prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    _check(_libc().capset(header, struct.pack("=6I", 0, 0, 0, 0, 0, 0)), "give up capabilities")
    done.append("no capabilities")


# --- Landlock ----------------------------------------------------------------------------------


def _restrict(profile: SandboxProfile, version: int, done: list[str], not_done: list[str]) -> None:
    not_done.extend(_landlock_shortfall(version))
    if version < 1:
        return
    handled = (1 << _FILE_RIGHTS_BY_ABI[min(version, 5)]) - 1
    ports = _BIND | _CONNECT if version >= 4 else 0
    scope = _SCOPE_ALL if version >= 6 else 0
    ruleset = _create(handled, ports, scope, version)
    try:
        _allow_paths(ruleset, profile.reads, _READS & handled)
        _allow_paths(ruleset, profile.writes, handled & ~_EXECUTE)
        if ports:
            _allow_ports(ruleset, profile)
        _check(_libc().syscall(_LANDLOCK_RESTRICT, ruleset, 0), "enter Landlock")
    finally:
        os.close(ruleset)
    done.append(f"files: {len(profile.reads)} to read, {len(profile.writes)} to write")
    if ports:
        done.append(f"TCP: listens on {_list(profile.listens)}, connects to {_list(profile.connects)}")


def _create(files: int, ports: int, scope: int, version: int) -> int:
    attributes = struct.pack("QQQ", files, ports, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    made: int = _libc().syscall(_LANDLOCK_CREATE, attributes, size, 0)
    return _check(made, "create a Landlock ruleset")


def _allow_paths(ruleset: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if os.path.isdir(path) else rights & _FILE_ONLY
            rule = struct.pack("=Qi", allowed, handle)
            _check(_libc().syscall(_LANDLOCK_ADD, ruleset, _RULE_PATH, rule, 0), f"allow {path}")
        finally:
            os.close(handle)


def _allow_ports(ruleset: int, profile: SandboxProfile) -> None:
    for ports, right in ((profile.listens, _BIND), (profile.connects, _CONNECT)):
        for port in ports:
            rule = struct.pack("QQ", right, port)
            _check(_libc().syscall(_LANDLOCK_ADD, ruleset, _RULE_PORT, rule, 0), f"allow port {port}")


# --- seccomp -----------------------------------------------------------------------------------

_LOAD, _JUMP_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x54, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF_0000, 0x0005_0000 | EPERM, 0x8000_0000
_NUMBER_AT, _ARCH_AT, _FIRST_AT, _SECOND_AT = 0, 4, 16, 24


def _filter(profile: SandboxProfile, families: Sequence[int], done: list[str], not_done: list[str]) -> None:
    machine = platform.machine()
    if machine not in _ARCHES:
        not_done.append(_UNKNOWN_CALLS)
        return
    program = _program(profile, machine, families)
    code = ctypes.create_string_buffer(b"".join(program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _check(_libc().prctl(_PR_SET_SECCOMP, _SECCOMP_FILTER, header, 0, 0), "load the system call filter")
    done.append(f"{len(profile.denied_calls)} system calls refused, sockets of {len(families)} families")
    done.append("UDP allowed" if profile.uses_udp else "UDP refused")


def _program(profile: SandboxProfile, machine: str, allowed: Sequence[int]) -> list[bytes]:
    """Write the filter: denied calls answer EPERM, and so does a socket of another family or kind."""
    calls = _CALLS[machine]
    program = [
        _op(_LOAD, _ARCH_AT),
        _op(_JUMP_EQUAL, _ARCHES[machine], if_true=1),
        _op(_RETURN, _KILL),
        _op(_LOAD, _NUMBER_AT),
    ]
    for name in profile.denied_calls:
        program += [_op(_JUMP_EQUAL, calls[name], if_false=1), _op(_RETURN, _REFUSE)]
    checks = _socket_checks(profile, allowed)
    return [*program, _op(_JUMP_EQUAL, calls["socket"], if_false=len(checks)), *checks, _op(_RETURN, _ALLOW)]


def _socket_checks(profile: SandboxProfile, allowed: Sequence[int]) -> list[bytes]:
    last = len(allowed)
    families = [_op(_JUMP_EQUAL, family, if_true=last - place) for place, family in enumerate(allowed)]
    kinds = [_op(_LOAD, _SECOND_AT), _op(_AND, _SOCK_TYPE_MASK)]
    for kind in (_SOCK_RAW,) if profile.uses_udp else (_SOCK_RAW, _SOCK_DGRAM):
        kinds += [_op(_JUMP_EQUAL, kind, if_false=1), _op(_RETURN, _REFUSE)]
    unix_passes = _op(_JUMP_EQUAL, 1, if_true=len(kinds))
    return [_op(_LOAD, _FIRST_AT), *families, _op(_RETURN, _REFUSE), unix_passes, *kinds]


def _op(code: int, value: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


# --- calls -------------------------------------------------------------------------------------


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int, what: str) -> int:
    if answer < 0:
        raise UnreachableError(f"the kernel would not {what}: {os.strerror(ctypes.get_errno())}")
    return answer


def _list(ports: Iterable[int]) -> str:
    return ", ".join(map(str, ports)) or "none"
