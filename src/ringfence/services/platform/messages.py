"""What services say to each other: the body of each method's call and of its answer.

A body is JSON of one record, written as the journal writes it: ids and amounts have 128 bits, and msgpack, in
which the frame around it is written, knows no whole number over 64. Whatever is not exactly that record is
refused as `bad_body` before the service sees it.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, TypeVar

import msgspec

from ringfence.kernel.decision import Accepted, Decision, Refused
from ringfence.planes.ledger.journal import JournalRecord
from ringfence.planes.ledger.operations import (
    Cancel,
    Order,
    PriceFact,
    Quote,
    Receipt,
    Record,
    Request,
    RevokeKey,
    RotateKey,
    Signature,
    signing_bytes,
)
from ringfence.planes.network.wire import CallFailedError
from ringfence.services.matching.engine import NumberedFill

_Body = TypeVar("_Body", bound=msgspec.Struct)

BODY_BYTES_MAX: Final = 800_000
"""The most that a service puts into one body, so that it fits a frame; what is over waits for the next."""


def pack(body: msgspec.Struct) -> bytes:
    """Write a body."""
    return msgspec.json.encode(body)


def unpack(kind: type[_Body], body: bytes) -> _Body:
    """Read a body; CallFailedError `bad_body` where it is none of that kind."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        raise CallFailedError("bad_body", f"the body is no {kind.__name__}: {fault}") from None


def fitting(bodies: Iterable[_Body], most: int, bytes_max: int = BODY_BYTES_MAX) -> tuple[_Body, ...]:
    """Take as many as one body can hold, at least one and at most `most`; the rest waits for the next."""
    taken: list[_Body] = []
    size = 0
    for body in islice(bodies, most):
        size += len(msgspec.json.encode(body))
        if taken and size > bytes_max:
            break
        taken.append(body)
    return tuple(taken)


class Empty(Record, frozen=True):
    """Nothing to say."""


# --- outcomes ----------------------------------------------------------------------------------


class Outcome(Record, frozen=True):
    """What became of one request or order: its id, whether it was accepted, and why not.

    state: `accepted`, `pending` (its delay has to pass), `refused`, `waiting` (signatures are missing), or
    what a matching engine says; `undone` of an order means that a fill of it was.
    """

    id: int
    state: str
    reason: str = ""
    words: str = ""
    rule: str = ""


class Outcomes(Record, frozen=True):
    """Several outcomes."""

    outcomes: tuple[Outcome, ...] = ()


def outcome_of(identifier: int, decision: Decision) -> Outcome:
    """Write down the book's answer to a request."""
    if isinstance(decision, Accepted):
        return Outcome(identifier, "pending" if decision.pending else "accepted")
    assert isinstance(decision, Refused)
    return Outcome(identifier, "refused", decision.reason.name, decision.words, decision.rule)


class Asked(Record, frozen=True):
    """The ids whose outcome is wanted."""

    ids: tuple[int, ...]


# --- orders ------------------------------------------------------------------------------------


class Orders(Record, frozen=True):
    """Signed orders to be matched."""

    orders: tuple[Order, ...]


class CancelOrder(Record, frozen=True):
    """The owner of a bucket takes an order back; signed as `cancel_bytes` says."""

    instrument: str
    bucket: str
    order: int
    signatures: tuple[Signature, ...] = ()


class Resting(Record, frozen=True):
    """An order of the same bucket that may still fill: signed contracts (positive buys) at a limit."""

    instrument: str
    contracts: int
    limit_e10: int


class Check(Record, frozen=True):
    """One order to be judged before it is matched, with the bucket's orders that still stand."""

    order: Order
    resting: tuple[Resting, ...] = ()


class Checks(Record, frozen=True):
    """Orders to be judged, in order."""

    checks: tuple[Check, ...]


class Verdict(Record, frozen=True):
    """What risk says of an order: reason 0 passes; reducible: contracts that would close the position."""

    reason: int
    words: str = ""
    reducible: int = 0


class Verdicts(Record, frozen=True):
    """One verdict for each check, in order."""

    verdicts: tuple[Verdict, ...]


# --- fills -------------------------------------------------------------------------------------


class KeyFact(Record, frozen=True):
    """A key as it stands in the book; what it was before its rotation, and until when that counts."""

    name: str
    public: bytes
    former: bytes = b""
    former_until: int = 0
    is_revoked: bool = False


class KeysTold(Record, frozen=True):
    """Facts about keys in order, from the one numbered `first` of the list that `epoch` names."""

    epoch: int = 0
    first: int = 0
    facts: tuple[KeyFact, ...] = ()


