"""The drawn episodes that compare characters, and what ``acfd-stream track`` says of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from acfd_stream.model.character_scoring import Answer, read_answers
from acfd_stream.model.toon import Clip, ClipTruth, render_episode, write_clip
from acfd_stream.outputs import read_results

CAST_SEED = 1

Answers = dict[int, list[Answer]]  # by frame


@dataclass(frozen=True)
class Episode:
    """One episode of the show."""

    seed: int
    strangers: int = 0

    def clip(self, minutes: float) -> Clip:
        """The episode before it is drawn."""
        return render_episode(self.seed, CAST_SEED, minutes, self.strangers)


EPISODES = (Episode(1), Episode(2), Episode(3), Episode(4, strangers=6))


@dataclass(frozen=True)
class Tracked:
    """What one run of ``track`` said."""

    online: Answers  # as each frame said when it was settled
    final: Answers  # as the tracks' characters said in the end
    characters: int  # in the end
    views: Path  # file of the views


def tracked(video: Path, folder: Path) -> Tracked:
    """Run ``acfd-stream track`` on a video; its results go to ``folder``."""
    stream, views = folder / f"{video.stem}.jsonl", folder / f"{video.stem}.views.ndjson"
    with open(stream, "wb") as target:  # a stream keeps the online characters
        command = [sys.executable, "-m", "acfd_stream.cli", "track", str(video), "-o", "-", "--views", str(views)]
        subprocess.run([*command, "--quiet"], check=True, stdin=subprocess.DEVNULL, stdout=target)
    results = read_results(stream)
    final = {
        result.index: [Answer(face.track_id, face.box_xyxy, face.character, face.name) for face in result.faces]
        for result in results
    }
    return Tracked(read_answers(stream), final, len(results.end.characters), views)


@dataclass(frozen=True)
class Show:
    """The episodes in a folder; each is drawn once, and tracked once per process."""

    folder: Path
    minutes: float = 5.0

    def drawn(self, episode: Episode) -> tuple[Path, ClipTruth]:
        """The video and the truth of an episode; it is drawn if it is not in the folder."""
        video = self.folder / f"e{episode.seed}.mp4"
        truth = video.with_suffix(".truth.json")
        if not video.exists():
            part = video.with_suffix(".part.mp4")
            write_clip(part, episode.clip(self.minutes)).save(truth)
            part.rename(video)
        return video, ClipTruth.load(truth)

    @cache  # noqa: B019 - a show lives as long as the process
    def tracked(self, episode: Episode) -> Tracked:
        """What ``track`` says of an episode."""
        return tracked(self.drawn(episode)[0], self.folder)


def without_hats(truth: ClipTruth, clip: Clip) -> ClipTruth:
    """The truth without the faces under a hat that the character does not wear in most scenes."""
    odd = {
        (shot, who)
        for shot in range(len(clip.script.shots))
        for who in range(1, 1 + len(clip.script.casts[shot]))
        if has_odd_hat(clip, shot, who)
    }
    frames = [
        replace(frame, faces=tuple(face for face in frame.faces if (frame.shot, face.character) not in odd))
        for frame in truth.frames
    ]
    return replace(truth, frames=frames)


def has_odd_hat(clip: Clip, shot: int, who: int) -> bool:
    """Whether a character of the truth wears another hat in a shot than in most shots."""
    hats = [cast[who - 1].hair.hat for cast in clip.script.casts]
    return hats[shot] != max(sorted(set(hats)), key=hats.count)
