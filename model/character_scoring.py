"""Scores the characters of a result against a drawn clip's truth: BCubed over the frames of faces, counts and names.

``python -m acfd_stream.model.character_scoring RESULT.jsonl TRUTH.json`` prints a table. A face of a frame is matched
to the truth by IoU. Faces that are mostly hidden or very small (``Rules``) are ignored, and so are boxes on no face.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from acfd_stream.errors import MediaError

from .bcubed import BCubed, bcubed
from .command_line import Parser
from .scoring import Boxes, Rules, overlaps
from .toon.truth import ClipTruth, FaceTruth


@dataclass(frozen=True, slots=True)
class Answer:
    """What a result says of one face of one frame."""

    track: int
    box_xyxy: tuple[float, float, float, float]
    character: int = 0  # 0: unknown
    name: str = ""  # "": unknown


Answers = Mapping[int, Sequence[Answer]]  # by frame


@dataclass(frozen=True, slots=True)
class Matched:
    """A face of the truth, and the answer that was matched to it."""

    frame: int
    shot: int
    face: FaceTruth
    answer: Answer


@dataclass(frozen=True, slots=True)
class CharacterScore:
    """The figures of a result."""

    agreement: BCubed  # over the matched faces; an unknown face is a cluster of its own
    faces: int  # matched
    expected: int  # faces of the truth that count
    unknown: int  # matched faces without a character
    shared: int  # frames in which two faces have one character
    characters: int  # in the result
    characters_expected: int  # in the truth, among the faces that count


def read_answers(path: str | Path) -> dict[int, list[Answer]]:
    """Answers by frame from a JSONL result of this project.

    Raises:
        MediaError: the file cannot be read or is not such a result.
    """
    try:
        lines = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
        return {line["index"]: [_answer(face) for face in line["faces"]] for line in lines if line["type"] == "frame"}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MediaError(f"{path}: is not a track result: {error!r}") from error


def _answer(face: dict[str, Any]) -> Answer:
    return Answer(face["id"], tuple(face["box"]), face.get("character", 0), face.get("name", ""))


def _counts(face: FaceTruth, rules: Rules) -> bool:
    x1, y1, x2, y2 = face.box_xyxy
    return face.visible >= rules.least_visible and min(x2 - x1, y2 - y1) >= rules.least_side


def _boxes(faces: Iterable[FaceTruth | Answer]) -> Boxes:
    return np.array([face.box_xyxy for face in faces], np.float64).reshape(-1, 4)


def matched_faces(answers: Answers, truth: ClipTruth, rules: Rules | None = None) -> list[Matched]:
    """The faces of the truth that count and that the result found, frame by frame: the pairs with the most overlap."""
    rules, found = rules or Rules(), []
    for frame in truth.frames:
        said = answers.get(frame.index, ())
        iou = overlaps(_boxes(frame.faces), _boxes(said))
        pairs = linear_sum_assignment(np.where(iou >= rules.iou, iou, 0.0), maximize=True)
        for row, column in zip(*pairs, strict=True):
            face = frame.faces[row]
            if iou[row, column] >= rules.iou and _counts(face, rules):
                found.append(Matched(frame.index, frame.shot, face, said[column]))
    return found


def clusters_of(matched: Sequence[Matched]) -> list[int]:
    """The character of each matched face; an unknown one gets a negative number of its own."""
    return [each.answer.character or -1 - place for place, each in enumerate(matched)]


def score_characters(answers: Answers, truth: ClipTruth, rules: Rules | None = None) -> CharacterScore:
    """Compare a result's characters with the truth."""
    rules = rules or Rules()
    matched = matched_faces(answers, truth, rules)
    counted = [face for frame in truth.frames for face in frame.faces if _counts(face, rules)]
    said = [[answer.character for answer in frame if answer.character] for frame in answers.values()]
    return CharacterScore(
        bcubed([each.face.character for each in matched], clusters_of(matched)),
        len(matched),
        len(counted),
        sum(each.answer.character == 0 for each in matched),
        sum(len(set(frame)) < len(frame) for frame in said),
        len({character for frame in said for character in frame}),
        len({face.character for face in counted}),
    )


def names_of(matched: Sequence[Matched]) -> dict[int, int]:
    """For each character of a result, the character of the truth that it is most often; the lower one of equals."""
    together = Counter((each.answer.character, each.face.character) for each in matched if each.answer.character)
    best = sorted(together, key=lambda pair: (-together[pair], pair[1]))
    return {character: name for character, name in reversed(best)}


@dataclass(frozen=True, slots=True)
class NameScore:
    """How many matched faces got which name; the names of the truth are the characters' numbers."""

    right: int
    wrong: int
    unnamed: int
    strangers: int  # matched faces of strangers
    strangers_named: int

    @property
    def right_share(self) -> float:
        """Share of the cast's faces with the right name; 1 without faces."""
        faces = self.right + self.wrong + self.unnamed
        return self.right / faces if faces else 1.0

    @property
    def strangers_named_share(self) -> float:
        """Share of the strangers' faces with a name; 0 without faces."""
        return self.strangers_named / self.strangers if self.strangers else 0.0


def score_names(matched: Sequence[Matched], names: Mapping[int, str]) -> NameScore:
    """Compare a result's names with those of the truth.

    Args:
        matched: of ``matched_faces``.
        names: by character of the truth; whoever is not in it is a stranger.
    """
    known = [(names[each.face.character], each.answer.name) for each in matched if each.face.character in names]
    strangers = [each.answer.name for each in matched if each.face.character not in names]
    right = sum(name == said for name, said in known)
    unnamed = sum(not said for _, said in known)
    return NameScore(right, len(known) - right - unnamed, unnamed, len(strangers), sum(map(bool, strangers)))


def table(score: CharacterScore) -> str:
    """The score as a text table."""
    agreement = score.agreement
    rows = [
        ("BCubed F1", f"{agreement.f1:.4f}", f"precision {agreement.precision:.4f}, recall {agreement.recall:.4f}"),
        ("found", str(score.faces), f"of {score.expected} faces, {score.unknown} without a character"),
        ("characters", str(score.characters), f"{score.characters_expected} in the truth"),
        ("shared", str(score.shared), "frames with one character twice"),
    ]
    return "\n".join(f"{name:<12}{value:>8}  {note}" for name, value, note in rows)


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 done, 1 unreadable input, 2 the call is at fault (argparse)."""
    parser = Parser(prog="character_scoring", description="Score a result's characters against a drawn clip's truth.")
    parser.add_argument("result", help="JSONL written by acfd-stream track")
    parser.add_argument("truth", help="JSON written by python -m acfd_stream.model.toon")
    return parser.run(_score_files, arguments)


def _score_files(options: argparse.Namespace) -> None:
    print(table(score_characters(read_answers(options.result), ClipTruth.load(options.truth))))


if __name__ == "__main__":
    sys.exit(main())
