"""The token file (TOML): name, expiry, rights and limits of each bearer token.

The file has the SHA-256 of each token, not the token itself.

    [[token]]
    name = "studio"
    sha256 = "…"                      # 64 hex digits
    expires = 2027-01-01T00:00:00Z    # missing: never
    streams = 4                       # and any other limit of [callers]; missing: as set there
    rights = ["track", "detect"]      # missing: all
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from acfd_stream.config import from_mapping, require
from acfd_stream.config_file import parse_toml, read_config_file
from acfd_stream.errors import ConfigError, OutputError
from acfd_stream.files import PART_SUFFIX, lock_file, sync_folder
from acfd_stream.service.access.file_watch import FileWatch
from acfd_stream.service.settings.callers import CallerLimits

RIGHTS = ("track", "uri", "detect", "stats", "jobs")
"""Rights of a token that names none. Capacity and the list of models need a token, but no right."""
ADMIN = "admin"
"""The right to see what every caller holds; only a token that names it has it."""
PREFIX = "acfd_"
"""Prefix of every token, so that secret scanners recognise it."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_LONGEST = timedelta(days=100 * 366)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class Grant:
    """One entry: what its token allows."""

    name: str
    """Letters, digits and ``._-``; appears in logs."""
    sha256: str
    """Of the token's ASCII bytes, 64 hex digits."""
    expires: datetime | None = None
    """Time, with a zone, from which on it is refused; None: never."""
    streams: int | None = None
    """Maximum concurrent streams, >= 1; None: no limit of its own."""
    rights: tuple[str, ...] = RIGHTS
    """Some of ``RIGHTS``, and ``ADMIN``."""
    calls: int | None = None
    """Maximum concurrent calls, >= 1; None, here and below: the setting in ``[callers]``."""
    uploads: int | None = None
    """Maximum concurrent streams that send their video, >= 1."""
    bytes_per_second: int | None = None
    """Maximum bytes of video that are received per second, >= 1."""
    faults_per_second: int | None = None
    """Maximum calls per second that fail by its own fault before further ones wait, >= 1."""
    queued_jobs: int | None = None
    """Maximum jobs that wait, >= 1."""
    running_jobs: int | None = None
    """Maximum jobs that run at once, >= 1."""
    kept_jobs: int | None = None
    """Maximum finished jobs that are kept, >= 1."""
    kept_bytes: int | None = None
    """Maximum bytes of jobs and results, >= 1."""
    result_streams: int | None = None
    """Maximum concurrent streams of results, >= 1."""

    def __post_init__(self) -> None:
        require(isinstance(self.name, str) and bool(_NAME.fullmatch(self.name)), "token name", self.name, _NAME.pattern)
        is_hash = isinstance(self.sha256, str) and re.fullmatch("[0-9a-f]{64}", self.sha256)
        require(bool(is_hash), f"sha256 of token {self.name}", "something else", "64 hex digits, lower case")
        is_time = self.expires is None or (isinstance(self.expires, datetime) and self.expires.tzinfo is not None)
        require(
            is_time, f"expires of token {self.name}", self.expires, "a date-time with its zone, ending in Z or +00:00"
        )
        for limit, most in self._limits().items():
            is_count = type(most) is int and 1 <= most < 2**63
            require(is_count, f"{limit} of token {self.name}", most, "a whole number >= 1")
        is_list = isinstance(self.rights, list | tuple) and set(map(str, self.rights)) <= {*RIGHTS, ADMIN}
        require(is_list, f"rights of token {self.name}", self.rights, f"a list of {', '.join((*RIGHTS, ADMIN))}")

    def limits(self, defaults: CallerLimits) -> CallerLimits:
        """The limits of this caller: its own, and for the others ``defaults``."""
        return replace(defaults, **self._limits())

    def _limits(self) -> dict[str, Any]:
        values = {limit.name: getattr(self, limit.name) for limit in fields(CallerLimits)}
        return {name: most for name, most in values.items() if most is not None}

    def is_expired(self, now: datetime) -> bool:
        """Whether the token is refused at ``now``."""
        return self.expires is not None and now >= self.expires


def digest(token: str) -> str:
    """The SHA-256 of ``token``, as stored in the file."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class TokenFile:
    """The grants of a file, read again when it changes; safe for several threads.

    If the file becomes invalid, the previous grants stay in use, and an error is logged.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path``.

        Raises:
            ConfigError: it cannot be read or is invalid.
        """
        self._grants = FileWatch("tokens", [path], lambda: read_grants(path))

    def find(self, token: str) -> Grant | None:
        """The grant of ``token``, expired or not; compares with every entry in constant time."""
        wanted = digest(token)
        found = None
        for grant in self._grants.value:
            if hmac.compare_digest(grant.sha256, wanted):
                found = grant
        return found

    def entries(self) -> tuple[Grant, ...]:
        """The current grants; the same object until the file changes."""
        return self._grants.value

    def grants(self) -> dict[str, Grant]:
        """The current grants, by SHA-256."""
        return {grant.sha256: grant for grant in self._grants.value}

    def reload(self) -> None:
        """Read the file again now; never raises."""
        self._grants.reload()


def bearer_token(authorization: str) -> str:
    """The token in an Authorization header; "" if the header has another scheme or no token."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def read_grants(path: Path) -> tuple[Grant, ...]:
    """The grants of a token file.

    Raises:
        ConfigError: it cannot be read, is not TOML, or has an invalid entry.
    """
    return _parsed(_content(path, path), path)


