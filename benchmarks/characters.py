"""Measures characters on drawn episodes: who is who across cuts, and what it costs.

    python -m benchmarks.characters [--keep DIR] [--explain]    writes benchmarks/results/characters.json
    python -m benchmarks.characters --only cost --film FILM     only what characters cost on a film

Three episodes of one show, each with five minutes, twelve characters and sixty cuts, are tracked once. BCubed scores
the faces of all frames by character: online, as each frame said when it was settled, and in the end. A fourth episode
has strangers too.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from acfd_stream.characters import Character, CharacterConfig
from acfd_stream.config import VideoConfig
from acfd_stream.model.character_scoring import Answer, CharacterScore, matched_faces, score_characters
from acfd_stream.model.toon import Clip, ClipTruth, render_episode, write_clip
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.types import FrameResult
from benchmarks.characters_errors import by_situation, judged_tracks, worst
from benchmarks.measure import Row, load, ratio_row, row, save

RESULT = "characters"
CAST_SEED = 1
PARTS = ("linking", "cost")

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
class Linked:
    """The characters of one video."""

    online: Answers  # as each frame said when it was settled
    final: Answers  # as the tracks' characters said in the end
    characters: tuple[Character, ...]


def drawn(folder: Path, episode: Episode, minutes: float) -> tuple[Path, ClipTruth]:
    """The video and the truth of an episode; it is drawn if it is not in the folder."""
    video, truth = folder / f"e{episode.seed}.mp4", folder / f"e{episode.seed}.truth.json"
    if not video.exists():
        part = folder / f"e{episode.seed}.part.mp4"
        write_clip(part, episode.clip(minutes)).save(truth)
        part.rename(video)
    return video, ClipTruth.load(truth)


def _answers(result: FrameResult) -> list[Answer]:
    return [Answer(face.track_id, face.box_xyxy, face.character, face.name) for face in result.faces]


def linked(video: Path) -> Linked:
    """Track a video with characters."""
    with TrackSession(video, characters=CharacterConfig()) as session:
        online = {result.index: _answers(result) for result in session}
        characters = session.characters
    of_track = {track: character.number for character in characters for track in character.tracks}
    final = {
        index: [replace(answer, character=of_track.get(answer.track, 0)) for answer in answers]
        for index, answers in online.items()
    }
    return Linked(online, final, characters)


def score_rows(episode: Episode, answer: str, score: CharacterScore, characters: int) -> list[Row]:
    """The figures of one answer for one episode."""
    about = {"part": "linking", "episode": episode.seed, "strangers": episode.strangers, "answer": answer}
    figures = {
        "f1": score.agreement.f1,
        "precision": score.agreement.precision,
        "recall": score.agreement.recall,
        "found": score.faces / max(score.expected, 1),
        "unknown": score.unknown / max(score.faces, 1),
    }
    counts = {"shared": score.shared, "number": characters, "number_expected": score.characters_expected}
    rows = [row(f"characters_{name}", [value], unit="score", **about) for name, value in figures.items()]
    return rows + [row(f"characters_{name}", [value], unit="count", **about) for name, value in counts.items()]


def linking(folder: Path, minutes: float, explain: bool) -> Iterator[Row]:
    """The figures of all episodes."""
    for episode in EPISODES:
        video, truth = drawn(folder, episode, minutes)
        said = linked(video)
        for answer, answers in (("online", said.online), ("final", said.final)):
            score = score_characters(answers, truth)
            number = len(said.characters) if answer == "final" else score.characters
            yield from score_rows(episode, answer, score, number)
        if explain:
            tracks = judged_tracks(matched_faces(said.final, truth), episode.clip(minutes))
            print(f"episode {episode.seed}\n{by_situation(tracks)}\n{worst(tracks)}\n")


@contextmanager
def _timed(taken: list[float], clock: Callable[[], float]) -> Iterator[None]:
    begin = clock()
    yield
    taken.append(clock() - begin)


def cost(film: Path, seconds: float | None, rounds: int) -> list[Row]:
    """CPU time of this process for the film with characters and without, in turn; the first round does not count."""
    configs = {"with": CharacterConfig(), "without": None}
    spent: dict[str, list[float]] = {name: [] for name in configs}
    frames = 0
    for _ in range(rounds + 1):
        for name, config in configs.items():
            video = VideoConfig(end_seconds=seconds)
            with _timed(spent[name], time.process_time), TrackSession(
                film, video_config=video, characters=config
            ) as session:  # fmt: skip
                frames = sum(1 for _ in session)
    about = {"part": "cost", "film": film.name, "frames": frames}
    with_characters, without = spent["with"][1:], spent["without"][1:]
    return [ratio_row("characters_cost_ratio", with_characters, without, **about)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder of the drawn episodes, kept for the next run")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of an episode (default 5)")
    parser.add_argument("--explain", action="store_true", help="print in which situations characters are wrong")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts to measure")
    parser.add_argument("--film", type=Path, help="film for the cost; without it, the first episode")
    parser.add_argument("--seconds", type=float, help="length of the film to use (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def main() -> None:
    """Measure, print, and write ``results/characters.json``; parts that are not measured keep their figures."""
    call = _parser().parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = call.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        rows = [each for each in load(RESULT) if each["parameters"]["part"] not in call.only]
        if "linking" in call.only:
            rows += linking(folder, call.minutes, call.explain)
        if "cost" in call.only:
            film = call.film or drawn(folder, EPISODES[0], call.minutes)[0]
            rows += cost(film, call.seconds, call.rounds)
    save(RESULT, rows)


if __name__ == "__main__":
    main()
