"""The rules as systemd directives: a drop-in for the unit of each service, and its reader.

systemd filters packets by the address of the other side, in both directions and on any port, and says which
ports a unit may listen on. It cannot say who opened a connection, nor the port that a unit connects to; the
hub's and the service's own nftables rules do. What it adds: the unit has no other address families, gains no
privileges and cannot make the system calls that a running service has no need of.
"""

from collections.abc import Iterable, Mapping

from ringfence.planes.network.addresses import ALL_V4, ALL_V6, NO_ADDRESSES, Addresses
from ringfence.planes.network.compile import Rules
from ringfence.planes.network.connections import NO_CONNECTIONS, PROTOCOLS, Connections
from ringfence.planes.network.envelope import Envelope, peers_of, ports_of
from ringfence.planes.network.ranges import ALL_PORTS, PORT_MAX, PORT_MIN, Ranges
from ringfence.planes.network.sandbox import DENIED_CALLS
from ringfence.planes.network.sites import Sites, networks_of

_ANYWHERE = ALL_V4 | ALL_V6
# systemd filters before it starts the unit's program, so starting a program must stay possible.
_DENIED = tuple(call for call in DENIED_CALLS if not call.startswith("execve"))
_FAMILIES = ("AF_UNIX", "AF_INET", "AF_INET6")
_FAMILIES_ONLY = f"no address family but {', '.join(_FAMILIES)}"
_NO_NEW_PRIVILEGES = "no new privileges"
_KEYRING = ("add_key", "keyctl", "request_key")
_PROCESS = ("execveat", "setns", "unshare")
_MEMORY = ("process_vm_readv", "process_vm_writev")
_MODULE = ("delete_module", "finit_module", "init_module")
_GROUPS: Mapping[str, tuple[str, ...]] = {
    "@aio": ("io_uring_setup",),
    "@debug": ("perf_event_open", "ptrace"),
    "@ipc": _MEMORY,
    "@keyring": _KEYRING,
    "@known": _DENIED,
    "@module": _MODULE,
    "@mount": ("chroot", "mount", "pivot_root", "umount2"),
    "@privileged": ("bpf", "chroot", "kexec_load", "open_by_handle_at", "pivot_root", *_MODULE),
    "@process": _PROCESS,
    "@reboot": ("kexec_load",),
    "@system-service": ("io_uring_setup", *_KEYRING, *_MEMORY, *_PROCESS),
}
"""Which of the calls that are denied each of systemd's groups names; its other groups name none of them."""
_WORDS: Mapping[str, Addresses] = {
    "any": _ANYWHERE,
    "localhost": Addresses.parse("127.0.0.0/8") | Addresses.parse("::1"),
    "link-local": Addresses.parse("169.254.0.0/16") | Addresses.parse("fe80::/64"),
    "multicast": Addresses.parse("224.0.0.0/4") | Addresses.parse("ff00::/8"),
}
"""Names that IPAddressAllow and IPAddressDeny take for networks."""


def render_drop_in(rules: Rules, sites: Sites, service: str) -> str:
    """Write the drop-in of one service, such as for `matching.service.d/ringfence.conf`."""
    workload = rules.workloads[service]
    into, out_of = list(rules.into(service)), list(rules.out_of(service))
    lines = [f"# {flow} ({rules.flows[flow].rule})" for flow in (*into, *out_of)]
    lines += ["[Service]", "NoNewPrivileges=yes", f"SystemCallFilter=~{' '.join(_DENIED)}"]
    lines.append(f"RestrictAddressFamilies={' '.join(_FAMILIES)}")
    if workload.uid is not None:
        lines.append(f"User={workload.uid}")
    lines.append("IPAddressDeny=any")
    for end in sorted(peers_of(rules, service)):
        lines.append(f"IPAddressAllow={' '.join(networks_of(sites[end].addresses))}")
    lines.append("SocketBindDeny=any")
    lines += [f"SocketBindAllow={flow.protocol}:{flow.port}" for flow in into]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def wanted_by_systemd(rules: Rules) -> dict[str, Envelope]:
    """Return what the policy asks of each unit, in the words that systemd has."""
    always = {_NO_NEW_PRIVILEGES, _FAMILIES_ONLY, *(f"no call of {call}" for call in _DENIED)}
    return {
        service: Envelope(
            peers=peers_of(rules, service),
            listens=ports_of(rules.into(service)),
            limits=frozenset(always if workload.uid is None else {*always, f"user {workload.uid}"}),
        )
        for service, workload in rules.workloads.items()
    }


