"""What routes name, by number: a book's accounts, windows and entitlements as arrays for the compiled rule.

Whatever the readable rule finds out by names is found out once for each route: the way, the accounts at its
ends, the windows it counts in, what it is paid from, and the first reason against it. Only what moves change
is left to the kernel. A route that asks more than a row can say is refused by `Reason.ONLY_BY_REQUEST`.
"""

from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ringfence.kernel.decision import Reason
from ringfence.kernel.limbs import LIMB_BITS, LIMB_MAX, LIMBS_MAX
from ringfence.planes.ledger.accounts import Accounts
from ringfence.planes.ledger.batch_kernel import (
    ACCRUALS_MAX,
    FIXED,
    REFILL,
    ROLLING,
    ROUTE,
    WINDOW,
    Arrays,
    Records,
    Words,
)
from ringfence.planes.ledger.book import BookState
from ringfence.planes.ledger.entitlements import Owed
from ringfence.planes.ledger.hold_kernel import no_holds
from ringfence.planes.ledger.ledger import ALL, EACH, limited_members
from ringfence.planes.ledger.limits import Counter
from ringfence.planes.ledger.mirroring import ESCROW
from ringfence.planes.ledger.needs import names_through, unmet
from ringfence.planes.ledger.packed_tables import Totals, WindowKey
from ringfence.planes.ledger.positions import contract_rule
from ringfence.planes.ledger.rows import Route
from ringfence.planes.ledger.rules import GateRule, Place, Rules, Way
from ringfence.planes.ledger.stopping import reason_of
from ringfence.policy.model import Cap

NONE = -1
ROLLING_ROOM_MIN = 8
_KINDS = {"fixed": FIXED, "refill": REFILL, "rolling": ROLLING}
_JUDGED = frozenset(
    {"name", "line", "needs", "assets", "accrual", "conditions", "each_transfer", "each", "all"}
)
_JUDGED |= {"asks_for_text", "reverses", "unenforced"}
"""The words of a gate that the kernel knows; a gate with any other stays with requests."""

_PLAIN_ACCRUALS = frozenset(
    {"receipts", "variation", "funding", "premium", "fees", "maker_rebate", "liquidation_surplus", "residue"}
)
"""What is owed under these is what the tables say; under any other, the rest of the book has a say."""


