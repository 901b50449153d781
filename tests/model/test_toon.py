from __future__ import annotations

import itertools
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.errors import ConfigError, MediaError, OutputError
from acfd_stream.model.toon import ClipTruth, picture, render, write_clip
from acfd_stream.model.toon.__main__ import main
from acfd_stream.model.toon.bodies import draw_character
from acfd_stream.model.toon.canvas import Canvas
from acfd_stream.model.toon.casting import random_design
from acfd_stream.model.toon.design import Pose
from acfd_stream.model.toon.palette import KINDS, random_style
from acfd_stream.model.toon.plans import PLANS, clear_design

SMALL = (180, 320)


def test_the_same_seed_draws_the_same_picture() -> None:
    first, boxes = picture(np.random.default_rng(7), (240, 320))
    again, same = picture(np.random.default_rng(7), (240, 320))
    other, _ = picture(np.random.default_rng(8), (240, 320))
    assert np.array_equal(first, again)
    assert np.array_equal(boxes, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [(240, 320), (101, 77), (700, 40)])
def test_boxes_of_pictures_lie_inside_them(size: tuple[int, int]) -> None:
    faces = 0
    for seed in range(25):
        pixels, boxes = picture(np.random.default_rng(seed), size)
        assert pixels.shape == (*size, 3)
        assert pixels.dtype == np.uint8
        assert boxes.dtype == np.float32
        assert boxes.shape[1:] == (4,)
        assert (boxes >= 0).all()
        assert (boxes[:, 2:] <= (size[1], size[0])).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        faces += len(boxes)
    assert faces > 0


def test_pictures_hold_none_to_many_faces_of_all_sizes() -> None:
    found = [picture(np.random.default_rng(seed), (240, 320))[1] for seed in range(60)]
    counts = [len(boxes) for boxes in found]
    heights = np.concatenate([boxes[:, 3] - boxes[:, 1] for boxes in found])
    assert min(counts) == 0
    assert max(counts) >= 6
    assert heights.min() < 12
    assert heights.max() > 110


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("who", ["human", "animal", "thing"])
def test_every_style_draws_every_kind_of_character(kind: str, who: str) -> None:
    rng = np.random.default_rng(3)
    for yaw in (-1.5, -0.6, 0.0, 0.6, 1.5):
        canvas = Canvas((160, 160), (1, 2, 3))
        draw_character(canvas, random_design(rng, random_style(rng, kind), who), Pose(yaw=yaw), (80, 60), 30, 1)
        assert np.count_nonzero(canvas.owner == 1) > 100
        assert np.count_nonzero((canvas.pixels != (1, 2, 3)).any(2)) > np.count_nonzero(canvas.owner == 1)


def test_a_face_seen_from_behind_owns_nothing() -> None:
    rng = np.random.default_rng(3)
    canvas = Canvas((160, 160))
    draw_character(canvas, clear_design(rng, random_style(rng, "flat")), Pose(yaw=3.1), (80, 60), 30, 1)
    assert not (canvas.owner == 1).any()


def test_the_owned_pixels_of_a_flat_face_are_skin() -> None:
    rng = np.random.default_rng(5)
    style = random_style(rng, "flat")
    style = type(style)("flat", 0.03, (0, 0, 0), False, None)
    shares = []
    for _ in range(8):
        design = clear_design(rng, style)
        design.features.beard, design.skin = "none", (201, 150, 99)
        canvas = Canvas((200, 200), (20, 200, 20))
        draw_character(canvas, design, Pose(), (100, 80), 50, 1)
        skin = (canvas.pixels == design.skin).all(2)
        shares.append(float(skin[canvas.owner == 1].mean()))
        rows, columns = np.nonzero(canvas.owner == 1)
        assert rows.max() == pytest.approx(80 + 50, abs=6), "the chin"
        assert columns.mean() == pytest.approx(100, abs=5)
    assert np.median(shares) > 0.4


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_a_clip_is_the_same_for_the_same_seed(plan: str) -> None:
    first, second = render(plan, 4, (90, 160), 12), render(plan, 4, (90, 160), 12)
    assert len(first) == len(second)
    for (pixels, truth), (again, same) in itertools.islice(zip(first, second, strict=True), 30):
        assert np.array_equal(pixels, again)
        assert truth == same


