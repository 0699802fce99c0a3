"""The laws of a book, each under its name, checked after every operation against a book-keeping of their own.

What a law compares with is worked out here anew, from what was asked and answered and from the words of the
policy, never from the tables it judges. A law that does not hold raises AssertionError with what was found.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

from flow_world import CLIENTS, Step, World, tag

from ringfence.kernel.decision import Accepted, Reason, Refused
from ringfence.kernel.instant import DAY_NS, HOUR_NS
from ringfence.kernel.money import PRICE_SCALE
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    Announce,
    Approve,
    CancelAdoption,
    CarryOut,
    Closing,
    CompleteAdoption,
    EndMandate,
    Fill,
    Freeze,
    Fund,
    Mandate,
    Move,
    Opening,
    Order,
    PinAddress,
    Post,
    Receipt,
    Request,
    Resume,
    Settle,
    Statement,
    signing_bytes,
)
from ringfence.policy.families import match
from ringfence.policy.model import Cap, KeyNeed, Need, Policy

COINS = ("USDC", "BTC", "ETH", "USDC-credit")
OUTSIDE = ("outside", "venue/issue")
LAWS: list[str] = []


def law(check: Callable[..., None]) -> Callable[..., None]:
    """Put a law on the list, under its name."""
    LAWS.append(check.__name__)
    return check


def opens(policy: Policy, gate: str, source: str, target: str, asset: str) -> bool:
    """Say whether the policy's own words open a gate: read from the text's model, not from compiled rules."""
    if gate in policy.gates:
        words = policy.gates[gate]
        pairs = [(a, b) for a in words.sources for b in words.targets]
        pairs += [(b, a) for a, b in pairs] if words.both_ways else []
        if asset not in words.assets:
            return False
    elif gate in policy.exchanges:
        # A debt goes against its value: whoever is rid of the claim gives it.
        is_debt = asset in policy.assets and policy.assets[asset].debt_in is not None
        legs = [(leg.source, leg.target) for leg in policy.exchanges[gate].legs]
        pairs = [(b, a) for a, b in legs] if is_debt else legs
    else:
        falls = policy.waterfalls.values() if gate == "debt" else ()
        pairs = [(str(fall.last), bucket) for fall in falls for bucket in fall.covers if fall.record == asset]
    return any(_fits(*pair, source, target) for pair in pairs) and all(
        _takes(policy, end, asset) for end in (source, target)
    )


def _fits(start: str, end: str, source: str, target: str) -> bool:
    bound = match(start, source)
    return bound is not None and match(end, target, bound) is not None


def _takes(policy: Policy, path: str, asset: str) -> bool:
    kinds = [kind for pattern, kind in policy.compartments.items() if match(pattern, path) is not None]
    traded = asset in policy.instruments
    return any(kind.kind == "external" or asset in kind.accepts or traded for kind in kinds)


def is_outside(path: str) -> bool:
    return path.startswith(OUTSIDE)


def balance(rows: dict[Any, Any], path: str, asset: str) -> int:
    debits, credits = rows.get((path, asset), (0, 0))
    return int(credits - debits)


def booked_moves(step: Step) -> Iterator[Move]:
    """Go through the moves that an operation booked: its own, and the parts of a hold that it posted."""
    if step.outcome.decision != Accepted() or not isinstance(step.operation, Request | CarryOut):
        return
    if not isinstance(step.meant, Request) or step.meant.hold_until:
        return
    for link in step.meant.links:
        if isinstance(link, Move):
            yield link
        elif isinstance(link, Post):
            moves = step.before["holds"][link.hold].moves
            parts = link.units or tuple(move.units for move in moves)
            yield from (
                Move(move.gate, move.source, move.target, move.asset, part)
                for move, part in zip(moves, parts, strict=True)
                if part
            )


def booked_links(step: Step, kind: type) -> list[Any]:
    is_booked = step.outcome.decision == Accepted() and isinstance(step.operation, Request | CarryOut)
    links = step.meant.links if is_booked and isinstance(step.meant, Request) else ()
    return [link for link in links if isinstance(link, kind)]


def member_of(path: str) -> str:
    """Name the member whose compartment a path is; "" where it is nobody's."""
    first, _, rest = path.partition("/")
    return (
        rest.partition("/")[0] if first in ("client", "staff", "venue", "outside") and rest != "issue" else ""
    )