def add_token(
    path: Path,
    name: str,
    *,
    expires: datetime | None = None,
    streams: int | None = None,
    rights: tuple[str, ...] = RIGHTS,
) -> str:
    """A new token; its grant is appended to the file, which is created if missing.

    The token cannot be read from the file later. Several processes may add tokens at once. The file keeps its owner,
    its mode and its other lines, and a link at ``path`` stays.

    Raises:
        ConfigError: the file is invalid, cannot be written, cannot keep its owner, or already has that name.
    """
    token = PREFIX + secrets.token_urlsafe(32)
    grant = Grant(name, digest(token), expires, streams, rights)
    target = Path(os.path.realpath(path))  # a link stays one
    try:
        with _locked(target):
            before = _content(target, path) if target.exists() else b""
            if any(entry.name == name for entry in _parsed(before, path)):
                raise ConfigError(
                    f"token file {path} already has a token {name}; choose another name, or remove the old one"
                )
            gap = "\n" if before and not before.endswith(b"\n\n") else ""
            _replace(target, before + (gap + _entry(grant)).encode())
    except OSError as error:
        raise ConfigError(f"cannot write token file {path}: {error.strerror}") from error
    return token


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    """Keep other processes from changing ``target`` meanwhile. The lock file is removed at the end."""
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    path = target.with_name(f".{target.name}.lock")
    try:
        with lock_file(path, is_patient=True):
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
    except OutputError as error:
        raise ConfigError(f"cannot lock token file {target}: {error}") from error


def _replace(target: Path, content: bytes) -> None:
    """Replace a file in one step. Owner, mode and access list stay; who cannot keep them gets an OSError."""
    file, part = tempfile.mkstemp(PART_SUFFIX, f".{target.name}-", target.parent)
    try:
        with open(file, "wb") as opened:
            if target.exists():
                kept, own = target.stat(), os.fstat(file)
                if (kept.st_uid, kept.st_gid) != (own.st_uid, own.st_gid):
                    os.fchown(file, kept.st_uid, kept.st_gid)
                shutil.copystat(target, part)
            opened.write(content)
            opened.flush()
            os.fsync(file)
        os.replace(part, target)
    except BaseException:
        os.unlink(part)
        raise
    sync_folder(target.parent)


def parse_duration(text: str) -> timedelta:
    """The duration ``90m``, ``12h``, ``30d`` or ``4w``.

    Raises:
        ConfigError: another format, 0, or more than a hundred years.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigError(f"a time must be a whole number with s, m, h, d or w, as 30d; got {text!r}")
    found = timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    require(timedelta() < found <= _LONGEST, "a time", text, f"more than 0 and at most {_LONGEST.days} days")
    return found


def now_utc() -> datetime:
    """The current time, against which expiry is checked."""
    return datetime.now(UTC)


def _entry(grant: Grant) -> str:
    lines = ["[[token]]", f'name = "{grant.name}"', f'sha256 = "{grant.sha256}"']
    if grant.expires is not None:
        lines.append(f"expires = {grant.expires.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if grant.streams is not None:
        lines.append(f"streams = {grant.streams}")
    if set(grant.rights) != set(RIGHTS):
        lines.append("rights = [" + ", ".join(f'"{right}"' for right in grant.rights) + "]")
    return "\n".join(lines) + "\n"


def _content(target: Path, path: Path) -> bytes:
    return read_config_file(target, f"token file {path}")


def _parsed(text: bytes, path: Path) -> tuple[Grant, ...]:
    content = parse_toml(text, f"token file {path}")
    entries = content.get("token", [])
    is_table = set(content) <= {"token"} and isinstance(entries, list) and all(isinstance(one, dict) for one in entries)
    if not is_table:
        raise ConfigError(f"token file {path} may hold [[token]] tables and nothing else")
    try:
        grants = tuple(_grant(entry) for entry in entries)
    except ConfigError as error:
        raise ConfigError(f"token file {path}: {error}") from error
    names = [grant.name for grant in grants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"token file {path} has more than one token {', '.join(twice)}")
    return grants


def _grant(entry: Mapping[str, Any]) -> Grant:
    missing = [key for key in ("name", "sha256") if key not in entry]
    if missing:
        raise ConfigError(f"a [[token]] has no {' and no '.join(missing)}")
    grant = from_mapping(Grant, entry)
    return replace(grant, rights=tuple(grant.rights))
