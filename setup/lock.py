"""Write the lock files: every package ringfence installs, its exact version, the hashes of its files.

    python3 setup/lock.py              keep what is locked, add what pyproject.toml newly asks for
    python3 setup/lock.py --upgrade    take the newest versions that pyproject.toml allows

What is wanted stands in pyproject.toml only. The dependencies, the extra `history` (so that the demo can read
real candles) and the build's own needs make runtime.lock; the other extras and the group `test` are added for
test.lock. pip-tools resolves them in an environment that is thrown away. Run it under Python 3.11, the oldest
version we promise.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIP_TOOLS = "pip-tools==7.6.2"


def main(arguments: list[str]) -> int:
    """Write both lock files, runtime first, so that test.lock holds the same versions and more."""
    if sys.version_info[:2] != (3, 11):
        print(f"lock under Python 3.11; this is {sys.version.split()[0]}", file=sys.stderr)
        return 2
    runtime, test = requirements()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        subprocess.run([folder / "venv/bin/pip", "install", "--quiet", PIP_TOOLS], check=True, env=clean())
        lock(folder, "runtime", runtime, arguments)
        lock(folder, "test", [*test, f"-c {ROOT / 'setup' / 'runtime.lock'}"], arguments)
    return 0


def requirements() -> tuple[list[str], list[str]]:
    """Read from pyproject.toml what the demo and what the tests ask for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    optional = project["project"]["optional-dependencies"]
    runtime = [
        *project["project"]["dependencies"],
        *optional["history"],
        *project["build-system"]["requires"],
    ]
    extras = [name for names in optional.values() for name in names]
    return runtime, [*runtime, *extras, *project["dependency-groups"]["test"]]


def lock(folder: Path, name: str, wanted: list[str], arguments: list[str]) -> None:
    """Resolve the wanted packages and write setup/<name>.lock, without addresses or paths."""
    source, output, target = folder / f"{name}.in", folder / f"{name}.lock", ROOT / "setup" / f"{name}.lock"
    source.write_text("\n".join(wanted) + "\n")
    if target.is_file():
        shutil.copy(target, output)
    options = ["--generate-hashes", "--allow-unsafe", "--strip-extras", "--no-header", "--no-annotate"]
    options += [
        "--no-emit-index-url",
        "--no-emit-find-links",
        "--no-emit-trusted-host",
        "--quiet",
        *arguments,
    ]
    command = [folder / "venv/bin/pip-compile", *options, f"--output-file={output.name}", source.name]
    subprocess.run(command, check=True, cwd=folder, env=clean())
    first = f"# {name}: written by setup/lock.py from pyproject.toml; do not edit.\n"
    target.write_text(first + "".join(line for line in output.open() if not line.startswith("#")))


def clean() -> dict[str, str]:
    """Return the environment without this machine's own pip settings: hashes must be the public index's."""
    own = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    kept = {key: value for key, value in os.environ.items() if key not in own}
    return {**kept, "PIP_CONFIG_FILE": os.devnull}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