class Laws:
    """The laws, and what they remember of everything that was answered."""

    def __init__(self) -> None:
        self.arrivals: set[tuple[str, str]] = set()
        self.receipts: Counter[tuple[str, str]] = Counter()
        self.owed: Counter[tuple[str, str]] = Counter()
        self.values: Counter[str] = Counter()
        self.windows: dict[tuple[str, str, str, str], list[tuple[int, int]]] = defaultdict(list)
        self.levels: dict[tuple[str, str, str, str], tuple[int, Fraction]] = {}
        self.used: set[int] = set()
        self.refused: set[int] = set()
        self.carried_out: set[int] = set()
        self.mandates: dict[tuple[str, ...], tuple[Mandate, int]] = {}
        self.issued: Counter[str] = Counter()
        self.funded: dict[str, int] = {}
        self.moved: Counter[tuple[int, str, str, str]] = Counter()
        self.filled: Counter[tuple[str, int]] = Counter()
        self.complete_since: dict[int, int] = {}
        self.addresses: dict[str, list[int]] = defaultdict(list)
        self.statements: dict[str, Statement] = {}
        self.batched: set[tuple[str, bytes]] = set()
        self.at = 0

    def check(self, world: World, step: Step) -> None:
        """Check every law after one operation."""
        self.batched = world.batched
        for name in LAWS:
            try:
                getattr(self, name)(world, step)
            except AssertionError as found:
                raise AssertionError(f"{name} does not hold after {step.operation!r}: {found}") from found

    # --- what is there

    @law
    def conservation(self, world: World, step: Step) -> None:
        """Debits equal credits in every asset, and session values add up to nothing."""
        sums: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for (_, asset), (debits, credits) in step.after["balances"].items():
            sums[asset][0] += debits
            sums[asset][1] += credits
        assert all(debits == credits for debits, credits in sums.values()), dict(sums)
        assert all(sum(held.values()) == 0 for held in step.after["sessions"].values())
        world.state.check_conservation()

    @law
    def no_internal_balance_is_negative(self, world: World, step: Step) -> None:
        for (path, asset), (debits, credits) in step.after["balances"].items():
            assert max(debits, credits) < 2**128
            assert credits >= debits or asset not in COINS or is_outside(path), (
                path,
                asset,
                credits - debits,
            )

    @law
    def clearing_is_empty_and_nothing_is_left_owing_there(self, world: World, step: Step) -> None:
        for (path, asset), (debits, credits) in step.after["balances"].items():
            assert path != "clearing" or debits == credits, asset
        assert not [key for key in step.after["owed"] if "clearing" in key[1:3]]

    @law
    def what_is_held_is_the_sum_of_the_holds(self, world: World, step: Step) -> None:
        sums: Counter[tuple[str, str]] = Counter()
        for hold in step.after["holds"].values():
            for path, asset, units in hold.reserved:
                sums[path, asset] += units
        assert dict(sums) == step.after["held"]

    @law
    def what_is_held_is_there_until_what_is_owed_takes_it(self, world: World, step: Step) -> None:
        owing = {move.source for move in booked_moves(step) if self._is_owed(step, move.gate)}
        for (path, asset), units in step.after["held"].items():
            lacked = step.before["held"].get((path, asset), 0) - balance(step.before["balances"], path, asset)
            lacks = units - balance(step.after["balances"], path, asset)
            assert lacks <= max(0, lacked) or path in owing, (path, asset, units)

    def _is_owed(self, step: Step, gate: str) -> bool:
        policy = step.rules.policy
        words = policy.gates.get(gate) or policy.exchanges.get(gate)
        return gate == "debt" or (words is not None and bool(words.accrual))

    @law
    def a_hold_ends_once_and_in_time(self, world: World, step: Step) -> None:
        for identifier, how in step.before["ended"].items():
            assert step.after["ended"][identifier] == how
            assert identifier not in step.after["holds"]
        assert all(hold.until >= step.at for hold in step.after["holds"].values())
        for link in booked_links(step, Post):
            hold = step.before["holds"][link.hold]
            assert all(0 <= part <= move.units for part, move in zip(link.units, hold.moves, strict=False))

    @law
    def debts_stay_under_their_cap_while_there_are_coins(self, world: World, step: Step) -> None:
        cap = step.rules.policy.assets["USDC-debt"].debt_cap_units
        total = 0
        for path, asset in step.after["balances"]:
            if asset != "USDC-debt" or path == "house/treasury":
                continue
            debt, earlier = (balance(rows["balances"], path, asset) for rows in (step.after, step.before))
            has_coins = any(balance(step.after["balances"], path, coin) for coin in COINS)
            is_loss = any(move.gate == "debt" and move.target == path for move in booked_moves(step))
            assert debt >= 0, path
            if debt > earlier and not isinstance(step.operation, Opening):
                assert debt <= cap or (is_loss and not has_coins), (path, debt, cap)
            total += debt
        assert balance(step.after["balances"], "house/treasury", "USDC-debt") == -total

    # --- what may move

    @law
    def the_book_finds_no_law_broken_by_itself(self, world: World, step: Step) -> None:
        assert getattr(step.outcome.decision, "reason", None) != Reason.LAW_BROKEN, step.outcome.decision

    @law
    def a_refusal_changes_nothing(self, world: World, step: Step) -> None:
        if step.is_accepted and not isinstance(step.outcome.decision, Refused):
            return
        assert step.outcome.entries == ()
        own = getattr(step.meant, "id", None)
        for name, rows in step.before.items():
            now, then = dict(step.after[name]), dict(rows)
            if name in ("ids", "pending") and isinstance(step.operation, Request | Announce | CarryOut):
                now.pop(own, None), then.pop(own, None)
            assert now == then, name

    @law
    def an_accepted_request_is_carried_out_as_a_whole(self, world: World, step: Step) -> None:
        coins = [entry for entry in step.outcome.entries if entry.asset in COINS]
        found = [(one.debit, one.credit, one.asset, one.units) for one in coins]
        asked = [move for move in booked_moves(step) if move.asset in COINS]
        if not isinstance(step.operation, Opening):
            assert found == [(one.source, one.target, one.asset, one.units) for one in asked]

    @law
    def containment(self, world: World, step: Step) -> None:
        """Whatever moved, moved through a gate that the policy's words open for that asset, by those ends."""
        for move in booked_moves(step):
            assert opens(step.rules.policy, move.gate, move.source, move.target, move.asset), move

    @law
    def who_must_sign_has_signed(self, world: World, step: Step) -> None:
        signed = self._signers(step)
        policy = step.rules.policy
        for move in booked_moves(step):
            words = policy.gates.get(move.gate) or policy.exchanges.get(move.gate)
            needs = words.needs if words is not None else ()
            others = {"{b}": member_of(move.target), "{a}": member_of(move.source)}
            if isinstance(step.meant, Request) and step.meant.exchange == "block":
                others = {"{a}": "", "{b}": ""}
                parties = {f"client_key/{member_of(end)}" for end in (move.source, move.target)}
                assert parties <= signed, move
                continue
            names = others | {"{client}": member_of(move.target)}
            for need in needs:
                assert _is_met(policy, need, signed, member_of(move.source), names), (move, need)

    def _signers(self, step: Step) -> set[str]:
        """Return whose signatures fit, over the bytes that were asked for."""
        records: list[Any] = [step.meant] if hasattr(step.meant, "signatures") else []
        if isinstance(step.operation, CarryOut) and step.operation.request in step.before["pending"]:
            records += step.before["pending"][step.operation.request].approvals
        return {one.key for record in records for one in record.signatures if self._fits(step, record, one)}

    def _fits(self, step: Step, record: Any, one: Any) -> bool:
        content, former = signing_bytes(record), step.before["former"].get(one.key)
        publics = [step.before["keys"].get(one.key, b"")]
        publics += [former[0]] if former is not None and former[1] >= step.at else []
        is_in_time = not isinstance(record, Approve) or step.at <= record.expires
        fits = any(one.value == tag(public, content) for public in publics)
        fits = fits or (one.key, content) in self.batched
        return fits and is_in_time and one.key not in step.before["revoked"]

    @law
    def a_signature_that_does_not_count_is_never_taken(self, world: World, step: Step) -> None:
        """A revoked key, another one's, or a former one whose time is over."""
        record = step.operation
        if not step.is_accepted or not hasattr(record, "signatures") or _is_known_halt(step):
            return
        for one in record.signatures:
            assert one.key == "next" or self._fits(step, record, one), one.key

    @law
    def limits_are_never_passed(self, world: World, step: Step) -> None:
        policy = step.rules.policy
        for move in booked_moves(step):
            words = policy.gates.get(move.gate) or policy.exchanges.get(move.gate)
            if words is None:
                continue
            limit, units, asset = words.limit, move.units, move.asset
            if limit.valued_in is not None and limit.valued_in != asset:
                units, asset = self._valued(step, move), limit.valued_in
            assert units <= limit.each_transfer.get(asset, units), move
            who = member_of(move.source) or member_of(move.target)
            for scope, caps, whose in (("each", limit.each, who), ("all", limit.all, "")):
                if asset in caps:
                    self._count((move.gate, scope, whose, asset), caps[asset], units, step.at)

    def _valued(self, step: Step, move: Move) -> int:
        """Value satoshi in units of USDC, up."""
        assert move.asset == "BTC"
        return -(-move.units * step.after["prices"]["index/BTC"].price_e10 // (PRICE_SCALE * 100))

    def _count(self, key: tuple[str, str, str, str], cap: Cap, units: int, at: int) -> None:
        length = cap.window.length_ns
        if cap.window.kind == "refill":
            since, level = self.levels.get(key, (at, Fraction(0)))
            level = max(Fraction(0), level - Fraction(cap.units * (at - since), length)) + units
            self.levels[key] = (at, level)
            assert level <= cap.units, (key, level)
            return
        self.windows[key].append((at, units))
        moved = self.windows[key]
        if cap.window.kind == "fixed":
            used = sum(one for when, one in moved if when // length == at // length)
        else:
            used = sum(one for when, one in moved if when > at - length)
        assert used <= cap.units, (key, used, cap.units)

    @law
    def ids_are_good_once(self, world: World, step: Step) -> None:
        operation = step.operation
        identifier = getattr(operation, "id", 0)
        if isinstance(operation, Announce):
            identifier = operation.request.id
        if isinstance(operation, CarryOut):
            if step.outcome.decision == Accepted():
                assert operation.request not in self.carried_out
                self.carried_out.add(operation.request)
            return
        if not identifier or _is_known_halt(step):
            return
        if step.is_accepted:
            assert identifier not in self.used | self.refused, identifier
            self.used.add(identifier)
        elif isinstance(operation, Request | Announce) and isinstance(step.outcome.decision, Refused):
            self.refused.add(identifier)

    # --- what is owed

    @law
    def only_what_arrived_is_credited(self, world: World, step: Step) -> None:
        if isinstance(step.operation, Receipt) and step.is_accepted:
            arrival = (step.operation.asset, step.operation.reference)
            assert arrival not in self.arrivals, arrival
            self.arrivals.add(arrival)
            self.receipts[step.operation.target, step.operation.asset] += step.operation.units
        for move in booked_moves(step):
            if move.gate.startswith("deposit"):
                self.receipts[move.target, move.asset] -= move.units
        assert min(self.receipts.values(), default=0) >= 0
        owed = {key[2:]: units for key, units in step.after["owed"].items() if key[0] == "receipts"}
        assert owed == {key: units for key, units in self.receipts.items() if units}

    @law
    def fees_rebates_and_penalties_are_what_fills_made_owed(self, world: World, step: Step) -> None:
        for fill in booked_links(step, Fill):
            if fill.instrument == "BTC-PERP":
                self._owe_for(fill)
        for move in booked_moves(step):
            name = {"fee": "fees", "rebate": "maker_rebate"}.get(move.gate)
            name = "liquidation_surplus" if move.gate.startswith("penalty") else name
            if name is not None:
                self.owed[name, move.target if name == "maker_rebate" else move.source] -= move.units
        found = {
            (accrual, target if accrual == "maker_rebate" else source): units
            for (accrual, source, target, _), units in step.after["owed"].items()
            if accrual in ("fees", "maker_rebate", "liquidation_surplus")
        }
        assert found == {key: units for key, units in self.owed.items() if units}

    def _owe_for(self, fill: Fill) -> None:
        value = _value(fill.contracts, fill.price_e10)
        for side, word in ((fill.buy, "buy"), (fill.sell, "sell")):
            is_taker = fill.taker == word
            if isinstance(side, Closing) and side.cause != "liquidation":
                continue
            if is_taker:
                self.owed["fees", side.bucket] += -(-value * 500 // 10**6)
            elif isinstance(side, Order):
                self.owed["maker_rebate", side.bucket] += value * 100 // 10**6
            if isinstance(side, Closing):
                self.owed["liquidation_surplus", side.bucket] += -(-value * 10_000 // 10**6)

    @law
    def positions_are_worth_what_was_traded_since_they_were_settled(self, world: World, step: Step) -> None:
        """And a settlement pays each bucket what its position gained, and asks no more of it than it lost."""
        self._rebase(step)
        for fill in booked_links(step, Fill):
            if fill.instrument == "BTC-PERP":
                value = _value(fill.contracts, fill.price_e10)
                self.values[fill.buy.bucket] += value
                self.values[fill.sell.bucket] -= value
        for move in booked_moves(step):
            if move.asset == "BTC-PERP":
                is_long = balance(step.before["balances"], move.source, move.asset) > 0
                value = _value(move.units, step.after["prices"]["index/BTC"].price_e10)
                self.values[move.source] -= value if is_long else -value
                self.values[move.target] += value if is_long else -value
        if isinstance(step.operation, Opening) and step.outcome.decision == Accepted():
            for one in step.operation.positions:
                self.values[one.bucket] = _value(one.contracts, step.operation.prices["BTC-PERP"])
        found = step.after["sessions"].get("BTC-PERP", {})
        assert {key: value for key, value in found.items() if value} == {
            key: value for key, value in self.values.items() if value
        }

    def _rebase(self, step: Step) -> None:
        settled = [one for one in booked_links(step, Settle) if one.instrument == "BTC-PERP"]
        if not settled:
            return
        paid: Counter[str] = Counter()
        for entry in step.outcome.entries:
            if "clearing" in (entry.debit, entry.credit) and entry.asset == "USDC":
                paid[entry.credit] += entry.units
                paid[entry.debit] -= entry.units
        for bucket in {*self.values, *step.before["sessions"].get("BTC-PERP", {})}:
            value = _value(balance(step.before["balances"], bucket, "BTC-PERP"), settled[0].price_e10)
            won = value - self.values[bucket]
            is_right = paid[bucket] == won if won >= 0 else 0 >= paid[bucket] >= won
            assert is_right or bucket.startswith("insurance"), (
                bucket,
                won,
                paid[bucket],
            )  # A pool pays for others.
            self.values[bucket] = value

    @law
    def funding_is_paid_once_an_interval(self, world: World, step: Step) -> None:
        for fund in booked_links(step, Fund):
            terms = step.rules.policy.instruments[fund.instrument].funding
            assert terms is not None
            last = self.funded.get(fund.instrument)
            assert last is None or last // terms.interval_ns != step.at // terms.interval_ns, fund
            self.funded[fund.instrument] = int(step.at)

    @law
    def a_correction_gives_back_no_more_than_was_moved(self, world: World, step: Step) -> None:
        request = step.meant
        for move in booked_moves(step):
            assert isinstance(request, Request)
            if request.reverses:
                original = (request.reverses, move.target, move.source, move.asset)
                self.moved[original] -= move.units
                assert self.moved[original] >= 0, move
            self.moved[request.id, move.source, move.target, move.asset] += move.units

    @law
    def what_is_exchanged_is_of_equal_value_within_the_band(self, world: World, step: Step) -> None:
        legs = [move for move in booked_moves(step) if move.gate in step.rules.policy.exchanges]
        satoshi = sum(move.units for move in legs if move.asset == "BTC")
        if satoshi:
            others = sum(move.units for move in legs if move.asset in ("USDC", "USDC-debt"))
            price = step.after["prices"]["index/BTC"].price_e10
            value = satoshi * price // (PRICE_SCALE * 100)
            ppm = 20_000 if legs[0].gate == "block" else 10_000
            assert abs(value - others) * 10**6 <= ppm * max(value, others) + 2 * 10**6, legs

    @law
    def mandates_are_never_passed(self, world: World, step: Step) -> None:
        """Neither in units nor in time; nor when another policy is in force, or its key no longer counts."""
        record = step.operation
        if isinstance(record, Mandate) and step.is_accepted:
            self.mandates[record.gate, record.source, record.target, record.asset] = record, record.units
        if isinstance(record, EndMandate) and step.is_accepted:
            self.mandates = {
                key: given for key, given in self.mandates.items() if given[0].id != record.mandate
            }
        for move in booked_moves(step):
            if move.gate == "top_up":
                key = (move.gate, move.source, move.target, move.asset)
                assert key in self.mandates, move
                mandate, left = self.mandates[key]
                assert move.units <= left, move
                assert step.at <= mandate.expires, mandate
                assert mandate.policy == step.rules.digest, mandate
                counting = {one.key for one in mandate.signatures if self._fits(step, mandate, one)}
                assert f"client_key/{member_of(move.source)}" in counting, mandate
                self.mandates[key] = mandate, left - move.units
                lacking = step.conditions.lacking[move.target][move.asset]
                assert move.units <= lacking, (move, lacking)

    @law
    def credit_never_exceeds_what_is_locked(self, world: World, step: Step) -> None:
        for move in booked_moves(step):
            if move.gate == "mirror":
                is_issue = move.source == "venue/issue"
                self.issued[member_of(move.target if is_issue else move.source)] += (
                    move.units if is_issue else -move.units
                )
        for member in CLIENTS:
            locked = balance(step.after["balances"], f"client/{member}/locked", "USDC")
            assert 0 <= self.issued[member] <= locked, (member, self.issued[member], locked)

    @law
    def an_order_is_filled_no_further_than_it_was_signed_for(self, world: World, step: Step) -> None:
        for fill in booked_links(step, Fill):
            for side in (fill.buy, fill.sell):
                if isinstance(side, Order):
                    self.filled[side.bucket, side.id] += fill.contracts
                    assert self.filled[side.bucket, side.id] <= side.contracts
                    worse = fill.price_e10 - side.limit_e10
                    assert worse <= 0 if side.side == "buy" else worse >= 0
                    assert side.expires >= step.at
                    assert side.signatures, "nobody stands behind an order"

    @law
    def who_is_closed_by_force_only_gets_smaller(self, world: World, step: Step) -> None:
        for fill in booked_links(step, Fill):
            for side in (fill.buy, fill.sell):
                if isinstance(side, Closing) and side.bucket.startswith("client"):
                    held = balance(step.before["balances"], side.bucket, fill.instrument)
                    now = balance(step.after["balances"], side.bucket, fill.instrument)
                    assert abs(now) == abs(held) - fill.contracts, side

    # --- what must pass first

    @law
    def delays_pass_first(self, world: World, step: Step) -> None:
        for identifier, pending in step.after["pending"].items():
            policy, member = step.rules.policy, member_of(pending.request.links[0].source)
            signed = {
                one.key for record in (pending.request, *pending.approvals) for one in record.signatures
            }
            is_complete = all(
                _is_met(policy, need, signed, member, {}) for need in policy.gates["withdraw"].needs
            )
            if is_complete:
                self.complete_since.setdefault(identifier, int(step.at))
        for move in booked_moves(step):
            if move.gate == "withdraw":
                assert isinstance(step.operation, CarryOut)
                assert step.at >= self.complete_since[step.operation.request] + HOUR_NS

    @law
    def addresses_cool_first(self, world: World, step: Step) -> None:
        if isinstance(step.operation, PinAddress) and step.is_accepted:
            self.addresses[step.operation.compartment].append(int(step.at))
        for move in booked_moves(step):
            since = self.addresses.get(move.target)
            assert not since or since[0] + DAY_NS <= step.at, move

    @law
    def a_word_that_a_gate_waits_for_was_said(self, world: World, step: Step) -> None:
        if isinstance(step.operation, Statement) and step.is_accepted:
            self.statements[step.operation.word] = step.operation
        for move in booked_moves(step):
            wanted = {"audit_fee": ("attested", 2 * DAY_NS), "charge": ("reconciled", DAY_NS)}.get(move.gate)
            if wanted is not None:
                said = self.statements[wanted[0]]
                assert said.holds, move
                assert step.at - said.as_of <= wanted[1], move

    @law
    def nothing_passes_a_halt(self, world: World, step: Step) -> None:
        for key in step.before["frozen"]:
            kind, space, scope = key.partition(" ")
            kind, scope = (kind, scope) if space else ("freeze", key)
            for move in booked_moves(step):
                is_meant = kind in ("freeze", "stop") or (kind == "withdrawals" and is_outside(move.target))
                ends = (f"gate/{move.gate}", f"asset/{move.asset}")
                is_inside = scope in ends or any(_lies_in(scope, end) for end in (move.source, move.target))
                assert not (is_meant and is_inside), (key, move)
            for fill in booked_links(step, Fill):
                self._check_trading(step, kind, scope, fill)

    def _check_trading(self, step: Step, kind: str, scope: str, fill: Fill) -> None:
        for side in (fill.buy, fill.sell):
            is_inside = scope in ("gate/trade", f"asset/{fill.instrument}") or _lies_in(scope, side.bucket)
            if not is_inside or kind == "withdrawals":
                continue
            assert kind in ("cancel_only", "reduce_only"), (kind, scope, side)
            held = abs(balance(step.before["balances"], side.bucket, fill.instrument))
            now = abs(balance(step.after["balances"], side.bucket, fill.instrument))
            assert isinstance(side, Closing) or now < held, (kind, scope, side)
            assert isinstance(side, Closing) or kind == "reduce_only" or side.reduce_only

    @law
    def who_was_closed_has_nothing_and_never_comes_back(self, world: World, step: Step) -> None:
        assert step.before["closed"].items() <= step.after["closed"].items()
        for party, member in step.after["closed"]:
            assert (party, member) not in step.after["members"]
            for path, asset in step.after["balances"]:
                own = (
                    (f"{party}/{member}/", f"venue/{member}/") if party == "client" else f"{party}/{member}/"
                )
                is_own = path.startswith(own)
                assert not is_own or not balance(step.after["balances"], path, asset), path

    # --- who is not concerned

    @law
    def members_are_isolated_bit_for_bit(self, world: World, step: Step) -> None:
        """No row of any table that belongs to a member changes, unless the operation named the member."""
        if (
            booked_links(step, Settle)
            or booked_links(step, Fund)
            or isinstance(step.operation, Opening | Adoption)
        ):
            return
        named = text_of(step)
        for name, rows in step.after.items():
            then = step.before[name]
            if rows == then or name in ("statements", "adopting"):
                continue  # They say who signed, and that is all they say of members.
            for key in {**then, **rows}:
                if then.get(key) != rows.get(key):
                    for member in _owners(name, key, then, rows):
                        assert member in named, (name, key, member)

    @law
    def time_never_goes_back(self, world: World, step: Step) -> None:
        assert step.at >= self.at
        assert world.state.at == step.at
        self.at = int(step.at)


def text_of(step: Step) -> str:
    """Write down whom an operation names, also by the id of something that names them."""
    operation = step.operation
    there = [operation, step.meant, step.before["pending"].get(getattr(operation, "request", 0))]
    there.append(step.before["trading_sessions"].get(getattr(operation, "session", 0)))
    ended = getattr(operation, "mandate", 0)
    there += [given for given in step.before["mandates"].values() if given.mandate.id == ended]
    links = step.meant.links if isinstance(step.meant, Request) else ()
    there += [step.before["holds"].get(getattr(link, "hold", 0)) for link in links]
    return _written(there)


Adoption = AdoptPolicy | CompleteAdoption | CancelAdoption


def _owners(table: str, key: Any, then: dict[Any, Any], now: dict[Any, Any]) -> list[str]:
    """Name the members that a row belongs to: those in its key, else those in what it holds."""
    if table == "sessions":
        before, after = then.get(key, {}), now.get(key, {})
        key = [bucket for bucket in {**before, **after} if before.get(bucket) != after.get(bucket)]
    held = _written((then.get(key), now.get(key))) if table != "sessions" else ""
    return [one for one in CLIENTS if one in repr(key)] or [one for one in CLIENTS if one in held]


def _written(content: object) -> str:
    """Write anything down but its bytes: a digest of `\\x0bob` names nobody."""
    return re.sub(r"""(?<!\w)b('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", "", repr(content))


def _value(contracts: int, price_e10: int) -> int:
    """Value contracts of 0.001 BTC in units of USDC."""
    value, rest = divmod(contracts * price_e10, 10**7)
    assert rest == 0
    return value


def _is_known_halt(step: Step) -> bool:
    """Say whether it is a halt for which the policy names nobody: then neither id nor keys count."""
    is_halt = isinstance(step.operation, Freeze | Resume)
    return is_halt and step.operation.kind not in step.rules.policy.halts


def _lies_in(scope: str, path: str) -> bool:
    kind, _, name = scope.partition("/")
    if kind == "compartment":
        return path == name
    if kind == "member":
        party, _, member = name.partition("/")
        return path.startswith((f"{party}/{member}/", f"venue/{member}/", f"outside/{member}"))
    if kind == "pool":
        return path == f"insurance/{name}" or (path.startswith("client/") and path.endswith(f"/{name}"))
    if kind == "shard":
        part, _, shards = name.partition("-of-")
        member = member_of(path)
        party = "staff" if path.startswith("staff") else "client"
        number = int.from_bytes(sha256(f"{party}/{member}".encode()).digest()[:8], "big")
        return bool(member) and number % int(shards) == int(part)
    return scope == "book"


def _is_met(policy: Policy, need: Need, signed: set[str], member: str, names: dict[str, str]) -> bool:
    """Say whether a need is met; no key of this venue stands in two places of one quorum."""
    if isinstance(need, KeyNeed):
        is_own = policy.keys[need.key].per is not None
        whose = names.get(need.member, need.member) if need.member else member
        return (f"{need.key}/{whose}" if is_own else need.key) in signed
    return sum(_is_met(policy, one, signed, member, names) for one in need.of) >= need.count
