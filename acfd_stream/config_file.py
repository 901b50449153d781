"""Reads files of settings, tokens and keys: bounded in size and in time, whatever is at their path."""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path
from typing import Any

from acfd_stream.errors import ConfigError

MOST_BYTES = 16 * 2**20
"""Maximum size of such a file."""


def read_config_file(path: Path, name: str) -> bytes:
    """The content of the file at ``path``.

    Args:
        path: of a file; a pipe could keep its reader waiting, and is refused.
        name: what the file is called in an error.

    Raises:
        ConfigError: it cannot be read, is a pipe, or is larger than ``MOST_BYTES``.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            if stat.S_ISFIFO(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"cannot read {name}: it is a pipe; give a file")
            content = bytearray()
            while piece := file.read(MOST_BYTES + 1 - len(content)):
                content += piece
    except OSError as error:
        raise ConfigError(f"cannot read {name}: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError(f"cannot read {name}: {error}") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(f"cannot read {name}: it is larger than {MOST_BYTES >> 20} MiB")
    return bytes(content)


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """The tables of a TOML text.

    Raises:
        ConfigError: it is not UTF-8 or not TOML, or its values are nested too deep.
    """
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name} is not UTF-8 text, and so not TOML: {error.reason} at byte {error.start}") from error
    except ValueError as error:  # a TOMLDecodeError, or an integer of too many digits
        raise ConfigError(f"{name} is not TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{name} is not read: its values are nested too deep") from error


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
