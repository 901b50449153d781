"""Scores tracks against a drawn clip's truth: recall, precision, IDF1, HOTA, switches, fragments, shot changes.

``python -m acfd_stream.model.scoring RESULT.jsonl TRUTH.json [--least-idf1 0.9 --least-recall 0.95]`` prints a
table and exits 1 if a figure is below its limit. Faces that are mostly hidden or very small (``Rules``) are ignored.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from acfd_stream.errors import AcfdError, MediaError

from .command_line import Parser
from .hota import FramePair, Hota, hota_of
from .toon.truth import ClipTruth, FaceTruth

Boxes = NDArray[np.float64]  # [N, 4] x1 y1 x2 y2, pixels


@dataclass(slots=True)
class TrackedFrame:
    """One frame of a result: ids and boxes of the same length."""

    ids: list[int]
    boxes_xyxy: Boxes
    shot: int = 0


@dataclass(frozen=True)
class Rules:
    """Limits of the scoring."""

    iou: float = 0.5  # lowest overlap of a hit
    least_visible: float = 0.4  # less visible faces are ignored
    least_side: float = 12.0  # pixels; faces whose shorter side is less are ignored
    by_character: bool = False  # identity is the character for life, not one appearance


@dataclass(slots=True)
class Score:
    """The counts of a clip, and HOTA."""

    hits: int = 0
    misses: int = 0
    false_boxes: int = 0
    ignored: int = 0  # boxes of the result that lie on ignored faces
    identity_hits: int = 0  # frames in which a truth id has the track of the global assignment
    switches: int = 0
    fragments: int = 0
    tracks: int = 0
    identities: int = 0
    shots_expected: int = 0
    shots_found: int = 0
    shots_false: int = 0
    hota: Hota = field(default_factory=Hota)

    @property
    def recall(self) -> float:
        """Share of the faces that are found; 1 if there are none."""
        return _ratio(self.hits, self.hits + self.misses)

    @property
    def precision(self) -> float:
        """Share of the boxes that are faces; 1 if there are none."""
        return _ratio(self.hits, self.hits + self.false_boxes)

    @property
    def idf1(self) -> float:
        """2 IDTP / (truth boxes + result boxes); 1 if there are neither (Ristani et al. 2016)."""
        return _ratio(2 * self.identity_hits, 2 * self.hits + self.misses + self.false_boxes)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def shared_areas(a: Boxes, b: Boxes) -> Boxes:
    """Area of the intersection of every box of ``a`` [N, 4] with every box of ``b`` [M, 4]: [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=2)


def overlaps(a: Boxes, b: Boxes) -> Boxes:
    """IoU of every box of ``a`` [N, 4] with every box of ``b`` [M, 4]: [N, M]."""
    shared = shared_areas(a, b)
    areas = [np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0), np.float64)


def _tracked(content: dict[str, Any]) -> TrackedFrame:
    boxes = np.array([face["box"] for face in content["faces"]], np.float64).reshape(-1, 4)
    return TrackedFrame([face["id"] for face in content["faces"]], boxes, content.get("shot", 0))


def read_tracks(path: str | Path) -> dict[int, TrackedFrame]:
    """Frames by index from a JSONL result of this project.

    Raises:
        MediaError: the file cannot be read, is not such a result, or has no closing line.
    """
    frames: dict[int, TrackedFrame] = {}
    is_finished = False
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: is not text") from error
    for number, line in enumerate(lines, start=1):
        try:
            content = json.loads(line)
            if content["type"] == "frame":
                frames[content["index"]] = _tracked(content)
            is_finished |= content["type"] == "end"
        except (ValueError, KeyError, TypeError) as error:
            raise MediaError(f"{path}: line {number} is not a line of a track result: {error!r}") from error
    if not is_finished:
        raise MediaError(f"{path}: has no closing line, so the run did not finish; run it again")
    return frames


@dataclass(slots=True)
class _State:
    """State from frame to frame."""

    last_track: dict[int, int] = field(default_factory=dict)  # truth id → track of its last hit
    was_missed: dict[int, bool] = field(default_factory=dict)  # truth id → missed since its last hit
    together: Counter[tuple[int, int]] = field(default_factory=Counter)  # (truth id, track) → frames they overlap
    identities: set[int] = field(default_factory=set)
    tracks: set[int] = field(default_factory=set)
    pairs: list[FramePair] = field(default_factory=list)


