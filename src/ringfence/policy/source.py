"""Strict YAML 1.2: text to a tree in which every node knows its file and line.

Only what a policy needs is allowed: mappings with unique text keys, lists and scalars. Anchors, aliases,
tags, tabs and second documents are findings, since each lets one text be read in two ways. Nothing is turned
into a number or a truth value here: a scalar keeps its text and whether it was quoted, and the grammar
decides.

The tree is built from parser events, never by recursion, so that no nesting can exhaust the stack.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ringfence.policy.model import Finding, Line

CHARACTERS_MAX = 524_288
"""The longest policy text read: far above any real policy, and read in a few seconds."""

DEPTH_MAX = 32
"""The deepest nesting read; the language itself needs eight."""

FINDINGS_MAX = 200
"""Reading stops after so many findings: more would only repeat one mistake."""

PlainKind = Literal["text", "integer", "float", "boolean", "null", "implicit_boolean"]

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+|0[0-9]+)$")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)$|\.(nan|NaN|NAN)$"
)
_TRUTH = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_TRUTH_OF_OLD = frozenset(
    {spelling for word in ("yes", "no", "on", "off") for spelling in (word, word.capitalize(), word.upper())}
)


def plain_kind(text: str) -> PlainKind:
    """Say what an unquoted scalar means in YAML 1.2; yes, no, on and off are YAML 1.1's implicit booleans."""
    if text in ("", "~", "null", "Null", "NULL"):
        return "null"
    if text in _TRUTH:
        return "boolean"
    if text in _TRUTH_OF_OLD:
        return "implicit_boolean"
    if _INTEGER.match(text):
        return "integer"
    return "float" if _FLOAT.match(text) else "text"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text; `plain` where it stood without quotes."""

    text: str
    plain: bool
    where: Line

    @property
    def kind(self) -> PlainKind:
        """Say what the scalar means; quoted text is always text."""
        return plain_kind(self.text) if self.plain else "text"


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of nodes."""

    items: tuple["Node", ...]
    where: Line


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping: entries of (key, value) in the order written, each key once."""

    entries: tuple[tuple[Scalar, "Node"], ...]
    where: Line

    def get(self, word: str) -> "Node | None":
        """Return the value of a key; None where it is not there."""
        return next((value for key, value in self.entries if key.text == word), None)


Node = Scalar | Listing | Table


@dataclass(frozen=True, slots=True)
class Source:
    """What was read: the root, None where nothing could be, and everything wrong with the YAML itself."""

    root: Table | None
    findings: tuple[Finding, ...]


def read_source(text: str, file: str) -> Source:
    """Read one YAML document. Never raises: what is wrong is in the findings.

    After a syntax error the entries of the root that were complete are still returned.
    """
    if len(text) > CHARACTERS_MAX:
        found = f"the file has {len(text):,} characters"
        return Source(None, (_error("too-large", Line(file=file, line=1), found, _SMALLER),))
    builder = _Builder(file)
    builder.refuse_tabs(text)
    text = text.removeprefix("\ufeff").replace("\t", " ")
    try:
        for event in _events(text):
            if not builder.take(event) or len(builder.findings) > FINDINGS_MAX:
                break
    except MarkedYAMLError as error:
        builder.note_syntax(error)
    except (YAMLError, ValueError, OverflowError, IndexError, TypeError, AttributeError) as error:
        # ruamel.yaml trips over its own feet on some broken escapes and directives; to the reader of the
        # finding that is the same: the text is not YAML.
        builder.error(
            "yaml-syntax", 1, f"this is not YAML ({_first_line(str(error))})", "write plain YAML 1.2"
        )
    return builder.finish()


_SMALLER = f"a policy has at most {CHARACTERS_MAX:,} characters"


def _events(text: str) -> Iterator[events.Event]:
    yaml = YAML(typ="safe", pure=True)
    return iter(yaml.parse(text))


def _error(rule: str, where: Line, found: str, right: str) -> Finding:
    return Finding(level="error", rule=rule, where=str(where), found=found, right=right)


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:120] if text.strip() else "no reason given"


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet; `key` waits for its value."""

    where: Line
    is_table: bool
    in_flow: bool
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[Scalar, Node]] = field(default_factory=list)
    first_lines: dict[str, int] = field(default_factory=dict)
    key: Scalar | None = None
    skips_value: bool = False


