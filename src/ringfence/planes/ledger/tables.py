"""The tables of a book, and taking back what a refused request had begun to change.

Every table maps plain keys to values that never change, so that undoing a change is putting the old value
back. Those that grow with the members are packed (`packed_tables`), the others are dictionaries. Balances are
two running totals that only grow, debits and credits; what a compartment holds is credits minus debits. Each
asset keeps its own totals beside them: the two ways of counting must always agree.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, Final, NamedTuple, get_type_hints

import msgspec

from ringfence.kernel.errors import ViolationError
from ringfence.planes.ledger.entitlements import Entitlements, Owed
from ringfence.planes.ledger.operations import AdoptPolicy, Mandate, Move, OpenSession, Statement
from ringfence.planes.ledger.packed import Packed
from ringfence.planes.ledger.packed_tables import Balances, Members, Sessions, Totals, Windows
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.prices import AgreedPrice

_ABSENT: Final = object()
_ZERO: Final = (0, 0)


class Waiting(NamedTuple):
    """A policy that waits to be in force: the adoption as it was signed, its digest, and when it is due."""

    adoption: AdoptPolicy
    content: bytes
    due: int


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Moves that are held together, and what is held for them: (compartment, asset, units).

    until: the last instant at which they may be posted.
    """

    until: int
    moves: tuple[Move, ...]
    reserved: tuple[tuple[str, str, int], ...]


MandateKey = tuple[str, str, str, str]
"""What a mandate is kept under: gate, source, target, asset; a new one takes the place of the one before."""


class Given(NamedTuple):
    """A mandate in force, and the units that were moved under it."""

    mandate: Mandate
    moved: int = 0


class SessionState(NamedTuple):
    """A trading session as it was opened, and whether it was closed since."""

    opened: OpenSession
    is_closed: bool = False


Table = MutableMapping[Any, Any]

RowAnswer = Callable[[int], tuple[bytes, int] | None]
"""Returns what is kept of a request by its id, where rows made it."""


def _no_answer(identifier: int) -> None:
    """Know no rows."""