def observe_drop_in(text: str, sites: Sites, service: str) -> Envelope:
    """Read what a unit file, or a drop-in written by hand, lets one service do.

    An address that both lists name is allowed, and without lists nothing is filtered, as systemd has it. A
    word that is no address allows nothing and denies nothing.
    """
    directives = list(_directives(text))
    allowed, denied = (_addresses(directives, f"IPAddress{word}") for word in ("Allow", "Deny"))
    reached = _ANYWHERE - (denied - allowed)
    others = {end: site.addresses for end, site in sites.items() if end != service}
    return Envelope(
        peers=frozenset(end for end, own in others.items() if not own - reached),
        partly=frozenset(end for end, own in others.items() if own & reached and own - reached),
        listens=_binds(directives),
        limits=frozenset(_limits(directives)),
    )


def _directives(text: str) -> Iterable[tuple[str, str]]:
    """List the directives of the section [Service], long lines joined, comments left out."""
    section = ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;" and "=" in line and section == "Service":
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()


def _limits(directives: list[tuple[str, str]]) -> Iterable[str]:
    """List the limits that a unit puts on itself, in the words of `wanted_by_systemd`."""
    last = dict(directives)
    if last.get("NoNewPrivileges", "").lower() in ("1", "yes", "y", "true", "t", "on"):
        yield _NO_NEW_PRIVILEGES
    if last.get("User"):
        yield f"user {last['User']}"
    families = _words(directives, "RestrictAddressFamilies")
    if families and not families[0].startswith("~") and {*families} <= {*_FAMILIES, "none"}:
        yield _FAMILIES_ONLY
    yield from (f"no call of {call}" for call in _DENIED if _is_denied(call, directives))


def _is_denied(call: str, directives: list[tuple[str, str]]) -> bool:
    """Say whether the filter keeps a unit from a call.

    The first list says whether what is not named is allowed; each later one adds to it, or with the other
    sign takes away; an empty one forgets those before.
    """
    names_denied, named = None, False
    for value in (value for key, value in directives if key == "SystemCallFilter"):
        is_denying = value.startswith("~")
        if not value:
            names_denied, named = None, False
        elif names_denied is None:
            names_denied = is_denying
        calls = {word.partition(":")[0] for word in value.removeprefix("~").split()}
        if call in calls or any(call in _GROUPS.get(word, ()) for word in calls):
            named = is_denying == names_denied
    return False if names_denied is None else named == names_denied


def _words(directives: Iterable[tuple[str, str]], key: str) -> list[str]:
    """Gather the words of a directive that may be given many times; an empty one forgets those before."""
    found: list[str] = []
    for name, value in directives:
        if name == key:
            found = [*found, *value.split()] if value else []
    return found


def _addresses(directives: Iterable[tuple[str, str]], key: str) -> Addresses:
    known = [_WORDS[word] if word in _WORDS else _network(word) for word in _words(directives, key)]
    return Addresses.union(known)


def _network(word: str) -> Addresses:
    try:
        return Addresses.parse(word)
    except ValueError:
        return NO_ADDRESSES


def _binds(directives: Iterable[tuple[str, str]]) -> Connections:
    """Return the ports that may be listened on: an allowed one wins over a denied one."""
    listed = list(directives)
    everything = Connections.union(Connections.on(protocol, ALL_PORTS) for protocol in ("TCP", "UDP"))
    allowed, denied = (_bind_ports(_words(listed, f"SocketBind{word}")) for word in ("Allow", "Deny"))
    return everything - (denied - allowed)


def _bind_ports(words: Iterable[str]) -> Connections:
    total = NO_CONNECTIONS
    for word in words:
        parts = word.lower().split(":")
        ranges = [found for part in parts if (found := _ports(part)) is not None]
        named = [protocol for protocol in PROTOCOLS if protocol.lower() in parts]
        ports = ranges[0] if ranges else ALL_PORTS
        if ranges or named or "any" in parts:
            total |= Connections.union(
                Connections.on(protocol, ports) for protocol in named or ("TCP", "UDP")
            )
    return total


def _ports(word: str) -> Ranges | None:
    bounds = [int(part) for part in word.split("-") if part.isascii() and part.isdigit()]
    if len(bounds) not in (1, 2) or len(bounds) != len(word.split("-")):
        return None
    first, last = bounds[0], bounds[-1]
    return Ranges(((first, last),)) if PORT_MIN <= first <= last <= PORT_MAX else None
