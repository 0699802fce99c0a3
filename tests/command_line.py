"""Running the command line inside the test: faster than a process, and the same exit codes."""

import json
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from ringfence.cli.main import main


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it wrote to its two outputs."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class CommandLine:
    """Types `ringfence ...` and reads what comes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setenv("NO_COLOR", "1")

    def __call__(self, *words: str) -> Said:
        """Run one command to its end."""
        self._monkeypatch.setattr(sys, "argv", ["ringfence", *words])
        self._capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = self._capsys.readouterr()
        return Said(code, out, err)
