"""The book: one deterministic state machine that holds every balance, position and entitlement.

Its state is determined by the operations it was given and when. It never reads a clock and never fails half
way: an operation is carried out as a whole or refused and takes nothing with it but its id, which can then
never succeed. Conservation is checked after every request; a violation is our own mistake and raises.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import msgspec

from ringfence.kernel.decision import REASONS, Accepted, Decision, Reason, Refused
from ringfence.kernel.digest import canonical_bytes, tagged_digest
from ringfence.kernel.errors import ViolationError
from ringfence.kernel.ids import ID_MAX, show_id
from ringfence.kernel.instant import Instant, show_instant
from ringfence.planes.ledger import (
    addresses,
    fills,
    holds,
    key_changes,
    mandates,
    moves,
    opening,
    records,
    settling,
    statements,
    trading_sessions,
    waiting,
)
from ringfence.planes.ledger.chain import Chain
from ringfence.planes.ledger.closing_members import close_member
from ringfence.planes.ledger.conditions import NO_CONDITIONS, Conditions
from ringfence.planes.ledger.entitlements import Owed
from ringfence.planes.ledger.laws import halts_for, violations
from ringfence.planes.ledger.ledger import Ledger, limited_members
from ringfence.planes.ledger.limits import Counter
from ringfence.planes.ledger.operations import (
    Adoption,
    AdoptPolicy,
    Announce,
    Approve,
    Cancel,
    CancelAdoption,
    CarryOut,
    CloseMember,
    CloseSession,
    CompleteAdoption,
    EndMandate,
    Entry,
    Fill,
    Freeze,
    Fund,
    Link,
    Mandate,
    Move,
    Opening,
    OpenMember,
    OpenSession,
    Operation,
    PinAddress,
    Post,
    PriceFact,
    Receipt,
    RegisterKey,
    Remark,
    Request,
    Resume,
    RevokeKey,
    RotateKey,
    Settle,
    Statement,
    Void,
    signing_bytes,
)
from ringfence.planes.ledger.packed_tables import Totals
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.prices import AgreedPrice
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.ledger.stopping import is_book_stopped
from ringfence.planes.ledger.tables import Given, Hold, SessionState, Waiting

LINKS_MAX: Final = 1 << 20
"""Most links of one request."""

_ACCEPTED: Final = Accepted()
_REPEATED: Final = Accepted(repeated=True)
_SEPARATOR: Final = "; "
_PENDING: Final = Accepted(pending=True)
_STILL_PENDING: Final = Accepted(repeated=True, pending=True)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The answer to one operation, and the legs that were booked (none where refused or repeated)."""

    decision: Decision
    entries: tuple[Entry, ...] = ()


class Position(msgspec.Struct, frozen=True, gc=False):
    """Contracts held (long positive) and what their fills were worth since the last settlement."""

    contracts: int
    session_value: int


