"""What the kernel lets the process of a service do: the ports of its flows, its own files, nothing else.

This is the profile as data; an adapter applies it with what the kernel has and reports what it has not.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ringfence.kernel.errors import UsageError
from ringfence.planes.network.compile import Flow, Rules

DENIED_CALLS = (
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "bpf",
    "unshare",
    "setns",
    "kexec_load",
    "init_module",
    "finit_module",
    "delete_module",
    "open_by_handle_at",
    "perf_event_open",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "io_uring_setup",
)
"""System calls that no service needs once it runs: new programs, other processes, namespaces, the kernel."""


@dataclass(frozen=True, slots=True)
class SandboxProfile:
    """The limits of one process.

    uid: the user it becomes (None: it stays who it is); listens, connects: TCP ports; uses_udp: whether it
    may have UDP sockets at all; reads, writes: files and folders with all below them; denied_calls: by name.
    """

    service: str
    uid: int | None
    listens: tuple[int, ...]
    connects: tuple[int, ...]
    uses_udp: bool
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    denied_calls: tuple[str, ...] = DENIED_CALLS


def compile_sandbox(
    rules: Rules, service: str, reads: Iterable[str] = (), writes: Iterable[str] = ()
) -> SandboxProfile:
    """Derive the profile of a service from its flows; UsageError where the policy has no such service."""
    workload = rules.workloads.get(service)
    if workload is None:
        raise UsageError(f"the policy has no service {service!r}; it has {', '.join(rules.workloads)}")
    into, out_of = tuple(rules.into(service)), tuple(rules.out_of(service))
    return SandboxProfile(
        service=service,
        uid=workload.uid,
        listens=_tcp_ports(into),
        connects=_tcp_ports(out_of),
        uses_udp=any(flow.protocol == "udp" for flow in (*into, *out_of)),
        reads=tuple(sorted(reads)),
        writes=tuple(sorted(writes)),
    )


def _tcp_ports(flows: Iterable[Flow]) -> tuple[int, ...]:
    return tuple(sorted({flow.port for flow in flows if flow.protocol == "tcp"}))