class BatchBook:
    """The arrays of one `BookState`, for as much of it as routes have named."""

    def __init__(self, state: BookState) -> None:
        self.rules = state.rules
        self._state = state
        self._accounts = Accounts()
        self._windows: dict[WindowKey, int] = {}
        self._owed: dict[Owed, int] = {}
        self._found: list[_Found | None] = []
        self._rolling: list[int] = []
        self._arrays = Arrays(
            accounts=np.zeros((1, 6), np.uint64),
            windows=np.zeros(1, WINDOW),
            owed=np.zeros((1, 2), np.uint64),
            spans=np.zeros((1, 2), np.int64),
            passed=np.zeros((ROLLING_ROOM_MIN, 3), np.uint64),
            routes=np.zeros(1, ROUTE),
            holds=no_holds(),
        )

    # --- reading

    def totals(self, compartment: str, asset: str) -> Totals:
        """Return the two running totals of a compartment and asset: debits and credits."""
        number = self._accounts.get(compartment, asset)
        if number is None:
            return self._state.totals(compartment, asset)
        return _join(self._arrays.accounts[number, :2]), _join(self._arrays.accounts[number, 2:4])

    def counter(self, number: int) -> Counter:
        """Return a window as the tables keep it."""
        high, low, _, _, at, length_ns, kind, span = self._arrays.windows[number].tolist()
        used = high << LIMB_BITS | low
        if kind == FIXED:
            return (at // length_ns, used)
        if kind == REFILL:
            return (at, used)
        first, end = self._arrays.spans[span].tolist()
        moves = self._arrays.passed[first:end].tolist()
        return tuple(number for at, high, low in moves for number in (at, high << LIMB_BITS | low))

    # --- routes

    def add_route(self, route: Route) -> None:
        """Number the next route, and find out about it whatever can be known before its first move."""
        self.leave_routes(1)
        self.find_route(len(self._found) - 1, route)

    def leave_routes(self, count: int) -> None:
        """Number so many routes, and find out about each with its first move."""
        self._found += [None] * count
        while len(self._arrays.routes) < len(self._found):
            self._arrays = self._arrays._replace(routes=enlarged(self._arrays.routes))

    def find_route(self, number: int, route: Route) -> None:
        """Find out about a numbered route."""
        found = _Found(self.rules, route)
        row = np.zeros(1, ROUTE)[0]
        row["source"] = row["target"] = row["each"] = row["all"] = row["owed"] = NONE
        row["is_never_held"] = is_never_held(self.rules, route.gate)
        gate, source, target = found.gate, found.source, found.target
        if gate is not None and source is not None and target is not None and not found.reason:
            row["source"] = self._account(route.source, route.asset)
            row["target"] = self._account(route.target, route.asset)
            row["each"], row["all"] = self._windows_of(gate, limited_members(source, target), route.asset)
            owed = [(accrual, route.source, route.target, route.asset) for accrual in gate.accrual]
            row["owed"][: len(owed)] = [self._entitlement(key) for key in owed]
            cap = gate.each_transfer.get(route.asset)
            row["has_cap"] = cap is not None
            row["cap_high"], row["cap_low"] = split(cap or 0)
            row["has_accrual"], row["asks_for_text"] = bool(owed), gate.asks_for_text
            row["is_correction"] = gate.reverses == "required"
            is_debt = self.rules.assets[route.asset].debt_in is not None
            row["is_two_sided"] = source.rule.two_sided or is_debt
            row["source_nets"], row["target_nets"] = source.rule.nets_to_zero, target.rule.nets_to_zero
            row["source_outside"], row["target_outside"] = source.rule.two_sided, target.rule.two_sided
        self._found[number] = found
        self._write("routes", number, row)
        self._judge_route(number, found)

    def judge_routes(self) -> None:
        """Judge every route again, after members were opened or something was frozen or resumed."""
        for number, found in enumerate(self._found):
            if found is not None:
                self._judge_route(number, found)

    def _judge_route(self, number: int, found: "_Found") -> None:
        """Write the reasons against a route that follow from what is open and frozen."""
        row = self._arrays.routes[number]
        row["early"], row["late"] = found.early(self._state), found.late(self._state)

    def needs_of(self, number: int, signers: frozenset[str]) -> int:
        """Return the reason for which these keys do not open the gate of a route, or 0."""
        found = self._found[number]
        if found is None or found.source is None or found.target is None:
            return 0
        if found.way is None or found.gate is None:
            return 0
        names = names_through(self.rules.keys, found.way, found.source, found.target)
        missing = unmet(found.gate.needs, signers, names)
        return int(Reason.NEEDS_NOT_MET) if missing else 0

    def ends_of(self, number: int) -> tuple[int, int] | None:
        """Return the numbers of the rules at the ends of a route; None where the policy has no such end."""
        found = self._found[number]
        if found is None or found.source is None or found.target is None:
            return None
        return found.source.rule.index, found.target.rule.index

    def is_plain(self, number: int) -> bool:
        """Say whether the policy has nothing against moves of a route, whoever is open."""
        found = self._found[number]
        return found is not None and not found.reason

    # --- numbers

    def _account(self, path: str, asset: str) -> int:
        number = self._accounts.get(path, asset)
        if number is None:
            number = self._accounts.add(path, asset)
            debits, credits = self._state.totals(path, asset)
            held = self._state.held(path, asset)
            self._write("accounts", number, (*split(debits), *split(credits), *split(held)))
        return number

    def _windows_of(self, gate: GateRule, members: tuple[str, ...], asset: str) -> tuple[int, int]:
        each, everybody = gate.each.get(asset), gate.all.get(asset)
        return (
            self._window((gate.name, EACH, members, asset), each) if each is not None else NONE,
            self._window((gate.name, ALL, (), asset), everybody) if everybody is not None else NONE,
        )

    def _window(self, key: WindowKey, cap: Cap) -> int:
        number = self._windows.get(key)
        if number is None:
            number = self._windows[key] = len(self._windows)
            span, length = NONE, cap.window.length_ns
            if cap.window.kind == "rolling":
                span = len(self._rolling)
                self._rolling.append(number)
                self._write("spans", span, (0, 0))
            row = (0, 0, *split(cap.units), -length, length, _KINDS[cap.window.kind], span)
            self._write("windows", number, row)
            self.take_counter(number, self._state.ledger.tables.windows.get(key, ()))
        return number

    def take_counter(self, number: int, counter: Counter) -> None:
        """Set a window to what the tables keep of it."""
        window = self._arrays.windows[number]
        if window["kind"] == ROLLING:
            moves = list(zip(counter[::2], counter[1::2], strict=True))
            self._make_room_to_roll({number: len(moves)}, keep=False)
            first = int(self._arrays.spans[window["span"], 0])
            for place, (at, units) in enumerate(moves, first):
                self._arrays.passed[place] = (at, *split(units))
            self._arrays.spans[window["span"], 1] = first + len(moves)
            window["used_high"], window["used_low"] = split(sum(counter[1::2]))
        elif counter:
            begins = counter[0] * (int(window["length_ns"]) if window["kind"] == FIXED else 1)
            window["at"] = begins
            window["used_high"], window["used_low"] = split(counter[1])

    def _entitlement(self, key: Owed) -> int:
        number = self._owed.get(key)
        if number is None:
            number = self._owed[key] = len(self._owed)
            self._write("owed", number, split(self._state.owed(*key)))
        return number

    def _write(self, table: str, number: int, row: Any) -> None:
        """Write a row of one of the tables, making more room when the table is full."""
        records = getattr(self._arrays, table)
        if number >= len(records):
            records = enlarged(records)
            wider: dict[str, Any] = {table: records}
            self._arrays = self._arrays._replace(**wider)
        records[number] = row

    # --- rolling windows

    def make_room_to_roll(self, routes: NDArray[np.uint32]) -> None:
        """Leave each rolling window room for the moves of a batch, by the routes of its transfers."""
        if not self._rolling:
            return
        wanted: dict[int, int] = {}
        for scope in ("each", "all"):
            numbers = self._arrays.routes[scope][routes]
            counts = np.bincount(numbers[numbers >= 0], minlength=len(self._windows))
            for number in self._rolling:
                wanted[number] = wanted.get(number, 0) + int(counts[number])
        self._make_room_to_roll({number: count for number, count in wanted.items() if count}, keep=True)

    def _make_room_to_roll(self, wanted: dict[int, int], *, keep: bool) -> None:
        """Lay the spans of all rolling windows out anew, with room for so many more moves in these."""
        if not wanted:
            return
        spans, windows = self._arrays.spans, self._arrays.windows
        kept = []
        for number in self._rolling:
            first, end = spans[windows[number]["span"]].tolist()
            moves = self._arrays.passed[first:end].copy()
            kept.append(moves if keep or number not in wanted else moves[:0])
        rooms = [
            len(moves) + wanted.get(number, 0) for number, moves in zip(self._rolling, kept, strict=True)
        ]
        passed = np.zeros((max(sum(rooms), ROLLING_ROOM_MIN), 3), np.uint64)
        begin = 0
        for number, moves, room in zip(self._rolling, kept, rooms, strict=True):
            passed[begin : begin + len(moves)] = moves
            spans[windows[number]["span"]] = (begin, begin + len(moves))
            begin += room
        self._arrays = self._arrays._replace(passed=passed)


class _Found:
    """What the rules say of a route, whoever is open and whatever is frozen.

    reason: the first one against any move of it, 0 where there is none.
    """

    def __init__(self, rules: Rules, route: Route) -> None:
        self.route = route
        self.source, self.target = rules.place(route.source), rules.place(route.target)
        self.way: Way | None = None
        self.gate: GateRule | None = None
        if self.source is not None and self.target is not None:
            self.way = rules.way(route.gate, self.source, self.target)
            self.gate = self.way.gate if self.way is not None else None
        self.reason = self._reason(rules)

    def _reason(self, rules: Rules) -> int:
        if self.route.source == self.route.target:
            return Reason.SOURCE_IS_TARGET
        is_contract = self.route.gate in rules.exchanges and contract_rule(rules, self.route.asset)
        if self.route.asset not in rules.assets and not is_contract:
            return Reason.ASSET_UNKNOWN
        if self.source is None or self.target is None:
            return Reason.COMPARTMENT_UNKNOWN
        if self.way is None:
            return Reason.NO_GATE_BETWEEN_COMPARTMENTS
        if self.way.gate.unenforced:
            return Reason.GATE_WORD_NOT_ENFORCED
        if not self.way.accepts(self.route.asset):
            return Reason.ASSET_NOT_ACCEPTED
        if self.way.gate.name in rules.exchanges:
            return Reason.EXCHANGE_LEGS_DIFFER
        if asks_more_than_a_row(rules, self.way.gate, self.source, self.target, self.route.asset):
            return Reason.ONLY_BY_REQUEST
        return 0

    def early(self, state: BookState) -> int:
        """Return the first reason that comes before signatures, or 0."""
        if 0 < self.reason < Reason.MEMBER_NOT_OPEN or self.source is None or self.target is None:
            return self.reason
        ledger = state.ledger
        if ledger.closed_member(self.source) or ledger.closed_member(self.target):
            return Reason.MEMBER_NOT_OPEN
        return self.reason

    def late(self, state: BookState) -> int:
        """Return the reason of the first frozen scope that a move would touch, or 0."""
        route = self.route
        scope = state.ledger.frozen(route.gate, route.source, route.target, route.asset)
        return reason_of(scope) if scope else 0


def asks_more_than_a_row(rules: Rules, gate: GateRule, source: Place, target: Place, asset: str) -> bool:
    """Say whether a move through a gate is judged by what a row cannot say, such as margin's word.

    That is: debts and loans, interest, what leaves escrow or goes to an address, conditions, limits that
    margin watches, payments out of a waterfall, and any word of a gate that the kernel does not know.
    """
    if gate.name not in rules.gates or gate.conditions or rules.assets[asset].interest_ppm:
        return True
    if source.rule.role == ESCROW or rules.policy.compartments[target.rule.pattern].pinned:
        return True
    if len(gate.accrual) > ACCRUALS_MAX or not _PLAIN_ACCRUALS.issuperset(gate.accrual):
        return True
    terms = (rules.policy.compartments[end.rule.pattern] for end in (source, target))
    if any(term.limits is not None for term in terms):
        return True
    if any(getattr(gate, one.name) != _default(one) for one in fields(gate) if one.name not in _JUDGED):
        return True
    caps = (caps.get(asset) for caps in (gate.each, gate.all))
    return any(cap is not None and not _fits(cap) for cap in caps)


def is_never_held(rules: Rules, name: str) -> bool:
    """Say whether what a gate or exchange of this name moves is never held; see `holds.fault_of_form`."""
    gate = rules.gates.get(name)
    if gate is None:
        return name in rules.exchanges
    return bool(gate.accrual or gate.delay_ns)


def _default(one: "Field[Any]") -> object:
    return one.default_factory() if one.default_factory is not MISSING else one.default


def _fits(cap: Cap) -> bool:
    """Say whether a cap is counted in 128 bits: a refilling one is, in units x ns."""
    return cap.window.kind != "refill" or cap.units * cap.window.length_ns <= LIMBS_MAX


def enlarged(records: Records) -> Records:
    """Return a table with a sixteenth more room (`np.concatenate` would drop the padding of its dtype)."""
    length = len(records) + len(records) // 16 + 16
    larger = np.zeros((length, *records.shape[1:]), dtype=records.dtype)
    larger[: len(records)] = records
    return larger


def split(number: int) -> tuple[int, int]:
    """Return the high and the low limb of a number below 2^128."""
    return number >> LIMB_BITS, number & LIMB_MAX


def _join(limbs: Words) -> int:
    return int(limbs[0]) << LIMB_BITS | int(limbs[1])
