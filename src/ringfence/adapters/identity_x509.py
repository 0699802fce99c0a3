"""Workload identity: an authority of one trust domain and the short-lived certificates it issues.

The form is that of an X.509 SVID (SPIFFE, "The X.509 SPIFFE Verifiable Identity Document"): one URI in
the subject alternative name, critical because the subject is empty, and a key that may only sign. Whether an
identity is well formed and what it may call is decided in the network plane; here are keys, certificates and
TLS contexts. Private keys never touch a disk: TLS reads them from memory.
"""

import os
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ringfence.kernel.instant import MINUTE_NS, SECOND_NS, Instant

CLOCK_SKEW_NS = MINUTE_NS
"""A certificate is good this long before it was issued, for peers whose clock is behind."""


@dataclass(frozen=True, slots=True)
class Svid:
    """An identity with its proof: certificate and private key in PEM, the serial, and when it expires."""

    identity: str
    certificate: bytes
    key: bytes
    serial: int
    expires: Instant


class Authority:
    """The certificate authority of one trust domain; `bundle` is what its peers must trust, in PEM."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self._key = key
        self._certificate = certificate

    @classmethod
    def create(cls, trust_domain: str, at: Instant, lifetime_ns: int) -> Self:
        """Make a new authority for `trust_domain` (such as `harbour`) for `lifetime_ns` from `at` on."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain)])
        unsigned = (
            _certificate(name, name, key.public_key(), at, lifetime_ns)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(_uri(f"spiffe://{trust_domain}"), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(key, unsigned.sign(key, hashes.SHA256()))

    @property
    def bundle(self) -> bytes:
        """The authority's own certificate in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, identity: str, at: Instant, lifetime_ns: int) -> Svid:
        """Issue a fresh key and certificate for `identity`, a URI such as `spiffe://harbour/ledger`."""
        key = ec.generate_private_key(ec.SECP256R1())
        unsigned = (
            _certificate(self._certificate.subject, x509.Name([]), key.public_key(), at, lifetime_ns)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(_uri(identity), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        certificate = unsigned.sign(self._key, hashes.SHA256())
        return Svid(
            identity,
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            certificate.serial_number,
            Instant(at + lifetime_ns),
        )


def server_context(svid: Svid, bundle: bytes) -> ssl.SSLContext:
    """Return the TLS 1.3 context of a server that asks every client for a certificate of `bundle`."""
    return _context(ssl.PROTOCOL_TLS_SERVER, svid, bundle)


def public_context(svid: Svid, bundle: bytes) -> ssl.SSLContext:
    """Return the TLS 1.3 context of a server that strangers may call: it shows `svid`, they nothing."""
    context = _context(ssl.PROTOCOL_TLS_SERVER, svid, bundle)
    context.verify_mode = ssl.CERT_NONE
    return context


def stranger_context(bundle: bytes) -> ssl.SSLContext:
    """Return the TLS 1.3 context of a client without a certificate of its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=bundle.decode("ascii"))
    return context


def client_context(svid: Svid, bundle: bytes) -> ssl.SSLContext:
    """Return the TLS 1.3 context of a client that shows `svid`; the caller checks the server's identity."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, svid, bundle)


def rotate(context: ssl.SSLContext, svid: Svid) -> None:
    """Show `svid` from the next connection on; connections that are open stay as they are."""
    chain = os.memfd_create("svid", os.MFD_CLOEXEC)
    try:
        os.write(chain, svid.certificate + svid.key)
        context.load_cert_chain(f"/proc/self/fd/{chain}")
    finally:
        os.close(chain)


NEVER = Instant(0)
"""The end of a certificate that was not shown."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the other end of a connection has shown: every URI of its certificate, serial, and end."""

    identities: tuple[str, ...]
    serial: int
    expires: Instant = NEVER


def peer_of(connection: ssl.SSLSocket | ssl.SSLObject) -> Peer:
    """Read the certificate that the other end has shown and TLS has verified; no URI where it showed none."""
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        return Peer((), 0)
    certificate = x509.load_der_x509_certificate(encoded)
    expires = Instant(int(certificate.not_valid_after_utc.timestamp()) * SECOND_NS)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return Peer((), certificate.serial_number, expires)
    uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    return Peer(uris, certificate.serial_number, expires)


def _context(protocol: int, svid: Svid, bundle: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Peers are known by the URI in their certificate; a host name says nothing about who they are.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=bundle.decode("ascii"))
    rotate(context, svid)
    return context


def _certificate(
    issuer: x509.Name, subject: x509.Name, public: ec.EllipticCurvePublicKey, at: Instant, lifetime_ns: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_moment(at - CLOCK_SKEW_NS))
        .not_valid_after(_moment(at + lifetime_ns))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _uri(text: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.UniformResourceIdentifier(text)])


def _moment(instant: int) -> datetime:
    return datetime.fromtimestamp(instant // SECOND_NS, UTC)