def score_tracks(frames: dict[int, TrackedFrame], truth: ClipTruth, rules: Rules | None = None) -> Score:
    """Compare a result's frames with the truth.

    Args:
        frames: by frame index; a missing frame has no boxes.
        truth: of the clip the result was made from.
        rules: limits.

    Raises:
        MediaError: the result has more frames than the clip.
    """
    score, state = _followed(frames, truth, rules or Rules())
    score.identity_hits = _assigned(state.together)
    score.tracks, score.identities = len(state.tracks), len(state.identities)
    score.hota = hota_of(state.pairs)
    _score_shots(score, frames, truth)
    return score


def frame_pairs(frames: dict[int, TrackedFrame], truth: ClipTruth, rules: Rules | None = None) -> list[FramePair]:
    """The faces and boxes of every frame that count, for other scoring programs.

    Arguments and errors are those of ``score_tracks``.
    """
    return _followed(frames, truth, rules or Rules())[1].pairs


def _followed(frames: dict[int, TrackedFrame], truth: ClipTruth, rules: Rules) -> tuple[Score, _State]:
    """The counts that need no global assignment, and the state after the last frame."""
    beyond = max(frames, default=-1)
    if beyond >= len(truth.frames):
        raise MediaError(
            f"the result has a frame {beyond}, the clip only {len(truth.frames)} frames: they do not belong together"
        )
    score, state = Score(), _State()
    empty = TrackedFrame([], np.zeros((0, 4)))
    for frame in truth.frames:
        _score_frame(score, state, frame.faces, frames.get(frame.index, empty), rules)
    return score, state


def _counts(face: FaceTruth, rules: Rules) -> bool:
    x1, y1, x2, y2 = face.box_xyxy
    return face.visible >= rules.least_visible and min(x2 - x1, y2 - y1) >= rules.least_side


def _boxes(faces: list[FaceTruth]) -> Boxes:
    return np.array([face.box_xyxy for face in faces], np.float64).reshape(-1, 4)


def _score_frame(score: Score, state: _State, faces: tuple[FaceTruth, ...], result: TrackedFrame, rules: Rules) -> None:
    counted = [face for face in faces if _counts(face, rules)]
    names = [face.character if rules.by_character else face.id for face in counted]
    iou = overlaps(_boxes(counted), result.boxes_xyxy)
    pairs = _matched(iou, names, result.ids, state.last_track, rules.iou)
    free = [column for column in range(len(result.ids)) if column not in pairs.values()]
    ignored = _on_ignored(
        _boxes([face for face in faces if not _counts(face, rules)]), result.boxes_xyxy[free], rules.iou
    )
    score.ignored += sum(ignored)
    score.false_boxes += len(free) - sum(ignored)
    dropped = {column for column, is_ignored in zip(free, ignored, strict=True) if is_ignored}
    kept = [column for column in range(len(result.ids)) if column not in dropped]
    tracks = [result.ids[column] for column in kept]
    state.tracks.update(tracks)
    state.pairs.append(FramePair(names, tracks, iou[:, kept]))
    for row, name in enumerate(names):
        state.identities.add(name)
        for column in np.flatnonzero(iou[row] >= rules.iou):
            if int(column) not in dropped:
                state.together[name, result.ids[int(column)]] += 1
        _follow(score, state, name, result.ids[pairs[row]] if row in pairs else None)


def _follow(score: Score, state: _State, name: int, track: int | None) -> None:
    """Count one face of one frame as hit by ``track``, or as missed for None."""
    if track is None:
        score.misses += 1
        if name in state.last_track:
            state.was_missed[name] = True
        return
    score.hits += 1
    if state.last_track.get(name, track) != track:
        score.switches += 1
    if state.was_missed.pop(name, False):
        score.fragments += 1
    state.last_track[name] = track


def _matched(iou: Boxes, names: list[int], tracks: list[int], last: dict[int, int], least: float) -> dict[int, int]:
    """Rows (truth) to columns (result): as many as possible, then last partners, then the best overlap."""
    if iou.size == 0:
        return {}
    stays = np.array([[last.get(name) == track for track in tracks] for name in names])
    worth = np.where(iou >= least, 1000.0 + 10.0 * stays + iou, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if worth[row, column] > 0}


