"""A request that is pending: announced and journalled, and nothing has moved yet."""

import msgspec

from ringfence.kernel.instant import Instant
from ringfence.planes.ledger.operations import Approve, Request


class Pending(msgspec.Struct, frozen=True, gc=False):
    """One pending request.

    content: what its signers signed; announced: when it became pending; delay_ns: the longest delay of its
    gates; asked: every key that a gate of it may count, sorted; met: since when everybody needed has signed
    (None: not yet); approvals: what was signed later, oldest first.
    """

    request: Request
    content: bytes
    announced: int
    delay_ns: int
    asked: tuple[str, ...]
    met: int | None = None
    approvals: tuple[Approve, ...] = ()

    @property
    def due(self) -> Instant | None:
        """The first instant at which it may be carried out; None while somebody has still to sign."""
        return None if self.met is None else Instant(self.met + self.delay_ns)

    def is_expired(self, at: Instant) -> bool:
        """Say whether its time has passed, so that it can never be carried out."""
        return self.request.expires < at
