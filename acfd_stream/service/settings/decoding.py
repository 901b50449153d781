"""Where videos are decoded, and what each may take: ``[decoding]`` of the file."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.checked import Checked


@dataclass(frozen=True)
class DecodingSettings(Checked):
    """Where videos are decoded, and what one may take. Pictures that are sent one by one are not concerned."""

    processes: bool = True
    """Whether each video has a decoder process of its own. Without, none of the limits below holds."""
    memory_bytes: int = 2 * 2**30
    """Maximum memory of a decoder process, bytes, >= 128 MiB; a quarter more for pictures. Above, the video ends."""
    held_bytes: int = 16 * 2**20
    """Maximum bytes that a decoder holds without a picture, >= 1 MiB; more for an index and for large pictures."""
    silent_bytes: int = 2**30
    """Maximum bytes that are read without a packet of the video, >= 1 MiB; not of URLs."""
    silent_seconds: float = 20.0
    """Maximum CPU time that is spent on reading without a packet of the video, seconds, > 0."""

    def _check(self) -> None:
        self._require_least(2**27, "memory_bytes")
        self._require_least(2**20, "held_bytes", "silent_bytes")
        self._require_positive("silent_seconds")
