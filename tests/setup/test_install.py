"""The set-up itself: what it refuses, what it finds, and when it has nothing to do."""

import subprocess
import sys
from pathlib import Path

import pytest

import install
import system_packages

SETUP = Path(__file__).resolve().parents[2] / "setup"


@pytest.mark.parametrize("arguments", [[], ["everything"], ["runtime", "test"]])
def test_set_up_without_one_known_set_is_a_usage_error(arguments, capsys):
    assert install.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python3 setup/install.py runtime|test\n"


def test_an_old_python_is_named(monkeypatch, capsys):
    monkeypatch.setattr(install, "PYTHON_MIN", (4, 0))
    assert install.main(["runtime"]) == 3
    assert "ringfence needs Python 3.11 or later" in capsys.readouterr().err


def test_a_command_that_fails_is_named_and_nothing_is_marked_done(tmp_path, monkeypatch, capsys):
    def fail() -> None:
        raise subprocess.CalledProcessError(7, [str(install.ROOT / "bin"), "--all"])

    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "make_environment", fail)
    assert install.main(["runtime"]) == 3
    assert "`bin --all` ended with 7" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_finished_set_up_is_not_done_again(tmp_path, monkeypatch):
    steps: list[object] = []
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setattr(install, "make_environment", lambda: steps.append("environment"))
    monkeypatch.setattr(install, "run", steps.append)
    assert install.install("runtime") is True
    assert len(steps) == 3
    assert install.install("runtime") is False
    assert install.install("test") is True
    (tmp_path / "runtime.installed").write_text("another lock")
    assert install.install("runtime") is True


def test_the_locked_set_is_installed_by_hash_and_ringfence_without_more(tmp_path, monkeypatch):
    commands: list[list[str]] = []
    monkeypatch.setattr(install, "VENV", tmp_path)
    monkeypatch.setattr(install, "make_environment", lambda: None)
    monkeypatch.setattr(install, "run", commands.append)
    install.install("test")
    locked, itself = commands
    assert "--require-hashes" in locked
    assert str(SETUP / "test.lock") in locked
    assert {"--no-deps", "--no-build-isolation", "--editable"} <= set(itself)


def test_a_python_works_only_with_the_module_it_needs(tmp_path):
    here = Path(sys.executable)
    assert install.works(here)
    assert install.works(here, "json")
    assert not install.works(here, "no_such_module")
    assert not install.works(tmp_path / "python")


def test_the_newest_wheel_of_pip_is_found(tmp_path):
    for name in ("pip-23.0.1-py3-none-any.whl", "pip-9.0-py3-none-any.whl.part", "setuptools-1.whl"):
        (tmp_path / name).touch()
    assert [wheel.name for wheel in install.find_pip_wheels(tmp_path)] == ["pip-23.0.1-py3-none-any.whl"]
    assert install.find_pip_wheels(tmp_path / "absent") == []


def test_missing_packages_are_listed_by_their_debian_names(monkeypatch):
    needs = {"demo": {"no-such-program": "no-such-package", "sh": "dash"}}
    monkeypatch.setattr(system_packages, "FEATURES", needs)
    assert system_packages.missing_packages("demo") == ["no-such-package"]


def test_without_root_a_missing_package_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr(system_packages, "FEATURES", {"demo": {"no-such-program": "no-such-package"}})
    monkeypatch.setattr(system_packages, "is_root", lambda: False)
    assert system_packages.main(["demo"]) == 0
    assert capsys.readouterr().out == (
        "demo: missing no-such-package; as root: apt-get install no-such-package\n"
    )
    assert system_packages.main(["no-such-feature"]) == 2


def test_a_package_that_apt_refuses_is_named_and_stops_nothing(monkeypatch, capsys):
    def refuse(packages: list[str], purpose: str) -> None:
        raise subprocess.CalledProcessError(100, ["apt-get"])

    monkeypatch.setattr(system_packages, "FEATURES", {"demo": {"no-such-program": "no-such-package"}})
    monkeypatch.setattr(system_packages, "is_root", lambda: True)
    monkeypatch.setattr(system_packages, "install_packages", refuse)
    assert system_packages.main(["demo"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("demo: apt-get ended with 100\n")
    assert "apt-get install no-such-package" in printed


def test_without_apt_no_package_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert system_packages.download_package("python3-pip-whl", tmp_path) is None
    assert not system_packages.is_root()
