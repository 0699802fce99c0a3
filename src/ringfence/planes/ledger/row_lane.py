"""The row lane of a book: batches of transfers judged by the compiled rule, on the same book as any request.

Both lanes keep what they change where they look first: rows in arrays, requests in tables. Before a lane is
used, it takes over what the other one changed since (`take_over`, `give_back`), so that together they are one
book: any order of batches and requests ends as the same moves made as ordinary requests would, balance for
balance and window for window. A property test holds that.

Margin sees requests one by one. A row through a gate that asks it is refused for `Reason.ONLY_BY_REQUEST`,
and so is whatever else `batch` leaves to the readable rule.
"""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.errors import ViolationError
from ringfence.kernel.instant import Instant
from ringfence.kernel.limbs import LIMB_BITS
from ringfence.planes.ledger import holds
from ringfence.planes.ledger.batch import BatchBook, split
from ringfence.planes.ledger.batch_kernel import Codes, Records, Words, room_to_undo
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.hold_kernel import (
    ENDED,
    FOREIGN,
    HELD,
    NO_ROUTE,
    POSTED,
    VOIDED,
    enter,
    find_hold,
    no_holds,
    not_known,
    with_room,
)
from ringfence.planes.ledger.operations import Entry, Move
from ringfence.planes.ledger.row_form import check_form
from ringfence.planes.ledger.row_id_table import IdTable
from ringfence.planes.ledger.row_kernel import (
    HELD_CHANGED,
    TOTALS_CHANGED,
    TOTALS_WORDS,
    Terms,
    Touched,
    judge_requests,
    read_transfers,
)
from ringfence.planes.ledger.rows import Route, Routes, RowBatch, Transfers, are_booked, words_of
from ringfence.planes.ledger.seals import VerifiedSeals
from ringfence.planes.ledger.signing import Verifier, VerifyEach, one_by_one, signers_of
from ringfence.planes.ledger.stopping import is_book_stopped
from ringfence.planes.ledger.tables import Hold

_WORD = np.dtype(np.uint64)
_ENDS: dict[int, holds.End] = {POSTED: "posted", VOIDED: "voided"}
_NOT_ASKED = np.uint16((1 << 16) - 1)
"""Stands for the reasons against a route that nobody has asked for yet."""


