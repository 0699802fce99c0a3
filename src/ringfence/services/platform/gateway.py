"""The service `gateway`: the only one that strangers reach. It carries signatures and has none.

Orders are handed to matching at once. Requests wait here until the ledger pulls them; signatures of several
people over the same request are put together. It can drop, delay or reorder what it carries, and nothing
else.
"""

from collections.abc import Mapping
from itertools import islice

import msgspec

from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import SECOND_NS, Instant
from ringfence.planes.ledger.operations import Cancel, Request, RevokeKey, RotateKey, Signature, signing_bytes
from ringfence.planes.ledger.signing import SIGNATURES_MAX
from ringfence.planes.network.wire import CallFailedError
from ringfence.services.platform.messages import (
    Asked,
    CancelOrder,
    KeyChange,
    Orders,
    Outcome,
    Outcomes,
    Requests,
    change_id,
    fitting,
    pack,
    unpack,
)
from ringfence.services.platform.service import Duty, Method, Peers, ask, serve

WAITING_MAX = 10_000
"""How many requests wait at most; more are refused until the ledger has pulled some."""

TOLD_MAX = 100_000
PULLED_MAX = 500
AGAIN_MAX = 20
SAID_BYTES_MAX = 100_000
"""How large one thing that strangers say may be, so that whatever they say fits the frame of a pull."""

SIGNATURE_BYTES, KEY_NAME_MAX = 64, 256
ORDERS_MAX = 500