def _on_ignored(ignored: Boxes, boxes: Boxes, least: float) -> list[bool]:
    """Whether each box is on an ignored face: by IoU, or with most of its area inside."""
    if len(ignored) == 0:
        return [False] * len(boxes)
    shared = shared_areas(boxes, ignored)
    own = np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-9)[:, None]
    return [bool(value) for value in ((overlaps(boxes, ignored) >= least) | (shared / own >= least)).any(1)]


def _assigned(together: Counter[tuple[int, int]]) -> int:
    """Frames matched by the best one-to-one assignment of truth ids to tracks."""
    if not together:
        return 0
    names = sorted({name for name, _ in together})
    tracks = sorted({track for _, track in together})
    table = np.array([[together[name, track] for track in tracks] for name in names])
    rows, columns = linear_sum_assignment(table, maximize=True)
    return int(table[rows, columns].sum())


def _score_shots(score: Score, frames: dict[int, TrackedFrame], truth: ClipTruth) -> None:
    """Shot changes, right when they fall on a cut or within a fade or dissolve (give or take one frame)."""
    order = sorted(frames)
    starts = [index for before, index in pairwise(order) if frames[index].shot != frames[before].shot]
    expected = [change for change in truth.changes if change.at is not None]
    score.shots_expected = len(expected)
    for change in expected:
        near = [start for start in starts if change.first - 1 <= start <= change.last + 1]
        if near:
            score.shots_found += 1
            starts.remove(near[0])
    score.shots_false = len(starts)


def table(score: Score) -> str:
    """The score as a text table."""
    rows = [
        ("recall", f"{score.recall:.4f}", f"{score.hits} of {score.hits + score.misses} faces"),
        (
            "precision",
            f"{score.precision:.4f}",
            f"{score.false_boxes} boxes on no face, {score.ignored} on ignored ones",
        ),
        ("IDF1", f"{score.idf1:.4f}", f"{score.identities} appearances, {score.tracks} tracks"),
        ("HOTA", f"{score.hota.hota:.4f}", f"DetA {score.hota.detection:.4f}, AssA {score.hota.association:.4f}"),
        ("id switches", str(score.switches), ""),
        ("fragments", str(score.fragments), ""),
        ("shot changes", f"{score.shots_found}/{score.shots_expected}", f"{score.shots_false} where there is none"),
    ]
    return "\n".join(f"{name:<14}{value:>8}  {note}".rstrip() for name, value, note in rows)


def _parser() -> Parser:
    parser = Parser(prog="scoring", description="Score a JSONL track result against a drawn clip's truth.")
    parser.add_argument("result", help="JSONL written by acfd-stream track")
    parser.add_argument("truth", help="JSON written by python -m acfd_stream.model.toon")
    parser.add_argument("--least-idf1", type=float, default=0.0, help="exit 1 below this")
    parser.add_argument("--least-recall", type=float, default=0.0, help="exit 1 below this")
    parser.add_argument("--iou", type=float, default=Rules.iou, help="least overlap of a hit (default 0.5)")
    parser.add_argument(
        "--least-visible",
        type=float,
        default=Rules.least_visible,
        help="ignore faces of which less is seen (default 0.4)",
    )
    parser.add_argument(
        "--least-side", type=float, default=Rules.least_side, help="ignore smaller faces, pixels (default 12)"
    )
    parser.add_argument("--by-character", action="store_true", help="identity for the whole clip, not one appearance")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 0 good enough, 1 below a limit or unreadable input, 2 the call is at fault (argparse)."""
    return _parser().run(_score_files, arguments)


def _score_files(options: argparse.Namespace) -> None:
    rules = Rules(options.iou, options.least_visible, options.least_side, options.by_character)
    score = score_tracks(read_tracks(options.result), ClipTruth.load(options.truth), rules)
    print(table(score))
    limits = (("IDF1", score.idf1, options.least_idf1), ("recall", score.recall, options.least_recall))
    short = [f"{name} {value:.4f} is below {least}" for name, value, least in limits if value < least]
    if short:
        raise AcfdError("; ".join(short))


if __name__ == "__main__":
    sys.exit(main())
