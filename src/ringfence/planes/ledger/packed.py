"""Packed numbers: millions of small groups of whole numbers, each at rest in one short run of bytes.

A book knows millions of compartments and uses a few thousand of them at a time. Those in use are spread out
as ordinary dictionaries; all others rest as MessagePack, which takes a fifth of the memory and can be written
to a snapshot and taken back as it is. When too many have been spread out, the first of them
are put to rest again.

A group is found by its name and holds tuples of whole numbers by the names inside it: for the compartment
`client/alice/bet`, the two totals of its USDC. Names inside recur in every group, so they are numbered, and a
resting group holds their numbers. Whole numbers of any size are kept, those beyond 64 bits as text.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import msgspec

Name = tuple[str, ...]
"""What numbers are kept under inside a group."""

Numbers = tuple[int, ...]
Group = dict[Name, Numbers]

OPEN_MAX: Final = 32_768
"""How many groups are spread out at most, a kilobyte or so each."""

RESTED_AT_ONCE: Final = 128
"""How many groups are put to rest when room is needed, so that no request waits for long."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(dict[int, Numbers])
_WIDE: Final = msgspec.msgpack.Decoder(tuple[dict[int, tuple[int | str, ...]]])
_WIDE_MARK: Final = 0x91
"""The first byte of a group with numbers that MessagePack has no room for: an array of one, not a map."""

_NO_NUMBER: Final = -1

_WRITTEN: Final = msgspec.msgpack.Decoder(tuple[list[Name], list[int], list[str], list[bytes]])


class Packed:
    """Numbers by the name of their group and a name inside it; a group without any is none.

    open: the groups that are spread out now, for whoever reads often; to be changed only here.
    """

    def __init__(self, open_max: int = OPEN_MAX) -> None:
        """Hold nothing; open_max: how many groups are spread out at most."""
        self.open: dict[str, Group] = {}
        self._open_max = open_max
        self._resting: dict[str, bytes] = {}
        self._names: list[Name] = []
        self._number_of: dict[Name, int] = {}
        self._counts: dict[Name, int] = {}

    def find(self, group: str, name: Name) -> Numbers | None:
        """Return the numbers under a name; None where there are none."""
        found = self.open.get(group)
        if found is None:
            if group not in self._resting:
                return None
            found = self._spread(group)
        return found.get(name)

    def glance(self, group: str, name: Name) -> Numbers | None:
        """Return what `find` does, and leave a group at rest that is not asked for again soon."""
        found = self.open.get(group)
        if found is None:
            found = self._read(self._resting.get(group), self._names)
        return found.get(name)

    def put(self, group: str, name: Name, numbers: Numbers) -> Numbers | None:
        """Set the numbers under a name; return those that were there before."""
        found = self.open.get(group)
        if found is None:
            found = self._spread(group)
        before = found.get(name)
        if before is None:
            self._count(name)
        found[name] = numbers
        return before

    def put_at_rest(self, group: str, name: Name, numbers: Numbers) -> Numbers | None:
        """Do what `put` does, and leave a group at rest: for a change of very many groups at once."""
        if group in self.open:
            return self.put(group, name, numbers)
        record = self._resting.get(group)
        rows = {} if record is None else _rows_of(record)
        before = rows.get(self._number_of.get(name, _NO_NUMBER))
        if before is None:
            self._count(name)
        rows[self._number_of[name]] = numbers
        self._resting[group] = _record_of(rows)
        return before

    def drop(self, group: str, name: Name) -> None:
        """Remove a name from a group; KeyError where it is not in there."""
        if self.find(group, name) is None:
            raise KeyError(name)
        del self.open[group][name]
        self._counts[name] -= 1
        if not self._counts[name]:
            del self._counts[name]

    def group(self, group: str) -> Group:
        """Return everything in a group, as a copy."""
        found = self.open.get(group)
        return self._read(self._resting.get(group), self._names) if found is None else dict(found)

    def groups(self) -> Iterator[tuple[str, Group]]:
        """Go through all groups with their content; what is changed meanwhile may be met either way."""
        fresh = [name for name in self.open if name not in self._resting]
        for name in (*self._resting, *fresh):
            content = self.group(name)
            if content:
                yield name, content

    def counts(self) -> dict[Name, int]:
        """Return how many groups hold each name. Do not change it."""
        return self._counts

    # --- at rest

    def rest(self) -> None:
        """Put every group to rest."""
        self._rest(tuple(self.open))

    def _rest(self, groups: Iterable[str]) -> None:
        for name in groups:
            content = self.open.pop(name)
            if content:
                self._resting[name] = self._pack(content)
            else:
                self._resting.pop(name, None)

    def written(self) -> bytes:
        """Write everything out; equal contents give equal bytes, whatever happened before."""
        self.rest()
        self._number_in_order()
        groups = sorted(self._resting)
        counts = [self._counts[name] for name in self._names]
        return _ENCODER.encode((self._names, counts, groups, [self._resting[name] for name in groups]))

    def restore(self, content: bytes) -> None:
        """Hold what was written out and nothing else; ValueError where it is of another form."""
        names, counts, groups, records = _WRITTEN.decode(content)
        self.open.clear()
        self._resting = dict(zip(groups, records, strict=True))
        self._names, self._counts = names, dict(zip(names, counts, strict=True))
        self._number_of = {name: number for number, name in enumerate(names)}

    def _spread(self, group: str) -> Group:
        """Spread a group out, to be read and changed; its bytes are stale until it rests again."""
        if len(self.open) >= self._open_max:
            self._rest(tuple(islice(self.open, RESTED_AT_ONCE)))
        found = self.open[group] = self._read(self._resting.get(group), self._names)
        return found

    def _read(self, record: bytes | None, names: list[Name]) -> Group:
        if record is None:
            return {}
        return {names[number]: numbers for number, numbers in _rows_of(record).items()}

    def _pack(self, content: Group) -> bytes:
        number_of = self._number_of
        return _record_of({number_of[name]: numbers for name, numbers in content.items()})

    def _count(self, name: Name) -> None:
        self._counts[name] = self._counts.get(name, 0) + 1
        if name not in self._number_of:
            self._number_of[name] = len(self._names)
            self._names.append(name)

    def _number_in_order(self) -> None:
        """Number the names that are in use in their own order, not in the order in which they came."""
        names, in_use = self._names, sorted(self._counts)
        if names == in_use:
            return
        self._names, self._number_of = in_use, {name: number for number, name in enumerate(in_use)}
        for group, record in self._resting.items():
            self._resting[group] = self._pack(self._read(record, names))


def _rows_of(record: bytes) -> dict[int, Numbers]:
    """Read what rests, by the numbers of its names."""
    if record[0] != _WIDE_MARK:
        return _DECODER.decode(record)
    (rows,) = _WIDE.decode(record)
    return {number: tuple(map(int, numbers)) for number, numbers in rows.items()}


def _record_of(rows: dict[int, Numbers]) -> bytes:
    """Write what is to rest, in the order of its names' numbers."""
    if len(rows) > 1:
        rows = dict(sorted(rows.items()))
    try:
        return _ENCODER.encode(rows)
    except OverflowError:
        return _ENCODER.encode(({number: _as_text(numbers) for number, numbers in rows.items()},))


def _as_text(numbers: Numbers) -> tuple[int | str, ...]:
    """Write numbers that MessagePack has no room for as text."""
    return tuple(one if -(1 << 63) <= one < 1 << 64 else str(one) for one in numbers)
