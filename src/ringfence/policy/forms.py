"""The forms that any language is made of: phrases, choices, numbers, lists and named entries."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ringfence.policy.grammar import Decimals, Form, Path, Plain, Reader, nearest
from ringfence.policy.phrases import NAME, PART, PATTERN
from ringfence.policy.source import Listing, Node, Scalar, Table

_DIGITS_MAX = 12


@dataclass(frozen=True)
class Phrase:
    """A text with a small grammar of its own, read and written by a pair of functions of `phrases`."""

    words: str
    parse: Callable[[str], Any]
    write: Callable[[Any], str]
    rule: str = "bad-phrase"

    def read(self, reader: Reader, node: Node, _path: Path) -> Any:
        """Read the text of a scalar with `parse`."""
        text = reader.text(node, self.words)
        if text is None:
            return None
        try:
            return self.parse(text)
        except ValueError as error:
            reader.fail(self.rule, node.where, str(error), f"write {self.words}")
            return None

    def show(self, value: Any, _decimals: Decimals, _path: Path) -> Plain:
        """Write the value as its text."""
        return self.write(value)

    def schema(self) -> dict[str, Any]:
        """Describe any text."""
        return {"type": "string"}


@dataclass(frozen=True)
class Name:
    """A name, checked for its letters only; whether it names anything is a question of meaning."""

    words: str
    pattern: str = NAME

    def read(self, reader: Reader, node: Node, _path: Path) -> str | None:
        """Read a scalar that has the letters of a name."""
        text = reader.text(node, self.words)
        if text is None or re.fullmatch(self.pattern, text):
            return text
        right = f"write {self.words}"
        reader.fail("bad-name", node.where, f"`{text}` is not {self.words}", right)
        return None

    def show(self, value: str, _decimals: Decimals, _path: Path) -> Plain:
        """Write the name."""
        return value

    def schema(self) -> dict[str, Any]:
        """Describe the letters of the name."""
        return {"type": "string", "pattern": f"^{self.pattern}$"}


@dataclass(frozen=True)
class FreeText:
    """Words for people, with no meaning to the machine."""

    words: str

    def read(self, reader: Reader, node: Node, _path: Path) -> str | None:
        """Read any text."""
        return reader.text(node, self.words)

    def show(self, value: str, _decimals: Decimals, _path: Path) -> Plain:
        """Write the text."""
        return value

    def schema(self) -> dict[str, Any]:
        """Describe any text."""
        return {"type": "string"}


@dataclass(frozen=True)
class Choice:
    """One word of a fixed list."""

    options: tuple[str, ...]

    @property
    def words(self) -> str:
        """List the options."""
        return f"one of {', '.join(self.options)}"

    def read(self, reader: Reader, node: Node, _path: Path) -> str | None:
        """Read one of the options."""
        text = reader.text(node, self.words)
        if text is None or text in self.options:
            return text
        found = f"`{text}` is not one of {', '.join(self.options)}"
        reader.fail("unknown-choice", node.where, found, nearest(text, self.options, "options"))
        return None

    def show(self, value: str, _decimals: Decimals, _path: Path) -> Plain:
        """Write the option."""
        return value

    def schema(self) -> dict[str, Any]:
        """Describe the options."""
        return {"type": "string", "enum": list(self.options)}


@dataclass(frozen=True)
class Whole:
    """A whole number between two bounds, written without quotes."""

    low: int
    high: int

    @property
    def words(self) -> str:
        """Name the bounds."""
        return f"a whole number from {self.low} to {self.high}"

    def read(self, reader: Reader, node: Node, _path: Path) -> int | None:
        """Read a plain decimal integer within the bounds."""
        if isinstance(node, Scalar) and node.kind == "integer" and _is_plain_number(node.text):
            number = int(node.text)
            if self.low <= number <= self.high:
                return number
        found = f"`{node.text}` stands here" if isinstance(node, Scalar) else "a list or mapping stands here"
        rule = "float" if isinstance(node, Scalar) and node.kind == "float" else "wrong-type"
        reader.fail(rule, node.where, found, f"write {self.words}, without quotes")
        return None

    def show(self, value: int, _decimals: Decimals, _path: Path) -> Plain:
        """Write the number."""
        return value

    def schema(self) -> dict[str, Any]:
        """Describe the bounds."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


def _is_plain_number(text: str) -> bool:
    return len(text) <= _DIGITS_MAX and re.fullmatch(r"0|[1-9][0-9]*", text) is not None