class RowLane(BatchBook):
    """The rows' view of one `BookState`, which it changes."""

    def __init__(
        self,
        state: BookState,
        verify: Verifier,
        before: "RowLane | None" = None,
        verify_each: VerifyEach | None = None,
    ) -> None:
        """Number what the book holds; before: its lane under an earlier policy, whose ids stay known.

        verify_each: answers for the seals of a batch together (None: in turn).
        """
        super().__init__(state)
        self.routes = Routes()
        self._tables = state.ledger.tables
        self._verify = verify
        self._verify_each = verify_each or one_by_one(verify)
        self._signing_of: dict[frozenset[str], Codes] = {}
        self._signing_alone: dict[tuple[frozenset[str], int], int] = {}
        self._reversible: list[int] = []
        self._ids: IdTable = IdTable() if before is None else before._ids
        self._touched = _nothing_touched()
        self._is_ahead = False
        self._left: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._tables.changed = []
        self._ids.keep_all(self._tables.ids)
        self._tables.row_answer = self._answer

    # --- judging

    def admit(self, batch: RowBatch) -> None:
        """Number the new routes of a batch; UsageError where the book does not take the batch at all."""
        check_form(batch, self.routes)
        fresh = self.routes.fresh(batch.known, batch.routes)
        for route in fresh:
            self.add_route(route)
            self._note_reversible_route(len(self.routes))
            self.routes.extend([route])

    def _find_routes(self, numbers: NDArray[np.uint32]) -> None:
        """Find out about the routes of a batch that were left when the lane was woken."""
        if not self._left.any():
            return
        numbers = numbers[numbers < len(self._left)]
        for number in np.unique(numbers[self._left[numbers]]).tolist():
            self.find_route(number, self.routes[number])
            self._note_reversible_route(number)
            self._left[number] = False

    def judge_batch(self, batch: RowBatch, at: Instant, after: Records | None = None) -> Codes:
        """Judge and book a batch that was admitted; one code for each transfer: 0, a reason, `REPEATED`.

        after: room for the totals at both ends of each transfer (dtype `TOTALS`, zero where refused).
        """
        self._pass_time(at)
        self.take_over()
        self._is_ahead = True
        self._find_routes(batch.transfers["route"])
        digest = batch.signing_digest()
        count, words = len(batch.transfers), words_of(batch.transfers)
        self._ids.make_room(count)
        self._lengthen_marks()
        self.make_room_to_roll(batch.transfers["route"])
        keys = self._state.ledger.known_keys(self._state.at)
        together = signers_of(batch.signatures, digest, keys, self._verify)
        codes, signing = np.zeros(count, np.uint16), np.empty(count, np.uint16)
        content, homes = np.empty(count, np.uint64), np.empty(count, np.int64)
        by_route = self._signing_by_route(batch, together)
        longest, held, ended = read_transfers(words, self._ids.words, by_route, signing, content, homes)
        if held or ended:
            self._make_room_to_hold(batch.transfers, words, held, ended)
        self._ids.count += judge_requests(
            self._arrays,
            words,
            self._ids.words,
            self._terms(batch, at, together, signing),
            codes,
            room_to_undo(longest),
            self._touched,
            _words_of_totals(after),
            content,
            homes,
        )
        self._note_reversible(batch, codes)
        tables = self._tables
        tables.rows = tagged_digest(
            "ringfence rows judged", tables.rows, digest, codes.astype("<u2").tobytes()
        )
        return codes

    def _pass_time(self, at: Instant) -> None:
        """Let it be `at`; where that ends a hold, it is the tables that end it, and they must know all."""
        expiring, held = self._state.ledger.expiring, self._tables.holds
        while expiring and expiring[0][1] not in held:
            heappop(expiring)
        in_tables = expiring[0][0] if expiring else at
        if self._is_ahead and min(in_tables, int(self._arrays.holds.counts[2])) < at:
            self.give_back()
        self._state.pass_time(at)

    def _terms(
        self, batch: RowBatch, at: Instant, together: frozenset[str] | Refused, signing: Codes
    ) -> Terms:
        """Write down what is known of each request before its moves are judged.

        together: who signed the batch; signing: why they do not open the gate of each transfer, or 0, and
        becomes the same of everybody who signed its request.
        """
        count, whole = len(batch.transfers), self._against_all(batch)
        is_late = batch.expires < at
        terms = Terms(
            content=np.full(count, batch.terms(), np.uint64),
            whole=np.full(count, whole or (int(Reason.REQUEST_EXPIRED) if is_late else 0), np.uint16),
            signing=signing,
            has_text=bool(batch.reason.strip()),
            at=at,
        )
        if len(batch.seals):
            keys = self._state.ledger.known_keys(self._state.at)
            seals = VerifiedSeals(batch, self.routes, keys, self._verify, self._verify_each)
            self._judge_terms(batch, seals, at, whole, terms)
            self._judge_seals(batch, seals, together, signing)
        return terms

    def _judge_terms(
        self, batch: RowBatch, seals: VerifiedSeals, at: Instant, whole: int, terms: Terms
    ) -> None:
        """Write down until when each request with a seal is good, and what is said of it."""
        is_late = seals.expires < at
        terms.whole[seals.starts] = whole or is_late * np.uint16(Reason.REQUEST_EXPIRED)
        expires, places = np.unique(seals.expires, return_inverse=True)
        contents = [batch.terms(expires=one) for one in expires.tolist()]
        terms.content[seals.starts] = np.array(contents, np.uint64)[places]

    def _judge_seals(
        self, batch: RowBatch, seals: VerifiedSeals, together: frozenset[str] | Refused, signing: Codes
    ) -> None:
        """Say for which reason the signatures of each request and of its batch do not open its gates."""
        routes = batch.transfers["route"]
        if not isinstance(together, Refused):
            starts, keys = seals.starts[seals.is_plain], seals.keys[seals.is_plain]
            pairs, places = np.unique(keys * len(self.routes) + routes[starts], return_inverse=True)
            found = (divmod(pair, len(self.routes)) for pair in pairs.tolist())
            reasons = [self._needs_alone(seals.alone[key] | together, route) for key, route in found]
            signing[starts] = np.array(reasons, np.uint16)[places]
        for one in seals.others():
            refused = [found.reason for found in (one.signers, together) if isinstance(found, Refused)]
            if isinstance(one.signers, Refused) or isinstance(together, Refused):
                signing[one.start : one.end + 1] = int(min(refused))
                continue
            for place in range(one.start, one.end + 1):
                signing[place] = self._needs_alone(one.signers | together, int(routes[place]))

    def _needs_alone(self, signers: frozenset[str], route: int) -> int:
        """Return the reason for which these keys do not open the gate of a route, or 0; found once."""
        reason = self._signing_alone.get((signers, route))
        if reason is None:
            reason = self._signing_alone[signers, route] = self.needs_of(route, signers)
        return reason

    def _against_all(self, batch: RowBatch) -> int:
        """Return the first reason against every request of a batch; 0 where there is none."""
        if is_book_stopped(self._tables.frozen):
            return int(Reason.BOOK_IS_STOPPED)
        return 0 if batch.policy == self.rules.digest else int(Reason.POLICY_DIGEST_DIFFERS)

    def _signing_by_route(self, batch: RowBatch, found: frozenset[str] | Refused) -> Codes:
        """Say for each route for which reason the signatures of a batch do not open its gate, or 0."""
        if isinstance(found, Refused):
            return np.full(len(self.routes), int(found.reason), dtype=np.uint16)
        known = self._signing_of.get(found, np.full(len(self._left), _NOT_ASKED, np.uint16))
        if len(known) < len(self.routes):
            fresh = (self.needs_of(number, found) for number in range(len(known), len(self.routes)))
            known = np.concatenate([known, np.fromiter(fresh, dtype=np.uint16)])
            self._signing_of[found] = known
        if len(self._left):
            numbers = batch.transfers["route"]
            for number in np.unique(numbers[known[numbers] == _NOT_ASKED]).tolist():
                known[number] = self.needs_of(number, found)
        return known

    def _note_reversible_route(self, number: int) -> None:
        """Remember a route whose moves a correction may reverse; only some gates lead between such ends."""
        ends = self.ends_of(number)
        if ends is not None and ends in self.rules.reversible:
            self._reversible.append(number)

    def _note_reversible(self, batch: RowBatch, codes: Codes) -> None:
        """Remember moves that a correction may reverse."""
        if not self._reversible:
            return
        tables, transfers = self._tables, batch.transfers
        is_one = np.isin(transfers["route"], self._reversible) & are_booked(transfers, codes)
        names = ["id_high", "id_low", "units_high", "units_low", "route"]
        for id_high, id_low, high, low, number in transfers[is_one][names].tolist():
            route = self.routes[number]
            key = (id_high << LIMB_BITS | id_low, route.source, route.target, route.asset)
            tables.reversible[key] = tables.reversible.get(key, 0) + (high << LIMB_BITS | low)

    # --- ids

    def _answer(self, identifier: int) -> tuple[bytes, int] | None:
        """Return what became of a request made by rows, as the book keeps it for ordinary ones."""
        code = self._ids.code(identifier)
        return None if code is None else (b"", code)

    def _lengthen_marks(self) -> None:
        """Keep the marks as long as the tables they mark."""
        arrays = self._arrays
        lengths = (len(arrays.accounts), len(arrays.windows), len(arrays.owed))
        self._touched = _lengthened(self._touched, lengths)

    # --- holds

    def _make_room_to_hold(self, transfers: Transfers, words: Words, held: int, ended: int) -> None:
        """Ask the tables for the holds that a batch names, and leave room for those that it makes.

        held, ended: how many of its transfers hold, and how many end a hold.
        """
        places = np.empty(ended, np.int64)
        count = not_known(self._arrays.holds, words, places) if ended else 0
        if count:
            named = transfers[["hold_high", "hold_low"]][places[:count]].tolist()
            for high, low in dict.fromkeys(named):
                self._ask_for_hold(high, low)
        self._leave_room_to_hold(held, held)

    def _leave_room_to_hold(self, requests: int, moves: int) -> None:
        table = with_room(self._arrays.holds, requests, moves, len(self._arrays.accounts))
        self._arrays = self._arrays._replace(holds=table)

    def _ask_for_hold(self, high: int, low: int) -> None:
        """Take a hold over from the tables, if they know it."""
        identifier = high << LIMB_BITS | low
        hold = self._tables.holds.get(identifier)
        if hold is None and identifier not in self._tables.ended:
            return
        moves = hold.moves if hold is not None else ()
        routes = [self.routes.number(Route(one.gate, one.source, one.target, one.asset)) for one in moves]
        self._find_routes(np.array([number for number in routes if number is not None], np.uint32))
        self._leave_room_to_hold(1, len(moves))
        table = self._arrays.holds
        number = int(find_hold(table, np.uint64(high), np.uint64(low)))
        is_new = number < 0
        if is_new:
            number = int(table.counts[0])
            table.counts[0] += 1
        first = int(table.counts[1])
        for place, (move, route) in enumerate(zip(moves, routes, strict=True), first):
            table.moves[place] = (NO_ROUTE if route is None else route, *split(move.units))
        table.counts[1] += len(moves)
        is_partly_known = None in routes
        state = ENDED if hold is None else HELD
        if hold is not None and not is_partly_known and not self._is_held_alike(hold, routes):
            state = FOREIGN
        until = hold.until if hold is not None else 0
        table.records[number] = (high, low, until, first, len(moves), state, 0, is_partly_known)
        if is_new:
            enter(table, number)

    def _is_held_alike(self, hold: Hold, routes: Sequence[int | None]) -> bool:
        """Say whether rows would hold the same for these moves, as the policy is now."""
        if not all(number is not None and self.is_plain(number) for number in routes):
            return False
        return hold.reserved == _reserved_by(self._state, hold.moves)

    def _give_holds(self) -> None:
        """Bring the holds of the tables up to what rows made and ended; rows ask again for what they name."""
        table, tables = self._arrays.holds, self._tables
        if not table.counts[0]:
            return
        for high, low, until, first, count, state, is_new, _ in table.records[: table.counts[0]].tolist():
            identifier = high << LIMB_BITS | low
            if state == HELD and is_new:
                moves = tuple(self._held_move(place) for place in range(first, first + count))
                tables.holds[identifier] = Hold(until, moves, _reserved_by(self._state, moves))
                heappush(self._state.ledger.expiring, (until, identifier))
            elif state in _ENDS:
                tables.holds.pop(identifier, None)
                tables.ended[identifier] = _ENDS[state]
        self._arrays = self._arrays._replace(holds=no_holds())

    def _held_move(self, place: int) -> Move:
        number, high, low = self._arrays.holds.moves[place].tolist()
        route = self.routes[number]
        return Move(route.gate, route.source, route.target, route.asset, high << LIMB_BITS | low)

    # --- snapshots

    def rest(self) -> dict[str, bytes]:
        """Write out what rows keep beside the tables, if there were any: routes by number, and their ids."""
        ids = self._ids.written()
        parts = {"row ids": ids} if ids else {}
        return parts | ({"routes": msgspec.json.encode(self.routes.listed())} if len(self.routes) else {})

    def wake(self, parts: Mapping[str, bytes]) -> None:
        """Take what was written out, in a lane that has judged nothing yet."""
        self.routes.extend(msgspec.json.decode(parts.get("routes", b"[]"), type=list[Route]))
        self.leave_routes(len(self.routes))
        self._left = np.ones(len(self.routes), np.bool_)
        self._ids.take(parts.get("row ids", b""))

    # --- two lanes, one book

    def take_over(self) -> None:
        """Bring the arrays up to what requests changed in the tables."""
        tables = self._tables
        changed, tables.changed = tables.changed or [], []
        for table, key in changed:
            if table is tables.balances:
                self._take_balance(*key)
            elif table is tables.held:
                self._take_held(*key)
            elif table is tables.windows and key in self._windows:
                self.take_counter(self._windows[key], tables.windows.get(key, ()))
            elif table is tables.owed and key in self._owed:
                self._arrays.owed[self._owed[key]] = split(tables.owed.get(key, 0))
            elif table is tables.ids:
                self._ids.keep(key, tables.ids[key][1])
        if any(table is tables.frozen or table is tables.members for table, _ in changed):
            self.judge_routes()

    def _take_balance(self, path: str, asset: str) -> None:
        number = self._accounts.get(path, asset)
        if number is not None:
            debits, credits = self._tables.balances[path, asset]
            self._arrays.accounts[number, :4] = (*split(debits), *split(credits))

    def _take_held(self, path: str, asset: str) -> None:
        number = self._accounts.get(path, asset)
        if number is not None:
            self._arrays.accounts[number, 4:] = split(self._tables.held.get((path, asset), 0))

    def give_back(self) -> None:
        """Bring the tables up to what rows changed; ViolationError where units do not balance."""
        if not self._is_ahead:
            return
        self._is_ahead = False
        touched, counts = self._touched, self._touched.counts.tolist()
        changed = touched.accounts[: counts[0]]
        marks = touched.account_marks[changed]
        self._give_accounts(changed[marks & TOTALS_CHANGED != 0])
        self._give_held(changed[marks & HELD_CHANGED != 0])
        self._give_holds()
        self._give_windows(touched.windows[: counts[1]])
        self._give_owed(touched.owed[: counts[2]])
        touched.account_marks[touched.accounts[: counts[0]]] = 0
        touched.window_marks[touched.windows[: counts[1]]] = 0
        touched.owed_marks[touched.owed[: counts[2]]] = 0
        touched.counts[:] = 0

    def _give_accounts(self, numbers: NDArray[np.int32]) -> None:
        tables = self._tables
        flows: dict[str, tuple[int, int]] = {}
        limbs = self._arrays.accounts[numbers, :4].tolist()
        for number, (high, low, other_high, other_low) in zip(numbers.tolist(), limbs, strict=True):
            key = self._accounts.name(number)
            debits, credits = high << LIMB_BITS | low, other_high << LIMB_BITS | other_low
            given, taken = tables.balances.put_at_rest(key, (debits, credits)) or (0, 0)
            flow = flows.get(key[1], (0, 0))
            flows[key[1]] = (flow[0] + debits - given, flow[1] + credits - taken)
        for asset, (debited, credited) in flows.items():
            if debited != credited:
                raise ViolationError(f"{asset}: rows debited {debited} and credited {credited} units")
            total = tables.totals.get(asset, (0, 0))
            tables.totals[asset] = (total[0] + debited, total[1] + credited)

    def _give_held(self, numbers: NDArray[np.int32]) -> None:
        limbs = self._arrays.accounts[numbers, 4:].tolist()
        for number, (high, low) in zip(numbers.tolist(), limbs, strict=True):
            key = self._accounts.name(number)
            if high or low:
                self._tables.held[key] = high << LIMB_BITS | low
            else:
                self._tables.held.pop(key, None)

    def _give_windows(self, numbers: NDArray[np.int32]) -> None:
        names = list(self._windows)
        for number in numbers.tolist():
            self._tables.windows.put_at_rest(names[number], self.counter(number))

    def _give_owed(self, numbers: NDArray[np.int32]) -> None:
        names = list(self._owed)
        for number, (high, low) in zip(numbers.tolist(), self._arrays.owed[numbers].tolist(), strict=True):
            left = high << LIMB_BITS | low
            if left:
                self._tables.owed[names[number]] = left
            else:
                self._tables.owed.pop(names[number], None)


