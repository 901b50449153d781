from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from acfd_stream.config import VideoConfig
from acfd_stream.drawing import track_color
from acfd_stream.errors import OutputError
from acfd_stream.types import Face, FaceState, FrameResult, Picture
from acfd_stream.video import open_video
from acfd_stream.video.draw_result import draw_result
from acfd_stream.video.frame import Frame
from acfd_stream.video.render import OverlayWriter

MakeClip = Callable[..., Path]


def result_of(frame: Frame, *faces: Face) -> FrameResult:
    return FrameResult(frame.index, frame.pts, frame.time_base, frame.pts_seconds, faces)


def render(source: Path, target: Path, config: VideoConfig | None = None) -> list[float]:
    """Write an overlay without faces; the times of the source's frames."""
    times = []
    with open_video(source, config) as video, OverlayWriter(target, source) as writer:
        for frame in video:
            writer.write(frame, result_of(frame))
            times.append(frame.pts_seconds)
    assert writer.warnings == []
    return times


def frame_times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def sound_onset(path: Path) -> float:
    """Second of the file at which the sound stops being silent."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.abs(frame.to_ndarray().astype(float).mean(axis=0)) > (
                1000 if frame.format.name == "s16" else 0.03
            )
            if loud.any():
                return float(frame.time + loud.argmax() / frame.sample_rate)
    raise AssertionError("silent")


def test_irregular_times_are_kept_from_zero_on(make_clip: MakeClip, tmp_path: Path) -> None:
    times = render(make_clip(pts=[5000, 5040, 5041, 6000, 6250]), tmp_path / "o.mp4")
    assert frame_times(tmp_path / "o.mp4") == pytest.approx([time - times[0] for time in times], abs=1e-3)
    with av.open(str(tmp_path / "o.mp4")) as container:
        assert container.duration / av.time_base >= times[-1] - times[0]


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le", "mp2", "flac"])
@pytest.mark.parametrize("start", [None, 0.4])
def test_the_sound_stays_with_the_pictures(
    codec: str, start: float | None, make_clip: MakeClip, tmp_path: Path
) -> None:
    source = make_clip(pts=range(200, 2200, 40), sound=codec, sound_seconds=2.5, sound_begins=1.3)
    render(source, tmp_path / "o.mp4", VideoConfig(start_seconds=start))
    begin = 0.2 if start is None else 0.4
    assert sound_onset(tmp_path / "o.mp4") == pytest.approx(1.3 - begin, abs=0.03)
    with av.open(str(tmp_path / "o.mp4")) as container:
        sound = container.streams.audio[0]
        assert sound.codec_context.name == (codec if codec in ("aac", "flac") else "aac")
        assert float(sound.duration * sound.time_base) == pytest.approx(2.2 - begin, abs=0.1)  # to a packet


def test_the_picture_is_upright_wide_and_even(make_clip: MakeClip, tmp_path: Path) -> None:
    source = make_clip(name="c.mp4", size=(50, 62), pixel_aspect=Fraction(3, 2), rotation=90, pts=[0, 40])
    render(source, tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (92, 50, 0)
        assert container.streams.video[0].codec_context.name == "h264"


def test_another_size_in_the_middle_is_fitted_in(tmp_path: Path) -> None:
    with OverlayWriter(tmp_path / "o.mp4") as writer:
        for index, size in enumerate([(64, 96), (128, 64), (63, 97), (32, 32)]):
            picture = Picture.from_rgb(np.full((*size, 3), 200, np.uint8))
            frame = Frame(index, index, Fraction(1, 10), picture)
            writer.write(frame, result_of(frame, Face(1, (0.0, 0.0, size[1], size[0]), 0.9)))
    with av.open(str(tmp_path / "o.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4
    assert frames[1][40, 80].max() < 20  # beside the narrow picture
    assert abs(int(frames[0][40, 50, 0]) - 200) < 6


def test_times_that_go_back_do_not_stop_the_overlay(tmp_path: Path) -> None:
    picture = Picture.from_rgb(np.zeros((32, 32, 3), np.uint8))
    with OverlayWriter(tmp_path / "o.mp4") as writer:
        for index, pts in enumerate([0, 1, 1, 0, 2]):
            frame = Frame(index, pts, Fraction(1, 10), picture)
            writer.write(frame, result_of(frame))
    assert len(frame_times(tmp_path / "o.mp4")) == 5


def test_a_box_is_drawn_in_its_tracks_colour_and_a_filled_one_in_dashes() -> None:
    images = []
    for state in FaceState:
        image = np.full((400, 400, 3), 90, np.uint8)
        frame = Frame(0, 0, Fraction(1, 10), Picture.from_rgb(image))
        draw_result(image, result_of(frame, Face(7, (100.0, 200.0, 300.0, 380.0), 0.9, state)), (1.0, 1.0))
        images.append(image)
    is_color = [(image[380, 110:290] == track_color(7)).all(axis=1) for image in images]
    assert is_color[0].all()
    assert 0.3 < is_color[1].mean() < 0.7
    assert (images[0][250:330, 150:250] == 90).all()  # nothing on the face itself


@pytest.mark.parametrize("box", [(-50, -50, 20, 10), (380, 0, 460, 30), (0, 390, 500, 500), (-9, -9, -5, -5)])
def test_a_box_beyond_the_edge_is_no_error(box: tuple[float, float, float, float]) -> None:
    image = np.zeros((40, 400, 3), np.uint8)
    frame = Frame(0, -5, Fraction(1, 10), Picture.from_rgb(image))
    draw_result(image, result_of(frame, Face(123456, box, 1.0)), (1.0, 1.0))


def test_neighbours_have_colours_that_differ() -> None:
    for first in range(1, 40):
        for second in range(first + 1, first + 5):
            difference = np.abs(np.subtract(track_color(first), track_color(second)))
            assert difference.sum() > 60


def test_an_overlay_that_is_given_up_leaves_nothing(plain_clip: Path, tmp_path: Path) -> None:
    with open_video(plain_clip) as video:
        frame = next(video)
    writer = OverlayWriter(tmp_path / "o.mp4")
    writer.write(frame, result_of(frame))
    with pytest.raises(RuntimeError), writer:
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    OverlayWriter(tmp_path / "empty.mp4").close()
    assert list(tmp_path.iterdir()) == []


def test_the_overlay_of_a_broken_source_can_be_played_but_lacks_its_name(plain_clip: Path, tmp_path: Path) -> None:
    with open_video(plain_clip) as video:
        frame = next(video)
    writer = OverlayWriter(tmp_path / "o.mp4")
    writer.write(frame, result_of(frame))
    writer.close(is_complete=False)
    writer.abort()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("o.")] == ["o.mp4.part"]
    assert frame_times(tmp_path / "o.mp4.part") == [0.0]


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere" / "o.mp4", Path("/proc/o.mp4")):
        with pytest.raises(OutputError) as caught:
            OverlayWriter(place)
        assert str(caught.value).startswith(f"cannot write {place}: ")
        assert "\n" not in str(caught.value)


def test_what_is_no_file_or_read_only_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="pipe: it is no regular file; choose another place"):
        OverlayWriter(tmp_path / "pipe")
    (tmp_path / "o.mp4").write_text("older")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # whoever runs the tests may write everything
    with pytest.raises(OutputError, match=r"o\.mp4: Permission denied; choose another place"):
        OverlayWriter(tmp_path / "o.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.mp4", "pipe"]
    assert (tmp_path / "pipe").is_fifo()


def test_an_overlay_that_another_process_writes_is_left_alone(plain_clip: Path, tmp_path: Path) -> None:
    first = OverlayWriter(tmp_path / "o.mp4")
    with open_video(plain_clip) as video:
        frame = next(video)
    first.write(frame, result_of(frame))
    with pytest.raises(OutputError, match=r"o\.mp4: another process is writing it"):
        OverlayWriter(tmp_path / "o.mp4")
    first.close()
    assert frame_times(tmp_path / "o.mp4") == [0.0]


def test_a_link_to_an_overlay_stays_a_link(plain_clip: Path, tmp_path: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "o.mp4")
    render(plain_clip, tmp_path / "link.mp4")
    assert (tmp_path / "link.mp4").is_symlink()
    assert len(frame_times(tmp_path / "o.mp4")) == 24


def test_a_full_disk_is_told_and_leaves_nothing(
    plain_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = OverlayWriter(tmp_path / "o.mp4")
    (tmp_path / "o.mp4.part").unlink()
    (tmp_path / "o.mp4.part").symlink_to("/dev/full")
    with open_video(plain_clip) as video:
        frame = next(video)
    writer.write(frame, result_of(frame))
    with pytest.raises(OutputError, match="No space left on device"):
        writer.close()
    assert list(tmp_path.iterdir()) == []
