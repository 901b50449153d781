"""Says in which situations the characters of a result are wrong: look-alikes, small faces, profiles, the dark."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from acfd_stream.model.character_scoring import Matched, names_of
from acfd_stream.model.toon import Clip
from acfd_stream.model.toon.characters import LOOK_ALIKES
from benchmarks.characters_suite import has_odd_hat

RIGHT, MERGED, SPLIT, UNKNOWN = "right", "merged", "split", "unknown"
KINDS = (RIGHT, MERGED, SPLIT, UNKNOWN)
_SMALL = 32.0  # longer side of a face, pixels
_PROFILE = 1.0  # radians
_DARK = 0.7  # mean gain of the light


@dataclass(frozen=True, slots=True)
class JudgedTrack:
    """One track and what became of it."""

    track: int
    who: int  # character of the truth, by most frames
    taken_for: int  # character of the truth that its character mostly is; 0: unknown
    kind: str  # of KINDS; merged: joined with another character; split: apart from most of its own frames
    frames: int
    shot: int
    side: float  # median of the longer side, pixels
    situations: tuple[str, ...]


def judged_tracks(matched: Sequence[Matched], clip: Clip) -> list[JudgedTrack]:
    """Every track that was matched to faces, by its final character.

    Args:
        matched: of one result of the clip, with its final characters.
        clip: the episode the result was made from.
    """
    names = names_of(matched)
    homes = _homes(matched)
    by_track: dict[int, list[Matched]] = defaultdict(list)
    for each in matched:
        by_track[each.answer.track].append(each)
    return [_judged(faces, names, homes, clip) for _, faces in sorted(by_track.items())]


def _homes(matched: Sequence[Matched]) -> dict[int, int]:
    """For each character of the truth, the character of the result with the most of its frames."""
    together = Counter((each.face.character, each.answer.character) for each in matched if each.answer.character)
    return {who: character for (who, character), _ in reversed(together.most_common())}


def _judged(faces: list[Matched], names: dict[int, int], homes: dict[int, int], clip: Clip) -> JudgedTrack:
    who = Counter(each.face.character for each in faces).most_common(1)[0][0]
    character = Counter(each.answer.character for each in faces).most_common(1)[0][0]
    taken_for = names.get(character, 0)
    kind = UNKNOWN if character == 0 else MERGED if taken_for != who else RIGHT if homes[who] == character else SPLIT
    sides = [max(x2 - x1, y2 - y1) for x1, y1, x2, y2 in (each.face.box_xyxy for each in faces)]
    side = float(np.median(sides))
    situations = tuple(_situations(faces, who, side, clip))
    return JudgedTrack(faces[0].answer.track, who, taken_for, kind, len(faces), faces[0].shot, side, situations)


def _situations(faces: list[Matched], who: int, side: float, clip: Clip) -> Iterable[str]:
    shot = faces[0].shot
    found = {
        "look-alike": who - 1 in LOOK_ALIKES,
        "small": side < _SMALL,
        "profile": float(np.median([abs(each.face.yaw) for each in faces])) > _PROFILE,
        "half hidden": float(np.median([each.face.visible for each in faces])) < 0.8,
        "dark": float(np.mean(clip.script.shots[shot].light)) < _DARK,
        "another hat": has_odd_hat(clip, shot, who),
        "short": len(faces) < float(clip.fps),
    }
    if not any(found.values()):
        return ["none of these"]
    return [name for name, is_so in found.items() if is_so]


def by_situation(tracks: Sequence[JudgedTrack]) -> str:
    """A text table: tracks and frames of each situation, and those merged, split and unknown."""
    lines = [f"{'situation':<16}{'tracks':>8}{'frames':>8}" + "".join(f"{kind:>16}" for kind in KINDS[1:])]
    situations = sorted({name for track in tracks for name in track.situations})
    for name in ["all", *situations]:
        chosen = [track for track in tracks if name == "all" or name in track.situations]
        cells = [f"{name:<16}{len(chosen):>8}{sum(track.frames for track in chosen):>8}"]
        for kind in KINDS[1:]:
            wrong = [track.frames for track in chosen if track.kind == kind]
            cells.append(f"{f'{len(wrong)} ({sum(wrong)})':>16}")
        lines.append("".join(cells))
    return "\n".join(lines)


def worst(tracks: Sequence[JudgedTrack], count: int = 20) -> str:
    """The wrong tracks with the most frames, a line each."""
    wrong = sorted((track for track in tracks if track.kind != RIGHT), key=lambda track: -track.frames)
    return "\n".join(
        f"track {track.track}, shot {track.shot}: {track.kind}, character {track.who} taken for {track.taken_for}, "
        f"{track.frames} frames, {track.side:.0f} px, {', '.join(track.situations)}"
        for track in wrong[:count]
    )
