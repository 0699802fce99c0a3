"""Moves by the hundred thousand: a book's moves as arrays, judged by the compiled rule.

A `BatchBook` begins as a copy of a `BookState` and gives numbers to whatever a move can name, so that the
kernel compares numbers only. Signatures, ids and chains of other links are the book's business: each request
comes with the keys that signed it. Gates that need more than one row to be judged (exchanges, debts, what a
waterfall lets a pool pay, reversals, refilling or rolling windows) stay with the readable rule, by name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import Reason
from ringfence.kernel.instant import Instant
from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX, LIMBS_MAX
from ringfence.planes.ledger.batch_kernel import (
    ACCOUNT,
    ACCRUALS_MAX,
    GATE,
    PLACE,
    ROW,
    UNITS,
    WINDOW,
    Arrays,
    Codes,
    Records,
    judge_rows,
)
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.ledger import ALL, EACH, limited_members
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import Move
from ringfence.planes.ledger.rules import GateRule, Place, Rules
from ringfence.planes.ledger.tables import Owed, Totals
from ringfence.policy.model import Cap

NONE = -1
_MISSING: tuple[int, ...] = (NONE,) * ACCRUALS_MAX


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the kernel takes it: its moves, when, who signed, and what margin lets go.

    signing: a `Reason` for which none of its signatures counts; releasable: units by compartment and asset.
    """

    moves: tuple[Move, ...]
    at: Instant
    signers: frozenset[str] = frozenset()
    signing: Reason | None = None
    has_text: bool = False
    releasable: tuple[tuple[str, str, int], ...] = ()


