"""The command ``acfd-stream``: reads the call, runs a room, says how it went in one line and an exit code."""

from __future__ import annotations

from acfd_stream.cli.app import main

__all__ = ["main"]
