"""Signs resume tokens with a key: of all replicas, of a folder, or of this process alone."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from acfd_stream.config import cache_dir
from acfd_stream.config_file import read_config_file
from acfd_stream.errors import ConfigError
from acfd_stream.files import sync_folder
from acfd_stream.service.access import resume_token as tokens
from acfd_stream.service.access.file_watch import FileWatch

LEAST_BYTES = 16
"""Minimum length of a key; shorter ones can be guessed."""
KEY_FILE = "resume.key"
"""In the folder of the jobs, else in the cache."""


class TokenSigner:
    """Packs and unpacks resume tokens with the keys of a file, which is read again when it changes; thread-safe.

    The first key signs, all of them verify. To change the key, put a new one first and remove the old one later. If
    the file becomes invalid, the previous keys stay in use, and an error is logged.
    """

    def __init__(
        self, path: Path | None = None, folder: Path | None = None, most_bytes: int = tokens.MOST_BYTES
    ) -> None:
        """Read the keys, or make one.

        Args:
            path: has one key per line; None: the key is in ``folder``, and made there when missing.
            folder: made when missing; None: the key is random, and tokens end with the process.
            most_bytes: of a token and of its state.

        Raises:
            ConfigError: the file cannot be read or made, has no key, or one that is too short.
        """
        self._most_bytes = most_bytes
        if path is None and folder is not None:
            path = key_in(folder)
        made = (secrets.token_hex(32).encode(),)
        paths = [] if path is None else [path]
        self._keys = FileWatch("resume keys", paths, lambda: made if path is None else read_secrets(path))

    @classmethod
    def of(cls, path: Path | None, folder: Path | None, most_bytes: int) -> TokenSigner:
        """The signer of a server: without a path and a folder its key is in the cache, or random if that is no place.

        Raises:
            ConfigError: as ``TokenSigner``.
        """
        cache = cache_dir()
        if path is None and folder is None and cache is not None:
            with contextlib.suppress(ConfigError):  # a cache may be read-only, or another user's
                return cls(None, cache, most_bytes)
        return cls(path, folder, most_bytes)

    def pack(self, state: Mapping[str, Any]) -> bytes:
        """A signed token with ``state``."""
        return tokens.pack(state, self._keys.value[0])

    def unpack(self, token: bytes) -> dict[str, Any]:
        """The state in ``token``.

        Raises:
            ConfigError: it is not a token, is damaged or too large, or was not signed with one of the keys.
        """
        return tokens.unpack(token, self._keys.value, self._most_bytes)


def key_in(folder: Path) -> Path:
    """The file of the key in ``folder``; both are made when missing, readable only by their owner.

    Raises:
        ConfigError: they cannot be made.
    """
    path = folder / KEY_FILE
    fresh = folder / f"{KEY_FILE}.{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w") as key:
                key.write(f"{secrets.token_hex(32)}\n")
                key.flush()
                os.fsync(key.fileno())
            try:
                os.link(fresh, path)  # unlike a renaming it replaces nothing
            except FileExistsError:  # another server made one meanwhile
                pass
            except OSError:  # a file system without links
                os.replace(fresh, path)
            sync_folder(folder)
    except OSError as error:
        raise ConfigError(f"jobs.state_dir: cannot make {error.filename or path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)
    return path


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The keys of a file, the signing one first.

    Raises:
        ConfigError: it cannot be read, has no key, or one that is too short.
    """
    lines = read_config_file(path, f"resume key {path}").splitlines()
    keys = tuple(line.strip() for line in lines if line.strip())
    if not keys:
        raise ConfigError(f"resume key {path} holds no secret; 'openssl rand -hex 32' makes one")
    if min(map(len, keys)) < LEAST_BYTES:
        raise ConfigError(f"resume key {path} holds a secret of less than {LEAST_BYTES} bytes; make it longer")
    return keys
