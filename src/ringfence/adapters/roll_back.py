"""A roll-back that does not need us: a process of its own that waits and then loads what stood before.

It is armed before new rules are loaded and disarmed when they are confirmed. If the new rules lock us out, or
this process is killed, it fires.
"""

import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from signal import SIGTERM
from typing import Any

from ringfence.adapters.nft_command import Place


class RollBack:
    """One roll-back of several places; `seconds` after it is armed it fires."""

    def __init__(self, places: Mapping[str, Place], seconds: float) -> None:
        self._places = places
        self._seconds = seconds
        self._waiting: subprocess.Popen[bytes] | None = None
        self._folder = Path()

    def arm(self, before: Mapping[str, dict[str, Any]]) -> None:
        """Start waiting, with the document of each place that brings back what stands now."""
        self._folder = Path(tempfile.mkdtemp(prefix="ringfence-roll-back-"))
        lines = [f"sleep {self._seconds}"]
        for number, (place, document) in enumerate(before.items()):
            file = self._folder / f"{number}.json"
            file.write_text(json.dumps(document), encoding="utf-8")
            lines.append(shlex.join(self._places[place](["nft", "-j", "-f", str(file)])))
        lines.append(f"rm -r {shlex.quote(str(self._folder))}")
        # A session of its own: a terminal that goes away does not take it along.
        self._waiting = subprocess.Popen(
            ["sh", "-c", "\n".join(lines)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def disarm(self) -> bool:
        """Stop waiting; false where it has fired already."""
        if self._waiting is None:
            return True
        is_waiting = self._waiting.poll() is None
        if is_waiting:
            os.killpg(self._waiting.pid, SIGTERM)
            self._waiting.wait()
            shutil.rmtree(self._folder)
        self._waiting = None
        return is_waiting
