"""The nft and conntrack programs: load a ruleset as a whole, read it back, cut what is established.

A document is one transaction of the kernel: it is loaded whole or not at all, and what stood before stays
where it is refused.
"""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ringfence.kernel.errors import UnreachableError

Json = dict[str, Any]

Connection = tuple[str, str, int, str, int]
"""Protocol, source address and port, target address and port."""

Place = Callable[[Iterable[str]], list[str]]
"""Turns a command into the one that runs it where the rules belong, e.g. inside a namespace."""


def here(command: Iterable[str]) -> list[str]:
    """Run a command where this process is."""
    return list(command)


class Nft:
    """nft at one place."""

    def __init__(self, place: Place = here) -> None:
        self._place = place

    def check(self, document: Json) -> None:
        """Try a document without loading it; UnreachableError with what nft said against it."""
        self._run(["nft", "-c", "-j", "-f", "-"], json.dumps(document))

    def load(self, document: Json) -> None:
        """Load a document in one transaction; UnreachableError where nft refused, and nothing changed."""
        self._run(["nft", "-j", "-f", "-"], json.dumps(document, separators=(",", ":")))

    def ruleset(self) -> Json:
        """Read back everything that is loaded at this place, counters included."""
        found: Json = json.loads(self._run(["nft", "-j", "list", "ruleset"]) or "{}")
        return found

    def require(self) -> None:
        """Say in one sentence why rules cannot be loaded here; UnreachableError then, else nothing."""
        try:
            done = subprocess.run(self._place(["nft", "list", "tables"]), capture_output=True, check=False)
        except FileNotFoundError:
            raise UnreachableError("nft is not on this machine; apt-get install nftables") from None
        if done.returncode:
            raise UnreachableError(
                "the rules of this machine may be changed by root only: run this command as root, or try it "
                "in a lab first (ringfence lab --hold)"
            )

    def flush(self) -> None:
        """Remove every rule at this place, those of others too."""
        self._run(["nft", "flush", "ruleset"])

    def established(self) -> tuple[Connection, ...]:
        """List the connections in use that the kernel knows here, as their first packets asked for them."""
        found: list[Connection] = []
        for family in ("ipv4", "ipv6"):
            for line in self._conntrack("-L", "-f", family).splitlines():
                words = line.split()
                fields = dict(word.split("=", 1) for word in reversed(words) if "=" in word)
                is_used = ("ESTABLISHED" if words[:1] == ["tcp"] else "[ASSURED]") in words
                if (
                    is_used
                    and words[0] in ("tcp", "udp")
                    and {"src", "dst", "sport", "dport"} <= fields.keys()
                ):
                    source, target = (
                        (fields["src"], int(fields["sport"])),
                        (fields["dst"], int(fields["dport"])),
                    )
                    found.append((words[0], *source, *target))
        return tuple(dict.fromkeys(found))

    def cut(self, source: str, target: str, port: int, protocol: str = "tcp") -> int:
        """End the established connections of one flow between two networks; returns how many there were."""
        family = "ipv6" if ":" in source else "ipv4"
        ends = ["-s", source, "-d", target, "--dport", str(port)]
        return len(self._conntrack("-D", "-f", family, "-p", protocol, *ends).splitlines())

    def _conntrack(self, *arguments: str) -> str:
        command = self._place(["conntrack", *arguments])
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        # conntrack answers 1 where there was nothing to delete, and says so.
        if done.returncode and "0 flow entries" not in done.stderr:
            raise UnreachableError(f"conntrack failed: {_said(done.stderr)}")
        return done.stdout

    def _run(self, command: Sequence[str], text: str = "") -> str:
        done = subprocess.run(self._place(command), input=text, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UnreachableError(f"nft refused the rules: {_said(done.stderr)}")
        return done.stdout


def _said(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[0].strip() if lines else "it did not say why"
