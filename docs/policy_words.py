"""The reference of the policy language, written from the table that the parser reads by."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from ringfence.drawing.markup import slug
from ringfence.policy.forms import PLAIN_NAME, Choice, Entries, Many
from ringfence.policy.grammar import Block, Form, Word
from ringfence.policy.language import POLICY

LEAD = """# Words of the policy

A policy is one YAML 1.2 file. Each table below is one kind of mapping and lists its words, how each is
written, what it means, and an example. A word that is not listed is refused, and so is one that stands twice.
Amounts are texts with their unit; a bare decimal number stands nowhere. A name is made of letters, digits,
`_`, `-` and `.`; one with a variable in braces, such as `client/{client}/cash`, stands for one compartment or
key for each member of the party."""


def write_policy_words() -> str:
    """Write a table for every block of the language, the policy itself first."""
    lines = [LEAD]
    for block in blocks_below(POLICY):
        lines += ["", f"## {block.title}", "", "| word | written as | meaning | example |"]
        lines += ["| --- | --- | --- | --- |", *(_row(word) for word in block.word_list)]
    return "\n".join(lines) + "\n"


def blocks_below(start: Block) -> list[Block]:
    """List every block that can be reached from one, each once, nearest first."""
    found = {start.title: start}
    waiting = [start]
    while waiting:
        block = waiting.pop(0)
        for inner in (part for word in block.word_list for part in _parts_in(word.form)):
            if isinstance(inner, Block) and inner.title not in found:
                found[inner.title] = inner
                waiting.append(inner)
    return list(found.values())


def _parts_in(form: object) -> Iterator[Block | Choice]:
    """Find the blocks and choices that a form is made of, whatever it wraps them in."""
    if isinstance(form, Block | Choice):
        yield form
    elif isinstance(form, tuple):
        for part in form:
            yield from _parts_in(part)
    elif is_dataclass(form) and not isinstance(form, type):
        for part in fields(form):
            yield from _parts_in(getattr(form, part.name))


def _row(word: Word) -> str:
    cells = (f"`{word.name}`", _written(word.form), word.meaning, f"`{word.example}`")
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _written(form: Form) -> str:
    """Say how a value is written; blocks become links to their tables."""
    if isinstance(form, Block | Choice):
        return _part(form)
    if isinstance(form, Entries):
        return f"entries by name, each: {_written(form.value)}"
    if isinstance(form, Many):
        item = _written(form.item)
        return f"{item}; or a list" if form.may_stand_alone else f"a list, each: {item}"
    if form is PLAIN_NAME:
        return "a name"
    inside = "; ".join(_part(part) for part in _parts_in(form))
    return f"{form.words} ({inside})" if inside else form.words


def _part(part: Block | Choice) -> str:
    if isinstance(part, Block):
        return f"[{part.title}](#{slug(part.title)})"
    return "one of " + ", ".join(f"`{option}`" for option in part.options)
