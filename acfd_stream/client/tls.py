"""TLS settings of a client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.wire.pem import read_authorities, read_pair


@dataclass(frozen=True)
class ClientTls:
    """Trusted CA and certificate of a client."""

    ca: Path | None = None
    """PEM file of the CA certificates that verify the server; None: the default ones of gRPC."""
    certificate: Path | None = None
    """PEM file of the client certificate (mTLS)."""
    key: Path | None = None
    """PEM file of its private key, without a password."""

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigError("a client certificate needs its key, and a key its certificate")


def channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Credentials for a secure channel.

    Raises:
        ConfigError: a file cannot be read, is not a PEM of its kind, or key and certificate do not match.
    """
    ca = None if tls.ca is None else read_authorities(tls.ca)
    if tls.certificate is None or tls.key is None:
        return grpc.ssl_channel_credentials(ca)
    certificate, key = read_pair(tls.certificate, tls.key)
    return grpc.ssl_channel_credentials(ca, key, certificate)
