"""The runner of the benchmarks; the benchmarks themselves assert nothing about time."""

import pytest
import run
from ratio import show_ratio

MAIN = '\n\nif __name__ == "__main__":\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "fast.py").write_text(f'{MAIN}    print("warm")\n    print("ratio: sums: 2 x a loop")\n')
    (tmp_path / "part.py").write_text("VALUE = 3\n")
    monkeypatch.setattr(run, "BENCH", tmp_path)
    return tmp_path


def test_every_program_is_run_and_its_ratios_close_the_output(folder, capsys):
    assert run.main([]) == 0
    printed = capsys.readouterr().out
    assert "== fast\nwarm\n" in printed
    assert "== part" not in printed
    assert printed.endswith("(ours over theirs, in one run; above 1 is better)\n  sums: 2 x a loop\n")


def test_a_benchmark_that_fails_is_named_last(folder, capsys):
    (folder / "broken.py").write_text(f"{MAIN}    raise SystemExit(4)\n")
    assert run.main([]) == 1
    assert capsys.readouterr().out.endswith("  sums: 2 x a loop\n  broken ended with 4\n")


def test_one_benchmark_can_be_named(folder, capsys):
    assert run.main(["fast"]) == 0
    assert run.main(["slow"]) == 2
    assert "bench/ has no slow.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (None, "ratio: sums: 2.35 x a loop\n"),
        (5.0, "ratio: sums: 2.35 x a loop (wanted: at least 5)\n"),
    ],
)
def test_a_ratio_is_one_line(target, line, capsys):
    show_ratio("sums", 2.3456, "a loop", target)
    assert capsys.readouterr().out == line
