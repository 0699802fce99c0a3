"""The service `ledger`: the one writer of the book. It pulls; nobody pushes anything into it but the wallet.

Whatever it pulls it judges by itself, from its own state and its own verification of every signature. It adds
its own signature only to what the policy asks it for, since the book judges that again in any case.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import msgspec

from ringfence.kernel.decision import Accepted, Decision, Reason, Refused
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Clock, Instant
from ringfence.planes.ledger.journal import JournalRecord
from ringfence.planes.ledger.operations import (
    CarryOut,
    Keys,
    OpenMember,
    Operation,
    PriceFact,
    Record,
    RegisterKey,
    Remark,
    Request,
    RevokeKey,
    RotateKey,
    Signature,
    signing_bytes,
)
from ringfence.planes.ledger.signing import Verifier
from ringfence.planes.network.wire import CallFailedError
from ringfence.services.history import Dated, requests_carried_out
from ringfence.services.instructions import Sign
from ringfence.services.ledger import INSTANT_END, Book
from ringfence.services.matching.engine import NumberedFill
from ringfence.services.platform.fills_pulled import VOID, FillsPulled
from ringfence.services.platform.keys_told import KeyLog
from ringfence.services.platform.messages import (
    BODY_BYTES_MAX,
    After,
    Approved,
    ApprovedAfter,
    Arrival,
    Arrivals,
    ChainEntries,
    Deposit,
    Empty,
    Fills,
    FillsAfter,
    Followed,
    KeyChange,
    News,
    Outcome,
    Outcomes,
    Prices,
    Requests,
    change_id,
    fitting,
    outcome_of,
)
from ringfence.services.platform.own_ids import fill_id, fill_number, is_reserved, last_known
from ringfence.services.platform.service import OPERATOR, Duty, Method, Peers, ask, serve
from ringfence.services.platform.signers import Signers

LEDGER_KEY, WALLET_KEY = "ledger_key", "wallet_key"
PULL_NS = SECOND_NS // 20
WAITING_OF_ONE_MAX = 100
"""How many requests that one person signed first may wait for others, so that nobody keeps the rest out."""

TO_SIGN_MAX = 500
FILLS_IN_RECORD_MAX = 100
"""How many fills one record holds at most, so that it fits a frame on its way to who follows the book."""

RECORD_BYTES = 400
"""What a record takes in a frame beside its payload."""

RECORDS_MAX = 200
TO_TELL_MAX = 100_000
"""Of how many requests a gateway that does not answer is told later; the oldest are forgotten."""

WORDS_MAX = 1_000
"""How many characters are told of why: a refusal repeats what somebody wrote, however long that is."""

Admin = OpenMember | RegisterKey | RotateKey | RevokeKey

_Answer = TypeVar("_Answer", bound=msgspec.Struct)


class Admission(Record, frozen=True):
    """What the operator changes: members and keys."""

    operations: tuple[Admin, ...]


class Holdings(Record, frozen=True):
    """What the book holds, for the operator: (compartment, asset, units)."""

    rows: tuple[tuple[str, str, int], ...]
    positions: tuple[tuple[str, str, int], ...] = ()
    digest: str = ""
    records: int = 0


class LedgerService:
    """A book that pulls what it is asked from the other services.

    gateways: whom requests are pulled from; sees_chain: whether a flow lets it read the chain itself; where
    none does, what arrived is for the watcher alone to say.
    """

    def __init__(
        self,
        book: Book,
        verify: Verifier,
        sign: Sign,
        clock: Clock,
        peers: Peers,
        gateways: Sequence[str] = ("gateway",),
        *,
        sees_chain: bool = True,
    ) -> None:
        self._book = book
        self._sign = sign
        self._clock = clock
        self._peers = peers
        self._signers = Signers(book.rules, verify)
        self._waiting: dict[int, Request] = {}
        self._tell: dict[str, dict[int, Outcome]] = {name: {} for name in gateways}
        self._sees_chain = sees_chain
        self._carried_out: list[int] = []
        decided = last_known(lambda number: self._is_known(fill_id(number)))
        self._fills = FillsPulled(decided)
        self._rotations: list[RotateKey] = []
        self._keys = KeyLog(book.state, clock.now())
        self._keys_told = (0, 0)
        self._arrivals = 0
        self._followed = -1
        self._prices: dict[str, PriceFact] = {}
        for request in self._paid_for_before():
            self._note_carried_out(request)
        self._signers.follow(self._keys.all())

    @property
    def methods(self) -> Mapping[str, Method]:
        """The wallet pulls what it has to sign, and hands it back signed."""
        return {
            "approved": Method("wallet", serve(ApprovedAfter, self.approved)),
            "signed": Method("wallet", serve(Requests, self.take_signed)),
            "admit": Method(OPERATOR, serve(Admission, self.admit)),
            "holdings": Method(OPERATOR, serve(Empty, self.holdings)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Everything is pulled in turn: prices before what is judged by them."""
        return (Duty("pull", PULL_NS, self._pull),)

    def figures(self) -> Mapping[str, int | str]:
        """Say how far the book is."""
        return {
            "records": self._book.head.sequence + 1,
            "fills": self._fills.decided,
            "refused fills": self._fills.refused_in_all,
            "waiting": len(self._waiting),
        }

    def close(self) -> None:
        """Let go of the book."""
        self._book.close()

    # --- the operator

    def admit(self, body: Admission, now: Instant) -> Outcomes:
        """Open members and register keys."""
        outcomes = self._submit(body.operations, now)
        return Outcomes(tuple(outcome_of(0, one) for one in outcomes))

    def holdings(self, _: Empty, now: Instant) -> Holdings:  # noqa: ARG002
        """Return every balance of the book."""
        state = self._book.state
        rows = tuple(sorted(row for row in state.balances() if row[2]))
        instruments = self._book.rules.instruments
        return Holdings(
            tuple(row for row in rows if row[1] not in instruments),
            tuple(row for row in rows if row[1] in instruments),
            state.digest().hex(),
            self._book.head.sequence + 1,
        )

    # --- the wallet

    def approved(self, has: ApprovedAfter, now: Instant) -> Approved:
        """Return the requests that only the wallet still has to sign, and what was carried out of them.

        has: what the wallet has seen of what was carried out and rotated; it is told of those after.
        """
        to_sign = fitting(
            (
                request
                for request in self._waiting.values()
                if request.expires >= now and self._missing(request) == {WALLET_KEY}
            ),
            TO_SIGN_MAX,
        )
        state = self._book.state
        names = dict.fromkeys(one.key for request in to_sign for one in request.signatures)
        return Approved(
            to_sign,
            tuple(self._carried_out[has.carried_out : has.carried_out + RECORDS_MAX]),
            {name: state.public_keys()[name] for name in names if name in state.public_keys()},
            tuple(name for name in names if name in state.revoked_keys()),
            tuple(self._rotations[has.rotations : has.rotations + RECORDS_MAX]),
        )

    def take_signed(self, body: Requests, now: Instant) -> Outcomes:
        """Take requests back that the wallet has signed."""
        return Outcomes(tuple(self._take(request, now) for request in body.requests))

    # --- pulling

    async def _pull(self, _: Instant) -> None:
        await self._pull_prices()
        await self._pull_arrivals()
        await self._pull_fills()
        await self._pull_dues()
        for gateway in self._tell:
            await self._pull_requests(gateway)
        self._carry_out_pending(self._clock.now())

    async def _pull_prices(self) -> None:
        prices = await self._asked("marks", "pull", Empty(), Prices)
        now = self._clock.now()
        facts = [one.fact for one in prices.prices if self._is_newer(one.fact, now)] if prices else []
        self._submit(facts, now)
        self._prices.update((fact.name, fact) for fact in facts)

    def _is_newer(self, fact: PriceFact, now: Instant) -> bool:
        """Say whether a price is worth a record: it changed, or what is known of it grows old."""
        kept = self._prices.get(fact.name)
        if kept is None or fact.name not in self._book.rules.prices:
            return kept is None and fact.name in self._book.rules.prices
        changed = [q.price_e10 for q in kept.quotes] != [q.price_e10 for q in fact.quotes]
        oldest = min((quote.at for quote in kept.quotes), default=0)
        return changed or now - oldest > self._book.rules.prices[fact.name].stale_ns // 3

    async def _pull_arrivals(self) -> None:
        found = await self._asked("watcher", "arrivals", After(self._arrivals), Arrivals)
        if not found or not found.arrivals:
            return
        seen = await self._seen_on_chain() if self._sees_chain else {}
        for arrival in found.arrivals:
            if self._sees_chain and not self._is_seen(arrival, seen):
                return  # the chain may know it a little later; until it does, nothing is believed
            self._submit([arrival.receipt, self._countersigned(arrival.request)], self._clock.now())
            self._arrivals = arrival.number

    async def _seen_on_chain(self) -> dict[str, Deposit]:
        chain = await self._asked("chain", "entries", After(self._arrivals), ChainEntries)
        return {one.reference: one.deposit for one in chain.entries if one.is_final} if chain else {}

    def _is_seen(self, arrival: Arrival, seen: Mapping[str, Deposit]) -> bool:
        receipt = arrival.receipt
        return seen.get(receipt.reference) == Deposit(receipt.target, receipt.asset, receipt.units)

    async def _pull_fills(self) -> None:
        keys = self._keys.after(*self._keys_told)
        asked = FillsAfter(self._fills.decided, self._fills.settled, keys, self._fills.refused)
        found = await self._asked("matching", "fills", asked, Fills)
        if found is None:
            return
        self._fills.heard(found.undone)
        self._keys_told = found.keys_epoch, found.keys_known
        plain = self._fills.take(found.fills)
        for first in range(0, len(plain), FILLS_IN_RECORD_MAX):
            together = plain[first : first + FILLS_IN_RECORD_MAX]
            decisions = self._submit([self._fill_request(one) for one in together], self._clock.now())
            for one, decision in zip(together, decisions, strict=True):
                self._fills.note(one, decision)

    def _fill_request(self, numbered: NumberedFill) -> Request:
        digest = self._book.rules.digest
        return Request(fill_id(numbered.number), (numbered.fill,), digest, INSTANT_END - 1)

    async def _pull_dues(self) -> None:
        records, head = self._records(self._followed + 1), self._book.head.sequence
        reached = records[-1].sequence if records else self._followed
        # Risk can only say whether a bucket is to be closed where it knows everything that happened.
        forced = self._fills.forced[:FILLS_IN_RECORD_MAX] if reached == head else ()
        found = await self._asked("risk", "pull", News(records, forced), Followed)
        if found is None:
            return
        self._followed = min(found.sequence, head)
        requests = {request.id: self._countersigned(request) for request in found.requests}
        if forced and self._followed == head:
            self._decide_forced(forced, requests)
        plain = [request for request in requests.values() if fill_number(request.id) is None]
        self._submit(plain, self._clock.now())

    def _decide_forced(self, forced: Sequence[NumberedFill], signed: Mapping[int, Request]) -> None:
        """Decide the next fills that have a forced side, together; what risk did not sign is void."""
        digest = self._book.rules.digest
        void = [Remark("void_fill", str(n.number), VOID) for n in forced if fill_id(n.number) not in signed]
        requests = [
            signed.get(fill_id(one.number)) or Request(fill_id(one.number), (), digest, INSTANT_END - 1)
            for one in forced
        ]
        decisions = self._submit([*void, *requests], self._clock.now())
        for one, decision in zip(forced, decisions[len(void) :], strict=True):
            self._fills.note(one, decision)

    def _records(self, first: int) -> tuple[JournalRecord, ...]:
        """Return the records from `first` on, as many as fit one frame."""
        found: list[JournalRecord] = []
        size = 0
        if first > self._book.head.sequence:
            return ()
        for record in self._book.records(first):
            size += len(record.payload) * 4 // 3 + RECORD_BYTES
            if found and (size > BODY_BYTES_MAX or len(found) >= RECORDS_MAX):
                break
            found.append(record)
        return tuple(found)

    async def _pull_requests(self, gateway: str) -> None:
        waiting = self._tell[gateway]
        told = fitting(waiting.values(), RECORDS_MAX)
        found = await self._asked(gateway, "pull", Outcomes(told), Requests)
        if found is None:
            return
        for outcome in told:
            if waiting.get(outcome.id) is outcome:
                del waiting[outcome.id]
        now = self._clock.now()
        self._forget(now)
        for cancel in found.cancels:
            (decision,) = self._submit([cancel], now)
            if not isinstance(decision, Refused):
                self._tell_all(Outcome(cancel.request, "refused", "REQUEST_CANCELLED", cancel.reason))
        for changed in found.changes:
            self._tell_all(self._change_key(changed, now))
        for request in found.requests:
            self._tell_all(self._take(request, now))

    def _tell_all(self, outcome: Outcome) -> None:
        """Tell every gateway next time: people may ask at another one than they came in by.

        Only the last word about each, and so many: a gateway may be away for long.
        """
        outcome = msgspec.structs.replace(outcome, words=outcome.words[:WORDS_MAX])
        for waiting in self._tell.values():
            waiting.pop(outcome.id, None)
            waiting[outcome.id] = outcome
            if len(waiting) > TO_TELL_MAX:
                del waiting[next(iter(waiting))]

    def _change_key(self, changed: KeyChange, now: Instant) -> Outcome:
        """Change a key for whoever has it; the operator's own ways of revoking are not for strangers."""
        change, identifier = changed.change, change_id(changed)
        if isinstance(change, RevokeKey) and self._book.rules.freeze_needs is None:
            signed = self._signers.of(change.signatures, signing_bytes(change), now)
            if change.key not in signed:
                words = f"revoking {change.key} needs its own signature"
                return Outcome(identifier, "refused", Reason.NEEDS_NOT_MET.name, words)
        (decision,) = self._submit([change], now)
        return outcome_of(identifier, decision)

    # --- requests

    def _take(self, request: Request, now: Instant) -> Outcome:
        """Carry a request out, or keep it until all have signed."""
        if is_reserved(request.id):
            return Outcome(request.id, "refused", words="ids of that kind are the platform's own")
        known = self._waiting.get(request.id)
        if known is not None and signing_bytes(known) == signing_bytes(request):
            request = msgspec.structs.replace(request, signatures=(*known.signatures, *request.signatures))
        request = self._with_good_signatures(request, now)
        missing = self._missing(request)
        if missing == {LEDGER_KEY}:
            request = self._countersigned(request)
        elif missing and not self._is_known(request.id) and request.expires >= now:
            return self._wait(request, missing)
        self._waiting.pop(request.id, None)
        (decision,) = self._submit([request], now)
        if decision == Accepted():
            # Not once more where it is repeated: the journal, which this is read from again, has it once.
            self._note_carried_out(request)
        return outcome_of(request.id, decision)

    def _carry_out_pending(self, now: Instant) -> None:
        """Carry out what has waited long enough; the book judges everything again."""
        due = [one for one in self._book.state.pending().values() if one.due is not None and one.due <= now]
        for pending in due:
            if pending.is_expired(now):
                continue
            (decision,) = self._submit([CarryOut(pending.request.id)], now)
            self._tell_all(outcome_of(pending.request.id, decision))
            if decision == Accepted():
                self._note_carried_out(pending.request)

    def _paid_for_before(self) -> Iterator[Request]:
        """Read in the journal what the wallet may still have to pay since before this process began."""
        return (request for _, request in requests_carried_out(self._noted(self._book.lines())))

    def _noted(self, lines: Iterable[Dated]) -> Iterator[Dated]:
        """Take note, on the way, of refused fills and of rotations, which others may not have heard of."""
        for dated in lines:
            operation, decision = dated.line.operation, dated.line.decision
            if isinstance(operation, Request) and isinstance(decision, Refused):
                self._fills.note_refused(operation, decision)
            elif isinstance(operation, RotateKey) and decision == Accepted():
                self._rotations.append(operation)
            yield dated

    def _note_carried_out(self, request: Request) -> None:
        """Tell the wallet later what it has signed and may pay now."""
        if any(one.key == WALLET_KEY for one in request.signatures):
            self._carried_out.append(request.id)

    def _wait(self, request: Request, missing: Iterable[str]) -> Outcome:
        if request.id not in self._waiting and (words := self._refusal_to_wait(request)):
            return Outcome(request.id, "refused", Reason.NEEDS_NOT_MET.name, words)
        self._waiting[request.id] = request
        return Outcome(request.id, "waiting", words=f"not signed yet by {', '.join(sorted(missing))}")

    def _refusal_to_wait(self, request: Request) -> str:
        """Say why a request may not wait for signatures: what nobody known signed would for ever."""
        if not request.signatures:
            return "nobody that the book knows has signed it"
        first = min(one.key for one in request.signatures)
        of_one = sum(
            min(one.key for one in waiting.signatures) == first for waiting in self._waiting.values()
        )
        return f"{of_one} requests of {first} wait already" if of_one >= WAITING_OF_ONE_MAX else ""

    def _forget(self, now: Instant) -> None:
        for identifier in [key for key, request in self._waiting.items() if request.expires < now]:
            del self._waiting[identifier]
            words = "it expired before all had signed"
            self._tell_all(Outcome(identifier, "refused", "REQUEST_EXPIRED", words))

    def _with_good_signatures(self, request: Request, now: Instant) -> Request:
        """Keep one good signature of each key: strangers may have sent bad ones in somebody's name."""
        content = signing_bytes(request)
        good: dict[str, Signature] = {}
        for one in request.signatures:
            if one.key not in good and self._signers.of((one,), content, now):
                good[one.key] = one
        return msgspec.structs.replace(request, signatures=tuple(good.values()))

    def _missing(self, request: Request) -> frozenset[str]:
        return self._signers.missing(request, frozenset(one.key for one in request.signatures))

    def _countersigned(self, request: Request) -> Request:
        """Add the ledger's own signature; what it is worth, the book decides."""
        signature = self._sign(LEDGER_KEY, signing_bytes(request))
        if signature is None or any(one.key == LEDGER_KEY for one in request.signatures):
            return request
        return msgspec.structs.replace(request, signatures=(*request.signatures, signature))

    def _submit(self, operations: Sequence[Operation], now: Instant) -> tuple[Decision, ...]:
        outcomes = self._book.submit(operations, now)
        if self._book.is_checkpoint_due:
            self._book.checkpoint(now, self._sign)
        decisions = tuple(outcome.decision for outcome in outcomes)
        self._note_keys(operations, decisions)
        return decisions

    def _note_keys(self, operations: Sequence[Operation], decisions: Sequence[Decision]) -> None:
        """Judge by the keys that the book knows from now on, and tell the wallet of each rotation."""
        if not any(isinstance(operation, OpenMember | Keys) for operation in operations):
            return
        self._rotations += [
            operation
            for operation, decision in zip(operations, decisions, strict=True)
            if isinstance(operation, RotateKey) and decision == Accepted()
        ]
        self._signers.follow(self._keys.note(operations))

    def _is_known(self, identifier: int) -> bool:
        return self._book.state.is_used(identifier)

    async def _asked(
        self, target: str, method: str, body: msgspec.Struct, answer: type[_Answer]
    ) -> _Answer | None:
        """Ask another service; None where it is away: everything else goes on without it."""
        try:
            return await ask(self._peers, target, method, body, answer)
        except (UnreachableError, CallFailedError):
            return None
