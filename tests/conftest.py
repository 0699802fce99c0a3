"""Where conformance vectors and market data are; absent ones skip a test, or fail it when they are required."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def _folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable) or ROOT.parent / "shared" / default)
    if folder.is_dir():
        return folder
    sentence = f"{variable} is not set and there is no folder {folder}"
    if os.environ.get("RINGFENCE_REQUIRE_VECTORS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def vectors_dir() -> Path:
    return _folder("RINGFENCE_VECTORS", "vectors")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    return _folder("RINGFENCE_DATA", "data")
