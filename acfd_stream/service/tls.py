"""Keys and certificates of both ends, from PEM files that are checked before gRPC sees them."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.service.stamps import Stamps

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TlsConfig:
    """What the server proves itself with, and whom it asks for the same. Without a certificate nothing is encrypted."""

    certificate: Path | None = None
    """PEM of the server's certificate and those between it and its authority."""
    key: Path | None = None
    """PEM of its key, without a password."""
    client_ca: Path | None = None
    """PEM of the authorities whose clients are let in (mTLS); None: clients need no certificate."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("tls needs both a certificate and a key, or neither")
        if self.client_ca is not None and self.certificate is None:
            raise ConfigError("tls client_ca needs a certificate and a key of the server")


@dataclass(frozen=True)
class ClientTls:
    """Whom a client trusts, and what it proves itself with."""

    ca: Path | None = None
    """PEM of the authorities that may vouch for the server; None: those that gRPC knows."""
    certificate: Path | None = None
    """PEM of the client's own certificate (mTLS)."""
    key: Path | None = None
    """PEM of its key, without a password."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a client's certificate and key go together: give both, or neither")


def server_credentials(config: TlsConfig) -> grpc.ServerCredentials | None:
    """Credentials for a secure port; None where nothing is encrypted.

    Files that change are read again for the next connection; files that turn bad are not taken, and the log says so.

    Raises:
        ConfigError: a file cannot be read, is no PEM of its kind, or key and certificate are not a pair.
    """
    if config.certificate is None or config.key is None:
        return None
    certificates = _Certificates(config)
    return grpc.dynamic_ssl_server_credentials(certificates.first, certificates.changed, config.client_ca is not None)


def channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Credentials for a secure channel.

    Raises:
        ConfigError: as ``server_credentials``.
    """
    ca = None if tls.ca is None else _authorities(tls.ca)
    if tls.certificate is None or tls.key is None:
        return grpc.ssl_channel_credentials(ca)
    certificate, key = _pair(tls.certificate, tls.key)
    return grpc.ssl_channel_credentials(ca, key, certificate)


class _Certificates:
    """The server's files as gRPC wants them, and again when they change."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        files = (config.certificate, config.key, config.client_ca)
        self._stamps = Stamps([path for path in files if path is not None])
        self.first = self._read()

    def changed(self) -> Any:
        """What gRPC asks before a handshake: None where nothing has changed."""
        if not self._stamps.have_changed():
            return None
        try:
            return self._read()
        except ConfigError as error:
            _log.error("the certificates from before stay in use: %s", error)
            return None

    def _read(self) -> Any:
        config = self._config
        if config.certificate is None or config.key is None:
            raise ConfigError("tls needs both a certificate and a key")
        certificate, key = _pair(config.certificate, config.key)
        ca = None if config.client_ca is None else _authorities(config.client_ca)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)


def _pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """The bytes of a certificate and its key, which belong together."""
    contents = _content(certificate), _content(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise ConfigError(_complaint(certificate, key, contents, error)) from error
    except (OSError, ValueError) as error:  # the file went away just now; a password is asked for
        raise ConfigError(f"cannot read certificate {certificate} and key {key}: {error}") from error
    return contents


def _complaint(certificate: Path, key: Path, contents: tuple[bytes, bytes], error: ssl.SSLError) -> str:
    if b"-----BEGIN CERTIFICATE-----" not in contents[0]:
        return f"{certificate} holds no PEM certificate (no line BEGIN CERTIFICATE)"
    if b"PRIVATE KEY-----" not in contents[1]:
        return f"{key} holds no PEM key (no line BEGIN … PRIVATE KEY)"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"key {key} is not that of certificate {certificate}"
    if b"ENCRYPTED" in contents[1]:
        return f"key {key} has a password; give one without"
    return f"certificate {certificate} or key {key} is damaged ({error.reason or error})"


def _authorities(path: Path) -> bytes:
    """The bytes of a file of authorities, at least one."""
    content = _content(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(f"{path} holds no PEM certificate of an authority") from error
    return content


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
