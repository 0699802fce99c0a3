"""What every test may ask for: outside vectors, market data, and the parts of a machine a test needs.

A part that is missing skips the test with a sentence, so that a newcomer's first run is green on a bare
machine. Where nothing may be missing it fails instead: vectors and data under RINGFENCE_REQUIRE_VECTORS=1,
programs under CI=true.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# No deadline: a property that compiles a kernel on its first example is slow once and right.
settings.register_profile(
    "default",
    max_examples=100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("nightly", settings.get_profile("default"), max_examples=2_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the top folder of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    """Return the folder of test vectors that nobody here wrote."""
    return _outside_folder("RINGFENCE_VECTORS", "vectors")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of real market data."""
    return _outside_folder("RINGFENCE_DATA", "data")


@pytest.fixture(scope="session")
def needs_program() -> Callable[[str, str], str]:
    """Return a function (program, Debian package) that gives the program's path or skips the test."""
    return _program


def _outside_folder(variable: str, name: str) -> Path:
    named = os.environ.get(variable)
    folder = Path(named or ROOT.parent / "shared" / name)
    if not folder.is_dir():
        found = f"{variable} names" if named else f"{variable} is not set, and the default is"
        is_required = os.environ.get("RINGFENCE_REQUIRE_VECTORS") == "1"
        _missing(f"{found} {folder}, which is not there", is_required=is_required)
    return folder


def _program(program: str, package: str) -> str:
    # /usr/sbin is where nft and conntrack are, and not on every user's search path.
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        _missing(
            f"{program} is not on this machine; as root: apt-get install {package}",
            is_required=os.environ.get("CI") == "true",
        )
    return path or ""


def _missing(words: str, *, is_required: bool) -> None:
    if is_required:
        pytest.fail(words, pytrace=False)
    pytest.skip(words)
