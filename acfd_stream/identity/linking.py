"""Links tracks to characters while a video is read.

A track is compared with the characters so far whenever it has a new view. It joins the most similar one, or founds a
new one. A link changes only for clearly better evidence, and is final for the stream once some views agree. Two tracks
that are on screen at one time are never of one character.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from acfd_stream import stored
from acfd_stream.characters import CharacterLink
from acfd_stream.identity.linked_track import AGREEING_VIEWS, LinkedTrack, confidence_of, unit
from acfd_stream.identity.views import EmbeddingArray, packed_embedding, restored_embedding
from acfd_stream.types import FloatArray

NEAREST = 4
"""A track is compared with so many most similar tracks of a character."""
PROTOTYPES = 12
"""Most tracks of a character that others are compared with."""
BETTER_BY = 0.05
"""A link changes for a character that is more similar by this cosine."""
FOUNDING_WEIGHT = 0.1
"""Least sum of the qualities of the views with which a track founds a character."""
_MOST_WEIGHT = 1e3


class Linker:
    """The characters of one stream so far.

    Args:
        threshold: cosine from which a track joins a character.
        most_tracks: tracks beyond this number are not linked; it bounds memory.
    """

    def __init__(self, threshold: float, most_tracks: int) -> None:
        self._threshold, self._most_tracks = threshold, most_tracks
        self.tracks: dict[int, LinkedTrack] = {}  # by id, in order of appearance
        self._directions: dict[int, FloatArray] = {}  # of the vectors, of length 1
        self._live: dict[int, LinkedTrack] = {}  # that have not ended
        self._near: list[LinkedTrack] = []  # that were on screen with one of these
        self._prototypes: dict[int, list[int]] = {}  # ids of the tracks of a character that others are compared with
        self.next_number = 1

    def see(self, frame: int, track_ids: Iterable[int]) -> list[CharacterLink]:
        """Note the tracks of a frame; returns links that it refutes, each with what replaces it."""
        changed = []
        taken: dict[int, LinkedTrack] = {}
        for track_id in track_ids:
            track = self.tracks.get(track_id) or self._begin(track_id, frame)
            if track is None:
                continue
            track.frames, track.last_frame = track.frames + 1, frame
            other = taken.setdefault(track.character, track) if track.character else track
            if other is not track:  # it was not on screen when the other one was linked
                weaker = min(other, track, key=lambda each: (each.confidence, -each.track_id))
                taken[track.character] = track if weaker is other else other
                self._link(weaker, 0, 0.0)
                changed.append(weaker)
        for track in changed:
            self._decide(track)
        return [track.link for track in changed]

    def end(self, track_ids: Iterable[int]) -> None:
        """Note that tracks have ended."""
        for track_id in track_ids:
            self._live.pop(track_id, None)
        self._forget()

    def _forget(self) -> None:
        """Forget which tracks were on screen with those that have ended."""
        oldest = min((track.first_frame for track in self._live.values()), default=None)
        self._near = [track for track in self._near if oldest is not None and track.last_frame >= oldest]

    def add(self, evidence: Mapping[int, tuple[EmbeddingArray, float]]) -> list[CharacterLink]:
        """Take new means of views of tracks that are on screen; returns the links that are new or changed.

        Args:
            evidence: ``mean_of`` the views of a track, by its id.
        """
        before = {track_id: self.tracks[track_id].link for track_id in evidence if track_id in self.tracks}
        tracks = [self.tracks[track_id] for track_id in before]
        for track in tracks:
            vector, track.weight = evidence[track.track_id]
            track.vector, self._directions[track.track_id] = vector, unit(vector)
        changed: dict[int, LinkedTrack] = {}
        likeness = {track.track_id: max(self._similarities(track).values(), default=-1.0) for track in tracks}
        for track in sorted(tracks, key=lambda each: (-likeness[each.track_id], each.track_id)):
            for loser in self._decide(track):
                changed[loser.track_id] = loser
            if _differ(before[track.track_id], track.link):
                changed[track.track_id] = track
        return [changed[track_id].link for track_id in sorted(changed)]

    def _begin(self, track_id: int, frame: int) -> LinkedTrack | None:
        if len(self.tracks) >= self._most_tracks:
            return None
        track = self.tracks[track_id] = self._live[track_id] = LinkedTrack(track_id, frame, frame, frames=0)
        self._near.append(track)
        return track

    def _decide(self, track: LinkedTrack) -> list[LinkedTrack]:
        """Link a track by what is known now; returns other tracks that lost their link to it, relinked."""
        if track.vector is None or (track.character and track.agreeing >= AGREEING_VIEWS):
            return []
        similarities = self._similarities(track)
        number = self._choice(track, similarities)
        losers = [each for each in self._rivals(track) if each.character == number]
        for loser in losers:
            self._link(loser, 0, 0.0)
        self._link(track, number, similarities.get(number, self._threshold))
        self.next_number = max(self.next_number, number + 1)
        return [each for loser in losers for each in (loser, *self._decide(loser))]

    def _choice(self, track: LinkedTrack, similarities: Mapping[int, float]) -> int:
        """The character that a track is linked to: its own, another one, a new number, or 0."""
        best = max(similarities, key=lambda number: (similarities[number], -number), default=0)
        own = similarities.get(track.character, -1.0)
        is_alone = self._prototypes.get(track.character) == [track.track_id]
        least = self._threshold if is_alone or not track.character else max(self._threshold, own + BETTER_BY)
        if best and best != track.character and similarities[best] >= least:
            return best
        if track.character and (is_alone or own >= self._threshold - BETTER_BY):
            return track.character
        return self.next_number if track.weight >= FOUNDING_WEIGHT else 0

    def _similarities(self, track: LinkedTrack) -> dict[int, float]:
        """The similarity of a track to every character that it may join: to its nearest prototypes, on average."""
        rivals = self._rivals(track)
        left_out = {track.track_id, *(rival.track_id for rival in rivals)}
        found: dict[int, float] = {}
        for number, ids in self._prototypes.items():
            others = [self._directions[each] for each in ids if each not in left_out]
            if others:
                cosines = np.stack(others) @ self._directions[track.track_id]
                found[number] = float(np.sort(cosines)[-NEAREST:].mean())
        for rival in rivals:
            better = confidence_of(found.get(rival.character, -1.0) - BETTER_BY, self._threshold)
            if rival.agreeing >= AGREEING_VIEWS or better <= rival.confidence:
                found.pop(rival.character, None)
        return found

    def _rivals(self, track: LinkedTrack) -> list[LinkedTrack]:
        """The linked tracks that are or were on screen with ``track``."""
        return [each for each in self._near if each is not track and each.character and each.overlaps(track)]

    def _link(self, track: LinkedTrack, number: int, similarity: float) -> None:
        is_same = number == track.character
        track.agreeing = track.agreeing + 1 if is_same and number else min(number, 1)
        track.confidence = confidence_of(similarity, self._threshold) if number else 0.0
        if is_same:
            return
        if track.character:
            ids = self._prototypes[track.character]
            if track.track_id in ids:
                ids.remove(track.track_id)
            if not ids:
                del self._prototypes[track.character]
        track.character = number
        if number:
            ids = self._prototypes.setdefault(number, [])
            ids.append(track.track_id)
            if len(ids) > PROTOTYPES:
                ids.remove(min(ids, key=lambda each: (self.tracks[each].weight, each)))

    # State

    def state(self) -> LinkerState:
        """The whole state; what it refers to is not changed later."""
        rows = tuple(
            (t.track_id, t.first_frame, t.last_frame, t.frames, t.character, t.agreeing, t.confidence, t.weight)
            for t in self.tracks.values()
        )
        vectors = tuple(track.vector for track in self.tracks.values())
        prototypes = tuple((number, *ids) for number, ids in self._prototypes.items())
        return LinkerState(rows, vectors, self.next_number, prototypes, tuple(self._live))

    def restore(self, values: Mapping[str, Any], dimensions: int) -> None:
        """Restore what ``LinkerState.values`` returned; ``next_number`` must be set before.

        Args:
            values: the state.
            dimensions: of the embeddings.

        Raises:
            ResumeError: it is damaged.
        """
        stored.fields(values, "linker", "tracks", "prototypes", "live")
        rows = stored.items(values["tracks"], "linker.tracks", self._most_tracks)
        found = [_restored(row, self.next_number - 1) for row in rows]
        self.tracks = {track.track_id: track for track in found}
        stored.same_count("linker.tracks", found, self.tracks)
        self._directions = {track.track_id: unit(track.vector) for track in found if track.vector is not None}
        for vector in (track.vector for track in found if track.vector is not None):
            if len(vector) != dimensions:
                stored.damaged("linker.tracks", len(vector), f"embeddings of {dimensions} numbers")
        self._prototypes = dict(
            map(self._restored_prototypes, stored.items(values["prototypes"], "prototypes", len(found)))
        )
        live = [stored.whole(each, "live track", 1) for each in stored.items(values["live"], "live", len(found))]
        if not set(live) <= set(self.tracks):
            stored.damaged("live", "others", "ids of tracks")
        if set(self._prototypes) != {track.character for track in found if track.character}:
            stored.damaged("prototypes", "others", "those of the linked tracks")
        self._live, self._near = {each: self.tracks[each] for each in live}, found
        self._forget()

    def _restored_prototypes(self, values: Any) -> tuple[int, list[int]]:
        number, *ids = (
            stored.whole(each, "prototypes", 1) for each in stored.items(values, "prototypes", PROTOTYPES + 1, 2)
        )
        for each in ids:
            if each not in self._directions or self.tracks[each].character != number:
                stored.damaged("prototypes", each, f"a track of character {number} that has views")
        return number, ids


@dataclass(frozen=True)
class LinkerState:
    """The state of a ``Linker`` at one time; ``values`` may run in another thread."""

    rows: tuple[tuple[Any, ...], ...]
    vectors: tuple[EmbeddingArray | None, ...]
    next_number: int
    prototypes: tuple[tuple[int, ...], ...]
    live: tuple[int, ...]

    def values(self) -> dict[str, Any]:
        """The state for JSON."""
        vectors = [None if vector is None else packed_embedding(vector) for vector in self.vectors]
        tracks = [[*row, vector] for row, vector in zip(self.rows, vectors, strict=True)]
        return {
            "tracks": tracks,
            "prototypes": [list(row) for row in self.prototypes],
            "live": list(self.live),
        }


def _restored(values: Any, last_number: int) -> LinkedTrack:
    track_id, first, last, frames, character, agreeing, confidence, weight, vector = stored.items(values, "track", 9, 9)
    first = stored.whole(first, "first frame of a track")
    return LinkedTrack(
        stored.whole(track_id, "id of a track", 1),
        first,
        stored.whole(last, "last frame of a track", first),
        stored.whole(frames, "frames of a track", 1),
        stored.whole(character, "character of a track", 0, last_number),
        stored.whole(agreeing, "views of a track"),
        stored.score(confidence, "confidence of a track"),
        stored.real(weight, "weight of a track", 0.0, _MOST_WEIGHT),
        None if vector is None else restored_embedding(vector),
    )


def _differ(before: CharacterLink, after: CharacterLink) -> bool:
    """Whether a link changed for its reader: another character, or no longer tentative."""
    return (before.character, before.is_tentative) != (after.character, after.is_tentative) and (
        before.character != 0 or after.character != 0
    )
