"""What the tidy tests look at: the files of the repository, read once."""

import subprocess
from pathlib import Path
from types import ModuleType

import generate as generate_pages
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[Path]:
    """List every file that git has or would take, so that a forgotten `git add` is seen before it lands."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return [root / name for name in listed.splitlines() if (root / name).is_file()]


@pytest.fixture(scope="session")
def generate() -> ModuleType:
    """Return the generator of docs pages."""
    return generate_pages


@pytest.fixture(scope="session")
def test_text() -> str:
    """Return the text of every test but the tidy ones, in which words are looked for."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return "\n".join(file.read_text() for file in files if "tidy" not in file.parts)


@pytest.fixture(scope="session")
def docs_text() -> str:
    """Return the text of every page of the documentation."""
    return "\n".join(page.read_text() for page in sorted((ROOT / "docs").rglob("*.md")))
