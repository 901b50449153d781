"""The server's keys and certificates, read again when their files change."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import grpc

from acfd_stream.service.access.file_watch import FileWatch
from acfd_stream.service.settings import TlsConfig
from acfd_stream.wire.pem import read_authorities, read_pair


def server_credentials(config: TlsConfig) -> grpc.ServerCredentials | None:
    """Credentials for a secure port; None without encryption.

    Changed files are used from the next connection on. If they are invalid, the old ones stay and an error is logged.

    Raises:
        ConfigError: a file cannot be read, is not a PEM of its kind, or key and certificate do not match.
    """
    if config.certificate is None or config.key is None:
        return None
    paths = [path for path in (config.certificate, config.key, config.client_ca) if path is not None]
    watch = FileWatch("certificates", paths, partial(_configuration, config.certificate, config.key, config.client_ca))

    def changed() -> Any:  # called by gRPC before each handshake; None: nothing has changed
        return watch.value if watch.refresh() else None

    return grpc.dynamic_ssl_server_credentials(watch.value, changed, config.client_ca is not None)


def _configuration(certificate: Path, key: Path, client_ca: Path | None) -> Any:
    chain, private_key = read_pair(certificate, key)
    ca = None if client_ca is None else read_authorities(client_ca)
    return grpc.ssl_server_certificate_configuration([(private_key, chain)], root_certificates=ca)