def _reserved_by(state: BookState, moves: Sequence[Move]) -> tuple[tuple[str, str, int], ...]:
    entries = [Entry(move.source, move.target, move.asset, move.units) for move in moves]
    return holds.reserved_by(state.ledger, entries)


def _words_of_totals(after: Records | None) -> Words:
    if after is None or not len(after):
        return np.zeros((0, TOTALS_WORDS), np.uint64)
    return after.view(_WORD).reshape(len(after), TOTALS_WORDS)


def _nothing_touched() -> Touched:
    marks, numbers = np.zeros(1, np.uint8), np.zeros(1, np.int32)
    return Touched(
        marks, marks.copy(), marks.copy(), numbers, numbers.copy(), numbers.copy(), np.zeros(3, np.int64)
    )


def _lengthened(touched: Touched, lengths: Sequence[int]) -> Touched:
    """Return the same marks with room for as many as the tables are long."""
    if [len(touched.account_marks), len(touched.window_marks), len(touched.owed_marks)] == list(lengths):
        return touched
    accounts, windows, owed = lengths
    return Touched(
        account_marks=_longer(touched.account_marks, accounts),
        window_marks=_longer(touched.window_marks, windows),
        owed_marks=_longer(touched.owed_marks, owed),
        accounts=_longer(touched.accounts, accounts),
        windows=_longer(touched.windows, windows),
        owed=_longer(touched.owed, owed),
        counts=touched.counts,
    )


def _longer(array: NDArray[Any], length: int) -> NDArray[Any]:
    longer = np.zeros(length, array.dtype)
    longer[: len(array)] = array
    return longer
