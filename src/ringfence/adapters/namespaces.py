"""A network on one machine: a hub and one network namespace for each end of a policy, joined by veth pairs.

Everything happens inside a network and mount namespace of this process's own (see `entered_command`), so
nothing of it is seen from outside and nothing is left behind, however the process ends. Without root the same
works inside a user namespace of its own, where the kernel allows those.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from ringfence.kernel.errors import UnreachableError
from ringfence.planes.network.sites import INNER_INTERFACE, Site, Sites

HUB = "hub"
_MARK = "RINGFENCE_LAB"
_FOLDER = "RINGFENCE_RUN"
_RUN = "/run"
_CLONE_NEWNET = 0x4000_0000
_PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "conntrack": "conntrack",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}

_Result = TypeVar("_Result")


def is_entered() -> bool:
    """Say whether this process already has namespaces of its own."""
    return os.environ.get(_MARK) == "1"


def entered_command(command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` in new namespaces; UnreachableError where that cannot be."""
    _require_programs()
    return ["unshare", _possible_flags(), *_marked(command)]


def _marked(command: Sequence[str]) -> list[str]:
    """Return the command with what tells it that it is inside, and where it finds programs and our folder."""
    searched = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return ["env", f"{_MARK}=1", f"{_FOLDER}={_folder()}", f"PATH={searched}", *command]


# --- labs that stand ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StandingLab:
    """A lab that another process keeps up.

    process: its id; policy: the file it was built from; greets: whether every end answers with its name on
    every port of the matrix, as the lab's own listeners do.
    """

    process: int
    policy: str
    greets: bool


