"""Whose signature an order or a request carries, judged by a service for itself with the keys it was told."""

from collections.abc import Iterable, Mapping, Sequence

from ringfence.kernel.decision import Refused
from ringfence.kernel.digest import tagged_digest
from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.key_changes import judge_rotation
from ringfence.planes.ledger.needs import names_for, names_through, unmet
from ringfence.planes.ledger.operations import Move, Order, Request, RotateKey, Signature, signing_bytes
from ringfence.planes.ledger.rules import Rules
from ringfence.planes.ledger.signing import KnownKeys, Verifier, signers_of
from ringfence.policy.model import KeyNeed
from ringfence.services.platform.messages import CancelOrder, KeyFact

RISK_KEY = "risk_key"


class Signers:
    """The public keys a service knows as they count at an instant, and the question who signed.

    A service that trusts the book takes its keys as they stand there (`follow`). One that trusts nobody takes
    the first public key of a name (`learn`), and another one only with the rotation that both keys signed.
    """

    def __init__(self, rules: Rules, verify: Verifier) -> None:
        self._rules = rules
        self._verify = verify
        self._current: dict[str, bytes] = {}
        self._former: dict[str, tuple[bytes, int]] = {}
        self._revoked: dict[str, str] = {}

    def learn(self, keys: Mapping[str, bytes], revoked: Sequence[str] = ()) -> dict[str, bytes]:
        """Take note of keys; one that is known already never changes. Returns the new ones.

        Whoever says that a key was revoked is believed: that can only stop something.
        """
        fresh = {name: public for name, public in keys.items() if name not in self._current}
        self._current |= fresh
        self._revoked.update(dict.fromkeys(revoked, "the book revoked it"))
        return fresh

    def rotate(self, rotation: RotateKey) -> bool:
        """Let a key stand for another public key, where the key as it stands and the new one both signed."""
        old = self._current.get(rotation.key)
        if old is None or old == rotation.public or rotation.key in self._revoked:
            return False
        if judge_rotation(rotation, old, self._verify) is not None:
            return False
        self._current[rotation.key] = rotation.public
        self._former[rotation.key] = old, rotation.old_until
        return True

    def follow(self, facts: Iterable[KeyFact]) -> None:
        """Let names stand for what the book says: for whoever trusts the book."""
        for fact in facts:
            self._current[fact.name] = fact.public
            if fact.former:
                self._former[fact.name] = fact.former, fact.former_until
            if fact.is_revoked:
                self._revoked[fact.name] = "the book revoked it"

    def of(self, signatures: Sequence[Signature], content: bytes, at: Instant) -> frozenset[str]:
        """Return the keys that signed `content`; none where any signature does not count at that instant."""
        known = KnownKeys(self._current, self._former, self._revoked, at)
        found = signers_of(signatures, content, known, self._verify)
        return frozenset() if isinstance(found, Refused) else found

    def may_trade(self, order: Order, at: Instant) -> bool:
        """Say whether an order carries the signatures that its bucket's trading needs."""
        return self._trades(order.bucket, self.of(order.signatures, signing_bytes(order), at))

    def may_cancel(self, cancel: CancelOrder, at: Instant) -> bool:
        """Say whether whoever may trade a bucket takes one of its orders back."""
        return self._trades(cancel.bucket, self.of(cancel.signatures, cancel_bytes(cancel), at))

    def is_forced(self, order: Order, at: Instant) -> bool:
        """Say whether risk signed an order to close a bucket."""
        return order.reduce_only and RISK_KEY in self.of(order.signatures, signing_bytes(order), at)

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
            name_of = names_through(self._rules.keys, way, source, target)
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