@pytest.mark.parametrize("plan", sorted(PLANS))
def test_boxes_of_clips_lie_inside_the_frame_and_ids_are_one_appearance(plan: str) -> None:
    owner: dict[int, tuple[int, ...]] = {}
    for pixels, truth in render(plan, 1, (90, 160), 12):
        assert pixels.shape == (90, 160, 3)
        assert len({face.id for face in truth.faces}) == len(truth.faces)
        for face in truth.faces:
            x1, y1, x2, y2 = face.box_xyxy
            assert 0 <= x1 < x2 <= 160
            assert 0 <= y1 < y2 <= 90
            assert 0 <= face.visible <= 1
            assert owner.setdefault(face.id, (face.character,)) == (face.character,)
    assert owner


@pytest.mark.parametrize(("plan", "hold"), [("demo", 2), ("threes", 3), ("quiet", 2)])
def test_held_drawings_are_equal_bytes_and_new_ones_are_not(plan: str, hold: int) -> None:
    previous, held, fresh = None, 0, 0
    for pixels, truth in itertools.islice(render(plan, 2, SMALL), 60):
        if previous is not None and previous[1].drawing == truth.drawing:
            assert np.array_equal(previous[0], pixels)
            held += 1
        elif previous is not None:
            assert truth.drawing == previous[1].drawing + 1
            fresh += not np.array_equal(previous[0], pixels)
        previous = (pixels, truth)
    assert held >= 60 - 60 // hold - 1
    assert fresh > 5


def test_only_mouths_and_eyes_move_in_a_quiet_clip() -> None:
    frames = list(itertools.islice(render("quiet", 3, SMALL), 48))
    first = frames[0]
    boxes = [face.box_xyxy for face in first[1].faces]
    outside = np.ones(SMALL, bool)
    for x1, y1, x2, y2 in boxes:
        outside[max(0, int(y1) - 12) : int(y2) + 12, max(0, int(x1) - 12) : int(x2) + 12] = False
    assert any(not np.array_equal(first[0], pixels) for pixels, _ in frames)
    assert all(np.array_equal(first[0][outside], pixels[outside]) for pixels, _ in frames)


def test_shots_begin_where_the_truth_says() -> None:
    clip = render("cuts", 0, SMALL)
    frames = list(clip)
    cuts = {change.at for change in clip.truth.changes}
    assert len(cuts) == 9
    steps = {
        truth.index: float(np.abs(pixels.astype(int) - before.astype(int)).mean())
        for (before, _), (pixels, truth) in itertools.pairwise(frames)
    }
    for index, step in steps.items():
        assert (frames[index][1].shot != frames[index - 1][1].shot) == (index in cuts)
        assert step > 10 if index in cuts else step < 30


def test_fades_go_through_black_or_white_and_hide_faces() -> None:
    clip = render("fades", 0, SMALL)
    frames = list(clip)
    for change in clip.truth.changes:
        pixels, truth = frames[change.at or 0]
        middle = [face.visible for face in truth.faces]
        if change.kind == "fade_black":
            assert pixels.max() == 0
            assert max(middle, default=0) == 0
        elif change.kind == "fade_white":
            assert pixels.min() == 255
        else:
            assert {frames[change.first - 1][1].shot, frames[change.last + 1][1].shot} == {truth.shot - 1, truth.shot}
    assert {change.kind for change in clip.truth.changes} == {"fade_black", "fade_white", "dissolve"}


