"""Log lines of the service as text or JSON, without secrets, and without names of videos unless allowed.

Each line carries the request id, caller and trace of its call. Code that logs about a video passes its name as
``extra={"media": name}``; the formatter removes the name from the line unless the operator allows it.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from acfd_stream.printable import escaped, printable
from acfd_stream.service.access.permits import caller_name
from acfd_stream.service.access.token_file import PREFIX
from acfd_stream.service.settings import LogConfig
from acfd_stream.video.origin import hide_secrets

_TOKENS = (
    (re.compile(r"(?i)\b(bearer\s+)\S+"), r"\1…"),
    (re.compile(rf"\b{PREFIX}[A-Za-z0-9_-]{{16,}}"), f"{PREFIX}…"),
)
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "media"}

request_id: ContextVar[str] = ContextVar("acfd_request_id", default="")
"""Of the current call; "" outside a call."""
trace_id: ContextVar[str] = ContextVar("acfd_trace_id", default="")
"""Of the trace of the current call, 32 hex digits; "" if it is not traced."""


def _is_ours(name: str) -> bool:
    """Whether a field was passed as ``extra``; other libraries in the process add private ones."""
    return name not in _ORDINARY and not name.startswith("_")


def start_logging(config: LogConfig, stream: TextIO | None = None) -> logging.Handler:
    """Log this package to ``stream``, stderr if None; returns the handler, for ``stop_logging``."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines(config) if config.format == "json" else _TextLines(config))
    logger = logging.getLogger("acfd_stream")
    logger.addHandler(handler)
    logger.setLevel(config.level.upper())
    logger.propagate = False
    return handler


def stop_logging(handler: logging.Handler) -> None:
    """Undo ``start_logging``."""
    logger = logging.getLogger("acfd_stream")
    logger.removeHandler(handler)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)


class _Lines(logging.Formatter):
    """Removes secrets, and names of videos unless they are allowed."""

    def __init__(self, config: LogConfig) -> None:
        super().__init__()
        self._shows_media = config.shows_media

    def clean(self, record: logging.LogRecord, text: str) -> str:
        media = getattr(record, "media", None)
        if media and not self._shows_media:
            text = text.replace(str(media), "<media>")
        for pattern, instead in _TOKENS:
            text = pattern.sub(instead, text)
        return hide_secrets(text)

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """The fields of the line besides its message."""
        call = {"request_id": request_id.get(), "trace_id": trace_id.get(), "caller": caller_name()}
        extra = {name: value for name, value in vars(record).items() if _is_ours(name)}
        if self._shows_media and getattr(record, "media", None):
            extra["media"] = str(record.media)  # type: ignore[attr-defined]
        found = {name: value for name, value in {**call, **extra}.items() if value != ""}
        return {name: self.clean(record, value) if isinstance(value, str) else value for name, value in found.items()}

    def traceback(self, record: logging.LogRecord) -> str:
        return self.clean(record, self.formatException(record.exc_info)) if record.exc_info else ""


class _JsonLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        values: dict[str, Any] = {
            "time": when.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.clean(record, record.getMessage()),
            **self.fields(record),
        }
        if record.exc_info:
            values["fault"] = self.traceback(record)
        return escaped(json.dumps(values, ensure_ascii=False, default=str))


class _TextLines(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        message = printable(" ".join(self.clean(record, record.getMessage()).split()))
        fields = "".join(f" {name}={_plain(value)}" for name, value in self.fields(record).items())
        trace = "".join(f"\n    {printable(line)}" for line in self.traceback(record).splitlines())
        return f"{when} {record.levelname.lower()} {message}{fields}{trace}"


def _plain(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return text if text and text.isprintable() and " " not in text else json.dumps(text)
