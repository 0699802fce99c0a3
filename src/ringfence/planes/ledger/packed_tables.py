"""The tables of a book that grow with its members, each a mapping over packed numbers.

    balances    (compartment, asset)                 -> debits, credits
    sessions    instrument -> bucket                 -> session value
    windows     (gate, scope, members, asset)        -> counter of a limit
    members     (party, member)                      -> instant of opening

Balances and session values of a compartment rest together. The rules read and change these tables as they do
any dictionary.
"""

from abc import abstractmethod
from collections.abc import ItemsView, Iterator, Mapping, MutableMapping
from typing import Final, TypeVar, overload

from ringfence.planes.ledger.limits import Counter
from ringfence.planes.ledger.packed import Name, Numbers, Packed

Totals = tuple[int, int]
"""Debits and credits in units."""

WindowKey = tuple[str, str, tuple[str, ...], str]
"""Gate, scope, members and asset: what a counter is kept under."""

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_BALANCE: Final = "balance"
_SESSION: Final = "session"
_SEPARATOR: Final = "/"
"""Stands in no member's name."""


class PackedTable(MutableMapping[K, V]):
    """A mapping over packed numbers; a subclass says where a key is kept and how a value is spelled."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed

    @abstractmethod
    def _place(self, key: K) -> tuple[str, Name]:
        """Return the group of a key, and its name in there."""

    @abstractmethod
    def _key(self, group: str, name: Name) -> K | None:
        """Return the key that is kept there; None where that belongs to another table."""

    @abstractmethod
    def _value(self, numbers: Numbers) -> V:
        """Read a value."""

    @abstractmethod
    def _numbers(self, value: V) -> Numbers:
        """Spell a value."""

    def rows(self) -> Iterator[tuple[K, V]]:
        """Go through keys and values."""
        for group, content in self._packed.groups():
            for name, numbers in content.items():
                key = self._key(group, name)
                if key is not None:
                    yield key, self._value(numbers)

    @overload
    def get(self, key: K, default: None = None, /) -> V | None: ...
    @overload
    def get(self, key: K, default: V, /) -> V: ...
    @overload
    def get(self, key: K, default: T, /) -> V | T: ...
    def get(self, key: K, default: object = None, /) -> object:
        """Return the value of a key, or the default."""
        numbers = self._packed.find(*self._place(key))
        return default if numbers is None else self._value(numbers)

    def glance(self, key: K) -> V | None:
        """Return the value of a key that is not asked for again soon; None where there is none."""
        numbers = self._packed.glance(*self._place(key))
        return None if numbers is None else self._value(numbers)

    def put_at_rest(self, key: K, value: V) -> V | None:
        """Set one of very many values, none of which is asked for again soon; return what it was before."""
        before = self._packed.put_at_rest(*self._place(key), self._numbers(value))
        return None if before is None else self._value(before)

    def items(self) -> ItemsView[K, V]:
        """Return the rows as a view, which reads each group once."""
        return _Rows(self)

    def __getitem__(self, key: K) -> V:
        numbers = self._packed.find(*self._place(key))
        if numbers is None:
            raise KeyError(key)
        return self._value(numbers)

    def __setitem__(self, key: K, value: V) -> None:
        self._packed.put(*self._place(key), self._numbers(value))

    def __delitem__(self, key: K) -> None:
        self._packed.drop(*self._place(key))

    def __iter__(self) -> Iterator[K]:
        return (key for key, _ in self.rows())

    def __len__(self) -> int:
        return sum(count for name, count in self._packed.counts().items() if self._key("", name) is not None)


class _Rows(ItemsView[K, V]):
    def __init__(self, table: PackedTable[K, V]) -> None:
        super().__init__(table)
        self._table = table

    def __iter__(self) -> Iterator[tuple[K, V]]:
        return self._table.rows()


class _Plain(PackedTable[K, V]):
    """A table whose values are tuples of whole numbers, packed as they are."""

    def _value(self, numbers: Numbers) -> V:
        return numbers  # type: ignore[return-value]

    def _numbers(self, value: V) -> Numbers:
        return value  # type: ignore[return-value]


class Balances(_Plain[tuple[str, str], Totals]):
    """The two running totals by compartment and asset."""

    def totals(self, path: str, asset: str) -> Totals:
        """Return debits and credits, none where nothing was ever booked; every request asks a dozen times."""
        group = self._packed.open.get(path)
        name = (_BALANCE, asset)
        found = self._packed.find(path, name) if group is None else group.get(name)
        return (0, 0) if found is None else found  # type: ignore[return-value]

    def put(self, path: str, asset: str, totals: Totals) -> Totals | None:
        """Set debits and credits; return what they were, None where nothing was ever booked."""
        return self._packed.put(path, (_BALANCE, asset), totals)  # type: ignore[return-value]

    def _place(self, key: tuple[str, str]) -> tuple[str, Name]:
        path, asset = key
        return path, (_BALANCE, asset)

    def _key(self, group: str, name: Name) -> tuple[str, str] | None:
        return (group, name[1]) if name[0] == _BALANCE else None


class Windows(_Plain[WindowKey, Counter]):
    """The counters of limits; those of the same members rest together."""

    def _place(self, key: WindowKey) -> tuple[str, Name]:
        gate, scope, members, asset = key
        return _SEPARATOR.join(members), (gate, scope, asset)

    def _key(self, group: str, name: Name) -> WindowKey:
        gate, scope, asset = name
        return gate, scope, tuple(group.split(_SEPARATOR)) if group else (), asset


class _Single(PackedTable[K, int]):
    """A table of one whole number each."""

    def _value(self, numbers: Numbers) -> int:
        return numbers[0]

    def _numbers(self, value: int) -> Numbers:
        return (value,)


class Members(_Single[tuple[str, str]]):
    """When each member was opened, by party and name."""

    def __contains__(self, key: object) -> bool:
        # Asked once for a compartment, which is then known to be open.
        return isinstance(key, tuple) and self.glance(key) is not None

    def _place(self, key: tuple[str, str]) -> tuple[str, Name]:
        party, member = key
        return member, (party,)

    def _key(self, group: str, name: Name) -> tuple[str, str]:
        return name[0], group


class Sessions(Mapping[str, MutableMapping[str, int]]):
    """The session values of every instrument in which anybody has one."""

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._buckets: dict[str, list[str]] | None = None

    def of(self, instrument: str) -> "SessionsOf":
        """Return the table of an instrument, to read and to change."""
        return SessionsOf(self._packed, self, instrument)

    def value(self, bucket: str, instrument: str) -> int:
        """Return one session value; 0 where there is none."""
        numbers = self._packed.find(bucket, (_SESSION, instrument))
        return 0 if numbers is None else numbers[0]

    def in_bucket(self, bucket: str) -> dict[str, int]:
        """Return the session values of one bucket by instrument, in the order of their names."""
        content = self._packed.group(bucket)
        return {name[1]: content[name][0] for name in sorted(content) if name[0] == _SESSION}

    def buckets(self, instrument: str) -> list[str]:
        """List the buckets that have a session value in an instrument. Do not change it."""
        if self._buckets is None:
            # All are looked through when somebody first asks, and listed from then on: 8 bytes a position.
            self._buckets = {}
            for path, content in self._packed.groups():
                for kind, *rest in content:
                    if kind == _SESSION:
                        self._buckets.setdefault(rest[0], []).append(path)
        listed, name = self._buckets.get(instrument, []), (_SESSION, instrument)
        if len(listed) != self._packed.counts().get(name):
            listed = [path for path in dict.fromkeys(listed) if self._packed.find(path, name) is not None]
            self._buckets[instrument] = listed
        return listed

    def note(self, bucket: str, instrument: str) -> None:
        """Take note of a bucket that had no session value in an instrument before."""
        if self._buckets is not None:
            self._buckets.setdefault(instrument, []).append(bucket)

    def __getitem__(self, instrument: str) -> "SessionsOf":
        if (_SESSION, instrument) not in self._packed.counts():
            raise KeyError(instrument)
        return self.of(instrument)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(name[1] for name in self._packed.counts() if name[0] == _SESSION))

    def __len__(self) -> int:
        return sum(name[0] == _SESSION for name in self._packed.counts())


class SessionsOf(_Single[str]):
    """The session values of one instrument by bucket."""

    def __init__(self, packed: Packed, sessions: Sessions, instrument: str) -> None:
        super().__init__(packed)
        self._sessions = sessions
        self._instrument = instrument
        self._name = (_SESSION, instrument)

    def rows(self) -> Iterator[tuple[str, int]]:
        """Go through buckets and their session values."""
        for bucket in tuple(self._sessions.buckets(self._instrument)):
            numbers = self._packed.find(bucket, self._name)
            if numbers is not None:
                yield bucket, numbers[0]

    def __setitem__(self, bucket: str, value: int) -> None:
        if self._packed.find(bucket, self._name) is None:
            self._sessions.note(bucket, self._instrument)
        self._packed.put(bucket, self._name, (value,))

    def _place(self, key: str) -> tuple[str, Name]:
        return key, self._name

    def _key(self, group: str, name: Name) -> str | None:
        return group if name == self._name else None
