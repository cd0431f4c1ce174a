"""TLS without a certificate authority: a certificate of the master's own making, bound by the handshake.

Nobody verifies it by name or signature. Both ends mix its hash into the handshake's proofs, so one that a
relay shows in its place makes the proofs fail; what TLS adds is secrecy and integrity of what follows.
The certificate is therefore not a secret to keep, only one to reuse; a new one would do.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

CERTIFICATE_FILE: Final = "taskgrid.pem"
_VALID_FOR: Final = dt.timedelta(days=36_500)  # nobody checks: the handshake's key is what counts


class ServerTls(NamedTuple):
    """What a server wraps its connections with, and what its certificate hashes to."""

    context: ssl.SSLContext
    fingerprint: bytes


def fingerprint(certificate: bytes) -> bytes:
    """Hash a certificate (DER) for the handshake's proofs."""
    return hashlib.sha256(certificate).digest()


@cache
def client_context() -> ssl.SSLContext:
    """Return the context of all clients: TLS 1.3, and the certificate judged by the handshake."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def server_tls(folder: Path | None) -> ServerTls:
    """Load the certificate kept in `folder`, made at the first call; without a folder, make one for this run."""
    if folder is not None:
        kept = folder / CERTIFICATE_FILE
        if not kept.exists():
            kept = _make(folder, kept)
        try:
            return _load(kept)
        except (OSError, ValueError):  # unreadable or damaged: see above, a new one does as well
            return server_tls(None)
    with tempfile.TemporaryDirectory() as scratch:
        return _load(_make(Path(scratch), Path(scratch) / CERTIFICATE_FILE))


def _load(path: Path) -> ServerTls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # connections are few and long; an unread ticket turns a close into a reset
    context.load_cert_chain(path)
    text = path.read_text(encoding="ascii")
    certificate = text[text.index("-----BEGIN CERTIFICATE-----") :]
    return ServerTls(context, fingerprint(ssl.PEM_cert_to_DER_cert(certificate)))


def _make(folder: Path, path: Path) -> Path:
    """Write a new private key and certificate to `path` (mode 0600), unless another process just did."""
    try:
        descriptor, name = tempfile.mkstemp(dir=folder)
    except OSError:  # a read-only folder, such as a container's secrets
        return path
    with os.fdopen(descriptor, "wb") as file:
        file.write(_self_signed())
    temporary = Path(name)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path


def _self_signed() -> bytes:
    # Imported here: it takes 60 ms, and only a master's first start needs it.
    from cryptography import x509  # noqa: PLC0415  # see above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  # see above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # see above

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "taskgrid")])
    made_at = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(made_at).not_valid_after(made_at + _VALID_FOR)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
