"""Characters of a video: who its tracks are. A character gets a name from a cast."""

from __future__ import annotations

from dataclasses import dataclass

from acfd_stream.checked import Checked


@dataclass(frozen=True)
class CharacterConfig(Checked):
    """How tracks become characters."""

    model: str = "acfd-id"
    """The embedding network: a shipped one's name or the path of an ONNX file."""
    views: int = 5
    """Maximum number of pictures of a track that are embedded, 1 … 16."""
    least_side: int = 16
    """Faces whose longer side is smaller have no character, display pixels, >= 1."""
    tracks: int = 20_000
    """Maximum number of tracks of a video that get a character, >= 1; it bounds memory."""

    def _check(self) -> None:
        self._require_between(1, 16, "views")
        self._require_least(1, "least_side", "tracks")


@dataclass(frozen=True, slots=True)
class CharacterLink:
    """A track belongs to a character, as far as is known at one frame. A later link of the track replaces it."""

    track_id: int
    character: int  # from 1, never used twice in a video; 0: an earlier link was wrong, and nothing replaces it
    confidence: float  # in [0, 1]
    is_tentative: bool = True  # False: only the end of the video can still change it
    name: str = ""  # in the cast; "": unknown


@dataclass(frozen=True, slots=True)
class Character:
    """One character of a finished video."""

    number: int  # from 1
    tracks: tuple[int, ...]  # ids, rising
    confidence: float  # in [0, 1]: how well its tracks agree
    name: str = ""  # in the cast; "": unknown
