"""Who is let in at a real port over TLS: one sound identity of our authority, in time, named by a flow."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ringfence.adapters.identity_x509 import Authority, Svid, client_context, server_context
from ringfence.adapters.port_client import PortClient
from ringfence.adapters.port_server import PortServer
from ringfence.kernel.errors import UnreachableError
from ringfence.kernel.instant import HOUR_NS, SECOND_NS, Instant
from ringfence.planes.network.compile import compile_flows
from ringfence.planes.network.identity import compile_authorisation
from ringfence.planes.network.wire import CallFailedError
from ringfence.wiring_files import load_policy, shipped_policy

LEDGER, WALLET, GATEWAY = (f"spiffe://harbour/{name}" for name in ("ledger", "wallet", "gateway"))
TABLE = compile_authorisation(
    compile_flows(load_policy(shipped_policy("venue"))), "ledger", {"approved": 7005, "signed": 7005}
)
LETS_IN = "port 7005 lets in spiffe://harbour/wallet (policies/venue.yaml:9)"


class RealClock:
    def now(self):
        return Instant(time.time_ns())


CLOCK = RealClock()


@pytest.fixture(scope="module")
def authority():
    return Authority.create("harbour", CLOCK.now(), 24 * HOUR_NS)


def made_of(authority, *names):
    """Issue a certificate as no sound authority does: with these URI names, however many."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .issuer_name(authority._certificate.subject)
        .subject_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
    )
    if names:
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=True)
    certificate = builder.sign(authority._key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    return Svid("", certificate.public_bytes(pem), private, 1, Instant(0))


async def knock(authority, svid, method="approved", revoked=(), wait=0.0):
    """Call a method of the ledger's port with an identity; returns the answer, or why none, and the log."""
    log = []
    methods = {"approved": echo, "signed": echo, "secret": echo}
    server = PortServer(methods, TABLE.refusal, CLOCK, log.append, lets_in=LETS_IN)
    own = authority.issue(LEDGER, CLOCK.now(), HOUR_NS)
    port = await server.listen("127.0.0.1", 0, server_context(own, authority.bundle))
    for identity in revoked:
        server.revoke(identity)
    try:
        context = client_context(svid, authority.bundle)
        client = await PortClient.connect("127.0.0.1", port, context, expected=LEDGER)
        await asyncio.sleep(wait)
        return await client.call(CLOCK, method, b"", seconds=2), log
    except CallFailedError as failed:
        return failed.code, log
    except UnreachableError:
        return "closed", log
    finally:
        await server.close()


def echo(peer, body):
    return peer.encode()


def run(work):
    return asyncio.run(asyncio.wait_for(work, 20))


def issued(authority, identity, at=0, lifetime_ns=HOUR_NS):
    return authority.issue(identity, Instant(CLOCK.now() + at), lifetime_ns)


def test_the_identity_that_the_flow_names_is_let_in(authority):
    assert run(knock(authority, issued(authority, WALLET))) == (WALLET.encode(), [])


@pytest.mark.parametrize("identity", [GATEWAY, LEDGER, "spiffe://harbour/walle", "spiffe://other/wallet"])
def test_another_identity_may_call_nothing(authority, identity):
    answer, log = run(knock(authority, issued(authority, identity)))
    assert answer == "not_allowed"
    (line,) = log
    assert line.startswith(
        f"{identity}: {identity} may not call approved of ledger; the policy lets {WALLET} ("
    )
    assert ".yaml:" in line


def test_a_method_that_no_flow_opens_is_closed_to_everybody(authority):
    answer, log = run(knock(authority, issued(authority, WALLET), "secret"))
    assert answer == "not_allowed"
    assert log == [f"{WALLET}: {WALLET} may not call secret of ledger; the policy lets nobody call it"]


@pytest.mark.parametrize(
    "identity",
    [
        "spiffe://Harbour/wallet",
        "spiffe://HARBOUR/wallet",
        "SPIFFE://harbour/wallet",
        "spiffe://harbour/wallet/",
        "spiffe://harbour//wallet",
        "spiffe://harbour/./wallet",
        "spiffe://harbour/%77allet",
        "spiffe://harbour:443/wallet",
        "spiffe://harbour/wallet?x",
        "https://harbour/wallet",
        "spiffe://harbour",
    ],
)
def test_an_identity_that_is_not_spelled_as_one_is_no_identity(authority, identity):
    answer, log = run(knock(authority, issued(authority, identity)))
    assert answer == "closed"
    (line,) = log
    assert line.endswith(LETS_IN)


@pytest.mark.parametrize("names", [(), (WALLET, GATEWAY), (WALLET, WALLET)])
def test_a_certificate_names_exactly_one_identity(authority, names):
    answer, log = run(knock(authority, made_of(authority, *names)))
    assert answer == "closed"
    assert len(log) == 1


@pytest.mark.parametrize(("at", "lifetime_ns"), [(-2 * HOUR_NS, HOUR_NS), (2 * HOUR_NS, HOUR_NS)])
def test_a_certificate_that_has_expired_or_is_not_good_yet_is_refused(authority, at, lifetime_ns):
    answer, log = run(knock(authority, issued(authority, WALLET, at, lifetime_ns)))
    assert answer == "closed"
    assert len(log) == 1
    assert "TLS refused it" in log[0]


def test_the_same_identity_of_another_authority_is_refused(authority):
    stranger = Authority.create("harbour", CLOCK.now(), HOUR_NS)
    answer, log = run(knock(authority, issued(stranger, WALLET)))
    assert answer == "closed"
    assert "TLS refused it" in log[0]


def test_a_revoked_identity_is_let_in_no_more(authority):
    answer, log = run(knock(authority, issued(authority, WALLET), revoked=(WALLET,)))
    assert (answer, log) == ("closed", [f"{WALLET}: {WALLET} was revoked"])


def test_a_connection_ends_with_the_certificate_that_opened_it(authority):
    brief = issued(authority, WALLET, -HOUR_NS, HOUR_NS + 2 * SECOND_NS)
    answer, log = run(knock(authority, brief, wait=2.2))
    assert (answer, log) == ("closed", [f"{WALLET}: its certificate has expired"])
