"""What resume tokens are signed with: a secret that all replicas of a service know, or nothing but a checksum."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.file_watch import FileWatch

LEAST_BYTES = 16
"""Of a secret; shorter ones can be guessed."""
_CHECKSUM = (b"",)
_log = logging.getLogger(__name__)


class TokenSigner:
    """Makes and opens resume tokens with the secrets of a file, read again when it changes; from any thread.

    The first secret seals, every one opens: a new one is put in front, and the old one taken out once its tokens are
    of no use. A file that turns bad while the service runs changes nothing, and the log says so.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read ``path``, a secret a line; None: tokens bear a checksum, which anybody can make.

        Raises:
            ConfigError: it cannot be read, holds no secret, or one that is too short.
        """
        self._path = path
        self._lock = threading.Lock()
        self._watch = FileWatch([] if path is None else [path])
        self._keys = _CHECKSUM if path is None else read_secrets(path)

    def pack(self, state: Mapping[str, Any]) -> bytes:
        """A token that holds ``state``."""
        return tokens.pack(state, self._fresh()[0])

    def unpack(self, token: bytes) -> dict[str, Any]:
        """The state in ``token``.

        Raises:
            ConfigError: it is no token, damaged, or was not signed with a secret of ours.
        """
        return tokens.unpack(token, self._fresh())

    def _fresh(self) -> tuple[bytes, ...]:
        if self._path is not None and self._watch.have_changed():
            with self._lock:
                try:
                    self._keys = read_secrets(self._path)
                except ConfigError as error:
                    _log.error("the resume key from before stays in use: %s", error)
        return self._keys


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The secrets of a file, the one that seals first.

    Raises:
        ConfigError: it cannot be read, holds none, or one that is too short.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"cannot read resume key {path}: {error.strerror}") from error
    secrets = tuple(line.strip() for line in lines if line.strip())
    if not secrets:
        raise ConfigError(f"resume key {path} holds no secret; 'openssl rand -hex 32' makes one")
    if min(map(len, secrets)) < LEAST_BYTES:
        raise ConfigError(f"resume key {path} holds a secret of less than {LEAST_BYTES} bytes; make it longer")
    return secrets