@contextmanager
def standing(policy: Path, *, greets: bool) -> Iterator[None]:
    """Let other processes of this user find this lab while it stands; UnreachableError where one does."""
    if find_standing() is not None:
        raise UnreachableError("a lab stands on this machine already; end it first")
    file = _folder() / "lab.json"
    file.parent.mkdir(mode=0o700, exist_ok=True)
    said = {"process": os.getpid(), "network": _network_of("self"), "policy": str(policy), "greets": greets}
    file.write_text(json.dumps(said), encoding="utf-8")
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def find_standing() -> StandingLab | None:
    """Return the lab that stands on this machine, None where there is none any more."""
    try:
        said = json.loads((_folder() / "lab.json").read_text(encoding="utf-8"))
        if _network_of(said["process"]) != said["network"]:
            return None
        return StandingLab(said["process"], said["policy"], said["greets"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def joined_command(lab: StandingLab, command: Sequence[str]) -> list[str]:
    """Return the command that runs `command` inside a lab that stands."""
    owner = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    target = ["nsenter", f"--target={lab.process}", *owner, "--net", "--mount", f"--wd={os.getcwd()}"]
    return [*target, *_marked(command)]


def _folder() -> Path:
    """Return the folder of this user for what stands; told by whoever enters: inside we seem to be root."""
    return Path(os.environ.get(_FOLDER) or Path(tempfile.gettempdir(), f"ringfence-{os.getuid()}"))


def _network_of(process: int | str) -> str:
    return os.readlink(f"/proc/{process}/ns/net")


def _require_programs() -> None:
    searched = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    missing = [name for name in _PROGRAMS if shutil.which(name, path=searched) is None]
    if missing:
        packages = " ".join(sorted({_PROGRAMS[name] for name in missing}))
        raise UnreachableError(
            f"the lab needs {', '.join(missing)}, which are not on this machine; apt-get install {packages}"
        )


def _possible_flags() -> str:
    """Say how namespaces can be made here; root of a container may be as powerless as anybody else."""
    said = ""
    for flags in ("-nm", "-Urnm") if os.geteuid() == 0 else ("-Urnm",):
        tried = subprocess.run(["unshare", flags, "true"], capture_output=True, text=True, check=False)
        if not tried.returncode:
            return flags
        said = tried.stderr.strip() or "unshare failed"
    raise UnreachableError(
        f"this machine lets us make no network namespaces: {said}; run as root with CAP_SYS_ADMIN, or allow "
        "user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone)"
    )


def path_of(place: str) -> str:
    """Return the path by which a process enters the namespace of a place."""
    return f"{_RUN}/netns/{place}"


class Lab:
    """The namespaces of one policy's ends; `up` builds them, `down` takes them away."""

    def __init__(self, sites: Sites) -> None:
        if not is_entered():
            raise UnreachableError(
                "a lab is built only in namespaces of its own; start it by `ringfence lab`"
            )
        self.sites = sites
        self.places = (HUB, *sites)

    def up(self) -> None:
        """Build every namespace, link, address and route; UnreachableError with what the system said."""
        _run(["mount", "-t", "tmpfs", "tmpfs", _RUN])
        _run(["ip", "-batch", "-"], "".join(f"netns add {place}\n" for place in self.places))
        for place in self.places:
            self.within(place, partial(_set_kernel, is_hub=place == HUB))
        links = "".join(
            f"link add {site.interface} netns {HUB} type veth peer name {INNER_INTERFACE} netns {end}\n"
            for end, site in self.sites.items()
        )
        _run(["ip", "-batch", "-"], links)
        _run(["ip", "-n", HUB, "-batch", "-"], "".join(map(_hub_side, self.sites.values())))
        for end, site in self.sites.items():
            _run(["ip", "-n", end, "-batch", "-"], _own_side(site))

    def down(self) -> None:
        """Take every namespace away."""
        _run(["ip", "-batch", "-"], "".join(f"netns delete {place}\n" for place in self.places))
        _run(["umount", "--lazy", _RUN])

    def within(self, place: str, work: Callable[[], _Result]) -> _Result:
        """Run `work` in a thread that is inside a namespace; sockets it makes stay there for good."""
        results: list[_Result] = []
        faults: list[BaseException] = []

        def enter() -> None:
            try:
                _enter(path_of(place))
                results.append(work())
            except BaseException as fault:  # noqa: BLE001 - handed on to the caller's thread below
                faults.append(fault)

        thread = threading.Thread(target=enter, name=f"within {place}")
        thread.start()
        thread.join()
        if faults:
            raise faults[0]
        return results[0]

    def command(self, place: str, command: Iterable[str]) -> list[str]:
        """Return the command that runs `command` inside a namespace."""
        return ["nsenter", f"--net={_RUN}/netns/{place}", *command]


def _enter(path: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(handle, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {path}")
    finally:
        os.close(handle)


def _set_kernel(*, is_hub: bool) -> None:
    """Let the hub forward, and skip IPv6 address detection: it would lose the first second of packets."""
    settings = {"ipv6/conf/all/accept_dad": "0", "ipv6/conf/default/accept_dad": "0"}
    if is_hub:
        settings |= {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}
    for name, value in settings.items():
        Path("/proc/sys/net", name).write_text(value, "ascii")


def _hub_side(site: Site) -> str:
    return (
        f"address add {site.hub_v4}/30 dev {site.interface}\n"
        f"address add {site.hub_v6}/64 dev {site.interface} nodad\n"
        f"link set {site.interface} up\n"
    )


def _own_side(site: Site) -> str:
    return (
        f"address add {site.own_v4}/30 dev {INNER_INTERFACE}\n"
        f"address add {site.own_v6}/64 dev {INNER_INTERFACE} nodad\n"
        f"link set lo up\nlink set {INNER_INTERFACE} up\n"
        f"route add default via {site.hub_v4}\n"
        f"route add ::/0 via {site.hub_v6}\n"
    )


def _run(command: Sequence[str], text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise UnreachableError(f"{command[0]} failed in the lab: {said[0] if said else done.returncode}")


def this_command() -> list[str]:
    """Return the command that started this process, for running it again elsewhere."""
    return [sys.executable, "-m", "ringfence", *sys.argv[1:]]
