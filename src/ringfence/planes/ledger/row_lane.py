"""The row lane of a book: batches of transfers judged by the compiled rule, on the same book as any request.

Both lanes keep what they change where they look first: rows in arrays, requests in tables. Before a lane is
used, it takes over what the other one changed since (`take_over`, `give_back`), so that together they are one
book: any order of batches and requests ends as the same moves made as ordinary requests would, balance for
balance and window for window. A property test holds that.

Margin sees requests one by one. Gates that ask it, and compartments whose limits it watches, stay with the
book's ordinary lane, by name; so does whatever `batch` leaves to the readable rule.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import UsageError, ViolationError
from ringfence.kernel.instant import Instant
from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX
from ringfence.planes.ledger.batch import NONE, Asked, BatchBook, doubled
from ringfence.planes.ledger.batch_kernel import ACCRUALS_MAX, ROW, UNITS, Codes, Records
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import Move
from ringfence.planes.ledger.records import BOOK_SCOPE
from ringfence.planes.ledger.row_kernel import ID, TOTALS, TURNED, find_slot, judge_requests, move_ids
from ringfence.planes.ledger.rows import Route, Routes, RowBatch, check_form
from ringfence.planes.ledger.signing import Verifier, signers_of
from ringfence.planes.ledger.tables import Totals

_IDS_MIN = 1 << 12
_WORD = np.dtype(np.uint64)
_WORDS = ROW.itemsize // _WORD.itemsize

_Marks = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
"""What rows changed: accounts, windows, entitlements, each 1 at its number."""


class RowLane(BatchBook):
    """The rows' view of one `BookState`, which it changes."""

    def __init__(self, state: BookState, verify: Verifier) -> None:
        """Number what the book holds; UsageError where its policy has ways that only requests can take."""
        try:
            super().__init__(state)
        except ValueError as error:
            raise UsageError(f"this book takes no rows: {error}") from None
        self.routes = Routes()
        self._tables = state.ledger.tables
        self._verify = verify
        self._templates: Records = np.zeros(1, dtype=ROW)
        self._signing_of: dict[frozenset[str], NDArray[np.uint16]] = {}
        self._reversible: set[int] = set()
        self._ids: Records = np.zeros(_IDS_MIN, dtype=ID)
        self._id_count = 0
        self._touched: _Marks = (_no_marks(), _no_marks(), _no_marks())
        self._is_ahead = False
        self._tables.changed = [(self._tables.ids, identifier) for identifier in self._tables.ids]
        self._tables.row_answer = self._answer

    # --- judging

    def admit(self, batch: RowBatch) -> None:
        """Number the new routes of a batch; UsageError where the book does not take the batch at all."""
        check_form(batch, self.routes)
        fresh = self.routes.fresh(batch.known, batch.routes)
        templates = [self._template(route) for route in fresh]
        for route, template in zip(fresh, templates, strict=True):
            self._keep_template(len(self.routes), route, template)
            self.routes.extend([route])

    def judge_batch(self, batch: RowBatch, at: Instant, after: Records | None = None) -> Codes:
        """Judge and book a batch that was admitted; one code for each transfer: 0, a reason, `REPEATED`.

        after: room for the totals at both ends of each transfer (dtype `TOTALS`, zero where refused).
        """
        self.take_over()
        self._state.at, self._is_ahead = at, True
        digest = batch.signing_digest()
        count = len(batch.transfers)
        rows = self._rows_of(batch, digest, at)
        transfers = batch.transfers if batch.transfers.flags.writeable else batch.transfers.copy()
        codes = np.zeros(count, dtype=np.uint16)
        self._make_room(count)
        self._id_count += judge_requests(
            self._arrays,
            rows,
            np.ascontiguousarray(transfers).view(_WORD).reshape(count, _WORDS),
            self._ids,
            batch.terms(),
            self._against_all(batch, at),
            codes,
            np.zeros((count, ACCRUALS_MAX), dtype=UNITS),
            np.zeros((count, 2), dtype=TURNED),
            self._touched,
            np.zeros(0, dtype=TOTALS) if after is None else after,
        )
        self._note_reversible(batch, codes)
        tables = self._tables
        tables.rows = tagged_digest(
            "ringfence rows judged", tables.rows, digest, codes.astype("<u2").tobytes()
        )
        return codes

    def _rows_of(self, batch: RowBatch, digest: bytes, at: Instant) -> Records:
        transfers = batch.transfers
        route = transfers["route"]
        # As plain words: NumPy copies records field by field, ten times slower.
        words = self._templates.view(_WORD).reshape(-1, _WORDS)
        rows: Records = words.take(route, axis=0).view(ROW)[:, 0]
        rows["units_high"] = transfers["units_high"]
        rows["units_low"] = transfers["units_low"]
        rows["at"] = at
        rows["signing"] = self._signing_by_route(batch, digest)[route]
        rows["has_text"] = bool(batch.reason.strip())
        rows["is_linked"] = transfers["is_linked"]
        return rows

    def _against_all(self, batch: RowBatch, at: Instant) -> int:
        """Return the first reason against every request of a batch; 0 where there is none."""
        if BOOK_SCOPE in self._tables.frozen:
            return int(Reason.BOOK_IS_STOPPED)
        if batch.policy != self.rules.digest:
            return int(Reason.POLICY_DIGEST_DIFFERS)
        return int(Reason.REQUEST_EXPIRED) if batch.expires < at else 0

    def _signing_by_route(self, batch: RowBatch, digest: bytes) -> NDArray[np.uint16]:
        """Say for each route for which reason the signatures of a batch do not open its gate, or 0."""
        tables = self._tables
        found = signers_of(batch.signatures, digest, tables.keys, tables.revoked, self._verify)
        if isinstance(found, Refused):
            return np.full(len(self.routes), int(found.reason), dtype=np.uint16)
        known = self._signing_of.get(found, np.zeros(0, dtype=np.uint16))
        if len(known) < len(self.routes):
            fresh = (
                self._needs(self.routes[number], found) for number in range(len(known), len(self.routes))
            )
            known = np.concatenate([known, np.fromiter(fresh, dtype=np.uint16)])
            self._signing_of[found] = known
        return known

    def _needs(self, route: Route, signers: frozenset[str]) -> int:
        gate, rules = self.rules.gates.get(route.gate), self.rules
        source, target = rules.place(route.source), rules.place(route.target)
        if gate is None or source is None or target is None:
            return 0
        names = names_for(rules.keys, source, rules.members_bound(route.gate, source, target))
        missing = unmet(gate.needs, signers, names)
        return int(Reason.NEEDS_NOT_MET) if missing else 0

    def _note_reversible(self, batch: RowBatch, codes: Codes) -> None:
        """Remember moves that a correction may reverse; only some gates lead between such ends."""
        if not self._reversible:
            return
        tables, transfers = self._tables, batch.transfers
        is_one = np.isin(transfers["route"], list(self._reversible)) & (codes == 0)
        names = ["id_high", "id_low", "units_high", "units_low", "route"]
        for id_high, id_low, high, low, number in transfers[is_one][names].tolist():
            route = self.routes[number]
            key = (id_high << LIMB_BITS | id_low, route.source, route.target, route.asset)
            tables.reversible[key] = tables.reversible.get(key, 0) + (high << LIMB_BITS | low)

    # --- routes

    def _template(self, route: Route) -> Any:
        """Write the row of a route, but for its units and signatures."""
        gate = self.rules.gates.get(route.gate)
        ends = [self.rules.place(path) for path in (route.source, route.target)]
        if gate is not None and gate.conditions:
            raise UsageError(f"{route.gate} asks margin before each move; submit requests")
        if gate is not None and gate.delay_ns:
            raise UsageError(f"{route.gate} makes each move wait; submit requests")
        terms = [self.rules.policy.compartments[end.rule.pattern] for end in ends if end is not None]
        if any(term.limits is not None for term in terms):
            raise UsageError(
                f"margin watches the limits of {route.source} or {route.target}; submit requests"
            )
        move = Move(route.gate, route.source, route.target, route.asset, 1)
        try:
            return self.rows([Asked((move,), Instant(0))])[0]
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _keep_template(self, number: int, route: Route, template: Any) -> None:
        if number >= len(self._templates):
            self._templates = doubled(self._templates)
        self._templates[number] = template
        source, target = self.rules.place(route.source), self.rules.place(route.target)
        if source is None or target is None:
            return
        if (source.rule.index, target.rule.index) in self.rules.reversible:
            self._reversible.add(number)

    # --- ids

    def _answer(self, identifier: int) -> tuple[bytes, int] | None:
        """Return what became of a request made by rows, as the book keeps it for ordinary ones."""
        one = self._ids[self._slot(identifier)]
        return (b"", int(one["code"])) if one["is_set"] and one["content"] else None

    def _slot(self, identifier: int) -> int:
        high, low = np.uint64(identifier >> LIMB_BITS & LIMB_MAX), np.uint64(identifier & LIMB_MAX)
        return int(find_slot(self._ids, high, low))

    def _make_room(self, count: int) -> None:
        """Keep the id table at most half full, and the marks as long as the tables they mark."""
        size = len(self._ids)
        while (self._id_count + count) * 2 > size:
            size *= 2
        if size > len(self._ids):
            larger = np.zeros(size, dtype=ID)
            move_ids(self._ids, larger)
            self._ids = larger
        arrays, (accounts, windows, owed) = self._arrays, self._touched
        self._touched = (
            _lengthened(accounts, len(arrays.accounts)),
            _lengthened(windows, len(arrays.windows)),
            _lengthened(owed, len(arrays.owed)),
        )

    def _keep_id(self, identifier: int) -> None:
        code = self._tables.ids[identifier][1]
        self._make_room(1)
        slot = self._slot(identifier)
        if not self._ids[slot]["is_set"]:
            self._id_count += 1
            self._ids[slot] = (identifier >> LIMB_BITS, identifier & LIMB_MAX, 0, code, 1)

    # --- two lanes, one book

    def take_over(self) -> None:
        """Bring the arrays up to what requests changed in the tables."""
        tables = self._tables
        changed, tables.changed = tables.changed or [], []
        for table, key in changed:
            if table is tables.balances:
                self._take_balance(*key)
            elif table is tables.windows and key in self._windows:
                start, used = tables.windows[key]
                window = self._arrays.windows[self._windows[key]]
                window["used_high"], window["used_low"] = used >> LIMB_BITS, used & LIMB_MAX
                window["number"] = start
            elif table is tables.owed and key in self._owed:
                owed, left = self._arrays.owed[self._owed[key]], tables.owed.get(key, 0)
                owed["high"], owed["low"] = left >> LIMB_BITS, left & LIMB_MAX
            elif table is tables.ids:
                self._keep_id(key)
        if any(table is tables.frozen or table is tables.members for table, _ in changed):
            self._take_scopes()

    def _take_balance(self, path: str, asset: str) -> None:
        number = self._accounts.get((self._places.get(path, NONE), self._assets.get(asset, NONE)))
        if number is not None:
            account = self._arrays.accounts[number]
            debits, credits = self._tables.balances[path, asset]
            account["debits_high"], account["debits_low"] = debits >> LIMB_BITS, debits & LIMB_MAX
            account["credits_high"], account["credits_low"] = credits >> LIMB_BITS, credits & LIMB_MAX

    def _take_scopes(self) -> None:
        """Read again who is open and what is frozen."""
        frozen, arrays, ledger = self._tables.frozen, self._arrays, self._state.ledger
        for path, number in self._places.items():
            place = self._found[number]
            arrays.places[number]["is_open"] = place is not None and not ledger.closed_member(place)
            arrays.places[number]["is_frozen"] = f"compartment/{path}" in frozen
        for gate, number in self._gates.items():
            arrays.gates[number]["is_frozen"] = f"gate/{gate}" in frozen
        for asset, number in self._assets.items():
            arrays.asset_frozen[number] = f"asset/{asset}" in frozen

    def give_back(self) -> None:
        """Bring the tables up to what rows changed; ViolationError where units do not balance."""
        if not self._is_ahead:
            return
        self._is_ahead = False
        self._give_accounts()
        self._give_windows()
        self._give_owed()
        for marks in self._touched:
            marks[:] = 0

    def _give_accounts(self) -> None:
        tables, assets = self._tables, list(self._assets)
        paths = list(self._places)
        names = list(self._accounts)
        flows: dict[str, tuple[int, int]] = {}
        for number, debits, credits in _totals(self._arrays.accounts, self._touched[0]):
            place, asset_number = names[number]
            key = (paths[place], assets[asset_number])
            given, taken = tables.balances.get(key, (0, 0))
            flow = flows.get(key[1], (0, 0))
            flows[key[1]] = (flow[0] + debits - given, flow[1] + credits - taken)
            tables.balances[key] = (debits, credits)
        for asset, (debited, credited) in flows.items():
            if debited != credited:
                raise ViolationError(f"{asset}: rows debited {debited} and credited {credited} units")
            total: Totals = tables.totals.get(asset, (0, 0))
            tables.totals[asset] = (total[0] + debited, total[1] + credited)

    def _give_windows(self) -> None:
        names = list(self._windows)
        for number in np.flatnonzero(self._touched[1]).tolist():
            high, low, start = self._arrays.windows[number][["used_high", "used_low", "number"]].tolist()
            self._tables.windows[names[number]] = (start, high << LIMB_BITS | low)

    def _give_owed(self) -> None:
        names = list(self._owed)
        for number in np.flatnonzero(self._touched[2]).tolist():
            high, low, _ = self._arrays.owed[number].tolist()
            left = high << LIMB_BITS | low
            if left:
                self._tables.owed[names[number]] = left
            else:
                self._tables.owed.pop(names[number], None)


def _totals(accounts: Records, marks: NDArray[np.uint8]) -> list[tuple[int, int, int]]:
    """Read the marked accounts as (number, debits, credits)."""
    numbers = np.flatnonzero(marks)
    names = ["debits_high", "debits_low", "credits_high", "credits_low"]
    limbs = accounts[numbers][names].tolist()
    return [
        (number, high << LIMB_BITS | low, other_high << LIMB_BITS | other_low)
        for number, (high, low, other_high, other_low) in zip(numbers.tolist(), limbs, strict=True)
    ]


def _no_marks() -> NDArray[np.uint8]:
    return np.zeros(1, dtype=np.uint8)


def _lengthened(marks: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    if len(marks) >= length:
        return marks
    return np.concatenate([marks, np.zeros(length - len(marks), dtype=np.uint8)])
