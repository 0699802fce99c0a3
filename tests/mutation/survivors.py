"""The faults that may live, each with the reason why: `survivors.txt` beside this file, read."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from mutation.planting import Fault

LISTED = Path(__file__).parent / "survivors.txt"


@dataclass(frozen=True)
class Survivor:
    """One entry: where (a pattern over `module.function`), which change of a line, and why it may live.

    The change is the two lines as they are, or a pattern that the line put in matches.
    """

    where: str
    change: tuple[str, ...]
    pattern: str
    why: str

    def is_of(self, fault: Fault) -> bool:
        """Say whether the entry speaks of a fault."""
        if not fnmatchcase(fault.where, self.where):
            return False
        if self.pattern:
            return any(line[0] == "+" and re.search(self.pattern, line) for line in fault.change)
        return fault.change == self.change


@dataclass(frozen=True)
class Survivors:
    """Every entry, in the order of the file."""

    entries: tuple[Survivor, ...]

    def reason(self, fault: Fault) -> str | None:
        """Return why a fault may live; None where nobody said."""
        return next((entry.why for entry in self.entries if entry.is_of(fault)), None)


def read_survivors(path: Path = LISTED) -> Survivors:
    """Read the list; ValueError where an entry is not whole."""
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("#"))
    return Survivors(tuple(_entry(block) for block in re.split(r"\n\s*\n", text.strip()) if block.strip()))


def _entry(block: str) -> Survivor:
    where, *rest = block.strip().splitlines()
    change = tuple(line for line in rest if line[:2] in ("- ", "+ "))
    pattern = "".join(line[2:] for line in rest if line.startswith("~ "))
    why = "".join(line.removeprefix("why: ") for line in rest if line.startswith("why: "))
    if not why or bool(change) == bool(pattern) or len(rest) != len(change) + bool(pattern) + 1:
        raise ValueError(f"an entry was {block!r}; it is where, the change or a pattern, and `why: …`")
    return Survivor(where, change, pattern, why)
