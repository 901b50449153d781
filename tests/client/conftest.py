"""The clients are tested against the service, with its fixtures."""

from tests.service.conftest import clip, clock, other_clip, server

__all__ = ["clip", "clock", "other_clip", "server"]