@dataclass(frozen=True)
class Truth:
    """true or false, and nothing else that some reader might take for it."""

    words: str = "true or false"

    def read(self, reader: Reader, node: Node, _path: Path) -> bool | None:
        """Read an unquoted `true` or `false`."""
        if isinstance(node, Scalar) and node.plain and node.text in ("true", "false"):
            return node.text == "true"
        found = f"`{node.text}` stands here" if isinstance(node, Scalar) else "a list or mapping stands here"
        is_old = isinstance(node, Scalar) and node.kind == "implicit_boolean"
        reader.fail("implicit-boolean" if is_old else "wrong-type", node.where, found, f"write {self.words}")
        return None

    def show(self, value: bool, _decimals: Decimals, _path: Path) -> Plain:
        """Write the truth value."""
        return value

    def schema(self) -> dict[str, Any]:
        """Describe a truth value."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Many:
    """A list; with `may_stand_alone`, one item needs no brackets."""

    item: Form
    may_stand_alone: bool = False

    @property
    def words(self) -> str:
        """Describe the items."""
        return f"{self.item.words}, or a list" if self.may_stand_alone else f"a list, each {self.item.words}"

    def read(self, reader: Reader, node: Node, path: Path) -> tuple[Any, ...] | None:
        """Read every item; those with findings are left out and make the list incomplete."""
        if not isinstance(node, Listing):
            if self.may_stand_alone:
                alone = self.item.read(reader, node, path)
                return None if alone is None else (alone,)
            reader.fail("wrong-type", node.where, "a list should stand here", f"write {self.words}")
            return None
        values: list[Any] = []
        for item in node.items:
            here = (*path, str(len(values)))
            reader.lines[here] = item.where
            value = self.item.read(reader, item, here)
            if value is not None:
                self._refuse_repeated(reader, item, value, values)
                values.append(value)
        return tuple(values)

    def show(self, value: tuple[Any, ...], decimals: Decimals, path: Path) -> Plain | None:
        """Write the list; a single item alone where it may stand alone."""
        shown = [
            plain for plain in (self.item.show(one, decimals, path) for one in value) if plain is not None
        ]
        return shown[0] if self.may_stand_alone and len(shown) == 1 else shown

    def schema(self) -> dict[str, Any]:
        """Describe the list, or the single item."""
        listed = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [self.item.schema(), listed]} if self.may_stand_alone else listed

    def _refuse_repeated(self, reader: Reader, node: Node, value: Any, earlier: list[Any]) -> None:
        if isinstance(value, str) and value in earlier:
            reader.fail("repeated", node.where, f"`{value}` stands twice in one list", "write it once")


@dataclass(frozen=True)
class Entries:
    """Named entries: a mapping whose keys are names of the policy's own."""

    value: Form
    name: Name

    @property
    def words(self) -> str:
        """Describe the entries."""
        return f"entries of `name: …`, each {self.value.words}"

    def read(self, reader: Reader, node: Node, path: Path) -> dict[str, Any] | None:
        """Read every entry; those with findings are left out and remembered as broken."""
        if not isinstance(node, Table):
            reader.fail("wrong-type", node.where, "a mapping should stand here", f"write {self.words}")
            return None
        values: dict[str, Any] = {}
        for key, content in node.entries:
            here = (*path, key.text)
            reader.lines[here] = key.where
            before = len(reader.findings)
            name = self.name.read(reader, _as_name(key), here)
            value = self.value.read(reader, content, here)
            if name is None or value is None or len(reader.findings) > before:
                reader.broken.add(here)
            else:
                values[name] = value
        return values

    def show(self, value: dict[str, Any], decimals: Decimals, path: Path) -> Plain | None:
        """Write the entries in their order."""
        shown = {name: self.value.show(content, decimals, (*path, name)) for name, content in value.items()}
        return {name: content for name, content in shown.items() if content is not None}

    def schema(self) -> dict[str, Any]:
        """Describe the names and what each holds."""
        return {
            "type": "object",
            "propertyNames": {"pattern": f"^{self.name.pattern}$"},
            "additionalProperties": self.value.schema(),
        }


def _as_name(key: Scalar) -> Scalar:
    """Let a name be `on` or `no`: only as a value could it be taken for a truth value."""
    return replace(key, plain=False) if key.kind == "implicit_boolean" else key


PLAIN_NAME = Name("a name of letters, digits, `_`, `-` and `.`")
PATH_NAME = Name("a name such as `house/fees` or `client/{client}/cash`", PATTERN)
PATH_OR_WILDCARD = Name(PATH_NAME.words, rf"(?:{PART}|\*\*?)(?:/(?:{PART}|\*\*?))*")
"""For the ends of gates, where a wildcard is read so that it can be explained why it is wrong."""
