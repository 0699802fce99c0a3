"""From what a person types to what the book takes: decimals read, the gate found, the request signed.

Everything here is convenience for whoever asks; the book judges the result as it would any other request.
"""

from collections.abc import Callable, Collection, Iterator, Sequence

import msgspec

from ringfence.kernel.errors import UsageError
from ringfence.kernel.ids import RequestId
from ringfence.kernel.instant import DAY_NS, MINUTE_NS, Instant
from ringfence.kernel.money import PRICE_DIGITS, parse_decimal
from ringfence.planes.ledger.compile import compile_policy
from ringfence.planes.ledger.key_changes import NEXT
from ringfence.planes.ledger.needs import keys_named, names_for, names_through
from ringfence.planes.ledger.operations import (
    AdoptPolicy,
    Approve,
    Cancel,
    CancelAdoption,
    Closing,
    Fill,
    Freeze,
    Fund,
    Link,
    Move,
    Opening,
    Order,
    PolicyLine,
    PriceFact,
    Quote,
    Receipt,
    Request,
    Resume,
    RevokeKey,
    RotateKey,
    Settle,
    Signature,
    Signed,
    signing_bytes,
)
from ringfence.planes.ledger.pending import Pending
from ringfence.planes.ledger.rules import EVIDENCE_NEEDS, Rules
from ringfence.policy.model import HaltKind, KeyNeed, Policy
from ringfence.policy.show import show

EXPIRY_NS = 5 * MINUTE_NS
"""How long a request counts that somebody types."""

PATIENCE_NS = DAY_NS
"""How long it counts beyond its delay where others have still to act."""

Sign = Callable[[str, bytes], Signature | None]
"""Signs a message with the key of that name; None where whoever asks does not have it."""


def parse_amount(rules: Rules, text: str, asset: str) -> int:
    """Turn a decimal amount of an asset, or a count of contracts, into units; UsageError where it is none."""
    rule = rules.assets.get(asset)
    if rule is None and asset not in rules.instruments:
        known = ", ".join([*sorted(rules.assets), *sorted(rules.instruments)])
        raise UsageError(f"{asset} is no asset of this policy; {known} are")
    try:
        return parse_decimal(text, rule.decimals if rule is not None else 0)
    except ValueError as error:
        raise UsageError(f"{error}; write e.g. 100.25 {asset}") from None


def find_gate(rules: Rules, source: str, target: str, asset: str) -> str:
    """Name the gate that moves the asset from source to target; "" where there is a wall.

    Gates that this book keeps shut are passed over where another one leads there, and so are those that move
    only what is owed. Raises UsageError where several are left, and names them.
    """
    start, end = rules.place(source), rules.place(target)
    if start is None or end is None:
        return ""
    gates = [way.gate for way in rules.gates_between(start, end) if way.accepts(asset)]
    gates = [gate for gate in gates if not gate.unenforced] or gates
    gates = [gate for gate in gates if not gate.accrual] or gates
    if len(gates) > 1:
        names = ", ".join(gate.name for gate in gates)
        raise UsageError(f"several gates lead there: {names}; choose one with --gate")
    return gates[0].name if gates else ""


def find_exchange(rules: Rules, legs: Sequence[tuple[str, str, str]]) -> str:
    """Name the exchange that has a leg for each of these (source, target, asset); "" where none does.

    Raises UsageError where several do, and names them.
    """
    found = [name for name in rules.exchanges if all(_leads(rules, name, *leg) for leg in legs)]
    if len(found) > 1:
        raise UsageError(f"several exchanges do that: {', '.join(found)}; choose one with --gate")
    return found[0] if found else ""


def _leads(rules: Rules, exchange: str, source: str, target: str, asset: str) -> bool:
    start, end = rules.place(source), rules.place(target)
    way = rules.way(exchange, start, end) if start is not None and end is not None else None
    return way is not None and way.accepts(asset)


def default_expiry(now: Instant, delay_ns: int = 0, waits: bool = False) -> Instant:
    """Say until when a request counts that a person makes now; longer where it waits for something."""
    patience_ns = PATIENCE_NS if delay_ns or waits else EXPIRY_NS
    return Instant(now + delay_ns + patience_ns)


def price_fact(name: str, quotes: Sequence[str], now: Instant) -> PriceFact:
    """Read quotes such as `v1=65000.5`, all taken now; UsageError where one is none."""
    return PriceFact(name, tuple(_quote(text, now) for text in quotes))


