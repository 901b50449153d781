"""Measures characters on drawn episodes: who is who across cuts and episodes, and what it costs.

    python -m benchmarks.characters [--keep DIR] [--explain]    writes benchmarks/results/characters.json
    python -m benchmarks.characters --only cost --film FILM     only what characters cost on a film
    python -m benchmarks.characters --only clips --clips DIR    only the clips that have labels

Three episodes of one show, each with five minutes, twelve characters and sixty cuts, are tracked once. BCubed scores
the faces of all frames by character: online, as each frame said when it was settled, and in the end. A fourth episode
has strangers too. The cast of the first episode names the faces of the others.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from acfd_stream.characters import CharacterConfig
from acfd_stream.config import VideoConfig
from acfd_stream.errors import ConfigError
from acfd_stream.identity.cast.cast import Cast
from acfd_stream.model.character_scoring import (
    CharacterScore,
    Matched,
    NameScore,
    matched_faces,
    names_of,
    score_characters,
    score_names,
)
from acfd_stream.model.toon import ClipTruth
from acfd_stream.model.toon.characters import CAST_SIZE
from acfd_stream.pipeline.session import TrackSession
from benchmarks.characters_errors import by_situation, judged_tracks, worst
from benchmarks.characters_suite import EPISODES, Answers, Episode, Show, Tracked, tracked, without_hats
from benchmarks.measure import Row, load, ratio_row, row, save

RESULT = "characters"
PARTS = ("linking", "names", "cost")
CLIPS = "clips"
LABELS = Path(__file__).resolve().parent / "labels"
NAMES = {number: f"character {number}" for number in range(1, CAST_SIZE + 1)}


def score_rows(score: CharacterScore, **about: object) -> list[Row]:
    """The figures of one answer for one video."""
    figures = {
        "f1": score.agreement.f1,
        "precision": score.agreement.precision,
        "recall": score.agreement.recall,
        "found": score.faces / max(score.expected, 1),
        "unknown": score.unknown / max(score.faces, 1),
    }
    counts = {"shared": score.shared, "number": score.characters, "number_expected": score.characters_expected}
    rows = [row(f"characters_{name}", [value], unit="score", **about) for name, value in figures.items()]
    return rows + [row(f"characters_{name}", [value], unit="count", **about) for name, value in counts.items()]


def answers_of(said: Tracked) -> dict[str, Answers]:
    """Both answers of a run."""
    return {"online": said.online, "final": said.final}


def linking(show: Show, explain: bool) -> Iterator[Row]:
    """The figures of all episodes; once more without the faces under unusual hats."""
    for episode in EPISODES:
        _, truth = show.drawn(episode)
        said, clip = show.tracked(episode), episode.clip(show.minutes)
        about = {"part": "linking", "episode": episode.seed, "strangers": episode.strangers}
        for answer, answers in answers_of(said).items():
            score = score_characters(answers, truth)
            if answer == "final":
                score = replace(score, characters=said.characters)  # those of false faces, too
            yield from score_rows(score, **about, answer=answer)
            bare = score_characters(answers, without_hats(truth, clip))
            yield row("characters_f1_without_hats", [bare.agreement.f1], unit="score", **about, answer=answer)
        if explain:
            tracks = judged_tracks(matched_faces(said.final, truth), clip)
            print(f"episode {episode.seed}\n{by_situation(tracks)}\n{worst(tracks)}\n")


def named_cast(show: Show, episode: Episode, path: Path) -> None:
    """Build the cast of an episode at ``path``; each member gets the name of the character that it mostly is.

    Members of one name are merged, unless they were in one frame: then one of them is wrong, and has no name.
    """
    said, (_, truth) = show.tracked(episode), show.drawn(episode)
    who = names_of(matched_faces(said.final, truth))
    with Cast.open(path, is_new=True) as cast:
        (added,) = cast.build([said.views])
        for character, member in sorted(added.members.items()):
            if who.get(character) in NAMES:
                with contextlib.suppress(ConfigError):
                    cast.name(member, NAMES[who[character]], merges=True)


def with_names(matched: list[Matched], names: dict[int, str]) -> list[Matched]:
    """The matched faces with the names of their characters."""
    return [replace(each, answer=replace(each.answer, name=names.get(each.answer.character, ""))) for each in matched]


def name_rows(score: NameScore, episode: Episode) -> list[Row]:
    """The figures of one episode."""
    faces = max(score.right + score.wrong + score.unnamed, 1)
    figures = {"right": score.right_share, "wrong": score.wrong / faces, "none": score.unnamed / faces}
    if score.strangers:
        figures["strangers"] = score.strangers_named_share
    about = {"part": "names", "episode": episode.seed}
    return [row(f"characters_names_{name}", [value], unit="share", **about) for name, value in figures.items()]


def names(show: Show) -> Iterator[Row]:
    """Names of the later episodes by the cast of the first, as ``track --cast`` gives them."""
    path = show.folder / "cast.db"
    path.unlink(missing_ok=True)
    named_cast(show, EPISODES[0], path)
    for episode in EPISODES[1:]:
        said, (_, truth) = show.tracked(episode), show.drawn(episode)
        with Cast.open(path) as cast:
            found = {character: match.name for character, match in cast.names(said.views).items()}
        yield from name_rows(score_names(with_names(matched_faces(said.final, truth), found), NAMES), episode)


def clips(folder: Path, out: Path) -> Iterator[Row]:
    """The figures of the clips that have labels."""
    for labels in sorted(LABELS.glob("*.json")):
        for video in sorted(folder.glob(f"{labels.stem}.*")):
            said = tracked(video, out)
            for answer, answers in answers_of(said).items():
                score = score_characters(answers, ClipTruth.load(labels))
                yield from score_rows(score, part=CLIPS, clip=labels.stem, answer=answer)


def cost(film: Path, seconds: float | None, rounds: int) -> Row:
    """CPU time of this process for the film with characters to that without, in turn; the first round is left out."""
    configs = {"with": CharacterConfig(), "without": None}
    spent: dict[str, list[float]] = {name: [] for name in configs}
    frames = 0
    for _ in range(rounds + 1):
        for name, config in configs.items():
            begin = time.process_time()
            with TrackSession(film, video_config=VideoConfig(end_seconds=seconds), characters=config) as session:
                frames = sum(1 for _ in session)
            spent[name].append(time.process_time() - begin)
    about = {"part": "cost", "film": film.name, "frames": frames}
    return ratio_row("characters_cost_ratio", spent["with"][1:], spent["without"][1:], **about)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder of the drawn episodes, kept for the next run")
    parser.add_argument("--minutes", type=float, default=5.0, help="length of an episode (default 5)")
    parser.add_argument("--explain", action="store_true", help="print in which situations characters are wrong")
    parser.add_argument("--only", nargs="+", choices=[*PARTS, CLIPS], default=PARTS, help="parts to measure")
    parser.add_argument("--film", type=Path, help="film for the cost; without it, the first episode")
    parser.add_argument("--seconds", type=float, help="length of the film to use (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=Path, default=Path(), help="folder of the clips that have labels")
    return parser


def measured(call: argparse.Namespace, show: Show) -> Iterator[Row]:
    """The figures of all requested parts."""
    if "linking" in call.only:
        yield from linking(show, call.explain)
    if "names" in call.only:
        yield from names(show)
    if CLIPS in call.only:
        yield from clips(call.clips, show.folder)
    if "cost" in call.only:
        yield cost(call.film or show.drawn(EPISODES[0])[0], call.seconds, call.rounds)


def main() -> None:
    """Measure, print, and write ``results/characters.json``; parts that are not measured keep their figures."""
    call = _parser().parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = call.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        kept = [each for each in load(RESULT) if each["parameters"]["part"] not in call.only]
        save(RESULT, [*kept, *measured(call, Show(folder, call.minutes))])


if __name__ == "__main__":
    main()