class Gateway:
    """What strangers asked, and what became of it."""

    def __init__(self, peers: Peers) -> None:
        self._waiting: dict[int, Request] = {}
        self._fresh: dict[int, None] = {}
        self._cancels: list[Cancel] = []
        self._changes: list[KeyChange] = []
        self._told: dict[int, Outcome] = {}
        self._peers = peers
        self._carried = 0

    @property
    def methods(self) -> Mapping[str, Method]:
        """Strangers come from the internet; the ledger pulls."""
        return {
            "order": Method("internet", lambda body, _: self._order(unpack(Orders, body))),
            "cancel": Method("internet", lambda body, _: self._cancel(unpack(CancelOrder, body))),
            "request": Method("internet", serve(Request, self.take)),
            "cancel_request": Method("internet", serve(Cancel, self.take_cancel)),
            "change_key": Method("internet", serve(KeyChange, self.take_change)),
            "outcomes": Method("internet", lambda body, _: self._outcomes(unpack(Asked, body))),
            "pull": Method("ledger", serve(Outcomes, self.pull)),
        }

    @property
    def duties(self) -> tuple[Duty, ...]:
        """Requests that expired before the ledger came are forgotten."""
        return (Duty("forget", SECOND_NS, self._forget),)

    def figures(self) -> Mapping[str, int | str]:
        """Say what was carried and what waits."""
        return {"orders": self._carried, "waiting": len(self._waiting)}

    def close(self) -> None:
        """Hold nothing."""

    def take(self, request: Request, now: Instant) -> Outcome:
        """Keep a request until the ledger pulls it, with the signatures of everybody who sent it."""
        _check_size(request)
        known = self._waiting.get(request.id)
        if known is None:
            if request.id in self._told:
                return self._told[request.id]
            if len(self._waiting) >= WAITING_MAX:
                raise CallFailedError("overloaded", f"{WAITING_MAX} requests wait already")
            if request.expires < now or len(request.signatures) > SIGNATURES_MAX:
                return Outcome(request.id, "refused", words="it has expired, or has too many signatures")
            self._waiting[request.id] = request
            self._fresh[request.id] = None
        elif signing_bytes(known) != signing_bytes(request):
            return Outcome(request.id, "refused", words="another request with this id waits; take a new id")
        elif (joined := _joined(known, request)) != known:
            self._waiting[request.id] = joined
            self._fresh[request.id] = None
        return Outcome(request.id, "waiting")

    def take_cancel(self, cancel: Cancel, now: Instant) -> Outcome:  # noqa: ARG002
        """Keep somebody's order to end a pending request until the ledger pulls it."""
        if len(self._cancels) >= WAITING_MAX:
            raise CallFailedError("overloaded", f"{WAITING_MAX} cancellations wait already")
        _check_size(cancel)
        self._cancels.append(cancel)
        return Outcome(cancel.request, "waiting")

    def take_change(self, change: KeyChange, now: Instant) -> Outcome:  # noqa: ARG002
        """Keep a key's rotation or revocation until the ledger pulls it."""
        if len(self._changes) >= WAITING_MAX:
            raise CallFailedError("overloaded", f"{WAITING_MAX} changes of keys wait already")
        _check_size(change.change)
        self._changes.append(change)
        return Outcome(change_id(change), "waiting")

    def outcomes(self, asked: Asked) -> tuple[Outcome, ...]:
        """Say what became of requests, as far as it is known here."""
        found = (self._told.get(one) for one in asked.ids)
        return tuple(one for one in found if one is not None)

    def pull(self, told: Outcomes, now: Instant) -> Requests:  # noqa: ARG002
        """Hand over what waits; `told` is what became of what was handed over before."""
        for outcome in told.outcomes:
            self._told[outcome.id] = outcome
            if outcome.state != "waiting":
                self._waiting.pop(outcome.id, None)
                self._fresh.pop(outcome.id, None)
        while len(self._told) > TOLD_MAX:
            del self._told[next(iter(self._told))]
        cancels = fitting(self._cancels, PULLED_MAX, SAID_BYTES_MAX)
        changes = fitting(self._changes, PULLED_MAX, SAID_BYTES_MAX)
        del self._cancels[: len(cancels)], self._changes[: len(changes)]
        return Requests(self._handed_over(), cancels, changes)

    def _handed_over(self) -> tuple[Request, ...]:
        """Take what is new, or newly signed, and a few of those that wait for more signatures.

        The ledger keeps what waits; those few are for one that was started again. Nobody stands in the way of
        what is new, however many requests he lets wait.
        """
        fresh = fitting((self._waiting[one] for one in self._fresh if one in self._waiting), PULLED_MAX)
        for request in fresh:
            del self._fresh[request.id]
        if len(fresh) == PULLED_MAX or self._fresh:
            return fresh
        again = (one for one in islice(self._waiting.values(), AGAIN_MAX) if one not in fresh)
        together = fitting((*fresh, *again), PULLED_MAX)
        for request in together[len(fresh) :]:
            self._waiting[request.id] = self._waiting.pop(request.id)
        return together

    async def _order(self, body: Orders) -> bytes:
        if len(body.orders) > ORDERS_MAX:
            raise CallFailedError("bad_body", f"at most {ORDERS_MAX} orders are taken at once")
        self._carried += len(body.orders)
        return pack(await ask(self._peers, "matching", "submit", body, Outcomes))

    async def _cancel(self, body: CancelOrder) -> bytes:
        return pack(await ask(self._peers, "matching", "cancel", body, Outcomes))

    async def _outcomes(self, asked: Asked) -> bytes:
        """Say what became of requests, and of orders after they were answered: matching knows those."""
        if len(asked.ids) > ORDERS_MAX:
            raise CallFailedError("bad_body", f"at most {ORDERS_MAX} outcomes are told at once")
        found = self.outcomes(asked)
        unknown = {*asked.ids} - {one.id for one in found}
        return pack(Outcomes((*found, *(await self._outcomes_of_orders(tuple(unknown)) if unknown else ()))))

    async def _outcomes_of_orders(self, ids: tuple[int, ...]) -> tuple[Outcome, ...]:
        try:
            return (await ask(self._peers, "matching", "outcomes", Asked(ids), Outcomes)).outcomes
        except UnreachableError:
            return ()

    async def _forget(self, now: Instant) -> None:
        for identifier in [key for key, request in self._waiting.items() if request.expires < now]:
            del self._waiting[identifier]
            self._fresh.pop(identifier, None)
            self._told[identifier] = Outcome(identifier, "refused", words="it expired before it was complete")


def _check_size(said: Request | Cancel | RotateKey | RevokeKey) -> None:
    # Signatures of several people are put together, so each is as short as a signature is.
    if any(len(one.value) > SIGNATURE_BYTES or len(one.key) > KEY_NAME_MAX for one in said.signatures):
        raise CallFailedError("bad_body", "one of its signatures is longer than any is")
    size = len(pack(said))
    if size > SAID_BYTES_MAX:
        raise CallFailedError("bad_body", f"it takes {size:,} bytes, and at most {SAID_BYTES_MAX:,} are kept")


def _joined(known: Request, again: Request) -> Request:
    """Put the signatures of both together, each once; the first of a key stays."""
    by_key: dict[str, list[Signature]] = {}
    for one in (*known.signatures, *again.signatures):
        kept = by_key.setdefault(one.key, [])
        # A stranger can send a bad signature in somebody's name; it must not push the good one out.
        if one not in kept and len(by_key) <= SIGNATURES_MAX and len(kept) < 4:
            kept.append(one)
    signatures = tuple(one for kept in by_key.values() for one in kept)
    return msgspec.structs.replace(known, signatures=signatures[:SIGNATURES_MAX])
