"""Whose signature an order or a request carries, judged by a service for itself with the keys it was told."""

from collections.abc import Mapping, Sequence

from ringfence.kernel.decision import Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.planes.ledger.needs import names_for, unmet
from ringfence.planes.ledger.operations import Move, Order, Request, Signature, signing_bytes
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import KnownKeys, Verifier, signers_of
from ringfence.policy.model import KeyNeed
from ringfence.services.platform.messages import CancelOrder

RISK_KEY = "risk_key"


class Signers:
    """The public keys a service knows, and the question who signed."""

    def __init__(self, rules: Rules, verify: Verifier) -> None:
        self._rules = rules
        self._verify = verify
        self.keys: dict[str, bytes] = {}
        self.revoked: dict[str, str] = {}

    def learn(self, keys: Mapping[str, bytes], revoked: Sequence[str] = ()) -> None:
        """Take note of keys that the book knows. A key that is known already never changes."""
        for name, public in keys.items():
            self.keys.setdefault(name, public)
        self.revoked.update(dict.fromkeys(revoked, "the book revoked it"))

    def follow(self, keys: Mapping[str, bytes], revoked: Sequence[str] = ()) -> None:
        """Let every name stand for what the book says now, rotated keys too: for whoever trusts the book."""
        self.keys.update(keys)
        self.revoked.update(dict.fromkeys(revoked, "the book revoked it"))

    def of(self, signatures: Sequence[Signature], content: bytes) -> frozenset[str]:
        """Return the keys that signed `content`; none where any signature does not count."""
        known = KnownKeys(self.keys, {}, self.revoked, 0)
        found = signers_of(signatures, content, known, self._verify)
        return frozenset() if isinstance(found, Refused) else found

    def may_trade(self, order: Order) -> bool:
        """Say whether an order carries the signatures that its bucket's trading needs."""
        return self._trades(order.bucket, self.of(order.signatures, signing_bytes(order)))

    def may_cancel(self, cancel: CancelOrder) -> bool:
        """Say whether whoever may trade a bucket takes one of its orders back."""
        return self._trades(cancel.bucket, self.of(cancel.signatures, cancel_bytes(cancel)))

    def is_forced(self, order: Order) -> bool:
        """Say whether risk signed an order to close a bucket."""
        return order.reduce_only and RISK_KEY in self.of(order.signatures, signing_bytes(order))

    def missing(self, request: Request, signed: frozenset[str]) -> frozenset[str]:
        """Name the keys of single needs that a request of moves still lacks; a quorum counts as its words."""
        found: set[str] = set()
        for link in request.links:
            source = self._rules.place(link.source) if isinstance(link, Move) else None
            target = self._rules.place(link.target) if isinstance(link, Move) else None
            if not isinstance(link, Move) or source is None or target is None:
                continue
            way = self._rules.way(request.exchange or link.gate, source, target)
            if way is None:
                continue
            name_of = names_for(self._rules.keys, source, way.binding(source.members, target.members))
            for need in way.gate.needs:
                words = unmet((need,), signed, name_of)
                if words:
                    found.add((name_of(need) or words) if isinstance(need, KeyNeed) else words)
        return frozenset(found)

    def _trades(self, bucket: str, signed: frozenset[str]) -> bool:
        place = self._rules.place(bucket)
        if place is None or not place.rule.trade_needs:
            return False
        return not unmet(place.rule.trade_needs, signed, names_for(self._rules.keys, place, None))


def cancel_bytes(cancel: CancelOrder) -> bytes:
    """Return the 32 bytes that a key signs to take an order back."""
    parts = (cancel.instrument.encode(), cancel.bucket.encode(), cancel.order.to_bytes(16))
    return tagged_digest("ringfence cancel", *parts)


def owner_in(rules: Rules, bucket: str) -> str:
    """Name whoever is behind a bucket: its first member, or the bucket itself where it belongs to nobody."""
    place = rules.place(bucket)
    return place.members[0] if place is not None and place.members else bucket
