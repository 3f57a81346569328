"""Certificates of our own servers: whether key and dates are right, and whether it is what a server shows."""

import math
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Final

__all__ = ["LEAST_DAYS", "CertificateUnusable", "OwnCertificate", "read_certificate", "shown_certificate"]

LEAST_DAYS: Final = 14
"""A certificate that ends sooner should have been renewed: the common ones are a third of their life before."""

_DAY_SECONDS: Final = 86_400
_ANSWER_LIMIT_OCTETS: Final = 64 << 10


class CertificateUnusable(Exception):
    """No client can be served with it; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCertificate:
    """A certificate whose key belongs to it and whose dates are right now."""

    der: bytes
    days_left: int
    """Whole days until it ends."""


def read_certificate(cert: str, key: str) -> OwnCertificate:
    """Read a PEM file as a server does, and look at it as a client does that trusts it; an empty key stands beside it.

    Raises:
        CertificateUnusable: it cannot be read, has another key, begins later, or has ended.
    """
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    # Trusted is what stands in the file, whoever signed it: only dates are left to be found wrong.
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        server.load_cert_chain(cert, key or None)
        client.load_verify_locations(cert)
        seen = _handshake(client, server)
    except ssl.SSLCertVerificationError as error:
        raise CertificateUnusable(f"{cert}: {error.verify_message}") from error
    except OSError as error:
        # Those of OpenSSL are some too.
        raise CertificateUnusable(f"{cert}: {error.strerror or error}") from error
    facts, der = seen.getpeercert(), seen.getpeercert(binary_form=True)
    assert facts, "it was verified"
    assert der is not None, "a server shows one"
    ends_at = ssl.cert_time_to_seconds(str(facts["notAfter"]))
    return OwnCertificate(der=der, days_left=math.floor((ends_at - time.time()) / _DAY_SECONDS))


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """Let both ends speak in memory, and give the client's."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(down, up)
    other = server.wrap_bio(up, down, server_side=True)
    for _ in range(4):
        for end in (one, other):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return one


def shown_certificate(listen: str, *, seconds: float) -> tuple[str, bytes | None]:
    """Connect to a ManageSieve server, and give its last word of greeting and the certificate it begins TLS with.

    The certificate is None where TLS is not offered.

    Raises:
        OSError: it cannot be reached, or speaks otherwise.
    """
    scheme, _, place = listen.partition(":")
    host, _, port = place.rpartition(":")
    if scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        connection = socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    with connection:
        if scheme == "unix":
            connection.settimeout(seconds)
            connection.connect(place)
        greeting = _answer(connection)
        if b'"STARTTLS"' not in greeting:
            return _last(greeting), None
        connection.sendall(b"STARTTLS\r\n")
        if not _answer(connection).startswith(b"OK"):
            raise OSError("it does not begin TLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        # Looked at, not trusted: nothing is said to it.
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(connection) as tls:
            return _last(greeting), tls.getpeercert(binary_form=True)


def _answer(connection: socket.socket) -> bytes:
    """Read lines up to the one that ends an answer. RFC 5804 §1.2."""
    octets = b""
    while len(octets) < _ANSWER_LIMIT_OCTETS:
        received = connection.recv(4096)
        if not received:
            break
        octets += received
        lines = octets.split(b"\r\n")
        if lines[-1] == b"" and len(lines) > 1 and lines[-2].upper().startswith((b"OK", b"NO", b"BYE")):
            return octets
    raise OSError("it does not speak ManageSieve")


def _last(answer: bytes) -> str:
    return answer.rstrip().rpartition(b"\r\n")[2].decode("utf-8", "replace")
