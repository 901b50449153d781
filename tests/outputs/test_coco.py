"""COCO JSON as pycocotools takes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from acfd_stream.outputs import ResultEnd, open_writer
from tests.outputs.made_up import HEADER, made_up, write_made_up

COUNT = 250  # images come in pieces of 100


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_made_up(tmp_path / "ep.coco.json", "coco", COUNT)


def test_pycocotools_finds_every_frame_and_every_face(place: Path) -> None:
    coco = COCO(str(place))
    assert coco.getImgIds() == list(range(1, COUNT + 1))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == ["face"]
    for frame in made_up(COUNT):
        image = coco.imgs[frame.index + 1]
        assert (image["width"], image["height"], image["frame_index"], image["pts"], image["shot"]) == (
            *(854, 480, frame.index),
            *(frame.pts, frame.shot),
        )
        found = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]], catIds=[1]))
        for annotation, face in zip(found, frame.faces, strict=True):
            x1, y1, x2, y2 = face.box_xyxy
            assert annotation["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.011)
            assert (annotation["track_id"], annotation["state"]) == (face.track_id, face.state.value)


def test_pycocotools_scores_it_against_itself_as_perfect(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    coco = COCO(str(place))
    found = [dict(annotation) for annotation in coco.dataset["annotations"]]
    scoring = COCOeval(coco, coco.loadRes(found), "bbox")
    scoring.evaluate()
    scoring.accumulate()
    scoring.summarize()
    assert scoring.stats[0] == pytest.approx(1.0)


def test_what_is_said_of_the_whole_is_that_of_the_json_lines(place: Path, tmp_path: Path) -> None:
    content = json.loads(place.read_text())
    lines = write_made_up(tmp_path / "lines", "jsonl", COUNT).read_text().splitlines()
    said = {**json.loads(lines[0]), **json.loads(lines[-1])}
    del said["type"]
    assert content["info"] == {"description": "Face tracks of acfd-stream", **said}
    assert content["videos"] == [{"id": 1, "name": HEADER.source, "width": 854, "height": 480}]
    assert content["tracks"] == [{"id": track, "video_id": 1, "category_id": 1} for track in (1, 2, 3)]
    assert content["images"][0]["file_name"] == "Épisode --> 1/000001.jpg"
    assert [annotation["id"] for annotation in content["annotations"]] == list(
        range(1, sum(len(frame.faces) for frame in made_up(COUNT)) + 1)
    )


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_frames_and_no_faces_are_valid(count: int, tmp_path: Path) -> None:
    writer = open_writer(tmp_path / "a", "coco", HEADER)
    for frame in made_up(count):
        writer.write(replace(frame, faces=()))
    writer.close(ResultEnd(0))
    coco = COCO(str(tmp_path / "a"))
    assert (len(coco.imgs), coco.anns, coco.dataset["tracks"]) == (count, {}, [])


def test_a_broken_video_s_part_is_valid_and_says_so(tmp_path: Path) -> None:
    write_made_up(tmp_path / "a", "coco", 10, end=ResultEnd(3, is_complete=False, error="broke"))
    info = json.loads((tmp_path / "a.part").read_text())["info"]
    assert (info["frames"], info["complete"], info["error"]) == (10, False, "broke")


def test_any_file_name_is_text_in_the_file(tmp_path: Path) -> None:
    for name in ("latin1-\udce9.avi", 'quote".mkv', "https://host/a%20b.mp4"):
        place = write_made_up(tmp_path / "a", "coco", 1, replace(HEADER, source=name))
        assert COCO(str(place)).dataset["videos"][0]["name"] == name
