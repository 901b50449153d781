"""PEM files of keys and certificates, checked before gRPC reads them."""

from __future__ import annotations

import ssl
from pathlib import Path

from acfd_stream.config_file import read_config_file
from acfd_stream.errors import ConfigError


def read_pair(certificate: Path, key: Path) -> tuple[bytes, bytes]:
    """The content of a certificate file and of its key file; checks that they match."""
    contents = _content(certificate), _content(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise ConfigError(_complaint(certificate, key, contents, error)) from error
    except (OSError, ValueError) as error:  # the file was removed just now; a password is required
        raise ConfigError(f"cannot read certificate {certificate} and key {key}: {error}") from error
    return contents


def read_authorities(path: Path) -> bytes:
    """The content of a file with at least one CA certificate."""
    content = _content(path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise ConfigError(f"{path} has no PEM certificate of an authority") from error
    return content


def _complaint(certificate: Path, key: Path, contents: tuple[bytes, bytes], error: ssl.SSLError) -> str:
    if b"-----BEGIN CERTIFICATE-----" not in contents[0]:
        return f"{certificate} has no PEM certificate (no line BEGIN CERTIFICATE)"
    if b"PRIVATE KEY-----" not in contents[1]:
        return f"{key} has no PEM key (no line BEGIN … PRIVATE KEY)"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"key {key} does not match certificate {certificate}"
    if b"ENCRYPTED" in contents[1]:
        return f"key {key} has a password; use one without"
    return f"certificate {certificate} or key {key} is damaged ({error.reason or error})"


def _content(path: Path) -> bytes:
    return read_config_file(path, str(path))
