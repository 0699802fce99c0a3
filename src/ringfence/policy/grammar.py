"""What a grammar is made of: forms, words and blocks.

A `Form` is one way to write a value: how it is read from a node, how it is written back, and how an editor is
told about it. A `Word` joins a name of the language to a form and to the field of the model it fills. A
`Block` is a form made of words: one class of the model. `language` spells the whole policy in these; parsing,
showing, the JSON Schema and the reference page all follow from that one table and cannot disagree.

Reading never raises on any input: a form that cannot read its node leaves a finding with the `Reader` and
returns None.
"""

from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

from ringfence.policy.model import Finding, Line, Model
from ringfence.policy.source import Listing, Node, Scalar, Table

Plain = str | int | bool | list["Plain"] | dict[str, "Plain"]
"""Plain data, ready to be written as YAML."""

Path = tuple[str, ...]
"""Where a value stands in the document: `("gates", "withdraw", "limit")`."""

Decimals = Mapping[str, int]
"""Digits after the point, by asset; contracts have none."""

_NAME_MAX = 60
_NAMES_MAX = 12


class Reader:
    """What reading needs to know, and everything it finds.

    lines: where each part stands; decimals: digits of each asset, known before anything else is read; broken:
    entries that had a finding and were left out, so that later checks do not call them unknown.
    """

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.lines: dict[Path, Line] = {}
        self.decimals: dict[str, int] = {}
        self.broken: set[Path] = set()

    def fail(self, rule: str, where: Line, found: str, right: str) -> None:
        """Leave a finding."""
        self.findings.append(Finding(level="error", rule=rule, where=str(where), found=found, right=right))

    def text(self, node: Node, what: str) -> str | None:
        """Read a scalar that is text; numbers and truth values need quotes to be text."""
        if not isinstance(node, Scalar):
            self.fail("wrong-type", node.where, f"{_kind_words(node)} stands here", f"write {what}")
            return None
        if node.kind == "implicit_boolean":
            right = f'write true or false, or "{node.text}" in quotes if it is a name'
            self.fail(
                "implicit-boolean", node.where, f"`{node.text}` is read as a truth value by some", right
            )
            return None
        if node.kind == "text":
            return node.text
        rule = "float" if node.kind == "float" else "wrong-type"
        right = f"write {what}" if "in quotes" in what else f"write {what}, in quotes"
        self.fail(rule, node.where, f"`{node.text}` is a bare {_bare_words(node)}", right)
        return None

    def units_digits(self, asset: str, where: Line) -> int | None:
        """Return the decimals of an asset; a finding where no asset or instrument has that name."""
        digits = self.decimals.get(asset)
        if digits is None:
            found = f"`{asset}` is neither an asset nor an instrument of this policy"
            self.fail("unknown-name", where, found, nearest(asset, self.decimals, "assets and instruments"))
        return digits


class Form(Protocol):
    """One way to write a value.

    read: node to value, None after a finding; show: value to plain data, None where it is left out; schema:
    the JSON Schema of what is written; words: the same for people.
    """

    @property
    def words(self) -> str:
        """Describe what is written, for people."""

    def read(self, reader: Reader, node: Node, path: Path, /) -> Any:
        """Turn a node into a value, or leave a finding and return None."""

    def show(self, value: Any, decimals: Decimals, path: Path, /) -> Plain | None:
        """Turn a value into plain data; None where there is nothing to write."""

    def schema(self) -> dict[str, Any]:
        """Describe what is written as JSON Schema."""


@dataclass(frozen=True)
class Word:
    """One word of a block.

    field: the field of the model it fills, if it has another name; show: replaces the form's way of writing
    where a word needs several fields of the model; must: whether it has to be written, where
    that is not what the model says.
    """

    name: str
    form: Form
    meaning: str
    example: str
    field: str = ""
    show: "Show | None" = None
    must: bool | None = None

    @property
    def fills(self) -> str:
        """Name the field of the model."""
        return self.field or self.name


Show = Callable[[Any, Decimals, Path], Plain | None]
"""Writes one word of a block from the whole value of the block."""

Finish = Callable[[Reader, Table, Path, dict[str, Any]], None]
"""Looks at all fields of a block together and may change them, or leaves a finding."""


