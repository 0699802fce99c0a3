"""The fewest thefts that open a way: exact, with its proof.

Attacks are monotone, so every attack meets every *cover*: a set of keys and services such that all the
others together do not suffice. The search goes back and forth: guess the smallest set that meets all covers
known; if it is an attack, none is smaller; if not, grow it to a largest set that still fails, and what is
left out is a new cover. The covers are the certificate: each of them is one, and no smaller set meets all.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Suffices = Callable[[frozenset[int]], bool]


@dataclass(frozen=True, slots=True)
class Fewest:
    """The answer: `thefts` is a smallest attack, where one was `found`; `impossible`: not even everything
    suffices; `stopped`: the search was. It takes at least `at_least`; `covers` prove that, and where the
    search was stopped they are no more than those that did first."""

    outcome: Literal["found", "impossible", "stopped"]
    thefts: tuple[int, ...]
    at_least: int
    covers: tuple[frozenset[int], ...]


def fewest(items: Sequence[int], suffices: Suffices, tests_max: int = 20_000) -> Fewest:
    """Search among `items` for a smallest set that suffices, asking at most `tests_max` times."""
    everything = frozenset(items)
    if not suffices(everything):
        return Fewest("impossible", (), len(everything) + 1, (frozenset(),))
    covers: list[frozenset[int]] = []
    tests, at_least, shown_by = 1, 0, 0
    while True:
        guess = smallest_meeting(covers)
        tests += 1
        if len(guess) > at_least:
            at_least, shown_by = len(guess), len(covers)
        if suffices(guess):
            return Fewest("found", tuple(sorted(guess)), len(guess), tuple(covers))
        if tests + len(everything) > tests_max:
            return Fewest("stopped", (), at_least, tuple(covers[:shown_by]))
        grown, asked = _grown(guess, items, suffices)
        tests += asked
        covers.append(everything - grown)


def _grown(start: frozenset[int], items: Sequence[int], suffices: Suffices) -> tuple[frozenset[int], int]:
    """Add items in blocks, halving a block that would suffice, until no single one can be added."""
    grown = start
    asked = 0
    blocks = [[item for item in items if item not in start]]
    while blocks:
        block = blocks.pop()
        if not block:
            continue
        wider = grown | frozenset(block)
        asked += 1
        if not suffices(wider):
            grown = wider
        elif len(block) > 1:
            middle = len(block) // 2
            blocks += [block[middle:], block[:middle]]
    return grown, asked


def smallest_meeting(covers: Sequence[frozenset[int]]) -> frozenset[int]:
    """Return a smallest set that has an item of each cover."""
    size = _disjoint(covers)
    while True:
        found = _meeting(covers, frozenset(), size)
        if found is not None:
            return found
        size += 1


def _meeting(covers: Sequence[frozenset[int]], chosen: frozenset[int], left: int) -> frozenset[int] | None:
    missed = [cover for cover in covers if not cover & chosen]
    if not missed:
        return chosen
    if left == 0 or _disjoint(missed) > left:
        return None
    missed.sort(key=len)
    for item in sorted(missed[0]):
        found = _meeting(missed, chosen | {item}, left - 1)
        if found is not None:
            return found
    return None


def _disjoint(covers: Sequence[frozenset[int]]) -> int:
    """Count covers that share nothing: each needs an item of its own."""
    seen: set[int] = set()
    count = 0
    for cover in sorted(covers, key=len):
        if not cover & seen:
            seen |= cover
            count += 1
    return count
