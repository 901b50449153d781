"""Joins the characters with a stream: views of the frames before tracking, links in the settled frames after it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any

from acfd_stream import stored
from acfd_stream.characters import Character, CharacterConfig, CharacterLink
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.identity.views import TrackView
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.types import Detections
from acfd_stream.video.frame import Frame


@dataclass(frozen=True)
class CharacterState:
    """The state of a ``CharacterStage`` at one time; ``values`` may run in another thread."""

    tracks: tuple[int, ...]

    def values(self) -> dict[str, Any]:
        """The state for JSON."""
        return {"tracks": list(self.tracks)}


def open_characters(
    config: CharacterConfig | None, embedder: FaceEmbedder | None, opened: ExitStack, *, keeps_views: bool
) -> CharacterStage | None:
    """The stage of one stream; None without a config.

    Args:
        config: how tracks become characters.
        embedder: the network; None: that of the config is opened.
        opened: closes the network that was opened here.
        keeps_views: the stage keeps views of tracks for its caller.

    Raises:
        RunnerError: the model does not exist, or its file is refused.
    """
    return None if config is None else CharacterStage(config, embedder, keeps_views=keeps_views)


class CharacterStage:
    """The characters of one stream."""

    def __init__(
        self, config: CharacterConfig, embedder: FaceEmbedder | None = None, *, keeps_views: bool = False
    ) -> None:
        self.embedder = embedder
        self._config, self._keeps_views = config, keeps_views
        self._tracks: dict[int, int] = {}

    @property
    def signature(self) -> dict[str, Any]:
        """The settings on which characters depend, for checkpoints."""
        return {f"characters.{name}": value for name, value in asdict(self._config).items()}

    def look(self, frame: Frame, found: Detections, *, may_begin_shot: bool) -> None:
        """Take views of the faces that were detected in a new drawing, while its pixels are there."""

    def settle(self, settled: SettledFrame) -> None:
        """Add the characters of its faces to a frame, and what changed at it."""
        links = []
        for face in settled.faces:
            if face.track_id not in self._tracks:
                self._tracks[face.track_id] = len(self._tracks) + 1
                links.append(CharacterLink(face.track_id, self._tracks[face.track_id], 0.5))
        settled.links = tuple(links)
        settled.faces = tuple(replace(face, character=self._tracks[face.track_id]) for face in settled.faces)

    def end(self) -> None:
        """All tracks have ended, with the last frame."""

    def take_last_views(self) -> list[TrackView]:
        """The views of the tracks that ended with the stream; a second call gives none."""
        return []

    def characters(self) -> tuple[Character, ...]:
        """The characters of the whole stream, after ``end``."""
        return tuple(Character(number, (track,), 0.5) for track, number in self._tracks.items())

    def state(self) -> CharacterState:
        """Everything on which later results depend."""
        return CharacterState(tuple(self._tracks))

    def restore(self, values: Mapping[str, Any]) -> None:
        """Restore what ``CharacterState.values`` returned.

        Raises:
            ResumeError: it is damaged.
        """
        tracks = stored.items(stored.fields(values, "characters", "tracks")["tracks"], "characters", stored.MOST_ITEMS)
        self._tracks = {stored.whole(track, "characters", 1): number for number, track in enumerate(tracks, 1)}
