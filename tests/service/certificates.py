"""Authorities and certificates that are made when a test asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, in PEM files."""

    certificate: Path
    key: Path


class Authority:
    """Vouches for others; its own certificate is in ``ca``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.ca = folder / f"{name}.pem"
        self._certificate = self._signed(name, self._key, is_authority=True)
        self.ca.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def pair(self, name: str, password: bytes | None = None, *, host: str = "localhost", is_over: bool = False) -> Pair:
        """A certificate for ``host``, which has expired or not."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key, is_authority=False, host=host, is_over=is_over)
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            encryption = serialization.BestAvailableEncryption(password)
        form = serialization.PrivateFormat.PKCS8
        pair.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
        return pair

    def _signed(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        *,
        is_authority: bool,
        host: str = "localhost",
        is_over: bool = False,
    ) -> x509.Certificate:
        now = datetime.now(UTC) - timedelta(days=2 * is_over)
        builder = x509.CertificateBuilder(
            issuer_name=_called(self._name),
            subject_name=_called(name),
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(days=1),
        )
        builder = builder.add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        return builder.add_extension(names, critical=False).sign(self._key, hashes.SHA256())


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
