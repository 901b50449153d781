"""What a client trusts and identifies itself with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.wire.pem import read_authorities, read_pair


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


def channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Credentials for a secure channel.

    Raises:
        ConfigError: as ``server_credentials``.
    """
    ca = None if tls.ca is None else read_authorities(tls.ca)
    if tls.certificate is None or tls.key is None:
        return grpc.ssl_channel_credentials(ca)
    certificate, key = read_pair(tls.certificate, tls.key)
    return grpc.ssl_channel_credentials(ca, key, certificate)
