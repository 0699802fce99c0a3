"""Plant small faults in the readable rule of the ledger, one at a time, and count those that no test sees.

    .venv/bin/python tests/mutation/run_mutants.py [module ...]

Works in a copy that is thrown away. `survivors.txt` beside this file lists the faults that may live, each
with its reason; any other is printed as one without a reason. The run fails where fewer than 90 % are found.
Without names it takes every module below, as `make nightly` does: that takes hours.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEDGER = "src/ringfence/planes/ledger"
MODULES = (
    *("transfer", "needs", "limits", "exchange", "trade", "settlement", "shortfall", "interest", "prices"),
    *("moves", "fills", "payments", "settling", "holds", "waiting", "records", "chain", "ledger"),
)
# The rest of the ledger's tests hold the compiled twin and the journal, and would be compiled anew each time.
SLOW = ("test_batch.py", "test_row_lane.py", "test_rows.py", "test_laws.py", "test_journal.py")
SCORE_MIN = 0.9
FOUND = {"killed", "timeout", "segfault", "suspicious"}


def configuration(modules: list[str]) -> str:
    """Write mutmut's part of pyproject.toml."""
    tests = sorted((ROOT / "tests/unit/planes/ledger").glob("test_*.py"))
    chosen = [str(test.relative_to(ROOT)) for test in tests if test.name not in SLOW]
    return f"""
[tool.mutmut]
source_paths = ["src"]
only_mutate = {[f"{LEDGER}/{module}.py" for module in modules]}
pytest_add_cli_args_test_selection = {chosen}
also_copy = ["tests", "policies", "bench", "docs", "setup"]
"""


def copy_to(folder: Path, modules: list[str]) -> None:
    """Copy what the tests need, with the configuration added."""
    for name in ("src", "tests", "policies", "bench", "docs", "setup"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / name)
    text = (ROOT / "pyproject.toml").read_text()
    (folder / "pyproject.toml").write_text(text + configuration(modules))


def results(folder: Path) -> Iterator[tuple[str, str]]:
    """Go through what became of each fault: its name and a word."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    shown = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    yield from re.findall(r"^\s*ringfence\.planes\.ledger\.(\S+): (.+)$", shown, re.MULTILINE)


def reasons() -> dict[str, str]:
    """Read the faults that may live, with their reasons."""
    lines = (Path(__file__).parent / "survivors.txt").read_text().splitlines()
    parts = (line.partition(": ") for line in lines if line and not line.startswith("#"))
    return {name: reason for name, _, reason in parts}


def main(arguments: list[str]) -> int:
    modules = arguments or list(MODULES)
    with tempfile.TemporaryDirectory(prefix="ringfence-mutants-") as name:
        folder = Path(name)
        copy_to(folder, modules)
        run = [sys.executable, "-m", "mutmut", "run", "--max-children", "2"]
        done = subprocess.run(run, cwd=folder, check=False)
        found = dict(results(folder))
    if not found:
        print(f"mutmut ended with {done.returncode} and left no results", file=sys.stderr)
        return 1
    allowed = reasons()
    living = [name for name, word in found.items() if word not in FOUND]
    score = 1 - len(living) / len(found)
    for name in living:
        print(f"{name}: {found[name]}: {allowed.get(name, 'NO REASON')}")
    print(f"{len(found) - len(living)} of {len(found)} faults found in {', '.join(modules)}: {score:.1%}")
    return 0 if score >= SCORE_MIN else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
