"""Debian packages that some features need beside Python's: one table, installed by name with apt.

    python3 setup/system_packages.py FEATURE...     install what these features need, as root

Without root nothing is installed: one sentence says which packages are missing, and the tests of that
feature skip with the same words (under CI=true they fail instead: see tests/conftest.py). To give a feature a
new need, add a line to `FEATURES`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

FEATURES: dict[str, dict[str, str]] = {
    # feature: {program that shows the package is there: Debian's name of the package}
    "network": {"nft": "nftables", "ip": "iproute2", "conntrack": "conntrack", "unshare": "util-linux"},
}


def main(arguments: list[str]) -> int:
    """Install what the named features lack, or say what that is; 2 where a feature has no such name."""
    unknown = [name for name in arguments if name not in FEATURES]
    if unknown or not arguments:
        print(f"usage: python3 setup/system_packages.py {'|'.join(FEATURES)}", file=sys.stderr)
        return 2
    for feature in arguments:
        packages = missing_packages(feature)
        if packages and not (is_root() and could_install(packages, feature)):
            print(f"{feature}: missing {', '.join(packages)}; as root: apt-get install {' '.join(packages)}")
    return 0


def could_install(packages: Sequence[str], feature: str) -> bool:
    """Install packages; False, with a sentence, where apt refuses: the tests that need them say the rest."""
    try:
        install_packages(packages, feature)
    except subprocess.CalledProcessError as error:
        print(f"{feature}: apt-get ended with {error.returncode}")
        return False
    return True


def missing_packages(feature: str) -> list[str]:
    """List the Debian packages whose programs are not on the search path."""
    # /usr/sbin is where nft and conntrack are, and not on every user's search path.
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    return [name for program, name in FEATURES[feature].items() if shutil.which(program, path=path) is None]


def is_root() -> bool:
    """Say whether packages may be installed on this machine."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install_packages(packages: Sequence[str], purpose: str) -> None:
    """Install Debian packages by name, as root; CalledProcessError where apt refuses."""
    print(f"set-up: apt-get install {' '.join(packages)} (for {purpose})", flush=True)
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        subprocess.run(command, check=True, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def download_package(package: str, folder: Path) -> Path | None:
    """Fetch one Debian package without installing it, which needs no root; None where it cannot be had.

    apt keeps its lists and cache in `folder`, because an ordinary user cannot write the machine's own.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return None
    lists, cache = folder / "lists", folder / "cache"
    (lists / "partial").mkdir(parents=True)
    (cache / "archives" / "partial").mkdir(parents=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={cache}"]
    apt += ["-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User="]
    for command in ([*apt, "update"], [*apt, "download", package]):
        subprocess.run(command, check=False, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    return next(iter(sorted(folder.glob(f"{package}_*.deb"))), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
