"""Sets of whole numbers kept as ranges: the ports of a protocol, or the addresses of a network.

A `Ranges` is canonical: sorted, disjoint, and with a gap between any two of its ranges, so that two sets are
equal exactly when they hold the same numbers.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PORT_MIN = 1
PORT_MAX = 65_535

Range = tuple[int, int]
"""First and last number of a range, both inside it."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """A set of whole numbers as sorted ranges that neither meet nor touch."""

    spans: tuple[Range, ...] = ()

    @classmethod
    def of(cls, spans: Iterable[Range]) -> "Ranges":
        """Build the set that holds every number of the given ranges, in any order and overlapping or not."""
        merged: list[Range] = []
        for first, last in sorted(spans):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @classmethod
    def single(cls, number: int) -> "Ranges":
        """Build the set of one number."""
        return cls(((number, number),))

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __iter__(self) -> Iterator[Range]:
        return iter(self.spans)

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self.spans, number, key=lambda span: span[0]) - 1
        return index >= 0 and number <= self.spans[index][1]

    def __or__(self, other: "Ranges") -> "Ranges":
        if not self.spans:
            return other
        return self if not other.spans else Ranges.of((*self.spans, *other.spans))

    def __and__(self, other: "Ranges") -> "Ranges":
        found: list[Range] = []
        mine, theirs = 0, 0
        while mine < len(self.spans) and theirs < len(other.spans):
            (first, last), (other_first, other_last) = self.spans[mine], other.spans[theirs]
            if max(first, other_first) <= min(last, other_last):
                found.append((max(first, other_first), min(last, other_last)))
            if last < other_last:
                mine += 1
            else:
                theirs += 1
        return Ranges(tuple(found))

    def __sub__(self, other: "Ranges") -> "Ranges":
        if not other.spans:
            return self
        found: list[Range] = []
        for first, last in self.spans:
            for cut_first, cut_last in other.spans:
                if cut_last < first or cut_first > last:
                    continue
                if first < cut_first:
                    found.append((first, cut_first - 1))
                first = cut_last + 1
            if first <= last:
                found.append((first, last))
        return Ranges(tuple(found))

    def __str__(self) -> str:
        return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in self.spans)

    @property
    def size(self) -> int:
        """How many numbers the set holds."""
        return sum(last - first + 1 for first, last in self.spans)


NOTHING = Ranges()
ALL_PORTS = Ranges(((PORT_MIN, PORT_MAX),))


def segments(whole: Range, cuts: Iterable[Ranges]) -> tuple[Range, ...]:
    """Cut `whole` into the fewest ranges that lie wholly inside or wholly outside each of `cuts`."""
    starts = {whole[0]}
    for cut in cuts:
        for first, last in cut:
            starts.update(start for start in (first, last + 1) if whole[0] <= start <= whole[1])
    ordered = sorted(starts)
    return tuple(zip(ordered, [start - 1 for start in ordered[1:]] + [whole[1]], strict=True))