class Tables:
    """Everything a book knows; equal tables are equal books.

    A dictionary is one line below, with its type: snapshots, digests and this class itself read it there.
    names: what a public key is or was known as; former: what a rotated key was, and until when that counts;
    session_buckets: the last trading session of a bucket; rows: digest of the batches of rows judged so far;
    row_answer: asks the row lane about an id; changed: the keys that committed changes touched, for a row
    lane to take over (None: there is none to tell).
    """

    totals: dict[str, Totals]
    session_totals: dict[str, int]
    owed: dict[Owed, int]
    prices: dict[str, AgreedPrice]
    keys: dict[str, bytes]
    names: dict[bytes, str]
    former: dict[str, tuple[bytes, int]]
    revoked: dict[str, str]
    frozen: dict[str, str]
    ids: dict[int, tuple[bytes, int]]
    orders: dict[tuple[str, int], tuple[bytes, int]]
    receipts: dict[tuple[str, str], bytes]
    reversible: dict[tuple[int, str, str, str], int]
    funded: dict[str, int]
    accruing: dict[tuple[str, str], tuple[int, int]]
    pending: dict[int, Pending]
    mandates: dict[MandateKey, Given]
    statements: dict[str, Statement]
    mirrored: dict[tuple[str, tuple[str, ...]], int]
    addresses: dict[str, tuple[tuple[str, int], ...]]
    trading_sessions: dict[int, SessionState]
    session_buckets: dict[str, int]
    adopting: dict[int, Waiting]
    replaced: dict[str, tuple[str, int]]
    holds: dict[int, Hold]
    held: dict[tuple[str, str], int]
    ended: dict[int, str]
    closed: dict[tuple[str, str], int]

    def __init__(self) -> None:
        for name in FORMS:
            setattr(self, name, {})
        self.owed = self._entitlements = Entitlements()
        self.packed = {name: Packed() for name in ("compartments", "counters", "openings")}
        self.balances = Balances(self.packed["compartments"])
        self.sessions = Sessions(self.packed["compartments"])
        self.windows = Windows(self.packed["counters"])
        self.members = Members(self.packed["openings"])
        self.rows = b""
        self.row_answer: RowAnswer = _no_answer
        self.changed: list[tuple[Table, Any]] | None = None
        self._undo: list[tuple[Table, Any, Any]] = []

    # --- changing and undoing

    def put(self, table: Table, key: object, value: object) -> None:
        """Set a key of one of the tables."""
        self._undo.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def drop(self, table: Table, key: object) -> None:
        """Remove a key of one of the tables, if it is there."""
        if key in table:
            self._undo.append((table, key, table.pop(key)))

    def commit(self) -> None:
        """Keep every change made since the last commit or rollback."""
        if self.changed is not None:
            self.changed += ((table, key) for table, key, _ in self._undo)
        self._undo.clear()

    def rollback(self) -> None:
        """Take back every change made since the last commit or rollback."""
        while self._undo:
            table, key, value = self._undo.pop()
            if value is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = value

    def answer(self, identifier: int) -> tuple[bytes, int] | None:
        """Return the content and the answer of a request that was judged before; None where none was."""
        return self.ids.get(identifier) or self.row_answer(identifier)

    # --- balances

    def balance(self, path: str, asset: str) -> int:
        """Return what a compartment holds; below zero only where it may be short."""
        debits, credits = self.balances.totals(path, asset)
        return credits - debits

    def move(self, source: str, target: str, asset: str, units: int) -> None:
        """Debit the source and credit the target; whether it may was decided before."""
        self._add(source, asset, units, 0)
        self._add(target, asset, 0, units)
        debits, credits = self.totals.get(asset, _ZERO)
        self.put(self.totals, asset, (debits + units, credits + units))

    def _add(self, path: str, asset: str, debits: int, credits: int) -> None:
        given, taken = self.balances.totals(path, asset)
        before = self.balances.put(path, asset, (given + debits, taken + credits))
        self._undo.append((self.balances, (path, asset), _ABSENT if before is None else before))

    # --- positions

    def session_value(self, bucket: str, instrument: str) -> int:
        """Return what a position's fills were worth since the last settlement."""
        return self.sessions.value(bucket, instrument)

    def set_session(self, bucket: str, instrument: str, value: int) -> None:
        """Set a session value; a flat position worth nothing is forgotten."""
        sessions = self.sessions.of(instrument)
        change = value - sessions.get(bucket, 0)
        if value == 0 and self.balance(bucket, instrument) == 0:
            self.drop(sessions, bucket)
        else:
            self.put(sessions, bucket, value)
        self.put(self.session_totals, instrument, self.session_totals.get(instrument, 0) + change)

    # --- entitlements

    def owed_by(self, source: str) -> Iterator[tuple[str, int]]:
        """Say what a source owes, entitlement by entitlement: (asset, units)."""
        return self._entitlements.by(source)

    def owe(self, key: Owed, units: int) -> None:
        """Add to what is owed under a key (or, below zero, take away); nothing owed is not kept."""
        left = self.owed.get(key, 0) + units
        if left:
            self.put(self.owed, key, left)
        else:
            self.drop(self.owed, key)

    # --- laws and digests

    def check_conservation(self) -> None:
        """Add every table up again; ViolationError where an asset or a session does not sum to zero."""
        sums: dict[str, list[int]] = {}
        for (_, asset), (debits, credits) in self.balances.items():
            both = sums.setdefault(asset, [0, 0])
            both[0] += debits
            both[1] += credits
        for asset, (debits, credits) in sums.items():
            if debits != credits or (debits, credits) != self.totals.get(asset):
                raise ViolationError(
                    f"{asset} does not balance: {debits} debits, {credits} credits, {self.totals.get(asset)}"
                )
        for instrument, sessions in self.sessions.items():
            total = sum(value for _, value in sessions.items())
            if total != 0:
                raise ViolationError(f"the session values of {instrument} sum to {total}, not 0")

    def bucket_content(self, path: str, assets: Iterable[str]) -> dict[str, object]:
        """Return the balances and session values of one compartment as plain data."""
        held = {asset: list(self.balances[path, asset]) for asset in assets if (path, asset) in self.balances}
        return {"compartment": path, "balances": held, "sessions": self.sessions.in_bucket(path)}

    def content(self) -> dict[str, object]:
        """Return every table as plain data in a fixed order: what a digest is made of."""
        rows = {"rows": self.rows.hex()} if self.rows else {}
        return {
            **rows,
            "balances": sorted(self.balances.items()),
            "sessions": [(instrument, dict(values.items())) for instrument, values in self.sessions.items()],
            "windows": sorted(self.windows.items()),
            "members": sorted(self.members.items()),
            **{name: self.sorted_rows(name) for name in FORMS},
        }

    def sorted_rows(self, name: str) -> list[tuple[Any, Any]]:
        """Return one of the dictionaries as (key, value) in the order of its keys."""
        return sorted(getattr(self, name).items())


FORMS: Final[dict[str, Any]] = get_type_hints(Tables)
"""The type of each dictionary by its name: what is declared in `Tables` is in every snapshot and digest."""
