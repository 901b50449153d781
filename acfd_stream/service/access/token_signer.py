"""Signs resume tokens with a key that all replicas share, or only adds a checksum."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acfd_stream.config_file import read_config_file
from acfd_stream.errors import ConfigError
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.file_watch import FileWatch

LEAST_BYTES = 16
"""Minimum length of a key; shorter ones can be guessed."""
_CHECKSUM = (b"",)


class TokenSigner:
    """Packs and unpacks resume tokens with the keys of a file, which is read again when it changes; thread-safe.

    The first key signs, all of them verify. To change the key, put a new one first and remove the old one later. If
    the file becomes invalid, the previous keys stay in use, and an error is logged.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read ``path``, one key per line; None: tokens only have a checksum.

        Raises:
            ConfigError: it cannot be read, has no key, or one that is too short.
        """
        paths = [] if path is None else [path]
        self._keys = FileWatch("resume keys", paths, lambda: _CHECKSUM if path is None else read_secrets(path))

    def pack(self, state: Mapping[str, Any]) -> bytes:
        """A signed token with ``state``."""
        return tokens.pack(state, self._keys.value[0])

    def unpack(self, token: bytes) -> dict[str, Any]:
        """The state in ``token``.

        Raises:
            ConfigError: it is not a token, is damaged, or was not signed with one of the keys.
        """
        return tokens.unpack(token, self._keys.value)


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The keys of a file, the signing one first.

    Raises:
        ConfigError: it cannot be read, has no key, or one that is too short.
    """
    lines = read_config_file(path, f"resume key {path}").splitlines()
    secrets = tuple(line.strip() for line in lines if line.strip())
    if not secrets:
        raise ConfigError(f"resume key {path} holds no secret; 'openssl rand -hex 32' makes one")
    if min(map(len, secrets)) < LEAST_BYTES:
        raise ConfigError(f"resume key {path} holds a secret of less than {LEAST_BYTES} bytes; make it longer")
    return secrets
