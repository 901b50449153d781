"""Crops of a result: which faces, where they lie, and that nothing of somebody's is lost."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from acfd_stream.characters import Character
from acfd_stream.config import VideoConfig
from acfd_stream.errors import ConfigError, ForeignFileError
from acfd_stream.files import lock
from acfd_stream.outputs import ResultEnd, ResultFile, open_writer, read_results
from acfd_stream.pipeline.session import TrackSession
from acfd_stream.recording.crops import CropConfig, write_crops
from acfd_stream.recording.derived import frames_again
from acfd_stream.recording.header import end_of, header_of
from acfd_stream.recording.published import FinalNames, Journal, PublishedFile
from acfd_stream.types import FrameResult
from acfd_stream.video.frame import Frame
from tests.pipeline.conftest import write_clip
from tests.pipeline.square_finder import SquareFinder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clips") / "clip.mkv"))


@pytest.fixture(scope="module")
def results(clip: str) -> ResultFile:
    """Two tracks: the first is Velma, the second nobody."""
    place = Path(clip).with_suffix(".jsonl")
    with TrackSession(clip, detector=SquareFinder()) as session:
        writer = open_writer(place, "jsonl", header_of(session))
        for result in session:
            writer.write(result)
        end = end_of(session)
    writer.close(ResultEnd(end.tracks, characters=(Character(3, (1,), 1.0, "Vel/ma"),)))
    return read_results(place)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "crops"


def write(clip: str, results: ResultFile, out: Path, **config: Any) -> list[dict[str, str]]:
    with closing(frames_again(clip, VideoConfig(), results)) as frames:
        count = write_crops(results, frames, out, CropConfig(**config))
    rows = list(csv.DictReader((out / "crops.csv").read_text().splitlines()))
    assert len(rows) == count
    return rows


def grey(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def pictures(out: Path) -> Iterator[str]:
    return iter(sorted(str(path.relative_to(out)) for path in out.rglob("*.jpg")))


def test_every_drawing_of_every_face_lies_in_the_folder_of_its_character(
    clip: str, results: ResultFile, out: Path
) -> None:
    rows = write(clip, results, out)
    wanted = [
        f"{'character_3_Vel_ma' if face.track_id == 1 else 'nobody'}/{result.index:06d}_{face.track_id}.jpg"
        for result in results
        for face in result.faces
        if not result.reused and face.state.value == "detected"
    ]
    assert [row["file"] for row in rows] == wanted
    assert list(pictures(out)) == sorted(wanted)
    assert {row["name"] for row in rows} == {"Vel/ma", ""}
    face = next(iter(results)).faces[0]
    assert [float(rows[0][side]) for side in ("x1", "y1", "x2", "y2")] == list(face.box_xyxy)


def test_a_crop_shows_the_face_in_its_middle_with_the_margin_around_it(
    clip: str, results: ResultFile, out: Path
) -> None:
    row = write(clip, results, out, margin=0.5)[0]
    crop = grey(out / row["file"])
    width = float(row["x2"]) - float(row["x1"])
    assert crop.shape == (2 * round(width),) * 2
    assert int(row["side"]) == crop.shape[0]
    inner = crop[crop.shape[0] // 4 + 2 : -crop.shape[0] // 4 - 2, crop.shape[1] // 4 + 2 : -crop.shape[1] // 4 - 2]
    assert inner.mean() > crop.mean() + 20  # the square is bright


def test_crops_have_the_size_that_was_asked_for_and_are_the_best_ones(
    clip: str, results: ResultFile, out: Path
) -> None:
    rows = write(clip, results, out, size=48, best=2, by_track=True)
    assert [row["file"].split("/")[0] for row in rows] == ["track_1", "track_1", "track_2", "track_2"]
    assert {grey(out / row["file"]).shape for row in rows} == {(48, 48)}
    assert write(clip, results, out, min_score=1.0) == write(clip, results, out, min_side=1000) == []


def test_another_call_replaces_its_own_crops_and_keeps_what_somebody_changed_or_added(
    clip: str, results: ResultFile, out: Path
) -> None:
    rows = write(clip, results, out)
    (out / rows[0]["file"]).write_bytes(b"retouched")
    (out / "mine.txt").write_text("mine")
    write(clip, results, out, best=1, by_track=True)
    assert (out / rows[0]["file"]).read_bytes() == b"retouched"
    assert next(pictures(out)) == rows[0]["file"]
    left = list(pictures(out))
    assert len(left) == 3
    with pytest.raises(ForeignFileError, match="was changed after this program wrote it; it is kept"):
        write(clip, results, out)
    assert list(pictures(out)) == left
    assert (out / rows[0]["file"]).read_bytes() == b"retouched"
    assert (out / "mine.txt").read_text() == "mine"


def test_a_table_is_there_only_with_all_of_its_crops(
    clip: str, results: ResultFile, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(names: FinalNames, path: str) -> None:
        withdraw(names, path)
        if path.endswith(".jpg"):
            raise KeyboardInterrupt

    write(clip, results, out)
    withdraw = FinalNames.withdraw
    with monkeypatch.context() as patched:
        patched.setattr(FinalNames, "withdraw", stopped)
        with pytest.raises(KeyboardInterrupt):
            write(clip, results, out)
    assert not (out / "crops.csv").exists()
    assert len(write(clip, results, out)) == len(list(pictures(out)))


def test_of_two_calls_at_once_one_replaces_all_of_the_other(
    clip: str, results: ResultFile, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, locked = Journal.read, []

    def while_it_is_locked(journal: Journal) -> list[PublishedFile]:
        folder = os.open(out, os.O_RDONLY)
        locked.append(not lock(folder))
        os.close(folder)
        return read(journal)

    def frames() -> Iterator[tuple[Frame, FrameResult]]:
        yield from frames_again(clip, VideoConfig(), results)
        write(clip, results, out)  # the other call, from its begin to its end

    monkeypatch.setattr(Journal, "read", while_it_is_locked)
    write_crops(results, frames(), out, CropConfig(by_track=True))
    rows = list(csv.DictReader((out / "crops.csv").read_text().splitlines()))
    assert {row["file"].split("/")[0] for row in rows} == {"track_1", "track_2"}
    assert list(pictures(out)) == sorted(row["file"] for row in rows)
    assert locked == [True, True]


def test_a_folder_of_somebody_s_is_left_alone(clip: str, results: ResultFile, out: Path) -> None:
    out.mkdir()
    (out / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(ConfigError, match="has files and is not a folder of crops"):
        write(clip, results, out)
    assert [path.name for path in out.iterdir()] == ["mine.jpg"]


@pytest.mark.parametrize("config", [{"size": -1}, {"margin": 11}, {"best": -1}, {"min_score": 2}])
def test_settings_out_of_range_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(config))):
        CropConfig(**config)
