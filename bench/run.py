"""Run every benchmark of this folder one after the other and close with all ratios: `make bench`.

    .venv/bin/python bench/run.py             every benchmark
    .venv/bin/python bench/run.py ledger      bench/ledger.py only

A benchmark is a program of this folder that prints with `ratio.show_ratio`. One that fails is named last.
"""

import platform
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parent
START = 'if __name__ == "__main__":'


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; 1 where one failed."""
    programs = [BENCH / f"{name}.py" for name in names] or find_programs()
    absent = [program.name for program in programs if not program.is_file()]
    if absent:
        print(f"bench/ has no {', '.join(absent)}", file=sys.stderr)
        return 2
    print(
        f"{platform.machine()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"
    )
    ratios: list[str] = []
    failed: list[str] = []
    for program in programs:
        found, code = run(program)
        ratios += found
        if code != 0:
            failed.append(f"{program.stem} ended with {code}")
    print("\nall ratios (ours over theirs, in one run; above 1 is better)")
    for line in [*ratios, *failed] or ["none"]:
        print(f"  {line}")
    return 1 if failed else 0


def find_programs() -> list[Path]:
    """List the files of this folder that are programs, this one left out."""
    here = Path(__file__).resolve()
    return [file for file in sorted(BENCH.glob("*.py")) if file != here and START in file.read_text()]


def run(program: Path) -> tuple[list[str], int]:
    """Run one benchmark, show what it prints as it comes, and return its ratios and its exit code."""
    print(f"\n== {program.stem}", flush=True)
    ratios = []
    command = [sys.executable, str(program)]
    with subprocess.Popen(command, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if line.startswith("ratio: "):
                ratios.append(line.removeprefix("ratio: ").rstrip())
    return ratios, process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
