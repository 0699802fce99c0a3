"""Frames of a trading session: orders that a client authenticates with an HMAC instead of a signature.

    MAC = HMAC-SHA256(secret, "ringfence frame" || session || sequence || digest of the order)

The secret is agreed between the client and the service where the session ends, and leaves neither. A frame
counts once, in order, for an order of this session; the service then vouches for the order with its own key,
and the book judges it (`planes.ledger.trading_sessions`). Nothing but an order fits into a frame.
"""

import hmac
from collections.abc import Callable
from typing import Final

import msgspec

from ringfence.kernel.digest import tagged_digest
from ringfence.planes.ledger.operations import Order, Record, Signature, signing_bytes
from ringfence.planes.ledger.trading_sessions import session_key

SECRET_SIZE: Final = 32

Sign = Callable[[bytes], bytes]
"""Signs a message with the key of the service."""


class Frame(Record, frozen=True):
    """One order in a session; `sequence` grows with every frame."""

    session: int
    sequence: int
    order: Order
    mac: bytes


def frame(secret: bytes, session: int, sequence: int, order: Order) -> Frame:
    """Write a frame, as a client does."""
    return Frame(session, sequence, order, _mac(secret, session, sequence, order))


class FrameDoor:
    """The service's end of its sessions; it keeps each secret and the last sequence it took."""

    def __init__(self, sign: Sign) -> None:
        """Take what signs for the service."""
        self._sign = sign
        self._secrets: dict[int, bytes] = {}
        self._last: dict[int, int] = {}

    def admit(self, session: int, secret: bytes) -> None:
        """Begin to take frames of a session; ValueError where the secret is too short to be one."""
        if len(secret) < SECRET_SIZE:
            raise ValueError(f"the secret of a session has {SECRET_SIZE} bytes or more")
        self._secrets[session] = secret
        self._last[session] = 0

    def dismiss(self, session: int) -> None:
        """Take no more frames of a session, and forget its secret."""
        self._secrets.pop(session, None)

    def take(self, sent: Frame) -> Order | None:
        """Return the order of a frame with the service's voucher; None where the frame does not count."""
        secret = self._secrets.get(sent.session)
        if secret is None or sent.sequence <= self._last[sent.session]:
            return None
        if not hmac.compare_digest(_mac(secret, sent.session, sent.sequence, sent.order), sent.mac):
            return None
        self._last[sent.session] = sent.sequence
        voucher = Signature(session_key(sent.session), self._sign(signing_bytes(sent.order)))
        return msgspec.structs.replace(sent.order, signatures=(voucher,))


def _mac(secret: bytes, session: int, sequence: int, order: Order) -> bytes:
    numbers = (session.to_bytes(16, "big"), sequence.to_bytes(8, "big"))
    return hmac.digest(secret, tagged_digest("ringfence frame", *numbers, signing_bytes(order)), "sha256")
