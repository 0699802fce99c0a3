"""Real handshakes, both ends in this process, over memory: no socket and no file is touched."""

import ssl
from contextlib import suppress

import pytest

from ringfence.adapters.identity_x509 import (
    Authority,
    Peer,
    client_context,
    peer_of,
    rotate,
    server_context,
)
from ringfence.kernel.instant import DAY_NS, HOUR_NS, SECOND_NS, Instant


@pytest.fixture(scope="module")
def now() -> Instant:
    import time

    return Instant(time.time_ns())


@pytest.fixture(scope="module")
def authority(now):
    return Authority.create("harbour", now, DAY_NS)


def handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[Peer, Peer]:
    """Connect the two ends over memory; returns whom the client and whom the server saw."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    done = {near: False, far: False}
    for _ in range(10):
        for end in (near, far):
            try:
                end.do_handshake()
                done[end] = True
            except ssl.SSLWantReadError:
                pass
        if all(done.values()):
            break
    # A server of TLS 1.3 learns of a refused client certificate only when it reads.
    for end in (near, far):
        with suppress(ssl.SSLWantReadError):
            end.read(1)
    return peer_of(near), peer_of(far)


def whole_second(at):
    return at - at % SECOND_NS


def test_both_ends_learn_the_identity_of_the_other(authority, now):
    ledger = authority.issue("spiffe://harbour/ledger", now, HOUR_NS)
    risk = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    seen = handshake(client_context(ledger, authority.bundle), server_context(risk, authority.bundle))
    assert seen == (
        Peer(("spiffe://harbour/risk",), risk.serial, whole_second(risk.expires)),
        Peer(("spiffe://harbour/ledger",), ledger.serial, whole_second(ledger.expires)),
    )


def test_the_same_identity_from_another_authority_is_refused(authority, now):
    other = Authority.create("harbour", now, DAY_NS)
    forged = other.issue("spiffe://harbour/ledger", now, HOUR_NS)
    risk = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    with pytest.raises(ssl.SSLError):
        handshake(client_context(forged, authority.bundle), server_context(risk, authority.bundle))


@pytest.mark.parametrize(
    ("issued_before_ns", "is_good"), [(HOUR_NS + 1_000_000_000, False), (HOUR_NS // 2, True)]
)
def test_a_certificate_is_good_until_it_expires(authority, now, issued_before_ns, is_good):
    old = authority.issue("spiffe://harbour/ledger", Instant(now - issued_before_ns), HOUR_NS)
    risk = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    ends = client_context(old, authority.bundle), server_context(risk, authority.bundle)
    if is_good:
        assert handshake(*ends)[1].identities == ("spiffe://harbour/ledger",)
    else:
        with pytest.raises(ssl.SSLError):
            handshake(*ends)


def test_a_client_without_a_certificate_is_refused(authority, now):
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    bare.check_hostname = False
    bare.load_verify_locations(cadata=authority.bundle.decode())
    risk = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    with pytest.raises(ssl.SSLError):
        handshake(bare, server_context(risk, authority.bundle))


def test_an_older_tls_is_refused(authority, now):
    old = client_context(authority.issue("spiffe://harbour/ledger", now, HOUR_NS), authority.bundle)
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    risk = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    with pytest.raises(ssl.SSLError):
        handshake(old, server_context(risk, authority.bundle))


def test_a_rotated_certificate_is_shown_from_the_next_connection_on(authority, now):
    ledger = authority.issue("spiffe://harbour/ledger", now, HOUR_NS)
    first = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    second = authority.issue("spiffe://harbour/risk", now, HOUR_NS)
    server = server_context(first, authority.bundle)
    client = client_context(ledger, authority.bundle)
    assert handshake(client, server)[0].serial == first.serial
    rotate(server, second)
    assert handshake(client, server)[0].serial == second.serial != first.serial
