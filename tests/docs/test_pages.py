"""The pages of the documentation do what they say: their commands and programs are run.

    console     each line that begins with `$ ` is run from a folder that holds policies/; it must end with 0,
                or with N where the line ends in `# exit N`. Lines below it must appear in what it prints, in
                that order; `...` stands for anything. `$ make` only has to name a target, and
                `$ export NAME=VALUE` counts for the rest of the page.
    python      run as a program; all of a page's blocks share their names.
    yaml        a whole policy (`ringfence: 1`) must be read without an error.

What is only to be looked at is a `text` block. A page that begins with `<!-- nightly -->` runs nightly.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from ringfence.policy.parse import parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
KNOWN = {"console", "python", "yaml", "json", "text", "mermaid", "sql", "html", "csv"}
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS_MAX = 300


@dataclass(frozen=True)
class Step:
    """One command of a page: what to type, how it should end, and lines it should print."""

    command: str
    exit_code: int
    lines: tuple[str, ...]


def blocks(page: Path) -> list[tuple[str, str]]:
    """List the fenced blocks of a page as (language, text)."""
    return FENCE.findall(page.read_text())


def steps(block: str) -> list[Step]:
    """Split a console block into its commands."""
    found: list[tuple[str, list[str]]] = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif found and line.strip() and line.strip() not in {"...", "…"}:
            found[-1][1].append(line.strip())
    return [step(command, lines) for command, lines in found]


def step(command: str, lines: list[str]) -> Step:
    """Take the promised exit code off a command."""
    promised = re.search(r"\s+# exit (\d)$", command)
    bare = command[: promised.start()] if promised else command
    return Step(bare, int(promised[1]) if promised else 0, tuple(lines))


def marked(page: Path) -> object:
    """Make a parameter of a page, nightly where it says so."""
    marks = [pytest.mark.nightly] if page.read_text().startswith("<!-- nightly -->") else []
    return pytest.param(page, id=str(page.relative_to(ROOT)), marks=marks)


def having(language: str) -> list[object]:
    """List the pages that hold a block of the language."""
    return [marked(page) for page in PAGES if any(name == language for name, _ in blocks(page))]


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Path:
    """Return a new folder that holds the repository's policies, as a reader's own would."""
    for name in ("policies", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", having("console"))
def test_the_commands_of_a_page_do_what_it_says(page, desk, monkeypatch):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for language, block in blocks(page):
        for each in steps(block) if language == "console" else []:
            if each.command.startswith(("make ", "git clone ", "cd ")):
                assert not each.command.startswith("make ") or each.command.split()[1] in targets
            elif exported := re.fullmatch(r"export (\w+)=(\S+)", each.command):
                monkeypatch.setenv(*exported.groups())
            else:
                check(each)


def check(each: Step) -> None:
    """Run one command and compare how it ends and what it prints."""
    done = subprocess.run(
        ["bash", "-c", each.command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    shown = f"$ {each.command}\n{done.stdout}"
    assert done.returncode == each.exit_code, shown
    rest = " ".join(done.stdout.split())
    for line in each.lines:
        wanted = " ".join(line.split())
        assert wanted in rest, f"`{line}` is not what this prints:\n{shown}"
        rest = rest[rest.index(wanted) + len(wanted) :]


@pytest.mark.parametrize("page", having("python"))
def test_the_programs_of_a_page_run(page, desk):
    program = "\n".join(block for language, block in blocks(page) if language == "python")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_policies_of_the_pages_are_read():
    whole = [
        (page, block)
        for page in PAGES
        for language, block in blocks(page)
        if language == "yaml" and re.search(r"^ringfence: 1$", block, re.MULTILINE)
    ]
    parsed = {page: parse(block, page.name) for page, block in whole}
    faults = {page: [str(finding) for finding in read.errors] for page, read in parsed.items()}
    assert not any(faults.values()), faults


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_says_what_it_is(page):
    unknown = [language or "(none)" for language, _ in blocks(page) if language not in KNOWN]
    assert unknown == [], "use console for commands that are run, text for what is only looked at"


def test_a_console_block_is_split_into_its_steps():
    block = "$ ringfence demo --seed 1 \\\n    --json\nforeign\n...\n  loss 0\n\n$ false  # exit 1\n"
    assert steps(block) == [
        Step("ringfence demo --seed 1      --json", 0, ("foreign", "loss 0")),
        Step("false", 1, ()),
    ]


@pytest.mark.parametrize(
    "each",
    [
        Step("exit 1", 0, ()),
        Step("true", 1, ()),
        Step("echo a b", 0, ("b", "a")),
        Step("echo a", 0, ("a", "a")),
    ],
)
def test_a_page_that_is_wrong_is_found(each, desk):
    with pytest.raises(AssertionError):
        check(each)