def _quote(text: str, now: Instant) -> Quote:
    source, _, price = text.partition("=")
    try:
        return Quote(source, parse_decimal(price, PRICE_DIGITS), now)
    except ValueError as error:
        raise UsageError(f"{text!r} is no quote such as v1=65000.5: {error}") from None


def transfer(
    rules: Rules,
    move: Move,
    sign: Sign,
    *,
    identifier: RequestId,
    expires: Instant,
    reason: str = "",
    reverses: int = 0,
    hold_until: int = 0,
) -> Request:
    """Make a request of one move, signed with every key its gate asks for that `sign` has."""
    return chain(
        rules,
        (move,),
        (move,),
        sign,
        identifier=identifier,
        expires=expires,
        reason=reason,
        reverses=reverses,
        hold_until=hold_until,
    )


def chain(
    rules: Rules,
    links: Sequence[Link],
    through: Sequence[Move],
    sign: Sign,
    *,
    identifier: RequestId,
    expires: Instant,
    reason: str = "",
    exchange: str = "",
    reverses: int = 0,
    hold_until: int = 0,
) -> Request:
    """Make a request of several links, signed with every key that they and the moves `through` ask for."""
    bare = Request(identifier, tuple(links), rules.digest, expires, exchange, reason, reverses)
    bare = msgspec.structs.replace(bare, hold_until=hold_until)
    keys = dict.fromkeys(keys_through(rules, through))
    if any(_is_on_evidence(link) for link in links):
        keys |= dict.fromkeys(keys_named(EVIDENCE_NEEDS, _plain_name))
    return msgspec.structs.replace(bare, signatures=signed_by(bare, tuple(keys), sign))


def _is_on_evidence(link: Link) -> bool:
    """Say whether a link is asked for by risk and ledger, who only follow the journal."""
    if isinstance(link, Fill):
        return isinstance(link.buy, Closing) or isinstance(link.sell, Closing)
    return isinstance(link, Settle | Fund)


def keys_through(rules: Rules, moves: Sequence[Move]) -> list[str]:
    """Name every key that the gates of some moves speak of, each once."""
    found: dict[str, None] = {}
    for move in moves:
        start, end = rules.place(move.source), rules.place(move.target)
        way = rules.way(move.gate, start, end) if start and end else None
        if way is not None and start is not None and end is not None:
            names = names_through(rules.keys, way, start, end)
            found.update(dict.fromkeys(keys_named(way.gate.needs, names)))
    return list(found)


def parse_price(text: str) -> int:
    """Turn a decimal price into a whole number at PRICE_SCALE; UsageError where it is none above zero."""
    try:
        price_e10 = parse_decimal(text, PRICE_DIGITS)
    except ValueError as error:
        raise UsageError(f"{error}; write e.g. 65000.5") from None
    if price_e10 == 0:
        raise UsageError("the price was 0; a price is above zero")
    return price_e10


def order(rules: Rules, bare: Order, sign: Sign) -> Order:
    """Sign an order with every key its bucket's `trade` asks for that `sign` has."""
    place = rules.place(bare.bucket)
    needs = place.rule.trade_needs if place is not None else ()
    keys = keys_named(needs, names_for(rules.keys, place, None))
    return msgspec.structs.replace(bare, signatures=signed_by(bare, keys, sign))


def receipt(rules: Rules, move: Move, reference: str, sign: Sign) -> Receipt:
    """Make the fact that what `move` brings in has arrived, signed by those who watch for it."""
    bare = Receipt(reference, move.source, move.target, move.asset, move.units)
    services = rules.computed_by.get("receipts", ())
    keys = [key for service in services for key in rules.holders.get(service, ())]
    return msgspec.structs.replace(bare, signatures=signed_by(bare, keys, sign))


def freeze(
    rules: Rules, scope: str, reason: str, identifier: RequestId, sign: Sign, kind: HaltKind = "freeze"
) -> Freeze:
    """Make the order to stop a scope, signed by those of the policy's `halts` that `sign` has."""
    bare = Freeze(scope, reason, identifier, kind=kind)
    rule = rules.halts.get(kind)
    keys = keys_named(rule.needs if rule else (), _plain_name)
    return msgspec.structs.replace(bare, signatures=signed_by(bare, keys, sign))