class RefusedFill(Record, frozen=True):
    """A fill that the book refused, with its answer, and the buckets that were at fault (none: nobody)."""

    number: int
    reason: str
    words: str
    rule: str = ""
    at_fault: tuple[str, ...] = ()


class FillsAfter(Record, frozen=True):
    """Ask for fills above a number. settled: all up to it are decided, and those of them that the book
    refused are in `refused` or were told before."""

    after: int
    settled: int
    keys: KeysTold = KeysTold()
    refused: tuple[RefusedFill, ...] = ()


class Fills(Record, frozen=True):
    """Fills in order, without a gap. undone: up to which number refused fills were undone, durably;
    keys_epoch, keys_known: how many facts about keys it was told, of which list."""

    fills: tuple[NumberedFill, ...]
    undone: int = 0
    keys_epoch: int = 0
    keys_known: int = 0


# --- prices ------------------------------------------------------------------------------------


class NamedQuote(Record, frozen=True):
    """What one source says a named price is."""

    name: str
    quote: Quote


class Quotes(Record, frozen=True):
    """What price sources say now."""

    quotes: tuple[NamedQuote, ...]


class Priced(Record, frozen=True):
    """A price that enough sources agree on, and how far it can be trusted."""

    fact: PriceFact
    state: str


class Prices(Record, frozen=True):
    """Every price that there is now."""

    prices: tuple[Priced, ...]


# --- requests on their way to the book ---------------------------------------------------------


class KeyChange(Record, frozen=True):
    """A key's own rotation or revocation."""

    change: RotateKey | RevokeKey


def change_id(change: KeyChange) -> int:
    """Return the id by which the outcome of a change is asked for."""
    return int.from_bytes(signing_bytes(change.change)[:15])


class Requests(Record, frozen=True):
    """Signed requests, orders to end pending ones, and changes of keys."""

    requests: tuple[Request, ...] = ()
    cancels: tuple[Cancel, ...] = ()
    changes: tuple[KeyChange, ...] = ()


class News(Record, frozen=True):
    """What the book did since the follower's head, and fills with a forced side that risk has to sign."""

    records: tuple[JournalRecord, ...]
    forced: tuple[NumberedFill, ...] = ()


class Followed(Record, frozen=True):
    """How far the follower is (-1: it has nothing), and requests that it asks the ledger to carry out."""

    sequence: int
    requests: tuple[Request, ...] = ()


class ForcedOrders(Record, frozen=True):
    """Closings that risk asks the market for; signed by the risk key."""

    orders: tuple[Order, ...] = ()


# --- the chain ---------------------------------------------------------------------------------


class After(Record, frozen=True):
    """Ask for what comes after a number."""

    after: int


class Deposit(Record, frozen=True):
    """Value that somebody sent to an address of the platform."""

    target: str
    asset: str
    units: int


class ChainEntry(Record, frozen=True):
    """One entry of the chain: what arrived or was paid out; final once `is_final`."""

    number: int
    reference: str
    deposit: Deposit
    is_final: bool


class ChainEntries(Record, frozen=True):
    """Entries of the chain in order."""

    entries: tuple[ChainEntry, ...] = ()


class Arrival(Record, frozen=True):
    """A final receipt with the request that moves it in, both signed by the watcher."""

    number: int
    receipt: Receipt
    request: Request


class Arrivals(Record, frozen=True):
    """Final receipts in order."""

    arrivals: tuple[Arrival, ...] = ()


class Payment(Record, frozen=True):
    """A withdrawal for the chain to carry out, signed by the wallet over its request."""

    request: Request


class Paid(Record, frozen=True):
    """What the chain did with a payment: announced it, or carried it out."""

    is_paid: bool
    reference: str = ""


class OpenVault(Record, frozen=True):
    """The keys of a member, as they stand in the vaults that were made for it, and rotations of keys."""

    keys: dict[str, bytes] = msgspec.field(default_factory=dict)
    rotations: tuple[RotateKey, ...] = ()


class ApprovedAfter(Record, frozen=True):
    """How many of the requests that were carried out, and of the rotations of keys, the wallet has seen."""

    carried_out: int = 0
    rotations: int = 0


class Approved(Record, frozen=True):
    """What the wallet pulls: requests that need its signature, and ids of those that the book carried out.

    keys: of those who signed what is to be signed; rotations: with both keys' signatures; both lists follow
    what the wallet says it has.
    """

    to_sign: tuple[Request, ...] = ()
    carried_out: tuple[int, ...] = ()
    keys: dict[str, bytes] = msgspec.field(default_factory=dict)
    revoked: tuple[str, ...] = ()
    rotations: tuple[RotateKey, ...] = ()