class BookState:
    """A book under one policy."""

    def __init__(self, rules: Rules) -> None:
        self.at = Instant(0)
        self.ledger = Ledger(rules)
        self._tables = self.ledger.tables

    @property
    def rules(self) -> Rules:
        """The rules in force."""
        return self.ledger.rules

    # --- asking the book to do something

    def apply(
        self,
        operation: Operation,
        at: Instant,
        verify: Verifier,
        conditions: Conditions = NO_CONDITIONS,
    ) -> Outcome:
        """Carry out one operation, or refuse it.

        at: never before the last one; verify: says whether a signature fits; conditions: margin's facts.
        Raises ViolationError where conservation does not hold afterwards: the book must not be used then.
        """
        if at < self.at:
            words = f"the time was {show_instant(at)}, and the book is at {show_instant(self.at)}"
            return Outcome(Refused(Reason.CLOCK_WENT_BACK, words))
        self.pass_time(at)
        match operation:
            case Request():
                return self._request(operation, at, verify, conditions)
            case Announce():
                return self._request(operation.request, at, verify, conditions, gathers=True)
            case CarryOut():
                return self._carry_out_pending(operation.request, at, verify, conditions)
            case Opening():
                return self._open(operation, at, verify)
            case _:
                return self._record(operation, at, verify)

    def _open(self, operation: Opening, at: Instant, verify: Verifier) -> Outcome:
        found = opening.take_opening(self.ledger, operation, at, verify)
        if isinstance(found, Refused):
            self._tables.rollback()
            return Outcome(found)
        self._tables.commit()
        self._tables.check_conservation()
        return Outcome(_REPEATED if found is None else _ACCEPTED, found or ())

    def pass_time(self, at: Instant) -> None:
        """Let it be `at`: what ends by itself ends now."""
        self.at = at
        if self._tables.holds:
            holds.expire(self.ledger, at)

    def _record(self, operation: Operation, at: Instant, verify: Verifier) -> Outcome:
        found = self._take(operation, at, verify)
        if isinstance(found, Refused):
            self._tables.rollback()
            return Outcome(found)
        self._tables.commit()
        return Outcome(_REPEATED if found else _ACCEPTED)

    def _take(self, operation: Operation, at: Instant, verify: Verifier) -> Refused | bool | None:
        """Take a fact or a change of state; True where it was taken before."""
        ledger = self.ledger
        match operation:
            case PriceFact():
                return records.take_price(ledger, operation, at)
            case OpenMember():
                return records.open_member(ledger, operation, at)
            case CloseMember():
                return close_member(ledger, operation, at)
            case RegisterKey():
                return records.register_key(ledger, operation)
            case RevokeKey():
                return key_changes.revoke(ledger, operation, at, verify)
            case RotateKey():
                return key_changes.rotate(ledger, operation, at, verify)
            case Receipt():
                return records.take_receipt(ledger, operation, at, verify)
            case Freeze() | Resume():
                return records.change_freeze(ledger, operation, at, verify)
            case AdoptPolicy() | CompleteAdoption() | CancelAdoption():
                return _take_adoption(ledger, operation, at, verify)
            case Mandate():
                return mandates.give(ledger, operation, at, verify)
            case EndMandate():
                return mandates.take_back(ledger, operation, at, verify)
            case OpenSession():
                return trading_sessions.open_session(ledger, operation, at, verify)
            case CloseSession():
                return trading_sessions.close_session(ledger, operation, at, verify)
            case PinAddress():
                return addresses.pin(ledger, operation, at, verify)
            case Statement():
                return statements.state(ledger, operation, at, verify)
            case Approve():
                return waiting.approve(ledger, operation, at, verify)
            case Cancel():
                return waiting.cancel(ledger, operation, at, verify)
            case Remark() | Request() | Announce() | CarryOut() | Opening():
                return None

    # --- requests

    def _request(
        self,
        request: Request,
        at: Instant,
        verify: Verifier,
        conditions: Conditions,
        gathers: bool = False,
    ) -> Outcome:
        """Carry out a request or announce it; gathers: it may wait for signatures."""
        content = signing_bytes(request)
        earlier = self._tables.answer(request.id)
        if earlier == (content, 0):
            return Outcome(_REPEATED)
        pending = self._tables.pending.get(request.id)
        if pending is not None and pending.content == content:
            return Outcome(_STILL_PENDING)
        if not 0 < request.id <= ID_MAX:
            words = f"the id was {request.id}; it is a positive whole number below 2^128"
            return Outcome(Refused(Reason.ID_NOT_POSSIBLE, words))
        refused = self._judge(request, content, earlier, at)
        if refused is not None:
            if earlier is None:
                self._burn(request, content, refused)
            return Outcome(refused)
        chain = Chain(self.ledger, request, content, at, verify, conditions)
        if gathers or self._waits(request):
            return self._announce(chain, gathers)
        return self._carry_out(chain)

    def _waits(self, request: Request) -> bool:
        delayed = self.rules.delayed
        if not delayed:
            return False
        return any(isinstance(link, Move) and link.gate in delayed for link in request.links)

    def _announce(self, chain: Chain, gathers: bool) -> Outcome:
        """Make a request pending that could be carried out now, but for its delay and missing signatures."""
        request, content, at, verify = chain.request, chain.content, chain.at, chain.verify
        if gathers:
            refused = waiting.fault_of_announcing(self.ledger, request, content, at, verify)
            signers = waiting.asked_of(waiting.passages_of(self.ledger, request))
            chain = Chain(self.ledger, request, content, at, verify, chain.conditions, signers)
        else:
            delay_ns = waiting.delay_of(waiting.passages_of(self.ledger, request))
            refused = waiting.fault_of_time(request, delay_ns, at)
        refused = refused or self._run(chain)
        if refused is not None:
            return self._take_back(chain, refused)
        self._tables.rollback()
        waiting.keep(self.ledger, request, content, at, verify)
        self._tables.commit()
        return Outcome(_PENDING)

    def _carry_out_pending(
        self, identifier: int, at: Instant, verify: Verifier, conditions: Conditions
    ) -> Outcome:
        """Judge a pending request again, as of now, and carry it out."""
        pending = self._tables.pending.get(identifier)
        if pending is None:
            known = self._tables.answer(identifier)
            if known is not None and known[1] == 0:
                return Outcome(_REPEATED)
            return Outcome(waiting.not_pending(self.ledger, identifier))
        request = pending.request
        signers = waiting.signers_at(self.ledger, pending, at, verify)
        lacks = waiting.lacking(waiting.passages_of(self.ledger, request), signers)
        chain = Chain(self.ledger, request, pending.content, at, verify, conditions, signers)
        refused = (
            self._judge(request, pending.content, None, at)
            or waiting.fault_of_time_and_signers(pending, lacks, at)
            or self._run(chain)
        )
        if refused is None:
            self._hold(chain)
            waiting.end(self.ledger, pending, 0)
            self._tables.commit()
            return Outcome(_ACCEPTED, tuple(chain.entries))
        self._tables.rollback()
        if chain.broken:
            refused = self._stop(chain, refused)
        if refused.reason not in waiting.LEAVES_PENDING:
            waiting.end(self.ledger, pending, int(refused.reason))
            self._tables.commit()
        return Outcome(refused)

    def _judge(
        self, request: Request, content: bytes, earlier: tuple[bytes, int] | None, at: Instant
    ) -> Refused | None:
        """Judge the request itself, before what it asks for."""
        stopped = is_book_stopped(self._tables.frozen)
        if stopped:
            return Refused(Reason.BOOK_IS_STOPPED, f"the book is stopped: {self._tables.frozen[stopped]}")
        if earlier is not None and earlier[0] != content:
            words = f"id {show_id(request.id)} was used with other content; take a new id"
            return Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
        if earlier is not None:
            words = f"id {show_id(request.id)} was refused before ({REASONS[earlier[1]].name}); take a new id"
            return Refused(Reason.ID_ALREADY_REFUSED, words)
        if request.policy != self.rules.digest:
            return Refused(
                Reason.POLICY_DIGEST_DIFFERS, f"the request names {self.ledger.other_policy(request.policy)}"
            )
        if request.expires < at:
            return Refused(
                Reason.REQUEST_EXPIRED, f"it was good until {show_instant(Instant(request.expires))}"
            )
        if not request.links:
            return Refused(Reason.CHAIN_IS_EMPTY, "the request has no links; it needs at least one")
        if len(request.links) > LINKS_MAX:
            words = f"the request has {len(request.links)} links; at most {LINKS_MAX} are carried out at once"
            return Refused(Reason.CHAIN_TOO_LONG, words)
        return holds.fault_of_form(self.ledger, request, at)

    def _carry_out(self, chain: Chain) -> Outcome:
        """Carry out a chain; one refusal takes everything back."""
        refused = self._run(chain)
        if refused is not None:
            return self._take_back(chain, refused)
        self._hold(chain)
        self._tables.put(self._tables.ids, chain.request.id, (chain.content, 0))
        self._tables.commit()
        return Outcome(_ACCEPTED, tuple(chain.entries))

    def _hold(self, chain: Chain) -> None:
        """Take back what a request did that asks for a hold, and hold it instead."""
        if chain.request.hold_until:
            self._tables.rollback()
            holds.keep(self.ledger, chain.request, chain.entries)
            chain.entries.clear()

    def _run(self, chain: Chain) -> Refused | None:
        """Book a chain link by link, to be kept or taken back; say why it is refused, if it is."""
        for leg, link in enumerate(chain.request.links):
            refused = _carry_out_link(chain, link)
            if refused is not None:
                return replace(refused, leg=leg)
        refused = chain.fault_at_end()
        if refused is not None:
            return replace(refused, leg=len(chain.request.links) - 1)
        return self._fault_of_laws(chain)

    def _take_back(self, chain: Chain, refused: Refused) -> Outcome:
        self._tables.rollback()
        if chain.broken:
            refused = self._stop(chain, refused)
        self._burn(chain.request, chain.content, refused)
        return Outcome(refused)

    def _burn(self, request: Request, content: bytes, refused: Refused) -> None:
        """Remember a refused id for ever, so that a late retry cannot succeed by accident."""
        self._tables.put(self._tables.ids, request.id, (content, int(refused.reason)))
        self._tables.commit()

    def _fault_of_laws(self, chain: Chain) -> Refused | None:
        """Check the laws for whatever a request touched; a broken one takes it back and stops its scope."""
        chain.broken = violations(self.ledger, chain.entries)
        if not chain.broken:
            return None
        words = "; ".join(f"{one.law}: {one.words}" for one in chain.broken)
        return Refused(Reason.LAW_BROKEN, f"{words}; this is a mistake of ringfence: tell its maintainers")

    def _stop(self, chain: Chain, refused: Refused) -> Refused:
        """Stop what a broken law was found in, and name the halts in the refusal, as its rule.

        ViolationError where taking the request back did not help: then memory is wrong.
        """
        left = [one for one in violations(self.ledger, chain.entries) if one.law != "containment"]
        if left:
            raise ViolationError("; ".join(one.words for one in left))
        refused = replace(refused, rule=_SEPARATOR.join(halts_for(self.ledger, chain.broken)))
        self._put_halts(refused)
        return refused

    def _put_halts(self, refused: Refused) -> None:
        for key in refused.rule.split(_SEPARATOR):
            self._tables.put(self._tables.frozen, key, refused.words)

    def keep_broken(self, operation: Operation, refused: Refused, at: Instant) -> Outcome:
        """Take a refusal for a broken law as it was journalled: the program may have been mended since."""
        self.pass_time(at)
        request, tables = self.meant(operation), self._tables
        self._put_halts(refused)
        if isinstance(request, Request):
            pending = tables.pending.get(request.id)
            if pending is not None:
                waiting.end(self.ledger, pending, int(refused.reason))
            else:
                tables.put(tables.ids, request.id, (signing_bytes(request), int(refused.reason)))
        tables.commit()
        return Outcome(refused)

    # --- reading the book

    def balance(self, compartment: str, asset: str) -> int:
        """Return what a compartment holds in units; below zero only outside, for contracts and for debts."""
        return self._tables.balance(compartment, asset)

    def held(self, compartment: str, asset: str) -> int:
        """Return the units of a balance that are held for requests that may still happen."""
        return self._tables.held.get((compartment, asset), 0)

    def holds(self) -> Mapping[int, Hold]:
        """Return every hold that has not ended, by the id of its request. Do not change it."""
        return self._tables.holds

    def totals(self, compartment: str, asset: str) -> Totals:
        """Return the two running totals of a compartment and asset: debits and credits."""
        return self._tables.balances.totals(compartment, asset)

    def balances(self) -> Iterator[tuple[str, str, int]]:
        """Go through every (compartment, asset, units) that was ever touched, contracts included."""
        for (compartment, asset), (debits, credits) in self._tables.balances.items():
            yield compartment, asset, credits - debits

    def position(self, bucket: str, instrument: str) -> Position:
        """Return a bucket's position in an instrument."""
        session = self._tables.session_value(bucket, instrument)
        return Position(self._tables.balance(bucket, instrument), session)

    def positions(self, instrument: str) -> dict[str, Position]:
        """Return every position of an instrument with contracts or an unsettled session value, by bucket."""
        return {bucket: self.position(bucket, instrument) for bucket in self._tables.sessions.of(instrument)}

    def positions_of(self, bucket: str) -> dict[str, Position]:
        """Return every such position of a bucket, by instrument."""
        return {
            instrument: Position(self._tables.balance(bucket, instrument), session)
            for instrument, session in self._tables.sessions.in_bucket(bucket).items()
        }

    def owed(self, accrual: str, source: str, target: str, asset: str) -> int:
        """Return what is owed under an accrual in units."""
        return self._tables.owed.get((accrual, source, target, asset), 0)

    def owed_by(self, source: str) -> Iterator[tuple[str, int]]:
        """Say what a compartment owes and has not paid: (asset, units), an asset as often as it is owed."""
        return self._tables.owed_by(source)

    def all_owed(self) -> Mapping[Owed, int]:
        """Return everything owed, by (accrual, source, target, asset). Do not change it."""
        return self._tables.owed

    def has_receipt(self, asset: str, reference: str) -> bool:
        """Say whether an arrival of an asset was recorded under this reference."""
        return (asset, reference) in self._tables.receipts

    def price(self, name: str) -> AgreedPrice | None:
        """Return the last agreed price of a name, stale or not."""
        return self._tables.prices.get(name)

    def room(self, gate: str, source: str, target: str, asset: str) -> int | None:
        """Return the units that the limits of a gate or exchange leave now; None where none counts."""
        exchange = self.rules.exchanges.get(gate)
        rule = exchange.gate if exchange is not None else self.rules.gates[gate]
        start, end = self.rules.place(source), self.rules.place(target)
        members = limited_members(start, end) if start is not None and end is not None else ()
        return self.ledger.room(rule, members, asset, self.at)[0]

    def pending(self) -> Mapping[int, Pending]:
        """Return every pending request by its id, those whose time has passed too. Do not change it."""
        return self._tables.pending

    def lacks(self, pending: Pending, at: Instant, verify: Verifier) -> str:
        """Name the first need of a pending request that is not met at an instant; "" where all are."""
        signers = waiting.signers_at(self.ledger, pending, at, verify)
        return waiting.lacking(waiting.passages_of(self.ledger, pending.request), signers)

    def may_cancel(self, pending: Pending) -> frozenset[str]:
        """Return the keys any of which may cancel a pending request."""
        return waiting.may_cancel(waiting.passages_of(self.ledger, pending.request))

    def address(self, compartment: str, at: Instant) -> str | None:
        """Return the address of a place outside that is in force; None where none has cooled."""
        place = self.ledger.place(compartment)
        return addresses.address_of(self.ledger, place, at) if place is not None else None

    def addresses(self) -> Iterator[tuple[str, str, Instant, Instant]]:
        """Go through (place, address, known since, counts from) of every address that matters."""
        return addresses.registered(self.ledger)

    def mandates(self) -> tuple[Given, ...]:
        """List the mandates that were not taken back, with what was moved under each."""
        return tuple(one for _, one in sorted(self._tables.mandates.items()))

    def statements(self) -> Mapping[str, Statement]:
        """Return the newest statement of each word. Do not change it."""
        return self._tables.statements

    def trading_sessions(self) -> Mapping[int, SessionState]:
        """Return every trading session by its id, closed ones too. Do not change it."""
        return self._tables.trading_sessions

    def session_holdings(self, at: Instant, verify: Verifier) -> tuple[tuple[str, str], ...]:
        """List (service, key): who may place whose orders now because a session ends there."""
        return tuple(trading_sessions.holdings(self.ledger, at, verify))

    def meant(self, operation: Operation) -> Operation:
        """Return the request that an operation announces or asks to carry out; others are what they are."""
        if isinstance(operation, Announce):
            return operation.request
        if isinstance(operation, CarryOut) and operation.request in self._tables.pending:
            return self._tables.pending[operation.request].request
        return operation

    def is_open(self, party: str, member: str) -> bool:
        """Say whether a member of a family was opened."""
        return (party, member) in self._tables.members

    def members(self, party: str) -> tuple[str, ...]:
        """List the open members of a family by name."""
        return tuple(sorted(member for family, member in self._tables.members if family == party))

    def public_keys(self) -> Mapping[str, bytes]:
        """Return the public keys the book knows, by concrete name. Do not change them."""
        return self._tables.keys

    def former_keys(self) -> Mapping[str, tuple[bytes, int]]:
        """Return what rotated keys stood for before, and until when that counts. Do not change it."""
        return self._tables.former

    def waiting(self) -> tuple[Waiting, ...]:
        """Return the adoptions of another policy that wait; at most one does."""
        return tuple(self._tables.adopting.values())

    def windows(self) -> Mapping[tuple[str, str, tuple[str, ...], str], Counter]:
        """Return what each limit has seen, by (gate, scope, members, asset). Do not change it."""
        return self._tables.windows

    def revoked_keys(self) -> Mapping[str, str]:
        """Return the keys that no longer count, each with the reason. Do not change it."""
        return self._tables.revoked

    def is_used(self, identifier: int) -> bool:
        """Say whether a request with this id was carried out or refused before."""
        return self._tables.answer(identifier) is not None

    def frozen(self) -> Mapping[str, str]:
        """Return every frozen scope with its reason. Do not change it."""
        return self._tables.frozen

    # --- laws and digests

    def check_conservation(self) -> None:
        """Add the whole book up again; ViolationError where debits and credits of an asset differ."""
        self._tables.check_conservation()

    def snapshot(self) -> dict[str, object]:
        """Return the whole state as plain data in a fixed order."""
        return {"at": self.at, "policy": self.rules.digest.hex(), **self._tables.content()}

    def digest(self) -> bytes:
        """Return the digest of the whole state: books that were asked the same have the same one."""
        return tagged_digest("ringfence book", msgspec.json.encode(self.snapshot(), order="deterministic"))

    def bucket_digest(self, compartment: str) -> bytes:
        """Return the digest of one compartment: its balances, contracts and session values, nothing else."""
        assets = [*self.rules.assets, *self.rules.instruments]
        content = self._tables.bucket_content(compartment, assets)
        return tagged_digest("ringfence bucket", canonical_bytes(content))


def _take_adoption(
    ledger: Ledger, operation: Adoption, at: Instant, verify: Verifier
) -> Refused | bool | None:
    # Comparing policies takes modules that a book which keeps its own never waits for.
    from ringfence.planes.ledger import (
        adopting,
    )

    match operation:
        case AdoptPolicy():
            return adopting.adopt(ledger, operation, at, verify)
        case CompleteAdoption():
            return adopting.complete(ledger, operation, at)
        case CancelAdoption():
            return adopting.cancel(ledger, operation, at, verify)


def _carry_out_link(chain: Chain, link: Link) -> Refused | None:
    match link:
        case Move():
            return moves.carry_out(chain, link)
        case Fill():
            return fills.carry_out(chain, link)
        case Settle():
            return settling.carry_out_settle(chain, link)
        case Fund():
            return settling.carry_out_fund(chain, link)
        case Post():
            return holds.post(chain, link)
        case Void():
            return holds.void(chain, link)