def resume(
    rules: Rules, scope: str, reason: str, identifier: RequestId, sign: Sign, kind: HaltKind = "freeze"
) -> Resume:
    """Make the order to lift a stop, signed by those of the policy's `halts` that `sign` has."""
    bare = Resume(scope, reason, identifier, kind=kind)
    rule = rules.halts.get(kind)
    keys = keys_named(rule.lift if rule else (), _plain_name)
    return msgspec.structs.replace(bare, signatures=signed_by(bare, keys, sign))


def adoption(
    rules: Rules, policy: Policy, sign: Sign, *, identifier: RequestId, expires: Instant
) -> AdoptPolicy:
    """Make the proposal to adopt a policy, signed by those of `adoption` in force that `sign` has."""
    lines = tuple(PolicyLine(path, line.file, line.line) for path, line in sorted(policy.lines.items()))
    compiled = compile_policy(policy, rules.planes)
    bare = AdoptPolicy(
        id=identifier,
        replaces=rules.digest,
        policy=show(policy),
        lines=lines,
        not_enforced=tuple(str(note) for note in compiled.notes),
        expires=expires,
    )
    return countersigned(rules, bare, sign)


def signed_opening(rules: Rules, opening: Opening, sign: Sign) -> Opening:
    """Sign an opening with those of `adoption` that `sign` has."""
    words = rules.policy.adoption
    keys = keys_named(words.needs if words else (), _plain_name)
    return msgspec.structs.replace(opening, signatures=signed_by(opening, keys, sign))


def countersigned(rules: Rules, proposal: AdoptPolicy, sign: Sign) -> AdoptPolicy:
    """Add the signatures that `sign` can give and the proposal does not have yet."""
    words = rules.policy.adoption
    wanted = keys_named(words.needs if words else (), _plain_name)
    signed = {one.key for one in proposal.signatures}
    added = signed_by(proposal, [key for key in wanted if key not in signed], sign)
    return msgspec.structs.replace(proposal, signatures=(*proposal.signatures, *added))


def cancellation(rules: Rules, number: int, reason: str, identifier: RequestId, sign: Sign) -> CancelAdoption:
    """Make the order to give up an adoption, signed by those of `cancel` that `sign` has."""
    words = rules.policy.adoption
    bare = CancelAdoption(number, reason, identifier)
    keys = keys_named(words.cancel if words else (), _plain_name)
    return msgspec.structs.replace(bare, signatures=signed_by(bare, keys, sign))


def next_of(key: str) -> str:
    """Name the file of the key that is to take a key's place."""
    return f"{key}.{NEXT}"


def rotation(
    key: str, public: bytes, old_until: int, now: Instant, sign: Sign, expires: Instant | None = None
) -> RotateKey:
    """Make the order to let a key stand for a new public key, signed by both; expires: soon, if left out."""
    bare = RotateKey(key, public, old_until, default_expiry(now) if expires is None else expires)
    message = signing_bytes(bare)
    old, new = sign(key, message), sign(next_of(key), message)
    named = Signature(NEXT, new.value) if new is not None else None
    return msgspec.structs.replace(bare, signatures=tuple(one for one in (old, named) if one is not None))


def revocation(rules: Rules, key: str, reason: str, sign: Sign) -> RevokeKey:
    """Make the order never to count a key again, signed by itself and by those who may freeze."""
    bare = RevokeKey(key, reason)
    names = dict.fromkeys((key, *keys_named(rules.freeze_needs or (), _plain_name)))
    return msgspec.structs.replace(bare, signatures=signed_by(bare, tuple(names), sign))


def approval(pending: Pending, expires: int, sign: Sign) -> Approve:
    """Sign a pending request with every key it asks for that `sign` has."""
    bare = Approve(pending.request.id, pending.content, expires)
    return msgspec.structs.replace(bare, signatures=signed_by(bare, pending.asked, sign))


def cancelling(pending: Pending, keys: Collection[str], reason: str, sign: Sign) -> Cancel:
    """Make the order to end a pending request, signed with those of the keys that `sign` has."""
    bare = Cancel(pending.request.id, pending.content, reason)
    return msgspec.structs.replace(bare, signatures=signed_by(bare, sorted(keys), sign))


def _plain_name(need: KeyNeed) -> str:
    return f"{need.key}/{need.member}" if need.member else need.key


def signed_by(record: Signed, keys: Iterator[str] | Sequence[str], sign: Sign) -> tuple[Signature, ...]:
    """Return the signatures of those of the keys that `sign` has."""
    message = signing_bytes(record)
    signatures = (sign(key, message) for key in keys)
    return tuple(signature for signature in signatures if signature is not None)
