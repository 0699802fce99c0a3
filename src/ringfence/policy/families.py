"""Names with variables: a family of compartments or keys, and its members.

A pattern is a path of parts joined by `/`. A part is plain text, a variable in braces (`client/{client}/cash`
stands for one compartment per member), or, in claims only, `*` for any one part and `**` for any depth.
A binding says which member each variable stands for. Families are decided by few members (see
docs/why/policy.md), so nothing here ever lists the members.
"""

from collections.abc import Mapping
from functools import lru_cache

Binding = Mapping[str, str]
"""The member each variable stands for, by the variable's name without braces."""


@lru_cache(maxsize=65_536)
def parts_of(pattern: str) -> tuple[str, ...]:
    """Split a pattern or path into its parts."""
    return tuple(pattern.split("/"))


def is_variable(part: str) -> bool:
    """Say whether one part is a variable such as `{client}`."""
    return part.startswith("{") and part.endswith("}")


def variables_of(pattern: str) -> tuple[str, ...]:
    """Name the variables of a pattern in order, each once."""
    return tuple(dict.fromkeys(part[1:-1] for part in parts_of(pattern) if is_variable(part)))


def match(pattern: str, path: str, bound: Binding | None = None) -> dict[str, str] | None:
    """Bind the variables of `pattern` so that it names `path`; None where no binding does.

    `bound` holds members that are fixed already. `*` and `**` are not variables and do not match here.
    """
    binding = dict(bound or {})
    wanted, found = parts_of(pattern), parts_of(path)
    if len(wanted) != len(found):
        return None
    for part, text in zip(wanted, found, strict=True):
        if is_variable(part):
            if binding.setdefault(part[1:-1], text) != text:
                return None
        elif part != text:
            return None
    return binding


def fill(pattern: str, binding: Binding) -> str:
    """Replace the variables of a pattern by members; KeyError where one is not bound."""
    return "/".join(binding[part[1:-1]] if is_variable(part) else part for part in parts_of(pattern))
