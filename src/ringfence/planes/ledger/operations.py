"""What a book can be asked to do: plain records, the same in memory, on the wire and in the journal.

A `Request` is a chain of links that happens as a whole or not at all: moves of units through gates, fills,
settlements, funding. Everything that has value is an asset of the book: coins, the contracts of an
instrument, debts. Who signs, signs `signing_bytes` of the whole request.
"""

import sys
from typing import Final, Literal

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.policy.model import HaltKind


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plain frozen record."""


class Signature(Record, frozen=True, gc=False):
    """An Ed25519 signature; `key` names the key, with its member where it is one of a family."""

    key: str
    value: bytes


# --- links of a chain --------------------------------------------------------------------------


class Move(Record, frozen=True, tag="move", gc=False):
    """Move `units` of `asset` from `source` to `target` through `gate`.

    `gate` names a gate or exchange of the policy, or `debt`: the issue or repayment of a debt asset.
    """

    gate: str
    source: str
    target: str
    asset: str
    units: int


class Order(Record, frozen=True, tag="order", dict=True):
    """A client's signed wish to trade; it may fill in parts, up to `contracts` in all.

    time_in_force: rest until it expires (gtc), fill what crosses now (ioc), or all of it now or nothing
    (fok); post_only: never take. A market order is an ioc order signed at the worst price it may get.
    """

    id: int
    bucket: str
    instrument: str
    side: Literal["buy", "sell"]
    contracts: int
    limit_e10: int
    expires: int
    policy: bytes
    reduce_only: bool = False
    time_in_force: Literal["gtc", "ioc", "fok"] = "gtc"
    post_only: bool = False
    signatures: tuple[Signature, ...] = ()

    def __post_init__(self) -> None:
        # What is left out of the signed bytes is what *is* the default, not what equals it.
        msgspec.structs.force_setattr(self, "time_in_force", sys.intern(self.time_in_force))


class Closing(Record, frozen=True, tag="closing"):
    """A side of a fill that the platform forces; the request needs the risk and the ledger key."""

    bucket: str
    cause: Literal["liquidation", "takeover", "deleveraging"]


class Fill(Record, frozen=True, tag="fill"):
    """`contracts` of `instrument` pass from the seller to the buyer at `price_e10`, via clearing."""

    instrument: str
    contracts: int
    price_e10: int
    buy: Order | Closing
    sell: Order | Closing
    taker: Literal["buy", "sell"] = "buy"

    def __post_init__(self) -> None:
        # What is left out of the signed bytes is what *is* the default, not what equals it.
        msgspec.structs.force_setattr(self, "taker", sys.intern(self.taker))


class Settle(Record, frozen=True, tag="settle"):
    """Re-base every open position of `instrument` to `price_e10`: what it owes or is owed becomes payable."""

    instrument: str
    price_e10: int


class Fund(Record, frozen=True, tag="fund"):
    """Funding of one interval: longs owe shorts `rate_e10` (per PRICE_SCALE, may be negative) of notional."""

    instrument: str
    rate_e10: int
    price_e10: int


class Route(Record, frozen=True):
    """One asset through one gate from one compartment to another."""

    gate: str
    source: str
    target: str
    asset: str


class Post(Record, frozen=True, tag="post"):
    """Move what the request `hold` holds; `units` for each of its moves in order, all of them if left out.

    along: where its moves go, in order, for those who sign only what they can read: another hold is refused.
    """

    hold: int
    units: tuple[int, ...] = ()
    along: tuple[Route, ...] = ()


class Void(Record, frozen=True, tag="void"):
    """Let go of what the request `hold` holds; `along` as in a `Post`."""

    hold: int
    along: tuple[Route, ...] = ()


Link = Move | Fill | Settle | Fund | Post | Void


class Request(Record, frozen=True, tag="request", dict=True):
    """A chain of links under one id; all or none.

    id: the caller's, below 2^128; policy: digest of the policy the caller means; expires: last instant at
    which it may be carried out; exchange: the exchange its moves are legs of; reason: words for a gate
    that asks for them; reverses: id of the request a correction reverses; hold_until: hold what it would
    move, until that instant at most, instead of moving it (0: move it).
    """

    id: int
    links: tuple[Link, ...]
    policy: bytes
    expires: int
    exchange: str = ""
    reason: str = ""
    reverses: int = 0
    signatures: tuple[Signature, ...] = ()
    hold_until: int = 0


# --- requests that wait ------------------------------------------------------------------------


class Announce(Record, frozen=True, tag="announce"):
    """Make a request pending though not everybody needed has signed it; the others approve it later.

    A request through a gate with a `delay` that carries every signature is announced by itself.
    """

    request: Request


class Approve(Record, frozen=True, tag="approve"):
    """Sign a pending request later: `content` is what its signers signed; it counts until `expires`."""

    request: int
    content: bytes
    expires: int
    signatures: tuple[Signature, ...] = ()


class Cancel(Record, frozen=True, tag="cancel"):
    """End a pending request before anything moved; signed by one whom `cancel` of its gate names."""

    request: int
    content: bytes
    reason: str
    signatures: tuple[Signature, ...] = ()


class CarryOut(Record, frozen=True, tag="carry_out"):
    """Carry out a pending request; everything is checked again. Whoever writes to the book may ask."""

    request: int


# --- facts and changes of state ----------------------------------------------------------------


class Quote(Record, frozen=True):
    """What one source says a price is, and when it said so."""

    source: str
    price_e10: int
    at: int


class PriceFact(Record, frozen=True, tag="price"):
    """Quotes for one name under `prices`; the book takes the median of those that agree."""

    name: str
    quotes: tuple[Quote, ...]


class OpenMember(Record, frozen=True, tag="open_member"):
    """Open a member of a family with the public keys (Ed25519, 32 bytes) of its keys by key name."""

    party: str
    member: str
    keys: dict[str, bytes]


class RegisterKey(Record, frozen=True, tag="register_key"):
    """Make the public key of a key that belongs to no family known to the book."""

    key: str
    public: bytes


class RotateKey(Record, frozen=True, tag="rotate_key"):
    """Let a key stand for another public key from now on; what the old one signed counts until `old_until`.

    Signed by the key as it stands, and by the new one under the name `next`. Nobody else can replace a key:
    who could would have it. Signed beforehand and kept apart, it is what saves a member whose key is lost.
    """

    key: str
    public: bytes
    old_until: int
    expires: int
    signatures: tuple[Signature, ...] = ()


class RevokeKey(Record, frozen=True, tag="revoke_key"):
    """Refuse every signature of a key for ever, e.g. because it was stolen; also what it signed for later.

    Signed by the key itself, or by those who may freeze; where the policy's `halts` name nobody, by nobody.
    """

    key: str
    reason: str
    signatures: tuple[Signature, ...] = ()


class Receipt(Record, frozen=True, tag="receipt"):
    """Value that arrived from outside, final: `units` may now be moved from `source` to `target` once.

    reference: where it can be seen, e.g. a transaction and output; good once per asset. The services that
    compute the accrual `receipts`, the ledger itself left out, sign it with a key they hold.
    """

    reference: str
    source: str
    target: str
    asset: str
    units: int
    signatures: tuple[Signature, ...] = ()


class CloseMember(Record, frozen=True, tag="close_member"):
    """Close a member for ever, when nothing of its own is left."""

    party: str
    member: str
    reason: str


class Freeze(Record, frozen=True, tag="freeze"):
    """Stop a scope, such as `gate/withdraw`, `compartment/client/alice/hedge`, `asset/BTC` or `book`.

    kind: what of it; kinds and scopes are listed in `stopping`. Where the policy says under `halts` who may,
    those keys sign it, under an id that is good once.
    """

    scope: str
    reason: str
    id: int = 0
    signatures: tuple[Signature, ...] = ()
    kind: HaltKind = "freeze"


class Resume(Record, frozen=True, tag="resume"):
    """Lift a stop of that kind; signed as a `Freeze` is, by those who may lift it."""

    scope: str
    reason: str
    id: int = 0
    signatures: tuple[Signature, ...] = ()
    kind: HaltKind = "freeze"


class PolicyLine(Record, frozen=True):
    """Where one part of a policy stood when it was taken up, so that refusals keep naming that line."""

    path: tuple[str, ...]
    file: str
    line: int


class AdoptPolicy(Record, frozen=True, tag="adopt_policy"):
    """Put another policy in the place of the one with the digest `replaces`.

    policy: canonical text, as `policy.show` writes it; not_enforced: what this book would not enforce of it,
    in sentences, so that whoever signs has read them; expires: last instant at which it may be proposed.
    What narrows is in force at once, the whole after the delay that the policy in force names.
    """

    id: int
    replaces: bytes
    policy: str
    lines: tuple[PolicyLine, ...]
    not_enforced: tuple[str, ...]
    expires: int
    signatures: tuple[Signature, ...] = ()


class CompleteAdoption(Record, frozen=True, tag="complete_adoption"):
    """Put the waiting policy of the adoption with this id in force, its delay having passed."""

    adoption: int


class CancelAdoption(Record, frozen=True, tag="cancel_adoption"):
    """Give up the waiting part of an adoption; what narrowed at once stays in force."""

    adoption: int
    reason: str
    id: int
    signatures: tuple[Signature, ...] = ()


class OpeningBalance(Record, frozen=True):
    """Units that a compartment holds when another book is taken over; of a debt asset, units it owes."""

    compartment: str
    asset: str
    units: int


class OpeningPosition(Record, frozen=True):
    """Signed contracts that a bucket holds when another book is taken over."""

    bucket: str
    instrument: str
    contracts: int


class Opening(Record, frozen=True, tag="opening"):
    """What another book ended with, taken over before anything else is booked.

    prices: of each instrument, at PRICE_SCALE, the one its positions were settled at last; source: where the
    lines come from, e.g. a file and its SHA-256; policy: digest of the policy they are meant for.
    """

    id: int
    balances: tuple[OpeningBalance, ...]
    positions: tuple[OpeningPosition, ...]
    prices: dict[str, int]
    source: str
    policy: bytes
    signatures: tuple[Signature, ...] = ()


class Remark(Record, frozen=True, tag="remark"):
    """A decision of risk or of a person, kept for the audit: state, call, liquidation, drawdown stop."""

    kind: str
    subject: str
    words: str
    figures: dict[str, int] = {}


class Entry(Record, frozen=True, gc=False):
    """One leg that was booked: `units` of `asset` from the compartment debited to the one credited."""

    debit: str
    credit: str
    asset: str
    units: int


Adoption = AdoptPolicy | CompleteAdoption | CancelAdoption
"""What changes the policy in force; each is a batch and a journal record of its own."""

StatementWord = Literal["attested", "reconciled"]


class Statement(Record, frozen=True, tag="statement"):
    """An attestor's word about the whole book as of an instant: that its assets are there (`attested`), that
    it agrees with what is outside (`reconciled`), or with `holds` false that it is not so.

    reference: where the report can be seen.
    """

    word: StatementWord
    as_of: int
    holds: bool
    reference: str
    signatures: tuple[Signature, ...] = ()


class Mandate(Record, frozen=True, tag="mandate"):
    """Open a gate with `standing` for two ends and one asset, up to `units` in all until `expires`."""

    id: int
    gate: str
    source: str
    target: str
    asset: str
    units: int
    expires: int
    policy: bytes
    signatures: tuple[Signature, ...] = ()


class EndMandate(Record, frozen=True, tag="end_mandate"):
    """Take a mandate back at once; signed as it was given."""

    mandate: int
    reason: str
    signatures: tuple[Signature, ...] = ()


class OpenSession(Record, frozen=True, tag="open_session"):
    """Let the service `holder` place orders of these buckets for `key`, until `expires`; the key signs it."""

    id: int
    key: str
    holder: str
    buckets: tuple[str, ...]
    expires: int
    policy: bytes
    signatures: tuple[Signature, ...] = ()


class CloseSession(Record, frozen=True, tag="close_session"):
    """End a session at once; its key or its holder signs that."""

    session: int
    reason: str
    signatures: tuple[Signature, ...] = ()


class PinAddress(Record, frozen=True, tag="pin_address"):
    """Register where a place outside that is `pinned` is reached; in force when it has cooled."""

    compartment: str
    address: str
    expires: int
    policy: bytes
    signatures: tuple[Signature, ...] = ()


Mandates = Mandate | EndMandate
Sessions = OpenSession | CloseSession
Keys = RegisterKey | RotateKey | RevokeKey
Members = OpenMember | CloseMember
Given = Mandates | Sessions | Statement | PinAddress
Facts = PriceFact | Members | Keys | Given | Receipt | Freeze | Resume | Remark
Waits = Announce | Approve | Cancel | CarryOut
Operation = Request | Waits | Facts | Opening | Adoption
Halts = Freeze | Resume
Signed = (
    Request
    | Approve
    | Cancel
    | RotateKey
    | RevokeKey
    | Mandates
    | Sessions
    | Statement
    | PinAddress
    | Order
    | Receipt
    | Halts
    | Opening
    | AdoptPolicy
    | CancelAdoption
)


_FOUND: Final = "_signing_bytes"
"""What the signing bytes of a request or order are kept under, beside its fields: no copy of it has them."""


def signing_bytes(record: Signed) -> bytes:
    """Return the 32 bytes that a key signs: the digest of the record without its signatures."""
    found: bytes | None = getattr(record, _FOUND, None)
    if found is None:
        bare = msgspec.structs.replace(record, signatures=())
        found = tagged_digest("ringfence " + type(record).__name__.lower(), msgspec.json.encode(bare))
        if isinstance(record, Request | Order):
            # Asked for again soon: for verifying ahead first, and then for judging.
            record.__dict__[_FOUND] = found
    return found
