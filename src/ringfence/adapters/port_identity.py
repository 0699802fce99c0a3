"""Who is at the other end of a connection."""

import asyncio

from ringfence.adapters.identity_x509 import peer_of


def identity_of(transport: asyncio.BaseTransport, stated: str | None) -> tuple[str, str]:
    """Say who is at the other end, or why that cannot be said."""
    secured = transport.get_extra_info("ssl_object")
    if secured is None:
        return (stated, "") if stated is not None else ("", "a connection without TLS was made")
    peer = peer_of(secured)
    if len(peer.identities) != 1:
        return "", f"the certificate names {len(peer.identities)} identities; exactly one is right"
    return peer.identities[0], ""
