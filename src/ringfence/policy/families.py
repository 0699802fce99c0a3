"""Names with variables: a family of compartments or keys, and its members.

A pattern is a path of parts joined by `/`. A part is plain text, a variable in braces (`client/{client}/cash`
stands for one compartment per member), or, in claims only, `*` for any one part and `**` for any depth.
A binding says which member each variable stands for. Families are decided by few members (see
docs/why/policy.md), so nothing here ever lists the members.
"""

from collections.abc import Mapping
from functools import cache, lru_cache

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


def overlap(selector: str, pattern: str) -> dict[str, str] | None:
    """Say which compartments of a family a selector of a claim means; None where it means none of them.

    selector: a name in which `*` is one part, `**` any depth (at least one part), and variables are the
    claim's own; pattern: the name of a compartment or family. The answer binds each variable of the pattern
    to a member or to a variable of the claim (`{a}`); a variable it does not bind may be any member. A
    variable of the claim that met a plain part of the pattern is bound under its own braces.
    """
    wanted, found = parts_of(selector), parts_of(pattern)

    @cache  # without it, a selector of many `**` would be tried in exponentially many ways
    def rest(at: int, depth: int) -> dict[str, str] | None:
        if at == len(wanted) or depth == len(found):
            return {} if at == len(wanted) and depth == len(found) else None
        if wanted[at] == "**":
            tails = (rest(at + 1, deeper) for deeper in range(depth + 1, len(found) + 1))
            return next((tail for tail in tails if tail is not None), None)
        tail, first = rest(at + 1, depth + 1), _overlap_part(wanted[at], found[depth])
        if tail is None or first is None:
            return None
        agree = all(tail.get(name, part) == part for name, part in first.items())
        return {**tail, **first} if agree else None

    return rest(0, 0)


def _overlap_part(wanted: str, found: str) -> dict[str, str] | None:
    if wanted == "*" or (wanted == found and not is_variable(found)):
        return {}
    if is_variable(found):
        return {found[1:-1]: wanted}
    return {wanted: found} if is_variable(wanted) else None
