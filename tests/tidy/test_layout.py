"""Where things are and what they are called."""

import ast
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
MODULES = sorted((SOURCE / "ringfence").rglob("*.py"))
UNWELCOME = {
    "util",
    "utils",
    "helper",
    "helpers",
    "manager",
    "handler",
    "processor",
    "common",
    "misc",
    "base",
    "data",
}
UNWELCOME |= {"info", "new", "v2", "stuff", "tools"}


def dotted(module: Path) -> str:
    """Return the name a module is imported by."""
    parts = module.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(module: Path) -> set[str]:
    """List what a module imports, at its top or inside a function: every name that may be a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_every_module_is_imported_somewhere():
    programs = [file for folder in ("tests", "bench", "docs") for file in (ROOT / folder).rglob("*.py")]
    used = set().union(*(imported_by(program) for program in programs))
    used.update(*(imported_by(module) - {dotted(module)} for module in MODULES))
    # These are started by name: `ringfence` (pyproject.toml, project.scripts) and `python -m ringfence`.
    started = {"ringfence.cli.main", "ringfence.__main__"}
    unused = {dotted(module) for module in MODULES if module.name != "__init__.py"} - used - started
    assert not unused, f"delete it, or use and test it: {sorted(unused)}"


@pytest.mark.parametrize("module", MODULES, ids=dotted)
def test_every_module_says_what_it_is(module):
    assert ast.get_docstring(ast.parse(module.read_text())), (
        f"{module.relative_to(ROOT)}: begin with a docstring"
    )


def test_names_are_nouns_of_the_glossary(tracked):
    found = [
        str(path.relative_to(ROOT))
        for path in tracked
        if UNWELCOME.intersection(part.split(".")[0] for part in path.relative_to(ROOT).parts)
    ]
    assert not found, found


def test_no_file_names_a_machine(tracked):
    # The folders of one machine mean nothing on another. Written apart so that this line is not one of them.
    machine = re.compile(r"(^|[^A-Za-z0-9_.])/(work|farm|root|opt/wheels)" + "/")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked
        if path.suffix != ".lock"
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if machine.search(line)
    ]
    assert not found, found


def test_no_debts_are_left_in_the_text(tracked):
    debts = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|raise NotImplemented" + "Error")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked
        if path.suffix in {".py", ".md", ".yaml", ".toml", ""} and path.name != "LICENSE"
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if debts.search(line)
    ]
    assert not found, found


def test_unit_tests_mirror_the_source():
    folders = {
        folder.relative_to(ROOT / "tests/unit")
        for folder in (ROOT / "tests/unit").rglob("*")
        if folder.is_dir()
    }
    strays = [str(folder) for folder in folders if folder.name != "__pycache__" and not mirrored(folder)]
    assert not strays, f"a folder of tests/unit has the path of a package of src/ringfence: {strays}"


def mirrored(folder: Path) -> bool:
    """Say whether a folder of unit tests stands where a package stands, or belongs to one module."""
    return (SOURCE / "ringfence" / folder).is_dir() or (SOURCE / "ringfence" / folder).with_suffix(
        ".py"
    ).is_file()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Return the wheel, built from the working tree without any download."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("ringfence-*.whl")
    return built


def test_the_wheel_holds_the_policies_and_the_types(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    policies = {str(path.relative_to(ROOT)) for path in (ROOT / "policies").rglob("*.yaml")}
    assert {f"ringfence/{path}" for path in policies} <= names
    assert "ringfence/py.typed" in names
    assert {dotted(module) for module in MODULES} <= {name_of(name) for name in names}
    assert not [name for name in names if name.startswith(("tests", "docs", "bench", "setup"))]


def test_an_installed_wheel_finds_its_policies(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from ringfence.wiring_files import SHIPPED_POLICIES, load_policy, shipped_policy\n"
        "for name in SHIPPED_POLICIES:\n"
        "    print(shipped_policy(name), len(load_policy(shipped_policy(name)).gates))\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert lines
    assert all(line.startswith(f"{tmp_path}/ringfence/policies/") for line in lines)


def name_of(member: str) -> str:
    """Return the dotted name of a Python file in a wheel."""
    return member.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