class _Builder:
    """Takes events one by one and keeps the lists and mappings that are still open on a stack."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.documents = 0

    def error(self, rule: str, line: int, found: str, right: str) -> None:
        self.findings.append(_error(rule, Line(file=self.file, line=line), found, right))

    def refuse_tabs(self, text: str) -> None:
        for number, line in enumerate(text.split("\n"), start=1):
            if "\t" in line:
                self.error("tab", number, "the line holds a tab", "indent and separate with spaces")

    def take(self, event: events.Event) -> bool:
        """Add one event to the tree; False where reading must stop."""
        if isinstance(event, events.DocumentStartEvent):
            return self._start_document(event)
        if isinstance(event, events.AliasEvent):
            self.error("anchor", _line(event), f"*{event.anchor} repeats an anchor", "write the value out")
            self._place(Scalar("", False, self._where(event)))
        elif isinstance(event, events.ScalarEvent):
            self._refuse_extras(event)
            self._place(Scalar(event.value, event.style is None, self._where(event)))
        elif isinstance(event, events.MappingStartEvent | events.SequenceStartEvent):
            return self._open(event)
        elif isinstance(event, events.MappingEndEvent | events.SequenceEndEvent):
            self._place(self._close())
        return True

    def note_syntax(self, error: MarkedYAMLError) -> None:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        context = f"{error.context}, " if error.context else ""
        problem = _first_line(f"{context}{error.problem or 'syntax error'}")
        self.error("yaml-syntax", line, f"this is not YAML: {problem}", _SYNTAX_RIGHT)

    def finish(self) -> Source:
        root = self.root
        if root is None and self.stack and self.stack[0].is_table:
            root = Table(tuple(self.stack[0].entries), self.stack[0].where)
        if isinstance(root, Table):
            return Source(root, tuple(self.findings))
        if not self.findings:
            found = "the file is empty" if root is None else "the file is not a mapping"
            self.error("wrong-type", 1, found, "start with `ringfence: 1` and `name: …`")
        return Source(None, tuple(self.findings))

    def _start_document(self, event: events.DocumentStartEvent) -> bool:
        self.documents += 1
        if event.version is not None and tuple(event.version) != (1, 2):
            version = ".".join(str(part) for part in event.version)
            self.error("yaml-version", _line(event), f"the file asks for YAML {version}", "write YAML 1.2")
        if self.documents == 1:
            return True
        self.error(
            "several-documents", _line(event), "a second document starts here", "one file, one document"
        )
        return False

    def _open(self, event: events.MappingStartEvent | events.SequenceStartEvent) -> bool:
        self._refuse_extras(event)
        if len(self.stack) == DEPTH_MAX:
            self.error(
                "too-deep",
                _line(event),
                f"nested more than {DEPTH_MAX} deep",
                "no policy word nests that deep",
            )
            return False
        is_table = isinstance(event, events.MappingStartEvent)
        self.stack.append(_Open(self._where(event), is_table, bool(event.flow_style)))
        return True

    def _close(self) -> Node:
        done = self.stack.pop()
        if done.is_table:
            return Table(tuple(done.entries), done.where)
        return Listing(tuple(done.items), done.where)

    def _place(self, node: Node) -> None:
        """Put a finished node where it belongs: the root, a list, or a key or value of a mapping."""
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        if not parent.is_table:
            parent.items.append(node)
        elif parent.key is None:
            self._take_key(parent, node)
        else:
            self._take_value(parent, parent.key, node)
            parent.key = None

    def _take_key(self, parent: _Open, node: Node) -> None:
        if isinstance(node, Scalar):
            key, first = node, parent.first_lines.get(node.text)
            parent.skips_value = first is not None
            if first is not None:
                found = f"`{key.text}` is written a second time (first in line {first})"
                self.error("duplicate-word", key.where.line, found, "write each word once")
            parent.first_lines.setdefault(key.text, key.where.line)
        else:
            found = "a mapping or list stands where a word should"
            self.error(
                "wrong-type", node.where.line, found, "put quotes around names with braces or brackets"
            )
            key, parent.skips_value = Scalar("", False, node.where), True
        parent.key = key

    def _take_value(self, parent: _Open, key: Scalar, node: Node) -> None:
        if parent.skips_value:
            return
        if isinstance(node, Scalar) and node.kind == "null":
            right = (
                "an unquoted comma starts a second word: quote the value" if parent.in_flow else "write one"
            )
            self.error("empty-value", key.where.line, f"`{key.text}` has no value", right)
            return
        parent.entries.append((key, node))

    def _refuse_extras(self, event: events.NodeEvent) -> None:
        if event.anchor is not None:
            self.error(
                "anchor", _line(event), f"&{event.anchor} names an anchor", "write the value where it counts"
            )
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != "!":
            self.error("tag", _line(event), f"the tag {tag} gives the value a type", "leave the tag out")

    def _where(self, event: events.Event) -> Line:
        return Line(file=self.file, line=_line(event))


_SYNTAX_RIGHT = (
    "check the indentation, brackets and quotes; names with braces and values with commas need quotes"
)


def _line(event: events.Event) -> int:
    mark = event.start_mark
    return mark.line + 1 if mark is not None else 1
