"""The characters of a whole video: agglomerative clustering of its tracks.

Average linkage: two groups are as similar as their tracks are on average, by the directions of their means without what
all tracks of the video have in common. Tracks that were on screen at one time are never in one group. Groups that only
this rule keeps apart are divided anew. Tracks with poor views take no part in the grouping; each joins its nearest
group afterwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from acfd_stream.characters import Character
from acfd_stream.identity.centring import Centre
from acfd_stream.identity.linked_track import LinkedTrack, confidence_of, unit
from acfd_stream.identity.look_alikes import divide_look_alikes
from acfd_stream.types import FloatArray

MOST_GROUPED = 4000
"""Tracks that are grouped at most, those with the best views; the matrix of their similarities takes 64 MB."""
GROUPED_WEIGHT = 0.6
"""Least sum of the qualities of the views of a track that takes part in the grouping."""
ATTACH_BELOW = 0.2
"""A track with poor views joins a group that is less similar than the threshold by this cosine at most."""
_LEAST_WEIGHT = 1e-3


def cluster_tracks(tracks: Sequence[LinkedTrack], threshold: float, first_free: int = 1) -> tuple[Character, ...]:
    """The characters of a video.

    Args:
        tracks: every track with views, with its link of the stream: most frames of a group decide its number.
        threshold: cosine from which two views count as one character.
        first_free: the lowest number that no link has had.

    Returns:
        Characters by number; each track with views is in exactly one.
    """
    known = sorted((track for track in tracks if track.vector is not None), key=lambda track: track.track_id)
    if not known:
        return ()
    heaviest = sorted(known, key=lambda track: (-track.weight, track.track_id))
    seeds = [track for track in heaviest[:MOST_GROUPED] if track.weight >= GROUPED_WEIGHT] or heaviest[:MOST_GROUPED]
    vectors = np.stack([unit(track.vector) for track in seeds if track.vector is not None])
    centre = Centre.of(vectors, np.array([max(track.weight, _LEAST_WEIGHT) for track in seeds]))
    centred, are_apart = centre.centred(vectors), _together(seeds)
    labels = agglomerate(centred, are_apart, centre.threshold(threshold))
    labels = divide_look_alikes(labels, centred, are_apart, centre.threshold(threshold))
    groups: dict[int, _Group] = {}
    for track, label in zip(seeds, labels.tolist(), strict=True):
        groups.setdefault(label, _Group()).add(track, _direction(track, centre))
    found = list(groups.values())
    chosen = {track.track_id for track in seeds}
    for track in heaviest:
        if track.track_id not in chosen:
            _attach(track, _direction(track, centre), found, centre.threshold(threshold - ATTACH_BELOW))
    return _numbered(found, centre, threshold, first_free)


def agglomerate(vectors: FloatArray, are_apart: NDArray[np.bool_], threshold: float) -> NDArray[np.int64]:
    """Groups by average linkage.

    Merges the most similar pair of groups until none is similar by ``threshold``; ties by lower index. The
    similarity of two groups is the mean of the products of their vectors, so a matrix is enough, and each merge updates
    one row of it.

    Args:
        vectors: float32 [N, D].
        are_apart: bool [N, N], symmetrical: pairs that no group may contain.
        threshold: least similarity of a merge.

    Returns:
        int64 [N], for each vector the least index of its group.

    Source: Lance and Williams, A general theory of classificatory sorting strategies, 1967.
    """
    count = len(vectors)
    labels = np.arange(count)
    similarity = vectors @ vectors.T
    similarity[are_apart] = -np.inf
    np.fill_diagonal(similarity, -np.inf)
    total = np.ones(count, np.float32)
    best, at = similarity.max(axis=1), similarity.argmax(axis=1)
    while count > 1:
        row = int(best.argmax())
        if not best[row] >= threshold:
            break
        first, second = sorted((row, int(at[row])))
        share = total[first] / (total[first] + total[second])
        merged = share * similarity[first] + (1 - share) * similarity[second]
        merged[[first, second]] = -np.inf
        similarity[first], similarity[:, first] = merged, merged
        similarity[second], similarity[:, second] = -np.inf, -np.inf
        total[first] += total[second]
        labels[labels == second] = first
        is_higher = merged > best
        best[is_higher], at[is_higher] = merged[is_higher], first
        stale = np.flatnonzero((at == first) & ~is_higher | (at == second))
        stale = np.union1d(stale, [first, second])
        best[stale], at[stale] = similarity[stale].max(axis=1), similarity[stale].argmax(axis=1)
    return labels


def _together(tracks: Sequence[LinkedTrack]) -> NDArray[np.bool_]:
    """Which pairs of tracks are on screen at one time, bool [N, N]; no track with itself."""
    first = np.array([track.first_frame for track in tracks])
    last = np.array([track.last_frame for track in tracks])
    shared = (first[:, None] <= last[None, :]) & (first[None, :] <= last[:, None])
    np.fill_diagonal(shared, val=False)
    return shared


class _Group:
    """Tracks of one character, and the sum of their centred directions."""

    def __init__(self) -> None:
        self.tracks: list[LinkedTrack] = []
        self.sum: NDArray[np.float64] = np.zeros(1)

    def add(self, track: LinkedTrack, direction: NDArray[np.float64]) -> None:
        """Add a track that has views."""
        self.tracks.append(track)
        self.sum = self.sum + direction

    def similarity(self, direction: NDArray[np.float64]) -> float:
        """The mean cosine of the tracks here and one of another group."""
        return float(self.sum @ direction / len(self.tracks))

    def agreement(self, direction: NDArray[np.float64]) -> float:
        """The mean cosine of a track of this group and the others of it, of which there must be one."""
        return float((self.sum - direction) @ direction / (len(self.tracks) - 1))


def _direction(track: LinkedTrack, centre: Centre) -> NDArray[np.float64]:
    """The centred direction of a track, [D]; [1] without views."""
    if track.vector is None:
        return np.zeros(1)
    return np.asarray(centre.centred(unit(track.vector)[None])[0], np.float64)


def _attach(track: LinkedTrack, direction: NDArray[np.float64], groups: list[_Group], threshold: float) -> None:
    """Add a track to the most similar group that it may join, or as a group of its own."""
    best, highest = _Group(), threshold
    for group in groups:
        similarity = group.similarity(direction)
        if similarity > highest and not any(other.overlaps(track) for other in group.tracks):
            best, highest = group, similarity
    if not best.tracks:
        groups.append(best)
    best.add(track, direction)


def _numbered(groups: list[_Group], centre: Centre, threshold: float, first_free: int) -> tuple[Character, ...]:
    """The groups as characters. A number of the stream stays with the group that has most of its frames."""
    frames = Counter[tuple[int, int]]()
    for index, group in enumerate(groups):
        for track in group.tracks:
            if track.character:
                frames[index, track.character] += track.frames
    numbers: dict[int, int] = {}
    for (index, number), _ in sorted(frames.items(), key=lambda item: (-item[1], item[0][1], item[0][0])):
        if index not in numbers and number not in numbers.values():
            numbers[index] = number
    ids = [sorted(track.track_id for track in group.tracks) for group in groups]
    fresh = sorted(set(range(len(groups))) - set(numbers), key=ids.__getitem__)
    numbers |= {index: first_free + position for position, index in enumerate(fresh)}
    order = sorted(numbers, key=numbers.__getitem__)
    return tuple(Character(numbers[i], tuple(ids[i]), _confidence(groups[i], centre, threshold)) for i in order)


def _confidence(group: _Group, centre: Centre, threshold: float) -> float:
    """How well the tracks of a group agree, by frames; 0.5 for a single track."""
    if len(group.tracks) == 1:
        return 0.5
    frames = sum(track.frames for track in group.tracks)
    agreement = sum(track.frames * group.agreement(_direction(track, centre)) for track in group.tracks) / frames
    return confidence_of(agreement, centre.threshold(threshold))
