import json
import subprocess
import sys
from pathlib import Path

import pytest

import ringfence.cli.main
from ringfence.cli.main import main
from ringfence.cli.output import print_json, progress, report_error
from ringfence.kernel.errors import BadInput, StoreBusy


def test_json_is_one_document_with_its_letters_as_they_are(capsys):
    print_json({"name": "Zürich", "units": 2**127})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"name": "Zürich", "units": 2**127}
    assert "Zürich" in printed
    assert printed.endswith("}\n")


def test_an_error_is_one_line_with_its_brackets_as_they_are(capsys):
    report_error(BadInput('venue.yaml:3: needs: ["client_key"] was found, ' + "which is long " * 20))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert '["client_key"] was found' in printed.err


def test_progress_is_silent_where_nobody_watches(capsys):
    with progress("counting [all]", total=3) as advance:
        advance(1)
        advance(2)
    printed = capsys.readouterr()
    assert printed.out == printed.err == ""


def test_a_broken_outside_world_is_a_sentence_and_a_code(monkeypatch, capsys):
    def busy() -> None:
        raise StoreBusy("book.db: another process writes to this book")

    monkeypatch.setattr(ringfence.cli.main, "app", busy)
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    assert capsys.readouterr().err == "error: book.db: another process writes to this book\n"


def test_an_error_is_a_document_too_where_json_was_asked_for(monkeypatch, capsys):
    def busy() -> None:
        raise StoreBusy("book.db: another process writes to this book")

    monkeypatch.setattr(ringfence.cli.main, "app", busy)
    monkeypatch.setattr(sys, "argv", ["ringfence", "book", "balance", "--json"])
    with pytest.raises(SystemExit):
        main()
    printed = capsys.readouterr()
    words = "book.db: another process writes to this book"
    assert json.loads(printed.out) == {"error": words, "exit_code": 3}
    assert words in printed.err


@pytest.mark.parametrize("words", [("digest", "venue"), ("show", "venue"), ("check", "venue", "--json")])
def test_an_answer_that_cannot_be_written_is_no_answer(words):
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ringfence", "policy", *words]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr == "error: standard output cannot be used: No space left on device\n"


def test_a_file_that_cannot_be_used_is_named(monkeypatch, capsys):
    monkeypatch.setattr(ringfence.cli.main, "app", lambda: Path("/no/such/file").read_text())
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 3
    assert capsys.readouterr().err == "error: /no/such/file cannot be used: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code"),
    [(["--help"], 0), (["-h"], 0), (["--version"], 0), (["no-such-word"], 2), ([], 2)],
)
def test_the_command_answers_with_its_exit_code(arguments, exit_code):
    program = "from ringfence.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=False)
    assert done.returncode == exit_code
    assert b"Traceback" not in done.stderr


def test_help_imports_nothing_heavy():
    # Each of these takes longer to import than help may take to answer; they wait inside the commands.
    heavy = {
        "numpy",
        "numba",
        "llvmlite",
        "pydantic",
        "ruamel",
        "pyarrow",
        "scipy",
        "cryptography",
        "duckdb",
        "z3",
    }
    program = (
        "import sys\n"
        "from ringfence.cli.main import main\n"
        "sys.argv = ['ringfence', '--help']\n"
        "try:\n    main()\n"
        "finally:\n    print('imported', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    imported = done.stdout.splitlines()[-1].split()
    assert imported[0] == "imported"
    assert "typer" in imported
    assert heavy.isdisjoint(imported), sorted(heavy.intersection(imported))
