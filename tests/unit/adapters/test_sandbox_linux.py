"""Every wall of the sandbox, tried by a process that is really inside it."""

import json
import platform
import subprocess
import sys
from textwrap import dedent

import pytest

from ringfence.adapters.sandbox_linux import landlock_version

ATTEMPTS = """
import ctypes, json, os, socket, sys, tempfile, threading
import encodings.idna
from ringfence.adapters.sandbox_linux import enter
from ringfence.planes.network.sandbox import SandboxProfile

own, foreign, is_inside, uses_udp = sys.argv[1], sys.argv[2], sys.argv[3] == "1", sys.argv[4] == "1"
listener = socket.create_server(("127.0.0.1", 0))
other = socket.create_server(("127.0.0.1", 0))
port, closed = listener.getsockname()[1], other.getsockname()[1]
abstract = socket.socket(socket.AF_UNIX); abstract.bind(b"\\0rf-test-%d" % os.getpid()); abstract.listen()
libc = ctypes.CDLL(None, use_errno=True)
with socket.create_server(("127.0.0.1", 0)) as free: bindable = free.getsockname()[1]
with socket.create_server(("127.0.0.1", 0)) as free: unbindable = free.getsockname()[1]

applied = None
if is_inside:
    profile = SandboxProfile(
        service="test", uid=None, listens=(bindable,), connects=(port,), uses_udp=uses_udp,
        reads=(foreign,), writes=(own,),
    )
    applied = enter(profile)

def bind(number):
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(("127.0.0.1", number))

def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", ("127.0.0.1", 9))

def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")

def write(path, text="x"):
    with open(path, "w") as file:
        file.write(text)

attempts = {
    "connect to its port": lambda: socket.create_connection(("127.0.0.1", port), 2).close(),
    "connect elsewhere": lambda: socket.create_connection(("127.0.0.1", closed), 2).close(),
    "listen on its port": lambda: bind(bindable),
    "listen elsewhere": lambda: bind(unbindable),
    "udp": udp,
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "unix": lambda: socket.socketpair(),
    "write its own": lambda: write(os.path.join(own, "a")),
    "read its own": lambda: open(os.path.join(own, "a")).read(),
    "read what it may": lambda: open(os.path.join(foreign, "b")).read(),
    "write what it may only read": lambda: write(os.path.join(foreign, "c")),
    "read elsewhere": lambda: open("/etc/hostname").read(),
    "run a program": lambda: os.posix_spawn("/bin/true", ["/bin/true"], {}) and os.wait()[1] and call(-1),
    "unshare": lambda: call({"x86_64": 272}.get(os.uname().machine, 97), 0),
    "signal its parent": lambda: os.kill(os.getppid(), 0),
}
found = {}
for name, attempt in attempts.items():
    try:
        attempt()
        found[name] = True
    except OSError:
        found[name] = False
print(json.dumps({"found": found, "not_done": applied.not_done if applied else []}))
"""


def attempts(tmp_path, *, inside, uses_udp=False):
    own, foreign = tmp_path / "own", tmp_path / "foreign"
    own.mkdir(exist_ok=True)
    foreign.mkdir(exist_ok=True)
    (own / "a").write_text("mine")
    (foreign / "b").write_text("theirs")
    arguments = [str(own), str(foreign), "1" if inside else "0", "1" if uses_udp else "0"]
    done = subprocess.run(
        [sys.executable, "-c", dedent(ATTEMPTS), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    return attempts(tmp_path_factory.mktemp("free"), inside=False)["found"]


@pytest.fixture(scope="module")
def walled(tmp_path_factory):
    return attempts(tmp_path_factory.mktemp("walled"), inside=True)


def needs_landlock(version):
    if landlock_version() < version:
        pytest.skip(f"this kernel has Landlock {landlock_version()}; the test needs {version}")


MAY = ["unix", "write its own", "read its own", "read what it may"]
REFUSED_BY_FILE = ["write what it may only read", "read elsewhere"]


@pytest.mark.parametrize("attempt", [*MAY, "connect to its port", "listen on its port"])
def test_what_a_service_needs_still_works(walled, attempt):
    assert walled["found"][attempt]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="system calls are not known")
@pytest.mark.parametrize("attempt", ["udp", "run a program", "unshare"])
def test_a_system_call_no_service_needs_is_refused(free, walled, attempt):
    assert free[attempt], "the control: outside the sandbox it works"
    assert not walled["found"][attempt]


@pytest.mark.parametrize("attempt", ["netlink", "packet"])
def test_a_socket_of_another_family_is_refused(walled, attempt):
    assert not walled["found"][attempt]


@pytest.mark.parametrize("attempt", REFUSED_BY_FILE)
def test_other_files_are_out_of_reach(free, walled, attempt):
    needs_landlock(1)
    assert free[attempt], "the control: outside the sandbox it works"
    assert not walled["found"][attempt]


@pytest.mark.parametrize("attempt", ["connect elsewhere", "listen elsewhere"])
def test_other_ports_are_out_of_reach(free, walled, attempt):
    needs_landlock(4)
    assert free[attempt], "the control: outside the sandbox it works"
    assert not walled["found"][attempt]


def test_other_processes_are_out_of_reach(free, walled):
    needs_landlock(6)
    assert free["signal its parent"]
    assert not walled["found"]["signal its parent"]


def test_udp_works_where_a_flow_uses_it(tmp_path):
    assert attempts(tmp_path, inside=True, uses_udp=True)["found"]["udp"]


def test_what_the_kernel_cannot_do_is_said(walled):
    said = " ".join(walled["not_done"])
    assert ("Landlock" in said) == (landlock_version() < 6)