class BatchBook:
    """A book as arrays; the state it was copied from is not changed by what is asked of it."""

    def __init__(self, state: BookState) -> None:
        self.rules = state.rules
        self._state = state
        self._gates = {name: number for number, name in enumerate(self.rules.gates)}
        self._assets = {name: number for number, name in enumerate(self.rules.assets)}
        self._places: dict[str, int] = {}
        self._found: list[Place | None] = []
        self._members: dict[tuple[str, str], int] = {}
        self._accounts: dict[tuple[int, int], int] = {}
        self._windows: dict[tuple[str, str, tuple[str, ...], str], int] = {}
        self._owed: dict[Owed, int] = {}
        self._arrays = _arrays_of(self.rules, state)
        for path, asset, _ in state.balances():
            if asset in self._assets:
                self._account(self._place(path), asset)

    def judge(self, asked: Sequence[Asked]) -> Codes:
        """Judge requests in order and book those that pass; one code for each move, 0 or a `Reason`'s number.

        Raises ValueError where a move names a gate that only the readable rule judges.
        """
        rows = self.rows(asked)
        return self.judge_rows(rows)

    def judge_rows(self, rows: Records) -> Codes:
        """Judge rows that were written before by `rows`; ValueError where the last is linked to a next."""
        codes = np.zeros(len(rows), dtype=np.uint16)
        if len(rows) and rows[-1]["is_linked"]:
            raise ValueError("the last row is linked to a next one, and there is none")
        judge_rows(self._arrays, rows, codes, np.zeros((len(rows), ACCRUALS_MAX), dtype=UNITS))
        return codes

    def rows(self, asked: Iterable[Asked]) -> Records:
        """Write requests as rows (dtype `ROW`), giving numbers to whatever has none yet."""
        return np.array([row for request in asked for row in self._request_rows(request)], dtype=ROW)

    # --- reading

    def totals(self, compartment: str, asset: str) -> Totals:
        """Return the two running totals of a compartment and asset: debits and credits."""
        key = (self._places.get(compartment, NONE), self._assets.get(asset, NONE))
        number = self._accounts.get(key)
        if number is None:
            return (0, 0)
        account = self._arrays.accounts[number]
        return _join(account, "debits_"), _join(account, "credits_")

    def owed(self, key: Owed) -> int:
        """Return what is owed under (accrual, source, target, asset)."""
        number = self._owed.get(key)
        if number is None:
            return self._state.owed(*key)
        return _join(self._arrays.owed[number])

    def used(self, gate: str, scope: str, members: tuple[str, ...], asset: str, at: Instant) -> int:
        """Return what was used of a gate's limit in the window that holds an instant."""
        number = self._windows.get((gate, scope, members, asset))
        if number is None:
            return 0
        window = self._arrays.windows[number]
        return _join(window, "used_") if window["number"] == at // window["length_ns"] else 0

    # --- writing rows

    def _request_rows(self, asked: Asked) -> list[tuple[Any, ...]]:
        releasable = {(path, asset): units for path, asset, units in asked.releasable}
        last = len(asked.moves) - 1
        return [
            self._row(asked, move, releasable.get((move.source, move.asset)), place < last)
            for place, move in enumerate(asked.moves)
        ]

    def _row(self, asked: Asked, move: Move, releasable: int | None, is_linked: bool) -> tuple[Any, ...]:
        gate = self.rules.gates.get(move.gate)
        if move.gate not in self._gates or gate is None:
            _refuse_other_rules(self.rules, move.gate)
        source, target = self._place(move.source), self._place(move.target)
        asset = self._assets.get(move.asset, NONE)
        start, end = self._found[source], self._found[target]
        is_found = gate is not None and start is not None and end is not None and asset != NONE
        windows, owed, signing = (NONE, NONE), _MISSING, 0
        if is_found and gate is not None and start is not None and end is not None:
            refuse_unsupported(gate)
            if self.rules.assets[move.asset].interest_ppm:
                raise ValueError(f"{move.asset} bears interest, which is counted at every move; ask the book")
            windows = self._windows_of(gate, limited_members(start, end), move.asset)
            owed = self._owed_of(gate, move)
            signing = self._signing(asked, gate, start, end)
        known = start is not None and end is not None and asset != NONE
        return (
            *_split(min(max(move.units, 0), LIMBS_MAX)),
            *_split(releasable or 0),
            asked.at,
            self._gates.get(move.gate, NONE),
            source,
            target,
            asset,
            self._account(source, move.asset) if known else NONE,
            self._account(target, move.asset) if known else NONE,
            *windows,
            owed,
            signing,
            asked.has_text,
            releasable is not None,
            is_linked,
        )

    def _signing(self, asked: Asked, gate: GateRule, source: Place, target: Place) -> int:
        if asked.signing is not None:
            return int(asked.signing)
        names = names_for(self.rules.keys, source, self.rules.members_bound(gate.name, source, target))
        missing = unmet(gate.needs, asked.signers, names)
        return int(Reason.NEEDS_NOT_MET) if missing else 0

    def _windows_of(self, gate: GateRule, members: tuple[str, ...], asset: str) -> tuple[int, int]:
        each, everybody = gate.each.get(asset), gate.all.get(asset)
        return (
            self._window((gate.name, EACH, members, asset), each) if each is not None else NONE,
            self._window((gate.name, ALL, (), asset), everybody) if everybody is not None else NONE,
        )

    def _owed_of(self, gate: GateRule, move: Move) -> tuple[int, ...]:
        keys = [(accrual, move.source, move.target, move.asset) for accrual in gate.accrual]
        return tuple(self._entitlement(key) for key in keys) + _MISSING[len(keys) :]

    # --- numbers

    def _place(self, path: str) -> int:
        number = self._places.get(path)
        if number is None:
            number = self._places[path] = len(self._places)
            place = self.rules.place(path)
            self._found.append(place)
            is_open = place is not None and not self._state.ledger.closed_member(place)
            rule = place.rule.index if place is not None else NONE
            is_frozen = f"compartment/{path}" in self._state.frozen()
            self._write("places", number, (rule, self._member(place), is_open, is_frozen))
        return number

    def _member(self, place: Place | None) -> int:
        if place is None or not place.members:
            return NONE
        return self._members.setdefault((place.rule.families[0], place.members[0]), len(self._members))

    def _account(self, place: int, asset: str) -> int:
        key = (place, self._assets[asset])
        number = self._accounts.get(key)
        if number is None:
            number = self._accounts[key] = len(self._accounts)
            found = self._found[place]
            if found is not None:
                debits, credits = self._state.totals(found.path, asset)
                is_debt = self.rules.assets[asset].debt_in is not None
                flags = (found.rule.two_sided or is_debt, found.rule.nets_to_zero)
                self._write("accounts", number, (*_split(debits), *_split(credits), 0, 0, *flags))
        return number

    def _window(self, key: tuple[str, str, tuple[str, ...], str], cap: Cap) -> int:
        number = self._windows.get(key)
        if number is None:
            number = self._windows[key] = len(self._windows)
            start, used = self._state.ledger.tables.windows.get(key, (NONE, 0))
            row = (*_split(cap.units), *_split(used), cap.window.length_ns, start)
            self._write("windows", number, row)
        return number

    def _entitlement(self, key: Owed) -> int:
        number = self._owed.get(key)
        if number is None:
            number = self._owed[key] = len(self._owed)
            self._write("owed", number, (*_split(self._state.owed(*key)), 1))
        return number

    def _write(self, table: str, number: int, row: tuple[Any, ...]) -> None:
        """Write a row of one of the tables, doubling the table when it is full."""
        records = getattr(self._arrays, table)
        if number >= len(records):
            records = doubled(records)
            self._arrays = self._arrays._replace(**{table: records})
        records[number] = row


