"""Names of a cast while a video is read: a character is compared with the members as soon as it has enough views.

A name is what is known at one frame. It comes with more views, changes, or is taken back. The end of the video compares
all characters at once, and replaces these names.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from acfd_stream import stored
from acfd_stream.identity.cast.matching import CastMatcher, DoubleArray
from acfd_stream.identity.linked_track import LinkedTrack
from acfd_stream.identity.views import look_of

LEAST_WEIGHT = 0.3
"""Least sum of the qualities of the views of a compared character; more leaves out right names, and no wrong ones."""
MOST_TRACKS = 12
"""A character is compared by so many of its tracks, those with the best views; it bounds the time."""
_MOST_NAME = 200


class OnlineNames:
    """The members that the characters of one stream are, as far as is known.

    Two characters in one frame are never one member: the more similar one is it.

    Args:
        matcher: of the cast.
    """

    def __init__(self, matcher: CastMatcher) -> None:
        self._matcher = matcher
        self._characters: dict[int, int] = {}  # track → its character
        self._tracks: dict[int, set[int]] = {}  # character → its tracks
        self._scores: dict[int, DoubleArray] = {}  # character → how similar it is to each member
        self._columns: dict[int, int] = {}  # character → place of its member
        self._names: dict[int, str] = {}  # of characters, as they were told
        self._stale: set[int] = set()  # characters that a state of another cast described

    def name_of(self, character: int) -> str:
        """The name of a character; "": it has none."""
        return self._names.get(character, "")

    def update(self, tracks: Mapping[int, LinkedTrack], changed: Iterable[int], present: Collection[int]) -> list[int]:
        """Compare the characters of some tracks anew; returns the characters that have another name now, rising.

        Args:
            tracks: all of the stream, by id.
            changed: ids of those that have another view or link.
            present: characters in this frame.
        """
        touched, self._stale = self._stale, set()
        for track_id in changed:
            touched |= self._move(track_id, tracks[track_id].character)
        for number in touched:
            self._compare(number, tracks)
        for number in sorted(touched, key=self._rank):
            self._decide(number, present)
        self._part(present)
        renamed = [number for number in sorted({*touched, *present}) if self._found(number) != self.name_of(number)]
        for number in renamed:
            self._names[number] = self._found(number)
        return renamed

    def newest_track(self, character: int) -> int:
        """The id of the last track of a character; 0: it has none."""
        return max(self._tracks.get(character, ()), default=0)

    def _move(self, track_id: int, number: int) -> set[int]:
        """Note that a track belongs to a character now; returns the characters that this changes."""
        before = self._characters.get(track_id, 0)
        if before:
            self._tracks[before].discard(track_id)
        self._characters[track_id] = number
        if number:
            self._tracks.setdefault(number, set()).add(track_id)
        return {before, number} - {0}

    def _compare(self, number: int, tracks: Mapping[int, LinkedTrack]) -> None:
        """Note how similar a character is to the members, if it has enough views; which one it is, is open then."""
        self._scores.pop(number, None)
        self._columns.pop(number, None)
        own = (tracks[track_id] for track_id in self._tracks.get(number, ()))
        best = heapq.nsmallest(MOST_TRACKS, own, key=lambda track: (-track.weight, track.track_id))
        means = [(track.vector, track.weight) for track in best if track.vector is not None]
        if self._matcher.prototypes and sum(weight for _, weight in means) >= LEAST_WEIGHT:
            self._scores[number] = self._matcher.similarities(look_of(means))

    def _rank(self, number: int) -> tuple[float, int]:
        scores = self._scores.get(number)
        return (2.0 if scores is None else -float(scores.max()), number)

    def _decide(self, number: int, present: Collection[int]) -> None:
        """Choose the member of a character by what is known of all others."""
        self._columns.pop(number, None)
        scores = self._scores.get(number)
        if scores is None:
            return
        margins, free = np.full(len(scores), self._matcher.margin), np.ones(len(scores), np.bool_)
        for other, column in self._columns.items():
            if (-self._scores[other][column], other) < (-scores[column], number):
                margins[column] = 0.0  # look-alikes are told from each other where both are there
                if number in present and other in present:
                    free[column] = False
        if not free.any():
            return
        best = int(np.argmax(np.where(free, scores, -np.inf)))
        free[best] = False
        is_clear = bool((scores[best] - scores[free] >= margins[free]).all())
        if scores[best] >= self._matcher.threshold and is_clear:
            self._columns[number] = best

    def _part(self, present: Collection[int]) -> None:
        """Let no two characters of a frame be one member."""
        taken: set[int] = set()
        known = [number for number in present if number in self._columns]
        for number in sorted(known, key=lambda each: (-self._scores[each][self._columns[each]], each)):
            if self._columns[number] in taken:
                self._decide(number, present)
            if self._columns.get(number) in taken:
                del self._columns[number]
            elif number in self._columns:
                taken.add(self._columns[number])

    def _found(self, number: int) -> str:
        column = self._columns.get(number)
        return "" if column is None else self._matcher.prototypes[column].name

    # State

    def state(self) -> tuple[tuple[int, int, str], ...]:
        """Character, number of its member (0: none) and name, of those that have either."""
        members = {number: self._matcher.prototypes[column].member for number, column in self._columns.items()}
        numbers = sorted({*members, *(number for number, name in self._names.items() if name)})
        return tuple((number, members.get(number, 0), self.name_of(number)) for number in numbers)

    def restore(self, values: Any, tracks: Mapping[int, LinkedTrack]) -> None:
        """Restore what ``state`` returned; None: it was taken without a cast.

        Characters that had another name, or a member that the cast does not have, are compared again.

        Args:
            values: the state.
            tracks: the restored ones of the stream.

        Raises:
            ResumeError: it is damaged.
        """
        for track in tracks.values():
            self._move(track.track_id, track.character)
        for number in self._tracks:
            self._compare(number, tracks)
        if values is None:
            self._stale = set(self._tracks)
            return
        columns = {each.member: column for column, each in enumerate(self._matcher.prototypes)}
        for row in stored.items(values, "names", stored.MOST_ITEMS):
            number, member, name = stored.items(row, "a name", 3, 3)
            number = stored.whole(number, "character of a name", 1)
            column = columns.get(stored.whole(member, "member of a name"))
            self._names[number] = stored.text(name, "name of a character", _MOST_NAME)
            if column is not None and number in self._scores:
                self._columns[number] = column
            if number in self._tracks and (bool(member) != (column is not None) or self._found(number) != name):
                self._stale.add(number)
