"""One Kubernetes document, and the walk into it that remembers where it is.

A `Part` is a value of a document with its place. Asking a part for something it does not hold never fails:
the answer is empty, and if something of the wrong shape stands there, a finding says so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ringfence.policy.model import Finding

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed document.

    file: the name shown to people; index: its number in the file, from 0; data: plain dicts, lists, texts,
    whole numbers and booleans; lines: the line, from 1, on which a part starts, by its path.
    """

    file: str
    index: int
    data: object
    lines: Mapping[Path, int] = field(default_factory=dict, hash=False)

    def place(self, path: Path = ()) -> str:
        """Say where a part stands: `file:line`, or `file#document` where no line is known."""
        while path and path not in self.lines:
            path = path[:-1]
        if path in self.lines:
            return f"{self.file}:{self.lines[path]}"
        return f"{self.file}#{self.index + 1}"


class Part:
    """A value inside a document; `value` is None where nothing stands there."""

    def __init__(self, document: Document, path: Path, value: object, findings: list[Finding]) -> None:
        self.document = document
        self.path = path
        self.value = value
        self.findings = findings

    @classmethod
    def whole(cls, document: Document, findings: list[Finding]) -> "Part":
        """Start at the top of a document."""
        return cls(document, (), document.data, findings)

    @property
    def where(self) -> str:
        """The part's place as `file:line`."""
        return self.document.place(self.path)

    def wrong(self, rule: str, found: str, right: str) -> None:
        """Record an error found here."""
        self.findings.append(Finding(level="error", rule=rule, where=self.where, found=found, right=right))

    def note(self, rule: str, found: str, right: str) -> None:
        """Record something worth knowing here."""
        self.findings.append(Finding(level="note", rule=rule, where=self.where, found=found, right=right))

    def at(self, *keys: str) -> "Part":
        """Step into a mapping by keys; a missing key leads to an empty part."""
        part = self
        for key in keys:
            value = part.mapping().get(key)
            part = Part(part.document, (*part.path, key), value, part.findings)
        return part

    def has(self, key: str) -> bool:
        """Say whether a mapping has a key with a value."""
        return self.mapping().get(key) is not None

    def mapping(self) -> Mapping[str, object]:
        """Return the mapping here, empty where there is none."""
        if isinstance(self.value, dict):
            return self.value
        if self.value is not None:
            self._wrong_shape("a mapping")
        return {}

    def items(self) -> tuple["Part", ...]:
        """Return the items of the list here, none where there is no list."""
        if self.value is None:
            return ()
        if not isinstance(self.value, list):
            self._wrong_shape("a list")
            return ()
        return tuple(
            Part(self.document, (*self.path, index), value, self.findings)
            for index, value in enumerate(self.value)
        )

    def text(self, default: str = "") -> str:
        """Return the text here; numbers and booleans in its place are findings."""
        if isinstance(self.value, str):
            return self.value
        if self.value is not None:
            self._wrong_shape("a text")
        return default

    def number(self, low: int, high: int) -> int | None:
        """Return the whole number here if it lies between `low` and `high`, else None and a finding."""
        if isinstance(self.value, int) and not isinstance(self.value, bool) and low <= self.value <= high:
            return self.value
        if self.value is not None:
            self._wrong_shape(f"a whole number from {low} to {high}")
        return None

    def labels(self) -> dict[str, str]:
        """Return the labels here, null as the empty text it is stored as; any other value is a finding."""
        return {key: self.at(key).text() for key in self.mapping()}

    def only(self, known: frozenset[str]) -> None:
        """Record every key that this part should not have: a typing error here changes what is enforced."""
        for key in self.mapping():
            if key not in known:
                self.at(key).note("unknown-field", f"`{key}` is no field here", f"one of {_any_of(known)}")

    def _wrong_shape(self, right: str) -> None:
        name = ".".join(str(step) for step in self.path) or "the document"
        self.wrong("wrong-shape", f"{name} was {self.value!r:.60}", f"it must be {right}")


def _any_of(names: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names))
