"""Facts and changes of state that are no request: prices, members, keys, receipts, freezes."""

import re

from ringfence.kernel.curve import KEY_SIZE as PUBLIC_SIZE
from ringfence.kernel.curve import is_proper_key
from ringfence.kernel.decision import Reason, Refused
from ringfence.kernel.ids import ID_MAX
from ringfence.kernel.instant import Instant
from ringfence.kernel.money import UNITS_MAX
from ringfence.planes.ledger.ledger import Ledger
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import (
    Freeze,
    OpenMember,
    PriceFact,
    Receipt,
    RegisterKey,
    Resume,
    signing_bytes,
)
from ringfence.planes.ledger.prices import agree
from ringfence.planes.ledger.signing import Verifier, signers_of
from ringfence.planes.ledger.stopping import halt_key, is_scope

RECEIPTS = "receipts"
VERIFIER = "ledger"

_MEMBER_NAME = re.compile(r"[a-z0-9._-]{1,64}")


def member_name_fault(name: str) -> str:
    """Say why a name cannot be a member's, and what can; "" where it can."""
    if _MEMBER_NAME.fullmatch(name):
        return ""
    return (
        f"{name[:80]!r} is no member's name; use 1 to 64 of a-z, 0-9, dot, dash and underscore, e.g. al-ice"
    )


def take_price(ledger: Ledger, fact: PriceFact, at: Instant) -> Refused | None:
    """Believe a price that enough sources agree on."""
    authority = ledger.rules.prices.get(fact.name)
    if authority is None:
        return Refused(Reason.PRICE_NAME_UNKNOWN, f"the policy declares no price {fact.name}")
    agreed = agree(fact.name, authority, fact.quotes, at)
    if isinstance(agreed, Refused):
        return agreed
    ledger.tables.put(ledger.tables.prices, fact.name, agreed)
    return None


def open_member(ledger: Ledger, opening: OpenMember, at: Instant) -> Refused | None:
    """Open a member of a family with its keys."""
    rules, tables = ledger.rules, ledger.tables
    if opening.party not in rules.families:
        return Refused(Reason.PARTY_UNKNOWN, f"the policy declares no family {opening.party}")
    fault = member_name_fault(opening.member)
    if fault:
        return Refused(Reason.MEMBER_NAME_INVALID, fault)
    if (opening.party, opening.member) in tables.closed:
        words = f"{opening.party} {opening.member} was closed; a name is not used again"
        return Refused(Reason.MEMBER_ALREADY_OPEN, words)
    if (opening.party, opening.member) in tables.members:
        return Refused(Reason.MEMBER_ALREADY_OPEN, f"{opening.party} {opening.member} is open already")
    wanted = {name for name, key in rules.keys.items() if key.per == opening.party}
    if set(opening.keys) != wanted or any(len(public) != PUBLIC_SIZE for public in opening.keys.values()):
        words = f"{', '.join(sorted(opening.keys)) or 'no key'} was given; the policy asks each member for "
        words += f"{', '.join(sorted(wanted)) or 'none'}, {PUBLIC_SIZE} bytes each"
        return Refused(Reason.KEYS_DIFFER_FROM_POLICY, words)
    tables.put(tables.members, (opening.party, opening.member), at)
    for name, public in sorted(opening.keys.items()):
        refused = make_known(ledger, f"{name}/{opening.member}", public)
        if refused is not None:
            return refused
    return None


def register_key(ledger: Ledger, record: RegisterKey) -> Refused | None:
    """Make the public key of a key known that belongs to no family."""
    rule = ledger.rules.keys.get(record.key)
    if rule is None or rule.per is not None or len(record.public) != PUBLIC_SIZE:
        words = (
            f"{record.key} ({len(record.public)} bytes) is no key that the policy declares without members"
        )
        return Refused(Reason.KEYS_DIFFER_FROM_POLICY, words)
    if record.key in ledger.tables.keys:
        return Refused(Reason.KEY_ALREADY_KNOWN, f"{record.key} is known already")
    return make_known(ledger, record.key, record.public)


def make_known(ledger: Ledger, key: str, public: bytes) -> Refused | None:
    """Let a public key count under a name; one that counts or counted under another would be two signers."""
    tables = ledger.tables
    if not is_proper_key(public):
        return Refused(Reason.KEY_NOT_SOUND, f"the public key given for {key} is no proper Ed25519 point")
    if public in tables.names:
        words = f"the public key given for {key} is known as {tables.names[public]}; each key is its own"
        return Refused(Reason.KEY_ALREADY_KNOWN, words)
    tables.put(tables.keys, key, public)
    tables.put(tables.names, public, key)
    return None


