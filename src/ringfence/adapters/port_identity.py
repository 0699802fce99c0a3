"""Who is at the other end of a connection."""

import asyncio

from ringfence.adapters.identity_x509 import peer_of
from ringfence.kernel.decision import Refused
from ringfence.kernel.instant import Instant
from ringfence.planes.network.identity import identity_of as read_identity


def identity_of(transport: asyncio.BaseTransport, stated: str | None) -> tuple[str, str]:
    """Say who is at the other end, or why that cannot be said.

    stated: who is there where the port itself says so: whoever shows no certificate.
    """
    secured = transport.get_extra_info("ssl_object")
    if stated is not None:
        return stated, ""
    if secured is None:
        return "", "a connection without TLS was made"
    found = read_identity(peer_of(secured).identities)
    return ("", found.words) if isinstance(found, Refused) else (str(found), "")


def expiry_of(transport: asyncio.BaseTransport) -> Instant | None:
    """Return when the certificate that the other end has shown ends; None where it has shown none."""
    secured = transport.get_extra_info("ssl_object")
    peer = peer_of(secured) if secured is not None else None
    return peer.expires if peer is not None and peer.identities else None