@dataclass(frozen=True)
class Block:
    """A form made of words: one class of the model."""

    model: type[Model]
    title: str
    word_list: tuple[Word, ...]
    finish: Finish | None = None
    by_name: dict[str, Word] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.by_name.update({word.name: word for word in self.word_list})

    @property
    def words(self) -> str:
        """Describe the form for people."""
        return f"a mapping of {', '.join(self.by_name)}"

    def read(self, reader: Reader, node: Node, path: Path) -> Model | None:
        """Read a mapping of this block's words; every word that is wrong is a finding."""
        if not isinstance(node, Table):
            reader.fail("wrong-type", node.where, f"{_kind_words(node)} stands here", f"write {self.words}")
            return None
        before = len(reader.findings)
        fields = self.read_words(reader, node, path)
        if len(reader.findings) == before:
            self.refuse_missing(reader, node, path)
        if len(reader.findings) == before and self.finish is not None:
            self.finish(reader, node, path, fields)
        if len(reader.findings) > before:
            return None
        return self.model(**fields)

    def show(self, value: Any, decimals: Decimals, path: Path) -> Plain | None:
        """Write every word whose field is not its default."""
        shown: dict[str, Plain] = {}
        for word in self.word_list:
            plain = self.show_word(word, value, decimals, path)
            if plain is not None:
                shown[word.name] = plain
        return shown

    def schema(self) -> dict[str, Any]:
        """Describe the mapping; unknown words are refused."""
        properties = {
            word.name: {**word.form.schema(), "description": word.meaning} for word in self.word_list
        }
        required = [word.name for word in self.word_list if self._is_required(word)]
        return {
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": False,
        }

    def read_words(self, reader: Reader, node: Table, path: Path) -> dict[str, Any]:
        """Read each word into the field it fills; those with findings are left out."""
        fields: dict[str, Any] = {}
        for key, value in node.entries:
            word = self.by_name.get(key.text)
            if word is None:
                found = f"`{key.text}` is no word of {self.title}"
                reader.fail("unknown-word", key.where, found, nearest(key.text, self.by_name, "words"))
                continue
            here = (*path, key.text)
            reader.lines[here] = key.where
            content = word.form.read(reader, value, here)
            if content is not None:
                fields[word.fills] = content
        return fields

    def refuse_missing(self, reader: Reader, node: Table, path: Path) -> None:
        """Leave a finding where a word that must be there is not."""
        missing = [
            word.name for word in self.word_list if self._is_required(word) and not node.get(word.name)
        ]
        if missing:
            where = reader.lines.get(path, node.where)
            name = f" `{path[-1]}`" if path else ""
            found = f"{self.title}{name} has no {_and_list(missing)}"
            examples = ", ".join(f"`{self.by_name[name].example}`" for name in missing)
            reader.fail("missing-word", where, found, f"write {examples}")

    def _is_required(self, word: Word) -> bool:
        if word.must is not None:
            return word.must
        known = self.model.model_fields.get(word.fills)
        return known is not None and known.is_required() and word.show is None

    def show_word(self, word: Word, value: Any, decimals: Decimals, path: Path) -> Plain | None:
        """Write one word; None where its field is its default."""
        if word.show is not None:
            return word.show(value, decimals, path)
        content = getattr(value, word.fills)
        known = type(value).model_fields[word.fills]
        if not known.is_required() and content == known.get_default(call_default_factory=True):
            return None
        return word.form.show(content, decimals, (*path, word.name))


def nearest(name: str, known: Collection[str], what: str) -> str:
    """Say what would be right in place of an unknown name: the nearest known ones, or the list of them."""
    from difflib import get_close_matches

    candidates = sorted(one for one in known if len(one) <= _NAME_MAX)
    close = get_close_matches(name, candidates, n=2, cutoff=0.6) if len(name) <= _NAME_MAX else []
    if close:
        return f"did you mean {' or '.join(f'`{one}`' for one in close)}?"
    in_order = sorted(known) if isinstance(known, Set) else list(known)
    listed = ", ".join(in_order[:_NAMES_MAX])
    return f"the {what} are {listed}" if listed else f"there are no {what} yet"


def _and_list(names: list[str]) -> str:
    return " and no ".join(f"`{name}`" for name in names)


def _kind_words(node: Node) -> str:
    if isinstance(node, Table):
        return "a mapping"
    return "a list" if isinstance(node, Listing) else f"`{node.text}`"


def _bare_words(node: Scalar) -> str:
    return {"integer": "number", "float": "decimal number", "boolean": "truth value"}.get(node.kind, "null")