def doubled(records: Records) -> Records:
    """Return a table with as much room again (`np.concatenate` would drop the padding of its dtype)."""
    larger = np.zeros(2 * len(records), dtype=records.dtype)
    larger[: len(records)] = records
    return larger


def refuse_unsupported(gate: GateRule) -> None:
    """Raise ValueError where the kernel does not judge a gate."""
    caps = (*gate.each.values(), *gate.all.values())
    if any(cap.window.kind != "fixed" for cap in caps):
        raise ValueError(f"{gate.name} has a window that is not fixed; ask the book")
    if "shortfall" in gate.accrual or len(gate.accrual) > ACCRUALS_MAX:
        raise ValueError(f"{gate.name} moves what a waterfall decides; ask the book")
    if gate.delay_ns:
        raise ValueError(f"{gate.name} makes each move wait; ask the book")
    if gate.reverses == "required":
        raise ValueError(f"{gate.name} only reverses; ask the book")
    if gate.valued_in is not None:
        raise ValueError(f"{gate.name} values amounts at prices; ask the book")
    if gate.draws or "interest" in gate.accrual:
        raise ValueError(f"{gate.name} moves what debts and time make owed; ask the book")


def _refuse_other_rules(rules: Rules, name: str) -> None:
    if name in rules.exchanges or any(name == gate for gate, _, _ in rules.ways):
        raise ValueError(f"{name} is no gate of one row; ask the book")


# --- arrays ------------------------------------------------------------------------------------


def _arrays_of(rules: Rules, state: BookState) -> Arrays:
    """Write what does not grow, the rules, and leave room for what does."""
    gates, assets, frozen = list(rules.gates.values()), list(rules.assets), state.frozen()
    way_of, accepts = _ways_of(rules, assets)
    caps = [[gate.each_transfer.get(asset) for asset in assets] for gate in gates]
    return Arrays(
        accounts=np.zeros(1, dtype=ACCOUNT),
        places=np.zeros(1, dtype=PLACE),
        gates=np.array([_gate_row(gate, f"gate/{gate.name}" in frozen) for gate in gates], dtype=GATE),
        windows=np.zeros(1, dtype=WINDOW),
        owed=np.zeros(1, dtype=UNITS),
        each_transfer=np.array(
            [[(*_split(cap or 0), cap is not None) for cap in row] for row in caps], dtype=UNITS
        ).reshape(len(gates), len(assets)),
        asset_frozen=np.array([f"asset/{asset}" in frozen for asset in assets], dtype=np.uint8),
        way_of=way_of,
        accepts=accepts,
    )


def _gate_row(gate: GateRule, is_frozen: bool) -> tuple[bool, ...]:
    words = (gate.unenforced, gate.asks_for_text, gate.conditions, gate.accrual)
    return (is_frozen, *(bool(word) for word in words))


def _ways_of(rules: Rules, assets: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Number the ways of all gates; ValueError where one compares more than one member at each end."""
    size = len(rules.compartments)
    way_of = np.full((len(rules.gates), size, size), NONE, dtype=np.int32)
    accepts: list[list[bool]] = []
    numbers = {name: number for number, name in enumerate(rules.gates)}
    for (name, start, end), leading in rules.ways.items():
        if name not in numbers:
            continue
        if len(leading) > 1 or not leading[0].is_plain:
            raise ValueError(f"{name} has ways that compare several members; ask the book")
        way_of[numbers[name], start, end] = len(accepts)
        accepts.append([leading[0].accepts(asset) for asset in assets])
    return way_of, np.array(accepts, dtype=np.uint8).reshape(len(accepts), len(assets))


def _split(number: int) -> tuple[int, int]:
    return number >> LIMB_BITS, number & LIMB_MAX


def _join(record: Any, prefix: str = "") -> int:
    return int(record[f"{prefix}high"]) << LIMB_BITS | int(record[f"{prefix}low"])
