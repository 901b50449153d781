"""Which service a command talks to: the connection options of ``client``, ``client jobs`` and ``bench service``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acfd_stream.config import hush_grpc
from acfd_stream.errors import ConfigError

if TYPE_CHECKING:
    from acfd_stream.client.client import Client


@dataclass(frozen=True)
class Remote:
    """Address of a service, and the caller's certificates and token; every field is an option."""

    target: Annotated[str, typer.Option("--to", metavar="HOST:PORT", help="Address of the service.")]
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="PEM", help="CA certificate used to verify the server.")
    ] = None
    certificate: Annotated[Path | None, typer.Option("--cert", metavar="PEM", help="Certificate of this client.")] = (
        None
    )
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help="Private key of --cert.")] = None
    token_file: Annotated[
        Path | None, typer.Option("--token-file", metavar="FILE", help="File whose first line is the token.")
    ] = None
    is_encrypted: Annotated[
        bool, typer.Option("--tls", help="Use TLS, and verify the server with gRPC's own CA certificates.")
    ] = False
    patience_seconds: Annotated[
        float,
        typer.Option(
            "--patience", metavar="S", help="How long to retry a broken stream, in seconds; 0 disables retries."
        ),
    ] = 60.0

    def open(self) -> Client:
        """A client of it.

        Raises:
            ConfigError: a certificate, key or token file cannot be used.
        """
        hush_grpc()
        from acfd_stream.client.client import Client
        from acfd_stream.client.tls import ClientTls

        is_encrypted = self.is_encrypted or self.ca is not None or self.certificate is not None
        tls = ClientTls(self.ca, self.certificate, self.key) if is_encrypted or self.key is not None else None
        return Client(self.target, token=self._token(), tls=tls, patience_seconds=self.patience_seconds)

    def _token(self) -> str:
        """The first line of the token file."""
        if self.token_file is None:
            return ""
        try:
            lines = self.token_file.read_text(encoding="utf-8").split("\n")
        except OSError as error:
            raise ConfigError(f"cannot read token file {self.token_file}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"token file {self.token_file} is not text") from error
        token = lines[0].strip()
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigError(f"token file {self.token_file} must hold the token in its first line")
        return token
