"""The server's keys and certificates, read again when their files change."""

from __future__ import annotations

import logging
from typing import Any

import grpc

from acfd_stream.errors import ConfigError
from acfd_stream.service.access.file_watch import FileWatch
from acfd_stream.service.settings import TlsConfig
from acfd_stream.wire.pem import read_authorities, read_pair

_log = logging.getLogger(__name__)


def server_credentials(config: TlsConfig) -> grpc.ServerCredentials | None:
    """Credentials for a secure port; None without encryption.

    Changed files are used from the next connection on. If they are invalid, the old ones stay and an error is logged.

    Raises:
        ConfigError: a file cannot be read, is not a PEM of its kind, or key and certificate do not match.
    """
    if config.certificate is None or config.key is None:
        return None
    certificates = _Certificates(config)
    return grpc.dynamic_ssl_server_credentials(certificates.first, certificates.changed, config.client_ca is not None)


class _Certificates:
    """The certificate configuration for gRPC, built again when the files change."""

    def __init__(self, config: TlsConfig) -> None:
        self._config = config
        files = (config.certificate, config.key, config.client_ca)
        self._watch = FileWatch([path for path in files if path is not None])
        self.first = self._read()

    def changed(self) -> Any:
        """Called by gRPC before each handshake; None if nothing has changed."""
        if not self._watch.have_changed():
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
        certificate, key = read_pair(config.certificate, config.key)
        ca = None if config.client_ca is None else read_authorities(config.client_ca)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)
