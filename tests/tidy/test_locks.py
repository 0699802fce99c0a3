"""What is installed is locked by version and hash, and each dependency has its sentence."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = PROJECT["project"]["dependencies"]
EXTRAS = [name for names in PROJECT["project"]["optional-dependencies"].values() for name in names]
TEST = PROJECT["dependency-groups"]["test"]
PINS = {
    name: dict(
        re.findall(r"^([a-z0-9-]+)==(\S+) \\$", (ROOT / f"setup/{name}.lock").read_text(), re.MULTILINE)
    )
    for name in ("runtime", "test")
}


def bare(requirement: str) -> str:
    """Return the name of a requirement as lock files write it."""
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@pytest.mark.parametrize("requirement", [*RUNTIME, *EXTRAS, *TEST], ids=bare)
def test_every_requirement_is_locked_at_or_over_its_lower_bound(requirement):
    name, bound = bare(requirement), re.search(r">=([0-9.]+)", requirement)
    pinned = PINS["test"].get(name)
    assert pinned is not None, f"run `make lock`: {name} is not in setup/test.lock"
    assert bound is not None, f"{name}: give it a lower bound in pyproject.toml"
    assert numbers(pinned) >= numbers(bound[1])


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers that can be compared."""
    return tuple(int(part) for part in re.findall(r"\d+", version))


@pytest.mark.parametrize("requirement", RUNTIME, ids=bare)
def test_every_runtime_requirement_is_in_the_runtime_lock(requirement):
    assert bare(requirement) in PINS["runtime"], "run `make lock`"


def test_the_demo_and_the_tests_run_the_same_versions():
    assert PINS["runtime"].items() <= PINS["test"].items()


@pytest.mark.parametrize("name", ["runtime", "test"])
def test_every_line_of_a_lock_is_a_version_or_a_hash(name):
    line = re.compile(r"[a-z0-9-]+==[^\s;]+ \\|    --hash=sha256:[0-9a-f]{64}( \\)?|# .*")
    strange = [
        text for text in (ROOT / f"setup/{name}.lock").read_text().splitlines() if not line.fullmatch(text)
    ]
    assert not strange, f"a lock holds names, versions and hashes, no addresses: {strange}"


def test_every_dependency_has_its_sentence():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    names = [re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in (*RUNTIME, *EXTRAS, *TEST)]
    missing = [name for name in names if f"**{name}**" not in text]
    assert not missing, f"say in ARCHITECTURE.md, in bold, why each earns its place: {missing}"


def test_the_product_imports_only_what_it_asks_for():
    # A package that is there only because another one needs it may be gone with that one's next version.
    wanted = {bare(requirement) for requirement in (*RUNTIME, *EXTRAS)}
    homes = packages_distributions()
    found: dict[str, str] = {}
    for module in (ROOT / "src").rglob("*.py"):
        for name in imported(ast.parse(module.read_text())) - set(sys.stdlib_module_names) - {"ringfence"}:
            if wanted.isdisjoint(bare(home) for home in homes.get(name, [])):
                found[name] = str(module.relative_to(ROOT))
    assert not found, f"add it to the dependencies or an extra of pyproject.toml: {found}"


def imported(module: ast.Module) -> set[str]:
    """List the top-level packages that a module imports, at its top or inside a function."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module.split(".")[0])
    return names