def test_flashes_last_one_to_four_frames_and_start_no_shot() -> None:
    clip = render("flashes", 0, SMALL)
    frames = list(clip)
    flashes = [change for change in clip.truth.changes if change.kind.startswith("flash")]
    assert len(flashes) == 9
    for flash in flashes:
        assert flash.at is None
        assert 0 <= flash.last - flash.first <= 3
        pixels, truth = frames[flash.first]
        assert truth.shot == frames[flash.first - 1][1].shot
        assert all(face.visible == 0 for face in truth.faces)
        if flash.kind != "flash_inverted":
            assert pixels.min() == pixels.max() == (255 if flash.kind == "flash_white" else 0)


def test_the_demo_crosses_leaves_and_comes_back() -> None:
    clip = render("demo", 0, SMALL)
    frames = [truth for _, truth in clip]
    assert 12 <= len(frames) / 24 <= 15
    appearances: dict[tuple[int, int], set[int]] = {}
    for frame in frames:
        for face in frame.faces:
            appearances.setdefault((frame.shot, face.character), set()).add(face.id)
    assert max(len(ids) for ids in appearances.values()) == 2, "one left for long and came back with a new id"
    assert any(0 < face.visible < 0.9 for frame in frames[:108] for face in frame.faces)
    assert {change.kind for change in clip.truth.changes} == {"cut", "fade_black", "flash_white"}


def test_truth_survives_a_file(tmp_path: Path) -> None:
    clip = render("flashes", 5, (90, 160), Fraction(24000, 1001))
    for _ in clip:
        pass
    clip.truth.save(tmp_path / "truth.json")
    again = ClipTruth.load(tmp_path / "truth.json")
    assert again.fps == Fraction(24000, 1001)
    assert again.changes == clip.truth.changes
    assert [frame.drawing for frame in again.frames] == [frame.drawing for frame in clip.truth.frames]
    assert again.frames[10].faces[0].visible == pytest.approx(clip.truth.frames[10].faces[0].visible, abs=1e-3)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "plan": "demo"}'])
def test_a_file_that_is_no_truth_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(MediaError, match=r"bad\.json: not the truth"):
        ClipTruth.load(tmp_path / "bad.json")


def test_a_written_clip_has_the_frames_it_was_drawn_with(tmp_path: Path) -> None:
    clip = render("threes", 1, SMALL, 25)
    truth = write_clip(tmp_path / "clip.mp4", clip, crf=12, has_tone=True)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        decoded = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    assert len(decoded) == len(truth.frames) == len(clip)
    for (time, seen), (drawn, frame) in itertools.islice(zip(decoded, clip, strict=True), 0, None, 20):
        assert time == pytest.approx(frame.index / 25)
        assert np.abs(seen.astype(int) - drawn.astype(int)).mean() < 8


def test_a_clip_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write the clip"):
        write_clip(tmp_path / "no" / "such" / "clip.mp4", render("cuts", 0, (64, 64)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"plan": "dance"}, "plan"), ({"size": (10, 320)}, "size"), ({"fps": 0}, "fps"), ({"seed": -1}, "seed")],
)
def test_bad_arguments_are_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message} must be"):
        render(**changed)  # type: ignore[arg-type]


def test_the_command_writes_clip_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, truth = tmp_path / "clip.mkv", tmp_path / "truth.json"
    code = main(["cuts", str(out), "--truth", str(truth), "--size", "128x96", "--fps", "12", "--seed", "2"])
    assert code == 0
    assert "frames" in capsys.readouterr().out
    content = json.loads(truth.read_text())
    assert (content["width"], content["height"], content["fps"]) == (128, 96, [12, 1])


@pytest.mark.parametrize("arguments", [["dance", "x.mp4"], ["demo", "x.mp4", "--size", "big"], ["demo"]])
def test_a_wrong_call_is_one_line_and_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(arguments)
    assert exit_info.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unwritable_place_is_one_line_and_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cuts", str(tmp_path / "no" / "clip.mp4"), "--size", "64x64"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_the_package_of_the_model_imports_nothing() -> None:
    program = "import sys, acfd_stream.model; print(sorted({'numpy', 'torch', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
