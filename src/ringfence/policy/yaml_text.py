"""Plain data as YAML 1.2 text, in the one layout of canonical policies.

Short things stand on a line, long ones below their name.

Every text is quoted unless it is plain words that no reader of YAML could take for anything else.
"""

import re
from collections.abc import Iterator

from ringfence.policy.grammar import Plain
from ringfence.policy.source import plain_kind

WIDTH = 110

_PLAIN_WORDS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def write_yaml(data: dict[str, Plain]) -> str:
    """Write a document: its mappings and long lists below their names, everything else on one line."""
    lines: list[str] = []
    for key, value in data.items():
        if isinstance(value, dict | list) and value:
            lines += _section(key, value)
        else:
            lines.append(_one_line(key, value))
    return "\n".join(lines).lstrip("\n") + "\n"


def _section(key: str, value: Plain) -> list[str]:
    if isinstance(value, dict) or len(_one_line(key, value)) > WIDTH:
        return ["", f"{_key(key)}:", *_block(value, 2)]
    return ["", _one_line(key, value)]


def write_flow(value: Plain) -> str:
    """Write a value on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {write_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(write_flow(one) for one in value) + "]"
    return write_scalar(value)


def write_scalar(value: str | int) -> str:
    """Write a number, a truth value or a text, quoted where it is not plainly a text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if _PLAIN_WORDS.fullmatch(value) and plain_kind(value) == "text":
        return value
    return '"' + "".join(_escaped(letter) for letter in value) + '"'


def _escaped(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"


def _one_line(key: str, value: Plain) -> str:
    return f"{_key(key)}: {write_flow(value)}"


def _key(word: str) -> str:
    """Write a word; `on` is one, and only as a value could it be taken for a truth value."""
    return word if plain_kind(word) == "implicit_boolean" else write_scalar(word)


def _block(value: Plain, indent: int) -> Iterator[str]:
    """Write a mapping or list below its name; parts that fit go on one line."""
    lead = " " * indent
    if isinstance(value, dict):
        for key, one in value.items():
            line = f"{lead}{_one_line(key, one)}"
            if len(line) <= WIDTH or not isinstance(one, dict | list) or not one:
                yield line
            else:
                yield f"{lead}{_key(key)}:"
                yield from _block(one, indent + 2)
    elif isinstance(value, list):
        for one in value:
            line = f"{lead}- {write_flow(one)}"
            if len(line) <= WIDTH or not isinstance(one, dict | list) or not one:
                yield line
            else:
                first, *rest = _block(one, indent + 2)
                yield f"{lead}- {first.lstrip()}"
                yield from rest
