"""Set up everything ringfence needs, from a machine that has Python 3.11 and nothing else of ours.

    python3 setup/install.py runtime     what `make demo` needs
    python3 setup/install.py test        that, and what `make check` and `make test` need

Makes `.venv` beside this folder, installs the locked versions by hash, then ringfence itself. A second run
with the same lock files does nothing. Only the standard library is used: nothing else is there yet.

Debian's Python comes without `ensurepip`, so `python3 -m venv` alone fails on a fresh machine. Four ways to
pip are tried in turn: ensurepip; with root, Debian's package python3-venv; the pip of the Python that runs
this; the wheel inside Debian's package python3-pip-whl, which apt also gives to a user without root.
"""

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from system_packages import download_package, install_packages, is_root

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
SETS = ("runtime", "test")
PYTHON_MIN = (3, 11)
DEBIAN_WHEELS = Path("/usr/share/python-wheels")


def main(arguments: list[str]) -> int:
    """Install the set that is named; 0 where it is there at the end."""
    if sys.version_info < PYTHON_MIN:
        print(f"ringfence needs Python 3.11 or later; this is {sys.version.split()[0]}", file=sys.stderr)
        return 3
    if len(arguments) != 1 or arguments[0] not in SETS:
        print("usage: python3 setup/install.py runtime|test", file=sys.stderr)
        return 2
    started = time.monotonic()
    try:
        done = install(arguments[0])
    except subprocess.CalledProcessError as error:
        print(f"set-up stopped: `{shown(error.cmd)}` ended with {error.returncode}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"set-up stopped: {error}", file=sys.stderr)
        return 3
    if done:
        print(
            f"set-up of the {arguments[0]} requirements took {time.monotonic() - started:.0f} s", flush=True
        )
    return 0


def install(name: str) -> bool:
    """Bring `.venv` to the locked set `name`; False where it was there already."""
    lock = ROOT / "setup" / f"{name}.lock"
    wanted = fingerprint(lock)
    stamp = VENV / f"{name}.installed"
    if works(VENV_PYTHON) and stamp.is_file() and stamp.read_text() == wanted:
        return False
    print(f"set-up: installing {name} requirements into {VENV.name} (a minute or two, once)", flush=True)
    make_environment()
    pip = [str(VENV_PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(lock)])
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    stamp.write_text(wanted)
    return True


def fingerprint(lock: Path) -> str:
    """Name the state that a finished set-up has: the lock file, the project's own file, this Python."""
    state = hashlib.sha256()
    for part in (lock.read_bytes(), (ROOT / "pyproject.toml").read_bytes(), sys.version.encode()):
        state.update(hashlib.sha256(part).digest())
    return state.hexdigest()


def make_environment() -> None:
    """Make `.venv` with a pip in it, unless a working one is there."""
    if works(VENV_PYTHON, "pip"):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") is None and is_root():
        install_packages(["python3-venv"], "a virtual environment")
    # A new process: this one may have looked for ensurepip before it was there.
    if works(Path(sys.executable), "ensurepip"):
        run([sys.executable, "-m", "venv", str(VENV)])
    else:
        run([sys.executable, "-m", "venv", "--without-pip", str(VENV)])
        install_pip()


def install_pip() -> None:
    """Put pip into an environment that was made without it."""
    if works(Path(sys.executable), "pip"):
        run([sys.executable, "-m", "pip", "--python", str(VENV_PYTHON), "install", "--quiet", "pip"])
        return
    with tempfile.TemporaryDirectory() as folder:
        wheels = find_pip_wheels(DEBIAN_WHEELS) or find_pip_wheels(unpacked_pip_package(Path(folder)))
        if not wheels:
            raise OSError(
                "this Python has no pip and none could be had; as root: apt-get install python3-venv"
            )
        run([str(VENV_PYTHON), f"{wheels[-1]}/pip", "install", "--quiet", "--no-index", str(wheels[-1])])


def find_pip_wheels(folder: Path) -> list[Path]:
    """List the wheels of pip in a folder."""
    return sorted(folder.glob("pip-*.whl"))


def unpacked_pip_package(folder: Path) -> Path:
    """Fetch and unpack Debian's package with the wheel of pip; return the folder that would hold it."""
    package = download_package("python3-pip-whl", folder)
    if package is not None:
        run(["dpkg-deb", "--extract", str(package), str(folder)])
    return folder / DEBIAN_WHEELS.relative_to("/")


def works(python: Path, module: str = "sys") -> bool:
    """Say whether this Python starts, is new enough and has the module."""
    program = f"import sys, {module}; sys.exit(sys.version_info < {PYTHON_MIN})"
    try:
        return subprocess.run([str(python), "-c", program], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def run(command: list[str]) -> None:
    """Run a command; CalledProcessError where it fails."""
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def shown(command: list[str]) -> str:
    """Write a command as a person would type it from the top folder."""
    return " ".join(part.replace(f"{ROOT}/", "") for part in command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
