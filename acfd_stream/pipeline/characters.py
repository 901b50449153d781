"""Joins the characters with a stream: views of new drawings before tracking, links in the settled frames after it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acfd_stream import stored
from acfd_stream.characters import Character, CharacterConfig, CharacterLink
from acfd_stream.config import TrackConfig
from acfd_stream.errors import CastError, ConfigError
from acfd_stream.identity.clustering import cluster_tracks
from acfd_stream.identity.crops import box_qualities, crop_of, sharpness
from acfd_stream.identity.embedder import FaceEmbedder
from acfd_stream.identity.linked_track import together
from acfd_stream.identity.linking import Linker, LinkerState
from acfd_stream.identity.schedule import LEAST_IOU, ViewSchedule, overlap
from acfd_stream.identity.views import TrackView, jpeg_of, look_of, mean_of, with_view
from acfd_stream.pipeline.engine import Embedder
from acfd_stream.pipeline.settled_frame import SettledFrame
from acfd_stream.types import Detections, Face, FaceState
from acfd_stream.video.frame import Frame

if TYPE_CHECKING:  # a cast needs SciPy, which takes long to load
    from acfd_stream.identity.cast.matching import CastMatcher
    from acfd_stream.identity.cast.online import OnlineNames

_Box = tuple[float, ...]


def open_characters(
    config: CharacterConfig | None,
    embedder: Embedder | None,
    track_config: TrackConfig,
    opened: ExitStack,
    *,
    keeps_views: bool,
    cast: str | Path | CastMatcher | None,
) -> CharacterStage | None:
    """The stage of one stream; None without a config.

    Args:
        config: how tracks become characters.
        embedder: the network; None: that of the config is opened.
        track_config: that of the stream's tracker.
        opened: closes the network that was opened here.
        keeps_views: the stage keeps views of tracks for its caller.
        cast: gives characters their names: the path of its file, or what ``Cast.matcher`` returned; None: none does.

    Raises:
        CastError: the cast is damaged, no cast, or has embeddings of another network.
        ConfigError: there is no such cast, or a cast without a config.
        RunnerError: the model does not exist, or its file is refused.
    """
    if config is None:
        if cast is not None:
            raise ConfigError("cast names characters; give characters, too")
        return None
    if embedder is None:
        embedder = opened.enter_context(FaceEmbedder.open(config.model))
    network = f"{embedder.name} {embedder.version}"
    if isinstance(cast, str | Path):
        from acfd_stream.identity.cast.cast import Cast

        cast = Cast.matcher_for(cast, embedder.digest, network)
    elif cast is not None and cast.digest not in ("", embedder.digest):
        raise CastError(
            f"cast has embeddings of another network ({cast.digest[:12]}) than {network} ({embedder.digest[:12]}); "
            "rebuild it"
        )
    return CharacterStage(config, embedder, track_config, keeps_views=keeps_views, cast=cast)


@dataclass(frozen=True)
class CharacterState:
    """The state of a ``CharacterStage`` at one time; ``values`` may run in another thread."""

    shot: int
    schedule: Mapping[str, Any]
    waiting: tuple[tuple[int, tuple[tuple[_Box, TrackView], ...]], ...]
    live: tuple[tuple[int, int, tuple[TrackView, ...]], ...]
    linker: LinkerState
    names: tuple[tuple[int, int, str], ...] | None  # None: there is no cast

    def values(self) -> dict[str, Any]:
        """The state for JSON."""
        waiting = [[frame, [[list(box), view.values()] for box, view in found]] for frame, found in self.waiting]
        live = [[track_id, last, [view.values() for view in views]] for track_id, last, views in self.live]
        body = {
            "shot": self.shot,
            "schedule": self.schedule,
            "waiting": waiting,
            "live": live,
            "linker": self.linker.values(),
            **({} if self.names is None else {"names": list(map(list, self.names))}),
        }
        return {"next_number": self.linker.next_number, "body": body}


@dataclass(slots=True)
class _Live:
    """A track on screen."""

    last_frame: int
    views: tuple[TrackView, ...] = ()


class CharacterStage:
    """The characters of one stream.

    Args:
        config: how tracks become characters.
        embedder: the network.
        track_config: that of the stream's tracker.
        keeps_views: ``SettledFrame.views`` and ``take_last_views`` give the views of tracks that ended.
        cast: gives characters their names; None: they have none.
    """

    def __init__(
        self,
        config: CharacterConfig,
        embedder: Embedder,
        track_config: TrackConfig,
        *,
        keeps_views: bool = False,
        cast: CastMatcher | None = None,
    ) -> None:
        self._config, self.embedder, self._keeps_views = config, embedder, keeps_views
        self._least_score = track_config.start_score
        # Without filled gaps a track is absent where it was not detected, and not told before it is confirmed.
        self._most_gap = 0 if track_config.fills_gaps else track_config.max_gap_frames
        self._most_wait = 0 if track_config.fills_gaps else track_config.tentative_frames
        self._schedule = ViewSchedule(config.views)
        self._waiting: dict[int, tuple[tuple[_Box, TrackView], ...]] = {}  # views of frames that are not settled
        self._live: dict[int, _Live] = {}
        self._last_views: list[TrackView] = []
        self._shot = 0
        self._linker = Linker(embedder.link_similarity, config.tracks)
        self._cast, self._names = cast, None if cast is None else _names_of(cast)
        self._final: tuple[Character, ...] | None = None

    @property
    def signature(self) -> dict[str, Any]:
        """The settings on which characters depend, for checkpoints."""
        embedder = self.embedder
        model = {"model": embedder.name, "version": embedder.version, "digest": embedder.digest}
        values = {**asdict(self._config), **model, "precision": embedder.precision}
        return {f"characters.{name}": value for name, value in values.items()}

    def look(self, frame: Frame, found: Detections, *, may_begin_shot: bool) -> None:
        """Take views of the faces that were detected in a new drawing, while its pixels are there."""
        boxes, scores = found.boxes_xyxy, found.scores
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0)
        wanted = np.flatnonzero((scores >= self._least_score) & (sides >= self._config.least_side))
        qualities = box_qualities(boxes, scores, frame.picture.display_size)[wanted]
        chosen = self._schedule.choose(boxes[wanted], qualities, may_begin_shot=may_begin_shot)
        if not chosen:
            return
        faces = [tuple(boxes[wanted[index]].astype(np.float64).tolist()) for index in chosen]
        crops = np.stack([crop_of(frame.picture, list(box)) for box in faces])
        embeddings = self.embedder.embed(crops).astype(np.float16)
        self._waiting[frame.index] = tuple(
            (box, self._view(frame, float(qualities[index]), crop, embedding))
            for index, box, crop, embedding in zip(chosen, faces, crops, embeddings, strict=True)
        )

    def _view(self, frame: Frame, box_quality: float, crop: Any, embedding: Any) -> TrackView:
        """A view whose track is not known yet."""
        quality = round(box_quality * sharpness(crop), 4)
        jpeg = jpeg_of(crop) if self._keeps_views else b""
        return TrackView(0, frame.index, frame.pts_seconds, quality, embedding, jpeg)

    def settle(self, settled: SettledFrame) -> None:
        """Add the characters of its faces to a frame, what changed at it, and the views of tracks that ended."""
        frame, faces = settled.index, settled.faces
        present = {face.track_id for face in faces}
        is_new_shot, self._shot = settled.shot != self._shot, settled.shot
        ended = [
            track_id
            for track_id, live in self._live.items()
            if track_id not in present and (is_new_shot or frame - live.last_frame > self._most_gap)
        ]
        settled.views = self._ended(ended)
        links = {link.track_id: link for link in self._linker.see(frame, sorted(present))}
        evidence = {}
        for face, views in self._taken(frame, faces, is_new_shot=is_new_shot):
            live = self._live.setdefault(face.track_id, _Live(frame))
            live.last_frame = frame
            for view in views:
                live.views = with_view(live.views, replace(view, track_id=face.track_id), self._config.views)
                evidence[face.track_id] = mean_of(live.views)
        if evidence:
            links |= {link.track_id: link for link in self._linker.add(evidence)}
        tracks = self._linker.tracks
        settled.faces = tuple(
            replace(face, character=tracks[face.track_id].character) if face.track_id in tracks else face
            for face in faces
        )
        if self._names is not None:
            self._add_names(settled, links, evidence.keys() & tracks.keys(), self._names)
        settled.links = tuple(links[track_id] for track_id in sorted(links))

    def _add_names(
        self, settled: SettledFrame, links: dict[int, CharacterLink], viewed: set[int], names: OnlineNames
    ) -> None:
        """Add names to the faces and links of a frame, and links for characters that have another name now."""
        tracks, present = self._linker.tracks, {face.character for face in settled.faces} - {0}
        for number in names.update(tracks, links.keys() | viewed, present):
            shown = [face.track_id for face in settled.faces if face.character == number]
            for track_id in shown or [names.newest_track(number)]:
                if track_id:
                    links[track_id] = tracks[track_id].link
        settled.faces = tuple(
            replace(face, name=name) if (name := names.name_of(face.character)) else face for face in settled.faces
        )
        links |= {track_id: replace(link, name=names.name_of(link.character)) for track_id, link in links.items()}

    def _taken(self, frame: int, faces: Sequence[Face], *, is_new_shot: bool) -> Iterator[tuple[Face, list[TrackView]]]:
        """Each face of a settled frame with its views: of this frame, and of frames that did not tell its track yet."""
        oldest = frame if is_new_shot else frame - self._most_wait
        self._waiting = {index: views for index, views in self._waiting.items() if index >= oldest}
        for face in faces:
            views = []
            if face.state is FaceState.DETECTED:
                views += self._take(frame, face, 1.0)
            if face.track_id not in self._live:
                for index in [index for index in self._waiting if index < frame]:
                    views += self._take(index, face, LEAST_IOU)
            yield face, sorted(views, key=lambda view: view.frame_index)

    def _take(self, frame: int, face: Face, least_iou: float) -> list[TrackView]:
        """Take the first waiting view of a frame that shows the place of ``face``."""
        waiting = self._waiting.get(frame, ())
        found = next((entry for entry in waiting if overlap(entry[0], face.box_xyxy) >= least_iou), None)
        if found is None:
            return []
        self._waiting[frame] = tuple(entry for entry in waiting if entry is not found)
        return [found[1]]

    def _ended(self, track_ids: list[int]) -> tuple[TrackView, ...]:
        """End tracks; returns their views if they are kept."""
        self._linker.end(track_ids)
        views = [view for track_id in track_ids for view in self._live.pop(track_id).views]
        return tuple(views) if self._keeps_views else ()

    def end(self) -> None:
        """All tracks have ended, with the last frame."""
        self._last_views += self._ended(list(self._live))

    def take_last_views(self) -> list[TrackView]:
        """The views of the tracks that ended with the stream; a second call gives none."""
        views, self._last_views = self._last_views, []
        return views

    def characters(self) -> tuple[Character, ...]:
        """The characters of the whole stream, after ``end``."""
        if self._final is None:
            tracks = list(self._linker.tracks.values())
            found = cluster_tracks(tracks, self.embedder.link_similarity, self._linker.next_number)
            self._final = found if self._cast is None else self._named(found, self._cast)
        return self._final

    def _named(self, characters: tuple[Character, ...], cast: CastMatcher) -> tuple[Character, ...]:
        """The characters of the whole stream with the names that a cast has for them."""
        tracks = self._linker.tracks
        own = {each.number: [tracks[track_id] for track_id in each.tracks] for each in characters}
        looks = {
            number: look_of((track.vector, track.weight) for track in found if track.vector is not None)
            for number, found in own.items()
        }
        found = cast.assign(looks, together(own))
        return tuple(replace(each, name=found[each.number].name if each.number in found else "") for each in characters)

    def state(self) -> CharacterState:
        """Everything on which later results depend."""
        live = tuple((track_id, each.last_frame, each.views) for track_id, each in self._live.items())
        return CharacterState(
            self._shot,
            self._schedule.state(),
            tuple(self._waiting.items()),
            live,
            self._linker.state(),
            None if self._names is None else self._names.state(),
        )

    def restore(self, values: Mapping[str, Any]) -> None:
        """Restore what ``CharacterState.values`` returned.

        Without a body, which may be large, the tracks so far have no character, and numbers go on.

        Raises:
            ResumeError: it is damaged.
        """
        stored.fields(values, "characters", "next_number", "body")
        self._linker.next_number = stored.whole(values["next_number"], "next number", 1)
        body = values["body"]
        if body is None:
            return
        stored.fields(body, "characters", "shot", "schedule", "waiting", "live", "linker")
        self._shot = stored.whole(body["shot"], "shot of characters")
        self._schedule.restore(body["schedule"])
        self._linker.restore(body["linker"], self.embedder.dimensions)
        if self._names is not None:
            self._names.restore(body.get("names"), self._linker.tracks)
        waiting = stored.items(body["waiting"], "waiting views", stored.MOST_ITEMS)
        self._waiting = dict(map(_restored_waiting, waiting))
        self._live = dict(map(self._restored_live, stored.items(body["live"], "live tracks", stored.MOST_ITEMS)))
        views = [view for _, found in self._waiting.items() for _, view in found]
        for view in [*views, *(view for live in self._live.values() for view in live.views)]:
            if len(view.embedding) != self.embedder.dimensions:
                stored.damaged("a view", len(view.embedding), f"{self.embedder.dimensions} numbers")

    def _restored_live(self, values: Any) -> tuple[int, _Live]:
        track_id, last, views = stored.items(values, "a live track", 3, 3)
        kept = tuple(map(TrackView.from_values, stored.items(views, "views of a track", self._config.views)))
        return stored.whole(track_id, "a live track", 1), _Live(stored.whole(last, "frame of a live track"), kept)


def _names_of(cast: CastMatcher) -> OnlineNames:
    from acfd_stream.identity.cast.online import OnlineNames

    return OnlineNames(cast)


def _restored_waiting(values: Any) -> tuple[int, tuple[tuple[_Box, TrackView], ...]]:
    frame, found = stored.items(values, "waiting views", 2, 2)
    pairs = [stored.items(pair, "a waiting view", 2, 2) for pair in stored.items(found, "waiting views", 2**10)]
    views = tuple((stored.box(box, "box of a view"), TrackView.from_values(view)) for box, view in pairs)
    return stored.whole(frame, "frame of waiting views"), views