def take_receipt(ledger: Ledger, receipt: Receipt, at: Instant, verify: Verifier) -> Refused | bool | None:
    """Owe what arrived from outside to where it was sent; True where it was known before."""
    content, tables = signing_bytes(receipt), ledger.tables
    key = (receipt.asset, receipt.reference)
    earlier = tables.receipts.get(key)
    if earlier is not None:
        words = f"receipt {receipt.reference} of {receipt.asset} was another one"
        return True if earlier == content else Refused(Reason.ID_USED_WITH_OTHER_CONTENT, words)
    refused = _judge_receipt(ledger, receipt) or _judge_witnesses(ledger, receipt, content, at, verify)
    if refused is not None:
        return refused
    tables.put(tables.receipts, key, content)
    tables.owe((RECEIPTS, receipt.source, receipt.target, receipt.asset), receipt.units)
    return None


def _judge_receipt(ledger: Ledger, receipt: Receipt) -> Refused | None:
    if receipt.units < 1:
        return Refused(Reason.AMOUNT_NOT_POSITIVE, f"the receipt was of {receipt.units} units")
    if receipt.units > UNITS_MAX:
        return Refused(Reason.AMOUNT_TOO_LARGE, "a receipt is of at most 2^127 - 1 units")
    if receipt.asset not in ledger.rules.assets:
        return Refused(Reason.ASSET_UNKNOWN, f"the policy declares no asset {receipt.asset}")
    source, target = ledger.rules.place(receipt.source), ledger.rules.place(receipt.target)
    if source is None or target is None:
        stranger = receipt.target if source is not None else receipt.source
        return Refused(Reason.COMPARTMENT_UNKNOWN, f"the policy declares no compartment {stranger}")
    closed = ledger.closed_member(source) or ledger.closed_member(target)
    if closed:
        return Refused(Reason.MEMBER_NOT_OPEN, f"{closed} was never opened in this book")
    ways = ledger.rules.gates_between(source, target)
    if not any(RECEIPTS in way.gate.accrual for way in ways):
        words = f"no gate moves receipts from {receipt.source} to {receipt.target}"
        return Refused(Reason.NO_GATE_BETWEEN_COMPARTMENTS, words)
    return None


def _judge_witnesses(
    ledger: Ledger, receipt: Receipt, content: bytes, at: Instant, verify: Verifier
) -> Refused | None:
    """Refuse a receipt that a service which computes receipts did not sign."""
    rules = ledger.rules
    found = signers_of(receipt.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    for service in rules.computed_by[RECEIPTS]:
        held = rules.holders.get(service, ())
        if service != VERIFIER and not found.intersection(held):
            words = f"a receipt needs a key of {service} ({', '.join(held) or 'it holds none'})"
            return Refused(Reason.NEEDS_NOT_MET, words)
    return None


# --- freezes -----------------------------------------------------------------------------------


def change_freeze(ledger: Ledger, record: Freeze | Resume, at: Instant, verify: Verifier) -> Refused | None:
    """Freeze a scope, or lift the freeze."""
    refused = _judge_scope(ledger, record.scope) or _judge_halt(ledger, record, at, verify)
    if refused is not None:
        return refused
    tables, key = ledger.tables, halt_key(record.kind, record.scope)
    if isinstance(record, Freeze):
        tables.put(tables.frozen, key, record.reason)
    else:
        tables.drop(tables.frozen, key)
    return None


def _judge_scope(ledger: Ledger, scope: str) -> Refused | None:
    if is_scope(ledger.rules, scope):
        return None
    words = (
        f"{scope} cannot be stopped; name gate/…, compartment/…, asset/…, member/…, pool/…, shard/… or book"
    )
    return Refused(Reason.SCOPE_UNKNOWN, words)


def _judge_halt(ledger: Ledger, record: Freeze | Resume, at: Instant, verify: Verifier) -> Refused | None:
    """Refuse a freeze or resume that those who may, by the policy's `halts`, did not sign.

    Where the policy names nobody, whoever may write to the book may freeze.
    """
    rules, tables = ledger.rules, ledger.tables
    rule = rules.halts.get(record.kind)
    if rule is None:
        return None
    needs = rule.needs if isinstance(record, Freeze) else rule.lift
    if not 0 < record.id <= ID_MAX:
        return Refused(
            Reason.ID_NOT_POSSIBLE, "the policy says who may: sign it, with an id that is good once"
        )
    content = signing_bytes(record)
    if tables.answer(record.id) is not None:
        return Refused(Reason.ID_USED_WITH_OTHER_CONTENT, f"id {record.id:032x} was used before")
    found = signers_of(record.signatures, content, ledger.known_keys(at), verify)
    if isinstance(found, Refused):
        return found
    missing = unmet(needs, found, names_for(rules.keys, None, None))
    if missing:
        return Refused(Reason.NEEDS_NOT_MET, f"{record.scope} needs {missing}, which did not sign")
    tables.put(tables.ids, record.id, (content, 0))
    return None
